//! One shard on its partition: the lock, whoever waits, and the way of a batch into the log.

use super::{Answer, Hosted, load};
use crate::partition::{Observer, Partition};
use base::{Clock, ErrorCode, LeaderEpoch, Monotonic, Offset, Refusal};
use parking_lot::Mutex;
use record::{BatchBuilder, BatchOptions, NewRecord};
use rsm::{Effects, Machine, Now, Shard, StagedBatch, Ticket};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use telemetry::Metrics;
use tokio::sync::oneshot;

type Sender<M> = oneshot::Sender<Result<<M as Machine>::Reply, Refusal>>;
type Released<M> = Vec<(Sender<M>, Result<<M as Machine>::Reply, Refusal>)>;

/// Batches whose way to the high watermark is timed at a time; more are not.
const TIMED_BATCHES_MAX: usize = 64;

/// Where a shard stands, for the metrics.
pub(super) const STATES: [&str; 3] = ["loading", "active", "closed"];

enum Phase<M: Hosted> {
    /// To be loaded by the coordinator's thread.
    Loading,
    Open(Shard<M>),
    /// Leadership is lost, or the log dir: nothing more happens.
    Closed,
}

struct Inner<M: Hosted> {
    phase: Phase<M>,
    waiting: BTreeMap<Ticket, Sender<M>>,
    next_ticket: u64,
    /// Where batches end that are appended and not committed, and since when.
    uncommitted: VecDeque<(Offset, Monotonic)>,
}

/// A shard on its partition.
pub(super) struct Host<M: Hosted> {
    partition: Arc<Partition>,
    epoch: LeaderEpoch,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    inner: Mutex<Inner<M>>,
    /// The shard's next deadline, for those who do not hold the lock; the end of time for none.
    deadline: AtomicU64,
}

fn answer<M: Hosted>(released: Released<M>) {
    for (sender, reply) in released {
        // A client that has gone wants no answer.
        drop(sender.send(reply));
    }
}

impl<M: Hosted> Inner<M> {
    /// Everybody who waits, with the same refusal.
    fn refuse_all(&mut self, refusal: &Refusal) -> Released<M> {
        std::mem::take(&mut self.waiting).into_values().map(|sender| (sender, Err(refusal.clone()))).collect()
    }

    /// Takes the machine away, with what it has counted told.
    fn end(&mut self, phase: Phase<M>, metrics: &Metrics) {
        if let Phase::Open(shard) = &mut self.phase {
            shard.decide(|machine, _| machine.tell(metrics));
        }
        self.uncommitted.clear();
        self.phase = phase;
    }
}

