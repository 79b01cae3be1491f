//! Certificate revocation lists given with a question (RFC 5280 5 and 6.3): whether they count, and what they say.
//!
//! Only `--batch` reads lists: the gate looks revocations up in its snapshot, into which the control plane compiled them.

use x509_parser::{
    extensions::X509Extension, prelude::FromDer, revocation_list::CertificateRevocationList,
};

use crate::{
    Reason,
    certificate::{Certificate, signed},
    extensions::oid_text,
    fault::Fault,
    moment,
    path::Path,
    signature::{self, Signed},
};

/// A parsed list.
pub(crate) struct Crl<'a> {
    list: CertificateRevocationList<'a>,
    signed: Signed<'a>,
}

const CRL_NUMBER: &str = "2.5.29.20";
const AUTHORITY_KEY_ID: &str = "2.5.29.35";

impl<'a> Crl<'a> {
    /// Reads one list that fills `der`; the error is the rest of a sentence that begins with its name.
    pub fn parse(der: &'a [u8]) -> Result<Crl<'a>, &'static str> {
        let signed = signed(der).ok_or("is not a DER certificate revocation list")?;
        match CertificateRevocationList::from_der(der) {
            Ok(([], list)) => Ok(Crl { list, signed }),
            _ => Err("is not a certificate revocation list"),
        }
    }

    /// Whether the list may be relied on at `at`; the error is the rest of a sentence about it.
    fn check(&self, issuer: &Issuer<'_>, at: i64) -> Result<(), String> {
        // RFC 5280 6.3.3 (f) and (g)
        if !issuer.may_sign_lists {
            return Err(
                "comes from a CA that may not sign revocation lists (RFC 5280 4.2.1.3)".into(),
            );
        }
        signature::verify(self.signed, issuer.spki)
            .map_err(|_| "has a signature that does not verify")?;
        // RFC 5280 5.1.2.4 and 5.1.2.5
        let this_update = self.list.last_update().timestamp();
        if at < this_update {
            return Err(format!("is not valid before {}", moment::text(this_update)));
        }
        let next_update = self
            .list
            .next_update()
            .ok_or("does not say until when it is valid (RFC 5280 5.1.2.5)")?
            .timestamp();
        if at > next_update {
            return Err(format!(
                "should have been replaced by {}",
                moment::text(next_update)
            ));
        }
        // RFC 5280 5.2.3
        let number = self
            .list
            .extensions()
            .iter()
            .find(|extension| oid_text(&extension.oid) == CRL_NUMBER);
        if number.is_none_or(|extension| extension.critical) {
            return Err("has no cRLNumber that is not critical (RFC 5280 5.2.3)".into());
        }
        // RFC 5280 5.2: deltas, indirect and partial lists announce themselves by critical extensions, and are not read here.
        match unknown_critical(self.list.extensions()) {
            Some(oid) => Err(format!(
                "has a critical extension {oid} that is not understood"
            )),
            None => Ok(()),
        }
    }
}

fn unknown_critical(extensions: &[X509Extension<'_>]) -> Option<String> {
    extensions
        .iter()
        .find(|extension| extension.critical)
        .map(|extension| oid_text(&extension.oid))
}

/// Who issued a certificate of a path.
struct Issuer<'a> {
    spki: &'a [u8],
    key_id: Option<&'a [u8]>,
    may_sign_lists: bool,
}

impl<'a> Issuer<'a> {
    fn of(certificate: &Certificate<'a>) -> Issuer<'a> {
        let extensions = &certificate.extensions;
        Issuer {
            spki: certificate.spki,
            key_id: extensions.subject_key_id,
            may_sign_lists: extensions
                .key_usage
                .as_ref()
                .is_none_or(|usage| usage.crl_sign()),
        }
    }

    /// Whether the list, which bears its name, speaks of another key (RFC 5280 5.2.1).
    fn is_another(&self, crl: &Crl<'_>) -> bool {
        let extension = crl
            .list
            .extensions()
            .iter()
            .find(|extension| oid_text(&extension.oid) == AUTHORITY_KEY_ID);
        let id = extension.and_then(|extension| {
            x509_parser::extensions::AuthorityKeyIdentifier::from_der(extension.value).ok()
        });
        matches!((id.and_then(|(_, id)| id.key_identifier), self.key_id), (Some(wanted), Some(present)) if wanted.0 != present)
    }
}

/// Looks every certificate of `path` up in the lists of its issuer. An issuer without a list vouches as before.
pub(crate) fn check(
    path: &Path<'_>,
    certificates: &[&Certificate<'_>],
    crls: &[Crl<'_>],
    at: i64,
) -> Result<(), Fault> {
    if crls.is_empty() {
        return Ok(());
    }
    let anchor = Certificate::parse(&path.anchor.der)
        .map_err(|fault| Fault::of_anchor(Reason::PathInvalid, fault))?;
    for (position, &index) in path.indexes.iter().enumerate() {
        let certificate = certificates[index];
        let issuer = Issuer::of(
            path.indexes
                .get(position + 1)
                .map_or(&anchor, |next| certificates[*next]),
        );
        for crl in crls.iter().filter(|crl| {
            crl.list.tbs_cert_list.issuer.as_raw() == certificate.issuer && !issuer.is_another(crl)
        }) {
            crl.check(&issuer, at).map_err(|fault| {
                Fault::of(
                    Reason::PathInvalid,
                    index,
                    format!("has an issuer whose revocation list {fault}"),
                )
            })?;
            look_up(crl, certificate, index)?;
        }
    }
    Ok(())
}

fn look_up(crl: &Crl<'_>, certificate: &Certificate<'_>, index: usize) -> Result<(), Fault> {
    for entry in crl.list.iter_revoked_certificates() {
        // RFC 5280 5.3: an entry may be about another issuer's certificate, and says so in a critical extension.
        if let Some(oid) = unknown_critical(entry.extensions()) {
            let fault = format!(
                "has an issuer whose revocation list has a critical extension {oid} that is not understood"
            );
            return Err(Fault::of(Reason::PathInvalid, index, fault));
        }
        if entry.raw_serial() == certificate.serial {
            return Err(Fault::of(
                Reason::Revoked,
                index,
                format!(
                    "was revoked on {}",
                    moment::text(entry.revocation_date.timestamp())
                ),
            ));
        }
    }
    Ok(())
}
