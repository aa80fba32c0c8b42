//! What docs/security-review.md tells a reviewer to look at is what comes out: its recipe is run as it stands there, and
//! what `strace` saw is held against what the page says.

#![cfg(all(target_os = "linux", feature = "sandbox"))]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tools::{INSTALL, need};
use crate::world::World;
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        a_job_on_gitlab_makes_one_connection_and_one_file,
        a_job_on_github_makes_two_and_masks_before_it_sends,
        a_command_under_exec_costs_no_file,
        inspect_and_help_send_nothing
    ]
}

/// The page's recipe.
fn recipe() -> String {
    let page =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security-review.md")).unwrap();
    let mut blocks = page.split("```sh\n").skip(1).filter_map(|rest| rest.split("\n```").next());
    blocks.find(|block| block.contains("strace -f")).expect("the page has the recipe").to_owned()
}

/// What the program asked the kernel for.
struct Trace {
    lines: Vec<String>,
    /// Where the servers are.
    ports: Vec<String>,
    world: World,
}

impl Trace {
    /// Runs the recipe, or the same with another platform and command.
    fn of(platform: &str, command: &str) -> Self {
        let mut strace = Command::new("strace");
        need("strace", strace.args(["-qq", "-o", "/dev/null", "true"]), INSTALL);
        let world = World::new();
        // What a program could take for its settings.
        for name in [
            ".env",
            "equinix-wif.toml",
            ".equinix-wif",
            ".config/equinix-wif/config.toml",
            ".netrc",
            ".curlrc",
        ] {
            world.write(name, "EQUINIX_STS_ENDPOINT=https://elsewhere.example\n");
        }
        let recipe = recipe();
        let line = recipe.lines().find(|line| line.contains("strace -f")).unwrap();
        assert!(line.contains("--platform gitlab") && line.ends_with("equinix-wif token"), "{line}");
        // Inside of the sandbox the ports are known; standard error has to reach somebody.
        let inner = format!(
            "echo \"${{GITHUB_SERVER_URL:-}} ${{CI_SERVER_URL:-}} $EQUINIX_STS_ENDPOINT\" >ports; exec {}",
            line.split_once(" -- ").unwrap().1.replace("equinix-wif token", command)
        );
        // The text of what is written is needed here, for its order.
        // So are the folders that descriptors stand for.
        let inner =
            inner.replace("strace -f", "strace -f -y -s 4096").replace("trace=", "trace=write,process,");
        world.write_script("run.sh", &inner);
        let run = world.run(platform, &[], "sh run.sh 2>&1 | cat");
        run.ends_with(0);
        let read = |name: &str| fs::read_to_string(world.path(name)).unwrap();
        let ports =
            read("ports").split_whitespace().map(|url| url.rsplit(':').next().unwrap().to_owned()).collect();
        Self { lines: read("trace.txt").lines().map(ToOwned::to_owned).collect(), ports, world }
    }

    /// The calls of this name, each without the process's number.
    fn calls(&self, name: &str) -> Vec<&str> {
        let start = format!("{name}(");
        self.lines
            .iter()
            .filter_map(|line| line.split_once(' ').map(|(_, call)| call.trim_start()))
            .filter(|call| call.starts_with(&start))
            .collect()
    }

    /// The first line with this.
    #[track_caller]
    fn line_of(&self, text: &str) -> usize {
        let line = self.lines.iter().position(|line| line.contains(text));
        line.unwrap_or_else(|| panic!("no call has {text}:\n{}", self.lines.join("\n")))
    }

    /// The paths that calls name, alone or in a folder that they hold.
    fn paths(&self) -> BTreeSet<PathBuf> {
        let calls = [
            "open",
            "openat",
            "access",
            "stat",
            "newfstatat",
            "statx",
            "readlink",
            "readlinkat",
            "linkat",
            "rename",
            "renameat",
            "renameat2",
            "unlink",
            "unlinkat",
        ];
        let calls = calls.into_iter().flat_map(|name| self.calls(name));
        let paths = calls.filter_map(|call| {
            let (arguments, path) = (call.split_once('(')?.1, call.split('"').nth(1)?);
            let held = |folder: &str| Some(folder.split_once('<')?.1.split_once('>')?.0.to_owned());
            let folder = held(arguments).filter(|_| arguments.starts_with(|c: char| c.is_ascii_digit()));
            (!path.is_empty()).then(|| Path::new(&folder.unwrap_or_default()).join(path))
        });
        paths.collect()
    }

    fn opened_to_write(&self) -> Vec<&str> {
        let opened = self.calls("openat").into_iter();
        opened.filter(|call| call.contains("O_WRONLY") || call.contains("O_RDWR")).collect()
    }

