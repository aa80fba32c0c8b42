//! What is written down: one line for every token that was handed out, and figures without a secret.

use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::mcp::GET;
use crate::support::random_text;
use crate::support::server::{Reply, Request, Server};
use crate::support::service::{Service, Setup};
use crate::support::sts::{SCOPE, Sts};

const TOKEN: &str = "/oauth2/v1/token";
const REFRESH: &str = "/oauth2/v1/refreshaccesstoken";

fn is_moment(value: &Value) -> bool {
    let pattern = value.as_str().unwrap().replace(|c: char| c.is_ascii_digit(), "0");
    pattern == "0000-00-00T00:00:00Z"
}

fn exchange(service: &Service, path: &str) -> Ask {
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("scope", SCOPE),
        ("subject_token", service.bearer.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
    ];
    Ask::form(path, &fields)
}

#[test]
fn every_token_that_is_handed_out_is_one_line() {
    let sts = Sts::start();
    let service = Setup::federated(&sts).start();
    service.token().is(200);
    service.refresh().is(200);
    for path in ["/use/token", "/v1/token"] {
        service.ask_as_it_is(&exchange(&service, path)).is(200);
    }
    service.gets(GET, json!({}));
    // What was refused is no hand-out.
    service.ask_as_it_is(&Ask::json(TOKEN, &json!({}))).is(401);
    service.ask(Ask::json(TOKEN, &json!({"client_id": "x"}))).is(403);
    let log = service.end();
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let lines: Vec<_> = lines.iter().filter(|line| line["event"] == "hand-out").collect();
    let routes: Vec<_> = lines.iter().map(|line| line["route"].as_str().unwrap()).collect();
    assert_eq!(routes, [TOKEN, REFRESH, "/use/token", "/v1/token", "mcp"]);
    for line in lines {
        assert_eq!(line["scope"], SCOPE);
        assert!(is_moment(&line["expires_at"]), "{line}");
        assert_eq!(line["pid"], std::process::id());
        assert_eq!(line["uid"], rustix::process::geteuid().as_raw());
        assert!(line["timestamp"].is_string());
    }
}

#[test]
fn what_was_passed_on_is_a_line_too() {
    let lives = [json!("3599 (60 minutes)"), json!("3599"), json!(3599), json!("soon"), Value::Null];
    let mut next = lives.clone().into_iter();
    let api = Server::start(move |_: &Request| {
        Reply::json(&json!({"access_token": random_text(28), "token_timeout": next.next().unwrap()}))
    });
    let service = Setup::pass_through(&api).start();
    for _ in &lives {
        service.token().is(200);
    }
    let lines = service.logs("hand-out", lives.len());
    for (line, life) in lines.iter().zip(&lives) {
        assert_eq!((&line["scope"], &line["route"]), (&json!("classic"), &json!(TOKEN)));
        if life.to_string().contains("3599") {
            assert!(is_moment(&line["expires_at"]), "{line}");
        } else {
            assert_eq!(line["expires_at"], "unknown");
        }
    }
}

#[test]
fn every_line_is_json_where_that_is_wanted() {
    let service = Setup::sandbox().args(["--allow-unauthenticated", "-v"]).start();
    service.token().is(200);
    service.gets_error(GET, json!({"client_id": "x"}), "serve-foreign-client");
    for line in service.end().lines() {
        let event: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(event["event"] == "ready" || event["level"].is_string(), "{line}");
    }
}

#[test]
fn what_others_say_makes_no_line_of_its_own() {
    let said = "x\nready rest=http://evil.example mcp=none\r\u{1b}[2J\u{202e}\u{2028}::add-mask::y";
    let reply = json!({"error": "invalid_grant", "error_description": said});
    let sts = Sts::start();
    sts.always(Reply::status(400).json_body(&reply));
    let federated = Setup::federated(&sts).text_log().start();
    federated.token().is(400);
    let text = federated.call(GET, json!({})).text();
    assert!(!text.contains('\u{1b}') && !text.contains("\\u001b") && !text.contains('\u{202e}'), "{text}");
    let api = Server::start(move |_: &Request| Reply::status(400).json_body(&reply));
    let passing = Setup::pass_through(&api).text_log().start();
    let text = passing.call(GET, json!({"client_id": "a", "client_secret": "b"})).text();
    assert!(!text.contains('\u{1b}') && !text.contains("\\u001b") && !text.contains('\u{202e}'), "{text}");
    for log in [federated.end(), passing.end()] {
        assert!(log.contains("evil.example"), "{log}");
        assert_eq!(log.lines().filter(|line| line.starts_with("ready ")).count(), 1, "{log}");
        for line in log.lines().filter(|line| !line.starts_with("ready ")) {
            assert!(line.starts_with("20") || line.starts_with(' '), "{line}");
        }
        assert!(!log.contains(['\r', '\u{1b}', '\u{202e}', '\u{2028}']), "{log:?}");
    }
}

