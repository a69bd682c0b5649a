//! A node's metrics as plain atomics, and their text.

mod groups;

pub use groups::{CoordinatorMetrics, GroupMetrics};

use crate::catalog::{CATALOG, MetricRow};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// API keys from 0 to here have counters of their own.
const APIS: usize = 128;
/// Where requests of no API are counted.
const UNKNOWN: usize = APIS - 1;

/// Upper bounds of a histogram's buckets, in microseconds.
const BOUNDS_US: [u64; 14] =
    [50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 500_000, 1_000_000, 5_000_000];

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds to the count.
    pub fn add(&self, by: u64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// The count.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicI64);

impl Gauge {
    /// Adds to the value.
    pub fn add(&self, by: i64) {
        self.0.fetch_add(by, Ordering::Relaxed);
    }

    /// Sets the value.
    pub fn set(&self, value: i64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A value for each of a few names, set when somebody looks.
#[derive(Debug, Default)]
pub struct Gauges(Mutex<BTreeMap<&'static str, i64>>);

impl Gauges {
    /// Sets the value of a name.
    pub fn set(&self, name: &'static str, value: u64) {
        let mut values = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        values.insert(name, i64::try_from(value).unwrap_or(i64::MAX));
    }

    fn render(&self, out: &mut String, metric: &str, label: &str) {
        let values = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for (name, value) in &*values {
            line(out, metric, &format!("{label}=\"{name}\""), value);
        }
    }
}

/// Counts of durations by length.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many durations were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).sum()
    }

    fn render(&self, out: &mut String, name: &str, label: &str) {
        let mut total = 0;
        for (bucket, bound) in self.buckets.iter().zip(BOUNDS_US.iter().map(Some).chain([None])) {
            total += bucket.load(Ordering::Relaxed);
            let bound = bound.map_or("+Inf".to_owned(), |us| format!("{}", *us as f64 / 1e6));
            line(out, &format!("{name}_bucket"), &format!("{label}{}le=\"{bound}\"", comma(label)), total);
        }
        line(out, &format!("{name}_sum"), label, self.sum_us.load(Ordering::Relaxed) as f64 / 1e6);
        line(out, &format!("{name}_count"), label, total);
    }
}

fn comma(label: &str) -> &'static str {
    if label.is_empty() { "" } else { "," }
}

fn line(out: &mut String, name: &str, label: &str, value: impl std::fmt::Display) {
    let written =
        if label.is_empty() { writeln!(out, "{name} {value}") } else { writeln!(out, "{name}{{{label}}} {value}") };
    written.expect("writing to a string cannot fail");
}

/// The metrics of one node.
#[derive(Debug)]
pub struct Metrics {
    requests: Vec<Counter>,
    request_errors: Vec<Counter>,
    request_seconds: Vec<Histogram>,
    /// Bytes received on connections.
    pub received_bytes: Counter,
    /// Bytes sent on connections.
    pub sent_bytes: Counter,
    /// Open connections.
    pub connections: Gauge,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections refused because of a limit.
    pub refused: Counter,
    /// Memory that requests which still arrive hold.
    pub request_memory: Gauge,
    /// Connections that wait for such memory.
    pub requests_waiting: Gauge,
    /// How often one had to.
    pub request_waits: Counter,
    /// Connections closed because others waited for what they held.
    pub slow_requests_closed: Counter,
    /// Bytes of batches appended for producers.
    pub produced_bytes: Counter,
    /// Records appended for producers.
    pub produced_records: Counter,
    /// Bytes of batches sent to consumers.
    pub fetched_bytes: Counter,
    /// Rounds of group commit.
    pub commits: Counter,
    /// Time of a round of group commit.
    pub commit_seconds: Histogram,
    /// Partitions on this node.
    pub partitions: Gauge,
    /// Bytes of all logs.
    pub log_size_bytes: Gauge,
    /// Log dirs that failed.
    pub offline_log_dirs: Gauge,
    /// Log dirs that take nothing from producers, because their disk is nearly full.
    pub full_log_dirs: Gauge,
    /// Offset of the newest metadata record.
    pub metadata_offset: Gauge,
    /// Logs that a start after a crash has not recovered yet.
    pub remaining_logs_to_recover: Gauge,
    /// Segments that are left to be walked of the logs being recovered.
    pub remaining_segments_to_recover: Gauge,
    /// Time from start to ready, in microseconds.
    pub startup_us: Gauge,
    /// What the group coordinator does.
    pub groups: GroupMetrics,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: (0..APIS).map(|_| Counter::default()).collect(),
            request_errors: (0..APIS).map(|_| Counter::default()).collect(),
            request_seconds: (0..APIS).map(|_| Histogram::default()).collect(),
            received_bytes: Counter::default(),
            sent_bytes: Counter::default(),
            connections: Gauge::default(),
            accepted: Counter::default(),
            refused: Counter::default(),
            request_memory: Gauge::default(),
            requests_waiting: Gauge::default(),
            request_waits: Counter::default(),
            slow_requests_closed: Counter::default(),
            produced_bytes: Counter::default(),
            produced_records: Counter::default(),
            fetched_bytes: Counter::default(),
            commits: Counter::default(),
            commit_seconds: Histogram::default(),
            partitions: Gauge::default(),
            log_size_bytes: Gauge::default(),
            offline_log_dirs: Gauge::default(),
            full_log_dirs: Gauge::default(),
            metadata_offset: Gauge::default(),
            remaining_logs_to_recover: Gauge::default(),
            remaining_segments_to_recover: Gauge::default(),
            startup_us: Gauge::default(),
            groups: GroupMetrics::default(),
        }
    }
}

