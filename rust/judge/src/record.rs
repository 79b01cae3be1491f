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
    /// Certificates and keys that clients brought.
    pub pins: Vec<PinRecord>,
    /// Organisations with CAs of their own.
    pub partners: Vec<PartnerRecord>,
    /// Their CAs.
    pub anchors: Vec<AnchorRecord>,
    /// Their clients, by the names that they have there.
    pub members: Vec<MemberRecord>,
    /// Serial numbers that their CAs revoked.
    pub foreign: Vec<ForeignRecord>,
    /// All sites and their routes; given, they replace all that were there.
    pub sites: Option<Vec<SiteRecord>>,
    /// What is no longer there.
    pub removed: Removed,
}

impl Batch {
    /// Whether its place among others counts: it removes something, or moves the epoch.
    pub(crate) fn order_counts(&self) -> bool {
        self.epoch.is_some() || self.sites.is_some() || !self.removed.is_empty()
    }

    /// Takes up the records of `more`, one whose [order](Batch::order_counts) does not count, without those of which entries are
    /// made.
    pub(crate) fn absorb(&mut self, mut more: Batch) {
        self.authorities.append(&mut more.authorities);
        self.clients.append(&mut more.clients);
        self.partners.append(&mut more.partners);
        self.anchors.append(&mut more.anchors);
    }

    /// How many records of other kinds there are.
    pub(crate) fn records(&self) -> usize {
        self.authorities.len() + self.clients.len() + self.partners.len() + self.anchors.len()
    }
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
    /// CAs that may stand between it and a client, at most; absent where its certificate alone says it.
    #[serde(default)]
    pub depth: Option<u32>,
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
    /// The partners whose administrators invited it: it comes in only while each of them is there and not suspended.
    #[serde(default)]
    pub hosts: Vec<u32>,
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

/// A certificate or a key that a client brought: it is that client's, and never an issuer's.
#[derive(Debug, Clone, Deserialize)]
pub struct PinRecord {
    /// What is compared; with `digest`, the key.
    pub kind: PinKind,
    /// SHA-256 of the certificate's or the SubjectPublicKeyInfo's DER, 32 bytes.
    #[serde(with = "serde_bytes")]
    pub digest: Vec<u8>,
    /// The store's id.
    pub id: u64,
    /// The client that it stands for.
    pub client: u64,
    /// From when it counts, in Unix seconds.
    pub not_before: i64,
    /// Until when, in Unix seconds.
    pub not_after: i64,
    /// Whether it is no longer accepted, whatever its dates are.
    pub retired: bool,
    /// The environment whose sites it is for; empty for all.
    pub environment: String,
}

/// What of a certificate is pinned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PinKind {
    /// All of it: SHA-256 of its DER.
    Certificate,
    /// Its key: SHA-256 of the DER of its SubjectPublicKeyInfo, so that what is renewed with the same key is accepted, too.
    Key,
}

/// An organisation with CAs of its own, which may vouch for the names that its rules permit and for no others.
#[derive(Debug, Clone, Deserialize)]
pub struct PartnerRecord {
    /// The store's id; the key.
    pub id: u32,
    /// The name that operators gave it.
    pub name: String,
    /// Which of the clients that its CAs vouch for are admitted.
    pub admits: PartnerAdmits,
    /// The client that one without a record of its own stands for; asked with [`PartnerAdmits::Rule`] alone.
    pub client: u64,
    /// Whether it is kept out for now, with all its clients.
    pub suspended: bool,
    /// Names that it may vouch for. Without any, nothing is admitted.
    pub rules: Vec<RuleRecord>,
    /// CA certificates, DER, that help to build a path to an anchor of this partner's. Not trusted themselves.
    pub intermediates: Vec<serde_bytes::ByteBuf>,
    /// By what its clients are known.
    #[serde(default)]
    pub profile: PartnerProfile,
}

/// By what a partner's clients are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartnerProfile {
    /// By their alternative names or, without any, by their subject.
    #[default]
    Names,
    /// By the organizationIdentifier of their subject alone: payment service providers with eIDAS certificates
    /// (ETSI TS 119 495).
    Psd2,
}

/// Which clients of a partner are admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PartnerAdmits {
    /// Any that its rules permit.
    Rule,
    /// Only its members.
    Listed,
    /// Only its members; who is not one yet waits for an operator.
    Approval,
}

/// Names that a partner may vouch for.
#[derive(Debug, Clone, Deserialize)]
pub struct RuleRecord {
    /// What kind of name.
    pub kind: RuleKind,
    /// The name, or a pattern; `names.rs` says which there are.
    pub pattern: String,
    /// The only anchor that may vouch for it; absent for all of the partner's.
    pub anchor: Option<u32>,
}

