//! Makes the groups of values that the commands work with, from the table's rows.

use std::path::PathBuf;
use std::time::Duration;

use rustls::pki_types::CertificateDer;

use crate::cli::env_name;
use crate::cli::table::{
    ACCEPT_ARTIFACT_EXPOSURE, ALLOW_WORKSPACE, AUDIENCE, CA_FILE, CHILD_ENV_NAME, ENV_NAME, EXPECT,
    EXPORT_ENV, FORCE, FORMAT, ID_TOKEN_ENV_NAME, NO_PROXY, ON_UNAVAILABLE, OUTPUT, PROVIDER, REPORT, SCOPE,
    SERVICE_CONNECTION_ID, SUBJECT_TOKEN_ENV, SUBJECT_TOKEN_FILE, SUMMARY, TIMEOUT, VALIDATION,
    VERIFY_SIGNATURE,
};
use crate::cli::typed::Typed;
use crate::credential::Kind;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::grant::scope;
use crate::http;
use crate::http::proxy::ProxySettings;
use crate::identity::claims::{Finding, Validation};
use crate::identity::expect::{self, Expectation};
use crate::input;
use crate::platform::{self, TokenLocation};
use crate::text::quote;

pub(crate) use crate::cli::resolve::invalid;
use crate::cli::resolve::path_without_end;
pub use crate::cli::resolve::{Resolved, Resolver, Source};
pub use crate::grant::settings::GrantSettings;

/// The settings of the job's identity, and what is expected of it.
#[derive(Debug)]
pub struct IdentitySettings {
    /// The audience of the ID token.
    pub audience: Option<String>,
    /// The provider that was asked for.
    pub provider: Option<String>,
    /// The place of a ready ID token.
    pub source: TokenLocation,
    /// The service connection of Azure Pipelines that the ID token is for.
    pub service_connection_id: Option<String>,
    /// The claims that the user expects.
    pub expectations: Vec<Expectation>,
    /// The strictness with which claims are checked.
    pub validation: Validation,
    /// True if the signature is verified.
    pub verify_signature: bool,
    /// Warnings about these settings.
    pub warnings: Vec<String>,
    /// Oddities of these settings.
    pub findings: Vec<Finding>,
}

/// The settings of the handover.
#[derive(Debug, Default)]
pub struct OutputSettings {
    /// The format that was asked for.
    pub format: Option<String>,
    /// The output file.
    pub output: Option<PathBuf>,
    /// The variable for the access token.
    pub env_name: String,
    /// True if GitHub's later steps get it too.
    pub export_env: bool,
    /// Consent: `--force`.
    pub force: bool,
    /// Consent: `--allow-workspace`.
    pub allow_workspace: bool,
    /// Consent: `--accept-artifact-exposure`.
    pub accept_artifact_exposure: bool,
}

/// The fate of a job that can have no ID token.
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

/// The settings of requests.
#[derive(Debug)]
pub struct NetworkSettings {
    /// The time for the whole run.
    pub timeout: Duration,
    /// Its end, counted from when the settings were read.
    pub deadline: Deadline,
    /// Certificates to trust besides the built-in roots.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// The source of these certificates.
    pub roots_source: Source,
    /// The proxy, and what is exempt from it.
    pub proxies: ProxySettings,
}

/// The condition for writing a summary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SummaryWhen {
    /// Never.
    #[default]
    Never,
    /// Only after a failed run.
    OnFailure,
    /// After every run.
    Always,
}

impl SummaryWhen {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Never, Self::OnFailure, Self::Always];

    /// The value of `--summary`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
            Self::Always => "always",
        }
    }
}

/// The largest file of certificates, in bytes. Whole systems have a few hundred thousand.
const MAX_ROOTS: usize = 4 * 1024 * 1024;

/// Returns where the report goes. This is needed before anything else can fail, and after a command line that was refused: then
/// the variable asks for it, whatever was meant.
pub fn report_place(typed: &Typed, env: &Env) -> Option<PathBuf> {
    let flag = typed.os(&REPORT.row).and_then(path_without_end);
    flag.or_else(|| path_without_end(&env.os(REPORT.row.var?)?))
}

/// Returns when a summary is written. This is needed whatever else fails.
pub fn summary_when(typed: &Typed, env: &Env) -> Result<SummaryWhen, Error> {
    Resolver::new(typed, env).get(&SUMMARY).map(|when| when.value)
}

