//! Settings: flag, else environment variable, else default (contract section 2).
//!
//! Every setting remembers where it came from, for the report and for messages. Nothing is read from the working
//! directory.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use serde_json::{Map, Value, json};

use crate::claims::Validation;
use crate::cli::{ExchangeArgs, IdentityArgs, NetworkArgs, OutputArgs};
use crate::credential::Kind;
use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::expect::{self, Expectation};
use crate::http;
use crate::http::proxy::ProxySettings;
use crate::http::url::{Refusal, Url};
use crate::input;
use crate::provider::TokenSource;
use crate::request::Request;
use crate::scope;
use crate::sts::{self, Api};
use crate::text::quote;

/// Where a setting came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// This flag.
    Flag(&'static str),
    /// This environment variable.
    Variable(&'static str),
    /// What the program that runs this one asked for.
    Request(&'static str),
    /// Neither.
    Default,
}

impl Source {
    /// As it stands in messages and in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flag(name) | Self::Variable(name) | Self::Request(name) => name,
            Self::Default => "default",
        }
    }
}

/// A value and its source.
#[derive(Debug, Clone)]
pub struct Setting<T> {
    /// The value.
    pub value: T,
    /// Where it came from.
    pub source: Source,
}

/// Who the job is, and what is expected of it.
#[derive(Debug)]
pub struct IdentitySettings {
    /// The audience of the ID token.
    pub audience: Option<String>,
    /// The provider that was asked for.
    pub provider: Option<String>,
    /// Where a ready ID token is.
    pub source: TokenSource,
    /// What the user expects of the claims.
    pub expectations: Vec<Expectation>,
    /// How strictly the claims are taken.
    pub validation: Validation,
    /// Whether the signature is verified.
    pub verify_signature: bool,
    /// What should be said about these settings.
    pub warnings: Vec<String>,
}

/// What is asked for, and where.
#[derive(Debug)]
pub struct ExchangeSettings {
    /// The scope to ask for.
    pub scope: Option<String>,
    /// The STS.
    pub sts_endpoint: Url,
    /// Its API version.
    pub sts_api: Api,
    /// The shortest acceptable life of the access token, in seconds.
    pub min_ttl: u64,
    /// What should be said about these settings.
    pub warnings: Vec<String>,
}

/// How the token is handed over.
#[derive(Debug, Default)]
pub struct OutputSettings {
    /// The format that was asked for.
    pub format: Option<String>,
    /// The output file.
    pub output: Option<PathBuf>,
    /// The variable for the access token.
    pub env_name: String,
    /// Whether GitHub's later steps get it too.
    pub export_env: bool,
    /// Consent: `--force`.
    pub force: bool,
    /// Consent: `--allow-workspace`.
    pub allow_workspace: bool,
    /// Consent: `--accept-artifact-exposure`.
    pub accept_artifact_exposure: bool,
}

/// What becomes of a job that can have no ID token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnUnavailable {
    /// It fails.
    #[default]
    Fail,
    /// It goes on without a token, and says so.
    Skip,
}

impl OnUnavailable {
    /// Both of them.
    pub const ALL: [Self; 2] = [Self::Fail, Self::Skip];

    /// The value of `--on-unavailable`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

/// How requests are made.
#[derive(Debug)]
pub struct NetworkSettings {
    /// The time for the whole run.
    pub timeout: Duration,
    /// Its end, counted from when the settings were read.
    pub deadline: Deadline,
    /// Certificates to trust besides the built-in roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Where they came from.
    pub roots_source: Source,
    /// The proxy, and what is exempt from it.
    pub proxies: ProxySettings,
}

/// Where the report goes. This is needed before anything else can fail.
pub fn report_place(flag: Option<&Path>, env: &Env) -> Option<PathBuf> {
    flag.map(Path::to_path_buf).or_else(|| env.os(names::REPORT).map(PathBuf::from))
}

/// The largest file of certificates, in bytes. Whole systems have a few hundred thousand.
const MAX_ROOTS: usize = 4 * 1024 * 1024;

/// Collects settings and remembers where each came from.
pub struct Resolver<'a> {
    env: &'a Env,
    request: Request,
    seen: Map<String, Value>,
}

