//! Clients that say they are somebody else, or very many: S24, S47. What wants an authorizer or quotas (who may be a replica, how many groups
//! a principal may have) is not there yet; here is what holds on a listener that is open to all.

use super::requests::{ALL, ask, count, create_topic, fetch, list_offset, produce, produce_body, string, wall_ms};
use super::siege::{GROWTH_KIB_MAX, Siege, resident_kib};
use conformance::fault::{During, Fault, ensure};
use conformance::made_batch::{MadeBatch, record};
use conformance::process::now;
use conformance::rig::Scene;
use conformance::wire::{connect, frame, read_frame};
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Ids of S24: the node's own, others, the largest.
const REPLICAS: [i32; 4] = [1, 2, 7, i32::MAX];
const NOT_LEADER_OR_FOLLOWER: i16 = 6;

/// Producer ids and groups of S47.
const MANY: usize = 100_000;
/// Requests in flight.
const AT_ONCE: usize = 200;
/// What a producer that has written once may cost, and a group that has committed one offset, bytes.
const PRODUCER_BYTES_MAX: usize = 512;
const GROUP_BYTES_MAX: usize = 3 << 10;
/// What the records and commits themselves bring along: buffers, indexes, the log of groups on its way to the disk. KiB.
const AROUND_KIB_MAX: u64 = 32 << 10;
/// By when all of it must be done.
const DONE: Duration = Duration::from_secs(300);

/// Fetches of replicas that are none: no record is given to them, nothing that they say counts for what is confirmed, and the partition
/// has no more replicas than before.
pub(in super::super) fn s24_fake_replicas(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let mut stream = connect(&siege.node.address)?;
    create_topic(&mut stream, "followed", &[])?;
    let batch = MadeBatch::of(wall_ms(), &[record(0, None, Some(b"not for replicas"))]).bytes();
    let (error, first) = produce(&mut stream, "followed", ALL, &batch)?;
    ensure(error == 0, || format!("producing answers error {error}"))?;
    for replica in REPLICAS {
        // Offsets: one that is there, the log's end, and far beyond it as if all of that were replicated.
        for offset in [first, first + 1, first + 1_000_000] {
            let said = fetch_as(&mut stream, replica, offset)?;
            let what = || format!("replica {replica} at offset {offset} is answered {said:?}");
            ensure(said.0 == NOT_LEADER_OR_FOLLOWER && said.1 == 0, what)?;
        }
    }
    siege.honest_is_served()?;
    let (_, end) = list_offset(&mut stream, "followed", -1)?;
    ensure(end == first + 1, || format!("consumers see up to {end}, {} is what is there", first + 1))?;
    let came = fetch(&mut stream, "followed", first)?;
    ensure(came.windows(16).any(|window| window == b"not for replicas"), || "a consumer gets nothing".to_owned())?;
    // Metadata 1: the only topic's only partition, with its replicas and those in sync at the end.
    let metadata = ask(&mut stream, 3, 1, &[&count(1)[..], &string(b"followed")].concat())?;
    let replicas = [&count(1)[..], &1_i32.to_be_bytes(), &count(1), &1_i32.to_be_bytes()].concat();
    ensure(metadata.ends_with(&replicas), || format!("the replicas are now {metadata:?}"))?;
    siege.lift(scene, "fake replicas", GROWTH_KIB_MAX)
}

/// Fetch 4 of `followed` by a replica: the partition's error code, and how many bytes of records.
fn fetch_as(stream: &mut TcpStream, replica: i32, offset: i64) -> Result<(i16, usize), Fault> {
    let head = [replica.to_be_bytes(), 0_i32.to_be_bytes(), 0_i32.to_be_bytes(), 65_536_i32.to_be_bytes()].concat();
    let topic = [&count(1)[..], &string(b"followed"), &count(1), &0_i32.to_be_bytes()].concat();
    let body = [&head[..], &[0], &topic, &offset.to_be_bytes(), &65_536_i32.to_be_bytes()].concat();
    let answer = ask(stream, 1, 4, &body)?;
    // Correlation id, throttle time, counts and name; the partition: index, error, two offsets, aborted transactions, records.
    let at = 4 + 4 + 4 + 2 + "followed".len() + 4 + 4;
    let error = answer.get(at..at + 2).map_or(-1, |code| i16::from_be_bytes([code[0], code[1]]));
    let records = answer.last_chunk::<4>().map_or(0, |len| i32::from_be_bytes(*len));
    let behind = answer.len().saturating_sub(at + 2 + 8 + 8 + 4 + 4);
    Ok((error, if records <= 0 { 0 } else { behind }))
}

