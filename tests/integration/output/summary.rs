//! `--summary`: the short account in GitHub's job summary. Everybody who can see the run can read it, and GitHub
//! renders it: nothing from outside may be markup there, and nothing may be secret.

use crate::support;

use serde_json::{Value, json};

use support::job::{Job, SCOPE, sts_error};
use support::outcome::Outcome;
use support::runner;
use support::token;

const VARIABLE: &str = "EQUINIX_WIF_SUMMARY";

fn summary(outcome: &Outcome) -> String {
    String::from_utf8(outcome.summary_file.clone().expect("GITHUB_STEP_SUMMARY")).unwrap()
}

/// A job that the STS refuses with this to say.
fn denied(description: &str) -> Job {
    Job::github().sts_reply(sts_error("invalid_grant", description))
}

fn with_claim(job: Job, name: &'static str, value: Value) -> Job {
    job.claims(move |claims| drop(claims.insert(name.to_owned(), value.clone())))
}

/// The characters that mean something in GitHub's Markdown or HTML, of which a value has none.
const MARKUP: [char; 17] =
    ['<', '>', '`', '*', '_', '[', ']', '(', ')', '!', '\\', '~', '$', '@', ':', '\u{1b}', '\u{202e}'];

/// The parts of a summary that come from elsewhere: the table's cells, and what stands behind its two labels.
fn values(text: &str) -> Vec<String> {
    let rows = text.lines().filter(|line| line.starts_with("| ") && *line != "| | |");
    let cells = rows.flat_map(|row| {
        let cells: Vec<&str> = row.split('|').collect();
        assert_eq!(cells.len(), 4, "a row has two cells: {row}");
        assert_eq!((cells[0], cells[3]), ("", ""), "{row}");
        [cells[1].trim().to_owned(), cells[2].trim().to_owned()]
    });
    let labels = ["**What to do:** ", "What happened: "];
    let lines = text.lines().filter_map(|line| labels.iter().find_map(|label| line.strip_prefix(label)));
    // The cure's own line breaks are the one piece of HTML.
    cells.chain(lines.map(|line| line.replace("<br>", " "))).collect()
}

/// Nothing in it can be anything but text, and every line is one that the program writes.
#[track_caller]
fn is_plain(text: &str) {
    for line in text.lines() {
        let known = ["", "| | |", "|---|---|"].contains(&line)
            || ["### equinix-wif: ", "**What to do:** ", "What happened: ", "| "]
                .iter()
                .any(|start| line.starts_with(start));
        assert!(known, "{line}\nin\n{text}");
    }
    for value in values(text) {
        let rest = without_references(&value);
        let harmless = !rest.contains(MARKUP) && !rest.contains(['&', '#', '|']) && !rest.contains("www.");
        assert!(harmless, "{value}\nin\n{text}");
    }
}

/// The text without `&#60;` and its like, which always stand for themselves.
fn without_references(text: &str) -> String {
    let mut rest = text;
    let mut out = String::new();
    while let Some((before, after)) = rest.split_once("&#") {
        let (number, after) = after.split_once(';').expect("a reference ends with ;");
        assert!(number.bytes().all(|b| b.is_ascii_digit()), "{text}");
        out.push_str(before);
        rest = after;
    }
    out + rest
}

/// The text as a reader sees it.
fn rendered(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("&#") {
        let (number, after) = after.split_once(';').unwrap();
        out.push_str(before);
        out.push(char::from_u32(number.parse().unwrap()).unwrap());
        rest = after;
    }
    out + rest
}

#[test]
fn it_is_written_when_asked_for() {
    for (setting, on_success, on_failure) in [
        (None, false, false),
        (Some("never"), false, false),
        (Some("on-failure"), false, true),
        (Some("always"), true, true),
    ] {
        for by_flag in [true, false] {
            println!("case: {setting:?}, by flag: {by_flag}");
            let with = |job: Job| match (setting, by_flag) {
                (None, _) => job,
                (Some(word), true) => job.args(["--summary", word]),
                (Some(word), false) => job.env(VARIABLE, word),
            };
            let good = with(Job::github()).run();
            good.succeeds().sts_requests(1);
            assert_eq!(!summary(&good).is_empty(), on_success, "{}", summary(&good));
            let bad = with(denied("no")).run();
            bad.fails(6, "sts-denied");
            assert_eq!(!summary(&bad).is_empty(), on_failure, "{}", summary(&bad));
        }
    }
    let both = Job::github().args(["--summary", "never"]).env(VARIABLE, "always").run();
    both.succeeds();
    assert_eq!(summary(&both), "");
}

