//! Proof first: the client has to show that it holds the private key of the certificate it sent, whatever that is.
//!
//! Knows TLS signatures and where a certificate keeps its key. Does not know who is trusted: the chain is judged after
//! the handshake, or, for a site that answers refusals with an alert, by the closure that it is given.
//!
//! The signature is checked with the SubjectPublicKeyInfo alone, since webpki reads no X.509 v1 certificate.

use std::{fmt, sync::Arc};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved,
    SignatureScheme,
    client::danger::HandshakeSignatureValid,
    crypto::{CryptoProvider, verify_tls13_signature_with_raw_key},
    pki_types::{CertificateDer, SubjectPublicKeyInfoDer, UnixTime},
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
        verify_tls13_signature_with_raw_key(
            message,
            &SubjectPublicKeyInfoDer::from(spki),
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
