//! A TCP socket with a deadline, for both ends of a connection.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::deadline::Deadline;
use crate::watch::{self, Watch};

/// A TCP socket with a deadline. However many reads and writes something takes, TLS's own among them, each has only what
/// is left.
pub struct Socket {
    stream: TcpStream,
    deadline: Deadline,
    is_polling: bool,
    watch: Option<Watch>,
}

impl Socket {
    /// Takes a connection over.
    pub fn new(stream: TcpStream, deadline: Deadline) -> io::Result<Self> {
        // Nothing is sent in small pieces, so there is nothing to collect and wait for.
        stream.set_nodelay(true)?;
        Ok(Self { stream, deadline, is_polling: false, watch: None })
    }

    /// Bounds everything from now on.
    pub fn set_deadline(&mut self, deadline: Deadline) {
        self.deadline = deadline;
    }

    /// Has somebody told from now on when a read waits.
    pub fn set_watch(&mut self, watch: Option<Watch>) {
        self.watch = watch;
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

    /// Calls the system until it is not interrupted by a signal, each time with what is left of a deadline.
    fn bounded<T>(
        &mut self,
        deadline: Deadline,
        set_timeout: fn(&TcpStream, Option<Duration>) -> io::Result<()>,
        mut call: impl FnMut(&mut TcpStream) -> io::Result<T>,
    ) -> io::Result<T> {
        loop {
            let left = deadline.left().ok_or(ErrorKind::TimedOut)?;
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
        let mut watch = self.watch.take();
        let read = watch::call(&mut watch, self.deadline, |until| {
            self.bounded(until, TcpStream::set_read_timeout, |stream| stream.read(buffer))
        });
        self.watch = watch;
        read
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bounded(self.deadline, TcpStream::set_write_timeout, |stream| stream.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::sync::mpsc;

    use super::*;

    const MOMENT: Duration = Duration::from_millis(5);

    fn pair(limit: Duration) -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Socket::new(near, Deadline::within(limit)).unwrap(), listener.accept().unwrap().0)
    }

    /// The other side sends when the watch has told that nothing comes, so each wait is as short as it can be.
    #[test]
    fn what_comes_after_the_wait_was_told_is_read_whole() {
        let (mut socket, mut far) = pair(Duration::from_secs(30));
        let (told, wait) = mpsc::channel();
        let mut count = 0;
        socket.set_watch(Some(Watch::new(Deadline::within(MOMENT), move || {
            count += 1;
            told.send(count).ok();
            (count < 2).then(|| Deadline::within(MOMENT))
        })));
        let server = std::thread::spawn(move || {
            far.write_all(b"ab").unwrap();
            let first = wait.recv().unwrap();
            far.write_all(b"cd").unwrap();
            let second = wait.recv().unwrap();
            far.write_all(b"ef").unwrap();
            (first, second)
        });
        let mut text = String::new();
        socket.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), server.join().unwrap()), ("abcdef", (1, 2)));
    }

    #[test]
    fn the_deadline_stays_what_it_is() {
        let (mut socket, _far) = pair(20 * MOMENT);
        let (told, heard) = mpsc::channel();
        socket.set_watch(Some(Watch::new(Deadline::within(MOMENT), move || {
            told.send(()).ok();
            Some(Deadline::within(MOMENT))
        })));
        assert_eq!(socket.read(&mut [0]).unwrap_err().kind(), ErrorKind::TimedOut);
        assert!(socket.deadline.left().is_none(), "not sooner");
        assert!(heard.try_recv().is_ok());
    }
}
