//! The table of scenarios: rows of commands and the lines that every client must answer with, from any broker.
//!
//! A row in `tests/conformance/table` is
//!
//! ```text
//! ## name
//! needs 68                     only where this API is served
//! shared                       its digest is asked of every other client, too
//! - node: why                  a client that cannot do it, and the reason
//! - node<java: why             of a shared row: a client that cannot read what another one wrote
//! > command                    an expectation follows, line by line
//! >? command                   asked again until it is as expected: brokers learn of changes a moment later
//! ! check                      looked up in the log on disk, not by a client
//! ```
//!
//! `$t` is a topic and `$g` a group of the row's own. Expectations are recorded from Apache Kafka through its Java client. Times of this run are
//! shown as `now`.

use conformance::batches::Batch;
use conformance::fault::{Fault, ensure, fail};
use conformance::process::now;
use conformance::table_peer::TablePeer;
use conformance::wire;
use std::fmt::Display;
use std::path::Path;
use std::time::Duration;

/// How long an eventual step is asked again.
const EVENTUAL_DEADLINE: Duration = Duration::from_secs(20);
/// Equal answers in a row that an expectation is recorded from.
const SETTLED_AFTER: usize = 20;
/// Record times at or above are of this run: rows set older ones.
const NOW_FROM_MS: u64 = 1_780_000_000_000;

/// The files of rows, in the order in which they run.
pub(crate) const FILES: &[&str] = &["topics.txt", "produce.txt", "consume.txt", "groups.txt"];

/// A command or check, and what is expected of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: Kind,
    pub(crate) command: String,
    pub(crate) expected: Vec<String>,
}

/// How a step is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Asked once.
    Once,
    /// Asked until it is as expected.
    Eventual,
    /// Looked up by the rig.
    Check,
}

/// A scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) needs: Option<i16>,
    pub(crate) shared: bool,
    /// Clients (or `reader<writer`) that cannot do it, and why.
    pub(crate) limits: Vec<(String, String)>,
    pub(crate) steps: Vec<Step>,
}

/// The rows of a file.
pub(crate) fn parse(text: &str) -> Result<Vec<Row>, Fault> {
    let mut rows: Vec<Row> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("## ") {
            rows.push(Row { name: name.to_owned(), needs: None, shared: false, limits: Vec::new(), steps: Vec::new() });
            continue;
        }
        let Some(row) = rows.last_mut() else { return fail(format!("`{line}` stands before the first row")) };
        let step = |kind, command: &str| Step { kind, command: command.to_owned(), expected: Vec::new() };
        if let Some(command) = line.strip_prefix(">? ") {
            row.steps.push(step(Kind::Eventual, command));
        } else if let Some(command) = line.strip_prefix("> ") {
            row.steps.push(step(Kind::Once, command));
        } else if let Some(command) = line.strip_prefix("! ") {
            row.steps.push(step(Kind::Check, command));
        } else if let Some(step) = row.steps.last_mut() {
            step.expected.push(line.to_owned());
        } else if let Some(key) = line.strip_prefix("needs ") {
            row.needs = key.parse().ok();
        } else if line == "shared" {
            row.shared = true;
        } else if let Some((who, why)) = line.strip_prefix("- ").and_then(|limit| limit.split_once(": ")) {
            row.limits.push((who.to_owned(), why.to_owned()));
        } else {
            return fail(format!("row {}: `{line}` is nothing known", row.name));
        }
    }
    Ok(rows)
}

/// The file again, for recording.
pub(crate) fn written(rows: &[Row]) -> String {
    let mut out = String::new();
    for row in rows {
        let between = if out.is_empty() { "" } else { "\n" };
        out.push_str(&format!("{between}## {}\n", row.name));
        out.extend(row.needs.map(|key| format!("needs {key}\n")));
        out.push_str(if row.shared { "shared\n" } else { "" });
        out.extend(row.limits.iter().map(|(who, why)| format!("- {who}: {why}\n")));
        for step in &row.steps {
            let sign = match step.kind {
                Kind::Once => ">",
                Kind::Eventual => ">?",
                Kind::Check => "!",
            };
            out.push_str(&format!("{sign} {}\n", step.command));
            out.extend(step.expected.iter().map(|line| format!("{line}\n")));
        }
    }
    out
}

