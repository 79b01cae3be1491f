//! The Python face of the data plane: classes and error mapping, and no rule.
//!
//! Values cross as bytes (MessagePack, DER, JSON) and plain types. Nothing calls back into Python; whatever can take
//! longer than a few microseconds runs detached from the interpreter.

mod decide;
mod gate;
mod snapshot;
mod verdict;

use pyo3::prelude::*;

pyo3::create_exception!(
    mutualgate._engine,
    EngineError,
    pyo3::exceptions::PyException,
    "The data plane could not do what was asked; the text says what and why."
);

/// Makes the Python error of whatever went wrong behind the boundary.
fn engine_error(problem: impl std::fmt::Display) -> PyErr {
    EngineError::new_err(problem.to_string())
}

/// Gives back to the system what the allocator keeps for itself.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn trim() {
    unsafe extern "C" {
        fn malloc_trim(keep: usize) -> std::ffi::c_int;
    }
    // SAFETY: it takes a number, may be called by any thread at any time, and moves nothing that is in use (malloc_trim(3)).
    unsafe { malloc_trim(0) };
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn trim() {}

#[pymodule]
fn _engine(module: &Bound<'_, PyModule>) -> PyResult<()> {
    ::gate::give_back_by(trim);
    module.add("EngineError", module.py().get_type::<EngineError>())?;
    module.add_class::<snapshot::Snapshot>()?;
    module.add_class::<verdict::Verdict>()?;
    module.add_class::<gate::Gate>()?;
    module.add_function(wrap_pyfunction!(decide::decide_batch, module)?)?;
    module.add_function(wrap_pyfunction!(decide::reasons, module)?)?;
    module.add_function(wrap_pyfunction!(decide::field_refused, module)?)?;
    module.add_function(wrap_pyfunction!(decide::names_permitted, module)?)?;
    module.add_function(wrap_pyfunction!(decide::adoption_fault, module)?)?;
    module.add("MOST_OF_A_NAME", judge::SIGNATURES)?;
    Ok(())
}
