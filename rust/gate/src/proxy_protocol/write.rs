//! The header, written: how the gate begins a connection to a server that wants to know the client behind it.

use std::net::{IpAddr, SocketAddr};

use super::{Ends, SIGNATURE};
use crate::settings::upstream::SendProxy;

/// Section 2.2.7: types of what may follow the addresses.
const AUTHORITY: u8 = 0x02;
const SSL: u8 = 0x20;
const SSL_VERSION: u8 = 0x21;
const SSL_CN: u8 = 0x22;
const SSL_CIPHER: u8 = 0x23;
/// The first of those that everybody may give a meaning of their own: the name under which the gate knows the client.
const CLIENT_NAME: u8 = 0xe0;

/// Section 2.2.8: what `client` of SSL says.
const OVER_SSL: u8 = 0x01;
const CERT_CONN: u8 = 0x02;
const CERT_SESS: u8 = 0x04;

/// Longest value that is passed on. Servers have little room for a header (nginx has 4 KiB), and names are short.
const MAX_VALUE_BYTES: usize = 255;

/// What version 2 says besides addresses.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Remarks<'a> {
    /// The name that the client asked for; empty for none.
    pub(crate) authority: &'a str,
    /// `TLSv1.3`.
    pub(crate) version: &'a str,
    /// The IANA name of the cipher suite.
    pub(crate) cipher: &'a str,
    /// Who it was admitted as; `None` for nobody.
    pub(crate) client: Option<Client<'a>>,
}

/// A client that was admitted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client<'a> {
    /// The name that operators gave it.
    pub(crate) name: &'a str,
    /// The CN of its certificate, where that is worth something.
    pub(crate) common_name: Option<&'a str>,
    /// Its certificate came in an earlier handshake of the session.
    pub(crate) resumed: bool,
}

/// The header of a connection that the gate opens for itself: sections 2.1 (UNKNOWN) and 2.2 (LOCAL).
pub(crate) fn local(version: SendProxy) -> &'static [u8] {
    match version {
        SendProxy::V1 => b"PROXY UNKNOWN\r\n",
        SendProxy::V2 => b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00",
    }
}

/// Section 2.1: a line.
pub(crate) fn version_1(ends: Ends) -> Box<[u8]> {
    let (source, destination) = alike(ends);
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.port(), destination.port());
    format!(
        "PROXY {family} {} {} {from} {to}\r\n",
        text(source.ip()),
        text(destination.ip())
    )
    .into_bytes()
    .into()
}

/// Section 2.2: bytes. No ALPN: what the client and the gate agreed on is not what is spoken behind.
pub(crate) fn version_2(ends: Ends, remarks: Remarks<'_>) -> Box<[u8]> {
    let (source, destination) = alike(ends);
    let mut rest = Vec::with_capacity(128);
    for end in [source, destination] {
        match end.ip() {
            IpAddr::V4(ip) => rest.extend_from_slice(&ip.octets()),
            IpAddr::V6(ip) => rest.extend_from_slice(&ip.octets()),
        }
    }
    rest.extend_from_slice(&source.port().to_be_bytes());
    rest.extend_from_slice(&destination.port().to_be_bytes());
    if !remarks.authority.is_empty() {
        add(&mut rest, AUTHORITY, remarks.authority.as_bytes());
    }
    let (certificate, unverified) = match &remarks.client {
        Some(client) if client.resumed => (CERT_SESS, 0_u32),
        Some(_) => (CERT_CONN | CERT_SESS, 0),
        None => (0, 1),
    };
    let mut ssl = vec![OVER_SSL | certificate];
    ssl.extend_from_slice(&unverified.to_be_bytes());
    add(&mut ssl, SSL_VERSION, remarks.version.as_bytes());
    if let Some(name) = remarks.client.and_then(|client| client.common_name) {
        add(&mut ssl, SSL_CN, name.as_bytes());
    }
    add(&mut ssl, SSL_CIPHER, remarks.cipher.as_bytes());
    push(&mut rest, SSL, &ssl);
    if let Some(client) = &remarks.client {
        add(&mut rest, CLIENT_NAME, client.name.as_bytes());
    }
    let family = if source.is_ipv4() { 0x11 } else { 0x21 };
    let mut header = Vec::with_capacity(16 + rest.len());
    header.extend_from_slice(&SIGNATURE);
    header.extend_from_slice(&[0x21, family]);
    header.extend_from_slice(&length(&rest));
    header.extend_from_slice(&rest);
    header.into()
}