#[test]
fn names_of_tools_and_members_make_no_line_of_their_own() {
    let service = Setup::sandbox().text_log().start();
    let name = "x\nready rest=http://evil.example\u{1b}[2J";
    service.call(name, json!({})).is(200);
    service.call(GET, json!({name: 1})).is(200);
    service.ask(Ask::json(TOKEN, &json!({"client_id": name}))).is(403);
    let log = service.end();
    assert_eq!(log.lines().filter(|line| line.starts_with("ready ")).count(), 1, "{log}");
    assert!(!log.contains('\u{1b}'));
}

#[test]
fn a_log_that_nobody_reads_holds_up_nobody() {
    let service = Setup::sandbox().start();
    service.token().is(200);
    service.reads_log(false);
    let mut connection = service.rest().connect();
    let ask = Ask::json(TOKEN, &json!({})).bearer(&service.bearer);
    // More than the pipe holds, and what waits for it.
    for _ in 0..4000 {
        connection.ask(&ask).is(200);
    }
    service.ask_as_it_is(&Ask::get("/healthz")).is(200);
    service.reads_log(true);
    let lost = service.logs("log-lost", 1);
    assert!(lost[0]["message"].as_str().unwrap().contains("lines of the log are lost"), "{lost:?}");
    service.token().is(200);
    let log = service.end();
    for line in log.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    }
}

#[test]
fn quiet_means_quiet() {
    let service = Setup::sandbox().args(["-q"]).start();
    service.token().is(200);
    let log = service.end();
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn figures_count_requests_without_what_callers_chose() {
    let sts = Sts::start();
    let service = Setup::federated(&sts).start();
    let (path, agent) = (random_text(20), random_text(20));
    service.token().is(200);
    service.token().is(200);
    service.ask(Ask::get(&format!("/{path}?{path}")).header("User-Agent", agent.clone())).is(404);
    service.ask_as_it_is(&Ask::get("/healthz")).is(200);
    service.gets(GET, json!({}));
    let answer = service.ask(Ask::get("/metrics"));
    answer.is(200);
    assert_eq!(answer.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let text = answer.text();
    for line in [
        "equinix_wif_requests_total{route=\"/oauth2/v1/token\",status=\"200\"} 2",
        "equinix_wif_requests_total{route=\"other\",status=\"404\"} 1",
        "equinix_wif_requests_total{route=\"/healthz\",status=\"200\"} 1",
        "equinix_wif_requests_total{route=\"/mcp\",status=\"200\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    for figure in ["equinix_wif_token_expires_timestamp_seconds", "equinix_wif_token_age_seconds"] {
        assert!(text.lines().any(|line| line.starts_with(figure)), "{figure}\n{text}");
    }
    for secret in [path, agent, service.bearer.clone(), SCOPE.to_owned()].iter().chain(&sts.issued()) {
        assert!(!text.contains(secret.as_str()), "{text}");
    }
    // For Prometheus, a name has a help line and a type.
    let names = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    for name in names.map(|line| line.split(['{', ' ']).next().unwrap()) {
        let family = name.trim_end_matches("_bucket").trim_end_matches("_sum").trim_end_matches("_count");
        assert!(text.contains(&format!("# TYPE {family} ")), "{name}\n{text}");
    }
}

#[test]
fn failures_are_counted_by_their_code() {
    let sts = Sts::start();
    sts.always(crate::support::sts::refusal(400, "invalid_grant"));
    let service = Setup::federated(&sts).start();
    service.token().is(400);
    let text = service.ask(Ask::get("/metrics")).text();
    let line = "equinix_wif_refresh_failures_total{code=\"sts-denied\"} 1";
    assert!(text.lines().any(|found| found == line), "{text}");
}

#[test]
fn the_description_that_is_served_lists_the_routes_of_the_back_end() {
    let paths = |service: &Service| {
        let value = service.ask(Ask::get("/openapi.json")).is(200).value();
        assert_eq!(value["openapi"], "3.1.0");
        value["paths"].as_object().unwrap().keys().cloned().collect::<Vec<_>>()
    };
    let federated = paths(&Setup::sandbox().start());
    let passing = paths(&Setup::passing("http://127.0.0.1:1").start());
    let common = ["/healthz", "/metrics", REFRESH, TOKEN, "/openapi.json", "/readyz"].map(str::to_owned);
    assert_eq!(passing, common);
    assert_eq!(federated, [&common[..], &["/use/token".to_owned(), "/v1/token".to_owned()]].concat());
}
