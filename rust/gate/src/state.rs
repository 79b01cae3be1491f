//! What all workers share, and what changes while they run.
//!
//! One pointer, [`State`], holds the snapshot and all that is made of the settings, so that nobody ever sees one without
//! the other. A reader takes it once per request and keeps it until the request is routed.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, AtomicUsize},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bytes::Bytes;
use judge::{Snapshot, record::Mode};
use tokio::sync::Notify;

use crate::{
    access::AccessLog,
    counters::{Counters, ServerReport, Slot},
    discreet::discreet,
    event::Events,
    identity::Telling,
    key_log::KeyLog,
    limits::{Limits, Scope, Slowest},
    settings::{RouteOptions, Settings, Speaks},
    tls::SiteTls,
    trace::Spans,
};

pub(crate) use crate::upstream::Upstream;

/// The snapshot and the configuration in force.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) config: Arc<Config>,
    sites: Arc<[SiteState]>,
    /// Paths of all routes that lead to the portal.
    portals: Arc<[Box<str>]>,
}

/// What belongs to a site of the snapshot.
#[derive(Debug)]
pub(crate) struct SiteState {
    pub(crate) tls: Arc<SiteTls>,
    pub(crate) limits: Option<Arc<Scope>>,
    /// Whether what comes through TLS is passed on unread, to the upstream of its only route.
    pub(crate) is_stream: bool,
    routes: Box<[RouteState]>,
}

/// What belongs to a route of the snapshot.
#[derive(Debug)]
pub(crate) struct RouteState {
    pub(crate) options: Arc<RouteOptions>,
    /// `None` for the usual way.
    pub(crate) telling: Option<Arc<Telling>>,
    /// `None` where the gate answers itself: with a redirect.
    pub(crate) upstream: Option<Arc<Upstream>>,
    pub(crate) counted: Slot,
    pub(crate) limits: Option<Arc<Scope>>,
}

/// Settings and snapshot that do not fit each other.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the snapshot does not fit the settings: {0}")]
pub struct Mismatch(String);

impl State {
    /// Puts the two together; `old` is what was in force, to keep what did not change.
    pub(crate) fn new(
        snapshot: Arc<Snapshot>,
        config: Arc<Config>,
        old: Option<&State>,
        counters: &Counters,
    ) -> Result<State, Mismatch> {
        let same = old.filter(|old| {
            std::ptr::eq(old.snapshot.sites(), snapshot.sites())
                && Arc::ptr_eq(&old.config, &config)
        });
        let sites = match same {
            Some(old) => old.sites.clone(),
            None => snapshot
                .sites()
                .iter()
                .map(|site| site_state(site, &config, counters))
                .collect::<Result<Arc<[SiteState]>, Mismatch>>()?,
        };
        for site in snapshot.sites() {
            sites[site.index()].tls.hint(site, &snapshot);
        }
        let portals = match same {
            Some(old) => old.portals.clone(),
            None => (snapshot.sites().iter())
                .flat_map(judge::Site::routes)
                .filter(|route| route.mode() == Mode::Shown)
                .map(|route| route.path().into())
                .collect(),
        };
        Ok(State {
            snapshot,
            config,
            sites,
            portals,
        })
    }

    /// The path of a request, as it may be written down.
    pub(crate) fn discreet<'a>(&self, path: &'a str) -> Cow<'a, str> {
        discreet(path, &self.portals)
    }

    /// What belongs to `site`, which is one of this snapshot.
    pub(crate) fn site(&self, site: &judge::Site) -> &SiteState {
        &self.sites[site.index()]
    }

    /// What belongs to `route` of `site`, which are of this snapshot.
    pub(crate) fn route(&self, site: &judge::Site, route: &judge::Route) -> &RouteState {
        &self.sites[site.index()].routes[route.index()]
    }
}

