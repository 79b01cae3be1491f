//! Is this chain a credential of one of our clients, and of which one?
//!
//! Knows the snapshot and RFC 5280 section 6. Does not know the clock, sockets, HTTP or policy: *who* is decided here,
//! *what they may do* in [`crate::authorize`]. The order of judgement, top to bottom: what is wrong first is what is said.

use std::sync::Arc;

use crate::{
    Admission, Evidence, Reason, Refusal, Snapshot, Verdict,
    anchor::Anchor,
    certificate::Certificate,
    fault::Fault,
    key::provable,
    moment, name,
    path::{self, Path, Question},
    pin::Pin,
    record::Admits,
    revocation::Revocation,
    rules::Usage,
    signature::{Checks, Memory},
    snapshot::Credential,
    validate::weak,
    verdict::Client,
    vouch::{Shown, telling, vouch},
};

/// Certificates that are looked at, at most; more is refused before anything is read.
pub const MOST_CERTIFICATES: usize = 4;
/// Bytes of certificates that are looked at, at most.
pub const MOST_BYTES: usize = 32 * 1024;
/// Signature checks for one chain, at most: an honest one needs as many as it has certificates. So many CAs of one name are
/// tried for a certificate that does not say by which of their keys it was signed.
pub const SIGNATURES: usize = 16;

/// Decides about `chain` (DER, leaf first, as the peer sent it; empty for none) at `at` (Unix seconds).
///
/// Pure and total: same input, same verdict; hostile input is a refusal, never a panic, after bounded work.
/// The caller has seen proof that the peer holds the leaf's key, for all keys that [`crate::provable`] accepts.
pub fn decide(chain: &[&[u8]], at: i64, snapshot: &Snapshot) -> Verdict {
    decide_read(&read(chain), at, snapshot, &Checks::default())
}

/// As [`decide`], and says the same, sooner: `memory` keeps the signatures that were found good, from one epoch to the next.
pub fn decide_again(chain: &[&[u8]], at: i64, snapshot: &Snapshot, memory: &Memory) -> Verdict {
    decide_read(&read(chain), at, snapshot, &Checks::with(Some(memory)))
}

