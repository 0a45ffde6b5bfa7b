//! `cargo fuzz run chunked`, see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::chunked(data));
