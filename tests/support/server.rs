//! A scripted HTTP/1.1 server on loopback that can break the protocol in every way a test needs.
//!
//! One thread accepts and each connection has its own. A [`Script`] decides on the [`Reply`] to each request: a
//! closure, or a [`Queue`]. Everything that arrived is kept. Dropping the server ends all its connections, whatever
//! they are doing, and passes a panic of the script on to the test.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::{self, Write as _};
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Deref;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime};

use percent_encoding::percent_decode_str;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use super::tls::{self, Leaf};

/// More than any test sends; beyond it the client is broken, not the test.
const REQUEST_LIMIT: usize = 8 << 20;

/// A request as it arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The request target, verbatim: path and query, or `host:port` for `CONNECT`.
    pub target: String,
    /// `HTTP/1.1` or `HTTP/1.0`.
    pub version: String,
    /// Names and values in the order they came, names as the client wrote them.
    pub headers: Vec<(String, String)>,
    /// The body, without chunk framing.
    pub body: Vec<u8>,
    /// The number of the connection it came on; the server's first connection is 0.
    pub connection: usize,
    /// Whether it came over TLS.
    pub tls: bool,
}

impl Request {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers_named(name).first().copied()
    }

    /// The values of all headers of this name.
    pub fn headers_named(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.as_str()).collect()
    }

    /// The target up to the `?`.
    pub fn path(&self) -> &str {
        self.target.split_once('?').map_or(self.target.as_str(), |(path, _)| path)
    }

    /// The decoded pairs of the query.
    pub fn query(&self) -> Vec<(String, String)> {
        self.target.split_once('?').map(|(_, query)| pairs(query)).unwrap_or_default()
    }

    /// The decoded value of a query parameter, the first of its name.
    pub fn query_value(&self, name: &str) -> Option<String> {
        self.query().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The decoded pairs of a form body.
    pub fn form(&self) -> Vec<(String, String)> {
        pairs(&String::from_utf8_lossy(&self.body))
    }

    /// The decoded value of a form field, the first of its name.
    pub fn form_value(&self, name: &str) -> Option<String> {
        self.form().into_iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// The body as JSON.
    pub fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

impl fmt::Display for Request {
    /// The request as it would look on the wire.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tls = if self.tls { ", TLS" } else { "" };
        writeln!(
            f,
            "[connection {}{tls}] {} {} {}",
            self.connection, self.method, self.target, self.version
        )?;
        for (name, value) in &self.headers {
            writeln!(f, "  {name}: {value}")?;
        }
        if !self.body.is_empty() {
            writeln!(f, "  | {}", String::from_utf8_lossy(&self.body))?;
        }
        Ok(())
    }
}

fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |part: &str| percent_decode_str(&part.replace('+', " ")).decode_utf8_lossy().into_owned();
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// What the server does about a request, or about a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    moment: Moment,
    content: Content,
    cut: Cut,
    pace: Pace,
    end: End,
}

