//! Holds the documentation against the program: commands and recipes are run, links are followed. `src/docs_tests.rs`
//! compares it with the tables in the code.
//!
//! `UPDATE_DOCS=1 cargo test docs` writes the parts that the program makes. The pages describe
//! the program with all its features, so these tests need them too.

#![cfg(feature = "sandbox")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::pages::{PAGES, blocks, code, faults, markdown, page, prose, root, rows};
#[cfg(unix)]
use crate::support::pages::{agrees, with_part};
#[cfg(unix)]
use crate::support::program::{feed, in_sandbox};
use crate::support::program::{program, told};

const SCOPE: &str = "EQUINIX_TOKEN_EXCHANGE_SCOPE";
const ASSURANCE: &str = "docs/reference/assurance.md";

mod generated {
    use super::*;

    /// Returns what a command prints in a job of the sandbox, with a public issuer and STS and a fixed time in place of the
    /// sandbox's, and its exit status.
    #[cfg(unix)]
    fn shown(platform: &str, line: &str) -> (String, i32) {
        let line = format!(
            "echo ${{CI_SERVER_URL:-$GITHUB_SERVER_URL}} $EQUINIX_STS_ENDPOINT $EQUINIX_TOKEN_EXCHANGE_SCOPE; {line}"
        );
        let output = in_sandbox(&["--platform", platform], &["sh", "-c"], &line);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        let (told_by_job, text) = text.split_once('\n').unwrap_or_else(|| panic!("{}", told(&output)));
        let [server, sts, scope] = told_by_job.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let host = server.strip_prefix("http://").unwrap();
        let text = text
            .replace(sts, "https://sts.eqix.equinix.com")
            .replace("without TLS", "TLS 1.3, certificate trusted")
            .replace(&format!("{server}/_services/token"), "https://token.actions.githubusercontent.com")
            .replace(
                &format!("asking for the ID token on this machine: {server}"),
                "https://pipelines.actions.githubusercontent.com",
            )
            .replace(server, "https://gitlab.com")
            .replace(host, "gitlab.com")
            .replace("equinix-sandbox", "my-equinix-audience")
            .replace(scope, "roleassignments:<org-id>");
        // `2026-11-22T04:05:00Z`, and the seconds until then, which go by while the program runs.
        let fixed = |word: &str| match word.parse::<u32>() {
            Ok(seconds) if seconds > 200 && seconds < 3601 => {
                seconds.div_ceil(100).saturating_mul(100).to_string()
            }
            _ if word.len() >= 20 && word.get(10..11) == Some("T") && word.ends_with(['Z', ',']) => {
                format!("2026-11-22T04:05:00{}", &word[19..])
            }
            _ => word.to_owned(),
        };
        let expires = |line: &str| {
            let is_about_it = line.contains("expires");
            let words = line.split(' ').map(|word| if is_about_it { fixed(word) } else { word.to_owned() });
            words.collect::<Vec<_>>().join(" ")
        };
        (text.lines().map(|line| expires(line) + "\n").collect(), output.status.code().unwrap())
    }

    #[cfg(unix)]
    fn block(text: &str) -> String {
        format!("```text\n{text}```\n")
    }

    #[test]
    #[cfg(unix)]
    fn the_reference_has_what_the_commands_print() {
        let mut text = page("docs/reference/commands.md");
        let (doctor, exit) = shown("github", "equinix-wif doctor --expect ref=main");
        assert_eq!(exit, 5, "{doctor}");
        text = with_part(&text, "doctor", &block(&doctor));
        for platform in ["github", "gitlab"] {
            // The page has a placeholder where the sandbox has a project.
            let (inspect, exit) = shown(platform, "EQUINIX_WIF_PROJECT_ID= equinix-wif inspect");
            assert_eq!(exit, 0, "{inspect}");
            assert!(!inspect.contains("127.0.0.1"), "{inspect}");
            text = with_part(&text, &format!("inspect {platform}"), &block(&inspect));
        }
        agrees("docs/reference/commands.md", &text);
    }

    /// Holds what has to be entered, which is a part of the output.
    #[test]
    #[cfg(unix)]
    fn the_page_on_trust_has_what_inspect_prints() {
        let (inspect, _) = shown("github", "EQUINIX_WIF_PROJECT_ID= equinix-wif inspect");
        let (_, setup) = inspect.split_once("\nWhat to enter at Equinix\n").expect("that part");
        let (setup, _) = setup.split_once("\nThe same by API").expect("the next part");
        let part = block(&format!("What to enter at Equinix\n{setup}"));
        agrees("docs/trust.md", &with_part(&page("docs/trust.md"), "inspect setup", &part));
    }

