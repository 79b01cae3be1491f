//! A connection that has become a WebSocket: bytes both ways, until one side ends or the client is no longer admitted.

use std::future::poll_fn;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt, copy_bidirectional_with_sizes};

use crate::{connection::Active, ledger::Entry, upstream::Link};

/// Room for each direction: a frame of a chat fits, and a thousand sockets cost 16 MiB.
const BUFFER_BYTES: usize = 8 * 1024;

/// Starts the relay; it holds the request until it ends.
pub(crate) fn start(upgrade: OnUpgrade, link: Box<Link>, mut active: Active, mut entry: Entry) {
    tokio::task::spawn_local(async move {
        let connection = active.connection.clone();
        let relay = async {
            let Ok(upgraded) = upgrade.await else { return };
            let mut client = TokioIo::new(upgraded);
            let (mut upstream, early) = link.into_parts();
            if client.write_all(&early).await.is_err() {
                return;
            }
            let copied = copy_bidirectional_with_sizes(
                &mut client,
                &mut upstream,
                BUFFER_BYTES,
                BUFFER_BYTES,
            )
            .await;
            if let Ok((received, sent)) = copied {
                entry.received().set(received);
                entry.sent(sent);
            }
        };
        tokio::select! {
            biased;
            () = poll_fn(|cx| connection.poll_cut(cx)) => {}
            () = relay => {}
        }
        active.complete();
    });
}
