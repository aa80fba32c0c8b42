//! The names that the token's variable may have.
//!
//! Thousands of variables change what some program does, so no list of them is ever whole. A rule is: a name that says that
//! it holds a token, or that it is Equinix's, is nobody's switch. The few such names that do belong to somebody, and every
//! other name, need `--force`.

use crate::credential::Kind;
use crate::env::is_variable_name;
use crate::platform;

/// Words of names that need no consent.
const WORDS: [&str; 2] = ["TOKEN", "EQUINIX"];

/// This program's own settings. With a token in it, the next run would fail or go elsewhere.
const SETTINGS: [&str; 3] = ["EQUINIX_STS_", "EQUINIX_TOKEN_EXCHANGE_", "EQUINIX_WIF_"];

/// Beginnings of names with such a word that belong to other programs: to loaders, languages, clouds, and CI systems of which no platform's file tells.
const FOREIGN_BEGINNINGS: [&str; 15] = [
    "AWS_",
    "AZURE_",
    "BITBUCKET_",
    "BUILDKITE_",
    "CIRCLE_",
    "DYLD_",
    "GIT_",
    "LD_",
    "NPM_CONFIG_",
    "PERL5",
    "PYTHON",
    "RUBY",
    "SSL_CERT_",
    "SYSTEM_",
    "TF_TOKEN_",
];

/// Endings of the same kind.
const FOREIGN_ENDINGS: [&str; 3] = ["_OPTIONS", "_OPTS", "_PROXY"];

/// Whole names of the same kind: credentials of other services, which a token for Equinix would replace or be sent to, and
/// what else the tools of Equinix read.
const FOREIGN: [&str; 38] = [
    "ANSIBLE_GALAXY_TOKEN",
    "CARGO_REGISTRY_TOKEN",
    "CLOUDFLARE_API_TOKEN",
    "CLOUDSDK_AUTH_ACCESS_TOKEN",
    "CODECOV_TOKEN",
    "CONSUL_HTTP_TOKEN",
    "DIGITALOCEAN_ACCESS_TOKEN",
    "DIGITALOCEAN_TOKEN",
    "EQUINIX_API_CLIENTID",
    "EQUINIX_API_CLIENTSECRET",
    "EQUINIX_API_ENDPOINT",
    "EQUINIX_API_TIMEOUT",
    "EQUINIX_API_USERNAME",
    "EQUINIX_CLIENT_ID",
    "EQUINIX_CLIENT_SECRET",
    "GH_ENTERPRISE_TOKEN",
    "GH_TOKEN",
    "GL_TOKEN",
    "GOOGLE_OAUTH_ACCESS_TOKEN",
    "HCLOUD_TOKEN",
    "HF_TOKEN",
    "HOMEBREW_GITHUB_API_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "KUBE_TOKEN",
    "LINODE_TOKEN",
    "NODE_AUTH_TOKEN",
    "NOMAD_TOKEN",
    "NPM_TOKEN",
    "NUGET_AUTH_TOKEN",
    "OP_SERVICE_ACCOUNT_TOKEN",
    "PULUMI_ACCESS_TOKEN",
    "RENOVATE_TOKEN",
    "SENTRY_AUTH_TOKEN",
    "SLACK_BOT_TOKEN",
    "SONAR_TOKEN",
    "TFE_TOKEN",
    "VAULT_TOKEN",
    "VERCEL_TOKEN",
];

/// The reason for which a name is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// It is not the name of a variable.
    Invalid,
    /// It is a setting of this program.
    Setting,
    /// It may change what other programs do: `--force` consents.
    Foreign,
}

impl Refusal {
    /// The words of a message after the name.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Invalid => "it is not the name of a variable",
            Self::Setting => "that variable is a setting of this program",
            Self::Foreign => "that variable may change how other programs behave",
        }
    }

    /// Returns what to do.
    pub const fn cure(self) -> &'static str {
        match self {
            Self::Invalid => {
                "Choose a name of letters, digits and underscores that does not begin with a digit, such as EQUINIX_API_TOKEN."
            }
            Self::Setting => "Choose another name, such as EQUINIX_API_TOKEN.",
            Self::Foreign => {
                "Choose a name that contains TOKEN or EQUINIX and that no other program reads, such as EQUINIX_API_TOKEN, or consent to this one with --force."
            }
        }
    }
}

