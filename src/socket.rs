//! A TCP socket with a deadline, for both ends of a connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::deadline::Deadline;

/// A TCP socket with a deadline. However many reads and writes something takes, TLS's own among them, each has only what
/// is left.
pub struct Socket {
    stream: TcpStream,
    deadline: Deadline,
    is_polling: bool,
}

impl Socket {
    /// Takes a connection over.
    pub fn new(stream: TcpStream, deadline: Deadline) -> io::Result<Self> {
        // Nothing is sent in small pieces, so there is nothing to collect and wait for.
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline, is_polling: false })
    }

    /// Bounds everything from now on.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Lets reads and writes return at once instead of waiting.
    pub fn set_polling(&mut self, on: bool) -> io::Result<()> {
        self.is_polling = on;
        self.stream.set_nonblocking(on)
    }

    /// Tells the other side that nothing more comes. What it sends can still be read.
    #[cfg(feature = "listener")]
    pub fn end(&self) -> io::Result<()> {
        self.stream.shutdown(std::net::Shutdown::Write)
    }

    /// Calls the system until it is not interrupted by a signal, each time with what is left of the deadline.
    fn bounded<T>(
        &mut self,
        set_timeout: fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        mut call: impl FnMut(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = self.deadline.left().ok_or(ErrorKind::TimedOut)?;
            set_timeout(&self.stream, Some(left))?;
            match call(&mut self.stream) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Some systems say so when a time limit has passed.
                Err(error) if error.kind() == ErrorKind::WouldBlock && !self.is_polling => {
                    return Err(ErrorKind::TimedOut.into());
                }
                outcome => return outcome,
            }
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.bounded(TcpStream::set_read_timeout, |stream| stream.read(buffer))
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bounded(TcpStream::set_write_timeout, |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
