//! Names and the constraints on them (RFC 5280 4.2.1.6 and 4.2.1.10).
//!
//! A form of name that cannot be compared is refused as soon as a constraint speaks of it.

use x509_parser::{
    extensions::{GeneralName, NameConstraints},
    prelude::FromDer,
    x509::X509Name,
};

use crate::{
    anchor::Profile,
    certificate::Certificate,
    der::{self, Element},
    name,
};

/// Comparisons of a name with a constraint per path: beyond that, somebody is wasting our time.
pub(crate) const MOST_COMPARISONS: usize = 100_000;

/// What is wrong with an alternative name as such.
pub(crate) fn name_fault(name: &GeneralName<'_>, profile: Profile) -> Option<String> {
    let strict = profile == Profile::Rfc5280;
    let fault = match name {
        GeneralName::Invalid(..) => "that cannot be read",
        GeneralName::DirectoryName(directory) if !name::is_whole(directory) => {
            "that cannot be read"
        }
        GeneralName::IPAddress(octets) if octets.len() != 4 && octets.len() != 16 => {
            "that is no IP address"
        }
        GeneralName::DNSName(host)
            if strict && !is_host(host.strip_prefix("*.").unwrap_or(host)) =>
        {
            "that is no DNS name"
        }
        GeneralName::RFC822Name(mailbox) if strict && mailbox_parts(mailbox).is_none() => {
            "that is no mailbox"
        }
        _ => return None,
    };
    Some(format!(
        "has an alternative name {fault} (RFC 5280 4.2.1.6)"
    ))
}

/// Whether the subtrees of the extension in `value` begin at their base and have no end, as all have that are made for
/// names: the parser does not say.
pub(crate) fn are_unbounded(value: &[u8]) -> bool {
    // minimum [0] has to be 0, and no encoder should write it out.
    const FROM_THE_BASE: [u8; 3] = [0x80, 1, 0];
    let subtree = |content: &[u8]| {
        der::read(content).is_some_and(|(_, bounds)| bounds.is_empty() || bounds == FROM_THE_BASE)
    };
    let subtrees = |list: Element<'_>| der::elements(list.content).all(|one| subtree(one.content));
    der::expect(value, der::SEQUENCE)
        .is_some_and(|(lists, _)| der::elements(lists.content).all(subtrees))
}

/// What is wrong with constraints as such.
pub(crate) fn constraints_fault(
    constraints: &NameConstraints<'_>,
    profile: Profile,
) -> Option<String> {
    let subtrees = [
        &constraints.permitted_subtrees,
        &constraints.excluded_subtrees,
    ];
    let wrong = subtrees
        .into_iter()
        .flatten()
        .flatten()
        .any(|subtree| !is_sound(&subtree.base, profile));
    wrong.then(|| "has a name constraint that means nothing (RFC 5280 4.2.1.10)".into())
}

/// Whether `certificate`'s names keep to `constraints`; the error is the rest of a sentence about it.
pub(crate) fn check(
    constraints: &NameConstraints<'_>,
    certificate: &Certificate<'_>,
    comparisons: &mut usize,
) -> Result<(), String> {
    let subject = X509Name::from_der(certificate.subject)
        .map_err(|_| "has a subject that cannot be read")?
        .1;
    if !certificate.has_empty_subject() {
        check_name(
            constraints,
            &GeneralName::DirectoryName(subject.clone()),
            comparisons,
        )?;
    }
    match &certificate.extensions.alternative_names {
        Some(names) => names
            .iter()
            .try_for_each(|name| check_name(constraints, name, comparisons)),
        // RFC 5280 4.2.1.10: without subjectAltName, mailboxes in the subject are meant. What is no text is no mailbox.
        None => subject.iter_email().try_for_each(|attribute| {
            let mailbox = name::decoded(attribute).unwrap_or_default();
            check_name(constraints, &GeneralName::RFC822Name(&mailbox), comparisons)
        }),
    }
}

