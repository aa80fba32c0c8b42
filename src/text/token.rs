//! Recognises JSON Web Tokens in texts, whoever issued them.

use super::redact::{MIN_REDACTED, REDACTED};

/// Replaces everything that begins like a JSON object in base64url (`eyJ`) and goes on like one.
pub(super) fn cut_tokens(text: &str) -> String {
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
