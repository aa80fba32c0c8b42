//! The one place that makes untrusted text safe to show.
//!
//! Untrusted is everything that a server, a token or the environment says. Four things can go wrong when it is
//! printed into a CI log: it can carry terminal or bidi controls, it can be read by the runner as a command
//! ([`defuse`]), it can be huge, and it can contain a secret that was sent a moment ago. [`quote`] and [`clean`] take
//! care of the first three, [`Redactor`] of the last.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

/// The longest piece of untrusted text that is shown, in characters.
pub const MAX_QUOTED: usize = 300;

/// What is shown in place of a secret.
pub const REDACTED: &str = "***";

/// The shortest piece of a secret that is cut out of a text, in characters. Shorter pieces occur by chance.
pub const MIN_REDACTED: usize = 12;

/// What a text is written into: keeping the two characters of a command apart must not change what it means there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A line for people.
    Line,
    /// JSON (RFC 8259), where number signs occur in strings only.
    Json,
    /// The inside of a POSIX shell's single quotation marks.
    SingleQuotes,
}

/// Breaks runner commands. This is the one place that knows what they look like: `::name::` at the start of a line, and
/// `##[name]` and `##vso[…]` anywhere in one, begin a command only while their two characters stand together. JSON and
/// quoted words never begin a line with a colon, so they keep theirs.
pub fn defuse(text: &str, carrier: Carrier) -> String {
    let mut out = String::with_capacity(text.len());
    defuse_into(text, carrier, &mut out);
    out
}

/// [`defuse`] into a buffer of the caller's, for secrets: one that has room for six times the text never moves, so no
/// copy stays behind in memory.
pub fn defuse_into(text: &str, carrier: Carrier, out: &mut String) {
    for character in text.chars() {
        match (out.ends_with(character), character, carrier) {
            (true, ':' | '#', Carrier::Line) => out.extend([' ', character]),
            (true, '#', Carrier::Json) => out.push_str(r"\u0023"),
            (true, '#', Carrier::SingleQuotes) => out.push_str("''#"),
            _ => out.push(character),
        }
    }
}

/// One safe line: control, bidi and zero-width characters are gone, line breaks are spaces, runner commands broken.
pub fn clean(text: &str) -> String {
    defuse(&printable(text), Carrier::Line)
}

/// Keeps what can be printed on one line, and nothing else. Meant for values that other programs will read;
/// for anything that is shown to people use [`clean`] or [`quote`].
pub fn printable(text: &str) -> String {
    text.chars()
        .filter_map(|c| match c {
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' | '\u{85}' => Some(' '),
            c if c.is_control() || is_invisible(c) => None,
            c => Some(c),
        })
        .collect()
}

/// Characters that are not controls by category but change how their neighbours look, or cannot be seen at all.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Untrusted text in quotation marks: cleaned, without anything that looks like a JSON Web Token, and shortened.
pub fn quote(text: &str) -> String {
    let text = cut_tokens(&clean(text));
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("\"{}…\"", text.get(..end).unwrap_or_default()),
        None => format!("\"{text}\""),
    }
}

