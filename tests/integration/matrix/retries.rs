//! M7: failures that pass, those that do not, and what a server may ask to be waited for.

use super::support::server::Reply;
use super::{Ends, Row, Rows, github};

pub(super) fn rows() -> Rows {
    let busy = |status: u16| Reply::status(status).header("Retry-After", "0");
    let mut rows = Rows::new();
    for (name, reply, code) in [
        ("409", busy(409), "sts-conflict"),
        ("429", busy(429), "rate-limited"),
        ("503", busy(503), "server-error"),
        ("a reset", Reply::reset(), "net-reset"),
    ] {
        // A server that asks to slow down is asked more often.
        let attempts = if code == "rate-limited" { 12 } else { 4 };
        for failures in [1, 2, 3, attempts] {
            let reply = reply.clone();
            let (ends, asked) = if failures < attempts {
                (Ends::Well, failures + 1)
            } else {
                (Ends::Badly(8, code), attempts)
            };
            // An answer that was lost may have used the ID token up, so each attempt has a fresh one.
            let id_tokens = if name == "a reset" { asked } else { 1 };
            let row =
                Row::new(ends, (id_tokens, asked), move || github().sts_queue(vec![reply.clone(); failures]));
            rows.push((format!("{name}, {failures} times"), row));
        }
    }
    let asking = |wait: &str| Reply::status(429).header("Retry-After", wait);
    for (name, wait, ends, asked) in [
        ("a second", "1", Ends::Well, 2),
        ("a date that has passed", "Sun, 06 Nov 1994 08:49:37 GMT", Ends::Well, 2),
        ("no time at all", "soon", Ends::Well, 2),
        // It does not fit into the time, so the run ends at once.
        ("an hour", "3600", Ends::Badly(8, "rate-limited"), 1),
    ] {
        let reply = asking(wait);
        let row = Row::new(ends, (1, asked), move || github().sts_reply(reply.clone()));
        rows.push((format!("a wait for {name}"), row.within(10)));
    }
    rows
}
