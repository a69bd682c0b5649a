//! Fetches: how followers and observers copy the leader's log, part from what is not its, and learn what is committed.
//!
//! Invariants: a replica asks from its *durable* end, so that what it is counted for survives its crash; only the answer to its last
//! question moves its log; it never cuts below its high watermark.

use super::election::{Following, Role};
use super::{Output, Quorum, Sabotage};
use crate::log_epochs::EpochEnd;
use crate::message::{FetchAnswer, FetchRequest, Message};
use base::{NodeId, Offset};
use record::Batches;

impl Quorum {
    /// Follows this leader, whom the election state names.
    pub(super) fn fetch_from(&mut self, leader: NodeId, out: &mut Vec<Output>) {
        let deadline = self.now.plus(self.settings.timing.fetch_timeout);
        let following = Following { leader, deadline, fetch_at: self.now, in_flight: None, fetched: false };
        self.role = Role::Follower(following);
        self.fetch(out);
    }

    pub(super) fn fetch(&mut self, out: &mut Vec<Output>) {
        let durable = self.durable_end >= self.log_end() || self.broken(Sabotage::UndurableCounts);
        let again = self.now.plus(self.settings.timing.answer_timeout);
        let correlation = self.correlation + 1;
        let Role::Follower(following) = &mut self.role else { return };
        following.fetch_at = again;
        // What is not durable is not asked past; the sync that is under way will ask.
        if durable {
            following.in_flight = Some(correlation);
            let leader = following.leader;
            self.ask(leader, out);
        }
    }

    pub(super) fn ask(&mut self, to: NodeId, out: &mut Vec<Output>) {
        self.correlation += 1;
        let request = FetchRequest { correlation: self.correlation, epoch: self.state.epoch, last: self.log.last() };
        self.send(to, Message::Fetch(request), out);
    }

    pub(super) fn fetch_when_durable(&mut self, out: &mut Vec<Output>) {
        if let Role::Follower(following) = &self.role
            && following.in_flight.is_none()
        {
            self.fetch(out);
        }
    }

    pub(super) fn on_fetch(&mut self, from: NodeId, request: FetchRequest, out: &mut Vec<Output>) {
        let mut answer = FetchAnswer {
            correlation: request.correlation,
            epoch: self.state.epoch,
            leader: self.leader(),
            high_watermark: Offset::ZERO,
            diverging: None,
            records: Vec::new(),
        };
        if !self.is_leader() || request.epoch != self.state.epoch {
            return self.send(from, Message::FetchAnswer(answer), out);
        }
        self.heard_fetch(from);
        let known = self.log.end_of(request.last.epoch);
        let unseen = self.broken(Sabotage::DivergenceUnseen) && request.last.end <= self.log_end();
        if (known.epoch != request.last.epoch || known.end < request.last.end) && !unseen {
            answer.diverging = Some(known);
            answer.high_watermark = self.high_watermark;
            return self.send(from, Message::FetchAnswer(answer), out);
        }
        if from != self.settings.node {
            self.on_durable(from, request.last.end, out);
        }
        answer.high_watermark = self.high_watermark;
        if request.last.end < self.log_end() {
            out.push(Output::Answer { to: from, from: request.last.end, answer });
        } else {
            self.send(from, Message::FetchAnswer(answer), out);
        }
    }

    pub(super) fn on_fetch_answer(&mut self, from: NodeId, answer: FetchAnswer, out: &mut Vec<Output>) {
        self.observe(answer.epoch, answer.leader, out);
        let current = answer.epoch == self.state.epoch && answer.leader == Some(from);
        let timing = self.settings.timing;
        let now = self.now;
        let Role::Follower(following) = &mut self.role else { return };
        if !current || following.leader != from || following.in_flight != Some(answer.correlation) {
            return;
        }
        following.in_flight = None;
        following.fetched = true;
        following.deadline = now.plus(timing.fetch_timeout);
        following.fetch_at = now.plus(timing.fetch_interval);
        if let Some(diverging) = answer.diverging {
            self.part(diverging, out);
            return self.fetch(out);
        }
        if !answer.records.is_empty() && self.extend(&answer.records) {
            out.push(Output::Append(answer.records));
            if self.broken(Sabotage::UndurableCounts) {
                self.fetch(out);
            }
        }
        self.leader_high_watermark = answer.high_watermark;
        self.follow_high_watermark(out);
    }

    /// Cuts what the leader does not have (KIP-595): the common epoch's shorter end.
    fn part(&mut self, diverging: EpochEnd, out: &mut Vec<Output>) {
        let mine = self.log.end_of(diverging.epoch);
        let end = if mine.epoch == diverging.epoch { mine.end.min(diverging.end) } else { mine.end };
        assert!(
            end >= self.high_watermark,
            "the leader would have committed records cut: at {end}, below the high watermark {}",
            self.high_watermark
        );
        if end < self.log_end() {
            self.log.truncate(end);
            self.durable_end = self.durable_end.min(end);
            if let Some(state) = self.progress.get_mut(&self.settings.node) {
                state.durable_end = state.durable_end.min(end);
            }
            out.push(Output::Truncate(end));
        }
    }

    /// Takes batches into account when all of them are whole, in order and of epochs that there were; none otherwise.
    fn extend(&mut self, records: &[u8]) -> bool {
        let mut log = self.log.clone();
        for batch in Batches::new(records) {
            let Ok(batch) = batch else { return false };
            let header = &batch.header;
            let epoch = header.leader_epoch;
            let fits = header.base_offset == log.log_end() && header.next_offset() > log.log_end();
            if !fits || epoch < log.last().epoch || epoch > self.state.epoch || batch.verify_crc().is_err() {
                return false;
            }
            log.append(epoch, header.next_offset());
        }
        self.log = log;
        true
    }

    /// What the leader calls committed, as far as this node holds it durably.
    pub(super) fn follow_high_watermark(&mut self, out: &mut Vec<Output>) {
        let committed = self.leader_high_watermark.min(self.durable_end);
        if matches!(self.role, Role::Follower(_)) && committed > self.high_watermark {
            self.high_watermark = committed;
            out.push(Output::HighWatermark(committed));
        }
    }
}
