//! Whose a partition's folder is: the topic id in its `partition.metadata`.
//!
//! The file has no checksum. Ids are drawn at random, so two that differ in a byte or two are one that was damaged, never two topics: a
//! flipped bit must not make a stranger's folder of a topic's records.

use crate::disk::Disk;
use crate::error::{DiskError, LogError};
use base::Uuid;
use std::path::Path;

/// The file's name in a partition's folder.
pub(crate) const FILE: &str = "partition.metadata";
/// So many bytes of the file may differ from what it should be for it to be taken for damaged, and not for another topic's.
const DAMAGED_BYTES_MAX: usize = 2;

/// Whose a partition's folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The topic that was asked about.
    Asked,
    /// Nobody's yet: there is no file, or no folder.
    None,
    /// Another topic, as one of the same name that was deleted.
    Other(Uuid),
}

/// The file's text.
pub(crate) fn text(id: Uuid) -> String {
    format!("version: 0\ntopic_id: {id}")
}

fn id_of(text: &str) -> Option<Uuid> {
    text.lines().find_map(|line| line.strip_prefix("topic_id: ")).and_then(|id| id.trim().parse().ok())
}

/// The topic id in the folder of a partition; `None` where there is none yet.
///
/// # Errors
/// Disk errors; a file that says no id.
pub fn topic_id(disk: &dyn Disk, folder: &Path) -> Result<Option<Uuid>, LogError> {
    let file = folder.join(FILE);
    let Some(bytes) = disk.read(&file).map_err(DiskError::on("read", &file))? else { return Ok(None) };
    let malformed = LogError::Malformed { path: file, what: "it has no topic_id".into() };
    id_of(&String::from_utf8_lossy(&bytes)).map(Some).ok_or(malformed)
}

/// Whether the folder is of the topic `id`.
///
/// # Errors
/// Disk errors; a file that is damaged, with what it should say.
pub fn owner(disk: &dyn Disk, folder: &Path, id: Uuid) -> Result<Owner, LogError> {
    let file = folder.join(FILE);
    let Some(bytes) = disk.read(&file).map_err(DiskError::on("read", &file))? else { return Ok(Owner::None) };
    let found = id_of(&String::from_utf8_lossy(&bytes));
    if found == Some(id) {
        return Ok(Owner::Asked);
    }
    let what = match found {
        Some(found) if !is_damaged(&bytes, id) => return Ok(Owner::Other(found)),
        Some(found) => format!(
            "it says topic id {found}, which is {id} with a flipped bit: ids are random, so no two are so alike"
        ),
        None => "it has no topic_id".to_owned(),
    };
    let what = format!(
        "{what}. The records beside it are untouched. If the folder is of the topic with id {id}, let the file say `topic_id: {id}`, and start the node again"
    );
    Err(LogError::Malformed { path: file, what })
}

/// Whether a file is that of the topic `id` but for a few bytes.
pub(crate) fn is_damaged(bytes: &[u8], id: Uuid) -> bool {
    let (found, wanted) = (bytes.trim_ascii_end(), text(id));
    let differ = || found.iter().zip(wanted.as_bytes()).filter(|(found, wanted)| found != wanted).count();
    found.len() == wanted.len() && (1..=DAMAGED_BYTES_MAX).contains(&differ())
}

/// As [`owner`], by the word of somebody who knows that the folder was of the topic `id`: a file that is damaged counts as the topic's.
pub(crate) fn owner_known(disk: &dyn Disk, folder: &Path, id: Uuid) -> Result<Owner, LogError> {
    match owner(disk, folder, id) {
        Err(LogError::Malformed { path, what }) => {
            let bytes = disk.read(&path).map_err(DiskError::on("read", &path))?.unwrap_or_default();
            if is_damaged(&bytes, id) { Ok(Owner::Asked) } else { Err(LogError::Malformed { path, what }) }
        }
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use super::{Owner, owner, text};
    use crate::{Disk, FaultyMemDisk, LogError, OpenMode};
    use base::{SeededRng, Uuid};
    use std::path::Path;

    fn owner_of(bytes: &[u8], id: Uuid) -> Result<Owner, LogError> {
        let disk = FaultyMemDisk::new(1);
        let folder = Path::new("/d/t-0");
        disk.create_dir(folder).unwrap();
        disk.open(&folder.join("partition.metadata"), OpenMode::Truncate).unwrap().write_all_at(&[bytes], 0).unwrap();
        owner(&disk, folder, id)
    }

    #[test]
    fn a_flipped_bit_makes_no_other_topic_of_a_folder() {
        let id = Uuid(0x1f0e_2d3c_4b5a_6978_8796_a5b4_c3d2_e1f0);
        let whole = text(id).into_bytes();
        assert_eq!(owner_of(&whole, id).unwrap(), Owner::Asked);
        for at in 0..whole.len() {
            for bit in 0..8 {
                let mut turned = whole.clone();
                turned[at] ^= 1 << bit;
                match owner_of(&turned, id) {
                    // Not in what counts of the file, or in bits of the last digit that mean nothing.
                    Ok(Owner::Asked) => {}
                    Err(LogError::Malformed { what, .. }) => {
                        assert!(what.contains(&format!("`topic_id: {id}`")), "{what}")
                    }
                    other => panic!("byte {at} bit {bit}: {other:?}"),
                }
            }
        }
    }

    #[test]
    fn another_topics_folder_is_told_from_a_damaged_one() {
        let (id, other) = (Uuid::random(&mut SeededRng::new(1)), Uuid::random(&mut SeededRng::new(2)));
        assert_eq!(owner_of(text(other).as_bytes(), id).unwrap(), Owner::Other(other));
        assert_eq!(owner(&FaultyMemDisk::new(1), Path::new("/d/t-0"), id).unwrap(), Owner::None);
    }
}
