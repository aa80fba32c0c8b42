//! How a connection comes to be: name resolution, TCP, the proxy's tunnel, TLS.
//!
//! Built from the HTTP library's parts (`ureq::unversioned`), with some of our own: TCP, because a connection may be opened
//! long before it is used; TLS, because certificates from `--ca-file` are added to the built-in roots instead of replacing
//! them; and a watcher that sends the request in one piece and knows whether any byte of it has left, because only then
//! can an answer be lost.

use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, StreamOwned};
use ureq::Timeout;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::time::{Duration as UreqDuration, Instant as UreqInstant};
use ureq::unversioned::transport::{
    Buffers, ConnectProxyConnector, ConnectionDetails, Connector, Either, NextTimeout, Transport,
    TransportAdapter,
};
use zeroize::Zeroizing;

use super::ahead::Ahead;
use super::room::Room;
use super::tcp::Tcp;
use super::url::ip;

/// How far a request has come. Shared with the connection, read when something fails.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress(Arc<State>);

#[derive(Debug, Default)]
struct State {
    point: AtomicU8,
    tls: OnceLock<&'static str>,
}

impl Progress {
    const CONNECTED: u8 = 1;
    const SENT: u8 = 2;

    /// Whether the connection to the server stands, TLS included.
    pub(super) fn connected(&self) -> bool {
        self.0.point.load(Ordering::Relaxed) >= Self::CONNECTED
    }

    /// Whether some of the request may have reached the server.
    pub(super) fn sent(&self) -> bool {
        self.0.point.load(Ordering::Relaxed) >= Self::SENT
    }

    /// The TLS version that was agreed on with the server, if TLS is used.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        self.0.tls.get().copied()
    }

    fn reach(&self, point: u8) {
        self.0.point.fetch_max(point, Ordering::Relaxed);
    }
}

/// A connection that stands, and on which nothing has been sent yet.
pub(super) struct Opened {
    /// What the request goes out on.
    pub(super) transport: Box<dyn Transport>,
    tls: Option<&'static str>,
}

impl Opened {
    /// The same connection, if the server has neither closed it nor said anything that it was not asked for. TLS's own
    /// messages, such as session tickets, are read and count for nothing.
    pub(super) fn if_idle(mut self) -> Option<Self> {
        let at_once = NextTimeout { after: UreqDuration::Exact(Duration::ZERO), ..NextTimeout::default() };
        matches!(self.transport.await_input(at_once), Err(ureq::Error::Timeout(_))).then_some(self)
    }
}

/// Opens connections: a tunnel through the proxy if there is one, else TCP; then TLS where the URL asks for it.
#[derive(Debug, Clone)]
pub(super) struct Opener {
    /// The TLS settings; a plain URL needs none.
    pub(super) tls: Option<Arc<ClientConfig>>,
    /// Whether there is a proxy in between.
    pub(super) proxied: bool,
}

impl Opener {
    /// Whether what is asked for is the connection to the proxy itself. That is made through here as well, then without a
    /// proxy in its settings.
    pub(super) fn is_for_proxy(&self, details: &ConnectionDetails<'_>) -> bool {
        self.proxied && details.config.proxy().is_none()
    }

    /// Opens one.
    pub(super) fn open(&self, details: &ConnectionDetails<'_>) -> Result<Opened, ureq::Error> {
        let tunnel = ConnectProxyConnector::default().connect(details, None::<()>)?;
        let transport: Box<dyn Transport> = match tunnel {
            Some(Either::B(tunnel)) => tunnel,
            _ => Box::new(Tcp::connect(details)?),
        };
        if details.needs_tls() {
            self.wrap_in_tls(details, transport)
        } else {
            Ok(Opened { transport, tls: None })
        }
    }

