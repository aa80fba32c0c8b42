//! M10: jobs without an identity, settings that are wrong, and platforms that are none. Nobody is asked for anything.

use super::support::job::{Job, SUBJECT_TOKEN};
use super::{Ends, Row, Rows};

pub(super) fn rows() -> Rows {
    type Make = fn() -> Job;
    let cases: [(&str, Make, i32, &str); 26] = [
        ("no CI", Job::bare, 3, "ambient-not-ci"),
        ("two platforms", || Job::github().env("GITLAB_CI", "true"), 2, "cfg-provider-ambiguous"),
        ("no permission", || Job::github().without_id_token_permission(), 3, "gh-id-token-permission"),
        ("a fork", || Job::github().without_id_token_permission().pull_request(true), 3, "gh-fork-pr"),
        (
            "Dependabot",
            || Job::github().without_id_token_permission().env("GITHUB_ACTOR", "dependabot[bot]"),
            3,
            "gh-dependabot",
        ),
        (
            "half a request",
            || Job::github().unset("ACTIONS_ID_TOKEN_REQUEST_TOKEN"),
            3,
            "gh-request-incomplete",
        ),
        (
            "a request in the clear",
            || Job::github().env("ACTIONS_ID_TOKEN_REQUEST_URL", "http://github.example/?x=1"),
            10,
            "insecure-url",
        ),
        (
            "a request for another audience",
            || Job::github().env("ACTIONS_ID_TOKEN_REQUEST_URL", "https://github.example/?audience=x"),
            10,
            "insecure-url",
        ),
        ("no id_tokens", || Job::gitlab().unset(SUBJECT_TOKEN), 3, "gl-id-tokens-missing"),
        (
            "an unexpanded variable",
            || Job::gitlab().env(SUBJECT_TOKEN, "${TOKEN}"),
            3,
            "token-env-unexpanded",
        ),
        ("a padded variable", || Job::gitlab().env(SUBJECT_TOKEN, "a.b.c\n"), 3, "token-env-padded"),
        (
            "a huge variable",
            || Job::gitlab().env(SUBJECT_TOKEN, "x".repeat(100 << 10)),
            4,
            "id-token-too-large",
        ),
        ("an empty variable", || Job::bare().args(["--subject-token-env", "MY_TOKEN"]), 3, "token-env-empty"),
        ("no file", || Job::bare().args(["--subject-token-file", "none"]), 3, "token-file-unreadable"),
        ("no audience", || Job::github().without_flag("--audience"), 2, "cfg-audience-missing"),
        ("no scope", || Job::github().without_flag("--scope"), 2, "cfg-scope-missing"),
        ("an id as scope", || Job::github().scope("accesspolicy:web"), 2, "cfg-scope-invalid"),
        (
            "a variable that hijacks",
            || Job::github().args(["--env-name", "LD_PRELOAD"]),
            2,
            "cfg-env-name-invalid",
        ),
        (
            "an endpoint from a variable",
            || {
                Job::github()
                    .without_flag("--sts-endpoint")
                    .env("EQUINIX_STS_ENDPOINT", "https://sts.example")
            },
            10,
            "endpoint-untrusted",
        ),
        (
            "an endpoint with a path",
            || {
                Job::github()
                    .without_flag("--sts-endpoint")
                    .args(["--sts-endpoint", "https://sts.example/use/token"])
            },
            2,
            "cfg-endpoint-invalid",
        ),
        ("no time", || Job::github().args(["--timeout", "0"]), 2, "cfg-value-invalid"),
        ("an unknown provider", || Job::github().args(["--provider", "travis"]), 2, "cfg-value-invalid"),
        ("an unknown format", || Job::github().args(["--format", "yaml"]), 2, "cfg-value-invalid"),
        ("an unknown flag", || Job::github().arg("--no-verify"), 2, "cfg-usage"),
        ("no certificates", || Job::github().args(["--ca-file", "/dev/null"]), 2, "cfg-ca-file"),
        (
            "a proxy that is none",
            || Job::github().env("HTTPS_PROXY", "socks5://proxy.example"),
            2,
            "cfg-proxy-invalid",
        ),
    ];
    let row = |(name, make, exit, code): (&str, Make, i32, &'static str)| {
        (name.to_owned(), Row::new(Ends::Badly(exit, code), (0, 0), make))
    };
    cases.into_iter().map(row).collect()
}
