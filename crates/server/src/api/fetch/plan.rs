//! What a Fetch asks for, after its session and its topics' names or ids are resolved.

use crate::broker::Broker;
use crate::partition::{Isolation, Partition};
use base::{ErrorCode, LeaderEpoch, NodeId, Offset, Refusal};
use protocol::messages::fetch_request::FetchRequest;
use replication::{FetchKind, PartitionKey, PartitionRequest, SessionRequest, SessionTopic};
use std::sync::Arc;

const READ_COMMITTED: i8 = 1;

/// One partition of the plan.
pub(super) struct Target {
    pub(super) key: PartitionKey,
    pub(super) partition: Result<Arc<Partition>, Refusal>,
    pub(super) offset: Offset,
    pub(super) bytes_max: usize,
    pub(super) current_leader_epoch: LeaderEpoch,
    pub(super) last_fetched_epoch: LeaderEpoch,
}

/// A resolved Fetch.
pub(super) struct Plan {
    pub(super) kind: FetchKind,
    pub(super) targets: Vec<Target>,
    pub(super) bytes_min: usize,
    pub(super) bytes_max: usize,
    pub(super) max_wait_ms: i32,
    pub(super) isolation: Isolation,
    pub(super) replica: NodeId,
}

impl Plan {
    pub(super) fn make(broker: &Broker, version: i16, request: &FetchRequest<'_>) -> Result<Plan, ErrorCode> {
        let uses_ids = version >= 13;
        let session = SessionRequest {
            session_id: request.session_id,
            epoch: request.session_epoch,
            partitions: asked(request, uses_ids),
            forgotten: forgotten(request, uses_ids),
            uses_ids,
        };
        let (kind, partitions) = broker.sessions.lock().begin(broker.clock.monotonic(), session)?;
        let bytes_max = usize::try_from(request.max_bytes).unwrap_or(0).min(broker.config.fetch_bytes_max);
        let replica = if version >= 15 { request.replica_state.replica_id } else { request.replica_id };
        Ok(Plan {
            kind,
            targets: partitions.into_iter().map(|(key, asked)| target(broker, key, asked)).collect(),
            bytes_min: usize::try_from(request.min_bytes).unwrap_or(0).min(bytes_max),
            bytes_max,
            max_wait_ms: request.max_wait_ms,
            isolation: if request.isolation_level == READ_COMMITTED {
                Isolation::ReadCommitted
            } else {
                Isolation::ReadUncommitted
            },
            // Below -1 it is a consumer, too: tools that look into a follower's log called themselves -2.
            replica: NodeId(replica.max(-1)),
        })
    }
}

fn asked(request: &FetchRequest<'_>, uses_ids: bool) -> Vec<(PartitionKey, PartitionRequest)> {
    let mut partitions = Vec::new();
    for topic in &request.topics {
        let name =
            if uses_ids { SessionTopic::Id(topic.topic_id) } else { SessionTopic::Name(Arc::from(&*topic.topic)) };
        partitions.extend(topic.partitions.iter().map(|partition| {
            let asked = PartitionRequest {
                fetch_offset: partition.fetch_offset,
                current_leader_epoch: partition.current_leader_epoch,
                last_fetched_epoch: partition.last_fetched_epoch,
                bytes_max: partition.partition_max_bytes,
            };
            ((name.clone(), partition.partition), asked)
        }));
    }
    partitions
}

fn forgotten(request: &FetchRequest<'_>, uses_ids: bool) -> Vec<PartitionKey> {
    let topics = request.forgotten_topics_data.iter();
    topics
        .flat_map(|topic| {
            let name =
                if uses_ids { SessionTopic::Id(topic.topic_id) } else { SessionTopic::Name(Arc::from(&*topic.topic)) };
            topic.partitions.iter().map(move |index| (name.clone(), *index))
        })
        .collect()
}

fn target(broker: &Broker, key: PartitionKey, asked: PartitionRequest) -> Target {
    let partition = match &key.0 {
        SessionTopic::Id(id) => broker.partition_by_id(*id, key.1),
        SessionTopic::Name(name) => broker.partition_by_name(name, key.1),
    };
    Target {
        key,
        partition,
        offset: Offset(asked.fetch_offset),
        bytes_max: usize::try_from(asked.bytes_max).unwrap_or(0),
        // Any negative epoch is none, here and not in ListOffsets.
        current_leader_epoch: LeaderEpoch(asked.current_leader_epoch.max(-1)),
        last_fetched_epoch: LeaderEpoch(asked.last_fetched_epoch),
    }
}
