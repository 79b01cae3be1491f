//! The gate as a whole: threads that serve, and the calls by which the control plane changes what they serve.
//!
//! Calls may come from any thread and do not wait for requests. Nothing here ends the process: it is somebody else's.

use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering},
        mpsc,
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use judge::Snapshot;
use tokio::{
    net::TcpListener,
    runtime::{Builder, LocalOptions},
    sync::Notify,
};

use crate::{
    counters::{self, Counters},
    event::{Event, Events},
    limits::{self, Limits},
    listener::{self, Listening, Service},
    settings::Settings,
    state::{Config, Mismatch, Publication, Shared, State},
    trace::{Record, Spans},
    worker::{self, Worker},
};

/// Groups of refusals that wait for the control plane.
const MAX_REFUSALS: usize = 1024;

/// Sightings and cuts that wait for the control plane.
const MAX_NOTICES: usize = 4096;

/// Requests whose spans wait for the control plane: some MiB at most.
const MAX_TRACED: usize = 4096;

/// Why the gate does not start, or keeps what it had.
#[derive(Debug, thiserror::Error)]
pub enum GateError {
    /// A socket, file or thread cannot be had.
    #[error("{0}")]
    System(#[from] io::Error),
    /// The snapshot is not one for these settings.
    #[error("{0}")]
    Mismatch(#[from] Mismatch),
    /// The snapshot is older than the one in force.
    #[error("the snapshot has epoch {found}, and {in_force} is in force")]
    Backwards {
        /// Of the snapshot that was given.
        found: u64,
        /// Of the one in force.
        in_force: u64,
    },
    /// A setting cannot change while the gate runs.
    #[error("{0} cannot change while the gate runs: restart it")]
    NeedsRestart(&'static str),
}

/// A running gate. Dropping it stops it at once.
#[derive(Debug)]
pub struct Gate {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// One change of the state at a time: each is made from the one before.
    change: Mutex<()>,
    addresses: Vec<SocketAddr>,
    plain_addresses: Vec<SocketAddr>,
    /// For a process that is to go on with them; none once this one stops.
    listening: Mutex<Vec<Listening>>,
}

/// How connections end when the gate stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Farewell {
    /// Those that idle end at once: nobody accepts new ones any more.
    AtOnce,
    /// Each is told with an answer that it was the last, not all in the same moment, and those that idle get a moment for
    /// one more request: another process accepts new ones, and no request is to be lost on its way.
    InTurn,
}

impl Gate {
    /// Binds all addresses, then serves `snapshot` on threads of its own. Sockets of `given` are taken for the addresses
    /// that they listen at; those that no address names are closed.
    pub fn start(
        settings: Settings,
        snapshot: Arc<Snapshot>,
        mut given: Vec<Listening>,
    ) -> Result<Gate, GateError> {
        let counters = Arc::new(Counters::new());
        let workers = settings.workers;
        let mut sockets: Vec<Vec<(Service, std::net::TcpListener)>> =
            (0..workers).map(|_| Vec::new()).collect();
        let mut listening = Vec::new();
        let mut open = |wanted: &[SocketAddr], service| -> io::Result<Vec<SocketAddr>> {
            let mut actual = Vec::with_capacity(wanted.len());
            for address in wanted {
                let (address, opened) = listener::open(service, *address, workers, &mut given)?;
                listener::share_out(&opened, &mut sockets)?;
                actual.push(address);
                listening.extend(opened);
            }
            Ok(actual)
        };
        let addresses = open(&settings.listen, Service::Tls)?;
        let plain_addresses = open(&settings.plain_listen, Service::Plain)?;
        let config = Arc::new(Config::new(settings, None)?);
        let state = Arc::new(ArcSwap::from_pointee(State::new(
            snapshot, config, None, &counters,
        )?));
        let shared = Arc::new(Shared {
            state,
            publications: ArcSwap::default(),
            events: Arc::new(Events::new(MAX_REFUSALS, MAX_NOTICES)),
            spans: Spans::new(MAX_TRACED),
            limits: Limits::new(counters.clone()),
            counters,
            connections: AtomicUsize::new(0),
            draining: AtomicBool::new(false),
            in_turn: AtomicBool::new(false),
            turns_a_tick: AtomicU8::new(worker::TURNS),
            stopping: AtomicBool::new(false),
            changed: (0..workers).map(|_| Arc::new(Notify::new())).collect(),
            first_port: addresses.first().map_or(443, SocketAddr::port),
        });
        let gate = Gate {
            shared,
            threads: Mutex::default(),
            change: Mutex::default(),
            addresses,
            plain_addresses,
            listening: Mutex::new(listening),
        };
        for (index, sockets) in sockets.into_iter().enumerate() {
            let thread = start_worker(gate.shared.clone(), index, sockets)?;
            gate.threads
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(thread);
        }
        Ok(gate)
    }

    /// Where it listens for TLS, with the ports that were given out for 0.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Where it listens for plain HTTP.
    pub fn plain_addresses(&self) -> &[SocketAddr] {
        &self.plain_addresses
    }

    /// The sockets that it accepts from, for a process that is to go on with them; none once it stops.
    pub fn listening(&self) -> io::Result<Vec<Listening>> {
        let listening = self.listening.lock();
        let listening = listening.unwrap_or_else(PoisonError::into_inner);
        listening.iter().map(Listening::again).collect()
    }

    /// Puts `snapshot` in force, and gives its epoch. The next handshake, the next request and all open streams are
    /// judged by it.
    pub fn swap(&self, snapshot: Arc<Snapshot>) -> Result<u64, GateError> {
        let _one = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.shared.state.load_full();
        self.put(&old, snapshot, old.config.clone())
    }

    /// Puts settings and a snapshot that fits them in force, without touching a connection whose client still may.
    pub fn configure(&self, settings: Settings, snapshot: Arc<Snapshot>) -> Result<u64, GateError> {
        let _one = self.change.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.shared.state.load_full();
        let before = &old.config.settings;
        for (name, same) in [
            ("listen", before.listen == settings.listen),
            ("plain_listen", before.plain_listen == settings.plain_listen),
            ("workers", before.workers == settings.workers),
        ] {
            if !same {
                return Err(GateError::NeedsRestart(name));
            }
        }
        let config = Arc::new(Config::new(settings, Some(&old.config))?);
        let epoch = self.put(&old, snapshot, config.clone())?;
        old.config.leave_upstreams_to(&config);
        Ok(epoch)
    }

    fn put(
        &self,
        old: &State,
        snapshot: Arc<Snapshot>,
        config: Arc<Config>,
    ) -> Result<u64, GateError> {
        let (found, in_force) = (snapshot.epoch(), old.snapshot.epoch());
        if found < in_force {
            return Err(GateError::Backwards { found, in_force });
        }
        let state = State::new(snapshot, config, Some(old), &self.shared.counters)?;
        self.shared.state.store(Arc::new(state));
        self.shared.announce();
        Ok(found)
    }

    /// The epoch in force.
    pub fn epoch(&self) -> u64 {
        self.shared.state.load().snapshot.epoch()
    }

    /// Serves `publication` at `path` of the plain listener, in place of what was there.
    pub fn publish(&self, path: &str, publication: Publication) {
        self.shared.publications.rcu(|publications| {
            let mut publications = HashMap::clone(publications);
            publications.insert(path.to_owned(), publication.clone());
            publications
        });
    }

    /// Serves nothing at `path` any more.
    pub fn withdraw(&self, path: &str) {
        self.shared.publications.rcu(|publications| {
            let mut publications = HashMap::clone(publications);
            publications.remove(path);
            publications
        });
    }

    /// At most `max` events; waits up to `wait` for the first.
    pub fn events(&self, max: usize, wait: Duration) -> Vec<Event> {
        self.shared.events.drain(max, wait)
    }

    /// At most `max` requests that were traced, the oldest first; does not wait.
    pub fn traces(&self, max: usize) -> Vec<Record> {
        self.shared.spans.drain(max)
    }

    /// All counters.
    pub fn counters(&self) -> counters::Snapshot {
        let config = self.shared.state.load().config.clone();
        let dropped = self.shared.events.dropped();
        counters::Snapshot {
            memory_bytes: limits::resident(),
            memory_stage: self.shared.limits.memory_stage(),
            limited_most: self.shared.limits.met(),
            servers: config.servers(),
            dropped_spans: self.shared.spans.dropped(),
            ..(self.shared.counters).snapshot(dropped, config.access.lost())
        }
    }

    /// Opens the access log anew, after its file was moved away.
    pub fn reopen_access_log(&self) {
        self.shared.state.load().config.access.reopen();
    }

    /// Stops: accepts no more, lets requests end for up to `drain`, cuts what is left, joins all threads. Gives the
    /// counters as they were at the end. A second call does nothing more.
    pub fn stop(&self, drain: Duration, farewell: Farewell) -> counters::Snapshot {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
        let in_turn = farewell == Farewell::InTurn;
        self.shared.in_turn.store(in_turn, Ordering::Relaxed);
        // Where there is little time, all have their turn at once.
        let turns = if in_turn && drain > 2 * worker::ALL_TURNS {
            1
        } else {
            worker::TURNS
        };
        self.shared.turns_a_tick.store(turns, Ordering::Relaxed);
        self.shared.draining.store(true, Ordering::Relaxed);
        self.shared.announce();
        let mut threads =
            std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner));
        let deadline = Instant::now().checked_add(drain);
        while threads.iter().any(|thread| !thread.is_finished())
            && deadline.is_none_or(|deadline| Instant::now() < deadline)
        {
            thread::sleep(Duration::from_millis(5));
        }
        self.shared.stopping.store(true, Ordering::Relaxed);
        self.shared.announce();
        for thread in threads.drain(..) {
            // A worker that panicked has said so on the standard error; the others are joined all the same.
            let _ = thread.join();
        }
        self.shared.events.close();
        let counters = self.counters();
        self.shared.state.load().config.access.close();
        counters
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop(Duration::ZERO, Farewell::AtOnce);
    }
}

