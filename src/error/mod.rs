//! The one error type, and the table of its codes.
//!
//! Every failure has a [`Code`]: stable, append-only, kebab-case. The tables in `codes` give its exit class, the stage
//! where it normally arises, and the cause, cure and example that `explain` prints and `docs/errors.md` holds. An
//! [`Error`] adds what happened this time.
//!
//! Texts in an error may quote a server, a token or a variable. They are made safe twice: by [`crate::text::quote`]
//! where they are put in, and by the console and the report when they are written.

mod codes;

use std::fmt;
use std::time::Duration;

pub use codes::Code;

/// The exit status's class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 1: a defect of this program or of the machine.
    Internal,
    /// 2: usage or configuration.
    Usage,
    /// 3: this job has no identity to offer.
    NoIdentity,
    /// 4: the ID token could not be obtained or read.
    IdToken,
    /// 5: a claim or expectation does not hold.
    Claims,
    /// 6: the STS or the API refused.
    Refused,
    /// 7: the STS, the API or the issuer broke the protocol.
    Protocol,
    /// 8: transient, and the retries are used up.
    Transient,
    /// 9: the token could not be delivered.
    Delivery,
    /// 10: refused for safety.
    Safety,
    /// 126: `exec` found the command, but it cannot be run.
    NotExecutable,
    /// 127: `exec` did not find the command.
    NotFound,
}

impl Exit {
    /// The process's exit status.
    pub const fn status(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::NoIdentity => 3,
            Self::IdToken => 4,
            Self::Claims => 5,
            Self::Refused => 6,
            Self::Protocol => 7,
            Self::Transient => 8,
            Self::Delivery => 9,
            Self::Safety => 10,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
        }
    }

    /// The exit status under `exec`, where the statuses below belong to the command (as with `env` and `nohup` of
    /// POSIX.1-2024): 125 for whatever failed before it ran.
    pub const fn status_under_exec(self) -> u8 {
        match self {
            Self::NotExecutable | Self::NotFound => self.status(),
            _ => 125,
        }
    }

    /// Tells whether running the same job again may succeed without a change.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::Transient)
    }

    /// Returns what to do with the same job, in a word or two.
    pub const fn again(self) -> &'static str {
        match self {
            Self::Transient => "yes",
            Self::Delivery => "perhaps",
            Self::Internal | Self::Protocol => "report it",
            _ => "no",
        }
    }

    /// The class in words, for `explain` and the documentation.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Internal => "internal error",
            Self::Usage => "usage or configuration",
            Self::NoIdentity => "this job has no identity to offer",
            Self::IdToken => "the ID token could not be obtained or read",
            Self::Claims => "a claim or expectation does not hold",
            Self::Refused => "the STS or the API refused",
            Self::Protocol => "the STS, the API or the issuer broke the protocol",
            Self::Transient => "transient, retries used up",
            Self::Delivery => "the token could not be delivered",
            Self::Safety => "refused for safety",
            Self::NotExecutable => "the command cannot be run",
            Self::NotFound => "the command was not found",
        }
    }

    /// All classes in the order of their status.
    pub const ALL: [Self; 12] = [
        Self::Internal,
        Self::Usage,
        Self::NoIdentity,
        Self::IdToken,
        Self::Claims,
        Self::Refused,
        Self::Protocol,
        Self::Transient,
        Self::Delivery,
        Self::Safety,
        Self::NotExecutable,
        Self::NotFound,
    ];
}

/// The part of the data flow in which an error arose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Arguments and environment.
    Config,
    /// Finding the platform and fetching the ID token.
    Identity,
    /// Reading and checking the ID token.
    Claims,
    /// Asking the STS.
    Exchange,
    /// Handing the token over.
    Delivery,
}

impl Stage {
    /// The name in the report.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::Identity => "identity",
            Self::Claims => "claims",
            Self::Exchange => "exchange",
            Self::Delivery => "delivery",
        }
    }
}

/// A failure: a code, what happened this time, and what to do.
#[derive(Debug)]
pub struct Error(Box<Parts>);

