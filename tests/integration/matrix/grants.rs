//! M13: what breaks where a stored secret is sent. A secret is sent once: only what fails before a byte of it has left is
//! tried again.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::job::{Job, classic_error, classic_success, sts_error};
use super::support::server::Reply;
use super::{Ends, RETRIED, Row};

/// The pause between the bytes of what trickles.
const TICK: Duration = Duration::from_millis(20);
/// Nothing listens on ports below 1024 in a test.
const CLOSED: &str = "http://127.0.0.1:1";

/// A grant that asks the classic API first.
#[derive(Clone, Copy)]
enum Grant {
    Client,
    Sts,
    Refresh,
    Password,
}

impl Grant {
    /// A job with everything that the grant needs.
    fn job(self) -> Job {
        match self {
            Self::Client => Job::bare().grant("client-credentials").client(),
            Self::Sts => Job::bare().grant("sts-client-credentials").client(),
            Self::Refresh => Job::bare()
                .grant("refresh-token")
                .client()
                .refresh_token_in("refresh", "aBiLmo8zsMX345MSaHHI-qwErtY8"),
            Self::Password => Job::bare()
                .grant("password")
                .client()
                .args(["--force", "--user-name", "octo-user", "--password-file", "-"])
                .stdin("zyW1abcdefGHI-8zsMX345MSaH")
                .stored_secret("zyW1abcdefGHI-8zsMX345MSaH"),
        }
    }

    /// A row with this answer to every request, and one request.
    fn answers(self, ends: Ends, reply: Reply) -> Row {
        Row::new(ends, (0, 1), self.job().sts_always(reply))
    }
}

/// An answer that has headers and a body to be cut.
fn answer() -> Reply {
    Reply::status(400).json_body(&json!({"error": "invalid_request", "message": "0123456789".repeat(20)}))
}

/// A connection that breaks after the request was read.
fn broken(grant: Grant, reply: Reply, code: &'static str) -> Row {
    grant.answers(Ends::Badly(8, code), reply)
}

/// A connection that breaks with the request unread. Over plain TCP nobody can tell whether it got through.
fn broken_unread(grant: Grant, reply: Reply) -> Row {
    Row::new(Ends::Badly(8, "net-reset"), (0, 0), grant.job().sts_reply(reply))
}

/// A server that read the request and does not answer it in time.
fn silent(grant: Grant, reply: Reply) -> Row {
    Row::new(Ends::Badly(8, "deadline"), (0, 1), grant.job().sts_reply(reply)).within(1)
}

/// A port that nobody listens on.
fn refused(grant: Grant) -> Row {
    let job = grant.job().without_flag("--api-endpoint").args(["--api-endpoint", CLOSED]);
    Row::new(Ends::Badly(8, "net-connect"), (0, 0), job).retried()
}

/// A status with this body.
fn status(grant: Grant, status: u16, body: &str, exit: i32, code: &'static str) -> Row {
    grant.answers(Ends::Badly(exit, code), Reply::status(status).body(body).header("Retry-After", "1"))
}

/// A redirect, which is not followed.
fn redirect(grant: Grant) -> Row {
    grant.answers(
        Ends::Badly(6, "api-redirect"),
        Reply::status(307).header("Location", "https://login.example/oauth2/v1/token"),
    )
}

/// An error of the API.
fn error(grant: Grant, status: u16, code: &str, message: &str, ours: &'static str) -> Row {
    grant.answers(Ends::Badly(6, ours), classic_error(status, code, message))
}

/// Success with this text as JSON.
fn text(grant: Grant, body: &str, code: &'static str) -> Row {
    let reply = Reply::status(200).header("Content-Type", "application/json").body(body);
    grant.answers(Ends::Badly(7, code), reply)
}

/// Success with one member changed, or left out.
fn member(grant: Grant, name: &str, value: Value, code: &'static str) -> Row {
    let mut answer = classic_success();
    if value.is_null() {
        answer.as_object_mut().unwrap().remove(name);
    } else {
        answer[name] = value;
    }
    grant.answers(Ends::Badly(7, code), Reply::json(&answer))
}

/// An answer of the STS to a client's token.
fn second(reply: Reply, ends: Ends, requests: usize) -> Row {
    let caller = "zsMX345MSaHHI-qwErtY8zyW1a";
    let job = Job::bare().grant("sts-client-credentials").env("EQUINIX_API_TOKEN", caller).sts_bearer(caller);
    let row = Row::new(ends, (0, requests), job.sts_always(reply));
    if requests == RETRIED { row.retried() } else { row }
}

