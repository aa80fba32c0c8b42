//! Compares the documentation with the tables in the code. `tests/integration/docs.rs` runs what stands there.
//!
//! `UPDATE_DOCS=1 cargo test docs` writes the parts that are made from the tables.

use std::collections::{BTreeMap, BTreeSet};

use crate::credential::{Credential, Kind};
use crate::env::{Env, names};
use crate::error::{Code, Exit};
use crate::grant::sts;
use crate::identity::{claims, jwt};
use crate::output::format::{Destination, FORMATS, Options};
use crate::platform::{self, PLATFORMS, Platform, made_up};
use crate::secret::Secret;
use crate::{http, retry};

use pages::{PAGES, agrees, code, markdown, page, prose, rows, with_part};

#[path = "../tests/support/pages.rs"]
#[allow(
    dead_code,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the integration tests ask more of pages, and a failing test should stop where it fails"
)]
mod pages;

const COMMANDS: &str = "docs/reference/commands.md";
const FORMATS_PAGE: &str = "docs/reference/formats.md";
const PLATFORMS_PAGE: &str = "docs/reference/platforms.md";
const REPORT: &str = "docs/reference/report.md";
const SETTINGS: &str = "docs/reference/settings.md";

/// The variables that the program reads.
fn variables() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    platform::variables().filter(|row| !made_up::names::ALL.contains(row))
}

/// The platforms that there are.
fn platforms() -> impl Iterator<Item = &'static &'static dyn Platform> {
    PLATFORMS.iter().filter(|platform| platform.facts().id != "made-up")
}

/// Returns prose as Markdown: `<x>` is text here and no HTML; indented lines become a block.
fn as_markdown(text: &str) -> String {
    let mut out = String::new();
    let mut in_block = false;
    for line in text.lines() {
        let indented = line.strip_prefix("    ");
        match (in_block, indented) {
            (false, Some(_)) => out += "\n```yaml\n",
            (true, None) => out += "```\n\n",
            _ => {}
        }
        in_block = indented.is_some();
        let text = indented.map_or_else(|| line.replace('<', "\\<"), ToOwned::to_owned);
        out += &format!("{text}\n");
    }
    if in_block {
        out += "```\n";
    }
    out
}

#[test]
fn the_error_page_is_the_error_table() {
    let mut page = String::from(
        "# Error codes\n\n\
         <!-- Written by src/docs_tests.rs from the tables in src/error/codes: UPDATE_DOCS=1 cargo test docs -->\n\n\
         Every failure has a code and an exit status. The code stands in brackets at the beginning of the message, in \
         the report\nand, on GitHub, in the output `error-code`. Codes are never renamed or given another meaning. \
         `equinix-wif explain CODE`\nprints the same texts without any network. The message of a failure is often more \
         exact than what stands here.\n",
    );
    for exit in Exit::ALL {
        page += &format!("\n## Exit {}: {}\n\n", exit.status(), exit.meaning());
        page += match exit.again() {
            "yes" => "Running the same job again may help.\n",
            "perhaps" => "Running the same job again may help once the cause has gone.\n",
            "report it" => "Running the same job again does not help; please report it.\n",
            _ => "Running the same job again without a change does not help.\n",
        };
        for code in Code::ALL.iter().filter(|code| code.exit() == exit) {
            page += &format!(
                "\n### {}\n\n**Exit:** {}\n\n**Cause:** {}\n\n**Cure:** {}\n**Example:**\n\n```text\n{}\n```\n",
                code.name(),
                exit.status(),
                as_markdown(code.cause()).trim_end(),
                as_markdown(code.cure()),
                code.example()
            );
        }
    }
    agrees("docs/errors.md", &page);
}

#[test]
fn the_settings_page_has_every_variable() {
    let row = |(name, about): &(&str, &str)| format!("| `{name}` | {} |\n", about.trim().replace('|', "\\|"));
    let list: String = variables().map(row).collect();
    let part = format!("| Variable | Meaning |\n|---|---|\n{list}");
    agrees(SETTINGS, &with_part(&page(SETTINGS), "variables", &part));
}

