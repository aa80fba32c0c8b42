//! What a release consists of: archives, digests, image, and the scripts that check and publish them. Each script runs in
//! a copy of the project, with stand-ins for what is not here: a compiler's run, and GitHub behind `gh`.

#![cfg(target_os = "linux")]

mod commit;
mod rehearsal;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::tools::{INSTALL, need, need_checkout, need_python, need_static_program};
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        // The longest first, so that the others are made beside them.
        commit::cargo_installs_it,
        rehearsal::from_the_bump_to_the_verification,
        pack::the_same_contents_give_the_same_bytes,
        pack::modes_owners_and_times_are_fixed,
        pack::a_link_is_refused,
        package::an_archive_has_the_layout_that_others_count_on,
        package::the_machine_does_not_reach_the_compiler,
        package::what_would_not_be_a_release_is_refused,
        package::the_local_service_has_an_archive_of_its_own,
        digests::are_written_between_the_marks_and_nowhere_else,
        digests::are_read_by_a_parser_as_written,
        digests::of_anything_else_are_refused_and_nothing_is_written,
        digests::need_their_marks,
        digests::fit_into_the_project_s_own_files,
        checks::a_release_that_is_consistent_passes,
        checks::what_is_not_consistent_is_refused,
        checks::a_second_build_that_differs_is_refused,
        names::binstall_looks_for_the_archives,
        names::targets_are_those_of_the_scripts,
        names::the_crate_has_the_schemas_and_nothing_that_is_installed,
        image::is_the_same_wherever_it_is_made_and_runs_as_nobody,
        image::is_one_for_skopeo_and_for_umoci,
        image::holds_all_that_the_program_needs,
        server::a_release_is_published_whole_and_once,
        server::a_draft_is_made_anew,
        server::what_the_server_has_otherwise_is_not_published,
        server::a_published_release_is_verified_and_so_is_the_verification,
        server::digests_are_proposed_as_a_commit_that_the_server_makes
    ]
}

/// Finds the folder in which Cargo keeps the crates of this machine.
fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
        PathBuf::from,
    )
}

const BIN: &str = env!("CARGO_BIN_EXE_equinix-wif");
const VERSION: &str = "7.8.9";
const TARGETS: [&str; 5] = [
    "aarch64-apple-darwin",
    "aarch64-unknown-linux-musl",
    "x86_64-apple-darwin",
    "x86_64-pc-windows-msvc",
    "x86_64-unknown-linux-musl",
];
const REPOSITORY: &str = "https://github.example/octo-org/equinix-wif";

