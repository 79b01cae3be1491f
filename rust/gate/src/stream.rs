//! A site whose clients speak something that the gate does not read: their bytes go to the upstream of its only route, and
//! back, until both sides have said all.
//!
//! Who may pass is asked of the judge as for a request, and again whenever trust changes ([`crate::connection`]).

use std::{
    future::{Future, poll_fn},
    io,
    pin::pin,
    rc::Rc,
    task::Poll,
    time::Duration,
};

use http::{Method, StatusCode, Uri, Version, uri::PathAndQuery};
use tokio::time::{Instant, sleep_until};

use crate::{
    client_io::ClientIo,
    connection::{Connection, Ending},
    fields::Fields,
    ledger::Entry,
    limits,
    message::RequestHead,
    passing::Passing,
    problem,
    request::shown,
    upstream::{Asker, Stream, open},
};

/// Serves a client from the handshake to the end of its connection.
pub(crate) async fn serve(io: ClientIo, connection: Rc<Connection>) {
    // Boxed, and with it all that one connection needs: those that speak HTTP do not pay for it.
    let mut passing = Box::pin(pass(io, connection.clone()));
    poll_fn(|cx| {
        if connection.ending(cx) == Ending::Now {
            return Poll::Ready(());
        }
        match passing.as_mut().poll(cx) {
            Poll::Pending if connection.ending(cx) == Ending::Now => Poll::Ready(()),
            other => other,
        }
    })
    .await;
}

async fn pass(mut io: ClientIo, connection: Rc<Connection>) {
    let worker = connection.worker.clone();
    let mut active = connection.begin();
    let state = worker.state();
    let standing = connection.standing(&state);
    connection.tell("", "");
    let mut entry = Entry::new(&connection, &state, &standing, &head());
    // It may have gone or changed since the handshake.
    let Some((site, route)) = (connection.site(&state))
        .filter(|site| state.site(site).is_stream)
        .and_then(|site| Some((site, site.routes().first()?)))
    else {
        return;
    };
    entry.site(site);
    let settings = state.route(site, route);
    entry.route(route, settings.counted);
    if let Some(over) = connection.over.get() {
        return limited(entry, over);
    }
    if let Err(over) = limits::ask(&connection, &state) {
        return limited(entry, over);
    }
    let permit = match judge::authorize(&standing.verdict, route) {
        Ok(permit) => permit,
        Err(refusal) => {
            worker.shared.counters.refused(refusal.reason);
            let scene = connection.scene(site.name(), "", "");
            let id = (worker.shared.events).refused(&refusal, shown(&standing).as_ref(), &scene);
            entry.refused(refusal.reason.code(), Some(id));
            entry.status(StatusCode::FORBIDDEN);
            return;
        }
    };
    let of_site = state.site(site).limits.as_ref();
    let of_route = settings.limits.as_ref();
    if let Err(over) = limits::permitted(&connection, &state, of_site, of_route, permit.admission())
    {
        return limited(entry, over);
    }
    let Some(upstream) = settings.upstream.clone() else {
        return;
    };
    entry.permitted(permit.admission(), Some(&upstream));
    // From here on it is cut when it would not be permitted any more.
    active.granted(PathAndQuery::from_static("/"), permit.admission().cloned());
    connection.receives(active.slot(), true);
    let asker = match permit.admission() {
        Some(admission) => Asker::Client(admission.client().id),
        None => Asker::Nobody(connection.met.peer.ip()),
    };
    let idle = state.config.settings.timeouts.stream_idle;
    let preface = connection.introduce(&upstream, &standing, permit.admission());
    // What lives long does not keep what was in force when it began.
    drop((standing, state));
    let (mut stream, _under_way) = match open(&permit, &upstream, asker, preface.as_deref()).await {
        Ok(opened) => opened,
        Err(failure) => {
            if let Some((document, counted)) = problem::of_failure(failure) {
                entry.status(document.status);
                if let Some(error) = counted {
                    worker.shared.counters.upstream_error(error);
                }
            }
            return;
        }
    };
    entry.status(StatusCode::OK);
    let passing = Passing::new(entry, Vec::new());
    if run(passing, &mut io, &mut stream, idle).await.is_ok() {
        active.complete();
    }
}

/// What stands in the access line, where requests have their own.
fn head() -> RequestHead {
    RequestHead {
        method: Method::CONNECT,
        uri: Uri::from_static("/"),
        version: Version::default(),
        protocol: None,
        fields: Fields::default(),
    }
}

fn limited(mut entry: Entry, over: limits::Over) {
    let document = over.document();
    entry.refused(document.code, None);
    entry.status(document.status);
}

/// Passes bytes on until both sides have said all, or one has gone, or neither says anything for `idle`.
async fn run(
    mut passing: Passing,
    client: &mut ClientIo,
    upstream: &mut Stream,
    idle: Duration,
) -> io::Result<()> {
    let mut moved_at = Instant::now();
    let mut alarm = pin!(sleep_until(moved_at + idle));
    poll_fn(|cx| {
        let before = passing.moved();
        let passed = passing.poll(cx, client, upstream, ClientIo::poll_finish);
        if passed.is_ready() {
            return passed;
        }
        if passing.moved() != before {
            moved_at = Instant::now();
        }
        while alarm.as_mut().poll(cx).is_ready() {
            if moved_at.elapsed() >= idle {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            alarm.as_mut().reset(moved_at + idle);
        }
        Poll::Pending
    })
    .await
}
