//! `equinix-wif-serve`: hands out short-lived Equinix access tokens on this machine, by REST and by MCP.
//!
//! ```text
//! settings → origin of tokens (grant of its own, or the API with what callers send) → adapters (REST, MCP) behind one door
//! ```
//!
//! What a token is and how it is obtained is the library's. What is here is asynchronous: waiting, connections, protocols.

#[cfg(not(unix))]
compile_error!("equinix-wif-serve needs a Unix: who may read a file or open a socket is decided by its user");

mod answer;
mod app;
mod caller;
mod clients;
mod files;
mod guard;
mod listen;
mod log;
mod mcp;
mod metrics;
mod options;
mod private;
mod probe;
mod rest;
mod start;
mod tokens;
mod upstream;

use std::io::Write;
use std::process::ExitCode;
use std::sync::Arc;

use equinix_wif::service::{self, Console, Env, Error, Purpose, Verbosity};

use options::Options;

fn main() -> ExitCode {
    equinix_wif::secret::keep_memory_private();
    std::panic::set_hook(Box::new(|info| {
        // Its message could quote what was being read. The place of the defect says enough.
        let place = info
            .location()
            .map_or_else(String::new, |place| format!(" at {}:{}", place.file(), place.line()));
        log::write_raw(&format!(
            "error[internal]: the program met a state that should be impossible{place}\nhint: please report it\n"
        ));
    }));
    let args: Vec<_> = std::env::args_os().collect();
    let env = Arc::new(Env::process());
    let read = options::parse(&args).and_then(|purpose| match purpose {
        Purpose::Print(text) => Ok(Err(text)),
        Purpose::Run(line) => Options::new(&line.own).map(|options| Ok((line, options))),
    });
    let status = act(read, env);
    log::finish();
    status
}

/// What was read of the command line.
type Read = Result<Result<(service::CommandLine, Options), String>, Error>;

/// Does what the command line asks for, and returns how it ended.
fn act(read: Read, env: Arc<Env>) -> ExitCode {
    let outcome = match read {
        Ok(Err(text)) => {
            // `| head` has seen enough.
            std::io::stdout().write_all(text.as_bytes()).ok();
            return ExitCode::SUCCESS;
        }
        Ok(Ok((_, options))) if options.probes => {
            let is_ready = options.rest.as_ref().is_some_and(probe::is_ready);
            return if is_ready { ExitCode::SUCCESS } else { ExitCode::FAILURE };
        }
        Ok(Ok((line, options))) => start::run(line, &options, env),
        Err(error) => Err(error),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tell(&error);
            ExitCode::from(error.code().exit().status())
        }
    }
}

/// Says why the service does not run, in the words of the small program.
fn tell(error: &Error) {
    let console = Console::new(Box::new(std::io::stderr()), Verbosity::Normal, false);
    service::guard_ambient(&console, &Env::process());
    console.error(error);
}