fn source() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Makes a Git repository of the project as it lies here, with one commit, which is the same for the same files. Its name.
#[track_caller]
fn project(into: &Path) -> String {
    need_checkout();
    fs::create_dir(into).unwrap();
    let script = "
        (cd \"$1\" && git ls-files -z | tar --null --ignore-failed-read -T - -cf -) | tar -xf -
        git init --quiet --initial-branch=main
        git add --all --force
        git commit --quiet --message x
        git rev-parse HEAD";
    let mut git = Command::new("sh");
    git.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", into);
    for role in ["AUTHOR", "COMMITTER"] {
        git.env(format!("GIT_{role}_NAME"), "x").env(format!("GIT_{role}_EMAIL"), "x@example.test");
        git.env(format!("GIT_{role}_DATE"), "2026-01-31T00:00:00Z");
    }
    let output = git.current_dir(into).args(["-ec", script, "sh"]).arg(source()).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn archive(target: &str) -> String {
    format!("equinix-wif-{VERSION}-{target}.tar.gz")
}

/// A digest that looks like one.
fn digest(seed: usize) -> String {
    format!("{seed:064x}")
}

/// The digests of all archives, in sha256sum's format.
fn sums(first: usize) -> String {
    let line = |(at, target): (usize, &&str)| format!("{}  {}\n", digest(first + at), archive(target));
    TARGETS.iter().enumerate().map(line).collect()
}

const ACTION: &str = "name: x\nruns:\n  steps:\n    - env:\n        \
    # digests: written by .ci/write-digests\n        RELEASE_VERSION: \"\"\n        RELEASE_DIGESTS: \"\"\n        \
    # end of digests\n        OTHER: \"RELEASE_VERSION\"\n      run: x\n";
const COMPONENT: &str = "spec:\n  inputs: {}\n---\njob:\n  variables:\n    \
    # digests: written by .ci/write-digests\n    RELEASE_VERSION: \"\"\n    RELEASE_URL: \"\"\n    RELEASE_DIGESTS: \"\"\n    \
    # end of digests\n  script: [x]\n";

/// A copy of the project that can be released, as far as the scripts look at it.
struct Copy {
    folder: TempDir,
}

impl Copy {
    fn new() -> Self {
        let copy = Self { folder: tempfile::tempdir().unwrap() };
        // By another process: a file that this one has open for writing, be it in a copy that a fork makes for a moment,
        // cannot be run.
        let copied = Command::new("cp").arg("-R").arg(source().join(".ci")).arg(copy.path(".ci")).status();
        assert!(copied.unwrap().success());
        for name in ["README.md", "SECURITY.md", "LICENSE-APACHE", "LICENSE-MIT"] {
            fs::copy(source().join(name), copy.path(name)).unwrap();
        }
        let package = format!("[package]\nname = \"equinix-wif\"\nversion = \"{VERSION}\"\n");
        copy.write("Cargo.toml", &format!("{package}repository = \"{REPOSITORY}\"\n"));
        copy.write("Cargo.lock", &format!("[{package}"));
        let service = package.replace("equinix-wif", "equinix-wif-serve");
        copy.write("serve/Cargo.toml", &service);
        copy.write("serve/Cargo.lock", &format!("[{service}"));
        copy.write(
            "CHANGELOG.md",
            &format!("# Changelog\n\n## [Unreleased]\n\n## [{VERSION}] - 2026-01-31\n\n- A thing.\n\n## [7.8.8] - 2026-01-01\n\n- Old.\n"),
        );
        copy.write(".github/CODEOWNERS", "# @octo-org/maintainers is a placeholder\n/src/ @wif/owners\n");
        copy.write("action.yml", ACTION);
        copy.write("templates/token.yml", COMPONENT);
        copy.write("SUMS", &sums(1));
        copy
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    fn replace(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "{name} has no {from:?}");
        self.write(name, &text.replacen(from, to, 1));
    }

    /// A stand-in for a program.
    fn program(&self, name: &str, script: &str) {
        self.write("bin/new", &format!("#!/bin/bash\nset -eu\n{script}\n"));
        let mut install = Command::new("install");
        install.args(["-m", "755"]).arg(self.path("bin/new")).arg(self.path("bin").join(name));
        assert!(install.status().unwrap().success());
    }

    /// A script of the project, with nothing of this machine's jobs and settings around it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command.env_clear().current_dir(self.folder.path()).stdin(Stdio::null());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{}:{path}", self.path("bin").display()));
        command
            .env("HOME", self.folder.path())
            .env("COPY", self.folder.path())
            .env("TMPDIR", self.folder.path());
        command
    }

    fn run(&self, program: &str, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }

    #[track_caller]
    fn succeeds(&self, program: &str, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        assert!(output.status.success(), "{program} {arguments:?}: {}", told(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The script ends with status 1 and one reason on standard error.
    #[track_caller]
    fn refuses(&self, program: &str, arguments: &[&str], why: &str) {
        let output = self.run(program, arguments);
        assert_eq!(output.status.code(), Some(1), "{program} {arguments:?}: {}", told(&output));
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(stderr.contains(why) && !stderr.contains("Traceback"), "{why:?}: {stderr}");
    }
}

fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// The SHA-256 digest of a file.
fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap()[..64].to_owned()
}

/// The lines of `tar tvzf`, without times.
fn listed(archive: &Path) -> Vec<(String, String, String)> {
    let output = Command::new("tar").args(["--utc", "--full-time", "-tvzf"]).arg(archive).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    let text = String::from_utf8(output.stdout).unwrap();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        assert_eq!(words[1], "0/0", "{line}");
        (words[0].to_owned(), format!("{}T{}Z", words[3], words[4]), words[5].to_owned())
    };
    text.lines().map(line).collect()
}

mod pack {
    use super::*;

    const NAME: &str = "equinix-wif-7.8.9-x86_64-unknown-linux-musl";

    /// Two folders with the same contents, made as differently as can be.
    fn folder(copy: &Copy, parent: &str, names: &[&str], mode: u32) -> String {
        for name in names {
            let path = copy.path(&format!("{parent}/{NAME}/{name}"));
            copy.write(&format!("{parent}/{NAME}/{name}"), &format!("the content of {name}\n"));
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(u64::from(mode) * 10_000_000);
            fs::File::open(&path).unwrap().set_modified(time).unwrap();
        }
        format!("{parent}/{NAME}")
    }

    const NAMES: [&str; 4] = ["README.md", "completions/_equinix-wif", "equinix-wif", "man/equinix-wif.1"];

    fn pack(copy: &Copy, folder: &str, to: &str) -> Output {
        let mut python = Command::new("python3");
        python.current_dir(copy.folder.path()).args([".ci/pack.py", folder, to, "1769817600"]);
        python.output().unwrap()
    }

    pub(super) fn the_same_contents_give_the_same_bytes() {
        need_python();
        let copy = Copy::new();
        let mut reversed = NAMES;
        reversed.reverse();
        let one = folder(&copy, "one", &NAMES, 0o644);
        let two = folder(&copy, "a longer name/two", &reversed, 0o700);
        for (folder, to) in [(&one, "one.tar.gz"), (&two, "two.tar.gz")] {
            let output = pack(&copy, folder, to);
            assert!(output.status.success(), "{}", told(&output));
            let first = String::from_utf8(output.stdout).unwrap();
            assert!(first.starts_with(&sha256(&copy.path(to))), "{first}");
        }
        assert_eq!(sha256(&copy.path("one.tar.gz")), sha256(&copy.path("two.tar.gz")));
        // And other contents do not.
        copy.write(&format!("{two}/README.md"), "another\n");
        assert!(pack(&copy, &two, "three.tar.gz").status.success());
        assert_ne!(sha256(&copy.path("one.tar.gz")), sha256(&copy.path("three.tar.gz")));
    }

    pub(super) fn modes_owners_and_times_are_fixed() {
        need_python();
        let copy = Copy::new();
        let from = folder(&copy, "one", &NAMES, 0o600);
        assert!(pack(&copy, &from, "one.tar.gz").status.success());
        let expected = [
            ("drwxr-xr-x", ""),
            ("-rw-r--r--", "README.md"),
            ("drwxr-xr-x", "completions/"),
            ("-rw-r--r--", "completions/_equinix-wif"),
            ("-rwxr-xr-x", "equinix-wif"),
            ("drwxr-xr-x", "man/"),
            ("-rw-r--r--", "man/equinix-wif.1"),
        ];
        let expected = expected.map(|(mode, name)| {
            (mode.to_owned(), "2026-01-31T00:00:00Z".to_owned(), format!("{NAME}/{name}"))
        });
        assert_eq!(listed(&copy.path("one.tar.gz")), expected);
        // The compressor's header tells neither a time nor a name.
        let bytes = fs::read(copy.path("one.tar.gz")).unwrap();
        assert_eq!(bytes[..8], [0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    }

    pub(super) fn a_link_is_refused() {
        need_python();
        let copy = Copy::new();
        let from = folder(&copy, "one", &NAMES, 0o600);
        std::os::unix::fs::symlink("/etc/passwd", copy.path(&format!("{from}/notes"))).unwrap();
        let output = pack(&copy, &from, "one.tar.gz");
        assert!(!output.status.success() && told(&output).contains("notes is neither"), "{}", told(&output));
        assert!(!copy.path("one.tar.gz").exists());
    }
}

mod package {
    use super::*;

    const TARGET: &str = "x86_64-unknown-linux-musl";

    /// A copy in which Cargo hands out the program of these tests instead of building one.
    fn copy() -> Copy {
        let copy = Copy::new();
        // These tests' program reports its own version.
        for name in ["Cargo.toml", "Cargo.lock", "CHANGELOG.md"] {
            copy.replace(name, VERSION, env!("CARGO_PKG_VERSION"));
        }
        copy.write(".ci/toolchain", "1.2.3\n");
        fs::create_dir_all(copy.path("cargo home/registry/src/mirror-1")).unwrap();
        copy.program("rustc", "case $1 in -vV) printf 'release: 1.2.3\\ncommit-hash: c0ffee\\n' ;; --print) echo /sys/root ;; esac");
        copy.program("musl-gcc", "echo 'musl-gcc 1'");
        copy.program(
            "cargo",
            "case $1 in\n\
             fetch) ;;\n\
             install) echo 'cargo-auditable v0.7.7:' ;;\n\
             build) env >\"$COPY/seen\"; echo \"$*\" >\"$COPY/arguments\"\n\
             mkdir -p target/x86_64-unknown-linux-musl/release; to=target/x86_64-unknown-linux-musl/release/equinix-wif\n\
             strip -o $to \"$PROGRAM\"; printf \"${APPENDED-.dep-v0}\" >>$to ;;\n\
             *) exit 9 ;;\n\
             esac",
        );
        copy
    }

    fn package(copy: &Copy) -> Command {
        let mut command = copy.command(".ci/package");
        command.arg(TARGET).env("PROGRAM", BIN).env("CARGO_HOME", copy.path("cargo home"));
        command
    }

    /// What the action, the component and `cargo binstall` unpack.
    pub(super) fn an_archive_has_the_layout_that_others_count_on() {
        need_python();
        let copy = copy();
        let output = package(&copy)
            .env("RUSTFLAGS", "-Cfoo")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let version = env!("CARGO_PKG_VERSION");
        let name = format!("equinix-wif-{version}-{TARGET}");
        let archive = copy.path(&format!("target/dist/{name}.tar.gz"));
        let listed = listed(&archive);
        let files: Vec<&str> = listed
            .iter()
            .map(|(_, _, path)| path.strip_prefix(&format!("{name}/")).unwrap())
            .filter(|path| !path.is_empty() && !path.ends_with('/'))
            .collect();
        let expected = [
            "CHANGELOG.md",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "README.md",
            "SECURITY.md",
            "completions/_equinix-wif",
            "completions/_equinix-wif.ps1",
            "completions/equinix-wif.bash",
            "completions/equinix-wif.fish",
            "equinix-wif",
            "man/equinix-wif.1",
        ];
        assert_eq!(files, expected);
        assert!(listed.iter().all(|(_, time, _)| time == "2026-01-31T00:00:00Z"), "{listed:?}");
        assert!(
            listed.iter().all(|(mode, _, path)| (mode == "-rwxr-xr-x") == path.ends_with("/equinix-wif"))
        );
        // What comes out is what the program says.
        let out = copy.path("out");
        fs::create_dir(&out).unwrap();
        assert!(
            Command::new("tar").arg("-xzf").arg(&archive).arg("-C").arg(&out).status().unwrap().success()
        );
        for (path, arguments) in [
            ("completions/equinix-wif.bash", &["completions", "bash"][..]),
            ("completions/_equinix-wif", &["completions", "zsh"]),
            ("completions/equinix-wif.fish", &["completions", "fish"]),
            ("completions/_equinix-wif.ps1", &["completions", "powershell"]),
            ("man/equinix-wif.1", &["man"]),
        ] {
            let printed = Command::new(BIN).args(arguments).output().unwrap().stdout;
            assert!(
                !printed.is_empty() && fs::read(out.join(&name).join(path)).unwrap() == printed,
                "{path}"
            );
        }
        let unpacked = Command::new(out.join(&name).join("equinix-wif")).arg("--version").output().unwrap();
        assert_eq!(String::from_utf8_lossy(&unpacked.stdout), format!("equinix-wif {version}\n"));
    }

    pub(super) fn the_machine_does_not_reach_the_compiler() {
        need_python();
        let copy = copy();
        let output = package(&copy)
            .env("RUSTFLAGS", "-Cfoo")
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_BUILD_RUSTFLAGS", "-Cbar")
            .env("RUSTC_WRAPPER", "x")
            .env("CFLAGS", "-O0")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let seen = copy.read("seen");
        let variables: BTreeMap<&str, &str> = seen.lines().filter_map(|line| line.split_once('=')).collect();
        for name in
            ["RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "CARGO_BUILD_RUSTFLAGS", "RUSTC_WRAPPER", "CFLAGS"]
        {
            assert!(!variables.contains_key(name), "{name}={}", variables[name]);
        }
        assert_eq!(variables["SOURCE_DATE_EPOCH"], "1769817600");
        // A wrapper with a path would be a part of the symbols' names.
        assert_eq!(variables["RUSTC_WORKSPACE_WRAPPER"], "cargo-auditable");
        let arguments = copy.read("arguments");
        assert_eq!(
            arguments,
            format!("build --locked --release --target {TARGET} --manifest-path ./Cargo.toml\n")
        );
        let flags: Vec<&str> = variables["CARGO_ENCODED_RUSTFLAGS"].split('\u{1f}').collect();
        let here = fs::canonicalize(copy.folder.path()).unwrap();
        for (from, to) in [
            (here.clone(), "/equinix-wif"),
            (PathBuf::from("/sys/root"), "/rust"),
            (PathBuf::from("/sys/root/lib/rustlib/src/rust"), "/rustc/c0ffee"),
            (copy.path("cargo home"), "/cargo"),
            (copy.path("cargo home/registry/src/mirror-1"), "/cargo/registry"),
        ] {
            let flag = format!("--remap-path-prefix={}={to}", from.display());
            assert!(flags.contains(&flag.as_str()), "{flag}: {flags:?}");
        }
        assert!(flags.contains(&"-Ctarget-feature=+crt-static"), "{flags:?}");
        assert_eq!(variables["CC_x86_64_unknown_linux_musl"], "musl-gcc");
        assert!(
            variables["CFLAGS_x86_64_unknown_linux_musl"]
                .contains(&format!("'-ffile-prefix-map={}=/equinix-wif'", here.display()))
        );
    }

    pub(super) fn what_would_not_be_a_release_is_refused() {
        need_python();
        let refused = |copy: &Copy, change: &dyn Fn(&mut Command), why: &str| {
            let mut command = package(copy);
            change(&mut command);
            let output = command.output().unwrap();
            assert!(!output.status.success() && told(&output).contains(why), "{why}: {}", told(&output));
            assert!(
                !copy.path("target/dist").read_dir().is_ok_and(|mut files| files.next().is_some()),
                "{why}"
            );
        };
        // The path of this machine's crates, which a debug build holds.
        let home = cargo_home();
        let holds = fs::read(BIN).unwrap();
        let path = home.to_str().unwrap().as_bytes();
        assert!(
            holds.windows(path.len()).any(|window| window == path),
            "a debug build tells {}",
            home.display()
        );
        let told_home = copy();
        refused(
            &told_home,
            &|command| {
                command.env("CARGO_HOME", &home);
            },
            "the program holds the path",
        );
        refused(
            &copy(),
            &|command| {
                command.env("APPENDED", "");
            },
            "the list of its dependencies",
        );
        let undated = copy();
        undated.replace("CHANGELOG.md", " - 2026-01-31", "");
        refused(&undated, &|_| (), "has no date");
        let other = copy();
        for name in ["Cargo.toml", "CHANGELOG.md"] {
            other.replace(name, env!("CARGO_PKG_VERSION"), VERSION);
        }
        refused(&other, &|_| (), &format!("is not equinix-wif {VERSION}"));
        let newer = copy();
        newer.write(".ci/toolchain", "1.2.4\n");
        refused(&newer, &|_| (), "rustc is 1.2.3, not 1.2.4");
        let copy = copy();
        let output = copy.run(".ci/package", &["riscv64gc-unknown-linux-gnu"]);
        assert!(!output.status.success());
    }

    /// A program in place of the service, since these tests build only the small one.
    pub(super) fn the_local_service_has_an_archive_of_its_own() {
        need_python();
        let copy = copy();
        copy.program(
            "cargo",
            "case $1 in\n\
             fetch) ;;\n\
             install) echo 'cargo-auditable v0.7.7:' ;;\n\
             build) echo \"$*\" >\"$COPY/arguments\"\n\
             mkdir -p target/x86_64-unknown-linux-musl/release; to=target/x86_64-unknown-linux-musl/release/equinix-wif-serve\n\
             printf '#!/bin/sh\\n# .dep-v0\\necho equinix-wif-serve %s\\n' \"$SAYS\" >$to; chmod 755 $to ;;\n\
             *) exit 9 ;;\n\
             esac",
        );
        copy.program("readelf", "printf 'Type: DYN\\nGNU_RELRO\\nGNU_STACK 0x0 RW 0x10\\n'");
        let documents =
            ["local-service.md", "mcp.md", "local-service-review.md", "reference/local-service.md"];
        for name in documents.iter().chain(&["examples/systemd/a.service", "examples/kubernetes/a.yaml"]) {
            copy.write(&format!("docs/{name}"), "x");
        }
        let version = env!("CARGO_PKG_VERSION");
        let package = |target: &str, program: &str, says: &str| {
            let mut command = copy.command(".ci/package");
            command.args([target, program]).env("CARGO_HOME", copy.path("cargo home")).env("SAYS", says);
            command.output().unwrap()
        };
        let output = package(TARGET, "equinix-wif-serve", version);
        assert!(output.status.success(), "{}", told(&output));
        let arguments = copy.read("arguments");
        assert_eq!(
            arguments,
            format!("build --locked --release --target {TARGET} --manifest-path serve/Cargo.toml\n")
        );
        let name = format!("equinix-wif-serve-{version}-{TARGET}");
        let listed = listed(&copy.path(&format!("target/dist/{name}.tar.gz")));
        let is_program = |path: &str| path.ends_with("/equinix-wif-serve");
        assert!(
            listed.iter().all(|(mode, _, path)| (mode == "-rwxr-xr-x") == is_program(path)),
            "{listed:?}"
        );
        let files: Vec<&str> = listed
            .iter()
            .filter(|(mode, _, _)| mode.starts_with('-'))
            .map(|(_, _, path)| path.strip_prefix(&format!("{name}/")).unwrap())
            .collect();
        let expected = [
            "CHANGELOG.md",
            "LICENSE-APACHE",
            "LICENSE-MIT",
            "README.md",
            "SECURITY.md",
            "equinix-wif-serve",
            "examples/a.service",
            "examples/a.yaml",
            "local-service-review.md",
            "local-service.md",
            "mcp.md",
            "reference/local-service.md",
        ];
        assert_eq!(files, expected);
        for (target, program, says, why) in [
            (TARGET, "equinix-wif-serve", "7.8.8", "is not equinix-wif-serve"),
            (TARGET, "equinix-wif-other", version, "there is no program"),
            ("x86_64-pc-windows-msvc", "equinix-wif-serve", version, "needs a Unix"),
        ] {
            let output = package(target, program, says);
            assert!(!output.status.success() && told(&output).contains(why), "{why}: {}", told(&output));
        }
    }
}

mod digests {
    use super::*;

    pub(super) fn are_written_between_the_marks_and_nowhere_else() {
        need_python();
        let copy = Copy::new();
        copy.succeeds(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY]);
        let indented =
            |by: &str| sums(1).lines().fold(String::new(), |all, line| all + by + "  " + line + "\n");
        let by = " ".repeat(8);
        let expected = ACTION
            .replacen("RELEASE_VERSION: \"\"", &format!("RELEASE_VERSION: \"{VERSION}\""), 1)
            .replacen("RELEASE_DIGESTS: \"\"\n", &format!("RELEASE_DIGESTS: |\n{}", indented(&by)), 1);
        assert_eq!(copy.read("action.yml"), expected);
        let by = " ".repeat(4);
        let expected = COMPONENT
            .replacen("RELEASE_VERSION: \"\"", &format!("RELEASE_VERSION: \"{VERSION}\""), 1)
            .replacen("RELEASE_URL: \"\"", &format!("RELEASE_URL: \"{REPOSITORY}/releases/download\""), 1)
            .replacen("RELEASE_DIGESTS: \"\"\n", &format!("RELEASE_DIGESTS: |\n{}", indented(&by)), 1);
        assert_eq!(copy.read("templates/token.yml"), expected);
        // Again: the same. For the next build: only the digests change, in any order of the list.
        let before = copy.read("action.yml");
        copy.succeeds(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY]);
        assert_eq!(copy.read("action.yml"), before);
        let mut other: Vec<String> = sums(20).lines().map(|line| format!("{line}\n")).collect();
        other.reverse();
        other.push(format!("{}  equinix-wif-{VERSION}.cdx.json\n", digest(99)));
        other.push(format!("{}  equinix-wif-serve-{VERSION}.cdx.json\n", digest(98)));
        for target in TARGETS.iter().filter(|target| !target.contains("windows")) {
            other.push(format!("{}  equinix-wif-serve-{VERSION}-{target}.tar.gz\n", digest(97)));
        }
        copy.write("SUMS", &other.concat());
        copy.succeeds(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY]);
        let mut expected = before;
        for at in 0..5 {
            expected = expected.replace(&digest(1 + at), &digest(20 + at));
        }
        assert_eq!(copy.read("action.yml"), expected);
    }

    /// What a YAML parser makes of it.
    pub(super) fn are_read_by_a_parser_as_written() {
        let mut yaml = Command::new("python3");
        need("Python package yaml", yaml.args(["-c", "import yaml"]), INSTALL);
        let copy = Copy::new();
        copy.succeeds(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY]);
        let script = "import json, sys, yaml\n\
            env = yaml.safe_load(open('action.yml'))['runs']['steps'][0]['env']\n\
            job = list(yaml.safe_load_all(open('templates/token.yml')))[1]['job']['variables']\n\
            print(json.dumps([env, job]))";
        let output =
            Command::new("python3").current_dir(copy.folder.path()).args(["-c", script]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let read: Value = serde_json::from_slice(&output.stdout).unwrap();
        for values in read.as_array().unwrap() {
            assert_eq!(values["RELEASE_VERSION"], VERSION);
            assert_eq!(values["RELEASE_DIGESTS"], sums(1));
        }
        assert_eq!(read[0]["OTHER"], "RELEASE_VERSION");
        assert_eq!(read[1]["RELEASE_URL"], format!("{REPOSITORY}/releases/download"));
    }

    pub(super) fn of_anything_else_are_refused_and_nothing_is_written() {
        need_python();
        let good = sums(1);
        let first = good.lines().next().unwrap();
        let cases = [
            (good.replace(VERSION, "7.8.8"), "is no archive of version"),
            (good.replacen(first, "", 1).trim_start().to_owned(), "there is no digest of"),
            (format!("{good}{first}\n"), "is there twice"),
            (
                format!("{good}{}  equinix-wif-{VERSION}-riscv64gc-unknown-linux-gnu.tar.gz\n", digest(9)),
                "is no archive",
            ),
            (
                format!("{good}{}  equinix-wif-serve-{VERSION}-x86_64-pc-windows-msvc.tar.gz\n", digest(9)),
                "is no archive",
            ),
            (good.replacen("0000", "000", 1), "is not a SHA-256 digest"),
            (good.replacen("0000", "00G0", 1), "is not a SHA-256 digest"),
            (good.replacen("  ", " *", 1), "is not a SHA-256 digest"),
            (good.replacen("  equinix", "  dist/equinix", 1), "is no archive"),
            (String::new(), "there is no digest of"),
        ];
        for (text, why) in cases {
            let copy = Copy::new();
            copy.write("SUMS", &text);
            copy.refuses(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY], why);
            assert_eq!(copy.read("action.yml"), ACTION, "{why}");
        }
        let copy = Copy::new();
        copy.refuses(".ci/write-digests", &["7.8.8", "SUMS", REPOSITORY], "Cargo.toml has version");
        copy.refuses(".ci/write-digests", &["v7.8.9", "SUMS", REPOSITORY], "is not a version");
        copy.refuses(".ci/write-digests", &["7.8.9\"; x", "SUMS", REPOSITORY], "is not a version");
        copy.refuses(".ci/write-digests", &[VERSION, "NONE", REPOSITORY], "NONE");
        copy.refuses(
            ".ci/write-digests",
            &[VERSION, "SUMS", "http://github.example/o/r"],
            "is not the address",
        );
        copy.refuses(".ci/write-digests", &[VERSION, "SUMS"], "needs the repository's address");
        // The component is refused after the action was fine: neither is written.
        assert_eq!(copy.read("action.yml"), ACTION);
        assert_eq!(copy.read("templates/token.yml"), COMPONENT);
    }

    pub(super) fn need_their_marks() {
        need_python();
        let (begin, end) = ("# digests: written by .ci/write-digests\n", "# end of digests\n");
        let cases = [
            (begin, "", "there has to be one line"),
            (end, "", "there has to be one line"),
            (begin, "# end of digests\n", "there has to be one line"),
            ("RELEASE_DIGESTS: \"\"", "SOMETHING_ELSE: \"\"", "does not belong between the marks"),
            ("RELEASE_DIGESTS: \"\"", "RELEASE_DIGESTS: $x", "does not belong between the marks"),
            ("        RELEASE_DIGESTS: \"\"\n", "", "RELEASE_DIGESTS is not between the marks"),
            ("RELEASE_VERSION: \"\"", "RELEASE_DIGESTS: \"\"", "does not belong between the marks"),
        ];
        for (from, to, why) in cases {
            let copy = Copy::new();
            copy.replace("action.yml", from, to);
            copy.refuses(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY], why);
        }
        let copy = Copy::new();
        fs::remove_file(copy.path("action.yml")).unwrap();
        copy.succeeds(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY]);
        fs::remove_file(copy.path("templates/token.yml")).unwrap();
        copy.refuses(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY], "neither action.yml nor anything");
    }

    /// The project's own action and components, as far as they are there, can be filled in.
    pub(super) fn fit_into_the_project_s_own_files() {
        need_python();
        let copy = Copy::new();
        fs::remove_file(copy.path("templates/token.yml")).unwrap();
        let mut own = vec!["action.yml".to_owned()];
        if let Ok(entries) = fs::read_dir(source().join("templates")) {
            own.extend(
                entries.map(|entry| format!("templates/{}", entry.unwrap().file_name().to_str().unwrap())),
            );
        }
        let there = own.iter().filter(|path| source().join(path).is_file());
        for path in there {
            copy.write(path, &fs::read_to_string(source().join(path)).unwrap());
        }
        copy.succeeds(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY]);
        copy.succeeds(".ci/check-release", &["built", &format!("v{VERSION}"), "SUMS"]);
    }
}

