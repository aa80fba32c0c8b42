//! The user's expectations of the claims (`--expect CLAIM=VALUE`), checked before the STS is asked.
//!
//! An exact comparison, no patterns: a guard that stops a deploy from the wrong branch, environment or repository should
//! not be cleverer than the person who reads it.

use serde_json::Value;

use crate::error::{Code, Error};
use crate::identity::jwt::UnverifiedClaims;
use crate::identity::near_miss::near_miss;
use crate::json;
use crate::text::quote;

/// A claim and the values that it may have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expectation {
    /// The claim's name; dots lead into nested objects.
    pub claim: String,
    /// The values of which the claim must have any.
    pub values: Vec<String>,
}

/// Reads expectations, one `CLAIM=VALUE` each. Several of the same claim are alternatives.
pub fn parse<'t>(texts: impl IntoIterator<Item = &'t str>, source: &str) -> Result<Vec<Expectation>, Error> {
    let mut all: Vec<Expectation> = Vec::new();
    for text in texts {
        let invalid = |why: &str| {
            Error::new(
                Code::CfgValueInvalid,
                format!("{source} has an expectation that cannot be read: {why}"),
            )
            .with_detail("expected", "CLAIM=VALUE, e.g. ref=refs/heads/main")
            .with_detail("found", quote(text))
            .with_cure("Write one expectation a flag, or one a line in the variable.")
        };
        let (claim, value) = text.split_once('=').ok_or_else(|| invalid("there is no ="))?;
        let claim = claim.trim();
        if claim.is_empty() || claim.len() > 256 || claim.chars().any(char::is_control) {
            return Err(invalid("it does not begin with the name of a claim"));
        }
        match all.iter_mut().find(|known| known.claim == claim) {
            Some(known) => known.values.push(value.to_owned()),
            None => all.push(Expectation { claim: claim.to_owned(), values: vec![value.to_owned()] }),
        }
    }
    Ok(all)
}

/// Checks whether all expectations hold; the error lists every one that does not.
pub fn check(expectations: &[Expectation], token: &UnverifiedClaims) -> Result<(), Error> {
    let unmet: Vec<(&Expectation, String)> = expectations
        .iter()
        .filter_map(|expectation| Some((expectation, mismatch(expectation, token)?)))
        .collect();
    let message = match unmet.as_slice() {
        [] => return Ok(()),
        [(one, _)] => format!("the claim {} is not what is expected", quote(&one.claim)),
        several => format!("{} claims are not what is expected", several.len()),
    };
    let mut error = Error::new(Code::ClaimExpectation, message);
    let has_pattern =
        |value: &String| value.contains(['*', '?']) || (value.starts_with('^') && value.ends_with('$'));
    if unmet.iter().any(|(expectation, _)| expectation.values.iter().any(has_pattern)) {
        error = error.with_cure("There are no patterns: a value is compared exactly. Give each value that may be there with an --expect of its own; several for the same claim are alternatives.");
    }
    for (expectation, found) in unmet {
        let values: Vec<_> = expectation.values.iter().map(|value| quote(value)).collect();
        error = error
            .with_detail("claim", quote(&expectation.claim))
            .with_detail("expected", values.join(" or "))
            .with_detail("found", found);
    }
    Err(error)
}

/// Returns the value that was found instead, or `None` when the expectation holds.
fn mismatch(expectation: &Expectation, token: &UnverifiedClaims) -> Option<String> {
    let Some(value) = token.claims.iter().find_map(|(name, value)| member(name, value, &expectation.claim))
    else {
        return Some("(the token has no such claim)".to_owned());
    };
    let found: Vec<String> = match value {
        Value::Array(members) => members.iter().filter_map(text).collect(),
        other => match text(other) {
            Some(text) => vec![text],
            None => return Some(format!("{}, which cannot be compared", json::kind(other))),
        },
    };
    if found.iter().any(|found| expectation.values.contains(found)) {
        return None;
    }
    let shown = found.iter().map(|text| quote(text)).collect::<Vec<_>>().join(", ");
    let shown = if shown.is_empty() { "(an empty list)".to_owned() } else { shown };
    let miss =
        expectation.values.iter().find_map(|value| found.iter().find_map(|found| near_miss(value, found)));
    Some(miss.map_or_else(|| shown.clone(), |miss| format!("{shown}. {miss}")))
}

