//! See `fuzz::recovery::recovery`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::recovery::recovery(data));
