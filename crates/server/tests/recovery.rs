//! A node's start after a crash, and log dirs that fail alone: a node without threads on a disk in memory, driven request by request.

#[path = "recovery/compacted.rs"]
mod compacted;
#[path = "recovery/failed_dirs.rs"]
mod failed_dirs;
#[path = "recovery/log_dirs.rs"]
mod log_dirs;
#[path = "recovery/metadata_log.rs"]
mod metadata_log;

use base::{Clock, Monotonic, NodeId, Offset, Timestamp, Uuid};
use config::{NodeConfig, Properties};
use net::Reply;
use protocol::frame::{decode_response_header, encode_request};
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::delete_records_request::{DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic};
use protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::metadata_record::MetadataRecord;
use protocol::wire::{Decode, Encode, Reader, Records, Request};
use raft::{SnapshotId, SnapshotWriter};
use record::control::{Voter, VoterEndpoint, Voters};
use record::{BatchBuilder, BatchOptions, NewRecord};
use server::{Environment, InTurn, Network, Node, SteppedConnection, SteppedNode, Workers};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use storage::{
    Disk, DiskFile, DiskFileWrapper, DiskWrapper, FaultyMemDisk, MetaProperties, OpenMode, WRITE_AHEAD_FILE,
};

#[path = "recovery/failed_syncs.rs"]
mod failed_syncs;

const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";
/// `KAFKA_STORAGE_ERROR`.
const STORAGE_ERROR: i16 = 56;
/// How long a test waits for what must come.
const DEADLINE: Duration = Duration::from_secs(60);

/// A clock that stands until it is moved.
#[derive(Debug, Default)]
struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn wall(&self) -> Timestamp {
        Timestamp(1_790_000_000_000 + self.0.load(Ordering::Relaxed) as i64)
    }
    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.load(Ordering::Relaxed) * 1_000_000)
    }
}

/// A disk of which one file can be broken, and on which opening another waits.
#[derive(Debug)]
struct OwnDisk {
    inner: FaultyMemDisk,
    /// Writes to files whose path ends so fail while `breaks` holds.
    breaking: PathBuf,
    breaks: AtomicBool,
    /// What cannot be read or opened.
    unreadable: Mutex<Option<PathBuf>>,
    /// Whoever opens a file whose path contains this waits until the gate is open.
    gated: &'static str,
    gate: (Mutex<bool>, Condvar),
}

#[derive(Debug)]
struct BrokenFile(Arc<dyn DiskFile>);

impl DiskFileWrapper for BrokenFile {
    fn target(&self) -> &dyn DiskFile {
        self.0.as_ref()
    }
    fn write_all_at(&self, _bufs: &[&[u8]], _position: u64) -> io::Result<()> {
        Err(io::Error::other("input/output error"))
    }
    fn sync_data(&self) -> io::Result<()> {
        panic!("a file whose write failed is synced")
    }
}

impl DiskWrapper for OwnDisk {
    fn target(&self) -> &dyn Disk {
        &self.inner
    }
    fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Arc<dyn DiskFile>> {
        self.check(path)?;
        if !self.gated.is_empty() && path.to_string_lossy().contains(self.gated) {
            let (open, told) = &self.gate;
            let waited = told.wait_timeout_while(open.lock().expect("the gate"), DEADLINE, |open| !*open);
            assert!(!waited.expect("the gate").1.timed_out(), "the gate stays shut");
        }
        let file = self.inner.open(path, mode)?;
        let is_broken = self.breaks.load(Ordering::Relaxed) && path.ends_with(&self.breaking);
        Ok(if is_broken { Arc::new(BrokenFile(file)) } else { file })
    }
}

impl OwnDisk {
    fn check(&self, path: &Path) -> io::Result<()> {
        let is_unreadable = self.unreadable.lock().expect("the path").as_deref() == Some(path);
        if is_unreadable { Err(io::Error::other("input/output error")) } else { Ok(()) }
    }
}

