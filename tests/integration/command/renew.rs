//! `exec --renew`: what the command gets, what it is answered when it asks, and what is told of it afterwards.

#![cfg(all(target_os = "linux", feature = "renew"))]

use crate::support;

use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use serde_json::{Value, json};

use support::job::{Job, SCOPE, SUBJECT_TOKEN, sts_error};
use support::outcome::Outcome;
use support::renewing::{GRANT, ID_TOKEN, Live, until};
use support::server::Reply;
use support::table::each;

const TOKEN: &str = "EQUINIX_API_TOKEN";
const ENDPOINT: &str = "EQUINIX_STS_ENDPOINT";
const OTHER: &str = "roleassignments:6c1b9e7a-54d3-4e0f-9d2a-7b8f3c21e5d6";
const THIRD: &str = "roleassignments:b2d4f6a8-1357-4abc-8def-0123456789ab";
/// The status, the OAuth error and a word of the description of a refusal.
type Refusal = (u16, &'static str, &'static str);
/// The fields of a form.
type Fields = Vec<(&'static str, String)>;
/// A way to make a job.
type Make = fn() -> Job;

fn renewal(outcome: &Outcome) -> &Value {
    &outcome.report.as_ref().expect("a report")["renewal"]
}

/// The entries of a list in the report.
fn entries<'a>(outcome: &'a Outcome, list: &str) -> &'a Vec<Value> {
    renewal(outcome)[list].as_array().expect("a list")
}

/// The renewals in the report are the exchanges that the STS saw, and there were so many.
#[track_caller]
fn was_renewed(outcome: &Outcome, exchanges: usize) {
    outcome.sts_requests(exchanges);
    let renewals = entries(outcome, "renewals");
    outcome.require(
        renewals.len() == exchanges && renewals.iter().all(|entry| entry["code"] == Value::Null),
        &format!("the report tells of {exchanges} tokens"),
    );
}

