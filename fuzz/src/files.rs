//! Small files of a log dir, read whole: indexes, producer snapshots, checkpoints, leader epochs, identities.

use crate::heap::bounded;
use crate::take::Take;
use base::Offset;
use raft::{ElectionState, QuorumStateVersion, SnapshotId};
use std::path::Path;
use std::sync::Arc;
use storage::{
    Disk, FaultyMemDisk, LeaderEpochs, MetaProperties, OffsetCheckpoint, OffsetEntry, OpenMode, ProducerStates,
    TimeEntry, TxnEntry, offset_of_file, parse_partition_dir,
};

/// Index entries and producer snapshots.
pub fn indexes(data: &[u8]) {
    bounded(data.len(), 0, || {
        let offsets = OffsetEntry::all(data);
        assert!(offsets.is_sorted_by(|a, b| a.relative_offset < b.relative_offset), "offsets ascend");
        let times = TimeEntry::all(data);
        assert!(times.is_sorted_by(|a, b| a.timestamp < b.timestamp), "times ascend");
        assert_eq!(TxnEntry::all(data).count(), data.len() / TxnEntry::SIZE);
    });
    // A producer's entry of 46 bytes is held in a map with its last batches.
    bounded(data.len(), 16 * data.len(), || {
        if let Some(states) = ProducerStates::from_snapshot(data) {
            let written = states.to_snapshot();
            let again = ProducerStates::from_snapshot(&written).expect("a snapshot that was written can be read");
            assert_eq!(again.to_snapshot(), written);
        }
    });
}

/// Text files, one kind by the first byte.
pub fn checkpoints(data: &[u8]) {
    let mut take = Take(data);
    let kind = take.byte();
    let text = String::from_utf8_lossy(take.0);
    let (disk, dir) = (FaultyMemDisk::new(1), Path::new("/d"));
    write(&disk, &dir.join("leader-epoch-checkpoint"), take.0);
    write(&disk, &dir.join("checkpoint"), take.0);
    write(&disk, &dir.join("meta.properties"), take.0);
    // The text, its lines and their fields, each a small piece on the heap.
    bounded(data.len(), 32 * data.len(), || match kind % 6 {
        0 => {
            let Ok(read) = OffsetCheckpoint::load(&disk, &dir.join("checkpoint")) else { return };
            read.store(&disk, &dir.join("checkpoint")).expect("this disk does not fail");
            let again = OffsetCheckpoint::load(&disk, &dir.join("checkpoint"));
            assert_eq!(again.expect("what was written can be read").0, read.0);
        }
        1 => {
            let Ok(mut read) = LeaderEpochs::load(&disk, dir) else { return };
            read.store(&disk, dir).expect("this disk does not fail");
            assert_eq!(LeaderEpochs::load(&disk, dir).expect("what was written can be read"), read);
            for entry in read.entries().to_vec() {
                assert!(read.epoch_of(entry.start).is_some(), "an epoch's start has an epoch");
                let (_, end) = read.end_of(entry.epoch, Offset(i64::MAX)).expect("an epoch that is there has an end");
                assert!(end >= entry.start, "{end} before {}", entry.start);
            }
            read.truncate_end(Offset(10));
            read.truncate_start(Offset(5));
        }
        2 => {
            if let Ok(read) = MetaProperties::parse(&text) {
                let again = MetaProperties::parse(&read.to_text()).expect("what was written can be read");
                assert_eq!(again.to_text(), read.to_text());
            }
            drop(MetaProperties::load(&disk, dir));
        }
        3 => {
            let Ok(read) = ElectionState::from_json(&text) else { return };
            for version in [QuorumStateVersion::Static, QuorumStateVersion::Dynamic] {
                let written = read.to_json(version);
                let again = ElectionState::from_json(&written).expect("what was written can be read");
                assert_eq!(again.to_json(version), written);
            }
        }
        4 => {
            drop(parse_partition_dir(&text));
            let _known = offset_of_file(&text);
        }
        _ => {
            if let Some(id) = SnapshotId::parse(&text) {
                assert_eq!(id.file_name(), text);
            }
        }
    });
}

/// Puts a file on a disk in memory.
pub(crate) fn write(disk: &FaultyMemDisk, path: &Path, bytes: &[u8]) {
    if let Some(dir) = path.parent() {
        disk.create_dir(dir).expect("this disk does not fail");
    }
    let file = disk.open(path, OpenMode::Truncate).expect("this disk does not fail");
    file.write_all_at(&[bytes], 0).expect("this disk does not fail");
    file.sync_data().expect("this disk does not fail");
}

/// A disk behind the trait.
pub(crate) fn shared(disk: &FaultyMemDisk) -> Arc<dyn Disk> {
    Arc::new(disk.clone())
}
