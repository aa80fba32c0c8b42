//! A ready ID token in an environment variable, from any system.

use crate::env::Env;
use crate::error::{Code, Error};

use super::{Context, Fetched, Platform, TokenLocation, token_from_variable};

/// The generic provider for variables, chosen by `--subject-token-env`.
pub(super) struct Variable;

impl Platform for Variable {
    fn id(&self) -> &'static str {
        "env"
    }

    fn name(&self) -> &'static str {
        "an ID token in a variable"
    }

    fn is_here(&self, _: &Env) -> bool {
        false
    }

    fn evidence(&self, _: &Env) -> String {
        "chosen by the setting subject-token-env".to_owned()
    }

    fn ready(&self, env: &Env, source: &TokenLocation, _: Option<&str>) -> Result<(), Error> {
        token_from_variable(env, source.variable(), Code::TokenEnvEmpty, None).map(drop)
    }

    fn mints_on_request(&self) -> bool {
        false
    }

    fn fetch(&self, context: &Context<'_>) -> Result<Fetched, Error> {
        let token = token_from_variable(context.env, context.source.variable(), Code::TokenEnvEmpty, None)?;
        Ok(Fetched { token, skew: None })
    }
}
