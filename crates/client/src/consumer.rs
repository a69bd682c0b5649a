//! Reading assigned partitions in offset order.
//!
//! One fetch is in flight to each leader. When its response comes, the next fetch is sent before the records are handed out,
//! so that the network works while the reader does. Records are borrowed from the response; nothing is copied but what a codec
//! unpacks. Fetches are sessionless: right for tens of partitions, wasteful for thousands.

mod offsets;
mod records;

use crate::client::{BACKOFF, Client, Lane};
use crate::error::Error;
use base::{ErrorCode, Uuid};
use net::ResponseFrame;
pub(crate) use offsets::{EARLIEST, LATEST};
use protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::fetch_response::PartitionData;
use protocol::wire::Records;
pub use records::PartitionRecords;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio::time::{Duration, Instant};

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Isolation {
    /// All up to the high watermark.
    #[default]
    ReadUncommitted,
    /// None of an open or aborted transaction.
    ReadCommitted,
}

/// What to do when a position does not exist (any more).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OutOfRange {
    /// Say so.
    #[default]
    Fail,
    /// Go on at the first record there is.
    Earliest,
    /// Go on at the end.
    Latest,
}

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the first record there is.
    Earliest,
    /// At the end: only what comes from now on.
    Latest,
    /// At this offset.
    Offset(i64),
    /// At the first record with this timestamp (milliseconds since 1970) or a later one; at the end when there is none.
    Timestamp(i64),
}

/// How a consumer behaves.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// `isolation.level`.
    pub isolation: Isolation,
    /// What to do at a position that does not exist.
    pub out_of_range: OutOfRange,
    /// `fetch.max.wait.ms`.
    pub max_wait: Duration,
    /// `fetch.min.bytes`.
    pub min_bytes: i32,
    /// `fetch.max.bytes`.
    pub max_bytes: i32,
    /// `max.partition.fetch.bytes`.
    pub partition_bytes: i32,
    /// A batch that unpacks to more is refused.
    pub decompressed_bytes_max: usize,
    /// `check.crcs`.
    pub check_crcs: bool,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            isolation: Isolation::ReadUncommitted,
            out_of_range: OutOfRange::Fail,
            max_wait: Duration::from_millis(500),
            min_bytes: 1,
            max_bytes: 50 * 1024 * 1024,
            partition_bytes: 1024 * 1024,
            decompressed_bytes_max: 256 * 1024 * 1024,
            check_crcs: true,
        }
    }
}

/// What a consumer knows of a partition it reads.
#[derive(Clone, Debug)]
struct Assigned {
    position: i64,
    high_watermark: i64,
    last_stable_offset: i64,
    /// Not before this time, after an error.
    retry_at: Option<Instant>,
    /// Raised when the position is set from outside: what is in flight is then not for it.
    generation: u64,
}

type Key = (Arc<str>, i32);

/// A fetch that came back.
struct Fetched {
    node: i32,
    asked: BTreeMap<Key, (i64, u64)>,
    ids: BTreeMap<Uuid, Arc<str>>,
    response: Result<ResponseFrame<FetchRequest<'static>>, Error>,
}

/// Reads partitions that its user assigns.
pub struct Consumer {
    client: Client,
    lane: Lane,
    options: ConsumerOptions,
    assigned: BTreeMap<Key, Assigned>,
    in_flight: JoinSet<Fetched>,
    busy_nodes: BTreeSet<i32>,
    generations: u64,
}

impl Consumer {
    /// Over this client, with connections of its own.
    #[must_use]
    pub fn new(client: Client, options: ConsumerOptions) -> Consumer {
        let lane = client.new_lane();
        let (assigned, in_flight, busy_nodes) = (BTreeMap::new(), JoinSet::new(), BTreeSet::new());
        Consumer { client, lane, options, assigned, in_flight, busy_nodes, generations: 0 }
    }

    /// Begins to read a partition, or moves its position.
    ///
    /// # Errors
    /// When the partition does not exist, or the position cannot be found.
    pub async fn assign(&mut self, topic: &str, partition: i32, start: Start) -> Result<i64, Error> {
        let position = match start {
            Start::Offset(offset) if offset >= 0 => offset,
            Start::Offset(offset) => return Err(Error::Invalid(format!("{offset} is not an offset"))),
            Start::Earliest => {
                self.client.list_offset(topic, partition, offsets::EARLIEST, self.options.isolation).await?.0
            }
            Start::Latest => {
                self.client.list_offset(topic, partition, offsets::LATEST, self.options.isolation).await?.0
            }
            Start::Timestamp(millis) => {
                match self.client.list_offset(topic, partition, millis, self.options.isolation).await?.0 {
                    -1 => self.client.list_offset(topic, partition, offsets::LATEST, self.options.isolation).await?.0,
                    found => found,
                }
            }
        };
        self.client.leader(topic, partition).await?;
        self.set_position((Arc::from(topic), partition), position);
        Ok(position)
    }

