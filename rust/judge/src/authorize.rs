//! What an admitted client may do: a verdict and a route make a permit, or a refusal.

use std::sync::Arc;

use crate::{Admission, Refusal, Route, Verdict};

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
pub fn authorize(verdict: &Verdict, route: &Route) -> Result<Permit, Refusal> {
    let _ = (verdict, route);
    todo!()
}
