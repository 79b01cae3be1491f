//! Whether a signature verifies: rustls-webpki's algorithms on aws-lc-rs, and nothing of ours.

use std::{
    cell::RefCell,
    collections::{HashMap, HashSet},
};

use rustls_pki_types::SignatureVerificationAlgorithm;
use webpki::ALL_VERIFICATION_ALGS;

use crate::{
    certificate::Certificate,
    der,
    shards::{AsIs, Fingerprint, sha256},
};

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
    let (algorithm, key) = algorithm(signed, spki)?;
    algorithm
        .verify_signature(key, signed.message, signed.signature)
        .map_err(|_| SignatureFault::Wrong)
}

/// Whether such a signature counts, by such a key, if it verifies.
pub(crate) fn can_be_verified(signed: Signed<'_>, spki: &[u8]) -> Result<(), SignatureFault> {
    algorithm(signed, spki).map(|_| ())
}

/// How `signed` is verified with the key of `spki`, and the key's octets.
fn algorithm<'k>(
    signed: Signed<'_>,
    spki: &'k [u8],
) -> Result<(&'static dyn SignatureVerificationAlgorithm, &'k [u8]), SignatureFault> {
    let (key_algorithm, key) = der::public_key(spki).ok_or(SignatureFault::Algorithm)?;
    let fits = |algorithm: &&&dyn SignatureVerificationAlgorithm| {
        algorithm.signature_alg_id().as_ref() == signed.algorithm
            && algorithm.public_key_alg_id().as_ref() == key_algorithm
    };
    let found = ALL_VERIFICATION_ALGS.iter().find(fits);
    Ok((*found.ok_or(SignatureFault::Algorithm)?, key))
}

/// Signatures that were found good, for those who judge the same certificates epoch after epoch: when trust changes, every
/// active client is judged again, and only what can have changed should cost anything. Whether a key signed a certificate
/// cannot change, so this never makes a verdict another one.
///
/// Bounded: the older half is forgotten when the newer is full. What does not verify is not kept; strangers would fill it.
#[derive(Debug)]
pub struct Memory {
    most: usize,
    kept: RefCell<[HashSet<Fingerprint, AsIs>; 2]>,
}

impl Memory {
    /// One that keeps at most `most` signatures, of 36 octets each.
    pub fn new(most: usize) -> Memory {
        Memory {
            most,
            kept: RefCell::default(),
        }
    }

    fn has(&self, check: &Fingerprint) -> bool {
        self.kept.borrow().iter().any(|part| part.contains(check))
    }

    fn keep(&self, check: Fingerprint) {
        let [newer, older] = &mut *self.kept.borrow_mut();
        if newer.len() >= self.most / 2 {
            *older = std::mem::take(newer);
        }
        if self.most > 1 {
            newer.insert(check);
        }
    }
}

/// The signature checks of one judgement: each is made once, whoever asks. What a search may spend is counted by the search,
/// so that nobody's search ends sooner or later for what another's has asked.
#[derive(Debug, Default)]
pub(crate) struct Checks<'m> {
    made: RefCell<HashMap<Fingerprint, Result<(), SignatureFault>, AsIs>>,
    memory: Option<&'m Memory>,
    /// One that is said to have been made in an earlier judgement, and to have been good: in previews alone.
    known: Option<Fingerprint>,
}

impl<'m> Checks<'m> {
    /// Checks that are also looked up in `memory`, and kept there.
    pub fn with(memory: Option<&'m Memory>) -> Checks<'m> {
        Checks {
            memory,
            ..Checks::default()
        }
    }

    /// As these, where the key with the SHA-256 `signer` verified `certificate` in an earlier judgement. Who lets somebody
    /// in by it believes whoever says so: only [`crate::compare`] does, which lets nobody in.
    pub fn after(self, certificate: &Certificate<'_>, signer: [u8; 32]) -> Checks<'m> {
        let known = Some(check(certificate, Fingerprint(signer)));
        Checks { known, ..self }
    }

    /// Whether the key of `spki`, whose SHA-256 is `key`, signed `certificate`.
    pub fn signed_by(
        &self,
        certificate: &Certificate<'_>,
        spki: &[u8],
        key: Fingerprint,
    ) -> Result<(), SignatureFault> {
        let check = check(certificate, key);
        if let Some(known) = self.made.borrow().get(&check) {
            return *known;
        }
        if self.known == Some(check) {
            // That it verifies cannot change; whether such signatures count may, from one release to the next.
            return certificate.can_be_verified(spki);
        }
        let known = self.memory.filter(|memory| memory.has(&check)).is_some();
        let result = if known {
            Ok(())
        } else {
            certificate.signed_by(spki)
        };
        if let (Some(memory), Ok(()), false) = (self.memory, result, known) {
            memory.keep(check);
        }
        self.made.borrow_mut().insert(check, result);
        result
    }
}

/// Stands for both, whole: whoever could make another pair with the same hash could forge certificates anyway.
fn check(certificate: &Certificate<'_>, key: Fingerprint) -> Fingerprint {
    sha256(&[certificate.fingerprint().0, key.0].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_verified_before_is_not_verified_again_and_counts_only_as_it_does_now() {
        let [ours, other] = [
            &include_bytes!("../../fuzz/seeds/ours.der")[..],
            &include_bytes!("../../fuzz/seeds/adopted.der")[..],
        ]
        .map(|der| Certificate::parse(der).unwrap_or_else(|fault| panic!("{fault}")));
        let signed = |checks: Checks<'_>, by: &Certificate<'_>| {
            checks.signed_by(&ours, by.spki, by.key_hash())
        };
        let known = |by: &Certificate<'_>| Checks::default().after(&ours, by.key_hash().0);
        // It is not its own issuer, so who believes that it is did not look.
        assert_eq!(signed(Checks::default(), &ours), Err(SignatureFault::Wrong));
        assert_eq!(signed(known(&ours), &ours), Ok(()));
        assert_eq!(signed(known(&other), &ours), Err(SignatureFault::Wrong));
        // An algorithm that is not for such keys.
        assert_eq!(
            signed(known(&other), &other),
            Err(SignatureFault::Algorithm)
        );
    }

    #[test]
    fn a_memory_is_bounded_and_forgets_the_oldest() {
        let memory = Memory::new(8);
        let check = |number: u8| Fingerprint([number; 32]);
        for number in 0..20 {
            memory.keep(check(number));
            assert!(memory.has(&check(number)));
            assert!(memory.kept.borrow().iter().map(HashSet::len).sum::<usize>() <= 8);
        }
        assert!(!memory.has(&check(0)) && memory.has(&check(17)));
        let none = Memory::new(0);
        none.keep(check(1));
        assert!(!none.has(&check(1)));
    }
}
