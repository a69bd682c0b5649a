//! What a partition at rest costs, and what making it, stopping with it and finding it again cost: bytes of the heap, files that are open,
//! calls of the disk. A node without threads is driven in this thread, so that nothing else allocates.
//!
//! A number here is a ceiling. Who lowers one lowers it here; who has to raise one says why in the commit.

#[path = "differential/node.rs"]
#[expect(dead_code, reason = "what runs a node with threads is for the differential steps")]
mod node;

use config::NodeConfig;
use net::{Outgoing, Reply};
use protocol::ApiKey;
use protocol::frame::encode_request;
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::wire::{Encode, Records};
use record::{BatchBuilder, BatchOptions, NewRecord};
use server::{Environment, SteppedConnection, SteppedNode};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use storage::{BoundedDisk, Disk, DiskFile, DiskFileWrapper, DiskWrapper, Entry, OpenMode, RealDisk};

#[global_allocator]
static ALLOCATOR: allocations::Counting = allocations::Counting;

/// How often the disk was asked for what.
#[derive(Debug, Default)]
struct Calls {
    open: AtomicU64,
    /// Everything but opening, reading and syncing.
    names: AtomicU64,
    reads: AtomicU64,
    /// Bytes read of segments.
    segment_bytes: AtomicU64,
    writes: AtomicU64,
    syncs: AtomicU64,
    /// Files that are open now, and the most that ever were.
    files: AtomicI64,
    files_max: AtomicI64,
}

impl Calls {
    fn of_all(&self) -> u64 {
        [&self.open, &self.names, &self.reads, &self.writes, &self.syncs]
            .iter()
            .map(|n| n.load(Ordering::Relaxed))
            .sum()
    }
}

#[derive(Debug, Default)]
struct CountingDisk(Arc<Calls>);

#[derive(Debug)]
struct CountingFile {
    inner: Arc<dyn DiskFile>,
    is_segment: bool,
    calls: Arc<Calls>,
}

impl Drop for CountingFile {
    fn drop(&mut self) {
        self.calls.files.fetch_sub(1, Ordering::Relaxed);
    }
}

fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl DiskFileWrapper for CountingFile {
    fn target(&self) -> &dyn DiskFile {
        self.inner.as_ref()
    }
    fn read_at(&self, buf: &mut [u8], position: u64) -> io::Result<usize> {
        add(&self.calls.reads);
        if self.is_segment {
            self.calls.segment_bytes.fetch_add(buf.len() as u64, Ordering::Relaxed);
        }
        self.inner.read_at(buf, position)
    }
    fn write_all_at(&self, bufs: &[&[u8]], position: u64) -> io::Result<()> {
        add(&self.calls.writes);
        self.inner.write_all_at(bufs, position)
    }
    fn sync_data(&self) -> io::Result<()> {
        add(&self.calls.syncs);
        self.inner.sync_data()
    }
    fn len(&self) -> io::Result<u64> {
        add(&self.calls.names);
        self.inner.len()
    }
}

static SYSTEM: RealDisk = RealDisk::new();

impl DiskWrapper for CountingDisk {
    fn target(&self) -> &dyn Disk {
        &SYSTEM
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        add(&self.0.open);
        let inner = SYSTEM.open(path, mode)?;
        let files = self.0.files.fetch_add(1, Ordering::Relaxed) + 1;
        self.0.files_max.fetch_max(files, Ordering::Relaxed);
        let is_of_metadata = path.to_string_lossy().contains("__cluster_metadata");
        let is_segment = path.extension().is_some_and(|suffix| suffix == "log") && !is_of_metadata;
        Ok(Arc::new(CountingFile { inner, is_segment, calls: Arc::clone(&self.0) }))
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        add(&self.0.names);
        SYSTEM.create_dir(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<Entry>> {
        add(&self.0.names);
        SYSTEM.list(path)
    }
    fn names(&self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        add(&self.0.names);
        SYSTEM.names(path)
    }
    fn file_len(&self, path: &Path) -> io::Result<u64> {
        add(&self.0.names);
        SYSTEM.file_len(path)
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        add(&self.0.names);
        SYSTEM.rename(from, to)
    }
    fn remove_file(&self, path: &Path) -> io::Result<()> {
        add(&self.0.names);
        SYSTEM.remove_file(path)
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        add(&self.0.syncs);
        SYSTEM.sync_dir(path)
    }
    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        add(&self.0.syncs);
        SYSTEM.sync_filesystem(path)
    }
}

struct Wide {
    folder: PathBuf,
    calls: Arc<Calls>,
    environment: Environment,
}

impl Wide {
    fn new(name: &str, segments_open_max: usize) -> Wide {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        node::format(&folder);
        let disk = CountingDisk::default();
        let calls = Arc::clone(&disk.0);
        let disk = Arc::new(BoundedDisk::new(Arc::new(disk), segments_open_max));
        Wide { folder, calls, environment: Environment { disk, ..Environment::real() } }
    }

