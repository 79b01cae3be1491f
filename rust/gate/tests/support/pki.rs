//! Certificates for a test.

use std::time::{SystemTime, UNIX_EPOCH};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256, PublicKeyData, SerialNumber,
    SignatureAlgorithm,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

pub fn now() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap()
        .as_secs() as i64
}

/// An authority.
pub struct Pki {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
}

/// A certificate and its key.
pub struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub serial: Vec<u8>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Identity {
            chain: self.chain.clone(),
            key: self.key.clone_key(),
            serial: self.serial.clone(),
        }
    }
}

impl Identity {
    pub fn fingerprint(&self) -> Vec<u8> {
        aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.chain[0])
            .as_ref()
            .to_vec()
    }
}

impl Pki {
    pub fn new() -> Pki {
        Pki::named("Test Authority")
    }

    pub fn named(name: &str) -> Pki {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = common_name(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Pki {
            issuer: Issuer::new(params, key),
            certificate,
        }
    }

    pub fn authority_der(&self) -> Vec<u8> {
        self.certificate.to_vec()
    }

    pub fn root(&self) -> CertificateDer<'static> {
        self.certificate.clone()
    }

    pub fn server(&self, hosts: &[&str]) -> (Vec<u8>, Vec<u8>) {
        let names: Vec<String> = hosts.iter().map(|host| (*host).into()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name = common_name(hosts[0]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        (
            certificate.pem().into_bytes(),
            key.serialize_pem().into_bytes(),
        )
    }

    pub fn client(&self, name: &str) -> Identity {
        self.client_with(name, |_| {})
    }

    pub fn client_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Identity {
        let key = KeyPair::generate().unwrap();
        self.identity(name, change, &key, &key)
    }

    /// One with a key whose possession cannot be proved; the one that it signs with is another.
    pub fn weak(&self, name: &str) -> Identity {
        let key = KeyPair::generate().unwrap();
        self.identity(name, |_| {}, &Short::new(), &key)
    }

    fn identity(
        &self,
        name: &str,
        change: impl FnOnce(&mut CertificateParams),
        public: &impl PublicKeyData,
        key: &KeyPair,
    ) -> Identity {
        let serial: Vec<u8> = name.bytes().take(12).chain([1]).collect();
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name = common_name(name);
        params.serial_number = Some(SerialNumber::from_slice(&serial));
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2040, 1, 1);
        change(&mut params);
        let certificate = params.signed_by(public, &self.issuer).unwrap();
        Identity {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            serial,
        }
    }
}

/// RSA of 1,024 bits (RFC 8017 A.1.1), for which nobody has the other half.
struct Short(Vec<u8>);

impl Short {
    fn new() -> Short {
        let (before, after) = ([0x30, 0x81, 0x89, 2, 0x81, 0x81, 0], [2, 3, 1, 0, 1]);
        Short([&before[..], &[0xff; 128], &after].concat())
    }
}

impl PublicKeyData for Short {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

fn common_name(name: &str) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}