mod checks {
    use super::*;

    fn filled() -> Copy {
        let copy = Copy::new();
        copy.succeeds(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY]);
        copy
    }

    pub(super) fn a_release_that_is_consistent_passes() {
        need_python();
        let copy = Copy::new();
        copy.succeeds(".ci/check-release", &["prepare", VERSION]);
        let copy = filled();
        copy.succeeds(".ci/check-release", &["tag", "v7.8.9"]);
        copy.succeeds(".ci/check-release", &["built", "v7.8.9", "SUMS"]);
        assert_eq!(copy.succeeds(".ci/check-release", &["notes", "v7.8.9"]), "- A thing.\n");
        let mut here = copy.command(".ci/check-release");
        here.args(["prepare", VERSION]);
        here.env("GITHUB_SERVER_URL", "https://github.example")
            .env("GITHUB_REPOSITORY", "octo-org/equinix-wif");
        assert!(here.output().unwrap().status.success());
    }

    pub(super) fn what_is_not_consistent_is_refused() {
        need_python();
        let cases = [
            ("prepare", "Cargo.toml", VERSION, "7.8.8", "Cargo.toml has version 7.8.8"),
            ("prepare", "Cargo.lock", VERSION, "7.8.8", "Cargo.lock has version 7.8.8"),
            ("prepare", "serve/Cargo.toml", VERSION, "7.8.8", "serve/Cargo.toml has version 7.8.8"),
            ("prepare", "serve/Cargo.lock", VERSION, "7.8.8", "serve/Cargo.lock has version 7.8.8"),
            ("prepare", "Cargo.toml", "repository = ", "homepage = ", "has no repository"),
            ("prepare", "CHANGELOG.md", "## [7.8.9] - 2026-01-31", "## [7.8.9]", "has no date"),
            ("prepare", "CHANGELOG.md", "2026-01-31", "2026-02-30", "has no date"),
            ("prepare", "CHANGELOG.md", "2026-01-31", "2999-01-31", "which is yet to come"),
            ("prepare", "CHANGELOG.md", "## [7.8.9] - 2026-01-31", "## 7.8.9", "has no heading"),
            ("prepare", "CHANGELOG.md", "- A thing.\n", "", "says nothing about 7.8.9"),
            ("prepare", ".github/CODEOWNERS", "@wif/owners", "@octo-org/maintainers", "placeholder"),
            ("tag", "Cargo.toml", VERSION, "7.8.8", "Cargo.toml has version 7.8.8"),
            (
                "tag",
                "action.yml",
                "RELEASE_VERSION: \"7.8.9\"",
                "RELEASE_VERSION: \"\"",
                "belongs to no release",
            ),
            (
                "tag",
                "action.yml",
                "RELEASE_VERSION: \"7.8.9\"",
                "RELEASE_VERSION: \"7.8.8\"",
                "belongs to version 7.8.8",
            ),
            (
                "tag",
                "templates/token.yml",
                "RELEASE_VERSION: \"7.8.9\"",
                "RELEASE_VERSION: \"\"",
                "belongs to no release",
            ),
            ("tag", "action.yml", "-apple-darwin.tar.gz\n", "-apple-darwin.zip\n", "is no archive"),
            ("tag", "templates/token.yml", "RELEASE_URL: \"https", "RELEASE_URL: \"", "has no RELEASE_URL"),
        ];
        for (step, file, from, to, why) in cases {
            let copy = filled();
            copy.replace(file, from, to);
            let version = if step == "prepare" { VERSION } else { "v7.8.9" };
            copy.refuses(".ci/check-release", &[step, version], why);
        }
        let copy = filled();
        copy.refuses(".ci/check-release", &["tag", "7.8.9"], "is not a tag");
        copy.refuses(".ci/check-release", &["tag", "v7.8"], "is not a version");
        copy.refuses(".ci/check-release", &["tag", "v07.8.9"], "is not a version");
        copy.refuses(".ci/check-release", &["tag"], "usage");
        copy.refuses(".ci/check-release", &[], "usage");
        let mut elsewhere = copy.command(".ci/check-release");
        elsewhere.args(["prepare", VERSION]);
        elsewhere
            .env("GITHUB_SERVER_URL", "https://github.example")
            .env("GITHUB_REPOSITORY", "octo-org/fork");
        let output = elsewhere.output().unwrap();
        assert!(!output.status.success() && told(&output).contains("but this is"), "{}", told(&output));
    }

    /// The double build: one digit of one digest stops the release, whichever file it stands in.
    pub(super) fn a_second_build_that_differs_is_refused() {
        need_python();
        let everywhere = TARGETS.map(|target| ("SUMS", target));
        let files = [("action.yml", TARGETS[1]), ("templates/token.yml", TARGETS[4])];
        for (file, target) in everywhere.into_iter().chain(files) {
            let copy = filled();
            let text = copy.read(file);
            let at = text.find(&archive(target)).unwrap() - 3;
            let mut bytes = text.into_bytes();
            bytes[at] = b'f';
            copy.write(file, std::str::from_utf8(&bytes).unwrap());
            let why = format!(
                "this build differs from the one of the digests; nothing may be released\n  {}: ",
                archive(target)
            );
            copy.refuses(".ci/check-release", &["built", "v7.8.9", "SUMS"], &why);
        }
    }
}

