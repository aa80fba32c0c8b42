//! The sandbox's issuer, STS and classic API, for a service that is only tried.

use std::ffi::OsString;
use std::sync::Arc;

use crate::env::Env;
use crate::error::Error;
use crate::sandbox;

use super::command_line::CommandLine;

/// A running sandbox. It ends when it is dropped.
pub struct Sandbox {
    /// The environment of a job in it.
    pub env: Arc<Env>,
    /// The client id of its classic API, and the secret. Both are made up.
    pub client: (String, String),
    _running: sandbox::Job,
}

impl Sandbox {
    /// Starts it, and has the service's requests go there.
    pub fn start(around: &Env, command_line: &mut CommandLine) -> Result<Self, Error> {
        let running = sandbox::Job::start(around)?;
        command_line.pass_to_sandbox(running.api());
        let client = running.client();
        let inherited = std::env::vars_os().filter(|(name, _)| name == "PATH" || name == "TMPDIR");
        let variables: Vec<(OsString, OsString)> = running.environment(inherited);
        Ok(Self { env: Arc::new(Env::fixed(variables)), client, _running: running })
    }
}