fn check_name(
    constraints: &NameConstraints<'_>,
    name: &GeneralName<'_>,
    comparisons: &mut usize,
) -> Result<(), String> {
    let mut matching = |base: &GeneralName<'_>, excluded: bool| {
        // Comparing directory names takes as long as they are.
        *comparisons += match (name, base) {
            (GeneralName::DirectoryName(name), GeneralName::DirectoryName(base)) => {
                1 + (name.as_raw().len() + base.as_raw().len()) / 64
            }
            _ => 1,
        };
        if *comparisons > MOST_COMPARISONS {
            return Err("has more names and constraints than are compared".to_owned());
        }
        matches(name, base, excluded)
    };
    let mut permitted = None;
    for subtree in constraints
        .permitted_subtrees
        .iter()
        .flatten()
        .filter(|subtree| same_form(name, &subtree.base))
    {
        if matching(&subtree.base, false)? {
            permitted = Some(true);
            break;
        }
        permitted = Some(false);
    }
    if permitted == Some(false) {
        return Err("has a name that its issuer may not vouch for (RFC 5280 4.2.1.10)".into());
    }
    for subtree in constraints
        .excluded_subtrees
        .iter()
        .flatten()
        .filter(|subtree| same_form(name, &subtree.base))
    {
        if matching(&subtree.base, true)? {
            return Err("has a name that is excluded for its issuer (RFC 5280 4.2.1.10)".into());
        }
    }
    Ok(())
}

fn same_form(name: &GeneralName<'_>, base: &GeneralName<'_>) -> bool {
    std::mem::discriminant(name) == std::mem::discriminant(base)
}

fn matches(name: &GeneralName<'_>, base: &GeneralName<'_>, excluded: bool) -> Result<bool, String> {
    match (name, base) {
        (GeneralName::DNSName(name), GeneralName::DNSName(base)) => {
            Ok(dns_matches(name, base, excluded))
        }
        (GeneralName::IPAddress(name), GeneralName::IPAddress(base)) => Ok(ip_matches(name, base)),
        (GeneralName::RFC822Name(name), GeneralName::RFC822Name(base)) => {
            mailbox_matches(name, base)
        }
        (GeneralName::URI(name), GeneralName::URI(base)) => uri_matches(name, base),
        (GeneralName::DirectoryName(name), GeneralName::DirectoryName(base)) => {
            Ok(name::normal(name).starts_with(&name::normal(base)))
        }
        _ => Err(
            "has a name of a form whose constraint cannot be checked (RFC 5280 4.2.1.10)".into(),
        ),
    }
}

/// `host.example` permits itself and all below, `.host.example` what is below alone. A wildcard is permitted if all it stands
/// for is, excluded if any of it is.
fn dns_matches(name: &str, base: &str, excluded: bool) -> bool {
    let (parent, below) = match base.strip_prefix('.') {
        Some(parent) => (parent, true),
        None => (base, false),
    };
    match name.strip_prefix("*.") {
        None => is_within(name, parent) && !(below && name.len() == parent.len()),
        Some(wild) => is_within(wild, parent) || (excluded && is_within(parent, wild)),
    }
}

fn is_within(name: &str, base: &str) -> bool {
    if base.is_empty() {
        return true;
    }
    let (name, base) = (name.as_bytes(), base.as_bytes());
    let Some(start) = name.len().checked_sub(base.len()) else {
        return false;
    };
    name[start..].eq_ignore_ascii_case(base) && (start == 0 || name[start - 1] == b'.')
}

fn ip_matches(name: &[u8], base: &[u8]) -> bool {
    let (network, mask) = base.split_at(base.len() / 2);
    name.len() == network.len()
        && name
            .iter()
            .zip(network)
            .zip(mask)
            .all(|((name, network), mask)| name & mask == network & mask)
}

