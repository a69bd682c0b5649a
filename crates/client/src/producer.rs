//! Sending records: gathered into batches by partition, sent to leaders with several requests in flight, retried in order.
//!
//! Invariants: batches of a partition are appended in the order of their records, also when some are sent again; memory is
//! bounded; with an idempotent producer nothing is appended twice. After an error that makes an order unprovable (a batch that
//! can be neither appended nor left out) the producer is broken and says so on every call: starting again is the user's choice.

mod accumulator;
mod partitioner;
mod sender;

use crate::client::Client;
use crate::error::Error;
use accumulator::{Accumulator, Outcome};
use base::{ErrorCode, ProducerEpoch, ProducerId, Timestamp};
use parking_lot::Mutex;
pub use partitioner::partition_for_key;
use protocol::ApiKey;
use protocol::messages::init_producer_id_request::InitProducerIdRequest;
use record::{Compression, Header, NewRecord};
use sender::Sender;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::time::Duration;

/// Who must have a record before it counts as sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acks {
    /// Nobody: nothing is known of its fate.
    None,
    /// The leader.
    Leader,
    /// All replicas in sync.
    All,
}

impl Acks {
    pub(crate) fn code(self) -> i16 {
        match self {
            Acks::None => 0,
            Acks::Leader => 1,
            Acks::All => -1,
        }
    }
}

/// How a producer behaves.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// `acks`.
    pub acks: Acks,
    /// `linger.ms`.
    pub linger: Duration,
    /// `batch.size`, before compression.
    pub batch_bytes: usize,
    /// `compression.type`.
    pub compression: Compression,
    /// `enable.idempotence`; off by itself without acks=all and where the broker does not offer it.
    pub idempotent: bool,
    /// `buffer.memory`: beyond it sending waits.
    pub buffer_bytes: usize,
    /// `max.in.flight.requests.per.connection`, at most 5 (KIP-98). Without idempotence one batch of a partition is in
    /// flight at a time, so that order holds.
    pub in_flight_max: usize,
    /// `max.request.size`.
    pub request_bytes_max: usize,
    /// `delivery.timeout.ms`.
    pub delivery_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            acks: Acks::All,
            linger: Duration::from_millis(5),
            batch_bytes: 64 * 1024,
            compression: Compression::NONE,
            idempotent: true,
            buffer_bytes: 32 * 1024 * 1024,
            in_flight_max: 5,
            request_bytes_max: 1024 * 1024,
            delivery_timeout: Duration::from_secs(120),
        }
    }
}

/// A record to be sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToSend<'a> {
    /// The partition; `None` lets the key decide, or spreads records without one.
    pub partition: Option<i32>,
    /// Its key.
    pub key: Option<&'a [u8]>,
    /// Its value.
    pub value: Option<&'a [u8]>,
    /// Its headers.
    pub headers: &'a [Header<'a>],
    /// Its create time in milliseconds since 1970.
    pub timestamp_ms: i64,
}

impl<'a> ToSend<'a> {
    fn record(&self) -> NewRecord<'a> {
        NewRecord { timestamp: Timestamp(self.timestamp_ms), key: self.key, value: self.value, headers: self.headers }
    }
}

/// Where a record was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    /// The partition.
    pub partition: i32,
    /// Its offset; -1 with acks=0, or when the broker had appended it before.
    pub offset: i64,
}

/// The fate of a record that was taken. Dropping it loses nothing: [`Producer::flush`] reports the first error too.
#[derive(Clone)]
pub struct Delivery {
    outcome: Arc<Outcome>,
    partition: i32,
    index: i64,
}

impl Delivery {
    /// Waits until the record is appended.
    ///
    /// # Errors
    /// When it could not be, or may not have been.
    pub async fn wait(self) -> Result<RecordMetadata, Error> {
        let base = self.outcome.wait().await?;
        let offset = if base < 0 { -1 } else { base + self.index };
        Ok(RecordMetadata { partition: self.partition, offset })
    }
}

/// What the producer's handle and its sender share.
struct Shared {
    accumulator: Mutex<Accumulator>,
    /// For the sender: a batch is ready, or the producer is closing.
    work: Notify,
    /// For users: room, or an end of everything that was outstanding.
    progress: Notify,
}

