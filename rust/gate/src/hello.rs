//! The first bytes of a connection: what of a ClientHello says how it is answered, and does somebody speak HTTP who
//! should speak TLS?
//!
//! rustls reads the same bytes for itself, and refuses what is no ClientHello. No decision about trust is made here: what
//! a client may do at the site that it names here is asked of the judge.

use std::borrow::Cow;

use http::{HeaderValue, Method};
use httparse::{EMPTY_HEADER, Request};
use rustls::{CipherSuite, NamedGroup, pki_types::ServerName, server::Accepted};

use crate::{
    fields::Fields,
    http1::write_last,
    octets::{take, take_counted, take_number},
    problem,
    state::State,
    tls::{Groups, Suites},
};

/// RFC 8446 5.1: a record of handshake messages.
const HANDSHAKE: u8 = 22;
/// RFC 8446 4: the type of a ClientHello.
const CLIENT_HELLO: u8 = 1;
/// RFC 6066 3: the extension server_name, and the type of a host's name in it.
const SERVER_NAME: usize = 0;
const HOST_NAME: usize = 0;
/// RFC 8446 4.2: the extensions supported_groups and key_share.
const SUPPORTED_GROUPS: usize = 10;
const KEY_SHARE: usize = 51;
/// Header fields that are looked at in what is no TLS.
const MOST_FIELDS: usize = 64;

/// What of a ClientHello says how it is answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Hello {
    /// The name that the client asks for, in lower case; empty for none.
    pub(crate) name: Box<str>,
    pub(crate) suites: Suites,
    pub(crate) groups: Groups,
}

impl Hello {
    /// Reads one that is here as a whole and names one host or none. All others are rustls' to read: [`Hello::of`]; which
    /// costs as much as all else that is ours in a handshake.
    pub(crate) fn read(received: &[u8]) -> Option<Hello> {
        let message = message(received)?;
        let parts = Parts::of(&message)?;
        let name = match parts.name {
            Some(name) => match ServerName::try_from(host(name)?) {
                Ok(ServerName::DnsName(name)) => name.to_lowercase_owned().as_ref().into(),
                _ => return None,
            },
            None => Box::default(),
        };
        let named = parts.groups.map_or(Some(&[][..]), |mut groups| {
            take_counted(&mut groups, 2).filter(|_| groups.is_empty())
        })?;
        Some(Hello {
            name,
            suites: Suites::of(numbers(parts.suites).map(CipherSuite::from)),
            groups: groups(
                numbers(named).map(NamedGroup::from),
                parts.shares.map_or(Some(vec![]), shared)?,
            ),
        })
    }

    /// The same of one that rustls has read; `received` is all that was read from the client, with it in it.
    pub(crate) fn of(accepted: &Accepted, received: &[u8]) -> Hello {
        let hello = accepted.client_hello();
        let named = hello.named_groups().unwrap_or_default().iter().copied();
        Hello {
            name: hello.server_name().unwrap_or_default().into(),
            suites: Suites::of(hello.cipher_suites().iter().copied()),
            groups: groups(named, shares(received).unwrap_or_default()),
        }
    }
}

/// In which groups to agree on a key: the hybrid one where the client has sent a share for it, or where a round trip has to
/// be made anyhow. A client that knows it (it is in `named`) and has sent a share of another kind alone is not asked
/// again: with a HelloRetryRequest its handshake would take half as long again.
fn groups(mut named: impl Iterator<Item = NamedGroup>, shares: Vec<NamedGroup>) -> Groups {
    if !named.any(|group| group == NamedGroup::X25519MLKEM768) {
        return Groups::Classic;
    }
    let mut classic = false;
    for group in shares {
        match group {
            NamedGroup::X25519MLKEM768 => return Groups::Hybrid,
            NamedGroup::X25519 | NamedGroup::secp256r1 | NamedGroup::secp384r1 => classic = true,
            _ => {}
        }
    }
    if classic {
        Groups::Classic
    } else {
        Groups::Hybrid
    }
}

/// The groups of the key shares in a ClientHello (RFC 8446 4.2.8), none if it has none; `None` for anything else.
pub(crate) fn shares(received: &[u8]) -> Option<Vec<NamedGroup>> {
    let message = message(received)?;
    Parts::of(&message)?.shares.map_or(Some(vec![]), shared)
}

/// The groups in an extension key_share.
fn shared(mut extension: &[u8]) -> Option<Vec<NamedGroup>> {
    let mut list = take_counted(&mut extension, 2)?;
    let mut groups = Vec::with_capacity(4);
    while !list.is_empty() {
        let group = take_number(&mut list, 2)?;
        take_counted(&mut list, 2)?;
        groups.push(NamedGroup::from(u16::try_from(group).ok()?));
    }
    Some(groups)
}

