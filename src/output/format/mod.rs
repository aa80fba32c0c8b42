//! The forms in which the token is handed over.
//!
//! A format is one file in this folder and one line in [`FORMATS`]: a pure function from the credential to bytes,
//! with the places where they belong. Opening and writing those places is [`sink`](crate::output::sink)'s work.

mod azure_pipelines;
mod bash_env;
mod credential_process;
mod dotenv;
mod env_file;
mod fish;
mod github;
mod gitlab_dotenv;
mod json;
mod kubernetes;
mod object;
mod powershell;
mod raw;
mod script;
mod shell;

mod terraform_external;
mod tfvars;

use crate::credential::{Credential, Kind};
use crate::env::Env;
use crate::error::{Code, Error};
use crate::output::request::Caller;
use crate::secret::SecretBytes;
use crate::text::quote;

/// Every format.
pub const FORMATS: &[&dyn Format] = &[
    &github::GitHub,
    &env_file::ENV_FILE,
    &dotenv::Dotenv,
    &shell::SHELL,
    &bash_env::BASH_ENV,
    &powershell::POWERSHELL,
    &fish::FISH,
    &gitlab_dotenv::GitLabDotenv,
    &json::Json,
    &credential_process::CredentialProcess,
    &terraform_external::TerraformExternal,
    &kubernetes::Kubernetes,
    &raw::Raw,
    &azure_pipelines::AzurePipelines,
    &tfvars::Tfvars,
];

/// The destination of a format's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Standard output, or the file of `--output`.
    Stdout,
    /// The file of `--output` in place of standard output. No format names it as its own.
    File,
    /// The runner file that this variable names: exists already, is appended to.
    RunnerFile(&'static str),
    /// The file that this variable names, with commands for a shell: is appended to, and made if it is not there.
    SourcedFile(&'static str),
    /// A new private file, whose path is printed: the file of `--output`, or one in a temporary folder.
    NewFile,
    /// The file of `--output`, which the platform publishes as an artifact.
    Artifact,
}

/// The facts that a format may need besides the credential.
#[derive(Debug, Default)]
pub struct Options<'a> {
    /// The variable for the token.
    pub env_name: &'a str,
    /// A variable that would make the Equinix Terraform provider ignore the token, if one is set.
    pub shadowing: Option<&'a str>,
    /// Random text that occurs in no value, for formats that need a delimiter.
    pub delimiter: &'a str,
    /// The version of the answer that was asked for, for formats that have several.
    pub api_version: Option<&'a str>,
}

impl Options<'_> {
    /// The variable for the token's expiry.
    pub fn expiry_name(&self) -> String {
        format!("{}_EXPIRES_AT", self.env_name)
    }
}

/// Programs that keep standard error of those that they run.
pub struct Keeper {
    /// Their habit, for a message.
    pub habit: &'static str,
    /// The advice what to do instead.
    pub instead: &'static str,
}

/// A form in which the next step expects the token.
pub trait Format: Sync {
    /// The value of `--format`.
    fn id(&self) -> &'static str;

    /// The places that [`Format::render`] will fill, so that they can be opened before the token exists.
    fn places(&self, export_env: bool) -> Vec<Destination>;

    /// The bytes for one of its places. Fails when the token does not fit into the form.
    fn render(
        &self,
        credential: &Credential,
        options: &Options<'_>,
        place: Destination,
    ) -> Result<SecretBytes, Error>;

    /// Returns what a run leaves that ends without a token, as `--on-unavailable skip` wants it: one of its places and the bytes.
    /// `None` where the form has no way to say so.
    fn render_unavailable(
        &self,
        _reason: &str,
        _options: &Options<'_>,
    ) -> Option<(Destination, SecretBytes)> {
        None
    }

    /// Returns the name of the token's place in a runner file, for messages.
    fn name_in(&self, _variable: &str, _kind: Kind, _env_name: &str) -> Option<String> {
        None
    }

    /// Returns what is to be said when nobody will be able to read the token where this form puts it.
    fn unreadable(&self, _env: &Env, _kind: Kind) -> Option<String> {
        None
    }

    /// Returns what a failed run leaves behind, where the next step can read it: nothing but the error's code.
    fn render_failure(&self, _code: Code, _delimiter: &str) -> Option<(Destination, SecretBytes)> {
        None
    }

    /// Tells whether a shell reads it as commands: then it can also unset a variable that would shadow the token, and a shell
    /// that traces its commands shows the token.
    fn is_sourced(&self) -> bool {
        false
    }

