//! TLS for one site: which versions, keys and tickets, and how a client certificate is asked for.
//!
//! Knows rustls. Does not know sockets or HTTP; that a chain is good is asked of the judge, once, where a site wants
//! refusals told by an alert.
//!
//! A site has tickets of its own, and more than one set: a session is never resumed at another site, nor after the way
//! of asking for certificates has changed. Only sessions of admitted clients are resumed ([`crate::tickets`]), and what
//! is resumed is judged like any other connection, after the handshake.

use std::sync::{Arc, OnceLock, Weak};

use arc_swap::{ArcSwap, ArcSwapOption};
use judge::{Reason, Snapshot, Verdict, record::OnRefusal};
use rustls::{
    CertificateError, CipherSuite, DistinguishedName, Error, NamedGroup, ProtocolVersion,
    ServerConfig,
    crypto::{
        ActiveKeyExchange, CompletedKeyExchange, CryptoProvider, SupportedKxGroup,
        aws_lc_rs::{self, kx_group},
    },
    ffdhe_groups::FfdheGroup,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::CertifiedKey,
};

use crate::{
    key_log::KeyLog,
    possession::Possession,
    settings::{Profile, Speaks, TlsOptions},
    standing::unix_now,
    state::State,
    tickets::{ClientTickets, TicketKeys},
};

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

/// Whose order of cipher suites counts (RFC 8446 4.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Suites {
    /// Ours: those with AES-128 and SHA-256 first, which processors have instructions for. Clients with OpenSSL name AES-256
    /// with SHA-384 first, and its key schedule costs as much as a signature.
    Ours,
    /// The client's, who has no instructions for AES.
    Theirs,
}

impl Suites {
    /// By what the client names first.
    pub(crate) fn of(mut named: impl Iterator<Item = CipherSuite>) -> Suites {
        let first = named.find(|suite| !is_grease(suite));
        match first.as_ref().and_then(CipherSuite::as_str) {
            Some(name) if name.contains("CHACHA20") => Suites::Theirs,
            _ => Suites::Ours,
        }
    }
}

