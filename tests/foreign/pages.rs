//! The documentation's blocks in programs of others, and what Git knows of the repository. The rest of what is held about
//! the pages is in `tests/integration/docs.rs`.

#![cfg(all(target_os = "linux", feature = "sandbox"))]

use std::fs;
use std::process::Command;

use crate::mirror::need_terraform;
use crate::support::pages::{blocks, markdown, root, rows};
use crate::support::program::{feed, in_sandbox, told};
use crate::tools::{INSTALL, need, need_checkout, need_python, need_shell};
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        diagrams_parse,
        hcl_blocks_parse,
        no_file_names_a_registry_s_host,
        shells_end_or_go_on_as_told,
        the_picture_is_drawn_from_the_recorded_figures,
        yaml_blocks_parse
    ]
}

fn yaml_blocks_parse() {
    need("Python package yaml", Command::new("python3").args(["-c", "import yaml"]), INSTALL);
    // A block is a document, some steps of a job, or a play of Ansible.
    let load = "import sys, yaml; d = yaml.safe_load(sys.stdin); assert isinstance(d, dict) or all('run' in s or 'uses' in s or 'tasks' in s for s in d), d";
    for (at, text) in blocks("yaml") {
        let output = feed(Command::new("python3").args(["-c", load]), &text);
        assert!(output.status.success(), "{at}: {}", told(&output));
    }
}

fn hcl_blocks_parse() {
    need_terraform();
    for (at, text) in blocks("hcl") {
        let output = feed(Command::new("terraform").args(["fmt", "-"]), &text);
        assert!(output.status.success(), "{at}: {}", told(&output));
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), text.trim(), "{at}: another layout");
    }
}

