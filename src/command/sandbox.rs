//! `sandbox`: the main job, or any command, against a local issuer and STS.

use std::io::Write;

use crate::cli::SandboxArgs;
use crate::console::Console;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::sandbox::{self, Fault, Options, Platform};
use crate::text::quote;

/// Runs the sandbox. The result is the exit status to pass on.
pub fn run(args: &SandboxArgs, env: &Env, stdout: &mut dyn Write, console: &Console) -> Result<u8, Error> {
    let unknown = |what: &str, given: &str, known: Vec<&str>| {
        Error::new(Code::CfgValueInvalid, format!("the sandbox has no {what} {}", quote(given)))
            .with_detail("known", known.join(", "))
            .with_cure("Use one of the known ones, or leave the flag out.")
    };
    let platform = Platform::by_name(&args.platform)
        .ok_or_else(|| unknown("platform", &args.platform, Platform::ALL.iter().map(|p| p.id()).collect()))?;
    let fault = match &args.fault {
        None => None,
        Some(name) => Some(
            Fault::by_name(name)
                .ok_or_else(|| unknown("fault", name, Fault::ALL.iter().map(|f| f.id()).collect()))?,
        ),
    };
    sandbox::run(&Options { platform, fault, command: args.command.clone() }, env, stdout, console)
}
