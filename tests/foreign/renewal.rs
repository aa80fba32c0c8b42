//! `exec --renew` and clients that others wrote: Equinix's Go SDK under load, and curl. Terraform is in `long_applies`.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::api::Api;
use crate::support::job::{Job, SCOPE};
use crate::support::pages::{blocks, page};
use crate::support::program::feed;
use crate::support::renewing::Live;
use crate::support::server::{Reply, Request, Server};
use crate::tools::{INSTALL, need, need_python};
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        // It takes longest.
        equinix_s_sdk_works_for_two_minutes_on_tokens_of_twelve_seconds,
        curl::gets_a_token_with_a_form,
        curl::is_told_at_once_that_its_request_is_too_large,
        curl::cannot_use_the_listener_as_a_proxy,
        curl::and_python_ask_a_proxy_unless_told_otherwise,
        curl::works_in_the_loop_of_the_page
    ]
}

/// Ten token sources work at once. Most of the time so little is left of the listener's token that they ask again for their next
/// request. A proxy is set, which neither they nor the program use on loopback; nobody is there.
fn equinix_s_sdk_works_for_two_minutes_on_tokens_of_twelve_seconds() {
    // The end is not in the middle of a renewal.
    const SCRIPT: &str = r#"set -e
        "$0" work "$1" 10 120s
        cat "/proc/$PPID/status"
        token=$(<"$EQUINIX_WIF_TOKEN_FILE")
        until [[ $(<"$EQUINIX_WIF_TOKEN_FILE") != "$token" ]]; do read -rt 0.2 <> <(:) || :; done"#;
    let program = crate::peers::peers();
    let job = Job::github().lives([12]);
    let api = Api::start(job.issued(), |_, _| Reply::json(&json!({"data": []})));
    let job = job.renew().env("http_proxy", "http://127.0.0.1:9");
    let running = job.exec(["bash", "-c", SCRIPT, program.to_str().unwrap(), &api.url()]).start();
    // Where much else is going on, everything takes longer.
    let outcome = running.wait_for(Duration::from_secs(300));
    outcome.succeeds().masks_every_token();
    let (account, memory) = outcome.stdout.split_once('\n').unwrap();
    let account: Value = serde_json::from_str(account).unwrap();
    let renewal = &outcome.report.as_ref().unwrap()["renewal"];
    let list = |name: &str| renewal[name].as_array().unwrap();

    // No request had a token that had ended, and none went without.
    let made = api.requests().len();
    outcome.require(api.refused() == 0 && made > 500, &format!("all of {made} requests have a good token"));
    assert_eq!(account, json!({"exchanges": account["exchanges"], "statuses": {"200": made}}));
    // Each renewal is one exchange with an ID token of its own, however many ask.
    let renewals = list("renewals").len();
    outcome.require(renewals >= 15, &format!("{renewals} tokens are enough for two minutes"));
    outcome.sts_requests(renewals).id_token_requests(renewals);
    assert!(list("renewals").iter().all(|renewal| renewal["code"] == Value::Null));
    // Each hand-out is listed, or counted.
    let exchanges = account["exchanges"].as_u64().unwrap();
    let listed = list("hand_outs").len() as u64;
    assert_eq!(listed + renewal["hand_outs_not_listed"].as_u64().unwrap(), exchanges);
    assert!(exchanges > renewals as u64 && listed == exchanges.min(1000), "{exchanges}");
    let askers: BTreeSet<u64> = list("hand_outs").iter().filter_map(|entry| entry["pid"].as_u64()).collect();
    assert_eq!(askers.len(), 1, "one process asked: {askers:?}");
    // The program beside it all: its code, which is large without optimisation, and what it needs itself.
    let kilobytes = |name: &str| -> u64 {
        let line = memory.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    };
    let (most, code) = (kilobytes("VmHWM"), kilobytes("RssFile"));
    println!("{most} kB at most, {code} kB of them code; {exchanges} exchanges, {renewals} renewals");
    assert!(most - code < 4 << 10, "{memory}");
}

mod curl {
    use super::*;

