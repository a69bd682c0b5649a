//! One connection: one task that reads, cuts frames, asks the service, keeps replies in order and sends them.
//!
//! Each turn handles every complete frame that has arrived, then sends every reply that is ready with as few system calls as
//! possible. It stops reading when too many replies wait, or too many bytes of them, also where one that is not ready holds up those
//! behind it: so a peer that does not read cannot make it hold more (S12). And it lets others run when what it was asked takes long.

pub(crate) mod input;
mod output;

use crate::log_limit::{LogLimit, safe};
use crate::options::ListenerOptions;
use crate::pool::BufferPool;
use crate::reply_memory::Unsent;
use crate::request_memory::Share;
use crate::service::{ClientSoftware, ConnContext, Outgoing, Peer, Pending, Reply, Service};
use crate::shutdown::Shutdown;
use input::{HELD_GRACE, Input, Received};
use output::{Output, Sent};
use std::collections::VecDeque;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant, Sleep};

/// A connection with more to do lets others run after this many rounds.
const ROUNDS_PER_TURN: usize = 8;
/// And after its frames have taken this long: most take microseconds, but one may make the node look through gigabytes (S16).
const FRAMES_PER_TURN_MAX: Duration = Duration::from_millis(1);

/// How long a connection that the node ends waits for the peer to read its last replies and close.
const LINGER_MAX: Duration = Duration::from_millis(500);
/// Bytes thrown away at a time while waiting for that.
const DISCARD: usize = 16 * 1024;

/// What a connection shares with others.
pub(crate) struct Wiring<S> {
    pub(crate) service: Rc<S>,
    pub(crate) pool: Rc<BufferPool>,
    pub(crate) options: Arc<ListenerOptions>,
    pub(crate) log: Arc<LogLimit>,
    pub(crate) shutdown: Shutdown,
}

/// Why a connection ends.
enum End {
    /// The peer, the network or our own shutdown: nothing to tell.
    Quiet,
    /// Something that an operator may want to know.
    Because(String),
}

/// The place of a reply in the order of requests.
enum Slot {
    Ready(Outgoing),
    Waiting(Pending),
    Close(String),
}

/// How long the frames of one turn have taken. The clock is looked at before the second and each later frame, so who has one in flight pays
/// nothing.
#[derive(Default)]
struct Pace {
    frames: usize,
    since: Option<Instant>,
    is_over: bool,
}

impl Pace {
    /// Before a frame: whether it may be handled in this turn.
    fn admits_frame(&mut self) -> bool {
        if self.frames > 0 && !self.is_over {
            let now = Instant::now();
            self.is_over = now - *self.since.get_or_insert(now) > FRAMES_PER_TURN_MAX;
        }
        !self.is_over
    }
}

struct Connection<S: Service> {
    stream: TcpStream,
    cx: ConnContext<S::Session>,
    wiring: Wiring<S>,
    input: Input<Rc<BufferPool>>,
    replies: VecDeque<Slot>,
    /// Wire bytes of those of them that are ready.
    ready_bytes: usize,
    /// Bytes that these hold in memory.
    ready_held: usize,
    output: Output,
    unsent: Unsent,
    pace: Pace,
    last_active: Instant,
    /// No more frames are taken: the peer, the service or the node is about to end it.
    closing: bool,
}

/// Runs a connection to its end.
pub(crate) async fn run<S: Service>(stream: TcpStream, peer: Peer, wiring: Wiring<S>) {
    let session = wiring.service.connected(&peer);
    let input = Input::new(
        Rc::clone(&wiring.pool),
        Share::of(&wiring.options.request_memory),
        wiring.options.request_bytes_max,
    );
    let mut shutdown = wiring.shutdown.clone();
    let unsent = Unsent::of(&wiring.options.reply_memory);
    let mut connection = Connection {
        stream,
        cx: ConnContext { peer, client: ClientSoftware::default(), session },
        wiring,
        input,
        replies: VecDeque::new(),
        ready_bytes: 0,
        ready_held: 0,
        output: Output::default(),
        unsent,
        pace: Pace::default(),
        last_active: Instant::now(),
        closing: false,
    };
    let mut ending = pin!(shutdown.begun());
    let mut ending_seen = false;
    let mut idle = pin!(tokio::time::sleep(connection.wiring.options.idle_max.unwrap_or(Duration::ZERO)));
    let end = std::future::poll_fn(|cx| {
        if !ending_seen && ending.as_mut().poll(cx).is_ready() {
            ending_seen = true;
            connection.closing = true;
        }
        let turned = connection.turn(cx);
        connection.unsent.set(connection.output.held() + connection.ready_held);
        match turned {
            Poll::Ready(end) => Poll::Ready(end),
            Poll::Pending => connection.poll_idle(cx, idle.as_mut()),
        }
    })
    .await;
    if let End::Because(reason) = end {
        connection.tell(&reason);
    }
    if ending_seen {
        // In a box of its own: its buffer would else be part of what every connection is made of (S13).
        Box::pin(linger(&connection.stream)).await;
    }
}

