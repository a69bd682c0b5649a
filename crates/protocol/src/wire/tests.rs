use super::{
    ARRAY_ELEMENTS_MAX, DecodeError, LengthSink, Reader, Records, Sink, TAGGED_FIELDS_MAX, UnknownTags, Writer,
};
use crate::messages::fetch_response::{FetchResponse, FetchableTopicResponse, PartitionData};
use crate::messages::metadata_request::MetadataRequest;
use crate::messages::partition_change_record::PartitionChangeRecord;
use crate::testing::CODECS;
use crate::wire::{Decode, Encode};
use base::{SeededRng, Uuid};

/// A buffer of one request: `head`, then `tail` bytes of `fill`.
fn filled(head: &[u8], fill: u8, tail: usize) -> Vec<u8> {
    let mut bytes = head.to_vec();
    bytes.resize(head.len() + tail, fill);
    bytes
}

#[test]
fn s04_lengths_beyond_the_frame_are_refused_before_anything_is_allocated() {
    let huge = i32::MAX.to_be_bytes();
    assert_eq!(Reader::new(&huge).array(false, |r| r.i8()), Err(DecodeError::TooManyElements(i32::MAX as usize)));
    assert!(matches!(Reader::new(&huge).bytes(false), Err(DecodeError::Truncated { .. })));
    assert!(matches!(Reader::new(&[0x7f, 0xff]).string(false), Err(DecodeError::Truncated { .. })));
    let million = (ARRAY_ELEMENTS_MAX as i32).to_be_bytes();
    assert_eq!(Reader::new(&million).array(false, |r| r.i64()), Err(DecodeError::OverBudget));
}

#[test]
fn s07_a_large_frame_may_take_four_times_itself_and_not_sixteen() {
    let element = |r: &mut Reader<'_>| r.i8().map(|_| [0_u8; 24]);
    let frame = |count: usize, further: usize| filled(&(count as i32).to_be_bytes(), 0, count + further);
    // 24 bytes for each byte are too many, unless enough others come along.
    assert_eq!(Reader::new(&frame(900_000, 0)).array(false, element), Err(DecodeError::OverBudget));
    assert!(Reader::new(&frame(900_000, 2 << 20)).array(false, element).is_ok());
    assert_eq!(Reader::new(&frame(1_000_000, 1 << 20)).array(false, element), Err(DecodeError::OverBudget));
    assert!(Reader::new(&frame(1_000_000, 2 << 20)).array(false, element).is_ok());
}

#[test]
fn s04_an_array_of_more_elements_than_bytes_is_refused_at_once() {
    let mut read = 0;
    let result = Reader::new(&[0, 0, 0, 5, 1, 2, 3, 4]).array(false, |r| {
        read += 1;
        r.i8()
    });
    assert_eq!((result, read), (Err(DecodeError::Truncated { needed: 5, left: 4 }), 0));
}

#[test]
fn s04_a_compact_string_is_no_longer_than_a_plain_one_may_be() {
    let text = |len: usize| {
        let mut writer = Writer::default();
        writer.uvarint(len as u32 + 1);
        filled(&writer.buf, b'x', len)
    };
    assert_eq!(Reader::new(&text(0x7fff)).string(true).map(|text| text.len()), Ok(0x7fff));
    assert_eq!(Reader::new(&text(0x8000)).string(true), Err(DecodeError::InvalidLength(0x8000)));
}

#[test]
fn s04_null_where_there_may_be_none_and_other_negative_lengths_are_refused() {
    assert_eq!(Reader::new(&[0xff, 0xff]).string(false), Err(DecodeError::InvalidLength(-1)));
    assert_eq!(Reader::new(&[0xff, 0xfe]).nullable_string(false), Err(DecodeError::InvalidLength(-2)));
    assert_eq!(Reader::new(&[0xff; 4]).array(false, |r| r.i8()), Err(DecodeError::InvalidLength(-1)));
    assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xfe]).nullable_bytes(false), Err(DecodeError::InvalidLength(-2)));
    assert_eq!(Reader::new(&[0]).string(true), Err(DecodeError::InvalidLength(-1)));
    assert_eq!(Reader::new(&[0]).nullable_string(true), Ok(None));
}

#[test]
fn s05_varints_that_are_too_long_are_refused() {
    assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x0f]).uvarint(), Ok(u32::MAX));
    assert_eq!(Reader::new(&[0xff, 0xff, 0xff, 0xff, 0x1f]).uvarint(), Err(DecodeError::InvalidVarint));
    assert_eq!(Reader::new(&[0x80; 10]).uvarint(), Err(DecodeError::InvalidVarint));
    assert!(matches!(Reader::new(&[0x80]).uvarint(), Err(DecodeError::Truncated { .. })));
}

fn tags(bytes: &[u8]) -> Result<UnknownTags, DecodeError> {
    let mut unknown = UnknownTags::default();
    Reader::new(bytes).tagged(&mut unknown, |_, _| Ok(false))?;
    Ok(unknown)
}

#[test]
fn s06_tagged_fields_are_bounded_and_in_order() {
    assert_eq!(tags(&[2, 1, 1, 7, 3, 0]).unwrap().iter().collect::<Vec<_>>(), [(1, &[7_u8][..]), (3, &[])]);
    assert_eq!(tags(&[2, 3, 0, 3, 0]), Err(DecodeError::UnorderedTag(3)));
    assert_eq!(tags(&[2, 3, 0, 1, 0]), Err(DecodeError::UnorderedTag(1)));
    let mut flood = Writer::default();
    flood.uvarint(TAGGED_FIELDS_MAX + 1);
    assert_eq!(tags(&flood.buf), Err(DecodeError::TooManyTags(TAGGED_FIELDS_MAX + 1)));
    assert!(matches!(tags(&[1, 0, 5, 1]), Err(DecodeError::Truncated { .. })));
    let mut reader = Reader::new(&[1, 0, 2, 9, 9]);
    let longer_than_its_value = reader.tagged(&mut UnknownTags::default(), |r, _| r.i8().map(|_| true));
    assert_eq!(longer_than_its_value, Err(DecodeError::TrailingBytes(1)));
}

