//! Where a job's identity comes from.
//!
//! A platform is one file in this folder and one line in [`PROVIDERS`]. It says whether it is here (from documented
//! values, without any I/O), fetches the ID token, and knows which issuer and run the token should name.

mod env;
mod file;
mod github;
mod gitlab;

use std::path::PathBuf;

use crate::claims::{Concern, ExpectedIssuer, RunBinding};
use crate::clock::Clock;
use crate::console::Console;
use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::http::Client;
use crate::retry::Retries;
use crate::secret::Secret;
use crate::text::quote;

/// Every provider. The order means nothing: two that are detected at once are an error.
pub const PROVIDERS: &[&dyn Provider] = &[&github::GitHub, &gitlab::GitLab, &env::Variable, &file::File];

/// What a provider may use.
pub struct Context<'a> {
    /// The environment.
    pub env: &'a Env,
    /// For platforms that are asked over HTTP.
    pub http: &'a Client,
    /// For platforms that are asked over HTTP.
    pub retries: &'a Retries<'a>,
    /// The clock.
    pub clock: &'a dyn Clock,
    /// The end of the run.
    pub deadline: Deadline,
    /// To keep the platform's secrets out of every line.
    pub console: &'a Console,
    /// Takes what is odd: it is warned of, or an error with strict validation.
    pub concern: &'a dyn Fn(Concern) -> Result<(), Error>,
    /// The audience to ask for.
    pub audience: Option<&'a str>,
    /// Where a ready token is.
    pub source: &'a TokenSource,
}

/// Where a ready ID token is, as far as the user said so.
#[derive(Debug, Default)]
pub struct TokenSource {
    /// `--subject-token-env`.
    pub variable: Option<String>,
    /// `--subject-token-file`; `-` is standard input.
    pub file: Option<PathBuf>,
}

impl TokenSource {
    /// The variable that holds a ready token.
    pub fn variable(&self) -> &str {
        self.variable.as_deref().unwrap_or(names::SUBJECT_TOKEN)
    }
}

/// An ID token as the platform gave it.
#[derive(Debug)]
pub struct Fetched {
    /// The ID token.
    pub token: Secret,
    /// The platform's clock minus this machine's in seconds, if its answer had a `Date`.
    pub skew: Option<i64>,
}

/// A source of ID tokens.
pub trait Provider: Sync {
    /// The value of `--provider`.
    fn id(&self) -> &'static str;

    /// What it is, for help and messages.
    fn name(&self) -> &'static str;

    /// Whether this job runs there. Exact documented values only, no I/O.
    fn is_here(&self, env: &Env) -> bool;

    /// What in the environment tells whether this job runs there, for people: e.g. `GITHUB_ACTIONS is "true"`.
    fn evidence(&self, env: &Env) -> String;

    /// Whether there is a way to an ID token at all: everything that can be said without asking anybody.
    fn ready(&self, env: &Env, source: &TokenSource, audience: Option<&str>) -> Result<(), Error>;

    /// Whether the platform makes a token when asked. Then an audience has to be named, and a fresh token can be had
    /// at any time; otherwise there is one ready token for the whole job.
    fn mints_on_request(&self) -> bool;

    /// Gets the ID token, or says what is missing and how to provide it.
    fn fetch(&self, context: &Context<'_>) -> Result<Fetched, Error>;

    /// Where the token is asked for, with what is unusual about it; `None` where a ready token is handed over.
    fn request_host(&self, _env: &Env) -> Result<Option<(String, Option<Concern>)>, Error> {
        Ok(None)
    }

    /// The issuer that its tokens name, if the environment tells.
    fn expected_issuer(&self, _env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(None)
    }

    /// Claims that tie a token to this run.
    fn run_bindings(&self, _env: &Env) -> Result<Vec<RunBinding>, Error> {
        Ok(Vec::new())
    }

    /// What to do about a token that has expired or is about to, if there is more to say than the error table has.
    fn advice_on_expiry(&self) -> Option<&'static str> {
        None
    }

    /// The format that suits the platform.
    fn format(&self) -> &'static str {
        "json"
    }

    /// The variables with which whoever has them gets ID tokens of this job.
    fn identity_variables<'a>(&self, source: &'a TokenSource) -> Vec<&'a str> {
        vec![source.variable()]
    }

    /// How long this job may go on, in seconds, if the environment tells. `now` is Unix time.
    fn time_left(&self, _env: &Env, _now: i64) -> Option<u64> {
        None
    }

    /// The variable that names the runner file for the job summary.
    fn summary_file(&self) -> Option<&'static str> {
        None
    }

    /// The variable that holds the checkout's path.
    fn workspace(&self) -> Option<&'static str> {
        None
    }
}

