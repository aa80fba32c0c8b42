//! Checks the claims of an ID token before it is sent anywhere.
//!
//! These checks can stop a token from going to the wrong place and turn a vague refusal into an exact message. They
//! grant nothing: the STS verifies the signature and decides. Everything is compared byte by byte; a near miss fails
//! as well, but with a hint that names it.

use crate::error::{Code, Error};
use crate::identity::audience;
use crate::identity::expect::{self, Expectation};
use crate::identity::issuer;
use crate::identity::jwt::UnverifiedClaims;
use crate::identity::near_miss::near_miss;
use crate::identity::stability;
use crate::identity::times;
use crate::json;
use crate::text::quote;

/// The largest difference between two clocks that counts for nothing, in seconds.
pub const LEEWAY: i64 = 60;

/// The strictness with which claims are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Validation {
    /// Only what the safety of outputs needs, and what the user expects explicitly.
    Off,
    /// Wrong is an error, odd is a warning.
    #[default]
    Basic,
    /// Odd is an error as well.
    Strict,
}

impl Validation {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Off, Self::Basic, Self::Strict];

    /// The value of `--validation`.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Basic => "basic",
            Self::Strict => "strict",
        }
    }
}

/// Something odd: a warning, or with `--validation strict` an error of this code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The code of the error; `None` when strictness changes nothing.
    pub code: Option<Code>,
    /// The oddity in words.
    pub text: String,
}

impl Finding {
    /// A warning whatever the strictness.
    pub fn warning(text: impl Into<String>) -> Self {
        Self { code: None, text: text.into() }
    }

    /// Returns the text of a warning, or with strict validation the error.
    pub fn judge(self, validation: Validation) -> Result<String, Error> {
        match self.code {
            Some(code) if validation == Validation::Strict => Err(Error::new(code, self.text)),
            _ => Ok(self.text),
        }
    }

    /// A warning that `strict` makes an error.
    pub fn strict(code: Code, text: impl Into<String>) -> Self {
        Self { code: Some(code), text: text.into() }
    }
}

/// The issuer that a platform's tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedIssuer {
    /// Exactly this one.
    Exactly(String),
    /// This one, or one that has a single path segment more: GitHub's enterprises can have an issuer of their own.
    WithSegment(String),
}

/// A claim that ties the token to this run, with the variable that it has to agree with.
#[derive(Debug, Clone)]
pub struct RunBinding {
    /// The claim.
    pub claim: &'static str,
    /// The variable that the platform sets for the job.
    pub variable: &'static str,
    /// The variable's value.
    pub value: String,
}

/// The expectations that the claims are compared with.
#[derive(Debug, Default)]
pub struct Expected {
    /// The audience that `aud` must contain; without one, `aud` must only not be another service's.
    pub audience: Option<String>,
    /// The issuer; `None` when the platform cannot tell.
    pub issuer: Option<ExpectedIssuer>,
    /// The run that the token should belong to.
    pub run: Vec<RunBinding>,
    /// The user's expectations.
    pub expectations: Vec<Expectation>,
    /// The strictness for all but the user's expectations.
    pub validation: Validation,
}

/// The time, as this machine and the platform see it.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// This machine's clock (Unix time).
    pub local: i64,
    /// The platform's clock minus this machine's, in seconds, if the platform answered with a `Date`.
    pub skew: Option<i64>,
}

impl Now {
    /// The best guess of the true time: the platform's clock where it contradicts ours.
    pub fn best(self) -> i64 {
        match self.skew {
            Some(skew) if skew.unsigned_abs() > LEEWAY.unsigned_abs() => self.local.saturating_add(skew),
            _ => self.local,
        }
    }
}

/// The single checks by name, in the order in which they count.
pub fn checks(
    token: &UnverifiedClaims,
    expected: &Expected,
    now: Now,
) -> Vec<(&'static str, Result<Vec<Finding>, Error>)> {
    let mut outcomes = Vec::new();
    if expected.validation != Validation::Off {
        // An issuer that the user expects takes the place of the platform's.
        if !expected.expectations.iter().any(|expectation| expectation.claim == "iss") {
            outcomes.push(("issuer", check_issuer(token, expected.issuer.as_ref()).map(|()| Vec::new())));
        }
        let mut gather = |name, check: &dyn Fn(&mut Vec<Finding>) -> Result<(), Error>| {
            let mut findings = Vec::new();
            outcomes.push((name, check(&mut findings).map(|()| findings)));
        };
        gather("audience", &|findings| audience::check(token, expected.audience.as_deref(), findings));
        gather("times", &|findings| times::check(token, now, findings));
        gather("run", &|findings| {
            check_run(token, &expected.run, findings);
            findings.extend(issuer::oddities(token));
            Ok(())
        });
        if let Some(unstable) = stability::unstable(token) {
            outcomes.push(("subject", Ok(vec![Finding::warning(unstable.warning())])));
        }
    }
    if !expected.expectations.is_empty() {
        outcomes.push(("expectations", expect::check(&expected.expectations, token).map(|()| Vec::new())));
    }
    outcomes
}

