//! A thousand groups of each protocol whose members heartbeat: what a heartbeat costs beside the smallest request.

use super::super::attacks::crowds;
use super::modern;
use super::{
    API_VERSIONS, Fields, HEARTBEAT, JOIN_GROUP, SYNC_GROUP, TICK_US, await_coordinator, bytes, cpu_ticks, string,
};
use conformance::fault::{During, Fault, ensure};
use conformance::node::Kind;
use conformance::process::now;
use conformance::rig::Scene;
use conformance::wire::{connect, frame, read_frame};
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

/// Groups, and members of each.
const GROUPS: usize = 1_000;
const MEMBERS_OF_EACH: usize = 10;
/// As many heartbeats as such groups send in a minute.
const GROUP_ROUNDS: usize = 20;
/// Time between two heartbeats of a member: the default of Java's consumer for the classic protocol.
const INTERVAL: Duration = Duration::from_secs(3);
/// Connections that they share where they do not heartbeat in real time: a heartbeat costs the node's groups the same on one of its own.
const CONNECTIONS: usize = 100;
/// Sessions of the classic protocol, which no phase of the scenario outlasts, ms.
const SESSION_MS: i32 = 1_000_000;

/// How heartbeats are sent.
#[derive(Clone, Copy)]
enum Pace {
    /// A number of rounds, each as fast as it goes.
    Rounds(usize),
    /// For this long each member sends at its own moment of every [`INTERVAL`], on a connection of its own.
    Real(Duration),
}

impl Pace {
    /// `THALWEG_CONFORMANCE_HEARTBEAT_SECONDS`, or some rounds.
    fn wanted() -> Pace {
        let seconds = std::env::var("THALWEG_CONFORMANCE_HEARTBEAT_SECONDS").ok();
        let seconds = seconds.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        seconds.map_or(Pace::Rounds(GROUP_ROUNDS), Pace::Real)
    }

    fn connections(self) -> usize {
        match self {
            Pace::Rounds(_) => CONNECTIONS,
            Pace::Real(_) => GROUPS * MEMBERS_OF_EACH,
        }
    }
}

/// A member of one of many groups.
struct OfMany {
    connection: usize,
    group: String,
    id: String,
    epoch: i32,
}

/// Many groups and the connections that their requests go through.
struct Many<'a> {
    connections: &'a mut [TcpStream],
    members: Vec<OfMany>,
}

