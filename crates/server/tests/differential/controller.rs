//! A controller's own listener (KIP-919): the same requests sent to it, and what it does not take.

use crate::configs::{BROKER, GROUP, SET, TOPIC, change, describe, settle};
use crate::script::Script;
use protocol::messages::create_partitions_request::{CreatePartitionsRequest, CreatePartitionsTopic};
use protocol::messages::create_topics_request::{CreatableTopic, CreateTopicsRequest};
use protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};
use protocol::messages::describe_cluster_request::DescribeClusterRequest;
use protocol::messages::describe_quorum_request::{DescribeQuorumRequest, PartitionData, TopicData};
use protocol::messages::list_offsets_request::ListOffsetsRequest;
use protocol::messages::metadata_request::MetadataRequest;
use protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};

fn quorum() -> DescribeQuorumRequest<'static> {
    let topic = TopicData {
        topic_name: "__cluster_metadata".into(),
        partitions: vec![PartitionData::default()],
        ..TopicData::default()
    };
    DescribeQuorumRequest { topics: vec![topic], ..DescribeQuorumRequest::default() }
}

/// The steps go into `script`, whose broker says where its controller is.
pub(crate) fn controller(script: &mut Script) {
    let address = script.look(2, &quorum(), |response| {
        let listener = &response.nodes[0].listeners[0];
        format!("{}:{}", listener.host, listener.port)
    });
    let mut controller = Script::new(&address);
    topics(&mut controller);
    configs(&mut controller);
    for endpoint_type in [1, 2, 3] {
        controller.within(&format!("endpoint-{endpoint_type}"), 1..=2, |_| DescribeClusterRequest {
            endpoint_type,
            include_cluster_authorized_operations: true,
            ..DescribeClusterRequest::default()
        });
    }
    controller.within("endpoint-1", 0..=0, |_| DescribeClusterRequest::default());
    let partition = controller.look(2, &quorum(), |response| response.topics[0].partitions[0].leader_id);
    assert_eq!(partition, 1);
    controller.all("same", |_| UpdateFeaturesRequest {
        feature_updates: vec![FeatureUpdateKey {
            feature: "metadata.version".into(),
            max_version_level: 33,
            ..FeatureUpdateKey::default()
        }],
        timeout_ms: 30_000,
        ..UpdateFeaturesRequest::default()
    });
    controller.all("not-here", |_| MetadataRequest::default());
    controller.all("not-here", |_| ListOffsetsRequest::default());
    let lines = controller.lines.into_iter();
    script.lines.extend(lines.map(|(label, version, line)| (format!("Controller.{label}"), version, line)));
}

fn topics(controller: &mut Script) {
    controller.all("plain", |v| {
        let topic = CreatableTopic {
            name: format!("from-controller-v{v}").into(),
            num_partitions: 2,
            replication_factor: 1,
            ..CreatableTopic::default()
        };
        CreateTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..CreateTopicsRequest::default() }
    });
    controller.all("more", |v| {
        let topic = CreatePartitionsTopic {
            name: format!("from-controller-v{}", v + 2).into(),
            count: 3,
            assignments: None,
            ..CreatePartitionsTopic::default()
        };
        CreatePartitionsRequest { topics: vec![topic], timeout_ms: 30_000, ..CreatePartitionsRequest::default() }
    });
    controller.within("gone", 6..=6, |v| {
        let topic =
            DeleteTopicState { name: Some(format!("from-controller-v{v}").into()), ..DeleteTopicState::default() };
        DeleteTopicsRequest { topics: vec![topic], timeout_ms: 30_000, ..DeleteTopicsRequest::default() }
    });
}

fn configs(controller: &mut Script) {
    controller.all("topic", |_| change(TOPIC, "from-controller-v7", &[("retention.ms", SET, Some("5000"))]));
    controller.all("broker", |_| change(BROKER, "1", &[("log.cleaner.backoff.ms", SET, Some("15003"))]));
    controller.all("unknown-topic", |_| change(TOPIC, "absent", &[("retention.ms", SET, Some("5000"))]));
    settle(controller, "from-controller-v7");
    controller.all("topic", |_| describe(TOPIC, "from-controller-v7", Some(&["retention.ms"])));
    controller.all("another-broker", |_| describe(BROKER, "9", None));
    controller.all("group", |_| describe(GROUP, "g", Some(&["consumer.session.timeout.ms"])));
}
