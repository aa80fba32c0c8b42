//! The commands, one file each.

pub mod completions;
pub mod doctor;
pub mod exec;
pub mod explain;
pub mod inspect;
pub mod main_job;
pub mod man;
#[cfg(feature = "sandbox")]
pub mod sandbox;
pub mod token;

use std::io::{self, Write};

use serde_json::Value;

use crate::config::{IdentitySettings, NetworkSettings, Source, invalid, is_variable_name};
use crate::console::Console;
use crate::emit::sink;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::http::Client;
use crate::job::masks;
use crate::provider::Provider;

/// Writes a payload without secrets to standard output.
pub(crate) fn print(stdout: &mut dyn Write, text: &str) -> Result<(), Error> {
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // `| head` has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(sink::failed(&error, Code::OutWrite, "standard output cannot be written")),
        Ok(()) => Ok(()),
    }
}

/// The HTTP client for these settings.
fn client(network: NetworkSettings, console: &Console) -> Client {
    if let Some(proxy) = network.proxies.proxy() {
        if let Some(password) = &proxy.password {
            console.guard(password);
        }
        console.detail(&format!("proxy {} ({})", proxy.shown, proxy.variable));
    }
    // Whoever adds an authority can read the traffic, so this is never silent (S-22).
    if !network.extra_roots.is_empty() {
        let count = network.extra_roots.len();
        let certificates = if count == 1 { "certificate" } else { "certificates" };
        let source = network.roots_source.name();
        let text = format!("trusting {count} {certificates} besides the built-in roots ({source})");
        // A variable may have been planted by an earlier step.
        match network.roots_source {
            Source::Variable(_) => console.warn(&text),
            _ => console.note(&text),
        }
    }
    Client::new(network.proxies, network.extra_roots)
}

/// Whether `--format` of a command that speaks to people or programs asks for JSON.
fn wants_json(format: Option<&str>) -> Result<bool, Error> {
    match format {
        None | Some("text") => Ok(false),
        Some("json") => Ok(true),
        Some(other) => Err(invalid(Source::Flag("--format"), other, "text or json")),
    }
}

/// JSON that a runner does not take for a command: `##[` begins one anywhere in a line, and means the same in a JSON text
/// when its second character is escaped. Number signs occur in texts only.
fn json_text(value: &Value) -> String {
    value.to_string().replace("##", r"#\u0023")
}

/// A runner that is told what to hide has to be able to read it.
fn check_masks(env: &Env, stderr_is_lost: bool) -> Result<(), Error> {
    if masks(env) && stderr_is_lost {
        let message = "standard error of this step does not reach the runner";
        return Err(Error::new(Code::MaskUndeliverable, message));
    }
    Ok(())
}

/// The variable that makes the Equinix Terraform provider exchange by itself, if it is set beside a scope.
fn shadowing_variable(env: &Env) -> Result<Option<String>, Error> {
    let name = env.text(names::SUBJECT_TOKEN_ENV_VAR)?.unwrap_or_else(|| names::SUBJECT_TOKEN.to_owned());
    let is_set = env.has(names::SCOPE) && is_variable_name(&name) && env.has(&name);
    Ok(is_set.then_some(name))
}

/// Settings that contradict the provider.
fn check_source(settings: &IdentitySettings, provider: &'static dyn Provider) -> Result<(), Error> {
    if provider.mints_on_request() && settings.audience.is_none() {
        let message =
            format!("{} has to be told whom the ID token is for, and no audience is set", provider.name());
        return Err(Error::new(Code::CfgAudienceMissing, message));
    }
    let file_is_unused = settings.source.file.is_some() && provider.id() != "file";
    if file_is_unused {
        let message =
            format!("--subject-token-file is set, but the provider {} does not read it", provider.id());
        return Err(Error::new(Code::CfgValueInvalid, message)
            .with_cure("Leave out --provider or --subject-token-file."));
    }
    if provider.id() == "file" && settings.source.file.is_none() {
        return Err(Error::new(Code::CfgValueInvalid, "the provider file needs --subject-token-file"));
    }
    Ok(())
}
