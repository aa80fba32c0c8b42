//! ID tokens that are in a variable when the job starts.

use crate::env::{Env, names as shared};
use crate::error::{Code, Error};
use crate::handle;
use crate::secret::Secret;
use crate::text::{is_reference, quote};

use super::facts::{ReadyToken, Supply};
use super::{Fetched, SUBJECT_TOKENS, Wanted, inside_exec};

impl Supply {
    /// Takes the token out of its variable, where that is the way in which it is handed over.
    pub fn read(&self, env: &Env, wanted: &Wanted) -> Result<Fetched, Error> {
        match self {
            Self::Variable(token) => token.read(env, wanted),
            Self::Request | Self::Endpoint(_) | Self::File => {
                Err(Error::new(Code::Internal, "no variable holds the ID token"))
            }
        }
    }
}

impl ReadyToken {
    /// Takes the token out of its variable and refuses what is plainly no token, each with its own reason.
    pub fn read(&self, env: &Env, wanted: &Wanted) -> Result<Fetched, Error> {
        // Whoever sets a variable of this program's own means it, also where the platform has another one.
        let (names, first) = if let Some(name) = wanted.location.variable.as_deref() {
            (vec![name], name)
        } else {
            let names = SUBJECT_TOKENS.iter().chain(self.variables).copied().collect();
            // Without any of them the platform's first is missed: the one that people are told to use.
            (names, self.variables.first().copied().unwrap_or_default())
        };
        let name = names.iter().copied().find(|name| env.has(name)).unwrap_or(first);
        if env.os(name).is_some_and(|value| value.to_string_lossy().starts_with(handle::PREFIX)) {
            let what =
                format!("the variable {name} holds a handle of equinix-wif exec --renew, and no ID token");
            return Err(inside_exec(Error::new(self.missing, what), env));
        }
        let token = read(env, name, self.missing).map_err(|error| match self.cure {
            Some(cure) if is_about_the_value(error.code(), self.missing) => error.with_cure(cure(wanted)),
            _ => error,
        });
        let token = token
            .map_err(|error| if error.code() == self.missing { taken(error, env, &names) } else { error })?;
        Ok(Fetched { token, skew: None })
    }
}

/// Adds what became of the token, if the environment tells.
fn taken(error: Error, env: &Env, names: &[&str]) -> Error {
    if names.contains(&shared::SUBJECT_TOKEN) && env.has(shared::EXPIRES_AT) {
        // The Terraform provider would take the ID token before the access token.
        let what = format!(
            "an access token was set before, and where the scope is in {}, what sets it unsets {}; nothing unsets {}",
            shared::SCOPE,
            shared::SUBJECT_TOKEN,
            shared::OWN_SUBJECT_TOKEN
        );
        return error.with_detail("note", what);
    }
    inside_exec(error, env)
}

/// Tells whether an error is about the variable's value. One that is no text has a cure of its own.
fn is_about_the_value(code: Code, missing: Code) -> bool {
    code == missing || matches!(code, Code::TokenEnvUnexpanded | Code::TokenEnvPadded)
}

fn read(env: &Env, name: &str, missing: Code) -> Result<Secret, Error> {
    let Some(value) = env.text(name)? else {
        return Err(Error::new(missing, format!("the variable {name} is not set or empty")));
    };
    let bare = value.trim();
    if is_reference(bare) {
        let what =
            format!("the variable {name} holds the unexpanded text {} instead of a token", quote(bare));
        return Err(Error::new(Code::TokenEnvUnexpanded, what));
    }
    // Whoever copies a header has the scheme in front of the token.
    if bare.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("bearer ")) {
        let what =
            format!("the variable {name} begins with \"Bearer\": it holds a header instead of a token");
        return Err(Error::new(Code::IdTokenMalformed, what)
            .with_cure("Put the token alone into the variable, without the word in front of it."));
    }
    if value.trim_end_matches(['\r', '\n']) == bare && value != bare {
        let what = format!("the token in the variable {name} has a line break at the end");
        return Err(Error::new(Code::TokenEnvPadded, what));
    }
    if value.contains(char::is_whitespace) {
        let place = if bare.contains(char::is_whitespace) { "inside" } else { "around" };
        return Err(Error::new(
            Code::TokenEnvPadded,
            format!("the token in the variable {name} has white space {place} it"),
        ));
    }
    Ok(Secret::new(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: ReadyToken =
        ReadyToken { variables: &["T"], missing: Code::TokenEnvEmpty, cure: Some(|_| "cure".to_owned()) };

    #[test]
    fn what_is_plainly_no_token_has_its_own_reason() {
        for (value, code) in [
            ("", Code::TokenEnvEmpty),
            ("$MY_TOKEN", Code::TokenEnvUnexpanded),
            ("${MY_TOKEN}", Code::TokenEnvUnexpanded),
            (" $MY_TOKEN\n", Code::TokenEnvUnexpanded),
            ("%MY_TOKEN%", Code::TokenEnvUnexpanded),
            (" a.b.c", Code::TokenEnvPadded),
            ("a.b.c\n", Code::TokenEnvPadded),
            ("a.b.c\r\n", Code::TokenEnvPadded),
            ("a.b. c", Code::TokenEnvPadded),
        ] {
            let error = TOKEN.read(&Env::fixed([("T", value)]), &Wanted::default()).unwrap_err();
            assert_eq!((error.code(), error.cure()), (code, "cure"), "{value:?}");
            assert!(!error.message().contains("a.b"), "{error}");
        }
        for value in ["Bearer a.b.c", "bearer a.b.c\n"] {
            let error = TOKEN.read(&Env::fixed([("T", value)]), &Wanted::default()).unwrap_err();
            assert_eq!(error.code(), Code::IdTokenMalformed);
            assert!(error.message().contains("begins with \"Bearer\"") && !error.message().contains("a.b"));
        }
        let inside =
            [("T", "ewh_x"), ("EQUINIX_WIF_EXEC", "renew"), (shared::EXPIRES_AT, "2026-11-22T04:00:00Z")];
        let error = TOKEN.read(&Env::fixed(inside), &Wanted::default()).unwrap_err();
        assert_eq!(error.code(), Code::TokenEnvEmpty);
        assert!(error.message().contains("a handle") && !error.message().contains("ewh_"), "{error}");
        assert!(error.cure().contains("equinix-wif token"), "{error}");
        for value in ["a.b.c", "$", "$a.b", "%x"] {
            let fetched = TOKEN.read(&Env::fixed([("T", value)]), &Wanted::default()).unwrap();
            assert_eq!(fetched.token.reveal(), value);
        }
    }
}