    fn start(&self) -> (SteppedNode, SteppedConnection) {
        let config =
            NodeConfig::from_properties(&node::properties(&self.folder)).expect("a sound configuration").config;
        let mut node = SteppedNode::start(config, &self.environment).expect("the node starts");
        let connection = node.connect("127.0.0.1:1".parse().expect("an address"));
        (node, connection)
    }
}

impl Drop for Wide {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

fn commit(node: &mut SteppedNode) {
    while node.begin_commit(0) {
        node.sync_commit(0);
        node.finish_commit(0);
    }
}

fn answer(node: &mut SteppedNode, connection: &mut SteppedConnection, frame: &[u8]) -> Option<Outgoing> {
    match connection.call(frame) {
        Reply::Now(outgoing) => Some(outgoing),
        Reply::Later(mut pending) => {
            let mut cx = Context::from_waker(Waker::noop());
            for _ in 0..100 {
                if let Poll::Ready(answer) = pending.as_mut().poll(&mut cx) {
                    return answer;
                }
                commit(node);
            }
            panic!("no answer after 100 commits");
        }
        other => panic!("{other:?}"),
    }
}

fn frame(key: ApiKey, version: i16, request: &impl Encode) -> Vec<u8> {
    encode_request(key, version, 7, Some("wide"), request).expect("a request")[4..].to_vec()
}

fn create(name: &str, partitions: i32) -> Vec<u8> {
    let topic = CreatableTopic {
        name: name.to_owned().into(),
        num_partitions: partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    frame(
        ApiKey::CreateTopics,
        7,
        &CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..CreateTopicsRequest::default() },
    )
}

fn produce(name: &str, partitions: i32) -> Vec<u8> {
    let one = |index| {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(&NewRecord { value: Some(&[7; 100]), ..NewRecord::default() });
        PartitionProduceData {
            index,
            records: Records::Bytes(builder.build().into()),
            ..PartitionProduceData::default()
        }
    };
    let partition_data = (0..partitions).map(one).collect();
    let topic = TopicProduceData { name: name.to_owned().into(), partition_data, ..TopicProduceData::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 60_000, topic_data: vec![topic], ..ProduceRequest::default() };
    frame(ApiKey::Produce, 11, &request)
}

fn check(what: &str, value: f64, max: f64) {
    println!("{what}: {value:.2}");
    assert!(value <= max, "{what}: {value}, {max} are allowed");
}

/// One after the other: the heap is the process's.
#[tokio::test]
async fn a_partition_costs_no_more_than_it_did() {
    many_partitions_are_made_stopped_and_found_again();
    many_partitions_are_written_with_few_descriptors();
}

const PARTITIONS: i32 = 1_000;

fn each(count: impl Into<i64>) -> f64 {
    count.into() as f64 / f64::from(PARTITIONS)
}

fn many_partitions_are_made_stopped_and_found_again() {
    let wide = Wide::new("wide", 1 << 20);
    let calls = Arc::clone(&wide.calls);
    let (mut node, mut connection) = wide.start();
    answer(&mut node, &mut connection, &create("narrow", 1));
    let before = (
        allocations::live_bytes(),
        calls.syncs.load(Ordering::Relaxed),
        calls.of_all(),
        calls.files.load(Ordering::Relaxed),
    );
    answer(&mut node, &mut connection, &create("wide", PARTITIONS));
    commit(&mut node);
    assert_eq!(node.partitions().len(), PARTITIONS as usize + 1);
    check("bytes of a new partition", each(allocations::live_bytes() - before.0), 1_350.0);
    check("syncs for all new partitions", (calls.syncs.load(Ordering::Relaxed) - before.1) as f64, 6.0);
    check("calls of the disk for a new partition", each((calls.of_all() - before.2) as i64), 8.1);
    assert!(calls.files.load(Ordering::Relaxed) <= before.3 + 1, "new partitions hold no file open");
    drop(connection);
    let before = calls.of_all();
    node.stop().expect("a clean stop");
    check("calls of the disk for a partition at a stop", each((calls.of_all() - before) as i64), 0.1);

    let before = (calls.of_all(), calls.segment_bytes.load(Ordering::Relaxed));
    let empty = allocations::live_bytes();
    let (node, connection) = wide.start();
    check("bytes of a partition after a start, with the node's", each(allocations::live_bytes() - empty), 1_350.0);
    check("calls of the disk for a partition at a start", each((calls.of_all() - before.0) as i64), 7.2);
    assert_eq!(calls.segment_bytes.load(Ordering::Relaxed), before.1, "a clean start reads no segment");
    drop(connection);
    node.stop().expect("a clean stop");
}

fn many_partitions_are_written_with_few_descriptors() {
    const SEGMENTS_OPEN: usize = 50;
    let wide = Wide::new("wide-written", SEGMENTS_OPEN);
    let calls = Arc::clone(&wide.calls);
    let (mut node, mut connection) = wide.start();
    answer(&mut node, &mut connection, &create("wide", PARTITIONS));
    let produce = produce("wide", PARTITIONS);
    answer(&mut node, &mut connection, &produce).expect("an answer");
    assert!(node.partitions().iter().all(|view| view.high_watermark.0 == 1), "all are written, and durable");
    node.housekeep();
    drop(connection);
    node.stop().expect("a clean stop");
    let most = calls.files_max.load(Ordering::Relaxed);
    check("files open at once", most as f64, SEGMENTS_OPEN as f64 + 16.0);
    let (node, _connection) = wide.start();
    assert!(node.partitions().iter().all(|view| view.log_end.0 == 1), "all are there after a start");
}
