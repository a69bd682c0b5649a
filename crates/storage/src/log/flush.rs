//! How a log reaches the disk: tickets for what a commit must sync, flushes after which recovery need not look, and closing.
//!
//! A commit makes records durable, in their segment or in the log dir's write-ahead file, and no more than that. Indexes, producers'
//! snapshots and the epochs' file are only written down by a flush, which is rare; until then recovery reads them back from the batches.

use super::{Active, Log};
use crate::commit::{flush_files, flush_names};
use crate::error::DiskError;
use crate::file_names::{offset_of_file, path};
use crate::producers::snapshot_name;
use crate::ticket::{FlushTicket, SyncTicket, WriteAheadKey};
use crate::write_ahead::WriteAhead;
use base::{Offset, Uuid};
use std::path::Path;
use std::sync::Arc;

impl Log {
    /// Lets commits put the log's bytes into its log dir's write-ahead file, as bytes of the topic `topic_id`, whose id is in the folder.
    pub fn attach(&mut self, write_ahead: Arc<WriteAhead>, topic_id: Uuid) {
        let folder = self.dir.file_name().map(|name| Arc::from(name.to_string_lossy()));
        self.write_ahead = folder.map(|folder| (write_ahead, WriteAheadKey { folder, topic_id }));
    }

    /// What must be synced for the records to be durable up to the log's end; `None` when they are. Clears the marks: should the sync
    /// fail, the log dir is lost anyway (R25).
    ///
    /// # Errors
    /// Disk errors while opening a file again.
    pub fn ticket(&mut self) -> Result<Option<SyncTicket>, DiskError> {
        let mut writes = Vec::new();
        let keeps = self.write_ahead.is_none();
        for segment in &mut self.segments {
            writes.extend(segment.take_dirty(self.disk.as_ref(), &self.dir, keeps)?);
        }
        let mut dirs = Vec::new();
        if std::mem::take(&mut self.names_dirty) {
            dirs.push(self.dir.clone());
        }
        if std::mem::take(&mut self.folder_is_new) {
            dirs.extend(self.dir.parent().map(Path::to_owned));
        }
        if writes.is_empty() && dirs.is_empty() {
            return Ok(None);
        }
        let key = self.write_ahead.as_ref().map(|(_, key)| key.clone());
        Ok(Some(SyncTicket { writes, dirs, up_to: self.log_end, cuts: self.cuts, key }))
    }

    /// Up to where the log is durable once `ticket` was committed; `None` when it was cut since, so that nobody can say.
    #[must_use]
    pub fn durable_end(&self, ticket: &SyncTicket) -> Option<Offset> {
        (ticket.cuts == self.cuts).then_some(ticket.up_to)
    }

    /// Writes down what recovery would otherwise read back from the batches, and says what must be synced for that; `None` for a log
    /// that is as it was found or flushed.
    ///
    /// # Errors
    /// Disk errors.
    pub fn flush_ticket(&mut self) -> Result<Option<FlushTicket>, DiskError> {
        self.prepare_flush(false)
    }

    /// As [`Log::flush_ticket`], so that the next start needs no recovery at all.
    ///
    /// # Errors
    /// Disk errors.
    pub fn close_ticket(&mut self) -> Result<Option<FlushTicket>, DiskError> {
        self.prepare_flush(true)
    }

