//! The file that `--report` names: opened before the run, written after it.

use std::path::Path;
use std::time::Duration;

use crate::error::Error;
use crate::output::sink::{NewFile, public_file};
use crate::report::Report;
use crate::report::console::Console;

/// The place of the report.
pub enum ReportFile {
    /// Nowhere.
    None,
    /// Standard error.
    Stderr,
    /// A file, opened already.
    File(Box<NewFile>),
}

impl ReportFile {
    /// Opens the place that `--report` names.
    pub fn open(path: Option<&Path>) -> Result<Self, Error> {
        match path {
            None => Ok(Self::None),
            Some(path) if path.as_os_str() == "-" => Ok(Self::Stderr),
            Some(path) => public_file(path).map(|file| Self::File(Box::new(file))),
        }
    }

    /// Writes the report.
    pub fn write(
        self,
        report: &Report,
        error: Option<&Error>,
        elapsed: Duration,
        console: &Console,
    ) -> Result<(), Error> {
        if matches!(self, Self::None) {
            return Ok(());
        }
        let mut text = report.render(error, elapsed, console).to_string();
        text.push('\n');
        match self {
            Self::None => Ok(()),
            // A file is written anew at the end. Of two reports in one stream a reader would not know which to take.
            Self::Stderr if report.is_interim && error.is_none() => Ok(()),
            Self::Stderr => {
                console.json(&text);
                Ok(())
            }
            Self::File(file) => file.commit(text.as_bytes()).map(drop),
        }
    }
}