/// A shell function that asks the listener by itself, without any tool. It sets `token` and `left`.
const ASK: &str = r#"ask() {
    local place=${EQUINIX_STS_ENDPOINT#http://} answer
    local body="grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&scope=$EQUINIX_TOKEN_EXCHANGE_SCOPE"
    body+="&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token"
    body+="&subject_token=$EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN"
    exec 4<>"/dev/tcp/${place%:*}/${place#*:}" || return
    printf 'POST /use/token HTTP/1.1\r\nHost: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: %s\r\n\r\n%s' \
        "$place" ${#body} "$body" >&4
    mapfile -t answer <&4; exec 4>&-
    answer=${answer[*]}
    token=${answer#*\"access_token\":\"} token=${token%%\"*}
    left=${answer#*\"expires_in\":} left=${left%%[!0-9]*}
    [[ $token && $left ]]
}
"#;

mod environment {
    use super::*;

    #[test]
    fn leads_to_the_program_and_to_no_identity() {
        let job = Job::github();
        let id_token = job.mint();
        let job = job
            .env(SUBJECT_TOKEN, id_token.clone())
            .env("OTHER_TOKEN", id_token.clone())
            .env("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR", "OTHER_TOKEN")
            .env("A_COPY", format!("Bearer {id_token}"))
            .env("HTTPS_PROXY", "http://proxy.example:3128")
            .env("NO_PROXY", "internal.example")
            .args(["--provider", "github"])
            .client();
        let live = Live::start(job);
        let (env, token) = (live.env.clone(), live.token());
        assert_eq!(env[TOKEN], token);
        assert_eq!(env["EQUINIX_TOKEN_EXCHANGE_SCOPE"], SCOPE);
        assert_eq!(env["EQUINIX_WIF_EXEC"], "renew");
        let handle = env[SUBJECT_TOKEN].strip_prefix("ewh_").expect("a handle");
        let is_base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(handle.len() == 43 && handle.chars().all(is_base64url), "{handle}");
        assert!(env[ENDPOINT].starts_with("http://127.0.0.1:"), "{}", env[ENDPOINT]);
        for name in [
            "ACTIONS_ID_TOKEN_REQUEST_URL",
            "ACTIONS_ID_TOKEN_REQUEST_TOKEN",
            "OTHER_TOKEN",
            "A_COPY",
            "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR",
            "EQUINIX_API_CLIENTID",
            "EQUINIX_API_CLIENTSECRET",
        ] {
            assert!(!env.contains_key(name), "{name} is there");
        }
        // Everything else is as it was.
        assert_eq!(env["HTTPS_PROXY"], "http://proxy.example:3128");
        assert_eq!(env["NO_PROXY"], "internal.example");
        assert_eq!(env["GITHUB_ACTIONS"], "true");
        let outcome = live.end();
        assert_eq!(env["EQUINIX_API_TOKEN_EXPIRES_AT"], outcome.report.as_ref().unwrap()["expires_at"]);
        outcome.stderr_has("fresh tokens are handed out at http://127.0.0.1:").masks_every_token();
        let own = ["tmp/environment", "tmp/status"].map(|file| outcome.root().join(file));
        assert_eq!(outcome.new_files(), own);
        was_renewed(&outcome, 1);
    }

    #[test]
    fn has_no_id_token_whatever_it_was_named() {
        type Set = fn(Job, String) -> Job;
        let cases: [(&str, Set); 5] = [
            ("as usual", |job, token| job.env(SUBJECT_TOKEN, token)),
            ("as the program calls it", |job, token| job.env("EQUINIX_WIF_SUBJECT_TOKEN", token)),
            ("by a flag", |job, token| job.env("MINE", token).args(["--subject-token-env", "MINE"])),
            ("by a variable", |job, token| {
                job.env("MINE", token).env("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR", "MINE")
            }),
            ("in a file", |job, token| {
                let file = job.root().join("id-token");
                job.file("id-token", token).env("EQUINIX_WIF_SUBJECT_TOKEN_FILE", file)
            }),
        ];
        each(&cases, |set| {
            let job = Job::gitlab().unset(SUBJECT_TOKEN);
            let token = job.mint();
            let live = Live::start(set(job, token.clone()).args(["--env-name", "METAL_TOKEN"]));
            assert!(!live.env.values().any(|value| *value == token));
            for name in [
                "MINE",
                "EQUINIX_WIF_SUBJECT_TOKEN",
                "EQUINIX_WIF_SUBJECT_TOKEN_FILE",
                "EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN_ENV_VAR",
            ] {
                assert!(!live.env.contains_key(name), "{name} is there");
            }
            assert!(live.env[SUBJECT_TOKEN].starts_with("ewh_"));
            assert_eq!(live.env["METAL_TOKEN"], live.token());
            assert!(!live.env.contains_key(TOKEN));
            live.end();
        });
    }

    #[test]
    fn names_a_file_that_holds_the_token_for_as_long_as_the_command_runs() {
        let cases: [(&str, (Make, &str)); 3] = [
            ("GitHub", (Job::github, "work/_temp")),
            ("GitLab", (Job::gitlab, "builds/octo-org/metal-app.tmp")),
            ("elsewhere", (own_token, "tmp")),
        ];
        each(&cases, |(make, folder)| {
            let live = Live::start(make().lives([4, 4, 3600]));
            let file = live.token_file();
            assert!(file.parent().unwrap().ends_with(folder), "{}", file.display());
            let last = live.last_token();
            assert_ne!(last, live.first_token());
            assert_eq!(read(&file), last, "it is there before the token is handed out");
            assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
            let outcome = live.end();
            assert!(!outcome.files.contains_key(&file), "it is gone");
            was_renewed(&outcome, 3);
        });
    }

    /// An ID token that no platform's variable holds.
    fn own_token() -> Job {
        let job = Job::bare();
        let token = job.mint();
        job.env("MINE", token).args(["--subject-token-env", "MINE"])
    }

    fn read(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn loses_the_file_of_a_killed_run_with_the_next_one() {
        let live = Live::start(Job::github().leaves_token_file());
        let (folder, file, client) = (live.token_file(), live.token_file(), live.client.clone());
        let folder = folder.parent().unwrap();
        let another = || Job::github().env("RUNNER_TEMP", folder).renew().exec(["true"]).run();
        another().succeeds();
        assert_eq!(read(&file), live.env[TOKEN], "what is in use stays");
        let outcome = live.killed();
        assert_eq!(outcome.files[&file], outcome.access_token().as_bytes());
        assert!(TcpStream::connect(client.address).is_err(), "nobody takes the handle any more");
        another().succeeds();
        let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().starts_with("equinix-wif-")), "{left:?}");
    }
}

mod an_answer {
    use super::*;

    #[test]
    fn has_what_clients_want_at_both_paths() {
        let live = Live::start(Job::github());
        let token = live.token();
        for path in ["/use/token", "/v1/token"] {
            let answer = live.client.send(live.client.request(path, &live.client.form(SCOPE)).as_bytes());
            assert_eq!(answer.status, 200, "{answer:?}");
            for header in ["content-type: application/json", "cache-control: no-store", "connection: close"] {
                assert!(answer.head.lines().any(|line| line == header), "{answer:?}");
            }
            let mut json = answer.json();
            assert!((3500..=3600).contains(&answer.left()), "{answer:?}");
            json["expires_in"] = Value::Null;
            let expected = json!({
                "access_token": token, "token_type": "Bearer", "expires_in": null, "scope": SCOPE,
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            });
            assert_eq!(json, expected);
        }
        // Without a scope, which RFC 8693 permits, and with parameters of the content type.
        let mut form = live.client.form("");
        form.retain(|(name, _)| *name != "scope");
        assert_eq!(live.client.send(live.client.request("/use/token", &form).as_bytes()).token(), token);
        let request = live.client.request("/use/token", &live.client.form(SCOPE));
        let request = request.replace("urlencoded\r\n", "urlencoded; charset=utf-8\r\n");
        assert_eq!(live.client.send(request.as_bytes()).token(), token);
        was_renewed(&live.end(), 1);
    }

    #[test]
    fn tells_the_life_that_is_left() {
        let live = Live::start(Job::gitlab());
        let first = live.client.ask().left();
        let later = until("time passes", || Some(live.client.ask().left()).filter(|left| *left < first));
        assert!(later + 30 > first, "{later} after {first}");
        was_renewed(&live.end(), 1);
    }

    #[test]
    fn is_a_token_for_the_handle_and_for_nothing_else() {
        let live = Live::start(Job::github());
        let client = live.client.clone();
        let other = |name: &'static str, value: &str| {
            let mut form = client.form(SCOPE);
            let field = form.iter_mut().find(|(known, _)| *known == name).unwrap();
            value.clone_into(&mut field.1);
            form
        };
        let twice = |name: &'static str| {
            let mut form = client.form(SCOPE);
            form.extend(client.form(SCOPE).into_iter().filter(|(known, _)| *known == name));
            form
        };
        let without = |name: &str| {
            let mut form = client.form(SCOPE);
            form.retain(|(known, _)| *known != name);
            form
        };
        let longer = format!("{}x", client.handle);
        let in_upper_case = client.handle.to_uppercase();
        let forms: Vec<(&str, (Fields, Refusal))> = vec![
            ("no handle", (without("subject_token"), (401, "invalid_client", "handle"))),
            ("an empty one", (other("subject_token", ""), (401, "invalid_client", "handle"))),
            ("another one", (other("subject_token", &in_upper_case), (401, "invalid_client", "handle"))),
            (
                "a part of it",
                (other("subject_token", &client.handle[..46]), (401, "invalid_client", "handle")),
            ),
            ("more than it", (other("subject_token", &longer), (401, "invalid_client", "handle"))),
            ("two of them", (twice("subject_token"), (400, "invalid_request", "more than once"))),
            ("no grant", (without("grant_type"), (400, "unsupported_grant_type", GRANT))),
            (
                "another grant",
                (other("grant_type", "client_credentials"), (400, "unsupported_grant_type", GRANT)),
            ),
            ("no type", (without("subject_token_type"), (400, "invalid_request", ID_TOKEN))),
            (
                "another type",
                (
                    other("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
                    (400, "invalid_request", ID_TOKEN),
                ),
            ),
            ("two scopes", (twice("scope"), (400, "invalid_request", "scope"))),
            ("another scope", (other("scope", OTHER), (400, "invalid_scope", "--renew-scope"))),
        ];
        // The report counts them, so none at the same time.
        for (name, (form, (status, error, text))) in &forms {
            println!("{name}");
            let answer = client.send(client.request("/use/token", form).as_bytes());
            answer.refuses(*status, error, text);
            assert!(answer.head.contains("cache-control: no-store"), "{answer:?}");
        }
        let good = client.request("/use/token", &client.form(SCOPE));
        let host = format!("Host: {}", client.address);
        let body = &good[good.find("\r\n\r\n").unwrap() + 4..];
        let length = format!("Content-Length: {}", body.len());
        let large = format!("{}\r\n\r\n{}", "Content-Length: 70000", "x".repeat(70_000));
        let in_query = good.replace("/use/token", &format!("/use/token?{body}"));
        let in_query = in_query.replace(&format!("{length}\r\n\r\n{body}"), "Content-Length: 0\r\n\r\n");
        let requests: Vec<(&str, String, u16)> = vec![
            ("the handle in the query", in_query, 401),
            ("another path", good.replace("/use/token", "/token"), 404),
            ("a path with a slash", good.replace("/use/token", "/use/token/"), 404),
            ("a path that leads there", good.replace("/use/token", "/v1/../use/token"), 404),
            ("GET", good.replace("POST ", "GET "), 405),
            ("PUT", good.replace("POST ", "PUT "), 405),
            ("OPTIONS", good.replace("POST ", "OPTIONS "), 405),
            (
                "a name for the host",
                good.replace(&host, &format!("Host: localhost:{}", client.address.port())),
                421,
            ),
            ("a page's host", good.replace(&host, "Host: rebound.example"), 421),
            ("no port", good.replace(&host, "Host: 127.0.0.1"), 421),
            ("no host", good.replace(&format!("{host}\r\n"), ""), 400),
            ("two hosts", good.replace(&host, &format!("{host}\r\n{host}")), 400),
            ("JSON", good.replace("application/x-www-form-urlencoded", "application/json"), 400),
            ("no content type", good.replace("Content-Type: application/x-www-form-urlencoded\r\n", ""), 400),
            ("no UTF-8", good.replace("scope=", "scope=%ff"), 400),
            ("too large", good.replace(&format!("{length}\r\n\r\n{body}"), &large), 413),
        ];
        for (name, request, status) in &requests {
            let answer = client.send(request.as_bytes());
            assert_eq!(answer.status, *status, "{name}: {answer:?}");
            assert!(!answer.body.contains("access_token"), "{name}: {answer:?}");
            if *status == 405 {
                assert!(answer.head.contains("allow: post"), "{answer:?}");
            }
        }
        assert!(TcpStream::connect((Ipv4Addr::new(127, 0, 0, 2), client.address.port())).is_err());
        live.token();
        let outcome = live.end();
        assert_eq!(renewal(&outcome)["wrong_handles"], 6);
        assert_eq!(renewal(&outcome)["refused_scopes"], 1);
        assert_eq!(entries(&outcome, "hand_outs").len(), 1);
        was_renewed(&outcome, 1);
        outcome.stderr_lacks("wrong handle");
    }

    #[test]
    fn is_told_of_when_there_were_ten_wrong_handles() {
        let live = Live::start(Job::gitlab());
        let wrong =
            support::renewing::Client { handle: format!("ewh_{}", "A".repeat(42)), ..live.client.clone() };
        for _ in 0..9 {
            wrong.ask().refuses(401, "invalid_client", "not the handle");
        }
        let line = "10 requests with a wrong handle, or none, have come to the listener of this run; the last one came from process ";
        assert!(!live.running.stderr_now().contains("wrong handle"));
        for _ in 0..10 {
            wrong.ask().refuses(401, "invalid_client", "not the handle");
        }
        let outcome = live.end();
        outcome.stderr_has(line);
        assert_eq!(outcome.stderr.matches("wrong handle").count(), 1);
        assert_eq!(renewal(&outcome)["wrong_handles"], 19);
    }
}

mod a_scope {
    use super::*;

    #[test]
    fn of_another_kind_is_refused_and_told_of_once() {
        let live = Live::start(Job::github());
        let both = format!("{SCOPE} {OTHER}");
        for scope in [OTHER, OTHER, &both, THIRD, "x\n::error::y"] {
            live.client.ask_for(scope).refuses(400, "invalid_scope", "--renew-scope");
        }
        let outcome = live.end();
        for scope in [OTHER, &both, THIRD] {
            let line = format!(
                "a token that it may not have: this run hands out no token for \"{scope}\"; --renew-scope allows it"
            );
            assert_eq!(outcome.stderr.matches(&line).count(), 1, "{}", outcome.stderr);
        }
        assert!(!outcome.stderr.contains("\n::error::"));
        assert_eq!(renewal(&outcome)["refused_scopes"], 5);
        was_renewed(&outcome, 1);
    }

    #[test]
    fn that_is_allowed_costs_one_exchange_when_it_is_asked_for() {
        let live = Live::start(Job::github().args(["--renew-scope", OTHER, "--renew-scope", THIRD]));
        let main = live.token();
        let others = [OTHER, THIRD].map(|scope| {
            let token = live.client.ask_for(scope).token();
            for _ in 0..3 {
                let answer = live.client.ask_for(&format!(" {scope}"));
                assert_eq!((answer.token(), &answer.json()["scope"]), (token.clone(), &json!(scope)));
            }
            token
        });
        assert_eq!(live.token(), main);
        assert!(main != others[0] && main != others[1] && others[0] != others[1]);
        let outcome = live.end();
        let asked: Vec<_> =
            outcome.sts.requests.iter().map(|request| request.form_value("scope").unwrap()).collect();
        assert_eq!(asked, [SCOPE, OTHER, THIRD]);
        let told: Vec<_> = entries(&outcome, "renewals").iter().map(|entry| entry["scope"].clone()).collect();
        assert_eq!(told, [SCOPE, OTHER, THIRD]);
        // Each with an ID token of its own.
        outcome.id_token_requests(3).masks_every_token();
        assert_eq!(renewal(&outcome)["refused_scopes"], 0);
    }

    #[test]
    fn that_is_allowed_and_not_asked_for_costs_nothing() {
        let live = Live::start(Job::gitlab().args(["--renew-scope", OTHER]).lives([4, 4, 3600]));
        live.last_token();
        let outcome = live.end();
        assert!(outcome.sts.requests.iter().all(|request| request.form_value("scope").unwrap() == SCOPE));
        was_renewed(&outcome, 3);
    }
}

mod settings {
    use super::*;

    #[test]
    fn that_contradict_each_other_are_refused_before_anything_is_asked() {
        /// Arguments, the code, and a word of the message.
        type Case = (&'static [&'static str], &'static str, &'static str);
        let cases: [(&str, Case); 4] = [
            (
                "the identity besides",
                (&["--renew", "--keep-oidc-env"], "cfg-usage", "does not go with --renew"),
            ),
            (
                "scopes without it",
                (&["--renew-scope", OTHER], "cfg-usage", "--renew-scope is set without --renew"),
            ),
            ("no scope", (&["--renew", "--renew-scope", ""], "cfg-scope-invalid", "scope")),
            ("an odd scope", (&["--renew", "--renew-scope", "a\"b"], "cfg-scope-invalid", "scope")),
        ];
        each(&cases, |(args, code, text)| {
            let job = Job::github().args(args.iter().copied());
            let outcome = job.exec(["sh", "-c", ">\"$TMPDIR/mark\""]).run();
            outcome.fails(125, code).stderr_has(text);
            outcome.require(outcome.new_files().is_empty(), "the command has not run");
            assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0));
        });
    }

    #[test]
    fn that_let_a_job_go_on_without_a_token_let_this_one_end() {
        let job = Job::github().without_id_token_permission().args(["--on-unavailable", "skip"]).renew();
        let outcome = job.exec(["sh", "-c", ">\"$TMPDIR/mark\""]).run();
        outcome.succeeds().stderr_has("going on without one");
        outcome.require(outcome.new_files().is_empty(), "the command has not run");
        assert_eq!(outcome.outputs()["available"], "false");
        assert_eq!(renewal(&outcome), &Value::Null);
    }
}

