//! The node: one broker and controller in a process. Dispatch, one file per API, partitions, the quorum's shell, background work.
//!
//! Shells own IO and decide nothing: what may be appended, seen or changed is decided by the pure crates below. A node takes its
//! clock and disk as values and owns its threads: an event loop per core, a committer per log dir, one for housekeeping.

mod answer;
mod api;
mod background;
mod broker;
mod cold_reads;
mod committer;
mod coordinator;
mod dispatch;
mod environment;
mod flush;
mod flusher;
mod log_dir;
mod metrics_http;
mod node;
mod pace;
mod partition;
mod partitions;
mod producer_ids;
mod quorum;
mod recovery;
mod room;
mod send_file;
mod service;
mod session;
mod timers;

pub use dispatch::served_apis;
pub use environment::{Environment, InTurn, Network, Workers};
pub use node::{Node, StartError, SteppedConnection, SteppedNode};
pub use partition::PartitionView;
