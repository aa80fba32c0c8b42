//! M15: the ID-token endpoints of other platforms than GitHub, and helper programs.

use serde_json::json;

use super::Ends::Badly;
use super::support::job::Job;
use super::support::server::Reply;
use super::support::worlds::{BUILDKITE_AGENT, metadata_answer};
use super::{Ends, RETRIED, Row};

type Make = fn() -> Job;

/// Each request is answered like this, and asked once.
fn answer(job: Make, reply: Reply, ends: Ends) -> Row {
    Row::new(ends, (1, 0), job().id_token_always(reply))
}

/// Each request is answered like this, and asked until the time is over.
fn retried(job: Make, reply: Reply, ends: Ends) -> Row {
    Row::new(ends, (RETRIED, 0), job().id_token_always(reply)).retried()
}

/// Nobody answers.
fn silent(job: Make, ends: Ends) -> Row {
    Row::new(ends, (1, 0), job().id_token_always(Reply::stall())).within(2)
}

/// The job lacks its bearer token.
fn without_bearer(job: Make, ends: Ends) -> Row {
    let names = ["ACTIONS_ID_TOKEN_REQUEST_TOKEN", "SYSTEM_ACCESSTOKEN", "VELA_ID_TOKEN_REQUEST_TOKEN"];
    Row::new(ends, (0, 0), names.into_iter().fold(job(), Job::unset))
}

/// The agent's program does this when it is asked for the ID token, or told what to hide.
fn agent(call: &str, lines: &str, exchanges: usize, ends: Ends) -> Row {
    let script = format!("if [ \"$1\" = {call} ]; then {lines}\nfi\n{BUILDKITE_AGENT}");
    Row::new(ends, (0, exchanges), Job::buildkite().agent_script(&script)).within(3)
}

/// AWS's program does this.
fn aws(lines: &str, ends: Ends) -> Row {
    Row::new(ends, (0, 0), Job::aws().agent_script(lines)).within(3)
}

/// CircleCI's program does this, in a job whose ready token is for another audience.
fn circleci(lines: &str, ends: Ends) -> Row {
    let ready = Job::bare().audience("5b7f9a1e-6c61-4f1a-9c3e-0d5b8a4c2e11").mint();
    let job =
        Job::bare().helper("circleci", lines).env("CIRCLECI", "true").env("CIRCLE_OIDC_TOKEN_V2", ready);
    Row::new(ends, (0, 0), job.args(["--format", "env-file"])).within(3)
}

fn no_aws(path: &str, ends: Ends) -> Row {
    Row::new(ends, (0, 0), Job::aws().env("PATH", path))
}

fn no_agent(path: &str, ends: Ends) -> Row {
    Row::new(ends, (0, 0), Job::buildkite().env("PATH", path))
}

/// The metadata server answers like this, once.
fn metadata(reply: Reply, ends: Ends) -> Row {
    answer(Job::google, reply, ends)
}

/// The variable leads elsewhere.
fn metadata_at(host: &str, ends: Ends) -> Row {
    Row::new(ends, (0, 0), Job::google().env("GCE_METADATA_HOST", host))
}

const NOT_OFFERED: Ends = Badly(3, "id-token-not-offered");
const HTTP: Ends = Badly(4, "id-token-http");
const MALFORMED: Ends = Badly(4, "id-token-malformed");
const NOT_JSON: Ends = Badly(4, "id-token-not-json");
const HELPER: Ends = Badly(4, "id-token-helper");
const TOO_LARGE: Ends = Badly(4, "id-token-too-large");
const LATE: Ends = Badly(8, "deadline");
const UNTRUSTED: Ends = Badly(10, "endpoint-untrusted");
const UNMASKED: Ends = Badly(10, "mask-undeliverable");

const FLOOD: &str = "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done";

