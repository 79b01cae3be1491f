//! Reads a client's bytes, or a service's, as a connection would, without one: for tests that try to trick it.

use bytes::BytesMut;
use http::{HeaderMap, Method, StatusCode};

use super::{
    Asked,
    head::{Heads, Request},
    write::{self, BodyFraming, Persistence},
};
use crate::{
    random::RequestIds,
    settings::RouteOptions,
    trace::Tracing,
    upstream::{Additions, BodyKind, Framing, Head, Piece, take_head, write_head, write_trailers},
};

/// Longest head, in bytes.
const LIMIT: usize = 8 * 1024;

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// The requests, in their order; of the last one, the body may not be all there.
    pub requests: Vec<Told>,
    /// The status with which the connection ended, if it did.
    pub refused: Option<u16>,
}

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub struct Told {
    /// The method.
    pub method: String,
    /// The path and query.
    pub target: String,
    /// As much of the body as is there.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub is_whole: bool,
    /// What a service would be sent for it, with a `Host` field and nothing else of the gate's that says who is who. The client's
    /// trace goes on.
    pub forwarded: Vec<u8>,
}

/// Reads `bytes`, of which at most `step` come at a time.
pub fn read(bytes: &[u8], step: usize) -> Reading {
    let mut reading = Reading::default();
    let (mut inbox, mut heads) = (BytesMut::new(), Heads::default());
    let mut current: Option<Current> = None;
    let mut left = bytes.chunks(step.max(1));
    loop {
        let progress = match &mut current {
            None => match heads.take(&mut inbox, LIMIT) {
                Err(bad) => {
                    reading.refused = Some(bad.document().status.as_u16());
                    return reading;
                }
                Ok(request) => {
                    let there = request.is_some();
                    current = request.map(Current::new);
                    there
                }
            },
            Some(request) => match request.framing.take(&mut inbox) {
                Err(_) => {
                    reading.refused = Some(400);
                    reading.requests.extend(current.map(Current::told));
                    return reading;
                }
                Ok(None) => false,
                Ok(Some(piece)) => {
                    match piece {
                        Piece::Data(data) => request.body.extend_from_slice(&data),
                        Piece::Trailers(trailers) => request.trailers = trailers,
                        Piece::End => {}
                    }
                    if request.framing.is_done() {
                        let keep_alive = request.request.keep_alive;
                        reading.requests.extend(current.take().map(Current::told));
                        if !keep_alive {
                            return reading;
                        }
                    }
                    true
                }
            },
        };
        if !progress {
            match left.next() {
                Some(more) => inbox.extend_from_slice(more),
                None => {
                    reading.requests.extend(current.map(Current::told));
                    return reading;
                }
            }
        }
    }
}

/// A request of which something is still to come.
struct Current {
    request: Request,
    framing: Framing,
    body: Vec<u8>,
    trailers: HeaderMap,
}

impl Current {
    fn new(request: Request) -> Current {
        Current {
            framing: request.framing,
            request,
            body: Vec::new(),
            trailers: HeaderMap::new(),
        }
    }

    fn told(mut self) -> Told {
        let head = &self.request.head;
        let options = RouteOptions::default();
        let additions = Additions {
            hop: b"host: a.test\r\n",
            body: self.request.kind,
            upgrade: false,
            identity: b"",
            options: &options,
            facts: None,
            trace: Some(Tracing::new(1.0, true).begin(head, true).outward()),
            request_id: RequestIds::new().next(),
        };
        let mut forwarded = Vec::new();
        write_head(&mut forwarded, head, &additions);
        if self.request.kind == BodyKind::Chunked {
            if !self.body.is_empty() {
                write::chunk_size(&mut forwarded, self.body.len());
                forwarded.extend_from_slice(&self.body);
                forwarded.extend_from_slice(b"\r\n");
            }
            forwarded.extend_from_slice(b"0\r\n");
            options.strip(&mut self.trailers);
            write_trailers(&mut forwarded, &self.trailers);
            forwarded.extend_from_slice(b"\r\n");
        } else {
            forwarded.extend_from_slice(&self.body);
        }
        let target = head.uri.path_and_query();
        Told {
            method: head.method.to_string(),
            target: target.map_or("/", |target| target.as_str()).to_owned(),
            is_whole: self.framing.is_done(),
            body: self.body,
            forwarded,
        }
    }
}

