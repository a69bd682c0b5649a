//! Log dirs that fail, at the start or later, while the others go on.

use super::*;
use protocol::messages::describe_log_dirs_request::DescribeLogDirsRequest;
use protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use server::StartError;

const DIRS: [&str; 2] = ["/d1", "/d2"];
/// Partitions of the topic `t`, over both log dirs.
const PARTITIONS: i32 = 8;
const LEADER_NOT_AVAILABLE: i16 = 5;

/// A node with two log dirs and a record in each partition of `t`, and which partitions are in the second one.
fn with_two_dirs(disk: &FaultyMemDisk) -> (Driven, Vec<bool>) {
    format(disk, &DIRS);
    let mut driven = Driven::start(Arc::new(disk.clone()), &DIRS);
    driven.create("t", PARTITIONS);
    assert_eq!(driven.produce("t", PARTITIONS, -1), [0; PARTITIONS as usize]);
    driven.wait(1);
    let on_second: Vec<bool> = (0..PARTITIONS).map(|index| is_in(disk, "/d2", "t", index)).collect();
    assert!(on_second.contains(&true) && on_second.contains(&false), "{on_second:?}");
    (driven, on_second)
}

fn is_in(disk: &dyn Disk, dir: &str, topic: &str, index: i32) -> bool {
    disk.list(&Path::new(dir).join(format!("{topic}-{index}"))).is_ok()
}

fn stop(driven: Driven) {
    let Driven { node, connection, .. } = driven;
    drop(connection);
    node.stop().expect("a clean stop");
}

/// The error code of each log dir.
fn dir_codes(driven: &mut Driven) -> Vec<(String, i16)> {
    let request = DescribeLogDirsRequest { topics: None, ..DescribeLogDirsRequest::default() };
    driven.ask(4, &request, |response| {
        response.results.iter().map(|result| (result.log_dir.to_string(), result.error_code)).collect()
    })
}

/// Error code, leader, ISR and offline replicas of each partition, as clients are told.
fn told(driven: &mut Driven, topic: &str) -> Vec<(i16, i32, Vec<i32>, Vec<i32>)> {
    let name = Some(topic.to_owned().into());
    let topics = Some(vec![MetadataRequestTopic { name, ..MetadataRequestTopic::default() }]);
    let request = MetadataRequest { topics, ..MetadataRequest::default() };
    driven.ask(12, &request, |response| {
        let mut partitions = response.topics[0].partitions.clone();
        partitions.sort_by_key(|partition| partition.partition_index);
        partitions.into_iter().map(|p| (p.error_code, p.leader_id, p.isr_nodes, p.offline_replicas)).collect()
    })
}

/// What clients are told of partitions of which some are offline. As in Kafka, the last in sync stays so.
fn with_lost(lost: &[bool]) -> Vec<(i16, i32, Vec<i32>, Vec<i32>)> {
    let of = |is_lost: &bool| match is_lost {
        true => (LEADER_NOT_AVAILABLE, -1, vec![1], vec![1]),
        false => (0, 1, vec![1], vec![]),
    };
    lost.iter().map(of).collect()
}

/// What is wrong with the second log dir.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Damage {
    IdentityUnreadable,
    IdentityMalformed,
    CheckpointMalformed,
    WriteAheadUnreadable,
}

impl Damage {
    const ALL: [Damage; 4] = [
        Damage::IdentityUnreadable,
        Damage::IdentityMalformed,
        Damage::CheckpointMalformed,
        Damage::WriteAheadUnreadable,
    ];

    /// Damages a log dir; a disk on which that is so, and what puts it right again.
    fn strike(self, disk: &FaultyMemDisk, dir: &str) -> (Arc<OwnDisk>, impl FnOnce() + use<>) {
        let own = own_disk(disk, "");
        let path = Path::new(dir).join(match self {
            Damage::IdentityUnreadable | Damage::IdentityMalformed => "meta.properties",
            Damage::CheckpointMalformed => "recovery-point-offset-checkpoint",
            Damage::WriteAheadUnreadable => WRITE_AHEAD_FILE,
        });
        let whole = disk.read(&path).expect("a read");
        match self {
            Damage::IdentityUnreadable | Damage::WriteAheadUnreadable => {
                *own.unreadable.lock().expect("the path") = Some(path.clone());
            }
            Damage::IdentityMalformed | Damage::CheckpointMalformed => {
                disk.replace(&path, b"\0\0\0\0").expect("a write");
            }
        }
        let disk = disk.clone();
        let repair = move || match whole {
            Some(whole) => disk.replace(&path, &whole).expect("a write"),
            None => disk.remove_file(&path).expect("a removal"),
        };
        (own, repair)
    }
}

