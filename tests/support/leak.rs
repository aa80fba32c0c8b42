//! Looks for secrets where none may be: whole, in pieces, or dressed up as base64.

use std::collections::{BTreeSet, HashMap};

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
    /// A client's id, secret, password or old refresh token: to the classic API only.
    Stored,
    /// A new refresh token: into its file.
    RefreshToken,
    /// The handle of a run of `exec --renew`: to its command, and to nobody else.
    Handle,
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
        let mut finder = Finder {
            secrets: &self.0,
            forms: Vec::new(),
            grams: HashMap::new(),
            beginnings: vec![false; BEGINNINGS],
            alphabet: [false; 256],
            whole: Vec::new(),
        };
        for (index, secret) in self.0.iter().enumerate() {
            let bytes = secret.text.as_bytes();
            if bytes.len() < PIECE {
                finder.whole.push(index);
            }
            finder.add(index, PIECE, bytes.to_vec());
            for shift in 0..3_usize.min(bytes.len()) {
                for engine in [STANDARD_NO_PAD, URL_SAFE_NO_PAD] {
                    let mut encoded = engine.encode(&bytes[shift..]).into_bytes();
                    // What follows the secret changes the last character.
                    encoded.pop();
                    finder.add(index, ENCODED_PIECE, encoded);
                }
            }
        }
        finder
    }
}

/// So long are the parts by which pieces are found: each piece holds at least one that begins at a multiple of this in its
/// secret, so only those are kept.
const GRAM: usize = PIECE / 2;

/// The number of numbers for beginnings.
const BEGINNINGS: usize = 1 << 16;

/// A secret as it may be written, and how much of that is a leak.
struct Form {
    owner: usize,
    piece: usize,
    bytes: Vec<u8>,
}

/// Finds pieces of secrets in bytes. Every run of the program is looked through, so this has to be fast without the
/// compiler's help.
pub struct Finder<'a> {
    secrets: &'a [Secret],
    forms: Vec<Form>,
    /// Where these bytes stand: in which form, and at which place.
    grams: HashMap<[u8; GRAM], Vec<(usize, usize)>>,
    /// How those begin, by [`beginning`]: nearly every place of a text is told by it, and hashing is slow.
    beginnings: Vec<bool>,
    /// The bytes that occur in secrets.
    alphabet: [bool; 256],
    /// Secrets that are too short for pieces.
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
    fn add(&mut self, owner: usize, piece: usize, bytes: Vec<u8>) {
        let form = self.forms.len();
        for (index, gram) in bytes.chunks_exact(GRAM).enumerate() {
            self.beginnings[beginning(gram)] = true;
            let gram = gram.try_into().expect("chunks of this length");
            self.grams.entry(gram).or_default().push((form, index * GRAM));
        }
        for byte in &bytes {
            self.alphabet[usize::from(*byte)] = true;
        }
        self.forms.push(Form { owner, piece, bytes });
    }

    /// The places of pieces: where, how long, and whose.
    fn places(&self, text: &[u8]) -> BTreeSet<(usize, usize, usize)> {
        let mut places = BTreeSet::new();
        // How far a form is known to go on in the text, by the difference of their places.
        let mut known: HashMap<(usize, usize), usize> = HashMap::new();
        let mut start = 0;
        while start < text.len() {
            let run = text[start..].iter().take_while(|byte| self.alphabet[usize::from(**byte)]).count();
            for at in start..(start + run + 1).saturating_sub(GRAM).max(start) {
                if !self.beginnings[beginning(&text[at..])] {
                    continue;
                }
                let gram: [u8; GRAM] = text[at..at + GRAM].try_into().expect("this length");
                for &(form, place) in self.grams.get(&gram).into_iter().flatten() {
                    let known_end =
                        known.entry((form, at + self.forms[form].bytes.len() - place)).or_default();
                    if *known_end > at {
                        continue;
                    }
                    let Form { owner, piece, bytes } = &self.forms[form];
                    let same = |(one, other): &(&u8, &u8)| one == other;
                    let before =
                        text[..at].iter().rev().zip(bytes[..place].iter().rev()).take_while(same).count();
                    let after = text[at..].iter().zip(&bytes[place..]).take_while(same).count();
                    *known_end = at + after;
                    let (first, end) = (at - before, at + after);
                    places.extend((first..(end + 1).saturating_sub(*piece)).map(|at| (at, *piece, *owner)));
                }
            }
            start += run + 1;
        }
        places
    }

    /// [`Finder::places`] with those of secrets that are too short for pieces.
    fn all_places(&self, text: &[u8]) -> BTreeSet<(usize, usize, usize)> {
        let mut places = self.places(text);
        for &index in &self.whole {
            let word = self.secrets[index].text.as_bytes();
            let at = text.windows(word.len()).enumerate().filter(|(_, window)| *window == word);
            places.extend(at.map(|(at, _)| (at, word.len(), index)));
        }
        places
    }

    fn hit(&self, text: &[u8], (at, length, owner): (usize, usize, usize)) -> Hit<'a> {
        let piece = String::from_utf8_lossy(&text[at..at + length]).into_owned();
        Hit { secret: &self.secrets[owner], at, piece }
    }

    /// Every place with a piece of a secret, in the order of the text.
    pub fn hits(&self, text: &[u8]) -> Vec<Hit<'a>> {
        self.all_places(text).into_iter().map(|place| self.hit(text, place)).collect()
    }

    /// The first place with a piece of each secret that has one, in the order of the text.
    pub fn first_hits(&self, text: &[u8]) -> Vec<Hit<'a>> {
        let mut found = vec![false; self.secrets.len()];
        let mut places = self.all_places(text);
        places.retain(|(_, _, owner)| !std::mem::replace(&mut found[*owner], true));
        places.into_iter().map(|place| self.hit(text, place)).collect()
    }

    /// The first piece of a secret that may not be there.
    pub fn leak(&self, text: &[u8], allowed: impl Fn(Kind) -> bool) -> Option<Hit<'a>> {
        let mut places = self.all_places(text).into_iter();
        places.find(|(_, _, owner)| !allowed(self.secrets[*owner].kind)).map(|place| self.hit(text, place))
    }
}

/// A number for the first three of some bytes.
fn beginning(bytes: &[u8]) -> usize {
    (usize::from(bytes[0]) * 1681 + usize::from(bytes[1]) * 41 + usize::from(bytes[2])) % BEGINNINGS
}

/// Everything in a text that looks like a JWT.
pub fn jwts(text: &str) -> Vec<&str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let words = text.split(|c| !inside(c));
    words.filter(|word| word.starts_with("eyJ") && word.matches('.').count() >= 2).collect()
}

/// Everything in a text that is the handle of a run of `exec --renew`. In the middle of a longer word, such as a signature, the
/// same letters stand by chance.
pub fn handles(text: &str) -> Vec<&str> {
    let inside = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let begins = |at: usize| !text[..at].ends_with(|c| inside(c) || c == '.');
    let found = text.match_indices("ewh_").filter(|(at, _)| begins(*at)).map(|(at, _)| &text[at..]);
    found.filter_map(|rest| rest.get(..47)).filter(|word| word.chars().all(inside)).collect()
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
