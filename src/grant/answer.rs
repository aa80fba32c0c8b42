//! The part that every server's answer has in common: JSON, a token, and a life in seconds. Read strictly: what a careful server would
//! never send is refused, because it would otherwise end up in a shell, a log or a provider.

use serde_json::{Map, Value};

use crate::error::{Code, Error};
use crate::http::Response;
use crate::json::{self, SecretObject};
use crate::report::console::Console;
use crate::secret::Secret;
use crate::text::quote;

/// The shortest and longest access token that is accepted, in bytes.
const TOKEN_LENGTH: std::ops::RangeInclusive<usize> = 16..=32_768;

/// The longest life that is believed, in seconds: a year.
const MAX_LIFE: f64 = 31_536_000.0;

/// A server whose answers are read, and the codes for what is wrong with them.
pub(super) struct Server {
    /// As it stands in messages, e.g. `the STS`.
    pub(super) name: &'static str,
    /// The code for success without JSON.
    pub(super) not_json: Code,
    /// The code for a member that is missing or cannot be right.
    pub(super) invalid: Code,
}

impl Server {
    /// Reads the members of an answer that claims success.
    pub(super) fn members(&self, response: &Response) -> Result<SecretObject, Error> {
        if !response.is_json() {
            let kind = response.media_type().map_or_else(|| "none".to_owned(), quote);
            let message = format!(
                "{} answered success, but not with JSON: {} bytes of media type {kind}",
                self.name,
                response.body.len()
            );
            return Err(Error::new(self.not_json, message));
        }
        SecretObject::parse(&response.body)
            .map_err(|why| Error::new(self.not_json, format!("{}'s answer cannot be read: {why}", self.name)))
    }

    /// Makes an error of what cannot be right.
    pub(super) fn invalid(&self, message: impl Into<String>) -> Error {
        Error::new(self.invalid, message)
    }

    /// Returns a member that has to be a string.
    pub(super) fn text<'m>(&self, members: &'m Map<String, Value>, name: &str) -> Result<&'m str, Error> {
        let server = self.name;
        match members.get(name) {
            Some(Value::String(text)) => Ok(text),
            Some(other) => {
                let kind = json::kind(other);
                Err(self.invalid(format!("{server}'s answer has {kind} as {name} instead of a string")))
            }
            None => Err(self.missing(name)),
        }
    }

    /// Makes the error of a member that is not there.
    pub(super) fn missing(&self, name: &str) -> Error {
        self.invalid(format!("{}'s answer has no {name}", self.name))
    }

    /// Makes sure that a token has the alphabet of RFC 6750 section 2.1. It leaves nothing that a shell, a runner file or a
    /// log could misread.
    pub(super) fn check_token(&self, name: &str, token: &str) -> Result<(), Error> {
        let server = self.name;
        if !TOKEN_LENGTH.contains(&token.len()) {
            let length = token.len();
            return Err(
                self.invalid(format!("{server}'s {name} has {length} bytes, which no access token has"))
            );
        }
        let body = token.trim_end_matches('=');
        if body.is_empty() || !body.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/".contains(&b)) {
            return Err(self.invalid(format!(
                "{server}'s {name} holds a character that no bearer token may hold (RFC 6750)"
            )));
        }
        Ok(())
    }

    /// Reads a number of seconds as a life. Numbers are JSON's, so 3600, 3600.0 and 3.6e3 are the same.
    pub(super) fn life(&self, name: &str, seconds: f64, shown: &str) -> Result<u64, Error> {
        if (1.0..=MAX_LIFE).contains(&seconds) {
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "the range has been checked"
            )]
            return Ok(seconds.floor() as u64);
        }
        let server = self.name;
        Err(self.invalid(format!("{server}'s {name} is {shown}, which is no life of a token in seconds")))
    }
}

/// Keeps the tokens of an answer out of every line, also where another member repeats one and is shown.
pub(super) fn guard_tokens(members: &Map<String, Value>, console: &Console) {
    for token in ["access_token", "refresh_token"] {
        if let Some(Value::String(token)) = members.get(token) {
            console.guard(&Secret::new(token.as_str()));
        }
    }
}

/// Refuses a token that expires sooner than the user wants.
pub fn check_life(expires_in: u64, min_ttl: u64) -> Result<(), Error> {
    if expires_in >= min_ttl {
        return Ok(());
    }
    Err(Error::new(Code::TokenTtlTooShort, "the access token expires too soon")
        .with_detail("expected", format!("at least {min_ttl} s (--min-ttl)"))
        .with_detail("found", format!("{expires_in} s")))
}
