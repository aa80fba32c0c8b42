//! Running another program: finding it, starting it, and what its end means in a shell's terms.

use std::ffi::OsStr;
use std::io;
#[cfg(not(unix))]
use std::path::PathBuf;
use std::process::{Command, ExitStatus};
use std::sync::RwLock;

use crate::error::{Code, Error};
use crate::text::quote;

mod ask;
#[cfg(any(not(unix), feature = "renew"))]
mod beside;
#[cfg(unix)]
mod find;

pub(crate) use ask::{Helper, Trouble};
#[cfg(any(not(unix), feature = "renew"))]
pub(crate) use beside::Beside;
#[cfg(unix)]
pub(crate) use find::find;

/// Looks for nothing: Windows knows more places and endings than stand in a variable; starting the program will tell.
#[cfg(not(unix))]
pub(crate) fn find(program: &OsStr, _: Option<&OsStr>) -> Result<PathBuf, Error> {
    Ok(PathBuf::from(program))
}

/// Lets a program take this process's place, so that its exit status and signals are its own. Comes back only when that
/// fails.
#[cfg(unix)]
pub(crate) fn hand_over(mut command: Command) -> Result<u8, Error> {
    let error = std::os::unix::process::CommandExt::exec(&mut command);
    Err(found_but_not_started(command.get_program(), &error))
}

/// Returns why a program that had been found could not be started.
#[cfg(unix)]
fn found_but_not_started(program: &OsStr, error: &io::Error) -> Error {
    if error.kind() == io::ErrorKind::NotFound {
        // So it is what its first line names.
        let message =
            format!("the interpreter of the command {} was not found", quote(&program.to_string_lossy()));
        return Error::new(Code::CmdNotFound, message);
    }
    not_started(program, error)
}

/// Runs the program and waits for its end, on systems where no process can take another one's place.
#[cfg(not(unix))]
pub(crate) fn hand_over(command: Command) -> Result<u8, Error> {
    Beside::start(command).map(Beside::wait)
}

/// Held for reading while a helper program runs. Whoever reaps every child of this process has to leave that one to its owner.
static HELPERS: RwLock<()> = RwLock::new(());

/// Returns why a program could not be started.
pub(crate) fn not_started(program: &OsStr, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::NotFound => not_found(program),
        io::ErrorKind::PermissionDenied => not_executable(program, "this user may not run it"),
        _ => not_executable(program, &error.to_string()),
    }
}

fn not_found(program: &OsStr) -> Error {
    Error::new(Code::CmdNotFound, format!("the command {} was not found", quote(&program.to_string_lossy())))
}

fn not_executable(program: &OsStr, why: &str) -> Error {
    let message = format!("the command {} cannot be run: {why}", quote(&program.to_string_lossy()));
    Error::new(Code::CmdNotExecutable, message)
}

/// The exit status in a shell's terms: a signal is 128 and its number.
pub(crate) fn status_of(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
        return u8::try_from(128 + signal).unwrap_or(u8::MAX);
    }
    // Windows has statuses that no byte holds; what is left to say is that it failed.
    status.code().map_or(1, |code| u8::try_from(code).unwrap_or(1))
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_program_is_found_in_path_or_by_its_own_path() {
        let root = tempfile::tempdir().unwrap();
        let folder = |name: &str| root.path().join(name);
        for name in ["first", "second"] {
            fs::create_dir_all(folder(name)).unwrap();
        }
        let file = |name: &str, mode: u32| {
            fs::write(folder(name), "#!/bin/sh\n").unwrap();
            fs::set_permissions(folder(name), PermissionsExt::from_mode(mode)).unwrap();
        };
        file("second/tool", 0o755);
        file("first/tool", 0o644);
        file("first/plain", 0o644);
        fs::create_dir(folder("first/folder")).unwrap();
        let path = std::env::join_paths([folder("first"), folder("second")]).unwrap();
        let outcome = |program: &OsStr| match find(program, Some(&path)) {
            Ok(found) => {
                assert!(found.ends_with("second/tool"), "{found:?}");
                "ok".to_owned()
            }
            Err(error) => format!("{} {}", error.code().name(), error.message().replace('"', "")),
        };
        for (program, expected) in [
            ("tool", "ok"),
            ("plain", "cmd-not-executable the command plain cannot be run: it is not executable"),
            ("folder", "cmd-not-executable the command folder cannot be run: it is a folder"),
            ("none", "cmd-not-found the command none was not found"),
            ("", "cmd-not-found the command  was not found"),
        ] {
            assert_eq!(outcome(OsStr::new(program)), expected);
        }
        assert_eq!(outcome(folder("second/tool").as_os_str()), "ok");
        assert!(outcome(folder("first/tool").as_os_str()).starts_with("cmd-not-executable"));
        assert!(outcome(folder("none").as_os_str()).starts_with("cmd-not-found"));
        assert!(find(OsStr::new("sh"), None).is_ok(), "without PATH the system's own folders count");
    }
    #[test]
    fn what_a_script_lacks_is_seen_before_it_is_started() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("script");
        let outcome = |bytes: &[u8]| {
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
            match find(file.as_os_str(), None) {
                Ok(_) => String::new(),
                Err(error) => format!("{} {} {}", error.code().name(), error.message(), error.cure()),
            }
        };
        for fine in [
            &b"#!/bin/sh\n"[..],
            b"#! /bin/sh -e",
            b"#!\t/bin/sh\t-e\necho\r\n",
            b"#!\n",
            b"\x7fELF",
            b"MZ\x90\x00",
            b"\xca\xfe\xba\xbe",
        ] {
            assert_eq!(outcome(fine), "", "{fine:?}");
        }
        for (bytes, expected) in [
            (&b"echo hi\n"[..], "names no interpreter (#!) Begin the script with"),
            (b"", "names no interpreter"),
            (b"#!/bin/sh\r\necho\r\n", "ends with a carriage return Save the script with"),
            (b"#!/usr/bin/env sh\r\n", "ends with a carriage return"),
            (b"#!/no/such/interpreter -x\n", "cmd-not-found the interpreter of the command"),
        ] {
            assert!(outcome(bytes).contains(expected), "{bytes:?}: {}", outcome(bytes));
        }
    }

    #[test]
    fn what_was_meant_is_named() {
        for (program, cure) in [
            ("cd", "cd is a part of the shell"),
            ("FOO=bar", "put env before it"),
            ("~/x", "nothing in it is expanded"),
            ("$HOME/x", "nothing in it is expanded"),
            ("terraform apply", "this is one word"),
            ("echo hi | cat", "sh -c '…'"),
            ("no-such", Code::CmdNotFound.cure()),
        ] {
            let error = find(OsStr::new(program), Some(OsStr::new("/nowhere"))).unwrap_err();
            assert_eq!(error.code(), Code::CmdNotFound);
            assert!(error.cure().contains(cure), "{program}: {}", error.cure());
        }
    }
}
