//! The examples for the local service, judged by the software that would take them: systemd its unit, Kubernetes' schemas its
//! pod. That the service takes the arguments in them is a unit test of its own.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::pages::{page, root};
use crate::support::program::{feed, told};
use crate::tools::{INSTALL, need};
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        the_unit_is_one_for_systemd,
        the_unit_has_few_rights,
        the_pod_is_one_for_kubernetes,
        the_pod_gives_the_identity_to_the_sidecar_alone
    ]
}

const UNIT: &str = "docs/examples/systemd/equinix-wif-serve.service";
const POD: &str = "docs/examples/kubernetes/sidecar.yaml";

/// Has systemd judge a unit. Nothing of it is started, and no systemd has to run.
fn analyze(unit: &str, arguments: &[&str]) -> Output {
    need("systemd-analyze", Command::new("systemd-analyze").arg("--version"), INSTALL);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("equinix-wif-serve.service");
    // It looks whether the program is there.
    fs::write(&path, unit.replace("/usr/local/bin/equinix-wif-serve", "/bin/true")).unwrap();
    Command::new("systemd-analyze").args(arguments).arg(&path).output().unwrap()
}

fn the_unit_is_one_for_systemd() {
    let unit = page(UNIT);
    let verify = |unit: &str| analyze(unit, &["verify", "--man=no"]);
    let output = verify(&unit);
    assert!(output.status.success() && output.stderr.is_empty(), "{}", told(&output));
    // It would have found something.
    for (right, wrong) in [
        ("ProtectSystem=strict", "ProtectSystem=strictly"),
        ("NoNewPrivileges=", "NoMorePrivileges="),
        ("ExecStart=", "ExecStart=/nowhere"),
    ] {
        assert!(unit.contains(right), "{right}");
        let output = verify(&unit.replacen(right, wrong, 1));
        assert!(!output.stderr.is_empty(), "{wrong}: {}", told(&output));
    }
}

/// The exposure that systemd sees, in tenths: what is left is the network, which a service for tokens needs.
fn the_unit_has_few_rights() {
    let security = |unit: &str| {
        analyze(unit, &["security", "--offline=true", "--no-pager", "--threshold=15"]).status.success()
    };
    let unit = page(UNIT);
    assert!(security(&unit));
    for line in ["DynamicUser=yes\n", "CapabilityBoundingSet=\n", "RestrictNamespaces=yes\n"] {
        assert!(unit.contains(line), "{line}");
        assert!(!security(&unit.replacen(line, "", 1)), "{line}");
    }
}

/// Validates a document with the schemas of Kubernetes that the package brings along.
fn validate(text: &str) -> Output {
    let program = root().join("tests/foreign/workflows/.venv/bin/kubernetes-validate");
    need("kubernetes-validate", Command::new(&program).arg("--version"), INSTALL);
    let folder = tempfile::tempdir().unwrap();
    let path: PathBuf = folder.path().join("pod.yaml");
    fs::write(&path, text).unwrap();
    Command::new(program).args(["--strict", "--kubernetes-version", "1.29"]).arg(path).output().unwrap()
}

fn the_pod_is_one_for_kubernetes() {
    let pod = page(POD);
    let output = validate(&pod);
    assert!(output.status.success(), "{}", told(&output));
    for (right, wrong) in [
        ("restartPolicy: Always", "restartPolicies: Always"),
        ("periodSeconds: 2", "periodSeconds: two"),
        ("serviceAccountToken:", "serviceAccountTokens:"),
    ] {
        assert!(pod.contains(right), "{right}");
        let output = validate(&pod.replacen(right, wrong, 1));
        assert!(!output.status.success(), "{wrong}: {}", told(&output));
    }
}

fn the_pod_gives_the_identity_to_the_sidecar_alone() {
    need("Python package yaml", Command::new("python3").args(["-c", "import yaml"]), INSTALL);
    let load = "import json, sys, yaml; json.dump(yaml.safe_load(sys.stdin), sys.stdout)";
    let output = feed(Command::new("python3").args(["-c", load]), &page(POD));
    let pod: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    let spec = &pod["spec"];
    let (sidecar, program) = (&spec["initContainers"][0], &spec["containers"][0]);
    let mounts = |container: &Value| -> Vec<String> {
        let mounts = container["volumeMounts"].as_array().unwrap().iter();
        mounts.map(|mount| mount["name"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (mounts(sidecar), mounts(program)),
        (vec!["bearer".into(), "identity".into()], vec!["bearer".into()])
    );
    assert_eq!(spec["automountServiceAccountToken"], false, "the default token is for the cluster");
    assert_eq!(sidecar["restartPolicy"], "Always", "what makes it a sidecar");
    assert!(spec["securityContext"]["runAsUser"].as_u64().unwrap() > 0, "one user, who may read the bearer");
    for container in [sidecar, program] {
        assert!(container["securityContext"]["runAsUser"].is_null());
    }
    let volume = |name: &str| {
        spec["volumes"].as_array().unwrap().iter().find(|volume| volume["name"] == name).unwrap().clone()
    };
    assert_eq!(volume("bearer")["emptyDir"]["medium"], "Memory");
    // The paths lead to one another, and the token is for the audience that is asked for.
    let arguments: Vec<&str> =
        sidecar["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    let value = |flag: &str| arguments[arguments.iter().position(|arg| *arg == flag).unwrap() + 1];
    let token = &volume("identity")["projected"]["sources"][0]["serviceAccountToken"];
    assert_eq!(token["audience"], value("--audience"));
    let at = sidecar["volumeMounts"][1]["mountPath"].as_str().unwrap();
    assert_eq!(value("--subject-token-file"), format!("{at}/{}", token["path"].as_str().unwrap()));
    assert!(value("--bearer-file").starts_with(sidecar["volumeMounts"][0]["mountPath"].as_str().unwrap()));
    assert!(program["args"][0].as_str().unwrap().contains(value("--bearer-file")));
    assert_eq!(
        sidecar["startupProbe"]["exec"]["command"],
        serde_json::json!(["equinix-wif-serve", "--probe"])
    );
}
