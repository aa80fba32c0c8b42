//! MCP over HTTP: both eras, what is no message, the tools, and that no model sees a token unless somebody wanted that.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::client::{Answer, Ask};
use crate::support::hanging::Hanging;
use crate::support::mcp::{
    FIRST_ERA, GET, REFRESH, SECOND_ERA, call, initialize, post, post_in_second_era, request,
};
use crate::support::random_text;
use crate::support::server::{Reply, Request, Server};
use crate::support::service::{Service, Setup};
use crate::support::sts::{Sts, refusal};

const BOTH: &str = "application/json, text/event-stream";

/// Checks that it is an error of the protocol.
#[track_caller]
fn is_error(answer: &Answer, status: u16, code: i64) -> Value {
    let value = answer.is(status).value();
    assert_eq!((&value["jsonrpc"], &value["error"]["code"]), (&json!("2.0"), &json!(code)), "{value}");
    assert!(value["error"]["message"].as_str().is_some_and(|text| !text.is_empty()));
    assert!(value.get("result").is_none());
    value
}

fn read(path: &Value) -> String {
    fs::read_to_string(path.as_str().unwrap()).unwrap()
}

fn mode(path: &Value) -> u32 {
    fs::metadata(path.as_str().unwrap()).unwrap().mode() & 0o7777
}

/// An API that gives each client tokens of its own.
fn api() -> Server {
    Server::start(|_: &Request| {
        Reply::json(&json!({
            "access_token": random_text(28), "token_timeout": "3599", "user_name": "octo-user",
            "token_type": "Bearer", "refresh_token": random_text(42), "refresh_token_timeout": "86400",
        }))
    })
}

#[test]
fn the_first_era_begins_with_a_handshake() {
    let service = Setup::sandbox().start();
    for (asked, spoken) in [
        ("2025-06-18", "2025-06-18"),
        (FIRST_ERA, FIRST_ERA),
        (SECOND_ERA, FIRST_ERA),
        ("2024-11-05", FIRST_ERA),
        ("9999-01-01", FIRST_ERA),
    ] {
        let ask = Ask::json("/mcp", &initialize(asked)).header("Accept", BOTH);
        let answer = service.ask_mcp(ask);
        assert_eq!(answer.header("mcp-session-id"), None, "nothing is kept between requests");
        let result = answer.is(200).value()["result"].clone();
        assert_eq!(result["protocolVersion"], spoken, "{asked}");
        assert_eq!(result["serverInfo"]["name"], "equinix-mcp");
        assert!(result["instructions"].as_str().unwrap().contains("curl -H @FILE"));
        assert!(result["capabilities"]["tools"].is_object());
    }
    let ready = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let answer = service.ask_mcp(post(&ready));
    answer.is(202);
    assert!(answer.body.is_empty());
    assert_eq!(service.ask_mcp(post(&request(1, "ping", json!({})))).is(200).value()["result"], json!({}));
}

#[test]
fn in_the_second_era_every_request_stands_for_itself() {
    let service = Setup::sandbox().start();
    let answer = service.ask_mcp(post_in_second_era(request(1, "server/discover", json!({}))));
    let result = answer.is(200).value()["result"].clone();
    let versions = result["supportedVersions"].as_array().unwrap_or_else(|| panic!("{result}"));
    assert!(versions.contains(&json!(SECOND_ERA)), "{result}");
    let listing = service.ask_mcp(post_in_second_era(request(2, "tools/list", json!({}))));
    assert_eq!(listing.is(200).value()["result"]["tools"].as_array().unwrap().len(), 4);
    let answer = service.ask_mcp(post_in_second_era(call(3, GET, json!({}))));
    let result = answer.is(200).value()["result"]["structuredContent"].clone();
    assert_eq!(result["token_type"], "Bearer", "{}", answer.text());
    // Its headers have to say what its body says.
    let other = post_in_second_era(call(4, GET, json!({}))).without("Mcp-Name").header("Mcp-Name", "explain");
    assert_eq!(service.ask_mcp(other).status, 400);
    let none = post_in_second_era(call(5, GET, json!({}))).without("Mcp-Method");
    assert_eq!(service.ask_mcp(none).status, 400);
}

