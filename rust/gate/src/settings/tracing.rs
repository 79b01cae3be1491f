//! How requests are traced.

use serde::Deserialize;

use super::SettingsError;
use crate::trace::Tracing;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireTracing {
    /// Of all requests that begin a trace here, the share that is recorded: 0 to 1.
    sample: f64,
    /// Whether admitted clients may have their own traces go on here.
    accept: bool,
}

pub(super) fn checked(wire: WireTracing) -> Result<Tracing, SettingsError> {
    if !(0.0..=1.0).contains(&wire.sample) {
        return Err(SettingsError::new(
            "tracing.sample",
            format!("is {}, expected 0 to 1", wire.sample),
        ));
    }
    Ok(Tracing::new(wire.sample, wire.accept))
}