/// Both of one family, as the header has room for: what came through a socket for both is IPv4 again, and where that
/// does not make them alike, both are IPv6.
fn alike(ends: Ends) -> (SocketAddr, SocketAddr) {
    let canonical = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    let mapped = |end: SocketAddr| match end.ip() {
        IpAddr::V4(ip) => SocketAddr::new(ip.to_ipv6_mapped().into(), end.port()),
        IpAddr::V6(_) => end,
    };
    let (source, destination) = (canonical(ends.source), canonical(ends.destination));
    if source.is_ipv4() == destination.is_ipv4() {
        (source, destination)
    } else {
        (mapped(source), mapped(destination))
    }
}

/// Section 2.1: IPv6 as RFC 3513 2.2 writes it. The form for mapped addresses, with dots, is none that all read.
fn text(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some() => {
            let [.., high, low] = ip.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        ip => ip.to_string(),
    }
}

/// A value that is short enough; another one is left out.
fn add(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    if value.len() <= MAX_VALUE_BYTES {
        push(out, kind, value);
    }
}

fn push(out: &mut Vec<u8>, kind: u8, value: &[u8]) {
    out.push(kind);
    out.extend_from_slice(&length(value));
    out.extend_from_slice(value);
}

/// Two bytes. All that is written here is far shorter than they can say.
fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_protocol::{Source, parse};

    fn ends(source: &str, destination: &str) -> Ends {
        Ends {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
        }
    }

    const NOBODY: Remarks<'_> = Remarks {
        authority: "a.test",
        version: "TLSv1.3",
        cipher: "TLS_X",
        client: None,
    };

    #[test]
    fn version_1_byte_for_byte() {
        for (source, destination, line) in [
            (
                "192.0.2.7:56324",
                "203.0.113.1:443",
                "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n",
            ),
            (
                "[2001:db8::7]:1",
                "[2001:db8::1]:65535",
                "PROXY TCP6 2001:db8::7 2001:db8::1 1 65535\r\n",
            ),
            (
                "[::ffff:192.0.2.7]:56324",
                "[::ffff:203.0.113.1]:443",
                "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n",
            ),
            (
                "192.0.2.7:56324",
                "[2001:db8::1]:443",
                "PROXY TCP6 ::ffff:c000:207 2001:db8::1 56324 443\r\n",
            ),
        ] {
            let header = version_1(ends(source, destination));
            assert_eq!(str::from_utf8(&header), Ok(line));
            assert!(matches!(parse(&header), Ok(Source::Client(_))), "{line}");
        }
    }

    #[test]
    fn version_2_byte_for_byte() {
        let header = version_2(ends("192.0.2.7:56324", "203.0.113.1:443"), NOBODY);
        let expected = [
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x2f"[..],
            b"\xc0\x00\x02\x07\xcb\x00\x71\x01\xdc\x04\x01\xbb",
            b"\x02\x00\x06a.test",
            b"\x20\x00\x17\x01\x00\x00\x00\x01\x21\x00\x07TLSv1.3\x23\x00\x05TLS_X",
        ]
        .concat();
        assert_eq!(*header, *expected);
        let client = Client {
            name: "anna",
            common_name: Some("Änna"),
            resumed: false,
        };
        let admitted = Remarks {
            authority: "",
            client: Some(client),
            ..NOBODY
        };
        let ends_6 = ends("[2001:db8::7]:56324", "[2001:db8::1]:443");
        let header = version_2(ends_6, admitted);
        let ssl = b"\x20\x00\x1f\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x22\x00\x05\xc3\x84nna\x23\x00\x05TLS_X";
        let expected = [
            &b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x4d"[..],
            b"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x01\xbb",
            ssl,
            b"\xe0\x00\x04anna",
        ]
        .concat();
        assert_eq!(*header, *expected);
        assert_eq!(parse(&header), Ok(Source::Client(ends_6)));
    }

    #[test]
    fn a_certificate_of_an_earlier_handshake_is_said_to_be_one_of_the_session() {
        let client = Client {
            name: "anna",
            common_name: None,
            resumed: true,
        };
        let remarks = Remarks {
            authority: "",
            client: Some(client),
            ..NOBODY
        };
        let header = version_2(ends("192.0.2.7:1", "192.0.2.8:2"), remarks);
        assert_eq!(header[28..36], *b"\x20\x00\x17\x05\x00\x00\x00\x00");
    }

    #[test]
    fn a_value_that_is_too_long_is_left_out_whole() {
        let long = "x".repeat(MAX_VALUE_BYTES + 1);
        let remarks = Remarks {
            authority: &long,
            ..NOBODY
        };
        let header = version_2(ends("192.0.2.7:1", "192.0.2.8:2"), remarks);
        assert_eq!(header[28], SSL);
        assert!(matches!(parse(&header), Ok(Source::Client(_))));
    }

    #[test]
    fn the_gate_itself_names_nobody() {
        for version in [SendProxy::V1, SendProxy::V2] {
            assert_eq!(parse(local(version)), Ok(Source::Peer));
        }
    }
}
