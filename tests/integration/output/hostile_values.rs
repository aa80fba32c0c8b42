//! Hostile texts in every place that a server, a claim or a variable can reach: nothing is executed, nothing forged,
//! nothing unmasked, whatever the sink.

#![cfg(unix)]

use crate::support;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;

use serde_json::{Value, json};

use support::job::{Job, SCOPE, SUBJECT_TOKEN};
use support::outcome::Outcome;
use support::runner;
use support::server::Reply;
use support::table::each;

/// Texts that mean something to somebody: a runner, a terminal, a shell, a page, a parser. What JSON cannot hold as a text
/// is written as JSON: those begin with a quotation mark.
const CORPUS: [(&str, &str); 56] = [
    ("a line feed", "x\ntouch pwned"),
    ("a line feed and a command", "x\n::error::forged"),
    ("a carriage return and a command", "x\r::error::forged"),
    ("CRLF and an output", "x\r\naccess-token=forged"),
    ("an output", "\naccess-token=forged\n"),
    ("a heredoc", "\naccess-token<<E\nforged\nE\n"),
    ("a variable", "\nEQUINIX_API_TOKEN=forged\nPATH=/tmp\n"),
    ("a delimiter's look-alike", "equinix-wif-0123456789abcdef0123456789abcdef"),
    ("a delimiter's end", "x\nequinix-wif-0123456789abcdef0123456789abcdef\nforged=1"),
    ("a heredoc's operator", "x<<EOF"),
    ("NUL", "\"a\\u0000b\""),
    ("only NUL", "\"\\u0000\""),
    ("a lone high surrogate", "\"a\\ud800b\""),
    ("a lone low surrogate", "\"a\\udc00b\""),
    ("an escaped line feed", "\"a\\u000a::error::forged\""),
    ("a mask", "::add-mask::a"),
    ("a mask of nothing", "::add-mask::"),
    ("a mask after white space", "  \t::add-mask::e"),
    ("the first form", "##[add-mask]e"),
    ("the first form within", "see ##[error]forged"),
    ("the first form, split", "#\u{200b}#[error]forged"),
    ("an environment's command", "::set-env name=PATH::/tmp"),
    ("an output's command", "::set-output name=access-token::forged"),
    ("a path's command", "##[add-path]/tmp"),
    ("stopped commands", "::stop-commands::pause"),
    ("echoed commands", "::echo::on"),
    ("a debug line", "::debug::forged"),
    ("a group", "::group::forged\n::endgroup::"),
    ("a command of Azure's", "##vso[task.setvariable variable=PATH]/tmp"),
    ("colons, split by a control", ":\u{7}:error::forged"),
    ("percent", "%0A::error::forged"),
    ("percent, encoded", "%250A%3A%3Aerror%3A%3Aforged"),
    ("half a percent", "100%"),
    ("a colour", "\u{1b}[31mred\u{1b}[0m"),
    ("a title", "\u{1b}]0;forged\u{7}"),
    ("a hyperlink", "\u{1b}]8;;https://evil.example\u{1b}\\click\u{1b}]8;;\u{1b}\\"),
    ("a cleared screen", "\u{1b}[2J\u{1b}[H"),
    ("a C1 control", "a\u{9b}31mb\u{85}c"),
    ("backspaces", "safe\u{8}\u{8}\u{8}\u{8}evil"),
    ("a section of GitLab's", "\u{1b}[0Ksection_start:1:x\r\u{1b}[0Kforged"),
    ("bidi", "\u{202e}nekot\u{2066}x\u{2069}"),
    ("zero width", "a\u{200b}b\u{2060}c\u{feff}d"),
    ("separators of lines", "a\u{2028}b\u{2029}c"),
    ("a command's substitution", "$(touch pwned)"),
    ("backticks", "`touch pwned`"),
    ("a quote and a command", "'; touch pwned; '"),
    ("double quotes and a command", "\"; touch pwned; \""),
    ("PowerShell's quotes", "\u{2018}; New-Item pwned; \u{2019}"),
    ("an expansion", "${IFS}$PATH$$"),
    ("a pipe and a redirection", "x | tee pwned > pwned && touch pwned"),
    ("a script", "</td><script>alert(1)</script><!--"),
    ("a link and a table", "[x](https://evil.example) | y | ![z](https://evil.example/p.png)"),
    ("JSON in JSON", "\",\"access_token\":\"forged\",\"x\":\""),
    ("a token's look-alike", "eyJhbGciOiJub25lIn0.e30."),
    ("white space", " \t "),
    ("a path", "../../../../etc/passwd"),
];

