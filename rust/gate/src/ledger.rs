//! What is written down about a request when it is over: counters and one access line.

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use http::{Method, StatusCode, Version, uri::PathAndQuery};
use judge::{Admission, Verdict};

use crate::{
    access::{Line, Outcome},
    connection::Connection,
    counters::{Counters, Flow, Slot},
    message::RequestHead,
    random::RequestId,
    refusal::RefusalId,
    standing::Standing,
    state::{State, Upstream},
};

/// Unix milliseconds.
pub(crate) fn unix_milliseconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A request's entry. It is written when it is dropped: when the last byte of the answer is handed over, or when the
/// request has failed.
pub(crate) struct Entry {
    connection: Rc<Connection>,
    pub(crate) request_id: RequestId,
    started: Instant,
    counted: Slot,
    status: Option<StatusCode>,
    received: Option<Rc<Cell<u64>>>,
    sent: u64,
    details: Option<Box<Details>>,
}

/// What the access line needs beyond that; kept only where there is an access log.
struct Details {
    at: i64,
    state: Arc<State>,
    method: Method,
    target: Option<PathAndQuery>,
    version: Option<Version>,
    site: Option<usize>,
    standing: Rc<Standing>,
    decided: Decided,
    upstream: Option<Arc<Upstream>>,
}

enum Decided {
    Nothing,
    Permitted(Option<Arc<Admission>>),
    /// Permitted as nobody, although something was shown; why it was refused.
    Shown(&'static str),
    Refused(&'static str, Option<RefusalId>),
}

impl Entry {
    pub(crate) fn new(
        connection: &Rc<Connection>,
        state: &Arc<State>,
        standing: &Rc<Standing>,
        request: &RequestHead,
    ) -> Entry {
        let details = state.config.access.is_on().then(|| {
            Box::new(Details {
                at: unix_milliseconds(),
                state: state.clone(),
                method: request.method.clone(),
                target: request.uri.path_and_query().cloned(),
                version: (!connection.is_stream).then_some(request.version),
                site: None,
                standing: standing.clone(),
                decided: Decided::Nothing,
                upstream: None,
            })
        });
        Entry {
            connection: connection.clone(),
            request_id: connection.worker.request_ids.next(),
            started: Instant::now(),
            counted: Counters::NO_ROUTE,
            status: None,
            received: None,
            sent: 0,
            details,
        }
    }

    /// Notes the site.
    pub(crate) fn site(&mut self, site: &judge::Site) {
        if let Some(details) = &mut self.details {
            details.site = Some(site.index());
        }
    }

    /// Notes the route.
    pub(crate) fn route(&mut self, counted: Slot) {
        self.counted = counted;
    }

    /// Notes that it may pass.
    pub(crate) fn permitted(
        &mut self,
        admission: Option<&Arc<Admission>>,
        upstream: Option<&Arc<Upstream>>,
    ) {
        match admission {
            Some(_) => self.connection.worker.shared.counters.admitted(),
            None => self.connection.worker.shared.counters.anonymous(),
        }
        if let Some(details) = &mut self.details {
            details.decided = Decided::Permitted(admission.cloned());
            details.upstream = upstream.cloned();
        }
    }

    /// Notes that it may pass although its certificate was refused, since the service wants to hear of that.
    pub(crate) fn shown(&mut self, code: &'static str) {
        if let Some(details) = &mut self.details {
            details.decided = Decided::Shown(code);
        }
    }

    /// Notes that it was turned away.
    pub(crate) fn refused(&mut self, code: &'static str, id: Option<RefusalId>) {
        if let Some(details) = &mut self.details {
            details.decided = Decided::Refused(code, id);
        }
    }

    /// Whether nobody has noted yet that it may pass, or not.
    pub(crate) fn is_undecided(&self) -> bool {
        self.details
            .as_ref()
            .is_some_and(|details| matches!(details.decided, Decided::Nothing))
    }

    /// Notes the status of the answer.
    pub(crate) fn status(&mut self, status: StatusCode) {
        self.status = Some(status);
    }

    /// Where bytes of the request's body are counted.
    pub(crate) fn received(&mut self) -> Rc<Cell<u64>> {
        self.received.get_or_insert_default().clone()
    }

    /// Notes bytes of the answer's body.
    pub(crate) fn sent(&mut self, bytes: u64) {
        self.sent += bytes;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.started.elapsed();
        let counters = &self.connection.worker.shared.counters;
        let status = self.status.map_or(0, |status| status.as_u16());
        counters.request(self.counted, status, took);
        let received = self.received.as_ref().map_or(0, |bytes| bytes.get());
        if received > 0 {
            counters.add(Flow::BytesIn, received);
        }
        counters.add(Flow::BytesOut, self.sent);
        let Some(details) = &self.details else { return };
        let admission = match &details.standing.verdict {
            Verdict::Admitted(admission) => Some(admission),
            Verdict::Refused(_) => None,
        };
        let path = details.target.as_ref().map_or("", PathAndQuery::path);
        let path = details.state.discreet(path);
        details.state.config.access.log(&Line {
            at: details.at,
            request: self.request_id.as_str(),
            peer: self.connection.met.peer.ip(),
            site: details
                .site
                .map_or("", |site| details.state.snapshot.sites()[site].name()),
            method: details.method.as_str(),
            path: &path,
            has_query: details
                .target
                .as_ref()
                .is_some_and(|target| target.query().is_some()),
            protocol: details.version,
            status,
            bytes_in: received,
            bytes_out: self.sent,
            took,
            outcome: match &details.decided {
                Decided::Permitted(Some(admission)) => {
                    Outcome::Admitted(admission.client().id, &admission.client().name)
                }
                Decided::Permitted(None) | Decided::Nothing => Outcome::Anonymous,
                Decided::Shown(code) => Outcome::Shown(code),
                Decided::Refused(code, id) => Outcome::Refused(code, *id),
            },
            credential: admission.map(|admission| admission.fingerprint()),
            upstream: details
                .upstream
                .as_ref()
                .map_or("", |upstream| &upstream.label),
            tls: self.connection.met.version,
            resumed: self.connection.met.resumed,
        });
    }
}
