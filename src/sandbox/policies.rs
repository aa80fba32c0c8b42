//! The STS's list of the access policies that were granted to the holder of an ID token
//! (`POST /v1/accessPoliciesGranted`).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::sts::{ID_TOKEN, Refusal, Sts, invalid};
use crate::listener::{Reply, Request};

/// The path of the list.
pub(super) const PATH: &str = "/v1/accessPoliciesGranted";
/// The project that owns the policies.
pub(super) const PROJECT: &str = "project:00000000-0000-4000-8000-000000000002";

/// The number of entries on a page when nobody says otherwise, and at most.
const PAGE: u64 = 100;

/// An access policy.
pub(super) struct AccessPolicy {
    id: &'static str,
    /// The scope to ask for.
    pub(super) ern: &'static str,
    /// True if the list tells the ERN too. The public description of the list promises the id only.
    tells_ern: bool,
}

/// Every access policy of the project.
pub(super) const ALL: [AccessPolicy; 3] = [
    AccessPolicy {
        id: "accesspolicy:fabric-operator",
        ern: "ern:eqix:equinix/access:global:00000000-0000-4000-8000-000000000002:accessPolicy:fabric-operator",
        tells_ern: true,
    },
    AccessPolicy {
        id: "accesspolicy:network-edge-viewer",
        ern: "ern:eqix:equinix/access:global:00000000-0000-4000-8000-000000000002:accessPolicy:network-edge-viewer",
        tells_ern: true,
    },
    AccessPolicy {
        id: "accesspolicy:metro-reader",
        ern: "ern:eqix:equinix/access:global:00000000-0000-4000-8000-000000000002:accessPolicy:metro-reader",
        tells_ern: false,
    },
];

impl Sts {
    /// Answers a request for the list.
    pub(super) fn policies(&self, call: &Request) -> Reply {
        match self.page(call) {
            Ok(page) => Reply::json(200, &page),
            // In this version of the API, members are in camelCase.
            Err((error, description)) => {
                Reply::json(400, &json!({ "error": error, "errorDescription": description }))
            }
        }
    }

    fn page(&self, call: &Request) -> Result<Value, Refusal> {
        if call.has_header("authorization") {
            return Err(invalid("the list takes no Authorization header"));
        }
        let media_type = call.header("content-type").and_then(|value| value.split(';').next());
        if !media_type.unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(invalid("the content type must be application/json"));
        }
        let body = call.body.as_ref().ok_or_else(|| invalid("too large"))?;
        let members = serde_json::from_slice::<Map<String, Value>>(body)
            .map_err(|_| invalid("the body must be a JSON object"))?;
        let required = |name: &str| {
            let text = members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.ok_or_else(|| invalid(format!("{name} is missing")))
        };
        let project = required("projectId")?;
        if required("subjectTokenType")? != ID_TOKEN {
            return Err(invalid(format!("subjectTokenType must be {ID_TOKEN}")));
        }
        let size = match members.get("pageSize") {
            None => PAGE,
            Some(size) => size
                .as_u64()
                .filter(|size| (1..=PAGE).contains(size))
                .ok_or_else(|| invalid(format!("pageSize must be a number from 1 to {PAGE}")))?,
        };
        let from = match members.get("pageToken") {
            None => 0,
            Some(token) => {
                token.as_str().and_then(start_of).ok_or_else(|| invalid("pageToken is not one of ours"))?
            }
        };
        let subject = self.subject(required("subjectToken")?)?;
        let granted = ALL.iter().filter(|policy| project == PROJECT && self.is_granted(&subject, policy.ern));
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let mut rest = granted.skip(from);
        let list: Vec<Value> = rest.by_ref().take(size).map(AccessPolicy::entry).collect();
        let mut page = Map::from_iter([("list".to_owned(), list.into())]);
        if rest.next().is_some() {
            page.insert("nextPageToken".to_owned(), token_for(from + size).into());
        }
        Ok(page.into())
    }
}

impl AccessPolicy {
    fn entry(&self) -> Value {
        if self.tells_ern {
            json!({ "accessPolicyId": self.id, "accessPolicyErn": self.ern })
        } else {
            json!({ "accessPolicyId": self.id })
        }
    }
}

/// The token of the page that begins there. It is opaque, so that nobody counts in it.
fn token_for(from: usize) -> String {
    URL_SAFE_NO_PAD.encode(format!("from {from}"))
}

