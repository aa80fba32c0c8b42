//! How the access token is handed over.
//!
//! A format is one file in this folder and one line in [`FORMATS`]: a pure function from the credential to bytes,
//! with the places where they belong. Opening and writing those places is [`sink`]'s work.

mod env_file;
mod github;
mod json;
mod raw;
mod shell;
pub mod sink;

use crate::credential::Credential;
use crate::error::{Code, Error};
use crate::secret::SecretBytes;
use crate::text::quote;

/// Every format.
pub const FORMATS: &[&dyn Format] =
    &[&github::GitHub, &env_file::EnvFile, &shell::Shell, &json::Json, &raw::Raw];

/// Where bytes of a format go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Standard output, or the file of `--output`.
    Stdout,
    /// The runner file that this variable names: exists already, is appended to.
    RunnerFile(&'static str),
    /// A new private file, whose path is printed: the file of `--output`, or one in a temporary folder.
    NewFile,
}

/// What a format may have to know besides the credential.
#[derive(Debug)]
pub struct Options<'a> {
    /// The variable for the access token.
    pub env_name: &'a str,
    /// Whether GitHub's later steps get the variable too.
    pub export_env: bool,
    /// A variable that would make the Equinix Terraform provider ignore the token, if one is set.
    pub shadowing: Option<&'a str>,
    /// Random text that occurs in no value, for formats that need a delimiter.
    pub delimiter: &'a str,
}

impl Options<'_> {
    /// The variable for the token's expiry.
    pub fn expiry_name(&self) -> String {
        format!("{}_EXPIRES_AT", self.env_name)
    }
}

/// A form in which the next step expects the token.
pub trait Format: Sync {
    /// The value of `--format`.
    fn id(&self) -> &'static str;

    /// What it is, for help and docs.
    fn about(&self) -> &'static str;

    /// The places that [`Format::render`] will fill, so that they can be opened before the token exists.
    fn places(&self, export_env: bool) -> Vec<Place>;

    /// The bytes for one of its places.
    fn render(&self, credential: &Credential, options: &Options<'_>, place: Place) -> SecretBytes;

    /// What a failed run leaves behind, where the next step can read it: nothing but the error's code.
    fn render_failure(&self, _code: Code, _delimiter: &str) -> Option<(Place, SecretBytes)> {
        None
    }

    /// Whether a shell reads it as commands: then it can also unset a variable that would shadow the token, and a shell
    /// that traces its commands shows the token.
    fn is_sourced(&self) -> bool {
        false
    }
}

/// The format of this name.
pub fn by_name(id: &str) -> Result<&'static dyn Format, Error> {
    FORMATS.iter().copied().find(|format| format.id() == id).ok_or_else(|| {
        let known: Vec<_> = FORMATS.iter().map(|format| format.id()).collect();
        Error::new(Code::CfgValueInvalid, format!("there is no format {}", quote(id)))
            .detail("known", format!("auto, {}", known.join(", ")))
            .hint("Use one of the known ones, or leave --format out.")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    pub(super) fn credential() -> Credential {
        Credential {
            access_token: Secret::new("tok.en-._~+/0123456789=="),
            expires_in: 3600,
            expires_at: 1_795_320_000,
            scope: "roleassignments:org".into(),
            issuer: "https://token.actions.githubusercontent.com".into(),
            subject: "repo:octo-org/octo-repo:ref:refs/heads/main".into(),
        }
    }

    pub(super) fn rendered(format: &dyn Format, place: Place, shadowing: Option<&str>) -> String {
        let options =
            Options { env_name: "EQUINIX_API_TOKEN", export_env: true, shadowing, delimiter: "DELIMITER" };
        String::from_utf8(format.render(&credential(), &options, place).reveal().to_vec()).unwrap()
    }

    #[test]
    fn every_format_file_is_registered_once() {
        let mut files: Vec<String> = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/emit"))
            .unwrap()
            .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().replace('_', "-"))
            .filter(|name| name != "mod" && name != "sink")
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
        assert_eq!(error.details()[0].1, "auto, github, env-file, shell, json, raw");
    }
}
