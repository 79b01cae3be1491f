//! One worker: a thread with its own runtime, connections and upstream pools. Nothing in it is shared, so nothing is locked.
//!
//! Knows when to look again at what is open: on every change of the state, and by the clock. A request sets no timer
//! for the client's side; the clock visits the connections four times a second instead.

use std::{
    cell::{Cell, RefCell},
    rc::{Rc, Weak},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use arc_swap::Cache;
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    connection::Connection,
    counters,
    limits::{self, Held},
    random::RequestIds,
    state::{Shared, State},
    upstream::Pools,
};

/// How often the clock visits the connections: timeouts are this coarse.
const TICK: Duration = Duration::from_millis(250);

/// In how many turns, one a tick, connections leave for another process: they all come again there, and a handshake costs
/// as much as many requests.
pub(crate) const TURNS: u8 = 8;

/// How long that takes.
pub(crate) const ALL_TURNS: Duration = TICK.saturating_mul(TURNS as u32);

/// How many connections are judged again before others get a turn.
const SWEEP: usize = 64;

type StateCache = Cache<Arc<arc_swap::ArcSwap<State>>, Arc<State>>;

/// Milliseconds since the start of a worker, in 32 bits: after 49 days it begins anew. 0 and 1 stand for something else.
fn clock(elapsed: Duration) -> u32 {
    (elapsed.as_millis() as u32).max(2)
}

/// How long ago `since` was at `now`, in milliseconds, both by the worker's clock.
pub(crate) fn age(since: u32, now: u32) -> u32 {
    now.wrapping_sub(since)
}

/// What all tasks of a worker share.
pub(crate) struct Worker {
    pub(crate) shared: Arc<Shared>,
    pub(crate) pools: Pools,
    pub(crate) request_ids: RequestIds,
    state: RefCell<StateCache>,
    connections: RefCell<Vec<Weak<Connection>>>,
    /// Open connections of this worker, also those whose handshake is not done.
    open: Cell<usize>,
    idle: Notify,
    started: Instant,
    now: Cell<u32>,
    /// How many of [`TURNS`] have come.
    turns: Cell<u8>,
    /// That of the next connection.
    turn: Cell<u8>,
}

impl Worker {
    pub(crate) fn new(shared: Arc<Shared>) -> Rc<Worker> {
        Rc::new(Worker {
            state: RefCell::new(Cache::new(shared.state.clone())),
            shared,
            pools: Pools::default(),
            request_ids: RequestIds::new(),
            connections: RefCell::default(),
            open: Cell::new(0),
            idle: Notify::new(),
            started: Instant::now(),
            now: Cell::new(1),
            turns: Cell::new(0),
            turn: Cell::new(0),
        })
    }

    /// The state in force.
    pub(crate) fn state(&self) -> Arc<State> {
        self.state.borrow_mut().load().clone()
    }

    /// What the worker's clock says, as coarse as [`TICK`]; never 0. How long ago something was says [`age`].
    pub(crate) fn now(&self) -> u32 {
        self.now.get()
    }

    /// Whether connections have to end, each in its turn, with their current request.
    pub(crate) fn draining(&self) -> bool {
        self.shared.draining.load(Ordering::Relaxed)
    }

    /// Whether connections that idle may bring one more request before they end.
    pub(crate) fn drains_in_turn(&self) -> bool {
        self.shared.in_turn.load(Ordering::Relaxed)
    }

    /// Whether `turn` has come.
    pub(crate) fn has_come(&self, turn: u8) -> bool {
        turn < self.turns.get()
    }

    fn next_turn(&self) {
        let more = self.shared.turns_a_tick.load(Ordering::Relaxed);
        self.turns.set(TURNS.min(self.turns.get() + more));
    }

    /// Enters a connection whose handshake is done; it leaves when it is dropped.
    pub(crate) fn register(&self, connection: &Rc<Connection>) {
        let mut connections = self.connections.borrow_mut();
        connection.slot.set(connections.len());
        connection.turn.set(self.turn.get());
        self.turn.set((self.turn.get() + 1) % TURNS);
        connections.push(Rc::downgrade(connection));
    }

