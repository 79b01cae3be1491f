//! The catalogue of reasons for which a client is refused.
//!
//! The codes are public: pages, logs, metrics, the API and scripts use them. Add, never rename.

/// Why a client was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The client sent no certificate where one is required.
    NoCertificate,
    /// The certificate or the chain cannot be read, or is larger than any honest one.
    Malformed,
    /// A signature in the chain does not verify.
    BadSignature,
    /// No authority that we know issued it.
    UnknownIssuer,
    /// The path breaks a rule of RFC 5280 6.1: constraints, length, critical extensions.
    PathInvalid,
    /// Its validity has not begun.
    NotYetValid,
    /// Its validity has ended.
    Expired,
    /// Its extended key usage does not allow client authentication.
    NotForClientAuth,
    /// It is a CA's certificate.
    CaAsClient,
    /// Its key is too weak, or of a kind whose possession we cannot check.
    WeakKey,
    /// A partner's CA vouched outside the partner's namespace.
    NameNotPermitted,
    /// It was pinned once and no longer is.
    PinRetired,
    /// It was revoked.
    Revoked,
    /// It verifies, but is none of the certificates that its authority is known to have issued.
    NotEnrolled,
    /// The client is suspended.
    ClientSuspended,
    /// The client is known, but this route is not theirs.
    NotGranted,
    /// SNI and Host name different sites (RFC 9110 15.5.20).
    WrongSite,
}

impl Reason {
    /// All of them, in the order of judgement.
    pub const ALL: [Reason; 17] = [
        Reason::NoCertificate,
        Reason::Malformed,
        Reason::BadSignature,
        Reason::UnknownIssuer,
        Reason::PathInvalid,
        Reason::NotYetValid,
        Reason::Expired,
        Reason::NotForClientAuth,
        Reason::CaAsClient,
        Reason::WeakKey,
        Reason::NameNotPermitted,
        Reason::PinRetired,
        Reason::Revoked,
        Reason::NotEnrolled,
        Reason::ClientSuspended,
        Reason::NotGranted,
        Reason::WrongSite,
    ];

    /// The stable code.
    pub const fn code(self) -> &'static str {
        match self {
            Reason::NoCertificate => "no_certificate",
            Reason::Malformed => "malformed",
            Reason::BadSignature => "bad_signature",
            Reason::UnknownIssuer => "unknown_issuer",
            Reason::PathInvalid => "path_invalid",
            Reason::NotYetValid => "not_yet_valid",
            Reason::Expired => "expired",
            Reason::NotForClientAuth => "not_for_client_auth",
            Reason::CaAsClient => "ca_as_client",
            Reason::WeakKey => "weak_key",
            Reason::NameNotPermitted => "name_not_permitted",
            Reason::PinRetired => "pin_retired",
            Reason::Revoked => "revoked",
            Reason::NotEnrolled => "not_enrolled",
            Reason::ClientSuspended => "client_suspended",
            Reason::NotGranted => "not_granted",
            Reason::WrongSite => "wrong_site",
        }
    }
}
