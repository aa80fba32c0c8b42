//! The retry policy as a job sees it: what is tried again, how often, after which wait, with
//! which ID token, and when a run gives up.
//!
//! `Retry-After: 0` keeps the waits of most cases short, and `--timeout 2` ends a run that would never succeed.

use crate::support;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use support::job::{Job, sts_error};
use support::outcome::Outcome;
use support::runner;
use support::server::Reply;
use support::table::each;
use support::token;
use support::turns::measured;

/// A passing failure that asks for no wait.
fn busy(status: u16) -> Reply {
    Reply::status(status).header("Retry-After", "0").body("<html>busy</html>")
}

#[track_caller]
fn reports(outcome: &Outcome, members: &Value) {
    let report = outcome.report.as_ref().unwrap();
    for (name, value) in members.as_object().unwrap() {
        outcome.require(&report[name] == value, &format!("the report's {name} is {value}"));
    }
}

/// The ID tokens that the STS got, in their order.
fn sent(outcome: &Outcome) -> Vec<String> {
    outcome.sts.requests.iter().map(|request| request.form_value("subject_token").unwrap()).collect()
}

/// The lines that tell of a retry, without the time.
fn told(outcome: &Outcome) -> Vec<&str> {
    let lines = outcome.stderr.lines().filter(|line| line.contains("trying again in"));
    lines.map(|line| line.split(", trying").next().unwrap()).collect()
}

/// The wait before the first retry, as it was told.
fn told_wait(outcome: &Outcome) -> f64 {
    let line = outcome.stderr.lines().find_map(|line| line.split_once("trying again in ")).unwrap().1;
    let (wait, rest) = line.split_once(" s (").unwrap();
    let left = rest.strip_suffix(" s of --timeout left)").unwrap();
    assert!(left.parse::<u64>().unwrap() <= 60, "{left}");
    wait.parse().unwrap()
}

const TRANSIENT: [(u16, &str); 8] = [
    (408, "server-error"),
    (409, "sts-conflict"),
    (425, "server-error"),
    (429, "rate-limited"),
    (500, "server-error"),
    (502, "server-error"),
    (503, "server-error"),
    (504, "server-error"),
];

/// How many attempts a run that has used its two seconds up has made: the waits in between are random.
#[track_caller]
fn several_attempts(outcome: &Outcome) -> usize {
    let attempts = outcome.report.as_ref().unwrap()["attempts"].as_u64().unwrap();
    outcome.require((2..20).contains(&attempts), "several attempts");
    outcome.within(Duration::from_secs(3));
    usize::try_from(attempts).unwrap()
}

#[test]
fn the_sts_may_fail_three_times() {
    let mut cases = Vec::new();
    for (status, code) in TRANSIENT {
        for failures in 1..=3 {
            cases.push((format!("{status}, {failures} times"), (status, code, failures)));
        }
    }
    each(&cases, |(status, code, failures)| {
        let outcome = Job::github().sts_queue(vec![busy(*status); *failures]).run();
        outcome.succeeds().sts_requests(failures + 1).id_token_requests(1);
        let expected: Vec<String> = (1..=*failures)
            .map(|n| format!("equinix-wif: exchanging the token: attempt {n} failed ({code})"))
            .collect();
        outcome.require(told(&outcome) == expected, "each retry has its line");
        // An answer came each time, so the ID token was not used up.
        outcome.require(
            sent(&outcome).iter().all(|token| *token == outcome.id_token()),
            "it is the same ID token",
        );
        outcome
            .require(outcome.outputs()["access-token"] == outcome.access_token(), "the token is handed over");
        outcome.stderr_lacks("busy");
    });
}

