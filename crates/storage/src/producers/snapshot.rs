//! The `.snapshot` file: version i16, CRC-32C of what follows, count i32, then an entry a producer.

use super::{ProducerBatch, ProducerEntry, ProducerStates};
use base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use record::crc32c;

const VERSION: i16 = 1;
const ENTRY: usize = 46;
const HEAD: usize = 10;

/// The file that holds the state before `offset`.
pub(crate) fn file_name(offset: Offset) -> String {
    format!("{:020}.snapshot", offset.0)
}

impl ProducerStates {
    /// The snapshot file's bytes. As in Kafka only the last batch of each producer is kept.
    #[must_use]
    pub fn to_snapshot(&self) -> Vec<u8> {
        let mut body = Vec::with_capacity(4 + self.producers.len() * ENTRY);
        body.extend_from_slice(&i32::try_from(self.producers.len()).unwrap_or(i32::MAX).to_be_bytes());
        for (id, entry) in &self.producers {
            let last = entry.batches.back();
            let delta = last.map_or(0, |batch| batch.last_offset.0 - batch.first_offset.0);
            body.extend_from_slice(&id.0.to_be_bytes());
            body.extend_from_slice(&entry.epoch.0.to_be_bytes());
            body.extend_from_slice(&entry.last_sequence().to_be_bytes());
            body.extend_from_slice(&last.map_or(-1, |batch| batch.last_offset.0).to_be_bytes());
            body.extend_from_slice(&i32::try_from(delta).unwrap_or(0).to_be_bytes());
            body.extend_from_slice(&entry.last_timestamp.0.to_be_bytes());
            body.extend_from_slice(&entry.coordinator_epoch.to_be_bytes());
            body.extend_from_slice(&entry.txn_first_offset.map_or(-1, |offset| offset.0).to_be_bytes());
        }
        let mut bytes = VERSION.to_be_bytes().to_vec();
        bytes.extend_from_slice(&crc32c(&body).to_be_bytes());
        bytes.extend_from_slice(&body);
        bytes
    }

    /// The state in a snapshot file; `None` when the file is damaged, so that the caller rebuilds it from the log (R23).
    #[must_use]
    pub fn from_snapshot(bytes: &[u8]) -> Option<ProducerStates> {
        let version = i16::from_be_bytes(bytes.get(..2)?.try_into().ok()?);
        let crc = u32::from_be_bytes(bytes.get(2..6)?.try_into().ok()?);
        if version != VERSION || crc != crc32c(bytes.get(6..)?) {
            return None;
        }
        let count = i32::from_be_bytes(bytes.get(6..HEAD)?.try_into().ok()?);
        let entries = bytes.get(HEAD..)?;
        if entries.len() != usize::try_from(count).ok()?.checked_mul(ENTRY)? {
            return None;
        }
        let mut states = ProducerStates::default();
        for entry in entries.chunks_exact(ENTRY) {
            states.load(entry);
        }
        Some(states)
    }

    fn load(&mut self, raw: &[u8]) {
        let long = |at: usize| i64::from_be_bytes(raw[at..at + 8].try_into().expect("eight bytes"));
        let int = |at: usize| i32::from_be_bytes(raw[at..at + 4].try_into().expect("four bytes"));
        let id = ProducerId(long(0));
        let mut entry = ProducerEntry::new(ProducerEpoch(i16::from_be_bytes([raw[8], raw[9]])));
        let (last_sequence, last_offset, delta) = (int(10), long(14), int(22));
        entry.last_timestamp = Timestamp(long(26));
        entry.coordinator_epoch = int(34);
        entry.txn_first_offset = Some(long(38)).filter(|offset| *offset >= 0).map(Offset);
        if last_sequence >= 0 {
            let first = i64::from(last_sequence) - i64::from(delta);
            entry.batches.push_back(ProducerBatch {
                first_sequence: if first >= 0 { first as i32 } else { (first + i64::from(i32::MAX) + 1) as i32 },
                last_sequence,
                first_offset: Offset(last_offset - i64::from(delta)),
                last_offset: Offset(last_offset),
                timestamp: entry.last_timestamp,
            });
            // A sequence of 0 is the first of its epoch: nothing of the window comes before it.
            entry.is_partial = first != 0;
        }
        if let Some(first) = entry.txn_first_offset {
            self.open.insert(first, id);
        }
        self.producers.insert(id, entry);
    }
}