/// The variables that `exec` takes from the environment of its command, whatever the platform is.
#[test]
fn the_commands_page_has_what_exec_takes_away() {
    let made_up = |name: &&str| made_up::names::ALL.iter().any(|(known, _)| known == name);
    let location = platform::TokenLocation::default();
    let names = platform::identity_variables(&location).into_iter().filter(|name| !made_up(name));
    let names: BTreeSet<String> = names.map(code).collect();
    assert!(names.len() > 10);
    let list = names.into_iter().collect::<Vec<_>>().join(",\n");
    let part = format!("{list}.\n");
    agrees(COMMANDS, &with_part(&page(COMMANDS), "taken away", &part));
}

#[cfg(feature = "classic-grants")]
#[test]
fn grants_are_those_of_the_registry() {
    use crate::grant::{Facts, GRANTS};

    let told: Vec<_> = rows("docs/reference/grants.md", "# Grants");
    let of = |facts: &Facts| {
        let scope = if facts.takes_scope() { "required" } else { "none" };
        (code(facts.name), facts.asks_sts(), scope.to_owned())
    };
    let found = told.iter().map(|row| (row[0].clone(), row[2].contains("the STS"), row[3].clone()));
    assert_eq!(found.collect::<Vec<_>>(), GRANTS.iter().map(|facts| of(facts)).collect::<Vec<_>>());
}

#[test]
fn defaults_are_those_of_the_code() {
    let table = rows(SETTINGS, "# Settings");
    for (flag, value) in [
        ("sts-endpoint", sts::DEFAULT_ENDPOINT),
        ("sts-api", sts::Api::Alpha.id()),
        ("subject-token-env", names::SUBJECT_TOKEN),
    ] {
        let row = table.iter().find(|row| row[0].starts_with(&format!("`--{flag}"))).unwrap();
        assert_eq!(row[2], code(value), "--{flag}");
    }
}

