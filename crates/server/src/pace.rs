//! Long work in turns: a request that may name a thousand partitions, each with a batch that takes a tenth of a second to look through,
//! lets the others of its loop run in between (S16).

use base::{Clock, Monotonic};
use std::sync::Arc;

/// A turn of such work, ms: most requests are done long before.
const TURN_MS_MAX: i64 = 1;

/// When the turn began.
pub(crate) struct Pace {
    clock: Arc<dyn Clock>,
    until: Monotonic,
}

impl Pace {
    /// A turn begins now.
    pub(crate) fn new(clock: &Arc<dyn Clock>) -> Pace {
        Pace { clock: Arc::clone(clock), until: clock.monotonic().plus_millis(TURN_MS_MAX) }
    }

    /// After each piece of the work: lets others run when the turn is over.
    pub(crate) async fn give_way(&mut self) {
        if self.until.since(self.clock.monotonic()).is_zero() {
            tokio::task::yield_now().await;
            self.until = self.clock.monotonic().plus_millis(TURN_MS_MAX);
        }
    }
}
