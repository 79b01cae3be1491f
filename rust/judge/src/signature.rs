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
}

impl<'m> Checks<'m> {
    /// Checks that are also looked up in `memory`, and kept there.
    pub fn with(memory: Option<&'m Memory>) -> Checks<'m> {
        Checks {
            made: RefCell::default(),
            memory,
        }
    }

    /// Whether the key of `spki`, whose SHA-256 is `key`, signed `certificate`.
    pub fn signed_by(
        &self,
        certificate: &Certificate<'_>,
        spki: &[u8],
        key: Fingerprint,
    ) -> Result<(), SignatureFault> {
        // Of both, whole: whoever could make another pair with the same hash could forge certificates anyway.
        let check = sha256(&[certificate.fingerprint().0, key.0].concat());
        if let Some(known) = self.made.borrow().get(&check) {
            return *known;
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

#[cfg(test)]
mod tests {
    use super::*;

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
