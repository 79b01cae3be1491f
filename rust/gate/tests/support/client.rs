//! A client that sends the bytes it is told and reads responses strictly.

use std::{
    io,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, NamedGroup, RootCertStore, SignatureScheme,
    SupportedProtocolVersion,
    client::{
        ClientSessionMemoryCache, ClientSessionStore, Resumption, Tls12ClientSessionValue,
        Tls13ClientSessionValue, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::{CertifiedKey, SingleCertAndKey},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    PATIENCE,
    pki::{Identity, Pki},
};

/// What a client says in the handshake.
#[derive(Clone)]
pub struct Hello {
    pub name: String,
    identity: Option<Identity>,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    shared: Option<Arc<OnceLock<ClientConfig>>>,
    sni: bool,
    root: Option<CertificateDer<'static>>,
}

impl Hello {
    pub fn new(name: &str) -> Hello {
        Hello {
            name: name.into(),
            identity: None,
            versions: rustls::ALL_VERSIONS.to_vec(),
            alpn: vec![],
            shared: None,
            sni: true,
            root: None,
        }
    }

    pub fn identity(mut self, identity: &Identity) -> Hello {
        self.identity = Some(identity.clone());
        self
    }

    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Hello {
        self.versions = vec![version];
        self
    }

    pub fn alpn(mut self, name: &str) -> Hello {
        self.alpn = vec![name.into()];
        self
    }

    /// Keeps sessions, and offers any of them whatever the name; clones share them.
    pub fn resuming(mut self) -> Hello {
        self.shared = Some(Arc::default());
        self
    }

    /// The same client, asking for another name.
    pub fn named(mut self, name: &str) -> Hello {
        self.name = name.into();
        self
    }

    pub fn without_sni(mut self) -> Hello {
        self.sni = false;
        self
    }

    pub fn root(mut self, pki: &Pki) -> Hello {
        self.root = Some(pki.root());
        self
    }

    pub fn config(&self) -> ClientConfig {
        let mut config = match &self.shared {
            None => self.make(Resumption::disabled()),
            // Sessions belong to one configuration.
            Some(shared) => shared
                .get_or_init(|| self.make(Resumption::store(Arc::new(AnyName::new()))))
                .clone(),
        };
        config.enable_sni = self.sni;
        config
    }

    /// As these say, by `provider`'s algorithms, without resumption.
    pub fn config_with(&self, provider: CryptoProvider) -> ClientConfig {
        self.make_with(provider, Resumption::disabled())
    }

    fn make(&self, resumption: Resumption) -> ClientConfig {
        self.make_with(aws_lc_rs::default_provider(), resumption)
    }

    fn make_with(&self, provider: CryptoProvider, resumption: Resumption) -> ClientConfig {
        let provider = Arc::new(provider);
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone().unwrap()).unwrap();
        let inner = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
            .build()
            .unwrap();
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ChainOnly(inner)));
        let mut config = match &self.identity {
            Some(identity) => {
                // Not checked for fitting together: thieves have one without the other.
                let key = aws_lc_rs::sign::any_supported_type(&identity.key).unwrap();
                let both = CertifiedKey::new(identity.chain.clone(), key);
                builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(both)))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.clone();
        config.resumption = resumption;
        config
    }
}

/// Keeps sessions under one name, as a client does that tries those of one site at another.
#[derive(Debug)]
struct AnyName(ClientSessionMemoryCache, ServerName<'static>);

impl AnyName {
    fn new() -> Self {
        AnyName(
            ClientSessionMemoryCache::new(8),
            ServerName::try_from("any").unwrap(),
        )
    }
}

impl ClientSessionStore for AnyName {
    fn set_kx_hint(&self, _: ServerName<'static>, group: NamedGroup) {
        self.0.set_kx_hint(self.1.clone(), group);
    }
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        self.0.kx_hint(&self.1)
    }
    fn set_tls12_session(&self, _: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.0.set_tls12_session(self.1.clone(), value);
    }
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.0.tls12_session(&self.1)
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {
        self.0.remove_tls12_session(&self.1);
    }
    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.0.insert_tls13_ticket(self.1.clone(), value);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.take_tls13_ticket(&self.1)
    }
}

