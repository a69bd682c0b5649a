//! Every served API in every stable version, with sound and with hostile requests, line by line against what Apache Kafka 4.4.0 answered.
//!
//! `kafka-4.4.0.txt` is Kafka's transcript. Differences that are wanted stand in `differences.rs`, and nowhere else; what is answered instead
//! stands in `thalweg.txt`, so that a reason covers that one answer and no other. To record Kafka again:
//! `THALWEG_DIFFERENTIAL_RECORD=1 THALWEG_CONFORMANCE_TARGET=kafka cargo run -p conformance -- every_api`; without the first variable,
//! Kafka is compared with what was recorded. `THALWEG_DIFFERENTIAL_TARGET=HOST:PORT` compares a fresh node that runs there. With
//! `THALWEG_DIFFERENTIAL_PAGE=FILE`, two live brokers are compared, that one and the Kafka at `THALWEG_DIFFERENTIAL_KAFKA`: `cargo xtask diff`.
//! The page that it writes must be fresh: `book.rs`.

#![expect(
    clippy::type_complexity,
    reason = "tables of cases read better with their columns' types than with a name for each"
)]

mod batches;
mod book;
mod canon;
mod cluster;
mod configs;
mod controller;
mod differences;
mod frames;
mod groups;
mod node;
mod pinned;
mod produce;
mod read;
mod report;
mod restart;
mod script;
mod topics;
mod values;
mod wire;

use script::{Script, parse, transcript};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

const HEADER: &str =
    "# What Apache Kafka 4.4.0 answers to the steps in this folder; recorded as main.rs says, not written.\n";

fn run(address: &str) -> Vec<(String, i16, String)> {
    let mut script = Script::new(address);
    cluster::empty_cluster(&mut script);
    cluster::api_versions(&mut script);
    topics::create_topics(&mut script);
    topics::delete_topics(&mut script);
    topics::create_partitions(&mut script);
    cluster::metadata(&mut script);
    cluster::describe_topic_partitions(&mut script);
    cluster::describe_cluster(&mut script);
    cluster::describe_quorum(&mut script);
    produce::produce(&mut script);
    produce::init_producer_id(&mut script);
    read::fetches(&mut script);
    read::list_offsets(&mut script);
    read::leader_epochs(&mut script);
    read::delete_records(&mut script);
    cluster::describe_log_dirs(&mut script);
    groups::groups(&mut script);
    configs::describe_configs(&mut script);
    configs::alter_configs(&mut script);
    configs::incremental_alter_configs(&mut script);
    values::values(&mut script);
    cluster::update_features(&mut script);
    controller::controller(&mut script);
    frames::frames(&mut script);
    groups::other_coordinators(&mut script);
    script.lines
}

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/differential/kafka-4.4.0.txt")
}

#[test]
fn every_api_and_version_answers_as_kafka_does() {
    if let Ok(kafka) = std::env::var("THALWEG_DIFFERENTIAL_RECORD") {
        std::fs::write(golden(), HEADER.to_owned() + &transcript(&run(&kafka))).expect("the transcript is written");
        return;
    }
    if let Ok(page) = std::env::var("THALWEG_DIFFERENTIAL_PAGE") {
        return live(&page);
    }
    let recorded = || parse(&std::fs::read_to_string(golden()).expect("the recorded transcript"));
    if let Ok(kafka) = std::env::var("THALWEG_DIFFERENTIAL_KAFKA") {
        assert!(recorded() == parse(&transcript(&run(&kafka))), "Kafka does not answer as it was recorded");
        return;
    }
    let ask = |address: &str| (parse(&transcript(&run(address))), report::served(address));
    let (ours, we_serve) = match std::env::var("THALWEG_DIFFERENTIAL_TARGET") {
        Ok(address) => ask(&address),
        Err(_) => ask(&node::OwnNode::start("differential").address()),
    };
    if std::env::var_os("THALWEG_DIFFERENTIAL_RENEW").is_some() {
        pinned::renew(&compare(&recorded(), &ours).wanted);
    }
    judge(&recorded(), &ours);
    book::check(&recorded(), &ours, &we_serve);
}

