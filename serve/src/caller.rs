//! The other end of a connection, as far as the system tells.

use std::net::SocketAddr;
use std::sync::Arc;

use equinix_wif::service::{Budget, peer};
use tokio::sync::OnceCell;

/// The process that asked, for the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asker {
    /// The process.
    pub pid: Option<u32>,
    /// Its user.
    pub uid: Option<u32>,
}

/// The other end of a connection.
#[derive(Clone)]
pub struct Caller(Arc<End>);

enum End {
    /// A process of this machine that connects to a port.
    Loopback { peer: SocketAddr, local: SocketAddr, found: OnceCell<Asker>, looks: Arc<Budget> },
    /// A process at a Unix socket, whose user the system tells.
    Unix { asker: Asker, is_own: bool },
    /// The program that started this one.
    Parent,
}

impl Caller {
    /// A process that connects to a port. Who it is takes long to find out, so that has a budget.
    pub fn loopback(peer: SocketAddr, local: SocketAddr, looks: &Arc<Budget>) -> Self {
        Self(Arc::new(End::Loopback { peer, local, found: OnceCell::new(), looks: Arc::clone(looks) }))
    }

    /// A process at a Unix socket.
    pub fn unix(asker: Asker, is_own: bool) -> Self {
        Self(Arc::new(End::Unix { asker, is_own }))
    }

    /// The program that started this one, which speaks on standard streams.
    pub fn parent() -> Self {
        Self(Arc::new(End::Parent))
    }

    /// Tells whether the system says that it is of the same user; `None` where it does not say.
    pub fn is_own(&self) -> Option<bool> {
        match &*self.0 {
            End::Loopback { .. } => None,
            End::Unix { is_own, .. } => Some(*is_own),
            End::Parent => Some(true),
        }
    }

    /// Finds out which process it is. A connection is looked up once, while it stands.
    pub async fn asker(&self) -> Asker {
        match &*self.0 {
            End::Unix { asker, .. } => *asker,
            End::Parent => Asker { pid: std::os::unix::process::parent_id().into(), uid: None },
            End::Loopback { peer, local, found, looks } => {
                if let Some(asker) = found.get() {
                    return *asker;
                }
                if !looks.has_some() {
                    return Asker::default();
                }
                let (peer, local, looks) = (*peer, *local, Arc::clone(looks));
                let look = move || looks.spend(|| peer::caller(peer, local));
                match tokio::task::spawn_blocking(look).await {
                    Ok(Some(caller)) => {
                        let asker = caller.map_or_else(Asker::default, |c| Asker { pid: c.pid, uid: c.uid });
                        found.set(asker).ok();
                        asker
                    }
                    _ => Asker::default(),
                }
            }
        }
    }
}
