//! Nodes of a quorum in virtual time, over a network that loses, repeats, delays and partitions, with crashes that take what was not
//! synced. One seed replays one run; a run ends with the first invariant that does not hold, and with its name.

mod invariants;
mod scenarios;

use super::super::{Input, Output, Quorum, Sabotage, Settings, Timing};
use crate::message::Message;
use crate::{ElectionState, LogEpochs};
use base::{LeaderEpoch, Monotonic, NodeId, Offset, SeededRng, Timestamp, Uuid};
use record::Batches;
use std::collections::{BTreeMap, BTreeSet};

/// A batch as the invariants see it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    base: Offset,
    end: Offset,
    epoch: LeaderEpoch,
    bytes: Vec<u8>,
}

/// A node: what it has in memory, and what a crash leaves it.
struct Node {
    quorum: Option<Quorum>,
    log: Vec<Entry>,
    /// Batches that are on disk.
    synced: usize,
    state: ElectionState,
    /// The newest epoch it acted in, to see that a restart does not take it back.
    epoch: LeaderEpoch,
    sync_at: Option<u64>,
}

enum Event {
    Deliver { from: i32, to: i32, message: Message },
    Restart { node: i32 },
    Heal,
}

/// What goes wrong, and how often, in thousandths.
#[derive(Clone, Copy)]
struct Chaos {
    lost: u64,
    repeated: u64,
    /// At a step: a node crashes, and the network is cut.
    crash: u64,
    cut: u64,
    /// How long a message travels at most, and a sync takes at most.
    delay_ns_max: u64,
    /// How many batches an answer holds at most: few, so that a log is also seen half copied.
    batches_max: u64,
}

const CALM: Chaos = Chaos { lost: 0, repeated: 0, crash: 0, cut: 0, delay_ns_max: 5_000_000, batches_max: 3 };
const STORM: Chaos = Chaos { lost: 50, repeated: 50, crash: 4, cut: 6, delay_ns_max: 60_000_000, batches_max: 3 };
const MILLISECOND: u64 = 1_000_000;

struct Simulation {
    nodes: BTreeMap<i32, Node>,
    voters: i32,
    now: u64,
    queue: BTreeMap<(u64, u64), Event>,
    number: u64,
    rng: SeededRng,
    seed: u64,
    chaos: Chaos,
    cut: BTreeSet<(i32, i32)>,
    sabotage: Option<Sabotage>,
    seen: invariants::Seen,
}

impl Simulation {
    fn new(seed: u64, voters: i32, observers: i32, sabotage: Option<Sabotage>) -> Self {
        let node = |id: i32| {
            let node = Node {
                quorum: None,
                log: Vec::new(),
                synced: 0,
                state: ElectionState::unattached(vec![]),
                epoch: LeaderEpoch(0),
                sync_at: None,
            };
            (id, node)
        };
        let mut simulation = Self {
            nodes: (1..=voters + observers).map(node).collect(),
            voters,
            now: MILLISECOND,
            queue: BTreeMap::new(),
            number: 0,
            rng: SeededRng::new(seed),
            seed,
            chaos: CALM,
            cut: BTreeSet::new(),
            sabotage,
            seen: invariants::Seen::default(),
        };
        for id in 1..=voters + observers {
            simulation.start(id);
        }
        simulation
    }

    fn chance(&mut self, thousandths: u64) -> bool {
        self.rng.below(1_000) < thousandths
    }

    fn later(&mut self, by: u64, event: Event) {
        self.number += 1;
        self.queue.insert((self.now + by, self.number), event);
    }

