#![no_main]
#[path = "../sessions.rs"]
mod sessions;

libfuzzer_sys::fuzz_target!(|data: &[u8]| sessions::sessions(data));
