//! Certificate policies (RFC 5280 4.2.1.4), where a partner's CA counts for what it issues under one of them alone.
//!
//! As 6.1 reads them with this one policy in the user's initial set, an explicit policy required and mapping inhibited,
//! and stricter in two ways: a leaf has to name the policy itself, and a CA that maps it to another does not assert it.

use std::str::FromStr;

use x509_parser::{
    asn1_rs::Oid,
    extensions::{InhibitAnyPolicy, PolicyMappings},
    prelude::FromDer,
};

use crate::{Reason, certificate::Certificate, der, fault::Fault};

/// anyPolicy, 2.5.29.32.0.
const ANY_POLICY: &[u8] = &[0x55, 0x1d, 0x20, 0x00];
const OBJECT_IDENTIFIER: u8 = 0x06;

/// A policy that is required.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Policy {
    /// With dots.
    text: Box<str>,
    /// The contents of its DER.
    oid: Box<[u8]>,
}

impl Policy {
    /// Reads an object identifier with dots.
    pub fn read(text: &str) -> Option<Policy> {
        let oid = Oid::from_str(text).ok()?;
        Some(Policy {
            text: text.into(),
            oid: oid.as_bytes().into(),
        })
    }

    /// Whether all certificates of a path are issued under it: the leaf names it, each CA names it or anyPolicy. `any` is for
    /// how many CAs below the anchor anyPolicy counts (RFC 5280 4.2.1.14).
    pub fn check(
        &self,
        indexes: &[usize],
        certificates: &[&Certificate<'_>],
        mut any: u32,
    ) -> Result<(), Fault> {
        for (position, &index) in indexes.iter().enumerate().rev() {
            let certificate = certificates[index];
            let asserted = self.asserted(certificate, position > 0 && any > 0);
            if asserted != Some(true) {
                let what = match asserted {
                    None => "has certificate policies that cannot be read",
                    Some(_) => "is not issued",
                };
                let under = &self.text;
                return Err(Fault::of(
                    Reason::PathInvalid,
                    index,
                    format!(
                        "{what} under the certificate policy {under}, which its authority has to follow here (RFC 5280 4.2.1.4)"
                    ),
                ));
            }
            any = any
                .saturating_sub(1)
                .min(any_policy_below(certificate).unwrap_or(u32::MAX));
        }
        Ok(())
    }

    /// `None` where its extensions about policies cannot be read.
    fn asserted(&self, certificate: &Certificate<'_>, any_counts: bool) -> Option<bool> {
        let Some(extension) = certificate.extensions.policies else {
            return Some(false);
        };
        let mut found = false;
        let (list, []) = der::expect(extension, der::SEQUENCE)? else {
            return None;
        };
        let mut rest = list.content;
        while !rest.is_empty() {
            let (information, after) = der::expect(rest, der::SEQUENCE)?;
            let (policy, _) = der::expect(information.content, OBJECT_IDENTIFIER)?;
            found |= *policy.content == *self.oid || any_counts && policy.content == ANY_POLICY;
            rest = after;
        }
        let Some(mappings) = certificate.extensions.policy_mappings else {
            return Some(found);
        };
        let Ok(([], mappings)) = PolicyMappings::from_der(mappings) else {
            return None;
        };
        let mapped = |from: &Oid<'_>| from.as_bytes() == &*self.oid;
        Some(
            found
                && !mappings
                    .mappings
                    .iter()
                    .any(|mapping| mapped(&mapping.issuer_domain_policy)),
        )
    }
}

/// For how many CAs below `certificate` anyPolicy counts, if it bounds that (RFC 5280 4.2.1.14). What cannot be read: for none.
pub(crate) fn any_policy_below(certificate: &Certificate<'_>) -> Option<u32> {
    let extension = certificate.extensions.inhibit_any_policy?;
    match InhibitAnyPolicy::from_der(extension) {
        Ok(([], inhibit)) => Some(inhibit.skip_certs),
        _ => Some(0),
    }
}

#[cfg(test)]
mod tests {
    use super::Policy;

    #[test]
    fn only_object_identifiers_are_policies() {
        for policy in ["1.2.3.4", "0.4.0.194112.1.4", "2.23.140.1.2.1"] {
            assert!(Policy::read(policy).is_some(), "{policy}");
        }
        for wrong in ["", "1", "1.", "1.2.x", "-1.2", "1..2", " 1.2"] {
            assert!(Policy::read(wrong).is_none(), "{wrong}");
        }
    }
}
