//! Reading what may never come: a pipe that nobody closes, or a file on a network that is gone.

use std::io::{self, Read};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use zeroize::Zeroizing;

/// Why nothing was read.
#[derive(Debug)]
pub enum Trouble {
    /// The end had not come when the time was over.
    TimedOut,
    /// The system refused.
    Io(io::Error),
}

/// Reads to the end, but at most `limit` bytes and for at most `time`. It happens in a thread that the run does not wait
/// for any longer. What is read may be a secret, so it is wiped when it is dropped.
pub fn read<R: Read>(
    limit: usize,
    time: Duration,
    open: impl FnOnce() -> io::Result<R> + Send + 'static,
) -> Result<Zeroizing<Vec<u8>>, Trouble> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let reader = move || -> io::Result<Zeroizing<Vec<u8>>> {
        // Room for everything at once, so that no smaller buffer with a secret stays behind.
        let mut content = Zeroizing::new(Vec::with_capacity(limit));
        open()?.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut content)?;
        Ok(content)
    };
    thread::Builder::new().spawn(move || sender.send(reader()).ok()).map_err(Trouble::Io)?;
    receiver.recv_timeout(time).map_err(|_| Trouble::TimedOut)?.map_err(Trouble::Io)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn reads_to_the_end_or_to_the_limit() {
        assert_eq!(**read(10, LONG, || Ok(&b"text"[..])).unwrap(), *b"text");
        assert_eq!(**read(2, LONG, || Ok(&b"text"[..])).unwrap(), *b"te");
        let refused = || -> io::Result<io::Empty> { Err(io::ErrorKind::NotFound.into()) };
        assert!(
            matches!(read(2, LONG, refused), Err(Trouble::Io(error)) if error.kind() == io::ErrorKind::NotFound)
        );
    }

    #[test]
    fn an_end_that_never_comes_is_not_waited_for() {
        let (reader, _writer) = io::pipe().unwrap();
        assert!(matches!(read(10, Duration::ZERO, || Ok(reader)), Err(Trouble::TimedOut)));
    }
}