#[test]
fn a_word_that_it_does_not_know_is_refused_before_anything_else() {
    for (name, job) in [
        ("--summary", Job::github().args(["--summary", "yes"])),
        (VARIABLE, Job::github().env(VARIABLE, "ALWAYS")),
    ] {
        println!("case: {name}");
        let outcome = job.run();
        outcome.fails(2, "cfg-value-invalid").sts_requests(0).id_token_requests(0);
        outcome.stderr_has(&format!("{name} has a value that it does not allow"));
        assert_eq!(summary(&outcome), "");
    }
}

#[test]
fn a_success_tells_what_was_granted_to_whom() {
    let outcome = Job::github().args(["--summary", "always"]).run();
    outcome.succeeds();
    let text = summary(&outcome);
    is_plain(&text);
    assert!(
        text.starts_with("### equinix-wif: access token issued\n\n| | |\n|---|---|\n| scope | "),
        "{text}"
    );
    let seen = rendered(&text);
    let expires_at = outcome.outputs()["expires-at"].clone();
    for row in [
        format!("| scope | {SCOPE} |"),
        format!("| expires | {expires_at} |"),
        "| subject | repo:octo-org/metal-app:ref:refs/heads/main |".to_owned(),
        "| claims | decoded, not verified |".to_owned(),
    ] {
        assert!(seen.lines().any(|line| line == row), "{row}\nin\n{seen}");
    }
    assert!(!seen.contains("mona"), "no person is named: {seen}");
}

#[test]
fn a_success_lists_what_was_warned_of() {
    let job = with_claim(Job::github(), "run_id", json!("8")).args(["--summary", "always"]);
    let outcome = job.run();
    outcome.succeeds();
    let text = summary(&outcome);
    is_plain(&text);
    assert!(
        rendered(&text).contains("| warning | the ID token says run_id \"8\", but GITHUB_RUN_ID is"),
        "{text}"
    );
}

#[test]
fn a_failure_has_its_cure_first() {
    let failing: Vec<(&str, Job, i32, &str)> = vec![
        ("before the ID token", Job::github().without_id_token_permission(), 3, "gh-id-token-permission"),
        ("at a claim", with_claim(Job::github(), "aud", json!("other")), 5, "claim-aud"),
        ("at an expectation", Job::github().args(["--expect", "ref=main"]), 5, "claim-expectation"),
        ("at the STS", denied("no"), 6, "sts-denied"),
        ("at a setting", Job::github().args(["--timeout", "soon"]), 2, "cfg-value-invalid"),
        ("at the delivery", Job::github().env("GITHUB_OUTPUT", "/nowhere/output"), 9, ""),
    ];
    for (name, job, exit, code) in failing {
        println!("case: {name}");
        let outcome = job.args(["--summary", "on-failure"]).run();
        outcome.require(outcome.status == Some(exit), &format!("the exit status is {exit}"));
        let text = summary(&outcome);
        is_plain(&text);
        assert!(text.starts_with(&format!("### equinix-wif: {code}")), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[2].starts_with("**What to do:** ") && lines[2].len() > 30, "{text}");
        assert!(lines[4].starts_with("What happened: ") && lines[4].len() > 20, "{text}");
        let hint = outcome.report.as_ref().unwrap()["hint"].as_str().unwrap();
        let cure = rendered(lines[2].strip_prefix("**What to do:** ").unwrap()).replace("<br>", "\n");
        assert_eq!(cure, hint);
    }
}

const EVIL: [&str; 12] = [
    "<img src=x onerror=alert(1)>",
    "</td></table><script>alert(1)</script>",
    "[click here](https://evil.example/)",
    "![x](https://evil.example/beacon.png)",
    "<https://evil.example>",
    "https://evil.example/ www.evil.example",
    "| a | b |\n|---|---|\n| `x` | **y** |",
    "\n\n# heading\n\n> quote\n\n- item\n\n```\ncode\n```",
    "@octo-org/security #1 $\\frac{1}{2}$ ~~x~~ \\",
    "\n::add-path::/x\n##[group]x\n::stop-commands::x",
    "\u{1b}[31m\u{202e}txet\u{200b}\r",
    "&lt;b&gt; &#60;b&#62; &amp;",
];

#[test]
fn nothing_from_outside_renders() {
    for evil in EVIL {
        println!("case: {evil:?}");
        // In a token that is accepted: subject and issuer are shown.
        let job = with_claim(Job::github(), "sub", json!(evil)).args(["--summary", "always"]);
        let outcome = job.run();
        outcome.succeeds();
        is_plain(&summary(&outcome));
        let told = summary(&outcome).contains("| subject | ");
        assert!(told, "{}", summary(&outcome));
        // In a claim that is refused.
        let job = with_claim(Job::github(), "ref", json!(evil)).args(["--expect", "ref=refs/heads/main"]);
        let outcome = job.args(["--summary", "always"]).run();
        outcome.fails(5, "claim-expectation");
        is_plain(&summary(&outcome));
        // In what the STS says.
        let outcome = denied(evil).args(["--summary", "always"]).run();
        outcome.fails(6, "sts-denied");
        is_plain(&summary(&outcome));
        assert!(summary(&outcome).contains("| STS says | "), "{}", summary(&outcome));
        // In the environment.
        let flat = evil.replace(['\n', '\r'], " ");
        let outcome = Job::github().args(["--validation", &flat, "--summary", "always"]).run();
        outcome.fails(2, "cfg-value-invalid");
        is_plain(&summary(&outcome));
    }
}

