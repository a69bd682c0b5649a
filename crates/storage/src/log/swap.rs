//! What Apache Kafka left midway when it put segments in place of others: its cleaner does, and a split of a segment.
//!
//! The new files are written and synced as `.cleaned`, renamed to `.swap`, the last segment first; then the old ones get `.deleted` behind their
//! names, and then the `.swap` goes. So a `.cleaned` says that nothing counts yet, and a `.swap` without one that the new segment is whole, and
//! may be the only copy. As Kafka's `LogLoader` does: the former are removed, the latter take their place.

use super::corrupt;
use crate::disk::{Disk, OpenMode};
use crate::error::{DiskError, LogError};
use crate::file_names::offset_of_file;
use crate::sound::{BadBatch, Window};
use base::Offset;
use std::path::Path;

const SWAP: &str = ".swap";
const CLEANED: &str = ".cleaned";
const DELETED: &str = ".deleted";

/// A file of a segment with a mark behind its name.
struct Marked<'n> {
    name: &'n str,
    /// Its name without the mark.
    plain: &'n str,
    base: Offset,
    is_log: bool,
}

fn marked<'n>(names: &'n [(String, bool)], mark: &str) -> Vec<Marked<'n>> {
    let of_segment = |(name, _): &'n (String, bool)| {
        let plain = name.strip_suffix(mark)?;
        let (base, suffix) = offset_of_file(plain)?;
        Some(Marked { name, plain, base, is_log: suffix == "log" })
    };
    names.iter().filter_map(of_segment).collect()
}

/// Finishes or takes back what the `names` of a partition's folder tell of; false when that is nothing.
///
/// # Errors
/// Disk errors; a segment that was to take its place and is damaged.
pub(super) fn finish(disk: &dyn Disk, dir: &Path, names: &[(String, bool)]) -> Result<bool, LogError> {
    let (mut swaps, cleaned) = (marked(names, SWAP), marked(names, CLEANED));
    if swaps.is_empty() && cleaned.is_empty() {
        return Ok(false);
    }
    let remove = |name: &str| {
        let file = dir.join(name);
        disk.remove_file(&file).map_err(DiskError::on("remove", &file))
    };
    let sync = || disk.sync_dir(dir).map_err(DiskError::on("sync the folder", dir));
    // KAFKA-6264: of a split that was not ready the later segments are `.swap` already.
    let unready = cleaned.iter().map(|file| file.base).min().unwrap_or(Offset(i64::MAX));
    swaps.iter().filter(|file| file.base >= unready).try_for_each(|file| remove(file.name))?;
    swaps.retain(|file| file.base < unready);
    // They must not come back without those that tell that they do not count.
    sync()?;
    cleaned.iter().try_for_each(|file| remove(file.name))?;
    let mut replaced: Option<(Offset, Offset)> = None;
    for file in swaps.iter().filter(|file| file.is_log) {
        let end = end_of(disk, &dir.join(file.name), file.base)?;
        let (from, to) = replaced.unwrap_or((file.base, end));
        replaced = Some((from.min(file.base), to.max(end)));
    }
    if let Some((from, to)) = replaced {
        let is_old = |name: &str| {
            let has_mark = [SWAP, CLEANED, DELETED].iter().any(|mark| name.ends_with(mark));
            !has_mark && offset_of_file(name).is_some_and(|(base, _)| base >= from && base < to)
        };
        names.iter().filter(|(name, is_dir)| !is_dir && is_old(name)).try_for_each(|(name, _)| remove(name))?;
        // An old one must not come back beside a new one that no longer tells that it takes its place.
        sync()?;
    }
    swaps.sort_by_key(|file| !file.is_log);
    for file in &swaps {
        let from = dir.join(file.name);
        disk.rename(&from, &dir.join(file.plain)).map_err(DiskError::on("rename", &from))?;
    }
    sync()?;
    Ok(true)
}

/// The offset after the last batch of a segment's file; its own when it has none.
fn end_of(disk: &dyn Disk, log: &Path, base: Offset) -> Result<Offset, LogError> {
    let file = disk.open(log, OpenMode::Read).map_err(DiskError::on("open", log))?;
    let size = file.len().map_err(DiskError::on("measure", log))?;
    let (mut window, mut position, mut end) = (Window::default(), 0, base);
    while position < size {
        match window.batch(file.as_ref(), log, position, size) {
            Ok(header) if header.base_offset >= end => {
                end = header.next_offset();
                position += header.size as u64;
            }
            Ok(header) => {
                let what = format!("offset {} follows offset {end}", header.base_offset);
                return Err(corrupt(log.to_owned(), position, what));
            }
            Err(BadBatch::Disk(error)) => return Err(error.into()),
            Err(BadBatch::Bytes(what)) => return Err(corrupt(log.to_owned(), position, what)),
        }
    }
    Ok(end)
}
