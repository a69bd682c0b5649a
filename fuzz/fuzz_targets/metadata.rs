//! See `fuzz::metadata_log::metadata`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::metadata_log::metadata(data));
