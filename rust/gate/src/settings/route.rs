//! What is done with the requests of one route, besides who may pass and where to.

use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::SettingsError;
use crate::{
    identity,
    rules::{Direction, FieldRules, Redirect, Rewrite, WireFields},
};

const FORWARDED_PREFIX: HeaderName = HeaderName::from_static("x-forwarded-prefix");

/// How requests of one route are forwarded. The default is the strict one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct RouteOptions {
    pub(crate) pass_identity_names: bool,
    pub(crate) tls_facts: bool,
    pub(crate) max_body_bytes: Option<u64>,
    pub(crate) request_fields: FieldRules,
    pub(crate) response_fields: FieldRules,
    pub(crate) rewrite: Option<Rewrite>,
    /// In place of an upstream.
    pub(crate) redirect: Option<Redirect>,
}

/// The options as they travel.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireRoute {
    pub(super) path: String,
    #[serde(default)]
    pass_identity_names: bool,
    #[serde(default)]
    tls_facts: bool,
    #[serde(default)]
    max_body_bytes: Option<u64>,
    #[serde(default)]
    request_headers: WireFields,
    #[serde(default)]
    response_headers: WireFields,
    #[serde(default)]
    strip_prefix: Option<String>,
    #[serde(default)]
    replace_prefix: Option<String>,
    #[serde(default)]
    redirect: Option<WireRedirect>,
    #[serde(default)]
    pub(super) limits: super::limits::WireScope,
    /// Dialects; the usual one by default.
    #[serde(default)]
    pub(super) identity: Option<Vec<String>>,
    /// For whom tokens are; by default the site, by its name.
    #[serde(default)]
    pub(super) jwt_audience: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRedirect {
    to: String,
    status: u16,
    keep_path: bool,
}

impl RouteOptions {
    /// Checks what the control plane says of the route at `place`.
    pub(super) fn new(wire: &WireRoute, place: &str) -> Result<RouteOptions, SettingsError> {
        let at = |key: &str, problem: String| SettingsError::new(format!("{place}.{key}"), problem);
        let fields = |key: &str, direction, wire: &WireFields| {
            FieldRules::new(direction, wire)
                .map_err(|(inner, problem)| at(&format!("{key}.{inner}"), problem))
        };
        let mut request_fields =
            fields("request_headers", Direction::Request, &wire.request_headers)?;
        let rewrite = match (&wire.strip_prefix, &wire.replace_prefix) {
            (None, None) => None,
            (Some(prefix), None) => {
                let value = HeaderValue::from_str(prefix)
                    .map_err(|_| at("strip_prefix", format!("is {prefix:?}, which is no path")))?;
                // What applications make their own addresses with.
                request_fields = request_fields.with(FORWARDED_PREFIX, value);
                Some(Rewrite::new(&wire.path, prefix, "").map_err(|why| at("strip_prefix", why))?)
            }
            (None, Some(by)) => {
                let rewrite = Rewrite::new(&wire.path, &wire.path, by);
                Some(rewrite.map_err(|why| at("replace_prefix", why))?)
            }
            (Some(_), Some(_)) => {
                return Err(at("strip_prefix", "is there beside replace_prefix".into()));
            }
        };
        let redirect = (wire.redirect.as_ref())
            .map(|wire| Redirect::new(wire.status, &wire.to, wire.keep_path))
            .transpose()
            .map_err(|why| at("redirect", why))?;
        Ok(RouteOptions {
            pass_identity_names: wire.pass_identity_names,
            tls_facts: wire.tls_facts,
            max_body_bytes: wire.max_body_bytes,
            request_fields,
            response_fields: fields(
                "response_headers",
                Direction::Response,
                &wire.response_headers,
            )?,
            rewrite,
            redirect,
        })
    }

    /// Whether a client may not send a field of this name, in any case.
    pub(crate) fn strips(&self, name: &[u8]) -> bool {
        identity::removed(name, self.pass_identity_names) || self.request_fields.drops(name)
    }

    /// Takes away what a client sent in its trailers and may not say here.
    pub(crate) fn strip(&self, headers: &mut HeaderMap) {
        identity::strip(headers, self.pass_identity_names);
        self.request_fields.strip(headers);
    }
}
