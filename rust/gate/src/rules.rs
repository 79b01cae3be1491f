//! What a route changes in the messages that pass it: header fields, and the beginning of the path.
//!
//! Prepared once per configuration, applied where heads are read and written. Knows which fields no rule may touch: who a
//! client is says the gate alone, and so it is with where a request comes from and how a message is framed.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, uri::PathAndQuery};

use crate::{
    fields::Fields,
    identity::{self, Kind},
};

/// What is done to the fields of a request or of a response.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct FieldRules {
    /// Names whose fields go, in the canonical form of [`identity::canonical_name`]: those removed, and those set anew.
    dropped: Box<[Box<[u8]>]>,
    added: Box<[(HeaderName, HeaderValue)]>,
    /// The added fields, each with its CRLF.
    bytes: Box<[u8]>,
}

/// Rules as a configuration says them, in its order.
#[derive(Debug, Clone, Default, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireFields {
    #[serde(default)]
    pub(crate) add: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) set: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) remove: Vec<String>,
}

/// In which messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Those of clients.
    Request,
    /// Those of services.
    Response,
}

/// What a rule does to a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// One more of that name.
    Add,
    /// This one in place of all of that name.
    Set,
    /// None of that name.
    Remove,
}

/// Fields of one connection, and those by which messages are framed and switched, in their canonical form.
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Why no rule may do `deed` to fields of this name; the rest of a sentence that begins with the name. `None` if it may.
pub fn refused(direction: Direction, deed: Deed, name: &str) -> Option<&'static str> {
    let Ok(name) = HeaderName::from_bytes(name.as_bytes()) else {
        return Some("is no name of a header field");
    };
    let canonical = identity::canonical_name(name.as_str());
    let is_one_of = |names: &[&str]| names.iter().any(|one| one.as_bytes() == &*canonical);
    if is_one_of(FRAMING) {
        return Some("belongs to one connection or frames the message, and the gate writes it");
    }
    match (direction, identity::kind(name.as_str())) {
        (_, Some(Kind::Ours)) => Some("is the gate's own, and nobody else writes it"),
        (Direction::Request, Some(Kind::Hop)) => {
            Some("says where a request comes from, and the gate alone says that")
        }
        (Direction::Request, Some(Kind::Identity)) if deed != Deed::Remove => Some(
            "is a name by which identities are passed on, and the gate alone says who a client is",
        ),
        (Direction::Request, _)
            if is_one_of(&[
                "expect",
                "host",
                "proxy-authorization",
                "via",
                "x-request-id",
            ]) =>
        {
            Some("is written by the gate")
        }
        (Direction::Request, _)
            if deed != Deed::Remove && is_one_of(&["traceparent", "tracestate"]) =>
        {
            Some("names one request of a trace, and the gate writes it where [tracing] is on")
        }
        // RFC 6265 5.4: one field at most.
        (Direction::Request, _) if deed == Deed::Add && is_one_of(&["cookie"]) => {
            Some("is there once at most; set or remove it")
        }
        _ => None,
    }
}

impl FieldRules {
    /// Checks the rules. The error is the key under which the wrong one stands, and what is wrong with it.
    pub(crate) fn new(
        direction: Direction,
        wire: &WireFields,
    ) -> Result<FieldRules, (&'static str, String)> {
        let mut dropped = Vec::new();
        let mut added = Vec::new();
        for name in &wire.remove {
            if let Some(why) = refused(direction, Deed::Remove, name) {
                return Err(("remove", format!("{name:?} {why}")));
            }
            dropped.push(identity::canonical_name(name));
        }
        for (key, deed, fields) in [("set", Deed::Set, &wire.set), ("add", Deed::Add, &wire.add)] {
            for (text, value) in fields {
                if let Some(why) = refused(direction, deed, text) {
                    return Err((key, format!("{text:?} {why}")));
                }
                let field = HeaderName::from_bytes(text.as_bytes())
                    .ok()
                    .zip(HeaderValue::from_str(value).ok());
                let Some((name, value)) = field else {
                    return Err((key, format!("the value of {text:?} is none")));
                };
                if deed == Deed::Set {
                    dropped.push(identity::canonical_name(name.as_str()));
                }
                added.push((name, value));
            }
        }
        Ok(FieldRules {
            dropped: dropped.into(),
            bytes: crate::upstream::block(added.iter().map(|(name, value)| (name, value))),
            added: added.into(),
        })
    }

    /// One more field, which no configuration may write.
    pub(crate) fn with(self, name: HeaderName, value: HeaderValue) -> FieldRules {
        let mut added = self.added.into_vec();
        added.push((name, value));
        FieldRules {
            dropped: self.dropped,
            bytes: crate::upstream::block(added.iter().map(|(name, value)| (name, value))),
            added: added.into(),
        }
    }

