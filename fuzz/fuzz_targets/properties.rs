//! See `fuzz::text::properties`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::text::properties(data));