/// When a reply comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// When a connection is accepted, before TLS; also when a further request begins on an open one.
    Accepted,
    /// When a connection stands, TLS included, before anything was said on it.
    Ready,
    /// When a request has been read.
    Asked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Content {
    Nothing,
    Raw(Vec<u8>),
    Answer(Answer),
    Tunnel(SocketAddr),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    omitted: Vec<String>,
    body: Vec<u8>,
    chunked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cut {
    Nowhere,
    InHead,
    InBody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pace {
    AtOnce,
    DripHead(Duration),
    DripBody(Duration),
    EndlessHead,
    EndlessBody,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Wait for the next request, unless the client or a header says otherwise.
    Keep,
    Close,
    Reset,
    Stall,
}

impl Reply {
    /// An answer with this status and nothing else. `Date` and `Content-Length` come by themselves unless a header
    /// of that name is given or [`Reply::without`] leaves it out.
    pub fn status(status: u16) -> Self {
        let answer =
            Answer { status, headers: Vec::new(), omitted: Vec::new(), body: Vec::new(), chunked: false };
        Self::of(Content::Answer(answer))
    }

    /// `200` with this JSON.
    pub fn json(value: &Value) -> Self {
        Self::status(200).json_body(value)
    }

    /// These bytes instead of an answer; then the connection is closed.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::of(Content::Raw(bytes.into())).then(End::Close)
    }

    /// Reads the request and closes without an answer.
    pub fn close() -> Self {
        Self::of(Content::Nothing).then(End::Close)
    }

    /// Reads the request and resets the connection.
    pub fn reset() -> Self {
        Self::of(Content::Nothing).then(End::Reset)
    }

    /// Reads the request and then stays silent, with the connection open, until the server stops.
    pub fn stall() -> Self {
        Self::of(Content::Nothing).then(End::Stall)
    }

    /// Answers a `CONNECT` with `200` and passes bytes to and from this address. On plain connections only.
    pub fn tunnel(to: SocketAddr) -> Self {
        Self::of(Content::Tunnel(to))
    }

    /// Closes a connection when it is accepted, before a request is read and before TLS. Like the other `_unread`
    /// replies it needs a [`Queue`], which is asked at that moment; a closure is asked only when there is a request.
    pub fn close_unread() -> Self {
        Self { moment: Moment::Accepted, ..Self::close() }
    }

    /// Resets a connection as soon as the client sends something.
    pub fn reset_unread() -> Self {
        Self { moment: Moment::Accepted, ..Self::reset() }
    }

    /// Accepts a connection and then neither reads nor says anything: on a TLS server, TCP that never speaks TLS.
    pub fn stall_unread() -> Self {
        Self { moment: Moment::Accepted, ..Self::stall() }
    }

    /// Sends these bytes as soon as a connection is accepted, without TLS even on a TLS server, and closes.
    pub fn raw_unread(bytes: impl Into<Vec<u8>>) -> Self {
        Self { moment: Moment::Accepted, ..Self::raw(bytes) }
    }

    /// Closes a connection that stands and on which nothing has been said, with or without TLS's good-bye.
    pub fn close_idle(good_bye: bool) -> Self {
        let cut = if good_bye { Cut::Nowhere } else { Cut::InHead };
        Self { moment: Moment::Ready, cut, ..Self::close() }
    }

    /// The same reply, as soon as a connection stands, without having been asked.
    pub fn unasked(self) -> Self {
        Self { moment: Moment::Ready, ..self }
    }

    /// Adds a header. The same name may come twice.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.answer().headers.push((name.to_owned(), value.into()));
        self
    }

    /// Leaves out a header that would come by itself, or that was given before.
    pub fn without(mut self, name: &str) -> Self {
        let answer = self.answer();
        answer.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        answer.omitted.push(name.to_owned());
        self
    }

    /// The body.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.answer().body = body.into();
        self
    }

    /// A JSON body with its content type.
    pub fn json_body(self, value: &Value) -> Self {
        self.without("content-type").header("Content-Type", "application/json").body(value.to_string())
    }

    /// Sends the body in chunks (two of them, so that there is a seam) instead of with a length.
    pub fn chunked(mut self) -> Self {
        self.answer().chunked = true;
        self
    }

    /// Stops in the middle of the headers.
    pub fn cut_in_head(mut self) -> Self {
        self.cut = Cut::InHead;
        self.then_close()
    }

    /// Stops in the middle of the body: with a length there is less than promised, with chunks one is cut short.
    pub fn cut_in_body(mut self) -> Self {
        assert!(!self.answer().body.is_empty(), "a body is needed to cut it");
        self.cut = Cut::InBody;
        self.then_close()
    }

    /// Sends the headers a byte at a time. They never end: another one grows until the server stops.
    pub fn drip_head(mut self, interval: Duration) -> Self {
        self.pace = Pace::DripHead(interval);
        self.then_stall()
    }

    /// Sends the headers at once and the body a byte at a time. It never ends: blanks follow until the server stops.
    pub fn drip_body(mut self, interval: Duration) -> Self {
        self.pace = Pace::DripBody(interval);
        self.then_stall()
    }

    /// Sends headers without end, as fast as they are taken.
    pub fn endless_head(mut self) -> Self {
        self.pace = Pace::EndlessHead;
        self.then_close()
    }

    /// Sends a body without end, as fast as it is taken: what was given, then blanks.
    pub fn endless_body(mut self) -> Self {
        self.pace = Pace::EndlessBody;
        self.then_close()
    }

    /// Closes the connection afterwards.
    pub fn then_close(self) -> Self {
        self.then(End::Close)
    }

    /// Resets the connection afterwards.
    pub fn then_reset(self) -> Self {
        self.then(End::Reset)
    }

    /// Leaves the connection open and silent afterwards.
    pub fn then_stall(self) -> Self {
        self.then(End::Stall)
    }

    /// The bytes of the body, or all bytes of a raw reply: where to look for the tokens that were handed out.
    pub fn payload(&self) -> &[u8] {
        match &self.content {
            Content::Raw(bytes) => bytes,
            Content::Answer(answer) => &answer.body,
            Content::Nothing | Content::Tunnel(_) => &[],
        }
    }

    fn of(content: Content) -> Self {
        Self { moment: Moment::Asked, content, cut: Cut::Nowhere, pace: Pace::AtOnce, end: End::Keep }
    }

    fn then(mut self, end: End) -> Self {
        self.end = end;
        self
    }

    fn answer(&mut self) -> &mut Answer {
        match &mut self.content {
            Content::Answer(answer) => answer,
            _ => panic!("only an answer (Reply::status, Reply::json) has headers and a body"),
        }
    }

    /// The head and the body as they go on the wire.
    fn wire(&self) -> (Vec<u8>, Vec<u8>) {
        match &self.content {
            Content::Nothing | Content::Tunnel(_) => (Vec::new(), Vec::new()),
            Content::Raw(bytes) => (Vec::new(), bytes.clone()),
            Content::Answer(answer) => answer.wire(self.pace),
        }
    }

    fn says_close(&self) -> bool {
        let Content::Answer(answer) = &self.content else {
            return false;
        };
        answer.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close")
        })
    }
}

