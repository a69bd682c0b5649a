//! When the coordinator's thread has to do something.

use base::{Clock, Monotonic};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Looks at least this often, so that a clock that jumps does no harm.
const AT_LEAST: Duration = Duration::from_secs(1);

/// Wakes the coordinator's thread for deadlines and for work.
#[derive(Default)]
pub(crate) struct Driver {
    state: Mutex<State>,
    woken: Condvar,
    /// When the thread looks next; the end of time while it is at work, so that no deadline set meanwhile is missed.
    looks_at: AtomicU64,
}

#[derive(Default)]
struct State {
    has_work: bool,
    closing: bool,
}

impl Driver {
    /// There is something to do.
    pub(crate) fn wake_now(&self) {
        self.state.lock().has_work = true;
        self.woken.notify_one();
    }

    /// Something is due at `deadline`.
    pub(crate) fn wake_by(&self, deadline: Option<Monotonic>) {
        if deadline.is_some_and(|deadline| deadline.0 < self.looks_at.load(Ordering::Acquire)) {
            self.wake_now();
        }
    }

    /// Ends the thread.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.woken.notify_one();
    }

    /// Runs rounds until closed; `round` says when the next one is due.
    pub(crate) fn run(&self, clock: &dyn Clock, mut round: impl FnMut() -> Option<Monotonic>) {
        loop {
            // From here to the end of the round every new deadline is cause for another one.
            self.looks_at.store(u64::MAX, Ordering::Release);
            self.state.lock().has_work = false;
            let next = round();
            let now = clock.monotonic();
            let at = next.map_or(now.plus(AT_LEAST), |next| next.min(now.plus(AT_LEAST)));
            self.looks_at.store(at.0, Ordering::Release);
            let mut state = self.state.lock();
            if !state.has_work && !state.closing {
                let _timed_out = self.woken.wait_for(&mut state, at.since(now));
            }
            if state.closing {
                return;
            }
        }
    }
}