fn check_run(token: &UnverifiedClaims, run: &[RunBinding], findings: &mut Vec<Finding>) {
    for bound in run {
        if let Some(found) = token.scalar(bound.claim).filter(|found| *found != bound.value) {
            let text = format!(
                "the ID token says {} {}, but {} is {}: it may come from another run",
                bound.claim,
                quote(&found),
                bound.variable,
                quote(&bound.value)
            );
            findings.push(Finding::strict(Code::ClaimRunBinding, text));
        }
    }
}

/// Makes sure that there is a subject, since Equinix grants to one. A token without one names nobody (OpenID Connect Core section 2 requires it).
pub fn check_subject(token: &UnverifiedClaims) -> Result<(), Error> {
    if !token.subject().is_empty() {
        return Ok(());
    }
    let found = token.claims.get("sub").map_or("(no sub claim)", json::kind);
    Err(Error::new(Code::IdTokenMalformed, "the ID token names no subject")
        .with_detail("expected", "a sub claim with a text")
        .with_detail("found", found))
}

fn check_issuer(token: &UnverifiedClaims, expected: Option<&ExpectedIssuer>) -> Result<(), Error> {
    let found = token.issuer();
    let fail = |message: &str, expected: String| {
        let mut error = Error::new(Code::ClaimIss, message).with_detail("expected", expected.clone());
        error = error
            .with_detail("found", if found.is_empty() { "(no iss claim)".to_owned() } else { quote(found) });
        match near_miss(expected.trim_matches('"'), found) {
            Some(miss) => error.with_cure(format!("{miss} Issuers are compared exactly.")),
            None => error,
        }
    };
    let (base, holds) = match expected {
        None if found.is_empty() => {
            return Err(fail("the ID token names no issuer", "an iss claim".to_owned()));
        }
        None => return Ok(()),
        Some(ExpectedIssuer::Exactly(issuer)) => (issuer, found == issuer),
        Some(ExpectedIssuer::WithSegment(issuer)) => {
            let segment = found.strip_prefix(issuer.as_str()).and_then(|rest| rest.strip_prefix('/'));
            // An enterprise's slug. What has only dots is a way up in a path, and no name.
            let is_segment = |s: &str| {
                s.bytes().any(|b| b != b'.')
                    && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
            };
            (issuer, found == issuer || segment.is_some_and(is_segment))
        }
    };
    if holds {
        Ok(())
    } else {
        Err(fail("the ID token comes from another issuer than this platform's", quote(base)))
    }
}

/// Checks whether the token's issuer is one that the platform or the user names, so that its keys may be believed.
pub fn is_issuer_known(
    token: &UnverifiedClaims,
    expected: Option<&ExpectedIssuer>,
    expectations: &[Expectation],
) -> bool {
    match expectations.iter().find(|expectation| expectation.claim == "iss") {
        Some(expectation) => expectation.values.iter().any(|value| value == token.issuer()),
        None => expected.is_some() && check_issuer(token, expected).is_ok(),
    }
}