fn site_state(
    site: &judge::Site,
    config: &Config,
    counters: &Counters,
) -> Result<SiteState, Mismatch> {
    let name = site.name();
    let at = (config
        .settings
        .sites
        .iter()
        .position(|settings| settings.name == name))
    .ok_or_else(|| Mismatch(format!("site {name} has no settings")))?;
    let options = &config.settings.sites[at].routes;
    let is_stream = config.settings.sites[at].tls.speaks.is_stream();
    if is_stream && site.routes().len() != 1 {
        return Err(Mismatch(format!("site {name} needs one route")));
    }
    let routes = site.routes().iter().map(|route| {
        let path = route.path();
        let options = options.get(path).cloned().unwrap_or_default();
        let upstream = route
            .upstream()
            .and_then(|upstream| config.upstreams.get(usize::try_from(upstream).ok()?));
        if upstream.is_none() && options.redirect.is_none() {
            return Err(Mismatch(format!(
                "site {name}, route {path}: there is no upstream {:?}",
                route.upstream()
            )));
        }
        // HTTP never goes to what speaks something else, nor the other way round.
        if upstream.map_or(is_stream, |upstream| upstream.is_stream() != is_stream) {
            return Err(Mismatch(format!(
                "site {name}, route {path}: its upstream speaks something else"
            )));
        }
        Ok(RouteState {
            options,
            telling: config.settings.sites[at].telling(path),
            upstream: upstream.cloned(),
            counted: counters.slot(name, path),
            limits: config.scope(name, path),
        })
    });
    Ok(SiteState {
        tls: config.sites[at].clone(),
        limits: config.scope(name, ""),
        is_stream,
        routes: routes.collect::<Result<_, Mismatch>>()?,
    })
}

/// What is made of the settings.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) settings: Settings,
    pub(crate) timeouts_ms: TimeoutsMs,
    pub(crate) access: Arc<AccessLog>,
    key_log: Option<Arc<KeyLog>>,
    /// Whether clients may ask for TLS in the way of PostgreSQL.
    pub(crate) starts_postgresql: bool,
    /// In the order of the settings.
    sites: Vec<Arc<SiteTls>>,
    /// In the order of the settings, which routes refer to.
    upstreams: Vec<Arc<Upstream>>,
    /// Sites and routes that have limits.
    scopes: Vec<Arc<Scope>>,
}

/// The timeouts that the worker's clock watches, in its milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TimeoutsMs {
    pub(crate) header: u32,
    pub(crate) idle: u32,
    pub(crate) stall: u32,
    pub(crate) slowest: Slowest,
}

impl Config {
    /// Makes one, keeping of `old` what is the same in both: tickets of sites, connections to upstreams, the access log.
    pub(crate) fn new(settings: Settings, old: Option<&Config>) -> std::io::Result<Config> {
        let same_key_log = old.is_some_and(|old| old.settings.key_log == settings.key_log);
        let key_log = match (&settings.key_log, old.filter(|_| same_key_log)) {
            (None, _) => None,
            (Some(_), Some(old)) => old.key_log.clone(),
            (Some(path), None) => Some(Arc::new(KeyLog::open(path)?)),
        };
        let sites = settings
            .sites
            .iter()
            .map(|site| {
                let same = old.and_then(|old| {
                    let at = old
                        .settings
                        .sites
                        .iter()
                        .position(|other| other.name == site.name)?;
                    Some(&old.sites[at])
                        .filter(|_| old.settings.sites[at].has_same_tls(site) && same_key_log)
                });
                same.cloned().unwrap_or_else(|| {
                    Arc::new(SiteTls::new(
                        site.key.clone(),
                        site.tls.clone(),
                        key_log.clone(),
                    ))
                })
            })
            .collect();
        let before = |name: &str| {
            (old?.upstreams.iter())
                .find(|upstream| *upstream.label == *name)
                .map(|upstream| &**upstream)
        };
        let upstreams: Vec<Arc<Upstream>> = (settings.upstreams.iter())
            .map(|upstream| {
                Arc::new(Upstream::new(
                    upstream,
                    &settings.timeouts,
                    before(&upstream.name),
                ))
            })
            .collect();
        let access = match old.filter(|old| old.settings.access == settings.access) {
            Some(old) => old.access.clone(),
            None => Arc::new(AccessLog::open(
                settings.access.target.clone(),
                settings.access.format,
            )?),
        };
        let milliseconds =
            |duration: Duration| u32::try_from(duration.as_millis()).unwrap_or(u32::MAX);
        let timeouts_ms = TimeoutsMs {
            header: milliseconds(settings.timeouts.header),
            idle: milliseconds(settings.timeouts.idle),
            stall: milliseconds(settings.timeouts.stall),
            slowest: Slowest {
                body: settings.limits.min_body_rate,
                read: settings.limits.min_read_rate,
                grace: milliseconds(settings.timeouts.slow),
            },
        };
        let scopes = scopes(&settings, old);
        let starts_postgresql =
            (settings.sites.iter()).any(|site| site.tls.speaks == Speaks::Postgresql);
        Ok(Config {
            starts_postgresql,
            scopes,
            settings,
            timeouts_ms,
            access,
            key_log,
            sites,
            upstreams,
        })
    }
}

