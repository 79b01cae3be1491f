//! Key exchange: the hybrid group wherever the client has brought a share for it, and a round trip more for nobody.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::sync::Arc;

use rustls::{
    ClientConfig, HandshakeKind, NamedGroup,
    client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue},
    crypto::{SupportedKxGroup, aws_lc_rs, aws_lc_rs::kx_group},
    pki_types::ServerName,
    version::{TLS12, TLS13},
};
use support::{World, client::Hello};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A client that remembers for which group to send a share, and no session.
#[derive(Debug)]
struct Remembers(NamedGroup);

impl ClientSessionStore for Remembers {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        Some(self.0)
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, _: Tls13ClientSessionValue) {}
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        None
    }
}

/// The group that a client agrees on which lists `named` in this order and sends a share for `shared`, and how.
async fn agreed(
    world: &World,
    named: &[&'static dyn SupportedKxGroup],
    shared: NamedGroup,
    version: &'static rustls::SupportedProtocolVersion,
) -> (NamedGroup, HandshakeKind) {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = named.to_vec();
    let hello = Hello::new("a.test").root(&world.pki);
    let mut config: ClientConfig = hello.version(version).config_with(provider);
    config.resumption = Resumption::store(Arc::new(Remembers(shared)));
    let tcp = TcpStream::connect(world.address()).await.unwrap();
    let name = ServerName::try_from("a.test").unwrap();
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let tls = tls.await.unwrap();
    let session = tls.get_ref().1;
    (
        session.negotiated_key_exchange_group().unwrap().name(),
        session.handshake_kind().unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hybrid_group_is_taken_where_there_is_a_share_and_costs_nobody_a_round_trip() {
    let world = World::new().await;
    let (hybrid, classic) = (kx_group::X25519MLKEM768, kx_group::X25519);
    for (named, shared, version, expected, kind) in [
        (
            &[hybrid, classic][..],
            NamedGroup::X25519MLKEM768,
            &TLS13,
            NamedGroup::X25519MLKEM768,
            HandshakeKind::Full,
        ),
        // The client prefers the other one, and has brought both shares.
        (
            &[classic, hybrid],
            NamedGroup::X25519MLKEM768,
            &TLS13,
            NamedGroup::X25519MLKEM768,
            HandshakeKind::Full,
        ),
        // It could, but has brought a share for X25519 alone.
        (
            &[hybrid, classic],
            NamedGroup::X25519,
            &TLS13,
            NamedGroup::X25519,
            HandshakeKind::Full,
        ),
        (
            &[classic],
            NamedGroup::X25519,
            &TLS13,
            NamedGroup::X25519,
            HandshakeKind::Full,
        ),
        (
            &[hybrid, classic],
            NamedGroup::X25519,
            &TLS12,
            NamedGroup::X25519,
            HandshakeKind::Full,
        ),
        (
            &[kx_group::SECP256R1, hybrid],
            NamedGroup::secp256r1,
            &TLS13,
            NamedGroup::secp256r1,
            HandshakeKind::Full,
        ),
    ] {
        let found = agreed(&world, named, shared, version).await;
        assert_eq!(found, (expected, kind), "{named:?} {shared:?}");
    }
}
