//! The first bytes of a connection, for two questions that rustls does not answer: has a ClientHello brought a key share
//! that can be used, and does somebody speak HTTP who should speak TLS?
//!
//! No decision about trust is made here, and a wrong answer costs a round trip at most: the site, the versions and all
//! that counts come from rustls, which reads the same bytes for itself.

use std::borrow::Cow;

use http::{HeaderValue, Method};
use httparse::{EMPTY_HEADER, Request};
use rustls::NamedGroup;

use crate::{
    fields::Fields,
    http1::write_last,
    octets::{take, take_counted, take_number},
    problem,
    state::State,
    tls::Groups,
};

/// RFC 8446 5.1: a record of handshake messages.
const HANDSHAKE: u8 = 22;
/// RFC 8446 4: the type of a ClientHello.
const CLIENT_HELLO: u8 = 1;
/// RFC 8446 4.2: the extension key_share.
const KEY_SHARE: usize = 51;
/// Header fields that are looked at in what is no TLS.
const MOST_FIELDS: usize = 64;

/// In which groups to agree on a key: the hybrid one where the client has sent a share for it, or where a round trip has to
/// be made anyhow. A client that knows it (it is in `named`) and has sent a share of another kind alone is not asked
/// again: with a HelloRetryRequest its handshake would take half as long again.
///
/// `received` is all that was read from the client, a whole ClientHello in it.
pub(crate) fn groups(named: &[NamedGroup], received: &[u8]) -> Groups {
    if !named.contains(&NamedGroup::X25519MLKEM768) {
        return Groups::Classic;
    }
    let mut classic = false;
    for group in shares(received).unwrap_or_default() {
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
    let mut rest = &*message;
    if take(&mut rest, 1)? != [CLIENT_HELLO] {
        return None;
    }
    let mut hello = take_counted(&mut rest, 3)?;
    take(&mut hello, 2 + 32)?; // version and random
    take_counted(&mut hello, 1)?; // session id
    take_counted(&mut hello, 2)?; // suites
    take_counted(&mut hello, 1)?; // compression
    let mut extensions = take_counted(&mut hello, 2)?;
    while !extensions.is_empty() {
        let kind = take_number(&mut extensions, 2)?;
        let mut extension = take_counted(&mut extensions, 2)?;
        if kind == KEY_SHARE {
            let mut list = take_counted(&mut extension, 2)?;
            let mut groups = Vec::with_capacity(4);
            while !list.is_empty() {
                let group = take_number(&mut list, 2)?;
                take_counted(&mut list, 2)?;
                groups.push(NamedGroup::from(u16::try_from(group).ok()?));
            }
            return Some(groups);
        }
    }
    Some(vec![])
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
    use super::*;

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
        let named: Vec<NamedGroup> = named.iter().copied().map(NamedGroup::from).collect();
        groups(&named, &hello(shared, size))
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
