//! Traces: where a request stands in one, what is recorded about it, and what its upstream is told (W3C Trace Context).
//!
//! Knows ids, sampling and a bounded store of what was recorded, until it is fetched. Does not know OTLP, nor who takes the
//! records: that is the control plane's.
//!
//! A client is outside: unless the settings say that the traces of admitted clients go on here, the gate begins a trace of
//! its own, and what the client sent becomes a link (W3C Trace Context 3.4, "restart trace").

use std::{cell::RefCell, fmt, net::IpAddr, time::Instant};

use serde::Serialize;

use crate::{authority, ledger::unix_nanoseconds, message::RequestHead, random::lot};

mod context;
mod kept;

pub(crate) use self::context::{Outward, PARENT};
use self::context::{Parent, RANDOM, SAMPLED, state_of};
pub use self::kept::Spans;

/// Longest text of a stranger's choice in a record, in bytes.
const MAX_TEXT_BYTES: usize = 1024;

/// The random part of a trace's id by which it is sampled (W3C Trace Context 2, 2.2.2.3).
const RANDOM_BITS: u32 = 56;

/// How requests are traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tracing {
    /// A trace that begins here is recorded if the random part of its id is at least this.
    from: u64,
    /// Whether the traces of admitted clients go on here.
    accept: bool,
}

impl Tracing {
    /// `sample` is the share of traces that begin here and are recorded, 0 to 1.
    pub(crate) fn new(sample: f64, accept: bool) -> Tracing {
        let all = 1_u64 << RANDOM_BITS;
        Tracing {
            from: all - ((sample * all as f64) as u64).min(all),
            accept,
        }
    }

    /// Finds the place of a request. `trusted`: it comes from a client that is admitted.
    pub(crate) fn begin(self, head: &RequestHead, trusted: bool) -> Box<Trace> {
        let said = Parent::of(&head.fields);
        let goes_on = self.accept && trusted;
        let (parent, link) = if goes_on { (said, None) } else { (None, said) };
        let (trace, flags) = match parent {
            Some(parent) => (parent.trace, parent.flags & (SAMPLED | RANDOM)),
            None => {
                let id = (u128::from(lot()) << 64) | u128::from(lot());
                let random = id as u64 & ((1 << RANDOM_BITS) - 1);
                let sampled = if random >= self.from { SAMPLED } else { 0 };
                (id.max(1), sampled | RANDOM)
            }
        };
        let state = parent.and_then(|_| state_of(&head.fields));
        let recorded = flags & SAMPLED != 0;
        Box::new(Trace {
            id: trace,
            flags,
            outward: lot().max(1),
            keeps_state: state.is_some(),
            recording: recorded.then(|| {
                let authority = authority::of(&head.uri, &head.fields);
                Recording {
                    span: lot().max(1),
                    parent,
                    link,
                    state: state.unwrap_or_default(),
                    host: clip(authority.map_or("", |authority| authority.host)),
                    began: unix_nanoseconds(),
                    error: None,
                    call: None,
                }
            }),
        })
    }
}

/// Where one request stands.
#[derive(Debug)]
pub(crate) struct Trace {
    id: u128,
    flags: u8,
    /// The span that the upstream is told: the gate's own request to it.
    outward: u64,
    keeps_state: bool,
    /// There if the request is sampled.
    pub(crate) recording: Option<Recording>,
}

impl Trace {
    /// What the upstream is told.
    pub(crate) fn outward(&self) -> Outward {
        Outward::new(self.id, self.outward, self.flags, self.keeps_state)
    }
}

/// What is noted about a sampled request while it runs.
#[derive(Debug)]
pub(crate) struct Recording {
    span: u64,
    parent: Option<Parent>,
    link: Option<Parent>,
    state: String,
    host: String,
    /// Unix nanoseconds.
    began: u64,
    error: Option<&'static str>,
    call: Option<Calling>,
}

/// The request to the upstream.
#[derive(Debug)]
struct Calling {
    began: Instant,
    ended: Option<Instant>,
    status: u16,
    error: Option<&'static str>,
    tries: Tries,
}

impl Recording {
    /// The request goes to an upstream now; where its attempts are noted.
    pub(crate) fn calls(&mut self) -> &Tries {
        let call = Calling {
            began: Instant::now(),
            ended: None,
            status: 0,
            error: None,
            tries: Tries::default(),
        };
        &self.call.insert(call).tries
    }

    /// The upstream answered with this status; the rest of its answer is to come.
    pub(crate) fn answered(&mut self, status: u16) {
        if let Some(call) = &mut self.call {
            call.status = status;
        }
    }

    /// The upstream gave no answer, or not all of it.
    pub(crate) fn failed(&mut self, label: &'static str) {
        self.error = Some(label);
        if let Some(call) = &mut self.call {
            call.error = Some(label);
            call.ended = Some(Instant::now());
        }
    }
}

