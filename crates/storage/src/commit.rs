//! Group commit of one log dir: everything that its logs have written becomes durable in one round; and the flush of whole logs, after
//! which recovery need not look at them.

use crate::disk::{Disk, OpenMode};
use crate::error::DiskError;
use crate::ticket::{FlushTicket, SyncTicket};
use crate::write_ahead::WriteAhead;
use std::path::{Path, PathBuf};

/// Up to this many dirty files are synced one by one (docs/rfcs/0002-write-ahead.md has what was measured).
const FILES_MAX: usize = 2;
/// Up to this many files, or folders, are synced one by one where there is no write-ahead file to take them.
const SYNCS_MAX: usize = 8;
/// A round with more bytes a segment than this is bound by the device, and writing them twice would cost more than a sync.
const BYTES_PER_FILE_MAX: u64 = 256 << 10;

/// How a round was made durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Committed {
    /// Nothing was to be done.
    Nothing,
    /// Each file was synced.
    Files,
    /// By one sync of the write-ahead file.
    WriteAhead,
    /// By one sync of the file system.
    FileSystem,
}

/// Makes all of `tickets` durable. `root` is the log dir that they belong to.
///
/// # Errors
/// The first disk error of the log dir, in this round or anywhere else as far as its `write_ahead` was told. It must not be retried: the
/// next sync would succeed without the lost pages (R25).
pub fn commit(
    disk: &dyn Disk,
    root: &Path,
    write_ahead: Option<&WriteAhead>,
    tickets: &[SyncTicket],
) -> Result<Committed, DiskError> {
    let round = || make_durable(disk, root, write_ahead, tickets);
    match write_ahead {
        Some(write_ahead) => write_ahead.in_round(round),
        None => round(),
    }
}

fn make_durable(
    disk: &dyn Disk,
    root: &Path,
    write_ahead: Option<&WriteAhead>,
    tickets: &[SyncTicket],
) -> Result<Committed, DiskError> {
    let dirs: Vec<&PathBuf> = distinct(tickets.iter().flat_map(|ticket| &ticket.dirs));
    let writes: usize = tickets.iter().map(|ticket| ticket.writes.len()).sum();
    if dirs.len() > SYNCS_MAX {
        return sync_filesystem(disk, root);
    }
    let mut how = Committed::Nothing;
    if writes > FILES_MAX
        && let Some(write_ahead) = write_ahead
        && is_worth_it(write_ahead, tickets)
    {
        let (logged, own): (Vec<_>, Vec<_>) = tickets.iter().partition(|ticket| ticket.key.is_some());
        if !write_ahead.append(&logged)? {
            return sync_filesystem(disk, root);
        }
        sync_each(disk, root, own.into_iter())?;
        how = Committed::WriteAhead;
    } else if writes > SYNCS_MAX {
        return sync_filesystem(disk, root);
    } else if writes > 0 {
        sync_each(disk, root, tickets.iter())?;
        how = Committed::Files;
    }
    for dir in dirs {
        sync_folder(disk, dir)?;
        how = if how == Committed::Nothing { Committed::Files } else { how };
    }
    Ok(how)
}

fn is_worth_it(write_ahead: &WriteAhead, tickets: &[SyncTicket]) -> bool {
    let logged = tickets.iter().filter(|ticket| ticket.key.is_some()).flat_map(|ticket| &ticket.writes);
    let (mut files, mut bytes) = (0, 0);
    for write in logged {
        files += 1;
        bytes += write.to - write.from;
    }
    files > FILES_MAX && bytes <= write_ahead.round_bytes_max().min(files as u64 * BYTES_PER_FILE_MAX)
}

fn distinct<'a>(dirs: impl Iterator<Item = &'a PathBuf>) -> Vec<&'a PathBuf> {
    let mut dirs: Vec<_> = dirs.collect();
    dirs.sort();
    dirs.dedup();
    dirs
}

fn sync_each<'a>(disk: &dyn Disk, root: &Path, tickets: impl Iterator<Item = &'a SyncTicket>) -> Result<(), DiskError> {
    for ticket in tickets {
        for write in &ticket.writes {
            if let Some(file) = write.file(disk, root, ticket.key.as_ref())? {
                file.sync_data().map_err(DiskError::on("sync a file in", root))?;
            }
        }
    }
    Ok(())
}

fn sync_filesystem(disk: &dyn Disk, root: &Path) -> Result<Committed, DiskError> {
    disk.sync_filesystem(root).map_err(DiskError::on("sync the file system of", root))?;
    Ok(Committed::FileSystem)
}

/// The first half of a flush: the files of all tickets. Then each log is told by [`crate::Log::name_flushed`].
///
/// # Errors
/// The first disk error, which must not be retried (R25).
pub fn flush_files(disk: &dyn Disk, root: &Path, tickets: &[FlushTicket]) -> Result<(), DiskError> {
    let files: Vec<&PathBuf> = tickets.iter().flat_map(|ticket| &ticket.files).collect();
    sync_named(disk, root, &files)
}

/// Makes the bytes and lengths of files of the log dir `root` durable, many of them with one sync.
///
/// # Errors
/// The first disk error, which must not be retried (R25).
pub fn sync_files(disk: &dyn Disk, root: &Path, files: &[PathBuf]) -> Result<(), DiskError> {
    sync_named(disk, root, &files.iter().collect::<Vec<_>>())
}

fn sync_named(disk: &dyn Disk, root: &Path, files: &[&PathBuf]) -> Result<(), DiskError> {
    if files.len() > SYNCS_MAX {
        return sync_filesystem(disk, root).map(drop);
    }
    for path in files {
        match disk.open(path, OpenMode::Read) {
            Ok(file) => file.sync_data().map_err(DiskError::on("sync", path))?,
            // Retention or a deletion took it meanwhile: nobody misses its bytes.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(DiskError::on("open", path)(error)),
        }
    }
    Ok(())
}

/// The second half of a flush: the names. Then each log is told by [`crate::Log::on_flushed`].
///
/// # Errors
/// The first disk error, which must not be retried (R25).
pub fn flush_names(disk: &dyn Disk, root: &Path, tickets: &[FlushTicket]) -> Result<(), DiskError> {
    let dirs = distinct(tickets.iter().flat_map(|ticket| &ticket.dirs));
    if dirs.len() > SYNCS_MAX {
        return sync_filesystem(disk, root).map(drop);
    }
    dirs.iter().try_for_each(|dir| sync_folder(disk, dir))
}

/// Makes the names of a log's folder durable. A folder that is gone was renamed since, with its topic's removal: nothing in it matters any
/// more, and the log dir is none the worse.
fn sync_folder(disk: &dyn Disk, dir: &Path) -> Result<(), DiskError> {
    match disk.sync_dir(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(DiskError::on("sync the folder", dir)(error)),
        _ => Ok(()),
    }
}
