//! What the fuzz targets `proxy_headers`, `postgresql`, `responses` and `hellos` do with their input; `gate/tests/seeds.rs`
//! does the same with the seeds.
//!
//! Run one: `cargo fuzz run --sanitizer none proxy_headers seeds/proxy_headers` in `rust/fuzz`.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

use std::{
    io::{Read, Write},
    net::{IpAddr, Shutdown, SocketAddr},
    os::{fd::OwnedFd, unix::net::UnixStream},
};

use gate::{
    proxy_protocol::{self, Ends, Source},
    trial::{self, Answered},
};
use tokio::{io::AsyncReadExt, net::TcpStream, runtime::Runtime};

thread_local! {
    static RUNTIME: Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a runtime");
}

/// Sends `first` to `part`, then `second` when all that has been looked at, and no more; what `part` said, what it left
/// unread, and what it answered.
fn meet<T>(
    first: &[u8],
    second: &[u8],
    part: impl AsyncFnOnce(&mut TcpStream) -> T,
) -> (T, Vec<u8>, Vec<u8>) {
    RUNTIME.with(|runtime| {
        runtime.block_on(async {
            let (mut near, far) = UnixStream::pair().expect("sockets");
            far.set_nonblocking(true).expect("set");
            near.write_all(first).expect("room");
            // A socket is a socket: nothing in here asks for its address.
            let far = std::net::TcpStream::from(OwnedFd::from(far));
            let mut far = TcpStream::from_std(far).expect("registered");
            let (said, ()) = tokio::join!(part(&mut far), async {
                tokio::task::yield_now().await;
                near.write_all(second).ok();
                near.shutdown(Shutdown::Write).ok();
            });
            let (mut left, mut answer) = (Vec::new(), Vec::new());
            far.read_to_end(&mut left).await.expect("the rest");
            drop(far);
            near.read_to_end(&mut answer).expect("the answer");
            (said, left, answer)
        })
    })
}

/// Bytes of a load balancer, the first of them the place where they are cut in two: what is taken is the header and no
/// byte more, however it comes, and it names whom it names.
pub fn proxy_headers(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else {
        return;
    };
    let (first, second) = bytes.split_at(bytes.len().min(usize::from(*cut)));
    let read = async |tcp: &mut TcpStream| proxy_protocol::read(tcp).await.ok();
    let (whole, left, answer) = meet(bytes, b"", read);
    let (cut, left_of_cut, _) = meet(first, second, read);
    assert_eq!(whole, cut);
    assert!(answer.is_empty());
    let Some(source) = whole else {
        return;
    };
    assert_eq!(left, left_of_cut);
    let (header, rest) = bytes.split_at(bytes.len() - left.len());
    assert_eq!(rest, left);
    assert!(header.len() <= 16 + 4096);
    assert_eq!(proxy_protocol::parse(header), Ok(source));
    assert!(proxy_protocol::parse(&bytes[..header.len() - 1]).is_err());
    let (version_1, named) = match std::str::from_utf8(header) {
        Ok(line) if line.starts_with("PROXY ") => (true, named_in_line(line)),
        _ => (false, named_in_bytes(header)),
    };
    // Section 2.1: to the end of the first line; 2.2: so many bytes as it says.
    let length = if version_1 {
        bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1
    } else {
        16 + usize::from(u16::from_be_bytes([header[14], header[15]]))
    };
    assert_eq!(header.len(), length);
    match source {
        Source::Client(ends) => {
            assert_eq!(named, Some(ends));
            passed_on(ends, &left);
        }
        Source::Peer => assert_eq!(named, None),
    }
}

