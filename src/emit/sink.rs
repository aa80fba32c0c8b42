//! Where bytes are written. Everything is opened and checked before a token exists (no token is
//! minted for nothing), and a file appears whole or not at all.

mod new_file;
mod runner_file;
mod system;

use std::fs::{self, Metadata};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::StdoutKind;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::provider::PROVIDERS;
use crate::random;
use crate::secret::SecretBytes;
use crate::text::quote;

use super::{Format, Place};

pub use new_file::NewFile;

use new_file::{Mode, split};
use runner_file::RunnerFile;
use system::is_private;

/// What is allowed.
pub struct Policy<'a> {
    /// The environment: runner files, temporary folders, the checkout.
    pub env: &'a Env,
    /// `--output`.
    pub output: Option<&'a Path>,
    /// `--allow-workspace`.
    pub allow_workspace: bool,
    /// `--accept-artifact-exposure`.
    pub accept_artifact_exposure: bool,
    /// `--force`.
    pub force: bool,
    /// What standard output leads to.
    pub stdout: StdoutKind,
}

/// Open places of a format, in the order in which they will be written.
pub struct Sinks {
    format: &'static dyn Format,
    places: Vec<(Place, Sink)>,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    Runner(RunnerFile),
    File { file: NewFile, announce: bool },
}

impl Sinks {
    /// Opens and checks every place of a format.
    pub fn open(format: &'static dyn Format, export_env: bool, policy: &Policy<'_>) -> Result<Self, Error> {
        let mut places = Vec::new();
        for place in format.places(export_env) {
            let sink = match (place, policy.output) {
                (Place::Stdout, None) => {
                    check_open(policy)?;
                    if policy.stdout == StdoutKind::Terminal && !policy.force {
                        return Err(Error::new(Code::OutTty, "the token would be shown on this terminal"));
                    }
                    Sink::Stdout
                }
                (Place::Stdout, Some(path)) => {
                    Sink::File { file: private_file(path, policy)?, announce: false }
                }
                (Place::NewFile, Some(path)) => {
                    check_open(policy)?;
                    Sink::File { file: private_file(path, policy)?, announce: true }
                }
                (Place::NewFile, None) => {
                    check_open(policy)?;
                    Sink::File { file: temporary_file(policy)?, announce: true }
                }
                (Place::Artifact, output) => {
                    Sink::File { file: artifact(format, output, policy)?, announce: false }
                }
                (Place::RunnerFile(variable), None) => Sink::Runner(RunnerFile::open(variable, policy.env)?),
                (Place::RunnerFile(variable), Some(_)) => {
                    let message = format!(
                        "the format {} writes to {variable}; --output cannot change that",
                        format.id()
                    );
                    return Err(Error::new(Code::CfgValueInvalid, message).with_cure(
                        "Leave out --output, or choose a format that writes to a file or to standard output.",
                    ));
                }
            };
            places.push((place, sink));
        }
        Ok(Self { format, places })
    }

    /// The format that they were opened for.
    pub fn format(&self) -> &'static dyn Format {
        self.format
    }

    /// Writes all places, in the order file, outputs, variables. What does not fit its form is found out before the first
    /// byte is written; when a later place fails, the error says which had been written before.
    pub fn commit(
        self,
        render: impl Fn(Place) -> Result<SecretBytes, Error>,
        stdout: &mut dyn Write,
    ) -> Result<(), Error> {
        let mut rendered = Vec::new();
        for (place, sink) in self.places {
            rendered.push((sink, render(place)?));
        }
        let mut written: Vec<String> = Vec::new();
        for (sink, bytes) in rendered {
            let name = sink.name();
            sink.write(bytes.reveal(), stdout).map_err(|error| partial(error, &written))?;
            written.push(name);
        }
        Ok(())
    }

    /// Writes to one place, and leaves the others as they are.
    pub fn commit_one(self, place: Place, bytes: &SecretBytes, stdout: &mut dyn Write) -> Result<(), Error> {
        for (_, sink) in self.places.into_iter().filter(|(opened, _)| *opened == place) {
            sink.write(bytes.reveal(), stdout)?;
        }
        Ok(())
    }
}

