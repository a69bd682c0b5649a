//! Memory for requests that are still arriving, shared by all connections of a node (`queued.max.request.bytes`, S03).
//!
//! Every connection has [`BUFFER_BYTES`](crate::pool::BUFFER_BYTES) of its own, so small requests never wait for anybody. What a buffer
//! has beyond them is charged here. When all is used, a connection that needs more waits and nothing is read from it; memory that comes
//! free goes to who waits, frames of up to [`SMALL_FRAME_BYTES`] first and otherwise in the order of their coming.
//!
//! It cannot lock up. While somebody waits, a connection that holds memory must go on receiving at a stated pace or is closed (the
//! connection's part, `Input::held_until`). And when all that hold memory wait themselves, the first of them may go beyond the limit
//! until its frame is whole, one at a time. So what all buffers take is at most the limit, one frame, and each connection's own.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Waker};

/// What producers send at most unless they are told otherwise (`max.request.size` is 1 MiB), and what is around it.
const SMALL_FRAME_BYTES: usize = (1 << 20) + (64 << 10);

/// Whether the frame is a large one, and when it came to wait.
type Place = (bool, u64);

/// The memory of one node.
#[derive(Debug)]
pub struct RequestMemory {
    limit: usize,
    state: Mutex<State>,
    /// `state.waiting.len()`, to be looked at without the lock.
    waiting: AtomicUsize,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    /// Connections that hold some and do not wait for more.
    active: usize,
    waiting: BTreeMap<Place, Waker>,
    arrivals: u64,
}

impl RequestMemory {
    /// Nothing is used yet. `limit` is in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Arc<RequestMemory> {
        Arc::new(RequestMemory { limit, state: Mutex::default(), waiting: AtomicUsize::new(0) })
    }

    /// Bytes that arriving requests hold now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.state.lock().used
    }

    /// Connections that nothing is read from until others have released memory.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    fn wake_first(&self, state: &State) {
        self.waiting.store(state.waiting.len(), Ordering::Relaxed);
        if let Some(first) = state.waiting.values().next() {
            first.wake_by_ref();
        }
    }
}

/// What became of a wish for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    /// It may be allocated.
    Given,
    /// Not now. Who said that it would wait is woken when it should ask again.
    Refused,
}

/// What one connection holds; dropping it gives it back.
#[derive(Debug, Default)]
pub(crate) struct Share {
    /// None counts nothing: a client's own connections.
    memory: Option<Arc<RequestMemory>>,
    bytes: usize,
    /// While it waits.
    place: Option<Place>,
    /// It may go beyond the limit until its frame is whole.
    finishing: bool,
}

impl Share {
    pub(crate) fn of(memory: &Arc<RequestMemory>) -> Share {
        Share { memory: Some(Arc::clone(memory)), ..Share::default() }
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Whether it stands in the queue.
    pub(crate) fn is_waiting(&self) -> bool {
        self.place.is_some()
    }

    /// Whether anybody does.
    pub(crate) fn is_wanted(&self) -> bool {
        self.memory.as_ref().is_some_and(|memory| memory.waiting() > 0)
    }

    /// Asks for `bytes` in all, for a frame of `frame` bytes. With `wait` it is put into the queue when it has to be.
    pub(crate) fn grow(&mut self, bytes: usize, frame: usize, wait: Option<&Context<'_>>) -> Grant {
        let Some(memory) = self.memory.clone() else { return Grant::Given };
        if bytes <= self.bytes {
            return Grant::Given;
        }
        let more = bytes - self.bytes;
        let state = &mut *memory.state.lock();
        let place = self.place.unwrap_or((frame > SMALL_FRAME_BYTES, state.arrivals));
        let is_first = state.waiting.keys().next().is_none_or(|first| place <= *first);
        if self.finishing || (is_first && state.used.saturating_add(more) <= memory.limit) {
            self.take(&memory, state, more);
            return Grant::Given;
        }
        let Some(cx) = wait else { return Grant::Refused };
        if self.place.is_none() {
            state.arrivals += 1;
            state.active -= usize::from(self.bytes > 0);
            self.place = Some(place);
        }
        state.waiting.insert(place, cx.waker().clone());
        if state.active > 0 {
            memory.waiting.store(state.waiting.len(), Ordering::Relaxed);
            return Grant::Refused;
        }
        // Nobody who holds memory would ever release any.
        if state.waiting.keys().next() == Some(&place) {
            self.finishing = true;
            self.take(&memory, state, more);
            return Grant::Given;
        }
        memory.wake_first(state);
        Grant::Refused
    }

    fn take(&mut self, memory: &RequestMemory, state: &mut State, more: usize) {
        if let Some(place) = self.place.take() {
            state.waiting.remove(&place);
            state.active += 1;
        } else {
            state.active += usize::from(self.bytes == 0);
        }
        self.bytes += more;
        state.used += more;
        memory.wake_first(state);
    }

    /// What was let beyond the limit for it has served.
    pub(crate) fn frame_is_whole(&mut self) {
        self.finishing = false;
    }

    /// Gives back what is held beyond `bytes`.
    pub(crate) fn shrink(&mut self, bytes: usize) {
        let Some(memory) = self.memory.as_ref().filter(|_| bytes < self.bytes) else { return };
        let state = &mut *memory.state.lock();
        state.used -= self.bytes - bytes;
        state.active -= usize::from(bytes == 0 && self.place.is_none());
        self.bytes = bytes;
        memory.wake_first(state);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if let (Some(memory), Some(place)) = (&self.memory, self.place) {
            let state = &mut *memory.state.lock();
            state.waiting.remove(&place);
            // As if it did not wait: what it holds is given back below.
            state.active += usize::from(self.bytes > 0);
            self.place = None;
            memory.wake_first(state);
        }
        self.shrink(0);
    }
}

#[cfg(test)]
mod tests;
