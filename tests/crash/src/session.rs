//! One client that is told each step: for scenarios that are a story and not a storm. It writes the same history.

use crate::history::{Acks, Event, Outcome, Span, Tick};
use crate::load::{At, Cast, Load, TOPIC, read_log};
use crate::node::Node;
use crate::wire::batch::{Producer, Value, build};
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::{Fault, ensure, fail};

/// Bytes of a value beyond its name, at most.
const EXTRA_MAX: u64 = 60;

/// An idempotent producer, number 0, and everything that it has seen.
pub struct Session {
    /// A load without clients: it keeps the history.
    pub load: Load,
    id: Option<(i64, i16)>,
    /// The next value of each partition.
    next: Vec<u64>,
}

/// A batch that was sent.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    partition: i32,
    first: u64,
    count: u64,
    invoked: Tick,
}

impl Session {
    /// A session with a topic of so many partitions, which the node must not have yet.
    pub fn begin(node: &Node, partitions: i32, configs: &[(&str, &str)]) -> Result<Session, Fault> {
        let nobody = Cast {
            partitions,
            idempotent: 0,
            plain: 0,
            readers: 0,
            groups: 0,
            topics: false,
            extra_max: EXTRA_MAX,
            ..Cast::default()
        };
        let load = Load::start(nobody, 0)?;
        load.create_topic(&node.address, configs)?;
        Ok(Session { load, id: None, next: vec![0; usize::try_from(partitions).unwrap_or(1)] })
    }

    /// Sends the next `count` records with acks=all and notes what comes back: an offset, or an error code.
    pub fn send(&mut self, connection: &mut Connection, partition: i32, count: u64) -> Result<(Sent, Answer), Fault> {
        let next = &mut self.next[usize::try_from(partition).unwrap_or(0)];
        let sent = Sent { partition, first: *next, count, invoked: self.load.world.tick() };
        *next += count;
        Ok((sent, self.send_again(connection, sent)?))
    }

    /// Sends a batch again, as a client does that has had no answer.
    pub fn send_again(&mut self, connection: &mut Connection, sent: Sent) -> Result<Answer, Fault> {
        let id = self.id(connection)?;
        let sequence = i32::try_from(sent.first).unwrap_or(i32::MAX);
        let first = Value { producer: 0, counter: sent.first };
        let producer = Producer { id: id.0, epoch: id.1, sequence };
        let batch = build(first, sent.count, sent.partition, EXTRA_MAX, producer);
        let event = |completed, outcome| Event::Sent {
            span: Span { invoked: sent.invoked, completed },
            partition: sent.partition,
            first,
            count: sent.count,
            acks: Acks::All,
            outcome,
        };
        self.load.note(event(Tick::MAX, Outcome::Unknown));
        let body = connection.call(&messages::produce(TOPIC, -1, &[(sent.partition, batch)]))?;
        let answered = messages::produced(&body)?;
        let Some((_, (error, base))) = answered.first().copied() else { return fail("an empty Produce response") };
        if error != 0 {
            return Ok(Answer::Refused(error));
        }
        self.load.note(event(self.load.world.tick(), Outcome::Acked { base }));
        Ok(Answer::Acked(base))
    }

    fn id(&mut self, connection: &mut Connection) -> Result<(i64, i16), Fault> {
        if let Some(id) = self.id {
            return Ok(id);
        }
        let (error, id, epoch) = messages::producer_id(&connection.call(&messages::init_producer_id())?)?;
        ensure(error == 0, || format!("InitProducerId: {error}"))?;
        Ok(*self.id.insert((id, epoch)))
    }

    /// Sends some batches that must be acked.
    pub fn fill(&mut self, node: &Node, partition: i32, batches: u64) -> Result<Option<Sent>, Fault> {
        let mut connection = Connection::open(&node.address)?;
        let mut last = None;
        for n in 0..batches {
            let (sent, answer) = self.send(&mut connection, partition, 1 + n % 4)?;
            ensure(matches!(answer, Answer::Acked(_)), || format!("batch {n}: {answer:?}"))?;
            last = Some(sent);
        }
        Ok(last)
    }

    /// Reads every log.
    pub fn look(&mut self, node: &Node) -> Result<(), Fault> {
        read_log(&mut self.load, &node.address, At::Start)
    }
}

/// What a Produce came back with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The offset of the first record.
    Acked(i64),
    /// Kafka's error code.
    Refused(i16),
}