fn start_of(token: &str) -> Option<usize> {
    let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
    text.strip_prefix("from ")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::wire::client::{Answer, send};
    use crate::sandbox::{Fault, Sandbox, SimulatedPlatform, job};

    fn start(fault: Option<Fault>) -> Sandbox {
        Sandbox::start(SimulatedPlatform::Github, fault).unwrap()
    }

    fn ask(sandbox: &Sandbox, headers: &[(&str, &str)], body: &Value) -> Answer {
        send("POST", &format!("{}{PATH}", sandbox.sts.base), headers, &body.to_string())
    }

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn request(sandbox: &Sandbox) -> Value {
        let token = sandbox.issuer.service.mint(Some(job::AUDIENCE)).unwrap();
        json!({"projectId": PROJECT, "subjectToken": token.reveal(), "subjectTokenType": ID_TOKEN})
    }

    #[test]
    fn all_pages_together_are_all_policies() {
        let sandbox = start(None);
        let all = ask(&sandbox, &[JSON], &request(&sandbox)).json();
        assert_eq!(all["list"].as_array().unwrap().len(), ALL.len());
        assert!(all.get("nextPageToken").is_none());
        for size in 1..=ALL.len() {
            let mut body = request(&sandbox);
            body["pageSize"] = size.into();
            let mut found = Vec::new();
            for page in 1.. {
                let answer = ask(&sandbox, &[JSON], &body).json();
                found.extend(answer["list"].as_array().unwrap().clone());
                let Some(next) = answer.get("nextPageToken") else {
                    assert_eq!(page, ALL.len().div_ceil(size), "pages of {size}");
                    break;
                };
                body["pageToken"] = next.clone();
            }
            assert_eq!(Value::from(found), all["list"], "pages of {size}");
        }
        assert_eq!(all["list"][0]["accessPolicyErn"], ALL[0].ern);
        assert!(all["list"][2].get("accessPolicyErn").is_none());
    }

    #[test]
    fn what_is_listed_can_be_asked_for() {
        let sandbox = start(Some(Fault::RefusedScope));
        let token = sandbox.issuer.service.mint(Some(job::AUDIENCE)).unwrap();
        let claims = sandbox.sts.service.subject(token.reveal()).unwrap();
        assert!(ALL.iter().all(|policy| sandbox.sts.service.is_granted(&claims, policy.ern)));
        assert!(!sandbox.sts.service.is_granted(&claims, job::SCOPE), "the job's own scope is gone");
        assert_eq!(ask(&sandbox, &[JSON], &request(&sandbox)).json()["list"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn nobody_else_is_granted_anything() {
        let sandbox = start(None);
        let mut elsewhere = request(&sandbox);
        elsewhere["projectId"] = "project:other".into();
        assert_eq!(ask(&sandbox, &[JSON], &elsewhere).json(), json!({"list": []}));
        let mut claims = sandbox.issuer.service.last_claims().unwrap();
        claims["sub"] = "repo:somebody/else:ref:refs/heads/main".into();
        let mut stranger = request(&sandbox);
        stranger["subjectToken"] = sandbox.issuer.service.key().sign(&claims).unwrap().reveal().into();
        assert_eq!(ask(&sandbox, &[JSON], &stranger).json(), json!({"list": []}));
    }

    #[test]
    fn a_request_that_does_not_hold_is_refused() {
        let sandbox = start(None);
        let refused = |headers: &[(&str, &str)], body: &Value, about: &str| {
            let answer = ask(&sandbox, headers, body);
            assert_eq!(answer.status, 400, "{about}");
            let said = answer.json()["errorDescription"].as_str().unwrap().to_owned();
            assert!(said.contains(about), "{about}: {said}");
        };
        let with = |name: &str, value: Value| {
            let mut body = request(&sandbox);
            body[name] = value;
            body
        };
        refused(&[JSON, ("authorization", "Bearer x")], &request(&sandbox), "Authorization");
        refused(&[], &request(&sandbox), "content type");
        refused(&[JSON], &json!([]), "JSON object");
        for name in ["projectId", "subjectToken", "subjectTokenType"] {
            refused(&[JSON], &with(name, Value::Null), name);
        }
        refused(&[JSON], &with("subjectTokenType", json!("x")), "subjectTokenType");
        refused(&[JSON], &with("subjectToken", json!("x")), "not a JSON Web Token");
        for size in [json!(0), json!(101), json!("10"), json!(1.5)] {
            refused(&[JSON], &with("pageSize", size), "pageSize");
        }
        for token in [json!("page 2"), json!(2), json!(token_for(1) + "=")] {
            refused(&[JSON], &with("pageToken", token), "pageToken");
        }
        let url = format!("{}{PATH}", sandbox.sts.base);
        let answer = send("GET", &url, &[], "");
        assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
        let broken = start(Some(Fault::ServerError));
        assert_eq!(ask(&broken, &[JSON], &request(&broken)).status, 503);
    }
}
