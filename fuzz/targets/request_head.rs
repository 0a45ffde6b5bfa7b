//! `cargo fuzz run request_head`, see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::request_head(data));
