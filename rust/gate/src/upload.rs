//! The body that a client sends, on its way to an upstream: counted, its trailers cleaned.

use std::{
    cell::Cell,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use hyper::body::Incoming;

use crate::{
    connection::{Active, Connection},
    settings::RouteOptions,
};

/// A part of a body.
#[derive(Debug)]
pub(crate) enum Part {
    Data(Bytes),
    /// The end, and perhaps trailers.
    End(Option<HeaderMap>),
}

/// Why there is no next part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum UploadError {
    /// It is longer than the route takes.
    TooLarge,
    /// The client closed, or broke HTTP.
    Broken,
}

/// A client's body.
pub(crate) struct Upload {
    body: Incoming,
    chunked: bool,
    left: u64,
    options: Arc<RouteOptions>,
    connection: Rc<Connection>,
    slot: usize,
    received: Rc<Cell<u64>>,
}

impl std::fmt::Debug for Upload {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Upload")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Upload {
    /// A body of at most `limit` bytes; the connection of `active` watches for stalls.
    pub(crate) fn new(
        body: Incoming,
        chunked: bool,
        limit: Option<u64>,
        options: Arc<RouteOptions>,
        active: &Active,
        received: Rc<Cell<u64>>,
    ) -> Upload {
        let connection = active.connection.clone();
        let left = limit.unwrap_or(u64::MAX);
        connection.receives(active.slot(), true);
        Upload {
            body,
            chunked,
            left,
            options,
            connection,
            slot: active.slot(),
            received,
        }
    }

    pub(crate) fn is_chunked(&self) -> bool {
        self.chunked
    }

    /// The next part; the client is asked for more (`100 Continue`, window updates) only by this.
    pub(crate) fn poll_part(&mut self, cx: &mut Context<'_>) -> Poll<Result<Part, UploadError>> {
        loop {
            let frame = match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => {
                    self.connection.waits_for_body(self.slot, true);
                    return Poll::Pending;
                }
                ready => {
                    self.connection.waits_for_body(self.slot, false);
                    ready!(ready)
                }
            };
            let frame = match frame {
                None => {
                    self.connection.receives(self.slot, false);
                    return Poll::Ready(Ok(Part::End(None)));
                }
                Some(Ok(frame)) => frame,
                Some(Err(_)) => return Poll::Ready(Err(UploadError::Broken)),
            };
            match frame.into_data() {
                Ok(data) if data.is_empty() => {}
                Ok(data) => {
                    let Some(left) = self.left.checked_sub(data.len() as u64) else {
                        return Poll::Ready(Err(UploadError::TooLarge));
                    };
                    self.left = left;
                    self.received.set(self.received.get() + data.len() as u64);
                    self.connection.came(self.slot, data.len());
                    return Poll::Ready(Ok(Part::Data(data)));
                }
                Err(frame) => {
                    if let Ok(mut trailers) = frame.into_trailers() {
                        self.connection.receives(self.slot, false);
                        self.options.strip(&mut trailers);
                        return Poll::Ready(Ok(Part::End(Some(trailers))));
                    }
                }
            }
        }
    }
}
