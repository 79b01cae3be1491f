//! The head of a request, as it is sent to an upstream: HTTP/1.1, whatever the client spoke.
//!
//! Leaves out what concerns only the client's connection and what the gate writes itself, so that nothing has to be
//! copied or removed first. So are the names that the route strips, those of identities first; ours come last, as bytes.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{CONNECTION, COOKIE},
};

use crate::{
    fields::{Fields, is_token, items},
    identity,
    message::RequestHead,
    random::RequestId,
    settings::RouteOptions,
    trace::{self, Outward},
};

/// How the body is framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyKind {
    None,
    /// With the field, even if it is 0.
    Length(u64),
    Chunked,
}

/// What the gate adds.
pub(crate) struct Additions<'a> {
    /// `Host` and where the request comes from: fields, each with its CRLF.
    pub(crate) hop: &'a [u8],
    pub(crate) body: BodyKind,
    /// Whether the connection is to become a WebSocket.
    pub(crate) upgrade: bool,
    /// Who asks: fields, each with its CRLF.
    pub(crate) identity: &'a [u8],
    /// What the route changes.
    pub(crate) options: &'a RouteOptions,
    /// The connection's TLS facts, where the route wants them.
    pub(crate) facts: Option<&'a HeaderValue>,
    pub(crate) request_id: RequestId,
    /// Where the request stands in its trace; without it, the gate takes no part and what clients say passes.
    pub(crate) trace: Option<Outward>,
}

