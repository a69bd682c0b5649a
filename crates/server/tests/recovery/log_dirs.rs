//! Log dirs that come and go, and folders of one name in several of them.

use super::{CLUSTER_ID, Driven, ManualClock, STORAGE_ERROR, config, directory_id, environment, format, format_with};
use base::Uuid;
use protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use protocol::messages::partition_record::PartitionRecord;
use protocol::messages::register_broker_record::RegisterBrokerRecord;
use protocol::messages::topic_record::TopicRecord;
use server::{Environment, SteppedNode};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use storage::{Disk, DiskWrapper, FaultyMemDisk, MetaProperties, OpenMode};

/// Where the metadata log is, in every order of the log dirs.
const METADATA_DIR: (&str, &str) = ("metadata.log.dir", "/d1");

fn start(disk: &FaultyMemDisk, dirs: &[&str]) -> Driven {
    start_seeded(disk, dirs, 5)
}

/// A start with a seed of its own makes topics whose ids no earlier start gave.
fn start_seeded(disk: &FaultyMemDisk, dirs: &[&str], seed: u64) -> Driven {
    let clock = Arc::new(ManualClock::default());
    let environment = Environment { seed, ..environment(Arc::new(disk.clone()), &clock) };
    let mut node = SteppedNode::start(config(dirs, &[METADATA_DIR]), &environment).expect("the node starts");
    let connection = node.connect("127.0.0.1:1".parse().expect("an address"));
    Driven { node, connection, clock }
}

fn is_there(disk: &FaultyMemDisk, folder: &str) -> bool {
    disk.list(Path::new(folder)).is_ok()
}

/// Which partitions of `t` are in `dir`.
fn of_t_in(disk: &FaultyMemDisk, dir: &str, partitions: i32) -> Vec<bool> {
    (0..partitions).map(|index| is_there(disk, &format!("{dir}/t-{index}"))).collect()
}

/// How many replicas of each partition of `t` the metadata calls offline.
fn offline_replicas(driven: &mut Driven) -> Vec<usize> {
    let topic = MetadataRequestTopic { name: Some("t".into()), ..MetadataRequestTopic::default() };
    let request = MetadataRequest { topics: Some(vec![topic]), ..MetadataRequest::default() };
    driven.ask(12, &request, |response| {
        let mut partitions: Vec<_> = response.topics[0].partitions.iter().collect();
        partitions.sort_by_key(|partition| partition.partition_index);
        partitions.iter().map(|partition| partition.offline_replicas.len()).collect()
    })
}

/// Copies a folder with its files.
fn copy(disk: &FaultyMemDisk, from: &str, to: &str) {
    copy_to(disk, from, disk, to);
}

/// Copies a folder with its files to another disk.
fn copy_to(disk: &FaultyMemDisk, from: &str, other: &FaultyMemDisk, to: &str) {
    other.create_dir(Path::new(to)).expect("a folder");
    for entry in disk.list(Path::new(from)).expect("a list") {
        let bytes = disk.read(&Path::new(from).join(&entry.name)).expect("a read").expect("a file");
        let file = other.open(&Path::new(to).join(&entry.name), OpenMode::Truncate).expect("a file");
        file.write_all_at(&[&bytes], 0).expect("a write");
    }
    other.sync_filesystem(Path::new("/")).expect("a sync");
}

/// A topic of four partitions in two log dirs, each with five records that were confirmed; and which of them are in the second.
fn four_partitions(disk: &FaultyMemDisk) -> (Driven, Vec<bool>) {
    format(disk, &["/d1", "/d2"]);
    let mut driven = start(disk, &["/d1", "/d2"]);
    driven.create("t", 4);
    (0..5).for_each(|_| assert_eq!(driven.produce("t", 4, -1), [0; 4]));
    let in_second = of_t_in(disk, "/d2", 4);
    assert_eq!(in_second.iter().filter(|second| **second).count(), 2);
    (driven, in_second)
}