impl<M: Hosted> Host<M> {
    pub(super) fn new(
        partition: Arc<Partition>,
        epoch: LeaderEpoch,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Arc<Self> {
        let (waiting, uncommitted) = Default::default();
        let inner = Inner { phase: Phase::Loading, waiting, next_ticket: 0, uncommitted };
        let deadline = AtomicU64::new(u64::MAX);
        Arc::new(Self { partition, epoch, clock, metrics, inner: Mutex::new(inner), deadline })
    }

    pub(super) fn is_of(&self, partition: &Arc<Partition>, epoch: LeaderEpoch) -> bool {
        Arc::ptr_eq(&self.partition, partition) && self.epoch == epoch
    }

    pub(super) fn next_deadline(&self) -> Option<Monotonic> {
        Some(Monotonic(self.deadline.load(Ordering::Acquire))).filter(|at| at.0 != u64::MAX)
    }

    pub(super) fn wants_loading(&self) -> bool {
        matches!(self.inner.lock().phase, Phase::Loading)
    }

    /// Folds the log in and opens the shard. The lock is not held meanwhile.
    pub(super) fn load(&self, machine: M, now: Now) {
        let mut shard = Shard::new(machine);
        match load::fold(&self.partition, &mut shard) {
            Ok(log_end) => {
                shard.open(now, log_end, self.partition.high_watermark());
                let took = self.clock.monotonic().since(now.mono);
                M::coordinator_metrics(&self.metrics).load_seconds.observe(took);
                let mut inner = self.inner.lock();
                if matches!(inner.phase, Phase::Loading) {
                    // Again: while it was loading, nobody was told that it has moved.
                    shard.on_high_watermark(self.partition.high_watermark());
                    inner.phase = Phase::Open(shard);
                }
                let released = self.pump(&mut inner, now);
                drop(inner);
                answer::<M>(released);
            }
            Err(why) => {
                tracing::error!(partition = %self.partition.tp, %why, "a coordinator cannot be loaded");
                self.close(&Refusal::new(ErrorCode::NotCoordinator, why));
            }
        }
    }

    /// Lets the machine decide on a request.
    pub(super) fn ask(
        &self,
        now: Now,
        decide: impl FnOnce(&mut M, Now, Ticket, &mut Effects<M>),
    ) -> Result<Answer<M>, Refusal> {
        let (sender, receiver) = oneshot::channel();
        let mut inner = self.inner.lock();
        let ticket = Ticket(inner.next_ticket);
        match &mut inner.phase {
            Phase::Open(shard) => shard.decide(|machine, effects| decide(machine, now, ticket, effects)),
            Phase::Loading => {
                let why = format!("{} is being loaded", self.partition.tp);
                return Err(Refusal::new(ErrorCode::CoordinatorLoadInProgress, why));
            }
            Phase::Closed => return Err(Refusal::new(ErrorCode::NotCoordinator, "the coordinator has closed")),
        }
        inner.next_ticket += 1;
        inner.waiting.insert(ticket, sender);
        let released = self.pump(&mut inner, now);
        drop(inner);
        answer::<M>(released);
        Ok(receiver)
    }

    /// Lets the machine decide on something that nobody waits for.
    pub(super) fn step(&self, now: Now, decide: impl FnOnce(&mut M, Now, &mut Effects<M>)) {
        let mut inner = self.inner.lock();
        if let Phase::Open(shard) = &mut inner.phase {
            shard.decide(|machine, effects| decide(machine, now, effects));
            let released = self.pump(&mut inner, now);
            drop(inner);
            answer::<M>(released);
        }
    }

    /// Fires what is due.
    pub(super) fn tick(&self, now: Now) {
        if self.next_deadline().is_none_or(|at| at > now.mono) {
            return;
        }
        let mut inner = self.inner.lock();
        if let Phase::Open(shard) = &mut inner.phase {
            shard.tick(now);
            let released = self.pump(&mut inner, now);
            drop(inner);
            answer::<M>(released);
        }
    }

    /// Appends what is staged and collects what may be answered.
    fn pump(&self, inner: &mut Inner<M>, now: Now) -> Released<M> {
        let Phase::Open(shard) = &mut inner.phase else { return Vec::new() };
        while let Some(batch) = shard.take_batch() {
            let began = self.clock.monotonic();
            let appended = self.partition.append_internal(&encode::<M>(&batch, now), now.wall);
            let ended = self.clock.monotonic();
            M::coordinator_metrics(&self.metrics).append_seconds.observe(ended.since(began));
            match appended {
                Ok(log_end) => {
                    shard.on_appended(log_end);
                    if inner.uncommitted.len() < TIMED_BATCHES_MAX {
                        inner.uncommitted.push_back((log_end, ended));
                    }
                }
                Err(refusal) => return self.fail(inner, &refusal),
            }
            let high_watermark = self.partition.high_watermark();
            shard.on_high_watermark(high_watermark);
            self.time_commits(&mut inner.uncommitted, high_watermark);
        }
        self.deadline.store(shard.next_deadline().map_or(u64::MAX, |at| at.0), Ordering::Release);
        let releases = shard.take_releases();
        let waiting = &mut inner.waiting;
        releases
            .into_iter()
            .filter_map(|release| waiting.remove(&release.ticket).map(|sender| (sender, release.reply)))
            .collect()
    }

    fn time_commits(&self, uncommitted: &mut VecDeque<(Offset, Monotonic)>, high_watermark: Offset) {
        while let Some((_, since)) = uncommitted.pop_front_if(|(end, _)| *end <= high_watermark) {
            M::coordinator_metrics(&self.metrics).commit_seconds.observe(self.clock.monotonic().since(since));
        }
    }

    /// The machine is ahead of its log: it is thrown away and loaded anew, and clients ask again.
    fn fail(&self, inner: &mut Inner<M>, refusal: &Refusal) -> Released<M> {
        tracing::error!(partition = %self.partition.tp, %refusal, "a coordinator's records cannot be appended");
        let is_over = refusal.code == ErrorCode::KafkaStorageError;
        inner.end(if is_over { Phase::Closed } else { Phase::Loading }, &self.metrics);
        self.deadline.store(0, Ordering::Release);
        let code = match refusal.code {
            ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower => ErrorCode::NotCoordinator,
            _ => ErrorCode::CoordinatorNotAvailable,
        };
        inner.refuse_all(&Refusal::new(code, refusal.message.clone()))
    }

    /// Shows the machine, and tells the metrics what it has counted. Which of [`STATES`] the shard is in, and how many requests wait.
    pub(super) fn look(&self, see: impl FnOnce(&M)) -> (&'static str, usize) {
        let mut inner = self.inner.lock();
        let state = match &mut inner.phase {
            Phase::Loading => STATES[0],
            Phase::Open(shard) => {
                shard.decide(|machine, _| machine.tell(&self.metrics));
                see(shard.machine());
                STATES[1]
            }
            Phase::Closed => STATES[2],
        };
        (state, inner.waiting.len())
    }

    /// Nothing more happens here; whoever waits is refused.
    pub(super) fn close(&self, refusal: &Refusal) {
        let mut inner = self.inner.lock();
        inner.end(Phase::Closed, &self.metrics);
        self.deadline.store(u64::MAX, Ordering::Release);
        let released = inner.refuse_all(refusal);
        drop(inner);
        answer::<M>(released);
    }
}

impl<M: Hosted> Observer for Host<M> {
    fn high_watermark(&self, offset: Offset) {
        let now = Now { mono: self.clock.monotonic(), wall: self.clock.wall() };
        let mut inner = self.inner.lock();
        if let Phase::Open(shard) = &mut inner.phase {
            shard.on_high_watermark(offset);
            self.time_commits(&mut inner.uncommitted, offset);
            let released = self.pump(&mut inner, now);
            drop(inner);
            answer::<M>(released);
        }
    }

    fn failed(&self) {
        self.close(&Refusal::new(ErrorCode::NotCoordinator, "the log dir of the coordinator has failed"));
    }
}

fn encode<M: Hosted>(batch: &StagedBatch<M::Record>, now: Now) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for record in &batch.records {
        let (key, value) = M::encode(record);
        builder.append(&NewRecord {
            timestamp: now.wall,
            key: Some(&key),
            value: value.as_deref(),
            ..NewRecord::default()
        });
    }
    builder.build()
}

#[cfg(test)]
mod tests;
