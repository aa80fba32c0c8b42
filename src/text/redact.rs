//! Cuts the secrets of this run out of texts.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use memchr::memmem::Finder;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use super::disguise::{any_reading, fold, folded, plain};
use super::sanitize::clean;
use super::token::cut_tokens;

/// The text in place of a secret.
pub const REDACTED: &str = "***";

/// The text in place of one in which a secret was disguised. Cutting would leave what it takes to repair it.
pub const WITHHELD: &str = "(withheld: it held a secret in disguise)";

/// The shortest piece of a secret that is cut out of a text, in characters. Shorter pieces occur by chance.
pub const MIN_REDACTED: usize = 12;

/// Knows the secrets of this run and cuts them out of texts.
///
/// A piece of at least [`MIN_REDACTED`] characters is enough, so a shortened echo is found too; so are the
/// percent-encoded form and base64 at its three alignments. A text in which a secret comes in another disguise is
/// withheld as a whole.
#[derive(Default)]
pub struct Redactor {
    secrets: Vec<Known>,
    index: Index,
}

struct Known {
    secret: Zeroizing<String>,
    /// Its encoded forms, made only when a text could contain one.
    forms: Option<Vec<Zeroizing<String>>>,
}

impl Known {
    /// Tells whether the secret has a piece as it is, or one of its encoded forms has it in the alphabet for URLs.
    fn contains(&mut self, piece: &Finder<'_>, url_safe: &Finder<'_>) -> bool {
        let Self { secret, forms, .. } = self;
        let found = |finder: &Finder<'_>, text: &str| finder.find(text.as_bytes()).is_some();
        found(piece, secret) || {
            let forms = forms.get_or_insert_with(|| encoded_forms(secret));
            forms.iter().any(|form| found(url_safe, form))
        }
    }

    /// Tells whether a text has a piece of a secret with letters of other scripts, which no alphabet of tokens holds.
    fn is_in_part_in(&self, text: &str) -> bool {
        if self.secret.is_ascii() {
            return false;
        }
        let starts = self.secret.char_indices().map(|(at, _)| at);
        let ends = self.secret.char_indices().map(|(at, c)| at + c.len_utf8()).skip(MIN_REDACTED - 1);
        starts.zip(ends).any(|(from, to)| self.secret.get(from..to).is_some_and(|piece| text.contains(piece)))
    }

    /// Tells whether letters and digits have a piece of this secret's among them.
    fn shares_a_piece(&self, folded: &str) -> bool {
        let own = Zeroizing::new(fold(&self.secret));
        windows(folded, MIN_REDACTED, 1).any(|(_, piece)| own.contains(piece))
    }
}

/// Every three letters and digits in a row that a secret has. Of a text without secrets they tell at once that it has none:
/// that all threes of a piece are known, and the piece is not, hardly ever happens.
struct Index(Zeroizing<Vec<u64>>);

impl Default for Index {
    fn default() -> Self {
        Self(Zeroizing::new(vec![0; RADIX.pow(3).div_ceil(64)]))
    }
}

impl Index {
    fn add(&mut self, folded: impl Iterator<Item = u8>) {
        for place in threes(folded) {
            if let Some(word) = self.0.get_mut(place / 64) {
                *word |= 1 << (place % 64);
            }
        }
    }

    fn has(&self, place: usize) -> bool {
        self.0.get(place / 64).is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    fn may_share_a_piece(&self, folded: impl Iterator<Item = u8>) -> bool {
        let mut run = 0;
        threes(folded).any(|place| {
            run = if self.has(place) { run + 1 } else { 0 };
            run == MIN_REDACTED - 2
        })
    }
}

/// Letters and digits in one case.
const RADIX: usize = 36;

/// Each three characters in a row, as a number.
fn threes(folded: impl Iterator<Item = u8>) -> impl Iterator<Item = usize> {
    let mut place = 0;
    let values = folded.map(|byte| match byte {
        b'0'..=b'9' => usize::from(byte - b'0'),
        _ => usize::from(byte.saturating_sub(b'a')) + 10,
    });
    let places = values.map(move |value| {
        place = (place * RADIX + value) % RADIX.pow(3);
        place
    });
    places.skip(2)
}

impl Redactor {
    /// Remembers a secret. Texts shorter than six characters are ignored: cutting them would spoil every message.
    pub fn add(&mut self, secret: &str) {
        self.add_form(secret);
        // What is shown has been cleaned before: a `::` in a secret is two characters with a blank between them by then.
        self.add_form(&Zeroizing::new(clean(secret)));
    }