#[test]
fn no_page_mentions_an_unknown_variable() {
    let mut known: BTreeSet<&str> = variables().map(|(name, _)| *name).collect();
    // What is written, not read.
    known.extend(["EQUINIX_API_TOKEN", "EQUINIX_API_TOKEN_EXPIRES_AT"]);
    known.extend(["EQUINIX_SANDBOX_REFRESH_TOKEN_FILE", "EQUINIX_SANDBOX_PASSWORD_FILE"]);
    for path in PAGES.iter().copied() {
        let text = page(path);
        let words = text.split(|c: char| !(c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_'));
        for word in words.filter(|word| word.starts_with("EQUINIX_")) {
            assert!(known.contains(word), "{path}: nothing reads or writes {word}");
        }
    }
}

fn ids(path: &str, heading: &str, column: usize) -> Vec<(String, String)> {
    rows(path, heading).into_iter().map(|row| (row[0].clone(), row[column].clone())).collect()
}

#[test]
fn formats_are_those_of_the_registry() {
    let expected: Vec<_> = FORMATS.iter().map(|format| code(format.id())).collect();
    let table = rows(FORMATS_PAGE, "# Formats");
    assert_eq!(table.iter().map(|row| row[0].clone()).collect::<Vec<_>>(), expected);
    for format in expected {
        assert!(page(FORMATS_PAGE).contains(&format!("\n## {format}\n")), "{format} has a section");
    }
}

#[test]
fn providers_are_those_of_the_registry() {
    let expected: Vec<_> = platforms().map(|p| (code(p.facts().id), p.facts().name.to_owned())).collect();
    let without_link = |(id, name): (String, String)| {
        let page = format!(" ([page](platforms/{}.md))", id.trim_matches('`'));
        (id, name.replace(&page, ""))
    };
    let found: Vec<_> = ids(PLATFORMS_PAGE, "## Providers", 1).into_iter().map(without_link).collect();
    assert_eq!(found, expected);
    let formats: Vec<_> = platforms().map(|p| (code(p.facts().id), code(p.facts().format))).collect();
    assert_eq!(ids(PLATFORMS_PAGE, "## Providers", 4), formats);
}

/// A platform with a page of its own has the same headings as the others, and is linked to from the table.
#[test]
fn the_pages_of_platforms_have_the_same_headings() {
    let headings =
        ["## Ten lines to paste", "## Trust to enter at Equinix", "## What is masked", "## Limits"];
    let table = rows(PLATFORMS_PAGE, "## Providers");
    let pages: BTreeSet<_> =
        PAGES.iter().filter_map(|path| path.strip_prefix("docs/reference/platforms/")).collect();
    let files = std::fs::read_dir(pages::root().join("docs/reference/platforms")).unwrap();
    let files = files.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(files.collect::<BTreeSet<_>>(), pages.iter().map(|name| (*name).to_owned()).collect());
    for name in pages {
        let text = prose(&format!("docs/reference/platforms/{name}"));
        let found: Vec<_> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, headings, "{name}");
        assert!(table.iter().any(|row| row[1].contains(&format!("(platforms/{name})"))), "{name}");
    }
}

#[cfg(feature = "sandbox")]
#[test]
fn faults_are_those_of_the_sandbox() {
    let found: Vec<_> = pages::faults().into_iter().map(|row| (row[0].clone(), row[1].clone())).collect();
    let faults = crate::sandbox::Fault::ALL.iter();
    assert_eq!(found, faults.map(|fault| (code(fault.id()), fault.about().to_owned())).collect::<Vec<_>>());
}

#[test]
fn exit_statuses_are_those_of_the_error_table() {
    let mut expected = vec![["0".to_owned(), "done".to_owned(), String::new()]];
    expected.extend(
        Exit::ALL.map(|exit| [exit.status().to_string(), exit.meaning().to_owned(), exit.again().to_owned()]),
    );
    assert_eq!(rows(COMMANDS, "## Exit status"), expected);
    assert_eq!(rows("README.md", "## When it fails"), expected);
}

#[test]
fn reasons_are_those_of_the_error_table() {
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (reason, name) in Code::ALL.iter().filter_map(|code| Some((code.reason()?, code.name()))) {
        let link = format!("[`{name}`](../errors.md#{name})");
        expected.entry(code(reason)).or_default().insert(link);
    }
    let rows = rows(FORMATS_PAGE, "## Going on without a token");
    let found = rows
        .into_iter()
        .map(|row| (row[0].clone(), row[1].split(", ").map(ToOwned::to_owned).collect::<BTreeSet<_>>()));
    assert_eq!(found.collect::<BTreeMap<_, _>>(), expected);
}

#[test]
fn stages_are_those_of_the_error_table() {
    let members = rows(REPORT, "# Report");
    let told = members.iter().find(|row| row[0] == "`stage`").unwrap();
    for stage in ["config", "identity", "claims", "exchange", "delivery"] {
        assert!(Code::ALL.iter().any(|code| code.stage().name() == stage));
        assert!(told[1].contains(&code(stage)), "{stage}");
    }
}

#[test]
fn validation_modes_are_those_of_the_program() {
    let text = prose(SETTINGS);
    let (_, rest) = text.split_once("\n### Validation\n").expect("a section on validation");
    let head = rest.lines().find(|line| line.starts_with('|')).unwrap();
    let modes: Vec<String> = claims::Validation::ALL.iter().map(|mode| code(mode.id())).collect();
    assert_eq!(markdown::spans(head), modes.iter().map(|mode| mode.trim_matches('`')).collect::<Vec<_>>());
    let table = rows(SETTINGS, "### Validation");
    for row in &table {
        assert_eq!(row.len(), 4, "{row:?}");
        for cell in &row[1..] {
            let known = ["not checked", "warning", "error"].iter().any(|word| cell.starts_with(word));
            assert!(known, "{row:?}");
        }
    }
    // What strict makes an error is named with its code.
    for name in ["claim-aud", "claim-debug-job", "claim-run-binding", "endpoint-untrusted", "scope-mismatch"]
    {
        let row = table.iter().find(|row| row[2].starts_with("warning") && row[3].contains(&code(name)));
        assert!(row.is_some(), "{SETTINGS} does not say that strict makes it {name}");
    }
    let flag = rows(SETTINGS, "# Settings");
    let flag = flag.iter().find(|row| row[0].starts_with("`--validation")).unwrap();
    for mode in modes {
        assert!(flag[2].contains(&mode) || flag[4].contains(&mode), "--validation {mode}");
    }
}

#[test]
fn the_examples_are_what_the_formats_write() {
    let token = Secret::new("EXAMPLE-ACCESS-TOKEN");
    let credential = Credential {
        scope: Some("roleassignments:00000000-0000-0000-0000-000000000000".into()),
        issuer: Some("https://token.actions.githubusercontent.com".into()),
        subject: Some("repo:octo-org/octo-repo:ref:refs/heads/main".into()),
        ..Credential::new(Kind::AccessToken, token, 3600, 1_795_320_000)
    };
    let delimiter = "equinix-wif-0123456789abcdef0123456789abcdef";
    let options =
        |shadowing| Options { env_name: "EQUINIX_API_TOKEN", shadowing, delimiter, api_version: None };
    let examples: Vec<String> =
        markdown::split(&page(FORMATS_PAGE)).0.into_iter().map(|block| block.text).collect();
    for format in FORMATS {
        for place in format.places(true) {
            let bytes = format.render(&credential, &options(None), place).unwrap();
            let text = String::from_utf8(bytes.reveal().to_vec()).unwrap();
            assert!(examples.contains(&text), "{FORMATS_PAGE} lacks this of {}:\n{text}", format.id());
        }
    }
    let shell = FORMATS.iter().find(|format| format.id() == "shell").unwrap();
    let lines = |shadowing| {
        let bytes = shell.render(&credential, &options(shadowing), Destination::Stdout).unwrap();
        String::from_utf8(bytes.reveal().to_vec()).unwrap()
    };
    let more = lines(Some(names::SUBJECT_TOKEN)).replace(&lines(None), "");
    assert!(examples.contains(&more), "{FORMATS_PAGE} lacks this of shell:\n{more}");
}

#[test]
fn numbers_are_those_of_the_code() {
    let holds = |path: &str, text: &str| {
        let flat = page(path).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(text), "{path} does not say: {text}");
    };
    let (connecting, attempt) = (retry::CONNECT_TIMEOUT.as_secs(), retry::ATTEMPT_TIMEOUT.as_secs());
    holds(SETTINGS, &format!("Connecting may take {connecting} seconds, an attempt {attempt},"));
    let (body, headers, token) = (http::MAX_BODY >> 10, http::MAX_HEADERS >> 10, jwt::MAX_LENGTH >> 10);
    holds("docs/security-review.md", &format!("An answer may have {body} KiB, its headers {headers} KiB."));
    holds("docs/security.md", &format!("at most {token} KiB"));
    holds(PLATFORMS_PAGE, &format!("at most {token} KiB"));
    holds("docs/security.md", &format!("with {} seconds of leeway", claims::LEEWAY));
    holds("docs/reliability.md", &format!("bodies over {} KiB are not read", http::MAX_BODY >> 10));
    // The example of a failure, as text and in the report.
    assert!(page(REPORT).contains(Code::ClaimAud.cure()));
    assert!(page(COMMANDS).contains(Code::ClaimAud.cure()));
    assert!(page(COMMANDS).contains(Code::ClaimAud.example()));
    for path in ["README.md", SETTINGS] {
        for api in sts::Api::ALL {
            holds(path, &code(api.path()));
        }
    }
}

