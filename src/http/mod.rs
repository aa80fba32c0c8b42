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
mod log;
mod preconnect;
pub mod proxy;
pub mod request;
mod response;
mod tls;
pub mod url;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use rustls::ClientConfig;
use rustls::pki_types::CertificateDer;
use ureq::Agent;
use ureq::config::{Config, RedirectAuthHeaders};
use ureq::http::{Request as HttpRequest, Uri, header};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use zeroize::Zeroizing;

use crate::clock::{self, Clock as _, SystemClock};
use crate::deadline::Deadline;
use crate::error::{Code, Error, Stage};
use crate::report::audit::Made;
use crate::report::console::Console;
use crate::report::late::{Late, PATIENCE};
use crate::retry::{Attempt, Failure};
use crate::watch::Watch;

pub use connect::{Hop, Route};
use connection::Ready;
pub use fault::Fault;
use fault::deadline_error;
use log::Log;
use preconnect::Preconnected;
use proxy::ProxySettings;
pub use request::{Body, Member, Request};
#[cfg(feature = "service")]
pub use response::REQUEST_ID_HEADERS;
pub use response::Response;
pub use tls::parse_roots;
use url::Url;

/// The largest answer that is read, in bytes.
pub const MAX_BODY: usize = 256 * 1024;

/// The largest header section that is read, in bytes.
pub const MAX_HEADERS: usize = 16 * 1024;

/// The value of `User-Agent`: the program and its version, nothing about the job.
pub const USER_AGENT: &str = concat!("equinix-wif/", env!("CARGO_PKG_VERSION"));

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

/// An HTTP client.
pub struct Client {
    proxies: ProxySettings,
    extra_roots: Vec<CertificateDer<'static>>,
    tls: OnceLock<Arc<ClientConfig>>,
    /// Connections that were opened ahead, each with the origin that it leads to.
    ahead: Mutex<Vec<(String, Preconnected)>>,
    log: Log,
    /// The console that is told of an answer that is late, unless this is true: then something else is in the foreground.
    told: Option<(Arc<Console>, Arc<AtomicBool>)>,
}

impl Client {
    /// Makes a client. `extra_roots` are trusted besides the built-in roots.
    pub fn new(proxies: ProxySettings, extra_roots: Vec<CertificateDer<'static>>) -> Self {
        Self {
            proxies,
            extra_roots,
            tls: OnceLock::new(),
            ahead: Mutex::default(),
            told: None,
            log: Log::default(),
        }
    }

    /// The same client, which tells people when an answer is late, unless something else is in the foreground.
    #[must_use]
    pub fn telling(self, console: Arc<Console>, is_in_background: Arc<AtomicBool>) -> Self {
        Self { told: Some((console, is_in_background)), ..self }
    }

    /// Returns who is told of an answer that is late. It is so from now on: it makes no difference whether the server, or who is
    /// on the way to it, is slow to connect, to agree on TLS, or to answer.
    fn watch(&self, peer: Peer, attempt: Attempt) -> Option<Watch> {
        let (console, is_in_background) = self.told.as_ref()?;
        if is_in_background.load(Ordering::Relaxed) {
            return None;
        }
        let now = Instant::now();
        let mut late = Late::new(Arc::clone(console), peer.name, now, attempt.deadline);
        Some(Watch::new(Deadline::after(now, PATIENCE), move || late.tell(Instant::now())))
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
        if attempt.deadline.left().is_none() {
            return Err(Failure::permanent(deadline_error(peer)));
        }
        let sent = Arc::new(AtomicBool::new(false));
        let made = log::begin(peer, request.method(), request.url);
        let outcome = self.ask(peer, request, attempt, &sent).map_err(|fault| Failure {
            lost_answer: sent.load(Ordering::Relaxed),
            ..self.explain(&fault, peer, request.url, attempt)
        });
        self.log.note(made, &outcome);
        outcome
    }

    /// Returns the requests that were made, the newest of them, and the number of older ones.
    pub fn requests(&self) -> (Vec<Made>, u64) {
        self.log.all()
    }

