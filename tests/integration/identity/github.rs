//! The main job on GitHub Actions: what it asks for, what it hands to the next step, and what becomes of it when the
//! platform gives no ID token or gives it badly.

use crate::support;

use std::collections::BTreeMap;

use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use support::job::{Job, SCOPE};
use support::outcome::Outcome;
use support::runner;
use support::server::{Reply, Request, Server};
use support::token::{self, Token};

const URL: &str = "ACTIONS_ID_TOKEN_REQUEST_URL";
const BEARER: &str = "ACTIONS_ID_TOKEN_REQUEST_TOKEN";

/// A failed run: told on stderr, in the report, in `GITHUB_OUTPUT` and in exactly one annotation.
#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code);
    assert_eq!(outcome.reported_error_code().as_deref(), Some(code), "error-code in GITHUB_OUTPUT");
    let annotations: Vec<_> =
        runner::commands(&outcome.stderr).into_iter().filter(|command| command.name == "error").collect();
    assert_eq!(annotations.len(), 1, "one annotation\n{}", outcome.context());
    assert_eq!(annotations[0].properties["title"], format!("equinix-wif {code}"));
    outcome
}

/// The outputs are those of the contract and no others, with the values of this run.
#[track_caller]
fn has_outputs(outcome: &Outcome, before: &[(&str, &str)]) {
    let mut outputs = outcome.outputs();
    let expires_at = outputs.remove("expires-at").expect("expires-at");
    let plausible: Vec<String> = (token::now() - 120..=token::now())
        .map(|time| OffsetDateTime::from_unix_timestamp(time + 3600).unwrap().format(&Rfc3339).unwrap())
        .collect();
    assert!(plausible.contains(&expires_at), "{expires_at} is an hour from now");
    let issuer = format!("{}/_services/token", issuer_of(outcome));
    let expected: BTreeMap<String, String> = [
        ("access-token", outcome.access_token()),
        ("token-type", "Bearer"),
        ("expires-in", "3600"),
        ("scope", SCOPE),
        ("subject", "repo:octo-org/metal-app:ref:refs/heads/main"),
        ("issuer", &issuer),
        ("available", "true"),
    ]
    .iter()
    .chain(before)
    .map(|&(name, value)| (name.to_owned(), value.to_owned()))
    .collect();
    assert_eq!(outputs, expected);
}

/// The base URL under which the job reached its issuer.
fn issuer_of(outcome: &Outcome) -> String {
    let request = &outcome.issuer.requests[0];
    format!("{}://{}", if request.tls { "https" } else { "http" }, request.header("host").unwrap())
}

fn with_value(value: Value) -> Reply {
    Reply::json(&json!({"count": 1, "value": value}))
}

fn saying(status: u16, message: &str) -> Reply {
    Reply::status(status).json_body(&json!({"message": message}))
}

mod the_happy_job {
    use super::*;

