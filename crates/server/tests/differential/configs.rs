//! DescribeConfigs, AlterConfigs, IncrementalAlterConfigs, ListConfigResources.

use crate::script::Script;
use protocol::messages::alter_configs_request::{self, AlterConfigsRequest};
use protocol::messages::describe_configs_request::{DescribeConfigsRequest, DescribeConfigsResource};
use protocol::messages::incremental_alter_configs_request::{self, IncrementalAlterConfigsRequest};
use protocol::messages::list_config_resources_request::ListConfigResourcesRequest;

pub(crate) const TOPIC: i8 = 2;
pub(crate) const BROKER: i8 = 4;
const BROKER_LOGGER: i8 = 8;
const CLIENT_METRICS: i8 = 16;
pub(crate) const GROUP: i8 = 32;

pub(crate) fn describe(kind: i8, name: &str, keys: Option<&[&str]>) -> DescribeConfigsRequest<'static> {
    let keys = keys.map(|keys| keys.iter().map(|key| (*key).to_owned().into()).collect());
    let resource = DescribeConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned().into(),
        configuration_keys: keys,
        ..DescribeConfigsResource::default()
    };
    DescribeConfigsRequest { resources: vec![resource], ..DescribeConfigsRequest::default() }
}

pub(crate) fn describe_configs(script: &mut Script) {
    script.topic("described", 1, &[("retention.ms", "1234"), ("compression.type", "lz4")]);
    let keys: &[&str] = &["retention.ms", "compression.type", "segment.bytes", "no.such.config"];
    script.all("topic-keys", |_| describe(TOPIC, "described", Some(keys)));
    script.all("topic-keys-synonyms", |_| DescribeConfigsRequest {
        include_synonyms: true,
        ..describe(TOPIC, "described", Some(keys))
    });
    script.all("topic-keys-documentation", |_| DescribeConfigsRequest {
        include_documentation: true,
        ..describe(TOPIC, "described", Some(keys))
    });
    script.all("topic-no-keys", |_| describe(TOPIC, "described", Some(&[])));
    script.all("topic-key-twice", |_| describe(TOPIC, "described", Some(&["retention.ms", "retention.ms"])));
    script.all("topic-empty-key", |_| describe(TOPIC, "described", Some(&[""])));
    script.all("unknown-topic", |_| describe(TOPIC, "absent", None));
    script.all("invalid-topic", |_| describe(TOPIC, "a b", None));
    script.all("empty-topic", |_| describe(TOPIC, "", None));
    let keys: &[&str] = &[
        "node.id",
        "num.partitions",
        "log.retention.hours",
        "log.retention.ms",
        "log.cleaner.threads",
        "no.such.config",
    ];
    script.all("broker-keys", |_| describe(BROKER, "1", Some(keys)));
    script.all("broker-keys-synonyms", |_| DescribeConfigsRequest {
        include_synonyms: true,
        ..describe(BROKER, "1", Some(keys))
    });
    script.all("brokers-default", |_| describe(BROKER, "", None));
    script.all("another-broker", |_| describe(BROKER, "2", None));
    script.all("no-broker", |_| describe(BROKER, "one", None));
    script.all("client-metrics", |_| describe(CLIENT_METRICS, "m", None));
    script.all("client-metrics-empty-name", |_| describe(CLIENT_METRICS, "", None));
    script.all("group", |_| describe(GROUP, "g", None));
    script.all("group-empty-name", |_| describe(GROUP, "", None));
    script.all("logger", |_| describe(BROKER_LOGGER, "1", Some(&["root"])));
    script.all("logger-of-another-broker", |_| describe(BROKER_LOGGER, "2", None));
    script.all("logger-of-no-broker", |_| describe(BROKER_LOGGER, "", None));
    for kind in [0, 1, 3, 64, -1] {
        script.all(&format!("kind-{kind}"), |_| describe(kind, "x", None));
    }
    script.all("none", |_| DescribeConfigsRequest::default());
    script.all("twice", |_| {
        let one = describe(TOPIC, "described", Some(&["retention.ms"])).resources;
        DescribeConfigsRequest { resources: [one.clone(), one].concat(), ..DescribeConfigsRequest::default() }
    });
    whole(script, "topic-whole", TOPIC, "described");
    whole(script, "broker-whole", BROKER, "1");
}

