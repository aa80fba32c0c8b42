//! The grants that need a stored secret: client credentials, the STS's own, refresh tokens and the retired password.

#![cfg(feature = "classic-grants")]

use std::fs;

use serde_json::{Value, json};

use crate::support;
use support::job::{Job, classic_error, classic_success};
use support::outcome::Outcome;
use support::server::{Reply, Request};

/// The names of the members that were sent, and those of the headers, in their order.
fn sent(request: &Request) -> (Vec<String>, Vec<String>) {
    let body = request.json().unwrap();
    let members = body.as_object().unwrap().keys().cloned().collect();
    let headers = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    (members, headers)
}

fn body(request: &Request) -> Value {
    request.json().unwrap()
}

fn paths(outcome: &Outcome) -> Vec<&str> {
    outcome.sts.requests.iter().map(Request::path).collect()
}

/// A job on a laptop with a client's id and secret.
fn laptop() -> Job {
    Job::bare().grant("client-credentials").client()
}

mod client_credentials {
    use super::*;

    #[test]
    fn one_request_with_three_members_gives_a_token_without_any_platform() {
        let outcome = laptop().token_on_stdout().run();
        outcome.succeeds().sts_requests(1);
        let request = &outcome.sts.requests[0];
        assert_eq!((request.method.as_str(), request.path()), ("POST", "/oauth2/v1/token"));
        let (members, headers) = sent(request);
        assert_eq!(members, ["client_id", "client_secret", "grant_type"], "sorted by the reader");
        assert!(request.body.starts_with(br#"{"grant_type":"client_credentials","client_id":""#));
        assert_eq!(body(request)["grant_type"], "client_credentials");
        assert!(!headers.contains(&"authorization".to_owned()), "{headers:?}");
        let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
        assert_eq!(answer["access_token"], outcome.access_token());
        assert_eq!(answer["expires_in"], 3599);
        assert!(answer.get("scope").is_none(), "{answer}");
        assert_eq!(outcome.report.as_ref().unwrap()["settings"]["grant"]["value"], "client-credentials");
    }

    #[test]
    fn on_github_everything_is_masked_before_it_is_sent() {
        let outcome = Job::github().grant("client-credentials").client().run();
        outcome.succeeds().sts_requests(1).id_token_requests(0);
        assert_eq!(outcome.outputs()["access-token"], outcome.access_token());
        let masks = outcome.stderr.lines().filter(|line| line.starts_with("::add-mask::")).count();
        assert_eq!(masks, 3, "{}", outcome.stderr);
    }

    #[test]
    fn a_gitlab_job_gets_a_file_to_source() {
        let outcome = Job::gitlab().grant("client-credentials").client().run();
        outcome.succeeds();
        let path = outcome.printed_path().unwrap();
        let text = String::from_utf8_lossy(&outcome.files[&path]).into_owned();
        assert!(text.contains(&format!("export EQUINIX_API_TOKEN='{}'", outcome.access_token())), "{text}");
    }

    #[test]
    fn both_spellings_of_the_variables_are_read_and_have_to_agree() {
        for (id, secret) in [
            ("EQUINIX_API_CLIENTID", "EQUINIX_API_CLIENTSECRET"),
            ("EQUINIX_CLIENT_ID", "EQUINIX_CLIENT_SECRET"),
            ("EQUINIX_API_CLIENTID", "EQUINIX_CLIENT_SECRET"),
        ] {
            let job = Job::bare().grant("client-credentials").token_on_stdout();
            let outcome = job.env(id, "an-id-of-ours").env(secret, "a-secret-of-ours\n").run();
            outcome.succeeds();
            let body = body(&outcome.sts.requests[0]);
            assert_eq!(
                (&body["client_id"], &body["client_secret"]),
                (&json!("an-id-of-ours"), &json!("a-secret-of-ours"))
            );
        }
        let outcome = laptop().env("EQUINIX_CLIENT_SECRET", "another-secret-of-ours").run();
        outcome.fails(2, "cfg-credentials-conflict").sts_requests(0);
        outcome.stderr_has(
            "EQUINIX_API_CLIENTSECRET and EQUINIX_CLIENT_SECRET are both set, to different values",
        );
    }

    #[test]
    fn without_credentials_a_run_can_go_on_as_forks_do() {
        let job = || Job::github().grant("client-credentials");
        let outcome = job().run();
        outcome.fails(3, "client-credentials-missing").sts_requests(0);
        let outcome = job().args(["--on-unavailable", "skip"]).run();
        outcome.succeeds().sts_requests(0);
        assert_eq!(outcome.outputs()["available"], "false");
        assert_eq!(outcome.outputs()["reason"], "missing-credentials");
        let half = job().env("EQUINIX_API_CLIENTID", "an-id-of-ours").run();
        half.fails(3, "client-credentials-missing");
        half.stderr_has("the client id is set, but the client secret is not");
    }

    #[test]
    fn the_secret_comes_from_a_file_or_from_standard_input_as_well() {
        let job = || {
            laptop().unset("EQUINIX_API_CLIENTSECRET").token_on_stdout().stored_secret("file-secret-of-ours")
        };
        let outcome = job().file("secret", "file-secret-of-ours\r\n");
        let path = outcome.root().join("secret");
        let outcome = outcome.arg("--client-secret-file").arg(path).run();
        outcome.succeeds();
        assert_eq!(body(&outcome.sts.requests[0])["client_secret"], "file-secret-of-ours");
        let outcome = job().args(["--client-secret-file", "-"]).stdin("file-secret-of-ours\n").run();
        outcome.succeeds();
        assert_eq!(body(&outcome.sts.requests[0])["client_secret"], "file-secret-of-ours");
        // A file wins over the variable, as every flag does.
        let outcome =
            laptop().token_on_stdout().args(["--client-secret-file", "-"]).stdin("file-secret-of-ours").run();
        assert_eq!(body(&outcome.succeeds().sts.requests[0])["client_secret"], "file-secret-of-ours");
    }

    #[test]
    fn what_cannot_be_a_secret_is_never_sent() {
        for secret in ["short", "with\nline", "blank at the end "] {
            let outcome = laptop().env("EQUINIX_API_CLIENTSECRET", secret).run();
            outcome.fails(2, "cfg-secret-invalid").sts_requests(0);
            outcome.stderr_lacks(secret.trim());
        }
        let outcome = laptop().args(["--client-secret-file", "/dev/zero"]).run();
        outcome.fails(2, "cfg-secret-file").sts_requests(0);
        let outcome = laptop().args(["--client-secret-file", "/no/such/file"]).run();
        outcome.fails(2, "cfg-secret-file").stderr_has("there is no such file");
    }

    #[test]
    fn a_variable_that_nobody_has_expanded_is_none() {
        for text in ["$STORED_SECRET", "${STORED_SECRET}", "%STORED_SECRET%"] {
            let job = || laptop().env("EQUINIX_API_CLIENTSECRET", text).token_on_stdout();
            let outcome = job().run();
            outcome.fails(3, "client-credentials-missing").sts_requests(0);
            outcome.stderr_has("EQUINIX_API_CLIENTSECRET holds the unexpanded text");
            let outcome = job().args(["--on-unavailable", "skip"]).run();
            outcome.require(outcome.status == Some(0), "the exit status is 0");
            outcome.sts_requests(0);
        }
    }

    #[test]
    fn a_planted_variable_of_another_platform_makes_no_mask_line_with_a_secret() {
        for name in ["ACTIONS_ID_TOKEN_REQUEST_URL", "ACTIONS_ID_TOKEN_REQUEST_TOKEN"] {
            for job in [Job::gitlab(), Job::gitlab().grant("client-credentials").client()] {
                job.env(name, "https://planted.example").run().succeeds().stderr_lacks("add-mask");
            }
        }
    }

    #[test]
    fn a_secret_that_was_given_as_a_path_is_not_shown() {
        let secret = "the-secret-in-place-of-its-path";
        let outcome = laptop().args(["--client-secret-file", secret]).run();
        outcome.fails(2, "cfg-secret-file").sts_requests(0).stderr_lacks(secret);
        assert!(!outcome.report.as_ref().unwrap().to_string().contains(secret));
        let outcome = laptop().args(["--client-secret-file", "no/such/file"]).run();
        outcome.fails(2, "cfg-secret-file").stderr_has("no/such/file");
    }

    #[test]
    fn two_platforms_at_once_are_an_error() {
        let outcome = Job::gitlab().env("GITHUB_ACTIONS", "true").grant("client-credentials").client().run();
        outcome.fails(2, "cfg-provider-ambiguous").sts_requests(0);
        outcome.stderr_has("GITHUB_ACTIONS or GITLAB_CI").stderr_lacks("add-mask");
    }

    #[test]
    fn settings_of_other_grants_are_refused_as_flags_and_left_aside_as_variables() {
        for flags in [
            ["--scope", "roleassignments:o"],
            ["--audience", "a"],
            ["--provider", "github"],
            ["--subject-token-env", "TOKEN"],
            ["--sts-endpoint", "https://sts.eqix.equinix.com"],
            ["--refresh-token-file", "x"],
            ["--user-name", "u"],
        ] {
            let outcome = laptop().args(flags).run();
            outcome.fails(2, "cfg-grant-mismatch").sts_requests(0);
            outcome.stderr_has(&format!("{} is set, but the grant client-credentials", flags[0]));
        }
        let outcome = laptop()
            .token_on_stdout()
            .env("EQUINIX_TOKEN_EXCHANGE_SCOPE", "not a scope at all")
            .env("EQUINIX_WIF_AUDIENCE", "a")
            .env("EQUINIX_STS_ENDPOINT", "http://example.com")
            .env("EQUINIX_API_USERNAME", "somebody")
            .run();
        outcome.succeeds();
        // The other way round as well.
        let outcome = Job::github().args(["--client-secret-file", "x"]).run();
        outcome.fails(2, "cfg-grant-mismatch").stderr_has("--grant client-credentials");
    }

    #[test]
    fn exec_takes_the_secrets_away_from_the_command() {
        let script = r#"test -n "$EQUINIX_API_TOKEN"; echo "id=${EQUINIX_API_CLIENTID-gone} secret=${EQUINIX_API_CLIENTSECRET-gone} other=${EQUINIX_CLIENT_ID-gone}${EQUINIX_CLIENT_SECRET-gone}""#;
        let outcome = laptop().exec(["sh", "-ec", script]).run();
        outcome.succeeds().stdout_is("id=gone secret=gone other=gonegone\n");
        let keeps = r#"test -n "$EQUINIX_API_CLIENTID" && test -n "$EQUINIX_API_CLIENTSECRET""#;
        laptop().arg("--keep-secrets").exec(["sh", "-ec", keeps]).run().succeeds();
        // Whoever exchanges a token has no use for them either.
        let outcome = Job::github().client().exec(["sh", "-ec", script]).run();
        outcome.succeeds().stdout_is("id=gone secret=gone other=gonegone\n");
    }
}

mod answers {
    use super::*;

    fn answered(reply: Reply) -> Outcome {
        laptop().sts_always(reply).run()
    }

    #[test]
    fn a_refusal_is_final_whatever_its_status_and_says_why() {
        let camel = json!({
            "errorDomain": "apps-fqa",
            "errorTitle": "Login Failure",
            "errorCode": "S1006",
            "developerMessage": "Login Failure, please try again",
            "errorMessage": "Login Failure, please try again.",
        });
        for status in [400, 401, 429, 500, 502, 503] {
            let outcome = answered(Reply::status(status).json_body(&camel));
            outcome.fails(6, "api-login-failed").sts_requests(1);
            outcome.stderr_has("Equinix says: \"Login Failure, please try again. (S1006)\"");
            outcome.stderr_has("an account locks after five wrong attempts in a row");
        }
        for (reply, code) in [
            (classic_error(400, "4001", "The user account is LOCKED."), "api-account-locked"),
            (classic_error(400, "4002", "the request is not valid"), "api-denied"),
            (classic_error(500, "4002", "the request is not valid"), "api-denied"),
            (classic_error(401, "4003", "no"), "api-login-failed"),
            (Reply::status(400).json_body(&json!({"error": "invalid_client"})), "api-login-failed"),
            (Reply::status(403), "api-denied"),
            (Reply::status(404), "api-endpoint-not-found"),
            (Reply::status(302).header("Location", "https://login.example/x"), "api-redirect"),
        ] {
            answered(reply).fails(6, code).sts_requests(1);
        }
    }

    #[test]
    fn an_outage_is_not_asked_twice() {
        for status in [429, 502, 503, 504] {
            let code = if status == 429 { "rate-limited" } else { "server-error" };
            let outcome = answered(Reply::status(status).header("Retry-After", "1").body("<html>"));
            outcome.fails(8, code).sts_requests(1);
            outcome.stderr_has("not tried again: an account locks");
        }
        // The answer was lost after the secret had left.
        let outcome = answered(Reply::close());
        outcome.fails(8, "net-reset").sts_requests(1);
        outcome.stderr_has("not tried again: an account locks");
    }

    #[test]
    fn a_connection_that_failed_before_anything_was_sent_is_tried_again() {
        let outcome = laptop().tls().token_on_stdout().sts_reply(Reply::close_unread()).run();
        outcome.succeeds();
        assert_eq!(outcome.sts.requests.len(), 1, "the secret was sent once");
    }

    #[test]
    fn what_cannot_be_read_is_no_success_and_not_tried_again() {
        for (reply, code) in [
            (Reply::status(200).header("Content-Type", "text/html").body("<html>"), "api-not-json"),
            (Reply::status(200).header("Content-Type", "application/json").body("{"), "api-not-json"),
            (Reply::json(&json!({})), "api-response-invalid"),
            (Reply::status(204), "api-unexpected-status"),
        ] {
            let outcome = answered(reply);
            outcome.fails(7, code).sts_requests(1);
            outcome.stderr_has("not tried again: an account locks");
        }
        let mut short = classic_success();
        short["token_timeout"] = json!("59");
        answered(Reply::json(&short)).fails(7, "token-ttl-too-short");
    }

    #[test]
    fn an_unknown_life_is_taken_for_an_hour_and_with_strict_for_an_error() {
        let mut odd = classic_success();
        odd["token_timeout"] = json!("soon");
        let outcome = laptop().token_on_stdout().sts_always(Reply::json(&odd)).run();
        outcome.succeeds().stderr_has("token_timeout is \"soon\"; the token is taken to live an hour");
        let outcome = laptop().sts_always(Reply::json(&odd)).args(["--validation", "strict"]).run();
        outcome.fails(7, "api-response-invalid");
    }

    #[test]
    fn a_token_of_the_answer_is_cut_out_of_what_is_said_about_the_answer() {
        let answer = classic_success();
        let token = answer["access_token"].as_str().unwrap().to_owned();
        for (member, code) in [("token_type", 7), ("error", 7), ("token_timeout", 0)] {
            let mut answer = answer.clone();
            answer[member] = json!(token);
            let outcome = laptop().token_on_stdout().sts_always(Reply::json(&answer)).run();
            outcome.require(outcome.status == Some(code), member);
            outcome.stderr_lacks(&token);
        }
    }

    #[test]
    fn an_echo_of_a_short_secret_with_the_signs_of_a_command_is_cut_out() {
        for secret in ["pass::word", "K##1##2##3"] {
            let job = laptop().env("EQUINIX_API_CLIENTSECRET", secret).stored_secret(secret);
            let said = format!("the secret {secret} is wrong");
            let outcome = job.sts_always(classic_error(400, "4001", &said)).run();
            outcome.fails(6, "api-denied").stderr_has("the secret *** is wrong");
        }
    }

    #[test]
    fn an_echo_of_the_secret_is_cut_out() {
        let job = laptop()
            .env("EQUINIX_API_CLIENTSECRET", "the-secret-that-is-echoed")
            .stored_secret("the-secret-that-is-echoed");
        let outcome =
            job.sts_always(classic_error(400, "4001", "the secret the-secret-that-is-echoed is wrong")).run();
        outcome.fails(6, "api-denied");
    }
}

mod sts_client_credentials {
    use super::*;

    fn job() -> Job {
        Job::bare().grant("sts-client-credentials").token_on_stdout()
    }

    #[test]
    fn the_classic_token_introduces_the_client_to_the_sts() {
        let outcome = job().client().run();
        outcome.succeeds();
        assert_eq!(paths(&outcome), ["/oauth2/v1/token", "/use/token"]);
        let request = &outcome.sts.requests[1];
        let form = request.form();
        let names: Vec<_> = form.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["grant_type", "scope"]);
        assert_eq!(form[0].1, "client_credentials");
        assert!(request.header("authorization").unwrap().starts_with("Bearer "));
    }

    #[test]
    fn a_token_that_is_there_is_used_and_nothing_else() {
        let caller = "a-classic-token-0123456789";
        let outcome = job().env("EQUINIX_API_TOKEN", caller).sts_bearer(caller).run();
        outcome.succeeds();
        assert_eq!(paths(&outcome), ["/use/token"]);
        assert_eq!(
            outcome.sts.requests[0].header("authorization"),
            Some("Bearer a-classic-token-0123456789")
        );
        // A refusal of it does not lead to another attempt with the client's secret.
        let refused = Reply::status(400).json_body(&json!({"error": "invalid_client"}));
        let outcome =
            job().client().env("EQUINIX_API_TOKEN", caller).sts_bearer(caller).sts_always(refused).run();
        outcome.fails(6, "sts-denied");
        assert_eq!(paths(&outcome), ["/use/token"]);
        outcome.stderr_has("the STS refused the request: \"invalid_client\" (400)");
    }

    #[test]
    fn a_header_is_no_token() {
        let caller = "a-classic-token-0123456789";
        let job = job().env("EQUINIX_API_TOKEN", format!("Bearer {caller}")).sts_bearer(caller);
        job.run().fails(2, "cfg-secret-invalid").sts_requests(0).stderr_has("holds a blank");
    }

    #[test]
    fn v1_has_no_such_grant_and_a_scope_is_needed() {
        let outcome = job().client().args(["--sts-api", "v1"]).run();
        outcome.fails(2, "cfg-grant-mismatch").sts_requests(0);
        let outcome = job().client().without_flag("--scope").run();
        outcome.fails(2, "cfg-scope-missing").sts_requests(0);
        job().run().fails(3, "client-credentials-missing").sts_requests(0);
    }
}

mod refresh_token {
    use super::*;

