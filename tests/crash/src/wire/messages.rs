//! The requests that the load needs, each in one version, and what is of interest in their responses.

use super::codec::{Decoder, Encoder};
use super::connection::Request;
use conformance::fault::Fault;

/// How long a broker may hold a request back, in ms. No request here is meant to reach it.
const TIMEOUT_MS: i32 = 60_000;

/// A partition of the one topic that a request is about, and what is said of it.
type Of<T> = (i32, T);

fn request(key: i16, version: i16, body: Encoder) -> Request {
    Request { key, version, body: body.bytes }
}

/// Every partition of every topic of a response: (partition, what `read` read).
fn partitions<T>(
    from: &mut Decoder<'_>,
    mut read: impl FnMut(&mut Decoder<'_>) -> Result<T, Fault>,
) -> Result<Vec<Of<T>>, Fault> {
    let topics = from.each(|from| {
        from.string()?;
        from.each(|from| Ok((from.i32()?, read(from)?)))
    })?;
    Ok(topics.into_iter().flatten().collect())
}

/// Produce 8: one batch for each of some partitions of `topic`.
pub fn produce(topic: &str, acks: i16, batches: &[Of<Vec<u8>>]) -> Request {
    let mut to = Encoder::default();
    to.null().i16(acks).i32(TIMEOUT_MS).len(1).string(topic).len(batches.len());
    for (partition, batch) in batches {
        to.i32(*partition).len(batch.len()).raw(batch);
    }
    request(0, 8, to)
}

/// Error code and base offset by partition.
pub fn produced(body: &[u8]) -> Result<Vec<Of<(i16, i64)>>, Fault> {
    partitions(&mut Decoder::new(body), |from| {
        let (error, base) = (from.i16()?, from.i64()?);
        from.i64()?;
        from.i64()?;
        from.each(|from| {
            from.i32()?;
            from.string()
        })?;
        from.string()?;
        Ok((error, base))
    })
}

/// Fetch 11 without a session: (partition, offset) each.
pub fn fetch(topic: &str, from: &[Of<i64>], wait_ms: i32, partition_bytes_max: i32) -> Request {
    let mut to = Encoder::default();
    to.i32(-1).i32(wait_ms).i32(1).i32(32 << 20).i8(0).i32(0).i32(-1).len(1).string(topic).len(from.len());
    for (partition, offset) in from {
        to.i32(*partition).i32(-1).i64(*offset).i64(-1).i32(partition_bytes_max);
    }
    to.len(0).string("");
    request(1, 11, to)
}

/// What a fetch says of a partition.
#[derive(Debug)]
pub struct Fetched {
    /// Error code.
    pub error: i16,
    /// High watermark.
    pub high_watermark: i64,
    /// Batches, the last one perhaps cut off.
    pub records: Vec<u8>,
}

/// The partitions of a fetch.
pub fn fetched(body: &[u8]) -> Result<Vec<Of<Fetched>>, Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    from.i16()?;
    from.i32()?;
    partitions(&mut from, |from| {
        let (error, high_watermark, _stable, _log_start) = (from.i16()?, from.i64()?, from.i64()?, from.i64()?);
        from.each(|from| {
            from.i64()?;
            from.i64()
        })?;
        from.i32()?;
        Ok(Fetched { error, high_watermark, records: from.bytes()?.to_vec() })
    })
}

/// ListOffsets 2, the latest offset of some partitions.
pub fn latest(topic: &str, of: &[i32]) -> Request {
    list_offsets(topic, of, -1)
}

/// ListOffsets 2, the first offset of some partitions.
pub fn earliest(topic: &str, of: &[i32]) -> Request {
    list_offsets(topic, of, -2)
}

fn list_offsets(topic: &str, of: &[i32], time: i64) -> Request {
    let mut to = Encoder::default();
    to.i32(-1).i8(0).len(1).string(topic).len(of.len());
    for partition in of {
        to.i32(*partition).i64(time);
    }
    request(2, 2, to)
}

/// Error code and offset by partition.
pub fn listed(body: &[u8]) -> Result<Vec<Of<(i16, i64)>>, Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    partitions(&mut from, |from| {
        let error = from.i16()?;
        from.i64()?;
        Ok((error, from.i64()?))
    })
}

