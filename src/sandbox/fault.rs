//! The faults that the sandbox can show.

/// A way in which the sandbox misbehaves, to see what the program and a pipeline make of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The STS asks to slow down once.
    RateLimit,
    /// The issuer's tokens expired an hour ago.
    ExpiredToken,
    /// The issuer's tokens are meant for somebody else.
    WrongAudience,
    /// The STS has no grant for the scope.
    RefusedScope,
    /// The STS is broken.
    ServerError,
}

impl Fault {
    /// Every fault, in the order in which help lists them.
    pub const ALL: [Self; 5] =
        [Self::RateLimit, Self::ExpiredToken, Self::WrongAudience, Self::RefusedScope, Self::ServerError];

    /// The name on the command line.
    pub const fn id(self) -> &'static str {
        match self {
            Self::RateLimit => "rate-limit",
            Self::ExpiredToken => "expired-token",
            Self::WrongAudience => "wrong-audience",
            Self::RefusedScope => "refused-scope",
            Self::ServerError => "server-error",
        }
    }

    /// Describes it in one clause.
    pub const fn about(self) -> &'static str {
        match self {
            Self::RateLimit => "the STS answers 429 with Retry-After once, then works",
            Self::ExpiredToken => "the issuer's tokens expired an hour ago",
            Self::WrongAudience => "the issuer ignores the audience and puts its own default",
            Self::RefusedScope => "the STS has no grant for the scope",
            Self::ServerError => {
                "the STS answers 503 with an HTML page every time, until the job's five seconds are over"
            }
        }
    }

    /// The fault of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fault| fault.id() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(Fault::by_name(fault.id()), Some(fault));
            assert!(fault.about().len() > 10);
        }
        assert_eq!(Fault::by_name("RateLimit"), None);
    }
}