/// Kinds of names in certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RuleKind {
    /// dNSName.
    Dns,
    /// rfc822Name.
    Email,
    /// uniformResourceIdentifier.
    Uri,
    /// iPAddress.
    Ip,
    /// The subject, of certificates without subjectAltName.
    Dn,
    /// The organizationIdentifier of the subject, under a partner with [`PartnerProfile::Psd2`].
    Organization,
}

/// A partner's CA. It ends every path that reaches it: what is above it is not looked at.
#[derive(Debug, Clone, Deserialize)]
pub struct AnchorRecord {
    /// The store's id; the key. Not of the same kind as an authority's.
    pub id: u32,
    /// Whose it is.
    pub partner: u32,
    /// The certificate, DER.
    #[serde(with = "serde_bytes")]
    pub certificate: Vec<u8>,
    /// From when it is accepted, in Unix seconds; the dates in the certificate are not asked.
    pub not_before: i64,
    /// Until when: its certificate's end with the grace that it has, or its retirement. In Unix seconds.
    pub not_after: i64,
    /// Whether other partners have the same CA: then only exact rules of this anchor's own count.
    pub shared: bool,
    /// CAs that may be between it and a client's certificate, at most.
    pub depth: u8,
    /// SHA-256 of the SubjectPublicKeyInfo of the CAs that may; empty for any.
    pub sub_cas: Vec<serde_bytes::ByteBuf>,
    /// The environment whose sites it is for; empty for all.
    pub environment: String,
    /// What is asked about revocation.
    pub revocation: RevocationPolicy,
    /// How long a list is relied on after its nextUpdate, with [`RevocationPolicy::Grace`].
    pub grace_seconds: i64,
    /// The longest validity of a certificate that is admitted with [`RevocationPolicy::Ignore`].
    pub leaf_limit_seconds: i64,
    /// The lists and OCSP answers that were verified and taken in.
    pub lists: Vec<ListRecord>,
    /// The certificate policy, an object identifier with dots, that all below it has to be issued under; empty for none.
    #[serde(default)]
    pub policy: String,
    /// Whether a CA below it that is not in `sub_cas` waits until somebody allows it: then an empty list allows none.
    #[serde(default)]
    pub hold: bool,
    /// Whether it was retired: it vouches for nobody any more, and paths still end there.
    #[serde(default)]
    pub retired: bool,
}

/// What has to be known about revocation under a partner's CA. What is known to be revoked is refused with any.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RevocationPolicy {
    /// A list in force that covers the certificate.
    Fail,
    /// The same, but it may be overdue for some time.
    Grace,
    /// Nothing, if the certificate does not live long.
    Ignore,
}

/// A revocation list or an OCSP answer of a partner's CA; what it revokes comes as [`ForeignRecord`]s.
#[derive(Debug, Clone, Deserialize)]
pub struct ListRecord {
    /// What it covers: nothing written, all; an address, the certificates with this distribution point (RFC 5280 4.2.1.13);
    /// `ocsp:` and a serial number in lower-case hex, that certificate.
    pub scope: String,
    /// RFC 5280 5.1.2.4, in Unix seconds.
    pub this_update: i64,
    /// RFC 5280 5.1.2.5, in Unix seconds.
    pub next_update: i64,
}

/// A client of a partner's.
#[derive(Debug, Clone, Deserialize)]
pub struct MemberRecord {
    /// The partner; with `name`, the key.
    pub partner: u32,
    /// The name in its certificate: `dns:api.acme.example`, `email:`, `uri:`, `ip:` or `dn:` and what follows.
    pub name: String,
    /// The client that it stands for.
    pub client: u64,
}

/// A certificate that a partner's CA revoked.
#[derive(Debug, Clone, Deserialize)]
pub struct ForeignRecord {
    /// The partner's CA that signed the certificate.
    pub anchor: u32,
    /// The serial number, as in [`RevocationRecord`].
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
    /// What it is for, such as `test`; empty where all sites are alike. Pins and partners' CAs may be meant for one alone.
    #[serde(default)]
    pub environment: String,
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
    /// Whoever passes, the service hears what was shown and what was said about it: for the gate's own portal.
    Shown,
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
    /// Index of the upstream in the gate's settings; `None` where the gate answers itself.
    pub upstream: Option<u32>,
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
    /// Kinds and digests.
    pub pins: Vec<(PinKind, serde_bytes::ByteBuf)>,
    /// Ids. Their members stay, and are asked for again should one come back.
    pub partners: Vec<u32>,
    /// Ids.
    pub anchors: Vec<u32>,
    /// Partners and names.
    pub members: Vec<(u32, String)>,
    /// Anchors and serials.
    pub foreign: Vec<(u32, serde_bytes::ByteBuf)>,
}

impl Removed {
    fn is_empty(&self) -> bool {
        self.authorities.is_empty()
            && self.clients.is_empty()
            && self.credentials.is_empty()
            && self.revocations.is_empty()
            && self.pins.is_empty()
            && self.partners.is_empty()
            && self.anchors.is_empty()
            && self.members.is_empty()
            && self.foreign.is_empty()
    }
}