/// Checks signatures and nothing else: these tests are not about the server's certificate.
#[derive(Debug)]
struct ChainOnly(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for ChainOnly {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, cert, dss)
    }
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, cert, dss)
    }
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// A response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Response {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head
            .lines()
            .skip(1)
            .filter_map(|line| line.split_once(':'))
            .find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value.trim()))
    }
}

/// An open connection.
pub struct Client {
    pub tls: TlsStream<TcpStream>,
    buffer: Vec<u8>,
}

impl Client {
    pub async fn connect(address: SocketAddr, hello: Hello) -> io::Result<Client> {
        let tcp = TcpStream::connect(address).await?;
        let name = ServerName::try_from(hello.name.clone()).unwrap();
        let connector = TlsConnector::from(Arc::new(hello.config()));
        let tls = timeout(PATIENCE, connector.connect(name, tcp))
            .await
            .expect("handshake in time")?;
        Ok(Client {
            tls,
            buffer: vec![],
        })
    }

    pub fn resumed(&self) -> bool {
        self.tls.get_ref().1.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    pub async fn send(&mut self, text: &str) {
        self.tls.write_all(text.as_bytes()).await.unwrap();
        self.tls.flush().await.unwrap();
    }

    pub async fn try_send(&mut self, text: &str) -> io::Result<()> {
        self.tls.write_all(text.as_bytes()).await?;
        self.tls.flush().await
    }

    /// A GET on the first site.
    pub async fn get(&mut self, path: &str) -> Response {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"))
            .await;
        self.response().await.expect("a response")
    }

    /// Reads more; `false` at the end.
    async fn more(&mut self) -> bool {
        let mut bytes = [0; 16 * 1024];
        match timeout(PATIENCE, self.tls.read(&mut bytes))
            .await
            .expect("bytes in time")
        {
            Ok(0) | Err(_) => false,
            Ok(count) => {
                self.buffer.extend_from_slice(&bytes[..count]);
                true
            }
        }
    }

    /// Reads until `text` has come; what was read with it.
    pub async fn until(&mut self, text: &str) -> Option<String> {
        loop {
            if let Some(at) = self
                .buffer
                .windows(text.len())
                .position(|window| window == text.as_bytes())
            {
                let rest = self.buffer.split_off(at + text.len());
                return Some(
                    String::from_utf8_lossy(&std::mem::replace(&mut self.buffer, rest))
                        .into_owned(),
                );
            }
            if !self.more().await {
                return None;
            }
        }
    }

    /// The next final response; `None` if the connection ends first.
    pub async fn response(&mut self) -> Option<Response> {
        let (head, status) = loop {
            let head = self.until("\r\n\r\n").await?;
            let status: u16 = head.split(' ').nth(1).unwrap().parse().unwrap();
            if status >= 200 || status == 101 {
                break (head, status);
            }
        };
        let mut response = Response {
            status,
            head,
            body: vec![],
        };
        if let Some(length) = response.header("content-length") {
            let length: usize = length.parse().unwrap();
            while self.buffer.len() < length {
                if !self.more().await {
                    return None;
                }
            }
            response.body = self.buffer.drain(..length).collect();
        } else if response.header("transfer-encoding").is_some() {
            loop {
                let size = self.until("\r\n").await?;
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                if size == 0 {
                    // Trailers, kept behind the body.
                    loop {
                        let line = self.until("\r\n").await?;
                        if line == "\r\n" {
                            break;
                        }
                        response.head.push_str(&line);
                    }
                    break;
                }
                while self.buffer.len() < size + 2 {
                    if !self.more().await {
                        return None;
                    }
                }
                response.body.extend(self.buffer.drain(..size));
                self.buffer.drain(..2);
            }
        }
        Some(response)
    }

    /// Whether the connection ends without another byte, and TLS with it as it should.
    pub async fn ends_well(&mut self) -> bool {
        let mut byte = [0];
        let read = timeout(PATIENCE, self.tls.read(&mut byte)).await;
        self.buffer.is_empty() && matches!(read.expect("an end in time"), Ok(0))
    }

    /// Whether more that it says, for some time, is still taken after the last answer.
    pub async fn is_heard_out(&mut self) -> bool {
        for _ in 0..3 {
            if self.try_send("some more").await.is_err() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.ends_well().await
    }

    /// Whether the connection ends without another byte.
    pub async fn ends(&mut self) -> bool {
        self.buffer.is_empty() && !self.more().await
    }
}
