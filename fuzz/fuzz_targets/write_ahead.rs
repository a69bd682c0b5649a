//! See `fuzz::write_ahead::write_ahead`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::write_ahead::write_ahead(data));