    fn job() -> Job {
        Job::bare().grant("refresh-token").client()
    }

    const OLD: &str = "aBiLmo8zsMX345MSaHHI-qwErtY8";

    /// The length of the new ones that the server gives.
    const NEW: usize = 54;

    /// What the file holds now.
    fn kept(outcome: &Outcome, path: &str) -> String {
        fs::read_to_string(outcome.root().join(path)).unwrap()
    }

    #[test]
    fn a_new_one_replaces_the_old_one_in_its_file() {
        let outcome = job().refresh_token_in("refresh", OLD).token_on_stdout().run();
        outcome.succeeds().sts_requests(1);
        let request = &outcome.sts.requests[0];
        assert_eq!(request.path(), "/oauth2/v1/refreshaccesstoken");
        assert_eq!(sent(request).0, ["client_id", "client_secret", "refresh_token"]);
        let kept = kept(&outcome, "refresh");
        assert_ne!(kept, OLD);
        assert_eq!(kept.len(), NEW);
        assert!(!outcome.stdout.contains(&kept));
    }

    #[test]
    fn it_can_go_elsewhere_and_the_old_file_stays() {
        let outcome =
            job().refresh_token_in("refresh", OLD).refresh_token_output("newer").token_on_stdout().run();
        outcome.succeeds();
        assert_eq!(kept(&outcome, "refresh"), OLD);
        assert_eq!(kept(&outcome, "newer").len(), NEW);
    }

