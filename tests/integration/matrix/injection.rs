//! M12: texts of a server that mean something to a runner, a terminal, a shell or a page. `tests/integration/output/hostile_values.rs` leads
//! more of them through every place and sink.

use super::support::job::sts_error;
use super::support::outcome::Outcome;
use super::support::runner;
use super::{Ends, Row, github};

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

/// An STS that refuses with this text.
fn text(text: &'static str) -> Row {
    let job = github().sts_always(sts_error("invalid_request", text));
    Row::new(Ends::Badly(6, "sts-denied"), (1, 1), job).and(is_harmless)
}

faults! {
    m12 {
        a_mask: text("::add-mask::e");
        a_mask_after_white_space: text("  ::add-mask::e");
        a_mask_on_a_new_line: text("x\n::add-mask::e");
        a_mask_after_a_carriage_return: text("x\r::add-mask::e");
        the_first_form: text("##[add-mask]e");
        the_first_form_within: text("see ##[error]forged");
        the_first_form_split: text("#\u{200b}#[error]forged");
        an_error: text("::error title=x::forged");
        an_output: text("::set-output name=access-token::forged");
        a_variable: text("::set-env name=PATH::/tmp");
        stopped_commands: text("::stop-commands::x");
        a_group: text("::group::x");
        a_command_of_azures: text("##vso[task.setvariable variable=PATH]/tmp");
        an_encoded_line_feed: text("%0A::error::forged");
        a_line_feed_encoded_twice: text("%250A::error::forged");
        a_heredoc: text("\naccess-token<<E\nforged\nE\n");
        an_assignment: text("\nEQUINIX_API_TOKEN=forged\n");
        a_colour: text("\u{1b}[31mred");
        a_title: text("\u{1b}]0;x\u{7}");
        a_hyperlink: text("\u{1b}]8;;https://evil.example\u{1b}\\x");
        a_c1_control: text("\u{9b}31mx");
        nul: text("a\u{0}b");
        bidi: text("\u{202e}x\u{2066}");
        separators_of_lines: text("a\u{2028}b");
        a_substitution: text("$(touch pwned)");
        backticks: text("`touch pwned`");
        a_quote: text("'; touch pwned; '");
        a_script: text("<script>alert(1)</script>");
        a_link: text("[x](https://evil.example)");
        a_token: text("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl");
    }
}
