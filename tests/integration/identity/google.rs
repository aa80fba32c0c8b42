//! The main job on Google Cloud, whose metadata server gives ID tokens to whoever is on its link.

use crate::support;

use std::fs;

use serde_json::json;

use support::job::{Job, sts_error};
use support::outcome::Outcome;
use support::server::{Reply, Request};
use support::worlds::{METADATA_PATH, metadata_answer, metadata_refusal};

const HOST: &str = "GCE_METADATA_HOST";

#[track_caller]
fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0).stdout_is("");
    outcome
}

#[test]
fn hands_the_token_over_in_a_file() {
    let outcome = Job::google().run();
    outcome.succeeds().id_token_requests(1).sts_requests(1);
    let file = outcome.printed_path().expect("the path of a file");
    assert!(fs::read_to_string(file).unwrap().contains(outcome.access_token()));
    let report = outcome.report.as_ref().unwrap();
    assert_eq!(report["provider"], "google");
    assert_eq!(report["claims"]["google"]["compute_engine"]["project_id"], "metal-app");
    outcome.stderr_lacks("changes from run to run");
    let request = &outcome.issuer.requests[0];
    assert_eq!(request.method, "GET");
    let query = "audience=https%3A%2F%2Fsts.eqix.equinix.example%2Fmetal&format=full";
    assert_eq!(request.target, format!("{METADATA_PATH}?{query}"));
    let mut names: Vec<_> = request.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    assert_eq!(names, ["accept", "accept-encoding", "host", "metadata-flavor", "user-agent"]);
    assert_eq!(request.header("metadata-flavor"), Some("Google"));
}

#[test]
fn the_played_server_refuses_what_the_real_one_refuses() {
    let request = |headers: &[(&str, &str)], query: &str| Request {
        method: "GET".to_owned(),
        target: format!("{METADATA_PATH}{query}"),
        version: "HTTP/1.1".to_owned(),
        headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        body: Vec::new(),
        connection: 0,
        tls: false,
    };
    let host = ("Host", "metadata.google.internal");
    let good = [host, ("Metadata-Flavor", "Google")];
    assert_eq!(metadata_refusal(&request(&good, "?audience=x")), None);
    assert!(metadata_refusal(&request(&good, "?audience=")).is_some());
    assert!(metadata_refusal(&request(&[host], "?audience=x")).is_some());
    assert!(
        metadata_refusal(&request(&[host, good[1], ("X-Forwarded-For", "10.0.0.1")], "?audience=x"))
            .is_some()
    );
}

#[test]
fn it_is_only_ever_chosen() {
    let elsewhere = Job::bare().env(HOST, "127.0.0.1:9").run();
    elsewhere.fails(3, "ambient-not-ci").stderr_lacks("Google");
    let inside = Job::gitlab().env(HOST, "127.0.0.1:9").run();
    inside.succeeds();
    assert_eq!(inside.report.as_ref().unwrap()["provider"], "gitlab");
}

#[test]
fn an_audience_is_needed_before_anything_is_asked() {
    let outcome = fails(Job::google().without_flag("--audience"), 2, "cfg-audience-missing");
    outcome.stderr_has("Google Cloud needs one").id_token_requests(0);
    // Whatever is in it is the audience and nothing else.
    let odd = "a&format=standard#x y";
    let outcome = Job::google().audience(odd).run();
    outcome.succeeds();
    let query = outcome.issuer.requests[0].query();
    assert_eq!(query, [("audience".to_owned(), odd.to_owned()), ("format".to_owned(), "full".to_owned())]);
}

#[test]
fn a_variable_leads_to_this_machine_or_to_the_same_server() {
    for host in [
        "metadata.example",
        "metadata.google.internal.example",
        "10.0.0.1",
        "127.0.0.1:1/x",
        "user@127.0.0.1:1",
    ] {
        println!("case: {host}");
        let outcome = fails(Job::google().env(HOST, host), 10, "endpoint-untrusted");
        outcome.stderr_has(HOST).id_token_requests(0);
    }
    Job::google().run().succeeds().stderr_has("asking for the ID token on this machine");
}

