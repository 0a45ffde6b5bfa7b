//! `cargo fuzz run forwarded`, see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::forwarded(data));
