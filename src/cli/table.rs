//! Every setting, one row each.
//!
//! The command line is built from this table, and so are help, completions and the manual page. `docs/reference/settings.md`, `action.yml`
//! and `templates/equinix-wif.yml` are held against it by tests. A new setting is a row here and its use.

use crate::cli::commands::Command::{self, Doctor, Exec, IdToken, Inspect, Policies, Token};
use crate::cli::row::Arity::{List, Number, Path, Text};
use crate::cli::row::Expose::{Action, Cluster, Component, Query};
use crate::cli::row::{
    Expected, Heading, ListSetting, PathSetting, Row, Setting, one_of, seconds, switch, text, word,
};
use crate::cli::settings::{OnUnavailable, SummaryWhen};
use crate::cli::speech::Color;
use crate::credential::Kind;
use crate::env::is_variable_name;
use crate::env::names;
#[cfg(feature = "classic-grants")]
use crate::grant::api::{self, PasswordEncoding};
use crate::grant::sts::{self, Api};
use crate::grant::{self, GRANTS, token_exchange};
use crate::identity::claims::Validation;
use crate::output::format::FORMATS;
use crate::platform::PLATFORMS;

/// The commands that deal with the job's identity.
const JOB: &[Command] = &[Token, Exec, IdToken, Inspect, Doctor, Policies];