#[derive(Debug)]
struct Parts {
    code: Code,
    stage: Stage,
    message: String,
    details: Vec<(&'static str, String)>,
    cure: Option<String>,
    http_status: Option<u16>,
    oauth_error: Option<String>,
    attempts: Option<u32>,
    retry_after: Option<Duration>,
    echoed_secret: bool,
}

impl Error {
    /// A failure with its table entry's stage and cure.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            code,
            stage: code.stage(),
            message: message.into(),
            details: Vec::new(),
            cure: None,
            http_status: None,
            oauth_error: None,
            attempts: None,
            retry_after: None,
            echoed_secret: false,
        }))
    }

    /// Replaces the table's cure by a more exact one.
    #[must_use]
    pub fn with_cure(mut self, cure: impl Into<String>) -> Self {
        self.0.cure = Some(cure.into());
        self
    }

    /// Adds a line below the message, such as `expected` or `found`.
    #[must_use]
    pub fn with_detail(mut self, label: &'static str, value: impl Into<String>) -> Self {
        self.0.details.push((label, value.into()));
        self
    }

    /// Replaces the table's stage, for codes that several stages share.
    #[must_use]
    pub fn with_stage(mut self, stage: Stage) -> Self {
        self.0.stage = stage;
        self
    }

    /// Records the HTTP status that the failure came with.
    #[must_use]
    pub fn with_http_status(mut self, status: u16) -> Self {
        self.0.http_status = Some(status);
        self
    }

    /// Records the `error` member of an OAuth error answer (RFC 6749 section 5.2).
    #[must_use]
    pub fn with_oauth_error(mut self, error: impl Into<String>) -> Self {
        self.0.oauth_error = Some(error.into());
        self
    }

    /// Records for how long the server asks to be left alone.
    #[must_use]
    pub fn with_retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Records how many attempts were made.
    #[must_use]
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.0.attempts = Some(attempts);
        self
    }

    /// Records that the server's answer held a secret of ours.
    #[must_use]
    pub fn with_echoed_secret(mut self, echoed: bool) -> Self {
        self.0.echoed_secret = echoed;
        self
    }

    /// The stable code.
    pub fn code(&self) -> Code {
        self.0.code
    }

    /// Returns the part of the data flow in which it arose.
    pub fn stage(&self) -> Stage {
        self.0.stage
    }

    /// Returns what happened, in one sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Labelled lines below the message.
    pub fn details(&self) -> &[(&'static str, String)] {
        &self.0.details
    }

    /// Returns what to do: the exact cure of this failure, else the table's.
    pub fn cure(&self) -> &str {
        self.0.cure.as_deref().unwrap_or_else(|| self.0.code.cure())
    }

    /// The HTTP status, if one was received.
    pub fn http_status(&self) -> Option<u16> {
        self.0.http_status
    }

    /// The OAuth error code, if one was received.
    pub fn oauth_error(&self) -> Option<&str> {
        self.0.oauth_error.as_deref()
    }

    /// Tells whether the server's answer held a secret of ours.
    pub fn echoed_secret(&self) -> bool {
        self.0.echoed_secret
    }

    /// Returns for how long the server asks to be left alone, if that is why there was no further attempt.
    #[cfg_attr(not(feature = "renew"), allow(dead_code, reason = "only a run that goes on can wait"))]
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// Returns how many attempts were made, if requests were involved.
    pub fn attempts(&self) -> Option<u32> {
        self.0.attempts
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error[{}]: {}", self.0.code.name(), self.0.message)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_classes_have_the_contract_s_numbers() {
        let numbers: Vec<u8> = Exit::ALL.iter().map(|e| e.status()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 126, 127]);
        let under_exec: Vec<u8> = Exit::ALL.iter().map(|e| e.status_under_exec()).collect();
        assert_eq!(under_exec, [125, 125, 125, 125, 125, 125, 125, 125, 125, 125, 126, 127]);
        let retryable: Vec<u8> = Exit::ALL.iter().filter(|e| e.retryable()).map(|e| e.status()).collect();
        assert_eq!(retryable, [8]);
    }

    #[test]
    fn an_exact_cure_replaces_the_table_s_cure() {
        let error = Error::new(Code::ClaimAud, "x");
        assert_eq!(error.cure(), Code::ClaimAud.cure());
        assert_eq!(error.with_cure("y").cure(), "y");
    }
}
