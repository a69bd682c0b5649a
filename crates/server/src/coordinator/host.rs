//! One shard on its partition: the lock, whoever waits, and the way of a batch into the log.

use super::{Answer, Hosted, load};
use crate::partition::{Observer, Partition};
use base::{Clock, ErrorCode, LeaderEpoch, Monotonic, Offset, Refusal};
use parking_lot::Mutex;
use record::{BatchBuilder, BatchOptions, NewRecord};
use rsm::{Effects, Machine, Now, Shard, StagedBatch, Ticket};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

type Sender<M> = oneshot::Sender<Result<<M as Machine>::Reply, Refusal>>;
type Released<M> = Vec<(Sender<M>, Result<<M as Machine>::Reply, Refusal>)>;

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
}

/// A shard on its partition.
pub(super) struct Host<M: Hosted> {
    partition: Arc<Partition>,
    epoch: LeaderEpoch,
    clock: Arc<dyn Clock>,
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
}

impl<M: Hosted> Host<M> {
    pub(super) fn new(partition: Arc<Partition>, epoch: LeaderEpoch, clock: Arc<dyn Clock>) -> Arc<Self> {
        let inner = Inner { phase: Phase::Loading, waiting: BTreeMap::new(), next_ticket: 0 };
        Arc::new(Self { partition, epoch, clock, inner: Mutex::new(inner), deadline: AtomicU64::new(u64::MAX) })
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
                let mut inner = self.inner.lock();
                if matches!(inner.phase, Phase::Loading) {
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
            let appended = self.partition.append_internal(&encode::<M>(&batch, now), now.wall);
            match appended {
                Ok(log_end) => shard.on_appended(log_end),
                Err(refusal) => return self.fail(inner, &refusal),
            }
            shard.on_high_watermark(self.partition.high_watermark());
        }
        self.deadline.store(shard.next_deadline().map_or(u64::MAX, |at| at.0), Ordering::Release);
        let releases = shard.take_releases();
        let waiting = &mut inner.waiting;
        releases
            .into_iter()
            .filter_map(|release| waiting.remove(&release.ticket).map(|sender| (sender, release.reply)))
            .collect()
    }

    /// The machine is ahead of its log: it is thrown away and loaded anew, and clients ask again.
    fn fail(&self, inner: &mut Inner<M>, refusal: &Refusal) -> Released<M> {
        tracing::error!(partition = %self.partition.tp, %refusal, "a coordinator's records cannot be appended");
        inner.phase = if refusal.code == ErrorCode::KafkaStorageError { Phase::Closed } else { Phase::Loading };
        self.deadline.store(0, Ordering::Release);
        let code = match refusal.code {
            ErrorCode::KafkaStorageError | ErrorCode::NotLeaderOrFollower => ErrorCode::NotCoordinator,
            _ => ErrorCode::CoordinatorNotAvailable,
        };
        inner.refuse_all(&Refusal::new(code, refusal.message.clone()))
    }

    /// Nothing more happens here; whoever waits is refused.
    pub(super) fn close(&self, refusal: &Refusal) {
        let mut inner = self.inner.lock();
        inner.phase = Phase::Closed;
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
