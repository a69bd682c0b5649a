//! One partition of this node: its log, its replication core and whoever waits on it, behind one lock.
//!
//! Invariants: every change of the log end goes through [`Partition::append`]; the high watermark never passes what the topic's
//! durability promises; waiters are woken after the lock is released. It does not know requests or responses.

mod read;
mod waiters;

use crate::committer::{Commit, Committer};
use crate::room::Room;
use base::{ErrorCode, LeaderEpoch, NodeId, Offset, Refusal, Timestamp, TopicPartition};
use config::{CompressionType, Durability, TopicConfig};
use parking_lot::Mutex;
use protocol::messages::describe_producers_response::ProducerState;
use record::{Codec, Compression, DECOMPRESSED_BATCH_BYTES_MAX, ProducePolicy, TimestampType, ValidBatch};
use replication::Leader;
use std::sync::{Arc, Weak};
use storage::{
    AppendError, Appended, Deletion, DiskError, FlushTicket, Log, LogConfig, OffsetCheckpoint, ReadError, SyncTicket,
};

pub use read::PartitionView;
pub(crate) use read::{FoundOffset, ReadOutcome, ReadRequest};
pub(crate) use replication::Isolation;
pub(crate) use waiters::{Signal, Together};

/// A partition that this node has a replica of.
pub(crate) struct Partition {
    pub(crate) tp: TopicPartition,
    /// The log dir that it is in, as an index of the node's.
    pub(crate) dir: usize,
    committer: Arc<Committer>,
    /// The room for producers on the log dir's disk.
    room: Arc<Room>,
    state: Mutex<State>,
}

/// Is told when a partition's high watermark has moved. Called with no lock held.
pub(crate) trait Observer: Send + Sync {
    /// The high watermark is `offset` now, or more.
    fn high_watermark(&self, offset: Offset);
    /// The partition's log takes nothing more.
    fn failed(&self);
}

/// Who asks for the commit of what is appended with acks=all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// The append itself.
    Append,
    /// Its caller, when it has appended everything that it has: see [`Together`].
    Caller,
}

/// How a partition stands in its committer's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Queued {
    No,
    /// Nobody waits: within a bounded time.
    Later,
    /// With the next round.
    Now,
}

/// How many replicas the partition has, and how many of them are in sync.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InSync {
    pub(crate) replicas: usize,
    pub(crate) isr: usize,
}

impl InSync {
    /// Whether acks=all may be promised. More replicas than there are cannot be asked for, as in Kafka (`effectiveMinIsr`): else a value
    /// meant for a larger cluster would stop every producer and group of a small one.
    fn suffices(self, min_insync_replicas: i32) -> Result<(), Refusal> {
        let least = usize::try_from(min_insync_replicas).unwrap_or(1).min(self.replicas);
        if self.isr >= least {
            return Ok(());
        }
        let why = format!("{} replica(s) are in sync, min.insync.replicas asks for {least}", self.isr);
        Err(Refusal::new(ErrorCode::NotEnoughReplicas, why))
    }
}

struct State {
    log: Log,
    leader: Leader,
    config: Arc<TopicConfig>,
    in_sync: InSync,
    /// Where DeleteRecords wants the log to start.
    wanted_start: Offset,
    /// First offset of this leader's epoch: nothing is told of a log before its own epoch is committed (R45).
    epoch_start: Offset,
    queued: Queued,
    deleted: bool,
    /// Requests that wait for the high watermark to reach an offset.
    commits: Vec<(Offset, Arc<Signal>)>,
    /// Requests that wait for anything new to read.
    readers: Vec<Arc<Signal>>,
    /// The coordinator's shard that writes here, if any.
    observer: Option<Weak<dyn Observer>>,
}

impl State {
    /// Whoever got hold of a partition before its topic was deleted is refused: its folder is renamed, and a new topic of the name may stand
    /// in its place (R30).
    fn check_exists(&self) -> Result<(), Refusal> {
        if self.deleted {
            return Err(Refusal::new(ErrorCode::UnknownTopicOrPartition, "the topic was deleted"));
        }
        Ok(())
    }