#[tokio::test]
async fn partitions_of_a_log_dir_that_is_left_out_are_offline_and_come_back_with_it() {
    for the_controller_was_told in [true, false] {
        let disk = FaultyMemDisk::new(1);
        let (mut driven, in_second) = four_partitions(&disk);
        if the_controller_was_told {
            driven.wait(2_000);
        }
        drop(driven);
        let mut disk = disk.crash();
        let expected: Vec<i16> = in_second.iter().map(|second| if *second { STORAGE_ERROR } else { 0 }).collect();
        // The second start without it knows no more of the dir than the metadata does.
        for _ in 0..2 {
            let mut driven = start_seeded(&disk, &["/d1"], 6);
            assert_eq!(driven.produce("t", 4, -1), expected, "not made anew: told before {the_controller_was_told}");
            assert_eq!(driven.ends("t").len(), 2);
            let offline: Vec<bool> = offline_replicas(&mut driven).iter().map(|count| *count == 1).collect();
            assert_eq!(offline, in_second);
            driven.create("another", 2);
            assert_eq!(driven.produce("another", 2, -1), [0, 0], "new partitions are made in the dir that is left");
            driven.delete("another");
            drop(driven);
            disk = disk.crash();
        }
        for order in [["/d1", "/d2"], ["/d2", "/d1"]] {
            let disk = disk.crash();
            let mut driven = start(&disk, &order);
            let ends: Vec<(i64, i64)> = in_second.iter().map(|second| (0, if *second { 5 } else { 7 })).collect();
            assert_eq!(driven.ends("t"), ends, "{order:?}");
            assert_eq!(driven.produce("t", 4, -1), [0; 4]);
            assert_eq!(offline_replicas(&mut driven), [0; 4]);
        }
    }
}

#[tokio::test]
async fn a_topic_whose_log_dir_is_left_out_can_be_deleted_and_made_again_r30() {
    let disk = FaultyMemDisk::new(1);
    let (mut driven, in_second) = four_partitions(&disk);
    driven.wait(2_000);
    drop(driven);
    let disk = disk.crash();
    let mut driven = start_seeded(&disk, &["/d1"], 6);
    driven.delete("t");
    driven.create("t", 4);
    assert_eq!(driven.produce("t", 4, -1), [0; 4]);
    drop(driven);
    for order in [["/d1", "/d2"], ["/d2", "/d1"]] {
        let disk = disk.crash();
        let driven = start(&disk, &order);
        assert_eq!(driven.ends("t"), [(0, 1); 4], "{order:?}");
        let strays =
            disk.names(Path::new("/d2")).expect("a list").into_iter().filter(|(name, _)| name.ends_with("-stray"));
        assert_eq!(strays.count(), 2, "what the older topic had in the second dir is put aside");
        assert!(of_t_in(&disk, "/d1", 4).iter().all(|there| *there), "{in_second:?}");
    }
}

/// A disk that renames no folder of partition 0 of `t`, as long as that is so.
#[derive(Debug)]
struct NoRename {
    inner: FaultyMemDisk,
    fails: AtomicBool,
}

impl DiskWrapper for NoRename {
    fn target(&self) -> &dyn Disk {
        &self.inner
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        if self.fails.load(Ordering::Relaxed) && from.ends_with("t-0") {
            return Err(io::Error::other("no space left on device"));
        }
        self.inner.rename(from, to)
    }
}