    #[test]
    fn an_answer_without_one_leaves_the_file() {
        let mut answer = classic_success();
        answer.as_object_mut().unwrap().retain(|name, _| !name.starts_with("refresh_token"));
        let outcome =
            job().refresh_token_in("refresh", OLD).sts_always(Reply::json(&answer)).token_on_stdout().run();
        outcome.succeeds();
        assert_eq!(kept(&outcome, "refresh"), OLD);
    }

    #[test]
    fn the_new_one_is_safe_before_anything_else_can_fail() {
        let mut short = classic_success();
        short["token_timeout"] = json!("30");
        let outcome = job().refresh_token_in("refresh", OLD).sts_always(Reply::json(&short)).run();
        outcome.fails(7, "token-ttl-too-short");
        assert_eq!(kept(&outcome, "refresh").len(), NEW);
        let mut odd = classic_success();
        odd["token_timeout"] = json!("soon");
        let outcome = job()
            .refresh_token_in("refresh", OLD)
            .sts_always(Reply::json(&odd))
            .args(["--validation", "strict"])
            .run();
        outcome.fails(7, "api-response-invalid");
        assert_eq!(kept(&outcome, "refresh").len(), NEW);
    }

    #[test]
    fn the_new_one_is_kept_even_if_the_answer_is_worth_nothing_otherwise() {
        for (member, value) in [
            ("token_timeout", json!("0")),
            ("token_type", json!("MAC")),
            ("access_token", json!("no token at all")),
            ("access_token", json!(null)),
            ("error", json!("server_error")),
        ] {
            let mut answer = classic_success();
            answer[member] = value;
            let new = answer["refresh_token"].as_str().unwrap().to_owned();
            let outcome = job().refresh_token_in("refresh", OLD).sts_always(Reply::json(&answer)).run();
            outcome.fails(7, "api-response-invalid").sts_requests(1).stderr_has("not tried again");
            assert_eq!(kept(&outcome, "refresh"), new, "{member}");
        }
        // What cannot be one leaves the old one where it is.
        for value in [json!("two\nlines of a text"), json!("short"), json!(7)] {
            let mut answer = classic_success();
            answer["refresh_token"] = value;
            let outcome = job().refresh_token_in("refresh", OLD).sts_always(Reply::json(&answer)).run();
            outcome.fails(7, "api-response-invalid");
            assert_eq!(kept(&outcome, "refresh"), OLD);
        }
    }

