//! The data plane: listeners, TLS, connections, proxying. Who is admitted it asks `judge`.
#![warn(missing_docs)]

pub mod identity;
pub mod refusal;
