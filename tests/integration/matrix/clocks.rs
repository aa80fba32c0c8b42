//! M6: clocks that differ. The `Date` of the platform's answer tells whose clock is wrong.

use serde_json::json;
use time::{Duration, OffsetDateTime};

use super::Ends::{Badly, Well};
use super::support::server::Reply;
use super::{Ends, Row, github, one_each_or_no_exchange};

/// A token that was made `ago` seconds ago for five minutes, in an answer with this date.
fn token(ago: i64, date: impl Into<String>, ends: Ends) -> Row {
    let made = OffsetDateTime::now_utc().unix_timestamp() - ago;
    let job = github().claims(move |claims| {
        for (name, value) in [("iat", made), ("nbf", made - 600), ("exp", made + 300)] {
            claims.insert(name.to_owned(), json!(value));
        }
    });
    let reply = Reply::json(&json!({"value": job.mint()})).header("Date", date);
    Row::new(ends, one_each_or_no_exchange(ends), job.id_token_always(reply))
}

/// This many seconds ago, as a header has it.
fn date(ago: i64) -> String {
    httpdate::fmt_http_date((OffsetDateTime::now_utc() - Duration::seconds(ago)).into())
}

const EXPIRED: Ends = Badly(5, "claim-expired");
const FUTURE: Ends = Badly(5, "claim-not-yet-valid");

faults! {
    m06 {
        in_step: token(0, date(0)) => Well;
        an_old_token: token(3600, date(0)) => EXPIRED;
        this_clock_is_an_hour_ahead: token(3600, date(3600)) => Well;
        this_clock_is_an_hour_behind: token(-3600, date(-3600)) => Well;
        a_token_of_tomorrow: token(-86_400, date(0)) => FUTURE;
        this_clock_is_years_behind: token(-200_000_000, date(-200_000_000)) => Well;
        a_minute_ahead_within_the_leeway: token(-50, date(0)) => Well;
        an_old_token_and_a_date_that_is_none: token(3600, "yesterday") => EXPIRED;
        an_old_token_and_a_date_before_1970: token(3600, "Thu, 01 Jan 1950 00:00:00 GMT") => EXPIRED;
        an_old_token_and_a_date_that_makes_it_older: token(3600, date(-3600)) => EXPIRED;
    }
}
