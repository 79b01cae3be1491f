//! The body that a client sends, on its way to an upstream: counted, its trailers cleaned.

use std::{
    cell::Cell,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;

use crate::{
    connection::{Active, Connection},
    message::Body,
    settings::RouteOptions,
    upstream::{BodyKind, Piece},
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
    /// It was waited for long enough.
    TooSlow,
    /// The client closed.
    Broken,
    /// It is framed in a way that is no HTTP.
    Malformed,
}

/// A client's body.
pub(crate) struct Upload {
    body: Body,
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
        body: Body,
        limit: Option<u64>,
        options: Arc<RouteOptions>,
        active: &Active,
        received: Rc<Cell<u64>>,
    ) -> Upload {
        let connection = active.connection.clone();
        let left = limit.unwrap_or(u64::MAX);
        connection.receives(active.slot(), true);
        Upload {
            chunked: body.kind() == BodyKind::Chunked,
            body,
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
            let piece = match &mut self.body {
                Body::None => Poll::Ready(Ok(Piece::End)),
                Body::Http1(wire, _) => wire.poll_piece(cx),
                Body::Http2(incoming, _) => incoming.poll_piece(cx),
            };
            if !(self.connection).waits_for_body(self.slot, piece.is_pending(), cx) {
                return Poll::Ready(Err(UploadError::TooSlow));
            }
            match ready!(piece) {
                Ok(Piece::Data(data)) if data.is_empty() => {}
                Ok(Piece::Data(data)) => {
                    let Some(left) = self.left.checked_sub(data.len() as u64) else {
                        return Poll::Ready(Err(UploadError::TooLarge));
                    };
                    self.left = left;
                    self.received.set(self.received.get() + data.len() as u64);
                    self.connection.came(self.slot, data.len());
                    return Poll::Ready(Ok(Part::Data(data)));
                }
                Ok(Piece::End) => {
                    self.connection.receives(self.slot, false);
                    return Poll::Ready(Ok(Part::End(None)));
                }
                Ok(Piece::Trailers(mut trailers)) => {
                    self.connection.receives(self.slot, false);
                    self.options.strip(&mut trailers);
                    return Poll::Ready(Ok(Part::End(Some(trailers))));
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
