//! The one retry law, and the one deadline (security requirements 2.1).
//!
//! At most four attempts. Between them a random wait with full jitter: anything from nothing to 0.5, 1, 2 seconds.
//! A `Retry-After` replaces the wait, up to 30 seconds. Permanent failures end at once, and so does a wait that the
//! deadline does not leave room for.
//!
//! A server that asks to slow down works, and has said what it needs: so many jobs may have come at once that four
//! attempts are not enough for all of them. It is asked up to twelve times, with waits that grow to 8 seconds.

use std::time::Duration;

use crate::clock::Clock;
use crate::error::{Code, Error};
use crate::report::console::Console;

/// How often something is tried.
pub const ATTEMPTS: u32 = 4;

/// How often a server is asked that asks to slow down (429).
pub const ATTEMPTS_WHEN_LIMITED: u32 = 12;

/// The longest random wait.
const LONGEST_RANDOM_WAIT: Duration = Duration::from_secs(8);

/// The upper bound of the first wait; it doubles with each attempt.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// The longest wait that a server can ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// The moment when the run has to be over.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Duration);

impl Deadline {
    /// A deadline this far from now.
    pub fn after(clock: &dyn Clock, limit: Duration) -> Self {
        Self::since(clock.monotonic(), limit)
    }

    /// A deadline this far from a moment of the monotonic clock.
    pub fn since(started: Duration, limit: Duration) -> Self {
        Self(started.saturating_add(limit))
    }

    /// The time that is left; zero when it has passed.
    pub fn left(self, clock: &dyn Clock) -> Duration {
        self.0.saturating_sub(clock.monotonic())
    }

    /// Whether it has passed or is about to: what times out now was cut short by it.
    pub fn is_near(self, clock: &dyn Clock) -> bool {
        self.left(clock) < Duration::from_millis(100)
    }
}

/// Whether another attempt may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// No.
    Never,
    /// One more, and not another.
    Once,
    /// Yes.
    Again {
        /// The wait that the server asked for.
        after: Option<Duration>,
    },
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failure {
    /// What happened.
    pub error: Error,
    /// Whether to try again.
    pub retry: Retry,
    /// Whether the request may have been acted on although no answer came.
    pub lost_answer: bool,
}

impl Failure {
    /// A failure that no further attempt can mend.
    pub fn permanent(error: Error) -> Self {
        Self { error, retry: Retry::Never, lost_answer: false }
    }

    /// The same failure, with a note whether the server's answer held a secret of ours.
    #[must_use]
    pub fn with_echo(self, echoed: bool) -> Self {
        Self { error: self.error.with_echoed_secret(echoed), ..self }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::permanent(error)
    }
}

/// The law with what it needs to know: the time, the deadline, chance, and whom to tell.
pub struct Law<'a> {
    /// The clock that waits.
    pub clock: &'a dyn Clock,
    /// The end of the run.
    pub deadline: Deadline,
    /// A random number in 0..1.
    pub random: &'a dyn Fn() -> f64,
    /// Where each retry is told.
    pub console: &'a Console,
}

