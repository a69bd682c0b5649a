//! Reading: batches by offset, offsets by time, ends of epochs.

use super::{Isolation, Partition, State, offline};
use base::{ErrorCode, LeaderEpoch, NodeId, Offset, Refusal, Timestamp, TopicPartition, Uuid};
use storage::{ReadError, Slice, TxnEntry};

/// What a fetch asks of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReadRequest {
    pub(crate) offset: Offset,
    pub(crate) bytes_max: usize,
    /// The first batch comes whole, whatever its size (KIP-74).
    pub(crate) at_least_one: bool,
    pub(crate) isolation: Isolation,
    pub(crate) current_leader_epoch: LeaderEpoch,
    pub(crate) last_fetched_epoch: LeaderEpoch,
    /// The follower that asks; `NONE` for a consumer.
    pub(crate) replica: NodeId,
}

/// What a fetch finds.
#[derive(Debug)]
pub(crate) struct ReadOutcome {
    pub(crate) high_watermark: Offset,
    pub(crate) last_stable_offset: Offset,
    pub(crate) log_start: Offset,
    pub(crate) slice: Option<Slice>,
    pub(crate) aborted: Option<Vec<TxnEntry>>,
    /// Where the reader's log departs from this one: an epoch and its end.
    pub(crate) diverging: Option<(LeaderEpoch, Offset)>,
}

impl ReadOutcome {
    /// Bytes of batches.
    pub(crate) fn len(&self) -> usize {
        self.slice.as_ref().map_or(0, |slice| slice.len)
    }
}

impl State {
    fn last_stable_offset(&self) -> Offset {
        let high_watermark = self.leader.high_watermark();
        self.log.producers().first_unstable(high_watermark).map_or(high_watermark, |first| first.min(high_watermark))
    }

    fn bound(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::LogEnd => self.log.log_end(),
            Isolation::ReadUncommitted => self.leader.high_watermark(),
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// Whether the partition serves a client that knows it in this epoch. A failed log dir comes first, as in Kafka: it is why the partition
    /// has lost its leader.
    pub(super) fn check(&self, epoch: LeaderEpoch) -> Result<(), Refusal> {
        self.check_exists()?;
        match self.log.offline() {
            Some(error) => Err(offline(error)),
            None => self.leader.check(epoch),
        }
    }

    /// OFFSET_NOT_AVAILABLE until the leader's own epoch is committed (R45).
    fn check_available(&self, isolation: Isolation) -> Result<(), Refusal> {
        if isolation != Isolation::LogEnd && self.epoch_start > self.leader.high_watermark() {
            let why = "the high watermark has not reached the start of the leader's epoch yet";
            return Err(Refusal::new(ErrorCode::OffsetNotAvailable, why));
        }
        Ok(())
    }
}

fn read_refusal(error: ReadError) -> Refusal {
    match error {
        ReadError::OutOfRange { .. } => Refusal::new(ErrorCode::OffsetOutOfRange, error.to_string()),
        ReadError::Disk(error) => offline(&error),
        ReadError::Corrupt(_) => Refusal::new(ErrorCode::CorruptMessage, error.to_string()),
    }
}

/// A place in the log; `None` when no record matches.
pub(crate) struct FoundOffset {
    pub(crate) timestamp: Timestamp,
    pub(crate) offset: i64,
    pub(crate) epoch: Option<LeaderEpoch>,
}

/// What a node knows of one of its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionView {
    /// Topic and index.
    pub partition: TopicPartition,
    /// The topic's id.
    pub topic_id: Uuid,
    /// The first offset that can be read.
    pub log_start: Offset,
    /// The end of what readers of transactions see.
    pub last_stable: Offset,
    /// The end of what readers see.
    pub high_watermark: Offset,
    /// The offset that the next record gets.
    pub log_end: Offset,
    /// Up to where the log is on disk.
    pub recovery_point: Offset,
    /// Whether its log dir has failed.
    pub is_offline: bool,
}

impl Partition {
    /// Its offsets, as an onlooker sees them.
    pub(crate) fn view(&self, topic_id: Uuid) -> PartitionView {
        let state = self.state.lock();
        PartitionView {
            partition: self.tp.clone(),
            topic_id,
            log_start: state.log.log_start(),
            last_stable: state.last_stable_offset(),
            high_watermark: state.leader.high_watermark(),
            log_end: state.log.log_end(),
            recovery_point: state.log.recovery_point(),
            is_offline: state.log.offline().is_some(),
        }
    }

