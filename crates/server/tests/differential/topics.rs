//! CreateTopics, DeleteTopics, CreatePartitions: what is made, and what is refused.

use crate::script::Script;
use base::Uuid;
use protocol::messages::create_partitions_request::{
    CreatePartitionsAssignment, CreatePartitionsRequest, CreatePartitionsTopic,
};
use protocol::messages::create_topics_request::{
    CreatableReplicaAssignment, CreatableTopic, CreatableTopicConfig, CreateTopicsRequest,
};
use protocol::messages::delete_topics_request::{DeleteTopicState, DeleteTopicsRequest};

fn topic(name: impl Into<String>, num_partitions: i32, replication_factor: i16) -> CreatableTopic<'static> {
    CreatableTopic { name: name.into().into(), num_partitions, replication_factor, ..CreatableTopic::default() }
}

fn create(topics: Vec<CreatableTopic<'static>>) -> CreateTopicsRequest<'static> {
    CreateTopicsRequest { topics, timeout_ms: 30_000, ..CreateTopicsRequest::default() }
}

fn assigned(name: impl Into<String>, replicas: &[(i32, &[i32])]) -> CreatableTopic<'static> {
    let assignments = replicas.iter().map(|(partition_index, broker_ids)| CreatableReplicaAssignment {
        partition_index: *partition_index,
        broker_ids: broker_ids.to_vec(),
        ..CreatableReplicaAssignment::default()
    });
    CreatableTopic { assignments: assignments.collect(), ..topic(name, -1, -1) }
}

fn configured(name: impl Into<String>, configs: &[(&str, Option<&str>)]) -> CreatableTopic<'static> {
    let configs = configs.iter().map(|(name, value)| CreatableTopicConfig {
        name: (*name).to_owned().into(),
        value: value.map(|value| value.to_owned().into()),
        ..CreatableTopicConfig::default()
    });
    CreatableTopic { configs: configs.collect(), ..topic(name, 1, 1) }
}

pub(crate) fn create_topics(script: &mut Script) {
    script.all("plain", |v| create(vec![topic(format!("plain-v{v}"), 2, 1)]));
    script.all("again", |v| create(vec![topic(format!("plain-v{v}"), 2, 1)]));
    script.all("validate-only", |v| CreateTopicsRequest {
        validate_only: true,
        ..create(vec![topic(format!("never-v{v}"), 3, 1), topic(format!("plain-v{v}"), 2, 1)])
    });
    script.all("defaults", |v| create(vec![topic(format!("defaults-v{v}"), -1, -1)]));
    script.all("none", |_| create(vec![]));
    script.all("twice-in-one-request", |v| {
        create(vec![
            topic(format!("twice-v{v}"), 1, 1),
            topic(format!("once-v{v}"), 1, 1),
            topic(format!("twice-v{v}"), 2, 1),
        ])
    });
    for (label, partitions, factor) in [
        ("partitions-0", 0, 1),
        ("partitions-minus-2", -2, 1),
        ("partitions-10001", 10_001, 1),
        ("factor-0", 1, 0),
        ("factor-minus-2", 1, -2),
        ("factor-2", 1, 2),
        ("factor-max", 1, i16::MAX),
        ("factor-default", 1, -1),
    ] {
        script.all(label, |v| create(vec![topic(format!("{label}-v{v}"), partitions, factor)]));
    }
    for (label, name) in [
        ("name-empty", String::new()),
        ("name-dot", ".".into()),
        ("name-dots", "..".into()),
        ("name-space", "a b".into()),
        ("name-slash", "a/b".into()),
        ("name-umlaut", "grün".into()),
        ("name-249", "n".repeat(249)),
        ("name-250", "n".repeat(250)),
        ("name-metadata-log", "__cluster_metadata".into()),
        ("name-internal", "__transaction_state".into()),
    ] {
        script.all(label, |_| CreateTopicsRequest { validate_only: true, ..create(vec![topic(name.clone(), 1, 1)]) });
    }
    script.topic("col.lide", 1, &[]);
    script.all("name-collides", |_| create(vec![topic("col_lide", 1, 1)]));
    script.all("names-collide-in-request", |v| {
        create(vec![topic(format!("a.b-v{v}"), 1, 1), topic(format!("a_b-v{v}"), 1, 1)])
    });
    for timeout_ms in [0, -1] {
        script.within(&format!("timeout-{timeout_ms}"), 7..=7, |v| CreateTopicsRequest {
            timeout_ms,
            validate_only: true,
            ..create(vec![topic(format!("late-v{v}"), 1, 1)])
        });
    }
    assignments(script);
    create_configs(script);
}

