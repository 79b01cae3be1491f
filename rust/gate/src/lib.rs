//! The data plane: listeners, TLS, connections, proxying. Who is admitted it asks `judge`.
//!
//! The map, as a request walks it: [`runtime`] starts workers, `listener` accepts, `handshake` meets a client (`tls`, and
//! `possession` for its proof), `serve` has it judged (`standing`), `connection` keeps that up to date, `http1` reads
//! heads (`http2` those of HTTP/2), `request` finds the route and asks for a permit, [`identity`] says who it is, `upstream`
//! forwards, `download` brings the answer back.
//! Whoever is turned away reads [`refusal`]; what happened is in [`event`], [`counters`] and [`access`].
#![forbid(unsafe_code)]
#![warn(missing_docs)]
#![cfg_attr(test, allow(clippy::expect_used, clippy::unwrap_used))]

pub mod access;
pub mod counters;
mod discreet;
pub mod event;
#[cfg(test)]
mod fixtures;
mod http2;
pub mod identity;
mod introduction;
pub mod proxy_protocol;
pub mod refusal;
pub mod rules;
pub mod runtime;
pub mod settings;
pub mod trace;
pub mod trial;

mod authority;
mod client_io;
mod clip;
mod connection;
mod download;
mod fields;
mod handshake;
mod hello;
mod http1;
mod key_log;
mod ledger;
mod limits;
mod listener;
mod message;
mod octets;
mod passing;
mod plain;
mod possession;
mod postgresql;
mod problem;
mod random;
mod relay;
mod request;
mod serve;
mod spare;
mod standing;
mod state;
mod stream;
mod tickets;
mod tls;
mod tls_stream;
mod upload;
mod upstream;
mod websocket;
mod worker;

pub use limits::{Met, give_back_by};
pub use listener::{Listening, Service};
pub use runtime::{Farewell, Gate, GateError};
pub use settings::{Settings, SettingsError};
pub use state::{Mismatch, Publication};
