//! More than anyone should ask: S08, S12, S14, S48.

use super::requests::{ask, count, create_topic, create_wide_topic, fetch_body, string};
use super::siege::{GROWTH_KIB_MAX, Siege};
use conformance::fault::{During, Fault, ensure};
use conformance::rig::Scene;
use conformance::wire::{connect, expect_close, frame, read_frame};
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Topics or partitions that one request of S08 names.
const NAMED: usize = 1_000_000;
/// What such a request may cost beside its own bytes while it is answered, KiB: its 6 to 40 MB are received, decoded and answered.
const GIANT_KIB_MAX: u64 = 320 << 10;
/// Topics that one Metadata request asks to be made.
const MADE: usize = 20_000;

/// Connections of S12.
const FLOODS: usize = 8;
/// What each tries to send, bytes.
const FLOOD_BYTES: usize = 16 << 20;
/// A flood that has not moved for this long is held back.
const STUCK: Duration = Duration::from_millis(300);

/// Partitions of a topic whose metadata are a large answer to a small request.
const WIDE: i32 = 2_000;
/// How often a connection asks for them, and such connections: behind a Fetch that waits so long, and without one.
const ASKED: i32 = 250;
const HELD_UP: usize = 12;
const DEAF: usize = 250;
const WAIT_MS: i32 = 3_000;
/// `queued.max.request.bytes` of the node whose answers nobody reads: what they may take, beside one of 60 KiB a connection.
const ANSWERS_MIB: u64 = 100;
const ANSWER_KIB_MAX: u64 = 60;

/// Connections of S14.
const STRANGERS: usize = 2_000;

/// Sessions of S48, and partitions of each.
const SESSIONS: usize = 3_000;
const SESSION_PARTITIONS: usize = 1_000;
/// What all sessions may take, KiB: the node keeps 200,000 partitions at most.
const SESSIONS_KIB_MAX: u64 = 96 << 10;

/// Sends a request whose answer may be a closed connection, but not silence.
fn answered_or_closed(stream: &mut TcpStream, bytes: &[u8]) -> Result<(), Fault> {
    if let Err(error) = stream.write_all(bytes) {
        let closed = matches!(error.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset);
        return ensure(closed, || format!("it does not take the request: {error}"));
    }
    let mut byte = [0; 1];
    match stream.peek(&mut byte) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == ErrorKind::ConnectionReset => Ok(()),
        Err(error) => Err(Fault::Failed(format!("neither an answer nor an end: {error}"))),
    }
}

/// A request that names a million topics or partitions, and one that asks for many topics to be made.
pub(in super::super) fn s08_giant_requests(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?.with("num.partitions", "1"))?;
    let names = (0..NAMED).flat_map(|number| string(format!("{number:x}").as_bytes()));
    let metadata = [&count(NAMED)[..], &names.collect::<Vec<u8>>(), &[0]].concat();
    answered_or_closed(&mut connect(&siege.node.address)?, &frame(3, 4, 1, &metadata)).during("Metadata")?;
    siege.honest_is_served().during("beside a giant Metadata")?;

    // One topic that is not there, a million partitions; then a million topics of no partition.
    let head = [(-1_i32).to_be_bytes(), 0_i32.to_be_bytes(), 0_i32.to_be_bytes(), 1_000_i32.to_be_bytes()].concat();
    let mut fetch = [&head[..], &[0], &count(1), &string(b"none"), &count(NAMED)].concat();
    for partition in 0..NAMED {
        fetch.extend([&count(partition)[..], &[0; 8], &[0, 0, 4, 0]].concat());
    }
    answered_or_closed(&mut connect(&siege.node.address)?, &frame(1, 4, 1, &fetch)).during("Fetch")?;
    siege.honest_is_served().during("beside a giant Fetch")?;
    let empty: Vec<u8> = (0..NAMED).flat_map(|_| [&[0, 1, b't'][..], &count(0)].concat()).collect();
    let fetch = [&head[..], &[0], &count(NAMED), &empty].concat();
    answered_or_closed(&mut connect(&siege.node.address)?, &frame(1, 4, 1, &fetch)).during("Fetch of topics")?;
    siege.honest_is_served().during("beside a Fetch of many topics")?;

    // Names that cannot be topics, with the wish to make them.
    let names = (0..MADE).flat_map(|number| string(format!("{number:x}/no").as_bytes()));
    let metadata = [&count(MADE)[..], &names.collect::<Vec<u8>>(), &[1]].concat();
    answered_or_closed(&mut connect(&siege.node.address)?, &frame(3, 4, 1, &metadata)).during("making topics")?;
    siege.lift(scene, "requests that name a million", GIANT_KIB_MAX)
}

