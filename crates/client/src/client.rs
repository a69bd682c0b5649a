//! The cluster as one thing to ask: channels to its brokers, its metadata, retries.
//!
//! A lane is a set of connections of its own, one a broker: brokers answer a connection's requests one after another, so a
//! fetch that waits for records must not stand before anything else.

use crate::error::Error;
use crate::metadata::{BrokerNode, ClusterMetadata, TopicMetadata};
use net::{Channel, ChannelOptions, ResponseFrame};
use parking_lot::Mutex;
use protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use protocol::wire::{Encode, Request};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::time::{Duration, Instant};

/// The first pause between two attempts; it doubles up to [`BACKOFF_MAX`] (KIP-580).
pub(crate) const BACKOFF: Duration = Duration::from_millis(50);
pub(crate) const BACKOFF_MAX: Duration = Duration::from_secs(1);

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Of each connection.
    pub channel: ChannelOptions,
    /// `default.api.timeout.ms`: how long retriable errors are retried.
    pub api_timeout: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self { channel: ChannelOptions::default(), api_timeout: Duration::from_secs(60) }
    }
}

/// A set of connections: see the module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lane(u32);

impl Lane {
    /// The lane for metadata and admin requests.
    pub const COMMON: Lane = Lane(0);
}

/// A cluster. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    bootstrap: Vec<String>,
    options: ClientOptions,
    lanes: AtomicU32,
    /// Held while connecting, so that two users of a lane share one connection.
    channels: tokio::sync::Mutex<BTreeMap<(Lane, i32), Channel>>,
    metadata: Mutex<Arc<ClusterMetadata>>,
}

/// The pseudo id of the connection that was made to a bootstrap address.
const BOOTSTRAP_NODE: i32 = i32::MIN;

impl Client {
    /// Connects to the first of `bootstrap` (`host:port,host:port`) that answers, and learns the brokers.
    ///
    /// # Errors
    /// When none answers.
    pub async fn connect(bootstrap: &str, options: ClientOptions) -> Result<Client, Error> {
        let addresses: Vec<String> =
            bootstrap.split(',').map(str::trim).filter(|address| !address.is_empty()).map(str::to_owned).collect();
        if addresses.is_empty() {
            return Err(Error::Invalid("a bootstrap address, HOST:PORT, is needed".to_owned()));
        }
        if let Some(bad) = addresses.iter().find(|address| !is_host_and_port(address)) {
            return Err(Error::Invalid(format!("`{}` is not HOST:PORT", bad.escape_debug())));
        }
        let inner = Inner {
            bootstrap: addresses,
            options,
            lanes: AtomicU32::new(1),
            channels: tokio::sync::Mutex::new(BTreeMap::new()),
            metadata: Mutex::new(Arc::new(ClusterMetadata::default())),
        };
        let client = Client { inner: Arc::new(inner) };
        client.refresh(Some(&[]), false).await?;
        Ok(client)
    }

    /// How it behaves.
    #[must_use]
    pub fn options(&self) -> &ClientOptions {
        &self.inner.options
    }

    /// A lane of its own.
    #[must_use]
    pub fn new_lane(&self) -> Lane {
        Lane(self.inner.lanes.fetch_add(1, Ordering::Relaxed))
    }

    /// What is known of the cluster.
    #[must_use]
    pub fn metadata(&self) -> Arc<ClusterMetadata> {
        Arc::clone(&self.inner.metadata.lock())
    }

    /// A connection to the broker with this id.
    ///
    /// # Errors
    /// When the broker is unknown or cannot be reached.
    pub async fn channel(&self, lane: Lane, node: i32) -> Result<Channel, Error> {
        let mut channels = self.inner.channels.lock().await;
        if let Some(channel) = channels.get(&(lane, node)).filter(|channel| !channel.is_closed()) {
            return Ok(channel.clone());
        }
        let address = self.metadata().brokers.get(&node).map(BrokerNode::address);
        let address = address.ok_or_else(|| {
            Error::broker(format!("broker {node} is unknown"), base::ErrorCode::LeaderNotAvailable.code(), None)
        })?;
        let channel = Channel::connect(&address, self.inner.options.channel.clone()).await?;
        channels.insert((lane, node), channel.clone());
        Ok(channel)
    }