/// The value at a dotted path that begins with this member. Names may themselves contain dots
/// (`oidc.circleci.com/project-id`), so every way to read the path is tried.
fn member<'v>(name: &str, value: &'v Value, path: &str) -> Option<&'v Value> {
    let rest = path.strip_prefix(name)?;
    if rest.is_empty() {
        return Some(value);
    }
    let inner = rest.strip_prefix('.')?;
    value.as_object()?.iter().find_map(|(name, value)| member(name, value, inner))
}

/// Texts as they are; numbers and booleans by their JSON text.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(value) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn outcome(texts: &[&str]) -> Result<(), Error> {
        let claims = json!({
            "ref": "refs/heads/main", "sub": "repo:o@1/r@2:ref:refs/heads/main", "runner_id": 7, "protected": true,
            "aud": ["a", "b"], "nothing": null, "none": [], "repository_owner": "Octo-Org",
            "kubernetes.io": {"namespace": "prod", "pod": {"name": "x"}}, "a": {"b.c": "deep"}, "a.b": {"d": "other"},
            "environment": "eu%3Aprod", "iss": "https://issuer.example/"
        });
        let token =
            UnverifiedClaims { header: serde_json::Map::new(), claims: claims.as_object().unwrap().clone() };
        check(&parse(texts.iter().copied(), "--expect")?, &token)
    }

    #[test]
    fn expectations_hold_by_value_member_or_alternative() {
        for text in [
            &["ref=refs/heads/main"][..],
            &["ref=refs/heads/other", "ref=refs/heads/main"],
            &["runner_id=7", "protected=true"],
            &["aud=b"],
            &["kubernetes.io.namespace=prod", "kubernetes.io.pod.name=x"],
            &["a.b.c=deep", "a.b.d=other"],
            &[],
        ] {
            assert!(outcome(text).is_ok(), "{text:?}: {:?}", outcome(text));
        }
    }

    #[test]
    fn a_failure_shows_what_was_found_and_the_near_miss() {
        for (text, found) in [
            ("ref=main", "\"refs/heads/main\". They differ only in refs/heads/ or refs/tags/ in front."),
            ("ref=refs/heads/Main", "upper and lower case"),
            ("ref=refs/heads", "only its beginning"),
            ("ref=", "\"refs/heads/main\""),
            ("sub=repo:o/r:ref:refs/heads/main", "@id"),
            ("environment=eu:prod", "%3A"),
            ("iss=https://issuer.example", "a slash at the end"),
            ("repository_owner=octo-org", "upper and lower case"),
            ("runner_id=8", "\"7\""),
            ("protected=True", "upper and lower case"),
            ("aud=c", "\"a\", \"b\""),
            ("none=x", "(an empty list)"),
            ("nothing=null", "null, which cannot be compared"),
            ("kubernetes.io=prod", "an object, which cannot be compared"),
            ("missing=x", "(the token has no such claim)"),
            ("kubernetes.io.missing=x", "(the token has no such claim)"),
            ("ref.x=1", "(the token has no such claim)"),
        ] {
            let error = outcome(&[text]).unwrap_err();
            assert_eq!(error.code(), Code::ClaimExpectation);
            assert!(error.details()[2].1.contains(found), "{text}: {:?}", error.details());
        }
    }

    #[test]
    fn every_unmet_expectation_is_listed() {
        let error = outcome(&["ref=x", "protected=true", "aud=c", "ref=y"]).unwrap_err();
        assert_eq!(error.message(), "2 claims are not what is expected");
        assert_eq!(error.details().len(), 6);
        assert_eq!(error.details()[1], ("expected", "\"x\" or \"y\"".to_owned()));
    }

    #[test]
    fn what_is_no_expectation_is_refused() {
        for text in ["ref", "=x", " =x", "", "a\u{7}b=x"] {
            assert_eq!(outcome(&[text]).unwrap_err().code(), Code::CfgValueInvalid, "{text:?}");
        }
        assert_eq!(parse(["a=b=c"], "x").unwrap()[0].values, ["b=c"]);
    }
}
