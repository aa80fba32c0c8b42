//! Tests of what is told, waited for and counted.

use super::*;
use crate::clock::fixed::FixedClock;
use crate::report::console::{Verbosity, captured};

/// Makes attempts that fail as the script says; `None` is a success. Returns the result, the waits and what was said.
fn run(limit: u64, random: f64, script: &[Option<Retry>]) -> (Result<u32, Error>, Vec<f64>, String) {
    run_with(Code::ServerError, limit, random, script)
}

fn run_with(
    code: Code,
    limit: u64,
    random: f64,
    script: &[Option<Retry>],
) -> (Result<u32, Error>, Vec<f64>, String) {
    let clock = FixedClock::at(0);
    let (console, lines) = captured::console(Verbosity::Normal, false);
    let deadline = Deadline::after(clock.now(), Duration::from_secs(limit));
    let retries = Retries { clock: &clock, deadline, random: &|| random, console: &console, is_quiet: false };
    let result = retries.run("asking", |attempt| {
        match script.get(attempt.number as usize - 1).or(script.last()).unwrap() {
            None => Ok(attempt.number),
            Some(retry) => Err(Failure::new(Error::new(code, "x"), *retry)),
        }
    });
    (result, clock.sleeps().iter().map(Duration::as_secs_f64).collect(), lines.text())
}

const AGAIN: Option<Retry> = Some(Retry::Again { after: None });

fn asked(seconds: u64) -> Retry {
    Retry::Again { after: Some(Duration::from_secs(seconds)) }
}

#[test]
fn waits_double_and_chance_scales_them_down_to_a_quarter() {
    let (result, sleeps, said) = run(60, 1.0, &[AGAIN, AGAIN, AGAIN, None]);
    assert_eq!((result.unwrap(), sleeps), (4, vec![0.5, 1.0, 2.0]));
    assert_eq!(
        said.lines().next().unwrap(),
        "equinix-wif: asking: attempt 1 failed (server-error), trying again in 0.5 s (60 s of --timeout left)"
    );
    assert_eq!(run(60, 0.0, &[AGAIN, AGAIN, AGAIN, None]).1, [0.125, 0.25, 0.5]);
    assert_eq!(run(600, 1.0, &[AGAIN; 8]).1[..7], [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
}

#[test]
fn on_a_terminal_the_wait_counts_down_in_one_line_that_stays() {
    let clock = FixedClock::at(0);
    let (console, lines) = captured::console(Verbosity::Normal, false);
    let console = console.with_countdown(true);
    let deadline = Deadline::after(clock.now(), Duration::from_secs(60));
    let retries = Retries { clock: &clock, deadline, random: &|| 0.0, console: &console, is_quiet: false };
    let outcome = retries.run("asking", |attempt| match attempt.number {
        1 => Err(Failure::new(Error::new(Code::ServerError, "x"), asked(2))),
        _ => Ok(()),
    });
    assert!(outcome.is_ok());
    assert_eq!(clock.sleeps().iter().sum::<Duration>(), Duration::from_millis(2100));
    let of = |rest: &str, left: u64| {
        format!(
            "equinix-wif: asking: attempt 1 failed (server-error), trying again in {rest} s ({left} s of --timeout left)"
        )
    };
    let passing = |line: String| format!("\r\u{1b}[K\u{1b}[?7l{line}\u{1b}[?7h");
    let shown = [
        passing(of("2.1", 60)),
        passing(of("1.1", 59)),
        passing(of("0.1", 58)),
        format!("\r\u{1b}[K{}\n", of("2.1", 60)),
    ];
    assert_eq!(lines.text(), shown.concat());
}

#[test]
fn a_server_that_asks_to_slow_down_is_asked_more_slowly() {
    let waits = run_with(Code::RateLimited, 600, 1.0, &[AGAIN, AGAIN, AGAIN, AGAIN, None]).1;
    assert_eq!(waits, [2.0, 8.0, 24.0, 24.0]);
}

#[test]
fn it_goes_on_until_the_deadline_and_not_beyond() {
    for random in [0.0, 0.3, 1.0] {
        for code in [Code::ServerError, Code::RateLimited] {
            let (result, sleeps, _) = run_with(code, 60, random, &[AGAIN]);
            let total: f64 = sleeps.iter().sum();
            assert!(total > 58.0 && total < 59.5, "{total}");
            assert_eq!(result.unwrap_err().attempts(), Some(u32::try_from(sleeps.len()).unwrap() + 1));
        }
    }
    assert_eq!(run(0, 1.0, &[AGAIN]).1.len(), 0, "no time, no wait");
}

#[test]
fn permanent_failures_end_at_once_and_once_is_once() {
    let (result, sleeps, said) = run(60, 1.0, &[Some(Retry::Never)]);
    assert_eq!((result.unwrap_err().attempts(), sleeps.len(), said.as_str()), (Some(1), 0, ""));
    let (result, sleeps, _) = run(60, 1.0, &[Some(Retry::Once)]);
    assert_eq!((result.unwrap_err().attempts(), sleeps.len()), (Some(2), 1));
    // Others in between do not use it up.
    let (result, _, _) = run(60, 1.0, &[AGAIN, Some(Retry::Once), AGAIN, Some(Retry::Once)]);
    assert_eq!(result.unwrap_err().attempts(), Some(4));
}

#[test]
fn retry_after_is_a_minimum() {
    for (seconds, random, wait) in
        [(0, 0.0, 0.1), (0, 1.0, 0.5), (1, 0.0, 1.1), (1, 1.0, 3.0), (7, 0.0, 7.1), (7, 1.0, 14.0)]
    {
        assert_eq!(run(60, random, &[Some(asked(seconds)), None]).1, [wait], "{seconds}, {random}");
    }
    // The last attempt may be anywhere in what is left, but for the time that it takes itself.
    for seconds in [20, 30, 40, 58] {
        assert_eq!(run(60, 1.0, &[Some(asked(seconds)), None]).1, [59.0], "{seconds}");
    }
    assert_eq!(run(60, 0.0, &[Some(asked(58)), None]).1, [58.1]);
}

#[test]
fn a_retry_after_beyond_the_deadline_ends_the_run_now() {
    for (limit, retry) in [(60, asked(3600)), (60, asked(60)), (10, asked(u64::MAX))] {
        let (result, sleeps, _) = run(limit, 1.0, &[Some(retry)]);
        let error = result.unwrap_err();
        assert_eq!((error.attempts(), sleeps.len()), (Some(1), 0), "{retry:?}");
        assert!(error.details()[0].1.starts_with("the server asks to wait "), "{:?}", error.details());
    }
}

#[test]
fn an_attempt_that_was_cut_short_gives_the_next_one_all_the_time() {
    let clock = FixedClock::at(0);
    let (console, _) = captured::console(Verbosity::Normal, false);
    let deadline = Deadline::within(Duration::from_secs(600));
    let retries = Retries { clock: &clock, deadline, random: &|| 1.0, console: &console, is_quiet: false };
    let mut seen = Vec::new();
    let result = retries.run("asking", |attempt| {
        seen.push((attempt.end() == deadline, attempt.connect_timeout().as_secs()));
        let failure = Failure::transient(Error::new(Code::NetTimeout, "x"), None);
        match attempt.number {
            4 => Ok(()),
            number => Err(Failure { was_cut_short: number == 2, ..failure }),
        }
    });
    assert!(result.is_ok());
    assert_eq!(seen, [(false, 5), (false, 5), (true, 15), (true, 15)]);
}