fn own_disk(inner: &FaultyMemDisk, gated: &'static str) -> Arc<OwnDisk> {
    Arc::new(OwnDisk {
        inner: inner.clone(),
        breaking: Path::new("/d2").join(WRITE_AHEAD_FILE),
        breaks: AtomicBool::new(false),
        unreadable: Mutex::default(),
        gated,
        gate: (Mutex::new(false), Condvar::new()),
    })
}

/// The id of a log dir by its place in what is formatted.
fn directory_id(at: usize) -> Uuid {
    Uuid(0x1234_5678_9abc_def0_1234_5678_9abc_def0 + at as u128)
}

/// What `storage format --standalone` writes.
fn format(disk: &FaultyMemDisk, dirs: &[&str]) {
    format_with(disk, dirs, &[]);
}

/// As [`format`], with more records of the metadata, and their versions.
fn format_with(disk: &FaultyMemDisk, dirs: &[&str], more: &[(MetadataRecord<'_>, i16)]) {
    for (at, dir) in dirs.iter().enumerate() {
        let (dir, directory_id) = (Path::new(dir), directory_id(at));
        disk.create_dir(dir).expect("a folder");
        if at == 0 {
            let folder = dir.join("__cluster_metadata-0");
            disk.create_dir(&folder).expect("a folder");
            let endpoint = VoterEndpoint { name: "CONTROLLER".into(), host: "127.0.0.1".into(), port: 9093 };
            let voter = Voter {
                node: NodeId(1),
                directory_id,
                endpoints: vec![endpoint],
                kraft_version_min: 0,
                kraft_version_max: 1,
            };
            let now = Timestamp(1_790_000_000_000);
            let voters = Voters { voters: vec![voter] };
            let mut writer = SnapshotWriter::new(SnapshotId::BOOTSTRAP, now, now, Some(&voters));
            let level = FeatureLevelRecord { name: "metadata.version".into(), feature_level: 33, ..Default::default() };
            writer.append(&MetadataRecord::FeatureLevel(level).encode_frame(0).expect("a record"));
            for (record, version) in more {
                writer.append(&record.encode_frame(*version).expect("a record"));
            }
            disk.replace(&folder.join(SnapshotId::BOOTSTRAP.file_name()), &writer.finish()).expect("the snapshot");
        }
        let meta = MetaProperties { cluster_id: CLUSTER_ID.into(), node_id: 1, directory_id: Some(directory_id) };
        meta.store(disk, dir).expect("meta.properties");
    }
    disk.sync_filesystem(Path::new("/")).expect("a sync");
}

fn config(dirs: &[&str], more: &[(&str, &str)]) -> NodeConfig {
    let mut properties = Properties::default();
    for (name, value) in [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.bootstrap.servers", "127.0.0.1:0"),
        ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"),
        ("controller.listener.names", "CONTROLLER"),
        ("log.dirs", &dirs.join(",")),
        ("log.flush.offset.checkpoint.interval.ms", "1000"),
    ] {
        properties.set(name, value);
    }
    more.iter().for_each(|(name, value)| properties.set(*name, *value));
    NodeConfig::from_properties(&properties).expect("a sound configuration").config
}

fn environment(disk: Arc<dyn Disk>, clock: &Arc<ManualClock>) -> Environment {
    Environment {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        disk,
        network: Network::Frames,
        workers: Arc::new(InTurn),
        seed: 5,
        ..Environment::real()
    }
}

fn creation(topic: &str, partitions: i32) -> CreateTopicsRequest<'static> {
    let topic = CreatableTopic {
        name: topic.to_owned().into(),
        num_partitions: partitions,
        replication_factor: 1,
        ..CreatableTopic::default()
    };
    CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..Default::default() }
}

/// A node that answers one client.
struct Driven {
    node: SteppedNode,
    connection: SteppedConnection,
    clock: Arc<ManualClock>,
}

impl Driven {
    fn start(disk: Arc<dyn Disk>, dirs: &[&str]) -> Driven {
        Self::start_seeded(disk, dirs, 5)
    }

