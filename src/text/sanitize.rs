//! Makes untrusted text printable: no controls, no runner commands, no endless lines.

use super::token::cut_tokens;

/// The longest piece of untrusted text that is shown, in characters.
pub const MAX_QUOTED: usize = 300;

/// The medium of a text: keeping the two characters of a command apart must not change what it means there.
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
            (true, ':', Carrier::Line) if is_in_a_name(out) => out.push(':'),
            (true, ':' | '#', Carrier::Line) => out.extend([' ', character]),
            (true, '#', Carrier::Json) => out.push_str(r"\u0023"),
            (true, '#', Carrier::SingleQuotes) => out.push_str("''#"),
            _ => out.push(character),
        }
    }
}

/// Tells whether a text ends inside one of the names that lose their meaning with a blank between two colons: an IPv6 address in
/// a URL, and Bitbucket's resource names. What begins like that cannot begin a command.
fn is_in_a_name(text: &str) -> bool {
    // An address is shorter, and longer names are cut anyway. This also bounds the work.
    let Some(tail) = text.get(text.len().saturating_sub(200)..) else { return false };
    let word = tail.rsplit([' ', '"', '\'']).next().unwrap_or_default();
    let is_address = word.rsplit_once("://[").is_some_and(|(scheme, inner)| {
        (scheme.ends_with("http") || scheme.ends_with("https"))
            && inner.bytes().all(|b| b.is_ascii_hexdigit() || b == b':')
    });
    is_address || word.starts_with("ari:cloud:")
}

/// Makes one safe line: control, bidi and zero-width characters are gone, line breaks are spaces, runner commands broken.
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

/// Tells whether a character is one of those that are not controls by category but change how their neighbours look, or
/// cannot be seen at all.
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

/// Untrusted text as [`quote`] has it, without the quotation marks.
pub fn brief(text: &str) -> String {
    quote(text).trim_matches('"').to_owned()
}

/// Untrusted text in quotation marks: cleaned, without anything that looks like a JSON Web Token, and shortened.
pub fn quote(text: &str) -> String {
    let text = cut_tokens(&clean(text));
    match text.char_indices().nth(MAX_QUOTED) {
        Some((end, _)) => format!("\"{}…\"", text.get(..end).unwrap_or_default()),
        None => format!("\"{text}\""),
    }
}

#[cfg(test)]
mod tests {
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
    fn names_with_two_colons_stay_whole() {
        for name in [
            "https://[2001:db8::10]",
            "at http://[::1]:8080/use/token, twice",
            "\"ari:cloud:bitbucket::workspace/0f5e\"",
            "ari:cloud:bitbucket::workspace/0f5e",
        ] {
            assert_eq!(clean(name), name);
        }
        for (hostile, safe) in [
            ("https://[::add-mask::x", "https://[::add-mask: :x"),
            ("https://[x::y]", "https://[x: :y]"),
            ("ftp://[::1]", "ftp://[: :1]"),
            ("ari:cloud: ::debug::x", "ari:cloud: : :debug: :x"),
            ("xari:cloud:bitbucket::x", "xari:cloud:bitbucket: :x"),
        ] {
            assert_eq!(clean(hostile), safe);
            assert!(!clean(hostile).starts_with("::"));
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
    }
}