impl Answer {
    fn wire(&self, pace: Pace) -> (Vec<u8>, Vec<u8>) {
        let mut head = format!("HTTP/1.1 {} {}\r\n", self.status, reason(self.status));
        let mut add = |name: &str, value: &str| write!(head, "{name}: {value}\r\n").unwrap();
        let wanted = |name: &str| {
            !self.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
                && !self.omitted.iter().any(|found| found.eq_ignore_ascii_case(name))
        };
        if wanted("date") {
            add("Date", &httpdate::fmt_http_date(SystemTime::now()));
        }
        for (name, value) in &self.headers {
            add(name, value);
        }
        let without_body = self.status < 200 || self.status == 204 || self.status == 304;
        match pace {
            // The length is a promise that is never kept.
            Pace::DripBody(_) if wanted("content-length") => add("Content-Length", "1000000"),
            // Without a length the body ends with the connection, that is, never.
            Pace::EndlessBody => {}
            _ if self.chunked => add("Transfer-Encoding", "chunked"),
            _ if wanted("content-length") && !without_body => {
                add("Content-Length", &self.body.len().to_string());
            }
            _ => {}
        }
        head.push_str("\r\n");
        (head.into_bytes(), if self.chunked { chunks(&self.body) } else { self.body.clone() })
    }
}

fn chunks(body: &[u8]) -> Vec<u8> {
    let mut wire = Vec::new();
    for chunk in body.chunks(body.len().div_ceil(2).max(1)) {
        wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        wire.extend_from_slice(chunk);
        wire.extend_from_slice(b"\r\n");
    }
    wire.extend_from_slice(b"0\r\n\r\n");
    wire
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        400 => "Bad Request",
        401 => "Unauthorized",
        404 => "Not Found",
        429 => "Too Many Requests",
        503 => "Service Unavailable",
        // RFC 9112: the phrase may be empty, and clients must not care.
        _ => "",
    }
}

/// Decides what the server does.
pub trait Script: Send {
    /// Asked when nothing has been read yet. A reply ends the connection.
    fn unread(&mut self, _moment: Moment) -> Option<Reply> {
        None
    }

