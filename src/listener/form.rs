//! Forms and queries (`application/x-www-form-urlencoded`).

use percent_encoding::percent_decode_str;

/// Decodes a form or query; `None` when a part is not UTF-8.
pub fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(String::from)
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// The fields of a form.
#[derive(Default)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a form; `None` when it is not UTF-8.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        std::str::from_utf8(bytes).ok().and_then(pairs).map(Self)
    }

    /// Returns the field of this name, unless it is empty. None may be there twice (RFC 6749 section 3.2).
    pub fn get(&self, name: &str) -> Result<Option<&str>, String> {
        let mut values = self.0.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str());
        match (values.next(), values.next()) {
            (_, Some(_)) => Err(format!("{name} is given more than once")),
            (None | Some(""), None) => Ok(None),
            (value, None) => Ok(value),
        }
    }

    /// Returns the field of this name, which must be there.
    #[cfg_attr(not(feature = "sandbox"), allow(dead_code, reason = "the sandbox alone requires fields"))]
    pub fn required(&self, name: &str) -> Result<&str, String> {
        self.get(name)?.ok_or_else(|| format!("{name} is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_decoded() {
        let decoded = pairs("a=1%202&b=x+y&c&&d=%C3%BC%3D").unwrap();
        let expected = [("a", "1 2"), ("b", "x y"), ("c", ""), ("d", "ü=")];
        assert_eq!(decoded, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(pairs("a=%ff"), None);
        assert!(Form::parse(b"a=\xff").is_none());
    }

    #[test]
    fn a_field_is_there_once_or_not_at_all() {
        let form = Form::parse(b"a=1&b=2&b=2&c=&d=&d=").unwrap();
        assert_eq!((form.get("a"), form.required("a")), (Ok(Some("1")), Ok("1")));
        assert_eq!(form.get("b").unwrap_err(), "b is given more than once");
        for name in ["c", "e"] {
            assert_eq!(form.get(name), Ok(None));
            assert_eq!(form.required(name).unwrap_err(), format!("{name} is missing"));
        }
        assert!(form.get("d").is_err(), "an empty one counts");
    }
}
