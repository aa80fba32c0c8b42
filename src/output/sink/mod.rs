//! The places where bytes are written. Each is opened and checked before a token exists (no token is minted for
//! nothing), and a file appears whole or not at all.

mod entries;
#[cfg(unix)]
mod folder;
#[cfg(not(unix))]
#[path = "folder_by_path.rs"]
mod folder;
#[cfg(feature = "renew")]
mod kept_file;
mod new_file;
mod places;
mod runner_file;
mod system;
#[cfg(test)]
#[cfg(unix)]
mod tests;

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::credential::Kind;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::json::object;
use crate::random;
use crate::secret::SecretBytes;
use crate::streams::StdoutKind;
use crate::text::quote;

use crate::output::format::{Destination, Format};

#[cfg(feature = "renew")]
pub use kept_file::KeptFile;
pub use new_file::NewFile;
#[cfg(feature = "renew")]
pub use places::kept_file;
pub use places::{public_file, secret_file};

use new_file::Appeared;
use places::{artifact, private_file, temporary_file};
use runner_file::RunnerFile;

/// The user's choices and consents.
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
    /// The kind of standard output.
    pub stdout: StdoutKind,
}

/// Open places of a format, in the order in which they will be written.
pub struct Sinks {
    format: &'static dyn Format,
    places: Vec<Open>,
}

/// A place that is open.
struct Open {
    /// The place that the format names.
    named: Destination,
    /// The place with this `--output`.
    actual: Destination,
    sink: Sink,
}

#[derive(Debug)]
enum Sink {
    Stdout,
    Runner(RunnerFile),
    File {
        file: NewFile,
        announce: bool,
    },
    /// A new file whose path nobody would be told: it is not made.
    Unread,
}

impl Sinks {
    /// Opens and checks every place of a format.
    pub fn open(format: &'static dyn Format, export_env: bool, policy: &Policy<'_>) -> Result<Self, Error> {
        let places = format.places(export_env).into_iter().map(|named| {
            let (actual, sink) = Sink::open(format, named, policy)?;
            Ok(Open { named, actual, sink })
        });
        Ok(Self { format, places: places.collect::<Result<_, Error>>()? })
    }

    /// Returns what would be lost without a reader of standard output: the token itself, or the path of its file.
    pub fn told(&self) -> Option<&'static str> {
        self.places.iter().find_map(|open| match &open.sink {
            Sink::Stdout => Some("the token"),
            Sink::Unread => Some("the token: its file, whose path would be lost, is not made"),
            Sink::File { .. } | Sink::Runner(_) => None,
        })
    }

    /// Returns where the token will be, for people.
    pub fn whereabouts(&self, kind: Kind, env_name: &str) -> String {
        let of = |sink: &Sink| match sink {
            Sink::Stdout => "on standard output".to_owned(),
            Sink::Unread => "in no file".to_owned(),
            Sink::Runner(file) => self
                .format
                .name_in(file.variable, kind, env_name)
                .map_or_else(|| format!("in {}", sink.name()), |name| format!("in {name}")),
            Sink::File { .. } if self.format.is_sourced() => {
                format!("in the file {}, to be sourced", sink.name())
            }
            Sink::File { .. } => format!("in the file {}", sink.name()),
        };
        self.places.iter().map(|open| of(&open.sink)).collect::<Vec<_>>().join(" and ")
    }

    /// Returns where the token will be, for the report.
    pub fn to_json(&self, kind: Kind, env_name: &str) -> Vec<Value> {
        let of = |sink: &Sink| {
            let mut place = vec![("format", self.format.id().into())];
            place.push((
                "to",
                Value::from(match sink {
                    Sink::Stdout => "standard-output",
                    Sink::Unread => "nowhere",
                    Sink::Runner(_) => "runner-file",
                    Sink::File { .. } => "file",
                }),
            ));
            match sink {
                Sink::Runner(file) => place.extend([
                    ("name", file.variable.into()),
                    ("as", self.format.name_in(file.variable, kind, env_name).into()),
                ]),
                Sink::File { file, .. } => place.push(("path", file.target().to_string_lossy().into())),
                Sink::Stdout | Sink::Unread => {}
            }
            object(place)
        };
        self.places.iter().map(|open| of(&open.sink)).collect()
    }

    /// Writes all places, in the order file, outputs, variables. What does not fit its form or its disk is found out before
    /// anything can be seen, as far as the system can tell; when a later place fails nevertheless, the error says which
    /// had been written before. `written` is the number of places that are.
    pub fn commit(
        self,
        render: impl Fn(Destination) -> Result<SecretBytes, Error>,
        stdout: &mut dyn Write,
        written: &mut usize,
    ) -> Result<(), Error> {
        let mut ready = Vec::new();
        for Open { actual, sink, .. } in self.places {
            ready.push((sink, render(actual)?));
        }
        for (sink, bytes) in &mut ready {
            sink.prepare(bytes.reveal())?;
        }
        let mut names: Vec<String> = Vec::new();
        for (sink, bytes) in ready {
            let name = sink.name();
            sink.write(bytes.reveal(), stdout).map_err(|error| partial(error, &names))?;
            names.push(name);
            *written = names.len();
        }
        Ok(())
    }

    /// Writes to one place, and leaves the others as they are.
    pub fn commit_one(
        self,
        place: Destination,
        bytes: &SecretBytes,
        stdout: &mut dyn Write,
    ) -> Result<(), Error> {
        for Open { mut sink, .. } in self.places.into_iter().filter(|open| open.named == place) {
            sink.prepare(bytes.reveal())?;
            sink.write(bytes.reveal(), stdout)?;
        }
        Ok(())
    }
}

