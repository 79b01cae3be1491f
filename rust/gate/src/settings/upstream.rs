//! Upstreams as they are set: the servers of one, how they are chosen from and how long they are waited for.

use std::{fmt, path::PathBuf, time::Duration};

use http::StatusCode;
use serde::Deserialize;

use super::{
    SettingsError,
    upstream_tls::{self, Tls, WireTls},
};

/// Most servers of one upstream: each choice looks at all of them.
const MAX_SERVERS: usize = 64;

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Address {
    Tcp { host: String, port: u16, tls: bool },
    Unix(PathBuf),
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port, tls } => {
                let scheme = if *tls { "https" } else { "http" };
                if host.contains(':') {
                    write!(f, "{scheme}://[{host}]:{port}")
                } else {
                    write!(f, "{scheme}://{host}:{port}")
                }
            }
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// An upstream: one server or several that can stand in for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Upstream {
    /// Its name, or the address of its only server; for access lines and metrics.
    pub(crate) name: String,
    pub(crate) servers: Vec<Server>,
    pub(crate) balance: Balance,
    pub(crate) protocol: Protocol,
    /// For those of its servers whose address begins with `https` or `tls`.
    pub(crate) tls: Option<Tls>,
    pub(crate) waits: Waits,
    pub(crate) retries: Retries,
    pub(crate) ejection: Ejection,
    /// How long a server that comes back, or is new, gets less than its share.
    pub(crate) slow_start: Duration,
    /// How often names are looked up again.
    pub(crate) resolve: Duration,
    pub(crate) health: Option<Health>,
    /// Whether each connection begins with a PROXY header.
    pub(crate) send_proxy: Option<SendProxy>,
}

/// Which version of the PROXY protocol servers are spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SendProxy {
    V1,
    V2,
}

/// How often a request may be sent to another server, beside those that could not be connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retries {
    /// For one request.
    pub(crate) most: usize,
    /// Of all requests, in percent.
    pub(crate) percent: u32,
    /// On top of that, each second.
    pub(crate) per_second: u32,
}

/// When a server that fails is left out for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ejection {
    /// Failures without a success between them; 0: never.
    pub(crate) failures: u32,
    /// The first time; each time after it grows by as much.
    pub(crate) time: Duration,
    /// Of all servers, in percent, that may be out for their failures.
    pub(crate) most_percent: u32,
    /// Which answers are failures, too: a bit for each status from 500 on.
    pub(crate) status: u128,
}

impl Ejection {
    /// Whether an answer of `status` is a failure.
    pub(crate) fn counts(self, status: StatusCode) -> bool {
        let at = u32::from(status.as_u16()).checked_sub(500);
        at.and_then(|at| self.status.checked_shr(at))
            .is_some_and(|rest| rest & 1 == 1)
    }
}

/// How servers are asked how they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Health {
    /// What is asked for by GET; `None`: a connection is enough.
    pub(crate) path: Option<String>,
    pub(crate) status: Vec<u16>,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    /// Good answers in a row until it is used again, and bad ones until it is not.
    pub(crate) rise: u32,
    pub(crate) fall: u32,
}

/// A server of an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) address: Address,
    /// Whether it gets no new requests.
    pub(crate) drain: bool,
}

/// How a server is chosen for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Balance {
    /// One after the other.
    #[default]
    RoundRobin,
    /// Of two that are drawn by lot, the one with fewer requests under way.
    LeastRequests,
    /// The same one for the same client, as long as it can be used.
    ClientHash,
}

/// What its servers speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2: over TLS by ALPN, in the clear with prior knowledge (RFC 9113 3.2, 3.3).
    Http2,
    /// Something else, which the gate does not read.
    Stream,
}

/// How long an upstream is waited for, where it differs from the rest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Waits {
    pub(crate) connect: Option<Duration>,
    pub(crate) response: Option<Duration>,
    /// From the request to the last byte of the response.
    pub(crate) total: Option<Duration>,
}

/// An upstream as it travels.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireUpstream {
    name: String,
    servers: Vec<WireServer>,
    #[serde(default)]
    balance: String,
    #[serde(default)]
    protocol: String,
    #[serde(default)]
    tls: Option<WireTls>,
    #[serde(default)]
    waits: WireWaits,
    #[serde(default)]
    retries: WireRetries,
    #[serde(default)]
    ejection: WireEjection,
    #[serde(default)]
    slow_start: f64,
    #[serde(default = "ten")]
    resolve: f64,
    #[serde(default)]
    health: Option<WireHealth>,
    #[serde(default)]
    send_proxy: String,
}

