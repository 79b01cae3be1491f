//! Starting, feeding and stopping the data plane from Python.

use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::gate::{Farewell, Gate as Running, Listening, Publication, Service, Settings};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde::Deserialize;

use crate::{engine_error, snapshot::Snapshot};

/// The data plane: checked settings and a snapshot before `start`, threads that serve after it. What it counted and what
/// happened at the end can still be read once it was stopped.
#[pyclass(frozen, module = "mutualgate._engine")]
pub struct Gate {
    state: Mutex<State>,
}

enum State {
    Prepared(Box<Settings>, Arc<judge::Snapshot>),
    Running(Arc<Running>),
    /// Who is there is still served, and judged by what changes.
    Stopping(Arc<Running>),
    Stopped(Arc<Running>),
}

/// MessagePack: a map without entries.
const EMPTY_MAP: u8 = 0x80;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    path: String,
    content_type: String,
    #[serde(with = "serde_bytes")]
    body: Vec<u8>,
    expires_at: Option<i64>,
}

#[pymethods]
impl Gate {
    #[new]
    fn new(settings: &[u8], snapshot: &Snapshot) -> PyResult<Self> {
        let settings = Settings::from_msgpack(settings).map_err(engine_error)?;
        Ok(Gate {
            state: Mutex::new(State::Prepared(Box::new(settings), snapshot.inner.clone())),
        })
    }

    /// Opens the listeners; the addresses of TLS, with the ports that 0 became. Sockets that listen already are given as
    /// their service, the address that the settings name, and a descriptor, which is the gate's from now on.
    #[pyo3(signature = (given = Vec::new()))]
    fn start(&self, py: Python<'_>, given: Vec<(String, String, i32)>) -> PyResult<Vec<String>> {
        let given = given
            .into_iter()
            .map(listening)
            .collect::<PyResult<Vec<Listening>>>()?;
        py.detach(|| {
            let mut state = self.lock();
            let State::Prepared(settings, snapshot) = &*state else {
                return Err(engine_error("the gate was started before"));
            };
            let running = Running::start((**settings).clone(), snapshot.clone(), given)
                .map_err(engine_error)?;
            let addresses = running
                .addresses()
                .iter()
                .map(ToString::to_string)
                .collect();
            *state = State::Running(Arc::new(running));
            Ok(addresses)
        })
    }

    /// The sockets that it accepts from, as `start` takes them; the descriptors are the caller's.
    fn listening(&self) -> PyResult<Vec<(String, String, i32)>> {
        let listening = self.running()?.listening().map_err(engine_error)?;
        let row = |one: Listening| {
            (
                name(one.service).to_owned(),
                one.wanted.to_string(),
                one.socket.into_raw_fd(),
            )
        };
        Ok(listening.into_iter().map(row).collect())
    }

    /// Puts a snapshot in force; its epoch. Also while it stops: who is still there is judged by it.
    fn swap(&self, py: Python<'_>, snapshot: &Snapshot) -> PyResult<u64> {
        let running = match &*self.lock() {
            State::Running(running) | State::Stopping(running) => running.clone(),
            State::Prepared(..) | State::Stopped(_) => {
                return Err(engine_error("the gate does not run"));
            }
        };
        py.detach(|| running.swap(snapshot.inner.clone()))
            .map_err(engine_error)
    }

    /// Puts settings and a snapshot in force together; the epoch.
    fn configure(&self, py: Python<'_>, settings: &[u8], snapshot: &Snapshot) -> PyResult<u64> {
        let settings = Settings::from_msgpack(settings).map_err(engine_error)?;
        let running = self.running()?;
        py.detach(|| running.configure(settings, snapshot.inner.clone()))
            .map_err(engine_error)
    }

    /// Puts files in place at the plain listener: MessagePack, a list of maps.
    fn publish(&self, py: Python<'_>, files: &[u8]) -> PyResult<()> {
        let files: Vec<File> = rmp_serde::from_slice(files)
            .map_err(|problem| engine_error(format!("files: {problem}")))?;
        let running = self.running()?;
        py.detach(|| {
            for File {
                path,
                content_type,
                body,
                expires_at,
            } in files
            {
                running.publish(
                    &path,
                    Publication {
                        content_type,
                        bytes: body.into(),
                        expires_at,
                    },
                );
            }
        });
        Ok(())
    }

