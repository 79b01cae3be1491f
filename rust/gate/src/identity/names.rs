//! The names of header fields by which identities, addresses and paths are passed on, here and elsewhere.
//!
//! Knows who uses which name, and the canonical form in which names are compared. Does not know requests.
//!
//! A name is compared as the most lenient reader behind reads it: CGI, WSGI and PHP turn `-` into `_`, some servers
//! `.` too, and some every character that is neither letter nor digit. So all of those read as `-` here.

/// What a name stands for, and with it when a client's field of that name is removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Written by this gate, in one of its dialects: always removed, also where a route does not use that dialect.
    Ours,
    /// Says where a request came from, for which host, scheme or path; a proxy writes it: always removed.
    Hop,
    /// Passes an identity on in other proxies, products or servers: removed unless the route passes such names.
    Identity,
}

/// One entry of the catalogue.
#[derive(Debug, Clone, Copy)]
pub struct Name {
    /// The canonical name; with `*` at its end, all names that begin so.
    pub pattern: &'static str,
    /// What it stands for.
    pub kind: Kind,
    /// Who uses it.
    pub used_by: &'static str,
}

const fn ours(pattern: &'static str, used_by: &'static str) -> Name {
    Name {
        pattern,
        kind: Kind::Ours,
        used_by,
    }
}

const fn hop(pattern: &'static str, used_by: &'static str) -> Name {
    Name {
        pattern,
        kind: Kind::Hop,
        used_by,
    }
}

const fn identity(pattern: &'static str, used_by: &'static str) -> Name {
    Name {
        pattern,
        kind: Kind::Identity,
        used_by,
    }
}

