//! Is this chain a credential of one of our clients, and of which one?
//!
//! Knows the snapshot and RFC 5280 section 6. Does not know the clock, sockets, HTTP or policy: *who* is decided here,
//! *what they may do* in [`crate::authorize`]. The order of judgement, top to bottom: what is wrong first is what is said.

use std::sync::Arc;

use aws_lc_rs::digest;

use crate::{
    Admission, Evidence, Reason, Refusal, Snapshot, Verdict,
    anchor::Anchor,
    certificate::Certificate,
    fault::Fault,
    moment, name,
    path::{self, Path, Question},
    record::Admits,
    revocation::Revocation,
    rules::Usage,
    shards::Fingerprint,
    snapshot::Known,
};

/// Certificates that are looked at, at most; more is refused before anything is read.
pub const MOST_CERTIFICATES: usize = 4;
/// Bytes of certificates that are looked at, at most.
pub const MOST_BYTES: usize = 32 * 1024;
/// Signature checks for one chain, at most: an honest one needs as many as it has certificates.
const SIGNATURES: usize = 16;

/// Decides about `chain` (DER, leaf first, as the peer sent it; empty for none) at `at` (Unix seconds).
///
/// Pure and total: same input, same verdict; hostile input is a refusal, never a panic, after bounded work.
/// The caller has seen proof that the peer holds the leaf's key, for all keys that [`crate::provable`] accepts.
pub fn decide(chain: &[&[u8]], at: i64, snapshot: &Snapshot) -> Verdict {
    match admit(chain, at, snapshot) {
        Ok(admission) => Verdict::Admitted(Arc::new(admission)),
        Err(refusal) => Verdict::Refused(refusal),
    }
}

fn admit(chain: &[&[u8]], at: i64, snapshot: &Snapshot) -> Result<Admission, Refusal> {
    let certificates = read(chain).map_err(|fault| fault.refusal(false, None))?;
    let leaf = &certificates[0];
    let question = Question {
        certificates: &certificates,
        at,
        usage: Usage::Client,
        longest: MOST_CERTIFICATES,
        signatures: SIGNATURES,
        anchors: &|name| snapshot.authorities.named(name),
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
fn read<'a>(chain: &[&'a [u8]]) -> Result<Vec<Certificate<'a>>, Fault> {
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
        .any(|anchor| *anchor.spki == *leaf.spki)
}

/// Whose credential a leaf with a good path is, and whether it still is.
fn identify(
    leaf: &Certificate<'_>,
    path: &Path<'_>,
    certificates: &[Certificate<'_>],
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
    let fingerprint = fingerprint(leaf.der);
    let listed = snapshot
        .credentials
        .get(&fingerprint)
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
        return Err(revoked_fault(index, revocation)
            .refusal(true, listed.map(|credential| credential.client)));
    }

    let client = match listed {
        Some(credential) => Some(credential.client),
        None => estate(anchor),
    };
    let Some(Known { client, suspended }) = client
        .and_then(|id| snapshot.clients.get(&id))
        .map(Arc::as_ref)
    else {
        return Err(
            Fault::of(Reason::NotEnrolled, 0, "is genuine but not registered here")
                .refusal(true, None),
        );
    };
    if *suspended {
        return Err(Fault::of(
            Reason::ClientSuspended,
            0,
            "belongs to a client that is suspended",
        )
        .refusal(true, Some(client.id)));
    }
    Ok(Admission {
        client: client.clone(),
        evidence: match listed {
            Some(_) => Evidence::Credential,
            None => Evidence::Signed,
        },
        partner: None,
        environment: None,
        credential: listed.map(|credential| credential.id),
        authority: anchor.name.as_ref().into(),
        fingerprint: fingerprint.0,
        subject: name::text(leaf.subject).into(),
        issuer: name::text(leaf.issuer).into(),
        serial: leaf.serial_hex().into(),
        not_after: leaf.not_after,
        valid_from: path.valid_from,
        valid_until: path.valid_until,
    })
}

/// The client that a signed but unlisted certificate stands for.
fn estate(anchor: &Anchor) -> Option<u64> {
    match anchor.admits {
        Admits::Signed => anchor.estate,
        Admits::Issued | Admits::Listed => None,
    }
}

fn revoked_fault(index: usize, revocation: &Revocation) -> Fault {
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

/// SHA-256 of a certificate.
pub(crate) fn fingerprint(der: &[u8]) -> Fingerprint {
    let mut octets = [0; 32];
    octets.copy_from_slice(digest::digest(&digest::SHA256, der).as_ref());
    Fingerprint(octets)
}
