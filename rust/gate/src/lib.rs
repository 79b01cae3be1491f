//! The data plane: listeners, TLS, connections, proxying. Who is admitted it asks `judge`.
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::unwrap_used))]

pub mod access;
pub mod counters;
pub mod event;
pub mod identity;
pub mod refusal;
