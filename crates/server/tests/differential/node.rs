//! Our node in this process, with the configuration that the recorded Kafka had.

use base::{Timestamp, Uuid};
use config::{NodeConfig, Properties};
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::metadata_record::MetadataRecord;
use raft::{SnapshotId, SnapshotWriter};
use record::control::{Voter, VoterEndpoint, Voters};
use server::{Environment, Node};
use std::path::{Path, PathBuf};
use storage::{Disk, MetaProperties, RealDisk};

const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";

/// A running node; its folder goes with it.
pub(crate) struct OwnNode {
    node: Option<Node>,
    folder: PathBuf,
}

impl OwnNode {
    pub(crate) fn start(name: &str) -> OwnNode {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()));
        drop(std::fs::remove_dir_all(&folder));
        format(&folder);
        let mut own = OwnNode { node: None, folder };
        own.run();
        own
    }

    fn run(&mut self) {
        let startup = NodeConfig::from_properties(&properties(&self.folder)).expect("a sound configuration");
        self.node = Some(Node::start(startup.config, Environment::real()).expect("the node starts"));
    }

    pub(crate) fn address(&self) -> String {
        self.node.as_ref().expect("a running node").bound().to_string()
    }

    /// Stops it cleanly and starts it again.
    pub(crate) fn restart(&mut self) {
        self.node.take().expect("a running node").shutdown().expect("a clean stop");
        self.run();
    }

    /// Leaves it as after a kill and starts it again.
    pub(crate) fn kill(&mut self) {
        drop(self.node.take());
        self.run();
    }
}

impl Drop for OwnNode {
    fn drop(&mut self) {
        drop(self.node.take());
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// As `tests/conformance/src/node.rs` configures both kinds of broker.
pub(crate) fn properties(folder: &Path) -> Properties {
    let mut properties = Properties::default();
    for (name, value) in [
        ("process.roles", "broker,controller"),
        ("node.id", "1"),
        ("controller.quorum.bootstrap.servers", "127.0.0.1:0"),
        ("listeners", "PLAINTEXT://127.0.0.1:0,CONTROLLER://127.0.0.1:0"),
        ("advertised.listeners", "PLAINTEXT://127.0.0.1:0"),
        ("controller.listener.names", "CONTROLLER"),
        ("log.dirs", &folder.display().to_string()),
        ("offsets.topic.replication.factor", "1"),
        ("offsets.topic.num.partitions", "1"),
        ("transaction.state.log.replication.factor", "1"),
        ("transaction.state.log.min.isr", "1"),
        ("transaction.state.log.num.partitions", "1"),
        ("share.coordinator.state.topic.replication.factor", "1"),
        ("share.coordinator.state.topic.min.isr", "1"),
        ("group.initial.rebalance.delay.ms", "0"),
    ] {
        properties.set(name, value);
    }
    properties
}

/// What `storage format --standalone` writes.
pub(crate) fn format(folder: &Path) {
    let metadata_dir = folder.join("__cluster_metadata-0");
    std::fs::create_dir_all(&metadata_dir).expect("the metadata folder");
    let directory_id = Uuid(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
    let endpoint = VoterEndpoint { name: "CONTROLLER".into(), host: "127.0.0.1".into(), port: 9093 };
    let voter = Voter {
        node: base::NodeId(1),
        directory_id,
        endpoints: vec![endpoint],
        kraft_version_min: 0,
        kraft_version_max: 1,
    };
    let now = Timestamp(1_790_000_000_000);
    let mut writer = SnapshotWriter::new(SnapshotId::BOOTSTRAP, now, now, Some(&Voters { voters: vec![voter] }));
    for (name, feature_level) in [("metadata.version", 33), ("group.version", 1)] {
        let level = FeatureLevelRecord { name: name.into(), feature_level, ..FeatureLevelRecord::default() };
        writer.append(&MetadataRecord::FeatureLevel(level).encode_frame(0).expect("a record"));
    }
    RealDisk::new()
        .replace(&metadata_dir.join(SnapshotId::BOOTSTRAP.file_name()), &writer.finish())
        .expect("the bootstrap snapshot");
    let meta = MetaProperties { cluster_id: CLUSTER_ID.into(), node_id: 1, directory_id: Some(directory_id) };
    meta.store(&RealDisk::new(), folder).expect("meta.properties");
}