/// Those that have broken other programs; met by every sink.
const WORST: [&str; 13] = [
    "a line feed and a command",
    "a heredoc",
    "NUL",
    "a mask",
    "the first form within",
    "an output's command",
    "percent",
    "a hyperlink",
    "bidi",
    "a command's substitution",
    "a quote and a command",
    "a script",
    "JSON in JSON",
];

/// The value as JSON text.
fn as_json(value: &str) -> String {
    let is_json = value.starts_with("\"a\\u") || value.starts_with("\"\\u");
    if is_json { value.to_owned() } else { Value::from(value).to_string() }
}

/// The value as a text; what JSON alone can say is left out.
fn as_text(value: &str) -> String {
    serde_json::from_str::<String>(&as_json(value)).unwrap_or_else(|_| "a\u{fffd}b".to_owned())
}

/// The value as a variable or an argument may have it.
fn as_variable(value: &str) -> OsString {
    OsString::from_vec(as_text(value).replace('\0', "\u{1}").into_bytes())
}

/// The value as a header may have it.
fn as_header(value: &str) -> String {
    as_text(value).replace(['\r', '\n', '\0'], " ")
}

/// An object with this member, which may be JSON that no library would write.
fn object(members: &[(&str, String)]) -> String {
    let members: Vec<String> = members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
    format!("{{{}}}", members.join(","))
}

fn json_reply(status: u16, body: String) -> Reply {
    Reply::status(status).header("content-type", "application/json").body(body)
}

/// A good answer of the STS, but for one member.
fn answer(job: Job, name: &'static str, value: &str) -> Job {
    let value = as_json(value);
    job.sts_with(move |_| {
        let good = support::job::sts_success();
        let mut members: Vec<(&str, String)> = good
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_string()))
            .filter(|(known, _)| *known != name)
            .collect();
        members.push((name, value.clone()));
        Some(json_reply(200, object(&members)))
    })
}

fn refusal(job: Job, name: &'static str, value: &str) -> Job {
    let mut members = vec![(name, as_json(value))];
    if name != "error" {
        members.push(("error", "\"invalid_request\"".to_owned()));
    }
    job.sts_always(json_reply(400, object(&members)))
}

fn claim(job: Job, name: &'static str, value: &str) -> Job {
    let value = as_text(value);
    job.claims(move |claims| drop(claims.insert(name.to_owned(), json!(value))))
}

fn header(job: Job, status: u16, name: &'static str, value: &str) -> Job {
    job.sts_always(Reply::status(status).header(name, as_header(value)).body("x"))
}

fn variable(job: Job, name: &str, value: &str) -> Job {
    job.env(name, as_variable(value))
}

type Put = fn(Job, &str) -> Job;

