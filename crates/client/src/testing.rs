//! A broker that is only a few maps, over real sockets: keeps sequence numbers as Kafka does, and fails where it is told to.

use crate::{Client, ClientOptions};
use base::ErrorCode;
use net::{ConnContext, ConnectionQuotas, Listener, ListenerOptions, Outgoing, Peer, QuotaLimits, Reply, Service};
use protocol::ApiKey;
use protocol::frame;
use protocol::messages::api_versions_response::{ApiVersion, ApiVersionsResponse};
use protocol::messages::fetch_request::FetchRequest;
use protocol::messages::fetch_response::{AbortedTransaction, FetchResponse, FetchableTopicResponse, PartitionData};
use protocol::messages::init_producer_id_response::InitProducerIdResponse;
use protocol::messages::list_offsets_request::ListOffsetsRequest;
use protocol::messages::list_offsets_response::{
    ListOffsetsPartitionResponse, ListOffsetsResponse, ListOffsetsTopicResponse,
};
use protocol::messages::metadata_response::{
    MetadataResponse, MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
};
use protocol::messages::produce_request::ProduceRequest;
use protocol::messages::produce_response::{PartitionProduceResponse, ProduceResponse, TopicProduceResponse};
use protocol::wire::{Decode, Encode, Reader, Records, Writer};
use record::{BatchHeader, Batches};
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::rc::Rc;

/// What happens to one Produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// It is answered with this code and not appended.
    Code(ErrorCode),
    /// The connection is closed before it is appended.
    CloseBefore,
    /// The connection is closed after it is appended.
    CloseAfter,
    /// It is appended and never answered.
    Silence,
}

#[derive(Default)]
pub(crate) struct Partition {
    pub(crate) log: Vec<u8>,
    pub(crate) start: i64,
    pub(crate) end: i64,
    pub(crate) aborted: Vec<AbortedTransaction>,
    pub(crate) is_leaderless: bool,
    next_sequence: BTreeMap<i64, i32>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) partitions: Vec<Partition>,
    /// For the Produce requests to come; then none.
    pub(crate) faults: VecDeque<Fault>,
    /// Fetches that are answered by closing the connection.
    pub(crate) drop_fetches: usize,
    /// API keys and the newest version served; others are served in every stable one.
    pub(crate) newest: BTreeMap<i16, i16>,
    /// APIs that are not served.
    pub(crate) missing: Vec<ApiKey>,
    pub(crate) versions_seen: BTreeMap<i16, i16>,
    pub(crate) produces: usize,
}

pub(crate) struct Broker {
    pub(crate) state: RefCell<State>,
    address: RefCell<Option<SocketAddr>>,
}

pub(crate) const TOPIC: &str = "t";