#[tokio::test]
async fn of_folders_of_one_name_in_two_log_dirs_the_topics_own_is_taken_r30() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1", "/d2"]);
    let own = Arc::new(NoRename { inner: disk.clone(), fails: AtomicBool::new(true) });
    let mut driven = Driven::start(Arc::clone(&own) as Arc<dyn Disk>, &["/d1", "/d2"]);
    driven.create("x", 1);
    driven.create("t", 1);
    assert!(is_there(&disk, "/d2/t-0"));
    assert_eq!(driven.produce("t", 1, -1), [0]);
    driven.delete("t");
    driven.delete("x");
    driven.create("t", 1);
    assert!(is_there(&disk, "/d1/t-0") && is_there(&disk, "/d2/t-0"), "the older topic's folder could not be renamed");
    (0..3).for_each(|_| assert_eq!(driven.produce("t", 1, -1), [0]));
    drop(driven);
    for order in [["/d1", "/d2"], ["/d2", "/d1"]] {
        let disk = disk.crash();
        let driven = start(&disk, &order);
        assert_eq!(driven.ends("t"), [(0, 3)], "{order:?}");
        assert!(is_there(&disk, "/d1/t-0") && !is_there(&disk, "/d2/t-0"));
    }
}

#[tokio::test]
async fn two_folders_of_one_partition_are_refused_before_anything_is_touched() {
    let disk = FaultyMemDisk::new(1);
    let (driven, in_second) = four_partitions(&disk);
    let Driven { node, connection, .. } = driven;
    drop(connection);
    node.stop().expect("a clean stop");
    let index = in_second.iter().position(|second| !second).expect("one in the first dir");
    copy(&disk, &format!("/d1/t-{index}"), &format!("/d2/t-{index}"));
    let clock = Arc::new(ManualClock::default());
    let refused = SteppedNode::start(config(&["/d1", "/d2"], &[]), &environment(Arc::new(disk.clone()), &clock));
    let why = refused.err().expect("refused").to_string();
    assert!(why.contains(&format!("/d1/t-{index} and /d2/t-{index}")), "{why}");
    let marker = |dir: &str| disk.read(&Path::new(dir).join(".kafka_cleanshutdown")).expect("a read");
    assert!(marker("/d1").is_some() && marker("/d2").is_some(), "the next start needs no recovery");
    disk.remove_dir_all(Path::new(&format!("/d2/t-{index}"))).expect("the operator's choice");
    assert_eq!(start(&disk, &["/d1", "/d2"]).ends("t"), [(0, 5); 4]);
}

#[tokio::test]
async fn a_folder_that_was_moved_to_another_log_dir_is_found_and_the_metadata_follows() {
    let disk = FaultyMemDisk::new(1);
    let (mut driven, in_second) = four_partitions(&disk);
    driven.wait(2_000);
    drop(driven);
    let disk = disk.crash();
    for (index, _) in in_second.iter().enumerate().filter(|(_, second)| **second) {
        copy(&disk, &format!("/d2/t-{index}"), &format!("/d1/t-{index}"));
        disk.remove_dir_all(Path::new(&format!("/d2/t-{index}"))).expect("a removal");
    }
    disk.sync_filesystem(Path::new("/")).expect("a sync");
    drop(start(&disk, &["/d1", "/d2"]));
    let disk = disk.crash();
    let mut driven = start(&disk, &["/d1"]);
    assert_eq!(driven.ends("t"), [(0, 5); 4]);
    assert_eq!(offline_replicas(&mut driven), [0; 4]);
}

#[tokio::test]
async fn a_log_dir_that_is_emptied_and_formatted_anew_gets_none_of_its_partitions_back() {
    let disk = FaultyMemDisk::new(1);
    let (mut driven, in_second) = four_partitions(&disk);
    driven.wait(2_000);
    drop(driven);
    let disk = disk.crash();
    disk.remove_dir_all(Path::new("/d2")).expect("a removal");
    disk.create_dir(Path::new("/d2")).expect("a folder");
    let meta = MetaProperties { cluster_id: CLUSTER_ID.into(), node_id: 1, directory_id: Some(Uuid(1 << 100)) };
    meta.store(&disk, Path::new("/d2")).expect("meta.properties");
    let mut driven = start(&disk, &["/d1", "/d2"]);
    let expected: Vec<i16> = in_second.iter().map(|second| if *second { STORAGE_ERROR } else { 0 }).collect();
    assert_eq!(driven.produce("t", 4, -1), expected);
}

