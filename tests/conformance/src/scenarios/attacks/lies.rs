//! S17 to S23: batches whose headers and records say what is not so. Each is refused with its error code, and nothing of it is
//! appended.

use super::requests::{ALL, create_topic, list_offset, produce, wall_ms};
use super::siege::{GROWTH_KIB_MAX, Siege};
use conformance::fault::{During, Fault, ensure};
use conformance::made_batch::{MadeBatch, record, sized, varint};
use conformance::rig::Scene;
use conformance::wire::connect;

const CORRUPT_MESSAGE: i16 = 2;
const INVALID_TIMESTAMP: i16 = 32;
const INVALID_RECORD: i16 = 87;
const UNSUPPORTED_COMPRESSION_TYPE: i16 = 76;
/// What Kafka says to a transactional batch in a request without a transactional id.
const TRANSACTIONAL_ID_AUTHORIZATION_FAILED: i16 = 53;

const CONTROL: i16 = 0x20;
const TRANSACTIONAL: i16 = 0x10;
/// A thousand years, ms.
const AGES: i64 = 365 * 86_400_000 * 1_000;

/// A lie: what it is called, its bytes, the topic it is sent to, and the error codes that it may get.
type Lie = (&'static str, Vec<u8>, &'static str, Vec<i16>);

fn good() -> MadeBatch {
    MadeBatch::of(wall_ms(), &[record(0, Some(b"k"), Some(b"v")), record(1, Some(b"k"), Some(b"v"))])
}

/// A record of these bytes, its length before it.
fn raw(body: &[u8]) -> MadeBatch {
    MadeBatch::of(wall_ms(), &[sized(body)])
}

fn headers() -> Vec<Lie> {
    let lie = |what, batch: MadeBatch| (what, batch.bytes(), "any", vec![INVALID_RECORD]);
    let mut cut = good().bytes();
    cut.truncate(40);
    let mut long = good().bytes();
    long[8..12].copy_from_slice(&i32::MAX.to_be_bytes());
    let mut negative = good().bytes();
    negative[8..12].copy_from_slice(&(-1_i32).to_be_bytes());
    let mut sum = good().bytes();
    sum[17] ^= 1;
    vec![
        lie("S17 a count of 2^31 - 1 records", MadeBatch { count: i32::MAX, ..good() }),
        lie(
            "S17 a count of 2^31 - 1 records and an offset delta to it",
            MadeBatch { count: i32::MAX, last_offset_delta: i32::MAX - 1, ..good() },
        ),
        lie("S17 no records", MadeBatch { count: 0, last_offset_delta: -1, payload: Vec::new(), ..good() }),
        lie("S17 a negative count", MadeBatch { count: -5, ..good() }),
        lie("S17 fewer records than there are", MadeBatch { count: 1, last_offset_delta: 0, ..good() }),
        lie("S17 a last offset delta that is too large", MadeBatch { last_offset_delta: 1_000_000, ..good() }),
        lie("S17 a last offset delta that is negative", MadeBatch { last_offset_delta: i32::MIN, ..good() }),
        lie("S17 offset deltas that repeat", MadeBatch::of(wall_ms(), &[record(0, None, None), record(0, None, None)])),
        lie("S19 a control batch", MadeBatch { attributes: CONTROL, ..good() }),
        ("S18 a wrong checksum", sum, "any", vec![CORRUPT_MESSAGE]),
        ("S18 a batch that is cut off", cut, "any", vec![INVALID_RECORD, CORRUPT_MESSAGE]),
        ("S18 a batch of 2 GiB by its length", long, "any", vec![INVALID_RECORD, CORRUPT_MESSAGE]),
        ("S18 a batch of a negative length", negative, "any", vec![INVALID_RECORD, CORRUPT_MESSAGE]),
        (
            "S18 a magic that never was",
            MadeBatch { magic: 9, ..good() }.bytes(),
            "any",
            vec![INVALID_RECORD, CORRUPT_MESSAGE],
        ),
        (
            "S19 a transactional batch without a producer",
            MadeBatch { attributes: TRANSACTIONAL, ..good() }.bytes(),
            "any",
            vec![TRANSACTIONAL_ID_AUTHORIZATION_FAILED],
        ),
        ("S20 two batches", [good().bytes(), good().bytes()].concat(), "any", vec![INVALID_RECORD]),
        (
            "a codec that is none",
            MadeBatch { attributes: 7, ..good() }.bytes(),
            "any",
            vec![UNSUPPORTED_COMPRESSION_TYPE, INVALID_RECORD, CORRUPT_MESSAGE],
        ),
    ]
}