impl Resolver<'_> {
    /// The settings of the job's identity.
    pub fn identity(&mut self) -> Result<IdentitySettings, Error> {
        let audience = self.get(&AUDIENCE)?;
        let warnings = audience_of_other_service(&audience).into_iter().collect();
        let provider = self.get(&PROVIDER)?.given();
        let variable = self.subject_token_env()?;
        let file = self.subject_token_file();
        let expected = self.list(&EXPECT)?;
        let expectations = expect::parse(expected.value.iter().map(String::as_str), expected.source.name())?;
        Ok(IdentitySettings {
            audience: audience.value,
            provider,
            source: TokenLocation { variable, file },
            service_connection_id: self.get(&SERVICE_CONNECTION_ID)?.value,
            expectations,
            verify_signature: self.get(&VERIFY_SIGNATURE)?.value,
            validation: self.validation()?,
            warnings,
            findings: self.foreign_identity()?,
        })
    }

    /// Says which variables lead to another identity than that of the platform that this job runs on. An earlier step can
    /// plant them, and the job would go on under somebody else's name without a word.
    fn foreign_identity(&mut self) -> Result<Vec<Finding>, Error> {
        let here: Vec<_> = platform::detected(self.env()).iter().map(|platform| platform.facts()).collect();
        let provider = self.get(&PROVIDER)?;
        let is_other = provider.value != "auto" && here.iter().all(|facts| facts.id != provider.value);
        let variable = self.get(&SUBJECT_TOKEN_ENV)?;
        // Where tokens are handed over in variables, naming one is how it is done.
        let is_asked = here.iter().all(|facts| facts.is_asked());
        let file = self.path(&SUBJECT_TOKEN_FILE).map(|file| file.source);
        let sources = [
            is_other.then_some(provider.source),
            (variable.value.is_some() && is_asked).then_some(variable.source),
            file,
        ];
        let Some(platform) = here.first() else { return Ok(Vec::new()) };
        let named = sources.into_iter().flatten().filter_map(|source| match source {
            Source::Variable(name) => Some(name),
            _ => None,
        });
        Ok(named
            .map(|name| {
                let text = format!(
                    "{name} replaces the identity that {} gives to this job; an earlier step may have set it",
                    platform.name
                );
                Finding::strict(Code::EndpointUntrusted, text)
            })
            .collect())
    }

    /// The variable that holds the ID token. A query may come from somebody's module, and would have any secret of this
    /// job sent to the STS if it could name another one.
    fn subject_token_env(&mut self) -> Result<Option<String>, Error> {
        let variable = self.get(&SUBJECT_TOKEN_ENV)?;
        let Source::Request(source) = variable.source else { return Ok(variable.value) };
        let own = self.without_request(&SUBJECT_TOKEN_ENV, &variable)?.flatten();
        let own = TokenLocation { variable: own, file: None };
        if own.variables().any(|name| variable.value.as_deref() == Some(name)) {
            return Ok(variable.value);
        }
        let message = format!("{source} names another variable for the ID token than this program was given");
        Err(Error::new(Code::CfgRequestInvalid, message)
            .with_detail("expected", own.variables().collect::<Vec<_>>().join(" or "))
            .with_detail("found", quote(&variable.value.unwrap_or_default()))
            .with_cure("Name the variable with --subject-token-env among the program's arguments."))
    }

    /// Returns how strictly claims are checked. A query may ask for more, and not for less.
    pub(super) fn validation(&mut self) -> Result<Validation, Error> {
        let found = self.get(&VALIDATION)?;
        let rank = |mode: Validation| Validation::ALL.iter().position(|known| *known == mode);
        match self.without_request(&VALIDATION, &found)? {
            Some(own) if rank(found.value) < rank(own) => {
                let message = format!("{} lowers the validation", found.source.name());
                Err(Error::new(Code::CfgRequestInvalid, message)
                    .with_detail("expected", format!("{} or stricter", own.id()))
                    .with_detail("found", found.value.id())
                    .with_cure("Set --validation among the program's arguments."))
            }
            _ => Ok(found.value),
        }
    }

    /// The file that holds the ID token.
    pub fn subject_token_file(&mut self) -> Option<PathBuf> {
        self.path(&SUBJECT_TOKEN_FILE).map(|file| file.value)
    }

    /// The scope alone, for commands that only tell it.
    pub fn scope(&mut self) -> Result<Option<String>, Error> {
        let scope = self.get(&SCOPE)?.value;
        if let Some(scope) = &scope {
            scope::check(scope)?;
        }
        Ok(scope)
    }

    /// The settings of the handover.
    pub fn output(&mut self, kind: Kind) -> Result<OutputSettings, Error> {
        self.check_output()?;
        Ok(OutputSettings {
            format: self.get(&FORMAT)?.given(),
            output: self.path(&OUTPUT).map(|path| path.value),
            env_name: self.env_name(kind)?,
            export_env: self.get(&EXPORT_ENV)?.value,
            force: self.get(&FORCE)?.value,
            allow_workspace: self.get(&ALLOW_WORKSPACE)?.value,
            accept_artifact_exposure: self.get(&ACCEPT_ARTIFACT_EXPOSURE)?.value,
        })
    }

    /// The variable for the token that is handed over.
    fn env_name(&mut self, kind: Kind) -> Result<String, Error> {
        let name = match kind {
            Kind::AccessToken => self.get(&ENV_NAME)?,
            Kind::IdToken => self.get(&ID_TOKEN_ENV_NAME)?,
        };
        let force = self.get(&FORCE)?.value;
        check_env_name(&name, kind, force)?;
        Ok(name.value)
    }

    /// The variable for the access token of a command that is run.
    pub fn child_env_name(&mut self) -> Result<String, Error> {
        let name = self.get(&CHILD_ENV_NAME)?;
        let force = self.get(&FORCE)?.value;
        check_env_name(&name, Kind::AccessToken, force)?;
        Ok(name.value)
    }

    /// Returns what becomes of a job that can have no ID token.
    pub fn on_unavailable(&mut self) -> Result<OnUnavailable, Error> {
        Ok(self.get(&ON_UNAVAILABLE)?.value)
    }

    /// The settings of requests.
    pub fn network(&mut self) -> Result<NetworkSettings, Error> {
        let timeout = self.timeout()?;
        let deadline = Deadline::within(timeout);
        let (extra_roots, roots_source) = self.extra_roots(deadline)?;
        Ok(NetworkSettings {
            timeout,
            deadline,
            extra_roots,
            roots_source,
            proxies: if self.get(&NO_PROXY)?.value {
                ProxySettings::default()
            } else {
                ProxySettings::from_env(self.env())?
            },
        })
    }

    /// The time for the whole run alone, for what happens before the other settings are known.
    pub fn timeout(&mut self) -> Result<Duration, Error> {
        Ok(Duration::from_secs(self.get(&TIMEOUT)?.value))
    }

    fn extra_roots(&mut self, deadline: Deadline) -> Result<(Vec<CertificateDer<'static>>, Source), Error> {
        let Some(setting) = self.path(&CA_FILE) else { return Ok((Vec::new(), Source::Default)) };
        let name = format!("{} {}", setting.source.name(), quote(&setting.value.to_string_lossy()));
        let pem =
            input::read_file(&setting.value, input::Kind::Any, MAX_ROOTS, deadline).map_err(|error| {
                Error::new(Code::CfgCaFile, format!("{name} cannot be read: {}", error.message()))
            })?;
        Ok((http::parse_roots(&pem, &name)?, setting.source))
    }
}

/// A warning, when the audience is another service's.
fn audience_of_other_service(audience: &Resolved<Option<String>>) -> Option<String> {
    let value = audience.value.as_deref()?;
    crate::identity::audience::other_service(value).map(|service| {
        format!(
            "{} is {}, the audience of {service}: a token for it can be used there as well; choose one of its own for Equinix",
            audience.source.name(),
            quote(value)
        )
    })
}

/// Judges the name for a token's variable.
fn check_env_name(setting: &Resolved<String>, kind: Kind, force: bool) -> Result<(), Error> {
    env_name::judge(&setting.value, kind, force).map_err(|why| {
        let (from, name) = (setting.source.name(), quote(&setting.value));
        let message = format!("{from} cannot be {name}: {}", why.reason());
        Error::new(Code::CfgEnvNameInvalid, message).with_cure(why.cure())
    })
}
