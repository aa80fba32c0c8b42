//! A connection: one request, its answer, and an end that loses nothing.

use std::io::{self, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::receive::{Failure, receive};
use super::{Limits, Reply, Service};
use crate::deadline::Deadline;
use crate::socket::Socket;

/// The bytes that are still taken from a client after its answer.
const LINGER_BYTES: u64 = 4 * 1024 * 1024;

/// Answers the request of a connection.
pub(super) fn serve(stream: TcpStream, peer: SocketAddr, service: &impl Service, limits: &Limits) {
    // A client that is gone needs no answer, and there is nobody to tell of it.
    Socket::new(stream, Deadline::within(limits.receive))
        .and_then(|socket| converse(socket, peer, service, limits))
        .ok();
}

fn converse(socket: Socket, peer: SocketAddr, service: &impl Service, limits: &Limits) -> io::Result<()> {
    let mut source = BufReader::new(socket);
    let (reply, is_head) = match receive(&mut source, limits) {
        Ok(mut request) => {
            request.peer = Some(peer);
            (service.answer(&request), request.method == "HEAD")
        }
        Err(Failure::Gone(error)) => return Err(error),
        Err(Failure::Refused(status, message)) => (Reply::refusal(status, message), false),
    };
    let socket = source.get_mut();
    socket.set_deadline(Deadline::within(limits.send));
    socket.write_all(&reply.to_bytes(is_head))?;
    linger(socket, limits)
}

/// Waits for the client to close the connection, and takes what it still sends. Closed with something unread, the
/// connection would be reset, and an answer that is on its way can be lost by that.
fn linger(socket: &mut Socket, limits: &Limits) -> io::Result<()> {
    socket.end()?;
    socket.set_deadline(Deadline::within(limits.linger));
    io::copy(&mut socket.take(LINGER_BYTES), &mut io::sink()).map(drop)
}
