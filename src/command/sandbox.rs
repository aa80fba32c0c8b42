//! `sandbox`: the main job, or any command, against a local issuer and STS.

use std::io::Write;

use crate::cli::settings::Resolver;
use crate::cli::table::{FAULT, PLATFORM};
use crate::cli::typed::Typed;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::report::console::Console;
use crate::sandbox::{self, Fault, Options, SimulatedPlatform};
use crate::text::quote;

/// Runs the sandbox. The result is the exit status to pass on.
pub fn run(typed: &Typed, env: &Env, stdout: &mut dyn Write, console: &Console) -> Result<u8, Error> {
    let mut resolver = Resolver::new(typed, env);
    let platform = resolver.get(&PLATFORM)?.value;
    let fault = resolver.get(&FAULT)?.value;
    let unknown = |what: &str, given: &str, known: Vec<&str>| {
        Error::new(Code::CfgValueInvalid, format!("the sandbox has no {what} {}", quote(given)))
            .with_detail("known", known.join(", "))
            .with_cure("Use one of the known ones, or leave the flag out.")
    };
    let platform = SimulatedPlatform::by_name(&platform).ok_or_else(|| {
        unknown("platform", &platform, SimulatedPlatform::ALL.iter().map(|p| p.id()).collect())
    })?;
    let fault = match &fault {
        None => None,
        Some(name) => Some(
            Fault::by_name(name)
                .ok_or_else(|| unknown("fault", name, Fault::ALL.iter().map(|f| f.id()).collect()))?,
        ),
    };
    sandbox::run(&Options { platform, fault, command: resolver.operands().to_vec() }, env, stdout, console)
}