#[test]
fn a_url_does_not_become_a_link() {
    let outcome = denied("see https://evil.example/ or www.evil.example").args(["--summary", "always"]).run();
    outcome.fails(6, "sts-denied");
    let text = summary(&outcome);
    assert!(!text.contains("https://") && !text.contains("www."), "{text}");
    assert!(
        rendered(&text).contains("see https://evil.example/ or www.evil.example"),
        "it is readable: {text}"
    );
}

#[test]
fn no_secret_is_in_it() {
    // The harness looks for the tokens in every file; here they are put where they could slip in.
    for part in 0..3 {
        println!("case: part {part}");
        let job = Job::github().args(["--summary", "always"]).sts_with(move |request| {
            let token = request.form_value("subject_token").unwrap();
            let piece = token.split('.').nth(part).unwrap().to_owned();
            Some(sts_error("invalid_grant", &format!("I do not like {piece}.")))
        });
        let outcome = job.run();
        outcome.fails(6, "sts-denied");
        let text = rendered(&summary(&outcome));
        assert!(text.contains("I do not like ***"), "{text}");
    }
    let bearer = token::random_text(60);
    let echo = sts_error("invalid_grant", &format!("I do not like {bearer}."));
    let job = Job::github().env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", &bearer).sts_reply(echo);
    let outcome = job.args(["--summary", "always"]).run();
    outcome.fails(6, "sts-denied");
    assert!(rendered(&summary(&outcome)).contains("I do not like ***"), "{}", summary(&outcome));
}

#[test]
fn what_was_there_is_kept() {
    for (name, before, separator) in [
        ("nothing", "", ""),
        ("a line", "# Earlier step\n", ""),
        ("a line without an end", "# Earlier step", "\n"),
        ("an open code block", "```\ncode", "\n"),
    ] {
        for job in [Job::github(), denied("no")] {
            println!("case: {name}");
            let path = job.summary_path();
            std::fs::write(&path, before).unwrap();
            let text = summary(&job.args(["--summary", "always"]).run());
            let added = text.strip_prefix(before).and_then(|rest| rest.strip_prefix(separator));
            assert!(added.is_some_and(|added| added.starts_with("### equinix-wif: ")), "{text}");
        }
    }
}

#[test]
fn a_place_that_is_missing_does_no_harm() {
    for (name, job, warned) in [
        ("no variable", Job::github().unset("GITHUB_STEP_SUMMARY"), false),
        ("an empty variable", Job::github().env("GITHUB_STEP_SUMMARY", ""), false),
        ("no such file", Job::github().env("GITHUB_STEP_SUMMARY", "/nowhere/summary"), true),
        ("GitLab", Job::gitlab(), false),
        (
            "GitLab with GitHub's variable",
            Job::gitlab().env("GITHUB_STEP_SUMMARY", "/nowhere/summary"),
            false,
        ),
    ] {
        println!("case: {name}");
        let outcome = job.args(["--summary", "always"]).run();
        outcome.succeeds().sts_requests(1);
        assert_eq!(
            outcome.stderr.contains("the job summary was not written"),
            warned,
            "{}",
            outcome.context()
        );
    }
    let refused = Job::gitlab().args(["--summary", "always", "--expect", "ref=x"]).run();
    refused.fails(5, "claim-expectation").stderr_lacks("job summary");
    let nowhere =
        denied("no").env("GITHUB_STEP_SUMMARY", "/nowhere/summary").args(["--summary", "always"]).run();
    nowhere.fails(6, "sts-denied").stderr_has("warning: the job summary was not written");
}

#[test]
fn a_place_that_leads_elsewhere_is_not_written_to() {
    #[cfg(unix)]
    {
        let job = Job::github().file("victim", "untouched");
        let (victim, link) = (job.root().join("victim"), job.root().join("link"));
        std::os::unix::fs::symlink(&victim, &link).unwrap();
        let outcome = job.env("GITHUB_STEP_SUMMARY", &link).args(["--summary", "always"]).run();
        outcome.succeeds().stderr_has("warning: the job summary was not written");
        assert_eq!(outcome.files[&victim], b"untouched");
    }
}

#[test]
fn it_is_no_command_for_the_runner() {
    let outcome = denied("\n::set-output name=x::y").args(["--summary", "always"]).run();
    outcome.fails(6, "sts-denied");
    assert!(runner::commands(&summary(&outcome)).is_empty(), "{}", summary(&outcome));
}
