//! The one HTTP policy. No other module names the HTTP library.
//!
//! Every default of the library that could leak a secret or hang a run is overridden here: no redirects, no
//! decompression, capped headers and bodies, a time limit on every phase and one deadline over all, the proxy and
//! the trusted roots decided by us, TLS 1.2 or newer, no connection used twice, nothing logged.

mod ahead;
mod connect;
mod given;
pub mod proxy;
mod room;
mod tcp;
pub mod url;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::{CryptoProvider, KeyProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::SigningKey;
use rustls::{ClientConfig, RootCertStore};
use ureq::config::{Config, RedirectAuthHeaders};
use ureq::http::{Request as HttpRequest, header};
use ureq::{Agent, Timeout};
use zeroize::Zeroizing;

use crate::clock::{self, Clock};
use crate::error::{Code, Error, Stage};
use crate::retry::{Deadline, Failure, Retry};
use crate::secret::Secret;
use crate::text;

use ahead::{Ahead, AheadResolver};
use connect::{CONNECT_TIMEOUT, ConnectFault, Connection, Opener, Progress};
use given::GivenCertificates;
use proxy::ProxySettings;
use url::Url;

/// The longest time for one attempt, from the name lookup to the last byte of the answer.
pub const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(15);

/// The largest answer that is read, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// So much of the body of a failure is searched for secrets, in bytes: an error answer is short.
const MAX_ECHO: usize = 16 * 1024;

/// The largest header section that is read, in bytes.
pub const MAX_HEADERS: usize = 16 * 1024;

/// What the servers see as `User-Agent`: the program and its version, nothing about the job.
pub const USER_AGENT: &str = concat!("equinix-wif/", env!("CARGO_PKG_VERSION"));

/// In `application/x-www-form-urlencoded`, everything but letters, digits and `*-._` is encoded.
const FORM: &AsciiSet = &NON_ALPHANUMERIC.remove(b'*').remove(b'-').remove(b'.').remove(b'_');

/// Who is being talked to: decides how failures are called.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// As it stands in messages, e.g. `the STS`.
    pub name: &'static str,
    /// Where in the data flow it is asked.
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
        /// Where to.
        url: &'r Url,
        /// The token for the `Authorization` header.
        bearer: &'r Secret,
    },
    /// A GET of something public.
    GetPublic {
        /// Where to.
        url: &'r Url,
    },
    /// A POST with a form (`application/x-www-form-urlencoded`), without `Authorization`.
    PostForm {
        /// Where to.
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
    /// Whether the media type is `application/json`, with or without parameters.
    pub fn is_json(&self) -> bool {
        self.media_type().is_some_and(|media| media.eq_ignore_ascii_case("application/json"))
    }

    /// The media type as the server named it. Untrusted.
    pub fn media_type(&self) -> Option<&str> {
        self.content_type.as_deref().and_then(|text| text.split(';').next()).map(str::trim)
    }

    /// What the server asks for in `WWW-Authenticate` (RFC 9110 section 11.6.1). Untrusted.
    pub fn challenge(&self) -> Option<&str> {
        self.challenge.as_deref()
    }

    /// The names that the server gave this request, each with its header. Untrusted.
    pub fn request_ids(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let ids = REQUEST_ID_HEADERS.into_iter().zip(&self.request_ids);
        ids.filter_map(|(header, id)| Some((header, id.as_deref()?.trim())).filter(|(_, id)| !id.is_empty()))
    }

    /// How long the server asks to wait: seconds, or a date that is taken relative to `now` (Unix time, or better the
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

    /// Where a redirect points to, without path and query: enough to recognise a captive portal. Untrusted.
    fn redirect_origin(&self) -> Option<String> {
        let location = self.location.as_deref()?;
        let (scheme, rest) = location.split_once("://")?;
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        Some(format!("{scheme}://{host}"))
    }

    /// Where a redirect points to, as a message may show it.
    pub fn redirect_target(&self) -> String {
        self.redirect_origin().map_or_else(|| "elsewhere".to_owned(), |origin| text::quote(&origin))
    }

    /// Whether the server gave this secret, a piece of it or anything that looks like a JSON Web Token back, in the
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

    /// The code for a status that may pass by itself (retry law, `security.md` 2.1), or `None` for a permanent one.
    pub fn transient_code(&self) -> Option<Code> {
        match self.status {
            429 => Some(Code::RateLimited),
            408 | 409 | 425 | 500 | 502 | 503 | 504 => Some(Code::ServerError),
            _ => None,
        }
    }
}

