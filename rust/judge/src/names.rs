//! The names of a partner's client, and the rules that say which of them the partner may vouch for.
//!
//! Knows subjectAltName and subject (RFC 5280 4.2.1.6, 4.1.2.6) and the patterns of rules. Where RFC 5280 compares names
//! loosely this does not: two names that somebody could take for two are two.
//!
//! | kind | patterns |
//! | --- | --- |
//! | `dns` | `api.acme.example`; `*.acme.example`: all below it, not itself |
//! | `email` | `a@acme.example`; `*@acme.example` |
//! | `uri` | `spiffe://acme/api`; `spiffe://acme/*`: all below it |
//! | `ip` | `192.0.2.7`; `192.0.2.0/24` |
//! | `dn` | `CN=a,O=Acme` as RFC 4514 writes it; `CN=*,O=Acme`: any one value |
//! | `organization` | `PSDBE-NBB-0123456789`: the subject's organizationIdentifier, all of it |

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use foldhash::fast::RandomState;
use x509_parser::{extensions::GeneralName, prelude::FromDer, x509::X509Name};

use crate::{
    certificate::Certificate,
    constraints::{is_host, is_scheme, mailbox_parts},
    extensions::oid_text,
    name,
    record::{PartnerProfile, RuleKind, RuleRecord},
};

/// Octets of a URI that are read: each of its segments is looked up.
const LONGEST_URI: usize = 2_048;
/// Characters of a name that a sentence shows.
const LONGEST_SHOWN: usize = 200;
/// organizationIdentifier (X.520 6.4.4).
const ORGANIZATION_IDENTIFIER: &str = "2.5.4.97";

/// A name, in the one form in which it is compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Name {
    /// Lower case; a wildcard keeps its `*.`.
    Dns(String),
    /// Local part as it is (RFC 5280 7.5), host in lower case.
    Email(String, String),
    /// Scheme and host in lower case.
    Uri(String),
    Ip(IpAddr),
    Dn(Vec<Rdn>),
    /// As it is.
    Organization(String),
}

/// Attribute types (dotted) and values of one RDN, sorted: a set (X.501 9.3).
type Rdn = Vec<(String, String)>;

/// All names of a certificate that somebody has to answer for.
#[derive(Debug)]
pub(crate) struct Names {
    all: Vec<Name>,
    /// What it is called inside its partner.
    identity: String,
}

impl Names {
    /// The names of `leaf`: its subjectAltName or, where it has none, its subject. The error is the rest of a sentence about it.
    pub fn of(leaf: &Certificate<'_>, profile: PartnerProfile) -> Result<Names, String> {
        if profile == PartnerProfile::Psd2 {
            // All else in it is decoration: a host there is nobody's name under such a partner.
            let name = Name::Organization(organization(leaf)?);
            let identity = name.text();
            return Ok(Names {
                all: vec![name],
                identity,
            });
        }
        let mut all = Vec::new();
        for name in leaf.extensions.alternative_names.iter().flatten() {
            all.push(alternative(name)?);
        }
        // With a subjectAltName the subject is decoration: nobody is looked up by it.
        let identity = [0, 1, 2, 3]
            .into_iter()
            .find_map(|kind| all.iter().find(|name| name.rank() == kind))
            .map(Name::text);
        let identity = match identity {
            Some(identity) => identity,
            None => {
                all.push(Name::Dn(subject(leaf)?));
                format!("dn:{}", name::text(leaf.subject))
            }
        };
        Ok(Names { all, identity })
    }

    /// The first name, by kind and then by place: `dns:api.acme.example`.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The identity, cut for a sentence.
    pub fn shown(&self) -> String {
        shown(&self.identity)
    }
}

impl Name {
    /// Kinds in the order in which they name somebody.
    fn rank(&self) -> u8 {
        match self {
            Name::Dns(_) => 0,
            Name::Email(..) => 1,
            Name::Uri(_) => 2,
            Name::Ip(_) => 3,
            Name::Dn(_) => 4,
            Name::Organization(_) => 5,
        }
    }

    fn text(&self) -> String {
        match self {
            Name::Dns(host) => format!("dns:{host}"),
            Name::Email(local, host) => format!("email:{local}@{host}"),
            Name::Uri(uri) => format!("uri:{uri}"),
            Name::Ip(address) => format!("ip:{address}"),
            Name::Dn(_) => "dn".into(),
            Name::Organization(identifier) => format!("organization:{identifier}"),
        }
    }
}

