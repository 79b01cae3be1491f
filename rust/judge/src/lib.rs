//! Decides which client a certificate chain belongs to, and what that client may do.
//!
//! The map: [`record`] is what the control plane sends, [`snapshot`] what is made of it, [`decide`] the judgement of
//! a chain (pins, then authorities of ours, then partners), [`route`] finds the rule for a path, [`authorize`] turns a verdict and a route into a [`Permit`];
//! [`compare`] does so by two snapshots.
//! Nothing here knows a clock, a socket, HTTP or Python.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod authorize;
pub mod batch;
pub mod compare;
pub mod decide;
pub mod key;
pub mod reason;
pub mod record;
pub mod route;
pub mod snapshot;
pub mod verdict;

mod anchor;
mod certificate;
mod clients;
mod constraints;
mod crl;
mod delta;
mod der;
mod extensions;
mod fault;
mod hints;
mod moment;
mod name;
mod names;
mod partner;
mod path;
mod path_rule;
mod pin;
mod policy;
mod revocation;
mod rules;
mod shards;
mod signature;
mod sorted;
mod validate;
mod vouch;

pub use anchor::adoption_fault;
pub use authorize::{Permit, authorize};
pub use batch::decide_batch;
pub use compare::compare;
pub use decide::{SIGNATURES, decide, decide_again};
pub use key::provable;
pub use names::names_permitted;
pub use reason::Reason;
pub use route::{PathError, Route, Site};
pub use signature::Memory;
pub use snapshot::{Builder, Snapshot};
pub use verdict::{Admission, Evidence, Refusal, Verdict};