/// As when a disk is unmounted under the node: what it wrote into the folder beneath would be hidden by the next mount.
#[tokio::test]
async fn a_log_dir_that_is_no_longer_there_goes_offline_and_nothing_is_made_in_its_place() {
    let disk = FaultyMemDisk::new(1);
    let (mut driven, on_second) = with_two_dirs(&disk);
    disk.remove_file(Path::new("/d2/meta.properties")).expect("a removal");
    driven.create("new", PARTITIONS);
    assert!((0..PARTITIONS).all(|index| !is_in(&disk, "/d2", "new", index)));
    driven.wait(2_000);
    assert_eq!(dir_codes(&mut driven), [("/d1".to_owned(), 0), ("/d2".to_owned(), STORAGE_ERROR)]);
    assert_eq!(told(&mut driven, "t"), with_lost(&on_second));
    for (code, is_lost) in driven.produce("t", PARTITIONS, -1).into_iter().zip(&on_second) {
        assert_eq!(code, if *is_lost { STORAGE_ERROR } else { 0 }, "{on_second:?}");
    }
}

#[tokio::test]
async fn a_log_dir_that_fails_at_the_start_is_offline_and_the_others_are_served() {
    for (damage, clean) in Damage::ALL.into_iter().flat_map(|damage| [(damage, false), (damage, true)]) {
        if damage == Damage::WriteAheadUnreadable && clean {
            continue;
        }
        let disk = FaultyMemDisk::new(1);
        let (driven, on_second) = with_two_dirs(&disk);
        let disk = if clean {
            stop(driven);
            disk
        } else {
            drop(driven);
            disk.crash()
        };
        let (own, repair) = damage.strike(&disk, "/d2");
        let mut driven = Driven::start_seeded(Arc::clone(&own) as Arc<dyn Disk>, &DIRS, 6);
        assert_eq!(driven.node.failed(), None, "{damage:?}: one of two log dirs is left");
        driven.wait(2_000);
        assert_eq!(dir_codes(&mut driven), [("/d1".to_owned(), 0), ("/d2".to_owned(), STORAGE_ERROR)], "{damage:?}");
        assert_eq!(told(&mut driven, "t"), with_lost(&on_second), "{damage:?}, clean: {clean}");
        for (code, is_lost) in driven.produce("t", PARTITIONS, -1).into_iter().zip(&on_second) {
            assert_eq!(code, if *is_lost { STORAGE_ERROR } else { 0 }, "{damage:?}, clean: {clean}, {on_second:?}");
        }
        let made_anew =
            (0..PARTITIONS).filter(|index| is_in(&disk, "/d1", "t", *index) && is_in(&disk, "/d2", "t", *index));
        assert_eq!(made_anew.count(), 0, "{damage:?}");
        driven.create("new", PARTITIONS);
        assert_eq!(driven.produce("new", PARTITIONS, -1), [0; PARTITIONS as usize], "{damage:?}");
        assert!((0..PARTITIONS).all(|index| is_in(&disk, "/d1", "new", index)), "{damage:?}");
        driven.wait(2_000);
        stop(driven);
        repair();
        let mut driven = Driven::start(Arc::new(disk), &DIRS);
        let expected: Vec<_> = on_second.iter().map(|was_lost| (0, if *was_lost { 1 } else { 2 })).collect();
        assert_eq!(driven.ends("t"), expected, "{damage:?}, clean: {clean}");
        assert_eq!(told(&mut driven, "t"), with_lost(&[false; PARTITIONS as usize]), "{damage:?}: the dir is back");
        assert_eq!(driven.produce("t", PARTITIONS, -1), [0; PARTITIONS as usize], "{damage:?}: the dir is back");
        assert_eq!(driven.produce("new", PARTITIONS, -1), [0; PARTITIONS as usize], "{damage:?}");
    }
}