impl Sink {
    /// Opens one place, which `--output` may move.
    fn open(
        format: &dyn Format,
        place: Destination,
        policy: &Policy<'_>,
    ) -> Result<(Destination, Self), Error> {
        let is_dash = policy.output.is_some_and(|path| path.as_os_str() == "-");
        let file = policy.output.filter(|_| !is_dash);
        Ok(match (place, file) {
            (Destination::NewFile, None) if !is_dash && policy.stdout == StdoutKind::Discarded => {
                (place, Self::Unread)
            }
            (Destination::NewFile, None) if !is_dash => {
                (place, Self::File { file: temporary_file(policy)?, announce: true })
            }
            (Destination::Stdout | Destination::File | Destination::NewFile, None) => {
                if policy.stdout == StdoutKind::Terminal && !policy.force {
                    return Err(Error::new(Code::OutTty, "the token would be shown on this terminal"));
                }
                (Destination::Stdout, Self::Stdout)
            }
            (Destination::Stdout | Destination::File, Some(path)) => {
                (Destination::File, Self::File { file: private_file(path, policy)?, announce: false })
            }
            (Destination::NewFile, Some(path)) => {
                (place, Self::File { file: private_file(path, policy)?, announce: true })
            }
            (Destination::Artifact, file) => {
                (place, Self::File { file: artifact(format, file, policy)?, announce: false })
            }
            (Destination::RunnerFile(variable), None) if !is_dash => {
                (place, Self::Runner(RunnerFile::open(variable, policy.env)?))
            }
            (Destination::SourcedFile(variable), None) if !is_dash => {
                (place, Self::Runner(RunnerFile::open_sourced(variable, policy.env)?))
            }
            (Destination::RunnerFile(variable) | Destination::SourcedFile(variable), _) => {
                let message =
                    format!("the format {} writes to {variable}; --output cannot change that", format.id());
                return Err(Error::new(Code::CfgValueInvalid, message).with_cure(
                    "Leave out --output, or choose a format that writes to a file or to standard output.",
                ));
            }
        })
    }

    /// The name in messages.
    fn name(&self) -> String {
        match self {
            Self::Stdout => "standard output".to_owned(),
            Self::Unread => "no file".to_owned(),
            Self::Runner(file) => file.variable.to_owned(),
            Self::File { file, .. } => quote(&file.target().to_string_lossy()),
        }
    }

    /// Does the part of the work that can fail before anybody sees anything.
    fn prepare(&mut self, bytes: &[u8]) -> Result<(), Error> {
        match self {
            Self::Stdout | Self::Unread => Ok(()),
            Self::Runner(file) => file.reserve(bytes),
            Self::File { file, .. } => file.fill(bytes),
        }
    }

    /// Writes what was prepared.
    fn write(self, bytes: &[u8], stdout: &mut dyn Write) -> Result<(), Error> {
        match self {
            Self::Stdout => print(stdout, bytes),
            Self::Unread => Ok(()),
            Self::Runner(file) => file.append(bytes),
            Self::File { file, announce: false } => file.appear(bytes).map(drop),
            Self::File { file, announce: true } => announce(stdout, &file.appear(bytes)?),
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

/// Appends text without secrets to a runner file.
pub fn append(variable: &'static str, env: &Env, bytes: &[u8]) -> Result<(), Error> {
    let file = RunnerFile::open(variable, env)?;
    file.reserve(bytes)?;
    file.append(bytes)
}

/// Leaves the code of a failed run where the next step can read it, if the format and the platform have a place for it.
/// The failure itself has been told already, so one here changes nothing.
pub fn leave_failure(format: &dyn Format, code: Code, env: &Env) {
    let Ok(delimiter) = random::hex() else { return };
    if let Some((Destination::RunnerFile(variable), bytes)) = format.render_failure(code, &delimiter) {
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

/// Prints where the file is. A file that nobody was told of would stay behind with a token in it.
fn announce(stdout: &mut dyn Write, file: &Appeared) -> Result<(), Error> {
    let mut line = file.path().into_os_string().into_encoded_bytes();
    line.push(b'\n');
    print(stdout, &line).inspect_err(|_| file.remove())
}

/// The kind of entry that has a name in a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "owners are compared on Unix"))]
enum Found {
    Nothing,
    /// A file that may be replaced.
    File,
    /// A file of another user in a folder where only that one may replace it.
    ForeignFile,
    Link,
    Folder,
    Other,
}

/// The reason for which a folder cannot be opened.
#[derive(Debug)]
#[cfg_attr(not(unix), allow(dead_code, reason = "owners are compared on Unix"))]
enum Unreachable {
    Io(io::Error),
    /// A symbolic link on the way belongs to another user, who decides where it leads.
    ForeignLink(PathBuf),
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