/// The issuer whose keys will be asked for, as far as that is known before there is a token.
pub fn likely_issuer<'a>(
    expected: Option<&'a ExpectedIssuer>,
    expectations: &'a [Expectation],
) -> Option<&'a str> {
    match expectations.iter().find(|expectation| expectation.claim == "iss") {
        Some(expectation) => expectation.values.first().map(String::as_str),
        None => expected.map(|issuer| match issuer {
            ExpectedIssuer::Exactly(url) | ExpectedIssuer::WithSegment(url) => url.as_str(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn token(change: Value) -> UnverifiedClaims {
        let mut claims = json!({
            "iss": "https://token.actions.githubusercontent.com", "sub": "repo:o/r:ref:refs/heads/main",
            "aud": "equinix", "iat": NOW, "nbf": NOW - 600, "exp": NOW + 300, "run_id": "7"
        });
        for (name, value) in change.as_object().unwrap() {
            if value.is_null() {
                claims.as_object_mut().unwrap().remove(name);
            } else {
                claims[name] = value.clone();
            }
        }
        UnverifiedClaims { header: serde_json::Map::new(), claims: claims.as_object().unwrap().clone() }
    }

    fn expected() -> Expected {
        Expected {
            audience: Some("equinix".into()),
            issuer: Some(ExpectedIssuer::WithSegment("https://token.actions.githubusercontent.com".into())),
            run: vec![RunBinding { claim: "run_id", variable: "GITHUB_RUN_ID", value: "7".into() }],
            ..Expected::default()
        }
    }

    /// Returns what all checks find, or the first error.
    fn check(token: &UnverifiedClaims, expected: &Expected, now: Now) -> Result<Vec<Finding>, Error> {
        let outcomes = checks(token, expected, now).into_iter().map(|(_, outcome)| outcome);
        Ok(outcomes.collect::<Result<Vec<_>, _>>()?.concat())
    }

    fn at(change: Value, local: i64, skew: Option<i64>) -> Result<Vec<String>, Error> {
        let findings = check(&token(change), &expected(), Now { local, skew })?;
        Ok(findings.into_iter().map(|finding| finding.text).collect())
    }

    fn code(change: Value) -> &'static str {
        at(change, NOW, None).map_or_else(|error| error.code().name(), |_| "ok")
    }

    #[test]
    fn a_fresh_token_passes_without_a_word() {
        assert_eq!(at(json!({}), NOW, None).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_token_without_a_subject_is_refused() {
        assert!(check_subject(&token(json!({}))).is_ok());
        for subject in [Value::Null, json!(""), json!(7), json!(["repo:o/r"])] {
            let error = check_subject(&token(json!({"sub": subject}))).unwrap_err();
            assert_eq!(error.code(), Code::IdTokenMalformed, "{subject}");
        }
    }

    #[test]
    fn the_issuer_is_compared_to_the_letter() {
        let base = "https://token.actions.githubusercontent.com";
        for (issuer, outcome) in [
            (json!(base), "ok"),
            (json!(format!("{base}/acme-corp")), "ok"),
            (json!(format!("{base}/acme/corp")), "claim-iss"),
            (json!(format!("{base}/..")), "claim-iss"),
            (json!(format!("{base}/")), "claim-iss"),
            (json!(format!("{base}.evil.example")), "claim-iss"),
            (json!("https://Token.actions.githubusercontent.com"), "claim-iss"),
            (json!("https://gitlab.com"), "claim-iss"),
            (json!(1), "claim-iss"),
            (Value::Null, "claim-iss"),
        ] {
            assert_eq!(code(json!({"iss": issuer})), outcome, "{issuer}");
        }
        let exact = Expected {
            issuer: Some(ExpectedIssuer::Exactly("https://gitlab.com".into())),
            ..Expected::default()
        };
        let now = Now { local: NOW, skew: None };
        assert!(check(&token(json!({"iss": "https://gitlab.com"})), &exact, now).is_ok());
        let error = check(&token(json!({"iss": "http://gitlab.com"})), &exact, now).unwrap_err();
        assert_eq!(error.details()[1], ("found", "\"http://gitlab.com\"".to_owned()));
        assert!(error.cure().starts_with("They differ only in the scheme"), "{}", error.cure());
        let any = Expected::default();
        assert!(check(&token(json!({"iss": "https://anything"})), &any, now).is_ok());
        assert_eq!(check(&token(json!({"iss": null})), &any, now).unwrap_err().code(), Code::ClaimIss);
    }

    #[test]
    fn the_audience_is_a_text_or_a_list_and_must_hold_the_expected_one() {
        for (audience, outcome) in [
            (json!("equinix"), "ok"),
            (json!(["equinix"]), "ok"),
            (json!(["x", "equinix"]), "ok"),
            (json!("Equinix"), "claim-aud"),
            (json!("equinix "), "claim-aud"),
            (json!(["x"]), "claim-aud"),
            (json!([]), "claim-aud"),
            (json!(""), "claim-aud"),
            (json!(["equinix", 1]), "claim-aud"),
            (json!({"equinix": 1}), "claim-aud"),
            (Value::Null, "claim-aud"),
        ] {
            assert_eq!(code(json!({"aud": audience})), outcome, "{audience}");
        }
        let error = at(json!({"aud": "https://Equinix/"}), NOW, None).unwrap_err();
        assert_eq!(
            error.cure(),
            "They differ only in upper and lower case and in a slash at the end and in the scheme (https://, http:// or none). Audiences are compared exactly."
        );
        assert_eq!(
            error.details(),
            [("expected", "\"equinix\"".to_owned()), ("found", "\"https://Equinix/\"".to_owned())]
        );
        assert_eq!(
            at(json!({"aud": ["equinix", "x"]}), NOW, None).unwrap().len(),
            1,
            "several audiences are warned of"
        );
    }

    #[test]
    fn without_an_expected_audience_other_services_tokens_are_still_refused() {
        let any = Expected::default();
        for (audience, holds) in [
            (json!("my-equinix-client"), true),
            (json!(["sts.amazonaws.com", "my-equinix-client"]), true),
            (json!("sts.amazonaws.com"), false),
            (json!(["sigstore", "pypi"]), false),
            (json!("https://github.com/octo-org"), false),
            (json!("*"), false),
        ] {
            let result = check(&token(json!({"aud": audience})), &any, Now { local: NOW, skew: None });
            assert_eq!(result.is_ok(), holds, "{audience}");
        }
    }

    #[test]
    fn times_have_sixty_seconds_of_leeway() {
        for (local, outcome) in [
            (NOW + 300, "ok"),
            (NOW + 360, "ok"),
            (NOW + 361, "claim-expired"),
            (NOW - 300, "ok"),
            (NOW - 301, "claim-not-yet-valid"),
        ] {
            let found = at(json!({}), local, None).map_or_else(|e| e.code().name(), |_| "ok");
            assert_eq!(found, outcome, "{}", local - NOW);
        }
        assert_eq!(at(json!({}), NOW - 61, None).unwrap().len(), 1, "slightly early is a warning");
        assert_eq!(at(json!({}), NOW - 60, None).unwrap().len(), 0);
    }

    #[test]
    fn a_wrong_clock_is_told_from_a_wrong_token() {
        let ahead = at(json!({}), NOW + 7200, Some(-7200)).unwrap();
        assert_eq!(
            ahead,
            [
                "the ID token looks expired only because this machine's clock is about 7200 s ahead; the STS decides"
            ]
        );
        let behind = at(json!({}), NOW - 7200, Some(7200)).unwrap();
        assert_eq!(
            behind,
            [
                "the ID token looks not yet valid only because this machine's clock is about 7200 s behind; the STS decides"
            ]
        );
        let truly = at(json!({}), NOW + 7200, Some(0)).unwrap_err();
        assert_eq!(truly.code(), Code::ClaimExpired);
        assert_eq!(truly.details()[0].1, "2027-01-15T08:05:00Z (6900 s ago)");
    }

    #[test]
    fn times_must_be_plausible_numbers() {
        for (change, outcome) in [
            (json!({"exp": 1_800_000_300.5}), "ok"),
            (json!({"exp": 18.000_003e8}), "ok"),
            (json!({"iat": null, "nbf": null}), "ok"),
            (json!({"exp": null}), "claim-time-invalid"),
            (json!({"exp": "1800000300"}), "claim-time-invalid"),
            (json!({"exp": -1}), "claim-time-invalid"),
            (json!({"exp": 1e30}), "claim-time-invalid"),
            (json!({"exp": (NOW + 300) * 1000}), "claim-time-invalid"),
            (json!({"exp": NOW + times::TEN_YEARS + 1}), "claim-time-invalid"),
            (json!({"exp": NOW}), "claim-time-invalid"),
            (json!({"iat": true}), "claim-time-invalid"),
            (json!({"nbf": [1]}), "claim-time-invalid"),
            (json!({"iat": 0, "nbf": 0, "exp": 1}), "claim-expired"),
        ] {
            assert_eq!(code(change.clone()), outcome, "{change}");
        }
    }

    #[test]
    fn another_run_s_token_is_warned_of() {
        assert_eq!(
            at(json!({"run_id": 8}), NOW, None).unwrap(),
            ["the ID token says run_id \"8\", but GITHUB_RUN_ID is \"7\": it may come from another run"]
        );
        assert!(at(json!({"run_id": null}), NOW, None).unwrap().is_empty(), "an older server does not tell");
    }

    #[test]
    fn strictness_concerns_what_is_odd_and_off_leaves_only_the_user_s_expectations() {
        let now = Now { local: NOW, skew: None };
        let odd = token(json!({"run_id": "8", "aud": ["equinix", "x"]}));
        let codes: Vec<_> = check(&odd, &expected(), now).unwrap().into_iter().map(|c| c.code).collect();
        assert_eq!(codes, [Some(Code::ClaimAud), Some(Code::ClaimRunBinding)]);
        let wrong = token(json!({"iss": "https://x", "aud": "x", "exp": 1, "run_id": "8"}));
        let off = Expected { validation: Validation::Off, ..expected() };
        assert_eq!(check(&wrong, &off, now).unwrap(), []);
        let expectations = expect::parse(["sub=x"], "--expect").unwrap();
        let expecting = Expected { expectations, ..off };
        assert_eq!(check(&wrong, &expecting, now).unwrap_err().code(), Code::ClaimExpectation);
    }

    #[test]
    fn an_expected_issuer_takes_the_place_of_the_platform_s() {
        let now = Now { local: NOW, skew: None };
        let expecting = |issuer: &str| Expected {
            expectations: expect::parse([format!("iss={issuer}").as_str()], "--expect").unwrap(),
            ..expected()
        };
        let own = token(json!({"iss": "https://issuer.example"}));
        assert!(check(&own, &expecting("https://issuer.example"), now).is_ok());
        let error = check(&own, &expecting("https://other.example"), now).unwrap_err();
        assert_eq!(error.code(), Code::ClaimExpectation);
    }
}
