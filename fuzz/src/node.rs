//! A whole node in memory, and the frames of one client: every handler of every API, with what the frames before left behind.
//!
//! Beside what holds for every target: the node does not fail, and each frame is answered, refused or closes its connection.

use crate::files::write;
use crate::heap::bounded;
use crate::take::Take;
use base::{Clock, Monotonic, NodeId, Timestamp, Uuid};
use config::{NodeConfig, Properties};
use net::Reply;
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::metadata_record::MetadataRecord;
use raft::{SnapshotId, SnapshotWriter};
use record::control::{Voter, VoterEndpoint, Voters};
use server::{Environment, InTurn, Network, SteppedConnection, SteppedNode};
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Waker};
use storage::{FaultyMemDisk, MetaProperties};

/// Frames of one input.
const FRAMES_MAX: usize = 24;
/// Turns that the node gets after each frame: a change of the metadata takes a few.
const TURNS: usize = 4;
/// What the frames of one input may make the node keep: topics with their partitions above all, 10,000 a request.
const NODE: usize = 512 << 20;
/// Where it keeps its files.
const DIR: &str = "/d";
/// When it starts.
const START_MS: u64 = 1_750_000_000_000;

/// Time that passes when the input says so.
#[derive(Debug)]
struct InputClock(AtomicU64);

impl Clock for InputClock {
    fn wall(&self) -> Timestamp {
        Timestamp(i64::try_from(START_MS + self.0.load(Relaxed)).unwrap_or(i64::MAX))
    }

    fn monotonic(&self) -> Monotonic {
        Monotonic(self.0.load(Relaxed).saturating_mul(1_000_000))
    }
}

/// Frames without their sizes, each behind two bytes of length and one of time: so many times 128 ms pass before it.
pub fn node(data: &[u8]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let runtime = runtime.expect("a runtime without threads");
    let _inside = runtime.enter();
    bounded(data.len(), NODE, || run(Take(data)));
}

fn run(mut take: Take<'_>) {
    let disk = FaultyMemDisk::new(1);
    format(&disk);
    let clock = Arc::new(InputClock(AtomicU64::new(0)));
    let environment = Environment {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        disk: Arc::new(disk),
        network: Network::Frames,
        workers: Arc::new(InTurn),
        seed: 7,
        left_out: Default::default(),
        release_memory: |_| {},
    };
    let mut node = SteppedNode::start(configuration(), &environment).expect("the node starts");
    let address = "127.0.0.1:4242".parse().expect("an address");
    let mut connection = node.connect(address);
    let mut waiting: Vec<Pin<Box<dyn Future<Output = Option<net::Outgoing>>>>> = Vec::new();
    for _ in 0..FRAMES_MAX {
        if take.is_empty() {
            break;
        }
        clock.0.fetch_add(u64::from(take.byte()) * 128, Relaxed);
        match call(&mut connection, take.sized()) {
            Reply::Later(pending) => waiting.push(pending),
            Reply::Close(reason) => {
                assert!(!reason.is_empty(), "a reason to close");
                connection = node.connect(address);
            }
            Reply::Now(outgoing) => assert!(outgoing.bytes.len() >= 8, "an answer has a size and a correlation id"),
            Reply::Nothing => {}
        }
        for _ in 0..TURNS {
            turn(&mut node);
            let mut cx = Context::from_waker(Waker::noop());
            waiting.retain_mut(|pending| pending.as_mut().poll(&mut cx).is_pending());
        }
        assert_eq!(node.failed(), None, "no client can make a node fail");
    }
}

fn call(connection: &mut SteppedConnection, frame: &[u8]) -> Reply {
    connection.call(frame)
}

/// What its threads would do meanwhile.
fn turn(node: &mut SteppedNode) {
    for dir in 0..node.log_dirs() {
        if node.begin_commit(dir) {
            node.sync_commit(dir);
            node.finish_commit(dir);
        }
    }
    node.coordinate();
    node.housekeep();
    while node.read_cold() {}
}

fn configuration() -> NodeConfig {
    let mut properties = Properties::default();
    for (name, value) in [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.bootstrap.servers", "127.0.0.1:1"),
        ("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093"),
        ("controller.listener.names", "CONTROLLER"),
        ("log.dirs", DIR),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
        ("thalweg.threads", "1"),
    ] {
        properties.set(name, value);
    }
    NodeConfig::from_properties(&properties).expect("a sound configuration").config
}

/// What `storage format --standalone` writes.
fn format(disk: &FaultyMemDisk) {
    let directory_id = Uuid(5);
    let endpoint = VoterEndpoint { name: "CONTROLLER".into(), host: "127.0.0.1".into(), port: 9093 };
    let voter =
        Voter { node: NodeId(1), directory_id, endpoints: vec![endpoint], kraft_version_min: 0, kraft_version_max: 1 };
    let now = Timestamp(START_MS as i64);
    let mut writer = SnapshotWriter::new(SnapshotId::BOOTSTRAP, now, now, Some(&Voters { voters: vec![voter] }));
    for (name, level) in [("metadata.version", 33), ("group.version", 1)] {
        let level = FeatureLevelRecord { name: name.into(), feature_level: level, ..FeatureLevelRecord::default() };
        writer.append(&MetadataRecord::FeatureLevel(level).encode_frame(0).expect("a record"));
    }
    let bootstrap = Path::new(DIR).join("__cluster_metadata-0").join(SnapshotId::BOOTSTRAP.file_name());
    write(disk, &bootstrap, &writer.finish());
    let meta =
        MetaProperties { cluster_id: "4L6g3nShT-eMCtK--X86sw".into(), node_id: 1, directory_id: Some(directory_id) };
    meta.store(disk, Path::new(DIR)).expect("this disk does not fail");
}
