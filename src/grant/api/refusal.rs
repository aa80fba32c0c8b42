//! The answer to a request that was refused.
//!
//! Equinix answers in two spellings (`error_code` in its document, `errorCode` elsewhere) and on any status: a wrong login
//! has been seen with 500. So what the body says counts first, and the status only where there is no such body.

use crate::error::{Code, Error};
use crate::grant::server_error::ServerError;
use crate::http::Response;
use crate::text::{brief, quote};

use super::Request;

/// The code of Equinix's API for a login that failed.
const LOGIN_FAILURE: &str = "S1006";

/// The words of an account that is locked.
const LOCKED: [&str; 2] = ["locked", "lockout"];

/// Tells whether an answer says that a login failed: such an answer counts for the lock of the account.
#[cfg(feature = "service")]
pub fn refuses_login(response: &Response) -> bool {
    let said = ServerError::read(response);
    let is_said = said.is_api() || said.error.is_some();
    matches!(response.status, 401 | 403)
        || is_said && (is_login(&said, response.status) || LOCKED.iter().any(|word| said.says(word)))
}

fn is_login(said: &ServerError, status: u16) -> bool {
    said.code.as_deref() == Some(LOGIN_FAILURE)
        || matches!(said.error.as_deref(), Some("invalid_client" | "invalid_grant" | "unauthorized_client"))
        || status == 401
        || ["login failure", "invalid client", "client id"].iter().any(|word| said.says(word))
}

impl Request<'_> {
    /// Says what an answer with another status than 200 means.
    pub(super) fn refusal(&self, response: &Response) -> Error {
        let said = ServerError::read(response);
        let status = response.status;
        let code = self.code(response, &said);
        let origin = self.endpoint.origin();
        let message = match code {
            Code::RateLimited => "the Equinix API asks to slow down (429)".to_owned(),
            Code::ServerError => format!("the Equinix API failed ({status})"),
            Code::ApiEndpointNotFound => format!("there is no {} at {origin} ({status})", self.path),
            Code::ApiRedirect => format!(
                "the Equinix API answered with a redirect ({status}) to {}, which was not followed",
                response.redirect_target()
            ),
            Code::ApiUnexpectedStatus => {
                format!("the Equinix API answered with the unexpected status {status}")
            }
            Code::ApiAccountLocked => format!("the Equinix API says that the account is locked ({status})"),
            Code::ApiGrantRetired => format!("the Equinix API no longer knows this grant ({status})"),
            Code::ApiLoginFailed => format!("the Equinix API refused the login ({status})"),
            _ => format!("the Equinix API refused the request ({status})"),
        };
        self.describe(Error::new(code, message), response, &said)
    }

    fn code(&self, response: &Response, said: &ServerError) -> Code {
        let status = response.status;
        if said.is_api() || said.error.is_some() {
            let says = |words: &[&str]| words.iter().any(|word| said.says(word));
            if says(&LOCKED) {
                return Code::ApiAccountLocked;
            }
            let retired = says(&["retired", "deprecated", "no longer", "not supported", "unsupported"]);
            if self.is_retired && (retired || said.error.as_deref() == Some("unsupported_grant_type")) {
                return Code::ApiGrantRetired;
            }
            if is_login(said, status) {
                return Code::ApiLoginFailed;
            }
            if status != 429 {
                return Code::ApiDenied;
            }
        }
        match (response.transient_code(), status) {
            (Some(Code::RateLimited), _) => Code::RateLimited,
            (Some(_), _) => Code::ServerError,
            (None, 404 | 405 | 410) => Code::ApiEndpointNotFound,
            (None, 300..=399) => Code::ApiRedirect,
            (None, 401) => Code::ApiLoginFailed,
            (None, 400..=499) => Code::ApiDenied,
            _ => Code::ApiUnexpectedStatus,
        }
    }

    /// Adds what the server said, for the person who reads this and for the support ticket.
    fn describe(&self, error: Error, response: &Response, said: &ServerError) -> Error {
        let mut error = error.with_http_status(response.status);
        if let Some(name) = &said.error {
            error = error.with_oauth_error(brief(name));
        }
        match &said.description {
            Some(description) => error = error.with_detail("Equinix says", quote(description)),
            None if !response.body.is_empty() => {
                let kind = response.media_type().map_or_else(|| "no media type".to_owned(), quote);
                error = error.with_detail("answer", format!("{} bytes of {kind}", response.body.len()));
            }
            None => {}
        }
        for (header, id) in response.request_ids() {
            error = error.with_detail(header, quote(id));
        }
        error.with_detail("endpoint", format!("{}{}", self.endpoint.origin(), self.path))
    }
}
