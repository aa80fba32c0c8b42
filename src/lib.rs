//! Gives a CI job an Equinix access token without any stored secret.
//!
//! One direction of data flow, left to right; no module looks to its left:
//!
//! ```text
//! environment + arguments → identity (CI platform → ID token) → claims (check) → STS (exchange) → credential → emitter (format, sink)
//! ```
//!
//! [`run`] is the whole program as a function of its arguments, environment, clock and streams.

use std::ffi::OsString;
use std::io::Write;
use std::sync::Arc;

mod child;
mod cli;
mod clock;
mod command;
mod credential;
mod deadline;
#[cfg(test)]
mod docs_tests;
mod env;
mod error;
mod grant;
mod handle;
mod http;
mod identity;
mod input;
mod json;
#[cfg(feature = "listener")]
#[cfg_attr(
    not(feature = "renew"),
    allow(dead_code, reason = "the sandbox needs less of it than a run that renews")
)]
mod listener;
mod output;
mod platform;
mod random;
#[cfg(feature = "renew")]
mod renew;
mod report;
mod retry;
#[cfg(feature = "sandbox")]
mod sandbox;
#[cfg(test)]
mod schemas_tests;
pub mod secret;
#[cfg(feature = "service")]
pub mod service;
mod session;
mod signals;
mod socket;
mod streams;
mod text;
mod watch;

/// The readers of texts from outside, for the fuzz targets.
#[cfg(fuzzing)]
pub mod fuzzing {
    pub use crate::cli::members;
    pub use crate::cli::row::Expose;
    pub use crate::cli::settings::Resolver;
    pub use crate::cli::typed::Typed;
    pub use crate::credential::Kind;
    pub use crate::env::{Env, names};
    pub use crate::error::Code;
    pub use crate::http::url::Url;
    pub use crate::identity::jwt;
    pub use crate::output::request;

    /// The strict reader of JSON.
    pub mod json {
        pub use crate::json::parse;
    }

    /// The server on loopback.
    #[cfg(feature = "listener")]
    pub mod listener {
        pub use crate::listener::form::Form;
        pub use crate::listener::{Limits, receive_bytes};
    }

    /// The platforms.
    pub mod platform {
        pub use crate::platform::{Wanted, github, readings, select, variables};
    }
}

pub use clock::{Clock, SystemClock};
pub use env::Env;
pub use signals::end_at_once;
pub use streams::{StdoutKind, Streams};

use cli::commands::Command;
use cli::{Action, next_step, speech};
use report::console::{Console, SECRET_VARIABLES};

/// Runs the program and returns its exit status.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    env: Env,
    clock: impl Clock + 'static,
    streams: Streams<'_>,
    stderr: Box<dyn Write + Send>,
) -> u8 {
    let (env, clock): (_, Arc<dyn Clock>) = (&Arc::new(env), Arc::new(clock));
    let args: Vec<OsString> = args.into_iter().collect();
    let (typed, action) = cli::parse(&args, || next_step::no_command(env, streams.stderr_is_terminal));
    let color = speech::use_color(&typed, streams.stderr_is_terminal, env);
    let console = Console::new(stderr, speech::verbosity(&typed), color);
    let console = Arc::new(console.with_countdown(speech::counts_down(streams.stderr_is_terminal, env)));
    guard_ambient(env, &console);
    let outcome = match action {
        Ok(Action::Run(command)) => command::dispatch::run(command, &typed, env, &clock, &console, streams),
        Ok(Action::Print(text)) => command::print(streams.stdout, &text).map(|()| 0),
        Err(error) => {
            command::dispatch::refuse(&typed, env, clock.as_ref(), &console, &error);
            Err(error)
        }
    };
    outcome.unwrap_or_else(|error| {
        console.error(&error);
        command::annotate(&error, env, &console);
        report::status(error.code(), typed.command == Some(Command::Exec))
    })
}

/// Keeps the secrets of the environment out of every line, before anything can be said of the settings.
pub(crate) fn guard_ambient(env: &Env, console: &Console) {
    let of_platforms = platform::PLATFORMS.iter().flat_map(|platform| platform.facts().secret_variables());
    let secrets: Vec<&str> = SECRET_VARIABLES.into_iter().chain(of_platforms).collect();
    console.guard_ambient(env, &secrets);
    for password in http::proxy::passwords(env) {
        console.guard(&password);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::console::{Verbosity, captured};

    #[test]
    fn what_the_environment_holds_is_guarded_before_it_is_used() {
        let env = Env::fixed([
            ("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN", "the-subject-token-1 "),
            ("EQUINIX_WIF_SUBJECT_TOKEN", "Bearer the-subject-token-2"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-request-token\n"),
            ("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR", "MINE"),
            ("MINE", "a-token-of-mine"),
            ("EQUINIX_API_TOKEN", "${EQUINIX_API_TOKEN}"),
            ("EQUINIX_CLIENT_SECRET", "s3cret!"),
            ("EQUINIX_API_CLIENTSECRET", "s4cret!"),
            ("SYSTEM_ACCESSTOKEN", "$(System.AccessToken)"),
        ]);
        let (console, lines) = captured::console(Verbosity::Normal, false);
        guard_ambient(&env, &console);
        console.warn(
            "the-subject-token-1 the-subject-token-2 the-request-token a-token-of-mine s3cret! s4cret!",
        );
        console.warn("EQUINIX_API_TOKEN holds ${EQUINIX_API_TOKEN}, and map $(System.AccessToken)");
        let second = "warning: EQUINIX_API_TOKEN holds ${EQUINIX_API_TOKEN}, and map $(System.AccessToken)\n";
        assert_eq!(lines.text(), format!("warning: *** *** *** *** *** ***\n{second}"));
    }
}
