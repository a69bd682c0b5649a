//! See `fuzz::wire::message`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::wire::message(data));
