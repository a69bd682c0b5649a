//! One node's part in the quorum: its role, its log's end, the high watermark, and what the shell must do next.
//!
//! Invariants: a vote or a newer epoch is persisted before anything is sent that rests on it (R15); the high watermark is a majority
//! of *durable* ends and moves only once a record of the leader's own epoch is below it (R19); a replica cuts its log only where
//! its leader says that the two part. Elections stand in `election`, fetches in `fetching`. It knows neither what records
//! mean nor how a batch is stored: the shell reads the batches that an [`Output::Answer`] asks for.

mod election;
mod fetching;

use crate::election_state::ElectionState;
use crate::log_epochs::LogEpochs;
use crate::message::{FetchAnswer, Message};
use base::{LeaderEpoch, Monotonic, NodeId, Offset, SeededRng, Timestamp, Uuid};
use election::Role;
use record::control::{ControlType, KRaftVersion, LeaderChange, LeaderVoter, Voters};
use record::{BatchBuilder, BatchOptions, NewRecord};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long things take in the quorum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `controller.quorum.election.timeout.ms`; each election waits for this and up to as much again, at random.
    pub election_timeout: Duration,
    /// `controller.quorum.fetch.timeout.ms`: how long a follower does without its leader. A leader does without a majority
    /// for half as long again.
    pub fetch_timeout: Duration,
    /// How long an answer is waited for before the question is put again.
    pub answer_timeout: Duration,
    /// How long a follower waits after an answer without records.
    pub fetch_interval: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            election_timeout: Duration::from_millis(1_000),
            fetch_timeout: Duration::from_millis(2_000),
            answer_timeout: Duration::from_millis(500),
            fetch_interval: Duration::from_millis(50),
        }
    }
}

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
    /// Its patience.
    pub timing: Timing,
    /// Seeds the jitter of elections; nodes of one quorum take different ones.
    pub seed: u64,
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
    /// Cut the log at this offset, durably, before anything that follows. Syncs that began before say nothing any more.
    Truncate(Offset),
    /// Send this to a node.
    Send {
        /// The node.
        to: NodeId,
        /// What to say.
        message: Message,
    },
    /// Read whole batches from `from` on into the answer's records, and send it.
    Answer {
        /// The node that fetches.
        to: NodeId,
        /// Where its log ends.
        from: Offset,
        /// The answer, still without records.
        answer: FetchAnswer,
    },
    /// Everything below this offset is committed.
    HighWatermark(Offset),
}

/// What the shell tells the core.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// Time passed; due at [`Quorum::next_deadline`], harmless earlier.
    Tick,
    /// A node said something.
    Received {
        /// The node.
        from: NodeId,
        /// What it said.
        message: Message,
    },
    /// This node's log is durable up to here; told also after a start, when what recovery found was synced.
    Durable(Offset),
}

/// A fault that a test puts in, to see that the simulator finds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sabotage {
    VoteNotPersisted,
    CommitOfEarlierEpochs,
    UndurableCounts,
    PreVoteDespiteLeader,
    DivergenceUnseen,
}

/// One node's view of the quorum.
#[derive(Clone, Debug)]
pub struct Quorum {
    settings: Settings,
    state: ElectionState,
    role: Role,
    progress: BTreeMap<NodeId, VoterState>,
    log: LogEpochs,
    durable_end: Offset,
    high_watermark: Offset,
    /// What the leader last said is committed; this node may not hold all of it yet.
    leader_high_watermark: Offset,
    /// First offset of the leader's own epoch: only its commit confirms what came before (R19).
    epoch_start: Offset,
    /// Whether the voters are in the log already.
    voters_in_log: bool,
    rng: SeededRng,
    now: Monotonic,
    wall: Timestamp,
    correlation: u64,
    #[cfg(test)]
    sabotage: Option<Sabotage>,
}

impl Quorum {
    /// A node with what it remembered and what its log holds. `voters_in_log` says that the log holds the voters of a dynamic
    /// quorum beyond what was written at format.
    #[must_use]
    pub fn new(settings: Settings, state: ElectionState, log: LogEpochs, voters_in_log: bool) -> Self {
        let progress = settings
            .voters
            .iter()
            .map(|(node, directory)| (*node, VoterState { directory_id: *directory, durable_end: Offset::NONE }));
        Self {
            progress: progress.collect(),
            role: Role::Starting,
            durable_end: Offset::NONE,
            high_watermark: Offset::ZERO,
            leader_high_watermark: Offset::ZERO,
            epoch_start: log.log_end(),
            rng: SeededRng::new(settings.seed),
            now: Monotonic(0),
            wall: Timestamp(0),
            correlation: 0,
            settings,
            state,
            log,
            voters_in_log,
            #[cfg(test)]
            sabotage: None,
        }
    }

