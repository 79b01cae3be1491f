//! Reads a client's bytes as a connection would, without one: for tests that try to trick it.

use bytes::BytesMut;
use http::HeaderMap;

use super::head::{Heads, Request};
use crate::{
    random::RequestIds,
    settings::RouteOptions,
    upstream::{Additions, BodyKind, Framing, Piece, write_head, write_trailers},
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
    /// What a service would be sent for it, with a `Host` field and nothing else of the gate's that says who is who.
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
            trace: None,
            request_id: RequestIds::new().next(),
        };
        let mut forwarded = Vec::new();
        write_head(&mut forwarded, head, &additions);
        if self.request.kind == BodyKind::Chunked {
            if !self.body.is_empty() {
                super::write::chunk_size(&mut forwarded, self.body.len());
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
