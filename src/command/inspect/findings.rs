//! The findings of `inspect`, before they take a form.

use serde::Serialize;
use serde_json::{Value, json};

use crate::command::pipeline::Pipeline;
use crate::error::Error;
use crate::identity::stability::{self, Unstable};
use crate::identity::{Identity, issuer};
use crate::platform::PLATFORMS;
use crate::text::printable;

/// The scope that is suggested when none is set.
pub(super) const SCOPE: &str = "roleassignments:<org-id>";

/// Everything that is shown.
pub(super) struct Findings<'a> {
    pub(super) job: &'a Pipeline,
    pub(super) identity: &'a Identity,
    /// The checks that failed.
    pub(super) problems: Vec<Error>,
    /// Oddities, and notes for an administrator.
    pub(super) remarks: Vec<String>,
    pub(super) scope: Option<String>,
    pub(super) all_claims: bool,
    pub(super) project_id: Option<&'a str>,
    pub(super) idp_id: Option<&'a str>,
}

/// A request that an administrator can send to set up the trust.
#[derive(Serialize)]
pub(super) struct Setup {
    pub(super) purpose: &'static str,
    method: &'static str,
    pub(super) url: String,
    pub(super) body: Value,
}

impl Setup {
    fn new(purpose: &'static str, url: String, body: Value) -> Self {
        Self { purpose, method: "POST", url, body }
    }
}

impl Findings<'_> {
    /// Tells whether everybody may read this job's log.
    pub(super) fn is_public(&self) -> bool {
        issuer::is_public(&self.identity.claims)
    }

    /// Returns the claims that may be shown, and how many are held back.
    pub(super) fn claims(&self) -> (Vec<(String, Value)>, usize) {
        let all = &self.identity.claims.claims;
        let is_other = |name: &str| !issuer::REGISTERED.contains(&name);
        let others = all.keys().filter(|name| is_other(name)).count();
        let shown: Vec<(String, Value)> = if self.all_claims {
            let rest = all.iter().filter(|(name, _)| is_other(name));
            rest.map(|(name, value)| (name.clone(), value.clone())).collect()
        } else {
            let names = issuer::shown(self.is_public()).into_iter();
            names.filter_map(|name| Some((name.to_owned(), all.get(name)?.clone()))).collect()
        };
        let hidden = others.saturating_sub(shown.len());
        (shown, hidden)
    }

    /// Returns the members of the token's audience.
    pub(super) fn audience(&self) -> Vec<&str> {
        self.identity.claims.audience().unwrap_or_default()
    }

    /// Returns the audiences to trust: the audience that this job is meant to ask for, else the one that its token has.
    pub(super) fn client_ids(&self) -> Vec<String> {
        match &self.job.settings().audience {
            Some(audience) => vec![printable(audience)],
            None => self.audience().iter().map(|audience| printable(audience)).collect(),
        }
    }

    /// Returns what changes in the subject from run to run, so that a principal made of it matches nothing tomorrow.
    pub(super) fn unstable(&self) -> Option<Unstable> {
        stability::unstable(&self.identity.claims)
    }

    /// Returns the principals to grant to: of this subject, and of the other one that the job has at another time, with when
    /// that is. There are none if the subject changes from run to run.
    pub(super) fn principals(&self) -> Vec<(Option<&'static str>, String)> {
        if self.unstable().is_some() {
            return Vec::new();
        }
        let mut principals = vec![(None, self.principal(self.identity.claims.subject()))];
        if let Some(twin) = issuer::twin(&self.identity.claims) {
            principals.push((Some(twin.about), self.principal(&twin.subject)));
        }
        principals
    }

    /// Returns `principal:<owner>:<idp>:<sub>`, the subject as it stands in the token.
    fn principal(&self, subject: &str) -> String {
        let owner = self.project_id.unwrap_or("<project-or-org-id>");
        let idp = self.idp_id.map_or("<idp>", |id| id.strip_prefix("idp:").unwrap_or(id));
        format!("principal:{}:{}:{}", printable(owner), printable(idp), printable(subject))
    }

    /// Returns the requests that set up the trust.
    pub(super) fn setups(&self) -> Vec<Setup> {
        let project = printable(self.project_id.unwrap_or("<project-id>"));
        let mut provider = json!({
            "name": "<a name>",
            "issuerLocation": printable(self.identity.claims.issuer()),
            "idpPrefix": "<a prefix>",
            "trustedClientIds": self.client_ids(),
        });
        let groups = self.unstable().and_then(|unstable| unstable.groups);
        if let (Some(claim), Some(members)) = (groups, provider.as_object_mut()) {
            members.insert("groupMembershipClaim".to_owned(), claim.into());
        }
        let url = format!("https://sts.eqix.equinix.com/v1/projects/{project}/oidcProviders");
        let mut setups = vec![Setup::new("OIDC provider", url, provider)];
        for (_, principal) in self.principals() {
            setups.push(Setup::new(
                "Grant of a role (scope roleassignments:<org-id>)",
                "https://access.eqix.equinix.com/v1/roleAssignments".to_owned(),
                json!({"principal": principal, "roleId": "<role-id>", "assignmentScope": {"id": "<org-id>", "type": "ORGANIZATION"}}),
            ));
            setups.push(Setup::new(
                "Grant of an access policy (scope: that policy's ERN)",
                format!(
                    "https://access.eqix.equinix.com/v1/projects/{project}/accessPolicies/<access-policy-id>/grants"
                ),
                json!({"grantee": principal}),
            ));
        }
        setups
    }

    /// Returns when the token expires (Unix time), and in how many seconds.
    pub(super) fn lifetime(&self) -> Option<(i64, i64)> {
        let expiry = self.identity.expiry?;
        Some((expiry, expiry.saturating_sub(self.job.session().clock.unix_time())))
    }

    /// Returns the reason for which the platform was chosen.
    pub(super) fn evidence(&self) -> String {
        self.job.platform().here(&self.job.session().env).text
    }

    /// Returns the platforms that this job does not run on although it has a variable of theirs, with the reason.
    pub(super) fn others(&self) -> Vec<(&'static str, String)> {
        let chosen = self.job.platform().facts().id;
        PLATFORMS
            .iter()
            .filter(|other| other.facts().id != chosen && other.facts().is_named(&self.job.session().env))
            .map(|other| (other.facts().id, other.here(&self.job.session().env).text))
            .collect()
    }
}