    fn start(&mut self, id: i32) {
        let settings = Settings {
            node: NodeId(id),
            directory_id: Uuid(id as u128),
            voters: (1..=self.voters).map(|voter| (NodeId(voter), Uuid(voter as u128))).collect(),
            voters_record: None,
            timing: Timing::default(),
            seed: self.rng.next_u64(),
        };
        let node = self.nodes.get_mut(&id).unwrap();
        let starts = node.log.iter().map(|entry| (entry.epoch, entry.base));
        let log = LogEpochs::new(starts, node.log.last().map_or(Offset(0), |entry| entry.end));
        let end = log.log_end();
        let mut quorum = Quorum::new(settings, node.state.clone(), log, false);
        quorum.sabotage = self.sabotage;
        node.quorum = Some(quorum);
        self.step(id, Input::Durable(end));
        self.step(id, Input::Tick);
    }

    fn crash(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.quorum = None;
        node.log.truncate(node.synced);
        node.sync_at = None;
        self.seen.restarted(id);
    }

    fn step(&mut self, id: i32, input: Input) {
        let (now, wall) = (Monotonic(self.now), Timestamp((self.now / MILLISECOND) as i64));
        let Some(quorum) = &mut self.nodes.get_mut(&id).unwrap().quorum else { return };
        let mut out = Vec::new();
        quorum.step(now, wall, input, &mut out);
        self.carry_out(id, out);
    }

    fn carry_out(&mut self, id: i32, out: Vec<Output>) {
        for output in out {
            let node = self.nodes.get_mut(&id).unwrap();
            match output {
                Output::Persist(state) => node.state = state,
                Output::Append(bytes) => {
                    node.log.extend(entries(&bytes));
                    let at = self.now + self.rng.below(self.chaos.delay_ns_max) + 1;
                    let node = self.nodes.get_mut(&id).unwrap();
                    node.sync_at = Some(node.sync_at.map_or(at, |before| before.min(at)));
                }
                Output::Truncate(end) => {
                    node.log.retain(|entry| entry.end <= end);
                    node.synced = node.synced.min(node.log.len());
                }
                Output::Send { to, message } => self.post(id, to.0, &message),
                Output::Answer { to, from, mut answer } => {
                    let batches = 1 + self.rng.below(self.chaos.batches_max) as usize;
                    let log = &self.nodes[&id].log;
                    let read = log.iter().filter(|entry| entry.base >= from).take(batches);
                    answer.records = read.flat_map(|entry| entry.bytes.clone()).collect();
                    self.post(id, to.0, &Message::FetchAnswer(answer));
                }
                Output::HighWatermark(offset) => self.committed(id, offset),
            }
        }
    }

    fn post(&mut self, from: i32, to: i32, message: &Message) {
        let copies = if self.chance(self.chaos.lost) { 0 } else { 1 + u64::from(self.chance(self.chaos.repeated)) };
        for _ in 0..copies {
            let delay = 1 + self.rng.below(self.chaos.delay_ns_max);
            self.later(delay, Event::Deliver { from, to, message: message.clone() });
        }
    }

    /// The next thing that happens: a message arrives, a node's time has come, or a sync is done.
    fn advance(&mut self) {
        let due = |node: &Node| node.quorum.as_ref().and_then(Quorum::next_deadline).map(|at| at.0);
        let timer = self.nodes.iter().filter_map(|(id, node)| Some((due(node)?, *id))).min();
        let sync = self.nodes.iter().filter_map(|(id, node)| Some((node.sync_at?, *id))).min();
        let event = self.queue.first_key_value().map(|(key, _)| key.0);
        let next = [timer.map(|timer| timer.0), sync.map(|sync| sync.0), event].into_iter().flatten().min();
        self.now = self.now.max(next.expect("a quorum always waits for something"));
        if event == next {
            let (_, event) = self.queue.pop_first().unwrap();
            self.happen(event);
        } else if let Some((at, id)) = sync.filter(|sync| Some(sync.0) == next) {
            debug_assert!(at <= self.now);
            self.synced(id);
        } else if let Some((_, id)) = timer {
            self.step(id, Input::Tick);
        }
        self.check();
    }

