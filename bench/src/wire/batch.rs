//! Record batches v2, encoded once before the clock runs, and a walk over those that come back.

use super::{int32, int64};
use conformance::fault::{Fault, ensure};
use std::time::{SystemTime, UNIX_EPOCH};

/// A batch's fields up to its records.
pub const HEADER: usize = 61;
/// The checksum covers what follows it.
const CRC_FROM: usize = 21;

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push((zigzag as u8) | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// A batch of about `bytes` with values of `record` bytes that do not compress; no producer id.
pub fn batch(bytes: usize, record: usize) -> Vec<u8> {
    // What a record needs beside its value, when that has 64 bytes or more.
    let one = record + 10;
    records(((bytes - HEADER.min(bytes) + one / 2) / one).max(1), record)
}

/// A batch of `count` records.
pub fn records(count: usize, record: usize) -> Vec<u8> {
    let mut out = vec![0; HEADER];
    let mut noise = 0x2545_f491_4f6c_dd1d_u64;
    for index in 0..count {
        let mut body = vec![0];
        varint(&mut body, 0);
        varint(&mut body, index as i64);
        varint(&mut body, -1);
        varint(&mut body, record as i64);
        for _ in 0..record {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            body.push(noise as u8);
        }
        varint(&mut body, 0);
        varint(&mut out, body.len() as i64);
        out.extend_from_slice(&body);
    }
    let length = (out.len() - 12) as i32;
    let now = wall_clock_ms().to_be_bytes();
    out[8..12].copy_from_slice(&length.to_be_bytes());
    out[16] = 2;
    out[23..27].copy_from_slice(&(count as i32 - 1).to_be_bytes());
    out[27..35].copy_from_slice(&now);
    out[35..43].copy_from_slice(&now);
    out[43..57].copy_from_slice(&[0xff; 14]);
    out[57..HEADER].copy_from_slice(&(count as i32).to_be_bytes());
    let crc = crc32c::crc32c(&out[CRC_FROM..]);
    out[17..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Retention deletes what is older, so batches carry today's time.
#[expect(clippy::disallowed_methods, reason = "the load carries the machine's time, as a producer's does")]
pub fn wall_clock_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

/// A batch in a log.
pub struct View<'a> {
    /// The offset of its first record.
    pub base: i64,
    /// The offset after its last record.
    pub next: i64,
    /// Its records.
    pub count: i32,
    /// All of it.
    pub bytes: &'a [u8],
}

impl View<'_> {
    /// The checksum that it carries.
    pub fn crc(&self) -> u32 {
        int32(self.bytes, 17).unwrap_or(0).cast_unsigned()
    }

    /// Whether its bytes are those that the checksum was made of.
    pub fn is_whole(&self) -> bool {
        crc32c::crc32c(&self.bytes[CRC_FROM..]) == self.crc()
    }
}

/// The whole batch at the start of `records`, if there is one.
pub fn first(records: &[u8]) -> Option<View<'_>> {
    let (base, length) = (int64(records, 0)?, int32(records, 8)?);
    let bytes = records.get(..12 + usize::try_from(length).ok()?)?;
    if bytes.len() < HEADER {
        return None;
    }
    Some(View { base, next: base + i64::from(int32(bytes, 23)?) + 1, count: int32(bytes, 57)?, bytes })
}

/// Hands every whole batch of a fetched slice to `each`, and returns the offset after the last. A batch must start where the one
/// before ended; only the first may start below `from`, for a fetch may ask for the middle of a batch.
pub fn walk(records: &[u8], from: i64, mut each: impl FnMut(&View<'_>) -> Result<(), Fault>) -> Result<i64, Fault> {
    let (mut at, mut offset) = (0, from);
    while let Some(view) = first(&records[at..]) {
        ensure(view.base == offset || (at == 0 && view.base < offset), || {
            format!("a batch at offset {} where {offset} is due", view.base)
        })?;
        each(&view)?;
        offset = view.next;
        at += view.bytes.len();
    }
    Ok(offset)
}

#[cfg(test)]
mod tests {
    use super::{batch, first, walk};

    #[test]
    fn a_batch_holds_its_own_length_count_and_crc() {
        let bytes = batch(1 << 10, 100);
        let view = first(&bytes).expect("whole");
        assert_eq!((view.base, view.next, view.count, view.bytes.len()), (0, 9, 9, bytes.len()));
        assert!(view.is_whole());
    }

    #[test]
    fn a_batch_of_64_kib_fits_into_an_answer_of_64_kib() {
        let length = batch(64 << 10, 100).len();
        assert!((65_000..=64 << 10).contains(&length), "{length}");
    }

    #[test]
    fn a_walk_ends_after_the_last_whole_batch() {
        let one = batch(1 << 10, 100);
        let mut two = one.clone();
        two[..8].copy_from_slice(&9_i64.to_be_bytes());
        let log = [one.as_slice(), &two, &two[..30]].concat();
        assert_eq!(walk(&log, 0, |_| Ok(())).expect("two whole batches"), 18);
    }

    #[test]
    fn a_gap_a_doubled_batch_and_a_changed_byte_are_noticed() {
        let one = batch(1 << 10, 100);
        assert!(walk(&[one.clone(), one.clone()].concat(), 0, |_| Ok(())).is_err(), "the second is at 0 again");
        let mut gap = one.clone();
        gap[..8].copy_from_slice(&10_i64.to_be_bytes());
        assert!(walk(&[one.clone(), gap].concat(), 0, |_| Ok(())).is_err());
        let mut torn = one;
        torn[100] ^= 1;
        assert!(!first(&torn).expect("its length is whole").is_whole());
    }
}
