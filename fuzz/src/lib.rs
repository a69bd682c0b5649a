//! Fuzz targets. Each is a function over bytes, and holds three things whatever the bytes are: nothing panics, nothing recurses
//! without end (the stack is small, see `xtask/src/fuzz.rs`), and the heap grows by a small multiple of the bytes ([`heap`]).
//! What a target checks beyond that (what was read is written the same, recovery finds the same end twice) stands at its function.
//!
//! `fuzz/fuzz_targets` gives each to libFuzzer; `fuzz/seeds` is where it begins, made by `fuzz/examples/seeds/main.rs` and then by
//! what was found.

pub mod coordinator;
pub mod files;
pub mod heap;
pub mod metadata_log;
pub mod node;
pub mod records;
pub mod recovery;
pub mod take;
pub mod text;
pub mod wire;
pub mod write_ahead;
