//! What real shells make of the formats that they read: exactly the token, in every mode a script may have set.
//!
//! `tests/foreign/shells/install.sh` installs the shells. PowerShell is in no registry that this project uses, so its
//! lines are read with a port of its rule for single quotes.

#![cfg(unix)]

use crate::support;

use crate::tools::need_shell;
use crate::{Check, checks};
use support::job::{Job, SCOPE, SUBJECT_TOKEN, sts_error};
use support::outcome::Outcome;
use support::table::each;

/// What is checked with a shell of this name, which is started so.
type OfShell = fn(&str, &[&str]);

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    let mut checks = checks![
        fish_reads_exactly_the_token,
        in_fish_an_older_token_is_unset_without_one,
        powershell_reads_exactly_the_token
    ];
    let of_posix: [(&str, OfShell); 4] = [
        (
            "posix_shells_read_exactly_the_token_in_every_mode",
            posix_shells_read_exactly_the_token_in_every_mode,
        ),
        ("statements_need_no_line_breaks", statements_need_no_line_breaks),
        (
            "a_failure_gives_them_nothing_and_ends_the_robust_forms",
            a_failure_gives_them_nothing_and_ends_the_robust_forms,
        ),
        ("without_a_token_an_older_one_is_unset", without_a_token_an_older_one_is_unset),
    ];
    for (name, check) in of_posix {
        for (shell, command) in POSIX {
            checks.push(Check::new(format!("{name}::{shell}"), move || check(shell, command)));
        }
    }
    checks
}

/// POSIX shells and the arguments with which they take a script.
const POSIX: [(&str, &[&str]); 8] = [
    ("sh", &["sh", "-c"]),
    ("dash", &["dash", "-c"]),
    ("bash", &["bash", "-c"]),
    ("bash --posix", &["bash", "--posix", "-c"]),
    ("zsh", &["zsh", "-f", "-c"]),
    ("mksh", &["mksh", "-c"]),
    ("yash", &["yash", "--posix", "-c"]),
    ("busybox", &["busybox", "sh", "-c"]),
];

/// What a script may have set before. The last ones are zsh's.
const MODES: [(&str, &str); 9] = [
    ("as it is", ""),
    ("nounset", "set -u"),
    ("errexit", "set -e"),
    ("noglob", "set -f"),
    ("allexport", "set -a"),
    ("another IFS", "IFS='at.~_-=/+'"),
    ("a hostile value before", "EQUINIX_API_TOKEN='$(touch pwned)`touch pwned`'"),
    ("zsh: sh_word_split", "setopt sh_word_split"),
    ("zsh: glob_subst", "setopt glob_subst extended_glob"),
];

/// The harness's access tokens have every character that the STS may use.
fn job() -> Job {
    let job = Job::gitlab().env("EQUINIX_TOKEN_EXCHANGE_SCOPE", SCOPE);
    // Files with names that patterns and values could become.
    for name in ["a", "~", "*", "export", "EQUINIX_API_TOKEN"] {
        std::fs::write(job.project_dir().join(name), "").unwrap();
    }
    job
}

/// What a child of the shell sees: the token, its expiry, and whether the subject token is there.
const SHOW: &str = "sh -c 'printf \"%s|%s|%s\" \"$EQUINIX_API_TOKEN\" \"$EQUINIX_API_TOKEN_EXPIRES_AT\" \"${EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN-unset}\"'";

#[track_caller]
fn has_exactly_the_token(outcome: &Outcome) {
    outcome.require(outcome.status == Some(0), "the script succeeds");
    let report = outcome.report.as_ref().unwrap();
    let expiry = report["expires_at"].as_str().unwrap();
    outcome.stdout_is(&format!("{}|{expiry}|unset", outcome.access_token()));
    let pwned = outcome.files.keys().any(|path| path.ends_with("pwned"));
    outcome.require(!pwned, "nothing was executed");
}

