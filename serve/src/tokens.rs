//! The tokens of the federated back end: one task obtains them, whoever needs one looks at what is there, or waits for it.
//!
//! A caller that finds a good token is answered at once. A refresh is one blocking task however many wait for it, and one that
//! goes away ends its own wait and nothing else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use equinix_wif::service::{Answer, Due, Error, Served, TokenSource, Unavailable};
use tokio::sync::{Notify, watch};
use tokio::time::timeout;

use crate::metrics;

/// The longest wait of the task: a machine may have slept, or its clock been set.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// The least time between two tokens that were asked for by force.
pub const FORCED_PAUSE: Duration = Duration::from_secs(10);

/// The tokens of one source.
pub struct Tokens {
    source: Arc<TokenSource>,
    /// Wakes the task.
    asked: Notify,
    /// True while the task knows that somebody has asked for a token.
    is_armed: AtomicBool,
    /// The number of attempts that have ended.
    rounds: watch::Sender<u64>,
    /// The time for which a caller is held.
    hold: Duration,
}

impl Tokens {
    /// Makes them of their source. `hold` is the time for which a caller is held while a token is being obtained.
    pub fn new(source: Arc<TokenSource>, hold: Duration) -> Arc<Self> {
        let (asked, rounds) = (Notify::new(), watch::Sender::new(0));
        Arc::new(Self { source, asked, is_armed: AtomicBool::new(false), rounds, hold })
    }

    /// The source.
    pub fn source(&self) -> &Arc<TokenSource> {
        &self.source
    }

    /// Obtains tokens when they are due, for ever. The first one is obtained at once, so that the service is ready before
    /// somebody asks.
    pub async fn keep(self: Arc<Self>, tick: impl Fn()) {
        self.source.cached();
        loop {
            match self.source.due() {
                Due::Now => self.renew().await,
                Due::In(wait) => {
                    let wait = tokio::time::sleep(wait.min(LONGEST_SLEEP));
                    tokio::select! { () = wait => {}, () = self.asked.notified() => {} }
                }
                Due::WhenAsked => {
                    self.is_armed.store(false, Ordering::SeqCst);
                    // Somebody may have asked in between.
                    if self.source.due() == Due::WhenAsked {
                        let idle = tokio::time::sleep(LONGEST_SLEEP);
                        tokio::select! { () = idle => {}, () = self.asked.notified() => {} }
                    }
                }
            }
            tick();
        }
    }

    async fn renew(&self) {
        let source = Arc::clone(&self.source);
        let begun = Instant::now();
        // A panic in it is reported by its hook; the next round tries again.
        let ended = tokio::task::spawn_blocking(move || source.renew_if_due()).await;
        metrics::exchanged(begun.elapsed());
        if ended.is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        self.rounds.send_modify(|rounds| *rounds += 1);
    }

    /// Answers with what is there, and wakes the task if it sleeps without a reason to.
    fn look(&self) -> Answer {
        let answer = self.source.cached();
        if !self.is_armed.swap(true, Ordering::SeqCst) {
            self.asked.notify_one();
        }
        answer
    }

    /// Returns a token if a good one is there.
    pub fn cached(&self) -> Option<Result<Served, Unavailable>> {
        match self.look() {
            Answer::Serve(served) => Some(Ok(served)),
            Answer::Fail(error) => Some(Err(Unavailable { error: Some(error) })),
            Answer::Wait => None,
        }
    }

    /// Returns a token, and waits for one if need be.
    pub async fn token(&self) -> Result<Served, Unavailable> {
        if let Some(answer) = self.cached() {
            return answer;
        }
        let waiting = async {
            let mut rounds = self.rounds.subscribe();
            loop {
                if let Some(answer) = self.cached() {
                    return answer;
                }
                self.asked.notify_one();
                // The sender lives as long as this value.
                rounds.changed().await.ok();
            }
        };
        timeout(self.hold, waiting)
            .await
            .unwrap_or_else(|_| Err(Unavailable { error: self.source.failure() }))
    }

    /// Returns a new token, however good the old one is; the old one if it came a moment ago.
    pub async fn renewed(&self) -> Result<Served, Unavailable> {
        let mut rounds = self.rounds.subscribe();
        rounds.mark_unchanged();
        if !self.source.force(FORCED_PAUSE) {
            return match self.source.failure() {
                // The last attempt failed a moment ago, so it is not made again.
                Some(error) => Err(Unavailable { error: Some(error) }),
                None => self.token().await,
            };
        }
        self.asked.notify_one();
        let ended = timeout(self.hold, rounds.changed()).await.is_ok();
        match self.source.failure() {
            Some(error) => Err(Unavailable { error: Some(error) }),
            None if !ended => Err(Unavailable { error: None }),
            None => self.token().await,
        }
    }

