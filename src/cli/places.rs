//! Files that must not be the same: one would be written over the other, or be sent in its place.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::resolve::Resolver;
use super::row::PathSetting;
#[cfg(feature = "classic-grants")]
use super::table::{CLIENT_SECRET_FILE, PASSWORD_FILE, REFRESH_TOKEN_FILE, REFRESH_TOKEN_OUTPUT};
use super::table::{OUTPUT, REPORT, SUBJECT_TOKEN_FILE};
use super::typed::Typed;
use crate::env::Env;
use crate::error::{Code, Error};

/// The files that hold a stored secret before or after the run.
#[cfg(feature = "classic-grants")]
const STORED: [&PathSetting; 4] =
    [&CLIENT_SECRET_FILE, &PASSWORD_FILE, &REFRESH_TOKEN_FILE, &REFRESH_TOKEN_OUTPUT];
#[cfg(not(feature = "classic-grants"))]
const STORED: [&PathSetting; 0] = [];

/// Refuses a report that would be written over a token or a stored secret. It is asked before the report is opened, since even the
/// report of a failure would do so.
pub fn check_report(typed: &Typed, env: &Env) -> Result<(), Error> {
    let mut resolver = Resolver::new(typed, env);
    resolver.differ(&REPORT, &[&OUTPUT, &SUBJECT_TOKEN_FILE])?;
    resolver.differ(&REPORT, &STORED)
}

impl Resolver<'_> {
    /// Refuses to write the token over the one that it is made of.
    pub(super) fn check_output(&mut self) -> Result<(), Error> {
        self.differ(&OUTPUT, &[&SUBJECT_TOKEN_FILE])
    }

    /// Refuses one file for two things.
    #[cfg(feature = "classic-grants")]
    pub(super) fn check_places(&mut self) -> Result<(), Error> {
        self.differ(&OUTPUT, &STORED)?;
        self.differ(&CLIENT_SECRET_FILE, &[&PASSWORD_FILE, &REFRESH_TOKEN_FILE, &REFRESH_TOKEN_OUTPUT])?;
        self.differ(&PASSWORD_FILE, &[&REFRESH_TOKEN_FILE, &REFRESH_TOKEN_OUTPUT])
    }

    fn differ(&mut self, one: &PathSetting, others: &[&PathSetting]) -> Result<(), Error> {
        let Some(path) = self.named(one).map(|path| place(&path)) else { return Ok(()) };
        for other in others {
            if self.named(other).is_some_and(|other| place(&other) == path) {
                let message = format!("{} and {} name the same file", one.row.flag, other.row.flag);
                return Err(Error::new(Code::CfgValueInvalid, message)
                    .with_cure("Give each of them a file of its own: one would be written over the other, or be sent in its place."));
            }
        }
        Ok(())
    }

    /// The file that a setting of this command names, unless it is a standard stream.
    fn named(&mut self, setting: &PathSetting) -> Option<PathBuf> {
        let is_here = self.command().is_some_and(|command| setting.row.on.contains(&command));
        let path = if is_here { self.path(setting) } else { None };
        path.map(|path| path.value).filter(|path| path.as_os_str() != "-")
    }
}

/// The place of a file, whichever way leads there. It need not be there yet.
fn place(path: &Path) -> PathBuf {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let name = path.file_name().map(OsString::from).unwrap_or_default();
    fs::canonicalize(path)
        .or_else(|_| fs::canonicalize(parent).map(|parent| parent.join(name)))
        .unwrap_or_else(|_| path.to_owned())
}