    /// A connection to a broker that a user names: one that the cluster does not have is told at once.
    ///
    /// # Errors
    /// When there is no such broker or it cannot be reached.
    pub(crate) async fn named_broker(&self, node: i32) -> Result<Channel, Error> {
        if !self.metadata().brokers.contains_key(&node) {
            self.refresh(Some(&[]), false).await?;
        }
        let metadata = self.metadata();
        if !metadata.brokers.contains_key(&node) {
            let known: Vec<String> = metadata.brokers.keys().map(i32::to_string).collect();
            return Err(Error::Invalid(format!("there is no broker {node}: the cluster has {}", known.join(", "))));
        }
        self.channel(Lane::COMMON, node).await
    }

    /// A connection to any broker: one that is open, else a known one, else a bootstrap address.
    ///
    /// # Errors
    /// When none can be reached.
    pub async fn any_channel(&self) -> Result<Channel, Error> {
        let open = {
            let channels = self.inner.channels.lock().await;
            channels
                .iter()
                .find(|((lane, _), channel)| *lane == Lane::COMMON && !channel.is_closed())
                .map(|(_, c)| c.clone())
        };
        if let Some(channel) = open {
            return Ok(channel);
        }
        for node in self.metadata().brokers.keys() {
            if let Ok(channel) = self.channel(Lane::COMMON, *node).await {
                return Ok(channel);
            }
        }
        let mut last = String::new();
        for address in &self.inner.bootstrap {
            match Channel::connect(address, self.inner.options.channel.clone()).await {
                Ok(channel) => {
                    let mut channels = self.inner.channels.lock().await;
                    channels.insert((Lane::COMMON, BOOTSTRAP_NODE), channel.clone());
                    return Ok(channel);
                }
                Err(error) => last = error.to_string(),
            }
        }
        Err(Error::Unreachable { bootstrap: self.inner.bootstrap.join(","), last })
    }