/// The providers that say they are here.
pub fn detected(env: &Env) -> Vec<&'static dyn Provider> {
    PROVIDERS.iter().copied().filter(|provider| provider.is_here(env)).collect()
}

/// Picks the provider: the one that was asked for, else the one that the token's source implies, else the one that is here.
pub fn select(asked: Option<&str>, source: &TokenSource, env: &Env) -> Result<&'static dyn Provider, Error> {
    if let Some(id) = asked.filter(|id| *id != "auto") {
        return PROVIDERS.iter().copied().find(|provider| provider.id() == id).ok_or_else(|| {
            let known: Vec<_> = PROVIDERS.iter().map(|provider| provider.id()).collect();
            Error::new(Code::CfgValueInvalid, format!("there is no provider {}", quote(id)))
                .with_detail("known", format!("auto, {}", known.join(", ")))
                .with_cure("Use one of the known ones, or leave --provider out.")
        });
    }
    if source.file.is_some() {
        return Ok(&file::File);
    }
    let here = detected(env);
    match (here.as_slice(), &source.variable) {
        // A platform that hands over a ready token does so in a variable, and this names it.
        ([only], Some(_)) if !only.mints_on_request() => Ok(*only),
        (_, Some(_)) => Ok(&env::Variable),
        ([only], None) => Ok(*only),
        ([], None) if env.has(names::SUBJECT_TOKEN) => Ok(&env::Variable),
        ([], None) => Err(not_ci(env)),
        (several, None) => {
            let names: Vec<_> = several.iter().map(|p| format!("{} ({})", p.name(), p.id())).collect();
            let ids: Vec<_> = several.iter().map(|p| format!("--provider {}", p.id())).collect();
            Err(Error::new(
                Code::CfgProviderAmbiguous,
                format!("this looks like {} at once", names.join(" and ")),
            )
            .with_cure(format!("Say whose identity this job should use: {}.", ids.join(" or "))))
        }
    }
}

fn not_ci(env: &Env) -> Error {
    let error = Error::new(Code::AmbientNotCi, "this does not look like a CI job with an identity");
    if env.is(names::FORGEJO_ACTIONS, "true") || env.is(names::GITEA_ACTIONS, "true") {
        return error.with_detail("found", "a Forgejo or Gitea job, which is not supported yet");
    }
    let looked_at = [names::GITHUB_ACTIONS, names::GITLAB_CI].map(|name| flag_evidence(env, name));
    error.with_detail("looked at", looked_at.join("; "))
}

/// What a variable says that is `true` on its platform.
fn flag_evidence(env: &Env, name: &str) -> String {
    match env.os(name) {
        None => format!("{name} is not set"),
        Some(value) if value == "true" => format!("{name} is \"true\""),
        Some(value) => format!("{name} is {} instead of \"true\"", quote(&value.to_string_lossy())),
    }
}

