//! A source of access tokens: a cache with a thread that keeps it filled.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::random;

use super::cache::{Answer, Cache, Due, Moment, Served, is_lasting};

/// The longest sleep of the thread. A machine's clock may be set, or the machine may have slept: what is due is seen after
/// this time at the latest.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Obtains a token. It is told how many attempts have failed just before.
pub type Obtain = Box<dyn Fn(u32) -> Result<Credential, Error> + Send + Sync>;

/// Gets to know what happens to a source's tokens.
pub trait Observer: Send + Sync {
    /// A new token has come and is about to be handed out.
    fn renewed(&self, scope: &Arc<str>, credential: &Arc<Credential>);

    /// A new token has come after failures.
    fn recovered(&self, scope: &Arc<str>, credential: &Credential);

    /// No new token could be obtained. `before` is the error of the attempt before this one, if that failed as well.
    fn failed(&self, scope: &Arc<str>, error: &Error, before: Option<&Error>);

    /// Time has passed: called now and then, at least once a minute while something may become due.
    fn tick(&self);
}

/// The reason for which no token can be handed out.
#[derive(Debug, Clone)]
pub struct Unavailable {
    /// The reason of the last attempt. `None` if none has ended yet.
    pub error: Option<Arc<Error>>,
}

impl Unavailable {
    /// Tells whether asking again soon may help.
    pub fn may_pass(&self) -> bool {
        self.error.as_ref().is_none_or(|error| !is_lasting(error))
    }
}

/// A source of access tokens for one scope. Any number of threads may ask; one request at a time goes to the server.
pub struct TokenSource {
    scope: Arc<str>,
    cache: Mutex<Cache>,
    /// Wakes the thread that obtains tokens.
    asked: Condvar,
    /// Wakes those who wait for one.
    changed: Condvar,
    clock: Arc<dyn Clock>,
    obtain: Obtain,
    observer: Arc<dyn Observer>,
}

impl TokenSource {
    /// Makes a source. One that is kept fresh renews its token whether or not somebody asks.
    pub fn new(
        scope: &str,
        is_kept_fresh: bool,
        clock: Arc<dyn Clock>,
        obtain: Obtain,
        observer: Arc<dyn Observer>,
    ) -> Arc<Self> {
        let cache = Mutex::new(Cache::new(is_kept_fresh));
        let scope = Arc::from(scope);
        let (asked, changed) = (Condvar::new(), Condvar::new());
        Arc::new(Self { scope, cache, asked, changed, clock, obtain, observer })
    }

    /// Begins with a token that has been obtained already.
    pub fn start_with(&self, credential: Arc<Credential>) {
        self.lock().done(&self.now(), Ok(credential), random::fraction());
    }

    /// Returns the scope.
    pub fn scope(&self) -> &Arc<str> {
        &self.scope
    }

    /// Keeps the source filled from now on, in a thread that ends with the process.
    pub fn keep_filled(self: &Arc<Self>) -> std::io::Result<()> {
        let source = Arc::clone(self);
        std::thread::Builder::new()
            .name("renewal".to_owned())
            .spawn(move || {
                loop {
                    let due = source.renew_if_due();
                    source.sleep(due);
                    source.observer.tick();
                }
            })
            .map(drop)
    }

    /// Obtains a token if it is time to, and tells what comes next.
    pub fn renew_if_due(&self) -> Due {
        let failures = {
            let mut cache = self.lock();
            match cache.due(&self.now()) {
                Due::Now => cache.begin(),
                later => return later,
            }
        };
        let outcome = (self.obtain)(failures).map(Arc::new).map_err(Arc::new);
        // Whoever is answered with it finds it told of, and in its file.
        let before = self.lock().failure().cloned();
        match (&outcome, before) {
            (Ok(credential), before) => {
                if before.is_some() {
                    self.observer.recovered(&self.scope, credential);
                }
                self.observer.renewed(&self.scope, credential);
            }
            (Err(error), before) => self.observer.failed(&self.scope, error, before.as_deref()),
        }
        self.lock().done(&self.now(), outcome, random::fraction());
        self.changed.notify_all();
        self.lock().due(&self.now())
    }

    /// Sleeps until something may be due.
    fn sleep(&self, due: Due) {
        let cache = self.lock();
        // It may have become due in between.
        let wait = match (due, cache.due(&self.now())) {
            (Due::Now, _) | (_, Due::Now) => return,
            (Due::In(wait), _) => wait.min(LONGEST_SLEEP),
            (Due::WhenAsked, _) => {
                let is_idle = |cache: &mut Cache| cache.due(&self.now()) == Due::WhenAsked;
                drop(self.asked.wait_while(cache, is_idle).unwrap_or_else(PoisonError::into_inner));
                return;
            }
        };
        drop(self.asked.wait_timeout(cache, wait).unwrap_or_else(PoisonError::into_inner));
    }

