//! The command line as it was typed, without any meaning yet.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};

use crate::cli::commands::Command;
use crate::cli::row::Row;

/// A command line as typed: the command, the values of its flags, and what follows them.
#[derive(Debug, Clone, Default)]
pub struct Typed {
    /// The command; none when it could not be told.
    pub command: Option<Command>,
    /// The values of each flag that is there; none for a switch.
    pub(super) values: BTreeMap<&'static str, Vec<OsString>>,
    /// The words that are no flags: an operand, or a command with its arguments.
    pub operands: Vec<OsString>,
}

impl Typed {
    /// Tells whether the flag is there.
    pub fn has(&self, row: &Row) -> bool {
        self.values.contains_key(row.flag)
    }

    /// Returns what was given for a flag that takes a text. An empty text counts as none, like an empty variable.
    pub fn text(&self, row: &Row) -> Option<&str> {
        self.os(row).and_then(OsStr::to_str)
    }

    /// Returns what was given for a flag that takes a path.
    pub fn os(&self, row: &Row) -> Option<&OsStr> {
        self.values.get(row.flag)?.first().map(OsString::as_os_str).filter(|value| !value.is_empty())
    }

    /// All that was given for a flag that takes several texts.
    pub fn texts(&self, row: &Row) -> Vec<&str> {
        self.values.get(row.flag).into_iter().flatten().filter_map(|value| value.to_str()).collect()
    }

    /// Sets a flag as if it had been typed.
    #[cfg(feature = "service")]
    pub fn set(&mut self, row: &Row, value: &str) {
        self.values.insert(row.flag, vec![value.into()]);
    }

    /// The only operand.
    pub fn operand(&self) -> Option<&str> {
        self.operands.first().and_then(|operand| operand.to_str())
    }

    /// The same without any text that was typed: what may be a token is not used for anything.
    #[must_use]
    pub fn without_texts(mut self) -> Self {
        self.values.retain(|_, values| values.is_empty());
        self.operands.clear();
        self
    }
}
