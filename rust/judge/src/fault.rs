//! What is wrong with a chain, while it is being judged.

use crate::{Reason, Refusal};

/// A reason, the certificate to blame, and the facts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub reason: Reason,
    /// Its index among the certificates as sent; `None` for the anchor's.
    pub certificate: Option<usize>,
    pub detail: String,
}

impl Fault {
    /// A fault of the certificate at `index`; `predicate` is the rest of a sentence about it.
    pub fn of(reason: Reason, index: usize, predicate: impl AsRef<str>) -> Fault {
        let detail = match index {
            0 => format!("The certificate {}.", predicate.as_ref()),
            _ => format!(
                "Certificate {} of the chain {}.",
                index + 1,
                predicate.as_ref()
            ),
        };
        Fault {
            reason,
            certificate: Some(index),
            detail,
        }
    }

    /// A fault of the anchor's certificate.
    pub fn of_anchor(reason: Reason, predicate: impl AsRef<str>) -> Fault {
        Fault {
            reason,
            certificate: None,
            detail: format!("The certificate of the authority {}.", predicate.as_ref()),
        }
    }

    /// As said to whoever sent `sent` certificates: those beyond are intermediates that a partner registered.
    pub fn among(self, sent: usize) -> Fault {
        match self.certificate {
            Some(index) if index >= sent => Fault {
                certificate: None,
                detail: match self.detail.split_once(" of the chain ") {
                    Some((_, predicate)) => {
                        format!("An intermediate that the partner registered {predicate}")
                    }
                    None => self.detail,
                },
                ..self
            },
            _ => self,
        }
    }

    /// As a refusal.
    pub fn refusal(self, issuer_known: bool, client: Option<u64>) -> Refusal {
        let certificate = self.certificate.and_then(|index| u8::try_from(index).ok());
        Refusal {
            reason: self.reason,
            certificate,
            detail: self.detail,
            issuer_known,
            client,
            partner: None,
        }
    }
}