/// Asks Mermaid's own parser about each diagram: it says nothing, or what is wrong.
fn parsed(diagrams: &[&str]) -> Vec<Option<String>> {
    let script = root().join("tests/foreign/pages/diagrams.mjs");
    need("Mermaid's parser", Command::new("node").arg(&script).arg("--version"), INSTALL);
    let output = feed(Command::new("node").arg(&script), &serde_json::to_string(diagrams).unwrap());
    assert!(output.status.success(), "{}", told(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A page shows a diagram that does not parse as an error.
fn diagrams_parse() {
    let all = blocks("mermaid");
    let on = |page: &str| all.iter().any(|(at, _)| at.starts_with(page));
    assert!(on("README.md") && on("docs/trust.md"), "the two that should be there");
    let texts: Vec<&str> = all.iter().map(|(_, text)| text.as_str()).collect();
    for ((at, _), wrong) in all.iter().zip(parsed(&texts)) {
        assert_eq!(wrong, None, "{at}");
    }
    // It would have found something, in each of them.
    let broken: Vec<String> = all
        .iter()
        .flat_map(|(at, text)| {
            let arrow = ["->>", "-->"].into_iter().find(|arrow| text.contains(arrow));
            let arrow = arrow.unwrap_or_else(|| panic!("{at} has no arrow"));
            [text.replacen(arrow, "", 1), text.replacen(|c: char| c.is_ascii_lowercase(), "", 1)]
        })
        .collect();
    let found = parsed(&broken.iter().map(String::as_str).collect::<Vec<_>>());
    for (text, wrong) in broken.iter().zip(found) {
        assert!(wrong.is_some(), "{text}");
    }
}

/// Tries what docs/reference/formats.md says about shells, as far as POSIX settles it.
fn shells_end_or_go_on_as_told() {
    let table = rows("docs/reference/formats.md", "## Use in a shell");
    let robust = blocks("sh").into_iter().map(|(_, text)| text).find(|t| t.starts_with("file=$(")).unwrap();
    let lines = blocks("sh").into_iter().map(|(_, text)| text).find(|t| t.starts_with("lines=$(")).unwrap();
    for shell in ["sh", "dash", "bash"] {
        need_shell(&[shell]);
        for flags in ["-c", "-ec"] {
            let fails = |form: &str| {
                let lines = format!("{form}\necho went on");
                let fault = ["--platform", "gitlab", "--fault", "refused-scope"];
                in_sandbox(&fault, &[shell, flags], &lines)
            };
            for form in [&robust, &lines] {
                let output = fails(form);
                assert_eq!(output.status.code(), Some(6), "{shell} {flags}: {form}: {}", told(&output));
                assert!(output.stdout.is_empty());
                let works = format!("{form}\ntest -n \"$EQUINIX_API_TOKEN\" && exit 42");
                let output = in_sandbox(&["--platform", "gitlab"], &[shell, flags], &works);
                assert_eq!(output.status.code(), Some(42), "{shell} {flags}: {form}: {}", told(&output));
            }
            for row in table.iter().filter(|row| row[1] == "**goes on**") {
                let form = markdown::spans(&row[0])[0];
                assert_eq!(fails(form).stdout, b"went on\n", "{shell} {flags}: {form}");
            }
        }
    }
    assert_eq!(table.iter().filter(|row| row[1] == "**goes on**").count(), 2);
}

/// That the figures are those of the page is held in `tests/integration/docs.rs`.
fn the_picture_is_drawn_from_the_recorded_figures() {
    need_python();
    let picture = fs::read_to_string(root().join("docs/images/network.svg")).unwrap();
    let drawn =
        Command::new("python3").arg(root().join("benches/chart.py")).arg("/dev/stdout").output().unwrap();
    assert!(drawn.status.success(), "{}", told(&drawn));
    assert!(picture.as_bytes() == drawn.stdout, "docs/images/network.svg: python3 benches/chart.py");
    // A reader of screens is told what it shows; elements are those that draw, and nothing else.
    let parse = "import sys, xml.etree.ElementTree as tree\n\
                 root = tree.parse(sys.stdin).getroot()\n\
                 names = [element.tag.replace('{http://www.w3.org/2000/svg}', '') for element in root.iter()]\n\
                 assert names[:4] == ['svg', 'title', 'desc', 'style'], names\n\
                 assert set(names[4:]) == {'rect', 'text', 'line'}, names\n\
                 ids = [root[0].get('id'), root[1].get('id')]\n\
                 assert root.get('aria-labelledby').split() == ids and root.get('role') == 'img'\n\
                 assert root[0].text and root[1].text";
    let output = feed(Command::new("python3").args(["-c", parse]), &picture);
    assert!(output.status.success(), "{}", told(&output));
}

/// No file may lead to a registry: clients are configured where they run, not here.
fn no_file_names_a_registry_s_host() {
    need_checkout();
    // In parts, so that this file does not name them either. Where the name alone is also an audience, the
    // address is looked for.
    let hosts: Vec<String> = [
        &["registry", "npmjs", "org"][..],
        &["registry", "yarnpkg", "com"],
        &["index", "crates", "io"],
        &["static", "crates", "io"],
        &["//crates", "io"],
        &["//rubygems", "org"],
        &["pypi", "org"],
        &["files", "pythonhosted", "org"],
        &["proxy", "golang", "org"],
        &["deb", "debian", "org"],
        &["registry", "terraform", "io"],
        &["docker", "io"],
        &["ghcr", "io"],
        &["quay", "io"],
    ]
    .iter()
    .map(|parts| parts.join("."))
    .collect();
    let listed = Command::new("git")
        .arg("-C")
        .arg(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .unwrap();
    let files = String::from_utf8(listed.stdout).unwrap();
    let files: Vec<&str> = files.split('\0').filter(|name| !name.is_empty()).collect();
    assert!(files.contains(&"Cargo.toml"));
    for name in files.into_iter().filter(|name| *name != "Cargo.lock") {
        // A file that is deleted and not committed yet has nothing to hide.
        let Ok(content) = fs::read(root().join(name)) else { continue };
        let text = String::from_utf8_lossy(&content).to_lowercase();
        for host in &hosts {
            assert!(!text.contains(host.as_str()), "{name} names {host}");
        }
    }
}
