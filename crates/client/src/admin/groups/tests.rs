use super::{Admin, GroupLag, NextRecord, Place, committed};
use crate::testing::{State, TOPIC, with_broker};
use base::{ErrorCode, Timestamp};
use protocol::messages::offset_fetch_response::{
    OffsetFetchResponse, OffsetFetchResponseGroup, OffsetFetchResponsePartition, OffsetFetchResponsePartitions,
    OffsetFetchResponseTopic, OffsetFetchResponseTopics,
};
use record::{BatchBuilder, BatchOptions, NewRecord};
use std::collections::BTreeMap;

/// Batches of two records; the record at offset n has the timestamp 1000 n.
fn fill(state: &mut State) {
    for partition in &mut state.partitions {
        for first in [0, 2, 4] {
            let mut builder = BatchBuilder::new(BatchOptions::default());
            for offset in [first, first + 1] {
                let timestamp = Timestamp(offset * 1000);
                builder.append(&NewRecord { timestamp, value: Some(b"v"), ..NewRecord::default() });
            }
            partition.push(&builder.build());
        }
    }
    state.partitions[1].start = 2;
    state.partitions[5].is_leaderless = true;
}

#[tokio::test]
async fn lag_by_the_clock_is_that_of_the_next_record() {
    with_broker(6, fill, async |client, _| {
        let at = |partition: i32, offset: Option<i64>| ((TOPIC.to_owned(), partition), offset);
        let committed: BTreeMap<Place, Option<i64>> = [
            at(0, Some(3)),
            at(1, Some(1)),
            at(2, Some(6)),
            at(3, None),
            at(4, Some(9)),
            at(5, Some(2)),
            at(7, Some(1)),
        ]
        .into();
        let lags = Admin::new(client).group_lag(&committed).await.expect("is told");
        let of = |place: (&str, i32)| lags[&(place.0.to_owned(), place.1)];
        let third = of((TOPIC, 0));
        assert_eq!(third.next, NextRecord::At { offset: 3, timestamp_ms: 3000 });
        assert_eq!((third.records(), third.log_start, third.log_end), (Some(3), 0, 6));
        assert_eq!(of((TOPIC, 1)).next, NextRecord::Deleted { first_kept: 2 });
        assert_eq!((of((TOPIC, 2)).next, of((TOPIC, 2)).records()), (NextRecord::None, Some(0)));
        assert_eq!((of((TOPIC, 3)).next, of((TOPIC, 3)).records()), (NextRecord::None, None));
        assert_eq!(of((TOPIC, 4)).records(), Some(0), "a commit after the end, of a topic that was made anew");
        let offline = of((TOPIC, 5));
        assert_eq!((offline.next, offline.records(), offline.committed), (NextRecord::Unreachable, None, Some(2)));
        let gone = GroupLag { committed: Some(1), log_start: -1, log_end: -1, next: NextRecord::None };
        assert_eq!((of((TOPIC, 7)), gone.records()), (gone, None), "a partition that does not exist");
    })
    .await;
}

#[test]
fn offsets_are_read_from_responses_of_every_version() {
    let one = |partition_index, committed_offset| OffsetFetchResponsePartition {
        partition_index,
        committed_offset,
        metadata: Some("m".into()),
        ..OffsetFetchResponsePartition::default()
    };
    let topic = OffsetFetchResponseTopic {
        name: "t".into(),
        partitions: vec![one(0, 7), one(1, -1)],
        ..OffsetFetchResponseTopic::default()
    };
    let old = OffsetFetchResponse { topics: vec![topic], ..OffsetFetchResponse::default() };
    let partition = |error_code| OffsetFetchResponsePartitions {
        committed_offset: 7,
        error_code,
        metadata: Some("m".into()),
        ..OffsetFetchResponsePartitions::default()
    };
    let new = |group_code: i16, code: i16| {
        let topic = OffsetFetchResponseTopics {
            name: "t".into(),
            partitions: vec![partition(code)],
            ..OffsetFetchResponseTopics::default()
        };
        let topics = if group_code == 0 { vec![topic] } else { Vec::new() };
        let group = OffsetFetchResponseGroup { topics, error_code: group_code, ..OffsetFetchResponseGroup::default() };
        OffsetFetchResponse { groups: vec![group], ..OffsetFetchResponse::default() }
    };
    for response in [old, new(0, 0)] {
        let read = committed("x", response).expect("is read");
        let rows: Vec<_> = read.iter().map(|(place, of)| (place.1, of.offset, of.metadata.as_str())).collect();
        assert_eq!(rows, [(0, 7, "m")]);
    }
    assert!(committed("x", new(ErrorCode::GroupIdNotFound.code(), 0)).expect("nothing").is_empty());
    let refused = committed("x", new(0, ErrorCode::TopicAuthorizationFailed.code())).expect_err("is refused");
    assert_eq!(refused.code(), Some(ErrorCode::TopicAuthorizationFailed));
}
