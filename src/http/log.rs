//! The requests that a client has made, for the report: when, to whom, and what came of each. Nothing of what was sent, and
//! of the answers only the names by which the server's own log knows them.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

use crate::clock::{Clock as _, SystemClock};
use crate::error::Stage;
use crate::report::audit::Made;
use crate::retry::Failure;

use super::{Peer, Response, Url};

/// The number of requests that are kept. Older ones are counted, so that a run of any length needs no more memory.
const KEPT: usize = 100;

/// The number of characters that are kept of a name that a server gave a request.
const LONGEST_ID: usize = 1000;

/// The newest requests, and the number of older ones.
#[derive(Debug, Default)]
pub(super) struct Log(Mutex<Noted>);

/// The newest requests, each with the thread that made it, and the number of older ones.
type Noted = (VecDeque<(ThreadId, Made)>, u64);

/// Begins the note of a request that is about to be sent.
pub(super) fn begin(peer: Peer, method: &'static str, url: &Url) -> Made {
    Made {
        at: SystemClock.unix_time(),
        stage: peer.stage,
        server: url.origin(),
        what: (peer.stage == Stage::Exchange).then(|| (method, url.path().to_owned())),
        status: None,
        code: None,
        ids: Vec::new(),
    }
}

impl Log {
    /// Notes what came of a request.
    pub(super) fn note(&self, made: Made, outcome: &Result<Response, Failure>) {
        let made = match outcome {
            Ok(response) => {
                let ids =
                    response.request_ids().map(|(_, id)| id.chars().take(LONGEST_ID).collect()).collect();
                Made { status: Some(response.status), ids, ..made }
            }
            Err(failure) => Made { code: Some(failure.error.code()), ..made },
        };
        let (newest, dropped) = &mut *self.lock();
        if newest.len() == KEPT {
            newest.pop_front();
            *dropped = dropped.saturating_add(1);
        }
        newest.push_back((thread::current().id(), made));
    }

    /// Returns the requests that are kept, and the number of older ones.
    pub(super) fn all(&self) -> (Vec<Made>, u64) {
        let (newest, dropped) = &*self.lock();
        (newest.iter().map(|(_, made)| made.clone()).collect(), *dropped)
    }

    /// Takes those out that this thread has made.
    #[cfg(feature = "renew")]
    pub(super) fn take_own(&self) -> Vec<Made> {
        let own = thread::current().id();
        let (newest, _) = &mut *self.lock();
        let (taken, left) =
            std::mem::take(newest).into_iter().partition::<VecDeque<_>, _>(|(by, _)| *by == own);
        *newest = left;
        taken.into_iter().map(|(_, made)| made).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Code, Error};

    const PEER: Peer = Peer {
        name: "the STS",
        stage: Stage::Exchange,
        too_large: Code::StsTooLarge,
        not_json: Code::StsNotJson,
    };

    #[test]
    fn the_newest_are_kept_and_the_others_counted() {
        let (log, url) = (Log::default(), Url::parse("https://sts.example/use/token?x=1").unwrap());
        for status in 0..105 {
            log.note(begin(PEER, "POST", &url), &Ok(Response::fixed(status, "", b"", false)));
        }
        let failure = Failure::permanent(Error::new(Code::NetConnect, "x"));
        log.note(begin(PEER, "POST", &url), &Err(failure));
        let (all, dropped) = log.all();
        assert_eq!((all.len(), dropped), (KEPT, 6));
        assert_eq!(
            (all[0].status, all[0].code, all[0].server.as_str()),
            (Some(6), None, "https://sts.example")
        );
        assert_eq!(all[0].what, Some(("POST", "/use/token".to_owned())), "no query");
        assert_eq!((all[99].status, all[99].code), (None, Some(Code::NetConnect)));
    }

    #[cfg(feature = "renew")]
    #[test]
    fn a_thread_takes_its_own() {
        let (log, url) = (Log::default(), Url::parse("https://sts.example").unwrap());
        let note = |status| log.note(begin(PEER, "POST", &url), &Ok(Response::fixed(status, "", b"", false)));
        note(200);
        thread::scope(|scope| scope.spawn(|| note(400)).join().unwrap());
        assert_eq!(log.take_own().iter().map(|made| made.status).collect::<Vec<_>>(), [Some(200)]);
        assert_eq!(log.all().0[0].status, Some(400));
    }
}