impl Broker {
    fn metadata(&self) -> MetadataResponse<'static> {
        let address = self.address.borrow().expect("it listens");
        let state = self.state.borrow();
        let partition = |(index, partition): (usize, &Partition)| MetadataResponsePartition {
            partition_index: index as i32,
            leader_id: if partition.is_leaderless { -1 } else { 1 },
            leader_epoch: -1,
            replica_nodes: vec![1],
            isr_nodes: vec![1],
            ..MetadataResponsePartition::default()
        };
        MetadataResponse {
            brokers: vec![MetadataResponseBroker {
                node_id: 1,
                host: address.ip().to_string().into(),
                port: i32::from(address.port()),
                ..MetadataResponseBroker::default()
            }],
            controller_id: 1,
            topics: vec![MetadataResponseTopic {
                name: Some(TOPIC.into()),
                partitions: state.partitions.iter().enumerate().map(partition).collect(),
                ..MetadataResponseTopic::default()
            }],
            ..MetadataResponse::default()
        }
    }

    fn versions(&self) -> ApiVersionsResponse<'static> {
        let state = self.state.borrow();
        let keys = ApiKey::ALL.iter().filter(|key| !state.missing.contains(key));
        let ranges = keys.filter_map(|key| {
            let stable = key.stable_versions()?;
            let max_version = state.newest.get(&key.code()).copied().unwrap_or(*stable.end());
            Some(ApiVersion { api_key: key.code(), min_version: *stable.start(), max_version, ..ApiVersion::default() })
        });
        ApiVersionsResponse { api_keys: ranges.collect(), ..ApiVersionsResponse::default() }
    }

    /// What Kafka's producer state decides: append, duplicate, or out of order.
    fn append(partition: &mut Partition, bytes: &[u8]) -> Result<i64, ErrorCode> {
        let header = BatchHeader::parse(bytes).map_err(|_| ErrorCode::CorruptMessage)?;
        if header.has_producer_id() {
            let next = partition.next_sequence.entry(header.producer_id.0).or_insert(0);
            if header.base_sequence < *next {
                return Err(ErrorCode::DuplicateSequenceNumber);
            }
            if header.base_sequence > *next {
                return Err(ErrorCode::OutOfOrderSequenceNumber);
            }
            *next = header.last_sequence() + 1;
        }
        let base = partition.end;
        partition.push(bytes);
        Ok(base)
    }

    fn produce(&self, request: &ProduceRequest<'_>) -> Result<ProduceResponse<'static>, &'static str> {
        let mut state = self.state.borrow_mut();
        state.produces += 1;
        let fault = state.faults.pop_front().unwrap_or(Fault::None);
        if fault == Fault::CloseBefore {
            return Err("before");
        }
        let mut responses = Vec::new();
        for topic in &request.topic_data {
            let mut answers = Vec::new();
            for data in &topic.partition_data {
                let Records::Bytes(bytes) = &data.records else { continue };
                let result = match fault {
                    Fault::Code(code) => Err(code),
                    _ => Broker::append(&mut state.partitions[data.index as usize], bytes),
                };
                answers.push(PartitionProduceResponse {
                    index: data.index,
                    error_code: result.err().map_or(0, ErrorCode::code),
                    base_offset: result.unwrap_or(-1),
                    ..PartitionProduceResponse::default()
                });
            }
            let name = topic.name.to_string().into();
            responses.push(TopicProduceResponse {
                name,
                partition_responses: answers,
                ..TopicProduceResponse::default()
            });
        }
        if matches!(fault, Fault::CloseAfter) {
            Err("after")
        } else {
            Ok(ProduceResponse { responses, ..ProduceResponse::default() })
        }
    }

    fn fetch(&self, request: &FetchRequest<'_>) -> (FetchResponse<'static>, bool) {
        let state = self.state.borrow();
        let mut something = false;
        let responses = request.topics.iter().map(|topic| {
            let partitions = topic.partitions.iter().map(|asked| {
                let partition = &state.partitions[asked.partition as usize];
                let mut data = PartitionData {
                    partition_index: asked.partition,
                    high_watermark: partition.end,
                    last_stable_offset: partition.end,
                    aborted_transactions: Some(partition.aborted.clone()),
                    ..PartitionData::default()
                };
                if asked.fetch_offset < partition.start || asked.fetch_offset > partition.end {
                    data.error_code = ErrorCode::OffsetOutOfRange.code();
                    something = true;
                } else {
                    let bytes = partition.from(asked.fetch_offset, asked.partition_max_bytes as usize);
                    something |= !bytes.is_empty();
                    data.records = Records::Bytes(bytes.into());
                }
                data
            });
            let topic_name = topic.topic.to_string().into();
            FetchableTopicResponse {
                topic: topic_name,
                partitions: partitions.collect(),
                ..FetchableTopicResponse::default()
            }
        });
        let responses: Vec<_> = responses.collect();
        (FetchResponse { responses, ..FetchResponse::default() }, something)
    }

    fn list_offsets(&self, request: &ListOffsetsRequest<'_>) -> ListOffsetsResponse<'static> {
        let state = self.state.borrow();
        let answer = |asked: &protocol::messages::list_offsets_request::ListOffsetsPartition| {
            let partition = &state.partitions[asked.partition_index as usize];
            let offset = if asked.timestamp == -2 { partition.start } else { partition.end };
            ListOffsetsPartitionResponse { partition_index: asked.partition_index, offset, ..Default::default() }
        };
        let topic = |topic: &protocol::messages::list_offsets_request::ListOffsetsTopic<'_>| ListOffsetsTopicResponse {
            name: topic.name.to_string().into(),
            partitions: topic.partitions.iter().map(answer).collect(),
            ..Default::default()
        };
        ListOffsetsResponse { topics: request.topics.iter().map(topic).collect(), ..Default::default() }
    }
}

impl Partition {
    /// Appends a batch as a leader does: with the next offset.
    pub(crate) fn push(&mut self, batch: &[u8]) {
        let header = BatchHeader::parse(batch).expect("a batch");
        let mut bytes = batch.to_vec();
        bytes[..8].copy_from_slice(&self.end.to_be_bytes());
        self.end += i64::from(header.last_offset_delta) + 1;
        self.log.extend(bytes);
    }

    /// The batches from the one with this offset on; like a broker's answer, cut where the limit is, but not in the first.
    fn from(&self, offset: i64, bytes_max: usize) -> Vec<u8> {
        let mut position = 0;
        for batch in Batches::new(&self.log) {
            let header = batch.expect("a batch").header;
            if header.last_offset().0 >= offset {
                let len = bytes_max.max(header.size).min(self.log.len() - position);
                return self.log[position..position + len].to_vec();
            }
            position += header.size;
        }
        Vec::new()
    }

    /// The values of all records.
    pub(crate) fn values(&self) -> Vec<String> {
        let mut values = Vec::new();
        let mut scratch = Vec::new();
        for batch in Batches::new(&self.log) {
            for record in batch.expect("a batch").records(&mut scratch, 1 << 20).expect("records") {
                let value = record.expect("a record").value.unwrap_or_default();
                values.push(String::from_utf8(value.to_vec()).expect("text"));
            }
        }
        values
    }
}