    /// Asked when a request has been read.
    fn answer(&mut self, request: &Request) -> Reply;
}

impl<F: FnMut(&Request) -> Reply + Send> Script for F {
    fn answer(&mut self, request: &Request) -> Reply {
        self(request)
    }
}

/// Replies that are used up one by one, then a fallback.
pub struct Queue {
    any: VecDeque<Reply>,
    paths: BTreeMap<String, VecDeque<Reply>>,
    fallback: Box<dyn Script>,
}

impl Default for Queue {
    fn default() -> Self {
        Self::before(|_: &Request| Reply::status(500).body("the script has no reply left"))
    }
}

impl Queue {
    /// An empty queue in front of another script.
    pub fn before(fallback: impl Script + 'static) -> Self {
        Self { any: VecDeque::new(), paths: BTreeMap::new(), fallback: Box::new(fallback) }
    }

    /// Adds a reply for a request to any path that has no queue of its own.
    pub fn reply(mut self, reply: Reply) -> Self {
        self.any.push_back(reply);
        self
    }

    /// Adds a reply for a request to this path. A reply to a mere connection comes up for any: no path is known yet.
    pub fn at(mut self, path: &str, reply: Reply) -> Self {
        self.paths.entry(path.to_owned()).or_default().push_back(reply);
        self
    }
}

impl Script for Queue {
    fn unread(&mut self, moment: Moment) -> Option<Reply> {
        let mut queues = std::iter::once(&mut self.any).chain(self.paths.values_mut());
        let next = queues.find(|queue| queue.front().is_some_and(|reply| reply.moment == moment));
        next.and_then(VecDeque::pop_front).or_else(|| self.fallback.unread(moment))
    }

    fn answer(&mut self, request: &Request) -> Reply {
        let queue = self.paths.get_mut(request.path()).filter(|queue| !queue.is_empty());
        let next = queue.unwrap_or(&mut self.any).pop_front();
        next.unwrap_or_else(|| self.fallback.answer(request))
    }
}

/// A port on loopback that is taken but not yet served: its number is known before the script is.
pub struct Bound {
    listener: TcpListener,
    address: SocketAddr,
    books: Arc<Books>,
}

impl Bound {
    /// Takes a free port.
    pub fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port on loopback");
        let address = listener.local_addr().expect("the port's number");
        Self { listener, address, books: Arc::default() }
    }

    /// For other servers' scripts: what happens here.
    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.books))
    }

    /// The base URL that [`Server::url`] will give.
    pub fn url(&self, tls: bool) -> String {
        url(self.address, tls)
    }

    /// Serves it, over TLS when there is a certificate for it.
    pub fn serve(self, leaf: Option<Leaf>, script: impl Script + 'static) -> Server {
        let shared =
            Arc::new(Shared { script: Mutex::new(Box::new(script)), books: Arc::clone(&self.books) });
        let config = leaf.map(tls::server_config);
        let (address, tls) = (self.address, config.is_some());
        let acceptor = {
            let shared = Arc::clone(&shared);
            thread::spawn(move || accept(&self.listener, config.as_ref(), &shared))
        };
        Server { shared, address, tls, acceptor: Some(acceptor) }
    }
}

/// Tells what happens at a server. Waits until it does, and gives up after 30 s.
#[derive(Clone)]
pub struct Watch(Arc<Books>);

impl Watch {
    /// Waits until so many connections stand, TLS included.
    pub fn wait_for_ready(&self, count: usize) {
        self.wait("ready", count, |state| state.ready);
    }

    /// Waits until the server has closed so many connections.
    pub fn wait_for_closed(&self, count: usize) {
        self.wait("closed", count, |state| state.closed);
    }

    /// Waits until so many connections were accepted.
    pub fn wait_for_connections(&self, count: usize) {
        self.wait("accepted", count, |state| state.received.len());
    }

    fn wait(&self, what: &str, wanted: usize, count: impl Fn(&State) -> usize) {
        let there = self.0.wait_until(Duration::from_secs(30), |state| count(state) >= wanted);
        assert!(there, "{wanted} connections are {what}: {}", count(&self.0.state()));
    }
}