impl Config {
    /// All upstreams.
    pub(crate) fn upstreams(&self) -> &[Arc<Upstream>] {
        &self.upstreams
    }

    /// All servers, as they are now.
    pub(crate) fn servers(&self) -> Vec<ServerReport> {
        (self.upstreams.iter())
            .flat_map(|upstream| upstream.report())
            .collect()
    }

    /// Lets go of the servers that `next`, which takes the place of this one, does not have.
    pub(crate) fn leave_upstreams_to(&self, next: &Config) {
        for upstream in &self.upstreams {
            let after = (next.upstreams.iter()).find(|after| after.label == upstream.label);
            upstream.leave_to(after.map(|after| &**after));
        }
    }

    /// The limits of a route of a site or, with an empty path, of the site.
    fn scope(&self, site: &str, route: &str) -> Option<Arc<Scope>> {
        (self.scopes.iter())
            .find(|scope| *scope.site == *site && *scope.route == *route)
            .cloned()
    }
}

fn scopes(settings: &Settings, old: Option<&Config>) -> Vec<Arc<Scope>> {
    let old = || old.into_iter().flat_map(|old| old.scopes.iter().cloned());
    let mut scopes = Vec::new();
    for site in &settings.sites {
        scopes.extend(Scope::new(&site.name, "", site.limits, old()));
        for (route, limits) in &site.route_limits {
            scopes.extend(Scope::new(&site.name, route, *limits, old()));
        }
    }
    scopes
}

/// A file that the plain listener serves.
#[derive(Debug, Clone)]
pub struct Publication {
    /// Its media type.
    pub content_type: String,
    /// Its bytes.
    pub bytes: Bytes,
    /// From when on it must not be served any more (a CRL's nextUpdate), in Unix seconds.
    pub expires_at: Option<i64>,
}

/// What all workers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) state: Arc<ArcSwap<State>>,
    pub(crate) publications: ArcSwap<HashMap<String, Publication>>,
    pub(crate) events: Arc<Events>,
    pub(crate) spans: Spans,
    pub(crate) counters: Arc<Counters>,
    pub(crate) limits: Arc<Limits>,
    /// Open connections of all listeners and workers.
    pub(crate) connections: AtomicUsize,
    /// Nothing new is accepted, and what is open ends with its current request.
    pub(crate) draining: AtomicBool,
    /// While draining: another process accepts, and who idles here gets a moment for one more request.
    pub(crate) in_turn: AtomicBool,
    /// Of the worker's turns in which connections end.
    pub(crate) turns_a_tick: AtomicU8,
    /// Whatever is still open is cut.
    pub(crate) stopping: AtomicBool,
    /// One per worker: the state or one of the flags above has changed.
    pub(crate) changed: Vec<Arc<Notify>>,
    /// The port of the first TLS address.
    pub(crate) first_port: u16,
}

impl Shared {
    /// The port at which clients reach us over HTTPS.
    pub(crate) fn public_port(&self, state: &State) -> u16 {
        state.config.settings.public_port.unwrap_or(self.first_port)
    }

    /// Tells every worker to look again.
    pub(crate) fn announce(&self) {
        for worker in &self.changed {
            worker.notify_one();
        }
    }
}