    /// A connection to the node that admin requests go to.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn controller_channel(&self) -> Result<Channel, Error> {
        let metadata = self.metadata();
        if metadata.brokers.contains_key(&metadata.controller_id) {
            return self.channel(Lane::COMMON, metadata.controller_id).await;
        }
        self.any_channel().await
    }

    /// Sends in the newest version that both sides know.
    ///
    /// # Errors
    /// When no version fits, or the connection fails.
    pub async fn send<R: Request + Encode>(&self, channel: &Channel, request: &R) -> Result<ResponseFrame<R>, Error> {
        let version = channel.negotiate::<R>(0..=i16::MAX)?;
        Ok(channel.send(request, version).await?)
    }

    /// Asks for metadata once: of `topics`, or of all with `None`. Topics that could not be described are in the answer.
    async fn refresh(&self, topics: Option<&[&str]>, create: bool) -> Result<Vec<(String, base::ErrorCode)>, Error> {
        let channel = self.any_channel().await?;
        // Version 4 is the first that can ask without creating topics; every broker since 0.11 has it.
        let version = channel.negotiate::<MetadataRequest<'_>>(4..=i16::MAX)?;
        let named = |name: &&str| MetadataRequestTopic {
            name: Some(Cow::Owned((*name).to_owned())),
            ..MetadataRequestTopic::default()
        };
        let request = MetadataRequest {
            topics: topics.map(|topics| topics.iter().map(named).collect()),
            allow_auto_topic_creation: create,
            ..MetadataRequest::default()
        };
        let frame = channel.send(&request, version).await?;
        let response = frame.decode()?;
        Error::check("cannot describe the cluster", response.error_code, None)?;
        let mut shared = self.inner.metadata.lock();
        let mut metadata = ClusterMetadata::clone(&shared);
        let failed = metadata.update(response, topics.is_none());
        *shared = Arc::new(metadata);
        Ok(failed)
    }

    /// Asks for the metadata of all topics.
    ///
    /// # Errors
    /// When no broker answers in time.
    pub async fn refresh_all(&self) -> Result<Arc<ClusterMetadata>, Error> {
        self.with_retries("cannot list the topics", async || self.refresh(None, false).await.map(drop)).await?;
        Ok(self.metadata())
    }

    /// Asks for the metadata of one topic until every partition has a leader; `create` lets the broker create it.
    ///
    /// # Errors
    /// When it does not exist, or has no leaders in time.
    pub async fn refresh_topic(&self, topic: &str, create: bool) -> Result<TopicMetadata, Error> {
        // A loop, not an async closure: the producer's task must be `Send`, which those cannot show yet.
        let mut retry = self.retry();
        loop {
            match self.try_refresh_topic(topic, create).await {
                Ok(found) => return Ok(found),
                Err(error) if !create && error.code() == Some(base::ErrorCode::UnknownTopicOrPartition) => {
                    return Err(error);
                }
                Err(error) => retry.again(&format!("cannot describe topic {topic}"), error).await?,
            }
        }
    }

    async fn try_refresh_topic(&self, topic: &str, create: bool) -> Result<TopicMetadata, Error> {
        let failed = self.refresh(Some(&[topic]), create).await?;
        if let Some((_, code)) = failed.iter().find(|(name, _)| name == topic) {
            return Err(Error::broker(format!("cannot describe topic {topic}"), code.code(), None));
        }
        let found = self.metadata().topics.get(topic).cloned();
        found.ok_or_else(|| Error::Invalid(format!("the broker's answer about topic {topic} lacks it")))
    }

    /// The leader of a partition, asking for it when it is unknown.
    ///
    /// # Errors
    /// When there is no such partition, or no leader in time.
    pub async fn leader(&self, topic: &str, partition: i32) -> Result<i32, Error> {
        if let Some(known) = self.metadata().partition(topic, partition)
            && known.leader >= 0
        {
            return Ok(known.leader);
        }
        let mut retry = self.retry();
        loop {
            match self.find_leader(topic, partition).await {
                Ok(leader) => return Ok(leader),
                Err(error) => retry.again(&format!("cannot find the leader of {topic}-{partition}"), error).await?,
            }
        }
    }

    async fn find_leader(&self, topic: &str, partition: i32) -> Result<i32, Error> {
        let described = self.refresh_topic(topic, false).await?;
        let found = described.partitions.iter().find(|known| known.partition == partition);
        let count = described.partitions.len();
        let found = found
            .ok_or_else(|| Error::Invalid(format!("topic {topic} has {count} partitions, no partition {partition}")))?;
        match found.leader {
            0.. => Ok(found.leader),
            _ => Err(Error::broker(format!("{topic}-{partition}"), base::ErrorCode::LeaderNotAvailable.code(), None)),
        }
    }

    /// Forgets what is known of a topic, so that its leaders are looked up again.
    pub(crate) fn forget_topic(&self, topic: &str) {
        let mut shared = self.inner.metadata.lock();
        if shared.topics.contains_key(topic) {
            let mut metadata = ClusterMetadata::clone(&shared);
            metadata.topics.remove(topic);
            *shared = Arc::new(metadata);
        }
    }

    /// Repeats `attempt` while its error is retriable and `default.api.timeout.ms` is not over.
    pub(crate) async fn with_retries<T>(
        &self,
        what: &str,
        attempt: impl AsyncFnMut() -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with_retries_unless(what, attempt, |_| false).await
    }

    pub(crate) async fn with_retries_unless<T>(
        &self,
        what: &str,
        mut attempt: impl AsyncFnMut() -> Result<T, Error>,
        fatal: impl Fn(&Error) -> bool,
    ) -> Result<T, Error> {
        let mut retry = self.retry();
        loop {
            match attempt().await {
                Ok(value) => return Ok(value),
                Err(error) if fatal(&error) => return Err(error),
                Err(error) => retry.again(what, error).await?,
            }
        }
    }

    fn retry(&self) -> Retry {
        Retry { begun: Instant::now(), pause: BACKOFF, timeout: self.inner.options.api_timeout }
    }
}

/// How often something was tried, and until when it may be.
struct Retry {
    begun: Instant,
    pause: Duration,
    timeout: Duration,
}

impl Retry {
    /// Rests before the next attempt.
    ///
    /// # Errors
    /// `error` itself when trying again cannot help, or that time is up.
    async fn again(&mut self, what: &str, error: Error) -> Result<(), Error> {
        if !error.is_retriable() {
            return Err(error);
        }
        if self.begun.elapsed() + self.pause >= self.timeout {
            return Err(Error::Deadline {
                what: what.to_owned(),
                millis: self.timeout.as_millis(),
                last: error.to_string(),
            });
        }
        tracing::debug!(%error, "{what} is tried again");
        tokio::time::sleep(self.pause).await;
        self.pause = (self.pause * 2).min(BACKOFF_MAX);
        Ok(())
    }
}

fn is_host_and_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok())
}
