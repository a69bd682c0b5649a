//! The block of producer ids that this broker may give out, allocated by the controller (KIP-730). Ids of a lost block are never
//! reused; a restart merely skips them.

use base::ProducerId;
use parking_lot::Mutex;
use std::ops::Range;

/// The unused rest of the current block.
#[derive(Debug, Default)]
pub(crate) struct ProducerIds {
    rest: Mutex<Range<i64>>,
}

impl ProducerIds {
    /// The next id of the block; `None` when the block is used up.
    pub(crate) fn next_cached(&self) -> Option<ProducerId> {
        self.rest.lock().next().map(ProducerId)
    }

    /// Starts giving out `block`, returning its first id. Should another request have brought a block at the same time, that
    /// one's rest is dropped: ids are plentiful, handing one out twice is not.
    pub(crate) fn refill(&self, block: Range<i64>) -> Option<ProducerId> {
        let mut rest = self.rest.lock();
        *rest = block;
        rest.next().map(ProducerId)
    }
}
