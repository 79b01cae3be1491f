//! The access log: one line for each request, JSON or text.
//!
//! Knows how a line looks and how it gets to a file without a request ever waiting for it. Does not know what a
//! request is.
//!
//! A line is formatted into a buffer of the calling thread and appended to one of bounded size that a writer thread
//! empties; when that is full, since a disk hangs or a pipe has no reader, lines are dropped and counted. Nothing
//! that a client chose can end a line or hide in it, and values of a query are never logged, since secrets live in
//! them.

use std::{
    cell::RefCell,
    fs::{File, OpenOptions},
    io::{self, Write},
    mem,
    net::IpAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use crate::refusal::RefusalId;

mod line;

/// What is kept for the writer at most, in bytes: some ten thousand lines.
const MAX_WAITING_BYTES: usize = 4 * 1024 * 1024;

/// What wakes the writer at once, in bytes, so that a busy gate loses no line to [`GATHER`].
const URGENT_BYTES: usize = 256 * 1024;

/// How long the writer lets lines gather, so that it is not woken for each of them: what a person at `tail -f` does
/// not notice.
const GATHER: Duration = Duration::from_millis(50);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// The end of a file, which is created with mode 0640.
    File(PathBuf),
}

impl Target {
    /// As the settings say it: empty for off, `-` for standard output, else a path.
    pub fn parse(text: &str) -> Target {
        match text {
            "" => Target::Off,
            "-" => Target::Stdout,
            path => Target::File(PathBuf::from(path)),
        }
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A JSON object.
    Json,
    /// Like the combined format of web servers, with client and verdict.
    Text,
}

/// What was decided about a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// It was made by a client: id and name.
    Admitted(u64, &'a str),
    /// It passed without one.
    Anonymous,
    /// It passed to the portal, which was told that its certificate is refused, and for this reason.
    Shown(&'a str),
    /// It was turned away, with the code of the reason and the reference that the client was shown.
    Refused(&'a str, Option<RefusalId>),
}

/// A request that is over. Borrowed: nothing is copied for it but its line.
#[derive(Debug, Clone, Copy)]
pub struct Line<'a> {
    /// When its head was complete, Unix milliseconds.
    pub at: i64,
    /// Its id.
    pub request: &'a str,
    /// The address of the client.
    pub peer: IpAddr,
    /// The site's name, or empty where there is none.
    pub site: &'a str,
    /// The method.
    pub method: &'a str,
    /// The path as sent, without query.
    pub path: &'a str,
    /// Whether there was a query. Its values are secrets often enough.
    pub has_query: bool,
    /// The version of HTTP; `None` for what is passed on unread.
    pub protocol: Option<http::Version>,
    /// The status of the answer; 0 for none, when the client went away.
    pub status: u16,
    /// Bytes of the request's body.
    pub bytes_in: u64,
    /// Bytes of the answer's body.
    pub bytes_out: u64,
    /// From the head of the request to the end of the answer.
    pub took: Duration,
    /// What was decided.
    pub outcome: Outcome<'a>,
    /// SHA-256 of the certificate that was shown.
    pub credential: Option<&'a [u8; 32]>,
    /// The upstream that answered, or empty.
    pub upstream: &'a str,
    /// The version of TLS, or empty on the plain listener.
    pub tls: &'a str,
    /// Whether the TLS session was resumed.
    pub resumed: bool,
}

/// An access log and its writer. Dropping the last one writes what is left.
#[derive(Debug)]
pub struct AccessLog {
    format: Format,
    shared: Option<Arc<Shared>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    wake: Condvar,
    lost: AtomicU64,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    lines: Vec<u8>,
    reopen: bool,
    closed: bool,
}

impl AccessLog {
    /// Opens the log. Errors name the path and what the system said.
    pub fn open(target: Target, format: Format) -> io::Result<AccessLog> {
        match target {
            Target::Off => Ok(AccessLog {
                format,
                shared: None,
                writer: Mutex::new(None),
            }),
            Target::Stdout => AccessLog::start(Sink::Stdout, format, MAX_WAITING_BYTES),
            Target::File(path) => {
                let file = append(&path).map_err(|error| {
                    io::Error::new(
                        error.kind(),
                        format!("access log {}: {error}", path.display()),
                    )
                })?;
                AccessLog::start(Sink::File(file, path), format, MAX_WAITING_BYTES)
            }
        }
    }

    fn start(sink: Sink, format: Format, max_bytes: usize) -> io::Result<AccessLog> {
        let shared = Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            lost: AtomicU64::new(0),
            max_bytes,
        });
        let theirs = shared.clone();
        let writer = thread::Builder::new()
            .name("mutualgate-log".to_owned())
            .spawn(move || theirs.write_all(sink))?;
        Ok(AccessLog {
            format,
            shared: Some(shared),
            writer: Mutex::new(Some(writer)),
        })
    }

