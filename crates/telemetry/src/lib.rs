//! Metrics and logs.
//!
//! One table names every metric; a node's registry holds plain atomics, resolved once, so that counting costs one relaxed add and
//! never a look-up. No client library is used: the text format is a page of code, and a label look-up per request is what costs.

mod catalog;
mod logs;
mod metrics;

pub use catalog::{CATALOG, MetricKind, MetricRow, markdown};
pub use logs::{LogFormat, init_logs, shown};
pub use metrics::{CoordinatorMetrics, Counter, Gauge, Gauges, GroupMetrics, Histogram, Metrics};