#[test]
fn it_answers_at_two_paths_and_no_others() {
    let service = Setup::sandbox().start();
    let listing = request(1, "tools/list", json!({})).to_string();
    let at = |path: &str| Ask::post(path, "application/json", listing.clone()).header("Accept", BOTH);
    for path in ["/mcp", "/"] {
        service.ask_mcp(at(path)).is(200);
    }
    for path in ["/mcp/", "/sse", "/oauth2/v1/token", "/healthz"] {
        service.ask_mcp(at(path)).is(404);
    }
}

#[test]
fn the_tools_have_the_names_and_hints_that_clients_know() {
    let service = Setup::sandbox().start();
    let listing = service.ask_mcp(post(&request(1, "tools/list", json!({})))).is(200).value();
    let tools = listing["result"]["tools"].as_array().unwrap();
    let mut names: Vec<_> = tools.iter().map(|tool| tool["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["explain", GET, "inspect", REFRESH]);
    let named = |name: &str| tools.iter().find(|tool| tool["name"] == name).unwrap();
    assert_eq!(named(GET)["title"], "Generate New Access Token");
    assert_eq!(named(REFRESH)["title"], "Renew Access Tokens");
    for tool in tools {
        let reads = ["explain", "inspect"].contains(&tool["name"].as_str().unwrap());
        assert_eq!(tool["annotations"]["readOnlyHint"], reads, "{tool}");
        assert_eq!(tool["annotations"]["destructiveHint"], false);
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object", "{tool}");
        }
    }
    for name in [GET, REFRESH] {
        assert_eq!(named(name)["inputSchema"].get("required"), None, "everything is optional");
        assert_eq!(named(name)["outputSchema"]["properties"].get("access_token"), None);
    }
}

#[test]
fn what_is_no_json_is_a_parse_error() {
    let service = Setup::sandbox().start();
    let post =
        |body: &[u8]| service.ask_mcp(Ask::post("/mcp", "application/json", body).header("Accept", BOTH));
    for body in [
        &b""[..],
        b"{",
        b"nonsense",
        b"{\"jsonrpc\":\"2.0\",",
        b"\xef\xbb\xbf{}",
        b"{\"a\":\"\xff\"}",
        b"{}{}",
    ] {
        let value = is_error(&post(body), 400, -32_700);
        assert_eq!(value["id"], Value::Null);
    }
}

#[test]
fn what_only_the_reader_of_the_protocol_refuses_is_refused_alike() {
    let service = Setup::sandbox().start();
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(500), "]".repeat(500));
    for (member, code) in [
        ("\"id\":1,\"method\":\"tools/call\",\"params\":{\"name\":\"\u{1}\"}", -32_700),
        ("\"id\":1,\"method\":\"tools/list\",\"params\":{\"a\":\"\\ud800\"}", -32_700),
        (&format!("\"id\":1,\"method\":\"tools/list\",\"params\":{deep}"), -32_700),
        ("\"id\":{},\"method\":\"ping\"", -32_600),
        ("\"id\":1.5,\"method\":\"ping\"", -32_600),
        ("\"id\":1,\"result\":1,\"error\":2", -32_600),
    ] {
        let body = format!("{{\"jsonrpc\":\"2.0\",{member}}}");
        let answer =
            service.ask_mcp(Ask::post("/mcp", "application/json", body.clone()).header("Accept", BOTH));
        println!("case: {body:.80}");
        is_error(&answer, 400, code);
    }
    let raw = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"tools/list\",\"params\":{\"a\":\"\xff\"}}";
    let answer = service.ask_mcp(Ask::post("/mcp", "application/json", &raw[..]).header("Accept", BOTH));
    is_error(&answer, 400, -32_700);
}

#[test]
fn what_is_no_message_is_an_invalid_request() {
    let service = Setup::sandbox().start();
    let listing = request(1, "tools/list", json!({}));
    for body in [
        json!([listing]),
        json!([listing, listing]),
        json!([]),
        json!(1),
        json!("x"),
        json!(null),
        json!({}),
        json!({"jsonrpc": "1.0", "id": 1, "method": "ping"}),
        json!({"id": 1, "method": "ping"}),
        json!({"jsonrpc": "2.0", "id": 1}),
        json!({"jsonrpc": "2.0", "id": 1, "method": 1}),
    ] {
        let value = is_error(&service.ask_mcp(post(&body)), 400, -32_600);
        assert_eq!(value["id"], Value::Null);
    }
}

