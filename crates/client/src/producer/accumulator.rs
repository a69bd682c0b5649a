//! Records on their way into batches, and batches on their way out: a plain structure behind one short lock.

use super::{Delivery, ProducerOptions};
use crate::error::Error;
use crate::producer::partitioner::partition_for_key;
use base::{ProducerEpoch, ProducerId};
use parking_lot::Mutex;
use record::{BatchBuilder, BatchOptions, NewRecord};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What became of a batch.
#[derive(Default)]
pub(super) struct Outcome {
    /// The base offset.
    result: Mutex<Option<Result<i64, Error>>>,
    known: Notify,
}

impl Outcome {
    fn set(&self, result: Result<i64, Error>) {
        *self.result.lock() = Some(result);
        self.known.notify_waiters();
    }

    pub(super) async fn wait(&self) -> Result<i64, Error> {
        loop {
            let known = self.known.notified();
            tokio::pin!(known);
            known.as_mut().enable();
            if let Some(result) = self.result.lock().clone() {
                return result;
            }
            known.await;
        }
    }
}

/// A batch from its first record to its acknowledgement.
pub(super) struct Batch {
    builder: BatchBuilder,
    /// The batch's bytes once it was first sent; a retry sends the same.
    pub(super) bytes: Option<Arc<[u8]>>,
    outcome: Arc<Outcome>,
    pub(super) opened: Instant,
    /// Of the first record.
    pub(super) sequence: i32,
    /// What it holds of the buffer.
    buffered: usize,
}

impl Batch {
    fn records(&self) -> i32 {
        self.builder.record_count()
    }

    /// The bytes, built at first use: compression happens outside of any lock.
    pub(super) fn build(&mut self) -> Arc<[u8]> {
        Arc::clone(self.bytes.get_or_insert_with(|| Arc::from(self.builder.build())))
    }

    /// Whether its records were taken after those of another batch of the partition.
    fn is_after(&self, other: &Batch) -> bool {
        self.opened > other.opened || (self.opened == other.opened && self.sequence > other.sequence)
    }

    /// Bytes before compression.
    pub(super) fn size(&self) -> usize {
        self.bytes.as_ref().map_or(self.builder.uncompressed_size(), |bytes| bytes.len())
    }
}

/// A partition's batches.
#[derive(Default)]
pub(super) struct Queue {
    open: Option<Batch>,
    ready: VecDeque<Batch>,
    next_sequence: i32,
    pub(super) in_flight: usize,
    /// A batch must be sent again: until everything in flight has come back, nothing new goes out.
    pub(super) recovering: bool,
    pub(super) retry_at: Option<Instant>,
}

struct Topic {
    partitions: Vec<Queue>,
    /// Where records without a key go until a batch is full (KIP-794).
    sticky: usize,
    sticky_bytes: usize,
}

/// What came of an append.
pub(super) enum Appended {
    /// It is in a batch; `wake` when the sender has something to look at.
    Taken {
        /// Its fate.
        delivery: Delivery,
        /// As above.
        wake: bool,
    },
    /// The buffer is full.
    Full,
    /// The topic's partitions are not known.
    UnknownTopic,
}

/// All of it.
pub(super) struct Accumulator {
    options: ProducerOptions,
    producer_id: ProducerId,
    producer_epoch: ProducerEpoch,
    topics: BTreeMap<Arc<str>, Topic>,
    buffered: usize,
    /// Batches not acknowledged yet, open ones included.
    outstanding: usize,
    acknowledged: u64,
    flushing: bool,
    closing: bool,
    error: Option<Error>,
    /// No batch can follow the one that failed.
    broken: Option<Error>,
}

impl Accumulator {
    pub(super) fn new(options: ProducerOptions, producer_id: ProducerId, producer_epoch: ProducerEpoch) -> Self {
        Self {
            options,
            producer_id,
            producer_epoch,
            topics: BTreeMap::new(),
            buffered: 0,
            outstanding: 0,
            acknowledged: 0,
            flushing: false,
            closing: false,
            error: None,
            broken: None,
        }
    }

    pub(super) fn set_partitions(&mut self, topic: &str, count: usize) -> Result<(), Error> {
        if count == 0 {
            return Err(Error::Invalid(format!("topic {topic} has no partitions")));
        }
        let known = self.topics.entry(Arc::from(topic)).or_insert_with(|| Topic {
            partitions: Vec::new(),
            sticky: 0,
            sticky_bytes: 0,
        });
        let count = count.max(known.partitions.len());
        known.partitions.resize_with(count, Queue::default);
        Ok(())
    }