#[tokio::test]
async fn a_deleted_topics_folder_that_cannot_be_renamed_takes_its_log_dir_offline_r21() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1", "/d2"]);
    let own = Arc::new(NoRename { inner: disk.clone(), fails: AtomicBool::new(true) });
    let mut driven = Driven::start(Arc::clone(&own) as Arc<dyn Disk>, &["/d1", "/d2"]);
    ["x", "t", "y", "z"].iter().for_each(|topic| driven.create(topic, 1));
    assert!(is_there(&disk, "/d2/t-0") && is_there(&disk, "/d2/z-0"));
    driven.delete("t");
    driven.commit();
    assert_eq!(driven.produce("z", 1, -1), [STORAGE_ERROR]);
    assert_eq!(driven.produce("y", 1, -1), [0]);
    assert_eq!(driven.node.failed(), None, "one of two log dirs is left");
    driven.create("t", 1);
    assert!(is_there(&disk, "/d1/t-0"));
}

#[tokio::test]
async fn a_folder_that_is_in_the_way_of_a_new_partition_is_put_aside_r30() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1"]);
    let mut driven = start(&disk, &["/d1"]);
    driven.create("x", 1);
    (0..3).for_each(|_| assert_eq!(driven.produce("x", 1, -1), [0]));
    copy(&disk, "/d1/x-0", "/d1/t-0");
    driven.create("t", 1);
    assert_eq!(driven.produce("t", 1, -1), [0]);
    assert_eq!(driven.ends("t"), [(0, 1)]);
    let names = disk.names(Path::new("/d1")).expect("a list");
    let stray = names.iter().find(|(name, _)| name.starts_with("t-0.") && name.ends_with("-stray")).expect("put aside");
    let log = Path::new("/d1").join(&stray.0).join("00000000000000000000.log");
    assert_eq!(disk.file_len(&log).ok(), disk.file_len(Path::new("/d1/x-0/00000000000000000000.log")).ok());
}

/// A disk on which no folder of a partition of `t` can be made, as long as that is so.
#[derive(Debug)]
struct NoFolder(FaultyMemDisk);

impl DiskWrapper for NoFolder {
    fn target(&self) -> &dyn Disk {
        &self.0
    }
    fn create_dir(&self, path: &Path) -> io::Result<()> {
        if path.ends_with("t-0") { Err(io::Error::other("input/output error")) } else { self.0.create_dir(path) }
    }
}

#[tokio::test]
async fn a_partition_that_cannot_be_made_takes_its_log_dir_offline_r21() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1", "/d2"]);
    let mut driven = Driven::start(Arc::new(NoFolder(disk.clone())), &["/d1", "/d2"]);
    ["x", "t"].iter().for_each(|topic| driven.create(topic, 1));
    driven.commit();
    assert_eq!(driven.produce("t", 1, -1), [STORAGE_ERROR]);
    assert_eq!(driven.produce("x", 1, -1), [0]);
    ["y", "z"].iter().for_each(|topic| driven.create(topic, 1));
    assert!(is_there(&disk, "/d1/y-0") && is_there(&disk, "/d1/z-0"), "the second log dir gets nothing more");
}

#[tokio::test]
async fn a_partition_that_was_never_made_is_made_in_its_log_dir_once_that_is_back() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1", "/d2"]);
    let mut driven = Driven::start(Arc::new(NoFolder(disk.clone())), &["/d1", "/d2"]);
    ["x", "t"].iter().for_each(|topic| driven.create(topic, 1));
    assert!(is_there(&disk, "/d1/x-0") && !is_there(&disk, "/d2/t-0"));
    drop(driven);
    let mut disk = disk.crash();
    for _ in 0..2 {
        let mut driven = start_seeded(&disk, &["/d1"], 6);
        assert_eq!(driven.produce("t", 1, -1), [STORAGE_ERROR], "its log dir was chosen when it was decided");
        drop(driven);
        disk = disk.crash();
    }
    for order in [["/d1", "/d2"], ["/d2", "/d1"]] {
        let disk = disk.crash();
        let mut driven = start(&disk, &order);
        assert_eq!(driven.produce("t", 1, -1), [0], "{order:?}");
        assert_eq!(offline_replicas(&mut driven), [0]);
        assert!(is_there(&disk, "/d2/t-0"));
    }
}

