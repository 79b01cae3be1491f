#![no_main]
#[path = "../beginnings.rs"]
mod beginnings;
#[path = "../frames.rs"]
mod frames;
#[path = "../services.rs"]
mod services;
#[path = "../../gate/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(|data: &[u8]| services::services(data));
