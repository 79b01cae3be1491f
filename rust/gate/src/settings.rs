//! What the gate is told to do: the control plane's MessagePack map, checked once into [`Settings`], which cannot be wrong.
//!
//! `src/mutualgate/gate/settings.py` writes the map; an unknown key is an error on both sides. Who may pass is not
//! here: that is the snapshot's. Times are in seconds, sizes in bytes.

use std::{
    net::{SocketAddr, ToSocketAddrs},
    path::PathBuf,
    time::Duration,
};

use serde::Deserialize;

mod identity;
pub(crate) mod limits;
mod listener;
mod route;
mod site;
pub(crate) mod tracing;
pub(crate) mod upstream;
pub(crate) mod upstream_tls;

use identity::WireJwt;
pub(crate) use limits::{Bounds, ScopeLimits};
use listener::Network;
pub(crate) use route::RouteOptions;
use route::WireRoute;
pub(crate) use site::{Profile, Site, Speaks, TlsOptions};
use site::{WireSite, checked_site};

use crate::{
    access::{Format, Target},
    trace::Tracing,
};

/// A setting that cannot be used: where, and why.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{field}: {problem}")]
pub struct SettingsError {
    /// The key, as in `sites[0].key_pem`.
    pub field: String,
    /// What was found, what was expected.
    pub problem: String,
}

impl SettingsError {
    pub(crate) fn new(field: impl Into<String>, problem: impl Into<String>) -> Self {
        SettingsError {
            field: field.into(),
            problem: problem.into(),
        }
    }
}

/// The gate's settings, checked.
#[derive(Debug, Clone)]
pub struct Settings {
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) plain_listen: Vec<SocketAddr>,
    pub(crate) workers: usize,
    pub(crate) sites: Vec<Site>,
    pub(crate) upstreams: Vec<upstream::Upstream>,
    pub(crate) access: AccessSettings,
    pub(crate) limits: Limits,
    pub(crate) timeouts: Timeouts,
    pub(crate) public_port: Option<u16>,
    /// Where the secrets of all connections are written, for somebody who has to read what they say.
    pub(crate) key_log: Option<PathBuf>,
    /// Whose connections begin with a PROXY header.
    pub(crate) proxy_protocol_from: Vec<Network>,
    /// How requests are traced; `None` where they are not.
    pub(crate) tracing: Option<Tracing>,
}

/// Where access lines go, and how they look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessSettings {
    pub(crate) target: Target,
    pub(crate) format: Format,
}

/// What one client, and all of them, may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_header_bytes: usize,
    pub(crate) max_body_bytes: Option<u64>,
    pub(crate) max_connections: usize,
    pub(crate) max_idle_upstream: usize,
    /// Bytes per second that a body has to come with; 0 for any.
    pub(crate) min_body_rate: u32,
    /// Bytes per second that an answer has to be taken with; 0 for any.
    pub(crate) min_read_rate: u32,
    /// Bytes of memory that the process may have.
    pub(crate) memory: Option<u64>,
    /// Of one address.
    pub(crate) address: Bounds,
    /// Of one client.
    pub(crate) client: Bounds,
}

/// How long the gate waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) handshake: Duration,
    pub(crate) header: Duration,
    /// Between two requests of a connection.
    pub(crate) idle: Duration,
    pub(crate) connect: Duration,
    /// From the request's last byte to the head of the response.
    pub(crate) response: Duration,
    /// Without a byte from a client that owes a body, or taken by a client that is owed one.
    pub(crate) stall: Duration,
    /// How far a client may fall behind the rates that are asked for.
    pub(crate) slow: Duration,
    /// Without a byte in either direction of what is passed on unread.
    pub(crate) stream_idle: Duration,
}

impl Settings {
    /// Reads and checks the map. Keys of files are never part of an error.
    pub fn from_msgpack(bytes: &[u8]) -> Result<Settings, SettingsError> {
        let wire: Wire = rmp_serde::from_slice(bytes)
            .map_err(|e| SettingsError::new("settings", e.to_string()))?;
        Settings::try_from(wire)
    }

    /// The number of worker threads.
    pub fn workers(&self) -> usize {
        self.workers
    }
}

