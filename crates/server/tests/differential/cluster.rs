//! ApiVersions, Metadata, DescribeTopicPartitions, DescribeCluster, DescribeQuorum, DescribeLogDirs, UpdateFeatures.

use crate::batches::plain;
use crate::canon::canonical;
use crate::read::{KEPT, append};
use crate::script::Script;
use crate::wire::{Answer, body};
use base::Uuid;
use protocol::messages::api_versions_request::ApiVersionsRequest;
use protocol::messages::describe_cluster_request::DescribeClusterRequest;
use protocol::messages::describe_log_dirs_request::{DescribableLogDirTopic, DescribeLogDirsRequest};
use protocol::messages::describe_quorum_request::{DescribeQuorumRequest, PartitionData, TopicData};
use protocol::messages::describe_topic_partitions_request::{Cursor, DescribeTopicPartitionsRequest, TopicRequest};
use protocol::messages::list_config_resources_request::ListConfigResourcesRequest;
use protocol::messages::metadata_request::{MetadataRequest, MetadataRequestTopic};
use protocol::messages::update_features_request::{FeatureUpdateKey, UpdateFeaturesRequest};

const CLUSTER: &str = "4L6g3nShT-eMCtK--X86sw";

/// The APIs whose rows of ApiVersions were recorded; one that is served later comes in with the next recording.
const RECORDED: &[i16] = &[
    0, 1, 2, 3, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19, 20, 21, 22, 23, 32, 33, 35, 37, 42, 44, 47, 55, 57, 60, 61,
    68, 69, 74, 75,
];

/// Only what is served here, and the features of metadata and quorum: the rest of Kafka's list is of what this node does not serve yet.
fn versions_line(version: i16, frame: &[u8]) -> String {
    let mut response = body::<ApiVersionsRequest<'_>>(version, frame);
    response.api_keys.retain(|row| RECORDED.contains(&row.api_key));
    response.api_keys.sort_by_key(|row| row.api_key);
    response.supported_features.retain(|feature| feature.name == "metadata.version" || feature.name == "kraft.version");
    response.finalized_features.retain(|feature| feature.name == "metadata.version" || feature.name == "kraft.version");
    canonical(&format!("{response:?}"), version)
}

/// A cluster that has no topic yet.
pub(crate) fn empty_cluster(script: &mut Script) {
    script.all("no-topics-yet", |v| MetadataRequest {
        topics: if v == 0 { Some(vec![]) } else { None },
        ..MetadataRequest::default()
    });
    script.all("no-topics-yet", |_| DescribeTopicPartitionsRequest {
        response_partition_limit: 10,
        ..DescribeTopicPartitionsRequest::default()
    });
    script.all("no-topics-yet", |_| DescribeLogDirsRequest { topics: None, ..DescribeLogDirsRequest::default() });
    script.all("no-topics-yet", |_| ListConfigResourcesRequest::default());
}

pub(crate) fn api_versions(script: &mut Script) {
    let software = |name: &str, version: &str| ApiVersionsRequest {
        client_software_name: name.to_owned().into(),
        client_software_version: version.to_owned().into(),
        ..ApiVersionsRequest::default()
    };
    let cases = [
        ("plain", software("rig", "1.0")),
        ("no-software", software("", "")),
        ("odd-software", software("a b", "1.0")),
        ("odd-version", software("rig", "-1")),
        ("long-software", software(&"x".repeat(300), "1.0")),
        ("other-cluster", ApiVersionsRequest { cluster_id: Some("other".into()), ..software("rig", "1") }),
        ("other-node", ApiVersionsRequest { node_id: 9, ..software("rig", "1") }),
        ("this-node", ApiVersionsRequest { node_id: 1, ..software("rig", "1") }),
        ("right", ApiVersionsRequest { node_id: 1, cluster_id: Some(CLUSTER.into()), ..software("rig", "1") }),
        ("wrong-node", ApiVersionsRequest { node_id: 9, cluster_id: Some(CLUSTER.into()), ..software("rig", "1") }),
        ("wrong-cluster", ApiVersionsRequest { node_id: 1, cluster_id: Some("other".into()), ..software("rig", "1") }),
    ];
    for (label, request) in cases {
        for v in 0..=5 {
            let line = match script.wire.ask(v, &request) {
                Answer::Frame(frame) => versions_line(v, &frame),
                Answer::Closed => "closed".into(),
                Answer::Silent => "silent".into(),
                Answer::Unwritable => continue,
            };
            script.note::<ApiVersionsRequest<'_>>(label, v, line);
        }
    }
    // KIP-511: a version of the future is answered in version 0.
    script.wire.send_frame(&[0, 0, 0, 11, 0, 18, 0, 99, 0, 0, 0, 9, 255, 255, 0]);
    let Answer::Frame(frame) = script.wire.receive() else { panic!("a future ApiVersions is answered") };
    script.note::<ApiVersionsRequest<'_>>("future", 99, versions_line(0, &frame));
}

