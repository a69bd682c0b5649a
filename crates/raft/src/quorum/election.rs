//! Roles and elections: pre-vote (KIP-996), vote, leadership, check-quorum, resignation.
//!
//! Invariants: one vote an epoch, persisted before it is sent (R15); none where a leader is known; none for a log that is behind (R18).
//! A node that led an epoch and was started again does not lead it again: it may have lost what it wrote last.

use super::{Output, Quorum, Sabotage};
use crate::election_state::ElectionState;
use crate::message::{Message, VoteAnswer, VoteRequest};
use base::{LeaderEpoch, Monotonic, NodeId, Uuid};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// What a node is in its epoch.
#[derive(Clone, Debug)]
pub(super) enum Role {
    /// Before the first step.
    Starting,
    /// Knows no leader, or waits for one; may have voted. Stands for election at the deadline.
    Unattached { deadline: Monotonic },
    /// Fetches from a leader; also what an observer is.
    Follower(Following),
    /// Asks who would vote (`pre_vote`), or for votes.
    Campaigning { pre_vote: bool, votes: Votes, deadline: Monotonic, retry_at: Monotonic },
    /// Leads; when each voter last fetched.
    Leader { fetched_at: BTreeMap<NodeId, Monotonic>, begin_at: Monotonic },
    /// Led, and tells the others to elect.
    Resigned { deadline: Monotonic },
}

/// A follower's side of its fetches.
#[derive(Clone, Debug)]
pub(super) struct Following {
    pub(super) leader: NodeId,
    /// When it gives its leader up.
    pub(super) deadline: Monotonic,
    /// When it fetches (again).
    pub(super) fetch_at: Monotonic,
    /// The fetch whose answer it waits for.
    pub(super) in_flight: Option<u64>,
    /// Whether this leader ever answered: then nobody else gets a pre-vote.
    pub(super) fetched: bool,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Votes {
    granted: BTreeSet<NodeId>,
    denied: BTreeSet<NodeId>,
}

impl Quorum {
    /// When [`super::Input::Tick`] is due.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Monotonic> {
        match &self.role {
            Role::Starting => Some(self.now),
            Role::Unattached { deadline } | Role::Resigned { deadline } => Some(*deadline),
            Role::Follower(following) => Some(following.deadline.min(following.fetch_at)),
            Role::Campaigning { deadline, retry_at, .. } => Some(*deadline.min(retry_at)),
            Role::Leader { begin_at, .. } => (self.settings.voters.len() > 1)
                .then(|| self.quorum_deadline().map_or(*begin_at, |at| at.min(*begin_at))),
        }
    }

    pub(super) fn on_time(&mut self, out: &mut Vec<Output>) {
        let now = self.now;
        match &self.role {
            Role::Starting => self.start(out),
            Role::Unattached { deadline } if now >= *deadline => self.seek_leader(out),
            Role::Follower(following) if now >= following.deadline => self.seek_leader(out),
            Role::Follower(following) if now >= following.fetch_at => self.fetch(out),
            Role::Campaigning { pre_vote: false, deadline, .. } if now >= *deadline => self.become_prospective(out),
            Role::Campaigning { deadline, .. } if now >= *deadline => self.give_up_pre_vote(out),
            Role::Campaigning { retry_at, .. } if now >= *retry_at => self.ask_for_votes(out),
            Role::Leader { .. } if self.quorum_deadline().is_some_and(|at| now >= at) => self.resign(out),
            Role::Leader { begin_at, .. } if now >= *begin_at => self.announce(out),
            Role::Resigned { deadline } if now >= *deadline => {
                self.become_unattached(LeaderEpoch(self.state.epoch.0 + 1), out);
            }
            Role::Unattached { .. }
            | Role::Follower(_)
            | Role::Campaigning { .. }
            | Role::Leader { .. }
            | Role::Resigned { .. } => {}
        }
    }

    fn start(&mut self, out: &mut Vec<Output>) {
        match self.state.leader {
            _ if self.is_voter() && self.majority() == 1 => self.become_candidate(out),
            Some(leader) if leader != self.settings.node => self.fetch_from(leader, out),
            _ => self.role = Role::Unattached { deadline: self.election_deadline() },
        }
    }

    /// The leader is lost: a voter asks whether it would be elected, an observer asks any voter who leads.
    fn seek_leader(&mut self, out: &mut Vec<Output>) {
        if self.is_voter() {
            return self.become_prospective(out);
        }
        self.role = Role::Unattached { deadline: self.now.plus(self.settings.timing.answer_timeout) };
        let peers = self.peers();
        if !peers.is_empty() {
            let any = usize::try_from(self.rng.below(peers.len() as u64)).expect("it is below a length");
            self.ask(peers[any], out);
        }
    }

