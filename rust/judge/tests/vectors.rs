//! The vectors in `tests/vectors`: a chain, a snapshot and a moment, and the verdict that has to come out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::{collections::BTreeSet, fs, path::PathBuf};

use judge::{
    Reason, Snapshot, Verdict, authorize, decide,
    record::{Batch, SiteRecord},
};
use serde::Deserialize;
use serde_json::{Value, json};
use x509_parser::pem::Pem;

#[derive(Deserialize)]
struct Vector {
    name: String,
    snapshot: Value,
    chain: Vec<String>,
    at: i64,
    route: Option<Value>,
    verdict: String,
    reason: Option<String>,
    certificate: Option<u8>,
    issuer_known: Option<bool>,
    client: Option<u64>,
}

#[test]
fn every_vector_comes_out_as_written() {
    let mut wrong = Vec::new();
    for (file, vector) in vectors() {
        if let Err(problem) = check(&vector) {
            wrong.push(format!("{file}: {}: {problem}", vector.name));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_reason_is_met_and_missed() {
    let met: BTreeSet<String> = vectors()
        .into_iter()
        .filter_map(|(_, vector)| vector.reason)
        .collect();
    // Partners and pins are not accepted yet; that SNI and Host agree is for the gate to see.
    let elsewhere = [
        Reason::NameNotPermitted,
        Reason::PinRetired,
        Reason::WrongSite,
    ];
    for reason in Reason::ALL
        .into_iter()
        .filter(|reason| !elsewhere.contains(reason))
    {
        assert!(
            met.contains(reason.code()),
            "no vector is refused as {}",
            reason.code()
        );
        let passes = vectors()
            .into_iter()
            .any(|(file, vector)| file == reason.code() && vector.reason.is_none());
        assert!(passes, "{} has no vector that just passes", reason.code());
    }
}

fn check(vector: &Vector) -> Result<(), String> {
    let snapshot = Snapshot::build([batch(vector)]).map_err(|error| error.to_string())?;
    let chain: Vec<Vec<u8>> = vector.chain.iter().map(|text| der(text)).collect();
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let mut verdict = decide(&chain, vector.at, &snapshot);
    let mut client = match &verdict {
        Verdict::Admitted(admission) => Some(admission.client().id),
        Verdict::Refused(refusal) => refusal.client,
    };
    if vector.route.is_some() {
        let route = snapshot
            .default_site()
            .unwrap()
            .route("/")
            .unwrap()
            .unwrap();
        match authorize(&verdict, route) {
            Ok(permit) => {
                let permitted = permit.admission().map(|admission| admission.client().id);
                let wanted = vector.verdict == "admitted" && permitted == vector.client;
                return if wanted {
                    Ok(())
                } else {
                    Err(format!("permitted as {permitted:?}"))
                };
            }
            Err(refusal) => {
                client = refusal.client;
                verdict = Verdict::Refused(refusal);
            }
        }
    }
    let came = match &verdict {
        Verdict::Admitted(_) => ("admitted", None, None, None, client),
        Verdict::Refused(refusal) => {
            assert!(
                refusal.detail.len() < 1_000 && refusal.detail.ends_with('.'),
                "{}",
                refusal.detail
            );
            (
                "refused",
                Some(refusal.reason.code()),
                refusal.certificate,
                Some(refusal.issuer_known),
                client,
            )
        }
    };
    let wanted = (
        vector.verdict.as_str(),
        vector.reason.as_deref(),
        vector.certificate,
        vector.issuer_known,
        vector.client,
    );
    if came == wanted {
        Ok(())
    } else {
        Err(format!("{came:?}, wanted {wanted:?} ({verdict:?})"))
    }
}

fn vectors() -> Vec<(String, Vector)> {
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
fn der(text: &str) -> Vec<u8> {
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

fn octets(digits: &str) -> Vec<u8> {
    (0..digits.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap())
        .collect()
}

fn batch(vector: &Vector) -> Batch {
    let mut snapshot = vector.snapshot.clone();
    for authority in snapshot["authorities"].as_array_mut().unwrap() {
        authority["certificate"] = json!(der(authority["certificate"].as_str().unwrap()));
    }
    for credential in snapshot["credentials"].as_array_mut().unwrap() {
        credential["fingerprint"] = json!(octets(credential["fingerprint"].as_str().unwrap()));
    }
    for revocation in snapshot["revocations"].as_array_mut().unwrap() {
        revocation["serial"] = json!(octets(revocation["serial"].as_str().unwrap()));
    }
    let mut batch: Batch = serde_json::from_value(snapshot).unwrap();
    batch.sites = vector.route.clone().map(|mut route| {
        route["path"] = json!("/");
        route["upstream"] = json!(0);
        let site = json!({"name": "site", "hosts": ["site.example"], "client_certificate": "required", "on_refusal": "page", "routes": [route]});
        vec![serde_json::from_value::<SiteRecord>(site).unwrap()]
    });
    batch
}
