//! What the judge says: admitted as whom, or refused for which reason.

use std::sync::Arc;

use crate::Reason;

/// The judgement of one chain. Deliberately not a boolean, nor anything that converts into one.
#[derive(Debug, Clone)]
pub enum Verdict {
    /// A credential of a client of ours.
    Admitted(Arc<Admission>),
    /// Not let in, and why.
    Refused(Refusal),
}

/// Who was admitted, on which evidence. Only this crate makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admission {
    pub(crate) client: Client,
    pub(crate) evidence: Evidence,
    pub(crate) credential: Option<u64>,
    pub(crate) partner: Option<Arc<str>>,
    pub(crate) environment: Option<Arc<str>>,
    pub(crate) authority: Box<str>,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) signer: Option<[u8; 32]>,
    pub(crate) subject: Box<str>,
    pub(crate) issuer: Box<str>,
    pub(crate) serial: Box<str>,
    pub(crate) not_after: i64,
    pub(crate) valid_from: i64,
    pub(crate) valid_until: i64,
}

/// What an admission rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Evidence {
    /// A certificate that the store knows: issued by us, or listed under an adopted authority.
    Credential,
    /// A certificate or key that the client brought, and that was pinned.
    Pin,
    /// A certificate under a partner's CA, for a name that the partner may vouch for.
    Partner,
    /// An adopted authority's signature, on a certificate that the store does not know.
    Signed,
}

impl Evidence {
    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Evidence::Credential => "credential",
            Evidence::Pin => "pin",
            Evidence::Partner => "partner",
            Evidence::Signed => "signed",
        }
    }
}

/// A client as the snapshot knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    /// The store's id.
    pub id: u64,
    /// The name that operators gave it.
    pub name: Arc<str>,
    /// Its roles, sorted.
    pub roles: Arc<[Arc<str>]>,
}

impl Admission {
    /// The client.
    pub fn client(&self) -> &Client {
        &self.client
    }
    /// What the admission rests on.
    pub fn evidence(&self) -> Evidence {
        self.evidence
    }
    /// The name of the partner whose CA vouched.
    pub fn partner(&self) -> Option<&str> {
        self.partner.as_deref()
    }
    /// The environment whose sites it is for; `None` for all.
    pub fn environment(&self) -> Option<&str> {
        self.environment.as_deref()
    }
    /// The store's id of the certificate or, with [`Evidence::Pin`], of the pin; `None` for a certificate that was never listed.
    pub fn credential(&self) -> Option<u64> {
        self.credential
    }
    /// The name that operators gave the authority that vouched; `partner NAME` for a partner's CA, `pin` for a pin.
    pub fn authority(&self) -> &str {
        &self.authority
    }
    /// SHA-256 of the leaf's DER.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
    /// SHA-256 of the SubjectPublicKeyInfo whose key verified the leaf's signature; `None` where none was looked at.
    pub fn signer(&self) -> Option<&[u8; 32]> {
        self.signer.as_ref()
    }
    /// The leaf's subject, RFC 4514, with control characters escaped. Decoration: never look anybody up by it.
    pub fn subject(&self) -> &str {
        &self.subject
    }
    /// The leaf's issuer, as `subject`.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }
    /// The leaf's serial number, lower-case hex without leading zeros.
    pub fn serial(&self) -> &str {
        &self.serial
    }
    /// Whether every certificate that it rests on is valid at `at` (Unix seconds): what was judged earlier may have expired since.
    pub fn holds_at(&self, at: i64) -> bool {
        (self.valid_from..=self.valid_until).contains(&at)
    }
    /// The last second, in Unix seconds, at which every certificate that it rests on is valid.
    pub fn valid_until(&self) -> i64 {
        self.valid_until
    }
    /// The leaf's notAfter, Unix seconds.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }
}

/// Why somebody was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The reason.
    pub reason: Reason,
    /// The certificate to blame: its index in the chain as sent, 0 for the leaf.
    pub certificate: Option<u8>,
    /// The facts, in one sentence for a person; never what the trust store holds.
    pub detail: String,
    /// Whether the issuer is one of ours: a stranger is told less.
    pub issuer_known: bool,
    /// The client, where the certificate is known to be theirs.
    pub client: Option<u64>,
    /// The partner whose CA vouched and under whose rule the name is, where nothing but the client is missing or in the way.
    pub partner: Option<Arc<str>>,
}