/// The attempts of one request, in their order.
#[derive(Debug, Default)]
pub(crate) struct Tries(RefCell<Vec<Tried>>);

#[derive(Debug)]
struct Tried {
    at: Instant,
    server: String,
    address: String,
    failure: Option<&'static str>,
}

impl Tries {
    /// One begins at `server`, as it is set, at `address`.
    pub(crate) fn begin(&self, server: &impl fmt::Display, address: &impl fmt::Display) {
        self.0.borrow_mut().push(Tried {
            at: Instant::now(),
            server: server.to_string(),
            address: address.to_string(),
            failure: None,
        });
    }

    /// The last one failed.
    pub(crate) fn failed(&self, label: &'static str) {
        if let Some(last) = self.0.borrow_mut().last_mut() {
            last.failure = Some(label);
        }
    }
}

/// A request that was traced, as the control plane reads it: MessagePack. Ids are lower-case hex, times Unix nanoseconds;
/// what is not known is empty, 0 or nothing.
#[derive(Debug, Clone, Serialize)]
pub struct Record {
    /// The trace.
    pub trace: String,
    /// The span of the request.
    pub span: String,
    /// The client's span, where its trace goes on here.
    pub parent: Option<String>,
    /// What the client said of a trace of its own, where it does not: trace, span and flags.
    pub link: Option<(String, String, u8)>,
    /// The client's `tracestate`, where its trace goes on here.
    pub state: String,
    /// The flags of the trace (W3C Trace Context).
    pub flags: u8,
    /// When its head was complete.
    pub began: u64,
    /// When the last byte of the answer was handed over, or it failed.
    pub ended: u64,
    /// Its id.
    pub request: String,
    /// The method.
    pub method: String,
    /// The host that it names.
    pub host: String,
    /// The port where it came in.
    pub port: u16,
    /// The path, without query, as it may be written down.
    pub path: String,
    /// The version of HTTP.
    pub http: &'static str,
    /// The address of the client.
    pub peer: String,
    /// The site's name.
    pub site: String,
    /// The route's path.
    pub route: String,
    /// The status of the answer; 0 for none.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// As in the access log.
    pub verdict: &'static str,
    /// Why it was refused, or the code of what was wrong.
    pub reason: String,
    /// The reference that the client was shown.
    pub refusal: String,
    /// The client's name.
    pub client: String,
    /// The version of TLS.
    pub tls: &'static str,
    /// The cipher suite of TLS.
    pub cipher: &'static str,
    /// Whether the TLS session was resumed.
    pub resumed: bool,
    /// How long the handshake of its connection took, in seconds.
    pub handshake: f64,
    /// How the upstream failed it.
    pub error: Option<&'static str>,
    /// The request to the upstream.
    pub call: Option<Call>,
}

/// The request to an upstream.
#[derive(Debug, Clone, Serialize)]
pub struct Call {
    /// Its span, which the upstream was told.
    pub span: String,
    /// When it began.
    pub began: u64,
    /// When the answer was here, or it failed.
    pub ended: u64,
    /// The upstream, by its name.
    pub upstream: String,
    /// The status of the answer; 0 for none.
    pub status: u16,
    /// How it failed.
    pub error: Option<&'static str>,
    /// Every attempt.
    pub tries: Vec<Try>,
}

/// One attempt.
#[derive(Debug, Clone, Serialize)]
pub struct Try {
    /// When it began.
    pub at: u64,
    /// The server as it is set.
    pub server: String,
    /// Where it was reached.
    pub address: String,
    /// How it failed.
    pub failure: Option<&'static str>,
}

impl Record {
    /// How many spans it is.
    pub fn spans(&self) -> u64 {
        1 + u64::from(self.call.is_some())
    }

    /// The record of a request that is over: it `started` when its recording began. What only the entry knows is still to
    /// be filled in.
    pub(crate) fn of(
        trace: &Trace,
        recording: &Recording,
        started: Instant,
        peer: IpAddr,
    ) -> Record {
        let at = |moment: Instant| {
            let since = moment.saturating_duration_since(started).as_nanos();
            recording.began + u64::try_from(since).unwrap_or_default()
        };
        let ended = at(Instant::now());
        let call = recording.call.as_ref().map(|call| Call {
            span: format!("{:016x}", trace.outward),
            began: at(call.began),
            ended: call.ended.map_or(ended, at),
            upstream: String::new(),
            status: call.status,
            error: call.error,
            tries: (call.tries.0.borrow().iter())
                .map(|tried| Try {
                    at: at(tried.at),
                    server: tried.server.clone(),
                    address: tried.address.clone(),
                    failure: tried.failure,
                })
                .collect(),
        });
        Record {
            trace: format!("{:032x}", trace.id),
            span: format!("{:016x}", recording.span),
            parent: recording
                .parent
                .map(|parent| format!("{:016x}", parent.span)),
            link: recording.link.map(|link| {
                (
                    format!("{:032x}", link.trace),
                    format!("{:016x}", link.span),
                    link.flags,
                )
            }),
            state: recording.state.clone(),
            flags: trace.flags,
            began: recording.began,
            ended,
            request: String::new(),
            method: String::new(),
            host: recording.host.clone(),
            port: 0,
            path: String::new(),
            http: "",
            peer: peer.to_string(),
            site: String::new(),
            route: String::new(),
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            verdict: "",
            reason: String::new(),
            refusal: String::new(),
            client: String::new(),
            tls: "",
            cipher: "",
            resumed: false,
            handshake: 0.0,
            error: recording.error,
            call,
        }
    }
}