    /// Tables and picture of the comparison have what `benches/network.py --record` measured.
    #[test]
    #[cfg(unix)]
    fn the_page_on_performance_has_what_was_recorded() {
        let recorded: Value = serde_json::from_str(&page("benches/network.json")).unwrap();
        let shown = |name: &str, value: &Value| match name {
            "name" | "connections" => value.to_string().replace('"', ""),
            "times_the_floor" => format!("{:.2}", value.as_f64().unwrap()),
            _ => format!("{:.1}", value.as_f64().unwrap()),
        };
        let table = |measured: &Value, columns: &[(&str, &str)]| {
            let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
            let mut text = line(columns.iter().map(|(_, head)| (*head).to_owned()).collect());
            text = text.replacen("|  |", "| |", 1) + "|" + &"---|".repeat(columns.len()) + "\n";
            for row in measured["programs"].as_array().unwrap() {
                assert_eq!(row.as_object().unwrap().len(), columns.len(), "{row}");
                text += &line(columns.iter().map(|(name, _)| shown(name, &row[name])).collect());
            }
            text
        };
        let wall = [("name", ""), ("ms", "ms (median)"), ("times_the_floor", "times the floor")];
        let counted = [("round_trips", "round trips"), ("connections", "connections")];
        let costs = [("processor_ms", "processor ms"), ("memory_mb", "MB")];
        let (delayed, loopback) = (&recorded["delayed"], &recorded["loopback"]);
        let (delay, trip) = (&recorded["delay_ms"], shown("ms", &delayed["round_trip_ms"]));
        let lowest = |measured: &Value| shown("ms", &measured["floor_ms"]);
        let told = format!(
            "With {delay} ms there and back on every packet, of which a bare round trip took {trip} ms and the floor {} ms:\n\n{}",
            lowest(delayed),
            table(delayed, &[&wall[..], &counted, &costs].concat()),
        );
        let mut text = with_part(&page("docs/performance.md"), "delayed", &told);
        let told = format!(
            "On loopback, where only the processor counts; the floor took {} ms, most of it cryptography:\n\n{}",
            lowest(loopback),
            table(loopback, &[&wall[..], &costs].concat()),
        );
        text = with_part(&text, "loopback", &told);
        agrees("docs/performance.md", &text);
        let ours = &delayed["programs"][0];
        for (budget, measured) in [
            (
                "time with 40 ms of delay",
                format!("{} times the floor", shown("times_the_floor", &ours["times_the_floor"])),
            ),
            ("processor time", format!("{} ms", shown("ms", &ours["processor_ms"]))),
            ("memory", format!("{} MB", shown("ms", &ours["memory_mb"]))),
        ] {
            let table = rows("docs/performance.md", "## Budgets");
            assert_eq!(table.iter().find(|row| row[0] == budget).unwrap()[1], measured, "{budget}");
        }
        // The picture has the same, in both schemes of colours, and leads nowhere.
        let picture = page("docs/images/network.svg");
        let mut figures =
            vec![lowest(delayed), shown("name", &recorded["machine"]), shown("name", &recorded["date"])];
        for row in delayed["programs"].as_array().unwrap() {
            let trips = shown("round_trips", &row["round_trips"]);
            figures.push(format!(">{}<", shown("name", &row["name"])));
            figures.push(format!(">{} ms, {trips} round trips<", shown("ms", &row["ms"])));
        }
        for row in loopback["programs"].as_array().unwrap() {
            figures.push(format!(">{} ms<", shown("processor_ms", &row["processor_ms"])));
        }
        for figure in figures {
            assert!(picture.contains(&figure), "the picture lacks {figure}");
        }
        assert!(picture.contains("@media (prefers-color-scheme: dark)"));
        let outside = picture.replacen("xmlns=\"http://www.w3.org/2000/svg\"", "", 1).to_lowercase();
        for word in ["<script", "<foreignobject", "href", "url(", "@import", "http:", "https:"] {
            assert!(!outside.contains(word), "{word}");
        }
        assert!(!outside.split_whitespace().any(|word| word.starts_with("on") && word.contains('=')));
    }

    /// The sections follow the rows that they explain.
    #[test]
    #[cfg(unix)]
    fn the_page_on_trust_goes_in_the_order_of_inspect() {
        let text = page("docs/trust.md");
        let (inspect, _) = shown("github", "equinix-wif inspect --project-id p --idp-id idp:i");
        assert!(inspect.contains("principal:p:i:repo:octo-org@1234/octo-repo@5678:ref:refs/heads/main"));
        let (_, setup) =
            inspect.split_once("What to enter at Equinix\n").expect("the part for the administrator");
        let (mut last_row, mut last_section) = (0, 0);
        for (row, section) in [
            ("issuerLocation", "Issuer"),
            ("trustedClientIds", "Audience"),
            ("principal", "Principal"),
            ("scope", "Scope"),
        ] {
            let at = setup.find(row).unwrap_or_else(|| panic!("inspect has no row {row}"));
            assert!(at > last_row, "inspect shows {row} earlier");
            let section = text.find(&format!("\n## {section}\n\n**Row `{row}`.**"));
            let section = section.unwrap_or_else(|| panic!("no section explains the row {row}"));
            assert!(section > last_section, "the section on {row} comes earlier");
            (last_row, last_section) = (at, section);
        }
        for request in setup.lines().filter_map(|line| line.trim().strip_prefix("'https://access.eqix")) {
            let url = request.trim_end_matches("' \\").replace("projects/p/", "projects/<project-id>/");
            assert!(text.contains(&format!("`POST https://access.eqix{url}`")), "docs/trust.md lacks {url}");
        }
        assert_eq!(setup.matches("'https://access.eqix").count(), 2);
    }
}

mod settings {
    use super::*;

    #[test]
    fn defaults_are_those_of_the_program() {
        let default = |flag: &str| {
            let table = rows("docs/reference/settings.md", "# Settings");
            let row = table.into_iter().find(|row| row[0].starts_with(&format!("`--{flag}")));
            row.unwrap_or_else(|| panic!("--{flag}"))[2].clone()
        };
        let report = report(&["token", "--report", "-"], &[(SCOPE, "roleassignments:o")]);
        for (flag, value) in report["settings"].as_object().unwrap() {
            if value["source"] == "default" {
                let shown = match &value["value"] {
                    Value::Bool(false) => "off".to_owned(),
                    Value::String(text) => code(text),
                    other => code(&other.to_string()),
                };
                assert_eq!(default(flag), shown, "--{flag}");
            }
        }
        let members = rows("docs/reference/report.md", "# Report");
        let listed = members.iter().find(|row| row[0] == "`settings`").unwrap();
        for (flag, _) in
            report["settings"].as_object().unwrap().iter().filter(|(_, v)| v["source"] == "default")
        {
            assert!(listed[1].contains(&code(flag)), "the report has the default of {flag}");
        }
    }