mod a_renewal {
    use super::*;

    /// While another process of the command writes parts of lines to the same pipe.
    #[test]
    fn on_github_has_a_new_id_token_and_a_mask_before_anybody_has_the_token() {
        let script = format!(
            r#"{ASK}
mkfifo "$TMPDIR/never"; exec 3<>"$TMPDIR/never"
while [[ -d $TMPDIR && ! -e $TMPDIR/end ]]; do printf 'a part of a line ' >&2; read -t 0.01 -u 3; done &
last=
until (( left > 1000 )); do
    ask || exit 9
    if [[ $token != "$last" ]]; then printf 'it is %s now\n' "$token" >&2; last=$token; fi
    read -t 0.1 -u 3
done
>"$TMPDIR/end"; wait
exit 43"#
        );
        let job = Job::github().renew().lives([4, 4, 4, 3600]).token_on_stderr();
        let outcome = job.exec(["bash", "-c", &script]).run();
        outcome.require(outcome.status == Some(43), "the exit status is the command's");
        was_renewed(&outcome, 4);
        outcome.id_token_requests(4).masks_every_token();
        assert!(outcome.stderr.contains("a part of a line "));
        let log = outcome.visible_log();
        assert!(log.contains("it is *** now"), "{log}");
        let tokens: BTreeSet<_> =
            outcome.sts.requests.iter().map(|request| request.form_value("subject_token")).collect();
        assert_eq!(tokens.len(), 4, "no ID token is sent twice");
    }

