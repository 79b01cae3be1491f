//! A certificate, parsed once: the fields that the judgement needs, borrowed from its DER.
//!
//! Knows the syntax of RFC 5280 4.1 and 4.2 and reads X.509 v1 too. Does not know what is good or bad about a field.

use std::cell::OnceCell;

use x509_parser::error::X509Error;
use x509_parser::nom::{self, Parser};
use x509_parser::prelude::X509CertificateParser;

use crate::{
    der,
    extensions::Extensions,
    shards::{Fingerprint, sha256},
    signature::{self, SignatureFault, Signed},
};

/// A parsed certificate.
#[derive(Debug)]
pub(crate) struct Certificate<'a> {
    /// As it was sent.
    pub der: &'a [u8],
    /// 1 to 3.
    pub version: u32,
    /// The contents of the INTEGER.
    pub serial: &'a [u8],
    /// Name, DER.
    pub issuer: &'a [u8],
    /// Name, DER.
    pub subject: &'a [u8],
    /// Unix seconds.
    pub not_before: i64,
    /// Unix seconds.
    pub not_after: i64,
    /// SubjectPublicKeyInfo, DER.
    pub spki: &'a [u8],
    /// Its extensions.
    pub extensions: Extensions<'a>,
    /// Whether the algorithm inside the signed part is the one outside (RFC 5280 4.1.1.2).
    pub algorithms_agree: bool,
    signed: Signed<'a>,
    fingerprint: OnceCell<Fingerprint>,
    key_hash: OnceCell<Fingerprint>,
}

impl<'a> Certificate<'a> {
    /// Reads one certificate that fills `der`; the error is the rest of a sentence that begins with its name.
    pub fn parse(der: &'a [u8]) -> Result<Certificate<'a>, String> {
        let signed = signed(der).ok_or("is not a DER certificate")?;
        if !der::is_canonical(der) {
            return Err("is not in DER all the way in (X.690)".into());
        }
        // Nothing follows it, which `signed` asked.
        let (_, parsed) = X509CertificateParser::new()
            .with_deep_parse_extensions(false)
            .parse(der)
            .map_err(|fault| match fault {
                nom::Err::Error(X509Error::InvalidDate)
                | nom::Err::Failure(X509Error::InvalidDate) => {
                    "has a validity with a date that does not exist"
                }
                _ => "is not an X.509 certificate",
            })?;
        // The parser is lenient inside names and cuts short what it gives back of them; the raw elements tell.
        let tbs = &parsed.tbs_certificate;
        let read = [
            tbs.issuer.as_raw(),
            tbs.subject.as_raw(),
            tbs.subject_pki.raw,
        ];
        let (raw, validity) =
            raw_elements(signed.message).ok_or("has a name or a key that cannot be read")?;
        if raw != read {
            return Err("has a name or a key that cannot be read".into());
        }
        if !is_exact(validity) {
            return Err(
                "has a validity that does not say which seconds it means (RFC 5280 4.1.2.5)".into(),
            );
        }
        let version = parsed.version.0.saturating_add(1);
        if !(1..=3).contains(&version) {
            return Err(format!(
                "is of X.509 version {version}, which does not exist"
            ));
        }
        if version < 3 && !parsed.extensions().is_empty() {
            return Err(format!(
                "has extensions, which X.509 v{version} does not have"
            ));
        }
        let validity = parsed.validity();
        Ok(Certificate {
            der,
            version,
            serial: parsed.raw_serial(),
            issuer: parsed.tbs_certificate.issuer.as_raw(),
            subject: parsed.tbs_certificate.subject.as_raw(),
            not_before: validity.not_before.timestamp(),
            not_after: validity.not_after.timestamp(),
            spki: parsed.tbs_certificate.subject_pki.raw,
            extensions: Extensions::read(parsed.extensions())?,
            algorithms_agree: parsed.tbs_certificate.signature == parsed.signature_algorithm,
            signed,
            fingerprint: OnceCell::new(),
            key_hash: OnceCell::new(),
        })
    }

    /// SHA-256 of all of it.
    pub fn fingerprint(&self) -> Fingerprint {
        *self.fingerprint.get_or_init(|| sha256(self.der))
    }

    /// SHA-256 of its SubjectPublicKeyInfo.
    pub fn key_hash(&self) -> Fingerprint {
        *self.key_hash.get_or_init(|| sha256(self.spki))
    }

    /// Whether the key of `spki` signed it.
    pub fn signed_by(&self, spki: &[u8]) -> Result<(), SignatureFault> {
        signature::verify(self.signed, spki)
    }

    /// Whether it would count that the key of `spki` signed it.
    pub fn can_be_verified(&self, spki: &[u8]) -> Result<(), SignatureFault> {
        signature::can_be_verified(self.signed, spki)
    }

    /// Whether it bears its own subject as issuer: the same name, perhaps another key (RFC 5280 3.2).
    pub fn self_issued(&self) -> bool {
        self.subject == self.issuer
    }

    /// The serial number without leading zero octets: the form in which revocations are kept.
    pub fn serial_digits(&self) -> &'a [u8] {
        let zeros = self.serial.iter().take_while(|octet| **octet == 0).count();
        &self.serial[zeros..]
    }