/// The map as it travels.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    listen: Vec<String>,
    #[serde(default)]
    plain_listen: Vec<String>,
    /// 0: as many as the machine has cores.
    #[serde(default)]
    workers: usize,
    sites: Vec<WireSite>,
    upstreams: Vec<upstream::WireUpstream>,
    /// One list per site, in the order of `sites`.
    routes: Vec<Vec<WireRoute>>,
    /// One per site, in the order of `sites`; empty for none.
    #[serde(default)]
    site_limits: Vec<limits::WireScope>,
    #[serde(default)]
    proxy_protocol_from: Vec<String>,
    #[serde(default)]
    access_log: String,
    #[serde(default = "json")]
    access_format: String,
    #[serde(default)]
    limits: WireLimits,
    #[serde(default)]
    timeouts: WireTimeouts,
    /// The port that redirects name; by default that of the first `listen`.
    #[serde(default)]
    public_port: Option<u16>,
    #[serde(default = "yes")]
    http2: bool,
    /// What signs tokens about clients; there if a route wants them.
    #[serde(default)]
    jwt: Option<WireJwt>,
    /// How long a session can be resumed; 0: not at all.
    #[serde(default = "half_a_day")]
    resumption: f64,
    /// A file; empty for none.
    #[serde(default)]
    key_log: String,
    /// How requests are traced; none for not at all.
    #[serde(default)]
    tracing: Option<tracing::WireTracing>,
}

fn yes() -> bool {
    true
}

fn half_a_day() -> f64 {
    43_200.0
}

