//! What a node does besides answering: retention, checkpoints, heartbeats, snapshots. One task, one tick a second; the work itself
//! runs on a thread of its own, so that no request waits for a disk.

use crate::broker::Broker;
use crate::flush::checkpoint;
use crate::log_dir::LogDirHandle;
use crate::quorum::SnapshotPolicy;
use base::{BrokerEpoch, Monotonic, Timestamp, Uuid};
use controller::{Controller, Decision};
use parking_lot::Mutex;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use storage::checkpoint_name;

/// How long bytes stay in a write-ahead file at most: what a start after a crash reads again.
const RETIRE_INTERVAL_MS: i64 = 5_000;

/// How often memory that was free for a while is given back. The allocator does so only while it is asked for more.
const RELEASE_INTERVAL_MS: i64 = 2_000;

/// Replicas that the controller is told the log dirs of at once: their records share a batch.
pub(crate) const ASSIGNED_AT_ONCE: usize = 4_096;

/// Work that is due at a time, and again an interval later.
struct Every {
    interval_ms: i64,
    next: Monotonic,
}

impl Every {
    fn new(now: Monotonic, interval_ms: i64) -> Self {
        Self { interval_ms, next: now.plus_millis(interval_ms) }
    }

    fn is_due(&mut self, now: Monotonic) -> bool {
        if self.interval_ms <= 0 || now < self.next {
            return false;
        }
        self.next = now.plus_millis(self.interval_ms);
        true
    }
}

/// The node's housekeeping.
pub(crate) struct Background {
    broker: Arc<Broker>,
    retention: Every,
    high_watermarks: Every,
    recovery_points: Every,
    retiring: Every,
    releasing: Every,
    heartbeat: Every,
    /// Offline log dirs that the last heartbeat told of.
    told_offline: usize,
    no_op: Every,
    /// Files and folders to remove, and when.
    doomed: Mutex<Vec<(Monotonic, PathBuf)>>,
}

impl Background {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        let now = broker.clock.monotonic();
        let every = |name: &str| Every::new(now, broker.config.number(name));
        Self {
            retention: every("log.retention.check.interval.ms"),
            high_watermarks: every("replica.high.watermark.checkpoint.interval.ms"),
            recovery_points: every("log.flush.offset.checkpoint.interval.ms"),
            retiring: Every::new(now, RETIRE_INTERVAL_MS),
            releasing: Every::new(now, RELEASE_INTERVAL_MS),
            heartbeat: every("broker.heartbeat.interval.ms"),
            told_offline: 0,
            no_op: every("metadata.max.idle.interval.ms"),
            doomed: Mutex::new(Vec::new()),
            broker,
        }
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Monotonic, wall: Timestamp) {
        self.broker.log_dirs.iter().filter(|handle| !handle.is_offline()).for_each(LogDirHandle::measure);
        // Before the heartbeat, which may say that the log dir of a new partition has failed.
        self.assign(wall);
        let offline = self.broker.offline_dirs();
        // At once, as Kafka does, so that clients look for another leader.
        if self.heartbeat.is_due(now) || offline.len() != self.told_offline {
            self.beat(now, wall, &offline);
        }
        if self.no_op.is_due(now) {
            let said = self
                .broker
                .quorum
                .submit(wall, |controller, _| Ok(Decision { records: vec![controller.no_op()], reply: () }));
            if let Err(refusal) = said {
                tracing::error!(%refusal, "the metadata log takes nothing more");
            }
        }
        if self.high_watermarks.is_due(now) {
            self.note_high_watermarks();
        }
        if self.recovery_points.is_due(now) {
            self.broker.log_dirs.iter().for_each(|handle| handle.flusher.want_checkpoint());
            self.snapshot(wall);
        }
        if self.releasing.is_due(now) {
            (self.broker.release_memory)(false);
        }
        if self.retiring.is_due(now) {
            let filled = self.broker.log_dirs.iter().filter(|handle| !handle.write_ahead.is_empty());
            filled.for_each(|handle| handle.flusher.want_retire());
        }
        if self.retention.is_due(now) {
            self.retain(now, wall);
        }
        self.remove_folders(now);
    }

    fn note_high_watermarks(&self) {
        for (at, handle) in self.broker.log_dirs.iter().enumerate().filter(|(_, handle)| !handle.is_offline()) {
            if let Err(error) = checkpoint(&self.broker, at, checkpoint_name::HIGH_WATERMARK) {
                tracing::error!(%error, "a checkpoint could not be written");
                handle.fail(&error);
            }
        }
    }

    fn beat(&mut self, now: Monotonic, wall: Timestamp, offline: &[Uuid]) {
        let (node, epoch) = (self.broker.node_id, BrokerEpoch(self.broker.epoch.load(Ordering::Acquire)));
        let beaten = self.broker.quorum.submit(wall, |controller, _| controller.heartbeat(now, node, epoch, offline));
        self.told_offline = offline.len();
        if let Err(refusal) = beaten {
            tracing::error!(%refusal, "the controller refused a heartbeat");
        }
    }

    /// Tells the controller where new partitions are, so that none is made anew when its log dir is not here at a later start.
    fn assign(&self, wall: Timestamp) {
        for some in self.broker.partitions.take_assignments().chunks(ASSIGNED_AT_ONCE) {
            let node = self.broker.node_id;
            let decide = |controller: &mut Controller, _| Ok(controller.assign_directories(node, some));
            if let Err(refusal) = self.broker.quorum.submit(wall, decide) {
                tracing::error!(%refusal, "the metadata log takes nothing more");
            }
        }
    }

    fn snapshot(&self, wall: Timestamp) {
        let policy = SnapshotPolicy::of(&self.broker.config);
        if let Err(error) = self.broker.quorum.snapshot_if_due(wall, &policy) {
            tracing::error!(%error, "the snapshot of the metadata could not be written");
        }
    }

    fn retain(&self, now: Monotonic, wall: Timestamp) {
        for partition in self.broker.partitions.all() {
            if let Some(deletion) = partition.maintain(wall) {
                let due = now.plus_millis(deletion.delay_ms);
                self.doomed.lock().extend(deletion.paths.into_iter().map(|path| (due, path)));
            }
            partition.release_files();
        }
        self.broker.cold_reads.let_go();
    }

    /// Removes what was renamed long enough ago.
    fn remove_folders(&self, now: Monotonic) {
        let name = "log.segment.delete.delay.ms";
        let delay = crate::broker::broker_config(&self.broker.config, &self.broker.image(), name);
        let delay_ms = delay.and_then(|delay| delay.parse().ok()).unwrap_or(60_000);
        let removed = self.broker.partitions.take_removed();
        let mut doomed = self.doomed.lock();
        doomed.extend(removed.into_iter().map(|path| (now.plus_millis(delay_ms), path)));
        doomed.retain(|(due, path)| {
            if *due > now {
                return true;
            }
            let disk = self.broker.log_dirs[0].dir.disk();
            let gone = if path.extension().is_some_and(|suffix| suffix == "deleted") {
                disk.remove_file(path)
            } else {
                disk.remove_dir_all(path)
            };
            if let Err(error) = gone
                && error.kind() != std::io::ErrorKind::NotFound
            {
                tracing::error!(path = %path.display(), %error, "what was deleted cannot be removed");
            }
            false
        });
    }
}