/// What a server is told of these ends names the same, and nothing of the client's name is taken for something else.
fn passed_on(ends: Ends, name: &[u8]) {
    let name = String::from_utf8_lossy(name);
    for header in trial::proxy_headers(ends, &name) {
        assert!(header.len() < 1200);
        let Ok(Source::Client(told)) = proxy_protocol::parse(&header) else {
            panic!("{header:?}");
        };
        for (told, end) in [
            (told.source, ends.source),
            (told.destination, ends.destination),
        ] {
            assert_eq!(told.ip().to_canonical(), end.ip().to_canonical());
            assert_eq!(told.port(), end.port());
        }
    }
}

fn named_in_line(line: &str) -> Option<Ends> {
    let words: Vec<&str> = line.trim_ascii_end().split(' ').collect();
    (words[1] != "UNKNOWN").then(|| {
        assert_eq!(words.len(), 6);
        let end = |address: &str, port: &str| {
            let address: IpAddr = address.parse().unwrap();
            assert_eq!(address.is_ipv4(), words[1] == "TCP4");
            let number: u16 = port.parse().unwrap();
            assert_eq!(number.to_string(), port);
            SocketAddr::from((address, number))
        };
        Ends {
            source: end(words[2], words[4]),
            destination: end(words[3], words[5]),
        }
    })
}

fn named_in_bytes(header: &[u8]) -> Option<Ends> {
    let at = &header[16..];
    let port = |place: usize| u16::from_be_bytes([at[place], at[place + 1]]);
    match (header[12], header[13]) {
        (0x21, 0x11) => {
            let address = |place: usize| <[u8; 4]>::try_from(&at[place..place + 4]).unwrap();
            Some(Ends {
                source: (address(0), port(8)).into(),
                destination: (address(4), port(10)).into(),
            })
        }
        (0x21, 0x21) => {
            let address = |place: usize| <[u8; 16]>::try_from(&at[place..place + 16]).unwrap();
            Some(Ends {
                source: (address(0), port(32)).into(),
                destination: (address(16), port(34)).into(),
            })
        }
        _ => None,
    }
}

/// Bytes of a client of PostgreSQL, the first of them the place where they are cut in two: it is agreed to TLS once, and
/// nothing that came before is taken for what comes after.
pub fn postgresql(data: &[u8]) {
    let Some((cut, bytes)) = data.split_first() else {
        return;
    };
    let (first, second) = bytes.split_at(bytes.len().min(usize::from(*cut)));
    let start = async |tcp: &mut TcpStream| trial::postgresql(tcp).await;
    let whole = meet(bytes, b"", start);
    assert_eq!(whole, meet(first, second, start), "{bytes:?}");
    let (goes_on, left, answer) = whole;
    let taken = &bytes[..bytes.len() - left.len()];
    let (messages, incomplete) = taken.as_chunks::<8>();
    let ssl = [0, 0, 0, 8, 4, 210, 22, 47];
    let gss = [0, 0, 0, 8, 4, 210, 22, 48];
    let expected: (bool, &[u8]) = match messages {
        [] => (!left.is_empty() && left[0] != 0, b""),
        [one] if *one == ssl => (true, b"S"),
        [one] if *one == gss => (!left.is_empty() && left[0] != 0, b"N"),
        [one, two] if *one == gss && *two == ssl => (true, b"NS"),
        [_] => (false, b"E"),
        [one, _] if *one == gss => (false, b"NE"),
        _ => panic!("{taken:?} was read"),
    };
    assert_eq!(goes_on, expected.0, "{bytes:?}");
    assert!(answer.starts_with(expected.1), "{answer:?} to {bytes:?}");
    if let Some(at) = answer.iter().position(|byte| *byte == b'E') {
        let length = u32::from_be_bytes(answer[at + 1..at + 5].try_into().unwrap());
        assert_eq!(answer.len(), at + 1 + length as usize);
    } else {
        assert_eq!(answer.len(), expected.1.len());
    }
    assert!(incomplete.is_empty() || !goes_on && left.is_empty());
}

