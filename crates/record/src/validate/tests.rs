use super::{DECOMPRESSED_BATCH_BYTES_MAX, ProducePolicy, Scratch, validate};
use crate::varint::put_i64;
use crate::{
    BatchBuilder, BatchHeader, BatchOptions, BatchView, Codec, Compression, NewRecord, TimestampType, compress, crc32c,
};
use base::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Timestamp};
use proptest::prelude::*;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

fn policy() -> ProducePolicy {
    ProducePolicy {
        batch_bytes_max: 1_048_588,
        decompressed_bytes_max: i32::MAX as usize,
        decompressed_total_max: DECOMPRESSED_BATCH_BYTES_MAX,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: 3_600_000,
        compacted: false,
        compression: None,
        now: NOW,
    }
}

fn batch(options: BatchOptions, count: i64) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for i in 0..count {
        let value = format!("value {i}");
        let key = (i != 1).then_some(&b"key"[..]);
        builder.append(&NewRecord { timestamp: NOW.plus_millis(i), key, value: Some(value.as_bytes()), headers: &[] });
    }
    builder.build()
}

fn options(codec: Codec) -> BatchOptions {
    BatchOptions { compression: Compression::of(codec), ..BatchOptions::default() }
}

/// The batch with `change` made to its header and a checksum that fits.
fn changed(bytes: &[u8], change: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
    let mut header = BatchHeader::parse(bytes).unwrap();
    change(&mut header);
    let mut bytes = bytes.to_vec();
    bytes[..61].copy_from_slice(&header.to_bytes());
    header.crc = crc32c(&bytes[21..]);
    bytes[..61].copy_from_slice(&header.to_bytes());
    bytes
}

fn refused(bytes: &[u8], policy: &ProducePolicy) -> ErrorCode {
    validate(bytes, policy, &mut Scratch::default()).unwrap_err().code
}

#[test]
fn a_sound_batch_keeps_its_bytes() {
    for &codec in Codec::ALL {
        let bytes = batch(options(codec), 3);
        let mut scratch = Scratch::default();
        let valid = validate(&bytes, &policy(), &mut scratch).unwrap();
        let mut stored = valid.stamp(Offset(7), LeaderEpoch(2)).to_vec();
        stored.extend_from_slice(valid.payload());
        let (view, _) = BatchView::parse(&stored).unwrap();
        view.verify_crc().unwrap();
        assert_eq!((view.header.base_offset, view.header.leader_epoch), (Offset(7), LeaderEpoch(2)));
        assert_eq!(stored[17..], bytes[17..], "{codec:?}: only offset and epoch differ");
    }
}

#[test]
fn s17_counts_and_deltas_that_lie_are_refused() {
    let good = batch(BatchOptions::default(), 3);
    let lies: [fn(&mut BatchHeader); 7] = [
        |h| h.last_offset_delta = 1,
        |h| h.last_offset_delta = 3,
        |h| h.record_count = 4,
        |h| (h.record_count, h.last_offset_delta) = (4, 3),
        |h| (h.record_count, h.last_offset_delta) = (2, 1),
        |h| (h.record_count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1),
        |h| (h.record_count, h.last_offset_delta) = (0, -1),
    ];
    for lie in lies {
        assert_eq!(refused(&changed(&good, lie), &policy()), ErrorCode::InvalidRecord);
    }
}

#[test]
fn a_wrong_max_timestamp_is_put_right() {
    let bytes = changed(&batch(BatchOptions::default(), 3), |h| h.max_timestamp = Timestamp(5));
    let mut scratch = Scratch::default();
    let valid = validate(&bytes, &policy(), &mut scratch).unwrap();
    assert_eq!(valid.header().max_timestamp, NOW.plus_millis(2));
    let mut stored = valid.stamp(Offset(0), LeaderEpoch(0)).to_vec();
    stored.extend_from_slice(valid.payload());
    BatchView::parse(&stored).unwrap().0.verify_crc().unwrap();
}

#[test]
fn s18_damage_is_a_corrupt_message() {
    let mut bytes = batch(BatchOptions::default(), 3);
    *bytes.last_mut().unwrap() ^= 0x40;
    assert_eq!(refused(&bytes, &policy()), ErrorCode::CorruptMessage);
}

