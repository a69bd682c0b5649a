//! A consumer that reads every partition as it grows, over and over, and keeps its place through crashes.

use super::{Cast, Client, STORAGE_ERROR, TOPIC, TRANSIENT, World};
use crate::history::{Event, Span};
use crate::wire::batch;
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::Fault;

/// How long the broker may hold a fetch back; the gate is looked at between fetches.
const WAIT_MS: i32 = 100;
const PARTITION_BYTES_MAX: i32 = 1 << 18;
/// Partitions in one fetch.
const PARTITIONS_MAX: usize = 64;

pub(super) struct Reader {
    /// Per partition: the next offset, and the last high watermark.
    places: Vec<(i64, i64)>,
    turn: usize,
    extra_max: u64,
}

impl Reader {
    pub(super) fn new(cast: &Cast) -> Reader {
        let places = vec![(0, 0); usize::try_from(cast.partitions).unwrap_or(1)];
        Reader { places, turn: 0, extra_max: cast.extra_max }
    }

    fn fetch(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        let asked: Vec<(i32, i64)> = (0..self.places.len().min(PARTITIONS_MAX))
            .map(|step| (self.turn + step) % self.places.len())
            .map(|at| (i32::try_from(at).unwrap_or(0), self.places[at].0))
            .collect();
        self.turn = (self.turn + asked.len()) % self.places.len();
        let (span, body) = world.timed(connection, &messages::fetch(TOPIC, &asked, WAIT_MS, PARTITION_BYTES_MAX))?;
        for (partition, fetched) in messages::fetched(&body)? {
            self.take(span, partition, &fetched, events);
        }
        Ok(())
    }

    fn take(&mut self, span: Span, partition: i32, fetched: &messages::Fetched, events: &mut Vec<Event>) {
        let refused = |what: String| Event::Refused { span, partition, what };
        if fetched.error == STORAGE_ERROR || TRANSIENT.contains(&fetched.error) {
            return;
        }
        let place = &mut self.places[usize::try_from(partition).unwrap_or(0)];
        if fetched.error != 0 {
            events.push(refused(format!("Fetch at {}: error {}", place.0, fetched.error)));
            return;
        }
        match batch::read(&fetched.records, place.0, partition, self.extra_max) {
            Err(Fault::Failed(why) | Fault::Skipped(why)) => {
                events.push(refused(format!("Fetch at {}: {why}", place.0)))
            }
            Ok(runs) => {
                let end = runs.last().map_or(place.0, |run| run.offset + i64::try_from(run.count).unwrap_or(0));
                if runs.first().is_some_and(|run| run.offset != place.0) {
                    events.push(refused(format!("Fetch at {} begins at {}", place.0, runs[0].offset)));
                }
                if !runs.is_empty() || fetched.high_watermark != place.1 {
                    let high_watermark = fetched.high_watermark;
                    events.push(Event::Read { span, partition, high_watermark, runs });
                }
                *place = (end, fetched.high_watermark);
            }
        }
    }
}

impl Client for Reader {
    fn work(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        while world.gate.is_open() && !world.is_draining() {
            self.fetch(connection, world, events)?;
        }
        Ok(())
    }

    fn settle(&mut self, _world: &World, _events: &mut Vec<Event>) {}

    fn is_done(&self) -> bool {
        true
    }
}
