//! An answer as it is read: whole, within limits, and with the few headers that are looked at.

use std::io::Read;
use std::time::Duration;

use ureq::http::response::Parts;
use ureq::http::{HeaderName, header};
use zeroize::Zeroizing;

use crate::error::Code;
use crate::secret::Secret;
use crate::text;

use super::MAX_BODY;
use super::fault::Fault;

/// So much of the body of a failure is searched for secrets, in bytes: an error answer is short.
const MAX_ECHO: usize = 16 * 1024;

/// A complete answer, whatever its status.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// The body, at most [`MAX_BODY`] bytes. Wiped on drop, since it may hold a token.
    pub body: Zeroizing<Vec<u8>>,
    /// The `Date` header as Unix time, if there is a valid one.
    pub date: Option<i64>,
    /// The TLS version of the connection, if it was one with TLS.
    pub tls_version: Option<&'static str>,
    /// True if the server gave the further header of the request back, with the same value.
    pub returns_header: bool,
    content_type: Option<String>,
    retry_after: Option<String>,
    location: Option<String>,
    challenge: Option<String>,
    request_ids: [Option<String>; REQUEST_ID_HEADERS.len()],
    known_headers: Vec<&'static str>,
}

/// The headers by which a server's own log names a request, for the support ticket.
pub const REQUEST_ID_HEADERS: [&str; 3] = ["X-Request-Id", "X-Correlation-Id", "Traceparent"];

/// The headers whose presence is worth knowing of a server that nobody has described.
const KNOWN_HEADERS: [&str; 8] = [
    "Cache-Control",
    "Content-Type",
    "Date",
    "Retry-After",
    "WWW-Authenticate",
    "X-Request-Id",
    "X-Correlation-Id",
    "Traceparent",
];

impl Response {
    /// Tells whether the media type is `application/json`, with or without parameters.
    pub fn is_json(&self) -> bool {
        self.media_type().is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
    }

    /// The media type as the server named it. Untrusted.
    pub fn media_type(&self) -> Option<&str> {
        self.content_type.as_deref().and_then(|text| text.split(';').next()).map(str::trim)
    }

    /// Returns what the server asks for in `WWW-Authenticate` (RFC 9110 section 11.6.1). Untrusted.
    pub fn challenge(&self) -> Option<&str> {
        self.challenge.as_deref()
    }

    /// The names that the server gave this request, each with its header. Untrusted.
    pub fn request_ids(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ids = REQUEST_ID_HEADERS.into_iter().zip(&self.request_ids);
        ids.filter_map(|(header, id)| Some((header, id.as_deref()?.trim())).filter(|(_, id)| !id.is_empty()))
    }

    /// Returns the names of the headers of a fixed list that the answer has.
    pub fn known_headers(&self) -> &[&'static str] {
        &self.known_headers
    }

    /// Returns how long the server asks to wait: seconds, or a date that is taken relative to `now` (Unix time, or better the
    /// server's own `Date`). `None` when it does not ask or what it says makes no sense (RFC 9110 section 10.2.3).
    pub fn retry_after(&self, now: i64) -> Option<Duration> {
        let value = self.retry_after.as_deref()?.trim();
        if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
            // More digits than fit mean a very long time.
            return Some(Duration::from_secs(value.parse().unwrap_or(u64::from(u32::MAX))));
        }
        let until = http_date(value)?;
        Some(Duration::from_secs(u64::try_from(until.saturating_sub(self.date.unwrap_or(now))).unwrap_or(0)))
    }

    /// Returns where a redirect points to, without path and query: enough to recognise a captive portal. Untrusted.
    fn redirect_origin(&self) -> Option<String> {
        let location = self.location.as_deref()?;
        let (scheme, rest) = location.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        Some(format!("{scheme}://{host}"))
    }

    /// Returns where a redirect points to, as a message may show it.
    pub fn redirect_target(&self) -> String {
        self.redirect_origin().map_or_else(|| "elsewhere".to_owned(), |origin| text::quote(&origin))
    }

    /// Tells whether the server gave this secret, a piece of it or anything that looks like a JSON Web Token back, in the
    /// headers that are looked at or near the beginning of the body. In an error that is worth knowing even where
    /// nothing of it is shown.
    pub fn echoes(&self, secret: &Secret) -> bool {
        let mut redactor = text::Redactor::default();
        redactor.add(secret.reveal());
        let body = self.body.get(..MAX_ECHO).unwrap_or(&self.body);
        let headers =
            [&self.content_type, &self.location, &self.challenge].into_iter().chain(&self.request_ids);
        let headers = headers.flatten().map(String::as_str);
        headers.chain([&*String::from_utf8_lossy(body)]).any(|text| redactor.scrub(text).1)
    }

    /// The code for a status that may pass by itself, or `None` for a permanent one.
    pub fn transient_code(&self) -> Option<Code> {
        match self.status {
            429 => Some(Code::RateLimited),
            408 | 409 | 425 | 500 | 502 | 503 | 504 => Some(Code::ServerError),
            _ => None,
        }
    }
}

