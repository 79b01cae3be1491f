//! What the gate does when its memory, or the number of its connections, comes near what it may have: it gives up the
//! least first, and it stays up.
//!
//! | stage | from | what happens |
//! | --- | --- | --- |
//! | tight | 80 % of the memory, or 90 % of the connections | idle connections are closed, the oldest first; who is not known gets less time |
//! | closed | 90 % of the memory | and no new connection is taken; who has kept us waiting longest is cut |
//! | shedding | 95 % of the memory | and requests are answered with 503 |
//!
//! A stage ends 5 % below where it begins, so that it does not flicker.

use std::{
    fs,
    sync::{
        OnceLock,
        atomic::{AtomicU8, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use super::pace::Slowest;
use crate::state::TimeoutsMs;

/// How often memory is measured, in milliseconds, whichever worker does it.
const LOOK_MS: u64 = 200;

/// How often memory that is free is given back to the system while it is short, in milliseconds: it takes a while.
const TRIM_MS: u64 = 1_000;

/// The time that one has to shake hands while there is pressure.
pub(super) const HURRY: Duration = Duration::from_secs(2);

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Calm = 0,
    Tight = 1,
    Closed = 2,
    Shedding = 3,
}

impl Stage {
    fn of(number: u8) -> Stage {
        match number {
            0 => Stage::Calm,
            1 => Stage::Tight,
            2 => Stage::Closed,
            _ => Stage::Shedding,
        }
    }

    /// Where it begins, in percent of the memory.
    fn begins(self) -> u64 {
        match self {
            Stage::Calm => 0,
            Stage::Tight => 80,
            Stage::Closed => 90,
            Stage::Shedding => 95,
        }
    }

    /// The stage after this one with `used` of `limit`.
    fn next(self, used: u64, limit: u64) -> Stage {
        let percent = used.saturating_mul(100) / limit.max(1);
        [Stage::Shedding, Stage::Closed, Stage::Tight]
            .into_iter()
            .find(|stage| {
                let slack = if *stage <= self { 5 } else { 0 };
                percent >= stage.begins() - slack
            })
            .unwrap_or(Stage::Calm)
    }
}

/// The pressure on the gate.
#[derive(Debug, Default)]
pub(crate) struct Pressure {
    stage: AtomicU8,
    looked: AtomicU64,
    trimmed: AtomicU64,
}

impl Pressure {
    /// That of memory.
    pub(crate) fn stage(&self) -> Stage {
        Stage::of(self.stage.load(Relaxed))
    }

    /// Measures, if it is time to, at `now` in milliseconds since the start.
    pub(crate) fn look(&self, now: u64, limit: Option<u64>) {
        let Some(limit) = limit else {
            self.stage.store(0, Relaxed);
            return;
        };
        if !is_time(&self.looked, now, LOOK_MS) {
            return;
        }
        let Some(used) = resident() else { return };
        let mut stage = self.stage().next(used, limit);
        if stage > Stage::Calm && is_time(&self.trimmed, now, TRIM_MS) {
            if let Some(trim) = TRIM.get() {
                trim();
            }
            stage = self.stage().next(resident().unwrap_or(used), limit);
        }
        self.stage.store(stage as u8, Relaxed);
    }
}

/// Whether `every` milliseconds have passed since this was said last; to one thread only.
fn is_time(last: &AtomicU64, now: u64, every: u64) -> bool {
    let before = last.load(Relaxed);
    (before == 0 || now.saturating_sub(before) >= every)
        && (last.compare_exchange(before, now.max(1), Relaxed, Relaxed)).is_ok()
}

static TRIM: OnceLock<fn()> = OnceLock::new();

/// Has `trim` called while memory is short: it gives back to the system what the allocator keeps. Asked for once.
pub fn give_back_by(trim: fn()) {
    let _ = TRIM.set(trim);
}

/// Bytes of this process that are in memory, by the system's word (proc(5)).
pub(crate) fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// The times that the clock gives: less under pressure.
pub(super) fn hurried(times: TimeoutsMs) -> TimeoutsMs {
    TimeoutsMs {
        header: times.header.min(2_000),
        stall: times.stall.min(10_000),
        slowest: Slowest {
            grace: times.slowest.grace.min(5_000),
            ..times.slowest
        },
        ..times
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_come_with_memory_and_go_below_where_they_came() {
        let mut stage = Stage::Calm;
        let mut at = |used| {
            stage = stage.next(used, 1000);
            stage
        };
        assert_eq!(at(799), Stage::Calm);
        assert_eq!(at(800), Stage::Tight);
        assert_eq!(at(760), Stage::Tight);
        assert_eq!(at(749), Stage::Calm);
        assert_eq!(at(2000), Stage::Shedding);
        assert_eq!(at(905), Stage::Shedding);
        assert_eq!(at(899), Stage::Closed);
        assert_eq!(at(850), Stage::Closed);
        assert_eq!(at(845), Stage::Tight);
        assert_eq!(at(0), Stage::Calm);
    }

    #[test]
    fn memory_can_be_measured_here() {
        assert!(resident().is_some_and(|bytes| bytes > 1 << 20));
    }

    #[test]
    fn without_a_limit_there_is_no_pressure() {
        let pressure = Pressure::default();
        pressure.look(1, Some(1));
        assert_eq!(pressure.stage(), Stage::Shedding);
        pressure.look(2, None);
        assert_eq!(pressure.stage(), Stage::Calm);
    }

    #[test]
    fn one_thread_looks_at_a_time() {
        let last = AtomicU64::new(0);
        assert!(is_time(&last, 5, 200) && !is_time(&last, 204, 200) && is_time(&last, 205, 200));
    }
}
