//! The ways to obtain a credential from Equinix.
//!
//! A grant is one file in this folder and one line in [`GRANTS`]. It is made of its settings once, and may then be asked
//! again and again: for a run that outlives its token, and for a service. What grants share is in the other modules: the
//! STS, the classic API, and the strict reading of answers.

mod answer;
#[cfg(feature = "classic-grants")]
pub mod api;
#[cfg(feature = "classic-grants")]
mod client_credentials;
pub mod enclosing_run;
#[cfg(feature = "classic-grants")]
mod password;
pub mod planned;
#[cfg(feature = "classic-grants")]
mod refresh_token;
pub mod scope;
mod server_error;
pub mod settings;
pub mod sts;
#[cfg(feature = "classic-grants")]
mod sts_client_credentials;
pub mod token_exchange;

use std::sync::{Arc, Mutex, PoisonError};

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::secret::{Secret, fingerprint};
use crate::session::Session;

pub use answer::check_life;
use planned::Planned;
use settings::GrantSettings;
use token_exchange::SubjectTokens;

/// Every grant. The first one is the default.
pub const GRANTS: &[&Facts] = &[
    &token_exchange::FACTS,
    #[cfg(feature = "classic-grants")]
    &client_credentials::FACTS,
    #[cfg(feature = "classic-grants")]
    &sts_client_credentials::FACTS,
    #[cfg(feature = "classic-grants")]
    &refresh_token::FACTS,
    #[cfg(feature = "classic-grants")]
    &password::FACTS,
];

/// Makes a grant of its settings. One that needs no ID token leaves their source alone.
pub type Make = fn(&GrantSettings, Arc<dyn SubjectTokens>) -> Result<Arc<dyn Grant>, Error>;

/// A grant, as far as it can be described without code.
#[derive(Debug)]
pub struct Facts {
    /// The value of `--grant`.
    pub name: &'static str,
    /// The things that it needs, for messages.
    #[cfg_attr(not(feature = "classic-grants"), allow(dead_code, reason = "only the classic grants use it"))]
    pub needs: &'static str,
    /// The flags that only some grants use, and this one does. They say what kind of grant it is.
    pub flags: &'static [&'static str],
    /// Makes the grant of its settings.
    pub make: Make,
}

impl Facts {
    /// Tells whether the token is for a scope. The classic API knows none.
    pub fn takes_scope(&self) -> bool {
        self.flags.contains(&"--scope")
    }

    /// Tells whether it needs an ID token of the platform.
    pub fn takes_identity(&self) -> bool {
        self.flags.contains(&"--audience")
    }

    /// Tells whether it asks the STS.
    pub fn asks_sts(&self) -> bool {
        self.flags.contains(&"--sts-endpoint")
    }

    /// Tells whether it asks the classic API.
    pub fn asks_api(&self) -> bool {
        self.flags.contains(&"--api-endpoint")
    }

    /// Tells whether a refresh token belongs into its answers.
    pub fn rotates(&self) -> bool {
        self.flags.contains(&"--refresh-token-output")
    }
}

/// A way to a credential.
pub trait Grant: Send + Sync {
    /// Makes sure that everything is there which can be looked at without asking anybody.
    fn ready(&self, session: &Session) -> Result<(), Error>;

    /// Begins to connect to the server, while something else is waited for. Nothing is sent to it.
    fn prepare(&self, _session: &Session, _by: Deadline) {}

    /// Does everything but ask: returns the requests that [`Grant::obtain`] would send, in their order.
    fn rehearse(&self, session: &Session, by: Deadline) -> Result<Vec<Planned>, Error>;

    /// Obtains a credential. What is odd about it is in its findings.
    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error>;

    /// Tells until when another credential can be obtained.
    #[cfg_attr(not(feature = "renew"), allow(dead_code, reason = "only runs that outlive their token ask"))]
    fn renewable_until(&self) -> Renewable;
}

/// The end of the time in which another credential can be obtained.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Renewable {
    /// No end.
    Always,
    /// This moment (Unix time).
    #[cfg_attr(not(feature = "renew"), allow(dead_code, reason = "only runs that outlive their token ask"))]
    Until(i64),
    /// It is not known before the first credential.
    Unknown,
}

/// Counts how often secrets were used. Of the secrets themselves nothing is kept.
#[derive(Debug, Default)]
pub struct Uses(Mutex<Vec<([u8; 32], u32)>>);

impl Uses {
    /// Returns how often a secret was used.
    pub fn count(&self, secret: &Secret) -> u32 {
        let own = fingerprint([secret.reveal()]);
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().find(|(known, _)| *known == own).map_or(0, |(_, count)| *count)
    }

    /// Counts one more use.
    pub fn add(&self, secret: &Secret) {
        let own = fingerprint([secret.reveal()]);
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter_mut().find(|(known, _)| *known == own) {
            Some((_, count)) => *count = count.saturating_add(1),
            None => known.push((own, 1)),
        }
    }
}

/// Secrets that a server has refused. None of them is sent again by this process: what was wrong with it stays wrong, and
/// accounts can be locked after a few attempts.
#[derive(Debug, Default)]
pub struct Refused(Mutex<Vec<([u8; 32], Code)>>);

impl Refused {
    /// Refuses a secret that a server has refused before. `what` is the secret in messages, e.g. `the ID token`.
    pub fn check(&self, secret: &Secret, what: &str) -> Result<(), Error> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let own = fingerprint([secret.reveal()]);
        match known.iter().find(|(known, _)| *known == own) {
            None => Ok(()),
            Some((_, code)) => {
                Err(Error::new(*code, format!("{what} was refused before, so it was not sent again")))
            }
        }
    }

    /// Remembers a secret that was refused, and with which code. Of the secret itself nothing is kept.
    pub fn remember(&self, secret: &Secret, code: Code) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((fingerprint([secret.reveal()]), code));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_secret_is_refused_for_the_rest_of_the_process() {
        let refused = Refused::default();
        let check = |secret| refused.check(secret, "the ID token");
        let (one, other) = (Secret::new("hush-1"), Secret::new("hush-2"));
        assert!(check(&one).is_ok());
        refused.remember(&one, Code::StsScopeDenied);
        let error = check(&one).unwrap_err();
        assert_eq!(error.message(), "the ID token was refused before, so it was not sent again");
        assert_eq!(error.code(), Code::StsScopeDenied);
        assert!(check(&other).is_ok());
        assert!(!format!("{refused:?}").contains("hush"));
    }

    #[test]
    fn every_grant_file_is_registered_once() {
        const NOT_CHOSEN: &str = "enclosing-run";
        const SHARED: [&str; 8] =
            ["answer", "api", "mod", "planned", "scope", "server-error", "settings", "sts"];
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/grant"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().replace('_', "-"))
            .filter(|name| !SHARED.contains(&name.as_str()) && name != NOT_CHOSEN)
            .collect();
        files.sort();
        let mut names: Vec<&str> = GRANTS.iter().map(|facts| facts.name).collect();
        names.sort_unstable();
        if cfg!(feature = "classic-grants") {
            assert_eq!(files, names);
        } else {
            assert_eq!(names, ["token-exchange"]);
        }
    }
}