    #[test]
    fn on_gitlab_has_the_same_id_token_until_that_ends() {
        let live = Live::start(Job::gitlab().lives([4, 3600]));
        assert_ne!(live.last_token(), live.first_token());
        let outcome = live.end();
        was_renewed(&outcome, 2);
        let tokens: BTreeSet<_> =
            outcome.sts.requests.iter().map(|request| request.form_value("subject_token")).collect();
        assert_eq!(tokens.into_iter().collect::<Vec<_>>(), [Some(outcome.id_token())]);
        outcome
            .stderr_has(
                "warning: this job has one ID token, with which the access token can be renewed until 20",
            )
            .stderr_has("and not after");
        assert!(!outcome.report.as_ref().unwrap()["warnings"].as_array().unwrap().is_empty());
        Job::github().renew().exec(["true"]).run().succeeds().stderr_lacks("one ID token");
    }

    #[test]
    fn on_gitlab_is_over_when_the_sts_takes_each_id_token_once() {
        let mut exchanges = 0;
        let job = Job::gitlab().lives([4]).sts_with(move |_| {
            exchanges += 1;
            (exchanges > 1).then(|| sts_error("invalid_grant", "the assertion was used"))
        });
        let live = Live::start(job);
        let answer = until("it is over", || Some(live.client.ask()).filter(|answer| answer.status != 200));
        answer.refuses(400, "invalid_grant", "[sts-id-token-used]");
        let outcome = live.end();
        outcome.sts_requests(2).stderr_has("[sts-id-token-used]").stderr_has("hint: ");
        assert_eq!(outcome.stderr.matches("no new access token").count(), 1);
        let codes: Vec<_> = entries(&outcome, "renewals").iter().map(|entry| entry["code"].clone()).collect();
        assert_eq!(codes, [Value::Null, json!("sts-id-token-used")]);
    }
}

