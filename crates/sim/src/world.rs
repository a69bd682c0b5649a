//! The world: the machine, the clients, what is between them, and the scheduler that decides what happens next.

mod ending;
mod faults;

use crate::clients::{Admin, Client, Committer, Consumer, Cx, Member, Producer};
use crate::clock::SimClock;
use crate::controls::Control;
use crate::link::Link;
use crate::machine::Machine;
use crate::model::{Model, Seen};
use crate::options::{Options, Subject, generator, numbered};
use crate::trace::Trace;
use base::{Clock, SeededRng};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

/// Connections that broke with frames on their way; more would only make a run slower.
const ORPHANS_MAX: usize = 8;

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Its seed.
    pub seed: u64,
    /// Steps that were taken.
    pub steps: u64,
    /// The hash of everything that happened.
    pub hash: u64,
    /// What did not hold, if anything.
    pub breach: Option<String>,
    /// The last events.
    pub trace: String,
    /// What the run has shown.
    pub seen: Seen,
}

/// Where a log dir's round stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Begun,
    Synced,
}

/// What may happen next.
#[derive(Clone, Copy, Debug)]
enum Action {
    Act(usize),
    Deliver(usize),
    Settle(usize),
    Receive(usize),
    Commit(usize),
    Housekeep,
    Coordinate,
    ReadCold,
    Advance,
    Orphan(usize),
    Disconnect(usize),
    Start,
}

struct World {
    options: Options,
    clock: Arc<SimClock>,
    machine: Machine,
    model: Model,
    trace: Trace,
    scheduler: SeededRng,
    time: SeededRng,
    network: SeededRng,
    clients: Vec<Box<dyn Client>>,
    links: Vec<Option<Link>>,
    orphans: Vec<Link>,
    stages: Vec<Stage>,
    /// Faults that had struck when the node was started.
    struck_before: u64,
    is_ending: bool,
    /// The node could not be started because of damage: nothing more is to be seen.
    is_over: bool,
}

/// Runs a seed to its end.
///
/// # Panics
/// When the runtime, which has neither sockets nor threads, cannot be made.
#[must_use]
pub fn run(options: &Options) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without sockets can be made");
    let mut world = match World::new(options) {
        Ok(world) => world,
        Err(what) => {
            let breach = Some(format!("the world cannot be made: {what}"));
            return Outcome {
                seed: options.seed,
                steps: 0,
                hash: 0,
                breach,
                trace: String::new(),
                seen: Seen::default(),
            };
        }
    };
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(tokio::task::unconstrained(world.run()));
    }));
    if let Err(panic) = ran {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned())).unwrap_or_default();
        world.model.breach_in_any_case(format!("the node broke an invariant of its own: {said}"));
    }
    let outcome = Outcome {
        seed: options.seed,
        steps: world.trace.steps(),
        hash: world.trace.hash(),
        breach: world.model.breached().map(str::to_owned),
        trace: world.trace.text(),
        seen: world.model.seen,
    };
    // Futures hold timers, which have to go within the runtime.
    let _within = runtime.enter();
    drop(world);
    outcome
}

fn clients(options: &Options) -> Vec<Box<dyn Client>> {
    let rng = |number: usize| numbered(options.seed, Subject::Client, number as u64);
    let mut all: Vec<Box<dyn Client>> = vec![Box::new(Admin::new(rng(0)))];
    for number in 1..4 {
        all.push(Box::new(Producer::new(number, rng(number))));
    }
    for number in 4..6 {
        all.push(Box::new(Consumer::new(number, rng(number))));
    }
    for number in 6..8 {
        all.push(Box::new(Member::new(number, rng(number))));
    }
    all.push(Box::new(Committer::new(8, rng(8))));
    all
}

impl World {
    fn new(options: &Options) -> Result<World, String> {
        let clock = Arc::new(SimClock::default());
        let machine = Machine::new(options, Arc::clone(&clock))?;
        let clients = clients(options);
        Ok(World {
            links: clients.iter().map(|_| None).collect(),
            clients,
            machine,
            clock,
            model: Model::default(),
            trace: Trace::new(),
            scheduler: generator(options.seed, Subject::Scheduler),
            time: generator(options.seed, Subject::Clock),
            network: generator(options.seed, Subject::Network),
            orphans: Vec::new(),
            stages: Vec::new(),
            struck_before: 0,
            is_ending: false,
            is_over: false,
            options: options.clone(),
        })
    }

