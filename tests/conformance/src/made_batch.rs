//! Record batches made by hand, right and wrong ones: the rig shares no code with what it tests. [`crate::batches`] reads them.

use crate::batches::crc32c;

/// A batch's header fields; every one may lie.
#[derive(Clone, Debug)]
pub struct MadeBatch {
    /// Offset of the first record.
    pub base_offset: i64,
    /// 2 for the only format that is served.
    pub magic: u8,
    /// Codec in the lowest three bits, then timestamp type, transactional, control, delete horizon.
    pub attributes: i16,
    /// Offset of the last record less the first's.
    pub last_offset_delta: i32,
    /// Timestamp of the first record, ms.
    pub base_timestamp: i64,
    /// The largest timestamp, ms.
    pub max_timestamp: i64,
    /// Producer id, epoch and sequence; -1 for none.
    pub producer: (i64, i16, i32),
    /// How many records there are.
    pub count: i32,
    /// The records, compressed as the attributes say.
    pub payload: Vec<u8>,
}

impl MadeBatch {
    /// A right batch of these records at `time`.
    pub fn of(time: i64, records: &[Vec<u8>]) -> MadeBatch {
        let count = i32::try_from(records.len()).unwrap_or(i32::MAX);
        MadeBatch {
            base_offset: 0,
            magic: 2,
            attributes: 0,
            last_offset_delta: count - 1,
            base_timestamp: time,
            max_timestamp: time,
            producer: (-1, -1, -1),
            count,
            payload: records.concat(),
        }
    }

    /// Its bytes, with a right length and checksum.
    pub fn bytes(&self) -> Vec<u8> {
        let mut checked = self.attributes.to_be_bytes().to_vec();
        checked.extend(self.last_offset_delta.to_be_bytes());
        checked.extend(self.base_timestamp.to_be_bytes());
        checked.extend(self.max_timestamp.to_be_bytes());
        checked.extend(self.producer.0.to_be_bytes());
        checked.extend(self.producer.1.to_be_bytes());
        checked.extend(self.producer.2.to_be_bytes());
        checked.extend(self.count.to_be_bytes());
        checked.extend(&self.payload);
        let mut bytes = self.base_offset.to_be_bytes().to_vec();
        bytes.extend(i32::try_from(checked.len() + 9).unwrap_or(i32::MAX).to_be_bytes());
        bytes.extend([0, 0, 0, 0, self.magic]);
        bytes.extend(crc32c(&checked).to_be_bytes());
        bytes.extend(checked);
        bytes
    }
}

/// A record with its length before it.
pub fn record(offset_delta: i64, key: Option<&[u8]>, value: Option<&[u8]>) -> Vec<u8> {
    let mut body = vec![0];
    varint(&mut body, 0);
    varint(&mut body, offset_delta);
    field(&mut body, key);
    field(&mut body, value);
    varint(&mut body, 0);
    sized(&body)
}

/// `body` with its length before it, as a varint.
pub fn sized(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint(&mut out, i64::try_from(body.len()).unwrap_or(i64::MAX));
    out.extend(body);
    out
}

fn field(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    varint(out, bytes.map_or(-1, |bytes| i64::try_from(bytes.len()).unwrap_or(i64::MAX)));
    out.extend(bytes.unwrap_or_default());
}

/// A signed varint, zigzag as in records.
pub fn varint(out: &mut Vec<u8>, value: i64) {
    let mut left = ((value << 1) ^ (value >> 63)).cast_unsigned();
    while left >= 0x80 {
        out.push((left & 0x7f) as u8 | 0x80);
        left >>= 7;
    }
    out.push(left as u8);
}

#[cfg(test)]
mod tests {
    use super::varint;

    #[test]
    fn varints_are_zigzag() {
        for (value, bytes) in [(0, &[0][..]), (-1, &[1]), (1, &[2]), (64, &[0x80, 1]), (i64::MIN, &[0xff; 9])] {
            let mut out = Vec::new();
            varint(&mut out, value);
            assert!(out.starts_with(bytes), "{value}: {out:?}");
        }
    }
}
