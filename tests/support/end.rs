//! The two servers that a job talks to, for tests that do the same at both.

use super::job::Job;
use super::outcome::{Log, Outcome};
use super::server::Reply;

/// Which of the two servers a case is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    IdToken,
    Sts,
}

impl End {
    pub const BOTH: [Self; 2] = [Self::IdToken, Self::Sts];

    /// The next replies of this server, also to mere connections.
    pub fn replies(self, job: Job, replies: impl IntoIterator<Item = Reply>) -> Job {
        replies.into_iter().fold(job, |job, reply| match self {
            Self::IdToken => job.id_token_reply(reply),
            Self::Sts => job.sts_reply(reply),
        })
    }

    /// Every reply of this server.
    pub fn always(self, job: Job, reply: Reply) -> Job {
        match self {
            Self::IdToken => job.id_token_always(reply),
            Self::Sts => job.sts_always(reply),
        }
    }

    /// How many connections this server sees when this many attempts fail before anything could be sent: one to the STS has
    /// been opened ahead and is replaced by a new one in the first attempt.
    pub fn connections(self, attempts: usize) -> usize {
        match self {
            Self::IdToken => attempts,
            Self::Sts => attempts + 1,
        }
    }

    /// What this server has seen.
    pub fn log(self, outcome: &Outcome) -> &Log {
        match self {
            Self::IdToken => &outcome.issuer,
            Self::Sts => &outcome.sts,
        }
    }

    /// What the other server has to have seen when this one fails: the STS is asked only after the issuer has answered.
    pub fn other_is_right(self, outcome: &Outcome) {
        match self {
            Self::IdToken => outcome.require(outcome.sts.heard_nothing(), "the STS heard nothing"),
            Self::Sts => outcome.require(!outcome.issuer.requests.is_empty(), "the issuer was asked"),
        }
    }

    /// The stage that the report names when this server fails.
    pub fn stage(self) -> &'static str {
        match self {
            Self::IdToken => "identity",
            Self::Sts => "exchange",
        }
    }
}