fn named(name: impl Into<String>) -> MetadataRequestTopic<'static> {
    MetadataRequestTopic { name: Some(name.into().into()), ..MetadataRequestTopic::default() }
}

fn of_id(topic_id: Uuid) -> MetadataRequestTopic<'static> {
    MetadataRequestTopic { topic_id, name: None, ..MetadataRequestTopic::default() }
}

fn about(topics: Vec<MetadataRequestTopic<'static>>) -> MetadataRequest<'static> {
    MetadataRequest { topics: Some(topics), allow_auto_topic_creation: false, ..MetadataRequest::default() }
}

pub(crate) fn metadata(script: &mut Script) {
    let id = script.topic("m", 2, &[]);
    script.all("one", |_| about(vec![named("m")]));
    // Version 0 takes no topics for all of them, and knows no switch for automatic creation.
    script.within("none", 1..=13, |_| about(vec![]));
    script.within("unknown", 4..=13, |_| about(vec![named("absent"), named("m")]));
    script.within("invalid-name", 4..=13, |_| about(vec![named("a b")]));
    script.within("empty-name", 4..=13, |_| about(vec![named("")]));
    script
        .all("invalid-name-auto", |_| MetadataRequest { allow_auto_topic_creation: true, ..about(vec![named("a b")]) });
    script.within("twice", 4..=13, |_| about(vec![named("m"), named("m")]));
    script.within("colliding-auto", 4..=13, |_| MetadataRequest {
        allow_auto_topic_creation: true,
        ..about(vec![named("col_lide")])
    });
    for v in 0..=13 {
        let asked = MetadataRequest { allow_auto_topic_creation: true, ..about(vec![named(format!("auto-v{v}"))]) };
        script.one("auto-create", v, &asked);
        // The first answer may be an error that says `not yet`.
        script.topic(&format!("between-v{v}"), 1, &[]);
        script.one("auto-created", v, &asked);
    }
    for v in 8..=10 {
        let asked = MetadataRequest {
            include_cluster_authorized_operations: true,
            include_topic_authorized_operations: true,
            ..about(vec![named("m")])
        };
        script.one("authorized-operations", v, &asked);
    }
    script.within("topic-operations", 11..=13, |_| MetadataRequest {
        include_topic_authorized_operations: true,
        ..about(vec![named("m")])
    });
    script.within("id", 10..=13, |_| about(vec![of_id(id)]));
    script.within("unknown-id", 10..=13, |_| about(vec![of_id(Uuid(99))]));
    script.within("zero-id-and-no-name", 10..=13, |_| about(vec![of_id(Uuid::ZERO)]));
    script.within("id-and-name", 10..=13, |_| about(vec![MetadataRequestTopic { topic_id: id, ..named("other") }]));
    script.within("ids-and-names", 12..=13, |_| about(vec![of_id(id), named("m")]));
}

pub(crate) fn describe_topic_partitions(script: &mut Script) {
    for name in ["dtp-a", "dtp-b", "dtp-c"] {
        script.topic(name, 3, &[]);
    }
    let asked = |names: &[&str], limit, cursor: Option<(&str, i32)>| DescribeTopicPartitionsRequest {
        topics: names
            .iter()
            .map(|name| TopicRequest { name: (*name).to_owned().into(), ..TopicRequest::default() })
            .collect(),
        response_partition_limit: limit,
        cursor: cursor.map(|(name, partition_index)| Cursor {
            topic_name: name.to_owned().into(),
            partition_index,
            ..Cursor::default()
        }),
        ..DescribeTopicPartitionsRequest::default()
    };
    let all: &[&str] = &["dtp-c", "dtp-a", "dtp-b"];
    type Case<'a> = (&'a str, &'a [&'a str], i32, Option<(&'a str, i32)>);
    let cases: [Case<'_>; 17] = [
        ("all", all, 2000, None),
        ("limit-4", all, 4, None),
        ("limit-3", all, 3, None),
        ("limit-0", all, 0, None),
        ("limit-negative", all, -1, None),
        ("cursor", all, 2000, Some(("dtp-b", 1))),
        ("cursor-and-limit", all, 2, Some(("dtp-b", 1))),
        ("cursor-at-end", all, 2000, Some(("dtp-b", 3))),
        ("cursor-far", all, 2000, Some(("dtp-b", 99))),
        ("cursor-negative", all, 2000, Some(("dtp-b", -1))),
        ("cursor-of-absent", all, 2000, Some(("dtp-bb", 1))),
        ("cursor-not-asked-for", &["dtp-c"], 2000, Some(("dtp-b", 1))),
        ("cursor-after-all", all, 2000, Some(("z", 0))),
        ("unknown", &["absent", "dtp-a"], 2000, None),
        ("invalid-name", &["a b"], 2000, None),
        ("twice", &["dtp-a", "dtp-a"], 2000, None),
        ("unknown-over-limit", &["absent", "dtp-a"], 1, None),
    ];
    for (label, names, limit, cursor) in cases {
        script.all(label, |_| asked(names, limit, cursor));
    }
}

pub(crate) fn describe_cluster(script: &mut Script) {
    script.all("plain", |_| DescribeClusterRequest::default());
    script.all("operations", |_| DescribeClusterRequest {
        include_cluster_authorized_operations: true,
        ..DescribeClusterRequest::default()
    });
    for endpoint_type in [0, 2, 3, -1] {
        script.all(&format!("endpoint-{endpoint_type}"), |_| DescribeClusterRequest {
            endpoint_type,
            ..DescribeClusterRequest::default()
        });
    }
    script.within("fenced-too", 2..=2, |_| DescribeClusterRequest {
        include_fenced_brokers: true,
        ..DescribeClusterRequest::default()
    });
}

pub(crate) fn describe_quorum(script: &mut Script) {
    let asked = |name: &str, indexes: &[i32]| {
        let partitions =
            indexes.iter().map(|index| PartitionData { partition_index: *index, ..PartitionData::default() });
        DescribeQuorumRequest {
            topics: vec![TopicData {
                topic_name: name.to_owned().into(),
                partitions: partitions.collect(),
                ..TopicData::default()
            }],
            ..DescribeQuorumRequest::default()
        }
    };
    for v in 0..=2 {
        let request = asked("__cluster_metadata", &[0]);
        let line = script.look(v, &request, |response| {
            let mut response = response.clone();
            for partition in response.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                assert!(partition.high_watermark > 0 && partition.leader_epoch > 0, "{partition:?}");
                (partition.high_watermark, partition.leader_epoch) = (1, 1);
                for replica in &mut partition.current_voters {
                    assert!(replica.log_end_offset >= 0, "{replica:?}");
                    replica.log_end_offset = 1;
                }
            }
            canonical(&format!("{response:?}"), v)
        });
        script.note::<DescribeQuorumRequest<'_>>("plain", v, line);
    }
    script.all("unknown-topic", |_| asked("absent", &[0]));
    script.all("unknown-partition", |_| asked("__cluster_metadata", &[1]));
    script.all("negative-partition", |_| asked("__cluster_metadata", &[-1]));
    script.all("same-partition-twice", |_| asked("__cluster_metadata", &[1, 1]));
    script.all("empty-name", |_| asked("", &[0]));
    script.all("two-partitions", |_| asked("__cluster_metadata", &[0, 1]));
    script.all("no-partitions", |_| asked("__cluster_metadata", &[]));
    script.all("none", |_| DescribeQuorumRequest::default());
}

