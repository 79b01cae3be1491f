//! A gate from PEM files, without a control plane: for measuring and for trying things.
//!
//! `gate --listen 127.0.0.1:8443 --cert server.pem --key server.key --client-ca root.pem --upstream http://127.0.0.1:8080`
//!
//! Admits whatever one of the authorities in `--client-ca` signed. `--host` names the site's hosts (default: localhost and
//! 127.0.0.1), `--mode` is off, optional or required, `--workers` the number of threads.

use std::{error::Error, io::Write, sync::Arc, time::Duration};

use gate::{Gate, Settings};
use judge::{
    Snapshot,
    record::{
        Admits, AuthorityRecord, Batch, ClientRecord, Mode, OnRefusal, RouteRecord, SiteRecord,
    },
};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use serde::Serialize;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let option = |name: &str, default: &str| {
        let at = arguments.iter().position(|argument| argument == name);
        at.and_then(|at| arguments.get(at + 1))
            .map_or(default, String::as_str)
            .to_owned()
    };
    let hosts: Vec<String> = option("--host", "localhost,127.0.0.1")
        .split(',')
        .map(str::to_owned)
        .collect();
    let settings = Settings::from_msgpack(&rmp_serde::to_vec_named(&Wire {
        listen: [option("--listen", "127.0.0.1:8443")],
        workers: option("--workers", "1").parse()?,
        sites: [Site {
            name: "bench",
            certificate_pem: std::fs::read(option("--cert", "server.pem"))?,
            key_pem: std::fs::read(option("--key", "server.key"))?,
        }],
        upstreams: [Upstream {
            name: "app",
            servers: [Server {
                address: option("--upstream", "http://127.0.0.1:8080"),
            }],
        }],
        routes: [[Route { path: "/" }]],
        access_log: option("--access-log", ""),
        timeouts: Timeouts {
            idle: option("--idle", "3600").parse()?,
        },
    })?)?;
    let snapshot = Snapshot::build([Batch {
        epoch: Some(1),
        authorities: CertificateDer::pem_file_iter(option("--client-ca", "root.pem"))?
            .zip(1..)
            .map(|(der, id)| {
                Ok(AuthorityRecord {
                    id,
                    name: format!("authority-{id}"),
                    certificate: der?.to_vec(),
                    admits: Admits::Signed,
                    estate: Some(1),
                    depth: None,
                })
            })
            .collect::<Result<_, rustls::pki_types::pem::Error>>()?,
        clients: vec![ClientRecord {
            id: 1,
            name: "estate".into(),
            roles: vec![],
            suspended: false,
            hosts: vec![],
        }],
        sites: Some(vec![SiteRecord {
            name: "bench".into(),
            hosts,
            client_certificate: Mode::Required,
            on_refusal: OnRefusal::Page,
            environment: String::new(),
            routes: vec![RouteRecord {
                path: "/".into(),
                client_certificate: match option("--mode", "required").as_str() {
                    "off" => Mode::Off,
                    "optional" => Mode::Optional,
                    _ => Mode::Required,
                },
                roles: vec![],
                clients: vec![],
                upstream: Some(0),
            }],
        }]),
        ..Batch::default()
    }])?;
    let gate = Gate::start(settings, Arc::new(snapshot), Vec::new())?;
    writeln!(std::io::stdout(), "listening on {:?}", gate.addresses())?;
    loop {
        gate.events(1000, Duration::from_secs(3600));
    }
}

#[derive(Serialize)]
struct Wire {
    listen: [String; 1],
    workers: usize,
    sites: [Site; 1],
    upstreams: [Upstream; 1],
    routes: [[Route; 1]; 1],
    access_log: String,
    timeouts: Timeouts,
}

#[derive(Serialize)]
struct Site {
    name: &'static str,
    #[serde(with = "serde_bytes")]
    certificate_pem: Vec<u8>,
    #[serde(with = "serde_bytes")]
    key_pem: Vec<u8>,
}

#[derive(Serialize)]
struct Upstream {
    name: &'static str,
    servers: [Server; 1],
}

#[derive(Serialize)]
struct Server {
    address: String,
}

#[derive(Serialize)]
struct Route {
    path: &'static str,
}

#[derive(Serialize)]
struct Timeouts {
    idle: f64,
}
