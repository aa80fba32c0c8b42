//! REST on a service that passes requests on: what goes to the API, what comes back, and who is not passed on.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};

use crate::support::client::{Answer, Ask};
use crate::support::mcp::GET;
use crate::support::random_text;
use crate::support::server::{Reply, Request, Server};
use crate::support::service::Setup;

const TOKEN: &str = "/oauth2/v1/token";
const REFRESH: &str = "/oauth2/v1/refreshaccesstoken";

/// A good answer of the API, as it is published.
fn granted() -> Value {
    json!({
        "access_token": random_text(28), "token_timeout": "3599 (60 minutes)", "user_name": "octo-user",
        "token_type": "Bearer", "refresh_token": random_text(42), "refresh_token_timeout": "86400",
    })
}

/// A refused login, as it has been seen.
fn login_failure() -> Reply {
    Reply::status(500).json_body(&json!({
        "errorDomain": "apps-security", "errorTitle": "Login Failure", "errorCode": 500_038,
        "errorMessage": "Client Id and Client Secret combination is invalid",
    }))
}

/// An API that always gives this reply.
fn api(reply: Reply) -> Server {
    Server::start(move |_: &Request| reply.clone())
}

#[test]
fn the_body_arrives_byte_for_byte() {
    let api = api(Reply::json(&granted()));
    let service = Setup::pass_through(&api).start();
    assert_eq!(service.ready["backend"], "pass-through");
    let (id, secret) = (random_text(20), random_text(30));
    service.knows(&secret);
    let known = format!(
        " {{\n\t\"grant_type\" : \"client_credentials\",\"client_id\":\"{id}\", \"client_secret\":\"{secret}\" }} \r\n"
    );
    let unknown = format!(
        "{{\"later\":[1.0e2,{{\"a\":\"\\u00e4\"}},null],\"client_secret\":\"{secret}\",\"x\":1,\"x\":2}}"
    );
    let bodies = [known, unknown, "{}".to_owned()];
    for path in [TOKEN, REFRESH] {
        for body in &bodies {
            service.ask(Ask::post(path, "application/json", body.as_bytes())).is(200);
        }
    }
    let requests = api.requests();
    let arrived: Vec<_> =
        requests.iter().map(|request| (request.target.as_str(), request.body.as_slice())).collect();
    let sent = |path| bodies.iter().map(move |body| (path, body.as_bytes()));
    assert_eq!(arrived, sent(TOKEN).chain(sent(REFRESH)).collect::<Vec<_>>());
}

#[test]
fn no_header_goes_there_but_those_that_are_needed() {
    let api = api(Reply::json(&granted()));
    let service = Setup::pass_through(&api).start();
    let ask = Ask::post(TOKEN, "application/json; charset=utf-8", "{}")
        .header("Cookie", "session=1")
        .header("Origin", "http://localhost:3000")
        .header("Referer", "http://localhost:3000/page")
        .header("User-Agent", "somebody/1")
        .header("X-Forwarded-For", "192.0.2.1")
        .header("X-Request-Id", "1")
        .header("Accept", "text/html")
        .header("Accept-Encoding", "gzip, br")
        .header("Accept-Language", "de")
        .header("Forwarded", "for=192.0.2.1")
        .header("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        .header("Connection", "x-hop")
        .header("X-Hop", "1");
    service.ask(ask).is(200);
    let requests = api.requests();
    let [request] = requests.as_slice() else { panic!("{requests:?}") };
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.as_str())).collect();
    headers.sort_unstable();
    let host = api.address().to_string();
    let agent = request.header("user-agent").unwrap();
    assert!(agent.starts_with("equinix-wif/"), "{agent}");
    assert_eq!(
        headers,
        [
            ("accept".to_owned(), "application/json"),
            ("accept-encoding".to_owned(), "identity"),
            ("content-length".to_owned(), "2"),
            ("content-type".to_owned(), "application/json"),
            ("host".to_owned(), host.as_str()),
            ("user-agent".to_owned(), agent),
        ]
    );
    assert_eq!((request.method.as_str(), request.target.as_str()), ("POST", TOKEN));
}

#[test]
fn a_query_goes_nowhere() {
    let api = api(Reply::json(&granted()));
    let service = Setup::pass_through(&api).start();
    service.ask(Ask::post(&format!("{TOKEN}?a=b"), "application/json", "{}")).is(200);
    assert_eq!(api.requests()[0].target, TOKEN);
}