impl<'a> Resolver<'a> {
    /// Nothing collected yet.
    pub fn new(env: &'a Env) -> Self {
        Self { env, request: Request::default(), seen: Map::new() }
    }

    /// From now on, what was asked for counts where no flag was given.
    pub fn with_request(&mut self, request: Request) {
        self.request = request;
    }

    /// The version of the answer that was asked for.
    pub fn api_version(&self) -> Option<&'static str> {
        self.request.api_version
    }

    /// What has been collected, for the report: name → value and source.
    pub fn into_report(self) -> Map<String, Value> {
        self.seen
    }

    fn text(
        &mut self,
        flag: &'static str,
        typed: Option<&str>,
        variable: &'static str,
    ) -> Result<Option<Setting<String>>, Error> {
        let asked = self.request.settings.get(flag).map(String::as_str);
        let setting = match (typed.filter(|text| !text.is_empty()), asked) {
            (Some(text), asked) => {
                self.check_agreement(flag, text, asked)?;
                Some(Setting { value: text.to_owned(), source: Source::Flag(flag) })
            }
            (None, Some(asked)) => {
                Some(Setting { value: asked.to_owned(), source: Source::Request(self.request.source) })
            }
            (None, None) => {
                self.env.text(variable)?.map(|value| Setting { value, source: Source::Variable(variable) })
            }
        };
        if let Some(setting) = &setting {
            self.remember(flag, json!(setting.value), setting.source);
        }
        Ok(setting)
    }

    /// Who asks for one thing and gets another would never know.
    fn check_agreement(&self, flag: &str, typed: &str, asked: Option<&str>) -> Result<(), Error> {
        match asked.filter(|asked| *asked != typed) {
            None => Ok(()),
            Some(asked) => {
                let source = self.request.source;
                Err(Error::new(Code::CfgRequestInvalid, format!("{flag} and {source} contradict each other"))
                    .with_detail("flag", quote(typed))
                    .with_detail("asked for", quote(asked))
                    .with_cure("Give the setting in one of the two places."))
            }
        }
    }

    fn path(
        &mut self,
        flag: &'static str,
        typed: Option<&Path>,
        variable: &'static str,
    ) -> Option<Setting<PathBuf>> {
        let setting = match typed.filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => Some(Setting { value: path.to_path_buf(), source: Source::Flag(flag) }),
            None => self
                .env
                .os(variable)
                .map(|value| Setting { value: value.into(), source: Source::Variable(variable) }),
        };
        if let Some(setting) = &setting {
            self.remember(flag, json!(setting.value.to_string_lossy()), setting.source);
        }
        setting
    }

    fn switch(&mut self, flag: &'static str, typed: bool, variable: &'static str) -> Result<bool, Error> {
        let (value, source) = match (typed, self.env.text(variable)?.as_deref()) {
            (true, _) => (true, Source::Flag(flag)),
            (false, None) => (false, Source::Default),
            (false, Some("true" | "1")) => (true, Source::Variable(variable)),
            (false, Some("false" | "0")) => (false, Source::Variable(variable)),
            (false, Some(other)) => return Err(invalid(Source::Variable(variable), other, "true or false")),
        };
        self.remember(flag, json!(value), source);
        Ok(value)
    }

    fn seconds(
        &mut self,
        flag: &'static str,
        typed: Option<&str>,
        variable: &'static str,
        default: u64,
        allowed: std::ops::RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        let Some(setting) = self.text(flag, typed, variable)? else {
            self.remember(flag, json!(default), Source::Default);
            return Ok(default);
        };
        let parsed = setting.value.parse::<u64>().ok().filter(|seconds| allowed.contains(seconds));
        let value = parsed.ok_or_else(|| {
            let range = format!("a whole number of seconds from {} to {}", allowed.start(), allowed.end());
            invalid(setting.source, &setting.value, &range)
        })?;
        self.remember(flag, json!(value), setting.source);
        Ok(value)
    }

    fn remember(&mut self, flag: &'static str, value: Value, source: Source) {
        let name = flag.trim_start_matches('-').to_owned();
        self.seen.insert(name, json!({"value": value, "source": source.name()}));
    }

    /// Remembers what holds when a setting was given in no way.
    fn remember_default(&mut self, flag: &'static str, value: &str) {
        if !self.seen.contains_key(flag.trim_start_matches('-')) {
            self.remember(flag, json!(value), Source::Default);
        }
    }

    /// The settings of [`IdentityArgs`].
    pub fn identity(&mut self, args: &IdentityArgs) -> Result<IdentitySettings, Error> {
        let mut warnings = Vec::new();
        let audience = self.text("--audience", args.audience.as_deref(), names::AUDIENCE)?;
        if let Some(audience) = &audience {
            warnings.extend(check_audience(audience)?);
        }
        let provider = self.text("--provider", args.provider.as_deref(), names::PROVIDER)?;
        self.remember_default("--provider", "auto");
        let variable = self.text(
            "--subject-token-env",
            args.subject_token_env.as_deref(),
            names::SUBJECT_TOKEN_ENV_VAR,
        )?;
        if let Some(name) = variable.as_ref().filter(|name| !is_variable_name(&name.value)) {
            return Err(invalid(name.source, &name.value, "the name of a variable, not its value"));
        }
        let file = self.subject_token_file(args);
        Ok(IdentitySettings {
            audience: audience.map(|setting| setting.value),
            provider: provider.map(|setting| setting.value),
            source: TokenSource { variable: variable.map(|s| s.value), file },
            expectations: self.expectations(&args.expect)?,
            verify_signature: self.switch(
                "--verify-signature",
                args.verify_signature,
                names::VERIFY_SIGNATURE,
            )?,
            validation: self.choice(
                "--validation",
                args.validation.as_deref(),
                names::VALIDATION,
                Validation::ALL.map(|validation| (validation.id(), validation)),
            )?,
            warnings,
        })
    }

    /// The file that holds the ID token.
    pub fn subject_token_file(&mut self, args: &IdentityArgs) -> Option<PathBuf> {
        self.path("--subject-token-file", args.subject_token_file.as_deref(), names::SUBJECT_TOKEN_FILE)
            .map(|setting| setting.value)
    }

    /// Flags take the place of the variable as a whole, as for every other setting.
    fn expectations(&mut self, typed: &[String]) -> Result<Vec<Expectation>, Error> {
        const FLAG: &str = "--expect";
        let split = |text: &str| -> Vec<String> {
            text.lines().map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect()
        };
        let asked = self.request.settings.get(FLAG).map(|text| split(text));
        let (source, lines) = if !typed.is_empty() {
            self.check_agreement(FLAG, &typed.join("\n"), asked.map(|lines| lines.join("\n")).as_deref())?;
            (Source::Flag(FLAG), typed.to_vec())
        } else if let Some(lines) = asked {
            (Source::Request(self.request.source), lines)
        } else {
            let Some(text) = self.env.text(names::EXPECT)? else { return Ok(Vec::new()) };
            (Source::Variable(names::EXPECT), split(&text))
        };
        self.remember("--expect", json!(lines), source);
        expect::parse(lines.iter().map(String::as_str), source.name())
    }

    /// The scope alone, for commands that only tell it.
    pub fn scope(&mut self, typed: Option<&str>) -> Result<Option<String>, Error> {
        let scope = self.text("--scope", typed, names::SCOPE)?;
        if let Some(scope) = &scope {
            scope::check(&scope.value)?;
        }
        Ok(scope.map(|setting| setting.value))
    }

    /// The settings of [`ExchangeArgs`].
    pub fn exchange(&mut self, args: &ExchangeArgs) -> Result<ExchangeSettings, Error> {
        let mut settings = self.exchange_with_any_scope(args)?;
        if let Some(scope) = &settings.scope {
            let about_scope = scope::check(scope)?;
            settings.warnings.splice(0..0, about_scope);
        }
        Ok(settings)
    }

    /// [`Resolver::exchange`] with the scope as it was given, for a command that checks it by itself.
    pub fn exchange_with_any_scope(&mut self, args: &ExchangeArgs) -> Result<ExchangeSettings, Error> {
        let mut warnings = Vec::new();
        let scope = self.text("--scope", args.scope.as_deref(), names::SCOPE)?;
        let sts_endpoint = self.endpoint(args.sts_endpoint.as_deref())?;
        if sts_endpoint.is_loopback() {
            warnings.push(format!("the STS is on this machine: {}", sts_endpoint.origin()));
        }
        let versions = Api::ALL.map(|api| (api.id(), api));
        Ok(ExchangeSettings {
            scope: scope.map(|setting| setting.value),
            sts_endpoint,
            sts_api: self.choice("--sts-api", args.sts_api.as_deref(), names::STS_API, versions)?,
            min_ttl: self.seconds("--min-ttl", args.min_ttl.as_deref(), names::MIN_TTL, 60, 0..=86_400)?,
            warnings,
        })
    }

    /// The settings of [`OutputArgs`].
    pub fn output(&mut self, args: &OutputArgs, kind: Kind) -> Result<OutputSettings, Error> {
        let format = self.text("--format", args.format.as_deref(), names::FORMAT)?;
        self.remember_default("--format", "auto");
        Ok(OutputSettings {
            format: format.map(|setting| setting.value),
            output: self.path("--output", args.output.as_deref(), names::OUTPUT).map(|setting| setting.value),
            env_name: self.env_name(args.env_name.as_deref(), kind)?,
            export_env: self.switch("--export-env", args.export_env, names::EXPORT_ENV)?,
            force: args.force,
            allow_workspace: args.allow_workspace,
            accept_artifact_exposure: args.accept_artifact_exposure,
        })
    }

    /// The variable for the token.
    pub fn env_name(&mut self, typed: Option<&str>, kind: Kind) -> Result<String, Error> {
        let setting = self
            .text("--env-name", typed, names::ENV_NAME)?
            .unwrap_or(Setting { value: kind.variable().to_owned(), source: Source::Default });
        self.remember_default("--env-name", &setting.value);
        check_env_name(&setting, kind)?;
        Ok(setting.value)
    }

    /// What becomes of a job that can have no ID token.
    pub fn on_unavailable(&mut self, typed: Option<&str>) -> Result<OnUnavailable, Error> {
        let words = OnUnavailable::ALL.map(|what| (what.id(), what));
        self.choice("--on-unavailable", typed, names::ON_UNAVAILABLE, words)
    }

    /// The settings of [`NetworkArgs`].
    pub fn network(&mut self, args: &NetworkArgs) -> Result<NetworkSettings, Error> {
        let timeout = self.timeout(args)?;
        let deadline = Deadline::within(timeout);
        let (extra_roots, roots_source) = self.extra_roots(args.ca_file.as_deref(), deadline)?;
        Ok(NetworkSettings {
            timeout,
            deadline,
            extra_roots,
            roots_source,
            proxies: if args.no_proxy {
                ProxySettings::default()
            } else {
                ProxySettings::from_env(self.env)?
            },
        })
    }

    /// The time for the whole run alone, for what happens before the other settings are known.
    pub fn timeout(&mut self, args: &NetworkArgs) -> Result<Duration, Error> {
        let seconds = self.seconds("--timeout", args.timeout.as_deref(), names::TIMEOUT, 60, 1..=3600)?;
        Ok(Duration::from_secs(seconds))
    }

    /// One of a few words; the default is `T`'s.
    fn choice<T: Default + PartialEq, const N: usize>(
        &mut self,
        flag: &'static str,
        typed: Option<&str>,
        variable: &'static str,
        known: [(&'static str, T); N],
    ) -> Result<T, Error> {
        let default = T::default();
        let Some(setting) = self.text(flag, typed, variable)? else {
            if let Some((word, _)) = known.iter().find(|(_, value)| *value == default) {
                self.remember_default(flag, word);
            }
            return Ok(default);
        };
        let words = known.each_ref().map(|(word, _)| *word).join(" or ");
        let found = known.into_iter().find(|(word, _)| *word == setting.value);
        found.map(|(_, value)| value).ok_or_else(|| invalid(setting.source, &setting.value, &words))
    }

    /// The STS's base URL. A variable can be planted by an earlier step, and a query by somebody's module, so these are
    /// trusted for Equinix's own hosts and for this machine only (S-19).
    fn endpoint(&mut self, typed: Option<&str>) -> Result<Url, Error> {
        let setting = self
            .text("--sts-endpoint", typed, names::STS_ENDPOINT)?
            .unwrap_or(Setting { value: sts::DEFAULT_ENDPOINT.to_owned(), source: Source::Default });
        self.remember_default("--sts-endpoint", &setting.value);
        if setting.value.contains('@') {
            // The report is no place for a password either.
            self.remember("--sts-endpoint", json!(shown_url(&setting.value)), setting.source);
        }
        let from = setting.source.name();
        let url = Url::parse(&setting.value).map_err(|why| {
            let code = if why == Refusal::NotHttps { Code::InsecureUrl } else { Code::CfgEndpointInvalid };
            Error::new(code, format!("{from} is not a URL for the STS: {why}"))
                .with_detail("found", shown_url(&setting.value))
        })?;
        if !url.is_origin() {
            return Err(Error::new(Code::CfgEndpointInvalid, format!("{from} has something after the host"))
                .with_detail("expected", url.origin())
                .with_detail("found", shown_url(&setting.value))
                .with_cure("Give the base URL only; the path follows from --sts-api."));
        }
        let is_planted = matches!(setting.source, Source::Variable(_) | Source::Request(_));
        if is_planted && !url.is_loopback() && !url.is_under("equinix.com") {
            return Err(Error::new(
                Code::EndpointUntrusted,
                format!("{from} names {}, which is not a host under equinix.com", url.origin()),
            )
            .with_cure(format!("If this host is right, pass --sts-endpoint {}.", url.origin())));
        }
        Ok(url)
    }

    fn extra_roots(
        &mut self,
        typed: Option<&Path>,
        deadline: Deadline,
    ) -> Result<(Vec<CertificateDer<'static>>, Source), Error> {
        let setting = match self.path("--ca-file", typed, names::CA_FILE) {
            Some(setting) => setting,
            None => match self.path("--ca-file", None, names::SSL_CERT_FILE) {
                Some(setting) => setting,
                None => return Ok((Vec::new(), Source::Default)),
            },
        };
        let name = format!("{} {}", setting.source.name(), quote(&setting.value.to_string_lossy()));
        let pem =
            input::read_file(&setting.value, input::Kind::Any, MAX_ROOTS, deadline).map_err(|error| {
                Error::new(Code::CfgCaFile, format!("{name} cannot be read: {}", error.message()))
            })?;
        Ok((http::parse_roots(&pem, &name)?, setting.source))
    }
}

/// A URL in a message, unless it holds a user name and password.
fn shown_url(text: &str) -> String {
    if text.contains('@') { "(not shown, since it holds a user name)".to_owned() } else { quote(text) }
}

/// A setting whose value it does not allow.
pub(crate) fn invalid(source: Source, found: &str, allowed: &str) -> Error {
    Error::new(Code::CfgValueInvalid, format!("{} has a value that it does not allow", source.name()))
        .with_detail("expected", allowed)
        .with_detail("found", quote(found))
        .with_cure("Correct the value or leave the setting out.")
}

fn check_audience(audience: &Setting<String>) -> Result<Option<String>, Error> {
    let value = &audience.value;
    if value.len() > 1024 || value.chars().any(char::is_control) {
        return Err(invalid(audience.source, value, "a text of at most 1024 characters on one line"));
    }
    Ok(crate::claims::other_service(value).map(|service| {
        format!(
            "{} is {}, the audience of {service}: a token for it can be used there as well; choose one of its own for Equinix",
            audience.source.name(),
            quote(value)
        )
    }))
}

/// Letters, digits and underscores, not beginning with a digit, at most 128 of them.
pub fn is_variable_name(name: &str) -> bool {
    name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// A name for the token's variable that changes nothing else (S-40).
fn check_env_name(setting: &Setting<String>, kind: Kind) -> Result<(), Error> {
    const WHOLE: [&str; 14] = [
        "PATH",
        "ENV",
        "IFS",
        "PS1",
        "PS2",
        "PS4",
        "BASH_ENV",
        "PROMPT_COMMAND",
        "SHELLOPTS",
        "BASHOPTS",
        "HOME",
        "CI",
        "NO_PROXY",
        "ALL_PROXY",
    ];
    const PREFIX: [&str; 15] = [
        "EQUINIX_STS_",
        "EQUINIX_TOKEN_EXCHANGE_",
        "EQUINIX_WIF_",
        "LD_",
        "DYLD_",
        "GIT_",
        "GITHUB_",
        "RUNNER_",
        "ACTIONS_",
        "CI_",
        "GITLAB_",
        "PYTHON",
        "RUBY",
        "PERL5",
        "SSL_CERT_",
    ];
    const SUFFIX: [&str; 2] = ["_OPTIONS", "_PROXY"];
    let name = setting.value.as_str();
    let fail = |why: &str| {
        Err(Error::new(
            Code::CfgEnvNameInvalid,
            format!("{} cannot be {}: {why}", setting.source.name(), quote(name)),
        ))
    };
    if !is_variable_name(name) {
        return fail("it is not the name of a variable");
    }
    if kind == Kind::IdToken && name == kind.variable() {
        return Ok(());
    }
    let upper = name.to_ascii_uppercase();
    let is_special = WHOLE.contains(&upper.as_str())
        || PREFIX.iter().any(|prefix| upper.starts_with(prefix))
        || SUFFIX.iter().any(|suffix| upper.ends_with(suffix));
    if is_special { fail("that variable changes how other programs behave") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    /// All settings at once.
    #[derive(Debug)]
    struct Config {
        identity: IdentitySettings,
        exchange: ExchangeSettings,
        output: OutputSettings,
        network: NetworkSettings,
    }

    fn resolve(args: &[&str], pairs: &[(&str, &str)]) -> Result<(Config, Map<String, Value>), Error> {
        let cli = Cli::try_parse_from(["equinix-wif", "token"].iter().chain(args)).unwrap();
        let Command::Token(args) = cli.command else { panic!() };
        let env = Env::fixed(pairs.iter().copied());
        let mut resolver = Resolver::new(&env);
        let config = Config {
            identity: resolver.identity(&args.identity)?,
            exchange: resolver.exchange(&args.exchange)?,
            output: resolver.output(&args.output, Kind::AccessToken)?,
            network: resolver.network(&args.network)?,
        };
        Ok((config, resolver.into_report()))
    }

    fn code(args: &[&str], pairs: &[(&str, &str)]) -> &'static str {
        resolve(args, pairs).map_or_else(|error| error.code().name(), |_| "ok")
    }

    const SCOPE: [&str; 2] = ["--scope", "roleassignments:o"];

    #[test]
    fn flags_win_over_variables_and_defaults_come_last() {
        let pairs = [
            (names::SCOPE, "orgpolicies:o"),
            (names::AUDIENCE, "a"),
            (names::MIN_TTL, "5"),
            (names::ENV_NAME, ""),
        ];
        let (config, seen) = resolve(&["--scope", "roleassignments:o", "--min-ttl", "7"], &pairs).unwrap();
        assert_eq!(
            (config.exchange.scope.as_deref(), config.identity.audience.as_deref(), config.exchange.min_ttl),
            (Some("roleassignments:o"), Some("a"), 7)
        );
        assert_eq!(config.output.env_name, "EQUINIX_API_TOKEN", "an empty variable counts as unset");
        assert_eq!(seen["scope"], json!({"value": "roleassignments:o", "source": "--scope"}));
        assert_eq!(seen["audience"], json!({"value": "a", "source": "EQUINIX_WIF_AUDIENCE"}));
        let (config, seen) = resolve(&SCOPE, &[]).unwrap();
        assert_eq!(config.exchange.sts_endpoint.origin(), "https://sts.eqix.equinix.com");
        assert_eq!(
            (config.exchange.sts_api, config.exchange.min_ttl, config.output.export_env),
            (Api::Alpha, 60, false)
        );
        assert_eq!(seen["min-ttl"], json!({"value": 60, "source": "default"}));
    }

    #[test]
    fn an_endpoint_from_a_variable_must_be_equinix_s_or_local() {
        for (url, by_variable, by_flag) in [
            ("https://sts.eqix.equinix.com", "ok", "ok"),
            ("https://sts.uat.equinix.com/", "ok", "ok"),
            ("https://127.0.0.1:8443", "ok", "ok"),
            ("http://localhost:8080", "ok", "ok"),
            ("https://sts.example", "endpoint-untrusted", "ok"),
            ("https://equinix.com.evil.example", "endpoint-untrusted", "ok"),
            ("https://notequinix.com", "endpoint-untrusted", "ok"),
            ("http://sts.eqix.equinix.com", "insecure-url", "insecure-url"),
            ("https://sts.eqix.equinix.com/use/token", "cfg-endpoint-invalid", "cfg-endpoint-invalid"),
            ("https://sts.eqix.equinix.com?x", "cfg-endpoint-invalid", "cfg-endpoint-invalid"),
            ("https://user:hush@sts.eqix.equinix.com", "cfg-endpoint-invalid", "cfg-endpoint-invalid"),
            ("sts.eqix.equinix.com", "cfg-endpoint-invalid", "cfg-endpoint-invalid"),
        ] {
            assert_eq!(code(&SCOPE, &[(names::STS_ENDPOINT, url)]), by_variable, "{url}");
            assert_eq!(code(&[&SCOPE[..], &["--sts-endpoint", url]].concat(), &[]), by_flag, "{url}");
        }
        let error = resolve(&SCOPE, &[(names::STS_ENDPOINT, "https://user:hush@h")]).unwrap_err();
        assert!(!format!("{error} {:?}", error.details()).contains("hush"));
    }

    #[test]
    fn values_are_checked_with_what_is_allowed() {
        for (args, outcome) in [
            (&["--timeout", "0"][..], "cfg-value-invalid"),
            (&["--validation", "lax"], "cfg-value-invalid"),
            (&["--validation", "strict"], "ok"),
            (&["--expect", "ref"], "cfg-value-invalid"),
            (&["--expect", "ref=x"], "ok"),
            (&["--min-ttl", "0"], "ok"),
            (&["--min-ttl", "-1"], "cfg-value-invalid"),
            (&["--min-ttl", "1.5"], "cfg-value-invalid"),
            (&["--min-ttl", "86401"], "cfg-value-invalid"),
            (&["--sts-api", "v2"], "cfg-value-invalid"),
            (&["--sts-api", "v1"], "ok"),
            (&["--subject-token-env", "$TOKEN"], "cfg-value-invalid"),
            (&["--subject-token-env", "MY_TOKEN"], "ok"),
            (&["--audience", "a\nb"], "cfg-value-invalid"),
            (&["--env-name", "MY_TOKEN"], "ok"),
            (&["--ca-file", "/no/such/file"], "cfg-ca-file"),
        ] {
            let args: Vec<&str> =
                SCOPE.iter().chain(args.iter().filter(|a| !a.is_empty())).copied().collect();
            let args: Vec<String> = args.into_iter().map(ToOwned::to_owned).collect();
            // A value that begins with a dash has to be glued to its flag.
            let glued: Vec<String> = vec![args[0].clone() + "=" + &args[1], args[2].clone() + "=" + &args[3]];
            let glued: Vec<&str> = glued.iter().map(String::as_str).collect();
            assert_eq!(code(&glued, &[]), outcome, "{glued:?}");
        }
        assert_eq!(code(&[], &[]), "ok");
        assert_eq!(code(&["--scope", "x"], &[]), "cfg-scope-invalid");
        for (value, outcome) in [("true", "ok"), ("0", "ok"), ("yes", "cfg-value-invalid")] {
            assert_eq!(code(&SCOPE, &[(names::EXPORT_ENV, value)]), outcome);
        }
    }

    #[test]
    fn the_timeout_has_a_floor_and_a_ceiling() {
        let timeout = |typed: &[&str]| {
            resolve(typed, &[(names::TIMEOUT, "90")]).map(|(c, _)| c.network.timeout.as_secs())
        };
        assert_eq!(timeout(&[]).unwrap(), 90);
        assert_eq!(timeout(&["--timeout", "5"]).unwrap(), 5);
        for bad in ["0", "3601", "soon", "1e3"] {
            let error = timeout(&["--timeout", bad]).unwrap_err();
            assert_eq!(error.details()[0].1, "a whole number of seconds from 1 to 3600", "{bad}");
        }
    }

    #[test]
    fn expectations_come_one_a_flag_or_one_a_line() {
        let lines = [(names::EXPECT, "ref=refs/heads/main\n\n  environment=prod\r\nref=x")];
        let (config, seen) = resolve(&[], &lines).unwrap();
        let claims: Vec<_> =
            config.identity.expectations.iter().map(|e| (e.claim.as_str(), e.values.len())).collect();
        assert_eq!(claims, [("ref", 2), ("environment", 1)]);
        assert_eq!(seen["expect"]["source"], json!("EQUINIX_WIF_EXPECT"));
        let (config, seen) = resolve(&["--expect", "a=b", "--expect", "c=d"], &lines).unwrap();
        assert_eq!(config.identity.expectations.len(), 2, "flags win");
        assert_eq!(seen["expect"], json!({"value": ["a=b", "c=d"], "source": "--expect"}));
    }

    #[test]
    fn names_that_change_other_programs_are_refused() {
        for name in ["EQUINIX_API_TOKEN", "MY_TOKEN", "_t", "a1", "GITHUBTOKEN", "PATHS", "OPTIONS"] {
            assert_eq!(code(&[&SCOPE[..], &["--env-name", name]].concat(), &[]), "ok", "{name}");
        }
        let long = "A".repeat(129);
        for name in [
            "PATH",
            "path",
            "LD_PRELOAD",
            "BASH_ENV",
            "NODE_OPTIONS",
            "GITHUB_TOKEN",
            "https_proxy",
            "SSL_CERT_FILE",
            "PYTHONPATH",
            "1A",
            "A-B",
            "A B",
            "A=B",
            "Ä",
            &long,
        ] {
            assert_eq!(
                code(&[&SCOPE[..], &["--env-name", name]].concat(), &[]),
                "cfg-env-name-invalid",
                "{name}"
            );
        }
    }

    #[test]
    fn an_audience_of_another_service_is_warned_of() {
        let (config, _) = resolve(&[&SCOPE[..], &["--audience", "sts.amazonaws.com"]].concat(), &[]).unwrap();
        assert!(
            config.identity.warnings[0].contains("the audience of AWS"),
            "{:?}",
            config.identity.warnings
        );
    }
}
