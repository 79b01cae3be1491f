//! The head of a request, as it is sent to an upstream: HTTP/1.1, whatever the client spoke.
//!
//! Leaves out what concerns only the client's connection and what the gate writes itself, so that nothing has to be
//! copied or removed first. Names of identities are gone before ([`crate::identity::strip`]); ours come last, as bytes.

use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{
        CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION,
        TE, TRANSFER_ENCODING, UPGRADE,
    },
    request::Parts,
};

use crate::{identity, random::RequestId, rules::FieldRules};

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
    /// What the route adds.
    pub(crate) rules: &'a FieldRules,
    /// The connection's TLS facts, where the route wants them.
    pub(crate) facts: Option<&'a HeaderValue>,
    pub(crate) request_id: RequestId,
}

/// Writes the head to the end of `out`.
pub(crate) fn write(out: &mut Vec<u8>, parts: &Parts, additions: &Additions<'_>) {
    out.extend_from_slice(parts.method.as_str().as_bytes());
    out.push(b' ');
    out.extend_from_slice(
        parts
            .uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
            .as_bytes(),
    );
    out.extend_from_slice(b" HTTP/1.1\r\n");
    out.extend_from_slice(additions.hop); // RFC 9110 7.2: Host comes first
    let nominated = Nominated::of(&parts.headers);
    for (name, value) in &parts.headers {
        if !(is_left_out(name) || nominated.contains(name)) {
            field(out, name.as_str().as_bytes(), value.as_bytes());
        }
    }
    cookies(out, parts);
    match additions.body {
        BodyKind::None => {}
        BodyKind::Length(length) => field(out, b"content-length", length.to_string().as_bytes()),
        BodyKind::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
    }
    let trailers = accepts_trailers(&parts.headers);
    match (additions.upgrade, trailers) {
        (true, _) => out.extend_from_slice(b"connection: upgrade\r\nupgrade: websocket\r\n"),
        (false, true) => out.extend_from_slice(b"connection: te\r\nte: trailers\r\n"),
        (false, false) => {}
    }
    // RFC 9110 7.6.3: the version that was received.
    out.extend_from_slice(match parts.version {
        Version::HTTP_2 => b"via: 2 mutualgate\r\n",
        Version::HTTP_10 => b"via: 1.0 mutualgate\r\n",
        _ => b"via: 1.1 mutualgate\r\n",
    });
    field(
        out,
        b"x-request-id",
        additions.request_id.as_str().as_bytes(),
    );
    out.extend_from_slice(additions.rules.bytes());
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

/// RFC 9110 6.5.1: what frames or routes a message has no place in its trailers.
fn has_no_place_in_trailers(name: &HeaderName) -> bool {
    is_left_out(name)
        || name.as_str() == "authorization"
        || name.as_str() == "trailer"
        || *name == COOKIE
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
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// RFC 9110 7.6.1, and what [`write`] writes itself.
fn is_left_out(name: &HeaderName) -> bool {
    match *name {
        CONNECTION | CONTENT_LENGTH | EXPECT | HOST | PROXY_AUTHENTICATE | PROXY_AUTHORIZATION
        | TE | TRANSFER_ENCODING | UPGRADE | COOKIE => true,
        _ => matches!(
            name.as_str(),
            "keep-alive" | "proxy-connection" | "http2-settings" | "x-request-id"
        ),
    }
}

/// RFC 9113 8.2.3: HTTP/2 may split cookies, HTTP/1.1 has them in one field.
fn cookies(out: &mut Vec<u8>, parts: &Parts) {
    let mut cookies = parts.headers.get_all(COOKIE).iter();
    let Some(first) = cookies.next() else { return };
    out.extend_from_slice(b"cookie: ");
    out.extend_from_slice(first.as_bytes());
    for cookie in cookies {
        out.extend_from_slice(b"; ");
        out.extend_from_slice(cookie.as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

fn accepts_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(TE)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|token| token.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// The fields that the client's `Connection` field names. Ours are written afterwards, so it cannot remove them.
struct Nominated(Vec<HeaderName>);

impl Nominated {
    fn of(headers: &HeaderMap) -> Nominated {
        let mut names = Vec::new();
        for token in headers
            .get_all(CONNECTION)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        {
            let token = token.trim_ascii();
            if !(token.eq_ignore_ascii_case(b"keep-alive") || token.eq_ignore_ascii_case(b"close"))
            {
                names.extend(HeaderName::from_bytes(token));
            }
        }
        Nominated(names)
    }

    fn contains(&self, name: &HeaderName) -> bool {
        !self.0.is_empty() && self.0.contains(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(request: http::Request<()>) -> String {
        let mut out = Vec::new();
        let additions = Additions {
            hop: b"host: a.test\r\n",
            body: BodyKind::None,
            upgrade: false,
            identity: b"client-cert: :b3Vycw==:\r\n",
            rules: &FieldRules::default(),
            facts: None,
            request_id: crate::random::RequestIds::new().next(),
        };
        write(&mut out, &request.into_parts().0, &additions);
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
    fn split_cookies_become_one() {
        let text = written(request(
            Version::HTTP_2,
            &[("cookie", "a=1"), ("cookie", "b=2")],
        ));
        assert!(text.contains("cookie: a=1; b=2\r\n"), "{text}");
    }
}
