//! Record batches of format 2, uncompressed, whose values can be told apart and checked byte by byte.
//!
//! A value is its producer's number, its partition and its place in what that producer sent to that partition, then bytes that follow
//! from these: whoever reads a value knows who wrote it, and whether it is as it was written.

use conformance::fault::{Fault, ensure, fail};

/// Bytes of a batch before its records.
pub const OVERHEAD: usize = 61;
/// Where the checksum stands, and where what it covers begins.
const CRC_AT: usize = 17;
const CRC_FROM: usize = 21;
/// Producer, partition, counter.
const VALUE_HEAD: usize = 16;

/// Who wrote a record: the name of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Value {
    /// The number of the rig's producer, not Kafka's id.
    pub producer: u32,
    /// The place among what this producer sent to this partition, from 0.
    pub counter: u64,
}

/// A value that nobody of the rig has written.
pub const FOREIGN: u32 = u32::MAX;

/// Consecutive records of one producer with consecutive counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Offset of the first.
    pub offset: i64,
    /// The first.
    pub first: Value,
    /// How many.
    pub count: u64,
}

/// What a batch says of its producer to the broker.
#[derive(Clone, Copy, Debug)]
pub struct Producer {
    /// Kafka's producer id, -1 for none.
    pub id: i64,
    /// Its epoch, -1 for none.
    pub epoch: i16,
    /// Sequence number of the first record, -1 for none.
    pub sequence: i32,
}

/// A producer without idempotence.
pub const PLAIN: Producer = Producer { id: -1, epoch: -1, sequence: -1 };

/// The value's bytes: `Value` with its partition, then 0 to `extra_max` more.
pub fn value_bytes(value: Value, partition: i32, extra_max: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(VALUE_HEAD + 8);
    bytes.extend_from_slice(&value.producer.to_be_bytes());
    bytes.extend_from_slice(&partition.to_be_bytes());
    bytes.extend_from_slice(&value.counter.to_be_bytes());
    let mut state = mix(u64::from(value.producer) << 32 ^ u64::from(partition.unsigned_abs()) ^ value.counter << 8);
    let extra = if extra_max == 0 { 0 } else { state % (extra_max + 1) };
    for _ in 0..extra {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        bytes.push(state.to_be_bytes()[0]);
    }
    bytes
}

fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// Reads a value back; `FOREIGN` when it is none of ours, or not as it was written.
fn name(bytes: &[u8], partition: i32, extra_max: u64) -> Value {
    let foreign = Value { producer: FOREIGN, counter: 0 };
    let Some(head) = bytes.get(..VALUE_HEAD) else { return foreign };
    let word = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let value = Value { producer: word(0), counter: u64::from(word(8)) << 32 | u64::from(word(12)) };
    if value_bytes(value, partition, extra_max) == bytes { value } else { foreign }
}

/// A batch of `count` records from `first` on.
pub fn build(first: Value, count: u64, partition: i32, extra_max: u64, producer: Producer) -> Vec<u8> {
    let mut records = Vec::new();
    for n in 0..count {
        let value = Value { counter: first.counter + n, ..first };
        let value = value_bytes(value, partition, extra_max);
        let mut body = vec![0];
        put_varint(&mut body, 0);
        put_varint(&mut body, i64::try_from(n).unwrap_or(0));
        put_varint(&mut body, -1);
        put_varint(&mut body, i64::try_from(value.len()).unwrap_or(0));
        body.extend_from_slice(&value);
        put_varint(&mut body, 0);
        put_varint(&mut records, i64::try_from(body.len()).unwrap_or(0));
        records.extend_from_slice(&body);
    }
    let mut bytes = vec![0; 8];
    let int = |n: usize| i32::try_from(n).unwrap_or(i32::MAX).to_be_bytes();
    bytes.extend_from_slice(&int(OVERHEAD - 12 + records.len()));
    bytes.extend_from_slice(&(-1_i32).to_be_bytes());
    bytes.push(2);
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&[0; 2]);
    bytes.extend_from_slice(&int(usize::try_from(count - 1).unwrap_or(0)));
    // One fixed time: no test may depend on the clock, and the topic keeps records for ever.
    let time = 1_700_000_000_000_i64.to_be_bytes();
    bytes.extend_from_slice(&time);
    bytes.extend_from_slice(&time);
    bytes.extend_from_slice(&producer.id.to_be_bytes());
    bytes.extend_from_slice(&producer.epoch.to_be_bytes());
    bytes.extend_from_slice(&producer.sequence.to_be_bytes());
    bytes.extend_from_slice(&int(usize::try_from(count).unwrap_or(0)));
    bytes.extend_from_slice(&records);
    seal(&mut bytes);
    bytes
}

/// Writes the checksum of a batch.
pub fn seal(batch: &mut [u8]) {
    let crc = crc32c::crc32c(&batch[CRC_FROM..]);
    batch[CRC_AT..CRC_FROM].copy_from_slice(&crc.to_be_bytes());
}

