//! What a log remembers of its idempotent and transactional producers (KIP-98): the last batches of each, so that a retry is
//! answered with its first offsets and a gap is refused; open transactions, so that the last stable offset is known.
//!
//! The state is a fold over the log's batches; snapshots in Kafka's format only shorten the fold.

mod snapshot;

use base::{ErrorCode, Offset, ProducerEpoch, ProducerId, Refusal, Timestamp};
use record::BatchHeader;
use std::collections::{BTreeMap, VecDeque};

pub(crate) use snapshot::file_name as snapshot_name;

/// Batches remembered of each producer: what `max.in.flight.requests.per.connection` may be at most.
const BATCHES_MAX: usize = 5;

/// A batch that a producer has appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProducerBatch {
    /// Sequence number of its first record; -1 when only the last is known, as after loading a snapshot.
    pub first_sequence: i32,
    /// Sequence number of its last record.
    pub last_sequence: i32,
    /// Offset of its first record.
    pub first_offset: Offset,
    /// Offset of its last record.
    pub last_offset: Offset,
    /// Its max timestamp.
    pub timestamp: Timestamp,
}

impl ProducerBatch {
    fn of(header: &BatchHeader) -> Self {
        Self {
            first_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            first_offset: header.base_offset,
            last_offset: header.last_offset(),
            timestamp: header.max_timestamp,
        }
    }
}

/// What is remembered of a producer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerEntry {
    /// Its epoch.
    pub epoch: ProducerEpoch,
    /// Its last batches, oldest first; at most five.
    pub batches: VecDeque<ProducerBatch>,
    /// Timestamp of what it last wrote.
    pub last_timestamp: Timestamp,
    /// Epoch of the coordinator that wrote its last marker; -1 when none did.
    pub coordinator_epoch: i32,
    /// First offset of its open transaction.
    pub txn_first_offset: Option<Offset>,
    /// Read from a snapshot, which keeps the last batch only: the log may hold more of the window than is known here.
    pub(crate) is_partial: bool,
}

impl ProducerEntry {
    fn new(epoch: ProducerEpoch) -> Self {
        Self {
            epoch,
            batches: VecDeque::new(),
            last_timestamp: Timestamp::NONE,
            coordinator_epoch: -1,
            txn_first_offset: None,
            is_partial: false,
        }
    }

    /// Sequence number of the last record, -1 when there is none.
    #[must_use]
    pub fn last_sequence(&self) -> i32 {
        self.batches.back().map_or(-1, |batch| batch.last_sequence)
    }
}

/// Why a producer's batch is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProducerRefusal {
    /// A newer incarnation of the producer has written.
    #[error("epoch {got} of producer {id} is older than {current}, which has written since")]
    Fenced {
        /// The producer.
        id: ProducerId,
        /// The newest epoch.
        current: ProducerEpoch,
        /// The batch's epoch.
        got: ProducerEpoch,
    },
    /// Batches are missing before this one, or it is an old one that is no longer remembered.
    #[error("sequence {got} of producer {id} does not follow {last}")]
    OutOfOrder {
        /// The producer.
        id: ProducerId,
        /// Sequence number of its last record.
        last: i32,
        /// The batch's first sequence number.
        got: i32,
    },
}

impl From<ProducerRefusal> for Refusal {
    fn from(refusal: ProducerRefusal) -> Self {
        let code = match refusal {
            ProducerRefusal::Fenced { .. } => ErrorCode::InvalidProducerEpoch,
            ProducerRefusal::OutOfOrder { .. } => ErrorCode::OutOfOrderSequenceNumber,
        };
        Refusal::new(code, refusal.to_string())
    }
}

/// The producers of one log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerStates {
    producers: BTreeMap<ProducerId, ProducerEntry>,
    /// Open transactions by their first offset.
    open: BTreeMap<Offset, ProducerId>,
    /// Ended transactions whose marker the high watermark has not passed: first offset and the marker's.
    ended: BTreeMap<Offset, Offset>,
}

