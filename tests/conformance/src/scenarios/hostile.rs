//! Bytes that no client should send: they may cost their sender the connection, and nobody else anything.

use conformance::fault::{During, Fault, ensure, fail};
use conformance::process::resident_kib;
use conformance::rig::Scene;
use conformance::wire::{api_versions, connect, expect_close, frame, parse_api_versions, read_frame};
use std::io::Write;

/// What resident memory may grow by over all of it (the reliability page's bound for hostile input).
const GROWTH_KIB_MAX: u64 = 64 << 10;
/// How often each is sent.
const TIMES: usize = 20;

/// Name and bytes of frames after which the connection must close.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let sized = |size: i32, rest: &[u8]| [&size.to_be_bytes()[..], rest].concat();
    let array = |count: i32| count.to_be_bytes();
    vec![
        ("a negative size", sized(-1, &[0; 16])),
        ("the smallest negative size", sized(i32::MIN, &[])),
        ("a size over socket.request.max.bytes", sized(i32::MAX, &[0; 64])),
        ("an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("an unknown API key", frame(3_000, 0, 1, &[])),
        ("a negative API key", frame(-7, 0, 1, &[])),
        ("a version that Fetch does not have", frame(1, 99, 1, &[])),
        ("a negative version", frame(3, -1, 1, &[])),
        ("a header that ends after the API key", sized(2, &[0, 3])),
        ("a Metadata request with a huge array", frame(3, 1, 1, &array(i32::MAX))),
        ("a Metadata request with a huge string", frame(3, 1, 1, &[&array(1)[..], &[0x7f, 0xff], b"x"].concat())),
        ("a Metadata v9 request with a compact array of 4 billion", frame(3, 9, 1, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f])),
        ("a varint that never ends", frame(3, 9, 1, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("a Produce request cut in the middle", frame(0, 3, 1, &[0xff, 0xff, 0, 1, 0, 0])),
        ("a string that is no UTF-8", frame(3, 1, 1, &[&array(1)[..], &[0, 2, 0xff, 0xfe]].concat())),
    ]
}

pub(super) fn malformed_frames(scene: &Scene<'_>) -> Result<(), Fault> {
    let mut node = scene.plan()?.start(scene)?;
    let mut bystander = connect(&node.address)?;
    api_versions(&mut bystander)?;
    let before = resident_kib(node.running.pid())?;
    for (what, bytes) in malformed() {
        // Kafka replaces bytes that are no UTF-8 and answers; refusing them is as good.
        let may_answer = what.ends_with("UTF-8");
        for _ in 0..TIMES {
            let mut stream = connect(&node.address)?;
            stream.write_all(&bytes).during(what)?;
            let closed = expect_close(&mut stream);
            if !may_answer {
                closed.during(what)?;
            }
        }
        api_versions(&mut bystander).during(format!("another connection, after {what}"))?;
    }
    // Half a frame and silence: nothing to close yet, nothing to hold up either.
    let mut halves = Vec::new();
    for _ in 0..TIMES {
        let mut stream = connect(&node.address)?;
        stream.write_all(&[0, 0, 0x10, 0, 0, 3]).during("half a frame")?;
        halves.push(stream);
    }
    api_versions(&mut bystander).during("another connection, beside half frames")?;
    drop(halves);
    ensure(node.running.is_alive(), || format!("the node died; it said: {}", node.running.said()))?;
    let grown = resident_kib(node.running.pid())?.saturating_sub(before);
    scene.figure(&format!("{} hostile connections cost {grown} KiB resident", malformed().len() * TIMES));
    // A JVM's heap grows as it likes.
    ensure(grown <= GROWTH_KIB_MAX || node.kind == conformance::node::Kind::Kafka, || {
        format!("resident memory grew by {grown} KiB")
    })?;
    node.stop()
}

/// KIP-511: a client from the future learns what it may speak, in the one version that everyone can read.
pub(super) fn api_versions_downgrade(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = scene.plan()?.start(scene)?;
    let mut stream = connect(&node.address)?;
    stream.write_all(&frame(18, 77, 5, &[0, 4, b'r', b'i', b'g', 2, b'1', 0])).during("ApiVersions 77")?;
    let (error, rows) = parse_api_versions(&read_frame(&mut stream)?, 5)?;
    ensure(error == 35, || format!("error {error}, want UNSUPPORTED_VERSION (35)"))?;
    ensure(rows.iter().any(|&(key, _, highest)| key == 18 && highest >= 3), || {
        format!("no row for ApiVersions: {rows:?}")
    })?;
    let versions = api_versions(&mut stream).during("the same connection afterwards")?;
    for (key, what) in [
        (0, "Produce"),
        (1, "Fetch"),
        (2, "ListOffsets"),
        (3, "Metadata"),
        (19, "CreateTopics"),
        (22, "InitProducerId"),
    ] {
        ensure(versions.iter().any(|row| row.0 == key), || format!("{what} is not served: {versions:?}"))?;
    }
    // librdkafka takes a broker whose Produce starts above 0 for one too new to speak to.
    ensure(versions.iter().any(|&(key, lowest, _)| key == 0 && lowest == 0), || {
        "Produce must be announced from 0".to_owned()
    })?;
    node.stop()
}

pub(super) fn pipelining(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = scene.plan()?.start(scene)?;
    let mut stream = connect(&node.address)?;
    // Metadata (slower) and ApiVersions (fast) in turn, in one write, cut at a place that is no frame's end.
    let all_topics = (-1_i32).to_be_bytes();
    let frames: Vec<u8> = (0..100)
        .flat_map(|id| if id % 2 == 0 { frame(3, 1, id, &all_topics) } else { frame(18, 0, id, &[]) })
        .collect();
    let (start, rest) = frames.split_at(frames.len() / 2 + 3);
    stream.write_all(start).and_then(|()| stream.flush()).during("the first half")?;
    stream.write_all(rest).during("the second half")?;
    for id in 0..100_i32 {
        let reply = read_frame(&mut stream).during(format!("reply {id}"))?;
        if reply[..4] != id.to_be_bytes() {
            return fail(format!("reply {id} has the correlation id {:?}", &reply[..4]));
        }
    }
    node.stop()
}
