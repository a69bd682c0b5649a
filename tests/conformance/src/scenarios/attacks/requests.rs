//! The few requests that attacks and honest clients send, written by hand.

use conformance::fault::{During, Fault, ensure};
use conformance::wire::{frame, read_frame};
use std::io::Write;
use std::net::TcpStream;
use std::time::{SystemTime, UNIX_EPOCH};

/// acks of a producer that waits for all replicas.
pub(super) const ALL: i16 = -1;
/// The correlation id of every request here: one is in flight at a time.
const ID: i32 = 9;
/// Where an answer's body begins.
const BODY: usize = 4;

/// The time that goes into batches, ms.
#[expect(clippy::disallowed_methods, reason = "batches of a real client carry the real time")]
pub(crate) fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

/// A string with a two-byte length.
pub(super) fn string(text: &[u8]) -> Vec<u8> {
    [&i16::try_from(text.len()).unwrap_or(i16::MAX).to_be_bytes()[..], text].concat()
}

/// An array's count.
pub(super) fn count(items: usize) -> [u8; 4] {
    i32::try_from(items).unwrap_or(i32::MAX).to_be_bytes()
}

/// Sends a frame and reads its answer, correlation id first.
pub(super) fn ask(stream: &mut TcpStream, key: i16, version: i16, body: &[u8]) -> Result<Vec<u8>, Fault> {
    stream.write_all(&frame(key, version, ID, body)).during(format!("sending API {key}"))?;
    read_frame(stream).during(format!("API {key} version {version}"))
}

/// CreateTopics 2 with one partition and these configs; its error code.
pub(super) fn try_create_topic(stream: &mut TcpStream, name: &[u8], configs: &[(&str, &str)]) -> Result<i16, Fault> {
    try_create(stream, name, 1, configs)
}

fn try_create(stream: &mut TcpStream, name: &[u8], partitions: i32, configs: &[(&str, &str)]) -> Result<i16, Fault> {
    let mut body = [&count(1)[..], &string(name), &partitions.to_be_bytes(), &1_i16.to_be_bytes(), &count(0)].concat();
    body.extend(count(configs.len()));
    for (key, value) in configs {
        body.extend([string(key.as_bytes()), string(value.as_bytes())].concat());
    }
    body.extend(30_000_i32.to_be_bytes());
    body.push(0);
    let answer = ask(stream, 19, 2, &body)?;
    // Throttle time and count, then the name.
    short(&answer, BODY + 8 + 2 + name.len())
}

/// As [`try_create_topic`], which must succeed.
pub(super) fn create_topic(stream: &mut TcpStream, name: &str, configs: &[(&str, &str)]) -> Result<(), Fault> {
    let error = try_create_topic(stream, name.as_bytes(), configs)?;
    ensure(error == 0, || format!("creating {name} is refused with error {error}"))
}

/// A topic of many partitions.
pub(super) fn create_wide_topic(stream: &mut TcpStream, name: &str, partitions: i32) -> Result<(), Fault> {
    let error = try_create(stream, name.as_bytes(), partitions, &[])?;
    ensure(error == 0, || format!("creating {name} is refused with error {error}"))
}

/// The body of a Produce 3 to 8 to partition 0 of `topic`.
pub(super) fn produce_body(topic: &[u8], acks: i16, records: &[u8]) -> Vec<u8> {
    let mut body = [&(-1_i16).to_be_bytes()[..], &acks.to_be_bytes(), &30_000_i32.to_be_bytes()].concat();
    body.extend([&count(1)[..], &string(topic), &count(1), &0_i32.to_be_bytes(), &count(records.len())].concat());
    body.extend(records);
    body
}

/// Produces to partition 0: error code and base offset.
pub(crate) fn produce(stream: &mut TcpStream, topic: &str, acks: i16, records: &[u8]) -> Result<(i16, i64), Fault> {
    produce_to(stream, topic.as_bytes(), acks, records)
}

/// As [`produce`], to a name that need not be one.
pub(super) fn produce_to(stream: &mut TcpStream, topic: &[u8], acks: i16, records: &[u8]) -> Result<(i16, i64), Fault> {
    let answer = ask(stream, 0, 7, &produce_body(topic, acks, records))?;
    let at = BODY + 4 + 2 + topic.len() + 4 + 4;
    Ok((short(&answer, at)?, long(&answer, at + 2)?))
}

/// The body of a Fetch 4 of partition 0 that waits so long for so many bytes.
pub(super) fn fetch_body(topic: &str, offset: i64, wait_ms: i32, bytes_min: i32) -> Vec<u8> {
    let mut body =
        [(-1_i32).to_be_bytes(), wait_ms.to_be_bytes(), bytes_min.to_be_bytes(), 65_536_i32.to_be_bytes()].concat();
    body.push(0);
    body.extend([&count(1)[..], &string(topic.as_bytes()), &count(1), &0_i32.to_be_bytes()].concat());
    body.extend([&offset.to_be_bytes()[..], &65_536_i32.to_be_bytes()].concat());
    body
}

/// Fetches partition 0 from `offset`, waiting for a byte: the records' bytes.
pub(super) fn fetch(stream: &mut TcpStream, topic: &str, offset: i64) -> Result<Vec<u8>, Fault> {
    let answer = ask(stream, 1, 4, &fetch_body(topic, offset, 5_000, 1))?;
    // Throttle time and count, the name, the partition's count and index.
    let at = BODY + 4 + 4 + 2 + topic.len() + 4 + 4;
    let error = short(&answer, at)?;
    ensure(error == 0, || format!("fetching {topic} from {offset} answers error {error}"))?;
    Ok(answer[at..].to_vec())
}

/// The body of a ListOffsets 1 for partition 0 of each of these topics.
pub(super) fn list_offsets_body<T: AsRef<str>>(topics: &[T], time: i64) -> Vec<u8> {
    let mut body = [(-1_i32).to_be_bytes(), count(topics.len())].concat();
    for topic in topics {
        body.extend([&string(topic.as_ref().as_bytes())[..], &count(1), &0_i32.to_be_bytes()].concat());
        body.extend(time.to_be_bytes());
    }
    body
}

/// ListOffsets 1 for partition 0: error code and offset. `time` is -1 for the log's end.
pub(super) fn list_offset(stream: &mut TcpStream, topic: &str, time: i64) -> Result<(i16, i64), Fault> {
    let answer = ask(stream, 2, 1, &list_offsets_body(&[topic], time))?;
    let at = BODY + 4 + 2 + topic.len() + 4 + 4;
    Ok((short(&answer, at)?, long(&answer, at + 2 + 8)?))
}

fn short(bytes: &[u8], at: usize) -> Result<i16, Fault> {
    let found = bytes.get(at..at + 2).map(|two| i16::from_be_bytes([two[0], two[1]]));
    found.ok_or_else(|| Fault::Failed(format!("an answer of {} bytes ends before {at}", bytes.len())))
}

fn long(bytes: &[u8], at: usize) -> Result<i64, Fault> {
    let found = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(i64::from_be_bytes);
    found.ok_or_else(|| Fault::Failed(format!("an answer of {} bytes ends before {at}", bytes.len())))
}
