//! A request that has become a WebSocket.

use std::{future::poll_fn, pin::Pin};

use crate::{
    connection::Active,
    http2::Conversation,
    ledger::Entry,
    passing::{Client, Passing},
    upstream::Link,
};

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

    /// Relays until both sides have said all, or one has gone. Whoever drives this ends it when the client is no longer
    /// admitted.
    pub(crate) async fn run(mut self, mut client: impl Client) {
        let (mut service, early) = self.link.into_parts();
        let mut passing = Passing::new(self.entry, early.into());
        let passed = poll_fn(|cx| {
            passing.poll(cx, &mut client, &mut service, |client, cx| {
                Pin::new(client).poll_shutdown(cx)
            })
        });
        // However it ends, it is the end.
        let _ = passed.await;
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
