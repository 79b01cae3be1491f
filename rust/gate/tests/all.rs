//! The gate as its clients and services see it: one program, since each of its own would have the same crates compiled into it and linked anew.

mod admission;
mod answers;
mod handshake;
mod hosts;
mod http1;
mod http2;
mod live;
mod parked;
mod pieces;
mod plain;
mod proxy;
mod records;
mod several;
mod several_http2;
mod shown;
mod smuggling;
mod strangers;
mod support;
mod tls;
