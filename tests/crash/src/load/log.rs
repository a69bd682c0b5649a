//! Reads everything that a node at rest has: every log from its first offset to its end, and the topics.

use super::{Load, STORAGE_ERROR, TOPIC, TRANSIENT, World, topics};
use crate::history::{Event, Span};
use crate::wire::batch::{self, Run};
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::{During, Fault, ensure};
use conformance::process::now;
use std::time::Duration;

const PARTITION_BYTES_MAX: i32 = 4 << 20;
/// How long a node may take until it tells the end of a log after its start (OFFSET_NOT_AVAILABLE until then).
const END_DEADLINE: Duration = Duration::from_secs(30);

/// Notes every log in `load`'s history. Logs whose dir is offline are left out when that is `allowed`.
pub fn read_log(load: &mut Load, address: &str, allowed: bool) -> Result<(), Fault> {
    let world = std::sync::Arc::clone(&load.world);
    let mut connection = Connection::open(address)?;
    for partition in 0..world.cast.partitions {
        let read = read_partition(&world, &mut connection, partition).during(format!("partition {partition}"))?;
        ensure(allowed || read.is_some(), || format!("partition {partition} is offline"))?;
        if let Some(read) = read {
            load.note(read);
        }
    }
    load.note(topics::list(&mut connection, &world)?);
    Ok(())
}

fn read_partition(world: &World, connection: &mut Connection, partition: i32) -> Result<Option<Event>, Fault> {
    let invoked = world.tick();
    let Some(latest) = latest(connection, partition)? else { return Ok(None) };
    let (mut start, mut at) = (0, 0);
    let mut runs: Vec<Run> = Vec::new();
    loop {
        let request = messages::fetch(TOPIC, &[(partition, at)], 0, PARTITION_BYTES_MAX);
        let mut fetched = messages::fetched(&connection.call(&request)?)?;
        ensure(fetched.len() == 1, || format!("a fetch of one partition answers {}", fetched.len()))?;
        let (_, fetched) = fetched.remove(0);
        if fetched.error == STORAGE_ERROR {
            return Ok(None);
        }
        if fetched.error == 1 && fetched.log_start > at {
            (start, at) = (fetched.log_start, fetched.log_start);
            continue;
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

/// The end that the node tells; None when the log dir is offline.
fn latest(connection: &mut Connection, partition: i32) -> Result<Option<i64>, Fault> {
    let until = now() + END_DEADLINE;
    loop {
        let listed = messages::listed(&connection.call(&messages::latest(TOPIC, &[partition]))?)?;
        match listed.first() {
            Some((_, (0, offset))) => return Ok(Some(*offset)),
            Some((_, (STORAGE_ERROR, _))) => return Ok(None),
            Some((_, (error, _))) if TRANSIENT.contains(error) && now() < until => {}
            other => return Err(Fault::Failed(format!("ListOffsets: {other:?}"))),
        }
    }
}
