//! Strict JSON for what servers and tokens say.
//!
//! `serde_json` alone keeps the last of two members with the same name, so two readers of one text could see two
//! different things. Here a text is refused when it has a duplicate member at any level, more than
//! [`MAX_DEPTH`] levels, anything after the value, a byte-order mark, or is not UTF-8 (RFC 8259; RFC 7519
//! section 4 asks for unique claim names).

use std::fmt;
use std::ops::Deref;

use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use zeroize::Zeroize;

use crate::secret::Secret;

/// The largest depth of arrays and objects inside one another.
pub const MAX_DEPTH: usize = 16;

/// The reason for which a text is not acceptable JSON, in words that never quote the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid(String);

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Reads one JSON value.
pub fn parse(bytes: &[u8]) -> Result<Value, Invalid> {
    let invalid = |why: &str| Invalid(why.to_owned());
    if bytes.starts_with(&[0xef, 0xbb, 0xbf]) {
        return Err(invalid("it begins with a byte-order mark"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))?;
    if text.trim().is_empty() {
        return Err(invalid("it is empty"));
    }
    let mut reader = serde_json::Deserializer::from_str(text);
    let value = Strict { depth: 0 }.deserialize(&mut reader).map_err(|error| explain(&error))?;
    reader.end().map_err(|_| invalid("something follows after the JSON value"))?;
    Ok(value)
}

/// Reads one JSON object.
pub fn parse_object(bytes: &[u8]) -> Result<Map<String, Value>, Invalid> {
    match parse(bytes)? {
        Value::Object(members) => Ok(members),
        other => Err(Invalid(format!("it is {} instead of a JSON object", kind(&other)))),
    }
}

/// The members of an object that holds secrets. Its texts are wiped on drop.
pub struct SecretObject(Map<String, Value>);

impl SecretObject {
    /// Reads one JSON object.
    pub fn parse(bytes: &[u8]) -> Result<Self, Invalid> {
        parse_object(bytes).map(Self)
    }

    /// Moves a member that is a string out, without a copy.
    pub fn take_secret(&mut self, name: &str) -> Option<Secret> {
        match self.0.get_mut(name)? {
            Value::String(text) => Some(Secret::new(std::mem::take(text))),
            _ => None,
        }
    }
}

impl Deref for SecretObject {
    type Target = Map<String, Value>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Drop for SecretObject {
    fn drop(&mut self) {
        self.0.values_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(items) => items.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        _ => {}
    }
}

/// The JSON type of a value, with its article.
pub fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// Explains an error without the text: `serde_json` quotes it in some messages, so only our own reasons are passed on.
fn explain(error: &serde_json::Error) -> Invalid {
    let text = error.to_string();
    let reason = [DUPLICATE, TOO_DEEP].into_iter().find(|reason| text.contains(reason));
    Invalid(reason.map_or_else(
        || format!("it is not valid JSON (line {}, column {})", error.line(), error.column()),
        ToOwned::to_owned,
    ))
}

const DUPLICATE: &str = "a member occurs twice";
const TOO_DEEP: &str = "it is nested too deeply";

struct Strict {
    depth: usize,
}

impl Strict {
    fn deeper<E: de::Error>(&self) -> Result<usize, E> {
        if self.depth < MAX_DEPTH { Ok(self.depth + 1) } else { Err(E::custom(TOO_DEEP)) }
    }
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("a number is not finite"))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut array = Vec::new();
        while let Some(item) = items.next_element_seed(Strict { depth })? {
            array.push(item);
        }
        Ok(Value::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let depth = self.deeper()?;
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(de::Error::custom(DUPLICATE));
            }
            let value = members.next_value_seed(Strict { depth })?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// An object of these members. Less code than a macro makes for each.
pub fn object(members: Vec<(&'static str, Value)>) -> Value {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_valid_is_read_as_serde_json_reads_it() {
        for text in [
            "{}",
            " [1, -2, 3.5, true, null, \"\\u00fc\\ud83d\\ude00\"]\n",
            "{\"a\":{\"b\":[]}}",
            "\"x\"",
            "1e3",
        ] {
            assert_eq!(
                parse(text.as_bytes()).unwrap(),
                serde_json::from_str::<Value>(text).unwrap(),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_invalid_is_refused_without_an_echo() {
        let deep = format!("{}1{}", "[".repeat(MAX_DEPTH + 1), "]".repeat(MAX_DEPTH + 1));
        for (text, reason) in [
            (&b"{\"a\":1,\"a\":2}"[..], "twice"),
            (b"{\"x\":[{\"secret\":1,\"secret\":1}]}", "twice"),
            (b"{\"a\":1,\"\\u0061\":2}", "twice"),
            (deep.as_bytes(), "deeply"),
            (b"{} x", "follows"),
            (b"{}{}", "follows"),
            (b"\xef\xbb\xbf{}", "byte-order"),
            (b"\xff\xfe{\0}\0", "UTF-8"),
            (b"", "empty"),
            (b" \n", "empty"),
            (b"{\"a\":\"\\ud800\"}", "not valid JSON"),
            (b"{\"a\":1e400}", "not valid JSON"),
            (b"{\"a\":NaN}", "not valid JSON"),
            (b"{'secret':1}", "not valid JSON"),
            (b"{\"a\":01}", "not valid JSON"),
            (b"{\"a\":1,}", "not valid JSON"),
            (b"{\"a\":\"\n\"}", "not valid JSON"),
        ] {
            let why = parse(text).unwrap_err().to_string();
            assert!(why.contains(reason) && !why.contains("secret"), "{text:?}: {why}");
        }
        let at_the_limit = format!("{}1{}", "[".repeat(MAX_DEPTH), "]".repeat(MAX_DEPTH));
        assert!(parse(at_the_limit.as_bytes()).is_ok());
    }

    #[test]
    fn an_object_is_asked_for_by_name_of_what_is_there() {
        assert_eq!(parse_object(b"[]").unwrap_err().to_string(), "it is an array instead of a JSON object");
        assert_eq!(parse_object(b"null").unwrap_err().to_string(), "it is null instead of a JSON object");
        assert_eq!(parse_object(b"{\"a\":1}").unwrap().len(), 1);
    }

    #[test]
    fn a_secret_is_moved_out_and_the_rest_is_wiped() {
        let mut members = SecretObject::parse(b"{\"a\":\"kept\",\"b\":[{\"c\":\"hush\"}],\"n\":1}").unwrap();
        let place = members.get("a").and_then(Value::as_str).unwrap().as_ptr();
        let secret = members.take_secret("a").unwrap();
        assert_eq!((secret.reveal(), secret.reveal().as_ptr()), ("kept", place), "the same memory");
        assert!(members.take_secret("b").is_none() && members.take_secret("n").is_none());
        let mut rest = std::mem::take(&mut members.0);
        rest.values_mut().for_each(wipe);
        assert_eq!(Value::Object(rest), serde_json::json!({"a": "", "b": [{"c": ""}], "n": 1}));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse(&bytes);
        }
    }
}
