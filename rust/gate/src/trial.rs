//! What tests and the fuzzer reach of the parts that read what comes from outside (`rust/fuzz`).

use rustls::server::Acceptor;
use tokio::net::TcpStream;

pub use crate::http1::trial::{Answered, Reading, Told, answered, read};
use crate::{hello, postgresql};

/// Meets what may be a client of PostgreSQL; whether TLS follows.
pub async fn postgresql(tcp: &mut TcpStream) -> bool {
    postgresql::start(tcp).await.is_ok()
}

/// The groups of the key shares in a ClientHello, which is read no further than it says; `None` if it is not there as a
/// whole.
pub fn shares(received: &[u8]) -> Option<Vec<u16>> {
    hello::shares(received).map(|groups| groups.into_iter().map(u16::from).collect())
}

/// Whether what is read of a ClientHello here is what rustls reads of it, if both read one.
pub fn is_read_alike(received: &[u8]) -> bool {
    let Some(hello) = hello::Hello::read(received) else {
        return true;
    };
    let mut acceptor = Acceptor::default();
    let mut rest = received;
    while !rest.is_empty() {
        if acceptor.read_tls(&mut rest).is_err() {
            return true;
        }
    }
    match acceptor.accept() {
        Ok(Some(accepted)) => hello == hello::Hello::of(&accepted, received),
        _ => true,
    }
}
