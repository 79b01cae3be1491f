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
    trace::{Outward, Record, Recording, Trace, Tries, clip},
    upstream::Failure,
};

/// Unix milliseconds.
pub(crate) fn unix_milliseconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Unix nanoseconds.
pub(crate) fn unix_nanoseconds() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
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
    /// Its place in a trace, where requests are traced.
    trace: Option<Box<Trace>>,
    details: Option<Box<Details>>,
}

/// What the access line and a span need beyond that; kept only where there is an access log, or the request is sampled.
struct Details {
    at: i64,
    state: Arc<State>,
    method: Method,
    target: Option<PathAndQuery>,
    version: Option<Version>,
    site: Option<usize>,
    route: Option<usize>,
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
        let trace = (state.config.settings.tracing)
            // What is passed on unread can be told nothing.
            .filter(|_| !connection.is_stream)
            .map(|tracing| tracing.begin(request, standing.is_admitted()));
        let is_recorded = trace
            .as_ref()
            .is_some_and(|trace| trace.recording.is_some());
        let details = (state.config.access.is_on() || is_recorded).then(|| {
            Box::new(Details {
                at: unix_milliseconds(),
                state: state.clone(),
                method: request.method.clone(),
                target: request.uri.path_and_query().cloned(),
                version: (!connection.is_stream).then_some(request.version),
                site: None,
                route: None,
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
            trace,
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
    pub(crate) fn route(&mut self, route: &judge::Route, counted: Slot) {
        self.counted = counted;
        if let Some(details) = &mut self.details {
            details.route = Some(route.index());
        }
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

    /// What the upstream is told of the request's trace.
    pub(crate) fn outward(&self) -> Option<Outward> {
        self.trace.as_ref().map(|trace| trace.outward())
    }

    /// Notes that it goes to its upstream now; where attempts are noted, if it is sampled.
    pub(crate) fn calls(&mut self) -> Option<&Tries> {
        self.recording().map(|recording| recording.calls())
    }

    /// Notes that the upstream answered.
    pub(crate) fn answered(&mut self, status: StatusCode) {
        if let Some(recording) = self.recording() {
            recording.answered(status.as_u16());
        }
        self.status(status);
    }

    /// Notes that the upstream gave no answer, or not all of it.
    pub(crate) fn failed(&mut self, failure: Failure) {
        if let Some(recording) = self.recording() {
            recording.failed(failure.label());
        }
    }

    fn recording(&mut self) -> Option<&mut Recording> {
        self.trace.as_mut()?.recording.as_mut()
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
        let path = details.target.as_ref().map_or("", PathAndQuery::path);
        let path = details.state.discreet(path);
        let site = (details.site).map(|site| &details.state.snapshot.sites()[site]);
        let outcome = match &details.decided {
            Decided::Permitted(Some(admission)) => {
                Outcome::Admitted(admission.client().id, &admission.client().name)
            }
            Decided::Permitted(None) | Decided::Nothing => Outcome::Anonymous,
            Decided::Shown(code) => Outcome::Shown(code),
            Decided::Refused(code, id) => Outcome::Refused(code, *id),
        };
        let upstream = (details.upstream.as_ref()).map_or("", |upstream| &upstream.label);
        let met = &self.connection.met;
        let peer = met.peer.ip();
        if let Some(trace) = &self.trace
            && let Some(recording) = &trace.recording
        {
            let mut record = Record::of(trace, recording, self.started, peer);
            record.request = self.request_id.as_str().to_owned();
            record.method = clip(details.method.as_str());
            record.port = met.port;
            record.path = clip(&path);
            record.http = match details.version {
                Some(Version::HTTP_2) => "2",
                Some(Version::HTTP_10) => "1.0",
                _ => "1.1",
            };
            if let Some(site) = site {
                record.site = site.name().to_owned();
                record.route = (details.route)
                    .and_then(|route| site.routes().get(route))
                    .map_or_else(String::new, |route| route.path().to_owned());
            }
            (record.status, record.bytes_in, record.bytes_out) = (status, received, self.sent);
            let (verdict, reason, refusal) = match outcome {
                Outcome::Admitted(..) => ("admitted", "", None),
                Outcome::Anonymous => ("anonymous", "", None),
                Outcome::Shown(code) => ("shown", code, None),
                Outcome::Refused(code, id) => ("refused", code, id),
            };
            (record.verdict, record.reason) = (verdict, reason.to_owned());
            record.refusal = refusal.map_or_else(String::new, |id| id.as_str().to_owned());
            if let Verdict::Admitted(admission) = &details.standing.verdict {
                record.client = admission.client().name.to_string();
            }
            (record.tls, record.cipher, record.resumed) = (met.version, met.cipher, met.resumed);
            record.handshake = met.took.as_secs_f64();
            if let Some(call) = &mut record.call {
                call.upstream = upstream.to_owned();
            }
            self.connection.worker.shared.spans.push(record);
        }
        let admission = match &details.standing.verdict {
            Verdict::Admitted(admission) => Some(admission),
            Verdict::Refused(_) => None,
        };
        details.state.config.access.log(&Line {
            at: details.at,
            request: self.request_id.as_str(),
            peer,
            site: site.map_or("", judge::Site::name),
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
            outcome,
            credential: admission.map(|admission| admission.fingerprint()),
            upstream,
            tls: met.version,
            resumed: met.resumed,
        });
    }
}