    /// The batches that a fetch may see.
    pub(crate) fn read(&self, request: &ReadRequest) -> Result<ReadOutcome, Refusal> {
        let mut state = self.state.lock();
        state.check(request.current_leader_epoch)?;
        if request.replica != NodeId::NONE {
            let why = format!("replica {} is not one of the partition's replicas", request.replica);
            return Err(Refusal::new(ErrorCode::NotLeaderOrFollower, why));
        }
        let mut outcome = ReadOutcome {
            high_watermark: state.leader.high_watermark(),
            last_stable_offset: state.last_stable_offset(),
            log_start: state.log.log_start(),
            slice: None,
            aborted: None,
            diverging: None,
        };
        if request.last_fetched_epoch.0 >= 0
            && let Some(diverging) = diverging(&state, request)?
        {
            outcome.diverging = Some(diverging);
            return Ok(outcome);
        }
        let upper = state.bound(request.isolation);
        let slice =
            state.log.read(request.offset, upper, request.bytes_max, request.at_least_one).map_err(read_refusal)?;
        if request.isolation == Isolation::ReadCommitted {
            let aborted = state.log.aborted(request.offset, upper).map_err(|error| offline(&error))?;
            outcome.aborted = Some(aborted);
        }
        outcome.slice = (slice.len > 0).then_some(slice);
        Ok(outcome)
    }

    /// Bytes from the batch that holds `from` on, for the node itself; the last batch may be cut off.
    pub(crate) fn read_own(&self, from: Offset, bytes_max: usize) -> Result<Vec<u8>, Refusal> {
        let mut state = self.state.lock();
        state.check_exists()?;
        if let Some(error) = state.log.offline() {
            return Err(offline(error));
        }
        let end = state.log.log_end();
        let slice = state.log.read(from, end, bytes_max, true).map_err(read_refusal)?;
        state.log.read_slice(&slice).map_err(|error| offline(&error))
    }

    /// Checks that this node leads in the epoch that the client believes in.
    pub(crate) fn check_epoch(&self, epoch: LeaderEpoch) -> Result<(), Refusal> {
        self.state.lock().check(epoch)
    }

    /// The end of what can be read.
    pub(crate) fn latest(&self, epoch: LeaderEpoch, isolation: Isolation) -> Result<FoundOffset, Refusal> {
        let state = self.state.lock();
        state.check(epoch)?;
        state.check_available(isolation)?;
        let (_, leader_epoch) = state.leader.leader();
        Ok(FoundOffset { timestamp: Timestamp::NONE, offset: state.bound(isolation).0, epoch: Some(leader_epoch) })
    }

    /// The start of the log.
    pub(crate) fn earliest(&self, epoch: LeaderEpoch) -> Result<FoundOffset, Refusal> {
        let state = self.state.lock();
        state.check(epoch)?;
        let start = state.log.log_start();
        let first = state.log.epochs().entries().first();
        let epoch = first.filter(|entry| entry.start <= start).and_then(|_| state.log.epochs().epoch_of(start));
        Ok(FoundOffset { timestamp: Timestamp::NONE, offset: start.0, epoch })
    }

    /// The record with the largest timestamp, if it can be read.
    pub(crate) fn at_max_timestamp(
        &self,
        epoch: LeaderEpoch,
        isolation: Isolation,
    ) -> Result<Option<FoundOffset>, Refusal> {
        let mut state = self.state.lock();
        state.check(epoch)?;
        let found = state.log.max_timestamp().map_err(read_refusal)?;
        readable(&state, isolation, found)
    }

    /// The first record at or after `time`, if it can be read.
    pub(crate) fn at_or_after(
        &self,
        time: Timestamp,
        epoch: LeaderEpoch,
        isolation: Isolation,
    ) -> Result<Option<FoundOffset>, Refusal> {
        let mut state = self.state.lock();
        state.check(epoch)?;
        let found = state.log.offset_for_time(time).map_err(read_refusal)?;
        readable(&state, isolation, found)
    }

    /// The largest epoch that is at most `asked`, and where it ended.
    pub(crate) fn epoch_end(
        &self,
        believed: LeaderEpoch,
        asked: LeaderEpoch,
    ) -> Result<Option<(LeaderEpoch, Offset)>, Refusal> {
        let state = self.state.lock();
        state.check(believed)?;
        Ok(state.log.epochs().end_of(asked, state.log.log_end()))
    }
}

/// Where the log of a reader that last saw an epoch departs from this one (KIP-595).
fn diverging(state: &State, request: &ReadRequest) -> Result<Option<(LeaderEpoch, Offset)>, Refusal> {
    let asked = request.last_fetched_epoch;
    match state.log.epochs().end_of(asked, state.log.log_end()) {
        Some((epoch, end)) if epoch < asked || end < request.offset => Ok(Some((epoch, end))),
        Some(_) => Ok(None),
        None => {
            let why = format!("this log knows nothing of epoch {asked}, which the reader's last record is of");
            Err(Refusal::new(ErrorCode::OffsetOutOfRange, why))
        }
    }
}

fn readable(
    state: &State,
    isolation: Isolation,
    found: Option<storage::FoundTimestamp>,
) -> Result<Option<FoundOffset>, Refusal> {
    match found.filter(|found| found.offset < state.bound(isolation)) {
        Some(found) => Ok(Some(FoundOffset {
            timestamp: found.timestamp,
            offset: found.offset.0,
            epoch: Some(found.epoch).filter(|epoch| epoch.0 >= 0),
        })),
        None => state.check_available(isolation).map(|()| None),
    }
}
