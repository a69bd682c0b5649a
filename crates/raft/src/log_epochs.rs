//! Where each leader epoch begins in the log: all that elections and replication need to know of what the log holds.
//!
//! Invariants: epochs and their starts ascend together; no start lies at or behind the log end once something was cut.

use base::{LeaderEpoch, Offset};

/// A place in the log: an epoch, and the offset behind its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EpochEnd {
    /// The epoch; [`LeaderEpoch::NONE`] before every record.
    pub epoch: LeaderEpoch,
    /// The offset behind its last record.
    pub end: Offset,
}

/// The epochs of a log with their first offsets, and the log's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEpochs {
    starts: Vec<(LeaderEpoch, Offset)>,
    end: Offset,
}

impl LogEpochs {
    /// The log that ends at `end`, with the first offset of each of its epochs.
    ///
    /// # Panics
    /// When epochs or offsets do not ascend: the log is not what its owner believes.
    #[must_use]
    pub fn new(starts: impl IntoIterator<Item = (LeaderEpoch, Offset)>, end: Offset) -> Self {
        let mut epochs = Self { starts: Vec::new(), end };
        for (epoch, start) in starts {
            epochs.begin(epoch, start);
        }
        epochs
    }

    /// Where the log ends.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.end
    }

    /// The epoch of the last record and the log's end: what a vote compares, epoch first (R18).
    #[must_use]
    pub fn last(&self) -> EpochEnd {
        EpochEnd { epoch: self.starts.last().map_or(LeaderEpoch::NONE, |(epoch, _)| *epoch), end: self.end }
    }

    /// The newest epoch that is not newer than `epoch`, and where it ends. A log without such an epoch holds nothing of it.
    #[must_use]
    pub fn end_of(&self, epoch: LeaderEpoch) -> EpochEnd {
        let after = self.starts.partition_point(|(known, _)| *known <= epoch);
        let end = self.starts.get(after).map_or(self.end, |(_, start)| *start);
        match after.checked_sub(1) {
            Some(at) => EpochEnd { epoch: self.starts[at].0, end },
            None => EpochEnd { epoch: LeaderEpoch::NONE, end },
        }
    }

    /// A batch of `epoch` was appended that ends at `end`.
    pub(crate) fn append(&mut self, epoch: LeaderEpoch, end: Offset) {
        assert!(end > self.end, "a batch must extend the log: it ends at {end}, the log at {}", self.end);
        self.begin(epoch, self.end);
        self.end = end;
    }

    /// Everything from `end` on was cut.
    pub(crate) fn truncate(&mut self, end: Offset) {
        self.end = self.end.min(end);
        self.starts.retain(|(_, start)| *start < end);
    }

    fn begin(&mut self, epoch: LeaderEpoch, start: Offset) {
        if let Some((last, at)) = self.starts.last() {
            if *last == epoch {
                return;
            }
            assert!(*last < epoch && *at <= start, "epoch {epoch} at {start} after epoch {last} at {at}");
        }
        self.starts.push((epoch, start));
    }
}

#[cfg(test)]
mod tests {
    use super::{EpochEnd, LogEpochs};
    use base::{LeaderEpoch, Offset};

    #[test]
    fn an_epoch_ends_where_the_next_begins_and_cut_epochs_are_gone() {
        let mut log = LogEpochs::new([(LeaderEpoch(1), Offset(0)), (LeaderEpoch(4), Offset(5))], Offset(9));
        let end = |epoch: i32, end: i64| EpochEnd { epoch: LeaderEpoch(epoch), end: Offset(end) };
        assert_eq!(log.end_of(LeaderEpoch(0)), end(-1, 0));
        assert_eq!(log.end_of(LeaderEpoch(1)), end(1, 5));
        assert_eq!(log.end_of(LeaderEpoch(3)), end(1, 5));
        assert_eq!(log.end_of(LeaderEpoch(7)), end(4, 9));
        log.truncate(Offset(5));
        assert_eq!(log.last(), end(1, 5));
        log.append(LeaderEpoch(6), Offset(6));
        assert_eq!(log.end_of(LeaderEpoch(6)), end(6, 6));
    }
}
