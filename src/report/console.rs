//! Standard error: the only way in which the program speaks to people and to the runner's log.
//!
//! Every line is cleaned and scrubbed of secrets here, whoever wrote it. The one exception is [`Console::mask`],
//! which hands a secret to the runner so that it hides it.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use zeroize::Zeroizing;

use crate::env::{Env, names};
use crate::error::Error;
use crate::secret::Secret;
use crate::text::{self, Redactor, WITHHELD};

#[cfg(test)]
mod tests;

/// Variables that hold Equinix's secrets, whether or not this run will use them. Those of identities are the platforms'.
pub const SECRET_VARIABLES: [&str; 6] = [
    names::API_TOKEN,
    names::CLIENT_ID,
    names::CLIENT_SECRET,
    names::CLI_CLIENT_ID,
    names::CLI_CLIENT_SECRET,
    "EQUINIX_API_CLIENT_SECRET",
];

/// The amount of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors, and what the runner needs.
    Quiet,
    /// The same, and warnings and one line for the result.
    Normal,
    /// The same, and what is being done.
    Verbose,
}

/// Takes back what stands in the line of the cursor (ECMA-48: CR, EL).
const TAKE_BACK: &str = "\r\u{1b}[K";

/// The kind of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Something that is being done.
    Detail,
    /// Something that was done.
    Note,
    /// Something that may surprise later.
    Warning,
    /// A failure, or a part of one.
    Error,
}

/// Takes lines in place of standard error, each with its kind, cleaned and without secrets.
pub type Log = Box<dyn Fn(Kind, &str) + Send + Sync>;

/// Writes to standard error.
pub struct Console {
    /// The place for people's lines, if that is another one than for the runner's commands.
    log: Option<Log>,
    out: Mutex<Out>,
    redactor: Mutex<Redactor>,
    verbosity: Verbosity,
    color: bool,
    /// True if a line can take the place of the one before.
    counts_down: bool,
}

/// Standard error.
struct Out {
    stream: Box<dyn Write + Send>,
    /// True if the cursor stands behind a line that the next one replaces.
    is_passing: bool,
}

impl Console {
    /// A console that writes to `out`.
    pub fn new(out: Box<dyn Write + Send>, verbosity: Verbosity, color: bool) -> Self {
        let out = Mutex::new(Out { stream: out, is_passing: false });
        let redactor = Mutex::new(Redactor::default());
        Self { log: None, out, redactor, verbosity, color, counts_down: false }
    }

    /// The same console, where a line can take the place of the one before, or cannot.
    #[must_use]
    pub fn with_countdown(self, counts_down: bool) -> Self {
        Self { counts_down, ..self }
    }

    /// Shows a line about a wait that the next one replaces, whoever writes it. Returns `false`, and shows nothing, where a line
    /// stays once it is written.
    pub(super) fn passing(&self, line: &str) -> bool {
        if !self.counts_down || self.verbosity < Verbosity::Normal {
            return false;
        }
        // What does not fit is cut off by the terminal: only one line can be taken back.
        let line = self.safe(line);
        let mut out = lock(&self.out);
        // One write: whoever ends the program in between leaves the terminal as it was.
        let shown = format!("{TAKE_BACK}\u{1b}[?7lequinix-wif: {line}\u{1b}[?7h");
        let written = out.stream.write_all(shown.as_bytes());
        out.is_passing = true;
        written.and_then(|()| out.stream.flush()).ok();
        true
    }

    /// The same console with another place for people's lines. The runner's commands go where they went.
    #[cfg(feature = "service")]
    #[must_use]
    pub fn with_log(self, log: Log) -> Self {
        Self { log: Some(log), ..self }
    }

    /// Keeps a secret out of every line from now on.
    pub fn guard(&self, secret: &Secret) {
        lock(&self.redactor).add(secret.reveal());
    }

    /// Returns how many secrets are known.
    #[cfg(all(test, feature = "renew"))]
    pub fn known_secrets(&self) -> usize {
        lock(&self.redactor).known()
    }

    /// Forgets a secret that is worth nothing any more.
    #[cfg_attr(not(feature = "renew"), allow(dead_code, reason = "only long runs forget"))]
    pub fn forget(&self, secret: &Secret) {
        lock(&self.redactor).forget(secret.reveal());
    }

    /// Keeps the values of these variables out of every line from now on, and that of the variable named for the ID
    /// token. Called before anything can go wrong with the settings.
    pub fn guard_ambient(&self, env: &Env, secret_variables: &[&str]) {
        let named = env.os(names::SUBJECT_TOKEN_ENV_VAR).and_then(|name| name.into_string().ok());
        for name in secret_variables.iter().copied().chain(named.as_deref()) {
            let Some(value) = env.os(name) else { continue };
            let value = Zeroizing::new(value.to_string_lossy().into_owned());
            // Whoever pastes a token adds `Bearer`, or a line break.
            for word in value.split_whitespace().filter(|word| !is_reference(word)) {
                lock(&self.redactor).add(word);
            }
        }
    }

    /// Prints what is being done, with `-v`.
    pub fn detail(&self, line: &str) {
        self.say(Kind::Detail, "equinix-wif: ", "2", line);
    }

    /// Prints what was done.
    pub fn note(&self, line: &str) {
        self.say(Kind::Note, "equinix-wif: ", "", line);
    }

    /// Prints a warning of what may surprise later.
    pub fn warn(&self, line: &str) {
        self.say(Kind::Warning, "warning: ", "1;33", line);
    }

