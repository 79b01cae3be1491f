//! The seeds of the fuzz targets of what comes from outside, replayed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../fuzz/beginnings.rs"]
mod beginnings;
#[path = "../../fuzz/frames.rs"]
mod frames;
#[path = "../../fuzz/requests.rs"]
mod requests;
#[path = "../../fuzz/services.rs"]
mod services;
#[path = "../../fuzz/sessions.rs"]
mod sessions;
#[path = "../../fuzz/streams.rs"]
mod streams;
mod support;

use std::{fs, path::PathBuf};

/// Gives `body` each seed of `target`, of which there are more than `few`.
fn replay(target: &str, few: usize, body: fn(&[u8])) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        body(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > few, "{count} seeds");
}

#[test]
fn requests() {
    replay("requests", 30, requests::requests);
}

#[test]
fn responses() {
    replay("responses", 20, beginnings::responses);
}

#[test]
fn proxy_headers() {
    replay("proxy_headers", 10, beginnings::proxy_headers);
}

#[test]
fn postgresql() {
    replay("postgresql", 8, beginnings::postgresql);
}

#[test]
fn hellos() {
    replay("hellos", 3, beginnings::hellos);
}

#[test]
fn sessions() {
    replay("sessions", 8, sessions::sessions);
}

#[test]
fn streams() {
    replay("streams", 15, streams::streams);
}

#[test]
fn services() {
    replay("services", 100, services::services);
}
