//! Closed-loop load over plain blocking sockets: pipelined Produce, draining Fetch. Every answer is checked.

use crate::cases::TOPIC;
use crate::encode::{self, CORRELATION_AT};
use conformance::fault::{During, Fault, ensure};
use conformance::process::now;
use conformance::wire;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::net::TcpStream;

/// A reply larger than this is no reply to what is asked here.
const REPLY_BYTES_MAX: usize = 64 << 20;

/// What one or more connections did.
#[derive(Default)]
pub struct Counts {
    /// Bytes of batches.
    pub bytes: u64,
    /// Requests answered.
    pub requests: u64,
    /// From send to answer, microseconds.
    latencies_us: Vec<u32>,
}

impl Counts {
    /// This quantile of the times from send to answer.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        let mut sorted = self.latencies_us.clone();
        sorted.sort_unstable();
        let at = (sorted.len() as f64 * quantile) as usize;
        sorted.get(at.min(sorted.len().saturating_sub(1))).map_or(f64::NAN, |us| f64::from(*us))
    }

    fn add(&mut self, other: Counts) {
        self.bytes += other.bytes;
        self.requests += other.requests;
        self.latencies_us.extend(other.latencies_us);
    }
}

/// Runs `work` for partitions 0 to `connections` at the same time.
pub fn on_each(connections: i32, work: impl Fn(i32) -> Result<Counts, Fault> + Sync) -> Result<Counts, Fault> {
    let mut total = Counts::default();
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..connections)
            .map(|partition| {
                scope.spawn({
                    let work = &work;
                    move || work(partition)
                })
            })
            .collect();
        for thread in threads {
            let counts = thread.join().map_err(|_| Fault::Failed("a connection's thread panicked".to_owned()))?;
            total.add(counts?);
        }
        Ok(total)
    })
}

/// Sends one batch again and again, `depth` requests in flight, until `over`.
pub fn produce(
    address: &str,
    partition: i32,
    batch: &[u8],
    depth: usize,
    over: &dyn Fn(&Counts) -> bool,
) -> Result<Counts, Fault> {
    let mut stream = connect(address)?;
    let mut request = encode::produce(TOPIC, partition, batch);
    let mut reply = Vec::new();
    let mut sent = VecDeque::new();
    let mut counts = Counts::default();
    let mut next = 0_i32;
    loop {
        let stopping = over(&counts);
        while !stopping && sent.len() < depth {
            request[CORRELATION_AT..CORRELATION_AT + 4].copy_from_slice(&next.to_be_bytes());
            sent.push_back((next, now()));
            stream.write_all(&request).during("sending Produce")?;
            next += 1;
        }
        let Some((correlation_id, at)) = sent.pop_front() else { return Ok(counts) };
        read_reply(&mut stream, &mut reply)?;
        // correlation id, topics, name, partitions, index, error
        let error_at = 4 + 4 + 2 + TOPIC.len() + 4 + 4;
        ensure(int32(&reply, 0) == Some(correlation_id), || format!("an answer out of order: want {correlation_id}"))?;
        let error = reply.get(error_at..error_at + 2);
        ensure(error == Some(&[0, 0]), || format!("Produce answered {error:?}"))?;
        counts.bytes += batch.len() as u64;
        counts.requests += 1;
        counts.latencies_us.push(u32::try_from((now() - at).as_micros()).unwrap_or(u32::MAX));
    }
}