    fn wrap_in_tls(
        &self,
        details: &ConnectionDetails<'_>,
        transport: Box<dyn Transport>,
    ) -> Result<Opened, ureq::Error> {
        let config = self.tls.clone().ok_or(ureq::Error::TlsRequired)?;
        let host = details.uri.host().unwrap_or_default();
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        let name =
            ServerName::try_from(bare.to_owned()).map_err(|_| ureq::Error::BadUri("host".to_owned()))?;
        let mut connection =
            ClientConnection::new(config, name).map_err(|e| ConnectFault::Tls(e).into_ureq())?;
        let mut socket = TransportAdapter::new(transport, details.current_time.clone());
        socket.set_timeout(remaining(details));
        connection.complete_io(&mut socket).map_err(handshake_error)?;
        let tls = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS",
        };
        let buffers = Room::new(details.config.input_buffer_size(), details.config.output_buffer_size());
        let stream = StreamOwned::new(connection, socket);
        Ok(Opened { transport: Box::new(TlsTransport { buffers, stream }), tls: Some(tls) })
    }
}

/// Provides the connection for one request: the one that was opened ahead, else a new one.
#[derive(Debug)]
pub(super) struct Connection {
    /// How to open one.
    pub(super) opener: Opener,
    /// The one that was opened ahead.
    pub(super) ahead: Option<Arc<Ahead>>,
    /// Where to note how far the request has come.
    pub(super) progress: Progress,
}

impl Connector for Connection {
    type Out = Box<dyn Transport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        _: Option<()>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        // What goes out to a proxy is CONNECT, not the request.
        if self.opener.is_for_proxy(details) {
            return self.opener.open(details).map(|opened| Some(opened.transport));
        }
        let ahead = self.ahead.as_ref().map(|ahead| ahead.take(details)).transpose()?.flatten();
        let opened = ahead.map_or_else(|| self.opener.open(details), Ok)?;
        if let Some(tls) = opened.tls {
            self.progress.0.tls.get_or_init(|| tls);
        }
        self.progress.reach(Progress::CONNECTED);
        Ok(Some(Box::new(Watched {
            inner: opened.transport,
            request: Zeroizing::default(),
            progress: self.progress.clone(),
        })))
    }
}

/// A failure of ours inside the HTTP library's connecting, carried through its error type.
#[derive(Debug)]
pub(super) enum ConnectFault {
    /// The name does not exist (`false`) or the lookup failed for the moment (`true`).
    Dns { temporary: bool },
    /// TLS could not be agreed on, or the certificate is not trusted.
    Tls(rustls::Error),
    /// The connection broke, or nothing came, during the handshake.
    TlsBroken,
}

impl fmt::Display for ConnectFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for ConnectFault {}

impl ConnectFault {
    fn into_ureq(self) -> ureq::Error {
        ureq::Error::Other(Box::new(self))
    }
}

/// Resolves names with the system's resolver, in a thread so that the deadline holds.
#[derive(Debug)]
pub(super) struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(
        &self,
        uri: &Uri,
        _: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let host = uri.host().unwrap_or_default();
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("http") { 80 } else { 443 });
        let found = match ip(host) {
            Some(address) => vec![SocketAddr::new(address, port)],
            None => look_up(host.to_owned(), port, timeout)?,
        };
        let mut addresses = self.empty();
        // `localhost` is exempt from https, so it must really lead back to this machine.
        let usable =
            found.into_iter().filter(|a| a.ip().is_loopback() || !host.eq_ignore_ascii_case("localhost"));
        for address in usable {
            if addresses.try_push(address).is_err() {
                break;
            }
        }
        if addresses.is_empty() {
            Err(ConnectFault::Dns { temporary: false }.into_ureq())
        } else {
            Ok(addresses)
        }
    }
}

