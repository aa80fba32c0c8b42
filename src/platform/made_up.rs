//! A platform that does not exist, for the unit tests: all that a system with ready tokens can need.

use crate::env::Env;
use crate::error::{Code, Error};
use crate::identity::claims::ExpectedIssuer;

use super::Platform;
use super::facts::{Facts, Folder, ReadyToken, Supply, Trace};
use super::mask::Mask;

/// A system whose jobs have `MADE_UP=yes` and a token in `MADE_UP_TOKEN`.
pub struct MadeUp;

/// The variables of its runner.
pub mod names {
    crate::env::variables! {
        /// `yes` in every job of the made-up system.
        MADE_UP = "MADE_UP";
        /// The ID token. A secret.
        MADE_UP_TOKEN = "MADE_UP_TOKEN";
        /// The id of this run.
        MADE_UP_RUN = "MADE_UP_RUN";
        /// The checkout.
        MADE_UP_CHECKOUT = "MADE_UP_CHECKOUT";
        /// The runner file for the job summary.
        MADE_UP_SUMMARY = "MADE_UP_SUMMARY";
        /// `on` when the shell logs every command.
        MADE_UP_TRACE = "MADE_UP_TRACE";
    }
}

static FACTS: Facts = Facts {
    id: "made-up",
    name: "Made-up CI",
    markers: &[(names::MADE_UP, "yes")],
    variables: names::ALL,
    secrets: &[names::MADE_UP_TOKEN],
    reserved: &["MADE_UP_"],
    temporary: &[Folder { variable: names::MADE_UP_CHECKOUT, suffix: ".tmp" }],
    workspace: Some(names::MADE_UP_CHECKOUT),
    summary: Some(names::MADE_UP_SUMMARY),
    trace: Some(Trace { variable: names::MADE_UP_TRACE, off: &["off"], cure: "Switch it off." }),
    mask: Mask::Line(|value| format!("!hide {value}")),
    run: &[("run", names::MADE_UP_RUN)],
    format: "shell",
    supply: Supply::Variable(TOKEN),
    ..Facts::NEUTRAL
};

const TOKEN: ReadyToken =
    ReadyToken { variables: &[names::MADE_UP_TOKEN], missing: Code::TokenEnvEmpty, cure: None };

impl Platform for MadeUp {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn expected_issuer(&self, _: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(Some(ExpectedIssuer::Exactly("https://made-up.example".to_owned())))
    }
}
