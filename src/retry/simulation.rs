//! A discrete-event simulation of the retry policy: many jobs with one deadline each, before one server with a limited
//! rate, outages and, if it likes, a `Retry-After`. The policy is the real one; only time is not.
//!
//! `cargo test simulation -- --nocapture` prints the tables of `docs/reference/assurance.md`.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use super::{Decision, Failed, Reason, Retry, RetryPolicy};

/// Time in milliseconds: small and exact.
type Millis = u64;

/// A round trip: a job knows so much later what became of its request.
const ROUND_TRIP: Millis = 50;

/// The deadline of each job.
const DEADLINE: Millis = 60_000;

/// The behaviour of a server.
#[derive(Clone, Copy)]
struct Server {
    /// The number of requests that it admits in a second.
    rate: u64,
    /// The number that it admits at once when it has been idle: a bucket that fills with `rate`.
    burst: u64,
    /// The `Retry-After` of a refusal.
    retry_after: Option<Duration>,
    /// The time from the beginning during which it is away.
    outage: Millis,
}

/// The clients that are compared.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Client {
    /// This program.
    Policy,
    /// Waits of 0 to 0.5, 1, 2, … 8 s, whatever the server asks for.
    FullJitter,
    /// Five seconds, always.
    Fixed,
}

impl Client {
    fn wait(self, failed: &Failed, random: f64) -> Option<Duration> {
        let left = failed.left?;
        let wait = match self {
            Self::Policy => match RetryPolicy::STANDARD.decide(failed, random) {
                Decision::Wait(wait) => wait,
                Decision::GiveUp(Reason::Permanent) => unreachable!("nothing is permanent here"),
                Decision::GiveUp(_) => return None,
            },
            Self::FullJitter => {
                let bound = Duration::from_millis(500) * 2_u32.pow(failed.attempt.min(5) - 1);
                bound.mul_f64(random)
            }
            Self::Fixed => Duration::from_secs(5),
        };
        (wait < left).then_some(wait)
    }
}

/// The result of a simulation.
#[derive(Debug, PartialEq)]
struct Outcome {
    jobs: u64,
    succeeded: u64,
    requests: u64,
    /// The moment when the last job had its token.
    last: Millis,
    /// The number of seconds, from the end of the outage on, in which more than twice the server's rate came.
    overloaded: usize,
}

impl Outcome {
    fn requests_per_success(&self) -> f64 {
        count(self.requests) / count(self.succeeded.max(1))
    }
}

fn count(number: u64) -> f64 {
    f64::from(u32::try_from(number).unwrap())
}

/// Chance that is the same in each run: the upper bits of a linear congruential generator.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        count(self.0 >> 32) / (f64::from(u32::MAX) + 1.0)
    }
}

/// Lets so many jobs start within `spread`, and goes on until each has its token or has given up.
fn simulate(client: Client, jobs: u64, spread: Millis, server: Server, seed: u64) -> Outcome {
    let mut chance = Chance(seed);
    // When, which attempt, and when the job began.
    let mut events: BinaryHeap<_> =
        (0..jobs).map(|job| job * spread / jobs).map(|start| Reverse((start, 1_u32, start))).collect();
    let mut outcome = Outcome { jobs, succeeded: 0, requests: 0, last: 0, overloaded: 0 };
    // The bucket, in thousandths of a request, and when it was looked at.
    let (mut bucket, mut seen) = (server.burst * 1000, 0);
    let mut per_second = vec![0_u64; 0];
    while let Some(Reverse((now, attempt, start))) = events.pop() {
        outcome.requests += 1;
        let second = usize::try_from(now / 1000).unwrap();
        per_second.resize(per_second.len().max(second + 1), 0);
        per_second[second] += 1;
        bucket = (bucket + (now - seen) * server.rate).min(server.burst * 1000);
        seen = now;
        let is_away = now < server.outage;
        if !is_away && bucket >= 1000 {
            bucket -= 1000;
            outcome.succeeded += 1;
            outcome.last = now;
            continue;
        }
        let known = now + ROUND_TRIP;
        let left = (start + DEADLINE).checked_sub(known).filter(|left| *left > 0);
        let failed = Failed {
            attempt,
            retry: Retry::Again { after: server.retry_after.filter(|_| !is_away) },
            once_used: false,
            is_limited: !is_away,
            left: left.map(Duration::from_millis),
        };
        if let Some(wait) = client.wait(&failed, chance.next()) {
            let next = known + Millis::try_from(wait.as_millis()).unwrap();
            assert!(next < start + DEADLINE, "nobody asks after the deadline");
            events.push(Reverse((next, attempt + 1, start)));
        }
    }
    let recovered = usize::try_from(server.outage.div_ceil(1000)).unwrap();
    outcome.overloaded = per_second.iter().skip(recovered).filter(|count| **count > 2 * server.rate).count();
    outcome
}

/// A server that admits so many a second, and at once no more than that.
fn server(rate: u64, retry_after: Option<u64>) -> Server {
    Server { rate, burst: rate, retry_after: retry_after.map(Duration::from_secs), outage: 0 }
}