mod the_report {
    use super::*;

    #[test]
    fn lists_what_was_obtained_and_handed_out_and_to_whom() {
        let job = Job::github().args(["--renew-scope", OTHER]);
        let path = job.report_path();
        let live = Live::start(job);
        let interim: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        assert_eq!(interim["renewal"]["renewals"].as_array().unwrap().len(), 1);
        assert_eq!(interim["renewal"]["hand_outs"], json!([]));
        live.token();
        live.client.ask_for(OTHER).token();
        let outcome = live.ends(0);
        outcome.succeeds();
        let hand_outs = entries(&outcome, "hand_outs");
        assert_eq!(hand_outs.len(), 2);
        let user = fs::metadata("/proc/self").unwrap().uid();
        for (entry, scope) in hand_outs.iter().zip([SCOPE, OTHER]) {
            assert_eq!(entry["scope"], scope);
            // For a moment, what another test forks has this one's sockets too.
            assert!(entry["pid"].is_number(), "{entry}");
            assert_eq!(entry["uid"], user);
            for name in ["at", "expires_at"] {
                assert!(entry[name].as_str().unwrap().ends_with('Z'), "{entry}");
            }
        }
        assert_eq!(renewal(&outcome)["renewals_not_listed"], 0);
        assert_eq!(renewal(&outcome)["hand_outs_not_listed"], 0);
        assert_eq!(renewal(&outcome)["wrong_handles"], 0);
        let report = outcome.report.as_ref().unwrap();
        assert!(report["elapsed_ms"].as_u64() >= interim["elapsed_ms"].as_u64());
    }