impl<'a> Many<'a> {
    fn new(connections: &'a mut [TcpStream], prefix: &str) -> Many<'a> {
        let all = GROUPS * MEMBERS_OF_EACH;
        let members = (0..all).map(|number| OfMany {
            connection: number * connections.len() / all,
            group: format!("{prefix}-{}", number / MEMBERS_OF_EACH),
            id: String::new(),
            epoch: 0,
        });
        Many { members: members.collect(), connections }
    }

    /// One request of every member, all sent before the first answer is read.
    fn round(&mut self, ask: Ask, answer: Answer) -> Result<(), Fault> {
        let mut requests = vec![Vec::new(); self.connections.len()];
        for (number, member) in self.members.iter().enumerate() {
            requests[member.connection].extend(ask(number, member));
        }
        for (connection, requests) in self.connections.iter_mut().zip(&requests) {
            connection.write_all(requests).during("sending")?;
        }
        for member in &mut self.members {
            let reply = read_frame(&mut self.connections[member.connection])?;
            answer(member, Fields(&reply[4..]))?;
        }
        Ok(())
    }

    /// Each member at its own moment of every interval; how many requests that were.
    fn in_real_time(&mut self, lasts: Duration, ask: Ask, answer: Answer) -> Result<usize, Fault> {
        let gap = INTERVAL / u32::try_from(self.members.len()).unwrap_or(1);
        let began = now();
        for turn in 0.. {
            let at = gap * turn;
            if at >= lasts {
                return Ok(usize::try_from(turn).unwrap_or(0));
            }
            while let Some(left) = (began + at).checked_duration_since(now()).filter(|left| !left.is_zero()) {
                // A pace and no wait for something: nobody unparks this thread.
                std::thread::park_timeout(left);
            }
            let number = usize::try_from(turn).unwrap_or(0) % self.members.len();
            let member = &mut self.members[number];
            let connection = &mut self.connections[member.connection];
            connection.write_all(&ask(number, member)).during("sending")?;
            let reply = read_frame(connection)?;
            answer(member, Fields(&reply[4..]))?;
        }
        Ok(0)
    }

    /// CPU time that the process spends on a request, us.
    fn cost(&mut self, pid: u32, pace: Pace, ask: Ask, answer: Answer) -> Result<f64, Fault> {
        let before = cpu_ticks(pid)?;
        let requests = match pace {
            Pace::Rounds(rounds) => {
                (0..rounds).try_for_each(|_| self.round(ask, answer))?;
                rounds * self.members.len()
            }
            Pace::Real(lasts) => self.in_real_time(lasts, ask, answer)?,
        };
        Ok((cpu_ticks(pid)? - before) as f64 * TICK_US / requests as f64)
    }
}

/// Makes a request of the member with a number.
type Ask = fn(usize, &OfMany) -> Vec<u8>;
/// Reads its answer.
type Answer = fn(&mut OfMany, Fields<'_>) -> Result<(), Fault>;

fn modern_heartbeat(number: usize, member: &OfMany) -> Vec<u8> {
    modern::heartbeat(&member.group, &format!("member-{number}"), member.epoch, "t", None)
}

fn modern_answer(member: &mut OfMany, reply: Fields<'_>) -> Result<(), Fault> {
    member.epoch = modern::answer(reply)?.epoch;
    Ok(())
}

fn api_versions(_: usize, _: &OfMany) -> Vec<u8> {
    frame(API_VERSIONS, 0, 4, &[])
}

/// A request of the classic protocol in its oldest flexible-free version, with the members of `many-N`.
fn classic_join(_: usize, member: &OfMany) -> Vec<u8> {
    let timeouts = [SESSION_MS.to_be_bytes(), 60_000_i32.to_be_bytes()].concat();
    let subscription = [&[0, 0, 0, 0, 0, 1][..], &string("t"), &bytes(&[])].concat();
    let protocol = [&1_i32.to_be_bytes()[..], &string("range"), &bytes(&subscription)].concat();
    let body = [string(&member.group), timeouts, string(&member.id), string("consumer"), protocol].concat();
    frame(JOIN_GROUP, 2, 1, &body)
}

fn classic_joined(member: &mut OfMany, mut reply: Fields<'_>) -> Result<(), Fault> {
    let (_throttle, code) = (reply.i32()?, reply.i16()?);
    ensure(code == 0, || format!("JoinGroup answered {code}"))?;
    member.epoch = reply.i32()?;
    let (_protocol, _leader) = (reply.string()?, reply.string()?);
    member.id = reply.string()?;
    Ok(())
}

fn classic_sync(_: usize, member: &OfMany) -> Vec<u8> {
    // Who leads assigns nothing to anybody.
    let none = 0_i32.to_be_bytes();
    let body = [&string(&member.group)[..], &member.epoch.to_be_bytes(), &string(&member.id), &none].concat();
    frame(SYNC_GROUP, 1, 2, &body)
}

fn classic_heartbeat(_: usize, member: &OfMany) -> Vec<u8> {
    let body = [&string(&member.group)[..], &member.epoch.to_be_bytes(), &string(&member.id)].concat();
    frame(HEARTBEAT, 1, 3, &body)
}

fn fine(_: &mut OfMany, mut reply: Fields<'_>) -> Result<(), Fault> {
    let (_throttle, code) = (reply.i32()?, reply.i16()?);
    ensure(code == 0, || format!("answered {code}"))
}

/// 1,000 groups of ten members of each protocol: a heartbeat costs at most twice what the smallest request costs.
pub(in super::super) fn many_groups(scene: &Scene<'_>) -> Result<(), Fault> {
    let pace = Pace::wanted();
    let plan = super::super::groups::plan(scene)?.with("socket.listen.backlog.size", "1024");
    // On connections of their own members of a group are not heard one right after the other, and all of them are to join the first generation.
    let plan = plan.with("group.initial.rebalance.delay.ms", "3000");
    // Sessions that a slow machine does not end, and targets that do not wait for a clock.
    let plan = plan.with("group.consumer.session.timeout.ms", "60000");
    let node = plan.with("group.consumer.assignment.interval.ms", "0").start(scene)?;
    await_coordinator(&node)?;
    let pid = node.running.pid();
    let fit = crowds::raise_files(scene, pace.connections() as u64)?;
    let mut connections: Vec<TcpStream> = (0..fit).map(|_| connect(&node.address)).collect::<Result<_, _>>()?;
    let mut classic = Many::new(&mut connections, "classic");
    let smallest = classic.cost(pid, pace, api_versions, |_, _| Ok(())).during("ApiVersions")?;
    classic.round(classic_join, classic_joined).during("joins")?;
    classic.round(classic_sync, fine).during("syncs")?;
    let classics = classic.cost(pid, pace, classic_heartbeat, fine).during("Heartbeat")?;
    let mut modern = Many::new(&mut connections, "modern");
    // Each that joins begins an epoch, so the first ones arrive with their second heartbeat.
    (0..3).try_for_each(|_| modern.round(modern_heartbeat, modern_answer)).during("joins")?;
    let moderns = modern.cost(pid, pace, modern_heartbeat, modern_answer).during("ConsumerGroupHeartbeat")?;
    let how = match pace {
        Pace::Rounds(rounds) => format!("{rounds} rounds over {CONNECTIONS} connections"),
        Pace::Real(lasts) => format!("{} s each, every member at its own time on its own connection", lasts.as_secs()),
    };
    scene.figure(&format!(
        "CPU of {GROUPS} groups of {MEMBERS_OF_EACH}, {how}: {classics:.2} us a Heartbeat, {moderns:.2} us a \
         ConsumerGroupHeartbeat, {smallest:.2} us an ApiVersions"
    ));
    // Five ticks of the clock that CPU time is told in.
    let grain = 5.0 * TICK_US / (GROUP_ROUNDS * GROUPS * MEMBERS_OF_EACH) as f64;
    ensure(classics.max(moderns) <= 2.0 * smallest + grain || node.kind == Kind::Kafka, || {
        format!("{classics:.2} and {moderns:.2} us for heartbeats, {smallest:.2} us for an ApiVersions")
    })?;
    node.stop()
}