/// A mailbox, a host, or, with a leading period, the hosts below it.
fn mailbox_matches(name: &str, base: &str) -> Result<bool, String> {
    let (local, host) = mailbox_parts(name)
        .ok_or("has an alternative name that is no mailbox (RFC 5280 4.2.1.6)")?;
    Ok(match mailbox_parts(base) {
        // RFC 5280 7.5: the local part counts byte for byte.
        Some((base_local, base_host)) => {
            local == base_local && host.eq_ignore_ascii_case(base_host)
        }
        None => host_matches(host, base),
    })
}

fn uri_matches(name: &str, base: &str) -> Result<bool, String> {
    // RFC 5280 4.2.1.10: a URI without a host name does not pass where URIs are constrained.
    let hierarchy = name
        .split_once(':')
        .filter(|(scheme, _)| is_scheme(scheme))
        .and_then(|(_, rest)| rest.strip_prefix("//"));
    let host = hierarchy.map(|rest| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority
            .rsplit_once('@')
            .map_or(authority, |(_, host)| host);
        host.split_once(':').map_or(host, |(host, _)| host)
    });
    let host = host
        .filter(|host| is_host(host))
        .ok_or("has a URI without a host name where URIs are constrained (RFC 5280 4.2.1.10)")?;
    Ok(host_matches(host, base))
}

fn host_matches(host: &str, base: &str) -> bool {
    match base.strip_prefix('.') {
        Some(parent) => host.len() > parent.len() && is_within(host, parent),
        None => host.eq_ignore_ascii_case(base),
    }
}

fn is_sound(base: &GeneralName<'_>, profile: Profile) -> bool {
    match base {
        GeneralName::DNSName(host) => {
            let host = match host.strip_prefix('.') {
                // Many companies' CAs have it: what the section says of mailboxes and URIs is meant.
                Some(parent) if profile != Profile::Rfc5280 => parent,
                _ => host,
            };
            host.is_empty() || is_host(host)
        }
        GeneralName::IPAddress(octets) => {
            matches!(octets.len(), 8 | 32) && is_mask(&octets[octets.len() / 2..])
        }
        GeneralName::RFC822Name(base) => {
            mailbox_parts(base).is_some() || is_host(base.strip_prefix('.').unwrap_or(base))
        }
        GeneralName::URI(base) => is_host(base.strip_prefix('.').unwrap_or(base)),
        GeneralName::DirectoryName(directory) => name::is_whole(directory),
        GeneralName::Invalid(..) => false,
        _ => true,
    }
}

fn is_mask(octets: &[u8]) -> bool {
    let ones: u32 = octets.iter().map(|octet| octet.leading_ones()).sum();
    ones == octets.iter().map(|octet| octet.count_ones()).sum::<u32>() && {
        let full = octets.iter().take_while(|octet| **octet == 0xff).count();
        octets.iter().skip(full + 1).all(|octet| *octet == 0)
    }
}

/// RFC 1034 3.5 as amended by RFC 1123 2.1: letters, digits, hyphens; not something that reads as an IPv4 address.
pub(crate) fn is_host(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|octet| octet.is_ascii_alphanumeric() || octet == b'-')
    };
    name.len() <= 253
        && name.split('.').all(is_label)
        && !name
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|octet| octet.is_ascii_digit()))
}

/// RFC 3986 3.1.
pub(crate) fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text
            .bytes()
            .all(|octet| octet.is_ascii_alphanumeric() || b"+-.".contains(&octet))
}

/// Local part and host of a mailbox (RFC 5321 4.1.2, without quoted local parts).
pub(crate) fn mailbox_parts(mailbox: &str) -> Option<(&str, &str)> {
    let (local, host) = mailbox.split_once('@')?;
    let is_atom =
        |octet: u8| octet.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&octet);
    (!local.is_empty() && local.bytes().all(is_atom) && is_host(host)).then_some((local, host))
}
