//! DescribeQuorum (KIP-595, KIP-836, KIP-853): the metadata quorum's leader, voters and how far each has got.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use crate::quorum::METADATA_TOPIC;
use base::{ErrorCode, Uuid};
use net::Reply;
use protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use std::borrow::Cow;

/// The first version that names voters' directories and endpoints (KIP-853); older ones cannot carry them.
const DIRECTORIES_SINCE: i16 = 2;

pub(crate) fn handle(broker: &Broker, to: ReplyTo, request: &DescribeQuorumRequest<'_>) -> Reply {
    if !asks_for_the_quorum(request) {
        return to.now(&unknown(request));
    }
    let status = broker.quorum.status(broker.clock.wall());
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: Cow::Borrowed(&topic.topic_name),
        partitions: topic
            .partitions
            .iter()
            .map(|_| PartitionData {
                partition_index: 0,
                leader_id: status.leader.0,
                leader_epoch: status.epoch.0,
                high_watermark: status.high_watermark.0,
                current_voters: status
                    .voters
                    .iter()
                    .map(|voter| ReplicaState {
                        replica_id: voter.node.0,
                        replica_directory_id: if to.version >= DIRECTORIES_SINCE {
                            voter.directory_id
                        } else {
                            Uuid::ZERO
                        },
                        log_end_offset: voter.log_end_offset.0,
                        last_fetch_timestamp: voter.last_fetch.0,
                        last_caught_up_timestamp: voter.last_caught_up.0,
                        ..ReplicaState::default()
                    })
                    .collect(),
                ..PartitionData::default()
            })
            .collect(),
        ..TopicData::default()
    });
    let endpoints = if to.version >= DIRECTORIES_SINCE { broker.controller_endpoints() } else { Vec::new() };
    let nodes = endpoints.into_iter().map(|endpoint| Node {
        node_id: endpoint.node.0,
        listeners: vec![Listener {
            name: Cow::Owned(endpoint.listener),
            host: Cow::Owned(endpoint.host),
            port: u16::try_from(endpoint.port).unwrap_or(0),
            ..Listener::default()
        }],
        ..Node::default()
    });
    to.now(&DescribeQuorumResponse {
        topics: topics.collect(),
        nodes: nodes.collect(),
        ..DescribeQuorumResponse::default()
    })
}

/// The one partition that has a quorum, and nothing else beside it.
fn asks_for_the_quorum(request: &DescribeQuorumRequest<'_>) -> bool {
    match &request.topics[..] {
        [topic] => {
            topic.topic_name == METADATA_TOPIC
                && matches!(&topic.partitions[..], [partition] if partition.partition_index == 0)
        }
        _ => false,
    }
}

fn unknown(request: &DescribeQuorumRequest<'_>) -> DescribeQuorumResponse<'static> {
    let refused = |partition_index| PartitionData {
        partition_index,
        error_code: ErrorCode::UnknownTopicOrPartition.code(),
        error_message: Some(Cow::Borrowed("only partition 0 of __cluster_metadata has a quorum")),
        ..PartitionData::default()
    };
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: Cow::Owned(topic.topic_name.to_string()),
        partitions: topic.partitions.iter().map(|asked| refused(asked.partition_index)).collect(),
        ..TopicData::default()
    });
    DescribeQuorumResponse { topics: topics.collect(), ..DescribeQuorumResponse::default() }
}
