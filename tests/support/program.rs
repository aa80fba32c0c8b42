//! The program by itself, without a job around it, and how to run what stands in the pages.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

pub const BIN: &str = env!("CARGO_BIN_EXE_equinix-wif");

/// The program, with nothing of this machine's jobs and settings around it.
pub fn program() -> Command {
    let mut command = Command::new(BIN);
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "TMPDIR", "SYSTEMROOT"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// Runs a shell's lines in a job of the sandbox.
pub fn in_sandbox(arguments: &[&str], shell: &[&str], lines: &str) -> Output {
    program().arg("sandbox").args(arguments).arg("--").args(shell).arg(lines).output().unwrap()
}

pub fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Gives a text to a program's standard input.
pub fn feed(command: &mut Command, text: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
