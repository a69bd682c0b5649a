//! A sync that failed, beside syncs that would succeed without the lost bytes (R25): by another descriptor, of another kind, or by another
//! thread. The disk behaves as Linux: an error is told once, and what it was about is then taken for written.

use super::{DEADLINE, Driven, ManualClock, config, environment, format};
use net::Reply;
use protocol::frame::{decode_response_header, encode_request};
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::produce_request::{PartitionProduceData, ProduceRequest, TopicProduceData};
use protocol::wire::{Decode, Encode, Reader, Records, Request};
use record::{BatchBuilder, BatchOptions, NewRecord};
use server::{Environment, Network, Node, SteppedNode};
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Waker};
use std::time::Duration;
use storage::{Disk, DiskFault, DiskWrapper, FaultyMemDisk};
use tokio::time::Instant;

fn driven(disk: &FaultyMemDisk, more: &[(&str, &str)]) -> Driven {
    let clock = Arc::new(ManualClock::default());
    let environment = environment(Arc::new(disk.clone()), &clock);
    let mut node = SteppedNode::start(config(&["/d1"], more), &environment).expect("the node starts");
    let connection = node.connect("127.0.0.1:1".parse().expect("an address"));
    Driven { node, connection, clock }
}

/// The end of `t-0` after a power cut.
fn end_after_a_cut(disk: &FaultyMemDisk) -> Option<i64> {
    driven(&disk.crash(), &[]).ends("t").first().map(|(_, end)| *end)
}

#[tokio::test]
async fn r25_what_only_the_write_ahead_file_held_survives_a_round_that_fails_beside_a_flush() {
    // With and without a flush before the file's space is given back.
    for flush_interval in ["60000000", "5000"] {
        for seed in 0..20 {
            let disk = FaultyMemDisk::new(seed);
            format(&disk, &["/d1"]);
            let mut driven = driven(&disk, &[("log.flush.offset.checkpoint.interval.ms", flush_interval)]);
            driven.create("t", 5);
            assert_eq!(driven.produce("t", 5, -1), [0; 5], "confirmed by way of the write-ahead file");
            assert_eq!(driven.produce_to("t", 0..1, 1), [0]);
            driven.clock.0.fetch_add(5_000, Ordering::Relaxed);
            assert!(driven.node.begin_commit(0));
            disk.inject(DiskFault::Sync, 0);
            driven.node.sync_commit(0);
            // The flusher's thread gets a turn before the committer has told anyone.
            driven.node.housekeep();
            driven.node.finish_commit(0);
            driven.commit();
            drop(driven);
            let end = end_after_a_cut(&disk);
            assert!(end.is_some_and(|end| end >= 1), "{flush_interval}, seed {seed}: {end:?}");
        }
    }
}

#[tokio::test]
async fn r25_a_round_that_was_begun_when_a_flush_failed_confirms_nothing() {
    let mut shown = 0;
    for seed in 0..40 {
        let disk = FaultyMemDisk::new(seed);
        format(&disk, &["/d1"]);
        let mut driven = driven(&disk, &[]);
        driven.create("t", 1);
        assert_eq!(driven.produce("t", 1, 1), [0]);
        driven.clock.0.fetch_add(1_000, Ordering::Relaxed);
        assert!(driven.node.begin_commit(0));
        disk.inject(DiskFault::Sync, seed % 6);
        driven.node.housekeep();
        driven.node.sync_commit(0);
        driven.node.finish_commit(0);
        let end =
            driven.node.partitions().iter().find(|view| &*view.partition.topic == "t").map(|v| v.high_watermark.0);
        drop(driven);
        if end == Some(1) {
            shown += 1;
            assert_eq!(end_after_a_cut(&disk), Some(1), "seed {seed}: shown, and then lost");
        }
    }
    assert!(shown < 40, "no flush has failed before its round was over");
}

#[tokio::test]
async fn r25_a_flush_of_the_metadata_log_beside_a_round_that_fails_leaves_a_log_that_opens() {
    for seed in 0..40 {
        let disk = FaultyMemDisk::new(seed);
        format(&disk, &["/d1"]);
        let mut driven = driven(&disk, &[]);
        driven.create("t", 1);
        driven.wait(1_000);
        let topic =
            CreatableTopic { name: "u".into(), num_partitions: 1, replication_factor: 1, ..CreatableTopic::default() };
        let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..CreateTopicsRequest::default() };
        let frame = encode_request(CreateTopicsRequest::KEY, 7, 7, Some("test"), &request).expect("a request");
        let Reply::Later(mut pending) = driven.connection.call(&frame[4..]) else {
            panic!("answered before it is on disk")
        };
        assert!(pending.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        driven.clock.0.fetch_add(1_000, Ordering::Relaxed);
        assert!(driven.node.begin_commit(0));
        disk.inject(DiskFault::Sync, 0);
        driven.node.sync_commit(0);
        driven.node.housekeep();
        driven.node.finish_commit(0);
        assert!(driven.node.failed().is_some());
        drop((pending, driven));
        assert_eq!(self::driven(&disk.crash(), &[]).ends("t"), [(0, 0)], "seed {seed}");
    }
}

