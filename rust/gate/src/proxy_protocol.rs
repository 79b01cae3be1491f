//! The PROXY protocol, versions 1 and 2, as load balancers begin a connection with it: who the client really is.
//!
//! Knows the header (<https://www.haproxy.org/download/3.0/doc/proxy-protocol.txt>), how to read it and not a byte more,
//! and how to write one ([`write`]). Does not know from whom it is taken: only where the settings name the peer (`proxy_protocol_from`), and there it
//! must be. Where it is not expected, its first bytes are no TLS, as ever.

pub(crate) mod write;

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use tokio::{io::AsyncReadExt, net::TcpStream};

/// Section 2.2: how version 2 begins.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// Section 2.1: the longest header of version 1, with its CRLF.
const LONGEST_LINE: usize = 107;

/// Bytes after the first 16 of version 2: addresses take 216 at most, the rest is for a balancer's remarks, which are
/// skipped.
const MOST_ADDITION: usize = 4096;

/// The two ends of a client's connection: where it comes from, and where it leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    /// The client.
    pub source: SocketAddr,
    /// What it has connected to.
    pub destination: SocketAddr,
}

/// Who sent the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The client that the balancer names, and what that has connected to.
    Client(Ends),
    /// The balancer itself (LOCAL: its health check), or one of whom it knows nothing.
    Peer,
}

/// The bytes are no PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no PROXY header")]
pub struct NoHeader;

impl From<NoHeader> for io::Error {
    fn from(error: NoHeader) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Reads the header from `tcp`, and leaves what follows it there.
pub async fn read(tcp: &mut TcpStream) -> io::Result<Source> {
    let mut header = vec![0; SIGNATURE.len()]; // the shortest line, `PROXY UNKNOWN`, has 15
    tcp.read_exact(&mut header).await?;
    if header == SIGNATURE {
        header.resize(16, 0);
        tcp.read_exact(&mut header[12..]).await?;
        let addition = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if addition > MOST_ADDITION {
            return Err(NoHeader.into());
        }
        header.resize(16 + addition, 0);
        tcp.read_exact(&mut header[16..]).await?;
        return Ok(version_2(&header)?);
    }
    if !header.starts_with(b"PROXY ") {
        return Err(NoHeader.into());
    }
    let mut room = [0; LONGEST_LINE];
    loop {
        // What is looked at is taken at once, so that the next look sees something new.
        let left = LONGEST_LINE - header.len();
        let seen = tcp.peek(&mut room[..left]).await?;
        let end = room[..seen].iter().position(|byte| *byte == b'\n');
        let take = end.map_or(seen, |end| end + 1);
        let from = header.len();
        header.resize(from + take, 0);
        tcp.read_exact(&mut header[from..]).await?;
        if end.is_some() {
            return Ok(version_1(&header)?);
        }
        if seen == 0 || header.len() >= LONGEST_LINE {
            return Err(NoHeader.into());
        }
    }
}

/// A whole header: for tests and the fuzzer.
pub fn parse(bytes: &[u8]) -> Result<Source, NoHeader> {
    if bytes.starts_with(&SIGNATURE) {
        version_2(bytes)
    } else {
        version_1(bytes)
    }
}

/// Section 2.1: one line, its words apart by one space each.
fn version_1(line: &[u8]) -> Result<Source, NoHeader> {
    if line.len() > LONGEST_LINE {
        return Err(NoHeader);
    }
    let line = line.strip_suffix(b"\r\n").ok_or(NoHeader)?;
    let text = str::from_utf8(line).map_err(|_| NoHeader)?;
    if text.contains(['\r', '\n']) {
        return Err(NoHeader);
    }
    let words: Vec<&str> = text.split(' ').collect();
    match words[..] {
        // What follows UNKNOWN "must be ignored".
        ["PROXY", "UNKNOWN", ..] => Ok(Source::Peer),
        [
            "PROXY",
            family,
            source,
            destination,
            source_port,
            destination_port,
        ] => {
            let address: fn(&str) -> Option<IpAddr> = match family {
                "TCP4" => |text| text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
                "TCP6" => |text| text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
                _ => return Err(NoHeader),
            };
            let source = address(source).ok_or(NoHeader)?;
            let destination = address(destination).ok_or(NoHeader)?;
            Ok(Source::Client(Ends {
                source: (source, port(source_port)?).into(),
                destination: (destination, port(destination_port)?).into(),
            }))
        }
        _ => Err(NoHeader),
    }
}

/// Decimal, without leading zeros.
fn port(text: &str) -> Result<u16, NoHeader> {
    let is_plain =
        text.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if !is_plain {
        return Err(NoHeader);
    }
    text.parse().map_err(|_| NoHeader)
}

/// Section 2.2: 16 bytes, the addresses, and TLVs that nobody needs but that have to be well-formed.
fn version_2(bytes: &[u8]) -> Result<Source, NoHeader> {
    let (head, rest) = bytes.split_at_checked(16).ok_or(NoHeader)?;
    if rest.len() != usize::from(u16::from_be_bytes([head[14], head[15]])) {
        return Err(NoHeader);
    }
    let is_local = match head[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(NoHeader),
    };
    let (ends, additions) = match head[13] {
        0x11 => {
            let (at, additions) = rest.split_at_checked(12).ok_or(NoHeader)?;
            let ends = Ends {
                source: end::<4>(at, 0, 8).ok_or(NoHeader)?,
                destination: end::<4>(at, 4, 10).ok_or(NoHeader)?,
            };
            (Some(ends), additions)
        }
        0x21 => {
            let (at, additions) = rest.split_at_checked(36).ok_or(NoHeader)?;
            let ends = Ends {
                source: end::<16>(at, 0, 32).ok_or(NoHeader)?,
                destination: end::<16>(at, 16, 34).ok_or(NoHeader)?,
            };
            (Some(ends), additions)
        }
        // A unix socket has no address that anybody could use.
        0x31 => (None, rest.split_at_checked(216).ok_or(NoHeader)?.1),
        // "the receiver must ignore all address information", and whatever stands there with it.
        0x00 => return Ok(Source::Peer),
        _ if is_local => return Ok(Source::Peer),
        _ => return Err(NoHeader),
    };
    well_formed(additions)?;
    Ok(match ends {
        Some(ends) if !is_local => Source::Client(ends),
        _ => Source::Peer,
    })
}

/// The address of `N` bytes at `address`, with the port at `port`.
fn end<const N: usize>(at: &[u8], address: usize, port: usize) -> Option<SocketAddr>
where
    IpAddr: From<[u8; N]>,
{
    let octets: [u8; N] = at.get(address..address + N)?.try_into().ok()?;
    let port = at.get(port..port + 2)?.try_into().ok()?;
    Some((IpAddr::from(octets), u16::from_be_bytes(port)).into())
}

/// Section 2.2.7: a type, two bytes of length, the value.
fn well_formed(mut additions: &[u8]) -> Result<(), NoHeader> {
    while !additions.is_empty() {
        let (head, rest) = additions.split_at_checked(3).ok_or(NoHeader)?;
        let length = usize::from(u16::from_be_bytes([head[1], head[2]]));
        additions = rest.get(length..).ok_or(NoHeader)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).expect("short");
        [
            &SIGNATURE[..],
            &[command, family],
            &length.to_be_bytes(),
            rest,
        ]
        .concat()
    }

