//! The receiving half: a buffer that grows only with bytes received, and the frames in it.
//!
//! What the buffer has beyond [`BUFFER_BYTES`] is the connection's [`Share`] of the node's memory for requests.

use crate::pool::{BUFFER_BYTES, Pool};
use crate::request_memory::{Grant, Share};
use bytes::BufMut;
use std::future::Future;
use std::io;
use std::ops::Range;
use std::pin::pin;
use std::task::{Context, Poll};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::{Duration, Instant};

/// The size before every frame.
const SIZE_BYTES: usize = 4;
/// One read takes at most this much when the size of the next frame is not known. Bytes of several frames in one read save calls and,
/// more than that, wakes of the sender: it hears of all of them at once.
const READ_BYTES_MAX: usize = 256 * 1024;
/// A frame that takes longer than the idle limit must arrive at least this fast (S03).
const BYTES_PER_SECOND_MIN: u64 = 1024;
/// While others wait for memory, who holds some must send at least as fast, after the first moments.
const HELD_BYTES_PER_SECOND_MIN: u64 = 256 * 1024;
/// Those moments, and how long it may then send nothing.
pub(crate) const HELD_GRACE: Duration = Duration::from_secs(5);
/// A buffer this large is not kept for a few bytes that stand in it.
const SPARSE_BUFFER_BYTES: usize = 1024 * 1024;

/// What a read brought.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// Nothing is there; the task is woken when there is.
    Nothing,
    /// This many bytes.
    Bytes(usize),
    /// The peer has closed its side.
    End,
    /// Nothing is read until other connections have released memory; the task is woken then.
    Starved,
}

/// Bytes received and not handled yet: `buffer[start..]`.
pub(crate) struct Input<P> {
    pool: P,
    buffer: Vec<u8>,
    start: usize,
    frame_bytes_max: usize,
    /// Of the frame handled last, with its size: the next one is likely as long, and then one read brings it whole.
    last_frame_bytes: usize,
    /// What the next read takes beyond that, since the last ones filled their room.
    read_bytes: usize,
    /// Since when the first frame in the buffer has been incomplete.
    partial_since: Option<Instant>,
    share: Share,
    held: Held,
}

/// How a connection has used the memory that it holds.
#[derive(Clone, Copy, Debug)]
struct Held {
    since: Instant,
    received: u64,
    last_received: Instant,
    /// Since when it has waited for more: that time is not its own.
    starved_since: Option<Instant>,
}

impl Held {
    fn from(now: Instant) -> Held {
        Held { since: now, received: 0, last_received: now, starved_since: None }
    }
}

impl<P: Pool> Input<P> {
    pub(crate) fn new(pool: P, share: Share, frame_bytes_max: usize) -> Self {
        Self {
            pool,
            buffer: Vec::new(),
            start: 0,
            frame_bytes_max,
            last_frame_bytes: 0,
            read_bytes: BUFFER_BYTES,
            partial_since: None,
            share,
            held: Held::from(Instant::now()),
        }
    }

    /// The bytes of a frame that [`Input::next_frame`] gave.
    pub(crate) fn bytes(&self, frame: Range<usize>) -> &[u8] {
        &self.buffer[frame]
    }

    /// The size of the first frame, once its four bytes are there.
    fn first_size(&self) -> Result<Option<usize>, String> {
        let Some((size, _)) = self.buffer[self.start..].split_first_chunk::<SIZE_BYTES>() else { return Ok(None) };
        let size = i32::from_be_bytes(*size);
        match usize::try_from(size) {
            Ok(bytes) if bytes > 0 && bytes <= self.frame_bytes_max => Ok(Some(bytes)),
            _ => Err(format!("a frame of {size} bytes is not between 1 and the limit of {}", self.frame_bytes_max)),
        }
    }

