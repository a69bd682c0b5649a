use crate::{
    ConfigSource, NodeConfig, Overrides, Properties, TopicConfig, describe_topic, node_row, node_rows, topic_rows,
    validate_topic,
};
use std::collections::BTreeMap;

/// What Kafka 4.4 ships as `config/server.properties`, without its comments.
const SHIPPED: &str = "process.roles=broker,controller
node.id=1
controller.quorum.bootstrap.servers=localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://:9093
inter.broker.listener.name=PLAINTEXT
advertised.listeners=PLAINTEXT://localhost:9092,CONTROLLER://localhost:9093
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL
num.network.threads=3
num.io.threads=8
socket.send.buffer.bytes=102400
socket.receive.buffer.bytes=102400
socket.request.max.bytes=104857600
log.dirs=/tmp/kraft-combined-logs
num.partitions=1
num.recovery.threads.per.data.dir=1
offsets.topic.replication.factor=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
log.retention.hours=168
log.segment.bytes=1073741824
log.retention.check.interval.ms=300000
";

fn read(extra: &str) -> Result<NodeConfig, Vec<String>> {
    NodeConfig::from_properties(&Properties::parse(&format!("{SHIPPED}{extra}"))).map(|startup| startup.config)
}

#[test]
fn the_shipped_file_is_read_unchanged() {
    let config = read("").unwrap();
    assert_eq!((config.node_id, config.listeners.len(), config.fsync), (1, 2, true));
    assert!(config.listener("CONTROLLER").unwrap().is_controller);
    assert_eq!(config.listener("PLAINTEXT").unwrap().advertised.host, "localhost");
    assert_eq!(config.number("log.retention.hours"), 168);
}

#[test]
fn what_protects_refuses_and_what_is_unknown_warns() {
    for unsafe_line in [
        "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "listeners=SASL_SSL://:9092,CONTROLLER://:9093",
        "listener.name.plaintext.ssl.keystore.location=/x",
        "create.topic.policy.class.name=x.Y",
    ] {
        assert!(read(unsafe_line).is_err(), "{unsafe_line}");
    }
    let startup = NodeConfig::from_properties(&Properties::parse(&format!(
        "{SHIPPED}no.such.key=1\nreplica.lag.time.max.ms=3000\n"
    )))
    .unwrap();
    let warnings: Vec<_> = startup.warnings.iter().map(|warning| warning.0.as_str()).collect();
    assert!(warnings.iter().any(|warning| warning.starts_with("no.such.key")), "{warnings:?}");
    assert!(warnings.iter().any(|warning| warning.starts_with("replica.lag.time.max.ms")), "{warnings:?}");
}

#[test]
fn wrong_values_are_named() {
    for (line, word) in [
        ("num.partitions=0", "num.partitions"),
        ("process.roles=broker", "process.roles"),
        ("listeners=nonsense", "nonsense"),
        ("socket.request.max.bytes=x", "socket.request.max.bytes"),
        ("queued.max.request.bytes=1000", "queued.max.request.bytes"),
        ("controller.quorum.voters=1@host", "controller.quorum.voters"),
        ("controller.quorum.voters=-1@host:1", "`-1@host:1` in controller.quorum.voters"),
        ("controller.quorum.voters=2@host:1,3@host:2", "controller.quorum.voters has no voter 1"),
        ("log.durability=never", "log.durability"),
    ] {
        let errors = read(line).unwrap_err();
        assert!(errors.iter().any(|error| error.contains(word)), "{line}: {errors:?}");
    }
}

