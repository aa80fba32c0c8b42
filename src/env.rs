//! The environment as a value that is passed in, and the name of every variable that the program reads.
//!
//! An empty variable counts as unset everywhere.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;

use memchr::memmem;

use crate::error::{Code, Error};

/// The environment variables of a run: the process's own, or a fixed set in tests.
pub struct Env(Source);

enum Source {
    Process,
    Fixed(BTreeMap<OsString, OsString>),
}

impl Env {
    /// The environment of this process, read variable by variable when asked for.
    pub fn process() -> Self {
        Self(Source::Process)
    }

    /// A fixed environment.
    pub fn fixed<K: Into<OsString>, V: Into<OsString>>(pairs: impl IntoIterator<Item = (K, V)>) -> Self {
        Self(Source::Fixed(pairs.into_iter().map(|(k, v)| (k.into(), v.into())).collect()))
    }

    /// The value as the system gives it; `None` when unset or empty.
    pub fn os(&self, name: &str) -> Option<OsString> {
        let value = match &self.0 {
            Source::Process => std::env::var_os(name),
            Source::Fixed(map) => map.get(OsStr::new(name)).cloned(),
        };
        value.filter(|v| !v.is_empty())
    }

    /// The value as text; `None` when unset or empty.
    ///
    /// A value that is not UTF-8 is `cfg-env-not-utf8`: the message names the variable, never the value.
    pub fn text(&self, name: &str) -> Result<Option<String>, Error> {
        self.os(name)
            .map(|value| {
                value.into_string().map_err(|_| {
                    Error::new(
                        Code::CfgEnvNotUtf8,
                        format!("the environment variable {name} is not valid UTF-8"),
                    )
                })
            })
            .transpose()
    }

    /// Returns the variables whose value has one of these texts in it, whole.
    pub fn names_with(&self, texts: &[OsString]) -> Vec<OsString> {
        let has = |value: &OsStr| {
            let mut texts = texts.iter().map(|text| text.as_encoded_bytes());
            texts.any(|text| memmem::find(value.as_encoded_bytes(), text).is_some())
        };
        let named = |(name, value): (OsString, OsString)| has(&value).then_some(name);
        match &self.0 {
            Source::Process => std::env::vars_os().filter_map(named).collect(),
            Source::Fixed(map) => map.clone().into_iter().filter_map(named).collect(),
        }
    }

    /// Returns the variables whose name begins like this.
    pub fn names_from(&self, beginning: &str) -> Vec<OsString> {
        let named =
            |name: OsString| name.as_encoded_bytes().starts_with(beginning.as_bytes()).then_some(name);
        match &self.0 {
            Source::Process => std::env::vars_os().filter_map(|(name, _)| named(name)).collect(),
            Source::Fixed(map) => map.keys().cloned().filter_map(named).collect(),
        }
    }

    /// Tells whether the variable is set and not empty.
    pub fn has(&self, name: &str) -> bool {
        self.os(name).is_some()
    }

    /// Tells whether the variable has exactly this value. Platforms document exact values (`GITHUB_ACTIONS` is
    /// `true`, never `1`), and anything else is another program's variable.
    pub fn is(&self, name: &str, value: &str) -> bool {
        self.os(name).is_some_and(|v| v == value)
    }
}

impl fmt::Debug for Env {
    /// Shows nothing of the variables, since they may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Env(***)")
    }
}

