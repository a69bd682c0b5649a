//! See `fuzz::files::checkpoints`.
#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::files::checkpoints(data));
