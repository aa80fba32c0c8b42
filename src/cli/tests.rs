//! The tables of settings and commands against each other, and against clap.

use std::ffi::OsString;

use super::commands::Command;
use super::definition::{Purpose, definition, definition_for, typed};
use super::resolve::Resolver;
use super::row::{Arity, Expose};
use super::settings::{OnUnavailable, SummaryWhen};
use super::speech::Color;
use super::table::{self, ROWS};
use super::typed::Typed;
use super::{Action, members, parse};
use crate::env::{Env, names};
use crate::grant::sts::Api;
use crate::identity::claims::Validation;

#[test]
fn the_definition_is_consistent() {
    for purpose in [Purpose::Parse, Purpose::Complete, Purpose::Salvage] {
        definition(purpose).debug_assert();
    }
}

#[test]
fn a_flag_means_one_thing_for_a_command() {
    for command in Command::ALL {
        let mut flags: Vec<_> = command.rows().map(|row| row.flag).collect();
        let all = flags.len();
        flags.sort_unstable();
        flags.dedup();
        assert_eq!(flags.len(), all, "{command:?}");
        assert_eq!(Command::by_name(command.name()), Some(*command));
    }
    for row in ROWS {
        assert!(row.flag.starts_with("--") && !row.help.is_empty() && !row.on.is_empty(), "{}", row.flag);
        assert!(!row.help.ends_with('.'), "{}: the others have no full stop", row.flag);
        let words = (row.words)();
        let is_known = row.default.is_none_or(|default| words.is_empty() || words.contains(&default));
        assert!(is_known, "{} has a default that it does not know", row.flag);
        for variable in [row.var, row.or_var].into_iter().flatten() {
            let is_described = names::ALL.iter().any(|(name, _)| *name == variable);
            assert!(is_described, "{variable} is not among the variables of the manual");
        }
        assert!(row.arity != Arity::Switch || row.default.is_none(), "{} is off by default", row.flag);
    }
}

/// A default is read like what is typed.
#[test]
fn defaults_can_be_read() {
    let (typed, env) = (Typed::default(), Env::fixed::<&str, &str>([]));
    let mut resolver = Resolver::new(&typed, &env);
    assert_eq!(resolver.get(&table::TIMEOUT).unwrap().value, 60);
    assert_eq!(resolver.get(&table::MIN_TTL).unwrap().value, 60);
    assert_eq!(resolver.get(&table::VALIDATION).unwrap().value, Validation::default());
    assert_eq!(resolver.get(&table::STS_API).unwrap().value, Api::default());
    assert_eq!(resolver.get(&table::ON_UNAVAILABLE).unwrap().value, OnUnavailable::default());
    assert_eq!(resolver.get(&table::SUMMARY).unwrap().value, SummaryWhen::default());
    assert_eq!(resolver.get(&table::COLOR).unwrap().value, Color::default());
}

/// Checks that nothing which could send a token elsewhere, write it to a file or show it is a member of a query.
#[test]
fn a_query_has_few_members() {
    let mut names: Vec<_> = members(Expose::Query).into_iter().map(|member| member.name).collect();
    names.sort_unstable();
    let expected = [
        "audience",
        "expect",
        "min_ttl",
        "provider",
        "scope",
        "sts_api",
        "sts_endpoint",
        "subject_token_env",
        "timeout",
        "validation",
    ];
    assert_eq!(names, expected);
    let cluster: Vec<_> = members(Expose::Cluster).into_iter().map(|member| member.name).collect();
    assert_eq!(cluster, ["audience", "scope"]);
}

/// Checks that the help's examples can be typed.
#[test]
fn examples_are_command_lines() {
    for command in Command::ALL {
        for (line, about) in command.facts().examples {
            assert!(!about.is_empty());
            let start = line.find("equinix-wif ").unwrap();
            let end = [")\"", ") ", " |", " >"].iter().filter_map(|end| line[start..].find(end)).min();
            let end = end.map_or(line.len(), |end| start + end).min(line.trim_end_matches(')').len());
            // Placeholders are words like others.
            let words = line[start..end].replace(['<', '>'], "");
            let words = words.split_whitespace().map(Into::into).collect::<Vec<_>>();
            match parse(&words, || unreachable!()) {
                (typed, Ok(Action::Run(run))) => assert_eq!((run, typed.command), (*command, Some(*command))),
                (_, Ok(Action::Print(_))) => panic!("{line}: prints"),
                (_, Err(error)) => panic!("{line}: {error}"),
            }
        }
    }
}

#[test]
fn what_is_typed_is_found() {
    let line =
        ["equinix-wif", "-q", "exec", "--expect", "a=b", "--expect=c=d", "--scope", "", "--", "ls", "-l"];
    let matches = definition(Purpose::Parse).try_get_matches_from(line).unwrap();
    let typed = typed(&matches);
    assert_eq!(typed.command, Some(Command::Exec));
    assert_eq!(typed.texts(&table::EXPECT.row), ["a=b", "c=d"]);
    assert_eq!(typed.text(&table::SCOPE.row), None, "an empty text counts as none");
    assert!(typed.has(&table::QUIET.row) && !typed.has(&table::VERBOSE.row));
    assert_eq!(typed.operands, ["ls", "-l"]);
}

/// Checks that the definition for a line says of it what the whole one says: the same values, or the same words.
#[test]
fn a_line_is_read_by_its_own_command_as_by_all_of_them() {
    let mut lines: Vec<Vec<String>> = [
        "",
        "-h",
        "--help",
        "-V",
        "--version",
        "-q",
        "--bogus",
        "--scope x",
        "--scop x",
        "tokn",
        "tokn --scope x",
        "-qh token",
        "token -vh",
        "token exec --scope x",
        "exec -- token --scope x",
        "exec token",
        "explain token",
        "help token",
        "--color never token --scope x --scope y",
        "token --scope",
        "token --scpe x",
        "token --scope=x --min-ttl -1 extra",
    ]
    .iter()
    .map(|line| line.split_whitespace().map(ToOwned::to_owned).collect())
    .collect();
    for command in Command::ALL {
        for row in ROWS {
            lines.push(vec![command.name().to_owned(), row.flag.to_owned(), "x".to_owned()]);
        }
        lines.push(vec![command.name().to_owned(), "--help".to_owned()]);
    }
    for line in lines {
        let args: Vec<OsString> =
            ["equinix-wif".to_owned()].iter().chain(&line).map(OsString::from).collect();
        let read = |cli: clap::Command| match cli.try_get_matches_from(&args) {
            Ok(matches) => format!("{:?}", typed(&matches)),
            Err(error) => error.render().to_string(),
        };
        assert_eq!(read(definition_for(&args)), read(definition(Purpose::Parse)), "{line:?}");
    }
}
