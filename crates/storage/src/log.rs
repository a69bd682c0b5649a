//! The log of one partition: an ordered run of segments.
//!
//! Invariants: offsets ascend without reuse; the log start never passes the high watermark it was given; after an IO error the
//! log takes nothing more (R21, R24); what lies below the recovery point is never truncated, only reported (R26).

mod aborted;
mod cut;
mod files;
mod flush;
mod open;
mod read;
mod recover;
mod reload;
mod retain;
mod swap;
mod window;

use crate::TxnEntry;
use crate::disk::Disk;
use crate::epochs::LeaderEpochs;
use crate::error::{AppendError, DiskError, LogError};
use crate::file_names::path;
use crate::producers::{ProducerStates, snapshot_name};
use crate::segment::Segment;
use crate::ticket::WriteAheadKey;
use crate::write_ahead::WriteAhead;
use base::{LeaderEpoch, Offset, Timestamp};
use record::{BATCH_OVERHEAD, BatchHeader, BatchView, TimestampType, ValidBatch};
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use read::{FoundTimestamp, Slice};
pub use recover::{Recovery, RecoveryWatch};
pub use retain::Deletion;

/// Measures of recovery that are left out, so that a test can show that it would notice. The product leaves out none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Indexes above the recovery point are taken as they are found.
    pub index_rebuild: bool,
    /// A torn tail stays where it is.
    pub torn_tail_cut: bool,
    /// Producers are what the last snapshot says.
    pub producer_replay: bool,
}

/// The settings of a log, from its topic's configs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    /// `segment.bytes`.
    pub segment_bytes: u64,
    /// `segment.ms`.
    pub segment_ms: i64,
    /// `segment.index.bytes`.
    pub segment_index_bytes: u64,
    /// `index.interval.bytes`.
    pub index_interval_bytes: u64,
    /// `retention.ms`; -1 for ever.
    pub retention_ms: i64,
    /// `retention.bytes`; -1 for any size.
    pub retention_bytes: i64,
    /// `cleanup.policy` contains `delete`.
    pub delete: bool,
    /// `cleanup.policy` contains `compact`: offsets may be missing.
    pub compact: bool,
    /// `file.delete.delay.ms`.
    pub file_delete_delay_ms: i64,
    /// `producer.id.expiration.ms`.
    pub producer_id_expiration_ms: i64,
    /// `max.decompressed.message.bytes`: what one record of a compressed batch may hold when it is looked up by time.
    pub decompressed_bytes_max: usize,
    /// Nothing, but in negative controls.
    pub left_out: LeftOut,
}

impl Default for LogConfig {
    /// Kafka's defaults.
    fn default() -> Self {
        Self {
            segment_bytes: 1 << 30,
            segment_ms: 7 * 24 * 3_600_000,
            segment_index_bytes: 10 << 20,
            index_interval_bytes: 4_096,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            delete: true,
            compact: false,
            file_delete_delay_ms: 60_000,
            producer_id_expiration_ms: 86_400_000,
            decompressed_bytes_max: i32::MAX as usize - 8,
            left_out: LeftOut::default(),
        }
    }
}

/// What a log is opened with.
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// The partition's folder.
    pub dir: PathBuf,
    /// Its settings, shared with the topic's other logs.
    pub config: Arc<LogConfig>,
    /// Up to where the log is known to be on disk.
    pub recovery_point: Offset,
    /// The log start of the checkpoint.
    pub log_start: Offset,
    /// Below it Kafka's cleaner has compacted the log, whatever the topic's policy is by now; 0 when it never has.
    pub compacted_to: Offset,
    /// Whether the log dir was stopped cleanly, so that nothing has to be scanned.
    pub clean: bool,
}

/// What became of an appended batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its append time under LogAppendTime, else [`Timestamp::NONE`].
    pub log_append_time: Timestamp,
    /// The log's start.
    pub log_start_offset: Offset,
    /// The batch repeats one that is in the log already; nothing was written.
    pub duplicate: bool,
}

