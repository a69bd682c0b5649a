//! The task that empties the accumulator: one queue a broker, so that a broker that does not answer holds up no other.

use super::accumulator::Batch;
use super::{ProducerOptions, Shared};
use crate::client::{BACKOFF, Client, Lane};
use crate::error::Error;
use base::{ErrorCode, Uuid};
use net::{Channel, InFlight, ResponseFrame};
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use protocol::wire::Records;
use record::Codec;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant};

/// The first version whose topics go by id (KIP-516).
const PRODUCE_BY_ID: i16 = 13;

type ProduceFrame = ResponseFrame<ProduceRequest<'static>>;

/// A batch and where it belongs.
struct Addressed {
    topic: Arc<str>,
    topic_id: Uuid,
    partition: i32,
    batch: Batch,
}

/// What came back for one request.
struct Completion {
    node: i32,
    batches: Vec<Addressed>,
    /// `None` with acks=0.
    response: Result<Option<ProduceFrame>, Error>,
}

struct Node {
    requests: mpsc::Sender<Vec<Addressed>>,
    in_flight: usize,
}

pub(super) struct Sender {
    client: Client,
    lane: Lane,
    shared: Arc<Shared>,
    options: ProducerOptions,
    nodes: BTreeMap<i32, Node>,
    completions: mpsc::Receiver<Completion>,
    completed: mpsc::Sender<Completion>,
}

impl Sender {
    pub(super) fn new(client: Client, shared: Arc<Shared>, options: ProducerOptions) -> Sender {
        let lane = client.new_lane();
        let (completed, completions) = mpsc::channel(64);
        Sender { client, lane, shared, options, nodes: BTreeMap::new(), completions, completed }
    }