/// A response of a service.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Statuses of interim responses, in their order.
    pub interim: Vec<u16>,
    /// The final status.
    pub status: u16,
    /// As much of the body as is there.
    pub body: Vec<u8>,
    /// As they came; not all of them are passed on.
    pub trailers: HeaderMap,
    /// Whether that is all of it, if the connection ends here.
    pub is_whole: bool,
    /// Whether the connection may be used again after it.
    pub keep_alive: bool,
    /// So many bytes it takes.
    pub length: usize,
    /// What a client of HTTP/1.1 that takes trailers is sent for it.
    pub forwarded: Vec<u8>,
}

/// Reads `bytes`, of which at most `step` come at a time, as the response to a request of `method`; `None` if its final
/// head is not all there.
pub fn answered(
    bytes: &[u8],
    method: &Method,
    step: usize,
) -> Result<Option<Answered>, &'static str> {
    let mut inbox = BytesMut::new();
    let mut left = bytes.chunks(step.max(1));
    let mut answer = Answered::default();
    let head = loop {
        match take_head(&mut inbox, method).map_err(|bad| bad.0)? {
            Some(head) if head.is_interim() => {
                answer.interim.push(head.status.as_u16());
                write::interim(&mut answer.forwarded, head.status, &head.fields);
            }
            Some(head) => break head,
            None => match left.next() {
                Some(more) => inbox.extend_from_slice(more),
                None => return Ok(None),
            },
        }
    };
    let framing = answer.begin(&head, method);
    let mut rest = head.framing;
    while !rest.is_done() {
        match rest.take(&mut inbox).map_err(|bad| bad.0)? {
            Some(Piece::Data(data)) => {
                if framing == BodyFraming::Chunked {
                    write::chunk_size(&mut answer.forwarded, data.len());
                }
                answer.forwarded.extend_from_slice(&data);
                if framing == BodyFraming::Chunked {
                    answer.forwarded.extend_from_slice(b"\r\n");
                }
                answer.body.extend_from_slice(&data);
            }
            Some(Piece::Trailers(trailers)) => answer.trailers = trailers,
            Some(Piece::End) => break,
            None => match left.next() {
                Some(more) => inbox.extend_from_slice(more),
                None => break,
            },
        }
    }
    answer.is_whole = rest.may_end_here();
    if framing == BodyFraming::Chunked && answer.is_whole {
        answer.forwarded.extend_from_slice(b"0\r\n");
        write_trailers(&mut answer.forwarded, &answer.trailers);
        answer.forwarded.extend_from_slice(b"\r\n");
    }
    answer.length = bytes.len() - inbox.len() - left.map(<[u8]>::len).sum::<usize>();
    Ok(Some(answer))
}

impl Answered {
    fn begin(&mut self, head: &Head, method: &Method) -> BodyFraming {
        let asked = Asked {
            is_head: method == Method::HEAD,
            is_11: true,
            keep_alive: true,
            trailers: true,
        };
        let length = match head.framing {
            Framing::Length(length) => Some(length),
            _ => None,
        };
        let (framing, persistence) = match head.status {
            StatusCode::SWITCHING_PROTOCOLS => (BodyFraming::None, Persistence::Upgrade),
            status => (asked.framing(status, length), Persistence::Usual),
        };
        self.status = head.status.as_u16();
        self.keep_alive = head.keep_alive;
        write::head(
            &mut self.forwarded,
            head.status,
            &head.fields,
            framing,
            persistence,
        );
        framing
    }
}
