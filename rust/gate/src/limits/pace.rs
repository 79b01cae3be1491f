//! Who sends or takes more slowly than is allowed. Read by the worker's clock, some times a second: no timers.
//!
//! A client that is waited for runs into debt, a millisecond for each millisecond; what it sends or takes earns that back
//! at the rate that is asked for. More than the grace of debt is too slow. What was earned is never saved up, so a fast
//! start does not pay for a slow end; and no debt grows while it is the gate or the service that lets wait.

use crate::worker::age;

/// How slow a client may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slowest {
    /// In bytes per second; 0 for as slow as it likes.
    pub(crate) body: u32,
    /// Likewise, for what it is sent.
    pub(crate) read: u32,
    /// Debt that it may have, in milliseconds.
    pub(crate) grace: u32,
}

/// One direction of a request.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    /// When it was last looked at and waited for, in the worker's milliseconds; 0 if it was not.
    at: u32,
    /// In milliseconds.
    debt: u32,
    /// Bytes since then.
    moved: u32,
}

impl Pace {
    /// Notes that `bytes` have come or were taken.
    pub(crate) fn moved(&mut self, bytes: usize) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.moved = self.moved.saturating_add(bytes);
    }

    /// Whether it is slower than `rate` bytes per second by more than `grace` milliseconds; `waits`: it is its turn now.
    pub(crate) fn is_too_slow(&mut self, now: u32, waits: bool, rate: u32, grace: u32) -> bool {
        if rate == 0 {
            return false;
        }
        if waits && self.at != 0 {
            self.debt = self.debt.saturating_add(age(self.at, now));
        }
        self.at = if waits { now } else { 0 };
        let earned = u64::from(std::mem::take(&mut self.moved)) * 1000 / u64::from(rate);
        self.debt = self
            .debt
            .saturating_sub(u32::try_from(earned).unwrap_or(u32::MAX));
        self.debt > grace
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u32 = 250;
    const RATE: u32 = 240;
    const GRACE: u32 = 10_000;

    /// After how many milliseconds one is too slow that moves `bytes` in each tick, and `first` at first.
    fn cut_after(first: usize, bytes: usize, waits: bool) -> Option<u32> {
        let mut pace = Pace::default();
        pace.moved(first);
        (1..10_000).map(|tick| tick * TICK).find(|now| {
            pace.moved(bytes);
            pace.is_too_slow(*now, waits, RATE, GRACE)
        })
    }

    #[test]
    fn a_drip_is_too_slow_after_the_grace() {
        let after = cut_after(0, 1, true).expect("cut");
        assert!((GRACE..GRACE + 1000).contains(&after), "{after}");
        assert!(cut_after(0, 0, true).is_some());
    }

    #[test]
    fn a_drip_is_too_slow_when_the_clock_begins_anew() {
        let mut pace = Pace::default();
        let mut is_too_slow = |now| pace.is_too_slow(now, true, RATE, GRACE);
        assert!(!is_too_slow(u32::MAX - 1) && is_too_slow(GRACE));
    }

    #[test]
    fn who_keeps_the_rate_is_not() {
        assert_eq!(cut_after(0, 60, true), None);
        assert_eq!(cut_after(0, 100_000, true), None);
    }

    #[test]
    fn a_fast_start_does_not_pay_for_a_slow_end() {
        assert!(cut_after(100_000_000, 1, true).is_some_and(|after| after < GRACE + 1000));
    }

    #[test]
    fn who_is_not_waited_for_is_never_too_slow() {
        assert_eq!(cut_after(0, 0, false), None);
    }
}