fn assignments(script: &mut Script) {
    script.all("assigned", |v| create(vec![assigned(format!("assigned-v{v}"), &[(0, &[1]), (1, &[1])])]));
    let wrong: [(&str, &[(i32, &[i32])]); 8] = [
        ("assigned-gap", &[(0, &[1]), (2, &[1])]),
        ("assigned-from-1", &[(1, &[1])]),
        ("assigned-negative", &[(-1, &[1])]),
        ("assigned-twice", &[(0, &[1]), (0, &[1])]),
        ("assigned-nobody", &[(0, &[])]),
        ("assigned-unknown-broker", &[(0, &[7])]),
        ("assigned-same-broker", &[(0, &[1, 1])]),
        ("assigned-uneven", &[(0, &[1]), (1, &[])]),
    ];
    for (label, replicas) in wrong {
        script.all(label, |v| create(vec![assigned(format!("{label}-v{v}"), replicas)]));
    }
    script.all("assigned-and-counted", |v| {
        create(vec![CreatableTopic { num_partitions: 1, ..assigned(format!("both-v{v}"), &[(0, &[1])]) }])
    });
    script.all("assigned-and-factor", |v| {
        create(vec![CreatableTopic { replication_factor: 1, ..assigned(format!("both-v{v}"), &[(0, &[1])]) }])
    });
}

fn create_configs(script: &mut Script) {
    script.all("configs", |v| {
        create(vec![configured(
            format!("configs-v{v}"),
            &[("retention.ms", Some("3600000")), ("cleanup.policy", Some("compact,delete"))],
        )])
    });
    let wrong: [(&str, &[(&str, Option<&str>)]); 13] = [
        ("config-unknown", &[("no.such.config", Some("1"))]),
        ("config-no-number", &[("retention.ms", Some("soon"))]),
        ("config-too-small", &[("segment.bytes", Some("-5"))]),
        ("config-null", &[("retention.ms", None)]),
        ("config-empty", &[("retention.ms", Some(""))]),
        ("config-empty-list", &[("cleanup.policy", Some(""))]),
        ("config-bad-choice", &[("cleanup.policy", Some("shred"))]),
        ("config-twice", &[("retention.ms", Some("1000")), ("retention.ms", Some("2000"))]),
        ("config-of-a-broker", &[("log.dirs", Some("/tmp"))]),
        ("config-empty-name", &[("", Some("x"))]),
        ("config-local-retention", &[("local.retention.ms", Some("100")), ("retention.ms", Some("10"))]),
        ("config-remote-storage", &[("remote.storage.enable", Some("true"))]),
        ("config-lag-above-max", &[("min.compaction.lag.ms", Some("100")), ("max.compaction.lag.ms", Some("10"))]),
    ];
    for (label, configs) in wrong {
        script.all(label, |v| create(vec![configured(format!("{label}-v{v}"), configs)]));
    }
    script
        .all("config-padded", |v| create(vec![configured(format!("padded-v{v}"), &[("retention.ms", Some(" 77 "))])]));
}

fn delete(topic_names: Vec<String>) -> DeleteTopicsRequest<'static> {
    let topic_names = topic_names.into_iter().map(Into::into).collect();
    DeleteTopicsRequest { topic_names, timeout_ms: 30_000, ..DeleteTopicsRequest::default() }
}

fn delete_states(states: Vec<(Option<String>, Uuid)>) -> DeleteTopicsRequest<'static> {
    let topics = states.into_iter().map(|(name, topic_id)| DeleteTopicState {
        name: name.map(Into::into),
        topic_id,
        ..DeleteTopicState::default()
    });
    DeleteTopicsRequest { topics: topics.collect(), timeout_ms: 30_000, ..DeleteTopicsRequest::default() }
}

