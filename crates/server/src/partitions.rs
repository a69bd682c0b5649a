//! The partitions of this node, and how they follow the metadata: made, elected, reconfigured, removed.

mod ahead;
mod places;

use crate::committer::Commit;
use crate::log_dir::LogDirHandle;
use crate::partition::{InSync, Partition, PartitionView, log_config};
use base::{NodeId, Offset, SeededRng, TopicPartition, Uuid};
use config::{Durability, NodeConfig, TopicConfig};
use controller::Assignment;
use metadata::{Changes, MetadataImage, PartitionRegistration, TopicImage};
use parking_lot::{Mutex, RwLock};
use replication::Leader;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::{LeftOut, Log, LogConfig, LogError, LogOptions};

pub(crate) use ahead::Ahead;
pub(crate) use places::Folders;
use places::{Away, tell_away};

/// A partition's folder that was found at start.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) dir: usize,
    pub(crate) recovery_point: Offset,
    pub(crate) log_start: Offset,
    pub(crate) compacted_to: Offset,
    pub(crate) clean: bool,
}

/// Partitions that are opened before the first of them is served: those that are new share a sync. Some hundred bytes each.
const OPENED_AT_ONCE: usize = 4_096;

/// A topic's effective settings, and its logs'.
type Settings = (Arc<TopicConfig>, Arc<LogConfig>);

/// The partitions that are made together in a log dir.
struct NewIn {
    /// Why there can be none: the dir is no longer there.
    absent: Option<LogError>,
    /// What was written beside their topic ids' files.
    beside: Vec<PathBuf>,
}

impl NewIn {
    /// Looks whether the dir is there, once for all of them.
    fn look(handle: &LogDirHandle) -> NewIn {
        let absent = if handle.is_offline() { None } else { handle.failing(handle.dir.check_present()).err() };
        NewIn { absent, beside: Vec::new() }
    }
}

/// A partition that the metadata gives this node, and that is not open yet.
struct Missing<'i> {
    tp: TopicPartition,
    id: Uuid,
    registration: &'i PartitionRegistration,
    settings: Settings,
}

/// A partition's log, before it is served.
struct Opened {
    dir: usize,
    log: Log,
    /// The topic's id is not in its folder yet, but beside its place.
    is_new: bool,
}

fn elect(partition: &Partition, registration: &PartitionRegistration) {
    let in_sync = InSync { replicas: registration.replicas.len(), isr: registration.isr.len() };
    partition.elect(registration.leader, registration.leader_epoch, in_sync);
}

/// All partitions of this node.
pub(crate) struct Partitions {
    node: NodeId,
    /// What opening a log leaves out, in negative controls.
    left_out: LeftOut,
    dirs: Arc<Vec<LogDirHandle>>,
    /// Whether each dir is one of log.dirs: new partitions are made in no other, as in Kafka, which looks for them in no other.
    for_logs: Vec<bool>,
    by_id: RwLock<BTreeMap<(Uuid, i32), Arc<Partition>>>,
    /// Folders that no partition has been opened from yet.
    found: Mutex<BTreeMap<TopicPartition, Found>>,
    /// Of folders of one name in several log dirs, those that are not in `found`.
    twins: Mutex<Vec<(TopicPartition, Found)>>,
    /// While a start opens what it finds: whether a log dir of the last start is not here, or has failed.
    dirs_gone: AtomicBool,
    /// Partitions in log dirs that are not here, with their topics. They are not made anew.
    away: Mutex<BTreeMap<TopicPartition, Uuid>>,
    /// Where partitions are that the metadata does not have there, for the controller. One of each partition that was opened since.
    assignments: Mutex<Vec<Assignment>>,
    /// Logs that were opened ahead of their partitions.
    ahead: Ahead,
    /// Folders whose logs could not be opened, with their topic and what the checkpoints say of them. They are not touched again.
    unopened: Mutex<BTreeMap<TopicPartition, (Uuid, Found)>>,
    rng: Mutex<SeededRng>,
    /// Renamed folders that are to be removed.
    removed: Mutex<Vec<PathBuf>>,
}

impl Partitions {
    pub(crate) fn new(
        config: &NodeConfig,
        dirs: Arc<Vec<LogDirHandle>>,
        found: Folders,
        ahead: Ahead,
        left_out: LeftOut,
        rng: SeededRng,
    ) -> Self {
        Self {
            node: NodeId(config.node_id),
            for_logs: dirs.iter().map(|dir| config.log_dirs.iter().any(|path| path == dir.dir.path())).collect(),
            left_out,
            dirs,
            by_id: RwLock::new(BTreeMap::new()),
            found: Mutex::new(found.first),
            twins: Mutex::new(found.more),
            dirs_gone: AtomicBool::new(false),
            away: Mutex::default(),
            assignments: Mutex::default(),
            ahead,
            unopened: Mutex::default(),
            rng: Mutex::new(rng),
            removed: Mutex::new(Vec::new()),
        }
    }