/// Where a value can come from.
const PLACES: [(&str, Put); 41] = [
    // A secret that is made of words which stand in every message would be found everywhere.
    ("access_token", |job, value| {
        let words = ["equinix-wif-", "EQUINIX_API_TOKEN", "access_token", "access-token"];
        answer(
            job,
            "access_token",
            &words.iter().fold(value.to_owned(), |value, word| value.replace(word, "z")),
        )
    }),
    ("scope", |job, value| answer(job, "scope", value)),
    ("token_type", |job, value| answer(job, "token_type", value)),
    ("issued_token_type", |job, value| answer(job, "issued_token_type", value)),
    ("expires_in", |job, value| answer(job, "expires_in", value)),
    ("an unknown member", |job, value| answer(job, "extra", value)),
    ("error beside a token", |job, value| answer(job, "error", value)),
    ("error", |job, value| refusal(job, "error", value)),
    ("error_description", |job, value| refusal(job, "error_description", value)),
    ("errorDescription", |job, value| refusal(job, "errorDescription", value)),
    ("a body of 400", |job, value| job.sts_always(Reply::status(400).body(as_text(value)))),
    ("a body of 403", |job, value| job.sts_always(Reply::status(403).body(as_text(value)))),
    ("a body of 200", |job, value| {
        job.sts_always(Reply::status(200).header("content-type", "application/json").body(as_text(value)))
    }),
    ("Content-Type", |job, value| header(job, 200, "content-type", value)),
    ("Location", |job, value| header(job, 302, "location", value)),
    ("WWW-Authenticate", |job, value| header(job, 401, "www-authenticate", value)),
    ("Retry-After", |job, value| header(job, 429, "retry-after", value)),
    ("the ID token", |job, value| job.id_token_always(json_reply(200, object(&[("value", as_json(value))])))),
    ("GitHub's message", |job, value| {
        job.id_token_always(json_reply(403, object(&[("message", as_json(value))])))
    }),
    ("GitHub's Location", |job, value| {
        job.id_token_always(Reply::status(307).header("location", as_header(value)))
    }),
    ("sub", |job, value| claim(job, "sub", value)),
    ("iss", |job, value| claim(job, "iss", value)),
    ("iss as expected", |job, value| {
        let mut expectation = OsString::from("iss=");
        expectation.push(as_variable(value));
        let value = as_variable(value).into_string().unwrap();
        claim(job, "iss", &value).arg("--expect").arg(expectation)
    }),
    ("aud", |job, value| claim(job, "aud", value)),
    ("repository", |job, value| claim(job, "repository", value)),
    ("ref", |job, value| claim(job, "ref", value).args(["--expect", "ref=x"])),
    ("environment", |job, value| claim(job, "environment", value)),
    ("job_workflow_ref", |job, value| claim(job, "job_workflow_ref", value)),
    ("run_id", |job, value| claim(job, "run_id", value)),
    ("GITHUB_REPOSITORY", |job, value| variable(job, "GITHUB_REPOSITORY", value)),
    ("GITHUB_ACTOR", |job, value| variable(job.without_id_token_permission(), "GITHUB_ACTOR", value)),
    ("GITHUB_EVENT_NAME", |job, value| {
        variable(job.without_id_token_permission(), "GITHUB_EVENT_NAME", value)
    }),
    ("GITHUB_SERVER_URL", |job, value| variable(job, "GITHUB_SERVER_URL", value)),
    ("ACTIONS_ID_TOKEN_REQUEST_URL", |job, value| variable(job, "ACTIONS_ID_TOKEN_REQUEST_URL", value)),
    ("EQUINIX_WIF_AUDIENCE", |job, value| {
        variable(job.without_flag("--audience"), "EQUINIX_WIF_AUDIENCE", value)
    }),
    ("EQUINIX_TOKEN_EXCHANGE_SCOPE", |job, value| {
        variable(job.without_flag("--scope"), "EQUINIX_TOKEN_EXCHANGE_SCOPE", value)
    }),
    ("EQUINIX_WIF_ENV_NAME", |job, value| variable(job, "EQUINIX_WIF_ENV_NAME", value)),
    ("EQUINIX_WIF_EXPECT", |job, value| variable(job, "EQUINIX_WIF_EXPECT", value)),
    ("EQUINIX_STS_ENDPOINT", |job, value| {
        variable(job.without_flag("--sts-endpoint"), "EQUINIX_STS_ENDPOINT", value)
    }),
    ("HTTPS_PROXY", |job, value| variable(job, "HTTPS_PROXY", value)),
    ("--provider", |job, value| job.arg("--provider").arg(as_variable(value))),
];

/// A GitHub job that consents to a token without masks, for readers that keep standard error.
fn consenting() -> Job {
    Job::github().arg("--force").masks_unchecked()
}

/// What a sink is: a command in a job, and whether its stdout holds the token.
type Make = fn() -> Job;
const SINKS: [(&str, Make); 13] = [
    ("github", everything),
    ("env-file", || Job::github().args(["--format", "env-file"])),
    ("shell", || Job::github().args(["--format", "shell"]).token_on_stdout()),
    ("fish", || Job::github().args(["--format", "fish"]).token_on_stdout()),
    ("powershell", || Job::github().args(["--format", "powershell"]).token_on_stdout()),
    ("json", || Job::github().args(["--format", "json"]).token_on_stdout()),
    ("credential-process", || consenting().args(["--format", "credential-process"]).token_on_stdout()),
    ("terraform-external", || {
        consenting().args(["--format", "terraform-external"]).stdin("{}").token_on_stdout()
    }),
    ("kubernetes", || {
        let info = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{}}"#;
        consenting().args(["--format", "kubernetes"]).env("KUBERNETES_EXEC_INFO", info).token_on_stdout()
    }),
    ("raw", || Job::github().args(["--format", "raw"]).token_on_stdout()),
    ("exec", || Job::github().exec(["true"])),
    ("inspect", || {
        Job::github().command("inspect").without_flag("--sts-endpoint").args([
            "--all-claims",
            "--summary",
            "always",
        ])
    }),
    ("doctor", || Job::github().command("doctor").args(["--exchange", "--format", "json"])),
];

/// The runner's files, the summary and the report at once.
fn everything() -> Job {
    Job::github().args(["--export-env", "--summary", "always", "-v"])
}

fn is_clean(text: &str) -> bool {
    let odd = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    !text.chars().any(odd)
}

