//! What looks after the servers of all upstreams: asks them how they are, and looks their names up again.
//!
//! One worker does it for the process. Does not know requests.

use std::{collections::HashMap, rc::Rc, sync::Arc, time::Duration};

use http::{Method, uri::Scheme};
use tokio::time::timeout;

use super::{
    Link, Stream, choose,
    endpoint::{Endpoint, now_ms},
    exchange::{Failure, Http1, Request},
    group::Upstream,
    http2::{self, Http2},
};
use crate::{
    proxy_protocol::write,
    settings::upstream::{Address, Health, Protocol},
    spare::Buffer,
    worker::Worker,
};

const TICK: Duration = Duration::from_millis(100);

/// Most addresses of one name.
const MAX_ADDRESSES: usize = 16;

/// Looks after them as long as the worker runs.
pub(crate) async fn keep(worker: Rc<Worker>) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // When the names of each upstream are due, in milliseconds.
    let mut lookups: HashMap<(Box<str>, Address), u64> = HashMap::new();
    loop {
        ticks.tick().await;
        let state = worker.state();
        let now = now_ms();
        let mut named = HashMap::new();
        for upstream in state.config.upstreams() {
            if let Some(health) = &upstream.health {
                for endpoint in upstream.endpoints() {
                    if endpoint.is_due(now, health.interval) {
                        tokio::task::spawn_local(check(upstream.clone(), endpoint));
                    }
                }
            }
            for server in upstream.named_servers() {
                let key = (upstream.label.clone(), server.clone());
                let mut due = lookups.get(&key).copied().unwrap_or(now);
                if due <= now {
                    due = now + jittered(upstream.resolve);
                    tokio::task::spawn_local(look_up(upstream.clone(), server.clone()));
                }
                named.insert(key, due);
            }
        }
        lookups = named;
    }
}

/// `interval` in milliseconds, up to a tenth more or less: what was started together does not stay together.
pub(super) fn jittered(interval: Duration) -> u64 {
    let whole = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX / 4);
    let tenth = usize::try_from(whole / 10).unwrap_or(0);
    whole - whole / 10 + choose::draw(2 * tenth + 1) as u64
}

/// Asks the system for the addresses of a server. An answer without any, or none at all, changes nothing.
async fn look_up(upstream: Arc<Upstream>, server: Address) {
    let Address::Tcp { host, port, .. } = &server else {
        return;
    };
    let found = timeout(
        Duration::from_secs(10),
        tokio::net::lookup_host((host.as_str(), *port)),
    )
    .await;
    if let Ok(Ok(addresses)) = found {
        upstream.resolved(&server, addresses.take(MAX_ADDRESSES));
    }
}

/// Asks one server how it is.
async fn check(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>) {
    let Some(health) = &upstream.health else {
        return;
    };
    let well = timeout(health.timeout, is_well(health, &endpoint)).await;
    endpoint.checked(well.is_ok_and(|well| well), health, upstream.slow_start);
}

async fn is_well(health: &Health, endpoint: &Arc<Endpoint>) -> bool {
    let header = endpoint.send_proxy.map_or(&[][..], write::local);
    let Ok(stream) = Stream::connect(endpoint, header).await else {
        return false;
    };
    let Some(path) = &health.path else {
        return true;
    };
    let status = status_of(stream, endpoint, path, health.timeout).await;
    status.is_ok_and(|status| health.status.contains(&status))
}

async fn status_of(
    stream: Stream,
    endpoint: &Arc<Endpoint>,
    path: &str,
    patience: Duration,
) -> Result<u16, Failure> {
    let mut bytes = Buffer::new();
    let head = format!(
        "GET {path} HTTP/1.1\r\nhost: {}\r\nuser-agent: mutualgate\r\naccept: */*\r\n\r\n",
        endpoint.authority()
    );
    bytes.extend_from_slice(head.as_bytes());
    let request = Request::new(Method::GET, bytes, None, None);
    let head = match endpoint.protocol {
        Protocol::Http1 => {
            let mut exchange = Http1::new(Link::new(stream, endpoint.clone(), None), request);
            exchange.response(patience, &mut |_, _| {}).await?
        }
        Protocol::Http2 => {
            let scheme = match stream {
                Stream::Tls(_) => Scheme::HTTPS,
                _ => Scheme::HTTP,
            };
            let connection = http2::Connection::start(stream, scheme, endpoint.clone()).await?;
            let opened = Http2::open(connection.enter(None), request).await;
            let mut exchange = opened.map_err(|(failure, _)| failure)?;
            exchange.response(patience, &mut |_, _| {}).await?
        }
        Protocol::Stream => return Err(Failure::Unreachable(std::io::ErrorKind::Unsupported)),
    };
    Ok(head.status.as_u16())
}
