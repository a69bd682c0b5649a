//! ConsumerGroupHeartbeat by hand, and 500 members of KIP-848 in one group: how many round trips and how much time they need until all
//! have what the coordinator wants them to have.

use super::{CONSUMER_GROUP_HEARTBEAT, Fields, MEMBERS, await_coordinator, string};
use conformance::fault::{During, Fault, ensure};
use conformance::node::Kind;
use conformance::process::now;
use conformance::rig::Scene;
use conformance::wire::{connect, frame, read_frame};
use std::collections::BTreeSet;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

const GROUP: &str = "modern-500";
const TOPIC: &str = "shared";
/// Partitions at first, and after the topic has grown.
const PARTITIONS: i32 = 1_000;
const GROWN: i32 = 1_500;
/// API key and version.
const CREATE_TOPICS: (i16, i16) = (19, 2);
const CREATE_PARTITIONS: (i16, i16) = (37, 0);
/// Rounds of heartbeats in which partitions have been given up by one and taken by another, whoever is heard first: who comes joins, who
/// has too much is told and gives up, who waits takes.
const ROUNDS_MAX: usize = 5;

/// An unsigned varint.
fn varint(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

impl Fields<'_> {
    fn varint(&mut self) -> Result<usize, Fault> {
        let mut value = 0;
        for shift in [0, 7, 14, 21] {
            let byte = usize::from(self.take(1)?[0]);
            value |= (byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        Ok(value)
    }

    /// A string of a flexible version, passed over.
    fn pass_string(&mut self) -> Result<(), Fault> {
        let len = self.varint()?;
        self.take(len.saturating_sub(1)).map(|_| ())
    }
}

/// A string of a flexible version.
fn compact(text: &str) -> Vec<u8> {
    [&varint(text.len() + 1), text.as_bytes()].concat()
}

/// Partitions of one topic, by its id.
pub(super) type Owned = ([u8; 16], Vec<i32>);

/// What a heartbeat answers.
pub(super) struct Told {
    pub(super) epoch: i32,
    /// What the member shall have; none when nothing is said of it.
    assignment: Option<Owned>,
}

/// A ConsumerGroupHeartbeat: all that a member says when it joins, or that it lives, and what it has when that has changed.
pub(super) fn heartbeat(group: &str, member: &str, epoch: i32, topic: &str, owned: Option<&Owned>) -> Vec<u8> {
    let head = [&[0][..], &compact(group), &compact(member), &epoch.to_be_bytes()].concat();
    let (no_instance_and_rack, no_regex_and_assignor) = ([0, 0], [0, 0]);
    let said = match epoch {
        0 => [&60_000_i32.to_be_bytes()[..], &[2], &compact(topic), &no_regex_and_assignor].concat(),
        _ => [&(-1_i32).to_be_bytes()[..], &[0], &no_regex_and_assignor].concat(),
    };
    let has = match owned {
        Some((_, partitions)) if partitions.is_empty() => vec![1],
        Some((topic, partitions)) => {
            let partitions: Vec<u8> =
                [varint(partitions.len() + 1), partitions.iter().flat_map(|one| one.to_be_bytes()).collect()].concat();
            [&[2][..], topic, &partitions, &[0]].concat()
        }
        None => vec![u8::from(epoch == 0)],
    };
    frame(CONSUMER_GROUP_HEARTBEAT, 1, 5, &[&head[..], &no_instance_and_rack, &said, &has, &[0]].concat())
}

/// Reads an answer to [`heartbeat`].
pub(super) fn answer(mut reply: Fields<'_>) -> Result<Told, Fault> {
    reply.take(1)?;
    let (_throttle, code) = (reply.i32()?, reply.i16()?);
    ensure(code == 0, || format!("ConsumerGroupHeartbeat answered {code}"))?;
    reply.pass_string()?;
    reply.pass_string()?;
    let (epoch, _interval_ms) = (reply.i32()?, reply.i32()?);
    let mut assignment = None;
    if reply.take(1)?[0] == 1 {
        let mut owned: Owned = ([0; 16], Vec::new());
        for _ in 1..reply.varint()? {
            owned.0.copy_from_slice(reply.take(16)?);
            for _ in 1..reply.varint()? {
                owned.1.push(reply.i32()?);
            }
            reply.take(1)?;
        }
        assignment = Some(owned);
    }
    Ok(Told { epoch, assignment })
}

/// A member that does what it is told at once: what it has is what it was told last.
struct Member {
    stream: TcpStream,
    id: String,
    epoch: i32,
    owned: Owned,
    /// What it has is other than what it has said.
    has_news: bool,
}

impl Member {
    fn new(address: &str, number: usize) -> Result<Member, Fault> {
        let (stream, id) = (connect(address)?, format!("member-{number:03}"));
        Ok(Member { stream, id, epoch: 0, owned: ([0; 16], Vec::new()), has_news: false })
    }

    fn send(&mut self, epoch: i32) -> Result<(), Fault> {
        let news = self.has_news.then_some(&self.owned);
        let request = heartbeat(GROUP, &self.id, epoch, TOPIC, news);
        self.stream.write_all(&request).during("sending")
    }

    fn hear(&mut self) -> Result<(), Fault> {
        let told = answer(Fields(&read_frame(&mut self.stream)?[4..]))?;
        self.epoch = told.epoch;
        self.has_news = told.assignment.as_ref().is_some_and(|assignment| *assignment != self.owned);
        self.owned = told.assignment.unwrap_or_else(|| std::mem::take(&mut self.owned));
        Ok(())
    }
}

/// One heartbeat of everybody, all sent before the first answer is read.
fn round(members: &mut [Member]) -> Result<(), Fault> {
    members.iter_mut().try_for_each(|member| member.send(member.epoch))?;
    members.iter_mut().try_for_each(Member::hear)
}

/// Whether all are in one epoch and have all partitions among them, each an equal share and none twice.
fn have_arrived(members: &[Member], partitions: i32) -> bool {
    let all: BTreeSet<i32> = members.iter().flat_map(|member| member.owned.1.iter().copied()).collect();
    let share = usize::try_from(partitions).unwrap_or(0) / members.len();
    members.iter().all(|member| member.epoch == members[0].epoch && member.owned.1.len() == share)
        && all.into_iter().eq(0..partitions)
}

/// Rounds until everybody has arrived, and how long they took.
fn settle(members: &mut [Member], partitions: i32) -> Result<(usize, Duration), Fault> {
    let began = now();
    for rounds in 1..=ROUNDS_MAX {
        round(members)?;
        if have_arrived(members, partitions) {
            return Ok((rounds, now() - began));
        }
    }
    let sizes: BTreeSet<usize> = members.iter().map(|member| member.owned.1.len()).collect();
    Err(Fault::Failed(format!("after {ROUNDS_MAX} rounds of heartbeats members have {sizes:?} partitions")))
}

/// Sends a request about one topic, whose answer begins with throttle time, the topic's name and a code.
fn admin(address: &str, (api, version): (i16, i16), body: &[u8]) -> Result<(), Fault> {
    let mut stream = connect(address)?;
    stream.write_all(&frame(api, version, 1, body)).during("an admin request")?;
    let reply = read_frame(&mut stream)?;
    let mut reply = Fields(&reply[4..]);
    let (_throttle, _topics, _name, code) = (reply.i32()?, reply.i32()?, reply.string()?, reply.i16()?);
    ensure(code == 0, || format!("API {api} answered {code}"))
}

fn create(address: &str) -> Result<(), Fault> {
    let (one, none, timeout) = (1_i32.to_be_bytes(), 0_i32.to_be_bytes(), 30_000_i32.to_be_bytes());
    let topic = [&string(TOPIC)[..], &PARTITIONS.to_be_bytes(), &1_i16.to_be_bytes(), &none, &none].concat();
    admin(address, CREATE_TOPICS, &[&one[..], &topic, &timeout, &[0]].concat())
}

fn grow(address: &str) -> Result<(), Fault> {
    let (one, null, timeout) = (1_i32.to_be_bytes(), (-1_i32).to_be_bytes(), 30_000_i32.to_be_bytes());
    let topic = [&string(TOPIC)[..], &GROWN.to_be_bytes(), &null].concat();
    admin(address, CREATE_PARTITIONS, &[&one[..], &topic, &timeout, &[0]].concat())
}

/// Heartbeats of the first member until the coordinator has begun another epoch; how long the one that began it took.
fn until_epoch_ends(members: &mut [Member]) -> Result<Duration, Fault> {
    let (old, until) = (members[0].epoch, now() + conformance::process::CLIENT_DEADLINE);
    loop {
        let began = now();
        members[0].send(old)?;
        members[0].hear()?;
        if members[0].epoch != old {
            return Ok(now() - began);
        }
        ensure(now() < until, || format!("the epoch is still {old}"))?;
    }
}

/// All members of a group of KIP-848 have what they shall have after one round trip each where nobody has to give anything up, and after a
/// few where partitions change hands.
pub(in super::super) fn many_modern_members(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = super::super::groups::plan(scene)?.with("socket.listen.backlog.size", "1024");
    // Sessions that a slow machine does not end, and targets that do not wait for a clock.
    let plan = plan.with("group.consumer.session.timeout.ms", "60000");
    let node = plan.with("group.consumer.assignment.interval.ms", "0").start(scene)?;
    await_coordinator(&node)?;
    create(&node.address)?;
    let mut members: Vec<Member> =
        (0..MEMBERS).map(|number| Member::new(&node.address, number)).collect::<Result<_, _>>()?;
    let show = |what: &str, (rounds, took): (usize, Duration)| {
        scene.figure(&format!("{what}: {rounds} round trips each, {} ms", took.as_millis()));
    };
    show(&format!("{MEMBERS} members of KIP-848 join"), settle(&mut members, PARTITIONS).during("the joins")?);

    grow(&node.address)?;
    let first = until_epoch_ends(&mut members)?;
    let (rounds, took) = settle(&mut members, GROWN).during("the topic grows")?;
    let began =
        format!("the topic grows, {} ms until the target is there, {MEMBERS} members get more", first.as_millis());
    show(&began, (rounds, took));
    ensure(rounds == 1 || node.kind == Kind::Kafka, || format!("{rounds} rounds where nobody gives anything up"))?;

    let mut leaving = members.split_off(MEMBERS / 2);
    leaving.iter_mut().try_for_each(|member| member.send(-1))?;
    leaving.iter_mut().try_for_each(Member::hear)?;
    let (rounds, took) = settle(&mut members, GROWN).during("half of them leave")?;
    show(&format!("{} leave, the others get theirs", leaving.len()), (rounds, took));
    ensure(rounds == 1 || node.kind == Kind::Kafka, || format!("{rounds} rounds where nobody gives anything up"))?;

    for member in &mut leaving {
        (member.epoch, member.has_news) = (0, false);
        member.owned.1.clear();
    }
    members.append(&mut leaving);
    show(
        &format!("{} come back, the others give up half", MEMBERS / 2),
        settle(&mut members, GROWN).during("they come back")?,
    );
    node.stop()
}