/// Declares a constant for the name of each variable and a table of all of them, so that none can be left out of the docs.
macro_rules! variables {
    ($($(#[doc = $doc:literal])+ $constant:ident = $name:literal;)+) => {
        $(
            $(#[doc = $doc])+ #[cfg_attr(not(all(feature = "classic-grants", feature = "renew")), allow(dead_code, reason = "some are the classic grants' or a renewing run's"))] pub const $constant: &str = $name;
        )+
        /// Every name with its description, for the documentation.
        pub const ALL: &[(&str, &str)] = &[$(($name, concat!($($doc),+))),+];
    };
}
pub(crate) use variables;

/// Tells whether a text can name a variable: letters, digits and underscores, not beginning with a digit, at most 128
/// of them.
pub fn is_variable_name(name: &str) -> bool {
    name.len() <= 128
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && !name.is_empty()
        && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The names of the environment variables that the program reads on every platform, with their meaning. A platform's own
/// are in its file.
pub mod names {
    super::variables! {
        /// The scope to ask the STS for (`--scope`). The Equinix Terraform provider reads it too.
        SCOPE = "EQUINIX_TOKEN_EXCHANGE_SCOPE";
        /// The audience of the ID token (`--audience`).
        AUDIENCE = "EQUINIX_WIF_AUDIENCE";
        /// The platform to take the identity from (`--provider`).
        PROVIDER = "EQUINIX_WIF_PROVIDER";
        /// The name of the variable that holds the ID token (`--subject-token-env`).
        SUBJECT_TOKEN_ENV_VAR = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR";
        /// The ID token itself, unless another variable is named. Nobody else reads it, so nothing has to be unset.
        OWN_SUBJECT_TOKEN = "EQUINIX_WIF_SUBJECT_TOKEN";
        /// The ID token, where the variable before is not set. The Equinix Terraform provider reads it too.
        SUBJECT_TOKEN = "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN";
        /// The moment when the access token in `EQUINIX_API_TOKEN` expires. Set by this program, and read only to
        /// explain why there is no ID token.
        EXPIRES_AT = "EQUINIX_API_TOKEN_EXPIRES_AT";
        /// The file that holds the access token of an `exec --renew` around the command. It is replaced at each renewal, and
        /// removed at the end. Set for the command, not read.
        TOKEN_FILE = "EQUINIX_WIF_TOKEN_FILE";
        /// A mark for the command that `exec` starts, from which it takes the variables that lead to ID tokens: `1`, or
        /// `renew` with `--renew`. With `--keep-oidc-env` it takes none, and the mark is `keep`. Read only to explain that, and to give no warning twice.
        EXEC = "EQUINIX_WIF_EXEC";
        /// The file that holds the ID token (`--subject-token-file`).
        SUBJECT_TOKEN_FILE = "EQUINIX_WIF_SUBJECT_TOKEN_FILE";
        /// The expected claims, one `CLAIM=VALUE` a line (`--expect`).
        EXPECT = "EQUINIX_WIF_EXPECT";
        /// The strictness with which claims are checked (`--validation`).
        VALIDATION = "EQUINIX_WIF_VALIDATION";
        /// `true` verifies the ID token's signature (`--verify-signature`).
        VERIFY_SIGNATURE = "EQUINIX_WIF_VERIFY_SIGNATURE";
        /// The way to a token (`--grant`).
        GRANT = "EQUINIX_WIF_GRANT";
        /// The base URL of the classic API (`--api-endpoint`), as the Equinix Terraform provider names it. Only hosts under `equinix.com` and loopback addresses are accepted from here.
        API_ENDPOINT = "EQUINIX_API_ENDPOINT";
        /// The client's id for the classic API. Terraform and Pulumi read it too.
        CLIENT_ID = "EQUINIX_API_CLIENTID";
        /// The client's secret for the classic API. Terraform and Pulumi read it too.
        CLIENT_SECRET = "EQUINIX_API_CLIENTSECRET";
        /// The client's id, as the `equinix` CLI names it.
        CLI_CLIENT_ID = "EQUINIX_CLIENT_ID";
        /// The client's secret, as the `equinix` CLI names it.
        CLI_CLIENT_SECRET = "EQUINIX_CLIENT_SECRET";
        /// The id of the project whose access policies are meant (`--project-id`).
        PROJECT_ID = "EQUINIX_WIF_PROJECT_ID";
        /// The service connection of Azure Pipelines that the ID token is for (`--service-connection-id`).
        SERVICE_CONNECTION_ID = "EQUINIX_WIF_SERVICE_CONNECTION_ID";
        /// The user's name for the grant `password` (`--user-name`).
        USER_NAME = "EQUINIX_API_USERNAME";
        /// The access token. With the grant `sts-client-credentials` it says who asks; everywhere it is kept out of every line.
        API_TOKEN = "EQUINIX_API_TOKEN";
        /// The STS's base URL (`--sts-endpoint`). Only hosts under `equinix.com` and loopback addresses are accepted from here.
        STS_ENDPOINT = "EQUINIX_STS_ENDPOINT";
        /// The STS's API version (`--sts-api`).
        STS_API = "EQUINIX_STS_API";
        /// The output format (`--format`).
        FORMAT = "EQUINIX_WIF_FORMAT";
        /// The output file (`--output`).
        OUTPUT = "EQUINIX_WIF_OUTPUT";
        /// The variable that will hold the access token (`--env-name`).
        ENV_NAME = "EQUINIX_WIF_ENV_NAME";
        /// `true` also writes the token to `GITHUB_ENV` (`--export-env`).
        EXPORT_ENV = "EQUINIX_WIF_EXPORT_ENV";
        /// `skip` lets a job that can have no ID token go on without a token (`--on-unavailable`).
        ON_UNAVAILABLE = "EQUINIX_WIF_ON_UNAVAILABLE";
        /// The shortest acceptable life of the access token, in seconds (`--min-ttl`).
        MIN_TTL = "EQUINIX_WIF_MIN_TTL";
        /// The deadline of the whole run, in seconds (`--timeout`).
        TIMEOUT = "EQUINIX_WIF_TIMEOUT";
        /// Certificates to trust besides the built-in roots (`--ca-file`).
        CA_FILE = "EQUINIX_WIF_CA_FILE";
        /// Certificates to trust besides the built-in roots, when `EQUINIX_WIF_CA_FILE` is not set.
        SSL_CERT_FILE = "SSL_CERT_FILE";
        /// The file for the JSON report of the run (`--report`).
        REPORT = "EQUINIX_WIF_REPORT";
        /// The condition for writing a short report into the platform's job summary (`--summary`).
        SUMMARY = "EQUINIX_WIF_SUMMARY";
        /// Any value switches colours off (no-color.org).
        NO_COLOR = "NO_COLOR";
        /// The kind of terminal. With `dumb`, or without any, no line counts down in its place.
        TERM = "TERM";
        /// Set by CI systems. With any value no line counts down in its place.
        CI = "CI";
        /// The proxy for `https` requests.
        HTTPS_PROXY = "HTTPS_PROXY";
        /// The proxy for `https` requests, lower-case form; it wins over the upper-case one, as in curl.
        HTTPS_PROXY_LOWER = "https_proxy";
        /// Hosts that are reached without the proxy.
        NO_PROXY = "NO_PROXY";
        /// Hosts that are reached without the proxy, lower-case form; it wins over the upper-case one.
        NO_PROXY_LOWER = "no_proxy";
        /// The request of a Kubernetes client that runs this program (format `kubernetes`).
        KUBERNETES_EXEC_INFO = "KUBERNETES_EXEC_INFO";
        /// The folders in which `exec` looks for the command.
        PATH = "PATH";
        /// The folder for temporary files.
        TMPDIR = "TMPDIR";
        /// This user's folder for what does not outlive the session.
        XDG_RUNTIME_DIR = "XDG_RUNTIME_DIR";
        /// This user's folder.
        HOME = "HOME";
    }

    /// The value of [`EXEC`] in a run of `exec --renew`.
    pub const EXEC_RENEWS: &str = "renew";

    /// The value of [`EXEC`] in a run of `exec --keep-oidc-env`.
    pub const EXEC_KEEPS: &str = "keep";

    /// The variables that hold a client's id and secret.
    pub const CLIENT_SECRETS: [&str; 4] = [CLIENT_ID, CLIENT_SECRET, CLI_CLIENT_ID, CLI_CLIENT_SECRET];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_is_unset_and_exact_is_exact() {
        let env = Env::fixed([("A", "true"), ("B", "")]);
        assert!(env.is("A", "true") && env.has("A"));
        for near in ["", "TRUE", "1", "true "] {
            assert!(!env.is("A", near));
        }
        assert!(!env.has("B") && !env.is("B", "") && env.os("B").is_none() && env.os("C").is_none());
        assert_eq!(env.text("A").unwrap().as_deref(), Some("true"));
        assert_eq!(env.text("B").unwrap(), None);
    }

    #[cfg(unix)]
    #[test]
    fn a_value_that_is_not_utf8_names_the_variable_only() {
        use std::os::unix::ffi::OsStringExt;
        let env = Env::fixed([("A", OsString::from_vec(vec![b'x', 0xff]))]);
        let error = env.text("A").unwrap_err();
        assert_eq!(error.code().name(), "cfg-env-not-utf8");
        assert_eq!(error.message(), "the environment variable A is not valid UTF-8");
    }

    #[test]
    fn copies_of_a_value_are_found() {
        let env = Env::fixed([("A", "a-token"), ("B", "Bearer a-token"), ("C", "a-toke"), ("D", "")]);
        assert_eq!(env.names_with(&["a-token".into()]), ["A", "B"]);
        assert!(env.names_with(&[]).is_empty());
    }

    #[test]
    fn debug_shows_no_variable() {
        assert_eq!(format!("{:?}", Env::fixed([("A", "hush")])), "Env(***)");
    }

    #[test]
    fn names_are_unique_and_described() {
        let mut seen = std::collections::BTreeSet::new();
        for (name, description) in names::ALL {
            assert!(seen.insert(*name), "{name} is declared twice");
            assert!(description.len() > 10, "{name} has no description");
        }
    }
}
