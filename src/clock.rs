//! Time as a value that is passed in.
//!
//! Budgets use the monotonic clock, claims use the wall clock, and tests use a clock of their own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A source of time.
pub trait Clock: Send + Sync {
    /// Wall-clock time in whole seconds since 1970-01-01T00:00:00Z; negative before it.
    fn unix_time(&self) -> i64;

    /// The moment on the monotonic clock, which never goes backwards.
    fn now(&self) -> Instant;

    /// Waits for at least `duration`.
    fn sleep(&self, duration: Duration);
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn unix_time(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |s| -s),
        }
    }

    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep(&self, duration: Duration) {
        std::thread::sleep(duration);
    }
}

/// Unix time as RFC 3339 in UTC with whole seconds, e.g. `2026-11-22T04:00:00Z`.
pub fn rfc3339(unix_time: i64) -> String {
    OffsetDateTime::from_unix_timestamp(unix_time)
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        // Beyond the year 9999 the number itself is the best that can be said.
        .unwrap_or_else(|| unix_time.to_string())
}

/// Says that the clock is not set, when it stands where no clock can be right: before 2020. A machine without a battery
/// starts in 1970, and what follows from that would be blamed on others.
pub fn not_set(unix_time: i64) -> Option<String> {
    const IN_2020: i64 = 1_577_836_800;
    (unix_time < IN_2020).then(|| format!("this machine's clock says {}: it is not set", rfc3339(unix_time)))
}

/// The cure for a clock that is not set.
pub const SET_IT: &str = "Set this machine's clock (NTP) and run it again.";

/// A moment of RFC 3339 as Unix time; a fraction of a second is dropped.
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    OffsetDateTime::parse(text, &Rfc3339).ok().map(OffsetDateTime::unix_timestamp)
}

/// A clock that stands still until somebody sleeps, for unit tests.
#[cfg(test)]
pub(crate) mod fixed {
    use std::sync::Mutex;
    use std::time::{Duration, Instant};

    use super::Clock;

    /// A clock that starts at a given Unix time; sleeping moves both clocks on and is recorded.
    #[derive(Debug)]
    pub(crate) struct FixedClock {
        start: i64,
        started: Instant,
        sleeps: Mutex<Vec<Duration>>,
        slept: Mutex<Duration>,
    }

    impl FixedClock {
        pub(crate) fn at(start: i64) -> Self {
            Self { start, started: Instant::now(), sleeps: Mutex::default(), slept: Mutex::default() }
        }

        pub(crate) fn sleeps(&self) -> Vec<Duration> {
            self.sleeps.lock().unwrap().clone()
        }
    }

    impl Clock for FixedClock {
        fn unix_time(&self) -> i64 {
            self.start + i64::try_from(self.now().duration_since(self.started).as_secs()).unwrap()
        }

        fn now(&self) -> Instant {
            self.started + *self.slept.lock().unwrap()
        }

        fn sleep(&self, duration: Duration) {
            self.sleeps.lock().unwrap().push(duration);
            *self.slept.lock().unwrap() += duration;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_is_utc_with_a_z() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(1_795_320_000), "2026-11-22T04:00:00Z");
        assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
        assert_eq!(rfc3339(i64::MAX), i64::MAX.to_string());
        for text in ["2026-11-22T04:00:00Z", "2026-11-22T06:30:00.9+02:30", "2026-11-21t23:00:00-05:00"] {
            assert_eq!(parse_rfc3339(text), Some(1_795_320_000), "{text}");
        }
        for text in ["", "now", "2026-11-22", "2026-13-22T04:00:00Z", "2026-11-22T04:00:00"] {
            assert_eq!(parse_rfc3339(text), None, "{text}");
        }
    }

    #[test]
    fn the_system_clock_is_after_2025_and_monotonic() {
        let clock = SystemClock;
        assert!(clock.unix_time() > 1_735_689_600);
        let before = clock.now();
        clock.sleep(Duration::from_millis(1));
        assert!(clock.now() > before);
    }
}