    fn add_form(&mut self, secret: &str) {
        if secret.chars().count() >= 6 && !self.secrets.iter().any(|known| known.secret.as_str() == secret) {
            self.index.add(folded(&plain(secret)));
            self.secrets.push(Known { secret: Zeroizing::new(secret.to_owned()), forms: None });
        }
    }

    /// Returns how many secrets are known.
    #[cfg(all(test, feature = "renew"))]
    pub fn known(&self) -> usize {
        self.secrets.len()
    }

    /// Forgets a secret that is worth nothing any more. A run that goes on for days would otherwise know more and more of
    /// them.
    #[cfg_attr(not(feature = "renew"), allow(dead_code, reason = "only long runs forget"))]
    pub fn forget(&mut self, secret: &str) {
        let cleaned = Zeroizing::new(clean(secret));
        self.secrets.retain(|known| ![secret, &cleaned].contains(&known.secret.as_str()));
        self.index = Index::default();
        for Known { secret, .. } in &self.secrets {
            self.index.add(folded(&plain(secret)));
        }
    }

    /// The text without secrets, and whether any was in it.
    pub fn scrub(&mut self, text: &str) -> (String, bool) {
        let whole = text;
        let mut text = cut_tokens(whole);
        let mut hit = text != whole;
        for Known { secret, .. } in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), REDACTED);
                hit = true;
            }
        }
        if self.secrets.iter().any(|known| known.is_in_part_in(&text)) {
            return (WITHHELD.to_owned(), true);
        }
        let mut out = String::with_capacity(text.len());
        let mut rest = text.as_str();
        while !rest.is_empty() {
            let (run, after) =
                rest.split_at(rest.bytes().position(|b| !may_be_secret(b)).unwrap_or(rest.len()));
            hit |= self.scrub_run(run, &mut out);
            let (prose, next) = after.split_at(after.bytes().position(may_be_secret).unwrap_or(after.len()));
            out.push_str(prose);
            rest = next;
        }
        let mut found = |text: &str| {
            self.has_a_piece(text.bytes())
                || self.has_a_piece(text.bytes().rev())
                || self.has_a_piece(text.bytes().map(rotate))
        };
        if any_reading(&out, &mut found) { (WITHHELD.to_owned(), true) } else { (out, hit) }
    }

    /// Adds characters of which secrets are made, without those that belong to one, and tells whether there were any.
    fn scrub_run(&mut self, run: &str, out: &mut String) -> bool {
        let is_clean =
            run.len() < MIN_REDACTED || !windows(run, PROBE, STEP).any(|(_, probe)| self.contains(probe));
        if is_clean {
            out.push_str(run);
            return false;
        }
        let mut cut = vec![false; run.len()];
        for (start, piece) in windows(run, MIN_REDACTED, 1) {
            if self.contains(piece) {
                cut.iter_mut().skip(start).take(MIN_REDACTED).for_each(|c| *c = true);
            }
        }
        let mut cutting = false;
        for (character, cut) in run.chars().zip(&cut) {
            if *cut && !cutting {
                out.push_str(REDACTED);
            } else if !cut {
                out.push(character);
            }
            cutting = *cut;
        }
        cut.contains(&true)
    }

    /// Tells whether letters and digits have a piece of a secret among them.
    fn has_a_piece(&self, folded: impl Iterator<Item = u8> + Clone) -> bool {
        self.index.may_share_a_piece(folded.clone()) && {
            let text: String = folded.map(char::from).collect();
            self.secrets.iter().any(|known| known.shares_a_piece(&text))
        }
    }

    fn contains(&mut self, piece: &str) -> bool {
        let url_safe = piece.replace('+', "-").replace('/', "_");
        let (piece, url_safe) = (Finder::new(piece), Finder::new(&url_safe));
        self.secrets.iter_mut().any(|known| known.contains(&piece, &url_safe))
    }
}

/// The length of a probe. Any piece that is long enough holds a whole probe, and prose shares none with a secret.
const PROBE: usize = MIN_REDACTED / 2;
const STEP: usize = MIN_REDACTED - PROBE + 1;

/// Pieces of an ASCII text, each with its place.
fn windows(text: &str, size: usize, step: usize) -> impl Iterator<Item = (usize, &str)> {
    (0..(text.len() + 1).saturating_sub(size))
        .step_by(step)
        .filter_map(move |at| Some((at, text.get(at..at + size)?)))
}

/// Tells whether a byte is one of those that every form of a token is made of.
fn may_be_secret(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=%".contains(&byte)
}

