//! See `fuzz::records::compression`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::records::compression(data));