#[test]
fn s19_control_and_loose_transactional_batches_are_refused() {
    let control = BatchOptions { control: true, ..BatchOptions::default() };
    assert_eq!(refused(&batch(control, 1), &policy()), ErrorCode::InvalidRecord);
    let transactional = BatchOptions { transactional: true, ..BatchOptions::default() };
    assert_eq!(refused(&batch(transactional, 1), &policy()), ErrorCode::InvalidRecord);
    let no_sequence =
        BatchOptions { producer_id: ProducerId(1), producer_epoch: ProducerEpoch(0), ..BatchOptions::default() };
    assert_eq!(refused(&batch(no_sequence, 1), &policy()), ErrorCode::InvalidRecord);
}

#[test]
fn s20_two_batches_are_refused() {
    let mut bytes = batch(BatchOptions::default(), 1);
    bytes.extend(batch(BatchOptions::default(), 1));
    assert_eq!(refused(&bytes, &policy()), ErrorCode::InvalidRecord);
}

#[test]
fn s21_timestamps_out_of_range_are_named() {
    let bytes = batch(BatchOptions::default(), 3);
    let early = ProducePolicy { now: NOW.plus_millis(-3_600_001), ..policy() };
    let rejection = validate(&bytes, &early, &mut Scratch::default()).unwrap_err();
    assert_eq!(rejection.code, ErrorCode::InvalidTimestamp);
    assert_eq!(rejection.record_errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1, 2]);
    let late = ProducePolicy { timestamp_before_ms_max: 10, now: NOW.plus_millis(12), ..policy() };
    let rejection = validate(&bytes, &late, &mut Scratch::default()).unwrap_err();
    assert_eq!(rejection.record_errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
    let claims = changed(&bytes, |h| h.attributes |= 8);
    assert_eq!(refused(&claims, &policy()), ErrorCode::InvalidTimestamp);
}

#[test]
fn s22_a_compacted_topic_needs_keys() {
    let compacted = ProducePolicy { compacted: true, ..policy() };
    let rejection = validate(&batch(BatchOptions::default(), 3), &compacted, &mut Scratch::default()).unwrap_err();
    assert_eq!(rejection.code, ErrorCode::InvalidRecord);
    assert_eq!(rejection.record_errors.len(), 1);
    assert_eq!(rejection.record_errors[0].0, 1);
}

/// A record's bytes, its length included, from its fields as numbers and a value; `end` follows the value.
fn raw_record(delta: i64, key: i64, value: &[u8], value_len: i64, end: &[u8]) -> Vec<u8> {
    let mut body = vec![0, 0];
    put_i64(&mut body, delta);
    put_i64(&mut body, key);
    put_i64(&mut body, value_len);
    body.extend_from_slice(value);
    body.extend_from_slice(end);
    let mut record = Vec::new();
    put_i64(&mut record, body.len() as i64);
    record.extend(body);
    record
}

/// A batch of `count` records that says it holds `payload`.
fn raw_batch(codec: Codec, count: i32, payload: &[u8]) -> Vec<u8> {
    let mut bytes = batch(options(codec), 1);
    bytes.truncate(61);
    compress(Compression::of(codec), payload, &mut bytes);
    let size = bytes.len();
    changed(&bytes, |h| (h.size, h.record_count, h.last_offset_delta) = (size, count, count - 1))
}

