//! What the judge says, for Python.

use judge::{Admission, Refusal};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// A verdict, and the route that was asked about if there was one.
#[pyclass(frozen, module = "mutualgate._engine")]
pub struct Verdict {
    outcome: Outcome,
    route: Option<String>,
}

enum Outcome {
    Admitted(std::sync::Arc<Admission>),
    /// A route that lets strangers pass.
    Anonymous,
    Refused(Refusal),
}

impl Verdict {
    pub fn of(verdict: judge::Verdict) -> Self {
        let outcome = match verdict {
            judge::Verdict::Admitted(admission) => Outcome::Admitted(admission),
            judge::Verdict::Refused(refusal) => Outcome::Refused(refusal),
        };
        Verdict {
            outcome,
            route: None,
        }
    }

    pub fn on_route(result: Result<judge::Permit, Refusal>, route: &judge::Route) -> Self {
        let outcome = match result {
            Ok(permit) => match permit.admission() {
                Some(admission) => Outcome::Admitted(admission.clone()),
                None => Outcome::Anonymous,
            },
            Err(refusal) => Outcome::Refused(refusal),
        };
        Verdict {
            outcome,
            route: Some(route.path().to_owned()),
        }
    }

    pub fn refused(refusal: Refusal) -> Self {
        Verdict {
            outcome: Outcome::Refused(refusal),
            route: None,
        }
    }

    fn admission(&self) -> Option<&Admission> {
        match &self.outcome {
            Outcome::Admitted(admission) => Some(admission),
            Outcome::Anonymous | Outcome::Refused(_) => None,
        }
    }

    fn refusal(&self) -> Option<&Refusal> {
        match &self.outcome {
            Outcome::Refused(refusal) => Some(refusal),
            Outcome::Admitted(_) | Outcome::Anonymous => None,
        }
    }
}

#[pymethods]
impl Verdict {
    #[getter]
    fn admitted(&self) -> bool {
        self.refusal().is_none()
    }
    #[getter]
    fn reason(&self) -> Option<&'static str> {
        self.refusal().map(|refusal| refusal.reason.code())
    }
    #[getter]
    fn certificate(&self) -> Option<u8> {
        self.refusal()?.certificate
    }
    #[getter]
    fn detail(&self) -> Option<&str> {
        self.refusal().map(|refusal| refusal.detail.as_str())
    }
    #[getter]
    fn fix(&self) -> Option<&'static str> {
        self.refusal().map(|refusal| refusal.reason.fix())
    }
    #[getter]
    fn client_id(&self) -> Option<u64> {
        match &self.outcome {
            Outcome::Admitted(admission) => Some(admission.client().id),
            Outcome::Anonymous => None,
            Outcome::Refused(refusal) => refusal.client,
        }
    }
    #[getter]
    fn client_name(&self) -> Option<&str> {
        self.admission().map(|admission| &*admission.client().name)
    }
    #[getter]
    fn roles(&self) -> Vec<&str> {
        self.admission().map_or_else(Vec::new, |admission| {
            admission
                .client()
                .roles
                .iter()
                .map(|role| &**role)
                .collect()
        })
    }
    #[getter]
    fn credential_id(&self) -> Option<u64> {
        self.admission()?.credential()
    }
    #[getter]
    fn evidence(&self) -> Option<&'static str> {
        self.admission()
            .map(|admission| admission.evidence().code())
    }
    #[getter]
    fn partner(&self) -> Option<&str> {
        self.admission()?.partner()
    }
    #[getter]
    fn environment(&self) -> Option<&str> {
        self.admission()?.environment()
    }
    #[getter]
    fn authority(&self) -> Option<&str> {
        self.admission().map(Admission::authority)
    }
    #[getter]
    fn route(&self) -> Option<&str> {
        self.route.as_deref()
    }

    /// `if verdict:` would read a refusal as a yes, so it fails the first time it runs.
    fn __bool__(&self) -> PyResult<bool> {
        Err(PyTypeError::new_err(
            "a Verdict is not a truth value; ask verdict.admitted",
        ))
    }

    fn __repr__(&self) -> String {
        match &self.outcome {
            Outcome::Admitted(admission) => {
                format!("<Verdict admitted client={}>", admission.client().id)
            }
            Outcome::Anonymous => "<Verdict anonymous>".to_owned(),
            Outcome::Refused(refusal) => format!("<Verdict refused {}>", refusal.reason.code()),
        }
    }
}