/// Requests without end, and nobody who reads the answers: the node stops reading.
pub(in super::super) fn s12_floods_without_reading(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let all_topics = (-1_i32).to_be_bytes();
    let requests: Vec<u8> =
        (0..500).flat_map(|id| [frame(3, 1, id, &all_topics), frame(18, 0, id, &[])].concat()).collect();
    let mut floods = Vec::new();
    let mut held_back = 0;
    for _ in 0..FLOODS {
        let mut stream = connect(&siege.node.address)?;
        stream.set_write_timeout(Some(STUCK)).during("write timeout")?;
        let mut sent = 0;
        while sent < FLOOD_BYTES {
            match stream.write(&requests[sent % requests.len()..]) {
                Ok(bytes) => sent += bytes,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    held_back += 1;
                    break;
                }
                Err(error) => return Err(error).during("flooding"),
            }
        }
        floods.push(stream);
    }
    siege.honest_is_served()?;
    scene.figure(&format!("{held_back} of {FLOODS} floods were held back"));
    ensure(held_back == FLOODS, || format!("only {held_back} of {FLOODS} floods are held back"))?;
    // Whoever reads gets everything, in order.
    for stream in &mut floods {
        for number in 0..1_000_i32 {
            let reply = read_frame(stream).during("an answer to a flood")?;
            let id = (number / 2) % 500;
            ensure(reply[..4] == id.to_be_bytes(), || format!("answer {number} has the id {:?}", &reply[..4]))?;
        }
    }
    siege.lift(scene, "floods that nobody reads the answers of", GROWTH_KIB_MAX)
}

/// Large answers that are ready behind one that is not: they count for what a connection may hold, and all come in their order.
pub(in super::super) fn s12_answers_behind_one_that_waits(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let mut stream = connect(&siege.node.address)?;
    create_wide_topic(&mut stream, "wide", WIDE)?;
    create_topic(&mut stream, "quiet", &[])?;
    let waiting = frame(1, 4, 0, &fetch_body("quiet", 0, WAIT_MS, 1));
    let mut held_up = Vec::new();
    for _ in 0..HELD_UP {
        let mut stream = connect(&siege.node.address)?;
        let asked = (1..=ASKED).flat_map(|id| frame(3, 1, id, &(-1_i32).to_be_bytes()));
        stream.write_all(&waiting.iter().copied().chain(asked).collect::<Vec<u8>>()).during("requests")?;
        held_up.push(stream);
    }
    siege.honest_is_served()?;
    for stream in &mut held_up {
        for id in 0..=ASKED {
            let answer = read_frame(stream).during("an answer behind one that waits")?;
            ensure(answer[..4] == id.to_be_bytes(), || format!("answer {id} has the id {:?}", &answer[..4]))?;
        }
    }
    siege.lift(scene, "answers behind one that waits", GROWTH_KIB_MAX)
}

/// Large answers that nobody reads, on many connections: there is a limit for all of them together.
pub(in super::super) fn s12_answers_of_many_connections(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?.with("queued.max.request.bytes", &(ANSWERS_MIB << 20).to_string());
    let siege = Siege::lay(scene, plan)?;
    create_wide_topic(&mut connect(&siege.node.address)?, "wide", WIDE)?;
    let asked: Vec<u8> = (0..ASKED).flat_map(|id| frame(3, 1, id, &(-1_i32).to_be_bytes())).collect();
    let mut deaf = Vec::new();
    for number in 0..DEAF {
        let mut stream = connect(&siege.node.address).during(format!("connection {number}"))?;
        stream.write_all(&asked).during(format!("connection {number}"))?;
        deaf.push(stream);
    }
    for _ in 0..3 {
        siege.honest_is_served().during("beside answers that nobody reads")?;
    }
    drop(deaf);
    let bound = (ANSWERS_MIB << 10) + DEAF as u64 * ANSWER_KIB_MAX;
    siege.lift(scene, "answers that nobody reads", bound + GROWTH_KIB_MAX)
}

/// HTTP, TLS and noise, many times: few lines in the log.
pub(in super::super) fn s14_strangers(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let strangers = super::frames::strangers();
    for number in 0..STRANGERS {
        let (what, bytes) = &strangers[number % strangers.len()];
        let mut stream = connect(&siege.node.address)?;
        stream.write_all(bytes).during(what)?;
        expect_close(&mut stream).during(what)?;
    }
    let told = siege.node.running.said().contains("closed a connection");
    ensure(told || siege.node.kind == conformance::node::Kind::Kafka, || "the log does not tell".to_owned())?;
    siege.lift(scene, "strangers", GROWTH_KIB_MAX)
}

/// Sessions of fetchers that never come back.
pub(in super::super) fn s48_fetch_sessions(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let mut stream = connect(&siege.node.address)?;
    create_topic(&mut stream, "there", &[])?;
    // Fetch 7: session 0, epoch 0 asks for a new session.
    let head = [(-1_i32).to_be_bytes(), 0_i32.to_be_bytes(), 0_i32.to_be_bytes(), 1_000_i32.to_be_bytes()].concat();
    let mut body = [&head[..], &[0], &[0; 8], &count(1), &string(b"there"), &count(SESSION_PARTITIONS)].concat();
    for partition in 0..SESSION_PARTITIONS {
        body.extend([&count(partition)[..], &[0; 16], &[0, 0, 4, 0]].concat());
    }
    body.extend(count(0));
    for _ in 0..SESSIONS {
        ask(&mut stream, 1, 7, &body)?;
    }
    siege.lift(scene, "fetch sessions", SESSIONS_KIB_MAX)
}
