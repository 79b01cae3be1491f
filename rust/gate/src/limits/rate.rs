//! So many in a second, and so many at once: the generic cell rate algorithm (ITU-T I.371), in one number.
//!
//! The number is the moment at which all that was taken will have been earned. It moves on by itself as time passes:
//! nothing fills buckets, and one that lies in the past is as good as new.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The longest that a burst may take to be earned again: more is a slip.
const DAY_NS: f64 = 86_400e9;

/// A rate with its burst.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate {
    /// In which one is earned.
    every_ns: u64,
    /// In which the burst is earned.
    burst_ns: u64,
}

impl Rate {
    /// `per_second`, of which `burst` may come at once; `None` for what cannot be.
    pub(crate) fn new(per_second: f64, burst: u32) -> Option<Rate> {
        if !(0.0001..=1_000_000.0).contains(&per_second) || burst == 0 {
            return None;
        }
        let every_ns = 1e9 / per_second;
        let burst_ns = every_ns * f64::from(burst);
        // Both are positive and fit: a burst is less than a day.
        (burst_ns <= DAY_NS).then_some(Rate {
            every_ns: every_ns as u64,
            burst_ns: burst_ns as u64,
        })
    }

    /// Takes one at `now`, or says in how many nanoseconds there will be one. What is refused takes nothing.
    pub(crate) fn take(self, spent_until: &AtomicU64, now: u64) -> Result<(), u64> {
        let mut before = spent_until.load(Relaxed);
        loop {
            let after = before.max(now) + self.every_ns;
            let Some(too_early) = (after - now).checked_sub(self.burst_ns + 1) else {
                match spent_until.compare_exchange_weak(before, after, Relaxed, Relaxed) {
                    Ok(_) => return Ok(()),
                    Err(changed) => before = changed,
                }
                continue;
            };
            return Err(too_early + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    #[test]
    fn a_burst_at_once_and_then_the_rate() {
        let (rate, spent) = (Rate::new(10.0, 3).unwrap(), AtomicU64::new(0));
        let now = 5_000 * MS;
        for _ in 0..3 {
            assert_eq!(rate.take(&spent, now), Ok(()));
        }
        assert_eq!(rate.take(&spent, now), Err(100 * MS));
        assert_eq!(rate.take(&spent, now + 40 * MS), Err(60 * MS));
        assert_eq!(rate.take(&spent, now + 100 * MS), Ok(()));
        assert_eq!(rate.take(&spent, now + 100 * MS), Err(100 * MS));
        // After a long rest there is a burst again, and no more.
        let later = now + 3_600_000 * MS;
        let taken = (0..10).filter(|_| rate.take(&spent, later).is_ok()).count();
        assert_eq!(taken, 3);
    }

    #[test]
    fn many_at_once_take_no_more_than_there_is() {
        let (rate, spent) = (Rate::new(1.0, 100).unwrap(), AtomicU64::new(0));
        let taken = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..100 {
                        if rate.take(&spent, 1).is_ok() {
                            taken.fetch_add(1, Relaxed);
                        }
                    }
                });
            }
        });
        assert_eq!(taken.load(Relaxed), 100);
    }

    #[test]
    fn what_is_no_rate() {
        for (per_second, burst) in [
            (0.0, 1),
            (-1.0, 1),
            (f64::NAN, 1),
            (1e9, 1),
            (1.0, 0),
            (0.001, 1000),
        ] {
            assert_eq!(Rate::new(per_second, burst), None, "{per_second} {burst}");
        }
    }
}
