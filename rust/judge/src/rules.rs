//! What RFC 5280 asks of each certificate of a path, whatever its neighbours are.

use crate::{
    Reason, anchor::Profile, certificate::Certificate, constraints, fault::Fault, revocation,
};

/// What a certificate is to be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usage {
    Client,
    /// Only `--batch` asks this, so that conformance suites about servers can be run.
    Server,
}

/// The purposes that an extended key usage allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Purposes {
    client: bool,
    server: bool,
}

impl Purposes {
    /// `None` without the extension, which allows all (RFC 5280 4.2.1.12).
    pub fn of(certificate: &Certificate<'_>) -> Option<Purposes> {
        // anyExtendedKeyUsage allows all, too: the section leaves refusing it to applications, and old estates have it.
        let usage = certificate.extensions.extended_key_usage.as_ref()?;
        Some(Purposes {
            client: usage.any || usage.client_auth,
            server: usage.any || usage.server_auth,
        })
    }

    pub fn allow(self, usage: Usage) -> bool {
        match usage {
            Usage::Client => self.client,
            Usage::Server => self.server,
        }
    }
}

/// More alternative names than any honest certificate has.
const MOST_NAMES: usize = 1_024;

/// What a leaf at index 0 breaks. X.509 v1 passes here: whether it may is for the path to say.
pub(crate) fn leaf_fault(leaf: &Certificate<'_>, profile: Profile) -> Option<Fault> {
    serial_fault(leaf, profile)
        .or_else(|| common_fault(leaf, profile))
        .or_else(|| {
            let extensions = &leaf.extensions;
            if extensions.name_constraints.is_some() {
                return Some(
                    "has name constraints, which only a CA may have (RFC 5280 4.2.1.10)".into(),
                );
            }
            // RFC 5280 4.2.1.9: without cA the key must not verify certificates.
            if !leaf.is_ca()
                && extensions
                    .key_usage
                    .as_ref()
                    .is_some_and(|usage| usage.key_cert_sign())
            {
                return Some("may sign certificates but is no CA's (RFC 5280 4.2.1.9)".into());
            }
            None
        })
        .map(|fault| Fault::of(Reason::PathInvalid, 0, fault))
}

/// What an intermediate at `index` breaks, but for the length of the path.
pub(crate) fn issuer_fault(
    issuer: &Certificate<'_>,
    index: usize,
    profile: Profile,
) -> Option<Fault> {
    let fault = if issuer.version != 3 {
        // RFC 5280 6.1.4 (k): nothing shows that it is a CA.
        Some(format!(
            "is X.509 v{} and so cannot be an issuer",
            issuer.version
        ))
    } else {
        serial_fault(issuer, profile)
            .or_else(|| common_fault(issuer, profile))
            .or_else(|| authority_fault(issuer, profile, false))
    };
    fault.map(|fault| Fault::of(Reason::PathInvalid, index, fault))
}

/// What an anchor's certificate breaks: the rest of a sentence about it.
pub(crate) fn anchor_fault(anchor: &Certificate<'_>, profile: Profile) -> Option<String> {
    // An adopted `openssl req -x509` root may be v1, or have no extension that says what it is for: the operator did.
    let said = profile == Profile::Adopted;
    match anchor.version {
        3 => common_fault(anchor, profile).or_else(|| authority_fault(anchor, profile, said)),
        _ if said => None,
        version => Some(format!("is X.509 v{version} and so cannot be an issuer")),
    }
}

fn common_fault(certificate: &Certificate<'_>, profile: Profile) -> Option<String> {
    let extensions = &certificate.extensions;
    if certificate.version == 2 {
        return Some("is X.509 v2, which nobody issues".into());
    }
    if !certificate.algorithms_agree {
        return Some("names two different signature algorithms (RFC 5280 4.1.1.2)".into());
    }
    if crate::certificate::is_empty_name(certificate.issuer) {
        return Some("has an empty issuer (RFC 5280 4.1.2.4)".into());
    }
    if let Some(fault) = &extensions.fault {
        return Some(fault.clone());
    }
    if extensions.policy_constraints.is_some()
        && !extensions.policy_constraints_critical
        && profile == Profile::Rfc5280
    {
        return Some("has policy constraints that are not critical (RFC 5280 4.2.1.11)".into());
    }
    names_fault(certificate, profile)
}

/// Whether all below it has to be issued under a policy (RFC 5280 4.2.1.11). Where none is known, a path that needs one ends
/// (6.1.5 (g)).
pub(crate) fn needs_policy(certificate: &Certificate<'_>) -> bool {
    let constraints = certificate.extensions.policy_constraints.as_ref();
    constraints.is_some_and(|constraints| constraints.require_explicit_policy.is_some())
}

