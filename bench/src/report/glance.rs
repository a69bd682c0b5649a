//! All cases at a glance: one figure each, with what it cost, as ratios to the ceiling's and to Kafka's.

use super::Report;
use super::text::short;
use crate::figures::{
    COMMITS, CPU_BYTES, CPU_RECORDS, CPU_REQUEST, Figure, P50, RATE, RECORDS, REQUESTS, Row, START, START_CPU,
};
use crate::lab::{CEILING, KAFKA, THALWEG, THALWEG_PAGECACHE};
use std::fmt::Write;

/// The figure that a workload is about, and its cost.
const HEADLINES: &[(&str, Figure, Figure)] = &[
    ("ingest-64k", RATE, CPU_BYTES),
    ("ingest-1k", REQUESTS, CPU_REQUEST),
    ("many-producers", REQUESTS, CPU_REQUEST),
    ("client-100B", RECORDS, CPU_RECORDS),
    ("durable", REQUESTS, CPU_REQUEST),
    ("tail-fetch", RATE, CPU_BYTES),
    ("cold-beside-hot", P50, CPU_REQUEST),
    ("end-to-end", P50, CPU_REQUEST),
    ("rpc", REQUESTS, CPU_REQUEST),
    ("groups", COMMITS, CPU_REQUEST),
    ("partitions", REQUESTS, CPU_REQUEST),
    ("start", START, START_CPU),
];

/// The section with its table.
pub fn section(run: &Report, out: &mut String) {
    out.push_str(
        "## At a glance\n\nThalweg's best round of each case, and how many times the ceiling's and Kafka's best round it is: of rates more is better, of times \
         and of CPU less is.\n\n\
         | case | figure | Thalweg | : ceiling | : Kafka | CPU : ceiling | CPU : Kafka | took |\n|---|---|---|---|---|---|---|---|\n",
    );
    for row in &run.rows {
        let Some((_, figure, cost)) = HEADLINES.iter().find(|(workload, ..)| *workload == row.workload) else {
            continue;
        };
        let Some(ours) = [THALWEG, THALWEG_PAGECACHE].into_iter().find(|name| row.contest(name).is_some()) else {
            continue;
        };
        let best = row.best(ours, figure.name).map_or_else(|| "-".to_owned(), short);
        let _ =
            write!(out, "| [{0}](#{1}) | {2}, {3} | {best} |", row.case, anchor(&row.case), figure.name, figure.unit);
        for (figure, other) in [(figure, CEILING), (figure, KAFKA), (cost, CEILING), (cost, KAFKA)] {
            let _ = write!(out, " {} |", ratio(row, ours, figure, other));
        }
        // Runs of earlier versions do not tell.
        let took = if row.seconds > 0.0 { format!("{:.0} s", row.seconds) } else { "-".to_owned() };
        let _ = writeln!(out, " {took} |");
    }
    out.push('\n');
}

fn ratio(row: &Row, ours: &str, figure: &Figure, other: &str) -> String {
    let ratio = row.best(ours, figure.name).zip(row.best(other, figure.name)).map(|(ours, other)| ours / other);
    ratio.filter(|ratio| ratio.is_finite()).map_or_else(|| "-".to_owned(), short)
}

/// How Markdown names a heading.
fn anchor(case: &str) -> String {
    case.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::{HEADLINES, section};
    use crate::figures::{CPU_BYTES, Measure, RATE, Row};
    use crate::report::Report;

    #[test]
    fn every_workload_has_a_headline() {
        for entry in crate::workloads::all() {
            assert!(HEADLINES.iter().any(|(workload, ..)| *workload == entry.workload), "{}", entry.workload);
        }
    }

    #[test]
    fn a_line_has_ratios_to_both() {
        let measure = |rate, cpu| Measure::default().with(RATE, rate).with(CPU_BYTES, cpu);
        let round =
            [("ceiling", measure(500.0, 0.5)), ("thalweg", measure(400.0, 1.0)), ("kafka", measure(100.0, 4.0))];
        let row = Row { seconds: 12.3, ..Row::of_one_round("ingest-64k", "ingest-64k", round) };
        let mut page = String::new();
        section(&Report::of_rows(vec![row]), &mut page);
        let line = "| [ingest-64k](#ingest-64k) | rate, MB/s | 400 | 0.800 | 4.00 | 2.00 | 0.250 | 12 s |";
        assert!(page.contains(line), "{page}");
    }
}
