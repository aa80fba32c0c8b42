//! The result of a run, which a format takes: a token, with what the next step may want to know about it.

use serde_json::Value;

use crate::clock;
use crate::env::names;
use crate::error::Error;
use crate::identity::claims::Finding;
use crate::json::object;
use crate::secret::Secret;

/// The kind of token that is handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The access token that the STS issued (`token`, `exec`).
    AccessToken,
    /// The ID token that the platform issued, for tools that exchange it by themselves (`id-token`).
    IdToken,
}

impl Kind {
    /// The name in messages.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AccessToken => "access token",
            Self::IdToken => "ID token",
        }
    }

    /// The step output on GitHub.
    pub const fn output(self) -> &'static str {
        match self {
            Self::AccessToken => "access-token",
            Self::IdToken => "id-token",
        }
    }

    /// The member of a JSON object: RFC 6749 section 5.1 and OpenID Connect Core section 3.1.3.3.
    pub const fn member(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token",
            Self::IdToken => "id_token",
        }
    }

    /// The variable, unless another is named: the one that the Equinix Terraform provider reads.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::AccessToken => "EQUINIX_API_TOKEN",
            Self::IdToken => names::SUBJECT_TOKEN,
        }
    }

    /// The token's type (RFC 8693 section 3). The STS may issue no other access token.
    pub const fn token_type_uri(self) -> &'static str {
        match self {
            Self::AccessToken => "urn:ietf:params:oauth:token-type:access_token",
            Self::IdToken => "urn:ietf:params:oauth:token-type:id_token",
        }
    }
}

/// A token with what the next step may want to know about it.
#[derive(Debug)]
pub struct Credential {
    /// The kind of token.
    pub kind: Kind,
    /// The token. Its alphabet is that of RFC 6750's b64token (an access token) or of a JWT, so no format needs to quote
    /// it.
    pub token: Secret,
    /// Its life in seconds: as the STS said, or what is left until the `exp` of an ID token.
    pub expires_in: u64,
    /// The moment of expiry (Unix time): by this machine's clock, or the `exp` of an ID token.
    pub expires_at: i64,
    /// The scope that was granted. An ID token has none.
    pub scope: Option<String>,
    /// The issuer of the ID token that it is or was made of, if there was one. Decoded, not verified.
    pub issuer: Option<String>,
    /// The subject of the ID token that it is or was made of, if there was one. Decoded, not verified.
    pub subject: Option<String>,
    /// The secret that takes the place of the one with which the token was obtained, which is used up.
    pub rotated: Option<Secret>,
    /// The reason why the token cannot be used, although the answer brought a new secret. That one has to be kept first.
    pub defect: Option<Error>,
    /// Oddities of the grant. The caller knows how strict to be with them.
    pub findings: Vec<Finding>,
}

impl Credential {
    /// Creates a credential of which nothing is known but the token and its life.
    pub fn new(kind: Kind, token: Secret, expires_in: u64, expires_at: i64) -> Self {
        Self {
            kind,
            token,
            expires_in,
            expires_at,
            scope: None,
            issuer: None,
            subject: None,
            rotated: None,
            defect: None,
            findings: Vec::new(),
        }
    }

    /// Returns what an account of the run tells of it: nothing of the token itself.
    pub fn account(&self) -> Value {
        object(vec![
            ("kind", self.kind.member().into()),
            ("scope", self.scope.clone().into()),
            ("expires_in", self.expires_in.into()),
            ("expires_at", self.expires_at_text().into()),
        ])
    }

    /// Returns when it expires, as RFC 3339 in UTC.
    pub fn expires_at_text(&self) -> String {
        clock::rfc3339(self.expires_at)
    }
}

/// The access token's type (RFC 6750): the STS may issue no other.
pub const TOKEN_TYPE: &str = "Bearer";
