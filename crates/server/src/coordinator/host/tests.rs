//! A shard on its partition: what is asked of it while it loads, when its log cannot be read or written, and what it tells the metrics.

use super::Host;
use crate::committer::{Committer, ManualClock};
use crate::coordinator::Answer;
use crate::partition::tests::{partition, settle};
use crate::partition::{Observer, Partition};
use base::{Clock, ErrorCode, LeaderEpoch, Monotonic, Refusal, SeededRng, Timestamp};
use group::{Groups, Reply, RequestContext, Settings};
use metadata::MetadataImage;
use protocol::messages::offset_commit_request::{
    OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
};
use record::{BatchBuilder, BatchOptions, NewRecord};
use rsm::Now;
use std::path::Path;
use std::sync::{Arc, Weak};
use storage::{Disk, FaultyMemDisk};
use telemetry::Metrics;

const NOW: Now = Now { mono: Monotonic(0), wall: Timestamp(1_000) };

/// A shard of groups whose partition is on a disk in memory.
struct Rig {
    disk: FaultyMemDisk,
    committer: Arc<Committer>,
    partition: Arc<Partition>,
    host: Arc<Host<Groups>>,
    metrics: Arc<Metrics>,
}

impl Rig {
    fn new() -> Self {
        let disk = FaultyMemDisk::new(1);
        disk.create_dir(Path::new("/d")).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let committer = Arc::new(Committer::new(Arc::clone(&clock)));
        let partition = partition(&disk, &committer, 0);
        let metrics = Arc::new(Metrics::default());
        let host = Host::new(Arc::clone(&partition), LeaderEpoch(0), clock, Arc::clone(&metrics));
        partition.observe(Arc::downgrade(&host) as Weak<dyn Observer>);
        Self { disk, committer, partition, host, metrics }
    }

    fn load(&self) {
        self.host.load(Groups::new(Arc::new(Settings::default()), MetadataImage::default(), SeededRng::new(1)), NOW);
    }

    /// Commits an offset of a group without members.
    fn ask(&self) -> Result<Answer<Groups>, Refusal> {
        self.ask_for(1)
    }

    /// Commits an offset of each of so many partitions.
    fn ask_for(&self, count: i32) -> Result<Answer<Groups>, Refusal> {
        let request = OffsetCommitRequest {
            group_id: "g".into(),
            generation_id_or_member_epoch: -1,
            retention_time_ms: -1,
            topics: vec![OffsetCommitRequestTopic {
                name: "t".into(),
                partitions: (0..count)
                    .map(|partition_index| OffsetCommitRequestPartition {
                        partition_index,
                        committed_offset: 5,
                        ..Default::default()
                    })
                    .collect(),
                ..Default::default()
            }],
            ..Default::default()
        };
        self.host.ask(NOW, |groups, now, ticket, effects| {
            let cx = RequestContext { now, ticket, version: 9, client_id: "", client_host: "" };
            groups.commit_offsets(cx, &request, effects);
        })
    }

    /// Bytes of the log's batches, at least 1 MiB where a test asks for it.
    fn partition_bytes(&self) -> usize {
        let all = self.partition.read_own(base::Offset::ZERO, usize::MAX >> 1).unwrap();
        assert!(all.len() > 1 << 20, "{}", all.len());
        all.len()
    }

    /// Another shard that has loaded the log.
    fn reopened(&self) -> Arc<Host<Groups>> {
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::default());
        let host = Host::new(Arc::clone(&self.partition), LeaderEpoch(1), clock, Arc::clone(&self.metrics));
        host.load(Groups::new(Arc::new(Settings::default()), MetadataImage::default(), SeededRng::new(2)), NOW);
        host
    }

    fn asked(&self) -> ErrorCode {
        self.ask().map_or_else(|refusal| refusal.code, |_| ErrorCode::None)
    }

    fn settle(&self) {
        settle(&self.disk, &self.committer, std::slice::from_ref(&self.partition));
    }
}

#[test]
fn r41_who_asks_while_a_shard_loads_is_told_so_and_served_after_it() {
    let rig = Rig::new();
    assert_eq!(rig.asked(), ErrorCode::CoordinatorLoadInProgress);
    assert!(rig.host.wants_loading());
    assert_eq!(rig.host.look(|_| panic!("there is no machine yet")), ("loading", 0));
    rig.load();
    assert!(!rig.host.wants_loading());
    assert_eq!(rig.asked(), ErrorCode::None);
    assert_eq!(rig.metrics.groups.coordinator.load_seconds.count(), 1);
}

#[test]
fn r41_a_log_that_cannot_be_read_closes_the_shard_and_is_not_read_again() {
    let rig = Rig::new();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    // A commit of an offset whose value breaks off.
    let key = [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 0];
    builder.append(&NewRecord { key: Some(&key), value: Some(&[0, 3, 0]), ..NewRecord::default() });
    rig.partition.append_internal(&builder.build(), Timestamp(0)).unwrap();
    rig.settle();
    rig.load();
    assert!(!rig.host.wants_loading(), "it would be loaded for ever");
    assert_eq!(rig.asked(), ErrorCode::NotCoordinator);
    assert_eq!(rig.host.look(|_| panic!("the machine is gone")), ("closed", 0));
}

/// A decision is one batch, and that is larger than what is read of the log at a time.
#[test]
fn r41_a_large_decision_is_loaded_again() {
    let rig = Rig::new();
    rig.load();
    let mut answer = rig.ask_for(40_000).unwrap();
    rig.settle();
    assert!(matches!(answer.try_recv(), Ok(Ok(Reply::OffsetCommit(_)))));
    assert_eq!(rig.partition.read_own(base::Offset::ZERO, 1).unwrap().len(), rig.partition_bytes(), "one batch");
    let again = rig.reopened();
    let mut offsets = 0;
    again.look(|groups| offsets = groups.offsets().of_group("g").map_or(0, |topics| topics["t"].len()));
    assert_eq!(offsets, 40_000);
}

#[test]
fn a_reply_leaves_with_the_high_watermark_and_the_metrics_tell_of_it() {
    let rig = Rig::new();
    rig.load();
    let mut answer = rig.ask().unwrap();
    assert!(answer.try_recv().is_err(), "its record is not on disk");
    assert_eq!(rig.host.look(|_| ()), ("active", 1));
    let (groups, coordinator) = (&rig.metrics.groups, &rig.metrics.groups.coordinator);
    assert_eq!((coordinator.append_seconds.count(), coordinator.commit_seconds.count()), (1, 0));
    rig.settle();
    assert!(matches!(answer.try_recv(), Ok(Ok(Reply::OffsetCommit(_)))));
    assert_eq!(coordinator.commit_seconds.count(), 1);
    let mut seen = 0;
    assert_eq!(rig.host.look(|machine| seen = machine.ids().count()), ("active", 0));
    assert_eq!((seen, groups.offset_commits.get()), (1, 1));
    assert_eq!(rig.host.look(|_| ()), ("active", 0));
    assert_eq!(groups.offset_commits.get(), 1, "counted once");
}

#[test]
fn what_was_counted_is_told_when_the_shard_closes_and_who_waits_is_refused() {
    let rig = Rig::new();
    rig.load();
    let mut waits = rig.ask().unwrap();
    rig.disk.fail_after(Some(0));
    rig.settle();
    assert_eq!(waits.try_recv().unwrap().unwrap_err().code, ErrorCode::NotCoordinator);
    assert_eq!(rig.host.look(|_| panic!("the machine is gone")), ("closed", 0));
    assert_eq!(rig.metrics.groups.offset_commits.get(), 1);
}
