//! Whether a signature verifies: rustls-webpki's algorithms on aws-lc-rs, and nothing of ours.

use std::{cell::RefCell, collections::HashMap};

use foldhash::fast::RandomState;
use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::ALL_VERIFICATION_ALGS;

use crate::{certificate::Certificate, der, shards::Fingerprint};

/// Why a signature does not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignatureFault {
    /// It does not verify.
    Wrong,
    /// Nobody should rely on such a signature (SHA-1, MD5), or we cannot check it.
    Algorithm,
}

/// What is signed, how, and the signature.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Signed<'a> {
    /// The octets that the signature covers.
    pub message: &'a [u8],
    /// The contents of the AlgorithmIdentifier.
    pub algorithm: &'a [u8],
    /// The signature.
    pub signature: &'a [u8],
}

/// Verifies `signed` with the key of `spki`.
pub(crate) fn verify(signed: Signed<'_>, spki: &[u8]) -> Result<(), SignatureFault> {
    let (key_algorithm, key) = der::public_key(spki).ok_or(SignatureFault::Algorithm)?;
    let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
        algorithm.signature_alg_id().as_ref() == signed.algorithm
            && algorithm.public_key_alg_id().as_ref() == key_algorithm
    };
    let algorithm = ALL_VERIFICATION_ALGS
        .iter()
        .find(fits)
        .ok_or(SignatureFault::Algorithm)?;
    algorithm
        .verify_signature(key, signed.message, signed.signature)
        .map_err(|_| SignatureFault::Wrong)
}

/// The signature checks of one judgement: each is made once, whoever asks. What a search may spend is counted by the search,
/// so that nobody's search ends sooner or later for what another's has asked.
#[derive(Debug, Default)]
pub(crate) struct Checks {
    /// By certificate and key.
    made: RefCell<HashMap<Check, Result<(), SignatureFault>, RandomState>>,
}

/// SHA-256 of a certificate and of a SubjectPublicKeyInfo.
type Check = (Fingerprint, Fingerprint);

impl Checks {
    /// Whether the key of `spki`, whose SHA-256 is `key`, signed `certificate`.
    pub fn signed_by(
        &self,
        certificate: &Certificate<'_>,
        spki: &[u8],
        key: Fingerprint,
    ) -> Result<(), SignatureFault> {
        let asked = (certificate.fingerprint(), key);
        if let Some(known) = self.made.borrow().get(&asked) {
            return *known;
        }
        let result = certificate.signed_by(spki);
        self.made.borrow_mut().insert(asked, result);
        result
    }
}