/// The broker as a service; a type of its own because `Rc` is not ours.
struct Serving(Rc<Broker>);

impl Service for Serving {
    type Session = ();

    fn connected(&self, _: &Peer) {}

    fn call(&self, _: &mut ConnContext<()>, bytes: &[u8]) -> Reply {
        let mut reader = Reader::new(bytes);
        let header = frame::decode_request_header(&mut reader).expect("a header");
        let (key, version, id) = (ApiKey::from_code(header.key).expect("a key"), header.version, header.correlation_id);
        self.0.state.borrow_mut().versions_seen.insert(header.key, version);
        if key == ApiKey::ApiVersions && self.0.state.borrow().newest.get(&18).is_some_and(|newest| version > *newest) {
            let failed = ApiVersionsResponse { error_code: ErrorCode::UnsupportedVersion.code(), ..self.0.versions() };
            return Reply::Now(encode(key, 0, id, &failed));
        }
        match key {
            ApiKey::ApiVersions => Reply::Now(encode(key, version, id, &self.0.versions())),
            ApiKey::Metadata => Reply::Now(encode(key, version, id, &self.0.metadata())),
            ApiKey::InitProducerId => {
                let response = InitProducerIdResponse { producer_id: 77, producer_epoch: 0, ..Default::default() };
                Reply::Now(encode(key, version, id, &response))
            }
            ApiKey::ListOffsets => {
                let request = ListOffsetsRequest::decode(&mut reader, version).expect("a request");
                Reply::Now(encode(key, version, id, &self.0.list_offsets(&request)))
            }
            ApiKey::Produce => {
                let request = ProduceRequest::decode(&mut reader, version).expect("a request");
                let silent = self.0.state.borrow().faults.front() == Some(&Fault::Silence);
                match self.0.produce(&request) {
                    Ok(_) if silent => Reply::Later(Box::pin(std::future::pending())),
                    Ok(_) if request.acks == 0 => Reply::Nothing,
                    Ok(response) => Reply::Now(encode(key, version, id, &response)),
                    Err(why) => Reply::Close(why.to_owned()),
                }
            }
            ApiKey::Fetch => {
                let mut state = self.0.state.borrow_mut();
                if state.drop_fetches > 0 {
                    state.drop_fetches -= 1;
                    return Reply::Close("told to".to_owned());
                }
                drop(state);
                let request = FetchRequest::decode(&mut reader, version).expect("a request").into_owned();
                answer_fetch(&self.0, request, version, id)
            }
            other => Reply::Close(format!("{} is not served", other.name())),
        }
    }
}

fn answer_fetch(broker: &Rc<Broker>, request: FetchRequest<'static>, version: i16, id: i32) -> Reply {
    let (response, something) = broker.fetch(&request);
    if something {
        return Reply::Now(encode(ApiKey::Fetch, version, id, &response));
    }
    let broker = Rc::clone(broker);
    Reply::Later(Box::pin(async move {
        tokio::time::sleep(tokio::time::Duration::from_millis(request.max_wait_ms as u64)).await;
        Some(encode(ApiKey::Fetch, version, id, &broker.fetch(&request).0))
    }))
}

fn encode(key: ApiKey, version: i16, id: i32, response: &impl Encode) -> Outgoing {
    let mut writer = Writer::default();
    frame::encode_response(id, key, version, response, &mut writer).expect("encodes");
    Outgoing::from_bytes(writer.buf)
}

/// Runs `test` with a broker that has this many partitions, and a client of it.
pub(crate) async fn with_broker(
    partitions: usize,
    prepare: impl FnOnce(&mut State),
    test: impl AsyncFnOnce(Client, Rc<Broker>),
) {
    let local = tokio::task::LocalSet::new();
    let mut state = State::default();
    state.partitions.resize_with(partitions, Partition::default);
    // Topics have no ids here, so that answers name them.
    prepare(&mut state);
    let broker = Rc::new(Broker { state: RefCell::new(state), address: RefCell::new(None) });
    let run = async {
        let options = ListenerOptions::new("TEST", ConnectionQuotas::new(QuotaLimits::default()));
        let listener = Listener::bind("127.0.0.1:0".parse().expect("an address"), options).expect("loopback");
        let address = listener.local_addr().expect("bound");
        *broker.address.borrow_mut() = Some(address);
        let (_trigger, shutdown) = net::ShutdownTrigger::new();
        let (acceptor, loops) = listener.spread(1);
        let told = shutdown.clone();
        tokio::task::spawn_local(async move { acceptor.run(told).await.expect("accepts") });
        for connection_loop in loops {
            tokio::task::spawn_local(connection_loop.run(Rc::new(Serving(Rc::clone(&broker))), shutdown.clone()));
        }
        let client = Client::connect(&address.to_string(), ClientOptions::default()).await.expect("connects");
        test(client, Rc::clone(&broker)).await;
    };
    local.run_until(run).await;
}
