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

/// Tells whether a line about a wait may count down in its place: where a person looks on, and no log is kept.
pub fn counts_down(stderr_is_terminal: bool, env: &Env) -> bool {
    // On Windows a terminal has no name.
    let is_able = env.os(names::TERM).map_or(cfg!(windows), |name| name != "dumb");
    stderr_is_terminal && is_able && !env.has(names::CI)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_counts_down_where_a_log_is_kept() {
        let able = |pairs: &[(&str, &str)]| counts_down(true, &Env::fixed(pairs.iter().copied()));
        assert!(able(&[("TERM", "xterm")]) && able(&[("TERM", "xterm"), ("NO_COLOR", "1"), ("CI", "")]));
        assert!(!able(&[("TERM", "dumb")]) && !able(&[("TERM", "xterm"), ("CI", "true")]));
        assert_eq!(able(&[]), cfg!(windows));
        assert!(!counts_down(false, &Env::fixed([("TERM", "xterm")])));
    }
}
