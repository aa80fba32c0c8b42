//! The sources of a job's identity.
//!
//! A platform is one file in this folder and one line in [`PLATFORMS`]. Most of it is data ([`Facts`]); the rest says
//! whether it is here (from documented values, without any I/O), fetches the ID token, and knows which issuer and run the
//! token should name. Outside this folder only the formats that write GitHub's and CircleCI's own files, and the sandbox, which
//! imitates platforms, know one by its name.

mod aws;
mod azure_pipelines;
mod bitbucket;
mod buildkite;
pub mod circleci;
mod env;
mod facts;
mod file;
mod forgejo;
pub mod github;
pub mod gitlab;
mod google;
mod hcp_terraform;
mod helper_program;
mod kubernetes;
#[cfg(test)]
pub mod made_up;
mod mask;
mod nowhere;
#[cfg(any(test, fuzzing))]
pub mod readings;
mod ready_token;
mod request;
mod semaphore;
mod spacelift;
mod vela;

use std::ffi::OsString;
use std::path::PathBuf;

use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::identity::claims::{ExpectedIssuer, Finding, RunBinding};
use crate::secret::Secret;
use crate::session::Session;
use crate::text::quote;

pub use facts::{Audience, Facts, Supply, Trace};
pub use mask::Masks;

/// Every provider. The order means nothing: two that are detected at once are an error.
pub const PLATFORMS: &[&dyn Platform] = &[
    &github::GitHub,
    &gitlab::GitLab,
    &circleci::CircleCi,
    &bitbucket::Bitbucket,
    &hcp_terraform::HcpTerraform,
    &kubernetes::Kubernetes,
    &spacelift::Spacelift,
    &semaphore::Semaphore,
    &forgejo::Forgejo,
    &buildkite::Buildkite,
    &azure_pipelines::AzurePipelines,
    &vela::Vela,
    &google::Google,
    &aws::Aws,
    &env::Variable,
    &file::File,
    #[cfg(test)]
    &made_up::MadeUp,
];

/// Systems that are recognised and cannot be served: the variable that says so with its exact value or
/// [`facts::ANY`], and the sentence for their users: what is missing there, and what to use instead.
const UNSUPPORTED: &[(&str, &str, &str)] = &[
    (
        github::names::GITEA_ACTIONS,
        "true",
        "a Gitea job: Gitea gives jobs no ID tokens. Hand one over with --subject-token-env or --subject-token-file, or use a grant with a stored secret",
    ),
    (
        "CI",
        "woodpecker",
        "a Woodpecker job: Woodpecker gives jobs no ID tokens. Hand one of another system over with --subject-token-env or --subject-token-file, or use a grant with a stored secret",
    ),
    (
        "DRONE",
        "true",
        "a Drone job: Drone gives jobs no ID tokens. Hand one of another system over with --subject-token-env or --subject-token-file, or use a grant with a stored secret; Harness CI has one for a variable",
    ),
    (
        "TRAVIS",
        "true",
        "a Travis CI job: Travis CI gives jobs no ID tokens. Hand one of another system over with --subject-token-env or --subject-token-file, or use a grant with a stored secret",
    ),
    (
        "TEAMCITY_VERSION",
        facts::ANY,
        "a TeamCity build: TeamCity gives builds no ID tokens. Hand one of another system over with --subject-token-env or --subject-token-file, or use a grant with a stored secret",
    ),
];

/// The wishes for an ID token.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// The audience to ask for.
    pub audience: Option<String>,
    /// The place of a ready token.
    pub location: TokenLocation,
    /// The service connection of Azure Pipelines that the token is for.
    pub service_connection_id: Option<String>,
}

impl Wanted {
    /// Returns the audience to ask this platform for.
    fn chosen_audience(&self, facts: &Facts) -> Result<&str, Error> {
        self.audience.as_deref().ok_or_else(|| {
            let message = format!("no audience is set, and {} needs one to issue an ID token", facts.name);
            Error::new(Code::CfgAudienceMissing, message)
        })
    }
}

