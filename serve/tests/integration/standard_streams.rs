//! MCP on standard streams, for clients that start a command.

use serde_json::{Value, json};

use crate::support::hanging::Hanging;
use crate::support::mcp::{FIRST_ERA, GET, call, initialize, request};
use crate::support::random_text;
use crate::support::service::{Service, Setup};

/// A service that has shaken hands.
fn begun(setup: Setup) -> Service {
    let mut service = setup.stdio().start();
    assert_eq!(service.has(), (false, false), "it listens nowhere");
    service.write(&initialize(FIRST_ERA));
    let answer = service.reads(|message| message["id"] == 1);
    assert_eq!(answer["result"]["serverInfo"]["name"], "equinix-mcp");
    assert_eq!(answer["result"]["protocolVersion"], FIRST_ERA);
    service.write(&json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    service
}

#[track_caller]
fn ask(service: &mut Service, message: &Value) -> Value {
    service.write(message);
    service.reads(|answer| answer["id"] == message["id"])
}

#[test]
fn a_client_lists_the_tools_and_calls_them() {
    let mut service = begun(Setup::sandbox());
    let listing = ask(&mut service, &request(2, "tools/list", json!({})));
    assert_eq!(listing["result"]["tools"].as_array().unwrap().len(), 4);
    let answer = ask(&mut service, &call(3, GET, json!({})));
    let result = &answer["result"]["structuredContent"];
    let token = std::fs::read_to_string(result["token_file"].as_str().unwrap()).unwrap();
    service.knows(&token);
    assert!(!service.stdout().contains(&token));
    let events = service.logs("hand-out", 1);
    assert_eq!((&events[0]["route"], &events[0]["pid"]), (&json!("mcp"), &json!(std::process::id())));
    let wrong = ask(&mut service, &call(4, "explain", json!({})));
    assert_eq!(wrong["error"]["code"], -32_602);
    let unknown = ask(&mut service, &request(5, "nothing", json!({})));
    assert_eq!(unknown["error"]["code"], -32_601);
    service.ends_with_input();
}

#[test]
fn nothing_but_messages_is_on_standard_output() {
    let mut service = begun(Setup::sandbox());
    for id in 2..20 {
        ask(&mut service, &call(id, GET, json!({})));
    }
    for line in service.stdout().lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        assert_eq!(message["jsonrpc"], "2.0", "{line}");
    }
    service.ends_with_input();
}

#[test]
fn what_is_no_message_ends_nothing() {
    let mut service = begun(Setup::sandbox());
    for (id, said) in (2..).zip(["nonsense", "{", "[]", "1", "{\"jsonrpc\":\"2.0\"}", ""]) {
        service.write_text(&format!("{said}\n"));
        let answer = ask(&mut service, &request(id, "ping", json!({})));
        assert_eq!(answer["result"], json!({}), "{said}");
    }
    service.ends_with_input();
}

#[test]
fn the_end_of_its_input_ends_it() {
    begun(Setup::sandbox()).ends_with_input();
    // Also before a word was said.
    Setup::sandbox().stdio().start().ends_with_input();
}

#[test]
fn a_signal_ends_it() {
    begun(Setup::sandbox()).end();
    Setup::sandbox().stdio().start().end();
}

#[test]
fn a_cancelled_call_ends_the_request_to_the_api() {
    let api = Hanging::start();
    let mut service = begun(Setup::passing(api.url()));
    let secret = random_text(30);
    service.knows(&secret);
    service.write(&call(2, GET, json!({"client_id": "a", "client_secret": secret})));
    api.is_asked();
    let params = json!({"requestId": 2, "reason": "enough"});
    service.write(&json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": params}));
    api.is_left();
    let answer = ask(&mut service, &request(3, "ping", json!({})));
    assert_eq!(answer["result"], json!({}));
    service.ends_with_input();
}

#[test]
fn the_end_of_its_input_ends_the_request_to_the_api() {
    let api = Hanging::start();
    let mut service = begun(Setup::passing(api.url()));
    service.write(&call(2, GET, json!({"client_id": "a", "client_secret": "b"})));
    api.is_asked();
    service.ends_with_input();
    api.is_left();
}

#[test]
fn whoever_waits_is_told_that_the_work_goes_on() {
    let api = Hanging::start();
    let mut service = begun(Setup::passing(api.url()));
    let mut message = call(2, GET, json!({"client_id": "a", "client_secret": "b"}));
    message["params"]["_meta"] = json!({"progressToken": "p"});
    service.write(&message);
    api.is_asked();
    let progress = service.reads(|message| message["method"] == "notifications/progress");
    assert_eq!(progress["params"]["progressToken"], "p");
    let token = random_text(28);
    service.knows(&token);
    api.answers(&json!({"access_token": token}).to_string());
    let answer = service.reads(|message| message["id"] == 2);
    assert!(answer["result"]["structuredContent"]["token_file"].is_string(), "{answer}");
    service.ends_with_input();
}
