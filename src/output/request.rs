//! Requests of the program that runs this one: Terraform's in a query on standard input, a Kubernetes client's in a
//! variable. Here it is only read; a setting from a request stands between the flags and the variables
//! (`cli::resolve`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::env::names;
use crate::error::{Code, Error};
use crate::json;
use crate::text::quote;

/// A program that says what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// The data source `external`: a JSON object on standard input.
    Terraform,
    /// client-go: `KUBERNETES_EXEC_INFO`.
    Kubernetes,
}

/// The settings that a caller asks for.
#[derive(Debug, Default)]
pub struct Request {
    /// The place of the request, for messages and the report.
    pub source: &'static str,
    /// Settings by their flags.
    pub settings: BTreeMap<&'static str, String>,
    /// The version of the answer.
    pub api_version: Option<&'static str>,
}

/// The longest query, in bytes. A real one has a few hundred.
pub const QUERY_LIMIT: usize = 64 * 1024;

/// A setting that a request may name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name in the request.
    pub name: String,
    /// The flag that it stands for.
    pub flag: &'static str,
}

/// The versions of `ExecCredential` that client-go takes, the newest first.
pub const EXEC_CREDENTIAL_VERSIONS: [&str; 2] =
    ["client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"];

/// The `kind` of the question and of the answer.
pub const EXEC_CREDENTIAL: &str = "ExecCredential";

/// The error for a query that is longer than [`QUERY_LIMIT`].
pub fn too_long() -> Error {
    invalid("the query on standard input is too long")
        .with_detail("expected", format!("at most {} KiB", QUERY_LIMIT / 1024))
}

/// Reads the query of Terraform's data source `external`, which may have these members and no others.
pub fn terraform_query(bytes: &[u8], known: &[Member]) -> Result<Request, Error> {
    const SOURCE: &str = "the query";
    if bytes.len() > QUERY_LIMIT {
        return Err(too_long());
    }
    let members = json::parse_object(bytes)
        .map_err(|why| invalid(&format!("the query on standard input cannot be read: {why}")))?;
    let mut settings = BTreeMap::new();
    for (name, value) in &members {
        let Some(member) = known.iter().find(|member| member.name == *name) else {
            let known: Vec<_> = known.iter().map(|member| member.name.as_str()).collect();
            return Err(invalid(&format!("the query has a member {} that is not known", quote(name)))
                .with_detail("known", known.join(", ")));
        };
        settings.extend(text(SOURCE, name, value)?.map(|value| (member.flag, value)));
    }
    Ok(Request { source: SOURCE, settings, api_version: None })
}

/// Reads what a Kubernetes client puts into `KUBERNETES_EXEC_INFO`. The cluster's configuration is there only when the
/// kubeconfig says `provideClusterInfo: true`; those of its members that are not known belong to others.
pub fn kubernetes_exec_info(variable: Option<&str>, known: &[Member]) -> Result<Request, Error> {
    const SOURCE: &str = names::KUBERNETES_EXEC_INFO;
    let variable = variable.ok_or_else(|| invalid(&format!("{SOURCE} is not set")))?;
    let info = json::parse_object(variable.as_bytes())
        .map_err(|why| invalid(&format!("{SOURCE} cannot be read: {why}")))?;
    let member = |name: &str| info.get(name).and_then(Value::as_str).unwrap_or_default();
    let version = member("apiVersion");
    let found = |error: Error, text: &str| error.with_detail("found", quote(text));
    if member("kind") != EXEC_CREDENTIAL {
        let error = invalid(&format!("{SOURCE} asks for something else than a credential"))
            .with_detail("expected", format!("kind {EXEC_CREDENTIAL}"));
        return Err(found(error, member("kind")));
    }
    let api_version =
        EXEC_CREDENTIAL_VERSIONS.into_iter().find(|known| *known == version).ok_or_else(|| {
            let error = invalid(&format!("{SOURCE} asks for a version that is not known"))
                .with_detail("expected", EXEC_CREDENTIAL_VERSIONS.join(" or "));
            found(error, version)
        })?;
    let none = Map::new();
    let config = match info.get("spec").and_then(|spec| spec.pointer("/cluster/config")) {
        None | Some(Value::Null) => &none,
        Some(Value::Object(config)) => config,
        Some(other) => {
            let kind = json::kind(other);
            return Err(invalid(&format!(
                "{SOURCE} has {kind} as the cluster's config instead of an object"
            )));
        }
    };
    let mut settings = BTreeMap::new();
    for Member { name, flag } in known {
        if let Some(value) = config.get(name) {
            settings.extend(text(SOURCE, name, value)?.map(|value| (*flag, value)));
        }
    }
    Ok(Request { source: SOURCE, settings, api_version: Some(api_version) })
}

