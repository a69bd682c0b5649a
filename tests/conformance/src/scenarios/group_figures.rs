//! What groups cost: a rebalance of many members, and heartbeats of both protocols beside ApiVersions, by frames written by hand.

mod modern;
mod thousand;

pub(super) use modern::many_modern_members;
pub(super) use thousand::many_groups;

use conformance::fault::{During, Fault, ensure, fail};
use conformance::node::{Kind, Node};
use conformance::process::now;
use conformance::rig::Scene;
use conformance::wire::{connect, frame, read_frame};
use std::io::Write;
use std::net::TcpStream;

const MEMBERS: usize = 500;
const HEARTBEAT_ROUNDS: usize = 40;
/// API keys.
const CONSUMER_GROUP_HEARTBEAT: i16 = 68;
const FIND_COORDINATOR: i16 = 10;
const JOIN_GROUP: i16 = 11;
const HEARTBEAT: i16 = 12;
const SYNC_GROUP: i16 = 14;
const API_VERSIONS: i16 = 18;
/// COORDINATOR_NOT_AVAILABLE and COORDINATOR_LOAD_IN_PROGRESS, while the topic of the groups comes into being.
const NOT_YET: [i16; 2] = [15, 14];

/// A tick of [`cpu_ticks`], us.
const TICK_US: f64 = 10_000.0;

struct Member {
    stream: TcpStream,
    id: String,
    generation: i32,
    others: Vec<String>,
}

/// Reads a reply's fields one after the other.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn take(&mut self, len: usize) -> Result<&[u8], Fault> {
        ensure(self.0.len() >= len, || format!("{len} bytes are wanted, {} are there", self.0.len()))?;
        let (taken, rest) = self.0.split_at(len);
        self.0 = rest;
        Ok(taken)
    }

    fn i16(&mut self) -> Result<i16, Fault> {
        self.take(2).map(|bytes| i16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn i32(&mut self) -> Result<i32, Fault> {
        self.take(4).map(|bytes| i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
    }

    fn string(&mut self) -> Result<String, Fault> {
        let len = usize::try_from(self.i16()?).unwrap_or(0);
        self.take(len).map(|bytes| String::from_utf8_lossy(bytes).into_owned())
    }

    fn bytes(&mut self) -> Result<(), Fault> {
        let len = usize::try_from(self.i32()?).unwrap_or(0);
        self.take(len).map(|_| ())
    }
}

fn string(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes(), text.as_bytes()].concat()
}

fn bytes(of: &[u8]) -> Vec<u8> {
    [&u32::try_from(of.len()).unwrap_or(u32::MAX).to_be_bytes(), of].concat()
}

/// Sends to everybody, then reads everybody's answer: each has one request on its way.
fn all(
    members: &mut [Member],
    ask: impl Fn(&Member) -> Vec<u8>,
    mut answer: impl FnMut(&mut Member, Fields<'_>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    for member in members.iter_mut() {
        let request = ask(member);
        member.stream.write_all(&request).during("sending")?;
    }
    for member in members {
        let reply = read_frame(&mut member.stream)?;
        answer(member, Fields(&reply[4..]))?;
    }
    Ok(())
}

fn join(member: &Member) -> Vec<u8> {
    let timeouts = [30_000_i32.to_be_bytes(), 60_000_i32.to_be_bytes()].concat();
    // A consumer's subscription to the topic `t`, with other user data in each generation: what differs begins a rebalance, whoever
    // of the members is heard first.
    let user_data = bytes(&member.generation.to_be_bytes());
    let subscription = [&[0, 0, 0, 0, 0, 1][..], &string("t"), &user_data].concat();
    let protocol = [&1_i32.to_be_bytes()[..], &string("range"), &bytes(&subscription)].concat();
    let body = [string("many"), timeouts, string(&member.id), string("consumer"), protocol].concat();
    frame(JOIN_GROUP, 2, 1, &body)
}

fn joined(member: &mut Member, mut reply: Fields<'_>) -> Result<(), Fault> {
    let (_throttle, code) = (reply.i32()?, reply.i16()?);
    ensure(code == 0, || format!("JoinGroup answered {code}"))?;
    member.generation = reply.i32()?;
    let (_protocol, _leader) = (reply.string()?, reply.string()?);
    member.id = reply.string()?;
    member.others.clear();
    for _ in 0..reply.i32()? {
        member.others.push(reply.string()?);
        reply.bytes()?;
    }
    Ok(())
}

fn sync(member: &Member) -> Vec<u8> {
    let nothing = bytes(&[0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    let count = i32::try_from(member.others.len()).unwrap_or(0).to_be_bytes();
    let mut body = [&string("many")[..], &member.generation.to_be_bytes(), &string(&member.id), &count].concat();
    for other in &member.others {
        body.extend(string(other));
        body.extend(&nothing);
    }
    frame(SYNC_GROUP, 1, 2, &body)
}

fn heartbeat(member: &Member) -> Vec<u8> {
    let body = [&string("many")[..], &member.generation.to_be_bytes(), &string(&member.id)].concat();
    frame(HEARTBEAT, 1, 3, &body)
}

/// Throttle time and code 0.
fn accepted(_: &mut Member, mut reply: Fields<'_>) -> Result<(), Fault> {
    let (_throttle, code) = (reply.i32()?, reply.i16()?);
    ensure(code == 0, || format!("answered {code}"))
}

fn rebalance(members: &mut [Member]) -> Result<(), Fault> {
    all(members, join, joined)?;
    ensure(members.iter().all(|member| member.generation == members[0].generation), || {
        "members of several generations".to_owned()
    })?;
    all(members, sync, accepted)
}

/// CPU time of a process in clock ticks, of which Linux shows 100 a second.
fn cpu_ticks(pid: u32) -> Result<u64, Fault> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).during("its CPU time")?;
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok(user + system),
        _ => fail(format!("no CPU time in {stat}")),
    }
}

