//! The moment when something has to be over.
//!
//! One absolute moment is passed down to each call, and from there to each read and write of a socket. A duration would
//! have to be counted down at every step, and a step that forgets it starts the time anew.

use std::time::{Duration, Instant};

/// The longest limit. It is far beyond every setting and keeps the arithmetic away from the end of time.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// An absolute deadline.
///
/// There is no duration for a deadline that has passed: systems take a time limit of zero for none at all, libraries
/// take it for "do not wait", and neither is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Sets a deadline this long after a moment.
    pub fn after(start: Instant, limit: Duration) -> Self {
        Self(start.checked_add(limit.min(LONGEST)).unwrap_or(start))
    }

    /// Sets a deadline this long after now.
    pub fn within(limit: Duration) -> Self {
        Self::after(Instant::now(), limit)
    }

    /// Returns the time that is left, which is never zero; `None` when the deadline has passed.
    pub fn left(self) -> Option<Duration> {
        self.left_at(Instant::now())
    }

    /// Returns the time that is left at a moment of the caller's own clock; `None` when the deadline has passed then.
    pub fn left_at(self, now: Instant) -> Option<Duration> {
        self.0.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Returns the earlier one of this deadline and one that is this long after now.
    #[must_use]
    pub fn at_most(self, limit: Duration) -> Self {
        self.min(Self::within(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_passed_has_no_duration() {
        let start = Instant::now();
        let deadline = Deadline::after(start, Duration::from_secs(2));
        assert_eq!(deadline.left_at(start), Some(Duration::from_secs(2)));
        let nearly = start + Duration::new(1, 999_999_999);
        assert_eq!(deadline.left_at(nearly), Some(Duration::from_nanos(1)));
        for late in [2, 3, 1000] {
            assert_eq!(deadline.left_at(start + Duration::from_secs(late)), None, "{late}");
        }
        assert_eq!(Deadline::after(start, Duration::ZERO).left_at(start), None);
    }

    #[test]
    fn no_limit_is_too_long() {
        let start = Instant::now();
        assert_eq!(Deadline::after(start, Duration::MAX).left_at(start), Some(LONGEST));
    }

    #[test]
    fn the_earlier_one_counts() {
        let (soon, late) =
            (Deadline::within(Duration::from_secs(1)), Deadline::within(Duration::from_secs(600)));
        assert_eq!(soon.at_most(Duration::from_secs(60)), soon);
        assert!(late.at_most(Duration::from_secs(60)) < late);
    }
}