fn json() -> String {
    "json".into()
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WireLimits {
    max_header_bytes: usize,
    max_body_bytes: Option<u64>,
    max_connections: usize,
    max_idle_upstream: usize,
    min_body_rate: u32,
    min_read_rate: u32,
    memory: Option<u64>,
    address: limits::WireBounds,
    client: limits::WireBounds,
}

impl Default for WireLimits {
    fn default() -> Self {
        // 32 KiB: large cookies and tokens fit, and a thousand clients that send nothing else cost 32 MiB.
        WireLimits {
            max_header_bytes: 32 * 1024,
            max_body_bytes: None,
            max_connections: 50_000,
            max_idle_upstream: 256,
            min_body_rate: 240,
            min_read_rate: 240,
            memory: None,
            address: limits::WireBounds::default(),
            client: limits::WireBounds::default(),
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct WireTimeouts {
    handshake: f64,
    header: f64,
    idle: f64,
    connect: f64,
    response: f64,
    stall: f64,
    slow: f64,
    stream_idle: f64,
}

impl Default for WireTimeouts {
    fn default() -> Self {
        WireTimeouts {
            handshake: 10.0,
            header: 15.0,
            idle: 90.0,
            connect: 5.0,
            response: 120.0,
            stall: 60.0,
            slow: 60.0,
            stream_idle: 3600.0,
        }
    }
}

impl TryFrom<Wire> for Settings {
    type Error = SettingsError;

    fn try_from(wire: Wire) -> Result<Settings, SettingsError> {
        let listen = addresses("listen", &wire.listen)?;
        if listen.is_empty() {
            return Err(SettingsError::new(
                "listen",
                "is empty, expected at least one address such as 127.0.0.1:8443",
            ));
        }
        if wire.routes.len() != wire.sites.len() {
            return Err(SettingsError::new(
                "routes",
                format!(
                    "has {} lists for {} sites, expected one for each",
                    wire.routes.len(),
                    wire.sites.len()
                ),
            ));
        }
        if !wire.site_limits.is_empty() && wire.site_limits.len() != wire.sites.len() {
            return Err(SettingsError::new(
                "site_limits",
                format!(
                    "has {} entries for {} sites, expected one for each",
                    wire.site_limits.len(),
                    wire.sites.len()
                ),
            ));
        }
        let signer = wire.jwt.map(WireJwt::checked).transpose()?;
        let resumption = resumption(wire.resumption)?;
        let mut sites = Vec::with_capacity(wire.sites.len());
        for (index, (site, routes)) in wire.sites.iter().zip(&wire.routes).enumerate() {
            let mut checked =
                checked_site(index, site, routes, signer.as_ref(), wire.http2, resumption)?;
            if let Some(wire) = wire.site_limits.get(index) {
                checked.limits = limits::scope(&format!("site_limits[{index}]"), wire)?;
            }
            sites.push(checked);
        }
        if sites.is_empty() {
            return Err(SettingsError::new(
                "sites",
                "is empty, expected at least one",
            ));
        }
        let upstreams = (wire.upstreams.iter().enumerate())
            .map(|(index, upstream)| upstream::checked(index, upstream))
            .collect::<Result<_, SettingsError>>()?;
        let format = match wire.access_format.as_str() {
            "json" => Format::Json,
            "text" => Format::Text,
            other => {
                return Err(SettingsError::new(
                    "access_format",
                    format!("is {other:?}, expected \"json\" or \"text\""),
                ));
            }
        };
        Ok(Settings {
            plain_listen: addresses("plain_listen", &wire.plain_listen)?,
            proxy_protocol_from: listener::networks(
                "proxy_protocol_from",
                &wire.proxy_protocol_from,
            )?,
            workers: match wire.workers {
                0 => std::thread::available_parallelism().map_or(1, usize::from),
                1..=1024 => wire.workers,
                many => {
                    return Err(SettingsError::new(
                        "workers",
                        format!("is {many}, expected at most 1024"),
                    ));
                }
            },
            listen,
            sites,
            upstreams,
            access: AccessSettings {
                target: Target::parse(&wire.access_log),
                format,
            },
            limits: checked_limits(wire.limits)?,
            timeouts: Timeouts {
                handshake: duration("handshake", wire.timeouts.handshake)?,
                header: duration("header", wire.timeouts.header)?,
                idle: duration("idle", wire.timeouts.idle)?,
                connect: duration("connect", wire.timeouts.connect)?,
                response: duration("response", wire.timeouts.response)?,
                stall: duration("stall", wire.timeouts.stall)?,
                slow: duration("slow", wire.timeouts.slow)?,
                stream_idle: duration("stream_idle", wire.timeouts.stream_idle)?,
            },
            public_port: wire.public_port,
            tracing: wire.tracing.map(tracing::checked).transpose()?,
            key_log: (!wire.key_log.is_empty()).then(|| wire.key_log.into()),
        })
    }
}

fn checked_limits(wire: WireLimits) -> Result<Limits, SettingsError> {
    if !(8 * 1024..=64 * 1024).contains(&wire.max_header_bytes) {
        return Err(SettingsError::new(
            "limits.max_header_bytes",
            format!("is {}, expected 8192 to 65536", wire.max_header_bytes),
        ));
    }
    if wire.max_connections == 0 {
        return Err(SettingsError::new(
            "limits.max_connections",
            "is 0, expected at least 1",
        ));
    }
    Ok(Limits {
        max_header_bytes: wire.max_header_bytes,
        max_body_bytes: wire.max_body_bytes,
        max_connections: wire.max_connections,
        max_idle_upstream: wire.max_idle_upstream,
        min_body_rate: wire.min_body_rate,
        min_read_rate: wire.min_read_rate,
        memory: wire.memory,
        address: limits::bounds("limits.address", &wire.address)?,
        client: limits::bounds("limits.client", &wire.client)?,
    })
}

/// In seconds; `None` for no resumption.
fn resumption(seconds: f64) -> Result<Option<u32>, SettingsError> {
    // RFC 8446 4.6.1: seven days at most.
    const MOST: f64 = 604_800.0;
    match seconds {
        0.0 => Ok(None),
        0.001..=MOST => Ok(Some(seconds.ceil() as u32)),
        _ => Err(SettingsError::new(
            "resumption",
            format!("is {seconds} seconds, expected 0 to 604800"),
        )),
    }
}

fn duration(name: &str, seconds: f64) -> Result<Duration, SettingsError> {
    self::seconds(format!("timeouts.{name}"), seconds)
}

/// A time to wait, in seconds.
fn seconds(field: String, seconds: f64) -> Result<Duration, SettingsError> {
    // A day and a bit: longer is a slip of the unit.
    if !(0.001..=100_000.0).contains(&seconds) {
        return Err(SettingsError::new(
            field,
            format!("is {seconds} seconds, expected 0.001 to 100000"),
        ));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn addresses(field: &str, texts: &[String]) -> Result<Vec<SocketAddr>, SettingsError> {
    let mut all = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let found = text.to_socket_addrs().map_err(|e| {
            SettingsError::new(
                format!("{field}[{index}]"),
                format!("{text:?} is no address such as 127.0.0.1:8443 or [::1]:8443: {e}"),
            )
        })?;
        for address in found {
            if address.port() == 0 || !all.contains(&address) {
                all.push(address);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_key() {
        let error = duration("idle", 0.0).err().map(|e| e.to_string());
        assert_eq!(
            error.as_deref(),
            Some("timeouts.idle: is 0 seconds, expected 0.001 to 100000")
        );
    }
}
