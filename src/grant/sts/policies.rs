//! The access policies that the holder of an ID token has been granted (`POST /v1/accessPoliciesGranted` of the STS), which
//! are the scopes that a job may ask for.
//!
//! The request needs no caller: the ID token says who asks. Equinix's schema has the id of each policy only; a name and an
//! ERN are shown where an answer has them.

use serde_json::{Map, Value};

use crate::deadline::Deadline;
use crate::error::{Code, Error};
use crate::http::{Member, Request};
use crate::identity::Identity;
use crate::json;
use crate::retry::{Attempt, Failure};
use crate::session::Session;

use super::{Asked, PEER, Proof, STS, Sts, check_issuer};

/// The path. It is part of the STS's API v1, whatever the API of the exchange.
const PATH: &str = "/v1/accessPoliciesGranted";

/// The number of policies that are asked for at once, which is the server's own default.
const PAGE_SIZE: u64 = 100;

/// The largest number of pages that are read.
const MOST_PAGES: usize = 50;

/// The longest page token that is sent back, in bytes.
const LONGEST_PAGE_TOKEN: usize = 8 * 1024;

/// An access policy that was granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Its id. Untrusted.
    pub id: String,
    /// Its ERN, which is the scope to ask for, if the answer has it. Untrusted.
    pub ern: Option<String>,
    /// Its name, if the answer has it. Untrusted.
    pub name: Option<String>,
}

/// A question for the access policies of an identity.
pub struct Question<'a> {
    /// The STS.
    pub sts: &'a Sts,
    /// The variable that named an STS on this machine without TLS.
    pub local_issuers_only: Option<&'static str>,
    /// The project, `project:…`.
    pub project_id: &'a str,
    /// The identity whose policies are meant.
    pub identity: &'a Identity,
}

/// One page of the list.
struct Page {
    policies: Vec<Policy>,
    next: Option<String>,
}

impl Question<'_> {
    /// Asks for all pages.
    pub fn ask(&self, session: &Session, by: Deadline) -> Result<Vec<Policy>, Error> {
        check_issuer(&self.sts.endpoint, self.local_issuers_only, &self.identity.claims)?;
        let mut policies = Vec::new();
        let mut next: Option<String> = None;
        for _ in 0..MOST_PAGES {
            let page = session.retry("asking for the access policies", by, |attempt| {
                self.page(session, next.as_deref(), attempt)
            })?;
            policies.extend(page.policies);
            match page.next {
                None => return Ok(policies),
                same if same == next => {
                    return Err(STS.invalid("the STS's list of access policies does not go on from its page"));
                }
                other => next = other,
            }
        }
        Err(STS.invalid(format!("the STS's list of access policies has more than {MOST_PAGES} pages")))
    }

    fn page(&self, session: &Session, token: Option<&str>, attempt: Attempt) -> Result<Page, Failure> {
        let url = self.sts.endpoint.at(PATH).map_err(|why| {
            Error::new(
                Code::CfgEndpointInvalid,
                format!("the STS cannot be asked for access policies: {why}"),
            )
        })?;
        let mut members = vec![
            ("projectId", Member::Text(self.project_id)),
            ("subjectToken", Member::Text(self.identity.token.reveal())),
            ("subjectTokenType", Member::Text("urn:ietf:params:oauth:token-type:id_token")),
            ("pageSize", Member::Number(PAGE_SIZE)),
        ];
        members.extend(token.map(|token| ("pageToken", Member::Text(token))));
        let response = session.http.send(PEER, &Request::post_json(&url, &members), attempt)?;
        let outcome = if response.status == 200 {
            let members = STS.members(&response);
            members.and_then(|members| page(&members)).map_err(|error| error.with_http_status(200).into())
        } else {
            let proof = Proof::IdToken { token: &self.identity.token, claims: &self.identity.claims };
            let asked = Asked {
                sts: self.sts,
                path: PATH,
                endpoint: "list of access policies",
                noun: "list of access policies",
                proof: &proof,
                target: ("project", self.project_id),
            };
            Err(asked.refusal(&response, session.clock.unix_time()))
        };
        outcome.map_err(|failure: Failure| failure.with_echo(response.echoes(&self.identity.token)))
    }
}

/// Reads one page.
fn page(members: &Map<String, Value>) -> Result<Page, Error> {
    let list = match members.get("list") {
        Some(Value::Array(list)) => list,
        Some(other) => {
            let kind = json::kind(other);
            return Err(STS.invalid(format!("the STS's answer has {kind} as list instead of an array")));
        }
        None => return Err(STS.missing("list")),
    };
    let policies = list.iter().map(policy).collect::<Result<_, _>>()?;
    let next = match members.get("nextPageToken") {
        None | Some(Value::Null) => None,
        Some(_) => Some(STS.text(members, "nextPageToken")?).filter(|token| !token.is_empty()),
    };
    if next.is_some_and(|token| token.len() > LONGEST_PAGE_TOKEN) {
        return Err(STS.invalid("the STS's nextPageToken is too long"));
    }
    Ok(Page { policies, next: next.map(ToOwned::to_owned) })
}