#[test]
fn wrong_arguments_are_an_error_of_the_protocol() {
    let service = Setup::sandbox().start();
    let secret = random_text(30);
    service.knows(&secret);
    for (tool, arguments, says) in [
        ("explain", json!({}), "missing field `code`"),
        ("explain", json!({"code": 1}), "wrong type"),
        ("explain", json!({"code": "claim-aud", "more": secret}), "unknown field `more`"),
        (GET, json!({"client_secret": [secret]}), "wrong type"),
        (GET, json!({"client_secret": {"a": secret}}), "wrong type"),
        (GET, json!({"refresh_token": secret}), "unknown field `refresh_token`"),
        (REFRESH, json!({"grant_type": "password"}), "unknown field `grant_type`"),
        ("inspect", json!({"x": secret}), "unknown field `x`"),
        ("nothing", json!({"x": secret}), "there is no tool \"nothing\""),
        ("", json!({}), "there is no tool"),
    ] {
        let answer = service.call(tool, arguments.clone());
        let value = is_error(&answer, 200, -32_602);
        assert_eq!(value["id"], 7);
        let message = value["error"]["message"].as_str().unwrap();
        assert!(message.contains(says), "{tool} {arguments}: {message}");
        assert!(!answer.text().contains(&secret), "{}", answer.text());
    }
    // A member whose name is a secret was not named by us.
    let named = service.call(GET, json!({secret.as_str(): "x"}));
    is_error(&named, 200, -32_602);
    let not_an_object = request(7, "tools/call", json!({"name": GET, "arguments": [secret]}));
    assert!(!service.ask_mcp(post(&not_an_object)).text().contains(&secret));
}

#[test]
fn an_unknown_method_is_said() {
    let service = Setup::sandbox().start();
    is_error(&service.ask_mcp(post(&request(1, "resources/nothing", json!({})))), 200, -32_601);
    let answer = service.ask_mcp(post_in_second_era(request(1, "nothing/at-all", json!({}))));
    is_error(&answer, 404, -32_601);
}

#[test]
fn both_types_have_to_be_accepted() {
    let service = Setup::sandbox().start();
    let listing = request(1, "tools/list", json!({}));
    for accept in ["application/json", "text/event-stream", "text/html", ""] {
        let ask = post(&listing).without("Accept").header("Accept", accept);
        service.ask_mcp(ask).is(406);
    }
    let ask = post(&listing).without("Accept").header("Accept", "text/event-stream;q=0.5,application/json");
    service.ask_mcp(ask).is(200);
}

#[test]
fn nothing_is_streamed() {
    let service = Setup::sandbox().start();
    for method in ["GET", "DELETE"] {
        let answer = service.ask_mcp(Ask::new(method, "/mcp").header("Accept", "text/event-stream"));
        answer.is(405);
        assert_eq!(answer.header("allow"), Some("POST"));
    }
}

#[test]
fn a_model_gets_the_files_of_a_token_and_not_the_token() {
    let service = Setup::sandbox().start();
    let token = service.token().token();
    for tool in [GET, REFRESH] {
        for arguments in [json!({}), json!({"client_id": null}), json!({"client_id": "equinix-wif"})] {
            let answer = service.call(tool, arguments.clone());
            assert!(!answer.text().contains(&token), "{}", answer.text());
            let result = service.gets(tool, arguments);
            let mut names: Vec<_> = result.as_object().unwrap().keys().map(String::as_str).collect();
            names.sort_unstable();
            assert_eq!(
                names,
                ["expires_at", "expires_in", "header_file", "scope", "token_file", "token_type"]
            );
            assert_eq!(result["token_type"], "Bearer");
            assert!(result["expires_in"].as_u64().unwrap() > 3500);
            assert!(result["scope"].as_str().unwrap().starts_with("roleassignments:"));
            assert_eq!((mode(&result["token_file"]), mode(&result["header_file"])), (0o600, 0o600));
            assert_eq!(read(&result["token_file"]), token);
            assert_eq!(read(&result["header_file"]), format!("Authorization: Bearer {token}\n"));
            let folder = Path::new(result["token_file"].as_str().unwrap()).parent().unwrap();
            assert_eq!(Some(folder), service.bearer_file.parent());
        }
    }
    // That the files go at the end, the harness looks.
}