/// Every lie a record can tell, in records that fit the window of the walk and in one that does not.
#[test]
fn s17_s23_malformed_records_are_refused() {
    for size in [3, 40_000] {
        let value = vec![b'v'; size];
        let len = size as i64;
        let good = |delta| raw_record(delta, -1, &value, len, &[0]);
        let second = |record: Vec<u8>| [good(0), record].concat();
        let cases = [
            ("the same delta twice", second(good(0))),
            ("a gap", second(good(2))),
            ("a later start", [good(1), good(2)].concat()),
            ("backwards", [good(1), good(0)].concat()),
            ("a negative delta", second(good(-1))),
            ("bytes after the last record", [second(good(1)), vec![0]].concat()),
            ("a third record", [second(good(1)), good(2)].concat()),
            ("only one record", good(0)),
            ("a record that swallows the next", raw_record(0, -1, &value, len, &[&[0][..], &good(1)].concat())),
            ("bytes after the headers", second(raw_record(1, -1, &value, len, &[0, 0]))),
            ("a key of length -2", second(raw_record(1, -2, &value, len, &[0]))),
            ("a value of length -2", second(raw_record(1, -1, &value, -2, &[0]))),
            ("a value longer than the record", second(raw_record(1, -1, &value, len + 9, &[0]))),
            ("no count of headers", second(raw_record(1, -1, &value, len, &[]))),
            ("-1 headers", second(raw_record(1, -1, &value, len, &[1]))),
            ("2^31-1 headers", second(raw_record(1, -1, &value, len, &[0xfe, 0xff, 0xff, 0xff, 0x0f]))),
            ("a header too few", second(raw_record(1, -1, &value, len, &[4, 0, 0]))),
            ("a header without key", second(raw_record(1, -1, &value, len, &[2, 1, 0, 0]))),
            ("a header's value past the end", second(raw_record(1, -1, &value, len, &[2, 0, 8]))),
            ("a length past the end", second(good(1))[..2 * size].to_vec()),
        ];
        for &codec in Codec::ALL {
            assert!(validate(&raw_batch(codec, 2, &second(good(1))), &policy(), &mut Scratch::default()).is_ok());
            for (lie, payload) in &cases {
                let bytes = raw_batch(codec, 2, payload);
                let outcome = validate(&bytes, &policy(), &mut Scratch::default());
                let code = outcome.map(|_| ()).map_err(|rejection| rejection.code);
                assert_eq!(code, Err(ErrorCode::InvalidRecord), "{codec:?}, {size}: {lie}");
            }
        }
    }
}

/// One bad timestamp decides the code of the batch, and a record without a key has no second error (KIP-467).
#[test]
fn s22_keys_and_timestamps_at_once() {
    let both = ProducePolicy { compacted: true, timestamp_after_ms_max: 1, ..policy() };
    let rejection = validate(&batch(BatchOptions::default(), 3), &both, &mut Scratch::default()).unwrap_err();
    assert_eq!(rejection.code, ErrorCode::InvalidTimestamp);
    assert_eq!(rejection.record_errors.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    assert!(rejection.record_errors[0].1.contains("without a key"), "{rejection:?}");
}

#[test]
fn s21_no_timestamp_is_in_range_and_earlier_ones_do_not_count() {
    let strict = ProducePolicy { timestamp_before_ms_max: 0, timestamp_after_ms_max: 0, ..policy() };
    let none = |timestamp| {
        let mut builder = BatchBuilder::new(BatchOptions::default());
        builder.append(&NewRecord { timestamp: Timestamp(timestamp), ..NewRecord::default() });
        builder.build()
    };
    let (bytes, mut scratch) = (none(-1), Scratch::default());
    assert_eq!(validate(&bytes, &strict, &mut scratch).unwrap().header().max_timestamp, Timestamp::NONE);
    assert_eq!(refused(&none(-2), &strict), ErrorCode::InvalidTimestamp);
    assert_eq!(refused(&none(i64::MIN), &strict), ErrorCode::InvalidTimestamp);
    let bytes = none(-5);
    assert_eq!(validate(&bytes, &policy(), &mut scratch).unwrap().header().max_timestamp, Timestamp::NONE);
    let append_time = ProducePolicy { timestamp_type: TimestampType::LogAppendTime, ..strict };
    assert!(validate(&bytes, &append_time, &mut scratch).is_ok(), "LogAppendTime bounds nothing");
}

#[test]
fn refusals_have_kafkas_codes() {
    let good = batch(BatchOptions::default(), 3);
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        bytes
    };
    let cases = [
        (vec![], ErrorCode::InvalidRecord),
        (good[..40].to_vec(), ErrorCode::InvalidRecord),
        (good[..good.len() - 1].to_vec(), ErrorCode::InvalidRecord),
        (with(16, 0), ErrorCode::InvalidRecord),
        (with(16, 1), ErrorCode::InvalidRecord),
        (with(16, 3), ErrorCode::CorruptMessage),
        (with(11, 3), ErrorCode::CorruptMessage),
        (with(7, 1), ErrorCode::InvalidRecord),
        (changed(&good, |h| h.attributes = 5), ErrorCode::UnsupportedCompressionType),
        (changed(&good, |h| h.attributes = 7), ErrorCode::UnsupportedCompressionType),
        (changed(&good, |h| h.attributes = 1), ErrorCode::InvalidRecord),
        (changed(&good, |h| h.attributes = 0x40), ErrorCode::InvalidRecord),
    ];
    for (bytes, code) in cases {
        assert_eq!(refused(&bytes, &policy()), code, "{:?}", BatchHeader::parse(&bytes));
    }
}