    fn synced(&mut self, id: i32) {
        let node = self.nodes.get_mut(&id).unwrap();
        node.sync_at = None;
        node.synced = node.log.len();
        let end = node.log.last().map_or(Offset(0), |entry| entry.end);
        self.step(id, Input::Durable(end));
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { from, to, message } => {
                if !self.cut.contains(&(from, to)) {
                    self.step(to, Input::Received { from: NodeId(from), message });
                }
            }
            Event::Restart { node } => {
                if self.nodes[&node].quorum.is_none() {
                    self.start(node);
                }
            }
            Event::Heal => self.cut.clear(),
        }
    }

    /// Crashes, cuts and appends, by chance.
    fn trouble(&mut self) {
        let ids: Vec<i32> = self.nodes.keys().copied().collect();
        let any = ids[self.rng.below(ids.len() as u64) as usize];
        if self.chance(self.chaos.crash) && self.nodes[&any].quorum.is_some() {
            self.crash(any);
            let down = self.rng.below(3_000) * MILLISECOND;
            self.later(down, Event::Restart { node: any });
        }
        if self.chance(self.chaos.cut) {
            // One direction or both, of some pairs: partitions need not be clean.
            for from in &ids {
                for to in &ids {
                    if from != to && self.rng.below(3) == 0 {
                        self.cut.insert((*from, *to));
                    }
                }
            }
            let lasts = self.rng.below(8_000) * MILLISECOND;
            self.later(lasts, Event::Heal);
        }
        if self.chance(100) {
            self.append(any);
        }
    }

    /// A client's records, when this node leads.
    fn append(&mut self, id: i32) -> bool {
        let value = self.number.to_be_bytes().to_vec();
        let wall = Timestamp((self.now / MILLISECOND) as i64);
        let Some(quorum) = &mut self.nodes.get_mut(&id).unwrap().quorum else { return false };
        if !quorum.is_leader() {
            return false;
        }
        let mut out = Vec::new();
        quorum.append(wall, &[value], &mut out);
        self.number += 1;
        self.carry_out(id, out);
        true
    }

    fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.trouble();
            self.advance();
        }
    }

    fn run_for(&mut self, millis: u64) {
        let end = self.now + millis * MILLISECOND;
        while self.now < end {
            self.advance();
        }
    }

    fn leader(&self) -> Option<i32> {
        let leads = |node: &Node| node.quorum.as_ref().is_some_and(Quorum::is_leader);
        let mut leaders: Vec<_> = self.nodes.iter().filter(|(_, node)| leads(node)).collect();
        leaders.sort_by_key(|(_, node)| node.epoch);
        leaders.last().map(|(id, _)| **id)
    }

    /// The network heals and every node comes back: then there is one leader, and what it appends is committed everywhere.
    fn heal(&mut self) {
        self.chaos = CALM;
        self.cut.clear();
        for id in self.nodes.keys().copied().collect::<Vec<_>>() {
            if self.nodes[&id].quorum.is_none() {
                self.start(id);
            }
        }
        self.run_for(30_000);
        let leader = self.leader().unwrap_or_else(|| panic!("seed {}: liveness: no leader", self.seed));
        assert!(self.append(leader));
        self.run_for(5_000);
        let end = self.nodes[&leader].quorum.as_ref().unwrap().log_end();
        for (id, node) in &self.nodes {
            let reached = node.quorum.as_ref().unwrap().high_watermark();
            assert_eq!(reached, end, "seed {}: liveness: node {id} has not all that is committed", self.seed);
        }
    }
}

fn entries(bytes: &[u8]) -> Vec<Entry> {
    let entry = |batch: record::BatchView<'_>| Entry {
        base: batch.header.base_offset,
        end: batch.header.next_offset(),
        epoch: batch.header.leader_epoch,
        bytes: batch.bytes().to_vec(),
    };
    Batches::new(bytes).map(|batch| entry(batch.unwrap())).collect()
}
