//! Opens connections: name lookup, TCP, the proxy's tunnel, TLS.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustls::ClientConfig;

use crate::deadline::Deadline;
use crate::secret::Secret;
use crate::socket::Socket;
use crate::watch::{self, Watch};

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
    /// True if it is a host of a cloud's own link, which is spoken to without TLS.
    pub is_on_link: bool,
    /// The TLS settings; a plain URL needs none.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Route {
    /// Opens a connection. The name lookup and the connecting have `limit` each, and nothing lasts longer than the deadline.
    /// The connection keeps the watch.
    pub(super) fn open(
        &self,
        deadline: Deadline,
        limit: Duration,
        watch: Option<Watch>,
    ) -> Result<Connection, Fault> {
        let Some(proxy) = &self.proxy else {
            return self.server.secure(self.server.reach(deadline, limit, watch)?);
        };
        let mut connection = proxy
            .reach(deadline, limit, watch)
            .and_then(|plain| proxy.secure(plain))
            .map_err(Fault::at_proxy)?;
        let authorization = self.authorization.as_ref().map(|secret| secret.reveal());
        proxy::connect(&mut connection, &self.server.host, self.server.port, authorization)?;
        self.server.secure(connection)
    }
}

impl Hop {
    /// Connects to the first of the addresses that answers. Each but the last gets half of the time that is left, so that
    /// one that is silent leaves enough for the next.
    fn reach(
        &self,
        deadline: Deadline,
        limit: Duration,
        mut watch: Option<Watch>,
    ) -> Result<Connection, Fault> {
        let stream = self.dial(deadline, limit, &mut watch)?;
        let mut socket =
            Socket::new(stream, deadline.at_most(limit)).map_err(|error| Fault::Unreachable(error.kind()))?;
        socket.set_watch(watch);
        Ok(Connection::Plain(socket))
    }

    /// Looks the name up and connects. Blocks until then, and no longer than the deadline.
    pub fn dial(
        &self,
        deadline: Deadline,
        limit: Duration,
        watch: &mut Option<Watch>,
    ) -> Result<TcpStream, Fault> {
        let addresses = look_up(&self.host, self.port, self.is_on_link, deadline.at_most(limit), watch)?;
        let deadline = deadline.at_most(limit);
        let mut failure = ErrorKind::TimedOut;
        for (number, address) in addresses.iter().enumerate() {
            let is_last = number + 1 == addresses.len();
            let Some(left) = deadline.left() else { break };
            let part = if is_last { left } else { left / 2 };
            match connect(address, Deadline::within(part), watch) {
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

/// Connects. To have it told that this takes long, the system has to give up, and then to begin anew, once: after so many
/// seconds it would ask the other side again anyway.
fn connect(address: &SocketAddr, deadline: Deadline, watch: &mut Option<Watch>) -> io::Result<TcpStream> {
    let mut is_second = false;
    watch::call(watch, deadline, |until| {
        let until = if std::mem::replace(&mut is_second, true) { deadline } else { until };
        TcpStream::connect_timeout(address, until.left().ok_or(ErrorKind::TimedOut)?)
    })
}

/// Looks up a name with the system's resolver, in a thread so that the deadline holds.
fn look_up(
    host: &str,
    port: u16,
    is_on_link: bool,
    deadline: Deadline,
    watch: &mut Option<Watch>,
) -> Result<Vec<SocketAddr>, Fault> {
    if let Some(address) = ip(host) {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    let fault = |problem| Fault::Name { host: host.to_owned(), problem };
    let too_late = || fault(NameProblem::TimedOut);
    deadline.left().ok_or_else(too_late)?;
    let name = host.to_owned();
    let query = move || (name.as_str(), port).to_socket_addrs().map(Vec::from_iter);
    let worker = query.clone();
    let (sender, receiver) = mpsc::sync_channel(1);
    let answer = match thread::Builder::new().spawn(move || sender.send(worker()).ok()) {
        Ok(_) => watch::receive(watch, deadline, &receiver).ok_or_else(too_late)?,
        // Where no thread can be had, the system's own time limit has to do.
        Err(_) => query(),
    };
    let found: Vec<SocketAddr> = answer.map_err(|error| {
        fault(if is_temporary(&error) { NameProblem::Temporary } else { NameProblem::Unknown })
    })?;
    // `localhost` is exempt from https, so it must really lead back to this machine.
    let is_local = host.eq_ignore_ascii_case("localhost");
    let is_usable = |address: &SocketAddr| {
        (address.ip().is_loopback() || !is_local) && (!is_on_link || is_near(address.ip()))
    };
    let usable: Vec<_> = found.into_iter().filter(is_usable).collect();
    if usable.is_empty() { Err(fault(NameProblem::Unknown)) } else { Ok(usable) }
}

/// Tells whether an address is one of a link or of a private network, where no host of the internet can answer.
fn is_near(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_private() || address.is_loopback(),
        IpAddr::V6(address) => {
            address.is_unicast_link_local() || address.is_unique_local() || address.is_loopback()
        }
    }
}

/// Tells whether a name lookup may succeed later. The standard library gives `getaddrinfo`'s EAI_AGAIN no kind of its
/// own; these are the texts of glibc and musl.
fn is_temporary(error: &io::Error) -> bool {
    let text = error.to_string();
    ["Temporary failure", "Try again", "temporarily"].iter().any(|t| text.contains(t))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_public_address_is_near() {
        for near in
            ["169.254.169.254", "10.0.0.1", "192.168.10.5", "127.0.0.1", "fd20:ce::254", "fe80::1", "::1"]
        {
            assert!(is_near(near.parse().unwrap()), "{near}");
        }
        for far in ["8.8.8.8", "169.253.0.1", "0.0.0.0", "2001:4860:4860::8888", "::", "::ffff:8.8.8.8"] {
            assert!(!is_near(far.parse().unwrap()), "{far}");
        }
    }

    #[test]
    fn a_name_of_the_link_that_leads_elsewhere_does_not_exist() {
        let by = Deadline::within(Duration::from_secs(20));
        // On this machine every system knows this name, and its address is near.
        assert!(look_up("localhost", 80, true, by, &mut None).is_ok());
        assert!(look_up("localhost", 80, false, by, &mut None).is_ok());
    }
}
