use super::*;
use crate::testing::{Broker, Fault, TOPIC, with_broker};
use record::Codec;
use std::collections::VecDeque;
use std::rc::Rc;

/// A batch a record, so that many requests are in flight.
fn one_record_batches() -> ProducerOptions {
    ProducerOptions { batch_bytes: 1, linger: Duration::ZERO, ..ProducerOptions::default() }
}

async fn send_numbers(producer: &Producer, from: u32, to: u32) {
    for i in from..to {
        let value = i.to_string();
        let record = ToSend { partition: Some(0), value: Some(value.as_bytes()), ..ToSend::default() };
        producer.send(TOPIC, &record).await.expect("is taken");
    }
}

fn numbers(count: u32) -> Vec<String> {
    (0..count).map(|i| i.to_string()).collect()
}

fn values(broker: &Rc<Broker>, partition: usize) -> Vec<String> {
    broker.state.borrow().partitions[partition].values()
}

#[tokio::test]
async fn records_arrive_once_and_in_order_whatever_happens_to_the_requests() {
    use Fault::{CloseAfter, CloseBefore, Code, None};
    let faults = [
        None,
        Code(ErrorCode::NotLeaderOrFollower),
        None,
        CloseAfter,
        Code(ErrorCode::NotEnoughReplicas),
        None,
        CloseBefore,
        None,
        CloseAfter,
        CloseAfter,
        Code(ErrorCode::RequestTimedOut),
    ];
    let prepare = |state: &mut crate::testing::State| state.faults = VecDeque::from(faults);
    with_broker(1, prepare, async |client, broker| {
        let producer = Producer::new(client, one_record_batches()).await.expect("a producer");
        send_numbers(&producer, 0, 100).await;
        producer.flush().await.expect("all are appended");
        assert_eq!(values(&broker, 0), numbers(100));
        assert_eq!(producer.acknowledged(), 100);
        assert!(broker.state.borrow().faults.is_empty());
    })
    .await;
}

/// After a change of leader two batches of a partition can be in flight to two brokers, and the newer one may answer first: that the
/// batch is out of order there is no verdict on the producer. A batch that was sent alone has overtaken none.
#[tokio::test]
async fn a_batch_may_have_overtaken_what_is_still_in_flight() {
    let mut accumulator = Accumulator::new(one_record_batches(), ProducerId(77), ProducerEpoch(0));
    accumulator.set_partitions(TOPIC, 1).expect("a partition");
    for value in [b"a", b"b"] {
        let record = ToSend { partition: Some(0), value: Some(value), ..ToSend::default() };
        accumulator.append(TOPIC, Some(0), &record.record()).expect("is taken");
    }
    accumulator.flush();
    accumulator.ready(tokio::time::Instant::now());
    let take = |accumulator: &mut Accumulator| accumulator.take_batch(TOPIC, 0, usize::MAX).expect("a batch");
    let (first, second) = (take(&mut accumulator), take(&mut accumulator));
    assert!(accumulator.may_have_overtaken(TOPIC, 0, &second), "the first is in flight");
    accumulator.put_back(TOPIC, 0, first, tokio::time::Instant::now());
    assert!(accumulator.may_have_overtaken(TOPIC, 0, &second), "the first waits");
    accumulator.put_back(TOPIC, 0, second, tokio::time::Instant::now());
    let first = take(&mut accumulator);
    assert!(!accumulator.may_have_overtaken(TOPIC, 0, &first), "what waits is after it");
    accumulator.succeed(TOPIC, 0, &first, 0);
    let second = take(&mut accumulator);
    assert!(!accumulator.may_have_overtaken(TOPIC, 0, &second), "it was sent alone");
}

#[tokio::test]
async fn without_idempotence_order_holds_because_one_batch_is_in_flight() {
    let faults = [Fault::None, Fault::Code(ErrorCode::NotEnoughReplicas), Fault::None, Fault::CloseBefore];
    let prepare = |state: &mut crate::testing::State| {
        state.faults = VecDeque::from(faults);
        state.missing = vec![ApiKey::InitProducerId];
    };
    with_broker(1, prepare, async |client, broker| {
        let producer = Producer::new(client, one_record_batches()).await.expect("a producer");
        send_numbers(&producer, 0, 20).await;
        producer.flush().await.expect("all are appended");
        assert_eq!(values(&broker, 0), numbers(20));
    })
    .await;
}

#[tokio::test]
async fn an_error_that_cannot_be_retried_breaks_the_producer_and_every_delivery_knows() {
    let prepare = |state: &mut crate::testing::State| {
        state.faults = VecDeque::from([Fault::None, Fault::Code(ErrorCode::TopicAuthorizationFailed)]);
    };
    with_broker(1, prepare, async |client, broker| {
        let producer = Producer::new(client, one_record_batches()).await.expect("a producer");
        let mut deliveries = Vec::new();
        for value in ["a", "b", "c", "d"] {
            let record = ToSend { value: Some(value.as_bytes()), ..ToSend::default() };
            deliveries.push(producer.send(TOPIC, &record).await.expect("is taken"));
        }
        let error = producer.flush().await.expect_err("one failed");
        assert_eq!(error.code(), Some(ErrorCode::TopicAuthorizationFailed));
        let mut outcomes = Vec::new();
        for delivery in deliveries {
            outcomes.push(delivery.wait().await.map(|metadata| metadata.offset).map_err(|error| error.code()));
        }
        assert_eq!(outcomes[0], Ok(0));
        assert!(outcomes[1..].iter().all(Result::is_err), "{outcomes:?}");
        let refused = producer.send(TOPIC, &ToSend::default()).await.map(drop).expect_err("is broken");
        assert_eq!(refused.code(), Some(ErrorCode::TopicAuthorizationFailed));
        assert_eq!(values(&broker, 0), ["a"]);
    })
    .await;
}