    /// The report of a run of the binary, which is on standard error.
    pub(super) fn report(arguments: &[&str], variables: &[(&str, &str)]) -> Value {
        let output = program().args(arguments).envs(variables.iter().copied()).output().unwrap();
        let stderr = String::from_utf8(output.stderr.clone()).unwrap();
        let line = stderr.lines().find(|line| line.starts_with('{'));
        serde_json::from_str(line.unwrap_or_else(|| panic!("{}", told(&output)))).unwrap()
    }
}

mod tables {
    use super::*;

    #[test]
    fn faults_of_the_sandbox_end_as_told() {
        let faults = faults();
        assert!(faults.len() > 4);
        for row in faults {
            let fault = row[0].trim_matches('`');
            let platform = if ["wrong-login", "locked-account"].contains(&fault) { "none" } else { "github" };
            let args = ["sandbox", "--platform", platform, "--fault", fault];
            let output = program().args(args).output().unwrap();
            assert_eq!(output.status.code().unwrap().to_string(), row[2], "{}", told(&output));
        }
    }

    #[test]
    fn report_members_are_those_of_a_report() {
        let report = settings::report(&["token", "--report", "-"], &[]);
        let members: BTreeSet<String> = report.as_object().unwrap().keys().map(|name| code(name)).collect();
        let listed = rows("docs/reference/report.md", "# Report");
        assert_eq!(listed.iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>(), members);
        let (at, example) =
            blocks("json").into_iter().find(|(_, text)| text.contains("\"elapsed_ms\"")).unwrap();
        let example: Value = serde_json::from_str(&example).unwrap();
        let shown: BTreeSet<String> = example.as_object().unwrap().keys().map(|name| code(name)).collect();
        assert_eq!(shown, members, "{at}");
    }

