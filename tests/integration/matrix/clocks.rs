//! M6: clocks that differ. The `Date` of the platform's answer tells whose clock is wrong.

use serde_json::json;

use super::support::job::Job;
use super::support::server::Reply;
use super::{Ends, Row, Rows, github};

/// A token that was made `ago` seconds ago for five minutes, in an answer with a date.
fn job(ago: i64, date: Option<String>) -> Job {
    let now = time::OffsetDateTime::now_utc().unix_timestamp();
    let made = now - ago;
    let job = github().claims(move |claims| {
        for (name, value) in [("iat", made), ("nbf", made - 600), ("exp", made + 300)] {
            claims.insert(name.to_owned(), json!(value));
        }
    });
    let reply = Reply::json(&json!({"value": job.mint()}));
    let reply = match date {
        Some(date) => reply.header("Date", date),
        None => reply,
    };
    job.id_token_always(reply)
}

/// This many seconds ago, as a header has it.
fn date(ago: i64) -> String {
    let moment = time::OffsetDateTime::now_utc() - time::Duration::seconds(ago);
    httpdate::fmt_http_date(moment.into())
}

/// What the answer's `Date` is.
type When = fn() -> Option<String>;
/// A name, how long ago the token was made, its answer's date, how the run ends, and the requests.
type Case = (&'static str, i64, When, Ends, (usize, usize));

pub(super) fn rows() -> Rows {
    let expired = Ends::Badly(5, "claim-expired");
    let future = Ends::Badly(5, "claim-not-yet-valid");
    let cases: [Case; 10] = [
        ("in step", 0, || Some(date(0)), Ends::Well, (1, 1)),
        ("an old token", 3600, || Some(date(0)), expired, (1, 0)),
        ("this clock is an hour ahead", 3600, || Some(date(3600)), Ends::Well, (1, 1)),
        ("this clock is an hour behind", -3600, || Some(date(-3600)), Ends::Well, (1, 1)),
        ("a token of tomorrow", -86_400, || Some(date(0)), future, (1, 0)),
        ("this clock is years behind", -200_000_000, || Some(date(-200_000_000)), Ends::Well, (1, 1)),
        ("a minute ahead, within the leeway", -50, || Some(date(0)), Ends::Well, (1, 1)),
        ("an old token and a date that is none", 3600, || Some("yesterday".to_owned()), expired, (1, 0)),
        (
            "an old token and a date before 1970",
            3600,
            || Some("Thu, 01 Jan 1950 00:00:00 GMT".to_owned()),
            expired,
            (1, 0),
        ),
        ("an old token and a date that makes it older", 3600, || Some(date(-3600)), expired, (1, 0)),
    ];
    let row = |(name, ago, when, ends, requests): Case| {
        (name.to_owned(), Row::new(ends, requests, move || job(ago, when())))
    };
    cases.into_iter().map(row).collect()
}
