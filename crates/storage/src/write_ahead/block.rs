//! The bytes of the write-ahead file: control slots, blocks and the records in them.

use super::ALIGN;
use crate::disk::DiskFile;
use crate::ticket::{UnsyncedWrite, WriteAheadKey};
use base::{Offset, Uuid};
use record::crc32c;
use std::io;

const MAGIC: &[u8; 8] = b"thalwal1";
const CONTROL_MAGIC: &[u8; 8] = b"thalctl1";
/// Magic, generation, number, length, CRC.
pub(super) const HEADER_BYTES: usize = 32;
/// Magic, sequence, live generation, area bytes, CRC.
const CONTROL_BYTES: usize = 36;
const CRC_AT: usize = 28;

const BYTES: u8 = 1;
const CUT: u8 = 2;
const FOLLOWS: u8 = 3;

/// Where the two control slots are.
pub(super) const SLOTS_AT: [u64; 2] = [0, ALIGN];

/// What the file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Control {
    /// Counts the writes: the higher of two sound slots counts.
    pub(super) sequence: u64,
    /// Blocks of older generations are at their place in the segments.
    pub(super) live_from: u64,
    pub(super) area_bytes: u64,
}

impl Control {
    /// The bytes of a slot.
    pub(super) fn slot(self) -> Vec<u8> {
        let mut bytes = CONTROL_MAGIC.to_vec();
        for number in [self.sequence, self.live_from, self.area_bytes] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(&crc32c(&bytes).to_be_bytes());
        bytes
    }

    /// The newest sound slot of the file's first bytes.
    pub(super) fn read(file: &[u8]) -> Option<Control> {
        let slot = |at: usize| {
            let bytes = file.get(at..at + CONTROL_BYTES)?;
            let (body, crc) = bytes.split_at(CONTROL_BYTES - 4);
            let is_sound = body.starts_with(CONTROL_MAGIC) && crc32c(body).to_be_bytes() == crc;
            is_sound.then(|| Control {
                sequence: number(body, 8),
                live_from: number(body, 16),
                area_bytes: number(body, 24),
            })
        };
        SLOTS_AT.map(|at| slot(at as usize)).into_iter().flatten().max_by_key(|control| control.sequence)
    }
}

fn number(bytes: &[u8], at: usize) -> u64 {
    u64::from_be_bytes(bytes[at..at + 8].try_into().expect("eight bytes"))
}

/// An empty block in a used buffer.
pub(super) fn begin(mut buffer: Vec<u8>) -> Vec<u8> {
    buffer.clear();
    buffer.resize(HEADER_BYTES, 0);
    buffer
}