/// Every config of a resource, one line each.
fn whole(script: &mut Script, label: &str, kind: i8, name: &str) {
    let request =
        DescribeConfigsRequest { include_synonyms: true, include_documentation: true, ..describe(kind, name, None) };
    let configs = script.look(4, &request, |response| {
        let configs = response.results[0].configs.iter().map(|config| (config.name.to_string(), format!("{config:?}")));
        configs.collect::<Vec<_>>()
    });
    for (name, debug) in configs {
        let line = crate::canon::canonical(&debug, 4);
        script.note::<DescribeConfigsRequest<'_>>(&format!("{label}.{name}"), 4, line);
    }
}

fn set(kind: i8, name: impl Into<String>, configs: &[(&str, Option<&str>)]) -> AlterConfigsRequest<'static> {
    let configs = configs.iter().map(|(name, value)| alter_configs_request::AlterableConfig {
        name: (*name).to_owned().into(),
        value: value.map(|value| value.to_owned().into()),
        ..Default::default()
    });
    let resource = alter_configs_request::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.into().into(),
        configs: configs.collect(),
        ..Default::default()
    };
    AlterConfigsRequest { resources: vec![resource], ..AlterConfigsRequest::default() }
}

pub(crate) fn alter_configs(script: &mut Script) {
    script.topic("altered", 1, &[("retention.ms", "1234")]);
    let shown = |script: &mut Script, label: &str| {
        let keys: &[&str] = &["retention.ms", "cleanup.policy", "segment.bytes"];
        settle(script, "altered");
        script.within(&format!("after-{label}"), 4..=4, |_| describe(TOPIC, "altered", Some(keys)));
    };
    script.all("set", |_| set(TOPIC, "altered", &[("segment.bytes", Some("2000000"))]));
    shown(script, "set");
    script.all("validate-only", |_| AlterConfigsRequest {
        validate_only: true,
        ..set(TOPIC, "altered", &[("retention.ms", Some("5"))])
    });
    shown(script, "validate-only");
    script.all("empty", |_| set(TOPIC, "altered", &[]));
    shown(script, "empty");
    let cases: [(&str, &[(&str, Option<&str>)]); 6] = [
        ("null", &[("retention.ms", None)]),
        ("unknown-config", &[("no.such.config", Some("1"))]),
        ("bad-value", &[("retention.ms", Some("soon"))]),
        ("twice", &[("retention.ms", Some("1")), ("retention.ms", Some("2"))]),
        ("empty-name", &[("", Some("1"))]),
        ("empty-value", &[("retention.ms", Some(""))]),
    ];
    for (label, configs) in cases {
        script.all(label, |_| set(TOPIC, "altered", configs));
    }
    resources(script);
    let one: &[(&str, Option<&str>)] = &[("log.cleaner.backoff.ms", Some("15007"))];
    script.all("broker-set", |_| set(BROKER, "1", one));
    settle(script, "altered");
    script.within("broker-set-shown", 4..=4, |_| describe(BROKER, "1", Some(&["log.cleaner.backoff.ms"])));
    script.all("broker-reset", |_| set(BROKER, "1", &[]));
    script.all("brokers-set", |_| set(BROKER, "", one));
    settle(script, "altered");
    script.within("brokers-set-shown", 4..=4, |_| describe(BROKER, "", None));
    script.all("brokers-reset", |_| set(BROKER, "", &[]));
    script.all("broker-read-only", |_| set(BROKER, "1", &[("log.dirs", Some("/x"))]));
    // Kafka 4.4.0 never answers this one.
    script.within("resource-twice", 2..=2, |_| {
        let one = set(TOPIC, "altered", &[("retention.ms", Some("7"))]).resources;
        AlterConfigsRequest { resources: [one.clone(), one].concat(), ..AlterConfigsRequest::default() }
    });
    script.all("none", |_| AlterConfigsRequest::default());
}