    /// Prints the failure of the run: message, details and cure.
    pub fn error(&self, error: &Error) {
        self.say(Kind::Error, &format!("error[{}]: ", error.code().name()), "1;31", error.message());
        let width = error.details().iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in error.details() {
            let prefix = format!("  {label}:{:pad$} ", "", pad = width - label.len());
            self.say(Kind::Error, &prefix, "", value);
        }
        self.say(Kind::Error, "hint: ", "1;36", error.cure());
    }

    /// Puts the failure on the run's page as well. `form` makes the runner's command of a title, which holds nothing but our
    /// own words, and of a text.
    pub fn annotate(&self, error: &Error, form: fn(&str, &str) -> String) {
        // Each by itself: what has to be withheld of one leaves the others.
        let mut message = self.safe_lines(error.message());
        for (label, value) in error.details() {
            message.push_str(&format!("\n{label}: {}", self.safe_lines(value)));
        }
        message.push_str(&format!("\nhint: {}", self.safe_lines(error.cure())));
        let line = form(&format!("equinix-wif {}", error.code().name()), &self.safe_lines(&message));
        self.raw(&format!("{line}\n")).ok();
    }

    /// Prints a line of JSON whose texts have been made safe already.
    pub fn json(&self, line: &str) {
        self.raw(line).ok();
    }

    /// Tells the runner to hide this secret from now on. `form` makes the runner's command of it. A line break before it
    /// ends what somebody else may have begun to write (`printf 'token ... ' >&2`): a runner obeys a command at column 0
    /// only, and would show this one. Both breaks and the command are one write.
    ///
    /// Fails when standard error cannot be written: then the secret must go nowhere.
    pub fn mask(&self, secret: &Secret, form: fn(&str) -> String) -> io::Result<()> {
        let command = Zeroizing::new(form(secret.reveal()));
        // Room for everything at once, so that no smaller buffer with the secret stays behind.
        let mut line = Zeroizing::new(String::with_capacity(command.len() + 2));
        for piece in ["\n", &command, "\n"] {
            line.push_str(piece);
        }
        self.raw(&line)
    }

    /// A text as it may be shown: cleaned, and without the secrets of this run.
    pub fn safe(&self, line: &str) -> String {
        lock(&self.redactor).scrub(&text::clean(line)).0
    }

    /// Several lines, each as it may be shown.
    pub fn safe_lines(&self, text: &str) -> String {
        // A secret can be disguised by the breaks between lines as well.
        if text.contains('\n') && self.safe(text) == WITHHELD {
            return WITHHELD.to_owned();
        }
        text.split('\n').map(|line| self.safe(line)).collect::<Vec<_>>().join("\n")
    }

    /// Tells whether showing this text needed a secret to be cut out: somebody echoed it.
    pub fn holds_secret(&self, line: &str) -> bool {
        lock(&self.redactor).scrub(&text::clean(line)).1
    }

    fn say(&self, kind: Kind, prefix: &str, style: &str, text: &str) {
        let least = match kind {
            Kind::Detail => Verbosity::Verbose,
            Kind::Note | Kind::Warning => Verbosity::Normal,
            Kind::Error => Verbosity::Quiet,
        };
        if least > self.verbosity {
            return;
        }
        // Only an error's own words have several lines. A break in anything else is somebody's who writes lines of his own.
        let text = if kind == Kind::Error { self.safe_lines(text) } else { self.safe(text) };
        if let Some(log) = &self.log {
            // What kind of line it is, the log says in its own way.
            let prefix = if kind == Kind::Error { prefix } else { "" };
            return log(kind, &format!("{prefix}{text}"));
        }
        let mut line = String::new();
        for (number, part) in text.split('\n').enumerate() {
            if number == 0 && self.color && !style.is_empty() {
                line.push_str(&format!("\u{1b}[{style}m{prefix}\u{1b}[0m"));
            } else if number == 0 {
                line.push_str(prefix);
            }
            line.push_str(part);
            line.push('\n');
        }
        // Nobody is left to be told when standard error is gone.
        self.raw(&line).ok();
    }

    /// Writes a line at once and flushes it, so that lines of several threads or processes do not mix.
    fn raw(&self, line: &str) -> io::Result<()> {
        let mut out = lock(&self.out);
        if std::mem::take(&mut out.is_passing) {
            out.stream.write_all(TAKE_BACK.as_bytes())?;
        }
        out.stream.write_all(line.as_bytes())?;
        out.stream.flush()
    }
}

/// Tells whether a word names a variable, as one that nobody expanded does. That is no secret, and cutting it would spoil the
/// message that tells of it.
fn is_reference(word: &str) -> bool {
    // Azure's are names with dots.
    if let Some(name) = word.strip_prefix("$(").and_then(|rest| rest.strip_suffix(')')) {
        return name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._".contains(&b));
    }
    let name = word.trim_start_matches(['$', '{', '%']).trim_end_matches(['}', '%']);
    name.contains('_') && name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A console whose lines can be read again, for unit tests.
#[cfg(test)]
pub(crate) mod captured {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::{Console, Verbosity};

    /// The lines that a console wrote.
    #[derive(Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(crate) fn console(verbosity: Verbosity, color: bool) -> (Console, Lines) {
        let lines = Lines::default();
        (Console::new(Box::new(lines.clone()), verbosity, color), lines)
    }
}
