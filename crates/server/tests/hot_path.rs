//! What a request costs that no noise of a machine moves: allocations, and calls of the disk. A node without threads is driven in this
//! thread, frame by frame, as a connection does it; the sockets' system calls are counted in docs/internals/hot-path.md.
//!
//! A number here is a ceiling. Who lowers one lowers it here; who has to raise one says why in the commit. And what takes long is done in
//! turns, by a clock that the test moves.

#[path = "differential/node.rs"]
#[expect(dead_code, reason = "what runs a node with threads is for the differential steps")]
mod node;

use base::{Clock, Monotonic, Timestamp};
use config::NodeConfig;
use net::{Outgoing, Reply};
use protocol::ApiKey;
use protocol::frame::encode_request;
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::fetch_request::{FetchPartition, FetchRequest, FetchTopic};
use protocol::messages::list_offsets_request::{ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic};
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::wire::{Encode, Records};
use record::{BatchBuilder, BatchOptions, NewRecord};
use server::{Environment, SteppedConnection, SteppedNode};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use storage::{Disk, DiskFile, DiskFileWrapper, DiskWrapper, OpenMode, RealDisk};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// The real disk, and how often it was asked for anything.
#[derive(Debug, Default)]
struct CountingDisk {
    calls: Arc<AtomicU64>,
}

#[derive(Debug)]
struct CountingFile {
    inner: Arc<dyn DiskFile>,
    calls: Arc<AtomicU64>,
}

impl DiskFileWrapper for CountingFile {
    fn target(&self) -> &dyn DiskFile {
        self.inner.as_ref()
    }
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.read_at(buf, position)
    }
    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.write_all_at(bufs, position)
    }
    fn sync_data(&self) -> io::Result<()> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.len()
    }
}

static SYSTEM: RealDisk = RealDisk::new();

impl DiskWrapper for CountingDisk {
    fn target(&self) -> &dyn Disk {
        &SYSTEM
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(CountingFile { inner: SYSTEM.open(path, mode)?, calls: Arc::clone(&self.calls) }))
    }
    fn file_len(&self, path: &Path) -> io::Result<u64> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        SYSTEM.file_len(path)
    }
}

/// Of the only topic.
const PARTITIONS: i32 = 3;

struct Bench {
    node: SteppedNode,
    connection: SteppedConnection,
    calls: Arc<AtomicU64>,
    folder: PathBuf,
}

/// Whoever looks at it finds that 2 ms have passed.
#[derive(Debug, Default)]
struct Hurried(AtomicU64);

impl Clock for Hurried {
    fn wall(&self) -> Timestamp {
        Timestamp(1_750_000_000_000)
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.fetch_add(2_000_000, Ordering::Relaxed))
    }
}

impl Bench {
    fn start(name: &str, durability: &str) -> Bench {
        Bench::with_clock(name, durability, Environment::real().clock)
    }

    fn with_clock(name: &str, durability: &str, clock: Arc<dyn Clock>) -> Bench {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        node::format(&folder);
        let mut properties = node::properties(&folder);
        properties.set("log.durability", durability);
        let config = NodeConfig::from_properties(&properties).expect("a sound configuration").config;
        let disk = CountingDisk::default();
        let calls = Arc::clone(&disk.calls);
        let environment = Environment { disk: Arc::new(disk), clock, ..Environment::real() };
        let mut node = SteppedNode::start(config, &environment).expect("the node starts");
        let connection = node.connect("127.0.0.1:1".parse().expect("an address"));
        let mut bench = Bench { node, connection, calls, folder };
        let topic = CreatableTopic {
            name: "t".into(),
            num_partitions: PARTITIONS,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        let create = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..CreateTopicsRequest::default() };
        bench.answer(&frame(ApiKey::CreateTopics, 7, &create));
        bench
    }

    /// Answers one frame, syncing as often as it takes.
    fn answer(&mut self, frame: &[u8]) -> Option<Outgoing> {
        match self.connection.call(frame) {
            Reply::Now(outgoing) => Some(outgoing),
            Reply::Later(mut pending) => {
                let mut cx = Context::from_waker(Waker::noop());
                for _ in 0..100 {
                    if let Poll::Ready(answer) = pending.as_mut().poll(&mut cx) {
                        return answer;
                    }
                    self.commit();
                }
                panic!("no answer after 100 commits");
            }
            other => panic!("{other:?}"),
        }
    }

    fn commit(&mut self) {
        while self.node.begin_commit(0) {
            self.node.sync_commit(0);
            self.node.finish_commit(0);
        }
    }

