//! The own programs of platforms, called as the program calls them. See `tests/foreign/platforms/README.md`.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::support::job::{AUDIENCE, Job};
use crate::support::server::{Reply, Request, Server};
use crate::support::worlds::AWS;
use crate::tools::need;
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        buildkite::makes_a_token_and_hides_both,
        buildkite::gives_nothing_that_its_server_does_not_hide,
        buildkite::says_why_there_is_no_token,
        aws::signs_a_request_for_exactly_this_audience,
        aws::says_why_there_is_no_token
    ]
}

const INSTALL: &str = "tests/foreign/platforms/install.sh";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/platforms")
}

mod buildkite {
    use super::*;

    const ACCESS: &str = "the-access-token-of-the-agent-for-this-job";

    fn agent() -> PathBuf {
        let program = folder().join(".bin/buildkite-agent");
        need("program of Buildkite's packages", Command::new(&program).arg("version"), INSTALL);
        program
    }

    /// The server that a job finds on its socket.
    struct JobApi {
        process: Child,
        token: String,
        folder: tempfile::TempDir,
    }

    impl JobApi {
        fn start() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let mut serve = Command::new(agent());
            let serve = serve.arg("serve").arg(folder.path().join("job.sock")).stdout(Stdio::piped());
            let mut process = serve.spawn().unwrap();
            let mut token = String::new();
            BufReader::new(process.stdout.take().unwrap()).read_line(&mut token).unwrap();
            Self { process, token: token.trim().to_owned(), folder }
        }
    }

    impl Drop for JobApi {
        fn drop(&mut self) {
            self.process.kill().and_then(|()| self.process.wait()).ok();
        }
    }

    /// A job whose program is Buildkite's packages, with this server on its socket and this endpoint.
    fn job(job_api: &JobApi, token: &str, endpoint: &Server) -> Job {
        let script = format!("BUILDKITE_NOTES=\"$here/redacted\" exec '{}' \"$@\"", agent().display());
        Job::buildkite()
            .agent_script(&script)
            .secret(ACCESS)
            .env("BUILDKITE_AGENT_ACCESS_TOKEN", ACCESS)
            .env("BUILDKITE_AGENT_ENDPOINT", format!("{}/v3", endpoint.url()))
            .env("BUILDKITE_AGENT_JOB_API_SOCKET", job_api.folder.path().join("job.sock"))
            .env("BUILDKITE_AGENT_JOB_API_TOKEN", token)
            .env("BUILDKITE_OIDC_TOKEN_SUBJECT_CLAIM", "pipeline_id")
            .env("BUILDKITE_JOB_ID", "0184990a-4782-42b5-afc1-16715b10b8ff")
    }

    /// The endpoint of Buildkite, with this token for the job.
    fn endpoint(token: String) -> Server {
        Server::start(move |request: &Request| {
            let is_good = request.method == "POST"
                && request.path() == "/v3/jobs/0184990a-4782-42b5-afc1-16715b10b8ff/oidc/tokens"
                && request.header("authorization") == Some(&format!("Token {ACCESS}"));
            if is_good { Reply::json(&json!({"token": token})) } else { Reply::status(401) }
        })
    }

    /// The harness makes sure that the tokens are hidden before they are sent or handed over.
    pub(super) fn makes_a_token_and_hides_both() {
        let token = Job::buildkite().mint();
        let (job_api, endpoint) = (JobApi::start(), endpoint(token.clone()));
        let outcome = job(&job_api, &job_api.token, &endpoint).run();
        outcome.succeeds().sts_requests(1);
        assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(token));
        let requests = endpoint.requests();
        assert_eq!(requests.len(), 1);
        let body = json!({"audience": AUDIENCE, "subject_claim": "pipeline_id"});
        assert_eq!(requests[0].json(), Some(body));
    }

    pub(super) fn gives_nothing_that_its_server_does_not_hide() {
        let (job_api, endpoint) = (JobApi::start(), endpoint(Job::buildkite().mint()));
        let outcome = job(&job_api, "another-bearer-for-the-socket", &endpoint).run();
        outcome.fails(4, "id-token-helper").sts_requests(0).stdout_is("");
    }

    pub(super) fn says_why_there_is_no_token() {
        let (job_api, endpoint) = (JobApi::start(), Server::start(|_: &Request| Reply::status(403)));
        let outcome = job(&job_api, &job_api.token, &endpoint).run();
        outcome.fails(4, "id-token-helper").sts_requests(0);
        outcome.stderr_has("could not obtain OIDC token for audience").stderr_has("403");
    }
}