/// Replaces everything that begins like a JSON object in base64url (`eyJ`) and goes on like one.
fn cut_tokens(text: &str) -> String {
    const START: &str = "eyJ";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(START) {
        let (before, from) = rest.split_at(at);
        let end =
            from.find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        out.push_str(before);
        out.push_str(if run.len() >= MIN_REDACTED { REDACTED } else { run });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// Knows the secrets of this run and cuts them out of texts.
///
/// A piece of at least [`MIN_REDACTED`] characters is enough, so a shortened echo is found too; so are the
/// percent-encoded form and base64 at its three alignments.
#[derive(Default)]
pub struct Redactor {
    secrets: Vec<Known>,
}

struct Known {
    secret: Zeroizing<String>,
    /// Its encoded forms, made only when a text could contain one.
    forms: Option<Vec<Zeroizing<String>>>,
}

impl Known {
    fn contains(&mut self, piece: &str) -> bool {
        let Self { secret, forms } = self;
        if secret.contains(piece) {
            return true;
        }
        let url_safe = piece.replace('+', "-").replace('/', "_");
        let forms = forms.get_or_insert_with(|| encoded_forms(secret));
        forms.iter().any(|form| form.contains(&url_safe))
    }
}

impl Redactor {
    /// Remembers a secret. Texts shorter than six characters are ignored: cutting them would spoil every message.
    pub fn add(&mut self, secret: &str) {
        if secret.chars().count() >= 6 && !self.secrets.iter().any(|known| known.secret.as_str() == secret) {
            self.secrets.push(Known { secret: Zeroizing::new(secret.to_owned()), forms: None });
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
        (out, hit)
    }

    /// Adds characters of which secrets are made, without those that belong to one, and tells whether there were any.
    fn scrub_run(&mut self, run: &str, out: &mut String) -> bool {
        // Any piece that is long enough has one of these probes in it whole, and prose has none that a secret has too.
        const PROBE: usize = MIN_REDACTED / 2;
        let windows = |size: usize, step: usize| {
            (0..(run.len() + 1).saturating_sub(size))
                .step_by(step)
                .filter_map(move |at| Some((at, run.get(at..at + size)?)))
        };
        let is_clean = run.len() < MIN_REDACTED
            || !windows(PROBE, MIN_REDACTED - PROBE + 1).any(|(_, probe)| self.contains(probe));
        if is_clean {
            out.push_str(run);
            return false;
        }
        let mut cut = vec![false; run.len()];
        for (start, piece) in windows(MIN_REDACTED, 1) {
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

    fn contains(&mut self, piece: &str) -> bool {
        self.secrets.iter_mut().any(|known| known.contains(piece))
    }
}

/// Every form of a token is made of these, and of nothing else.
fn may_be_secret(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=%".contains(&byte)
}

/// The forms in which a server may give a secret back: base64 with the alphabet for URLs stands for both.
fn encoded_forms(secret: &str) -> Vec<Zeroizing<String>> {
    let mut forms = vec![Zeroizing::new(utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string())];
    for shift in 0..3 {
        let mut shifted = Zeroizing::new(vec![0_u8; shift]);
        shifted.extend_from_slice(secret.as_bytes());
        let encoded = Zeroizing::new(URL_SAFE_NO_PAD.encode(&*shifted));
        // The first group mixes the secret with what stands before it.
        let skip = if shift == 0 { 0 } else { 4 };
        forms.push(Zeroizing::new(encoded.get(skip..).unwrap_or_default().to_owned()));
    }
    forms
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn runner_commands_are_broken_wherever_they_stand() {
        for (hostile, safe) in [
            ("::add-mask::x", ": :add-mask: :x"),
            ("  ::error::x", "  : :error: :x"),
            (":::x", ": : :x"),
            ("see ##[add-mask]x", "see # #[add-mask]x"),
            ("##vso[task.setvariable]x", "# #vso[task.setvariable]x"),
            ("a\n::warning::b\r\n##[error]c", "a : :warning: :b  # #[error]c"),
            (":\u{200b}:debug:\u{7}:x", ": :debug: :x"),
            ("\u{1b}[31mred\u{9b}0m", "[31mred0m"),
            ("\u{202e}evil\u{2066}", "evil"),
        ] {
            assert_eq!(clean(hostile), safe, "{hostile:?}");
        }
    }

    #[test]
    fn runner_commands_are_broken_in_json_and_in_quotes_without_a_change_of_meaning() {
        for hostile in ["##[add-mask]x", "###[x", "a##b####c#", "#", "##", "::x##vso[y]::"] {
            let json = defuse(&serde_json::to_string(hostile).unwrap(), Carrier::Json);
            assert!(!json.contains("##"), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), hostile);
            let quoted = format!("'{}'", defuse(hostile, Carrier::SingleQuotes));
            assert!(!quoted.contains("##"), "{quoted}");
            // Two quotation marks in a row end one quotation and begin the next.
            assert_eq!(quoted.replace("''", ""), format!("'{hostile}'"));
        }
    }

    #[test]
    fn quoting_caps_the_length_and_drops_tokens() {
        assert_eq!(quote("short"), "\"short\"");
        assert_eq!(quote(&"x".repeat(300)), format!("\"{}\"", "x".repeat(300)));
        assert_eq!(quote(&"ü".repeat(301)), format!("\"{}…\"", "ü".repeat(300)));
        assert_eq!(quote("bad token eyJhbGciOiJSUzI1NiJ9.e30.c2ln!"), "\"bad token ***!\"");
        assert_eq!(quote("eyJ is how they begin"), "\"eyJ is how they begin\"");
    }

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

    /// The smallest piece among other characters of the kind, wherever it falls between the probes.
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
        fn no_text_becomes_a_command_or_a_control(text in any::<String>()) {
            let safe = clean(&text);
            prop_assert!(!safe.contains("::") && !safe.contains("##"));
            prop_assert!(!safe.chars().any(|c| c.is_control() || is_invisible(c)));
            prop_assert_eq!(clean(&safe), safe.clone());
            let json = defuse(&serde_json::to_string(&text).unwrap(), Carrier::Json);
            prop_assert!(!json.contains("##"));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text.clone());
            prop_assert!(quote(&text).chars().count() <= MAX_QUOTED + 3);
        }

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
