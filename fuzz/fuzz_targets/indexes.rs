//! See `fuzz::files::indexes`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::files::indexes(data));
