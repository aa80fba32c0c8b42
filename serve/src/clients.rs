//! Clients and what the API thinks of them. An account locks after five wrong attempts in a row: so what was refused is not sent
//! again for a quarter of an hour, and what has not been accepted lately is sent once at a time.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OwnedMutexGuard;

/// The time for which a client is blocked, and for which it counts as accepted.
const REMEMBERED: Duration = Duration::from_secs(15 * 60);

/// The number of clients that are remembered for each reason. The oldest are forgotten first.
const CLIENTS: usize = 4096;

/// The number of refusals after which an id with its secret is blocked, whatever else comes with it. An account locks after
/// five.
const REFUSALS: u32 = 3;

/// A digest of what a client sends to prove who it is. Of the secrets themselves nothing is kept.
pub type Fingerprint = [u8; 32];

/// The proof that a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// The client's id and secret.
    pub pair: Fingerprint,
    /// The same, and what else the request is judged by: a user's name and password, or a refresh token.
    pub whole: Fingerprint,
}

/// Entries that end after a while, and are never too many.
struct Passing<K, V>(HashMap<K, (V, Instant)>);

impl<K, V> Default for Passing<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Hash + Eq + Copy, V> Passing<K, V> {
    /// Returns an entry and the time that is left of it.
    fn get(&self, key: &K, now: Instant) -> Option<(&V, Duration)> {
        let (value, until) = self.0.get(key)?;
        let left = until.saturating_duration_since(now);
        (!left.is_zero()).then_some((value, left))
    }

    fn insert(&mut self, key: K, value: V, now: Instant) {
        if self.0.len() >= CLIENTS {
            self.0.retain(|_, (_, until)| *until > now);
        }
        if self.0.len() >= CLIENTS
            && let Some(oldest) = self.0.iter().min_by_key(|(_, (_, until))| *until).map(|(key, _)| *key)
        {
            self.0.remove(&oldest);
        }
        self.0.insert(key, (value, now + REMEMBERED));
    }
}

#[derive(Default)]
struct Known {
    blocked: Passing<Fingerprint, ()>,
    refusals: Passing<Fingerprint, u32>,
    accepted: Passing<Fingerprint, ()>,
    /// Those whose callers went away before the API had answered.
    abandoned: Passing<Fingerprint, ()>,
    /// Those that have not been accepted lately, each with the lock that lets one request at a time through.
    waiting: HashMap<Fingerprint, Arc<tokio::sync::Mutex<()>>>,
}

/// What is known of clients.
#[derive(Default)]
pub struct Clients(Mutex<Known>);

/// The permission to send what a request brings. One at a time, unless the API has accepted it lately.
pub struct Turn {
    clients: Arc<Clients>,
    proof: Proof,
    /// True if the API's answer has to be waited for even if the caller goes away: the one before has gone, and each may have been a
    /// wrong attempt.
    pub has_to_end: bool,
    is_over: bool,
    _held: Option<OwnedMutexGuard<()>>,
}

impl Turn {
    /// Notes that the API has accepted the proof.
    pub fn accept(mut self) {
        self.is_over = true;
        self.clients.accept(&self.proof);
    }

    /// Notes that the API has refused the proof.
    pub fn refuse(mut self) {
        self.is_over = true;
        self.clients.refuse(&self.proof);
    }

    /// Notes that nothing was learned of the proof.
    pub fn leave(mut self) {
        self.is_over = true;
        self.clients.lock().tidy(&self.proof.pair);
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if !self.is_over {
            let mut known = self.clients.lock();
            known.abandoned.insert(self.proof.whole, (), Instant::now());
            known.tidy(&self.proof.pair);
        }
    }
}

impl Clients {
    /// Waits for the permission to send a proof. `Err` is the time for which it is blocked.
    pub async fn turn(self: &Arc<Self>, proof: &Proof) -> Result<Turn, Duration> {
        let turn = |has_to_end, held| Turn {
            clients: Arc::clone(self),
            proof: *proof,
            has_to_end,
            is_over: false,
            _held: held,
        };
        let lock = {
            let mut known = self.lock();
            known.check(proof, Instant::now())?;
            if known.accepted.get(&proof.whole, Instant::now()).is_some() {
                return Ok(turn(false, None));
            }
            if known.waiting.len() >= CLIENTS {
                // Left by those who went away.
                known.waiting.retain(|_, lock| Arc::strong_count(lock) > 1);
            }
            Arc::clone(known.waiting.entry(proof.pair).or_default())
        };
        let held = lock.lock_owned().await;
        // What was sent before may have been refused meanwhile.
        let known = self.lock();
        known.check(proof, Instant::now())?;
        Ok(turn(known.abandoned.get(&proof.whole, Instant::now()).is_some(), Some(held)))
    }

