//! After a crash: puts the bytes of the write-ahead file at their place in the segments, before any log is opened.
//!
//! Doing it twice is the same as once, and dying midway as not having begun: the file goes only once the segments are synced (R20). A
//! folder or segment that is not there, or belongs to another topic, was deleted: nothing of it comes back (R30). Where another program,
//! Apache Kafka itself, has written to the log since, what the file holds is older than what is there: `place` tells.

use super::block::{self, Change};
use super::live::{self, Run, damaged};
use super::place::{Place, Placed};
use super::{WRITE_AHEAD_FILE, remove};
use crate::disk::{Disk, OpenMode};
use crate::error::{DiskError, LogError};
use crate::topic_id::{Owner, owner_known};
use base::{Offset, Uuid};
use std::collections::BTreeMap;
use std::path::Path;

/// The name that a write-ahead file gets which was not put back as a whole. The next one takes its place.
pub const PASSED_BY_FILE: &str = "thalweg.wal.stale";

/// What a replay did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Blocks that were read.
    pub blocks: u64,
    /// Bytes that were written to segments.
    pub bytes: u64,
    /// Segments that they were written to.
    pub segments: u64,
    /// Segments to which nothing, or not all, was put back, since another program has written there, and what shows it.
    pub passed_by: Vec<String>,
}

/// What goes where: by folder and topic, by segment, in the order of writing.
type Plan<'a> = BTreeMap<(&'a str, Uuid), BTreeMap<Offset, Vec<(u64, &'a [u8])>>>;

/// Brings the segments of the log dir `root` up to what its write-ahead file says, syncs them and removes the file. For a log dir that
/// was not stopped cleanly.
///
/// # Errors
/// Disk errors; a block that was durable and is damaged, which is no torn end: the file is left as it is (R26).
pub fn replay(disk: &dyn Disk, root: &Path) -> Result<Replayed, LogError> {
    replay_checked(disk, root, true)
}

/// After a sync that failed, what memory holds of a file is not what a power cut would leave (R25).
fn forget(disk: &dyn Disk, file: &Path) -> Result<(), DiskError> {
    let forgotten = disk.open(file, OpenMode::Read).and_then(|open| open.drop_cache());
    match forgotten {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DiskError::on("read", file)(error)),
        _ => Ok(()),
    }
}

/// `verify` is false in a negative control only.
pub(super) fn replay_checked(disk: &dyn Disk, root: &Path, verify: bool) -> Result<Replayed, LogError> {
    let file = root.join(WRITE_AHEAD_FILE);
    forget(disk, &file)?;
    let bytes = disk.read(&file).map_err(DiskError::on("read", &file))?.unwrap_or_default();
    let mut replayed = Replayed::default();
    let mut all = Plan::new();
    for run in live::runs(&file, &bytes, verify)? {
        replayed.blocks += run.blocks.len() as u64;
        plan(&file, &run, verify, &mut all)?;
    }
    for ((folder, topic_id), segments) in &all {
        put_back(disk, &root.join(folder), *topic_id, segments, verify, &mut replayed)?;
    }
    if replayed.segments > 0 {
        disk.sync_filesystem(root).map_err(DiskError::on("sync the file system of", root))?;
    }
    if !replayed.passed_by.is_empty() {
        // What was confirmed once and is not put back is not thrown away either.
        let aside = root.join(PASSED_BY_FILE);
        disk.rename(&file, &aside).map_err(DiskError::on("rename", &file))?;
        disk.sync_dir(root).map_err(DiskError::on("sync", root))?;
    } else {
        remove(disk, root)?;
    }
    Ok(replayed)
}

/// What the blocks say, in the order of writing.
fn plan<'a>(file: &Path, run: &Run<'a>, verify: bool, plan: &mut Plan<'a>) -> Result<(), LogError> {
    for (at, body) in &run.blocks {
        let records = block::records(body);
        if records.is_none() && !verify {
            break;
        }
        for record in records.ok_or_else(|| damaged(file, *at, "a block whose checksum holds makes no sense"))? {
            let segments = plan.entry((record.folder, record.topic_id)).or_default();
            match record.change {
                Change::Bytes(data) => segments.entry(record.base).or_default().push((record.position, data)),
                Change::Cut => cut(segments, record.base, record.position),
                Change::Follows => {}
            }
        }
    }
    Ok(())
}

fn cut(segments: &mut BTreeMap<Offset, Vec<(u64, &[u8])>>, base: Offset, position: u64) {
    segments.retain(|known, _| *known <= base);
    let Some(writes) = segments.get_mut(&base) else { return };
    writes.retain_mut(|(at, data)| {
        let kept = usize::try_from(position.saturating_sub(*at)).unwrap_or(usize::MAX).min(data.len());
        *data = &data[..kept];
        kept > 0
    });
}

fn put_back(
    disk: &dyn Disk,
    folder: &Path,
    topic_id: Uuid,
    segments: &BTreeMap<Offset, Vec<(u64, &[u8])>>,
    verify: bool,
    replayed: &mut Replayed,
) -> Result<(), LogError> {
    match owner_known(disk, folder, topic_id)? {
        Owner::Asked => {}
        // One that was never finished, so that no record of it was confirmed; or another topic's by now.
        Owner::None | Owner::Other(_) => return Ok(()),
    }
    let names = disk.list(folder).map_err(DiskError::on("list", folder))?;
    let bases: Vec<Offset> = names
        .iter()
        .filter_map(|entry| crate::file_names::offset_of_file(&entry.name).filter(|(_, suffix)| *suffix == "log"))
        .map(|(base, _)| base)
        .collect();
    for (base, writes) in segments {
        let Ok(at) = bases.binary_search(base) else { continue };
        let mut place = Place::open(disk, folder, *base, bases.get(at + 1).copied())?;
        for (position, data) in writes {
            let placed = if verify { place.put(*position, data) } else { place.put_blindly(*position, data) };
            match placed? {
                Placed::Written(bytes) => replayed.bytes += bytes,
                Placed::Refused(why) => {
                    let log = crate::file_names::path(folder, *base, "log");
                    replayed.passed_by.push(format!("{}: {why}", log.display()));
                    break;
                }
            }
        }
        replayed.segments += 1;
    }
    Ok(())
}