/// The node would advertise, or be, something that is not what its file says: Kafka does not start with any of these either.
#[test]
fn listeners_and_ids_that_contradict_each_other_refuse_a_start() {
    let map = "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,B:PLAINTEXT,CONTROLLER:PLAINTEXT";
    for (lines, word) in [
        ("listeners=PLAINTEXT://0.0.0.0:9092,CONTROLLER://:9093\nadvertised.listeners=", "0.0.0.0"),
        ("advertised.listeners=PLAINTEXT://0.0.0.0:9092", "0.0.0.0"),
        (
            "inter.broker.listener.name=\nadvertised.listeners=CONTROLLER://localhost:9093",
            "advertised.listeners names no listener for clients",
        ),
        (
            &*format!(
                "{map}\nlisteners=PLAINTEXT://127.0.0.1:9092,B://127.0.0.1:9092,CONTROLLER://:9093\nadvertised.listeners="
            ),
            "port 9092",
        ),
        ("inter.broker.listener.name=NOPE", "inter.broker.listener.name"),
        ("inter.broker.listener.name=CONTROLLER", "inter.broker.listener.name"),
        ("security.inter.broker.protocol=SASL_SSL", "security.inter.broker.protocol"),
        ("inter.broker.listener.name=\nsecurity.inter.broker.protocol=SASL_SSL", "security.inter.broker.protocol"),
        ("controller.listener.names=CTL", "controller.listener.names"),
        ("broker.id=7", "broker.id"),
        ("broker.id=-1", "broker.id"),
        ("log.dirs=/a,,/b", "log.dirs"),
    ] {
        let errors = read(lines).unwrap_err();
        assert_eq!(errors.len(), 1, "{lines}: {errors:?}");
        assert!(errors[0].contains(word), "{lines}: {errors:?}");
    }
    for fits in [
        "broker.id=1",
        "controller.quorum.voters=1@localhost:9093",
        "inter.broker.listener.name=plaintext",
        "inter.broker.listener.name=\nsecurity.inter.broker.protocol=PLAINTEXT",
        "listeners=PLAINTEXT://:0,CONTROLLER://:0",
        &*format!(
            "{map}\nlisteners=PLAINTEXT://127.0.0.1:9092,B://[::1]:9092,CONTROLLER://:9093\nadvertised.listeners="
        ),
    ] {
        assert!(read(fits).is_ok(), "{fits}: {:?}", read(fits));
    }
}

#[test]
fn configs_of_groups_that_contradict_each_other_refuse_a_start() {
    for (lines, word) in [
        ("group.consumer.session.timeout.ms=44999", "group.consumer.min.session.timeout.ms is 45000"),
        ("group.consumer.session.timeout.ms=60001", "group.consumer.max.session.timeout.ms, which is 60000"),
        ("group.consumer.max.heartbeat.interval.ms=4000", "group.consumer.heartbeat.interval.ms is 5000"),
        ("group.consumer.min.assignment.interval.ms=15001", "group.consumer.min.assignment.interval.ms is 15001"),
        (
            "group.consumer.max.heartbeat.interval.ms=90000\ngroup.consumer.heartbeat.interval.ms=45000",
            "must be less than group.consumer.session.timeout.ms",
        ),
        ("group.share.delivery.count.limit=2\ngroup.share.min.delivery.count.limit=3", "group.share.min.delivery"),
        ("group.streams.num.standby.replicas=3", "group.streams.max.standby.replicas, which is 2"),
    ] {
        let errors = read(lines).unwrap_err();
        assert!(errors.iter().any(|error| error.contains(word)), "{lines}: {errors:?}");
    }
    let fits = "group.consumer.min.session.timeout.ms=6000\ngroup.consumer.session.timeout.ms=6000";
    assert!(read(fits).is_ok());
    let errors = read("group.consumer.session.timeout.ms=x").unwrap_err();
    assert_eq!(errors.len(), 1, "what is no number has no bounds: {errors:?}");
}

#[test]
fn assignors_are_kafkas_own_by_name_or_by_class() {
    let class = |name: &str| format!("org.apache.kafka.coordinator.group.assignor.{name}Assignor");
    let read = |value: &str| {
        let config = read(&format!("group.consumer.assignors={value}")).map_err(|errors| errors.join(" "))?;
        let value = config.value("group.consumer.assignors").unwrap_or_default();
        Ok::<Vec<_>, String>(crate::consumer_assignor_names(value).collect())
    };
    assert_eq!(read("range"), Ok(vec!["range"]));
    assert_eq!(read("range, uniform"), Ok(vec!["range", "uniform"]));
    assert_eq!(read(&class("Range")), Ok(vec!["range"]));
    assert_eq!(read(&format!("{},range", class("Uniform"))), Ok(vec!["uniform", "range"]));
    for wrong in
        ["", "nosuch", "range,nosuch", "range,range", &format!("range,{}", class("Range")), "range,", &class("Sticky")]
    {
        let why = read(wrong).unwrap_err();
        assert!(why.contains("group.consumer.assignors"), "{wrong}: {why}");
    }
    assert!(read("com.example.Mine").unwrap_err().contains("name one of them or both"));
}