#[test]
fn detection_is_as_told() {
    let here = |pairs: &[(&str, &str)]| -> Vec<&str> {
        let env = Env::fixed(pairs.iter().copied());
        platform::detected(&env).iter().map(|platform| platform.facts().id).collect()
    };
    for (pairs, ids) in [
        (&[("GITHUB_ACTIONS", "true")][..], &["github"][..]),
        (&[("FORGEJO_ACTIONS", "true")], &["forgejo"]),
        (&[("GITHUB_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")], &["forgejo"]),
        (&[("GITHUB_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true"), ("GITEA_ACTIONS", "true")], &["forgejo"]),
        (&[("GITHUB_ACTIONS", "true"), ("GITEA_ACTIONS", "true")], &[]),
        (&[("GITLAB_CI", "true")], &["gitlab"]),
        (&[("CIRCLECI", "true")], &["circleci"]),
        (&[("BITBUCKET_BUILD_NUMBER", "7")], &["bitbucket"]),
        (&[("TFC_RUN_ID", "run-7")], &["hcp-terraform"]),
        (&[("TF_VAR_spacelift_run_id", "01HZ")], &["spacelift"]),
        (&[("SEMAPHORE", "true")], &["semaphore"]),
        (&[("GITLAB_CI", "true"), ("FORGEJO_ACTIONS", "true")], &["gitlab", "forgejo"]),
        (&[("BUILDKITE", "true")], &["buildkite"]),
        (&[("BUILDKITE", "true"), ("GITHUB_ACTIONS", "true")], &["github", "buildkite"]),
        (&[("BUILDKITE", "true"), ("GITLAB_CI", "true")], &["gitlab", "buildkite"]),
        (&[("BUILDKITE", "true"), ("FORGEJO_ACTIONS", "true")], &["forgejo", "buildkite"]),
        (&[("TF_BUILD", "True")], &["azure-pipelines"]),
        (&[("TF_BUILD", "True"), ("GITHUB_ACTIONS", "true")], &["github", "azure-pipelines"]),
        (&[("TF_BUILD", "True"), ("GITLAB_CI", "true")], &["gitlab", "azure-pipelines"]),
        (&[("TF_BUILD", "True"), ("FORGEJO_ACTIONS", "true")], &["forgejo", "azure-pipelines"]),
        (&[("TF_BUILD", "True"), ("BUILDKITE", "true")], &["buildkite", "azure-pipelines"]),
        (&[("VELA", "true")], &["vela"]),
        (&[("VELA", "true"), ("GITHUB_ACTIONS", "true")], &["github", "vela"]),
        (&[("VELA", "true"), ("GITLAB_CI", "true")], &["gitlab", "vela"]),
        (&[("VELA", "true"), ("FORGEJO_ACTIONS", "true")], &["forgejo", "vela"]),
        (&[("VELA", "true"), ("BUILDKITE", "true")], &["buildkite", "vela"]),
        (&[("VELA", "true"), ("TF_BUILD", "True")], &["azure-pipelines", "vela"]),
    ] {
        assert_eq!(here(pairs), ids, "{pairs:?}");
        let table = rows(PLATFORMS_PAGE, "## Providers");
        for (name, _) in pairs {
            assert!(table.iter().any(|row| row[2].contains(&code(name))), "{name}");
        }
    }
}

