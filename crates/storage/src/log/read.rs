//! Looking offsets up by offset and by time. Nothing is copied: a reader gets a range of a file.

use super::Log;
use crate::commit::sync_files;
use crate::disk::{DiskFile, OpenMode};
use crate::error::{DiskError, ReadError};
use crate::file_names::path;
use crate::segment::Located;
use base::{LeaderEpoch, Offset, Timestamp};
use record::{BatchView, Scratch, TimestampType};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;

/// Where the topic's id stands until it is synced.
const TOPIC_ID_BESIDE: &str = "partition.metadata.tmp";

/// A run of whole batches of one segment; the last may be cut off by the size limit, as Kafka's are.
#[derive(Clone, Debug)]
pub struct Slice {
    /// The file.
    pub file: Arc<dyn DiskFile>,
    /// Where the first batch begins.
    pub position: u64,
    /// How many bytes; 0 when there is nothing below the bound.
    pub len: usize,
    /// From here on the file was written lately by this process: it is in memory, and looking would only cost a system call.
    pub recent_from: u64,
}

/// A record by its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundTimestamp {
    /// The record's timestamp.
    pub timestamp: Timestamp,
    /// Its offset.
    pub offset: Offset,
    /// The epoch that it was appended in.
    pub epoch: LeaderEpoch,
}

impl Log {
    /// The batches from the one that holds `from` on, up to `upper` (exclusive) and about `bytes_max` bytes. With `at_least_one`
    /// the first batch comes whole, whatever its size (KIP-74).
    ///
    /// # Errors
    /// [`ReadError::OutOfRange`] outside of the log; disk errors; damage.
    pub fn read(
        &mut self,
        from: Offset,
        upper: Offset,
        bytes_max: usize,
        at_least_one: bool,
    ) -> Result<Slice, ReadError> {
        if from < self.log_start || from > self.log_end {
            return Err(ReadError::OutOfRange { offset: from, start: self.log_start, end: self.log_end });
        }
        let disk = Arc::clone(&self.disk);
        let upper = upper.min(self.log_end);
        let mut at = self.segments.partition_point(|segment| segment.base <= from).saturating_sub(1);
        loop {
            let next_base = self.segments.get(at + 1).map(|next| next.base);
            let segment = &mut self.segments[at];
            let found = if from < upper { segment.locate(disk.as_ref(), &self.dir, from)? } else { None };
            let Some(first) = found.filter(|found| found.header.base_offset < upper) else {
                // The offset may be in a gap at the end of a segment, which compaction leaves.
                if next_base.is_some_and(|base| base < upper) {
                    at += 1;
                    continue;
                }
                let file = self.segments[at].file(disk.as_ref(), &self.dir)?;
                return Ok(Slice { file, position: 0, len: 0, recent_from: 0 });
            };
            let end = if next_base.map_or(upper >= self.log_end, |base| upper >= base) {
                segment.size
            } else {
                segment.end_before(disk.as_ref(), &self.dir, upper)?
            };
            let available = usize::try_from(end - first.position).unwrap_or(usize::MAX);
            let least = if at_least_one { first.header.size } else { 0 };
            let len = available.min(bytes_max.max(least));
            let file = segment.file(disk.as_ref(), &self.dir)?;
            return Ok(Slice {
                file,
                position: first.position,
                len,
                recent_from: segment.recent_from(next_base.is_none()),
            });
        }
    }

    /// The first record at or after `time`.
    ///
    /// # Errors
    /// Disk errors; damage.
    pub fn offset_for_time(&mut self, time: Timestamp) -> Result<Option<FoundTimestamp>, ReadError> {
        let disk = Arc::clone(&self.disk);
        for at in 0..self.segments.len() {
            let (max, _) = self.segments[at].max_timestamp(disk.as_ref(), &self.dir)?;
            if max < time {
                continue;
            }
            let mut found = self.segments[at].locate_time(disk.as_ref(), &self.dir, time)?;
            while let Some(batch) = found {
                if let Some(record) = self.record_at_time(at, &batch, time)? {
                    return Ok(Some(record));
                }
                let next = batch.position + batch.header.size as u64;
                found =
                    self.segments[at].scan(disk.as_ref(), &self.dir, next, |header| header.max_timestamp >= time)?;
            }
        }
        Ok(None)
    }

