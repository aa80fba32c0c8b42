//! Variables that look like settings of this program, and are none: a slip in a name would change what a run does without a
//! word.
//!
//! Names alone are looked at and shown, and only one that is close to a setting is told: a job has names of its own, such as
//! `EQUINIX_WIF_VERSION`, and Equinix's other tools have theirs.

use std::fmt::Write as _;

use crate::cli::table::ROWS;
use crate::env::{Env, is_variable_name, names};
use crate::error::{Code, Error};
use crate::output::format::Options;
use crate::platform::SUBJECT_TOKENS;

/// The beginning of everything that is looked at.
const EQUINIX: &str = "EQUINIX_";

/// The beginning that is this program's alone.
const OWN: &str = "EQUINIX_WIF_";

/// Beginnings behind which a setting may be looked for that has another one.
const BEGINNINGS: [&str; 3] = [OWN, "EQUINIX_TOKEN_EXCHANGE_", "EQUINIX_STS_"];

/// Variables that are written or marks, and no settings.
const WRITTEN: [&str; 4] = [names::API_TOKEN, names::EXPIRES_AT, names::TOKEN_FILE, names::EXEC];

/// The length of a name from which on two slips in it are still the same name. In a short one they make another word.
const LONG: usize = OWN.len() + 7;

/// A variable that nothing reads.
struct Unknown {
    name: String,
    /// The setting that was probably meant.
    meant: &'static str,
}

/// Returns a warning of the variables that look like settings and are none. Inside another run there is none: that one has
/// warned of them.
pub fn warning(env: &Env) -> Option<String> {
    if env.has(names::EXEC) {
        return None;
    }
    // Whoever needs a client's secret is told of it by the error. Whoever does not, may have it for another tool.
    let is_shared = |meant: &str| names::CLIENT_SECRETS.contains(&meant);
    let is_told = |unknown: &Unknown| !is_shared(unknown.meant) && !env.has(unknown.meant);
    let mut text = String::new();
    for Unknown { name, meant } in unknown(env).into_iter().filter(is_told) {
        let separator = if text.is_empty() { "set, but no setting: " } else { ", " };
        write!(text, "{separator}{name} (did you mean {meant}?)").ok();
    }
    Some(text).filter(|text| !text.is_empty())
}

/// Adds to the error of a missing setting the variables that were probably meant for it.
pub fn explain(error: Error, env: &Env) -> Error {
    let wanted: &[&str] = match error.code() {
        Code::CfgScopeMissing => &[names::SCOPE],
        Code::CfgAudienceMissing => &[names::AUDIENCE],
        Code::ClientCredentialsMissing => &names::CLIENT_SECRETS,
        code if code.reason().is_some() => &[names::SUBJECT_TOKEN, names::OWN_SUBJECT_TOKEN],
        _ => return error,
    };
    let near = unknown(env).into_iter().filter(|unknown| wanted.contains(&unknown.meant));
    near.fold(error, |error, Unknown { name, meant }| {
        error.with_detail("note", format!("{name} is set; did you mean {meant}?"))
    })
}

/// Finds the variables that nothing reads, of those that are close to a setting.
fn unknown(env: &Env) -> Vec<Unknown> {
    let known = |name: &str| names::ALL.iter().any(|(known, _)| *known == name);
    let names = env.names_from(EQUINIX).into_iter().filter_map(|name| name.into_string().ok());
    let names = names.filter(|name| !known(name) && is_variable_name(name) && env.has(name));
    let names = names.filter(|name| !is_expiry(name));
    names.filter_map(|name| Some(Unknown { meant: meant(&name)?, name })).collect()
}

/// Tells whether `id-token` has set the variable beside a token.
fn is_expiry(name: &str) -> bool {
    SUBJECT_TOKENS.iter().any(|env_name| Options { env_name, ..Options::default() }.expiry_name() == name)
}

