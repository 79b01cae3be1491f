//! `Forwarded` and its elder relatives: what the gate tells a service about where a request came from.

use std::net::IpAddr;

use http::{HeaderMap, HeaderName, HeaderValue, header::FORWARDED};

use super::encode::value;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const X_FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Where the requests of one connection for one authority come from. Make it once, apply it to each request.
#[derive(Debug, Clone)]
pub struct Hop {
    forwarded: HeaderValue,
    peer: HeaderValue,
    host: HeaderValue,
    port: HeaderValue,
    scheme: HeaderValue,
}

impl Hop {
    /// For the client at `peer` who asked for `host` (as in its Host field, with the port if it named one) over
    /// `scheme` at our `port`. A `host` that cannot be a field value is left out.
    pub fn new(peer: IpAddr, host: &str, port: u16, scheme: &'static str) -> Hop {
        let peer = peer.to_canonical(); // an IPv4 client at a dual-stack socket is an IPv4 client
        let clean: String = host.chars().filter(char::is_ascii_graphic).collect();
        // RFC 7239 4: an IPv6 address is bracketed, and what is no token is quoted.
        let node = match peer {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("\"[{address}]\""),
        };
        let quoted = clean.replace('\\', "\\\\").replace('"', "\\\"");
        Hop {
            forwarded: value(format!("for={node};host=\"{quoted}\";proto={scheme}")),
            peer: value(peer.to_string()),
            host: value(clean),
            port: HeaderValue::from(port),
            scheme: HeaderValue::from_static(scheme),
        }
    }

    /// The authority that it was made for.
    pub fn host(&self) -> &HeaderValue {
        &self.host
    }

    /// Writes the fields. Call it after [`super::strip`], which has removed what the client said about itself.
    pub fn apply(&self, headers: &mut HeaderMap) {
        headers.insert(FORWARDED, self.forwarded.clone());
        headers.insert(X_FORWARDED_FOR, self.peer.clone());
        headers.insert(X_FORWARDED_HOST, self.host.clone());
        headers.insert(X_FORWARDED_PORT, self.port.clone());
        headers.insert(X_FORWARDED_PROTO, self.scheme.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(peer: &str, host: &str) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        Hop::new(peer.parse().expect("an address"), host, 8443, "https").apply(&mut headers);
        let text = |value: &HeaderValue| value.to_str().expect("visible").to_owned();
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value)))
            .collect()
    }

    #[test]
    fn a_service_reads_address_host_port_and_scheme() {
        let fields = fields("192.0.2.7", "shop.test:8443");
        for (name, value) in [
            (
                "forwarded",
                "for=192.0.2.7;host=\"shop.test:8443\";proto=https",
            ),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "shop.test:8443"),
            ("x-forwarded-port", "8443"),
            ("x-forwarded-proto", "https"),
        ] {
            assert!(
                fields.contains(&(name.to_owned(), value.to_owned())),
                "{name}: {fields:?}"
            );
        }
    }

    #[test]
    fn addresses_of_version_6_are_written_as_the_rfc_wants() {
        assert!(
            fields("2001:db8::1", "a.test")
                .iter()
                .any(|(_, value)| value.starts_with("for=\"[2001:db8::1]\";"))
        );
        assert!(
            fields("::ffff:192.0.2.7", "a.test")
                .iter()
                .any(|(_, value)| value.starts_with("for=192.0.2.7;"))
        );
    }

    #[test]
    fn a_host_cannot_add_parameters() {
        let fields = fields("192.0.2.7", "a\";for=10.0.0.1;x=\"\r\nb");
        assert!(fields.iter().any(|(name, value)| name == "forwarded"
            && value == "for=192.0.2.7;host=\"a\\\";for=10.0.0.1;x=\\\"b\";proto=https"));
    }
}
