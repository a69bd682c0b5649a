//! A thousand groups of each protocol whose members heartbeat: what a heartbeat costs beside the smallest request.

use super::super::attacks::crowds;
use super::modern;
use super::{
    API_VERSIONS, Fields, HEARTBEAT, JOIN_GROUP, SYNC_GROUP, TICK_US, await_coordinator, bytes, cpu_ticks, string,
};
use conformance::fault::{During, Fault, ensure};
use conformance::node;
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

/// Turns that the kinds of requests take: the machine is not as fast in one minute as in the next, which then is so for all of them.
const TURNS: u32 = 5;

/// How requests are sent.
#[derive(Clone, Copy)]
enum Pace {
    /// A number of rounds, each as fast as it goes.
    Rounds(usize),
    /// For this long each member sends at its own moment of every [`INTERVAL`], on a connection of its own.
    Real(Duration),
}

impl Pace {
    /// Of each kind of request: for `THALWEG_CONFORMANCE_HEARTBEAT_SECONDS`, or some rounds.
    fn wanted() -> Pace {
        let seconds = std::env::var("THALWEG_CONFORMANCE_HEARTBEAT_SECONDS").ok();
        let seconds = seconds.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
        seconds.map_or(Pace::Rounds(GROUP_ROUNDS), Pace::Real)
    }

    /// What of it one turn is.
    fn turn(self) -> Pace {
        match self {
            Pace::Rounds(rounds) => Pace::Rounds(rounds / TURNS as usize),
            Pace::Real(lasts) => Pace::Real(lasts / TURNS),
        }
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

/// The members of many groups.
fn members(prefix: &str, connections: usize) -> Vec<OfMany> {
    let all = GROUPS * MEMBERS_OF_EACH;
    let member = |number| OfMany {
        connection: number * connections / all,
        group: format!("{prefix}-{}", number / MEMBERS_OF_EACH),
        id: String::new(),
        epoch: 0,
    };
    (0..all).map(member).collect()
}

/// A kind of request.
struct Kind {
    ask: Ask,
    answer: Answer,
}

impl Kind {
    /// One request of every member, all sent before the first answer is read.
    fn round(&self, members: &mut [OfMany], connections: &mut [TcpStream]) -> Result<(), Fault> {
        let mut requests = vec![Vec::new(); connections.len()];
        for (number, member) in members.iter().enumerate() {
            requests[member.connection].extend((self.ask)(number, member));
        }
        for (connection, requests) in connections.iter_mut().zip(&requests) {
            connection.write_all(requests).during("sending")?;
        }
        for member in members {
            let reply = read_frame(&mut connections[member.connection])?;
            (self.answer)(member, Fields(&reply[4..]))?;
        }
        Ok(())
    }

    /// Each member at its own moment of every interval; how many requests that were.
    fn in_real_time(
        &self,
        members: &mut [OfMany],
        connections: &mut [TcpStream],
        lasts: Duration,
    ) -> Result<usize, Fault> {
        let gap = INTERVAL / u32::try_from(members.len()).unwrap_or(1);
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
            let number = usize::try_from(turn).unwrap_or(0) % members.len();
            let member = &mut members[number];
            let connection = &mut connections[member.connection];
            connection.write_all(&(self.ask)(number, member)).during("sending")?;
            let reply = read_frame(connection)?;
            (self.answer)(member, Fields(&reply[4..]))?;
        }
        Ok(0)
    }
}

/// What the requests of one kind have cost the node.
#[derive(Default)]
struct Cost {
    requests: usize,
    ticks: u64,
}

impl Cost {
    /// A turn of requests of a kind.
    fn add(
        &mut self,
        pid: u32,
        pace: Pace,
        kind: &Kind,
        members: &mut [OfMany],
        connections: &mut [TcpStream],
    ) -> Result<(), Fault> {
        let before = cpu_ticks(pid)?;
        self.requests += match pace {
            Pace::Rounds(rounds) => {
                (0..rounds).try_for_each(|_| kind.round(members, connections))?;
                rounds * members.len()
            }
            Pace::Real(lasts) => kind.in_real_time(members, connections, lasts)?,
        };
        self.ticks += cpu_ticks(pid)? - before;
        Ok(())
    }

    /// CPU time of one request, us.
    fn us(&self) -> f64 {
        self.ticks as f64 * TICK_US / self.requests as f64
    }
}

const SMALLEST: Kind = Kind { ask: api_versions, answer: |_, _| Ok(()) };
const CLASSIC_JOIN: Kind = Kind { ask: classic_join, answer: classic_joined };
const CLASSIC_SYNC: Kind = Kind { ask: classic_sync, answer: fine };
const CLASSIC: Kind = Kind { ask: classic_heartbeat, answer: fine };
const MODERN: Kind = Kind { ask: modern_heartbeat, answer: modern_answer };

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
    let mut classic = members("classic", connections.len());
    CLASSIC_JOIN.round(&mut classic, &mut connections).during("joins")?;
    CLASSIC_SYNC.round(&mut classic, &mut connections).during("syncs")?;
    let mut modern = members("modern", connections.len());
    // Each that joins begins an epoch, so the first ones arrive with their second heartbeat.
    (0..3).try_for_each(|_| MODERN.round(&mut modern, &mut connections)).during("joins of KIP-848")?;
    let [mut smallest, mut classics, mut moderns] = [Cost::default(), Cost::default(), Cost::default()];
    for _ in 0..TURNS {
        let turn = pace.turn();
        smallest.add(pid, turn, &SMALLEST, &mut classic, &mut connections).during("ApiVersions")?;
        classics.add(pid, turn, &CLASSIC, &mut classic, &mut connections).during("Heartbeat")?;
        moderns.add(pid, turn, &MODERN, &mut modern, &mut connections).during("ConsumerGroupHeartbeat")?;
    }
    let [smallest, classics, moderns] = [smallest.us(), classics.us(), moderns.us()];
    let how = match pace {
        Pace::Rounds(rounds) => format!("{rounds} rounds in {TURNS} turns over {CONNECTIONS} connections"),
        Pace::Real(lasts) => {
            format!("{} s each in {TURNS} turns, every member at its own time on its own connection", lasts.as_secs())
        }
    };
    scene.figure(&format!(
        "CPU of {GROUPS} groups of {MEMBERS_OF_EACH}, {how}: {classics:.2} us a Heartbeat, {moderns:.2} us a \
         ConsumerGroupHeartbeat, {smallest:.2} us an ApiVersions"
    ));
    // A tick of the clock that CPU time is told in for each turn.
    let grain = f64::from(TURNS) * TICK_US / (GROUP_ROUNDS * GROUPS * MEMBERS_OF_EACH) as f64;
    ensure(classics.max(moderns) <= 2.0 * smallest + grain || node.kind == node::Kind::Kafka, || {
        format!("{classics:.2} and {moderns:.2} us for heartbeats, {smallest:.2} us for an ApiVersions")
    })?;
    node.stop()
}
