//! Looking for a program before anything is requested for it: what the system would say only when it is started, and what
//! was probably meant by one that is not there.

use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::env::is_variable_name;
use crate::error::{Code, Error};
use crate::text::quote;

use super::{not_executable, not_found};

/// Looks for a program as the system will, so that nothing is requested for one that is not there or cannot be run. Whether
/// it really runs is known only when it is started. Returns its path.
pub(crate) fn find(program: &OsStr, path: Option<&OsStr>) -> Result<PathBuf, Error> {
    // What execvp(3) of glibc does without PATH.
    const DEFAULT_PATH: &str = "/bin:/usr/bin";
    let is_executable =
        |file: &Path| file.is_file() && rustix::fs::access(file, rustix::fs::Access::EXEC_OK).is_ok();
    let folders: Vec<_> = if program.to_string_lossy().contains('/') {
        vec![Path::new("").to_owned()]
    } else {
        std::env::split_paths(path.unwrap_or(OsStr::new(DEFAULT_PATH))).collect()
    };
    // An empty entry is the working directory, and joining leaves it at that.
    let files: Vec<_> =
        folders.iter().map(|folder| folder.join(program)).filter(|file| file.exists()).collect();
    let Some(first) = files.first().filter(|_| !program.is_empty()) else {
        let error = not_found(program);
        return Err(match meant(&program.to_string_lossy()) {
            Some(cure) => error.with_cure(cure),
            None => error,
        });
    };
    match files.iter().find(|file| is_executable(file)) {
        Some(file) => check_first_line(program, file).map(|()| file.clone()),
        None if first.is_dir() => Err(not_executable(program, "it is a folder")),
        None => Err(not_executable(program, "it is not executable")),
    }
}

/// Makes sure that a script says who runs it. A C library may give one without such a line to the shell, or not; what is no
/// text is left to the system, which may know more formats than one.
fn check_first_line(program: &OsStr, file: &Path) -> Result<(), Error> {
    // As much as Linux reads.
    const LIMIT: u64 = 256;
    let mut start = Vec::new();
    let read = File::open(file).and_then(|file| file.take(LIMIT).read_to_end(&mut start));
    // A program may be executable and not readable.
    if read.is_err() || start.contains(&0) || start.starts_with(b"\x7fELF") {
        return Ok(());
    }
    let line = start.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let shown = quote(&program.to_string_lossy());
    let Some(interpreter) = line.strip_prefix(b"#!") else {
        // Programs of other systems and formats are no text.
        if std::str::from_utf8(line).is_err() {
            return Ok(());
        }
        let cure = format!(
            "Begin the script with a line such as #!/bin/sh, or name the shell: equinix-wif exec -- sh {}.",
            program.to_string_lossy()
        );
        return Err(not_executable(program, "it is a text whose first line names no interpreter (#!)")
            .with_cure(cure));
    };
    if line.ends_with(b"\r") {
        let message = format!("the first line of the command {shown} ends with a carriage return");
        return Err(Error::new(Code::CmdNotFound, message)
            .with_cure("Save the script with the line ends of Unix (LF), e.g. with dos2unix, and keep git from changing them: `*.sh text eol=lf` in .gitattributes."));
    }
    let interpreter = String::from_utf8_lossy(interpreter);
    let interpreter = interpreter.trim_matches([' ', '\t']).split([' ', '\t']).next().unwrap_or_default();
    if interpreter.is_empty() || Path::new(interpreter).exists() {
        return Ok(());
    }
    let message = format!("the interpreter of the command {shown} was not found");
    Err(Error::new(Code::CmdNotFound, message).with_detail("interpreter", quote(interpreter)))
}

/// Returns what was probably meant by a program that is not there. No shell reads the command.
fn meant(program: &str) -> Option<String> {
    // Those that change the shell itself, and those of its grammar.
    const OF_A_SHELL: [&str; 24] = [
        ".", ":", "[[", "alias", "cd", "declare", "eval", "exec", "exit", "export", "for", "if", "local",
        "popd", "pushd", "read", "set", "shift", "source", "time", "trap", "ulimit", "unset", "while",
    ];
    let in_a_shell = "equinix-wif exec -- sh -c '…'";
    if OF_A_SHELL.contains(&program) {
        return Some(format!("{program} is a part of the shell, not a program: {in_a_shell} runs a shell."));
    }
    let assigned = program.split_once('=').is_some_and(|(name, _)| is_variable_name(name));
    if assigned {
        return Some("No shell reads the command, so an assignment is none: put env before it, as in equinix-wif exec -- env NAME=value COMMAND.".to_owned());
    }
    if program.starts_with(['~', '$']) {
        return Some("No shell reads the command, so nothing in it is expanded: leave out the quotation marks, so that your shell expands it, or write the whole path.".to_owned());
    }
    program.contains(|c: char| c.is_whitespace() || "|&;<>".contains(c)).then(|| {
        format!("No shell reads the command, and this is one word: leave out the quotation marks around it, or, for pipes and the like, {in_a_shell}.")
    })
}
