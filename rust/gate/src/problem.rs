//! What the gate says when a request fails for a reason that has nothing to do with certificates.

use std::borrow::Cow;

use http::StatusCode;

use crate::{counters::UpstreamError, refusal::Document, upstream::Failure};

/// A failure: its status, stable code, title, and what to do about it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    fix: &'static str,
}

macro_rules! problems {
    ($($name:ident = $status:ident, $code:literal, $title:literal, $fix:literal;)+) => {
        $(pub(crate) const $name: Problem =
            Problem { status: StatusCode::$status, code: $code, title: $title, fix: $fix };)+
    };
}

problems! {
    AMBIGUOUS_PATH = BAD_REQUEST, "ambiguous_path", "This address can be read in more than one way",
        "Write the path without ; \\ // . or .. segments and without percent-encoding what needs none.";
    BAD_HOST = BAD_REQUEST, "bad_host", "It is not clear for which host this request is",
        "Send one Host field that names the host of the address.";
    NEEDS_TLS = BAD_REQUEST, "needs_tls", "This port speaks TLS",
        "Write https:// in front of the address.";
    NO_ROUTE = NOT_FOUND, "no_route", "There is nothing at this address",
        "Check the address.";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method_not_allowed", "This method is not allowed here",
        "CONNECT and TRACE are never forwarded.";
    UNKNOWN_PROTOCOL = NOT_IMPLEMENTED, "unknown_protocol", "This protocol is not served here",
        "Over HTTP/2, CONNECT opens WebSockets and nothing else.";
    BAD_REQUEST = BAD_REQUEST, "bad_request", "This request can be read in more than one way, or in none",
        "Send HTTP as RFC 9112 has it; if a browser or a library made this request, tell the operator.";
    HEAD_TOO_LARGE = REQUEST_HEADER_FIELDS_TOO_LARGE, "head_too_large", "The request's header fields are too large",
        "Send fewer or shorter fields (cookies are the usual cause), or ask the operator to raise max_header_bytes.";
    URI_TOO_LONG = URI_TOO_LONG, "uri_too_long", "This address is too long",
        "Send long data in the body of a request, or ask the operator to raise max_header_bytes.";
    VERSION_NOT_SUPPORTED = HTTP_VERSION_NOT_SUPPORTED, "version_not_supported", "This version of HTTP is not spoken here",
        "Use HTTP/1.1 or HTTP/2.";
    BAD_LENGTH = BAD_REQUEST, "bad_length", "The length of the request's body is no length",
        "Send a Content-Length that is the number of bytes that follow.";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body_too_large", "The request's body is too large",
        "Send less, or ask the operator to raise max_body_bytes of this route.";
    BODY_TOO_SLOW = REQUEST_TIMEOUT, "body_too_slow", "The request's body came too slowly",
        "Send it again over a faster line, or ask the operator to lower min_body_rate.";
    TOO_MANY_REQUESTS = TOO_MANY_REQUESTS, "too_many_requests", "This is more than one may ask of the gate at a time",
        "Try again after the seconds that Retry-After gives, and more slowly; the operator can raise the limit.";
    OVERLOADED = SERVICE_UNAVAILABLE, "overloaded", "The gate is too busy",
        "Try again after the seconds that Retry-After gives; if it stays so, tell the operator.";
    UPSTREAM_UNREACHABLE = SERVICE_UNAVAILABLE, "upstream_unreachable", "The service behind the gate cannot be reached",
        "Try again soon; if it stays so, tell the operator that the service does not accept connections.";
    UPSTREAM_FAILED = BAD_GATEWAY, "upstream_failed", "The service behind the gate did not answer properly",
        "Try again; if it stays so, tell the operator.";
    UPSTREAM_TIMEOUT = GATEWAY_TIMEOUT, "upstream_timeout", "The service behind the gate took too long",
        "Try again later; the operator can give it more time (gate.timeouts).";
    EXPIRED_PUBLICATION = SERVICE_UNAVAILABLE, "expired_publication", "This file is not here yet, or out of date",
        "Try again in a minute; if it stays so, tell the operator.";
    UNKNOWN_HOST = MISDIRECTED_REQUEST, "unknown_host", "No site has this name here",
        "Check the address.";
}

impl Problem {
    /// The answer, with the facts in one sentence.
    pub(crate) fn document(&self, detail: impl Into<Cow<'static, str>>) -> Document {
        Document {
            status: self.status,
            code: self.code,
            title: self.title.into(),
            detail: detail.into(),
            fix: self.fix.into(),
            refusal: None,
            retry_after: None,
            terse: false,
            portal: None,
        }
    }
}

/// What a failure of an upstream is to the client, and under what it is counted; `None` if the client is gone.
pub(crate) fn of_failure(failure: Failure) -> Option<(Document, Option<UpstreamError>)> {
    Some(match failure {
        Failure::Unreachable(kind) => (
            UPSTREAM_UNREACHABLE.document(format!("Connecting to it failed: {kind}.")),
            Some(UpstreamError::Connect),
        ),
        Failure::Exhausted => (
            UPSTREAM_UNREACHABLE.document("The gate can open no more connections now."),
            Some(UpstreamError::Connect),
        ),
        Failure::ConnectTimeout => (
            UPSTREAM_TIMEOUT.document("It did not take the connection in time."),
            Some(UpstreamError::ConnectTimeout),
        ),
        Failure::Closed => (
            UPSTREAM_FAILED.document("It closed the connection without an answer."),
            Some(UpstreamError::Closed),
        ),
        Failure::Broken => (
            UPSTREAM_FAILED.document("It broke its answer off."),
            Some(UpstreamError::Incomplete),
        ),
        Failure::Bad(why) => (
            UPSTREAM_FAILED.document(format!("Its answer cannot be passed on: {why}.")),
            Some(UpstreamError::Protocol),
        ),
        Failure::Unsayable => (
            UPSTREAM_FAILED.document("The request cannot be said in HTTP/2, which it speaks."),
            Some(UpstreamError::Protocol),
        ),
        Failure::ResponseTimeout => (
            UPSTREAM_TIMEOUT.document("It did not answer in time."),
            Some(UpstreamError::ResponseTimeout),
        ),
        Failure::BodyTooLarge => (
            BODY_TOO_LARGE.document("The body is longer than this route takes."),
            None,
        ),
        // RFC 9110 15.5.9
        Failure::BodyTooSlow => (
            BODY_TOO_SLOW.document("The gate has waited for the rest of it, and does no longer."),
            None,
        ),
        Failure::Refused => (
            UPSTREAM_UNREACHABLE.document("It takes no requests now."),
            Some(UpstreamError::Closed),
        ),
        Failure::Untrusted => (
            UPSTREAM_FAILED.document("Its certificate does not verify."),
            Some(UpstreamError::Untrusted),
        ),
        Failure::NoServer(seconds) => (
            Document {
                retry_after: Some(seconds),
                ..UPSTREAM_UNREACHABLE.document("None of its servers can be used now.")
            },
            Some(UpstreamError::NoServer),
        ),
        Failure::BadBody => (
            BAD_REQUEST.document("The chunks of the request's body are none."),
            None,
        ),
        Failure::ClientGone => return None,
    })
}