/// The only name in an extension server_name.
fn host(mut extension: &[u8]) -> Option<&[u8]> {
    let mut list = take_counted(&mut extension, 2)?;
    if take_number(&mut list, 1)? != HOST_NAME {
        return None;
    }
    take_counted(&mut list, 2).filter(|_| list.is_empty() && extension.is_empty())
}

fn numbers(list: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _) = list.as_chunks::<2>();
    pairs.iter().copied().map(u16::from_be_bytes)
}

/// The parts of a ClientHello that are looked at (RFC 8446 4.1.2), and the last of each extension.
struct Parts<'a> {
    suites: &'a [u8],
    name: Option<&'a [u8]>,
    groups: Option<&'a [u8]>,
    shares: Option<&'a [u8]>,
}

impl<'a> Parts<'a> {
    fn of(mut message: &'a [u8]) -> Option<Parts<'a>> {
        if take(&mut message, 1)? != [CLIENT_HELLO] {
            return None;
        }
        let mut hello = take_counted(&mut message, 3)?;
        take(&mut hello, 2 + 32)?; // version and random
        take_counted(&mut hello, 1)?; // session id
        let mut parts = Parts {
            suites: take_counted(&mut hello, 2)?,
            name: None,
            groups: None,
            shares: None,
        };
        take_counted(&mut hello, 1)?; // compression
        let mut extensions = take_counted(&mut hello, 2)?;
        while !extensions.is_empty() {
            let kind = take_number(&mut extensions, 2)?;
            let extension = take_counted(&mut extensions, 2)?;
            match kind {
                SERVER_NAME => parts.name = Some(extension),
                SUPPORTED_GROUPS => parts.groups = Some(extension),
                KEY_SHARE => parts.shares = Some(extension),
                _ => {}
            }
        }
        Some(parts)
    }
}

/// The first message, with its header, out of as many records as it comes in: whoever is in between can cut it up as they
/// like, and must not choose the group by it.
fn message(received: &[u8]) -> Option<Cow<'_, [u8]>> {
    let mut rest = received;
    let mut whole: Cow<'_, [u8]> = Cow::Borrowed(&[]);
    loop {
        if take(&mut rest, 1)? != [HANDSHAKE] {
            return None;
        }
        take(&mut rest, 2)?; // version, of no meaning here
        let payload = take_counted(&mut rest, 2)?;
        if whole.is_empty() {
            whole = Cow::Borrowed(payload);
        } else {
            whole.to_mut().extend_from_slice(payload);
        }
        let mut header = whole.get(1..4).unwrap_or_default();
        if take_number(&mut header, 3).is_some_and(|length| whole.len() >= 4 + length) {
            return Some(whole);
        }
    }
}

/// Whether these first bytes can be a request of HTTP/1 in the clear: a method and a space. No record of TLS begins so.
pub(crate) fn is_plain_http(received: &[u8]) -> bool {
    let method = received.iter().take_while(|byte| byte.is_ascii_uppercase());
    let length = method.count();
    (3..=16).contains(&length) && received.get(length) == Some(&b' ')
}

