//! The client for requests that are passed on. The policy is the library's: its way to the server, its limits, its trust, its
//! words. Connections are kept open between requests, which the small program has no use for.

use std::error::Error as _;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use equinix_wif::service::{
    Deadline, Error, Fault, Hop, MAX_BODY, MAX_HEADERS, REQUEST_ID_HEADERS, TunnelAnswer, USER_AGENT,
    Upstream, tunnel_request,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client as Pool;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, rustls};
use zeroize::Zeroizing;

/// The longest time for making a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest time for a request and its answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// The time for which an idle connection is kept. Servers close theirs after a minute or more, and one that is closed at the
/// same moment as it is used loses a request.
const IDLE: Duration = Duration::from_secs(20);

/// The number of idle connections that are kept.
const KEPT: usize = 64;

/// The headers of an answer that are passed on, besides the names that the server gave a request.
const PASSED_ON: [HeaderName; 3] = [header::CONTENT_TYPE, header::RETRY_AFTER, header::WWW_AUTHENTICATE];

/// An answer that may be passed on.
pub struct Answer {
    /// The status.
    pub status: http::StatusCode,
    /// The headers that come through.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The client.
#[derive(Clone)]
pub struct Client {
    upstream: Upstream,
    pool: Pool<Connector, Full<Bytes>>,
    limit: Duration,
}

impl Client {
    /// Makes a client of where it leads, and the time that a request may take.
    pub fn new(upstream: Upstream, limit: Duration) -> Self {
        let pool = Pool::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(KEPT)
            // Only what has not been written to a connection that turned out to be closed.
            .retry_canceled_requests(true)
            .http1_max_headers(128)
            .http1_max_buf_size(MAX_HEADERS.max(8192))
            .build(Connector(upstream.clone()));
        Self { upstream, pool, limit: limit.min(REQUEST_TIMEOUT) }
    }

    /// Sends a request, once. The body is sent as it is. Whoever stops waiting ends the request and its connection.
    pub async fn post(&self, path: &str, body: Bytes) -> Result<Answer, Error> {
        let by = Deadline::within(self.limit);
        let outcome = timeout(self.limit, self.ask(path, body)).await.unwrap_or(Err(Fault::Timeout));
        outcome.map_err(|fault| self.upstream.explain(&fault, by))
    }

    async fn ask(&self, path: &str, body: Bytes) -> Result<Answer, Fault> {
        let uri: Uri =
            format!("{}{path}", self.upstream.url().origin()).parse().map_err(|_| Fault::Unsendable)?;
        let request = Request::post(uri)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json")
            .header(header::ACCEPT_ENCODING, "identity")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::new(body))
            .map_err(|_| Fault::Unsendable)?;
        let (head, body) = self.pool.request(request).await.map_err(|error| fault_of(&error))?.into_parts();
        let is_encoded = |coding: &HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
        if head.headers.get(header::CONTENT_ENCODING).is_some_and(is_encoded) {
            return Err(Fault::Encoded);
        }
        let mut headers = HeaderMap::with_capacity(4);
        let ids = REQUEST_ID_HEADERS.iter().filter_map(|name| HeaderName::try_from(*name).ok());
        for name in PASSED_ON.into_iter().chain(ids) {
            if let Some(value) = head.headers.get(&name) {
                headers.insert(name, value.clone());
            }
        }
        let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { Fault::TooLarge("body") } else { Fault::Truncated }
        })?;
        Ok(Answer { status: head.status, headers, body: body.to_bytes() })
    }
}

/// Sorts what the HTTP library says.
fn fault_of(error: &hyper_util::client::legacy::Error) -> Fault {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(Broken(fault)) = inner.downcast_ref::<Broken>() {
            return copy(fault);
        }
        if let Some(hyper) = inner.downcast_ref::<hyper::Error>() {
            return match hyper {
                hyper if hyper.is_parse_too_large() => Fault::TooLarge("header"),
                hyper if hyper.is_parse() && hyper.to_string().contains("headers") => {
                    Fault::TooLarge("header")
                }
                hyper if hyper.is_parse() => Fault::Garbage,
                hyper if hyper.is_timeout() => Fault::Timeout,
                _ => Fault::Reset,
            };
        }
        cause = inner.source();
    }
    Fault::Reset
}

