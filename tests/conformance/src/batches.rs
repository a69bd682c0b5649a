//! Record batches as bytes, read by hand on purpose: the rig must not share a codec with what it tests.
//!
//! A batch is: base offset (8), length of what follows (4), leader epoch (4), magic (1), CRC-32C of all that follows it (4), attributes
//! (2), last offset delta (4), first and max timestamp (8 + 8), producer id (8) and epoch (2), base sequence (4), count (4), records.

use crate::made_batch::sized;

/// Base offset and length.
const PREFIX: usize = 12;
/// Up to and including the count of records.
const HEADER: usize = 61;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const FIRST_TIMESTAMP: usize = 27;
const MAX_TIMESTAMP: usize = 35;
const PRODUCER_ID: usize = 43;
const COUNT: usize = 57;

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch(pub Vec<u8>);

/// The whole and sound batches at the start of `bytes`, and what follows them.
pub fn split(bytes: &[u8]) -> (Vec<Batch>, &[u8]) {
    let (mut batches, mut rest) = (Vec::new(), bytes);
    while let Some(len) = sound(rest) {
        let (batch, after) = rest.split_at(len);
        batches.push(Batch(batch.to_vec()));
        rest = after;
    }
    (batches, rest)
}

/// The length of the batch that begins here; none when there is no whole batch with a matching checksum.
fn sound(bytes: &[u8]) -> Option<usize> {
    if bytes.len() < HEADER || bytes[MAGIC] != 2 {
        return None;
    }
    let len = PREFIX + usize::try_from(number(bytes, 8)).ok()?;
    let batch = bytes.get(..len).filter(|batch| batch.len() >= HEADER)?;
    let matches = crc32c(&batch[ATTRIBUTES..]) == number(batch, CRC) as u32;
    matches.then_some(len)
}

fn number(bytes: &[u8], at: usize) -> i32 {
    i32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

impl Batch {
    /// 0 none, 1 gzip, 2 snappy, 3 lz4, 4 zstd.
    pub fn codec(&self) -> usize {
        usize::from(self.0[ATTRIBUTES + 1] & 7)
    }

    /// How many offsets it takes.
    pub fn offsets(&self) -> i64 {
        i64::from(number(&self.0, LAST_OFFSET_DELTA)) + 1
    }

    /// The offset of its first record.
    pub fn base_offset(&self) -> i64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        i64::from_be_bytes(bytes)
    }

    /// The same batch at another offset, which no checksum covers.
    pub fn at(mut self, base_offset: i64) -> Batch {
        self.0[..8].copy_from_slice(&base_offset.to_be_bytes());
        self
    }

    /// The same batch with a checksum that does not match.
    pub fn with_wrong_crc(mut self) -> Batch {
        self.0[CRC] ^= 1;
        self
    }
}

impl Batch {
    /// Whether an idempotent producer sent it.
    pub fn has_producer(&self) -> bool {
        number(&self.0, PRODUCER_ID) >= 0
    }

    /// The checksum that it carries.
    pub fn checksum(&self) -> u32 {
        number(&self.0, CRC) as u32
    }

    /// The same records without a producer's id, epoch and sequence.
    pub fn without_producer(mut self) -> Batch {
        self.0[PRODUCER_ID..COUNT].fill(0xFF);
        self.checked()
    }

    /// The same records a millisecond later.
    pub fn later(mut self) -> Batch {
        for at in [FIRST_TIMESTAMP, MAX_TIMESTAMP] {
            let mut time = [0; 8];
            time.copy_from_slice(&self.0[at..at + 8]);
            self.0[at..at + 8].copy_from_slice(&(i64::from_be_bytes(time) + 1).to_be_bytes());
        }
        self.checked()
    }

    /// The same records without their headers; a compressed batch as it is.
    pub fn without_headers(mut self) -> Batch {
        if self.codec() != 0 {
            return self;
        }
        let mut rest = self.0.split_off(HEADER);
        while let Some((len, prefix)) = varint(&rest) {
            let end = (prefix + usize::try_from(len).unwrap_or(0)).min(rest.len());
            let body = without_headers(&rest[prefix..end]);
            self.0.extend(sized(&body));
            rest.drain(..end);
        }
        let len = i32::try_from(self.0.len() - PREFIX).unwrap_or(i32::MAX);
        self.0[8..12].copy_from_slice(&len.to_be_bytes());
        self.checked()
    }