impl Metrics {
    /// Counts a request of the API with this key; `None` for whatever no API has. All of those are one series, so that no client can
    /// make series, or two of one name, which Prometheus refuses.
    pub fn request(&self, api: Option<i16>, took: Duration, failed: bool) {
        let at = api.and_then(|key| usize::try_from(key).ok()).filter(|at| *at < UNKNOWN).unwrap_or(UNKNOWN);
        self.requests[at].add(1);
        self.request_seconds[at].observe(took);
        if failed {
            self.request_errors[at].add(1);
        }
    }

    /// The text that Prometheus reads. `api` names the API with a key.
    #[must_use]
    pub fn render(&self, api: &dyn Fn(i16) -> Option<&'static str>) -> String {
        let mut out = String::new();
        for row in CATALOG {
            let kind = format!("{:?}", row.kind).to_lowercase();
            let head = writeln!(out, "# HELP {} {}\n# TYPE {} {kind}", row.name, row.help, row.name);
            head.expect("writing to a string cannot fail");
            self.render_row(&mut out, row, api);
        }
        out
    }

    fn render_row(&self, out: &mut String, row: &MetricRow, api: &dyn Fn(i16) -> Option<&'static str>) {
        let mut by_api = |render: &dyn Fn(&mut String, usize, &str)| {
            for at in (0..APIS).filter(|at| self.requests[*at].get() > 0) {
                let name = i16::try_from(at).ok().and_then(api).filter(|_| at != UNKNOWN).unwrap_or("unknown");
                render(out, at, &format!("api=\"{name}\""));
            }
        };
        match row.name {
            "thalweg_requests_total" => by_api(&|out, at, label| line(out, row.name, label, self.requests[at].get())),
            "thalweg_request_errors_total" => {
                by_api(&|out, at, label| line(out, row.name, label, self.request_errors[at].get()));
            }
            "thalweg_request_seconds" => {
                by_api(&|out, at, label| self.request_seconds[at].render(out, row.name, label))
            }
            "thalweg_commit_seconds" => self.commit_seconds.render(out, row.name, ""),
            "thalweg_startup_seconds" => line(out, row.name, "", self.startup_us.get() as f64 / 1e6),
            _ if self.groups.render_row(out, row) => {}
            name => line(out, name, "", self.number(name)),
        }
    }

