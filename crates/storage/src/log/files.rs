//! What a partition's folder holds.

use super::swap;
use crate::disk::Disk;
use crate::error::{DiskError, LogError};
use crate::file_names::offset_of_file;
use crate::segment::Segment;
use base::Offset;
use std::collections::BTreeMap;
use std::path::Path;

/// Suffixes of files that only an interrupted operation leaves. See also `swap`.
const LEFTOVERS: &[&str] = &["deleted", "cleaned", "tmp"];

/// The files of a partition's folder: segments and indexes with their lengths.
pub(super) struct Files {
    pub(super) logs: BTreeMap<Offset, u64>,
    pub(super) others: BTreeMap<(Offset, String), u64>,
    pub(super) has_epochs: bool,
}

impl Files {
    /// The segments, with empty indexes.
    pub(super) fn segments(&self) -> Vec<Segment> {
        let has_aborted = |base: Offset| self.others.contains_key(&(base, "txnindex".to_owned()));
        let segment = |(base, size): (&Offset, &u64)| {
            let mut segment = Segment::listed(*base, *size);
            segment.has_aborted = has_aborted(*base);
            segment
        };
        self.logs.iter().map(segment).collect()
    }
}

pub(super) fn list(disk: &dyn Disk, dir: &Path) -> Result<Files, LogError> {
    let mut files = Files { logs: BTreeMap::new(), others: BTreeMap::new(), has_epochs: false };
    let len = |name: &str| {
        let file = dir.join(name);
        disk.file_len(&file).map_err(DiskError::on("measure", &file))
    };
    let mut names = disk.names(dir).map_err(DiskError::on("list", dir))?;
    if swap::finish(disk, dir, &names)? {
        names = disk.names(dir).map_err(DiskError::on("list", dir))?;
    }
    for (name, _) in names {
        if LEFTOVERS.iter().any(|suffix| name.strip_suffix(suffix).is_some_and(|rest| rest.ends_with('.'))) {
            let file = dir.join(&name);
            disk.remove_file(&file).map_err(DiskError::on("remove", &file))?;
            continue;
        }
        files.has_epochs |= name == crate::epochs::FILE;
        match offset_of_file(&name) {
            Some((base, "log")) => {
                files.logs.insert(base, len(&name)?);
            }
            Some((base, suffix)) => {
                let len = if matches!(suffix, "index" | "timeindex") { len(&name)? } else { 0 };
                files.others.insert((base, suffix.to_owned()), len);
            }
            None => {}
        }
    }
    Ok(files)
}
