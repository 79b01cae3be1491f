//! Proof first: the client has to show that it holds the private key of the certificate it sent, whatever that is.
//!
//! Knows TLS signatures and where a certificate keeps its key. Does not know who is trusted: the chain is judged after
//! the handshake, or, for a site that answers refusals with an alert, by the closure that it is given.
//!
//! The signature is checked with the SubjectPublicKeyInfo alone, since webpki reads no X.509 v1 certificate.

use std::{cell::RefCell, collections::HashMap, fmt, sync::Arc};

use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ParsedPublicKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls13_signature_with_raw_key},
    pki_types::{
        AlgorithmIdentifier, CertificateDer, InvalidSignature, SignatureVerificationAlgorithm,
        SubjectPublicKeyInfoDer, UnixTime, alg_id,
    },
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

/// Says no to a chain (leaf first, at Unix seconds), with the error whose alert the client gets.
pub(crate) type Objection = dyn Fn(&[&[u8]], i64) -> Result<(), CertificateError> + Send + Sync;

/// Asks for a client certificate, and checks possession.
pub(crate) struct Possession {
    provider: Arc<CryptoProvider>,
    /// Names of authorities that go out with the question, mostly none.
    hints: Arc<[DistinguishedName]>,
    mandatory: bool,
    objection: Option<Box<Objection>>,
}

impl fmt::Debug for Possession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Possession")
            .field("mandatory", &self.mandatory)
            .finish_non_exhaustive()
    }
}

impl Possession {
    /// Lets everybody through the handshake who proves possession, or shows no certificate.
    pub(crate) fn deferring(
        provider: Arc<CryptoProvider>,
        hints: Arc<[DistinguishedName]>,
    ) -> Self {
        Possession {
            provider,
            hints,
            mandatory: false,
            objection: None,
        }
    }

    /// Ends the handshake with an alert when `objection` says so, or, if `mandatory`, without a certificate.
    pub(crate) fn alerting(
        provider: Arc<CryptoProvider>,
        hints: Arc<[DistinguishedName]>,
        mandatory: bool,
        objection: Box<Objection>,
    ) -> Self {
        Possession {
            provider,
            hints,
            mandatory,
            objection: Some(objection),
        }
    }
}