/// Sends records. Must live inside a tokio runtime.
pub struct Producer {
    client: Client,
    shared: Arc<Shared>,
}

impl Producer {
    /// Over this client, with connections of its own. Asks for a producer id when it is to be idempotent.
    ///
    /// # Errors
    /// When the options contradict each other or no producer id can be had.
    pub async fn new(client: Client, mut options: ProducerOptions) -> Result<Producer, Error> {
        if !(1..=5).contains(&options.in_flight_max) {
            return Err(Error::Invalid(format!(
                "{} requests in flight are not between 1 and 5",
                options.in_flight_max
            )));
        }
        options.idempotent &= options.acks == Acks::All;
        let id = if options.idempotent { init_producer_id(&client).await? } else { None };
        options.idempotent = id.is_some();
        let (producer_id, producer_epoch) = id.unwrap_or((ProducerId::NONE, ProducerEpoch::NONE));
        let shared = Arc::new(Shared {
            accumulator: Mutex::new(Accumulator::new(options.clone(), producer_id, producer_epoch)),
            work: Notify::new(),
            progress: Notify::new(),
        });
        let sender = Sender::new(client.clone(), Arc::clone(&shared), options);
        tokio::spawn(sender.run());
        Ok(Producer { client, shared })
    }

    /// Takes a record into a batch, waiting while the buffer is full.
    ///
    /// # Errors
    /// When the topic cannot be found, the record is too large, or the producer is broken.
    pub async fn send(&self, topic: &str, record: &ToSend<'_>) -> Result<Delivery, Error> {
        loop {
            let progress = self.shared.progress.notified();
            let mut unknown = false;
            {
                let mut accumulator = self.shared.accumulator.lock();
                match accumulator.append(topic, record.partition, &record.record())? {
                    accumulator::Appended::Taken { delivery, wake } => {
                        drop(accumulator);
                        if wake {
                            self.shared.work.notify_one();
                        }
                        return Ok(delivery);
                    }
                    accumulator::Appended::Full => {}
                    accumulator::Appended::UnknownTopic => unknown = true,
                }
            }
            if unknown {
                let described = self.client.refresh_topic(topic, true).await?;
                self.shared.accumulator.lock().set_partitions(topic, described.partitions.len())?;
            } else {
                self.shared.work.notify_one();
                // Registered before the lock was taken, so progress in between is not missed.
                progress.await;
            }
        }
    }

    /// Waits until everything taken so far is appended.
    ///
    /// # Errors
    /// The first error since the last flush.
    pub async fn flush(&self) -> Result<(), Error> {
        self.shared.accumulator.lock().flush();
        self.shared.work.notify_one();
        loop {
            let progress = self.shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            {
                let mut accumulator = self.shared.accumulator.lock();
                if accumulator.outstanding() == 0 {
                    return accumulator.take_error().map_or(Ok(()), Err);
                }
            }
            progress.await;
        }
    }

    /// Records appended so far.
    #[must_use]
    pub fn acknowledged(&self) -> u64 {
        self.shared.accumulator.lock().acknowledged()
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        // What is still outstanding is sent by the sender, which ends after it; whoever must know waits with `flush`.
        self.shared.accumulator.lock().close();
        self.shared.work.notify_one();
    }
}

/// A producer id, or `None` where the broker has no such thing or does not allow it.
async fn init_producer_id(client: &Client) -> Result<Option<(ProducerId, ProducerEpoch)>, Error> {
    let request =
        InitProducerIdRequest { transactional_id: None, transaction_timeout_ms: i32::MAX, ..Default::default() };
    let attempt = async || {
        let channel = client.any_channel().await?;
        if channel.broker_versions(ApiKey::InitProducerId).is_none() {
            return Ok(None);
        }
        let frame = client.send(&channel, &request).await?;
        let response = frame.decode()?;
        if response.error_code == ErrorCode::ClusterAuthorizationFailed.code() {
            return Ok(None);
        }
        Error::check("cannot get a producer id", response.error_code, None)?;
        Ok(Some((ProducerId(response.producer_id), ProducerEpoch(response.producer_epoch))))
    };
    client.with_retries("cannot get a producer id", attempt).await
}

#[cfg(test)]
mod tests;
