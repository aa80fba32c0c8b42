//! What stays of a connection in the program's memory, as the kernel shows it to the parent.

#![cfg(target_os = "linux")]

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::process::Command;

use crate::support::job::Job;
use crate::support::server::Reply;
use crate::support::table::each;
use crate::tools::need;
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![has_neither_a_request_nor_an_answer_that_is_over]
}

/// Everything that the process may write to: its data, heap and stacks.
fn of(pid: u32) -> Vec<Vec<u8>> {
    let memory = File::open(format!("/proc/{pid}/mem")).unwrap();
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).unwrap();
    let writable = maps.lines().filter(|line| line.split(' ').nth(1).unwrap().starts_with("rw"));
    let ranges = writable.filter_map(|line| {
        let (from, to) = line.split(' ').next()?.split_once('-')?;
        let [from, to] = [from, to].map(|end| u64::from_str_radix(end, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        memory.read_exact_at(&mut bytes, from).ok().map(|()| bytes)
    });
    ranges.collect()
}

fn has(memory: &[Vec<u8>], text: &str) -> bool {
    memory.iter().any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
}

/// The ID token itself is needed for the next attempt, so what it stood beside is looked for.
fn has_neither_a_request_nor_an_answer_that_is_over() {
    let mut shell = Command::new("sh");
    // The program keeps everybody else out.
    let look = "[ \"$(id -u)\" = 0 ] || exit 1; \
                sleep 60 & true 2>/dev/null </proc/$!/mem; status=$?; kill $!; exit $status";
    need("right to read a child's memory", shell.args(["-c", look]), "run as root, and allow ptrace(2)");
    each(&[("plain", false), ("TLS", true)], |tls| {
        // All over the buffer, since whatever comes next may take a part of what is free again.
        let word = format!("read-and-used {}", "x".repeat(99));
        let busy = (0..100).fold(Reply::status(503), |busy, _| busy.header("X-Word", &word));
        let job = if *tls { Job::github().tls() } else { Job::github() };
        let running = job.sts_queue([busy.header("Retry-After", "30")]).start();
        assert!(running.stderr_gets("trying again in"), "it waits");
        let memory = of(running.pid());
        let token = running.sts().requests()[0].form_value("subject_token").unwrap();
        running.signal("TERM");
        let outcome = running.wait();
        outcome.require(has(&memory, &token), "the ID token is still needed");
        for text in [&format!("subject_token={}", &token[..16]), "&subject_token_type=urn"] {
            outcome.require(!has(&memory, text), &format!("the request's {text} is gone"));
        }
        // The TLS library leaves what it has deciphered in a buffer of its own.
        outcome.require(*tls || !has(&memory, "X-Word: read-and-used"), "the answer is gone");
    });
}