    async fn run(&mut self) {
        self.start();
        self.prepare().await;
        while self.trace.steps() < self.options.steps && !self.is_finished() {
            self.step().await;
        }
        if !self.is_finished() {
            self.end().await;
        }
    }

    fn is_finished(&self) -> bool {
        self.is_over || self.model.breached().is_some()
    }

    fn takes_part(&self, client: usize) -> bool {
        self.options.clients & (1 << client) != 0
    }

    /// One step: something happens, and then everything that must hold is looked at.
    async fn step(&mut self) {
        self.trace.step();
        if !self.is_ending && self.scheduler.below(200) == 0 {
            self.fault().await;
        } else if let Some(action) = self.choose() {
            self.carry_out(action).await;
        }
        self.look();
    }

    fn choose(&mut self) -> Option<Action> {
        let mut actions: Vec<(u64, Action)> = vec![(8, Action::Advance)];
        if self.machine.node.is_none() {
            actions.push((2, Action::Start));
        } else {
            self.node_actions(&mut actions);
        }
        let total = actions.iter().map(|(weight, _)| weight).sum();
        let mut at = self.scheduler.below(total);
        actions.into_iter().find_map(|(weight, action)| {
            if at < weight {
                return Some(action);
            }
            at -= weight;
            None
        })
    }

    fn node_actions(&self, actions: &mut Vec<(u64, Action)>) {
        actions.extend([(1, Action::Housekeep), (2, Action::Coordinate), (2, Action::ReadCold)]);
        for client in 0..self.clients.len() {
            if self.takes_part(client) {
                actions.push((4, Action::Act(client)));
            }
            let Some(link) = &self.links[client] else { continue };
            if link.has_frame() {
                actions.push((6, Action::Deliver(client)));
            }
            if link.can_settle() {
                actions.push((8, Action::Settle(client)));
            }
            if link.has_reply() || link.is_over() {
                actions.push((8, Action::Receive(client)));
            }
        }
        for (dir, stage) in self.stages.iter().enumerate() {
            actions.push((if *stage == Stage::Idle { 3 } else { 5 }, Action::Commit(dir)));
        }
        for at in 0..self.orphans.len() {
            actions.push((1, Action::Orphan(at)));
        }
        if self.options.faults.disconnects && !self.is_ending && !self.links.is_empty() {
            let client = (self.trace.steps() % self.links.len() as u64) as usize;
            if self.links[client].is_some() && self.trace.steps().is_multiple_of(7) {
                actions.push((1, Action::Disconnect(client)));
            }
        }
    }

    async fn carry_out(&mut self, action: Action) {
        match action {
            Action::Act(client) => self.act(client),
            Action::Deliver(client) => {
                self.trace.note("deliver", [client as i64, 0, 0, 0]);
                if let Some(link) = &mut self.links[client] {
                    link.deliver(&mut self.trace);
                }
            }
            Action::Settle(client) => {
                self.trace.note("settle", [client as i64, 0, 0, 0]);
                if let Some(link) = &mut self.links[client] {
                    link.settle(&mut self.trace);
                }
            }
            Action::Receive(client) => self.receive(client),
            Action::Commit(dir) => self.commit(dir),
            Action::Housekeep => {
                self.trace.note("housekeep", [0; 4]);
                if let Some(node) = &mut self.machine.node {
                    node.housekeep();
                }
            }
            Action::Coordinate => {
                self.trace.note("coordinate", [0; 4]);
                if let Some(node) = &mut self.machine.node {
                    node.coordinate();
                }
            }
            Action::ReadCold => {
                if let Some(node) = &mut self.machine.node {
                    node.read_cold();
                }
            }
            Action::Advance => self.advance().await,
            Action::Orphan(at) => self.late(at),
            Action::Disconnect(client) => self.disconnect(client),
            Action::Start => self.start(),
        }
    }

    /// A third of a round of a log dir's committer.
    fn commit(&mut self, dir: usize) {
        let Some(node) = &mut self.machine.node else { return };
        let stage = &mut self.stages[dir];
        *stage = match *stage {
            Stage::Idle if node.begin_commit(dir) => Stage::Begun,
            Stage::Idle => return,
            Stage::Begun => {
                node.sync_commit(dir);
                Stage::Synced
            }
            Stage::Synced => {
                node.finish_commit(dir);
                Stage::Idle
            }
        };
        self.trace.note("commit", [dir as i64, *stage as i64, 0, 0]);
    }

