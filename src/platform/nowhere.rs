//! The platform of a run that needs no identity: none.

use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::session::Session;

use super::{Facts, Fetched, Platform, Wanted};

/// A machine of which nothing is known, such as a laptop.
pub(super) struct Nowhere;

impl Platform for Nowhere {
    fn facts(&self) -> &'static Facts {
        &Facts::NEUTRAL
    }

    fn ready(&self, _: &Env, _: &Wanted) -> Result<(), Error> {
        Err(Error::new(Code::AmbientNotCi, "this does not look like a CI job with an identity"))
    }

    fn fetch(&self, session: &Session, wanted: &Wanted, _: Deadline) -> Result<Fetched, Error> {
        self.ready(&session.env, wanted)?;
        Err(Error::new(Code::Internal, "there is no platform to ask"))
    }
}
