//! What a service is told about the TLS connection in dialects that have fields for it: Tomcat's and Jetty's.
//!
//! Always written, also for whoever has no certificate: these fields are about the connection.

use super::dialect::{Dialect, Dialects};

/// Facts of a TLS connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link<'a> {
    /// `TLSv1.3`.
    pub(crate) version: &'a str,
    /// The IANA name of the cipher suite.
    pub(crate) cipher: &'a str,
    /// Visible ASCII that no other connection has.
    pub(crate) id: &'a str,
}

/// The fields of `dialects`, each with its CRLF.
pub(crate) fn fields(dialects: Dialects, link: Link<'_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut push = |name: &str, value: &str| {
        if !value.is_empty() {
            for part in [name, ": ", value, "\r\n"] {
                out.extend_from_slice(part.as_bytes());
            }
        }
    };
    if dialects.has(Dialect::Tomcat) {
        push("ssl_cipher", link.cipher);
        push("ssl_cipher_usekeysize", key_bits(link.cipher));
        push("ssl_secure_protocol", link.version);
        push("ssl_session_id", link.id);
    }
    if dialects.has(Dialect::Jetty) {
        push("proxy-ssl-id", link.id);
        // The name promises a certificate, but the customizer takes the value for the cipher suite.
        push("proxy-auth-cert", link.cipher);
    }
    out
}

/// The bits of the key of a cipher suite.
fn key_bits(cipher: &str) -> &'static str {
    if cipher.contains("AES_128") {
        "128"
    } else if cipher.contains("AES_256") || cipher.contains("CHACHA20") {
        "256"
    } else {
        ""
    }
}