    fn number(&self, name: &str) -> i64 {
        let counter = |counter: &Counter| i64::try_from(counter.get()).unwrap_or(i64::MAX);
        match name {
            "thalweg_received_bytes_total" => counter(&self.received_bytes),
            "thalweg_sent_bytes_total" => counter(&self.sent_bytes),
            "thalweg_connections" => self.connections.get(),
            "thalweg_connections_total" => counter(&self.accepted),
            "thalweg_refused_connections_total" => counter(&self.refused),
            "thalweg_request_memory_bytes" => self.request_memory.get(),
            "thalweg_waiting_requests" => self.requests_waiting.get(),
            "thalweg_request_waits_total" => counter(&self.request_waits),
            "thalweg_slow_requests_closed_total" => counter(&self.slow_requests_closed),
            "thalweg_produced_bytes_total" => counter(&self.produced_bytes),
            "thalweg_produced_records_total" => counter(&self.produced_records),
            "thalweg_fetched_bytes_total" => counter(&self.fetched_bytes),
            "thalweg_commits_total" => counter(&self.commits),
            "thalweg_partitions" => self.partitions.get(),
            "thalweg_log_size_bytes" => self.log_size_bytes.get(),
            "thalweg_offline_log_dirs" => self.offline_log_dirs.get(),
            "thalweg_full_log_dirs" => self.full_log_dirs.get(),
            "thalweg_metadata_offset" => self.metadata_offset.get(),
            "thalweg_remaining_logs_to_recover" => self.remaining_logs_to_recover.get(),
            "thalweg_remaining_segments_to_recover" => self.remaining_segments_to_recover.get(),
            other => panic!("{other} is in the catalog but has no value"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Metrics;
    use crate::CATALOG;
    use std::time::Duration;

    /// Each key without an API had a line of its own, all with the same label, and keys above the table were not counted.
    #[test]
    fn requests_of_no_api_are_one_series() {
        let metrics = Metrics::default();
        for api in [None, None, Some(-1), Some(i16::MAX), Some(3)] {
            metrics.request(api, Duration::from_micros(70), true);
        }
        let text = metrics.render(&|key| (key == 3).then_some("Metadata"));
        let unknown: Vec<&str> = text.lines().filter(|line| line.contains("_total{api=\"unknown\"}")).collect();
        assert_eq!(
            unknown,
            ["thalweg_requests_total{api=\"unknown\"} 4", "thalweg_request_errors_total{api=\"unknown\"} 4"]
        );
    }

    #[test]
    fn every_metric_moves_and_is_shown() {
        let metrics = Metrics::default();
        metrics.request(Some(3), Duration::from_micros(70), true);
        metrics.commit_seconds.observe(Duration::from_secs(9));
        for counter in [
            &metrics.received_bytes,
            &metrics.sent_bytes,
            &metrics.accepted,
            &metrics.refused,
            &metrics.request_waits,
            &metrics.slow_requests_closed,
            &metrics.produced_bytes,
            &metrics.produced_records,
            &metrics.fetched_bytes,
            &metrics.commits,
        ] {
            counter.add(7);
        }
        for gauge in [
            &metrics.connections,
            &metrics.request_memory,
            &metrics.requests_waiting,
            &metrics.partitions,
            &metrics.log_size_bytes,
            &metrics.offline_log_dirs,
            &metrics.full_log_dirs,
            &metrics.metadata_offset,
            &metrics.remaining_logs_to_recover,
            &metrics.remaining_segments_to_recover,
            &metrics.startup_us,
        ] {
            gauge.set(7);
        }
        metrics.groups.move_all();
        let text = metrics.render(&|key| (key == 3).then_some("Metadata"));
        for row in CATALOG {
            let shown = text.lines().any(|line| line.starts_with(row.name) && !line.ends_with(" 0"));
            assert!(shown, "{} is not shown:\n{text}", row.name);
        }
        assert!(text.contains("thalweg_request_seconds_bucket{api=\"Metadata\",le=\"0.0001\"} 1"), "{text}");
        assert!(text.contains("thalweg_commit_seconds_bucket{le=\"5\"} 0"), "{text}");
        assert!(text.contains("thalweg_commit_seconds_bucket{le=\"+Inf\"} 1"), "{text}");
        assert!(text.contains("\nthalweg_consumer_groups{state=\"Stable\"} 7\n"), "{text}");
        assert!(text.contains("\nthalweg_group_rebalances_total{type=\"classic\"} 7\n"), "{text}");
    }
}
