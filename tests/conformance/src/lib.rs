//! Brokers and peers as real processes, from the outside: what the conformance scenarios stand on, and the benchmarks too.
//!
//! It shares no code with what it drives, knows no scenario, and leaves no process behind.

pub mod batches;
pub mod fault;
pub mod java;
pub mod made_batch;
pub mod node;
pub mod peers;
pub mod process;
pub mod proxy;
pub mod rig;
pub mod table_peer;
pub mod wire;
