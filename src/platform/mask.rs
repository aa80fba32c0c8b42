//! Tells the runner what to hide.

use crate::child::{Helper, Trouble};
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::secret::Secret;
use crate::session::Session;

use super::{PLATFORMS, Platform};

/// The way in which a runner is told to hide a value in the job log.
#[derive(Clone, Copy)]
pub enum Mask {
    /// There is none.
    None,
    /// A line on standard error, which the runner reads. The function makes it of the value, without a line break.
    Line(fn(&str) -> String),
    /// A program with its arguments, which reads the value from standard input.
    Program(Helper, &'static [&'static str]),
}

impl Mask {
    /// Tells whether another one says the same to the runner.
    fn is_same(self, other: Self) -> bool {
        match (self, other) {
            (Self::Line(one), Self::Line(other)) => one("x") == other("x"),
            (Self::Program(one, its), Self::Program(other, others)) => one == other && its == others,
            _ => false,
        }
    }
}

/// The masks that protect a run: of the platform that the identity comes from, and of each one whose runner is around. A
/// runner that is not there would never obey its command: the log would show the secret in it. One variable is easily planted, so
/// what may only have been passed on by a runner counts for nothing where another one is.
#[derive(Clone)]
pub struct Masks(Vec<Mask>);

impl Masks {
    /// Finds the masks that protect a run. An identity that is not known yet is `None`.
    pub fn of(env: &Env, identity: Option<&dyn Platform>) -> Self {
        let id = identity.map(|platform| platform.facts().id);
        // A stored secret is no runner's: nothing leads to it that a runner could have passed on.
        let may_be_passed_on = id != Some("") && super::detected(env).is_empty();
        let facts = PLATFORMS.iter().map(|platform| platform.facts());
        let reading = facts.filter(|facts| {
            id == Some(facts.id) || facts.is_marked(env) || (may_be_passed_on && facts.is_around(env))
        });
        let mut masks: Vec<Mask> = Vec::new();
        for mask in reading.map(|facts| facts.mask) {
            // A platform that imitates another one has its command.
            if !matches!(mask, Mask::None) && !masks.iter().any(|known| known.is_same(mask)) {
                masks.push(mask);
            }
        }
        Self(masks)
    }

    /// Tells whether no runner can be told to hide anything.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Tells whether a runner has to read standard error for them.
    pub fn need_stderr(&self) -> bool {
        self.0.iter().any(|mask| matches!(mask, Mask::Line(_)))
    }

    /// Leaves the lines out: for a reader of standard error that would show them instead of obeying them.
    #[must_use]
    pub fn without_lines(self) -> Self {
        Self(self.0.into_iter().filter(|mask| !matches!(mask, Mask::Line(_))).collect())
    }

    /// Makes sure that masks can be delivered, before there is anything to hide.
    pub fn check(&self, env: &Env, stderr_is_lost: bool) -> Result<(), Error> {
        if self.need_stderr() && stderr_is_lost {
            let message = "standard error of this step does not reach the runner";
            return Err(Error::new(Code::MaskUndeliverable, message));
        }
        for mask in &self.0 {
            if let Mask::Program(helper, _) = mask {
                helper.find(env).map_err(|why| undelivered(helper, &why))?;
            }
        }
        Ok(())
    }

    /// Has the runners hide a secret from now on. When that fails, the secret must go nowhere.
    pub fn hide(&self, secret: &Secret, session: &Session, by: Deadline) -> Result<(), Error> {
        for mask in &self.0 {
            match mask {
                Mask::None => {}
                Mask::Line(line) => {
                    let most = if session.is_in_background() { WHOLE_IN_A_PIPE } else { usize::MAX };
                    for piece in pieces(secret, most) {
                        let written = session.console.mask(&piece, *line);
                        written.map_err(|_| {
                            let message = "the mask could not be written to standard error";
                            Error::new(Code::MaskUndeliverable, message)
                        })?;
                    }
                }
                Mask::Program(helper, arguments) => {
                    helper
                        .run(&session.env, arguments, Some(secret), by)
                        .map_err(|why| undelivered(helper, &why))?;
                }
            }
        }
        Ok(())
    }
}

/// The error of a program that hides nothing.
fn undelivered(helper: &Helper, why: &Trouble) -> Error {
    let program = helper.program;
    let message = format!("the token could not be hidden with {program}: {}", why.text());
    Error::new(Code::MaskUndeliverable, message).with_cure(format!(
        "Without it the log would show the token. Make sure that {program} is in a folder of PATH and works in this job: a container needs it, and the variables with which the runner calls it."
    ))
}

