//! Records as bytes. What Kafka's own tools make of them is proved with a real log in tests/conformance.

use super::{Record, RecordError};
use protocol::messages as m;
use std::borrow::Cow;

#[test]
fn every_kind_comes_back_as_it_was() {
    let offset_key = m::offset_commit_key::OffsetCommitKey { group: "g".into(), topic: "t".into(), partition: 3 };
    let offset = m::offset_commit_value::OffsetCommitValue { offset: 42, metadata: "m".into(), ..Default::default() };
    let expiring = m::offset_commit_value::OffsetCommitValue { expire_timestamp: 77, ..offset.clone() };
    let group_key = m::consumer_group_metadata_key::ConsumerGroupMetadataKey { group_id: "g".into() };
    let epoch = m::consumer_group_metadata_value::ConsumerGroupMetadataValue { epoch: 5, ..Default::default() };
    let records = [
        Record::Offset(offset_key.clone(), Some(offset)),
        Record::Offset(offset_key.clone(), Some(expiring)),
        Record::Offset(offset_key, None),
        Record::Classic(m::group_metadata_key::GroupMetadataKey { group: "g".into() }, Some(Default::default())),
        Record::Consumer(group_key.clone(), Some(epoch)),
        Record::Consumer(group_key, None),
    ];
    for record in records {
        let (key, value) = record.encode();
        assert_eq!(record.encoded_len(), key.len() + value.as_ref().map_or(0, Vec::len));
        assert_eq!(Record::decode(&key, value.as_deref()), Ok(record));
    }
}

#[test]
fn the_first_bytes_are_kind_and_version() {
    let key =
        m::offset_commit_key::OffsetCommitKey { group: Cow::Borrowed("g"), topic: Cow::Borrowed("t"), partition: 3 };
    let plain = Record::Offset(key.clone(), Some(Default::default()));
    assert_eq!(plain.encode().0, [0, 1, 0, 1, b'g', 0, 1, b't', 0, 0, 0, 3]);
    let (_, value) = plain.encode();
    assert_eq!(value.expect("no tombstone")[..2], [0, 4]);
}

#[test]
fn other_coordinators_records_are_told_apart_from_damage() {
    assert_eq!(Record::decode(&[0, 11, 0, 1, b'g'], None), Err(RecordError::OtherKind(11)));
    assert_eq!(Record::decode(&[0], None), Err(RecordError::NoKind));
    assert!(matches!(
        Record::decode(&[0, 2, 0, 9], None),
        Err(RecordError::Corrupt { message: "GroupMetadataKey", .. })
    ));
    let future = Record::decode(&[0, 2, 0, 1, b'g'], Some(&[0, 99]));
    assert!(matches!(future, Err(RecordError::Corrupt { .. })), "{future:?}");
}