/// Writes the header of a block whose records are complete.
pub(super) fn seal(buffer: &mut [u8], generation: u64, block: u64) {
    buffer[..8].copy_from_slice(MAGIC);
    buffer[8..16].copy_from_slice(&generation.to_be_bytes());
    buffer[16..24].copy_from_slice(&block.to_be_bytes());
    let len = u32::try_from(buffer.len()).expect("a round is smaller than an area");
    buffer[24..CRC_AT].copy_from_slice(&len.to_be_bytes());
    let crc = checksum(buffer);
    buffer[CRC_AT..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
}

/// Of the header without the checksum itself, then of the records: two sums folded into one, since they do not lie together.
fn checksum(block: &[u8]) -> u32 {
    crc32c(&block[..CRC_AT]).rotate_left(7) ^ crc32c(&block[HEADER_BYTES..])
}

fn put_key(buffer: &mut Vec<u8>, kind: u8, key: &WriteAheadKey, base: Offset, position: u64) {
    buffer.push(kind);
    buffer.extend_from_slice(&key.topic_id.0.to_be_bytes());
    let len = u16::try_from(key.folder.len()).expect("a folder's name has at most 255 bytes");
    buffer.extend_from_slice(&len.to_be_bytes());
    buffer.extend_from_slice(key.folder.as_bytes());
    buffer.extend_from_slice(&base.0.to_be_bytes());
    buffer.extend_from_slice(&position.to_be_bytes());
}

/// Adds bytes of a segment, read back from where they were written a moment ago.
pub(super) fn put_bytes(
    buffer: &mut Vec<u8>,
    key: &WriteAheadKey,
    write: &UnsyncedWrite,
    file: &dyn DiskFile,
) -> io::Result<()> {
    put_key(buffer, BYTES, key, write.base, write.from);
    let len_at = buffer.len();
    let from = len_at + 4;
    let len = usize::try_from(write.to - write.from).map_err(io::Error::other)?;
    buffer.resize(from + len, 0);
    // Fewer when the log was cut since the ticket was made; the cut stands here too.
    let read = file.read_at(&mut buffer[from..], write.from)?;
    buffer.truncate(from + read);
    let len = u32::try_from(read).map_err(io::Error::other)?;
    buffer[len_at..from].copy_from_slice(&len.to_be_bytes());
    Ok(())
}

/// Adds a cut.
pub(super) fn put_cut(buffer: &mut Vec<u8>, key: &WriteAheadKey, base: Offset, position: u64) {
    put_key(buffer, CUT, key, base, position);
    buffer.extend_from_slice(&0_u32.to_be_bytes());
}

/// Adds how many blocks the generation before has: all were durable before this one began.
pub(super) fn put_follows(buffer: &mut Vec<u8>, blocks: u64) {
    let nobody = WriteAheadKey { folder: "".into(), topic_id: Uuid(0) };
    put_key(buffer, FOLLOWS, &nobody, Offset::ZERO, blocks);
    buffer.extend_from_slice(&0_u32.to_be_bytes());
}

/// A block of `generation` with the number `block` at the start of `bytes`: its records, and how many bytes it takes.
/// `None` when there is none, or not a whole one.
pub(super) fn read(bytes: &[u8], generation: u64, block: u64, verify: bool) -> Option<(&[u8], usize)> {
    let header = bytes.get(..HEADER_BYTES)?;
    if !header.starts_with(MAGIC) || number(header, 8) != generation || number(header, 16) != block {
        return None;
    }
    let len = u32::from_be_bytes(header[24..CRC_AT].try_into().expect("four bytes")) as usize;
    let whole = bytes.get(..len).filter(|whole| whole.len() >= HEADER_BYTES)?;
    let crc = u32::from_be_bytes(header[CRC_AT..].try_into().expect("four bytes"));
    (!verify || checksum(whole) == crc).then(|| (&whole[HEADER_BYTES..], len.next_multiple_of(ALIGN as usize)))
}

/// The generation and number of what looks like a block's header.
pub(super) fn peek(bytes: &[u8]) -> Option<(u64, u64)> {
    let header = bytes.get(..HEADER_BYTES)?;
    header.starts_with(MAGIC).then(|| (number(header, 8), number(header, 16)))
}

/// One record of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// Bytes of a segment at a position.
    Bytes(&'a [u8]),
    /// Nothing from the position on counts any more.
    Cut,
    /// The generation before has as many blocks as the position says. The first record of a generation, if there was one before.
    Follows,
}

/// A record with whose and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record<'a> {
    pub(super) topic_id: Uuid,
    pub(super) folder: &'a str,
    pub(super) base: Offset,
    pub(super) position: u64,
    pub(super) change: Change<'a>,
}

/// The records of a block; `None` for bytes that are none, which a sound block does not have.
pub(super) fn records(mut bytes: &[u8]) -> Option<Vec<Record<'_>>> {
    fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
        let (head, tail) = bytes.split_at_checked(len)?;
        *bytes = tail;
        Some(head)
    }
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let kind = take(&mut bytes, 1)?[0];
        let topic_id = Uuid(u128::from_be_bytes(take(&mut bytes, 16)?.try_into().ok()?));
        let len = u16::from_be_bytes(take(&mut bytes, 2)?.try_into().ok()?);
        let folder = std::str::from_utf8(take(&mut bytes, usize::from(len))?).ok()?;
        let base = Offset(i64::from_be_bytes(take(&mut bytes, 8)?.try_into().ok()?));
        let position = number(take(&mut bytes, 8)?, 0);
        let len = u32::from_be_bytes(take(&mut bytes, 4)?.try_into().ok()?);
        let data = take(&mut bytes, len as usize)?;
        let change = match kind {
            BYTES => Change::Bytes(data),
            CUT => Change::Cut,
            FOLLOWS => Change::Follows,
            _ => return None,
        };
        records.push(Record { topic_id, folder, base, position, change });
    }
    Some(records)
}
