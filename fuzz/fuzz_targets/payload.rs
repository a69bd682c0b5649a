//! See `fuzz::records::payload`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::records::payload(data));
