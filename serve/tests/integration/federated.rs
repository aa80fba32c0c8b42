//! REST on a service that obtains tokens itself: what is asked and answered, and what happens while there is no token.

use std::thread;

use serde_json::json;

use crate::support::client::Ask;
use crate::support::server::Reply;
use crate::support::service::{Service, Setup};
use crate::support::sts::{SCOPE, Sts, refusal, success};
use crate::support::{random_text, until};

const TOKEN: &str = "/oauth2/v1/token";
const REFRESH: &str = "/oauth2/v1/refreshaccesstoken";
const STS: [&str; 2] = ["/use/token", "/v1/token"];
const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// The fields that Equinix's clients send.
fn fields<'a>(handle: &'a str, scope: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("grant_type", EXCHANGE),
        ("scope", scope),
        ("subject_token", handle),
        ("subject_token_type", ID_TOKEN),
    ]
}

fn exchange(service: &Service, path: &str) -> Ask {
    Ask::form(path, &fields(&service.bearer, SCOPE))
}

fn is_ready(service: &Service) -> bool {
    service.ask_as_it_is(&Ask::get("/readyz")).status == 200
}

/// A service that has its first token.
fn with_token(sts: &Sts) -> Service {
    let service = Setup::federated(sts).start();
    service.logs("renewed", 1);
    until("it is ready", || is_ready(&service).then_some(()));
    service
}

#[test]
fn the_answer_has_the_names_and_texts_of_the_api() {
    let service = Setup::sandbox().start();
    let answer = service.token();
    let value = answer.is(200).value();
    let mut names: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["access_token", "token_timeout", "token_type", "user_name"]);
    assert_eq!((&value["token_type"], &value["user_name"]), (&json!("Bearer"), &json!("equinix-wif")));
    let left: u64 = value["token_timeout"].as_str().expect("a text").parse().unwrap();
    assert!((3500..=3600).contains(&left), "{left}");
    assert_eq!(service.token().token(), answer.token(), "it is kept");
}

#[test]
fn without_an_identity_nothing_is_federated() {
    let service = Setup::new().start();
    assert_eq!(service.ready["backend"], "pass-through");
    let sts = Sts::start();
    assert_eq!(Setup::federated(&sts).start().ready["backend"], "federated");
    assert_eq!(Setup::sandbox().start().ready["backend"], "federated");
}

#[test]
fn the_bearer_counts_in_the_header_and_as_the_secret_of_its_own_client() {
    let service = Setup::sandbox().start();
    let with = |id: &str, secret: &str| json!({"client_id": id, "client_secret": secret});
    for path in [TOKEN, REFRESH] {
        let own = service.ask_as_it_is(&Ask::json(path, &with("equinix-wif", &service.bearer)));
        assert_eq!(own.token(), service.token().token());
        let both = service.ask(Ask::json(path, &with("equinix-wif", &random_text(30))));
        assert_eq!(both.token(), own.token(), "the header is enough");
        let both = service.ask(Ask::json(path, &with("equinix-wif", &service.bearer)));
        assert_eq!(both.token(), own.token());
        service.ask(Ask::json(path, &json!({}))).is(200);
    }
}

#[test]
fn a_wrong_bearer_is_refused_with_the_name_of_the_service() {
    let service = Setup::sandbox().start();
    let wrong = format!("{}.", &service.bearer[..service.bearer.len() - 1]);
    service.knows(&wrong);
    for path in [TOKEN, REFRESH] {
        let empty = || Ask::json(path, &json!({}));
        let client =
            |id: &str, secret: &str| Ask::json(path, &json!({"client_id": id, "client_secret": secret}));
        for ask in [
            empty(),
            empty().bearer(&wrong),
            empty().bearer(""),
            client("equinix-wif", &wrong),
            client("equinix-wif", ""),
            client("other", &service.bearer),
            Ask::json(path, &json!({"client_secret": service.bearer})),
        ] {
            let answer = service.ask_as_it_is(&ask);
            answer.refuses(401, "serve-unauthorized");
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"equinix-wif-serve\""));
        }
    }
}

#[test]
fn other_clients_and_grants_are_refused() {
    let service = Setup::sandbox().start();
    let secret = random_text(30);
    service.knows(&secret);
    for path in [TOKEN, REFRESH] {
        let other = json!({"client_id": "somebody", "client_secret": secret});
        service.ask(Ask::json(path, &other)).refuses(403, "serve-foreign-client");
        let empty = json!({"client_id": "", "client_secret": ""});
        service.ask(Ask::json(path, &empty)).refuses(403, "serve-foreign-client");
        let password = json!({"grant_type": "password", "user_name": "u", "user_password": secret});
        service.ask(Ask::json(path, &password)).refuses(400, "serve-grant-unsupported");
    }
}

