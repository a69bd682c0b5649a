//! Where clients wait while the node is down, and where the rig waits for clients.

use conformance::process::now;
use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A client that keeps step waits no longer than this.
const PACE: Duration = Duration::from_millis(50);

#[derive(Default)]
struct State {
    /// Where the node is, while clients may work.
    address: Option<String>,
    /// Counts the openings.
    generation: u64,
    over: bool,
    working: usize,
    /// Clients that rest with nothing left to confirm.
    done: BTreeSet<usize>,
    acked: u64,
}

/// The gate.
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
    clients: usize,
}

impl Gate {
    pub(super) fn new(clients: usize) -> Gate {
        Gate { state: Mutex::default(), changed: Condvar::new(), clients }
    }

    fn hold(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `holds`, or the deadline.
    fn wait(&self, deadline: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let until = now() + deadline;
        let mut state = self.hold();
        while !holds(&state) {
            let left = until.saturating_duration_since(now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits until the gate has been opened after the opening `last`; None at the end of everything.
    pub(super) fn enter(&self, client: usize, last: u64) -> Option<(u64, String)> {
        let mut state = self.hold();
        loop {
            if state.over {
                return None;
            }
            if state.generation > last
                && let Some(address) = state.address.clone()
            {
                state.working += 1;
                state.done.remove(&client);
                return Some((state.generation, address));
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// A client rests.
    pub(super) fn leave(&self, client: usize, done: bool) {
        let mut state = self.hold();
        state.working -= 1;
        if done {
            state.done.insert(client);
        }
        self.changed.notify_all();
    }

    /// How many records were acked so far.
    pub(super) fn acked_so_far(&self) -> u64 {
        self.hold().acked
    }

    /// Whether clients may go on.
    pub(super) fn is_open(&self) -> bool {
        let state = self.hold();
        state.address.is_some() && !state.over
    }

    /// Counts records acked with acks=all.
    pub(super) fn acked(&self, records: u64) {
        self.hold().acked += records;
        self.changed.notify_all();
    }

    /// Waits until so many more records were acked, or a little while: for a client that keeps step with the others.
    pub(super) fn pace(&self, records: u64) {
        let target = self.hold().acked + records;
        self.wait(PACE, |state| state.acked >= target || state.address.is_none() || state.over);
    }

    pub(super) fn open(&self, address: &str) {
        let mut state = self.hold();
        state.address = Some(address.to_owned());
        state.generation += 1;
        self.changed.notify_all();
    }

    pub(super) fn close(&self, deadline: Duration) -> bool {
        self.hold().address = None;
        self.changed.notify_all();
        self.wait(deadline, |state| state.working == 0)
    }

    pub(super) fn await_acks(&self, more: u64, deadline: Duration) -> bool {
        let target = self.hold().acked + more;
        self.wait(deadline, |state| state.acked >= target)
    }

    /// Waits until every client rests with nothing left to confirm.
    pub(super) fn await_idle(&self, deadline: Duration) -> bool {
        let clients = self.clients;
        self.wait(deadline, |state| state.working == 0 && state.done.len() >= clients)
    }

    pub(super) fn end(&self) {
        self.hold().over = true;
        self.changed.notify_all();
    }
}