#[test]
fn whoever_can_get_through_gets_through() {
    for (jobs, rate) in [(300, 10), (800, 50), (300, 50)] {
        for retry_after in [None, Some(0), Some(1), Some(2), Some(5)] {
            for seed in 0..20 {
                let outcome = simulate(Client::Policy, jobs, 0, server(rate, retry_after), seed);
                assert_eq!(
                    outcome.succeeded, jobs,
                    "{jobs} at {rate}/s, {retry_after:?}, seed {seed}: {outcome:?}"
                );
                // Whoever is asked to come back at once does, and has to come more often.
                let most = if retry_after == Some(0) { 8.0 } else { 4.0 };
                assert!(
                    outcome.requests_per_success() <= most,
                    "{jobs} at {rate}/s, {retry_after:?}: {outcome:?}"
                );
            }
        }
    }
}

#[test]
fn an_outage_is_survived_and_does_not_echo() {
    for seconds in [2, 10, 20, 30] {
        for (jobs, rate) in [(1, 1), (300, 50)] {
            for seed in 0..20 {
                let server = Server { outage: seconds * 1000, ..server(rate, None) };
                let outcome = simulate(Client::Policy, jobs, 0, server, seed);
                assert_eq!(outcome.succeeded, jobs, "{seconds} s, {jobs} jobs, seed {seed}: {outcome:?}");
                assert!(outcome.overloaded <= 4, "{seconds} s, {jobs} jobs, seed {seed}: {outcome:?}");
            }
        }
    }
    // One that outlasts the deadline is not waited for longer.
    let outcome = simulate(Client::Policy, 100, 0, Server { outage: 60_000, ..server(50, None) }, 1);
    assert_eq!(outcome.succeeded, 0);
}

#[test]
fn a_single_job_waits_little() {
    for (outage, most) in [(100, 1_000), (2_000, 6_000), (20_000, 30_000)] {
        for seed in 0..100 {
            let server = Server { outage, ..server(10, None) };
            let outcome = simulate(Client::Policy, 1, 0, server, seed);
            assert!(outcome.succeeded == 1 && outcome.last <= most, "{outage} ms, seed {seed}: {outcome:?}");
        }
    }
}

#[test]
fn a_hundred_thousand_jobs_are_served() {
    // Within an hour's first minutes: 100,000 jobs over 200 s, where the server admits 550 a second.
    let outcome = simulate(Client::Policy, 100_000, 200_000, server(550, Some(1)), 7);
    assert_eq!(outcome.succeeded, 100_000, "{outcome:?}");
    // All at once, the rate is what it is: nobody else than those for whom there is time.
    let outcome = simulate(Client::Policy, 20_000, 0, server(200, None), 7);
    assert!(outcome.succeeded > 11_000 && outcome.requests_per_success() < 14.0, "{outcome:?}");
}

/// Whoever is sent away for half of the time has one attempt left, which nobody can arrange with the others. What comes by
/// chance fills a server that has hardly anything to spare to 95 %.
#[test]
fn a_long_wait_leaves_one_attempt_and_all_the_time_for_it() {
    let least = |jobs, retry_after| {
        let succeeded =
            |seed| simulate(Client::Policy, jobs, 0, server(10, Some(retry_after)), seed).succeeded;
        let all: Vec<u64> = (0..100).map(succeeded).collect();
        (*all.iter().min().unwrap(), all.iter().sum::<u64>() / 100)
    };
    for (retry_after, fewest, mean) in [(15, 300, 300), (20, 295, 299), (25, 285, 297), (30, 270, 285)] {
        let (least, average) = least(300, retry_after);
        println!("300 at 10/s, Retry-After: {retry_after}: {average} on average, {least} at least");
        assert!(least >= fewest && average >= mean, "{retry_after}: {least}, {average}");
    }
    // With some to spare everybody gets through.
    let (least, _) = least(150, 30);
    assert_eq!(least, 150);
}

/// Compares the clients on the same server with the same chance.
#[test]
fn it_does_better_than_what_others_do() {
    let cases = [
        ("300 at 10/s", 300, server(10, None)),
        ("300 at 10/s, Retry-After: 1", 300, server(10, Some(1))),
        ("300 at 10/s, Retry-After: 5", 300, server(10, Some(5))),
        ("300 at 10/s, Retry-After: 30", 300, server(10, Some(30))),
        ("800 at 50/s", 800, server(50, None)),
        ("800 at 50/s, Retry-After: 1", 800, server(50, Some(1))),
        ("300 at 50/s after 20 s away", 300, Server { outage: 20_000, ..server(50, None) }),
        ("1000 at 50/s after 20 s away", 1000, Server { outage: 20_000, ..server(50, Some(1)) }),
        ("10000 at 300/s", 10_000, server(300, Some(1))),
    ];
    for (name, jobs, server) in cases {
        let [ours, others @ ..] = [Client::Policy, Client::FullJitter, Client::Fixed].map(|client| {
            let outcome = simulate(client, jobs, 0, server, 3);
            println!(
                "| {name} | {client:?} | {} of {} | {:.1} | {:.0} s | {} s |",
                outcome.succeeded,
                outcome.jobs,
                outcome.requests_per_success(),
                count(outcome.last) / 1000.0,
                outcome.overloaded,
            );
            outcome
        });
        // The others do not care what the server asks for, and it has told ours that half of its time is of no use.
        if server.retry_after == Some(Duration::from_secs(30)) {
            assert!(ours.succeeded > 280 && ours.requests_per_success() < 3.0, "{name}: {ours:?}");
            continue;
        }
        for other in others {
            assert!(ours.succeeded >= other.succeeded, "{name}: {ours:?}, {other:?}");
            assert!(
                ours.succeeded > other.succeeded
                    || ours.requests_per_success() <= other.requests_per_success()
                    || ours.last < other.last,
                "{name}: {ours:?}, {other:?}"
            );
        }
    }
}
