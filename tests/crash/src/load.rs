//! Clients that go on through every crash: producers of each kind, consumers, committers of groups, and one that makes topics.
//!
//! Each runs on a thread of its own and waits at a gate while the node is down. They write down what they did; they judge nothing.

mod committer;
mod gate;
mod log;
mod plain;
mod reader;
mod retrying;
mod topics;

use crate::history::{Event, Span, Tick};
use crate::wire::connection::Connection;
use crate::wire::messages;
use conformance::fault::{During, Fault, ensure, fail};
use gate::Gate;
pub use log::{At, read_log};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// The topic that is written to.
pub const TOPIC: &str = "storm";
/// Topics that are made and deleted begin so.
pub const EXTRA: &str = "extra-";
/// Error codes upon which a client waits and tries again: nothing was wrong with what it asked.
const TRANSIENT: &[i16] = &[5, 6, 7, 13, 14, 15, 16, 19, 20, 78];
/// KAFKA_STORAGE_ERROR.
pub const STORAGE_ERROR: i16 = 56;
/// How long all clients may take to come to rest.
const REST_DEADLINE: Duration = Duration::from_secs(120);

/// Who takes part, and how.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// Partitions of the topic.
    pub partitions: i32,
    /// Idempotent producers with acks=all that repeat what was not answered.
    pub idempotent: u32,
    /// Producers with acks=1, then as many with acks=0.
    pub plain: u32,
    /// Consumers.
    pub readers: u32,
    /// Groups with a committer each.
    pub groups: u32,
    /// Whether topics are made and deleted.
    pub topics: bool,
    /// Records of a batch, at most.
    pub batch_records_max: u64,
    /// Bytes of a value beyond its name, at most.
    pub extra_max: u64,
    /// Partitions in one request.
    pub width: usize,
}

impl Default for Cast {
    fn default() -> Cast {
        Cast {
            partitions: 4,
            idempotent: 3,
            plain: 1,
            readers: 2,
            groups: 2,
            topics: true,
            batch_records_max: 8,
            extra_max: 300,
            width: 2,
        }
    }
}

/// What all clients share.
pub struct World {
    cast: Cast,
    gate: Gate,
    ticks: AtomicU64,
    events: Mutex<Vec<Event>>,
    /// Only repeats what is not answered yet.
    draining: AtomicBool,
    /// The power is being cut: nobody hears an answer any more.
    cutting: AtomicBool,
}

impl World {
    /// The next place in the order of everything.
    pub fn tick(&self) -> Tick {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }

    /// The next answer, unless the power has begun to go: a client that believed a node without a disk would go on from what is not there,
    /// such as the next sequence number.
    fn answer(&self, connection: &mut Connection) -> Result<Vec<u8>, Fault> {
        let body = connection.receive()?;
        if self.cutting.load(Ordering::SeqCst) { fail("the power is being cut") } else { Ok(body) }
    }

    /// Calls and times the call.
    fn timed(
        &self,
        connection: &mut Connection,
        request: &crate::wire::connection::Request,
    ) -> Result<(Span, Vec<u8>), Fault> {
        let invoked = self.tick();
        connection.send(request)?;
        let body = self.answer(connection)?;
        Ok((Span { invoked, completed: self.tick() }, body))
    }

    fn record(&self, events: &mut Vec<Event>) {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).append(events);
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }
}

/// One client.
trait Client: Send {
    /// Works until the gate closes or the connection breaks. Ok is the former.
    fn work(&mut self, connection: &mut Connection, world: &World, events: &mut Vec<Event>) -> Result<(), Fault>;
    /// Writes down what has no answer and will get none on this connection.
    fn settle(&mut self, world: &World, events: &mut Vec<Event>);
    /// Whether everything that it wants to see confirmed is.
    fn is_done(&self) -> bool;
}

/// The clients, and what they have done.
pub struct Load {
    /// What they share.
    pub world: Arc<World>,
    threads: Vec<JoinHandle<()>>,
    history: Vec<Event>,
}

