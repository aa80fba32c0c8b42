//! Decides whether and when a failed attempt is made again.
//!
//! [`RetryPolicy`] decides, as a pure function of what has happened: it knows neither clock nor console, so that a
//! simulation can run it a hundred thousand times. [`Retries`] waits, tells people and counts.
//!
//! The policy: what may pass is tried again for as long as the deadline allows. The waits grow, have a floor that grows
//! with them, and are random in between, so that jobs that failed together do not come back together. A `Retry-After` is
//! a minimum (RFC 9110 section 10.2.3): the wait begins after it. A `Retry-After` that goes beyond the deadline ends the
//! run at once, since the server has said that nothing can come of it. One that leaves room for a single attempt has it
//! anywhere in the time that is left: all who were sent away together come back in it, and the more room they have, the
//! fewer of them meet.

use std::time::Duration;

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::report::console::Console;
use crate::report::countdown::{Countdown, TICK, left};

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

/// The longest time for one attempt, from the name lookup to the last byte of the answer.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// The longest time for making a connection: TCP, the proxy's tunnel and TLS. A name lookup has as much again.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The chance that another attempt succeeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// None.
    Never,
    /// A chance for one more, and not for another.
    Once,
    /// A chance for any.
    Again {
        /// The wait that the server asked for.
        after: Option<Duration>,
    },
}

/// A failed attempt.
#[derive(Debug)]
pub struct Failure {
    /// The error.
    pub error: Error,
    /// The chance that another attempt succeeds.
    pub retry: Retry,
    /// True if the request may have been acted on although no answer came.
    pub lost_answer: bool,
    /// True if the attempt was ended by its own time limit, and more time might have been enough.
    pub was_cut_short: bool,
}

impl Failure {
    /// A failure that no further attempt can mend.
    pub fn permanent(error: Error) -> Self {
        Self::new(error, Retry::Never)
    }

    /// A failure that may pass, after the wait that the server asked for, if it did.
    pub fn transient(error: Error, after: Option<Duration>) -> Self {
        Self::new(error, Retry::Again { after })
    }

    /// A failure of which nothing was sent yet.
    pub fn new(error: Error, retry: Retry) -> Self {
        Self { error, retry, lost_answer: false, was_cut_short: false }
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

/// One attempt: its number and its time.
#[derive(Debug, Clone, Copy)]
pub struct Attempt {
    /// The number, from 1.
    pub number: u32,
    /// The end of the run.
    pub deadline: Deadline,
    /// True if an earlier attempt was ended by its own time limit. Then the server is slow, not gone, and asking it anew
    /// after the same time would only be cut short again.
    pub is_patient: bool,
}

impl Attempt {
    /// The only attempt at something.
    pub fn only(deadline: Deadline) -> Self {
        Self { number: 1, deadline, is_patient: false }
    }

    /// Returns the end of this attempt.
    pub fn end(&self) -> Deadline {
        if self.is_patient { self.deadline } else { self.deadline.at_most(ATTEMPT_TIMEOUT) }
    }

    /// Returns how long a connection may take.
    pub fn connect_timeout(&self) -> Duration {
        if self.is_patient { ATTEMPT_TIMEOUT } else { CONNECT_TIMEOUT }
    }
}

/// An attempt that has just failed, as far as the policy knows it.
#[derive(Debug, Clone, Copy)]
pub struct Failed {
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The chance that another one succeeds.
    pub retry: Retry,
    /// True if an earlier attempt has used up the one more try of [`Retry::Once`].
    pub once_used: bool,
    /// True if the server works and asks to slow down.
    pub is_limited: bool,
    /// The time until the deadline, if there is any.
    pub left: Option<Duration>,
}

/// The step after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Another attempt after this wait.
    Wait(Duration),
    /// The end.
    GiveUp(Reason),
}

/// The reason for which there is no further attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// A failure that no further attempt can mend.
    Permanent,
    /// A deadline that leaves no time for one.
    NoTime,
    /// A wait of this length, which the server asked for and which ends after the deadline.
    AskedForTooMuch(Duration),
}

/// The growth of the waits: each bound is a multiple of the one before, up to the longest.
#[derive(Debug, Clone, Copy)]
struct Pace {
    first: Duration,
    factor: u32,
    longest: Duration,
}

/// Decides whether and when a failed attempt is made again.
#[derive(Debug, Clone, Copy)]
pub struct RetryPolicy {
    /// After a failure that may be over in a moment.
    failed: Pace,
    /// After the answer that too many came at once: the same crowd must not come back.
    limited: Pace,
    /// The shortest wait.
    shortest: Duration,
    /// The time that has to be left for the attempt itself: one that is cut off at once would tell less than the one
    /// before.
    reserve: Duration,
    /// The largest part of the time that is left which a wait may take, so that it need not be the last one.
    share: f64,
}

impl RetryPolicy {
    /// The one that this program uses.
    pub const STANDARD: Self = Self {
        failed: Pace { first: Duration::from_millis(500), factor: 2, longest: Duration::from_secs(8) },
        limited: Pace { first: Duration::from_secs(2), factor: 4, longest: Duration::from_secs(24) },
        shortest: Duration::from_millis(100),
        reserve: Duration::from_millis(500),
        share: 0.9,
    };