fn shown(name: &str) -> String {
    match name.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}...", &name[..end]),
        None => name.into(),
    }
}

fn alternative(general: &GeneralName<'_>) -> Result<Name, String> {
    // A form that is not understood is somebody's name, too: a user principal name is an otherName.
    let foreign = |form: &str| {
        Err(format!(
            "has an alternative name of the type {form}, which a partner's authority may not vouch for here"
        ))
    };
    let found = match general {
        GeneralName::DNSName(host) => dns(host),
        GeneralName::RFC822Name(mailbox) => email(mailbox),
        GeneralName::URI(uri) => self::uri(uri),
        GeneralName::IPAddress(octets) => ip(octets),
        GeneralName::OtherName(..) => return foreign("otherName"),
        GeneralName::X400Address(_) => return foreign("x400Address"),
        GeneralName::DirectoryName(_) => return foreign("directoryName"),
        GeneralName::EDIPartyName(_) => return foreign("ediPartyName"),
        GeneralName::RegisteredID(_) => return foreign("registeredID"),
        GeneralName::Invalid(..) => None,
    };
    // Control characters, empty labels, user information: what reads differently to different readers names nobody.
    found.ok_or_else(|| "has an alternative name that is not one that a rule can permit".into())
}

/// As RFC 1034 3.5 has it, and underscores, which are in use besides.
fn is_host_name(host: &str) -> bool {
    is_host(&host.replace('_', "x"))
}

fn dns(host: &str) -> Option<Name> {
    is_host_name(host.strip_prefix("*.").unwrap_or(host))
        .then(|| Name::Dns(host.to_ascii_lowercase()))
}

fn email(mailbox: &str) -> Option<Name> {
    let (local, host) = mailbox.split_once('@')?;
    mailbox_parts(&format!("{local}@{}", host.replace('_', "x")))?;
    Some(Name::Email(local.into(), host.to_ascii_lowercase()))
}

/// RFC 3986 3.1 and 3.2.2: case does not count in scheme and host. User information and an empty host are refused.
fn uri(uri: &str) -> Option<Name> {
    if uri.len() > LONGEST_URI || !uri.bytes().all(|octet| octet.is_ascii_graphic()) {
        return None;
    }
    let (scheme, rest) = uri.split_once(':')?;
    if !is_scheme(scheme) || rest.is_empty() {
        return None;
    }
    let scheme = scheme.to_ascii_lowercase();
    let Some(hierarchy) = rest.strip_prefix("//") else {
        return Some(Name::Uri(format!("{scheme}:{rest}")));
    };
    let end = hierarchy.find(['/', '?', '#']).unwrap_or(hierarchy.len());
    let (authority, path) = hierarchy.split_at(end);
    if authority.is_empty() || authority.contains(['@', '\\']) {
        return None;
    }
    Some(Name::Uri(format!(
        "{scheme}://{}{path}",
        authority.to_ascii_lowercase()
    )))
}

fn ip(octets: &[u8]) -> Option<Name> {
    let address: IpAddr = if let Ok(octets) = <[u8; 4]>::try_from(octets) {
        Ipv4Addr::from(octets).into()
    } else {
        Ipv6Addr::from(<[u8; 16]>::try_from(octets).ok()?).into()
    };
    Some(Name::Ip(address))
}

/// The subject in the order in which RFC 4514 writes it.
fn subject(leaf: &Certificate<'_>) -> Result<Vec<Rdn>, String> {
    let unreadable = || "has neither an alternative name nor a subject that can be read as one";
    let name = X509Name::from_der(leaf.subject)
        .map_err(|_| unreadable())?
        .1;
    if leaf.has_empty_subject() || name::text(leaf.subject).len() > name::LONGEST_BYTES {
        return Err(unreadable().into());
    }
    let mut rdns = Vec::new();
    for rdn in name.iter_rdn() {
        let mut attributes = Vec::new();
        for attribute in rdn.iter() {
            // A lone asterisk reads as a pattern.
            let value = name::decoded(attribute)
                .filter(|value| value != "*" && value.chars().all(name::is_plain))
                .ok_or_else(unreadable)?;
            attributes.push((oid_text(attribute.attr_type()), value));
        }
        attributes.sort();
        if attributes.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(unreadable().into());
        }
        rdns.push(attributes);
    }
    rdns.reverse();
    Ok(rdns)
}