/// An HTTP client for one run.
pub struct Client {
    clock: Arc<dyn Clock>,
    proxies: ProxySettings,
    extra_roots: Vec<CertificateDer<'static>>,
    tls: OnceLock<Arc<ClientConfig>>,
    /// Connections that were opened ahead, each with the origin that it leads to.
    ahead: Mutex<Vec<(String, Arc<Ahead>)>>,
}

impl Client {
    /// Creates a client. `extra_roots` are trusted besides the built-in roots.
    pub fn new(
        clock: Arc<dyn Clock>,
        proxies: ProxySettings,
        extra_roots: Vec<CertificateDer<'static>>,
    ) -> Self {
        Self { clock, proxies, extra_roots, tls: OnceLock::new(), ahead: Mutex::default() }
    }

    /// Begins to connect to a server that will be asked later on, while something else is waited for. Each connection is
    /// good for one request. Nothing can go wrong here: a request that finds no connection makes its own.
    pub fn open_ahead(&self, url: &Url, by: Deadline) {
        let left = by.left(&*self.clock);
        let Ok((config, opener)) = self.route(url, left, CONNECT_TIMEOUT) else { return };
        if let Some(ahead) = Ahead::begin(url.uri().clone(), config, opener) {
            self.opened_ahead().push((url.origin(), ahead));
        }
    }

    /// The oldest connection that was opened ahead to where this leads, which is then this request's own.
    fn take_ahead(&self, url: &Url) -> Option<Arc<Ahead>> {
        let mut opened = self.opened_ahead();
        let position = opened.iter().position(|(origin, _)| *origin == url.origin())?;
        Some(opened.remove(position).1)
    }

    fn opened_ahead(&self) -> MutexGuard<'_, Vec<(String, Arc<Ahead>)>> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sends one request, once.
    ///
    /// An answer with any status is a success here. A failure says whether another attempt makes sense, and whether
    /// the request may have reached the server. Whatever happens, it ends before `by`.
    pub fn send(&self, peer: Peer, request: &Request<'_>, by: Deadline) -> Result<Response, Failure> {
        let url = match request {
            Request::Get { url, .. } | Request::GetPublic { url } | Request::PostForm { url, .. } => *url,
        };
        let left = by.left(&*self.clock);
        if left.is_zero() {
            return Err(Failure::permanent(deadline_error(peer)));
        }
        let progress = Progress::default();
        let outcome = self.attempt(url, request, left, &progress);
        outcome.map_err(|fault| {
            let cut_short =
                left <= ATTEMPT_TIMEOUT && matches!(fault, Fault::Timeout) && by.is_near(&*self.clock);
            let proxy = self.proxies.for_url(url).map(|proxy| proxy.shown.as_str());
            let fault = match fault {
                _ if cut_short => Fault::Deadline,
                // Before the tunnel stands, everything that is said is the proxy's.
                Fault::Reset | Fault::Garbage | Fault::TooLarge(_)
                    if proxy.is_some() && !progress.connected() =>
                {
                    Fault::ProxyConnect
                }
                other => other,
            };
            // With a clock that is not set, no certificate is valid yet.
            if matches!(fault, Fault::Tls(_))
                && let Some(message) = clock::not_set(self.clock.unix_time())
            {
                let error = Error::new(Code::TlsVerify, message).with_cure(clock::SET_IT);
                return Failure::permanent(error.with_stage(peer.stage));
            }
            Failure { lost_answer: progress.sent(), ..fault.explain(peer, url, proxy) }
        })
    }