impl Sink {
    /// As messages call it.
    fn name(&self) -> String {
        match self {
            Self::Stdout => "standard output".to_owned(),
            Self::Runner(file) => file.variable.to_owned(),
            Self::File { file, .. } => quote(&file.target().to_string_lossy()),
        }
    }

    fn write(self, bytes: &[u8], stdout: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Stdout => print(stdout, bytes),
            Self::Runner(file) => file.append(bytes),
            Self::File { file, announce } => {
                let path = file.commit(bytes)?;
                if announce { print_path(stdout, &path) } else { Ok(()) }
            }
        }
    }
}

/// A failure after other places have been written: a token is out there, in part of the places.
fn partial(error: Error, written: &[String]) -> Error {
    if written.is_empty() {
        return error;
    }
    Error::new(Code::OutPartial, format!("{} was written, but then {}", written.join(", "), error.message()))
        .with_detail("code", error.code().name())
        .with_cure(error.cure())
}

/// A path or a token that is printed has to reach somebody.
fn check_open(policy: &Policy<'_>) -> Result<(), Error> {
    if policy.stdout == StdoutKind::Closed {
        return Err(Error::new(Code::OutClosed, "standard output is closed"));
    }
    Ok(())
}

/// Appends text without secrets to a runner file.
pub fn append(variable: &'static str, env: &Env, bytes: &[u8]) -> Result<(), Error> {
    RunnerFile::open(variable, env)?.append(bytes)
}

/// Leaves the code of a failed run where the next step can read it, if the format and the platform have a place for it.
/// The failure itself has been told already, so one here changes nothing.
pub fn leave_failure(format: &dyn Format, code: Code, env: &Env) {
    let Ok(delimiter) = random::hex() else { return };
    if let Some((Place::RunnerFile(variable), bytes)) = format.render_failure(code, &delimiter) {
        append(variable, env, bytes.reveal()).ok();
    }
}

/// Writes the payload and makes sure that it has left this process.
fn print(stdout: &mut dyn Write, bytes: &[u8]) -> Result<(), Error> {
    stdout.write_all(bytes).and_then(|()| stdout.flush()).map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => Error::new(Code::OutClosed, "standard output was closed by its reader"),
        _ => failed(&error, Code::OutWrite, "standard output cannot be written"),
    })
}

#[cfg(unix)]
fn print_path(stdout: &mut dyn Write, path: &Path) -> Result<(), Error> {
    use std::os::unix::ffi::OsStrExt;
    let outcome = print(stdout, &[path.as_os_str().as_bytes(), b"\n"].concat());
    remove_on_failure(outcome, path)
}

#[cfg(not(unix))]
fn print_path(stdout: &mut dyn Write, path: &Path) -> Result<(), Error> {
    let outcome = print(stdout, format!("{}\n", path.display()).as_bytes());
    remove_on_failure(outcome, path)
}

/// A file that nobody was told of would stay behind with a token in it.
fn remove_on_failure(outcome: Result<(), Error>, path: &Path) -> Result<(), Error> {
    if outcome.is_err() {
        fs::remove_file(path).ok();
    }
    outcome
}

/// A file for text without secrets, anywhere the user wants it.
pub fn public_file(path: &Path) -> Result<NewFile, Error> {
    let (target, folder) = split(path)?;
    NewFile::open(target, folder, Mode::Public)
}

/// The file of `--output`.
fn private_file(path: &Path, policy: &Policy<'_>) -> Result<NewFile, Error> {
    let (target, folder) = split(path)?;
    if let Some(workspace) = workspace_around(&folder, policy.env).filter(|_| !policy.allow_workspace) {
        let message = format!("{} lies inside the checkout", quote(&target.to_string_lossy()));
        return Err(Error::new(Code::OutInWorkspace, message)
            .with_detail("checkout", quote(&workspace.to_string_lossy())));
    }
    let new = NewFile::open(target, folder, Mode::Private)?;
    if !is_private(new.folder()) {
        let shown = quote(&new.folder().to_string_lossy());
        let message = format!("in the folder {shown} other users could swap the file");
        return Err(Error::new(Code::OutSymlink, message));
    }
    Ok(new)
}