/// Takes a ready token out of a variable and refuses what is plainly no token, each with its own reason.
///
/// `empty` and `cure` are the platform's own error and advice.
fn token_from_variable(env: &Env, name: &str, empty: Code, cure: Option<&str>) -> Result<Secret, Error> {
    let fail = |code: Code, what: String| {
        let error = Error::new(code, what);
        match cure {
            Some(cure) => error.with_cure(cure),
            None => error,
        }
    };
    let Some(value) = env.text(name)? else {
        return Err(fail(empty, format!("the variable {name} is not set or empty")));
    };
    let bare = value.trim();
    let is_reference = |text: &str| {
        let inner = text
            .strip_prefix("${")
            .and_then(|t| t.strip_suffix('}'))
            .or_else(|| text.strip_prefix('$'))
            .or_else(|| text.strip_prefix('%').and_then(|t| t.strip_suffix('%')));
        inner.is_some_and(|name| {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        })
    };
    if is_reference(bare) {
        let what =
            format!("the variable {name} holds the unexpanded text {} instead of a token", quote(bare));
        return Err(fail(Code::TokenEnvUnexpanded, what));
    }
    if value.contains(char::is_whitespace) {
        let place = if bare.contains(char::is_whitespace) { "inside" } else { "around" };
        return Err(fail(
            Code::TokenEnvPadded,
            format!("the token in the variable {name} has white space {place} it"),
        ));
    }
    Ok(Secret::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(asked: Option<&str>, source: TokenSource, pairs: &[(&str, &str)]) -> Result<&'static str, Error> {
        select(asked, &source, &Env::fixed(pairs.iter().copied())).map(Provider::id)
    }

    fn by_variable() -> TokenSource {
        TokenSource { variable: Some("MY_TOKEN".into()), file: None }
    }

    const GITHUB: (&str, &str) = ("GITHUB_ACTIONS", "true");
    const GITLAB: (&str, &str) = ("GITLAB_CI", "true");

    #[test]
    fn one_platform_is_picked_by_itself() {
        assert_eq!(pick(None, TokenSource::default(), &[GITHUB]).unwrap(), "github");
        assert_eq!(pick(Some("auto"), TokenSource::default(), &[GITLAB]).unwrap(), "gitlab");
        assert_eq!(pick(None, TokenSource::default(), &[(names::SUBJECT_TOKEN, "x")]).unwrap(), "env");
        assert_eq!(
            pick(None, TokenSource::default(), &[GITHUB, (names::SUBJECT_TOKEN, "x")]).unwrap(),
            "github"
        );
    }

    #[test]
    fn the_token_s_source_decides_before_the_platform() {
        let file = || TokenSource { file: Some("t".into()), variable: Some("X".into()) };
        assert_eq!(pick(None, file(), &[GITLAB]).unwrap(), "file");
        assert_eq!(pick(None, by_variable(), &[]).unwrap(), "env");
        assert_eq!(pick(None, by_variable(), &[GITHUB]).unwrap(), "env");
        assert_eq!(pick(None, by_variable(), &[GITLAB]).unwrap(), "gitlab");
        assert_eq!(pick(None, by_variable(), &[GITHUB, GITLAB]).unwrap(), "env");
    }

    #[test]
    fn two_platforms_are_an_error_that_names_both() {
        let error = pick(None, TokenSource::default(), &[GITHUB, GITLAB]).unwrap_err();
        assert_eq!(error.code(), Code::CfgProviderAmbiguous);
        assert_eq!(error.message(), "this looks like GitHub Actions (github) and GitLab CI (gitlab) at once");
        assert!(error.cure().contains("--provider github or --provider gitlab"));
        assert_eq!(pick(Some("gitlab"), TokenSource::default(), &[GITHUB, GITLAB]).unwrap(), "gitlab");
    }

    #[test]
    fn near_misses_are_not_a_platform() {
        for value in ["", "TRUE", "1", "yes", "false"] {
            let error =
                pick(None, TokenSource::default(), &[("GITHUB_ACTIONS", value), ("GITLAB_CI", value)])
                    .unwrap_err();
            assert_eq!(error.code(), Code::AmbientNotCi, "{value}");
        }
        let forgejo = pick(None, TokenSource::default(), &[GITHUB, ("FORGEJO_ACTIONS", "true")]).unwrap_err();
        assert!(forgejo.details()[0].1.contains("Forgejo"));
        let unknown = pick(Some("jenkins"), TokenSource::default(), &[]).unwrap_err();
        assert_eq!(
            (unknown.code(), unknown.details()[0].1.as_str()),
            (Code::CfgValueInvalid, "auto, github, gitlab, env, file")
        );
    }

    #[test]
    fn what_is_plainly_no_token_has_its_own_reason() {
        for (value, code) in [
            ("", Code::TokenEnvEmpty),
            ("$MY_TOKEN", Code::TokenEnvUnexpanded),
            ("${MY_TOKEN}", Code::TokenEnvUnexpanded),
            (" $MY_TOKEN\n", Code::TokenEnvUnexpanded),
            ("%MY_TOKEN%", Code::TokenEnvUnexpanded),
            (" a.b.c", Code::TokenEnvPadded),
            ("a.b.c\n", Code::TokenEnvPadded),
            ("a.b. c", Code::TokenEnvPadded),
        ] {
            let error =
                token_from_variable(&Env::fixed([("T", value)]), "T", Code::TokenEnvEmpty, Some("cure"))
                    .unwrap_err();
            assert_eq!((error.code(), error.cure()), (code, "cure"), "{value:?}");
            assert!(!error.message().contains("a.b"), "{error}");
        }
        for value in ["a.b.c", "$", "$a.b", "%x"] {
            assert_eq!(
                token_from_variable(&Env::fixed([("T", value)]), "T", Code::TokenEnvEmpty, None)
                    .unwrap()
                    .reveal(),
                value
            );
        }
    }

    #[test]
    fn every_provider_file_is_registered_once() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/provider"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .filter(|name| name != "mod")
            .collect();
        files.sort();
        let mut ids: Vec<&str> = PROVIDERS.iter().map(|p| p.id()).collect();
        ids.sort_unstable();
        assert_eq!(files, ids);
    }
}
