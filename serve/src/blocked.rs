//! Clients that the API has refused. An account locks after five wrong attempts in a row, so what was refused is not sent again
//! for a quarter of an hour.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The time for which a client is blocked.
const BLOCKED: Duration = Duration::from_secs(15 * 60);

/// The number of clients that are remembered. The oldest are forgotten first.
const REMEMBERED: usize = 4096;

/// A digest of what a client sends to prove who it is.
pub type Fingerprint = [u8; 32];

/// The clients that were refused, each with the moment until which it is blocked. Of their secrets nothing is kept.
#[derive(Default)]
pub struct Blocked(Mutex<HashMap<Fingerprint, Instant>>);

impl Blocked {
    /// Tells whether nobody is blocked, which is nearly always so.
    pub fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Returns how long a client is still blocked.
    pub fn left(&self, client: &Fingerprint, now: Instant) -> Option<Duration> {
        let mut known = self.lock();
        let left = known.get(client)?.saturating_duration_since(now);
        if left.is_zero() {
            known.remove(client);
            return None;
        }
        Some(left)
    }

    /// Blocks a client.
    pub fn block(&self, client: Fingerprint, now: Instant) {
        let mut known = self.lock();
        known.retain(|_, until| *until > now);
        if known.len() >= REMEMBERED
            && let Some(oldest) = known.iter().min_by_key(|(_, until)| **until).map(|(client, _)| *client)
        {
            known.remove(&oldest);
        }
        known.insert(client, now + BLOCKED);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_blocked_for_a_quarter_of_an_hour() {
        let (blocked, now) = (Blocked::default(), Instant::now());
        assert!(blocked.is_empty());
        blocked.block([1; 32], now);
        assert_eq!(blocked.left(&[1; 32], now + Duration::from_secs(899)), Some(Duration::from_secs(1)));
        assert_eq!(blocked.left(&[2; 32], now), None);
        assert_eq!(blocked.left(&[1; 32], now + BLOCKED), None);
        assert!(blocked.is_empty(), "what has ended is forgotten");
    }

    #[test]
    fn the_memory_has_an_end() {
        let (blocked, now) = (Blocked::default(), Instant::now());
        for number in 0..5_000_u32 {
            let mut client = [0; 32];
            client[..4].copy_from_slice(&number.to_le_bytes());
            blocked.block(client, now + Duration::from_millis(u64::from(number)));
        }
        assert_eq!(blocked.lock().len(), REMEMBERED);
    }
}
