use super::*;
use crate::testing::{State, TOPIC, with_broker};
use base::{ProducerEpoch, ProducerId, Timestamp};
use protocol::messages::fetch_response::AbortedTransaction;
use record::control::{ControlType, EndTxnMarker};
use record::{BatchBuilder, BatchOptions, Codec, Compression, NewRecord};
use std::ops::ControlFlow;

fn batch(options: BatchOptions, values: &[&str]) -> Vec<u8> {
    let mut builder = BatchBuilder::new(options);
    for value in values {
        builder.append(&NewRecord { timestamp: Timestamp(1), value: Some(value.as_bytes()), ..NewRecord::default() });
    }
    builder.build()
}

fn collect(records: &PartitionRecords, out: &mut Vec<(i64, String)>) -> Result<(), Error> {
    records.for_each(&mut |record| {
        out.push((record.offset.0, String::from_utf8_lossy(record.value.unwrap_or_default()).into_owned()));
        ControlFlow::Continue(())
    })
}

async fn read_to(consumer: &mut Consumer, end: i64) -> Result<Vec<(i64, String)>, Error> {
    let mut out = Vec::new();
    while consumer.position(TOPIC, 0).expect("is assigned") < end {
        for records in consumer.poll().await? {
            collect(&records, &mut out)?;
        }
    }
    Ok(out)
}

fn fill(state: &mut State) {
    for (i, codec) in Codec::ALL.iter().enumerate() {
        let options = BatchOptions { compression: Compression::of(*codec), ..BatchOptions::default() };
        let values: Vec<String> = (0..10).map(|n| format!("{} {n}", codec.name())).collect();
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        state.partitions[0].push(&batch(options, &values[..=i]));
    }
}

#[tokio::test]
async fn every_codec_is_read_in_order_also_in_small_answers_and_over_lost_connections() {
    let prepare = |state: &mut State| {
        fill(state);
        state.drop_fetches = 2;
    };
    with_broker(1, prepare, async |client, _| {
        let options = ConsumerOptions { partition_bytes: 100, ..ConsumerOptions::default() };
        let mut consumer = Consumer::new(client, options);
        assert_eq!(consumer.assign(TOPIC, 0, Start::Earliest).await.expect("is assigned"), 0);
        let read = read_to(&mut consumer, 15).await.expect("reads");
        assert_eq!(read.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), (0..15).collect::<Vec<_>>());
        assert_eq!(read[14].1, "zstd 4");
        assert_eq!(consumer.end(TOPIC, 0), Some(15));
    })
    .await;
}

#[tokio::test]
async fn a_position_inside_a_batch_begins_there() {
    with_broker(1, fill, async |client, _| {
        let mut consumer = Consumer::new(client, ConsumerOptions::default());
        consumer.assign(TOPIC, 0, Start::Offset(12)).await.expect("is assigned");
        let read = read_to(&mut consumer, 15).await.expect("reads");
        assert_eq!(read.iter().map(|(offset, _)| *offset).collect::<Vec<_>>(), [12, 13, 14]);
    })
    .await;
}

#[tokio::test]
async fn a_position_that_is_gone_is_an_error_or_moves_as_asked() {
    let prepare = |state: &mut State| {
        fill(state);
        state.partitions[0].start = 3;
    };
    with_broker(1, prepare, async |client, _| {
        let mut strict = Consumer::new(client.clone(), ConsumerOptions::default());
        strict.assign(TOPIC, 0, Start::Offset(1)).await.expect("is assigned");
        let error = read_to(&mut strict, 15).await.expect_err("is gone");
        assert_eq!(error.to_string(), "cannot read t-0 at offset 1: OFFSET_OUT_OF_RANGE");
        let options = ConsumerOptions { out_of_range: OutOfRange::Earliest, ..ConsumerOptions::default() };
        let mut lenient = Consumer::new(client, options);
        lenient.assign(TOPIC, 0, Start::Offset(1)).await.expect("is assigned");
        assert_eq!(read_to(&mut lenient, 15).await.expect("reads")[0].0, 3);
    })
    .await;
}

#[tokio::test]
async fn read_committed_leaves_out_what_was_aborted() {
    let transactional = |id: i64, sequence: i32| BatchOptions {
        producer_id: ProducerId(id),
        producer_epoch: ProducerEpoch(0),
        base_sequence: sequence,
        transactional: true,
        ..BatchOptions::default()
    };
    let marker = |id: i64, kind: ControlType| {
        let mut builder = BatchBuilder::new(BatchOptions { control: true, ..transactional(id, -1) });
        let value = EndTxnMarker { coordinator_epoch: 0 }.encode();
        builder.append(&NewRecord { key: Some(&kind.key()), value: Some(&value), ..NewRecord::default() });
        builder.build()
    };
    let prepare = |state: &mut State| {
        let partition = &mut state.partitions[0];
        partition.push(&batch(transactional(1, 0), &["aborted"]));
        partition.push(&batch(transactional(2, 0), &["kept"]));
        partition.push(&batch(BatchOptions::default(), &["plain"]));
        partition.push(&marker(1, ControlType::Abort));
        partition.push(&batch(transactional(1, 1), &["kept too"]));
        partition.push(&marker(2, ControlType::Commit));
        partition.push(&marker(1, ControlType::Commit));
        partition.aborted =
            vec![AbortedTransaction { producer_id: 1, first_offset: 0, ..AbortedTransaction::default() }];
    };
    with_broker(1, prepare, async |client, _| {
        for (isolation, expected) in [
            (Isolation::ReadCommitted, vec!["kept", "plain", "kept too"]),
            (Isolation::ReadUncommitted, vec!["aborted", "kept", "plain", "kept too"]),
        ] {
            let mut consumer =
                Consumer::new(client.clone(), ConsumerOptions { isolation, ..ConsumerOptions::default() });
            consumer.assign(TOPIC, 0, Start::Earliest).await.expect("is assigned");
            let read = read_to(&mut consumer, 7).await.expect("reads");
            assert_eq!(read.iter().map(|(_, value)| value.as_str()).collect::<Vec<_>>(), expected);
        }
    })
    .await;
}

#[tokio::test]
async fn a_turned_bit_is_an_error_and_not_a_record() {
    let prepare = |state: &mut State| {
        fill(state);
        let last = state.partitions[0].log.len() - 1;
        state.partitions[0].log[last] ^= 1;
    };
    with_broker(1, prepare, async |client, _| {
        let mut consumer = Consumer::new(client, ConsumerOptions::default());
        consumer.assign(TOPIC, 0, Start::Earliest).await.expect("is assigned");
        let error = read_to(&mut consumer, 15).await.expect_err("is damaged").to_string();
        assert!(error.starts_with("t-0 has a damaged batch at offset 10:"), "{error}");
    })
    .await;
}
