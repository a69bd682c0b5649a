//! Plots as SVG, written by hand: horizontal bars in groups, one colour a contestant.

use super::Report;
use super::text::short;
use crate::figures::{CPU_BYTES, CPU_REQUEST, Figure, P50, RATE, REQUESTS, START};
use crate::lab::{CEILING, KAFKA, THALWEG, THALWEG_PAGECACHE};
use std::fmt::Write;

/// A file beside the page.
pub struct Plot {
    /// Its name.
    pub file: String,
    /// What it shows.
    pub title: String,
    /// Its content.
    pub svg: String,
}

/// One plot before it is drawn.
struct Bars {
    file: &'static str,
    title: &'static str,
    unit: &'static str,
    /// Costs and times span decades.
    logarithmic: bool,
    groups: Vec<(String, Vec<(String, f64)>)>,
}

const COLOURS: [(&str, &str); 4] =
    [(CEILING, "#9a9a9a"), (THALWEG, "#1768ac"), (THALWEG_PAGECACHE, "#76b5e8"), (KAFKA, "#e07a1f")];
const LABELS: f64 = 210.0;
const LENGTH: f64 = 520.0;
const VALUES: f64 = 110.0;
const BAR: f64 = 13.0;
const HEAD: f64 = 56.0;

const STREAMS: [&str; 9] = [
    "ingest-64k",
    "ingest-1k",
    "many-producers",
    "tail-fetch-64k-1",
    "tail-fetch-64k-2",
    "tail-fetch-64k-10",
    "tail-fetch-1m-1",
    "tail-fetch-1m-2",
    "tail-fetch-1m-10",
];
const STORMS: [&str; 4] = ["rpc-1", "rpc-100", "rpc-1000", "rpc-5000"];
const SPREADS: [&str; 5] = ["partitions-1", "partitions-100", "partitions-1000", "partitions-5000", "partitions-10000"];
const WAITS: [&str; 9] = [
    "durable-depth-1",
    "durable-100-partitions",
    "durable-1000-partitions",
    "end-to-end-busy-pagecache",
    "end-to-end-1-per-ms-pagecache",
    "end-to-end-busy-fsync",
    "end-to-end-1-per-ms-fsync",
    "cold-beside-hot",
    "rpc-100",
];
const STARTS: [&str; 3] = ["start-empty", "start-10000", "start-kill-9"];
const ON_DISK: [&str; 3] = ["durable-depth-1", "durable-depth-64", "durable-16-connections"];

/// Every plot that the run has figures for.
pub fn all(run: &Report) -> Vec<Plot> {
    let requests = [&SPREADS[..], &STORMS[..]].concat();
    let plots = [
        Bars::of(run, "rate.svg", "Streams, best round", false, &STREAMS, RATE),
        Bars::of(run, "cpu-per-gb.svg", "CPU time for a gigabyte, best round", true, &STREAMS, CPU_BYTES),
        Bars::of(
            run,
            "cpu-per-request.svg",
            "CPU time of a small batch or request, best round",
            true,
            &requests,
            CPU_REQUEST,
        ),
        Bars::of(
            run,
            "durable.svg",
            "Batches of 1 KiB on disk before the answer, best round",
            true,
            &ON_DISK,
            REQUESTS,
        ),
        Bars::of(run, "latency.svg", "Median time to the answer or the reader, best round", true, &WAITS, P50),
        Bars::of(run, "start.svg", "Start to the first answer, best start", true, &STARTS, START),
    ];
    plots.into_iter().filter(|bars| !bars.groups.is_empty()).map(Bars::draw).collect()
}

impl Bars {
    fn of(
        run: &Report,
        file: &'static str,
        title: &'static str,
        logarithmic: bool,
        cases: &[&str],
        figure: Figure,
    ) -> Bars {
        let mut groups = Vec::new();
        for case in cases {
            let Some(row) = run.row(case) else { continue };
            let best = |name: &String| row.best(name, figure.name).filter(|best| *best > 0.0);
            let names = row.contests.iter().map(|contest| contest.contestant.clone());
            let bars: Vec<_> = names.filter_map(|name| best(&name).map(|best| (name, best))).collect();
            if !bars.is_empty() {
                groups.push(((*case).to_owned(), bars));
            }
        }
        Bars { file, title, unit: figure.unit, logarithmic, groups }
    }

    fn draw(self) -> Plot {
        let bars: usize = self.groups.iter().map(|(_, bars)| bars.len()).sum();
        let height = HEAD + bars as f64 * BAR + self.groups.len() as f64 * BAR * 0.8 + 12.0;
        let width = LABELS + LENGTH + VALUES;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {height:.0}\" font-family=\"sans-serif\" \
             font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
        );
        let scale = if self.logarithmic { ", logarithmic scale" } else { "" };
        put(&mut svg, 10.0, 20.0, 14, "start", &format!("{} ({}{scale})", self.title, self.unit));
        let mut x = 10.0;
        for (name, colour) in COLOURS {
            let _ = writeln!(svg, "<rect x=\"{x:.0}\" y=\"30\" width=\"10\" height=\"10\" fill=\"{colour}\"/>");
            put(&mut svg, x + 14.0, 39.0, 11, "start", name);
            x += 40.0 + name.len() as f64 * 6.5;
        }
        let values = || self.groups.iter().flat_map(|(_, bars)| bars.iter().map(|(_, value)| *value));
        let (low, high) = (values().fold(f64::MAX, f64::min), values().fold(0.0, f64::max));
        let mut y = HEAD;
        for (case, bars) in &self.groups {
            put(&mut svg, LABELS - 8.0, y + bars.len() as f64 * BAR / 2.0 + 4.0, 11, "end", case);
            for (name, value) in bars {
                let colour = COLOURS.iter().find(|(known, _)| known == name).map_or("#000", |(_, colour)| colour);
                let length = self.length(*value, low, high);
                let _ = writeln!(
                    svg,
                    "<rect x=\"{LABELS:.0}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{colour}\"/>",
                    BAR - 2.0
                );
                put(&mut svg, LABELS + length + 5.0, y + BAR - 4.0, 10, "start", &short(*value));
                y += BAR;
            }
            y += BAR * 0.8;
        }
        svg += "</svg>\n";
        Plot { file: self.file.to_owned(), title: self.title.to_owned(), svg }
    }

    /// A logarithmic bar starts at the power of ten below the smallest value.
    fn length(&self, value: f64, low: f64, high: f64) -> f64 {
        if !self.logarithmic {
            return value / high * LENGTH;
        }
        let floor = (low.log10() - 0.1).floor();
        (value.log10() - floor) / (high.log10() - floor) * LENGTH
    }
}

fn put(svg: &mut String, x: f64, y: f64, size: u32, anchor: &str, text: &str) {
    // Writing to a String cannot fail.
    let _ =
        writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" font-size=\"{size}\" text-anchor=\"{anchor}\">{text}</text>");
}

#[cfg(test)]
mod tests {
    use super::{Bars, LENGTH};

    #[test]
    fn the_largest_bar_has_the_full_length_and_none_is_negative() {
        let groups = vec![("a".to_owned(), vec![("ceiling".to_owned(), 0.5), ("kafka".to_owned(), 2_000.0)])];
        for logarithmic in [true, false] {
            let bars = Bars { file: "x.svg", title: "X", unit: "us", logarithmic, groups: groups.clone() };
            assert!((bars.length(2_000.0, 0.5, 2_000.0) - LENGTH).abs() < 1e-9);
            assert!(bars.length(0.5, 0.5, 2_000.0) > 0.0);
            assert!(bars.draw().svg.ends_with("</svg>\n"));
        }
    }
}
