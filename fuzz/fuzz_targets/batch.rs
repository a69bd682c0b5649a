//! See `fuzz::records::batch`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::records::batch(data));