    /// Whether lines go anywhere: where not, there is no need to collect what they say.
    pub fn is_on(&self) -> bool {
        self.shared.is_some()
    }

    /// Logs a request. Never waits for the disk.
    pub fn log(&self, line: &Line<'_>) {
        thread_local!(static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) });
        let Some(shared) = &self.shared else { return };
        let logged = BUFFER.try_with(|buffer| {
            let mut buffer = buffer.borrow_mut();
            buffer.clear();
            match self.format {
                Format::Json => line::json(&mut buffer, line),
                Format::Text => line::text(&mut buffer, line),
            }
            shared.push(&buffer);
        });
        if logged.is_err() {
            shared.lost.fetch_add(1, Ordering::Relaxed); // the thread is being torn down
        }
    }

    /// Opens the file anew before the next line: call it after the file was moved away (logrotate).
    pub fn reopen(&self) {
        if let Some(shared) = &self.shared {
            shared.lock().reopen = true;
            shared.wake.notify_one();
        }
    }

    /// Lines that were dropped or could not be written since the start.
    pub fn lost(&self) -> u64 {
        self.shared
            .as_ref()
            .map_or(0, |shared| shared.lost.load(Ordering::Relaxed))
    }

    /// Writes what is left and ends the writer; later lines are lost.
    pub fn close(&self) {
        let Some(shared) = &self.shared else { return };
        shared.lock().closed = true;
        shared.wake.notify_one();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(writer) = writer {
            // An error would be a panic of the writer: there is nobody left to tell.
            let _ = writer.join();
        }
    }
}

impl Drop for AccessLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.lines.len() + line.len() > self.max_bytes {
            self.lost.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let before = waiting.lines.len();
        waiting.lines.extend_from_slice(line);
        let after = waiting.lines.len();
        drop(waiting);
        // Only these two moments: waking somebody costs more than the line.
        if before == 0 || (before < URGENT_BYTES && after >= URGENT_BYTES) {
            self.wake.notify_one();
        }
    }

    /// The writer thread.
    fn write_all(&self, mut sink: Sink) {
        let mut lines = Vec::new();
        loop {
            let mut waiting = self.lock();
            while waiting.lines.is_empty() && !waiting.closed && !waiting.reopen {
                waiting = self
                    .wake
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let calm = |waiting: &mut Waiting| {
                waiting.lines.len() < URGENT_BYTES && !waiting.closed && !waiting.reopen
            };
            let gathered = self.wake.wait_timeout_while(waiting, GATHER, calm);
            let mut waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
            mem::swap(&mut waiting.lines, &mut lines);
            let reopen = mem::take(&mut waiting.reopen);
            let closed = waiting.closed;
            drop(waiting);
            if sink.write(&lines).is_err() {
                let lost = lines.iter().filter(|byte| **byte == b'\n').count();
                self.lost.fetch_add(lost as u64, Ordering::Relaxed);
            }
            lines.clear();
            if reopen {
                sink.reopen();
            }
            if closed {
                return;
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

enum Sink {
    Stdout,
    File(File, PathBuf),
}

impl Sink {
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        match self {
            Sink::Stdout => {
                let mut out = io::stdout().lock();
                out.write_all(lines)?;
                out.flush()
            }
            Sink::File(file, _) => file.write_all(lines),
        }
    }

    /// Keeps the old file where the new one cannot be opened: lines in a wrong place are better than none.
    fn reopen(&mut self) {
        if let Sink::File(file, path) = self
            && let Ok(new) = append(path)
        {
            *file = new;
        }
    }
}

fn append(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o640); // names of clients are nobody's business
    options.open(path)
}

#[cfg(test)]
mod tests;