    /// The TLS settings, made when they are first needed.
    fn tls(&self) -> Result<Arc<ClientConfig>, Fault> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = Arc::new(tls_config(&self.extra_roots).map_err(Fault::Tls)?);
        Ok(Arc::clone(self.tls.get_or_init(|| config)))
    }

    /// How to get there: the library's settings, and how to connect.
    fn route(&self, url: &Url, left: Duration, connecting: Duration) -> Result<(Config, Opener), Fault> {
        let proxy = match self.proxies.for_url(url) {
            Some(proxy) => Some(ureq::Proxy::new(proxy.url.reveal()).map_err(|_| Fault::ProxyConnect)?),
            None => None,
        };
        // A plain URL is loopback and never proxied, so it needs no TLS for a proxy either.
        let tls = if url.is_https() { Some(self.tls()?) } else { None };
        let opener = Opener { tls, proxied: proxy.is_some() };
        Ok((policy(url, proxy, left.min(ATTEMPT_TIMEOUT), connecting), opener))
    }

    fn attempt(
        &self,
        url: &Url,
        request: &Request<'_>,
        left: Duration,
        progress: &Progress,
    ) -> Result<Response, Fault> {
        // The ID token is asked for first, so there was nothing to wait for meanwhile.
        let ahead = match request {
            Request::Get { .. } => None,
            Request::GetPublic { .. } | Request::PostForm { .. } => self.take_ahead(url),
        };
        // One that was opened ahead may use its time up, and the one in its place has as much as any other.
        let connecting = if ahead.is_some() { CONNECT_TIMEOUT * 2 } else { CONNECT_TIMEOUT };
        let (config, opener) = self.route(url, left, connecting)?;
        let resolver = AheadResolver(ahead.clone().filter(|_| !opener.proxied));
        let agent =
            Agent::with_parts(config, Connection { opener, ahead, progress: progress.clone() }, resolver);
        let fault = |error: ureq::Error| Fault::from_ureq(error, progress);
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
        let (head, body) = answer.map_err(fault)?.into_parts();
        let text = |name| head.headers.get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned);
        if text(header::CONTENT_ENCODING).is_some_and(|coding| !coding.eq_ignore_ascii_case("identity")) {
            return Err(Fault::Encoded);
        }
        let limit = u64::try_from(MAX_BODY).unwrap_or(u64::MAX);
        let body =
            body.into_with_config().limit(limit).read_to_vec().map_err(|error| match fault(error) {
                // The head has arrived, so whatever breaks now cuts the answer short.
                Fault::Reset | Fault::Garbage => Fault::Truncated,
                other => other,
            })?;
        Ok(Response {
            status: head.status.as_u16(),
            body: Zeroizing::new(body),
            date: text(header::DATE).as_deref().and_then(http_date),
            tls_version: progress.tls_version(),
            content_type: text(header::CONTENT_TYPE),
            retry_after: text(header::RETRY_AFTER),
            location: text(header::LOCATION),
            challenge: text(header::WWW_AUTHENTICATE),
            request_ids: REQUEST_ID_HEADERS
                .map(|name| head.headers.get(name).and_then(|v| v.to_str().ok()).map(ToOwned::to_owned)),
        })
    }
}

/// TLS 1.2 and 1.3 with ring, the built-in roots and the additional ones. There is no way to switch checks off.
fn tls_config(extra_roots: &[CertificateDer<'static>]) -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    roots.add_parsable_certificates(extra_roots.iter().cloned());
    let provider = CryptoProvider { key_provider: &NoClientKeys, ..rustls::crypto::ring::default_provider() };
    let provider = Arc::new(provider);
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let mut config = if extra_roots.is_empty() {
        builder.with_root_certificates(roots).with_no_client_auth()
    } else {
        let by_roots = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .map_err(|why| rustls::Error::General(why.to_string()))?;
        let verifier = GivenCertificates { by_roots, given: extra_roots.to_vec() };
        builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth()
    };
    // No connection is made twice, so there is nothing to resume.
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}

/// This program never shows a certificate of its own. Without ring's reader of private keys, the code for signing with
/// them is not even in the binary.
#[derive(Debug)]
struct NoClientKeys;

impl KeyProvider for NoClientKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        Err(rustls::Error::General("there are no client certificates".to_owned()))
    }
}

/// The library's settings, none of them left at its default where it matters.
fn policy(url: &Url, proxy: Option<ureq::Proxy>, attempt: Duration, connecting: Duration) -> Config {
    Agent::config_builder()
        .https_only(url.is_https())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .proxy(proxy)
        .no_delay(true)
        .user_agent(USER_AGENT)
        .accept("application/json")
        .accept_encoding("identity")
        .max_response_header_size(MAX_HEADERS)
        .input_buffer_size(MAX_HEADERS + 4096)
        .output_buffer_size(MAX_HEADERS)
        .max_idle_connections(0)
        .max_idle_connections_per_host(0)
        .timeout_global(Some(attempt))
        .timeout_resolve(Some(CONNECT_TIMEOUT.min(attempt)))
        .timeout_connect(Some(connecting.min(attempt)))
        .build()
}