impl Law<'_> {
    /// Calls `attempt` with the attempt's number, from 1, until it succeeds or the law ends it.
    ///
    /// The error that comes back knows how many attempts were made.
    pub fn run<T>(&self, what: &str, mut attempt: impl FnMut(u32) -> Result<T, Failure>) -> Result<T, Error> {
        let mut once_used = false;
        for number in 1.. {
            let failure = match attempt(number) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let attempts = match failure.error.code() {
                Code::RateLimited => ATTEMPTS_WHEN_LIMITED,
                _ => ATTEMPTS,
            };
            let wait = match failure.retry {
                _ if number >= attempts => None,
                Retry::Never => None,
                Retry::Once if once_used => None,
                Retry::Once => {
                    once_used = true;
                    self.wait(number, None)
                }
                Retry::Again { after } => self.wait(number, after),
            };
            let Some(wait) = wait else {
                // What was asked for on the way has counted its own attempts.
                let counted = failure.error.attempts().is_some();
                return Err(if counted { failure.error } else { failure.error.with_attempts(number) });
            };
            self.console.note(&format!(
                "{what}: attempt {number} of {attempts} failed ({}), trying again in {:.1} s",
                failure.error.code().name(),
                wait.as_secs_f64()
            ));
            self.clock.sleep(wait);
        }
        // Unreachable: the loop above only ends by returning.
        Err(Error::new(Code::Internal, format!("{what}: the attempts ran out")))
    }

    /// How long to wait after this attempt, or `None` when the deadline leaves no room for it.
    fn wait(&self, attempt: u32, asked: Option<Duration>) -> Option<Duration> {
        let left = self.deadline.left(self.clock);
        if asked.is_some_and(|asked| asked >= left) {
            return None;
        }
        let wait = asked.map_or_else(
            || {
                let bound = FIRST_WAIT.saturating_mul(1 << (attempt - 1).min(8)).min(LONGEST_RANDOM_WAIT);
                bound.mul_f64((self.random)().clamp(0.0, 1.0))
            },
            |asked| asked.min(LONGEST_WAIT),
        );
        (wait < left).then_some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::fixed::FixedClock;
    use crate::report::console::{Verbosity, captured};

    /// Runs the law over scripted failures; `None` is a success. Returns the result, the waits and what was said.
    fn run(limit: u64, random: f64, script: &[Option<Retry>]) -> (Result<u32, Error>, Vec<Duration>, String) {
        run_with(Code::ServerError, limit, random, script)
    }

    fn run_with(
        code: Code,
        limit: u64,
        random: f64,
        script: &[Option<Retry>],
    ) -> (Result<u32, Error>, Vec<Duration>, String) {
        let clock = FixedClock::at(0);
        let (console, lines) = captured::console(Verbosity::Normal, false);
        let deadline = Deadline::after(&clock, Duration::from_secs(limit));
        let law = Law { clock: &clock, deadline, random: &|| random, console: &console };
        let result = law.run("asking", |number| match script[number as usize - 1] {
            None => Ok(number),
            Some(retry) => Err(Failure { error: Error::new(code, "x"), retry, lost_answer: false }),
        });
        (result, clock.sleeps(), lines.text())
    }

    const AGAIN: Option<Retry> = Some(Retry::Again { after: None });

    fn asked(seconds: u64) -> Retry {
        Retry::Again { after: Some(Duration::from_secs(seconds)) }
    }

    fn seconds(sleeps: &[Duration]) -> Vec<f64> {
        sleeps.iter().map(Duration::as_secs_f64).collect()
    }

    #[test]
    fn waits_double_and_chance_scales_them_down_to_nothing() {
        let (result, sleeps, said) = run(60, 1.0, &[AGAIN, AGAIN, AGAIN, None]);
        assert_eq!((result.unwrap(), seconds(&sleeps)), (4, vec![0.5, 1.0, 2.0]));
        assert_eq!(
            said.lines().next().unwrap(),
            "equinix-wif: asking: attempt 1 of 4 failed (server-error), trying again in 0.5 s"
        );
        let (_, sleeps, _) = run(60, 0.0, &[AGAIN, AGAIN, AGAIN, None]);
        assert_eq!(seconds(&sleeps), [0.0; 3]);
        let (_, sleeps, _) = run(60, 0.5, &[AGAIN, None]);
        assert_eq!(seconds(&sleeps), [0.25]);
    }

    #[test]
    fn four_attempts_and_no_wait_after_the_last() {
        let (result, sleeps, _) = run(60, 1.0, &[AGAIN; 4]);
        assert_eq!((result.unwrap_err().attempts(), sleeps.len()), (Some(4), 3));
    }

    #[test]
    fn a_server_that_asks_to_slow_down_is_asked_more_often_and_more_slowly() {
        let (result, sleeps, said) = run_with(Code::RateLimited, 600, 1.0, &[AGAIN; 12]);
        assert_eq!(result.unwrap_err().attempts(), Some(12));
        assert_eq!(seconds(&sleeps), [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0, 8.0]);
        assert!(said.contains("attempt 11 of 12 failed (rate-limited), trying again in 8.0 s"), "{said}");
        // What it asks for still replaces the wait, and the deadline still ends the run.
        let asking = [Some(asked(1)); 12];
        assert_eq!(seconds(&run_with(Code::RateLimited, 600, 1.0, &asking).1), [1.0; 11]);
        assert_eq!(run_with(Code::RateLimited, 5, 1.0, &asking).1.len(), 4);
    }

    #[test]
    fn permanent_failures_end_at_once_and_once_is_once() {
        let (result, sleeps, said) = run(60, 1.0, &[Some(Retry::Never)]);
        assert_eq!((result.unwrap_err().attempts(), sleeps.len(), said.as_str()), (Some(1), 0, ""));
        let (result, sleeps, _) = run(60, 1.0, &[Some(Retry::Once), Some(Retry::Once)]);
        assert_eq!((result.unwrap_err().attempts(), sleeps.len()), (Some(2), 1));
    }

    #[test]
    fn retry_after_replaces_the_wait_up_to_thirty_seconds() {
        assert_eq!(seconds(&run(60, 1.0, &[Some(asked(0)), None]).1), [0.0]);
        assert_eq!(seconds(&run(60, 1.0, &[Some(asked(7)), None]).1), [7.0]);
        assert_eq!(seconds(&run(60, 1.0, &[Some(asked(45)), None]).1), [30.0]);
    }

    #[test]
    fn a_wait_that_does_not_fit_ends_the_run_now() {
        for (limit, script) in
            [(60, Some(asked(3600))), (60, Some(asked(60))), (10, Some(asked(u64::MAX))), (0, AGAIN)]
        {
            let (result, sleeps, _) = run(limit, 1.0, &[script]);
            assert_eq!((result.unwrap_err().attempts(), sleeps.len()), (Some(1), 0), "{script:?}");
        }
    }
}
