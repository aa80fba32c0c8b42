//! The `aud` claim: whom an ID token is meant for.

use crate::error::{Code, Error};
use crate::identity::claims::Finding;
use crate::identity::jwt::UnverifiedClaims;
use crate::identity::near_miss::near_miss;
use crate::json;
use crate::text::quote;

/// Holds the audience against the expected one; without one, it must only not be another service's.
pub(super) fn check(
    token: &UnverifiedClaims,
    expected: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Result<(), Error> {
    let Some(found) = token.audience().filter(|members| !members.is_empty()) else {
        let kind = token.claims.get("aud").map_or("there is none", json::kind);
        return Err(Error::new(
            Code::ClaimAud,
            format!("the ID token's aud claim is not a text or a list of texts: {kind}"),
        ));
    };
    let shown = || found.iter().map(|member| quote(member)).collect::<Vec<_>>().join(", ");
    match expected {
        Some(audience) if found.contains(&audience) => {}
        Some(audience) => {
            let error = Error::new(Code::ClaimAud, "the ID token is meant for another audience")
                .with_detail("expected", quote(audience))
                .with_detail("found", shown());
            return Err(match found.iter().find_map(|member| near_miss(audience, member)) {
                Some(miss) => error.with_cure(format!("{miss} Audiences are compared exactly.")),
                None => error,
            });
        }
        None => {
            let others: Vec<_> = found.iter().filter_map(|member| other_service(member)).collect();
            if let (Some(service), true) = (others.first(), others.len() == found.len()) {
                let message = format!("the ID token is meant for {service}, not for Equinix");
                return Err(Error::new(Code::ClaimAud, message).with_detail("found", shown()).with_cure(
                    "Give the token an audience of its own for Equinix (in GitLab: aud: under id_tokens:), and pass it as --audience as well.",
                ));
            }
        }
    }
    if found.len() > 1 {
        let text = format!(
            "the ID token is meant for {} audiences at once ({}): each of them could use it at the others",
            found.len(),
            shown()
        );
        findings.push(Finding::strict(Code::ClaimAud, text));
    }
    Ok(())
}

/// The service that is known to use this audience, if any. A token for it must not be sent to Equinix, and a token
/// for Equinix should not be usable there.
pub fn other_service(audience: &str) -> Option<&'static str> {
    const WHOLE: [(&str, &str); 7] = [
        ("*", "everybody"),
        ("sts.amazonaws.com", "AWS"),
        ("api://AzureADTokenExchange", "Azure"),
        ("sigstore", "Sigstore"),
        ("pypi", "PyPI"),
        ("testpypi", "TestPyPI"),
        ("https://kubernetes.default.svc", "the Kubernetes API"),
    ];
    const PREFIX: [(&str, &str); 7] = [
        ("https://github.com/", "GitHub's default audience, which everybody shares who did not choose one"),
        ("https://iam.googleapis.com/", "Google Cloud"),
        ("//iam.googleapis.com/", "Google Cloud"),
        ("npm:", "npm"),
        ("https://buildkite.com/", "Buildkite's default audience"),
        ("ari:cloud:bitbucket:", "Bitbucket's default audience"),
        ("https://kubernetes.default.svc.", "the Kubernetes API"),
    ];
    let whole = WHOLE.iter().find(|(text, _)| *text == audience);
    whole.or_else(|| PREFIX.iter().find(|(text, _)| audience.starts_with(text))).map(|(_, service)| *service)
}