impl Load {
    /// Starts the clients; they wait until [`Load::open`].
    pub fn start(cast: Cast, seed: u64) -> Result<Load, Fault> {
        let mut clients: Vec<Box<dyn Client>> = Vec::new();
        let mut number = 0;
        let mut next = || {
            number += 1;
            number - 1
        };
        for _ in 0..cast.idempotent {
            clients.push(Box::new(retrying::Retrying::new(next(), &cast, seed)));
        }
        for acks in [1, 0] {
            for _ in 0..cast.plain {
                clients.push(Box::new(plain::Plain::new(next(), acks, &cast, seed)));
            }
        }
        for _ in 0..cast.readers {
            clients.push(Box::new(reader::Reader::new(&cast)));
        }
        for group in 0..cast.groups {
            clients.push(Box::new(committer::Committer::new(group, &cast)));
        }
        if cast.topics {
            clients.push(Box::new(topics::Topics::default()));
        }
        let world = Arc::new(World {
            cast,
            gate: Gate::new(clients.len()),
            ticks: AtomicU64::new(1),
            events: Mutex::new(Vec::new()),
            draining: AtomicBool::new(false),
            cutting: AtomicBool::new(false),
        });
        let mut threads = Vec::new();
        for (number, client) in clients.into_iter().enumerate() {
            let world = Arc::clone(&world);
            let thread = std::thread::Builder::new().name("client".to_owned());
            threads.push(thread.spawn(move || live(number, client, &world)).during("starting a client")?);
        }
        Ok(Load { world, threads, history: Vec::new() })
    }

    /// Makes the topic; the node must be new.
    pub fn create_topic(&self, address: &str, configs: &[(&str, &str)]) -> Result<(), Fault> {
        let request = messages::create_topic(TOPIC, self.world.cast.partitions, configs);
        let done = messages::topics_done(&Connection::open(address)?.call(&request)?, true)?;
        ensure(done.iter().all(|(_, error)| *error == 0), || format!("CreateTopics: {done:?}"))
    }

    /// Lets the clients at the node.
    pub fn open(&self, address: &str) {
        self.world.gate.open(address);
    }

    /// The power is about to be cut: no answer is heard from here until [`Load::hear`].
    pub fn deafen(&self) {
        self.world.cutting.store(true, Ordering::SeqCst);
    }

    /// Whoever answers now has its disk.
    pub fn hear(&self) {
        self.world.cutting.store(false, Ordering::SeqCst);
    }

    /// Waits until this many more records have been acked, or the gate's clients are all idle.
    pub fn await_acks(&self, more: u64, deadline: Duration) -> Result<(), Fault> {
        let acked = self.world.gate.await_acks(more, deadline);
        ensure(acked, || format!("{more} more records were not acked within {deadline:?}"))
    }

    /// Closes the gate and waits until every client is at rest; the node must answer or be gone.
    pub fn close(&mut self) -> Result<(), Fault> {
        let rested = self.world.gate.close(REST_DEADLINE);
        self.collect();
        if rested { Ok(()) } else { fail("a client still waits for an answer") }
    }

    /// Waits until every batch that an idempotent producer has begun is acked, then closes the gate.
    pub fn drain(&mut self) -> Result<(), Fault> {
        self.world.draining.store(true, Ordering::SeqCst);
        let drained = self.world.gate.await_idle(REST_DEADLINE);
        self.close()?;
        self.world.draining.store(false, Ordering::SeqCst);
        if drained { Ok(()) } else { fail("an idempotent producer does not get its batches acked") }
    }

    /// Adds what the rig itself saw or did.
    pub fn note(&mut self, event: Event) {
        self.history.push(event);
    }

    /// Everything so far.
    pub fn history(&self) -> &[Event] {
        &self.history
    }

    /// Who takes part.
    pub fn cast(&self) -> &Cast {
        &self.world.cast
    }

    fn collect(&mut self) {
        let mut events = self.world.events.lock().unwrap_or_else(PoisonError::into_inner);
        self.history.append(&mut events);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.world.gate.end();
        for thread in self.threads.drain(..) {
            // A client that panicked has said so on stderr, and its scenario fails for what it did not ack.
            drop(thread.join());
        }
    }
}

/// A client's life: connect, work, write down, wait.
fn live(number: usize, mut client: Box<dyn Client>, world: &World) {
    let mut last = 0;
    while let Some((generation, address)) = world.gate.enter(number, last) {
        let mut events = Vec::new();
        let mut reached = false;
        if let Ok(mut connection) = Connection::open(&address) {
            reached = true;
            let ended = client.work(&mut connection, world, &mut events);
            client.settle(world, &mut events);
            // A connection that breaks while the node is up is made again; the node may close one that had an error.
            last = if ended.is_ok() { generation } else { last };
        }
        world.record(&mut events);
        world.gate.leave(number, client.is_done());
        if !reached {
            // Nobody listens: this life of the node is over.
            last = generation;
        }
    }
}
