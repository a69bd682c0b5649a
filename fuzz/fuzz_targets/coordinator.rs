//! See `fuzz::coordinator::coordinator`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::coordinator::coordinator(data));
