//! The one thing to do next, for whoever starts the program without a command.

use std::path::PathBuf;

use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::grant::GRANTS;
use crate::platform::{self, Audience, Platform, Supply, TokenLocation, Wanted};

use super::unknown;

/// The error of a command line without a command. Its cure is the next step from here.
pub fn no_command(env: &Env, is_terminal: bool) -> Error {
    let error = Error::new(Code::CfgUsage, "no command was given").with_cure(next_step(env, is_terminal));
    match unknown::warning(env) {
        Some(names) => error.with_detail("note", names),
        None => error,
    }
}

fn next_step(env: &Env, is_terminal: bool) -> String {
    let text = |name| env.text(name).ok().flatten();
    if let Some(name) = text(names::GRANT) {
        match GRANTS.iter().find(|facts| facts.name == name) {
            None => return format!("{} names no grant that there is. Run: equinix-wif doctor", names::GRANT),
            Some(grant) if !grant.takes_identity() => {
                return format!("{} names the grant {}. Run: equinix-wif doctor", names::GRANT, grant.name);
            }
            Some(_) => {}
        }
    }
    let location = TokenLocation {
        variable: text(names::SUBJECT_TOKEN_ENV_VAR),
        file: env.os(names::SUBJECT_TOKEN_FILE).map(PathBuf::from),
    };
    match platform::select(text(names::PROVIDER).as_deref(), &location, env) {
        Ok(platform) => in_job(platform, location, env),
        Err(error) if error.code() != Code::AmbientNotCi => {
            format!("{}. {}", capitalised(error.message()), error.cure())
        }
        Err(_) if is_terminal && cfg!(feature = "sandbox") => {
            "This is no CI job. To see how it works, without an account, run: equinix-wif sandbox".to_owned()
        }
        Err(_) => {
            "No CI platform was recognised. Run: equinix-wif doctor, which says what it looked at".to_owned()
        }
    }
}

/// The next step of a job that has an identity, or should have one: the main job, unless something is missing.
fn in_job(platform: &dyn Platform, location: TokenLocation, env: &Env) -> String {
    let facts = platform.facts();
    let wanted = Wanted { audience: env.text(names::AUDIENCE).ok().flatten(), location, ..Wanted::default() };
    let has_audience = wanted.audience.is_some() || facts.audience != Audience::Required;
    let missing: Vec<&str> = [(has_audience, "audience"), (env.has(names::SCOPE), "scope")]
        .into_iter()
        .filter_map(|(is_there, name)| (!is_there).then_some(name))
        .collect();
    let mut why: Vec<String> = missing.iter().map(|name| format!("No {name} is set. ")).collect();
    // A file, or standard input, is not for a look in passing.
    let is_read = matches!(facts.supply, Supply::File);
    if let Some(error) = (!is_read).then(|| platform.ready(env, &wanted).err()).flatten() {
        why.push(format!("{}. ", capitalised(error.message())));
    }
    let command = if why.is_empty() { "token" } else { "doctor" };
    let flags: Vec<String> =
        missing.iter().map(|name| format!(" --{name} {}", name.to_uppercase())).collect();
    format!(
        "The identity comes from {}. {}Run: equinix-wif {command}{}",
        facts.name,
        why.concat(),
        flags.concat()
    )
}

fn capitalised(sentence: &str) -> String {
    let mut chars = sentence.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GITHUB: [(&str, &str); 3] = [
        ("GITHUB_ACTIONS", "true"),
        ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://run.actions.githubusercontent.com/x?y=z"),
        ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-request-token-of-this-job"),
    ];
    const AUDIENCE: (&str, &str) = (names::AUDIENCE, "my-audience");
    const SCOPE: (&str, &str) = (names::SCOPE, "roleassignments:o");

    fn step(pairs: &[(&str, &str)], is_terminal: bool) -> String {
        no_command(&Env::fixed(pairs.iter().copied()), is_terminal).cure().to_owned()
    }

    #[test]
    fn a_job_is_sent_to_the_doctor_until_nothing_is_missing() {
        let [marker, url, token] = GITHUB;
        for (pairs, wanted) in [
            (
                vec![marker, url, token],
                "The identity comes from GitHub Actions. No audience is set. No scope is set. Run: equinix-wif doctor --audience AUDIENCE --scope SCOPE",
            ),
            (
                vec![marker, url, token, SCOPE],
                "The identity comes from GitHub Actions. No audience is set. Run: equinix-wif doctor --audience AUDIENCE",
            ),
            (
                vec![marker, AUDIENCE, SCOPE],
                "The identity comes from GitHub Actions. This job may not ask GitHub for an ID token. Run: equinix-wif doctor",
            ),
            (
                vec![marker, url, token, AUDIENCE, SCOPE],
                "The identity comes from GitHub Actions. Run: equinix-wif token",
            ),
        ] {
            for is_terminal in [false, true] {
                assert_eq!(step(&pairs, is_terminal), wanted, "{pairs:?}");
            }
        }
    }

    /// Holds without the name of any platform: what each of them needs is in its file.
    #[test]
    fn every_platform_that_is_recognised_has_its_step() {
        for facts in platform::PLATFORMS.iter().map(|platform| platform.facts()) {
            let pairs: Vec<_> = facts
                .markers
                .iter()
                .map(|(name, value)| (*name, if value.is_empty() { "x" } else { value }))
                .collect();
            if pairs.is_empty() {
                continue;
            }
            let step = step(&pairs, true);
            let missing = step.contains("--audience AUDIENCE");
            assert_eq!(missing, facts.audience == Audience::Required, "{step}");
            assert!(step.contains(facts.name) && step.ends_with(" --scope SCOPE"), "{step}");
        }
    }

    #[test]
    fn whoever_has_no_job_tries_the_sandbox_at_a_terminal_and_the_doctor_in_a_pipe() {
        if cfg!(feature = "sandbox") {
            assert!(step(&[], true).ends_with("run: equinix-wif sandbox"));
        }
        assert!(step(&[], false).contains("Run: equinix-wif doctor"));
    }

    #[test]
    fn settings_of_the_environment_count() {
        let both = step(&[GITHUB[0], ("GITLAB_CI", "true")], false);
        assert!(both.contains("--provider github or --provider gitlab"), "{both}");
        let chosen = step(&[GITHUB[0], ("GITLAB_CI", "true"), (names::PROVIDER, "gitlab")], false);
        assert!(chosen.starts_with("The identity comes from GitLab CI. "), "{chosen}");
        let unknown = step(&[(names::PROVIDER, "githug")], false);
        assert!(unknown.starts_with("There is no provider \"githug\". "), "{unknown}");
        let handed = step(&[(names::OWN_SUBJECT_TOKEN, "x.y.z"), SCOPE], false);
        assert!(handed.starts_with("The identity comes from an ID token in a variable. "), "{handed}");
        if cfg!(feature = "classic-grants") {
            let stored = step(&[GITHUB[0], (names::GRANT, "client-credentials")], true);
            assert_eq!(
                stored,
                "EQUINIX_WIF_GRANT names the grant client-credentials. Run: equinix-wif doctor"
            );
        }
    }
}
