//! Ports and sockets: who may connect, how many at a time, and for how long.
//!
//! A connection holds a place only while its request is being answered. Whoever sends slowly, or nothing, loses the place when
//! somebody else needs it: the oldest first.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use equinix_wif::service::{Budget, Code, Error, quote};
use http::{HeaderMap, Request, Uri};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::caller::{Asker, Caller};
use crate::guard;
use crate::options::Address;

/// The largest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// The time in which the head of a request has to arrive. Also the time for which an idle connection is kept.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The number of connections at a time, of each adapter.
const CONNECTIONS: usize = 1024;

/// The files that the service needs besides connections.
const OTHER_FILES: u64 = 256;

/// The time in which a socket that is there already has to say whether somebody serves it.
const LOOK: Duration = Duration::from_secs(1);

/// The pause after a connection could not be accepted: mostly there are too many files open.
const PAUSE: Duration = Duration::from_millis(20);

/// Where an adapter listens, as those who call it name it.
#[derive(Debug, Clone)]
pub enum Local {
    /// A port of this machine.
    Loopback(SocketAddr),
    /// A Unix socket, which no page in a browser can reach under any name.
    Unix(PathBuf),
}

impl Local {
    /// Tells whether a request names this place.
    pub fn is_called(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let Self::Loopback(address) = self else { return true };
        guard::names(uri, headers, |name| is_name(name, *address))
    }

    /// The URL of a path there, or the path of the socket.
    pub fn url(&self, path: &str) -> String {
        match self {
            Self::Loopback(address) => format!("http://{address}{path}"),
            Self::Unix(socket) => format!("unix:{}", socket.display()),
        }
    }
}

/// Tells whether a `Host` names an address: itself or `localhost`, with its port.
fn is_name(name: &str, address: SocketAddr) -> bool {
    let Some((host, port)) = guard::split_port(name) else { return false };
    let is_host = host.eq_ignore_ascii_case("localhost")
        || match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inner) => inner.parse() == Ok(address.ip()),
            None => address.is_ipv4() && host.parse() == Ok(address.ip()),
        };
    is_host && port.unwrap_or(80) == address.port()
}