pub(crate) fn delete_topics(script: &mut Script) {
    // Version 6 names topics in another field, which older versions cannot carry.
    let by_name = |v: i16, names: Vec<String>| {
        if v >= 6 {
            delete_states(names.into_iter().map(|name| (Some(name), Uuid::ZERO)).collect())
        } else {
            delete(names)
        }
    };
    for v in 1..=6 {
        script.topic(&format!("gone-v{v}"), 2, &[]);
        script.topic(&format!("gone-too-v{v}"), 1, &[]);
    }
    script.all("two", |v| by_name(v, vec![format!("gone-v{v}"), format!("gone-too-v{v}"), "absent".into()]));
    script.all("again", |v| by_name(v, vec![format!("gone-v{v}")]));
    script.all("none", |v| by_name(v, vec![]));
    script.all("invalid-name", |v| by_name(v, vec!["a b".into()]));
    script.all("empty-name", |v| by_name(v, vec![String::new()]));
    for v in 1..=6 {
        script.topic(&format!("doubled-v{v}"), 1, &[]);
    }
    script.all("twice-in-one-request", |v| by_name(v, vec![format!("doubled-v{v}"), format!("doubled-v{v}")]));
    let id = script.topic("by-id", 1, &[]);
    let unknown = Uuid(77);
    script.one("unknown-id", 6, &delete_states(vec![(None, unknown)]));
    script.one("zero-id", 6, &delete_states(vec![(None, Uuid::ZERO)]));
    script.one("name-and-id", 6, &delete_states(vec![(Some("by-id".into()), id)]));
    script.one("id-twice", 6, &delete_states(vec![(None, id), (None, id)]));
    script.one("id-and-its-name", 6, &delete_states(vec![(None, id), (Some("by-id".into()), Uuid::ZERO)]));
    let id = script.topic("by-id-2", 1, &[]);
    script.one("by-id", 6, &delete_states(vec![(None, id)]));
    script.one("by-id-again", 6, &delete_states(vec![(None, id)]));
}

fn grow(name: impl Into<String>, count: i32, assignments: Option<&[&[i32]]>) -> CreatePartitionsTopic<'static> {
    let assigned =
        |ids: &&[i32]| CreatePartitionsAssignment { broker_ids: ids.to_vec(), ..CreatePartitionsAssignment::default() };
    CreatePartitionsTopic {
        name: name.into().into(),
        count,
        assignments: assignments.map(|all| all.iter().map(assigned).collect()),
        ..CreatePartitionsTopic::default()
    }
}

fn more(topics: Vec<CreatePartitionsTopic<'static>>) -> CreatePartitionsRequest<'static> {
    CreatePartitionsRequest { topics, timeout_ms: 30_000, ..CreatePartitionsRequest::default() }
}

pub(crate) fn create_partitions(script: &mut Script) {
    for v in 0..=3 {
        script.topic(&format!("grow-v{v}"), 2, &[]);
    }
    script.all("validate-only", |v| CreatePartitionsRequest {
        validate_only: true,
        ..more(vec![grow(format!("grow-v{v}"), 3, None)])
    });
    script.all("three", |v| more(vec![grow(format!("grow-v{v}"), 3, None)]));
    script.all("three-again", |v| more(vec![grow(format!("grow-v{v}"), 3, None)]));
    script.all("shrink", |v| more(vec![grow(format!("grow-v{v}"), 1, None)]));
    script.all("zero", |v| more(vec![grow(format!("grow-v{v}"), 0, None)]));
    script.all("negative", |v| more(vec![grow(format!("grow-v{v}"), -1, None)]));
    script.all("too-many", |v| more(vec![grow(format!("grow-v{v}"), 20_000, None)]));
    script.all("unknown", |_| more(vec![grow("absent", 3, None)]));
    script.all("invalid-name", |_| more(vec![grow("a b", 3, None)]));
    script.all("empty-name", |_| more(vec![grow("", 3, None)]));
    script.all("none", |_| more(vec![]));
    script.all("twice-in-one-request", |v| {
        more(vec![grow(format!("grow-v{v}"), 4, None), grow(format!("grow-v{v}"), 5, None)])
    });
    let wrong: [(&str, &[&[i32]]); 6] = [
        ("assigned-too-few", &[]),
        ("assigned-too-many", &[&[1], &[1]]),
        ("assigned-unknown-broker", &[&[7]]),
        ("assigned-nobody", &[&[]]),
        ("assigned-same-broker", &[&[1, 1]]),
        ("assigned-other-factor", &[&[1, 2]]),
    ];
    for (label, replicas) in wrong {
        script.all(label, |v| more(vec![grow(format!("grow-v{v}"), 4, Some(replicas))]));
    }
    script.all("assigned", |v| more(vec![grow(format!("grow-v{v}"), 4, Some(&[&[1]]))]));
    script.all("timeout-0", |v| CreatePartitionsRequest {
        timeout_ms: 0,
        validate_only: true,
        ..more(vec![grow(format!("grow-v{v}"), 5, None)])
    });
}