    /// Decides. `random` is a number in 0..1.
    pub fn decide(&self, failed: &Failed, random: f64) -> Decision {
        let asked = match failed.retry {
            Retry::Never => return Decision::GiveUp(Reason::Permanent),
            Retry::Once if failed.once_used => return Decision::GiveUp(Reason::Permanent),
            Retry::Once => None,
            Retry::Again { after } => after,
        };
        let Some(left) = failed.left else { return Decision::GiveUp(Reason::NoTime) };
        let minimum = asked.unwrap_or_default();
        if minimum >= left {
            return Decision::GiveUp(Reason::AskedForTooMuch(minimum));
        }
        let spare = left.saturating_sub(minimum).saturating_sub(self.reserve);
        let wait = minimum.saturating_add(self.own_wait(failed, asked, spare, random));
        if wait.saturating_add(self.reserve) < left {
            Decision::Wait(wait)
        } else {
            Decision::GiveUp(Reason::NoTime)
        }
    }

    /// Returns the part of the wait that is ours: anything from a quarter of the bound to the bound, or after a wait that
    /// the server has asked for, which is a floor already, anything up to the bound.
    fn own_wait(&self, failed: &Failed, asked: Option<Duration>, spare: Duration, random: f64) -> Duration {
        let pace = match asked {
            // Whoever asks for no wait expects us at once.
            Some(Duration::ZERO) => self.failed,
            Some(_) => self.limited,
            None if failed.is_limited => self.limited,
            None => self.failed,
        };
        let grown = pace.factor.saturating_pow(failed.attempt.saturating_sub(1));
        // All who are sent away for a minute come back in the same second unless they spread over a minute.
        let bound = pace.first.saturating_mul(grown).min(pace.longest).max(asked.unwrap_or_default());
        let floor = if asked.is_some() { 0.0 } else { 0.25 };
        let share = floor + (1.0 - floor) * random.clamp(0.0, 1.0);
        // Where hardly anybody could wait as long once more, this is the last attempt, and all the time that is left is there to
        // spread over. It has twice the reserve, since nothing comes after it.
        let is_last = asked.is_some_and(|asked| asked.saturating_mul(2) >= spare);
        let most =
            if is_last { spare.saturating_sub(self.reserve) } else { bound.min(spare.mul_f64(self.share)) };
        most.mul_f64(share).max(self.shortest)
    }
}

/// Makes attempts as the policy has it.
pub struct Retries<'a> {
    /// The clock that waits.
    pub clock: &'a dyn Clock,
    /// The end of the run.
    pub deadline: Deadline,
    /// A random number in 0..1.
    pub random: &'a dyn Fn() -> f64,
    /// The console that is told of each retry.
    pub console: &'a Console,
    /// True if it tells people only with `-v`.
    pub is_quiet: bool,
}

impl Retries<'_> {
    /// Calls `attempt` until it succeeds or the policy ends it.
    ///
    /// The error that comes back knows how many attempts were made.
    pub fn run<T>(
        &self,
        what: &str,
        mut attempt: impl FnMut(Attempt) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let mut next = Attempt::only(self.deadline);
        let mut once_used = false;
        let mut earlier: Option<String> = None;
        loop {
            let failure = match attempt(next) {
                Ok(value) => return Ok(value),
                Err(failure) => failure,
            };
            let code = failure.error.code();
            let failed = Failed {
                attempt: next.number,
                retry: failure.retry,
                once_used,
                is_limited: code == Code::RateLimited,
                left: self.deadline.left_at(self.clock.now()),
            };
            let wait = match RetryPolicy::STANDARD.decide(&failed, (self.random)()) {
                Decision::Wait(wait) => wait,
                Decision::GiveUp(reason) => {
                    let mut error = explain(failure.error, reason);
                    // That the time is over is not why.
                    if let Some(message) = earlier.filter(|_| code == Code::Deadline) {
                        error = error.with_detail("attempt before", message);
                    }
                    // What was asked for on the way has counted its own attempts.
                    let is_counted = error.attempts().is_some();
                    return Err(if is_counted { error } else { error.with_attempts(next.number) });
                }
            };
            self.wait(wait, &format!("{what}: attempt {} failed ({})", next.number, code.name()));
            once_used |= failure.retry == Retry::Once;
            earlier = Some(failure.error.message().to_owned());
            next = Attempt {
                number: next.number.saturating_add(1),
                is_patient: next.is_patient || failure.was_cut_short,
                ..next
            };
        }
    }

    /// Waits, and says why, for how long, and how much time is left.
    fn wait(&self, wait: Duration, why: &str) {
        let line = |rest: Duration| {
            let left = left(self.deadline, self.clock.now());
            format!("{why}, trying again in {:.1} s{left}", rest.as_secs_f64())
        };
        if self.is_quiet {
            self.console.detail(&line(wait));
            return self.clock.sleep(wait);
        }
        let mut countdown = Countdown::new(self.console);
        let end = self.clock.now() + wait;
        let mut rest = wait;
        while countdown.show(line(rest)) && rest > TICK {
            self.clock.sleep(TICK);
            rest = end.saturating_duration_since(self.clock.now());
        }
        self.clock.sleep(rest);
    }
}

/// Adds why nothing more was tried, where that does not follow from the error itself.
fn explain(error: Error, reason: Reason) -> Error {
    match reason {
        Reason::AskedForTooMuch(wait) => error.with_retry_after(wait).with_detail(
            "not tried again",
            format!("the server asks to wait {} s, which is more than is left of --timeout", wait.as_secs()),
        ),
        Reason::Permanent | Reason::NoTime => error,
    }
}