    /// Takes out the connection in `slot`.
    pub(crate) fn forget(&self, slot: usize) {
        let mut connections = self.connections.borrow_mut();
        connections.swap_remove(slot);
        if let Some(moved) = connections.get(slot).and_then(Weak::upgrade) {
            moved.slot.set(slot);
        }
    }

    /// Counts an accepted connection until the guard is dropped; `None` if there are too many.
    pub(crate) fn admit(self: &Rc<Self>) -> Option<Open> {
        let limit = self.state().config.settings.limits.max_connections;
        let before = self.shared.connections.fetch_add(1, Ordering::Relaxed);
        self.open.set(self.open.get() + 1);
        let open = Open {
            worker: self.clone(),
            _counted: self.shared.counters.open(),
            held: None,
        };
        (before < limit).then_some(open)
    }

    /// Visits the connections until the gate stops, or has drained and the last one is closed.
    pub(crate) async fn watch(
        self: Rc<Self>,
        changed: Arc<Notify>,
        listeners: Vec<JoinHandle<()>>,
    ) {
        let mut seen = self.state();
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut drained = false;
        loop {
            tokio::select! {
                biased;
                () = changed.notified() => {}
                () = self.idle.notified() => {}
                _ = ticks.tick() => {
                    if drained {
                        self.next_turn();
                    }
                    self.now.set(clock(self.started.elapsed()));
                    let timeouts = limits::tick(&self, &self.state());
                    self.visit(|connection| connection.check_clock(self.now(), timeouts)).await;
                    self.pools.expire(self.now());
                }
            }
            if self.shared.stopping.load(Ordering::Relaxed) {
                return;
            }
            if self.draining() && !drained {
                drained = true;
                listeners.iter().for_each(JoinHandle::abort);
                self.next_turn();
                if self.drains_in_turn() {
                    self.visit(|connection| connection.drain_in_turn()).await;
                } else {
                    self.visit(|connection| connection.drain()).await;
                }
            }
            if drained && self.open.get() == 0 {
                return;
            }
            let state = self.state();
            if !Arc::ptr_eq(&state, &seen) {
                self.visit(|connection| connection.check_admission(&state))
                    .await;
                seen = state;
            }
        }
    }

    /// Of those connections for which `time` gives one, the `most` (of how many there are) with the longest.
    pub(crate) fn longest(
        &self,
        most: impl Fn(usize) -> usize,
        time: impl Fn(&Connection) -> Option<u32>,
    ) -> Vec<Rc<Connection>> {
        let mut found: Vec<(u32, Rc<Connection>)> = (self.connections.borrow().iter())
            .filter_map(Weak::upgrade)
            .filter_map(|connection| Some((time(&connection)?, connection)))
            .collect();
        found.sort_unstable_by_key(|(time, _)| std::cmp::Reverse(*time));
        found.truncate(most(found.len()));
        found
            .into_iter()
            .map(|(_, connection)| connection)
            .collect()
    }

    /// Calls `look` for every connection, a few at a time. One that moves meanwhile is seen on its next request at the latest.
    async fn visit(&self, look: impl Fn(&Rc<Connection>)) {
        let all: Vec<Weak<Connection>> = self.connections.borrow().clone();
        for some in all.chunks(SWEEP) {
            some.iter()
                .filter_map(Weak::upgrade)
                .for_each(|connection| look(&connection));
            tokio::task::yield_now().await;
        }
    }
}

/// An accepted connection, counted.
pub(crate) struct Open {
    worker: Rc<Worker>,
    _counted: counters::Open,
    /// What it holds of the limits of its address.
    pub(crate) held: Option<Box<Held>>,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker
            .shared
            .connections
            .fetch_sub(1, Ordering::Relaxed);
        self.worker.open.set(self.worker.open.get() - 1);
        if self.worker.open.get() == 0 {
            self.worker.idle.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_goes_on_after_49_days() {
        let round = Duration::from_millis(1 << 32);
        let second = Duration::from_secs(1);
        for began in [second, round - second, round, 3 * round - second] {
            let passed = age(clock(began), clock(began + 10 * second));
            assert!((9_998..=10_000).contains(&passed), "{began:?}: {passed}");
        }
        // What stands for "not" and "just now" is no time of the clock.
        assert!(clock(Duration::ZERO) > 1 && clock(round) > 1);
    }
}