    /// The serial number for people and headers: lower-case hex without leading zeros.
    pub fn serial_hex(&self) -> String {
        let digits = self.serial_digits();
        let hex: String = digits
            .iter()
            .take(64)
            .map(|octet| format!("{octet:02x}"))
            .collect();
        let trimmed = hex.trim_start_matches('0');
        if trimmed.is_empty() {
            "0".into()
        } else {
            trimmed.into()
        }
    }

    /// Whether it says that it is a CA (RFC 5280 4.2.1.9).
    pub fn is_ca(&self) -> bool {
        self.extensions
            .basic_constraints
            .as_ref()
            .is_some_and(|basic| basic.ca)
    }

    /// Whether its subject has no name in it.
    pub fn has_empty_subject(&self) -> bool {
        is_empty_name(self.subject)
    }
}

/// Issuer, subject and SubjectPublicKeyInfo of a TBSCertificate, each a whole SEQUENCE, and the contents of its validity
/// (RFC 5280 4.1).
fn raw_elements(tbs: &[u8]) -> Option<([&[u8]; 3], &[u8])> {
    const VERSION: u8 = 0xa0;
    let (outer, _) = der::expect(tbs, der::SEQUENCE)?;
    let rest = der::expect(outer.content, VERSION).map_or(outer.content, |(_, rest)| rest);
    let (_serial, rest) = der::expect(rest, der::INTEGER)?;
    let (_signature, rest) = der::expect(rest, der::SEQUENCE)?;
    let (issuer, rest) = der::expect(rest, der::SEQUENCE)?;
    let (validity, rest) = der::expect(rest, der::SEQUENCE)?;
    let (subject, rest) = der::expect(rest, der::SEQUENCE)?;
    let (spki, _) = der::expect(rest, der::SEQUENCE)?;
    Some(([issuer.whole, subject.whole, spki.whole], validity.content))
}

/// RFC 5280 4.1.2.5.1 and 4.1.2.5.2: seconds are there, fractions are not, and it is Greenwich's time. The parser guesses
/// at what is missing. The year 0 is in some calendars and not in others.
fn is_exact(validity: &[u8]) -> bool {
    let moment = |input| {
        let (element, rest) = der::read(input)?;
        let digits = match element.tag {
            der::UTC_TIME => 12,
            der::GENERALIZED_TIME => 14,
            _ => return None,
        };
        let text = element.content.strip_suffix(b"Z")?;
        let in_year_0 = element.tag == der::GENERALIZED_TIME && text.starts_with(b"0000");
        (text.len() == digits && text.iter().all(u8::is_ascii_digit) && !in_year_0).then_some(rest)
    };
    moment(validity)
        .and_then(moment)
        .is_some_and(<[u8]>::is_empty)
}

/// Whether a Name (DER) has no element.
pub(crate) fn is_empty_name(name: &[u8]) -> bool {
    name == [der::SEQUENCE, 0]
}

/// The outermost structure, shared by certificates and CRLs: what is signed, the algorithm, the signature.
pub(crate) fn signed(input: &[u8]) -> Option<Signed<'_>> {
    let (outer, after) = der::expect(input, der::SEQUENCE)?;
    let (message, rest) = der::expect(outer.content, der::SEQUENCE)?;
    let (algorithm, rest) = der::expect(rest, der::SEQUENCE)?;
    let (signature, end) = der::expect(rest, der::BIT_STRING)?;
    if !after.is_empty() || !end.is_empty() {
        return None;
    }
    Some(Signed {
        message: message.whole,
        algorithm: algorithm.content,
        signature: der::whole_octets(signature)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};
    use rustls_pki_types::CertificateDer;
    use webpki::EndEntityCert;

    use super::*;

    const CERTIFICATES: [&[u8]; 2] = [
        include_bytes!("../../fuzz/seeds/ours.der"),
        include_bytes!("../../fuzz/seeds/adopted.der"),
    ];

    /// Two parsers, two opinions: what both can read they read alike.
    fn compare(der: &[u8]) -> bool {
        let theirs = CertificateDer::from(der);
        let (Ok(ours), Ok(theirs)) = (Certificate::parse(der), EndEntityCert::try_from(&theirs))
        else {
            return false;
        };
        let contents =
            |name| der::expect(name, der::SEQUENCE).map(|(sequence, _)| sequence.content);
        assert_eq!(contents(ours.issuer), Some(theirs.issuer()));
        assert_eq!(contents(ours.subject), Some(theirs.subject()));
        assert_eq!(ours.spki, theirs.subject_public_key_info().as_ref());
        assert_eq!(ours.serial, theirs.serial());
        true
    }

    #[test]
    fn as_webpki_reads_them() {
        assert!(CERTIFICATES.into_iter().all(compare));
    }

    #[test]
    fn a_date_that_does_not_exist_is_said() {
        let mut der = CERTIFICATES[0].to_vec();
        let utc_time = [der::UTC_TIME, 13];
        let at = der.windows(2).position(|two| two == utc_time);
        let digits = at.map_or(0, |at| at + 4);
        der[digits..digits + 4].copy_from_slice(b"0230");
        let fault = Certificate::parse(&der).err();
        assert_eq!(
            fault.as_deref(),
            Some("has a validity with a date that does not exist")
        );
    }

    proptest! {
        #[test]
        fn as_webpki_reads_damaged_ones(which in 0usize..2, at in any::<Index>(), octet in any::<u8>()) {
            let mut der = CERTIFICATES[which].to_vec();
            let at = at.index(der.len());
            der[at] = octet;
            compare(&der);
        }
    }
}
