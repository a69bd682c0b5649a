//! What is accepted can be read by everyone, and what cannot be read is refused.

use crate::{
    BATCH_OVERHEAD, BatchBuilder, BatchError, BatchHeader, BatchOptions, BatchView, Batches, Codec, Compression,
    DECOMPRESSED_BATCH_BYTES_MAX, Header, NewRecord, ProducePolicy, RecordView, Scratch, TimestampType, compress,
    crc32c, decompress, validate,
};
use base::{LeaderEpoch, Offset, Timestamp};
use proptest::prelude::*;
use std::ops::ControlFlow;

#[derive(Clone, Debug, PartialEq)]
struct Owned {
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    fn of(record: &RecordView<'_>) -> Owned {
        Owned {
            timestamp: record.timestamp.0,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: record.headers().map(|(key, value)| (key.into_owned(), value.map(<[u8]>::to_vec))).collect(),
        }
    }
}

fn bytes() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        1 => Just(None),
        3 => proptest::collection::vec(any::<u8>(), 0..40).prop_map(Some),
        1 => (any::<u8>(), 0_usize..70_000).prop_map(|(byte, len)| Some(vec![byte; len])),
    ]
}

fn record() -> impl Strategy<Value = Owned> {
    let headers =
        proptest::collection::vec((".{0,6}", proptest::option::of(proptest::collection::vec(any::<u8>(), 0..9))), 0..3);
    (-1_i64..i64::from(i32::MAX), bytes(), bytes(), headers).prop_map(|(timestamp, key, value, headers)| Owned {
        timestamp,
        key,
        value,
        headers,
    })
}

fn compression() -> impl Strategy<Value = Compression> {
    (0..Codec::ALL.len(), proptest::option::of(-3_i32..13))
        .prop_map(|(codec, level)| Compression { codec: Codec::ALL[codec], level })
}

fn build(compression: Compression, records: &[Owned]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(BatchOptions { compression, ..BatchOptions::default() });
    for record in records {
        let headers: Vec<_> =
            record.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        builder.append(&NewRecord {
            timestamp: Timestamp(record.timestamp),
            key: record.key.as_deref(),
            value: record.value.as_deref(),
            headers: &headers,
        });
    }
    builder.build()
}

fn policy(compression: Option<Compression>) -> ProducePolicy {
    ProducePolicy {
        batch_bytes_max: 8 << 20,
        decompressed_bytes_max: 8 << 20,
        decompressed_total_max: DECOMPRESSED_BATCH_BYTES_MAX,
        timestamp_type: TimestampType::CreateTime,
        timestamp_before_ms_max: i64::MAX,
        timestamp_after_ms_max: i64::MAX,
        compacted: false,
        compression,
        now: Timestamp(0),
    }
}

/// The records, or the first error, as a reader gets them.
fn read_whole(bytes: &[u8], scratch: &mut Scratch) -> Result<Vec<Owned>, BatchError> {
    let (batch, _) = BatchView::parse(bytes)?;
    batch.records_in(scratch, 64 << 20)?.map(|record| record.map(|record| Owned::of(&record))).collect()
}

fn read_one_by_one(bytes: &[u8], scratch: &mut Scratch) -> Result<Vec<Owned>, BatchError> {
    let mut records = Vec::new();
    BatchView::parse(bytes)?.0.for_each_record(scratch, 8 << 20, |record| {
        records.push(Owned::of(record));
        ControlFlow::Continue(())
    })?;
    Ok(records)
}

/// `bytes` with a length and checksum that fit, so that only the records can be at fault.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut header = BatchHeader::parse(&bytes).unwrap();
    header.size = bytes.len();
    bytes[..BATCH_OVERHEAD].copy_from_slice(&header.to_bytes());
    header.crc = crc32c(&bytes[21..]);
    bytes[..BATCH_OVERHEAD].copy_from_slice(&header.to_bytes());
    bytes
}

