//! `durability` of topics and `log.durability` of the node: what they say when asked, and whether acks=all waits for the disk.

use super::admin::{ask, contains, refused};
use super::attacks::requests::{produce, wall_ms};
use super::observe::{get, sample};
use conformance::fault::{During, Fault, ensure};
use conformance::java::Java;
use conformance::made_batch::{MadeBatch, record};
use conformance::node::Kind;
use conformance::rig::Scene;
use conformance::wire::connect;
use std::net::TcpListener;

/// Requests with acks=all, one after another.
const REQUESTS: u32 = 60;

/// Rounds of group commit that the requests to `topic` took. The node's own records need some too, but far fewer.
fn rounds(address: &str, metrics: &str, topic: &str) -> Result<f64, Fault> {
    let so_far = || Ok::<_, Fault>(sample(&get(metrics, "/metrics")?.1, &["thalweg_commits_total"]));
    let before = so_far()?;
    let mut stream = connect(address)?;
    for _ in 0..REQUESTS {
        let batch = MadeBatch::of(wall_ms(), &[record(0, None, Some(b"v"))]).bytes();
        let (code, _) = produce(&mut stream, topic, -1, &batch)?;
        ensure(code == 0, || format!("a record for {topic} was refused with {code}"))?;
    }
    Ok(so_far()? - before)
}

/// Whether acks=all waits for the disk on each of the topics.
fn expect(address: &str, metrics: &str, topics: &[(&str, bool)]) -> Result<(), Fault> {
    for (topic, waits) in topics {
        let rounds = rounds(address, metrics, topic)?;
        let each = rounds >= f64::from(REQUESTS);
        let few = rounds < f64::from(REQUESTS / 2);
        ensure(if *waits { each } else { few }, || {
            format!("{REQUESTS} requests to {topic} took {rounds} rounds, and waiting for the disk is {waits}")
        })?;
    }
    Ok(())
}

/// All configs of a topic as Kafka's tool shows them.
fn described(java: &mut Java, at: &str, topic: &str) -> Result<String, Fault> {
    ask(java, at, "ConfigCommand", &["--entity-type", "topics", "--entity-name", topic, "--describe", "--all"])
}

fn alter(java: &mut Java, at: &str, topic: &str, words: &[&str]) -> Result<(), Fault> {
    let entity = ["--entity-type", "topics", "--entity-name", topic, "--alter"];
    ask(java, at, "ConfigCommand", &[&entity[..], words].concat()).map(drop)
}

pub(super) fn is_in_force(scene: &Scene<'_>) -> Result<(), Fault> {
    if scene.rig.target == Kind::Kafka {
        return Err(Fault::Skipped("Kafka has no durability".to_owned()));
    }
    let free =
        TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).during("a free port")?.to_string();
    let plan = scene.plan()?.with("thalweg.metrics.listen", &free);
    // The node's default is fsync.
    let node = plan.start(scene)?;
    let at = node.address.clone();
    scene.java(|java| {
        java.peer(&["create", &at, "plain", "1", "1"])?;
        java.peer(&["create", &at, "kept", "1", "1", "durability=fsync"])?;
        java.peer(&["create", &at, "cached", "1", "1", "durability=pagecache"])?;
        contains(&described(java, &at, "plain")?, &["durability=fsync", "DEFAULT_CONFIG:log.durability=fsync"])?;
        contains(
            &described(java, &at, "cached")?,
            &["durability=pagecache", "DYNAMIC_TOPIC_CONFIG:durability=pagecache"],
        )?;
        let wrong =
            ["--entity-type", "topics", "--entity-name", "plain", "--alter", "--add-config", "durability=never"];
        refused(java, &at, "ConfigCommand", &wrong, &["InvalidConfigurationException", "durability"])
    })?;
    expect(&at, &free, &[("plain", true), ("kept", true), ("cached", false)]).during("as created")?;
    scene.java(|java| {
        alter(java, &at, "plain", &["--add-config", "durability=pagecache"])?;
        alter(java, &at, "cached", &["--delete-config", "durability"])
    })?;
    expect(&at, &free, &[("plain", false), ("kept", true), ("cached", true)]).during("as altered")?;
    scene.java(|java| alter(java, &at, "plain", &["--delete-config", "durability"]))?;
    node.stop()?;
    let node = plan.with("log.durability", "pagecache").start(scene)?;
    let at = node.address.clone();
    scene.java(|java| {
        contains(
            &described(java, &at, "plain")?,
            &["durability=pagecache", "STATIC_BROKER_CONFIG:log.durability=pagecache"],
        )?;
        let broker = ["--entity-type", "brokers", "--entity-name", "1", "--describe", "--all"];
        contains(&ask(java, &at, "ConfigCommand", &broker)?, &["log.durability=pagecache"])
    })?;
    expect(&at, &free, &[("plain", false), ("kept", true), ("cached", false)]).during("as the node's default")?;
    node.stop()
}