faults! {
    m13 {
        classic (Grant: client = Grant::Client, sts = Grant::Sts, refresh = Grant::Refresh, password = Grant::Password) {
            closed_before_the_request: broken_unread(Reply::close_unread());
            reset_before_the_request: broken_unread(Reply::reset_unread());
            closed_before_the_answer: broken(Reply::close()) => "net-reset";
            reset_before_the_answer: broken(Reply::reset()) => "net-reset";
            closed_in_the_headers: broken(answer().cut_in_head()) => "net-reset";
            closed_in_the_body: broken(answer().cut_in_body()) => "net-truncated";
            closed_in_a_chunk: broken(answer().chunked().cut_in_body()) => "net-truncated";
            silence_before_the_answer: silent(Reply::stall());
            silence_in_the_body: silent(answer().cut_in_body().then_stall());
            headers_that_trickle: silent(answer().drip_head(TICK));
            a_body_that_trickles: silent(answer().drip_body(TICK));
            refused: refused();
            redirected: redirect();
            bad_request: status(400, "", 6, "api-denied");
            unauthorized: status(401, "<html>", 6, "api-login-failed");
            forbidden: status(403, "<html>", 6, "api-denied");
            not_found: status(404, "<html>", 6, "api-endpoint-not-found");
            too_many: status(429, "slow down", 8, "rate-limited");
            failed: status(500, "<html>", 8, "server-error");
            bad_gateway: status(502, "<html>", 8, "server-error");
            unavailable: status(503, "", 8, "server-error");
            gateway_timeout: status(504, "{}", 8, "server-error");
            no_content: status(204, "", 7, "api-unexpected-status");
            unknown_status: status(599, "", 7, "api-unexpected-status");
            wrong_login: error(500, "S1006", "Login Failure, please try again.") => "api-login-failed";
            locked: error(400, "4010", "The account is locked") => "api-account-locked";
            denied: error(400, "4001", "something else") => "api-denied";
            no_json: text("<html>") => "api-not-json";
            nothing: text("") => "api-not-json";
            half: text("{\"access_token\":\"abc") => "api-not-json";
            twice: text("{\"access_token\":\"a\",\"access_token\":\"b\"}") => "api-not-json";
            a_list: text("[]") => "api-not-json";
            a_mark: text("\u{feff}{}") => "api-not-json";
            empty_object: text("{}") => "api-response-invalid";
            too_large: text(&format!("{{\"x\":\"{}\"}}", "y".repeat(300_000))) => "api-too-large";
            no_token: member("access_token", Value::Null) => "api-response-invalid";
            a_token_with_a_line_break: member("access_token", json!("abcdefghijklmnop\nqrst")) => "api-response-invalid";
            a_token_that_is_a_command: member("access_token", json!("::set-output name=x::y")) => "api-response-invalid";
            a_number_as_token: member("access_token", json!(1)) => "api-response-invalid";
            another_type: member("token_type", json!("MAC")) => "api-response-invalid";
            no_life: member("token_timeout", json!("0")) => "api-response-invalid";
            a_negative_life: member("token_timeout", json!(-1)) => "api-response-invalid";
            a_life_of_decades: member("token_timeout", json!(1e9)) => "api-response-invalid";
            error_and_success: member("errorCode", json!("S1006")) => "api-response-invalid";
        }
        at_the_sts {
            invalid_client: second(sts_error("invalid_client", "x"), Ends::Badly(6, "sts-denied"), 1);
            invalid_scope: second(sts_error("invalid_scope", "x"), Ends::Badly(6, "sts-scope-denied"), 1);
            unauthorized: second(Reply::status(401), Ends::Badly(6, "sts-forbidden"), 1);
            not_found: second(Reply::status(404), Ends::Badly(6, "sts-endpoint-not-found"), 1);
            unavailable: second(Reply::status(503), Ends::Badly(8, "server-error"), RETRIED);
            too_many: second(Reply::status(429), Ends::Badly(8, "rate-limited"), RETRIED);
            no_json: second(Reply::status(200).body("x"), Ends::Badly(7, "sts-not-json"), 1);
        }
    }
}
