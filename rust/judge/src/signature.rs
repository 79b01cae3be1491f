//! Whether a signature verifies: rustls-webpki's algorithms on aws-lc-rs, and nothing of ours.

use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::ALL_VERIFICATION_ALGS;

use crate::der;

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
