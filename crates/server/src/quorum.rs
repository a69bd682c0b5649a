//! The metadata quorum's shell: the log and files of `__cluster_metadata-0`, the raft core and the controller behind one lock.
//!
//! decide -> append -> apply to the controller -> sync -> commit -> apply to the published image -> release the reply. A disk error
//! here ends the node: without its metadata log a controller may not go on.

mod load;
mod snapshot;

use crate::committer::{Commit, Committer};
use base::{ErrorCode, LeaderEpoch, NodeId, Offset, Refusal, Timestamp, Uuid};
use controller::{Controller, Decision, VersionedRecord};
use metadata::{Changes, MetadataImage, Provenance};
use parking_lot::Mutex;
use protocol::metadata_record::MetadataRecord;
use raft::{Output, Quorum, QuorumStateVersion};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use storage::{Disk, DiskError, Log, SyncTicket, WriteAhead};
use tokio::sync::watch;

pub(crate) use load::{Loaded, load};
pub(crate) use snapshot::SnapshotPolicy;

/// The topic of the metadata log.
pub(crate) const METADATA_TOPIC: &str = "__cluster_metadata";
/// The folder of the metadata log.
pub(crate) const METADATA_DIR: &str = "__cluster_metadata-0";

/// Records that room is kept for while none waits.
const PENDING_KEPT: usize = 64;

/// Is told of every committed change, before replies that depend on it are released.
pub(crate) type Publisher = Box<dyn Fn(&MetadataImage, &Changes) + Send + Sync>;

/// A record that is appended but not committed.
struct Pending {
    offset: Offset,
    epoch: LeaderEpoch,
    timestamp: Timestamp,
    record: MetadataRecord<'static>,
}

struct Inner {
    quorum: Quorum,
    log: Log,
    controller: Controller,
    published: MetadataImage,
    pending: VecDeque<Pending>,
    failed: Option<DiskError>,
    queued: bool,
    /// Bytes appended since the last snapshot, and when that was.
    unsnapshotted_bytes: u64,
    last_snapshot: Timestamp,
}

/// The quorum as the node sees it.
pub(crate) struct MetadataQuorum {
    inner: Mutex<Inner>,
    committed: watch::Sender<Offset>,
    committer: Arc<Committer>,
    /// Of the metadata dir; the metadata log writes nothing into it, but its syncs count only while none has failed there.
    write_ahead: Arc<WriteAhead>,
    node: NodeId,
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    layout: QuorumStateVersion,
    voters_record: Option<record::control::Voters>,
    publisher: Publisher,
}

/// What DescribeQuorum says.
pub(crate) struct Status {
    pub(crate) leader: NodeId,
    pub(crate) epoch: LeaderEpoch,
    pub(crate) high_watermark: Offset,
    pub(crate) voters: Vec<VoterStatus>,
}

/// One voter of [`Status`].
pub(crate) struct VoterStatus {
    pub(crate) node: NodeId,
    pub(crate) directory_id: Uuid,
    pub(crate) log_end_offset: Offset,
    pub(crate) last_fetch: Timestamp,
    pub(crate) last_caught_up: Timestamp,
}

fn storage_refusal(error: &DiskError) -> Refusal {
    Refusal::new(ErrorCode::KafkaStorageError, format!("the metadata log is offline: {error}"))
}

