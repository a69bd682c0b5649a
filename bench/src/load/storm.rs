//! A storm of small requests: thousands of connections, one request in flight on each, driven by one event loop.

use super::counts::{Counts, Until};
use crate::connection::{Connection, number};
use crate::wire::{Reader, int32, requests};
use conformance::fault::{During, Fault, ensure, fail};
use conformance::process::now;
use conformance::wire;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Instant;

/// Taken from the kernel at once.
const EVENTS: usize = 1024;
/// No answer to the smallest request is larger.
const ANSWER_BYTES_MAX: usize = 4096;
/// A broker's queue of connections that it has not accepted is short; wait for it after so many.
const OPENED_AT_ONCE: usize = 32;
/// Half a minute without any answer is the end.
const SILENCE_SECONDS: i64 = 30;

/// Connections that are open.
pub struct Storm {
    epoll: OwnedFd,
    clients: Vec<Client>,
    request: Vec<u8>,
    /// What every answer must be after its correlation id.
    answer: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    sent: Instant,
    correlation_id: i32,
    answer: Vec<u8>,
}

impl Storm {
    /// Opens the connections and has each answered once.
    pub fn open(address: &str, connections: usize) -> Result<Storm, Fault> {
        let request = requests::metadata(&[]);
        let answer = Connection::open(address)?.ask(&mut request.clone())?.to_vec();
        check_metadata(&answer)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC).during("epoll")?;
        let mut storm = Storm { epoll, clients: Vec::new(), request, answer: answer[4..].to_vec() };
        for index in 0..connections {
            let mut stream = wire::connect(address).during(format!("connection {index}"))?;
            stream.set_nodelay(true).during("TCP_NODELAY")?;
            if index % OPENED_AT_ONCE == 0 {
                // Connections are accepted in their order, so an answer on this one is an answer about the ones before.
                let mut first = storm.request.clone();
                number(&mut first, 0);
                stream.write_all(&first).during("sending")?;
                wire::read_frame(&mut stream)?;
            }
            stream.set_nonblocking(true).during("a connection")?;
            epoll::add(&storm.epoll, &stream, EventData::new_u64(index as u64), EventFlags::IN).during("epoll")?;
            storm.clients.push(Client { stream, sent: now(), correlation_id: 0, answer: Vec::new() });
        }
        Ok(storm)
    }

    /// Each connection asks again as soon as it is answered, until it is over; then all answers are waited for.
    pub fn run(&mut self, until: &Until) -> Result<Counts, Fault> {
        let mut counts = Counts::default();
        for client in &mut self.clients {
            client.ask(&mut self.request)?;
        }
        let mut open = self.clients.len();
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS);
        let silence = rustix::fs::Timespec { tv_sec: SILENCE_SECONDS, tv_nsec: 0 };
        while open > 0 {
            events.clear();
            let ready = epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&silence));
            ensure(ready.during("epoll")? > 0, || format!("{open} requests are not answered"))?;
            for event in &events {
                let client = &mut self.clients[event.data.u64() as usize];
                if !client.receive(&self.answer)? {
                    continue;
                }
                let time = now();
                counts.add(0, time - client.sent);
                if until.is_over(time, 0) {
                    open -= 1;
                } else {
                    client.ask(&mut self.request)?;
                }
            }
        }
        Ok(counts)
    }
}

impl Client {
    fn ask(&mut self, request: &mut [u8]) -> Result<(), Fault> {
        self.correlation_id = self.correlation_id.wrapping_add(1);
        number(request, self.correlation_id);
        self.sent = now();
        self.answer.clear();
        // One small request in flight always fits into the socket's buffer.
        self.stream.write_all(request).during("sending")
    }

    /// Whether the answer is whole; a whole one must be the right one.
    fn receive(&mut self, wanted: &[u8]) -> Result<bool, Fault> {
        let mut bytes = [0; ANSWER_BYTES_MAX];
        match self.stream.read(&mut bytes) {
            Ok(0) => return fail("the broker closed a connection"),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            read => self.answer.extend_from_slice(&bytes[..read.during("receiving")?]),
        }
        if self.answer.len() < 8 + wanted.len() {
            return Ok(false);
        }
        ensure(int32(&self.answer, 4) == Some(self.correlation_id), || "an answer to another request".to_owned())?;
        ensure(&self.answer[8..] == wanted, || "an answer that differs from the first".to_owned())?;
        Ok(true)
    }
}

/// Metadata v4 of no topics: one broker, no topic.
fn check_metadata(reply: &[u8]) -> Result<(), Fault> {
    let mut reply = Reader::new(reply);
    reply.i32()?;
    reply.i32()?;
    let brokers = reply.count()?;
    ensure(brokers == 1, || format!("Metadata names {brokers} brokers"))?;
    reply.i32()?; // node
    reply.text()?; // host
    reply.i32()?; // port
    reply.text()?; // rack
    reply.text()?; // cluster id
    reply.i32()?; // controller
    let topics = reply.count()?;
    ensure(topics == 0, || format!("Metadata names {topics} topics, none was asked for"))
}