#[test]
fn a_new_token_is_forced_at_most_once_in_ten_seconds() {
    let sts = Sts::start();
    let service = with_token(&sts);
    let first = service.token().token();
    for _ in 0..20 {
        assert_eq!(service.refresh().token(), first, "it came a moment ago");
    }
    assert_eq!(sts.requests().len(), 1);
    // The pause is over when another one comes.
    let second =
        until("a new token comes", || Some(service.refresh().token()).filter(|token| *token != first));
    assert_eq!(sts.issued(), [first, second.clone()]);
    assert_eq!(service.token().token(), second, "it is the one for everybody");
    for _ in 0..20 {
        assert_eq!(service.refresh().token(), second);
    }
    assert_eq!(sts.requests().len(), 2);
}

#[test]
fn it_is_an_sts_for_clients_that_know_the_handle() {
    let sts = Sts::start();
    let service = with_token(&sts);
    let token = service.token().token();
    for path in STS {
        let answer = service.ask_as_it_is(&exchange(&service, path));
        assert_eq!(answer.token(), token);
        let value = answer.value();
        assert_eq!(value["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
        assert_eq!((&value["token_type"], &value["scope"]), (&json!("Bearer"), &json!(SCOPE)));
        assert!((3500..=3600).contains(&value["expires_in"].as_u64().unwrap()), "{value}");
        assert_eq!(value.as_object().unwrap().len(), 5, "{value}");
        let without_scope = fields(&service.bearer, SCOPE).into_iter().filter(|(name, _)| *name != "scope");
        let ask = Ask::form(path, &without_scope.collect::<Vec<_>>());
        assert_eq!(service.ask_as_it_is(&ask).token(), token);
    }
    assert_eq!(sts.requests().len(), 1);
}

#[test]
fn the_sts_refuses_what_is_not_for_it() {
    let service = Setup::sandbox().start();
    let scope = "roleassignments:00000000-0000-4000-8000-000000000000";
    let wrong = random_text(47);
    service.knows(&wrong);
    for path in STS {
        let change = |name: &'static str, value: &'static str| {
            let mut all = fields(&service.bearer, SCOPE);
            all.retain(|(found, _)| *found != name);
            all.push((name, value));
            service.ask_as_it_is(&Ask::form(path, &all))
        };
        change("grant_type", "client_credentials").refuses_oauth(400, "unsupported_grant_type");
        change("grant_type", "").refuses_oauth(400, "unsupported_grant_type");
        change("subject_token_type", "urn:x").refuses_oauth(400, "invalid_request");
        change("subject_token", "").refuses_oauth(401, "invalid_client");
        let answer = service.ask_as_it_is(&Ask::form(path, &fields(&wrong, SCOPE)));
        answer.refuses_oauth(401, "invalid_client");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"equinix-wif-serve\""));
        let header = service.ask(Ask::form(path, &fields("", SCOPE)));
        header.refuses_oauth(401, "invalid_client");
        service
            .ask_as_it_is(&Ask::form(path, &fields(&service.bearer, scope)))
            .refuses_oauth(400, "invalid_scope");
        let twice = [fields(&service.bearer, SCOPE), vec![("subject_token", &service.bearer)]].concat();
        service.ask_as_it_is(&Ask::form(path, &twice)).refuses_oauth(400, "invalid_request");
    }
}

#[test]
fn a_service_that_passes_requests_on_is_no_sts() {
    let service = Setup::sandbox().args(["--backend", "pass-through"]).start();
    for path in STS {
        service.ask(exchange(&service, path)).is(404);
        service.ask_as_it_is(&exchange(&service, path)).is(401);
    }
}

#[test]
fn two_hundred_callers_at_once_share_one_exchange() {
    let sts = Sts::start().hold();
    let service = Setup::federated(&sts).start();
    sts.is_asked(1);
    let mut callers: Vec<_> = (0..200)
        .map(|number| {
            let ask = match number % 3 {
                0 => Ask::json(TOKEN, &json!({})).bearer(&service.bearer),
                1 => Ask::json(REFRESH, &json!({})).bearer(&service.bearer),
                _ => exchange(&service, STS[0]),
            };
            let mut caller = service.rest().connect();
            caller.send(&ask.wire(&service.rest().host()));
            caller
        })
        .collect();
    service.ask_as_it_is(&Ask::get("/healthz")).is(200);
    assert_eq!(service.ask_as_it_is(&Ask::get("/readyz")).is(503).value()["code"], "starting");
    sts.release();
    let token = callers[0].answer().token();
    for caller in &mut callers[1..] {
        assert_eq!(caller.answer().token(), token);
    }
    service.knows(&token);
    assert_eq!(sts.issued(), [token]);
    assert!(is_ready(&service));
    // The log is written after the answer.
    service.logs("hand-out", 200);
    assert_eq!(sts.requests().len(), 1);
}

