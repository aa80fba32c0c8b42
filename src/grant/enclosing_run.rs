//! The way to a token inside a run of `exec --renew`: its parent hands it out.
//!
//! The command of such a run has no identity. It has a handle in place of the ID token, and the address of its parent on
//! loopback in place of the STS. Nobody chooses this grant: it follows from what is in the environment, and from nothing
//! else being there.

use std::fmt;
use std::sync::Arc;

use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::handle::{PREFIX, is_handle};
use crate::http::url::Url;
use crate::platform::PLATFORMS;
use crate::retry::Attempt;
use crate::secret::Secret;
use crate::session::Session;

use super::planned::Planned;
use super::settings::GrantSettings;
use super::sts::{Api, Proof, Request, Sts};
use super::token_exchange;
use super::{Facts, Grant, Renewable};

/// The facts about the grant.
pub const FACTS: Facts = Facts {
    name: "enclosing-run",
    needs: "the handle of the equinix-wif exec --renew that this runs in",
    flags: &["--scope"],
    make: |settings, _| Ok(Arc::new(EnclosingRun::of(settings)?) as Arc<dyn Grant>),
};

/// A run of `exec --renew` around this process.
#[derive(Clone)]
pub struct Parent {
    /// Its base URL on loopback.
    pub endpoint: Url,
    /// The handle with which it is asked.
    pub handle: Arc<Secret>,
}

impl fmt::Debug for Parent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Parent").field(&self.endpoint.origin()).finish()
    }
}

/// Finds the run of `exec --renew` around this process.
///
/// Both variables are easily planted by an earlier step, and whoever answers at the address decides what token this job goes
/// on with. So a job that has an identity of its own never asks there, and neither does one of which only a part fits.
pub fn find(env: &Env) -> Result<Option<Parent>, Error> {
    let Some(handle) = env.text(names::SUBJECT_TOKEN).ok().flatten().filter(|text| text.starts_with(PREFIX))
    else {
        return Ok(None);
    };
    let unclear = |why: String| {
        let message = format!("{} holds a handle of equinix-wif exec --renew, {why}", names::SUBJECT_TOKEN);
        Err(Error::new(Code::RenewalUnclear, message))
    };
    if !is_handle(&handle) {
        return unclear("but not a whole one".to_owned());
    }
    let endpoint = match env.text(names::STS_ENDPOINT)?.map(|text| Url::parse(&text)) {
        Some(Ok(url)) if url.is_loopback() && !url.is_https() && url.is_origin() => url,
        Some(_) => return unclear(format!("but {} does not name its address", names::STS_ENDPOINT)),
        None => return unclear(format!("but {} is not set", names::STS_ENDPOINT)),
    };
    let leads = PLATFORMS
        .iter()
        .map(|platform| platform.facts())
        .flat_map(|facts| facts.secret_variables().chain(facts.leads.iter().copied()));
    let others = [names::OWN_SUBJECT_TOKEN, names::SUBJECT_TOKEN_FILE, names::SUBJECT_TOKEN_ENV_VAR];
    // A job whose secret is stored says so by its grant, wherever the secret itself is.
    let grant = (!env.is(names::GRANT, token_exchange::FACTS.name)).then_some(names::GRANT);
    let others = others.into_iter().chain(names::CLIENT_SECRETS).chain(grant);
    if let Some(name) = leads.chain(others).find(|name| *name != names::SUBJECT_TOKEN && env.has(name)) {
        return unclear(format!(
            "but {name} leads to an identity of this job as well, which such a run takes away"
        ));
    }
    Ok(Some(Parent { endpoint, handle: Arc::new(Secret::new(handle)) }))
}

/// The grant: a handle for an access token.
struct EnclosingRun {
    sts: Sts,
    handle: Arc<Secret>,
    scope: String,
    min_ttl: u64,
}

impl EnclosingRun {
    fn of(settings: &GrantSettings) -> Result<Self, Error> {
        let parent = settings
            .parent
            .as_ref()
            .ok_or_else(|| Error::new(Code::Internal, "this does not run inside equinix-wif exec --renew"))?;
        Ok(Self {
            sts: Sts { endpoint: parent.endpoint.clone(), api: Api::default() },
            handle: Arc::clone(&parent.handle),
            scope: settings.required_scope()?.to_owned(),
            min_ttl: settings.min_ttl,
        })
    }

    fn request(&self) -> Request<'_> {
        Request {
            sts: &self.sts,
            scope: &self.scope,
            min_ttl: self.min_ttl,
            proof: Proof::Handle(&self.handle),
            contact: None,
        }
    }
}