#[test]
fn status_and_body_come_back_as_they_are() {
    for status in [200, 400, 404, 409, 422, 429, 500, 502, 503] {
        let body = format!("{{ \"error_code\":\"{status}\",\"more\" : [1,2] }}\n");
        let answer = body.clone();
        let api = Server::start(move |_: &Request| {
            Reply::status(status)
                .header("Content-Type", "application/json;charset=UTF-8")
                .body(answer.clone())
        });
        let service = Setup::pass_through(&api).start();
        let answer = service.ask(Ask::json(TOKEN, &json!({"client_id": "a"})));
        answer.is(status);
        assert_eq!(answer.text(), body);
        assert_eq!(answer.header("content-type"), Some("application/json;charset=UTF-8"));
    }
}

#[test]
fn an_error_that_is_no_json_comes_back_too() {
    let api = api(Reply::status(503).header("Content-Type", "text/html").body("<h1>busy</h1>"));
    let service = Setup::pass_through(&api).start();
    let answer = service.ask(Ask::json(REFRESH, &json!({})));
    answer.is(503);
    assert_eq!((answer.text().as_str(), answer.header("content-type")), ("<h1>busy</h1>", Some("text/html")));
}

#[test]
fn six_headers_of_an_answer_come_back_and_no_others() {
    let reply = Reply::status(429)
        .json_body(&json!({"error_code": "1"}))
        .header("Retry-After", "17")
        .header("WWW-Authenticate", "Bearer realm=\"apps\"")
        .header("X-Request-Id", "r-1")
        .header("X-Correlation-Id", "c-1")
        .header("Traceparent", "00-1-2-01")
        .header("Set-Cookie", "session=1")
        .header("Server", "apps")
        .header("Access-Control-Allow-Origin", "*")
        .header("Cache-Control", "public, max-age=60")
        .header("ETag", "\"1\"")
        .header("Location", "https://evil.example/")
        .header("X-Other", "1")
        .header("Connection", "keep-alive");
    let api = api(reply);
    let service = Setup::pass_through(&api).start();
    let answer = service.ask(Ask::json(TOKEN, &json!({})));
    let mut names: Vec<_> = answer.is(429).headers.iter().map(|(name, _)| name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "cache-control",
            "content-length",
            "content-type",
            "date",
            "retry-after",
            "traceparent",
            "www-authenticate",
            "x-correlation-id",
            "x-request-id"
        ]
    );
    assert_eq!(answer.header("retry-after"), Some("17"));
    assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"apps\""));
    assert_eq!(
        (answer.header("x-request-id"), answer.header("x-correlation-id")),
        (Some("r-1"), Some("c-1"))
    );
}

#[test]
fn connections_to_the_api_are_used_again() {
    let api = api(Reply::json(&granted()));
    let service = Setup::pass_through(&api).start();
    for _ in 0..20 {
        service.ask(Ask::json(TOKEN, &json!({}))).is(200);
    }
    assert_eq!((api.requests().len(), api.connections()), (20, 1));
}

#[test]
fn a_connection_that_the_api_closes_loses_no_request() {
    let api = api(Reply::json(&granted()).header("Connection", "close"));
    let service = Setup::pass_through(&api).start();
    for _ in 0..20 {
        service.ask(Ask::json(TOKEN, &json!({}))).is(200);
    }
    assert_eq!((api.requests().len(), api.connections()), (20, 20));
}

#[test]
fn a_client_that_was_refused_is_not_passed_on_again() {
    let works = Arc::new(AtomicBool::new(false));
    let answering = Arc::clone(&works);
    let api = Server::start(move |_: &Request| {
        if answering.load(Ordering::SeqCst) { Reply::json(&granted()) } else { login_failure() }
    });
    let service = Setup::pass_through(&api).start();
    let (id, wrong, right) = (random_text(20), random_text(30), random_text(30));
    service.knows(&wrong);
    service.knows(&right);
    let client =
        |secret: &str| json!({"client_id": id, "client_secret": secret, "grant_type": "client_credentials"});
    let answer = service.ask(Ask::json(TOKEN, &client(&wrong)));
    answer.is(500);
    assert_eq!(answer.value()["errorCode"], 500_038, "what the API says comes through");
    works.store(true, Ordering::SeqCst);
    for path in [TOKEN, REFRESH] {
        // In whatever form it is written.
        let ask = Ask::post(
            path,
            "application/json",
            format!(" {{\"client_secret\":\"{wrong}\",\"later\":1,\"client_id\":\"{id}\"}}"),
        );
        let answer = service.ask(ask);
        answer.refuses(429, "api-login-failed");
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((880..=900).contains(&wait), "{wait}");
        assert!(!answer.text().contains(&wrong) && !answer.text().contains(&id), "{}", answer.text());
    }
    assert_eq!(api.requests().len(), 1, "nothing more reached the API");
    service.ask(Ask::json(TOKEN, &client(&right))).is(200);
    service.ask(Ask::json(TOKEN, &json!({"client_id": random_text(20), "client_secret": wrong}))).is(200);
    assert_eq!(api.requests().len(), 3);
}

