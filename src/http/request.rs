//! A request as it is put together: where to, as whom, and with which body.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::secret::Secret;

use super::url::Url;

/// In `application/x-www-form-urlencoded`, everything but letters, digits and `*-._` is encoded.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// The media type of what nearly every server is asked for.
const JSON: &str = "application/json";

/// One request.
#[derive(Clone, Copy)]
pub struct Request<'r> {
    /// The URL.
    pub url: &'r Url,
    /// The token for the `Authorization` header (RFC 6750 section 2.1).
    pub bearer: Option<&'r Secret>,
    /// The body. A request with one is a POST, and one without is a GET.
    pub body: Body<'r>,
    /// A further header that the server wants.
    pub header: Option<(&'static str, &'static str)>,
    /// The media type that is wanted.
    pub accept: &'static str,
}

/// The body of a request.
#[derive(Clone, Copy)]
pub enum Body<'r> {
    /// None.
    Empty,
    /// A body without a byte, said to be JSON: some servers ask for a POST that says no more.
    Blank,
    /// A form (`application/x-www-form-urlencoded`): names and values, encoded when it is sent.
    Form(&'r [(&'r str, &'r str)]),
    /// A JSON object: names and values, encoded when it is sent.
    Json(&'r [(&'r str, Member<'r>)]),
}

/// A value in a JSON object that is sent.
#[derive(Clone, Copy)]
pub enum Member<'r> {
    /// A string.
    Text(&'r str),
    /// A number.
    Number(u64),
}

impl<'r> Request<'r> {
    /// Makes a GET of something public.
    pub fn get(url: &'r Url) -> Self {
        Self { url, bearer: None, body: Body::Empty, header: None, accept: JSON }
    }

    /// Makes a GET of a text, which says no more than its URL and this header.
    pub fn get_text(url: &'r Url, header: (&'static str, &'static str)) -> Self {
        Self { accept: "text/plain", header: Some(header), ..Self::get(url) }
    }

    /// Makes a POST that says no more than its URL and this header.
    pub fn post_blank(url: &'r Url, header: (&'static str, &'static str)) -> Self {
        Self { url, bearer: None, body: Body::Blank, header: Some(header), accept: JSON }
    }

    /// Makes a POST with a form.
    pub fn post_form(url: &'r Url, fields: &'r [(&'r str, &'r str)]) -> Self {
        Self { url, bearer: None, body: Body::Form(fields), header: None, accept: JSON }
    }

    /// Makes a POST with a JSON object.
    pub fn post_json(url: &'r Url, members: &'r [(&'r str, Member<'r>)]) -> Self {
        Self { url, bearer: None, body: Body::Json(members), header: None, accept: JSON }
    }

    /// Returns the method.
    pub(super) fn method(&self) -> &'static str {
        if matches!(self.body, Body::Empty) { "GET" } else { "POST" }
    }

    /// Adds a bearer token.
    #[must_use]
    pub fn with_bearer(self, bearer: &'r Secret) -> Self {
        Self { bearer: Some(bearer), ..self }
    }
}

impl Body<'_> {
    /// Returns the media type and the bytes, which are wiped on drop: they hold tokens and passwords.
    pub(super) fn encoded(&self) -> Option<(&'static str, Zeroizing<Vec<u8>>)> {
        match self {
            Self::Empty => None,
            Self::Blank => Some((JSON, Zeroizing::default())),
            Self::Form(fields) => Some(("application/x-www-form-urlencoded", encode_form(fields))),
            Self::Json(members) => Some((JSON, encode_json(members))),
        }
    }
}

/// Encodes a form as browsers do (WHATWG URL section 5.2).
fn encode_form(fields: &[(&str, &str)]) -> Zeroizing<Vec<u8>> {
    let size = fields.iter().map(|(name, value)| name.len() + 3 * value.len() + 2).sum();
    // The room is taken at once, so that no copy of the token stays behind in a smaller buffer.
    let mut form = Zeroizing::new(Vec::with_capacity(size));
    for (number, (name, value)) in fields.iter().enumerate() {
        if number > 0 {
            form.push(b'&');
        }
        for (part, separator) in [(name, Some(b'=')), (value, None)] {
            for piece in utf8_percent_encode(part, FORM) {
                form.extend_from_slice(if piece == "%20" { b"+" } else { piece.as_bytes() });
            }
            form.extend(separator);
        }
    }
    form
}

/// Encodes a JSON object (RFC 8259).
fn encode_json(members: &[(&str, Member<'_>)]) -> Zeroizing<Vec<u8>> {
    // A character takes at most six bytes (`\u0000`) for each of its own, a number at most twenty.
    let size = members.iter().map(|(name, value)| match value {
        Member::Text(text) => 6 * (name.len() + text.len()) + 6,
        Member::Number(_) => 6 * name.len() + 24,
    });
    let mut object = Zeroizing::new(Vec::with_capacity(size.sum::<usize>() + 2));
    object.push(b'{');
    for (number, (name, value)) in members.iter().enumerate() {
        if number > 0 {
            object.push(b',');
        }
        text_into(&mut object, name);
        object.push(b':');
        match value {
            Member::Text(text) => text_into(&mut object, text),
            Member::Number(number) => object.extend_from_slice(number.to_string().as_bytes()),
        }
    }
    object.push(b'}');
    object
}

/// Writes a JSON string. Writing to memory cannot fail.
fn text_into(object: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(object, text).ok();
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_form_is_encoded_as_browsers_do() {
        let form = encode_form(&[("a b", "urn:x&y=z"), ("c", "é*-._~+/=\n")]);
        assert_eq!(&form[..], b"a+b=urn%3Ax%26y%3Dz&c=%C3%A9*-._%7E%2B%2F%3D%0A");
    }

    #[test]
    fn a_json_object_keeps_the_order_of_its_members() {
        let json = encode_json(&[("z", Member::Text("a\"\\\n")), ("a", Member::Number(u64::MAX))]);
        assert_eq!(std::str::from_utf8(&json).unwrap(), r#"{"z":"a\"\\\n","a":18446744073709551615}"#);
        assert_eq!(&encode_json(&[])[..], b"{}");
    }

    proptest! {
        #[test]
        fn any_form_value_comes_back(value in any::<String>()) {
            let form = encode_form(&[("k", &value), ("last", "x")]);
            let text = std::str::from_utf8(&form).unwrap();
            let encoded = text.strip_prefix("k=").unwrap().strip_suffix("&last=x").unwrap();
            prop_assert!(!encoded.contains(['&', '=', ' ', '\n']));
            let decoded = percent_encoding::percent_decode_str(&encoded.replace('+', "%20")).decode_utf8().unwrap().into_owned();
            prop_assert_eq!(decoded, value);
        }

        /// No copy of a secret stays behind in a buffer that has become too small.
        #[test]
        fn any_json_value_comes_back_and_fits_into_the_room_that_was_taken(value in any::<String>()) {
            let members = [("k", Member::Text(&value))];
            let json = encode_json(&members);
            let parsed: serde_json::Value = serde_json::from_slice(&json).unwrap();
            prop_assert_eq!(parsed["k"].as_str().unwrap(), &value);
            prop_assert!(json.len() <= 6 * (1 + value.len()) + 8);
        }
    }
}
