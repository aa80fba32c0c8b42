//! The facts of an example job of each platform: the variables of its environment and the claims of its ID token, which
//! agree with each other as they do in a real job.
//!
//! They are in `jobs.json`, from which the tests and the benches take them as well. `{name}` in a text there is a fact.
//! The names are those of the platforms' own documentation (octo-org, octo-group); no such job exists.

use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::SimulatedPlatform;

/// The file of jobs. A unit test reads it, so it is never empty in a program that was tested.
static JOBS: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(include_str!("jobs.json")).unwrap_or_default());

/// The job of a platform whose server is at a base URL.
pub(super) struct Facts {
    job: &'static Value,
    values: Vec<(&'static str, String)>,
}

impl Facts {
    pub(super) fn new(platform: SimulatedPlatform, server: &str) -> Self {
        let job = JOBS.get(platform.id()).unwrap_or_default();
        let facts = job.get("facts").and_then(Value::as_object).into_iter().flatten();
        let mut values: Vec<_> =
            facts.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?.to_owned()))).collect();
        let (scheme, host) = server.split_once("://").unwrap_or(("", server));
        let hostname = host.split(':').next().unwrap_or(host);
        values.extend(
            [("server", server), ("scheme", scheme), ("host", host), ("hostname", hostname)]
                .map(|(name, value)| (name, value.to_owned())),
        );
        Self { job, values }
    }

    /// A fact of this name.
    pub(super) fn get(&self, name: &str) -> &str {
        self.values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value)
    }

    /// The variables that the platform sets, but for paths and secrets.
    pub(super) fn variables(&self) -> impl Iterator<Item = (&'static str, String)> {
        let variables = self.job.get("variables").and_then(Value::as_object).into_iter().flatten();
        variables.filter_map(|(name, value)| Some((name.as_str(), self.filled(value.as_str()?))))
    }

    /// The claims of its ID token, but for those that change from token to token.
    pub(super) fn claims(&self) -> Map<String, Value> {
        let claims = self.job.get("claims").and_then(Value::as_object).into_iter().flatten();
        claims.map(|(name, value)| (name.clone(), self.value(value))).collect()
    }

    /// The `sub` claim of its ID token.
    pub(super) fn subject(&self) -> String {
        let subject = self.job.get("claims").and_then(|claims| claims.get("sub")).and_then(Value::as_str);
        self.filled(subject.unwrap_or_default())
    }

    /// Returns how long its ID token is valid, in seconds from when it is issued, and for how long before.
    pub(super) fn validity(&self) -> (i64, i64) {
        let seconds = |name: &str| self.job.get(name).and_then(Value::as_i64).unwrap_or_default();
        (seconds("life"), seconds("valid_before"))
    }

    fn value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.filled(text).into(),
            Value::Array(items) => items.iter().map(|item| self.value(item)).collect(),
            other => other.clone(),
        }
    }

    fn filled(&self, text: &str) -> String {
        self.values
            .iter()
            .fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fact_is_there_and_none_is_left_open() {
        for platform in SimulatedPlatform::ALL.iter().copied().filter(|platform| platform.has_identity()) {
            let facts = Facts::new(platform, "http://127.0.0.1:4001");
            let variables: Vec<_> = facts.variables().collect();
            let claims = facts.claims();
            assert!(variables.len() > 15 && claims.len() > 15);
            for (name, value) in &variables {
                assert!(!value.contains(['{', '}']), "{name}={value}");
            }
            assert!(!Value::from(claims.clone()).to_string().replace("{\"", "").contains('{'), "{claims:?}");
            assert_eq!(claims["sub"], facts.subject());
            assert!(facts.validity().0 > 0 && facts.validity().1 > 0);
        }
    }

    /// Nearly everything is text in the platforms' claims, ids and booleans too; GitLab's runner is the exception.
    #[test]
    fn claims_have_the_platforms_types() {
        for platform in SimulatedPlatform::ALL.iter().copied().filter(|platform| platform.has_identity()) {
            for (name, value) in Facts::new(platform, "http://127.0.0.1:4001").claims() {
                match name.as_str() {
                    "runner_id" => assert!(value.is_u64()),
                    "groups_direct" => assert!(value.is_array()),
                    _ => assert!(value.is_string(), "{name}"),
                }
            }
        }
    }
}