    #[test]
    fn nothing_is_sent_when_a_new_one_would_have_no_place() {
        let outcome = job().args(["--refresh-token-file", "-"]).stdin(OLD).stored_secret(OLD).run();
        outcome.fails(2, "cfg-value-invalid").sts_requests(0);
        outcome.stderr_has("--refresh-token-output");
        let outcome = job()
            .args(["--refresh-token-file", "-"])
            .stdin(OLD)
            .stored_secret(OLD)
            .refresh_token_output("newer")
            .token_on_stdout()
            .run();
        outcome.succeeds();
        assert_eq!(kept(&outcome, "newer").len(), NEW);
        let outcome =
            job().refresh_token_in("refresh", OLD).refresh_token_output("no/such/folder/newer").run();
        outcome.fails(9, "out-open").sts_requests(0);
        job().run().fails(3, "client-credentials-missing").sts_requests(0);
    }

    #[test]
    fn one_file_is_not_taken_for_two_things() {
        const SECRET: &str = "the-secret-in-a-file-of-its-own";
        let with_file = || {
            let job = job().refresh_token_in("refresh", OLD);
            let (refresh, secret) = (job.root().join("refresh"), job.root().join("secret"));
            (job.stored_secret(SECRET).file(&secret, SECRET), refresh, secret)
        };
        let same = |job: Job, path: &str, content: &str| {
            let outcome = job.run();
            outcome.fails(2, "cfg-value-invalid").sts_requests(0).stderr_has("name the same file");
            assert_eq!(kept(&outcome, path), content);
        };
        let (job, refresh, _) = with_file();
        same(job.arg("--output").arg(&refresh), "refresh", OLD);
        let (job, _, secret) = with_file();
        same(job.arg("--client-secret-file").arg(&secret).arg("--output").arg(secret), "secret", SECRET);
        let (job, _, secret) = with_file();
        let job = job.arg("--client-secret-file").arg(&secret).arg("--refresh-token-output").arg(secret);
        same(job, "secret", SECRET);
        let (job, refresh, _) = with_file();
        // Another way to the same file.
        let detour = refresh.parent().unwrap().join(".").join("refresh");
        same(job.arg("--client-secret-file").arg(detour), "refresh", OLD);
    }

