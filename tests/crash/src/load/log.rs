//! Reads everything that a node at rest has: every log from its first offset to its end, and the topics.

use super::{Load, STORAGE_ERROR, TOPIC, TRANSIENT, World, topics};
use crate::history::{Event, Outcome, Span};
use crate::wire::batch::{self, Run};
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::{During, Fault, ensure, fail};
use conformance::process::now;
use std::time::Duration;

const PARTITION_BYTES_MAX: i32 = 4 << 20;
/// How long a node may take until it tells the end of a log after its start (OFFSET_NOT_AVAILABLE until then).
const END_DEADLINE: Duration = Duration::from_secs(15);

/// Which node is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum At {
    /// One that was just started: it has what it has.
    Start,
    /// One that was written to: what was acked with acks=1 is to be seen only once it is on disk, which may take a moment.
    Rest,
    /// One with an offline log dir, whose logs are left out.
    Half,
}

/// Notes every log in `load`'s history.
pub fn read_log(load: &mut Load, address: &str, at: At) -> Result<(), Fault> {
    let world = std::sync::Arc::clone(&load.world);
    let mut connection = Connection::open(address)?;
    for partition in 0..world.cast.partitions {
        let due = if at == At::Rest { promised_end(load.history(), partition) } else { 0 };
        let read = read_partition(&world, &mut connection, partition, due).during(format!("partition {partition}"))?;
        ensure(at == At::Half || read.is_some(), || format!("partition {partition} is offline"))?;
        if let Some(read) = read {
            load.note(read);
        }
    }
    load.note(topics::list(&mut connection, &world)?);
    Ok(())
}

/// Up to where a partition was acked since the last power cut.
fn promised_end(history: &[Event], partition: i32) -> i64 {
    let cut = history
        .iter()
        .filter_map(|event| if let Event::PowerCut(span) = event { Some(span.completed) } else { None })
        .max();
    let end = |event: &Event| match event {
        Event::Sent { span, partition: of, count, outcome: Outcome::Acked { base }, .. }
            if *of == partition && Some(span.completed) > cut =>
        {
            Some(base + i64::try_from(*count).unwrap_or(0))
        }
        _ => None,
    };
    history.iter().filter_map(end).max().unwrap_or(0)
}

fn read_partition(
    world: &World,
    connection: &mut Connection,
    partition: i32,
    due: i64,
) -> Result<Option<Event>, Fault> {
    let invoked = world.tick();
    let Some(latest) = latest(connection, partition, due)? else { return Ok(None) };
    let start = messages::listed(&connection.call(&messages::earliest(TOPIC, &[partition]))?)?;
    let Some((_, (0, start))) = start.first().copied() else { return fail(format!("ListOffsets: {start:?}")) };
    let mut at = start;
    let mut runs: Vec<Run> = Vec::new();
    loop {
        let request = messages::fetch(TOPIC, &[(partition, at)], 0, PARTITION_BYTES_MAX);
        let mut fetched = messages::fetched(&connection.call(&request)?)?;
        ensure(fetched.len() == 1, || format!("a fetch of one partition answers {}", fetched.len()))?;
        let (_, fetched) = fetched.remove(0);
        if fetched.error == STORAGE_ERROR {
            return Ok(None);
        }
        ensure(fetched.error == 0, || format!("reading at {at}: error {}", fetched.error))?;
        let read = batch::read(&fetched.records, at, partition, world.cast.extra_max)?;
        let end = read.last().map_or(at, |run| run.offset + i64::try_from(run.count).unwrap_or(0));
        runs.extend(read);
        if at >= fetched.high_watermark || end == at {
            let end = fetched.high_watermark.max(latest);
            let span = Span { invoked, completed: world.tick() };
            return Ok(Some(Event::Log { span, partition, start, end, runs }));
        }
        at = end;
    }
}

/// The end that the node tells; None when the log dir is offline. What was acked with acks=1 may be seen only once it is on disk, which a
/// node may take a moment for: an end below `due` is believed at the deadline.
fn latest(connection: &mut Connection, partition: i32, due: i64) -> Result<Option<i64>, Fault> {
    let until = now() + END_DEADLINE;
    loop {
        let listed = messages::listed(&connection.call(&messages::latest(TOPIC, &[partition]))?)?;
        match listed.first() {
            Some((_, (0, offset))) if *offset < due && now() < until => std::thread::yield_now(),
            Some((_, (0, offset))) => return Ok(Some(*offset)),
            Some((_, (STORAGE_ERROR, _))) => return Ok(None),
            Some((_, (error, _))) if TRANSIENT.contains(error) && now() < until => {}
            other => return Err(Fault::Failed(format!("ListOffsets: {other:?}"))),
        }
    }
}