#[test]
fn a_model_sees_the_token_where_somebody_wants_that() {
    let service = Setup::sandbox().args(["--reveal-tokens"]).start();
    let token = service.token().token();
    let result = service.gets(GET, json!({}));
    assert_eq!(result["access_token"], token);
    assert_eq!(read(&result["token_file"]), token);
    let listing = service.ask_mcp(post(&request(1, "tools/list", json!({})))).is(200).value();
    let tools = listing["result"]["tools"].as_array().unwrap();
    let tool = tools.iter().find(|tool| tool["name"] == GET).unwrap();
    assert_eq!(tool["outputSchema"]["properties"]["access_token"]["type"], "string");
}

#[test]
fn other_clients_and_grants_are_refused() {
    let service = Setup::sandbox().start();
    let secret = random_text(30);
    service.knows(&secret);
    for (tool, arguments, code) in [
        (GET, json!({"client_id": "somebody", "client_secret": secret}), "serve-foreign-client"),
        (GET, json!({"user_name": "u", "user_password": secret}), "serve-foreign-client"),
        (GET, json!({"grant_type": "password"}), "serve-grant-unsupported"),
        (REFRESH, json!({"refresh_token": secret}), "serve-foreign-client"),
    ] {
        let text = service.gets_error(tool, arguments, code);
        assert!(!text.contains(&secret), "{text}");
    }
}

#[test]
fn a_failed_exchange_is_an_error_of_the_tool() {
    let sts = Sts::start();
    sts.always(refusal(400, "invalid_grant"));
    let service = Setup::federated(&sts).start();
    for tool in [GET, REFRESH] {
        let text = service.gets_error(tool, json!({}), "sts-denied");
        assert!(text.contains("said by the STS"), "{text}");
    }
}

#[test]
fn it_says_who_it_is_and_explains_its_codes() {
    let service = Setup::sandbox().start();
    let who = service.gets("inspect", json!({}));
    assert!(who["issuer"].as_str().unwrap().starts_with("http://127.0.0.1:"), "{who}");
    assert!(who["subject"].as_str().unwrap().starts_with("repo:"), "{who}");
    assert!(!who.to_string().contains("eyJ"), "no token is shown: {who}");
    let why = service.gets("explain", json!({"code": "claim-aud"}));
    assert_eq!(why["code"], "claim-aud");
    assert!(why["cause"].is_string() && why["cure"].is_string());
    service.gets_error("explain", json!({"code": "no-such-code"}), "cfg-value-invalid");
    let passing = Setup::passing("http://127.0.0.1:1").start();
    passing.gets_error("inspect", json!({}), "ambient-not-ci");
    passing.gets("explain", json!({"code": "api-login-failed"}));
}

#[test]
fn arguments_go_to_the_api_as_it_takes_them() {
    let api = api();
    let service = Setup::pass_through(&api).start();
    let (secret, password) = (random_text(30), random_text(30));
    service.knows(&secret);
    service.knows(&password);
    let client = json!({"client_id": "a", "client_secret": secret});
    let result = service.gets(GET, client.clone());
    assert_eq!(result.get("scope"), None);
    service.knows(&read(&result["token_file"]));
    let user = json!({
        "client_id": "a", "client_secret": secret, "user_name": "u", "user_password": password,
        "password_encoding": "md5-b64",
    });
    service.gets(GET, user.clone());
    let (mut expected, mut of_user) = (client, user);
    expected["grant_type"] = "client_credentials".into();
    of_user["grant_type"] = "password".into();
    let sent: Vec<_> = api.requests().iter().map(|request| request.json().unwrap()).collect();
    assert_eq!(sent, [expected, of_user]);
}