/// Every source file, with its path.
fn sources() -> Vec<(String, String)> {
    let (mut sources, mut folders) = (Vec::new(), vec![pages::root().join("src")]);
    while let Some(folder) = folders.pop() {
        for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                sources.push((path.display().to_string(), std::fs::read_to_string(path).unwrap()));
            }
        }
    }
    sources
}

/// Checks what `missing_docs` cannot see in private modules.
#[test]
fn every_public_item_is_documented() {
    let items = ["fn ", "const ", "static ", "struct ", "enum ", "trait ", "type "];
    for (path, text) in sources() {
        let mut documented = false;
        for (number, line) in text.lines().map(str::trim).enumerate() {
            let item = line.strip_prefix("pub ");
            let is_field =
                |item: &str| item.split_once(": ").is_some_and(|(name, _)| !name.contains(['(', ' ']));
            if item.is_some_and(|item| items.iter().any(|word| item.starts_with(word)) || is_field(item)) {
                assert!(documented, "{path}:{}: {line}", number + 1);
            }
            // Attributes may stand between an item and its documentation.
            documented =
                line.starts_with("///") || documented && (line.starts_with("#[") || line.ends_with(")]"));
        }
    }
}

#[test]
fn summaries_begin_with_a_verb_or_a_noun() {
    let others = ["What", "Where", "Who", "Whom", "Whose", "Which", "Whether", "How", "Why", "When"];
    for (path, text) in sources() {
        let mut before = "";
        for (number, line) in text.lines().map(str::trim).enumerate() {
            let marks = ["/// ", "//! "];
            if let Some(mark) =
                marks.into_iter().find(|mark| line.starts_with(mark) && !before.starts_with(mark.trim()))
            {
                let first = line.trim_start_matches(mark).split(' ').next().unwrap();
                assert!(!others.contains(&first), "{path}:{}: {line}", number + 1);
            }
            before = line;
        }
    }
}