/// The one organizationIdentifier of the subject.
fn organization(leaf: &Certificate<'_>) -> Result<String, String> {
    let (_, subject) = X509Name::from_der(leaf.subject)
        .ok()
        .filter(|(_, subject)| name::is_whole(subject))
        .ok_or("has a subject that cannot be read")?;
    let mut found = subject
        .iter_attributes()
        .filter(|attribute| oid_text(attribute.attr_type()) == ORGANIZATION_IDENTIFIER);
    let (Some(attribute), None) = (found.next(), found.next()) else {
        return Err(
            "does not have exactly one organizationIdentifier in its subject, by which it would be known here"
                .into(),
        );
    };
    name::decoded(attribute)
        .filter(|identifier| is_psd_identifier(identifier))
        .ok_or_else(|| {
            "has an organizationIdentifier that is none of a payment service provider's (ETSI TS 119 495 5.2.1)"
                .into()
        })
}

/// ETSI TS 119 495 5.2.1: `PSD`, a country, the authority there, and its number for the provider, of any characters.
fn is_psd_identifier(text: &str) -> bool {
    let mut parts = text.splitn(3, '-');
    let upper = |text: &str| text.bytes().all(|octet| octet.is_ascii_uppercase());
    let (Some(scheme), Some(authority), Some(number)) = (parts.next(), parts.next(), parts.next())
    else {
        return false;
    };
    scheme
        .strip_prefix("PSD")
        .is_some_and(|country| country.len() == 2 && upper(country))
        && (2..=8).contains(&authority.len())
        && upper(authority)
        && !number.is_empty()
        && number.len() <= name::LONGEST_BYTES
        && number.chars().all(name::is_plain)
}

/// The rules of a partner.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Rules {
    /// Those of all its anchors.
    general: RuleSet,
    /// Those of one anchor alone, by anchor.
    bound: Vec<(u32, RuleSet)>,
}

#[derive(Debug, Default, PartialEq)]
struct RuleSet {
    exact: HashSet<Name, RandomState>,
    /// Hosts below which every host is permitted.
    dns_below: HashSet<Box<str>, RandomState>,
    /// Hosts at which every mailbox is.
    email_hosts: HashSet<Box<str>, RandomState>,
    /// Beginnings that end with a slash.
    uri_below: HashSet<Box<str>, RandomState>,
    networks: Vec<(IpAddr, u8)>,
    subjects: Vec<Vec<PatternRdn>>,
}

/// Attribute types and values of an RDN, sorted by type; `None` is any value.
type PatternRdn = Vec<(String, Option<String>)>;

impl Rules {
    /// Reads rules. One that means nothing permits nothing; a sentence about each such rule goes to `problems`.
    pub fn read(records: &[RuleRecord], problems: &mut Vec<String>) -> Rules {
        let mut rules = Rules::default();
        for record in records {
            let set = match record.anchor {
                None => &mut rules.general,
                Some(anchor) => rules.bound_mut(anchor),
            };
            if set.add(record.kind, &record.pattern).is_none() {
                problems.push(format!(
                    "its rule {:?} is no pattern for {:?}",
                    shown(&record.pattern),
                    record.kind
                ));
            }
        }
        rules
    }

    fn bound_mut(&mut self, anchor: u32) -> &mut RuleSet {
        let position = match self.bound.binary_search_by_key(&anchor, |(id, _)| *id) {
            Ok(position) => position,
            Err(position) => {
                self.bound.insert(position, (anchor, RuleSet::default()));
                position
            }
        };
        &mut self.bound[position].1
    }

    /// Whether `anchor` may vouch for all of `names`; the error is the rest of a sentence about the certificate.
    ///
    /// A shared anchor vouches for whoever pays it. What it says counts only where an operator wrote the very name down.
    pub fn permit(&self, names: &Names, anchor: u32, shared: bool) -> Result<(), String> {
        let bound = self
            .bound
            .binary_search_by_key(&anchor, |(id, _)| *id)
            .ok()
            .map(|position| &self.bound[position].1);
        let permitted = |name: &Name| {
            if shared {
                bound.is_some_and(|set| set.exact.contains(name))
            } else {
                self.general.permits(name) || bound.is_some_and(|set| set.permits(name))
            }
        };
        match names.all.iter().find(|name| !permitted(name)) {
            None => Ok(()),
            Some(name) => {
                let name = match name {
                    Name::Dn(_) => names.shown(),
                    other => shown(&other.text()),
                };
                Err(format!(
                    "names {name}, for which its authority may not vouch here"
                ))
            }
        }
    }

