//! A line about a wait.

use std::ops::Deref;
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::report::console::Console;

/// The time between two changes of a line that counts down.
pub const TICK: Duration = Duration::from_secs(1);

/// A line about a wait. On a terminal it counts down in its place, and what it said at first stays when the wait is over.
/// Elsewhere it is said once.
pub struct Countdown<C: Deref<Target = Console>> {
    console: C,
    /// The line that will stay.
    first: Option<String>,
}

impl<C: Deref<Target = Console>> Countdown<C> {
    /// Makes one that has said nothing yet.
    pub fn new(console: C) -> Self {
        Self { console, first: None }
    }

    /// Says how things stand. Returns whether it can be said anew after a [`TICK`].
    pub fn show(&mut self, line: String) -> bool {
        let changes = self.console.passing(&line);
        if changes {
            self.first.get_or_insert(line);
        } else {
            self.console.note(&line);
        }
        changes
    }
}

impl<C: Deref<Target = Console>> Drop for Countdown<C> {
    fn drop(&mut self) {
        if let Some(first) = &self.first {
            self.console.note(first);
        }
    }
}

/// Returns how much time a run has, as the end of a line about a wait.
pub fn left(deadline: Deadline, now: Instant) -> String {
    let left = deadline.left_at(now).unwrap_or_default().as_secs();
    format!(" ({left} s of --timeout left)")
}
