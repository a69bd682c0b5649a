//! Requests and batches, encoded once before the clock runs.

use std::time::{SystemTime, UNIX_EPOCH};

/// Where the correlation id stands in a request with its size.
pub const CORRELATION_AT: usize = 8;

fn varint(out: &mut Vec<u8>, value: i64) {
    let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while zigzag >= 0x80 {
        out.push((zigzag as u8) | 0x80);
        zigzag >>= 7;
    }
    out.push(zigzag as u8);
}

/// A batch v2 of about `bytes` with values of `record` bytes that do not compress; no producer id.
pub fn batch(bytes: usize, record: usize) -> Vec<u8> {
    let count = (bytes / (record + 8)).max(1);
    let mut out = vec![0; 61];
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
    out[57..61].copy_from_slice(&(count as i32).to_be_bytes());
    let crc = crc32c::crc32c(&out[21..]);
    out[17..21].copy_from_slice(&crc.to_be_bytes());
    out
}

/// Retention deletes what is older, so batches carry today's time.
#[expect(clippy::disallowed_methods, reason = "the load carries the machine's time, as a producer's does")]
fn wall_clock_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as i64)
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(&(text.len() as i16).to_be_bytes());
    out.extend_from_slice(text.as_bytes());
}

fn request(key: i16, version: i16, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = vec![0; 4];
    out.extend_from_slice(&key.to_be_bytes());
    out.extend_from_slice(&version.to_be_bytes());
    out.extend_from_slice(&[0; 4]);
    string(&mut out, "bench");
    body(&mut out);
    let size = (out.len() - 4) as i32;
    out[..4].copy_from_slice(&size.to_be_bytes());
    out
}

/// Produce v7 of one batch, acks=all.
pub fn produce(topic: &str, partition: i32, batch: &[u8]) -> Vec<u8> {
    request(0, 7, |out| {
        out.extend_from_slice(&(-1_i16).to_be_bytes());
        out.extend_from_slice(&(-1_i16).to_be_bytes());
        out.extend_from_slice(&30_000_i32.to_be_bytes());
        out.extend_from_slice(&1_i32.to_be_bytes());
        string(out, topic);
        out.extend_from_slice(&1_i32.to_be_bytes());
        out.extend_from_slice(&partition.to_be_bytes());
        out.extend_from_slice(&(batch.len() as i32).to_be_bytes());
        out.extend_from_slice(batch);
    })
}

/// Fetch v11 of one partition without a session.
pub fn fetch(topic: &str, partition: i32, offset: i64, max_bytes: i32) -> Vec<u8> {
    request(1, 11, |out| {
        for number in [-1, 500, 1, max_bytes] {
            out.extend_from_slice(&i32::to_be_bytes(number));
        }
        out.push(0);
        for number in [0, -1, 1] {
            out.extend_from_slice(&i32::to_be_bytes(number));
        }
        string(out, topic);
        for number in [1, partition, -1] {
            out.extend_from_slice(&i32::to_be_bytes(number));
        }
        out.extend_from_slice(&offset.to_be_bytes());
        out.extend_from_slice(&(-1_i64).to_be_bytes());
        out.extend_from_slice(&max_bytes.to_be_bytes());
        out.extend_from_slice(&0_i32.to_be_bytes());
        string(out, "");
    })
}

#[cfg(test)]
mod tests {
    use super::{batch, fetch, produce};

    #[test]
    fn a_batch_holds_its_own_length_count_and_crc() {
        let bytes = batch(1 << 10, 100);
        let number = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        assert_eq!(number(8) as usize, bytes.len() - 12);
        assert_eq!(number(57), 9);
        assert_eq!(number(17), crc32c::crc32c(&bytes[21..]));
    }

    #[test]
    fn a_request_starts_with_its_size() {
        for bytes in [produce("t", 0, b"batch"), fetch("t", 0, 0, 100)] {
            let size = u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
            assert_eq!(size as usize, bytes.len() - 4);
        }
    }
}
