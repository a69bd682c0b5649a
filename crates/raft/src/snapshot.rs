//! Snapshots (KIP-630): a stream of batches between a header and a footer; files are the shell's.

use base::{LeaderEpoch, Offset, Timestamp};
use record::control::{ControlType, KRaftVersion, MalformedControl, SnapshotFooter, SnapshotHeader, Voters};
use record::{BatchBuilder, BatchError, BatchOptions, Batches, NewRecord};

/// Bytes of records after which a batch is closed.
const BATCH_BYTES: usize = 1 << 20;
/// Records of a batch may decompress to no more than this.
const DECOMPRESSED_MAX: usize = 64 << 20;

/// What a snapshot contains everything of: all records below an offset, the last of them in an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SnapshotId {
    /// The offset after the last record that it contains.
    pub end_offset: Offset,
    /// The epoch of that record.
    pub epoch: LeaderEpoch,
}

impl SnapshotId {
    /// The snapshot that `format` writes: the bootstrap records. It is never replicated.
    pub const BOOTSTRAP: SnapshotId = SnapshotId { end_offset: Offset(0), epoch: LeaderEpoch(0) };

    /// Its file's name.
    #[must_use]
    pub fn file_name(self) -> String {
        format!("{:020}-{:010}.checkpoint", self.end_offset.0, self.epoch.0)
    }

    /// The snapshot of a file's name; `None` for other files.
    #[must_use]
    pub fn parse(name: &str) -> Option<SnapshotId> {
        let (offset, epoch) = name.strip_suffix(".checkpoint")?.split_once('-')?;
        let well_formed = offset.len() == 20 && epoch.len() == 10;
        let id = SnapshotId { end_offset: Offset(offset.parse().ok()?), epoch: LeaderEpoch(epoch.parse().ok()?) };
        well_formed.then_some(id)
    }
}

/// Why a snapshot cannot be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SnapshotError {
    /// A batch is damaged.
    #[error("a batch is damaged: {0}")]
    Batch(#[from] BatchError),
    /// A control record is malformed.
    #[error(transparent)]
    Control(#[from] MalformedControl),
    /// It has no footer: it was not finished.
    #[error("it does not end in a footer: it was not finished")]
    Unfinished,
}

/// Builds a snapshot's bytes.
#[derive(Debug)]
pub struct SnapshotWriter {
    epoch: LeaderEpoch,
    now: Timestamp,
    bytes: Vec<u8>,
    offset: Offset,
    open: Option<BatchBuilder>,
}

impl SnapshotWriter {
    /// Begins a snapshot with its header, and the voters when the quorum is dynamic.
    #[must_use]
    pub fn new(id: SnapshotId, last_contained: Timestamp, now: Timestamp, voters: Option<&Voters>) -> Self {
        let mut writer = Self { epoch: id.epoch, now, bytes: Vec::new(), offset: Offset::ZERO, open: None };
        let header = SnapshotHeader { last_contained_log_timestamp: last_contained };
        let mut records = vec![(ControlType::SnapshotHeader, header.encode())];
        if let Some(voters) = voters {
            records.push((ControlType::KRaftVersion, KRaftVersion { level: 1 }.encode()));
            records.push((ControlType::KRaftVoters, voters.encode()));
        }
        writer.control(&records);
        writer
    }

    fn builder(&self, control: bool) -> BatchBuilder {
        let options =
            BatchOptions { base_offset: self.offset, leader_epoch: self.epoch, control, ..BatchOptions::default() };
        BatchBuilder::new(options)
    }

    fn control(&mut self, records: &[(ControlType, Vec<u8>)]) {
        let mut batch = self.builder(true);
        for (kind, value) in records {
            batch.append(&NewRecord { timestamp: self.now, key: Some(&kind.key()), value: Some(value), headers: &[] });
        }
        self.close(batch);
    }

    fn close(&mut self, batch: BatchBuilder) {
        self.offset = self.offset.plus(i64::from(batch.record_count()));
        self.bytes.extend(batch.build());
    }

    /// Adds a record's frame.
    pub fn append(&mut self, frame: &[u8]) {
        let mut batch = self.open.take().unwrap_or_else(|| self.builder(false));
        batch.append(&NewRecord { timestamp: self.now, key: None, value: Some(frame), headers: &[] });
        if batch.uncompressed_size() >= BATCH_BYTES {
            self.close(batch);
        } else {
            self.open = Some(batch);
        }
    }

    /// Ends the snapshot with its footer.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        if let Some(batch) = self.open.take() {
            self.close(batch);
        }
        self.control(&[(ControlType::SnapshotFooter, SnapshotFooter.encode())]);
        self.bytes
    }
}

