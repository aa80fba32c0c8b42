//! The command line as typed. Parsing only: what a setting means, and where it comes from when no flag was given, is
//! decided in [`crate::cli::settings`].

pub mod env_name;
pub mod settings;

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, FromArgMatches, Parser, Subcommand, ValueEnum};

/// Gives a CI job an Equinix access token without any stored secret.
#[derive(Debug, Parser)]
#[command(
    name = "equinix-wif",
    version,
    disable_help_subcommand = true,
    after_help = "Environment variables, formats and exit codes: docs/usage.md. Codes: equinix-wif explain."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// How to speak.
    #[command(flatten)]
    pub speech: SpeechArgs,
}

/// Declares the commands. As derived by clap, but for one thing: the arguments of a command are defined when it is the one
/// that was typed, since defining those of all costs more than the rest of reading a command line.
macro_rules! commands {
    ($($(#[doc = $about:literal])+ $(#[cfg($condition:meta)])? $variant:ident($args:ty) = $name:literal,)+) => {
        /// The commands.
        #[derive(Debug)]
        pub enum Command {
            $($(#[doc = $about])+ $(#[cfg($condition)])? $variant($args),)+
        }

        impl Subcommand for Command {
            fn augment_subcommands(cli: clap::Command) -> clap::Command {
                let cli = cli.subcommand_required(true).arg_required_else_help(true);
                $(
                    $(#[cfg($condition)])?
                    let cli = cli.subcommand(
                        // What the arguments' own description says is not the command's.
                        clap::Command::new($name)
                            .about(concat!($($about),+).trim_start())
                            .defer(|command| {
                                <$args>::augment_args(command).about(concat!($($about),+).trim_start())
                            }),
                    );
                )+
                cli
            }

            fn augment_subcommands_for_update(cli: clap::Command) -> clap::Command {
                Self::augment_subcommands(cli)
            }

            fn has_subcommand(name: &str) -> bool {
                Self::augment_subcommands(clap::Command::new("")).find_subcommand(name).is_some()
            }
        }

        impl FromArgMatches for Command {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
                match matches.subcommand() {
                    $($(#[cfg($condition)])? Some(($name, own)) => <$args>::from_arg_matches(own).map(Self::$variant),)+
                    _ => Err(clap::Error::new(ErrorKind::MissingSubcommand)),
                }
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
                Self::from_arg_matches(matches).map(|command| *self = command)
            }
        }
    };
}

commands! {
    /// Exchange the job's ID token for an Equinix access token and hand it over
    Token(Box<TokenArgs>) = "token",
    /// Exchange the job's ID token for an Equinix access token and run a command with it
    Exec(Box<ExecArgs>) = "exec",
    /// Hand over the job's ID token itself, for tools that exchange it on their own
    IdToken(Box<IdTokenArgs>) = "id-token",
    /// Tell who this job is and what an Equinix administrator has to enter to trust it
    Inspect(Box<InspectArgs>) = "inspect",
    /// Check every step between this job and a token
    Doctor(Box<DoctorArgs>) = "doctor",
    /// Tell an error code's cause and cure, with an example; without a code, list them all
    Explain(ExplainArgs) = "explain",
    /// Try everything against a local issuer and STS; nothing in it is real
    #[cfg(feature = "sandbox")]
    Sandbox(SandboxArgs) = "sandbox",
    /// Print a script that completes commands, flags and their values in a shell
    Completions(CompletionsArgs) = "completions",
    /// Print the manual page
    Man(ManArgs) = "man",
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct SpeechArgs {
    /// Say nothing but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub quiet: bool,

    /// Say what is being done
    #[arg(short, long, global = true)]
    pub verbose: bool,

    /// Whether to use colours
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Options of `token`.
#[derive(Debug, Args)]
pub struct TokenArgs {
    /// Who the job is.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// What is asked for.
    #[command(flatten)]
    pub exchange: ExchangeArgs,
    /// How the token is handed over.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What becomes of a job without an identity.
    #[command(flatten)]
    pub unavailable: UnavailableArgs,
    /// How requests are made.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// What is told about the run.
    #[command(flatten)]
    pub account: AccountArgs,
}

/// Options of `id-token`.
#[derive(Debug, Args)]
pub struct IdTokenArgs {
    /// Who the job is.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// How the token is handed over.
    #[command(flatten)]
    pub output: OutputArgs,
    /// What becomes of a job without an identity.
    #[command(flatten)]
    pub unavailable: UnavailableArgs,
    /// How requests are made.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// What is told about the run.
    #[command(flatten)]
    pub account: AccountArgs,
}

/// Options of `exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Who the job is.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// What is asked for.
    #[command(flatten)]
    pub exchange: ExchangeArgs,
    /// What the command gets.
    #[command(flatten)]
    pub child: ChildArgs,
    /// What becomes of a job without an identity.
    #[command(flatten)]
    pub unavailable: UnavailableArgs,
    /// How requests are made.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// What is told about the run.
    #[command(flatten)]
    pub account: AccountArgs,

    /// Command to run, with its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Who the job is.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Identity")]
pub struct IdentityArgs {
    /// Audience of the ID token: a trusted client id of your OIDC provider at Equinix
    #[arg(long, value_name = "AUDIENCE")]
    pub audience: Option<String>,

    /// Platform to take the identity from: auto, github, gitlab, env, file
    #[arg(long, value_name = "ID")]
    pub provider: Option<String>,

    /// Variable that holds the ID token
    #[arg(long, value_name = "NAME")]
    pub subject_token_env: Option<String>,

    /// File that holds the ID token; - is standard input
    #[arg(long, value_name = "PATH")]
    pub subject_token_file: Option<PathBuf>,

    /// A claim that must have this value; repeatable, the same claim again is an alternative
    #[arg(long, value_name = "CLAIM=VALUE")]
    pub expect: Vec<String>,

    /// How strictly claims are taken: off, basic, strict
    #[arg(long, value_name = "MODE")]
    pub validation: Option<String>,

    /// Also verify the ID token's signature with the keys that its issuer publishes
    #[arg(long)]
    pub verify_signature: bool,
}

/// What is asked for.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Exchange")]
pub struct ExchangeArgs {
    /// Scope to ask for: an access-policy ERN or `roleassignments:<org-id>`
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,

    /// Base URL of the STS
    #[arg(long, value_name = "URL")]
    pub sts_endpoint: Option<String>,

    /// API version of the STS: alpha (/use/token) or v1 (/v1/token)
    #[arg(long, value_name = "VERSION")]
    pub sts_api: Option<String>,

    /// Shortest acceptable life of the access token
    #[arg(long, value_name = "SECONDS")]
    pub min_ttl: Option<String>,
}

/// How the token is handed over.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Output")]
pub struct OutputArgs {
    /// Format: auto, github, env-file, shell, powershell, fish, gitlab-dotenv, json, credential-process,
    /// terraform-external, kubernetes, raw
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// File to write to instead of the format's own place; - is standard output
    #[arg(long, value_name = "PATH")]
    pub output: Option<PathBuf>,

    /// Variable for the token, where the format sets variables
    #[arg(long, value_name = "NAME")]
    pub env_name: Option<String>,

    /// On GitHub, also give the variable to all later steps (`GITHUB_ENV`)
    #[arg(long)]
    pub export_env: bool,

    /// Consent to a token on a terminal, in a traced shell, without a mask in Terraform, or in any variable
    #[arg(long)]
    pub force: bool,

    /// Consent to an output file inside the checkout
    #[arg(long)]
    pub allow_workspace: bool,

    /// Consent to a token in an artifact (gitlab-dotenv)
    #[arg(long)]
    pub accept_artifact_exposure: bool,
}

/// What the command of `exec` gets.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Command")]
pub struct ChildArgs {
    /// Variable for the access token
    #[arg(long, value_name = "NAME")]
    pub env_name: Option<String>,

    /// Consent to a token in any variable
    #[arg(long)]
    pub force: bool,

    /// Leave the command the variables with which it could get ID tokens itself
    #[arg(long)]
    pub keep_oidc_env: bool,
}

/// What becomes of a job that can have no ID token.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Identity")]
pub struct UnavailableArgs {
    /// Whether a job that can have no ID token fails, or goes on without a token: fail, skip
    #[arg(long, value_name = "WHAT")]
    pub on_unavailable: Option<String>,
}

/// How requests are made.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Network")]
pub struct NetworkArgs {
    /// Deadline of the whole run
    #[arg(long, value_name = "SECONDS")]
    pub timeout: Option<String>,

    /// PEM file with certificates to trust besides the built-in roots
    #[arg(long, value_name = "PATH")]
    pub ca_file: Option<PathBuf>,

    /// Ignore `HTTPS_PROXY`
    #[arg(long)]
    pub no_proxy: bool,
}

/// What is told about the run.
#[derive(Debug, Args, Default)]
#[command(next_help_heading = "Account")]
pub struct AccountArgs {
    /// File for a JSON account of the run, without secrets; - is standard error
    #[arg(long, value_name = "PATH")]
    pub report: Option<PathBuf>,

    /// When to write a short account into the platform's job summary: never, on-failure, always
    #[arg(long, value_name = "WHEN")]
    pub summary: Option<String>,
}

/// Options of `inspect`.
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Format: text, json
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// Show all claims, those about persons too
    #[arg(long)]
    pub all_claims: bool,

    /// Id of the project or organization that owns the OIDC provider at Equinix
    #[arg(long, value_name = "ID")]
    pub project_id: Option<String>,

    /// Id of the OIDC provider at Equinix (idp:…)
    #[arg(long, value_name = "ID")]
    pub idp_id: Option<String>,

    /// Scope that the job will ask for
    #[arg(long, value_name = "SCOPE")]
    pub scope: Option<String>,

    /// Who the job is.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// How requests are made.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// What is told about the run.
    #[command(flatten)]
    pub account: AccountArgs,
}

/// Options of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Format: text, json
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,

    /// Also do a real exchange; its token is dropped
    #[arg(long)]
    pub exchange: bool,

    /// Who the job is.
    #[command(flatten)]
    pub identity: IdentityArgs,
    /// What is asked for.
    #[command(flatten)]
    pub request: ExchangeArgs,
    /// How requests are made.
    #[command(flatten)]
    pub network: NetworkArgs,
    /// What is told about the run.
    #[command(flatten)]
    pub account: AccountArgs,
}

/// Options of `explain`.
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// The code, e.g. claim-aud
    pub code: Option<String>,
}

/// Options of `sandbox`.
#[cfg(feature = "sandbox")]
#[derive(Debug, Args)]
pub struct SandboxArgs {
    /// Platform to imitate: github, gitlab
    #[arg(long, value_name = "ID", default_value = "github")]
    pub platform: String,

    /// Fault to inject: rate-limit, expired-token, wrong-audience, refused-scope, server-error
    #[arg(long, value_name = "NAME")]
    pub fault: Option<String>,

    /// Command to run in a job of that platform; without one, the main job runs and is explained
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<OsString>,
}

/// Options of `completions`.
#[derive(Debug, Args)]
pub struct CompletionsArgs {
    /// Shell: bash, elvish, fish, powershell, zsh
    pub shell: String,
}

/// Options of `man`, which has none.
#[derive(Debug, Args)]
pub struct ManArgs {}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn providers_and_formats_stand_in_the_help() {
        let mut command = Cli::command();
        let help = command.find_subcommand_mut("token").unwrap().render_long_help().to_string();
        for id in crate::platform::PLATFORMS
            .iter()
            .map(|p| p.facts().id)
            // The unit tests' own.
            .filter(|id| *id != "made-up")
            .chain(crate::output::format::FORMATS.iter().map(|f| f.id()))
        {
            assert!(help.contains(id), "{id}");
        }
    }
}
