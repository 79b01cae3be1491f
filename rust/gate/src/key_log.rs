//! A file with the secrets of all connections, for whoever has to read recorded traffic: only where it is asked for.
//!
//! Whoever has the file reads everything that it is about, so nobody but its owner may.

use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::{Mutex, PoisonError},
};

/// An open file, in the format of NSS that Wireshark reads.
pub(crate) struct KeyLog(Mutex<File>);

impl KeyLog {
    /// Appends to the file at `path`, or makes it. One that others can read is not written to.
    pub(crate) fn open(path: &Path) -> io::Result<KeyLog> {
        let error = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("key_log: cannot write to {}: {error}", path.display()),
            )
        };
        let file = (OpenOptions::new().append(true).create(true).mode(0o600))
            .open(path)
            .map_err(error)?;
        let mode = file.metadata().map_err(error)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(error(io::Error::other(
                "others than its owner can read it (expected mode 0600)",
            )));
        }
        Ok(KeyLog(Mutex::new(file)))
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyLog").finish_non_exhaustive()
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let line = format!("{label} {} {}\n", hex(client_random), hex(secret));
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end a handshake.
        let _ = file.write_all(line.as_bytes());
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
