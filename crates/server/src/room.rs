//! Room on a log dir's disk: producers are refused before it is full, so that whatever makes room again still can be written.
//!
//! A write that meets a full disk takes its log dir offline, and with it the deletions, commits and snapshots that need a few bytes of
//! their own. So a reserve is kept from producers. It is measured by housekeeping and counted down in between; internal topics and the
//! metadata log do not ask.

use base::{ErrorCode, Refusal};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

/// What producers may write to a log dir before its reserve is touched.
#[derive(Debug)]
pub(crate) struct Room {
    /// Bytes kept from producers; 0 keeps none.
    reserve_bytes: i64,
    /// Bytes left, since the last measurement. Below 0 everything is refused.
    left: AtomicI64,
    /// A batch was refused since: smaller ones that the producer sent after it must not come before it.
    has_refused: AtomicBool,
}

impl Room {
    /// A dir that was not measured yet has room.
    pub(crate) fn new(reserve_bytes: i64) -> Self {
        Self { reserve_bytes, left: AtomicI64::new(i64::MAX), has_refused: AtomicBool::new(false) }
    }

    /// Takes over what the disk says. True when that ends or begins a shortage, which is then worth a word.
    pub(crate) fn measure(&self, usable_bytes: u64) -> bool {
        if self.reserve_bytes == 0 {
            return false;
        }
        let usable = i64::try_from(usable_bytes).unwrap_or(i64::MAX);
        let left = usable - self.reserve_bytes;
        let before = self.left.swap(left, Ordering::Relaxed);
        self.has_refused.store(false, Ordering::Relaxed);
        (before <= 0) != (left <= 0)
    }

    /// Whether producers are refused.
    pub(crate) fn is_full(&self) -> bool {
        self.left.load(Ordering::Relaxed) <= 0
    }

    /// Takes `bytes` for a producer's batch. Once one is refused, all are until the next measurement.
    ///
    /// # Errors
    /// KAFKA_STORAGE_ERROR, upon which clients try again later.
    pub(crate) fn take(&self, bytes: usize) -> Result<(), Refusal> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        if self.left.load(Ordering::Relaxed) >= bytes && !self.has_refused.load(Ordering::Relaxed) {
            self.left.fetch_sub(bytes, Ordering::Relaxed);
            return Ok(());
        }
        self.has_refused.store(true, Ordering::Relaxed);
        let why = format!(
            "the log dir's disk has no room for {bytes} more bytes above the {} of thalweg.disk.reserve.bytes; delete records or topics, or \
             give it more",
            self.reserve_bytes
        );
        Err(Refusal::new(ErrorCode::KafkaStorageError, why))
    }
}

#[cfg(test)]
mod tests {
    use super::Room;
    use base::ErrorCode;

    #[test]
    fn the_reserve_is_kept_and_room_comes_back() {
        let room = Room::new(1_000);
        assert!(room.take(1 << 40).is_ok(), "not measured yet");
        assert!(!room.measure(1_500));
        assert!(room.take(400).is_ok());
        assert!(room.take(100).is_ok());
        assert_eq!(room.take(1).map_err(|refusal| refusal.code), Err(ErrorCode::KafkaStorageError));
        assert!(room.is_full());
        assert!(!room.measure(900), "it was full already");
        assert!(room.take(0).is_err());
        assert!(room.measure(5_000) && !room.is_full());
        assert!(room.take(4_000).is_ok());
    }

    /// A new producer's second batch, taken while its first was refused, would make the first one out of order for good.
    #[test]
    fn what_was_sent_after_a_refused_batch_does_not_come_before_it() {
        let room = Room::new(1_000);
        room.measure(1_500);
        assert!(room.take(501).is_err());
        assert!(room.take(100).is_err(), "it would fit");
        room.measure(1_500);
        assert!(room.take(100).is_ok());
    }

    #[test]
    fn without_a_reserve_nothing_is_refused() {
        let room = Room::new(0);
        assert!(!room.measure(0));
        assert!(room.take(1 << 30).is_ok());
    }
}
