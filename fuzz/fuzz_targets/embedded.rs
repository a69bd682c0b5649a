//! See `fuzz::coordinator::embedded`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::coordinator::embedded(data));
