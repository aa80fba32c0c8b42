//! The stability of a subject from run to run. Equinix compares the whole subject and knows no patterns, so a grant matches
//! tomorrow only if the subject is the same tomorrow.

use crate::identity::issuer;
use crate::identity::jwt::UnverifiedClaims;

/// A subject that is another one in other runs of the same job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unstable {
    /// The part that changes, in words.
    pub part: &'static str,
    /// The advice how to be trusted all the same; `None` when no grant can match.
    pub cure: Option<&'static str>,
    /// The claim to register as `groupMembershipClaim` of the OIDC provider, if groups are the cure.
    pub groups: Option<&'static str>,
}

impl Unstable {
    /// The part that changes, and what follows from it.
    pub fn sentence(&self) -> String {
        let what = if self.cure.is_some() {
            "a grant to it does not match in other runs"
        } else {
            "no grant can match it in another run"
        };
        format!(
            "the subject changes from run to run, since it holds {}; Equinix compares the whole subject, so {what}",
            self.part
        )
    }

    /// The advice, also where there is none.
    pub fn advice(&self) -> &'static str {
        self.cure.unwrap_or(
            "There is no way to grant anything to jobs of this platform yet: run what needs the token on another one, or use a client's credentials (--grant client-credentials).",
        )
    }

    /// Both as one warning.
    pub fn warning(&self) -> String {
        match self.cure {
            Some(cure) => format!("{}. {cure}", self.sentence()),
            None => self.sentence(),
        }
    }
}

/// Another subject of the same job, which needs a grant of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Twin {
    /// The part of the work that has it, in words.
    pub about: &'static str,
    /// The subject.
    pub subject: String,
}

/// Finds out what changes in the token's subject from run to run. `None` if nothing is known to.
pub fn unstable(token: &UnverifiedClaims) -> Option<Unstable> {
    issuer::changes(token)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(claims: &serde_json::Value) -> Option<Unstable> {
        let claims = claims.as_object().unwrap().clone();
        unstable(&UnverifiedClaims { header: serde_json::Map::new(), claims })
    }

    #[test]
    fn the_part_the_consequence_and_the_cure_are_told() {
        let hopeless = of(&json!({"sub": "made-up/7/nonce", "nonce_of_run": "nonce"})).unwrap();
        assert_eq!(
            hopeless.warning(),
            "the subject changes from run to run, since it holds a nonce; Equinix compares the whole subject, so no grant can match it in another run"
        );
        assert!(hopeless.advice().starts_with("There is no way"));
        let curable = Unstable { cure: Some("Do this."), ..hopeless };
        assert!(curable.warning().ends_with("does not match in other runs. Do this."));
        assert_eq!(curable.advice(), "Do this.");
    }

    #[test]
    fn nothing_is_said_of_subjects_that_stay() {
        for claims in [
            json!({}),
            json!({"sub": "repo:o/r:ref:refs/heads/main", "repository": "o/r"}),
            json!({"sub": "project_path:g/p:ref_type:branch:ref:main", "project_path": "g/p"}),
            json!({"sub": "made-up/7", "nonce_of_run": "nonce"}),
        ] {
            assert_eq!(of(&claims), None, "{claims}");
        }
    }
}
