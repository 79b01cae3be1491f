//! Admissions remembered: never past their time, never past their epoch, never more than asked for.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use judge::{
    Reason, Snapshot, Verdict, VerdictCache,
    record::{Batch, RevocationRecord},
};

fn reason(verdict: &Verdict) -> Option<Reason> {
    match verdict {
        Verdict::Admitted(_) => None,
        Verdict::Refused(refusal) => Some(refusal.reason),
    }
}

#[test]
fn an_admission_ends_with_its_certificate() {
    let vector = common::good();
    let (leaf, snapshot) = (
        common::der(&vector.chain[0]),
        Snapshot::build([common::batch(&vector)]).unwrap(),
    );
    let mut cache = VerdictCache::new(8);
    let mut ask = |at| cache.decide(&[&leaf], at, &snapshot);
    let Verdict::Admitted(first) = ask(vector.at) else {
        panic!("refused")
    };
    let until = first.valid_until();
    assert_eq!(reason(&ask(until)), None);
    assert_eq!(reason(&ask(until + 1)), Some(Reason::Expired));
    assert_eq!(
        reason(&ask(vector.at - 86_400 * 365)),
        Some(Reason::NotYetValid)
    );
    let Verdict::Admitted(again) = ask(vector.at) else {
        panic!("refused")
    };
    assert!(std::sync::Arc::ptr_eq(&first, &again), "remembered");
}

#[test]
fn an_admission_ends_with_its_epoch() {
    let vector = common::good();
    let leaf = common::der(&vector.chain[0]);
    let snapshot = Snapshot::build([Batch {
        epoch: Some(1),
        ..common::batch(&vector)
    }])
    .unwrap();
    let mut cache = VerdictCache::new(8);
    let Verdict::Admitted(admission) = cache.decide(&[&leaf], vector.at, &snapshot) else {
        panic!("refused")
    };
    let digits = admission.serial();
    let padded = format!(
        "{:0>width$}",
        digits,
        width = digits.len().next_multiple_of(2)
    );
    let serial = (0..padded.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&padded[at..at + 2], 16).unwrap())
        .collect();
    let revocation = RevocationRecord {
        authority: 1,
        serial,
        at: vector.at,
        reason: 1,
    };
    let next = snapshot
        .apply(Batch {
            epoch: Some(2),
            revocations: vec![revocation],
            ..Batch::default()
        })
        .unwrap();
    assert_eq!(
        reason(&cache.decide(&[&leaf], vector.at, &next)),
        Some(Reason::Revoked)
    );
    // A reader that is still at the epoch before gets that epoch's answer.
    assert_eq!(reason(&cache.decide(&[&leaf], vector.at, &snapshot)), None);
}

#[test]
fn a_chain_is_its_certificates_and_where_they_end() {
    let vector = common::good();
    let (leaf, snapshot) = (
        common::der(&vector.chain[0]),
        Snapshot::build([common::batch(&vector)]).unwrap(),
    );
    let mut cache = VerdictCache::new(8);
    assert_eq!(reason(&cache.decide(&[&leaf], vector.at, &snapshot)), None);
    let (front, back) = leaf.split_at(100);
    assert_eq!(
        reason(&cache.decide(&[front, back], vector.at, &snapshot)),
        Some(Reason::Malformed)
    );
    assert_eq!(
        reason(&cache.decide(&[&leaf, &leaf, &leaf, &leaf, &leaf], vector.at, &snapshot)),
        Some(Reason::Malformed)
    );
    assert_eq!(
        reason(&cache.decide(&[], vector.at, &snapshot)),
        Some(Reason::NoCertificate)
    );
    assert_eq!(
        reason(&VerdictCache::new(0).decide(&[&leaf], vector.at, &snapshot)),
        None
    );
}