fn resources(script: &mut Script) {
    let one: &[(&str, Option<&str>)] = &[("retention.ms", Some("1"))];
    script.all("unknown-topic", |_| set(TOPIC, "absent", one));
    script.all("invalid-topic", |_| set(TOPIC, "a b", one));
    script.all("empty-topic", |_| set(TOPIC, "", one));
    for kind in [0, 1, 3, 64, -1] {
        script.all(&format!("kind-{kind}"), |_| set(kind, "x", one));
    }
    for (label, name) in [("another-broker", "2"), ("no-broker", "one"), ("negative-broker", "-1")] {
        script.all(label, |_| AlterConfigsRequest {
            validate_only: true,
            ..set(BROKER, name, &[("log.cleaner.backoff.ms", Some("15007"))])
        });
    }
    script.all("logger", |_| set(BROKER_LOGGER, "1", &[("kafka.server", Some("INFO"))]));
    script.all("client-metrics-bad", |_| set(CLIENT_METRICS, "m", &[("no.such", Some("1"))]));
    script.all("group-bad", |_| set(GROUP, "g", &[("no.such", Some("1"))]));
    script.all("group-empty-name", |_| set(GROUP, "", &[("consumer.session.timeout.ms", Some("50000"))]));
}

pub(crate) const SET: i8 = 0;
pub(crate) const DELETE: i8 = 1;
const APPEND: i8 = 2;
const SUBTRACT: i8 = 3;

type Change<'a> = (&'a str, i8, Option<&'a str>);