/// The catalogue: by first character (those with `x-` by the third), and among the entries of one the first match
/// counts.
pub static NAMES: &[Name] = &[
    // `$` reads as `-`.
    identity(
        "-ws*",
        "WebSphere's web server plug-in ($WSCC, $WSRU, $WSIS)",
    ),
    identity("affiliation", "Shibboleth"),
    identity("auth-user", "IIS"),
    ours("client-cert*", "RFC 9440"),
    identity("client-dn", "nginx recipes"),
    identity("client-fingerprint*", "nginx recipes"),
    identity("client-issuer*", "nginx recipes"),
    identity("client-serial*", "nginx recipes"),
    identity("client-subject*", "nginx recipes"),
    identity("client-verif*", "nginx recipes"),
    hop("client-ip", "address of the client, several proxies"),
    identity("cf-access-*", "Cloudflare Access"),
    identity("cf-cert-*", "Cloudflare mutual TLS"),
    identity("cf-client-*", "Cloudflare mutual TLS"),
    hop("cf-connecting-*", "Cloudflare"),
    identity("entitlement", "Shibboleth"),
    identity("eppn", "Shibboleth"),
    hop("fastly-client-*", "Fastly"),
    hop("forwarded*", "RFC 7239"),
    hop("front-end-https", "Microsoft proxies"),
    identity("impersonate-*", "Kubernetes"),
    identity("issuer-dn", "F5 recipes"),
    identity("iv-*", "IBM WebSEAL"),
    identity("logon-user", "IIS"),
    identity("mellon-*", "Apache mod_auth_mellon"),
    ours("mutualgate*", "this gate"),
    identity("oam-*", "Oracle Access Manager"),
    identity("oidc-*", "Apache mod_auth_openidc"),
    identity("osso-*", "Oracle single sign-on"),
    identity("persistent-id", "Shibboleth"),
    hop(
        "proxy",
        "becomes HTTP_PROXY in a CGI program (CVE-2016-5385)",
    ),
    ours("proxy-auth-cert", "Jetty"),
    identity("proxy-client-*", "WebLogic"),
    identity("proxy-remote-*", "several proxies"),
    ours("proxy-ssl-id", "Jetty"),
    identity("proxy-ssl-*", "Jetty"),
    identity("proxy-user*", "several proxies"),
    identity(
        "remote-*",
        "Authelia, and every server that sets REMOTE_USER",
    ),
    identity("shib-*", "Shibboleth"),
    identity("sm-*", "SiteMinder"),
    identity("smuser*", "SiteMinder"),
    ours("ssl-cipher*", "Tomcat's SSLValve"),
    ours(
        "ssl-client-*",
        "Apache mod_ssl, ingress-nginx, Tomcat's SSLValve, Undertow, Keycloak",
    ),
    ours("ssl-secure-protocol", "Tomcat's SSLValve"),
    ours("ssl-session-id", "Tomcat's SSLValve"),
    identity("ssl-*", "Apache mod_ssl"),
    identity("sslclient*", "F5 recipes"),
    identity("subject-dn", "F5 recipes"),
    identity("tailscale-*", "Tailscale"),
    identity("targeted-id", "Shibboleth"),
    identity("tls-*", "several proxies"),
    hop("true-client-ip", "Akamai, Cloudflare"),
    identity("unscoped-affiliation", "Shibboleth"),
    identity("user-dn", "F5 recipes"),
    identity("webauth-*", "several proxies"),
    identity(
        "wl-proxy-*",
        "WebLogic's plug-in (WL-Proxy-Client-Cert, WL-Proxy-SSL)",
    ),
    identity("x-amzn-mtls-*", "AWS load balancers"),
    identity("x-amzn-oidc-*", "AWS load balancers"),
    identity("x-anonymous-consumer", "Kong"),
    identity("x-arr-*", "IIS request routing, Azure App Service"),
    identity("x-auth-email", "several proxies"),
    identity("x-auth-group*", "several proxies"),
    identity("x-auth-name", "several proxies"),
    identity("x-auth-request-*", "oauth2-proxy"),
    identity("x-auth-role*", "several proxies"),
    identity("x-auth-subject", "several proxies"),
    identity("x-auth-user*", "several proxies"),
    identity("x-authenticated-*", "Kong, several proxies"),
    identity("x-authentik-*", "authentik"),
    hop("x-azure-*", "Azure Front Door"),
    identity("x-cert*", "several proxies"),
    hop("x-client-ip", "address of the client, several proxies"),
    identity(
        "x-client-*",
        "nginx, HAProxy and F5 recipes, Google and Azure load balancers",
    ),
    identity("x-clientcert*", "F5 recipes"),
    hop("x-cluster-client-ip", "several proxies"),
    identity("x-consumer-*", "Kong"),
    identity("x-credential-*", "Kong"),
    identity("x-email", "nginx with oauth2-proxy"),
    hop("x-envoy-*", "Envoy"),
    identity("x-forwarded-access-token", "oauth2-proxy"),
    ours("x-forwarded-client-cert*", "Envoy, Istio, SAP"),
    identity("x-forwarded-client*", "Envoy, Istio, SAP"),
    identity("x-forwarded-email*", "oauth2-proxy"),
    identity("x-forwarded-group*", "oauth2-proxy"),
    identity("x-forwarded-preferred-username", "oauth2-proxy"),
    identity("x-forwarded-ssl-*", "HAProxy recipes"),
    ours("x-forwarded-tls-client-cert*", "Traefik"),
    identity("x-forwarded-tls-*", "Traefik"),
    identity("x-forwarded-user*", "oauth2-proxy"),
    hop("x-forwarded*", "every proxy"),
    identity("x-goog-authenticated-*", "Google Identity-Aware Proxy"),
    identity("x-goog-iap-*", "Google Identity-Aware Proxy"),
    identity("x-groups", "nginx with oauth2-proxy"),
    hop("x-host", "several frameworks take it for Host"),
    hop(
        "x-http-host-override",
        "several frameworks take it for Host",
    ),
    identity("x-iisnode-*", "iisnode"),
    identity("x-issuer*", "several proxies"),
    identity("x-ms-client-*", "Azure App Service"),
    identity("x-ms-token-*", "Azure App Service"),
    identity("x-mtls-*", "several proxies"),
    hop(
        "x-original-*",
        "IIS and frameworks take X-Original-URL for the path",
    ),
    identity("x-pomerium-*", "Pomerium"),
    hop("x-proxied-https", "Jetty"),
    identity("x-proxy-remote-*", "several proxies"),
    identity("x-proxy-user*", "several proxies"),
    hop("x-real-*", "nginx"),
    identity("x-remote-*", "Kubernetes' front proxy, several proxies"),
    hop("x-rewrite-url", "IIS and frameworks take it for the path"),
    hop("x-scheme", "ingress-nginx"),
    identity("x-ssl*", "HAProxy, OpenShift, Keycloak (X-SSL-Client-Cert)"),
    identity("x-subject*", "several proxies"),
    identity("x-tls-*", "several proxies"),
    hop("x-url-scheme", "several frameworks"),
    identity("x-user", "nginx with oauth2-proxy"),
    identity("x-user-dn", "several proxies"),
    identity("x-userinfo", "APISIX"),
    identity("x-vouch-*", "Vouch"),
    identity("x-webauth-*", "Grafana and what it sits behind"),
    identity("x-xfcc*", "Envoy recipes"),
];

