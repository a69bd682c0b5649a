use super::{Asks, InSync, Partition, Signal, Together, log_config};
use crate::committer::{Commit, Committer, LAG_MS_MAX, ManualClock};
use crate::room::Room;
use base::{ErrorCode, LeaderEpoch, NodeId, Offset, Timestamp, TopicPartition};
use config::TopicConfig;
use record::{BatchBuilder, BatchOptions, NewRecord, ValidBatch};
use replication::Leader;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::task::{Context, Waker};
use storage::{Disk, DiskError, FaultyMemDisk, Log, LogOptions, OffsetCheckpoint, commit};

/// A partition of topic `t` that this node leads, on a disk in memory.
pub(crate) fn partition(disk: &FaultyMemDisk, committer: &Arc<Committer>, index: i32) -> Arc<Partition> {
    let topic = Arc::new(TopicConfig::resolve(&|_| None, &BTreeMap::new()).unwrap());
    let options = LogOptions {
        dir: Path::new("/d").join(format!("t-{index}")),
        config: log_config(&topic, 86_400_000).into(),
        recovery_point: Offset::ZERO,
        log_start: Offset::ZERO,
        compacted_to: Offset::ZERO,
        clean: false,
    };
    let log = Log::create(Arc::new(disk.clone()), options).unwrap();
    let leader = Leader::new(NodeId(1), true, Offset::ZERO);
    let (committer, room) = (Arc::clone(committer), Arc::new(Room::new(0)));
    let partition = Partition::new(TopicPartition::new("t", index), 0, log, leader, topic, committer, room);
    partition.elect(NodeId(1), LeaderEpoch(0), InSync { replicas: 1, isr: 1 });
    Arc::new(partition)
}

#[test]
fn r32_what_an_idempotent_producer_is_told_never_makes_it_begin_its_sequences_anew() {
    use super::append_refusal;
    use storage::{AppendError, ProducerRefusal};
    let damaged = || AppendError::Damaged(record::BatchError::InvalidLength(-1));
    let fenced = ProducerRefusal::Fenced {
        id: base::ProducerId(7),
        current: base::ProducerEpoch(2),
        got: base::ProducerEpoch(1),
    };
    let gap = ProducerRefusal::OutOfOrder { id: base::ProducerId(7), last: 5, got: 9 };
    for error in [damaged(), AppendError::Producer(fenced), AppendError::Producer(gap)] {
        assert_ne!(append_refusal(error).code, ErrorCode::UnknownServerError);
    }
    assert_eq!(append_refusal(damaged()).code, ErrorCode::KafkaStorageError);
}

fn batch() -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord { value: Some(b"v"), ..NewRecord::default() });
    builder.build()
}

/// Runs the committer until its queue is empty, failing all partitions of the dir with it, as a log dir's handle does.
pub(crate) fn settle(disk: &FaultyMemDisk, committer: &Committer, all: &[Arc<Partition>]) {
    committer.close();
    committer.run(&|tickets| commit(disk, Path::new("/d"), None, tickets).map(drop), &|error| {
        all.iter().for_each(|partition| partition.fail(error));
    });
}

#[test]
fn r21_a_failed_append_takes_every_partition_of_the_log_dir_offline() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let all = [partition(&disk, &committer, 0), partition(&disk, &committer, 1)];
    disk.fail_after(Some(0));
    let refused = all[0].append_internal(&batch(), Timestamp(0)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::KafkaStorageError);
    // The disk works again, but what it lost in between nobody knows.
    disk.fail_after(None);
    settle(&disk, &committer, &all);
    for partition in &all {
        let refused = partition.append_internal(&batch(), Timestamp(0)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::KafkaStorageError);
        assert_eq!(partition.high_watermark(), Offset::ZERO);
    }
}

#[test]
fn r25_what_a_failed_sync_was_to_make_durable_is_never_visible() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let all = [partition(&disk, &committer, 0), partition(&disk, &committer, 1)];
    assert_eq!(all[0].append_internal(&batch(), Timestamp(0)).unwrap(), Offset(1));
    disk.fail_after(Some(0));
    settle(&disk, &committer, &all);
    disk.fail_after(None);
    committer.enqueue(Arc::clone(&all[0]) as Arc<dyn Commit>);
    settle(&disk, &committer, &all);
    assert_eq!(all[0].high_watermark(), Offset::ZERO);
    assert_eq!(all[0].is_committed(Offset(1)).unwrap_err().code, ErrorCode::KafkaStorageError);
    assert_eq!(all[1].append_internal(&batch(), Timestamp(0)).unwrap_err().code, ErrorCode::KafkaStorageError);
}

