//! The extensions of a certificate, read (RFC 5280 4.2).
//!
//! Says what is there and which rule on extensions as such is broken. What follows for a path is judged in `rules`.

use x509_parser::{
    asn1_rs::Oid,
    error::X509Error,
    extensions::{
        AuthorityInfoAccess, AuthorityKeyIdentifier, BasicConstraints, CRLDistributionPoints,
        DistributionPointName, ExtendedKeyUsage, GeneralName, KeyUsage, NameConstraints,
        PolicyConstraints, SubjectAlternativeName, X509Extension,
    },
    prelude::FromDer,
};

use crate::{constraints, der};

/// What a certificate's extensions say.
#[derive(Debug, Default)]
pub(crate) struct Extensions<'a> {
    pub basic_constraints: Option<BasicConstraints>,
    pub basic_constraints_critical: bool,
    pub key_usage: Option<KeyUsage>,
    pub extended_key_usage: Option<ExtendedKeyUsage<'a>>,
    pub alternative_names: Option<Vec<GeneralName<'a>>>,
    pub alternative_names_critical: bool,
    pub name_constraints: Option<NameConstraints<'a>>,
    pub name_constraints_critical: bool,
    /// These three are read only by who requires a policy: without one nothing hangs on them.
    pub policies: Option<&'a [u8]>,
    pub policy_mappings: Option<&'a [u8]>,
    pub inhibit_any_policy: Option<&'a [u8]>,
    pub policy_constraints: Option<PolicyConstraints>,
    pub policy_constraints_critical: bool,
    pub subject_key_id: Option<&'a [u8]>,
    /// Present, with or without a key identifier.
    pub authority_key_id: Option<Option<&'a [u8]>>,
    /// Where revocation lists are; read only by who asks, since many are odd and nothing else hangs on them.
    pub distribution_points: Option<&'a [u8]>,
    /// A rule on extensions as such that is broken: the rest of a sentence that begins with the certificate's name.
    pub fault: Option<String>,
}

// The arc id-ce, 2.5.29, and what is read of it.
const ID_CE: &[u8] = &[0x55, 0x1d];
const SUBJECT_KEY_ID: u8 = 14;
const KEY_USAGE: u8 = 15;
const ALTERNATIVE_NAMES: u8 = 17;
const BASIC_CONSTRAINTS: u8 = 19;
const NAME_CONSTRAINTS: u8 = 30;
const DISTRIBUTION_POINTS: u8 = 31;
const CERTIFICATE_POLICIES: u8 = 32;
const POLICY_MAPPINGS: u8 = 33;
const AUTHORITY_KEY_ID: u8 = 35;
const POLICY_CONSTRAINTS: u8 = 36;
const EXTENDED_KEY_USAGE: u8 = 37;
const INHIBIT_ANY_POLICY: u8 = 54;
// 1.3.6.1.5.5.7.1.1
const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];

/// More than any honest certificate has; each is compared with those before it.
const MOST_EXTENSIONS: usize = 64;

