//! A source of access tokens: a cache with a thread that keeps it filled.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::Clock;
use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::Error;
use crate::random;

use super::cache::{Answer, Cache, Due, Moment, Served};

/// The longest sleep of the thread. A machine's clock may be set, or the machine may have slept: what is due is seen after
/// this time at the latest.
const LONGEST_SLEEP: Duration = Duration::from_secs(60);

/// Obtains a token, for as long as it may take.
pub type Obtain = Box<dyn Fn() -> Result<Credential, Error> + Send + Sync>;

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
        self.error.as_ref().is_none_or(|error| error.code().exit().retryable())
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

    /// Ends the renewals. One that is under way goes on.
    pub fn end(&self) {
        self.lock().end();
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
        {
            let mut cache = self.lock();
            match cache.due(&self.now()) {
                Due::Now => cache.begin(),
                later => return later,
            }
        }
        let outcome = (self.obtain)().map(Arc::new).map_err(Arc::new);
        let before = {
            let mut cache = self.lock();
            let before = cache.failure().cloned();
            cache.done(&self.now(), outcome.clone(), random::fraction());
            before
        };
        self.changed.notify_all();
        match (&outcome, before) {
            (Ok(credential), before) => {
                if before.is_some() {
                    self.observer.recovered(&self.scope, credential);
                }
                self.observer.renewed(&self.scope, credential);
            }
            (Err(error), before) => self.observer.failed(&self.scope, error, before.as_deref()),
        }
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

    fn now(&self) -> Moment {
        Moment::now(&*self.clock)
    }

    fn lock(&self) -> MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
