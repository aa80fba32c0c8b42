//! A ready ID token in a file or on standard input, from any system.

use std::io;
use std::path::Path;

use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::identity::jwt;
use crate::input::{self, ReadError};
use crate::secret::Secret;
use crate::session::Session;
use crate::text::quote;

use super::facts::{Facts, Supply};
use super::{Evidence, Fetched, Platform, TokenLocation, Wanted};

/// The generic provider for files, chosen by `--subject-token-file`.
pub(super) struct File;

static FACTS: Facts =
    Facts { id: "file", name: "an ID token in a file", supply: Supply::File, ..Facts::NEUTRAL };

impl Platform for File {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn here(&self, _: &Env) -> Evidence {
        Evidence { is_here: false, text: "chosen by the setting subject-token-file".to_owned() }
    }

    fn ready(&self, _: &Env, wanted: &Wanted) -> Result<(), Error> {
        path(&wanted.location).map(drop)
    }

    /// A file may be written anew, as Kubernetes does. Standard input gives what it has once.
    fn renews(&self, wanted: &Wanted) -> bool {
        is_read_again(wanted)
    }

    fn fetch(&self, _: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        read(wanted, by)
    }
}

/// Tells whether the file can be read a second time.
pub(super) fn is_read_again(wanted: &Wanted) -> bool {
    wanted.location.file.as_deref().is_some_and(|path| !is_stdin(path))
}

/// Reads the file that is named.
pub(super) fn read(wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
    let path = path(&wanted.location)?;
    let shown = if is_stdin(path) { "standard input".to_owned() } else { quote(&path.to_string_lossy()) };
    // A line break may follow the token.
    let limit = jwt::MAX_LENGTH + 2;
    let read = if is_stdin(path) {
        input::read(limit, by, || Ok(io::stdin()))
    } else {
        // Following symbolic links is right here: Kubernetes swaps projected tokens by them.
        input::read_file(path, input::Kind::Regular, limit, by)
    };
    let content = read.map_err(|error| match error {
        ReadError::TooLarge => {
            let message = format!("{shown} is larger than any ID token ({} KiB)", jwt::MAX_LENGTH / 1024);
            Error::new(Code::IdTokenTooLarge, message)
        }
        ReadError::TimedOut => unreadable(&shown, "nothing came before the time for this run was used up"),
        ReadError::NotRegular => unreadable(&shown, NOT_REGULAR),
        ReadError::Io(_) => unreadable(&shown, &error.message()),
    })?;
    Ok(Fetched { token: token(&content, &shown)?, skew: None })
}

/// Takes the token out of the content of a file.
pub(super) fn token(content: &[u8], shown: &str) -> Result<Secret, Error> {
    let text = std::str::from_utf8(content).map_err(|_| unreadable(shown, "it is not text"))?;
    // Editors and `echo` end a file with a line break; anything else around the token is the caller's mistake.
    let token = text.strip_suffix('\n').map_or(text, |line| line.strip_suffix('\r').unwrap_or(line));
    if token.is_empty() {
        return Err(unreadable(shown, "it is empty"));
    }
    Ok(Secret::new(token))
}

/// Returns the path that is named, if a token may be taken from there.
pub(super) fn path(source: &TokenLocation) -> Result<&Path, Error> {
    let missing = || Error::new(Code::CfgValueInvalid, "the provider file needs --subject-token-file");
    let path = source.file.as_deref().ok_or_else(missing)?;
    if path.ends_with(CLUSTER_TOKEN) {
        let shown = quote(&path.to_string_lossy());
        let message = format!(
            "{shown} is the pod's token for the cluster's own API: whoever gets it can act there as the pod, so it is not sent to Equinix"
        );
        return Err(Error::new(Code::CfgValueInvalid, message).with_cure(
            "Give the pod a token for an audience of its own, and name its file:\n    volumes:\n      - name: equinix\n        projected:\n          sources:\n            - serviceAccountToken:\n                audience: <a trusted client id of your OIDC provider at Equinix>\n                path: token",
        ));
    }
    Ok(path)
}

/// The end of the path below which every pod finds its token for the cluster's API.
const CLUSTER_TOKEN: &str = "secrets/kubernetes.io/serviceaccount/token";

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

const NOT_REGULAR: &str = "it is not a regular file; for a pipe use --subject-token-file -";

fn unreadable(shown: &str, why: &str) -> Error {
    Error::new(Code::TokenFileUnreadable, format!("no ID token could be read from {shown}: {why}"))
}
