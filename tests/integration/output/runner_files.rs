//! The runner's files: what it reads from them after whatever was there before, after a write that was cut short at any
//! byte, and when several processes write at once.

#![cfg(unix)]

use crate::support;

use std::collections::BTreeMap;

use support::job::Job;
use support::leak::members;
use support::outcome::Outcome;
use support::runner;
use support::table::each;

/// What an earlier command of the step may have left, and whether the runner can read on after it.
const BEFORE: [(&str, &[u8], bool); 15] = [
    ("nothing", b"", true),
    ("a line", b"a=b\n", true),
    ("a line without its end", b"a=b", true),
    ("a line with CRLF", b"a=b\r\n", true),
    ("a line with CR only", b"a=b\r", true),
    ("blank lines", b"\n\n", true),
    ("a block", b"a<<E\nx\nE\n", true),
    ("a block without its end", b"a<<E\nx\nE", true),
    ("a byte-order mark", b"\xef\xbb\xbf", true),
    ("a byte-order mark and a line", b"\xef\xbb\xbfa=b", true),
    ("an open block", b"a<<E\nx\n", false),
    ("an open block without a line's end", b"a<<E\nx", false),
    ("a line that is none", b"junk", false),
    ("the mark of UTF-16", b"\xff\xfej\0u\0n\0k\0", false),
    ("the mark of UTF-16 the other way round", b"\xfe\xff\0j\0u\0n\0k", false),
];

/// A run that writes both files, after something else was written to them.
fn written(command: &str, before: &[u8]) -> Outcome {
    let job = Job::github().prefill_output(before).prefill_env(before).arg("--export-env");
    if command == "id-token" {
        return job.command(command).without_flag("--scope").without_flag("--sts-endpoint").run();
    }
    job.run()
}