#[test]
fn what_was_obtained_last_is_renewed_without_a_refresh_token() {
    let api = api();
    let service = Setup::pass_through(&api).start();
    let secret = random_text(30);
    service.knows(&secret);
    let before = service.gets_error(REFRESH, json!({}), "client-credentials-missing");
    assert!(before.contains("client_id"), "{before}");
    let first = service.gets(GET, json!({"client_id": "a", "client_secret": secret}));
    let old = read(&first["token_file"]);
    let renewed = service.gets(REFRESH, json!({}));
    let new = read(&renewed["token_file"]);
    assert_ne!(old, new);
    assert_eq!(first["token_file"], renewed["token_file"], "whoever reads the file finds the new one");
    service.gets(REFRESH, json!({}));
    let bodies: Vec<_> = api
        .replies()
        .iter()
        .map(|reply| serde_json::from_slice::<Value>(reply.payload()).unwrap()["refresh_token"].clone())
        .collect();
    for token in &bodies {
        service.knows(token.as_str().unwrap());
    }
    let requests = api.requests();
    assert_eq!(requests.len(), 3);
    for (request, refresh_token) in requests[1..].iter().zip(&bodies) {
        assert_eq!(request.path(), "/oauth2/v1/refreshaccesstoken");
        let expected = json!({"client_id": "a", "client_secret": secret, "refresh_token": refresh_token});
        assert_eq!(request.json().unwrap(), expected);
    }
    // One of the caller's own is sent as it is, and nothing of it is kept from the other client.
    let own = random_text(30);
    service.knows(&own);
    service.gets(REFRESH, json!({"client_id": "b", "client_secret": secret, "refresh_token": own}));
    assert_eq!(api.requests()[3].json().unwrap()["refresh_token"], own);
}

#[test]
fn a_token_without_a_refresh_token_cannot_be_renewed() {
    let api = Server::start(|_: &Request| {
        Reply::json(&json!({"access_token": random_text(28), "token_timeout": 3599, "token_type": "Bearer"}))
    });
    let service = Setup::pass_through(&api).start();
    let secret = random_text(30);
    service.knows(&secret);
    service.gets(GET, json!({"client_id": "a", "client_secret": secret}));
    let text = service.gets_error(REFRESH, json!({}), "client-credentials-missing");
    assert!(text.contains(GET), "{text}");
    assert_eq!(api.requests().len(), 1);
}

#[test]
fn the_services_own_client_is_used_where_none_is_given() {
    let api = api();
    let (id, secret) = (random_text(20), random_text(30));
    let setup = Setup::pass_through(&api).secret(&secret);
    let setup = setup.env("EQUINIX_API_CLIENTID", &id).env("EQUINIX_API_CLIENTSECRET", &secret);
    let service = setup.start();
    let result = service.gets(GET, json!({}));
    service.knows(&read(&result["token_file"]));
    let expected = json!({"client_id": id, "client_secret": secret, "grant_type": "client_credentials"});
    assert_eq!(api.requests()[0].json().unwrap(), expected);
    // A half of another one is completed by nothing.
    let half = service.gets(GET, json!({"client_id": "other"}));
    service.knows(&read(&half["token_file"]));
    let expected = json!({"client_id": "other", "grant_type": "client_credentials"});
    assert_eq!(api.requests()[1].json().unwrap(), expected);
}

#[test]
fn each_client_has_files_of_its_own() {
    let api = api();
    let service = Setup::pass_through(&api).start();
    let of = |id: &str| service.gets(GET, json!({"client_id": id, "client_secret": "s"}));
    let (first, other, again) = (of("a"), of("b"), of("a"));
    assert_ne!(first["token_file"], other["token_file"]);
    assert_eq!(first["token_file"], again["token_file"]);
    assert_ne!(read(&first["token_file"]), read(&other["token_file"]));
}

/// The ways in which an API may give back what it got.
fn echoes(secret: &str) -> Vec<String> {
    vec![
        secret.to_owned(),
        format!("client secret '{secret}' is wrong"),
        STANDARD.encode(secret),
        format!("{}%20{}", secret, secret.to_uppercase()),
        secret.chars().map(|c| format!("\\u{:04x}", u32::from(c))).collect::<Vec<_>>().concat(),
        secret.chars().rev().chain("|".chars()).chain(secret.chars()).collect(),
    ]
}

