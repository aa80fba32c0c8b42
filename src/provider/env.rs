//! A ready ID token in an environment variable, from any system.

use crate::env::Env;
use crate::error::{Code, Error};

use super::{Context, Fetched, Provider, token_from_variable};

/// The generic provider for variables, chosen by `--subject-token-env`.
pub(super) struct Variable;

impl Provider for Variable {
    fn id(&self) -> &'static str {
        "env"
    }

    fn name(&self) -> &'static str {
        "an ID token in a variable"
    }

    fn is_here(&self, _: &Env) -> bool {
        false
    }

    fn mints_on_request(&self) -> bool {
        false
    }

    fn fetch(&self, context: &Context<'_>) -> Result<Fetched, Error> {
        let token = token_from_variable(context.env, context.source.variable(), Code::TokenEnvEmpty, None)?;
        Ok(Fetched { token, skew: None })
    }
}
