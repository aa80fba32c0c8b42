//! Stand-ins of the actions that the workflows use.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::{sha256, told};
use super::Job;

impl Job<'_> {
    /// Does what an action does, as far as the workflows count on it.
    pub(super) fn action(&self, name: &str, step: &Value) -> Value {
        let with = |input: &str| step["with"].get(input).map(|value| self.context.filled(value));
        match name {
            "actions/checkout" => {
                let name = self.context.0["github"]["ref_name"].as_str().unwrap();
                // Without all branches and tags unless the step asks for them.
                let all = with("fetch-depth").is_some_and(|depth| depth == "0");
                let script = "git clone --quiet --shared --no-checkout \"$1\" .; git checkout --quiet --detach \"$2\"; $3 || git remote remove origin";
                let (origin, commit) =
                    (self.rehearsal.path("origin"), self.rehearsal.git(&["rev-parse", name]));
                let mut git = self.rehearsal.command("sh", &self.work());
                git.args(["-ec", script, "sh"]).arg(origin).args([commit.trim(), &all.to_string()]);
                let output = git.output().unwrap();
                assert!(output.status.success(), "{}", told(&output));
            }
            "actions/upload-artifact" => {
                let to = self.artifacts.join(with("name").unwrap());
                fs::create_dir_all(to.parent().unwrap()).unwrap();
                fs::create_dir(&to).expect("an artifact of another name");
                let found = self.matching(&with("path").unwrap());
                assert!(!found.is_empty(), "{step}");
                for from in found {
                    fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
                }
            }
            "actions/download-artifact" => {
                let to = self.work().join(with("path").unwrap());
                fs::create_dir_all(&to).unwrap();
                let folders = match (with("name"), with("pattern")) {
                    (Some(name), None) => vec![self.artifacts.join(name)],
                    (None, Some(pattern)) if with("merge-multiple").is_some_and(|merge| merge == "true") => {
                        let start = pattern.strip_suffix('*').unwrap().to_owned();
                        let all = fs::read_dir(&self.artifacts).unwrap().map(|entry| entry.unwrap().path());
                        all.filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&start))
                            .collect()
                    }
                    _ => panic!("the rehearsal does not know how to {step}"),
                };
                for from in folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()) {
                    let from = from.unwrap().path();
                    fs::copy(&from, to.join(from.file_name().unwrap())).unwrap();
                }
            }
            "actions/attest" => self.attest(&with),
            "rust-lang/crates-io-auth-action" => return json!({ "token": "a token for one publication" }),
            _ => panic!("the rehearsal does not know {name}"),
        }
        json!({})
    }

    /// Notes the digests of what is attested.
    fn attest(&self, with: &dyn Fn(&str) -> Option<String>) {
        let kind = match with("sbom-path") {
            Some(path) => {
                let text = fs::read(self.work().join(path)).unwrap();
                let sbom: Value = serde_json::from_slice(&text).unwrap();
                assert_eq!(sbom["bomFormat"], "CycloneDX");
                "sbom"
            }
            None => "provenance",
        };
        let digests: Vec<String> =
            match (with("subject-checksums"), with("subject-path"), with("subject-digest")) {
                (Some(path), None, None) => {
                    let text = fs::read_to_string(self.work().join(path)).unwrap();
                    text.lines().map(|line| line.split(' ').next().unwrap().to_owned()).collect()
                }
                (None, Some(path), None) => self.matching(&path).iter().map(|path| sha256(path)).collect(),
                (None, None, Some(digest)) => {
                    assert!(with("subject-name").unwrap().starts_with("registry.example/octo-org/"));
                    vec![digest.strip_prefix("sha256:").unwrap().to_owned()]
                }
                _ => panic!("the subject of an attestation"),
            };
        assert!(!digests.is_empty());
        let mut attested = fs::OpenOptions::new();
        let mut attested = attested.create(true).append(true).open(self.rehearsal.path("attested")).unwrap();
        for digest in digests {
            writeln!(attested, "{digest} {kind}").unwrap();
        }
    }

    /// The files of a folder, or those whose names fit the one star of a pattern.
    fn matching(&self, pattern: &str) -> Vec<PathBuf> {
        let path = self.work().join(pattern);
        let (folder, name) = if pattern.contains('*') {
            (path.parent().unwrap().to_owned(), path.file_name().unwrap().to_str().unwrap().to_owned())
        } else {
            (path, "*".to_owned())
        };
        let (start, end) = name.split_once('*').unwrap();
        let fits = |path: &PathBuf| {
            let name = path.file_name().unwrap().to_str().unwrap();
            name.starts_with(start) && name.ends_with(end)
        };
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).filter(fits).collect()
    }
}
