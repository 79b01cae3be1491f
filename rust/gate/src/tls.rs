//! TLS for one site: which versions, keys and tickets, and how a client certificate is asked for.
//!
//! Knows rustls. Does not know sockets or HTTP; that a chain is good is asked of the judge, once, where a site wants
//! refusals told by an alert.
//!
//! A site has tickets of its own, and more than one set: a session is never resumed at another site, nor after the way
//! of asking for certificates has changed. Only sessions of admitted clients are resumed ([`crate::tickets`]), and what
//! is resumed is judged like any other connection, after the handshake.

use std::sync::{Arc, OnceLock, Weak};

use arc_swap::ArcSwap;
use judge::{Reason, Verdict, record::OnRefusal};
use rustls::{
    CertificateError, Error, NamedGroup, ProtocolVersion, ServerConfig,
    crypto::{
        ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SupportedKxGroup,
        aws_lc_rs::{self, kx_group},
    },
    ffdhe_groups::FfdheGroup,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{possession::Possession, state::State, tickets::ClientTickets};

/// How a site asks for a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Asking {
    /// Not at all.
    No,
    /// Yes, and whatever comes is judged after the handshake.
    Defer,
    /// Yes, and a bad one ends the handshake.
    Alert,
    /// Yes, and a bad one or none ends the handshake.
    AlertWithout,
}

/// In which groups keys are agreed on (RFC 8446 4.2.7); [`crate::hello`] chooses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Groups {
    /// Of X25519 and its like.
    Classic,
    /// X25519MLKEM768, which no quantum computer undoes later (draft-ietf-tls-ecdhe-mlkem). In TLS 1.2, which has no such
    /// thing, as above.
    Hybrid,
}

/// The TLS configurations of a site, each made when it is first needed.
#[derive(Debug)]
pub(crate) struct SiteTls {
    key: Arc<CertifiedKey>,
    http2: bool,
    configs: [OnceLock<Option<Configs>>; 4],
}

/// One for each of [`Groups`], alike in all else; they share their tickets.
type Configs = [Arc<ServerConfig>; 2];

impl SiteTls {
    pub(crate) fn new(key: Arc<CertifiedKey>, http2: bool) -> Self {
        SiteTls {
            key,
            http2,
            configs: Default::default(),
        }
    }

    /// The configuration for a handshake with `site` as it is now; `None` if the system gives no random numbers. `state`
    /// is where the snapshot will be, for a judgement inside a handshake.
    pub(crate) fn config(
        &self,
        site: &judge::Site,
        groups: Groups,
        state: &Arc<ArcSwap<State>>,
    ) -> Option<Arc<ServerConfig>> {
        let asking = match (site.asks(), site.on_refusal()) {
            (false, _) => Asking::No,
            (true, OnRefusal::Alert) if site.requires() => Asking::AlertWithout,
            (true, OnRefusal::Alert) => Asking::Alert,
            (true, OnRefusal::Page | OnRefusal::Close) => Asking::Defer,
        };
        self.configs[asking as usize]
            .get_or_init(|| self.make(asking, state).ok())
            .as_ref()
            .map(|configs| configs[groups as usize].clone())
    }

    fn make(&self, asking: Asking, state: &Arc<ArcSwap<State>>) -> Result<Configs, Error> {
        let ticketer = aws_lc_rs::Ticketer::new()?;
        let ticketer = match asking {
            Asking::No => ticketer,
            _ => Arc::new(ClientTickets::new(ticketer, Arc::downgrade(state))),
        };
        let of = |groups| -> Result<Arc<ServerConfig>, Error> {
            let mut config = self.without_tickets(asking, groups, state)?;
            config.ticketer = ticketer.clone();
            Ok(Arc::new(config))
        };
        Ok([of(Groups::Classic)?, of(Groups::Hybrid)?])
    }

