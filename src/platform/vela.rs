//! Vela: <https://go-vela.github.io/docs/usage/open_id_connect/>.
//!
//! A step with `id_request` has a URL and a bearer token; a GET with the audience returns `{"token": "<ID token>"}`, or on older servers
//! `{"value": …}`. Without it both variables are absent.

use crate::env::Env;
use crate::error::{Code, Error, Stage};
use crate::http::Peer;
use crate::identity::claims::ExpectedIssuer;

use super::facts::{Audience, Facts, Supply};
use super::request::{self, RequestEndpoint};
use super::{Platform, inside_exec};

/// The variables of Vela's worker.
pub mod names {
    crate::env::variables! {
        /// `true` in every Vela step.
        VELA = "VELA";
        /// The Vela server: the issuer follows from it.
        VELA_ADDR = "VELA_ADDR";
        /// Vela's ID-token endpoint; set only with `id_request`.
        VELA_ID_TOKEN_REQUEST_URL = "VELA_ID_TOKEN_REQUEST_URL";
        /// The bearer for Vela's ID-token endpoint. A secret.
        VELA_ID_TOKEN_REQUEST_TOKEN = "VELA_ID_TOKEN_REQUEST_TOKEN";
        /// The number of this build.
        VELA_BUILD_NUMBER = "VELA_BUILD_NUMBER";
        /// `org/name` of the repository of this build.
        VELA_REPO_FULL_NAME = "VELA_REPO_FULL_NAME";
        /// The checkout of a Vela build: no token is written there.
        VELA_BUILD_WORKSPACE = "VELA_BUILD_WORKSPACE";
    }
}

/// Vela servers.
pub(super) struct Vela;

static FACTS: Facts = Facts {
    id: "vela",
    name: "Vela",
    markers: &[(names::VELA, "true")],
    variables: names::ALL,
    secrets: &[names::VELA_ID_TOKEN_REQUEST_TOKEN],
    leads: &[names::VELA_ID_TOKEN_REQUEST_URL],
    reserved: &["VELA_"],
    workspace: Some(names::VELA_BUILD_WORKSPACE),
    format: "env-file",
    supply: Supply::Endpoint(&ENDPOINT),
    audience: Audience::Required,
    renews: true,
    run: &[("build_number", names::VELA_BUILD_NUMBER), ("repo", names::VELA_REPO_FULL_NAME)],
    ..Facts::NEUTRAL
};

const ASK_FOR_IT: &str = "Add to the step:\n    id_request: write\nThe word becomes the claim request of the ID token. A container that the step starts must be given VELA_ID_TOKEN_REQUEST_URL and VELA_ID_TOKEN_REQUEST_TOKEN.";

const ENDPOINT: RequestEndpoint = RequestEndpoint {
    owner: "Vela",
    says: "Vela says",
    peer: Peer {
        name: "Vela's ID-token endpoint",
        stage: Stage::Identity,
        too_large: Code::IdTokenTooLarge,
        not_json: Code::IdTokenNotJson,
    },
    url: names::VELA_ID_TOKEN_REQUEST_URL,
    bearer: names::VELA_ID_TOKEN_REQUEST_TOKEN,
    missing: |env| {
        let message = "this step may not ask Vela for an ID token";
        inside_exec(Error::new(Code::IdTokenNotOffered, message).with_cure(ASK_FOR_IT), env)
    },
    incomplete: Code::IdTokenNotOffered,
    advice_on_incomplete: Some(ASK_FOR_IT),
    domain: None,
    server: names::VELA_ADDR,
    request: request::get,
    pairs: &[("audience", "an audience")],
    advice_on_url: "The worker sets this variable. Look for what changes it in the step's environment.",
    members: &["token", "value"],
    is_early: |_, _| false,
    advice: |status| match status {
        401 => Some(
            "The request token was not accepted. It is valid in this build only, and while the build runs.",
        ),
        404 => Some(
            "There is no such endpoint. Check that the version of the Vela server supports OpenID Connect.",
        ),
        _ => None,
    },
};

impl Platform for Vela {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn expected_issuer(&self, env: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        let issuer = |server: String| format!("{}/_services/token", server.trim_end_matches('/'));
        Ok(env.text(names::VELA_ADDR)?.map(|server| ExpectedIssuer::Exactly(issuer(server))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_issuer_is_below_the_server() {
        let issuer = |server: &str| Vela.expected_issuer(&Env::fixed([("VELA_ADDR", server)])).unwrap();
        let expected = ExpectedIssuer::Exactly("https://vela.example/_services/token".to_owned());
        assert_eq!(issuer("https://vela.example"), Some(expected.clone()));
        assert_eq!(issuer("https://vela.example/"), Some(expected));
        assert_eq!(issuer(""), None);
    }

    #[test]
    fn the_marker_is_exact() {
        let here = |value: &str| Vela.here(&Env::fixed([("VELA", value)])).is_here;
        assert!(here("true") && !here("True") && !here("1"));
    }
}
