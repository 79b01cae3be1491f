//! The seeds of the fuzz target `requests`, replayed.
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../../fuzz/requests.rs"]
mod requests;

use std::{fs, path::PathBuf};

#[test]
fn requests() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds/requests");
    let mut count = 0;
    for entry in fs::read_dir(folder).unwrap() {
        requests::requests(&fs::read(entry.unwrap().path()).unwrap());
        count += 1;
    }
    assert!(count > 30, "{count} seeds");
}
