//! The dialects in which services are told who the client is, and a set of them.

/// A set of header fields that some product writes or reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// RFC 9440: `Client-Cert`, `Client-Cert-Chain`.
    Rfc9440,
    /// Envoy: `X-Forwarded-Client-Cert`.
    Xfcc,
    /// Apache httpd: its `SSL_CLIENT_*` variables, as people set them with `RequestHeader`.
    Apache,
    /// nginx, under the names of ingress-nginx: `ssl-client-*`.
    Nginx,
    /// Traefik: `X-Forwarded-Tls-Client-Cert`, `X-Forwarded-Tls-Client-Cert-Info`.
    Traefik,
    /// What Tomcat's SSLValve reads: `ssl_client_cert`, `ssl_cipher` and its relatives.
    Tomcat,
    /// What Jetty's ForwardedRequestCustomizer reads: `Proxy-Ssl-Id`, `Proxy-auth-cert`.
    Jetty,
    /// A signed JWT in `Mutualgate-Jwt`.
    Jwt,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Dialect; 8] = [
        Dialect::Rfc9440,
        Dialect::Xfcc,
        Dialect::Apache,
        Dialect::Nginx,
        Dialect::Traefik,
        Dialect::Tomcat,
        Dialect::Jetty,
        Dialect::Jwt,
    ];

    /// The word for it in the settings.
    pub const fn code(self) -> &'static str {
        match self {
            Dialect::Rfc9440 => "rfc9440",
            Dialect::Xfcc => "xfcc",
            Dialect::Apache => "apache",
            Dialect::Nginx => "nginx",
            Dialect::Traefik => "traefik",
            Dialect::Tomcat => "tomcat",
            Dialect::Jetty => "jetty",
            Dialect::Jwt => "jwt",
        }
    }

    /// The dialect of a word.
    pub fn of_code(code: &str) -> Option<Dialect> {
        Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.code() == code)
    }
}

/// A set of dialects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dialects(u8);

impl Dialects {
    /// What a service is told that nobody asked about.
    pub(crate) const DEFAULT: Dialects = Dialects::NONE.and(Dialect::Rfc9440);
    pub(crate) const NONE: Dialects = Dialects(0);

    pub(crate) const fn and(self, dialect: Dialect) -> Dialects {
        Dialects(self.0 | 1 << dialect as u8)
    }

    pub(crate) const fn has(self, dialect: Dialect) -> bool {
        self.0 & 1 << dialect as u8 != 0
    }

    /// Those that say something about the connection itself, not only about the certificate.
    pub(crate) const fn of_connection(self) -> Dialects {
        Dialects(self.0 & (1 << Dialect::Tomcat as u8 | 1 << Dialect::Jetty as u8))
    }
}
