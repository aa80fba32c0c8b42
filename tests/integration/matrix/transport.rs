//! M1: what breaks below HTTP, at either server. Broken connections are tried again until the time is over; silence uses it up.

use std::time::Duration;

use serde_json::json;

use super::support::server::Reply;
use super::{End, Ends, RETRIED, Row, github};

/// The pause between the bytes of what trickles.
const TICK: Duration = Duration::from_millis(20);
/// Nothing listens on ports below 1024 in a test.
const CLOSED: &str = "http://127.0.0.1:1";

/// An answer that has headers and a body to be cut.
fn answer() -> Reply {
    Reply::status(400).json_body(&json!({"error": "invalid_request", "message": "0123456789".repeat(20)}))
}

/// A connection that breaks after the request was read.
fn broken(end: End, reply: Reply, code: &'static str) -> Row {
    let requests = match end {
        End::IdToken => (RETRIED, 0),
        // The answer to an exchange may have been lost with the token used up, so another ID token is fetched.
        End::Sts => (RETRIED, RETRIED),
    };
    breaks(end, reply, code, requests)
}

/// A connection that breaks with the request unread, which is no request in the log.
fn broken_unread(end: End, reply: Reply, code: &'static str) -> Row {
    let requests = match end {
        End::IdToken => (0, 0),
        // Over plain TCP nobody can tell whether the request got through.
        End::Sts => (RETRIED, 0),
    };
    breaks(end, reply, code, requests)
}

fn breaks(end: End, reply: Reply, code: &'static str, requests: (usize, usize)) -> Row {
    // Thirty are more than fit into two seconds.
    Row::new(Ends::Badly(8, code), requests, end.replies(github(), vec![reply; 30])).retried()
}

/// A server that read the request and does not answer it, or not in time.
fn silent(end: End, reply: Reply) -> Row {
    let requests = match end {
        End::IdToken => (1, 0),
        End::Sts => (1, 1),
    };
    Row::new(Ends::Badly(8, "deadline"), requests, end.replies(github(), [reply])).within(1)
}

/// A server that does not even read.
fn silent_unread(end: End, reply: Reply) -> Row {
    let requests = match end {
        End::IdToken => (0, 0),
        End::Sts => (1, 0),
    };
    Row { requests, ..silent(end, reply) }
}

/// A port that nobody listens on.
fn refused(end: End) -> Row {
    let ends = Ends::Badly(8, "net-connect");
    match end {
        End::IdToken => {
            let url = format!("{CLOSED}/idtoken?x=1");
            Row::new(ends, (0, 0), github().env("ACTIONS_ID_TOKEN_REQUEST_URL", url)).retried()
        }
        End::Sts => {
            let job = github().without_flag("--sts-endpoint").args(["--sts-endpoint", CLOSED]);
            Row::new(ends, (1, 0), job).retried()
        }
    }
}

faults! {
    m01(both) {
        closed_before_the_request: broken_unread(Reply::close_unread()) => "net-reset";
        reset_before_the_request: broken_unread(Reply::reset_unread()) => "net-reset";
        closed_before_the_answer: broken(Reply::close()) => "net-reset";
        reset_before_the_answer: broken(Reply::reset()) => "net-reset";
        closed_in_the_headers: broken(answer().cut_in_head()) => "net-reset";
        reset_in_the_headers: broken(answer().cut_in_head().then_reset()) => "net-reset";
        closed_in_the_body: broken(answer().cut_in_body()) => "net-truncated";
        reset_in_the_body: broken(answer().cut_in_body().then_reset()) => "net-truncated";
        closed_in_a_chunk: broken(answer().chunked().cut_in_body()) => "net-truncated";
        silence_before_the_request: silent_unread(Reply::stall_unread());
        silence_before_the_answer: silent(Reply::stall());
        silence_in_the_headers: silent(answer().cut_in_head().then_stall());
        silence_in_the_body: silent(answer().cut_in_body().then_stall());
        headers_that_trickle: silent(answer().drip_head(TICK));
        a_body_that_trickles: silent(answer().drip_body(TICK));
        refused: refused();
    }
}
