//! Tests of the whole crate: against Kafka's own bytes, and properties that no single file can promise.

mod kafka;
mod properties;
