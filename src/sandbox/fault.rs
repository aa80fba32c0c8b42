//! The faults that the sandbox can show.

use super::SimulatedPlatform;

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
    /// The client secret of the job is not the right one.
    #[cfg(feature = "classic-grants")]
    WrongLogin,
    /// The account is locked.
    #[cfg(feature = "classic-grants")]
    LockedAccount,
}

impl Fault {
    /// Every fault, in the order in which help lists them.
    pub const ALL: &[Self] = &[
        Self::RateLimit,
        Self::ExpiredToken,
        Self::WrongAudience,
        Self::RefusedScope,
        Self::ServerError,
        #[cfg(feature = "classic-grants")]
        Self::WrongLogin,
        #[cfg(feature = "classic-grants")]
        Self::LockedAccount,
    ];

    /// The name on the command line.
    pub const fn id(self) -> &'static str {
        match self {
            Self::RateLimit => "rate-limit",
            Self::ExpiredToken => "expired-token",
            Self::WrongAudience => "wrong-audience",
            Self::RefusedScope => "refused-scope",
            Self::ServerError => "server-error",
            #[cfg(feature = "classic-grants")]
            Self::WrongLogin => "wrong-login",
            #[cfg(feature = "classic-grants")]
            Self::LockedAccount => "locked-account",
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
            #[cfg(feature = "classic-grants")]
            Self::WrongLogin => "the API knows another client secret than the job",
            #[cfg(feature = "classic-grants")]
            Self::LockedAccount => "the account is locked after five wrong attempts in a row",
        }
    }

    /// Tells whether the main job on this platform meets the fault.
    pub fn is_met_on(self, platform: SimulatedPlatform) -> bool {
        match self {
            #[cfg(feature = "classic-grants")]
            Self::WrongLogin | Self::LockedAccount => !platform.has_identity(),
            _ => platform.has_identity(),
        }
    }

    /// The fault of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.id() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_is_found_by_its_name() {
        for fault in Fault::ALL {
            assert_eq!(Fault::by_name(fault.id()), Some(*fault));
            assert!(SimulatedPlatform::ALL.iter().any(|platform| fault.is_met_on(*platform)));
            assert!(fault.about().len() > 10);
        }
        assert_eq!(Fault::by_name("RateLimit"), None);
    }
}