#[test]
fn requests_that_come_together_try_a_wrong_client_once() {
    let api = api(login_failure());
    let service = Setup::pass_through(&api).start();
    let (id, wrong) = (random_text(20), random_text(30));
    service.knows(&wrong);
    let client = json!({"client_id": id, "client_secret": wrong, "grant_type": "client_credentials"});
    let together: Vec<u16> = thread::scope(|scope| {
        let ask = |number: usize| {
            let (service, client) = (&service, &client);
            scope.spawn(move || {
                if number.is_multiple_of(2) {
                    return service.ask(Ask::json(TOKEN, client)).status;
                }
                let value = service.call(GET, client.clone()).is(200).value();
                assert_eq!(value["result"]["isError"], true, "{value}");
                429
            })
        };
        let running: Vec<_> = (0..10).map(ask).collect();
        running.into_iter().map(|one| one.join().unwrap()).collect()
    });
    assert!(together.iter().all(|status| [429, 500].contains(status)), "{together:?}");
    assert_eq!(api.requests().len(), 1, "five would lock the account");
}

#[test]
fn a_member_that_is_not_looked_at_makes_no_other_client() {
    let api = api(login_failure());
    let service = Setup::pass_through(&api).start();
    let secret = random_text(30);
    service.knows(&secret);
    let pair = json!({"grant_type": "client_credentials", "client_id": "a", "client_secret": secret});
    service.ask(Ask::json(TOKEN, &pair)).is(500);
    for (path, member) in [
        (TOKEN, "user_name"),
        (TOKEN, "user_password"),
        (TOKEN, "refresh_token"),
        (REFRESH, "user_name"),
        (REFRESH, "refresh_token"),
    ] {
        for value in ["1", "2"] {
            let mut client = pair.clone();
            client[member] = value.into();
            service.ask(Ask::json(path, &client)).refuses(429, "api-login-failed");
        }
    }
    // Also where its user is another one each time: the API has said that the client is wrong.
    for user in ["u", "v"] {
        let client = json!({"grant_type": "password", "client_id": "a", "client_secret": secret, "user_name": user, "user_password": user});
        service.ask(Ask::json(TOKEN, &client)).refuses(429, "api-login-failed");
    }
    assert_eq!(api.requests().len(), 1);
}

#[test]
fn a_wrong_client_is_not_tried_with_each_of_its_users() {
    let api = api(login_failure());
    let service = Setup::pass_through(&api)
        .env("EQUINIX_API_CLIENTID", random_text(20))
        .env("EQUINIX_API_CLIENTSECRET", random_text(30))
        .start();
    for user in 0..6 {
        let arguments = json!({"user_name": format!("user-{user}"), "user_password": random_text(12)});
        service.gets_error(GET, arguments, "api-login-failed");
    }
    assert_eq!(
        api.requests().len(),
        3,
        "which of the two is wrong, the API does not say; five would lock the account"
    );
}

#[test]
fn a_wrong_user_blocks_no_other_user_of_the_client() {
    let wrong =
        Reply::status(401).json_body(&json!({"errorCode": 1, "errorMessage": "Invalid user or password"}));
    let api = api(wrong);
    let service = Setup::pass_through(&api).start();
    for user in ["u", "v"] {
        let client = json!({"client_id": "a", "client_secret": "b", "user_name": user, "user_password": "c"});
        service.ask(Ask::json(TOKEN, &client)).is(401);
        service.ask(Ask::json(TOKEN, &client)).refuses(429, "api-login-failed");
    }
    assert_eq!(api.requests().len(), 2);
}

