//! The clients: each is a machine that acts when the scheduler lets it, takes replies as they come, and bears that its connection breaks.

mod admin;
mod consumer;
mod member;
mod producer;

pub(crate) use admin::Admin;
pub(crate) use consumer::{Consumer, plain_fetch, read};
pub(crate) use member::{Committer, Member, fetch_offsets};
pub(crate) use producer::Producer;

use crate::model::Model;
use base::{Monotonic, SeededRng, Timestamp};
use protocol::frame;
use protocol::wire::{Decode, Encode, Reader, Request};
use std::collections::VecDeque;

/// A topic that is there from the beginning to the end, so that APIs that name topics can be used.
pub(crate) const STATIC_TOPICS: [&str; 2] = ["alpha", "beta"];

/// How long a client waits for a reply before it gives its connection up.
const PATIENCE_MS: i64 = 60_000;

/// What a client may use while it acts.
pub(crate) struct Cx<'a> {
    pub(crate) now: Monotonic,
    pub(crate) wall: Timestamp,
    pub(crate) step: u64,
    pub(crate) model: &'a mut Model,
    /// Frames to send.
    pub(crate) outbox: &'a mut Vec<Vec<u8>>,
    /// The client gives its connection up.
    pub(crate) disconnect: bool,
    /// The run is coming to its end: nothing new is begun.
    pub(crate) is_ending: bool,
    /// The disk has done something wrong in this run, so a reply may be long in coming.
    pub(crate) is_troubled: bool,
    /// The product leaves its high watermark out of acks=all (negative control).
    pub(crate) acks_early: bool,
}

/// A client.
pub(crate) trait Client {
    /// May send requests.
    fn act(&mut self, cx: &mut Cx<'_>);
    /// The next reply, without its size.
    fn answered(&mut self, cx: &mut Cx<'_>, frame: &[u8]);
    /// The connection is gone, and with it every reply that was to come.
    fn disconnected(&mut self, cx: &mut Cx<'_>);
    /// What it still waits for, if anything; asked at the end.
    fn waits_for(&self) -> Option<String>;
    /// Whether a frame of it that arrives late, after its connection broke, does no harm to what the model knows.
    fn may_be_late(&self) -> bool {
        true
    }
}

/// Requests that wait for their replies, in order.
struct Wire<T> {
    name: String,
    correlation: i32,
    waiting: VecDeque<(i32, i16, Monotonic, T)>,
}

impl<T> Wire<T> {
    fn new(name: String) -> Self {
        Self { name, correlation: 0, waiting: VecDeque::new() }
    }

    /// Sends a request; `what` comes back with its reply.
    fn send<R: Request + Encode>(&mut self, cx: &mut Cx<'_>, version: i16, request: &R, what: T) {
        self.send_only(cx, version, request);
        self.waiting.push_back((self.correlation, version, cx.now, what));
    }

    /// Sends a request that has no reply.
    fn send_only<R: Request + Encode>(&mut self, cx: &mut Cx<'_>, version: i16, request: &R) {
        self.correlation += 1;
        let frame = frame::encode_request(R::KEY, version, self.correlation, Some(&self.name), request);
        cx.outbox.push(frame.expect("the simulator's requests fit their versions"));
    }

    fn next(&mut self) -> Option<(i16, T)> {
        self.waiting.pop_front().map(|(_, version, _, what)| (version, what))
    }

    fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Everything that was waited for.
    fn drain(&mut self) -> Vec<T> {
        self.waiting.drain(..).map(|(.., what)| what).collect()
    }

    /// Gives the connection up when the oldest request has waited too long, which nothing but a failed disk explains.
    fn check_patience(&self, cx: &mut Cx<'_>) {
        if let Some((correlation, _, since, _)) = self.waiting.front()
            && cx.now > since.plus_millis(PATIENCE_MS)
        {
            cx.disconnect = true;
            if !cx.is_troubled && !cx.model.is_damaged {
                cx.model.breach(format!("{} waits for reply {correlation} for a minute", self.name));
            }
        }
    }
}

/// Reads a reply.
fn decode<'a, R: Request>(frame: &'a [u8], version: i16) -> Result<R::Response<'a>, String> {
    let mut reader = Reader::new(frame);
    frame::decode_response_header(&mut reader, R::KEY, version).map_err(|error| error.to_string())?;
    R::Response::decode(&mut reader, version).map_err(|error| format!("a reply to {}: {error}", R::KEY.name()))
}

/// One of some.
fn pick<'a, T>(rng: &mut SeededRng, from: &'a [T]) -> Option<&'a T> {
    if from.is_empty() { None } else { from.get(rng.below(from.len() as u64) as usize) }
}