/// Finds out what the name of a header field, in any case, stands for; `None` for any other field.
pub fn kind(name: impl AsRef<[u8]>) -> Option<Kind> {
    let name = name.as_ref();
    let (start, end) = INDEX[usize::from(key(name))];
    let entries = &NAMES[usize::from(start)..usize::from(end)];
    entries
        .iter()
        .find(|entry| matches(entry.pattern.as_bytes(), name))
        .map(|entry| entry.kind)
}

/// A name as the most lenient reader reads it.
pub fn canonical_name(name: &str) -> Box<[u8]> {
    name.bytes().map(canonical).collect()
}

/// Whether `name` reads as `canonical_name` does.
pub fn is(canonical_name: &[u8], name: impl AsRef<[u8]>) -> bool {
    let name = name.as_ref();
    canonical_name.len() == name.len()
        && (canonical_name.iter().zip(name)).all(|(&want, &byte)| want == canonical(byte))
}

/// By what the catalogue is indexed: the first character of a name, or the third one of the many that begin with `x-`.
const fn key(name: &[u8]) -> u8 {
    match name {
        [] => 0,
        [first, second, third, ..] if canonical(*first) == b'x' && canonical(*second) == b'-' => {
            0x80 | canonical(*third)
        }
        [first, ..] => canonical(*first),
    }
}

/// One character of a name in its canonical form.
const fn canonical(byte: u8) -> u8 {
    if byte.is_ascii_alphanumeric() {
        byte.to_ascii_lowercase()
    } else {
        b'-'
    }
}

fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (text, prefix) = match pattern.split_last() {
        Some((b'*', head)) => (head, true),
        _ => (pattern, false),
    };
    let fits = if prefix {
        name.len() >= text.len()
    } else {
        name.len() == text.len()
    };
    fits && text
        .iter()
        .zip(name)
        .all(|(&want, &byte)| want == canonical(byte))
}

/// For each key, where its entries begin and end.
static INDEX: [(u8, u8); 256] = index();

const fn index() -> [(u8, u8); 256] {
    assert!(NAMES.len() < 256, "the index counts in one byte");
    let mut index = [(0, 0); 256];
    let mut at = 0;
    let mut last = 0;
    while at < NAMES.len() {
        let key = key(NAMES[at].pattern.as_bytes());
        assert!(
            key >= last,
            "the entries must be in the order of their keys"
        );
        if key != last {
            index[key as usize].0 = at as u8;
        }
        index[key as usize].1 = at as u8 + 1;
        last = key;
        at += 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_is_in_canonical_form_and_reachable() {
        for entry in NAMES {
            let text = entry.pattern.strip_suffix('*').unwrap_or(entry.pattern);
            assert!(
                text.bytes().all(|byte| canonical(byte) == byte),
                "{} is not canonical",
                entry.pattern
            );
            assert_eq!(
                kind(text),
                Some(entry.kind),
                "{} is hidden by an entry before it",
                entry.pattern
            );
            let longer = format!("{text}q");
            if entry.pattern.ends_with('*') {
                assert_eq!(
                    kind(&longer),
                    Some(entry.kind),
                    "{} does not match what begins so",
                    entry.pattern
                );
            }
        }
    }

    #[test]
    fn what_programs_and_browsers_send_is_left_alone() {
        for name in [
            "accept",
            "accept-encoding",
            "accept-language",
            "authorization",
            "cache-control",
            "connection",
            "content-length",
            "content-type",
            "cookie",
            "date",
            "dnt",
            "expect",
            "from",
            "host",
            "if-match",
            "if-none-match",
            "origin",
            "pragma",
            "priority",
            "proxy-authorization",
            "range",
            "referer",
            "sec-ch-ua",
            "sec-fetch-mode",
            "sec-websocket-key",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "upgrade-insecure-requests",
            "user-agent",
            "via",
            "x-api-key",
            "x-auth-token",
            "x-csrf-token",
            "x-request-id",
            "x-requested-with",
            "x-correlation-id",
            "traceparent",
            "tracestate",
            "idempotency-key",
            "soapaction",
            "mutual",
            "ssl",
            "clientcert",
            "x",
            "x-",
            "c",
            "-",
        ] {
            assert_eq!(kind(name), None, "{name}");
        }
        assert_eq!(kind(""), None);
    }
}
