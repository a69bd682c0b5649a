use super::{CleanShutdown, LogDir, MetaProperties, PartitionDir, parse_partition_dir};
use crate::{Disk, FaultyMemDisk, OpenMode};
use base::{TopicPartition, Uuid};
use std::path::Path;
use std::sync::Arc;

fn formatted() -> (Arc<dyn Disk>, MetaProperties) {
    let disk: Arc<dyn Disk> = Arc::new(FaultyMemDisk::new(1));
    disk.create_dir(Path::new("/d")).unwrap();
    let meta = MetaProperties { cluster_id: "c".into(), node_id: 1, directory_id: Some(Uuid(1 << 90)) };
    meta.store(disk.as_ref(), Path::new("/d")).unwrap();
    (disk, meta)
}

#[test]
fn meta_properties_round_trip() {
    let (disk, meta) = formatted();
    assert_eq!(MetaProperties::load(disk.as_ref(), Path::new("/d")).unwrap(), Some(meta));
    assert_eq!(MetaProperties::load(disk.as_ref(), Path::new("/other")).unwrap(), None);
    assert!(MetaProperties::parse("version=0\nbroker.id=1\n").is_err());
    assert!(MetaProperties::parse("version=1\ncluster.id=x\n").is_err());
}

#[test]
fn a_dir_is_locked_and_its_marker_lives_one_run() {
    let (disk, _) = formatted();
    let (dir, state) = LogDir::open(Arc::clone(&disk), Path::new("/d")).unwrap();
    assert_eq!(state.clean, None);
    assert!(LogDir::open(Arc::clone(&disk), Path::new("/d")).is_err(), "it is locked");
    dir.mark_clean(CleanShutdown { broker_epoch: 42 }).unwrap();
    drop(dir);
    let (dir, state) = LogDir::open(Arc::clone(&disk), Path::new("/d")).unwrap();
    assert_eq!(state.clean, Some(CleanShutdown { broker_epoch: 42 }));
    dir.mark_in_use().unwrap();
    drop(dir);
    assert_eq!(LogDir::open(disk, Path::new("/d")).unwrap().1.clean, None);
}

#[test]
fn folder_names_are_kafkas() {
    let tp = TopicPartition::new("a-b.c", 12);
    assert_eq!(parse_partition_dir("a-b.c-12"), Some(PartitionDir::Live(tp.clone())));
    let id = "0123456789abcdef0123456789abcdef";
    assert_eq!(parse_partition_dir(&format!("a-b.c-12.{id}-delete")), Some(PartitionDir::Deleted(tp.clone())));
    assert_eq!(parse_partition_dir(&format!("a-b.c-12.{id}-future")), Some(PartitionDir::Future(tp)));
    for name in ["lost+found", "a", "-1", "a-", "a-x", "a--1"] {
        assert!(!matches!(parse_partition_dir(name), Some(PartitionDir::Live(tp)) if tp.topic.is_empty()), "{name}");
    }
    assert_eq!(parse_partition_dir("lost+found"), None);
}

#[test]
fn a_deleted_partition_is_renamed() {
    let (disk, _) = formatted();
    let (dir, _) = LogDir::open(Arc::clone(&disk), Path::new("/d")).unwrap();
    disk.create_dir(Path::new("/d/t-0")).unwrap();
    let renamed = dir.rename_aside(&TopicPartition::new("t", 0), Uuid(7), "delete").unwrap();
    let name = renamed.file_name().unwrap().to_str().unwrap();
    assert_eq!(parse_partition_dir(name), Some(PartitionDir::Deleted(TopicPartition::new("t", 0))));
}

#[test]
fn what_a_killed_process_left_in_the_page_cache_is_on_disk_before_it_is_read() {
    for is_clean in [false, true] {
        let disk = FaultyMemDisk::new(1);
        disk.create_dir(Path::new("/d/t-0")).unwrap();
        let meta = MetaProperties { cluster_id: "c".into(), node_id: 1, directory_id: Some(Uuid(1 << 90)) };
        meta.store(&disk, Path::new("/d")).unwrap();
        let (dir, _) = LogDir::open(Arc::new(disk.clone()), Path::new("/d")).unwrap();
        if is_clean {
            dir.mark_clean(CleanShutdown { broker_epoch: 1 }).unwrap();
        }
        drop(dir);
        let segment = Path::new("/d/t-0/00000000000000000000.log");
        disk.open(segment, OpenMode::Write).unwrap().write_all_at(&[b"seen"], 0).unwrap();
        drop(LogDir::open(Arc::new(disk.clone()), Path::new("/d")).unwrap());
        let after = disk.crash().read(segment).unwrap();
        // After a clean stop there is nothing to sync, and nothing is.
        assert_eq!(after.as_deref(), (!is_clean).then_some(&b"seen"[..]));
    }
}
