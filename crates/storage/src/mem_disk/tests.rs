use super::{DiskFault, FaultyMemDisk};
use crate::{Disk, DiskFile, OpenMode};
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

const A: &str = "/d/a";

fn disk(seed: u64) -> FaultyMemDisk {
    let disk = FaultyMemDisk::new(seed);
    disk.create_dir(Path::new("/d")).unwrap();
    disk
}

fn file(disk: &FaultyMemDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = disk.open(Path::new(path), OpenMode::Write).unwrap();
    file.write_all_at(&[bytes], 0).unwrap();
    file
}

fn synced(disk: &FaultyMemDisk, path: &str, bytes: &[u8]) -> Arc<dyn DiskFile> {
    let file = file(disk, path, bytes);
    file.sync_data().unwrap();
    disk.sync_dir(Path::new(path).parent().unwrap()).unwrap();
    file
}

fn read(disk: &FaultyMemDisk, path: &str) -> Option<Vec<u8>> {
    disk.read(Path::new(path)).unwrap()
}

/// Everything that power cuts can leave of one file.
fn outcomes(make: impl Fn(&FaultyMemDisk)) -> BTreeSet<Option<Vec<u8>>> {
    let after = |seed| {
        let disk = disk(seed);
        make(&disk);
        read(&disk.crash(), A)
    };
    (0..400).map(after).collect()
}

#[test]
fn what_was_synced_is_there_and_of_the_rest_any_part() {
    assert_eq!(outcomes(|disk| drop(synced(disk, A, b"sync"))), BTreeSet::from([Some(b"sync".to_vec())]));
    let left = outcomes(|disk| {
        let file = synced(disk, A, &[1; 1_024]);
        file.write_all_at(&[&[2; 1_024]], 512).unwrap();
    });
    let old = [1; 1_024].to_vec();
    let reordered = [vec![1; 1_024], vec![2; 512]].concat();
    let zeros = [vec![1; 1_024], vec![0; 512]].concat();
    let whole = [vec![1; 512], vec![2; 1_024]].concat();
    for one in [&old, &reordered, &zeros, &whole] {
        assert!(left.contains(&Some(one.clone())), "{:?} of {} is missing", one.len(), left.len());
    }
    assert!(left.iter().flatten().all(|bytes| bytes[..512] == [1; 512]), "a sector that nobody wrote to has changed");
}

#[test]
fn a_name_is_there_for_sure_only_once_its_folder_is_synced() {
    let unsynced = outcomes(|disk| file(disk, A, b"x").sync_data().unwrap());
    assert_eq!(unsynced, BTreeSet::from([None, Some(b"x".to_vec())]));
    let renamed = outcomes(|disk| {
        synced(disk, A, b"old");
        synced(disk, "/d/b", b"new");
        disk.rename(Path::new("/d/b"), Path::new(A)).unwrap();
    });
    assert_eq!(renamed, BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
    let removed = outcomes(|disk| {
        synced(disk, A, b"old");
        disk.remove_file(Path::new(A)).unwrap();
    });
    assert_eq!(removed, BTreeSet::from([None, Some(b"old".to_vec())]));
}

#[test]
fn a_folder_is_there_for_sure_only_once_the_one_above_it_is_synced() {
    let is_there = |seed, sync: bool| {
        let disk = disk(seed);
        disk.create_dir(Path::new("/d/t-0")).unwrap();
        synced(&disk, "/d/t-0/f", b"x");
        if sync {
            disk.sync_dir(Path::new("/d")).unwrap();
        }
        read(&disk.crash(), "/d/t-0/f").is_some()
    };
    assert!((0..50).all(|seed| is_there(seed, true)));
    assert!((0..50).any(|seed| is_there(seed, false)) && (0..50).any(|seed| !is_there(seed, false)));
}

#[test]
fn r25_a_sync_that_failed_is_followed_by_one_that_lies() {
    let left = outcomes(|disk| {
        let file = synced(disk, A, b"");
        file.write_all_at(&[b"lost"], 0).unwrap();
        disk.inject(DiskFault::Sync, 0);
        assert!(file.sync_data().is_err());
        file.sync_data().unwrap();
        assert_eq!(read(disk, A).unwrap(), b"lost", "the page cache still has it");
    });
    assert!(left.contains(&Some(Vec::new())), "a sync after a failed one must not make up for it");
}

#[test]
fn writes_and_reads_fail_where_they_are_told_to() {
    let disk = disk(1);
    let file = synced(&disk, A, b"0123");
    disk.inject(DiskFault::Write, 1);
    file.write_all_at(&[b"4"], 4).unwrap();
    assert!(file.write_all_at(&[b"5"], 5).is_err());
    assert_eq!(read(&disk, A).unwrap(), b"01234");
    disk.inject(DiskFault::Read, 0);
    assert!(disk.read(Path::new(A)).is_err());
    assert_eq!(disk.faults_struck(), 2);
    disk.limit_room(Some(2));
    let full = file.write_all_at(&[b"abc"], 5).unwrap_err();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull);
    assert_eq!(read(&disk, A).unwrap(), b"01234ab", "what there was room for is written");
    file.write_all_at(&[b"x"], 0).unwrap();
}

#[test]
fn the_power_can_be_cut_between_any_two_operations() {
    let disk = disk(1);
    let file = synced(&disk, A, b"old");
    disk.cut_power_after(1);
    file.write_all_at(&[b"new"], 0).unwrap();
    assert!(disk.take_cut().is_none());
    file.sync_data().unwrap();
    let cut = disk.take_cut().expect("the power was cut");
    assert!([&b"old"[..], b"new", b"nld", b"ned"].contains(&&*read(&cut, A).unwrap()));
    assert_eq!(read(&disk, A).unwrap(), b"new", "who goes on does not notice");
}