/// The forms in which a server may give a secret back: base64 with the alphabet for URLs stands for both.
fn encoded_forms(secret: &str) -> Vec<Zeroizing<String>> {
    // With room for all of it, so that no smaller buffer stays behind.
    let mut percent = Zeroizing::new(String::with_capacity(3 * secret.len()));
    percent.extend(utf8_percent_encode(secret, NON_ALPHANUMERIC));
    let mut forms = vec![percent];
    for shift in 0..3 {
        let mut shifted = Zeroizing::new(Vec::with_capacity(shift + secret.len()));
        shifted.resize(shift, 0);
        shifted.extend_from_slice(secret.as_bytes());
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*shifted));
        // The first group mixes the secret with what stands before it.
        let skip = if shift == 0 { 0 } else { 4 };
        forms.push(Zeroizing::new(encoded.get(skip..).unwrap_or_default().to_owned()));
    }
    forms
}

/// ROT13 of a letter in lower case.
fn rotate(byte: u8) -> u8 {
    match byte {
        b'a'..=b'z' => (byte - b'a' + 13) % 26 + b'a',
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn whole_partial_and_encoded_secrets_are_cut() {
        let secret = "s3cr3t/bearer+value=with.many_parts~0123456789";
        let mut redactor = Redactor::default();
        redactor.add(secret);
        redactor.add("tiny");
        for echo in [
            secret.to_owned(),
            secret[3..20].to_owned(),
            utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
            STANDARD_NO_PAD.encode(secret),
            STANDARD_NO_PAD.encode(format!("x{secret}")),
            URL_SAFE_NO_PAD.encode(format!("xy{secret}")),
        ] {
            let (text, hit) = redactor.scrub(&format!("you sent <{echo}>, tiny"));
            assert!(hit, "{echo}");
            assert!(text.starts_with("you sent <") && text.ends_with(">, tiny"), "{text}");
            assert!(text.contains(REDACTED) && text.len() < 45, "{text}");
        }
        assert_eq!(redactor.scrub("nothing to see"), ("nothing to see".to_owned(), false));
        // Anybody's token counts: what looks like one has no place in a text.
        let foreign = "<eyJhbGciOiJSUzI1NiJ9.e30.c2ln>";
        assert_eq!(redactor.scrub(foreign), ("<***>".to_owned(), true));
        assert_eq!(redactor.scrub("s3cr3t/bear"), ("s3cr3t/bear".to_owned(), false), "shorter than a piece");
    }

    #[test]
    fn a_piece_in_another_script_is_withheld() {
        let secret = "\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}-\u{441}\u{435}\u{43a}\u{440}\u{435}\u{442}\u{43d}\u{44b}\u{439}";
        let mut redactor = Redactor::default();
        redactor.add(secret);
        let first = |count| secret.chars().take(count).collect::<String>();
        assert_eq!(redactor.scrub(&format!("you sent {}\u{2026}", first(12))), (WITHHELD.to_owned(), true));
        assert_eq!(redactor.scrub(&first(11)), (first(11), false), "shorter than a piece");
        assert_eq!(redactor.scrub(&format!("<{secret}>")), (format!("<{REDACTED}>"), true));
    }

    #[test]
    fn a_short_secret_is_cut_out_of_a_text_that_was_cleaned() {
        for secret in ["pass::word", "K##1##2##3x", "p::w##12%\u{e9}\"x", "ab\u{200b}cd::ef"] {
            let mut redactor = Redactor::default();
            redactor.add(secret);
            for shown in [secret.to_owned(), clean(secret)] {
                let expected = ("you sent *** ".to_owned(), true);
                assert_eq!(redactor.scrub(&format!("you sent {shown} ")), expected);
            }
        }
    }

    /// Checks the smallest piece among other characters of the kind, wherever it falls between the probes.
    #[test]
    fn the_shortest_piece_is_cut_wherever_it_stands() {
        let mut redactor = Redactor::default();
        redactor.add("s3cr3t-Bearer-0f-this-run");
        for before in 0..2 * MIN_REDACTED {
            let (before, after) = ("x".repeat(before), "x".repeat(MIN_REDACTED));
            let text = redactor.scrub(&format!("{before}cr3t-Bearer-{after}")).0;
            assert_eq!(text, format!("{before}***{after}"));
        }
    }

    proptest! {
        #[test]
        fn no_piece_of_a_secret_survives(
            secret in "[A-Za-z0-9._~+/-]{12,80}",
            before in "[ -~]{0,20}",
            from in 0_usize..40,
            length in 12_usize..80,
        ) {
            let piece: String = secret.chars().skip(from).take(length).collect();
            let mut redactor = Redactor::default();
            redactor.add(&secret);
            let (text, _) = redactor.scrub(&format!("{before}{piece}"));
            for window in secret.as_bytes().windows(MIN_REDACTED) {
                prop_assert!(!text.contains(std::str::from_utf8(window).unwrap()), "{}", text);
            }
        }
    }
}
