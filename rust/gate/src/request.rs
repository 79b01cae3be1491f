//! One request, top to bottom: host, route, permit, identity, upstream; or why not.
//!
//! Knows the order. Does not decide who may pass: it forwards with a permit of the judge and with nothing else.

use std::{rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_LENGTH, LOCATION},
    uri::PathAndQuery,
};
use judge::{
    Permit, Reason, Refusal, Site, Verdict,
    record::{Mode, OnRefusal},
};

use crate::{
    authority,
    connection::{Active, Connection},
    download::Download,
    event::Shown,
    fields::Fields,
    identity::{ANONYMOUS, Dialects, Telling},
    ledger::Entry,
    limits,
    message::{Answer, Body, Interim, RequestHead, Rest},
    problem,
    refusal::Document,
    relay::Relay,
    settings::RouteOptions,
    standing::{Standing, Told},
    state::{State, Upstream},
    upload::Upload,
    upstream::{Additions, Asker, BodyKind, Outgoing, forward},
    websocket::{self, Asked, Key},
};

/// In an answer of the portal, `yes`: the gate ends the connection with it. Never passed on.
const CLOSE: HeaderName = HeaderName::from_static("mutualgate-close");

/// The connection ends without another word.
#[derive(Debug, thiserror::Error)]
#[error("the connection ends without an answer")]
pub(crate) struct Silence;

/// A request that may pass, and how.
struct Cleared {
    permit: Permit,
    upstream: Arc<Upstream>,
    hop: Rc<[u8]>,
    /// The target to send, where it is not the one that came.
    rewritten: Option<PathAndQuery>,
    telling: Option<Arc<Telling>>,
    options: Arc<RouteOptions>,
    max_body_bytes: Option<u64>,
    /// Whether the service hears of what was shown and refused.
    shown: bool,
}

/// A request that may not.
enum TurnedAway {
    /// By the judge.
    Refused {
        refusal: Refusal,
        site: Option<Box<str>>,
        how: OnRefusal,
    },
    /// For what it is, whoever sends it.
    Wrong {
        document: Box<Document>,
        stranger: bool,
    },
    /// To another address.
    Elsewhere {
        status: StatusCode,
        location: HeaderValue,
        options: Arc<RouteOptions>,
    },
}

/// Answers a request of `connection`. Interim responses go to `interim`, where the client understands them.
pub(crate) async fn answer(
    connection: Rc<Connection>,
    head: RequestHead,
    body: Body,
    interim: Option<Interim>,
) -> Result<Answer, Silence> {
    let active = connection.begin();
    let state = connection.worker.state();
    let standing = connection.standing(&state);
    if !connection.is_told() {
        let authority = authority::of(&head.uri, &head.fields);
        connection.tell(
            authority.map_or("", |authority| authority.host),
            head.uri.path(),
        );
    }
    let mut entry = Entry::new(&connection, &state, &standing, &head);
    match clear(&connection, &state, &standing, &head, &mut entry) {
        Ok(cleared) => {
            let target = head
                .uri
                .path_and_query()
                .cloned()
                .unwrap_or(http::uri::PathAndQuery::from_static("/"));
            active.granted(target, cleared.permit.admission().cloned());
            pass(
                cleared, &state, &standing, head, body, interim, active, entry,
            )
            .await
        }
        Err(turned_away) => {
            let body = body.kind();
            turn_away(turned_away, &standing, &head, body, active, entry)
        }
    }
}