    /// Allocations and calls of the disk for each of many requests, when everything that grows has grown.
    fn cost(&mut self, frame: &[u8]) -> (f64, f64) {
        const REQUESTS: u32 = 200;
        (0..50).for_each(|_| drop(self.answer(frame)));
        let (allocations, calls) = (allocations::of_this_thread(), self.calls.load(Ordering::Relaxed));
        (0..REQUESTS).for_each(|_| drop(self.answer(frame)));
        let each = |count: u64| count as f64 / f64::from(REQUESTS);
        (each(allocations::of_this_thread() - allocations), each(self.calls.load(Ordering::Relaxed) - calls))
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn frame(key: ApiKey, version: i16, request: &impl Encode) -> Vec<u8> {
    encode_request(key, version, 7, Some("hot"), request).expect("a request")[4..].to_vec()
}

fn produce(acks: i16, records: usize) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for _ in 0..records {
        builder.append(&NewRecord { value: Some(&[7; 100]), ..NewRecord::default() });
    }
    let records = Records::Bytes(builder.build().into());
    let partition = PartitionProduceData { index: 0, records, ..PartitionProduceData::default() };
    let topic = TopicProduceData { name: "t".into(), partition_data: vec![partition], ..TopicProduceData::default() };
    frame(
        ApiKey::Produce,
        11,
        &ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![topic], ..ProduceRequest::default() },
    )
}

fn fetch(bytes: i32) -> Vec<u8> {
    fetch_isolated(bytes, 0)
}

/// An isolation level of 1 reads what is committed.
fn fetch_isolated(bytes: i32, isolation_level: i8) -> Vec<u8> {
    let partition = FetchPartition { partition: 0, partition_max_bytes: bytes, ..FetchPartition::default() };
    let topic = FetchTopic { topic: "t".into(), partitions: vec![partition], ..FetchTopic::default() };
    let request =
        FetchRequest { max_wait_ms: 0, min_bytes: 1, max_bytes: bytes, topics: vec![topic], ..FetchRequest::default() };
    frame(ApiKey::Fetch, 11, &FetchRequest { replica_id: -1, session_epoch: -1, isolation_level, ..request })
}

/// For the first partitions, these timestamps.
fn list_offsets(timestamps: &[i64]) -> Vec<u8> {
    let one = |(partition_index, &timestamp)| ListOffsetsPartition {
        partition_index,
        timestamp,
        ..ListOffsetsPartition::default()
    };
    let partitions = (0..).zip(timestamps).map(one).collect();
    let topic = ListOffsetsTopic { name: "t".into(), partitions, ..ListOffsetsTopic::default() };
    let request = ListOffsetsRequest { replica_id: -1, topics: vec![topic], ..ListOffsetsRequest::default() };
    frame(ApiKey::ListOffsets, 5, &request)
}

fn check(what: &str, cost: (f64, f64), allocations_max: f64, calls_max: f64) {
    let (allocations, calls) = cost;
    println!("{what}: {allocations:.2} allocations, {calls:.2} calls of the disk a request");
    assert!(
        allocations <= allocations_max,
        "{what}: {allocations} allocations a request, {allocations_max} are allowed"
    );
    assert!(calls <= calls_max, "{what}: {calls} calls of the disk a request, {calls_max} are allowed");
}

#[tokio::test]
async fn a_request_allocates_and_asks_the_disk_no_more_than_it_did() {
    let mut bench = Bench::start("hot-path", "pagecache");
    check("produce 1 KiB acks=1", bench.cost(&produce(1, 9)), 5.1, 1.05);
    check("produce 64 KiB acks=1", bench.cost(&produce(1, 600)), 5.1, 1.05);
    check("produce 1 KiB acks=all, pagecache", bench.cost(&produce(-1, 9)), 6.1, 1.05);
    check("fetch of 1 KiB", bench.cost(&fetch(1_000)), 14.1, 2.0);
    // No aborted transaction is looked for in a log that has none.
    check("fetch of 1 KiB, read_committed", bench.cost(&fetch_isolated(1_000, 1)), 14.1, 2.0);
    check("fetch of 1 MiB", bench.cost(&fetch(1 << 20)), 17.1, 1.0);
    check("list offsets", bench.cost(&list_offsets(&[-1])), 6.1, 0.0);
    let mut bench = Bench::start("hot-path-fsync", "fsync");
    check("produce 1 KiB acks=all, fsync", bench.cost(&produce(-1, 9)), 16.1, 2.1);
}

/// A look-up by time may decompress gigabytes, and a request may name a thousand partitions: one is no reason to hold up whoever else is on
/// the loop for all of it.
#[tokio::test]
async fn s16_look_ups_by_time_give_way_after_each_that_took_long() {
    let mut bench = Bench::with_clock("hot-path-turns", "pagecache", Arc::new(Hurried::default()));
    drop(bench.answer(&produce(1, 9)));
    let frame = list_offsets(&[0; PARTITIONS as usize]);
    let Reply::Later(mut pending) = bench.connection.call(&frame) else { panic!("it is done in one turn") };
    let mut cx = Context::from_waker(Waker::noop());
    for turn in 0..PARTITIONS {
        assert!(pending.as_mut().poll(&mut cx).is_pending(), "it is done after turn {turn}");
    }
    let Poll::Ready(Some(answer)) = pending.as_mut().poll(&mut cx) else { panic!("it is not done after all") };
    assert!(!answer.has_error);
    assert!(matches!(bench.connection.call(&list_offsets(&[0, -1, -2])), Reply::Now(_)), "one look-up takes one turn");
}