/// Bytes of a service, the first of them the method that was asked: however they come, they are the same response, and
/// what the client is sent for it is one response again, the same one, with nothing behind it.
pub fn responses(data: &[u8]) {
    let Some((method, bytes)) = data.split_first() else {
        return;
    };
    let method = [http::Method::GET, http::Method::HEAD, http::Method::POST]
        [usize::from(*method) % 3]
        .clone();
    let whole = trial::answered(bytes, &method, usize::MAX);
    // Chunks are passed on as they come.
    let told = |step| {
        let answer = trial::answered(bytes, &method, step)?;
        Ok::<_, &str>(answer.map(|answer| Answered {
            forwarded: Vec::new(),
            ..answer
        }))
    };
    for step in [1, 7] {
        assert_eq!(told(usize::MAX), told(step), "{step}");
    }
    let Ok(Some(answer)) = whole else {
        return;
    };
    assert!(answer.length <= bytes.len());
    check_heads(&answer.forwarded, answer.interim.len());
    if !answer.is_whole {
        return;
    }
    let again = trial::answered(&answer.forwarded, &method, usize::MAX);
    if again == Err("its head is too long") {
        return; // just within the bounds, and with a date beyond them
    }
    let again = again.expect("a response").expect("all of it");
    assert_eq!(again.length, answer.forwarded.len());
    assert!(again.is_whole);
    assert_eq!(
        (&again.interim, again.status, &again.body),
        (&answer.interim, answer.status, &answer.body)
    );
    for (name, value) in &again.trailers {
        assert!(
            (answer.trailers.get_all(name).iter()).any(|before| before == value),
            "{name}"
        );
        assert!(!matches!(
            name.as_str(),
            "set-cookie" | "content-length" | "transfer-encoding" | "connection"
        ));
    }
}

/// One way to know the length, and of the fields of one connection those that the gate wrote; in the heads of so many
/// interim responses and that of the final one.
pub fn check_heads(said: &[u8], interim: usize) {
    let mut rest = said;
    for number in 0..=interim {
        let end = (rest.windows(4))
            .position(|four| four == b"\r\n\r\n")
            .expect("a head ends");
        let lines = rest[..end].split(|byte| *byte == b'\n').skip(1);
        let mut framing = 0;
        for line in lines {
            let colon = line.iter().position(|byte| *byte == b':');
            let (name, value) = line.split_at(colon.expect("a field has a colon"));
            match &name.to_ascii_lowercase()[..] {
                b"content-length" | b"transfer-encoding" => {
                    assert_eq!(number, interim);
                    framing += 1;
                }
                b"connection" => {
                    let value = value[1..].trim_ascii();
                    assert!(value == b"upgrade" || value == b"close");
                }
                b"keep-alive" | b"proxy-connection" => panic!("{name:?}"),
                _ => {}
            }
        }
        assert!(framing <= 1);
        rest = &rest[end + 4..];
    }
}

/// A ClientHello: what is read of it does not depend on the records in which it comes, nor on what comes after it, and is
/// what rustls reads.
pub fn hellos(data: &[u8]) {
    assert!(trial::is_read_alike(data));
    let read = trial::shares(data);
    let more = [data, b"\x16\x03\x01\x00\x01\x01"].concat();
    assert!(read.is_none() || read == trial::shares(&more));
    let Some(message) = data.get(..data.len().min(16_000)) else {
        return;
    };
    // The input once more, as the message within records.
    let records = |size: usize| -> Vec<u8> {
        (message.chunks(size))
            .flat_map(|piece| {
                let length = u16::try_from(piece.len()).unwrap().to_be_bytes();
                [&[22, 3, 1][..], &length, piece].concat()
            })
            .collect()
    };
    let whole = trial::shares(&records(16_384));
    assert!(trial::is_read_alike(&records(16_384)));
    for size in [1, 3, 100] {
        assert_eq!(whole, trial::shares(&records(size)), "{size}");
    }
    assert!(whole.is_none_or(|groups| groups.len() <= message.len() / 4));
}
