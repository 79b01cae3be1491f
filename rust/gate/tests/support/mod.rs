//! A gate on loopback in front of an upstream that shows what it was sent, and clients that send exactly what they are told.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used)]

pub mod client;
pub mod pki;
pub mod upstream;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use gate::{Gate, Settings};
use judge::{
    Snapshot,
    record::{
        Admits, AuthorityRecord, Batch, ClientRecord, CredentialRecord, Mode, OnRefusal, Removed,
        RevocationRecord, RouteRecord, SiteRecord,
    },
};
use serde::Serialize;

use client::{Client, Hello};
use pki::{Identity, Pki};
use upstream::Upstream;

/// How long a test waits for what must come.
pub const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Serialize)]
pub struct WireSettings {
    pub listen: Vec<String>,
    pub plain_listen: Vec<String>,
    pub proxy_protocol_from: Vec<String>,
    pub workers: usize,
    pub sites: Vec<WireSite>,
    pub upstreams: Vec<WireUpstream>,
    pub routes: Vec<Vec<WireRoute>>,
    pub access_log: String,
    pub access_format: String,
    pub limits: WireLimits,
    pub timeouts: WireTimeouts,
    pub public_port: Option<u16>,
    pub resumption: f64,
    pub key_log: String,
    pub tracing: Option<WireTracing>,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireTracing {
    pub sample: f64,
    pub accept: bool,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireSite {
    pub name: String,
    #[serde(with = "serde_bytes")]
    pub certificate_pem: Vec<u8>,
    #[serde(with = "serde_bytes")]
    pub key_pem: Vec<u8>,
    pub tls_profile: &'static str,
    pub ca_hints: bool,
    pub speaks: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireUpstream {
    pub name: String,
    pub servers: Vec<WireServer>,
    pub balance: &'static str,
    pub protocol: &'static str,
    pub tls: Option<WireTls>,
    pub waits: WireWaits,
    pub ejection: WireEjection,
    pub health: Option<WireHealth>,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireEjection {
    pub failures: u32,
    pub time: f64,
    pub most_percent: u32,
    pub status: Vec<u16>,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireHealth {
    pub path: Option<String>,
    pub status: Vec<u16>,
    pub interval: f64,
    pub timeout: f64,
    pub rise: u32,
    pub fall: u32,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireTls {
    #[serde(with = "serde_bytes")]
    pub ca_pem: Vec<u8>,
    pub server_name: Option<String>,
    #[serde(with = "serde_bytes")]
    pub certificate_pem: Option<Vec<u8>>,
    #[serde(with = "serde_bytes")]
    pub key_pem: Option<Vec<u8>>,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireServer {
    pub address: String,
    pub drain: bool,
}

#[derive(Debug, Clone, Default, Serialize)]
pub struct WireWaits {
    pub connect: Option<f64>,
    pub response: Option<f64>,
    pub total: Option<f64>,
}

impl WireUpstream {
    /// An upstream with servers at these addresses.
    pub fn at(addresses: &[String]) -> WireUpstream {
        WireUpstream {
            name: addresses[0].clone(),
            servers: (addresses.iter())
                .map(|address| WireServer {
                    address: address.clone(),
                    drain: false,
                })
                .collect(),
            balance: "round_robin",
            protocol: "http/1.1",
            tls: None,
            waits: WireWaits::default(),
            ejection: WireEjection {
                failures: 5,
                time: 30.0,
                most_percent: 50,
                status: Vec::new(),
            },
            health: None,
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub struct WireRoute {
    pub path: String,
    pub pass_identity_names: bool,
    pub tls_facts: bool,
    pub max_body_bytes: Option<u64>,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireLimits {
    pub max_header_bytes: usize,
    pub max_body_bytes: Option<u64>,
    pub max_connections: usize,
}

#[derive(Debug, Clone, Serialize)]
pub struct WireTimeouts {
    pub handshake: f64,
    pub header: f64,
    pub idle: f64,
    pub connect: f64,
    pub response: f64,
    pub stall: f64,
}

/// A site as a test describes it.
#[derive(Debug, Clone)]
pub struct SiteSpec {
    pub name: &'static str,
    pub on_refusal: OnRefusal,
    pub routes: Vec<RouteSpec>,
}

#[derive(Debug, Clone)]
pub struct RouteSpec {
    pub path: &'static str,
    pub mode: Mode,
    pub roles: Vec<&'static str>,
    pub options: WireRoute,
}

pub fn site(name: &'static str, routes: Vec<RouteSpec>) -> SiteSpec {
    SiteSpec {
        name,
        on_refusal: OnRefusal::Page,
        routes,
    }
}

pub fn route(path: &'static str, mode: Mode) -> RouteSpec {
    let options = WireRoute {
        path: path.into(),
        pass_identity_names: false,
        tls_facts: false,
        max_body_bytes: None,
    };
    RouteSpec {
        path,
        mode,
        roles: vec![],
        options,
    }
}

/// A gate, its upstream and its certificates.
pub struct World {
    pub pki: Pki,
    pub upstream: Upstream,
    pub gate: Gate,
    pub settings: WireSettings,
    pub sites: Vec<SiteSpec>,
    pub snapshot: Arc<Snapshot>,
    /// Clients 1 (alice, role `ops`) and 2 (bob).
    pub alice: Identity,
    pub bob: Identity,
}

impl World {
    /// One site, `a.test`, where everything requires a certificate.
    pub async fn new() -> World {
        World::with(
            vec![site("a.test", vec![route("/", Mode::Required)])],
            |_| {},
        )
        .await
    }

    pub async fn with(sites: Vec<SiteSpec>, change: impl FnOnce(&mut WireSettings)) -> World {
        let pki = Pki::new();
        let upstream = Upstream::start().await;
        let (alice, bob) = (pki.client("alice"), pki.client("bob"));
        let mut settings = wire_settings(&pki, &sites, &upstream);
        change(&mut settings);
        let snapshot = Arc::new(
            Snapshot::build([batch(
                &pki,
                &sites,
                &[(1, "alice", &alice), (2, "bob", &bob)],
            )])
            .unwrap(),
        );
        let gate = Gate::start(checked(&settings), snapshot.clone(), Vec::new()).unwrap();
        World {
            pki,
            upstream,
            gate,
            settings,
            sites,
            snapshot,
            alice,
            bob,
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.gate.addresses()[0]
    }

    /// A connection of alice to the first site.
    pub async fn alice(&self) -> Client {
        self.connect(Hello::new(self.sites[0].name).identity(&self.alice))
            .await
    }

    pub async fn connect(&self, hello: Hello) -> Client {
        self.try_connect(hello).await.expect("handshake")
    }

    pub async fn try_connect(&self, hello: Hello) -> std::io::Result<Client> {
        Client::connect(self.address(), hello.root(&self.pki)).await
    }

    /// Applies a delta and puts it in force.
    pub fn change(&mut self, delta: Batch) {
        let epoch = self.snapshot.epoch() + 1;
        let next = self
            .snapshot
            .apply(Batch {
                epoch: Some(epoch),
                ..delta
            })
            .unwrap();
        self.snapshot = Arc::new(next);
        assert_eq!(self.gate.swap(self.snapshot.clone()).unwrap(), epoch);
    }

    pub fn revoke(&mut self, identity: &Identity) {
        self.change(Batch {
            revocations: vec![RevocationRecord {
                authority: 1,
                serial: identity.serial.clone(),
                at: pki::now(),
                reason: 1,
            }],
            ..Batch::default()
        });
    }

    pub fn reinstate(&mut self, identity: &Identity) {
        let serial = serde_bytes::ByteBuf::from(identity.serial.clone());
        self.change(Batch {
            removed: Removed {
                revocations: vec![(1, serial)],
                ..Removed::default()
            },
            ..Batch::default()
        });
    }
}

pub fn checked(settings: &WireSettings) -> Settings {
    Settings::from_msgpack(&rmp_serde::to_vec_named(settings).unwrap()).unwrap()
}

fn wire_settings(pki: &Pki, sites: &[SiteSpec], upstream: &Upstream) -> WireSettings {
    WireSettings {
        listen: vec!["127.0.0.1:0".into()],
        plain_listen: vec!["127.0.0.1:0".into()],
        proxy_protocol_from: vec![],
        workers: 1,
        sites: sites
            .iter()
            .map(|site| {
                let (certificate_pem, key_pem) = pki.server(&[site.name]);
                WireSite {
                    name: site.name.into(),
                    certificate_pem,
                    key_pem,
                    tls_profile: "compatible",
                    ca_hints: false,
                    speaks: "http",
                }
            })
            .collect(),
        upstreams: vec![WireUpstream::at(&[format!("http://{}", upstream.address)])],
        routes: sites
            .iter()
            .map(|site| {
                site.routes
                    .iter()
                    .map(|route| route.options.clone())
                    .collect()
            })
            .collect(),
        access_log: String::new(),
        access_format: "json".into(),
        limits: WireLimits {
            max_header_bytes: 32 * 1024,
            max_body_bytes: None,
            max_connections: 1000,
        },
        timeouts: WireTimeouts {
            handshake: 5.0,
            header: 5.0,
            idle: 30.0,
            connect: 2.0,
            response: 5.0,
            stall: 10.0,
        },
        public_port: None,
        resumption: 3600.0,
        key_log: String::new(),
        tracing: None,
    }
}

pub fn batch(pki: &Pki, sites: &[SiteSpec], clients: &[(u64, &str, &Identity)]) -> Batch {
    Batch {
        epoch: Some(1),
        authorities: vec![AuthorityRecord {
            id: 1,
            name: "house".into(),
            certificate: pki.authority_der(),
            admits: Admits::Issued,
            estate: None,
            depth: None,
        }],
        clients: clients
            .iter()
            .map(|(id, name, _)| ClientRecord {
                id: *id,
                name: (*name).into(),
                roles: if *id == 1 { vec!["ops".into()] } else { vec![] },
                suspended: false,
                hosts: vec![],
            })
            .collect(),
        credentials: clients
            .iter()
            .map(|(id, _, identity)| CredentialRecord {
                fingerprint: identity.fingerprint(),
                id: *id,
                client: *id,
                authority: 1,
            })
            .collect(),
        sites: Some(sites.iter().map(site_record).collect()),
        ..Batch::default()
    }
}

fn site_record(site: &SiteSpec) -> SiteRecord {
    SiteRecord {
        name: site.name.into(),
        hosts: vec![site.name.into()],
        client_certificate: Mode::Required,
        on_refusal: site.on_refusal,
        environment: String::new(),
        routes: site
            .routes
            .iter()
            .map(|route| RouteRecord {
                path: route.path.into(),
                client_certificate: route.mode,
                roles: route.roles.iter().map(|role| (*role).into()).collect(),
                clients: vec![],
                upstream: Some(0),
            })
            .collect(),
    }
}

/// Waits until `check` holds, or fails.
pub async fn eventually(what: &str, mut check: impl FnMut() -> bool) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while !check() {
        assert!(std::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
