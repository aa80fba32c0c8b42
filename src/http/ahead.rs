//! A connection that is opened ahead: before there is anything to send on it, while something else is waited for.
//!
//! Two requests to two servers, one after the other, cost six round trips: TCP, TLS and the request, twice. With the
//! second connection opened during the first request, it is four, and no program can do with less. The handshake tells
//! the server nothing about the job; what is secret goes out when it has been checked, as without all this.
//!
//! Nothing depends on it. A connection that fails, or that the server has closed by the time it is needed, is replaced
//! by a new one in the same attempt, and only what happens to that one is an error. From the first byte of the request
//! on, nothing is done twice.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::Duration as Limit;
use ureq::unversioned::transport::{ConnectionDetails, Connector, NextTimeout, Transport};

use super::connect::{Opened, Opener, SystemResolver, remaining};

/// A connection that is being opened, or is open, or could not be.
pub(super) struct Ahead {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// What the name has been resolved to, if it had to be.
    addresses: Option<ResolvedSocketAddrs>,
    /// The connection, until somebody takes it.
    opened: Option<Opened>,
    /// Whether nothing more will come.
    is_over: bool,
}

impl Ahead {
    /// Begins to connect, in a thread of its own. `None` where no thread can be had.
    pub(super) fn begin(uri: Uri, config: Config, opener: Opener) -> Option<Arc<Self>> {
        let ahead = Arc::new(Self { state: Mutex::default(), changed: Condvar::new() });
        let begun = Arc::clone(&ahead);
        let act = move || {
            let connector = Keeper { opener, ahead: Arc::clone(&begun) };
            // The keeper gives no connection back, so the library cannot send anything and ends with an error.
            drop(Agent::with_parts(config, connector, SystemResolver).get(uri).call());
            begun.change(|state| state.is_over = true);
        };
        thread::Builder::new().spawn(act).ok().map(|_| ahead)
    }

    /// The server's addresses, as soon as they are known; `None` when they could not be found.
    fn addresses(&self, timeout: NextTimeout) -> Result<Option<ResolvedSocketAddrs>, ureq::Error> {
        let mut state = self.wait(timeout, |state| state.addresses.is_some())?;
        Ok(state.addresses.take())
    }

    /// The connection, as soon as it stands; `None` when there is none that could be used.
    pub(super) fn take(&self, details: &ConnectionDetails<'_>) -> Result<Option<Opened>, ureq::Error> {
        let opened = self.wait(remaining(details), |state| state.opened.is_some())?.opened.take();
        Ok(opened.and_then(Opened::if_idle))
    }

    /// Waits until there is what is wanted, or until it will never come.
    fn wait(
        &self,
        timeout: NextTimeout,
        is_there: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>, ureq::Error> {
        let started = Instant::now();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while !state.is_over && !is_there(&state) {
            let left = match timeout.after {
                Limit::Exact(limit) => limit.saturating_sub(started.elapsed()),
                Limit::NotHappening => Duration::MAX,
            };
            if left.is_zero() {
                return Err(ureq::Error::Timeout(timeout.reason));
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        Ok(state)
    }

    fn change(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }
}

impl fmt::Debug for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ahead")
    }
}

/// Keeps the connection that it makes instead of giving it to the library.
#[derive(Debug)]
struct Keeper {
    opener: Opener,
    ahead: Arc<Ahead>,
}

impl Connector for Keeper {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        if self.opener.is_for_proxy(details) {
            return self.opener.open(details).map(|opened| Some(opened.transport));
        }
        self.ahead.change(|state| state.addresses = Some(details.addrs.clone()));
        let opened = self.opener.open(details)?;
        self.ahead.change(|state| state.opened = Some(opened));
        Ok(None)
    }
}

/// Resolves names, unless that has been done ahead. Not for use with a proxy, whose name is another one.
#[derive(Debug)]
pub(super) struct AheadResolver(pub(super) Option<Arc<Ahead>>);

impl Resolver for AheadResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        match self.0.as_ref().map(|ahead| ahead.addresses(timeout)).transpose()?.flatten() {
            Some(addresses) => Ok(addresses),
            None => SystemResolver.resolve(uri, config, timeout),
        }
    }
}