#[test]
fn no_proxy_is_asked() {
    let job = Job::google().env("HTTP_PROXY", "http://127.0.0.1:9").env("http_proxy", "http://127.0.0.1:9");
    job.env("HTTPS_PROXY", "http://127.0.0.1:9").run().succeeds().id_token_requests(1);
}

#[test]
fn an_answer_without_the_server_s_header_is_not_its_own() {
    let token = Job::google().mint();
    for reply in [
        Reply::status(200).body(token.clone()),
        Reply::status(200).header("Metadata-Flavor", "google").body(token),
        Reply::status(200).header("Content-Type", "text/html").body("<html>sign in</html>"),
        Reply::json(&json!({"value": "x"})),
    ] {
        let outcome = fails(Job::google().id_token_reply(reply), 10, "endpoint-untrusted");
        outcome.stderr_has("is not Google's metadata server").id_token_requests(1);
    }
}

#[test]
fn each_refusal_is_told_with_its_cure() {
    let saying = |status: u16, text: &str| {
        Reply::status(status)
            .header("Metadata-Flavor", "Google")
            .header("Content-Type", "text/plain")
            .body(text)
    };
    for (reply, exit, code, text) in [
        (saying(400, "bad audience"), 4, "id-token-http", "Google says: \"bad audience\""),
        (saying(403, "::error::no"), 4, "id-token-http", "what a proxy has passed on"),
        (saying(404, "not found"), 4, "id-token-http", "attach a service account"),
        (
            Reply::status(404).header("Content-Type", "text/html").body("<html>"),
            4,
            "id-token-http",
            "iam.gke.io",
        ),
        (Reply::status(302).header("Location", "https://login.example/x"), 4, "id-token-redirect", "302"),
        (metadata_answer(""), 4, "id-token-malformed", "is empty"),
        (metadata_answer("x"), 4, "id-token-malformed", "dot-separated parts"),
        (metadata_answer("{\"token\":\"x\"}"), 4, "id-token-malformed", ""),
        (metadata_answer("a b.c.d"), 4, "id-token-malformed", ""),
    ] {
        let outcome = fails(Job::google().id_token_reply(reply), exit, code);
        outcome.stderr_has(text).stderr_lacks("::error::").stderr_lacks("<html>").id_token_requests(1);
    }
    Job::google().id_token_reply(saying(500, "later")).run().succeeds().id_token_requests(2);
    Job::google().id_token_reply(saying(429, "slowly")).run().succeeds().id_token_requests(2);
    let down = Job::google().id_token_always(Reply::status(503)).args(["--timeout", "2"]);
    fails(down, 8, "server-error");
}

#[test]
fn the_issuer_is_google_s() {
    let with = |issuer: &'static str| {
        Job::google().claims(move |claims| {
            claims.insert("iss".to_owned(), json!(issuer));
        })
    };
    fails(with("accounts.google.com"), 5, "claim-iss");
    fails(with("https://issuer.example"), 5, "claim-iss");
    let refused = Job::google().sts_always(sts_error("access_denied", "no")).run();
    refused
        .fails(6, "sts-denied")
        .stderr_has("112233445566778899001")
        .stderr_lacks("changes from run to run");
}

#[test]
fn inspect_and_doctor_name_the_service_account_and_no_person() {
    let inspected = Job::google().command("inspect").without_flag("--sts-endpoint").run();
    inspected.succeeds();
    let text = &inspected.stdout;
    assert!(text.contains("Google Cloud (google)") && text.contains("112233445566778899001"), "{text}");
    assert!(!text.contains("deployer@"), "{text}");
    let doctor = Job::google().command("doctor").run();
    let text = &doctor.stdout;
    assert!(
        text.contains("the job may ask for an ID token")
            && text.contains("on this machine: http://127.0.0.1"),
        "{text}"
    );
}

#[test]
fn a_command_gets_the_token() {
    Job::google().exec(["sh", "-c", "test -n \"$EQUINIX_API_TOKEN\""]).run().succeeds().stdout_is("");
}