    fn jitter(&mut self, at_most: Duration) -> Duration {
        let nanos = u64::try_from(at_most.as_nanos()).unwrap_or(u64::MAX);
        Duration::from_nanos(self.rng.below(nanos.max(1)))
    }

    fn election_deadline(&mut self) -> Monotonic {
        let timeout = self.settings.timing.election_timeout;
        let jitter = self.jitter(timeout);
        self.now.plus(timeout).plus(jitter)
    }

    fn remember(
        &mut self,
        epoch: LeaderEpoch,
        leader: Option<NodeId>,
        voted: Option<(NodeId, Uuid)>,
        out: &mut Vec<Output>,
    ) {
        assert!(epoch >= self.state.epoch, "epoch {epoch} after {}", self.state.epoch);
        let state = ElectionState { epoch, leader, voted, static_voters: self.state.static_voters.clone() };
        if state != self.state {
            self.state = state;
            out.push(Output::Persist(self.state.clone()));
        }
    }

    pub(super) fn become_unattached(&mut self, epoch: LeaderEpoch, out: &mut Vec<Output>) {
        if epoch > self.state.epoch {
            self.remember(epoch, None, None, out);
        }
        self.role = Role::Unattached { deadline: self.election_deadline() };
    }

    /// Takes note of another node's epoch and leader. The first leader heard of in an epoch is kept: there is no second.
    pub(super) fn observe(&mut self, epoch: LeaderEpoch, leader: Option<NodeId>, out: &mut Vec<Output>) {
        let leader = leader.filter(|leader| *leader != self.settings.node);
        let news = epoch > self.state.epoch;
        match leader {
            Some(leader) if news || (epoch == self.state.epoch && self.needs(leader)) => {
                self.remember(epoch, Some(leader), None, out);
                self.fetch_from(leader, out);
            }
            _ if news => self.become_unattached(epoch, out),
            _ => {}
        }
    }

    /// Whether this leader of the present epoch is the first, or one that an observer had lost and hears of again.
    fn needs(&self, leader: NodeId) -> bool {
        let lost = matches!(self.role, Role::Unattached { .. });
        self.state.leader.is_none_or(|known| known == leader && lost)
    }

    fn become_prospective(&mut self, out: &mut Vec<Output>) {
        self.enter_campaign(true, out);
    }

    /// Votes for itself in a new epoch; the only voter wins with that.
    pub(super) fn become_candidate(&mut self, out: &mut Vec<Output>) {
        let me = (self.settings.node, self.settings.directory_id);
        self.remember(LeaderEpoch(self.state.epoch.0 + 1), None, Some(me), out);
        self.enter_campaign(false, out);
    }

    fn enter_campaign(&mut self, pre_vote: bool, out: &mut Vec<Output>) {
        let deadline = self.election_deadline();
        let mut votes = Votes::default();
        if self.is_voter() {
            votes.granted.insert(self.settings.node);
        }
        self.role = Role::Campaigning { pre_vote, votes, deadline, retry_at: self.now };
        self.ask_for_votes(out);
        self.count_votes(out);
    }

    /// Nobody would vote for it: back to the leader that it knows, or to waiting.
    fn give_up_pre_vote(&mut self, out: &mut Vec<Output>) {
        match self.leader() {
            Some(leader) => self.fetch_from(leader, out),
            None => self.become_unattached(self.state.epoch, out),
        }
    }

    fn ask_for_votes(&mut self, out: &mut Vec<Output>) {
        let peers = self.peers();
        let next = self.now.plus(self.settings.timing.answer_timeout);
        let Role::Campaigning { pre_vote, votes, retry_at, .. } = &mut self.role else { return };
        *retry_at = next;
        let request = VoteRequest {
            epoch: self.state.epoch,
            directory_id: self.settings.directory_id,
            last: self.log.last(),
            pre_vote: *pre_vote,
        };
        let silent = peers.into_iter().filter(|node| !votes.granted.contains(node) && !votes.denied.contains(node));
        out.extend(silent.map(|to| Output::Send { to, message: Message::Vote(request) }));
    }

    pub(super) fn on_vote(&mut self, from: NodeId, request: VoteRequest, out: &mut Vec<Output>) {
        if request.epoch > self.state.epoch {
            self.become_unattached(request.epoch, out);
        }
        let up_to_date = request.last >= self.log.last();
        let granted = request.epoch == self.state.epoch
            && if request.pre_vote {
                up_to_date && self.may_pre_vote()
            } else {
                self.vote(from, request.directory_id, up_to_date, out)
            };
        let answer = VoteAnswer { epoch: self.state.epoch, leader: self.leader(), granted, pre_vote: request.pre_vote };
        self.send(from, Message::VoteAnswer(answer), out);
    }

