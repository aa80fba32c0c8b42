//! The table of all codes, one file a stage. A new code is a row at the end of its stage's table.

use super::{Exit, Stage};

#[macro_use]
mod config;
#[macro_use]
mod identity;
#[macro_use]
mod claims;
#[macro_use]
mod exchange;
#[macro_use]
mod delivery;

/// Declares [`Code`] and its table in one place, so that no code lacks an entry.
macro_rules! declare {
    (;
        $($stage:ident {
            $($variant:ident = $name:literal, $exit:ident, $cause:literal, $cure:literal, $example:literal;)+
        })+
    ) => {
        /// A stable error code. The list is append-only: a code is never renamed or used for something else.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $cause] $variant,)+)+
        }

        impl Code {
            /// Every code, stage by stage.
            pub const ALL: &[Self] = &[$($(Self::$variant),+),+];

            /// The name that users see, e.g. `claim-aud`.
            pub const fn name(self) -> &'static str {
                match self { $($(Self::$variant => $name,)+)+ }
            }

            /// The exit class.
            pub const fn exit(self) -> Exit {
                match self { $($(Self::$variant => Exit::$exit,)+)+ }
            }

            /// The stage where the code arises unless the error says otherwise.
            pub const fn stage(self) -> Stage {
                match self { $($(Self::$variant => Stage::$stage,)+)+ }
            }

            /// Returns the cause.
            pub const fn cause(self) -> &'static str {
                match self { $($(Self::$variant => $cause,)+)+ }
            }

            /// Returns the cure.
            pub const fn cure(self) -> &'static str {
                match self { $($(Self::$variant => $cure,)+)+ }
            }

            /// Returns an example of what standard error shows: the message and the most telling lines below it.
            pub const fn example(self) -> &'static str {
                match self { $($(Self::$variant => concat!("error[", $name, "]: ", $example),)+)+ }
            }
        }
    };
}

// Each table is a macro that passes all rows so far on to the next one, and the last hands them to `declare`.
config! { identity, claims, exchange, delivery, declare; }

impl Code {
    /// The codes in the order in which they are listed: by exit class, and there stage by stage.
    pub fn listed() -> impl Iterator<Item = Self> {
        Exit::ALL
            .into_iter()
            .flat_map(|exit| Self::ALL.iter().copied().filter(move |code| code.exit() == exit))
    }

    /// Returns the reason for which this job can have no ID token, in a word for `--on-unavailable skip`: for every
    /// code of exit class 3, and for no other.
    pub const fn reason(self) -> Option<&'static str> {
        Some(match self {
            Self::AmbientNotCi => "not-ci",
            Self::GhIdTokenPermission | Self::IdTokenNotOffered => "missing-permission",
            Self::GhForkPr => "fork-pull-request",
            Self::GhDependabot => "dependabot",
            Self::GhRequestIncomplete => "incomplete-request",
            Self::GlIdTokensMissing | Self::TokenEnvEmpty => "missing-id-token",
            Self::TokenEnvUnexpanded => "unexpanded-variable",
            Self::TokenEnvPadded => "altered-token",
            Self::TokenFileUnreadable => "unreadable-file",
            Self::ClientCredentialsMissing => "missing-credentials",
            _ => return None,
        })
    }

    /// The code of this name.
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_kebab_case_and_explained() {
        let mut names = std::collections::BTreeSet::new();
        for code in Code::ALL {
            let name = code.name();
            assert!(names.insert(name), "{name} is listed twice");
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{name}");
            assert!(code.cause().ends_with('.'), "{name}: the cause is a sentence");
            assert!(code.cure().len() > 10, "{name}: the cure helps");
            let message =
                code.example().strip_prefix(&format!("error[{name}]: ")).expect("it begins with its code");
            let mut lines = message.lines();
            assert!(
                lines.next().is_some_and(|line| line.len() > 10 && !line.ends_with('.')),
                "{name}: {message}"
            );
            assert!(
                lines.clone().all(|line| line.starts_with("  ") || line.starts_with("hint: "))
                    && lines.count() < 3,
                "{name}: details or the hint, two lines at most: {message}"
            );
            assert!(!message.contains("eyJ"), "{name}: no token");
            assert_eq!(Code::by_name(name), Some(*code));
        }
        assert_eq!(Code::by_name("no-such-code"), None);
    }

    #[test]
    fn exactly_the_codes_without_an_identity_have_a_reason() {
        for code in Code::ALL {
            assert_eq!(code.reason().is_some(), code.exit() == Exit::NoIdentity, "{}", code.name());
        }
    }

    #[test]
    fn every_code_is_listed_once() {
        let listed: Vec<Code> = Code::listed().collect();
        assert_eq!(listed.len(), Code::ALL.len());
        assert!(listed.is_sorted_by_key(|code| code.exit()));
    }
}
