//! Kafka's wire: frames, headers, the API table, every message of Kafka 4.4 and the records of its metadata log.
//!
//! Pure. Decoding borrows from the received frame, encoding goes into one buffer of known size. Messages are generated from
//! `schemas/` by `cargo xtask codegen`. It knows how things are written, never what they mean or who may ask.

mod api_key;
pub mod extension;
pub mod frame;
pub mod messages;
pub mod metadata_record;
pub mod wire;

#[cfg(any(test, feature = "codecs"))]
pub mod testing;

pub use api_key::ApiKey;