    /// One partition.
    pub(crate) fn get(&self, topic: Uuid, index: i32) -> Option<Arc<Partition>> {
        self.by_id.read().get(&(topic, index)).cloned()
    }

    /// All partitions.
    pub(crate) fn all(&self) -> Vec<Arc<Partition>> {
        self.by_id.read().values().cloned().collect()
    }

    /// The partitions of a log dir.
    pub(crate) fn in_dir(&self, dir: usize) -> Vec<Arc<Partition>> {
        self.by_id.read().values().filter(|partition| partition.dir == dir).cloned().collect()
    }

    /// All partitions as an onlooker sees them, in order of topic id and index.
    pub(crate) fn views(&self) -> Vec<PartitionView> {
        let by_id = self.by_id.read();
        by_id.iter().map(|((topic, _), partition)| partition.view(*topic)).collect()
    }

    /// Partitions of a log dir whose logs could not be opened, with recovery point, high watermark and log start: what their checkpoints say
    /// stays.
    pub(crate) fn unopened_in(&self, dir: usize) -> Vec<(TopicPartition, (Offset, Offset, Offset))> {
        let unopened = self.unopened.lock();
        let here = unopened.iter().filter(|(_, (_, found))| found.dir == dir);
        here.map(|(tp, (_, found))| (tp.clone(), (found.recovery_point, found.log_start, found.log_start))).collect()
    }

    fn is_unopened(&self, tp: &TopicPartition) -> bool {
        self.unopened.lock().contains_key(tp) || self.away.lock().contains_key(tp)
    }

    /// Whether a log dir has a log that a crash left and that could not be opened.
    pub(crate) fn has_unrecovered(&self, dir: usize) -> bool {
        self.unopened.lock().values().any(|(_, found)| found.dir == dir && !found.clean)
    }

    /// Folders that wait to be removed.
    pub(crate) fn take_removed(&self) -> Vec<PathBuf> {
        std::mem::take(&mut self.removed.lock())
    }

    /// Follows a change of the metadata; says how many partitions were to be opened.
    pub(crate) fn publish(&self, config: &NodeConfig, image: &MetadataImage, changes: &Changes) -> usize {
        self.open_ahead(config, image);
        let mut missing = Vec::new();
        for id in &changes.topics {
            match image.topics().by_id(*id) {
                Some(topic) => self.follow(config, image, topic, &mut missing),
                None => self.remove_topic(*id),
            }
        }
        let count = missing.len();
        self.open_all(missing);
        if !changes.configs.is_empty() {
            self.reconfigure(config, image, changes);
        }
        count
    }

    fn reconfigure(&self, config: &NodeConfig, image: &MetadataImage, changes: &Changes) {
        let all_brokers = changes.configs.iter().any(|(kind, _)| *kind == 4);
        let named: BTreeSet<&str> =
            changes.configs.iter().filter(|(kind, _)| *kind == 2).map(|(_, name)| name.as_str()).collect();
        let mut settings: BTreeMap<Arc<str>, Settings> = BTreeMap::new();
        for partition in self.all() {
            let name = &partition.tp.topic;
            if all_brokers || named.contains(&**name) {
                let of_topic = settings.entry(Arc::clone(name)).or_insert_with(|| self.resolve(config, image, name));
                partition.reconfigure(Arc::clone(&of_topic.0), Arc::clone(&of_topic.1));
            }
        }
    }