    fn client(source: &str, destination: &str) -> Result<Source, NoHeader> {
        Ok(Source::Client(Ends {
            source: source.parse().expect("an address"),
            destination: destination.parse().expect("an address"),
        }))
    }

    const IPV4: [u8; 12] = [192, 0, 2, 7, 203, 0, 113, 1, 0xdc, 0x04, 0x01, 0xbb];

    #[test]
    fn version_1_is_read() {
        let parse = |text: &str| parse(text.as_bytes());
        assert_eq!(
            parse("PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n"),
            client("192.0.2.7:56324", "203.0.113.1:443")
        );
        assert_eq!(
            parse("PROXY TCP6 2001:db8::7 2001:db8::1 56324 443\r\n"),
            client("[2001:db8::7]:56324", "[2001:db8::1]:443")
        );
        assert_eq!(parse("PROXY UNKNOWN\r\n"), Ok(Source::Peer));
        assert_eq!(parse("PROXY UNKNOWN ff::1 what ever\r\n"), Ok(Source::Peer));
    }

    #[test]
    fn version_1_is_strict() {
        for wrong in [
            "",
            "PROXY",
            "PROXY \r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443",
            "PROXY TCP4 192.0.2.7 203.0.113.1 56324\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 56324 443 \r\n",
            "PROXY  TCP4 192.0.2.7 203.0.113.1 56324 443\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 056324 443\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 +56324 443\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 65536 443\r\n",
            "PROXY TCP4 192.0.2.07 203.0.113.1 1 443\r\n",
            "PROXY TCP4 2001:db8::7 2001:db8::1 1 443\r\n",
            "PROXY TCP6 192.0.2.7 203.0.113.1 1 443\r\n",
            "PROXY UDP4 192.0.2.7 203.0.113.1 1 443\r\n",
            "proxy TCP4 192.0.2.7 203.0.113.1 1 443\r\n",
            "PROXY TCP4 192.0.2.7\r 203.0.113.1 1 443\r\n",
            "PROXY TCP4 192.0.2.7 203.0.113.1 1 443\r\n\r\n",
        ] {
            assert_eq!(parse(wrong.as_bytes()), Err(NoHeader), "{wrong:?}");
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 16));
        assert_eq!(long.len(), LONGEST_LINE);
        assert_eq!(parse(long.as_bytes()), Ok(Source::Peer));
        let longer = format!("PROXY UNKNOWN {}\r\n", "x".repeat(LONGEST_LINE - 15));
        assert_eq!(parse(longer.as_bytes()), Err(NoHeader));
    }

    #[test]
    fn version_2_is_read() {
        assert_eq!(
            parse(&v2(0x21, 0x11, &IPV4)),
            client("192.0.2.7:56324", "203.0.113.1:443")
        );
        let mut ipv6 = [0; 36];
        ipv6[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        ipv6[15] = 7;
        ipv6[16..20].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        ipv6[31] = 1;
        ipv6[32..34].copy_from_slice(&56324_u16.to_be_bytes());
        ipv6[34..].copy_from_slice(&443_u16.to_be_bytes());
        assert_eq!(
            parse(&v2(0x21, 0x21, &ipv6)),
            client("[2001:db8::7]:56324", "[2001:db8::1]:443")
        );
        let remarks = [&IPV4[..], &[0x02, 0, 3, b'a', b'b', b'c', 0x04, 0, 0]].concat();
        assert_eq!(
            parse(&v2(0x21, 0x11, &remarks)),
            client("192.0.2.7:56324", "203.0.113.1:443")
        );
        for peer in [
            v2(0x20, 0x00, &[]),
            v2(0x20, 0x11, &IPV4),
            v2(0x21, 0x00, b"what ever"),
            v2(0x21, 0x31, &[0; 216]),
        ] {
            assert_eq!(parse(&peer), Ok(Source::Peer), "{peer:?}");
        }
    }

    #[test]
    fn version_2_is_strict() {
        let good = v2(0x21, 0x11, &IPV4);
        let longer = [&good[..], b"x"].concat();
        for wrong in [
            v2(0x11, 0x11, &IPV4),       // version 1
            v2(0x22, 0x11, &IPV4),       // no command
            v2(0x21, 0x12, &IPV4),       // UDP
            v2(0x21, 0x41, &IPV4),       // no family
            v2(0x21, 0x11, &IPV4[..11]), // too short
            v2(0x21, 0x21, &[0; 35]),
            v2(0x21, 0x31, &[0; 215]),
            v2(0x21, 0x11, &[&IPV4[..], &[2, 0]].concat()), // half a TLV
            v2(0x21, 0x11, &[&IPV4[..], &[2, 0, 9, 1]].concat()), // less than it says
            longer,
            good[..20].to_vec(),
        ] {
            assert_eq!(parse(&wrong), Err(NoHeader), "{wrong:?}");
        }
    }

    #[tokio::test]
    async fn what_follows_is_left_where_it_is() {
        let line = b"PROXY TCP4 192.0.2.7 203.0.113.1 56324 443\r\n".to_vec();
        for header in [line, v2(0x21, 0x11, &IPV4)] {
            // However it comes in pieces.
            for split in 1..header.len() {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                    .await
                    .expect("port");
                let address = listener.local_addr().expect("address");
                let mut near = TcpStream::connect(address).await.expect("connected");
                let (mut far, _) = listener.accept().await.expect("accepted");
                near.set_nodelay(true).expect("set");
                let (first, second) = header.split_at(split);
                let sending = async {
                    use tokio::io::AsyncWriteExt;
                    near.write_all(first).await.expect("sent");
                    tokio::task::yield_now().await;
                    near.write_all(&[second, b"\x16\x03\x01 and so on\n"].concat())
                        .await
                        .expect("sent");
                };
                let (source, ()) = tokio::join!(read(&mut far), sending);
                assert_eq!(
                    source.map_err(|_| NoHeader),
                    client("192.0.2.7:56324", "203.0.113.1:443")
                );
                let mut rest = [0; 13];
                far.read_exact(&mut rest).await.expect("the rest");
                assert_eq!(&rest, b"\x16\x03\x01 and so on");
            }
        }
    }

    #[tokio::test]
    async fn too_long_is_not_read_to_its_end() {
        for long in [
            [&b"PROXY UNKNOWN "[..], &[b'x'; 500]].concat(),
            [&SIGNATURE[..], &[0x21, 0x11, 0xff, 0xff], &[0; 500]].concat(),
            b"\x16\x03\x01 TLS without a header".to_vec(),
        ] {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("port");
            let address = listener.local_addr().expect("address");
            let mut near = TcpStream::connect(address).await.expect("connected");
            let (mut far, _) = listener.accept().await.expect("accepted");
            tokio::io::AsyncWriteExt::write_all(&mut near, &long)
                .await
                .expect("sent");
            assert!(read(&mut far).await.is_err());
        }
    }
}
