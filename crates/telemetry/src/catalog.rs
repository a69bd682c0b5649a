//! The table of all metrics.

use std::fmt::Write;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// Counts of values by size.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct MetricRow {
    /// Its name, with its unit last.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// Its label, if it has one.
    pub label: Option<&'static str>,
    /// What it says.
    pub help: &'static str,
}

macro_rules! catalog {
    ($($name:literal $kind:ident $label:expr, $help:literal;)*) => {
        /// Every metric, in the order they are shown in.
        pub const CATALOG: &[MetricRow] =
            &[$(MetricRow { name: $name, kind: MetricKind::$kind, label: $label, help: $help },)*];
    };
}

catalog! {
    "thalweg_requests_total" Counter Some("api"), "Requests answered, by API.";
    "thalweg_request_errors_total" Counter Some("api"), "Requests whose answer tells of an error, or that closed their connection, by API.";
    "thalweg_request_seconds" Histogram Some("api"), "Time from a request's arrival to its answer, by API.";
    "thalweg_received_bytes_total" Counter None, "Bytes received on connections.";
    "thalweg_sent_bytes_total" Counter None, "Bytes sent on connections.";
    "thalweg_connections" Gauge None, "Open connections.";
    "thalweg_connections_total" Counter None, "Connections accepted.";
    "thalweg_refused_connections_total" Counter None, "Connections refused because of a limit.";
    "thalweg_request_memory_bytes" Gauge None, "Memory that requests which still arrive hold (queued.max.request.bytes).";
    "thalweg_waiting_requests" Gauge None, "Connections that nothing is read from until others have released such memory.";
    "thalweg_request_waits_total" Counter None, "How often a connection had to wait for such memory.";
    "thalweg_slow_requests_closed_total" Counter None, "Connections closed because they held such memory, or that of answers, others wanted it, and they sent or read too slowly.";
    "thalweg_produced_bytes_total" Counter None, "Bytes of batches appended for producers.";
    "thalweg_produced_records_total" Counter None, "Records appended for producers.";
    "thalweg_fetched_bytes_total" Counter None, "Bytes of batches sent to consumers.";
    "thalweg_commits_total" Counter None, "Rounds of group commit.";
    "thalweg_commit_seconds" Histogram None, "Time of a round of group commit.";
    "thalweg_partitions" Gauge None, "Partitions on this node.";
    "thalweg_log_size_bytes" Gauge None, "Bytes of all logs.";
    "thalweg_offline_log_dirs" Gauge None, "Log dirs that failed.";
    "thalweg_full_log_dirs" Gauge None, "Log dirs that take nothing from producers, because their disk is nearly full.";
    "thalweg_metadata_offset" Gauge None, "Offset of the newest metadata record that was applied.";
    "thalweg_remaining_logs_to_recover" Gauge None, "Logs that a start after a crash has not recovered yet.";
    "thalweg_remaining_segments_to_recover" Gauge None, "Segments that are left to be walked of the logs being recovered.";
    "thalweg_startup_seconds" Gauge None, "Time from start to ready.";
    "thalweg_classic_groups" Gauge Some("state"), "Groups of the classic protocol that this node coordinates, by state.";
    "thalweg_consumer_groups" Gauge Some("state"), "Groups of the consumer protocol that this node coordinates, by state.";
    "thalweg_group_offsets" Gauge None, "Committed offsets of the groups that this node coordinates.";
    "thalweg_group_rebalances_total" Counter Some("type"), "Rebalances, by type of group: generations that a leader has assigned, or epochs that have begun.";
    "thalweg_offset_commits_total" Counter None, "Offsets that groups have committed.";
    "thalweg_offset_expirations_total" Counter None, "Committed offsets removed when their retention was over.";
    "thalweg_offset_deletions_total" Counter None, "Committed offsets deleted by OffsetDelete, or with their group by DeleteGroups.";
    "thalweg_group_coordinator_partitions" Gauge Some("state"), "Partitions of __consumer_offsets that this node coordinates, by state.";
    "thalweg_group_coordinator_waiting_requests" Gauge None, "Requests that wait for other members or for a commit.";
    "thalweg_group_coordinator_load_seconds" Histogram None, "Time to load a partition's groups.";
    "thalweg_group_coordinator_append_seconds" Histogram None, "Time to append a batch of records of groups.";
    "thalweg_group_coordinator_commit_seconds" Histogram None, "Time from the append of a batch until its replies may leave.";
}

/// The table as Markdown, for the book.
#[must_use]
pub fn markdown() -> String {
    let mut out = String::from("| metric | kind | label | meaning |\n|---|---|---|---|\n");
    for row in CATALOG {
        let written = writeln!(out, "| `{}` | {:?} | {} | {} |", row.name, row.kind, row.label.unwrap_or(""), row.help);
        written.expect("writing to a string cannot fail");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{CATALOG, MetricKind};

    #[test]
    fn names_end_in_their_unit() {
        for row in CATALOG {
            assert!(row.name.starts_with("thalweg_"), "{}", row.name);
            assert_eq!(row.name.ends_with("_total"), row.kind == MetricKind::Counter, "{}", row.name);
            assert_eq!(
                row.name.ends_with("_seconds"),
                row.kind == MetricKind::Histogram || row.name.contains("startup"),
                "{}",
                row.name
            );
            assert!(row.help.ends_with('.'), "{}", row.name);
        }
    }
}