/// The place of a ready ID token, as far as the user named it.
#[derive(Debug, Clone, Default)]
pub struct TokenLocation {
    /// `--subject-token-env`.
    pub variable: Option<String>,
    /// `--subject-token-file`; `-` is standard input.
    pub file: Option<PathBuf>,
}

/// The variables in which a ready ID token is looked for, unless another one is named. The first that is set counts.
pub const SUBJECT_TOKENS: &[&str] = &[names::OWN_SUBJECT_TOKEN, names::SUBJECT_TOKEN];

impl TokenLocation {
    /// The variables that may hold a ready token: the one that is named, else the usual ones.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        let usual = if self.variable.is_none() { SUBJECT_TOKENS } else { &[] };
        self.variable.as_deref().into_iter().chain(usual.iter().copied())
    }
}

/// The environment's evidence for or against a platform.
#[derive(Debug)]
pub struct Evidence {
    /// True if this job runs there.
    pub is_here: bool,
    /// The reason, for people: e.g. `GITHUB_ACTIONS is "true"`.
    pub text: String,
}

/// The place where ID tokens are asked for.
#[derive(Debug)]
pub struct Endpoint {
    /// Its scheme, host and port.
    pub origin: String,
    /// An oddity. With strict validation nothing is sent there.
    pub finding: Option<Finding>,
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
pub trait Platform: Sync {
    /// Returns the facts, without running anything.
    fn facts(&self) -> &'static Facts;

    /// Tells whether this job runs there. Exact documented values only, no I/O.
    fn here(&self, env: &Env) -> Evidence {
        let Facts { markers, imitators, .. } = self.facts();
        let hold = |marker: &(&str, &str)| facts::holds(env, marker);
        let texts: Vec<_> = markers.iter().map(|(name, value)| flag_evidence(env, name, value)).collect();
        Evidence {
            is_here: !markers.is_empty() && markers.iter().all(hold) && !imitators.iter().any(hold),
            text: texts.join(", "),
        }
    }

    /// Makes sure that there is a way to an ID token at all: everything that can be said without asking anybody.
    /// A token that is ready in a variable is read, and so is what leads to an endpoint.
    fn ready(&self, env: &Env, wanted: &Wanted) -> Result<(), Error> {
        match self.facts().supply {
            Supply::Endpoint(endpoint) => endpoint.variables(env).map(drop),
            ref supply => supply.read(env, wanted).map(drop),
        }
    }

    /// Gets the ID token, or says what is missing and how to provide it. The endpoint has been judged before.
    /// A token that is ready in a variable is read, and an endpoint is asked for the audience.
    fn fetch(&self, session: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        match self.facts().supply {
            Supply::Endpoint(endpoint) => {
                endpoint.fetch(session, &[("audience", wanted.chosen_audience(self.facts())?)], by)
            }
            ref supply => supply.read(&session.env, wanted),
        }
    }

    /// Tells whether a later request gives a fresh ID token.
    fn renews(&self, _wanted: &Wanted) -> bool {
        self.facts().renews
    }

    /// Returns the place where the token is asked for; `None` where a ready token is handed over.
    fn endpoint(&self, env: &Env) -> Result<Option<Endpoint>, Error> {
        match self.facts().supply {
            Supply::Endpoint(endpoint) => endpoint.endpoint(env),
            _ => Ok(None),
        }
    }

    /// Returns the issuer that its tokens name, if the environment tells.
    fn expected_issuer(&self, _env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(None)
    }

    /// Returns the claims that tie a token to this run.
    fn run_bindings(&self, env: &Env) -> Result<Vec<RunBinding>, Error> {
        let mut bindings = Vec::new();
        for &(claim, variable) in self.facts().run {
            bindings.extend(env.text(variable)?.map(|value| RunBinding { claim, variable, value }));
        }
        Ok(bindings)
    }