    pub(super) fn append(
        &mut self,
        topic: &str,
        partition: Option<i32>,
        record: &NewRecord<'_>,
    ) -> Result<Appended, Error> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let Some(known) = self.topics.get_mut(topic) else { return Ok(Appended::UnknownTopic) };
        let index = match (partition, record.key) {
            (Some(partition), _) => {
                usize::try_from(partition).ok().filter(|index| *index < known.partitions.len()).ok_or_else(|| {
                    Error::Invalid(format!(
                        "topic {topic} has {} partitions, no partition {partition}",
                        known.partitions.len()
                    ))
                })?
            }
            (None, Some(key)) => partition_for_key(key, known.partitions.len()) as usize,
            (None, None) => known.sticky,
        };
        let count = known.partitions.len();
        let queue = &mut known.partitions[index];
        let mut wake = false;
        if queue.open.as_ref().is_some_and(|batch| batch.builder.size_with(record) > self.options.batch_bytes) {
            queue.ready.extend(queue.open.take());
            wake = true;
        }
        let needed = match &queue.open {
            Some(batch) => batch.builder.size_with(record) - batch.builder.uncompressed_size(),
            None => BatchBuilder::new(BatchOptions::default()).size_with(record),
        };
        if needed > self.options.request_bytes_max {
            let limit = self.options.request_bytes_max;
            return Err(Error::Invalid(format!(
                "a record of {needed} bytes is over the limit of {limit} (max.request.size)"
            )));
        }
        if self.buffered > 0 && self.buffered + needed > self.options.buffer_bytes {
            return Ok(Appended::Full);
        }
        if queue.open.is_none() {
            let options = batch_options(&self.options, self.producer_id, self.producer_epoch, queue.next_sequence);
            queue.open = Some(new_batch(options));
            self.outstanding += 1;
            wake = true;
        }
        let batch = queue.open.as_mut().expect("opened above");
        let delta = batch.builder.append(record);
        batch.buffered += needed;
        self.buffered += needed;
        queue.next_sequence = next_sequence(queue.next_sequence);
        let delivery =
            Delivery { outcome: Arc::clone(&batch.outcome), partition: index as i32, index: i64::from(delta) };
        if partition.is_none() && record.key.is_none() {
            known.sticky_bytes += needed;
            if known.sticky_bytes >= self.options.batch_bytes {
                (known.sticky, known.sticky_bytes) = ((known.sticky + 1) % count, 0);
            }
        }
        Ok(Appended::Taken { delivery, wake })
    }

    /// Closes every open batch, and those to come until nothing is outstanding.
    pub(super) fn flush(&mut self) {
        self.flushing = self.outstanding > 0;
    }

    pub(super) fn close(&mut self) {
        self.closing = true;
        self.flush();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closing && self.outstanding == 0
    }

    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    pub(super) fn take_error(&mut self) -> Option<Error> {
        self.error.take()
    }

    /// Partitions that have something to send now, and when the next one will.
    pub(super) fn ready(&mut self, now: Instant) -> (Vec<(Arc<str>, i32)>, Option<Instant>) {
        let per_partition_max =
            if self.options.idempotent || self.options.acks.code() == 0 { self.options.in_flight_max } else { 1 };
        let urgent = self.flushing || self.buffered >= self.options.buffer_bytes / 2;
        let mut ready = Vec::new();
        let mut next: Option<Instant> = None;
        let mut later = |at: Instant| next = Some(next.map_or(at, |next| next.min(at)));
        for (name, topic) in &mut self.topics {
            for (index, queue) in topic.partitions.iter_mut().enumerate() {
                let blocked = queue.in_flight >= per_partition_max || (queue.recovering && queue.in_flight > 0);
                let due = queue.open.as_ref().map(|batch| batch.opened + self.options.linger);
                if urgent || due.is_some_and(|due| due <= now) {
                    queue.ready.extend(queue.open.take());
                }
                if queue.ready.is_empty() {
                    due.into_iter().for_each(&mut later);
                } else if let Some(at) = queue.retry_at.filter(|at| *at > now) {
                    later(at);
                } else if !blocked {
                    queue.retry_at = None;
                    ready.push((Arc::clone(name), index as i32));
                }
            }
        }
        (ready, next)
    }

    /// Takes the partition's first batch out to be sent.
    pub(super) fn take_batch(&mut self, topic: &str, partition: i32, size_max: usize) -> Option<Batch> {
        let queue = self.queue(topic, partition)?;
        if queue.ready.front()?.size() > size_max {
            return None;
        }
        let batch = queue.ready.pop_front()?;
        queue.in_flight += 1;
        Some(batch)
    }

    fn queue(&mut self, topic: &str, partition: i32) -> Option<&mut Queue> {
        self.topics.get_mut(topic)?.partitions.get_mut(usize::try_from(partition).ok()?)
    }

    /// Puts a batch back, to be sent again after `retry_at`, before every later one.
    pub(super) fn put_back(&mut self, topic: &str, partition: i32, batch: Batch, retry_at: Instant) {
        let Some(queue) = self.queue(topic, partition) else { return };
        queue.in_flight -= 1;
        queue.recovering = true;
        queue.retry_at = Some(retry_at);
        let at = queue.ready.iter().position(|other| other.is_after(&batch)).unwrap_or(queue.ready.len());
        queue.ready.insert(at, batch);
    }

    /// A batch was appended at `base_offset`.
    pub(super) fn succeed(&mut self, topic: &str, partition: i32, batch: &Batch, base_offset: i64) {
        if let Some(queue) = self.queue(topic, partition) {
            queue.in_flight -= 1;
            queue.recovering &= queue.in_flight > 0;
        }
        self.acknowledged += u64::from(batch.records().unsigned_abs());
        self.settle(batch, Ok(base_offset));
    }

    /// A batch cannot be appended. With sequence numbers no later batch could be either.
    pub(super) fn fail(&mut self, topic: &str, partition: i32, batch: &Batch, error: Error) {
        if let Some(queue) = self.queue(topic, partition) {
            queue.in_flight -= 1;
        }
        self.settle(batch, Err(error.clone()));
        if self.options.idempotent {
            self.broken.get_or_insert_with(|| error.clone());
            self.fail_waiting(&error);
        }
    }

    /// Fails everything that is not in flight.
    fn fail_waiting(&mut self, error: &Error) {
        let mut waiting = Vec::new();
        for topic in self.topics.values_mut() {
            for queue in &mut topic.partitions {
                waiting.extend(queue.ready.drain(..));
                waiting.extend(queue.open.take());
            }
        }
        waiting.iter().for_each(|batch| self.settle(batch, Err(error.clone())));
    }

    /// Whether this batch, which is in flight, may have overtaken an earlier one of its partition: one that waits to be sent again, or
    /// is in flight to the broker that led before. A batch that was sent alone, and before all others, has overtaken none.
    pub(super) fn may_have_overtaken(&mut self, topic: &str, partition: i32, batch: &Batch) -> bool {
        let waits = |queue: &Queue| queue.ready.front().is_some_and(|first| batch.is_after(first));
        self.queue(topic, partition).is_some_and(|queue| queue.in_flight > 1 || waits(queue))
    }

    pub(super) fn is_broken(&self) -> bool {
        self.broken.is_some()
    }

    fn settle(&mut self, batch: &Batch, result: Result<i64, Error>) {
        self.outstanding -= 1;
        self.flushing &= self.outstanding > 0;
        self.buffered -= batch.buffered;
        if let Err(error) = &result {
            self.error.get_or_insert_with(|| error.clone());
        }
        batch.outcome.set(result);
    }
}

fn new_batch(options: BatchOptions) -> Batch {
    Batch {
        builder: BatchBuilder::new(options),
        bytes: None,
        outcome: Arc::new(Outcome::default()),
        opened: Instant::now(),
        sequence: options.base_sequence,
        buffered: 0,
    }
}

fn batch_options(options: &ProducerOptions, id: ProducerId, epoch: ProducerEpoch, sequence: i32) -> BatchOptions {
    BatchOptions {
        compression: options.compression,
        producer_id: id,
        producer_epoch: epoch,
        base_sequence: if options.idempotent { sequence } else { -1 },
        ..BatchOptions::default()
    }
}

/// Sequence numbers run from 0 to 2^31-1 and begin again.
fn next_sequence(sequence: i32) -> i32 {
    sequence.checked_add(1).unwrap_or(0)
}
