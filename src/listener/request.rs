//! A request, as far as a service looks at it.

use std::net::SocketAddr;

/// A request.
pub struct Request {
    /// The method, as it was sent.
    pub method: String,
    /// The path, as it was sent: nothing is decoded. It begins with `/`, but for `OPTIONS *`.
    pub path: String,
    /// The query without its question mark. Empty when there is none.
    #[cfg_attr(not(feature = "sandbox"), allow(dead_code, reason = "the sandbox alone looks at it"))]
    pub query: String,
    /// The body; `None` when it is too large.
    pub body: Option<Vec<u8>>,
    /// The address that the client connects from; `None` when there is no connection, as in tests.
    pub peer: Option<SocketAddr>,
    pub(super) headers: Vec<(String, Vec<u8>)>,
}

impl Request {
    /// Returns a header as text, the first one of this name. A header that is not text is none that services know.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.values(name).next().and_then(text)
    }

    /// Returns the headers of this name that are text.
    #[cfg(fuzzing)]
    pub fn headers<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.values(name).filter_map(text)
    }

    /// Tells whether there is a header of this name, text or not.
    pub fn has_header(&self, name: &str) -> bool {
        self.values(name).next().is_some()
    }

    pub(super) fn values<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.headers.iter().filter(move |(known, _)| known.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_slice())
    }

    /// Makes a request of what another server has received. Headers that are not needed may be left out.
    #[cfg(feature = "service")]
    pub fn received(method: &str, path: &str, headers: Vec<(String, Vec<u8>)>, body: Vec<u8>) -> Self {
        let (method, path) = (method.to_owned(), path.to_owned());
        Self { method, path, query: String::new(), body: Some(body), peer: None, headers }
    }

    /// Makes a request up.
    #[cfg(test)]
    pub fn made_up(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> Self {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            query: query.to_owned(),
            body: Some(body.into()),
            peer: None,
            headers: headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect(),
        }
    }
}

/// Returns a header's value if all its characters can be seen.
fn text(value: &[u8]) -> Option<&str> {
    let is_text = value.iter().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
    std::str::from_utf8(value).ok().filter(|_| is_text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_found_by_their_name_in_any_case() {
        let headers = [("Accept", "a"), ("accept", "b"), ("X-Name", "ü"), ("x-name", "u")];
        let request = Request::made_up("GET", "/a?b?c", &headers, "");
        assert_eq!((request.path.as_str(), request.query.as_str()), ("/a", "b?c"));
        assert_eq!(request.header("ACCEPT"), Some("a"));
        assert_eq!((request.header("x-name"), request.has_header("x-name")), (None, true), "not text");
        assert_eq!((request.header("host"), request.has_header("host")), (None, false));
    }
}
