//! DescribeQuorum (KIP-595, KIP-836, KIP-853): the metadata quorum's leader, voters and how far each has got.

use crate::answer::ReplyTo;
use crate::broker::Broker;
use base::ErrorCode;
use net::Reply;
use protocol::messages::describe_quorum_request::DescribeQuorumRequest;
use protocol::messages::describe_quorum_response::{
    DescribeQuorumResponse, Listener, Node, PartitionData, ReplicaState, TopicData,
};
use std::borrow::Cow;

const METADATA_TOPIC: &str = "__cluster_metadata";

pub(crate) fn handle(broker: &Broker, to: ReplyTo, request: &DescribeQuorumRequest<'_>) -> Reply {
    let status = broker.quorum.status(broker.clock.wall());
    let topics = request.topics.iter().map(|topic| TopicData {
        topic_name: Cow::Borrowed(&topic.topic_name),
        partitions: topic
            .partitions
            .iter()
            .map(|asked| {
                if topic.topic_name != METADATA_TOPIC || asked.partition_index != 0 {
                    return PartitionData {
                        partition_index: asked.partition_index,
                        error_code: ErrorCode::UnknownTopicOrPartition.code(),
                        ..PartitionData::default()
                    };
                }
                PartitionData {
                    partition_index: 0,
                    leader_id: status.leader.0,
                    leader_epoch: status.epoch.0,
                    high_watermark: status.high_watermark.0,
                    current_voters: status
                        .voters
                        .iter()
                        .map(|voter| ReplicaState {
                            replica_id: voter.node.0,
                            replica_directory_id: voter.directory_id,
                            log_end_offset: voter.log_end_offset.0,
                            last_fetch_timestamp: voter.last_fetch.0,
                            last_caught_up_timestamp: voter.last_caught_up.0,
                            ..ReplicaState::default()
                        })
                        .collect(),
                    ..PartitionData::default()
                }
            })
            .collect(),
        ..TopicData::default()
    });
    let nodes = broker.controller_endpoints().into_iter().map(|endpoint| Node {
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