/// The walk over a bomb keeps one small window, whatever comes out of it.
#[test]
fn s16_a_bomb_is_walked_in_constant_memory() {
    let value = vec![0_u8; 8 << 20];
    for &codec in &Codec::ALL[1..] {
        let mut builder = BatchBuilder::new(options(codec));
        for _ in 0..4 {
            builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(&value), headers: &[] });
        }
        let bytes = builder.build();
        let mut scratch = Scratch::default();
        let roomy = ProducePolicy { batch_bytes_max: 1 << 30, ..policy() };
        validate(&bytes, &roomy, &mut scratch).unwrap();
        assert!(scratch.retained() < 3 << 20, "{codec:?} keeps {}", scratch.retained());
        // Nor does a look-up by time, which a reader of whole records would not survive.
        let (view, _) = BatchView::parse(&bytes).unwrap();
        assert_eq!(view.offset_of_max_timestamp(&mut scratch, i32::MAX as usize), Ok(Some(Offset(0))));
        assert!(scratch.retained() < 3 << 20, "{codec:?} keeps {} after a look-up", scratch.retained());
        let unpacked = ProducePolicy { compression: Some(Compression::NONE), ..policy() };
        assert_eq!(refused(&bytes, &unpacked), ErrorCode::MessageTooLarge, "{codec:?}: too large once decompressed");
    }
}

#[test]
fn recompression_stops_at_the_limit() {
    let mut rng = base::SeededRng::new(7);
    let noise: Vec<u8> = (0..400_000).map(|_| rng.next_u64() as u8).collect();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(&noise), headers: &[] });
    let bytes = builder.build();
    for &codec in &Codec::ALL[1..] {
        let tight =
            ProducePolicy { batch_bytes_max: bytes.len(), compression: Some(Compression::of(codec)), ..policy() };
        assert_eq!(refused(&bytes, &tight), ErrorCode::MessageTooLarge, "{codec:?}: noise grows");
    }
}

#[test]
fn sizes_are_bounded() {
    let bytes = batch(BatchOptions::default(), 100);
    let small = ProducePolicy { batch_bytes_max: bytes.len() - 1, ..policy() };
    assert_eq!(refused(&bytes, &small), ErrorCode::MessageTooLarge);
}

/// Kafka's `max.decompressed.message.bytes` bounds each record of a compressed batch, not the batch.
#[test]
fn s16_a_record_that_decompresses_to_too_much_is_refused() {
    let value = vec![0_u8; 100_000];
    for &codec in &Codec::ALL[1..] {
        let mut builder = BatchBuilder::new(options(codec));
        for value in [&value[..10], &value, &value[..10]] {
            builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(value), headers: &[] });
        }
        let bytes = builder.build();
        let bounded = ProducePolicy { decompressed_bytes_max: 100_000, ..policy() };
        let rejection = validate(&bytes, &bounded, &mut Scratch::default()).unwrap_err();
        assert_eq!(rejection.code, ErrorCode::InvalidRecord, "{codec:?}");
        assert!(rejection.message.starts_with("record 1 of 1000"), "{}", rejection.message);
        let roomy = ProducePolicy { decompressed_bytes_max: 100_100, ..policy() };
        assert!(validate(&bytes, &roomy, &mut Scratch::default()).is_ok(), "{codec:?}");
    }
}

