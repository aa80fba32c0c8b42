//! M12: texts of a server that mean something to a runner, a terminal, a shell or a page. `tests/integration/output/hostile_values.rs` leads
//! more of them through every place and sink.

use super::support::job::sts_error;
use super::support::outcome::Outcome;
use super::support::runner;
use super::{Ends, Row, Rows, github};

const TEXTS: [(&str, &str); 30] = [
    ("a mask", "::add-mask::e"),
    ("a mask after white space", "  ::add-mask::e"),
    ("a mask on a new line", "x\n::add-mask::e"),
    ("a mask after a carriage return", "x\r::add-mask::e"),
    ("the first form", "##[add-mask]e"),
    ("the first form within", "see ##[error]forged"),
    ("the first form, split", "#\u{200b}#[error]forged"),
    ("an error", "::error title=x::forged"),
    ("an output", "::set-output name=access-token::forged"),
    ("a variable", "::set-env name=PATH::/tmp"),
    ("stopped commands", "::stop-commands::x"),
    ("a group", "::group::x"),
    ("a command of Azure's", "##vso[task.setvariable variable=PATH]/tmp"),
    ("an encoded line feed", "%0A::error::forged"),
    ("a line feed encoded twice", "%250A::error::forged"),
    ("a heredoc", "\naccess-token<<E\nforged\nE\n"),
    ("an assignment", "\nEQUINIX_API_TOKEN=forged\n"),
    ("a colour", "\u{1b}[31mred"),
    ("a title", "\u{1b}]0;x\u{7}"),
    ("a hyperlink", "\u{1b}]8;;https://evil.example\u{1b}\\x"),
    ("a C1 control", "\u{9b}31mx"),
    ("NUL", "a\u{0}b"),
    ("bidi", "\u{202e}x\u{2066}"),
    ("separators of lines", "a\u{2028}b"),
    ("a substitution", "$(touch pwned)"),
    ("backticks", "`touch pwned`"),
    ("a quote", "'; touch pwned; '"),
    ("a script", "<script>alert(1)</script>"),
    ("a link", "[x](https://evil.example)"),
    ("a token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl"),
];

fn is_harmless(outcome: &Outcome) {
    let commands = runner::commands(&outcome.stderr);
    let ours = |command: &runner::Command| {
        command.name == "add-mask" && command.data == outcome.id_token()
            || command.name == "error"
                && command.properties.get("title").is_some_and(|title| title == "equinix-wif sts-denied")
    };
    outcome.require(
        commands.iter().all(ours) && commands.len() == 2,
        &format!("the commands are ours: {commands:?}"),
    );
    let odd = |c: char| c.is_control() && c != '\n' || ('\u{2028}'..='\u{202e}').contains(&c);
    outcome.require(!outcome.stderr.contains(odd), "stderr has no control characters");
    let shown = outcome.stderr.replace(&outcome.id_token(), "");
    outcome.require(!shown.contains("eyJ"), "no token is shown");
    outcome.require(!outcome.files.keys().any(|path| path.ends_with("pwned")), "nothing was executed");
}

pub(super) fn rows() -> Rows {
    TEXTS
        .map(|(name, text)| {
            let make = move || github().sts_always(sts_error("invalid_request", text));
            (name.to_owned(), Row::new(Ends::Badly(6, "sts-denied"), (1, 1), make).and(is_harmless))
        })
        .into()
}