    #[test]
    fn names_the_process_that_asked() {
        let script = format!("{ASK}\nask; echo $$ >\"$TMPDIR/pid\"");
        let outcome = Job::gitlab().renew().exec(["bash", "-c", &script]).run();
        let pid =
            String::from_utf8_lossy(&outcome.succeeds().files[&outcome.root().join("tmp/pid")]).into_owned();
        let hand_outs = entries(&outcome, "hand_outs");
        assert_eq!(hand_outs.len(), 1);
        assert_eq!(hand_outs[0]["pid"].to_string(), pid.trim());
    }

    #[test]
    fn on_standard_error_comes_once_and_at_the_end() {
        let job = Job::gitlab().renew().without_report().args(["--report", "-"]);
        let outcome = job.exec(["sh", "-c", "echo 'the command is here' >&2; exit 5"]).run();
        outcome.require(outcome.status == Some(5), "the exit status is the command's");
        let reports: Vec<_> = outcome.stderr.match_indices("\"renewal\":").collect();
        assert_eq!(reports.len(), 1, "{}", outcome.stderr);
        assert!(reports[0].0 > outcome.stderr.find("the command is here").unwrap());
        // Without a token there is no command to wait for.
        let job = Job::gitlab().renew().without_report().args(["--report", "-"]).unset(SUBJECT_TOKEN);
        let outcome = job.exec(["true"]).run();
        assert_eq!(outcome.stderr.matches("\"renewal\":").count(), 1, "{}", outcome.stderr);
    }

    #[test]
    fn without_renewal_has_none() {
        let outcome = Job::gitlab().exec(["true"]).run();
        assert_eq!(outcome.succeeds().report.as_ref().unwrap()["renewal"], Value::Null);
    }
}

/// The program inside of such a run. `$WIF` is its path.
mod inside {
    use super::*;

    pub(super) fn running(job: Job, script: &str) -> Job {
        let script = format!("set -euo pipefail\n{script}\nexit 43");
        job.renew().env("WIF", env!("CARGO_BIN_EXE_equinix-wif")).exec(["bash", "-c", &script])
    }

    #[track_caller]
    pub(super) fn ran(outcome: &Outcome) {
        outcome.require(outcome.status == Some(43), "every line of the script succeeds");
    }

