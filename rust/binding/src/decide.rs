//! Questions that need no snapshot.

use gate::rules::{Deed, Direction};
use judge::record::RuleKind;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Answers one question of `mutualgate decide --batch`, JSON to JSON.
#[pyfunction]
pub fn decide_batch<'py>(py: Python<'py>, line: &[u8]) -> Bound<'py, PyBytes> {
    let answer = py.detach(|| judge::batch::decide_batch(line));
    PyBytes::new(py, &answer)
}

/// Code, meaning and fix of every reason, in the order of judgement.
#[pyfunction]
pub fn reasons() -> Vec<(&'static str, &'static str, &'static str)> {
    judge::Reason::ALL
        .iter()
        .map(|reason| (reason.code(), reason.meaning(), reason.fix()))
        .collect()
}

/// Why no header rule of a route may do that to fields of this name; the rest of a sentence that begins with the name.
#[pyfunction]
pub fn field_refused(direction: &str, deed: &str, name: &str) -> Option<&'static str> {
    let direction = match direction {
        "request" => Direction::Request,
        _ => Direction::Response,
    };
    let deed = match deed {
        "add" => Deed::Add,
        "set" => Deed::Set,
        _ => Deed::Remove,
    };
    gate::rules::refused(direction, deed, name)
}

/// For each of `names`, kind and name with a colon between, whether one of a partner's `rules`, kinds and patterns, permits
/// it as it would in a certificate.
#[pyfunction]
pub fn names_permitted(rules: Vec<(String, String)>, names: Vec<String>) -> Vec<bool> {
    let known: Vec<(RuleKind, String)> = rules
        .into_iter()
        .filter_map(|(kind, pattern)| Some((rule_kind(&kind)?, pattern)))
        .collect();
    let names = names.iter().map(|name| match name.split_once(':') {
        Some((kind, name)) => (rule_kind(kind), name),
        None => (None, name.as_str()),
    });
    judge::names_permitted(&known, names)
}

/// Why nobody could come in under this certificate (DER), were it adopted: the rest of a sentence about it.
#[pyfunction]
pub fn adoption_fault(certificate: &[u8], policy: bool) -> Option<String> {
    judge::adoption_fault(certificate, policy)
}

fn rule_kind(text: &str) -> Option<RuleKind> {
    Some(match text {
        "dns" => RuleKind::Dns,
        "email" => RuleKind::Email,
        "uri" => RuleKind::Uri,
        "ip" => RuleKind::Ip,
        "dn" => RuleKind::Dn,
        "organization" => RuleKind::Organization,
        _ => return None,
    })
}
