//! A limit on the time that goes into something that is worth less than an answer in time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The part of the time that may be spent in the long run.
const PART: u32 = 20;

/// The time that may be spent at once.
const BURST: Duration = Duration::from_secs(2);

/// The number of times in a second. Where it is cheap, time alone would let every hundredth answer wait for it and more.
const A_SECOND: u32 = 10;

/// The time that was spent, less what has been earned since.
#[derive(Debug, Default)]
pub struct Budget(Mutex<Spent>);

#[derive(Debug, Default)]
struct Spent {
    time: Duration,
    at: Option<Instant>,
    /// The beginning of the present second, and how often it was done in it.
    second: Option<Instant>,
    count: u32,
}

impl Budget {
    /// Does something if there is time for it. How long it takes is known afterwards only, and differs from machine to
    /// machine: so a count would be no limit.
    pub fn spend<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let begun = Instant::now();
        if !self.lock().has_some(begun) {
            return None;
        }
        let outcome = act();
        let took = begun.elapsed();
        let mut spent = self.lock();
        spent.time = spent.time.saturating_add(took);
        Some(outcome)
    }

    /// Tells whether there seems to be time, so that nothing need be prepared in vain.
    #[cfg(feature = "service")]
    pub fn has_some(&self) -> bool {
        let spent = self.lock();
        spent.time < BURST && (spent.count < A_SECOND || spent.is_new_second(Instant::now()))
    }

    fn lock(&self) -> MutexGuard<'_, Spent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Spent {
    fn is_new_second(&self, now: Instant) -> bool {
        self.second.is_none_or(|second| now.saturating_duration_since(second) >= Duration::from_secs(1))
    }

    fn has_some(&mut self, now: Instant) -> bool {
        let earned =
            self.at.replace(now).map_or(Duration::ZERO, |at| now.saturating_duration_since(at) / PART);
        self.time = self.time.saturating_sub(earned);
        if self.is_new_second(now) {
            (self.second, self.count) = (Some(now), 0);
        }
        let has_some = self.time < BURST && self.count < A_SECOND;
        self.count += u32::from(has_some);
        has_some
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_slow_is_done_seldom() {
        let start = Instant::now();
        for (cost, expected) in [(1, 600), (10, 500), (200, 25), (5_000, 2)] {
            let mut spent = Spent::default();
            // A minute, in which somebody asks every ten milliseconds.
            let mut done = 0;
            for moment in 0..6_000 {
                if spent.has_some(start + Duration::from_millis(moment * 10)) {
                    spent.time += Duration::from_millis(cost);
                    done += 1;
                }
            }
            assert!((expected - 2..=expected + 2).contains(&done), "{cost}: {done}");
        }
    }

    #[test]
    fn what_is_fast_is_done_so_often_in_a_second() {
        let budget = Budget::default();
        let done = (0..50).filter_map(|_| budget.spend(|| ())).count();
        assert!((10..=20).contains(&done), "{done}");
    }
}