impl Row {
    /// Why this client, or this pair of `reader<writer`, is not asked.
    pub(crate) fn limit(&self, who: &str) -> Option<&str> {
        self.limits.iter().find(|(limited, _)| limited == who).map(|(_, why)| why.as_str())
    }

    /// The name that `$t` stands for.
    fn topic(&self, family: &str) -> String {
        format!("{family}-{}", self.name)
    }

    /// All steps by one client; a failure names the step, what came and what was expected.
    pub(crate) fn run(&self, peer: &mut TablePeer, data: &Path) -> Result<(), Fault> {
        let family = peer.family.to_owned();
        for step in &self.steps {
            let said = self.answer(step, peer, &family, data)?;
            ensure(said == step.expected, || difference(step, &said))?;
        }
        Ok(())
    }

    /// As [`Row::run`], but what comes is taken down as what is expected.
    pub(crate) fn record(&mut self, peer: &mut TablePeer, data: &Path) -> Result<(), Fault> {
        let family = peer.family.to_owned();
        for at in 0..self.steps.len() {
            if self.steps[at].kind == Kind::Check {
                continue;
            }
            // What an eventual step settles on is what it says again and again.
            let mut same = 0;
            while same < if self.steps[at].kind == Kind::Eventual { SETTLED_AFTER } else { 1 } {
                let once = Step { kind: Kind::Once, ..self.steps[at].clone() };
                let said = self.answer(&once, peer, &family, data)?;
                same = if said == self.steps[at].expected { same + 1 } else { 1 };
                self.steps[at].expected = said;
            }
        }
        Ok(())
    }

    /// The digests of a shared row's topic that `writer` filled, asked of another client.
    pub(crate) fn read_by(&self, reader: &mut TablePeer, writer: &str, data: &Path) -> Result<(), Fault> {
        for step in self.steps.iter().filter(|step| step.command.starts_with("digest ")) {
            let said = self.answer(step, reader, writer, data)?;
            ensure(said == step.expected, || difference(step, &said))?;
        }
        Ok(())
    }

    fn answer(&self, step: &Step, peer: &mut TablePeer, family: &str, data: &Path) -> Result<Vec<String>, Fault> {
        let topic = self.topic(family);
        let group = format!("{topic}-group");
        let command = step.command.replace("$t", &topic).replace("$g", &group);
        let until = now() + EVENTUAL_DEADLINE;
        loop {
            let said = match step.kind {
                Kind::Check => check(&command, data).map(|()| Vec::new())?,
                _ => peer.ask(&command)?,
            };
            if said == ["created"] {
                await_leaders(&command, &peer.address)?;
            }
            let said: Vec<String> =
                said.iter().map(|line| timeless(&line.replace(&group, "$g").replace(&topic, "$t"))).collect();
            if step.kind != Kind::Eventual || said == step.expected || now() > until {
                return Ok(said);
            }
        }
    }
}

/// A new topic's partitions come up one after the other. Kafka takes a second batch of an idempotent producer where the first one came too
/// early, and then refuses the first one for ever: so a topic is used when all of it is there.
pub(crate) fn await_leaders(create: &str, address: &str) -> Result<(), Fault> {
    let until = now() + EVENTUAL_DEADLINE;
    let mut words = create.split(' ').skip(1);
    let (topic, count) = (words.next().unwrap_or_default(), words.next().and_then(|count| count.parse().ok()));
    let mut stream = wire::connect(address)?;
    for partition in 0..count.unwrap_or(0) {
        while !wire::leads(&mut stream, topic, partition)? {
            ensure(now() < until, || format!("{topic}-{partition} has no leader"))?;
        }
    }
    Ok(())
}

fn difference(step: &Step, said: &[String]) -> String {
    let at = said.iter().zip(&step.expected).position(|(one, other)| one != other);
    let at = at.unwrap_or(said.len().min(step.expected.len()));
    let line = |lines: &[String]| lines.get(at).map_or("nothing".to_owned(), |line| format!("`{line}`"));
    format!("`{}`, line {}: {} where {} is expected", step.command, at + 1, line(said), line(&step.expected))
}

/// Times of this run are all the same.
fn timeless(line: &str) -> String {
    let Some((before, rest)) = line.split_once(" ts=") else { return line.to_owned() };
    let end = rest.find(' ').unwrap_or(rest.len());
    match rest[..end].parse::<u64>() {
        Ok(ms) if ms >= NOW_FROM_MS => format!("{before} ts=now{}", &rest[end..]),
        _ => line.to_owned(),
    }
}

