//! A storm of group members: all join at once, and when every group is complete they heartbeat and commit as fast as they are answered.

use crate::connection::Connection;
use crate::wire::{Reader, requests};
use conformance::fault::{During, Fault, ensure, fail};
use conformance::process::now;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// A group that is not complete by then never will be.
const STABLE_DEADLINE: Duration = Duration::from_secs(60);
/// The coordinator's topic is being made.
const NOT_YET: [i16; 3] = [14, 15, 16];
/// Others join: join again.
const REBALANCE_IN_PROGRESS: i16 = 27;
/// It happened meanwhile.
const ILLEGAL_GENERATION: i16 = 22;

/// How many.
#[derive(Clone, Copy)]
pub struct Crowd {
    /// Groups.
    pub groups: usize,
    /// Members of each.
    pub members: usize,
    /// How long they heartbeat, and then how long they commit.
    pub phase: Duration,
}

/// What all members together did.
#[derive(Default)]
pub struct Done {
    /// From the first JoinGroup to the last group that was complete.
    pub stable: Duration,
    /// Heartbeats answered, and in which time.
    pub heartbeats: (u64, Duration),
    /// The same for commits.
    pub commits: (u64, Duration),
}

/// Runs all three parts; the groups' names begin with `prefix`, and commits name `topic`.
pub fn storm(address: &str, prefix: &str, topic: &str, crowd: Crowd) -> Result<Done, Fault> {
    let total = crowd.groups * crowd.members;
    let (barrier, failed) = (Barrier::new(total), AtomicBool::new(false));
    let mut done = Done::default();
    std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for index in 0..total {
            let (barrier, failed) = (&barrier, &failed);
            let name = format!("{prefix}-{}", index / crowd.members);
            let thread = std::thread::Builder::new().stack_size(256 << 10);
            let member = move || Member::new(address, name).run(topic, crowd, barrier, failed);
            threads.push(thread.spawn_scoped(scope, member).during("starting a member")?);
        }
        let mut first: Option<Fault> = None;
        for thread in threads {
            match thread.join().map_err(|_| Fault::Failed("a member's thread panicked".to_owned())).flatten() {
                Ok(one) => done.merge(one),
                Err(fault) => first = first.or(Some(fault)),
            }
        }
        first.map_or(Ok(done), Err)
    })
}

impl Done {
    fn merge(&mut self, one: Done) {
        self.stable = self.stable.max(one.stable);
        for (all, one) in [(&mut self.heartbeats, one.heartbeats), (&mut self.commits, one.commits)] {
            *all = (all.0 + one.0, all.1.max(one.1));
        }
    }
}

struct Member<'a> {
    address: &'a str,
    group: String,
    id: String,
    generation: i32,
}

