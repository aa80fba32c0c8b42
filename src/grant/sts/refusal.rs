//! The answer to an exchange that was refused (RFC 6749 section 5.2, RFC 8693 section 2.2.2), and what to compare then.

use crate::error::{Code, Error, Exit};
use crate::grant::scope;
use crate::grant::server_error::ServerError;
use crate::http::Response;
use crate::identity::{issuer, stability};
use crate::retry::Failure;
use crate::text::{brief, quote};

use super::{Asked, Proof, SCOPE};

impl Asked<'_> {
    /// Says what an answer with another status than 200 means.
    pub(super) fn refusal(&self, response: &Response, now: i64) -> Failure {
        let status = response.status;
        let oauth = ServerError::read(response);
        if let Some(code) = response.transient_code() {
            // Equinix's own client takes a conflict for something that passes.
            let code = if status == 409 { Code::StsConflict } else { code };
            let message = match code {
                Code::RateLimited => "the STS asks to slow down (429)".to_owned(),
                Code::StsConflict => "the STS answered with a conflict (409)".to_owned(),
                _ => format!("the STS failed ({status})"),
            };
            let error = self.describe(Error::new(code, message), response, &oauth);
            return Failure::transient(error, response.retry_after(now));
        }
        let path = self.path;
        let origin = self.sts.endpoint.origin();
        let error = match status {
            404 | 405 | 410 => {
                let other = self.sts.api.other();
                let message = format!("there is no {} at {origin}{path} ({status})", self.endpoint);
                let error = Error::new(Code::StsEndpointNotFound, message);
                if path == self.sts.api.path() {
                    error.with_cure(format!(
                        "Try --sts-api {} ({}), and check --sts-endpoint. {} was not sent to a second path.",
                        other.id(),
                        other.path(),
                        self.proof.sentence()
                    ))
                } else {
                    error.with_cure("Check --sts-endpoint. This list is part of the STS's API v1, which not every customer has.")
                }
            }
            300..=399 => {
                let to = response.redirect_target();
                Error::new(
                    Code::StsRedirect,
                    format!("the STS answered with a redirect ({status}) to {to}, which was not followed"),
                )
            }
            400..=499 => self.denial(status, &oauth),
            _ => Error::new(
                Code::StsUnexpectedStatus,
                format!("the STS answered with the unexpected status {status}"),
            ),
        };
        Failure::permanent(self.describe(error, response, &oauth))
    }

    /// Adds what the administrator has to compare: what was sent, as it was sent, and what the server said.
    fn describe(&self, error: Error, response: &Response, oauth: &ServerError) -> Error {
        let permanent = error.code().exit() == Exit::Refused;
        let mut error = error.with_http_status(response.status);
        if let Some(name) = &oauth.error {
            error = error.with_oauth_error(brief(name));
        }
        match &oauth.description {
            Some(description) => {
                let label = if matches!(self.proof, Proof::Handle(_)) { "it says" } else { "STS says" };
                error = error.with_detail(label, quote(description));
            }
            None if oauth.error.is_none() && !response.body.is_empty() => {
                let kind = response.media_type().map_or_else(|| "no media type".to_owned(), quote);
                error = error.with_detail("answer", format!("{} bytes of {kind}", response.body.len()));
            }
            None => {}
        }
        if let Some(challenge) = response.challenge().filter(|_| response.status == 401) {
            error = error.with_detail("challenge", quote(challenge));
        }
        for (header, id) in response.request_ids() {
            error = error.with_detail(header, quote(id));
        }
        if !permanent {
            return error;
        }
        if let Some(claims) = self.proof.claims() {
            let audience = claims.audience().unwrap_or_default();
            error = error
                .with_detail("issuer", quote(claims.issuer()))
                .with_detail("audience", audience.iter().map(|a| quote(a)).collect::<Vec<_>>().join(", "))
                .with_detail("subject", quote(claims.subject()));
        }
        let (label, value) = self.target;
        error = error.with_detail(label, quote(value));
        // What was odd about it before is most likely what is wrong with it.
        for warning in scope::check(value).ok().filter(|_| label == SCOPE).unwrap_or_default() {
            error = error.with_detail("note", warning);
        }
        match self.proof.claims().and_then(|claims| issuer::other_name(claims.subject())) {
            Some(note) => error.with_detail("note", note),
            None => error,
        }
    }

    /// Says a refusal in OAuth's terms (RFC 6749 section 5.2, RFC 8693 section 2.2.2).
    fn denial(&self, status: u16, oauth: &ServerError) -> Error {
        let name = oauth.error.as_deref();
        let code = match name {
            Some("invalid_scope") => Code::StsScopeDenied,
            None if matches!(status, 401 | 403) => Code::StsForbidden,
            _ => Code::StsDenied,
        };
        let asked = self.noun;
        let what = match name {
            _ if matches!(self.proof, Proof::Handle(_)) => {
                format!("the equinix-wif exec --renew around this command hands out no token ({status})")
            }
            Some(name) => format!("the STS refused the {asked}: {} ({status})", quote(name)),
            None => format!("the STS refused the {asked} ({status})"),
        };
        let error = Error::new(code, what);
        // Whatever else may be wrong, this subject cannot have been granted.
        if let Some(unstable) = self.proof.claims().and_then(stability::unstable)
            && matches!(name, Some("access_denied" | "invalid_grant" | "invalid_request"))
        {
            let cure = format!("{} Otherwise: {NOT_ACCEPTED}", unstable.advice());
            return error.with_detail("cause", unstable.sentence()).with_cure(cure);
        }
        let hint = match (&self.proof, name) {
            (_, Some("invalid_target")) => {
                "Equinix does not know the target of this scope. Compare the ERN or id in it with the access policy or organization at Equinix."
            }
            (_, Some("unsupported_grant_type")) => {
                "This endpoint does not know the grant. Check --grant, --sts-endpoint and --sts-api."
            }
            (Proof::Handle(_), Some("invalid_scope")) => SCOPE_NOT_ALLOWED,
            (Proof::Handle(_), _) => HANDLE_NOT_ACCEPTED,
            (Proof::Caller(_), _) if code == Code::StsScopeDenied => return error,
            (Proof::Caller(_), _) => CALLER_NOT_ACCEPTED,
            // RFC 8693 section 2.2.2 uses invalid_request for a subject token that is not acceptable.
            (_, Some("invalid_request" | "invalid_grant" | "invalid_token")) => NOT_ACCEPTED,
            (_, Some("invalid_client" | "unauthorized_client")) => {
                "Equinix did not accept the caller. Token exchange needs no client; check --sts-endpoint and whether STS is enabled for your organization (it is in limited availability)."
            }
            // An error that tells no more can have any of these causes. A status alone may come from something else.
            (_, Some(_)) if code == Code::StsDenied => NOT_ACCEPTED,
            (_, None) if status == 400 => NOT_ACCEPTED,
            _ => return error,
        };
        error.with_cure(hint)
    }
}

/// The advice for a caller with client credentials that Equinix did not accept.
const SCOPE_NOT_ALLOWED: &str = "This runs inside equinix-wif exec --renew, which hands out tokens for its own scope only. Start it with --renew-scope and this scope as well.";

const HANDLE_NOT_ACCEPTED: &str = "This runs inside equinix-wif exec --renew, which has no token to hand out. Read what it said on standard error: the cause is there.";

const CALLER_NOT_ACCEPTED: &str = "Equinix did not accept the classic access token that was sent along, or its user may not have this scope. Check whether STS is enabled for your organization (it is in limited availability), and whether EQUINIX_API_TOKEN, if it is set, is still valid.";

/// The advice that lists what Equinix compares an ID token with, in its order, each with the value that this job presented.
const NOT_ACCEPTED: &str = "Compare exactly, and in this order: issuer with the OIDC provider's issuerLocation; audience with its trustedClientIds; subject with the principal of the grant; scope with what is granted. Check as well that the provider is ENABLED and not SUSPENDED.";
