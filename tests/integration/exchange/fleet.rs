//! Three hundred jobs that start at once, before an STS that admits fifty exchanges a second and asks the others to slow
//! down.

#![cfg(unix)]

use crate::support;

use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use equinix_wif::clock::Clock;
use equinix_wif::error::{Code, Error};
use equinix_wif::report::console::{Console, Verbosity};
use equinix_wif::retry::{Deadline, Failure, Law, Retry};

use support::job::Job;
use support::server::Reply;
use support::table::each;

const JOBS: usize = 300;
const A_SECOND: usize = 50;

/// The real program, three hundred times.
#[test]
fn all_get_their_token() {
    let ways = [("with Retry-After", Some("1")), ("without Retry-After", None)];
    each(&ways, |retry_after| {
        let mut window = (Instant::now(), 0);
        let retry_after = *retry_after;
        let job = Job::gitlab().without_report().args(["-q", "--format", "raw"]).sts_with(move |_| {
            if window.0.elapsed() >= Duration::from_secs(1) {
                window = (Instant::now(), 0);
            }
            window.1 += 1;
            if window.1 <= A_SECOND {
                return None;
            }
            let reply = Reply::status(429);
            Some(match retry_after {
                Some(seconds) => reply.header("Retry-After", seconds),
                None => reply,
            })
        });
        let script = format!(
            "i=0; while [ $i -lt {JOBS} ]; do (equinix-wif \"$@\" >\"$TMPDIR/$i\" || echo failed) & i=$((i+1)); done; wait; \
             cat \"$TMPDIR\"/* | sort -u | wc -l; rm \"$TMPDIR\"/*"
        );
        let outcome = job.wrap_shell(["sh", "-c", &script]).run();
        // As many different tokens as jobs, and no failure.
        outcome.stdout_is(&format!("{JOBS}\n")).within(Duration::from_secs(61));
        let requests = outcome.sts.requests.len();
        let (whole, tenths) = (requests / JOBS, requests % JOBS * 10 / JOBS);
        eprintln!(
            "{JOBS} jobs {}: {whole}.{tenths} requests each, {:.1} s",
            retry_after.map_or("without Retry-After", |_| "with Retry-After"),
            outcome.elapsed.as_secs_f64()
        );
    });
}

/// A clock that only its sleeper moves: each job of the simulation has one.
struct OwnClock(std::sync::Mutex<Duration>);

impl Clock for OwnClock {
    fn unix_time(&self) -> i64 {
        0
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    fn sleep(&self, duration: Duration) {
        *self.0.lock().unwrap() += duration;
    }
}

/// Chance that is the same in each run: the middle bits of a linear congruential generator.
fn chance(state: &std::cell::Cell<u64>) -> f64 {
    state.set(state.get().wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    f64::from(u32::try_from(state.get() >> 32).unwrap()) / f64::from(u32::MAX)
}

/// The moments at which one job asks that is always refused, as the law has them.
fn moments(jitter: bool, state: &std::cell::Cell<u64>) -> Vec<Duration> {
    let clock = OwnClock(std::sync::Mutex::default());
    let console = Console::new(Box::new(std::io::sink()), Verbosity::Quiet, false);
    let random = || if jitter { chance(state) } else { 1.0 };
    let deadline = Deadline::after(&clock, Duration::from_secs(60));
    let law = Law { clock: &clock, deadline, random: &random, console: &console };
    let mut moments = Vec::new();
    let _ = law.run("asking", |_| -> Result<(), Failure> {
        moments.push(clock.monotonic());
        let error = Error::new(Code::RateLimited, "x");
        Err(Failure { error, retry: Retry::Again { after: None }, lost_answer: false })
    });
    moments
}

/// How many jobs get through, and how many requests that takes, when all come at the same moments of their own laws.
fn simulate(jitter: bool) -> (usize, usize) {
    let state = std::cell::Cell::new(1);
    // Each job's moments, earliest first; a job that is admitted asks no more.
    let mut queue: BinaryHeap<_> = (0..JOBS)
        .map(|_| {
            let mut moments = moments(jitter, &state);
            moments.reverse();
            moments
        })
        .filter_map(|mut moments| Some((std::cmp::Reverse(moments.pop()?), moments)))
        .collect();
    let (mut admitted, mut requests) = (0, 0);
    let mut window = (Duration::ZERO, 0);
    while let Some((std::cmp::Reverse(now), mut rest)) = queue.pop() {
        requests += 1;
        if now.saturating_sub(window.0) >= Duration::from_secs(1) {
            window = (now, 0);
        }
        window.1 += 1;
        if window.1 <= A_SECOND {
            admitted += 1;
        } else if let Some(next) = rest.pop() {
            queue.push((std::cmp::Reverse(next), rest));
        }
    }
    (admitted, requests)
}

/// The law again, on a clock of its own, with and without chance.
#[test]
fn chance_saves_requests() {
    let (admitted, requests) = simulate(true);
    let (admitted_without, requests_without) = simulate(false);
    eprintln!(
        "simulated: {admitted} of {JOBS} jobs with {requests} requests; without jitter {admitted_without} with {requests_without}"
    );
    assert_eq!(admitted, JOBS);
    assert!(requests * admitted_without < requests_without * admitted, "fewer requests for a token");
}