fn posix_shells_read_exactly_the_token_in_every_mode(shell: &str, command: &[&str]) {
    need_shell(&command[..command.len() - 1]);
    let ways = [
        ("source", format!("file=$(equinix-wif \"$@\") || exit; . \"$file\"; rm -f \"$file\"; {SHOW}")),
        (
            "source at once",
            format!(
                ". \"$(equinix-wif \"$@\")\"; find \"$CI_PROJECT_DIR.tmp\" -name '*.env' -delete; {SHOW}"
            ),
        ),
        ("eval", format!("lines=$(equinix-wif \"$@\" --format shell) || exit; eval \"$lines\"; {SHOW}")),
        ("eval at once", format!("eval \"$(equinix-wif \"$@\" --format shell)\"; {SHOW}")),
    ];
    let mut cases = Vec::new();
    for (mode, prelude) in MODES {
        if mode.starts_with("zsh: ") && shell != "zsh" {
            continue;
        }
        for (way, script) in &ways {
            // Two statements: some modes hold from the next one on.
            cases.push((format!("{shell}, {mode}, {way}"), (command, format!("{prelude}\n{script}"))));
        }
    }
    assert!(cases.len() >= 7 * 4, "{}", cases.len());
    each(&cases, |(command, script)| {
        let words = command.iter().copied().chain([script.as_str()]);
        has_exactly_the_token(&job().wrap_shell(words).token_on_stdout().run());
    });
}

/// `eval $(…)` as many people write it: without quotes the shell makes blanks of the line breaks. Whoever does it a second
/// time sets the subject token anew.
fn statements_need_no_line_breaks(shell: &str, command: &[&str]) {
    need_shell(&command[..command.len() - 1]);
    let evaluate = "eval $(equinix-wif \"$@\" --format shell)";
    let again = format!("id=${SUBJECT_TOKEN}; {evaluate}; export {SUBJECT_TOKEN}=\"$id\"; {evaluate}");
    let mut cases = Vec::new();
    for prelude in ["", "set -eu", "set -f"] {
        for (time, script) in [("once", evaluate), ("twice", again.as_str())] {
            for shadowing in [true, false] {
                let script = format!("{prelude}\n{script}\n{SHOW}");
                cases.push((format!("{shell}, {prelude:?}, {time}, {shadowing}"), (script, shadowing)));
            }
        }
    }
    each(&cases, |(script, shadowing)| {
        let words = command.iter().copied().chain([script.as_str()]);
        let job = job().wrap_shell(words).token_on_stdout();
        if *shadowing {
            return has_exactly_the_token(&job.run());
        }
        let script = script.replace(SHOW, "sh -c 'printf %s \"$EQUINIX_API_TOKEN\"'");
        let words = command.iter().copied().chain([script.as_str()]);
        let job = Job::gitlab().wrap_shell(words).token_on_stdout();
        let outcome = job.run();
        outcome.require(outcome.status == Some(0), "the script succeeds");
        outcome.stdout_is(outcome.access_token());
    });
}

fn fish_reads_exactly_the_token() {
    need_shell(&["fish"]);
    for script in [
        "set -l lines (equinix-wif $argv[2..-1] --format fish); or exit; printf '%s\\n' $lines | source; ",
        "equinix-wif $argv[2..-1] --format fish | source; ",
        "eval (equinix-wif $argv[2..-1] --format fish); ",
    ] {
        let script = format!("{script}{SHOW}");
        has_exactly_the_token(&job().wrap_shell(["fish", "-c", &script]).token_on_stdout().run());
    }
    let script = "set -l lines (equinix-wif $argv[2..-1] --format fish); or exit; echo went on";
    let outcome = job()
        .sts_always(sts_error("invalid_scope", "; touch pwned"))
        .wrap_shell(["fish", "-c", script])
        .run();
    outcome.require(outcome.status == Some(6), "the script ends with the program's exit status");
    outcome.stdout_is("");
}

fn a_failure_gives_them_nothing_and_ends_the_robust_forms(shell: &str, command: &[&str]) {
    need_shell(&command[..command.len() - 1]);
    let said = ["$(touch pwned)", "'; touch pwned; '", "`touch pwned`", "\ntouch pwned\n", "&& touch pwned"];
    let mut cases = Vec::new();
    for text in said {
        for script in [
            "file=$(equinix-wif \"$@\") || exit; . \"$file\"; echo went on",
            "lines=$(equinix-wif \"$@\" --format shell) || exit; eval \"$lines\"; echo went on",
        ] {
            cases.push((format!("{shell} {text:?}"), (command, script, text)));
        }
    }
    each(&cases, |(command, script, text)| {
        let words = command.iter().copied().chain([*script]);
        let outcome = job().sts_always(sts_error("invalid_scope", text)).wrap_shell(words).run();
        outcome.require(outcome.status == Some(6), "the script ends with the program's exit status");
        outcome.stdout_is("");
        assert!(!outcome.files.keys().any(|path| path.ends_with("pwned")));
    });
}

