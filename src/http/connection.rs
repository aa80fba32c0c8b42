//! A connection: the socket, as much TLS around it as there is, and the deadline that bounds every read and write.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustls::{ClientConnection, ProtocolVersion, StreamOwned};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, LazyBuffers, NextTimeout, Transport,
};
use zeroize::{Zeroize, Zeroizing};

use crate::deadline::Deadline;
use crate::socket::Socket;
use crate::watch::Watch;

use super::MAX_HEADERS;

/// TCP alone, or TLS over another connection: over TCP, or over the one with the proxy.
pub(super) enum Connection {
    Plain(Socket),
    Tls(Box<StreamOwned<ClientConnection, Connection>>),
}

impl Connection {
    /// Bounds everything from now on.
    pub(super) fn set_deadline(&mut self, deadline: Deadline) {
        self.socket().set_deadline(deadline);
    }

    /// Has somebody told from now on when a read waits for long.
    pub(super) fn set_watch(&mut self, watch: Option<Watch>) {
        self.socket().set_watch(watch);
    }

    /// Returns the TLS version that was agreed on, if TLS is used.
    pub(super) fn tls_version(&self) -> Option<&'static str> {
        match self {
            Self::Plain(_) => None,
            Self::Tls(stream) => Some(match stream.conn.protocol_version() {
                Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
                Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
                _ => "TLS",
            }),
        }
    }

    /// Tells whether the other side has neither closed the connection nor said anything without being asked. TLS's own
    /// messages, such as session tickets, are read and count for nothing.
    pub(super) fn is_idle(&mut self) -> bool {
        self.poll().is_ok_and(|read| read.is_none())
    }

    /// Reads a byte if there is one, without waiting: `None` means that there is nothing yet.
    fn poll(&mut self) -> io::Result<Option<usize>> {
        self.socket().set_polling(true)?;
        let read = self.read(&mut [0]);
        self.socket().set_polling(false)?;
        match read {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            read => read.map(Some),
        }
    }

    fn socket(&mut self) -> &mut Socket {
        match self {
            Self::Plain(socket) => socket,
            Self::Tls(stream) => stream.sock.socket(),
        }
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// A connection in the HTTP library's hands, for one request.
///
/// The library hands over the head and the body one by one. Sent so, they would be two packets, and whatever is cut off
/// between them a request that the server cannot understand. So the request goes out in one piece, and `sent` tells
/// whether any byte of it may have left: only then can an answer be lost.
struct Exchange {
    connection: Connection,
    buffers: LazyBuffers,
    request: Zeroizing<Vec<u8>>,
    sent: Arc<AtomicBool>,
}

impl Exchange {
    fn send(&mut self) -> io::Result<()> {
        let request = std::mem::take(&mut self.request);
        self.sent.store(true, Ordering::Relaxed);
        self.connection.write_all(&request)?;
        self.connection.flush()
    }
}

impl Transport for Exchange {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
        let part = self.buffers.output().get(..amount).unwrap_or_default();
        append(&mut self.request, part);
        Ok(())
    }

    /// Waits for the answer, once the whole request is sent.
    fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
        if !self.request.is_empty() {
            self.send().map_err(into_ureq)?;
        }
        let read = self.connection.read(self.buffers.input_append_buf());
        let is_tls = self.is_tls();
        let amount = read.map_err(|error| into_ureq(if is_tls { without_good_bye(error) } else { error }))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Answers no: connections are never used twice.
    fn is_open(&mut self) -> bool {
        false
    }

    fn is_tls(&self) -> bool {
        matches!(self.connection, Connection::Tls(_))
    }
}

impl Drop for Exchange {
    /// Wipes the library's buffers, which held tokens.
    fn drop(&mut self) {
        let unread = self.buffers.input().len();
        self.buffers.input_consume(unread);
        self.buffers.input_append_buf().zeroize();
        self.buffers.output().zeroize();
    }
}

impl fmt::Debug for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Exchange")
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

fn into_ureq(error: io::Error) -> ureq::Error {
    match error.kind() {
        ErrorKind::TimedOut => ureq::Error::Timeout(ureq::Timeout::Global),
        _ => ureq::Error::Io(error),
    }
}

/// Replaces the errors that the HTTP library would take for a good end. It takes these ends of a connection for the end
/// of a body that has no length. Over TLS that is said by a good-bye (close_notify), and without it anybody on the way
/// could have cut the answer short.
fn without_good_bye(error: io::Error) -> io::Error {
    use ErrorKind as K;
    match error.kind() {
        K::UnexpectedEof | K::ConnectionReset | K::ConnectionAborted => io::Error::new(K::BrokenPipe, error),
        _ => error,
    }
}

/// Gives the library the one connection that has been made for the request.
pub(super) struct Ready(Mutex<Option<Exchange>>);

impl Ready {
    pub(super) fn new(connection: Connection, sent: Arc<AtomicBool>) -> Self {
        let buffers = LazyBuffers::new(MAX_HEADERS + 4096, MAX_HEADERS);
        Self(Mutex::new(Some(Exchange { connection, buffers, request: Zeroizing::default(), sent })))
    }
}

impl fmt::Debug for Ready {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ready")
    }
}

impl Connector for Ready {
    type Out = Box<dyn Transport>;

    fn connect(&self, _: &ConnectionDetails<'_>, _: Option<()>) -> Result<Option<Self::Out>, ureq::Error> {
        let exchange = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        Ok(exchange.map(|exchange| Box::new(exchange) as Self::Out))
    }
}