fn url(address: SocketAddr, tls: bool) -> String {
    // A certificate names the host; plain http is permitted on loopback addresses only.
    if tls { format!("https://localhost:{}", address.port()) } else { format!("http://{address}") }
}

/// A running server.
pub struct Server {
    shared: Arc<Shared>,
    address: SocketAddr,
    tls: bool,
    acceptor: Option<JoinHandle<Vec<thread::Result<()>>>>,
}

impl Server {
    /// Serves plain HTTP.
    pub fn start(script: impl Script + 'static) -> Self {
        Bound::new().serve(None, script)
    }

    /// Serves HTTP over TLS with this certificate.
    pub fn start_tls(leaf: Leaf, script: impl Script + 'static) -> Self {
        Bound::new().serve(Some(leaf), script)
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        url(self.address, self.tls)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Every request that was read in full, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.state().requests.clone()
    }

    /// Every reply that was begun, also those to a connection.
    pub fn replies(&self) -> Vec<Reply> {
        self.shared.state().replies.clone()
    }

    /// How many connections were accepted.
    pub fn connections(&self) -> usize {
        self.shared.state().received.len()
    }

    /// What came on each connection, in full and decrypted, also when it was no complete request; through a tunnel
    /// as it passed.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.shared.state().received.clone()
    }

    /// How often something was read: once for a request that came in one piece.
    pub fn pieces(&self) -> usize {
        self.shared.state().pieces
    }

    /// Why TLS handshakes failed, as far as they did.
    pub fn handshake_failures(&self) -> Vec<String> {
        self.shared.state().handshake_failures.clone()
    }

    /// Waits until there were this many requests; `false` when it takes longer than 30 s.
    pub fn wait_for_requests(&self, count: usize) -> bool {
        self.shared.wait_until(Duration::from_secs(30), |state| state.requests.len() >= count)
    }

    /// Ends all connections and waits for their threads. A panic in the script comes out here.
    pub fn stop(&mut self) {
        let Some(acceptor) = self.acceptor.take() else {
            return;
        };
        {
            // The acceptor waits for a connection: give it one. It takes no notice before the lock is open again.
            let mut state = self.shared.state();
            let Ok(wake) = TcpStream::connect(self.address) else {
                return;
            };
            state.stopping = wake.local_addr().ok();
            for socket in state.open.values() {
                socket.shutdown(Shutdown::Both).ok();
            }
            self.shared.changed.notify_all();
        }
        let ends = acceptor.join().unwrap_or_else(|panic| vec![Err(panic)]);
        if let Some(Err(panic)) = ends.into_iter().find(Result::is_err)
            && !thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

struct Shared {
    script: Mutex<Box<dyn Script>>,
    books: Arc<Books>,
}

impl Deref for Shared {
    type Target = Books;

    fn deref(&self) -> &Books {
        &self.books
    }
}

impl Shared {
    fn script(&self) -> MutexGuard<'_, Box<dyn Script>> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct State {
    /// Set when the server stops: where the connection comes from that tells the acceptor.
    stopping: Option<SocketAddr>,
    open: BTreeMap<usize, Arc<TcpStream>>,
    requests: Vec<Request>,
    replies: Vec<Reply>,
    received: Vec<Vec<u8>>,
    handshake_failures: Vec<String>,
    /// Connections that came to stand, TLS included.
    ready: usize,
    /// Connections that were closed by the server.
    closed: usize,
    /// How often something was read.
    pieces: usize,
}

/// What has happened so far, and how to wait for more.
#[derive(Default)]
struct Books {
    state: Mutex<State>,
    changed: Condvar,
}

impl Books {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a condition or the server's end; `false` after the time.
    fn wait_until(&self, time: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let end = Instant::now() + time;
        let mut state = self.state();
        while !holds(&state) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Waits this long or until the server stops; `false` when it stops.
    fn pause(&self, time: Duration) -> bool {
        !self.wait_until(time, |state| state.stopping.is_some())
    }

    fn wait_for_stop(&self) {
        while self.pause(Duration::from_secs(3600)) {}
    }
}

fn accept(
    listener: &TcpListener,
    config: Option<&Arc<ServerConfig>>,
    shared: &Arc<Shared>,
) -> Vec<thread::Result<()>> {
    let mut workers = Vec::new();
    while let Ok((socket, peer)) = listener.accept() {
        let socket = Arc::new(socket);
        let number = {
            let mut state = shared.state();
            if state.stopping == Some(peer) {
                break;
            }
            if state.stopping.is_some() {
                // It came before the end: what it has sent is read, but nothing more.
                socket.shutdown(Shutdown::Both).ok();
            }
            let number = state.received.len();
            state.received.push(Vec::new());
            state.open.insert(number, Arc::clone(&socket));
            number
        };
        // Replies must not wait for one another: a drip is a packet for each byte.
        socket.set_nodelay(true).ok();
        let (shared, config) = (Arc::clone(shared), config.cloned());
        workers.push(thread::spawn(move || {
            let wire = Wire { socket, held: false };
            // An I/O error is the client's: it hung up, or the server is stopping.
            Connection::serve(wire, config, number, &shared).ok();
        }));
    }
    workers.into_iter().map(JoinHandle::join).collect()
}

/// A socket that always leaves the last byte it has delivered in the kernel's buffer.
///
/// Closing a socket with unread bytes makes the kernel send a reset, which is the only way to one without unsafe code.
/// All other ways of ending take the byte first.
struct Wire {
    socket: Arc<TcpStream>,
    held: bool,
}

impl Wire {
    fn take_held(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.held) {
            (&*self.socket).read_exact(&mut [0])?;
        }
        Ok(())
    }

    /// Blocks until something is there to be read, or the end is.
    fn wait_for_bytes(&mut self) -> io::Result<()> {
        self.take_held()?;
        self.socket.peek(&mut [0]).map(drop)
    }
}

impl Read for Wire {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.take_held()?;
        let count = self.socket.peek(buffer)?;
        if count > 0 {
            (&*self.socket).read_exact(&mut buffer[..count - 1])?;
            self.held = true;
        }
        Ok(count)
    }
}