/// Until the topic of the groups is there.
fn await_coordinator(node: &Node) -> Result<(), Fault> {
    let mut first = connect(&node.address)?;
    let until = now() + conformance::process::CLIENT_DEADLINE;
    loop {
        first.write_all(&frame(FIND_COORDINATOR, 0, 1, &string("many"))).during("FindCoordinator")?;
        let code = Fields(&read_frame(&mut first)?[4..]).i16()?;
        if code == 0 {
            return Ok(());
        }
        ensure(NOT_YET.contains(&code) && now() < until, || format!("FindCoordinator answered {code}"))?;
    }
}

/// A rebalance of all members takes each two requests, and nobody waits for more than the others; heartbeats cost about what the
/// smallest request costs.
pub(super) fn many_members(scene: &Scene<'_>) -> Result<(), Fault> {
    // With Kafka's backlog of 50 a member whose SYN is dropped begins a second later.
    let plan = super::groups::plan(scene)?.with("socket.listen.backlog.size", "1024");
    let node = plan.with("group.initial.rebalance.delay.ms", "1000").start(scene)?;
    await_coordinator(&node)?;
    let member =
        |_| Ok(Member { stream: connect(&node.address)?, id: String::new(), generation: 0, others: Vec::new() });
    let mut members: Vec<Member> = (0..MEMBERS).map(member).collect::<Result<_, Fault>>()?;
    rebalance(&mut members).during("the first rebalance")?;
    let began = now();
    rebalance(&mut members).during("the second rebalance")?;
    scene.figure(&format!("a rebalance of {MEMBERS} members: {} ms", (now() - began).as_millis()));
    let pid = node.running.pid();
    let ticks = [
        cpu_ticks(pid)?,
        {
            (0..HEARTBEAT_ROUNDS).try_for_each(|_| all(&mut members, heartbeat, accepted))?;
            cpu_ticks(pid)?
        },
        {
            let ask = |_: &Member| frame(API_VERSIONS, 0, 4, &[]);
            (0..HEARTBEAT_ROUNDS).try_for_each(|_| all(&mut members, ask, |_, _| Ok(())))?;
            cpu_ticks(pid)?
        },
    ];
    let (heartbeats, smallest) = (ticks[1] - ticks[0], ticks[2] - ticks[1]);
    let each = |ticks: u64| ticks as f64 * TICK_US / (HEARTBEAT_ROUNDS * MEMBERS) as f64;
    scene.figure(&format!("CPU: {:.1} us a heartbeat, {:.1} us an ApiVersions", each(heartbeats), each(smallest)));
    // A JVM compiles while the first of the two is measured.
    ensure(heartbeats <= 2 * smallest + 5 || node.kind == Kind::Kafka, || {
        format!("{heartbeats} ticks for heartbeats, {smallest} for as many ApiVersions")
    })?;
    node.stop()
}