#[test]
fn what_an_api_echoes_of_secrets_is_not_shown() {
    for secret in [random_text(32), format!("{}\"\\/{}", random_text(16), random_text(16))] {
        for echo in echoes(&secret) {
            for form in [
                json!({"error_code": echo, "error_message": echo}),
                json!({"errorCode": echo, "errorMessage": echo}),
                json!({"error": echo, "error_description": echo}),
            ] {
                let api = Server::start(move |_: &Request| Reply::status(400).json_body(&form));
                let service = Setup::pass_through(&api).secret(&secret).start();
                for member in ["client_secret", "user_password"] {
                    let arguments = json!({"client_id": "a", "client_secret": "b", member: secret});
                    let text = service.call(GET, arguments).text();
                    assert!(text.contains("error[api-"), "{text}");
                    for piece in
                        [&secret[..16], &secret[secret.len() - 16..], &STANDARD.encode(&secret)[..16]]
                    {
                        assert!(!text.contains(piece), "{text}");
                    }
                }
            }
        }
    }
}

#[test]
fn a_client_that_was_refused_is_blocked_for_both_adapters() {
    let api = Server::start(|_: &Request| {
        Reply::status(401).json_body(&json!({"error": "invalid_client", "error_description": "no"}))
    });
    let service = Setup::pass_through(&api).start();
    let secret = random_text(30);
    service.knows(&secret);
    let client = json!({"client_id": "a", "client_secret": secret});
    service.gets_error(GET, client.clone(), "api-login-failed");
    let text = service.gets_error(GET, client.clone(), "api-login-failed");
    assert!(text.contains("not sent again"), "{text}");
    service.ask(Ask::json("/oauth2/v1/token", &client)).refuses(429, "api-login-failed");
    assert_eq!(api.requests().len(), 1);
}

#[test]
fn faults_of_the_api_are_errors_of_the_tool() {
    let client = || json!({"client_id": "a", "client_secret": "b"});
    let gone = Setup::passing("http://127.0.0.1:1").start();
    gone.gets_error(GET, client(), "net-connect");
    for (reply, code) in [
        (Reply::close(), "net-reset"),
        (Reply::status(302).header("Location", "https://evil.example/"), "api-not-json"),
        (Reply::status(200).header("Content-Type", "text/html").body("<html></html>"), "api-not-json"),
        (Reply::json(&json!({"token": "x"})), "api-response-invalid"),
        (Reply::json(&json!({"access_token": ""})), "api-response-invalid"),
        (Reply::json(&json!({"access_token": "a\r\nX-Injected: 1"})), "api-response-invalid"),
        (Reply::json(&json!(["access_token"])), "api-response-invalid"),
        (Reply::status(500).body("busy"), "api-denied"),
    ] {
        let api = Server::start(move |_: &Request| reply.clone());
        let service = Setup::pass_through(&api).start();
        service.gets_error(GET, client(), code);
        assert_eq!(service.logs("tool-failed", 1)[0]["code"], code);
    }
}

/// A call that waits for the API.
fn waiting(service: &Service, api: &Hanging, ask: &Ask) -> crate::support::client::Connection {
    let mut connection = service.mcp().connect();
    connection.send(&ask.clone().bearer(&service.bearer).wire(&service.mcp().host()));
    api.is_asked();
    connection
}

#[test]
fn whoever_goes_away_ends_the_request_to_the_api() {
    let arguments = json!({"client_id": "a", "client_secret": "b"});
    for ask in [post(&call(1, GET, arguments.clone())), post_in_second_era(call(1, GET, arguments))] {
        let api = Hanging::start();
        let service = Setup::passing(api.url()).start();
        drop(waiting(&service, &api, &ask));
        api.is_left();
    }
}

#[test]
fn whoever_waits_gets_the_answer() {
    let api = Hanging::start();
    let service = Setup::passing(api.url()).start();
    let mut connection =
        waiting(&service, &api, &post(&call(1, GET, json!({"client_id": "a", "client_secret": "b"}))));
    let token = random_text(28);
    service.knows(&token);
    api.answers(&json!({"access_token": token, "token_timeout": "60"}).to_string());
    let answer = connection.answer();
    let result = answer.is(200).value()["result"]["structuredContent"].clone();
    assert_eq!(read(&result["token_file"]), token);
    assert!(!answer.text().contains(&token));
}