/// A file that the platform publishes: everybody who may see the job's artifacts can read it, and nothing masks it where
/// it is used. Artifacts lie inside the checkout, so consent to the one is consent to the other.
fn artifact(format: &dyn Format, output: Option<&Path>, policy: &Policy<'_>) -> Result<NewFile, Error> {
    if !policy.accept_artifact_exposure {
        let message = format!("the format {} puts the token into an artifact", format.id());
        let exposure = "the platform keeps it, who may see the job's artifacts can download it, and nothing masks it later";
        return Err(Error::new(Code::ArtifactExposure, message).with_detail("exposure", exposure));
    }
    let path = output.ok_or_else(|| {
        Error::new(Code::CfgValueInvalid, format!("the format {} needs --output", format.id()))
            .with_cure("Name the same file as under artifacts:reports:dotenv.")
    })?;
    private_file(path, &Policy { allow_workspace: true, ..*policy })
}

/// A new file in the first temporary folder that is there and private enough.
fn temporary_file(policy: &Policy<'_>) -> Result<NewFile, Error> {
    let mut tried = Vec::new();
    for folder in temporary_folders(policy.env) {
        let shown = quote(&folder.to_string_lossy());
        let usable = fs::canonicalize(&folder).ok().filter(|real| real.is_dir() && is_printable(real));
        let Some(real) = usable else {
            tried.push(format!("{shown} (not there)"));
            continue;
        };
        if !policy.allow_workspace && workspace_around(&real, policy.env).is_some() {
            tried.push(format!("{shown} (inside the checkout)"));
            continue;
        }
        let target = real.join(format!("equinix-wif-{}.env", random::hex()?));
        if !is_private(&real) {
            tried.push(format!("{shown} (other users may write there)"));
            continue;
        }
        match NewFile::open(target, real, Mode::Private) {
            Ok(new) => return Ok(new),
            Err(error) if error.code() == Code::OutFull => return Err(error),
            Err(_) => tried.push(format!("{shown} (not writable)")),
        }
    }
    Err(Error::new(Code::OutOpen, "there is no temporary folder that is private enough for a token")
        .with_detail("tried", tried.join(", "))
        .with_cure("Set TMPDIR to a folder that only this user can write to, or name a file with --output."))
}

fn temporary_folders(env: &Env) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    folders.extend(env.os(names::RUNNER_TEMP).map(PathBuf::from));
    folders.extend(env.os(names::CI_PROJECT_DIR).map(|mut folder| {
        // GitLab's runner keeps its own files there, beside the checkout.
        folder.push(".tmp");
        PathBuf::from(folder)
    }));
    folders.extend(env.os(names::TMPDIR).map(PathBuf::from));
    folders.push(if cfg!(unix) { PathBuf::from("/tmp") } else { std::env::temp_dir() });
    folders
}

/// The path is printed for a shell to use, so it must be one line.
fn is_printable(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.chars().any(char::is_control))
}

/// The checkout that a folder is in, if it is in one.
fn workspace_around(folder: &Path, env: &Env) -> Option<PathBuf> {
    PROVIDERS
        .iter()
        .filter_map(|provider| env.os(provider.workspace()?))
        .filter_map(|path| fs::canonicalize(path).ok())
        .find(|workspace| folder.starts_with(workspace))
}

fn kind(metadata: &Metadata) -> &'static str {
    if metadata.is_dir() { "a folder" } else { "a device, pipe or socket" }
}