/// The log of one partition.
#[derive(Debug)]
pub struct Log {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    config: Arc<LogConfig>,
    /// At least one; the last is the active one.
    segments: Vec<Segment>,
    log_start: Offset,
    log_end: Offset,
    recovery_point: Offset,
    /// See [`LogOptions::compacted_to`].
    compacted_to: Offset,
    producers: ProducerStates,
    epochs: LeaderEpochs,
    /// Files beside the segments that the next flush syncs: below the recovery point they are trusted.
    unsynced: Vec<PathBuf>,
    /// Names of segments, or of what the next start needs to know whose they are, that are not on disk yet.
    names_dirty: bool,
    /// The folder was made, and its own name is not on disk yet.
    folder_is_new: bool,
    /// The epochs' file lacks an epoch that records were appended in. It is written with the next flush: recovery reads the epochs of
    /// what is not flushed back from the batches.
    epochs_dirty: bool,
    /// An epoch has begun that no record was appended in yet.
    epoch_pending: bool,
    /// Something was written since the log was opened or flushed.
    touched: bool,
    /// What was written since the log was opened or closed was flushed, which leaves out what only a close writes.
    unclosed: bool,
    /// The snapshot that the last flush wrote of the producers; the next one replaces it.
    flushed_snapshot: Option<Offset>,
    /// How often the log was cut: a sync that began before says nothing of what was appended after.
    cuts: u64,
    /// Where the log's bytes may be made durable before its segments are synced.
    write_ahead: Option<(Arc<WriteAhead>, WriteAheadKey)>,
    /// The error after which nothing is taken any more.
    offline: Option<Box<DiskError>>,
}

impl Log {
    /// The partition's folder.
    #[must_use]
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The first offset that can be read.
    #[must_use]
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The offset that the next record gets.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Up to where the log is known to be on disk.
    #[must_use]
    pub fn recovery_point(&self) -> Offset {
        self.recovery_point
    }

    /// Where its leader epochs began.
    #[must_use]
    pub fn epochs(&self) -> &LeaderEpochs {
        &self.epochs
    }

    /// Its producers.
    #[must_use]
    pub fn producers(&self) -> &ProducerStates {
        &self.producers
    }

    /// Its settings.
    #[must_use]
    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// New settings, from the next append or retention pass on.
    pub fn reconfigure(&mut self, config: impl Into<Arc<LogConfig>>) {
        self.config = config.into();
    }