mod names {
    use super::*;

    /// The pages of the crate link to the schemas. Without a leading slash a name means files in all folders, also in those that
    /// other software is installed into.
    pub(super) fn the_crate_has_the_schemas_and_nothing_that_is_installed() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(source()).args(["package", "--list", "--offline", "--allow-dirty"]);
        let output = cargo.output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        let listed = String::from_utf8(output.stdout).unwrap();
        let files: BTreeSet<&str> = listed.lines().collect();
        for entry in fs::read_dir(source().join("docs/schemas")).unwrap() {
            let name = format!("docs/schemas/{}", entry.unwrap().file_name().to_str().unwrap());
            assert!(files.contains(&*name), "{name} is missing");
        }
        for name in files {
            let is_ours = name.starts_with("src/") || name.starts_with("docs/") || !name.contains('/');
            assert!(is_ours, "{name} is in the crate");
        }
    }

    /// `cargo binstall` finds the archives by the same names.
    pub(super) fn binstall_looks_for_the_archives() {
        let manifest = fs::read_to_string(source().join("Cargo.toml")).unwrap();
        let (_, section) =
            manifest.split_once("\n[package.metadata.binstall]\n").expect("metadata for binstall");
        let section = section.split("\n[").next().unwrap();
        let entries: BTreeMap<&str, &str> =
            section.lines().filter_map(|line| line.split_once(" = ")).collect();
        let resolved = |key: &str, target: &str| {
            let suffix = if target.contains("windows") { ".exe" } else { "" };
            let mut text = entries[key].trim_matches('"').to_owned();
            for (name, value) in [
                ("repo", REPOSITORY),
                ("name", "equinix-wif"),
                ("bin", "equinix-wif"),
                ("version", VERSION),
                ("target", target),
                ("binary-ext", suffix),
            ] {
                text = text.replace(&format!("{{ {name} }}"), value);
            }
            assert!(!text.contains('{'), "{text}");
            text
        };
        for target in TARGETS {
            let archive = archive(target);
            assert_eq!(
                resolved("pkg-url", target),
                format!("{REPOSITORY}/releases/download/v{VERSION}/{archive}")
            );
            let program = if target.contains("windows") { "equinix-wif.exe" } else { "equinix-wif" };
            let folder = archive.strip_suffix(".tar.gz").unwrap();
            assert_eq!(resolved("bin-dir", target), format!("{folder}/{program}"));
        }
        assert_eq!(entries["pkg-fmt"], "\"tgz\"");
        assert_eq!(entries["disabled-strategies"], "[\"quick-install\"]", "builds of others are never taken");
    }

    /// The release's own list, and the one of these tests.
    pub(super) fn targets_are_those_of_the_scripts() {
        need_python();
        let copy = Copy::new();
        let script =
            "import sys; sys.path.insert(0, '.ci'); import release; print(*release.archives(sys.argv[1]))";
        let output = Command::new("python3")
            .current_dir(copy.folder.path())
            .args(["-c", script, VERSION])
            .output()
            .unwrap();
        let expected = TARGETS.map(archive).join(" ");
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), expected, "{}", told(&output));
    }
}