    /// How the partition is to be put into the committer's queue for `how` to hold; `No` when it does.
    fn queue(&mut self, how: Queued) -> Queued {
        if !self.leader.awaits_sync() || self.queued >= how {
            return Queued::No;
        }
        self.queued = how;
        how
    }

    /// Those whom a moved high watermark wakes.
    fn woken(&mut self) -> Vec<Arc<Signal>> {
        let reached = self.leader.high_watermark();
        let mut woken = std::mem::take(&mut self.readers);
        self.commits.retain(|(offset, signal)| {
            let waits = *offset > reached;
            if !waits {
                woken.push(Arc::clone(signal));
            }
            waits
        });
        woken
    }

    fn all_waiters(&mut self) -> Vec<Arc<Signal>> {
        let mut woken = std::mem::take(&mut self.readers);
        woken.extend(self.commits.drain(..).map(|(_, signal)| signal));
        woken
    }
}

fn wake(signals: Vec<Arc<Signal>>) {
    signals.iter().for_each(|signal| signal.tell());
}

fn offline(error: &DiskError) -> Refusal {
    Refusal::new(ErrorCode::KafkaStorageError, format!("the log dir is offline: {error}"))
}

impl Partition {
    pub(crate) fn new(
        tp: TopicPartition,
        dir: usize,
        log: Log,
        leader: Leader,
        config: Arc<TopicConfig>,
        committer: Arc<Committer>,
        room: Arc<Room>,
    ) -> Self {
        let state = State {
            epoch_start: log.log_end(),
            log,
            leader,
            config,
            in_sync: InSync { replicas: 1, isr: 1 },
            wanted_start: Offset::ZERO,
            queued: Queued::No,
            deleted: false,
            commits: Vec::new(),
            readers: Vec::new(),
            observer: None,
        };
        Self { tp, dir, committer, room, state: Mutex::new(state) }
    }

    /// What a produced batch is checked against.
    pub(crate) fn produce_policy(&self, now: Timestamp) -> ProducePolicy {
        let config = Arc::clone(&self.state.lock().config);
        ProducePolicy {
            batch_bytes_max: config.message_bytes_max,
            decompressed_bytes_max: config.decompressed_bytes_max,
            decompressed_total_max: DECOMPRESSED_BATCH_BYTES_MAX,
            timestamp_type: if config.log_append_time {
                TimestampType::LogAppendTime
            } else {
                TimestampType::CreateTime
            },
            timestamp_before_ms_max: config.timestamp_before_ms_max,
            timestamp_after_ms_max: config.timestamp_after_ms_max,
            compacted: config.compact,
            compression: compression(&config.compression),
            now,
        }
    }

    /// Appends a producer's validated batch, unless the disk is nearly full. With acks=all nothing is committed before the caller waits for
    /// it: [`Partition::wait_committed`].
    pub(crate) fn append_produced(
        self: &Arc<Self>,
        batch: &ValidBatch<'_>,
        acks: i16,
        now: Timestamp,
    ) -> Result<Appended, Refusal> {
        self.room.take(batch.header().size)?;
        self.append(batch, acks, Asks::Caller, now)
    }

    /// Appends a validated batch.
    fn append(
        self: &Arc<Self>,
        batch: &ValidBatch<'_>,
        acks: i16,
        asks: Asks,
        now: Timestamp,
    ) -> Result<Appended, Refusal> {
        let mut state = self.state.lock();
        state.check(LeaderEpoch::NONE)?;
        if acks == -1 {
            state.in_sync.suffices(state.config.min_insync_replicas)?;
        }
        if batch.size() as u64 > state.config.segment_bytes {
            let why =
                format!("the batch of {} bytes is over segment.bytes, {}", batch.size(), state.config.segment_bytes);
            return Err(Refusal::new(ErrorCode::RecordListTooLarge, why));
        }
        let (_, epoch) = state.leader.leader();
        let appended = match state.log.append(now, batch, epoch) {
            Ok(appended) => appended,
            Err(error) => {
                drop(state);
                if let AppendError::Offline(error) = &error {
                    self.committer.break_with(error);
                }
                return Err(append_refusal(error));
            }
        };
        if appended.duplicate {
            return Ok(appended);
        }
        let end = state.log.log_end();
        let woken = if state.leader.on_appended(end) { state.woken() } else { Vec::new() };
        let is_waited_for = acks == -1 || !state.commits.is_empty() || !state.readers.is_empty();
        let enqueue = match asks {
            Asks::Caller if acks == -1 => Queued::No,
            _ => state.queue(if is_waited_for { Queued::Now } else { Queued::Later }),
        };
        drop(state);
        self.enqueue(enqueue);
        wake(woken);
        Ok(appended)
    }

