//! Looks for secrets where none may be: whole, in pieces, or dressed up as base64.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::Value;

/// A piece of this length is enough to be a leak.
pub const PIECE: usize = 12;
/// So much base64 stands for [`PIECE`] bytes.
const ENCODED_PIECE: usize = PIECE / 3 * 4;
/// Shorter than this a password is found everywhere.
const SHORTEST: usize = 4;

/// What a secret is, which decides where it may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The bearer for the ID-token endpoint: to the issuer only, never into a sink.
    Bearer,
    /// The signature of an ID token: to the STS, and with `id-token` into a sink.
    IdToken,
    /// An access token: into a sink.
    AccessToken,
    /// A bearer for the STS: to the STS only.
    StsBearer,
    /// Anything else: nowhere. In particular a proxy's password.
    Other,
}

/// A secret of the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secret {
    /// What it is.
    pub kind: Kind,
    /// Its text.
    pub text: String,
}

/// All secrets of a job.
#[derive(Debug, Default, Clone)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Adds one. Tokens shorter than a piece are not secrets but a test's way to be wrong.
    pub fn add(&mut self, kind: Kind, text: &str) {
        let shortest = match kind {
            Kind::StsBearer | Kind::Other => SHORTEST,
            _ => PIECE,
        };
        let secret = Secret { kind, text: text.to_owned() };
        if text.len() >= shortest && !self.0.contains(&secret) {
            self.0.push(secret);
        }
    }

    /// The secrets of this kind, in the order in which they were added.
    pub fn of(&self, kind: Kind) -> Vec<&str> {
        self.0.iter().filter(|secret| secret.kind == kind).map(|secret| secret.text.as_str()).collect()
    }

    /// The finder for them.
    pub fn finder(&self) -> Finder<'_> {
        let mut finder = Finder { secrets: &self.0, pieces: HashMap::new(), whole: Vec::new() };
        for (index, secret) in self.0.iter().enumerate() {
            let bytes = secret.text.as_bytes();
            if bytes.len() < PIECE {
                finder.whole.push(index);
            }
            finder.add(bytes, PIECE, index);
            for shift in 0..3_usize.min(bytes.len()) {
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let encoded = engine.encode(&bytes[shift..]);
                    // What follows the secret changes the last character.
                    finder.add(&encoded.as_bytes()[..encoded.len() - 1], ENCODED_PIECE, index);
                }
            }
        }
        finder
    }
}

/// Finds pieces of secrets in bytes.
pub struct Finder<'a> {
    secrets: &'a [Secret],
    pieces: HashMap<Vec<u8>, Vec<usize>>,
    whole: Vec<usize>,
}

/// A piece of a secret in a text.
#[derive(Debug, Clone)]
pub struct Hit<'a> {
    /// Whose piece it is.
    pub secret: &'a Secret,
    /// Where it begins.
    pub at: usize,
    /// The piece.
    pub piece: String,
}

impl<'a> Finder<'a> {
    fn add(&mut self, bytes: &[u8], length: usize, index: usize) {
        for piece in bytes.windows(length) {
            let owners = self.pieces.entry(piece.to_vec()).or_default();
            if !owners.contains(&index) {
                owners.push(index);
            }
        }
    }

    /// Every place with a piece of a secret, in the order of the text.
    pub fn hits(&self, text: &[u8]) -> Vec<Hit<'a>> {
        let mut hits = Vec::new();
        let mut add = |at: usize, piece: &[u8], owners: &[usize]| {
            let piece = String::from_utf8_lossy(piece).into_owned();
            hits.extend(owners.iter().map(|&owner| Hit {
                secret: &self.secrets[owner],
                at,
                piece: piece.clone(),
            }));
        };
        for length in [PIECE, ENCODED_PIECE] {
            for (at, window) in text.windows(length).enumerate() {
                if let Some(owners) = self.pieces.get(window) {
                    add(at, window, owners);
                }
            }
        }
        for &index in &self.whole {
            let word = self.secrets[index].text.as_bytes();
            for (at, window) in text.windows(word.len()).enumerate() {
                if window == word {
                    add(at, window, &[index]);
                }
            }
        }
        hits.sort_by_key(|hit| hit.at);
        hits
    }

    /// The first piece of a secret that may not be there.
    pub fn leak(&self, text: &[u8], allowed: impl Fn(Kind) -> bool) -> Option<Hit<'a>> {
        self.hits(text).into_iter().find(|hit| !allowed(hit.secret.kind))
    }
}

/// Everything in a text that looks like a JWT.
pub fn jwts(text: &str) -> Vec<&str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let words = text.split(|c| !inside(c));
    words.filter(|word| word.starts_with("eyJ") && word.matches('.').count() >= 2).collect()
}

/// The values of all JSON members of this name, also in a text that is not quite JSON.
pub fn members(text: &str, name: &str) -> Vec<String> {
    let quoted = format!("\"{name}\"");
    let mut values = Vec::new();
    for (at, _) in text.match_indices(&quoted) {
        let rest = text[at + quoted.len()..].trim_start();
        let Some(rest) = rest.strip_prefix(':') else {
            continue;
        };
        let mut json = serde_json::Deserializer::from_str(rest).into_iter::<Value>();
        if let Some(Ok(Value::String(value))) = json.next() {
            values.push(value);
        }
    }
    values
}
