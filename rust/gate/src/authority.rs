//! For which host a request is (RFC 9110 7.2), and nothing that two readers could take for two hosts.

use http::{Uri, header::HOST};

use crate::fields::Fields;

/// The host and port that a request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Authority<'a> {
    /// As sent, for the upstream.
    pub(crate) text: &'a str,
    /// Without port, brackets kept.
    pub(crate) host: &'a str,
}

/// Reads it from the target and the `Host` field, which must agree where both are there (RFC 9113 8.3.1, RFC 9112 3.2.2).
/// The error is the rest of a sentence that begins with "The request".
pub(crate) fn of<'a>(uri: &'a Uri, fields: &'a Fields) -> Result<Authority<'a>, &'static str> {
    if uri
        .scheme_str()
        .is_some_and(|scheme| !scheme.eq_ignore_ascii_case("https"))
    {
        return Err("is not for https");
    }
    let mut hosts = fields.all(&HOST);
    let field = hosts.next();
    if hosts.next().is_some() {
        return Err("has more than one Host field");
    }
    let field = field
        .map(|value| str::from_utf8(value).map_err(|_| "has a Host field that is no host"))
        .transpose()?;
    let target = uri.authority().map(http::uri::Authority::as_str);
    let text = match (target, field) {
        (Some(target), Some(field)) if !target.eq_ignore_ascii_case(field) => {
            return Err("names one host in its target and another in its Host field");
        }
        (Some(text), _) | (None, Some(text)) => text,
        (None, None) => return Err("names no host"),
    };
    let host = host(text).ok_or("has a Host field that is no host")?;
    Ok(Authority { text, host })
}

fn host(text: &str) -> Option<&str> {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let end = rest.find(']')? + 2;
            (&text[..end], &text[end..])
        }
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let port_is_good = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(digits) => digits.len() <= 5 && digits.bytes().all(|byte| byte.is_ascii_digit()),
    };
    let is_host_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
    (port_is_good && !host.is_empty() && host.bytes().all(is_host_byte)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(uri: &str, hosts: &[&str]) -> Result<(String, String), &'static str> {
        let mut headers = http::HeaderMap::new();
        for host in hosts {
            headers.append(
                HOST,
                http::HeaderValue::from_bytes(host.as_bytes()).map_err(|_| "test")?,
            );
        }
        let uri: Uri = uri.parse().map_err(|_| "test")?;
        of(&uri, &headers.into())
            .map(|authority| (authority.text.to_owned(), authority.host.to_owned()))
    }

    #[test]
    fn hosts() {
        let ok = |text: &str, host: &str| Ok((text.to_owned(), host.to_owned()));
        assert_eq!(read("/", &["a.test"]), ok("a.test", "a.test"));
        assert_eq!(read("/", &["A.test:8443"]), ok("A.test:8443", "A.test"));
        assert_eq!(read("/", &["[::1]:8443"]), ok("[::1]:8443", "[::1]"));
        assert_eq!(read("https://a.test/", &["a.test"]), ok("a.test", "a.test"));
        assert_eq!(read("https://a.test/", &[]), ok("a.test", "a.test"));
    }

    #[test]
    fn hosts_in_doubt() {
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &["a.test", "a.test"]),
            ("/", &[""]),
            ("/", &["a.test:x"]),
            ("/", &["a.test:1:2"]),
            ("/", &["user@a.test"]),
            ("/", &["a.test/x"]),
            ("/", &["a.test,b.test"]),
            ("/", &["a.test b.test"]),
            ("/", &["[::1"]),
            ("/", &["[::1]x"]),
            ("https://a.test/", &["b.test"]),
            ("https://user@a.test/", &[]),
            ("http://a.test/", &["a.test"]),
        ] {
            assert!(read(uri, hosts).is_err(), "{uri} {hosts:?}");
        }
    }
}
