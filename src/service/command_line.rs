//! The command line of the service: its own flags, and those settings of the program that it takes over.

use std::ffi::OsString;

use clap::ArgMatches;
use clap::error::ErrorKind;

use crate::cli::commands::Command;
use crate::cli::row::{Heading, Row};
use crate::cli::settings::{GrantSettings, IdentitySettings, NetworkSettings, Resolver};
use crate::cli::table::{API_ENDPOINT, GRANT, ON_UNAVAILABLE, QUIET, VERBOSE};
use crate::cli::typed::Typed;
use crate::cli::{definition, usage};
use crate::env::{Env, names};
use crate::error::Error;
use crate::http::url::Url;
use crate::platform;
use crate::report::console::Verbosity;
use crate::secret::Secret;

/// A command line that was read.
pub struct CommandLine {
    /// The service's own flags.
    pub own: ArgMatches,
    typed: Typed,
    /// The classic API of the sandbox, for a service that passes requests on.
    sandbox_api: Option<String>,
}

/// The use that a command line is for.
pub enum Purpose {
    /// To run the service.
    Run(CommandLine),
    /// To print a text: help, or the version.
    Print(String),
}

/// The settings of the program that a service was given.
pub struct Given {
    /// The identity.
    pub identity: IdentitySettings,
    /// The grant.
    pub grant: GrantSettings,
    /// The way requests are made.
    pub network: NetworkSettings,
}

/// Tells whether the service takes a setting over: those of identity, grant, endpoints and network.
fn is_taken_over(row: &Row) -> bool {
    let headings = [Heading::Identity, Heading::Exchange, Heading::Client, Heading::Network];
    let speech = [QUIET.row.flag, VERBOSE.row.flag];
    let is_of_token = row.on.contains(&Command::Token) && headings.contains(&row.heading);
    (is_of_token && row.flag != ON_UNAVAILABLE.row.flag) || speech.contains(&row.flag)
}

/// Reads a command line. `own` has the service's name, its own flags and its texts.
pub fn parse(own: clap::Command, args: &[OsString]) -> Result<Purpose, Error> {
    let see = format!("{} --help lists its flags.", own.get_name());
    let cli = own.args(definition::flags(is_taken_over));
    let read = cli.try_get_matches_from(args);
    usage::refuse_secrets(args)?;
    match read {
        Ok(own) => {
            let typed = definition::typed_rows(&own, Some(Command::Token), is_taken_over);
            Ok(Purpose::Run(CommandLine { own, typed, sandbox_api: None }))
        }
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            Ok(Purpose::Print(error.render().to_string()))
        }
        Err(error) => Err(usage::error_of(&error, &see)),
    }
}

impl CommandLine {
    /// The amount of text.
    pub fn verbosity(&self) -> Verbosity {
        crate::cli::speech::verbosity(&self.typed)
    }

    /// Has requests that are passed on go to the sandbox.
    pub(super) fn pass_to_sandbox(&mut self, base: &str) {
        self.sandbox_api = Some(base.to_owned());
    }

    /// Tells whether there is something to obtain a token with: an identity, or a client's credentials.
    pub fn has_credentials(&self, env: &Env) -> bool {
        self.has_identity(env) || has_client(env)
    }

    fn has_identity(&self, env: &Env) -> bool {
        let asks = |row: &Row| self.typed.os(row).is_some() || row.var.is_some_and(|name| env.has(name));
        let named = [
            &GRANT.row,
            &crate::cli::table::PROVIDER.row,
            &crate::cli::table::SUBJECT_TOKEN_FILE.row,
            &crate::cli::table::SUBJECT_TOKEN_ENV.row,
        ];
        named.into_iter().any(asks)
            || !platform::detected(env).is_empty()
            || platform::identity_variables(&platform::TokenLocation::default())
                .into_iter()
                .any(|name| env.has(name))
    }

    /// Reads the settings of a service that obtains tokens itself. Where nothing but a client's credentials is there, it uses
    /// them.
    pub fn given(&self, env: &Env) -> Result<Given, Error> {
        let asks_api = Resolver::new(&self.typed, env).asks_api()?;
        let mut typed = if asks_api { self.with_api() } else { self.typed.clone() };
        if !self.has_identity(env) && has_client(env) {
            typed.set(&GRANT.row, "client-credentials");
        }
        let mut resolver = Resolver::new(&typed, env);
        let grant = resolver.grant()?;
        grant.check_scope()?;
        Ok(Given { grant, identity: resolver.identity()?, network: resolver.network()? })
    }

    /// Returns the id and the secret of the client in the environment, if there is one.
    pub fn client(&self, env: &Env) -> Result<Option<(Secret, Secret)>, Error> {
        if !has_client(env) {
            return Ok(None);
        }
        let mut typed = self.with_api();
        typed.set(&GRANT.row, "client-credentials");
        let account = Resolver::new(&typed, env).grant()?.account;
        let copy = |secret: &Secret| Secret::new(secret.reveal());
        Ok(account.client.as_ref().map(|client| (copy(&client.id), copy(&client.secret))))
    }

    /// The command line with the sandbox's API, unless it names one.
    fn with_api(&self) -> Typed {
        let mut typed = self.typed.clone();
        if let Some(base) = &self.sandbox_api
            && typed.os(&API_ENDPOINT.row).is_none()
        {
            typed.set(&API_ENDPOINT.row, base);
        }
        typed
    }

    /// Reads the settings of a service that passes requests on: where to, and how.
    pub fn pass_through(&self, env: &Env) -> Result<(Url, NetworkSettings), Error> {
        let typed = self.with_api();
        let mut resolver = Resolver::new(&typed, env);
        Ok((resolver.api_endpoint()?, resolver.network()?))
    }
}

/// Tells whether a client's id and secret are in the environment, under either of their names.
fn has_client(env: &Env) -> bool {
    let pairs = [(names::CLIENT_ID, names::CLIENT_SECRET), (names::CLI_CLIENT_ID, names::CLI_CLIENT_SECRET)];
    pairs.into_iter().any(|(id, secret)| env.has(id) && env.has(secret))
}
