//! A ready ID token in an environment variable, from any system.

use crate::env::Env;
use crate::error::Code;

use super::facts::{Facts, ReadyToken, Supply};
use super::{Evidence, Platform, SUBJECT_TOKENS};

/// The generic provider for variables, chosen by `--subject-token-env`.
pub(super) struct Variable;

static FACTS: Facts =
    Facts { id: "env", name: "an ID token in a variable", supply: Supply::Variable(TOKEN), ..Facts::NEUTRAL };

const TOKEN: ReadyToken = ReadyToken { variables: SUBJECT_TOKENS, missing: Code::TokenEnvEmpty, cure: None };

impl Platform for Variable {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn here(&self, _: &Env) -> Evidence {
        Evidence { is_here: false, text: "chosen by the setting subject-token-env".to_owned() }
    }
}