/// What somebody is told who asks in plain HTTP where TLS is spoken. Whatever was asked for is not looked at, and nobody
/// is led on: it came in the clear, and that should be noticed.
pub(crate) fn plain_http_answer(state: &State, port: u16, received: &[u8]) -> Vec<u8> {
    let mut room = [EMPTY_HEADER; MOST_FIELDS];
    let mut request = Request::new(&mut room);
    // However far it got: all that is wanted is a host, to name the address, and how to say it.
    let _ = request.parse(received);
    let field = |name: &str| {
        let found = request.headers.iter();
        let mut found = found.filter(|field| field.name.eq_ignore_ascii_case(name));
        found.next().map(|field| field.value)
    };
    let host = field("host")
        .and_then(|value| str::from_utf8(value).ok())
        .map(|host| host.split(':').next().unwrap_or_default())
        .filter(|host| state.snapshot.site_of(host).is_some());
    let detail = match (host, port) {
        (Some(host), 443) => format!("What is wanted here is https://{host}/."),
        (Some(host), port) => format!("What is wanted here is https://{host}:{port}/."),
        (None, _) => "The request came without TLS.".to_owned(),
    };
    let mut fields = Fields::default();
    if let Some(accept) = field("accept").and_then(|value| HeaderValue::from_bytes(value).ok()) {
        fields.append(http::header::ACCEPT, accept);
    }
    let method = match request.method {
        Some("HEAD") => Method::HEAD,
        _ => Method::GET,
    };
    let document = problem::NEEDS_TLS.document(detail);
    let mut bytes = Vec::new();
    write_last(&mut bytes, document.answer(&method, &fields));
    bytes
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;
    use crate::trial::is_read_alike;

    const HYBRID: u16 = 0x11ec;
    const X25519: u16 = 0x001d;
    const P521: u16 = 0x0019;

    /// A ClientHello with key shares for `shared`, in records of `size` bytes.
    fn hello(shared: &[u16], size: usize) -> Vec<u8> {
        let shares: Vec<u8> = shared
            .iter()
            .flat_map(|group| [&group.to_be_bytes()[..], &[0, 3, 1, 2, 3]].concat())
            .collect();
        let counted = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
        let other = [&[0, 43][..], &counted(&[2, 3, 4])].concat();
        let extension = [&[0, 51][..], &counted(&counted(&shares))].concat();
        let body = [
            &[3, 3][..],
            &[7; 32],
            &[0],
            &counted(&[0x13, 1]),
            &[1, 0],
            &counted(&[other, extension].concat()),
        ]
        .concat();
        let message = [&[1, 0][..], &counted(&body)].concat();
        (message.chunks(size))
            .flat_map(|piece| [&[22, 3, 1][..], &counted(piece)].concat())
            .collect()
    }

    fn chosen(named: &[u16], shared: &[u16], size: usize) -> Groups {
        let named = named.iter().copied().map(NamedGroup::from);
        groups(named, shares(&hello(shared, size)).unwrap_or_default())
    }

    #[test]
    fn a_share_decides_and_its_absence_costs_no_round_trip() {
        for size in [1, 5, 60, 16_384] {
            assert_eq!(
                chosen(&[HYBRID, X25519], &[HYBRID, X25519], size),
                Groups::Hybrid
            );
            // However it is ordered, in the list and among the shares.
            assert_eq!(
                chosen(&[X25519, HYBRID], &[X25519, HYBRID], size),
                Groups::Hybrid
            );
            assert_eq!(chosen(&[HYBRID, X25519], &[X25519], size), Groups::Classic);
            assert_eq!(chosen(&[X25519], &[X25519], size), Groups::Classic);
            // A round trip has to be made anyhow.
            assert_eq!(chosen(&[HYBRID, X25519], &[P521], size), Groups::Hybrid);
            assert_eq!(chosen(&[HYBRID, X25519], &[], size), Groups::Hybrid);
        }
    }

    #[test]
    fn half_a_hello_is_read_to_its_end_and_no_further() {
        let whole = hello(&[HYBRID, X25519], 16_384);
        for length in 0..whole.len() {
            assert_eq!(shares(&whole[..length]), None, "{length}");
        }
        let mut odd = whole.clone();
        for at in 0..odd.len() {
            for value in [0, 1, 0x7f, 0xff] {
                odd[at] = value;
                shares(&odd); // whatever it is, it is no panic
            }
            odd[at] = whole[at];
        }
    }

    /// What a client of rustls begins with.
    fn real_hello(name: &'static str) -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = name.try_into().expect("a name");
        let mut client = ClientConnection::new(Arc::new(config), name).expect("a client");
        let mut hello = Vec::new();
        client.write_tls(&mut hello).expect("room");
        hello
    }

    #[test]
    fn a_hello_is_read_as_rustls_reads_it() {
        for (asked, name) in [
            ("Shop.test", "shop.test"),
            ("192.0.2.1", ""),
            ("xn--bcher-kva.test", "xn--bcher-kva.test"),
        ] {
            let whole = real_hello(asked);
            let hello = Hello::read(&whole).expect("a hello");
            assert_eq!(*hello.name, *name);
            assert!(is_read_alike(&whole));
            // Whatever becomes of it, both say the same or one says nothing.
            let mut odd = whole.clone();
            for at in 0..odd.len() {
                for value in [0, 1, b'.', b'1', b':', 0xff] {
                    odd[at] = value;
                    assert!(is_read_alike(&odd), "{at} {value}");
                }
                odd[at] = whole[at];
                assert_eq!(Hello::read(&whole[..at]), None, "{at}");
            }
        }
    }

    #[test]
    fn http_is_told_from_tls() {
        for http in ["GET / HTTP/1.1\r\n", "OPTIONS * HTTP/1.1", "PRI * HTTP/2.0"] {
            assert!(is_plain_http(http.as_bytes()), "{http}");
        }
        for other in [
            &b"\x16\x03\x01\x02\x00"[..],
            b"GET",
            b"get / ",
            b"SSH-2.0-x",
            b"",
            b"AB ",
        ] {
            assert!(!is_plain_http(other), "{other:?}");
        }
    }
}
