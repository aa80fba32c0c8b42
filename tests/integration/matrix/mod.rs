//! The fault matrix: each row is a fault and a test of its own, and six things hold in every row.
//!
//! 1. the exit status is exactly this;
//! 2. so is the code in the report;
//! 3. no secret is anywhere but in its sinks (the harness looks through streams, files and requests after each run);
//! 4. the sinks are as they were after a failure, and whole after a success;
//! 5. it takes no longer than its time and a second;
//! 6. the servers got as many requests as they should, and nobody else got a secret (the harness again).
//!
//! The blocks have the numbers and sizes of the specification of faults: M1 transport, M2 status, M3 bodies, M4 what an
//! answer means, M5 ID tokens, M6 clocks, M7 retries, M8 files and streams, M9 processes and signals, M10 settings and
//! platforms, M11 proxies and TLS, M12 injection, M13 grants with a stored secret, M14 renewals, M15 other platforms.
//! `m03::nothing` runs that fault at both servers, `m03::nothing::sts` at one, and `m03::` the block.

#![cfg(target_os = "linux")]

use crate::support;

/// Makes each row a test that can be run by its name. A row is `name: make(what, …) => ends;` and calls
/// `make(what, …, ends)`, which gives a [`Row`]; what follows `=>` may be left out.
///
/// A block of rows, and a block of groups:
///
/// ```text
/// faults! { m05 { padding: shape(|token| format!("{token}=")) => MALFORMED; } }
/// faults! { m08 { output { new: output("token", |_| {}) => Well; } standard_output { … } } }
/// ```
///
/// With cases, each row is a test for each case, whose value comes before the other arguments. `(both)` stands for the
/// two servers:
///
/// ```text
/// faults! { m09(Phase: exchanging = Phase::Exchange, writing = Phase::Writing) { term: signal("TERM", 15); } }
/// faults! { m03(both) { nothing: json("") => TEXT; } }
/// ```
macro_rules! faults {
    ($block:ident { $($name:ident: $make:ident($($what:expr),* $(,)?) $(=> $ends:expr)?;)+ }) => {
        mod $block {
            use super::*;
            $(
                #[test]
                fn $name() {
                    $make($($what,)* $($ends)?).check();
                }
            )+
        }
    };
    ($block:ident { $($group:ident $(($($cases:tt)+))? { $($rows:tt)+ })+ }) => {
        mod $block {
            use super::*;
            $(faults! { $group $(($($cases)+))? { $($rows)+ } })+
        }
    };
    ($block:ident(both) { $($rows:tt)+ }) => {
        faults! { $block(End: id_token = End::IdToken, sts = End::Sts) { $($rows)+ } }
    };
    (
        $block:ident $cases:tt
        { $($name:ident: $make:ident($($what:expr),* $(,)?) $(=> $ends:expr)?;)+ }
    ) => {
        mod $block {
            use super::*;
            $(faults! { @in_each $cases $name: $make($($what),*) $(=> $ends)? })+
        }
    };
    (
        @in_each ($type:ty: $($case:ident = $value:expr),+ $(,)?)
        $name:ident: $make:ident($($what:expr),*) $(=> $ends:expr)?
    ) => {
        mod $name {
            use super::*;
            fn check(case: $type) {
                $make(case, $($what,)* $($ends)?).check();
            }
            $(
                #[test]
                fn $case() {
                    check($value);
                }
            )+
        }
    };
}

mod answers;
mod clocks;
#[cfg(feature = "classic-grants")]
mod grants;
mod id_tokens;
mod injection;
mod places;
mod platforms;
mod processes;
mod proxies;
#[cfg(feature = "renew")]
mod renewals;
mod retries;
mod settings;
mod transport;

use std::io::Write as _;
use std::process::Command;
use std::time::Duration;

use support::end::End;
use support::job::Job;
use support::outcome::Outcome;

