//! `curl` as people use it, and Equinix's own Go clients, which know nothing of this service but its address.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cancelled::read_request;
use crate::clients::over_streams;
use crate::harness::Check;
use crate::need::need;
use crate::service::{Service, program, succeeds, wait};
use crate::{INSTALL, named};

pub(crate) fn checks() -> Vec<Check> {
    named(
        "http",
        [
            ("curl_gets_a_token", curl_gets_a_token),
            ("curl_is_refused", curl_is_refused),
            ("curl_uses_the_token_of_a_tool", curl_uses_the_token_of_a_tool),
            ("curl_initializes_the_oldest_revision", curl_initializes_the_oldest_revision),
            ("streams_initialize_the_oldest_revision", streams_initialize_the_oldest_revision),
            ("clients_of_equinix_get_a_token", clients_of_equinix_get_a_token),
            ("clients_of_equinix_are_refused", clients_of_equinix_are_refused),
            ("clients_of_equinix_pass_through", clients_of_equinix_pass_through),
        ],
    )
}

/// What curl got.
#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("{self:?}"))
    }

    fn has_header(&self, line: &str) -> bool {
        self.head.lines().any(|found| found.eq_ignore_ascii_case(line))
    }
}

/// Runs curl in a home folder.
fn curl(home: &Path, url: &str, args: &[&str]) -> Answer {
    need("curl", Command::new("curl").arg("--version"), INSTALL);
    let mut curl = program("curl", home);
    let text = succeeds({
        curl.args(["--silent", "--show-error", "--max-time", "30", "--dump-header", "-"]).args(args).arg(url);
        curl
    });
    // A body that is large is announced, and the service may say that it shall come.
    let text = text.strip_prefix("HTTP/1.1 100 Continue\r\n\r\n").unwrap_or(&text);
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

impl Service {
    fn curl(&self, path: &str, args: &[&str]) -> Answer {
        curl(self.home.path(), &format!("{}{path}", self.rest), args)
    }

    /// The same with the bearer.
    fn curl_in(&self, path: &str, args: &[&str]) -> Answer {
        self.curl(path, &[&["--oauth2-bearer", &self.bearer], args].concat())
    }
}

/// The scope of the sandbox.
const SCOPE: &str = "roleassignments:00000000-0000-4000-8000-000000000001";
const TOKEN: &str = "/oauth2/v1/token";
const REFRESH: &str = "/oauth2/v1/refreshaccesstoken";
const EXCHANGE: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange\
    &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token&subject_token=";

fn curl_gets_a_token() {
    let service = Service::in_sandbox(&[]);
    let mut tokens = Vec::new();
    for _ in 0..2 {
        let answer = service.curl_in(TOKEN, &["--json", "{}"]);
        assert_eq!(answer.status, 200, "{answer:?}");
        assert!(
            answer.has_header("content-type: application/json")
                && answer.has_header("cache-control: no-store")
        );
        tokens.push(answer.json()["access_token"].as_str().unwrap().to_owned());
    }
    assert_eq!(tokens[0], tokens[1], "the token is kept for who asks next");
    let own = json!({"grant_type": "client_credentials", "client_id": "equinix-wif", "client_secret": service.bearer});
    let answer = service.curl(TOKEN, &["--json", &own.to_string()]);
    assert_eq!(answer.json()["access_token"], tokens[0], "{answer:?}");
    for path in ["/use/token", "/v1/token"] {
        let answer = service.curl(path, &["--data", &format!("{EXCHANGE}{}", service.bearer)]);
        assert_eq!(answer.status, 200, "{answer:?}");
        let exchanged = answer.json();
        assert_eq!(exchanged["access_token"], tokens[0]);
        assert_eq!(exchanged["issued_token_type"], "urn:ietf:params:oauth:token-type:access_token");
    }
    let answer = service.curl_in(REFRESH, &["--json", "{}"]);
    assert_eq!(answer.status, 200, "{answer:?}");
    // Whether it is another one depends on how long ago the last one was obtained.
    assert!(answer.json()["access_token"].is_string(), "{answer:?}");
    for path in ["/healthz", "/readyz"] {
        assert_eq!(service.curl(path, &[]).status, 200, "{path}");
    }
    assert!(service.curl_in("/metrics", &[]).body.contains("# TYPE"));
    let log = service.stop();
    assert!(!tokens.iter().any(|token| log.contains(token)), "a token is in the log");
}

fn curl_is_refused() {
    let service = Service::in_sandbox(&[]);
    let status = |answer: &Answer, wanted: u16| assert_eq!(answer.status, wanted, "{answer:?}");
    for path in [TOKEN, REFRESH] {
        let answer = service.curl(path, &["--json", "{}"]);
        status(&answer, 401);
        assert!(answer.has_header("www-authenticate: Bearer realm=\"equinix-wif-serve\""), "{answer:?}");
        assert!(answer.has_header("cache-control: no-store"), "{answer:?}");
        let other =
            json!({"grant_type": "client_credentials", "client_id": "other", "client_secret": "wrong"});
        let answer = service.curl(path, &["--json", &other.to_string()]);
        assert!([400, 401].contains(&answer.status), "{answer:?}");
        assert!(
            answer.json()["error_code"].is_string() || answer.json()["errorCode"].is_string(),
            "{answer:?}"
        );
        status(&service.curl_in(path, &["--json", "{"]), 400);
        status(&service.curl_in(path, &["--data", "a=b"]), 415);
        let answer = service.curl_in(path, &[]);
        status(&answer, 405);
        assert!(answer.has_header("allow: POST"), "{answer:?}");
        let large = format!("{{\"a\":\"{}\"}}", "x".repeat(70_000));
        let file = service.home.path().join("large");
        fs::write(&file, large).unwrap();
        status(&service.curl_in(path, &["--json", &format!("@{}", file.display())]), 413);
    }
    for path in ["/metrics", "/openapi.json"] {
        status(&service.curl(path, &[]), 401);
        status(&service.curl(path, &["--oauth2-bearer", "wrong"]), 401);
        status(&service.curl_in(path, &["--header", "Origin: https://attacker.example"]), 403);
        status(&service.curl_in(path, &["--header", "Host: attacker.example"]), 421);
    }
    let answer = service.curl("/use/token", &["--data", &format!("{EXCHANGE}wrong")]);
    assert!([400, 401].contains(&answer.status), "{answer:?}");
    let answer = service.curl_in("/use/token", &["--data", "grant_type=client_credentials&scope=a"]);
    status(&answer, 400);
    assert_eq!(answer.json()["error"], "unsupported_grant_type");
    let home = service.home.path();
    status(&curl(home, &service.mcp, &["--json", "{}"]), 401);
    let answer = curl(home, &service.mcp, &["--oauth2-bearer", &service.bearer, "--json", "{"]);
    status(&answer, 400);
    assert_eq!(answer.json()["error"]["code"], -32700);
    service.stop();
    let service = Service::in_sandbox(&["--backend", "pass-through"]);
    for path in ["/use/token", "/v1/token"] {
        status(&service.curl_in(path, &["--data", &format!("{EXCHANGE}{}", service.bearer)]), 404);
    }
    service.stop();
}

/// A request of a client to MCP, as the eras before 2026 have it.
fn mcp(service: &Service, revision: &str, request: &Value) -> Answer {
    let bearer = format!("Authorization: Bearer {}", service.bearer);
    let revision = format!("MCP-Protocol-Version: {revision}");
    let accept = "Accept: application/json, text/event-stream";
    let args =
        ["--header", &bearer, "--header", &revision, "--json", &request.to_string(), "--header", accept];
    curl(service.home.path(), &service.mcp, &args)
}

fn call(id: u8, tool: &str) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": "tools/call", "params": {"name": tool, "arguments": {}}})
}

