//! Readers: a drain that only follows the offsets, so that it costs the machine little, and the second reader, which looks at every byte.

use super::counts::{Counts, Until};
use crate::connection::Connection;
use crate::wire::{batch, int32, int64, requests};
use conformance::fault::{During, Fault, ensure, fail};
use conformance::process::now;
use std::time::Duration;

/// The second reader waits so long for records that were confirmed, and only then are they missing.
const VISIBLE_DEADLINE: Duration = Duration::from_secs(20);
/// What the second reader asks for.
const SECOND_READER_BYTES: i32 = 1 << 20;

/// The answer to a Fetch of one partition.
pub struct Fetched<'a> {
    /// The offset after the last record that may be read.
    pub high_watermark: i64,
    /// Whole batches and perhaps the start of one.
    pub records: &'a [u8],
}

/// Checks a Fetch v11 reply about one partition of a topic.
pub fn fetched<'a>(reply: &'a [u8], topic: &str) -> Result<Fetched<'a>, Fault> {
    // correlation id, throttle time, error, session, topics, name, partitions, index; then the error
    let error_at = 4 + 4 + 2 + 4 + 4 + 2 + topic.len() + 4 + 4;
    let errors = (reply.get(8..10), reply.get(error_at..error_at + 2));
    ensure(errors == (Some(&[0, 0]), Some(&[0, 0])), || format!("Fetch answered errors {errors:?}"))?;
    let high_watermark = int64(reply, error_at + 2).unwrap_or(0);
    // high watermark, last stable offset, log start offset, aborted transactions (none), preferred replica, records
    let aborted = int32(reply, error_at + 26).unwrap_or(0);
    ensure(aborted <= 0, || format!("{aborted} aborted transactions in a log without any"))?;
    let length = usize::try_from(int32(reply, error_at + 34).unwrap_or(0)).unwrap_or(0);
    match reply.get(error_at + 38..error_at + 38 + length) {
        Some(records) => Ok(Fetched { high_watermark, records }),
        None => fail(format!("{length} bytes of records in a reply of {}", reply.len())),
    }
}

/// Reads a partition from its start to its end, again and again, until it is over.
pub fn drain(address: &str, topic: &str, partition: i32, max_bytes: i32, until: &Until) -> Result<Counts, Fault> {
    let mut connection = Connection::open(address)?;
    let mut counts = Counts::default();
    let (mut offset, mut time) = (0, now());
    while !until.is_over(time, counts.bytes) {
        let sent = now();
        let reply = connection.ask(&mut requests::fetch(topic, partition, offset, max_bytes))?;
        let found = fetched(reply, topic).during(format!("at offset {offset}"))?;
        let next = batch::walk(found.records, offset, |_| Ok(()))?;
        ensure(next > offset, || format!("no whole batch at {offset} in {} bytes", found.records.len()))?;
        offset = if next >= found.high_watermark { 0 } else { next };
        time = now();
        counts.add(found.records.len(), time - sent);
    }
    Ok(counts)
}

/// What a log must hold: the batch of one record that probed it, then nothing but copies of one batch.
pub struct Expected {
    /// Checksum of the copies; `None` where a client made its own batches.
    pub crc: Option<u32>,
    /// How many copies.
    pub batches: Option<u64>,
    /// Records, the probe's included.
    pub records: i64,
}

impl Expected {
    /// So many copies of this batch.
    pub fn copies(batch: &[u8], count: u64) -> Expected {
        let (crc, records) = batch::first(batch).map_or((0, 0), |view| (view.crc(), i64::from(view.count)));
        Expected { crc: Some(crc), batches: Some(count), records: 1 + records * count as i64 }
    }
}

/// The second reader: reads a partition once and checks each batch's place, checksum and bytes, and that nothing is missing.
pub fn check(address: &str, topic: &str, partition: i32, expected: &Expected) -> Result<(), Fault> {
    let mut connection = Connection::open(address)?;
    let (mut offset, mut batches) = (0, 0);
    let until = now() + VISIBLE_DEADLINE;
    while offset < expected.records {
        let place = || format!("second reader at {topic}-{partition}, offset {offset}");
        ensure(now() < until, || format!("{}: {} records were confirmed", place(), expected.records))?;
        let reply = connection.ask(&mut requests::fetch(topic, partition, offset, SECOND_READER_BYTES))?;
        let found = fetched(reply, topic).during(place())?;
        let next = batch::walk(found.records, offset, |view| {
            ensure(view.is_whole(), || format!("the batch at {} has another checksum", view.base))?;
            let probe = view.base == 0;
            ensure(probe || expected.crc.is_none_or(|crc| crc == view.crc()), || {
                format!("the batch at {} holds other bytes than were sent", view.base)
            })?;
            batches += u64::from(!probe);
            Ok(())
        });
        offset = next.during(place())?;
    }
    ensure(offset == expected.records && expected.batches.is_none_or(|wanted| wanted == batches), || {
        format!("{topic}-{partition} holds {offset} records in {batches} batches, not {}", expected.records)
    })
}

#[cfg(test)]
mod tests {
    use super::{Expected, fetched};
    use crate::wire::Writer;
    use crate::wire::batch;

    fn reply(error: i16, records: &[u8]) -> Vec<u8> {
        let mut out = Writer::default();
        out.i32(0).i32(0).i16(0).i32(0).count(1).text("t").count(1);
        out.i32(0).i16(error).i64(9).i64(9).i64(0).i32(-1).i32(-1).bytes(records);
        out.0
    }

    #[test]
    fn a_reply_is_taken_apart_and_an_error_code_fails() {
        let bytes = reply(0, b"abc");
        let found = fetched(&bytes, "t").expect("well-formed");
        assert_eq!((found.high_watermark, found.records), (9, &b"abc"[..]));
        assert!(fetched(&reply(1, b""), "t").is_err());
        assert!(fetched(&bytes[..bytes.len() - 1], "t").is_err(), "a byte is missing");
    }

    #[test]
    fn copies_count_the_probing_record() {
        let expected = Expected::copies(&batch::records(3, 5), 4);
        assert_eq!((expected.records, expected.batches), (13, Some(4)));
    }
}
