//! Opens the logs that a node finds at its start, before their partitions are made: several of each log dir at a time
//! (`num.recovery.threads.per.data.dir`), those that a crash left before the others. Which of them is opened when decides nothing.

use super::{Found, Partitions};
use crate::broker::broker_config;
use crate::environment::Workers;
use crate::recovery::RecoveryProgress;
use base::{TopicPartition, Uuid};
use config::NodeConfig;
use metadata::MetadataImage;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use storage::{Log, LogConfig, LogError, LogOptions, Owner, Recovery, owner};

/// The log of a folder, and whether the folder says whose it is; `None` for a folder of another topic.
type Opened = Result<Option<(Log, bool)>, LogError>;

/// Who opens logs ahead, and those that are open.
pub(crate) struct Ahead {
    workers: Arc<dyn Workers>,
    progress: Arc<RecoveryProgress>,
    opened: Mutex<BTreeMap<TopicPartition, Opened>>,
}

impl Ahead {
    pub(crate) fn new(workers: Arc<dyn Workers>, progress: Arc<RecoveryProgress>) -> Self {
        Self { workers, progress, opened: Mutex::default() }
    }
}

/// A log to be opened.
struct Left {
    tp: TopicPartition,
    id: Uuid,
    found: Found,
    config: Arc<LogConfig>,
}

impl Partitions {
    /// Opens what is there of the partitions that the metadata gives this node.
    pub(super) fn open_ahead(&self, config: &NodeConfig, image: &MetadataImage) {
        let lanes = self.logs_found(config, image);
        if lanes.iter().all(Vec::is_empty) {
            return;
        }
        let threads = broker_config(config, image, "num.recovery.threads.per.data.dir");
        let threads = threads.and_then(|threads| threads.parse().ok()).unwrap_or(1_usize).max(1);
        let unclean = lanes.iter().flatten().filter(|left| !left.found.clean).count();
        if unclean > 0 {
            tracing::info!(logs = unclean, threads, "recovering logs that were not closed");
            self.ahead.progress.found(unclean);
        }
        let next: Vec<AtomicUsize> = lanes.iter().map(|_| AtomicUsize::new(0)).collect();
        let dir_of: Vec<usize> =
            (0..lanes.len()).flat_map(|dir| std::iter::repeat_n(dir, threads.min(lanes[dir].len()))).collect();
        self.ahead.workers.run(dir_of.len(), &|worker| {
            let dir = dir_of[worker];
            while let Some(left) = lanes[dir].get(next[dir].fetch_add(1, Ordering::Relaxed)) {
                self.open_one_ahead(left);
            }
        });
    }

    fn open_one_ahead(&self, left: &Left) {
        let opened = self.open_log(&left.tp, left.id, &left.found, &left.config);
        let recovery = match &opened {
            Ok(Some((_, _, recovery))) => *recovery,
            Ok(None) | Err(_) => Recovery::default(),
        };
        let opened = opened.map(|found| found.map(|(log, has_id, _)| (log, has_id)));
        self.ahead.opened.lock().insert(left.tp.clone(), opened);
        if !left.found.clean {
            self.ahead.progress.one_is_done(&recovery);
        }
    }

    /// By log dir, those that take long first.
    fn logs_found(&self, config: &NodeConfig, image: &MetadataImage) -> Vec<Vec<Left>> {
        let mut lanes: Vec<Vec<Left>> = self.dirs.iter().map(|_| Vec::new()).collect();
        let mut settings: BTreeMap<Uuid, Arc<LogConfig>> = BTreeMap::new();
        for (tp, found) in self.found.lock().iter() {
            let Some(topic) = image.topics().by_name(&tp.topic) else { continue };
            let registration = topic.partition(tp.partition.0);
            if registration.is_none_or(|registration| !registration.replicas.contains(&self.node)) {
                continue;
            }
            let resolved = || self.resolve(config, image, &tp.topic).1;
            let config = settings.entry(topic.id()).or_insert_with(resolved).clone();
            lanes[found.dir].push(Left { tp: tp.clone(), id: topic.id(), found: found.clone(), config });
        }
        lanes.iter_mut().for_each(|lane| lane.sort_by_key(|left| left.found.clean));
        lanes
    }

    /// The log of a folder that was found: opened ahead or now. `None` when it is another topic's (R30).
    pub(super) fn log_of(&self, tp: &TopicPartition, id: Uuid, found: &Found, config: &Arc<LogConfig>) -> Opened {
        let ahead = self.ahead.opened.lock().remove(tp);
        match ahead {
            Some(opened) => opened,
            None => Ok(self.open_log(tp, id, found, config)?.map(|(log, has_id, _)| (log, has_id))),
        }
    }

    fn open_log(
        &self,
        tp: &TopicPartition,
        id: Uuid,
        found: &Found,
        config: &Arc<LogConfig>,
    ) -> Result<Option<(Log, bool, Recovery)>, LogError> {
        let handle = &self.dirs[found.dir];
        let (disk, dir) = (Arc::clone(handle.dir.disk()), handle.dir.path().join(tp.to_string()));
        let has_id = match owner(disk.as_ref(), &dir, id)? {
            Owner::Asked => true,
            Owner::None => false,
            Owner::Other(_) => return Ok(None),
        };
        let Found { recovery_point, log_start, compacted_to, clean, .. } = *found;
        let options = LogOptions { dir, config: Arc::clone(config), recovery_point, log_start, compacted_to, clean };
        let (mut log, recovery) = Log::open_watched(disk, options, self.ahead.progress.as_ref())?;
        if recovery.truncated_bytes > 0 {
            tracing::warn!(partition = %tp, bytes = recovery.truncated_bytes, "cut a torn tail that was never synced");
        }
        log.release_files();
        Ok(Some((log, has_id, recovery)))
    }
}
