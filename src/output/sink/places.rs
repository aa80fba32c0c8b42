//! Finds the folder for a file: the one that was named, or the first that keeps it from others.

use std::fs;
use std::path::{Path, PathBuf};

use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::output::format::Format;
use crate::platform::PLATFORMS;
use crate::random;
use crate::text::quote;

use super::Policy;
use super::folder::{Folder, guest};
#[cfg(feature = "renew")]
use super::kept_file::KeptFile;
use super::new_file::{Access, NewFile, Place};

/// A file for text without secrets, anywhere the user wants it.
pub fn public_file(path: &Path) -> Result<NewFile, Error> {
    NewFile::open(Place::find(path, |_| None)?, Access::Public)
}

/// The space that a secret may need, in bytes. A longer one is not accepted from a server.
const LONGEST_SECRET: usize = 32 * 1024;

/// A file for a secret that is not what the format hands over.
pub fn secret_file(path: &Path, policy: &Policy<'_>) -> Result<NewFile, Error> {
    // The old one may be worth nothing when it turns out that there is no space for the new one.
    file_for("--refresh-token-output", path, policy)?.reserve(LONGEST_SECRET)
}

/// The file of `--output`.
pub(super) fn private_file(path: &Path, policy: &Policy<'_>) -> Result<NewFile, Error> {
    file_for("--output", path, policy)
}

/// A private file that a flag names, or can name.
fn file_for(flag: &str, path: &Path, policy: &Policy<'_>) -> Result<NewFile, Error> {
    let place = find(path, policy.env)?;
    let checkout = workspace_around(place.folder.path(), policy.env).filter(|_| !policy.allow_workspace);
    if let Some(checkout) = checkout {
        let shown = quote(&place.folder.path().join(&place.name).to_string_lossy());
        let mut hint = elsewhere(flag, &place, policy);
        if place.folder.weakness().is_none() {
            hint.push_str(" Or consent to the checkout with --allow-workspace.");
        }
        return Err(Error::new(Code::OutInWorkspace, format!("{shown} lies inside the checkout"))
            .with_detail("checkout", quote(&checkout.to_string_lossy()))
            .with_cure(hint));
    }
    check_privacy(flag, &place, policy)?;
    NewFile::open(place, Access::Private)
}

/// A file that the platform publishes: everybody who may see the job's artifacts can read it, and nothing masks it where
/// it is used. Artifacts lie inside the checkout, so consent to the one is consent to the other, with all who may write
/// there: in containers of GitLab's runner that is everybody.
pub(super) fn artifact(
    format: &dyn Format,
    output: Option<&Path>,
    policy: &Policy<'_>,
) -> Result<NewFile, Error> {
    if !policy.accept_artifact_exposure {
        let message = format!("the format {} puts the token into an artifact", format.id());
        let exposure = "the platform keeps it, whoever may see the job's artifacts can download it, and nothing masks it later";
        return Err(Error::new(Code::ArtifactExposure, message).with_detail("exposure", exposure));
    }
    let path = output.ok_or_else(|| {
        Error::new(Code::CfgValueInvalid, format!("the format {} needs --output with a file", format.id()))
            .with_cure("Name the same file as under artifacts:reports:dotenv.")
    })?;
    let place = find(path, policy.env)?;
    if workspace_around(place.folder.path(), policy.env).is_none() {
        check_privacy("--output", &place, policy)?;
    }
    NewFile::open(place, Access::Private)
}

/// A new file in the first temporary folder that is there and private enough.
pub(super) fn temporary_file(policy: &Policy<'_>) -> Result<NewFile, Error> {
    first_fit(policy, |candidate| candidate.file(policy))
}

/// A file that is replaced again and again, in the first temporary folder that is there and private enough.
#[cfg(feature = "renew")]
pub fn kept_file(policy: &Policy<'_>) -> Result<KeptFile, Error> {
    first_fit(policy, |candidate| {
        let folder = candidate.folder(policy)?;
        KeptFile::open(folder).map_err(|error| Unfit::of(error, "not writable"))
    })
}

/// Returns what can be made of the first temporary folder that is fit for it.
fn first_fit<T>(policy: &Policy<'_>, make: impl Fn(&Candidate) -> Result<T, Unfit>) -> Result<T, Error> {
    let mut tried = Vec::new();
    for candidate in candidates(policy.env) {
        match make(&candidate) {
            Ok(made) => return Ok(made),
            Err(Unfit::Full(error)) => return Err(error),
            Err(Unfit::Because(why)) => {
                let shown = quote(&candidate.folder.to_string_lossy());
                tried.push(format!("{shown} ({why})"));
            }
        }
    }
    Err(Error::new(Code::OutOpen, "there is no temporary folder that is private enough for a token")
        .with_detail("tried", tried.join(", "))
        .with_cure("Let standard output have the lines: eval \"$(equinix-wif token --output -)\" with the same flags. Or run the command that needs the token with equinix-wif exec, or set TMPDIR to a folder that only this user can write to, on the whole way to it."))
}

/// A folder that may be fit for a file of this program's own choice.
struct Candidate {
    folder: PathBuf,
    /// True if it has to belong to this user: a home folder may be anything.
    own: bool,
}