mod image {
    use super::*;

    /// Archives whose program is this file.
    fn archives(copy: &Copy, folder: &str, program: &Path) {
        fs::create_dir_all(copy.path(folder)).unwrap();
        for target in ["x86_64-unknown-linux-musl", "aarch64-unknown-linux-musl"] {
            let name = format!("equinix-wif-{VERSION}-{target}");
            let from = format!("{folder}/unpacked/{name}");
            copy.write(&format!("{from}/README.md"), "x");
            // A program of tests is large with what debuggers need.
            let to = copy.path(&format!("{from}/equinix-wif"));
            let stripped = Command::new("strip").arg("-o").arg(to).arg(program).status().unwrap();
            assert!(stripped.success());
            for licence in ["LICENSE-APACHE", "LICENSE-MIT"] {
                fs::copy(source().join(licence), copy.path(&format!("{from}/{licence}"))).unwrap();
            }
            let to = format!("{folder}/{name}.tar.gz");
            let packed = Command::new("python3")
                .current_dir(copy.folder.path())
                .args([".ci/pack.py", &from, &to, "1769817600"])
                .output()
                .unwrap();
            assert!(packed.status.success(), "{}", told(&packed));
        }
    }

    fn image(copy: &Copy, from: &str, to: &str) -> Output {
        Command::new("python3")
            .current_dir(copy.folder.path())
            .args([".ci/image.py", VERSION, from, to, REPOSITORY, "1769817600"])
            .output()
            .unwrap()
    }