    #[test]
    fn a_report_is_not_written_over_a_secret() {
        for flags in [&[][..], &["--no-such-flag"]] {
            let job = job().without_report().refresh_token_in("refresh", OLD);
            let refresh = job.root().join("refresh");
            let outcome = job.arg("--report").arg(refresh).args(flags.iter().copied()).run();
            outcome.require(outcome.status == Some(2), "the exit status is 2");
            outcome.sts_requests(0);
            assert_eq!(kept(&outcome, "refresh"), OLD);
        }
    }

    #[test]
    fn the_hint_about_its_file_names_its_own_flag() {
        let job = Job::github().grant("refresh-token").client();
        let path = job.workspace().join("refresh");
        let outcome = job.refresh_token_in(path, OLD).run();
        outcome.fails(10, "out-in-workspace").sts_requests(0);
        outcome.stderr_has("--refresh-token-output \"").stderr_lacks("--output \"");
    }

    #[test]
    fn a_refusal_leaves_the_file() {
        let outcome = job()
            .refresh_token_in("refresh", OLD)
            .sts_always(classic_error(400, "4001", "Please enter a valid refresh token"))
            .run();
        outcome.fails(6, "api-denied").sts_requests(1);
        assert_eq!(kept(&outcome, "refresh"), OLD);
    }
}

mod password {
    use super::*;