/// Writes the head to the end of `out`.
pub(crate) fn write(out: &mut Vec<u8>, head: &RequestHead, additions: &Additions<'_>) {
    out.extend_from_slice(head.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(
        head.uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .as_bytes(),
    );
    out.extend_from_slice(b" HTTP/1.1\r\n");
    out.extend_from_slice(additions.hop); // RFC 9110 7.2: Host comes first
    let connection = Nominated::of(&head.fields);
    let mut trailers = false;
    let mut cookies = false;
    for (name, value) in head.fields.iter() {
        let left_out = left_out(name);
        if left_out == LeftOut::Yes || connection.contains(name) || additions.options.strips(name) {
            continue;
        }
        match left_out {
            LeftOut::Cookie => cookies = true,
            LeftOut::Te => {
                trailers |= items(value).any(|item| item.eq_ignore_ascii_case(b"trailers"));
            }
            LeftOut::Trace
                if (additions.trace.as_ref()).is_some_and(|ours| ours.replaces(name)) => {}
            _ if name.eq_ignore_ascii_case(b"trailer") => {
                announcement(out, value, additions.options);
            }
            _ => {
                lower(out, name);
                rest_of_field(out, value);
            }
        }
    }
    if cookies {
        cookie(out, &head.fields);
    }
    match additions.body {
        BodyKind::None => {}
        BodyKind::Length(length) => {
            out.extend_from_slice(b"content-length: ");
            decimal(out, length);
            out.extend_from_slice(b"\r\n");
        }
        BodyKind::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    match (additions.upgrade, trailers) {
        (true, _) => out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n"),
        (false, true) => out.extend_from_slice(b"connection: te\r\nte: trailers\r\n"),
        (false, false) => {}
    }
    // RFC 9110 7.6.3: the version that was received.
    out.extend_from_slice(match head.version {
        Version::HTTP_2 => b"via: 2 mutualgate\r\n",
        Version::HTTP_10 => b"via: 1.0 mutualgate\r\n",
        _ => b"via: 1.1 mutualgate\r\n",
    });
    field(
        out,
        b"x-request-id",
        additions.request_id.as_str().as_bytes(),
    );
    if let Some(ours) = &additions.trace {
        field(out, trace::PARENT.as_str().as_bytes(), ours.parent());
    }
    out.extend_from_slice(additions.options.request_fields.bytes());
    out.extend_from_slice(additions.identity);
    if let Some(facts) = additions.facts {
        field(out, identity::TLS.as_str().as_bytes(), facts.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Trailers, after the last chunk.
pub(crate) fn write_trailers(out: &mut Vec<u8>, trailers: &HeaderMap) {
    for (name, value) in trailers {
        if !has_no_place_in_trailers(name) {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
}

/// The trailers that may be passed on.
pub(crate) fn clean_trailers(trailers: &HeaderMap) -> HeaderMap {
    (trailers.iter())
        .filter(|(name, _)| !has_no_place_in_trailers(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// RFC 9110 6.5.1: what frames or routes a message has no place in its trailers; nor has a name that is none.
fn has_no_place_in_trailers(name: &HeaderName) -> bool {
    !matches!(
        left_out(name.as_str().as_bytes()),
        LeftOut::No | LeftOut::Trace
    ) || matches!(name.as_str(), "authorization" | "trailer" | "set-cookie")
        || !is_token(name)
}

/// Serialises fields once, for heads to come.
pub(crate) fn block<'a>(
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> Box<[u8]> {
    let mut out = Vec::new();
    for (name, value) in fields {
        field(&mut out, name.as_str().as_bytes(), value.as_bytes());
    }
    out.into()
}

fn field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.extend_from_slice(name);
    rest_of_field(out, value);
}

fn rest_of_field(out: &mut Vec<u8>, value: &[u8]) {
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn lower(out: &mut Vec<u8>, name: &[u8]) {
    let start = out.len();
    out.extend_from_slice(name);
    out[start..].make_ascii_lowercase();
}

/// Writes a number in decimal digits.
pub(crate) fn decimal(out: &mut Vec<u8>, number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    let mut left = number;
    loop {
        at -= 1;
        digits[at] = b'0' + (left % 10) as u8;
        left /= 10;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Whether a field is not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LeftOut {
    No,
    Yes,
    /// RFC 9113 8.2.3: all of them become one.
    Cookie,
    Te,
    /// Where the gate takes part in traces.
    Trace,
}

/// RFC 9110 7.6.1, and what [`write`] writes itself; whatever reads so, as `Transfer_Encoding` does for some.
fn left_out(name: &[u8]) -> LeftOut {
    let is = |text: &str| identity::is(text.as_bytes(), name);
    let out = match name.len() {
        2 if is("te") => return LeftOut::Te,
        4 => is("host"),
        6 if is("cookie") => return LeftOut::Cookie,
        6 => is("expect"),
        7 => is("upgrade"),
        10 if is("tracestate") => return LeftOut::Trace,
        11 if is("traceparent") => return LeftOut::Trace,
        10 => is("connection") || is("keep-alive"),
        12 => is("x-request-id"),
        14 => is("content-length") || is("http2-settings"),
        16 => is("proxy-connection"),
        17 => is("transfer-encoding"),
        18 => is("proxy-authenticate"),
        19 => is("proxy-authorization"),
        _ => false,
    };
    if out { LeftOut::Yes } else { LeftOut::No }
}

/// RFC 9113 8.2.3: HTTP/2 may split cookies, HTTP/1.1 has them in one field.
fn cookie(out: &mut Vec<u8>, fields: &Fields) {
    let mut before: &[u8] = b"cookie: ";
    for cookie in fields.all(&COOKIE) {
        out.extend_from_slice(before);
        out.extend_from_slice(cookie);
        before = b"; ";
    }
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110 6.6.2: what trailers are announced, without those that will not be passed on.
fn announcement(out: &mut Vec<u8>, value: &[u8], options: &RouteOptions) {
    let mut before: &[u8] = b"trailer: ";
    for name in items(value).filter(|name| !options.strips(name)) {
        out.extend_from_slice(before);
        lower(out, name);
        before = b", ";
    }
    if before == b", " {
        out.extend_from_slice(b"\r\n");
    }
}

/// The fields that the client's `Connection` field names. Ours are written afterwards, so it cannot remove them.
struct Nominated<'a>(Vec<&'a [u8]>);

impl<'a> Nominated<'a> {
    fn of(fields: &'a Fields) -> Nominated<'a> {
        let mut names = Vec::new();
        for value in fields.all(&CONNECTION) {
            names.extend(items(value).filter(|item| {
                !(item.eq_ignore_ascii_case(b"keep-alive") || item.eq_ignore_ascii_case(b"close"))
            }));
        }
        Nominated(names)
    }

    fn contains(&self, name: &[u8]) -> bool {
        self.0.iter().any(|item| item.eq_ignore_ascii_case(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(request: http::Request<()>) -> String {
        traced(request, None)
    }

    fn traced(request: http::Request<()>, trace: Option<Outward>) -> String {
        let mut out = Vec::new();
        let additions = Additions {
            hop: b"host: a.test\r\n",
            body: BodyKind::None,
            upgrade: false,
            identity: b"client-cert: :b3Vycw==:\r\n",
            options: &RouteOptions::default(),
            facts: None,
            request_id: crate::random::RequestIds::new().next(),
            trace,
        };
        let parts = request.into_parts().0;
        let head = RequestHead {
            method: parts.method,
            uri: parts.uri,
            version: parts.version,
            protocol: None,
            fields: parts.headers.into(),
        };
        write(&mut out, &head, &additions);
        String::from_utf8_lossy(&out).into_owned()
    }

    fn request(version: Version, fields: &[(&str, &str)]) -> http::Request<()> {
        let mut builder = http::Request::builder().uri("/x?y=z").version(version);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap_or_default()
    }

    #[test]
    fn a_connection_field_removes_the_clients_fields_and_not_ours() {
        let text = written(request(
            Version::HTTP_11,
            &[
                ("host", "a.test"),
                ("connection", "x-mine, client-cert, host, via"),
                ("x-mine", "1"),
                ("accept", "*/*"),
            ],
        ));
        let (before, after) = text.split_once("x-request-id: ").unwrap();
        assert_eq!(
            before,
            "GET /x?y=z HTTP/1.1\r\nhost: a.test\r\naccept: */*\r\nvia: 1.1 mutualgate\r\n"
        );
        assert_eq!(&after[32..], "\r\nclient-cert: :b3Vycw==:\r\n\r\n");
    }

    #[test]
    fn what_a_client_says_of_a_trace_gives_way_to_ours() {
        let theirs = [("traceparent", "theirs"), ("tracestate", "a=1")];
        let ask = || request(Version::HTTP_11, &theirs);
        let text = written(ask());
        assert!(text.contains("traceparent: theirs\r\ntracestate: a=1\r\n"));
        for (keeps_state, kept) in [(false, ""), (true, "tracestate: a=1\r\n")] {
            let ours = Outward::new(1, 2, 0, keeps_state);
            let text = traced(ask(), Some(ours));
            let (before, after) = text.split_once("via: ").unwrap();
            assert_eq!(
                before,
                format!("GET /x?y=z HTTP/1.1\r\nhost: a.test\r\n{kept}")
            );
            assert_eq!(after.matches("trace").count(), 1);
            let ours = String::from_utf8_lossy(ours.parent()).into_owned();
            assert!(after.contains(&format!("\r\ntraceparent: {ours}\r\n")));
        }
    }

    #[test]
    fn trailers_that_are_not_passed_on_are_not_announced() {
        for (announced, passed) in [
            ("X-Sum, Client-Cert", "trailer: x-sum\r\n"),
            ("Client-Cert", ""),
        ] {
            let text = written(request(Version::HTTP_11, &[("trailer", announced)]));
            assert_eq!(
                text.split("via: ").next(),
                Some(&*format!("GET /x?y=z HTTP/1.1\r\nhost: a.test\r\n{passed}"))
            );
        }
    }

    #[test]
    fn what_has_no_place_in_trailers_is_passed_on_in_no_version() {
        let names = [
            "authorization",
            "set-cookie",
            "trailer",
            "cookie",
            "te",
            "host",
            "expect",
            "connection",
            "content-length",
            "transfer-encoding",
            "transfer_encoding",
            "x-request-id",
            "x\"y",
            "x-sum",
        ];
        let trailers: HeaderMap = names
            .map(|name| {
                let name = HeaderName::from_lowercase(name.as_bytes()).expect("a name");
                (name, HeaderValue::from_static("1"))
            })
            .into_iter()
            .collect();
        let mut out = Vec::new();
        write_trailers(&mut out, &trailers);
        assert_eq!(String::from_utf8_lossy(&out), "x-sum: 1\r\n");
        let kept = clean_trailers(&trailers);
        assert_eq!(kept.keys().collect::<Vec<_>>(), ["x-sum"]);
    }

    #[test]
    fn what_concerns_a_clients_connection_is_left_out_whether_it_says_so_or_not() {
        let fields = [
            "keep-alive",
            "proxy-connection",
            "upgrade",
            "http2-settings",
            "transfer-encoding",
            "content-length",
            "expect",
            "proxy-authenticate",
            "proxy-authorization",
            "x-request-id",
            // As some servers read them.
            "content_length",
            "Transfer.Encoding",
            "X_Request_Id",
        ];
        let text = written(request(Version::HTTP_11, &fields.map(|name| (name, "x"))));
        let (before, after) = text.split_once("via: ").unwrap();
        assert_eq!(before, "GET /x?y=z HTTP/1.1\r\nhost: a.test\r\n");
        assert!(!after.contains(": x\r\n"), "{after}");
    }

    #[test]
    fn what_a_client_takes_beside_trailers_is_not_asked_of_a_service() {
        for (takes, asked) in [
            ("gzip, Trailers;q=1", ""),
            ("gzip, Trailers", "connection: te\r\nte: trailers\r\n"),
        ] {
            let text = written(request(Version::HTTP_11, &[("te", takes)]));
            assert_eq!(
                text.split("via: ").next(),
                Some(&*format!("GET /x?y=z HTTP/1.1\r\nhost: a.test\r\n{asked}"))
            );
        }
    }

    #[test]
    fn split_cookies_become_one() {
        let text = written(request(
            Version::HTTP_2,
            &[("cookie", "a=1"), ("cookie", "b=2")],
        ));
        assert!(text.contains("cookie: a=1; b=2\r\n"), "{text}");
    }
}