    fn prepare_flush(&mut self, closes: bool) -> Result<Option<FlushTicket>, DiskError> {
        if let Some(error) = &self.offline {
            return Err(error.as_ref().clone());
        }
        let is_touched = std::mem::take(&mut self.touched) || (closes && self.unclosed);
        if !is_touched && !self.names_dirty {
            return Ok(None);
        }
        self.unclosed = !closes && (self.unclosed || is_touched);
        let disk = Arc::clone(&self.disk);
        let Active { segment, dir } = self.active();
        segment.flush_indexes(disk.as_ref(), dir, closes)?;
        let base = segment.base;
        self.sync_indexes_of(base);
        self.store_producers(self.log_end)?;
        if closes {
            self.retire_snapshots()?;
        }
        let mut files = std::mem::take(&mut self.unsynced);
        for segment in &mut self.segments {
            if std::mem::take(&mut segment.is_unflushed) {
                files.push(path(&self.dir, segment.base, "log"));
            }
        }
        let renames = std::mem::take(&mut self.epochs_dirty);
        if renames {
            files.push(self.epochs.store_beside(disk.as_ref(), &self.dir)?);
        }
        // The marks of unsynced names stay: a commit that runs beside this may not count on a sync that is still to come.
        let mut dirs = vec![self.dir.clone()];
        if self.folder_is_new {
            dirs.extend(self.dir.parent().map(Path::to_owned));
        }
        Ok(Some(FlushTicket { files, dirs, up_to: self.log_end, cuts: self.cuts, renames }))
    }

    /// The files of `ticket` are synced: those that wait for their name get it.
    ///
    /// # Errors
    /// Disk errors.
    pub fn name_flushed(&mut self, ticket: &FlushTicket) -> Result<(), DiskError> {
        // A cut writes the epochs itself, and newer ones.
        if ticket.renames && ticket.cuts == self.cuts {
            crate::LeaderEpochs::take_place(self.disk.as_ref(), &self.dir)?;
        }
        Ok(())
    }

    /// All of `ticket` is on disk, names too.
    ///
    /// # Errors
    /// Disk errors.
    pub fn on_flushed(&mut self, ticket: &FlushTicket) -> Result<(), DiskError> {
        if ticket.cuts != self.cuts {
            return Ok(());
        }
        self.recovery_point = self.recovery_point.max(ticket.up_to);
        let old = self.flushed_snapshot.replace(ticket.up_to);
        let is_spare = |offset: &Offset| *offset != ticket.up_to && !self.has_segment_at(*offset);
        match old.filter(is_spare) {
            Some(offset) => self.remove(&self.dir.join(snapshot_name(offset))),
            None => Ok(()),
        }
    }

    fn has_segment_at(&self, base: Offset) -> bool {
        self.segments.binary_search_by_key(&base, |segment| segment.base).is_ok()
    }

    /// Flushes the log, here and now.
    ///
    /// # Errors
    /// Disk errors.
    pub fn flush(&mut self) -> Result<(), DiskError> {
        let ticket = self.flush_ticket()?;
        self.flush_now(ticket)
    }

    /// Flushes the log so that the next start needs no recovery.
    ///
    /// # Errors
    /// Disk errors.
    pub fn close(&mut self) -> Result<(), DiskError> {
        let ticket = self.close_ticket()?;
        self.flush_now(ticket)
    }

    fn flush_now(&mut self, ticket: Option<FlushTicket>) -> Result<(), DiskError> {
        let Some(ticket) = ticket else { return Ok(()) };
        let tickets = std::slice::from_ref(&ticket);
        flush_files(self.disk.as_ref(), &self.dir, tickets)?;
        self.name_flushed(&ticket)?;
        flush_names(self.disk.as_ref(), &self.dir, tickets)?;
        self.on_flushed(&ticket)
    }

    /// Removes snapshots that nothing needs: all but those of segments and the newest two.
    fn retire_snapshots(&mut self) -> Result<(), DiskError> {
        let mut found = Vec::new();
        for entry in self.disk.list(&self.dir).map_err(DiskError::on("list", &self.dir))? {
            if let Some((offset, "snapshot")) = offset_of_file(&entry.name) {
                found.push(offset);
            }
        }
        let keep = found.len().saturating_sub(2);
        for offset in &found[..keep] {
            if !self.has_segment_at(*offset) {
                self.remove(&self.dir.join(snapshot_name(*offset)))?;
            }
        }
        Ok(())
    }

    /// Nothing from `position` of the segment at `base` on may come back from the write-ahead file.
    pub(super) fn note_cut(&self, base: Offset, position: u64) -> Result<(), DiskError> {
        match &self.write_ahead {
            Some((write_ahead, key)) => write_ahead.cut(key, base, position),
            None => Ok(()),
        }
    }
}
