//! An idempotent producer with acks=all and many requests in flight, which repeats in order whatever was not answered: Kafka's client
//! at its default settings, with a pipeline that a crash meets full.

use super::{Cast, Client, STORAGE_ERROR, TOPIC, TRANSIENT, World};
use crate::history::{Acks, Event, Outcome, Span, Tick};
use crate::rng::Rng;
use crate::wire::batch::{Producer, Value, build};
use crate::wire::connection::{Connection, Request};
use crate::wire::messages;
use conformance::fault::{Fault, ensure, fail};
use std::collections::VecDeque;

/// Batches in flight per partition: what the broker remembers of a producer, and Kafka's own limit.
const WINDOW: usize = 5;
/// Requests in flight.
const DEPTH: usize = 24;
/// Sequence numbers wrap there in Kafka; no storm gets so far.
const SEQUENCE_MAX: u64 = 1 << 31;

/// A batch that is not acked.
struct Pending {
    first: u64,
    count: u64,
    bytes: Vec<u8>,
    invoked: Tick,
    in_flight: bool,
}

/// What goes to one partition.
struct Lane {
    partition: i32,
    next: u64,
    pending: VecDeque<Pending>,
    /// Refused in this life of the node: its log dir is offline, or the topic is not there yet.
    suspended: bool,
}

pub(super) struct Retrying {
    number: u32,
    id: Option<(i64, i16)>,
    lanes: Vec<Lane>,
    /// The lane that is served next.
    turn: usize,
    /// Partitions of each request in flight.
    flights: VecDeque<Vec<usize>>,
    batch_records_max: u64,
    extra_max: u64,
    width: usize,
    rng: Rng,
}

impl Retrying {
    pub(super) fn new(number: u32, cast: &Cast, seed: u64) -> Retrying {
        let lane = |partition| Lane { partition, next: 0, pending: VecDeque::new(), suspended: false };
        Retrying {
            number,
            id: None,
            lanes: (0..cast.partitions).map(lane).collect(),
            turn: 0,
            flights: VecDeque::new(),
            batch_records_max: cast.batch_records_max,
            extra_max: cast.extra_max,
            width: cast.width,
            rng: Rng::new(seed ^ u64::from(number) << 40),
        }
    }

    fn register(&mut self, connection: &mut Connection) -> Result<(i64, i16), Fault> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        let (error, id, epoch) = messages::producer_id(&connection.call(&messages::init_producer_id())?)?;
        ensure(error == 0, || format!("InitProducerId: {error}"))?;
        self.id = Some((id, epoch));
        Ok((id, epoch))
    }

    /// The next request, if there is anything to send.
    fn next_request(&mut self, (id, epoch): (i64, i16), world: &World) -> Option<Request> {
        let may_begin = !world.is_draining() && world.gate.is_open();
        let (mut batches, mut flight) = (Vec::new(), Vec::new());
        for step in 0..self.lanes.len() {
            let at = (self.turn + step) % self.lanes.len();
            let lane = &mut self.lanes[at];
            if flight.len() == self.width {
                break;
            }
            if lane.suspended {
                continue;
            }
            let unsent = lane.pending.iter().position(|pending| !pending.in_flight);
            if unsent.is_none() && (!may_begin || lane.pending.len() >= WINDOW || lane.next >= SEQUENCE_MAX) {
                continue;
            }
            let unsent = unsent.unwrap_or_else(|| {
                let count = 1 + self.rng.below(self.batch_records_max);
                let first = Value { producer: self.number, counter: lane.next };
                let producer = Producer { id, epoch, sequence: i32::try_from(lane.next).unwrap_or(i32::MAX) };
                let bytes = build(first, count, lane.partition, self.extra_max, producer);
                lane.pending.push_back(Pending {
                    first: lane.next,
                    count,
                    bytes,
                    invoked: world.tick(),
                    in_flight: false,
                });
                lane.next += count;
                lane.pending.len() - 1
            });
            let pending = &mut lane.pending[unsent];
            pending.in_flight = true;
            batches.push((lane.partition, pending.bytes.clone()));
            flight.push(at);
        }
        self.turn = (self.turn + self.width) % self.lanes.len();
        if flight.is_empty() {
            return None;
        }
        self.flights.push_back(flight);
        Some(messages::produce(TOPIC, -1, &batches))
    }

    fn answered(&mut self, body: &[u8], world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        let flight = self.flights.pop_front().unwrap_or_default();
        let completed = world.tick();
        let answers = messages::produced(body)?;
        ensure(answers.len() == flight.len(), || format!("{} answers for {} batches", answers.len(), flight.len()))?;
        let mut failed = None;
        for (partition, (error, base)) in answers {
            let at = flight.iter().copied().find(|at| self.lanes[*at].partition == partition);
            let Some(at) = at else { return fail(format!("an answer for partition {partition}")) };
            let lane = &mut self.lanes[at];
            if error == 0 && !lane.suspended {
                let Some(done) = lane.pending.pop_front() else { return fail("an answer without a batch") };
                let span = Span { invoked: done.invoked, completed };
                let first = Value { producer: self.number, counter: done.first };
                let outcome = Outcome::Acked { base };
                events.push(Event::Sent { span, partition, first, count: done.count, acks: Acks::All, outcome });
                world.gate.acked(done.count);
            } else if lane.suspended {
                // What follows a batch that was refused is refused too, and is sent again with it.
            } else if error == STORAGE_ERROR {
                lane.suspended = true;
            } else if TRANSIENT.contains(&error) {
                failed = Some(error);
                lane.suspended = true;
            } else {
                let span = Span { invoked: completed, completed };
                let first = lane.pending.front().map_or(0, |pending| pending.first);
                let what = format!("Produce of {}#{first}: error {error}", self.number);
                events.push(Event::Refused { span, partition, what });
                lane.suspended = true;
            }
        }
        failed.map_or(Ok(()), |error| fail(format!("Produce: {error}")))
    }
}

impl Client for Retrying {
    fn work(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault> {
        let id = self.register(connection)?;
        loop {
            while self.flights.len() < DEPTH
                && let Some(request) = self.next_request(id, world)
            {
                connection.send(&request)?;
            }
            if self.flights.is_empty() {
                return Ok(());
            }
            let body = world.answer(connection)?;
            self.answered(&body, world, events)?;
        }
    }

    fn settle(&mut self, _world: &World, events: &mut Vec<Event>) {
        self.flights.clear();
        for lane in &mut self.lanes {
            lane.suspended = false;
            for pending in &mut lane.pending {
                pending.in_flight = false;
                events.push(Event::Sent {
                    span: Span { invoked: pending.invoked, completed: Tick::MAX },
                    partition: lane.partition,
                    first: Value { producer: self.number, counter: pending.first },
                    count: pending.count,
                    acks: Acks::All,
                    outcome: Outcome::Unknown,
                });
            }
        }
    }

    fn is_done(&self) -> bool {
        self.lanes.iter().all(|lane| lane.pending.is_empty())
    }
}