    #[cfg(unix)]
    #[test]
    fn checks_are_those_of_the_doctor() {
        let line = "equinix-wif doctor --expect ref_type=branch --exchange --format json";
        for platform in ["github", "gitlab"] {
            let output = in_sandbox(&["--platform", platform], &["sh", "-c"], line);
            assert_eq!(output.status.code(), Some(0), "{}", told(&output));
            let found: Value = serde_json::from_slice(&output.stdout).unwrap();
            let checks = found["checks"].as_array().unwrap();
            let names: Vec<_> = checks.iter().map(|check| code(check["name"].as_str().unwrap())).collect();
            let listed: Vec<_> = rows("docs/reference/commands.md", "## Doctor")
                .into_iter()
                .map(|row| row[0].clone())
                .collect();
            assert_eq!(listed, names, "{platform}");
            let text = prose("docs/reference/commands.md");
            let (_, section) = text.split_once("\n## Doctor\n").unwrap();
            let (section, _) = section.split_once("\n## ").unwrap();
            for check in checks {
                let status = code(check["status"].as_str().unwrap());
                assert!(section.contains(&status), "{status}");
                for member in check.as_object().unwrap().keys() {
                    assert!(
                        section.contains(&code(member)),
                        "docs/reference/commands.md does not tell the member {member}"
                    );
                }
            }
            for member in found.as_object().unwrap().keys() {
                assert!(
                    section.contains(&code(member)),
                    "docs/reference/commands.md does not tell the member {member}"
                );
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn members_are_those_of_inspect() {
        let output = in_sandbox(&[], &["sh", "-c"], "equinix-wif inspect --format json");
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let members: BTreeSet<String> = found.as_object().unwrap().keys().map(|name| code(name)).collect();
        let listed = rows("docs/reference/commands.md", "## Inspect");
        assert_eq!(listed.iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>(), members);
    }

    /// Holds what a renewing run adds to the environment against the page.
    #[cfg(unix)]
    #[test]
    fn variables_of_a_renewing_run_are_as_told() {
        let line = "env | sort >\"$TMPDIR/before\"; equinix-wif exec --renew -- env | sort | comm -13 \"$TMPDIR/before\" -";
        let folder = tempfile::tempdir().unwrap();
        let line = format!("export TMPDIR={}; unset EQUINIX_API_TOKEN; {line}", folder.path().display());
        let output = in_sandbox(&["--platform", "gitlab"], &["sh", "-c"], &line);
        assert_eq!(output.status.code(), Some(0), "{}", told(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        let found: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        let listed = rows("docs/reference/commands.md", "### What the command has");
        let mut listed: BTreeSet<&str> = listed.iter().map(|row| row[0].trim_matches('`')).collect();
        // The sandbox's job has the same scope in it.
        assert!(listed.remove("EQUINIX_TOKEN_EXCHANGE_SCOPE"));
        assert_eq!(found.into_iter().filter(|name| *name != "_").collect::<BTreeSet<_>>(), listed);
    }

    /// A code, and the arguments and variables that bring it about.
    type Run<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

    /// The texts of `explain` are those of real failures.
    #[test]
    fn examples_of_codes_are_what_the_program_says() {
        let scope = (SCOPE, "roleassignments:o");
        let github = ("GITHUB_ACTIONS", "true");
        let gitlab = ("GITLAB_CI", "true");
        let mine = ["--subject-token-env", "MY_ID_TOKEN"];
        let runs: [Run<'_>; 18] = [
            ("cfg-usage", &["--scpe", "x"], &[]),
            ("cfg-value-invalid", &["--sts-api", "v2"], &[scope]),
            ("cfg-secret-in-argv", &["eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2ln"], &[]),
            ("cfg-scope-missing", &[], &[]),
            ("cfg-scope-invalid", &["--scope", "accesspolicy:web"], &[]),
            ("cfg-audience-missing", &[], &[scope, github]),
            ("cfg-endpoint-invalid", &["--sts-endpoint", "https://sts.eqix.equinix.com/use/token"], &[scope]),
            ("cfg-env-name-invalid", &["--env-name", "PATH"], &[scope]),
            ("cfg-provider-ambiguous", &[], &[scope, github, gitlab]),
            ("cfg-ca-file", &["--ca-file", "/etc/ssl/internal.pem"], &[scope]),
            ("cfg-proxy-invalid", &[], &[scope, ("HTTPS_PROXY", "socks5://proxy.example")]),
            ("ambient-not-ci", &[], &[scope]),
            ("token-env-empty", &mine, &[scope]),
            ("token-env-unexpanded", &mine, &[scope, ("MY_ID_TOKEN", "$OTHER_TOKEN")]),
            ("token-env-padded", &mine, &[scope, ("MY_ID_TOKEN", "a ")]),
            ("token-file-unreadable", &["--subject-token-file", "/run/id-token"], &[scope]),
            ("endpoint-untrusted", &[], &[scope, ("EQUINIX_STS_ENDPOINT", "https://sts.example")]),
            ("insecure-url", &["--sts-endpoint", "http://sts.eqix.equinix.com"], &[scope]),
        ];
        for (name, arguments, variables) in runs {
            let output =
                program().arg("token").args(arguments).envs(variables.iter().copied()).output().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            let explained = program().args(["explain", name]).output().unwrap();
            let explained = String::from_utf8(explained.stdout).unwrap();
            let (_, example) = explained.split_once("\nExample\n").unwrap();
            for line in example.lines().map(|line| line.strip_prefix("  ").unwrap()) {
                assert!(stderr.lines().any(|said| said == line), "{name}: {line}: {}", told(&output));
            }
        }
    }

    /// The names of all step outputs.
    pub(super) fn outputs() -> BTreeSet<String> {
        let shown =
            blocks("text").into_iter().map(|(_, text)| text).find(|text| text.starts_with("access-token<<"));
        let shown = shown.unwrap();
        let names = shown.lines().filter_map(|line| line.split_once("<<")).map(|(name, _)| name.to_owned());
        names.chain(["error-code", "id-token", "reason", "binary-path"].map(ToOwned::to_owned)).collect()
    }
}

mod links {
    use super::*;

    #[test]
    fn every_link_leads_somewhere() {
        // The anchors of each file, which many links ask for.
        let mut known: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
        for path in PAGES.iter().copied() {
            for link in markdown::links(&prose(path)) {
                if link.starts_with("https://") {
                    continue;
                }
                assert!(!link.contains(':'), "{path}: {link} is neither https nor a file");
                let (file, anchor) = link.split_once('#').unwrap_or((&link, ""));
                let folder = Path::new(path).parent().unwrap();
                let target = if file.is_empty() { PathBuf::from(path) } else { folder.join(file) };
                let anchors = known.entry(root().join(&target)).or_insert_with_key(|target| {
                    let text = fs::read_to_string(target);
                    let text = text.unwrap_or_else(|error| panic!("{path}: {link}: {error}"));
                    markdown::anchors(&markdown::split(&text).1)
                });
                assert!(
                    anchor.is_empty() || anchors.iter().any(|a| a == anchor),
                    "{path}: {link}: no such heading"
                );
            }
        }
    }

    /// A page that the index does not have is found by nobody, and an index that has to be scrolled is read by nobody.
    #[test]
    fn the_index_has_every_page_once() {
        const INDEX: &str = "docs/README.md";
        let text = page(INDEX);
        assert!(text.lines().count() <= 25, "{INDEX} does not fit on a screen");
        let (_, kinds) = text.split_once("\n## ").expect("four kinds");
        let kinds: Vec<&str> = kinds.split("\n## ").collect();
        let names: Vec<&str> = kinds.iter().filter_map(|kind| kind.lines().next()).collect();
        assert_eq!(names, ["Start", "Recipes", "Reference", "Background"]);
        let mut listed: Vec<String> = kinds.iter().flat_map(|kind| markdown::links(kind)).collect();
        listed.sort_unstable();
        let from_docs =
            |path: &&str| path.strip_prefix("docs/").map_or_else(|| format!("../{path}"), ToOwned::to_owned);
        let mut pages: Vec<String> = PAGES.iter().filter(|path| **path != INDEX).map(from_docs).collect();
        pages.sort_unstable();
        assert_eq!(listed, pages);
    }

    /// The number of words somebody has to read who wants to know everything.
    const WORDS: usize = 24_000;

    /// Keeps short what is written by hand. What is looked up, and held against the program, does not count.
    #[test]
    fn the_pages_are_not_too_long() {
        let is_counted = |path: &&&str| {
            !["docs/errors.md", "CHANGELOG.md"].contains(*path) && !path.starts_with("docs/reference/")
        };
        let count = |path: &&str| page(path).split_whitespace().count();
        let sizes: Vec<_> = PAGES.iter().filter(is_counted).map(|path| (count(path), *path)).collect();
        let words: usize = sizes.iter().map(|(words, _)| words).sum();
        assert!(words <= WORDS, "{words} words of {WORDS}: {sizes:?}");
    }

    /// Holds that each file in `docs/` is a page of the tests.
    #[test]
    fn every_file_is_a_page() {
        for folder in ["docs", "docs/reference", "docs/reference/platforms"] {
            for entry in fs::read_dir(root().join(folder)).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                let path = format!("{folder}/{name}");
                let is_page = Path::new(&name).extension().is_some_and(|extension| extension == "md");
                assert!(!is_page || PAGES.contains(&path.as_str()), "{path} is not in PAGES");
            }
        }
    }

    #[test]
    fn headings_are_unique() {
        for path in PAGES.iter().copied() {
            let mut seen = BTreeSet::new();
            for anchor in markdown::anchors(&prose(path)) {
                assert!(seen.insert(anchor.clone()), "{path}: #{anchor} is ambiguous");
            }
        }
    }

    /// The evidence is that of tests that are there, and the page on reliability tells of no other.
    #[test]
    fn the_evidence_is_that_of_the_tests() {
        let matrix = page("tests/integration/matrix/mod.rs");
        let half = |at: usize| {
            let blocks = rows(ASSURANCE, "## The matrix");
            blocks.into_iter().map(move |row| (row[at].clone(), row[at + 1].clone())).collect::<Vec<_>>()
        };
        // The last cell is empty, since the number of blocks is odd.
        let told: Vec<_> =
            half(0).into_iter().chain(half(3)).filter(|(block, _)| !block.is_empty()).collect();
        let sizes = matrix.split("const BLOCKS").nth(1).unwrap().split("];").next().unwrap();
        let tested: Vec<_> = sizes
            .lines()
            .filter_map(|line| line.trim().strip_prefix("(\"")?.strip_suffix("),")?.split_once("\", "))
            .map(|(block, size)| (block.to_owned(), size.to_owned()))
            .collect();
        assert_eq!(told, tested);
        let commands = rows(ASSURANCE, "## How to run the evidence");
        for (_, command) in commands.iter().map(|row| (&row[0], &row[1])) {
            for test in markdown::spans(command).iter().flat_map(|command| command.split("--test ").skip(1)) {
                let mut words = test.split(' ');
                let (program, module) = (words.next().unwrap(), words.next().unwrap());
                let folder = match program {
                    "integration" => "tests/integration",
                    "third-party" => "tests/foreign",
                    _ => panic!("there is no program {program}"),
                };
                let place = root().join(folder).join(module.replace("::", "/"));
                let is_there = place.is_dir() || place.with_extension("rs").is_file();
                assert!(is_there, "there is no {module} in {program}");
            }
        }
        let script = page("tests/foreign/differential/run.py");
        let compared = rows(ASSURANCE, "## Compared with what people do otherwise");
        let scripted = script.split("def main").next().unwrap();
        let faults =
            scripted.lines().filter_map(|line| line.strip_prefix("        (\"")?.split_once("\", ["));
        let faults: Vec<_> = faults.map(|(fault, _)| fault.to_owned()).collect();
        let told: Vec<_> = compared.iter().map(|row| row[0].clone()).take(faults.len()).collect();
        assert_eq!(told, faults);
        assert_eq!(faults.len(), 25);
        let right: Vec<_> = compared.last().unwrap().iter().map(|cell| cell.trim_matches('*')).collect();
        let [_, ours, node, python, curl] = right[..] else { panic!("{right:?}") };
        let crowd = rows(ASSURANCE, "## A crowd of jobs");
        let of = |jobs: &str, client: usize| {
            let at = crowd.iter().position(|row| row[0] == jobs).unwrap();
            crowd[at + client].as_slice()
        };
        let (few, fixed, late) =
            (of("300 at 10/s", 0), of("300 at 10/s", 2), of("300 at 10/s, `Retry-After: 30`", 0));
        let told = prose("docs/reliability.md").split_whitespace().collect::<Vec<_>>().join(" ");
        for text in [
            format!("does the right thing in {ours}, bash with curl and jq in {curl},"),
            format!("Python with `id` and `requests` in {python}, Node.js with `@actions/core` in {node}."),
            format!("the last one after {}, with {} requests each", few[4].trim_end_matches(" s"), few[3]),
            format!("gets {} of the 300 through, with {} requests each", fixed[2], fixed[3]),
            format!("leaves each job one attempt, and {} of 300 get through", late[2]),
        ] {
            assert!(told.contains(&text), "docs/reliability.md does not say: {text}");
        }
    }

    /// The page on performance has every budget of the gate, and nothing measured that exceeds it.
    #[test]
    fn the_budgets_are_those_of_the_gate() {
        let number = |text: &str| text.split(' ').next().unwrap().parse::<f64>().unwrap();
        let budgets: Value = serde_json::from_str(&page("benches/budgets.json")).unwrap();
        let millions = |value: &Value| format!("{:.2} M", value.as_f64().unwrap() / 1e6);
        let expected = BTreeMap::from([
            ("the dynamic binary", millions(&budgets["bytes"]["dynamic"]) + "B"),
            ("the static binary", millions(&budgets["bytes"]["static"]) + "B"),
            ("crates in the release", budgets["crates"].to_string()),
            ("the local service", millions(&budgets["serve"]["bytes"]) + "B"),
            ("crates in the local service", budgets["serve"]["crates"].to_string()),
            ("round trips", budgets["round_trips"].to_string()),
            ("connections", budgets["connections"].to_string()),
            ("time with 40 ms of delay", format!("{} times the floor", budgets["times_the_floor"])),
            ("processor time", format!("{} ms", budgets["processor_ms"])),
            ("memory", format!("{} MB", budgets["memory_mb"])),
        ]);
        let table = rows("docs/performance.md", "## Budgets");
        let told: BTreeMap<_, _> = table.iter().map(|row| (row[0].as_str(), row[2].clone())).collect();
        assert_eq!(told, expected);
        for row in &table {
            assert!(number(&row[1]) <= number(&row[2]), "{row:?}");
        }
        let recorded: BTreeMap<_, _> =
            budgets["instructions"]["recorded"].as_object().unwrap().iter().collect();
        let table = rows("docs/performance.md", "### Instructions");
        let told: BTreeMap<_, _> = table.iter().map(|row| (row[0].as_str(), row[1].clone())).collect();
        let expected = recorded.iter().map(|(name, count)| (name.as_str(), millions(count)));
        assert_eq!(told, expected.collect());
        assert_eq!(budgets["instructions"]["growth"], 1.1);
    }

    /// The pages on security name modules and tests; they must exist.
    #[test]
    fn files_and_tests_that_are_named_exist() {
        let sources = |folders: &[&str]| {
            let mut sources = String::new();
            let mut folders: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                    if entry.is_dir() && !entry.ends_with("node_modules") {
                        folders.push(entry);
                    } else if entry.extension().is_some_and(|extension| extension == "rs") {
                        sources += &fs::read_to_string(entry).unwrap();
                    }
                }
            }
            sources
        };
        let tests = sources(&["src", "tests"]);
        for page in [ASSURANCE, "docs/security.md", "docs/security-review.md", "docs/local-service-review.md"]
        {
            let text = prose(page);
            for span in markdown::spans(&text).into_iter().filter(|span| *span != "serve/") {
                // A command is a file and its arguments.
                let span = span.split(' ').next().unwrap();
                let is_in_folder = ["src/", "tests/", "fuzz/", ".ci/", "serve/"]
                    .iter()
                    .any(|folder| span.starts_with(folder));
                let is_at_root = ["Cargo.toml", "Cargo.lock", "clippy.toml", "deny.toml"].contains(&span);
                if is_in_folder || is_at_root {
                    assert!(root().join(span).is_file(), "{page}: there is no {span}");
                }
            }
        }
        // The service's page names its tests beside its files.
        let of_service = sources(&["serve/src", "serve/tests"]);
        let review = prose("docs/local-service-review.md");
        let named = review
            .lines()
            .filter(|line| line.starts_with("| "))
            .filter_map(|line| line.trim_matches('|').split(" | ").nth(2));
        let named: Vec<&str> = named
            .flat_map(markdown::spans)
            .filter(|span| span.contains('_') && !span.contains(['/', '.']))
            .collect();
        for span in &named {
            assert!(
                of_service.contains(&format!("fn {span}(")),
                "docs/local-service-review.md: there is no test {span}"
            );
        }
        assert!(named.len() > 4, "{}", named.len());
        let promises = rows(ASSURANCE, "## Promises");
        let mut shown = BTreeSet::new();
        for row in &promises {
            assert_eq!(row.len(), 3, "{row:?}");
            for span in markdown::spans(&row[2]).into_iter().filter(|span| !span.contains('/')) {
                assert!(tests.contains(&format!("fn {span}(")), "{ASSURANCE}: there is no test {span}");
                shown.insert(span.to_owned());
            }
        }
        assert!(promises.len() > 40, "{}", promises.len());
        // The reviewer's page has its pointers in the third column of many tables.
        let review = prose("docs/security-review.md");
        let pointers = review.lines().filter(|line| line.starts_with("| ")).filter_map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split(" | ").collect();
            (cells.len() == 3).then(|| cells[2])
        });
        let named: Vec<&str> = pointers
            .flat_map(markdown::spans)
            .filter(|span| span.contains('_') && !span.contains(['/', '.']))
            .collect();
        for span in &named {
            assert!(
                tests.contains(&format!("fn {span}(")),
                "docs/security-review.md: there is no test {span}"
            );
        }
        assert!(named.len() > 10, "{}", named.len());
        // What a question does not name is beside its promise.
        shown.extend(named.into_iter().map(ToOwned::to_owned));
        assert!(shown.len() > 140, "{}", shown.len());
        // Each question about the program has a place to look.
        let (_, about) = review.split_once("## What does it do\n").unwrap();
        let (about, _) = about.split_once("## How is the binary verified\n").unwrap();
        for line in about.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| Question")) {
            let place = line.trim_end_matches('|').rsplit('|').next().unwrap();
            assert!(place.contains('`') || place.contains("]("), "docs/security-review.md: {line}");
        }
    }
}

