//! The machine that the node runs on: its disk, its configuration, and how it is started, killed, cut off and stopped.

use crate::clock::SimClock;
use crate::controls::Control;
use crate::disk::LyingDisk;
use crate::options::{Options, Subject, generator};
use base::{Clock, NodeId, SeededRng, Timestamp, Uuid};
use config::{NodeConfig, Properties};
use metadata::{METADATA_VERSION, MetadataVersion};
use protocol::messages::feature_level_record::FeatureLevelRecord;
use protocol::metadata_record::MetadataRecord;
use raft::{SnapshotId, SnapshotWriter};
use record::control::{Voter, VoterEndpoint, Voters};
use server::{Environment, InTurn, Network, SteppedNode};
use std::path::Path;
use std::sync::Arc;
use storage::{Disk, FaultyMemDisk, MetaProperties};

const CLUSTER_ID: &str = "4L6g3nShT-eMCtK--X86sw";
const NODE: i32 = 1;

/// A machine with one node.
pub(crate) struct Machine {
    pub(crate) disk: FaultyMemDisk,
    pub(crate) node: Option<SteppedNode>,
    properties: Properties,
    clock: Arc<SimClock>,
    seeds: SeededRng,
    control: Option<Control>,
    /// The node runs without one of its log dirs, which is whole.
    pub(crate) is_without_dir: bool,
    absences: SeededRng,
}

impl Machine {
    /// A machine with a formatted disk, whose node does not run yet.
    pub(crate) fn new(options: &Options, clock: Arc<SimClock>) -> Result<Machine, String> {
        let disk = FaultyMemDisk::new(generator(options.seed, Subject::Disk).next_u64());
        let mut rng = generator(options.seed, Subject::Configuration);
        let dirs: &[&str] = if rng.below(3) == 0 { &["/d1", "/d2"] } else { &["/d1"] };
        format(&disk, dirs, clock.wall(), &mut rng)?;
        let properties = properties(dirs, options, &mut rng);
        let seeds = generator(options.seed, Subject::Node);
        let absences = generator(options.seed, Subject::Absences);
        let control = options.control;
        Ok(Machine { disk, node: None, properties, clock, seeds, control, is_without_dir: false, absences })
    }

    /// Starts the node, where it may be so now and then without its last log dir.
    pub(crate) fn start(&mut self, may_leave_out: bool) -> Result<(), String> {
        let mut properties = self.properties.clone();
        let dirs = properties.get("log.dirs").unwrap_or_default().to_owned();
        self.is_without_dir = false;
        if let Some((kept, _)) = dirs.rsplit_once(',').filter(|_| may_leave_out && self.absences.below(4) == 0) {
            properties.set("log.dirs", kept);
            self.is_without_dir = true;
        }
        let startup = NodeConfig::from_properties(&properties).map_err(|errors| errors.join("; "))?;
        let disk: Arc<dyn Disk> = Arc::new(self.disk.clone());
        let disk: Arc<dyn Disk> = match self.control.and_then(Control::lie) {
            Some(lie) => Arc::new(LyingDisk { disk, lie }),
            None => disk,
        };
        let environment = Environment {
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            disk,
            network: Network::Frames,
            workers: Arc::new(InTurn),
            seed: self.seeds.next_u64(),
            left_out: self.control.map(Control::left_out).unwrap_or_default(),
            release_memory: |_| {},
        };
        let node = SteppedNode::start(startup.config, &environment).map_err(|error| error.to_string())?;
        self.node = Some(node);
        Ok(())
    }

    /// Ends the process; what it wrote stays in the page cache.
    pub(crate) fn kill(&mut self) {
        self.node = None;
    }

    /// Ends the process, and the machine is found with this disk.
    pub(crate) fn power_cut(&mut self, left: FaultyMemDisk) {
        self.node = None;
        self.disk = left;
    }

    /// Stops the node cleanly.
    pub(crate) fn stop(&mut self) -> Result<(), String> {
        match self.node.take() {
            Some(node) => node.stop().map_err(|error| error.to_string()),
            None => Ok(()),
        }
    }
}

