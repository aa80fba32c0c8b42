//! A line about a wait.

use std::ops::Deref;
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::report::console::Console;

/// The time between two changes of a line that counts down.
pub const TICK: Duration = Duration::from_secs(1);

/// A line about a wait. On a terminal it counts down in its place, and one of what it said stays when the wait is over.
/// Elsewhere it is said once.
pub struct Countdown<C: Deref<Target = Console>> {
    console: C,
    /// True if it is the newest line that stays, and not the first one.
    newest_stays: bool,
    /// The line that will stay.
    stays: Option<String>,
}

impl<C: Deref<Target = Console>> Countdown<C> {
    /// Makes one that has said nothing yet.
    pub fn new(console: C) -> Self {
        Self { console, newest_stays: false, stays: None }
    }

    /// The same, of which the newest line stays: it tells of a wait whose end nobody knew.
    #[must_use]
    pub fn with_newest(mut self) -> Self {
        self.newest_stays = true;
        self
    }

    /// Says how things stand. Returns whether it can be said anew after a [`TICK`].
    pub fn show(&mut self, line: String) -> bool {
        let changes = self.console.passing(&line);
        if changes {
            if self.newest_stays || self.stays.is_none() {
                self.stays = Some(line);
            }
        } else {
            self.console.note(&line);
        }
        changes
    }
}

impl<C: Deref<Target = Console>> Drop for Countdown<C> {
    fn drop(&mut self) {
        if let Some(line) = &self.stays {
            self.console.note(line);
        }
    }
}

/// Returns how much time a run has, as the end of a line about a wait.
pub fn left(deadline: Deadline, now: Instant) -> String {
    let left = deadline.left_at(now).unwrap_or_default().as_secs();
    format!(" ({left} s of --timeout left)")
}
