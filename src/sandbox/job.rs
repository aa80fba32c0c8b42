//! The job that the sandbox pretends to be: the environment and the files that its platform gives it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::facts::Facts;
use super::{SimulatedPlatform, policies};
use crate::env::names;
use crate::platform::github::names as github_names;
use crate::platform::gitlab::names as gitlab_names;
use crate::secret::Secret;

/// The audience that the STS accepts.
pub(super) const AUDIENCE: &str = "equinix-sandbox";
/// The scope that is granted to the job.
pub(super) const SCOPE: &str = "roleassignments:00000000-0000-4000-8000-000000000001";
/// The variable that names the project whose access policies are listed.
const PROJECT_ID: &str = "EQUINIX_WIF_PROJECT_ID";
/// The path of GitHub's ID-token endpoint on this instance. Real ones are long and meant to be opaque.
pub(super) const TOKEN_PATH: &str = "/_services/pipelines/idtoken";

/// The two servers and the folder that a job is prepared in.
pub(super) struct Place<'a> {
    pub(super) issuer: &'a str,
    pub(super) sts: &'a str,
    pub(super) folder: &'a Path,
}

/// The surroundings in which a job starts.
#[derive(Clone, Default)]
pub(super) struct Prepared {
    pub(super) variables: Vec<(&'static str, OsString)>,
    pub(super) folders: Vec<PathBuf>,
    pub(super) files: Vec<(PathBuf, String)>,
}

impl Prepared {
    /// The variable's value, if the platform sets it.
    pub(super) fn get(&self, name: &str) -> Option<&OsStr> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_os_str())
    }

    /// Sets variables.
    pub(super) fn set(&mut self, pairs: impl IntoIterator<Item = (&'static str, impl Into<OsString>)>) {
        self.variables.extend(pairs.into_iter().map(|(name, value)| (name, value.into())));
    }
}

/// The platform's job. The secret is the bearer for the ID-token endpoint on GitHub, and the ID token itself on
/// GitLab, where the platform hands it over ready-made.
pub(super) fn prepare(platform: SimulatedPlatform, place: &Place<'_>, secret: &Secret) -> Prepared {
    let mut job = match platform {
        SimulatedPlatform::Github => github_job(place, secret),
        SimulatedPlatform::Gitlab => gitlab_job(place, secret),
        #[cfg(feature = "classic-grants")]
        SimulatedPlatform::Nowhere => Prepared::default(),
    };
    job.set([
        (names::STS_ENDPOINT, place.sts),
        (names::AUDIENCE, AUDIENCE),
        (names::SCOPE, SCOPE),
        (PROJECT_ID, policies::PROJECT),
    ]);
    job
}

fn github_job(place: &Place<'_>, bearer: &Secret) -> Prepared {
    let facts = Facts::new(SimulatedPlatform::Github, place.issuer);
    let temp = place.folder.join("_temp");
    let commands = temp.join("_runner_file_commands");
    let workspace = place.folder.join(facts.get("name")).join(facts.get("name"));
    let event = temp.join("_github_workflow").join("event.json");
    let mut job = Prepared::default();
    job.set(facts.variables());
    job.set([
        ("RUNNER_OS", runner_os()),
        ("RUNNER_ARCH", runner_arch()),
        (github_names::ACTIONS_ID_TOKEN_REQUEST_TOKEN, bearer.reveal()),
    ]);
    job.set([(
        github_names::ACTIONS_ID_TOKEN_REQUEST_URL,
        format!("{}{TOKEN_PATH}?api-version=2.0", place.issuer),
    )]);
    // A runner makes these files anew for every step, with a random ending that nobody should rely on.
    for (name, file) in [
        (github_names::GITHUB_OUTPUT, "set_output_sandbox"),
        (github_names::GITHUB_ENV, "set_env_sandbox"),
        ("GITHUB_PATH", "add_path_sandbox"),
        ("GITHUB_STEP_SUMMARY", "step_summary_sandbox"),
        ("GITHUB_STATE", "save_state_sandbox"),
    ] {
        let path = commands.join(file);
        job.set([(name, path.clone())]);
        job.files.push((path, String::new()));
    }
    let claims = facts.claims();
    let repository =
        json!({"full_name": claims.get("repository"), "id": facts.get("repository_id").parse::<u64>().ok()});
    job.files.push((event.clone(), json!({"ref": claims.get("ref"), "repository": repository}).to_string()));
    job.set([
        (github_names::GITHUB_EVENT_PATH, event),
        (github_names::GITHUB_WORKSPACE, workspace.clone()),
        (github_names::RUNNER_TEMP, temp.clone()),
    ]);
    job.folders = vec![commands, temp.join("_github_workflow"), workspace];
    job
}

