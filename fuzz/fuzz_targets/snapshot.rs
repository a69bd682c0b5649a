//! See `fuzz::metadata_log::snapshot`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::metadata_log::snapshot(data));
