//! See `fuzz::wire::frame`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::wire::frame(data));
