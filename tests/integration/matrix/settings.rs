//! M10: jobs without an identity, settings that are wrong, and platforms that are none. Nobody is asked for anything.

use super::Ends::Badly;
use super::support::job::{Job, SUBJECT_TOKEN};
use super::{Ends, Row};

/// A job that ends before it asks anybody.
fn job(job: Job, ends: Ends) -> Row {
    Row::new(ends, (0, 0), job)
}

/// GitHub without the permission that an ID token takes.
fn denied() -> Job {
    Job::github().without_id_token_permission()
}

/// A GitLab job whose ID token is this.
fn gitlab(token: &str) -> Job {
    Job::gitlab().env(SUBJECT_TOKEN, token)
}

/// A job that uses another STS.
fn endpoint(url: &str) -> Job {
    Job::github().without_flag("--sts-endpoint").args(["--sts-endpoint", url])
}

fn endpoint_variable(url: &str) -> Job {
    Job::github().without_flag("--sts-endpoint").env("EQUINIX_STS_ENDPOINT", url)
}

fn proxy(url: &str) -> Job {
    Job::github().env("HTTPS_PROXY", url)
}

fn flags<const N: usize>(flags: [&str; N]) -> Job {
    Job::github().args(flags)
}

/// A job that asks for its ID token here.
fn request(url: &str) -> Job {
    Job::github().env(REQUEST_URL, url)
}

const REQUEST_URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const REQUEST_TOKEN: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";
const ENDPOINT: Ends = Badly(2, "cfg-endpoint-invalid");
const VALUE: Ends = Badly(2, "cfg-value-invalid");
const INSECURE: Ends = Badly(10, "insecure-url");
const EMPTY: Ends = Badly(3, "token-env-empty");
const UNTRUSTED: Ends = Badly(10, "endpoint-untrusted");
const UNREADABLE: Ends = Badly(3, "token-file-unreadable");

faults! {
    m10 {
        no_ci: job(Job::bare()) => Badly(3, "ambient-not-ci");
        two_platforms: job(Job::github().env("GITLAB_CI", "true")) => Badly(2, "cfg-provider-ambiguous");
        no_permission: job(denied()) => Badly(3, "gh-id-token-permission");
        a_fork: job(denied().pull_request(true)) => Badly(3, "gh-fork-pr");
        dependabot: job(denied().env("GITHUB_ACTOR", "dependabot[bot]")) => Badly(3, "gh-dependabot");
        half_a_request: job(Job::github().unset(REQUEST_TOKEN)) => Badly(3, "gh-request-incomplete");
        a_request_in_the_clear: job(request("http://github.example/?x=1")) => INSECURE;
        a_request_for_another_audience: job(request("https://github.example/?audience=x")) => INSECURE;
        no_id_tokens: job(Job::gitlab().unset(SUBJECT_TOKEN)) => Badly(3, "gl-id-tokens-missing");
        an_unexpanded_variable: job(gitlab("${TOKEN}")) => Badly(3, "token-env-unexpanded");
        a_padded_variable: job(gitlab("a.b.c\n")) => Badly(3, "token-env-padded");
        a_huge_variable: job(gitlab(&"x".repeat(100 << 10))) => Badly(4, "id-token-too-large");
        an_empty_variable: job(Job::bare().args(["--subject-token-env", "MY_TOKEN"])) => EMPTY;
        no_file: job(Job::bare().args(["--subject-token-file", "none"])) => UNREADABLE;
        no_audience: job(Job::github().without_flag("--audience")) => Badly(2, "cfg-audience-missing");
        no_scope: job(Job::github().without_flag("--scope")) => Badly(2, "cfg-scope-missing");
        an_id_as_scope: job(Job::github().scope("accesspolicy:web")) => Badly(2, "cfg-scope-invalid");
        a_variable_that_hijacks: job(flags(["--env-name", "LD_PRELOAD"])) => Badly(2, "cfg-env-name-invalid");
        an_endpoint_from_a_variable: job(endpoint_variable("https://sts.example")) => UNTRUSTED;
        an_endpoint_with_a_path: job(endpoint("https://sts.example/use/token")) => ENDPOINT;
        no_time: job(flags(["--timeout", "0"])) => VALUE;
        an_unknown_provider: job(flags(["--provider", "travis"])) => VALUE;
        an_unknown_format: job(flags(["--format", "yaml"])) => VALUE;
        an_unknown_flag: job(flags(["--no-verify"])) => Badly(2, "cfg-usage");
        no_certificates: job(flags(["--ca-file", "/dev/null"])) => Badly(2, "cfg-ca-file");
        a_proxy_that_is_none: job(proxy("socks5://proxy.example")) => Badly(2, "cfg-proxy-invalid");
    }
}