/// Reads one policy.
fn policy(value: &Value) -> Result<Policy, Error> {
    let members = value.as_object().ok_or_else(|| {
        STS.invalid(format!("the STS's list has {} instead of an access policy", json::kind(value)))
    })?;
    let text =
        |names: [&str; 2]| names.iter().find_map(|name| members.get(*name)?.as_str()).map(ToOwned::to_owned);
    Ok(Policy {
        id: STS.text(members, "accessPolicyId")?.to_owned(),
        ern: text(["accessPolicyErn", "ern"]),
        name: text(["accessPolicyName", "name"]),
    })
}

/// Describes a list in a few words, with what is closest to the scope that was asked for.
pub fn describe(policies: &[Policy], scope: &str) -> Vec<(&'static str, String)> {
    use crate::text::quote;
    if policies.is_empty() {
        let text = "no access policy of this project; the trust is missing, the subject is another one, or the OIDC provider is suspended";
        return vec![("may ask for", text.to_owned())];
    }
    let mut shown: Vec<String> = policies.iter().take(10).map(|policy| quote(policy.scope())).collect();
    if policies.len() > shown.len() {
        shown.push(format!("and {} more", policies.len() - shown.len()));
    }
    let mut lines = vec![("may ask for", shown.join(", "))];
    let meant = policies.iter().map(Policy::scope).find(|known| is_close(scope, known));
    lines.extend(meant.map(|meant| ("closest", quote(meant))));
    lines
}

impl Policy {
    /// Returns the scope to ask for, as far as the answer tells it.
    pub fn scope(&self) -> &str {
        self.ern.as_deref().unwrap_or(&self.id)
    }
}

/// Tells whether somebody who asked for `scope` may have meant this one: one slip in a long name, or the policy's id in place of
/// its ERN.
fn is_close(scope: &str, known: &str) -> bool {
    if scope == known {
        return false;
    }
    let last = |text: &str| text.rsplit(':').next().unwrap_or_default().to_lowercase();
    strsim::osa_distance(&scope.to_lowercase(), &known.to_lowercase()) <= 2
        || (!last(scope).is_empty() && last(scope) == last(known))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(value: Value) -> Result<Page, Error> {
        page(value.as_object().unwrap())
    }

    #[test]
    fn a_page_has_policies_and_perhaps_a_next_one() {
        let first =
            read(json!({"list": [{"accessPolicyId": "a", "other": 1}], "nextPageToken": "x"})).unwrap();
        assert_eq!((first.policies[0].scope(), first.next.as_deref()), ("a", Some("x")));
        let named = json!({"list": [{"accessPolicyId": "a", "accessPolicyErn": "ern:x", "name": "web"}]});
        let named = read(named).unwrap();
        assert_eq!(
            named.policies,
            [Policy { id: "a".into(), ern: Some("ern:x".into()), name: Some("web".into()) }]
        );
        for last in [
            json!({"list": []}),
            json!({"list": [], "nextPageToken": null}),
            json!({"list": [], "nextPageToken": ""}),
        ] {
            assert!(read(last).unwrap().next.is_none());
        }
        for bad in [
            json!({}),
            json!({"list": {}}),
            json!({"list": [1]}),
            json!({"list": [{}]}),
            json!({"list": [{"accessPolicyId": 1}]}),
            json!({"list": [], "nextPageToken": 2}),
            json!({"list": [], "nextPageToken": "x".repeat(LONGEST_PAGE_TOKEN + 1)}),
        ] {
            assert!(read(bad).is_err_and(|error| error.code() == Code::StsResponseInvalid));
        }
    }

    #[test]
    fn what_may_be_asked_for_is_told_with_what_is_closest() {
        let policy = |ern: &str| Policy { id: "i".into(), ern: Some(ern.into()), name: None };
        let all =
            [policy("ern:eqix:x:global:p:accesspolicy:web"), policy("ern:eqix:x:global:p:accesspolicy:db")];
        let lines = describe(&all, "ern:eqix:x:global:q:accesspolicy:db");
        assert_eq!(lines[1], ("closest", "\"ern:eqix:x:global:p:accesspolicy:db\"".to_owned()));
        assert!(lines[0].1.contains("accesspolicy:web"));
        assert_eq!(describe(&all, "roleassignments:o").len(), 1);
        assert!(describe(&[], "roleassignments:o")[0].1.contains("suspended"));
        let many = vec![policy("ern:x"); 12];
        assert!(describe(&many, "y")[0].1.ends_with("and 2 more"));
    }
}
