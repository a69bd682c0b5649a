//! DescribeTopicPartitions (KIP-966): topics and partitions page by page, in name order, with a cursor.

use super::TOPIC_OPERATIONS;
use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::ErrorCode;
use metadata::{MetadataImage, PartitionRegistration, TopicImage};
use net::Reply;
use protocol::messages::describe_topic_partitions_request::DescribeTopicPartitionsRequest;
use protocol::messages::describe_topic_partitions_response::{
    Cursor, DescribeTopicPartitionsResponse, DescribeTopicPartitionsResponsePartition,
    DescribeTopicPartitionsResponseTopic,
};
use std::borrow::Cow;
use std::collections::BTreeSet;

pub(crate) fn handle(broker: &Broker, to: ReplyTo, request: &DescribeTopicPartitionsRequest<'_>) -> Reply {
    let image = broker.image();
    let from = request.cursor.as_ref().map_or((String::new(), 0), |c| (c.topic_name.to_string(), c.partition_index));
    let all: BTreeSet<String> = if request.topics.is_empty() {
        image.topics().names().map(str::to_owned).collect()
    } else {
        request.topics.iter().map(|topic| topic.name.to_string()).collect()
    };
    if from.1 < 0 || (request.cursor.is_some() && !request.topics.is_empty() && !all.contains(&from.0)) {
        return to.now(&bad_cursor(request));
    }
    let limit = request.response_partition_limit.clamp(1, broker.config.max_request_partition_size_limit.max(1));
    let mut page =
        Page { left: usize::try_from(limit).unwrap_or(1), response: DescribeTopicPartitionsResponse::default() };
    for name in all.range(from.0.clone()..) {
        let first = if *name == from.0 { from.1 } else { 0 };
        if page.is_full(name, first) {
            break;
        }
        match image.topics().by_name(name) {
            Some(topic) => page.add_topic(broker, &image, topic, first),
            // A name that only the listing held is gone; a name that the client asked for deserves an answer.
            None if request.topics.is_empty() => {}
            None => page.add_unknown(name),
        }
        if page.response.next_cursor.is_some() {
            break;
        }
    }
    to.now(&page.response)
}

/// A cursor stands at a partition of a topic that is asked for: each is refused, in the request's order.
fn bad_cursor<'a>(request: &'a DescribeTopicPartitionsRequest<'_>) -> DescribeTopicPartitionsResponse<'a> {
    let topics = request.topics.iter().map(|topic| DescribeTopicPartitionsResponseTopic {
        error_code: ErrorCode::InvalidRequest.code(),
        name: Some(Cow::Borrowed(&*topic.name)),
        ..DescribeTopicPartitionsResponseTopic::default()
    });
    DescribeTopicPartitionsResponse { topics: topics.collect(), ..DescribeTopicPartitionsResponse::default() }
}

struct Page {
    left: usize,
    response: DescribeTopicPartitionsResponse<'static>,
}

impl Page {
    fn is_full(&mut self, name: &str, partition_index: i32) -> bool {
        if self.left == 0 {
            self.response.next_cursor =
                Some(Cursor { topic_name: Cow::Owned(name.to_owned()), partition_index, ..Cursor::default() });
        }
        self.left == 0
    }

    fn add_unknown(&mut self, name: &str) {
        let code = match metadata::check_topic_name(name) {
            Ok(()) => ErrorCode::UnknownTopicOrPartition,
            Err(_) => ErrorCode::InvalidTopicException,
        };
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            error_code: code.code(),
            name: Some(Cow::Owned(name.to_owned())),
            is_internal: metadata::is_internal_topic(name),
            topic_authorized_operations: TOPIC_OPERATIONS,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
    }

    fn add_topic(&mut self, broker: &Broker, image: &MetadataImage, topic: &TopicImage, first: i32) {
        let mut partitions = Vec::new();
        for (index, partition) in topic.partitions_from(first) {
            if self.is_full(topic.name(), index) {
                break;
            }
            partitions.push(describe(image, index, partition));
            self.left -= 1;
        }
        self.response.topics.push(DescribeTopicPartitionsResponseTopic {
            name: Some(Cow::Owned(topic.name().to_string())),
            topic_id: topic.id(),
            is_internal: broker.is_internal(topic.name()),
            topic_authorized_operations: TOPIC_OPERATIONS,
            partitions,
            ..DescribeTopicPartitionsResponseTopic::default()
        });
    }
}

fn describe(
    image: &MetadataImage,
    index: i32,
    partition: &PartitionRegistration,
) -> DescribeTopicPartitionsResponsePartition {
    let leaderless = !image.is_alive(partition.leader);
    let code = if leaderless { ErrorCode::LeaderNotAvailable } else { ErrorCode::None };
    let ids = |nodes: &[base::NodeId]| nodes.iter().map(|node| node.0).collect::<Vec<_>>();
    DescribeTopicPartitionsResponsePartition {
        error_code: code.code(),
        partition_index: index,
        leader_id: partition.leader.0,
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        eligible_leader_replicas: Some(ids(&partition.elr)),
        last_known_elr: Some(ids(&partition.last_known_elr)),
        offline_replicas: image.offline_replicas(partition).into_iter().map(|node| node.0).collect(),
        ..DescribeTopicPartitionsResponsePartition::default()
    }
}