    fn accept(&self, proof: &Proof) {
        let mut known = self.lock();
        let now = Instant::now();
        if known.accepted.get(&proof.whole, now).is_none_or(|((), left)| left < REMEMBERED / 2) {
            known.accepted.insert(proof.whole, (), now);
        }
        known.refusals.0.remove(&proof.pair);
        known.abandoned.0.remove(&proof.whole);
        known.tidy(&proof.pair);
    }

    fn refuse(&self, proof: &Proof) {
        let mut known = self.lock();
        let now = Instant::now();
        known.accepted.0.remove(&proof.whole);
        known.blocked.insert(proof.whole, (), now);
        let count = known.refusals.get(&proof.pair, now).map_or(0, |(count, _)| *count).saturating_add(1);
        known.refusals.insert(proof.pair, count, now);
        if count >= REFUSALS {
            known.blocked.insert(proof.pair, (), now);
        }
        known.tidy(&proof.pair);
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn check(&self, proof: &Proof, now: Instant) -> Result<(), Duration> {
        let blocked = [&proof.whole, &proof.pair].into_iter().filter_map(|key| self.blocked.get(key, now));
        match blocked.map(|((), left)| left).max() {
            Some(left) => Err(left),
            None => Ok(()),
        }
    }

    /// Forgets the lock of a client for which nobody else waits.
    fn tidy(&mut self, pair: &Fingerprint) {
        // One is this map's, and one is held by whoever sends at the moment.
        if self.waiting.get(pair).is_some_and(|lock| Arc::strong_count(lock) <= 2) {
            self.waiting.remove(pair);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proof(pair: u8, whole: u8) -> Proof {
        Proof { pair: [pair; 32], whole: [whole; 32] }
    }

    #[tokio::test]
    async fn what_was_refused_is_blocked_and_forgotten_after_a_while() {
        let clients = Arc::new(Clients::default());
        clients.turn(&proof(1, 1)).await.ok().unwrap().refuse();
        let left = clients.turn(&proof(1, 1)).await.err().unwrap();
        assert!(left > Duration::from_secs(890) && left <= REMEMBERED, "{left:?}");
        assert!(clients.turn(&proof(2, 2)).await.is_ok());
        let later = Instant::now() + REMEMBERED;
        assert!(clients.lock().check(&proof(1, 1), later).is_ok());
    }

    #[tokio::test]
    async fn a_pair_that_is_refused_again_and_again_is_blocked_whatever_comes_with_it() {
        let clients = Arc::new(Clients::default());
        for user in 10..13 {
            clients.turn(&proof(1, user)).await.ok().unwrap().refuse();
        }
        assert!(clients.turn(&proof(1, 13)).await.is_err());
        assert!(clients.turn(&proof(2, 14)).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_not_known_is_sent_once_at_a_time() {
        let clients = Arc::new(Clients::default());
        let first = clients.turn(&proof(1, 1)).await.ok().unwrap();
        let other = Arc::clone(&clients);
        let waiting = tokio::spawn(async move { other.turn(&proof(1, 1)).await.is_err() });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        first.refuse();
        assert!(waiting.await.unwrap(), "it was refused meanwhile");
        // What was accepted goes side by side.
        clients.turn(&proof(2, 2)).await.ok().unwrap().accept();
        let both = (clients.turn(&proof(2, 2)).await, clients.turn(&proof(2, 2)).await);
        assert!(both.0.is_ok() && both.1.is_ok());
    }

    #[tokio::test]
    async fn after_a_caller_who_went_away_the_next_answer_is_waited_for() {
        let clients = Arc::new(Clients::default());
        let turn = clients.turn(&proof(1, 1)).await.ok().unwrap();
        assert!(!turn.has_to_end);
        drop(turn);
        let turn = clients.turn(&proof(1, 1)).await.ok().unwrap();
        assert!(turn.has_to_end);
        turn.leave();
        assert!(clients.lock().waiting.is_empty());
    }

    #[test]
    fn the_memory_has_an_end() {
        let clients = Clients::default();
        for number in 0..5_000_u32 {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_le_bytes());
            clients.refuse(&Proof { pair: key, whole: key });
            clients.accept(&Proof { pair: key, whole: key });
        }
        let known = clients.lock();
        let sizes =
            [known.blocked.0.len(), known.accepted.0.len(), known.refusals.0.len(), known.waiting.len()];
        assert!(sizes.iter().all(|size| *size <= CLIENTS), "{sizes:?}");
    }
}
