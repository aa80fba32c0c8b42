//! A small HTTP/1.1 server on loopback.
//!
//! A server is a function from a [`Request`] to a [`Reply`], a [`Service`]; everything about sockets is here. Each
//! connection has a thread of its own and carries one request. Its deadlines are absolute, so that a slow client is cut
//! off in time and holds up nobody else.
//!
//! The sockets are closed when another program is executed (the standard library opens all of them so): no child
//! process inherits the port or a connection.
//!
//! Not here: TLS, connections that are kept open, and a `Date` header, since both sides have the same clock.

mod connection;
pub mod form;
mod gate;
pub mod peer;
mod receive;
mod reply;
mod request;
#[cfg(test)]
mod tests;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use self::gate::Gate;
#[cfg(fuzzing)]
pub use self::receive::receive_bytes;
pub use self::reply::Reply;
pub use self::request::Request;

/// The time until connections are accepted again after that has failed: mostly there are too many files open.
const PAUSE: Duration = Duration::from_millis(50);

/// The stack of a connection's thread. In builds for debugging, the deepest JSON text takes more than a quarter of it; what
/// is not used costs no memory.
const STACK: usize = 512 * 1024;

/// Answers requests.
pub trait Service: Send + Sync + 'static {
    /// Answers a request. The thread is the connection's own, so the answer may take its time.
    fn answer(&self, request: &Request) -> Reply;
}

/// The limits that clients are held to.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// The bytes of the request line and the headers.
    pub head: usize,
    /// The number of headers.
    pub headers: usize,
    /// The bytes of the body.
    pub body: usize,
    /// The number of connections at a time. Further ones wait in the operating system.
    pub connections: usize,
    /// The time to receive a whole request in.
    pub receive: Duration,
    /// The time to send a whole answer in.
    pub send: Duration,
    /// The time in which a client may close the connection after its answer.
    pub linger: Duration,
}

impl Limits {
    /// The limits for clients on this machine.
    pub const STANDARD: Self = Self {
        head: 16 * 1024,
        headers: 64,
        body: 64 * 1024,
        connections: 256,
        receive: Duration::from_secs(5),
        send: Duration::from_secs(5),
        linger: Duration::from_secs(1),
    };
}

/// A port of 127.0.0.1 that is open but not served yet: who connects has to wait.
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

impl Listener {
    /// Opens a port that the system chooses.
    pub fn bind() -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = socket.local_addr()?;
        Ok(Self { socket, address })
    }

    /// Returns the URL of the server, without a path: `http://127.0.0.1:PORT`.
    pub fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address that clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Starts to answer requests.
    pub fn serve<S: Service>(self, service: Arc<S>, limits: Limits) -> io::Result<Running> {
        let Self { socket, address } = self;
        let gate = Arc::new(Gate::new(limits.connections));
        let entrance = Arc::clone(&gate);
        let accepting = thread::Builder::new().name("listener".to_owned()).spawn(move || {
            accept(&socket, &entrance, &service, limits);
            drop(socket);
            entrance.report_closed();
        })?;
        Ok(Running { address, gate, accepting: Mutex::new(Some(accepting)) })
    }
}

/// Accepts connections until the gate is shut.
fn accept<S: Service>(socket: &TcpListener, gate: &Arc<Gate>, service: &Arc<S>, limits: Limits) {
    while let Some(slot) = gate.enter() {
        match socket.accept() {
            Ok((stream, peer)) if gate.is_open() => {
                let service = Arc::clone(service);
                let serve = move || {
                    connection::serve(stream, peer, &*service, &limits);
                    drop(slot);
                };
                // Without a thread, the connection is dropped: nobody else has to suffer from it.
                let builder = thread::Builder::new().name("connection".to_owned()).stack_size(STACK);
                builder.spawn(serve).ok();
            }
            Ok(_) => {}
            // A client that was gone again is no reason to let others wait.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(_) => gate.pause(PAUSE),
        }
    }
}

/// A server. It runs until it is stopped or dropped.
#[must_use = "a server that is dropped is stopped"]
pub struct Running {
    address: SocketAddr,
    gate: Arc<Gate>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

impl Running {
    /// Closes the port. No further connection is accepted, and those that wait are refused; the ones that are being
    /// answered come to their end.
    pub fn stop(&self) {
        // Held to the end: whoever comes second returns when the port is closed too.
        let mut accepting = self.accepting.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(thread) = accepting.take() else { return };
        self.gate.shut();
        loop {
            // The thread waits for a connection, so it gets one. There may be no file left for it: then once more.
            TcpStream::connect_timeout(&self.address, PAUSE).ok();
            if self.gate.is_closed_within(PAUSE) || thread.is_finished() {
                break;
            }
        }
        thread.join().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}
