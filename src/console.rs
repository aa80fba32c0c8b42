//! Standard error: the only way in which the program speaks to people and to the runner's log.
//!
//! Every line is cleaned and scrubbed of secrets here, whoever wrote it. The one exception is [`Console::mask`],
//! which hands a secret to the runner so that it hides it.

use std::io::{self, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::Error;
use crate::secret::Secret;
use crate::text::{self, Redactor};

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verbosity {
    /// Errors, and what the runner needs.
    Quiet,
    /// Also warnings and one line for the result.
    Normal,
    /// Also what is being done.
    Verbose,
}

/// Writes to standard error.
pub struct Console {
    out: Mutex<Box<dyn Write + Send>>,
    redactor: Mutex<Redactor>,
    verbosity: Verbosity,
    color: bool,
}

impl Console {
    /// A console that writes to `out`.
    pub fn new(out: Box<dyn Write + Send>, verbosity: Verbosity, color: bool) -> Self {
        Self { out: Mutex::new(out), redactor: Mutex::new(Redactor::default()), verbosity, color }
    }

    /// From now on, no line shows this secret.
    pub fn guard(&self, secret: &Secret) {
        lock(&self.redactor).add(secret.reveal());
    }

    /// What is being done, for `-v`.
    pub fn detail(&self, line: &str) {
        self.say(Verbosity::Verbose, "equinix-wif: ", "2", line);
    }

    /// What was done.
    pub fn note(&self, line: &str) {
        self.say(Verbosity::Normal, "equinix-wif: ", "", line);
    }

    /// Something that may surprise later.
    pub fn warn(&self, line: &str) {
        self.say(Verbosity::Normal, "warning: ", "1;33", line);
    }

    /// The failure of the run: message, details and cure.
    pub fn error(&self, error: &Error) {
        self.say(Verbosity::Quiet, &format!("error[{}]: ", error.code().name()), "1;31", error.message());
        let width = error.details().iter().map(|(label, _)| label.len()).max().unwrap_or(0);
        for (label, value) in error.details() {
            self.say(
                Verbosity::Quiet,
                "",
                "",
                &format!("  {label}:{:pad$} {value}", "", pad = width - label.len()),
            );
        }
        self.say(Verbosity::Quiet, "hint: ", "1;36", error.cure());
    }

    /// A GitHub annotation, so that the failure stands on the run's page as well.
    pub fn annotate(&self, error: &Error) {
        let mut message = error.message().to_owned();
        for (label, value) in error.details() {
            message.push_str(&format!("\n{label}: {value}"));
        }
        message.push_str("\nhint: ");
        message.push_str(error.cure());
        let data = self.safe_lines(&message).replace('%', "%25").replace('\n', "%0A");
        // The title holds nothing but our own words: the runner does not mask it.
        self.raw(&format!("::error title=equinix-wif {}::{data}\n", error.code().name())).ok();
    }

    /// A line of JSON whose texts have been made safe already.
    pub fn json(&self, line: &str) {
        self.raw(line).ok();
    }

    /// Tells the runner to hide this secret from now on. The line stands at column 0 and is flushed.
    ///
    /// Fails when standard error cannot be written: then the secret must go nowhere.
    pub fn mask(&self, secret: &Secret) -> io::Result<()> {
        let escaped = secret.reveal().replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
        self.raw(&format!("::add-mask::{escaped}\n"))
    }

    /// A text as it may be shown: cleaned, and without the secrets of this run.
    pub fn safe(&self, line: &str) -> String {
        lock(&self.redactor).scrub(&text::clean(line)).0
    }

    /// Several lines, each as it may be shown.
    pub fn safe_lines(&self, text: &str) -> String {
        text.split('\n').map(|line| self.safe(line)).collect::<Vec<_>>().join("\n")
    }

    /// Whether showing this text needed a secret to be cut out: somebody echoed it.
    pub fn holds_secret(&self, line: &str) -> bool {
        lock(&self.redactor).scrub(&text::clean(line)).1
    }

    fn say(&self, level: Verbosity, prefix: &str, style: &str, text: &str) {
        if level > self.verbosity {
            return;
        }
        let mut line = String::new();
        for (number, part) in text.split('\n').enumerate() {
            if number == 0 && self.color && !style.is_empty() {
                line.push_str(&format!("\u{1b}[{style}m{prefix}\u{1b}[0m"));
            } else if number == 0 {
                line.push_str(prefix);
            }
            line.push_str(&self.safe(part));
            line.push('\n');
        }
        // Nobody is left to be told when standard error is gone.
        self.raw(&line).ok();
    }

    /// One write and a flush, so that lines of several threads or processes do not mix.
    fn raw(&self, line: &str) -> io::Result<()> {
        let mut out = lock(&self.out);
        out.write_all(line.as_bytes())?;
        out.flush()
    }
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

    /// What a console wrote.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn written(verbosity: Verbosity, color: bool, act: impl FnOnce(&Console)) -> String {
        let (console, lines) = captured::console(verbosity, color);
        act(&console);
        lines.text()
    }

    #[test]
    fn each_verbosity_says_what_it_should() {
        let all = |console: &Console| {
            console.detail("d");
            console.note("n");
            console.warn("w");
            console.error(
                &Error::new(Code::ClaimAud, "e")
                    .with_detail("found", "f")
                    .with_detail("expected", "x")
                    .with_cure("h"),
            );
        };
        let error = "error[claim-aud]: e\n  found:    f\n  expected: x\nhint: h\n";
        assert_eq!(written(Verbosity::Quiet, false, all), error);
        assert_eq!(written(Verbosity::Normal, false, all), format!("equinix-wif: n\nwarning: w\n{error}"));
        assert_eq!(
            written(Verbosity::Verbose, false, all),
            format!("equinix-wif: d\nequinix-wif: n\nwarning: w\n{error}")
        );
        assert!(
            written(Verbosity::Quiet, true, all).starts_with("\u{1b}[1;31merror[claim-aud]: \u{1b}[0me\n")
        );
    }

    #[test]
    fn secrets_and_commands_never_reach_a_line() {
        let out = written(Verbosity::Normal, false, |console| {
            console.guard(&Secret::new("the-bearer-of-this-run"));
            console.warn("server said ::set-env::the-bearer-of-this-run");
            assert!(console.holds_secret("the-bearer-of-th") && !console.holds_secret("the-bearer"));
        });
        assert_eq!(out, "warning: server said : :set-env: :***\n");
    }

    #[test]
    fn a_mask_is_one_escaped_line_at_column_zero() {
        let out = written(Verbosity::Quiet, false, |console| {
            console.mask(&Secret::new("a%b\nc")).unwrap();
        });
        assert_eq!(out, "::add-mask::a%25b%0Ac\n");
    }

    #[test]
    fn an_annotation_cannot_be_broken_out_of() {
        let out = written(Verbosity::Quiet, false, |console| {
            console.annotate(&Error::new(Code::StsDenied, "100% ::add-mask::x\n::debug::y").with_cure("h"));
        });
        assert_eq!(
            out,
            "::error title=equinix-wif sts-denied::100%25 : :add-mask: :x%0A: :debug: :y%0Ahint: h\n"
        );
    }
}
