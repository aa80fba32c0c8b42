//! `--probe`: asks a running service whether it is ready, for probes that can only run a program.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use crate::options::Address;

/// The time for the question and its answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Tells whether a service at this address is ready.
pub fn is_ready(address: &Address) -> bool {
    // A socket whose owner accepts nobody cannot be given a time limit.
    let (sender, receiver) = mpsc::sync_channel(1);
    let address = address.clone();
    let asking = std::thread::Builder::new().spawn(move || sender.send(ask(&address)).ok());
    asking.is_ok() && receiver.recv_timeout(LIMIT * 2).unwrap_or(false)
}

fn ask(address: &Address) -> bool {
    match address {
        Address::Loopback(address) => TcpStream::connect_timeout(address, LIMIT).is_ok_and(|stream| {
            let bounded =
                stream.set_read_timeout(Some(LIMIT)).is_ok() && stream.set_write_timeout(Some(LIMIT)).is_ok();
            bounded && asks(stream, &address.to_string())
        }),
        Address::Unix(path) => UnixStream::connect(path).is_ok_and(|stream| {
            let bounded =
                stream.set_read_timeout(Some(LIMIT)).is_ok() && stream.set_write_timeout(Some(LIMIT)).is_ok();
            bounded && asks(stream, "localhost")
        }),
    }
}

fn asks(mut stream: impl Read + Write, host: &str) -> bool {
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    let mut answer = [0; 12];
    stream.write_all(request.as_bytes()).is_ok()
        && stream.read_exact(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}
