//! What a service behind the gate is told about the client, and that nobody else tells it.
//!
//! Knows the names of header fields and how values are written. Does not know who is admitted, nor sockets.
//!
//! The order for a request: [`strip`] what the client sent, drop what its `Connection` field names, and only then
//! [`Written::apply`] and [`forwarded`]; so neither a spoofed field nor a `Connection` field can change ours.
//! Trailers go through [`strip`] too, and nothing is written there.
//!
//! Values are visible ASCII; all other bytes (of the UTF-8) are `%XX`, and so is `%`. See [`Written`].

use http::{HeaderMap, HeaderName, HeaderValue, header::TRAILER};
use judge::{Admission, Refusal};

mod apache;
mod dialect;
mod encode;
mod fields;
mod forwarded;
pub(crate) mod leaf;
pub(crate) mod link;
mod names;
mod nginx;
mod telling;
mod token;
mod traefik;
mod xfcc;

pub use dialect::Dialect;
pub(crate) use dialect::Dialects;
pub(crate) use encode::hex;
use fields::Fields;
pub use fields::OMITTED;
pub use forwarded::forwarded;
pub use names::{Kind, NAMES, Name, canonical_name, is, kind};
pub(crate) use telling::{ANONYMOUS, Telling};
pub(crate) use token::Signer;

/// RFC 9440 2.2.
pub const CLIENT_CERT: HeaderName = HeaderName::from_static("client-cert");
/// RFC 9440 2.3.
pub const CLIENT_CERT_CHAIN: HeaderName = HeaderName::from_static("client-cert-chain");
/// `admitted` or `anonymous`; at the portal also `refused`.
pub const VERDICT: HeaderName = HeaderName::from_static("mutualgate-verdict");
/// The client's id in the store.
pub const CLIENT_ID: HeaderName = HeaderName::from_static("mutualgate-client-id");
/// The client's name.
pub const CLIENT: HeaderName = HeaderName::from_static("mutualgate-client");
/// The client's roles, comma-separated; empty for none.
pub const ROLES: HeaderName = HeaderName::from_static("mutualgate-roles");
/// SHA-256 of the certificate, lower-case hex.
pub const CREDENTIAL: HeaderName = HeaderName::from_static("mutualgate-credential");
/// The certificate's subject, RFC 4514. Decoration: not what anybody should be recognised by.
pub const SUBJECT: HeaderName = HeaderName::from_static("mutualgate-subject");
/// The certificate's issuer, RFC 4514.
pub const ISSUER: HeaderName = HeaderName::from_static("mutualgate-issuer");
/// The certificate's serial number, lower-case hex.
pub const SERIAL: HeaderName = HeaderName::from_static("mutualgate-serial");
/// The name of the authority that vouched.
pub const AUTHORITY: HeaderName = HeaderName::from_static("mutualgate-authority");
/// What the admission rests on: `credential`, `pin`, `partner` or `signed`.
pub const EVIDENCE: HeaderName = HeaderName::from_static("mutualgate-evidence");
/// The partner whose CA vouched; absent otherwise.
pub const PARTNER: HeaderName = HeaderName::from_static("mutualgate-partner");
/// At the portal: the code of the reason for which a certificate was refused.
pub const REASON: HeaderName = HeaderName::from_static("mutualgate-reason");
/// At the portal: what was refused, in a sentence. Not for a stranger's eyes; see [`ISSUER_KNOWN`].
pub const DETAIL: HeaderName = HeaderName::from_static("mutualgate-detail");
/// At the portal: `yes` if the refused certificate's issuer is one of ours, else `no`.
pub const ISSUER_KNOWN: HeaderName = HeaderName::from_static("mutualgate-issuer-known");
/// Facts of the TLS connection; see [`TlsFacts`].
pub const TLS: HeaderName = HeaderName::from_static("mutualgate-tls");

/// Longest value of a field with certificates, in bytes. A longer one is left out whole and named in [`OMITTED`], since
/// servers refuse requests with such fields and half a certificate is none.
const MAX_CERTIFICATE_BYTES: usize = 16 * 1024;

/// Longest value of any other field, in bytes: a name in a certificate can have 32 KiB. A longer one is left out whole,
/// since a shortened name can be another's.
const MAX_TEXT_BYTES: usize = 8 * 1024;

