//! Building, changing and asking a snapshot from Python.

use std::{
    collections::HashSet,
    sync::{Arc, mpsc},
    thread,
};

use judge::{compare::Seen, record::Batch};
use pyo3::{
    prelude::*,
    pybacked::{PyBackedBytes, PyBackedStr},
};

use crate::{engine_error, trim, verdict::Verdict};

/// All that the judge reads, at one epoch.
#[pyclass(frozen, module = "mutualgate._engine")]
pub struct Snapshot {
    pub inner: Arc<judge::Snapshot>,
}

/// A chain, the SHA-256 of the key that is known to have signed its leaf, the host and the path.
type Shown = (
    PyBackedBytes,
    Option<PyBackedBytes>,
    Option<PyBackedStr>,
    PyBackedStr,
);

/// So many chains are worth the start of another thread.
const WORTH_A_THREAD: usize = 100;

/// Bytes of records after which free memory is looked for, all of which is to be had anew from the system then.
const WORTH_GIVING_BACK: usize = 4 << 20;

/// Positions with the verdicts before and after, and names of clients.
type Compared = (Vec<(usize, (Verdict, Verdict))>, HashSet<String>);

#[pymethods]
impl Snapshot {
    /// Builds one of batches of records, read one after the other, so that a large one never lies in memory twice.
    #[staticmethod]
    fn build(py: Python<'_>, batches: &Bound<'_, PyAny>) -> PyResult<Self> {
        // A thread of its own takes in what this one reads: most of the time goes by there and in the database.
        let (batches_in, batches_out) = mpsc::sync_channel::<Vec<u8>>(2);
        let taking = thread::spawn(move || take_in(&batches_out));
        let (mut failed, mut read) = (None, 0);
        for batch in batches.try_iter()? {
            let bytes = match batch.and_then(|batch| batch.extract::<Vec<u8>>()) {
                Ok(bytes) => bytes,
                Err(error) => {
                    failed = Some(error);
                    break;
                }
            };
            read += bytes.len();
            // Its end is told below.
            if py.detach(|| batches_in.send(bytes)).is_err() {
                break;
            }
        }
        drop(batches_in);
        let taken = py.detach(|| taking.join());
        if let Some(error) = failed {
            return Err(error);
        }
        let snapshot = taken.map_err(|_| engine_error("records: the judge's thread died"))??;
        // What was made on the way is free, and lies between what stays.
        if read > WORTH_GIVING_BACK {
            py.detach(trim);
        }
        Ok(Snapshot {
            inner: Arc::new(snapshot),
        })
    }

    /// The next snapshot.
    fn apply(&self, py: Python<'_>, delta: Vec<u8>) -> PyResult<Self> {
        let next = py.detach(|| apply(&self.inner, &delta))?;
        Ok(Snapshot {
            inner: Arc::new(next),
        })
    }

    #[getter]
    fn epoch(&self) -> u64 {
        self.inner.epoch()
    }

    /// What of partners' records cannot be used and therefore vouches for nobody, a sentence each.
    fn problems(&self, py: Python<'_>) -> Vec<String> {
        py.detach(|| self.inner.problems())
    }

    /// Judges a chain (DER, leaf first) at a time (Unix seconds).
    fn decide(&self, py: Python<'_>, chain: Vec<Vec<u8>>, at: i64) -> Verdict {
        Verdict::of(py.detach(|| judge::decide(&slices(&chain), at, &self.inner)))
    }

    /// Judges a request of the holder of `chain`: the very steps that the gate takes.
    fn authorize(
        &self,
        py: Python<'_>,
        chain: Vec<Vec<u8>>,
        at: i64,
        host: &str,
        path: &str,
    ) -> PyResult<Verdict> {
        py.detach(|| {
            let site = self
                .inner
                .site_of(host)
                .ok_or_else(|| engine_error(format!("no site serves {host:?}")))?;
            let route = site
                .route(path)
                .map_err(|problem| engine_error(format!("path {path:?}: {problem}")))?;
            let route = route.ok_or_else(|| {
                engine_error(format!("site {:?} has no route for {path:?}", site.name()))
            })?;
            let verdict = judge::decide(&slices(&chain), at, &self.inner);
            Ok(Verdict::on_route(judge::authorize(&verdict, route), route))
        })
    }

    /// Judges chains that were seen by this snapshot and by `after`: which of them otherwise, and as which clients the
    /// rest comes in.
    fn compare(&self, py: Python<'_>, after: &Snapshot, seen: Vec<Shown>, at: i64) -> Compared {
        let compared = py.detach(|| {
            let seen: Vec<_> = seen.iter().map(as_seen).collect();
            let cores = thread::available_parallelism().map_or(1, Into::into);
            let threads = cores.min(seen.len().div_ceil(WORTH_A_THREAD));
            judge::compare(&self.inner, &after.inner, &seen, at, threads)
        });
        let otherwise = compared.otherwise.into_iter();
        let otherwise = otherwise.map(|(at, verdicts)| (at, verdicts.map(Verdict::of).into()));
        let unchanged = compared.unchanged.iter().map(|name| name.to_string());
        (otherwise.collect(), unchanged.collect())
    }
}

fn as_seen((chain, signer, host, path): &Shown) -> Seen<'_> {
    Seen {
        chain,
        signer: signer.as_deref().and_then(|key| key.try_into().ok()),
        host: host.as_deref(),
        path,
    }
}

fn apply(snapshot: &judge::Snapshot, bytes: &[u8]) -> PyResult<judge::Snapshot> {
    snapshot.apply(decode(bytes)?).map_err(engine_error)
}

fn take_in(batches: &mpsc::Receiver<Vec<u8>>) -> PyResult<judge::Snapshot> {
    let mut builder = judge::Builder::default();
    for bytes in batches {
        builder.add(decode(&bytes)?).map_err(engine_error)?;
    }
    builder.finish().map_err(engine_error)
}

fn decode(bytes: &[u8]) -> PyResult<Batch> {
    rmp_serde::from_slice(bytes).map_err(|problem| engine_error(format!("records: {problem}")))
}

fn slices(chain: &[Vec<u8>]) -> Vec<&[u8]> {
    chain.iter().map(Vec::as_slice).collect()
}
