//! Log dirs that go offline (KIP-858), and what that does to the partitions in them.

use super::*;
use metadata::PartitionRegistration;
use protocol::messages::partition_change_record::PartitionChangeRecord;

/// Two brokers with two log dirs each: 1000 and 1001, 2000 and 2001.
fn rig() -> Rig {
    let mut rig = Rig::new(0);
    for id in 1..=2 {
        register(&mut rig, id, &[Uuid(id as u128 * 1_000), Uuid(id as u128 * 1_000 + 1)], i64::from(id));
    }
    rig
}

fn register(rig: &mut Rig, id: i32, log_dirs: &[Uuid], log_end: i64) {
    let request = BrokerRegistrationRequest { log_dirs: log_dirs.to_vec(), ..registration(id) };
    let decision = rig.controller.register_broker(Monotonic(0), &request, log_end).unwrap();
    let epoch = rig.commit(decision);
    beat(rig, id, epoch.0, &[]);
}

/// A heartbeat; how many records it made.
fn beat(rig: &mut Rig, id: i32, epoch: i64, offline: &[Uuid]) -> usize {
    let before = rig.log.len();
    let decision = rig.controller.heartbeat(Monotonic(0), NodeId(id), BrokerEpoch(epoch), offline).unwrap();
    rig.commit(decision);
    rig.log.len() - before
}

/// A topic with replicas on these brokers, each partition in these log dirs.
fn create(rig: &mut Rig, name: &'static str, replicas: &[i32], directories: &[&[Uuid]]) {
    let assignments = (0..).zip(directories).map(|(partition_index, _)| CreatableReplicaAssignment {
        partition_index,
        broker_ids: replicas.to_vec(),
        ..CreatableReplicaAssignment::default()
    });
    let topic = CreatableTopic { assignments: assignments.collect(), ..topic(name, -1, -1) };
    assert_eq!(rig.create(topic).0, ErrorCode::None);
    let topic_id = rig.controller.image().topics().by_name(name).unwrap().id();
    for (partition_id, directories) in (0..).zip(directories) {
        let directories = Some(directories.to_vec());
        let record = PartitionChangeRecord { topic_id, partition_id, directories, ..PartitionChangeRecord::default() };
        rig.commit(Decision { records: vec![(record.into(), 2)], reply: () });
    }
}

fn partition<'r>(rig: &'r Rig, name: &str, index: i32) -> &'r PartitionRegistration {
    rig.controller.image().topics().by_name(name).unwrap().partition(index).unwrap()
}

/// Leader, ISR and offline replicas.
fn state(rig: &Rig, name: &str, index: i32) -> (i32, Vec<i32>, Vec<i32>) {
    let partition = partition(rig, name, index);
    let ids = |nodes: &[NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    let offline = rig.controller.image().offline_replicas(partition);
    (partition.leader.0, ids(&partition.isr), ids(&offline))
}

#[test]
fn new_replicas_of_a_broker_are_put_where_it_says_and_others_nowhere() {
    let mut rig = rig();
    let request = CreateTopicsRequest { topics: vec![topic("t", 2, 2)], ..CreateTopicsRequest::default() };
    let mut decision = rig.controller.create_topics(&request);
    let mut said = vec![Uuid(1_000), Uuid(1_001)];
    crate::place_replicas(&mut decision.records, NodeId(1), || said.pop());
    rig.commit(decision);
    let of = |node, index| partition(&rig, "t", index).directory_of(NodeId(node));
    assert_eq!([of(1, 0), of(1, 1)], [Uuid(1_001), Uuid(1_000)]);
    assert_eq!([of(2, 0), of(2, 1)], [Uuid::UNASSIGNED_DIR; 2], "with several log dirs the broker chooses");
    let mut decision = rig
        .controller
        .create_topics(&CreateTopicsRequest { topics: vec![topic("u", 1, 2)], ..CreateTopicsRequest::default() });
    crate::place_replicas(&mut decision.records, NodeId(1), || None);
    rig.commit(decision);
    assert_eq!(partition(&rig, "u", 0).directory_of(NodeId(1)), Uuid::UNASSIGNED_DIR, "it has none to say");
}

#[test]
fn partitions_of_a_log_dir_that_goes_offline_lose_their_leader_and_no_others_do() {
    let mut rig = rig();
    create(&mut rig, "t", &[1], &[&[Uuid(1_000)], &[Uuid(1_001)], &[Uuid::UNASSIGNED_DIR]]);
    let epoch = partition(&rig, "t", 1).leader_epoch;
    // One of the broker, and one of the partition.
    assert_eq!(beat(&mut rig, 1, 1, &[Uuid(1_001)]), 2);
    assert_eq!(rig.controller.image().broker(NodeId(1)).unwrap().record.log_dirs, [Uuid(1_000)]);
    assert_eq!(state(&rig, "t", 0), (1, vec![1], vec![]));
    // Only the last in sync has everything that was confirmed.
    assert_eq!(state(&rig, "t", 1), (-1, vec![1], vec![1]));
    assert_eq!(state(&rig, "t", 2), (1, vec![1], vec![]));
    assert_eq!(partition(&rig, "t", 1).leader_epoch, LeaderEpoch(epoch.0 + 1));
    assert_eq!(beat(&mut rig, 1, 1, &[Uuid(1_001)]), 0, "it is known");
    // Assigned to a dir that was offline already.
    create(&mut rig, "late", &[1], &[&[Uuid(1_001)]]);
    assert_eq!(beat(&mut rig, 1, 1, &[Uuid(1_001)]), 1);
    assert_eq!(state(&rig, "late", 0), (-1, vec![1], vec![1]));
}

#[test]
fn the_leader_comes_back_with_the_log_dir_and_not_before() {
    let mut rig = rig();
    create(&mut rig, "t", &[1], &[&[Uuid(1_000)], &[Uuid(1_001)]]);
    // As after a crash: nobody has fenced the broker, and it leads what it cannot open.
    register(&mut rig, 1, &[Uuid(1_000)], 50);
    assert_eq!(state(&rig, "t", 0), (1, vec![1], vec![]));
    assert_eq!(state(&rig, "t", 1), (-1, vec![1], vec![1]));
    // As after a clean stop.
    let records = rig.controller.fence(NodeId(1));
    rig.commit(Decision { records, reply: () });
    register(&mut rig, 1, &[Uuid(1_000)], 60);
    assert_eq!(state(&rig, "t", 0), (1, vec![1], vec![]));
    assert_eq!(state(&rig, "t", 1), (-1, vec![1], vec![1]));
    register(&mut rig, 1, &[Uuid(1_000), Uuid(1_001)], 70);
    assert_eq!(state(&rig, "t", 1), (1, vec![1], vec![]));
}

#[test]
fn another_replica_leads_unless_its_own_log_dir_is_offline() {
    let mut rig = rig();
    create(&mut rig, "t", &[1, 2], &[&[Uuid(1_000), Uuid(2_000)], &[Uuid(1_000), Uuid(2_001)]]);
    beat(&mut rig, 2, 2, &[Uuid(2_001)]);
    assert_eq!(state(&rig, "t", 1), (1, vec![1], vec![2]));
    beat(&mut rig, 1, 1, &[Uuid(1_000)]);
    assert_eq!(state(&rig, "t", 0), (2, vec![2], vec![1]));
    assert_eq!(state(&rig, "t", 1), (-1, vec![1], vec![1, 2]));
}