    /// Lets curl ask the listener. What it prints ends with the status and the bytes that it has sent as a body.
    fn curl(live: &Live, arguments: &[&str]) -> Output {
        need("curl", Command::new("curl").arg("--version"), INSTALL);
        let url = format!("{}/use/token", live.env["EQUINIX_STS_ENDPOINT"]);
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "60"]);
        command.args(["--write-out", "\n%{http_code} %{size_upload}"]);
        command.args(arguments).arg(url).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
        command.output().unwrap()
    }

    /// The form that asks for a token.
    fn form(live: &Live) -> Vec<String> {
        let fields = live.client.form(SCOPE).into_iter();
        fields.flat_map(|(name, value)| ["--data-urlencode".to_owned(), format!("{name}={value}")]).collect()
    }

    /// What curl got with the form and these arguments: status and body.
    #[track_caller]
    fn asks(live: &Live, arguments: &[&str]) -> (u16, String) {
        let form = form(live);
        let arguments: Vec<&str> = form.iter().map(String::as_str).chain(arguments.iter().copied()).collect();
        let output = curl(live, &arguments);
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (body, end) = text.rsplit_once('\n').unwrap();
        (end.split(' ').next().unwrap().parse().unwrap(), body.to_owned())
    }

    #[track_caller]
    fn gets_a_token(live: &Live, arguments: &[&str]) {
        let (status, body) = asks(live, arguments);
        assert_eq!(status, 200, "{arguments:?}: {body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["access_token"], live.token(), "{arguments:?}");
    }

    pub(super) fn gets_a_token_with_a_form() {
        let live = Live::start(Job::gitlab());
        for arguments in [
            &[][..],
            &["--http1.0"],
            &["--compressed"],
            &["--header", "Expect: 100-continue"],
            &["--header", "Transfer-Encoding: chunked"],
            &["--header", "Connection: keep-alive"],
            &["--http2"],
        ] {
            gets_a_token(&live, arguments);
        }
        let (status, body) = asks(&live, &["--get"]);
        assert_eq!(status, 405, "a form in the query gets nothing: {body}");
        live.end().sts_requests(1);
    }

    pub(super) fn is_told_at_once_that_its_request_is_too_large() {
        let live = Live::start(Job::gitlab());
        let large = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(&large, "x".repeat(3 << 20)).unwrap();
        let data = format!("@{}", large.path().display());
        // So much is not sent unless the server wants it.
        let output = curl(&live, &["--data-binary", &data]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && text.ends_with("\n413 0"), "{text}");
        assert!(text.contains("the request is too large"), "{text}");
        // Who sends it all the same gets the same answer.
        let output = curl(&live, &["--data-binary", &data, "--header", "Expect:"]);
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("the request is too large") && text.contains("\n413 "), "{text}");
        gets_a_token(&live, &[]);
        live.end().sts_requests(1);
    }

    /// The form in which a proxy is asked is understood, as it has to be (RFC 9112), but there is nothing behind it.
    pub(super) fn cannot_use_the_listener_as_a_proxy() {
        let live = Live::start(Job::gitlab());
        let listener = live.env["EQUINIX_STS_ENDPOINT"].clone();
        let through = ["--noproxy", "", "--proxy", &listener];
        gets_a_token(&live, &through);
        let elsewhere = Server::start(|_: &Request| Reply::status(200));
        let output = curl(&live, &[&through[..], &[&elsewhere.url()]].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(text.contains("\n421 "), "{text}");
        let output = curl(&live, &[&through[..], &["--proxytunnel", &elsewhere.url()]].concat());
        assert!(!output.status.success(), "{output:?}");
        assert_eq!(elsewhere.connections(), 0);
        live.end().sts_requests(1);
    }

    /// As the page says: the handle goes to a proxy otherwise.
    pub(super) fn and_python_ask_a_proxy_unless_told_otherwise() {
        need_python();
        // A tool's own flag, and the variable that each of them reads.
        let (flag, variable) = (("--noproxy", "127.0.0.1"), ("no_proxy", "127.0.0.1"));
        let page = page("docs/long-applies.md");
        assert!(page.contains("`no_proxy=127.0.0.1`"), "the page tells of it");
        let live = Live::start(Job::gitlab());
        let proxy = Server::start(|_: &Request| Reply::status(403));
        let has_asked = |count: usize| {
            let requests = proxy.requests();
            assert_eq!(requests.len(), count);
            let handles = requests.iter().map(|request| request.form_value("subject_token").unwrap());
            assert!(handles.into_iter().all(|handle| handle == live.client.handle));
        };
        let through = ["--proxy", &proxy.url()];
        assert_eq!(asks(&live, &through).0, 403);
        has_asked(1);
        gets_a_token(&live, &[&through[..], &[flag.0, flag.1]].concat());
        has_asked(1);
        let reads_variable = Command::new("curl")
            .args(["--silent", "--max-time", "60", "--data"])
            .arg(
                live.client.request("/use/token", &live.client.form(SCOPE)).split_once("\r\n\r\n").unwrap().1,
            )
            .arg(format!("{}/use/token", live.env["EQUINIX_STS_ENDPOINT"]))
            .env("http_proxy", proxy.url())
            .env_remove("NO_PROXY")
            .env(variable.0, variable.1)
            .output()
            .unwrap();
        assert!(String::from_utf8_lossy(&reads_variable.stdout).contains(&live.token()));
        has_asked(1);
        let script = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], sys.stdin.buffer.read()).read().decode())";
        let python = |cure: &[(&str, &str)]| {
            let request = live.client.request("/use/token", &live.client.form(SCOPE));
            let mut command = Command::new("python3");
            command.args(["-c", script, &format!("{}/use/token", live.env["EQUINIX_STS_ENDPOINT"])]);
            command.env("http_proxy", proxy.url()).envs(cure.iter().copied());
            for name in
                ["no_proxy", "NO_PROXY"].iter().filter(|name| cure.iter().all(|(set, _)| set != *name))
            {
                command.env_remove(name);
            }
            let output = feed(&mut command, request.split_once("\r\n\r\n").unwrap().1);
            String::from_utf8(output.stdout).unwrap()
        };
        assert_eq!(python(&[]), "");
        has_asked(2);
        assert!(python(&[variable]).contains(&live.token()));
        has_asked(2);
        live.end().sts_requests(1);
    }

    pub(super) fn works_in_the_loop_of_the_page() {
        need("curl", Command::new("curl").arg("--version"), INSTALL);
        let (_, block) = blocks("sh").into_iter().find(|(_, text)| text.starts_with("while sleep")).unwrap();
        let job = Job::gitlab();
        let api = Api::start(job.issued(), |_, _| Reply::json(&json!({"data": []})));
        let script = block.replace("while sleep 60;", "for _ in 1 2 3;");
        let script = script.replace("https://api.equinix.com", &api.url());
        assert!(script.contains("for _") && script.contains(&api.url()), "{block}");
        let program = Path::new(env!("CARGO_BIN_EXE_equinix-wif")).parent().unwrap();
        let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
        let outcome = job.env("PATH", path).renew().exec(["sh", "-ec", &script]).run();
        outcome.succeeds().stdout_is(&r#"{"data":[]}"#.repeat(3)).sts_requests(1);
        assert_eq!((api.requests().len(), api.refused()), (3, 0));
    }
}
