//! An answer, and its bytes.

use serde_json::{Value, json};
use zeroize::Zeroizing;

/// An answer. No cache may store it, since tokens are among the answers (RFC 6749 section 5.1).
pub struct Reply {
    /// The status code.
    pub status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, String)>,
    body: Zeroizing<String>,
}

impl Reply {
    /// Answers with JSON.
    pub fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    /// Answers with a text.
    pub fn text(status: u16, content_type: &'static str, body: String) -> Self {
        Self { status, content_type, headers: Vec::new(), body: Zeroizing::new(body) }
    }

    /// Answers that there is nothing at this path.
    pub fn not_found() -> Self {
        Self::refusal(404, "Not Found")
    }

    /// Answers that the path is there for other methods.
    pub fn method_not_allowed(allowed: &'static str) -> Self {
        Self::refusal(405, "Method Not Allowed").with("allow", allowed)
    }

    /// Refuses a request in a few words.
    pub(super) fn refusal(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "message": message }))
    }

    /// Returns the body.
    #[cfg(test)]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// Returns a header that was added.
    #[cfg(test)]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// Adds a header. One with control characters is left out: it could be taken for more than one.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        let value = value.into();
        if !value.chars().any(char::is_control) {
            self.headers.push((name, value));
        }
        self
    }

    /// Returns the parts, for another server that sends them: the media type, the further headers, and the body.
    #[cfg(feature = "service")]
    pub fn into_parts(self) -> (&'static str, Vec<(&'static str, String)>, Zeroizing<String>) {
        (self.content_type, self.headers, self.body)
    }

    /// Returns what is sent. The answer to a HEAD request has the headers only.
    pub(super) fn to_bytes(&self, is_head: bool) -> Zeroizing<Vec<u8>> {
        let (status, reason, length) = (self.status, reason(self.status), self.body.len());
        let mut head = format!("HTTP/1.1 {status} {reason}\r\ncontent-type: {}\r\n", self.content_type);
        head += &format!("content-length: {length}\r\ncache-control: no-store\r\nconnection: close\r\n");
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        head += "\r\n";
        let body = if is_head { &[] } else { self.body.as_bytes() };
        let mut bytes = Zeroizing::new(Vec::with_capacity(head.len() + body.len()));
        bytes.extend_from_slice(head.as_bytes());
        bytes.extend_from_slice(body);
        bytes
    }
}

/// Returns the words for a status code. They are for people; clients go by the number.
fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        202 => "Accepted",
        204 => "No Content",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        413 => "Content Too Large",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        421 => "Misdirected Request",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_how_long_it_is_and_that_it_is_the_last() {
        let reply = Reply::text(429, "text/plain", "ü".to_owned()).with("retry-after", "1");
        let head = "HTTP/1.1 429 Too Many Requests\r\ncontent-type: text/plain\r\ncontent-length: 2\r\n\
                    cache-control: no-store\r\nconnection: close\r\nretry-after: 1\r\n\r\n";
        assert_eq!(reply.to_bytes(false).as_slice(), format!("{head}ü").as_bytes());
        assert_eq!(reply.to_bytes(true).as_slice(), head.as_bytes());
        let unknown = Reply::text(299, "text/plain", String::new()).to_bytes(false);
        assert!(unknown.starts_with(b"HTTP/1.1 299 \r\n"));
    }

    #[test]
    fn a_header_is_never_two() {
        for value in ["a\r\nset-cookie: b", "a\nb", "a\0", "a\u{85}b", "a\u{7f}"] {
            let plain = Reply::not_found().to_bytes(false);
            assert_eq!(Reply::not_found().with("x", value).to_bytes(false), plain, "{value:?}");
        }
        assert!(
            String::from_utf8_lossy(&Reply::method_not_allowed("GET").to_bytes(false))
                .contains("allow: GET\r\n")
        );
    }
}
