//! `Forwarded` and its elder relatives: what the gate tells a service about where a request came from.

use std::net::IpAddr;

/// The fields for requests of the client at `peer`, who asked for `host` (as in its Host field, with the port if it named
/// one) over `scheme` at our `port`, each with its CRLF. What is not visible ASCII in `host` is left out.
///
/// They go out after [`super::strip`] has removed what the client said about itself.
pub fn forwarded(peer: IpAddr, host: &str, port: u16, scheme: &str) -> String {
    let peer = peer.to_canonical(); // an IPv4 client at a dual-stack socket is an IPv4 client
    let host: String = host.chars().filter(char::is_ascii_graphic).collect();
    // RFC 7239 4: an IPv6 address is bracketed, and what is no token is quoted.
    let (open, close) = if peer.is_ipv6() {
        ("\"[", "]\"")
    } else {
        ("", "")
    };
    let quoted = host.replace('\\', "\\\\").replace('"', "\\\"");
    let (peer, port) = (peer.to_string(), port.to_string());
    [
        "forwarded: for=",
        open,
        &peer,
        close,
        ";host=\"",
        &quoted,
        "\";proto=",
        scheme,
        "\r\nx-forwarded-for: ",
        &peer,
        "\r\nx-forwarded-host: ",
        &host,
        "\r\nx-forwarded-port: ",
        &port,
        "\r\nx-forwarded-proto: ",
        scheme,
        "\r\n",
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(peer: &str, host: &str) -> Vec<(String, String)> {
        let text = forwarded(peer.parse().expect("an address"), host, 8443, "https");
        text.split_terminator("\r\n")
            .map(|line| line.split_once(": ").expect("a field"))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
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
