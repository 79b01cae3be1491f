//! Questions that need no snapshot.

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