#[test]
fn memory_for_requests_has_a_limit_also_by_default() {
    let bytes = |lines: &str| read(lines).unwrap().request_memory_bytes;
    assert_eq!(bytes(""), 200 << 20);
    assert_eq!(bytes("queued.max.request.bytes=-1\nsocket.request.max.bytes=1000\n"), 2000);
    assert_eq!(bytes("queued.max.request.bytes=104857600"), 100 << 20);
}

#[test]
fn every_default_passes_its_own_check() {
    for row in node_rows().iter().chain(topic_rows()) {
        if let Some(default) = row.default {
            row.check(default).unwrap_or_else(|why| panic!("{why}"));
        }
    }
}

#[test]
fn ranges_and_words_are_checked() {
    let check = |name: &str, value: &str| node_row(name).unwrap().check(value).is_ok();
    assert!(check("compression.gzip.level", "-1") && check("compression.gzip.level", "9"));
    assert!(!check("compression.gzip.level", "0") && !check("compression.gzip.level", "10"));
    assert!(check("log.cleanup.policy", "compact, delete") && !check("log.cleanup.policy", "compact,never"));
    assert!(!check("auto.create.topics.enable", "yes") && check("auto.create.topics.enable", "TRUE"));
    assert!(!check("log.segment.bytes", "99999999999"));
}

#[test]
fn a_topic_falls_back_to_the_node_in_order() {
    let node = |name: &str| (name == "log.retention.hours").then(|| "2".to_owned());
    let resolve = |overrides: &[(&str, &str)]| {
        let overrides = overrides.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        TopicConfig::resolve(&node, &overrides).unwrap()
    };
    assert_eq!(resolve(&[]).retention_ms, 7_200_000);
    assert_eq!(resolve(&[("retention.ms", "5")]).retention_ms, 5);
    assert_eq!(resolve(&[]).segment_bytes, 1 << 30);
    let compacted = resolve(&[("cleanup.policy", "compact")]);
    assert!(compacted.compact && !compacted.delete);
}

#[test]
fn topic_overrides_are_validated_together() {
    let check = |pairs: &[(&str, &str)]| {
        validate_topic(&pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    };
    assert!(check(&[("retention.ms", "-1"), ("cleanup.policy", "")]).is_ok());
    assert!(check(&[("retention.ms", "-2")]).is_err());
    assert!(check(&[("no.such", "1")]).unwrap_err().contains("Unknown topic config name"));
    assert!(check(&[("min.compaction.lag.ms", "5"), ("max.compaction.lag.ms", "4")]).is_err());
    assert!(check(&[("remote.storage.enable", "true")]).is_err());
}

#[test]
fn described_topics_show_sources_and_synonyms() {
    let none = BTreeMap::new();
    let file = BTreeMap::from([("log.retention.hours".to_owned(), "3".to_owned())]);
    let overrides = BTreeMap::from([("segment.bytes".to_owned(), "2097152".to_owned())]);
    let node = Overrides { broker: &none, default_broker: &none, file: &file };
    let entries = describe_topic(&overrides, node);
    let entry = |name: &str| entries.iter().find(|entry| entry.name == name).unwrap();
    assert_eq!(
        (entry("segment.bytes").value.as_deref(), entry("segment.bytes").source),
        (Some("2097152"), ConfigSource::Topic)
    );
    assert_eq!(entry("retention.ms").value.as_deref(), Some("10800000"));
    assert_eq!(entry("retention.ms").source, ConfigSource::StaticBroker);
    assert_eq!(entry("max.message.bytes").source, ConfigSource::Default);
    assert_eq!(entry("max.message.bytes").synonyms[0].name, "message.max.bytes");
}

#[test]
fn a_topics_durability_is_its_own_or_the_nodes() {
    let resolve = |node: &'static str, own: &[(&str, &str)]| {
        let own = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        TopicConfig::resolve(&|name| (name == "log.durability" && !node.is_empty()).then(|| node.to_owned()), &own)
            .unwrap()
            .durability
    };
    assert_eq!(resolve("", &[]), crate::Durability::Fsync);
    assert_eq!(resolve("pagecache", &[]), crate::Durability::PageCache);
    assert_eq!(resolve("pagecache", &[("durability", "fsync")]), crate::Durability::Fsync);
    let refused = crate::validate_topic(&[("durability".to_owned(), "never".to_owned())].into()).unwrap_err();
    assert!(refused.contains("fsync, pagecache"), "{refused}");
}