#[test]
fn the_sts_may_not_fail_until_the_deadline() {
    let cases = TRANSIENT.map(|(status, code)| (status, (status, code)));
    each(&cases, |(status, code)| {
        let outcome = Job::github().args(["--timeout", "2"]).sts_always(busy(*status)).run();
        let attempts = several_attempts(&outcome);
        outcome.fails(8, code).sts_requests(attempts).id_token_requests(1).stderr_has(&format!("({status})"));
        outcome.require(told(&outcome).len() == attempts - 1, "each retry is told of");
        outcome.stderr_lacks("<html>");
        reports(
            &outcome,
            &json!({"attempts": attempts, "http_status": status, "stage": "exchange", "retryable": true, "oauth_error": null}),
        );
        outcome.require(
            outcome.reported_error_code().as_deref() == Some(*code),
            "the next step can read the code",
        );
    });
}

#[test]
fn the_issuer_may_fail_three_times_and_not_until_the_deadline() {
    let pending = json!({"message": "Can't issue ID_TOKEN for job in 'Pending' state"});
    let pending = Reply::status(403).json_body(&pending);
    let mut cases: Vec<_> = TRANSIENT
        .map(|(status, code)| {
            // A conflict is the STS's word; from GitHub it is an error like any other.
            (status.to_string(), (busy(status), status, if status == 409 { "server-error" } else { code }))
        })
        .into();
    cases.push(("not in progress yet".to_owned(), (pending, 403, "id-token-not-ready")));
    each(&cases, |(reply, status, code)| {
        let job = vec![reply.clone(); 3].into_iter().fold(Job::github(), Job::id_token_reply);
        let outcome = job.run();
        outcome.succeeds().id_token_requests(4).sts_requests(1);
        outcome.require(told(&outcome).len() == 3, "three retries are told of");

        let outcome = Job::github().args(["--timeout", "2"]).id_token_always(reply.clone()).run();
        let attempts = several_attempts(&outcome);
        outcome.fails(8, code).id_token_requests(attempts).sts_requests(0);
        reports(&outcome, &json!({"attempts": attempts, "http_status": status, "stage": "identity"}));
    });
}

/// Attempts are counted for each server by itself.
#[test]
fn both_servers_may_fail_in_one_run() {
    let job = [503, 500].into_iter().map(busy).fold(Job::github(), Job::id_token_reply);
    let outcome = job.sts_queue([busy(429), busy(409), busy(503)]).run();
    outcome.succeeds().id_token_requests(3).sts_requests(4);

    let outcome = Job::github()
        .id_token_reply(busy(503))
        .sts_queue([busy(429), sts_error("invalid_grant", "no")])
        .run();
    outcome.fails(6, "sts-denied").id_token_requests(2).sts_requests(2);
    reports(&outcome, &json!({"attempts": 2, "http_status": 400}));
}

fn http_date(from_now: i64) -> String {
    let offset = Duration::from_secs(from_now.unsigned_abs());
    let now = SystemTime::now();
    httpdate::fmt_http_date(if from_now < 0 { now - offset } else { now + offset })
}

/// What `Retry-After` says in seconds, which is the least that the run then waits; none where it is left to chance.
#[test]
fn retry_after_is_a_minimum() {
    let cases = [
        ("0", ("0".to_owned(), Some(0.0))),
        ("1", ("1".to_owned(), Some(1.0))),
        ("with blanks", (" 1 ".to_owned(), Some(1.0))),
        ("a date in the past", (http_date(-60), Some(0.0))),
        ("a date long ago", ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), Some(0.0))),
        ("garbage", ("soon".to_owned(), None)),
        ("negative", ("-5".to_owned(), None)),
        ("a fraction", ("7.5".to_owned(), None)),
        ("an exponent", ("1e1".to_owned(), None)),
        ("empty", (String::new(), None)),
        ("a broken date", ("Sun, 99 Nov 2099 08:49:37 GMT".to_owned(), None)),
    ];
    each(&cases, |(value, wait)| {
        for status in [429, 503] {
            let outcome =
                Job::github().sts_reply(Reply::status(status).header("Retry-After", value.clone())).run();
            outcome.succeeds().sts_requests(2).within(Duration::from_secs(5));
            let told = told_wait(&outcome);
            // On top of it comes a random part: up to half a second, or two where the server asked to slow down.
            let own = match wait {
                Some(0.0) => 0.5,
                None if status == 503 => 0.5,
                _ => 2.0,
            };
            let least = wait.unwrap_or(0.1);
            outcome.require(
                (least - 0.05..=least + own + 0.05).contains(&told),
                &format!("the wait is {least} s and up to {own} s more"),
            );
            let waited = Duration::from_secs_f64(told);
            outcome.require(outcome.elapsed + Duration::from_millis(50) >= waited, "the wait is kept");
        }
    });
}