/// An I/O error with its own code where it has one.
pub(crate) fn failed(error: &io::Error, code: Code, what: &str) -> Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            Error::new(Code::OutFull, format!("{what}: there is no space left"))
        }
        io::ErrorKind::NotFound => Error::new(code, format!("{what}: it does not exist")),
        io::ErrorKind::PermissionDenied => Error::new(code, format!("{what}: this user may not")),
        io::ErrorKind::ReadOnlyFilesystem => {
            Error::new(code, format!("{what}: the file system is read-only"))
        }
        kind => Error::new(code, format!("{what}: {kind}")),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;
    use crate::emit::by_name;

    struct Folders {
        root: tempfile::TempDir,
    }

    impl Folders {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            fs::create_dir(root.path().join("checkout")).unwrap();
            fs::create_dir(root.path().join("temp")).unwrap();
            Self { root }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }

        fn env(&self, extra: &[(&str, PathBuf)]) -> Env {
            let mut pairs = vec![("GITHUB_WORKSPACE".to_owned(), self.path("checkout").into_os_string())];
            pairs.extend(extra.iter().map(|(k, v)| ((*k).to_owned(), v.clone().into_os_string())));
            Env::fixed(pairs)
        }
    }

    fn policy<'a>(env: &'a Env, output: Option<&'a Path>) -> Policy<'a> {
        Policy {
            env,
            output,
            allow_workspace: false,
            accept_artifact_exposure: false,
            force: false,
            stdout: StdoutKind::Ordinary,
        }
    }

    fn deliver(format: &str, policy: &Policy<'_>) -> Result<Vec<u8>, Error> {
        let sinks = Sinks::open(by_name(format)?, false, policy)?;
        let mut stdout = Vec::new();
        sinks.commit(|_| Ok(SecretBytes::new("the token\n")), &mut stdout)?;
        Ok(stdout)
    }

    fn code(outcome: Result<Vec<u8>, Error>) -> &'static str {
        outcome.map_or_else(|error| error.code().name(), |_| "ok")
    }

    #[test]
    fn a_new_file_is_private_whole_and_alone() {
        let place = Folders::new();
        let env = place.env(&[("RUNNER_TEMP", place.path("temp"))]);
        let printed = deliver("env-file", &policy(&env, None)).unwrap();
        let path = PathBuf::from(String::from_utf8(printed).unwrap().trim_end());
        assert_eq!(fs::read(&path).unwrap(), b"the token\n");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert!(path.starts_with(fs::canonicalize(place.path("temp")).unwrap()));
        assert_eq!(fs::read_dir(place.path("temp")).unwrap().count(), 1, "no temporary file stays");
    }

    #[test]
    fn nothing_stays_when_the_run_ends_before_the_token() {
        let place = Folders::new();
        let env = place.env(&[("RUNNER_TEMP", place.path("temp"))]);
        drop(Sinks::open(by_name("env-file").unwrap(), false, &policy(&env, None)).unwrap());
        assert_eq!(fs::read_dir(place.path("temp")).unwrap().count(), 0);
    }

    #[test]
    fn folders_are_taken_in_order_and_only_if_private() {
        let place = Folders::new();
        fs::create_dir(place.path("open")).unwrap();
        fs::set_permissions(place.path("open"), PermissionsExt::from_mode(0o777)).unwrap();
        fs::create_dir(place.path("checkout/temp")).unwrap();
        let project = place.path("checkout");
        fs::create_dir(place.path("checkout.tmp")).unwrap();
        for (pairs, folder) in [
            (vec![("RUNNER_TEMP", place.path("none")), ("TMPDIR", place.path("temp"))], "temp"),
            (vec![("RUNNER_TEMP", place.path("open")), ("TMPDIR", place.path("temp"))], "temp"),
            (vec![("RUNNER_TEMP", place.path("checkout/temp")), ("TMPDIR", place.path("temp"))], "temp"),
            (vec![("CI_PROJECT_DIR", project), ("TMPDIR", place.path("temp"))], "checkout.tmp"),
        ] {
            let env = place.env(&pairs);
            let printed = String::from_utf8(deliver("env-file", &policy(&env, None)).unwrap()).unwrap();
            let expected = fs::canonicalize(place.path(folder)).unwrap();
            assert_eq!(Path::new(printed.trim_end()).parent().unwrap(), expected);
        }
        // The same folder with the sticky bit is what /tmp is.
        fs::set_permissions(place.path("open"), PermissionsExt::from_mode(0o1777)).unwrap();
        let env = place.env(&[("TMPDIR", place.path("open"))]);
        let printed = String::from_utf8(deliver("env-file", &policy(&env, None)).unwrap()).unwrap();
        assert!(printed.contains("/open/"), "{printed}");
    }

    #[test]
    fn an_output_path_must_be_safe() {
        let place = Folders::new();
        let env = place.env(&[]);
        let at = |path: PathBuf| code(deliver("raw", &policy(&env, Some(&path))));
        assert_eq!(at(place.path("temp/token")), "ok");
        assert_eq!(at(place.path("temp/token")), "ok", "an existing file is replaced");
        assert_eq!(fs::read(place.path("temp/token")).unwrap(), b"the token\n");
        assert_eq!(at(place.path("checkout/token")), "out-in-workspace");
        assert_eq!(at(place.path("temp/../checkout/token")), "out-in-workspace");
        symlink(place.path("checkout"), place.path("link")).unwrap();
        assert_eq!(at(place.path("link/token")), "out-in-workspace");
        symlink(place.path("temp/token"), place.path("temp/alias")).unwrap();
        assert_eq!(at(place.path("temp/alias")), "out-symlink");
        fs::create_dir(place.path("open")).unwrap();
        fs::set_permissions(place.path("open"), PermissionsExt::from_mode(0o777)).unwrap();
        assert_eq!(at(place.path("open/token")), "out-symlink");
        assert_eq!(fs::read_dir(place.path("open")).unwrap().count(), 0);
        assert_eq!(at(place.path("temp")), "out-open");
        assert_eq!(at(place.path("none/token")), "out-open");
        assert_eq!(at(PathBuf::from("/dev/null")), "out-open");
        assert_eq!(at(PathBuf::from("/")), "out-open");
        let path = place.path("checkout/token");
        let allowed = Policy { allow_workspace: true, ..policy(&env, Some(&path)) };
        assert_eq!(code(deliver("raw", &allowed)), "ok");
    }

    #[test]
    fn a_terminal_needs_force() {
        let env = Env::fixed([("A", "b")]);
        let terminal = Policy { stdout: StdoutKind::Terminal, ..policy(&env, None) };
        assert_eq!(code(deliver("raw", &terminal)), "out-tty");
        assert_eq!(code(deliver("raw", &Policy { force: true, ..terminal })), "ok");
    }

    #[test]
    fn a_runner_file_is_appended_to_and_never_made() {
        let place = Folders::new();
        let path = place.path("temp/output");
        let with = |path: PathBuf| place.env(&[("GITHUB_OUTPUT", path)]);
        assert_eq!(code(deliver("github", &policy(&place.env(&[]), None))), "out-runner-file-missing");
        assert_eq!(code(deliver("github", &policy(&with(path.clone()), None))), "out-runner-file-missing");
        assert!(!path.exists());
        for (before, after) in [
            ("", "the token\n"),
            ("a=b\n", "a=b\nthe token\n"),
            ("a=b", "a=b\nthe token\n"),
            ("a=b\r\n", "a=b\r\nthe token\n"),
        ] {
            fs::write(&path, before).unwrap();
            assert!(deliver("github", &policy(&with(path.clone()), None)).unwrap().is_empty());
            assert_eq!(fs::read_to_string(&path).unwrap(), after);
        }
        symlink(&path, place.path("temp/alias")).unwrap();
        assert_eq!(code(deliver("github", &policy(&with(place.path("temp/alias")), None))), "out-symlink");
        assert_eq!(code(deliver("github", &policy(&with(place.path("temp")), None))), "out-open");
        assert_eq!(code(deliver("github", &policy(&with(PathBuf::from("/dev/null")), None))), "out-open");
        let output = place.path("temp/x");
        assert_eq!(code(deliver("github", &policy(&with(path), Some(&output)))), "cfg-value-invalid");
    }

    #[test]
    fn a_closed_reader_is_told_and_leaves_no_file() {
        struct Closed;
        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let place = Folders::new();
        let env = place.env(&[("RUNNER_TEMP", place.path("temp"))]);
        for format in ["raw", "env-file"] {
            let sinks = Sinks::open(by_name(format).unwrap(), false, &policy(&env, None)).unwrap();
            let error = sinks.commit(|_| Ok(SecretBytes::new("t")), &mut Closed).unwrap_err();
            assert_eq!(error.code(), Code::OutClosed, "{format}");
        }
        assert_eq!(fs::read_dir(place.path("temp")).unwrap().count(), 0);
    }
}