/// A disk on which the flusher's syncs of the file system wait, and then fail.
#[derive(Debug)]
struct SlowFlush {
    inner: FaultyMemDisk,
    state: Mutex<Flush>,
    told: Condvar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flush {
    Free,
    /// The next one waits.
    Armed,
    Waits,
    /// It goes on, and fails.
    Fails,
}

impl SlowFlush {
    fn set(&self, state: Flush) {
        *self.state.lock().expect("the state") = state;
        self.told.notify_all();
    }

    fn wait_for(&self, wanted: Flush) {
        let waited =
            self.told.wait_timeout_while(self.state.lock().expect("the state"), DEADLINE, |state| *state != wanted);
        assert!(!waited.expect("the state").1.timed_out(), "never {wanted:?}");
    }
}

impl DiskWrapper for SlowFlush {
    fn target(&self) -> &dyn Disk {
        &self.inner
    }
    fn sync_filesystem(&self, path: &Path) -> io::Result<()> {
        let is_flush = std::thread::current().name() == Some("flusher-0");
        if is_flush && *self.state.lock().expect("the state") == Flush::Armed {
            self.set(Flush::Waits);
            self.wait_for(Flush::Fails);
            self.inner.inject(DiskFault::Sync, 0);
        }
        self.inner.sync_filesystem(path)
    }
}

fn ask<R: Request + Encode, T>(
    stream: &mut TcpStream,
    version: i16,
    request: &R,
    read: impl FnOnce(R::Response<'_>) -> T,
) -> T {
    stream.write_all(&encode_request(R::KEY, version, 7, Some("test"), request).expect("a request")).expect("sent");
    let mut len = [0; 4];
    stream.read_exact(&mut len).expect("a length");
    let mut bytes = vec![0; u32::from_be_bytes(len) as usize];
    stream.read_exact(&mut bytes).expect("an answer");
    let mut reader = Reader::new(&bytes);
    decode_response_header(&mut reader, R::KEY, version).expect("a header");
    read(R::Response::decode(&mut reader, version).expect("a response"))
}

/// Whether this process has a thread of this name, with a deadline for its end.
fn outlives(name: &str, deadline: Duration) -> bool {
    let until = Instant::now() + deadline;
    let is_there = || {
        let tasks = std::fs::read_dir("/proc/self/task").expect("this process's threads");
        let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
        names.into_iter().any(|found| found.trim_end() == name)
    };
    while is_there() {
        if Instant::now() > until {
            return true;
        }
        std::thread::yield_now();
    }
    false
}

#[test]
fn r25_a_flush_that_fails_while_the_node_stops_leaves_no_marker_of_a_clean_stop() {
    let disk = FaultyMemDisk::new(3);
    format(&disk, &["/d1"]);
    let own = Arc::new(SlowFlush { inner: disk.clone(), state: Mutex::new(Flush::Free), told: Condvar::new() });
    let shared = Arc::clone(&own) as Arc<dyn Disk>;
    let environment = Environment { disk: shared, network: Network::Sockets, ..Environment::real() };
    let node = Node::start(config(&["/d1"], &[]), environment).expect("the node starts");
    let mut stream = TcpStream::connect(node.bound()).expect("connects");
    let topic =
        CreatableTopic { name: "t".into(), num_partitions: 5, replication_factor: 1, ..CreatableTopic::default() };
    let request = CreateTopicsRequest { topics: vec![topic], timeout_ms: 60_000, ..CreateTopicsRequest::default() };
    assert_eq!(ask(&mut stream, 7, &request, |response| response.topics[0].error_code), 0);
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord { value: Some(&[7; 100]), ..NewRecord::default() });
    let records = Records::Bytes(builder.build().into());
    let partition_data =
        (0..5).map(|index| PartitionProduceData { index, records: records.clone(), ..Default::default() }).collect();
    let data = TopicProduceData { name: "t".into(), partition_data, ..TopicProduceData::default() };
    let request = ProduceRequest { acks: -1, timeout_ms: 30_000, topic_data: vec![data], ..ProduceRequest::default() };
    own.set(Flush::Armed);
    let has_failed = ask(&mut stream, 11, &request, |response| {
        response.responses[0].partition_responses.iter().any(|partition| partition.error_code != 0)
    });
    assert!(!has_failed, "confirmed by way of the write-ahead file");
    drop(stream);
    own.wait_for(Flush::Waits);
    let stopped = std::thread::scope(|scope| {
        let stopping = scope.spawn(|| node.shutdown());
        // A committer that ends before the flusher leaves nobody to tell of what fails there.
        let outlives = outlives("committer-0", Duration::from_secs(2));
        own.set(Flush::Fails);
        (outlives, stopping.join().expect("the stop"))
    });
    assert!(stopped.0 && stopped.1.is_err(), "{stopped:?}");
    assert!(disk.read(Path::new("/d1/.kafka_cleanshutdown")).expect("a read").is_none());
    let ends: Vec<i64> = driven(&disk.crash(), &[]).ends("t").iter().map(|(_, end)| *end).collect();
    assert_eq!(ends, [1; 5]);
}
