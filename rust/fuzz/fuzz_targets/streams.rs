#![no_main]
#[path = "../frames.rs"]
mod frames;
#[path = "../streams.rs"]
mod streams;
#[path = "../../gate/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| streams::streams(data));