    /// Whether fields of this name, in any case, go.
    pub(crate) fn drops(&self, name: impl AsRef<[u8]> + Copy) -> bool {
        self.dropped.iter().any(|one| identity::is(one, name))
    }

    /// Takes away what the rules remove or set anew.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        if self.dropped.is_empty() {
            return;
        }
        let doomed: Vec<HeaderName> = headers
            .keys()
            .filter(|name| self.drops(name.as_str()))
            .cloned()
            .collect();
        for name in doomed {
            headers.remove(name);
        }
    }

    /// What the rules write, each field with its CRLF.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Applies the rules to a head.
    pub(crate) fn apply(&self, fields: &mut Fields) {
        if !self.dropped.is_empty() {
            fields.retain(|name| !self.drops(name));
        }
        for (name, value) in &self.added {
            fields.append(name.clone(), value.clone());
        }
    }
}

/// Another beginning for the paths of a route.
///
/// The route covers what begins with the part that is cut off, by whole segments, and such a path has one reading
/// (`judge::check_path`): so it has when another such path stands in place of its beginning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rewrite {
    /// How many bytes of the path go.
    cut: usize,
    /// What comes in their place, without a slash at its end.
    by: Box<str>,
}

impl Rewrite {
    /// For a route whose path is `path`, `prefix` or a path above it is replaced by `by`. The error completes a sentence
    /// that begins with the key.
    pub(crate) fn new(path: &str, prefix: &str, by: &str) -> Result<Rewrite, String> {
        let bare = |text: &str| text.trim_end_matches('/').to_owned();
        let prefix = bare(prefix);
        let covered = bare(path)
            .strip_prefix(&prefix)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if !covered {
            return Err(format!(
                "is {prefix:?}, and the route's path {path} does not begin so"
            ));
        }
        if let Err(why) = judge::route::check_path(&format!("{}/", bare(by))) {
            return Err(format!("is {by:?}, which {why}"));
        }
        Ok(Rewrite {
            cut: prefix.len(),
            by: bare(by).into(),
        })
    }

    /// The target to send for one that the route covers; `None` if it would be longer than a target can be.
    pub(crate) fn apply(&self, target: &PathAndQuery) -> Option<PathAndQuery> {
        let rest = target.as_str().get(self.cut..)?;
        let slash = if self.by.is_empty() && !rest.starts_with('/') {
            "/"
        } else {
            ""
        };
        let text = [&*self.by, slash, rest].concat();
        PathAndQuery::from_maybe_shared(Bytes::from(text)).ok()
    }
}

/// An answer that sends the client elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Redirect {
    pub(crate) status: http::StatusCode,
    /// `https://host` with or without a path, or a path.
    to: Box<str>,
    /// Whether the path and query of the request come after it.
    keep_path: bool,
}

impl Redirect {
    /// The error completes a sentence that begins with the key.
    pub(crate) fn new(status: u16, to: &str, keep_path: bool) -> Result<Redirect, String> {
        let status = match status {
            301 | 302 | 303 | 307 | 308 => http::StatusCode::from_u16(status),
            _ => {
                return Err(format!(
                    "has status {status}, expected 301, 302, 303, 307 or 308"
                ));
            }
        };
        let is_good = (to.starts_with("https://")
            || (to.starts_with('/') && !to.starts_with("//")))
            && HeaderValue::from_str(to).is_ok()
            && !(keep_path && to.contains(['?', '#']));
        match status {
            Ok(status) if is_good => Ok(Redirect {
                status,
                to: if keep_path {
                    to.trim_end_matches('/')
                } else {
                    to
                }
                .into(),
                keep_path,
            }),
            _ => Err(format!("is {to:?}, expected https://host/path or /path")),
        }
    }

