//! The process's streams, and what is known about them.

use std::io::Write;

/// The kind of standard output, as far as it matters for a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StdoutKind {
    /// A file, a pipe or a device.
    Ordinary,
    /// A terminal, where people would see the token.
    Terminal,
    /// The null device. It may be what a closed one has become: the runtime puts that device in its place before the
    /// program can look, just as other programs hand it over for "discard".
    Discarded,
}

/// The streams, but for standard error itself: that belongs to the console.
pub struct Streams<'a> {
    /// Standard output, which gets the payload only.
    pub stdout: &'a mut dyn Write,
    /// The kind of standard output.
    pub stdout_kind: StdoutKind,
    /// True if standard input is a terminal, where nobody answers.
    pub stdin_is_terminal: bool,
    /// True if standard error is a terminal.
    pub stderr_is_terminal: bool,
    /// True if standard error leads to a file or nowhere, so that a runner cannot read it.
    pub stderr_is_lost: bool,
}