impl Write for Wire {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self.socket).write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

enum Channel {
    Plain(Wire),
    Tls(Box<StreamOwned<ServerConnection, Wire>>),
}

impl Channel {
    fn wire(&mut self) -> &mut Wire {
        match self {
            Self::Plain(wire) => wire,
            Self::Tls(stream) => &mut stream.sock,
        }
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self {
            Self::Plain(wire) => wire.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        };
        match read {
            // Many clients hang up without TLS's good-bye.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            other => other,
        }
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Plain(wire) => wire.write_all(bytes),
            Self::Tls(stream) => {
                stream.write_all(bytes)?;
                stream.flush()
            }
        }
    }
}

struct Connection<'a> {
    channel: Channel,
    buffer: Vec<u8>,
    number: usize,
    shared: &'a Shared,
}

impl Drop for Connection<'_> {
    /// Then nobody else holds the socket, and it closes with the connection, also after a panic in the script.
    fn drop(&mut self) {
        self.shared.state().open.remove(&self.number);
    }
}

impl<'a> Connection<'a> {
    fn serve(
        wire: Wire,
        config: Option<Arc<ServerConfig>>,
        number: usize,
        shared: &'a Shared,
    ) -> io::Result<()> {
        let channel = Channel::Plain(wire);
        let buffer = Vec::new();
        Self { channel, buffer, number, shared }.run(config)
    }

    fn run(&mut self, config: Option<Arc<ServerConfig>>) -> io::Result<()> {
        if let Some(reply) = self.next_unread(Moment::Accepted) {
            return self.perform(&reply);
        }
        if let Some(config) = config {
            self.handshake(config)?;
        }
        self.log(|state| state.ready += 1);
        if let Some(reply) = self.next_unread(Moment::Ready) {
            return self.perform(&reply);
        }
        while let Some(request) = self.read_request()? {
            self.log(|state| state.requests.push(request.clone()));
            let reply = self.shared.script().answer(&request);
            self.log(|state| state.replies.push(reply.clone()));
            self.perform(&reply)?;
            let client_closes =
                request.version == "HTTP/1.0" || request.header("connection").is_some_and(is_close);
            if reply.end != End::Keep || matches!(reply.content, Content::Tunnel(_)) {
                return Ok(());
            }
            if client_closes || reply.says_close() {
                return self.close(true);
            }
            if self.buffer.is_empty() && !self.has_more()? {
                return self.close(true);
            }
            if let Some(reply) = self.next_unread(Moment::Accepted) {
                return self.perform(&reply);
            }
        }
        self.close(true)
    }