/// What validation accepts, every reader reads, and as many records as it says.
fn accepted_is_readable(bytes: &[u8], scratch: &mut Scratch) -> Result<bool, TestCaseError> {
    let Ok(valid) = validate(bytes, &policy(None), scratch) else {
        return Ok(false);
    };
    let count = usize::try_from(valid.record_count()).unwrap();
    let max_timestamp = valid.header().max_timestamp.0;
    let records = read_whole(bytes, scratch);
    prop_assert_eq!(records.as_ref().map(Vec::len), Ok(count));
    prop_assert_eq!(&read_one_by_one(bytes, scratch), &records);
    let newest = records.iter().flatten().map(|record| record.timestamp).max();
    prop_assert_eq!(newest.map(|newest| newest.max(-1)), Some(max_timestamp));
    Ok(true)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn what_is_built_is_read_validated_and_recompressed(
        records in proptest::collection::vec(record(), 1..12),
        from in compression(),
        to in compression(),
    ) {
        let mut scratch = Scratch::default();
        let bytes = build(from, &records);
        prop_assert_eq!(read_whole(&bytes, &mut scratch), Ok(records.clone()));
        prop_assert_eq!(read_one_by_one(&bytes, &mut scratch), Ok(records.clone()));
        let policy = policy(Some(to));
        let valid = validate(&bytes, &policy, &mut scratch).unwrap();
        let mut stored = valid.stamp(Offset(3), LeaderEpoch(4)).to_vec();
        stored.extend_from_slice(valid.payload());
        let (view, rest) = BatchView::parse(&stored).unwrap();
        prop_assert!(rest.is_empty() && view.verify_crc().is_ok());
        prop_assert_eq!(view.header.codec(), Some(to.codec));
        prop_assert_eq!(read_whole(&stored, &mut scratch), Ok(records));
    }

    #[test]
    fn a_cut_batch_is_refused(records in proptest::collection::vec(record(), 1..4), compression in compression(), at in any::<prop::sample::Index>()) {
        let bytes = build(compression, &records);
        let cut = &bytes[..at.index(bytes.len())];
        prop_assert!(validate(cut, &policy(None), &mut Scratch::default()).is_err());
        prop_assert!(BatchView::parse(cut).is_err());
        // Records cut off behind a header and a checksum that fit.
        if cut.len() >= BATCH_OVERHEAD {
            prop_assert!(validate(&sealed(cut.to_vec()), &policy(None), &mut Scratch::default()).is_err());
        }
    }

    #[test]
    fn s17_changed_records_behind_a_fitting_checksum_are_refused_or_readable(
        records in proptest::collection::vec(record(), 1..6),
        compression in compression(),
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        inside in any::<bool>(),
    ) {
        let mut scratch = Scratch::default();
        let mut bytes = build(compression, &records);
        if inside {
            // The records are changed, then compressed: the codec is sound, what is in it is not.
            let mut plain = Vec::new();
            decompress(compression.codec, &bytes[BATCH_OVERHEAD..], 8 << 20, &mut plain).unwrap();
            for (at, byte) in &changes {
                let at = at.index(plain.len());
                plain[at] = *byte;
            }
            bytes.truncate(BATCH_OVERHEAD);
            compress(compression, &plain, &mut bytes);
        } else {
            for (at, byte) in &changes {
                let at = BATCH_OVERHEAD + at.index(bytes.len() - BATCH_OVERHEAD);
                bytes[at] = *byte;
            }
        }
        accepted_is_readable(&sealed(bytes), &mut scratch)?;
        // The contexts are as good as new after any batch.
        prop_assert!(accepted_is_readable(&build(compression, &records), &mut scratch)?);
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = validate(&bytes, &policy(None), &mut Scratch::default());
        prop_assert!(Batches::new(&bytes).count() <= bytes.len() / BATCH_OVERHEAD + 1);
        let _ = crate::control::LeaderChange::decode(&bytes);
        let _ = crate::control::Voters::decode(&bytes);
    }
}

/// A header key that is not UTF-8 is no broker's to refuse: a consumer gets it as Java does.
#[test]
fn a_header_key_of_other_bytes_does_not_poison_the_partition() {
    let record = Owned { timestamp: 1, key: None, value: None, headers: vec![("ab".into(), None)] };
    let mut bytes = build(Compression::NONE, &[record]);
    let at = bytes.len() - 3;
    assert_eq!(&bytes[at..at + 2], b"ab");
    bytes[at] = 0xff;
    let bytes = sealed(bytes);
    let mut scratch = Scratch::default();
    assert!(validate(&bytes, &policy(None), &mut scratch).is_ok());
    assert_eq!(read_whole(&bytes, &mut scratch).unwrap()[0].headers[0].0, "\u{fffd}b");
}

/// A length in more bytes than Kafka reads would be read here and break a Java consumer.
#[test]
fn s17_an_overlong_length_is_refused() {
    let record = Owned { timestamp: 1, key: None, value: Some(b"v".to_vec()), headers: vec![] };
    for &codec in Codec::ALL {
        let mut bytes = build(Compression::of(codec), std::slice::from_ref(&record));
        let mut plain = Vec::new();
        decompress(codec, &bytes[BATCH_OVERHEAD..], 1 << 20, &mut plain).unwrap();
        plain.splice(..1, [plain[0] | 0x80, 0x80, 0x80, 0x80, 0x80, 0]);
        bytes.truncate(BATCH_OVERHEAD);
        compress(Compression::of(codec), &plain, &mut bytes);
        assert!(validate(&sealed(bytes), &policy(None), &mut Scratch::default()).is_err(), "{codec:?}");
    }
}