/// Declares the settings and the table of all of them, so that none can be left out.
macro_rules! settings {
    ($($(#[cfg($condition:meta)])? $name:ident: $kind:ty = $setting:expr;)+) => {
        $($(#[cfg($condition)])? pub(crate) static $name: $kind = $setting;)+
        /// Every row, in the order of the help.
        pub(crate) static ROWS: &[&Row] = &[$($(#[cfg($condition)])? &$name.row),+];
    };
}

settings! {
    VIEW: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--format",
            arity: Text("FORMAT"),
            words: || vec!["text", "json"],
            help: "Format of the output",
            on: &[Inspect, Doctor, Policies],
            ..Row::NEW
        },
        parse: text,
    };
    ALL_CLAIMS: Setting<bool> = Setting {
        row: Row { flag: "--all-claims", help: "Show all claims, those about persons too", on: &[Inspect], ..Row::NEW },
        parse: switch,
    };
    PROJECT_ID: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--project-id",
            var: Some(names::PROJECT_ID),
            arity: Text("ID"),
            help: "Id of the project (project:…) whose access policies are meant, and which owns the OIDC provider at Equinix",
            on: &[Token, Exec, Inspect, Doctor, Policies],
            expose: &[Action],
            ..Row::NEW
        },
        parse: text,
    };
    IDP_ID: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--idp-id",
            arity: Text("ID"),
            help: "Id of the OIDC provider at Equinix (idp:…)",
            on: &[Inspect],
            ..Row::NEW
        },
        parse: text,
    };
    EXCHANGE: Setting<bool> = Setting {
        row: Row {
            flag: "--exchange",
            help: "Also do a real exchange, with --report two; the tokens are dropped",
            on: &[Doctor],
            ..Row::NEW
        },
        parse: switch,
    };
    DRY_RUN: Setting<bool> = Setting {
        row: Row {
            flag: "--dry-run",
            help: "Do everything up to the exchange, say what would be sent where, and send nothing to Equinix",
            on: &[Token, Exec],
            ..Row::NEW
        },
        parse: switch,
    };
    #[cfg(feature = "sandbox")]
    PLATFORM: Setting<String> = Setting {
        row: Row {
            flag: "--platform",
            arity: Text("ID"),
            words: || crate::sandbox::SimulatedPlatform::ALL.iter().map(|platform| platform.id()).collect(),
            default: Some("github"),
            help: "Platform to imitate",
            on: &[Command::Sandbox],
            ..Row::NEW
        },
        parse: word,
    };
    #[cfg(feature = "sandbox")]
    FAULT: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--fault",
            arity: Text("NAME"),
            words: || crate::sandbox::Fault::ALL.iter().map(|fault| fault.id()).collect(),
            help: "Fault to inject",
            on: &[Command::Sandbox],
            ..Row::NEW
        },
        parse: text,
    };
    AUDIENCE: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--audience",
            var: Some(names::AUDIENCE),
            arity: Text("AUDIENCE"),
            heading: Heading::Identity,
            help: "Audience of the ID token: a trusted client id of your OIDC provider at Equinix",
            on: JOB,
            expose: &[Action, Component, Query, Cluster],
            ..Row::NEW
        },
        parse: |given| {
            if given.len() > 1024 || given.chars().any(char::is_control) {
                return Err(Expected("a text of at most 1024 characters on one line".to_owned()));
            }
            text(given)
        },
    };
    PROVIDER: Setting<String> = Setting {
        row: Row {
            flag: "--provider",
            var: Some(names::PROVIDER),
            arity: Text("ID"),
            words: || with_auto(PLATFORMS.iter().map(|platform| platform.facts().id)),
            default: Some("auto"),
            heading: Heading::Identity,
            help: "Platform to take the identity from",
            on: JOB,
            expose: &[Action, Query],
            ..Row::NEW
        },
        parse: word,
    };
    SUBJECT_TOKEN_ENV: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--subject-token-env",
            var: Some(names::SUBJECT_TOKEN_ENV_VAR),
            arity: Text("NAME"),
            heading: Heading::Identity,
            help: "Variable that holds the ID token, if not EQUINIX_WIF_SUBJECT_TOKEN or EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN",
            on: JOB,
            expose: &[Action, Query],
            ..Row::NEW
        },
        parse: |given| {
            if !is_variable_name(given) {
                return Err(Expected("the name of a variable, not its value".to_owned()));
            }
            text(given)
        },
    };
    SUBJECT_TOKEN_FILE: PathSetting = PathSetting {
        row: Row {
            flag: "--subject-token-file",
            var: Some(names::SUBJECT_TOKEN_FILE),
            arity: Path("PATH"),
            heading: Heading::Identity,
            help: "File that holds the ID token; - is standard input",
            on: JOB,
            expose: &[Action],
            ..Row::NEW
        },
    };
    SERVICE_CONNECTION_ID: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--service-connection-id",
            var: Some(names::SERVICE_CONNECTION_ID),
            arity: Text("ID"),
            heading: Heading::Identity,
            help: "On Azure Pipelines: service connection that the ID token is for",
            on: JOB,
            ..Row::NEW
        },
        parse: |given| {
            if given.len() > 64 || !given.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
                return Err(Expected("the id of a service connection, which has letters, digits and hyphens".to_owned()));
            }
            text(given)
        },
    };
    EXPECT: ListSetting = ListSetting {
        row: Row {
            flag: "--expect",
            var: Some(names::EXPECT),
            arity: List("CLAIM=VALUE"),
            heading: Heading::Identity,
            help: "A claim that must have this value; repeatable, the same claim again is an alternative",
            on: JOB,
            expose: &[Action, Component, Query],
            ..Row::NEW
        },
    };
    VALIDATION: Setting<Validation> = Setting {
        row: Row {
            flag: "--validation",
            var: Some(names::VALIDATION),
            arity: Text("MODE"),
            words: || Validation::ALL.map(Validation::id).to_vec(),
            default: Some(Validation::Basic.id()),
            heading: Heading::Identity,
            help: "How strictly claims are checked",
            on: JOB,
            expose: &[Action, Component, Query],
            ..Row::NEW
        },
        parse: |given| one_of(&Validation::ALL, Validation::id, given),
    };
    VERIFY_SIGNATURE: Setting<bool> = Setting {
        row: Row {
            flag: "--verify-signature",
            var: Some(names::VERIFY_SIGNATURE),
            heading: Heading::Identity,
            help: "Also verify the ID token's signature with the keys that its issuer publishes",
            on: JOB,
            expose: &[Action],
            ..Row::NEW
        },
        parse: switch,
    };
    ON_UNAVAILABLE: Setting<OnUnavailable> = Setting {
        row: Row {
            flag: "--on-unavailable",
            var: Some(names::ON_UNAVAILABLE),
            arity: Text("WHAT"),
            words: || OnUnavailable::ALL.map(OnUnavailable::id).to_vec(),
            default: Some(OnUnavailable::Fail.id()),
            heading: Heading::Identity,
            help: "Whether a job that can have no ID token fails, or goes on without a token",
            on: &[Token, Exec, IdToken],
            expose: &[Action],
            ..Row::NEW
        },
        parse: |given| one_of(&OnUnavailable::ALL, OnUnavailable::id, given),
    };
    GRANT: Setting<Option<&'static grant::Facts>> = Setting {
        row: Row {
            flag: "--grant",
            var: Some(names::GRANT),
            arity: Text("GRANT"),
            words: || GRANTS.iter().map(|facts| facts.name).collect(),
            default: Some(token_exchange::FACTS.name),
            heading: Heading::Exchange,
            help: "Way to the token: from the job's identity, or from a stored secret",
            on: &[Token, Exec, Doctor],
            expose: &[Action, Component],
            ..Row::NEW
        },
        parse: |given| one_of(GRANTS, |facts| facts.name, given).map(Some),
    };
    SCOPE: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--scope",
            var: Some(names::SCOPE),
            arity: Text("SCOPE"),
            heading: Heading::Exchange,
            help: "Scope to ask for: the ERN of an access policy, or roleassignments:<org-id>",
            on: &[Token, Exec, Inspect, Doctor],
            expose: &[Action, Component, Query, Cluster],
            ..Row::NEW
        },
        parse: text,
    };
    STS_ENDPOINT: Setting<String> = Setting {
        row: Row {
            flag: "--sts-endpoint",
            var: Some(names::STS_ENDPOINT),
            arity: Text("URL"),
            default: Some(sts::DEFAULT_ENDPOINT),
            heading: Heading::Exchange,
            help: "Base URL of the STS",
            on: &[Token, Exec, Doctor, Policies],
            expose: &[Action, Component, Query],
            ..Row::NEW
        },
        parse: word,
    };
    STS_API: Setting<Api> = Setting {
        row: Row {
            flag: "--sts-api",
            var: Some(names::STS_API),
            arity: Text("VERSION"),
            words: || Api::ALL.map(Api::id).to_vec(),
            default: Some(Api::Alpha.id()),
            heading: Heading::Exchange,
            help: "API version of the STS: alpha is /use/token, v1 is /v1/token",
            on: &[Token, Exec, Doctor],
            expose: &[Action, Component, Query],
            ..Row::NEW
        },
        parse: |given| one_of(&Api::ALL, Api::id, given),
    };
    MIN_TTL: Setting<u64> = Setting {
        row: Row {
            flag: "--min-ttl",
            var: Some(names::MIN_TTL),
            arity: Number("SECONDS"),
            default: Some("60"),
            heading: Heading::Exchange,
            help: "Shortest acceptable life of the access token",
            on: &[Token, Exec, Doctor],
            expose: &[Action, Component, Query],
            ..Row::NEW
        },
        parse: |given| seconds(given, 0, 86_400),
    };
    #[cfg(feature = "classic-grants")]
    API_ENDPOINT: Setting<String> = Setting {
        row: Row {
            flag: "--api-endpoint",
            var: Some(names::API_ENDPOINT),
            arity: Text("URL"),
            default: Some(api::DEFAULT_ENDPOINT),
            heading: Heading::Client,
            help: "Base URL of the classic API",
            on: &[Token, Exec, Doctor],
            expose: &[Action, Component],
            ..Row::NEW
        },
        parse: word,
    };
    #[cfg(feature = "classic-grants")]
    CLIENT_SECRET_FILE: PathSetting = PathSetting {
        row: Row {
            flag: "--client-secret-file",
            arity: Path("PATH"),
            heading: Heading::Client,
            help: "File that holds the client secret, if not EQUINIX_API_CLIENTSECRET or EQUINIX_CLIENT_SECRET; - is standard input",
            on: &[Token, Exec, Doctor],
            ..Row::NEW
        },
    };
    #[cfg(feature = "classic-grants")]
    REFRESH_TOKEN_FILE: PathSetting = PathSetting {
        row: Row {
            flag: "--refresh-token-file",
            arity: Path("PATH"),
            heading: Heading::Client,
            help: "File that holds the refresh token, and gets the new one; - is standard input",
            on: &[Token, Exec, Doctor],
            ..Row::NEW
        },
    };
    #[cfg(feature = "classic-grants")]
    REFRESH_TOKEN_OUTPUT: PathSetting = PathSetting {
        row: Row {
            flag: "--refresh-token-output",
            arity: Path("PATH"),
            heading: Heading::Client,
            help: "File for the new refresh token, if not the one that the old one came from",
            on: &[Token, Exec],
            ..Row::NEW
        },
    };
    #[cfg(feature = "classic-grants")]
    USER_NAME: Setting<Option<String>> = Setting {
        row: Row {
            flag: "--user-name",
            var: Some(names::USER_NAME),
            arity: Text("NAME"),
            heading: Heading::Client,
            help: "Name of the user, for the grant password",
            on: &[Token, Exec, Doctor],
            ..Row::NEW
        },
        parse: text,
    };
    #[cfg(feature = "classic-grants")]
    PASSWORD_FILE: PathSetting = PathSetting {
        row: Row {
            flag: "--password-file",
            arity: Path("PATH"),
            heading: Heading::Client,
            help: "File that holds the user's password; - is standard input",
            on: &[Token, Exec, Doctor],
            ..Row::NEW
        },
    };
    #[cfg(feature = "classic-grants")]
    PASSWORD_ENCODING: Setting<Option<PasswordEncoding>> = Setting {
        row: Row {
            flag: "--password-encoding",
            arity: Text("ENCODING"),
            words: || PasswordEncoding::ALL.map(PasswordEncoding::id).to_vec(),
            heading: Heading::Client,
            help: "Form in which the password is sent, if not as it is",
            on: &[Token, Exec, Doctor],
            ..Row::NEW
        },
        parse: |given| one_of(&PasswordEncoding::ALL, PasswordEncoding::id, given).map(Some),
    };
    FORMAT: Setting<String> = Setting {
        row: Row {
            flag: "--format",
            var: Some(names::FORMAT),
            arity: Text("FORMAT"),
            words: || with_auto(FORMATS.iter().map(|format| format.id())),
            default: Some("auto"),
            heading: Heading::Output,
            help: "Format in which the token is handed over",
            on: &[Token, IdToken],
            ..Row::NEW
        },
        parse: word,
    };
    OUTPUT: PathSetting = PathSetting {
        row: Row {
            flag: "--output",
            var: Some(names::OUTPUT),
            arity: Path("PATH"),
            heading: Heading::Output,
            help: "File to write to instead of the format's own place; - is standard output",
            on: &[Token, IdToken],
            ..Row::NEW
        },
    };
    ENV_NAME: Setting<String> = Setting {
        row: Row {
            flag: "--env-name",
            var: Some(names::ENV_NAME),
            arity: Text("NAME"),
            default: Some(Kind::AccessToken.variable()),
            heading: Heading::Output,
            help: "Variable for the token, where the format sets variables",
            on: &[Token],
            expose: &[Action, Component],
            ..Row::NEW
        },
        parse: word,
    };
    ID_TOKEN_ENV_NAME: Setting<String> = Setting {
        row: Row {
            default: Some(Kind::IdToken.variable()),
            on: &[IdToken],
            expose: &[],
            ..ENV_NAME.row
        },
        parse: word,
    };
    CHILD_ENV_NAME: Setting<String> = Setting {
        row: Row {
            heading: Heading::Child,
            help: "Variable for the access token",
            on: &[Exec],
            expose: &[],
            ..ENV_NAME.row
        },
        parse: word,
    };
    KEEP_OIDC_ENV: Setting<bool> = Setting {
        row: Row {
            flag: "--keep-oidc-env",
            heading: Heading::Child,
            help: "Leave the command the variables with which it could get ID tokens itself",
            on: &[Exec],
            ..Row::NEW
        },
        parse: switch,
    };
    KEEP_SECRETS: Setting<bool> = Setting {
        row: Row {
            flag: "--keep-secrets",
            heading: Heading::Child,
            help: "Leave the command the variables that hold the client id and secret",
            on: &[Exec],
            ..Row::NEW
        },
        parse: switch,
    };
    #[cfg(feature = "renew")]
    RENEW: Setting<bool> = Setting {
        row: Row {
            flag: "--renew",
            heading: Heading::Child,
            help: "Stay beside the command and keep it supplied with fresh tokens",
            on: &[Exec],
            ..Row::NEW
        },
        parse: switch,
    };
    #[cfg(feature = "renew")]
    RENEW_SCOPE: ListSetting = ListSetting {
        row: Row {
            flag: "--renew-scope",
            arity: List("SCOPE"),
            heading: Heading::Child,
            help: "Another scope for which the command may ask with --renew; repeatable",
            on: &[Exec],
            ..Row::NEW
        },
    };
    EXPORT_ENV: Setting<bool> = Setting {
        row: Row {
            flag: "--export-env",
            var: Some(names::EXPORT_ENV),
            heading: Heading::Output,
            help: "On GitHub, also give the variable to all later steps (GITHUB_ENV)",
            on: &[Token, IdToken],
            expose: &[Action],
            ..Row::NEW
        },
        parse: switch,
    };
    FORCE: Setting<bool> = Setting {
        row: Row {
            flag: "--force",
            heading: Heading::Output,
            help: "Allow a token on a terminal, in a traced shell, without a mask in Terraform, or in any variable, and a retired grant",
            on: &[Token, IdToken, Exec, Doctor],
            ..Row::NEW
        },
        parse: switch,
    };
    ALLOW_WORKSPACE: Setting<bool> = Setting {
        row: Row {
            flag: "--allow-workspace",
            heading: Heading::Output,
            help: "Allow an output file inside the checkout",
            on: &[Token, IdToken, Exec],
            ..Row::NEW
        },
        parse: switch,
    };
    ACCEPT_ARTIFACT_EXPOSURE: Setting<bool> = Setting {
        row: Row {
            flag: "--accept-artifact-exposure",
            heading: Heading::Output,
            help: "Allow a token in an artifact (gitlab-dotenv)",
            on: &[Token, IdToken],
            ..Row::NEW
        },
        parse: switch,
    };
    TIMEOUT: Setting<u64> = Setting {
        row: Row {
            flag: "--timeout",
            var: Some(names::TIMEOUT),
            arity: Number("SECONDS"),
            default: Some("60"),
            heading: Heading::Network,
            help: "Deadline of the whole run",
            on: JOB,
            expose: &[Action, Component, Query],
            ..Row::NEW
        },
        parse: |given| seconds(given, 1, 3600),
    };
    CA_FILE: PathSetting = PathSetting {
        row: Row {
            flag: "--ca-file",
            var: Some(names::CA_FILE),
            or_var: Some(names::SSL_CERT_FILE),
            arity: Path("PATH"),
            heading: Heading::Network,
            help: "PEM file with certificates to trust besides the built-in roots",
            on: JOB,
            expose: &[Action],
            ..Row::NEW
        },
    };
    NO_PROXY: Setting<bool> = Setting {
        row: Row {
            flag: "--no-proxy",
            heading: Heading::Network,
            help: "Ignore HTTPS_PROXY",
            on: JOB,
            expose: &[Action],
            ..Row::NEW
        },
        parse: switch,
    };
    REPORT: PathSetting = PathSetting {
        row: Row {
            flag: "--report",
            var: Some(names::REPORT),
            arity: Path("PATH"),
            heading: Heading::Reporting,
            help: "File for a JSON report of the run, without secrets; - is standard error",
            on: JOB,
            expose: &[Action],
            ..Row::NEW
        },
    };
    SUMMARY: Setting<SummaryWhen> = Setting {
        row: Row {
            flag: "--summary",
            var: Some(names::SUMMARY),
            arity: Text("WHEN"),
            words: || SummaryWhen::ALL.map(SummaryWhen::id).to_vec(),
            default: Some(SummaryWhen::Never.id()),
            heading: Heading::Reporting,
            help: "When to write a short report into the platform's job summary",
            on: JOB,
            expose: &[Action],
            ..Row::NEW
        },
        parse: |given| one_of(&SummaryWhen::ALL, SummaryWhen::id, given),
    };
    QUIET: Setting<bool> = Setting {
        row: Row {
            flag: "--quiet",
            short: Some('q'),
            help: "Print only errors, and what the runner needs",
            on: Command::ALL,
            ..Row::NEW
        },
        parse: switch,
    };
    VERBOSE: Setting<bool> = Setting {
        row: Row { flag: "--verbose", short: Some('v'), help: "Also print what is being done", on: Command::ALL, ..Row::NEW },
        parse: switch,
    };
    COLOR: Setting<Color> = Setting {
        row: Row {
            flag: "--color",
            arity: Text("WHEN"),
            words: || Color::ALL.map(Color::id).to_vec(),
            default: Some(Color::Auto.id()),
            help: "When to use colours; auto is a terminal without NO_COLOR",
            on: Command::ALL,
            ..Row::NEW
        },
        parse: |given| one_of(&Color::ALL, Color::id, given),
    };
}

fn with_auto(ids: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    std::iter::once("auto").chain(ids).collect()
}
