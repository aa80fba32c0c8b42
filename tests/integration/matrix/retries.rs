//! M7: failures that pass, those that do not, and what a server may ask to be waited for.

use super::Ends::{Badly, Well};
use super::support::server::Reply;
use super::{Ends, RETRIED, Row, github};

/// A server that does not recover.
const ALWAYS: usize = usize::MAX;
const HOUR: &str = "3600";
const PAST: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

fn busy(status: u16) -> Reply {
    Reply::status(status).header("Retry-After", "0")
}

/// An STS that gives this reply so often, and then a token.
fn failure(failures: usize, reply: Reply, code: &'static str) -> Row {
    // An answer that was lost may have used the ID token up, so each attempt has a fresh one.
    let id_tokens = |asked| if code == "net-reset" { asked } else { 1 };
    if failures == ALWAYS {
        let job = github().sts_always(reply);
        return Row::new(Badly(8, code), (id_tokens(RETRIED), RETRIED), job).retried();
    }
    let asked = failures + 1;
    Row::new(Well, (id_tokens(asked), asked), github().sts_queue(vec![reply; failures]))
}

/// An STS that asks once to be waited for.
fn wait(wait: &str, asked: usize, ends: Ends) -> Row {
    let reply = Reply::status(429).header("Retry-After", wait);
    Row::new(ends, (1, asked), github().sts_reply(reply)).within(10)
}

faults! {
    m07 {
        failure(usize: once = 1, twice = 2, three_times = 3, always = ALWAYS) {
            status_409: failure(busy(409)) => "sts-conflict";
            status_429: failure(busy(429)) => "rate-limited";
            status_503: failure(busy(503)) => "server-error";
            a_reset: failure(Reply::reset()) => "net-reset";
        }
        wait_for {
            a_second: wait("1", 2) => Well;
            a_date_that_has_passed: wait(PAST, 2) => Well;
            no_time_at_all: wait("soon", 2) => Well;
            // It does not fit into the time, so the run ends at once.
            an_hour: wait(HOUR, 1) => Badly(8, "rate-limited");
        }
    }
}
