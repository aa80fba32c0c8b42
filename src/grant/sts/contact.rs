//! Facts about a token endpoint's answers that tell nothing of what is in them. No public document settles it, so whoever
//! is among the first to ask can send it along with an issue.

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Map, Value};

use crate::http::Response;
use crate::json::{SecretObject, object};

/// The most members that are named.
const MOST_MEMBERS: usize = 40;

/// The longest name that is told. Whatever is longer is no name of a member.
const LONGEST_NAME: usize = 40;

/// The types of tokens that are told by name: RFC 6750, RFC 9449, RFC 8693 section 2.2.1.
const TOKEN_TYPES: [&str; 3] = ["Bearer", "DPoP", "N_A"];

/// The beginning of the types that RFC 8693 section 3 defines.
const TYPE_URI: &str = "urn:ietf:params:oauth:token-type:";

/// The error codes of RFC 6749 section 5.2, RFC 6750 section 3.1 and RFC 8693 section 2.2.2, and one of RFC 6749 section 4.1.2.1.
const ERRORS: [&str; 9] = [
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "unauthorized_client",
    "unsupported_grant_type",
    "invalid_scope",
    "invalid_token",
    "invalid_target",
    "access_denied",
];

/// A value that is not one of those that may be told.
const OTHER: &str = "other";

/// The requests to a token endpoint, and the answers that came, in their order.
#[derive(Debug, Default)]
pub struct Contact(Mutex<(u64, Vec<Value>)>);

impl Contact {
    /// Notes that a request is about to be made.
    pub(super) fn asked(&self) {
        let (requests, _) = &mut *self.lock();
        *requests = requests.saturating_add(1);
    }

    /// Notes an answer to a request for a scope.
    pub(super) fn note(&self, response: &Response, scope: &str, is_second: bool) {
        self.lock().1.push(facts(response, scope, is_second));
    }

    /// Returns the number of requests, and the facts about the answers.
    pub fn found(&self) -> (u64, Vec<Value>) {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, (u64, Vec<Value>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn facts(response: &Response, scope: &str, is_second: bool) -> Value {
    let members = SecretObject::parse(&response.body).ok();
    let member = |name: &str| members.as_ref()?.get(name);
    let known = |name: &str, is_known: fn(&str) -> bool| {
        let text = member(name).and_then(Value::as_str);
        Value::from(text.map(|text| if is_known(text) { text } else { OTHER }))
    };
    let scheme = response.challenge().and_then(|challenge| challenge.split_whitespace().next());
    let named = |text: Option<&str>, marks: &str| {
        Value::from(text.map(|text| if is_name(text, marks) { text } else { OTHER }))
    };
    object(vec![
        ("same_id_token_again", is_second.into()),
        ("status", response.status.into()),
        ("media_type", named(response.media_type(), "/+.-")),
        ("headers", response.known_headers().into()),
        ("challenge", named(scheme, "-")),
        ("members", members.as_deref().map(types).into()),
        (
            "token_type",
            known("token_type", |text| TOKEN_TYPES.iter().any(|one| one.eq_ignore_ascii_case(text))),
        ),
        (
            "issued_token_type",
            known("issued_token_type", |text| {
                text.strip_prefix(TYPE_URI).is_some_and(|rest| is_name(rest, "_-"))
            }),
        ),
        ("expires_in", member("expires_in").filter(|value| value.is_number()).cloned().into()),
        ("scope", members.as_deref().map(|members| granted(members, scope)).into()),
        ("error", known("error", |text| ERRORS.contains(&text))),
    ])
}

/// The JSON type of each member, and of the members of objects in it. A name that is none is not told.
fn types(members: &Map<String, Value>) -> Map<String, Value> {
    let mut types = Map::new();
    let mut add = |prefix: &str, name: &str, value: &Value| {
        let name = format!("{prefix}{}", if is_name(name, "_-.") { name } else { OTHER });
        if types.len() < MOST_MEMBERS {
            types.insert(name.clone(), kind(value).into());
        }
        name
    };
    for (name, value) in members {
        let prefix = add("", name, value) + ".";
        for (inner, value) in value.as_object().into_iter().flatten() {
            add(&prefix, inner, value);
        }
    }
    types
}

/// Compares the scope that was granted with the one that was asked for.
fn granted(members: &Map<String, Value>, asked: &str) -> &'static str {
    let has = |all: &str, part: &str| {
        part.split_whitespace().all(|word| all.split_whitespace().any(|one| one == word))
    };
    match members.get("scope") {
        None => "absent",
        Some(Value::String(text)) if !has(asked, text) => OTHER,
        Some(Value::String(text)) => {
            if has(text, asked) {
                "equal"
            } else {
                "narrower"
            }
        }
        Some(_) => OTHER,
    }
}

fn is_name(text: &str, marks: &str) -> bool {
    (1..=LONGEST_NAME).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || marks.contains(c))
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(status: u16, body: &Value) -> Value {
        let response = Response::fixed(status, "application/json", body.to_string().as_bytes(), false);
        facts(&response, "a b", false)
    }

    #[test]
    fn names_and_types_are_told_and_no_values() {
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2lnbmF0dXJl";
        let answer = json!({
            "access_token": token, "token_type": "bearer", "expires_in": 3.6e3, "scope": "a",
            "issued_token_type": "urn:ietf:params:oauth:token-type:access_token", token: 1, "x": {"y": token},
        });
        assert_eq!(
            of(200, &answer),
            json!({
                "same_id_token_again": false, "status": 200, "media_type": "application/json", "headers": [], "challenge": null,
                "members": {
                    "access_token": "string", "token_type": "string", "expires_in": "number", "scope": "string",
                    "issued_token_type": "string", "other": "number", "x": "object", "x.y": "string",
                },
                "token_type": "bearer", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
                "expires_in": 3600.0, "scope": "narrower", "error": null,
            })
        );
    }

    #[test]
    fn a_token_in_the_wrong_member_is_not_told() {
        let opaque = "q7wErtY8zyW1abcdefGHI";
        let text = of(200, &json!({
            "token_type": opaque, "issued_token_type": opaque, "expires_in": opaque, "scope": opaque, "error": opaque,
        }))
        .to_string();
        assert!(!text.contains(opaque), "{text}");
        let text = of(400, &json!({"error": {"errorCode": opaque}, "access_token": [opaque]}));
        assert_eq!(
            text["members"],
            json!({"access_token": "array", "error": "object", "error.errorCode": "string"})
        );
        assert_eq!((&text["error"], &text["scope"]), (&Value::Null, &json!("absent")));
        assert_eq!(of(502, &json!("<html>"))["members"], Value::Null);
    }

    #[test]
    fn scopes_are_compared_as_sets() {
        for (granted_scope, relation) in [
            (json!("b a"), "equal"),
            (json!("b"), "narrower"),
            (json!("a c"), "other"),
            (json!(["a"]), "other"),
        ] {
            assert_eq!(of(200, &json!({"scope": granted_scope}))["scope"], relation);
        }
    }
}