/// Whether the request may pass. What is looked at here does not change any more until it is forwarded.
fn clear(
    connection: &Connection,
    state: &State,
    standing: &Standing,
    head: &RequestHead,
    entry: &mut Entry,
) -> Result<Cleared, TurnedAway> {
    let site = connection.site(state);
    let stranger = !standing.is_admitted() && site.is_none_or(Site::requires);
    let wrong = |document| TurnedAway::Wrong {
        document: Box::new(document),
        stranger,
    };
    if let Some(over) = connection.over.get() {
        return Err(TurnedAway::Wrong {
            document: Box::new(over.document()),
            stranger: true,
        });
    }
    limits::ask(connection, state).map_err(|over| TurnedAway::Wrong {
        document: Box::new(over.document()),
        stranger: stranger || over.ends_connection(),
    })?;
    if let Some(protocol) = &head.protocol {
        // RFC 8441 4, RFC 9220 3
        if !websocket::is_websocket(protocol) {
            return Err(wrong(problem::UNKNOWN_PROTOCOL.document(
                "An extended CONNECT for another protocol than websocket is not served.",
            )));
        }
    } else if head.method == Method::CONNECT || head.method == Method::TRACE {
        return Err(wrong(
            problem::METHOD_NOT_ALLOWED.document(format!("{} is not allowed.", head.method)),
        ));
    }
    let authority = authority::of(&head.uri, &head.fields)
        .map_err(|why| wrong(problem::BAD_HOST.document(format!("The request {why}."))))?;
    let asked = if *authority.host == *connection.met.sni {
        site
    } else {
        state.snapshot.site_of(authority.host)
    };
    let site = the_one_site(site, asked)?;
    if state.site(site).is_stream {
        // It has become one since the handshake.
        the_one_site(None, None)?;
    }
    entry.site(site);
    // What is read as `/` here is not sent on as `?x`.
    if (head.uri.path_and_query()).is_some_and(|target| target.as_str().starts_with('?')) {
        return Err(wrong(
            problem::AMBIGUOUS_PATH.document("The path does not begin with /."),
        ));
    }
    let route = site
        .route(head.uri.path())
        .map_err(|why| wrong(problem::AMBIGUOUS_PATH.document(format!("The path {why}."))))?
        .ok_or_else(|| {
            wrong(problem::NO_ROUTE.document("No route of this site begins like it."))
        })?;
    let settings = state.route(site, route);
    entry.route(route, settings.counted);
    let permit =
        judge::authorize(&standing.verdict, route).map_err(|refusal| TurnedAway::Refused {
            refusal,
            site: Some(site.name().into()),
            how: site.on_refusal(),
        })?;
    let of_site = state.site(site).limits.as_ref();
    let of_route = settings.limits.as_ref();
    limits::permitted(connection, state, of_site, of_route, permit.admission())
        .map_err(|over| wrong(over.document()))?;
    let shown = route.mode() == Mode::Shown;
    entry.permitted(permit.admission(), settings.upstream.as_ref());
    if shown && let Verdict::Refused(refusal) = &standing.verdict {
        entry.shown(refusal.reason.code());
    }
    let options = &settings.options;
    let too_long = || wrong(problem::AMBIGUOUS_PATH.document("The path is too long."));
    let rewritten = match (&options.rewrite, head.uri.path_and_query()) {
        (Some(rewrite), Some(target)) => Some(rewrite.apply(target).ok_or_else(too_long)?),
        _ => None,
    };
    let Some(upstream) = settings.upstream.clone() else {
        let target = rewritten.as_ref().or(head.uri.path_and_query());
        let redirect = options.redirect.as_ref().zip(target);
        return Err(
            match redirect
                .and_then(|(redirect, target)| Some((redirect.status, redirect.location(target)?)))
            {
                Some((status, location)) => TurnedAway::Elsewhere {
                    status,
                    location,
                    options: options.clone(),
                },
                None => too_long(),
            },
        );
    };
    let of_connection =
        (settings.telling.as_ref()).map_or(Dialects::NONE, |telling| telling.of_connection());
    Ok(Cleared {
        permit,
        upstream,
        hop: connection.hop(authority.text, of_connection),
        rewritten,
        telling: settings.telling.clone(),
        options: options.clone(),
        max_body_bytes: options
            .max_body_bytes
            .or(state.config.settings.limits.max_body_bytes),
        shown,
    })
}

/// RFC 9110 7.4: the site that was asked for in the handshake, whose rules applied there, is that of the request.
fn the_one_site<'a>(
    met: Option<&'a Site>,
    asked: Option<&'a Site>,
) -> Result<&'a Site, TurnedAway> {
    match (met, asked) {
        (Some(met), Some(asked)) if met.index() == asked.index() => Ok(met),
        (met, _) => Err(TurnedAway::Refused {
            refusal: Refusal {
                reason: Reason::WrongSite,
                certificate: None,
                detail: "The host of the request does not belong to the site of the connection."
                    .into(),
                issuer_known: true,
                client: None,
                partner: None,
            },
            site: met.map(|site| site.name().into()),
            how: OnRefusal::Page,
        }),
    }
}