fn gitlab_job(place: &Place<'_>, token: &Secret) -> Prepared {
    let facts = Facts::new(SimulatedPlatform::Gitlab, place.issuer);
    let project = place.folder.join("builds").join(facts.get("owner")).join(facts.get("name"));
    let mut beside = project.clone().into_os_string();
    beside.push(".tmp");
    let mut job = Prepared::default();
    job.set(facts.variables());
    job.set([(names::OWN_SUBJECT_TOKEN, token.reveal())]);
    job.set([(gitlab_names::CI_PROJECT_DIR, project.clone())]);
    job.folders = vec![project, PathBuf::from(beside)];
    job
}

/// The environment of the command: the prepared job's variables, and the process's own without those that would
/// make it look like another job or lead its requests elsewhere. `programs` comes first in `PATH`.
pub(super) fn environment(
    inherited: impl IntoIterator<Item = (OsString, OsString)>,
    job: Prepared,
    programs: Option<&Path>,
) -> Vec<(OsString, OsString)> {
    let mut environment: Vec<(OsString, OsString)> =
        inherited.into_iter().filter(|(name, _)| !is_of_a_job(name)).collect();
    environment.extend(job.variables.into_iter().map(|(name, value)| (OsString::from(name), value)));
    if let Some(programs) = programs {
        // Windows spells it Path.
        let found = environment.iter_mut().find(|(name, _)| name.eq_ignore_ascii_case("PATH"));
        let rest = found.as_ref().map(|(_, value)| value.clone()).unwrap_or_default();
        // An empty entry would be the working directory.
        let others = std::env::split_paths(&rest).filter(|folder| !folder.as_os_str().is_empty());
        let folders = std::iter::once(programs.to_owned()).chain(others);
        // It fails for a folder whose name holds the separator; such a folder cannot be in PATH at all.
        if let Ok(joined) = std::env::join_paths(folders) {
            match found {
                Some((_, value)) => *value = joined,
                None => environment.push(("PATH".into(), joined)),
            }
        }
    }
    environment
}

/// Tells whether a variable belongs to a CI job, to this program's settings, or to the way to the network.
fn is_of_a_job(name: &OsStr) -> bool {
    const PREFIXES: [&str; 12] = [
        "GITHUB_",
        "ACTIONS_",
        "RUNNER_",
        "CI_",
        "GITLAB_",
        "EQUINIX_",
        "FORGEJO_",
        "GITEA_",
        "CIRCLE",
        "BUILDKITE",
        "BITBUCKET_",
        "TFC_",
    ];
    const NAMES: [&str; 6] = [
        "CI",
        "SSL_CERT_FILE",
        "TF_BUILD",
        "SYSTEM_OIDCREQUESTURI",
        "SYSTEM_ACCESSTOKEN",
        "KUBERNETES_EXEC_INFO",
    ];
    const PROXIES: [&str; 5] = ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "ftp_proxy"];
    // A name that is not text begins like none of these, or its beginning is enough.
    let name = name.to_string_lossy();
    PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        || NAMES.contains(&name.as_ref())
        || PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
}

fn runner_os() -> &'static str {
    match std::env::consts::OS {
        "macos" => "macOS",
        "windows" => "Windows",
        _ => "Linux",
    }
}