    fn without_tickets(
        &self,
        asking: Asking,
        groups: Groups,
        state: &Arc<ArcSwap<State>>,
    ) -> Result<ServerConfig, Error> {
        let provider = provider(groups);
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?;
        let builder = match asking {
            Asking::No => builder.with_no_client_auth(),
            Asking::Defer => {
                builder.with_client_cert_verifier(Arc::new(Possession::deferring(provider)))
            }
            Asking::Alert | Asking::AlertWithout => {
                let state = Arc::downgrade(state); // the state holds this configuration
                let objection = Box::new(move |chain: &[&[u8]], at| object(&state, chain, at));
                let mandatory = asking == Asking::AlertWithout;
                builder.with_client_cert_verifier(Arc::new(Possession::alerting(
                    provider, mandatory, objection,
                )))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(OneKey(self.key.clone())));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        if self.http2 {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        // Stateless tickets for both versions: nothing to keep, and nothing that another site could look up.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        config.max_early_data_size = 0; // RFC 8446 8: early data can be replayed
        Ok(config)
    }
}

/// What the judge has against a chain that a client of an alerting site shows.
fn object(state: &Weak<ArcSwap<State>>, chain: &[&[u8]], at: i64) -> Result<(), CertificateError> {
    let Some(state) = state.upgrade() else {
        return Err(CertificateError::ApplicationVerificationFailure);
    };
    match judge::decide(chain, at, &state.load_full().snapshot) {
        Verdict::Admitted(_) => Ok(()),
        Verdict::Refused(refusal) => Err(alert(refusal.reason)),
    }
}

/// RFC 8446 6.2: the alert that comes nearest to a reason.
fn alert(reason: Reason) -> CertificateError {
    match reason {
        Reason::Malformed => CertificateError::BadEncoding,
        Reason::BadSignature => CertificateError::BadSignature,
        Reason::UnknownIssuer => CertificateError::UnknownIssuer,
        Reason::NotYetValid => CertificateError::NotValidYet,
        Reason::Expired => CertificateError::Expired,
        Reason::NotForClientAuth => CertificateError::InvalidPurpose,
        Reason::Revoked => CertificateError::Revoked,
        _ => CertificateError::ApplicationVerificationFailure,
    }
}

/// aws-lc-rs with the groups that are wanted. rustls takes the first of the client's list that is among ours, whether the
/// client has sent a share for it or not, so ours must hold none that is not to be taken.
fn provider(groups: Groups) -> Arc<CryptoProvider> {
    static PROVIDERS: OnceLock<[Arc<CryptoProvider>; 2]> = OnceLock::new();
    let providers = PROVIDERS.get_or_init(|| {
        let with = |kx_groups| {
            Arc::new(CryptoProvider {
                kx_groups,
                ..aws_lc_rs::default_provider()
            })
        };
        [
            with(vec![
                kx_group::X25519,
                kx_group::SECP256R1,
                kx_group::SECP384R1,
            ]),
            with(vec![
                kx_group::X25519MLKEM768,
                &OLD_X25519,
                &OLD_SECP256R1,
                &OLD_SECP384R1,
            ]),
        ]
    });
    providers[groups as usize].clone()
}

/// A group that is used in TLS 1.2 alone.
#[derive(Debug)]
struct Tls12Only(&'static dyn SupportedKxGroup);

static OLD_X25519: Tls12Only = Tls12Only(kx_group::X25519);
static OLD_SECP256R1: Tls12Only = Tls12Only(kx_group::SECP256R1);
static OLD_SECP384R1: Tls12Only = Tls12Only(kx_group::SECP384R1);

impl SupportedKxGroup for Tls12Only {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        self.0.start()
    }

    fn start_and_complete(&self, peer_pub_key: &[u8]) -> Result<CompletedKeyExchange, Error> {
        self.0.start_and_complete(peer_pub_key)
    }

    fn ffdhe_group(&self) -> Option<FfdheGroup<'static>> {
        self.0.ffdhe_group()
    }

    fn name(&self) -> NamedGroup {
        self.0.name()
    }

    fn fips(&self) -> bool {
        self.0.fips()
    }

    fn usable_for_version(&self, version: ProtocolVersion) -> bool {
        version == ProtocolVersion::TLSv1_2
    }
}

/// The site was chosen before the handshake began, so there is one answer.
#[derive(Debug)]
struct OneKey(Arc<CertifiedKey>);

impl ResolvesServerCert for OneKey {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