    /// A start with a seed of its own makes topics whose ids no earlier start gave.
    fn start_seeded(disk: Arc<dyn Disk>, dirs: &[&str], seed: u64) -> Driven {
        let clock = Arc::new(ManualClock::default());
        let environment = Environment { seed, ..environment(disk, &clock) };
        let mut node = SteppedNode::start(config(dirs, &[]), &environment).expect("the node starts");
        let connection = node.connect("127.0.0.1:1".parse().expect("an address"));
        Driven { node, connection, clock }
    }

    fn ask<R: Request + Encode, T>(&mut self, version: i16, request: &R, read: impl FnOnce(R::Response<'_>) -> T) -> T {
        let frame = encode_request(R::KEY, version, 7, Some("test"), request).expect("a request")[4..].to_vec();
        let outgoing = match self.connection.call(&frame) {
            Reply::Now(outgoing) => outgoing,
            Reply::Later(mut pending) => {
                let mut cx = Context::from_waker(Waker::noop());
                let mut turns = 0;
                loop {
                    if let Poll::Ready(answer) = pending.as_mut().poll(&mut cx) {
                        break answer.expect("an answer");
                    }
                    self.commit();
                    turns += 1;
                    assert!(turns < 100, "no answer after 100 commits");
                }
            }
            other => panic!("{other:?}"),
        };
        let mut reader = Reader::new(&outgoing.bytes[4..]);
        decode_response_header(&mut reader, R::KEY, version).expect("a header");
        read(R::Response::decode(&mut reader, version).expect("a response"))
    }

    fn commit(&mut self) {
        for dir in 0..self.node.log_dirs() {
            while self.node.begin_commit(dir) {
                self.node.sync_commit(dir);
                self.node.finish_commit(dir);
            }
        }
    }

    /// Lets time go by, with what is due then.
    fn wait(&mut self, millis: u64) {
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
        self.node.housekeep();
        self.commit();
        self.node.housekeep();
    }

    fn create(&mut self, topic: &str, partitions: i32) {
        let code = self.ask(7, &creation(topic, partitions), |response| response.topics[0].error_code);
        assert_eq!(code, 0);
        self.commit();
    }

    /// A topic's creation, decided but not committed.
    fn begin_create(&mut self, topic: &str, partitions: i32) -> Reply {
        let request = creation(topic, partitions);
        let frame = encode_request(CreateTopicsRequest::KEY, 7, 7, Some("test"), &request).expect("a request");
        let mut reply = self.connection.call(&frame[4..]);
        let Reply::Later(pending) = &mut reply else { panic!("answered at once") };
        assert!(pending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        reply
    }

    fn delete(&mut self, topic: &str) {
        let name = topic.to_owned();
        let topics = vec![DeleteTopicState { name: Some(name.into()), ..DeleteTopicState::default() }];
        let request = DeleteTopicsRequest { topics, timeout_ms: 60_000, ..DeleteTopicsRequest::default() };
        let code = self.ask(6, &request, |response| response.responses[0].error_code);
        assert_eq!(code, 0);
    }

    /// Produces one record to each partition of `topic`, all in one request; the error code of each.
    fn produce(&mut self, topic: &str, partitions: i32, acks: i16) -> Vec<i16> {
        self.produce_to(topic, 0..partitions, acks)
    }

    fn produce_to(&mut self, topic: &str, partitions: std::ops::Range<i32>, acks: i16) -> Vec<i16> {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(&NewRecord { value: Some(&[7; 100]), ..NewRecord::default() });
        let batch = builder.build();
        let partition_data = partitions
            .map(|index| PartitionProduceData {
                index,
                records: Records::Bytes(batch.clone().into()),
                ..Default::default()
            })
            .collect();
        let name = topic.to_owned();
        let data = TopicProduceData { name: name.into(), partition_data, ..TopicProduceData::default() };
        let request = ProduceRequest { acks, timeout_ms: 30_000, topic_data: vec![data], ..ProduceRequest::default() };
        self.ask(11, &request, |response| {
            response.responses[0].partition_responses.iter().map(|partition| partition.error_code).collect()
        })
    }

    fn delete_records(&mut self, topic: &str, offset: i64) -> Poll<()> {
        let name = topic.to_owned();
        let partition = DeleteRecordsPartition { partition_index: 0, offset, ..DeleteRecordsPartition::default() };
        let topics = vec![DeleteRecordsTopic { name: name.into(), partitions: vec![partition], ..Default::default() }];
        let request = DeleteRecordsRequest { topics, timeout_ms: 60_000, ..DeleteRecordsRequest::default() };
        let frame = encode_request(DeleteRecordsRequest::KEY, 2, 7, Some("test"), &request).expect("a request");
        let Reply::Later(mut pending) = self.connection.call(&frame[4..]) else { panic!("answered at once") };
        let mut cx = Context::from_waker(Waker::noop());
        assert!(pending.as_mut().poll(&mut cx).is_pending());
        self.wait(1);
        pending.as_mut().poll(&mut cx).map(drop)
    }

    /// Log start and end of each partition of a topic, by index.
    fn ends(&self, topic: &str) -> Vec<(i64, i64)> {
        let mut views: Vec<_> =
            self.node.partitions().into_iter().filter(|view| &*view.partition.topic == topic).collect();
        views.sort_by_key(|view| view.partition.partition);
        views.iter().map(|view| (view.log_start.0, view.log_end.0)).collect()
    }
}

#[tokio::test]
async fn log_dirs_with_the_same_directory_id_refuse_a_start() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1", "/d2"]);
    let copied = disk.read(Path::new("/d1/meta.properties")).expect("reads").expect("is there");
    disk.replace(Path::new("/d2/meta.properties"), &copied).expect("a copy");
    let clock = Arc::new(ManualClock::default());
    let start =
        |dirs: &[&str]| SteppedNode::start(config(dirs, &[]), &environment(Arc::new(disk.clone()), &clock)).map(drop);
    let why = start(&["/d1", "/d2"]).expect_err("nobody could tell them apart").to_string();
    assert!(why.contains("/d1 and /d2") && why.contains("directory.id"), "{why}");
    start(&["/d1"]).expect("alone it is one");
}

#[tokio::test]
async fn a_write_ahead_file_that_cannot_be_written_takes_its_own_log_dir_offline_and_no_other() {
    let (disk, dirs) = (FaultyMemDisk::new(1), ["/d1", "/d2"]);
    format(&disk, &dirs);
    let own = own_disk(&disk, "");
    own.breaks.store(true, Ordering::Relaxed);
    let mut driven = Driven::start(Arc::clone(&own) as Arc<dyn Disk>, &dirs);
    driven.create("t", 12);
    let dir_of = |disk: &FaultyMemDisk, index: i32| {
        let is_there = |dir: &&&str| disk.list(&Path::new(dir).join(format!("t-{index}"))).is_ok();
        *dirs.iter().find(is_there).expect("the partition's folder")
    };
    let on_second: Vec<bool> = (0..12).map(|index| dir_of(&disk, index) == "/d2").collect();
    assert!(on_second.iter().filter(|second| **second).count() >= 4, "{on_second:?}");
    assert!(on_second.iter().filter(|second| !**second).count() >= 4, "{on_second:?}");
    for attempt in 0..2 {
        let codes = driven.produce("t", 12, -1);
        for (index, code) in codes.iter().enumerate() {
            let expected = if on_second[index] { STORAGE_ERROR } else { 0 };
            assert_eq!(*code, expected, "partition {index}, attempt {attempt}");
        }
    }
    assert_eq!(driven.node.failed(), None, "one of two log dirs is left");
    assert!(
        driven.node.partitions().iter().all(|view| view.is_offline == on_second[view.partition.partition.0 as usize])
    );
    driven.wait(2_000);
    // The dir that goes on has a write-ahead file in use; after a power cut what it confirmed is there.
    assert!(disk.read(&Path::new("/d1").join(WRITE_AHEAD_FILE)).expect("a read").is_some());
    drop(driven);
    let mut driven = Driven::start(Arc::new(disk.crash()), &dirs);
    for (index, (start, end)) in driven.ends("t").into_iter().enumerate() {
        assert!(start == 0 && (on_second[index] || end == 2), "partition {index}: {start} to {end}");
    }
    assert!(driven.produce("t", 12, -1).iter().all(|code| *code == 0), "the dir is back after a start");
}

/// A topic with records that are synced and checkpointed, of which two are deleted.
fn with_checkpoints(disk: &FaultyMemDisk) -> Driven {
    format(disk, &["/d1"]);
    let mut driven = Driven::start(Arc::new(disk.clone()), &["/d1"]);
    driven.create("t", 1);
    (0..5).for_each(|_| assert_eq!(driven.produce("t", 1, -1), [0]));
    assert!(driven.delete_records("t", 2).is_ready());
    driven.wait(2_000);
    assert_eq!(driven.ends("t"), [(2, 5)]);
    driven
}

#[tokio::test]
async fn what_is_known_of_an_older_topic_of_the_same_name_is_not_believed_of_a_new_one() {
    for crashes_between in [false, true] {
        let disk = FaultyMemDisk::new(1);
        let mut driven = with_checkpoints(&disk);
        driven.delete("t");
        let mut disk = disk;
        if crashes_between {
            drop(driven);
            disk = disk.crash();
            driven = Driven::start(Arc::new(disk.clone()), &["/d1"]);
        }
        driven.create("t", 1);
        assert_eq!(driven.produce("t", 1, -1), [0]);
        drop(driven);
        // Where the new log ends is far below what the older one was synced up to, and starts below where that one did.
        let mut driven = Driven::start(Arc::new(disk.crash()), &["/d1"]);
        assert_eq!(driven.ends("t"), [(0, 1)], "crashed between: {crashes_between}");
        assert_eq!(driven.produce("t", 1, -1), [0]);
    }
}

#[tokio::test]
async fn a_flipped_bit_in_a_topic_id_costs_no_record_and_is_told_apart_from_an_older_topic() {
    let disk = FaultyMemDisk::new(1);
    drop(with_checkpoints(&disk));
    let disk = disk.crash();
    let file = Path::new("/d1/t-0/partition.metadata");
    let whole = disk.read(file).expect("a read").expect("the file");
    let mut damaged = whole.clone();
    damaged[24] ^= 2;
    disk.open(file, OpenMode::Truncate).and_then(|open| open.write_all_at(&[&damaged], 0)).expect("a write");
    let mut driven = Driven::start(Arc::new(disk.clone()), &["/d1"]);
    assert_eq!(driven.produce("t", 1, -1), [STORAGE_ERROR]);
    assert_eq!(driven.ends("t"), []);
    let names: Vec<String> = disk.list(Path::new("/d1")).expect("a list").into_iter().map(|entry| entry.name).collect();
    assert!(!names.iter().any(|name| name.ends_with("-stray")), "{names:?}");
    // A checkpoint and a clean stop later it is still a log that a crash left, of which the checkpoints tell.
    driven.wait(2_000);
    let Driven { node, connection, .. } = driven;
    drop(connection);
    node.stop().expect("a clean stop");
    assert!(disk.read(Path::new("/d1/.kafka_cleanshutdown")).expect("a read").is_none());
    disk.open(file, OpenMode::Truncate).and_then(|open| open.write_all_at(&[&whole], 0)).expect("a write");
    let mut driven = Driven::start(Arc::new(disk), &["/d1"]);
    assert_eq!(driven.ends("t"), [(2, 5)]);
    assert_eq!(driven.produce("t", 1, -1), [0]);
}

/// Counts those who would work beside each other.
#[derive(Debug, Default)]
struct Counted(Mutex<Vec<usize>>);

impl Workers for Counted {
    fn run(&self, count: usize, work: &(dyn Fn(usize) + Sync)) {
        self.0.lock().expect("the counts").push(count);
        // The last one first: whoever comes first does all that there is to do in its log dir.
        (0..count).rev().for_each(work);
    }
}

#[tokio::test]
async fn logs_are_opened_by_a_bounded_number_of_workers_after_a_crash_and_after_a_clean_stop() {
    let (disk, dirs) = (FaultyMemDisk::new(1), ["/d1", "/d2"]);
    format(&disk, &dirs);
    let mut driven = Driven::start(Arc::new(disk.clone()), &dirs);
    driven.create("t", 9);
    assert!(driven.produce("t", 9, -1).iter().all(|code| *code == 0));
    drop(driven);
    let disk = disk.crash();
    for (threads, expected) in [("3", vec![6]), ("100", vec![9])] {
        let counted = Arc::new(Counted::default());
        let clock = Arc::new(ManualClock::default());
        let mut environment = environment(Arc::new(disk.clone()), &clock);
        environment.workers = Arc::clone(&counted) as Arc<dyn Workers>;
        let config = config(&dirs, &[("num.recovery.threads.per.data.dir", threads)]);
        let node = SteppedNode::start(config.clone(), &environment).expect("the node starts");
        assert_eq!(*counted.0.lock().expect("the counts"), expected);
        assert!(node.partitions().iter().all(|view| view.log_end == Offset(1)));
        assert_eq!(node.partitions().len(), 9);
        if threads == "100" {
            node.stop().expect("a clean stop");
            let node = SteppedNode::start(config, &environment).expect("the node starts");
            assert_eq!(*counted.0.lock().expect("the counts"), [9, 9]);
            assert_eq!(node.partitions().len(), 9);
        }
    }
}

/// Status line and body of a GET.
fn get(address: std::net::SocketAddr, path: &str) -> Option<(String, String)> {
    let mut stream = std::net::TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.lines().next()?.to_owned(), body.to_owned()))
}