#[test]
fn deleted_records_stay_until_the_new_start_is_written() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let all = [partition(&disk, &committer, 0)];
    all[0].append_internal(&batch(), Timestamp(0)).unwrap();
    assert_eq!(all[0].delete_records(Some(Offset(1))).unwrap_err().code, ErrorCode::OffsetOutOfRange);
    settle(&disk, &committer, &all);
    assert_eq!(all[0].delete_records(Some(Offset(1))).unwrap(), Offset(1));
    // A crash here would find the old start, so nobody is shown the new one.
    assert_eq!(all[0].log_start_offset(), Offset::ZERO);
    assert_eq!(all[0].checkpoints().2, Offset(1));
    all[0].log_start_kept(&OffsetCheckpoint(BTreeMap::from([(all[0].tp.clone(), Offset(1))])));
    assert_eq!(all[0].log_start_offset(), Offset(1));
}

/// Records of long ago are copied into a topic that keeps them: each look of the housekeeping would end a segment, were it to go by the clock.
#[test]
fn housekeeping_ends_no_segment_because_its_records_are_old() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let all = [partition(&disk, &committer, 0)];
    let kept = BTreeMap::from([("retention.ms".to_owned(), "-1".to_owned())]);
    let topic = Arc::new(TopicConfig::resolve(&|_| None, &kept).unwrap());
    all[0].reconfigure(Arc::clone(&topic), log_config(&topic, 86_400_000).into());
    all[0].append_internal(&batch(), Timestamp(0)).unwrap();
    settle(&disk, &committer, &all);
    assert_eq!(all[0].maintain(Timestamp(1 << 50)), None);
    assert_eq!(all[0].state.lock().log.segment_count(), 1);
}

#[test]
fn a_batch_that_no_segment_can_hold_is_refused() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let partition = partition(&disk, &committer, 0);
    let small = BTreeMap::from([("segment.bytes".to_owned(), (1 << 20).to_string())]);
    let topic = Arc::new(TopicConfig::resolve(&|_| None, &small).unwrap());
    partition.reconfigure(Arc::clone(&topic), log_config(&topic, 86_400_000).into());
    // Beside its value a record of that size takes 11 bytes, and its batch 61.
    for (size, outcome) in [((1 << 20) - 71, Err(ErrorCode::RecordListTooLarge)), ((1 << 20) - 72, Ok(Offset(1)))] {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(&NewRecord { value: Some(&vec![0; size]), ..NewRecord::default() });
        let appended = partition.append_internal(&builder.build(), Timestamp(0));
        assert_eq!(appended.map_err(|refusal| refusal.code), outcome, "{size}");
    }
}

/// One round of the committer, if there is one to do.
fn round(disk: &FaultyMemDisk, committer: &Committer) -> bool {
    let Some(mut round) = committer.begin() else { return false };
    round.sync(&|tickets| commit(disk, Path::new("/d"), None, tickets).map(drop));
    committer.finish(round, &|error| panic!("{error}"));
    true
}

#[test]
fn what_acks_1_wrote_is_committed_once_somebody_waits_for_it_or_the_bound_is_reached() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let clock = Arc::new(ManualClock::default());
    let committer = Arc::new(Committer::new(Arc::clone(&clock) as Arc<dyn base::Clock>));
    let partition = partition(&disk, &committer, 0);
    let append = |acks| {
        let bytes = batch();
        partition.append(&ValidBatch::internal(&bytes).unwrap(), acks, Asks::Append, Timestamp(0)).unwrap();
    };
    append(1);
    assert!(!round(&disk, &committer), "nobody waits");
    clock.advance(LAG_MS_MAX);
    assert!(round(&disk, &committer));
    assert_eq!(partition.high_watermark(), Offset(1));
    // A reader that waits before or after the append, and a producer that waits for all.
    append(0);
    partition.watch_visible(&Arc::default());
    assert!(round(&disk, &committer));
    partition.watch_visible(&Arc::default());
    append(1);
    assert!(round(&disk, &committer));
    append(1);
    let waits = partition.wait_committed(Offset(4), &Arc::default(), &mut Together::default());
    assert_eq!(waits, Ok(false));
    append(-1);
    assert!(round(&disk, &committer));
    assert_eq!(partition.high_watermark(), Offset(5));
    clock.advance(LAG_MS_MAX);
    // Its place among those that nobody waits for is a leftover, and costs no sync.
    let before = disk.operations();
    round(&disk, &committer);
    assert_eq!(disk.operations(), before);
}

