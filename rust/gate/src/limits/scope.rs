//! What all clients together have used of a site or a route.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering::Relaxed},
};

use crate::settings::ScopeLimits;

/// A site or a route that has limits, as configured now.
#[derive(Debug)]
pub(crate) struct Scope {
    /// The site's name.
    pub(crate) site: Box<str>,
    /// The route's path; empty for the site as a whole.
    pub(crate) route: Box<str>,
    pub(crate) limits: ScopeLimits,
    /// Outlives a change of the configuration.
    pub(crate) used: Arc<Used>,
}

/// What is used. A cache line of its own: all workers write to it.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Used {
    connections: AtomicU32,
    /// See [`super::Rate::take`].
    pub(crate) handshakes: AtomicU64,
    pub(crate) requests: AtomicU64,
}

impl Scope {
    /// The scope of `route` of `site` with `limits`, going on with what `old` has counted; `None` without limits.
    pub(crate) fn new(
        site: &str,
        route: &str,
        limits: ScopeLimits,
        old: impl Iterator<Item = Arc<Scope>>,
    ) -> Option<Arc<Scope>> {
        if limits == ScopeLimits::default() {
            return None;
        }
        let mut old = old.filter(|old| *old.site == *site && *old.route == *route);
        Some(Arc::new(Scope {
            used: old.next().map(|old| old.used.clone()).unwrap_or_default(),
            site: site.into(),
            route: route.into(),
            limits,
        }))
    }

    pub(crate) fn is_site(&self) -> bool {
        self.route.is_empty()
    }
}

impl Used {
    /// Counts one more connection, unless there are `most`.
    pub(crate) fn connect(&self, most: u32) -> bool {
        (self.connections)
            .fetch_update(Relaxed, Relaxed, |now| (now < most).then_some(now + 1))
            .is_ok()
    }

    pub(crate) fn release(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }
}