mod blocks_and_recipes {
    use super::*;

    #[test]
    fn every_block_says_what_it_is() {
        for path in PAGES.iter().copied() {
            for block in markdown::split(&page(path)).0 {
                let known =
                    ["dockerfile", "go", "hcl", "java", "json", "mermaid", "python", "sh", "text", "yaml"];
                let known = known.contains(&block.tag.as_str());
                assert!(known, "{path}:{}: the block is tagged {:?}", block.line, block.tag);
                assert!(!block.text.contains('\t'), "{path}:{}: a tab", block.line);
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn shell_blocks_parse() {
        let all = blocks("sh");
        assert!(all.len() > 8);
        for (at, text) in all {
            // A placeholder is not a redirection.
            let output = feed(Command::new("sh").arg("-n"), &text.replace("<org-id>", "ORG"));
            assert!(output.status.success(), "{at}: {}", told(&output));
        }
    }

    #[test]
    fn yaml_blocks_are_laid_out_as_yaml() {
        let all = blocks("yaml");
        assert!(all.len() > 4);
        for (at, text) in all {
            for line in text.lines() {
                let indentation = line.len() - line.trim_start().len();
                assert!(indentation % 2 == 0, "{at}: {line}: an odd indentation");
                assert!(line.matches('"').count() % 2 == 0, "{at}: {line}: a quotation mark too many");
            }
        }
    }

    #[test]
    fn json_blocks_parse() {
        let all = blocks("json");
        assert!(all.len() > 1);
        for (at, text) in all {
            serde_json::from_str::<Value>(&text).unwrap_or_else(|error| panic!("{at}: {error}"));
        }
    }

    #[test]
    fn hcl_blocks_are_balanced() {
        for (at, text) in blocks("hcl") {
            for (open, close) in [('{', '}'), ('(', ')'), ('[', ']')] {
                assert_eq!(text.matches(open).count(), text.matches(close).count(), "{at}");
            }
            assert!(text.contains("equinix"), "{at}");
        }
    }

    #[test]
    fn the_readme_s_command_works() {
        let command = blocks("sh").into_iter().find_map(|(at, text)| {
            let arguments = text.trim().strip_prefix("cargo run --release -- ")?;
            at.starts_with("README.md").then(|| arguments.to_owned())
        });
        let command = command.expect("README.md runs the program by cargo");
        assert_eq!(command, "sandbox", "one command and nothing else");
        let output = program().args(command.split(' ')).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        assert!(String::from_utf8_lossy(&output.stdout).starts_with("SANDBOX: nothing here is real."));
    }

    /// The lines of a recipe that a runner gives to a shell.
    fn scripts(yaml: &str) -> String {
        let of = |line: &str| {
            let line = line.trim();
            let run = line.strip_prefix("run: ").or_else(|| line.strip_prefix("- run: "));
            let script = line.strip_prefix("- ").filter(|rest| !rest.contains(": "));
            run.or(script).map(ToOwned::to_owned)
        };
        yaml.lines().filter_map(of).collect::<Vec<_>>().join("\n")
    }

    /// The recipe's lines for a job of the sandbox, with the next command replaced by a look at the token.
    fn adapted(lines: &str, next: &str) -> String {
        let lines = lines
            .replace("roleassignments:<org-id>", "$EQUINIX_TOKEN_EXCHANGE_SCOPE")
            .replace("my-equinix-audience", "$EQUINIX_WIF_AUDIENCE");
        let next_line =
            |line: &str| if line.starts_with("terraform ") { next.to_owned() } else { line.to_owned() };
        lines.lines().map(next_line).collect::<Vec<_>>().join("\n")
    }

    #[cfg(unix)]
    #[test]
    fn the_recipes_for_jobs_work() {
        let mut tried = 0;
        for (at, yaml) in blocks("yaml") {
            // The jobs of the guide to Terraform are run by tests/foreign/terraform.rs, those with long applies by
            // tests/foreign/long_applies.rs, the recipes by tests/foreign/recipes.rs. The sandbox plays none of the platforms
            // that have a page of their own.
            let others =
                ["errors.md", "terraform.md", "long-applies.md", "recipes.md", "docs/reference/platforms/"];
            if others.iter().any(|page| at.contains(page)) || !yaml.contains("terraform") {
                continue;
            }
            tried += 1;
            let (platform, next) = if yaml.contains("id_tokens:") {
                ("gitlab", "test -n \"$EQUINIX_API_TOKEN\" && test ! -e \"$file\" && exit 42")
            } else {
                assert!(yaml.contains("id-token: write"), "{at}");
                ("github", "grep -q '^access-token<<' \"$GITHUB_OUTPUT\" && exit 42")
            };
            let lines = adapted(&scripts(&yaml), next);
            assert!(lines.contains("equinix-wif token") && lines.contains("exit 42"), "{at}:\n{lines}");
            let output = in_sandbox(&["--platform", platform], &["sh", "-ec"], &lines);
            assert_eq!(output.status.code(), Some(42), "{at}:\n{lines}\n{}", told(&output));
            // Without a token the job ends there, with the program's exit status.
            let output =
                in_sandbox(&["--platform", platform, "--fault", "refused-scope"], &["sh", "-ec"], &lines);
            assert_eq!(output.status.code(), Some(6), "{at}:\n{lines}\n{}", told(&output));
        }
        assert_eq!(tried, 3);
    }

    /// The presets for systems of which nothing has to be known, each in a job of the sandbox that is none of them.
    #[cfg(unix)]
    #[test]
    fn the_presets_for_other_systems_work() {
        let text = page("docs/reference/platforms.md");
        let (_, presets) = text.split_once("\n## Presets for other systems\n").unwrap();
        let sections: Vec<&str> = presets.split("\n### ").skip(1).collect();
        let names: Vec<&str> = sections.iter().map(|section| section.lines().next().unwrap()).collect();
        let all = [
            "Jenkins",
            "Concourse",
            "Harness",
            "Codefresh",
            "Tekton",
            "Argo Workflows",
            "Pulumi ESC",
            "Vercel",
            "Fly.io",
            "Namespace",
        ];
        assert_eq!(names, all);
        for (name, section) in names.iter().zip(sections) {
            let [block] =
                markdown::split(section).0.try_into().unwrap_or_else(|_| panic!("{name}: one block"));
            let line = adapted(&block.text, "").replace("/run/equinix/token", "\"$folder/token\"");
            // The job of the sandbox has its token where no platform would look for it.
            let script = format!(
                r#"folder=$(mktemp -d); export TMPDIR=$folder METAL_ID_TOKEN=$EQUINIX_WIF_SUBJECT_TOKEN ID_TOKEN=$EQUINIX_WIF_SUBJECT_TOKEN VERCEL_OIDC_TOKEN=$EQUINIX_WIF_SUBJECT_TOKEN
                printf %s "$METAL_ID_TOKEN" >"$folder/token"; unset GITLAB_CI CI_SERVER_URL EQUINIX_WIF_SUBJECT_TOKEN
                out=$({line}) || exit
                case $out in
                    "Who this job is"*) case $out in *"2 principal "*) exit 42 ;; esac ;;
                    *) . "$out"; rm -r "$folder"; test -n "$EQUINIX_API_TOKEN" && exit 42 ;;
                esac"#
            );
            let output = in_sandbox(&["--platform", "gitlab"], &["sh", "-c"], &script);
            assert_eq!(output.status.code(), Some(42), "{name}:\n{line}\n{}", told(&output));
        }
    }

