//! Facts about a token endpoint's answers that tell nothing of what is in them. No public document settles it, so whoever
//! is among the first to ask can send it along with an issue.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use serde_json::{Map, Value, json};

use crate::http::Response;
use crate::json::SecretObject;

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

/// The answers of a token endpoint, in their order.
#[derive(Debug, Default)]
pub struct Contact(Mutex<Vec<Value>>);

impl Contact {
    /// Notes an answer to a request for a scope.
    pub(super) fn note(&self, response: &Response, scope: &str, is_second: bool) {
        let mut entry = facts(response, scope);
        entry.insert("same_id_token_again".to_owned(), is_second.into());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(Value::Object(entry));
    }

    /// Returns the facts about the answers.
    pub fn answers(&self) -> Vec<Value> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn facts(response: &Response, scope: &str) -> Map<String, Value> {
    let members = SecretObject::parse(&response.body).ok();
    let text = |name: &str| members.as_ref()?.get(name)?.as_str();
    let known = |name: &str, is_known: fn(&str) -> bool| {
        text(name).map(|text| if is_known(text) { text } else { OTHER })
    };
    let expires_in = members.as_ref().and_then(|members| members.get("expires_in"));
    let scheme = response.challenge().and_then(|challenge| challenge.split_whitespace().next());
    let facts = json!({
        "status": response.status,
        "media_type": response.media_type().map(|media| if is_name(media, "/+.-") { media } else { OTHER }),
        "headers": response.known_headers(),
        "challenge": scheme.map(|scheme| if is_name(scheme, "-") { scheme } else { OTHER }),
        "members": members.as_ref().map(|members| types(members)),
        "token_type": known("token_type", |text| TOKEN_TYPES.iter().any(|one| one.eq_ignore_ascii_case(text))),
        "issued_token_type": known("issued_token_type", |text| {
            text.strip_prefix(TYPE_URI).is_some_and(|rest| is_name(rest, "_-"))
        }),
        "expires_in": expires_in.filter(|value| value.is_number()),
        "scope": members.as_ref().map(|members| granted(members, scope)),
        "error": known("error", |text| ERRORS.contains(&text)),
    });
    match facts {
        Value::Object(facts) => facts,
        _ => Map::new(),
    }
}

/// The JSON type of each member, and of the members of objects in it. A name that is none is not told.
fn types(members: &Map<String, Value>) -> BTreeMap<String, &'static str> {
    let mut types = BTreeMap::new();
    let mut add = |prefix: &str, name: &str, value: &Value| {
        let name = if is_name(name, "_-.") { name } else { OTHER };
        if types.len() < MOST_MEMBERS {
            types.insert(format!("{prefix}{name}"), kind(value));
        }
        name.to_owned()
    };
    for (name, value) in members {
        let name = add("", name, value);
        for (inner, value) in value.as_object().into_iter().flatten() {
            add(&format!("{name}."), inner, value);
        }
    }
    types
}

/// Compares the scope that was granted with the one that was asked for.
fn granted(members: &Map<String, Value>, asked: &str) -> &'static str {
    let set = |text: &str| text.split_whitespace().map(ToOwned::to_owned).collect::<BTreeSet<_>>();
    match members.get("scope") {
        None => "absent",
        Some(Value::String(text)) if set(text) == set(asked) => "equal",
        Some(Value::String(text)) if set(text).is_subset(&set(asked)) => "narrower",
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
    use super::*;

    fn of(status: u16, body: &Value) -> Value {
        let response = Response::fixed(status, "application/json", body.to_string().as_bytes(), false);
        Value::Object(facts(&response, "a b"))
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
                "status": 200, "media_type": "application/json", "headers": [], "challenge": null,
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
