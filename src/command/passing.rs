//! Secrets that end while a run goes on. Each is kept out of every line until then and forgotten afterwards, so that a run
//! of any length knows only a few.

use std::time::{Duration, Instant};

use crate::report::console::Console;
use crate::secret::Secret;

/// The time for which an expired secret is still kept out of every line: a late message may quote it.
const AFTERWARDS: Duration = Duration::from_secs(600);

/// The secrets, each with the moment when it is forgotten. That is counted by the clock that nobody can set: it may stand
/// still while the machine sleeps, and then a secret is known for longer.
#[derive(Default)]
pub struct Passing(Vec<(Secret, Instant)>);

impl Passing {
    /// Adds a secret that ends after this time.
    pub fn add(&mut self, secret: &Secret, now: Instant, life: Duration) {
        if let Some(end) = now.checked_add(life.saturating_add(AFTERWARDS)) {
            self.0.push((Secret::new(secret.reveal()), end));
        }
    }

    /// Forgets those that have ended.
    pub fn forget(&mut self, now: Instant, console: &Console) {
        let all = std::mem::take(&mut self.0).into_iter();
        let (ended, living): (Vec<_>, Vec<_>) = all.partition(|(_, end)| *end <= now);
        self.0 = living;
        for (secret, _) in &ended {
            // A server may have given the same one out again.
            if !self.0.iter().any(|(other, _)| other.reveal() == secret.reveal()) {
                console.forget(secret);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::console::{Verbosity, captured};

    #[test]
    fn what_has_ended_is_forgotten_unless_it_was_given_out_again() {
        let (console, _) = captured::console(Verbosity::Quiet, false);
        let secrets = ["first-hour-7f3a9c", "whole-day-1b8e2d44"].map(Secret::new);
        let start = Instant::now();
        let hours = |hours: u64| Duration::from_secs(hours * 3600);
        let mut passing = Passing::default();
        for secret in &secrets {
            console.guard(secret);
            passing.add(secret, start, hours(1));
        }
        passing.add(&secrets[1], start, hours(24));
        let shown = |console: &Console| secrets.each_ref().map(|secret| console.safe(secret.reveal()));
        passing.forget(start + hours(1) + AFTERWARDS / 2, &console);
        assert_eq!(shown(&console), ["***", "***"]);
        passing.forget(start + hours(1) + AFTERWARDS, &console);
        assert_eq!(shown(&console), ["first-hour-7f3a9c", "***"]);
        assert_eq!(passing.0.len(), 1);
    }
}