    /// Takes one input and says what to do, in order. `wall` stamps the records of a leader and decides nothing.
    pub fn step(&mut self, now: Monotonic, wall: Timestamp, input: Input, out: &mut Vec<Output>) {
        self.now = self.now.max(now);
        self.wall = wall;
        match input {
            Input::Tick => self.on_time(out),
            Input::Received { from, message } => self.receive(from, message, out),
            Input::Durable(end) => self.on_durable(self.settings.node, end, out),
        }
    }

    fn receive(&mut self, from: NodeId, message: Message, out: &mut Vec<Output>) {
        match message {
            Message::Vote(request) => self.on_vote(from, request, out),
            Message::VoteAnswer(answer) => self.on_vote_answer(from, answer, out),
            Message::BeginEpoch { epoch } => self.observe(epoch, Some(from), out),
            Message::EndEpoch { epoch } => self.on_end_epoch(from, epoch),
            Message::Fetch(request) => self.on_fetch(from, request, out),
            Message::FetchAnswer(answer) => self.on_fetch_answer(from, answer, out),
        }
    }

    fn send(&self, to: NodeId, message: Message, out: &mut Vec<Output>) {
        out.push(Output::Send { to, message });
    }

    /// All voters but this node.
    fn peers(&self) -> Vec<NodeId> {
        self.settings.voters.keys().copied().filter(|node| *node != self.settings.node).collect()
    }

    fn majority(&self) -> usize {
        self.settings.voters.len() / 2 + 1
    }

    fn is_voter(&self) -> bool {
        self.settings.voters.contains_key(&self.settings.node)
    }

    #[cfg(test)]
    fn broken(&self, fault: Sabotage) -> bool {
        self.sabotage == Some(fault)
    }

    #[cfg(not(test))]
    #[expect(clippy::unused_self, reason = "faults are put in by tests only")]
    const fn broken(&self, _: Sabotage) -> bool {
        false
    }

    /// The newest epoch.
    #[must_use]
    pub fn epoch(&self) -> LeaderEpoch {
        self.state.epoch
    }

    /// The leader, if known. A node that led and resigned, or was started again, does not call itself the leader.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        self.state.leader.filter(|leader| *leader != self.settings.node || self.is_leader())
    }

    /// Whether this node leads.
    #[must_use]
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    /// Everything below is committed.
    #[must_use]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Where the log ends.
    #[must_use]
    pub fn log_end(&self) -> Offset {
        self.log.log_end()
    }

    /// The voters and how far each has got.
    pub fn voters(&self) -> impl Iterator<Item = (NodeId, VoterState)> {
        self.progress.iter().map(|(node, state)| (*node, *state))
    }

    /// Stands for election in a new epoch, without asking first who would vote: what the only voter does in its first step.
    pub fn campaign(&mut self, now: Timestamp, out: &mut Vec<Output>) {
        self.wall = now;
        self.become_candidate(out);
    }

    fn lead(&mut self, out: &mut Vec<Output>) {
        self.state.leader = Some(self.settings.node);
        self.state.voted = None;
        out.push(Output::Persist(self.state.clone()));
        self.become_leader(out);
        self.epoch_start = self.log_end();
        let batch = self.first_batch(self.wall);
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
            base_offset: self.log_end(),
            leader_epoch: self.state.epoch,
            control,
            ..BatchOptions::default()
        })
    }

    fn append_batch(&mut self, batch: BatchBuilder, out: &mut Vec<Output>) {
        self.log.append(self.state.epoch, self.log_end().plus(i64::from(batch.record_count())));
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
        Offset(self.log_end().0 - 1)
    }

    /// A voter's log is durable up to `end`. Of this node the shell says so, of others their fetches.
    pub fn on_durable(&mut self, voter: NodeId, end: Offset, out: &mut Vec<Output>) {
        if voter == self.settings.node {
            self.durable_end = self.durable_end.max(end.min(self.log_end()));
        }
        if let Some(state) = self.progress.get_mut(&voter) {
            state.durable_end = state.durable_end.max(end.min(self.log.log_end()));
        }
        if self.is_leader() {
            self.commit(out);
        } else if voter == self.settings.node {
            self.follow_high_watermark(out);
            self.fetch_when_durable(out);
        }
    }

    fn commit(&mut self, out: &mut Vec<Output>) {
        let me = self.settings.node;
        let end_of = |(node, state): (&NodeId, &VoterState)| {
            if *node == me && self.broken(Sabotage::UndurableCounts) { self.log_end() } else { state.durable_end }
        };
        let mut ends: Vec<Offset> = self.progress.iter().map(end_of).collect();
        ends.sort_unstable();
        // With the ends in order, this one is reached by a majority.
        let committed = ends[(ends.len() - 1) / 2];
        let own = committed > self.epoch_start || self.broken(Sabotage::CommitOfEarlierEpochs);
        if own && committed > self.high_watermark {
            self.high_watermark = committed;
            out.push(Output::HighWatermark(committed));
        }
    }
}

#[cfg(test)]
mod tests;
