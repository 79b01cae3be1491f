//! A connection that has become a WebSocket: bytes both ways, until one side ends.

use std::future::poll_fn;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional_with_sizes};

use crate::{connection::Active, http2::Conversation, ledger::Entry, upstream::Link};

/// Room for each direction: a frame of a chat fits, and a thousand sockets cost 16 MiB.
const BUFFER_BYTES: usize = 8 * 1024;

/// What a request became that switched protocols. When it is dropped, the request is over and its entry is written.
pub(crate) struct Relay {
    link: Box<Link>,
    active: Active,
    entry: Entry,
}

impl Relay {
    pub(crate) fn new(link: Box<Link>, active: Active, entry: Entry) -> Relay {
        Relay {
            link,
            active,
            entry,
        }
    }

    /// Relays until one side ends. Whoever drives this ends it when the client is no longer admitted.
    pub(crate) async fn run(mut self, mut client: impl AsyncRead + AsyncWrite + Unpin) {
        let (mut upstream, early) = self.link.into_parts();
        if client.write_all(&early).await.is_err() {
            return;
        }
        let copied =
            copy_bidirectional_with_sizes(&mut client, &mut upstream, BUFFER_BYTES, BUFFER_BYTES);
        if let Ok((received, sent)) = copied.await {
            self.entry.received().set(received);
            self.entry.sent(sent);
        }
        self.active.complete();
    }

    /// Relays in a task of its own, over a stream of HTTP/2.
    pub(crate) fn start(self, client: Conversation) {
        tokio::task::spawn_local(async move {
            let (connection, slot) = (self.active.connection.clone(), self.active.slot());
            tokio::select! {
                biased;
                () = poll_fn(|cx| connection.poll_cut(slot, cx)) => {}
                () = self.run(client) => {}
            }
        });
    }
}