impl ClientCertVerifier for Possession {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if let Some(objection) = &self.objection {
            let mut chain: Vec<&[u8]> = Vec::with_capacity(1 + intermediates.len());
            chain.push(end_entity);
            chain.extend(intermediates.iter().map(|der| &**der));
            objection(&chain, i64::try_from(now.as_secs()).unwrap_or(i64::MAX))?;
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(spki) = provable_key(cert) else {
            return Ok(HandshakeSignatureValid::assertion());
        };
        let algorithms = self.provider.signature_verification_algorithms;
        let candidates = algorithms
            .mapping
            .iter()
            .find(|(scheme, _)| *scheme == dss.scheme)
            .map(|(_, algorithms)| *algorithms)
            .ok_or(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme)?;
        let key = SubjectPublicKeyInfoDer::from(spki);
        let key = webpki::RawPublicKeyEntity::try_from(&key)
            .map_err(|_| CertificateError::BadEncoding)?;
        // RFC 5246 7.4.1.4.1: in TLS 1.2 a scheme names the hash and not the curve, so several may fit.
        for algorithm in candidates {
            match key.verify_signature(*algorithm, message, dss.signature()) {
                Ok(()) => return Ok(HandshakeSignatureValid::assertion()),
                Err(webpki::Error::UnsupportedSignatureAlgorithmForPublicKeyContext(_)) => {}
                Err(_) => return Err(CertificateError::BadSignature.into()),
            }
        }
        Err(CertificateError::BadSignature.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let Some(spki) = provable_key(cert) else {
            return Ok(HandshakeSignatureValid::assertion());
        };
        let spki = SubjectPublicKeyInfoDer::from(spki);
        if dss.scheme == SignatureScheme::ECDSA_NISTP256_SHA256 {
            let key = webpki::RawPublicKeyEntity::try_from(&spki)
                .map_err(|_| CertificateError::BadEncoding)?;
            return match key.verify_signature(&P256, message, dss.signature()) {
                Ok(()) => Ok(HandshakeSignatureValid::assertion()),
                Err(_) => Err(CertificateError::BadSignature.into()),
            };
        }
        verify_tls13_signature_with_raw_key(
            message,
            &spki,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// How many keys a thread remembers, some 2 MiB.
const MAX_KEYS: usize = 4096;

/// ECDSA on P-256 with SHA-256, which remembers keys whose possession was proved: to read one, and to see that it lies on the
/// curve, is a fiftieth of the check of a signature.
#[derive(Debug)]
struct P256;

/// A point as [`judge::key::provable`] lets it through, uncompressed.
type Point = [u8; 65];

thread_local! {
    static KEYS: RefCell<HashMap<Point, ParsedPublicKey>> = RefCell::default();
}

impl SignatureVerificationAlgorithm for P256 {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }

    fn verify_signature(
        &self,
        key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let point = Point::try_from(key).map_err(|_| InvalidSignature)?;
        KEYS.with_borrow_mut(|keys| {
            let verify = |key: &ParsedPublicKey| {
                (key.verify_sig(message, signature)).map_err(|_| InvalidSignature)
            };
            if let Some(known) = keys.get(&point) {
                return verify(known);
            }
            let read = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point)
                .map_err(|_| InvalidSignature)?;
            verify(&read)?;
            if keys.len() >= MAX_KEYS {
                keys.clear();
            }
            keys.insert(point, read);
            Ok(())
        })
    }
}

/// The key of a certificate, if its possession can be proved. Where it cannot, the handshake goes on unproven, so that
/// its owner can be told why it is refused; [`unproven`] keeps such a chain from ever being admitted.
fn provable_key(certificate: &[u8]) -> Option<&[u8]> {
    judge::key::subject_public_key_info(certificate)
        .filter(|spki| judge::key::provable(spki).is_ok())
}

/// Whether possession of this certificate's key was not checked in the handshake.
pub(crate) fn unproven(certificate: &[u8]) -> bool {
    provable_key(certificate).is_none()
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::{
        rand::SystemRandom,
        signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
    };

    use super::*;

    #[test]
    fn a_key_that_is_known_proves_no_more_than_a_new_one() {
        let pair = || EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let (alice, bob) = (pair(), pair());
        let sign = |pair: &EcdsaKeyPair| {
            let signature = pair.sign(&SystemRandom::new(), b"message");
            signature.expect("a signature").as_ref().to_vec()
        };
        let proves = |pair: &EcdsaKeyPair, message: &[u8], signature: &[u8]| {
            let point = pair.public_key().as_ref();
            P256.verify_signature(point, message, signature).is_ok()
        };
        let is_known = |pair: &EcdsaKeyPair| {
            KEYS.with_borrow(|keys| keys.contains_key(pair.public_key().as_ref()))
        };
        assert!(!proves(&alice, b"message", &sign(&bob)));
        assert!(!is_known(&alice)); // strangers choose nothing that is kept
        for _ in 0..2 {
            assert!(proves(&alice, b"message", &sign(&alice)));
            assert!(is_known(&alice));
            assert!(!proves(&alice, b"massage", &sign(&alice)));
            assert!(!proves(&alice, b"message", &sign(&bob)));
            assert!(!proves(&bob, b"message", &sign(&alice)));
        }
        let compressed = [&[2], &alice.public_key().as_ref()[1..33]].concat();
        assert!(
            P256.verify_signature(&compressed, b"message", &sign(&alice))
                .is_err()
        );
    }

    #[test]
    fn keys_that_are_kept_are_bounded() {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).expect("a key");
        let point = Point::try_from(pair.public_key().as_ref()).expect("a point");
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point).expect("a key");
        KEYS.with_borrow_mut(|keys| {
            for number in 0..MAX_KEYS as u64 {
                let mut other = [0; 65];
                other[..8].copy_from_slice(&number.to_be_bytes());
                keys.insert(other, key.clone());
            }
        });
        let signature = pair.sign(&SystemRandom::new(), b"").expect("a signature");
        assert!(
            P256.verify_signature(&point, b"", signature.as_ref())
                .is_ok()
        );
        KEYS.with_borrow(|keys| assert!(keys.len() <= MAX_KEYS));
    }
}
