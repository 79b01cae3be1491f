//! What somebody who was turned away gets to read: a page for people, a problem document for programs (RFC 9457).
//!
//! Knows how to say it, and how much to whom. Does not know who is admitted: reasons, their meaning and what to do
//! about them come from the judge's catalogue.

use std::{borrow::Cow, sync::OnceLock};

use askama::Template;
use aws_lc_rs::digest;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue, Method, Response, StatusCode,
    header::{
        CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE,
        REFERRER_POLICY, RETRY_AFTER, USER_AGENT, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use judge::{Reason, Refusal};
use serde::Serialize;

mod accept;
mod browser;
mod grpc;
mod id;

use crate::fields::Fields;
use browser::Guide;
pub use id::RefusalId;

/// The code of the answer, for programs that do not read bodies.
pub const REASON: HeaderName = HeaderName::from_static("mutualgate-reason");
/// The reference of the refusal.
pub const REFUSAL: HeaderName = HeaderName::from_static("mutualgate-refusal");

const STYLE: &str = include_str!("../templates/refusal.css");

/// An answer of the gate's own in place of the service's: a refusal, or another failure.
#[derive(Debug, Clone)]
pub struct Document {
    /// The status.
    pub status: StatusCode,
    /// The stable code: of a [`judge::Reason`], or of a failure that has nothing to do with certificates.
    pub code: &'static str,
    /// What happened, in a few words: the page's heading.
    pub title: Cow<'static, str>,
    /// What happened, in a sentence, with the facts of this case.
    pub detail: Cow<'static, str>,
    /// What to do about it.
    pub fix: Cow<'static, str>,
    /// The reference to quote; `None` where nothing was recorded.
    pub refusal: Option<RefusalId>,
    /// Whether the reader is a stranger, whose issuer we do not know: then `detail` is kept back, and in its place
    /// stands what the reason means in general.
    pub terse: bool,
    /// In how many seconds it is worth while to come again.
    pub retry_after: Option<u32>,
    /// The path of the portal on this site, where it has one: it remembers a browser that was let in before, and
    /// can say of a certificate that is not shown what no handshake can.
    pub portal: Option<Box<str>>,
}

impl Document {
    /// For a client that was refused, with the reference under which that is remembered.
    pub fn refused(refusal: &Refusal, id: RefusalId) -> Document {
        let reason = refusal.reason;
        let status = match reason {
            Reason::WrongSite => StatusCode::MISDIRECTED_REQUEST, // RFC 9110 15.5.20
            _ => StatusCode::FORBIDDEN,
        };
        Document {
            status,
            code: reason.code(),
            title: Cow::Borrowed(title(reason)),
            detail: Cow::Owned(refusal.detail.clone()),
            fix: Cow::Borrowed(reason.fix()),
            refusal: Some(id),
            terse: !refusal.issuer_known,
            retry_after: None,
            portal: None,
        }
    }

    /// With a link to the portal, if the site has one at `path`.
    pub fn with_portal(self, path: Option<&str>) -> Document {
        Document {
            portal: path.map(|path| path.trim_end_matches('/').into()),
            ..self
        }
    }

    /// The answer to a request with `method` and the fields `asked`: HTML if it prefers that, else problem+json; for gRPC a
    /// status of its own. The body of an answer to HEAD is empty, with the length that it would have; the length is always
    /// given (HTTP/1.0).
    pub(crate) fn answer(&self, method: &Method, asked: &Fields) -> Response<Bytes> {
        if let Some(content_type) = grpc::asked(asked) {
            return self.marked(grpc::answer(
                content_type,
                self.status,
                self.code,
                self.detail(),
            ));
        }
        let html = accept::prefers_html(asked);
        let body = if html {
            self.page(asked)
        } else {
            self.problem()
        };
        let length = body.len();
        let mut response = Response::new(if method == Method::HEAD {
            Bytes::new()
        } else {
            Bytes::from(body)
        });
        *response.status_mut() = self.status;
        let fields = response.headers_mut();
        fields.insert(CONTENT_LENGTH, HeaderValue::from(length));
        let media = if html {
            "text/html; charset=utf-8"
        } else {
            "application/problem+json"
        };
        fields.insert(CONTENT_TYPE, HeaderValue::from_static(media));
        fields.insert(CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        fields.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        fields.insert(VARY, HeaderValue::from_static("Accept"));
        fields.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        fields.insert(CONTENT_SECURITY_POLICY, policy().clone());
        self.marked(response)
    }

    /// With what programs read that do not read bodies.
    fn marked(&self, mut response: Response<Bytes>) -> Response<Bytes> {
        let fields = response.headers_mut();
        fields.insert(REASON, HeaderValue::from_static(self.code));
        if let Some(seconds) = self.retry_after {
            fields.insert(RETRY_AFTER, HeaderValue::from(seconds)); // RFC 6585 4
        }
        if let Some(value) = self
            .refusal
            .and_then(|id| HeaderValue::from_str(id.as_str()).ok())
        {
            fields.insert(REFUSAL, value);
        }
        response
    }

    /// What this reader may know.
    fn detail(&self) -> &str {
        match Reason::of_code(self.code) {
            Some(reason) if self.terse || self.detail.is_empty() => reason.meaning(),
            _ => &self.detail,
        }
    }

    /// The problem document.
    fn problem(&self) -> String {
        let problem = Problem {
            r#type: format!("urn:mutualgate:reason:{}", self.code),
            title: &self.title,
            status: self.status.as_u16(),
            reason: self.code,
            detail: self.detail(),
            fix: &self.fix,
            refusal: self.refusal,
        };
        // Strings and numbers always serialise.
        serde_json::to_string(&problem).unwrap_or_default()
    }

    /// The page.
    fn page(&self, asked: &Fields) -> String {
        let user_agent = asked
            .get(&USER_AGENT)
            .and_then(|value| str::from_utf8(value).ok())
            .unwrap_or_default();
        let first = Guide::of(user_agent);
        let page = Page {
            style: STYLE,
            status: self.status.as_u16(),
            code: self.code,
            title: &self.title,
            detail: self.detail(),
            fix: &self.fix,
            refusal: self.refusal,
            portal: self.portal.as_deref(),
            tone: Tone::of(self.status),
            advice: Advice::of(self.code),
            first,
            others: Guide::ALL
                .into_iter()
                .filter(|guide| Some(*guide) != first)
                .collect(),
        };
        // The template is fixed and writes into memory; should it fail all the same, the title says the most.
        page.render()
            .unwrap_or_else(|_| String::from("<!doctype html><title>Refused</title>"))
    }
}

/// The heading: what happened, to somebody who has never heard of certificates.
fn title(reason: Reason) -> &'static str {
    match reason {
        Reason::NoCertificate => "No client certificate arrived",
        Reason::Malformed => "Your certificate cannot be read",
        Reason::BadSignature => "Your certificate does not verify",
        Reason::UnknownIssuer => "The issuer of your certificate is not known here",
        Reason::PathInvalid => "Your certificate breaks a rule",
        Reason::NotYetValid => "Your certificate is not valid yet",
        Reason::Expired => "Your certificate has expired",
        Reason::NotForClientAuth => "Your certificate is for another purpose",
        Reason::CaAsClient => "This is an authority's certificate, not yours",
        Reason::WeakKey => "The key of your certificate is too weak",
        Reason::NameNotPermitted => "Your authority may not vouch for this name",
        Reason::PinRetired => "Your certificate is no longer accepted",
        Reason::Revoked => "Your certificate was revoked",
        Reason::CrlMissing => "Your authority's revocation list is not here",
        Reason::CrlExpired => "Your authority's revocation list is too old",
        Reason::NotEnrolled => "Your certificate is not registered here",
        Reason::ClientSuspended => "Your access is suspended",
        Reason::NotGranted => "You may not use this address",
        Reason::WrongSite => "This connection was opened for another site",
    }
}

/// RFC 9457 3.1, and 3.2 for `reason`, `fix` and `refusal`.
#[derive(Serialize)]
struct Problem<'a> {
    r#type: String,
    title: &'a str,
    status: u16,
    reason: &'a str,
    detail: &'a str,
    fix: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<RefusalId>,
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Page<'a> {
    style: &'static str,
    status: u16,
    code: &'a str,
    title: &'a str,
    detail: &'a str,
    fix: &'a str,
    refusal: Option<RefusalId>,
    portal: Option<&'a str>,
    tone: Tone,
    advice: Advice,
    first: Option<Guide>,
    others: Vec<Guide>,
}