/// RFC 8701: values that stand for nothing, to keep servers used to what they do not know.
fn is_grease(suite: &CipherSuite) -> bool {
    let number = u16::from(*suite);
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

/// Most bytes of names that go out with the request for a certificate: with them the server's first flight still fits into
/// the 14 KiB that are sent without waiting for the client (RFC 6928).
const MOST_HINT_BYTES: usize = 8 * 1024;

/// The TLS configurations of a site, each made when it is first needed.
#[derive(Debug)]
pub(crate) struct SiteTls {
    key: Arc<CertifiedKey>,
    options: TlsOptions,
    key_log: Option<Arc<KeyLog>>,
    /// Of each way of asking.
    tickets: [OnceLock<Option<Arc<TicketKeys>>>; 4],
    unhinted: Asked,
    /// Those that name authorities, where that is wanted and can be: they change with the snapshot.
    hinted: ArcSwapOption<Asked>,
}

/// The configurations that name the same authorities, by the way of asking.
#[derive(Debug, Default)]
struct Asked {
    names: Arc<[DistinguishedName]>,
    configs: [OnceLock<Option<Configs>>; 4],
}

/// One for each of [`Groups`] with each of [`Suites`], alike in all else.
type Configs = [[Arc<ServerConfig>; 2]; 2];

impl SiteTls {
    pub(crate) fn new(
        key: Arc<CertifiedKey>,
        options: TlsOptions,
        key_log: Option<Arc<KeyLog>>,
    ) -> Self {
        SiteTls {
            key,
            options,
            key_log,
            tickets: Default::default(),
            unhinted: Asked::default(),
            hinted: ArcSwapOption::empty(),
        }
    }

    /// Takes note of the authorities whose clients `snapshot` admits at `site`, if they are to be named.
    pub(crate) fn hint(&self, site: &judge::Site, snapshot: &Snapshot) {
        if !self.options.ca_hints {
            return;
        }
        let names = snapshot.issuer_names(site, unix_now(), MOST_HINT_BYTES);
        let names = names.unwrap_or_default().into_iter();
        let names: Arc<[_]> = names
            .map(|name| DistinguishedName::from(name.to_vec()))
            .collect();
        let before = self.hinted.load();
        let before = before.as_ref().map_or(&[][..], |asked| &asked.names);
        let as_before = before.iter().map(|name| name.as_ref());
        if !as_before.eq(names.iter().map(|name| name.as_ref())) {
            let configs = Default::default();
            let asked = Asked { names, configs };
            let some = !asked.names.is_empty();
            self.hinted.store(some.then(|| Arc::new(asked)));
        }
    }

    /// The configuration for a handshake with `site` as it is now; `None` if the system gives no random numbers. `state`
    /// is where the snapshot will be, for a judgement inside a handshake.
    pub(crate) fn config(
        &self,
        site: &judge::Site,
        groups: Groups,
        suites: Suites,
        state: &Arc<ArcSwap<State>>,
    ) -> Option<Arc<ServerConfig>> {
        let asking = match (site.asks(), site.on_refusal()) {
            (false, _) => Asking::No,
            (true, OnRefusal::Alert) if site.requires() => Asking::AlertWithout,
            (true, OnRefusal::Alert) => Asking::Alert,
            (true, OnRefusal::Page | OnRefusal::Close) => Asking::Defer,
        };
        if self.options.ca_hints
            && let Some(asked) = &*self.hinted.load()
        {
            return self.of(asked, site, asking, groups, suites, state);
        }
        self.of(&self.unhinted, site, asking, groups, suites, state)
    }

    fn of(
        &self,
        asked: &Asked,
        site: &judge::Site,
        asking: Asking,
        groups: Groups,
        suites: Suites,
        state: &Arc<ArcSwap<State>>,
    ) -> Option<Arc<ServerConfig>> {
        let make = |groups| self.make(&asked.names, site.name(), asking, groups, state);
        asked.configs[asking as usize]
            .get_or_init(|| Some([make(Groups::Classic).ok()?, make(Groups::Hybrid).ok()?]))
            .as_ref()
            .map(|configs| configs[groups as usize][suites as usize].clone())
    }

    fn make(
        &self,
        names: &Arc<[DistinguishedName]>,
        site: &str,
        asking: Asking,
        groups: Groups,
        state: &Arc<ArcSwap<State>>,
    ) -> Result<[Arc<ServerConfig>; 2], Error> {
        let provider = provider(groups);
        let versions = match self.options.profile {
            Profile::Modern => &[&rustls::version::TLS13][..],
            Profile::Compatible => &[&rustls::version::TLS13, &rustls::version::TLS12],
        };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(versions)?;
        let names = names.clone();
        let builder = match asking {
            Asking::No => builder.with_no_client_auth(),
            Asking::Defer => {
                builder.with_client_cert_verifier(Arc::new(Possession::deferring(provider, names)))
            }
            Asking::Alert | Asking::AlertWithout => {
                let state = Arc::downgrade(state); // the state holds this configuration
                let only = self.options.speaks.is_stream().then(|| site.to_owned());
                let objection =
                    Box::new(move |chain: &[&[u8]], at| object(&state, only.as_deref(), chain, at));
                let mandatory = asking == Asking::AlertWithout;
                builder.with_client_cert_verifier(Arc::new(Possession::alerting(
                    provider, names, mandatory, objection,
                )))
            }
        };
        let mut config = builder.with_cert_resolver(Arc::new(OneKey(self.key.clone())));
        config.alpn_protocols = match self.options.speaks {
            Speaks::Http if self.options.http2 => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
            Speaks::Http => vec![b"http/1.1".to_vec()],
            Speaks::Tcp => Vec::new(),
            // Registered for connections that begin with TLS at once.
            Speaks::Postgresql => vec![b"postgresql".to_vec()],
        };
        // Stateless tickets for both versions: nothing to keep, and nothing that another site could look up.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        if let Some(keys) = self.ticket_keys(asking)? {
            config.send_tls13_tickets = 1;
            config.ticketer = match asking {
                Asking::No => keys,
                _ => Arc::new(ClientTickets::new(keys, Arc::downgrade(state))),
            };
        }
        if let Some(key_log) = &self.key_log {
            config.key_log = key_log.clone();
        }
        config.ignore_client_order = true;
        let mut theirs = config.clone();
        theirs.ignore_client_order = false;
        Ok([Arc::new(config), Arc::new(theirs)])
    }

    /// The same for all configurations of one way of asking; `None` where sessions are not resumed.
    fn ticket_keys(&self, asking: Asking) -> Result<Option<Arc<TicketKeys>>, Error> {
        // A session that is resumed has no handshake that could end with an alert, and nobody reads a page.
        let is_stream = self.options.speaks.is_stream();
        let Some(life) = self.options.resumption.filter(|_| !is_stream) else {
            return Ok(None);
        };
        let keys = self.tickets[asking as usize]
            .get_or_init(|| TicketKeys::new(life).ok().map(Arc::new))
            .clone();
        keys.map(Some).ok_or(Error::FailedToGetRandomBytes)
    }
}

/// What the judge has against a chain that a client of an alerting site shows. Where the site has one route only, named
/// `only`, who may not pass there has no business in it.
fn object(
    state: &Weak<ArcSwap<State>>,
    only: Option<&str>,
    chain: &[&[u8]],
    at: i64,
) -> Result<(), CertificateError> {
    let Some(state) = state.upgrade() else {
        return Err(CertificateError::ApplicationVerificationFailure);
    };
    let snapshot = &state.load_full().snapshot;
    let verdict = judge::decide(chain, at, snapshot);
    if let Verdict::Refused(refusal) = &verdict {
        return Err(alert(refusal.reason));
    }
    let Some(name) = only else {
        return Ok(());
    };
    let site = snapshot.sites().iter().find(|site| site.name() == name);
    match site.and_then(|site| site.routes().first()) {
        Some(route) => match judge::authorize(&verdict, route) {
            Ok(_) => Ok(()),
            Err(refusal) => Err(alert(refusal.reason)),
        },
        None => Err(CertificateError::ApplicationVerificationFailure),
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
            let mut provider = aws_lc_rs::default_provider();
            // Stable, and the version chooses among them before their order does.
            provider.cipher_suites.sort_by_key(|suite| {
                let name = suite.suite().as_str().unwrap_or_default();
                !name.contains("AES_128")
            });
            provider.kx_groups = kx_groups;
            Arc::new(provider)
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