    /// At most `max` events, after a wait for the first: MessagePack, a list of maps.
    fn events<'py>(
        &self,
        py: Python<'py>,
        max: usize,
        wait_seconds: f64,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let wait = seconds(wait_seconds)?;
        let running = self.started()?;
        let events = py.detach(|| ::gate::event::encode(&running.events(max, wait)));
        Ok(PyBytes::new(py, &events))
    }

    /// At most `max` requests that were traced: MessagePack, a list of maps. Does not wait.
    fn traces<'py>(&self, py: Python<'py>, max: usize) -> PyResult<Bound<'py, PyBytes>> {
        let running = self.started()?;
        let records = py.detach(|| ::gate::trace::encode(&running.traces(max)));
        Ok(PyBytes::new(py, &records))
    }

    /// All counters: MessagePack, a map.
    fn counters<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let running = self.started()?;
        let counters = py
            .detach(|| rmp_serde::to_vec_named(&running.counters()))
            .map_err(engine_error)?;
        Ok(PyBytes::new(py, &counters))
    }

    /// Moves on to a new file after the access log was moved away.
    fn reopen_access_log(&self, py: Python<'_>) -> PyResult<()> {
        let running = self.running()?;
        py.detach(|| running.reopen_access_log());
        Ok(())
    }

    /// Stops and joins all threads; the counters at the end. A gate that does not run has nothing to stop. `in_turn`: who
    /// idles gets a moment for one more request, since another process accepts.
    #[pyo3(signature = (drain_seconds, in_turn = false))]
    fn stop<'py>(
        &self,
        py: Python<'py>,
        drain_seconds: f64,
        in_turn: bool,
    ) -> PyResult<Bound<'py, PyBytes>> {
        let farewell = if in_turn {
            Farewell::InTurn
        } else {
            Farewell::AtOnce
        };
        let drain = seconds(drain_seconds)?;
        let Ok(running) = self.started() else {
            return Ok(PyBytes::new(py, &[EMPTY_MAP]));
        };
        *self.lock() = State::Stopping(running.clone());
        let counters = py.detach(|| {
            let counters = running.stop(drain, farewell);
            *self.lock() = State::Stopped(running);
            rmp_serde::to_vec_named(&counters)
        });
        let counters = counters.map_err(engine_error)?;
        Ok(PyBytes::new(py, &counters))
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The gate that runs, for whoever wants to change it. Without the lock: a call that waits must not keep `stop` out.
    fn running(&self) -> PyResult<Arc<Running>> {
        match &*self.lock() {
            State::Running(running) => Ok(running.clone()),
            State::Prepared(..) | State::Stopping(_) | State::Stopped(_) => {
                Err(engine_error("the gate does not run"))
            }
        }
    }

    /// The gate that runs or ran, for whoever wants to read what it has to tell.
    fn started(&self) -> PyResult<Arc<Running>> {
        match &*self.lock() {
            State::Running(running) | State::Stopping(running) | State::Stopped(running) => {
                Ok(running.clone())
            }
            State::Prepared(..) => Err(engine_error("the gate was not started")),
        }
    }
}

fn name(service: Service) -> &'static str {
    match service {
        Service::Tls => "tls",
        Service::Plain => "plain",
    }
}

fn listening((service, wanted, descriptor): (String, String, i32)) -> PyResult<Listening> {
    if descriptor <= 2 {
        return Err(engine_error(format!(
            "{descriptor} is no descriptor of a socket"
        )));
    }
    // SAFETY: the caller gives the descriptor away (`_engine.pyi`), so it is open and nobody else closes it; `Socket`
    // needs no more of it than that.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(Listening {
        service: match service.as_str() {
            "tls" => Service::Tls,
            "plain" => Service::Plain,
            other => return Err(engine_error(format!("there is no service {other:?}"))),
        },
        wanted: wanted
            .parse()
            .map_err(|problem| engine_error(format!("{wanted:?}: {problem}")))?,
        socket: socket.into(),
    })
}

fn seconds(given: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(given)
        .map_err(|problem| engine_error(format!("{given} seconds: {problem}")))
}