/// Forwards a permitted request and passes the response on.
#[expect(
    clippy::too_many_arguments,
    reason = "all that is left of a request, used once"
)]
async fn pass(
    cleared: Cleared,
    state: &Arc<State>,
    standing: &Standing,
    mut head: RequestHead,
    body: Body,
    interim: Option<Interim>,
    active: Active,
    mut entry: Entry,
) -> Result<Answer, Silence> {
    let connection = active.connection.clone();
    let kind = body.kind();
    let upgrade = websocket::asked(&head).filter(|_| kind == BodyKind::None);
    // RFC 9112 11.2: a number that wraps, or is negative, in the integers of a reader behind would be another length.
    if let BodyKind::Length(length) = kind
        && i64::try_from(length).is_err()
    {
        let document =
            problem::BAD_LENGTH.document(format!("{length} bytes are more than there can be."));
        return Ok(own_answer(document, false, &head, kind, active, entry));
    }
    if let (BodyKind::Length(length), Some(limit)) = (kind, cleared.max_body_bytes)
        && length > limit
    {
        let document = problem::BODY_TOO_LARGE
            .document(format!("It has {length} bytes, and {limit} are allowed."));
        return Ok(own_answer(document, false, &head, kind, active, entry));
    }
    if let Some(target) = cleared.rewritten {
        // Without the authority, which is in `hop`: what is left is no longer tied to the target that came.
        head.uri = target.into();
    }
    let key = (upgrade == Some(Asked::Connect)).then(|| Key::translate(&mut head));
    let upload = match kind {
        BodyKind::None | BodyKind::Length(0) => None,
        BodyKind::Length(_) | BodyKind::Chunked => Some(Upload::new(
            body,
            cleared.max_body_bytes,
            cleared.options.clone(),
            &active,
            entry.received(),
        )),
    };
    if upload.is_some()
        && cleared.permit.admission().is_some()
        && limits::is_conversation(&head.fields)
    {
        connection.converses(active.slot());
    }
    let elsewhere = match &standing.verdict {
        Verdict::Admitted(admission) if cleared.shown && cleared.permit.admission().is_none() => {
            Some(standing.fields_elsewhere(admission.environment().unwrap_or_default()))
        }
        _ => None,
    };
    let told = match (&elsewhere, cleared.permit.admission()) {
        (Some(fields), _) => Told::Usual(fields),
        (None, Some(_)) => standing.told(cleared.telling.as_ref()),
        (None, None) if cleared.shown => Told::Usual(standing.fields()),
        (None, None) => Told::Usual(match &cleared.telling {
            Some(telling) => telling.anonymous(),
            None => ANONYMOUS,
        }),
    };
    let additions = Additions {
        hop: &cleared.hop,
        body: kind,
        upgrade: upgrade.is_some(),
        identity: &told,
        options: &cleared.options,
        facts: (cleared.options.tls_facts).then(|| connection.met.facts()),
        request_id: entry.request_id,
        trace: entry.outward(),
    };
    let asker = match cleared.permit.admission() {
        Some(admission) => Asker::Client(admission.client().id),
        None => Asker::Nobody(connection.met.peer.ip()),
    };
    let worker = &connection.worker;
    let mut hint = |status, fields: Fields| {
        if let Some(interim) = &interim {
            interim.hint(status, fields);
        }
    };
    let outgoing = Outgoing {
        head: &head,
        additions: &additions,
        upload,
        asker,
        lanes: &connection.lanes,
        preface: connection.introduce(&cleared.upstream, standing, cleared.permit.admission()),
        on_interim: &mut hint,
        tries: entry.calls(),
    };
    let (mut answered, exchange) =
        match forward(&cleared.permit, worker, &cleared.upstream, outgoing).await {
            Ok(answered) => answered,
            Err(failure) => {
                entry.failed(failure);
                let Some((document, counted)) = problem::of_failure(failure) else {
                    return Err(Silence);
                };
                if let Some(error) = counted {
                    worker.shared.counters.upstream_error(error);
                }
                return Ok(own_answer(document, false, &head, kind, active, entry));
            }
        };
    cleared.options.response_fields.apply(&mut answered.fields);
    entry.answered(answered.status);
    connection.answers(active.slot());
    if cleared.shown && wants_close(&mut answered.fields) {
        connection.drain();
    }
    let rest = match (answered.status, upgrade) {
        (StatusCode::SWITCHING_PROTOCOLS, Some(_)) => {
            if let Some(key) = key {
                if !key.is_answered(&mut answered.fields) {
                    let document =
                        problem::UPSTREAM_FAILED.document("It switched to something else.");
                    return Ok(own_answer(document, false, &head, kind, active, entry));
                }
                answered.status = StatusCode::OK;
            }
            connection.receives(active.slot(), true);
            let Some(link) = exchange.into_link() else {
                return Err(Silence);
            };
            Rest::Relay(Relay::new(link, active, entry))
        }
        (StatusCode::SWITCHING_PROTOCOLS, None) => {
            let document = problem::UPSTREAM_FAILED.document("It switched protocols unasked.");
            return Ok(own_answer(document, false, &head, kind, active, entry));
        }
        // RFC 8441 5: to the client a success would be a WebSocket.
        (status, Some(Asked::Connect)) if status.is_success() => {
            let document = problem::UPSTREAM_FAILED.document("It did not switch protocols.");
            return Ok(own_answer(document, false, &head, kind, active, entry));
        }
        _ => {
            let limit = state.config.settings.limits.max_idle_upstream;
            Rest::Body(Download::of_upstream(exchange, limit, active, entry))
        }
    };
    Ok(Answer {
        status: answered.status,
        fields: answered.fields,
        rest,
    })
}

