//! Replays encoded Produce requests, a fixed number in flight a connection.

use super::counts::{Counts, Until, on_each};
use crate::admin;
use crate::connection::Connection;
use crate::wire::requests;
use conformance::fault::{Fault, ensure};
use conformance::process::now;
use std::collections::VecDeque;
use std::ops::Range;

/// One connection's load.
pub struct Plan<'a> {
    /// To which topic.
    pub topic: &'a str,
    /// 1, or -1 for all.
    pub acks: i16,
    /// Requests in flight.
    pub depth: usize,
    /// Written in turn, one batch a request.
    pub partitions: Range<i32>,
    /// Sent again and again.
    pub batch: &'a [u8],
}

/// Sends the same batch again and again until it is over, then waits for what is in flight.
pub fn pipeline(address: &str, plan: &Plan<'_>, until: &Until) -> Result<Counts, Fault> {
    let encode = |partition| requests::produce(plan.topic, plan.acks, partition..partition + 1, plan.batch);
    let mut ready: Vec<Vec<u8>> = plan.partitions.clone().map(encode).collect();
    let mut connection = Connection::open(address)?;
    let mut in_flight = VecDeque::new();
    let mut counts = Counts::default();
    let mut next = 0;
    // correlation id, topics, name, partitions, index; then the error
    let error_at = 4 + 4 + 2 + plan.topic.len() + 4 + 4;
    let mut time = now();
    loop {
        let over = until.is_over(time, counts.bytes);
        while !over && in_flight.len() < plan.depth {
            in_flight.push_back(now());
            connection.send(&mut ready[next])?;
            next = if next + 1 == ready.len() { 0 } else { next + 1 };
        }
        let Some(sent) = in_flight.pop_front() else { return Ok(counts) };
        let reply = connection.reply()?;
        time = now();
        let error = reply.get(error_at..error_at + 2);
        ensure(error == Some(&[0, 0]), || format!("Produce answered error {error:?}"))?;
        counts.add(plan.batch.len(), time - sent);
    }
}

/// As [`pipeline`], `connections` times, each connection with a partition of its own.
pub fn on_own_partitions(address: &str, plan: &Plan<'_>, connections: i32, until: &Until) -> Result<Counts, Fault> {
    on_each(connections, |which| pipeline(address, &Plan { partitions: which..which + 1, ..*plan }, until))
}

/// One request that writes a batch to every partition, again and again; a count is a request of all of them.
pub fn to_all(address: &str, plan: &Plan<'_>, until: &Until) -> Result<Counts, Fault> {
    let mut request = requests::produce(plan.topic, plan.acks, plan.partitions.clone(), plan.batch);
    let mut connection = Connection::open(address)?;
    let mut counts = Counts::default();
    loop {
        let sent = now();
        let answered = admin::produced(connection.ask(&mut request)?)?;
        let time = now();
        let wrong = answered.iter().find(|(_, error)| *error != 0);
        ensure(wrong.is_none(), || format!("Produce answered (partition, error) {wrong:?}"))?;
        ensure(answered.len() == plan.partitions.len(), || format!("{} partitions answered", answered.len()))?;
        counts.add(plan.batch.len() * answered.len(), time - sent);
        if until.is_over(time, counts.bytes) {
            return Ok(counts);
        }
    }
}
