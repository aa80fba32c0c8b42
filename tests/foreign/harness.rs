//! Runs checks as cargo's own test harness does, and knows one thing more: a check that ended as skipped.
//!
//! `libtest-mimic` does this too. It asks for clap with all its features, and cargo builds a package's tests and its
//! program with the same features: the program under test would no longer be the one that is released.

use std::any::Any;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Instant;

/// A check by its name.
pub(crate) struct Check {
    pub(crate) name: String,
    pub(crate) run: Box<dyn FnOnce() + Send>,
}

impl Check {
    pub(crate) fn new(name: impl Into<String>, run: impl FnOnce() + Send + 'static) -> Self {
        Self { name: name.into(), run: Box::new(run) }
    }
}

/// The reason for which a check is skipped: the payload of an unwinding that is no failure.
pub(crate) struct Skipped(pub(crate) String);

/// How a check ended.
enum End {
    Passed,
    Skipped(String),
    Failed(String),
}

/// The arguments that cargo's harness takes, as far as they mean something here.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Arguments {
    filters: Vec<String>,
    skip: Vec<String>,
    is_exact: bool,
    /// Only what is marked as ignored is wanted, and no check is.
    nothing: bool,
    list: bool,
    is_terse: bool,
    threads: Option<usize>,
}

impl Arguments {
    pub(crate) fn parse(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut arguments = Self::default();
        while let Some(argument) = given.next() {
            let (name, mut attached) = match argument.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name, Some(value.to_owned())),
                _ => (argument.as_str(), None),
            };
            let mut value =
                || attached.take().or_else(|| given.next()).ok_or_else(|| format!("{name} needs a value"));
            match name {
                "--exact" => arguments.is_exact = true,
                "--ignored" => arguments.nothing = true,
                "--list" => arguments.list = true,
                "-q" | "--quiet" => arguments.is_terse = true,
                "--skip" => arguments.skip.push(value()?),
                "--format" => arguments.is_terse = value()? == "terse",
                "--test-threads" => {
                    let threads = value()?.parse().ok().filter(|threads| *threads > 0);
                    arguments.threads = Some(threads.ok_or("--test-threads needs a number above 0")?);
                }
                // Nothing is captured, every check is a test, and colours are not used.
                "--include-ignored" | "--no-capture" | "--nocapture" | "--show-output" | "--test" => {}
                "--color" | "-Z" => drop(value()?),
                _ if name.starts_with('-') => return Err(format!("unknown argument {name}")),
                _ => arguments.filters.push(argument),
            }
        }
        Ok(arguments)
    }

    /// Sets the number of threads, unless an argument has.
    pub(crate) fn or_threads(mut self, threads: Option<usize>) -> Self {
        self.threads = self.threads.or(threads);
        self
    }

    /// The arguments of this program, and what `RUST_TEST_THREADS` sets, as for cargo's own harness.
    pub(crate) fn of_this_program() -> Result<Self, String> {
        let arguments = Self::parse(std::env::args().skip(1))?;
        let threads = std::env::var("RUST_TEST_THREADS").ok().and_then(|threads| threads.parse().ok());
        Ok(arguments.or_threads(threads.filter(|threads| *threads > 0)))
    }

    fn wants(&self, name: &str) -> bool {
        let fits = |filter: &String| if self.is_exact { name == filter } else { name.contains(filter) };
        let is_named = self.filters.is_empty() || self.filters.iter().any(fits);
        is_named && !self.skip.iter().any(fits) && !self.nothing
    }
}

/// Runs the checks that are wanted, or lists them. `false` if one failed.
pub(crate) fn run(arguments: &Arguments, mut checks: Vec<Check>) -> bool {
    let start = Instant::now();
    let all = checks.len();
    checks.retain(|check| arguments.wants(&check.name));
    if arguments.list {
        for check in &checks {
            println!("{}: test", check.name);
        }
        if !arguments.is_terse {
            println!("\n{} tests, 0 benchmarks", checks.len());
        }
        return true;
    }
    let filtered_out = all - checks.len();
    println!("\nrunning {} tests", checks.len());
    let (mut passed, mut skipped, mut failures) = (0, 0, Vec::new());
    each_end(arguments.threads, checks, |name, end| match end {
        End::Passed => {
            println!("test {name} ... ok");
            passed += 1;
        }
        End::Skipped(why) => {
            println!("test {name} ... ignored, {why}");
            skipped += 1;
        }
        End::Failed(why) => {
            println!("test {name} ... FAILED");
            failures.push((name, why));
        }
    });
    if !failures.is_empty() {
        println!("\nfailures:");
        for (name, why) in &failures {
            println!("\n---- {name} ----\n{why}");
        }
        println!("\nfailures:");
        for (name, _) in &failures {
            println!("    {name}");
        }
    }
    println!(
        "\ntest result: {}. {passed} passed; {} failed; {skipped} ignored; 0 measured; {filtered_out} filtered out; \
         finished in {:.2}s\n",
        if failures.is_empty() { "ok" } else { "FAILED" },
        failures.len(),
        start.elapsed().as_secs_f64()
    );
    failures.is_empty()
}

/// Runs the checks, several at a time, and tells of each as it ends.
fn each_end(threads: Option<usize>, checks: Vec<Check>, mut told: impl FnMut(String, End)) {
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, Into::into));
    let left = Mutex::new(VecDeque::from(checks));
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    let (sender, ends) = mpsc::channel();
    thread::scope(|scope| {
        for _ in 0..threads {
            let (next, sender) = (&next, sender.clone());
            scope.spawn(move || {
                while let Some(Check { name, run }) = next() {
                    // On a thread with its name, which a panic tells.
                    let check = thread::Builder::new().name(name.clone()).spawn(run).unwrap();
                    let end = check.join().map_or_else(end_of, |()| End::Passed);
                    sender.send((name, end)).ok();
                }
            });
        }
        drop(sender);
        for (name, end) in ends {
            told(name, end);
        }
    });
}

fn end_of(payload: Box<dyn Any + Send>) -> End {
    let payload = match payload.downcast::<Skipped>() {
        Ok(skipped) => return End::Skipped(skipped.0),
        Err(payload) => payload,
    };
    let text = payload.downcast_ref::<String>().cloned();
    let text = text.or_else(|| payload.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    End::Failed(text.unwrap_or_else(|| "(a panic without a text)".to_owned()))
}
