//! A log dir of the node, with what works on it: its committer, its flusher, its write-ahead file and its room.

use crate::committer::Committer;
use crate::flusher::Flusher;
use crate::room::Room;
use base::{Clock, SeededRng, TopicPartition};
use parking_lot::Mutex;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use storage::{DiskError, LogDir, LogError, OffsetCheckpoint, Space, WriteAhead, checkpoint_name};

/// Hears of what took a log dir offline.
type OnOffline = Box<dyn Fn(&DiskError) + Send + Sync>;

/// A log dir with its committer.
pub(crate) struct LogDirHandle {
    pub(crate) dir: LogDir,
    pub(crate) committer: Arc<Committer>,
    pub(crate) write_ahead: Arc<WriteAhead>,
    pub(crate) flusher: Flusher,
    pub(crate) room: Arc<Room>,
    offline: AtomicBool,
    /// Told when the dir goes offline, once there are partitions in it.
    on_offline: OnceLock<OnOffline>,
    /// By checkpoint: partitions that are gone, and of which the file may still tell. Held while a checkpoint is made and written.
    gone: Mutex<BTreeMap<&'static str, BTreeSet<TopicPartition>>>,
    /// What the checkpoint of Kafka's cleaner told of at the start: nothing is added to it.
    compacted: OnceLock<BTreeSet<TopicPartition>>,
}

/// Checkpoints that the next start believes of a partition of the name.
const BELIEVED: [&str; 3] = [checkpoint_name::RECOVERY_POINT, checkpoint_name::LOG_START, checkpoint_name::CLEANER];

impl LogDirHandle {
    /// `reserve_bytes` of its disk are kept from producers.
    pub(crate) fn new(dir: LogDir, clock: Arc<dyn Clock>, rng: &mut SeededRng, reserve_bytes: i64) -> Self {
        Self {
            room: Arc::new(Room::new(reserve_bytes)),
            write_ahead: Arc::new(WriteAhead::new(Arc::clone(dir.disk()), dir.path(), rng)),
            flusher: Flusher::default(),
            dir,
            committer: Arc::new(Committer::new(clock)),
            offline: AtomicBool::new(false),
            on_offline: OnceLock::new(),
            gone: Mutex::default(),
            compacted: OnceLock::new(),
        }
    }

    /// A partition of this name is gone, while the checkpoints may still tell of it. Called once the node's partitions lack it.
    pub(crate) fn note_gone(&self, tp: &TopicPartition) {
        let mut gone = self.gone.lock();
        let was_compacted = self.compacted.get().is_some_and(|all| all.contains(tp));
        for name in BELIEVED.into_iter().filter(|name| was_compacted || *name != checkpoint_name::CLEANER) {
            gone.entry(name).or_default().insert(tp.clone());
        }
    }

    /// The partitions that Kafka's cleaner has compacted, as its checkpoint says; the first time counts.
    pub(crate) fn note_compacted<'a>(&self, all: impl Iterator<Item = &'a TopicPartition>) {
        self.compacted.get_or_init(|| all.cloned().collect());
    }

    /// Takes what the checkpoints tell of a partition that is gone out of them, before another of its name is made: what an older topic's
    /// log was synced up to would make damage of a torn tail of the new one's, and its start would hide records.
    pub(crate) fn forget_gone(&self, tp: &TopicPartition) -> Result<(), LogError> {
        let mut gone = self.gone.lock();
        for name in BELIEVED {
            if !gone.get(name).is_some_and(|gone| gone.contains(tp)) {
                continue;
            }
            let mut checkpoint = OffsetCheckpoint::load(self.dir.disk().as_ref(), &self.dir.path().join(name))?;
            if checkpoint.0.remove(tp).is_some() {
                self.dir.store_checkpoint(name, &checkpoint)?;
            }
            gone.entry(name).or_default().remove(tp);
        }
        Ok(())
    }

    /// Makes a checkpoint of the partitions that there are, and writes it.
    pub(crate) fn store_checkpoint(
        &self,
        name: &str,
        make: impl FnOnce() -> OffsetCheckpoint,
    ) -> Result<OffsetCheckpoint, DiskError> {
        self.write_ahead.check()?;
        let mut gone = self.gone.lock();
        let checkpoint = make();
        self.dir.store_checkpoint(name, &checkpoint)?;
        gone.remove(name);
        Ok(checkpoint)
    }

    /// Looks whether the dir is still there, and how much room there is for producers.
    pub(crate) fn measure(&self) {
        if let Err(error) = self.dir.check_present() {
            return self.fail(&error);
        }
        let Some(space) = self.space().filter(|space| self.room.measure(space.usable_bytes)) else { return };
        let (dir, usable_bytes) = (self.dir.path().display(), space.usable_bytes);
        if self.room.is_full() {
            tracing::error!(%dir, usable_bytes, "the disk is nearly full: producers are refused until there is room");
        } else {
            tracing::info!(%dir, usable_bytes, "the disk has room again: producers are served");
        }
    }

    /// Whom to tell when the dir goes offline; the first one counts.
    pub(crate) fn on_offline(&self, tell: impl Fn(&DiskError) + Send + Sync + 'static) {
        self.on_offline.get_or_init(|| Box::new(tell));
    }

    /// Something of the dir could not be made durable: from now on nothing of it is, and its committer takes it offline (R25).
    pub(crate) fn fail(&self, error: &DiskError) {
        self.write_ahead.fail(error);
        self.committer.break_with(error);
    }

    /// What a change of the dir's folders came to; an error of the disk fails the dir with it (R21).
    pub(crate) fn failing<T>(&self, done: Result<T, impl Into<LogError>>) -> Result<T, LogError> {
        done.map_err(Into::into).inspect_err(|error| {
            if let LogError::Disk(error) = error {
                self.fail(error);
            }
        })
    }

    /// Whether the dir has failed.
    pub(crate) fn is_offline(&self) -> bool {
        self.offline.load(Ordering::Acquire)
    }

    /// Takes the dir offline for good: every partition in it answers KAFKA_STORAGE_ERROR, others go on.
    pub(crate) fn set_offline(&self, error: &DiskError) {
        self.offline.store(true, Ordering::Release);
        let dir = self.dir.path().display();
        tracing::error!(%dir, %error, "the log dir is offline, with all partitions in it, until the node is started again");
        if let Some(tell) = self.on_offline.get() {
            tell(error);
        }
    }

    /// The dir has failed before it had a partition: it is offline from the start.
    pub(crate) fn fail_at_start(&self, error: &DiskError) {
        self.offline.store(true, Ordering::Release);
        self.committer.break_with(error);
    }

    /// The room on its disk; `None` when the system does not say.
    pub(crate) fn space(&self) -> Option<Space> {
        self.dir.disk().space(self.dir.path()).ok()
    }
}
