//! The shape of an Equinix scope.
//!
//! Only the shape is checked. The set of prefixes has grown before, so an unknown one passes with a warning; what
//! cannot be a scope at all, or is a well-known mix-up, is refused with the cure.

use crate::error::{Code, Error};
use crate::identity::near_miss::closest;
use crate::text::quote;

/// The prefixes that Equinix documents, with what follows the colon.
const PREFIXES: [(&str, &str); 3] = [
    ("roleassignments", "<organization id>"),
    ("projectpolicies", "<project id>"),
    ("orgpolicies", "<organization id>"),
];

/// The parts of an ERN after `ern`.
const ERN: &str = "ern:<cloud>:<service>:<region>:<project>:<resource type>:<resource id>";

/// Checks a scope: one or more tokens of RFC 6749 section 3.3, joined by single spaces. The result are warnings.
pub fn check(scope: &str) -> Result<Vec<String>, Error> {
    if scope.len() > 4096 {
        return Err(Error::new(Code::CfgScopeInvalid, "the scope is longer than 4096 characters"));
    }
    let is_allowed = |c: char| matches!(c, '\x21' | '\x23'..='\x5b' | '\x5d'..='\x7e');
    if !scope.chars().all(|c| is_allowed(c) || c == ' ') {
        return Err(invalid(scope, "holds a character that no scope may hold"));
    }
    // What every example has in its place is the most likely mistake.
    if scope.contains(['<', '>']) {
        return Err(invalid(scope, "still has a placeholder in it")
            .with_cure("Put your own id where the angle brackets are, and leave them out."));
    }
    let mut warnings = Vec::new();
    for token in scope.split(' ') {
        if token.is_empty() {
            return Err(
                invalid(scope, "has a space too many").with_cure("Join two scopes by exactly one space.")
            );
        }
        warnings.extend(check_token(token)?);
        warnings.extend(odd(token));
    }
    Ok(warnings)
}

/// Returns a warning of characters that the syntax allows and no known scope has.
fn odd(token: &str) -> Option<String> {
    let names_variable = |(at, _): (usize, &str)| {
        let behind = token.get(at + 1..).unwrap_or_default();
        behind.starts_with(|c: char| c == '{' || c == '(' || c == '_' || c.is_ascii_alphabetic())
    };
    if token.match_indices('$').any(names_variable) || token.contains("{{") {
        return Some(format!(
            "the scope {} holds what looks like a variable that was not expanded",
            quote(token)
        ));
    }
    token.contains(',').then(|| {
        format!("the scope {} has a comma in it; several scopes are joined by a space", quote(token))
    })
}

fn check_token(token: &str) -> Result<Option<String>, Error> {
    let Some((prefix, rest)) = token.split_once(':') else {
        return Err(invalid(token, "has no prefix"));
    };
    if prefix == "ern" {
        return check_ern(token).map(|()| None);
    }
    if prefix == "accesspolicy" {
        return Err(invalid(token, "is the id of an access policy, not its ERN").with_cure(
            "Use the policy's ERN, which begins with ern:. The portal and the API show it beside the id.",
        ));
    }
    if PREFIXES.iter().any(|(known, _)| *known == prefix) {
        if rest.is_empty() {
            return Err(invalid(token, "ends after the prefix")
                .with_cure(format!("Put the id behind the colon: {}.", forms())));
        }
        return Ok(None);
    }
    let close = closest(prefix, PREFIXES.iter().map(|(known, _)| *known).chain(["ern"]));
    let advice = close.map_or_else(
        || format!("known forms are {ERN} and {}", forms()),
        |known| format!("did you mean {known}:?"),
    );
    Ok(Some(format!("the scope {} has a prefix that this program does not know; {advice}", quote(token))))
}

fn check_ern(token: &str) -> Result<(), Error> {
    let parts: Vec<&str> = token.split(':').collect();
    if parts.len() != 7 {
        let found = format!("has {} parts after ern: instead of 6", parts.len() - 1);
        return Err(invalid(token, &found).with_cure(format!("An ERN has the form {ERN}.")));
    }
    if parts.iter().any(|part| part.is_empty()) {
        return Err(invalid(token, "has an empty part").with_cure(format!("An ERN has the form {ERN}.")));
    }
    Ok(())
}