    /// Elects the leaders of a topic's partitions that are open, and adds those that are not to `missing`.
    fn follow<'i>(
        &self,
        config: &NodeConfig,
        image: &MetadataImage,
        topic: &'i TopicImage,
        missing: &mut Vec<Missing<'i>>,
    ) {
        let mut settings = None;
        for (index, registration) in topic.partitions_from(0) {
            if !registration.replicas.contains(&self.node) {
                continue;
            }
            if let Some(partition) = self.get(topic.id(), index) {
                elect(&partition, registration);
                continue;
            }
            let tp = TopicPartition::new(Arc::clone(topic.name()), index);
            // Said once. Made anew it would lose what is still there.
            if self.is_unopened(&tp) {
                continue;
            }
            let settings = settings.get_or_insert_with(|| self.resolve(config, image, topic.name())).clone();
            missing.push(Missing { tp, id: topic.id(), registration, settings });
        }
    }

    fn open_all(&self, missing: Vec<Missing<'_>>) {
        if missing.is_empty() {
            return;
        }
        let mut counts = self.counts();
        let mut missing = missing.into_iter().peekable();
        while missing.peek().is_some() {
            self.open_some(missing.by_ref().take(OPENED_AT_ONCE), &mut counts);
        }
    }

    /// Opens the logs of partitions, or makes them. The ids of all new folders are synced at once: one by one, ten thousand of them took
    /// half a minute.
    fn open_some<'i>(&self, missing: impl Iterator<Item = Missing<'i>>, counts: &mut [usize]) {
        let (mut opened, mut away) = (Vec::new(), Vec::new());
        let mut dirs: Vec<NewIn> = self.dirs.iter().map(NewIn::look).collect();
        for missing in missing {
            match self.open(&missing, counts, &mut dirs) {
                Ok(Ok(log)) => opened.push((missing, log)),
                Ok(Err(dir)) => {
                    self.note_away(&missing, dir);
                    away.push((missing.tp, dir));
                }
                Err(error) => tracing::error!(partition = %missing.tp, %error, "the log cannot be opened"),
            }
        }
        tell_away(&away);
        let synced: Vec<bool> = dirs.iter().enumerate().map(|(dir, new)| self.sync_ids(dir, &new.beside)).collect();
        for (missing, log) in opened.into_iter().filter(|(_, log)| !log.is_new || synced[log.dir]) {
            let tp = missing.tp.clone();
            if let Err(error) = self.serve(missing, log) {
                tracing::error!(partition = %tp, %error, "the log cannot be opened");
            }
        }
    }

    /// Syncs what was written beside the topic ids' files of a log dir; a failure is the dir's end.
    fn sync_ids(&self, dir: usize, beside: &[PathBuf]) -> bool {
        let handle = &self.dirs[dir];
        match storage::sync_files(handle.dir.disk().as_ref(), handle.dir.path(), beside) {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(dir = %handle.dir.path().display(), %error, "new partitions cannot be made");
                handle.fail(&error);
                false
            }
        }
    }

    fn open(
        &self,
        missing: &Missing<'_>,
        counts: &mut [usize],
        dirs: &mut [NewIn],
    ) -> Result<Result<Opened, Away>, LogError> {
        let (tp, id, config) = (&missing.tp, missing.id, &missing.settings.1);
        let found = self.found.lock().remove(tp);
        let known = found.as_ref().map_or(Ok(None), |found| self.log_of(tp, id, found, config));
        let known = known.inspect_err(|_| {
            self.unopened.lock().extend(found.clone().map(|found| (tp.clone(), (id, found))));
        })?;
        let (at, mut log, is_new) = match known.zip(found.as_ref()) {
            Some(((log, has_id), found)) => (found.dir, log, !has_id),
            None => {
                if let Some(found) = &found {
                    let handle = &self.dirs[found.dir];
                    handle.failing(self.put_aside(tp, handle, "belongs to another topic of this name"))?;
                }
                match self.choose_dir(missing.registration, counts) {
                    Ok(at) => {
                        let handle = &self.dirs[at];
                        dirs[at].absent.clone().map_or(Ok(()), Err)?;
                        (at, handle.failing(self.make(tp, handle, Arc::clone(config)))?, true)
                    }
                    Err(away) => return Ok(Err(away)),
                }
            }
        };
        counts[at] += 1;
        if is_new {
            dirs[at].beside.push(self.dirs[at].failing(log.write_topic_id_beside(id))?);
        }
        log.release_files();
        Ok(Ok(Opened { dir: at, log, is_new }))
    }

    /// Takes a partition whose log is open into service.
    fn serve(&self, missing: Missing<'_>, opened: Opened) -> Result<(), LogError> {
        let Opened { dir: at, mut log, is_new } = opened;
        if is_new {
            self.dirs[at].failing(log.name_topic_id())?;
        }
        self.note_place(&missing, at);
        let Missing { tp, id, registration, settings: (topic, _) } = missing;
        let handle = &self.dirs[at];
        log.attach(Arc::clone(&handle.write_ahead), id);
        let leader = Leader::new(self.node, topic.durability == Durability::Fsync, log.log_end());
        let committer = Arc::clone(&handle.committer);
        let room = Arc::clone(&handle.room);
        let index = tp.partition.0;
        let partition = Arc::new(Partition::new(tp, at, log, leader, topic, committer, room));
        self.by_id.write().insert((id, index), Arc::clone(&partition));
        // The new folder's name is made durable with the first round.
        handle.committer.enqueue(Arc::clone(&partition) as Arc<dyn Commit>);
        elect(&partition, registration);
        Ok(())
    }

    /// A topic's effective settings, which all of its partitions share.
    fn resolve(&self, config: &NodeConfig, image: &MetadataImage, topic: &str) -> Settings {
        let (of_topic, log) = resolve(config, image, topic);
        (Arc::new(of_topic), Arc::new(LogConfig { left_out: self.left_out, ..log }))
    }

    /// How many partitions each log dir has.
    fn counts(&self) -> Vec<usize> {
        self.by_id.read().values().fold(vec![0; self.dirs.len()], |mut counts, partition| {
            counts[partition.dir] += 1;
            counts
        })
    }

    /// Makes a new log. R30: a folder of the same name that is there is an older topic's.
    fn make(&self, tp: &TopicPartition, handle: &LogDirHandle, config: Arc<LogConfig>) -> Result<Log, LogError> {
        if handle.dir.has_folder(tp)? {
            self.put_aside(tp, handle, "belongs to another topic of this name")?;
        }
        handle.forget_gone(tp)?;
        let dir = handle.dir.path().join(tp.to_string());
        let [recovery_point, log_start, compacted_to] = [Offset::ZERO; 3];
        let options = LogOptions { dir, config, recovery_point, log_start, compacted_to, clean: false };
        Log::create(Arc::clone(handle.dir.disk()), options)
    }

    fn remove_topic(&self, id: Uuid) {
        let mut by_id = self.by_id.write();
        let removed: Vec<Arc<Partition>> =
            by_id.range((id, 0)..=(id, i32::MAX)).map(|(_, partition)| Arc::clone(partition)).collect();
        removed.iter().for_each(|partition| drop(by_id.remove(&(id, partition.tp.partition.0))));
        drop(by_id);
        for partition in removed {
            partition.delete();
            self.put_away(&partition.tp, partition.dir);
        }
        let unopened: Vec<_> = self.unopened.lock().extract_if(.., |_, (of, _)| *of == id).collect();
        unopened.iter().for_each(|(tp, (_, found))| self.put_away(tp, found.dir));
        // Their folders are strays once their log dir is back.
        self.away.lock().retain(|_, of| *of != id);
    }

    /// Renames the folder of a topic that is deleted, for removal. Where that fails, its log dir does: a folder that keeps its name is taken
    /// for a live partition's.
    fn put_away(&self, tp: &TopicPartition, dir: usize) {
        let handle = &self.dirs[dir];
        handle.note_gone(tp);
        let unique = Uuid::random(&mut self.rng.lock());
        match handle.failing(handle.dir.rename_aside(tp, unique, "delete")) {
            Ok(path) => self.removed.lock().push(path),
            Err(error) => {
                tracing::error!(partition = %tp, %error, "the folder of a deleted topic cannot be renamed");
            }
        }
    }

    /// Renames a folder that is not the partition's of its name. It is never removed (KIP-858).
    fn put_aside(&self, tp: &TopicPartition, handle: &LogDirHandle, why: &str) -> Result<(), LogError> {
        handle.note_gone(tp);
        let path = handle.dir.rename_aside(tp, Uuid::random(&mut self.rng.lock()), "stray")?;
        tracing::warn!(partition = %tp, folder = %path.display(), why, "put a folder aside");
        Ok(())
    }

    /// The end of the start: folders that belong to no topic of the metadata are put aside, never removed (KIP-858).
    pub(crate) fn put_strays_aside(&self) {
        self.dirs_gone.store(false, Ordering::Relaxed);
        let twins = std::mem::take(&mut *self.twins.lock());
        for (tp, found) in std::mem::take(&mut *self.found.lock()).into_iter().chain(twins) {
            let handle = &self.dirs[found.dir];
            if let Err(error) = handle.failing(self.put_aside(&tp, handle, "no topic owns it")) {
                tracing::error!(partition = %tp, %error, "a folder that no topic owns cannot be put aside");
            }
        }
    }
}

/// A topic's effective settings, and what follows for its logs.
fn resolve(config: &NodeConfig, image: &MetadataImage, topic: &str) -> (TopicConfig, LogConfig) {
    let set = |kind: i8, name: &str| -> BTreeMap<String, String> {
        image.configs(kind, name).map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
    };
    let (own, broker, all) = (set(2, topic), set(4, &config.node_id.to_string()), set(4, ""));
    let node = |name: &str| broker.get(name).or_else(|| all.get(name)).or_else(|| config.set.get(name)).cloned();
    let mut resolved = TopicConfig::resolve(&node, &own).unwrap_or_else(|why| {
        // Values are checked before they are accepted, so this can only be a value of another version of Kafka.
        tracing::error!(topic, %why, "the topic's configs cannot be read: its defaults apply");
        TopicConfig::resolve(&|_| None, &BTreeMap::new()).expect("defaults are sound")
    });
    if metadata::is_internal_topic(topic) {
        // What a group has committed is an answer that somebody builds on.
        resolved.durability = Durability::Fsync;
    }
    let expiration_ms = node("producer.id.expiration.ms").and_then(|value| value.parse().ok()).unwrap_or(86_400_000);
    let log = log_config(&resolved, expiration_ms);
    (resolved, log)
}