    fn job() -> Job {
        Job::bare()
            .grant("password")
            .client()
            .env("EQUINIX_API_USERNAME", "octo-user")
            .args(["--password-file", "-"])
            .stdin("abcdefghijklmnopqrstuvwxyz\n")
            .stored_secret("abcdefghijklmnopqrstuvwxyz")
    }

    #[test]
    fn it_is_retired_and_goes_on_only_by_force() {
        let outcome = job().run();
        outcome.fails(2, "cfg-grant-retired").sts_requests(0);
        outcome.stderr_has("retired").stderr_has("--grant client-credentials");
        let outcome = job().arg("--force").token_on_stdout().run();
        outcome.succeeds().stderr_has("a refresh token came with the access token and was dropped");
        let body = body(&outcome.sts.requests[0]);
        assert_eq!(body["grant_type"], "password");
        assert_eq!(body["user_name"], "octo-user");
        assert_eq!(body["user_password"], "abcdefghijklmnopqrstuvwxyz");
        assert!(body.get("password_encoding").is_none());
    }

    #[test]
    fn the_password_can_be_sent_as_a_digest() {
        let outcome = job()
            .args(["--force", "--password-encoding", "md5-b64", "--user-name", "mona"])
            .refresh_token_output("refresh")
            .token_on_stdout()
            .run();
        outcome.succeeds();
        let body = body(&outcome.sts.requests[0]);
        assert_eq!(body["user_name"], "mona");
        assert_eq!(body["user_password"], "w/zT12GS5AB9+0lsymfhOw==");
        assert_eq!(body["password_encoding"], "md5-b64");
        assert_eq!(fs::read_to_string(outcome.root().join("refresh")).unwrap().len(), 54);
    }