/// Every text in it.
fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        Value::Object(members) => members
            .iter()
            .flat_map(|(name, value)| std::iter::once(name.as_str()).chain(texts(value)))
            .collect(),
        _ => Vec::new(),
    }
}

/// What holds after every run, whatever came in.
#[track_caller]
fn is_harmless(outcome: &Outcome) {
    outcome.require(outcome.signal.is_none(), "no signal ended it");
    outcome.require(outcome.status.is_some_and(|s| s != 1 && s != 101), "it is no internal error");

    // The runner's files hold our names and no other.
    let names = |entries: &std::collections::BTreeMap<String, String>| -> BTreeSet<String> {
        entries.keys().cloned().collect()
    };
    let set = |names: &[&str]| -> BTreeSet<String> { names.iter().map(|name| (*name).to_owned()).collect() };
    let outputs = outcome.outputs();
    let allowed = [
        set(&[]),
        set(&["error-code"]),
        set(&[
            "access-token",
            "token-type",
            "expires-in",
            "expires-at",
            "scope",
            "subject",
            "issuer",
            "available",
        ]),
    ];
    outcome.require(allowed.contains(&names(&outputs)), &format!("the outputs are ours: {outputs:?}"));
    outcome.require(outputs.values().all(|value| is_clean(value) && !value.contains('\n')), "they are lines");
    outcome.require(outputs.get("access-token").is_none_or(|token| token != "forged"), "no token is forged");
    let exports = outcome.exports();
    let allowed = [set(&[]), set(&["EQUINIX_API_TOKEN", "EQUINIX_API_TOKEN_EXPIRES_AT"])];
    outcome.require(allowed.contains(&names(&exports)), &format!("the variables are ours: {exports:?}"));

    // The runner obeys our masks and shows our one annotation; nothing else is a command.
    outcome.require(runner::commands(&outcome.stdout).is_empty(), "stdout has no command");
    let commands = runner::commands(&outcome.stderr);
    for command in &commands {
        let token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
        let ours = match command.name.as_str() {
            "add-mask" => command.data.len() >= 16 && command.data.chars().all(token),
            "error" => command.properties.get("title").is_some_and(|title| title.starts_with("equinix-wif ")),
            _ => false,
        };
        outcome.require(ours, &format!("the command is ours: {command:?}"));
    }
    let annotations = commands.iter().filter(|command| command.name == "error").count();
    outcome.require(annotations <= 1, "there is one annotation at most");

    // People see nothing but text.
    outcome.require(is_clean(&outcome.stderr), "stderr has no control characters");
    outcome.require(is_clean(&outcome.stdout), "stdout has no control characters");
    // What looks like a token among the arguments is not read any further.
    let refused = outcome.stderr.contains("error[cfg-secret-in-argv]");
    outcome.require(outcome.report.is_some() || refused, "there is a report");
    for text in outcome.report.iter().flat_map(texts) {
        let safe = is_clean(text) && !text.contains("::") && !text.contains("##");
        outcome.require(safe, &format!("the report holds safe texts: {text:?}"));
    }
    let summary = String::from_utf8_lossy(outcome.summary_file.as_deref().unwrap_or_default()).into_owned();
    outcome.require(is_clean(&summary), "the summary has no control characters");
    for markup in ["<script", "<!--", "](", "![", "::"] {
        outcome.require(!summary.contains(markup), &format!("the summary has no {markup}"));
    }

    // Nobody ran anything.
    outcome.require(!outcome.files.keys().any(|path| path.ends_with("pwned")), "nothing was executed");
}

#[test]
fn the_corpus_is_what_it_should_be() {
    let names: BTreeSet<&str> = CORPUS.iter().map(|(name, _)| *name).collect();
    assert_eq!(names.len(), CORPUS.len(), "names are unique");
    assert!(WORST.iter().all(|name| names.contains(name)));
    // The ports see what the values are meant to do when nothing defuses them.
    let commands: usize = CORPUS.iter().map(|(_, value)| runner::commands(&as_text(value)).len()).sum();
    assert!(commands >= 15, "{commands}");
}

#[test]
fn every_value_in_every_place_does_no_harm() {
    let mut cases = Vec::new();
    for (place, put) in PLACES {
        for (name, value) in CORPUS {
            cases.push((format!("{name} in {place}"), (put, value)));
        }
    }
    eprintln!("{} runs: {} values in {} places", cases.len(), CORPUS.len(), PLACES.len());
    assert_eq!(cases.len(), 56 * 41);
    // What may pass by itself is retried until the time is over.
    each(&cases, |(put, value)| is_harmless(&put(everything().args(["--timeout", "2"]), value).run()));
}