    /// Holds that a newcomer copies first what tests/foreign/action.rs and tests/foreign/component.rs run.
    #[test]
    fn the_readme_s_recipes_are_those_that_are_run() {
        let of = |page: &str| -> Vec<String> {
            blocks("yaml").into_iter().filter(|(at, _)| at.starts_with(page)).map(|(_, text)| text).collect()
        };
        let run = ["docs/github-action.md", "docs/gitlab-component.md"].map(|page| of(page)[0].clone());
        assert_eq!(of("README.md"), run);
    }

    #[test]
    fn step_outputs_that_are_named_exist() {
        let known = tables::outputs();
        for path in PAGES.iter().copied() {
            let text = page(path);
            for rest in text.split(".outputs.").skip(1) {
                let name: String = rest.chars().take_while(|c| c.is_ascii_lowercase() || *c == '-').collect();
                assert!(name.is_empty() || known.contains(&name), "{path}: there is no output {name}");
            }
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_comparison_of_times_works() {
        let block =
            blocks("sh").into_iter().map(|(_, text)| text).find(|text| text.contains("expr")).unwrap();
        for (time, says) in
            [("2001-01-01T00:00:00Z", ""), ("2999-01-01T00:00:00Z", "the token is still valid\n")]
        {
            let output = Command::new("sh")
                .args(["-c", &block])
                .env("EQUINIX_API_TOKEN_EXPIRES_AT", time)
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), says, "{time}");
        }
    }
}

