//! One connection between a client and the node: frames in order both ways, each delivered when the scheduler says so.
//!
//! The node's side is what `net`'s connection does with a socket: every frame goes to the service before earlier replies are ready, a
//! reply that comes later is polled at once and then when it is woken and first in line, and files are read as they are sent.

use crate::trace::Trace;
use net::{FilePiece, Outgoing, Reply, Warming};
use server::{SteppedConnection, SteppedNode};
use std::collections::VecDeque;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

type Pending = Pin<Box<dyn Future<Output = Option<Outgoing>>>>;

/// Says that a future wants to be polled. A reply that nobody wakes is never polled again, as in the real node.
#[derive(Debug, Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The place of a reply in the order of requests.
enum Slot {
    Waiting(Pending),
    Sending(Sending),
    Close,
}

/// A reply on its way out; its files are read piece by piece.
struct Sending {
    bytes: Vec<u8>,
    /// What was taken of `bytes`.
    taken: usize,
    files: VecDeque<FilePiece>,
    out: Vec<u8>,
    warming: Option<Warming>,
}

impl Sending {
    fn new(outgoing: Outgoing) -> Sending {
        Sending { bytes: outgoing.bytes, taken: 0, files: outgoing.files.into(), out: Vec::new(), warming: None }
    }
}

/// A connection.
pub(crate) struct Link {
    connection: SteppedConnection,
    woken: Arc<Flag>,
    waker: Waker,
    /// Frames that are on their way to the node.
    inbound: VecDeque<Vec<u8>>,
    slots: VecDeque<Slot>,
    /// Replies that are on their way to the client.
    outbound: VecDeque<Vec<u8>>,
    /// The node has closed it.
    closed: bool,
}

impl Link {
    pub(crate) fn new(node: &mut SteppedNode, client: usize) -> Link {
        let port = 10_000 + u16::try_from(client).unwrap_or(0);
        let woken = Arc::new(Flag::default());
        Link {
            connection: node.connect(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)),
            waker: Waker::from(Arc::clone(&woken)),
            woken,
            inbound: VecDeque::new(),
            slots: VecDeque::new(),
            outbound: VecDeque::new(),
            closed: false,
        }
    }

    /// The client sends a frame, its size first.
    pub(crate) fn send(&mut self, frame: Vec<u8>) {
        self.inbound.push_back(frame);
    }

    pub(crate) fn has_frame(&self) -> bool {
        !self.inbound.is_empty() && !self.closed
    }

    /// Whether a reply may have got further.
    pub(crate) fn can_settle(&self) -> bool {
        match self.slots.front() {
            None => false,
            Some(Slot::Waiting(_)) => self.woken.0.load(Ordering::Relaxed),
            Some(Slot::Sending(sending)) => sending.warming.is_none() || self.woken.0.load(Ordering::Relaxed),
            Some(Slot::Close) => true,
        }
    }

    pub(crate) fn has_reply(&self) -> bool {
        !self.outbound.is_empty()
    }

    /// Nothing is on its way in either direction, and nothing waits.
    pub(crate) fn is_idle(&self) -> bool {
        self.inbound.is_empty() && self.slots.is_empty() && self.outbound.is_empty()
    }

    /// The node has closed it, and the client has read all that came before.
    pub(crate) fn is_over(&self) -> bool {
        self.closed && self.outbound.is_empty()
    }

    /// The next reply reaches the client: a frame without its size.
    pub(crate) fn receive(&mut self) -> Option<Vec<u8>> {
        self.outbound.pop_front().map(|frame| frame[4..].to_vec())
    }

    /// The next frame reaches the node.
    pub(crate) fn deliver(&mut self, trace: &mut Trace) {
        let Some(frame) = self.inbound.pop_front() else { return };
        trace.absorb(&frame);
        let mut cx = Context::from_waker(&self.waker);
        let slot = match self.connection.call(&frame[4..]) {
            Reply::Now(outgoing) => Slot::Sending(Sending::new(outgoing)),
            Reply::Later(mut pending) => match pending.as_mut().poll(&mut cx) {
                Poll::Ready(Some(outgoing)) => Slot::Sending(Sending::new(outgoing)),
                Poll::Ready(None) => Slot::Close,
                Poll::Pending => Slot::Waiting(pending),
            },
            Reply::Nothing => return,
            Reply::Close(_) => Slot::Close,
        };
        if matches!(slot, Slot::Close) {
            self.inbound.clear();
        }
        self.slots.push_back(slot);
    }

    /// The first reply in line gets as far as it can. One piece of a file at a time, so that other things happen in between.
    pub(crate) fn settle(&mut self, trace: &mut Trace) {
        self.woken.0.store(false, Ordering::Relaxed);
        let mut cx = Context::from_waker(&self.waker);
        let Some(slot) = self.slots.front_mut() else { return };
        match slot {
            Slot::Waiting(pending) => match pending.as_mut().poll(&mut cx) {
                Poll::Pending => {}
                Poll::Ready(Some(outgoing)) => *slot = Slot::Sending(Sending::new(outgoing)),
                Poll::Ready(None) => *slot = Slot::Close,
            },
            Slot::Sending(sending) => match progress(&self.connection, sending, &mut cx) {
                Progress::More => {}
                Progress::Failed => *slot = Slot::Close,
                Progress::Done => {
                    let frame = std::mem::take(&mut sending.out);
                    trace.absorb(&frame);
                    self.outbound.push_back(frame);
                    self.slots.pop_front();
                    // Who comes first now may have been woken before, and is polled again as the real connection does.
                    self.woken.0.store(true, Ordering::Relaxed);
                }
            },
            Slot::Close => {
                self.closed = true;
                self.slots.clear();
                self.inbound.clear();
            }
        }
    }
}

enum Progress {
    More,
    Done,
    Failed,
}

fn progress(connection: &SteppedConnection, sending: &mut Sending, cx: &mut Context<'_>) -> Progress {
    if let Some(warming) = &mut sending.warming {
        if warming.as_mut().poll(cx).is_pending() {
            return Progress::More;
        }
        sending.warming = None;
    } else if let Some(piece) = sending.files.front() {
        sending.warming = connection.before_send(&piece.file, piece.position, piece.len);
        if let Some(warming) = &mut sending.warming
            && warming.as_mut().poll(cx).is_pending()
        {
            return Progress::More;
        }
        sending.warming = None;
    }
    let Some(piece) = sending.files.pop_front() else {
        sending.out.extend_from_slice(&sending.bytes[sending.taken..]);
        return Progress::Done;
    };
    sending.out.extend_from_slice(&sending.bytes[sending.taken..piece.at]);
    sending.taken = piece.at;
    let mut bytes = vec![0; piece.len];
    let mut read = 0;
    while read < piece.len {
        match piece.file.read_at(piece.position + read as u64, &mut bytes[read..]) {
            // A file that ends early, and one that cannot be read: the frame's size is told already, so the connection ends.
            Ok(0) | Err(_) => return Progress::Failed,
            Ok(more) => read += more,
        }
    }
    sending.out.extend_from_slice(&bytes);
    Progress::More
}
