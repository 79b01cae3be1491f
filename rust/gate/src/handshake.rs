//! From a TCP connection to a client that we have met: the site by SNI, TLS, and what it told.
//!
//! Does not judge; [`crate::serve`] does that next.

use std::{
    cell::OnceCell,
    future::poll_fn,
    io,
    mem::{self, MaybeUninit},
    pin::Pin,
    rc::Rc,
    task::{Poll, ready},
    time::{Duration, Instant},
};

use rustls::{
    CertificateError, CipherSuite, HandshakeKind, NamedGroup, ProtocolVersion,
    server::{AcceptedAlert, Acceptor},
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};

use crate::{
    connection::Met,
    counters::Handshake,
    hello::{Hello, is_plain_http, plain_http_answer},
    limits, postgresql,
    proxy_protocol::Ends,
    tls_stream::TlsStream,
    worker::Worker,
};

/// RFC 8446 5.1 and 6.2, RFC 6066 3: a record with the fatal alert unrecognized_name.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Bytes that are read at once of what a client begins with: a ClientHello has 200 to 600, with a hybrid key share and a
/// ticket some 4,000.
const FIRST_BYTES: usize = 4096;

/// How long a client has to take the last words of a connection that comes to nothing.
const LINGER: Duration = Duration::from_secs(1);

/// Shakes hands, within the time that the settings give; says, too, whether what comes through TLS is passed on unread.
/// The error is how it is counted.
pub(crate) async fn shake(
    worker: &Rc<Worker>,
    tcp: TcpStream,
    ends: Ends,
    port: u16,
) -> Result<(Box<TlsStream>, Met, bool), Handshake> {
    let began = Instant::now();
    let limit = worker.state().config.settings.timeouts.handshake;
    let accepted = limits::patiently(worker, limit, accept(worker, tcp, port));
    let (tls, name, is_stream) = match accepted.await {
        Some(result) => result?,
        None => return Err(Handshake::Timeout),
    };
    let met = met(&tls, name, ends, port, began.elapsed());
    Ok((tls, met, is_stream))
}

async fn accept(
    worker: &Rc<Worker>,
    mut tcp: TcpStream,
    port: u16,
) -> Result<(Box<TlsStream>, Box<str>, bool), Handshake> {
    if worker.state().config.starts_postgresql {
        postgresql::start(&mut tcp).await?;
    }
    let (hello, received) = match first(&mut tcp).await {
        Ok(First::Hello(hello, received)) => (hello, received),
        Ok(First::Http(received)) => {
            let answer = plain_http_answer(&worker.state(), port, &received);
            last_words(tcp, &answer).await;
            return Err(Handshake::PlainHttp);
        }
        Ok(First::Wrong(mut alert)) => {
            let mut bytes = Vec::new();
            let _ = alert.write_all(&mut bytes);
            last_words(tcp, &bytes).await;
            return Err(Handshake::Protocol);
        }
        Err(_) => return Err(Handshake::Closed),
    };
    let config = {
        let state = worker.state();
        let site = match &*hello.name {
            "" => state.snapshot.default_site(),
            name => state.snapshot.site_of(name),
        };
        if let Some(site) = site
            && !limits::may_shake(worker, state.site(site))
        {
            return Err(Handshake::Limit);
        }
        let config = |site| {
            let tls = &state.site(site).tls;
            tls.config(site, hello.groups, hello.suites, &worker.shared.state)
        };
        site.map(|site| (config(site), state.site(site).is_stream))
    };
    match config {
        Some((Some(config), is_stream)) => {
            let mut stream = TlsStream::new(tcp, config).map_err(|_| Handshake::Other)?;
            match stream.shake(received).await {
                Ok(()) => Ok((stream, hello.name, is_stream)),
                Err(error) => Err(kind(&error)),
            }
        }
        Some((None, _)) => Err(Handshake::Other),
        None => {
            // No page of a site that was not asked for: whose certificate would it bear?
            last_words(tcp, &UNRECOGNIZED_NAME).await;
            Err(Handshake::UnknownName)
        }
    }
}