/// Has the task polled again when everybody else was and the sockets were asked what is new. A task that only wakes itself may be polled
/// some sixty times before that, and who has just sent something waits as long.
fn after_the_sockets(cx: &mut Context<'_>) {
    // The first poll gives the waker to the runtime, which is all that is wanted of it.
    let _pending = pin!(tokio::task::yield_now()).poll(cx);
}

/// Ends the sending side and reads what the peer still sends until it closes too. Closing with unread requests would make the kernel
/// reset the connection, and a reset takes back replies that the peer has not read: it would send again what was confirmed.
async fn linger(stream: &TcpStream) {
    let socket = socket2::SockRef::from(stream);
    if socket.shutdown(std::net::Shutdown::Write).is_err() {
        return;
    }
    let drained = async {
        let mut discarded = [0; DISCARD];
        while stream.readable().await.is_ok() {
            match stream.try_read(&mut discarded) {
                Ok(0) => break,
                Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {}
            }
        }
    };
    // A peer that goes on sending has had its time.
    let _in_time = tokio::time::timeout(LINGER_MAX, drained).await;
}

impl<S: Service> Connection<S> {
    /// Works until everything waits or others should have their turn.
    fn turn(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.pace = Pace::default();
        for _ in 0..ROUNDS_PER_TURN {
            let (mut progress, mut give_way) = (false, false);
            match self.receive(cx) {
                Ok(moved) => progress |= moved,
                Err(end) => return Poll::Ready(end),
            }
            progress |= self.settle(cx);
            match self.output.send(&self.stream, &*self.wiring.service, cx) {
                Ok(Sent::Nothing) => {}
                Ok(Sent::Some { bytes, slice }) => {
                    self.wiring.options.observer.bytes_out(bytes);
                    self.last_active = Instant::now();
                    (progress, give_way) = (true, slice);
                }
                Err(reason) => return Poll::Ready(reason.map_or(End::Quiet, End::Because)),
            }
            if self.output.is_empty() {
                match self.replies.front() {
                    Some(Slot::Close(_)) => return Poll::Ready(self.take_close_reason()),
                    None if self.closing => return Poll::Ready(End::Quiet),
                    _ => {}
                }
            }
            if self.pace.is_over {
                after_the_sockets(cx);
                return Poll::Pending;
            }
            if give_way {
                break;
            }
            if !progress {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take_close_reason(&mut self) -> End {
        match self.replies.pop_front() {
            Some(Slot::Close(reason)) => End::Because(reason),
            _ => End::Quiet,
        }
    }

    fn may_take_frames(&self) -> bool {
        let unsent = self.output.wire_len() + self.ready_bytes;
        !self.closing
            && self.replies.len() < self.wiring.options.pipeline_max
            && unsent < self.wiring.options.reply_bytes_max
            // One answer is everybody's, whatever others hold.
            && (unsent == 0 || !self.unsent.is_used_up())
    }

    /// Handles the frames that are there, and reads once when there are none; says whether anything moved.
    fn receive(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = self.handle_frames(cx)?;
        if self.pace.is_over || !self.may_take_frames() {
            self.input.release();
            return Ok(moved);
        }
        let starved_before = self.input.is_starved();
        match self.input.receive(&mut self.stream, cx) {
            Ok(Received::Nothing) => {}
            Ok(Received::Starved) if starved_before => {}
            Ok(Received::Starved) => self.wiring.options.observer.request_waits(),
            Ok(Received::Bytes(bytes)) => {
                self.wiring.options.observer.bytes_in(bytes);
                self.last_active = Instant::now();
                self.handle_frames(cx)?;
                moved = true;
            }
            Ok(Received::End) => {
                // The peer is gone: send what is ready, drop what is not.
                self.closing = true;
                self.settle(cx);
                self.replies.clear();
                (self.ready_bytes, self.ready_held) = (0, 0);
                moved = true;
            }
            Err(_) => return Err(End::Quiet),
        }
        Ok(moved)
    }

    fn handle_frames(&mut self, cx: &mut Context<'_>) -> Result<bool, End> {
        let mut moved = false;
        while self.may_take_frames() && (self.input.is_drained() || self.pace.admits_frame()) {
            let frame = match self.input.next_frame() {
                Ok(Some(frame)) => frame,
                Ok(None) => break,
                Err(reason) => {
                    self.enqueue(Slot::Close(reason));
                    return Ok(true);
                }
            };
            moved = true;
            self.pace.frames += 1;
            let reply = self.wiring.service.call(&mut self.cx, self.input.bytes(frame));
            match reply {
                Reply::Now(outgoing) => self.enqueue(Slot::Ready(outgoing)),
                Reply::Later(mut pending) => match pending.as_mut().poll(cx) {
                    Poll::Ready(Some(outgoing)) => self.enqueue(Slot::Ready(outgoing)),
                    Poll::Ready(None) => self.enqueue(Slot::Close("a reply was given up".to_owned())),
                    Poll::Pending => self.enqueue(Slot::Waiting(pending)),
                },
                Reply::Nothing => {}
                Reply::Close(reason) => self.enqueue(Slot::Close(reason)),
            }
        }
        self.input.rest();
        Ok(moved)
    }

    fn enqueue(&mut self, slot: Slot) {
        if matches!(slot, Slot::Close(_)) {
            self.closing = true;
        }
        match slot {
            // With nothing before it a ready reply goes straight out, and counts against the bytes at once.
            Slot::Ready(outgoing) if self.replies.is_empty() => self.output.push(outgoing, &*self.wiring.service),
            Slot::Ready(outgoing) => {
                self.ready_bytes += outgoing.wire_len();
                self.ready_held += outgoing.bytes.len();
                self.replies.push_back(Slot::Ready(outgoing));
            }
            slot => self.replies.push_back(slot),
        }
    }

    /// Moves the replies that are ready, in order, to the output; says whether one moved.
    fn settle(&mut self, cx: &mut Context<'_>) -> bool {
        let mut moved = false;
        while let Some(slot) = self.replies.front_mut() {
            let outgoing = match slot {
                Slot::Close(_) => break,
                Slot::Ready(outgoing) => {
                    self.ready_bytes -= outgoing.wire_len();
                    self.ready_held -= outgoing.bytes.len();
                    std::mem::take(outgoing)
                }
                Slot::Waiting(pending) => match pending.as_mut().poll(cx) {
                    Poll::Pending => break,
                    Poll::Ready(Some(outgoing)) => outgoing,
                    Poll::Ready(None) => {
                        *slot = Slot::Close("a reply was given up".to_owned());
                        self.closing = true;
                        break;
                    }
                },
            };
            self.replies.pop_front();
            self.output.push(outgoing, &*self.wiring.service);
            moved = true;
        }
        moved
    }

    /// Ends a connection on which nothing has moved for too long, and one that holds memory that others wait for and is slow. A reply
    /// that the service still works on keeps it open.
    fn poll_idle(&mut self, cx: &mut Context<'_>, mut idle: std::pin::Pin<&mut Sleep>) -> Poll<End> {
        let idle_max = self.wiring.options.idle_max;
        let held = self.held_until();
        if held.is_some_and(|held| idle_max.is_none() || held < idle.deadline()) {
            idle.as_mut().reset(held.unwrap_or_else(Instant::now));
        } else if idle_max.is_none() {
            return Poll::Pending;
        }
        while idle.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let Some(reason) = self.is_too_slow(now) {
                self.wiring.options.observer.slow_request_closed();
                return Poll::Ready(End::Because(reason.to_owned()));
            }
            // Others may come to wait later: it is looked at again.
            let held = self.held_until().map(|held| held.max(now + HELD_GRACE));
            let deadline = idle_max.map(|idle_max| self.idle_deadline(now, idle_max));
            if deadline.is_some_and(|deadline| deadline <= now) {
                tracing::debug!(connection = self.cx.peer.id, "closed for inactivity");
                return Poll::Ready(End::Quiet);
            }
            let Some(next) = held.into_iter().chain(deadline).min() else { return Poll::Pending };
            idle.as_mut().reset(next);
        }
        Poll::Pending
    }

    /// Until when it may hold what it holds while others want it.
    fn held_until(&self) -> Option<Instant> {
        self.input.held_until().into_iter().chain(self.unread_until()).min()
    }

    /// Until when its peer must have taken something of the answers that it can take: those behind one that is not ready are not its fault.
    fn unread_until(&self) -> Option<Instant> {
        (self.output.held() > 0).then(|| self.last_active + HELD_GRACE)
    }

    /// Why it must not hold any longer what others want.
    fn is_too_slow(&self, now: Instant) -> Option<&'static str> {
        let is_over = |until: Option<Instant>| until.is_some_and(|until| until <= now);
        if is_over(self.input.held_until()) && self.input.others_wait() {
            return Some("a request came too slowly while others waited for its memory (queued.max.request.bytes)");
        }
        let reason = "its answers were not read while those of all took as much memory as requests may (queued.max.request.bytes)";
        (is_over(self.unread_until()) && self.unsent.is_used_up()).then_some(reason)
    }

    fn idle_deadline(&self, now: Instant, idle_max: Duration) -> Instant {
        let waiting = !self.replies.is_empty() && self.output.is_empty();
        let deadline = if waiting { now + idle_max } else { self.last_active + idle_max };
        self.input.frame_deadline(idle_max).map_or(deadline, |slow| slow.min(deadline))
    }

    fn tell(&self, reason: &str) {
        if let Some(suppressed) = self.wiring.log.admit(Instant::now()) {
            let peer = &self.cx.peer;
            tracing::warn!(listener = %peer.listener, remote = %peer.remote, suppressed, "closed a connection: {}", safe(reason));
        }
    }
}
