//! Secrets that end while a run goes on. Each is kept out of every line until then and forgotten afterwards, so that a run
//! of any length knows only a few.

use crate::report::console::Console;
use crate::secret::Secret;

/// The time for which an expired secret is still kept out of every line, in seconds: a late message may quote it.
const AFTERWARDS: i64 = 600;

/// The secrets, each with the moment when it ends (Unix time).
#[derive(Default)]
pub struct Passing(Vec<(Secret, i64)>);

impl Passing {
    /// Adds a secret.
    pub fn add(&mut self, secret: &Secret, ends: i64) {
        self.0.push((Secret::new(secret.reveal()), ends));
    }

    /// Forgets those that have ended.
    pub fn forget(&mut self, now: i64, console: &Console) {
        let all = std::mem::take(&mut self.0).into_iter();
        let (ended, living): (Vec<_>, Vec<_>) =
            all.partition(|(_, ends)| ends.saturating_add(AFTERWARDS) < now);
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
        let mut passing = Passing::default();
        for (secret, ends) in secrets.iter().zip([3_600, 3_600]) {
            console.guard(secret);
            passing.add(secret, ends);
        }
        passing.add(&secrets[1], 86_400);
        let shown = |console: &Console| secrets.each_ref().map(|secret| console.safe(secret.reveal()));
        passing.forget(4_200, &console);
        assert_eq!(shown(&console), ["***", "***"]);
        passing.forget(4_201, &console);
        assert_eq!(shown(&console), ["first-hour-7f3a9c", "***"]);
        assert_eq!(passing.0.len(), 1);
    }
}