    /// Bytes of all segments.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.size).sum()
    }

    /// How many segments there are.
    #[must_use]
    pub fn segment_count(&self) -> usize {
        self.segments.len()
    }

    /// Why the log takes nothing any more, if so.
    #[must_use]
    pub fn offline(&self) -> Option<&DiskError> {
        self.offline.as_deref()
    }

    /// Takes the log offline: its disk has failed elsewhere.
    pub fn fail(&mut self, error: DiskError) {
        self.offline.get_or_insert_with(|| Box::new(error));
    }

    /// Appends a validated batch as the leader: it gets the next offsets and `epoch`.
    ///
    /// # Errors
    /// See [`AppendError`]; after a disk error the log is offline.
    pub fn append(
        &mut self,
        now: Timestamp,
        batch: &ValidBatch<'_>,
        epoch: LeaderEpoch,
    ) -> Result<Appended, AppendError> {
        self.check_online()?;
        if let Some(repeated) = self.check_producer(batch.header())? {
            return Ok(Appended {
                first_offset: repeated.first_offset,
                last_offset: repeated.last_offset,
                log_append_time: append_time(batch.header(), repeated.timestamp),
                log_start_offset: self.log_start,
                duplicate: true,
            });
        }
        let first_offset = self.log_end;
        let stamped = batch.stamp(first_offset, epoch);
        let header = BatchHeader { base_offset: first_offset, leader_epoch: epoch, ..*batch.header() };
        self.write(now, &[&stamped, batch.payload()], &header)?;
        Ok(Appended {
            first_offset,
            last_offset: header.last_offset(),
            log_append_time: append_time(&header, header.max_timestamp),
            log_start_offset: self.log_start,
            duplicate: false,
        })
    }

    /// Appends batches that carry their offsets and epochs: a follower's, or the metadata log's.
    ///
    /// # Errors
    /// See [`AppendError`]; batches before the bad one are in the log.
    pub fn append_as_follower(&mut self, now: Timestamp, bytes: &[u8]) -> Result<(), AppendError> {
        self.check_online()?;
        for batch in record::Batches::new(bytes) {
            let batch = batch?;
            batch.verify_crc()?;
            let header = batch.header;
            if header.base_offset != self.log_end {
                return Err(AppendError::NotContiguous { expected: self.log_end, got: header.base_offset });
            }
            if let Some(current) = self.epochs.latest().filter(|current| *current > header.leader_epoch) {
                return Err(AppendError::StaleEpoch { current, got: header.leader_epoch });
            }
            self.write(now, &[batch.bytes()], &header)?;
        }
        Ok(())
    }

    fn check_online(&self) -> Result<(), AppendError> {
        match &self.offline {
            Some(error) => Err(AppendError::Offline(error.as_ref().clone())),
            None => Ok(()),
        }
    }

    fn write(&mut self, now: Timestamp, bytes: &[&[u8]], header: &BatchHeader) -> Result<(), AppendError> {
        let written = self.write_or_fail(now, bytes, header);
        written.map_err(|error| {
            self.fail(error.clone());
            AppendError::Offline(error)
        })
    }

    fn write_or_fail(&mut self, now: Timestamp, bytes: &[&[u8]], header: &BatchHeader) -> Result<(), DiskError> {
        if self.must_roll(now, header)? {
            self.roll_at(self.log_end)?;
        }
        // R04: the epoch's start is known after a crash, from the file or from its first record.
        let is_new = self.epochs.assign(header.leader_epoch, header.base_offset);
        self.epochs_dirty |= std::mem::take(&mut self.epoch_pending) || is_new;
        self.touched = true;
        let segment = self.segments.last_mut().expect("a log has a segment");
        segment.begun_by(now);
        segment.append(self.disk.as_ref(), &self.dir, bytes, header, self.config.index_interval_bytes)?;
        self.log_end = header.next_offset();
        self.note_producer(header, bytes)
    }

    /// Folds a batch that was written into the producers' state, and an abort into the transaction index.
    fn note_producer(&mut self, header: &BatchHeader, bytes: &[&[u8]]) -> Result<(), DiskError> {
        match self.fold_producer(header, bytes) {
            Some(aborted) => self.append_aborted(self.segments.len() - 1, aborted),
            None => Ok(()),
        }
    }

    /// Folds a batch into the producers' state; returns the transaction that it aborts. Only of a marker the bytes are looked at.
    fn fold_producer(&mut self, header: &BatchHeader, bytes: &[&[u8]]) -> Option<TxnEntry> {
        if !header.has_producer_id() {
            return None;
        }
        let marker = if header.is_control() { read_marker(header, bytes) } else { None };
        let first_offset = self.producers.apply(header, marker)?;
        let (_, commits) = marker?;
        let last_stable_offset = self.producers.first_unstable(header.next_offset()).unwrap_or(header.next_offset());
        let aborted = TxnEntry {
            producer_id: header.producer_id,
            first_offset,
            last_offset: header.last_offset(),
            last_stable_offset,
        };
        (!commits).then_some(aborted)
    }

    fn active(&mut self) -> Active<'_> {
        let dir = &self.dir;
        let segment = self.segments.last_mut().expect("a log has a segment");
        Active { segment, dir }
    }

    fn must_roll(&mut self, now: Timestamp, header: &BatchHeader) -> Result<bool, DiskError> {
        let Self { disk, dir, config, segments, .. } = self;
        let segment = segments.last_mut().expect("a log has a segment");
        if segment.size == 0 {
            return Ok(false);
        }
        // A place is kept for the time that closes the segment: Kafka maps no more than `segment.index.bytes`, and does not start when the
        // active segment's index is longer.
        if segment.size + header.size as u64 > config.segment_bytes
            || !segment.can_hold(header.last_offset())
            || segment.offsets.bytes() + 8 > config.segment_index_bytes
            || segment.times.bytes() + 2 * 12 > config.segment_index_bytes
        {
            return Ok(true);
        }
        let first = segment.first_timestamp(disk.as_ref(), dir).map_err(|error| match error {
            crate::ReadError::Disk(error) => error,
            other => DiskError::on("read", dir)(std::io::Error::other(other.to_string())),
        })?;
        // By the records' own times, so that old ones may be copied in without a segment for each; by the clock where they have none.
        let age = match first.filter(|first| first.0 >= 0) {
            Some(first) => header.max_timestamp.millis_since(first),
            None => now.millis_since(segment.begun_by(now)),
        };
        Ok(age > config.segment_ms)
    }

    /// Begins a new segment at the log's end, if the active one has records.
    ///
    /// # Errors
    /// Disk errors, after which the log is offline.
    pub fn roll(&mut self) -> Result<(), DiskError> {
        if self.active().segment.size == 0 {
            return Ok(());
        }
        let rolled = self.roll_at(self.log_end);
        if let Err(error) = &rolled {
            self.fail(error.clone());
        }
        rolled
    }

    fn roll_at(&mut self, base: Offset) -> Result<(), DiskError> {
        self.touched = true;
        let disk = Arc::clone(&self.disk);
        let Active { segment, dir } = self.active();
        segment.flush_indexes(disk.as_ref(), dir, true)?;
        let rolled = segment.base;
        self.store_producers(base)?;
        self.sync_indexes_of(rolled);
        let segment = Segment::create(disk.as_ref(), &self.dir, base)?;
        self.segments.push(segment);
        self.names_dirty = true;
        Ok(())
    }

    /// Once the recovery point has passed a segment its indexes are trusted, so they are synced with the segment.
    fn sync_indexes_of(&mut self, base: Offset) {
        for suffix in ["index", "timeindex"] {
            self.sync_with_flush(path(&self.dir, base, suffix));
        }
    }

    /// Lets the next flush sync a file. By name: a log at rest holds no descriptor.
    fn sync_with_flush(&mut self, file: PathBuf) {
        if !self.unsynced.contains(&file) {
            self.unsynced.push(file);
        }
    }

    /// Writes the producers' state before `offset`, also when there is none, as Kafka does.
    fn store_producers(&mut self, offset: Offset) -> Result<(), DiskError> {
        let file_path = self.dir.join(snapshot_name(offset));
        let file =
            self.disk.open(&file_path, crate::OpenMode::Truncate).map_err(DiskError::on("create", &file_path))?;
        file.write_all_at(&[&self.producers.to_snapshot()], 0).map_err(DiskError::on("write", &file_path))?;
        self.sync_with_flush(file_path);
        Ok(())
    }

    /// Lets ended transactions below the high watermark go, and producers that have not written for long.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        self.producers.on_high_watermark(high_watermark);
    }

    /// Forgets idle producers.
    pub fn expire_producers(&mut self, now: Timestamp) {
        self.producers.expire(now, self.config.producer_id_expiration_ms);
    }

    /// Lets the descriptors of clean segments go.
    pub fn release_files(&mut self) {
        self.segments.iter_mut().for_each(Segment::release);
    }

    /// Notes that `epoch` begins at the log's end. It is written with the first record of the epoch: an epoch without records
    /// says nothing that a log without it does not.
    pub fn begin_epoch(&mut self, epoch: LeaderEpoch) {
        self.epoch_pending |= self.epochs.assign(epoch, self.log_end);
    }
}