impl<'a> Extensions<'a> {
    /// Reads them all; the error is the rest of a sentence that begins with the certificate's name.
    pub fn read(list: &[X509Extension<'a>]) -> Result<Extensions<'a>, String> {
        if list.len() > MOST_EXTENSIONS {
            return Err(format!(
                "has {} extensions, more than {MOST_EXTENSIONS}",
                list.len()
            ));
        }
        let mut read = Extensions::default();
        for (position, extension) in list.iter().enumerate() {
            // RFC 5280 4.2: not more than one instance of an extension. Readers would differ in which one they heed.
            if list[..position]
                .iter()
                .any(|before| before.oid == extension.oid)
            {
                return Err(format!(
                    "has the extension {} twice",
                    oid_text(&extension.oid)
                ));
            }
            read.take(extension).ok_or_else(|| {
                format!(
                    "has an extension {} that cannot be read",
                    oid_text(&extension.oid)
                )
            })?;
        }
        Ok(read)
    }

    fn take(&mut self, extension: &X509Extension<'a>) -> Option<()> {
        let (value, critical) = (extension.value, extension.critical);
        match extension.oid.as_bytes().strip_prefix(ID_CE) {
            Some([BASIC_CONSTRAINTS]) => {
                self.basic_constraints = Some(whole(value)?);
                self.basic_constraints_critical = critical;
            }
            Some([KEY_USAGE]) => self.key_usage = Some(whole(value)?),
            Some([EXTENDED_KEY_USAGE]) => {
                der::expect(value, der::SEQUENCE)
                    .filter(|(sequence, _)| !sequence.content.is_empty())?;
                self.extended_key_usage = Some(whole(value)?);
            }
            Some([ALTERNATIVE_NAMES]) => {
                self.alternative_names =
                    Some(whole::<SubjectAlternativeName>(value)?.general_names);
                self.alternative_names_critical = critical;
            }
            Some([NAME_CONSTRAINTS]) => {
                let constraints = whole::<NameConstraints>(value)?;
                if constraints.permitted_subtrees.is_none()
                    && constraints.excluded_subtrees.is_none()
                {
                    self.blame(
                        "has name constraints that constrain nothing (RFC 5280 4.2.1.10)".into(),
                    );
                }
                if !constraints::are_unbounded(value) {
                    self.blame(
                        "has a name constraint with a minimum or a maximum, which nobody understands (RFC 5280 4.2.1.10)"
                            .into(),
                    );
                }
                self.name_constraints = Some(constraints);
                self.name_constraints_critical = critical;
            }
            Some([DISTRIBUTION_POINTS]) if !critical => self.distribution_points = Some(value),
            Some([POLICY_CONSTRAINTS]) => {
                self.policy_constraints = Some(whole(value)?);
                self.policy_constraints_critical = critical;
            }
            Some([SUBJECT_KEY_ID]) => {
                self.subject_key_id = Some(
                    der::expect(value, 0x04)
                        .filter(|(_, rest)| rest.is_empty())?
                        .0
                        .content,
                );
                self.refuse_critical(critical, "subjectKeyIdentifier", "4.2.1.2");
            }
            Some([AUTHORITY_KEY_ID]) => {
                let id = whole::<AuthorityKeyIdentifier>(value)?;
                self.authority_key_id = Some(id.key_identifier.map(|key| key.0));
                self.refuse_critical(critical, "authorityKeyIdentifier", "4.2.1.1");
            }
            Some([CERTIFICATE_POLICIES]) => self.policies = Some(value),
            Some([POLICY_MAPPINGS]) => self.policy_mappings = Some(value),
            Some([INHIBIT_ANY_POLICY]) => self.inhibit_any_policy = Some(value),
            _ if extension.oid.as_bytes() == AUTHORITY_INFO_ACCESS => {
                whole::<AuthorityInfoAccess>(value)?;
                self.refuse_critical(critical, "authorityInfoAccess", "4.2.2.1");
            }
            // RFC 5280 4.2: a critical extension that is not understood means refusal.
            _ if critical => self.blame(format!(
                "has a critical extension {} that is not understood",
                oid_text(&extension.oid)
            )),
            _ => {}
        }
        Some(())
    }

    fn refuse_critical(&mut self, critical: bool, name: &str, section: &str) {
        if critical {
            self.blame(format!(
                "has a critical {name}, which must not be critical (RFC 5280 {section})"
            ));
        }
    }

    fn blame(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }
}

/// Addresses of revocation lists that cover all reasons and come from the CA itself (RFC 5280 4.2.1.13); not more than 8.
pub(crate) fn list_addresses(distribution_points: Option<&[u8]>) -> Vec<&str> {
    const MOST: usize = 8;
    let Some(Ok(([], points))) = distribution_points.map(CRLDistributionPoints::from_der) else {
        return vec![];
    };
    points
        .points
        .into_iter()
        .filter(|point| point.reasons.is_none() && point.crl_issuer.is_none())
        .filter_map(|point| match point.distribution_point {
            Some(DistributionPointName::FullName(names)) => Some(names),
            _ => None,
        })
        .flatten()
        .filter_map(|name| match name {
            GeneralName::URI(address) => Some(address),
            _ => None,
        })
        .take(MOST)
        .collect()
}

/// An object identifier with dots, unless it is longer than any that exists.
pub(crate) fn oid_text(oid: &Oid<'_>) -> String {
    if oid.as_bytes().len() > 32 {
        "(overlong)".into()
    } else {
        oid.to_id_string()
    }
}

/// What `value` is, if that is in DER and nothing follows it.
fn whole<'a, T: FromDer<'a, X509Error>>(value: &'a [u8]) -> Option<T> {
    der::is_canonical(value)
        .then(|| T::from_der(value))?
        .ok()
        .map(|(_, read)| read)
}