impl Grant for EnclosingRun {
    fn ready(&self, _: &Session) -> Result<(), Error> {
        Ok(())
    }

    fn rehearse(&self, _: &Session, _: Deadline) -> Result<Vec<Planned>, Error> {
        Ok(vec![self.request().planned()?])
    }

    fn obtain(&self, session: &Session, by: Deadline) -> Result<Credential, Error> {
        let origin = self.sts.endpoint.origin();
        session
            .console
            .note(&format!("asking the equinix-wif exec --renew around this command, at {origin}"));
        session.retry("asking the enclosing run", by, |attempt| {
            // It holds a request for longer than an attempt at a server takes.
            let attempt = Attempt { is_patient: true, ..attempt };
            self.request().send(&session.http, &*session.clock, &session.console, attempt)
        })
    }

    fn renewable_until(&self) -> Renewable {
        Renewable::Always
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HANDLE: &str = "ewh_0123456789abcdefghijklmnopqrstuvwxyzABCDE-_";
    const STS: (&str, &str) = ("EQUINIX_STS_ENDPOINT", "http://127.0.0.1:4321");

    fn outcome(pairs: &[(&str, &str)]) -> String {
        match find(&Env::fixed(pairs.iter().copied())) {
            Ok(None) => "none".to_owned(),
            Ok(Some(parent)) => parent.endpoint.origin(),
            Err(error) => format!("{}: {}", error.code().name(), error.message()),
        }
    }

    #[test]
    fn a_parent_is_a_whole_handle_and_its_address_and_no_identity() {
        let handle = (names::SUBJECT_TOKEN, HANDLE);
        assert_eq!(outcome(&[handle, STS]), "http://127.0.0.1:4321");
        assert_eq!(outcome(&[handle, STS, ("GITHUB_ACTIONS", "true")]), "http://127.0.0.1:4321");
        for pairs in [&[STS][..], &[], &[(names::SUBJECT_TOKEN, "eyJ.e.s"), STS]] {
            assert_eq!(outcome(pairs), "none", "{pairs:?}");
        }
    }

    #[test]
    fn anything_in_between_is_an_error() {
        let handle = (names::SUBJECT_TOKEN, HANDLE);
        for (pairs, why) in [
            (vec![(names::SUBJECT_TOKEN, "ewh_short"), STS], "not a whole one"),
            (
                vec![(names::SUBJECT_TOKEN, "ewh_0123456789abcdefghijklmnopqrstuvwxyzABCDE-."), STS],
                "not a whole",
            ),
            (vec![handle], "EQUINIX_STS_ENDPOINT is not set"),
            (vec![handle, (STS.0, "https://sts.eqix.equinix.com")], "does not name its address"),
            (vec![handle, (STS.0, "https://127.0.0.1:1")], "does not name its address"),
            (vec![handle, (STS.0, "http://127.0.0.1:1/x")], "does not name its address"),
            (
                vec![handle, STS, ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x")],
                "ACTIONS_ID_TOKEN_REQUEST_URL leads",
            ),
            (
                vec![handle, STS, ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x")],
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN leads",
            ),
            (vec![handle, STS, (names::OWN_SUBJECT_TOKEN, "x")], "EQUINIX_WIF_SUBJECT_TOKEN leads"),
            (vec![handle, STS, (names::SUBJECT_TOKEN_FILE, "x")], "leads to an identity"),
            (vec![handle, STS, (names::SUBJECT_TOKEN_ENV_VAR, "x")], "leads to an identity"),
            (vec![handle, STS, (names::GRANT, "client-credentials")], "EQUINIX_WIF_GRANT leads"),
            (vec![handle, STS, (names::CLIENT_SECRET, "x")], "EQUINIX_API_CLIENTSECRET leads"),
            (vec![handle, STS, (names::CLI_CLIENT_ID, "x")], "EQUINIX_CLIENT_ID leads"),
        ] {
            let outcome = outcome(&pairs);
            assert!(outcome.starts_with("renewal-unclear: ") && outcome.contains(why), "{why}: {outcome}");
            assert!(!outcome.contains("0123456789"), "{outcome}");
        }
    }

    #[test]
    fn debug_shows_no_handle() {
        let parent = find(&Env::fixed([(names::SUBJECT_TOKEN, HANDLE), STS])).unwrap();
        assert!(!format!("{parent:?}").contains("0123456789"));
    }
}