#[tokio::test]
async fn readyz_and_the_metrics_say_how_far_a_recovery_is_while_it_goes_on() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1"]);
    let mut driven = Driven::start(Arc::new(disk.clone()), &["/d1"]);
    driven.create("t", 4);
    // One by one, so that the write-ahead file, which is put back before any log is opened, has no part in it.
    (0..4).for_each(|index| assert_eq!(driven.produce_to("t", index..index + 1, -1), [0]));
    drop(driven);
    // The last log is the one that keeps the recovery waiting.
    let own = own_disk(&disk.crash(), "/t-3/");
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let config =
        config(&["/d1"], &[("thalweg.metrics.listen", &free.to_string()), ("num.recovery.threads.per.data.dir", "1")]);
    let environment =
        Environment { disk: Arc::clone(&own) as Arc<dyn Disk>, network: Network::Sockets, ..Environment::real() };
    let starting = std::thread::Builder::new().spawn(move || Node::start(config, environment)).expect("a thread");
    // With the metadata log there are five.
    let waiting = "recovering 4 of 5 logs\n";
    let mut seen = None;
    for _ in 0..1_000_000 {
        seen = get(free, "/readyz");
        if seen.as_ref().is_some_and(|(_, body)| body == waiting) {
            break;
        }
        std::thread::yield_now();
    }
    let (status, body) = seen.expect("the listener answers");
    assert!(status.contains(" 503 ") && body == waiting, "{status}: {body}");
    let (_, metrics) = get(free, "/metrics").expect("the listener answers");
    assert!(metrics.contains("\nthalweg_remaining_logs_to_recover 1\n"), "{metrics}");
    assert_eq!(get(free, "/healthz").expect("the listener answers").1, "ok\n");
    *own.gate.0.lock().expect("the gate") = true;
    own.gate.1.notify_all();
    let node = starting.join().expect("the start").expect("the node starts");
    assert_eq!(node.metrics_bound(), Some(free));
    assert_eq!(get(free, "/readyz").expect("the listener answers").1, "ready\n");
    let (_, metrics) = get(free, "/metrics").expect("the listener answers");
    assert!(metrics.contains("\nthalweg_remaining_logs_to_recover 0\n"), "{metrics}");
    assert!(metrics.contains("\nthalweg_remaining_segments_to_recover 0\n"), "{metrics}");
    node.shutdown().expect("a clean stop");
    assert!(get(free, "/readyz").is_none(), "nobody listens any more");
}