/// The active segment with the folder that its files are in.
struct Active<'l> {
    segment: &'l mut Segment,
    dir: &'l Path,
}

/// When a batch whose newest time is `newest` was appended, if its topic says so.
fn append_time(header: &BatchHeader, newest: Timestamp) -> Timestamp {
    match header.timestamp_type() {
        TimestampType::LogAppendTime => newest,
        TimestampType::CreateTime => Timestamp::NONE,
    }
}

/// The coordinator's epoch of a transaction marker, and whether it commits.
fn read_marker(header: &BatchHeader, bytes: &[&[u8]]) -> Option<(i32, bool)> {
    let whole: Vec<u8> = bytes.concat();
    debug_assert!(whole.len() >= BATCH_OVERHEAD);
    let (mut view, _) = BatchView::parse(&whole).ok()?;
    view.header = *header;
    let mut scratch = Vec::new();
    let record = view.records(&mut scratch, 1 << 20).ok()?.next()?.ok()?;
    let commits = match record::control::ControlType::from_key(record.key?)? {
        record::control::ControlType::Commit => true,
        record::control::ControlType::Abort => false,
        _ => return None,
    };
    let marker = record::control::EndTxnMarker::decode(record.value?)?;
    Some((marker.coordinator_epoch, commits))
}

/// A fault that is not the disk's.
fn corrupt(path: PathBuf, position: u64, what: impl std::fmt::Display) -> LogError {
    LogError::Corrupt { path, position, what: what.to_string() }
}

#[cfg(test)]
mod tests;