#[test]
fn whoever_goes_away_ends_no_exchange() {
    let sts = Sts::start().hold();
    let service = Setup::federated(&sts).start();
    sts.is_asked(1);
    for _ in 0..20 {
        let mut caller = service.rest().connect();
        caller.send(&exchange(&service, STS[0]).wire(&service.rest().host()));
    }
    let waiting = thread::scope(|scope| {
        let waiting = scope.spawn(|| service.token().token());
        sts.release();
        waiting.join().unwrap()
    });
    assert_eq!(sts.issued(), [waiting]);
    assert_eq!(sts.requests().len(), 1);
}

#[test]
fn a_refusal_that_lasts_is_said_with_its_code() {
    for (reply, code, oauth) in [
        (refusal(400, "invalid_grant"), "sts-denied", "invalid_grant"),
        (Reply::status(403).body("<html></html>"), "sts-forbidden", "invalid_grant"),
        (refusal(400, "invalid_scope"), "sts-scope-denied", "invalid_scope"),
    ] {
        let sts = Sts::start();
        sts.always(reply);
        let service = Setup::federated(&sts).start();
        service.token().refuses(400, code);
        service.refresh().refuses(400, code);
        let answer = service.ask_as_it_is(&exchange(&service, STS[1]));
        answer.refuses_oauth(400, oauth);
        assert!(answer.text().contains(code), "{}", answer.text());
        assert_eq!(answer.header("retry-after"), None);
        assert_eq!(service.ask_as_it_is(&Ask::get("/readyz")).is(503).value()["code"], code);
        assert_eq!(service.logs("refresh-failed", 1)[0]["code"], code);
        assert_eq!(sts.requests().len(), 1, "it is not tried again at once");
    }
}

#[test]
fn an_answer_that_makes_no_sense_is_a_bad_gateway() {
    let token = random_text(40);
    let mut other = success(&token, 3600);
    other["scope"] = "orgpolicies:1".into();
    for (reply, code) in [
        (Reply::status(200).header("Content-Type", "text/html").body("<html></html>"), "sts-not-json"),
        (Reply::json(&other), "scope-mismatch"),
        (Reply::json(&success(&token, 5)), "token-ttl-too-short"),
    ] {
        let sts = Sts::start();
        sts.always(reply);
        let service = Setup::federated(&sts).secret(&token).start();
        service.token().refuses(502, code);
    }
}

#[test]
fn while_the_sts_is_down_the_old_token_serves() {
    // Renewed when half of it is over, and good for two seconds more.
    let sts = Sts::with_life(8);
    let service = Setup::federated(&sts).args(["--min-ttl", "1"]).start();
    let first = service.token().token();
    sts.always(Reply::status(503));
    until("a renewal is tried", || {
        assert_eq!(service.token().token(), first);
        (sts.requests().len() > 1).then_some(())
    });
    assert_eq!(service.token().token(), first);
    assert_eq!(service.ask_as_it_is(&exchange(&service, STS[0])).token(), first);
    assert!(is_ready(&service));
    sts.life(3600);
    sts.works();
    // From the old one to the new one nobody is left without.
    let second = until("a new token comes", || Some(service.token().token()).filter(|token| *token != first));
    assert_eq!(sts.issued(), [first, second]);
}

#[test]
fn an_end_of_the_trouble_is_told_and_seen() {
    let sts = Sts::start();
    sts.always(Reply::status(503));
    let service = Setup::federated(&sts).args(["--timeout", "1"]).start();
    service.logs("refresh-failed", 1);
    sts.works();
    service.token().is(200);
    assert_eq!(service.logs("recovered", 1).len(), 1);
    assert!(is_ready(&service));
}

#[test]
fn while_there_is_no_token_callers_are_asked_to_come_back() {
    let sts = Sts::start();
    sts.always(refusal(503, "temporarily_unavailable").header("Retry-After", "900"));
    // It is tried for as long as this; callers wait for the outcome.
    let service = Setup::federated(&sts).args(["--timeout", "1"]).start();
    service.logs("refresh-failed", 1);
    let answer = service.refresh();
    answer.refuses(503, "server-error");
    assert_eq!(answer.header("retry-after"), Some("5"));
    assert_eq!(service.ask_as_it_is(&Ask::get("/readyz")).is(503).value()["code"], "server-error");
}
