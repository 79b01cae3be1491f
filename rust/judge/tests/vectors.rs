//! The vectors in `tests/vectors`: a chain, a snapshot and a moment, and the verdict that has to come out.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::BTreeSet;

use judge::{Memory, Reason, Snapshot, Verdict, authorize, decide, decide_again};

use crate::common::{Vector, batch, der, vectors};

#[test]
fn every_vector_comes_out_as_written() {
    let mut wrong = Vec::new();
    // Of all of them, twice: what was good in one vector is remembered in the next.
    let memory = Memory::new(10_000);
    for (file, vector) in vectors().into_iter().chain(vectors()) {
        if let Err(problem) = check(&vector, &memory) {
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
    // That SNI and Host agree is for the gate to see.
    let elsewhere = [Reason::WrongSite];
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

fn check(vector: &Vector, memory: &Memory) -> Result<(), String> {
    let snapshot = Snapshot::build([batch(vector)]).map_err(|error| error.to_string())?;
    let chain: Vec<Vec<u8>> = vector.chain.iter().map(|text| der(text)).collect();
    let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
    let mut verdict = decide(&chain, vector.at, &snapshot);
    let again = decide_again(&chain, vector.at, &snapshot, memory);
    if format!("{again:?}") != format!("{verdict:?}") {
        return Err(format!("with a memory {again:?}"));
    }
    let mut client = match &verdict {
        Verdict::Admitted(admission) => Some(admission.client().id),
        Verdict::Refused(refusal) => refusal.client,
    };
    if let (Verdict::Admitted(admission), Some(evidence)) = (&verdict, &vector.evidence) {
        let came = (admission.evidence().code(), admission.partner());
        if came != (evidence.as_str(), vector.partner.as_deref()) {
            return Err(format!("by {came:?}"));
        }
    }
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