pub(crate) fn describe_log_dirs(script: &mut Script) {
    script.topic("held", 2, KEPT);
    append(script, "held", 0, plain(3));
    let asked = |topics: &[(&str, &[i32])]| {
        let topics = topics.iter().map(|(name, partitions)| DescribableLogDirTopic {
            topic: (*name).to_owned().into(),
            partitions: partitions.to_vec(),
            ..DescribableLogDirTopic::default()
        });
        DescribeLogDirsRequest { topics: Some(topics.collect()), ..DescribeLogDirsRequest::default() }
    };
    script.all("both", |_| asked(&[("held", &[0, 1])]));
    script.all("one", |_| asked(&[("held", &[0])]));
    script.all("same-partition-twice", |_| asked(&[("held", &[0, 0])]));
    script.all("same-topic-twice", |_| asked(&[("held", &[0]), ("held", &[0])]));
    script.all("negative-partition", |_| asked(&[("held", &[-1])]));
    script.all("invalid-name", |_| asked(&[("a b", &[0])]));
    script.all("empty-name", |_| asked(&[("", &[0])]));
    script.all("unknown-partition", |_| asked(&[("held", &[0, 7])]));
    script.all("unknown-topic", |_| asked(&[("absent", &[0])]));
    script.all("no-partitions", |_| asked(&[("held", &[])]));
    script.all("no-topics", |_| asked(&[]));
}