    pub(super) async fn run(mut self) {
        loop {
            let next = self.send_ready().await;
            if self.shared.accumulator.lock().is_closed() {
                return;
            }
            let wake = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(60));
            tokio::select! {
                () = self.shared.work.notified() => {}
                () = tokio::time::sleep_until(wake) => {}
                completion = self.completions.recv() => {
                    if let Some(completion) = completion {
                        self.complete(completion);
                    }
                }
            }
            while let Ok(completion) = self.completions.try_recv() {
                self.complete(completion);
            }
        }
    }

    /// Sends what is ready to every broker that has room; returns when to look again.
    async fn send_ready(&mut self) -> Option<Instant> {
        loop {
            let (ready, next) = self.shared.accumulator.lock().ready(Instant::now());
            let by_node = match self.by_leader(ready).await {
                Ok(by_node) => by_node,
                Err(pause) => return Some(Instant::now() + pause),
            };
            let mut sent = false;
            for (node, partitions) in by_node {
                let in_flight = self.nodes.get(&node).map_or(0, |node| node.in_flight);
                if in_flight < self.options.in_flight_max {
                    sent |= self.send_to(node, &partitions).await;
                }
            }
            if !sent {
                return next;
            }
        }
    }

    /// The ready partitions by their leaders. A leader that cannot be found makes everything rest for a moment, and fails what
    /// has waited too long.
    async fn by_leader(
        &mut self,
        ready: Vec<(Arc<str>, i32)>,
    ) -> Result<BTreeMap<i32, Vec<(Arc<str>, i32)>>, Duration> {
        let mut by_node: BTreeMap<i32, Vec<_>> = BTreeMap::new();
        for (topic, partition) in ready {
            let known = self.client.metadata().partition(&topic, partition).map_or(-1, |partition| partition.leader);
            let leader = if known >= 0 { Ok(known) } else { self.client.leader(&topic, partition).await };
            match leader {
                Ok(leader) => by_node.entry(leader).or_default().push((topic, partition)),
                Err(error) => {
                    self.give_up(&topic, partition, &error);
                    return Err(BACKOFF);
                }
            }
        }
        Ok(by_node)
    }

    fn give_up(&self, topic: &str, partition: i32, error: &Error) {
        let mut accumulator = self.shared.accumulator.lock();
        if let Some(batch) = accumulator.take_batch(topic, partition, usize::MAX) {
            let expired = batch.opened.elapsed() >= self.options.delivery_timeout;
            if expired || !(error.is_retriable() || matches!(error, Error::Deadline { .. })) {
                accumulator.fail(topic, partition, &batch, error.clone());
            } else {
                accumulator.put_back(topic, partition, batch, Instant::now() + BACKOFF);
            }
        }
        drop(accumulator);
        self.shared.progress.notify_waiters();
    }

    async fn send_to(&mut self, node: i32, partitions: &[(Arc<str>, i32)]) -> bool {
        let metadata = self.client.metadata();
        let mut batches = Vec::new();
        let mut room = self.options.request_bytes_max.max(self.options.batch_bytes);
        for (topic, partition) in partitions {
            let size_max = if batches.is_empty() { usize::MAX } else { room };
            let taken = self.shared.accumulator.lock().take_batch(topic, *partition, size_max);
            let Some(batch) = taken else { continue };
            room = room.saturating_sub(batch.size());
            let topic_id = metadata.topics.get(&**topic).map_or(Uuid::ZERO, |topic| topic.id);
            batches.push(Addressed { topic: Arc::clone(topic), topic_id, partition: *partition, batch });
        }
        if batches.is_empty() {
            return false;
        }
        let known = self.nodes.entry(node).or_insert_with(|| {
            let (requests, receiver) = mpsc::channel(self.options.in_flight_max);
            let worker = NodeWorker {
                node,
                client: self.client.clone(),
                lane: self.lane,
                options: self.options.clone(),
                completed: self.completed.clone(),
            };
            tokio::spawn(worker.run(receiver));
            Node { requests, in_flight: 0 }
        });
        known.in_flight += 1;
        if known.requests.send(batches).await.is_err() {
            tracing::error!(node, "the producer's worker for a broker has ended");
        }
        true
    }

    fn complete(&mut self, completion: Completion) {
        if let Some(node) = self.nodes.get_mut(&completion.node) {
            node.in_flight -= 1;
        }
        match completion.response {
            Ok(None) => {
                let mut accumulator = self.shared.accumulator.lock();
                completion
                    .batches
                    .iter()
                    .for_each(|sent| accumulator.succeed(&sent.topic, sent.partition, &sent.batch, -1));
            }
            Ok(Some(frame)) => match frame.decode() {
                Ok(response) => {
                    for sent in completion.batches {
                        let answer = answer_for(&response, &sent, frame.version());
                        self.judge(sent, answer);
                    }
                }
                Err(error) => self.retry_or_fail(completion.batches, &Error::from(error)),
            },
            Err(error) => self.retry_or_fail(completion.batches, &error),
        }
        self.shared.progress.notify_waiters();
    }

    fn judge(&self, sent: Addressed, answer: Option<&PartitionProduceResponse<'_>>) {
        let what = || format!("cannot append to {}-{}", sent.topic, sent.partition);
        let Some(answer) = answer else {
            let error = Error::Invalid(format!("{}: the broker's answer lacks it", what()));
            return self.retry_or_fail(vec![sent], &error);
        };
        let mut accumulator = self.shared.accumulator.lock();
        match ErrorCode::from_code(answer.error_code) {
            Some(ErrorCode::None) => accumulator.succeed(&sent.topic, sent.partition, &sent.batch, answer.base_offset),
            // Appended by an earlier attempt whose answer was lost.
            Some(ErrorCode::DuplicateSequenceNumber) => {
                accumulator.succeed(&sent.topic, sent.partition, &sent.batch, -1)
            }
            // Its predecessor is to be sent again, or still on its way, and this one goes after it.
            Some(ErrorCode::OutOfOrderSequenceNumber)
                if accumulator.may_have_overtaken(&sent.topic, sent.partition, &sent.batch) =>
            {
                drop(accumulator);
                let error = Error::broker(what(), answer.error_code, Some("an earlier batch is not there yet"));
                self.settle(vec![sent], &error, true);
            }
            _ => {
                drop(accumulator);
                let mut message = answer.error_message.as_deref().unwrap_or_default().to_owned();
                for record in answer.record_errors.iter().take(3) {
                    let text = record.batch_index_error_message.as_deref().unwrap_or("invalid");
                    message.push_str(&format!("; record {} of the batch: {text}", record.batch_index));
                }
                let error = Error::broker(what(), answer.error_code, Some(message.trim_start_matches("; ")));
                self.retry_or_fail(vec![sent], &error);
            }
        }
    }

    fn retry_or_fail(&self, batches: Vec<Addressed>, error: &Error) {
        self.settle(batches, error, error.is_retriable());
    }

    fn settle(&self, batches: Vec<Addressed>, error: &Error, is_retriable: bool) {
        let now = Instant::now();
        for sent in batches {
            let in_time = sent.batch.opened + self.options.delivery_timeout > now;
            self.client.forget_topic(&sent.topic);
            let mut accumulator = self.shared.accumulator.lock();
            if is_retriable && in_time && !accumulator.is_broken() {
                tracing::debug!(%error, "a batch for {}-{} is sent again", sent.topic, sent.partition);
                accumulator.put_back(&sent.topic, sent.partition, sent.batch, now + BACKOFF);
            } else {
                accumulator.fail(&sent.topic, sent.partition, &sent.batch, error.clone());
            }
        }
    }
}

