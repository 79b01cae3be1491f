//! The vectors, read.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::{fs, path::PathBuf};

use judge::record::{Batch, SiteRecord};
use serde::Deserialize;
use serde_json::{Value, json};
use x509_parser::pem::Pem;

#[derive(Deserialize)]
pub struct Vector {
    pub name: String,
    pub snapshot: Value,
    pub chain: Vec<String>,
    pub at: i64,
    pub route: Option<Value>,
    pub verdict: String,
    pub reason: Option<String>,
    pub certificate: Option<u8>,
    pub issuer_known: Option<bool>,
    pub client: Option<u64>,
    #[serde(default)]
    pub evidence: Option<String>,
    #[serde(default)]
    pub partner: Option<String>,
}

pub fn vectors() -> Vec<(String, Vector)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors");
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let vectors: Vec<Vector> = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            let file = path.file_stem().unwrap().to_string_lossy().into_owned();
            all.extend(vectors.into_iter().map(|vector| (file.clone(), vector)));
        }
    }
    assert!(all.len() > 100);
    all
}

/// PEM, or `hex:` and what no PEM could hold.
pub fn der(text: &str) -> Vec<u8> {
    match text.strip_prefix("hex:") {
        Some(digits) => octets(digits),
        None => {
            Pem::iter_from_buffer(text.as_bytes())
                .next()
                .unwrap()
                .unwrap()
                .contents
        }
    }
}

pub fn octets(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

pub fn batch(vector: &Vector) -> Batch {
    let mut snapshot = vector.snapshot.clone();
    // Octets are written as PEM or in hex.
    for (kind, field, read) in [
        ("authorities", "certificate", der as fn(&str) -> Vec<u8>),
        ("credentials", "fingerprint", octets),
        ("revocations", "serial", octets),
        ("pins", "digest", octets),
        ("partners", "intermediates", der),
        ("anchors", "certificate", der),
        ("anchors", "sub_cas", octets),
        ("foreign", "serial", octets),
    ] {
        let records = snapshot.get_mut(kind).and_then(Value::as_array_mut);
        for record in records.into_iter().flatten() {
            record[field] = match &record[field] {
                Value::Array(many) => {
                    json!(
                        many.iter()
                            .map(|one| read(one.as_str().unwrap()))
                            .collect::<Vec<_>>()
                    )
                }
                one => json!(read(one.as_str().unwrap())),
            };
        }
    }
    let mut batch: Batch = serde_json::from_value(snapshot).unwrap();
    batch.sites = vector.route.clone().map(|mut route| {
        route["path"] = json!("/");
        route["upstream"] = json!(0);
        let environment = route.as_object_mut().unwrap().remove("environment");
        let mut site = json!({"name": "site", "hosts": ["site.example"], "client_certificate": "required", "on_refusal": "page", "routes": [route]});
        site["environment"] = environment.unwrap_or_else(|| json!(""));
        vec![serde_json::from_value::<SiteRecord>(site).unwrap()]
    });
    batch
}

/// The first vector that is admitted: a chain, its moment and a snapshot.
pub fn good() -> Vector {
    vectors()
        .into_iter()
        .find(|(file, vector)| file == "no_certificate" && vector.reason.is_none())
        .unwrap()
        .1
}