/// What a client begins with.
enum First {
    /// And all that was received.
    Hello(Hello, Vec<u8>),
    /// HTTP in the clear, and how it begins.
    Http(Vec<u8>),
    /// Nothing that we understand, and the alert that says so.
    Wrong(AcceptedAlert),
}

/// Reads until there is a ClientHello, or clearly none. rustls bounds how much that can be.
async fn first(tcp: &mut TcpStream) -> io::Result<First> {
    let mut acceptor = None;
    let mut received = Vec::new();
    poll_fn(|cx| {
        loop {
            let mut room = [MaybeUninit::uninit(); FIRST_BYTES];
            let mut chunk = ReadBuf::uninit(&mut room);
            ready!(Pin::new(&mut *tcp).poll_read(cx, &mut chunk))?;
            let mut chunk = chunk.filled();
            if chunk.is_empty() {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            received.extend_from_slice(chunk);
            if is_plain_http(&received) {
                return Poll::Ready(Ok(First::Http(mem::take(&mut received))));
            }
            // Most are here at once.
            if acceptor.is_none()
                && let Some(hello) = Hello::read(&received)
            {
                return Poll::Ready(Ok(First::Hello(hello, mem::take(&mut received))));
            }
            let acceptor = acceptor.get_or_insert_with(Acceptor::default);
            while !chunk.is_empty() {
                acceptor.read_tls(&mut chunk)?;
            }
            match acceptor.accept() {
                Ok(Some(accepted)) => {
                    let hello = Hello::of(&accepted, &received);
                    return Poll::Ready(Ok(First::Hello(hello, mem::take(&mut received))));
                }
                Ok(None) => {}
                Err((_, alert)) => return Poll::Ready(Ok(First::Wrong(alert))),
            }
        }
    })
    .await
}

/// Says `bytes` and closes, so that they arrive: what the client has sent meanwhile is read, or the system would cut it off.
async fn last_words(mut tcp: TcpStream, bytes: &[u8]) {
    let _ = tcp.write_all(bytes).await;
    let _ = tcp.shutdown().await;
    let mut left = [0; 1024];
    let _ = tokio::time::timeout(LINGER, async {
        for _ in 0..64 {
            if !matches!(tcp.read(&mut left).await, Ok(1..)) {
                return;
            }
        }
    })
    .await;
}

/// How a handshake failed.
fn kind(error: &io::Error) -> Handshake {
    let Some(error) = error
        .get_ref()
        .and_then(|error| error.downcast_ref::<rustls::Error>())
    else {
        return Handshake::Closed;
    };
    match error {
        rustls::Error::InvalidCertificate(CertificateError::BadSignature) => Handshake::Possession,
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Handshake::Refused
        }
        rustls::Error::AlertReceived(_) => Handshake::Alert,
        _ => Handshake::Protocol,
    }
}

fn met(tls: &TlsStream, sni: Box<str>, ends: Ends, port: u16, took: Duration) -> Met {
    let session = tls.session();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    };
    let cipher = session
        .negotiated_cipher_suite()
        .map(|suite| suite_name(suite.suite()))
        .unwrap_or_default();
    let group = session
        .negotiated_key_exchange_group()
        .map(|group| group_name(group.name()))
        .unwrap_or_default();
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    // Those that the settings of a site can offer.
    let alpn = match session.alpn_protocol() {
        Some(b"h2") => "h2",
        Some(b"http/1.1") => "http/1.1",
        Some(b"postgresql") => "postgresql",
        _ => "",
    };
    Met {
        peer: ends.source,
        local: ends.destination,
        port,
        sni,
        is_h2: alpn == "h2",
        version,
        cipher,
        group,
        resumed,
        took,
        alpn,
        facts: OnceCell::new(),
    }
}

/// As in the IANA registry "TLS Cipher Suites": RFC 8446 names suites without the key exchange, and rustls puts the
/// version in front.
fn suite_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or_default(),
    }
}

/// As in the IANA registry "TLS Supported Groups".
fn group_name(group: NamedGroup) -> &'static str {
    match group {
        NamedGroup::X25519 => "x25519",
        NamedGroup::secp256r1 => "secp256r1",
        NamedGroup::secp384r1 => "secp384r1",
        NamedGroup::X25519MLKEM768 => "X25519MLKEM768",
        _ => "",
    }
}