    /// Tells whether people put its standard output into a variable, as in `TOKEN=$(…)`: then a shell that traces its commands
    /// shows the token as well.
    fn is_substituted(&self) -> bool {
        false
    }

    /// The habit of the programs that run this one for this form, if it is to keep standard error and to show it when this
    /// one fails: a mask would be shown then, and never obeyed.
    fn keeps_stderr(&self) -> Option<Keeper> {
        None
    }

    /// The program that reads it, if that one says what it wants before.
    fn caller(&self) -> Option<Caller> {
        None
    }
}

/// The format of this name.
pub fn by_name(id: &str) -> Result<&'static dyn Format, Error> {
    FORMATS.iter().copied().find(|format| format.id() == id).ok_or_else(|| {
        let known: Vec<_> = FORMATS.iter().map(|format| format.id()).collect();
        Error::new(Code::CfgValueInvalid, format!("there is no format {}", quote(id)))
            .with_detail("known", format!("auto, {}", known.join(", ")))
            .with_cure("Use one of the known ones, or leave --format out.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credential::Kind;
    use crate::secret::Secret;

    pub(super) fn credential(kind: Kind) -> Credential {
        let token = Secret::new("tok.en-._~+/0123456789==");
        Credential {
            scope: (kind == Kind::AccessToken).then(|| "roleassignments:org".into()),
            issuer: Some("https://token.actions.githubusercontent.com".into()),
            subject: Some("repo:octo-org/octo-repo:ref:refs/heads/main".into()),
            ..Credential::new(kind, token, 3600, 1_795_320_000)
        }
    }

    pub(super) fn options(shadowing: Option<&str>) -> Options<'_> {
        Options {
            env_name: "EQUINIX_API_TOKEN",
            shadowing,
            delimiter: "DELIMITER",
            api_version: Some("client.authentication.k8s.io/v1"),
        }
    }

    pub(super) fn text(bytes: &SecretBytes) -> String {
        String::from_utf8(bytes.reveal().to_vec()).unwrap()
    }

    pub(super) fn rendered(format: &dyn Format, place: Destination, shadowing: Option<&str>) -> String {
        text(&format.render(&credential(Kind::AccessToken), &options(shadowing), place).unwrap())
    }

    pub(super) fn rendered_id_token(format: &dyn Format, place: Destination) -> String {
        text(&format.render(&credential(Kind::IdToken), &options(None), place).unwrap())
    }

    pub(super) fn rendered_unavailable(format: &dyn Format) -> Option<(Destination, String)> {
        let (place, bytes) = format.render_unavailable("fork-pull-request", &options(None))?;
        Some((place, text(&bytes)))
    }

    #[test]
    fn every_format_file_is_registered_once() {
        let mut files: Vec<String> =
            std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/output/format"))
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().replace('_', "-"))
                .filter(|name| !["mod", "object", "script"].contains(&name.as_str()))
                .collect();
        files.sort();
        let mut ids: Vec<&str> = FORMATS.iter().map(|f| f.id()).collect();
        ids.sort_unstable();
        assert_eq!(files, ids);
    }

    #[test]
    fn an_unknown_format_names_the_known_ones() {
        assert_eq!(by_name("json").unwrap().id(), "json");
        let error = by_name("yaml").err().unwrap();
        assert_eq!(
            error.details()[0].1,
            "auto, github, env-file, dotenv, shell, bash-env, powershell, fish, gitlab-dotenv, json, credential-process, terraform-external, kubernetes, raw, azure-pipelines, tfvars"
        );
    }

    #[test]
    fn what_a_credential_does_not_know_is_left_out() {
        let token = Secret::new("tok.en-._~+/0123456789==");
        let bare = Credential::new(Kind::AccessToken, token, 3600, 1_795_320_000);
        for format in FORMATS {
            for place in format.places(true) {
                let text = text(&format.render(&bare, &options(None), place).unwrap());
                assert!(text.contains("tok.en"), "{}", format.id());
                for member in ["subject", "issuer"] {
                    assert!(!text.contains(member), "{} {member}", format.id());
                }
            }
        }
    }

    #[test]
    fn what_a_run_without_a_token_leaves_goes_to_a_place_that_is_opened_for_it() {
        for format in FORMATS {
            if let Some((place, text)) = rendered_unavailable(*format) {
                assert!(format.places(false).contains(&place), "{}", format.id());
                assert!(!text.contains("tok.en"), "{}", format.id());
            }
        }
    }
}
