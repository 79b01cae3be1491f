//! What the control plane sends: records in batches, as MessagePack. Untrusted until a [`crate::Snapshot`] is made of it.
//!
//! The same [`Batch`] builds a snapshot and changes one: a record replaces the one with the same key, `removed` takes
//! away. Each record is an array in the order of its fields (`src/mutualgate/snapshot/records.py` is the other side).

use serde::Deserialize;

/// A part of a snapshot, or a change of one.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Batch {
    /// The epoch that the snapshot has once this batch is applied; it never goes back.
    pub epoch: Option<u64>,
    /// Certification authorities that can vouch for clients.
    pub authorities: Vec<AuthorityRecord>,
    /// Clients.
    pub clients: Vec<ClientRecord>,
    /// Certificates that the store knows.
    pub credentials: Vec<CredentialRecord>,
    /// Revoked serial numbers.
    pub revocations: Vec<RevocationRecord>,
    /// All sites and their routes; given, they replace all that were there.
    pub sites: Option<Vec<SiteRecord>>,
    /// What is no longer there.
    pub removed: Removed,
}

/// An authority whose certificates are judged by path (RFC 5280 6.1).
#[derive(Debug, Clone, Deserialize)]
pub struct AuthorityRecord {
    /// The store's id; the key.
    pub id: u32,
    /// The name that operators gave it.
    pub name: String,
    /// The certificate, DER.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
    /// Which of the certificates that it signed are admitted.
    pub admits: Admits,
    /// The client that a signed but unlisted certificate stands for; needed with [`Admits::Signed`], else absent.
    pub estate: Option<u64>,
}

/// Which certificates of an authority are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Admits {
    /// An authority of ours: X.509 v3 only, and only what the store issued.
    Issued,
    /// An adopted authority: all that it signed, v1 too.
    Signed,
    /// An adopted authority: only the certificates it was shown, v1 too.
    Listed,
}

/// A client.
#[derive(Debug, Clone, Deserialize)]
pub struct ClientRecord {
    /// The store's id; the key.
    pub id: u64,
    /// The name that operators gave it.
    pub name: String,
    /// What the client may be let in for.
    pub roles: Vec<String>,
    /// Whether it is kept out for now.
    pub suspended: bool,
}

/// A certificate that the store knows, issued by us or listed under an adopted authority.
#[derive(Debug, Clone, Deserialize)]
pub struct CredentialRecord {
    /// SHA-256 of the certificate's DER, 32 bytes; the key.
    #[serde(with = "serde_bytes")]
    pub fingerprint: Vec<u8>,
    /// The store's id.
    pub id: u64,
    /// The client that it stands for.
    pub client: u64,
    /// The authority that signed it.
    pub authority: u32,
}

/// A revoked certificate.
#[derive(Debug, Clone, Deserialize)]
pub struct RevocationRecord {
    /// The authority that signed the certificate.
    pub authority: u32,
    /// The serial number: big-endian, without leading zero octets, at most 20 (RFC 5280 4.1.2.2).
    #[serde(with = "serde_bytes")]
    pub serial: Vec<u8>,
    /// When, in Unix seconds.
    pub at: i64,
    /// CRLReason (RFC 5280 5.3.1).
    pub reason: u8,
}

/// A site: host names that are served alike.
#[derive(Debug, Clone, Deserialize)]
pub struct SiteRecord {
    /// Its name in the configuration; unique.
    pub name: String,
    /// Host names and IP addresses, lower case, without port; the first site is also that of a handshake without SNI.
    pub hosts: Vec<String>,
    /// Whether a client certificate is asked for.
    pub client_certificate: Mode,
    /// What a refused client gets.
    pub on_refusal: OnRefusal,
    /// What is under it.
    pub routes: Vec<RouteRecord>,
}

/// Whether a client certificate is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Not asked for; one that is sent is not looked at.
    Off,
    /// Judged when there is one; nobody is kept out for having none.
    Optional,
    /// Nobody passes without an admitted one.
    Required,
}

/// What a refused client gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnRefusal {
    /// A page or a problem document that says why.
    Page,
    /// A TLS alert in the handshake.
    Alert,
    /// The connection is closed without a word.
    Close,
}

/// A path under a site and who may pass.
#[derive(Debug, Clone, Deserialize)]
pub struct RouteRecord {
    /// A path prefix that ends at a segment: `/`, `/admin`. The longest one wins.
    pub path: String,
    /// The route's own mode.
    pub client_certificate: Mode,
    /// Roles of which one suffices; with `clients` empty too, any admitted client passes.
    pub roles: Vec<String>,
    /// Names of clients that pass whatever their roles.
    pub clients: Vec<String>,
    /// Index of the upstream in the gate's settings.
    pub upstream: u32,
}

/// Keys of records that are no longer there.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Removed {
    /// Ids.
    pub authorities: Vec<u32>,
    /// Ids.
    pub clients: Vec<u64>,
    /// Fingerprints.
    pub credentials: Vec<serde_bytes::ByteBuf>,
    /// Authority and serial, for a certificate that was on hold.
    pub revocations: Vec<(u32, serde_bytes::ByteBuf)>,
}
