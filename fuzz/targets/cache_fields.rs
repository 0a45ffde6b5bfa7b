//! `cargo fuzz run cache_fields`, see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::cache_fields(data));