#[test]
fn each_way_to_refuse_a_login_blocks() {
    let error = |status: u16, error: &str| Reply::status(status).json_body(&json!({"error": error}));
    for reply in [
        login_failure(),
        error(401, "invalid_client"),
        error(400, "invalid_grant"),
        Reply::status(401),
        Reply::status(403).header("Content-Type", "text/html").body("<h1>no</h1>"),
    ] {
        let api = api(reply);
        let service = Setup::pass_through(&api).start();
        let secret = random_text(30);
        service.knows(&secret);
        for client in [
            json!({"client_id": "a", "client_secret": secret}),
            json!({"client_id": "a", "user_name": "u", "user_password": secret}),
            json!({"client_id": "a", "refresh_token": secret}),
        ] {
            let before = api.requests().len();
            let first = service.ask_as_it_is(&Ask::json(REFRESH, &client).bearer(&service.bearer));
            assert_ne!(first.status, 429);
            for _ in 0..3 {
                service.ask(Ask::json(REFRESH, &client)).refuses(429, "api-login-failed");
            }
            assert_eq!(api.requests().len(), before + 1);
        }
    }
}

#[test]
fn other_errors_block_nobody() {
    for reply in [
        Reply::status(500).json_body(&json!({"errorCode": 500_001, "errorMessage": "later"})),
        Reply::status(503).header("Retry-After", "1"),
        Reply::status(429).header("Retry-After", "1"),
        Reply::status(400).json_body(&json!({"error_code": "1", "error_message": "grant_type is missing"})),
    ] {
        let api = api(reply);
        let service = Setup::pass_through(&api).start();
        let ask = || Ask::json(TOKEN, &json!({"client_id": "a", "client_secret": "b"}));
        // Two answers are of two moments.
        let undated = |mut answer: Answer| {
            answer.headers.retain(|(name, _)| name != "date");
            answer
        };
        let first = undated(service.ask(ask()));
        assert_eq!(undated(service.ask(ask())), first);
        assert_eq!(api.requests().len(), 2);
    }
}

#[test]
fn a_request_that_names_no_client_is_passed_on_and_blocks_nobody() {
    let api = api(login_failure());
    let service = Setup::pass_through(&api).start();
    for _ in 0..3 {
        service.ask(Ask::json(TOKEN, &json!({"x": 1}))).is(500);
    }
    assert_eq!(api.requests().len(), 3);
}

#[test]
fn what_is_no_request_of_the_api_is_not_passed_on() {
    let api = api(Reply::json(&granted()));
    let service = Setup::pass_through(&api).start();
    for body in ["", "[]", "{", "{\"client_id\":1}", "{\"client_id\":\"a\",\"client_id\":\"b\"}"] {
        service.ask(Ask::post(TOKEN, "application/json", body)).refuses(400, "cfg-request-invalid");
    }
    service.ask(Ask::post(TOKEN, "text/plain", "{}")).refuses(415, "cfg-request-invalid");
    service.ask_as_it_is(&Ask::json(TOKEN, &json!({}))).is(401);
    let own = json!({"client_id": "equinix-wif", "client_secret": service.bearer});
    service.ask_as_it_is(&Ask::json(TOKEN, &own)).is(401);
    assert_eq!(api.connections(), 0);
}

#[test]
fn an_api_that_is_not_there_is_a_bad_gateway() {
    let service = Setup::passing("http://127.0.0.1:1").start();
    for path in [TOKEN, REFRESH] {
        service.ask(Ask::json(path, &json!({}))).refuses(502, "net-connect");
    }
    assert_eq!(service.logs("upstream-failed", 2).len(), 2);
    // Whether it is there, nobody is asked before somebody asks.
    service.ask_as_it_is(&Ask::get("/readyz")).is(200);
}

#[test]
fn the_sandbox_has_an_api_to_pass_requests_on_to() {
    let service = Setup::sandbox().args(["--backend", "pass-through"]).start();
    let log = service.log();
    let line =
        log.lines().find(|line| line.starts_with("sandbox: client_id ")).unwrap_or_else(|| panic!("{log}"));
    let (id, secret) =
        line.strip_prefix("sandbox: client_id ").unwrap().split_once(", client_secret ").unwrap();
    let client = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": secret});
    service.ask(Ask::json(TOKEN, &client)).is(200);
    let wrong = json!({"grant_type": "client_credentials", "client_id": id, "client_secret": "wrong"});
    let refused = service.ask(Ask::json(TOKEN, &wrong));
    assert!(refused.status >= 400 && refused.status != 429);
    service.ask(Ask::json(TOKEN, &wrong)).refuses(429, "api-login-failed");
}