pub(crate) fn change(kind: i8, name: &str, changes: &[Change<'_>]) -> IncrementalAlterConfigsRequest<'static> {
    let configs = changes.iter().map(|(name, op, value)| incremental_alter_configs_request::AlterableConfig {
        name: (*name).to_owned().into(),
        config_operation: *op,
        value: value.map(|value| value.to_owned().into()),
        ..Default::default()
    });
    let resource = incremental_alter_configs_request::AlterConfigsResource {
        resource_type: kind,
        resource_name: name.to_owned().into(),
        configs: configs.collect(),
        ..Default::default()
    };
    IncrementalAlterConfigsRequest { resources: vec![resource], ..IncrementalAlterConfigsRequest::default() }
}

/// Waits until all that was changed before is shown: a change may be answered before the one that is asked shows it, but changes are shown
/// in their order.
pub(crate) fn settle(script: &mut Script, topic: &str) {
    const MARK: &str = "file.delete.delay.ms";
    let mark = (60_001 + script.lines.len()).to_string();
    let error =
        script.look(1, &change(TOPIC, topic, &[(MARK, SET, Some(&mark))]), |response| response.responses[0].error_code);
    assert_eq!(error, 0, "{topic} takes no mark");
    for _ in 0..1_000_000 {
        let is_shown = script.look(4, &describe(TOPIC, topic, Some(&[MARK])), |response| {
            response.results[0].configs.iter().any(|config| config.value.as_deref() == Some(&*mark))
        });
        if is_shown {
            return;
        }
    }
    panic!("a change of {topic} is never shown");
}

fn topic_step(script: &mut Script, label: &str, changes: &[Change<'_>]) {
    script.all(label, |_| change(TOPIC, "stepped", changes));
    settle(script, "stepped");
    let request = describe(TOPIC, "stepped", Some(&["cleanup.policy", "retention.ms"]));
    let values = script.look(4, &request, |response| {
        let configs = response.results[0].configs.iter();
        configs.map(|config| format!("{}={:?}", config.name, config.value)).collect::<Vec<_>>().join(" ")
    });
    script.note::<IncrementalAlterConfigsRequest<'_>>(&format!("{label}-leaves"), 1, values);
}

pub(crate) fn incremental_alter_configs(script: &mut Script) {
    script.topic("stepped", 1, &[]);
    topic_step(script, "set", &[("retention.ms", SET, Some("5000"))]);
    topic_step(script, "set-same", &[("retention.ms", SET, Some("5000"))]);
    topic_step(script, "delete", &[("retention.ms", DELETE, None)]);
    topic_step(script, "delete-with-value", &[("retention.ms", DELETE, Some("7"))]);
    topic_step(script, "append", &[("cleanup.policy", APPEND, Some("compact"))]);
    topic_step(script, "append-again", &[("cleanup.policy", APPEND, Some("compact"))]);
    topic_step(script, "subtract", &[("cleanup.policy", SUBTRACT, Some("compact"))]);
    topic_step(script, "subtract-absent", &[("cleanup.policy", SUBTRACT, Some("compact"))]);
    topic_step(script, "subtract-all", &[("cleanup.policy", SUBTRACT, Some("delete"))]);
    topic_step(script, "append-two", &[("cleanup.policy", APPEND, Some("compact,delete"))]);
    topic_step(script, "append-bad", &[("cleanup.policy", APPEND, Some("shred"))]);
    topic_step(script, "append-to-number", &[("retention.ms", APPEND, Some("1"))]);
    topic_step(script, "subtract-from-number", &[("retention.ms", SUBTRACT, Some("1"))]);
    topic_step(script, "operation-9", &[("retention.ms", 9, Some("1"))]);
    topic_step(script, "operation-negative", &[("retention.ms", -1, Some("1"))]);
    topic_step(script, "set-null", &[("retention.ms", SET, None)]);
    topic_step(script, "append-null", &[("cleanup.policy", APPEND, None)]);
    topic_step(script, "key-twice", &[("retention.ms", SET, Some("1")), ("retention.ms", SET, Some("2"))]);
    topic_step(script, "key-set-and-deleted", &[("retention.ms", SET, Some("1")), ("retention.ms", DELETE, None)]);
    topic_step(script, "one-of-two-bad", &[("retention.ms", SET, Some("9")), ("segment.bytes", SET, Some("-1"))]);
    topic_step(script, "unknown", &[("no.such.config", SET, Some("1"))]);
    topic_step(script, "unknown-deleted", &[("no.such.config", DELETE, None)]);
    topic_step(script, "unknown-appended", &[("no.such.config", APPEND, Some("1"))]);
    topic_step(script, "empty-name", &[("", SET, Some("1"))]);
    topic_step(script, "none", &[]);
    script.all("validate-only", |_| IncrementalAlterConfigsRequest {
        validate_only: true,
        ..change(TOPIC, "stepped", &[("retention.ms", SET, Some("6"))])
    });
    incremental_resources(script);
    broker_configs(script);
}

fn incremental_resources(script: &mut Script) {
    let one: &[Change<'_>] = &[("retention.ms", SET, Some("1"))];
    script.all("unknown-topic", |_| change(TOPIC, "absent", one));
    script.all("invalid-topic", |_| change(TOPIC, "a b", one));
    script.all("empty-topic", |_| change(TOPIC, "", one));
    for kind in [0, 1, 3, 64, -1] {
        script.all(&format!("kind-{kind}"), |_| change(kind, "x", one));
    }
    script.all("resource-twice", |_| {
        let one = change(TOPIC, "stepped", &[("retention.ms", SET, Some("7"))]).resources;
        IncrementalAlterConfigsRequest {
            resources: [one.clone(), one].concat(),
            ..IncrementalAlterConfigsRequest::default()
        }
    });
    script.all("two-resources", |_| {
        let all = [
            change(TOPIC, "stepped", &[("retention.ms", SET, Some("8"))]).resources,
            change(TOPIC, "absent", &[("retention.ms", SET, Some("8"))]).resources,
        ];
        IncrementalAlterConfigsRequest { resources: all.concat(), ..IncrementalAlterConfigsRequest::default() }
    });
    script.all("no-resources", |_| IncrementalAlterConfigsRequest::default());
    script.all("group", |_| change(GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("50000"))]));
    settle(script, "stepped");
    script.within("group-shown", 4..=4, |_| describe(GROUP, "g", Some(&["consumer.session.timeout.ms"])));
    script.all("group-too-small", |_| change(GROUP, "g", &[("consumer.session.timeout.ms", SET, Some("1"))]));
    script.all("group-unknown", |_| change(GROUP, "g", &[("no.such", SET, Some("1"))]));
    script.all("group-empty-name", |_| change(GROUP, "", &[("consumer.session.timeout.ms", SET, Some("50000"))]));
    script.all("group-reset", |_| change(GROUP, "g", &[("consumer.session.timeout.ms", DELETE, None)]));
    script.all("logger", |_| change(BROKER_LOGGER, "1", &[("root", SET, Some("INFO"))]));
    script.all("client-metrics", |_| change(CLIENT_METRICS, "m", &[("interval.ms", SET, Some("1000"))]));
    script.all("client-metrics-too-small", |_| change(CLIENT_METRICS, "m", &[("interval.ms", SET, Some("1"))]));
    script.all("client-metrics-unknown", |_| change(CLIENT_METRICS, "m", &[("no.such", SET, Some("1"))]));
    script.all("client-metrics-empty-name", |_| change(CLIENT_METRICS, "", &[("interval.ms", SET, Some("1000"))]));
    settle(script, "stepped");
    script.within("client-metrics-shown", 4..=4, |_| describe(CLIENT_METRICS, "m", None));
    list_config_resources(script);
    script.all("client-metrics-reset", |_| change(CLIENT_METRICS, "m", &[("interval.ms", DELETE, None)]));
}

fn list_config_resources(script: &mut Script) {
    for (label, kinds) in [
        ("brokers", vec![BROKER]),
        ("client-metrics", vec![CLIENT_METRICS]),
        ("groups", vec![GROUP]),
        ("loggers", vec![BROKER_LOGGER]),
        ("unknown", vec![3]),
        ("brokers-twice", vec![BROKER, BROKER]),
        ("brokers-and-unknown", vec![BROKER, 99]),
    ] {
        script.all(label, |_| ListConfigResourcesRequest {
            resource_types: kinds.clone(),
            ..ListConfigResourcesRequest::default()
        });
    }
    script.within("default", 0..=0, |_| ListConfigResourcesRequest::default());
}

fn broker_configs(script: &mut Script) {
    let cases: [(&str, &str, &[Change<'_>]); 17] = [
        ("broker-set", "1", &[("log.retention.ms", SET, Some("7000"))]),
        ("broker-delete", "1", &[("log.retention.ms", DELETE, None)]),
        ("brokers-set", "", &[("log.retention.ms", SET, Some("8000"))]),
        ("brokers-delete", "", &[("log.retention.ms", DELETE, None)]),
        ("broker-read-only", "1", &[("log.dirs", SET, Some("/x"))]),
        ("broker-read-only-2", "1", &[("num.partitions", SET, Some("4"))]),
        ("brokers-read-only", "", &[("node.id", SET, Some("4"))]),
        ("broker-unknown", "1", &[("no.such.config", SET, Some("4"))]),
        ("broker-cluster-wide-only", "1", &[("log.cleaner.threads", SET, Some("2"))]),
        ("broker-cluster-wide-only-back", "1", &[("log.cleaner.threads", DELETE, None)]),
        ("brokers-per-broker-only", "", &[("listeners", SET, Some("PLAINTEXT://:1"))]),
        ("brokers-bad", "", &[("log.retention.ms", SET, Some("soon"))]),
        ("brokers-too-small", "", &[("num.network.threads", SET, Some("0"))]),
        ("brokers-append", "", &[("log.cleanup.policy", APPEND, Some("compact"))]),
        ("brokers-append-back", "", &[("log.cleanup.policy", DELETE, None)]),
        ("broker-password", "1", &[("ssl.key.password", SET, Some("secret"))]),
        ("brokers-null", "", &[("log.retention.ms", SET, None)]),
    ];
    for (label, name, changes) in cases {
        script.all(label, |_| change(BROKER, name, changes));
        settle(script, "stepped");
        script.within(&format!("incremental-{label}-shown"), 4..=4, |_| describe(BROKER, name, Some(&[changes[0].0])));
    }
    for (label, name) in [("another-broker", "2"), ("no-broker", "one")] {
        script.all(label, |_| IncrementalAlterConfigsRequest {
            validate_only: true,
            ..change(BROKER, name, &[("log.retention.ms", SET, Some("1"))])
        });
    }
}
