//! A producer with acks=1 or acks=0 and no idempotence: what is not answered is given up, never repeated.

use super::{Cast, Client, TOPIC, TRANSIENT, World};
use crate::history::{Acks, Event, Outcome, Span, Tick};
use crate::rng::Rng;
use crate::wire::batch::{PLAIN, Value, build};
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::Fault;
use std::collections::VecDeque;

/// Requests in flight; with acks=0, requests between two that are answered.
const DEPTH: usize = 16;

/// Records that it may be ahead of the records that all others got acked with acks=all.
const AHEAD_MAX: u64 = 1_000;

struct Flight {
    partition: i32,
    first: u64,
    count: u64,
    invoked: Tick,
}

pub(super) struct Plain {
    number: u32,
    acks: Acks,
    next: Vec<u64>,
    turn: usize,
    /// Records sent in all.
    sent: u64,
    flights: VecDeque<Flight>,
    batch_records_max: u64,
    extra_max: u64,
    rng: Rng,
}

impl Plain {
    pub(super) fn new(number: u32, acks: i16, cast: &Cast, seed: u64) -> Plain {
        Plain {
            number,
            acks: if acks == 0 { Acks::None } else { Acks::Leader },
            next: vec![0; usize::try_from(cast.partitions).unwrap_or(1)],
            turn: 0,
            sent: 0,
            flights: VecDeque::new(),
            batch_records_max: cast.batch_records_max,
            extra_max: cast.extra_max,
            rng: Rng::new(seed ^ u64::from(number) << 40),
        }
    }

    fn send(&mut self, connection: &mut Connection, world: &World) -> Result<(), Fault> {
        let at = self.turn % self.next.len();
        self.turn += 1;
        let (partition, count) = (i32::try_from(at).unwrap_or(0), 1 + self.rng.below(self.batch_records_max));
        let first = self.next[at];
        self.next[at] += count;
        self.sent += count;
        self.flights.push_back(Flight { partition, first, count, invoked: world.tick() });
        let value = Value { producer: self.number, counter: first };
        let batch = build(value, count, partition, self.extra_max, PLAIN);
        if self.acks == Acks::None {
            connection.send_only(&messages::produce(TOPIC, 0, &[(partition, batch)]))
        } else {
            connection.send(&messages::produce(TOPIC, 1, &[(partition, batch)]))
        }
    }

    fn finish(&self, flight: Flight, completed: Tick, outcome: Outcome, events: &mut Vec<Event>) {
        events.push(Event::Sent {
            span: Span { invoked: flight.invoked, completed },
            partition: flight.partition,
            first: Value { producer: self.number, counter: flight.first },
            count: flight.count,
            acks: self.acks,
            outcome,
        });
    }

    fn answered(&mut self, body: &[u8], world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        let completed = world.tick();
        for (partition, (error, base)) in messages::produced(body)? {
            let Some(flight) = self.flights.pop_front() else { break };
            if error == 0 {
                self.finish(flight, completed, Outcome::Acked { base }, events);
            } else {
                self.finish(flight, Tick::MAX, Outcome::Unknown, events);
                if error != super::STORAGE_ERROR && !TRANSIENT.contains(&error) {
                    let span = Span { invoked: completed, completed };
                    let what = format!("Produce with acks=1: error {error}");
                    events.push(Event::Refused { span, partition, what });
                }
            }
        }
        Ok(())
    }

    /// acks=0: asks for the ends, whose answer comes after everything that was sent before.
    fn meet(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        let all: Vec<i32> = (0..i32::try_from(self.next.len()).unwrap_or(0)).collect();
        let (span, body) = world.timed(connection, &messages::latest(TOPIC, &all))?;
        for (partition, (error, offset)) in messages::listed(&body)? {
            if error == 0 {
                events.push(Event::Latest { span, partition, offset });
            }
        }
        for flight in std::mem::take(&mut self.flights) {
            self.finish(flight, Tick::MAX, Outcome::Unknown, events);
        }
        Ok(())
    }
}

impl Client for Plain {
    fn work(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        loop {
            let goes_on = world.gate.is_open() && !world.is_draining();
            if goes_on && self.sent > world.gate.acked_so_far() + AHEAD_MAX {
                // Nobody waits for a disk here: unchecked, this would be most of the load.
                world.gate.pace(AHEAD_MAX / 8);
            }
            if goes_on && self.flights.len() < DEPTH {
                self.send(connection, world)?;
            } else if self.flights.is_empty() {
                return Ok(());
            } else if self.acks == Acks::None {
                self.meet(connection, world, events)?;
            } else {
                let body = world.answer(connection)?;
                self.answered(&body, world, events)?;
            }
        }
    }

    fn settle(&mut self, _world: &World, events: &mut Vec<Event>) {
        for flight in std::mem::take(&mut self.flights) {
            self.finish(flight, Tick::MAX, Outcome::Unknown, events);
        }
    }

    fn is_done(&self) -> bool {
        true
    }
}
