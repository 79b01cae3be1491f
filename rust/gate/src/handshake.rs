//! From a TCP connection to a client that we have met: the site by SNI, TLS, and what it told.
//!
//! Does not judge; [`crate::serve`] does that next.

use std::{io, net::SocketAddr, rc::Rc};

use rustls::{CertificateError, HandshakeKind, NamedGroup, ProtocolVersion, server::Acceptor};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use tokio_rustls::{LazyConfigAcceptor, server::TlsStream};

use crate::{connection::Met, counters::Handshake, identity::TlsFacts, worker::Worker};

/// RFC 8446 5.1 and 6.2, RFC 6066 3: a record with the fatal alert unrecognized_name.
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

/// Most bytes that TLS buffers for a client that reads slowly.
const BUFFER_LIMIT: usize = 64 * 1024;

/// Shakes hands, within the time that the settings give. The error is how it is counted.
pub(crate) async fn shake(
    worker: &Rc<Worker>,
    tcp: TcpStream,
    peer: SocketAddr,
    port: u16,
) -> Result<(TlsStream<TcpStream>, Met), Handshake> {
    let limit = worker.state().config.settings.timeouts.handshake;
    let tls = match tokio::time::timeout(limit, accept(worker, tcp)).await {
        Ok(result) => result?,
        Err(_) => return Err(Handshake::Timeout),
    };
    let met = met(&tls, peer, port);
    Ok((tls, met))
}

async fn accept(worker: &Rc<Worker>, tcp: TcpStream) -> Result<TlsStream<TcpStream>, Handshake> {
    let mut start = LazyConfigAcceptor::new(Acceptor::default(), tcp)
        .await
        .map_err(|error| kind(&error))?;
    let config = {
        let state = worker.state();
        let site = match start.client_hello().server_name() {
            Some(name) => state.snapshot.site_of(name),
            None => state.snapshot.default_site(),
        };
        site.map(|site| state.site(site).tls.config(site, &worker.shared.state))
    };
    match config {
        Some(Some(config)) => {
            let stream = start.into_stream_with(config, |session| {
                session.set_buffer_limit(Some(BUFFER_LIMIT))
            });
            stream.await.map_err(|error| kind(&error))
        }
        Some(None) => Err(Handshake::Other),
        None => {
            // No page of a site that was not asked for: whose certificate would it bear?
            let _ = start.io.write_all(&UNRECOGNIZED_NAME).await;
            let _ = start.io.shutdown().await;
            Err(Handshake::UnknownName)
        }
    }
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

fn met(tls: &TlsStream<TcpStream>, peer: SocketAddr, port: u16) -> Met {
    let (_, session) = tls.get_ref();
    let version = match session.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    };
    let cipher = session
        .negotiated_cipher_suite()
        .and_then(|suite| suite.suite().as_str())
        .unwrap_or_default();
    let group = session
        .negotiated_key_exchange_group()
        .map(|group| group_name(group.name()))
        .unwrap_or_default();
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    let sni = session.server_name().unwrap_or_default();
    let alpn = session
        .alpn_protocol()
        .and_then(|name| str::from_utf8(name).ok())
        .unwrap_or_default();
    // RFC 8446 names suites without the key exchange; rustls puts the version in front.
    let cipher = cipher.replacen("TLS13_", "TLS_", 1);
    let facts = TlsFacts {
        version,
        cipher: &cipher,
        group,
        resumed,
        sni,
        alpn,
    };
    Met {
        peer,
        port,
        facts: facts.value(),
        sni: sni.into(),
        is_h2: alpn == "h2",
        version,
        resumed,
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