/// As [`decide`], of a chain that was [`read`], or why it could not be.
pub(crate) fn decide_read(
    chain: &Result<Vec<Certificate<'_>>, Fault>,
    at: i64,
    snapshot: &Snapshot,
    checks: &Checks<'_>,
) -> Verdict {
    let admitted = match chain {
        Ok(certificates) => admit(certificates, at, snapshot, checks),
        Err(fault) => Err(fault.clone().refusal(false, None)),
    };
    match admitted {
        Ok(admission) => Verdict::Admitted(Arc::new(admission)),
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn admit(
    certificates: &[Certificate<'_>],
    at: i64,
    snapshot: &Snapshot,
    checks: &Checks<'_>,
) -> Result<Admission, Refusal> {
    let leaf = &certificates[0];
    // In the handshake the possession of such a key was not proved, so nothing may be said about whose it is.
    provable(leaf.spki).map_err(|key| weak(key, 0).refusal(false, None))?;

    // A pin is this certificate or this key and nothing else: no path is built for it, and it is in nobody's path.
    if let Some(pin) = snapshot.pins.matching(leaf) {
        return pinned(leaf, pin, at, snapshot);
    }
    let refusal = match ours(certificates, at, snapshot, checks) {
        // What an authority of ours vouches for is judged by its word alone.
        Err(refusal) if !refusal.issuer_known => refusal,
        decided => return decided,
    };
    let shown = Shown {
        certificates,
        at,
        checks,
    };
    match vouch(&shown, snapshot) {
        Some(Err(theirs)) if !theirs.issuer_known && telling(&theirs) <= telling(&refusal) => {
            Err(refusal)
        }
        Some(theirs) => theirs,
        None => Err(refusal),
    }
}

/// Judges a leaf that is pinned.
fn pinned(
    leaf: &Certificate<'_>,
    pin: &Pin,
    at: i64,
    snapshot: &Snapshot,
) -> Result<Admission, Refusal> {
    pin.check(leaf, at)
        .map_err(|fault| fault.refusal(true, Some(pin.client)))?;
    // A certificate that the store knows may have been pinned besides, by its key: what was revoked stays so.
    let revocation = snapshot
        .credentials
        .get(&leaf.fingerprint())
        .and_then(|known| {
            snapshot
                .revocations
                .get(known.authority, leaf.serial_digits())
        });
    if let Some(revocation) = revocation {
        return Err(revoked_fault(0, revocation).refusal(true, Some(pin.client)));
    }
    let Some((client, comes_in)) = snapshot.client(pin.client) else {
        return Err(not_enrolled());
    };
    if !comes_in {
        return Err(client_suspended(client.id));
    }
    let (valid_from, valid_until) = pin.dates(leaf);
    Ok(Admission {
        evidence: Evidence::Pin,
        credential: Some(pin.id),
        environment: pin.environment.as_deref().cloned(),
        authority: "pin".into(),
        valid_from,
        valid_until,
        ..admission(client, leaf)
    })
}

/// Judges a chain under the authorities of ours.
fn ours(
    certificates: &[Certificate<'_>],
    at: i64,
    snapshot: &Snapshot,
    checks: &Checks<'_>,
) -> Result<Admission, Refusal> {
    let leaf = &certificates[0];
    let certificates: Vec<&Certificate<'_>> = certificates.iter().collect();
    let question = Question {
        certificates: &certificates,
        at,
        usage: Usage::Client,
        longest: MOST_CERTIFICATES,
        signatures: SIGNATURES,
        checks,
        anchors: &|name| snapshot.authorities.named(name),
        ends_at: &|_| false,
        further: &|_, _| Ok(()),
    };
    let path = path::build(&question).map_err(|none| {
        // An intermediate of ours is issued by our root, which is no anchor; shown as a client it is a CA all the same.
        if none.fault.reason == Reason::UnknownIssuer && is_anchor(leaf, snapshot) {
            return Fault::of(Reason::CaAsClient, 0, "is a CA's, not a client's")
                .refusal(true, None);
        }
        none.fault.refusal(none.issuer_known, None)
    })?;
    identify(leaf, &path, &certificates, snapshot)
}

/// Reads the chain within its limits; the leaf is there.
pub(crate) fn read<'a>(chain: &[&'a [u8]]) -> Result<Vec<Certificate<'a>>, Fault> {
    if chain.is_empty() {
        let detail = "No client certificate was sent.".into();
        return Err(Fault {
            reason: Reason::NoCertificate,
            certificate: None,
            detail,
        });
    }
    let bytes: usize = chain.iter().map(|der| der.len()).sum();
    if chain.len() > MOST_CERTIFICATES || bytes > MOST_BYTES {
        let detail = format!(
            "The chain has {} certificates and {bytes} bytes; at most {MOST_CERTIFICATES} and {MOST_BYTES} are read.",
            chain.len()
        );
        return Err(Fault {
            reason: Reason::Malformed,
            certificate: None,
            detail,
        });
    }
    let read = |(index, der): (usize, &&'a [u8])| {
        Certificate::parse(der).map_err(|fault| Fault::of(Reason::Malformed, index, fault))
    };
    chain.iter().enumerate().map(read).collect()
}

fn is_anchor(leaf: &Certificate<'_>, snapshot: &Snapshot) -> bool {
    snapshot
        .authorities
        .named(leaf.subject)
        .iter()
        .any(|anchor| anchor.is_of(leaf))
}

/// Whose credential a leaf with a good path is, and whether it still is.
fn identify(
    leaf: &Certificate<'_>,
    path: &Path<'_>,
    certificates: &[&Certificate<'_>],
    snapshot: &Snapshot,
) -> Result<Admission, Refusal> {
    let anchor = path.anchor;
    // An anchor is its key: one whose certificate was renewed is in the store twice, and is one CA.
    let vouched = || {
        snapshot
            .authorities
            .named(&anchor.subject)
            .iter()
            .filter(|twin| twin.spki == anchor.spki)
    };
    let listed = snapshot
        .credentials
        .get(&leaf.fingerprint())
        .filter(|credential| vouched().any(|twin| twin.id == credential.authority));

    // RFC 5280 6.3 by look-up. The anchor itself signed the last certificate of the path; the leaf, if another CA is
    // between, is revoked here only if the store lists it, since serial numbers are that other CA's.
    let revoked = |index: &usize| {
        let serial = certificates[*index].serial_digits();
        vouched().find_map(|twin| Some((*index, snapshot.revocations.get(twin.id, serial)?)))
    };
    let signed_by_anchor = path.indexes.last().and_then(revoked);
    if let Some((index, revocation)) = signed_by_anchor.or_else(|| listed.and_then(|_| revoked(&0)))
    {
        return Err(revoked_fault(index, revocation).refusal(true, listed.map(Credential::client)));
    }

    let client = match listed {
        Some(credential) => Some(credential.client()),
        None => estate(anchor),
    };
    let Some((client, comes_in)) = client.and_then(|id| snapshot.client(id)) else {
        return Err(not_enrolled());
    };
    if !comes_in {
        return Err(client_suspended(client.id));
    }
    Ok(Admission {
        evidence: match listed {
            Some(_) => Evidence::Credential,
            None => Evidence::Signed,
        },
        credential: listed.map(Credential::id),
        authority: anchor.name.as_ref().into(),
        signer: Some(path.signer.0),
        valid_from: path.valid_from,
        valid_until: path.valid_until,
        ..admission(client, leaf)
    })
}

/// What every admission of `leaf` says; the rest is for who admits.
pub(crate) fn admission(client: Client, leaf: &Certificate<'_>) -> Admission {
    Admission {
        client,
        evidence: Evidence::Credential,
        credential: None,
        partner: None,
        environment: None,
        authority: Box::default(),
        fingerprint: leaf.fingerprint().0,
        signer: None,
        subject: name::text(leaf.subject).into(),
        issuer: name::text(leaf.issuer).into(),
        serial: leaf.serial_hex().into(),
        not_after: leaf.not_after,
        valid_from: leaf.not_before,
        valid_until: leaf.not_after,
    }
}

fn not_enrolled() -> Refusal {
    Fault::of(Reason::NotEnrolled, 0, "is genuine but not registered here").refusal(true, None)
}

fn client_suspended(client: u64) -> Refusal {
    Fault::of(
        Reason::ClientSuspended,
        0,
        "belongs to a client that is suspended",
    )
    .refusal(true, Some(client))
}

/// The client that a signed but unlisted certificate stands for.
fn estate(anchor: &Anchor) -> Option<u64> {
    match anchor.admits {
        Admits::Signed => anchor.estate,
        Admits::Issued | Admits::Listed => None,
    }
}

pub(crate) fn revoked_fault(index: usize, revocation: &Revocation) -> Fault {
    // RFC 5280 5.3.1
    let reason = match revocation.reason {
        1 => ", because its key was exposed",
        2 => ", because its CA's key was exposed",
        3 => ", because its holder's affiliation changed",
        4 => ", because it was replaced",
        5 => ", because it is no longer needed",
        6 => " for the time being",
        9 => ", because its privileges were withdrawn",
        10 => ", because an authority behind it was compromised",
        _ => "",
    };
    Fault::of(
        Reason::Revoked,
        index,
        format!("was revoked on {}{reason}", moment::text(revocation.at())),
    )
}
