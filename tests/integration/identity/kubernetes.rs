//! The main job in a pod: a projected token in a file, which the kubelet replaces.

#![cfg(unix)]

use crate::support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use support::job::{AUDIENCE, Job, World};
use support::ready::{claim, fails, works};
#[cfg(all(target_os = "linux", feature = "renew"))]
use support::renewing::Live;

/// A container of a pod. No variable tells the token.
static WORLD: World = World {
    token: None,
    variables: &[("KUBERNETES_SERVICE_HOST", "10.96.0.1"), ("KUBERNETES_SERVICE_PORT", "443")],
    sink: None,
    issuer: "https://oidc.cluster.example/id/4F2C",
    claims: r#"{
        "sub": "system:serviceaccount:octo-org:metal-deployer",
        "kubernetes.io": {
            "namespace": "octo-org",
            "pod": {"name": "deploy-6b7d", "uid": "936a5312-a3b8-4921-8b3f-2cec8baac574"},
            "serviceaccount": {"name": "metal-deployer", "uid": "c0ffee00-2b1d-4b8e-8f0a-8a4f5a1c9d21"}
        }
    }"#,
};

/// Puts a token into a volume as the kubelet does: `token` → `..data/token`, and `..data` → a folder with the time in its name.
fn project(volume: &Path, time: &str, token: &str) {
    prepare(volume, time, token);
    swap(volume, time);
    symlink("..data/token", volume.join("token")).unwrap();
}

/// Makes the folder of a further token, which nothing leads to yet.
fn prepare(volume: &Path, time: &str, token: &str) {
    let folder = volume.join(format!("..{time}"));
    fs::create_dir_all(&folder).unwrap();
    fs::write(folder.join("token"), token).unwrap();
}

/// Lets it take the place of the one before, in one step.
fn swap(volume: &Path, time: &str) {
    symlink(format!("..{time}"), volume.join("..data_tmp")).unwrap();
    fs::rename(volume.join("..data_tmp"), volume.join("..data")).unwrap();
}

fn volume(job: &Job) -> PathBuf {
    job.root().join("run/secrets/equinix")
}

/// The pod with a token in its volume.
fn pod(job: Job) -> Job {
    let job = claim(job, "aud", vec![AUDIENCE]);
    let (volume, token) = (volume(&job), job.mint());
    project(&volume, "2026_11_22_04_00_00.1", &token);
    job.args(["--provider", "kubernetes", "--subject-token-file"]).arg(volume.join("token"))
}

#[test]
fn a_projected_token_is_read_and_its_path_is_printed() {
    let outcome = works(pod(Job::of(&WORLD)), "kubernetes");
    assert!(outcome.printed_path().is_some(), "{}", outcome.context());
    assert_eq!(outcome.report.as_ref().unwrap()["claims"]["kubernetes.io"]["namespace"], "octo-org");
    outcome.stderr_lacks("changes from run to run");
}

#[test]
fn it_is_only_ever_chosen() {
    fails(Job::of(&WORLD), 3, "ambient-not-ci");
    fails(Job::of(&WORLD).args(["--provider", "kubernetes"]), 2, "cfg-value-invalid")
        .stderr_has("the provider kubernetes needs --subject-token-file");
}

#[test]
fn inside_a_job_of_a_system_the_system_s_identity_counts() {
    let job = Job::gitlab().env("KUBERNETES_SERVICE_HOST", "10.96.0.1").run();
    job.succeeds();
    assert_eq!(job.report.as_ref().unwrap()["provider"], "gitlab");
}

#[test]
fn what_is_wrong_with_the_token_is_told_before_anything_is_sent() {
    let base = || Job::of(&WORLD);
    fails(pod(claim(base(), "sub", 1)), 4, "id-token-malformed");
    fails(pod(claim(claim(base(), "iat", 1_699_996_400), "exp", 1_700_000_000)), 5, "claim-expired");
    let api = "https://kubernetes.default.svc.cluster.local";
    let other = || {
        let job = claim(base(), "aud", vec![api]);
        let (volume, token) = (volume(&job), job.mint());
        project(&volume, "2026_11_22_04_00_00.1", &token);
        job.args(["--provider", "kubernetes", "--subject-token-file"]).arg(volume.join("token"))
    };
    fails(other(), 5, "claim-aud").stderr_has(api);
    fails(other().without_flag("--audience"), 5, "claim-aud").stderr_has("the Kubernetes API");
    let malformed = base().file("token", "not-a-token");
    let path = malformed.root().join("token");
    fails(
        malformed.args(["--provider", "kubernetes", "--subject-token-file"]).arg(path),
        4,
        "id-token-malformed",
    );
    fails(
        base().args(["--provider", "kubernetes", "--subject-token-file", "/no/such/file"]),
        3,
        "token-file-unreadable",
    );
}

#[test]
fn the_token_for_the_cluster_s_api_is_refused() {
    let usual = "/var/run/secrets/kubernetes.io/serviceaccount/token";
    for provider in [&["--provider", "kubernetes"][..], &[]] {
        let outcome = fails(
            Job::of(&WORLD).args(provider.iter().copied()).args(["--subject-token-file", usual]),
            2,
            "cfg-value-invalid",
        );
        outcome.stderr_has("is the pod's token for the cluster's own API").stderr_has("serviceAccountToken:");
    }
    // Wherever the folder is mounted.
    let job = Job::of(&WORLD);
    let token = job.mint();
    let job = job.file("var/secrets/kubernetes.io/serviceaccount/token", token);
    let path = job.root().join("var/secrets/kubernetes.io/serviceaccount/token");
    fails(job.arg("--subject-token-file").arg(path), 2, "cfg-value-invalid");
}

/// A renewal finds the token that the kubelet has put there meanwhile.
#[cfg(all(target_os = "linux", feature = "renew"))]
#[test]
fn a_renewal_reads_the_file_again() {
    let job = pod(Job::of(&WORLD)).lives([4, 3600]);
    let (volume, newer) = (volume(&job), job.mint());
    prepare(&volume, "2026_11_22_04_08_00.2", &newer);
    let live = Live::start(job);
    live.first_token();
    swap(&volume, "2026_11_22_04_08_00.2");
    live.last_token();
    let outcome = live.ends(0);
    let sent: Vec<_> =
        outcome.sts.requests.iter().filter_map(|request| request.form_value("subject_token")).collect();
    assert_ne!(sent[0], newer);
    assert_eq!(sent.last(), Some(&newer), "the swapped file was read");
}
