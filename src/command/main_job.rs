//! The part that `token`, `id-token` and `exec` share: the way from the settings to a token, and the end of a job that
//! can have none.

use crate::cli::settings::{GrantSettings, IdentitySettings, OnUnavailable};
use crate::credential::Credential;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::output::format::{self, Format};
use crate::output::sink::{self, NewFile, Policy};
use crate::platform::{self, Facts, Platform};
use crate::report::Report;
use crate::report::console::Console;

/// Opens the file for a refresh token that may come with the access token, before anything is sent.
pub fn refresh_token_file(settings: &GrantSettings, policy: &Policy<'_>) -> Result<Option<NewFile>, Error> {
    settings.refresh_token_output.as_ref().map(|path| sink::secret_file(path, policy)).transpose()
}

/// Makes sure that the access token does not take the variable of the ID token: whoever looks there would find the
/// wrong one.
pub(super) fn check_is_free(env_name: &str, identity: &IdentitySettings) -> Result<(), Error> {
    if identity.source.variables().all(|name| name != env_name) {
        return Ok(());
    }
    let message = format!("the access token cannot be in {env_name}: the ID token is there");
    Err(Error::new(Code::CfgEnvNameInvalid, message))
}

/// Notes in the report what will be asked for.
pub(super) fn account_for_grant(grant: &GrantSettings, report: &mut Report) {
    report.audit.grant = Some(grant.grant.name);
    report.audit.scope.clone_from(&grant.scope);
}

/// Notes in the report what is about to be handed over.
pub(super) fn account_for(credential: &Credential, report: &mut Report) {
    report.available = Some(true);
    report.audit.token = Some(credential.account());
    report.granted_scope.clone_from(&credential.scope);
    report.expires_at = Some(credential.expires_at_text());
}

/// Prints one line about what was handed over.
pub(super) fn announce(credential: &Credential, place: &str, console: &Console) {
    let what = credential.scope.as_ref().or(credential.subject.as_ref());
    console.note(&format!(
        "{}{} is valid until {} ({} s), {place}",
        credential.kind.name(),
        what.map_or_else(String::new, |what| format!(" for {what}")),
        credential.expires_at_text(),
        credential.expires_in
    ));
}

/// Returns the reason for which the run goes on without a token, in a word; or the failure, if it is one.
pub(super) fn skipped(
    error: Error,
    choice: OnUnavailable,
    console: &Console,
    report: &mut Report,
) -> Result<&'static str, Error> {
    let Some(reason) = error.code().reason().filter(|_| choice == OnUnavailable::Skip) else {
        return Err(error);
    };
    report.available = Some(false);
    report.reason = Some(reason);
    let warning = format!(
        "no token ({reason}): {} [{}]; going on without one, as --on-unavailable skip says",
        error.message(),
        error.code().name()
    );
    console.warn(&warning);
    report.warnings.push(warning);
    Ok(reason)
}

/// The format that was asked for, else the one that suits the platform on which this process runs, whatever the
/// identity's source.
pub(super) fn format(
    asked: Option<&str>,
    provider: Option<&'static dyn Platform>,
    env: &Env,
) -> Result<&'static dyn Format, Error> {
    if let Some(name) = asked.filter(|name| *name != "auto") {
        return format::by_name(name);
    }
    let home = match platform::detected(env).as_slice() {
        [only] => Some(*only),
        _ => provider,
    };
    format::by_name(home.map_or(Facts::NEUTRAL.format, |platform| platform.facts().format))
}

/// Leaves a failed run's code where the next step can read it. Whatever went wrong, the settings may not even have been
/// understood, so only what is needed here is looked at.
pub fn leave_failure(asked: Option<&str>, env: &Env, error: &Error) {
    let asked = asked.map(ToOwned::to_owned).or_else(|| env.text(names::FORMAT).ok().flatten());
    if let Ok(format) = format(asked.as_deref(), None, env) {
        crate::output::sink::leave_failure(format, error.code(), env);
    }
}