    /// Whether the names are this partner's, whichever of its anchors vouches.
    pub fn claim(&self, names: &Names) -> bool {
        let claimed = |name: &Name| {
            self.general.permits(name) || self.bound.iter().any(|(_, set)| set.permits(name))
        };
        names.all.iter().all(claimed)
    }
}

impl RuleSet {
    fn add(&mut self, kind: RuleKind, pattern: &str) -> Option<()> {
        match kind {
            RuleKind::Dns => match pattern.strip_prefix("*.") {
                Some(host) => {
                    is_host_name(host)
                        .then(|| self.dns_below.insert(host.to_ascii_lowercase().into()))?;
                }
                None => {
                    self.exact.insert(dns(pattern)?);
                }
            },
            RuleKind::Email => match pattern.strip_prefix("*@") {
                Some(host) => {
                    is_host_name(host)
                        .then(|| self.email_hosts.insert(host.to_ascii_lowercase().into()))?;
                }
                None => {
                    self.exact.insert(email(pattern)?);
                }
            },
            RuleKind::Uri => match (uri(pattern)?, pattern.ends_with("/*")) {
                (Name::Uri(uri), true) => {
                    let below = uri.strip_suffix('*')?;
                    // After the host, which is not empty: `https://*` would be everybody.
                    let has_path = below.split_once("://")?.1.contains('/');
                    (has_path && is_straight(below)).then_some(())?;
                    self.uri_below.insert(below.into());
                }
                (name, _) => {
                    self.exact.insert(name);
                }
            },
            RuleKind::Ip => match pattern.split_once('/') {
                Some((network, length)) => {
                    let network: IpAddr = network.parse().ok()?;
                    let length: u8 = length.parse().ok()?;
                    (u32::from(length) <= if network.is_ipv4() { 32 } else { 128 }).then_some(())?;
                    self.networks.push((network, length));
                }
                None => {
                    self.exact.insert(Name::Ip(pattern.parse().ok()?));
                }
            },
            RuleKind::Dn => {
                let pattern = pattern_rdns(pattern)?;
                let exact: Option<Vec<Rdn>> = pattern
                    .iter()
                    .map(|rdn| {
                        rdn.iter()
                            .map(|(kind, value)| Some((kind.clone(), value.clone()?)))
                            .collect()
                    })
                    .collect();
                match exact {
                    Some(rdns) => {
                        self.exact.insert(Name::Dn(rdns));
                    }
                    None => self.subjects.push(pattern),
                }
            }
            RuleKind::Organization => {
                is_psd_identifier(pattern).then_some(())?;
                self.exact.insert(Name::Organization(pattern.into()));
            }
        }
        Some(())
    }

    fn permits(&self, name: &Name) -> bool {
        self.exact.contains(name)
            || match name {
                Name::Dns(host) => host
                    .match_indices('.')
                    .any(|(dot, _)| self.dns_below.contains(&host[dot + 1..])),
                Name::Email(_, host) => self.email_hosts.contains(host.as_str()),
                Name::Uri(uri) => {
                    !self.uri_below.is_empty()
                        && is_straight(uri)
                        && uri.match_indices('/').any(|(slash, _)| {
                            slash + 1 < uri.len() && self.uri_below.contains(&uri[..=slash])
                        })
                }
                Name::Ip(address) => self
                    .networks
                    .iter()
                    .any(|(network, length)| is_in(*address, *network, *length)),
                Name::Dn(rdns) => self
                    .subjects
                    .iter()
                    .any(|pattern| subject_matches(rdns, pattern)),
                Name::Organization(_) => false,
            }
    }
}

/// For each of `names`, whether one of `rules` permits a name of this kind, as it would in a certificate; `None` is no kind.
///
/// What is no name, a pattern among it, is permitted by none; a rule that means nothing permits nothing.
pub fn names_permitted<'n>(
    rules: &[(RuleKind, String)],
    names: impl Iterator<Item = (Option<RuleKind>, &'n str)>,
) -> Vec<bool> {
    let mut set = RuleSet::default();
    for (kind, pattern) in rules {
        let _ = set.add(*kind, pattern);
    }
    let permits = |(kind, name): (Option<RuleKind>, &str)| {
        let mut asked = RuleSet::default();
        // A pattern of our own is no name: it is not among the exact ones.
        kind.is_some_and(|kind| asked.add(kind, name).is_some())
            && !asked.exact.is_empty()
            && asked.exact.iter().all(|name| set.permits(name))
    };
    names.map(permits).collect()
}