/// Makes the fault anew: the error that holds it is the library's.
fn copy(fault: &Fault) -> Fault {
    match fault {
        Fault::Name { host, problem } => Fault::Name { host: host.clone(), problem: *problem },
        Fault::Unreachable(kind) => Fault::Unreachable(*kind),
        Fault::Tls(error) => Fault::Tls(error.clone()),
        Fault::HandshakeBroken(kind) => Fault::HandshakeBroken(*kind),
        Fault::AtProxy(inner) => copy(inner).at_proxy(),
        Fault::Tunnel(kind) => Fault::Tunnel(*kind),
        Fault::ProxyAnswered { status, schemes } => {
            Fault::ProxyAnswered { status: *status, schemes: schemes.clone() }
        }
        Fault::Timeout => Fault::Timeout,
        Fault::Reset => Fault::Reset,
        Fault::Garbage => Fault::Garbage,
        Fault::Truncated => Fault::Truncated,
        Fault::TooLarge(part) => Fault::TooLarge(part),
        Fault::Encoded => Fault::Encoded,
        Fault::Unsendable => Fault::Unsendable,
    }
}

/// A connection that could not be made, as the HTTP library passes it on.
#[derive(Debug)]
struct Broken(Fault);

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no connection")
    }
}

impl std::error::Error for Broken {}

/// Makes connections.
#[derive(Clone)]
struct Connector(Upstream);

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Broken;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Broken>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let upstream = self.0.clone();
        Box::pin(async move { open(&upstream).await.map(TokioIo::new).map_err(Broken) })
    }
}

/// Opens a connection: name lookup and TCP, the proxy's tunnel, TLS.
async fn open(upstream: &Upstream) -> Result<Stream, Fault> {
    let route = upstream.route()?;
    let Some(proxy) = route.proxy else {
        let plain = dial(&route.server).await?;
        return secure(plain, &route.server).await;
    };
    let to_proxy = async { secure(dial(&proxy).await?, &proxy).await };
    let mut stream = to_proxy.await.map_err(Fault::at_proxy)?;
    let authorization = route.authorization.as_ref().map(|secret| secret.reveal());
    let request = tunnel_request(&route.server.host, route.server.port, authorization);
    let asked = tunnel(&mut stream, &request);
    timeout(CONNECT_TIMEOUT, asked).await.unwrap_or(Err(Fault::Tunnel(io::ErrorKind::TimedOut)))?;
    secure(stream, &route.server).await
}

async fn dial(hop: &Hop) -> Result<Stream, Fault> {
    let (hop, by) = (hop.clone(), Deadline::within(CONNECT_TIMEOUT));
    let dialled = tokio::task::spawn_blocking(move || Upstream::dial(&hop, by));
    let stream = dialled.await.map_err(|_| Fault::Unreachable(io::ErrorKind::Other))??;
    let unreachable = |error: io::Error| Fault::Unreachable(error.kind());
    stream.set_nodelay(true).and_then(|()| stream.set_nonblocking(true)).map_err(unreachable)?;
    TcpStream::from_std(stream).map(Stream::Plain).map_err(unreachable)
}

/// Asks a proxy for a tunnel.
async fn tunnel(stream: &mut Stream, request: &Zeroizing<String>) -> Result<(), Fault> {
    let broken = |error: io::Error| Fault::Tunnel(error.kind());
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = TunnelAnswer::default();
    let mut byte = [0];
    loop {
        stream.read_exact(&mut byte).await.map_err(broken)?;
        if let Some(outcome) = answer.take(byte) {
            return outcome;
        }
    }
}

/// Agrees on TLS, where the hop wants it.
async fn secure(stream: Stream, hop: &Hop) -> Result<Stream, Fault> {
    let Some(config) = &hop.tls else { return Ok(stream) };
    let host = hop.host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(&hop.host);
    let name = ServerName::try_from(host.to_owned()).map_err(|_| Fault::Unsendable)?;
    let agreed = TlsConnector::from(Arc::clone(config)).connect(name, stream);
    let agreed = timeout(CONNECT_TIMEOUT, agreed).await;
    let broken =
        |error: io::Error| match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(tls) => Fault::Tls(tls.clone()),
            None => Fault::HandshakeBroken(error.kind()),
        };
    let stream = agreed.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(broken)?;
    Ok(Stream::Tls(Box::new(stream)))
}

/// A connection, with or without TLS, perhaps inside another one.
enum Stream {
    Plain(TcpStream),
    Tls(Box<tokio_rustls::client::TlsStream<Stream>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