/// Removes from a client's header fields or trailers all that a service could take for the word of the gate, and all
/// names of [`Kind::Hop`]; those of [`Kind::Identity`] stay where the route says `pass_identity_names`. A `Trailer`
/// field loses the removed names too. Allocates nothing unless there is something to remove.
pub fn strip(headers: &mut HeaderMap, pass_identity_names: bool) {
    let mut doomed: Vec<HeaderName> = Vec::new();
    let mut announces_trailers = false;
    for name in headers.keys() {
        if removed(name.as_str(), pass_identity_names) {
            doomed.push(name.clone());
        }
        announces_trailers |= name == TRAILER;
    }
    for name in doomed {
        headers.remove(name);
    }
    if announces_trailers {
        strip_announcement(headers, pass_identity_names);
    }
}

/// Whether a client's field of this name, in any case, is removed.
pub(crate) fn removed(name: impl AsRef<[u8]>, pass_identity_names: bool) -> bool {
    match kind(name) {
        None => false,
        Some(Kind::Ours | Kind::Hop) => true,
        Some(Kind::Identity) => !pass_identity_names,
    }
}

/// Rewrites `Trailer` (RFC 9110 6.6.2) without the names that [`strip`] removes from the trailers themselves.
fn strip_announcement(headers: &mut HeaderMap, pass_identity_names: bool) {
    let kept: Vec<String> = headers
        .get_all(TRAILER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .filter(|name| !name.is_empty() && !removed(name, pass_identity_names))
        .collect();
    if kept.is_empty() {
        headers.remove(TRAILER);
    } else {
        headers.insert(TRAILER, encode::value(kept.join(", ")));
    }
}

/// The fields that tell a service who the client is. Made once for a connection, applied to each of its requests.
///
/// A service can rely on this: with `Mutualgate-Verdict: admitted`, `-Client-Id`, `-Client`, `-Roles`, `-Credential`,
/// `-Serial`, `-Authority` and `-Evidence` are there, and `-Partner` where a partner's CA vouched. `-Subject` and `-Issuer` are left out beyond 8 KiB, `Client-Cert` and
/// `Client-Cert-Chain` beyond 16 KiB, and the chain also where nothing but the leaf was sent; [`OMITTED`] names what was
/// too long. With `anonymous` there is nothing but the verdict. The portal, and nobody else, is also told of whom was refused; see [`Written::refused`].
#[derive(Debug, Clone)]
pub struct Written {
    fields: Box<[(HeaderName, HeaderValue)]>,
}

impl Written {
    /// For an admitted client, told as is usual; `chain` is DER, leaf first, as the peer sent it.
    pub fn new<C: AsRef<[u8]>>(admission: &Admission, chain: &[C]) -> Written {
        let mut fields = Written::facts(admission);
        push_chain(&mut fields, chain);
        Written {
            fields: fields.finish(),
        }
    }

    /// What every dialect comes with: who was admitted, in our own fields.
    fn facts(admission: &Admission) -> Fields {
        let client = admission.client();
        Written::of(&Facts {
            client_id: client.id,
            client: &client.name,
            roles: client.roles.iter().map(|role| &**role).collect(),
            fingerprint: admission.fingerprint(),
            subject: admission.subject(),
            issuer: admission.issuer(),
            serial: admission.serial(),
            authority: admission.authority(),
            evidence: admission.evidence().code(),
            partner: admission.partner(),
        })
    }

    /// For whoever passes on a route that needs no certificate.
    pub fn anonymous() -> Written {
        Written {
            fields: Box::new([(VERDICT, HeaderValue::from_static("anonymous"))]),
        }
    }

    /// For a certificate that was refused, on a route where the service hears of it: no field that names a client.
    ///
    /// `Client-Cert` says that its key was proved to be in the client's hands, so the caller leaves an unproven `chain`
    /// out.
    pub fn refused<C: AsRef<[u8]>>(refusal: &Refusal, chain: &[C]) -> Written {
        let known = if refusal.issuer_known { "yes" } else { "no" };
        let mut fields = Fields::default();
        fields.push(VERDICT, HeaderValue::from_static("refused"));
        fields.push(REASON, HeaderValue::from_static(refusal.reason.code()));
        fields.push(ISSUER_KNOWN, HeaderValue::from_static(known));
        fields.text(DETAIL, encode::escape(&refusal.detail, b""));
        push_chain(&mut fields, chain);
        Written {
            fields: fields.finish(),
        }
    }

    fn of(facts: &Facts<'_>) -> Fields {
        let mut fields = Fields::default();
        fields.push(VERDICT, HeaderValue::from_static("admitted"));
        fields.push(CLIENT_ID, HeaderValue::from(facts.client_id));
        fields.push(CLIENT, encode::value(encode::escape(facts.client, b"")));
        fields.push(ROLES, encode::value(list(&facts.roles)));
        fields.push(CREDENTIAL, encode::value(hex(facts.fingerprint)));
        fields.push(SERIAL, encode::value(encode::escape(facts.serial, b"")));
        fields.push(
            AUTHORITY,
            encode::value(encode::escape(facts.authority, b"")),
        );
        fields.push(EVIDENCE, HeaderValue::from_static(facts.evidence));
        if let Some(partner) = facts.partner {
            fields.text(PARTNER, encode::escape(partner, b""));
        }
        fields.text(SUBJECT, encode::escape(facts.subject, b""));
        fields.text(ISSUER, encode::escape(facts.issuer, b""));
        fields
    }

    /// Writes the fields. Call it after [`strip`] and after the fields that `Connection` names are gone.
    pub fn apply(&self, headers: &mut HeaderMap) {
        headers.reserve(self.fields.len());
        for (name, value) in &self.fields {
            headers.insert(name.clone(), value.clone());
        }
    }

    /// The fields, for a printer of requests that keeps no map.
    pub fn fields(&self) -> &[(HeaderName, HeaderValue)] {
        &self.fields
    }
}

/// What [`Written`] is made of.
struct Facts<'a> {
    client_id: u64,
    client: &'a str,
    roles: Vec<&'a str>,
    fingerprint: &'a [u8; 32],
    subject: &'a str,
    issuer: &'a str,
    serial: &'a str,
    authority: &'a str,
    evidence: &'static str,
    partner: Option<&'a str>,
}