/// A member's text; an empty one counts as not given, like an empty variable.
fn text(source: &str, name: &str, value: &Value) -> Result<Option<String>, Error> {
    match value {
        Value::String(text) => Ok(Some(text.clone()).filter(|text| !text.is_empty())),
        other => {
            let kind = json::kind(other);
            Err(invalid(&format!("{source} has {kind} as {} instead of a string", quote(name))))
        }
    }
}

fn invalid(message: &str) -> Error {
    Error::new(Code::CfgRequestInvalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(names: &[(&str, &'static str)]) -> Vec<Member> {
        names.iter().map(|(name, flag)| Member { name: (*name).to_owned(), flag }).collect()
    }

    fn terraform_query(bytes: &[u8]) -> Result<Request, Error> {
        super::terraform_query(
            bytes,
            &members(&[("scope", "--scope"), ("audience", "--audience"), ("min_ttl", "--min-ttl")]),
        )
    }

    fn kubernetes_exec_info(variable: Option<&str>) -> Result<Request, Error> {
        super::kubernetes_exec_info(variable, &members(&[("audience", "--audience"), ("scope", "--scope")]))
    }

    fn why(outcome: Result<Request, Error>) -> String {
        let error = outcome.unwrap_err();
        assert_eq!(error.code(), Code::CfgRequestInvalid);
        error.message().to_owned()
    }

    #[test]
    fn a_query_is_an_object_of_known_texts() {
        let request = terraform_query(br#"{"scope":"s","min_ttl":"5","audience":""}"#).unwrap();
        let settings: Vec<_> = request.settings.iter().map(|(flag, value)| (*flag, value.as_str())).collect();
        assert_eq!(settings, [("--min-ttl", "5"), ("--scope", "s")]);
        assert!(terraform_query(b"{}").unwrap().settings.is_empty());
        for (query, reason) in [
            ("", "it is empty"),
            ("[]", "an array instead of a JSON object"),
            (r#"{"scope":"a","scope":"b"}"#, "occurs twice"),
            ("{} {}", "something follows"),
            ("\u{feff}{}", "byte-order mark"),
            (r#"{"scope":1}"#, "the query has a number as \"scope\" instead of a string"),
            (r#"{"scope":null}"#, "the query has null as \"scope\" instead of a string"),
            (r#"{"output":"x"}"#, "a member \"output\" that is not known"),
            (r#"{"force":"true"}"#, "a member \"force\" that is not known"),
        ] {
            assert!(why(terraform_query(query.as_bytes())).contains(reason), "{query}");
        }
        assert!(terraform_query(&vec![b' '; QUERY_LIMIT]).unwrap_err().message().contains("empty"));
        assert!(why(terraform_query(&vec![b' '; QUERY_LIMIT + 1])).contains("too long"));
    }

    #[test]
    fn the_version_is_echoed_and_the_cluster_may_name_its_audience() {
        for version in EXEC_CREDENTIAL_VERSIONS {
            let info = format!(
                r#"{{"apiVersion":"{version}","kind":"ExecCredential","spec":{{"interactive":false,"cluster":{{"server":"https://k","config":{{"apiVersion":"x/v1","audience":"a","other":1}}}}}}}}"#
            );
            let request = kubernetes_exec_info(Some(&info)).unwrap();
            assert_eq!(request.api_version, Some(version));
            let settings: Vec<_> = request.settings.into_iter().collect();
            assert_eq!(settings, [("--audience", "a".to_owned())]);
        }
        let info = |spec: &str| {
            format!(
                r#"{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","spec":{spec}}}"#
            )
        };
        for spec in ["{}", "null", r#"{"cluster":{}}"#, r#"{"cluster":{"config":null}}"#] {
            assert!(kubernetes_exec_info(Some(&info(spec))).unwrap().settings.is_empty(), "{spec}");
        }
        for (variable, reason) in [
            (None, "KUBERNETES_EXEC_INFO is not set"),
            (Some("v1".to_owned()), "cannot be read"),
            (Some("{}".to_owned()), "something else than a credential"),
            (Some(info("{}").replace("/v1", "/v2")), "a version that is not known"),
            (Some(info(r#"{"cluster":{"config":[]}}"#)), "an array as the cluster's config"),
            (Some(info(r#"{"cluster":{"config":{"audience":["a"]}}}"#)), "an array as \"audience\""),
        ] {
            assert!(why(kubernetes_exec_info(variable.as_deref())).contains(reason), "{variable:?}");
        }
    }
}
