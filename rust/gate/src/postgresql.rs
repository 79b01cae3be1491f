//! How clients of PostgreSQL ask for TLS: in the clear, with a message of their own (PostgreSQL, "Message Formats",
//! SSLRequest and GSSENCRequest). Since version 17 they can begin with TLS at once, which needs nothing here.
//!
//! Only eight bytes are read at a time, and what comes after the last of them is a ClientHello or nothing: no byte that
//! came in the clear is taken for one that came through TLS (CVE-2021-23214).

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::counters::Handshake;

const SSL_REQUEST: u32 = 80_877_103;
const GSSENC_REQUEST: u32 = 80_877_104;

/// What these messages begin with: the first byte of a length, which a TLS record (22) and HTTP (a letter) do not have.
const FIRST_BYTE: u8 = 0;

/// To who begins without TLS. An ErrorResponse with severity, code (SQLSTATE 28000) and message.
const TLS_ONLY: &[u8] = b"E\0\0\0\x66SFATAL\0VFATAL\0C28000\0\
Mconnections without TLS are not served: use sslmode=verify-full or require\0\0";

/// Reads what a client of PostgreSQL says before TLS, if that is what it is, and agrees.
pub(crate) async fn start(tcp: &mut TcpStream) -> Result<(), Handshake> {
    let mut first = [0];
    let mut may_ask_gss = true;
    loop {
        match tcp.peek(&mut first).await {
            Ok(1) if first[0] == FIRST_BYTE => {}
            Ok(1) => return Ok(()),
            _ => return Err(Handshake::Closed),
        }
        let mut message = [0; 8];
        if tcp.read_exact(&mut message).await.is_err() {
            return Err(Handshake::Closed);
        }
        let [length, code] = [&message[..4], &message[4..]].map(|part| {
            part.iter()
                .fold(0, |number, byte| number << 8 | u32::from(*byte))
        });
        let answer: &[u8] = match (length, code) {
            (8, SSL_REQUEST) => b"S",
            (8, GSSENC_REQUEST) if may_ask_gss => b"N",
            _ => TLS_ONLY,
        };
        if tcp.write_all(answer).await.is_err() {
            return Err(Handshake::Closed);
        }
        match answer {
            b"S" => return Ok(()),
            b"N" => may_ask_gss = false,
            _ => {
                let _ = tcp.shutdown().await;
                return Err(Handshake::Protocol);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_says_its_length() {
        let length = u32::try_from(TLS_ONLY.len() - 1).expect("short");
        assert_eq!(TLS_ONLY[1..5], length.to_be_bytes());
    }
}