/// `codecs TOPIC PARTITIONS CODEC`: some batch is stored so, and every other one is plain, as clients leave what does not shrink;
/// `batches TOPIC PARTITION MAX`: at most so many batches hold its records; `idempotent TOPIC PARTITION yes|no`: each, or none, carries a producer's id.
fn check(command: &str, data: &Path) -> Result<(), Fault> {
    let words: Vec<&str> = command.split(' ').collect();
    match words[..] {
        ["codecs", topic, partitions, codec] => {
            let mut found = Vec::new();
            for partition in 0..partitions.parse::<u32>().unwrap_or(0) {
                found.extend(codecs(data, topic, partition)?);
            }
            let holds = found.contains(&codec) && found.iter().all(|one| *one == codec || *one == "none");
            ensure(holds, || format!("`{command}`: the batches are stored as {found:?}"))
        }
        ["batches", topic, partition, max] => {
            let count = batches(data, topic, partition)?.len();
            let holds = (1..=max.parse().unwrap_or(0)).contains(&count);
            ensure(holds, || format!("`{command}`: there are {count} batches"))
        }
        ["idempotent", topic, partition, wanted @ ("yes" | "no")] => {
            let batches = batches(data, topic, partition)?;
            let holds = !batches.is_empty() && batches.iter().all(|batch| batch.has_producer() == (wanted == "yes"));
            ensure(holds, || format!("`{command}`: {batches:?}"))
        }
        _ => fail(format!("`{command}` is no check")),
    }
}

/// The codec of each batch in the first segment of a partition.
fn codecs(data: &Path, topic: &str, partition: impl Display) -> Result<Vec<&'static str>, Fault> {
    const NAMES: [&str; 5] = ["none", "gzip", "snappy", "lz4", "zstd"];
    let batches = batches(data, topic, partition)?;
    Ok(batches.iter().map(|batch| NAMES.get(batch.codec()).copied().unwrap_or("?")).collect())
}

/// The batches in the first segment of a partition.
fn batches(data: &Path, topic: &str, partition: impl Display) -> Result<Vec<Batch>, Fault> {
    let path = data.join(format!("{topic}-{partition}")).join("00000000000000000000.log");
    let bytes = std::fs::read(&path).map_err(|error| Fault::Failed(format!("{}: {error}", path.display())))?;
    Ok(conformance::batches::split(&bytes).0)
}

#[cfg(test)]
mod tests {
    use super::{FILES, Kind, parse, timeless, written};

    const TEXT: &str = "## one\nneeds 68\nshared\n- node: it cannot\n> create $t 1\ncreated\n>? list $t\n! batches $t 0 5\n\n## two\n> x\n";

    #[test]
    fn a_table_is_read_and_written_alike() {
        let rows = parse(TEXT).expect("well-formed");
        assert_eq!((rows.len(), rows[0].needs, rows[0].shared), (2, Some(68), true));
        assert_eq!(rows[0].limit("node"), Some("it cannot"));
        assert_eq!(rows[0].steps[0].expected, ["created"]);
        assert_eq!(
            rows[0].steps.iter().map(|step| step.kind).collect::<Vec<_>>(),
            [Kind::Once, Kind::Eventual, Kind::Check]
        );
        assert_eq!(written(&rows), TEXT);
        assert!(parse("> a step before any row").is_err());
    }

    #[test]
    fn every_step_of_the_table_has_an_expectation() {
        for file in FILES {
            let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("table").join(file);
            let rows = parse(&std::fs::read_to_string(&path).expect("the file is there")).expect("well-formed");
            for row in &rows {
                let bare = |step: &&super::Step| {
                    step.kind == Kind::Once && step.expected.is_empty() && !step.command.starts_with("list ")
                };
                assert_eq!(row.steps.iter().find(bare), None, "{file}, {}", row.name);
                let failed = row.steps.iter().flat_map(|step| &step.expected).find(|line| line.starts_with("failed "));
                assert_eq!(failed, None, "{file}, {}: a broker's refusal has a name", row.name);
            }
        }
    }

    #[test]
    fn times_of_this_run_are_now() {
        assert_eq!(timeless("record 0 1 key=~ ts=1795000000000 headers="), "record 0 1 key=~ ts=now headers=");
        assert_eq!(
            timeless("record 0 1 key=~ ts=1700000000001 headers="),
            "record 0 1 key=~ ts=1700000000001 headers="
        );
    }
}