#[test]
fn s07_s08_an_array_of_tiny_elements_meets_the_budget() {
    // A million empty topic names of one byte each: 48 MB out of 1 MB.
    let bytes = filled(&[0xc0, 0x84, 0x3d], 1, 1 << 20);
    assert_eq!(MetadataRequest::decode(&mut Reader::new(&bytes), 9), Err(DecodeError::OverBudget));
}

#[test]
fn s05_an_eight_byte_request_cannot_end_the_process() {
    let bytes = [0xff, 0xff, 0xff, 0xff, 0x07, 0, 0, 0];
    assert!(MetadataRequest::decode(&mut Reader::new(&bytes), 9).is_err());
}

#[test]
fn spliced_records_count_into_the_length_and_leave_a_mark() {
    let partition = PartitionData { records: Records::Spliced(1_000), ..PartitionData::default() };
    let topic = FetchableTopicResponse { partitions: vec![partition], ..FetchableTopicResponse::default() };
    let response = FetchResponse { responses: vec![topic], ..FetchResponse::default() };
    for version in [4, 11, 12, 18] {
        let mut writer = Writer::default();
        response.encode(&mut writer, version).unwrap();
        assert_eq!(writer.splices.len(), 1);
        assert_eq!(writer.splices[0].len, 1_000);
        assert_eq!(writer.wire_len(), response.encoded_len(version).unwrap());
        assert_eq!(writer.wire_len(), writer.buf.len() + 1_000);
    }
}

#[test]
fn lengths_are_counted_as_they_are_written() {
    for value in [0, 1, 127, 128, 16_383, 16_384, u32::MAX] {
        let (mut counted, mut written) = (LengthSink::default(), Writer::default());
        counted.uvarint(value);
        written.uvarint(value);
        assert_eq!(counted.len(), written.buf.len());
        assert_eq!(Reader::new(&written.buf).uvarint(), Ok(value));
    }
}

/// PartitionChangeRecord has tag 8 since version 1 and tags 6 and 7 since version 2 (found by fuzzing).
#[test]
fn kept_tags_stand_where_their_numbers_say() {
    for (version, kept) in [(1, 6), (1, 7), (1, 9), (1, 100), (0, 6), (0, 8), (0, 9)] {
        let record = PartitionChangeRecord {
            leader: 3,
            directories: (version == 1).then(|| vec![Uuid::ZERO]),
            unknown_tags: UnknownTags::with(kept, vec![1, 2]),
            ..PartitionChangeRecord::default()
        };
        let mut writer = Writer::default();
        record.encode(&mut writer, version).expect("every field is of the version");
        let bytes = writer.buf;
        let again = PartitionChangeRecord::decode(&mut Reader::new(&bytes), version);
        assert_eq!(again, Ok(record), "tag {kept} in version {version}");
    }
}

/// Every message and version: what random bytes decode to can be encoded, and decodes to the same again. Nothing panics.
#[test]
fn every_message_in_every_version_takes_any_bytes() {
    let mut rng = SeededRng::new(4);
    let mut decoded = 0;
    for codec in CODECS {
        for version in codec.min_version..=codec.max_version {
            for round in 0..40_u64 {
                let len = rng.below(400) as usize;
                // Small numbers make short lengths, so that the decoder gets past the first array.
                let spread = [1, 2, 3, 5, 256][(round % 5) as usize];
                let mut bytes: Vec<u8> = (0..len).map(|_| rng.below(spread) as u8).collect();
                bytes.resize(len + 3_000, if round % 2 == 0 { 0 } else { 1 });
                let Ok(first) = (codec.round_trip)(&bytes, version) else { continue };
                let second = (codec.round_trip)(&first, version);
                assert_eq!(second.as_ref(), Ok(&first), "{} v{version}", codec.name);
                decoded += 1;
            }
        }
        for version in [codec.min_version - 1, codec.max_version + 1] {
            assert_eq!(
                (codec.round_trip)(&[0; 64], version),
                Err(DecodeError::UnsupportedVersion(version)),
                "{}",
                codec.name
            );
        }
    }
    assert!(decoded > 5_000, "only {decoded} messages decoded: the bytes are too random to prove anything");
}

#[test]
fn a_response_has_an_error_wherever_in_it_one_is() {
    use crate::messages::describe_configs_response::{DescribeConfigsResponse, DescribeConfigsResult};
    use crate::wire::Response;
    let partition = |error_code| PartitionData { error_code, ..PartitionData::default() };
    let answer = |own, of_partition| FetchResponse {
        error_code: own,
        responses: vec![FetchableTopicResponse {
            partitions: vec![partition(0), partition(of_partition)],
            ..FetchableTopicResponse::default()
        }],
        ..FetchResponse::default()
    };
    assert!(!answer(0, 0).has_error());
    assert!(answer(70, 0).has_error() && answer(0, 3).has_error());
    let of_result = |error_code| DescribeConfigsResponse {
        results: vec![DescribeConfigsResult { error_code, ..DescribeConfigsResult::default() }],
        ..DescribeConfigsResponse::default()
    };
    assert!(of_result(40).has_error() && !of_result(0).has_error());
}
