//! What must hold, whatever happens. Clients tell the model what they sent, what was confirmed and what they saw; it keeps what follows
//! from that, and the first thing that contradicts it is the run's finding.

mod groups;
mod log;
mod topics;

pub(crate) use groups::{Groups, Handle};
pub(crate) use log::{Floor, LogModel};
pub(crate) use topics::{Change, Topic, Topics};

use base::Uuid;
use server::PartitionView;
use std::collections::BTreeMap;

/// A partition: topic id and index.
pub(crate) type Key = (Uuid, i32);

/// Everything that is known.
#[derive(Debug, Default)]
pub(crate) struct Model {
    /// The first contradiction.
    breach: Option<String>,
    pub(crate) logs: BTreeMap<Key, LogModel>,
    pub(crate) topics: Topics,
    pub(crate) groups: Groups,
    next_value: u64,
    /// Damage was done that a single replica cannot heal: answers may be refused, but never wrong.
    pub(crate) is_damaged: bool,
    /// Times that disks are short of room: producers' batches may be refused, and those behind them taken once there is room again.
    pub(crate) shortages: Shortages,
    /// What the run has shown, so that a simulator that is too kind is noticed.
    pub(crate) seen: Seen,
}

/// When disks had no room.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shortages {
    begun: u64,
    ended: u64,
}

impl Shortages {
    /// There is little room from now on.
    pub(crate) fn begin(&mut self) {
        self.begun += 1;
    }

    /// A node that starts from now on finds room.
    pub(crate) fn end(&mut self) {
        self.ended = self.begun;
    }

    /// What tells [`Shortages::has_been_since`] of now.
    pub(crate) fn mark(&self) -> u64 {
        self.ended
    }

    /// Whether there was a shortage at `mark` or later.
    pub(crate) fn has_been_since(&self, mark: u64) -> bool {
        self.begun > mark
    }
}

/// How often something happened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Batches confirmed with acks=all.
    pub confirmed: u64,
    /// Batches that were sent again.
    pub retried: u64,
    /// Retries that were answered with the offset that the batch had already.
    pub duplicates: u64,
    /// Records that consumers read.
    pub read: u64,
    /// Committed offsets.
    pub commits: u64,
    /// Assignments that members of groups got.
    pub assignments: u64,
    /// Topics made and removed, and configs changed.
    pub metadata_changes: u64,
    /// Log starts moved by DeleteRecords.
    pub deletions: u64,
    /// Power cuts, at rest or within an operation.
    pub power_cuts: u64,
    /// Power cuts while starting or stopping.
    pub cuts_in_recovery: u64,
    /// Ends of the process.
    pub kills: u64,
    /// Clean stops.
    pub clean_stops: u64,
    /// Disk faults that struck.
    pub disk_faults: u64,
    /// Runs in which a log dir went offline.
    pub offline: u64,
}

impl Seen {
    /// Adds another run's.
    pub fn add(&mut self, other: &Seen) {
        for (sum, more) in self.fields().into_iter().zip((*other).clone().fields()) {
            *sum += *more;
        }
    }

    /// How often the process has ended.
    pub(crate) fn ends(&self) -> u64 {
        self.power_cuts + self.cuts_in_recovery + self.kills + self.clean_stops
    }

    fn fields(&mut self) -> [&mut u64; 14] {
        let Seen {
            confirmed,
            retried,
            duplicates,
            read,
            commits,
            assignments,
            metadata_changes,
            deletions,
            power_cuts,
            cuts_in_recovery,
            kills,
            clean_stops,
            disk_faults,
            offline,
        } = self;
        [
            confirmed,
            retried,
            duplicates,
            read,
            commits,
            assignments,
            metadata_changes,
            deletions,
            power_cuts,
            cuts_in_recovery,
            kills,
            clean_stops,
            disk_faults,
            offline,
        ]
    }
}

impl Model {
    /// Notes a contradiction; the first one counts. A node whose disk is damaged may refuse anything.
    pub(crate) fn breach(&mut self, what: String) {
        if !self.is_damaged {
            self.breach.get_or_insert(what);
        }
    }

    /// Notes what must not be, damage or not.
    pub(crate) fn breach_in_any_case(&mut self, what: String) {
        self.breach.get_or_insert(what);
    }

    /// A bit has flipped: what is above a recovery point may be taken for a torn tail and cut (R26), so offsets may be given anew. What
    /// nobody has produced may still not appear.
    pub(crate) fn damage(&mut self) {
        self.is_damaged = true;
        self.logs.values_mut().for_each(|log| log.is_damaged = true);
    }

    /// As [`Model::breach`], for what reading a log found.
    pub(crate) fn check_log(&mut self, found: Result<(), String>) {
        if let Err(what) = found {
            self.breach_in_any_case(what);
        }
    }

    pub(crate) fn breached(&self) -> Option<&str> {
        self.breach.as_deref()
    }

    /// As [`Model::breach`], for what an operation of the model found.
    pub(crate) fn check(&mut self, found: Result<(), String>) {
        if let Err(what) = found {
            self.breach(what);
        }
    }

    /// A value that no record had before.
    pub(crate) fn next_value(&mut self) -> u64 {
        self.next_value += 1;
        self.next_value
    }

    pub(crate) fn log(&mut self, key: Key) -> &mut LogModel {
        let is_damaged = self.is_damaged;
        self.logs.entry(key).or_insert_with(|| LogModel::new(is_damaged))
    }

    /// What the node knows of its partitions, after a step.
    pub(crate) fn look_inside(&mut self, views: &[PartitionView]) {
        for view in views {
            if view.is_offline {
                continue;
            }
            let PartitionView { log_start, last_stable, high_watermark, log_end, recovery_point, .. } = view;
            let in_order = log_start <= last_stable
                && last_stable <= high_watermark
                && high_watermark <= log_end
                && recovery_point <= log_end;
            if !in_order {
                self.breach(format!("log start <= LSO <= HW <= LEO does not hold: {view:?}"));
            }
            if metadata::is_internal_topic(&view.partition.topic) {
                continue;
            }
            let key = (view.topic_id, view.partition.partition.0);
            if self.is_damaged {
                continue;
            }
            let log = self.log(key);
            let found = log.look_inside(view.log_start.0, view.high_watermark.0);
            self.check(found.map_err(|what| format!("{}: {what}", view.partition)));
        }
    }

    /// The power was cut: what was only in the page cache may be gone.
    pub(crate) fn power_cut(&mut self) {
        self.logs.values_mut().for_each(LogModel::power_cut);
    }
}
