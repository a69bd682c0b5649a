//! The whole node in a deterministic simulation: docs/internals/simulation.md.
//!
//! One thread, one seed. The node is the product's own, put together without threads; the clock, the disk and the network are ours, and
//! a seeded scheduler decides what happens next. Clients talk to it as Kafka's do, and a model says what must hold after each step.
//! Nothing here depends on real time, on addresses in memory or on the order of a hash map: the same seed gives the same trace.

mod caught;
mod clients;
mod clock;
mod controls;
mod disk;
mod link;
mod machine;
mod model;
mod options;
mod shrink;
mod trace;
mod world;

pub use caught::caught_by;
pub use controls::{CONTROLS, Control};
pub use model::Seen;
pub use options::{Faults, Options};
pub use shrink::shrink;
pub use world::{Outcome, run};
