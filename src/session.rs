//! The effects that a run may have on the world, in one value.
//!
//! Whoever has a session can read the environment and the clock, speak to people and runners, and send requests. Settings,
//! streams, the report and the deadline are not in it: they belong to one command, while a session can be handed to
//! another thread and outlive the call that made it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::clock::Clock;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::Error;
use crate::http::Client;
use crate::random;
use crate::report::console::Console;
use crate::retry::{Attempt, Failure, Retries};

/// The effects of a run. A clone shares them.
#[derive(Clone)]
pub struct Session {
    /// The environment.
    pub env: Arc<Env>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The console, for people and for the runner's commands.
    pub console: Arc<Console>,
    /// The client for requests.
    pub http: Arc<Client>,
    /// A random number in 0..1.
    random: fn() -> f64,
    /// True if a failed attempt that is made again is not worth a line, except with `-v`.
    is_in_background: Arc<AtomicBool>,
}

impl Session {
    /// Creates a session of these parts.
    pub fn new(env: &Arc<Env>, clock: &Arc<dyn Clock>, console: &Arc<Console>, http: Client) -> Self {
        let is_in_background = Arc::new(AtomicBool::default());
        Self {
            env: Arc::clone(env),
            clock: Arc::clone(clock),
            console: Arc::clone(console),
            http: Arc::new(http.telling(Arc::clone(console), Arc::clone(&is_in_background))),
            random: random::fraction,
            is_in_background,
        }
    }

    /// Makes all further work one of the background, of which people hear only when it has failed for good.
    #[cfg(feature = "renew")]
    pub fn go_into_background(&self) {
        self.is_in_background.store(true, Ordering::Relaxed);
    }

    /// Tells whether something else is in the foreground, and writes to the same streams.
    pub fn is_in_background(&self) -> bool {
        self.is_in_background.load(Ordering::Relaxed)
    }

    /// Makes attempts until one succeeds or fails for good, or `deadline` leaves no time for another one. `what` is the activity in messages, e.g. `exchanging the token`.
    pub fn retry<T>(
        &self,
        what: &str,
        deadline: Deadline,
        attempt: impl FnMut(Attempt) -> Result<T, Failure>,
    ) -> Result<T, Error> {
        let retries = Retries {
            clock: &*self.clock,
            deadline,
            random: &self.random,
            console: &self.console,
            is_quiet: self.is_in_background(),
        };
        retries.run(what, attempt)
    }
}

/// A session for unit tests: a fixed environment, a clock that stands still, a console whose lines can be read.
#[cfg(test)]
pub(crate) mod fixed {
    use std::sync::Arc;

    use super::Session;
    use crate::clock::Clock;
    use crate::clock::fixed::FixedClock;
    use crate::env::Env;
    use crate::http::Client;
    use crate::http::proxy::ProxySettings;
    use crate::report::console::Verbosity;
    use crate::report::console::captured::{self, Lines};

    pub(crate) fn session(pairs: &[(&str, &str)], now: i64) -> (Session, Lines) {
        let (console, lines) = captured::console(Verbosity::Verbose, false);
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(now));
        let client = Client::new(ProxySettings::default(), Vec::new());
        let env = Arc::new(Env::fixed(pairs.iter().copied()));
        (Session::new(&env, &clock, &Arc::new(console), client), lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_can_be_handed_to_another_thread() {
        fn is_shareable<T: Clone + Send + Sync + 'static>(_: &T) {}
        let (session, _) = fixed::session(&[("A", "b")], 7);
        is_shareable(&session);
        let there = session.clone();
        let seen = std::thread::spawn(move || (there.env.has("A"), there.clock.unix_time())).join().unwrap();
        assert_eq!(seen, (true, 7));
    }
}