/// Two live brokers, and a page about them.
fn live(page: &str) {
    let address = |name: &str| std::env::var(name).expect("the address of a fresh broker");
    let (kafka, target) = (address("THALWEG_DIFFERENTIAL_KAFKA"), address("THALWEG_DIFFERENTIAL_TARGET"));
    let lines = |address: &str| parse(&transcript(&run(address)));
    let (theirs, ours) = (lines(&kafka), lines(&target));
    let text = report::page(&theirs, &ours, &report::served(&kafka), &report::served(&target));
    std::fs::write(page, text).expect("the page is written");
    judge(&theirs, &ours);
}

/// Nothing may differ that is not wanted, everything wanted must, and each as it is pinned.
fn judge(kafka: &BTreeMap<(String, i16), String>, ours: &BTreeMap<(String, i16), String>) {
    let Compared { found, used, wanted } = compare(kafka, ours);
    let stale: Vec<_> = (0..differences::WANTED.len()).filter(|at| !used.contains(at)).collect();
    let stale: Vec<_> = stale.iter().map(|at| differences::WANTED[*at].0).collect();
    assert!(found.is_empty(), "{} steps differ:\n{}", found.len(), found.join("\n"));
    assert!(stale.is_empty(), "these differences are no more, take them off the list: {stale:?}");
    pinned::check(&wanted);
}

/// Whether ours is Kafka's line but for a text where Kafka leaves an error without one: more than an error's code helps whoever reads
/// the client's log.
fn explains_more(theirs: &str, ours: &str) -> bool {
    let same = |(theirs, ours): (&str, &str)| {
        let wordless = ["error_message=null", "error_message=\"\""];
        theirs == ours || wordless.iter().any(|field| theirs.replacen(field, "error_message=<text>", 1) == ours)
    };
    let (theirs, ours): (Vec<_>, Vec<_>) = (theirs.split(' ').collect(), ours.split(' ').collect());
    theirs.len() == ours.len() && theirs.into_iter().zip(ours).all(same)
}

#[test]
fn every_version_of_every_api_has_steps() {
    let kafka = parse(&std::fs::read_to_string(golden()).expect("the recorded transcript"));
    for (key, versions) in server::served_apis() {
        let (named, frames) = (format!("{}.", key.name()), format!("{}.frame.", key.name()));
        let is_of = |label: &str| label.starts_with(&named) && !label.starts_with(&frames);
        for version in versions {
            let steps = kafka.keys().filter(|(label, of)| *of == version && is_of(label)).count();
            assert!(steps > 0, "{} v{version} has no step", key.name());
        }
    }
}

/// How ours compares with Kafka.
struct Compared {
    /// What differs and is not wanted.
    found: Vec<String>,
    /// Which of the wanted differences were seen.
    used: BTreeSet<usize>,
    /// What is answered where a difference is wanted.
    wanted: BTreeMap<(String, i16), String>,
}

fn compare(kafka: &BTreeMap<(String, i16), String>, ours: &BTreeMap<(String, i16), String>) -> Compared {
    let mut compared = Compared { found: Vec::new(), used: BTreeSet::new(), wanted: BTreeMap::new() };
    let keys: BTreeSet<_> = kafka.keys().chain(ours.keys()).collect();
    for key in keys {
        let (theirs, own) = (kafka.get(key), ours.get(key));
        if theirs == own || theirs.zip(own).is_some_and(|(theirs, own)| explains_more(theirs, own)) {
            continue;
        }
        let said = |line: Option<&String>| line.map_or("nothing", String::as_str).to_owned();
        match differences::reason(&key.0) {
            Some((at, _)) => {
                compared.used.insert(at);
                compared.wanted.insert(key.clone(), said(own));
            }
            None => {
                compared.found.push(format!("{} v{}\n  kafka {}\n  ours  {}", key.0, key.1, said(theirs), said(own)));
            }
        }
    }
    compared
}
