//! Topics of the loads: created, waited for, deleted, over the wire like everything else.

use crate::connection::Connection;
use crate::wire::Reader;
use crate::wire::batch;
use crate::wire::requests;
use conformance::fault::{During, Fault, ensure, fail};
use conformance::process::now;
use std::time::Duration;

/// A broker may still be opening thousands of partitions.
const READY_DEADLINE: Duration = Duration::from_secs(120);
/// Partitions in one probing request.
const PROBED_AT_ONCE: i32 = 1_000;
/// Kafka's controller writes no more records at once.
const CREATED_AT_ONCE: i32 = 5_000;
/// Not there yet, or not led yet.
const NOT_YET: [i16; 4] = [3, 5, 6, 9];

/// Creates a topic and waits until each partition has taken a batch of one record.
pub fn create(address: &str, topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Result<(), Fault> {
    let mut connection = Connection::open(address)?;
    let first = partitions.min(CREATED_AT_ONCE);
    let reply = connection.ask(&mut requests::create_topic(topic, first, configs))?;
    expect_one(reply, true).during(format!("creating {topic}"))?;
    for more in (first..partitions).step_by(CREATED_AT_ONCE as usize) {
        let all = partitions.min(more + CREATED_AT_ONCE);
        let reply = connection.ask(&mut requests::create_partitions(topic, all))?;
        expect_one(reply, true).during(format!("{all} partitions of {topic}"))?;
    }
    probe(&mut connection, topic, partitions).during(format!("waiting for {topic}"))
}

/// Deletes a topic; the broker removes its files soon after.
pub fn delete(address: &str, topic: &str) -> Result<(), Fault> {
    let mut connection = Connection::open(address)?;
    let reply = connection.ask(&mut requests::delete_topic(topic))?;
    expect_one(reply, false).during(format!("deleting {topic}"))
}

/// The answer of CreateTopics v4 or DeleteTopics v3 about one topic.
fn expect_one(reply: &[u8], with_message: bool) -> Result<(), Fault> {
    let mut reply = Reader::new(reply);
    reply.i32()?; // correlation id
    reply.i32()?; // throttle time
    let topics = reply.count()?;
    ensure(topics == 1, || format!("{topics} topics answered"))?;
    reply.text()?;
    let error = reply.i16()?;
    let message = if with_message { String::from_utf8_lossy(reply.text()?).into_owned() } else { String::new() };
    ensure(error == 0, || format!("error {error} {message}"))
}

/// Produces one record to each partition, again where the broker is not ready. A refused batch is not written, so each partition
/// then holds exactly one.
fn probe(connection: &mut Connection, topic: &str, partitions: i32) -> Result<(), Fault> {
    let one = batch::records(1, 1);
    let until = now() + READY_DEADLINE;
    let mut left: Vec<i32> = (0..partitions).collect();
    while !left.is_empty() {
        if now() > until {
            return fail(format!("{} of {partitions} partitions take no batch", left.len()));
        }
        let mut again = Vec::new();
        for some in left.chunks(usize::try_from(PROBED_AT_ONCE).unwrap_or(1)) {
            let mut request = requests::produce(topic, 1, some.iter().copied(), &one);
            for (partition, error) in produced(connection.ask(&mut request)?)? {
                match error {
                    0 => {}
                    error if NOT_YET.contains(&error) => again.push(partition),
                    error => return fail(format!("partition {partition} answers error {error}")),
                }
            }
        }
        left = again;
    }
    Ok(())
}

/// Partitions and error codes of a Produce v7 reply about one topic.
pub fn produced(reply: &[u8]) -> Result<Vec<(i32, i16)>, Fault> {
    let mut reply = Reader::new(reply);
    reply.i32()?;
    let topics = reply.count()?;
    ensure(topics == 1, || format!("{topics} topics answered"))?;
    reply.text()?;
    let mut found = Vec::new();
    for _ in 0..reply.count()? {
        found.push((reply.i32()?, reply.i16()?));
        reply.at += 24; // base offset, append time, log start offset
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{expect_one, produced};
    use crate::wire::Writer;

    #[test]
    fn an_error_code_in_an_answer_is_a_failure() {
        let answer = |error| {
            let mut out = Writer::default();
            out.i32(1).i32(0).count(1).text("t").i16(error).text("why");
            out.0
        };
        assert!(expect_one(&answer(0), true).is_ok());
        assert!(expect_one(&answer(36), true).is_err());
    }

    #[test]
    fn every_partition_of_a_produce_reply_is_read() {
        let mut out = Writer::default();
        out.i32(1).count(1).text("t").count(2);
        for (partition, error) in [(0, 0), (1, 6)] {
            out.i32(partition).i16(error).i64(0).i64(-1).i64(0);
        }
        out.i32(0);
        assert_eq!(produced(&out.0).expect("well-formed"), [(0, 0), (1, 6)]);
        assert!(produced(&out.0[..30]).is_err());
    }
}
