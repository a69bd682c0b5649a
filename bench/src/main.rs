//! Thalweg beside Apache Kafka 4.4.0 under the same load, in turn, round by round.
//!
//! Prints for each case the median of the rounds with its spread, and the ratio. The solid figure is the broker's CPU time per GB or per
//! batch: wall time on a shared machine says little. See `bench/README.md`.

mod cases;
mod encode;
mod load;

use cases::{CASES, Case, Measure};
use conformance::fault::{During, Fault};
use conformance::node::{Kind, Node};
use conformance::rig::{Rig, Scene};
use std::process::ExitCode;

/// Rounds by default; the first of each broker is a warm-up and not counted.
const ROUNDS: usize = 5;

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Failed(why) | Fault::Skipped(why)) => {
            eprintln!("bench: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[String]) -> Result<(), Fault> {
    let rounds = std::env::var("THALWEG_BENCH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(ROUNDS);
    let rig = Rig::new()?;
    println!("{:<44} {:>10} {:>22} {:>22} {:>8}", "case, figure", "unit", "thalweg", "kafka", "ratio");
    for case in
        CASES.iter().filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str())))
    {
        let scene = rig.scene(case.name)?;
        compare(&scene, case, rounds)?;
        drop(std::fs::remove_dir_all(&scene.folder));
    }
    rig.close();
    Ok(())
}

/// Both brokers run all the time; only one has load at a time.
fn compare(scene: &Scene<'_>, case: &Case, rounds: usize) -> Result<(), Fault> {
    let contestants = [contestant(scene, case, scene.rig.target)?, contestant(scene, case, Kind::Kafka)?];
    let mut measures = [Vec::new(), Vec::new()];
    for round in 0..=rounds {
        for (node, found) in contestants.iter().zip(&mut measures) {
            let measure = case.run(node).during(format!("{} on {:?}", case.name, node.kind))?;
            if round > 0 {
                found.push(measure);
            }
        }
    }
    print(case, &measures);
    contestants.into_iter().try_for_each(Node::stop)
}

fn contestant(scene: &Scene<'_>, case: &Case, kind: Kind) -> Result<Node, Fault> {
    let mut plan = scene.plan_of(kind)?;
    let settings = if kind == Kind::Thalweg { case.thalweg } else { case.kafka };
    for (key, value) in settings {
        plan = plan.with(key, value);
    }
    let node = plan.start(scene)?;
    let partitions = case.partitions.to_string();
    let create =
        ["--bootstrap-server", node.address.as_str(), "--create", "--topic", cases::TOPIC, "--partitions", &partitions];
    scene.java(|java| java.tool("TopicCommand", &create))?;
    case.prepare(&node)?;
    Ok(node)
}

fn print(case: &Case, measures: &[Vec<Measure>; 2]) {
    for (index, (figure, unit)) in Measure::FIGURES.iter().enumerate() {
        let summary = measures.each_ref().map(|rounds| Summary::of(rounds.iter().map(|round| round.figures()[index])));
        let [ours, theirs] = &summary;
        let ratio = if theirs.median > 0.0 { ours.median / theirs.median } else { f64::NAN };
        let label = format!("{}, {figure}", case.name);
        println!("{label:<44} {unit:>10} {:>22} {:>22} {ratio:>8.3}", ours.to_string(), theirs.to_string());
    }
}

/// Median and range of the rounds.
struct Summary {
    low: f64,
    median: f64,
    high: f64,
}

impl Summary {
    fn of(values: impl Iterator<Item = f64>) -> Summary {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        Summary { low: at(0), median: at(values.len() / 2), high: at(values.len().saturating_sub(1)) }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let digits = if self.median >= 100.0 { 0 } else { 2 };
        write!(out, "{:.digits$} ({:.digits$}-{:.digits$})", self.median, self.low, self.high)
    }
}

#[cfg(test)]
mod tests {
    use super::Summary;

    #[test]
    fn the_median_is_the_middle_of_the_sorted_rounds() {
        let summary = Summary::of([3.0, 1.0, 2.0].into_iter());
        assert_eq!((summary.low, summary.median, summary.high), (1.0, 2.0, 3.0));
        assert_eq!(summary.to_string(), "2.00 (1.00-3.00)");
    }
}