#[test]
fn a_date_is_taken_by_the_servers_own_clock() {
    // Its clock is an hour ahead, and so is the date that it names.
    let reply = Reply::status(429).header("Date", http_date(3600)).header("Retry-After", http_date(3601));
    let outcome = Job::github().sts_reply(reply).run();
    outcome.succeeds().sts_requests(2).within(Duration::from_secs(6));
    let told = told_wait(&outcome);
    // Two dates that are made one after the other may lie a second further apart, and up to two are left to chance.
    outcome.require((1.0..=4.1).contains(&told), "the wait begins with the difference of the two dates");
}

#[test]
fn a_wait_that_does_not_fit_ends_the_run_now() {
    let _turn = measured();
    let cases = [
        ("an hour", "3600".to_owned()),
        ("the whole budget", "60".to_owned()),
        ("10^30", format!("1{}", "0".repeat(30))),
        ("a date tomorrow", http_date(86_400)),
        ("a date in a century", http_date(3_000_000_000)),
    ];
    let mut all = Vec::new();
    for (name, value) in cases {
        for (status, code) in [(429, "rate-limited"), (503, "server-error")] {
            all.push((format!("{name}, {status}"), (value.clone(), status, code)));
        }
    }
    each(&all, |(value, status, code)| {
        let reply = Reply::status(*status).header("Retry-After", value.clone());
        let outcome = Job::github().sts_always(reply.clone()).run();
        outcome.fails(8, code).sts_requests(1).within(Duration::from_millis(1500));
        reports(&outcome, &json!({"attempts": 1, "http_status": status}));
        let outcome = Job::github().id_token_always(reply).run();
        outcome.fails(8, code).id_token_requests(1).sts_requests(0).within(Duration::from_millis(1500));
    });
}

#[test]
fn the_deadline_ends_a_run_that_would_retry() {
    type Case = (fn() -> Job, fn(&Outcome));
    fn asks(seconds: &str) -> Reply {
        Reply::status(503).header("Retry-After", seconds)
    }
    fn job() -> Job {
        Job::github().args(["--timeout", "2"])
    }
    let _turn = measured();
    let cases: [(&str, Case); 5] = [
        (
            "a wait that does not fit",
            (
                || job().sts_always(asks("2")),
                |outcome| {
                    outcome.fails(8, "server-error").sts_requests(1).within(Duration::from_millis(1500));
                },
            ),
        ),
        (
            "a second wait that does not fit",
            (
                || job().sts_always(asks("1")),
                |outcome| {
                    outcome.fails(8, "server-error").sts_requests(2).within(Duration::from_secs(3));
                    reports(outcome, &json!({"attempts": 2}));
                },
            ),
        ),
        (
            // What is left for the exchange is what the ID token has not used up.
            "a wait for the ID token",
            (
                || job().id_token_reply(asks("1")).sts_always(Reply::stall()),
                |outcome| {
                    outcome.fails(8, "deadline").id_token_requests(2).sts_requests(1);
                    outcome.within(Duration::from_secs(3));
                    reports(outcome, &json!({"attempts": 1, "stage": "exchange"}));
                },
            ),
        ),
        (
            // That the time is over does not hide what it was used up with.
            "silence after a failure",
            (
                || job().sts_queue([busy(503), Reply::stall()]),
                |outcome| {
                    outcome.fails(8, "deadline").stderr_has("attempt before: the STS failed (503)");
                },
            ),
        ),
        (
            "a variable's time",
            (
                || Job::github().env("EQUINIX_WIF_TIMEOUT", "1").sts_always(Reply::stall()),
                |outcome| {
                    outcome.fails(8, "deadline").within(Duration::from_secs(2));
                },
            ),
        ),
    ];
    each(&cases, |(job, check)| check(&job().run()));
}

