//! Where a new file may be: not in the checkout, and only where nobody else can swap it.

use std::fs;
use std::path::{Path, PathBuf};

use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::output::format::Format;
use crate::platform::PLATFORMS;
use crate::random;
use crate::text::quote;

use super::Policy;
use super::new_file::{Mode, NewFile, split};
use super::system::is_private;

/// A file for text without secrets, anywhere the user wants it.
pub fn public_file(path: &Path) -> Result<NewFile, Error> {
    let (target, folder) = split(path)?;
    NewFile::open(target, folder, Mode::Public)
}

/// The file of `--output`.
pub(super) fn private_file(path: &Path, policy: &Policy<'_>) -> Result<NewFile, Error> {
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
pub(super) fn artifact(
    format: &dyn Format,
    output: Option<&Path>,
    policy: &Policy<'_>,
) -> Result<NewFile, Error> {
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
pub(super) fn temporary_file(policy: &Policy<'_>) -> Result<NewFile, Error> {
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

/// The path is printed for a shell to use, so it must be one line.
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