/// RFC 5280 4.1.2.2: a positive integer of at most 20 octets. Not asked of an anchor, whose serial number nothing refers to;
/// well-known roots have 0.
///
/// Under an adopted CA, 0 and 20 octets that need a zero before them are good, too: old CAs made such numbers, and a
/// certificate is revoked by one as by any other. Not by a negative one, which in a revocation looks like a positive one, nor by one that
/// no revocation holds.
fn serial_fault(certificate: &Certificate<'_>, profile: Profile) -> Option<String> {
    let adopted = profile == Profile::Adopted;
    let fault = match certificate.serial {
        [first, ..] if first & 0x80 != 0 => "has a negative serial number",
        [0] if !adopted => "has the serial number 0",
        _ if adopted && certificate.serial_digits().len() <= revocation::LONGEST => return None,
        octets if octets.len() > revocation::LONGEST => {
            "has a serial number of more than 20 octets"
        }
        _ => return None,
    };
    Some(format!("{fault} (RFC 5280 4.1.2.2)"))
}

fn names_fault(certificate: &Certificate<'_>, profile: Profile) -> Option<String> {
    let extensions = &certificate.extensions;
    if let Some(names) = &extensions.alternative_names {
        if names.len() > MOST_NAMES {
            return Some(format!(
                "has {} alternative names, more than {MOST_NAMES}",
                names.len()
            ));
        }
        if let Some(fault) = names
            .iter()
            .find_map(|name| constraints::name_fault(name, profile))
        {
            return Some(fault);
        }
        if profile == Profile::Rfc5280 {
            if names.is_empty() {
                return Some("has a subjectAltName without a name (RFC 5280 4.2.1.6)".into());
            }
            if certificate.has_empty_subject() && !extensions.alternative_names_critical {
                return Some("has an empty subject and a subjectAltName that is not critical (RFC 5280 4.2.1.6)".into());
            }
        }
    }
    if profile != Profile::Rfc5280 || certificate.version < 3 {
        return None;
    }
    if certificate.has_empty_subject() && extensions.alternative_names.is_none() {
        return Some("has neither a subject nor a subjectAltName (RFC 5280 4.1.2.6)".into());
    }
    // RFC 5280 4.2.1.1: a key identifier in all but self-signed certificates.
    match extensions.authority_key_id {
        None if certificate.self_issued() => None,
        None => Some("has no authorityKeyIdentifier (RFC 5280 4.2.1.1)".into()),
        Some(None) => {
            Some("has an authorityKeyIdentifier without a key identifier (RFC 5280 4.2.1.1)".into())
        }
        Some(Some(_)) => None,
    }
}

/// `said`: an operator said that it is a CA's, where it does not say so itself.
fn authority_fault(issuer: &Certificate<'_>, profile: Profile, said: bool) -> Option<String> {
    let extensions = &issuer.extensions;
    if issuer.has_empty_subject() {
        return Some("is a CA's without a subject (RFC 5280 4.1.2.6)".into());
    }
    match &extensions.basic_constraints {
        // RFC 5280 6.1.4 (k)
        Some(basic) if !basic.ca => return Some("is not a CA's (RFC 5280 4.2.1.9)".into()),
        Some(_) if extensions.basic_constraints_critical || profile != Profile::Rfc5280 => {}
        Some(_) => {
            return Some("has basicConstraints that are not critical (RFC 5280 4.2.1.9)".into());
        }
        None if said => {}
        None => {
            return Some("has no basicConstraints and so is not a CA's (RFC 5280 4.2.1.9)".into());
        }
    }
    // RFC 5280 6.1.4 (n)
    if extensions
        .key_usage
        .as_ref()
        .is_some_and(|usage| !usage.key_cert_sign())
    {
        return Some("may not sign certificates (RFC 5280 4.2.1.3)".into());
    }
    if profile == Profile::Rfc5280 && extensions.subject_key_id.is_none() {
        return Some("is a CA's without a subjectKeyIdentifier (RFC 5280 4.2.1.2)".into());
    }
    if let Some(constraints) = &extensions.name_constraints {
        // Others' CAs often forget it; theirs are heeded all the same.
        if profile == Profile::Rfc5280 && !extensions.name_constraints_critical {
            return Some("has name constraints that are not critical (RFC 5280 4.2.1.10)".into());
        }
        return constraints::constraints_fault(constraints, profile);
    }
    None
}