pub(crate) fn update_features(script: &mut Script) {
    let asked = |v: i16, updates: &[(&str, i16, i8)]| {
        let updates = updates.iter().map(|(feature, level, kind)| FeatureUpdateKey {
            feature: (*feature).to_owned().into(),
            max_version_level: *level,
            allow_downgrade: v == 0 && *kind != 1,
            upgrade_type: if v == 0 { 1 } else { *kind },
            ..FeatureUpdateKey::default()
        });
        UpdateFeaturesRequest {
            feature_updates: updates.collect(),
            timeout_ms: 30_000,
            ..UpdateFeaturesRequest::default()
        }
    };
    let cases: [(&str, &[(&str, i16, i8)]); 17] = [
        ("none", &[]),
        ("same", &[("metadata.version", 33, 1)]),
        ("same-as-downgrade", &[("metadata.version", 33, 2)]),
        ("too-high", &[("metadata.version", 99, 1)]),
        ("too-low", &[("metadata.version", 1, 3)]),
        ("zero", &[("metadata.version", 0, 3)]),
        ("negative", &[("metadata.version", -1, 3)]),
        ("lower-as-upgrade", &[("metadata.version", 20, 1)]),
        ("lower-safely", &[("metadata.version", 7, 2)]),
        ("unknown", &[("no.such.feature", 1, 1)]),
        ("unknown-to-0", &[("no.such.feature", 0, 1)]),
        ("empty-name", &[("", 1, 1)]),
        ("kind-0", &[("metadata.version", 33, 0)]),
        ("kind-9", &[("metadata.version", 33, 9)]),
        ("twice", &[("metadata.version", 33, 1), ("metadata.version", 33, 1)]),
        ("kraft-same", &[("kraft.version", 1, 1)]),
        ("kraft-too-high", &[("kraft.version", 9, 1)]),
    ];
    for (label, updates) in cases {
        script.all(label, |v| asked(v, updates));
        script.within(&format!("{label}-validate-only"), 1..=2, |v| UpdateFeaturesRequest {
            validate_only: true,
            ..asked(v, updates)
        });
    }
}
