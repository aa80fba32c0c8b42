//! The fault matrix: one row a fault, and six things that hold in every row.
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
//! platforms, M11 proxies and TLS, M12 injection.

#![cfg(target_os = "linux")]

use crate::support;

mod answers;
mod clocks;
mod id_tokens;
mod injection;
mod places;
mod processes;
mod proxies;
mod retries;
mod settings;
mod transport;

use std::io::Write as _;
use std::time::Duration;

use support::end::End;
use support::job::Job;
use support::outcome::Outcome;
use support::table::each;

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

/// Makes the job of a row.
type Make = Box<dyn Fn() -> Job + Send + Sync>;

/// One fault.
struct Row {
    make: Make,
    ends: Ends,
    /// Requests to the ID-token endpoint and to the STS.
    requests: (usize, usize),
    /// The time for the whole run, in seconds.
    seconds: u64,
    /// What else has to hold.
    also: fn(&Outcome),
}

impl Row {
    fn new(ends: Ends, requests: (usize, usize), make: impl Fn() -> Job + Send + Sync + 'static) -> Self {
        Self { make: Box::new(make), ends, requests, seconds: 60, also: |_| {} }
    }

    /// With so little time, in seconds.
    fn within(mut self, seconds: u64) -> Self {
        let make = self.make;
        self.make = Box::new(move || make().args(["--timeout".to_owned(), seconds.to_string()]));
        Self { seconds, ..self }
    }

    fn and(self, also: fn(&Outcome)) -> Self {
        Self { also, ..self }
    }

    fn check(&self) {
        let outcome = (self.make)().run();
        match self.ends {
            Ends::Well => drop(outcome.succeeds()),
            Ends::Badly(exit, code) => drop(outcome.fails(exit, code)),
            Ends::BySignal(signal) => outcome.require(outcome.signal == Some(signal), "the signal ended it"),
        }
        outcome.within(Duration::from_secs(self.seconds + 1));
        outcome.id_token_requests(self.requests.0).sts_requests(self.requests.1);
        (self.also)(&outcome);
    }
}

/// Rows with their names.
type Rows = Vec<(String, Row)>;

/// A job whose token goes to the outputs and the variables.
fn github() -> Job {
    Job::github().arg("--export-env")
}

/// Runs a block, whose size is fixed, and says how many rows it has.
fn run(block: &str, size: usize, rows: Rows) {
    let cases: Vec<(String, Row)> = rows;
    assert_eq!(cases.len(), size, "{block} has as many rows as it should");
    let names: std::collections::BTreeSet<&String> = cases.iter().map(|(name, _)| name).collect();
    assert_eq!(names.len(), size, "{block}: each name is there once");
    each(&cases, Row::check);
    print(&format!("{block}: {size} faults"));
}

/// Tells it in the log of the gate, where what a passing test prints is left out.
fn print(line: &str) {
    std::io::stderr().write_all(format!("{line}\n").as_bytes()).unwrap();
}

/// The blocks with their sizes.
const BLOCKS: [(&str, usize); 12] = [
    ("M1 transport", 32),
    ("M2 status", 48),
    ("M3 bodies", 40),
    ("M4 answers", 36),
    ("M5 ID tokens", 40),
    ("M6 clocks", 10),
    ("M7 retries", 20),
    ("M8 places", 44),
    ("M9 processes", 24),
    ("M10 settings", 26),
    ("M11 proxies and TLS", 16),
    ("M12 injection", 30),
];

#[test]
fn there_are_366_faults() {
    let total: usize = BLOCKS.iter().map(|(_, size)| size).sum();
    print(&format!("{total} faults, six invariants each"));
    assert_eq!(total, 366);
}

macro_rules! blocks {
    ($($test:ident = $number:literal, $rows:path;)+) => {
        $(#[test]
        fn $test() {
            let (name, size) = BLOCKS[$number - 1];
            run(name, size, $rows());
        })+
    };
}

blocks! {
    m01_transport = 1, transport::rows;
    m02_status = 2, answers::statuses;
    m03_bodies = 3, answers::bodies;
    m04_answers = 4, answers::meanings;
    m05_id_tokens = 5, id_tokens::rows;
    m06_clocks = 6, clocks::rows;
    m07_retries = 7, retries::rows;
    m08_places = 8, places::rows;
    m09_processes = 9, processes::rows;
    m10_settings = 10, settings::rows;
    m11_proxies_and_tls = 11, proxies::rows;
    m12_injection = 12, injection::rows;
}