#[test]
fn the_worst_values_do_no_harm_in_any_sink() {
    // Places whose values get through to the sinks.
    let through = [
        "scope",
        "error_description",
        "sub",
        "iss as expected",
        "environment",
        "repository",
        "an unknown member",
    ];
    let mut cases = Vec::new();
    for (sink, make) in SINKS {
        for (place, put) in PLACES.into_iter().filter(|(place, _)| through.contains(place)) {
            for (name, value) in CORPUS.into_iter().filter(|(name, _)| WORST.contains(name)) {
                cases.push((format!("{name} in {place} through {sink}"), (make, put, value)));
            }
        }
    }
    assert_eq!(cases.len(), 13 * 7 * 13);
    each(&cases, |(make, put, value)| is_harmless(&put(make(), value).run()));
}

#[test]
fn what_a_caller_asks_for_does_no_harm() {
    let mut cases = Vec::new();
    for (name, value) in CORPUS {
        cases.push((format!("{name} in the query"), (value, "query")));
        cases.push((format!("{name} as a member of the query"), (value, "member")));
        cases.push((format!("{name} in a kubeconfig"), (value, "kubeconfig")));
        cases.push((format!("{name} as KUBERNETES_EXEC_INFO"), (value, "variable")));
        cases.push((format!("{name} as --output"), (value, "output")));
        cases.push((format!("{name} as a command"), (value, "command")));
        cases.push((format!("{name} in the event"), (value, "event")));
    }
    each(&cases, |(value, way)| {
        let terraform = || consenting().without_flag("--audience").args(["--format", "terraform-external"]);
        let kubernetes = |info: OsString| {
            let job = consenting().without_flag("--audience").args(["--format", "kubernetes"]);
            job.env("KUBERNETES_EXEC_INFO", info)
        };
        let job = match *way {
            "query" => terraform().stdin(object(&[("audience", as_json(value))])),
            "member" => terraform().stdin(format!("{{{}:\"x\"}}", as_json(value))),
            "kubeconfig" => kubernetes(
                object(&[
                    ("apiVersion", "\"client.authentication.k8s.io/v1\"".to_owned()),
                    ("kind", "\"ExecCredential\"".to_owned()),
                    (
                        "spec",
                        object(&[(
                            "cluster",
                            object(&[("config", object(&[("audience", as_json(value))]))]),
                        )]),
                    ),
                ])
                .into(),
            ),
            "variable" => kubernetes(as_variable(value)),
            "output" => Job::github().args(["--format", "json", "--output"]).arg(as_variable(value)),
            "event" => {
                let payload =
                    json!({"pull_request": {"head": {"repo": as_text(value)}}, "action": as_text(value)});
                Job::github().without_id_token_permission().event("pull_request", payload)
            }
            _ => Job::github().exec([as_variable(value)]),
        };
        is_harmless(&job.token_on_stdout().run());
    });
}

#[test]
fn gitlab_jobs_stay_as_harmless() {
    let places: [(&str, Put); 5] = [
        ("sub", |job, value| claim(job, "sub", value)),
        ("project_path", |job, value| claim(job, "project_path", value)),
        ("CI_SERVER_URL", |job, value| variable(job, "CI_SERVER_URL", value)),
        ("the ID token", |job, value| variable(job, SUBJECT_TOKEN, value)),
        ("error_description", |job, value| refusal(job, "error_description", value)),
    ];
    let mut cases = Vec::new();
    for (place, put) in places {
        for (name, value) in CORPUS {
            cases.push((format!("{name} in {place}"), (put, value)));
        }
    }
    each(&cases, |(put, value)| {
        let outcome = put(Job::gitlab().env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE), value).run();
        outcome.require(outcome.signal.is_none() && outcome.status != Some(1), "it ends by itself");
        outcome.require(is_clean(&outcome.stderr) && is_clean(&outcome.stdout), "no control characters");
        outcome.require(runner::commands(&outcome.stderr).is_empty(), "no command of a runner");
        if outcome.status == Some(0) {
            let path = outcome.printed_path().expect("the path of the file, and nothing else");
            let text = String::from_utf8_lossy(&outcome.files[&path]).into_owned();
            let expected = format!("export EQUINIX_API_TOKEN='{}';\n", outcome.access_token());
            outcome
                .require(text.starts_with(&expected) && text.lines().count() == 3, "our lines and no other");
        } else {
            outcome.stdout_is("");
        }
    });
}