    fn enqueue(self: &Arc<Self>, how: Queued) {
        match how {
            Queued::No => {}
            Queued::Later => self.committer.enqueue_later(Arc::clone(self) as Arc<dyn Commit>),
            Queued::Now => self.committer.enqueue(Arc::clone(self) as Arc<dyn Commit>),
        }
    }

    /// Appends a batch of the node's own and returns the new end of the log. Refused as a producer's with acks=all.
    pub(crate) fn append_internal(self: &Arc<Self>, bytes: &[u8], now: Timestamp) -> Result<Offset, Refusal> {
        let batch = ValidBatch::internal(bytes).map_err(|error| {
            Refusal::new(ErrorCode::UnknownServerError, format!("a batch of the node's own: {error}"))
        })?;
        let appended = self.append(&batch, -1, Asks::Append, now)?;
        Ok(appended.last_offset.plus(1))
    }

    /// Tells `observer` from now on, instead of whom it told before.
    pub(crate) fn observe(&self, observer: Weak<dyn Observer>) {
        self.state.lock().observer = Some(observer);
    }

    /// Up to where the log is committed.
    pub(crate) fn high_watermark(&self) -> Offset {
        self.state.lock().leader.high_watermark()
    }

    /// The offset that the next record gets.
    pub(crate) fn log_end(&self) -> Offset {
        self.state.lock().log.log_end()
    }

