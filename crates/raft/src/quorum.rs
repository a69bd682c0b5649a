//! Leadership and the high watermark.

use crate::election_state::ElectionState;
use base::{LeaderEpoch, NodeId, Offset, Timestamp, Uuid};
use record::control::{ControlType, KRaftVersion, LeaderChange, LeaderVoter, Voters};
use record::{BatchBuilder, BatchOptions, NewRecord};
use std::collections::BTreeMap;

/// What a node knows of its quorum before it starts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// This node.
    pub node: NodeId,
    /// Its metadata directory.
    pub directory_id: Uuid,
    /// All voters: nodes and their metadata directories.
    pub voters: BTreeMap<NodeId, Uuid>,
    /// The voters' full description for the log of a dynamic quorum; `None` for a static one.
    pub voters_record: Option<Voters>,
}

/// How far a voter has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoterState {
    /// Its metadata directory.
    pub directory_id: Uuid,
    /// Its durable log end, [`Offset::NONE`] when unknown.
    pub durable_end: Offset,
}

/// What the shell has to do, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Make the state durable before anything that follows.
    Persist(ElectionState),
    /// Append this batch, which carries its offset and epoch.
    Append(Vec<u8>),
    /// Everything below this offset is committed.
    HighWatermark(Offset),
}

/// One voter's view of the quorum.
#[derive(Clone, Debug)]
pub struct Quorum {
    settings: Settings,
    state: ElectionState,
    progress: BTreeMap<NodeId, VoterState>,
    log_end: Offset,
    high_watermark: Offset,
    /// First offset of the leader's own epoch: only its commit confirms what came before (R19).
    epoch_start: Offset,
    /// Whether the voters are in the log already.
    voters_in_log: bool,
}

impl Quorum {
    /// A voter with what it remembered and where its log ends. `voters_in_log` says that the log holds the voters of a dynamic
    /// quorum beyond what was written at format.
    #[must_use]
    pub fn new(settings: Settings, state: ElectionState, log_end: Offset, voters_in_log: bool) -> Self {
        let progress = settings
            .voters
            .iter()
            .map(|(node, directory)| (*node, VoterState { directory_id: *directory, durable_end: Offset::NONE }));
        let progress = progress.collect();
        Self { settings, state, progress, log_end, high_watermark: Offset::ZERO, epoch_start: log_end, voters_in_log }
    }

    /// The newest epoch.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.state.epoch
    }

    /// The leader, if known.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.state.leader
    }

    /// Whether this node leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        self.state.leader == Some(self.settings.node)
    }

    /// Everything below is committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Where the log ends.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// The voters and how far each has got.
    pub fn voters(&self) -> impl Iterator<Item = (NodeId, VoterState)> {
        self.progress.iter().map(|(node, state)| (*node, *state))
    }

    /// Stands for election in a new epoch. The only voter wins with its own vote; that vote, and then the leadership, are
    /// persisted first, so that no epoch has two leaders (R15).
    pub fn campaign(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        let me = (self.settings.node, self.settings.directory_id);
        let epoch = LeaderEpoch(self.state.epoch.0 + 1);
        self.state =
            ElectionState { epoch, leader: None, voted: Some(me), static_voters: self.state.static_voters.clone() };
        out.push(Output::Persist(self.state.clone()));
        let granted = self.settings.voters.contains_key(&self.settings.node);
        let majority = self.settings.voters.len() / 2 + 1;
        if granted && majority == 1 {
            self.lead(now, out);
        }
    }

    fn lead(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.state.leader = Some(self.settings.node);
        self.state.voted = None;
        out.push(Output::Persist(self.state.clone()));
        self.epoch_start = self.log_end;
        let batch = self.first_batch(now);
        self.append_batch(batch, out);
    }

    /// The control batch that every epoch begins with; in a new dynamic quorum it also holds the voters.
    fn first_batch(&mut self, now: Timestamp) -> BatchBuilder {
        // Version 0, which has no directory ids, also in a dynamic quorum: Kafka 4.4 writes no other, and its tools read no other.
        let voters: Vec<LeaderVoter> =
            self.settings.voters.keys().map(|node| LeaderVoter { node: *node, directory_id: Uuid::ZERO }).collect();
        let granting = voters.iter().copied().filter(|voter| voter.node == self.settings.node).collect();
        let change = LeaderChange { version: 0, leader: self.settings.node, voters, granting };
        let mut batch = self.builder(true);
        let mut add = |kind: ControlType, value: Vec<u8>| {
            batch.append(&NewRecord { timestamp: now, key: Some(&kind.key()), value: Some(&value), headers: &[] });
        };
        add(ControlType::LeaderChange, change.encode());
        if let Some(record) = self.settings.voters_record.as_ref().filter(|_| !self.voters_in_log) {
            add(ControlType::KRaftVersion, KRaftVersion { level: 1 }.encode());
            add(ControlType::KRaftVoters, record.encode());
            self.voters_in_log = true;
        }
        batch
    }

    fn builder(&self, control: bool) -> BatchBuilder {
        BatchBuilder::new(BatchOptions {
            base_offset: self.log_end,
            leader_epoch: self.state.epoch,
            control,
            ..BatchOptions::default()
        })
    }

    fn append_batch(&mut self, batch: BatchBuilder, out: &mut Vec<Output>) {
        self.log_end = self.log_end.plus(i64::from(batch.record_count()));
        out.push(Output::Append(batch.build()));
    }

    /// Appends values as one batch, all or none, and returns the offset of the last.
    ///
    /// # Panics
    /// When this node does not lead, or there is no value: mistakes of the caller.
    pub fn append(&mut self, now: Timestamp, values: &[Vec<u8>], out: &mut Vec<Output>) -> Offset {
        assert!(self.is_leader(), "only the leader appends");
        assert!(!values.is_empty(), "a batch needs a record");
        let mut batch = self.builder(false);
        for value in values {
            batch.append(&NewRecord { timestamp: now, key: None, value: Some(value), headers: &[] });
        }
        self.append_batch(batch, out);
        Offset(self.log_end.0 - 1)
    }

    /// A voter's log is durable up to `end`.
    pub fn on_durable(&mut self, voter: NodeId, end: Offset, out: &mut Vec<Output>) {
        let Some(state) = self.progress.get_mut(&voter) else { return };
        state.durable_end = state.durable_end.max(end);
        if !self.is_leader() {
            return;
        }
        let mut ends: Vec<Offset> = self.progress.values().map(|state| state.durable_end).collect();
        ends.sort_unstable();
        // With the ends in order, this one is reached by a majority.
        let committed = ends[(ends.len() - 1) / 2];
        if committed > self.epoch_start && committed > self.high_watermark {
            self.high_watermark = committed;
            out.push(Output::HighWatermark(committed));
        }
    }
}

#[cfg(test)]
mod tests;