/// The file's name, what it was given, and what should be read from it.
fn blocks(outcome: &Outcome, before: &[u8]) -> [(&'static str, Vec<u8>, BTreeMap<String, String>); 2] {
    let added = |file: &Option<Vec<u8>>| file.as_deref().unwrap().strip_prefix(before).unwrap().to_vec();
    [("GITHUB_OUTPUT", &outcome.output_file), ("GITHUB_ENV", &outcome.env_file)].map(|(name, file)| {
        let added = added(file);
        let expected = runner::parse(&added, false).unwrap().into_iter().collect();
        (name, added, expected)
    })
}

/// A command, what was there before, and whether the runner can read on after it.
type Case = (&'static str, &'static [u8], bool);

fn cases() -> Vec<(String, Case)> {
    let both = ["token", "id-token"].into_iter();
    both.flat_map(|command| {
        BEFORE.map(|(name, before, whole)| (format!("{command} after {name}"), (command, before, whole)))
    })
    .collect()
}

#[test]
fn are_read_whole_after_whatever_was_there() {
    each(&cases(), |(command, before, readable)| {
        let outcome = written(command, before);
        if !readable {
            // The runner would not read on, and shows the line where it stops: nothing is requested, and nothing written.
            outcome.fails(9, "out-open").sts_requests(0).id_token_requests(0);
            assert!(runner::parse(before, false).is_err());
            for file in [&outcome.output_file, &outcome.env_file] {
                assert_eq!(file.as_deref(), Some(*before));
            }
            return;
        }
        outcome.succeeds();
        for (file, added, expected) in blocks(&outcome, before) {
            assert!(expected.len() >= 2, "{file}: {expected:?}");
            let whole = [before, added.as_slice()].concat();
            let entries = runner::parse(&whole, false).unwrap();
            let ours = entries.into_iter().filter(|(name, _)| name != "a");
            assert_eq!(ours.collect::<BTreeMap<_, _>>(), expected, "{file}");
            // Only a line that was not ended is ended: act takes a blank line for an error.
            let blank = before.is_empty() || before.ends_with(b"\n");
            assert_eq!(added.starts_with(b"\n"), !blank, "{file}");
        }
    });
}

/// Of our names, what takes effect is exactly what was meant.
#[track_caller]
fn is_never_wrong(bytes: &[u8], expected: &BTreeMap<String, String>, swallowed: bool, what: &str) {
    let text = runner::decode(bytes);
    for windows in [false, true] {
        for (name, value) in runner::apply_text(&text, windows).0 {
            if let Some(meant) = expected.get(&name) {
                assert_eq!(&value, meant, "{what}: {name} has another value");
            }
            let token = expected.iter().find(|(name, _)| name.contains("token") || name.contains("TOKEN"));
            let (_, token) = token.unwrap();
            let piece = &token[..12];
            let known = expected.contains_key(&name);
            // A block that an earlier writer left open takes in whatever follows, until somebody ends it.
            assert!(known || swallowed || !value.contains(piece), "{what}: {name} has a piece of the token");
        }
    }
}

#[test]
fn give_no_wrong_token_wherever_a_write_was_cut() {
    // What somebody writes after it.
    let after: [&[u8]; 4] = [b"", b"b=c\n", b"\nb=c\n", b"\nb<<E\nc\nE\n"];
    let mut tried = 0;
    for command in ["token", "id-token"] {
        let outcome = written(command, b"");
        for (file, block, expected) in blocks(outcome.succeeds(), b"") {
            for (name, before, readable) in BEFORE {
                let separator: &[u8] = if before.is_empty() || before.ends_with(b"\n") { b"" } else { b"\n" };
                for length in 0..=block.len() {
                    for after in after {
                        let bytes = [before, separator, &block[..length], after].concat();
                        let what = format!("{file} after {name}, {length} bytes");
                        is_never_wrong(&bytes, &expected, !readable, &what);
                        tried += 1;
                    }
                }
            }
        }
    }
    assert!(tried > 100_000, "{tried}");
}

/// The stricter reader of act (<https://github.com/nektos/act>): a blank line outside of a block is an error, and only the
/// byte-order mark of UTF-8 is known.
fn act(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(bytes).unwrap();
    let mut lines = text.strip_prefix('\u{feff}').unwrap_or(text).lines();
    let mut entries = BTreeMap::new();
    while let Some(line) = lines.next() {
        let (equals, heredoc) = (line.find('='), line.find("<<"));
        match (equals, heredoc) {
            (Some(at), heredoc) if heredoc.is_none_or(|heredoc| at < heredoc) => {
                entries.insert(line[..at].to_owned(), line[at + 1..].to_owned());
            }
            (_, Some(at)) => {
                let mut value = Vec::new();
                loop {
                    match lines.next() {
                        Some(inner) if inner == &line[at + 2..] => break,
                        Some(inner) => value.push(inner),
                        None => return Err("invalid format delimiter not found".to_owned()),
                    }
                }
                entries.insert(line[..at].to_owned(), value.join("\n"));
            }
            _ => return Err(format!("invalid format '{line}', expected a line with '=' or '<<'")),
        }
    }
    Ok(entries)
}

#[test]
fn can_be_read_by_act_too() {
    for before in [&b""[..], b"a=b\n", b"a=b", b"a<<E\nx\nE\n", b"\xef\xbb\xbfa=b"] {
        let outcome = written("token", before);
        for (file, added, expected) in blocks(outcome.succeeds(), before) {
            let mut entries =
                act(&[before, added.as_slice()].concat()).unwrap_or_else(|e| panic!("{file}: {e}"));
            entries.remove("a");
            assert_eq!(entries, expected, "{file}");
        }
    }
    assert!(act(b"a=b\n\nc=d\n").is_err(), "the reader is as strict as it should be");
}

#[test]
fn hold_every_block_of_concurrent_writers_whole() {
    // 200 rounds of two to sixteen processes, with a foreign writer of lines among them.
    let rounds: Vec<(String, usize)> =
        (0..200).map(|round| (format!("round {round}"), 2 + round % 15)).collect();
    each(&rounds, |writers| {
        let script = format!(
            "i=0; while [ $i -lt {writers} ]; do equinix-wif \"$@\" & i=$((i+1)); done; \
             i=0; while [ $i -lt 20 ]; do echo \"line-$i=x\" >>\"$GITHUB_OUTPUT\"; i=$((i+1)); done; wait"
        );
        let job = Job::github().wrap_shell(["sh", "-c", &script]).without_report().prefill_output("a=b\n");
        let outcome = job.run();
        outcome.require(outcome.status == Some(0), "the script ends well");
        outcome.sts_requests(*writers);
        let entries = runner::parse(outcome.output_file.as_deref().unwrap(), false).unwrap();
        let mut found: Vec<&str> = entries
            .iter()
            .filter(|(name, _)| name == "access-token")
            .map(|(_, value)| value.as_str())
            .collect();
        let mut issued: Vec<String> = outcome
            .sts
            .replies
            .iter()
            .flat_map(|reply| members(&String::from_utf8_lossy(reply.payload()), "access_token"))
            .collect();
        found.sort_unstable();
        issued.sort_unstable();
        assert_eq!(found, issued, "every token is there, once and whole");
        // Eight outputs of each, the lines of the other writer, and what was there before.
        assert_eq!(entries.len(), 8 * writers + 20 + 1);
        assert_eq!(entries[0], ("a".to_owned(), "b".to_owned()));
    });
}