    /// Whether the log holds no record.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.lock();
        state.log.log_start() >= state.log.log_end()
    }

    /// Whether the high watermark has reached `needed`.
    pub(crate) fn is_committed(&self, needed: Offset) -> Result<bool, Refusal> {
        let state = self.state.lock();
        self.committed(&state, needed)
    }

    fn committed(&self, state: &State, needed: Offset) -> Result<bool, Refusal> {
        if state.leader.high_watermark() >= needed {
            return Ok(true);
        }
        if let Some(error) = state.log.offline() {
            return Err(offline(error));
        }
        state.check_exists()?;
        state.leader.check(LeaderEpoch::NONE)?;
        Ok(false)
    }

    /// As [`Partition::is_committed`]; when it has not, `signal` is told once it may have, and the commit is asked for with `together`.
    pub(crate) fn wait_committed(
        self: &Arc<Self>,
        needed: Offset,
        signal: &Arc<Signal>,
        together: &mut Together,
    ) -> Result<bool, Refusal> {
        let mut state = self.state.lock();
        let committed = self.committed(&state, needed)?;
        let mut enqueue = Queued::No;
        if !committed {
            state.commits.push((needed, Arc::clone(signal)));
            enqueue = state.queue(Queued::Now);
        }
        drop(state);
        if enqueue != Queued::No {
            together.add(self);
        }
        Ok(committed)
    }

    /// Tells `signal` once there is more to read.
    pub(crate) fn watch_visible(self: &Arc<Self>, signal: &Arc<Signal>) {
        let mut state = self.state.lock();
        if !state.readers.iter().any(|known| Arc::ptr_eq(known, signal)) {
            state.readers.push(Arc::clone(signal));
        }
        let enqueue = state.queue(Queued::Now);
        drop(state);
        self.enqueue(enqueue);
    }

    /// Takes `signal` off all lists.
    pub(crate) fn forget(&self, signal: &Arc<Signal>) {
        let mut state = self.state.lock();
        state.readers.retain(|known| !Arc::ptr_eq(known, signal));
        state.commits.retain(|(_, known)| !Arc::ptr_eq(known, signal));
    }

    /// Takes over what the controller has decided.
    pub(crate) fn elect(&self, leader: NodeId, epoch: LeaderEpoch, in_sync: InSync) {
        let mut state = self.state.lock();
        state.in_sync = in_sync;
        if !state.leader.elect(leader, epoch) {
            return;
        }
        state.epoch_start = state.log.log_end();
        if leader != NodeId::NONE {
            state.log.begin_epoch(epoch);
        }
        let woken = state.all_waiters();
        drop(state);
        wake(woken);
    }

    /// Takes over new settings.
    pub(crate) fn reconfigure(self: &Arc<Self>, config: Arc<TopicConfig>, log: Arc<LogConfig>) {
        let mut state = self.state.lock();
        let moved = state.leader.set_fsync(config.durability == Durability::Fsync);
        state.config = config;
        state.log.reconfigure(log);
        let woken = if moved { state.woken() } else { Vec::new() };
        let enqueue = state.queue(Queued::Now);
        drop(state);
        self.enqueue(enqueue);
        wake(woken);
    }

    /// Marks the partition as removed: whoever waits is told.
    pub(crate) fn delete(&self) {
        let mut state = self.state.lock();
        state.deleted = true;
        let woken = state.all_waiters();
        drop(state);
        wake(woken);
    }

    /// Fails the partition with its log dir.
    pub(crate) fn fail(&self, error: &DiskError) {
        let mut state = self.state.lock();
        state.log.fail(error.clone());
        let woken = state.all_waiters();
        let observer = state.observer.clone();
        drop(state);
        wake(woken);
        if let Some(observer) = observer.and_then(|observer| observer.upgrade()) {
            observer.failed();
        }
    }

    /// The leader and its epoch, for clients that asked the wrong node (KIP-951).
    pub(crate) fn leader(&self) -> (NodeId, LeaderEpoch) {
        self.state.lock().leader.leader()
    }

    /// The first offset that can be read.
    pub(crate) fn log_start_offset(&self) -> Offset {
        self.state.lock().log.log_start()
    }

    /// Bytes of the log.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.state.lock().log.size_bytes()
    }

    /// Recovery point, high watermark and log start, for the checkpoints: the start that is wanted, which counts once it is written.
    pub(crate) fn checkpoints(&self) -> (Offset, Offset, Offset) {
        let state = self.state.lock();
        let log_start = state.log.log_start().max(state.wanted_start);
        (state.log.recovery_point(), state.leader.high_watermark(), log_start)
    }

    /// Wants the log start moved up to `before`, or to the high watermark, and says where to. It moves once its checkpoint is written.
    pub(crate) fn delete_records(&self, before: Option<Offset>) -> Result<Offset, Refusal> {
        let mut state = self.state.lock();
        state.check(LeaderEpoch::NONE)?;
        if !state.config.delete && state.config.compact {
            return Err(Refusal::new(
                ErrorCode::PolicyViolation,
                "records of a topic that is only compacted cannot be deleted",
            ));
        }
        let high_watermark = state.leader.high_watermark();
        let wanted = before.unwrap_or(high_watermark);
        state.log.check_start(wanted, high_watermark)?;
        state.wanted_start = state.wanted_start.max(wanted);
        Ok(wanted)
    }

    /// The log start of `checkpoint` is on disk.
    pub(crate) fn log_start_kept(&self, checkpoint: &OffsetCheckpoint) {
        let Some(start) = checkpoint.0.get(&self.tp).copied() else { return };
        let mut state = self.state.lock();
        if state.deleted {
            return;
        }
        let high_watermark = state.leader.high_watermark();
        if let Err(refusal) = state.log.delete_records(start, high_watermark) {
            tracing::error!(partition = %self.tp, %refusal, "the log start cannot be moved");
        }
    }

    /// Drops what retention no longer keeps, forgets idle producers.
    pub(crate) fn maintain(&self, now: Timestamp) -> Option<Deletion> {
        let mut state = self.state.lock();
        if state.log.offline().is_some() || state.deleted {
            return None;
        }
        state.log.expire_producers(now);
        let high_watermark = state.leader.high_watermark();
        match state.log.retain(now, high_watermark) {
            Ok(deletion) => deletion,
            Err(error) => {
                tracing::error!(partition = %self.tp, %error, "retention failed");
                if let ReadError::Disk(error) = &error {
                    self.committer.break_with(error);
                }
                None
            }
        }
    }

    /// Lets descriptors of clean segments go.
    pub(crate) fn release_files(&self) {
        self.state.lock().log.release_files();
    }

    /// What must be synced for recovery not to look at what is in the log by now; `closes` readies it for a clean start.
    pub(crate) fn flush_ticket(&self, closes: bool) -> Result<Option<FlushTicket>, DiskError> {
        let mut state = self.state.lock();
        if state.deleted {
            return Ok(None);
        }
        if closes { state.log.close_ticket() } else { state.log.flush_ticket() }
    }

    /// The files of `ticket` are synced.
    pub(crate) fn name_flushed(&self, ticket: &FlushTicket) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        if state.deleted { Ok(()) } else { state.log.name_flushed(ticket) }
    }

    /// All of `ticket` is on disk.
    pub(crate) fn on_flushed(&self, ticket: &FlushTicket) -> Result<(), DiskError> {
        let mut state = self.state.lock();
        if state.deleted { Ok(()) } else { state.log.on_flushed(ticket) }
    }

    /// The producers that the log remembers.
    pub(crate) fn active_producers(&self) -> Vec<ProducerState> {
        let state = self.state.lock();
        let producers = state.log.producers().iter().map(|(id, entry)| ProducerState {
            producer_id: id.0,
            producer_epoch: i32::from(entry.epoch.0),
            last_sequence: entry.last_sequence(),
            last_timestamp: entry.last_timestamp.0,
            coordinator_epoch: entry.coordinator_epoch,
            current_txn_start_offset: entry.txn_first_offset.map_or(-1, |offset| offset.0),
            ..ProducerState::default()
        });
        producers.collect()
    }
}