/// The reason for which a folder is not fit.
enum Unfit {
    /// A full disk: no other folder is looked for, since the next may be in memory.
    Full(Error),
    Because(&'static str),
}

impl Unfit {
    fn of(error: Error, why: &'static str) -> Self {
        if error.code() == Code::OutFull { Self::Full(error) } else { Self::Because(why) }
    }
}

impl Candidate {
    fn folder(&self, policy: &Policy<'_>) -> Result<Folder, Unfit> {
        let because = |why| Err(Unfit::Because(why));
        let Ok(folder) = Folder::open(&self.folder, runner_s(&self.folder, policy.env)) else {
            return because("not there");
        };
        if !is_printable(folder.path()) {
            return because("not printable");
        }
        if !policy.allow_workspace && workspace_around(folder.path(), policy.env).is_some() {
            return because("inside the checkout");
        }
        if folder.weakness().is_some() {
            return because("other users may write there, or on the way to it");
        }
        if self.own && !folder.is_own() {
            return because("not this user's");
        }
        Ok(folder)
    }

    fn file(&self, policy: &Policy<'_>) -> Result<NewFile, Unfit> {
        let folder = self.folder(policy)?;
        let name = random::hex().map_err(Unfit::Full)?;
        let place = Place { folder, name: format!("equinix-wif-{name}.env").into() };
        NewFile::open(place, Access::Private).map_err(|error| Unfit::of(error, "not writable"))
    }
}

fn candidates(env: &Env) -> Vec<Candidate> {
    let mut all: Vec<Candidate> =
        temporary_folders(env).into_iter().map(|folder| Candidate { folder, own: false }).collect();
    if cfg!(unix) {
        let own = [names::XDG_RUNTIME_DIR, names::HOME].into_iter().filter_map(|name| env.os(name));
        all.extend(own.map(|folder| Candidate { folder: folder.into(), own: true }));
        all.push(Candidate { folder: "/dev/shm".into(), own: false });
    }
    all
}

/// Tells whether this folder is fit for the format `env-file` although no variable says that it is one for temporary files.
#[cfg(all(test, unix))]
pub(super) fn last_resort(policy: &Policy<'_>, folder: &Path) -> bool {
    let mut own = candidates(policy.env).into_iter().filter(|candidate| candidate.own);
    own.any(|candidate| candidate.file(policy).is_ok_and(|file| file.target().parent() == Some(folder)))
}

fn temporary_folders(env: &Env) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = Vec::new();
    for folder in PLATFORMS.iter().flat_map(|platform| platform.facts().temporary) {
        folders.extend(env.os(folder.variable).map(|mut path| {
            path.push(folder.suffix);
            PathBuf::from(path)
        }));
    }
    folders.extend(env.os(names::TMPDIR).map(PathBuf::from));
    folders.push(if cfg!(unix) { PathBuf::from("/tmp") } else { std::env::temp_dir() });
    folders
}

/// The place of a file that has a token in it.
fn find(path: &Path, env: &Env) -> Result<Place, Error> {
    Place::find(path, |folder| runner_s(folder, env))
}

/// The user of the runner outside of this container, if the folder is below the one that it gave to the job.
fn runner_s(folder: &Path, env: &Env) -> Option<u32> {
    let mut given = PLATFORMS.iter().flat_map(|platform| platform.facts().temporary);
    let temp = given.find_map(|given| env.os(given.variable).filter(|_| given.suffix.is_empty()));
    guest(folder, temp.map(PathBuf::from))
}

fn check_privacy(flag: &str, place: &Place, policy: &Policy<'_>) -> Result<(), Error> {
    let Some(weakness) = place.folder.weakness() else { return Ok(()) };
    let shown = quote(&place.folder.path().to_string_lossy());
    let message = format!("in the folder {shown} other users could swap the file: {weakness}");
    Err(Error::new(Code::OutSymlink, message).with_cure(elsewhere(flag, place, policy)))
}

/// Suggests a place that works instead of this path, as far as it can be found out here.
fn elsewhere(flag: &str, place: &Place, policy: &Policy<'_>) -> String {
    let strict = Policy { allow_workspace: false, ..*policy };
    let fit = candidates(policy.env).into_iter().find_map(|candidate| candidate.file(&strict).ok());
    let Some(fit) = fit else {
        if flag != "--output" {
            return format!(
                "Name a file in a folder that only this user can write to, on the whole way to it, with {flag}."
            );
        }
        return "Let standard output have the token (--output -), or run the command that needs it with equinix-wif exec.".to_owned();
    };
    let path = fit.target().with_file_name(&place.name);
    format!(
        "Choose a path in a folder that only this user can write to: {flag} {}.",
        quote(&path.to_string_lossy())
    )
}

/// Tells whether a path is one line: it is printed for a shell to use.
fn is_printable(path: &Path) -> bool {
    path.to_str().is_some_and(|text| !text.chars().any(char::is_control))
}

/// The checkout that a folder is in, if it is in one.
fn workspace_around(folder: &Path, env: &Env) -> Option<PathBuf> {
    PLATFORMS
        .iter()
        .filter_map(|platform| env.os(platform.facts().workspace?))
        .filter_map(|path| fs::canonicalize(path).ok())
        .find(|workspace| folder.starts_with(workspace))
}