enum Socket {
    Loopback(TcpListener),
    Unix(UnixListener, #[expect(dead_code, reason = "it is there to be dropped")] Inode),
}

/// A Unix socket's file, which is removed at the end if it is still the same one.
struct Inode {
    path: PathBuf,
    number: (u64, u64),
}

impl Drop for Inode {
    fn drop(&mut self) {
        let now = std::fs::symlink_metadata(&self.path).map(|found| (found.dev(), found.ino()));
        if now.is_ok_and(|now| now == self.number) {
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// An open port or socket that is not served yet: who connects has to wait.
pub struct Listener {
    socket: Socket,
    local: Local,
}

impl Listener {
    /// Opens it.
    pub async fn open(address: &Address) -> Result<Self, Error> {
        match address {
            Address::Loopback(address) => {
                let failed = |error: io::Error| {
                    let message = format!("{address} cannot be listened at: {}", reason(&error));
                    Error::new(Code::ListenFailed, message)
                };
                let socket = TcpListener::bind(address).await.map_err(failed)?;
                let local = Local::Loopback(socket.local_addr().map_err(failed)?);
                Ok(Self { socket: Socket::Loopback(socket), local })
            }
            Address::Unix(path) => {
                let failed = |why: &str| {
                    let message =
                        format!("unix:{} cannot be listened at: {why}", quote(&path.to_string_lossy()));
                    Error::new(Code::ListenFailed, message)
                };
                let path = std::path::absolute(path).map_err(|error| failed(&reason(&error)))?;
                let (socket, number) = bind_unix(&path).await.map_err(|error| failed(&reason(&error)))?;
                let local = Local::Unix(path.clone());
                Ok(Self { socket: Socket::Unix(socket, Inode { path, number }), local })
            }
        }
    }

    /// The place.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Answers requests until `stop`, and then ends what runs. Those that are being answered have `patience`.
    pub async fn serve(
        self,
        router: Router,
        looks: Arc<Budget>,
        stop: CancellationToken,
        patience: Duration,
    ) {
        let places = Arc::new(Places::new(connections()));
        let graceful = GracefulShutdown::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept(&self.local, &looks) => accepted,
                () = stop.cancelled() => break,
            };
            match accepted {
                Ok((Connection::Loopback(stream), caller)) => {
                    spawn(stream, caller, &places, &router, &graceful);
                }
                Ok((Connection::Unix(stream), caller)) => spawn(stream, caller, &places, &router, &graceful),
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(_) => {
                    // The oldest that only waits makes room for files as well.
                    places.make_room();
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        // Nobody else gets in while those inside are answered.
        drop(self.socket);
        places.end_idle();
        tokio::time::timeout(patience, graceful.shutdown()).await.ok();
    }
}

/// Makes a socket that only this user can open. One that a service has left behind is taken over; one that is answered is not.
async fn bind_unix(path: &Path) -> io::Result<(UnixListener, (u64, u64))> {
    if let Ok(found) = std::fs::symlink_metadata(path) {
        let refuses = async {
            let answer = tokio::time::timeout(LOOK, UnixStream::connect(path)).await;
            matches!(answer, Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused)
        };
        if !(found.file_type().is_socket() && refuses.await) {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        std::fs::remove_file(path)?;
    }
    // Nobody gets in before the mode is right: the peer's user is compared at every connection.
    let socket = UnixListener::bind(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    let made = std::fs::symlink_metadata(path)?;
    Ok((socket, (made.dev(), made.ino())))
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "something else is there already".to_owned(),
        io::ErrorKind::PermissionDenied => "it is not permitted".to_owned(),
        io::ErrorKind::NotFound => "there is no such folder".to_owned(),
        kind => kind.to_string(),
    }
}

enum Connection {
    Loopback(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    async fn accept(&self, local: &Local, looks: &Arc<Budget>) -> io::Result<(Connection, Caller)> {
        match self {
            Self::Loopback(socket) => {
                let (stream, peer) = socket.accept().await?;
                stream.set_nodelay(true).ok();
                let caller = match local {
                    Local::Loopback(address) => Caller::loopback(peer, *address, looks),
                    Local::Unix(_) => Caller::unix(Asker::default(), false),
                };
                Ok((Connection::Loopback(stream), caller))
            }
            Self::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                let known = stream.peer_cred()?;
                let asker = Asker {
                    pid: known.pid().and_then(|pid| u32::try_from(pid).ok()),
                    uid: Some(known.uid()),
                };
                let is_own = known.uid() == rustix::process::geteuid().as_raw();
                Ok((Connection::Unix(stream), Caller::unix(asker, is_own)))
            }
        }
    }
}

/// The place of a connection.
pub struct Slot {
    is_answered: AtomicBool,
    end: CancellationToken,
}

impl Slot {
    /// Notes that a whole request has been received: its answer is worth the place.
    pub fn received(&self) {
        self.is_answered.store(true, Ordering::Relaxed);
    }

    fn answered(&self) {
        self.is_answered.store(false, Ordering::Relaxed);
    }

    fn is_idle(&self) -> bool {
        !self.is_answered.load(Ordering::Relaxed)
    }
}

/// The places of an adapter, the oldest connection first.
struct Places {
    limit: usize,
    taken: Mutex<VecDeque<Arc<Slot>>>,
}

impl Places {
    fn new(limit: usize) -> Self {
        Self { limit, taken: Mutex::default() }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Slot>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, and ends the oldest connection that only waits if there are too many. There is none if all of them are
    /// being answered.
    fn take(&self) -> Option<Arc<Slot>> {
        let mut taken = self.lock();
        if taken.len() >= self.limit && !end_oldest(&mut taken) {
            return None;
        }
        let slot = Arc::new(Slot { is_answered: AtomicBool::new(false), end: CancellationToken::new() });
        taken.push_back(Arc::clone(&slot));
        Some(slot)
    }

    fn make_room(&self) {
        end_oldest(&mut self.lock());
    }

    fn end_idle(&self) {
        for slot in self.lock().iter().filter(|slot| slot.is_idle()) {
            slot.end.cancel();
        }
    }

    fn leave(&self, slot: &Arc<Slot>) {
        let mut taken = self.lock();
        // The youngest ones leave first, mostly.
        if let Some(position) = taken.iter().rposition(|other| Arc::ptr_eq(other, slot)) {
            taken.remove(position);
        }
    }
}

/// Ends the oldest connection that only waits, if there is one.
fn end_oldest(taken: &mut VecDeque<Arc<Slot>>) -> bool {
    let oldest = taken.iter().position(|slot| slot.is_idle()).and_then(|position| taken.remove(position));
    if let Some(slot) = &oldest {
        slot.end.cancel();
    }
    oldest.is_some()
}

/// Raises the number of files that may be open, and returns how many connections fit.
fn connections() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limits = getrlimit(Resource::Nofile);
    let wanted = u64::try_from(CONNECTIONS).unwrap_or(u64::MAX).saturating_mul(2).saturating_add(OTHER_FILES);
    let most = limits.maximum.unwrap_or(u64::MAX);
    let now = limits.current.unwrap_or(u64::MAX);
    let files = if now < wanted {
        let raised = Rlimit { current: Some(wanted.min(most)), maximum: limits.maximum };
        if setrlimit(Resource::Nofile, raised).is_ok() { wanted.min(most) } else { now }
    } else {
        now
    };
    usize::try_from(files.saturating_sub(OTHER_FILES) / 2).unwrap_or(CONNECTIONS).clamp(16, CONNECTIONS)
}

fn spawn<S>(stream: S, caller: Caller, places: &Arc<Places>, router: &Router, graceful: &GracefulShutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // Whoever comes too many is sent away; those inside are answered.
    let Some(slot) = places.take() else { return };
    let (places, router) = (Arc::clone(places), router.clone());
    let own = Arc::clone(&slot);
    let answer = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(Arc::clone(&own));
        let (router, own) = (router.clone(), Arc::clone(&own));
        async move {
            let response = router.oneshot(request.map(axum::body::Body::new)).await;
            own.answered();
            response
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), answer);
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        tokio::select! {
            ended = connection => drop(ended),
            () = slot.end.cancelled() => {}
        }
        places.leave(&slot);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_names_lead_to_a_port() {
        let v4: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        for name in ["127.0.0.1:8080", "localhost:8080", "LOCALHOST:8080"] {
            assert!(is_name(name, v4), "{name}");
        }
        for name in [
            "",
            "localhost",
            "127.0.0.1",
            "127.0.0.1:8081",
            "evil.example:8080",
            "localhost.evil.example:8080",
            "127.0.0.1.:8080",
            "127.1:8080",
            "[::1]:8080",
            "[127.0.0.1]:8080x",
            "localhost:8080:8080",
            "0x7f.1:8080",
        ] {
            assert!(!is_name(name, v4), "{name}");
        }
        let v6: SocketAddr = "[::1]:80".parse().unwrap();
        for name in ["[::1]:80", "[::1]", "localhost"] {
            assert!(is_name(name, v6), "{name}");
        }
        assert!(!is_name("127.0.0.1:80", v6));
    }

    #[test]
    fn whoever_only_waits_makes_room() {
        let places = Places::new(2);
        let take = || places.take().unwrap();
        let (first, second) = (take(), take());
        first.received();
        let third = take();
        assert!(!first.end.is_cancelled(), "it is being answered");
        assert!(second.end.is_cancelled() && !third.end.is_cancelled());
        first.answered();
        let fourth = take();
        assert!(first.end.is_cancelled());
        third.received();
        fourth.received();
        assert!(places.take().is_none(), "all of them are being answered");
        for slot in [third, fourth] {
            places.leave(&slot);
        }
        assert!(places.lock().is_empty());
    }
}