/// Whether every reader takes the path of `uri` for what it looks like: a `..` or an encoded slash might lead out of it.
fn is_straight(uri: &str) -> bool {
    let path = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    !path.contains(['?', '#', '\\', '%'])
        && path
            .split('/')
            .all(|segment| segment != "." && segment != "..")
}

fn is_in(address: IpAddr, network: IpAddr, length: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        (IpAddr::V6(address), IpAddr::V6(network)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
            address.to_bits() & mask == network.to_bits() & mask
        }
        _ => false,
    }
}

fn subject_matches(subject: &[Rdn], pattern: &[PatternRdn]) -> bool {
    subject.len() == pattern.len()
        && subject.iter().zip(pattern).all(|(rdn, pattern)| {
            rdn.len() == pattern.len()
                && rdn
                    .iter()
                    .zip(pattern)
                    .all(|((kind, value), (wanted, any))| {
                        kind == wanted && any.as_ref().is_none_or(|wanted| wanted == value)
                    })
        })
}

/// A distinguished name as RFC 4514 writes it, spaces after commas allowed; an unescaped `*` as a value is any value.
fn pattern_rdns(text: &str) -> Option<Vec<PatternRdn>> {
    let mut rdns: Vec<PatternRdn> = Vec::new();
    for rdn in split(text, ',') {
        let mut attributes = PatternRdn::new();
        for attribute in split(rdn, '+') {
            let (kind, value) = attribute.split_once('=')?;
            let value = value.trim_start_matches(' ');
            let value = match value {
                "*" => None,
                _ => Some(unescaped(value)?),
            };
            attributes.push((name::attribute_type(kind.trim())?, value));
        }
        attributes.sort();
        if attributes.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return None;
        }
        rdns.push(attributes);
    }
    Some(rdns)
}

/// `text` at each `separator` that no backslash precedes.
fn split(text: &str, separator: char) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut escaped) = (0, false);
    for (position, character) in text.char_indices() {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == separator {
            parts.push(&text[start..position]);
            start = position + 1;
        }
    }
    parts.push(&text[start..]);
    parts
}

