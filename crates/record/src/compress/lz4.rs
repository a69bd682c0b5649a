//! lz4 frames as Kafka writes and reads them: version 1, independent blocks, no dictionary, one frame (KIP-57).
//!
//! Framed here and not by a library because a broker must refuse what its consumers cannot read, such as dependent blocks, and
//! because the block buffers are reused.

use super::CompressError;
use super::blocks::{Blocks, copy};
use twox_hash::XxHash32;

/// Kafka's default: the fast compressor. Every other level is high compression, whose search gets longer up to 12.
pub(super) const LEVEL_DEFAULT: i32 = 9;
const MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Magic; version 1 and independent blocks; blocks of 64 KiB; the second byte of the xxHash32 of these two.
const HEADER: [u8; 7] = [0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82];
const BLOCK: usize = 64 * 1024;
const STORED: u32 = 0x8000_0000;
const FLAGS_FIXED: u8 = 0b1110_0011;
const FLAGS_WANTED: u8 = 0b0110_0000;
const FLAG_BLOCK_CHECKSUM: u8 = 0b0001_0000;
const FLAG_CONTENT_SIZE: u8 = 0b0000_1000;
const FLAG_CONTENT_CHECKSUM: u8 = 0b0000_0100;
const CORRUPT: CompressError = CompressError::Corrupt("lz4");

pub(crate) struct Writer<'a> {
    level: i32,
    blocks: Blocks<'a>,
    packed: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(level: i32, block: &'a mut Vec<u8>, packed: &'a mut Vec<u8>, out: &mut Vec<u8>) -> Self {
        out.extend_from_slice(&HEADER);
        packed.resize(packed.len().max(lz4_flex::block::get_maximum_output_size(BLOCK)), 0);
        Self { level, blocks: Blocks::new(BLOCK, block), packed }
    }

    pub(super) fn write(&mut self, input: &[u8], out: &mut Vec<u8>) {
        let (level, packed) = (self.level, &mut *self.packed);
        self.blocks.write(input, |block| put_block(level, block, packed, out));
    }

    pub(super) fn finish(self, out: &mut Vec<u8>) {
        let (level, packed) = (self.level, self.packed);
        self.blocks.finish(|block| put_block(level, block, packed, out));
        out.extend_from_slice(&[0; 4]);
    }
}

fn put_block(level: i32, block: &[u8], packed: &mut [u8], out: &mut Vec<u8>) {
    // A block that does not shrink is stored; the same answer serves for a compressor that finds no room.
    let len = if level == LEVEL_DEFAULT {
        lz4_flex::block::compress_into(block, packed).ok()
    } else {
        let mode = ::lz4::block::CompressionMode::HIGHCOMPRESSION(level);
        ::lz4::block::compress_to_buffer(block, Some(mode), false, packed).ok()
    };
    let (mark, bytes) = match len.filter(|&len| len < block.len()) {
        Some(len) => (len as u32, &packed[..len]),
        None => (block.len() as u32 | STORED, block),
    };
    out.extend_from_slice(&mark.to_le_bytes());
    out.extend_from_slice(bytes);
}

pub(crate) struct Reader<'a> {
    rest: &'a [u8],
    flags: u8,
    block_max: usize,
    block: &'a mut Vec<u8>,
    /// What is left of a block that is stored, or of the decompressed one in `block`.
    stored: &'a [u8],
    from: usize,
    to: usize,
    finished: bool,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8], block: &'a mut Vec<u8>) -> Result<Self, CompressError> {
        let (flags, block_max, rest) = header(input).ok_or(CORRUPT)?;
        Ok(Self { rest, flags, block_max, block, stored: &[], from: 0, to: 0, finished: false })
    }

    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, CompressError> {
        loop {
            if !self.stored.is_empty() {
                return Ok(copy(&mut self.stored, out));
            }
            if self.from < self.to {
                let n = copy(&mut &self.block[self.from..self.to], out);
                self.from += n;
                return Ok(n);
            }
            if self.finished {
                return if self.rest.is_empty() { Ok(0) } else { Err(CORRUPT) };
            }
            self.next_block().ok_or(CORRUPT)?;
        }
    }

    fn next_block(&mut self) -> Option<()> {
        let mark = u32::from_le_bytes(*self.take_chunk()?);
        if mark == 0 {
            if self.flags & FLAG_CONTENT_CHECKSUM != 0 {
                // Kafka does not look at it either: the batch has its own checksum.
                let _content_checksum: &[u8; 4] = self.take_chunk()?;
            }
            self.finished = true;
            return Some(());
        }
        let len = (mark & !STORED) as usize;
        if len > self.block_max {
            return None;
        }
        let (bytes, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        if self.flags & FLAG_BLOCK_CHECKSUM != 0
            && u32::from_le_bytes(*self.take_chunk()?) != XxHash32::oneshot(0, bytes)
        {
            return None;
        }
        if mark & STORED != 0 {
            self.stored = bytes;
            return Some(());
        }
        // A byte of lz4 stands for 255 at most, so memory follows the bytes received, not the block size that is claimed.
        let room = self.block_max.min(len.saturating_mul(255).saturating_add(64));
        if self.block.len() < room {
            self.block.resize(room, 0);
        }
        self.to = lz4_flex::block::decompress_into(bytes, &mut self.block[..room]).ok()?;
        self.from = 0;
        Some(())
    }

    fn take_chunk<const N: usize>(&mut self) -> Option<&'a [u8; N]> {
        let (chunk, rest) = self.rest.split_first_chunk::<N>()?;
        self.rest = rest;
        Some(chunk)
    }
}

/// The flags, the largest block and what follows the header.
fn header(input: &[u8]) -> Option<(u8, usize, &[u8])> {
    let descriptor = input.strip_prefix(&MAGIC)?;
    let (&[flags, block], _) = descriptor.split_first_chunk::<2>()?;
    if flags & FLAGS_FIXED != FLAGS_WANTED {
        return None;
    }
    let block_max = match block {
        0x40 => 64 * 1024,
        0x50 => 256 * 1024,
        0x60 => 1024 * 1024,
        0x70 => 4 * 1024 * 1024,
        _ => return None,
    };
    let len = if flags & FLAG_CONTENT_SIZE != 0 { 10 } else { 2 };
    let (described, rest) = descriptor.split_at_checked(len)?;
    let (&sum, rest) = rest.split_first()?;
    (sum == (XxHash32::oneshot(0, described) >> 8) as u8).then_some((flags, block_max, rest))
}