/// Whose turn it is: the reader's, or that of whoever runs the service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    Refused,
    Mistake,
    Trouble,
}

impl Tone {
    fn of(status: StatusCode) -> Tone {
        if status == StatusCode::FORBIDDEN {
            Tone::Refused
        } else if status.is_server_error() {
            Tone::Trouble
        } else {
            Tone::Mistake
        }
    }

    fn class(self) -> &'static str {
        match self {
            Tone::Refused => "refused",
            Tone::Mistake => "mistake",
            Tone::Trouble => "trouble",
        }
    }
}

/// What the page says about browsers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Advice {
    /// Where certificates are, why one may be hidden, and how to be asked again.
    Find,
    /// How to be asked again, for those who have another certificate.
    Choose,
    /// Nothing.
    Silent,
}

impl Advice {
    fn of(code: &str) -> Advice {
        match code {
            "no_certificate" => Advice::Find,
            "unknown_issuer"
            | "path_invalid"
            | "not_yet_valid"
            | "expired"
            | "not_for_client_auth"
            | "ca_as_client"
            | "weak_key"
            | "name_not_permitted"
            | "pin_retired"
            | "revoked"
            | "not_enrolled"
            | "not_granted" => Advice::Choose,
            _ => Advice::Silent,
        }
    }
}

/// The policy of every answer: nothing may be loaded or run, and the one style sheet is known by its hash (CSP3 8.3).
fn policy() -> &'static HeaderValue {
    static POLICY: OnceLock<HeaderValue> = OnceLock::new();
    POLICY.get_or_init(|| {
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()));
        let text = format!(
            "default-src 'none'; style-src 'sha256-{hash}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("default-src 'none'"))
    })
}

#[cfg(test)]
mod tests;