#[tokio::test]
async fn the_partitions_of_a_log_dir_that_fails_have_no_leader_until_it_is_back() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &DIRS);
    let own = own_disk(&disk, "");
    own.breaks.store(true, Ordering::Relaxed);
    let mut driven = Driven::start(Arc::clone(&own) as Arc<dyn Disk>, &DIRS);
    driven.create("t", PARTITIONS);
    driven.wait(1);
    assert_eq!(told(&mut driven, "t"), with_lost(&[false; PARTITIONS as usize]));
    let on_second: Vec<bool> = (0..PARTITIONS).map(|index| is_in(&disk, "/d2", "t", index)).collect();
    let expected: Vec<i16> = on_second.iter().map(|second| if *second { STORAGE_ERROR } else { 0 }).collect();
    assert_eq!(driven.produce("t", PARTITIONS, -1), expected);
    // The controller is told at the next turn of housekeeping, not only with the next heartbeat.
    driven.wait(1);
    assert_eq!(told(&mut driven, "t"), with_lost(&on_second));
    assert_eq!(driven.produce("t", PARTITIONS, -1), expected, "why there is no leader is said");
    stop(driven);
    let mut driven = Driven::start(Arc::new(disk.crash()), &DIRS);
    assert_eq!(told(&mut driven, "t"), with_lost(&[false; PARTITIONS as usize]), "the dir is back");
    assert_eq!(driven.produce("t", PARTITIONS, -1), [0; PARTITIONS as usize]);
}

fn start(disk: Arc<dyn Disk>, dirs: &[&str]) -> Result<SteppedNode, StartError> {
    SteppedNode::start(config(dirs, &[]), &environment(disk, &Arc::default()))
}

#[tokio::test]
async fn a_node_does_not_start_without_its_metadata_dir() {
    for damage in Damage::ALL {
        let disk = FaultyMemDisk::new(1);
        drop(with_two_dirs(&disk));
        let disk = disk.crash();
        let (own, repair) = damage.strike(&disk, "/d1");
        let started = start(own, &DIRS);
        assert!(matches!(started, Err(StartError::Log(_))), "{damage:?}: {:?}", started.err());
        repair();
        assert!(start(Arc::new(disk), &DIRS).is_ok(), "{damage:?}");
    }
}

#[test]
fn a_dir_that_is_not_formatted_or_another_nodes_or_in_use_is_a_mistake_and_no_failure() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &DIRS);
    let store = |cluster_id: &str, node_id: i32| {
        let meta = MetaProperties { cluster_id: cluster_id.into(), node_id, directory_id: Some(Uuid(9)) };
        meta.store(&disk, Path::new("/d2")).expect("meta.properties");
    };
    let why = |disk: &FaultyMemDisk| start(Arc::new(disk.clone()), &DIRS).err().expect("no start").to_string();
    store(CLUSTER_ID, 2);
    assert_eq!(why(&disk), "/d2 belongs to node 2, this is node 1");
    store("another", 1);
    assert_eq!(why(&disk), "/d2 belongs to cluster another, another log dir to 4L6g3nShT-eMCtK--X86sw");
    store(CLUSTER_ID, 1);
    let lock = disk.lock(Path::new("/d2/.lock")).expect("a lock").expect("nobody has it");
    assert_eq!(why(&disk), "another process uses the log dir /d2");
    drop(lock);
    disk.remove_file(Path::new("/d2/meta.properties")).expect("a removal");
    assert_eq!(why(&disk), "the log dir /d2 is not formatted: run `thalweg storage format`");
}

#[test]
fn healthz_and_the_metrics_tell_of_a_log_dir_that_failed_at_the_start() {
    let disk = FaultyMemDisk::new(1);
    format(&disk, &DIRS);
    let (own, _) = Damage::IdentityUnreadable.strike(&disk, "/d2");
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let config = config(&DIRS, &[("thalweg.metrics.listen", &free.to_string())]);
    let environment = Environment { disk: own, network: Network::Sockets, ..Environment::real() };
    let node = Node::start(config, environment).expect("the node starts");
    assert_eq!(get(free, "/healthz").expect("the listener answers").1, "offline log dirs: /d2\n");
    assert_eq!(get(free, "/readyz").expect("the listener answers").1, "ready\n");
    let (_, metrics) = get(free, "/metrics").expect("the listener answers");
    assert!(metrics.contains("\nthalweg_offline_log_dirs 1\n"), "{metrics}");
    assert_eq!(node.failed(), None);
    node.shutdown().expect("a clean stop");
    assert!(disk.read(Path::new("/d1/.kafka_cleanshutdown")).expect("a read").is_some());
    assert!(disk.read(Path::new("/d2/.kafka_cleanshutdown")).expect("a read").is_none());
}