#[cfg(any(test, fuzzing, feature = "service"))]
impl Response {
    /// An answer with this status, media type and body, of another client or for tests.
    pub fn fixed(status: u16, media_type: &str, body: &[u8], returns_header: bool) -> Self {
        Self {
            status,
            body: Zeroizing::new(body.to_vec()),
            date: None,
            tls_version: None,
            returns_header,
            content_type: Some(media_type.to_owned()),
            retry_after: None,
            location: None,
            challenge: None,
            request_ids: [const { None }; REQUEST_ID_HEADERS.len()],
            known_headers: Vec::new(),
        }
    }
}

impl Response {
    /// Reads an answer whose head has arrived.
    pub(super) fn read(
        head: &Parts,
        body: ureq::Body,
        tls_version: Option<&'static str>,
        sent: Option<(&'static str, &'static str)>,
    ) -> Result<Self, Fault> {
        let text = |name| header_text(head, name);
        if text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Fault::Encoded);
        }
        Ok(Self {
            status: head.status.as_u16(),
            body: read_body(body, text(header::CONTENT_LENGTH))?,
            date: text(header::DATE).as_deref().and_then(http_date),
            tls_version,
            returns_header: sent
                .is_some_and(|(name, value)| head.headers.get(name).is_some_and(|found| found == value)),
            content_type: text(header::CONTENT_TYPE),
            retry_after: text(header::RETRY_AFTER),
            location: text(header::LOCATION),
            challenge: text(header::WWW_AUTHENTICATE),
            request_ids: REQUEST_ID_HEADERS
                .map(|name| head.headers.get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned)),
            known_headers: KNOWN_HEADERS
                .into_iter()
                .filter(|name| head.headers.contains_key(*name))
                .collect(),
        })
    }
}

fn header_text(head: &Parts, name: HeaderName) -> Option<String> {
    head.headers.get(name).and_then(|value| value.to_str().ok()).map(ToOwned::to_owned)
}

/// Reads a body of at most [`MAX_BODY`] bytes. It may hold a token, so the room for all of it is taken at once where its
/// length is known, and for a long token where it is not: no part stays behind in a smaller buffer.
fn read_body(body: ureq::Body, length: Option<String>) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let length = length.and_then(|text| text.parse().ok()).unwrap_or(60 * 1024).min(MAX_BODY);
    let mut content = Zeroizing::new(Vec::with_capacity(length + 4096));
    // One more than is allowed: the library refuses what reaches its limit, not what goes beyond.
    let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX).saturating_add(1);
    let read = body.into_with_config().limit(limit).reader().read_to_end(&mut content);
    read.map_err(|error| match Fault::from_ureq(error.into()) {
        // The head has arrived, so whatever breaks now cuts the answer short.
        Fault::Reset | Fault::Garbage => Fault::Truncated,
        other => other,
    })?;
    if content.len() > MAX_BODY { Err(Fault::TooLarge("body")) } else { Ok(content) }
}

/// An HTTP date as Unix time (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(retry_after: &str, date: Option<i64>) -> Response {
        let retry_after = Some(retry_after.to_owned());
        Response { date, retry_after, content_type: None, ..Response::fixed(429, "", b"", false) }
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_or_nothing() {
        let at = |text: &str| response(text, None).retry_after(1_000_000_000).map(|d| d.as_secs());
        assert_eq!(at("0"), Some(0));
        assert_eq!(at(" 120 "), Some(120));
        assert_eq!(at("1000000000000000000000000000000"), Some(u64::from(u32::MAX)));
        assert_eq!(at("Sun, 09 Sep 2001 01:46:50 GMT"), Some(10));
        assert_eq!(at("Sun, 09 Sep 2001 01:46:30 GMT"), Some(0), "in the past");
        for nonsense in ["", "-1", "1.5", "soon", "1e3", "+5"] {
            assert_eq!(at(nonsense), None, "{nonsense}");
        }
        let late = response("Sun, 09 Sep 2001 01:46:50 GMT", Some(1_000_000_005));
        assert_eq!(
            late.retry_after(0).map(|d| d.as_secs()),
            Some(5),
            "the server's own date is the better reference"
        );
    }

    #[test]
    fn a_redirect_shows_its_origin_only() {
        let to = |location: &str| {
            Response { location: Some(location.into()), ..response("", None) }.redirect_origin()
        };
        assert_eq!(to("https://login.example/x?token=1").as_deref(), Some("https://login.example"));
        assert_eq!(to("https://user:pw@login.example:8443#f").as_deref(), Some("https://login.example:8443"));
        assert_eq!(to("/relative"), None);
    }

    #[test]
    fn media_types_are_compared_without_parameters_and_case() {
        let of = |kind: &str| Response { content_type: Some(kind.into()), ..response("", None) };
        assert!(of("application/json").is_json() && of("Application/JSON; charset=utf-8").is_json());
        assert!(!of("text/html").is_json() && !of("application/jsonp").is_json() && !of("").is_json());
    }
}
