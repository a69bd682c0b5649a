use super::{ProducerRefusal, ProducerStates};
use base::{Offset, ProducerEpoch, ProducerId, Timestamp};
use record::{BatchBuilder, BatchHeader, BatchOptions, NewRecord};

fn header(epoch: i16, sequence: i32, count: i32, offset: i64) -> BatchHeader {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: Offset(offset),
        producer_id: ProducerId(7),
        producer_epoch: ProducerEpoch(epoch),
        base_sequence: sequence,
        ..BatchOptions::default()
    });
    for _ in 0..count {
        builder.append(&NewRecord { timestamp: Timestamp(1_000), ..NewRecord::default() });
    }
    BatchHeader::parse(&builder.build()).unwrap()
}

#[test]
fn r31_the_last_five_batches_are_answered_again() {
    let mut states = ProducerStates::default();
    for i in 0..7 {
        let batch = header(0, i * 10, 10, i64::from(i) * 10);
        assert_eq!(states.check(&batch), Ok(None));
        states.apply(&batch, None);
    }
    for i in 2..7 {
        let again = states.check(&header(0, i * 10, 10, 999)).unwrap().unwrap();
        assert_eq!(again.first_offset, Offset(i64::from(i) * 10));
    }
    assert!(matches!(
        states.check(&header(0, 10, 10, 999)),
        Err(ProducerRefusal::OutOfOrder { last: 69, got: 10, .. })
    ));
    assert!(matches!(states.check(&header(0, 80, 10, 999)), Err(ProducerRefusal::OutOfOrder { .. })));
}

#[test]
fn epochs_fence_and_begin_at_zero() {
    let mut states = ProducerStates::default();
    states.apply(&header(3, 5, 1, 0), None);
    assert!(matches!(states.check(&header(2, 6, 1, 1)), Err(ProducerRefusal::Fenced { .. })));
    assert!(matches!(states.check(&header(4, 6, 1, 1)), Err(ProducerRefusal::OutOfOrder { .. })));
    assert_eq!(states.check(&header(4, 0, 1, 1)), Ok(None));
}

#[test]
fn sequences_wrap_to_zero() {
    let mut states = ProducerStates::default();
    states.apply(&header(0, i32::MAX, 1, 0), None);
    assert_eq!(states.check(&header(0, 0, 1, 1)), Ok(None));
    let mut states = ProducerStates::default();
    let wrapping = header(0, i32::MAX - 1, 4, 0);
    assert_eq!(wrapping.last_sequence(), 1);
    states.apply(&wrapping, None);
    assert_eq!(states.check(&header(0, 2, 1, 4)), Ok(None));
    let loaded = ProducerStates::from_snapshot(&states.to_snapshot()).unwrap();
    assert_eq!(loaded.check(&wrapping).unwrap().unwrap().first_offset, Offset(0));
}

#[test]
fn r23_snapshots_round_trip_and_damage_is_found() {
    let mut states = ProducerStates::default();
    states.apply(&header(0, 0, 3, 10), None);
    let bytes = states.to_snapshot();
    assert_eq!(ProducerStates::from_snapshot(&bytes), Some(states));
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        assert_eq!(ProducerStates::from_snapshot(&bad), None, "byte {at}");
        assert_eq!(ProducerStates::from_snapshot(&bytes[..at]), None, "cut at {at}");
    }
}

#[test]
fn open_transactions_hold_the_stable_offset_back() {
    let mut states = ProducerStates::default();
    let mut first = header(0, 0, 2, 5);
    first.attributes |= 0x10;
    states.apply(&first, None);
    assert_eq!(states.first_unstable(Offset(7)), Some(Offset(5)));
    let mut marker = header(0, -1, 1, 7);
    marker.attributes |= 0x30;
    assert_eq!(states.apply(&marker, Some((3, true))), Some(Offset(5)));
    assert_eq!(states.first_unstable(Offset(7)), Some(Offset(5)), "the marker is not yet below the high watermark");
    states.on_high_watermark(Offset(8));
    assert_eq!(states.first_unstable(Offset(8)), None);
}

#[test]
fn idle_producers_are_forgotten() {
    let mut states = ProducerStates::default();
    states.apply(&header(0, 0, 1, 0), None);
    states.expire(Timestamp(1_500), 1_000);
    assert!(!states.is_empty());
    states.expire(Timestamp(2_000), 1_000);
    assert!(states.is_empty());
}
