//! What the group coordinator tells of itself. The names follow Kafka's group-coordinator-metrics; what Kafka measures of its event queue
//! has no counterpart, for a request is decided on the thread that read it, within `thalweg_request_seconds`.

use super::{Counter, Gauge, Gauges, Histogram, line};
use crate::catalog::MetricRow;

/// What every coordinator tells of its partitions.
#[derive(Debug, Default)]
pub struct CoordinatorMetrics {
    /// Partitions by state.
    pub partitions: Gauges,
    /// Requests that are not answered yet.
    pub waiting_requests: Gauge,
    /// Time to load a partition.
    pub load_seconds: Histogram,
    /// Time to append a batch.
    pub append_seconds: Histogram,
    /// Time from a batch's append until its replies may leave.
    pub commit_seconds: Histogram,
}

/// What the group coordinator tells.
#[derive(Debug, Default)]
pub struct GroupMetrics {
    /// Its partitions.
    pub coordinator: CoordinatorMetrics,
    /// Classic groups by state.
    pub classic_groups: Gauges,
    /// Consumer groups by state.
    pub consumer_groups: Gauges,
    /// Committed offsets.
    pub offsets: Gauge,
    /// Generations of classic groups that a leader has assigned.
    pub classic_rebalances: Counter,
    /// Epochs that consumer groups have begun.
    pub consumer_rebalances: Counter,
    /// Offsets that groups have committed.
    pub offset_commits: Counter,
    /// Offsets removed when their retention was over.
    pub offset_expirations: Counter,
    /// Offsets deleted.
    pub offset_deletions: Counter,
}

impl GroupMetrics {
    /// Writes a row of the catalog, if it is one of these. Whether it is.
    pub(super) fn render_row(&self, out: &mut String, row: &MetricRow) -> bool {
        let coordinator = &self.coordinator;
        let label = row.label.unwrap_or_default();
        match row.name {
            "thalweg_classic_groups" => self.classic_groups.render(out, row.name, label),
            "thalweg_consumer_groups" => self.consumer_groups.render(out, row.name, label),
            "thalweg_group_offsets" => line(out, row.name, "", self.offsets.get()),
            "thalweg_group_rebalances_total" => {
                for (name, count) in [("classic", &self.classic_rebalances), ("consumer", &self.consumer_rebalances)] {
                    line(out, row.name, &format!("{label}=\"{name}\""), count.get());
                }
            }
            "thalweg_offset_commits_total" => line(out, row.name, "", self.offset_commits.get()),
            "thalweg_offset_expirations_total" => line(out, row.name, "", self.offset_expirations.get()),
            "thalweg_offset_deletions_total" => line(out, row.name, "", self.offset_deletions.get()),
            "thalweg_group_coordinator_partitions" => coordinator.partitions.render(out, row.name, label),
            "thalweg_group_coordinator_waiting_requests" => line(out, row.name, "", coordinator.waiting_requests.get()),
            "thalweg_group_coordinator_load_seconds" => coordinator.load_seconds.render(out, row.name, ""),
            "thalweg_group_coordinator_append_seconds" => coordinator.append_seconds.render(out, row.name, ""),
            "thalweg_group_coordinator_commit_seconds" => coordinator.commit_seconds.render(out, row.name, ""),
            _ => return false,
        }
        true
    }

    /// Moves each of them, so that a test sees it shown.
    #[cfg(test)]
    pub(super) fn move_all(&self) {
        for gauges in [&self.classic_groups, &self.consumer_groups, &self.coordinator.partitions] {
            gauges.set("Stable", 7);
        }
        self.offsets.set(7);
        self.coordinator.waiting_requests.set(7);
        for counter in [
            &self.classic_rebalances,
            &self.consumer_rebalances,
            &self.offset_commits,
            &self.offset_expirations,
            &self.offset_deletions,
        ] {
            counter.add(7);
        }
        let coordinator = &self.coordinator;
        for histogram in [&coordinator.load_seconds, &coordinator.append_seconds, &coordinator.commit_seconds] {
            histogram.observe(std::time::Duration::from_millis(7));
        }
    }
}