impl<'a> Member<'a> {
    fn new(address: &'a str, group: String) -> Member<'a> {
        Member { address, group, id: String::new(), generation: -1 }
    }

    /// Every member passes each barrier, also one that has failed, so that none waits for it.
    fn run(mut self, topic: &str, crowd: Crowd, barrier: &Barrier, failed: &AtomicBool) -> Result<Done, Fault> {
        let mut done = Done::default();
        let mut first: Option<Fault> = None;
        let mut note = |result: Result<(), Fault>| {
            if let Err(fault) = result {
                failed.store(true, Ordering::Relaxed);
                first.get_or_insert(fault);
            }
        };
        let mut connection = Connection::open(self.address).and_then(|mut connection| {
            self.await_coordinator(&mut connection)?;
            Ok(connection)
        });
        failed.fetch_or(connection.is_err(), Ordering::Relaxed);
        for part in 0..4 {
            barrier.wait();
            if failed.load(Ordering::Relaxed) {
                continue;
            }
            let result = match &mut connection {
                Ok(connection) => self.part(part, connection, topic, crowd, &mut done),
                Err(_) => Ok(()),
            };
            note(result.during(format!("group {}, part {part}", self.group)));
        }
        note(connection.map(|_| ()));
        first.map_or(Ok(done), Err)
    }

    fn part(
        &mut self,
        part: usize,
        connection: &mut Connection,
        topic: &str,
        crowd: Crowd,
        done: &mut Done,
    ) -> Result<(), Fault> {
        let started = now();
        match part {
            0 => {
                self.join_all(connection, crowd.members, started + STABLE_DEADLINE)?;
                done.stable = now() - started;
            }
            1 => {
                let mut request = requests::heartbeat(&self.group, self.generation, &self.id);
                done.heartbeats = repeat(connection, &mut request, crowd.phase, |reply| Reader::at_error(reply, 8))?;
            }
            2 => {
                let mut request = requests::offset_commit(&self.group, self.generation, &self.id, topic, 1);
                // correlation id, throttle time, topics, name, partitions, index
                let error_at = 4 + 4 + 4 + 2 + topic.len() + 4 + 4;
                done.commits =
                    repeat(connection, &mut request, crowd.phase, |reply| Reader::at_error(reply, error_at))?;
            }
            _ => {
                let error = Reader::at_error(connection.ask(&mut requests::leave_group(&self.group, &self.id))?, 8)?;
                ensure(error == 0, || format!("LeaveGroup answered error {error}"))?;
            }
        }
        Ok(())
    }

    fn await_coordinator(&self, connection: &mut Connection) -> Result<(), Fault> {
        let until = now() + STABLE_DEADLINE;
        loop {
            let error = Reader::at_error(connection.ask(&mut requests::find_coordinator(&self.group))?, 8)?;
            if error == 0 {
                return Ok(());
            }
            ensure(NOT_YET.contains(&error) && now() < until, || format!("FindCoordinator answered error {error}"))?;
        }
    }

    /// Joins until the leader's assignment says that the group is complete.
    fn join_all(&mut self, connection: &mut Connection, members: usize, until: Instant) -> Result<(), Fault> {
        loop {
            ensure(now() < until, || "it is not complete in time".to_owned())?;
            let Some(others) = self.join(connection)? else { continue };
            // The leader tells everybody how many they are.
            let size = (others.len() as u32).to_be_bytes().to_vec();
            let assignments: Vec<_> = others.into_iter().map(|member| (member, size.clone())).collect();
            let request = &mut requests::sync_group(&self.group, self.generation, &self.id, &assignments);
            let reply = connection.ask(request)?;
            match Reader::at_error(reply, 8)? {
                0 => {}
                REBALANCE_IN_PROGRESS | ILLEGAL_GENERATION => continue,
                error => return fail(format!("SyncGroup answered error {error}")),
            }
            let mut assignment = Reader::new(reply);
            assignment.at = 10;
            if assignment.bytes()? == (members as u32).to_be_bytes() {
                return Ok(());
            }
            self.await_rebalance(connection, until)?;
        }
    }

    /// One JoinGroup; for the leader all members' ids, for the others none.
    fn join(&mut self, connection: &mut Connection) -> Result<Option<Vec<String>>, Fault> {
        let mut reply = Reader::new(connection.ask(&mut requests::join_group(&self.group, &self.id))?);
        reply.at = 8;
        match reply.i16()? {
            0 => {}
            REBALANCE_IN_PROGRESS => return Ok(None),
            error if NOT_YET.contains(&error) => return Ok(None),
            error => return fail(format!("JoinGroup answered error {error}")),
        }
        self.generation = reply.i32()?;
        reply.text()?; // protocol
        reply.text()?; // leader
        self.id = String::from_utf8_lossy(reply.text()?).into_owned();
        let mut members = Vec::new();
        for _ in 0..reply.count()? {
            members.push(String::from_utf8_lossy(reply.text()?).into_owned());
            reply.bytes()?;
        }
        Ok(Some(members))
    }

    /// Heartbeats until the next member's JoinGroup is noticed.
    fn await_rebalance(&self, connection: &mut Connection, until: Instant) -> Result<(), Fault> {
        loop {
            ensure(now() < until, || "nobody else joins in time".to_owned())?;
            let request = &mut requests::heartbeat(&self.group, self.generation, &self.id);
            match Reader::at_error(connection.ask(request)?, 8)? {
                0 => pause(),
                REBALANCE_IN_PROGRESS | ILLEGAL_GENERATION => return Ok(()),
                error => return fail(format!("Heartbeat answered error {error}")),
            }
        }
    }
}

/// A member that is not complete does not flood: its heartbeats would be the load, and not the joins.
#[expect(clippy::disallowed_methods, reason = "a client's pause between heartbeats, in real time")]
fn pause() {
    std::thread::sleep(Duration::from_millis(2));
}

/// Sends a request again and again for so long; every answer must be without error.
fn repeat(
    connection: &mut Connection,
    request: &mut [u8],
    time: Duration,
    error: impl Fn(&[u8]) -> Result<i16, Fault>,
) -> Result<(u64, Duration), Fault> {
    let (started, mut count) = (now(), 0);
    while now() - started < time {
        let error = error(connection.ask(request)?)?;
        ensure(error == 0, || format!("answered error {error}"))?;
        count += 1;
    }
    Ok((count, now() - started))
}