    /// Whether everything that was received has been taken.
    pub(crate) fn is_drained(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Takes the next complete frame, without its size.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Range<usize>>, String> {
        let Some(bytes) = self.first_size()? else { return Ok(None) };
        let begin = self.start + SIZE_BYTES;
        if self.buffer.len() - begin < bytes {
            return Ok(None);
        }
        self.start = begin + bytes;
        self.last_frame_bytes = SIZE_BYTES + bytes;
        self.partial_since = None;
        self.share.frame_is_whole();
        Ok(Some(begin..self.start))
    }

    /// The bytes of a frame that [`Input::next_frame`] gave, its size before them, as a buffer of its own: the one it was
    /// received in when that holds nothing else and is not mostly room.
    pub(crate) fn take_frame(&mut self, frame: Range<usize>) -> Vec<u8> {
        let whole = frame.start == SIZE_BYTES && frame.end == self.buffer.len();
        if whole && frame.end >= self.buffer.capacity() / 2 {
            self.start = 0;
            return std::mem::take(&mut self.buffer);
        }
        self.buffer[frame.start - SIZE_BYTES..frame.end].to_vec()
    }

    /// Called when no complete frame is left: forgets what was handled. A large buffer is not kept for a few bytes, and none for no
    /// bytes when others wait for memory.
    pub(crate) fn rest(&mut self) {
        let left = self.buffer.len() - self.start;
        if left == 0 {
            self.buffer.clear();
            self.start = 0;
        }
        let sparse = self.buffer.capacity() > SPARSE_BUFFER_BYTES && left > 0;
        if left <= BUFFER_BYTES && (sparse || (self.share.bytes() > 0 && self.share.is_wanted())) {
            let mut small = Vec::with_capacity(if left > 0 { BUFFER_BYTES } else { 0 });
            small.extend_from_slice(&self.buffer[self.start..]);
            self.start = 0;
            self.pool.give(std::mem::replace(&mut self.buffer, small));
            self.share.shrink(0);
        }
    }

    /// Until when the first frame must be complete, if one has begun.
    pub(crate) fn frame_deadline(&self, idle_max: Duration) -> Option<Instant> {
        let received = (self.buffer.len() - self.start) as u64;
        self.partial_since.map(|since| since + idle_max + Duration::from_secs(received / BYTES_PER_SECOND_MIN))
    }

    /// Until when the connection may keep the memory that it holds while others wait for some; None when it holds none, or waits itself.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        if self.share.bytes() == 0 || self.share.is_waiting() {
            return None;
        }
        let earned = Duration::from_secs(self.held.received / HELD_BYTES_PER_SECOND_MIN);
        Some((self.held.since + earned).min(self.held.last_received) + HELD_GRACE)
    }

    /// Whether other connections wait for memory.
    pub(crate) fn others_wait(&self) -> bool {
        self.share.is_wanted()
    }

    /// Whether this one does.
    pub(crate) fn is_starved(&self) -> bool {
        self.share.is_waiting()
    }

    /// Reads once. With nothing there and nothing half-read, the buffer goes back to the pool.
    pub(crate) fn receive(&mut self, stream: &mut TcpStream, cx: &mut Context<'_>) -> io::Result<Received> {
        if stream.poll_read_ready(cx)?.is_pending() {
            self.release();
            return Ok(Received::Nothing);
        }
        let Some(room) = self.make_room(cx)? else { return Ok(Received::Starved) };
        let mut limited = (&mut self.buffer).limit(room);
        // Not `try_read_buf`: only this way the runtime takes a read that did not fill the room for the last one, and nobody calls the
        // system to hear that there is no more.
        let read = pin!(stream.read_buf(&mut limited)).poll(cx);
        match read {
            Poll::Ready(Ok(0)) => Ok(Received::End),
            Poll::Ready(Ok(bytes)) => {
                self.adapt(bytes, room);
                self.partial_since.get_or_insert_with(Instant::now);
                if self.share.bytes() > 0 {
                    self.held.received += bytes as u64;
                    self.held.last_received = Instant::now();
                }
                Ok(Received::Bytes(bytes))
            }
            Poll::Ready(Err(error)) => Err(error),
            Poll::Pending => {
                self.release();
                Ok(Received::Nothing)
            }
        }
    }

    /// Lets the next read be larger when this one found all that it had room for, and smaller when it found little.
    fn adapt(&mut self, bytes: usize, room: usize) {
        if bytes == room && bytes >= self.read_bytes {
            self.read_bytes = (2 * bytes).min(READ_BYTES_MAX);
        } else if bytes < self.read_bytes / 4 {
            self.read_bytes = (self.read_bytes / 2).max(BUFFER_BYTES);
        }
    }

    /// Gives the buffer back when nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.buffer.is_empty() && self.buffer.capacity() > 0 {
            self.pool.give(std::mem::take(&mut self.buffer));
            self.share.shrink(0);
        }
    }

    /// Makes room for the next read and says how much of it to use; None when the memory for it is not to be had. What is allocated
    /// stays within twice what was received (or [`BUFFER_BYTES`]), whatever size the frame claims (S01, S03).
    fn make_room(&mut self, cx: &Context<'_>) -> io::Result<Option<usize>> {
        let held = self.buffer.len() - self.start;
        if held == 0 {
            let wanted = self.last_frame_bytes.clamp(self.read_bytes, READ_BYTES_MAX);
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() == 0 {
                self.take_buffer(wanted);
            }
            // When that much is not to be had, what is there does.
            self.grow(wanted, wanted, None);
            return Ok(Some(wanted.min(self.buffer.capacity())));
        }
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        // The size was checked when the frame was looked for; one that is not there yet needs only a little room.
        let frame = SIZE_BYTES + self.first_size().map_err(io::Error::other)?.unwrap_or(0);
        let missing = frame.saturating_sub(held);
        let room = missing.max(self.read_bytes);
        let there = self.buffer.capacity() - self.buffer.len();
        let is_short = missing <= self.read_bytes;
        if is_short && there < self.read_bytes || there == 0 {
            let more = if is_short { self.read_bytes } else { missing.min(held.max(BUFFER_BYTES)) };
            // A frame that fits needs no more than there is, and does not wait for it.
            let wait = (there == 0).then_some(cx);
            self.grow(self.buffer.len() + more, frame, wait);
        }
        let there = self.buffer.capacity() - self.buffer.len();
        Ok((there > 0).then(|| room.min(there)))
    }

    /// A buffer from the pool; a large one only when it may be had.
    fn take_buffer(&mut self, wanted: usize) {
        self.buffer = self.pool.take(wanted);
        let capacity = self.buffer.capacity();
        if self.charge(capacity, wanted, None) == Grant::Refused {
            self.buffer = Vec::with_capacity(BUFFER_BYTES);
        }
    }

    /// Lets the buffer have this many bytes in all, if it may.
    fn grow(&mut self, capacity: usize, frame: usize, wait: Option<&Context<'_>>) {
        if capacity > self.buffer.capacity() && self.charge(capacity, frame, wait) == Grant::Given {
            self.buffer.reserve_exact(capacity - self.buffer.len());
        }
    }

    /// Asks for what a buffer of this capacity has beyond the connection's own.
    fn charge(&mut self, capacity: usize, frame: usize, wait: Option<&Context<'_>>) -> Grant {
        let bytes = capacity.saturating_sub(BUFFER_BYTES);
        if bytes <= self.share.bytes() {
            return Grant::Given;
        }
        let held_before = self.share.bytes() > 0;
        let grant = self.share.grow(bytes, frame, wait);
        let now = Instant::now();
        match grant {
            Grant::Given => {
                // While it waited it could not receive.
                let starved = self.held.starved_since.take().map_or(Duration::ZERO, |since| now - since);
                self.partial_since = self.partial_since.map(|partial| partial + starved);
                if held_before {
                    self.held.since += starved;
                    self.held.last_received += starved;
                } else {
                    self.held = Held::from(now);
                }
            }
            Grant::Refused if self.share.is_waiting() => {
                self.held.starved_since.get_or_insert(now);
            }
            Grant::Refused => {}
        }
        grant
    }
}

#[cfg(test)]
mod tests;