fn ten() -> f64 {
    10.0
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WireRetries {
    most: usize,
    percent: u32,
    per_second: u32,
}

impl Default for WireRetries {
    fn default() -> Self {
        WireRetries {
            most: 1,
            percent: 20,
            per_second: 3,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WireEjection {
    failures: u32,
    time: f64,
    most_percent: u32,
    status: Vec<u16>,
}

impl Default for WireEjection {
    fn default() -> Self {
        WireEjection {
            failures: 5,
            time: 30.0,
            most_percent: 50,
            status: Vec::new(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireHealth {
    path: Option<String>,
    status: Vec<u16>,
    interval: f64,
    timeout: f64,
    rise: u32,
    fall: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireServer {
    address: String,
    #[serde(default)]
    drain: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WireWaits {
    connect: Option<f64>,
    response: Option<f64>,
    total: Option<f64>,
}

/// Checks upstream number `index`.
pub(super) fn checked(index: usize, wire: &WireUpstream) -> Result<Upstream, SettingsError> {
    let field = |name: &str| format!("upstreams[{index}].{name}");
    if !(1..=MAX_SERVERS).contains(&wire.servers.len()) {
        return Err(SettingsError::new(
            field("servers"),
            format!("are {}, expected 1 to {MAX_SERVERS}", wire.servers.len()),
        ));
    }
    let mut servers: Vec<Server> = Vec::with_capacity(wire.servers.len());
    for (at, server) in wire.servers.iter().enumerate() {
        let address = address(&server.address, &wire.protocol).map_err(|problem| {
            SettingsError::new(field(&format!("servers[{at}].address")), problem)
        })?;
        if servers.iter().any(|other| other.address == address) {
            return Err(SettingsError::new(
                field(&format!("servers[{at}].address")),
                format!("{address} is there twice"),
            ));
        }
        servers.push(Server {
            address,
            drain: server.drain,
        });
    }
    let balance = match wire.balance.as_str() {
        "" | "round_robin" => Balance::RoundRobin,
        "least_requests" => Balance::LeastRequests,
        "client_hash" => Balance::ClientHash,
        other => {
            return Err(SettingsError::new(
                field("balance"),
                format!(
                    "is {other:?}, expected \"round_robin\", \"least_requests\" or \"client_hash\""
                ),
            ));
        }
    };
    let protocol = match wire.protocol.as_str() {
        "" | "http/1.1" => Protocol::Http1,
        "h2" => Protocol::Http2,
        "stream" => Protocol::Stream,
        other => {
            return Err(SettingsError::new(
                field("protocol"),
                format!("is {other:?}, expected \"http/1.1\", \"h2\" or \"stream\""),
            ));
        }
    };
    let send_proxy = match wire.send_proxy.as_str() {
        "" | "off" => None,
        "v1" => Some(SendProxy::V1),
        "v2" => Some(SendProxy::V2),
        other => {
            return Err(SettingsError::new(
                field("send_proxy"),
                format!("is {other:?}, expected \"off\", \"v1\" or \"v2\""),
            ));
        }
    };
    if send_proxy.is_some() && protocol == Protocol::Http2 {
        return Err(SettingsError::new(
            field("send_proxy"),
            "names one client, and over h2 another goes on with a connection",
        ));
    }
    let tls_field = |name: &str| field(&format!("tls.{name}"));
    let tls = (wire.tls.as_ref())
        .map(|tls| upstream_tls::checked(&tls_field, tls, protocol))
        .transpose()?;
    let has_tls = |server: &Server| matches!(server.address, Address::Tcp { tls: true, .. });
    if tls.is_none() && servers.iter().any(has_tls) {
        return Err(SettingsError::new(
            field("tls"),
            "is missing, and a server has an address with https:// or tls://",
        ));
    }
    let wait = |name: &str, seconds: Option<f64>| {
        seconds
            .map(|seconds| super::seconds(field(&format!("waits.{name}")), seconds))
            .transpose()
    };
    let wait_of = |name: &str, seconds: f64| super::seconds(field(name), seconds);
    let health = (wire.health.as_ref())
        .map(|health| {
            if (health.path.as_ref()).is_some_and(|path| !is_plain_path(path)) {
                return Err(SettingsError::new(
                    field("health.path"),
                    "is no path such as /health",
                ));
            }
            Ok(Health {
                path: health.path.clone(),
                status: health.status.clone(),
                interval: wait_of("health.interval", health.interval)?,
                timeout: wait_of("health.timeout", health.timeout)?,
                rise: health.rise.max(1),
                fall: health.fall.max(1),
            })
        })
        .transpose()?;
    Ok(Upstream {
        name: wire.name.clone(),
        servers,
        balance,
        protocol,
        tls,
        waits: Waits {
            connect: wait("connect", wire.waits.connect)?,
            response: wait("response", wire.waits.response)?,
            total: wait("total", wire.waits.total)?,
        },
        retries: Retries {
            most: wire.retries.most,
            percent: wire.retries.percent.min(100),
            per_second: wire.retries.per_second,
        },
        ejection: Ejection {
            failures: wire.ejection.failures,
            time: wait_of("ejection.time", wire.ejection.time)?,
            most_percent: wire.ejection.most_percent.min(100),
            status: failures(&wire.ejection.status)
                .map_err(|problem| SettingsError::new(field("ejection.status"), problem))?,
        },
        slow_start: Duration::from_secs_f64(wire.slow_start.clamp(0.0, 100_000.0)),
        resolve: wait_of("resolve", wire.resolve)?,
        health,
        send_proxy,
    })
}

/// A bit for each of the answers that are failures.
fn failures(statuses: &[u16]) -> Result<u128, String> {
    statuses.iter().try_fold(0, |bits, status| match status {
        500..=599 => Ok(bits | 1 << (status - 500)),
        other => Err(format!("has {other}, expected 500 to 599")),
    })
}

/// Nothing in it can end the line that it stands in.
fn is_plain_path(path: &str) -> bool {
    path.starts_with('/') && path.bytes().all(|byte| byte.is_ascii_graphic())
}

/// The address of a server that speaks `protocol`.
fn address(text: &str, protocol: &str) -> Result<Address, String> {
    let is_stream = protocol == "stream";
    let wrong = || {
        let expected = if is_stream {
            "tcp://host:port, tls://host:port or unix:/path"
        } else {
            "http://host:port, https://host:port or unix:/path"
        };
        format!("is {text:?}, expected {expected}")
    };
    if let Some(path) = text.strip_prefix("unix:") {
        return if path.starts_with('/') {
            Ok(Address::Unix(path.into()))
        } else {
            Err(wrong())
        };
    }
    let (tls, rest) = match text.split_once("://") {
        Some(("http", rest)) if !is_stream => (false, rest),
        Some(("https", rest)) if !is_stream => (true, rest),
        // No port is usual for all that this may be.
        Some((scheme @ ("tcp" | "tls"), rest)) if is_stream && !rest.ends_with('/') => {
            (scheme == "tls", rest)
        }
        _ => return Err(wrong()),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let authority: http::uri::Authority = rest.parse().map_err(|_| wrong())?;
    let has_port = authority.port_u16().is_some();
    if rest.contains('@') || authority.host().is_empty() || (is_stream && !has_port) {
        return Err(wrong());
    }
    let host = authority
        .host()
        .trim_start_matches('[')
        .trim_end_matches(']');
    Ok(Address::Tcp {
        host: host.to_owned(),
        port: authority.port_u16().unwrap_or(if tls { 443 } else { 80 }),
        tls,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_that_are_failures() {
        let ejection = |statuses: &[u16]| Ejection {
            failures: 1,
            time: Duration::ZERO,
            most_percent: 50,
            status: failures(statuses).unwrap(),
        };
        let counts =
            |ejection: Ejection, status| ejection.counts(StatusCode::from_u16(status).unwrap());
        for status in [200, 404, 499, 500, 501, 502, 503, 599, 600, 628, 999] {
            assert_eq!(
                counts(ejection(&[500, 502, 599]), status),
                [500, 502, 599].contains(&status)
            );
            assert!(!counts(ejection(&[]), status));
        }
        assert!(failures(&[499]).is_err() && failures(&[600]).is_err());
    }

    #[test]
    fn servers_are_http_or_unix() {
        let tcp = |host: &str, port| {
            Ok(Address::Tcp {
                host: host.into(),
                port,
                tls: false,
            })
        };
        assert_eq!(address("http://127.0.0.1:8080", ""), tcp("127.0.0.1", 8080));
        assert_eq!(address("http://[::1]:8080", ""), tcp("::1", 8080));
        assert_eq!(address("http://app/", ""), tcp("app", 80));
        assert_eq!(
            address("unix:/run/app.sock", ""),
            Ok(Address::Unix("/run/app.sock".into()))
        );
        for wrong in [
            "ftp://app",
            "http://user@app",
            "http://",
            "unix:app.sock",
            "app:80",
            "http://app/path",
            "tcp://app:5432",
            "tls://app:5432",
        ] {
            assert!(address(wrong, "").is_err(), "{wrong}");
        }
        assert_eq!(address("tcp://db:5432", "stream"), tcp("db", 5432));
        assert!(matches!(
            address("tls://db:6380", "stream"),
            Ok(Address::Tcp { tls: true, .. })
        ));
        for wrong in [
            "tcp://db",
            "tcp://db:5432/",
            "http://db:80",
            "tcp://u@db:1",
            "tls://db",
        ] {
            assert!(address(wrong, "stream").is_err(), "{wrong}");
        }
    }
}