    /// Connections to these servers only, over TCP, with nothing else in between, and no program but this one.
    #[track_caller]
    fn reaches(&self, ports: &[&str]) {
        let connected: Vec<&str> = self.calls("connect");
        assert_eq!(connected.len(), ports.len(), "{connected:?}");
        for port in ports {
            let there = format!("sin_port=htons({port}), sin_addr=inet_addr(\"127.0.0.1\")");
            assert!(connected.iter().any(|call| call.contains(&there)), "{there}: {connected:?}");
        }
        for call in self.calls("socket") {
            assert!(call.contains("AF_INET, SOCK_STREAM"), "{call}");
        }
        for name in ["bind", "listen", "accept4", "sendmmsg", "sendmsg", "fork", "vfork"] {
            assert!(self.calls(name).is_empty(), "{name}");
        }
        for name in ["clone", "clone3"] {
            assert!(self.calls(name).iter().all(|call| call.contains("CLONE_THREAD")), "{name}");
        }
    }

    /// Nothing below the working directory, which is the home folder too.
    #[track_caller]
    fn looks_at_nothing_here(&self) {
        let here = self.world.path("");
        for path in self.paths() {
            assert!(path.is_absolute() && !path.starts_with(&here), "{}", path.display());
        }
    }

    /// Outside of the sandbox's job only what the loader and the kernel have.
    #[track_caller]
    fn reads_no_settings(&self) {
        self.looks_at_nothing_here();
        let paths = self.paths();
        let paths: Vec<String> =
            paths.into_iter().map(|path| path.into_os_string().into_string().unwrap()).collect();
        assert!(paths.iter().any(|path| path.contains("equinix-wif-sandbox-")), "{paths:?}");
        for path in paths {
            let known =
                ["/etc/ld.so.", "/lib", "/usr/lib", "/proc/self/", "/tmp/equinix-wif-sandbox-", "/dev/null"];
            let is_on_the_way = ["/", "/tmp"].contains(&path.as_str());
            assert!(is_on_the_way || known.iter().any(|known| path.starts_with(known)), "{path}");
        }
    }
}

fn a_job_on_gitlab_makes_one_connection_and_one_file() {
    let trace = Trace::of("gitlab", "equinix-wif token");
    let [_, sts] = trace.ports.as_slice() else { panic!("{:?}", trace.ports) };
    trace.reaches(&[sts]);
    trace.reads_no_settings();
    assert_eq!(trace.calls("execve").len(), 1);
    let [opened] = trace.opened_to_write()[..] else { panic!("{:?}", trace.opened_to_write()) };
    for part in ["octo-project.tmp>, \".\", O_WRONLY|", "O_CLOEXEC|O_TMPFILE, 0600)"] {
        assert!(opened.contains(part), "{opened}");
    }
    // It is opened before the exchange, and has no name until it is whole.
    assert!(trace.line_of("O_TMPFILE") < trace.line_of("POST /use/token"));
    assert!(trace.line_of("export EQUINIX_API_TOKEN=") < trace.line_of("linkat("));
}

fn a_job_on_github_makes_two_and_masks_before_it_sends() {
    let trace = Trace::of("github", "equinix-wif token");
    let [issuer, sts] = trace.ports.as_slice() else { panic!("{:?}", trace.ports) };
    trace.reaches(&[issuer, sts]);
    trace.reads_no_settings();
    assert_eq!(trace.calls("execve").len(), 1);
    let [opened] = trace.opened_to_write()[..] else { panic!("{:?}", trace.opened_to_write()) };
    assert!(opened.contains("set_output_sandbox") && !opened.contains("O_CREAT"), "{opened}");
    // Nothing that takes the file's place meanwhile is followed or waited for.
    for flag in ["O_APPEND", "O_NOFOLLOW", "O_NONBLOCK"] {
        assert!(opened.contains(flag), "{opened}");
    }
    let order = ["set_output_sandbox\", O_RDWR", "::add-mask::eyJ", "POST /use/token", "access-token<<"];
    let lines: Vec<usize> = order.iter().map(|text| trace.line_of(text)).collect();
    assert!(lines.is_sorted(), "{lines:?}");
    let masks = trace.lines.iter().enumerate().filter(|(_, line)| line.contains("::add-mask::"));
    let masks: Vec<usize> = masks.map(|(number, _)| number).collect();
    assert!(masks.len() == 2 && masks[1] > lines[2] && masks[1] < lines[3], "{masks:?} {lines:?}");
}

fn a_command_under_exec_costs_no_file() {
    let trace = Trace::of("gitlab", "equinix-wif exec -- true");
    let [_, sts] = trace.ports.as_slice() else { panic!("{:?}", trace.ports) };
    trace.reaches(&[sts]);
    assert!(trace.opened_to_write().is_empty(), "{:?}", trace.opened_to_write());
    trace.looks_at_nothing_here();
    let ran: Vec<&str> = trace.calls("execve").into_iter().filter(|call| call.ends_with(" = 0")).collect();
    assert!(ran.len() == 2 && ran[1].contains("[\"true\"]"), "{ran:?}");
    // The token is in no argument.
    assert!(!ran.join("").contains("EQUINIX_API_TOKEN") && !ran.join("").contains("eyJ"));
}

fn inspect_and_help_send_nothing() {
    let trace = Trace::of("gitlab", "equinix-wif inspect");
    trace.reaches(&[]);
    assert!(trace.opened_to_write().is_empty());
    let trace = Trace::of("gitlab", "equinix-wif explain claim-aud");
    trace.reaches(&[]);
    assert!(trace.opened_to_write().is_empty());
}