    fn blob(copy: &Copy, layout: &str, descriptor: &Value) -> Vec<u8> {
        let digest = descriptor["digest"].as_str().unwrap().strip_prefix("sha256:").unwrap();
        let path = copy.path(&format!("{layout}/blobs/sha256/{digest}"));
        assert_eq!(sha256(&path), digest);
        let content = fs::read(path).unwrap();
        assert_eq!(descriptor["size"], content.len());
        content
    }

    pub(super) fn is_the_same_wherever_it_is_made_and_runs_as_nobody() {
        need_python();
        let copy = Copy::new();
        archives(&copy, "one", Path::new("/bin/true"));
        archives(&copy, "another folder", Path::new("/bin/true"));
        let outputs =
            [("one", "image"), ("another folder", "deeper/image")].map(|(from, to)| image(&copy, from, to));
        let digests = outputs.map(|output| {
            assert!(output.status.success(), "{}", told(&output));
            String::from_utf8(output.stdout).unwrap()
        });
        assert_eq!(digests[0], digests[1]);
        let top: Value = serde_json::from_str(&copy.read("image/index.json")).unwrap();
        assert_eq!(top["manifests"][0]["digest"], digests[0].trim());
        let index: Value = serde_json::from_slice(&blob(&copy, "image", &top["manifests"][0])).unwrap();
        let mut processors = Vec::new();
        for manifest in index["manifests"].as_array().unwrap() {
            let processor = manifest["platform"]["architecture"].as_str().unwrap();
            processors.push(processor);
            let manifest: Value = serde_json::from_slice(&blob(&copy, "image", manifest)).unwrap();
            let config: Value = serde_json::from_slice(&blob(&copy, "image", &manifest["config"])).unwrap();
            assert_eq!(config["architecture"], processor);
            assert_eq!(config["config"]["User"], "65532:65532");
            assert_eq!(config["config"]["Entrypoint"], serde_json::json!(["/equinix-wif"]));
            let layer = blob(&copy, "image", &manifest["layers"][0]);
            fs::write(copy.path("layer.tar.gz"), layer).unwrap();
            let files: Vec<(String, String)> =
                listed(&copy.path("layer.tar.gz")).into_iter().map(|(mode, _, name)| (mode, name)).collect();
            let expected = [
                ("-r-xr-xr-x", "equinix-wif"),
                ("dr-xr-xr-x", "licenses/"),
                ("-r--r--r--", "licenses/LICENSE-APACHE"),
                ("-r--r--r--", "licenses/LICENSE-MIT"),
                ("drwxrwxrwt", "tmp/"),
            ];
            assert_eq!(files, expected.map(|(mode, name)| (mode.to_owned(), name.to_owned())));
        }
        assert_eq!(processors, ["amd64", "arm64"]);
        // An archive without the program makes no image.
        fs::copy(copy.path("layer.tar.gz"), copy.path("one").join(archive("x86_64-unknown-linux-musl")))
            .unwrap();
        let output = image(&copy, "one", "third");
        assert!(!output.status.success() && told(&output).contains("has not all of"), "{}", told(&output));
    }

    fn skopeo(copy: &Copy, arguments: &[&str]) -> Vec<u8> {
        need("skopeo", Command::new("skopeo").arg("--version"), INSTALL);
        let mut skopeo = Command::new("skopeo");
        skopeo.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        skopeo.env("HOME", copy.folder.path()).current_dir(copy.folder.path()).arg("--insecure-policy");
        let output = skopeo.args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", told(&output));
        output.stdout
    }

    /// Unpacks the image for one processor into a folder of this name, as a runtime does: the bundle with its `rootfs`.
    fn unpack(copy: &Copy, layout: &str, processor: &str, to: &str) -> PathBuf {
        need("umoci", Command::new("umoci").arg("--version"), INSTALL);
        // umoci takes a layout with one image only.
        let (from, one) = (format!("oci:{layout}:{VERSION}"), format!("oci:{to}.one:x"));
        skopeo(copy, &["--override-arch", processor, "copy", &from, &one]);
        let mut umoci = Command::new("umoci");
        umoci.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        umoci.env("HOME", copy.folder.path()).current_dir(copy.folder.path());
        let output =
            umoci.args(["unpack", "--rootless", "--image", &format!("{to}.one:x"), to]).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        copy.path(to)
    }

