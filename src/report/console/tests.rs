//! Tests of what reaches standard error, and what never does.

use super::*;
use crate::error::Code;

fn written(verbosity: Verbosity, color: bool, act: impl FnOnce(&Console)) -> String {
    let (console, lines) = captured::console(verbosity, color);
    act(&console);
    lines.text()
}

#[test]
fn each_verbosity_says_what_it_should() {
    let all = |console: &Console| {
        console.detail("d");
        console.note("n");
        console.warn("w");
        console.error(
            &Error::new(Code::ClaimAud, "e")
                .with_detail("found", "f")
                .with_detail("expected", "x")
                .with_cure("h"),
        );
    };
    let error = "error[claim-aud]: e\n  found:    f\n  expected: x\nhint: h\n";
    assert_eq!(written(Verbosity::Quiet, false, all), error);
    assert_eq!(written(Verbosity::Normal, false, all), format!("equinix-wif: n\nwarning: w\n{error}"));
    assert_eq!(
        written(Verbosity::Verbose, false, all),
        format!("equinix-wif: d\nequinix-wif: n\nwarning: w\n{error}")
    );
    assert!(written(Verbosity::Quiet, true, all).starts_with("\u{1b}[1;31merror[claim-aud]: \u{1b}[0me\n"));
}

#[test]
fn secrets_and_commands_never_reach_a_line() {
    let out = written(Verbosity::Normal, false, |console| {
        console.guard(&Secret::new("the-bearer-of-this-run"));
        console.warn("server said ::set-env::the-bearer-of-this-run");
        assert!(console.holds_secret("the-bearer-of-th") && !console.holds_secret("the-bearer"));
    });
    assert_eq!(out, "warning: server said : :set-env: :***\n");
}

#[test]
fn a_line_that_passes_is_taken_back_by_whatever_comes_next() {
    let (console, lines) = captured::console(Verbosity::Normal, false);
    let console = console.with_countdown(true);
    console.guard(&Secret::new("the-bearer-of-this-run"));
    assert!(console.passing("2 s the-bearer-of-this-run"));
    assert!(console.passing("1 s\n::add-mask::x"));
    console.mask(&Secret::new("hush"), |value| format!("hide {value}")).unwrap();
    console.warn("w");
    let shown = |line: &str| format!("{TAKE_BACK}\u{1b}[?7lequinix-wif: {line}\u{1b}[?7h");
    let [first, second] = [shown("2 s ***"), shown("1 s : :add-mask: :x")];
    assert_eq!(lines.text(), format!("{first}{second}{TAKE_BACK}\nhide hush\nwarning: w\n"));
}

#[test]
fn a_disguise_costs_its_own_line_and_no_other() {
    let secret = "the-Bearer-of-this-run-0123456789";
    let spaced: String = secret.chars().flat_map(|c| [c, ' ']).collect();
    let broken = secret.replace('-', "\n");
    let error = Error::new(Code::StsDenied, "e")
        .with_detail("STS says", spaced)
        .with_detail("and", broken)
        .with_detail("x", "y")
        .with_cure("h");
    let out = written(Verbosity::Quiet, false, |console| {
        console.guard(&Secret::new(secret));
        console.error(&error);
        console.annotate(&error, |title, text| format!("{title}|{}", text.replace('\n', "|")));
    });
    let withheld = WITHHELD;
    assert_eq!(
        out,
        format!(
            "error[sts-denied]: e\n  STS says: {withheld}\n  and:      {withheld}\n  x:        y\nhint: h\n\
             equinix-wif sts-denied|e|STS says: {withheld}|and: {withheld}|x: y|hint: h\n"
        )
    );
}

#[test]
fn a_runner_s_command_is_one_line_at_column_zero() {
    let out = written(Verbosity::Quiet, false, |console| {
        console.mask(&Secret::new("hush"), |value| format!("hide {value}")).unwrap();
        let error = Error::new(Code::StsDenied, "::add-mask::x\n::debug::y").with_cure("h");
        console.annotate(&error, |title, text| format!("{title}|{}", text.replace('\n', "|")));
    });
    assert_eq!(out, "\nhide hush\nequinix-wif sts-denied|: :add-mask: :x|: :debug: :y|hint: h\n");
}
