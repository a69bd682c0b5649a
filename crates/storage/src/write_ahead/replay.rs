//! After a crash: puts the bytes of the write-ahead file at their place in the segments, before any log is opened.
//!
//! Doing it twice is the same as once, and dying midway as not having begun: the file goes only once the segments are synced (R20). A
//! folder or segment that is not there, or belongs to another topic, was deleted: nothing of it comes back (R30). Where another program,
//! Apache Kafka itself, has written to the log since, what the file holds is older than what is there: `place` tells.

use super::block::{self, Change, Control};
use super::place::{Place, Placed};
use super::{ALIGN, AREAS_AT, WRITE_AHEAD_FILE, remove};
use crate::disk::{Disk, OpenMode};
use crate::error::{DiskError, LogError};
use crate::topic_id::{Owner, owner_known};
use base::{Offset, Uuid};
use std::collections::BTreeMap;
use std::path::Path;

/// Larger areas are not made; what says so is damaged.
const AREA_BYTES_MAX: u64 = 1 << 30;

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
    // Without a control nothing was ever confirmed by a block.
    if let Some(control) = Control::read(&bytes) {
        let mut plan = Plan::new();
        for (at, generation) in areas(&bytes, control) {
            let area = &bytes[at..bytes.len().min(at + area_len(control))];
            replayed.blocks += read_area(&file, area, at, generation, verify, &mut plan)?;
        }
        for ((folder, topic_id), segments) in &plan {
            put_back(disk, &root.join(folder), *topic_id, segments, verify, &mut replayed)?;
        }
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

fn area_len(control: Control) -> usize {
    usize::try_from(control.area_bytes.min(AREA_BYTES_MAX)).unwrap_or(usize::MAX)
}

/// Where the areas with live blocks begin, and their generations, the older one first.
fn areas(bytes: &[u8], control: Control) -> Vec<(usize, u64)> {
    let starts = [AREAS_AT as usize, AREAS_AT as usize + area_len(control)];
    let live = |at: usize| {
        let (generation, block) = block::peek(bytes.get(at..)?)?;
        (generation >= control.live_from && block == 0).then_some((at, generation))
    };
    let mut found: Vec<_> = starts.into_iter().filter_map(live).collect();
    found.sort_by_key(|(_, generation)| *generation);
    found
}

fn read_area<'a>(
    file: &Path,
    area: &'a [u8],
    area_at: usize,
    generation: u64,
    verify: bool,
    plan: &mut Plan<'a>,
) -> Result<u64, LogError> {
    let (mut at, mut count) = (0, 0);
    while let Some((body, len)) = area.get(at..).and_then(|rest| block::read(rest, generation, count, verify)) {
        let damaged = || damaged(file, area_at + at, "a block whose checksum holds makes no sense");
        let records = block::records(body);
        if records.is_none() && !verify {
            break;
        }
        for record in records.ok_or_else(damaged)? {
            let segments = plan.entry((record.folder, record.topic_id)).or_default();
            match record.change {
                Change::Bytes(data) => segments.entry(record.base).or_default().push((record.position, data)),
                Change::Cut => cut(segments, record.base, record.position),
            }
        }
        at += len;
        count += 1;
    }
    // A block is written once those before it are durable. So one that comes later says that this one was, and is damaged.
    let is_later = |from: &usize| {
        let rest = &area[*from..];
        let number = block::peek(rest).filter(|found| found.0 == generation && found.1 > count).map(|found| found.1);
        number.is_some_and(|number| block::read(rest, generation, number, true).is_some())
    };
    let step = ALIGN as usize;
    if verify && let Some(later) = (at + step..area.len()).step_by(step).find(is_later) {
        let later = area_at + later;
        let what = format!("block {count} is not whole, though one that was written after it is, at byte {later}");
        return Err(damaged(file, area_at + at, &what));
    }
    Ok(count)
}

fn damaged(file: &Path, at: usize, what: &str) -> LogError {
    LogError::Corrupt { path: file.to_owned(), position: at as u64, what: what.to_owned() }
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
        .filter_map(|entry| crate::log::offset_of_file(&entry.name).filter(|(_, suffix)| *suffix == "log"))
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
                    let log = crate::segment::path(folder, *base, "log");
                    replayed.passed_by.push(format!("{}: {why}", log.display()));
                    break;
                }
            }
        }
        replayed.segments += 1;
    }
    Ok(())
}
