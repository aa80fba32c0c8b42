//! The recipes of the page about the service, run by the shell and the curl that they are written for.

use std::process::Command;

use serde_json::Value;

use crate::harness::Check;
use crate::need::need;
use crate::service::{PROGRAM, Service, program, succeeds};
use crate::{INSTALL, named};

pub(crate) fn checks() -> Vec<Check> {
    named(
        "pages",
        [
            ("recipes_for_curl_get_a_token", recipes_for_curl_get_a_token),
            ("the_recipes_for_a_job_and_a_socket_work", the_recipes_for_a_job_and_a_socket_work),
        ],
    )
}

/// The blocks of the page that a shell runs.
fn blocks() -> Vec<String> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/local-service.md");
    let page = std::fs::read_to_string(path).unwrap();
    let blocks = page.split("```sh\n").skip(1);
    blocks.map(|rest| rest.split_once("```").unwrap().0.to_owned()).collect()
}

fn block(part: &str) -> String {
    blocks().into_iter().find(|block| block.contains(part)).unwrap_or_else(|| panic!("no block has {part}"))
}

/// Runs lines in a shell, in the home folder of a service.
fn shell(service: &Service, lines: &str) -> String {
    need("curl", Command::new("curl").arg("--version"), INSTALL);
    let mut sh = program("sh", service.home.path());
    sh.args(["-ec", lines]).env("bearer", &service.bearer_file).env("program", PROGRAM);
    sh.env("XDG_RUNTIME_DIR", service.home.path());
    succeeds(sh)
}

#[track_caller]
fn is_token(answer: &str) {
    let answer: Value = serde_json::from_str(answer).unwrap_or_else(|_| panic!("{answer}"));
    assert!(answer["access_token"].as_str().is_some_and(|token| token.len() > 20), "{answer}");
}

fn recipes_for_curl_get_a_token() {
    let service = Service::in_sandbox(&[]);
    let mut tried = 0;
    for block in blocks().into_iter().filter(|block| block.contains("http://127.0.0.1:8080/")) {
        // A request for Equinix's API, which a service with an identity does not take.
        if block.contains("request.json") {
            continue;
        }
        tried += 1;
        is_token(&shell(&service, &block.replace("http://127.0.0.1:8080", &service.rest)));
    }
    assert_eq!(tried, 3);
    service.stop();
}

fn the_recipes_for_a_job_and_a_socket_work() {
    // Its folder is all that is needed of this one.
    let around = Service::in_sandbox(&[]);
    let recipe = block("--probe")
        .replace("equinix-wif-serve", "\"$program\" --rest-listen \"unix:$XDG_RUNTIME_DIR/equinix.sock\"")
        .replace("--audience my-equinix-audience --scope \"roleassignments:<org-id>\"", "--sandbox");
    let ask = block("--unix-socket");
    let lines = format!("{recipe}\n{ask}\nkill \"$!\"; wait \"$!\"; test -s \"$bearer\"");
    is_token(&shell(&around, &lines));
    around.stop();
}
