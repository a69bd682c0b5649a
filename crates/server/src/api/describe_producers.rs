//! DescribeProducers (KIP-664): the producer ids that a partition remembers.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::{ErrorCode, Refusal};
use net::Reply;
use protocol::messages::describe_producers_request::DescribeProducersRequest;
use protocol::messages::describe_producers_response::{
    DescribeProducersResponse, PartitionResponse, ProducerState, TopicResponse,
};
use std::borrow::Cow;

pub(crate) fn handle(broker: &Broker, to: ReplyTo, request: &DescribeProducersRequest<'_>) -> Reply {
    let topics = request.topics.iter().map(|topic| {
        let refused = metadata::check_topic_name(&topic.name)
            .err()
            .map(|why| Refusal::new(ErrorCode::InvalidTopicException, why));
        let partitions = topic.partition_indexes.iter().map(|&index| {
            let found = match &refused {
                Some(refusal) => Err(refusal.clone()),
                None => broker.partition_by_name(&topic.name, index).map(|partition| partition.active_producers()),
            };
            partition_answer(index, found)
        });
        TopicResponse { name: Cow::Borrowed(&topic.name), partitions: partitions.collect(), ..TopicResponse::default() }
    });
    to.now(&DescribeProducersResponse { topics: topics.collect(), ..DescribeProducersResponse::default() })
}

fn partition_answer(partition_index: i32, found: Result<Vec<ProducerState>, Refusal>) -> PartitionResponse<'static> {
    match found {
        Ok(active_producers) => PartitionResponse { partition_index, active_producers, ..PartitionResponse::default() },
        Err(refusal) => PartitionResponse {
            partition_index,
            error_code: refusal.code.code(),
            error_message: Some(refusal.message),
            ..PartitionResponse::default()
        },
    }
}