fn runner_arch() -> &'static str {
    match std::env::consts::ARCH {
        "aarch64" => "ARM64",
        _ => "X64",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(platform: SimulatedPlatform) -> Prepared {
        let place = Place {
            issuer: "http://127.0.0.1:4001",
            sts: "http://127.0.0.1:4002",
            folder: Path::new("/sandbox"),
        };
        prepare(platform, &place, &Secret::new("the-secret"))
    }

    /// All variables, one a line and sorted, without what depends on the machine.
    fn listed(job: &Prepared) -> String {
        let mut lines: Vec<String> = job
            .variables
            .iter()
            .filter(|(name, _)| !["RUNNER_OS", "RUNNER_ARCH"].contains(name))
            .map(|(name, value)| format!("{name}={}", value.to_str().unwrap()))
            .collect();
        lines.sort();
        lines.join("\n")
    }

    #[cfg(unix)]
    #[test]
    fn a_github_job_has_what_a_runner_sets() {
        let job = prepared(SimulatedPlatform::Github);
        insta::assert_snapshot!(listed(&job), @r#"
        ACTIONS_ID_TOKEN_REQUEST_TOKEN=the-secret
        ACTIONS_ID_TOKEN_REQUEST_URL=http://127.0.0.1:4001/_services/pipelines/idtoken?api-version=2.0
        CI=true
        EQUINIX_STS_ENDPOINT=http://127.0.0.1:4002
        EQUINIX_TOKEN_EXCHANGE_SCOPE=roleassignments:00000000-0000-4000-8000-000000000001
        EQUINIX_WIF_AUDIENCE=equinix-sandbox
        EQUINIX_WIF_PROJECT_ID=project:00000000-0000-4000-8000-000000000002
        GITHUB_ACTIONS=true
        GITHUB_ACTOR=octocat
        GITHUB_ACTOR_ID=12
        GITHUB_API_URL=http://127.0.0.1:4001/api/v3
        GITHUB_ENV=/sandbox/_temp/_runner_file_commands/set_env_sandbox
        GITHUB_EVENT_NAME=push
        GITHUB_EVENT_PATH=/sandbox/_temp/_github_workflow/event.json
        GITHUB_GRAPHQL_URL=http://127.0.0.1:4001/api/graphql
        GITHUB_JOB=deploy
        GITHUB_OUTPUT=/sandbox/_temp/_runner_file_commands/set_output_sandbox
        GITHUB_PATH=/sandbox/_temp/_runner_file_commands/add_path_sandbox
        GITHUB_REF=refs/heads/main
        GITHUB_REF_NAME=main
        GITHUB_REF_PROTECTED=true
        GITHUB_REF_TYPE=branch
        GITHUB_REPOSITORY=octo-org/octo-repo
        GITHUB_REPOSITORY_ID=5678
        GITHUB_REPOSITORY_OWNER=octo-org
        GITHUB_REPOSITORY_OWNER_ID=1234
        GITHUB_RUN_ATTEMPT=1
        GITHUB_RUN_ID=1000000001
        GITHUB_RUN_NUMBER=7
        GITHUB_SERVER_URL=http://127.0.0.1:4001
        GITHUB_SHA=0123456789abcdef0123456789abcdef01234567
        GITHUB_STATE=/sandbox/_temp/_runner_file_commands/save_state_sandbox
        GITHUB_STEP_SUMMARY=/sandbox/_temp/_runner_file_commands/step_summary_sandbox
        GITHUB_TRIGGERING_ACTOR=octocat
        GITHUB_WORKFLOW=deploy
        GITHUB_WORKFLOW_REF=octo-org/octo-repo/.github/workflows/deploy.yml@refs/heads/main
        GITHUB_WORKFLOW_SHA=0123456789abcdef0123456789abcdef01234567
        GITHUB_WORKSPACE=/sandbox/octo-repo/octo-repo
        RUNNER_ENVIRONMENT=github-hosted
        RUNNER_NAME=GitHub Actions 7
        RUNNER_TEMP=/sandbox/_temp
        "#);
        let files: Vec<&str> = job.files.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        for (path, _) in &job.files {
            assert!(job.folders.iter().any(|folder| path.parent() == Some(folder)), "{}", path.display());
        }
        for name in ["GITHUB_OUTPUT", "GITHUB_ENV", "GITHUB_PATH", "GITHUB_STEP_SUMMARY", "GITHUB_STATE"] {
            assert!(files.contains(&job.get(name).unwrap().to_str().unwrap()), "{name}");
        }
        let event: serde_json::Value = serde_json::from_str(&job.files.last().unwrap().1).unwrap();
        assert_eq!(event["repository"], json!({"full_name": "octo-org/octo-repo", "id": 5678}));
        assert_eq!(event["ref"], "refs/heads/main");
    }

    #[cfg(unix)]
    #[test]
    fn a_gitlab_job_has_what_a_runner_sets() {
        let job = prepared(SimulatedPlatform::Gitlab);
        insta::assert_snapshot!(listed(&job), @r#"
        CI=true
        CI_API_V4_URL=http://127.0.0.1:4001/api/v4
        CI_COMMIT_BRANCH=main
        CI_COMMIT_REF_NAME=main
        CI_COMMIT_REF_PROTECTED=true
        CI_COMMIT_SHA=0123456789abcdef0123456789abcdef01234567
        CI_JOB_ID=302
        CI_JOB_NAME=deploy
        CI_JOB_STAGE=deploy
        CI_JOB_TIMEOUT=3600
        CI_PIPELINE_ID=574
        CI_PIPELINE_SOURCE=push
        CI_PROJECT_DIR=/sandbox/builds/octo-group/octo-project
        CI_PROJECT_ID=20
        CI_PROJECT_NAMESPACE=octo-group
        CI_PROJECT_PATH=octo-group/octo-project
        CI_SERVER_FQDN=127.0.0.1:4001
        CI_SERVER_HOST=127.0.0.1
        CI_SERVER_NAME=GitLab
        CI_SERVER_PROTOCOL=http
        CI_SERVER_URL=http://127.0.0.1:4001
        CI_SERVER_VERSION=18.6.0
        EQUINIX_STS_ENDPOINT=http://127.0.0.1:4002
        EQUINIX_TOKEN_EXCHANGE_SCOPE=roleassignments:00000000-0000-4000-8000-000000000001
        EQUINIX_WIF_AUDIENCE=equinix-sandbox
        EQUINIX_WIF_PROJECT_ID=project:00000000-0000-4000-8000-000000000002
        EQUINIX_WIF_SUBJECT_TOKEN=the-secret
        GITLAB_CI=true
        "#);
        let tmp = Path::new("/sandbox/builds/octo-group/octo-project.tmp");
        assert!(job.folders.iter().any(|folder| folder == tmp));
    }

    #[cfg(unix)]
    #[test]
    fn the_command_inherits_only_what_does_not_confuse_it() {
        let kept = [("HOME", "/home/me"), ("PATH", "/usr/bin:/bin"), ("CIAO", "x"), ("NO_COLOR", "1")];
        let dropped = [
            "CI",
            "CI_JOB_ID",
            "GITHUB_TOKEN",
            "ACTIONS_CACHE_URL",
            "RUNNER_DEBUG",
            "GITLAB_USER_ID",
            "EQUINIX_WIF_REPORT",
            "FORGEJO_ACTIONS",
            "GITEA_ACTIONS",
            "https_proxy",
            "HTTPS_PROXY",
            "All_Proxy",
            "NO_PROXY",
            "SSL_CERT_FILE",
            "CIRCLECI",
            "BUILDKITE",
            "TF_BUILD",
            "TFC_RUN_ID",
        ];
        let inherited = kept.into_iter().chain(dropped.map(|name| (name, "x")));
        let inherited = inherited.map(|(name, value)| (name.into(), value.into()));
        let ours = Some(Path::new("/opt/ours"));
        let bare = environment([], prepared(SimulatedPlatform::Gitlab), ours);
        assert!(bare.contains(&("PATH".into(), "/opt/ours".into())), "no empty entry");
        let environment = environment(inherited, prepared(SimulatedPlatform::Gitlab), ours);
        let get = |name: &str| {
            let found: Vec<_> = environment.iter().filter(|(known, _)| known == name).collect();
            assert!(found.len() < 2, "{name} is set twice");
            found.first().map(|(_, value)| value.to_str().unwrap())
        };
        assert_eq!(get("PATH"), Some("/opt/ours:/usr/bin:/bin"));
        assert_eq!((get("HOME"), get("CIAO"), get("NO_COLOR")), (Some("/home/me"), Some("x"), Some("1")));
        assert_eq!((get("CI"), get("CI_JOB_ID")), (Some("true"), Some("302")));
        for name in dropped.iter().filter(|name| !["CI", "CI_JOB_ID"].contains(name)) {
            assert_eq!(get(name), None, "{name}");
        }
    }
}