/// Reads a partition from its start to its end, again and again, until `over`; checks every batch's place and the first one's CRC.
pub fn fetch(address: &str, partition: i32, max_bytes: i32, over: &dyn Fn(&Counts) -> bool) -> Result<Counts, Fault> {
    let mut stream = connect(address)?;
    let mut reply = Vec::new();
    let mut counts = Counts::default();
    let mut offset = 0;
    while !over(&counts) {
        let at = now();
        stream.write_all(&encode::fetch(TOPIC, partition, offset, max_bytes)).during("sending Fetch")?;
        read_reply(&mut stream, &mut reply)?;
        // correlation id, throttle time, error, session, topics, name, partitions, index, error, high watermark
        let error_at = 4 + 4 + 2 + 4 + 4 + 2 + TOPIC.len() + 4 + 4;
        let error = reply.get(error_at..error_at + 2);
        ensure(error == Some(&[0, 0]), || format!("Fetch at {offset} answered {error:?}"))?;
        let high_watermark = int64(&reply, error_at + 2).unwrap_or(0);
        // high watermark, last stable offset, log start offset, aborted transactions (none), preferred replica, records
        let aborted = int32(&reply, error_at + 26).unwrap_or(0);
        ensure(aborted <= 0, || format!("{aborted} aborted transactions in a log without any"))?;
        let length = usize::try_from(int32(&reply, error_at + 34).unwrap_or(0)).unwrap_or(0);
        let records = reply.get(error_at + 38..error_at + 38 + length);
        let records =
            records.ok_or_else(|| Fault::Failed(format!("{length} bytes of records in a reply of {}", reply.len())))?;
        offset = walk(records, offset)?;
        if offset >= high_watermark {
            offset = 0;
        }
        counts.bytes += length as u64;
        counts.requests += 1;
        counts.latencies_us.push(u32::try_from((now() - at).as_micros()).unwrap_or(u32::MAX));
    }
    Ok(counts)
}

/// The offset after the last whole batch; each must start where the one before ended.
fn walk(records: &[u8], from: i64) -> Result<i64, Fault> {
    let (mut at, mut offset) = (0, from);
    while let (Some(base), Some(length)) = (int64(records, at), int32(records, at + 8)) {
        let end = at + 12 + usize::try_from(length).unwrap_or(usize::MAX - at - 12);
        let Some(batch) = records.get(at..end).filter(|batch| batch.len() > 61) else { break };
        // A fetch may start inside a batch; only the first one can be that.
        ensure(base == offset || (at == 0 && base < offset), || format!("a batch at {base} where {offset} is due"))?;
        if at == 0 {
            let want = crc32c::crc32c(&batch[21..]).to_be_bytes();
            ensure(batch[17..21] == want, || format!("the batch at {base} has another CRC"))?;
        }
        offset = base + i64::from(int32(batch, 23).unwrap_or(0)) + 1;
        at = end;
    }
    ensure(at > 0, || format!("no whole batch at {from} in {} bytes", records.len()))?;
    Ok(offset)
}

fn connect(address: &str) -> Result<TcpStream, Fault> {
    let stream = wire::connect(address)?;
    stream.set_nodelay(true).during("TCP_NODELAY")?;
    Ok(stream)
}

fn read_reply(stream: &mut TcpStream, reply: &mut Vec<u8>) -> Result<(), Fault> {
    let mut size = [0; 4];
    stream.read_exact(&mut size).during("reading a reply")?;
    let size = u32::from_be_bytes(size) as usize;
    ensure(size <= REPLY_BYTES_MAX, || format!("a reply of {size} bytes"))?;
    if reply.len() < size {
        reply.resize(size, 0);
    }
    reply.truncate(size);
    stream.read_exact(reply).during("reading a reply")
}

fn int32(bytes: &[u8], at: usize) -> Option<i32> {
    bytes.get(at..at + 4).and_then(|four| four.try_into().ok()).map(i32::from_be_bytes)
}

fn int64(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()).map(i64::from_be_bytes)
}

#[cfg(test)]
mod tests {
    use super::walk;
    use crate::encode::batch;

    #[test]
    fn a_walk_ends_after_the_last_whole_batch() {
        let one = batch(1 << 10, 100);
        let mut two = one.clone();
        two[..8].copy_from_slice(&9_i64.to_be_bytes());
        let log = [one.as_slice(), &two, &two[..30]].concat();
        assert_eq!(walk(&log, 0).expect("two whole batches"), 18);
    }

    #[test]
    fn a_gap_and_a_changed_byte_are_noticed() {
        let one = batch(1 << 10, 100);
        assert!(walk(&[one.clone(), one.clone()].concat(), 0).is_err(), "the second batch is at 0 again");
        let mut torn = one;
        torn[100] ^= 1;
        assert!(walk(&torn, 0).is_err());
    }
}