#[test]
fn durability_of_a_topic_may_change_while_it_is_written() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let partition = partition(&disk, &committer, 0);
    let set = |durability: &str| {
        let own = BTreeMap::from([("durability".to_owned(), durability.to_owned())]);
        let topic = Arc::new(TopicConfig::resolve(&|_| None, &own).unwrap());
        partition.reconfigure(Arc::clone(&topic), log_config(&topic, 86_400_000).into());
    };
    partition.append_internal(&batch(), Timestamp(0)).unwrap();
    set("pagecache");
    assert_eq!(partition.high_watermark(), Offset(1), "what is written is visible");
    assert!(round(&disk, &committer));
    partition.append_internal(&batch(), Timestamp(0)).unwrap();
    assert_eq!(partition.high_watermark(), Offset(2));
    assert!(!round(&disk, &committer));
    set("fsync");
    assert_eq!(partition.high_watermark(), Offset(2), "what was shown stays shown");
    assert!(round(&disk, &committer), "and is synced at once");
    partition.append_internal(&batch(), Timestamp(0)).unwrap();
    assert_eq!(partition.high_watermark(), Offset(2));
    assert!(round(&disk, &committer));
    assert_eq!(partition.high_watermark(), Offset(3));
}

#[test]
fn min_insync_replicas_asks_for_no_more_replicas_than_there_are() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let partition = partition(&disk, &committer, 0);
    let own = BTreeMap::from([("min.insync.replicas".to_owned(), "3".to_owned())]);
    let topic = Arc::new(TopicConfig::resolve(&|_| None, &own).unwrap());
    partition.reconfigure(Arc::clone(&topic), log_config(&topic, 86_400_000).into());
    let bytes = batch();
    let batch = ValidBatch::internal(&bytes).unwrap();
    let append = |replicas, isr, acks| {
        partition.elect(NodeId(1), LeaderEpoch(0), InSync { replicas, isr });
        partition.append_produced(&batch, acks, Timestamp(0)).map(drop).map_err(|refusal| refusal.code)
    };
    assert_eq!(append(1, 1, -1), Ok(()));
    assert!(partition.append_internal(&bytes, Timestamp(0)).is_ok(), "as what groups write");
    assert_eq!(append(2, 2, -1), Ok(()));
    assert_eq!(append(5, 3, -1), Ok(()));
    let refused = Err(ErrorCode::NotEnoughReplicas);
    assert_eq!((append(2, 1, -1), append(5, 2, -1)), (refused, refused));
    assert_eq!(append(5, 2, 1), Ok(()), "who does not wait for all may write");
}

#[test]
fn a_request_to_many_partitions_is_committed_in_one_round_and_woken_once() {
    let disk = FaultyMemDisk::new(1);
    disk.create_dir(Path::new("/d")).unwrap();
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let all: Vec<_> = (0..5).map(|index| partition(&disk, &committer, index)).collect();
    let bytes = batch();
    let batch = ValidBatch::internal(&bytes).unwrap();
    for partition in &all {
        partition.append_produced(&batch, -1, Timestamp(0)).unwrap();
        assert!(!round(&disk, &committer), "who appends has not said that this is all");
    }
    let (signal, mut together) = (Arc::new(Signal::default()), Together::default());
    signal.expect(all.len());
    for partition in &all {
        assert_eq!(partition.wait_committed(Offset(1), &signal, &mut together), Ok(false));
    }
    assert!(!round(&disk, &committer));
    drop(together);
    let mut told = std::pin::pin!(signal.told());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(told.as_mut().poll(&mut cx).is_pending());
    let mut begun = committer.begin().expect("all are asked for");
    begun.sync(&|tickets| {
        assert_eq!(tickets.len(), all.len());
        Ok(())
    });
    committer.finish(begun, &|error| panic!("{error}"));
    assert!(told.as_mut().poll(&mut cx).is_ready());
    assert!(all.iter().all(|partition| partition.is_committed(Offset(1)) == Ok(true)));
}