    /// Software that pushes, copies and unpacks images takes it, for both processors.
    pub(super) fn is_one_for_skopeo_and_for_umoci() {
        need_python();
        let copy = Copy::new();
        archives(&copy, "dist", Path::new("/bin/true"));
        let output = image(&copy, "dist", "image");
        let digest = String::from_utf8(output.stdout.clone()).unwrap();
        let named = format!("oci:image:{VERSION}");
        skopeo(&copy, &["copy", "--all", "--preserve-digests", &named, "dir:copied"]);
        assert_eq!(format!("sha256:{}\n", sha256(&copy.path("copied/manifest.json"))), digest);
        for processor in ["amd64", "arm64"] {
            let shown = skopeo(&copy, &["--override-arch", processor, "inspect", &named]);
            let shown: Value = serde_json::from_slice(&shown).unwrap();
            assert_eq!(shown["Architecture"], processor);
            assert_eq!(shown["Labels"]["org.opencontainers.image.source"], REPOSITORY);
            let bundle = unpack(&copy, "image", processor, processor);
            let config: Value =
                serde_json::from_str(&copy.read(&format!("{processor}/config.json"))).unwrap();
            assert_eq!(config["process"]["args"], serde_json::json!(["/equinix-wif"]));
            let mut names: Vec<String> = fs::read_dir(bundle.join("rootfs"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            names.sort();
            assert_eq!(names, ["equinix-wif", "licenses", "tmp"]);
        }
    }

    /// What is in the image runs as its user, with nothing around it.
    pub(super) fn holds_all_that_the_program_needs() {
        need_python();
        need("right to change root", Command::new("chroot").args(["/", "true"]), "run as root");
        let program = need_static_program();
        let copy = Copy::new();
        archives(&copy, "dist", &program);
        assert!(image(&copy, "dist", "image").status.success());
        let processor = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        std::os::unix::fs::symlink(
            unpack(&copy, "image", processor, "bundle").join("rootfs"),
            copy.path("root"),
        )
        .unwrap();
        let chroot = "chroot --userspec=65532:65532 \"$ROOT\" /equinix-wif";
        let in_job = |script: &str, arguments: &[String]| {
            let mut command = copy.command("bin/equinix-wif");
            command
                .args(["sandbox", "--platform", "gitlab", "--", "sh", "-ec", script, "sh"])
                .args(arguments);
            command.env("ROOT", copy.path("root")).output().unwrap()
        };
        copy.program("equinix-wif", &format!("exec '{BIN}' \"$@\""));
        let output = in_job(&format!("{chroot} --version; exec {chroot} token --format json"), &[]);
        assert!(output.status.success(), "{}", told(&output));
        let stdout = String::from_utf8(output.stdout).unwrap();
        let (version, token) = stdout.split_once('\n').unwrap();
        assert_eq!(version, format!("equinix-wif {}", env!("CARGO_PKG_VERSION")));
        let token: Value = serde_json::from_str(token).unwrap();
        assert_eq!(token["token_type"], "Bearer");

        // The arguments of the documentation's pod, with its two volumes.
        let page = fs::read_to_string(source().join("docs/install.md")).unwrap();
        let (_, pod) = page.split_once("\n      args:\n").expect("the pod's arguments");
        let arguments: Vec<String> =
            pod.lines().map_while(|line| line.strip_prefix("        - ")).map(ToOwned::to_owned).collect();
        assert!(arguments.len() > 4, "{arguments:?}");
        let script = format!(
            "mkdir \"$ROOT/identity\" \"$ROOT/credentials\"; chown 65532 \"$ROOT/credentials\"\n\
             printf %s \"$EQUINIX_WIF_SUBJECT_TOKEN\" >\"$ROOT/identity/token\"\n\
             for argument; do shift\n\
             case $argument in --audience=*) argument=--audience=$EQUINIX_WIF_AUDIENCE ;; --scope=*) argument=--scope=$EQUINIX_TOKEN_EXCHANGE_SCOPE ;; esac\n\
             set -- \"$@\" \"$argument\"; done\n\
             exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin EQUINIX_STS_ENDPOINT=\"$EQUINIX_STS_ENDPOINT\" {}",
            chroot.replace("$ROOT", copy.path("root").to_str().unwrap())
        );
        let output = in_job(&format!("{script} \"$@\""), &arguments);
        assert!(output.status.success() && output.stdout.is_empty(), "{}", told(&output));
        let file = copy.path("root/credentials/token");
        assert!(fs::read_to_string(&file).unwrap().trim().len() > 20);
        let about = fs::metadata(file).unwrap();
        assert_eq!((about.uid(), about.permissions().mode() & 0o777), (65532, 0o600));
    }
}

/// GitHub behind `gh`: a release is a folder, `draft` stands in it while it is one, and every call is noted.
mod server {
    use super::*;

    const TAG: &str = "v7.8.9";

    const GH: &str = r#"
        echo "$*" >>"$COPY/calls"
        release=$COPY/server
        case "$1 $2" in
          "release view")
            [ -d "$release" ] || exit 1
            case $5 in
              isDraft) if [ -e "$release.draft" ]; then echo true; else echo false; fi ;;
              *) (cd "$release" && sha256sum -- *) | sed 's/^/sha256:/' | while read -r digest name; do echo "${digest#sha256:}  $name"; done ;;
            esac ;;
          "release delete") rm -r "$release" "$release.draft" ;;
          "release create")
            [ ! -e "$release" ] || exit 1
            mkdir "$release"
            touch "$release.draft"
            while [ $# -gt 0 ]; do case $1 in --*) ;; */dist/*|dist/*) cp "$1" "$release/" ;; esac; shift; done
            if [ -n "${CORRUPT:-}" ]; then printf x >>"$release/SHA256SUMS"; fi ;;
          "release edit") rm "$release.draft" ;;
          *) exit 9 ;;
        esac"#;

    fn copy() -> Copy {
        let copy = Copy::new();
        for target in TARGETS {
            copy.write(&format!("dist/{}", archive(target)), target);
        }
        for target in TARGETS.iter().filter(|target| !target.contains("windows")) {
            copy.write(&format!("dist/equinix-wif-serve-{VERSION}-{target}.tar.gz"), target);
        }
        for program in ["equinix-wif", "equinix-wif-serve"] {
            copy.write(&format!("dist/{program}-{VERSION}.cdx.json"), program);
        }
        sum_up(&copy, "dist");
        copy.program("gh", GH);
        copy
    }

    fn sum_up(copy: &Copy, folder: &str) {
        let script = format!("cd {folder} && sha256sum *.tar.gz *.cdx.json >SHA256SUMS");
        assert!(
            Command::new("sh")
                .current_dir(copy.folder.path())
                .args(["-c", &script])
                .status()
                .unwrap()
                .success()
        );
    }

    fn publish(copy: &Copy) -> Output {
        let mut command = copy.command(".ci/publish-release");
        command.args([TAG, "dist"]).env("GITHUB_REPOSITORY", "octo-org/equinix-wif");
        command.envs(copy.path("corrupt").exists().then_some(("CORRUPT", "1")));
        command.output().unwrap()
    }

    fn calls(copy: &Copy) -> Vec<String> {
        let text = fs::read_to_string(copy.path("calls")).unwrap_or_default();
        text.lines().map(|line| line.split(' ').take(2).collect::<Vec<_>>().join(" ")).collect()
    }

    pub(super) fn a_release_is_published_whole_and_once() {
        need_python();
        let copy = copy();
        let output = publish(&copy);
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(
            calls(&copy),
            ["release view", "release create", "release view", "release edit"],
            "the files are looked at before it is published"
        );
        assert!(copy.read("calls").contains("--draft --verify-tag") && !copy.path("server.draft").exists());
        assert_eq!(fs::read_dir(copy.path("server")).unwrap().count(), 12);
        // Again: it is left alone.
        fs::remove_file(copy.path("calls")).unwrap();
        let output = publish(&copy);
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(calls(&copy), ["release view", "release view"]);
        // And with other files it is an error, and left alone too.
        copy.write("server/SHA256SUMS", "other\n");
        let output = publish(&copy);
        assert!(!output.status.success() && told(&output).contains("has other files"), "{}", told(&output));
        assert!(!calls(&copy).iter().any(|call| call == "release edit" || call == "release delete"));
    }

    pub(super) fn a_draft_is_made_anew() {
        need_python();
        let copy = copy();
        copy.write("server/half", "x");
        copy.write("server.draft", "");
        let output = publish(&copy);
        assert!(output.status.success(), "{}", told(&output));
        assert_eq!(calls(&copy)[..3], ["release view", "release delete", "release create"]);
        assert!(!copy.path("server/half").exists() && !copy.path("server.draft").exists());
    }

    pub(super) fn what_the_server_has_otherwise_is_not_published() {
        need_python();
        let copy = copy();
        copy.write("corrupt", "");
        let output = publish(&copy);
        assert!(!output.status.success() && told(&output).contains("has other files"), "{}", told(&output));
        assert!(copy.path("server.draft").exists() && !calls(&copy).contains(&"release edit".to_owned()));
    }

    /// A server whose answers can be bent: a download of `dist`, and attestations for what is in it.
    const VERIFYING: &str = r#"
        echo "$*" >>"$COPY/calls"
        case "$1 $2" in
          "release verify") exit 0 ;;
          "release download") cp "$COPY"/dist/* "$5/" ;;
          "release verify-asset"|"attestation verify")
            [ -z "${CREDULOUS:-}" ] || exit 0
            file=$3
            [ "$1" = attestation ] || file=$4
            case "$*" in *ci.yml*) exit 1 ;; esac
            (cd "$COPY/dist" && sha256sum -- *) | grep -q "^$(sha256sum "$file" | cut -c 1-64) " ;;
          *) exit 9 ;;
        esac"#;

    fn verify(copy: &Copy, credulous: bool) -> Output {
        copy.program("gh", VERIFYING);
        let mut command = copy.command(".ci/verify-release");
        command.args([TAG, "released"]).env("GITHUB_REPOSITORY", "octo-org/equinix-wif");
        command.envs(credulous.then_some(("CREDULOUS", "1"))).output().unwrap()
    }

    pub(super) fn a_published_release_is_verified_and_so_is_the_verification() {
        let honest = copy();
        let output = verify(&honest, false);
        assert!(output.status.success(), "{}", told(&output));
        let calls = honest.read("calls");
        for file in fs::read_dir(honest.path("dist")).unwrap().map(|entry| entry.unwrap().file_name()) {
            let name = file.to_str().unwrap();
            assert!(calls.contains(&format!("release verify-asset {TAG} {name}")), "{name}: {calls}");
            let attested = calls.contains(&format!(
                "attestation verify {name} --repo octo-org/equinix-wif --deny-self-hosted-runners --source-ref \
                 refs/tags/{TAG} --signer-workflow octo-org/equinix-wif/.github/workflows/release.yml"
            ));
            assert!(attested || name == "SHA256SUMS", "{name}: {calls}");
        }
        let bills = "--deny-self-hosted-runners --source-ref refs/tags/v7.8.9 --signer-workflow \
                     octo-org/equinix-wif/.github/workflows/release.yml --predicate-type https://cyclonedx.org/bom\n";
        assert_eq!(calls.matches(bills).count(), 2, "one for each program: {calls}");
        // A verification that says yes to everything is no verification.
        let output = verify(&copy(), true);
        assert!(!output.status.success() && told(&output).contains("was accepted"), "{}", told(&output));
        // A file more, a file less, a byte more.
        let more = copy();
        more.write("dist/more", "x");
        assert!(told(&verify(&more, false)).contains("more is not in SHA256SUMS"));
        let less = copy();
        fs::remove_file(less.path(&format!("dist/{}", archive(TARGETS[0])))).unwrap();
        assert!(!verify(&less, false).status.success());
        let changed = copy();
        changed.write(&format!("dist/{}", archive(TARGETS[0])), "changed");
        let output = verify(&changed, false);
        assert!(!output.status.success() && told(&output).contains("FAILED"), "{}", told(&output));
    }

    pub(super) fn digests_are_proposed_as_a_commit_that_the_server_makes() {
        need_python();
        need("jq", Command::new("jq").arg("--version"), INSTALL);
        let copy = Copy::new();
        copy.program("gh", "echo \"$*\" >>\"$COPY/calls\"; case \"$1 $2\" in 'api graphql') cat >\"$COPY/request\" ;; 'pr create') cat >\"$COPY/text\" ;; esac");
        let git = |arguments: &[&str]| {
            let mut git = Command::new("git");
            git.current_dir(copy.folder.path()).args([
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@example.test",
            ]);
            let output = git.args(arguments).output().unwrap();
            assert!(output.status.success(), "git {arguments:?}: {}", told(&output));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        git(&["init", "--quiet", "--initial-branch=main"]);
        git(&["add", "."]);
        git(&["commit", "--quiet", "--message", "x"]);
        let propose = || {
            let mut command = copy.command(".ci/propose-digests");
            command.args([VERSION, "main"]).env("GITHUB_REPOSITORY", "octo-org/equinix-wif").output().unwrap()
        };
        let output = propose();
        assert!(
            !output.status.success() && told(&output).contains("stand in main already"),
            "{}",
            told(&output)
        );
        assert!(!copy.path("calls").exists());
        copy.succeeds(".ci/write-digests", &[VERSION, "SUMS", REPOSITORY]);
        let output = propose();
        assert!(output.status.success(), "{}", told(&output));
        let head = git(&["rev-parse", "HEAD"]);
        let calls = copy.read("calls");
        let made =
            format!("repos/octo-org/equinix-wif/git/refs -f ref=refs/heads/release/v{VERSION} -f sha={head}");
        assert!(calls.contains(&made), "{calls}");
        assert!(calls.contains(&format!("--base main --head release/v{VERSION}")), "{calls}");
        assert!(copy.read("text").contains(&head));
        let request: Value = serde_json::from_str(&copy.read("request")).unwrap();
        let input = &request["variables"]["input"];
        assert_eq!(input["expectedHeadOid"], head.as_str());
        assert_eq!(input["branch"]["branchName"], format!("release/v{VERSION}"));
        let additions = input["fileChanges"]["additions"].as_array().unwrap();
        let paths: Vec<&str> = additions.iter().map(|file| file["path"].as_str().unwrap()).collect();
        assert_eq!(paths, ["action.yml", "templates/token.yml"]);
        for file in additions {
            let mut decode = Command::new("base64");
            decode.arg("--decode").stdin(Stdio::piped()).stdout(Stdio::piped());
            let mut child = decode.spawn().unwrap();
            std::io::Write::write_all(
                &mut child.stdin.take().unwrap(),
                file["contents"].as_str().unwrap().as_bytes(),
            )
            .unwrap();
            let content = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
            assert_eq!(content, copy.read(file["path"].as_str().unwrap()));
        }
    }
}
