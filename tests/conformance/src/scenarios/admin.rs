//! Kafka's own command line tools against the node: what an operator types on the first day.

use conformance::fault::{During, Fault, ensure};
use conformance::java::Java;
use conformance::process::CLIENT_DEADLINE;
use conformance::rig::Scene;

/// kafka-consumer-groups.
pub(super) const GROUPS_TOOL: &str = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand";

pub(super) fn contains(text: &str, parts: &[&str]) -> Result<(), Fault> {
    for part in parts {
        ensure(text.contains(part), || format!("no `{part}` in:\n{text}"))?;
    }
    Ok(())
}

/// A tool with `--bootstrap-server`.
pub(super) fn ask(java: &mut Java, address: &str, class: &str, args: &[&str]) -> Result<String, Fault> {
    java.tool(class, &[&["--bootstrap-server", address], args].concat())
}

/// A tool that must refuse, and say all of `words`.
pub(super) fn refused(java: &mut Java, address: &str, class: &str, args: &[&str], words: &[&str]) -> Result<(), Fault> {
    let answer = java.tool_any(class, None, &[&["--bootstrap-server", address], args].concat())?;
    let said = format!("{}\n{}", answer.stdout, answer.stderr);
    ensure(answer.code != 0, || format!("{class} {} was not refused: {said}", args.join(" ")))?;
    contains(&said, words)
}

pub(super) fn topics(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = scene.plan()?.start(scene)?;
    let at = node.address.as_str();
    let tool = "TopicCommand";
    scene.java(|java| {
        ask(
            java,
            at,
            tool,
            &[
                "--create",
                "--topic",
                "rides",
                "--partitions",
                "3",
                "--replication-factor",
                "1",
                "--config",
                "cleanup.policy=compact",
            ],
        )?;
        ask(java, at, tool, &["--create", "--topic", "fares"])?;
        contains(&ask(java, at, tool, &["--list"])?, &["rides", "fares"])?;
        let described = ask(java, at, tool, &["--describe", "--topic", "rides"])?;
        contains(
            &described,
            &["PartitionCount: 3", "ReplicationFactor: 1", "cleanup.policy=compact", "Partition: 2", "TopicId: "],
        )?;
        ask(java, at, tool, &["--alter", "--topic", "rides", "--partitions", "5"])?;
        contains(&ask(java, at, tool, &["--describe", "--topic", "rides"])?, &["PartitionCount: 5", "Partition: 4"])?;
        ask(java, at, tool, &["--create", "--if-not-exists", "--topic", "rides"])?;
        refused(java, at, tool, &["--create", "--topic", "rides"], &["TopicExistsException"])?;
        refused(java, at, tool, &["--create", "--topic", "no/slash"], &["InvalidTopicException"])?;
        refused(
            java,
            at,
            tool,
            &["--create", "--topic", "wide", "--replication-factor", "3"],
            &["InvalidReplicationFactorException"],
        )?;
        // kafka-topics checks configs itself, so these go through the admin client.
        for config in ["retention.ms=soon", "no.such.key=1", "cleanup.policy=shred"] {
            let answer = java.ask(&["create", at, "odd", "1", "1", config], CLIENT_DEADLINE)?;
            ensure(answer.code != 0 && answer.stderr.contains("InvalidConfigurationException"), || {
                format!("{config}: {answer:?}")
            })?;
        }
        refused(
            java,
            at,
            tool,
            &["--alter", "--topic", "rides", "--partitions", "2"],
            &["InvalidPartitionsException"],
        )?;
        refused(java, at, tool, &["--delete", "--topic", "absent"], &["does not exist"])?;
        ask(java, at, tool, &["--delete", "--topic", "fares"])?;
        let left = ask(java, at, tool, &["--list"])?;
        ensure(!left.contains("fares"), || format!("a deleted topic is listed: {left}"))
    })?;
    node.stop()
}