    /// A job on each platform, and one on none.
    fn everywhere() -> [(&'static str, Make); 3] {
        [
            ("GitHub", Job::github),
            ("GitLab", Job::gitlab),
            ("elsewhere", || {
                let job = Job::bare();
                let token = job.mint();
                job.env("MINE", token).args(["--subject-token-env", "MINE"])
            }),
        ]
    }

    #[test]
    fn a_token_comes_from_the_run_around() {
        let script = r#"
            test "$("$WIF" token --format raw)" = "$EQUINIX_API_TOKEN"
            "$WIF" token --format json | grep -qF "\"access_token\":\"$EQUINIX_API_TOKEN\""
            "$WIF" token --format raw --output "$TMPDIR/token"; test "$(cat "$TMPDIR/token")" = "$EQUINIX_API_TOKEN"
            said=$("$WIF" token --dry-run 2>&1 >"$TMPDIR/nothing"); test ! -s "$TMPDIR/nothing"
            grep -qF "would send: POST $EQUINIX_STS_ENDPOINT/use/token" <<<"$said"
            grep -qF 'subject_token:      (the handle, not shown)' <<<"$said"
            token=$EQUINIX_API_TOKEN
            EQUINIX_API_TOKEN= "$WIF" exec -- sh -c "test \"\$EQUINIX_API_TOKEN\" = '$token'"
            "$WIF" exec -- sh -c 'test "$EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN $EQUINIX_WIF_EXEC" = "$0 renew"' \
                "$EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN"
            "$WIF" exec -- "$WIF" exec -- "$WIF" token --format raw | grep -qxF "$EQUINIX_API_TOKEN"
            "$WIF" exec --renew -- sh -c '
                test "$EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN" != "$0" && test "$EQUINIX_STS_ENDPOINT" != "$1" &&
                test "$("$WIF" token --format raw)" = "$2" && test "$(cat "$EQUINIX_WIF_TOKEN_FILE")" = "$2"
            ' "$EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN" "$EQUINIX_STS_ENDPOINT" "$EQUINIX_API_TOKEN"
            test -s "$EQUINIX_WIF_TOKEN_FILE"
        "#;
        each(&everywhere(), |make| {
            let outcome = running(make(), script).token_in("tmp/token").run();
            ran(&outcome);
            was_renewed(&outcome, 1);
            assert_eq!(entries(&outcome, "hand_outs").len(), 9);
        });
    }

    #[test]
    fn a_job_s_outputs_get_it_as_well() {
        let job = Job::github();
        let outputs = job.output_path();
        let outcome = running(job, "\"$WIF\" token").token_in(outputs).run();
        ran(&outcome);
        assert_eq!(outcome.outputs()["access-token"], outcome.access_token());
        was_renewed(&outcome, 1);
    }

    /// The lines that set the token unset what shadows it. The handle does not.
    #[test]
    fn a_shell_may_take_the_token_again_and_again() {
        let script = r#"
            for _ in 1 2 3; do
                EQUINIX_API_TOKEN=
                file=$("$WIF" token --format env-file); . "$file"; rm "$file"
                test -n "$EQUINIX_API_TOKEN"
                EQUINIX_API_TOKEN=
                eval "$("$WIF" token --format shell)"
                test -n "$EQUINIX_API_TOKEN"
            done
        "#;
        each(&everywhere()[1..], |make| {
            let outcome = running(make(), script).run();
            ran(&outcome);
            was_renewed(&outcome, 1);
            assert_eq!(entries(&outcome, "hand_outs").len(), 6);
        });
    }

    #[test]
    fn a_loop_outlives_many_tokens() {
        let script = r#"
            until [[ $("$WIF" token --format json 2>"$TMPDIR/log") == *'"expires_in":3'[0-9][0-9][0-9]* ]]; do
                read -r -t 0.1 <> <(:) || true
            done
        "#;
        let outcome = running(Job::gitlab().lives([4, 4, 3600]), script).run();
        ran(&outcome);
        was_renewed(&outcome, 3);
    }

    #[test]
    fn another_scope_needs_the_run_around_to_allow_it() {
        let script = format!(
            r#"! "$WIF" token --format raw --scope {OTHER} 2>"$TMPDIR/refused"
            test -n "$("$WIF" token --format raw --scope {THIRD})""#
        );
        let outcome = running(Job::gitlab().args(["--renew-scope", THIRD]), &script).run();
        ran(&outcome);
        let refused =
            String::from_utf8_lossy(&outcome.files[&outcome.root().join("tmp/refused")]).into_owned();
        assert!(
            refused.contains("error[sts-scope-denied]") && refused.contains("--renew-scope"),
            "{refused}"
        );
        outcome.sts_requests(2);
    }

    #[test]
    fn doctor_says_where_it_is() {
        each(&everywhere(), |make| {
            let outcome = running(make(), "\"$WIF\" doctor >\"$TMPDIR/found\"").run();
            ran(&outcome);
            let found =
                String::from_utf8_lossy(&outcome.files[&outcome.root().join("tmp/found")]).into_owned();
            assert!(
                found.contains("this is inside equinix-wif exec --renew at http://127.0.0.1:"),
                "{found}"
            );
            assert!(found.contains("was handed out"), "{found}");
            was_renewed(&outcome, 1);
        });
    }

    #[test]
    fn what_needs_the_identity_says_where_it_is() {
        let script = r#"
            cd "$TMPDIR"
            ! "$WIF" inspect --audience x 2>&1 >out | cat >inspect
            ! "$WIF" id-token --audience x --format raw 2>&1 >>out | cat >id-token
            ! "$WIF" policies --audience x --project-id project:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013 2>&1 >>out | cat >policies
        "#;
        each(&everywhere(), |make| {
            let outcome = running(make(), script).run();
            ran(&outcome);
            for name in ["inspect", "id-token", "policies"] {
                let text = &outcome.files[&outcome.root().join("tmp").join(name)];
                let text = String::from_utf8_lossy(text);
                assert!(text.contains("this runs inside equinix-wif exec --renew"), "{name}: {text}");
                assert!(text.contains("Get an access token with equinix-wif token"), "{name}: {text}");
            }
            was_renewed(&outcome, 1);
        });
    }
}

mod what_an_earlier_step_planted {
    use super::*;
    use crate::support::server::Server;