    #[test]
    fn what_the_vendor_says_of_it_has_a_code_of_its_own() {
        let retired = classic_error(400, "4002", "The password grant type is no longer supported.");
        job().arg("--force").sts_always(retired).run().fails(6, "api-grant-retired");
        let outcome = job().arg("--force").unset("EQUINIX_API_USERNAME").run();
        outcome.fails(3, "client-credentials-missing").stderr_has("there is no user name");
    }
}

mod planted {
    use super::*;

    /// The job's environment with this server as the classic API, by a variable.
    fn by_variable(job: Job) -> Job {
        let url = job.sts_url();
        job.without_flag("--api-endpoint").env("EQUINIX_API_ENDPOINT", url)
    }

    #[test]
    fn a_secret_goes_to_this_machine_only_by_a_flag_on_a_platform() {
        for job in [Job::github(), Job::gitlab()] {
            let outcome = by_variable(job.grant("client-credentials").client()).run();
            outcome.fails(10, "endpoint-untrusted").sts_requests(0);
        }
        let outcome = by_variable(laptop()).token_on_stdout().run();
        outcome.succeeds().stderr_has("the Equinix API is on this machine");
        let elsewhere =
            laptop().without_flag("--api-endpoint").env("EQUINIX_API_ENDPOINT", "https://api.example");
        elsewhere.run().fails(10, "endpoint-untrusted");
    }

