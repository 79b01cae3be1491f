//! The seeds of the fuzz targets, replayed; those of `deltas` were written by the control plane's own records.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::PathBuf};

use judge::record::Batch;

use crate::bodies;

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../fuzz/seeds")
        .join(target);
    let seeds: Vec<Vec<u8>> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read(entry.unwrap().path()).unwrap())
        .collect();
    assert!(!seeds.is_empty());
    seeds
}

#[test]
fn certificates() {
    seeds("certificates")
        .iter()
        .for_each(|seed| bodies::certificates(seed));
}

#[test]
fn paths() {
    seeds("paths").iter().for_each(|seed| bodies::paths(seed));
}

#[test]
fn deltas() {
    seeds("deltas").iter().for_each(|seed| bodies::deltas(seed));
}

#[test]
fn questions() {
    seeds("questions")
        .iter()
        .for_each(|seed| bodies::questions(seed));
}

#[test]
fn both_sides_agree_on_records() {
    for seed in seeds("deltas") {
        rmp_serde::from_slice::<Batch>(&seed).unwrap();
    }
}