fn invalid(shown: &str, why: &str) -> Error {
    Error::new(Code::CfgScopeInvalid, format!("the scope {} {why}", quote(shown)))
}

fn forms() -> String {
    PREFIXES.iter().map(|(prefix, rest)| format!("{prefix}:{rest}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documented_forms_pass_in_silence() {
        for scope in [
            "ern:eqix:equinix/sts:global:abc-123:SomeType:res-id",
            "roleassignments:8b1c5d1e-0000-4000-8000-0123456789ab",
            "projectpolicies:p",
            "orgpolicies:o",
            "orgpolicies:o roleassignments:o",
        ] {
            assert_eq!(check(scope).unwrap(), Vec::<String>::new(), "{scope}");
        }
    }

    #[test]
    fn what_cannot_be_a_scope_is_refused_with_the_cure() {
        for (scope, reason, cure) in [
            ("roleassignments", "has no prefix", "access-policy ERN"),
            ("8b1c5d1e-0000-4000-8000-0123456789ab", "has no prefix", "roleassignments:<org-id>"),
            ("roleassignments:", "ends after the prefix", "roleassignments:<organization id>"),
            ("accesspolicy:deploy", "is the id of an access policy, not its ERN", "begins with ern:"),
            ("ern:eqix:sts:global:p:t", "has 5 parts", "ern:<cloud>"),
            ("ern:ern:eqix:sts:global:p:t:r", "has 7 parts", "ern:<cloud>"),
            ("ern:eqix::global:p:t:r", "has an empty part", "ern:<cloud>"),
            ("orgpolicies:o  roleassignments:o", "has a space too many", "exactly one space"),
            (" orgpolicies:o", "has a space too many", "exactly one space"),
            ("roleassignments:o\nx", "holds a character", "access-policy ERN"),
            ("roleassignments:\"o\"", "holds a character", "access-policy ERN"),
            ("roleassignments:ö", "holds a character", "access-policy ERN"),
            ("roleassignments:<org-id>", "still has a placeholder", "leave them out"),
        ] {
            let error = check(scope).unwrap_err();
            assert_eq!(error.code(), Code::CfgScopeInvalid);
            assert!(error.message().contains(reason), "{scope}: {error}");
            assert!(error.cure().contains(cure), "{scope}: {}", error.cure());
        }
        assert!(check(&format!("roleassignments:{}", "x".repeat(5000))).is_err());
    }

    #[test]
    fn unexpanded_variables_and_commas_are_warned_of() {
        for (scope, says) in [
            ("roleassignments:${ORG_ID}", "not expanded"),
            ("roleassignments:$ORG_ID", "not expanded"),
            ("orgpolicies:o roleassignments:$(org)", "not expanded"),
            ("roleassignments:${{vars.ORG}}", "not expanded"),
            ("orgpolicies:o,roleassignments:o", "joined by a space"),
        ] {
            let warnings = check(scope).unwrap();
            assert!(warnings.len() == 1 && warnings[0].contains(says), "{scope}: {warnings:?}");
        }
        assert_eq!(check("roleassignments:a$1").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn an_unknown_prefix_passes_with_a_warning_and_a_guess() {
        for (scope, guess) in [
            ("roleassignment:o", "did you mean roleassignments:?"),
            ("roleasignments:o", "did you mean roleassignments:?"),
            ("RoleAssignments:o", "did you mean roleassignments:?"),
            ("orgploicies:o", "did you mean orgpolicies:?"),
            ("urn:x", "did you mean ern:?"),
            ("futurepolicies:o", "known forms are"),
        ] {
            let warnings = check(scope).unwrap();
            assert_eq!(warnings.len(), 1, "{scope}");
            assert!(warnings[0].contains(guess), "{warnings:?}");
        }
    }
}
