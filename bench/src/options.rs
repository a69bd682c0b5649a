//! The command line.

use conformance::fault::{Fault, fail};
use std::path::PathBuf;
use std::time::Duration;

/// Rounds by default, beside the warm-up.
const ROUNDS: usize = 5;
/// Length of a round by default; with it everything fits into a quarter of an hour on two cores.
const SECONDS: f64 = 0.8;

/// How it is called.
pub const USAGE: &str = "usage: cargo xtask bench [--against kafka] [--rounds N] [--seconds S] [--out DIR] [WORKLOAD..]
       cargo xtask bench --list | --gate [--record] | --page DIR

  WORKLOAD          workloads, or how names of cases begin (--list shows both); none: all
  --against kafka   Apache Kafka takes its turns too
  --rounds N        rounds beside the warm-up [5]
  --seconds S       length of a round [0.8]
  --out DIR         where results.json, the page and its plots go [target/bench]
  --page DIR        make the page of DIR/results.json again
  --gate            compare system calls and instructions with bench/baseline.json; --record writes it";

/// What is to be done.
pub enum Task {
    /// Measure.
    Run(Options),
    /// Print the names.
    List,
    /// Make a page of results.
    Page(PathBuf),
    /// Count what noise cannot move; `true` writes the baseline.
    Gate(bool),
    /// Be the ceiling.
    Ceiling(Vec<String>),
}

/// How to measure.
#[derive(Clone)]
pub struct Options {
    /// Apache Kafka takes part.
    pub kafka: bool,
    /// Rounds beside the warm-up.
    pub rounds: usize,
    /// Of a round.
    pub time: Duration,
    /// Where results go.
    pub out: PathBuf,
    /// What was asked for.
    pub words: Vec<String>,
    /// As it was typed.
    pub command: String,
}

impl Options {
    /// Whether a case is asked for.
    pub fn selects(&self, workload: &str, case: &str) -> bool {
        self.words.is_empty() || self.words.iter().any(|word| word == workload || case.starts_with(word.as_str()))
    }

    /// The most bytes that a round writes: what it writes stays in memory and is deleted before the kernel writes it back.
    pub fn bytes_max(&self) -> u64 {
        (self.time.as_secs_f64() * (1_u64 << 30) as f64) as u64
    }
}

/// Takes the arguments apart.
pub fn parse(words: Vec<String>) -> Result<Task, Fault> {
    let first = words.first().map(String::as_str);
    match first {
        Some("--list") => return Ok(Task::List),
        Some("--gate") => return Ok(Task::Gate(words.iter().any(|word| word == "--record"))),
        Some(crate::ceiling::SERVE) => return Ok(Task::Ceiling(words[1..].to_vec())),
        _ => {}
    }
    let mut options = Options {
        kafka: false,
        rounds: ROUNDS,
        time: Duration::from_secs_f64(SECONDS),
        out: conformance::rig::workspace().join("target/bench"),
        words: Vec::new(),
        command: format!("cargo xtask bench {}", words.join(" ")).trim_end().to_owned(),
    };
    let mut rest = words.into_iter();
    while let Some(word) = rest.next() {
        let mut value = |what: &str| rest.next().ok_or_else(|| Fault::Failed(format!("{word} wants {what}\n{USAGE}")));
        match word.as_str() {
            "--against" => match value("kafka")?.as_str() {
                "kafka" => options.kafka = true,
                other => return fail(format!("`{other}` cannot be had as a contestant\n{USAGE}")),
            },
            "--rounds" => options.rounds = rounds(&value("a number")?)?,
            "--seconds" => options.time = Duration::from_secs_f64(number(&value("a number")?)?),
            "--out" => options.out = PathBuf::from(value("a folder")?),
            "--page" => return Ok(Task::Page(PathBuf::from(value("a folder")?))),
            other if other.starts_with('-') => return fail(format!("`{other}` is no option\n{USAGE}")),
            _ => options.words.push(word),
        }
    }
    Ok(Task::Run(options))
}

/// A half would be none, and a run without rounds has nothing to be wrong.
fn rounds(text: &str) -> Result<usize, Fault> {
    match text.parse::<usize>() {
        Ok(rounds) if rounds > 0 => Ok(rounds),
        _ => fail(format!("`{text}` is no number of rounds\n{USAGE}")),
    }
}

fn number(text: &str) -> Result<f64, Fault> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 && number <= 3_600.0 => Ok(number),
        _ => fail(format!("`{text}` is no number above 0 and up to 3600\n{USAGE}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{Task, parse};

    fn run(words: &str) -> Result<super::Options, String> {
        match parse(words.split_whitespace().map(str::to_owned).collect()) {
            Ok(Task::Run(options)) => Ok(options),
            Ok(_) => Err("another task".to_owned()),
            Err(fault) => Err(format!("{fault:?}")),
        }
    }

    #[test]
    fn words_select_workloads_and_cases_by_their_beginnings() {
        let options = run("--against kafka --rounds 3 --seconds 0.5 rpc durable-depth").expect("well-formed");
        assert!(options.kafka && options.rounds == 3 && options.time.as_millis() == 500);
        assert!(options.selects("rpc", "rpc-100") && options.selects("durable", "durable-depth-1"));
        assert!(!options.selects("durable", "durable-16-connections"));
        assert!(!options.selects("groups", "groups"));
        assert!(run("").expect("well-formed").selects("groups", "groups"));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for words in ["--rounds", "--rounds 0", "--rounds 0.5", "--seconds 0", "--against redpanda", "--fast"] {
            assert!(run(words).is_err(), "{words}");
        }
    }
}
