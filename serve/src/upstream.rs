//! The client for requests that are passed on. The policy is the library's: its way to the server, its limits, its trust, its
//! words. Connections are kept open between requests, which the small program has no use for.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use equinix_wif::service::{
    Deadline, Error, Fault, Hop, MAX_BODY, MAX_HEADERS, TunnelAnswer, USER_AGENT, Upstream, tunnel_request,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
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

/// The number of headers that an answer may have.
const MAX_HEADER_LINES: usize = 128;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The headers of an answer that are passed on: those that say how to go on, and the names that the server gave a request.
const PASSED_ON: [HeaderName; 6] = [
    header::CONTENT_TYPE,
    header::RETRY_AFTER,
    header::WWW_AUTHENTICATE,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("x-correlation-id"),
    HeaderName::from_static("traceparent"),
];

/// An answer that may be passed on.
pub struct Answer {
    /// The status.
    pub status: http::StatusCode,
    /// The headers that come through.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The media type of the body, with its parameters.
    pub fn media_type(&self) -> Option<&str> {
        self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok())
    }
}

/// An open connection, ready for a request or on its way to be.
type Sender = http1::SendRequest<Full<Bytes>>;

/// The client. A clone shares its connections.
#[derive(Clone)]
pub struct Client {
    upstream: Upstream,
    /// The server, as `Host` names it.
    host: Arc<str>,
    /// The connections that nobody uses, each with the moment since when. The youngest is used first.
    idle: Arc<Mutex<Vec<(Sender, Instant)>>>,
    limit: Duration,
}

impl Client {
    /// Makes a client of where it leads, and the time that a request may take.
    pub fn new(upstream: Upstream, limit: Duration) -> Self {
        let origin = upstream.url().origin();
        let host = origin.split_once("://").map_or(&*origin, |(_, host)| host).into();
        Self { upstream, host, idle: Arc::default(), limit: limit.min(REQUEST_TIMEOUT) }
    }

    /// Sends a request, once. The body is sent as it is. Whoever stops waiting ends the request and its connection.
    pub async fn post(&self, path: &'static str, body: Bytes) -> Result<Answer, Error> {
        let by = Deadline::within(self.limit);
        let outcome = timeout(self.limit, self.ask(path, body)).await.unwrap_or(Err(Fault::Timeout));
        outcome.map_err(|fault| self.upstream.explain(&fault, by))
    }

    async fn ask(&self, path: &'static str, body: Bytes) -> Result<Answer, Fault> {
        let mut request = self.request(path, body)?;
        loop {
            let (mut sender, is_new) = match self.take_idle() {
                Some(sender) => (sender, false),
                None => (self.connect().await?, true),
            };
            match sender.try_send_request(request).await {
                Ok(answer) => {
                    let answer = read(answer).await?;
                    self.keep(sender);
                    return Ok(answer);
                }
                // A connection that was closed while nobody used it has taken nothing of the request.
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !is_new => request = unsent,
                    _ => return Err(fault_of(error.error())),
                },
            }
        }
    }

    fn request(&self, path: &'static str, body: Bytes) -> Result<Request<Full<Bytes>>, Fault> {
        Request::post(path)
            .header(header::HOST, &*self.host)
            .header(header::CONTENT_TYPE, JSON)
            .header(header::ACCEPT, JSON)
            .header(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))
            .header(header::USER_AGENT, HeaderValue::from_static(USER_AGENT))
            .body(Full::new(body))
            .map_err(|_| Fault::Unsendable)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Sender, Instant)>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.lock();
        while let Some((sender, since)) = idle.pop() {
            if since.elapsed() > IDLE {
                // The others have not been used for even longer.
                idle.clear();
                return None;
            }
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    /// Keeps a connection for the next request, unless it is closed.
    fn keep(&self, sender: Sender) {
        if sender.is_closed() {
            return;
        }
        let mut idle = self.lock();
        if idle.len() < KEPT {
            idle.push((sender, Instant::now()));
        }
    }

    async fn connect(&self) -> Result<Sender, Fault> {
        let stream = open(&self.upstream).await?;
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_HEADER_LINES)
            .max_buf_size(MAX_HEADERS)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| fault_of(&error))?;
        // It ends when the sender is dropped, or when the server closes it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(sender)
    }
}

/// Reads an answer whole, and keeps of its headers what is passed on.
async fn read(answer: http::Response<Incoming>) -> Result<Answer, Fault> {
    let (head, body) = answer.into_parts();
    let is_encoded = |coding: &HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if head.headers.get(header::CONTENT_ENCODING).is_some_and(is_encoded) {
        return Err(Fault::Encoded);
    }
    let mut headers = HeaderMap::with_capacity(4);
    for name in &PASSED_ON {
        if let Some(value) = head.headers.get(name) {
            headers.insert(name, value.clone());
        }
    }
    let body = Limited::new(body, MAX_BODY).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() { Fault::TooLarge("body") } else { Fault::Truncated }
    })?;
    Ok(Answer { status: head.status, headers, body: body.to_bytes() })
}

/// Sorts what the HTTP library says.
fn fault_of(error: &hyper::Error) -> Fault {
    if error.is_parse_too_large() || (error.is_parse() && error.to_string().contains("headers")) {
        Fault::TooLarge("header")
    } else if error.is_parse() {
        Fault::Garbage
    } else if error.is_timeout() {
        Fault::Timeout
    } else {
        Fault::Reset
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_that_a_server_gives_a_request_come_through() {
        for name in equinix_wif::service::REQUEST_ID_HEADERS {
            assert!(PASSED_ON.contains(&HeaderName::try_from(name).unwrap()), "{name}");
        }
    }
}