    fn set_position(&mut self, key: Key, position: i64) {
        self.generations += 1;
        let generation = self.generations;
        let fresh = Assigned { position, high_watermark: -1, last_stable_offset: -1, retry_at: None, generation };
        self.assigned.insert(key, fresh);
    }

    /// Stops reading a partition.
    pub fn unassign(&mut self, topic: &str, partition: i32) {
        self.assigned.remove(&(Arc::from(topic), partition));
    }

    /// Whether nothing is assigned.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.assigned.is_empty()
    }

    /// The offset that comes next; `None` when the partition is not assigned.
    #[must_use]
    pub fn position(&self, topic: &str, partition: i32) -> Option<i64> {
        self.assigned.get(&(Arc::from(topic), partition)).map(|assigned| assigned.position)
    }

    /// The end that a reader of this isolation can reach, as the last fetch told; -1 before the first one.
    #[must_use]
    pub fn end(&self, topic: &str, partition: i32) -> Option<i64> {
        let assigned = self.assigned.get(&(Arc::from(topic), partition))?;
        Some(match self.options.isolation {
            Isolation::ReadUncommitted => assigned.high_watermark,
            Isolation::ReadCommitted => assigned.last_stable_offset,
        })
    }

    /// Waits for the next response with anything in it: records, or only a moved high watermark. Each element is one partition.
    ///
    /// # Errors
    /// When a partition cannot be read and trying again does not help.
    pub async fn poll(&mut self) -> Result<Vec<PartitionRecords>, Error> {
        if self.assigned.is_empty() {
            return Err(Error::Invalid("the consumer has no partition to read".to_owned()));
        }
        loop {
            self.start_fetches().await?;
            let wake = self.next_retry();
            let fetched = tokio::select! {
                Some(fetched) = self.in_flight.join_next(), if !self.in_flight.is_empty() => fetched,
                () = tokio::time::sleep_until(wake) => continue,
            };
            let fetched = fetched.map_err(|error| Error::Invalid(format!("a fetch broke an invariant: {error}")))?;
            let records = self.take(fetched).await?;
            if !records.is_empty() {
                self.start_fetches().await?;
                return Ok(records);
            }
        }
    }

    /// When a partition that rests after an error may be asked for again.
    fn next_retry(&self) -> Instant {
        let next = self.assigned.values().filter_map(|assigned| assigned.retry_at).min();
        next.unwrap_or_else(|| Instant::now() + self.options.max_wait).max(Instant::now() + Duration::from_millis(1))
    }

    async fn start_fetches(&mut self) -> Result<(), Error> {
        let now = Instant::now();
        let mut by_node: BTreeMap<i32, Vec<Key>> = BTreeMap::new();
        let ready = |assigned: &Assigned| assigned.retry_at.is_none_or(|at| at <= now);
        let keys: Vec<Key> =
            self.assigned.iter().filter(|(_, assigned)| ready(assigned)).map(|(key, _)| key.clone()).collect();
        for key in keys {
            let known = self.client.metadata().partition(&key.0, key.1).map_or(-1, |partition| partition.leader);
            let leader = if known >= 0 { known } else { self.client.leader(&key.0, key.1).await? };
            if !self.busy_nodes.contains(&leader) {
                by_node.entry(leader).or_default().push(key);
            }
        }
        for (node, keys) in by_node {
            self.start_fetch(node, keys);
        }
        Ok(())
    }

    fn start_fetch(&mut self, node: i32, keys: Vec<Key>) {
        let metadata = self.client.metadata();
        let mut asked = BTreeMap::new();
        let mut ids = BTreeMap::new();
        let mut topics: Vec<FetchTopic<'static>> = Vec::new();
        for key in keys {
            let Some(assigned) = self.assigned.get_mut(&key) else { continue };
            assigned.retry_at = None;
            let topic_id = metadata.topics.get(&*key.0).map_or(Uuid::ZERO, |topic| topic.id);
            let epoch = metadata.partition(&key.0, key.1).map_or(-1, |partition| partition.leader_epoch);
            let partition = FetchPartition {
                partition: key.1,
                current_leader_epoch: epoch,
                fetch_offset: assigned.position,
                partition_max_bytes: self.options.partition_bytes,
                ..FetchPartition::default()
            };
            match topics.last_mut().filter(|topic| topic.topic == *key.0) {
                Some(topic) => topic.partitions.push(partition),
                None => topics.push(FetchTopic {
                    topic: Cow::Owned(key.0.to_string()),
                    topic_id,
                    partitions: vec![partition],
                    ..FetchTopic::default()
                }),
            }
            ids.insert(topic_id, Arc::clone(&key.0));
            asked.insert(key, (assigned.position, assigned.generation));
        }
        let request = self.fetch_request(topics);
        let (client, lane, wait) = (self.client.clone(), self.lane, self.options.max_wait);
        self.busy_nodes.insert(node);
        self.in_flight.spawn(async move {
            let response = fetch(&client, lane, node, request, wait).await;
            Fetched { node, asked, ids, response }
        });
    }

    fn fetch_request(&self, topics: Vec<FetchTopic<'static>>) -> FetchRequest<'static> {
        FetchRequest {
            max_wait_ms: i32::try_from(self.options.max_wait.as_millis()).unwrap_or(i32::MAX),
            min_bytes: self.options.min_bytes,
            max_bytes: self.options.max_bytes,
            isolation_level: i8::from(self.options.isolation == Isolation::ReadCommitted),
            session_id: 0,
            session_epoch: -1,
            topics,
            ..FetchRequest::default()
        }
    }

    /// Takes a response in: moves positions on, and picks the records out.
    async fn take(&mut self, fetched: Fetched) -> Result<Vec<PartitionRecords>, Error> {
        self.busy_nodes.remove(&fetched.node);
        let frame = match fetched.response {
            Ok(frame) => Arc::new(frame),
            Err(error) if error.is_retriable() => {
                tracing::debug!(%error, "a fetch from node {} is tried again", fetched.node);
                self.rest(fetched.asked.keys());
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        let response = frame.decode()?;
        if response.error_code != 0 {
            let error = Error::broker(format!("cannot fetch from node {}", fetched.node), response.error_code, None);
            if !error.is_retriable() {
                return Err(error);
            }
            self.rest(fetched.asked.keys());
            return Ok(Vec::new());
        }
        let mut out = Vec::new();
        for topic in &response.responses {
            let name: Option<Arc<str>> = match topic.topic.is_empty() {
                true => fetched.ids.get(&topic.topic_id).cloned(),
                false => Some(Arc::from(&*topic.topic)),
            };
            let Some(name) = name else { continue };
            for data in &topic.partitions {
                let key = (Arc::clone(&name), data.partition_index);
                let Some(&(position, generation)) = fetched.asked.get(&key) else { continue };
                if self.assigned.get(&key).is_some_and(|assigned| assigned.generation == generation) {
                    out.extend(self.take_partition(&frame, key, data, position).await?);
                }
            }
        }
        Ok(out)
    }

    async fn take_partition(
        &mut self,
        frame: &Arc<ResponseFrame<FetchRequest<'static>>>,
        key: Key,
        data: &PartitionData<'_>,
        position: i64,
    ) -> Result<Option<PartitionRecords>, Error> {
        if data.error_code != 0 {
            self.handle_error(key, data.error_code, position).await?;
            return Ok(None);
        }
        let Some(assigned) = self.assigned.get_mut(&key) else { return Ok(None) };
        let bytes: &[u8] = match &data.records {
            Records::Bytes(bytes) => bytes,
            _ => &[],
        };
        let moved =
            assigned.high_watermark != data.high_watermark || assigned.last_stable_offset != data.last_stable_offset;
        assigned.high_watermark = data.high_watermark;
        assigned.last_stable_offset = data.last_stable_offset;
        let fetched = records::Fetched { frame, key: &key, data, bytes, position };
        let records = PartitionRecords::new(&fetched, &self.options)?;
        assigned.position = records.next_offset();
        let news = moved || assigned.position > position;
        Ok(news.then_some(records))
    }

    async fn handle_error(&mut self, key: Key, code: i16, position: i64) -> Result<(), Error> {
        let error = Error::broker(format!("cannot read {}-{} at offset {position}", key.0, key.1), code, None);
        if error.code() == Some(ErrorCode::OffsetOutOfRange) {
            let start = match self.options.out_of_range {
                OutOfRange::Fail => return Err(error),
                OutOfRange::Earliest => offsets::EARLIEST,
                OutOfRange::Latest => offsets::LATEST,
            };
            let found = self.client.list_offset(&key.0, key.1, start, self.options.isolation).await?.0;
            self.set_position(key, found);
            return Ok(());
        }
        if !error.is_retriable() {
            return Err(error);
        }
        self.rest([&key]);
        Ok(())
    }

    /// Lets partitions rest for a moment, and has their leaders looked up again.
    fn rest<'a>(&mut self, keys: impl IntoIterator<Item = &'a Key>) {
        for key in keys {
            self.client.forget_topic(&key.0);
            if let Some(assigned) = self.assigned.get_mut(key) {
                assigned.retry_at = Some(Instant::now() + BACKOFF);
            }
        }
    }
}

async fn fetch(
    client: &Client,
    lane: Lane,
    node: i32,
    request: FetchRequest<'static>,
    wait: Duration,
) -> Result<ResponseFrame<FetchRequest<'static>>, Error> {
    let channel = client.channel(lane, node).await?;
    let with_ids = request.topics.iter().all(|topic| topic.topic_id != Uuid::ZERO);
    // Version 4 is the first for batches of format 2; from 13 on topics go by id (KIP-516).
    let version = channel.negotiate::<FetchRequest<'_>>(4..=if with_ids { i16::MAX } else { 12 })?;
    let timeout = client.options().channel.request_timeout + wait;
    Ok(channel.send_within(&request, version, timeout).await?)
}

#[cfg(test)]
mod tests;
