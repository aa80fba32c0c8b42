//! Programs that read files of `NAME=value` lines get exactly the token from `--format dotenv`: docker's client, systemd, and
//! what scripts do with such a file.

#![cfg(target_os = "linux")]

use crate::support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;

use serde_json::Value;

use crate::tools::need;
use crate::{Check, checks};
use support::job::Job;
use support::outcome::Outcome;
use support::table::each;

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![docker_reads_exactly_the_token, systemd_reads_exactly_the_token, scripts_read_exactly_the_token]
}

const INSTALL: &str = "tests/foreign/readers/install.sh";

/// Reads `environment.d` with the parser that also reads a unit's `EnvironmentFile`.
const SYSTEMD: &str = "/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator";

/// The assignments that a reader has to make of the file.
fn assignments(outcome: &Outcome) -> [String; 2] {
    let report = outcome.report.as_ref().unwrap();
    let expiry = report["expires_at"].as_str().unwrap();
    [
        format!("EQUINIX_API_TOKEN={}", outcome.access_token()),
        format!("EQUINIX_API_TOKEN_EXPIRES_AT={expiry}"),
    ]
}

/// A daemon that refuses to make any container, and tells which it was asked for.
fn daemon(listener: UnixListener) -> Receiver<Value> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = BufReader::new(stream.unwrap());
            let mut head = Vec::new();
            loop {
                let mut line = String::new();
                stream.read_line(&mut line).unwrap();
                if line.trim().is_empty() {
                    break;
                }
                head.push(line.to_lowercase());
            }
            let length =
                head.iter().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
            let mut body = vec![0; length.unwrap_or_default()];
            stream.read_exact(&mut body).unwrap();
            let mut status = "200 OK";
            if head.first().is_some_and(|line| line.contains("/containers/create")) {
                sender.send(serde_json::from_slice(&body).unwrap()).unwrap();
                status = "400 Bad Request";
            }
            let answer = "Api-Version: 1.40\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close";
            // A question of the kind HEAD has no body in its answer; the connection is closed behind it.
            write!(stream.get_mut(), "HTTP/1.1 {status}\r\n{answer}\r\n\r\n{{}}").ok();
        }
    });
    receiver
}

/// Has docker's client make a container with this file, and returns what it asked the daemon for.
fn docker(format: &str) -> (Outcome, Option<Value>) {
    let job = Job::gitlab().args(["--format", format]);
    let socket = job.root().join("docker.sock");
    let asked = daemon(UnixListener::bind(&socket).unwrap());
    let script = "file=$(equinix-wif \"$@\") && docker create --env-file \"$file\" image; rm \"$file\"";
    let host = format!("unix://{}", socket.display());
    let outcome = job.env("DOCKER_HOST", host).wrap_shell(["sh", "-c", script]).run();
    (outcome, asked.try_recv().ok())
}

fn docker_reads_exactly_the_token() {
    need("docker's client", Command::new("docker").arg("--version"), INSTALL);
    let (outcome, asked) = docker("dotenv");
    let found: Vec<String> = serde_json::from_value(asked.expect(&outcome.stderr)["Env"].clone()).unwrap();
    assert_eq!(found, assignments(&outcome));
    // Why it has a format of its own.
    let (outcome, asked) = docker("env-file");
    assert_eq!(asked, None);
    outcome.stderr_has("contains whitespaces");
}

fn systemd_reads_exactly_the_token() {
    need("systemd", Command::new("test").args(["-x", SYSTEMD]), INSTALL);
    let script = format!(
        "file=$(equinix-wif \"$@\") || exit; export XDG_CONFIG_HOME=\"$TMPDIR\"; mkdir \"$TMPDIR/environment.d\"\n\
         mv \"$file\" \"$TMPDIR/environment.d/token.conf\"; {SYSTEMD}; rm -r \"$TMPDIR/environment.d\""
    );
    let outcome =
        Job::gitlab().args(["--format", "dotenv"]).token_on_stdout().wrap_shell(["sh", "-c", &script]).run();
    let found: Vec<&str> =
        outcome.stdout.lines().filter(|line| line.starts_with("EQUINIX_API_TOKEN")).collect();
    assert_eq!(found, assignments(&outcome));
    outcome.stderr_lacks("token.conf");
}

fn scripts_read_exactly_the_token() {
    let show = "sh -c 'printf \"EQUINIX_API_TOKEN=%s\\nEQUINIX_API_TOKEN_EXPIRES_AT=%s\\n\" \"$EQUINIX_API_TOKEN\" \"$EQUINIX_API_TOKEN_EXPIRES_AT\"'";
    let ways = [
        ("env and xargs", format!("env $(xargs <\"$file\") {show}")),
        ("env and cat", format!("env $(cat \"$file\") {show}")),
        ("sourced, all of it exported", format!("set -a; . \"$file\"; {show}")),
        (
            "read line by line",
            format!("while IFS= read -r line; do export \"$line\"; done <\"$file\"; {show}"),
        ),
    ];
    each(&ways, |way| {
        let script = format!("file=$(equinix-wif \"$@\") || exit; {way}; rm \"$file\"");
        let job = Job::gitlab().args(["--format", "dotenv"]).token_on_stdout();
        let outcome = job.wrap_shell(["sh", "-c", &script]).run();
        outcome.stdout_is(&format!("{}\n", assignments(&outcome).join("\n")));
    });
}
