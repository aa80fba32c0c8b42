//! What programs of others make of the documentation's blocks, and what Git knows of the repository. The rest of what is
//! held about the pages is in `tests/integration/docs.rs`.

#![cfg(all(target_os = "linux", feature = "sandbox"))]

use std::fs;
use std::process::Command;

use crate::mirror::need_terraform;
use crate::support::pages::{blocks, markdown, root, rows};
use crate::support::program::{feed, in_sandbox, told};
use crate::tools::{INSTALL, need, need_checkout, need_shell};
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![hcl_blocks_parse, no_file_names_a_registry_s_host, shells_end_or_go_on_as_told, yaml_blocks_parse]
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

/// What docs/reference/formats.md says about shells, as far as POSIX settles it.
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
