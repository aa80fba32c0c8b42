//! A service whose own grant needs a stored secret, or that lacks what its grant needs.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::mcp::{GET, REFRESH};
use crate::support::random_text;
use crate::support::server::{Reply, Request, Server};
use crate::support::service::Setup;
use crate::support::sts::{SCOPE, Sts};

/// An API that gives a token for whatever comes, and a new refresh token with it.
fn api() -> Server {
    Server::start(|_: &Request| {
        Reply::json(&json!({
            "access_token": random_text(28), "token_timeout": "3599", "user_name": "octo-user",
            "token_type": "Bearer", "refresh_token": random_text(42), "refresh_token_timeout": "86400",
        }))
    })
}

/// A service with a client of its own at this API.
fn with_client(api: &Server, secret: &str) -> Setup {
    let setup = Setup::new().args(["--backend", "federated", "--api-endpoint", &api.url()]).secret(secret);
    setup.env("EQUINIX_API_CLIENTID", "octo-client").env("EQUINIX_API_CLIENTSECRET", secret)
}

/// The member of every answer that the API has given.
fn given(api: &Server, member: &str) -> Vec<String> {
    let replies = api.replies();
    let bodies = replies.iter().map(|reply| serde_json::from_slice::<Value>(reply.payload()).unwrap());
    bodies.map(|body| body[member].as_str().unwrap().to_owned()).collect()
}

#[test]
fn a_client_of_its_own_is_asked_for_once() {
    let api = api();
    let secret = random_text(30);
    let service = with_client(&api, &secret).start();
    assert_eq!(service.ready["backend"], "federated");
    let token = service.token().token();
    for _ in 0..10 {
        assert_eq!(service.token().token(), token);
    }
    let expected =
        json!({"client_id": "octo-client", "client_secret": secret, "grant_type": "client_credentials"});
    assert_eq!(api.requests().len(), 1);
    assert_eq!(api.requests()[0].json().unwrap(), expected);
    assert_eq!(given(&api, "access_token"), [token]);
    for refresh_token in given(&api, "refresh_token") {
        service.knows(&refresh_token);
    }
    // It has no identity to be looked at.
    service.gets_error("inspect", json!({}), "ambient-not-ci");
}

#[test]
fn a_client_without_an_identity_is_enough() {
    let api = api();
    let secret = random_text(30);
    let setup = Setup::new().args(["--api-endpoint", &api.url()]).secret(&secret);
    let setup = setup.env("EQUINIX_API_CLIENTID", "octo-client").env("EQUINIX_API_CLIENTSECRET", &secret);
    let service = setup.start();
    assert_eq!(service.ready["backend"], "federated");
    service.token().is(200);
    for refresh_token in given(&api, "refresh_token") {
        service.knows(&refresh_token);
    }
}

#[test]
fn a_secret_that_was_refused_is_not_sent_again() {
    let api = Server::start(|_: &Request| {
        Reply::status(500).json_body(&json!({
            "errorDomain": "apps-security", "errorTitle": "Login Failure", "errorCode": 500_038,
            "errorMessage": "Client Id and Client Secret combination is invalid",
        }))
    });
    let secret = random_text(30);
    let service = with_client(&api, &secret).start();
    for _ in 0..10 {
        let answer = service.token();
        answer.refuses(400, "api-login-failed");
        assert!(!answer.text().contains(&secret));
        service.refresh().refuses(400, "api-login-failed");
        service.gets_error(GET, json!({}), "api-login-failed");
        service.gets_error(REFRESH, json!({}), "api-login-failed");
    }
    assert_eq!(service.ask_as_it_is(&Ask::get("/readyz")).is(503).value()["code"], "api-login-failed");
    assert_eq!(api.requests().len(), 1, "an account locks after five wrong attempts");
}

#[test]
fn a_refresh_token_that_was_replaced_is_in_its_file() {
    let api = api();
    let (secret, old) = (random_text(30), random_text(42));
    let setup = with_client(&api, &secret).secret(&old);
    let path = setup.path("refresh-token");
    fs::write(&path, &old).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let service =
        setup.args(["--grant", "refresh-token", "--refresh-token-file", path.to_str().unwrap()]).start();
    service.token().is(200);
    let new = given(&api, "refresh_token");
    for refresh_token in &new {
        service.knows(refresh_token);
    }
    assert_eq!(fs::read_to_string(&path).unwrap().trim_end(), new[0]);
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    assert_eq!(api.requests().len(), 1);
    assert_eq!(api.requests()[0].json().unwrap()["refresh_token"], old);
    drop(service);
}

#[test]
fn the_sandbox_knows_the_grants_with_a_stored_secret() {
    let service = Setup::sandbox().args(["--grant", "client-credentials"]).start();
    service.token().is(200);
}

#[test]
fn what_a_grant_lacks_is_said_at_the_start() {
    let sts = Sts::start();
    for (setup, code) in [
        (Setup::new().args(["--backend", "federated"]), "cfg-scope-missing"),
        (Setup::new().args(["--backend", "federated", "--scope", SCOPE]), "ambient-not-ci"),
        (Setup::federated(&sts).without("--scope"), "cfg-scope-missing"),
        (Setup::new().args(["--grant", "client-credentials"]), "client-credentials-missing"),
        (Setup::new().args(["--grant", "nonsense"]), "cfg-value-invalid"),
        (Setup::federated(&sts).with("--sts-endpoint", "http://sts.example"), "insecure-url"),
        (Setup::passing("http://api.example"), "insecure-url"),
        (Setup::passing("https://user:password@api.example"), "cfg-endpoint-invalid"),
    ] {
        let (status, stderr) = setup.run();
        assert_ne!(status, 0, "{stderr}");
        assert!(stderr.contains(&format!("error[{code}]: ")), "{code}: {stderr}");
        assert!(!stderr.contains("\"event\":\"ready\""), "{stderr}");
    }
    assert_eq!(sts.requests().len(), 0);
}