fn append_refusal(error: AppendError) -> Refusal {
    match error {
        AppendError::Offline(error) => offline(&error),
        AppendError::Producer(refusal) => refusal.into(),
        // R32: a retry must not be told UNKNOWN_SERVER_ERROR, upon which clients begin their sequences anew.
        damaged @ AppendError::Damaged(_) => Refusal::new(ErrorCode::KafkaStorageError, damaged.to_string()),
        other => Refusal::new(ErrorCode::UnknownServerError, other.to_string()),
    }
}

fn compression(kind: &CompressionType) -> Option<Compression> {
    match kind {
        CompressionType::Producer => None,
        CompressionType::Codec { name, level } => {
            Codec::from_name(name).map(|codec| Compression { codec, level: *level })
        }
    }
}

/// The log's settings out of a topic's.
pub(crate) fn log_config(config: &TopicConfig, producer_id_expiration_ms: i64) -> LogConfig {
    LogConfig {
        segment_bytes: config.segment_bytes,
        segment_ms: config.segment_ms,
        segment_index_bytes: config.segment_index_bytes,
        index_interval_bytes: config.index_interval_bytes,
        retention_ms: config.retention_ms,
        retention_bytes: config.retention_bytes,
        delete: config.delete,
        compact: config.compact,
        file_delete_delay_ms: config.file_delete_delay_ms,
        producer_id_expiration_ms,
        decompressed_bytes_max: config.decompressed_bytes_max,
        left_out: storage::LeftOut::default(),
    }
}

impl Commit for Partition {
    fn ticket(&self) -> Result<Option<SyncTicket>, DiskError> {
        let mut state = self.state.lock();
        state.queued = Queued::No;
        if state.deleted { Ok(None) } else { state.log.ticket() }
    }

    fn synced(&self, ticket: &SyncTicket) {
        let mut state = self.state.lock();
        let Some(up_to) = state.log.durable_end(ticket) else { return };
        let moved = state.leader.on_durable(up_to);
        let high_watermark = state.leader.high_watermark();
        state.log.on_high_watermark(high_watermark);
        let woken = if moved { state.woken() } else { Vec::new() };
        let observer = if moved { state.observer.clone() } else { None };
        drop(state);
        wake(woken);
        if let Some(observer) = observer.and_then(|observer| observer.upgrade()) {
            observer.high_watermark(high_watermark);
        }
    }

    fn failed(&self, error: &DiskError) {
        self.fail(error);
    }
}

#[cfg(test)]
pub(crate) mod tests;
