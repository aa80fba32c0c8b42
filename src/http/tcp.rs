//! TCP: connecting to the first address that answers, then reading and writing within a time limit.
//!
//! The HTTP library has such a transport too, but none that can tell without waiting whether anything has come. That is
//! needed for a connection that was opened ahead: it may have been closed meanwhile.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use ureq::Timeout;
use ureq::unversioned::transport::time::Duration as Limit;
use ureq::unversioned::transport::{Buffers, ConnectionDetails, NextTimeout, Transport};

use super::connect::remaining;
use super::room::Room;

/// A TCP connection.
#[derive(Debug)]
pub(super) struct Tcp {
    stream: TcpStream,
    buffers: Room,
}

impl Tcp {
    /// Connects to the first of the addresses that answers. Each but the last gets half of the time that is left, so that
    /// one that is silent leaves enough for the next.
    pub(super) fn connect(details: &ConnectionDetails<'_>) -> Result<Self, ureq::Error> {
        let mut failure = ureq::Error::ConnectionFailed;
        for (number, address) in details.addrs.iter().enumerate() {
            let is_last = number + 1 == details.addrs.len();
            let limit = left(remaining(details))?.map(|left| if is_last { left } else { left / 2 });
            match open(address, limit) {
                Ok(stream) => {
                    // Nothing is sent in small pieces, so there is nothing to collect and wait for.
                    stream.set_nodelay(details.config.no_delay())?;
                    // Below TLS its own room holds what is whole; a flight of a handshake or a request fits in here.
                    let (input, output) = if details.needs_tls() {
                        (4096, 8192)
                    } else {
                        (details.config.input_buffer_size(), details.config.output_buffer_size())
                    };
                    return Ok(Self { stream, buffers: Room::new(input, output) });
                }
                Err(error) if is_timeout(&error) => failure = ureq::Error::Timeout(Timeout::Connect),
                Err(error) => failure = error.into(),
            }
        }
        Err(failure)
    }

    /// Reads what is there, without waiting for more.
    fn read_now(&mut self) -> io::Result<usize> {
        self.stream.set_nonblocking(true)?;
        let outcome = self.stream.read(self.buffers.input_append_buf());
        self.stream.set_nonblocking(false)?;
        outcome
    }

    /// Reads, waiting for this long. A signal that comes meanwhile does not lengthen it.
    fn read_within(&mut self, limit: Option<Duration>) -> io::Result<usize> {
        let started = Instant::now();
        loop {
            let left = limit.map(|limit| limit.saturating_sub(started.elapsed()));
            if left.is_some_and(|left| left.is_zero()) {
                return Err(ErrorKind::TimedOut.into());
            }
            self.stream.set_read_timeout(left)?;
            match self.stream.read(self.buffers.input_append_buf()) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }
}

fn open(address: &SocketAddr, limit: Option<Duration>) -> io::Result<TcpStream> {
    limit.map_or_else(|| TcpStream::connect(address), |limit| TcpStream::connect_timeout(address, limit))
}

/// What is left of a time limit, if there is one. Systems take no time at all for no limit, so that is an error.
fn left(timeout: NextTimeout) -> Result<Option<Duration>, ureq::Error> {
    match timeout.after {
        Limit::Exact(left) if left.is_zero() => Err(ureq::Error::Timeout(timeout.reason)),
        Limit::Exact(left) => Ok(Some(left)),
        Limit::NotHappening => Ok(None),
    }
}

/// What systems say when a time limit has passed, or when nothing is there yet.
fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

fn told(error: io::Error, timeout: NextTimeout) -> ureq::Error {
    if is_timeout(&error) { ureq::Error::Timeout(timeout.reason) } else { error.into() }
}

impl Transport for Tcp {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.set_write_timeout(left(timeout)?)?;
        self.stream.write_all(self.buffers.outgoing(amount)).map_err(|error| told(error, timeout))
    }

    /// With no time at all, it is read what is there already; that there is nothing is a time limit that has passed.
    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        let read = match timeout.after {
            Limit::Exact(left) if left.is_zero() => self.read_now(),
            Limit::Exact(left) => self.read_within(Some(left)),
            Limit::NotHappening => self.read_within(None),
        };
        let amount = read.map_err(|error| told(error, timeout))?;
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    /// Connections are never used twice.
    fn is_open(&mut self) -> bool {
        false
    }
}
