//! A client of Kafka's protocol, written by hand and small on purpose: the rig must not share a codec with what it tests.
//!
//! Versions are fixed and not flexible, since only those save code. Nothing here retries or decides.

pub mod batch;
pub mod codec;
pub mod connection;
pub mod messages;