    /// Where to; `target` is what would be sent to an upstream.
    pub(crate) fn location(&self, target: &PathAndQuery) -> Option<HeaderValue> {
        if self.keep_path {
            HeaderValue::from_maybe_shared(Bytes::from([&*self.to, target.as_str()].concat())).ok()
        } else {
            HeaderValue::from_str(&self.to).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(direction: Direction, set: &[(&str, &str)], remove: &[&str]) -> FieldRules {
        let wire = WireFields {
            set: set
                .iter()
                .map(|(n, v)| ((*n).into(), (*v).into()))
                .collect(),
            remove: remove.iter().map(|name| (*name).into()).collect(),
            ..WireFields::default()
        };
        FieldRules::new(direction, &wire).unwrap()
    }

    #[test]
    fn no_rule_writes_who_a_client_is_or_how_a_message_is_framed() {
        for name in [
            "Client-Cert",
            "client_cert",
            "Mutualgate-Client",
            "MUTUALGATE.ROLES",
            "X-Forwarded-For",
            "X_Forwarded_Client_Cert",
            "SSL_CLIENT_S_DN",
            "X-SSL-Client-Cert",
            "Host",
            "Connection",
            "Transfer-Encoding",
            "transfer_encoding",
            "Content-Length",
            "TE",
            "Trailer",
            "Upgrade",
            "X-Request-Id",
            "not a name",
            "",
            ":path",
        ] {
            for deed in [Deed::Add, Deed::Set] {
                assert!(refused(Direction::Request, deed, name).is_some(), "{name}");
            }
        }
        for name in [
            "Mutualgate-Reason",
            "Connection",
            "Content_Length",
            "Keep-Alive",
        ] {
            assert!(
                refused(Direction::Response, Deed::Set, name).is_some(),
                "{name}"
            );
        }
        assert_eq!(
            refused(Direction::Request, Deed::Remove, "X-SSL-Client-Cert"),
            None
        );
        assert!(refused(Direction::Request, Deed::Remove, "Client-Cert").is_some());
        assert_eq!(
            refused(Direction::Response, Deed::Set, "Strict-Transport-Security"),
            None
        );
        assert_eq!(
            refused(Direction::Request, Deed::Set, "Authorization"),
            None
        );
    }

    #[test]
    fn what_is_set_is_there_once_however_it_was_spelled() {
        let rules = rules(Direction::Request, &[("X-Tenant", "a")], &["X-Debug"]);
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x_tenant", "evil"),
            ("x-tenant", "evil"),
            ("x.debug", "1"),
            ("x-debugger", "kept"),
        ] {
            headers.append(name, HeaderValue::from_static(value));
        }
        let mut fields = Fields::from(headers);
        rules.apply(&mut fields);
        let mut left: Vec<_> = fields.iter().collect();
        left.sort_unstable();
        assert_eq!(
            left,
            [(&b"x-debugger"[..], &b"kept"[..]), (b"x-tenant", b"a")]
        );
        assert_eq!(rules.bytes(), b"x-tenant: a\r\n");
    }

    #[test]
    fn a_path_begins_anew_at_a_segment() {
        let apply = |path: &str, prefix: &str, by: &str, target: &str| {
            let rewrite = Rewrite::new(path, prefix, by).unwrap();
            rewrite.apply(&target.parse().unwrap()).unwrap().to_string()
        };
        for (path, prefix, by, target, sent) in [
            ("/api", "/api", "", "/api", "/"),
            ("/api", "/api", "", "/api/", "/"),
            ("/api", "/api", "", "/api?q=/api", "/?q=/api"),
            ("/api", "/api", "", "/api/x?y", "/x?y"),
            ("/api/admin", "/api", "", "/api/admin/x", "/admin/x"),
            ("/api", "/api", "/v2", "/api", "/v2"),
            ("/api", "/api", "/v2", "/api/x", "/v2/x"),
            ("/", "/", "/app", "/", "/app/"),
            ("/", "/", "/app", "/x", "/app/x"),
            ("/api", "/api", "/", "/api/x", "/x"),
        ] {
            assert_eq!(
                apply(path, prefix, by, target),
                sent,
                "{path} {prefix} {by} {target}"
            );
        }
        for (path, prefix, by) in [
            ("/api", "/ap", ""),
            ("/api", "/x", ""),
            ("/api", "/api", "/a/../b"),
        ] {
            assert!(
                Rewrite::new(path, prefix, by).is_err(),
                "{path} {prefix} {by}"
            );
        }
    }

    #[test]
    fn a_redirect_leads_where_it_says() {
        let to = |to: &str, keep: bool, target: &str| {
            let redirect = Redirect::new(308, to, keep).unwrap();
            let location = redirect.location(&target.parse().unwrap()).unwrap();
            location.to_str().unwrap().to_owned()
        };
        assert_eq!(to("https://b.test", true, "/x?y"), "https://b.test/x?y");
        assert_eq!(
            to("https://b.test/new/", true, "/x"),
            "https://b.test/new/x"
        );
        assert_eq!(
            to("https://b.test/a?b#c", false, "/x?y"),
            "https://b.test/a?b#c"
        );
        assert_eq!(to("/app/", false, "/"), "/app/");
        assert_eq!(to("/", true, "/x"), "/x");
        for (status, to, keep) in [
            (200, "https://b.test", true),
            (308, "//b.test", false),
            (308, "javascript:x", false),
            (308, "https://b.test/\r\nx: y", false),
            (308, "https://b.test/?a", true),
        ] {
            assert!(Redirect::new(status, to, keep).is_err(), "{to}");
        }
    }
}
