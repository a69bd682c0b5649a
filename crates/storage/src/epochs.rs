//! Where each leader epoch began in a log (KIP-101): the `leader-epoch-checkpoint` file and the questions asked of it.

use crate::checkpoint::{self, Lines};
use crate::disk::{Disk, OpenMode};
use crate::error::{DiskError, LogError};
use base::{LeaderEpoch, Offset};
use std::path::{Path, PathBuf};

/// An epoch and its first offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EpochEntry {
    /// The epoch.
    pub epoch: LeaderEpoch,
    /// The first offset appended in it.
    pub start: Offset,
}

/// The epochs of one log; both columns ascend strictly.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

/// The file's name in a partition's folder.
pub(crate) const FILE: &str = "leader-epoch-checkpoint";
/// Not the name that [`Disk::replace`] uses, so that one cannot overtake the other.
const BESIDE: &str = "leader-epoch-checkpoint.new.tmp";

impl LeaderEpochs {
    /// Reads the file of a partition's folder; a missing one is empty.
    ///
    /// # Errors
    /// Disk errors, and a malformed file.
    pub fn load(disk: &dyn Disk, dir: &Path) -> Result<LeaderEpochs, LogError> {
        let path = dir.join(FILE);
        let mut epochs = LeaderEpochs::default();
        for [epoch, start] in checkpoint::read::<2>(disk, &path)? {
            let entry = (epoch.parse(), start.parse());
            let (Ok(epoch), Ok(start)) = entry else {
                return Err(LogError::Malformed { path, what: "an epoch or offset is no number".into() });
            };
            epochs.assign(LeaderEpoch(epoch), Offset(start));
        }
        Ok(epochs)
    }

    /// Writes the file of a partition's folder.
    ///
    /// # Errors
    /// Disk errors.
    pub fn store(&self, disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        let path: PathBuf = dir.join(FILE);
        disk.replace(&path, self.to_text().as_bytes()).map_err(DiskError::on("write", &path))
    }

    fn to_text(&self) -> String {
        let mut lines = Lines::new(0);
        for entry in &self.entries {
            lines.add(format_args!("{} {}", entry.epoch, entry.start));
        }
        lines.finish()
    }

    /// The first part of [`LeaderEpochs::store`], so that many logs' files can be synced at once: writes beside the file.
    pub(crate) fn store_beside(&self, disk: &dyn Disk, dir: &Path) -> Result<PathBuf, DiskError> {
        let path = dir.join(BESIDE);
        let file = disk.open(&path, OpenMode::Truncate).map_err(DiskError::on("create", &path))?;
        file.write_all_at(&[self.to_text().as_bytes()], 0).map_err(DiskError::on("write", &path))?;
        Ok(path)
    }

    /// The second part, once what was written beside is synced: puts it in the file's place. The folder is to be synced then.
    pub(crate) fn take_place(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
        let path = dir.join(BESIDE);
        disk.rename(&path, &dir.join(FILE)).map_err(DiskError::on("rename", &path))
    }

    /// Notes that `epoch` begins at `start`; true when that is news. Entries that it contradicts are dropped.
    pub fn assign(&mut self, epoch: LeaderEpoch, start: Offset) -> bool {
        if epoch.0 < 0 || self.entries.last().is_some_and(|last| last.epoch == epoch && start >= last.start) {
            return false;
        }
        self.entries.retain(|entry| entry.epoch < epoch && entry.start < start);
        // Most logs see one epoch or a few: a vector's first growth would hold four.
        self.entries.reserve_exact(1);
        self.entries.push(EpochEntry { epoch, start });
        true
    }

    /// All entries, oldest first.
    #[must_use]
    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    /// The newest epoch.
    #[must_use]
    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// The epoch that `offset` was, or would be, appended in.
    #[must_use]
    pub fn epoch_of(&self, offset: Offset) -> Option<LeaderEpoch> {
        self.entries.iter().rev().find(|entry| entry.start <= offset).map(|entry| entry.epoch)
    }

    /// The largest epoch that is at most `epoch`, and where it ended (KIP-279); `None` when the log knows none so old, or
    /// `epoch` is newer than all it knows.
    #[must_use]
    pub fn end_of(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let latest = self.latest()?;
        if epoch == latest {
            return Some((latest, log_end));
        }
        if epoch > latest || epoch.0 < 0 {
            return None;
        }
        let next = self.entries.iter().position(|entry| entry.epoch > epoch)?;
        match next.checked_sub(1) {
            Some(at) => Some((self.entries[at].epoch, self.entries[next].start)),
            // Older than all that is left: everything of it ended where the first known epoch begins.
            None => Some((epoch, self.entries[next].start)),
        }
    }

    /// Forgets what lies at or above `end`; true when something did.
    pub fn truncate_end(&mut self, end: Offset) -> bool {
        let before = self.entries.len();
        self.entries.retain(|entry| entry.start < end);
        before != self.entries.len()
    }

    /// Forgets what lies below `start`, but for the epoch that holds it; true when something changed.
    pub fn truncate_start(&mut self, start: Offset) -> bool {
        let covering = self.entries.iter().rposition(|entry| entry.start <= start);
        let Some(at) = covering else { return false };
        if at == 0 && self.entries[0].start == start {
            return false;
        }
        let changed = at > 0 || self.entries[0].start != start;
        self.entries.drain(..at);
        self.entries[0].start = start;
        changed
    }
}

#[cfg(test)]
mod tests;