/// Adds the certificates, each field unless it is too long. RFC 9440 2.3: the chain never comes without the leaf.
fn push_chain<C: AsRef<[u8]>>(fields: &mut Fields, chain: &[C]) {
    let Some((leaf, others)) = chain.split_first() else {
        return;
    };
    let leaf = byte_sequences(std::slice::from_ref(leaf));
    let is_there = leaf.len() <= MAX_CERTIFICATE_BYTES;
    fields.certificates(CLIENT_CERT, leaf);
    if !others.is_empty() {
        if is_there {
            fields.certificates(CLIENT_CERT_CHAIN, byte_sequences(others));
        } else {
            fields.omit(CLIENT_CERT_CHAIN);
        }
    }
}

/// Comma-separated; a comma inside an item is escaped.
fn list(items: &[&str]) -> String {
    items
        .iter()
        .map(|item| encode::escape(item, b","))
        .collect::<Vec<_>>()
        .join(",")
}

/// RFC 9440 2.2 and 2.3: a Byte Sequence, or a List of them in the order of the handshake; the leaf is not in the
/// chain.
fn byte_sequences<C: AsRef<[u8]>>(chain: &[C]) -> String {
    let mut out = String::new();
    for der in chain {
        if !out.is_empty() {
            out.push_str(", ");
        }
        encode::push_byte_sequence(&mut out, der.as_ref());
    }
    out
}

/// Facts of a TLS connection, for a route with `tls_facts`. Unknown ones are left out.
#[derive(Debug, Clone, Copy, Default)]
pub struct TlsFacts<'a> {
    /// `TLSv1.3`.
    pub version: &'a str,
    /// The IANA name of the cipher suite.
    pub cipher: &'a str,
    /// The IANA name of the key exchange group.
    pub group: &'a str,
    /// Whether the session was resumed.
    pub resumed: bool,
    /// The name that the client asked for (RFC 6066 3).
    pub sni: &'a str,
    /// The protocol that was agreed on (RFC 7301).
    pub alpn: &'a str,
}

impl TlsFacts<'_> {
    /// `version=TLSv1.3; cipher=...; group=...; resumed=no; sni=...; alpn=...`. Make it once for a connection.
    pub fn value(&self) -> HeaderValue {
        let resumed = if self.resumed { "yes" } else { "no" };
        let mut out = String::with_capacity(128);
        for (name, text) in [
            ("version", self.version),
            ("cipher", self.cipher),
            ("group", self.group),
            ("resumed", resumed),
            ("sni", self.sni),
            ("alpn", self.alpn),
        ] {
            if !text.is_empty() {
                let separator = if out.is_empty() { "" } else { "; " };
                out.push_str(separator);
                out.push_str(name);
                out.push('=');
                out.push_str(&encode::escape(text, b";= "));
            }
        }
        encode::value(out)
    }
}

#[cfg(test)]
mod tests;