/// A hundred thousand producer ids that each write, and as many groups that each commit: each costs little, for as long as it is remembered.
pub(in super::super) fn s47_many_producers_and_groups(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?.with("offsets.topic.num.partitions", "1"))?;
    let before = resident_kib(&siege.node)?;
    let until = now() + DONE;
    let mut stream = connect(&siege.node.address)?;
    create_topic(&mut stream, "written", &[])?;
    in_flight(&mut stream, until, "producers", |number| {
        let mut batch = MadeBatch::of(wall_ms(), &[record(0, None, Some(b"v"))]);
        // Ids as a node gives them out are small numbers; these are nobody's.
        batch.producer = (1_000_000 + number as i64, 0, 0);
        frame(0, 7, number as i32, &produce_body(b"written", 1, &batch.bytes()))
    })?;
    // What acks=1 confirms is seen once it is on disk.
    let mut end = 0;
    while end < MANY as i64 {
        end = list_offset(&mut stream, "written", -1)?.1;
        ensure(now() < until, || format!("{end} of {MANY} batches are there"))?;
    }
    siege.honest_is_served()?;
    let after_producers = resident_kib(&siege.node)?;
    // A group's coordinator comes with its topic, which a look-up makes.
    while ask(&mut stream, 10, 0, &string(b"group-0"))?.get(4..6) != Some(&[0, 0]) {
        ensure(now() < until, || "no coordinator in time".to_owned())?;
    }
    in_flight(&mut stream, until, "groups", |number| {
        // OffsetCommit 2 of no generation and no member: one topic, one partition, offset 5, no metadata.
        let group =
            [string(format!("group-{number}").as_bytes()), (-1_i32).to_be_bytes().to_vec(), string(b"")].concat();
        let topic =
            [&count(1)[..], &string(b"written"), &count(1), &0_i32.to_be_bytes(), &5_i64.to_be_bytes(), &[0xFF, 0xFF]]
                .concat();
        frame(8, 2, number as i32, &[&group[..], &(-1_i64).to_be_bytes(), &topic].concat())
    })?;
    let (of_producers, of_groups) =
        (after_producers.saturating_sub(before), resident_kib(&siege.node)?.saturating_sub(after_producers));
    let each = |kib: u64| (kib << 10) / MANY as u64;
    scene.figure(&format!("{} bytes a producer, {} bytes a group", each(of_producers), each(of_groups)));
    siege.lift(
        scene,
        &format!("{MANY} producers and as many groups"),
        ((MANY * (PRODUCER_BYTES_MAX + GROUP_BYTES_MAX)) >> 10) as u64 + AROUND_KIB_MAX,
    )
}

/// As many requests as there are producers or groups, some in flight at a time, each answered in its turn.
fn in_flight(
    stream: &mut TcpStream,
    until: Instant,
    what: &str,
    request: impl Fn(usize) -> Vec<u8>,
) -> Result<(), Fault> {
    for from in (0..MANY).step_by(AT_ONCE) {
        ensure(now() < until, || format!("{from} of {MANY} {what} in time"))?;
        let frames: Vec<u8> = (from..from + AT_ONCE).flat_map(&request).collect();
        stream.write_all(&frames).during(what)?;
        for number in from..from + AT_ONCE {
            let answer = read_frame(stream).during(format!("{what}, answer {number}"))?;
            ensure(answer[..4] == (number as i32).to_be_bytes(), || format!("{what}: answer {number} is another's"))?;
            // The error code of the one partition: of Produce it is before 24 and 4 bytes, of OffsetCommit it ends the answer.
            let from_end = if what == "groups" { 2 } else { 2 + 24 + 4 };
            let error = answer.len().checked_sub(from_end).and_then(|at| answer.get(at..at + 2));
            ensure(error == Some(&[0, 0]), || format!("{what}: {number} is answered {answer:?}"))?;
        }
    }
    Ok(())
}
