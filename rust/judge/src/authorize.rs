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
/// Where no certificate is required, a refused one is as good as none: its holder passes as nobody. So does one that is
/// meant for other sites. On a route that is [`Mode::Shown`] the gate tells the service what `verdict` says besides.
pub fn authorize(verdict: &Verdict, route: &Route) -> Result<Permit, Refusal> {
    let permit = |admission: &Arc<Admission>| Permit {
        admission: Some(Arc::clone(admission)),
    };
    let nobody = Permit { admission: None };
    match (route.mode(), verdict) {
        (Mode::Off, _) | (Mode::Optional | Mode::Shown, Verdict::Refused(_)) => Ok(nobody),
        (Mode::Optional | Mode::Shown, Verdict::Admitted(admission)) => {
            Ok(if is_meant_for(admission, route) {
                permit(admission)
            } else {
                nobody
            })
        }
        (Mode::Required, Verdict::Refused(refusal)) => Err(refusal.clone()),
        (Mode::Required, Verdict::Admitted(admission)) if !is_meant_for(admission, route) => {
            let environment = admission.environment().unwrap_or_default();
            Err(not_granted(
                admission,
                format!(
                    "The certificate is accepted for the environment {environment} only, and this address is not in it."
                ),
            ))
        }
        (Mode::Required, Verdict::Admitted(admission)) if is_granted(admission, route) => {
            Ok(permit(admission))
        }
        (Mode::Required, Verdict::Admitted(admission)) => Err(not_granted(
            admission,
            format!(
                "The client {} is not among those who may use {}.",
                admission.client().name,
                route.path()
            ),
        )),
    }
}

fn not_granted(admission: &Admission, detail: String) -> Refusal {
    Refusal {
        reason: Reason::NotGranted,
        certificate: None,
        detail,
        issuer_known: true,
        client: Some(admission.client().id),
        partner: admission.partner.clone(),
    }
}

/// A pin or a partner's CA for tests does not open production, nor the other way round.
fn is_meant_for(admission: &Admission, route: &Route) -> bool {
    admission
        .environment()
        .is_none_or(|environment| environment == route.environment())
}

fn is_granted(admission: &Admission, route: &Route) -> bool {
    let client = admission.client();
    (route.roles.is_empty() && route.clients.is_empty())
        || route.clients.contains(&client.name)
        || client.roles.iter().any(|role| route.roles.contains(role))
}