    /// The fault, and the flags of the job without the one that would lead elsewhere.
    #[test]
    fn is_not_taken_for_a_run_around() {
        type Plant = fn(Job, &str) -> Job;
        const HANDLE: &str = "ewh_0123456789abcdefghijklmnopqrstuvwxyzABCDE-_";
        let cases: [(&str, Plant); 11] = [
            ("GitHub's identity besides", |job, url| job.env(SUBJECT_TOKEN, HANDLE).env(ENDPOINT, url)),
            ("half of GitHub's identity besides", |job, url| {
                job.unset("ACTIONS_ID_TOKEN_REQUEST_URL").env(SUBJECT_TOKEN, HANDLE).env(ENDPOINT, url)
            }),
            ("another ID token besides", |job, url| {
                let job = job.without_id_token_permission();
                let token = job.mint();
                job.env("EQUINIX_WIF_SUBJECT_TOKEN", token).env(SUBJECT_TOKEN, HANDLE).env(ENDPOINT, url)
            }),
            ("a file besides", |job, url| {
                let job = job.without_id_token_permission().env("EQUINIX_WIF_SUBJECT_TOKEN_FILE", "id-token");
                job.env(SUBJECT_TOKEN, HANDLE).env(ENDPOINT, url)
            }),
            ("a stored secret besides", |job, url| {
                let job =
                    job.without_id_token_permission().env("EQUINIX_WIF_GRANT", "client-credentials").client();
                job.env(SUBJECT_TOKEN, HANDLE).env(ENDPOINT, url)
            }),
            ("a grant with a stored secret besides", |job, url| {
                let job = job.without_id_token_permission().env("EQUINIX_WIF_GRANT", "refresh-token");
                job.env(SUBJECT_TOKEN, HANDLE).env(ENDPOINT, url)
            }),
            ("no address", |job, _| job.without_id_token_permission().env(SUBJECT_TOKEN, HANDLE)),
            ("the address of a server elsewhere", |job, _| {
                let job = job.without_id_token_permission().env(SUBJECT_TOKEN, HANDLE);
                job.env(ENDPOINT, "https://sts.eqix.equinix.com")
            }),
            ("an address with a path", |job, url| {
                let job = job.without_id_token_permission().env(SUBJECT_TOKEN, HANDLE);
                job.env(ENDPOINT, format!("{url}/use"))
            }),
            ("a part of a handle", |job, url| {
                let job = job.without_id_token_permission().env(SUBJECT_TOKEN, &HANDLE[..46]);
                job.env(ENDPOINT, url)
            }),
            ("more than a handle", |job, url| {
                let job = job.without_id_token_permission().env(SUBJECT_TOKEN, format!("{HANDLE}."));
                job.env(ENDPOINT, url)
            }),
        ];
        each(&cases, |plant| {
            let server = Server::start(|_: &support::server::Request| Reply::status(500));
            let commands: [(&str, i32); 3] = [("token", 10), ("exec", 125), ("doctor", 10)];
            for (command, exit) in commands {
                let job = plant(Job::github(), &server.url()).without_flag("--sts-endpoint");
                let job = if command == "exec" { job.exec(["true"]) } else { job.command(command) };
                let outcome = job.run();
                outcome.require(outcome.status == Some(exit), &format!("{command} ends with {exit}"));
                outcome.stderr_has(
                    "error[renewal-unclear]: EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN holds a handle",
                );
                assert!(outcome.issuer.heard_nothing() && outcome.sts.heard_nothing());
                assert_eq!(server.connections(), 0, "{command}");
            }
        });
    }
}

#[cfg(feature = "classic-grants")]
mod a_stored_secret {
    use super::inside::{ran, running};
    use super::*;

    #[test]
    fn gets_a_token_again_and_again_under_a_scope_that_stands_for_none() {
        let live = Live::start(Job::bare().grant("client-credentials").client().lives([4, 4, 3600]));
        assert_eq!(live.env["EQUINIX_TOKEN_EXCHANGE_SCOPE"], "equinix-wif");
        assert!(!live.env.contains_key("EQUINIX_API_CLIENTSECRET"));
        live.last_token();
        live.client.ask_for(SCOPE).refuses(400, "invalid_scope", "--renew-scope");
        let outcome = live.end();
        was_renewed(&outcome, 3);
        assert!(outcome.sts.requests.iter().all(|request| request.path() == "/oauth2/v1/token"));
        outcome.stderr_lacks("one ID token");
    }

    #[test]
    fn is_behind_what_the_program_gets_inside() {
        let script = r#"
            test "$("$WIF" token --format raw)" = "$EQUINIX_API_TOKEN"
            "$WIF" exec -- sh -c 'test -n "$EQUINIX_API_TOKEN"'
            "$WIF" doctor | grep '^ok  *token '
        "#;
        let job = Job::bare().grant("client-credentials").client();
        let outcome = running(job, script).run();
        ran(&outcome);
        assert_eq!(outcome.sts.requests.len(), 1);
    }

    #[test]
    fn that_rotates_is_in_its_file_after_each_renewal() {
        let first = "aBiLmo8zsMX345MSaHHI-qwErtY8";
        let job = Job::bare().grant("refresh-token").client().refresh_token_in("refresh", first);
        let live = Live::start(job.lives([4, 4, 3600]));
        live.last_token();
        let outcome = live.end();
        was_renewed(&outcome, 3);
        let given: Vec<_> = outcome
            .sts
            .replies
            .iter()
            .map(|reply| {
                let answer: Value = serde_json::from_slice(reply.payload()).unwrap();
                answer["refresh_token"].as_str().unwrap().to_owned()
            })
            .collect();
        let sent: Vec<_> = outcome
            .sts
            .requests
            .iter()
            .map(|request| request.json().unwrap()["refresh_token"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(sent, [first, &given[0], &given[1]], "each one is sent once");
        assert_eq!(outcome.files[&outcome.root().join("refresh")], given[2].as_bytes());
    }
}