/// The length of a secret whose mask fits into one write that no other writer of a pipe can come between. POSIX promises that
/// for 512 bytes, Linux for 4096 (`PIPE_BUF`); some are for the command around the secret.
const WHOLE_IN_A_PIPE: usize = if cfg!(target_os = "linux") { 4000 } else { 440 };

/// Cuts a secret into pieces of about the same length, each of which can be hidden by itself. A runner that hides every piece
/// hides the whole.
fn pieces(secret: &Secret, most: usize) -> Vec<Secret> {
    let text = secret.reveal();
    let count = text.len().div_ceil(most).max(1);
    let length = text.len().div_ceil(count).max(1);
    // What can be masked is ASCII.
    text.as_bytes()
        .chunks(length)
        .filter_map(|piece| std::str::from_utf8(piece).ok())
        .map(Secret::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::session::fixed;

    #[test]
    fn a_long_secret_is_hidden_in_pieces_that_are_written_whole() {
        for (length, most, expected) in [
            (10, 4000, vec![10]),
            (4000, 4000, vec![4000]),
            (4001, 4000, vec![2001, 2000]),
            (9000, 4000, vec![3000; 3]),
            (32_768, usize::MAX, vec![32_768]),
        ] {
            let secret = Secret::new("s".repeat(length));
            let found: Vec<_> = pieces(&secret, most).iter().map(|piece| piece.reveal().len()).collect();
            assert_eq!(found, expected, "{length}");
        }
    }

    fn lines(pairs: &[(&str, &str)]) -> usize {
        Masks::of(&Env::fixed(pairs.iter().copied()), None).0.len()
    }

    #[test]
    fn masks_follow_the_runner_and_what_it_has_passed_on() {
        assert_eq!(lines(&[("A", "b"), ("GITLAB_CI", "true"), ("GITHUB_ACTIONS", "1")]), 0);
        for pair in [
            ("GITHUB_ACTIONS", "true"),
            ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x"),
            ("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "x"),
        ] {
            assert_eq!(lines(&[pair]), 1, "{pair:?}");
        }
        // Another runner is there.
        let planted = [("GITLAB_CI", "true"), ("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x")];
        assert_eq!(lines(&planted), 0);
        let passed_on = Env::fixed([("ACTIONS_ID_TOKEN_REQUEST_URL", "https://x")]);
        assert_eq!(Masks::of(&passed_on, Some(&super::super::nowhere::Nowhere)).0.len(), 0);
        // Whoever imitates GitHub reads its commands.
        assert_eq!(lines(&[("GITHUB_ACTIONS", "true"), ("FORGEJO_ACTIONS", "true")]), 1);
        let github = PLATFORMS.iter().copied().find(|platform| platform.facts().id == "github");
        let env = Env::fixed([("A", "b")]);
        assert!(Masks::of(&env, github).need_stderr());
        assert!(Masks::of(&env, github).without_lines().is_empty());
        assert_eq!(Masks::of(&env, github).check(&env, true).unwrap_err().code(), Code::MaskUndeliverable);
        assert!(Masks::of(&env, None).check(&env, true).is_ok());
    }

    #[cfg(unix)]
    fn shell(script: &'static [&'static str]) -> Mask {
        Mask::Program(Helper { program: "sh", variables: &[], beginnings: &[] }, script)
    }
    #[cfg(unix)]
    const GONE: Mask =
        Mask::Program(Helper { program: "/no/such/program", variables: &[], beginnings: &[] }, &[]);

    #[cfg(unix)]
    #[test]
    fn a_program_gets_the_secret_on_its_standard_input_and_has_to_succeed() {
        let (session, _) = fixed::session(&[("PATH", "/bin:/usr/bin")], 0);
        let by = Deadline::within(Duration::from_secs(20));
        let secret = Secret::new("the secret");
        let hide = |mask| Masks(vec![mask]).hide(&secret, &session, by);
        let takes = shell(&["-c", r#"test "$(cat)" = 'the secret'"#]);
        assert!(hide(takes).is_ok());
        for mask in [shell(&["-c", "cat > /dev/null; exit 3"]), GONE] {
            let error = hide(mask).unwrap_err();
            assert_eq!(error.code(), Code::MaskUndeliverable);
            assert!(!error.message().contains("the secret"));
        }
        assert!(Masks(vec![GONE]).check(&session.env, false).is_err());
        assert!(Masks(vec![takes]).check(&session.env, true).is_ok(), "it needs no stderr");
    }
}