/// OffsetCommit 5 of a group without members.
pub fn commit(group: &str, topic: &str, offsets: &[Of<i64>]) -> Request {
    let mut to = Encoder::default();
    to.string(group).i32(-1).string("").len(1).string(topic).len(offsets.len());
    for (partition, offset) in offsets {
        to.i32(*partition).i64(*offset).string("");
    }
    request(8, 5, to)
}

/// Error code by partition.
pub fn committed(body: &[u8]) -> Result<Vec<Of<i16>>, Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    partitions(&mut from, |from| from.i16())
}

/// OffsetFetch 3.
pub fn offsets(group: &str, topic: &str, of: &[i32]) -> Request {
    let mut to = Encoder::default();
    to.string(group).len(1).string(topic).len(of.len());
    for partition in of {
        to.i32(*partition);
    }
    request(9, 3, to)
}

/// Error code and committed offset by partition; -1 for none. The error of the whole response stands in each.
pub fn offsets_read(body: &[u8]) -> Result<Vec<Of<(i16, i64)>>, Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    let mut read = partitions(&mut from, |from| {
        let offset = from.i64()?;
        from.string()?;
        Ok((from.i16()?, offset))
    })?;
    let error = from.i16()?;
    if error != 0 {
        read.iter_mut().for_each(|(_, (of_partition, _))| *of_partition = error);
    }
    Ok(read)
}

/// FindCoordinator 1 of a group; the node makes `__consumer_offsets` when it is asked first.
pub fn find_coordinator(group: &str) -> Request {
    let mut to = Encoder::default();
    to.string(group).i8(0);
    request(10, 1, to)
}

/// The error code of a FindCoordinator.
pub fn coordinator_found(body: &[u8]) -> Result<i16, Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    from.i16()
}

/// InitProducerId 1 without transactions.
pub fn init_producer_id() -> Request {
    let mut to = Encoder::default();
    to.null().i32(TIMEOUT_MS);
    request(22, 1, to)
}

/// Error code, producer id, epoch.
pub fn producer_id(body: &[u8]) -> Result<(i16, i64, i16), Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    Ok((from.i16()?, from.i64()?, from.i16()?))
}

/// CreateTopics 4 of one topic.
pub fn create_topic(topic: &str, partitions: i32, configs: &[(&str, &str)]) -> Request {
    let mut to = Encoder::default();
    to.len(1).string(topic).i32(partitions).i16(1).len(0).len(configs.len());
    for (key, value) in configs {
        to.string(key).string(value);
    }
    to.i32(TIMEOUT_MS).i8(0);
    request(19, 4, to)
}

/// The error codes of a CreateTopics 4 or a DeleteTopics 3.
pub fn topics_done(body: &[u8], with_message: bool) -> Result<Vec<(String, i16)>, Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    from.each(|from| {
        let done = (from.string()?, from.i16()?);
        if with_message {
            from.string()?;
        }
        Ok(done)
    })
}

/// DeleteTopics 3 of one topic.
pub fn delete_topic(topic: &str) -> Request {
    let mut to = Encoder::default();
    to.len(1).string(topic).i32(TIMEOUT_MS);
    request(20, 3, to)
}

/// DeleteRecords 1 of one topic: everything below an offset of each partition.
pub fn delete_records(topic: &str, below: &[Of<i64>]) -> Request {
    let mut to = Encoder::default();
    to.len(1).string(topic).len(below.len());
    for (partition, offset) in below {
        to.i32(*partition).i64(*offset);
    }
    to.i32(TIMEOUT_MS);
    request(21, 1, to)
}

/// Error code and low watermark by partition.
pub fn records_deleted(body: &[u8]) -> Result<Vec<Of<(i16, i64)>>, Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    partitions(&mut from, |from| {
        let low = from.i64()?;
        Ok((from.i16()?, low))
    })
}

/// Metadata 4 of all topics.
pub fn metadata() -> Request {
    let mut to = Encoder::default();
    to.i32(-1).i8(0);
    request(3, 4, to)
}

/// The name of every topic.
pub fn topic_names(body: &[u8]) -> Result<Vec<String>, Fault> {
    let mut from = Decoder::new(body);
    from.i32()?;
    from.each(|from| {
        from.i32()?;
        from.string()?;
        from.i32()?;
        from.string()
    })?;
    from.string()?;
    from.i32()?;
    from.each(|from| {
        from.i16()?;
        let name = from.string()?;
        from.i8()?;
        from.each(|from| {
            from.take(2 + 4 + 4)?;
            from.each(|from| from.i32())?;
            from.each(|from| from.i32())
        })?;
        Ok(name)
    })
}
