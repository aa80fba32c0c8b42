//! `NO_PROXY`, read as curl reads it.

#![cfg(unix)]

use std::process::Command;

use crate::support::job::Job;
use crate::support::server::{Reply, Request, Server};
use crate::support::table::each;
use crate::tools::need;
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![no_proxy_means_what_it_means_to_curl]
}

/// Whether this program and curl ask the proxy for a host, with the same `NO_PROXY`.
fn ask_proxy(entry: &str, host: &str) -> (bool, bool) {
    let refusal = |_: &Request| Reply::status(403);
    let (ours, theirs) = (Server::start(refusal), Server::start(refusal));
    let outcome = Job::gitlab()
        .without_flag("--sts-endpoint")
        .args(["--sts-endpoint", &format!("https://{host}:8443"), "--timeout", "1"])
        .env("HTTPS_PROXY", ours.url())
        .env("NO_PROXY", entry)
        .run();
    let asked = ours.connections() > 0;
    outcome.require(outcome.status == Some(if asked { 2 } else { 8 }), "it did not connect");
    // Without the proxy, curl is led to a port where nobody listens.
    let curl = Command::new("curl")
        .args(["--silent", "--max-time", "5", "--connect-to", "::127.0.0.1:1"])
        .arg(format!("https://{host}:8443"))
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("https_proxy", theirs.url())
        .env("NO_PROXY", entry)
        .output()
        .unwrap();
    assert!(!curl.status.success());
    (asked, theirs.connections() > 0)
}

fn no_proxy_means_what_it_means_to_curl() {
    let version =
        "curl --version | awk 'NR == 1 { split($2, v, \".\"); exit !(v[1] > 7 || v[1] == 7 && v[2] >= 86) }'";
    need("curl 7.86 or newer", Command::new("sh").args(["-c", version]), "install curl");
    let name = "sts.elsewhere.example";
    let cases = [
        (name, name),
        ("elsewhere.example", name),
        (".elsewhere.example", name),
        ("lsewhere.example", name),
        ("other.example", name),
        ("other.example,elsewhere.example", name),
        ("other.example elsewhere.example", name),
        ("  other.example ,  elsewhere.example  ", name),
        ("other.example, ,,elsewhere.example,", name),
        ("ELSEWHERE.example", name),
        ("elsewhere.example.", name),
        ("sts.elsewhere.example.", name),
        ("*", name),
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.8", "192.0.2.7"),
        ("192.0.2.0/24", "192.0.2.7"),
        ("192.0.0.0/16", "192.0.2.7"),
        ("192.0.2.6/31", "192.0.2.7"),
        ("192.0.2.8/29", "192.0.2.7"),
        ("10.0.0.0/8,192.0.2.0/29", "192.0.2.7"),
        ("192.0.2.0/33", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("192.0.2.0/24", name),
        // curl 7.88 covers no range of IPv6 addresses; that this program does is a unit test.
        ("2001:db8::7", "[2001:db8::7]"),
        ("2001:db8::8", "[2001:db8::7]"),
        ("192.0.2.0/24", "[2001:db8::7]"),
    ];
    let cases: Vec<_> =
        cases.map(|(entry, host)| (format!("NO_PROXY={entry:?} for {host}"), (entry, host))).into();
    each(&cases, |(entry, host)| {
        let (ours, theirs) = ask_proxy(entry, host);
        assert_eq!(ours, theirs, "the proxy is asked by this program, and by curl");
    });
}