/// A text of a stranger's choice, not longer than a record holds.
pub(crate) fn clip(text: &str) -> String {
    crate::clip::clip(text, MAX_TEXT_BYTES)
}

/// As MessagePack: a list of maps.
pub fn encode(records: &[Record]) -> Vec<u8> {
    // Nothing in a record can fail to be written to memory.
    rmp_serde::to_vec_named(records).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderValue, Method, Uri, Version};

    use super::*;

    const THEIRS: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn head(fields: &[(&'static str, &str)]) -> RequestHead {
        let mut map = HeaderMap::new();
        for (name, value) in fields {
            map.append(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        RequestHead {
            method: Method::GET,
            uri: Uri::from_static("/x?secret"),
            version: Version::HTTP_11,
            protocol: None,
            fields: map.into(),
        }
    }

    #[test]
    fn the_share_that_is_asked_for_is_recorded() {
        let recorded = |sample: f64| {
            let tracing = Tracing::new(sample, false);
            let head = head(&[]);
            (0..10_000)
                .filter(|_| tracing.begin(&head, false).recording.is_some())
                .count()
        };
        assert_eq!(recorded(0.0), 0);
        assert_eq!(recorded(1.0), 10_000);
        assert!((800..1_200).contains(&recorded(0.1)));
    }

    #[test]
    fn a_trace_of_a_client_goes_on_only_where_that_is_asked_for_and_the_client_is_admitted() {
        let head = head(&[
            ("traceparent", THEIRS),
            ("tracestate", "a=1"),
            ("tracestate", "b=2"),
        ]);
        let on = |accept, trusted| Tracing::new(0.0, accept).begin(&head, trusted);
        let trace = on(true, true);
        let recording = trace.recording.as_ref().unwrap();
        assert_eq!(
            recording.parent.map(|parent| parent.span),
            Some(0xb7ad_6b71_6920_3331)
        );
        assert_eq!(
            (trace.id, &*recording.state),
            (0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c, "a=1,b=2")
        );
        let outward = trace.outward();
        assert!(
            outward
                .parent()
                .starts_with(b"00-0af7651916cd43dd8448eb211c80319c-")
        );
        assert!(outward.replaces(b"TraceParent") && !outward.replaces(b"tracestate"));
        // Flags that nobody knows are not passed on (W3C Trace Context 2.2.2.4).
        let flags = THEIRS.replacen("-01", "-ff", 1);
        let flagged = self::head(&[("traceparent", &flags)]);
        let trace = Tracing::new(0.0, true).begin(&flagged, true);
        assert!(trace.outward().parent().ends_with(b"-03"));
        for (accept, trusted) in [(false, true), (true, false), (false, false)] {
            let trace = on(accept, trusted);
            assert_ne!(trace.id, 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c);
            assert!(trace.recording.is_none() && trace.outward().replaces(b"tracestate"));
        }
        let linked = Tracing::new(1.0, false).begin(&head, true);
        let recording = linked.recording.as_ref().unwrap();
        assert!(recording.parent.is_none() && recording.state.is_empty());
        assert_eq!(recording.link.map(|link| link.flags), Some(1));
    }

    #[test]
    fn what_is_no_place_in_a_trace_is_not_continued() {
        for fields in [
            &[(
                "traceparent",
                "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            )][..],
            &[("traceparent", THEIRS), ("traceparent", THEIRS)],
        ] {
            let trace = Tracing::new(1.0, true).begin(&head(fields), true);
            let recording = trace.recording.unwrap();
            assert!(recording.parent.is_none() && recording.link.is_none());
        }
        let long = "a=".to_owned() + &"1".repeat(511);
        for (state, goes_on) in [("a=\t1", true), (&*long, false), ("a=é", false)] {
            let head = head(&[("traceparent", THEIRS), ("tracestate", state)]);
            let trace = Tracing::new(0.0, true).begin(&head, true);
            assert_eq!(trace.outward().replaces(b"tracestate"), !goes_on, "{state}");
        }
    }
}