pub(super) fn configs(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?;
    let node = plan.start(scene)?;
    let at = node.address.clone();
    let tool = "ConfigCommand";
    let topic = ["--entity-type", "topics", "--entity-name", "rides"];
    let alter =
        |java: &mut Java, at: &str, args: &[&str]| ask(java, at, tool, &[&topic[..], &["--alter"], args].concat());
    scene.java(|java| {
        ask(java, &at, "TopicCommand", &["--create", "--topic", "rides"])?;
        alter(java, &at, &["--add-config", "retention.ms=3600000,cleanup.policy=[compact,delete]"])?;
        let described = ask(java, &at, tool, &[&topic[..], &["--describe"]].concat())?;
        contains(&described, &["retention.ms=3600000", "cleanup.policy=compact,delete", "DYNAMIC_TOPIC_CONFIG"])?;
        let all = ask(java, &at, tool, &[&topic[..], &["--describe", "--all"]].concat())?;
        contains(
            &all,
            &[
                "retention.ms=3600000",
                "segment.bytes=1073741824",
                "DEFAULT_CONFIG:log.segment.bytes",
                "min.insync.replicas=1",
            ],
        )?;
        alter(java, &at, &["--delete-config", "retention.ms"])?;
        let described = ask(java, &at, tool, &[&topic[..], &["--describe"]].concat())?;
        ensure(!described.contains("retention.ms=3600000"), || {
            format!("a deleted config is still there: {described}")
        })?;
        let bad = [&topic[..], &["--alter", "--add-config", "segment.bytes=-5"]].concat();
        refused(java, &at, tool, &bad, &["InvalidConfigurationException"])?;
        let broker = ask(java, &at, tool, &["--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"])?;
        contains(&broker, &["node.id=1", "log.retention.hours=168", "num.partitions=1"])?;
        let set = [
            "--entity-type",
            "brokers",
            "--entity-name",
            "1",
            "--alter",
            "--add-config",
            "log.cleaner.backoff.ms=15001",
        ];
        ask(java, &at, tool, &set)?;
        let broker = ask(java, &at, tool, &["--entity-type", "brokers", "--entity-name", "1", "--describe"])?;
        contains(&broker, &["log.cleaner.backoff.ms=15001"])
    })?;
    node.stop()?;
    let node = plan.start(scene)?;
    let described = scene.java(|java| ask(java, &node.address, tool, &[&topic[..], &["--describe"]].concat()))?;
    contains(&described, &["cleanup.policy=compact,delete"]).during("after a restart")?;
    node.stop()
}

pub(super) fn offsets(scene: &Scene<'_>) -> Result<(), Fault> {
    let plan = scene.plan()?;
    let node = plan.start(scene)?;
    let at = node.address.clone();
    let cut = scene.path("cut.json");
    let json = r#"{"partitions": [{"topic": "t", "partition": 0, "offset": 250}, {"topic": "t", "partition": 1, "offset": -1}], "version": 1}"#;
    std::fs::write(&cut, json).during(cut.display())?;
    scene.java(|java| {
        ask(java, &at, "TopicCommand", &["--create", "--topic", "t", "--partitions", "2"])?;
        java.peer(&["produce-rich", &at, "t", "2", "1000", "gzip"])?;
        let shell = |java: &mut Java, time: &str| ask(java, &at, "GetOffsetShell", &["--topic", "t", "--time", time]);
        contains(&shell(java, "latest")?, &["t:0:500", "t:1:500"])?;
        contains(&shell(java, "earliest")?, &["t:0:0", "t:1:0"])?;
        contains(&shell(java, "max-timestamp")?, &["t:0:499", "t:1:499"])?;
        // Record i stands at offset i / 2 and has the timestamp 1790000000000 + 10 i.
        contains(&shell(java, "1790000002005")?, &["t:0:101", "t:1:100"])?;
        contains(&shell(java, "1790000002000")?, &["t:0:100", "t:1:100"])?;
        let deleted = ask(java, &at, "DeleteRecordsCommand", &["--offset-json-file", &cut.display().to_string()])?;
        contains(&deleted, &["low_watermark: 250", "low_watermark: 500"])?;
        contains(&shell(java, "earliest")?, &["t:0:250", "t:1:500"])
    })?;
    node.stop()?;
    let node = plan.start(scene)?;
    scene.java(|java| {
        let earliest = ask(java, &node.address, "GetOffsetShell", &["--topic", "t", "--time", "earliest"])?;
        contains(&earliest, &["t:0:250", "t:1:500"]).during("after a restart")
    })?;
    node.stop()
}

pub(super) fn cluster(scene: &Scene<'_>) -> Result<(), Fault> {
    let node = scene.plan()?.start(scene)?;
    let at = node.address.as_str();
    scene.java(|java| {
        ask(java, at, "TopicCommand", &["--create", "--topic", "t", "--partitions", "2"])?;
        java.peer(&["produce-rich", at, "t", "2", "1000", "none"])?;
        contains(
            &ask(java, at, "LogDirsCommand", &["--describe"])?,
            &["\"logDirs\"", "\"t-1\"", "\"error\":null", "\"offsetLag\":0"],
        )?;
        let status = ask(java, at, "MetadataQuorumCommand", &["describe", "--status"])?;
        contains(&status, &["LeaderId:", "HighWatermark:", "CurrentVoters:", "MaxFollowerLag:"])?;
        contains(
            &ask(java, at, "MetadataQuorumCommand", &["describe", "--replication"])?,
            &["Leader", "LogEndOffset"],
        )?;
        contains(&ask(java, at, "FeatureCommand", &["describe"])?, &["metadata.version", "FinalizedVersionLevel"])?;
        contains(
            &ask(java, at, "BrokerApiVersionsCommand", &[])?,
            &["Produce(0): 0 to 13", "Fetch(1): 4 to", "ApiVersions(18):"],
        )?;
        contains(&java.tool("ClusterTool", &["cluster-id", "--bootstrap-server", at])?, &["Cluster ID: "])?;
        let described = java.tool(
            "TransactionsCommand",
            &["--bootstrap-server", at, "describe-producers", "--topic", "t", "--partition", "0"],
        )?;
        contains(&described, &["ProducerId", "LastSequence"])?;
        ensure(described.trim().lines().count() == 2, || format!("one idempotent producer wrote t-0: {described}"))
    })?;
    node.stop()
}
