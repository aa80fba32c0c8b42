//! A commit without a release, installed as the page says: by the real Cargo, from a repository beside it.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use super::{cargo_home, project, source, told};

/// The heading below which the page tells it.
const HEADING: &str = "## Before there is a release";

/// The command for a machine of one's own. Cargo does all of it but the build, which takes some minutes; with
/// `EQUINIX_WIF_GATE=full` it builds too. Neither reaches the network: Cargo fetches from a file, and offline it does not ask the
/// registry whether a crate has been withdrawn. Its home folder is one for this check, with the crates of the real one.
pub(super) fn cargo_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let repository = path("repository");
    let commit = project(&repository);
    fs::create_dir(path("home")).unwrap();
    for name in ["registry", "config.toml"] {
        symlink(cargo_home().join(name), path("home").join(name)).unwrap();
    }
    let page = fs::read_to_string(source().join("docs/install.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n{HEADING}\n")).expect(HEADING);
    let (_, block) = section.split_once("```sh\n").unwrap();
    let line = block.split("```").next().unwrap().trim();
    let url = format!("file://{}", repository.display());
    let line = line.replace("https://github.com/<owner>/equinix-wif", &url).replace("<commit>", &commit);
    assert!(line.starts_with("cargo install --locked ") && !line.contains('<'), "{line}");

    let is_whole = std::env::var_os("EQUINIX_WIF_GATE").is_some_and(|gate| gate == "full");
    let run = |line: &str| {
        let mut sh = Command::new("sh");
        // What Cargo has set for these tests would be another surrounding to the build scripts of dependencies.
        sh.env_clear().current_dir(folder.path()).args(["-ec", line]);
        for name in ["PATH", "HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
            sh.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        sh.env("CARGO_HOME", path("home"));
        // Nobody looks into this build.
        sh.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
        sh.env("CARGO_TARGET_DIR", path("target")).env("CARGO_INSTALL_ROOT", path("root"));
        // Nothing answers at the port for what is thrown away.
        sh.env("HTTPS_PROXY", "http://127.0.0.1:9").env("CARGO_NET_RETRY", "0").output().unwrap()
    };
    let fetched = run(&format!("{line}-of-another-name"));
    assert!(told(&fetched).contains("could not find `equinix-wif-of-another-name`"), "{}", told(&fetched));
    if is_whole {
        let output = run(&format!("{line} --debug --offline"));
        assert!(output.status.success(), "{}", told(&output));
        let says = Command::new(path("root/bin/equinix-wif")).arg("--version").output().unwrap();
        let version = format!("equinix-wif {}\n", env!("CARGO_PKG_VERSION"));
        assert_eq!(String::from_utf8_lossy(&says.stdout), version);
        assert!(!path("root/bin/equinix-wif-serve").exists());
        return;
    }
    // Cargo's own dry run is not stable yet.
    let line =
        line.replacen("cargo install", "RUSTC_BOOTSTRAP=1 cargo -Zunstable-options install --dry-run", 1);
    let output = run(&format!("{line} --offline"));
    assert!(output.status.success(), "{}", told(&output));
    let said = told(&output);
    let placed: Vec<&str> = said.lines().filter(|line| line.contains("root/bin/")).collect();
    let [placed] = placed[..] else { panic!("{said}") };
    assert!(
        placed.trim_start().starts_with("Installing ") && placed.ends_with("/root/bin/equinix-wif"),
        "{said}"
    );
}
