//! Suites that judge whole protocols: MCP's inspector and conformance suite, schemathesis for the OpenAPI document.

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

fn conformance(revision: &str, scenarios: &[&str]) {
    // The suite cannot send a bearer.
    let service = Service::in_sandbox(&["--allow-unauthenticated"]);
    let mut failed = String::new();
    for scenario in scenarios {
        let mut suite = script(&service, "conformance/dist/index.js");
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
        let output = run(suite);
        let text = String::from_utf8_lossy(&output.stdout);
        // It succeeds if no check failed. One at least has to have been made.
        if !output.status.success() || !text.contains("SUCCESS") {
            failed += &format!("{scenario}:\n{text}{}\n", String::from_utf8_lossy(&output.stderr));
        }
    }
    assert!(failed.is_empty(), "{failed}");
    service.stop();
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
    let said = succeeds(run);
    assert!(said.contains("passed"), "{said}");
    service.stop();
}