/// How a run ends.
#[derive(Debug, Clone, Copy)]
enum Ends {
    /// With a token in its sink.
    Well,
    /// With this exit status and code.
    Badly(i32, &'static str),
    /// By this signal.
    BySignal(i32),
}

/// At least two requests: one that is retried until the time is over.
const RETRIED: usize = usize::MAX;

/// One fault.
#[must_use = "a row does nothing until `check`"]
struct Row {
    job: Job,
    ends: Ends,
    /// Requests to the ID-token endpoint and to the STS: so many, or [`RETRIED`].
    requests: (usize, usize),
    /// The time for the whole run, in seconds.
    seconds: u64,
    /// What else has to hold.
    also: fn(&Outcome),
}

impl Row {
    fn new(ends: Ends, requests: (usize, usize), job: Job) -> Self {
        Self { job, ends, requests, seconds: 60, also: |_| {} }
    }

    /// With so little time, in seconds.
    fn within(self, seconds: u64) -> Self {
        Self { job: self.job.args(["--timeout".to_owned(), seconds.to_string()]), seconds, ..self }
    }

    /// With two seconds, since what does not pass is retried until the time is over.
    fn retried(self) -> Self {
        self.within(2)
    }

    fn and(self, also: fn(&Outcome)) -> Self {
        Self { also, ..self }
    }

    #[track_caller]
    fn check(self) {
        let outcome = self.job.run();
        match self.ends {
            Ends::Well => drop(outcome.succeeds()),
            Ends::Badly(exit, code) => drop(outcome.fails(exit, code)),
            Ends::BySignal(signal) => outcome.require(outcome.signal == Some(signal), "the signal ended it"),
        }
        outcome.within(Duration::from_secs(self.seconds + 1));
        let (id_tokens, exchanges) = self.requests;
        if id_tokens == RETRIED {
            outcome.require(outcome.issuer.requests.len() > 1, "the ID token was asked for again");
        } else {
            outcome.id_token_requests(id_tokens);
        }
        if exchanges == RETRIED {
            outcome.require(outcome.sts.requests.len() > 1, "the STS was asked again");
        } else {
            outcome.sts_requests(exchanges);
        }
        (self.also)(&outcome);
    }
}

/// A job whose token goes to the outputs and the variables.
fn github() -> Job {
    Job::github().arg("--export-env")
}

/// Requests when one to the ID-token endpoint is enough to find the fault, if there is one.
fn one_each_or_no_exchange(ends: Ends) -> (usize, usize) {
    if matches!(ends, Ends::Well) { (1, 1) } else { (1, 0) }
}

/// The blocks with their sizes.
const BLOCKS: [(&str, usize); 15] = [
    ("M1 transport", 32),
    ("M2 status", 48),
    ("M3 bodies", 40),
    ("M4 answers", 36),
    ("M5 ID tokens", 40),
    ("M6 clocks", 10),
    ("M7 retries", 20),
    ("M8 places", 45),
    ("M9 processes", 24),
    ("M10 settings", 26),
    ("M11 proxies and TLS", 16),
    ("M12 injection", 30),
    ("M13 grants with a stored secret", 183),
    ("M14 renewals", 60),
    ("M15 other platforms", 83),
];

/// Counts what this program lists, so that a row which is no test is noticed.
#[test]
fn there_are_693_faults() {
    let listing =
        Command::new(std::env::current_exe().unwrap()).args(["--list", "--format", "terse"]).output();
    let listing = String::from_utf8(listing.unwrap().stdout).unwrap();
    let count = |number: usize| {
        let module = format!("::m{number:02}::");
        listing.lines().filter(|line| line.contains(&module) && line.ends_with(": test")).count()
    };
    for (number, (block, size)) in (1..).zip(BLOCKS) {
        assert_eq!(count(number), size, "{block} has as many rows as it should");
    }
    let total: usize = BLOCKS.iter().map(|(_, size)| size).sum();
    assert_eq!(total, 693);
    // In the log of the gate, where what a passing test prints is left out.
    std::io::stderr().write_all(b"693 faults, six invariants each\n").unwrap();
}
