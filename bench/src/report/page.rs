//! The page: conditions first, then all cases at a glance, what we hold ourselves to, plots, and every case with median, best and spread.

use super::glance;
use super::plot::Plot;
use super::targets::{Bound, TARGETS, Target};
use super::text::{figures, short, spread};
use super::{RESULTS, Report};
use crate::figures::Row;
use crate::lab::{CEILING, KAFKA};
use std::fmt::Write;

/// The whole page as Markdown.
pub fn render(run: &Report, plots: &[Plot]) -> String {
    let mut out =
        String::from("# Benchmarks\n\nWritten by `cargo xtask bench`; how it measures is told in `bench/README.md`.\n");
    let _ = writeln!(out, "Every round of every figure is in [{RESULTS}]({RESULTS}).\n");
    conditions(run, &mut out);
    for (case, why) in &run.failures {
        let _ = writeln!(out, "**`{case}` failed**: {}\n", why.lines().next().unwrap_or_default());
    }
    glance::section(run, &mut out);
    targets(run, &mut out);
    if !plots.is_empty() {
        out += "## Plots\n\n";
        for plot in plots {
            let _ = writeln!(out, "![{}]({})\n", plot.title, plot.file);
        }
    }
    out += "## Cases\n\nEach cell: the median of the rounds (the best, the lowest and the highest). Ratios are of the best rounds.\n\n";
    run.rows.iter().for_each(|row| case(run, row, &mut out));
    out.truncate(out.trim_end().len());
    out + "\n"
}

fn conditions(run: &Report, out: &mut String) {
    let at = &run.conditions;
    out.push_str("## Conditions\n\n| | |\n|---|---|\n");
    let rounds =
        format!("{} beside a warm-up, {} s each; the whole run took {} s", at.rounds, at.seconds, at.took_seconds);
    let load = format!("{} (0 is a quiet machine)", at.load_before);
    let rows = [
        ("date (UTC)", &at.date),
        ("command", &format!("`{}`", at.command)),
        ("rounds", &rounds),
        ("machine", &at.machine),
        ("kernel", &at.kernel),
        ("file system", &at.file_system),
        ("load average before", &load),
        ("Thalweg", &at.thalweg),
        ("Apache Kafka", &at.kafka),
    ];
    for (name, value) in rows {
        let _ = writeln!(out, "| {name} | {value} |");
    }
    out.push('\n');
}

fn targets(run: &Report, out: &mut String) {
    out.push_str("## What we hold ourselves to\n\n| | wanted | found | |\n|---|---|---|---|\n");
    for target in TARGETS {
        let (wanted, found, verdict) = judged(run, target);
        let _ = writeln!(out, "| {} | {wanted} | {found} | {verdict} |", target.says);
    }
    out.push('\n');
}

/// What is wanted, what was found, and what follows.
fn judged(run: &Report, target: &Target) -> (String, String, &'static str) {
    let wanted = match target.bound {
        Bound::AtLeast(bound) => format!("at least {bound}"),
        Bound::AtMost(bound) => format!("at most {bound}"),
    };
    match (target.value)(run).filter(|value| value.is_finite()) {
        Some(value) => (wanted, short(value), if target.is_met(value) { "met" } else { "**missed**" }),
        None => (wanted, "-".to_owned(), "not measured"),
    }
}

fn case(run: &Report, row: &Row, out: &mut String) {
    let _ = writeln!(out, "### {}\n\n{}. {}.\n", row.case, row.load, row.promise);
    let mut head = "| |".to_owned();
    for contest in &row.contests {
        let _ = write!(head, " {} |", contest.contestant);
    }
    let ours: Vec<&str> = row.contests.iter().map(|contest| contest.contestant.as_str()).collect();
    let ours: Vec<&str> = ours.into_iter().filter(|name| *name != CEILING && *name != KAFKA).collect();
    let mut ratios = Vec::new();
    for name in &ours {
        for other in [CEILING, KAFKA] {
            if row.contest(other).is_some() {
                let _ = write!(head, " {name} : {other} |");
                ratios.push((*name, other));
            }
        }
    }
    let columns = row.contests.len() + ratios.len() + 1;
    let _ = writeln!(out, "{head}\n|{}", "---|".repeat(columns));
    for (figure, unit) in figures(row) {
        let _ = write!(out, "| {figure}, {unit} |");
        for contest in &row.contests {
            let cell = contest.figure(&figure).map_or_else(|| "-".to_owned(), spread);
            let _ = write!(out, " {cell} |");
        }
        for (name, other) in &ratios {
            let ratio = row.best(name, &figure).zip(row.best(other, &figure)).map(|(this, that)| this / that);
            let cell = ratio.filter(|ratio| ratio.is_finite()).map_or_else(|| "-".to_owned(), short);
            let _ = write!(out, " {cell} |");
        }
        out.push('\n');
    }
    out.push('\n');
    for target in TARGETS.iter().filter(|target| target.case == row.case) {
        // The load is told above.
        let (_, says) = target.says.split_once(": ").unwrap_or(("", target.says));
        let (wanted, found, verdict) = judged(run, target);
        let _ = writeln!(out, "- {says}: {wanted} wanted, {found} found, {verdict}");
    }
    if TARGETS.iter().any(|target| target.case == row.case) {
        out.push('\n');
    }
}