/// What happens to the first attempt, and whether its answer may have been lost: then the ID token may be used up.
type Lost = (&'static str, fn() -> Reply, bool);

const LOST: [Lost; 7] = [
    ("closed after the request", Reply::close, true),
    ("reset after the request", Reply::reset, true),
    ("closed in the headers", || Reply::status(200).cut_in_head(), true),
    ("closed in the body", || sts_error("invalid_grant", "cut").cut_in_body(), true),
    ("no HTTP", || Reply::raw("hello\r\n\r\n"), true),
    ("unavailable", || busy(503), false),
    ("too many requests", || busy(429), false),
];

#[test]
fn github_makes_a_fresh_id_token_when_an_answer_was_lost() {
    each(&LOST.map(|case| (case.0, case)), |(_, reply, lost)| {
        let outcome = Job::github().sts_reply(reply()).run();
        outcome.succeeds().sts_requests(2).id_token_requests(if *lost { 2 } else { 1 });
        let sent = sent(&outcome);
        outcome.require((sent[0] != sent[1]) == *lost, "a token whose answer was lost is not sent again");
        outcome.require(sent[1] == outcome.id_token(), "the newest token is sent");
        // Every token is masked, the fresh one too; the harness checks that it is before the token is sent.
        let masks: Vec<String> =
            runner::commands(&outcome.stderr).into_iter().map(|command| command.data).collect();
        outcome.require(sent.iter().all(|token| masks.contains(token)), "each token is masked");

        // With the fresh token, a refusal is a refusal.
        let outcome = Job::github().sts_queue([reply(), sts_error("invalid_grant", "no")]).run();
        outcome.fails(6, "sts-denied").sts_requests(2).stderr_lacks("was lost");
        reports(&outcome, &json!({"attempts": 2}));
    });
}

#[test]
fn gitlab_sends_its_token_again_and_says_what_that_may_mean() {
    each(&LOST.map(|case| (case.0, case)), |(_, reply, lost)| {
        let outcome = Job::gitlab().sts_reply(reply()).run();
        outcome.succeeds().sts_requests(2);
        let tokens = sent(&outcome);
        outcome.require(tokens[0] == tokens[1], "the job has one token");

        let outcome = Job::gitlab().sts_queue([reply(), sts_error("invalid_grant", "no")]).run();
        outcome.fails(6, "sts-denied").sts_requests(2);
        let says = "the answer to an earlier attempt was lost";
        if *lost {
            outcome.stderr_has(says)
        } else {
            outcome.stderr_lacks(says)
        };
        let message = outcome.report.as_ref().unwrap()["message"].to_string();
        outcome.require(message.contains(says) == *lost, "the report says so too");
    });
}

#[test]
fn nothing_is_lost_when_nothing_was_sent() {
    // The connection ends before TLS does: the token cannot have left.
    let outcome = Job::github().tls().sts_reply(Reply::close_unread()).run();
    outcome.succeeds().id_token_requests(1).sts_requests(1);
    let outcome =
        Job::gitlab().tls().sts_queue([Reply::close_unread(), sts_error("invalid_grant", "no")]).run();
    outcome.fails(6, "sts-denied").stderr_lacks("was lost");
}

#[test]
fn an_id_token_that_is_about_to_expire_is_fetched_anew() {
    let short = |lives: usize| {
        let made = AtomicUsize::new(0);
        Job::github().claims(move |claims| {
            if made.fetch_add(1, Ordering::Relaxed) < lives {
                claims.insert("exp".to_owned(), json!(token::now() + 20));
            }
        })
    };
    let outcome = short(1).run();
    outcome.succeeds().id_token_requests(2).sts_requests(1);
    outcome.require(sent(&outcome) == [outcome.id_token()], "the fresh one is sent");
    // One that is no better ends the run, and is not sent.
    let outcome = short(9).run();
    outcome.fails(5, "id-token-expiring").id_token_requests(2).sts_requests(0);
    // GitLab has no other.
    let gitlab = Job::gitlab().claims(|claims| {
        claims.insert("exp".to_owned(), json!(token::now() + 20));
    });
    gitlab.run().fails(5, "id-token-expiring").sts_requests(0);
}

#[test]
fn permanent_errors_take_one_attempt() {
    let _turn = measured();
    let issuer = [400, 401, 402, 403, 404, 405, 410, 418, 422, 451, 501, 505].map(|status| (status, status));
    each(&issuer, |status| {
        let outcome =
            Job::github().id_token_always(Reply::status(*status).json_body(&json!({"message": "no"}))).run();
        outcome.fails(4, "id-token-http").id_token_requests(1).sts_requests(0).within(Duration::from_secs(2));
        reports(&outcome, &json!({"attempts": 1, "http_status": status, "stage": "identity"}));
    });
    // An hour's wait that comes with a permanent error is not for us.
    let outcome = Job::github().sts_always(sts_error("invalid_scope", "no").header("Retry-After", "1")).run();
    outcome.fails(6, "sts-scope-denied").sts_requests(1).within(Duration::from_millis(900));
}

#[test]
fn quiet_runs_do_not_tell_of_retries() {
    let outcome = Job::github().arg("-q").sts_queue([busy(503)]).run();
    outcome.succeeds().sts_requests(2).stderr_lacks("trying again").stderr_lacks("warning");
}

/// An attempt has 15 seconds, and 5 for the connection with TLS. Slow, but all at once. That a connection which was opened
/// ahead comes to nothing is no failed attempt.
#[test]
fn a_silent_server_costs_an_attempt_and_not_the_run() {
    type Set = fn() -> Job;
    let cases: [(&str, (Set, u64, &str)); 4] = [
        ("no TLS at the STS", (|| Job::github().tls().sts_reply(Reply::stall_unread()), 5, "")),
        (
            "no TLS at the issuer",
            (|| Job::github().tls().id_token_reply(Reply::stall_unread()), 5, "tls-handshake"),
        ),
        ("no answer at the STS", (|| Job::github().sts_reply(Reply::stall()), 15, "net-timeout")),
        (
            "a trickle at the issuer",
            (
                || {
                    let tick = Duration::from_millis(100);
                    Job::github().id_token_reply(Reply::json(&json!({"value": "x"})).drip_body(tick))
                },
                15,
                "net-timeout",
            ),
        ),
    ];
    each(&cases, |(job, seconds, code)| {
        let outcome = job().run();
        outcome.succeeds().stderr_lacks("attempt 2");
        match *code {
            "" => outcome.stderr_lacks("attempt"),
            code => outcome.stderr_has(&format!("attempt 1 failed ({code})")),
        };
        outcome.within(Duration::from_secs(seconds + 3));
        outcome.require(outcome.elapsed >= Duration::from_secs(*seconds), "the attempt had its time");
        // A POST without an answer may have been acted on, so a fresh ID token was made; and a GET was made again.
        outcome.id_token_requests(if *code == "net-timeout" { 2 } else { 1 });
    });
}

/// Two seconds in which nobody is there, and in which every answer is an error: a hiccup, with the default settings.
#[test]
fn an_outage_of_two_seconds_is_survived() {
    let cases = [("no answer", Reply::reset()), ("errors", Reply::status(502)), ("busy", Reply::status(503))];
    each(&cases, |reply| {
        let mut began = None;
        let reply = reply.clone();
        let outcome = Job::gitlab()
            .sts_with(move |_| {
                let began = began.get_or_insert_with(Instant::now);
                (began.elapsed() < Duration::from_secs(2)).then(|| reply.clone())
            })
            .run();
        outcome.succeeds().within(Duration::from_secs(8));
        outcome.require(outcome.elapsed >= Duration::from_secs(2), "it was waited for");
    });
}
