use super::{EpochEntry, LeaderEpochs};
use crate::{Disk, FaultyMemDisk};
use base::{LeaderEpoch, Offset};
use std::path::Path;

fn epochs(pairs: &[(i32, i64)]) -> LeaderEpochs {
    let mut epochs = LeaderEpochs::default();
    for &(epoch, start) in pairs {
        assert!(epochs.assign(LeaderEpoch(epoch), Offset(start)));
    }
    epochs
}

#[test]
fn r02_an_unknown_epoch_is_answered_with_the_largest_below_it() {
    let epochs = epochs(&[(1, 0), (3, 10), (6, 20)]);
    let end = |epoch| epochs.end_of(LeaderEpoch(epoch), Offset(30)).map(|(e, o)| (e.0, o.0));
    assert_eq!(end(6), Some((6, 30)));
    assert_eq!(end(5), Some((3, 20)));
    assert_eq!(end(1), Some((1, 10)));
    assert_eq!(end(0), Some((0, 0)));
    assert_eq!(end(7), None);
    assert_eq!(LeaderEpochs::default().end_of(LeaderEpoch(0), Offset(0)), None);
}

#[test]
fn assigning_an_epoch_drops_what_it_contradicts() {
    let mut epochs = epochs(&[(1, 0), (3, 10)]);
    assert!(!epochs.assign(LeaderEpoch(3), Offset(15)));
    assert!(epochs.assign(LeaderEpoch(4), Offset(10)));
    assert_eq!(
        epochs.entries(),
        [
            EpochEntry { epoch: LeaderEpoch(1), start: Offset(0) },
            EpochEntry { epoch: LeaderEpoch(4), start: Offset(10) }
        ]
    );
}

#[test]
fn truncation_keeps_the_covering_epoch() {
    let mut epochs = epochs(&[(1, 0), (3, 10), (6, 20)]);
    assert!(epochs.truncate_start(Offset(15)));
    assert_eq!(epochs.entries()[0], EpochEntry { epoch: LeaderEpoch(3), start: Offset(15) });
    assert!(epochs.truncate_end(Offset(20)));
    assert_eq!(epochs.latest(), Some(LeaderEpoch(3)));
}

#[test]
fn the_file_is_kafkas() {
    let disk = FaultyMemDisk::new(1);
    let dir = Path::new("/t-0");
    disk.create_dir(dir).unwrap();
    let written = epochs(&[(1, 0), (3, 10)]);
    written.store(&disk, dir).unwrap();
    let text = disk.read(&dir.join(super::FILE)).unwrap().unwrap();
    assert_eq!(String::from_utf8(text).unwrap(), "0\n2\n1 0\n3 10\n");
    assert_eq!(LeaderEpochs::load(&disk, dir).unwrap(), written);
}
