//! The catalogue of reasons for which a client is refused.
//!
//! The codes are public: pages, logs, metrics, the API and scripts use them. Add, never rename.

/// Why a client was refused.
/// Ordered as they are judged: of two that apply, the lesser is the one that is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// Its partner's CA has to say whether it was revoked, and nothing that says so is known.
    CrlMissing,
    /// What its partner's CA said about revocation is too old.
    CrlExpired,
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
    pub const ALL: [Reason; 19] = [
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
        Reason::CrlMissing,
        Reason::CrlExpired,
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
            Reason::CrlMissing => "crl_missing",
            Reason::CrlExpired => "crl_expired",
            Reason::NotEnrolled => "not_enrolled",
            Reason::ClientSuspended => "client_suspended",
            Reason::NotGranted => "not_granted",
            Reason::WrongSite => "wrong_site",
        }
    }

    /// What it means, in a sentence for the person who was refused.
    pub const fn meaning(self) -> &'static str {
        match self {
            Reason::NoCertificate => "No certificate was sent, and this address needs one.",
            Reason::Malformed => {
                "What was sent cannot be read as a certificate chain, or is larger than any honest one."
            }
            Reason::BadSignature => {
                "A signature in the chain does not verify, or is of a kind that proves nothing."
            }
            Reason::UnknownIssuer => {
                "The certificate is self-signed, or issued by an authority that is not known here."
            }
            Reason::PathInvalid => {
                "The chain breaks a rule of RFC 5280: a constraint, a length, or something critical that is not understood."
            }
            Reason::NotYetValid => "The certificate's validity has not begun.",
            Reason::Expired => "The certificate's validity has ended.",
            Reason::NotForClientAuth => "The certificate may not be used to prove a client.",
            Reason::CaAsClient => "The certificate is a certification authority's, not a client's.",
            Reason::WeakKey => {
                "A key in the chain is too weak, or of a kind that is not supported."
            }
            Reason::NameNotPermitted => {
                "The certificate names somebody outside the names its authority may vouch for here."
            }
            Reason::PinRetired => "The certificate was accepted here once and no longer is.",
            Reason::Revoked => "The certificate was revoked.",
            Reason::CrlMissing => {
                "Whether the certificate was revoked is not known: no revocation list of its authority that covers it is here."
            }
            Reason::CrlExpired => {
                "Whether the certificate was revoked is not known: the revocation list of its authority is too old."
            }
            Reason::NotEnrolled => {
                "The certificate is genuine, but is not registered for any client here."
            }
            Reason::ClientSuspended => "The client is suspended.",
            Reason::NotGranted => "The client is known, but may not use this address.",
            Reason::WrongSite => {
                "The connection was opened for one site and the request is for another."
            }
        }
    }

    /// What that person can do about it.
    pub const fn fix(self) -> &'static str {
        match self {
            Reason::NoCertificate => {
                "Import your certificate and its key (.p12) into the browser or name them in the program, then try again. Browsers hide a certificate that has expired or is not meant for clients: look at its dates first."
            }
            Reason::Malformed => {
                "Send the certificate itself and, at most, the intermediates above it, in DER or PEM as your program expects."
            }
            Reason::BadSignature => {
                "Use the certificate exactly as it was issued; if it was issued with SHA-1 or MD5, have a new one issued."
            }
            Reason::UnknownIssuer => {
                "Choose the certificate that was issued for this service and send its intermediates with it, if it has any; or ask the operator to accept the one that you have, or its authority."
            }
            Reason::PathInvalid => {
                "Have the certificate issued anew without the fault that is named here."
            }
            Reason::NotYetValid => {
                "Wait until its first day, or set the clock of the machine that made it and have it issued anew."
            }
            Reason::Expired => "Renew the certificate and use the new one.",
            Reason::NotForClientAuth => {
                "Have a certificate issued whose extended key usage includes clientAuth and whose key usage includes digitalSignature."
            }
            Reason::CaAsClient => {
                "Use a certificate that the authority issued for you, not the authority's own."
            }
            Reason::WeakKey => {
                "Make a new key (P-256, or RSA with 2048 bits or more) and have a certificate issued for it."
            }
            Reason::NameNotPermitted => {
                "Have your authority issue a certificate for a name inside your own namespace."
            }
            Reason::PinRetired => {
                "Use the certificate that replaced it, or ask the operator to register the one that you have now."
            }
            Reason::Revoked => "Use its replacement, or ask the operator for a new one.",
            Reason::CrlMissing => {
                "Nothing is wrong with the certificate itself. Ask the operator or your authority to make its revocation list known here, then try again."
            }
            Reason::CrlExpired => {
                "Nothing is wrong with the certificate itself. Ask your authority to publish a new revocation list, or the operator to fetch it, then try again."
            }
            Reason::NotEnrolled => "Ask the operator to register the certificate or to invite you.",
            Reason::ClientSuspended => "Ask the operator why, and when it ends.",
            Reason::NotGranted => {
                "Ask the operator for a role that may, or use an address that is yours."
            }
            Reason::WrongSite => {
                "Open a new connection for the host that the request names; a proxy in between must not mix them."
            }
        }
    }

    /// The reason with that code.
    pub fn of_code(code: &str) -> Option<Reason> {
        Reason::ALL.into_iter().find(|reason| reason.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn listed_once_in_the_order_of_judgement() {
        assert!(Reason::ALL.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(
            Reason::ALL
                .iter()
                .all(|reason| Reason::of_code(reason.code()) == Some(*reason))
        );
    }
}
