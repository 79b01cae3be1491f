//! Sites and their routes: which one a host and a path fall under, and what a configuration may not say.

use std::{collections::HashMap, net::IpAddr, sync::Arc};

use foldhash::fast::RandomState;

pub use crate::path_rule::{PathError, check_path};
use crate::{
    delta::error,
    record::{Mode, OnRefusal, RouteRecord, SiteRecord},
    snapshot::RecordError,
};

/// A site, checked.
#[derive(Debug, PartialEq)]
pub struct Site {
    name: Box<str>,
    index: usize,
    mode: Mode,
    on_refusal: OnRefusal,
    environment: Arc<str>,
    routes: Vec<Route>,
    by_path: HashMap<Box<str>, usize, RandomState>,
    /// Bytes of the longest prefix: what a stranger sends beyond it is not looked at.
    longest: usize,
}

/// A route, checked.
#[derive(Debug, PartialEq)]
pub struct Route {
    path: Box<str>,
    index: usize,
    mode: Mode,
    pub(crate) roles: Vec<Arc<str>>,
    pub(crate) clients: Vec<Arc<str>>,
    upstream: Option<u32>,
    environment: Arc<str>,
}

impl Site {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Position among the sites of the snapshot, as in the gate's settings.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The mode that it was configured with.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether any route wants to see a certificate, so that the handshake has to ask for one.
    pub fn asks(&self) -> bool {
        self.routes.iter().any(|route| route.mode != Mode::Off)
    }

    /// Whether every route requires one.
    pub fn requires(&self) -> bool {
        !self.routes.is_empty() && self.routes.iter().all(|route| route.mode == Mode::Required)
    }

    /// The path of the portal, if this site has it.
    pub fn portal(&self) -> Option<&str> {
        let mut routes = self.routes.iter();
        routes
            .find(|route| route.mode == Mode::Shown)
            .map(|route| &*route.path)
    }

    /// What a refused client gets.
    pub fn on_refusal(&self) -> OnRefusal {
        self.on_refusal
    }

    /// What it is for, such as `test`; empty where all sites are alike.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Its routes, in the order of the configuration.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    /// The route for the path of a request as sent (without query): the longest prefix that ends at a segment.
    /// `Ok(None)` where there is none (404); the error is for a path with more than one reading (400).
    pub fn route(&self, path: &str) -> Result<Option<&Route>, PathError> {
        check_path(path)?;
        let longest = &path[..path.len().min(self.longest + 1)];
        let whole = (path.len() <= self.longest).then_some(path);
        let prefixes = longest
            .rmatch_indices('/')
            .map(|(end, _)| &path[..end])
            .filter(|prefix| !prefix.is_empty());
        let found = whole
            .into_iter()
            .chain(prefixes)
            .chain(["/"])
            .find_map(|prefix| self.by_path.get(prefix));
        Ok(found.map(|index| &self.routes[*index]))
    }

    fn of_record(record: SiteRecord, index: usize) -> Result<Site, RecordError> {
        let mut site = Site {
            name: record.name.into(),
            index,
            mode: record.client_certificate,
            on_refusal: record.on_refusal,
            environment: record.environment.into(),
            routes: Vec::with_capacity(record.routes.len()),
            by_path: HashMap::default(),
            longest: 0,
        };
        for (position, record) in record.routes.into_iter().enumerate() {
            let environment = Arc::clone(&site.environment);
            let route =
                Route::of_record(record, position, environment).map_err(|(path, problem)| {
                    error(format!("site {}, route {path}", site.name), problem)
                })?;
            if site.by_path.insert(route.path.clone(), position).is_some() {
                return Err(error(
                    format!("site {}, route {}", site.name, route.path),
                    "is there twice".into(),
                ));
            }
            site.longest = site.longest.max(route.path.len());
            site.routes.push(route);
        }
        Ok(site)
    }
}

impl Route {
    /// Index of the upstream in the gate's settings; `None` where the gate answers itself.
    pub fn upstream(&self) -> Option<u32> {
        self.upstream
    }

    /// Its mode.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// The prefix, as configured: the label in logs and metrics.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The environment of its site; empty where all are alike.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Position among the routes of its site, as in the gate's settings.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The error is the path and what is wrong with the route.
    fn of_record(
        record: RouteRecord,
        index: usize,
        environment: Arc<str>,
    ) -> Result<Route, (String, String)> {
        let problem = if let Err(fault) = check_path(&record.path) {
            Some(format!("its path {fault}"))
        } else if record.path.len() > 1 && record.path.ends_with('/') {
            Some(format!(
                "its path ends with a slash; write {}",
                record.path.trim_end_matches('/')
            ))
        } else if record.client_certificate != Mode::Required
            && !(record.roles.is_empty() && record.clients.is_empty())
        {
            // Who is not asked for a certificate has no role: such a rule would look like one and protect nothing.
            Some("names roles or clients but does not require a certificate".into())
        } else {
            None
        };
        match problem {
            Some(problem) => Err((record.path, problem)),
            None => Ok(Route {
                path: record.path.into(),
                index,
                mode: record.client_certificate,
                roles: record.roles.into_iter().map(Into::into).collect(),
                clients: record.clients.into_iter().map(Into::into).collect(),
                upstream: record.upstream,
                environment,
            }),
        }
    }
}

/// All sites, and which hosts are whose.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Sites {
    all: Vec<Site>,
    by_host: HashMap<Box<str>, usize, RandomState>,
}

impl Sites {
    pub fn all(&self) -> &[Site] {
        &self.all
    }

    pub fn of(&self, host: &str) -> Option<&Site> {
        self.by_host
            .get(normal_host(host)?.as_ref())
            .map(|index| &self.all[*index])
    }

    pub fn of_records(records: Vec<SiteRecord>) -> Result<Sites, RecordError> {
        let mut sites = Sites::default();
        for (index, record) in records.into_iter().enumerate() {
            let name = record.name.clone();
            let wrong = |problem: String| error(format!("site {name}"), problem);
            if sites.all.iter().any(|site| *site.name == *name) {
                return Err(wrong("is there twice".into()));
            }
            for host in &record.hosts {
                let normal = normal_host(host)
                    .ok_or_else(|| wrong(format!("its host {host:?} is no name or address")))?;
                if let Some(other) = sites.by_host.insert(normal.as_ref().into(), index) {
                    let other = sites
                        .all
                        .get(other)
                        .map_or(name.as_str(), |site| site.name());
                    return Err(wrong(format!(
                        "its host {host} is already that of site {other}"
                    )));
                }
            }
            sites.all.push(Site::of_record(record, index)?);
        }
        Ok(sites)
    }
}

/// A host in the one form in which it is kept and looked up: lower case, no trailing dot, addresses as they are usually written.
fn normal_host(host: &str) -> Option<std::borrow::Cow<'_, str>> {
    let host = host.strip_suffix('.').unwrap_or(host);
    // RFC 1035 2.3.4: at most 255 octets on the wire, 253 characters.
    if host.is_empty() || host.len() > 253 {
        return None;
    }
    let mut has_capitals = false;
    for octet in host.bytes() {
        match octet {
            b':' => return normal_address(host).map(Into::into),
            b'A'..=b'Z' => has_capitals = true,
            b'!'..=b'~' => {}
            _ => return None,
        }
    }
    Some(if has_capitals {
        host.to_ascii_lowercase().into()
    } else {
        host.into()
    })
}

fn normal_address(host: &str) -> Option<String> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    Some(bare.parse::<IpAddr>().ok()?.to_string())
}