fn start_worker(
    shared: Arc<Shared>,
    index: usize,
    sockets: Vec<(Service, std::net::TcpListener)>,
) -> io::Result<JoinHandle<()>> {
    let (ready, is_ready) = mpsc::sync_channel(1);
    let thread = thread::Builder::new()
        .name(format!("mutualgate-{index}"))
        .spawn(move || {
            let runtime = Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .max_blocking_threads(4) // names of upstreams are looked up there
                .build_local(LocalOptions::default());
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(ready.send(Err(error))),
            };
            runtime.block_on(work(shared, index, sockets, ready));
            runtime.shutdown_timeout(Duration::from_millis(100));
        })?;
    is_ready
        .recv()
        .map_err(|_| io::Error::other("a worker ended before it began"))??;
    Ok(thread)
}

async fn work(
    shared: Arc<Shared>,
    index: usize,
    sockets: Vec<(Service, std::net::TcpListener)>,
    ready: mpsc::SyncSender<io::Result<()>>,
) {
    let changed = shared.changed[index].clone();
    let worker = Worker::new(shared);
    let mut listeners = Vec::new();
    for (service, socket) in sockets {
        match TcpListener::from_std(socket) {
            Ok(listener) => {
                listeners.push(tokio::task::spawn_local(listener::accept(
                    Rc::clone(&worker),
                    listener,
                    service,
                )));
            }
            Err(error) => return drop(ready.send(Err(error))),
        }
    }
    if ready.send(Ok(())).is_err() {
        return;
    }
    if index == 0 {
        tokio::task::spawn_local(crate::upstream::keep(Rc::clone(&worker)));
    }
    worker.watch(changed, listeners).await;
}