/// No SDK asks for this revision, but people have clients that do.
const OLDEST: &str = "2025-06-18";

fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": OLDEST, "capabilities": {}, "clientInfo": {"name": "judge", "version": "1"},
    }})
}

fn curl_initializes_the_oldest_revision() {
    let service = Service::in_sandbox(&[]);
    let answer = mcp(&service, OLDEST, &initialize());
    assert_eq!(answer.json()["result"]["protocolVersion"], OLDEST, "{answer:?}");
    assert!(answer.has_header("content-type: application/json"), "{answer:?}");
    let note = mcp(&service, OLDEST, &json!({"jsonrpc": "2.0", "method": "notifications/initialized"}));
    assert_eq!(note.status, 202, "{note:?}");
    let list = mcp(&service, OLDEST, &json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    assert_eq!(list.json()["result"]["tools"].as_array().map(Vec::len), Some(4), "{list:?}");
    let got = mcp(&service, OLDEST, &call(2, "getoauth2accesstoken")).json();
    assert!(got["result"]["isError"] != true && got["result"]["structuredContent"].is_object(), "{got}");
    // The adapter's root is the same as its path.
    let root = service.mcp.strip_suffix("/mcp").unwrap();
    let args =
        ["--oauth2-bearer", &service.bearer, "--header", "Accept: application/json, text/event-stream"];
    let answer = curl(
        service.home.path(),
        &format!("{root}/"),
        &[&args[..], &["--json", &initialize().to_string()]].concat(),
    );
    assert_eq!(answer.json()["result"]["protocolVersion"], OLDEST, "{answer:?}");
    service.stop();
}

fn streams_initialize_the_oldest_revision() {
    let home = tempfile::tempdir().unwrap();
    let plan = over_streams(&["--sandbox"], &json!({}), home.path());
    let command: Vec<&str> = plan["command"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let mut service = program(command[0], home.path());
    service.args(&command[1..]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = service.spawn().unwrap();
    let note = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let mut stdin = child.stdin.take().unwrap();
    for message in [initialize(), note, call(2, "explain"), call(3, "getoauth2accesstoken")] {
        writeln!(stdin, "{message}").unwrap();
    }
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (sender, received) = mpsc::channel();
    thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let next = |_| serde_json::from_str(&received.recv_timeout(Duration::from_secs(30)).unwrap()).unwrap();
    let answers: Vec<Value> = (0..3).map(next).collect();
    drop(stdin);
    let output = wait(child, "the service on streams");
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let text = json!(answers);
    let answer = |id| answers.iter().find(|answer| answer["id"] == id).unwrap_or_else(|| panic!("{text}"));
    assert_eq!(answer(1)["result"]["protocolVersion"], OLDEST, "{text}");
    assert_eq!(answer(2)["error"]["code"], -32602, "{text}");
    assert!(answer(3)["result"]["structuredContent"].is_object(), "{text}");
}

/// The recipe for people whose model may not hold a token: curl reads the header line from the file that a tool names.
fn curl_uses_the_token_of_a_tool() {
    let service = Service::in_sandbox(&[]);
    let got = mcp(&service, OLDEST, &call(2, "getoauth2accesstoken")).json();
    let named = got["result"]["structuredContent"].as_object().unwrap_or_else(|| panic!("{got}"));
    let starts =
        |path: &str| fs::read_to_string(path).is_ok_and(|text| text.starts_with("Authorization: Bearer "));
    let file =
        named.values().filter_map(Value::as_str).find(|path| starts(path)).unwrap_or_else(|| panic!("{got}"));
    let file = file.to_owned();
    // The service is no API of Equinix, so it refuses the token. It is the header that counts here.
    let answer = service.curl("/metrics", &["--header", &format!("@{file}"), "--verbose"]);
    assert_eq!(answer.status, 401, "{answer:?}");
    service.stop();
    assert!(!Path::new(&file).exists(), "{file} is left");
}

/// Lets a Go client of Equinix ask, and returns what it read.
fn peer(service: &Service, client: &str, args: &[&str]) -> Value {
    let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/foreign/peers/.bin/peers");
    need("program with the Go clients of Equinix", Command::new(&peers).arg("version"), INSTALL);
    let mut peers = program(peers, service.home.path());
    peers.args(["ask", client, &service.rest]).args(args);
    let text = succeeds(peers);
    serde_json::from_str(text.lines().last().unwrap()).unwrap_or_else(|_| panic!("{text}"))
}

fn clients_of_equinix_get_a_token() {
    let service = Service::in_sandbox(&[]);
    let bearer = service.bearer.clone();
    for (client, args) in [
        ("sdk", ["equinix-wif", &bearer].as_slice()),
        ("legacy", &["equinix-wif", &bearer]),
        ("refresh", &["equinix-wif", &bearer, "any"]),
        ("sts-exchange", &[SCOPE, &bearer]),
    ] {
        let read = peer(&service, client, args);
        assert!(read["token"].as_str().is_some_and(|token| token.len() > 15), "{client}: {read}");
        // What the program asks with does not print the life of a token that was renewed.
        let lives = client == "refresh" || read["expires_in"].as_i64().is_some_and(|left| left > 0);
        assert!(lives, "{client}: {read}");
    }
    service.stop();
}

fn clients_of_equinix_are_refused() {
    let service = Service::in_sandbox(&[]);
    for (client, args) in [
        ("sdk", ["equinix-wif", "wrong"].as_slice()),
        ("sdk", &["other", &service.bearer]),
        ("legacy", &["equinix-wif", "wrong"]),
        ("sts-exchange", &[SCOPE, "wrong"]),
    ] {
        let read = peer(&service, client, args);
        assert!(read["token"].is_null() && read["error"].is_string(), "{client}: {read}");
    }
    service.stop();
}

/// An API that gives everybody the same token.
fn generous_api(token: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let body = json!({"access_token": token, "token_timeout": "3599", "user_name": "someone", "token_type": "Bearer",
        "refresh_token": "r", "refresh_token_timeout": "5183999"})
    .to_string();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
    let answer = format!("{head}Content-Length: {}\r\n\r\n{body}", body.len());
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            thread::spawn(move || {
                read_request(&stream).and_then(|()| stream.write_all(answer.as_bytes()).ok())
            });
        }
    });
    url
}

/// Their own id and secret go to the API. They cannot send a bearer beside it.
fn clients_of_equinix_pass_through() {
    let api = generous_api("a-token-of-the-api");
    let args = ["--backend", "pass-through", "--allow-unauthenticated"];
    let service = Service::start(&args, &[("EQUINIX_API_ENDPOINT", &api)]);
    for client in ["sdk", "legacy"] {
        let read = peer(&service, client, &["a-client", "its-secret"]);
        assert_eq!(read["token"], "a-token-of-the-api", "{client}: {read}");
    }
    let log = service.stop();
    assert!(!log.contains("its-secret") && !log.contains("a-token-of-the-api"), "{log}");
}
