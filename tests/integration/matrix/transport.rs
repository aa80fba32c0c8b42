//! M1: what breaks below HTTP, at either server. Broken connections are tried four times; silence uses the time up.

use std::time::Duration;

use serde_json::json;

use super::support::server::Reply;
use super::{End, Ends, Row, Rows, github};

/// An answer that has headers and a body to be cut.
fn answer() -> Reply {
    Reply::status(400).json_body(&json!({"error": "invalid_request", "message": "0123456789".repeat(20)}))
}

pub(super) fn rows() -> Rows {
    let tick = Duration::from_millis(20);
    let broken = [
        ("closed before the request", Reply::close_unread(), "net-reset"),
        ("reset before the request", Reply::reset_unread(), "net-reset"),
        ("closed before the answer", Reply::close(), "net-reset"),
        ("reset before the answer", Reply::reset(), "net-reset"),
        ("closed in the headers", answer().cut_in_head(), "net-reset"),
        ("reset in the headers", answer().cut_in_head().then_reset(), "net-reset"),
        ("closed in the body", answer().cut_in_body(), "net-truncated"),
        ("reset in the body", answer().cut_in_body().then_reset(), "net-truncated"),
        ("closed in a chunk", answer().chunked().cut_in_body(), "net-truncated"),
    ];
    let silent = [
        ("silence before the request", Reply::stall_unread()),
        ("silence before the answer", Reply::stall()),
        ("silence in the headers", answer().cut_in_head().then_stall()),
        ("silence in the body", answer().cut_in_body().then_stall()),
        ("headers that trickle", answer().drip_head(tick)),
        ("a body that trickles", answer().drip_body(tick)),
    ];
    let mut rows = Rows::new();
    for end in End::BOTH {
        for (name, reply, code) in broken.clone() {
            // What was closed unread is no request in the log.
            let unread = name.ends_with("before the request");
            let tries = if unread { 0 } else { 4 };
            // The answer to an exchange may have been lost with the token used up, so another ID token is fetched.
            let requests = match end {
                End::IdToken => (tries, 0),
                // Over plain TCP nobody can tell whether the request got through.
                End::Sts if unread => (4, 0),
                End::Sts => (4, 4),
            };
            let row = Row::new(Ends::Badly(8, code), requests, move || {
                end.replies(github(), vec![reply.clone(); end.connections(4)])
            });
            rows.push((format!("{name}, {end:?}"), row));
        }
        for (name, reply) in silent.clone() {
            let unread = name.ends_with("before the request");
            let requests = match end {
                End::IdToken => (usize::from(!unread), 0),
                End::Sts => (1, usize::from(!unread)),
            };
            let row = Row::new(Ends::Badly(8, "deadline"), requests, move || {
                end.replies(github(), vec![reply.clone()])
            });
            rows.push((format!("{name}, {end:?}"), row.within(1)));
        }
        // Nothing listens on ports below 1024 in a test.
        let closed = "http://127.0.0.1:1";
        let row = match end {
            End::IdToken => Row::new(Ends::Badly(8, "net-connect"), (0, 0), move || {
                github().env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{closed}/idtoken?x=1"))
            }),
            End::Sts => Row::new(Ends::Badly(8, "net-connect"), (1, 0), move || {
                github().without_flag("--sts-endpoint").args(["--sts-endpoint", closed])
            }),
        };
        rows.push((format!("refused, {end:?}"), row));
    }
    rows
}
