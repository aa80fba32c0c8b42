//! The one HTTP policy. No other module names the HTTP library.
//!
//! Every default of the library that could leak a secret or hang a run is overridden here: no redirects, no
//! decompression, capped headers and bodies, one deadline for every read and write, the proxy and the trusted roots
//! decided by us, TLS 1.2 or newer, no connection used twice, nothing logged. The library writes requests and reads
//! answers; the connections are made here.

mod connect;
mod connection;
mod fault;
mod given;
mod preconnect;
pub mod proxy;
mod tls;
pub mod url;

use std::io::Read;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::config::{Config, RedirectAuthHeaders};
use ureq::http::response::Parts;
use ureq::http::{HeaderName, Request as HttpRequest, Uri, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use zeroize::Zeroizing;

use crate::clock::{self, Clock as _, SystemClock};
use crate::deadline::Deadline;
use crate::error::{Code, Error, Stage};
use crate::retry::{Attempt, Failure};
use crate::secret::Secret;
use crate::text;

use connect::{Hop, Route};
use connection::Ready;
use fault::{Fault, deadline_error};
use preconnect::Preconnected;
use proxy::ProxySettings;
pub use tls::parse_roots;
use url::Url;

/// The largest answer that is read, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// The part of the body of a failure that is searched for secrets, in bytes: an error answer is short.
const MAX_ECHO: usize = 16 * 1024;

/// The largest header section that is read, in bytes.
pub const MAX_HEADERS: usize = 16 * 1024;

/// The value of `User-Agent`: the program and its version, nothing about the job.
pub const USER_AGENT: &str = concat!("equinix-wif/", env!("CARGO_PKG_VERSION"));

/// The characters to encode in `application/x-www-form-urlencoded`: everything but letters, digits and `*-._`.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// The other side of a request, which decides the codes of failures.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// The name in messages, e.g. `the STS`.
    pub name: &'static str,
    /// The part of the data flow in which it is asked.
    pub stage: Stage,
    /// The code for an answer over the limits.
    pub too_large: Code,
    /// The code for an answer in an unexpected encoding.
    pub not_json: Code,
}

/// One request.
pub enum Request<'r> {
    /// A GET with a bearer token.
    Get {
        /// The URL.
        url: &'r Url,
        /// The token for the `Authorization` header.
        bearer: &'r Secret,
    },
    /// A GET of something public.
    GetPublic {
        /// The URL.
        url: &'r Url,
    },
    /// A POST with a form (`application/x-www-form-urlencoded`), without `Authorization`.
    PostForm {
        /// The URL.
        url: &'r Url,
        /// Names and values, encoded here.
        fields: &'r [(&'r str, &'r str)],
    },
}

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
    content_type: Option<String>,
    retry_after: Option<String>,
    location: Option<String>,
    challenge: Option<String>,
    request_ids: [Option<String>; 2],
}

/// The headers by which a server's own log names a request, for the support ticket.
pub const REQUEST_ID_HEADERS: [&str; 2] = ["X-Request-Id", "X-Correlation-Id"];

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

/// An HTTP client.
pub struct Client {
    proxies: ProxySettings,
    extra_roots: Vec<CertificateDer<'static>>,
    tls: OnceLock<Arc<ClientConfig>>,
    /// Connections that were opened ahead, each with the origin that it leads to.
    ahead: Mutex<Vec<(String, Preconnected)>>,
}

impl Client {
    /// Makes a client. `extra_roots` are trusted besides the built-in roots.
    pub fn new(proxies: ProxySettings, extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self { proxies, extra_roots, tls: OnceLock::new(), ahead: Mutex::default() }
    }

    /// Begins to connect to a server that will be asked later on, while something else is waited for. Each connection is
    /// good for one request. Nothing can go wrong here: a request that finds no connection makes its own.
    pub fn open_ahead(&self, url: &Url, deadline: Deadline) {
        let Ok(route) = self.route(url) else { return };
        if let Some(ahead) = Preconnected::begin(route, deadline) {
            self.opened_ahead().push((url.origin(), ahead));
        }
    }

    /// Takes the oldest connection that was opened ahead to where this leads, which is then this request's own.
    fn take_ahead(&self, url: &Url) -> Option<Preconnected> {
        let mut opened = self.opened_ahead();
        let position = opened.iter().position(|(origin, _)| *origin == url.origin())?;
        Some(opened.remove(position).1)
    }

    fn opened_ahead(&self) -> MutexGuard<'_, Vec<(String, Preconnected)>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one request, once.
    ///
    /// An answer with any status is a success here. A failure says whether another attempt makes sense, and whether
    /// the request may have reached the server.
    pub fn send(&self, peer: Peer, request: &Request<'_>, attempt: Attempt) -> Result<Response, Failure> {
        let url = match request {
            Request::Get { url, .. } | Request::GetPublic { url } | Request::PostForm { url, .. } => *url,
        };
        if attempt.deadline.left().is_none() {
            return Err(Failure::permanent(deadline_error(peer)));
        }
        let sent = Arc::new(AtomicBool::new(false));
        self.ask(url, request, attempt, &sent).map_err(|fault| {
            // With a clock that is not set, no certificate is valid yet.
            if matches!(fault, Fault::Tls(_))
                && let Some(message) = clock::not_set(SystemClock.unix_time())
            {
                let error = Error::new(Code::TlsVerify, message).with_cure(clock::SET_IT);
                return Failure::permanent(error.with_stage(peer.stage));
            }
            let failure = fault.explain(peer, url, self.proxies.for_url(url), attempt);
            Failure { lost_answer: sent.load(Ordering::Relaxed), ..failure }
        })
    }

