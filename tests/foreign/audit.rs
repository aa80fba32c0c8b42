//! The questions of `docs/audit.md` and `docs/first-contact.md`, asked with the real jq of reports that the program wrote.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::job::{Job, SCOPE, sts_error};
use crate::support::outcome::Outcome;
use crate::support::pages::{markdown, page};
use crate::support::server::Reply;
use crate::support::signing::signed;
use crate::tools::{INSTALL, need};
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![have_their_answer_in_a_line, find_nothing_secret_to_send]
}

/// The moment in the page.
const MOMENT: &str = "2026-11-26T12:00:00Z";

/// The lines of a page that call jq.
fn lines(path: &str) -> Vec<String> {
    let blocks = markdown::split(&page(path)).0.into_iter().filter(|block| block.tag == "sh");
    blocks.map(|block| block.text).filter(|text| text.starts_with("jq ")).collect()
}

/// Returns what a line prints in a folder.
#[track_caller]
fn ask(line: &str, folder: &Path) -> Vec<String> {
    need("jq", Command::new("jq").arg("--version"), INSTALL);
    let output = Command::new("sh").args(["-ec", line]).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{line}{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
}

fn report(outcome: &Outcome) -> &Value {
    outcome.report.as_ref().unwrap()
}

fn have_their_answer_in_a_line() {
    let folder = tempfile::tempdir().unwrap();
    let reports = folder.path().join("reports");
    fs::create_dir(&reports).unwrap();
    let refused = sts_error("invalid_scope", "no").header("X-Request-Id", "req-7");
    let outcomes = [
        Job::github().run(),
        Job::gitlab().sts_reply(refused).run(),
        Job::gitlab().renew().exec(["true"]).run(),
        Job::gitlab().args(["--scpe", "x"]).run(),
    ];
    for (number, outcome) in outcomes.iter().enumerate() {
        fs::write(reports.join(format!("{number}.json")), report(outcome).to_string()).unwrap();
    }
    let [github, refused, renewing, _] = &outcomes;
    let lines = lines("docs/audit.md");
    assert_eq!(lines.len(), 5);

    let [who, alive, failed, place, named] = std::array::from_fn(|number| lines[number].as_str());
    let found = ask(who, folder.path());
    assert_eq!(found.len(), 2, "{found:?}");
    for (line, outcome) in found.iter().zip([github, renewing]) {
        let audit = &report(outcome)["audit"];
        let words: Vec<&str> = line.split('\t').collect();
        let told = [&audit["started_at"], &audit["command"], &audit["identity"]["sub"]];
        assert_eq!((&words[..3], words[3]), (&told.map(|text| text.as_str().unwrap())[..], SCOPE));
        let run: Value = serde_json::from_str(&words[4].replace("\\\\", "\\")).unwrap();
        assert_eq!(run, audit["run"]);
    }

    assert!(alive.contains(MOMENT));
    let end = report(github)["expires_at"].as_str().unwrap();
    for (moment, count) in [
        (report(renewing)["audit"]["started_at"].as_str().unwrap(), 2),
        ("2000-01-01T00:00:00Z", 0),
        (end, 0),
    ] {
        let found = ask(&alive.replace(MOMENT, moment), folder.path());
        // The second run may have begun a second later, and its token ends as much later.
        assert!(found.len() == count || (moment == end && found.len() == 1), "{moment}: {found:?}");
    }

    let found = ask(failed, folder.path());
    let code = |line: &String| line.split('\t').nth(1).unwrap().to_owned();
    assert_eq!(found.iter().map(code).collect::<Vec<_>>(), ["sts-scope-denied", "cfg-usage"]);
    assert!(found[0].contains(SCOPE) && found[0].contains("invalid_scope"), "{found:?}");

    let found = ask(place, folder.path());
    let after = |line: &String| line.split_once('\t').unwrap().1.to_owned();
    let found: Vec<String> = found.iter().map(after).collect();
    assert_eq!(found[..2], ["runner-file\tGITHUB_OUTPUT\t", "environment\tEQUINIX_API_TOKEN\ttrue"]);
    assert!(found[2].starts_with("file\t/") && found.len() == 3, "{found:?}");

    let found = ask(named, folder.path());
    let of = refused.sts.requests.len() + github.sts.requests.len() + renewing.sts.requests.len();
    assert_eq!(found.len(), of, "{found:?}");
    assert!(
        found.iter().any(|line| line.contains("\tPOST\t") && line.ends_with("/use/token\t400\treq-7")),
        "{found:?}"
    );
}

fn find_nothing_secret_to_send() {
    let [line] = lines("docs/first-contact.md").try_into().unwrap();
    let job = signed(Job::gitlab()).command("doctor").arg("--exchange");
    let facts = job.facts().clone();
    let outcome = job.sts_with(|request| (request.method == "POST").then(|| Reply::status(403))).run();
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("first-contact.json"), report(&outcome).to_string()).unwrap();
    let printed = ask(&line, folder.path()).join("\n");
    let found: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(found["answers"][0]["status"], 403);
    for name in [&facts.repository, &facts.actor, &facts.branch, &facts.sha, &SCOPE.to_owned()] {
        assert!(!printed.contains(name.as_str()), "{name}: {printed}");
    }
}