/// Reads certificates from a PEM text. What could not be a root is left out.
///
/// Fails when it holds none that could be a root; `source` is how the setting is called in the message.
pub fn parse_roots(pem: &[u8], source: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let is_usable =
        |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    let certificates: Vec<_> =
        CertificateDer::pem_slice_iter(pem).filter_map(Result::ok).filter(is_usable).collect();
    if certificates.is_empty() {
        return Err(Error::new(Code::CfgCaFile, format!("{source} holds no certificate that could be read")));
    }
    Ok(certificates)
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

fn deadline_error(peer: Peer) -> Error {
    Error::new(Code::Deadline, format!("the time for this run was used up before {} had answered", peer.name))
        .with_stage(peer.stage)
}

/// What can go wrong below HTTP's status codes.
#[derive(Debug)]
enum Fault {
    Dns { temporary: bool },
    Connect(Option<std::io::ErrorKind>),
    Tls(rustls::Error),
    TlsBroken,
    Timeout,
    Deadline,
    Reset,
    Garbage,
    Truncated,
    TooLarge(&'static str),
    Encoded,
    ProxyConnect,
    ProxyAuth,
    Unsendable,
}

impl Fault {
    fn from_ureq(error: ureq::Error, progress: &Progress) -> Self {
        use ureq::Error as E;
        match error {
            E::Other(inner) => match inner.downcast::<ConnectFault>() {
                Ok(fault) => match *fault {
                    ConnectFault::Dns { temporary } => Self::Dns { temporary },
                    ConnectFault::Tls(error) => Self::Tls(error),
                    ConnectFault::TlsBroken => Self::TlsBroken,
                },
                Err(_) => Self::Garbage,
            },
            E::Timeout(Timeout::Resolve) => Self::Dns { temporary: true },
            E::Timeout(Timeout::Connect) => Self::Connect(Some(std::io::ErrorKind::TimedOut)),
            E::Timeout(_) => Self::Timeout,
            E::ConnectProxyFailed(reason) if reason.contains("407") => Self::ProxyAuth,
            E::ConnectProxyFailed(_) => Self::ProxyConnect,
            E::Io(error) if !progress.connected() => Self::Connect(Some(error.kind())),
            E::Io(_) => Self::Reset,
            E::ConnectionFailed | E::HostNotFound => Self::Connect(None),
            E::LargeResponseHeader(..) => Self::TooLarge("header"),
            // The parser gives up at its 128th header, which may come before the size is reached.
            E::Protocol(error) if error.to_string().contains("too many headers") => Self::TooLarge("header"),
            E::BodyExceedsLimit(_) => Self::TooLarge("body"),
            E::Http(_) | E::BadUri(_) | E::RequireHttpsOnly(_) | E::TlsRequired => Self::Unsendable,
            _ => Self::Garbage,
        }
    }

    /// The fault in the user's words, with its code and whether to try again.
    fn explain(&self, peer: Peer, url: &Url, proxy: Option<&str>) -> Failure {
        let name = peer.name;
        let origin = url.origin();
        let again = Retry::Again { after: None };
        let (code, message, retry) = match self {
            Self::Dns { temporary: true } => (
                Code::NetDns,
                format!("the name {} could not be looked up for the moment", url.host()),
                again,
            ),
            // A name that does not exist seldom comes to exist; once more for the rare hiccup.
            Self::Dns { temporary: false } => {
                (Code::NetDns, format!("the name {} does not exist", url.host()), Retry::Once)
            }
            Self::Connect(kind) => {
                let to = proxy.map_or_else(|| format!("{name} at {origin}"), |p| format!("the proxy {p}"));
                let why = kind.map_or("no connection", connect_reason);
                let code = if proxy.is_some() { Code::ProxyConnect } else { Code::NetConnect };
                (code, format!("{to} could not be reached: {why}"), again)
            }
            Self::Tls(error) => return tls_failure(error, peer, url),
            Self::TlsBroken => (
                Code::TlsHandshake,
                format!("the TLS handshake with {name} at {origin} broke off or stalled"),
                again,
            ),
            Self::Timeout => (
                Code::NetTimeout,
                format!("{name} at {origin} did not answer completely within the time limit"),
                again,
            ),
            Self::Deadline => return Failure::permanent(deadline_error(peer)),
            Self::Reset => {
                (Code::NetReset, format!("{name} at {origin} closed the connection without an answer"), again)
            }
            Self::Garbage => (Code::NetReset, format!("{name} at {origin} did not answer in HTTP"), again),
            Self::Truncated => {
                (Code::NetTruncated, format!("the answer of {name} at {origin} ended too early"), again)
            }
            Self::TooLarge(part) => {
                let limit = if *part == "body" { MAX_BODY } else { MAX_HEADERS };
                let lines = if *part == "body" { "" } else { ", or has too many lines" };
                let message = format!(
                    "the {part} of the answer of {name} at {origin} is larger than {} KiB{lines}",
                    limit / 1024
                );
                (peer.too_large, message, Retry::Never)
            }
            Self::Encoded => (
                peer.not_json,
                format!("{name} at {origin} sent a compressed answer that nobody asked for"),
                Retry::Never,
            ),
            Self::ProxyConnect => {
                let shown = proxy.unwrap_or("(none)");
                (
                    Code::ProxyConnect,
                    format!("the proxy {shown} did not connect to {name} at {origin}"),
                    again,
                )
            }
            Self::ProxyAuth => {
                let shown = proxy.unwrap_or("(none)");
                (
                    Code::ProxyAuth,
                    format!("the proxy {shown} asks for a user name and password (407)"),
                    Retry::Never,
                )
            }
            Self::Unsendable => (
                Code::Internal,
                format!("the request to {name} at {origin} could not be built"),
                Retry::Never,
            ),
        };
        Failure { error: Error::new(code, message).with_stage(peer.stage), retry, lost_answer: false }
    }
}

fn connect_reason(kind: std::io::ErrorKind) -> &'static str {
    use std::io::ErrorKind as K;
    match kind {
        K::ConnectionRefused => "connection refused",
        K::TimedOut | K::WouldBlock => "no answer in time",
        K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown | K::AddrNotAvailable => "no route to it",
        K::PermissionDenied => "not permitted on this machine",
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => {
            "it closed the connection at once"
        }
        _ => "no connection",
    }
}

/// A certificate that is not trusted is a refusal for safety and never retried; anything else is a failed handshake.
fn tls_failure(error: &rustls::Error, peer: Peer, url: &Url) -> Failure {
    use rustls::CertificateError as C;
    let name = peer.name;
    let origin = url.origin();
    let why = match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            C::Expired | C::ExpiredContext { .. } => "it has expired",
            C::NotValidYet | C::NotValidYetContext { .. } => "it is not valid yet",
            C::UnknownIssuer => "it was not issued by a trusted authority",
            C::NotValidForName | C::NotValidForNameContext { .. } => "it belongs to another host",
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => "it is not meant for servers",
            C::Revoked => "it was revoked",
            C::BadSignature => "its signature is wrong",
            _ => "it is not acceptable",
        },
        rustls::Error::NoCertificatesPresented => "there is none",
        other => {
            let message = format!(
                "no TLS connection could be agreed on with {name} at {origin}: {}",
                tls_reason(other)
            );
            return Failure::permanent(Error::new(Code::TlsHandshake, message).with_stage(peer.stage));
        }
    };
    let message = format!("the certificate of {name} at {origin} is not trusted: {why}");
    Failure::permanent(Error::new(Code::TlsVerify, message).with_stage(peer.stage))
}

fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => {
            "what it said is not TLS".to_owned()
        }
        rustls::Error::PeerIncompatible(_) => {
            "it supports neither TLS 1.2 nor TLS 1.3, or no common cipher".to_owned()
        }
        other => text::quote(&other.to_string()),
    }
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
    fn roots_come_from_pem_and_must_be_there() {
        let ca = rcgen::generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem();
        assert_eq!(parse_roots(ca.as_bytes(), "x").unwrap().len(), 1);
        assert_eq!(parse_roots(format!("text\n{ca}{ca}").as_bytes(), "x").unwrap().len(), 2);
        let junk = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n";
        assert_eq!(parse_roots(format!("{junk}{ca}").as_bytes(), "x").unwrap().len(), 1, "only what counts");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for none in ["", "no pem", broken] {
            let error = parse_roots(none.as_bytes(), "--ca-file x.pem").unwrap_err();
            assert_eq!(error.code(), Code::CfgCaFile);
            assert!(error.message().starts_with("--ca-file x.pem holds no certificate"), "{error}");
        }
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