impl ProducerStates {
    /// Checks a batch against what is known.
    ///
    /// # Errors
    /// See [`ProducerRefusal`]. A retry is no error: the batch that it repeats is returned.
    pub fn check(&self, header: &BatchHeader) -> Result<Option<ProducerBatch>, ProducerRefusal> {
        if !header.has_producer_id() {
            return Ok(None);
        }
        let Some(entry) = self.producers.get(&header.producer_id) else { return Ok(None) };
        let id = header.producer_id;
        if header.producer_epoch < entry.epoch {
            return Err(ProducerRefusal::Fenced { id, current: entry.epoch, got: header.producer_epoch });
        }
        let got = header.base_sequence;
        if header.producer_epoch > entry.epoch {
            let starts_anew = got == 0 || entry.epoch.0 < 0;
            return if starts_anew { Ok(None) } else { Err(ProducerRefusal::OutOfOrder { id, last: -1, got }) };
        }
        let last_sequence = header.last_sequence();
        let repeats = |batch: &&ProducerBatch| {
            batch.last_sequence == last_sequence && (batch.first_sequence == got || batch.first_sequence == -1)
        };
        if let Some(batch) = entry.batches.iter().find(repeats) {
            return Ok(Some(*batch));
        }
        let last = entry.last_sequence();
        let follows = i64::from(got) == i64::from(last) + 1 || (got == 0 && last == i32::MAX);
        if follows { Ok(None) } else { Err(ProducerRefusal::OutOfOrder { id, last, got }) }
    }

    /// Folds a batch of the log in. `marker` is the coordinator's epoch and whether it commits, for a transaction marker.
    /// Returns the transaction that the marker ended: its first offset.
    pub fn apply(&mut self, header: &BatchHeader, marker: Option<(i32, bool)>) -> Option<Offset> {
        if !header.has_producer_id() {
            return None;
        }
        let entry =
            self.producers.entry(header.producer_id).or_insert_with(|| ProducerEntry::new(header.producer_epoch));
        if header.producer_epoch != entry.epoch {
            entry.epoch = header.producer_epoch;
            entry.batches.clear();
            entry.is_partial = false;
        }
        entry.last_timestamp = header.max_timestamp;
        if let Some((coordinator_epoch, _)) = marker {
            entry.coordinator_epoch = coordinator_epoch;
            let first = entry.txn_first_offset.take()?;
            self.open.remove(&first);
            self.ended.insert(first, header.last_offset());
            return Some(first);
        }
        if entry.batches.len() == BATCHES_MAX {
            entry.batches.pop_front();
        }
        entry.batches.push_back(ProducerBatch::of(header));
        entry.is_partial &= entry.batches.len() < BATCHES_MAX;
        if header.is_transactional() && entry.txn_first_offset.is_none() {
            entry.txn_first_offset = Some(header.base_offset);
            self.open.insert(header.base_offset, header.producer_id);
        }
        None
    }

    /// The first offset of a transaction that is open, or ended by a marker at or above `high_watermark`.
    #[must_use]
    pub fn first_unstable(&self, high_watermark: Offset) -> Option<Offset> {
        let ended = self.ended.iter().find(|(_, marker)| **marker >= high_watermark).map(|(first, _)| *first);
        let open = self.open.keys().next().copied();
        open.into_iter().chain(ended).min()
    }

    /// Forgets ended transactions whose marker the high watermark has passed.
    pub fn on_high_watermark(&mut self, high_watermark: Offset) {
        if !self.ended.is_empty() {
            self.ended.retain(|_, marker| *marker >= high_watermark);
        }
    }

    /// Forgets producers without an open transaction that have not written for `expiration_ms`.
    pub fn expire(&mut self, now: Timestamp, expiration_ms: i64) {
        let is_live = |entry: &ProducerEntry| {
            entry.txn_first_offset.is_some() || now.millis_since(entry.last_timestamp) < expiration_ms
        };
        self.producers.retain(|_, entry| is_live(entry));
    }

    /// What is remembered of a producer only in part: its epoch, the first offset that is known, and how many batches are missing.
    pub(crate) fn partial(&self, id: ProducerId) -> Option<(ProducerEpoch, Offset, usize)> {
        let entry = self.producers.get(&id).filter(|entry| entry.is_partial)?;
        let first = entry.batches.front()?;
        Some((entry.epoch, first.first_offset, BATCHES_MAX.saturating_sub(entry.batches.len())))
    }

    /// Completes a window with the batches, oldest first, that the log holds before those that are known.
    pub(crate) fn complete(&mut self, id: ProducerId, earlier: impl DoubleEndedIterator<Item = BatchHeader>) {
        let Some(entry) = self.producers.get_mut(&id) else { return };
        entry.is_partial = false;
        for header in earlier.rev() {
            entry.batches.push_front(ProducerBatch::of(&header));
        }
    }

    /// All producers, by id.
    pub fn iter(&self) -> impl Iterator<Item = (ProducerId, &ProducerEntry)> {
        self.producers.iter().map(|(id, entry)| (*id, entry))
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }
}

#[cfg(test)]
mod tests;