/// Returns the setting that was probably meant: one slip away, two in a long name of this program's own, or one of this name
/// with another beginning.
fn meant(name: &str) -> Option<&'static str> {
    let is_close = |one: &str, other: &str| strsim::osa_distance(one, other) <= 1;
    let slips = if name.starts_with(OWN) && name.len() >= LONG { 2 } else { 1 };
    let mut settings = names::ALL.iter().map(|(known, _)| *known);
    let is_setting = |known: &str| known.starts_with(EQUINIX) && !WRITTEN.contains(&known);
    let near = settings.by_ref().filter(|known| is_setting(known));
    let near = near.map(|known| (strsim::osa_distance(known, name), known)).min();
    if let Some((_, close)) = near.filter(|(distance, _)| *distance <= slips) {
        return Some(close);
    }
    let rest = BEGINNINGS.iter().find_map(|beginning| name.strip_prefix(beginning))?;
    let row = ROWS.iter().find(|row| row.var.is_some() && is_close(&row.member().to_uppercase(), rest));
    row.and_then(|row| row.var)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Kind;
    use crate::platform;

    fn warned(names: &[&str]) -> Option<String> {
        warning(&Env::fixed(names.iter().map(|name| (*name, "a-value-that-is-never-shown"))))
    }

    #[test]
    fn a_slip_is_named_with_what_was_meant() {
        for (name, meant) in [
            ("EQUINIX_WIF_AUDIENC", names::AUDIENCE),
            ("EQUINIX_WIF_AUDEINCE", names::AUDIENCE),
            ("EQUINIX_WIF_AUDIANC", names::AUDIENCE),
            ("EQUINIX_WIF_VALDATON", "EQUINIX_WIF_VALIDATION"),
            ("EQUINX_WIF_AUDIENCE", ""),
            ("EQUINIX_WFI_AUDIENCE", names::AUDIENCE),
            ("EQUINIX_WIF_SCOPE", names::SCOPE),
            ("EQUINIX_STS_SCOPE", names::SCOPE),
            ("EQUINIX_TOKEN_EXCHANGE_AUDIENCE", names::AUDIENCE),
            ("EQUINIX_TOKEN_EXCHANGE_SCOP", names::SCOPE),
            ("EQUINIX_WIF_STS_ENDPOINT", names::STS_ENDPOINT),
            ("EQUINIX_STS_ENDPOINTS", names::STS_ENDPOINT),
            ("EQUINIX_API_ENDPOIN", names::API_ENDPOINT),
            ("EQUINIX_WIF_SUBJECT_TOKEN_ENV", names::SUBJECT_TOKEN_ENV_VAR),
            ("EQUINIX_TOKEN_EXCHANGE_SUBJECTTOKEN", names::SUBJECT_TOKEN),
        ] {
            let wanted =
                (!meant.is_empty()).then(|| format!("set, but no setting: {name} (did you mean {meant}?)"));
            assert_eq!(warned(&[name]), wanted, "{name}");
        }
        let two = warned(&["EQUINIX_WIF_GRANTS", "EQUINIX_WIF_FORMATS"]).unwrap();
        assert_eq!(
            two,
            "set, but no setting: EQUINIX_WIF_FORMATS (did you mean EQUINIX_WIF_FORMAT?), EQUINIX_WIF_GRANTS (did you mean EQUINIX_WIF_GRANT?)"
        );
    }

    #[test]
    fn what_somebody_reads_or_has_written_is_left_alone() {
        for (name, _) in platform::variables() {
            assert_eq!(warned(&[name]), None, "{name}");
        }
        for kind in [Kind::AccessToken, Kind::IdToken] {
            for env_name in [kind.variable(), names::OWN_SUBJECT_TOKEN, "EQUINIX_API_TOKEN2"] {
                let expiry = Options { env_name, ..Options::default() }.expiry_name();
                assert_eq!(warned(&[env_name, &expiry]), None, "{env_name}");
            }
        }
        for name in [
            "EQUINIX_API_TIMEOUT",
            "EQUINIX_API_CLIENT_ID",
            "EQUINIX_API_CLIENT_SECRET",
            "EQUINIX_API_MAX_RETRIES",
            "EQUINIX_SANDBOX_PASSWORD_FILE",
            "METAL_AUTH_TOKEN",
            "EQUINIX_METAL_TOKEN",
            "EQUINIX_WIF_\u{1b}[2J",
            "EQUINIX_WIF_AUDIENC\u{1b}[2J",
            "EQUINIX_WIF_VERSION",
            "EQUINIX_WIF_SHA256",
            "EQUINIX_WIF_COMMIT",
            "EQUINIX_WIF_REPO",
            "EQUINIX_WIF_GATE",
            "EQUINIX_WIF_ANYTHING",
        ] {
            assert_eq!(warned(&[name]), None, "{name}");
        }
        // Whoever sets both spellings has set the right one.
        assert_eq!(warned(&["EQUINIX_STS_ENDPOINTS", names::STS_ENDPOINT]), None);
        assert_eq!(
            warning(&Env::fixed([("EQUINIX_WIF_AUDIENC", "")])),
            None,
            "an empty variable counts as unset"
        );
    }

    #[test]
    fn a_run_inside_another_one_leaves_it_at_that() {
        for value in ["1", names::EXEC_RENEWS, names::EXEC_KEEPS] {
            let env = Env::fixed([("EQUINIX_WIF_AUDIENC", "x"), (names::EXEC, value)]);
            assert_eq!(warning(&env), None);
        }
    }

    #[test]
    fn the_error_of_a_missing_setting_names_what_was_meant_for_it() {
        let notes = |code: Code, name: &str| {
            let error = explain(Error::new(code, "x"), &Env::fixed([(name, "hush")]));
            error.details().iter().map(|(_, value)| value.clone()).collect::<Vec<_>>().join("|")
        };
        for (code, name, note) in [
            (
                Code::CfgScopeMissing,
                "EQUINIX_WIF_SCOPE",
                "EQUINIX_WIF_SCOPE is set; did you mean EQUINIX_TOKEN_EXCHANGE_SCOPE?",
            ),
            (
                Code::CfgAudienceMissing,
                "EQUINIX_WIF_AUDIENC",
                "EQUINIX_WIF_AUDIENC is set; did you mean EQUINIX_WIF_AUDIENCE?",
            ),
            (
                Code::ClientCredentialsMissing,
                "EQUINIX_API_CLIENT_ID",
                "EQUINIX_API_CLIENT_ID is set; did you mean EQUINIX_API_CLIENTID?",
            ),
            (
                Code::GlIdTokensMissing,
                "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKN",
                "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKN is set; did you mean EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN?",
            ),
            (Code::CfgScopeMissing, "EQUINIX_WIF_AUDIENC", ""),
            (Code::StsDenied, "EQUINIX_WIF_SCOPE", ""),
        ] {
            assert_eq!(notes(code, name), note, "{name}");
        }
    }
}