    /// Returns how long this job may go on, in seconds, if the environment tells. `now` is Unix time.
    fn time_left(&self, _env: &Env, _now: i64) -> Option<u64> {
        None
    }
}

/// Returns the providers that say they are here.
pub fn detected(env: &Env) -> Vec<&'static dyn Platform> {
    let here = PLATFORMS.iter().copied().filter(|provider| provider.here(env).is_here);
    let (inside, around): (Vec<_>, Vec<_>) = here.partition(|provider| provider.facts().is_inside_others);
    // What runs inside a job has inherited the job's variables. Without a token of its own, its marker is only a name.
    let with_token = |platform: &&dyn Platform| platform.facts().secret_variables().any(|name| env.has(name));
    if around.is_empty() || inside.iter().any(with_token) {
        return inside;
    }
    around
}

/// Returns the platform around this process, for a run that needs no identity of it. Two are an error: a variable that was
/// planted makes one of them, and on the other one its masks would be a line in the log, with the secret in it.
pub fn around(env: &Env) -> Result<&'static dyn Platform, Error> {
    match detected(env).as_slice() {
        [] => Ok(&nowhere::Nowhere),
        [only] => Ok(*only),
        several => {
            let markers = several.iter().flat_map(|platform| platform.facts().markers);
            let names: Vec<_> = markers.map(|(name, _)| *name).collect();
            Err(ambiguous(several)
                .with_cure(format!("Unset what does not belong to this job: {}.", names.join(" or "))))
        }
    }
}

/// The error of several platforms.
fn ambiguous(several: &[&'static dyn Platform]) -> Error {
    let facts = several.iter().map(|platform| platform.facts());
    let names: Vec<_> = facts.map(|facts| format!("{} ({})", facts.name, facts.id)).collect();
    Error::new(Code::CfgProviderAmbiguous, format!("this looks like {} at once", names.join(" and ")))
}

/// Returns the variables with which whoever has them gets ID tokens of this job: of every platform, since the identity need
/// not come from the one around this process.
pub fn identity_variables(location: &TokenLocation) -> Vec<&str> {
    let mut all: Vec<_> = location.variables().chain(SUBJECT_TOKENS.iter().copied()).collect();
    for facts in PLATFORMS.iter().map(|platform| platform.facts()) {
        for name in facts.secret_variables().chain(facts.leads.iter().copied()) {
            all.push(name);
        }
    }
    all
}

/// Returns the variables that hold an ID token of this job, or a secret with which one can be had, under any name: jobs copy
/// them.
pub fn copies_of_identity(location: &TokenLocation, env: &Env) -> Vec<OsString> {
    /// The shortest value whose copies are looked for. Nothing shorter is a token.
    const SHORTEST: usize = 16;
    let of_platforms = PLATFORMS.iter().flat_map(|platform| platform.facts().secret_variables());
    let mut names: Vec<&str> = of_platforms.chain(SUBJECT_TOKENS.iter().copied()).collect();
    names.extend(location.variables());
    let values = names.into_iter().filter_map(|name| env.os(name));
    let values: Vec<_> = values.filter(|value| value.len() >= SHORTEST).collect();
    env.names_with(&values)
}

/// Tells whether a platform has reserved variables that begin like this name, in upper case.
pub fn is_reserved(name: &str) -> bool {
    PLATFORMS.iter().any(|platform| platform.facts().reserved.iter().any(|prefix| name.starts_with(prefix)))
}

/// Adds to the error of a missing ID token that `exec` took the variables away, where this runs inside it.
fn inside_exec(error: Error, env: &Env) -> Error {
    if !env.has(names::EXEC) || env.is(names::EXEC, names::EXEC_KEEPS) {
        return error;
    }
    if env.is(names::EXEC, names::EXEC_RENEWS) {
        let note = format!(
            "this runs inside equinix-wif exec --renew ({} is \"{}\"), which keeps the identity of the job to itself and hands out access tokens",
            names::EXEC,
            names::EXEC_RENEWS
        );
        return error.with_detail("note", note).with_cure(
            "Get an access token with equinix-wif token, which asks that run. What shows or needs the identity itself has to run outside of it.",
        );
    }
    error
        .with_detail("note", format!("this runs inside equinix-wif exec ({} is set), which takes away the variables that lead to ID tokens", names::EXEC))
        .with_cure("Use the access token that exec has set (EQUINIX_API_TOKEN, unless --env-name says otherwise), or run the outer command as: equinix-wif exec --keep-oidc-env -- …")
}

/// Returns every variable that the program reads, with its meaning: those of all platforms, then each one's own.
pub fn variables() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    names::ALL.iter().chain(PLATFORMS.iter().flat_map(|platform| platform.facts().variables))
}

