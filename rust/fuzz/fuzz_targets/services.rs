#![no_main]
#[path = "../beginnings.rs"]
mod beginnings;
#[path = "../frames.rs"]
mod frames;
#[path = "../services.rs"]
mod services;
#[path = "../../gate/tests/support/mod.rs"]
mod support;

libfuzzer_sys::fuzz_target!(
    init: {
        // As in every program of Rust's and Python's: who writes to a connection that has ended is told.
        // SAFETY: ignoring a signal runs no code.
        unsafe { libc::signal(libc::SIGPIPE, libc::SIG_IGN) };
    },
    |data: &[u8]| services::services(data)
);