#[tokio::test]
async fn memory_is_bounded_and_sending_waits_for_room() {
    let prepare = |state: &mut crate::testing::State| state.faults = VecDeque::from([Fault::Silence; 5]);
    with_broker(1, prepare, async |client, broker| {
        let options = ProducerOptions { buffer_bytes: 2000, ..one_record_batches() };
        let producer = Producer::new(client, options).await.expect("a producer");
        let value = [b'x'; 500];
        let record = ToSend { partition: Some(0), value: Some(&value), ..ToSend::default() };
        let mut taken = 0;
        let send_all = async {
            loop {
                producer.send(TOPIC, &record).await.expect("is taken");
                taken += 1;
            }
        };
        let waits = tokio::time::timeout(Duration::from_millis(200), send_all).await;
        assert!(waits.is_err());
        assert!((1..=4).contains(&taken), "{taken} records of 500 bytes fit into 2000");
        assert!(broker.state.borrow().produces <= taken);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_request_without_an_answer_is_sent_again_and_appended_once() {
    let prepare = |state: &mut crate::testing::State| state.faults = VecDeque::from([Fault::Silence]);
    with_broker(1, prepare, async |client, broker| {
        let producer = Producer::new(client, one_record_batches()).await.expect("a producer");
        send_numbers(&producer, 0, 3).await;
        producer.flush().await.expect("all are appended");
        assert_eq!(values(&broker, 0), numbers(3));
    })
    .await;
}

#[tokio::test]
async fn keys_choose_partitions_as_kafkas_own_producer_does() {
    with_broker(
        5,
        |_| {},
        async |client, broker| {
            let producer = Producer::new(client, ProducerOptions::default()).await.expect("a producer");
            for i in 0..50 {
                let key = format!("key-{i}");
                let record = ToSend { key: Some(key.as_bytes()), value: Some(key.as_bytes()), ..ToSend::default() };
                producer.send(TOPIC, &record).await.expect("is taken");
            }
            producer.flush().await.expect("all are appended");
            for partition in 0..5 {
                for key in values(&broker, partition) {
                    assert_eq!(partition_for_key(key.as_bytes(), 5), partition as i32);
                }
            }
            let refused = producer.send(TOPIC, &ToSend { partition: Some(5), ..ToSend::default() }).await.map(drop);
            assert_eq!(refused.expect_err("no such partition").to_string(), "topic t has 5 partitions, no partition 5");
        },
    )
    .await;
}

#[tokio::test]
async fn a_broker_as_old_as_kafka_2_1_is_spoken_to_in_its_versions() {
    let newest = [(0, 7), (1, 10), (2, 4), (3, 7), (18, 2), (22, 1)];
    let prepare = |state: &mut crate::testing::State| state.newest = newest.into_iter().collect();
    with_broker(1, prepare, async |client, broker| {
        let compression = Compression::of(Codec::Zstd);
        let options = ProducerOptions { compression, ..ProducerOptions::default() };
        let producer = Producer::new(client, options).await.expect("a producer");
        send_numbers(&producer, 0, 10).await;
        producer.flush().await.expect("all are appended");
        assert_eq!(values(&broker, 0), numbers(10));
        let seen = broker.state.borrow().versions_seen.clone();
        assert_eq!((seen[&0], seen[&3], seen[&18], seen[&22]), (7, 7, 2, 1));
    })
    .await;
}

#[tokio::test]
async fn what_was_sent_with_acks_0_has_left_when_flush_returns() {
    with_broker(
        1,
        |_| {},
        async |client, broker| {
            let options = ProducerOptions { acks: Acks::None, ..one_record_batches() };
            let producer = Producer::new(client, options).await.expect("a producer");
            send_numbers(&producer, 0, 50).await;
            producer.flush().await.expect("all are sent");
            while broker.state.borrow().produces < 50 {
                tokio::task::yield_now().await;
            }
            assert_eq!(values(&broker, 0), numbers(50));
        },
    )
    .await;
}

/// It was sent again for ever: the batch that waited to be sent again was itself the one that nothing can follow.
#[tokio::test(start_paused = true)]
async fn a_batch_that_stays_out_of_order_breaks_the_producer() {
    let out_of_order = Fault::Code(ErrorCode::OutOfOrderSequenceNumber);
    let prepare = |state: &mut crate::testing::State| {
        state.faults = VecDeque::from([Fault::Code(ErrorCode::NotLeaderOrFollower), out_of_order, out_of_order]);
    };
    with_broker(1, prepare, async |client, broker| {
        let producer = Producer::new(client, one_record_batches()).await.expect("a producer");
        send_numbers(&producer, 0, 1).await;
        let error = producer.flush().await.expect_err("it cannot be appended");
        assert_eq!(error.code(), Some(ErrorCode::OutOfOrderSequenceNumber));
        assert_eq!(broker.state.borrow().produces, 2);
    })
    .await;
}