    /// Returns the TLS settings, which are made when they are first needed.
    fn tls(&self) -> Result<Arc<ClientConfig>, Fault> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(tls::config(&self.extra_roots).map_err(Fault::Tls)?);
        Ok(Arc::clone(self.tls.get_or_init(|| config)))
    }

    /// Returns the way to the server.
    fn route(&self, url: &Url) -> Result<Route, Fault> {
        let tls = |wanted: bool| wanted.then(|| self.tls()).transpose();
        let server = Hop { host: url.host().to_owned(), port: url.port(), tls: tls(url.is_https())? };
        let Some(proxy) = self.proxies.for_url(url) else {
            return Ok(Route { server, proxy: None, authorization: None });
        };
        let hop = Hop { host: proxy.host.clone(), port: proxy.port, tls: tls(proxy.is_https)? };
        Ok(Route { server, proxy: Some(hop), authorization: proxy.authorization.clone() })
    }

    fn ask(
        &self,
        url: &Url,
        request: &Request<'_>,
        attempt: Attempt,
        sent: &Arc<AtomicBool>,
    ) -> Result<Response, Fault> {
        let end = attempt.end();
        // The ID token is asked for first, so there was nothing to wait for meanwhile.
        let ahead = match request {
            Request::Get { .. } => None,
            Request::GetPublic { .. } | Request::PostForm { .. } => self.take_ahead(url),
        };
        let mut connection = match ahead.and_then(|ahead| ahead.take(end)) {
            Some(connection) => connection,
            None => self.route(url)?.open(end, attempt.connect_timeout())?,
        };
        connection.set_deadline(end);
        let tls_version = connection.tls_version();
        let agent = Agent::with_parts(policy(url), Ready::new(connection, Arc::clone(sent)), NoResolver);
        let answer = match request {
            Request::Get { bearer, .. } => {
                let authorization = Zeroizing::new(format!("Bearer {}", bearer.reveal()));
                let request =
                    HttpRequest::get(url.uri()).header(header::AUTHORIZATION, authorization.as_str());
                agent.run(request.body(()).map_err(|_| Fault::Unsendable)?)
            }
            Request::GetPublic { .. } => {
                agent.run(HttpRequest::get(url.uri()).body(()).map_err(|_| Fault::Unsendable)?)
            }
            Request::PostForm { fields, .. } => {
                let form = encode_form(fields);
                let request = HttpRequest::post(url.uri())
                    .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                    .body(form.as_slice());
                agent.run(request.map_err(|_| Fault::Unsendable)?)
            }
        };
        let (head, body) = answer.map_err(Fault::from_ureq)?.into_parts();
        let text = |name| header_text(&head, name);
        if text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Fault::Encoded);
        }
        Ok(Response {
            status: head.status.as_u16(),
            body: read_body(body, text(header::CONTENT_LENGTH))?,
            date: text(header::DATE).as_deref().and_then(http_date),
            tls_version,
            content_type: text(header::CONTENT_TYPE),
            retry_after: text(header::RETRY_AFTER),
            location: text(header::LOCATION),
            challenge: text(header::WWW_AUTHENTICATE),
            request_ids: REQUEST_ID_HEADERS
                .map(|name| head.headers.get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned)),
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

/// Resolves nothing: the library gets a connection that stands.
#[derive(Debug)]
struct NoResolver;

impl Resolver for NoResolver {
    fn resolve(&self, _: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, ureq::Error> {
        Ok(self.empty())
    }
}

/// Returns the library's settings, none of them left at its default where it matters. Its time limits are not used: the
/// connection has the deadline.
fn policy(url: &Url) -> Config {
    Agent::config_builder()
        .https_only(url.is_https())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .proxy(None)
        .user_agent(USER_AGENT)
        .accept("application/json")
        .accept_encoding("identity")
        .max_response_header_size(MAX_HEADERS)
        .max_idle_connections(0)
        .max_idle_connections_per_host(0)
        .build()
}

/// `application/x-www-form-urlencoded` (WHATWG URL section 5.2), wiped on drop.
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

/// An HTTP date as Unix time (RFC 9110 section 5.6.7).
fn http_date(text: &str) -> Option<i64> {
    let since = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn response(retry_after: &str, date: Option<i64>) -> Response {
        Response {
            status: 429,
            body: Zeroizing::new(Vec::new()),
            date,
            tls_version: None,
            content_type: None,
            retry_after: Some(retry_after.to_owned()),
            location: None,
            challenge: None,
            request_ids: [None, None],
        }
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

    #[test]
    fn a_form_is_encoded_as_browsers_do() {
        let form = encode_form(&[("a b", "urn:x&y=z"), ("c", "é*-._~+/=\n")]);
        assert_eq!(&form[..], b"a+b=urn%3Ax%26y%3Dz&c=%C3%A9*-._%7E%2B%2F%3D%0A");
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
    }
}