    /// Answers a wish for a token at once: with a token, with the reason why there is none, or with the advice to wait until
    /// [`TokenSource::renew_if_due`] has been called.
    #[cfg(feature = "service")]
    pub fn cached(&self) -> Answer {
        self.lock().ask(&self.now())
    }

    /// Returns what is to be done next, for whoever calls [`TokenSource::renew_if_due`] by itself.
    #[cfg(feature = "service")]
    pub fn due(&self) -> Due {
        self.lock().due(&self.now())
    }

    /// Wishes for a new token however good the old one is, unless that came less than `pause` ago. Tells whether one will be
    /// obtained.
    #[cfg(feature = "service")]
    pub fn force(&self, pause: Duration) -> bool {
        self.lock().force(&self.now(), pause)
    }

    /// Lets time pass for whoever looks on.
    #[cfg(feature = "service")]
    pub fn tick(&self) {
        self.observer.tick();
    }

    /// Returns the token that is handed out at the moment, without a wish for one.
    #[cfg(feature = "service")]
    pub fn held(&self) -> Option<Served> {
        self.lock().held(&self.now())
    }

    /// Returns why there is no new token, if the last attempt failed.
    #[cfg(feature = "service")]
    pub fn failure(&self) -> Option<Arc<Error>> {
        self.lock().failure().cloned()
    }

    /// Returns a token, and waits for one until the deadline if need be.
    pub fn token(&self, until: Deadline) -> Result<Served, Unavailable> {
        let mut cache = self.lock();
        loop {
            match cache.ask(&self.now()) {
                Answer::Serve(served) => {
                    self.asked.notify_one();
                    return Ok(served);
                }
                Answer::Fail(error) => return Err(Unavailable { error: Some(error) }),
                Answer::Wait => {}
            }
            let Some(left) = until.left() else {
                return Err(Unavailable { error: cache.failure().cloned() });
            };
            self.asked.notify_one();
            cache = self.changed.wait_timeout(cache, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Ends it: no further token will be obtained. With `patience`, one that is being obtained is waited for.
    pub fn end(&self, patience: Duration) {
        let mut cache = self.lock();
        cache.end();
        drop(self.changed.wait_timeout_while(cache, patience, |cache| cache.is_busy()));
    }

    fn now(&self) -> Moment {
        Moment::now(&*self.clock)
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::fixed::FixedClock;
    use crate::credential::Kind;
    use crate::error::Code;
    use crate::secret::Secret;

    /// Looks at each call whether the source hands the new token, or the failure, out already.
    #[derive(Default)]
    struct Looking {
        source: Mutex<Option<Arc<TokenSource>>>,
        seen: Mutex<Vec<String>>,
    }

    impl Looking {
        fn sees(&self, what: &str) {
            let source = self.source.lock().unwrap().clone().unwrap();
            let answer = match source.token(Deadline::within(Duration::ZERO)) {
                Ok(served) => served.credential.token.reveal().to_owned(),
                Err(unavailable) => {
                    unavailable.error.map_or("nothing", |error| error.code().name()).to_owned()
                }
            };
            self.seen.lock().unwrap().push(format!("{what}, {answer}"));
        }
    }

    impl Observer for Looking {
        fn renewed(&self, _: &Arc<str>, credential: &Arc<Credential>) {
            self.sees(&format!("renewed {}", credential.token.reveal()));
        }

        fn recovered(&self, _: &Arc<str>, credential: &Credential) {
            self.sees(&format!("recovered {}", credential.token.reveal()));
        }

        fn failed(&self, _: &Arc<str>, error: &Error, _: Option<&Error>) {
            self.sees(&format!("failed {}", error.code().name()));
        }

        fn tick(&self) {}
    }

    #[test]
    fn an_outcome_is_told_of_before_anybody_is_answered_with_it() {
        let clock = Arc::new(FixedClock::at(1_000));
        let observer = Arc::new(Looking::default());
        let count = Mutex::new(0);
        let obtain = move |_| {
            let mut count = count.lock().unwrap();
            *count += 1;
            if *count % 2 == 1 {
                return Err(Error::new(Code::StsDenied, "no"));
            }
            let token = Secret::new(format!("token-{count}"));
            Ok(Credential::new(Kind::AccessToken, token, 3600, 1_000_000))
        };
        let source = TokenSource::new(
            "s",
            true,
            Arc::<FixedClock>::clone(&clock),
            Box::new(obtain),
            Arc::<Looking>::clone(&observer),
        );
        *observer.source.lock().unwrap() = Some(Arc::clone(&source));
        for _ in 0..3 {
            source.renew_if_due();
            clock.sleep(Duration::from_secs(3_000));
        }
        *observer.source.lock().unwrap() = None;
        assert_eq!(
            *observer.seen.lock().unwrap(),
            [
                "failed sts-denied, nothing",
                "recovered token-2, sts-denied",
                "renewed token-2, sts-denied",
                "failed sts-denied, token-2"
            ]
        );
    }
}