/// What a child of the shell sees of a token that was there before.
const SHOW_OLDER: &str = "sh -c 'echo \"${EQUINIX_API_TOKEN-unset} ${EQUINIX_API_TOKEN_EXPIRES_AT-unset}\"'";

/// A job without an ID token, in an environment with an older access token.
fn with_an_older_token() -> Job {
    Job::gitlab()
        .unset(SUBJECT_TOKEN)
        .env("EQUINIX_API_TOKEN", "an-older-token")
        .env("EQUINIX_API_TOKEN_EXPIRES_AT", "2001-01-01T00:00:00Z")
        .env("EQUINIX_WIF_ON_UNAVAILABLE", "skip")
}

fn in_fish_an_older_token_is_unset_without_one() {
    need_shell(&["fish"]);
    let script = format!("equinix-wif $argv[2..-1] --format fish | source; {SHOW_OLDER}");
    with_an_older_token().wrap_shell(["fish", "-c", &script]).run().stdout_is("unset unset\n");
}

fn without_a_token_an_older_one_is_unset(shell: &str, command: &[&str]) {
    need_shell(&command[..command.len() - 1]);
    let script =
        format!("set -eu; file=$(equinix-wif \"$@\") || exit; . \"$file\"; rm -f \"$file\"; {SHOW_OLDER}");
    let outcome = with_an_older_token().wrap_shell(command.iter().copied().chain([script.as_str()])).run();
    outcome.require(outcome.status == Some(0), &format!("{shell} goes on"));
    outcome.stdout_is("unset unset\n");
}

/// PowerShell's assignments, as far as a line is one: single quotes hold everything as it is but themselves, which are
/// doubled, and it takes four more characters for single quotes
/// (<https://learn.microsoft.com/powershell/scripting/lang-spec/chapter-02>, section 2.3.5.2.1).
fn powershell_assignment(line: &str) -> Option<(String, String)> {
    const QUOTES: [char; 5] = ['\'', '\u{2018}', '\u{2019}', '\u{201a}', '\u{201b}'];
    let line = line.strip_suffix(';')?;
    let (name, rest) = line.strip_prefix("$env:")?.split_once(" = ")?;
    let mut rest = rest.strip_prefix(QUOTES)?.chars().peekable();
    let mut value = String::new();
    loop {
        match rest.next()? {
            quote if QUOTES.contains(&quote) => match rest.next() {
                None => return Some((name.to_owned(), value)),
                Some(second) if QUOTES.contains(&second) => value.push(second),
                Some(_) => return None,
            },
            other => value.push(other),
        }
    }
}

fn powershell_reads_exactly_the_token() {
    let outcome = job().args(["--format", "powershell"]).token_on_stdout().run();
    let lines: Vec<&str> = outcome.succeeds().stdout.lines().collect();
    let expiry = outcome.report.as_ref().unwrap()["expires_at"].as_str().unwrap();
    let read: Vec<_> = lines.iter().map(|line| powershell_assignment(line)).collect();
    assert_eq!(read[0], Some(("EQUINIX_API_TOKEN".to_owned(), outcome.access_token().to_owned())));
    assert_eq!(read[1], Some(("EQUINIX_API_TOKEN_EXPIRES_AT".to_owned(), expiry.to_owned())));
    assert_eq!(lines[2], format!("Remove-Item -Path Env:{SUBJECT_TOKEN} -ErrorAction SilentlyContinue;"));
    assert_eq!(lines.len(), 3);
    // The port knows what would break out.
    for hostile in ["$env:A = 'x'; y';", "$env:A = 'x\u{2019}; y';", "$env:A = \"x\";", "$env:A = 'x'"] {
        assert_eq!(powershell_assignment(hostile), None, "{hostile}");
    }
    assert_eq!(powershell_assignment("$env:A = 'x''y';").unwrap().1, "x'y");
}