    /// The record with the largest timestamp of the log, the first of them (KIP-734).
    ///
    /// # Errors
    /// Disk errors; damage.
    pub fn max_timestamp(&mut self) -> Result<Option<FoundTimestamp>, ReadError> {
        let disk = Arc::clone(&self.disk);
        let mut best: Option<(Timestamp, Offset, usize)> = None;
        for at in 0..self.segments.len() {
            let (timestamp, offset) = self.segments[at].max_timestamp(disk.as_ref(), &self.dir)?;
            if timestamp.0 >= 0 && best.is_none_or(|(known, ..)| timestamp > known) {
                best = Some((timestamp, offset, at));
            }
        }
        let Some((timestamp, offset, at)) = best else { return Ok(None) };
        match self.segments[at].locate(disk.as_ref(), &self.dir, offset)? {
            Some(batch) => self.record_at_time(at, &batch, timestamp),
            None => Ok(None),
        }
    }

    /// The first record of a batch at or after `time`, and within the log.
    fn record_at_time(
        &mut self,
        at: usize,
        batch: &Located,
        time: Timestamp,
    ) -> Result<Option<FoundTimestamp>, ReadError> {
        let epoch = batch.header.leader_epoch;
        if batch.header.timestamp_type() == TimestampType::LogAppendTime && batch.header.base_offset >= self.log_start {
            return Ok(Some(FoundTimestamp {
                timestamp: batch.header.max_timestamp,
                offset: batch.header.base_offset,
                epoch,
            }));
        }
        let mut bytes = vec![0; batch.header.size];
        let log = path(&self.dir, self.segments[at].base, "log");
        let file = self.segments[at].file(self.disk.as_ref(), &self.dir)?;
        let read = file.read_at(&mut bytes, batch.position).map_err(DiskError::on("read", &log))?;
        let (view, _) = BatchView::parse(&bytes[..read])?;
        let (log_start, mut found) = (self.log_start, None);
        // The config bounds one record, as in Kafka: the batch as a whole may be larger, and nothing of it is held.
        view.for_each_time(&mut Scratch::default(), self.config.decompressed_bytes_max, |timestamp, offset| {
            if timestamp >= time && offset >= log_start {
                found = Some(FoundTimestamp { timestamp, offset, epoch });
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// Reads the bytes of a slice, fewer when the file has become shorter.
    ///
    /// # Errors
    /// Disk errors.
    pub fn read_slice(&self, slice: &Slice) -> Result<Vec<u8>, DiskError> {
        let mut bytes = vec![0; slice.len];
        let read =
            slice.file.read_at(&mut bytes, slice.position).map_err(DiskError::on("read a segment of", &self.dir))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Reads the topic id that the folder's `partition.metadata` holds.
    ///
    /// # Errors
    /// Disk errors; a malformed file.
    pub fn read_topic_id(&self) -> Result<Option<base::Uuid>, crate::LogError> {
        crate::topic_id::topic_id(self.disk.as_ref(), &self.dir)
    }

    /// Writes `partition.metadata`; after a crash it is there whole or not at all, since a torn one would keep the log from being opened.
    /// Its name is synced with the log's first records.
    ///
    /// # Errors
    /// Disk errors.
    pub fn write_topic_id(&mut self, id: base::Uuid) -> Result<(), DiskError> {
        let beside = self.write_topic_id_beside(id)?;
        sync_files(self.disk.as_ref(), &self.dir, std::slice::from_ref(&beside))?;
        self.name_topic_id()
    }

    /// The first part of [`Log::write_topic_id`], so that many logs' files can be synced at once: writes beside the file, and says what is
    /// to be synced.
    ///
    /// # Errors
    /// Disk errors.
    pub fn write_topic_id_beside(&mut self, id: base::Uuid) -> Result<PathBuf, DiskError> {
        let beside = self.dir.join(TOPIC_ID_BESIDE);
        let text = crate::topic_id::text(id);
        let file = self.disk.open(&beside, OpenMode::Truncate).map_err(DiskError::on("create", &beside))?;
        file.write_all_at(&[text.as_bytes()], 0).map_err(DiskError::on("write", &beside))?;
        Ok(beside)
    }

    /// The second part, once what was written beside is synced: puts it in its place.
    ///
    /// # Errors
    /// Disk errors.
    pub fn name_topic_id(&mut self) -> Result<(), DiskError> {
        let beside = self.dir.join(TOPIC_ID_BESIDE);
        self.disk.rename(&beside, &self.dir.join(crate::topic_id::FILE)).map_err(DiskError::on("rename", &beside))?;
        self.names_dirty = true;
        Ok(())
    }
}
