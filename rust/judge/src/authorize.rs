//! What an admitted client may do: a verdict and a route make a permit, or a refusal.

use std::sync::Arc;

use crate::{Admission, Reason, Refusal, Route, Verdict, record::Mode};

/// Leave to forward one request. Only [`authorize`] makes one, and forwarding takes one.
#[derive(Debug)]
pub struct Permit {
    admission: Option<Arc<Admission>>,
}

impl Permit {
    /// Who asks; `None` on a route that lets strangers pass.
    pub fn admission(&self) -> Option<&Arc<Admission>> {
        self.admission.as_ref()
    }
}

/// Says whether the holder of `verdict` may pass on `route`.
///
/// Where no certificate is required, a refused one is as good as none: its holder passes as nobody.
pub fn authorize(verdict: &Verdict, route: &Route) -> Result<Permit, Refusal> {
    match (route.mode(), verdict) {
        (Mode::Off, _) | (Mode::Optional, Verdict::Refused(_)) => Ok(Permit { admission: None }),
        (Mode::Optional, Verdict::Admitted(admission)) => Ok(Permit {
            admission: Some(Arc::clone(admission)),
        }),
        (Mode::Required, Verdict::Refused(refusal)) => Err(refusal.clone()),
        (Mode::Required, Verdict::Admitted(admission)) if is_granted(admission, route) => {
            Ok(Permit {
                admission: Some(Arc::clone(admission)),
            })
        }
        (Mode::Required, Verdict::Admitted(admission)) => Err(Refusal {
            reason: Reason::NotGranted,
            certificate: None,
            detail: format!(
                "The client {} may not use this address.",
                admission.client().name
            ),
            issuer_known: true,
            client: Some(admission.client().id),
        }),
    }
}

fn is_granted(admission: &Admission, route: &Route) -> bool {
    let client = admission.client();
    (route.roles.is_empty() && route.clients.is_empty())
        || route.clients.contains(&client.name)
        || client.roles.iter().any(|role| route.roles.contains(role))
}