#[test]
fn a_signal_wakes_when_the_last_has_told() {
    let (signal, mut cx) = (Signal::default(), Context::from_waker(Waker::noop()));
    let mut woken = || std::pin::pin!(signal.told()).poll(&mut cx).is_ready();
    signal.tell();
    assert!(woken(), "nobody else is awaited");
    signal.expect(3);
    signal.tell();
    signal.tell();
    assert!(!woken());
    signal.tell();
    assert!(woken() && !woken());
    signal.tell();
    assert!(woken(), "and whoever tells after that");
}

/// A partition with one committed record, whose topic is deleted and whose folder is put away; a handler holds it still.
fn deleted(disk: &FaultyMemDisk, committer: &Arc<Committer>) -> Arc<Partition> {
    disk.create_dir(Path::new("/d")).unwrap();
    let old = partition(disk, committer, 0);
    old.append_internal(&batch(), Timestamp(0)).unwrap();
    assert!(round(disk, committer));
    // At rest, or others' segments were wanted more.
    old.release_files();
    old.delete();
    disk.rename(Path::new("/d/t-0"), Path::new("/d/t-0.x-delete")).unwrap();
    old
}

#[test]
fn r30_a_produce_that_comes_late_to_a_deleted_topic_is_refused_and_its_log_dir_is_none_the_worse() {
    let disk = FaultyMemDisk::new(1);
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let old = deleted(&disk, &committer);
    let bytes = batch();
    let refused = old.append_produced(&ValidBatch::internal(&bytes).unwrap(), 1, Timestamp(0)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::UnknownTopicOrPartition);
    assert_eq!(old.append_internal(&bytes, Timestamp(0)).unwrap_err().code, ErrorCode::UnknownTopicOrPartition);
    assert!(committer.begin().is_none(), "nothing is to be committed, and nothing has failed");
}

#[test]
fn r30_a_produce_that_comes_late_does_not_write_into_the_new_topic_of_the_name() {
    let disk = FaultyMemDisk::new(1);
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let old = deleted(&disk, &committer);
    let new = partition(&disk, &committer, 0);
    for _ in 0..3 {
        new.append_internal(&batch(), Timestamp(0)).unwrap();
    }
    assert!(round(&disk, &committer));
    assert_eq!(new.high_watermark(), Offset(3));
    let bytes = batch();
    let refused = old.append_produced(&ValidBatch::internal(&bytes).unwrap(), 1, Timestamp(777)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::UnknownTopicOrPartition);
    let read = new.read_own(Offset(0), 1 << 20).unwrap();
    let batches = record::Batches::new(&read).map(|batch| batch.unwrap().header);
    let found: Vec<(i64, i64)> = batches.map(|header| (header.base_offset.0, header.max_timestamp.0)).collect();
    assert_eq!(found.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(found.iter().all(|(_, time)| *time != 777));
}

#[test]
fn r30_who_reads_a_deleted_topic_late_is_refused_and_sees_nothing_of_the_new_one() {
    let disk = FaultyMemDisk::new(1);
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let old = deleted(&disk, &committer);
    let new = partition(&disk, &committer, 0);
    new.append_internal(&batch(), Timestamp(0)).unwrap();
    let (epoch, isolation) = (LeaderEpoch::NONE, super::Isolation::LogEnd);
    let answers = [
        old.read_own(Offset(0), 1 << 20).err(),
        old.at_or_after(Timestamp(0), epoch, isolation).err(),
        old.at_max_timestamp(epoch, isolation).err(),
        old.latest(epoch, isolation).err(),
        old.earliest(epoch).err(),
        old.epoch_end(epoch, LeaderEpoch(0)).err(),
        old.delete_records(None).err(),
    ];
    assert_eq!(
        answers.map(|refusal| refusal.map(|refusal| refusal.code)),
        [Some(ErrorCode::UnknownTopicOrPartition); 7]
    );
}

#[test]
fn a_failed_log_dir_is_told_of_before_the_leader_that_its_partitions_lost() {
    let disk = FaultyMemDisk::new(1);
    let committer = Arc::new(Committer::new(Arc::new(ManualClock::default())));
    let partition = partition(&disk, &committer, 0);
    let error = DiskError { action: "sync", path: "/d".into(), source: Arc::new(std::io::Error::other("EIO")) };
    partition.fail(&error);
    partition.elect(NodeId::NONE, LeaderEpoch(2), InSync { replicas: 1, isr: 1 });
    let refused = partition.delete_records(None).unwrap_err();
    assert_eq!(refused.code, ErrorCode::KafkaStorageError);
}
