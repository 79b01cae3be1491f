//! How much one address, one client, a site and a route may use. Nothing said is no limit.

use serde::Deserialize;

use super::SettingsError;
use crate::limits::Rate;

/// Bounds of one that is counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Bounds {
    /// Open at a time.
    pub(crate) connections: Option<u32>,
    pub(crate) handshakes: Option<Rate>,
    pub(crate) requests: Option<Rate>,
}

/// Bounds within a site or a route: of all together, and of each client. Who comes without a certificate is its address.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ScopeLimits {
    pub(crate) total: Bounds,
    pub(crate) client: Bounds,
}

/// Most connections of one that can be counted.
pub(crate) const MAX_COUNTED: u32 = 1_000_000;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WireBounds {
    connections: Option<u32>,
    /// Per second, and how many at once.
    handshakes: Option<(f64, u32)>,
    requests: Option<(f64, u32)>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct WireScope {
    total: WireBounds,
    client: WireBounds,
}

pub(super) fn scope(field: &str, wire: &WireScope) -> Result<ScopeLimits, SettingsError> {
    Ok(ScopeLimits {
        total: bounds(&format!("{field}.total"), &wire.total)?,
        client: bounds(&format!("{field}.client"), &wire.client)?,
    })
}

pub(super) fn bounds(field: &str, wire: &WireBounds) -> Result<Bounds, SettingsError> {
    if let Some(connections) = wire.connections
        && !(1..=MAX_COUNTED).contains(&connections)
    {
        return Err(SettingsError::new(
            format!("{field}.connections"),
            format!("is {connections}, expected 1 to {MAX_COUNTED}"),
        ));
    }
    let rate = |name: &str, given: Option<(f64, u32)>| {
        match given {
        None => Ok(None),
        Some((per_second, burst)) => Rate::new(per_second, burst).map(Some).ok_or_else(|| {
            SettingsError::new(
                format!("{field}.{name}"),
                format!(
                    "is {per_second} per second, {burst} at once, expected 0.0001 to 1000000, at least 1 at once, and \
                     no burst of more than a day's"
                ),
            )
        }),
    }
    };
    Ok(Bounds {
        connections: wire.connections,
        handshakes: rate("handshakes", wire.handshakes)?,
        requests: rate("requests", wire.requests)?,
    })
}
