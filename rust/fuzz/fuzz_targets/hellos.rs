#![no_main]
#[path = "../beginnings.rs"]
mod beginnings;

libfuzzer_sys::fuzz_target!(|data: &[u8]| beginnings::hellos(data));
