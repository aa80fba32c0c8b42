//! Time as a value that is passed in.
//!
//! Budgets use the monotonic clock, claims use the wall clock, and tests use a clock of their own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A source of time.
pub trait Clock: Sync {
    /// Wall-clock time in whole seconds since 1970-01-01T00:00:00Z; negative before it.
    fn unix_time(&self) -> i64;

    /// Time since an arbitrary fixed point. Never goes backwards; only differences mean something.
    fn monotonic(&self) -> Duration;

    /// Waits for at least `duration`.
    fn sleep(&self, duration: Duration);
}

/// The clock of the machine.
#[derive(Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }
}

impl Clock for SystemClock {
    fn unix_time(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
        }
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// A clock that stands still until somebody sleeps, for unit tests.
#[cfg(test)]
pub(crate) mod fixed {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::Clock;

    /// Starts at a given Unix time; sleeping moves both clocks on and is recorded.
    #[derive(Debug)]
    pub(crate) struct FixedClock {
        start: i64,
        sleeps: Mutex<Vec<Duration>>,
    }

    impl FixedClock {
        pub(crate) fn at(start: i64) -> Self {
            Self { start, sleeps: Mutex::new(Vec::new()) }
        }

        pub(crate) fn sleeps(&self) -> Vec<Duration> {
            self.sleeps.lock().unwrap().clone()
        }
    }

    impl Clock for FixedClock {
        fn unix_time(&self) -> i64 {
            self.start + i64::try_from(self.monotonic().as_secs()).unwrap()
        }

        fn monotonic(&self) -> Duration {
            self.sleeps.lock().unwrap().iter().sum()
        }

        fn sleep(&self, duration: Duration) {
            self.sleeps.lock().unwrap().push(duration);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_is_after_2025_and_monotonic() {
        let clock = SystemClock::start();
        assert!(clock.unix_time() > 1_735_689_600);
        let before = clock.monotonic();
        clock.sleep(Duration::from_millis(1));
        assert!(clock.monotonic() > before);
    }
}