impl MetadataQuorum {
    /// `committer` and `write_ahead` are the metadata dir's.
    pub(crate) fn new(
        loaded: Loaded,
        committer: Arc<Committer>,
        write_ahead: Arc<WriteAhead>,
        publisher: Publisher,
        now: Timestamp,
    ) -> Arc<Self> {
        let inner = Inner {
            quorum: loaded.quorum,
            log: loaded.log,
            controller: loaded.controller,
            published: loaded.image,
            pending: loaded
                .uncommitted
                .into_iter()
                .map(|(provenance, record)| Pending {
                    offset: provenance.offset,
                    epoch: provenance.epoch,
                    timestamp: provenance.timestamp,
                    record,
                })
                .collect(),
            failed: None,
            queued: false,
            unsnapshotted_bytes: loaded.unsnapshotted_bytes,
            last_snapshot: now,
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            committed: watch::Sender::new(Offset::ZERO),
            committer,
            write_ahead,
            node: loaded.node,
            disk: loaded.disk,
            dir: loaded.dir,
            layout: loaded.layout,
            voters_record: loaded.voters_record,
            publisher,
        })
    }

    /// Takes the lead and brings the log into a state to build on; everything is on disk when this returns.
    pub(crate) fn activate(&self, now: Timestamp, bootstrap: &[VersionedRecord]) -> Result<(), DiskError> {
        let mut inner = self.inner.lock();
        let mut out = Vec::new();
        inner.quorum.campaign(now, &mut out);
        self.carry_out(&mut inner, now, out)?;
        let records = inner.controller.activation(bootstrap);
        self.append(&mut inner, now, &records)?;
        // A snapshot's state was committed long ago; it is published with the first commit.
        self.sync(&mut inner)
    }

    /// Lets the controller decide and appends what it decided. Returns the reply, and the offset that must be committed before
    /// the reply may be given.
    pub(crate) fn submit<R>(
        self: &Arc<Self>,
        now: Timestamp,
        decide: impl FnOnce(&mut Controller, Offset) -> Result<Decision<R>, Refusal>,
    ) -> Result<(R, Offset), Refusal> {
        let mut inner = self.inner.lock();
        if let Some(error) = &inner.failed {
            return Err(storage_refusal(error));
        }
        let end = inner.quorum.log_end();
        let decision = decide(&mut inner.controller, end)?;
        let appended = self.append(&mut inner, now, &decision.records);
        appended.map_err(|error| {
            inner.failed = Some(error.clone());
            storage_refusal(&error)
        })?;
        // Also a reply without records may rest on records that are not committed yet.
        let needed = inner.quorum.log_end();
        let enqueue = needed > inner.quorum.high_watermark() && !std::mem::replace(&mut inner.queued, true);
        drop(inner);
        if enqueue {
            self.committer.enqueue(Arc::clone(self) as Arc<dyn Commit>);
        }
        Ok((decision.reply, needed))
    }

    /// As [`MetadataQuorum::submit`], but everything is on disk and published when it returns. For start and stop.
    pub(crate) fn submit_and_sync<R>(
        &self,
        now: Timestamp,
        decide: impl FnOnce(&mut Controller, Offset) -> Result<Decision<R>, Refusal>,
    ) -> Result<R, Refusal> {
        let mut inner = self.inner.lock();
        if let Some(error) = &inner.failed {
            return Err(storage_refusal(error));
        }
        let end = inner.quorum.log_end();
        let decision = decide(&mut inner.controller, end)?;
        let done = self.append(&mut inner, now, &decision.records).and_then(|()| self.sync(&mut inner));
        done.map_err(|error| storage_refusal(&error))?;
        Ok(decision.reply)
    }

    /// Waits until everything below `needed` is committed and published.
    pub(crate) async fn committed(&self, needed: Offset) -> Result<(), Refusal> {
        let mut watch = self.committed.subscribe();
        let reached = watch.wait_for(|offset| *offset >= needed).await;
        match reached {
            Ok(offset) if *offset < Offset(i64::MAX) => Ok(()),
            _ => {
                Err(Refusal::new(ErrorCode::KafkaStorageError, "the metadata log failed before the change was on disk"))
            }
        }
    }

    fn append(&self, inner: &mut Inner, now: Timestamp, records: &[VersionedRecord]) -> Result<(), DiskError> {
        if records.is_empty() {
            return Ok(());
        }
        let frames: Vec<Vec<u8>> = records
            .iter()
            .map(|(record, version)| {
                record.encode_frame(*version).expect("the controller makes records that fit their version")
            })
            .collect();
        let mut out = Vec::new();
        let epoch = inner.quorum.epoch();
        let last = inner.quorum.append(now, &frames, &mut out);
        let first = last.0 + 1 - records.len() as i64;
        for ((record, _), offset) in records.iter().zip(first..) {
            inner.controller.apply(record);
            inner.pending.push_back(Pending { offset: Offset(offset), epoch, timestamp: now, record: record.clone() });
        }
        self.carry_out(inner, now, out)
    }

    fn carry_out(&self, inner: &mut Inner, now: Timestamp, out: Vec<Output>) -> Result<(), DiskError> {
        for output in out {
            match output {
                Output::Persist(state) => {
                    let path = self.dir.join("quorum-state");
                    let text = state.to_json(self.layout);
                    self.disk.replace(&path, text.as_bytes()).map_err(DiskError::on("write", &path))?;
                }
                Output::Append(bytes) => {
                    inner.unsnapshotted_bytes += bytes.len() as u64;
                    inner.log.append_as_follower(now, &bytes).map_err(append_fault(&self.dir))?;
                }
                Output::HighWatermark(offset) => self.publish(inner, offset),
                Output::Truncate(_) | Output::Send { .. } | Output::Answer { .. } => {
                    unreachable!("the only voter has nobody to talk to: {output:?}")
                }
            }
        }
        Ok(())
    }

    /// Makes everything appended durable, here and now.
    fn sync(&self, inner: &mut Inner) -> Result<(), DiskError> {
        if let Some(ticket) = inner.log.ticket()? {
            let write_ahead = Some(self.write_ahead.as_ref());
            storage::commit(self.disk.as_ref(), &self.dir, write_ahead, std::slice::from_ref(&ticket))?;
            self.durable(inner, &ticket);
        }
        Ok(())
    }

    fn durable(&self, inner: &mut Inner, ticket: &SyncTicket) {
        let Some(up_to) = inner.log.durable_end(ticket) else { return };
        let mut out = Vec::new();
        inner.quorum.on_durable(self.node, up_to, &mut out);
        for output in out {
            if let Output::HighWatermark(offset) = output {
                self.publish(inner, offset);
            }
        }
    }

    /// Applies everything below `high_watermark` to the image, tells the publisher, then releases replies.
    fn publish(&self, inner: &mut Inner, high_watermark: Offset) {
        let mut changes = Changes::default();
        while let Some(pending) = inner.pending.pop_front_if(|pending| pending.offset < high_watermark) {
            inner.published.apply(&pending.record, &mut changes);
            let provenance = Provenance { offset: pending.offset, epoch: pending.epoch, timestamp: pending.timestamp };
            inner.published.set_provenance(provenance);
        }
        if inner.pending.is_empty() {
            // Ten thousand partitions that are made at once, or read at start, would leave room for as many here for good.
            inner.pending.shrink_to(PENDING_KEPT);
            // The controller has applied the same records: one registration of each partition is enough for both.
            let provenance = inner.published.provenance();
            inner.published = inner.controller.image().clone();
            inner.published.set_provenance(provenance);
        }
        (self.publisher)(&inner.published, &changes);
        self.committed.send_replace(high_watermark);
    }

    /// What DescribeQuorum says.
    pub(crate) fn status(&self, now: Timestamp) -> Status {
        let inner = self.inner.lock();
        let end = inner.quorum.log_end();
        let voters = inner.quorum.voters().map(|(node, state)| VoterStatus {
            node,
            directory_id: state.directory_id,
            log_end_offset: if node == self.node { end } else { state.durable_end },
            last_fetch: now,
            last_caught_up: now,
        });
        Status {
            leader: inner.quorum.leader().unwrap_or(NodeId::NONE),
            epoch: inner.quorum.epoch(),
            high_watermark: inner.quorum.high_watermark(),
            voters: voters.collect(),
        }
    }

    /// The level of kraft.version: 1 for a dynamic quorum.
    pub(crate) fn kraft_version(&self) -> i16 {
        i16::from(self.layout == QuorumStateVersion::Dynamic)
    }

    /// Up to where the metadata log is on disk.
    pub(crate) fn recovery_point(&self) -> Offset {
        self.inner.lock().log.recovery_point()
    }

    /// Why the metadata log takes nothing more, if so.
    pub(crate) fn failed(&self) -> Option<DiskError> {
        self.inner.lock().failed.clone()
    }

    /// Moves the recovery point up to the log's end.
    pub(crate) fn flush(&self) -> Result<(), DiskError> {
        let mut inner = self.inner.lock();
        self.write_ahead.in_round(|| inner.log.flush())
    }

    /// Closes the log.
    pub(crate) fn close(&self) -> Result<(), DiskError> {
        let mut inner = self.inner.lock();
        self.sync(&mut inner)?;
        self.write_ahead.in_round(|| inner.log.close())
    }
}

/// An append of the shell's own batches can only fail at the disk; anything else breaks the raft core's promises.
fn append_fault(dir: &std::path::Path) -> impl Fn(storage::AppendError) -> DiskError + use<'_> {
    move |error| match error {
        storage::AppendError::Offline(error) => error,
        other => panic!("{}: a batch of the quorum was refused: {other}", dir.display()),
    }
}

impl Commit for MetadataQuorum {
    fn ticket(&self) -> Result<Option<SyncTicket>, DiskError> {
        let mut inner = self.inner.lock();
        inner.queued = false;
        inner.log.ticket()
    }

    fn synced(&self, ticket: &SyncTicket) {
        let mut inner = self.inner.lock();
        self.durable(&mut inner, ticket);
    }

    fn failed(&self, error: &DiskError) {
        self.inner.lock().failed = Some(error.clone());
        // Releases those who wait, with an error.
        self.committed.send_replace(Offset(i64::MAX));
    }
}
