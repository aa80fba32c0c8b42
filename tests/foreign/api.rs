//! An API of Equinix, as far as tokens go.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use crate::support::job::Issued;
use crate::support::server::{Reply, Request, Server};

/// An API that takes the tokens that a job's STS has given, each for as long as it lives.
pub(crate) struct Api {
    server: Server,
    refused: Arc<AtomicUsize>,
}

impl Api {
    /// Starts one that answers so whoever has a token. The moment is that at which the token ends.
    pub(crate) fn start(
        issued: Issued,
        mut answer: impl FnMut(&Request, Instant) -> Reply + Send + 'static,
    ) -> Self {
        Self::patient(issued, move |request, end| (Instant::now() < end).then(|| answer(request, end)))
    }

    /// Starts one that may take a token that has ended: where there is no answer, the token is refused.
    pub(crate) fn patient(
        issued: Issued,
        mut answer: impl FnMut(&Request, Instant) -> Option<Reply> + Send + 'static,
    ) -> Self {
        let refused = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&refused);
        let server = Server::start(move |request: &Request| {
            let token = request.header("authorization").and_then(|value| value.strip_prefix("Bearer "));
            let issued = issued.lock().unwrap_or_else(PoisonError::into_inner);
            let known = issued.iter().find(|issued| Some(issued.text.as_str()) == token);
            known.and_then(|token| answer(request, token.at + token.life)).unwrap_or_else(|| {
                count.fetch_add(1, Ordering::Relaxed);
                Reply::status(401).body("the token has expired, or is none")
            })
        });
        Self { server, refused }
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// The requests so far, also the refused ones.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// How many were refused.
    pub(crate) fn refused(&self) -> usize {
        self.refused.load(Ordering::Relaxed)
    }
}