/// Tells the client why its request goes no further.
fn turn_away(
    turned_away: TurnedAway,
    standing: &Standing,
    head: &RequestHead,
    body: BodyKind,
    active: Active,
    mut entry: Entry,
) -> Result<Answer, Silence> {
    let connection = &active.connection;
    match turned_away {
        TurnedAway::Wrong { document, stranger } => {
            Ok(own_answer(*document, stranger, head, body, active, entry))
        }
        TurnedAway::Elsewhere {
            status,
            location,
            options,
        } => {
            let mut fields = Fields::default();
            fields.append(LOCATION, location);
            fields.append(CONTENT_LENGTH, HeaderValue::from_static("0"));
            options.response_fields.apply(&mut fields);
            entry.status(status);
            let bytes = Bytes::new();
            Ok(said(status, fields, bytes, false, body, active, entry))
        }
        TurnedAway::Refused { refusal, site, how } => {
            let shared = &connection.worker.shared;
            shared.counters.refused(refusal.reason);
            let host =
                authority::of(&head.uri, &head.fields).map_or("", |authority| authority.host);
            let state = connection.worker.state();
            let path = state.discreet(head.uri.path());
            let scene = connection.scene(site.as_deref().unwrap_or_default(), host, &path);
            let id = shared
                .events
                .refused(&refusal, shown(standing).as_ref(), &scene);
            entry.refused(refusal.reason.code(), Some(id));
            if how != OnRefusal::Page {
                connection.cut();
                return Err(Silence);
            }
            let portal = connection.site(&state).and_then(judge::Site::portal);
            let document = Document::refused(&refusal, id).with_portal(portal);
            Ok(own_answer(
                document,
                !standing.is_admitted(),
                head,
                body,
                active,
                entry,
            ))
        }
    }
}

/// The certificate that a client showed, as far as it can be read.
pub(crate) fn shown(standing: &Standing) -> Option<Shown<'_>> {
    let leaf = standing.chain.first()?;
    Some(match &standing.verdict {
        judge::Verdict::Admitted(admission) => Shown {
            certificate: leaf,
            ..Shown::of(admission)
        },
        judge::Verdict::Refused(_) => Shown {
            certificate: leaf,
            fingerprint: crate::standing::fingerprint(leaf),
            ..Shown::default()
        },
    })
}

/// An answer of the gate's own. A stranger gets one, and then has to come again.
fn own_answer(
    document: Document,
    stranger: bool,
    head: &RequestHead,
    body: BodyKind,
    active: Active,
    mut entry: Entry,
) -> Answer {
    if entry.is_undecided() {
        entry.refused(document.code, None);
    }
    // For clients of gRPC the answer has another one.
    entry.status(document.status);
    let (parts, bytes) = document.answer(&head.method, &head.fields).into_parts();
    let fields = parts.headers.into();
    said(parts.status, fields, bytes, stranger, body, active, entry)
}

/// Sends what the gate says itself.
fn said(
    status: StatusCode,
    fields: Fields,
    bytes: Bytes,
    stranger: bool,
    body: BodyKind,
    active: Active,
    entry: Entry,
) -> Answer {
    let connection = active.connection.clone();
    // It does not wait for a body. HTTP/1.1 sees to that by itself; a connection of HTTP/2 whose client is none to be
    // turned away ends with a body under way only where the gate drains at that moment: no test waits for that.
    if stranger || body != BodyKind::None {
        connection.progress.linger();
    }
    if stranger {
        // The next request comes with a handshake of its own (RFC 9112 9.6, RFC 9113 6.8).
        connection.drain();
    }
    Answer {
        status,
        fields,
        rest: Rest::Body(Download::own(bytes, active, entry)),
    }
}

/// Takes out what the portal says when its visitor is to choose a certificate anew, which takes another handshake.
fn wants_close(fields: &mut Fields) -> bool {
    let wants = fields.get(&CLOSE).is_some_and(|value| value == b"yes");
    fields.remove(&CLOSE);
    wants
}