/// Returns the switch that makes the runner's shell log every command, with its value, if one is on.
pub fn trace(env: &Env) -> Option<(&'static Trace, String)> {
    PLATFORMS.iter().find_map(|platform| {
        let trace = platform.facts().trace.as_ref()?;
        Some((trace, trace.on(env)?))
    })
}

/// Picks the provider: the one that was asked for, else the one that the token's source implies, else the one that is here.
pub fn select(
    asked: Option<&str>,
    source: &TokenLocation,
    env: &Env,
) -> Result<&'static dyn Platform, Error> {
    if let Some(id) = asked.filter(|id| *id != "auto") {
        return PLATFORMS.iter().copied().find(|provider| provider.facts().id == id).ok_or_else(|| {
            let known: Vec<_> = PLATFORMS.iter().map(|provider| provider.facts().id).collect();
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
        ([only], Some(_)) if matches!(only.facts().supply, Supply::Variable(_)) => Ok(*only),
        (_, Some(_)) => Ok(&env::Variable),
        ([only], None) => Ok(*only),
        ([], None) if SUBJECT_TOKENS.iter().any(|name| env.has(name)) => Ok(&env::Variable),
        ([], None) => Err(not_ci(env)),
        (several, None) => {
            let facts = several.iter().map(|platform| platform.facts());
            let ids: Vec<_> = facts.map(|facts| format!("--provider {}", facts.id)).collect();
            Err(ambiguous(several)
                .with_cure(format!("Say whose identity this job should use: {}.", ids.join(" or "))))
        }
    }
}

fn not_ci(env: &Env) -> Error {
    let error = Error::new(Code::AmbientNotCi, "this does not look like a CI job with an identity");
    if let Some((_, _, what)) =
        UNSUPPORTED.iter().find(|(name, value, _)| facts::holds(env, &(*name, *value)))
    {
        return error.with_detail("found", *what);
    }
    let known = PLATFORMS.iter().filter(|platform| !platform.facts().markers.is_empty());
    // Most of the systems have nothing in common with this job.
    let near: Vec<_> = known.clone().filter(|platform| platform.facts().is_named(env)).collect();
    let looked_at: Vec<_> = near.iter().map(|platform| platform.here(env).text).collect();
    let looked_at = match looked_at.as_slice() {
        [] => "no variable that tells a platform is set".to_owned(),
        texts => texts.join("; "),
    };
    let error = error.with_detail("looked at", looked_at);
    // What leads to ID tokens was passed on, for instance into a container, and the marker was not.
    match known.map(|platform| platform.facts()).find(|facts| facts.leads_on(env)) {
        Some(facts) => error
            .with_detail("found", format!("variables of {} that lead to ID tokens", facts.name))
            .with_cure(format!("Pass --provider {}, or pass {} on as well.", facts.id, markers(facts))),
        None => inside_exec(error, env),
    }
}

/// The variables, with their values, by which a platform is recognised.
fn markers(facts: &Facts) -> String {
    let shown = |(name, value): &(&str, &str)| match *value {
        facts::ANY => (*name).to_owned(),
        value => format!("{name}={value}"),
    };
    facts.markers.iter().map(shown).collect::<Vec<_>>().join(" ")
}

/// Describes the value of a variable that has a single value on its platform.
fn flag_evidence(env: &Env, name: &str, expected: &str) -> String {
    match env.os(name) {
        None => format!("{name} is not set"),
        Some(_) if expected == facts::ANY => format!("{name} is set"),
        Some(value) if value == expected => format!("{name} is \"{expected}\""),
        Some(value) => format!("{name} is {} instead of \"{expected}\"", quote(&value.to_string_lossy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pick(
        asked: Option<&str>,
        source: TokenLocation,
        pairs: &[(&str, &str)],
    ) -> Result<&'static str, Error> {
        select(asked, &source, &Env::fixed(pairs.iter().copied())).map(|platform| platform.facts().id)
    }

    fn by_variable() -> TokenLocation {
        TokenLocation { variable: Some("MY_TOKEN".into()), file: None }
    }

    const GITHUB: (&str, &str) = ("GITHUB_ACTIONS", "true");
    const GITLAB: (&str, &str) = ("GITLAB_CI", "true");

    #[test]
    fn one_platform_is_picked_by_itself() {
        assert_eq!(pick(None, TokenLocation::default(), &[GITHUB]).unwrap(), "github");
        assert_eq!(pick(Some("auto"), TokenLocation::default(), &[GITLAB]).unwrap(), "gitlab");
        assert_eq!(pick(None, TokenLocation::default(), &[(names::SUBJECT_TOKEN, "x")]).unwrap(), "env");
        assert_eq!(
            pick(None, TokenLocation::default(), &[GITHUB, (names::SUBJECT_TOKEN, "x")]).unwrap(),
            "github"
        );
    }

    #[test]
    fn the_token_s_source_decides_before_the_platform() {
        let file = || TokenLocation { file: Some("t".into()), variable: Some("X".into()) };
        assert_eq!(pick(None, file(), &[GITLAB]).unwrap(), "file");
        assert_eq!(pick(None, by_variable(), &[]).unwrap(), "env");
        assert_eq!(pick(None, by_variable(), &[GITHUB]).unwrap(), "env");
        assert_eq!(pick(None, by_variable(), &[GITLAB]).unwrap(), "gitlab");
        assert_eq!(pick(None, by_variable(), &[GITHUB, GITLAB]).unwrap(), "env");
    }

    #[test]
    fn two_platforms_are_an_error_that_names_both() {
        let error = pick(None, TokenLocation::default(), &[GITHUB, GITLAB]).unwrap_err();
        assert_eq!(error.code(), Code::CfgProviderAmbiguous);
        assert_eq!(error.message(), "this looks like GitHub Actions (github) and GitLab CI (gitlab) at once");
        assert!(error.cure().contains("--provider github or --provider gitlab"));
        assert_eq!(pick(Some("gitlab"), TokenLocation::default(), &[GITHUB, GITLAB]).unwrap(), "gitlab");
    }

    /// The variables of a job of this platform.
    fn job(platform: &dyn Platform) -> impl Iterator<Item = (&'static str, &'static str)> {
        let shown = |(name, value): &(&'static str, &'static str)| {
            (*name, if *value == facts::ANY { "something" } else { *value })
        };
        platform.facts().markers.iter().map(shown)
    }

    fn ids(pairs: Vec<(&str, &str)>) -> Vec<&'static str> {
        detected(&Env::fixed(pairs)).iter().map(|platform| platform.facts().id).collect()
    }

    /// Two platforms, a variable that is there as well, and the platform that the job runs on.
    type Pair = (&'static str, &'static str, Option<(&'static str, &'static str)>, &'static str);

    /// The pairs that are no error: two platforms, a variable that is there as well, and the platform that the job runs on.
    const RESOLVED: &[Pair] = &[
        ("github", "forgejo", None, "forgejo"),
        ("github", "hcp-terraform", None, "github"),
        ("gitlab", "hcp-terraform", None, "gitlab"),
        ("circleci", "hcp-terraform", None, "circleci"),
        ("bitbucket", "hcp-terraform", None, "bitbucket"),
        ("hcp-terraform", "spacelift", None, "spacelift"),
        ("hcp-terraform", "semaphore", None, "semaphore"),
        ("hcp-terraform", "forgejo", None, "forgejo"),
        ("hcp-terraform", "buildkite", None, "buildkite"),
        ("hcp-terraform", "azure-pipelines", None, "azure-pipelines"),
        ("hcp-terraform", "vela", None, "vela"),
        ("hcp-terraform", "made-up", None, "made-up"),
        ("github", "hcp-terraform", Some(("TFC_WORKLOAD_IDENTITY_TOKEN", "x")), "hcp-terraform"),
        ("gitlab", "hcp-terraform", Some(("TFC_WORKLOAD_IDENTITY_TOKEN_EQUINIX", "x")), "hcp-terraform"),
        ("circleci", "hcp-terraform", Some(("TFC_WORKLOAD_IDENTITY_TOKEN", "x")), "hcp-terraform"),
        // A pod is no platform of its own.
        ("gitlab", "kubernetes", Some(("KUBERNETES_SERVICE_HOST", "10.96.0.1")), "gitlab"),
        ("github", "kubernetes", Some(("KUBERNETES_SERVICE_HOST", "10.96.0.1")), "github"),
        ("semaphore", "kubernetes", Some(("KUBERNETES_SERVICE_HOST", "10.96.0.1")), "semaphore"),
    ];

    fn by_id(id: &str) -> &'static dyn Platform {
        PLATFORMS.iter().copied().find(|platform| platform.facts().id == id).unwrap()
    }

    #[test]
    fn a_job_that_shows_two_platforms_is_one_s_or_an_error() {
        for (one, other, more, expected) in RESOLVED {
            let pairs: Vec<_> = job(by_id(one)).chain(job(by_id(other))).chain(*more).collect();
            assert_eq!(ids(pairs), [*expected], "{one} and {other}, {more:?}");
        }
        let marked: Vec<_> =
            PLATFORMS.iter().copied().filter(|platform| !platform.facts().markers.is_empty()).collect();
        for (at, one) in marked.iter().enumerate() {
            let first = one.facts().id;
            assert_eq!(ids(job(*one).collect()), [first]);
            for other in marked.iter().skip(at + 1) {
                let second = other.facts().id;
                let is_resolved =
                    RESOLVED.iter().any(|(a, b, more, _)| (*a, *b) == (first, second) && more.is_none());
                let found = ids(job(*one).chain(job(*other)).collect());
                assert_eq!(found.len(), if is_resolved { 1 } else { 2 }, "{first} and {second}: {found:?}");
            }
            // A variable of a system without ID tokens changes nothing, except where it imitates.
            for (name, value, _) in UNSUPPORTED {
                let value = if *value == facts::ANY { "something" } else { *value };
                let imitates = one.facts().imitators.contains(&(*name, value));
                let expected: &[&str] = if imitates { &[] } else { &[first] };
                assert_eq!(ids(job(*one).chain([(*name, value)]).collect()), expected, "{first} and {name}");
            }
        }
    }

    #[test]
    fn near_misses_are_not_a_platform() {
        for value in ["", "TRUE", "1", "yes", "false"] {
            let error =
                pick(None, TokenLocation::default(), &[("GITHUB_ACTIONS", value), ("GITLAB_CI", value)])
                    .unwrap_err();
            assert_eq!(error.code(), Code::AmbientNotCi, "{value}");
        }
        let gitea = pick(None, TokenLocation::default(), &[GITHUB, ("GITEA_ACTIONS", "true")]).unwrap_err();
        assert!(gitea.details()[0].1.contains("Gitea gives jobs no ID tokens"));
        let unknown = pick(Some("jenkins"), TokenLocation::default(), &[]).unwrap_err();
        assert_eq!(
            (unknown.code(), unknown.details()[0].1.as_str()),
            (
                Code::CfgValueInvalid,
                "auto, github, gitlab, circleci, bitbucket, hcp-terraform, kubernetes, spacelift, semaphore, forgejo, buildkite, azure-pipelines, vela, google, aws, env, file, made-up"
            )
        );
    }

    #[test]
    fn every_provider_file_is_registered_once() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/platform"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
            .map(|name| name.replace('_', "-"))
            .filter(|name| {
                !["mod", "facts", "helper-program", "mask", "nowhere", "readings", "ready-token", "request"]
                    .contains(&name.as_str())
            })
            .collect();
        files.sort();
        let mut ids: Vec<&str> = PLATFORMS.iter().map(|p| p.facts().id).collect();
        ids.sort_unstable();
        assert_eq!(files, ids);
    }
}