#[tokio::test]
async fn partitions_that_are_decided_at_the_same_time_are_spread_over_the_log_dirs() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1", "/d2"]);
    let mut driven = start(&disk, &["/d1", "/d2"]);
    let begun: Vec<_> = ["t", "x"].iter().map(|topic| driven.begin_create(topic, 1)).collect();
    driven.commit();
    let in_first = ["/d1/t-0", "/d1/x-0"].map(|folder| is_there(&disk, folder));
    assert_ne!(in_first[0], in_first[1], "the first is counted before it is made");
    assert!(is_there(&disk, "/d2/t-0") != is_there(&disk, "/d2/x-0"));
    drop(begun);
}

/// Two log dirs and a topic of two partitions, as a controller leaves them that waits for the broker to say where it has put them (KIP-858).
fn unassigned() -> FaultyMemDisk {
    let disk = FaultyMemDisk::new(1);
    let topic_id = Uuid(1 << 100);
    let partition = |partition_id| PartitionRecord {
        partition_id,
        topic_id,
        replicas: vec![1],
        isr: vec![1],
        leader: 1,
        directories: vec![Uuid::UNASSIGNED_DIR],
        ..PartitionRecord::default()
    };
    let log_dirs = vec![directory_id(0), directory_id(1)];
    let broker = RegisterBrokerRecord { broker_id: 1, log_dirs, ..RegisterBrokerRecord::default() };
    let topic = TopicRecord { name: "t".into(), topic_id, ..TopicRecord::default() };
    format_with(
        &disk,
        &["/d1", "/d2"],
        &[(broker.into(), 3), (topic.into(), 0), (partition(0).into(), 1), (partition(1).into(), 1)],
    );
    disk
}

#[tokio::test]
async fn a_partition_that_is_in_no_log_dir_is_not_made_while_one_is_missing() {
    let disk = unassigned();
    let mut driven = start(&disk, &["/d1", "/d2"]);
    assert_eq!(driven.produce("t", 2, -1), [0; 2], "with all of them here it is made, as in Kafka");
    let filled = disk.crash();
    drop(driven);
    let in_second = of_t_in(&filled, "/d2", 2);
    let second = in_second.iter().position(|second| *second).expect("one in the second dir");
    for has_folder in [false, true] {
        let mut disk = unassigned();
        if has_folder {
            let folder = format!("/d2/t-{second}");
            copy_to(&filled, &folder, &disk, &folder);
        }
        for _ in 0..2 {
            let mut driven = start(&disk, &["/d1"]);
            assert_eq!(driven.produce("t", 2, -1), [STORAGE_ERROR; 2], "either may be in the missing dir");
            drop(driven);
            disk = disk.crash();
        }
        let mut driven = start(&disk, &["/d1", "/d2"]);
        let is_found = |at| has_folder && at == second;
        let expected: Vec<i16> = (0..2).map(|at| if is_found(at) { 0 } else { STORAGE_ERROR }).collect();
        assert_eq!(driven.produce("t", 2, -1), expected, "nobody knows any more which log dirs there were");
        assert_eq!(driven.ends("t"), if has_folder { vec![(0, 2)] } else { Vec::new() });
    }
}

#[tokio::test]
async fn a_dir_for_the_metadata_log_alone_gets_no_partition() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &["/d1", "/d2"]);
    let mut driven = start(&disk, &["/d2"]);
    driven.create("t", 4);
    assert_eq!(driven.produce("t", 4, -1), [0; 4]);
    assert_eq!(of_t_in(&disk, "/d2", 4), [true; 4], "as in Kafka, which looks for partitions in log.dirs only");
}
