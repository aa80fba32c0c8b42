//! Suites that judge whole protocols: MCP's inspector and conformance suite, schemathesis for the OpenAPI document.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::clients::{LEGACY, MODERN, need_node};
use crate::harness::Check;
use crate::need::need;
use crate::service::{Service, judges, program, run, succeeds};
use crate::{INSTALL, named};

pub(crate) fn checks() -> Vec<Check> {
    named(
        "suites",
        [
            // The longest ones come first, so that others are made beside them.
            ("schemathesis_on_the_federated_back_end", || schemathesis("federated")),
            ("schemathesis_on_the_pass_through_back_end", || schemathesis("pass-through")),
            ("conformance_of_the_first_era", || conformance(LEGACY, &FIRST_ERA)),
            ("conformance_of_the_second_era", || conformance(MODERN, &SECOND_ERA)),
            ("inspector", inspector),
        ],
    )
}

/// The scenarios for a service that has nothing but tools.
const FIRST_ERA: [&str; 4] = ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"];
const SECOND_ERA: [&str; 6] = [
    "server-stateless",
    "tools-list",
    "caching",
    "dns-rebinding-protection",
    "http-header-validation",
    "input-required-result-unsupported-methods",
];

/// A script of an installed package.
fn script(service: &Service, path: &str) -> Command {
    let mut node = need_node(service.home.path());
    node.arg(judges().join("typescript/node_modules/@modelcontextprotocol").join(path));
    node
}

/// Checks that ask for what a service with nothing but tools does not have, and what the suite then says: it cannot be tested
/// without a tool of its own, or there is no such method.
const NOT_OURS: [(&str, &str); 7] = [
    (
        "sep-2575-server-rejects-undeclared-capability",
        "Not testable: server does not list the diagnostic tool",
    ),
    ("sep-2575-missing-capability-http-400", "Not testable: server does not list the diagnostic tool"),
    (
        "sep-2575-http-server-no-independent-requests-on-stream",
        "Not testable: server does not list the diagnostic tool",
    ),
    ("sep-2575-server-no-log-without-loglevel", "Not testable: server does not list the diagnostic tool"),
    ("sep-2549-prompts-list-caching-hints", "JSON-RPC error -32601"),
    ("sep-2549-resources-list-caching-hints", "JSON-RPC error -32601"),
    ("sep-2549-resources-templates-list-caching-hints", "JSON-RPC error -32601"),
];

fn conformance(revision: &str, scenarios: &[&str]) {
    // The suite cannot send a bearer.
    let service = Service::in_sandbox(&["--allow-unauthenticated"]);
    let mut failed = Vec::new();
    for scenario in scenarios {
        let mut suite = script(&service, "conformance/dist/index.js");
        let results = service.home.path().join(scenario);
        suite.args([
            "server",
            "--url",
            &service.mcp,
            "--scenario",
            scenario,
            "--spec-version",
            revision,
            "--force",
        ]);
        suite.arg("-o").arg(&results);
        let output = run(suite);
        let checks = checks_in(&results);
        let passed = checks.iter().filter(|check| check["status"] == "SUCCESS").count();
        assert!(passed > 0, "{scenario}: {}", String::from_utf8_lossy(&output.stderr));
        let is_ours = |check: &Value| {
            let says = |text| check["errorMessage"].as_str().is_some_and(|message| message.contains(text));
            !NOT_OURS.iter().any(|(id, reason)| check["id"] == *id && says(*reason))
        };
        let is_bad = |check: &Value| check["status"] == "FAILURE" || check["status"] == "WARNING";
        let bad = checks.into_iter().filter(|check| is_bad(check) && is_ours(check));
        failed.extend(bad.map(|check| format!("{scenario}: {check:#}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    service.stop();
}

/// What the suite found, from the one folder that it made.
fn checks_in(results: &Path) -> Vec<Value> {
    let folders = fs::read_dir(results).unwrap().map(|folder| folder.unwrap().path().join("checks.json"));
    folders.flat_map(|file| serde_json::from_slice::<Vec<Value>>(&fs::read(file).unwrap()).unwrap()).collect()
}

fn inspector() {
    let service = Service::in_sandbox(&[]);
    let bearer = format!("Authorization: Bearer {}", service.bearer);
    let ask = |args: &[&str]| {
        let mut inspector = script(&service, "inspector/clients/launcher/build/index.js");
        inspector.args(["--cli", &service.mcp, "--transport", "http", "--header", &bearer]).args(args);
        serde_json::from_str::<Value>(&succeeds(inspector)).unwrap()
    };
    let tools = ask(&["--method", "tools/list", "--strict"]);
    assert_eq!(tools["tools"].as_array().map(Vec::len), Some(4), "{tools}");
    for tool in ["getoauth2accesstoken", "refreshoauth2accesstoken", "inspect"] {
        let result = ask(&["--method", "tools/call", "--tool-name", tool]);
        assert!(result["isError"] != true && result["structuredContent"].is_object(), "{tool}: {result}");
    }
    let explained =
        ask(&["--method", "tools/call", "--tool-name", "explain", "--tool-arg", "code=claim-aud"]);
    assert!(explained["isError"] != true && explained.to_string().contains("claim-aud"), "{explained}");
    service.stop();
}

fn schemathesis(back_end: &str) {
    let schemathesis = judges().join("python/.venv/bin/schemathesis");
    need("schemathesis", Command::new(&schemathesis).arg("--version"), INSTALL);
    let service = Service::in_sandbox(&["--backend", back_end]);
    let mut run = program(schemathesis, service.home.path());
    run.args(["run", &format!("{}/openapi.json", service.rest), "--no-color"]);
    run.args(["--header", &format!("Authorization: Bearer {}", service.bearer)]);
    run.args(["--seed", "1", "--workers", "1", "--max-examples", "50", "--request-timeout", "30"]);
    if back_end == "pass-through" {
        // Which clients there are, the API knows, and no document of this service.
        run.args(["--exclude-checks", "positive_data_acceptance"]);
    }
    let said = succeeds(run);
    assert!(said.contains("passed"), "{said}");
    service.stop();
}