/// RFC 4514 3: pairs of a backslash and a character or two hexadecimal digits.
fn unescaped(value: &str) -> Option<String> {
    if value.is_empty() || value.starts_with('#') || value.ends_with(' ') && !value.ends_with("\\ ")
    {
        return None;
    }
    let mut octets = Vec::new();
    let mut rest = value.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'\\' {
            octets.push(*first);
            continue;
        }
        let hex = |octet: u8| char::from(octet).to_digit(16);
        match rest {
            [high, low, after @ ..] if hex(*high).is_some() && hex(*low).is_some() => {
                octets.push((hex(*high)? * 16 + hex(*low)?) as u8);
                rest = after;
            }
            [special, after @ ..] => {
                octets.push(*special);
                rest = after;
            }
            [] => return None,
        }
    }
    let text = String::from_utf8(octets).ok()?;
    text.chars().all(name::is_plain).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(kind: RuleKind, patterns: &[&str]) -> RuleSet {
        let mut set = RuleSet::default();
        for pattern in patterns {
            assert!(set.add(kind, pattern).is_some(), "{pattern}");
        }
        set
    }

    fn refused(kind: RuleKind, patterns: &[&str]) {
        for pattern in patterns {
            assert!(RuleSet::default().add(kind, pattern).is_none(), "{pattern}");
        }
    }

    #[test]
    fn a_name_is_asked_about_without_a_certificate() {
        let rules = [
            (RuleKind::Dns, "*.acme.example".to_string()),
            (RuleKind::Dn, "CN=*,O=Acme".to_string()),
            (RuleKind::Email, "nonsense".to_string()),
        ];
        let permits = |kind, name| names_permitted(&rules, [(Some(kind), name)].into_iter())[0];
        assert!(permits(RuleKind::Dns, "api.acme.example"));
        assert!(permits(RuleKind::Dn, "CN=a,O=Acme"));
        for (kind, name) in [
            (RuleKind::Dns, "acme.example"),
            (RuleKind::Dns, "*.acme.example"),
            (RuleKind::Dns, "api.globex.example"),
            (RuleKind::Email, "api.acme.example"),
            (RuleKind::Email, "nonsense"),
            (RuleKind::Dn, "CN=*,O=Acme"),
            (RuleKind::Dn, "CN=a,O=Globex"),
            (RuleKind::Dns, ""),
        ] {
            assert!(!permits(kind, name), "{kind:?} {name}");
        }
        let name = "api.acme.example";
        let all = [
            (None, name),
            (Some(RuleKind::Dns), name),
            (Some(RuleKind::Email), name),
        ];
        assert_eq!(
            names_permitted(&rules, all.into_iter()),
            [false, true, false]
        );
        assert_eq!(names_permitted(&[], all.into_iter()), [false; 3]);
    }

    #[test]
    fn dns_rules() {
        let set = rules(RuleKind::Dns, &["API.one.example", "*.acme.example"]);
        let permits = |host: &str| dns(host).is_some_and(|name| set.permits(&name));
        for host in [
            "api.one.example",
            "Api.One.Example",
            "a.acme.example",
            "a.b.acme.example",
            "_tcp.acme.example",
            "*.acme.example",
            "*.b.acme.example",
        ] {
            assert!(permits(host), "{host}");
        }
        for host in [
            "a.one.example",
            "acme.example",
            "xacme.example",
            "acme.example.evil.example",
            "*.example",
            ".acme.example",
            "a..acme.example",
            "a\0.acme.example",
            "a.acme.example.",
            "",
        ] {
            assert!(!permits(host), "{host}");
        }
        refused(
            RuleKind::Dns,
            &[
                "",
                "*",
                "*.",
                "a.*.example",
                "*a.example",
                "a b",
                "a.example.",
            ],
        );
    }

    #[test]
    fn email_rules() {
        let set = rules(RuleKind::Email, &["a@one.example", "*@acme.example"]);
        let permits = |mailbox: &str| email(mailbox).is_some_and(|name| set.permits(&name));
        for mailbox in ["a@ONE.example", "x@acme.example", "X@Acme.example"] {
            assert!(permits(mailbox), "{mailbox}");
        }
        for mailbox in [
            "A@one.example",
            "b@one.example",
            "x@sub.acme.example",
            "x@acme.example@evil.example",
            "x@evil.example",
            "@acme.example",
            "x",
        ] {
            assert!(!permits(mailbox), "{mailbox}");
        }
        refused(
            RuleKind::Email,
            &["", "*", "acme.example", "*@", "*@*.example"],
        );
    }

    #[test]
    fn uri_rules() {
        let set = rules(
            RuleKind::Uri,
            &[
                "urn:acme:one",
                "spiffe://acme/api",
                "https://acme.example/clients/*",
            ],
        );
        let permits = |text: &str| uri(text).is_some_and(|name| set.permits(&name));
        for text in [
            "urn:acme:one",
            "SPIFFE://ACME/api",
            "https://ACME.example/clients/a",
            "https://acme.example/clients/a/b",
        ] {
            assert!(permits(text), "{text}");
        }
        for text in [
            "urn:acme:two",
            "spiffe://acme/API",
            "spiffe://acme/api/x",
            "https://acme.example/clients/",
            "https://acme.example/clients",
            "https://acme.example/clients/../admin",
            "https://acme.example/clients/%2e%2e/admin",
            "https://acme.example/clients/.",
            "https://acme.example/clients/a?b",
            "https://acme.example:444/clients/a",
            "https://acme.example/clientsx/a",
            "https://acme.example@evil.example/clients/a",
            "http://acme.example/clients/a",
            "https:///clients/a",
            "https://acme.example/clients/\u{e9}",
        ] {
            assert!(!permits(text), "{text}");
        }
        refused(
            RuleKind::Uri,
            &[
                "",
                "*",
                "https://*",
                "https:///*",
                "acme",
                "https:",
                "https://a/../*",
                "://a",
            ],
        );
        assert!(uri(&format!("a:{}", "b".repeat(LONGEST_URI))).is_none());
    }

    #[test]
    fn ip_rules() {
        let set = rules(
            RuleKind::Ip,
            &["192.0.2.7", "198.51.100.0/24", "2001:db8::/32"],
        );
        let permits = |text: &str| {
            let address: IpAddr = text.parse().unwrap_or_else(|_| panic!("{text}"));
            set.permits(&Name::Ip(address))
        };
        assert!(permits("192.0.2.7") && permits("198.51.100.255") && permits("2001:db8:1::1"));
        assert!(!permits("192.0.2.8") && !permits("198.51.101.0") && !permits("2001:db9::1"));
        assert!(!permits("::ffff:192.0.2.7"));
        assert!(rules(RuleKind::Ip, &["0.0.0.0/0"]).permits(&Name::Ip(Ipv4Addr::LOCALHOST.into())));
        refused(
            RuleKind::Ip,
            &["", "192.0.2.0/33", "192.0.2.0/", "192.0.2", "::/129"],
        );
    }

    #[test]
    fn subject_rules() {
        let attribute = |kind: &str, value: &str| (kind.to_owned(), value.to_owned());
        let [cn, o, uid] = ["2.5.4.3", "2.5.4.10", "0.9.2342.19200300.100.1.1"];
        let plain = |common: &str| {
            Name::Dn(vec![
                vec![attribute(cn, common)],
                vec![attribute(o, "Acme, Inc")],
            ])
        };
        let set = rules(
            RuleKind::Dn,
            &[
                "CN=api,O=Acme\\, Inc",
                "cn=*, 2.5.4.10=Acme\\2c Inc,C=DE",
                "UID=7+CN=*",
            ],
        );
        assert!(set.permits(&plain("api")));
        assert!(!set.permits(&plain("API")) && !set.permits(&plain("other")));
        let longer = |common: &str, country: &str| {
            let rdns = [(cn, common), (o, "Acme, Inc"), ("2.5.4.6", country)];
            Name::Dn(
                rdns.map(|(kind, value)| vec![attribute(kind, value)])
                    .into(),
            )
        };
        assert!(set.permits(&longer("any one", "DE")));
        assert!(!set.permits(&longer("any one", "FR")));
        let pair = |number: &str| Name::Dn(vec![vec![attribute(uid, number), attribute(cn, "x")]]);
        assert!(set.permits(&pair("7")) && !set.permits(&pair("8")));
        assert!(!set.permits(&Name::Dn(vec![vec![attribute(cn, "x")]])));
        let star = rules(RuleKind::Dn, &["CN=\\*"]);
        assert!(star.permits(&Name::Dn(vec![vec![attribute(cn, "*")]])));
        assert!(!star.permits(&Name::Dn(vec![vec![attribute(cn, "a")]])));
        refused(
            RuleKind::Dn,
            &[
                "",
                "api",
                "CN=",
                "FOO=a",
                "CN=a,",
                "CN=#04",
                "CN=a+CN=b",
                "CN=a\\",
                "CN=a\\00",
            ],
        );
    }

    #[test]
    fn organization_rules() {
        let set = rules(
            RuleKind::Organization,
            &["PSDBE-NBB-0123456789", "PSDPL-PFSA-A/B-7*"],
        );
        let permits = |text: &str| set.permits(&Name::Organization(text.into()));
        assert!(permits("PSDBE-NBB-0123456789") && permits("PSDPL-PFSA-A/B-7*"));
        for other in [
            "PSDBE-NBB-012345678",
            "PSDBE-NBB-01234567890",
            "psdbe-nbb-0123456789",
            "PSDBE-NBB-0123456789 ",
            "PSDPL-PFSA-A/B-77",
        ] {
            assert!(!permits(other), "{other}");
        }
        refused(
            RuleKind::Organization,
            &[
                "",
                "*",
                "PSDBE-NBB",
                "PSDBE-NBB-",
                "PSDBE-N-1",
                "PSDBE-NATIONALB-1",
                "PSDbe-NBB-1",
                "PSDBEL-NBB-1",
                "VATBE-NBB-1",
                "PSDBE-NB8-1",
                "PSDBE-NBB-1\n",
            ],
        );
    }

    #[test]
    fn a_name_of_another_kind_is_another_name() {
        let set = rules(RuleKind::Dns, &["*.acme.example"]);
        assert!(!set.permits(&Name::Email("a".into(), "b.acme.example".into())));
        assert!(!set.permits(&Name::Uri("spiffe://b.acme.example".into())));
    }
}
