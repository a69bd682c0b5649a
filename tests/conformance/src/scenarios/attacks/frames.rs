//! Bytes that no client should send: they may cost their sender the connection, and nobody else anything (S01, S02, S04 to S07, S09,
//! S10, S14); and what many requests at once are answered.

use super::requests::{count, string};
use super::siege::{GROWTH_KIB_MAX, Siege};
use conformance::fault::{During, Fault, ensure, fail};
use conformance::rig::Scene;
use conformance::wire::{api_versions, connect, expect_close, frame, parse_api_versions, read_frame};
use std::io::Write;

/// How often each is sent.
const TIMES: usize = 20;

/// What comes to a port from those who take it for another.
pub(super) fn strangers() -> Vec<(&'static str, Vec<u8>)> {
    // A ClientHello: record type, version, length; handshake type, length, version, and as many random bytes as say they follow.
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0x5a; 507]].concat();
    let noise = (0..256_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80).collect();
    vec![
        ("S14 an HTTP request", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec()),
        ("S14 a TLS ClientHello", hello),
        ("S14 an SSH banner", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        ("S14 noise", noise),
    ]
}

/// Name and bytes of frames after which the connection must close.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let sized = |size: i32, rest: &[u8]| [&size.to_be_bytes()[..], rest].concat();
    let array = |count: i32| count.to_be_bytes();
    // DescribeCluster 0 with this section of tagged fields.
    let tags = |section: &[u8]| frame(60, 0, 1, &[&[0, 0][..], section].concat());
    let many_tags: Vec<u8> = (0..20_000_u32).flat_map(|_| [5, 0]).collect();
    let mut frames = strangers();
    frames.extend(vec![
        ("S01 a size over socket.request.max.bytes", sized(i32::MAX, &[0; 64])),
        ("S02 a negative size", sized(-1, &[0; 16])),
        ("S02 the smallest negative size", sized(i32::MIN, &[])),
        ("S02 an empty frame", sized(0, &[0; 16])),
        ("S04 a header that ends after the API key", sized(2, &[0, 3])),
        ("S04 a Metadata request with a huge array", frame(3, 1, 1, &array(i32::MAX))),
        ("S04 a Metadata request with a huge string", frame(3, 1, 1, &[&array(1)[..], &[0x7f, 0xff], b"x"].concat())),
        ("S04 a null where there is none", frame(3, 1, 1, &[&array(1)[..], &[0xff, 0xff]].concat())),
        (
            "S04 a Metadata v9 request with a compact array of 4 billion",
            frame(3, 9, 1, &[0, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        ),
        ("S04 a Produce request cut in the middle", frame(0, 3, 1, &[0xff, 0xff, 0, 1, 0, 0])),
        ("S05 a varint that never ends", frame(3, 9, 1, &[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        ("S05 a varint over 32 bits", frame(3, 9, 1, &[0, 0xff, 0xff, 0xff, 0xff, 0x7f, 0])),
        ("S06 2^31 tagged fields", tags(&[0xff, 0xff, 0xff, 0xff, 7, 0, 0])),
        ("S06 a tagged field twice", tags(&[2, 5, 0, 5, 0])),
        ("S06 20,000 tagged fields", tags(&[&[0xa0, 0x9c, 1][..], &many_tags].concat())),
        ("S07 a million elements of two bytes", frame(3, 1, 1, &[&count(1_000_000)[..], &vec![0; 2_000_000]].concat())),
        ("S09 an unknown API key", frame(3_000, 0, 1, &[])),
        ("S09 a negative API key", frame(-7, 0, 1, &[])),
        ("S09 a version that Fetch does not have", frame(1, 99, 1, &[])),
        ("S09 a negative version", frame(3, -1, 1, &[])),
        ("S10 a voter's Vote", frame(52, 0, 1, &[&[0, 0][..], &[0; 32]].concat())),
        ("S10 a broker's registration", frame(62, 0, 1, &[0; 64])),
        ("S10 a forwarded request", frame(58, 0, 1, &[&[0][..], &string(b"x")].concat())),
        ("a string that is no UTF-8", frame(3, 1, 1, &[&array(1)[..], &[0, 2, 0xff, 0xfe]].concat())),
    ]);
    frames
}

pub(in super::super) fn malformed_frames(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    for (what, bytes) in malformed() {
        // Kafka replaces bytes that are no UTF-8 and answers, and takes an empty topic name for one that is not there; refusing
        // them is as good.
        let may_answer = what.ends_with("UTF-8") || what.starts_with("S07");
        for _ in 0..if bytes.len() > 1_000_000 { 2 } else { TIMES } {
            let mut stream = connect(&siege.node.address)?;
            // What closes early may reset what is still being sent.
            let sent = stream.write_all(&bytes);
            let closed = sent.map_err(Fault::from).and_then(|()| expect_close(&mut stream));
            if !may_answer && bytes.len() < 100_000 {
                closed.during(what)?;
            }
        }
        siege.honest_is_served().during(what)?;
    }
    // Half a frame and silence: nothing to close yet, nothing to hold up either.
    let mut halves = Vec::new();
    for _ in 0..TIMES {
        let mut stream = connect(&siege.node.address)?;
        stream.write_all(&[0, 0, 0x10, 0, 0, 3]).during("half a frame")?;
        halves.push(stream);
    }
    siege.lift(scene, "malformed frames", GROWTH_KIB_MAX)
}

/// KIP-511: a client from the future learns what it may speak, in the one version that everyone can read.
pub(in super::super) fn api_versions_downgrade(scene: &Scene<'_>) -> Result<(), Fault> {
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

pub(in super::super) fn pipelining(scene: &Scene<'_>) -> Result<(), Fault> {
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