mod aws {
    use super::*;

    const SECRET: &str = "the-secret-access-key-of-a-role";

    /// The folders with AWS's program in front.
    fn path() -> OsString {
        let folder = folder().join(".venv/bin");
        need("program of AWS", Command::new(folder.join("aws")).arg("--version"), INSTALL);
        let path = std::env::var_os("PATH").unwrap();
        std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&path))).unwrap()
    }

    /// A build with credentials in its variables, and this server as the STS of AWS.
    fn job(sts: &Server) -> Job {
        let job = Job::of(&AWS).secret(SECRET);
        let home = job.root().to_owned();
        job.args(["--provider", "aws"])
            .unset("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
            .unset("AWS_DEFAULT_REGION")
            .env("PATH", path())
            .env("HOME", home)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_MAX_ATTEMPTS", "1")
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", SECRET)
            .env("AWS_ENDPOINT_URL_STS", sts.url())
    }

    fn answer(content: &str) -> String {
        format!(
            r#"<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult>{content}</GetWebIdentityTokenResult></GetWebIdentityTokenResponse>"#
        )
    }

    /// The harness's audience is an address, which version 1 would fetch if it were the value of a flag.
    pub(super) fn signs_a_request_for_exactly_this_audience() {
        let token = Job::of(&AWS).mint();
        let content = format!(
            "<WebIdentityToken>{token}</WebIdentityToken><Expiration>2026-11-22T04:05:00Z</Expiration>"
        );
        let sts = Server::start(move |_: &Request| {
            Reply::status(200).header("Content-Type", "text/xml").body(answer(&content))
        });
        let outcome = job(&sts).run();
        outcome.succeeds().sts_requests(1);
        assert_eq!(outcome.sts.requests[0].form_value("subject_token"), Some(token));
        let requests = sts.requests();
        assert_eq!(requests.len(), 1);
        let form = |name: &str| requests[0].form_value(name);
        assert_eq!(form("Action").as_deref(), Some("GetWebIdentityToken"));
        assert_eq!(form("Audience.member.1").as_deref(), Some(AUDIENCE));
        assert_eq!((form("Audience.member.2"), form("SigningAlgorithm").as_deref()), (None, Some("RS256")));
        let authorization = requests[0].header("authorization").unwrap();
        assert!(authorization.contains("/eu-central-1/sts/aws4_request"), "{authorization}");
    }

    pub(super) fn says_why_there_is_no_token() {
        for (error, hint) in [
            ("OutboundWebIdentityFederationDisabledException", "enable-outbound-web-identity-federation"),
            ("AccessDenied", "sts:GetWebIdentityToken"),
        ] {
            let body = format!(
                "<ErrorResponse><Error><Type>Sender</Type><Code>{error}</Code><Message>no</Message></Error></ErrorResponse>"
            );
            let sts = Server::start(move |_: &Request| {
                Reply::status(403).header("Content-Type", "text/xml").body(body.clone())
            });
            job(&sts).run().fails(4, "id-token-helper").stderr_has(hint).sts_requests(0);
        }
        let nobody = Server::start(|_: &Request| Reply::status(500));
        let bare = job(&nobody).unset("AWS_ACCESS_KEY_ID").unset("AWS_SECRET_ACCESS_KEY").run();
        bare.fails(3, "id-token-not-offered").stderr_has("Give the job a role");
        let lost = job(&nobody).unset("AWS_REGION").run();
        lost.fails(4, "id-token-helper").stderr_has("Set AWS_REGION");
        assert_eq!(nobody.connections(), 0);
    }
}