/// What a snapshot says.
#[derive(Clone, Debug, Default)]
pub struct SnapshotReader {
    /// Append time of the last record that it contains.
    pub last_contained: Timestamp,
    /// The level of kraft.version.
    pub kraft_version: i16,
    /// The voters of a dynamic quorum.
    pub voters: Option<Voters>,
    /// The frames of its records.
    pub frames: Vec<Vec<u8>>,
}

impl SnapshotReader {
    /// Reads a snapshot's bytes.
    ///
    /// # Errors
    /// Damage; a missing footer.
    pub fn read(bytes: &[u8]) -> Result<SnapshotReader, SnapshotError> {
        let mut reader = SnapshotReader::default();
        let mut finished = false;
        let mut scratch = Vec::new();
        for batch in Batches::new(bytes) {
            let batch = batch?;
            batch.verify_crc()?;
            let control = batch.header.is_control();
            for record in batch.records(&mut scratch, DECOMPRESSED_MAX)? {
                let record = record?;
                let value = record.value.unwrap_or_default();
                if !control {
                    reader.frames.push(value.to_vec());
                    continue;
                }
                match record.key.and_then(ControlType::from_key) {
                    Some(ControlType::SnapshotHeader) => {
                        reader.last_contained = SnapshotHeader::decode(value)?.last_contained_log_timestamp;
                    }
                    Some(ControlType::KRaftVersion) => reader.kraft_version = KRaftVersion::decode(value)?.level,
                    Some(ControlType::KRaftVoters) => reader.voters = Some(Voters::decode(value)?),
                    Some(ControlType::SnapshotFooter) => finished = true,
                    _ => {}
                }
            }
        }
        if finished { Ok(reader) } else { Err(SnapshotError::Unfinished) }
    }
}

#[cfg(test)]
mod tests {
    use super::{SnapshotError, SnapshotId, SnapshotReader, SnapshotWriter};
    use base::{LeaderEpoch, Offset, Timestamp};
    use record::control::Voters;

    #[test]
    fn snapshots_round_trip_and_cut_ones_are_unfinished() {
        let id = SnapshotId { end_offset: Offset(12), epoch: LeaderEpoch(3) };
        let voters = Voters { voters: vec![] };
        let mut writer = SnapshotWriter::new(id, Timestamp(8), Timestamp(9), Some(&voters));
        let frames: Vec<Vec<u8>> = (0..3_000_u32).map(|i| vec![(i % 251) as u8; 1_000]).collect();
        frames.iter().for_each(|frame| writer.append(frame));
        let bytes = writer.finish();
        let read = SnapshotReader::read(&bytes).unwrap();
        assert_eq!((read.last_contained, read.kraft_version, read.voters), (Timestamp(8), 1, Some(voters)));
        assert_eq!(read.frames, frames);
        let footer = bytes.len() - 73;
        assert!(matches!(
            SnapshotReader::read(&bytes[..footer]),
            Err(SnapshotError::Unfinished | SnapshotError::Batch(_))
        ));
    }

    #[test]
    fn names_are_kafkas() {
        let id = SnapshotId { end_offset: Offset(12), epoch: LeaderEpoch(3) };
        assert_eq!(id.file_name(), "00000000000000000012-0000000003.checkpoint");
        assert_eq!(SnapshotId::parse(&id.file_name()), Some(id));
        assert_eq!(SnapshotId::parse("00000000000000000012-0000000003.checkpoint.deleted"), None);
    }
}
