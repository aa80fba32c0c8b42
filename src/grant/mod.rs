//! The ways to obtain a credential from Equinix.
//!
//! A grant is one file in this folder and one line in [`GRANTS`]. It is made of its settings once, and may then be asked
//! again and again: for a run that outlives its token, and for a service.

pub mod scope;
pub mod settings;
pub mod token_exchange;

use std::sync::{Mutex, PoisonError};

use ring::digest::{SHA256, digest};

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::secret::Secret;
use crate::session::Session;

/// Every grant: the name by which users know it, and what it needs.
#[cfg_attr(not(test), expect(dead_code, reason = "there is one grant, so nobody has to choose yet"))]
pub const GRANTS: &[(&str, &str)] = &[(token_exchange::NAME, "an ID token, which is exchanged (RFC 8693)")];

/// A way to a credential.
pub trait Grant: Send + Sync {
    /// Makes sure that everything is there which can be looked at without asking anybody.
    #[cfg_attr(
        not(test),
        expect(dead_code, reason = "for the second grant: the commands ask the platform of the only one")
    )]
    fn ready(&self, session: &Session) -> Result<(), Error>;

    /// Begins to connect to the server, while something else is waited for. Nothing is sent to it.
    fn prepare(&self, _session: &Session, _by: Deadline) {}

    /// Obtains a credential. What is odd about it is in its findings.
    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error>;

    /// Tells until when another credential can be obtained.
    #[cfg_attr(not(test), expect(dead_code, reason = "for runs that outlive their token"))]
    fn renewable_until(&self) -> Renewable;
}

/// The end of the time in which another credential can be obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewable {
    /// No end.
    Always,
    /// This moment (Unix time).
    Until(i64),
    /// It is not known before the first credential.
    Unknown,
}

/// Secrets that a server has refused. None of them is sent again by this process: what was wrong with it stays wrong, and
/// accounts can be locked after a few attempts.
#[derive(Debug, Default)]
pub struct Refused(Mutex<Vec<[u8; 32]>>);

impl Refused {
    /// Refuses a secret that a server has refused before. `what` is the secret in messages, e.g. `the ID token`.
    pub fn check(&self, secret: &Secret, what: &str) -> Result<(), Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.contains(&fingerprint(secret)) {
            return Ok(());
        }
        let message = format!("{what} was refused before, so it was not sent again");
        Err(Error::new(Code::StsDenied, message))
    }

    /// Remembers a secret that was refused. Of the secret itself nothing is kept.
    pub fn remember(&self, secret: &Secret) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(fingerprint(secret));
    }
}

fn fingerprint(secret: &Secret) -> [u8; 32] {
    let mut bytes = [0; 32];
    for (to, from) in bytes.iter_mut().zip(digest(&SHA256, secret.reveal().as_bytes()).as_ref()) {
        *to = *from;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_secret_is_refused_for_the_rest_of_the_process() {
        let refused = Refused::default();
        let (one, other) = (Secret::new("hush-1"), Secret::new("hush-2"));
        assert!(refused.check(&one, "the ID token").is_ok());
        refused.remember(&one);
        let error = refused.check(&one, "the ID token").unwrap_err();
        assert_eq!(error.message(), "the ID token was refused before, so it was not sent again");
        assert!(refused.check(&other, "the ID token").is_ok());
        assert!(!format!("{refused:?}").contains("hush"));
    }

    #[test]
    fn every_grant_file_is_registered_once() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/grant"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().replace('_', "-"))
            .filter(|name| !["mod", "scope", "settings"].contains(&name.as_str()))
            .collect();
        files.sort();
        let mut names: Vec<&str> = GRANTS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert_eq!(files, names);
    }
}