    fn next_unread(&self, moment: Moment) -> Option<Reply> {
        let reply = self.shared.script().unread(moment)?;
        self.log(|state| state.replies.push(reply.clone()));
        Some(reply)
    }

    fn log(&self, act: impl FnOnce(&mut State)) {
        act(&mut self.shared.state());
        self.shared.changed.notify_all();
    }

    fn handshake(&mut self, config: Arc<ServerConfig>) -> io::Result<()> {
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        let wire = self.channel.wire();
        while session.is_handshaking() {
            if let Err(error) = session.complete_io(wire) {
                self.log(|state| state.handshake_failures.push(error.to_string()));
                self.close(false)?;
                return Err(error);
            }
        }
        let wire = Wire { socket: Arc::clone(&wire.socket), held: wire.held };
        self.channel = Channel::Tls(Box::new(StreamOwned::new(session, wire)));
        Ok(())
    }

    /// Reads more into the buffer; `false` at the end.
    fn has_more(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 << 10];
        let count = self.channel.read(&mut chunk)?;
        self.buffer.extend_from_slice(&chunk[..count]);
        let number = self.number;
        self.log(|state| {
            state.received[number].extend_from_slice(&chunk[..count]);
            state.pieces += usize::from(count > 0);
        });
        if self.buffer.len() > REQUEST_LIMIT {
            return Err(io::Error::other("the request is too large"));
        }
        Ok(count > 0)
    }

    /// Takes everything up to and including `end` out of the buffer.
    fn take_until(&mut self, end: &[u8]) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|window| window == end) {
                return Ok(Some(self.buffer.drain(..at + end.len()).collect()));
            }
            if !self.has_more()? {
                return Ok(None);
            }
        }
    }

    fn take(&mut self, count: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < count {
            if !self.has_more()? {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    fn read_request(&mut self) -> io::Result<Option<Request>> {
        let Some(head) = self.take_until(b"\r\n\r\n")? else {
            return Ok(None);
        };
        let head = String::from_utf8_lossy(&head).into_owned();
        let mut lines = head.trim_end_matches("\r\n").split("\r\n");
        let mut first = lines.next().unwrap_or_default().splitn(3, ' ').map(str::to_owned);
        let mut word = || first.next().unwrap_or_default();
        let mut request = Request {
            method: word(),
            target: word(),
            version: word(),
            headers: lines
                .map(|line| line.split_once(':').unwrap_or((line, "")))
                .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
                .collect(),
            body: Vec::new(),
            connection: self.number,
            tls: matches!(self.channel, Channel::Tls(_)),
        };
        if request.header("expect").is_some_and(|value| value.eq_ignore_ascii_case("100-continue")) {
            self.channel.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        if request.header("transfer-encoding").is_some() {
            request.body = self.read_chunks()?;
        } else if let Some(length) = request.header("content-length") {
            let length = length.parse().map_err(|_| io::Error::other("Content-Length is no number"))?;
            request.body = self.take(length)?;
        }
        Ok(Some(request))
    }

    fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_until(b"\r\n")?.unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = usize::from_str_radix(size, 16).map_err(|_| io::Error::other("no chunk size"))?;
            body.extend(self.take(size)?);
            self.take(2)?;
            if size == 0 {
                return Ok(body);
            }
        }
    }

    fn perform(&mut self, reply: &Reply) -> io::Result<()> {
        if let Content::Tunnel(to) = reply.content {
            return self.tunnel(to);
        }
        let (head, body) = reply.wire();
        match reply.pace {
            Pace::AtOnce => {
                let bytes = match reply.cut {
                    Cut::InHead => head[..head.len() * 2 / 3].to_vec(),
                    Cut::InBody => [head.as_slice(), &body[..body.len() / 2]].concat(),
                    Cut::Nowhere => [head, body].concat(),
                };
                if !bytes.is_empty() {
                    self.channel.send(&bytes)?;
                }
            }
            Pace::DripHead(interval) => {
                let open = head.strip_suffix(b"\r\n").unwrap_or(&head);
                self.drip([open, b"X-Drip: "].concat(), b'a', interval)?;
            }
            Pace::DripBody(interval) => {
                self.channel.send(&head)?;
                self.drip(body, b' ', interval)?;
            }
            Pace::EndlessHead => {
                let open = head.strip_suffix(b"\r\n").unwrap_or(&head).to_vec();
                self.flood(&open, &b"X-Endless: and on and on it goes\r\n".repeat(200))?;
            }
            Pace::EndlessBody => self.flood(&[head, body].concat(), &[b' '; 8 << 10])?,
        }
        match reply.end {
            End::Keep => Ok(()),
            End::Close => self.close(reply.cut == Cut::Nowhere),
            End::Reset => self.reset(),
            End::Stall => {
                self.shared.wait_for_stop();
                Ok(())
            }
        }
    }

    /// Sends these bytes and then the filler for ever, one byte at a time.
    fn drip(&mut self, bytes: Vec<u8>, filler: u8, interval: Duration) -> io::Result<()> {
        for byte in bytes.into_iter().chain(std::iter::repeat(filler)) {
            self.channel.send(&[byte])?;
            if !self.shared.pause(interval) {
                break;
            }
        }
        Ok(())
    }

    /// Sends these bytes and then the filler until the client has enough or the server stops.
    fn flood(&mut self, bytes: &[u8], filler: &[u8]) -> io::Result<()> {
        self.channel.send(bytes)?;
        while self.shared.state().stopping.is_none() {
            self.channel.send(filler)?;
        }
        Ok(())
    }

    /// Says good-bye in order, then waits for the client to go: closing at once could turn into a reset.
    fn close(&mut self, tls_good_bye: bool) -> io::Result<()> {
        if let Channel::Tls(stream) = &mut self.channel
            && tls_good_bye
        {
            stream.conn.send_close_notify();
            stream.flush()?;
        }
        let wire = self.channel.wire();
        wire.take_held()?;
        wire.socket.shutdown(Shutdown::Write)?;
        self.log(|state| state.closed += 1);
        let wire = self.channel.wire();
        io::copy(&mut &*wire.socket, &mut io::sink())?;
        Ok(())
    }

    /// Leaves without reading what is there.
    fn reset(&mut self) -> io::Result<()> {
        let wire = self.channel.wire();
        if !wire.held {
            wire.wait_for_bytes()?;
        }
        Ok(())
    }

    fn tunnel(&mut self, to: SocketAddr) -> io::Result<()> {
        let Channel::Plain(wire) = &mut self.channel else {
            return Err(io::Error::other("a tunnel needs a plain connection"));
        };
        let upstream = Arc::new(TcpStream::connect(to)?);
        wire.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        (&*upstream).write_all(&self.buffer)?;
        let (shared, number) = (self.shared, self.number);
        let client = Arc::clone(&wire.socket);
        thread::scope(|scope| {
            scope.spawn(|| {
                io::copy(&mut &*upstream, &mut &*client).ok();
                client.shutdown(Shutdown::Both).ok();
            });
            // What passes is kept too: a proxy reads all that it carries.
            let mut chunk = [0; 16 << 10];
            while let Ok(count @ 1..) = wire.read(&mut chunk) {
                shared.state().received[number].extend_from_slice(&chunk[..count]);
                if (&*upstream).write_all(&chunk[..count]).is_err() {
                    break;
                }
            }
            upstream.shutdown(Shutdown::Both).ok();
        });
        Ok(())
    }
}

fn is_close(value: &str) -> bool {
    value.eq_ignore_ascii_case("close")
}
