//! A JSON object on one line, for the formats that are one.

use serde::{Serialize, Serializer};
use zeroize::Zeroizing;

use crate::secret::SecretBytes;
use crate::text::{Carrier, defuse_into};

/// A value in a JSON object that is handed over.
pub(super) enum Member<'a> {
    Text(&'a str),
    Number(u64),
    Flag(bool),
    Object(&'a Members<'a>),
}

/// The members of a JSON object, in the order in which they are written.
pub(super) type Members<'a> = [(&'a str, Member<'a>)];

struct Object<'a>(&'a Members<'a>);

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

impl Serialize for Member<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
            Self::Flag(flag) => serializer.serialize_bool(*flag),
            Self::Object(members) => Object(members).serialize(serializer),
        }
    }
}

/// An object as one line of JSON that no runner takes for a command.
pub(super) fn json_line(members: &Members<'_>) -> SecretBytes {
    // Room for everything at once, were every character escaped, so that no smaller buffer with a token stays behind.
    let room = 6 * size(members);
    let (mut text, mut line) =
        (Zeroizing::new(Vec::with_capacity(room)), Zeroizing::new(String::with_capacity(room)));
    // Texts and numbers into memory: this cannot fail, and JSON is UTF-8.
    let _ = serde_json::to_writer(&mut *text, &Object(members));
    defuse_into(std::str::from_utf8(&text).unwrap_or_default(), Carrier::Json, &mut line);
    line.push('\n');
    SecretBytes::new(std::mem::take(&mut *line).into_bytes())
}

/// About as many bytes as it has without escapes, and not fewer.
fn size(members: &Members<'_>) -> usize {
    let of = |value: &Member<'_>| match value {
        Member::Text(text) => text.len(),
        Member::Object(members) => size(members),
        Member::Number(_) | Member::Flag(_) => 20,
    };
    members.iter().map(|(name, value)| name.len() + of(value) + 8).sum::<usize>() + 8
}

#[cfg(test)]
mod tests {
    use super::super::tests::text;
    use super::*;

    #[test]
    fn no_line_of_json_begins_a_command() {
        for hostile in ["##[add-mask]x", "###[x", "a##b####c#", "\"\u{1b}\\"] {
            let line = text(&json_line(&[("x", Member::Text(hostile))]));
            assert!(!line.contains("##"), "{line}");
            let read: std::collections::BTreeMap<String, String> = serde_json::from_str(&line).unwrap();
            assert_eq!(read["x"], hostile);
        }
    }
}