/// A request has one bound for all of its batches: what each took is told, also when it is refused.
#[test]
fn s16_a_batch_that_decompresses_to_more_than_is_left_is_refused() {
    for &codec in &Codec::ALL[1..] {
        let mut builder = BatchBuilder::new(options(codec));
        for _ in 0..3 {
            builder.append(&NewRecord { timestamp: NOW, key: None, value: Some(&[0; 100_000]), headers: &[] });
        }
        let bytes = builder.build();
        let mut scratch = Scratch::default();
        assert!(validate(&bytes, &policy(), &mut scratch).is_ok());
        let whole = scratch.take_decompressed();
        assert!((300_000..300_100).contains(&whole) && scratch.take_decompressed() == 0, "{codec:?}: {whole}");
        let enough = ProducePolicy { decompressed_total_max: whole, ..policy() };
        assert!(validate(&bytes, &enough, &mut scratch).is_ok(), "{codec:?}");
        scratch.take_decompressed();
        let less = ProducePolicy { decompressed_total_max: whole - 1, ..policy() };
        assert_eq!(validate(&bytes, &less, &mut scratch).unwrap_err().code, ErrorCode::MessageTooLarge, "{codec:?}");
        assert!(scratch.take_decompressed() > 200_000, "{codec:?}");
    }
}

#[test]
fn log_append_time_is_stamped_with_a_fitting_checksum() {
    let stamped = ProducePolicy { timestamp_type: TimestampType::LogAppendTime, ..policy() };
    let bytes = batch(BatchOptions::default(), 3);
    let mut scratch = Scratch::default();
    let valid = validate(&bytes, &stamped, &mut scratch).unwrap();
    let mut stored = valid.stamp(Offset(0), LeaderEpoch(0)).to_vec();
    stored.extend_from_slice(valid.payload());
    let (view, _) = BatchView::parse(&stored).unwrap();
    view.verify_crc().unwrap();
    assert_eq!((view.header.timestamp_type(), view.header.max_timestamp), (TimestampType::LogAppendTime, NOW));
}

#[test]
fn another_codec_is_recompressed() {
    for &from in Codec::ALL {
        for &to in Codec::ALL {
            let target = ProducePolicy { compression: Some(Compression::of(to)), ..policy() };
            let bytes = batch(BatchOptions { compression: Compression::of(from), ..BatchOptions::default() }, 50);
            let mut scratch = Scratch::default();
            let valid = validate(&bytes, &target, &mut scratch).unwrap();
            assert_eq!(valid.codec(), to);
            let mut stored = valid.stamp(Offset(0), LeaderEpoch(0)).to_vec();
            stored.extend_from_slice(valid.payload());
            let (view, _) = BatchView::parse(&stored).unwrap();
            view.verify_crc().unwrap();
            let mut scratch = Vec::new();
            let values: Vec<_> =
                view.records(&mut scratch, 1 << 20).unwrap().map(|r| r.unwrap().value.unwrap().to_vec()).collect();
            assert_eq!(values.len(), 50);
            assert_eq!(values[49], b"value 49");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// A flipped bit outside of the leader epoch is found; nothing panics.
    #[test]
    fn any_flipped_bit_is_found(codec in 0_usize..5, at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let mut bytes = batch(BatchOptions { compression: Compression::of(Codec::ALL[codec]), ..BatchOptions::default() }, 5);
        let at = at.index(bytes.len());
        bytes[at] ^= 1 << bit;
        let accepted = validate(&bytes, &policy(), &mut Scratch::default()).is_ok();
        prop_assert_eq!(accepted, (12..16).contains(&at));
    }

    /// Hostile records behind a fitting checksum are refused or sound, never a panic.
    #[test]
    fn s23_hostile_payloads_do_not_panic(payload in proptest::collection::vec(any::<u8>(), 0..300), codec in 0_i16..8, count in any::<i32>()) {
        let mut bytes = batch(BatchOptions::default(), 1);
        bytes.truncate(61);
        bytes.extend_from_slice(&payload);
        let size = bytes.len();
        let hostile = changed(&bytes, |h| {
            h.size = size;
            h.attributes = codec;
            h.record_count = count;
            h.last_offset_delta = count.wrapping_sub(1);
        });
        let _ = validate(&hostile, &policy(), &mut Scratch::default());
        let (view, _) = BatchView::parse(&hostile).unwrap();
        if let Ok(records) = view.records(&mut Vec::new(), 1 << 20) {
            prop_assert!(records.count() <= payload.len() + (1 << 20));
        }
    }
}
