//! A request's path, read the one way that no server behind can read otherwise, and the route that it falls under.

use crate::record::{Mode, OnRefusal};

/// A site, checked.
#[derive(Debug)]
pub struct Site {}

/// A route, checked.
#[derive(Debug)]
pub struct Route {}

/// A path that servers read in different ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PathError(pub &'static str);

impl Site {
    /// Its name.
    pub fn name(&self) -> &str {
        todo!()
    }
    /// Position among the sites of the snapshot, as in the gate's settings.
    pub fn index(&self) -> usize {
        todo!()
    }
    /// Whether any route wants to see a certificate, so that the handshake has to ask for one.
    pub fn asks(&self) -> bool {
        todo!()
    }
    /// Whether every route requires one.
    pub fn on_refusal(&self) -> OnRefusal {
        todo!()
    }
    /// The route for the path of a request as sent (without query): `Ok(None)` where there is none (404).
    pub fn route(&self, path: &str) -> Result<Option<&Route>, PathError> {
        let _ = path;
        todo!()
    }
}

impl Route {
    /// Index of the upstream in the gate's settings.
    pub fn upstream(&self) -> u32 {
        todo!()
    }
    /// Its mode.
    pub fn mode(&self) -> Mode {
        todo!()
    }
    /// The prefix, as configured: the label in logs and metrics.
    pub fn path(&self) -> &str {
        todo!()
    }
}