    /// With the checksum that its bytes ask for.
    fn checked(mut self) -> Batch {
        let crc = crc32c(&self.0[ATTRIBUTES..]);
        self.0[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
        self
    }
}

/// A record's body up to its headers, and a zero for their count.
fn without_headers(body: &[u8]) -> Vec<u8> {
    // Attributes, then the deltas of time and offset.
    let mut at = 1;
    for _ in 0..2 {
        at += varint(&body[at..]).map_or(0, |(_, len)| len);
    }
    for _ in ["key", "value"] {
        let (len, prefix) = varint(&body[at..]).unwrap_or((0, 0));
        at += prefix + usize::try_from(len).unwrap_or(0);
    }
    [&body[..at], &[0]].concat()
}

/// A zigzag varint, and how many bytes it takes.
fn varint(bytes: &[u8]) -> Option<(i64, usize)> {
    let len = bytes.iter().position(|byte| byte & 0x80 == 0)? + 1;
    let raw = bytes[..len].iter().rev().fold(0_u64, |number, byte| (number << 7) | u64::from(byte & 0x7F));
    Some(((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed(), len))
}

/// CRC-32C, bit by bit: what is read here is small.
pub fn crc32c(bytes: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82F6_3B78 & 0_u32.wrapping_sub(crc & 1));
        }
    }
    !crc
}

/// A batch with one plain record, for tests of the rig.
#[cfg(test)]
pub(crate) fn example(base_offset: i64, value: &[u8]) -> Batch {
    let mut body = vec![0, 0];
    body.extend(0_i32.to_be_bytes());
    body.extend([0; 16]);
    body.extend((-1_i64).to_be_bytes());
    body.extend((-1_i16).to_be_bytes());
    body.extend((-1_i32).to_be_bytes());
    body.extend(1_i32.to_be_bytes());
    body.extend(value);
    let mut bytes = base_offset.to_be_bytes().to_vec();
    bytes.extend(i32::try_from(body.len() + 9).expect("small").to_be_bytes());
    bytes.extend([0, 0, 0, 0, 2]);
    bytes.extend(crc32c(&body).to_be_bytes());
    bytes.extend(body);
    Batch(bytes)
}

#[cfg(test)]
mod tests {
    use super::{Batch, crc32c, example, split};
    use crate::made_batch::{MadeBatch, sized};

    #[test]
    fn the_checksum_is_castagnolis() {
        assert_eq!(crc32c(b"123456789"), 0xE306_9283);
    }

    #[test]
    fn a_batch_is_changed_where_it_says_and_stays_sound() {
        let header = [&[2_u8, b'h', 2, b'v'][..]].concat();
        let record = |headers: &[u8]| sized(&[&[0, 0, 0, 2, b'k', 1][..], headers].concat());
        let made = |headers: &[u8]| {
            let mut made = MadeBatch::of(5, &[record(headers), record(headers)]);
            made.producer = (7, 0, 3);
            made
        };
        let batch = Batch(made(&[&[2][..], &header].concat()).bytes());
        assert!(batch.has_producer());
        assert_eq!(batch.clone().without_headers().0, made(&[0]).bytes());
        let later = MadeBatch { base_timestamp: 6, max_timestamp: 6, ..made(&[0]) };
        assert_eq!(Batch(made(&[0]).bytes()).later().0, later.bytes());
        let nobodys = MadeBatch { producer: (-1, -1, -1), ..made(&[0]) };
        assert_eq!(Batch(made(&[0]).bytes()).without_producer().0, nobodys.bytes());
        assert!(!Batch(nobodys.bytes()).has_producer());
    }

    #[test]
    fn batches_are_split_where_they_are_sound() {
        let (one, two) = (example(5, b"one"), example(6, b"two"));
        let bytes = [&one.0[..], &two.0, b"rest"].concat();
        let (found, rest) = split(&bytes);
        assert_eq!((found.as_slice(), rest), (&[one.clone(), two][..], &b"rest"[..]));
        assert_eq!((found[0].base_offset(), found[0].offsets(), found[0].codec()), (5, 1, 0));
        assert_eq!(found[0].clone().at(9).base_offset(), 9);
        assert_eq!(split(&one.clone().at(9).0).0.len(), 1, "a base offset is not covered by the checksum");
        assert!(split(&one.with_wrong_crc().0).0.is_empty());
    }
}
