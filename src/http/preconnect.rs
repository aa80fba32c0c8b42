//! A connection that is opened ahead: before there is anything to send on it, while something else is waited for.
//!
//! Two requests to two servers, one after the other, cost six round trips: TCP, TLS and the request, twice. With the
//! second connection opened during the first request, it is four, and no program can do with less. The handshake tells
//! the server nothing about the job; what is secret goes out when it has been checked, as without all this.
//!
//! Nothing depends on it. A connection that fails, or that the server has closed by the time it is needed, is replaced
//! by a new one in the same attempt, and only what happens to that one is an error. From the first byte of the request
//! on, nothing is done twice.

use std::sync::mpsc::{self, Receiver};
use std::thread;

use crate::deadline::Deadline;
use crate::retry::CONNECT_TIMEOUT;
use crate::watch::{self, Watch};

use super::connect::Route;
use super::connection::Connection;

/// A connection that is being opened, or is open, or could not be.
pub(super) struct Preconnected(Receiver<Connection>);

impl Preconnected {
    /// Begins to connect, in a thread of its own. `None` where no thread can be had.
    pub(super) fn begin(route: Route, deadline: Deadline) -> Option<Self> {
        let (sender, receiver) = mpsc::sync_channel(1);
        // Nobody waits for it yet.
        let open = move || {
            route.open(deadline, CONNECT_TIMEOUT, None).map(|connection| sender.send(connection).ok())
        };
        thread::Builder::new().spawn(move || open().ok()).ok().map(|_| Self(receiver))
    }

    /// Waits for the connection until the deadline; `None` when there is none that can be used.
    pub(super) fn take(self, deadline: Deadline, watch: &mut Option<Watch>) -> Option<Connection> {
        let mut connection = watch::receive(watch, deadline, &self.0)?;
        connection.set_deadline(deadline);
        connection.is_idle().then_some(connection)
    }
}
