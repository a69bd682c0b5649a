//! The high watermark of a partition whose only replica is this one, and the checks that a leader makes.

use base::{ErrorCode, LeaderEpoch, NodeId, Offset, Refusal};

/// How far a reader may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// To the log's end: other replicas.
    LogEnd,
    /// To the high watermark: consumers.
    ReadUncommitted,
    /// To the last stable offset: consumers of transactions.
    ReadCommitted,
}

/// What the leader of a partition knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leader {
    epoch: LeaderEpoch,
    leader: NodeId,
    node: NodeId,
    /// Whether only durable records count for the high watermark.
    fsync: bool,
    log_end: Offset,
    durable_end: Offset,
    high_watermark: Offset,
}

impl Leader {
    /// A replica that leads nothing yet. Everything that recovery found counts as durable: it was read from the disk.
    #[must_use]
    pub fn new(node: NodeId, fsync: bool, log_end: Offset) -> Self {
        Self {
            epoch: LeaderEpoch::NONE,
            leader: NodeId::NONE,
            node,
            fsync,
            log_end,
            durable_end: log_end,
            high_watermark: log_end,
        }
    }

    /// The controller has made `leader` the leader in `epoch`; true when this is news.
    pub fn elect(&mut self, leader: NodeId, epoch: LeaderEpoch) -> bool {
        if epoch < self.epoch || (epoch == self.epoch && leader == self.leader) {
            return false;
        }
        (self.leader, self.epoch) = (leader, epoch);
        true
    }

    /// From now on only durable records count for the high watermark, or all do; true when it moved. It never goes back: what was shown
    /// stays shown.
    pub fn set_fsync(&mut self, fsync: bool) -> bool {
        self.fsync = fsync;
        self.advance()
    }

    /// Whether there are records that wait to become durable.
    #[must_use]
    pub fn awaits_sync(&self) -> bool {
        self.fsync && self.durable_end < self.log_end
    }

    /// The leader and its epoch.
    #[must_use]
    pub fn leader(&self) -> (NodeId, LeaderEpoch) {
        (self.leader, self.epoch)
    }

    /// Everything below is visible.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Records were appended; true when the high watermark moved.
    pub fn on_appended(&mut self, log_end: Offset) -> bool {
        self.log_end = log_end;
        self.advance()
    }

    /// Everything below `up_to` is on disk; true when the high watermark moved.
    pub fn on_durable(&mut self, up_to: Offset) -> bool {
        self.durable_end = self.durable_end.max(up_to.min(self.log_end));
        self.advance()
    }

    fn advance(&mut self) -> bool {
        let end = if self.fsync { self.durable_end } else { self.log_end };
        let moves = end > self.high_watermark;
        self.high_watermark = self.high_watermark.max(end);
        moves
    }

    /// Checks that this node leads, in the epoch that the client believes in (KIP-320; -1 for any).
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER, FENCED_LEADER_EPOCH, UNKNOWN_LEADER_EPOCH (R05).
    pub fn check(&self, believed: LeaderEpoch) -> Result<(), Refusal> {
        let refuse = |code, why: String| Err(Refusal::new(code, why));
        if believed != LeaderEpoch::NONE && believed < self.epoch {
            return refuse(
                ErrorCode::FencedLeaderEpoch,
                format!("epoch {believed} is over, this is epoch {}", self.epoch),
            );
        }
        if believed > self.epoch {
            return refuse(
                ErrorCode::UnknownLeaderEpoch,
                format!("epoch {believed} is newer than {}, the newest known", self.epoch),
            );
        }
        if self.leader != self.node {
            return refuse(
                ErrorCode::NotLeaderOrFollower,
                format!("node {} leads this partition, not {}", self.leader, self.node),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