/// Small numbers for everything, so that rolls, snapshots, retention and checkpoints happen in every run.
fn properties(dirs: &[&str], options: &Options, rng: &mut SeededRng) -> Properties {
    let mut between = |low: u64, high: u64| (low + rng.below(high - low + 1)).to_string();
    let durability = if options.control == Some(Control::WatermarkFromPageCache) { "pagecache" } else { "fsync" };
    let mut properties = Properties::default();
    for (name, value) in [
        ("process.roles", "broker,controller".to_owned()),
        ("node.id", NODE.to_string()),
        ("controller.quorum.bootstrap.servers", "127.0.0.1:9093".to_owned()),
        ("listeners", "PLAINTEXT://127.0.0.1:9092,CONTROLLER://127.0.0.1:9093".to_owned()),
        ("controller.listener.names", "CONTROLLER".to_owned()),
        ("log.dirs", dirs.join(",")),
        ("log.durability", durability.to_owned()),
        ("log.index.interval.bytes", between(50, 600)),
        ("log.index.size.max.bytes", between(32, 200)),
        ("log.flush.offset.checkpoint.interval.ms", between(300, 5_000)),
        ("replica.high.watermark.checkpoint.interval.ms", between(300, 5_000)),
        ("log.retention.check.interval.ms", between(300, 5_000)),
        ("log.segment.delete.delay.ms", between(100, 3_000)),
        ("offsets.topic.num.partitions", between(1, 3)),
        ("offsets.topic.replication.factor", "1".to_owned()),
        ("metadata.log.max.record.bytes.between.snapshots", between(500, 20_000)),
        ("metadata.max.idle.interval.ms", between(500, 10_000)),
        ("group.initial.rebalance.delay.ms", between(0, 1_000)),
        ("broker.session.timeout.ms", "600000".to_owned()),
    ] {
        properties.set(name, value);
    }
    // In every other run the metadata log is trimmed, in the others it grows and has more of what a crash can damage.
    if options.seed.is_multiple_of(2) {
        properties.set("metadata.log.segment.ms", "2000");
        properties.set("metadata.max.retention.ms", "5000");
    }
    properties
}

/// What `thalweg storage format --standalone` writes, synced.
fn format(disk: &FaultyMemDisk, dirs: &[&str], now: Timestamp, rng: &mut SeededRng) -> Result<(), String> {
    let failed = |error: std::io::Error| error.to_string();
    for (at, dir) in dirs.iter().enumerate() {
        let dir = Path::new(dir);
        disk.create_dir(dir).map_err(failed)?;
        let directory_id = Uuid::random(rng);
        if at == 0 {
            let folder = dir.join("__cluster_metadata-0");
            disk.create_dir(&folder).map_err(failed)?;
            disk.sync_dir(dir).map_err(failed)?;
            let endpoint = VoterEndpoint { name: "CONTROLLER".into(), host: "127.0.0.1".into(), port: 9093 };
            let voter = Voter {
                node: NodeId(NODE),
                directory_id,
                endpoints: vec![endpoint],
                kraft_version_min: 0,
                kraft_version_max: 1,
            };
            let voters = Voters { voters: vec![voter] };
            let mut writer = SnapshotWriter::new(SnapshotId::BOOTSTRAP, now, now, Some(&voters));
            let record = FeatureLevelRecord {
                name: METADATA_VERSION.into(),
                feature_level: MetadataVersion::LATEST.level(),
                ..FeatureLevelRecord::default()
            };
            let frame = MetadataRecord::FeatureLevel(record).encode_frame(0).map_err(|error| error.to_string())?;
            writer.append(&frame);
            disk.replace(&folder.join(SnapshotId::BOOTSTRAP.file_name()), &writer.finish()).map_err(failed)?;
        }
        let meta = MetaProperties { cluster_id: CLUSTER_ID.into(), node_id: NODE, directory_id: Some(directory_id) };
        meta.store(disk, dir).map_err(|error| error.to_string())?;
    }
    Ok(())
}