faults! {
    m15 {
        endpoints(Make: forgejo = Job::forgejo, azure = Job::azure, vela = Job::vela) {
            no_bearer: without_bearer() => NOT_OFFERED;
            status_400: answer(Reply::status(400)) => HTTP;
            status_401: answer(Reply::status(401)) => HTTP;
            status_403: answer(Reply::status(403)) => HTTP;
            status_404: answer(Reply::status(404)) => HTTP;
            status_500: retried(Reply::status(500)) => Badly(8, "server-error");
            status_503: retried(Reply::status(503)) => Badly(8, "server-error");
            a_redirect: answer(Reply::status(302).header("Location", "https://login.example/"))
                => Badly(4, "id-token-redirect");
            a_page: answer(Reply::status(200).header("Content-Type", "text/html").body("<html>")) => NOT_JSON;
            no_token: answer(Reply::json(&json!({"count": 1}))) => MALFORMED;
            a_word: answer(Reply::json(&json!({"value": "x", "token": "x", "oidcToken": "x"}))) => MALFORMED;
            silence: silent() => LATE;
        }
        google {
            status_400: metadata(Reply::status(400)) => HTTP;
            status_403: metadata(Reply::status(403)) => HTTP;
            status_404: metadata(Reply::status(404)) => HTTP;
            status_429: retried(Job::google, Reply::status(429)) => Badly(8, "rate-limited");
            status_500: retried(Job::google, Reply::status(500)) => Badly(8, "server-error");
            status_503: retried(Job::google, Reply::status(503)) => Badly(8, "server-error");
            a_redirect: metadata(Reply::status(302).header("Location", "https://login.example/"))
                => Badly(4, "id-token-redirect");
            a_page: metadata(Reply::status(200).header("Content-Type", "text/html").body("<html>")) => UNTRUSTED;
            no_header: metadata(Reply::status(200).body("a.b.c")) => UNTRUSTED;
            nothing: metadata(metadata_answer("")) => MALFORMED;
            a_word: metadata(metadata_answer("x")) => MALFORMED;
            rubbish: metadata(metadata_answer("\u{1}\u{0}")) => MALFORMED;
            json: metadata(metadata_answer("{\"token\":\"x\"}")) => MALFORMED;
            too_long: metadata(metadata_answer(&"x".repeat(20_000))) => TOO_LARGE;
            too_large: metadata(metadata_answer(&"x".repeat(300_000))) => TOO_LARGE;
            silence: silent(Job::google) => LATE;
            another_host: metadata_at("metadata.example") => UNTRUSTED;
            another_path: metadata_at("127.0.0.1:1/latest") => UNTRUSTED;
        }
        aws {
            none: no_aws("/usr/bin:/bin") => NOT_OFFERED;
            fails: aws("echo 'An error occurred' >&2; exit 254") => HELPER;
            no_credentials: aws("echo 'Unable to locate credentials.' >&2; exit 253") => NOT_OFFERED;
            is_killed: aws("kill -9 $$") => HELPER;
            says_nothing: aws("exit 0") => NOT_JSON;
            says_rubbish: aws("head -c 300 /dev/zero") => NOT_JSON;
            says_a_token: aws("cat \"$here/token\"") => NOT_JSON;
            says_something_else: aws("echo '{\"Expiration\": 1}'") => MALFORMED;
            says_it_twice: aws("echo '{}{}'") => NOT_JSON;
            says_a_word: aws("echo '{\"WebIdentityToken\": \"x\"}'") => MALFORMED;
            floods: aws(FLOOD) => TOO_LARGE;
            hangs: aws("sleep 60") => LATE;
        }
        circleci {
            fails: circleci("exit 1") => HELPER;
            says_nothing: circleci("exit 0") => MALFORMED;
            floods: circleci(FLOOD) => TOO_LARGE;
            hangs: circleci("sleep 60") => LATE;
        }
        helper {
            none: no_agent("/usr/bin:/bin") => NOT_OFFERED;
            none_but_in_the_checkout: no_agent(".:/usr/bin:/bin") => NOT_OFFERED;
            fails: agent("oidc", "echo no >&2; exit 1", 0) => HELPER;
            is_killed: agent("oidc", "kill -9 $$", 0) => HELPER;
            says_nothing: agent("oidc", "exit 0", 0) => MALFORMED;
            says_rubbish: agent("oidc", "head -c 300 /dev/zero; exit 0", 0) => MALFORMED;
            floods: agent("oidc", FLOOD, 0) => TOO_LARGE;
            floods_standard_error: agent("oidc", "head -c 900000 /dev/zero >&2; exit 1", 0) => HELPER;
            hangs: agent("oidc", "sleep 60", 0) => LATE;
            leaves_one_that_hangs: agent("oidc", "sleep 60 & exit 0", 0) => HELPER;
            hides_nothing: agent("redactor", "exit 1", 0) => UNMASKED;
            hides_without_an_end: agent("redactor", "sleep 60", 0) => UNMASKED;
            hides_the_first_alone: agent("redactor", "test ! -e \"$here/redacted\" || exit 1", 1) => UNMASKED;
        }
    }
}
