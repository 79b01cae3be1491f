//! A failure as clients of gRPC understand it: HTTP 200 without a body, the status in `grpc-status` ("Trailers-Only" of
//! gRPC over HTTP/2).

use std::fmt::Write;

use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Response, StatusCode,
    header::{CONTENT_LENGTH, CONTENT_TYPE},
};
use judge::Reason;

use crate::fields::Fields;

const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// The content type of a request that speaks gRPC, or its relative for browsers.
pub(super) fn asked(fields: &Fields) -> Option<HeaderValue> {
    let value = fields.get(&CONTENT_TYPE)?;
    let rest = value.strip_prefix(b"application/grpc")?;
    // application/grpc, application/grpc+proto, application/grpc-web-text; ...
    let is_grpc = matches!(rest.first(), None | Some(b'+' | b'-' | b';'));
    HeaderValue::from_bytes(value).ok().filter(|_| is_grpc)
}

/// What says `detail` of a failure that would be `status` and `code` over HTTP.
pub(super) fn answer(
    content_type: HeaderValue,
    status: StatusCode,
    code: &str,
    detail: &str,
) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let fields = response.headers_mut();
    fields.insert(CONTENT_TYPE, content_type);
    fields.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    fields.insert(STATUS, HeaderValue::from(grpc_status(status, code)));
    if let Ok(message) = HeaderValue::from_str(&escaped(detail)) {
        fields.insert(MESSAGE, message);
    }
    response
}

/// gRPC's own table (doc/http-grpc-status-mapping.md), and finer where it has a word for what happened.
fn grpc_status(status: StatusCode, code: &str) -> u16 {
    match status.as_u16() {
        // Who is known, and may not, is denied; who is not known is not authenticated (doc/statuscodes.md).
        403 => match Reason::of_code(code) {
            Some(Reason::NotGranted | Reason::ClientSuspended) | None => 7,
            Some(_) => 16,
        },
        401 => 16,
        400 => 13,
        404 | 405 | 501 => 12,
        413 | 431 => 8,
        408 | 429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// gRPC over HTTP/2, "Status-Message": printable ASCII but `%`, everything else as %XX of the UTF-8.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'%' | ..0x20 | 0x7f.. => drop(write!(out, "%{byte:02X}")),
            _ => out.push(char::from(byte)),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses() {
        for (status, code, expected) in [
            (403, "no_certificate", 16),
            (403, "revoked", 16),
            (403, "not_granted", 7),
            (403, "client_suspended", 7),
            (404, "no_route", 12),
            (413, "body_too_large", 8),
            (429, "too_many_requests", 14),
            (502, "upstream_failed", 14),
            (503, "upstream_unreachable", 14),
            (504, "upstream_timeout", 14),
            (421, "wrong_site", 2),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(grpc_status(status, code), expected, "{status} {code}");
        }
    }

    #[test]
    fn requests() {
        let is_grpc = |text: &'static str| {
            let mut fields = Fields::default();
            fields.append(CONTENT_TYPE, HeaderValue::from_static(text));
            asked(&fields).is_some()
        };
        for text in [
            "application/grpc",
            "application/grpc+proto",
            "application/grpc-web; x=y",
        ] {
            assert!(is_grpc(text), "{text}");
        }
        for text in ["application/grpcx", "application/json", ""] {
            assert!(!is_grpc(text), "{text}");
        }
    }

    #[test]
    fn messages() {
        assert_eq!(escaped("100 % \u{e9}\n"), "100 %25 %C3%A9%0A");
    }
}