    /// KIP-996: whoever hears its leader helps nobody to depose it.
    fn may_pre_vote(&self) -> bool {
        match &self.role {
            Role::Leader { .. } => false,
            Role::Follower(following) => !following.fetched || self.broken(Sabotage::PreVoteDespiteLeader),
            Role::Starting | Role::Unattached { .. } | Role::Campaigning { .. } | Role::Resigned { .. } => true,
        }
    }

    fn vote(&mut self, candidate: NodeId, directory: Uuid, up_to_date: bool, out: &mut Vec<Output>) -> bool {
        let key = (candidate, directory);
        if self.state.leader.is_some() || self.state.voted.is_some_and(|voted| voted != key) {
            return false;
        }
        if self.state.voted == Some(key) {
            return true;
        }
        if !up_to_date {
            return false;
        }
        let said = out.len();
        self.remember(self.state.epoch, None, Some(key), out);
        if self.broken(Sabotage::VoteNotPersisted) {
            out.truncate(said);
        }
        self.become_unattached(self.state.epoch, out);
        true
    }

    pub(super) fn on_vote_answer(&mut self, from: NodeId, answer: VoteAnswer, out: &mut Vec<Output>) {
        self.observe(answer.epoch, answer.leader, out);
        if answer.epoch != self.state.epoch || !self.settings.voters.contains_key(&from) {
            return;
        }
        let Role::Campaigning { pre_vote, votes, .. } = &mut self.role else { return };
        if *pre_vote != answer.pre_vote {
            return;
        }
        if answer.granted {
            votes.granted.insert(from)
        } else {
            votes.denied.insert(from)
        };
        self.count_votes(out);
    }

    fn count_votes(&mut self, out: &mut Vec<Output>) {
        let majority = self.majority();
        let Role::Campaigning { pre_vote, votes, .. } = &self.role else { return };
        if votes.granted.len() >= majority {
            if *pre_vote { self.become_candidate(out) } else { self.lead(out) }
        } else if *pre_vote && votes.denied.len() >= majority {
            self.give_up_pre_vote(out);
        }
    }

    pub(super) fn become_leader(&mut self, out: &mut Vec<Output>) {
        let me = self.settings.node;
        for (node, state) in &mut self.progress {
            state.durable_end = if *node == me { self.durable_end } else { base::Offset::NONE };
        }
        let fetched_at = self.peers().into_iter().map(|node| (node, self.now)).collect();
        self.role = Role::Leader { fetched_at, begin_at: self.now };
        self.announce(out);
    }

    /// Tells the voters who leads, again and again: it costs little, and whoever missed it learns of it.
    fn announce(&mut self, out: &mut Vec<Output>) {
        let epoch = self.state.epoch;
        for to in self.peers() {
            self.send(to, Message::BeginEpoch { epoch }, out);
        }
        let next = self.now.plus(self.settings.timing.fetch_timeout / 2);
        if let Role::Leader { begin_at, .. } = &mut self.role {
            *begin_at = next;
        }
    }

    /// When a majority, this node among it, will not have fetched for too long.
    fn quorum_deadline(&self) -> Option<Monotonic> {
        let Role::Leader { fetched_at, .. } = &self.role else { return None };
        let others = self.majority() - usize::from(self.is_voter());
        let mut times: Vec<Monotonic> = fetched_at.values().copied().collect();
        times.sort_unstable_by(|a, b| b.cmp(a));
        let oldest_needed = times.get(others.checked_sub(1)?)?;
        Some(oldest_needed.plus(self.settings.timing.fetch_timeout * 3 / 2))
    }

    pub(super) fn heard_fetch(&mut self, from: NodeId) {
        let now = self.now;
        if let Role::Leader { fetched_at, .. } = &mut self.role
            && let Some(at) = fetched_at.get_mut(&from)
        {
            *at = now;
        }
    }

    /// Leads no more: nothing can be committed without a majority, and clients should look elsewhere.
    fn resign(&mut self, out: &mut Vec<Output>) {
        let epoch = self.state.epoch;
        for to in self.peers() {
            self.send(to, Message::EndEpoch { epoch }, out);
        }
        self.role = Role::Resigned { deadline: self.election_deadline() };
    }

    /// The leader resigned: soon, and not at the same time as the other followers, this node stands for election.
    pub(super) fn on_end_epoch(&mut self, from: NodeId, epoch: LeaderEpoch) {
        let jitter = self.jitter(self.settings.timing.election_timeout);
        let deadline = self.now.plus(jitter);
        if let Role::Follower(following) = &mut self.role
            && epoch == self.state.epoch
            && following.leader == from
        {
            following.deadline = following.deadline.min(deadline);
            following.fetched = false;
        }
    }
}