fn answer_for<'a, 'r>(
    response: &'a ProduceResponse<'r>,
    sent: &Addressed,
    version: i16,
) -> Option<&'a PartitionProduceResponse<'r>> {
    let is_topic = |topic: &&TopicProduceResponse<'_>| {
        if version >= PRODUCE_BY_ID { topic.topic_id == sent.topic_id } else { *topic.name == *sent.topic }
    };
    let topics = response.responses.iter().filter(is_topic);
    topics.flat_map(|topic| &topic.partition_responses).find(|answer| answer.index == sent.partition)
}

/// Sends to one broker, in order.
struct NodeWorker {
    node: i32,
    client: Client,
    lane: Lane,
    options: ProducerOptions,
    completed: mpsc::Sender<Completion>,
}

impl NodeWorker {
    async fn run(self, mut requests: mpsc::Receiver<Vec<Addressed>>) {
        while let Some(mut batches) = requests.recv().await {
            match self.start(&mut batches).await {
                Ok(Some(in_flight)) => {
                    let (node, completed) = (self.node, self.completed.clone());
                    tokio::spawn(async move {
                        let response = in_flight.response().await.map(Some).map_err(Error::from);
                        // The receiver is gone only when the producer is, and then nobody wants to know.
                        let _ = completed.send(Completion { node, batches, response }).await;
                    });
                }
                Ok(None) => self.report(batches, Ok(None)).await,
                Err(error) => self.report(batches, Err(error)).await,
            }
        }
    }

    async fn report(&self, batches: Vec<Addressed>, response: Result<Option<ProduceFrame>, Error>) {
        let _ = self.completed.send(Completion { node: self.node, batches, response }).await;
    }

    async fn start(&self, batches: &mut [Addressed]) -> Result<Option<InFlight<ProduceRequest<'static>>>, Error> {
        let channel = self.client.channel(self.lane, self.node).await?;
        let version = self.version(&channel, batches)?;
        let timeout = self.client.options().channel.request_timeout;
        let built: Vec<Arc<[u8]>> = batches.iter_mut().map(|sent| sent.batch.build()).collect();
        let mut topic_data: Vec<TopicProduceData<'_>> = Vec::new();
        for (sent, bytes) in batches.iter().zip(&built) {
            let records = Records::Bytes(Cow::Borrowed(&**bytes));
            let data = PartitionProduceData { index: sent.partition, records, ..PartitionProduceData::default() };
            match topic_data.last_mut().filter(|topic| topic.name == *sent.topic) {
                Some(topic) => topic.partition_data.push(data),
                None => topic_data.push(TopicProduceData {
                    name: Cow::Borrowed(&sent.topic),
                    topic_id: sent.topic_id,
                    partition_data: vec![data],
                    ..TopicProduceData::default()
                }),
            }
        }
        let request = ProduceRequest {
            acks: self.options.acks.code(),
            timeout_ms: i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX),
            topic_data,
            ..ProduceRequest::default()
        };
        if self.options.acks.code() == 0 {
            channel.send_unanswered(&request, version).await?;
            return Ok(None);
        }
        Ok(Some(channel.start(&request, version, timeout).await?.forget_request()))
    }

    fn version(&self, channel: &Channel, batches: &[Addressed]) -> Result<i16, Error> {
        let with_ids = batches.iter().all(|sent| sent.topic_id != Uuid::ZERO);
        let newest = if with_ids { i16::MAX } else { PRODUCE_BY_ID - 1 };
        // Version 3 is the first for batches of format 2, 7 the first for zstd (KIP-110).
        let oldest = if self.options.compression.codec == Codec::Zstd { 7 } else { 3 };
        Ok(channel.negotiate::<ProduceRequest<'_>>(oldest..=newest)?)
    }
}
