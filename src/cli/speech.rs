//! Verbosity and colours, which every command has.

use crate::cli::table::{COLOR, QUIET, VERBOSE};
use crate::cli::typed::Typed;
use crate::env::{Env, names};
use crate::report::console::Verbosity;

/// The condition for using colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Auto, Self::Always, Self::Never];

    /// The value of `--color`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Always => "always",
            Self::Never => "never",
        }
    }
}

/// Returns how much is said.
pub fn verbosity(typed: &Typed) -> Verbosity {
    match (typed.has(&QUIET.row), typed.has(&VERBOSE.row)) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Verbose,
        (false, false) => Verbosity::Normal,
    }
}

/// Tells whether standard error gets colours.
pub fn use_color(typed: &Typed, stderr_is_terminal: bool, env: &Env) -> bool {
    // The parser has refused every other word.
    let color = typed.text(&COLOR.row).and_then(|word| (COLOR.parse)(word).ok());
    match color.unwrap_or_default() {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => stderr_is_terminal && !env.has(names::NO_COLOR),
    }
}