/// Judges a name for the variable of a token of this kind.
pub fn judge(name: &str, kind: Kind, force: bool) -> Result<(), Refusal> {
    if !is_variable_name(name) {
        return Err(Refusal::Invalid);
    }
    // Where an ID token is looked for, one may be.
    if kind == Kind::IdToken && platform::SUBJECT_TOKENS.contains(&name) {
        return Ok(());
    }
    // Windows makes no difference between upper and lower case.
    let upper = name.to_ascii_uppercase();
    if SETTINGS.iter().any(|beginning| upper.starts_with(beginning)) {
        return Err(Refusal::Setting);
    }
    let is_free = WORDS.iter().any(|word| upper.contains(word))
        && !FOREIGN.contains(&upper.as_str())
        && !platform::is_reserved(&upper)
        && !FOREIGN_BEGINNINGS.iter().any(|beginning| upper.starts_with(beginning))
        && !FOREIGN_ENDINGS.iter().any(|ending| upper.ends_with(ending));
    if is_free || force { Ok(()) } else { Err(Refusal::Foreign) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::env::names;

    fn access(name: &str, force: bool) -> Result<(), Refusal> {
        judge(name, Kind::AccessToken, force)
    }

    #[test]
    fn names_of_tokens_and_of_equinix_are_accepted() {
        for name in [
            "EQUINIX_API_TOKEN",
            "METAL_TOKEN",
            "METAL_AUTH_TOKEN",
            "TF_VAR_equinix_token",
            "TF_VAR_first_token",
            "token",
            "_Token_2",
            "GITHUBTOKEN",
            "MY_EQUINIX",
            "equinix",
        ] {
            assert_eq!(access(name, false), Ok(()), "{name}");
        }
        let long = |length: usize| "TOKEN".to_owned() + &"_".repeat(length - 5);
        assert_eq!(access(&long(128), false), Ok(()));
        assert_eq!(access(&long(129), true), Err(Refusal::Invalid));
    }

    /// 116 names that loaders, shells, languages, tools and CI systems obey.
    #[test]
    fn names_that_change_other_programs_need_consent() {
        const NAMES: &str = "
            ALL_PROXY ANSIBLE_CONFIG ANT_OPTS AWS_CONFIG_FILE AWS_PROFILE AWS_SESSION_TOKEN BASHOPTS BASH_ENV
            BASH_FUNC_x BROWSER BUNDLE_GEMFILE CARGO_HOME CARGO_TARGET_DIR CC CDPATH CFLAGS CI CI_JOB_TOKEN
            CLASSPATH COMSPEC CONFIG_SITE CPATH CURL_CA_BUNDLE CURL_HOME CXX DISPLAY DOCKER_CONFIG DOCKER_HOST
            DOTNET_STARTUP_HOOKS DYLD_INSERT_LIBRARIES EDITOR EMACSLOADPATH ENV EUID FPATH GCONV_PATH GEM_HOME
            GEM_PATH GITHUB_ENV GITHUB_TOKEN GIT_CONFIG_GLOBAL GIT_EXTERNAL_DIFF GIT_SSH_COMMAND GLIBC_TUNABLES
            GNUPGHOME GOFLAGS GOPROXY GOROOT GRADLE_OPTS HELM_PLUGINS HISTFILE HOME HOSTALIASES HTTPS_PROXY
            HTTP_PROXY IFS JAVA_HOME JAVA_TOOL_OPTIONS JDK_JAVA_OPTIONS KUBECONFIG LANG LC_ALL LD_AUDIT
            LD_LIBRARY_PATH LD_PRELOAD LESSOPEN LESS LIBRARY_PATH LOCALDOMAIN LOCPATH LUA_INIT MAKEFLAGS
            MALLOC_CONF MANPAGER MAVEN_OPTS MFLAGS NETRC NLSPATH NODE_EXTRA_CA_CERTS NODE_OPTIONS NODE_PATH
            NPM_CONFIG_REGISTRY NO_PROXY OPENSSL_CONF OPENSSL_MODULES PAGER PATH PERL5LIB PERL5OPT PHPRC
            PIP_INDEX_URL PKG_CONFIG_PATH PPID PROMPT_COMMAND PS1 PS4 PSModulePath PYTHONHOME PYTHONPATH
            PYTHONSTARTUP RES_OPTIONS RUBYLIB RUBYOPT RUNNER_TEMP RUSTC_WRAPPER RUSTFLAGS SHELL SHELLOPTS
            SSH_ASKPASS SSH_AUTH_SOCK SSL_CERT_FILE TAR_OPTIONS TERM TERMINFO TF_CLI_CONFIG_FILE TMPDIR TZ UID
        ";
        let names: Vec<&str> = NAMES.split_ascii_whitespace().collect();
        assert!(names.len() >= 116, "{}", names.len());
        for name in names {
            for name in [name.to_owned(), name.to_ascii_lowercase()] {
                assert_eq!(access(&name, false), Err(Refusal::Foreign), "{name}");
                assert_eq!(access(&name, true), Ok(()), "{name}");
            }
        }
    }

    #[test]
    fn tokens_that_belong_to_other_programs_need_consent() {
        for name in FOREIGN.iter().copied().chain([
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_RUNTIME_TOKEN",
            "AWS_WEB_IDENTITY_TOKEN_FILE",
            "AZURE_FEDERATED_TOKEN_FILE",
            "BITBUCKET_STEP_OIDC_TOKEN",
            "BUILDKITE_AGENT_ACCESS_TOKEN",
            "CIRCLE_OIDC_TOKEN_V2",
            "GITLAB_TOKEN",
            "SYSTEM_ACCESSTOKEN",
            "TF_TOKEN_app_terraform_io",
            "TOKEN_OPTIONS",
            "equinix_proxy",
            "LD_TOKEN",
        ]) {
            assert_eq!(access(name, false), Err(Refusal::Foreign), "{name}");
            assert_eq!(access(name, true), Ok(()), "{name}");
        }
    }

    #[test]
    fn settings_of_this_program_are_never_accepted() {
        for (name, _) in names::ALL.iter().filter(|(name, _)| SETTINGS.iter().any(|s| name.starts_with(s))) {
            assert_eq!(access(name, true), Err(Refusal::Setting), "{name}");
            assert_eq!(access(&name.to_ascii_lowercase(), true), Err(Refusal::Setting), "{name}");
        }
        for name in platform::SUBJECT_TOKENS {
            assert_eq!(judge(name, Kind::IdToken, false), Ok(()), "{name}");
            assert_eq!(judge(name, Kind::AccessToken, true), Err(Refusal::Setting), "{name}");
        }
        assert_eq!(judge(names::SCOPE, Kind::IdToken, true), Err(Refusal::Setting));
    }

    #[test]
    fn what_is_no_name_is_never_accepted() {
        for name in ["", "1TOKEN", "A-TOKEN", "A TOKEN", "A=TOKEN", "TOKEN\n", "$TOKEN", "TÖKEN", "A.TOKEN"]
        {
            assert_eq!(access(name, true), Err(Refusal::Invalid), "{name:?}");
        }
    }
}
