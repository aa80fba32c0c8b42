//! Recognises JSON Web Tokens in texts, whoever issued them.
//!
//! A token is known by its grammar (RFC 7515 section 7.1): three parts in base64url between dots, of which the first is a
//! JSON object and the last may be empty. How that JSON is written does not matter: `eyJ` is only the most frequent
//! beginning.

use super::disguise::{base64_value, unpack};
use super::redact::{MIN_REDACTED, REDACTED};

/// The usual beginning: `{"` and a letter in base64url. Enough to recognise what is left of a token.
const USUAL_START: &str = "eyJ";

/// Tells whether a text holds a whole token, also between other words or behind an equals sign.
pub fn holds_token(text: &str) -> bool {
    let usual =
        |word: &str| word.starts_with(USUAL_START) && word.len() > 20 && word.matches('.').count() >= 2;
    text.split(|c| !is_of_token(c)).any(|word| usual(word) || whole_token(word).is_some())
}

/// Replaces every token, and every longer piece that begins as a token does.
pub(super) fn cut_tokens(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let (word, after) = rest.split_at(rest.find(|c| !is_of_token(c)).unwrap_or(rest.len()));
        let start = (word.len() >= MIN_REDACTED).then(|| token_start(word)).flatten();
        out.push_str(word.get(..start.unwrap_or(word.len())).unwrap_or_default());
        out.push_str(if start.is_some() { REDACTED } else { "" });
        let (between, next) = after.split_at(after.find(is_of_token).unwrap_or(after.len()));
        out.push_str(between);
        rest = next;
    }
    out
}

/// A character of a compact JWS.
fn is_of_token(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_.".contains(c)
}

/// Returns where a token or the first piece of one begins in a word.
fn token_start(word: &str) -> Option<usize> {
    let long_enough = |at: &usize| word.len() - at >= MIN_REDACTED;
    let usual = word.find(USUAL_START).filter(long_enough);
    let piece =
        parts(word).find(|(_, part)| begins_object(part, false)).map(|(at, _)| at).filter(long_enough);
    usual.into_iter().chain(piece).chain(whole_token(word)).min()
}

/// Returns where a token with all its parts begins in a word.
fn whole_token(word: &str) -> Option<usize> {
    let dots = word.matches('.').count();
    let mut candidates = parts(word).take(dots.saturating_sub(1));
    candidates.find(|(_, part)| begins_object(part, true)).map(|(at, _)| at)
}

/// The parts between dots, each with its place.
fn parts(word: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut at = 0;
    word.split('.').map(move |part| {
        let start = at;
        at += part.len() + 1;
        (start, part)
    })
}

/// Tells whether a part is base64url of a text that begins as a JSON object with a member does, or else as an empty one.
fn begins_object(part: &str, or_empty: bool) -> bool {
    // A bracket, or the white space that JSON allows before it.
    if !part.starts_with(['e', 'I', 'C', 'D']) {
        return false;
    }
    let mut text = unpack(part.bytes().filter_map(base64_value), 6)
        .filter(|byte| !matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    text.next() == Some(b'{') && text.next().is_some_and(|next| next == b'"' || or_empty && next == b'}')
}

/// Tells whether a text is nothing but the name of a variable that nobody has put a value in place of: `$NAME`, `${NAME}`,
/// `%NAME%`.
pub fn is_reference(text: &str) -> bool {
    let inner = text
        .strip_prefix("${")
        .and_then(|t| t.strip_suffix('}'))
        .or_else(|| text.strip_prefix('$'))
        .or_else(|| text.strip_prefix('%').and_then(|t| t.strip_suffix('%')));
    inner.is_some_and(|name| !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'))
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(header: &str) -> String {
        format!("{}.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode("{\"iss\":1}"))
    }

    const HEADERS: [&str; 8] = [
        r#"{"alg":"RS256"}"#,
        r#"{ "alg": "RS256" }"#,
        "{\n  \"alg\": \"RS256\"\n}",
        "{\t\"alg\":\"RS256\"}",
        "{\r\n\"alg\":\"RS256\"}",
        " {\"alg\":\"RS256\"}",
        "\n\n\t{ \"alg\":\"RS256\"}",
        "{\"\\u0061lg\":\"RS256\"}",
    ];

    #[test]
    fn a_token_is_recognised_however_its_json_is_written() {
        for header in HEADERS.into_iter().chain(["{}", "{ }"]) {
            let token = token(header);
            let unsigned = token.trim_end_matches("c2lnbmF0dXJl");
            for text in [
                token.clone(),
                format!("--scope={token}"),
                format!("Bearer \"{token}\""),
                format!("v1.{token}"),
                unsigned.to_owned(),
                format!("{token}.x.y"),
            ] {
                assert!(holds_token(&text), "{header:?}: {text}");
            }
            assert_eq!(cut_tokens(&format!("<{token}>, v1.{token}!")), "<***>, v1.***!", "{header:?}");
        }
        assert!(holds_token("eyJhbGciOiJSUzI1N.truncated.c2ln"), "a header that is cut off");
    }

    #[test]
    fn the_first_piece_of_a_token_is_cut_as_well() {
        for header in HEADERS {
            let token = token(header);
            for length in [MIN_REDACTED, 15, token.find('.').unwrap()] {
                assert_eq!(cut_tokens(&token[..length]), REDACTED, "{header:?}");
            }
        }
        assert_eq!(cut_tokens("xeyJhbGciOiJSUzI1NiJ9"), "x***");
    }

    #[test]
    fn what_is_no_token_is_left_alone() {
        for text in [
            "sts.eqix.equinix.com",
            "https://sts.eqix.equinix.com/use/token?a=b.c.d",
            "error.code.name",
            "DEV.internal.example Cloud.example.com Internal.server.error equinix.wif.token",
            "eyJ is how they begin",
            "ern:a:b.c:d.e:f:g:h",
            "0.1.0 e.g. i.e. 10.0.0.1 ...",
            "1eyJ.x.y",
            "e30.e30",
            "MTIzNDU2.MTIzNDU2.MTIzNDU2",
        ] {
            assert!(!holds_token(text), "{text}");
            assert_eq!(cut_tokens(text), text);
        }
    }
}