    /// Takes those requests out of the list that this thread has made.
    #[cfg(feature = "renew")]
    pub fn take_own_requests(&self) -> Vec<Made> {
        self.log.take_own()
    }

    /// Names a fault in the user's words, with its code and whether to try again.
    pub fn explain(&self, fault: &Fault, peer: Peer, url: &Url, attempt: Attempt) -> Failure {
        // With a clock that is not set, no certificate is valid yet.
        if matches!(fault, Fault::Tls(_))
            && let Some(message) = clock::not_set(SystemClock.unix_time())
        {
            let error = Error::new(Code::TlsVerify, message).with_cure(clock::SET_IT);
            return Failure::permanent(error.with_stage(peer.stage));
        }
        fault.explain(peer, url, self.proxies.for_url(url), attempt)
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
    pub fn route(&self, url: &Url) -> Result<Route, Fault> {
        let tls = |wanted: bool| wanted.then(|| self.tls()).transpose();
        let server = Hop {
            host: url.host().to_owned(),
            port: url.port(),
            is_on_link: url.is_on_link(),
            tls: tls(url.is_https())?,
        };
        let Some(proxy) = self.proxies.for_url(url) else {
            return Ok(Route { server, proxy: None, authorization: None });
        };
        let hop =
            Hop { host: proxy.host.clone(), port: proxy.port, is_on_link: false, tls: tls(proxy.is_https)? };
        Ok(Route { server, proxy: Some(hop), authorization: proxy.authorization.clone() })
    }

    fn ask(
        &self,
        peer: Peer,
        request: &Request<'_>,
        attempt: Attempt,
        sent: &Arc<AtomicBool>,
    ) -> Result<Response, Fault> {
        let end = attempt.end();
        let url = request.url;
        // The ID token is asked for first, with a bearer token and nothing more, so there was nothing to wait for meanwhile.
        let is_first = request.bearer.is_some() && matches!(request.body, Body::Empty | Body::Blank);
        let ahead = if is_first { None } else { self.take_ahead(url) };
        let mut watch = self.watch(peer, attempt);
        let mut connection = match ahead.and_then(|ahead| ahead.take(end, &mut watch)) {
            Some(mut connection) => {
                connection.set_watch(watch);
                connection
            }
            None => self.route(url)?.open(end, attempt.connect_timeout(), watch)?,
        };
        connection.set_deadline(end);
        let tls_version = connection.tls_version();
        let agent = Agent::with_parts(policy(request), Ready::new(connection, Arc::clone(sent)), NoResolver);
        let authorization =
            request.bearer.map(|bearer| Zeroizing::new(format!("Bearer {}", bearer.reveal())));
        let mut head = HttpRequest::builder().uri(url.uri());
        if let Some(authorization) = &authorization {
            head = head.header(header::AUTHORIZATION, authorization.as_str());
        }
        if let Some((name, value)) = request.header {
            head = head.header(name, value);
        }
        let answer = match request.body.encoded() {
            None => agent.run(head.method("GET").body(()).map_err(|_| Fault::Unsendable)?),
            Some((media_type, bytes)) => {
                let head = head.method("POST").header(header::CONTENT_TYPE, media_type);
                agent.run(head.body(bytes.as_slice()).map_err(|_| Fault::Unsendable)?)
            }
        };
        let (head, body) = answer.map_err(Fault::from_ureq)?.into_parts();
        Response::read(&head, body, tls_version, request.header)
    }
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
fn policy(request: &Request<'_>) -> Config {
    Agent::config_builder()
        .https_only(request.url.is_https())
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .redirect_auth_headers(RedirectAuthHeaders::Never)
        .proxy(None)
        .user_agent(USER_AGENT)
        .accept(request.accept)
        .accept_encoding("identity")
        .max_response_header_size(MAX_HEADERS)
        .max_idle_connections(0)
        .max_idle_connections_per_host(0)
        .build()
}
