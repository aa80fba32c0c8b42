//! Opens connections: name lookup, TCP, the proxy's tunnel, TLS.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;

use crate::deadline::Deadline;
use crate::secret::Secret;
use crate::socket::Socket;

use super::connection::Connection;
use super::fault::{Fault, NameProblem};
use super::url::ip;
use super::{proxy, tls};

/// The way to a server.
#[derive(Clone)]
pub struct Route {
    /// The server.
    pub server: Hop,
    /// The proxy in between.
    pub proxy: Option<Hop>,
    /// The proxy's `Proxy-Authorization`, if it wants one.
    pub authorization: Option<Arc<Secret>>,
}

/// A server or proxy on the way.
#[derive(Clone)]
pub struct Hop {
    /// The host name or IP address, an IPv6 address in brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The TLS settings; a plain URL needs none.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Route {
    /// Opens a connection. The name lookup and the connecting have `limit` each, and nothing lasts longer than the deadline.
    pub(super) fn open(&self, deadline: Deadline, limit: Duration) -> Result<Connection, Fault> {
        let Some(proxy) = &self.proxy else {
            return self.server.secure(self.server.reach(deadline, limit)?);
        };
        let mut connection =
            proxy.reach(deadline, limit).and_then(|plain| proxy.secure(plain)).map_err(Fault::at_proxy)?;
        let authorization = self.authorization.as_ref().map(|secret| secret.reveal());
        proxy::connect(&mut connection, &self.server.host, self.server.port, authorization)?;
        self.server.secure(connection)
    }
}

impl Hop {
    /// Connects to the first of the addresses that answers. Each but the last gets half of the time that is left, so that
    /// one that is silent leaves enough for the next.
    fn reach(&self, deadline: Deadline, limit: Duration) -> Result<Connection, Fault> {
        let stream = self.dial(deadline, limit)?;
        Socket::new(stream, deadline.at_most(limit))
            .map(Connection::Plain)
            .map_err(|error| Fault::Unreachable(error.kind()))
    }

    /// Looks the name up and connects. Blocks until then, and no longer than the deadline.
    pub fn dial(&self, deadline: Deadline, limit: Duration) -> Result<TcpStream, Fault> {
        let addresses = look_up(&self.host, self.port, deadline.at_most(limit))?;
        let deadline = deadline.at_most(limit);
        let mut failure = ErrorKind::TimedOut;
        for (number, address) in addresses.iter().enumerate() {
            let is_last = number + 1 == addresses.len();
            let Some(left) = deadline.left() else { break };
            let part = if is_last { left } else { left / 2 };
            match TcpStream::connect_timeout(address, part.max(Duration::from_nanos(1))) {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = error.kind(),
            }
        }
        Err(Fault::Unreachable(failure))
    }

    fn secure(&self, connection: Connection) -> Result<Connection, Fault> {
        match &self.tls {
            Some(config) => tls::start(connection, Arc::clone(config), &self.host),
            None => Ok(connection),
        }
    }
}

/// Looks up a name with the system's resolver, in a thread so that the deadline holds.
fn look_up(host: &str, port: u16, deadline: Deadline) -> Result<Vec<SocketAddr>, Fault> {
    if let Some(address) = ip(host) {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let fault = |problem| Fault::Name { host: host.to_owned(), problem };
    let left = deadline.left().ok_or_else(|| fault(NameProblem::TimedOut))?;
    let name = host.to_owned();
    let query = move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
    let worker = query.clone();
    let (sender, receiver) = mpsc::sync_channel(1);
    let answer = match thread::Builder::new().spawn(move || sender.send(worker()).ok()) {
        Ok(_) => receiver.recv_timeout(left).map_err(|_| fault(NameProblem::TimedOut))?,
        // Where no thread can be had, the system's own time limit has to do.
        Err(_) => query(),
    };
    let found: Vec<SocketAddr> = answer.map_err(|error| {
        fault(if is_temporary(&error) { NameProblem::Temporary } else { NameProblem::Unknown })
    })?;
    // `localhost` is exempt from https, so it must really lead back to this machine.
    let is_local = host.eq_ignore_ascii_case("localhost");
    let usable: Vec<_> = found.into_iter().filter(|a| a.ip().is_loopback() || !is_local).collect();
    if usable.is_empty() { Err(fault(NameProblem::Unknown)) } else { Ok(usable) }
}

/// Tells whether a name lookup may succeed later. The standard library gives `getaddrinfo`'s EAI_AGAIN no kind of its
/// own; these are the texts of glibc and musl.
fn is_temporary(error: &io::Error) -> bool {
    let text = error.to_string();
    ["Temporary failure", "Try again", "temporarily"].iter().any(|t| text.contains(t))
}
