//! Readings of any answer, variable, file or output of a helper program by every platform, for the fuzz target and a test.

use crate::child::Helper;
use crate::env::Env;
use crate::error::Error;
use crate::http::Response;
use crate::http::url::Url;
use crate::secret::Secret;

use super::facts::{ReadyToken, Supply};
use super::{PLATFORMS, Platform, TokenLocation, Wanted, aws, file, google, helper_program};

/// A platform's reading.
pub struct Reading {
    /// The id of the platform.
    pub id: &'static str,
    /// True if an endpoint is asked, so that the status counts.
    pub is_answer: bool,
    /// The token, or what is wrong.
    pub outcome: Result<Secret, Error>,
}

/// Lets every platform read these bytes in its own way. An endpoint sends them with this status and media type, and with or without
/// the header that it was sent.
pub fn all(status: u16, media_type: &str, bytes: &[u8], returns_header: bool) -> Vec<Reading> {
    let response = Response::fixed(status, media_type, bytes, returns_header);
    let of = |platform: &&dyn Platform| {
        let id = platform.facts().id;
        let is_answer = matches!(platform.facts().supply, Supply::Endpoint(_)) || id == "google";
        let outcome = match &platform.facts().supply {
            Supply::Endpoint(endpoint) => answer(
                &response,
                |response| endpoint.read(response),
                |response, url| endpoint.refusals().explain(response, url, 0).error,
            ),
            Supply::Variable(token) => variable(token, bytes)?,
            Supply::File => file::token(bytes, "a file"),
            Supply::Request => on_request(id, &response)?,
        };
        Some(Reading { id, is_answer, outcome })
    };
    PLATFORMS.iter().filter_map(of).collect()
}

fn answer(
    response: &Response,
    read: impl Fn(&Response) -> Result<Secret, Error>,
    explain: impl Fn(&Response, &Url) -> Error,
) -> Result<Secret, Error> {
    match (response.status, Url::parse("https://issuer.example/idtoken")) {
        (200, _) | (_, Err(_)) => read(response),
        (_, Ok(url)) => Err(explain(response, &url)),
    }
}

/// Reads what no variable can hold as if it were not there.
fn variable(token: &ReadyToken, bytes: &[u8]) -> Option<Result<Secret, Error>> {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.contains('\0'))?;
    let env = Env::fixed([("TOKEN", text)]);
    let location = TokenLocation { variable: Some("TOKEN".to_owned()), file: None };
    Some(token.read(&env, &Wanted { location, ..Wanted::default() }).map(|fetched| fetched.token))
}

/// The platforms with ways of their own.
fn on_request(id: &str, response: &Response) -> Option<Result<Secret, Error>> {
    const HELPER: Helper = Helper { program: "helper", variables: &[], beginnings: &[] };
    match id {
        "buildkite" => Some(helper_program::token(&HELPER, &response.body)),
        "aws" => Some(aws::read(&response.body)),
        "google" => {
            let url = Url::parse("https://issuer.example/idtoken").ok()?;
            Some(answer(
                response,
                |response| google::read(response, &url),
                |response, url| google::explain(response, url, 0).error,
            ))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::error::Code;

    #[test]
    fn every_platform_has_a_reader() {
        let ids: Vec<&str> =
            all(200, "application/json", b"a.b.c", true).iter().map(|reading| reading.id).collect();
        let platforms: Vec<&str> = PLATFORMS.iter().map(|platform| platform.facts().id).collect();
        assert_eq!(ids, platforms);
    }

    #[test]
    fn each_reads_its_own_form() {
        let read = |bytes: &[u8]| -> Vec<&'static str> {
            let readings = all(200, "application/json", bytes, true);
            let good =
                |reading: &Reading| reading.outcome.as_ref().is_ok_and(|token| token.reveal() == "a.b.c");
            readings.iter().filter(|reading| good(reading)).map(|reading| reading.id).collect()
        };
        assert_eq!(read(br#"{"value": "a.b.c"}"#), ["github", "forgejo", "vela"]);
        assert_eq!(read(br#"{"oidcToken": "a.b.c"}"#), ["azure-pipelines"]);
        assert_eq!(read(br#"{"WebIdentityToken": "a.b.c"}"#), ["aws"]);
        assert_eq!(read(b"a.b.c\n"), ["kubernetes", "buildkite", "google", "file"]);
    }

    proptest! {
        #[test]
        fn nothing_is_shown_of_what_may_be_a_token(text in "[A-Za-z0-9_.\"{}: -]{0,80}", status in prop::sample::select(vec![200_u16, 302, 403, 500])) {
            for Reading { id, is_answer, outcome } in all(status, "text/plain", text.as_bytes(), status % 2 == 0) {
                prop_assert!(!(is_answer && status != 200 && outcome.is_ok()), "{}: a refusal has a token", id);
                let Err(error) = outcome else { continue };
                let shown = format!("{} {:?}", error.message(), error.details());
                prop_assert!(!shown.contains(char::is_control), "{}: {}", id, shown);
                if status == 200 && error.code() != Code::TokenEnvUnexpanded {
                    let mut pieces = text.split(|c: char| !c.is_ascii_graphic()).filter(|piece| piece.len() >= 24);
                    prop_assert!(!pieces.any(|piece| shown.contains(piece)), "{}: {}", id, shown);
                }
            }
        }
    }
}