    /// Tells whether a token could be had, without asking anybody: `None` before the first attempt has ended.
    pub fn readiness(&self) -> Option<Result<(), Arc<Error>>> {
        if self.source.held().is_some() {
            return Some(Ok(()));
        }
        match self.source.failure() {
            Some(error) => Some(Err(error)),
            None if *self.rounds.borrow() > 0 => Some(Ok(())),
            None => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU32;

    use equinix_wif::service::{Clock, Code, Credential, Observer, Secret, TokenKind};

    use super::*;

    /// A clock that follows tokio's, which a test can stop.
    struct Paused {
        begun: tokio::time::Instant,
    }

    impl Clock for Paused {
        fn unix_time(&self) -> i64 {
            1_800_000_000 + i64::try_from(self.begun.elapsed().as_secs()).unwrap()
        }

        fn now(&self) -> Instant {
            tokio::time::Instant::now().into_std()
        }

        fn sleep(&self, _: Duration) {}
    }

    struct Nobody;

    impl Observer for Nobody {
        fn renewed(&self, _: &Arc<str>, _: &Arc<Credential>) {}
        fn recovered(&self, _: &Arc<str>, _: &Credential) {}
        fn failed(&self, _: &Arc<str>, _: &Error, _: Option<&Error>) {}
        fn tick(&self) {}
    }

    struct World {
        tokens: Arc<Tokens>,
        asked: Arc<AtomicU32>,
        /// The code that the server answers with, if it fails.
        fails: Arc<Mutex<Option<Code>>>,
    }

    fn world(life: u64) -> World {
        let clock: Arc<dyn Clock> = Arc::new(Paused { begun: tokio::time::Instant::now() });
        let (asked, fails) = (Arc::new(AtomicU32::new(0)), Arc::new(Mutex::new(None)));
        let obtain = {
            let (clock, asked, fails) = (Arc::clone(&clock), Arc::clone(&asked), Arc::clone(&fails));
            move |_| {
                let number = asked.fetch_add(1, Ordering::SeqCst);
                if let Some(code) = *fails.lock().unwrap() {
                    return Err(Error::new(code, "no"));
                }
                let end = clock.unix_time() + i64::try_from(life).unwrap();
                Ok(Credential::new(
                    TokenKind::AccessToken,
                    Secret::new(format!("a-token-of-a-test-{number}")),
                    life,
                    end,
                ))
            }
        };
        let source = TokenSource::new("s", false, clock, Box::new(obtain), Arc::new(Nobody));
        let tokens = Tokens::new(source, Duration::from_secs(20));
        tokio::spawn(Arc::clone(&tokens).keep(|| {}));
        World { tokens, asked, fails }
    }

    #[tokio::test(start_paused = true)]
    async fn two_hundred_callers_of_a_day_share_one_exchange_a_life() {
        let world = world(3600);
        for minute in 0..24 * 60 {
            let callers: Vec<_> = (0..200)
                .map(|_| {
                    let tokens = Arc::clone(&world.tokens);
                    tokio::spawn(async move { tokens.token().await.unwrap().left })
                })
                .collect();
            for caller in callers {
                let left = caller.await.unwrap();
                assert!(left > Duration::from_secs(30), "{minute}: {left:?}");
            }
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
        // Renewed at 2,880 of 3,600 seconds, when somebody asks.
        let exchanges = world.asked.load(Ordering::SeqCst);
        assert!((29..=31).contains(&exchanges), "{exchanges}");
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_who_asks_means_no_exchange_but_the_first() {
        let world = world(600);
        tokio::time::sleep(Duration::from_secs(86_400)).await;
        assert_eq!(world.asked.load(Ordering::SeqCst), 1);
        assert_eq!(world.tokens.readiness().map(|ready| ready.is_ok()), Some(true), "one could be had");
        assert!(world.tokens.token().await.unwrap().left > Duration::from_secs(590));
        assert_eq!(world.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_token_can_be_forced_once_in_ten_seconds() {
        let world = world(3600);
        let first = world.tokens.token().await.unwrap().credential;
        let same = world.tokens.renewed().await.unwrap().credential;
        assert_eq!(first.token.reveal(), same.token.reveal(), "it came a moment ago");
        tokio::time::sleep(FORCED_PAUSE).await;
        let both = tokio::join!(world.tokens.renewed(), world.tokens.renewed());
        assert_eq!(both.0.unwrap().credential.token.reveal(), "a-token-of-a-test-1");
        assert_eq!(both.1.unwrap().credential.token.reveal(), "a-token-of-a-test-1");
        assert_eq!(world.tokens.token().await.unwrap().credential.token.reveal(), "a-token-of-a-test-1");
        assert_eq!(world.asked.load(Ordering::SeqCst), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn while_the_server_is_down_the_old_token_serves() {
        let world = world(3600);
        world.tokens.token().await.unwrap();
        *world.fails.lock().unwrap() = Some(Code::ServerError);
        tokio::time::sleep(Duration::from_secs(60)).await;
        let error = world.tokens.renewed().await.unwrap_err();
        assert_eq!(error.error.unwrap().code(), Code::ServerError);
        assert!(world.tokens.token().await.is_ok());
        assert_eq!(world.tokens.readiness().map(|ready| ready.is_ok()), Some(true));
        // To the last usable second, and then it is said.
        tokio::time::sleep(Duration::from_secs(3600 - 75)).await;
        assert!(world.tokens.token().await.is_ok());
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert!(world.tokens.token().await.unwrap_err().may_pass());
        assert_eq!(world.tokens.readiness().map(|ready| ready.is_ok()), Some(false));
        *world.fails.lock().unwrap() = None;
        assert!(world.tokens.token().await.is_ok(), "it is tried again");
    }
}