fn look_up(host: String, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, ureq::Error> {
    let query = move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    let (sender, receiver) = mpsc::sync_channel(1);
    let worker = query.clone();
    let spawned = thread::Builder::new().spawn(move || sender.send(worker()).ok());
    let answer = match (spawned, timeout.after) {
        (Ok(_), UreqDuration::Exact(after)) => match receiver.recv_timeout(after) {
            Ok(answer) => answer,
            Err(_) => return Err(ureq::Error::Timeout(Timeout::Resolve)),
        },
        // Where no thread can be had, the system's own time limit has to do.
        _ => query(),
    };
    answer.map_err(|error| ConnectFault::Dns { temporary: is_temporary(&error) }.into_ureq())
}

/// The standard library gives `getaddrinfo`'s EAI_AGAIN no kind of its own; these are the texts of glibc and musl.
fn is_temporary(error: &io::Error) -> bool {
    let text = error.to_string();
    ["Temporary failure", "Try again", "temporarily"].iter().any(|t| text.contains(t))
}

/// What is left of the time for connecting.
pub(super) fn remaining(details: &ConnectionDetails<'_>) -> NextTimeout {
    match (details.now, (details.current_time)()) {
        (UreqInstant::Exact(then), UreqInstant::Exact(now)) => {
            less(details.timeout, now.saturating_duration_since(then))
        }
        _ => details.timeout,
    }
}

/// A time limit of which some has passed.
fn less(mut timeout: NextTimeout, elapsed: Duration) -> NextTimeout {
    if let UreqDuration::Exact(limit) = timeout.after {
        timeout.after = UreqDuration::Exact(limit.saturating_sub(elapsed));
    }
    timeout
}

fn handshake_error(error: io::Error) -> ureq::Error {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return ConnectFault::Tls(tls.clone()).into_ureq();
    }
    match ureq::Error::from(error) {
        // The run's own deadline is not the handshake's fault.
        timeout @ ureq::Error::Timeout(Timeout::Global) => timeout,
        _ => ConnectFault::TlsBroken.into_ureq(),
    }
}

/// The HTTP library takes these ends of a connection for the end of a body that has no length. Over TLS that is said by
/// a good-bye (close_notify), and without it anybody on the way could have cut the answer short.
fn without_good_bye(error: io::Error) -> io::Error {
    use io::ErrorKind as K;
    match error.kind() {
        K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted => io::Error::new(K::BrokenPipe, error),
        _ => error,
    }
}

/// A TLS connection over another transport.
struct TlsTransport {
    buffers: Room,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        io::Write::write_all(&mut self.stream, self.buffers.outgoing(amount))?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let read = io::Read::read(&mut self.stream, self.buffers.input_append_buf());
        let amount = read.map_err(without_good_bye)?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Connections are never used twice.
    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Sends a request in one piece, and notes when it goes out.
///
/// The library hands over the head and the body one by one. Sent so, they would be two packets, and whatever is cut off
/// between them a request that the server cannot understand.
#[derive(Debug)]
struct Watched {
    inner: Box<dyn Transport>,
    request: Zeroizing<Vec<u8>>,
    progress: Progress,
}

impl Watched {
    fn send(&mut self, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let request = std::mem::take(&mut self.request);
        self.progress.reach(Progress::SENT);
        let mut rest = request.as_slice();
        while !rest.is_empty() {
            let room = self.inner.buffers().output();
            let (now, later) = rest.split_at(room.len().min(rest.len()));
            room.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            self.inner.transmit_output(now.len(), timeout)?;
            rest = later;
        }
        Ok(())
    }
}

/// Adds to a text that is secret: no copy of it stays behind in a buffer that has become too small.
fn append(text: &mut Zeroizing<Vec<u8>>, part: &[u8]) {
    if text.capacity() - text.len() < part.len() {
        let mut larger = Zeroizing::new(Vec::with_capacity(2 * (text.len() + part.len())));
        larger.extend_from_slice(text);
        *text = larger;
    }
    text.extend_from_slice(part);
}

impl Transport for Watched {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let part = self.inner.buffers().output().get(..amount).unwrap_or_default();
        append(&mut self.request, part);
        Ok(())
    }

    /// Whoever waits for the answer has said everything.
    fn await_input(&mut self, mut timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if !self.request.is_empty() {
            let started = Instant::now();
            self.send(timeout)?;
            timeout = less(timeout, started.elapsed());
        }
        self.inner.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// The longest time for a name lookup, and for a connection with TLS and the proxy's tunnel.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