    /// Time goes on, mostly by a little.
    async fn advance(&mut self) {
        let millis = match self.time.below(40) {
            0 => 100 + self.time.below(2_000),
            1..=6 => 10 + self.time.below(100),
            _ => 1 + self.time.below(10),
        };
        self.pass(millis).await;
    }

    async fn pass(&mut self, millis: u64) {
        self.trace.note("advance", [millis.cast_signed(), 0, 0, 0]);
        self.clock.advance(millis);
        tokio::time::advance(Duration::from_millis(millis)).await;
    }

    /// Lets a client do something, with what it may use.
    fn with_client(&mut self, client: usize, does: impl FnOnce(&mut dyn Client, &mut Cx<'_>)) {
        let mut outbox = Vec::new();
        let mut cx = Cx {
            now: self.clock.monotonic(),
            wall: self.clock.wall(),
            step: self.trace.steps(),
            model: &mut self.model,
            outbox: &mut outbox,
            disconnect: false,
            is_ending: self.is_ending,
            is_troubled: self.machine.disk.faults_struck() > 0,
            acks_early: self.options.control == Some(Control::AckBeforeCommit),
        };
        does(self.clients[client].as_mut(), &mut cx);
        let disconnect = cx.disconnect;
        if !outbox.is_empty() {
            self.trace.note("send", [client as i64, outbox.len() as i64, 0, 0]);
        }
        if !outbox.is_empty()
            && let Some(node) = &mut self.machine.node
        {
            let link = self.links[client].get_or_insert_with(|| Link::new(node, client));
            outbox.into_iter().for_each(|frame| link.send(frame));
        }
        if disconnect {
            self.disconnect(client);
        }
    }

    fn act(&mut self, client: usize) {
        self.with_client(client, |client, cx| client.act(cx));
    }

    fn receive(&mut self, client: usize) {
        let Some(link) = &mut self.links[client] else { return };
        match link.receive() {
            Some(frame) => {
                self.trace.note("receive", [client as i64, frame.len() as i64, 0, 0]);
                self.with_client(client, |client, cx| client.answered(cx, &frame));
            }
            None if link.is_over() => self.disconnect(client),
            None => {}
        }
    }

    /// A client's connection breaks. What it has sent may still arrive.
    fn disconnect(&mut self, client: usize) {
        let Some(link) = &self.links[client] else { return };
        let is_quiet = link.is_idle();
        let may_be_late = self.clients[client].may_be_late();
        if !may_be_late && !is_quiet {
            // Its frames may not come late, so it keeps its connection.
            return;
        }
        self.trace.note("disconnect", [client as i64, 0, 0, 0]);
        let link = self.links[client].take();
        if self.orphans.len() < ORPHANS_MAX {
            self.orphans.extend(link.filter(Link::has_frame));
        }
        self.with_client(client, |client, cx| client.disconnected(cx));
    }

    /// A frame arrives that its client has given up on (KAFKA-17754, KAFKA-14402), or such a connection ends.
    fn late(&mut self, at: usize) {
        self.trace.note("late", [at as i64, 0, 0, 0]);
        let link = &mut self.orphans[at];
        if link.has_frame() && self.network.below(8) != 0 {
            link.deliver(&mut self.trace);
        } else {
            self.orphans.swap_remove(at);
        }
    }

    /// Looks at what must hold after a step, unless the power was cut in it.
    fn look(&mut self) {
        if let Some(left) = self.machine.disk.take_cut() {
            self.trace.note("power cut within", [0; 4]);
            return self.power_cut(left);
        }
        let Some(node) = &self.machine.node else { return };
        let views = node.partitions();
        self.model.look_inside(&views);
        let is_offline = views.iter().any(|view| view.is_offline);
        if is_offline {
            self.model.seen.offline = 1;
        }
        let failed = node.failed();
        if (is_offline || failed.is_some()) && self.machine.disk.faults_struck() == 0 && !self.model.is_damaged {
            self.model.breach(format!("a log dir is offline though the disk did nothing wrong: {failed:?}"));
        }
    }
}
