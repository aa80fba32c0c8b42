//! A commit without a release, installed as the page says: by the real Cargo, from a repository beside it.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::{BIN, project, source, told};

/// The heading below which the page tells it.
const HEADING: &str = "## Before there is a release";

/// What Cargo has fetched, which goes when the check ends. With a home folder of its own Cargo would take every dependency for
/// another one, and build it anew.
struct Fetched(String);

impl Drop for Fetched {
    fn drop(&mut self) {
        let home = std::env::var_os("CARGO_HOME").map_or_else(
            || Path::new(&std::env::var_os("HOME").unwrap_or_default()).join(".cargo"),
            Into::into,
        );
        for folder in ["git/db", "git/checkouts"] {
            for entry in fs::read_dir(home.join(folder)).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with(&self.0) {
                    fs::remove_dir_all(entry.path()).ok();
                }
            }
        }
    }
}

/// The command for a machine of one's own. Cargo does all of it but the build, which takes a minute; with `EQUINIX_WIF_GATE=full` it
/// builds too, as for these tests: with the dependencies that are built already. Neither reaches the network: Cargo fetches from a
/// file, and offline it does not ask the registry whether a crate has been withdrawn.
pub(super) fn cargo_installs_it() {
    // On the file system of the folder whose files are linked here.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = |name: &str| folder.path().join(name);
    // Cargo keeps what it fetches below the repository's name.
    let repository = path(&format!("repository-{}", folder.path().file_name().unwrap().to_str().unwrap()));
    let commit = project(&repository);
    let _fetched = Fetched(repository.file_name().unwrap().to_str().unwrap().to_owned());
    let page = fs::read_to_string(source().join("docs/install.md")).unwrap();
    let (_, section) = page.split_once(&format!("\n{HEADING}\n")).expect(HEADING);
    let (_, block) = section.split_once("```sh\n").unwrap();
    let line = block.split("```").next().unwrap().trim();
    let url = format!("file://{}", repository.display());
    let line = line.replace("https://github.com/<owner>/equinix-wif", &url).replace("<commit>", &commit);
    assert!(line.starts_with("cargo install --locked ") && !line.contains('<'), "{line}");

    let is_whole = std::env::var_os("EQUINIX_WIF_GATE").is_some_and(|gate| gate == "full");
    if is_whole {
        take_what_is_built(&path("target"));
    }
    let run = |line: &str| {
        let mut sh = Command::new("sh");
        // What Cargo has set for these tests would be another surrounding to the build scripts of dependencies.
        sh.env_clear().current_dir(folder.path()).args(["-ec", line]);
        for name in ["PATH", "HOME", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "RUSTFLAGS"] {
            sh.envs(std::env::var_os(name).map(|value| (name, value)));
        }
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

/// Lets a build begin with what is built for these tests.
fn take_what_is_built(target: &Path) {
    let built = Path::new(BIN).parent().unwrap();
    let profile = built.file_name().unwrap();
    fs::create_dir_all(target.join(profile)).unwrap();
    // Cargo notes in place what it finds out of date, so these are copies; what it builds anew is another file.
    for (how, name) in [("-a", ".fingerprint"), ("-a", "build"), ("-al", "deps")] {
        let mut copy = Command::new("cp");
        copy.arg(how).arg(built.join(name)).arg(target.join(profile).join(name));
        assert!(copy.status().unwrap().success(), "{name}");
    }
}