    #[test]
    fn a_grant_an_authority_or_a_proxy_from_a_variable_is_odd() {
        let job = || Job::github().grant("client-credentials").client();
        let planted = || job().without_flag("--grant").env("EQUINIX_WIF_GRANT", "client-credentials");
        let text = "EQUINIX_WIF_GRANT chooses the grant client-credentials";
        planted().run().succeeds().stderr_has(text);
        let outcome = planted().args(["--validation", "strict"]).run();
        outcome.fails(10, "endpoint-untrusted").sts_requests(0).stderr_has(text);
        let proxied = || job().env("HTTPS_PROXY", "http://127.0.0.1:9").without_flag("--api-endpoint");
        let outcome = proxied().args(["--validation", "strict"]).run();
        outcome.fails(10, "endpoint-untrusted").stderr_has("HTTPS_PROXY names a proxy");
        let outcome = proxied().args(["--no-proxy", "--timeout", "1", "--validation", "strict"]).run();
        outcome.stderr_lacks("names a proxy");
    }
}

mod doctor {
    use super::*;

    #[test]
    fn an_attempt_does_not_use_up_a_refresh_token_that_has_no_file() {
        const OLD: &str = "aBiLmo8zsMX345MSaHHI-qwErtY8";
        let job = || {
            let job = Job::bare().grant("refresh-token").client().command("doctor");
            job.args(["--refresh-token-file", "-"]).stdin(OLD).stored_secret(OLD)
        };
        job().arg("--exchange").run().fails(2, "cfg-value-invalid").sts_requests(0);
        let outcome = job().run();
        outcome.require(outcome.status == Some(0), "the exit status is 0");
    }

    #[test]
    fn without_masks_that_the_runner_reads_no_secret_is_touched() {
        let job = Job::github().grant("client-credentials").client().command("doctor").arg("--exchange");
        let outcome = job.wrap_shell(["sh", "-c", "\"$0\" \"$@\" 2>\"$TMPDIR/log\""]).masks_unchecked().run();
        assert!(outcome.sts.requests.iter().all(|request| request.method == "GET"));
        outcome.require(outcome.stdout.contains("the runner would not read the masks"), "it says why");
        let log = fs::read_to_string(outcome.root().join("tmp/log")).unwrap();
        assert!(!log.contains("add-mask"), "{log}");
    }

    #[test]
    fn the_consent_that_a_hint_names_can_be_given() {
        let job = || {
            let job = Job::bare().grant("password").client().command("doctor").stored_secret("a-password-1");
            let path = job.root().join("password");
            let job = job.file(&path, "a-password-1").args(["--user-name", "octo-user"]);
            job.arg("--password-file").arg(path)
        };
        let outcome = job().run();
        outcome.require(outcome.stdout.contains("--force goes on"), "the hint");
        let outcome = job().arg("--force").run();
        outcome.require(outcome.status == Some(0), "the exit status is 0");
    }

    fn job() -> Job {
        laptop().command("doctor")
    }

    #[test]
    fn it_checks_what_is_there_and_sends_nothing() {
        let outcome = job().run();
        outcome.require(outcome.status == Some(0), "the exit status is 0");
        assert!(outcome.sts.requests.iter().all(|request| request.method == "GET"));
        for line in [
            "ok    client        everything that is sent is there",
            "ok    clock         agrees with the API to 60 s",
            "skip  exchange      not asked for (--exchange); it spends an attempt",
        ] {
            outcome.require(outcome.stdout.contains(line), line);
        }
        let outcome = Job::bare().grant("client-credentials").command("doctor").arg("--exchange").run();
        outcome.require(outcome.status == Some(3), "the exit status is 3");
        outcome.require(outcome.stdout.contains("[client-credentials-missing]"), "the code");
        assert!(outcome.sts.requests.iter().all(|request| request.method == "GET"));
    }

    #[test]
    fn an_attempt_is_said_to_be_one() {
        let outcome = job().arg("--exchange").run();
        outcome.require(outcome.status == Some(0), "the exit status is 0");
        outcome.require(outcome.stdout.contains("this spent an attempt that worked"), "it says so");
        let outcome = job().arg("--exchange").sts_always(classic_error(400, "S1006", "Login Failure")).run();
        outcome.require(outcome.status == Some(6), "the exit status is 6");
        assert_eq!(outcome.sts.requests.iter().filter(|request| request.method == "POST").count(), 1);
    }
}