/// The bytes of each whole batch in `bytes`, in order; a part of a batch at the end is left out.
pub fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let mut batches = Vec::new();
    let mut rest = bytes;
    while rest.len() > OVERHEAD {
        let len = 12 + u32::from_be_bytes([rest[8], rest[9], rest[10], rest[11]]) as usize;
        let Some((batch, after)) = rest.split_at_checked(len.max(OVERHEAD)) else { break };
        batches.push(batch);
        rest = after;
    }
    batches
}

/// Offset of a batch's first record.
pub fn base_offset(batch: &[u8]) -> i64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&batch[..8]);
    i64::from_be_bytes(bytes)
}

/// The records of all whole batches in `bytes`, from offset `from` on, joined to runs. A batch whose checksum is wrong is a failure.
pub fn read(bytes: &[u8], from: i64, partition: i32, extra_max: u64) -> Result<Vec<Run>, Fault> {
    let mut runs: Vec<Run> = Vec::new();
    for batch in split(bytes) {
        let base = base_offset(batch);
        let crc = u32::from_be_bytes([batch[CRC_AT], batch[CRC_AT + 1], batch[CRC_AT + 2], batch[CRC_AT + 3]]);
        ensure(crc == crc32c::crc32c(&batch[CRC_FROM..]), || {
            format!("the batch at offset {base} has a wrong checksum")
        })?;
        ensure(batch[22] & 7 == 0, || format!("the batch at offset {base} is compressed"))?;
        let count = u32::from_be_bytes([batch[57], batch[58], batch[59], batch[60]]);
        let mut rest = &batch[OVERHEAD..];
        for n in 0..i64::from(count) {
            let value = name(record_value(&mut rest, base + n)?, partition, extra_max);
            if base + n >= from {
                join(&mut runs, base + n, value);
            }
        }
    }
    Ok(runs)
}

/// Puts one more record at the end of `runs`.
pub fn join(runs: &mut Vec<Run>, offset: i64, value: Value) {
    if let Some(last) = runs.last_mut()
        && last.first.producer == value.producer
        && last.first.counter + last.count == value.counter
        && last.offset + i64::try_from(last.count).unwrap_or(0) == offset
    {
        last.count += 1;
    } else {
        runs.push(Run { offset, first: value, count: 1 });
    }
}

fn record_value<'a>(rest: &mut &'a [u8], offset: i64) -> Result<&'a [u8], Fault> {
    let len = varint(rest)?;
    let Some((mut record, after)) = rest.split_at_checked(len) else {
        return fail(format!("the record at offset {offset} is cut off"));
    };
    *rest = after;
    record = record.get(1..).unwrap_or_default();
    varint(&mut record)?;
    varint(&mut record)?;
    varint(&mut record)?;
    let len = varint(&mut record)?;
    record.get(..len).ok_or_else(|| Fault::Failed(format!("the value at offset {offset} is cut off")))
}

/// A zigzag varint; a negative one is 0, as only lengths that are null are negative here.
fn varint(bytes: &mut &[u8]) -> Result<usize, Fault> {
    let (mut value, mut shift) = (0_u64, 0);
    loop {
        let Some((byte, rest)) = bytes.split_first() else { return fail("a varint is cut off") };
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
        shift += 7;
        ensure(shift < 64, || "a varint of more than ten bytes".to_owned())?;
    }
    let negative = value & 1 == 1;
    Ok(if negative { 0 } else { usize::try_from(value >> 1).unwrap_or(usize::MAX) })
}

fn put_varint(bytes: &mut Vec<u8>, value: i64) {
    let mut rest = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while rest >= 0x80 {
        bytes.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use super::{FOREIGN, PLAIN, Run, Value, build, read, seal, split};

    const FIRST: Value = Value { producer: 3, counter: 250 };

    #[test]
    fn what_is_built_is_read_and_runs_join() {
        let mut bytes = build(FIRST, 4, 7, 100, PLAIN);
        let mut next = build(Value { counter: 254, ..FIRST }, 2, 7, 100, PLAIN);
        next[7] = 4;
        bytes.extend(next);
        assert_eq!(split(&bytes).len(), 2);
        assert_eq!(read(&bytes, 0, 7, 100).expect("sound"), [Run { offset: 0, first: FIRST, count: 6 }]);
        let part = read(&bytes[..bytes.len() - 1], 2, 7, 100).expect("sound");
        assert_eq!(part, [Run { offset: 2, first: Value { counter: 252, ..FIRST }, count: 2 }]);
    }

    #[test]
    fn a_changed_value_is_foreign_and_a_wrong_checksum_a_failure() {
        let mut bytes = build(FIRST, 1, 7, 100, PLAIN);
        let last = bytes.len() - 3;
        bytes[last] ^= 1;
        assert!(read(&bytes, 0, 7, 100).is_err());
        seal(&mut bytes);
        assert_eq!(read(&bytes, 0, 7, 100).expect("sealed")[0].first.producer, FOREIGN);
        let elsewhere = build(FIRST, 1, 7, 100, PLAIN);
        assert_eq!(read(&elsewhere, 0, 8, 100).expect("sound")[0].first.producer, FOREIGN);
    }
}