fn records() -> Vec<Lie> {
    let lie = |what, batch: MadeBatch| (what, batch.bytes(), "any", vec![INVALID_RECORD]);
    let number = |value: i64| {
        let mut out = Vec::new();
        varint(&mut out, value);
        out
    };
    // Attributes, timestamp and offset delta, no key, no value.
    let to_headers = [0, 0, 0, 1, 1];
    let old = |time: i64| MadeBatch::of(time, &[record(0, Some(b"k"), Some(b"v"))]).bytes();
    vec![
        lie("S23 2^31 - 1 headers", raw(&[&to_headers[..], &number(i64::from(i32::MAX))].concat())),
        lie("S23 a negative count of headers", raw(&[&to_headers[..], &number(-1)].concat())),
        lie("S23 a header with a null key", raw(&[&to_headers[..], &number(1), &number(-1), &number(-1)].concat())),
        lie("S17 a key longer than its record", raw(&[&[0, 0, 0][..], &number(1_000_000)].concat())),
        lie("S17 a value of a negative length", raw(&[&[0, 0, 0, 1][..], &number(-7)].concat())),
        lie("S05 a varint without an end", raw(&[0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff])),
        lie(
            "S17 a record longer than its batch",
            MadeBatch::of(wall_ms(), &[[&number(1_000_000)[..], &[0; 9]].concat()]),
        ),
        lie("S17 bytes behind the last record", MadeBatch { payload: [good().payload, vec![0; 9]].concat(), ..good() }),
        ("S21 a time in the far future", old(wall_ms() + AGES), "any", vec![INVALID_TIMESTAMP]),
        ("S21 the last time that there is", old(i64::MAX), "any", vec![INVALID_TIMESTAMP]),
        ("S21 a time before message.timestamp.before.max.ms", old(5), "recent", vec![INVALID_TIMESTAMP]),
        (
            "S22 no key in a compacted topic",
            MadeBatch::of(wall_ms(), &[record(0, None, Some(b"v"))]).bytes(),
            "compacted",
            vec![INVALID_RECORD],
        ),
    ]
}

pub(in super::super) fn s17_to_s23(scene: &Scene<'_>) -> Result<(), Fault> {
    let siege = Siege::lay(scene, scene.plan()?)?;
    let mut stream = connect(&siege.node.address)?;
    create_topic(&mut stream, "any", &[])?;
    create_topic(&mut stream, "recent", &[("message.timestamp.before.max.ms", "60000")])?;
    create_topic(&mut stream, "compacted", &[("cleanup.policy", "compact")])?;
    for (what, bytes, topic, wanted) in headers().into_iter().chain(records()) {
        let before = list_offset(&mut stream, topic, -1)?;
        let (error, _) = produce(&mut stream, topic, ALL, &bytes).during(what)?;
        ensure(wanted.contains(&error), || format!("{what}: error {error}, want one of {wanted:?}"))?;
        let after = list_offset(&mut stream, topic, -1)?;
        ensure(before == after, || format!("{what}: the log's end went from {before:?} to {after:?}"))?;
    }
    // Lies that harm nobody, and truth: taken.
    for (what, batch) in
        [("a right batch", good()), ("a max timestamp that is wrong", MadeBatch { max_timestamp: 5, ..good() })]
    {
        let (error, _) = produce(&mut stream, "any", ALL, &batch.bytes()).during(what)?;
        ensure(error == 0, || format!("{what}: error {error}"))?;
    }
    siege.lift(scene, "records that lie", GROWTH_KIB_MAX)
}