    #[test]
    fn hands_the_token_to_the_next_step_and_to_nobody_else() {
        let job = Job::github().tls();
        let (issuer, sts) = (job.issuer_url(), job.sts_url());
        let outcome = job.run();
        outcome.succeeds().stdout_is("").id_token_requests(1).sts_requests(1);
        has_outputs(&outcome, &[]);
        assert_eq!(outcome.env_file.as_deref(), Some(&b""[..]), "GITHUB_ENV is untouched");
        assert_eq!(outcome.summary_file.as_deref(), Some(&b""[..]));

        // Masks stand at column 0, and nothing is said of a token before its mask.
        let expires_at = outcome.outputs().remove("expires-at").unwrap();
        let wanted = [
            "equinix-wif: trusting 1 certificate besides the built-in roots (--ca-file)".to_owned(),
            format!("warning: the STS is on this machine: {sts}"),
            format!("warning: asking for the ID token on this machine: {issuer}"),
            String::new(),
            format!("::add-mask::{}", outcome.id_token()),
            String::new(),
            format!("::add-mask::{}", outcome.access_token()),
            format!(
                "equinix-wif: access token for {SCOPE} is valid until {expires_at} (3600 s), in this step's output access-token"
            ),
        ];
        assert_eq!(outcome.stderr.lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn sends_one_get_and_one_post_and_nothing_that_need_not_be_in_them() {
        let outcome = Job::github().tls().run();
        outcome.succeeds();
        let [get] = outcome.issuer.requests.as_slice() else { panic!("one request to the issuer") };
        let [post] = outcome.sts.requests.as_slice() else { panic!("one request to the STS") };
        assert!(get.tls && post.tls);
        assert_eq!(
            (get.method.as_str(), get.target.as_str()),
            ("GET", "/idtoken?api-version=2.0&audience=https%3A%2F%2Fsts.eqix.equinix.example%2Fmetal")
        );
        assert!(get.body.is_empty());
        assert!(get.header("authorization").unwrap().starts_with("Bearer "));
        assert_eq!((post.method.as_str(), post.target.as_str()), ("POST", "/use/token"));
        assert_eq!(post.header("content-type"), Some("application/x-www-form-urlencoded"));
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(
            post.form(),
            [
                field("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
                field("scope", SCOPE),
                field("subject_token", &outcome.id_token()),
                field("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
            ]
        );
        let known = ["authorization", "host", "accept", "accept-encoding", "user-agent"];
        let form = ["host", "accept", "accept-encoding", "user-agent", "content-type", "content-length"];
        for (request, names) in [(get, &known[..]), (post, &form[..])] {
            for (name, _) in &request.headers {
                assert!(names.contains(&name.to_ascii_lowercase().as_str()), "{name} in {request}");
            }
            assert_eq!(request.header("accept-encoding"), Some("identity"));
            assert_eq!(
                request.header("user-agent"),
                Some(concat!("equinix-wif/", env!("CARGO_PKG_VERSION"))),
                "nothing about the job"
            );
        }
    }

    #[test]
    fn appends_to_what_the_step_has_written_before() {
        for (name, before, entries) in [
            ("nothing", "", &[][..]),
            ("a whole line", "a=1\n", &[("a", "1")]),
            ("a line without its end", "a=1", &[("a", "1")]),
            ("a heredoc without its last newline", "a<<E\nx\ny\nE", &[("a", "x\ny")]),
            ("CRLF", "a=1\r\n", &[("a", "1\r")]),
            ("CR alone", "a=1\r", &[("a", "1\r")]),
            ("a byte-order mark", "\u{feff}a=1", &[("a", "1")]),
            ("a byte-order mark alone", "\u{feff}", &[]),
            ("blank lines", "a=1\n\n\n", &[("a", "1")]),
            ("an output of ours from before", "expires-in=1\navailable=false", &[]),
        ] {
            println!("case: {name}");
            let outcome = Job::github().prefill_output(before).run();
            outcome.succeeds();
            assert!(outcome.output_file.as_ref().unwrap().starts_with(before.as_bytes()));
            has_outputs(&outcome, entries);
        }
    }

    #[test]
    fn gives_later_steps_the_variable_only_when_asked() {
        for (name, job, variable) in [
            ("by flag", Job::github().arg("--export-env"), "EQUINIX_API_TOKEN"),
            ("by variable", Job::github().env("EQUINIX_WIF_EXPORT_ENV", "true"), "EQUINIX_API_TOKEN"),
            (
                "under another name",
                Job::github().args(["--export-env", "--env-name", "METAL_TOKEN"]),
                "METAL_TOKEN",
            ),
        ] {
            println!("case: {name}");
            let outcome = job.prefill_env("A=1").run();
            outcome.succeeds().stdout_is("");
            has_outputs(&outcome, &[]);
            let expected: BTreeMap<String, String> = [
                ("A".to_owned(), "1".to_owned()),
                (variable.to_owned(), outcome.access_token().to_owned()),
                (format!("{variable}_EXPIRES_AT"), outcome.outputs()["expires-at"].clone()),
            ]
            .into();
            assert_eq!(outcome.exports(), expected);
        }
        let untouched = Job::github().env("EQUINIX_WIF_EXPORT_ENV", "false").prefill_env("A=1").run();
        untouched.succeeds();
        assert_eq!(untouched.env_file.as_deref(), Some(&b"A=1"[..]));
    }

    #[test]
    fn encodes_any_audience() {
        for audience in [
            "a b",
            "a+b",
            "a&audience=c",
            "a=b?c/d;e",
            "a#b",
            "%41%26",
            "é🦀",
            "\"it's\"",
            "::add-mask::x",
            "https://host:8443/p?q=1&r#f",
        ] {
            println!("case: {audience}");
            let outcome = Job::github().audience(audience).run();
            outcome.succeeds().id_token_requests(1).sts_requests(1);
            let query = outcome.issuer.requests[0].query();
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            assert_eq!(query, [pair("api-version", "2.0"), pair("audience", audience)]);
        }
    }

    #[test]
    fn keeps_the_request_url_s_own_query() {
        for (path, target) in [
            ("/idtoken", "/idtoken?audience=a"),
            ("/idtoken?", "/idtoken?audience=a"),
            ("/idtoken?x", "/idtoken?x&audience=a"),
            ("/idtoken?x=%2F%20&y=a+b&", "/idtoken?x=%2F%20&y=a+b&audience=a"),
            ("/idtoken?Audience=b", "/idtoken?Audience=b&audience=a"),
        ] {
            println!("case: {path}");
            let job = Job::github().audience("a");
            let url = format!("{}{path}", job.issuer_url());
            let outcome = job.env(URL, url).run();
            outcome.succeeds();
            assert_eq!(outcome.issuer.requests[0].target, target);
        }
    }

    #[test]
    fn hides_the_signature_of_an_access_token_that_is_a_jwt() {
        // Its beginning differs from an ID token's, so that a leak of the one is not taken for the other.
        let jwt = token::raw(
            br#"{ "typ": "at+jwt" }"#,
            format!("{{ \"jti\": \"{}\" }}", token::random_text(30)).as_bytes(),
        );
        let (text, signature) = (jwt.clone(), token::signature_of(&jwt).unwrap().to_owned());
        let outcome = Job::github()
            .sts_answer(move |answer| {
                answer.insert("access_token".to_owned(), json!(text));
            })
            .run();
        outcome.succeeds();
        let masks: Vec<&str> =
            outcome.stderr.lines().filter_map(|line| line.strip_prefix("::add-mask::")).collect();
        assert_eq!(masks, [outcome.id_token().as_str(), &jwt, &signature]);
        // What another tool makes of the token later, its parts on lines of their own, stays hidden.
        let log = runner::read_log(&format!("{}broken up: {signature}\n", outcome.stderr));
        assert!(log.ends_with("broken up: ***\n"), "{log}");
    }

    #[test]
    fn never_masks_what_is_too_short_to_be_a_secret() {
        let outcome = Job::github()
            .sts_answer(|answer| {
                answer.insert("access_token".to_owned(), json!("opaque-but-with.two.dots"));
            })
            .run();
        outcome.succeeds().stderr_lacks("::add-mask::dots\n");
    }
}

mod without_an_id_token {
    use super::*;

    const BASE_ID: u64 = 741_852_963;

    fn pull_request(head: Value) -> Job {
        let base = json!({"repo": {"id": BASE_ID, "full_name": "octo-org/metal-app", "fork": false}});
        Job::github().event("pull_request", json!({"pull_request": {"head": {"repo": head}, "base": base}}))
    }

    fn dependabot(job: Job) -> Job {
        job.with_facts(|facts| "dependabot[bot]".clone_into(&mut facts.actor))
    }

    #[test]
    fn the_reason_is_told_from_the_event_and_the_actor() {
        let none = "gh-id-token-permission";
        let cure = "id-token: write";
        let target =
            |facts: &mut support::token::Facts| "pull_request_target".clone_into(&mut facts.event_name);
        let own = || Job::github().pull_request(false);
        let fork = || Job::github().pull_request(true);
        // Would be a deleted fork's, if the payload could be read.
        let unreadable = |path: &str| pull_request(Value::Null).env("GITHUB_EVENT_PATH", path);
        let garbage = pull_request(Value::Null).file("garbage", "}{");
        let path = garbage.root().join("garbage");
        for (name, job, code, cure) in vec![
            ("a push", Job::github(), none, cure),
            ("a pull request of the repository", own(), none, cure),
            ("a pull request from a fork", fork(), "gh-fork-pr", "Skip this step for forks"),
            ("a fork with an id", pull_request(json!({"id": 7})), "gh-fork-pr", "head.repo.full_name"),
            ("a fork that is the base", pull_request(json!({"id": BASE_ID, "fork": true})), none, cure),
            ("a fork that was deleted", pull_request(Value::Null), "gh-fork-pr", "Skip this step for forks"),
            ("a fork's by Dependabot", dependabot(fork()), "gh-fork-pr", "Skip this step for forks"),
            ("Dependabot's pull request", dependabot(own()), "gh-dependabot", "!= 'dependabot[bot]'"),
            ("Dependabot's push", dependabot(Job::github()), "gh-dependabot", "!= 'dependabot[bot]'"),
            (
                "a workflow_run after Dependabot",
                dependabot(Job::github().event("workflow_run", json!({}))),
                none,
                cure,
            ),
            ("pull_request_target from a fork", fork().with_facts(target), none, cure),
            ("no payload", unreadable(""), none, cure),
            ("a payload that is not there", unreadable("/no/such/file"), none, cure),
            ("a payload that is a folder", unreadable("/"), none, cure),
            ("a payload that is not JSON", garbage.env("GITHUB_EVENT_PATH", path), none, cure),
            ("no event", Job::github().unset("GITHUB_EVENT_NAME"), none, cure),
            ("no actor", Job::github().unset("GITHUB_ACTOR"), none, cure),
        ] {
            println!("case: {name}");
            let outcome = fails(job.without_id_token_permission(), 3, code);
            outcome.stderr_has(cure).id_token_requests(0).sts_requests(0);
            assert_eq!(outcome.report.as_ref().unwrap()["stage"], "identity");
        }
    }

    #[test]
    fn other_causes_of_missing_variables_are_told() {
        let outcome = fails(Job::github().without_id_token_permission(), 3, "gh-id-token-permission");
        outcome
            .stderr_has("docker run needs -e ACTIONS_ID_TOKEN_REQUEST_URL")
            .stderr_has("sudo")
            .stderr_has("act ");
        let unreadable = pull_request(Value::Null).env("GITHUB_EVENT_PATH", "/no/such/file");
        let outcome = fails(unreadable.without_id_token_permission(), 3, "gh-id-token-permission");
        outcome.stderr_has("if the pull request comes from a fork").stderr_has("GITHUB_EVENT_PATH could not");
        let inside = Job::github().pull_request(true).without_id_token_permission();
        let outcome = fails(inside.env("EQUINIX_WIF_EXEC", "1"), 3, "gh-id-token-permission");
        outcome
            .stderr_has("inside equinix-wif exec")
            .stderr_has("--keep-oidc-env")
            .stderr_lacks("permissions:");
    }

    #[test]
    fn a_platform_without_its_marker_is_named_with_its_flag() {
        let outcome = Job::github().unset("GITHUB_ACTIONS").run();
        assert_eq!(outcome.status, Some(3), "{}", outcome.context());
        outcome
            .stderr_has("error[ambient-not-ci]: ")
            .stderr_has("--provider github")
            .stderr_has("GITHUB_ACTIONS=true");
        let job = Job::github().unset("GITHUB_ACTIONS").args(["--provider", "github", "--format", "github"]);
        job.run().succeeds();
    }

    #[test]
    fn empty_variables_are_missing_ones() {
        let outcome = fails(Job::github().env(URL, "").env(BEARER, ""), 3, "gh-id-token-permission");
        outcome.id_token_requests(0).sts_requests(0);
    }

    #[test]
    fn event_and_actor_are_shown_but_cannot_command_the_runner() {
        let job = Job::github()
            .env("GITHUB_EVENT_NAME", "push\n::set-output name=x::y")
            .env("GITHUB_ACTOR", "##[add-path]/tmp");
        let outcome = fails(job.without_id_token_permission(), 3, "gh-id-token-permission");
        outcome.stderr_has("push : :set-output name=x: :y").stderr_has("# #[add-path]/tmp");
        let names: Vec<String> =
            runner::commands(&outcome.stderr).into_iter().map(|command| command.name).collect();
        assert_eq!(names, ["error"]);
    }

    #[test]
    fn one_of_the_two_variables_alone_is_no_missing_permission() {
        for (name, job, message) in [
            ("the URL alone", Job::github().unset(BEARER), format!("{URL} is set, but {BEARER} is not")),
            ("the bearer alone", Job::github().unset(URL), format!("{BEARER} is set, but {URL} is not")),
            ("an empty bearer", Job::github().env(BEARER, ""), format!("{URL} is set, but {BEARER} is not")),
            ("an empty URL", Job::github().env(URL, ""), format!("{BEARER} is set, but {URL} is not")),
        ] {
            println!("case: {name}");
            let outcome = fails(job, 3, "gh-request-incomplete");
            outcome.stderr_has(&message).id_token_requests(0).sts_requests(0);
        }
    }

    #[test]
    fn a_bearer_that_cannot_stand_in_a_header_goes_nowhere() {
        for bearer in [
            "one-part another-part",
            "with-a-line\nX-Header: injected",
            "with-a-return\rX-Header: injected",
            "with-an-escape\u{1b}[31m-in-it",
            "with-a-delete\u{7f}-in-it",
            "with-an-umlaut-ä-in-it",
            "trailing-newline-like-echo\n",
        ] {
            println!("case: {bearer:?}");
            let outcome = fails(Job::github().env(BEARER, bearer), 3, "gh-request-incomplete");
            outcome.sts_requests(0);
            assert_eq!(outcome.issuer.connections, 0);
        }
    }

    #[test]
    fn the_audience_has_no_default() {
        let outcome = fails(Job::github().without_flag("--audience"), 2, "cfg-audience-missing");
        outcome.stderr_has("EQUINIX_WIF_AUDIENCE").id_token_requests(0).sts_requests(0);
    }
}

mod the_request_url {
    use super::*;

    #[test]
    fn is_refused_when_it_is_not_safe_to_send_the_bearer_there() {
        let base = "pipelines.actions.githubusercontent.com/idtoken?api-version=2.0";
        for (url, reason) in [
            (format!("http://{base}"), "it is http"),
            ("http://127.0.0.1.example/idtoken".to_owned(), "it is http"),
            ("http://localhost.example/idtoken".to_owned(), "it is http"),
            ("http://10.0.0.1/idtoken".to_owned(), "it is http"),
            (format!("https://user:hunter22@{base}"), "user name"),
            (format!("https://github.com@{base}"), "user name"),
            (format!("https://{base}#x"), "fragment"),
            (format!("https://{base}&audience=sts.amazonaws.com"), "names an audience already"),
            (format!("https://{base}&%61udience=x"), "names an audience already"),
            (format!("https://{base}&audience"), "names an audience already"),
            (format!("ftp://{base}"), "scheme"),
            (base.to_owned(), "https://"),
            (format!("https://evil.example\\@{base}"), "character"),
            (format!("https://{base} HTTP/1.1"), "character"),
            (format!("https://{base}\r\nX-Header: 1"), "character"),
            ("https://".to_owned(), "URL"),
            ("https://host:99999/idtoken".to_owned(), "port"),
            (format!("https://host/{}", "x".repeat(5000)), "too long"),
        ] {
            println!("case: {url}");
            let outcome = fails(Job::github().secret("hunter22").env(URL, url), 10, "insecure-url");
            outcome.stderr_has(reason).sts_requests(0);
            assert_eq!(outcome.issuer.connections, 0);
            assert_eq!(outcome.report.as_ref().unwrap()["stage"], "identity");
        }
    }

    /// Everything goes through a proxy that refuses, so that hosts can be named that are not on this machine.
    #[test]
    fn is_remarked_on_when_its_host_is_not_the_platform_s() {
        for (url, server, remarked) in [
            ("https://pipelines.actions.githubusercontent.com/x?a=b", "https://github.com", false),
            ("https://run-actions-3.actions.githubusercontent.com/x", "https://github.com", false),
            ("https://pipelines.octocorp.ghe.com/x", "https://octocorp.ghe.com", false),
            ("https://git.example:8443/_services/pipelines/x", "https://git.example", false),
            ("https://elsewhere.example/x", "https://github.com", true),
            ("https://githubusercontent.com/x", "https://github.com", true),
            ("https://actions.githubusercontent.com.example/x", "https://github.com", true),
            ("https://notgit.example/x", "https://git.example", true),
            ("https://elsewhere.example/x", "not a URL", true),
        ] {
            println!("case: {url} of {server}");
            let proxy = Server::start(|_: &Request| Reply::status(407));
            let job = Job::github().env("HTTPS_PROXY", proxy.url()).env(URL, url);
            let outcome = fails(job.env("GITHUB_SERVER_URL", server), 2, "proxy-auth");
            outcome.nothing_secret_at(&proxy).sts_requests(0);
            let host = url.split('/').nth(2).unwrap();
            let warning = format!("{URL} leads to https://{host}, which is neither GitHub's host");
            assert_eq!(outcome.stderr.contains(&warning), remarked, "{}", outcome.context());
            assert_eq!(proxy.requests()[0].method, "CONNECT");
        }
    }
}

mod the_issuer {
    use super::*;

    const CLOUD: &str = "https://token.actions.githubusercontent.com";

    fn of(server: &str, issuer: &str) -> Job {
        let issuer = issuer.to_owned();
        Job::github().env("GITHUB_SERVER_URL", server).claims(move |claims| {
            claims.insert("iss".to_owned(), json!(issuer));
        })
    }

    #[test]
    fn follows_from_the_server() {
        for (server, issuer) in [
            ("https://github.com", CLOUD.to_owned()),
            ("https://github.com/", CLOUD.to_owned()),
            ("", CLOUD.to_owned()),
            ("https://github.com", format!("{CLOUD}/octo-enterprise")),
            ("https://octocorp.ghe.com", "https://token.actions.octocorp.ghe.com".to_owned()),
            ("https://octocorp.ghe.com", "https://token.actions.octocorp.ghe.com/octocorp".to_owned()),
            ("https://git.example", "https://git.example/_services/token".to_owned()),
            ("https://git.example:8443", "https://git.example:8443/_services/token".to_owned()),
        ] {
            println!("case: {server} {issuer}");
            let outcome = of(server, &issuer).run();
            outcome.succeeds().sts_requests(1);
            assert_eq!(outcome.outputs()["issuer"], issuer);
        }
    }

    #[test]
    fn of_another_server_is_refused_before_the_sts_is_asked() {
        for (server, issuer) in [
            ("https://github.com", format!("{CLOUD}/")),
            ("https://github.com", format!("{CLOUD}/a/b")),
            ("https://github.com", format!("{CLOUD}/..")),
            ("https://github.com", format!("{CLOUD}.evil.example")),
            ("https://github.com", format!("{CLOUD}:443")),
            ("https://github.com", "https://github.com/_services/token".to_owned()),
            ("https://github.com", "https://token.actions.octocorp.ghe.com".to_owned()),
            ("https://octocorp.ghe.com", CLOUD.to_owned()),
            ("https://git.example", CLOUD.to_owned()),
            ("https://git.example", "https://git.example/_services/token/slug".to_owned()),
            ("https://github.com.evil.example", CLOUD.to_owned()),
        ] {
            println!("case: {server} {issuer}");
            let outcome = fails(of(server, &issuer), 5, "claim-iss");
            outcome.id_token_requests(1).sts_requests(0).stderr_has(&format!("\"{issuer}\""));
            assert_eq!(outcome.report.as_ref().unwrap()["claims"]["iss"], json!(issuer));
        }
    }
}

mod refusals {
    use super::*;

    #[test]
    fn that_are_permanent_end_the_run_at_once() {
        for (status, hint) in [
            (400, "self-hosted runner"),
            (401, "not accepted"),
            (403, "id-token: write"),
            (404, "no such endpoint"),
            (405, ""),
            (410, ""),
            (422, ""),
            (501, ""),
            (201, ""),
            (204, ""),
            (206, ""),
        ] {
            println!("case: {status}");
            let reply = saying(status, "no ::add-path::/x ##[error]for you\u{1b}[31m");
            let reply = if status == 204 { Reply::status(204) } else { reply };
            let outcome = fails(Job::github().id_token_always(reply), 4, "id-token-http");
            outcome.id_token_requests(1).sts_requests(0).stderr_has(&format!("({status})")).stderr_has(hint);
            if status != 204 {
                outcome.stderr_has("GitHub says: \"no : :add-path: :/x # #[error]for you[31m\"");
            }
            let report = outcome.report.as_ref().unwrap();
            assert_eq!((&report["http_status"], &report["attempts"]), (&json!(status), &json!(1)));
        }
    }

    #[test]
    fn that_quote_the_bearer_or_a_token_are_not_passed_on() {
        let bearer = token::random_text(60);
        let echo = format!("you sent {bearer} and {}", Token::new(json!({})).mint());
        let job = Job::github().env(BEARER, &bearer).id_token_always(saying(400, &echo));
        let outcome = fails(job, 4, "id-token-http");
        outcome.stderr_has("GitHub says: \"you sent *** and ***\"");
    }

    #[test]
    fn that_are_redirects_are_not_followed() {
        let watched = Server::start(|_: &Request| with_value(json!("x.y.z")));
        for status in [301, 302, 303, 307, 308, 304] {
            println!("case: {status}");
            let location = format!("{}/idtoken?secret-path", watched.url());
            let reply = Reply::status(status).header("Location", location);
            let outcome = fails(Job::github().id_token_always(reply), 4, "id-token-redirect");
            outcome
                .id_token_requests(1)
                .sts_requests(0)
                .stderr_has(&watched.url())
                .stderr_lacks("secret-path");
            outcome.nothing_secret_at(&watched);
            assert_eq!(watched.connections(), 0);
        }
        for (name, reply) in [
            ("to itself", Reply::status(307).header("Location", "/idtoken?again")),
            ("to nowhere", Reply::status(302)),
        ] {
            println!("case: {name}");
            let outcome = fails(Job::github().id_token_always(reply), 4, "id-token-redirect");
            outcome.id_token_requests(1).sts_requests(0);
        }
    }

    #[test]
    fn that_pass_are_tried_again() {
        for status in [408, 409, 425, 429, 500, 502, 503, 504] {
            println!("case: {status}");
            let reply = saying(status, "later").header("Retry-After", "0");
            let outcome = Job::github().id_token_reply(reply).run();
            outcome.succeeds().id_token_requests(2).sts_requests(1);
            let code = if status == 429 { "rate-limited" } else { "server-error" };
            outcome.stderr_has(&format!("fetching the ID token: attempt 1 failed ({code})"));
            outcome.stderr_lacks("later");
        }
    }

    #[test]
    fn that_do_not_pass_end_at_the_deadline() {
        for (status, code) in [(429, "rate-limited"), (503, "server-error")] {
            println!("case: {status}");
            let reply = Reply::status(status).header("Retry-After", "0").body("<html>busy</html>");
            let outcome = fails(Job::github().args(["--timeout", "2"]).id_token_always(reply), 8, code);
            let report = outcome.report.as_ref().unwrap();
            assert_eq!(&report["stage"], &json!("identity"));
            let attempts = usize::try_from(report["attempts"].as_u64().unwrap()).unwrap();
            assert!(attempts > 1, "{attempts}");
            outcome.id_token_requests(attempts).sts_requests(0).stderr_lacks("busy");
        }
    }

    #[test]
    fn for_a_job_that_does_not_count_as_running_yet_are_tried_again() {
        let pending = || saying(403, "Can't issue ID_TOKEN for job in 'Pending' state");
        let outcome = Job::github().id_token_reply(pending()).run();
        outcome.succeeds().id_token_requests(2).sts_requests(1).stderr_has("(id-token-not-ready)");
        let job = Job::github().args(["--timeout", "2"]).id_token_always(pending());
        let outcome = fails(job, 8, "id-token-not-ready");
        outcome.sts_requests(0).stderr_has("Pending");
        assert!(outcome.issuer.requests.len() > 1, "it was tried again");
    }

    #[test]
    fn that_ask_for_more_patience_than_there_is_end_the_run_now() {
        let reply = Reply::status(503).header("Retry-After", "3600");
        let outcome = fails(Job::github().id_token_always(reply), 8, "server-error");
        outcome.id_token_requests(1).within(std::time::Duration::from_secs(10));
    }
}

mod answers {
    use super::*;

    fn html(status: u16) -> Reply {
        Reply::status(status).header("Content-Type", "text/html").body("<html>Sign in to the WLAN</html>")
    }

    #[test]
    fn without_a_usable_token_are_refused() {
        let good = Job::github().mint();
        let text = |body: &str| Reply::json(&Value::Null).body(body);
        let utf16: Vec<u8> = "{\"value\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let huge = format!("{good}{}", "A".repeat(16 << 10));
        let two_lines = format!("{good}\n::set-env name=A::b");
        let latin1 = Reply::json(&Value::Null).body(&b"{\"value\":\"\xff\"}"[..]);
        let compressed = with_value(json!(good)).header("Content-Encoding", "gzip");
        let (bad, no_json, large) = ("id-token-malformed", "id-token-not-json", "id-token-too-large");
        for (name, reply, code, reason) in [
            ("no value", Reply::json(&json!({"count": 1})), bad, "value is missing"),
            ("null", with_value(Value::Null), bad, "value is null"),
            ("a number", with_value(json!(7)), bad, "value is a number"),
            ("an object", with_value(json!({"token": "x"})), bad, "value is an object"),
            ("an empty text", with_value(json!("")), bad, "is empty"),
            ("no JWT", with_value(json!("opaque-text-of-some-length")), bad, "dot-separated parts: 1"),
            ("a padded JWT", with_value(json!(format!(" {good}"))), bad, "character"),
            ("a JWT with a line after it", with_value(json!(two_lines)), bad, "character"),
            ("a huge JWT", with_value(json!(huge)), large, "bytes"),
            ("HTML", html(200), no_json, "\"text/html\""),
            ("nothing", Reply::status(200), no_json, "0 bytes of no media type"),
            ("an array", Reply::json(&json!([good])), no_json, "an array"),
            ("a text", Reply::json(&json!(good)), no_json, "a string"),
            ("JSON cut short", text("{\"value\": \"x.y"), no_json, "not valid JSON"),
            ("two values", text("{\"value\":\"a.b.c\",\"value\":\"d.e.f\"}"), no_json, "twice"),
            ("more after it", text("{\"value\":\"a.b.c\"} {}"), no_json, "follows"),
            ("a byte-order mark", text("\u{feff}{\"value\":\"a.b.c\"}"), no_json, "byte-order mark"),
            ("UTF-16", Reply::json(&Value::Null).body(utf16), no_json, "not valid JSON"),
            ("not UTF-8", latin1, no_json, "not UTF-8"),
            ("nested deeply", text(&"[".repeat(100_000)), no_json, "nested too deeply"),
            ("compressed", compressed, no_json, "compressed"),
            ("endless", with_value(json!(good)).endless_body(), large, "256 KiB"),
            ("endless headers", Reply::status(200).endless_head(), large, "16 KiB"),
        ] {
            println!("case: {name}");
            let outcome = fails(Job::github().id_token_always(reply), 4, code);
            outcome.id_token_requests(1).sts_requests(0).stderr_has(reason).stderr_lacks("WLAN");
        }
    }

    #[test]
    fn may_be_chunked_and_have_more_members() {
        let good = |job: &Job| json!({"count": 4, "value": job.mint(), "future": [{"a": null}]});
        let job = Job::github();
        let reply = Reply::json(&good(&job)).chunked();
        job.id_token_reply(reply).run().succeeds().id_token_requests(1).sts_requests(1);
    }
}