mod repository {
    use super::*;

    /// Tells whether an SPDX expression, as Cargo takes it, is met by these licences.
    fn is_met(expression: &str, allowed: &BTreeSet<String>) -> bool {
        let parsed = spdx::Expression::parse_mode(expression, spdx::ParseMode::LAX);
        let parsed = parsed.unwrap_or_else(|error| panic!("{expression}: {error}"));
        parsed.evaluate(|license| allowed.contains(&license.to_string()))
    }

    /// The quoted texts of a line of deny.toml.
    fn quoted(line: &str) -> Vec<String> {
        line.split('"').skip(1).step_by(2).map(ToOwned::to_owned).collect()
    }

    #[test]
    fn the_rules_for_dependencies_fit_the_dependencies() {
        let rustc = Command::new(option_env!("RUSTC").unwrap_or("rustc")).arg("-vV").output();
        let version =
            rustc.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        let host = version.lines().find_map(|line| line.strip_prefix("host: "));
        let metadata = Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform"])
            .arg(host.expect("rustc tells the host"))
            .output()
            .unwrap();
        assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
        let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let rules = fs::read_to_string(root().join("deny.toml")).unwrap();
        let (_, licenses) = rules.split_once("allow = [\n").unwrap();
        let allowed: BTreeSet<String> =
            licenses.lines().take_while(|line| *line != "]").map(|line| quoted(line)[0].clone()).collect();

        let unmet = |allowed: &BTreeSet<String>| {
            let of = |package: &Value| package["license"].as_str().unwrap_or_default().to_owned();
            let bad = packages.iter().find(|package| !is_met(&of(package), allowed));
            bad.map(|package| format!("{} ({})", package["name"], of(package)))
        };
        assert_eq!(unmet(&allowed), None, "deny.toml does not allow what is used");
        for license in &allowed {
            let fewer = allowed.iter().filter(|other| *other != license).cloned().collect();
            assert!(unmet(&fewer).is_some(), "deny.toml allows {license}, which nothing needs");
        }

        let name = |id: &Value| {
            let package = packages.iter().find(|package| package["id"] == *id).unwrap();
            package["name"].as_str().unwrap().to_owned()
        };
        let (_, banned) = rules.split_once("deny = [\n").unwrap();
        let banned = banned.lines().take_while(|line| *line != "]").filter(|line| line.contains("crate ="));
        let banned: Vec<Vec<String>> = banned.map(quoted).collect();
        assert!(banned.len() > 4);
        for node in metadata["resolve"]["nodes"].as_array().unwrap() {
            let parent = name(&node["id"]);
            for dependency in
                node["deps"].as_array().unwrap().iter().map(|dependency| name(&dependency["pkg"]))
            {
                if let Some(rule) = banned.iter().find(|rule| rule[0] == dependency) {
                    assert!(rule.contains(&parent), "{parent} brings {dependency}, which deny.toml bans");
                }
            }
        }
    }
}
