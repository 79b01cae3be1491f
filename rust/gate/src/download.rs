//! The body of an answer, on its way to the client: the upstream's, or one of our own.

use std::task::{Context, Poll};

use bytes::Bytes;

use crate::{
    connection::Active,
    counters::UpstreamError,
    ledger::Entry,
    upstream::{Exchange, Piece},
};

/// The upstream broke its answer off; so does the gate, lest the client take a part for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the upstream broke its answer off")]
pub(crate) struct BrokenOff;

/// A body. When it is dropped, the request is over and its entry is written.
pub(crate) struct Download {
    source: Source,
    request: Option<(Active, Entry)>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "the large one is the usual one: a box would be an allocation for each request"
)]
enum Source {
    Nothing,
    Own(Bytes),
    Upstream { exchange: Exchange, max_idle: usize },
}

impl Download {
    /// Our own words.
    pub(crate) fn own(bytes: Bytes, active: Active, entry: Entry) -> Download {
        let mut download = Download {
            source: Source::Own(bytes),
            request: Some((active, entry)),
        };
        if download.is_over() {
            download.end();
        } else {
            download.owes(true);
        }
        download
    }

    /// The rest of an exchange; `max_idle` connections to the upstream are kept.
    pub(crate) fn of_upstream(
        exchange: Exchange,
        max_idle: usize,
        active: Active,
        entry: Entry,
    ) -> Download {
        let done = exchange.is_done();
        let source = Source::Upstream { exchange, max_idle };
        let mut download = Download {
            source,
            request: Some((active, entry)),
        };
        if done {
            download.end();
        } else {
            download.owes(true);
        }
        download
    }

    /// Notes that the answer is complete, and gives the connection to the upstream back.
    fn end(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Nothing);
        let Some((active, _)) = &mut self.request else {
            return;
        };
        active.complete();
        if let Source::Upstream { exchange, max_idle } = source {
            let worker = &active.connection.worker;
            exchange.finish(&worker.pools, worker.now(), max_idle);
        }
    }

    /// Notes whether it is the client's turn.
    fn owes(&self, owes: bool) {
        if let Some((active, _)) = &self.request {
            active.connection.owes(active.slot(), owes);
        }
    }

    fn sent(&mut self, bytes: usize) {
        if let Some((active, entry)) = &mut self.request {
            active.connection.took(active.slot(), bytes);
            entry.sent(bytes as u64);
        }
    }
}

impl Download {
    /// The next piece.
    pub(crate) fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Result<Piece, BrokenOff>> {
        let piece = match &mut self.source {
            Source::Nothing => return Poll::Ready(Ok(Piece::End)),
            Source::Own(bytes) => Ok(Piece::Data(std::mem::take(bytes))),
            Source::Upstream { exchange, .. } => match exchange.poll_piece(cx) {
                Poll::Ready(piece) => piece,
                Poll::Pending => {
                    self.owes(false);
                    return Poll::Pending;
                }
            },
        };
        Poll::Ready(match piece {
            Ok(Piece::Data(bytes)) => {
                self.sent(bytes.len());
                // The last piece has to be taken, too.
                self.owes(true);
                if self.is_over() {
                    self.end();
                }
                Ok(Piece::Data(bytes))
            }
            Ok(last) => {
                self.end();
                Ok(last)
            }
            Err(failure) => {
                if let Some((active, entry)) = &mut self.request {
                    entry.failed(failure);
                    active
                        .connection
                        .worker
                        .shared
                        .counters
                        .upstream_error(UpstreamError::Incomplete);
                }
                self.source = Source::Nothing;
                Err(BrokenOff)
            }
        })
    }

    /// Takes over what has come, while the client takes nothing; see [`Exchange::hold`].
    pub(crate) fn hold(&mut self, cx: &mut Context<'_>) {
        if let Source::Upstream { exchange, .. } = &mut self.source {
            exchange.hold(cx);
        }
    }

    /// Whether these are our own words.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.source, Source::Own(_))
    }

    /// Whether there is nothing more.
    pub(crate) fn is_over(&self) -> bool {
        match &self.source {
            Source::Nothing => true,
            Source::Own(bytes) => bytes.is_empty(),
            Source::Upstream { exchange, .. } => exchange.is_done(),
        }
    }

    /// How many bytes are left, if that is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.source {
            Source::Nothing => Some(0),
            Source::Own(bytes) => Some(bytes.len() as u64),
            Source::Upstream { exchange, .. } => exchange.length(),
        }
    }
}
