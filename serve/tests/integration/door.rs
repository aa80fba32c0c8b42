//! The door of both adapters: which name was called, from which page, with which bearer, and what else no route takes.

use serde_json::json;

use crate::support::client::{Answer, Ask, Place};
use crate::support::mcp;
use crate::support::random_text;
use crate::support::service::{Service, Setup};

/// A service with a good request to each of its adapters.
struct Doors {
    service: Service,
}

impl Doors {
    fn new() -> Self {
        Self { service: Setup::sandbox().start() }
    }

    /// Each adapter with a request that it answers with 200, once it has the bearer.
    fn each(&self) -> [(&Place, Ask); 2] {
        let listing = mcp::request(1, "tools/list", json!({}));
        [
            (self.service.rest(), Ask::json("/oauth2/v1/token", &json!({}))),
            (self.service.mcp(), mcp::post(&listing)),
        ]
    }

    /// Asks both with the bearer and what else the test adds.
    #[track_caller]
    fn ask(&self, change: impl Fn(Ask, &Place) -> Ask, status: u16) -> Vec<Answer> {
        let bearer = &self.service.bearer;
        self.ask_without_bearer(|ask, place| change(ask.bearer(bearer), place), status)
    }

    #[track_caller]
    fn ask_without_bearer(&self, change: impl Fn(Ask, &Place) -> Ask, status: u16) -> Vec<Answer> {
        let asks = self.each().map(|(place, ask)| (place, change(ask, place)));
        asks.iter().map(|(place, ask)| place.ask(ask).is(status).clone()).collect()
    }
}

#[test]
fn its_own_names_are_answered() {
    let doors = Doors::new();
    doors.ask(|ask, _| ask, 200);
    doors.ask(|ask, place| ask.header("Host", format!("localhost:{}", place.address().port())), 200);
    doors.ask(|ask, place| ask.header("Host", format!("LOCALHOST:{}", place.address().port())), 200);
}

#[test]
fn a_foreign_name_is_misdirected() {
    let doors = Doors::new();
    for name in [
        "evil.example",
        "localhost",
        "127.0.0.1",
        "127.0.0.1:1",
        "localhost.:PORT",
        "evil.example:PORT",
        "[::1]:PORT",
        "127.1:PORT",
        "user@127.0.0.1:PORT",
    ] {
        let change = |ask: Ask, place: &Place| {
            ask.header("Host", name.replace("PORT", &place.address().port().to_string()))
        };
        doors.ask(change, 421);
    }
    // The name is judged before the bearer, and open paths have it judged as well.
    doors.ask_without_bearer(|ask, _| ask.header("Host", "evil.example"), 421);
    for path in ["/healthz", "/readyz", "/use/token", "/nothing"] {
        let ask = Ask::get(path).header("Host", "evil.example");
        doors.service.ask_as_it_is(&ask).is(421);
    }
}

#[test]
fn a_request_names_its_host_once() {
    let doors = Doors::new();
    doors.ask(|ask, _| ask.header("Host", Ask::NO_VALUE), 421);
    doors.ask(|ask, place| ask.header("Host", place.host()).header("Host", place.host()), 421);
    doors.ask(|ask, place| ask.header("Host", place.host()).header("Host", "evil.example"), 421);
    doors.ask(|ask, _| ask.header("Host", ""), 421);
}

#[test]
fn a_whole_url_as_target_has_to_be_its_own() {
    let doors = Doors::new();
    for ((place, _), path) in doors.each().iter().zip(["/healthz", "/mcp"]) {
        let (host, status) = (place.host(), if path == "/mcp" { 401 } else { 200 });
        let target = |name: &str| Ask::get(&format!("http://{name}{path}")).header("Host", host.clone());
        place.ask(&target(&host)).is(status);
        place.ask(&target("evil.example")).is(421);
        place.ask(&Ask::get(&format!("http://{host}{path}")).header("Host", "evil.example")).is(421);
    }
}

#[test]
fn pages_of_other_origins_may_not_ask() {
    let doors = Doors::new();
    for origin in [
        "null",
        "http://evil.example",
        "https://localhost.evil.example",
        "http://127.0.0.1.nip.io",
        "file://",
        "",
        "chrome-extension://abcdef",
    ] {
        doors.ask(|ask, _| ask.header("Origin", origin), 403);
    }
    doors.ask(|ask, _| ask.header("Origin", "http://localhost").header("Origin", "http://evil.example"), 403);
    for path in ["/healthz", "/readyz", "/use/token"] {
        doors.service.ask_as_it_is(&Ask::get(path).header("Origin", "http://evil.example")).is(403);
    }
}

#[test]
fn pages_of_this_machine_may_ask_and_are_told_nothing_more() {
    let doors = Doors::new();
    for origin in ["http://localhost:3000", "http://127.0.0.1:6274", "http://[::1]:1", "https://localhost"] {
        for answer in doors.ask(|ask, _| ask.header("Origin", origin), 200) {
            assert_eq!(answer.header("vary"), None);
        }
    }
}

#[test]
fn the_bearer_stands_in_one_header_and_nowhere_else() {
    let doors = Doors::new();
    let bearer = &doors.service.bearer;
    let basic = "Basic ".to_owned() + &random_text(40);
    doors.ask_without_bearer(|ask, _| ask.header("authorization", format!("bearer {bearer}")), 200);
    for values in [
        vec![],
        vec![format!("Bearer {}", &bearer[..bearer.len() - 1])],
        vec![format!("Bearer {}.", &bearer[..bearer.len() - 1])],
        vec![format!("Bearer {bearer}x")],
        vec![format!("Bearer {bearer}"), format!("Bearer {bearer}")],
        vec![format!("Bearer {bearer}"), "Bearer x".to_owned()],
        vec![basic.clone()],
        vec![format!("Basic {bearer}")],
        vec![bearer.clone()],
        vec![format!("Token {bearer}")],
        vec!["Bearer".to_owned()],
        vec![String::new()],
    ] {
        let with =
            |ask: Ask| values.iter().fold(ask, |ask, value| ask.header("Authorization", value.clone()));
        for answer in doors.ask_without_bearer(|ask, _| with(ask), 401) {
            assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"equinix-wif-serve\""));
            assert!(!answer.text().contains(bearer.as_str()));
        }
    }
    for path in ["/metrics", "/openapi.json"] {
        doors.service.ask(Ask::get(path)).is(200);
        doors.service.ask_as_it_is(&Ask::get(path)).is(401);
        for name in ["access_token", "bearer", "token"] {
            doors.service.ask_as_it_is(&Ask::get(&format!("{path}?{name}={bearer}"))).is(401);
        }
        doors.service.ask_as_it_is(&Ask::get(path).header("Cookie", format!("token={bearer}"))).is(401);
    }
    doors.service.mcp().ask(&Ask::get(&format!("/mcp?access_token={bearer}"))).is(401);
}

#[test]
fn health_and_readiness_are_open_and_nothing_else() {
    let doors = Doors::new();
    doors.service.ask_as_it_is(&Ask::get("/healthz")).is(200);
    doors.service.token();
    doors.service.ask_as_it_is(&Ask::get("/readyz")).is(200);
    for path in ["/", "/metrics", "/openapi.json", "/healthz/", "/readyz/x", "/mcp", "/nothing", "//healthz"]
    {
        doors.service.ask_as_it_is(&Ask::get(path)).is(401);
        doors.service.mcp().ask(&Ask::get(path)).is(401);
    }
    doors.service.mcp().ask(&Ask::get("/healthz")).is(401);
}

#[test]
fn no_other_way_to_write_a_path_is_open() {
    let doors = Doors::new();
    let fields = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        ("subject_token", doors.service.bearer.as_str()),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
    ];
    doors.service.ask_as_it_is(&Ask::form("/use/token", &fields)).is(200);
    doors.service.ask_as_it_is(&Ask::form("/use/token?x=y", &fields)).is(200);
    for path in [
        "/use/token/",
        "/use//token",
        "//use/token",
        "/./use/token",
        "/x/../use/token",
        "/use/%74oken",
        "/USE/TOKEN",
        "/use/token;x",
        "/use/token%2f",
        "/healthz/../metrics",
        "/oauth2/v1/token/",
    ] {
        doors.service.ask_as_it_is(&Ask::form(path, &fields)).is(401);
        doors.service.ask(Ask::form(path, &fields)).is(404);
    }
    let star = Ask::new("OPTIONS", "*");
    let status = doors.service.ask_as_it_is(&star).status;
    assert!([401, 404, 405].contains(&status), "{status}");
}

#[test]
fn what_http_permits_is_understood() {
    let doors = Doors::new();
    let rest = doors.service.rest();
    let good = Ask::json("/oauth2/v1/token", &json!({})).bearer(&doors.service.bearer);
    // One that asks before it sends its body.
    let wire = good.clone().header("Expect", "100-continue").wire(&rest.host());
    let mut connection = rest.connect();
    connection.send(&wire[..wire.len() - 2]);
    assert_eq!(connection.raw_answer().map(|answer| answer.status), Some(100));
    connection.send(b"{}");
    connection.answer().is(200);
    // One that is refused need not send it.
    let refused = good.clone().without("Authorization").header("Authorization", "Bearer x");
    let wire = refused.header("Expect", "100-continue").wire(&rest.host());
    let mut connection = rest.connect();
    connection.send(&wire[..wire.len() - 2]);
    assert_ne!(connection.raw_answer().map(|answer| answer.status), Some(200));
    let mut connection = rest.connect();
    connection.ask(&good.clone().header("Connection", "close")).is(200);
    assert!(connection.is_ended());
    // HTTP/1.0 with a Host, and a head whose lines have odd blanks.
    let mut connection = rest.connect();
    connection.send(format!("GET /healthz HTTP/1.0\r\nHOST:   {}  \r\n\r\n", rest.host()).as_bytes());
    connection.answer().is(200);
    assert!(connection.is_ended());
}

#[test]
fn other_methods_are_told_which_one_it_is() {
    let doors = Doors::new();
    for (path, allowed) in [
        ("/oauth2/v1/token", "POST"),
        ("/oauth2/v1/refreshaccesstoken", "POST"),
        ("/use/token", "POST"),
        ("/v1/token", "POST"),
        ("/healthz", "GET,HEAD"),
        ("/readyz", "GET,HEAD"),
        ("/metrics", "GET,HEAD"),
        ("/openapi.json", "GET,HEAD"),
    ] {
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"] {
            if allowed.contains(method) {
                continue;
            }
            let answer = doors.service.ask(Ask::new(method, path));
            answer.is(405);
            assert_eq!(answer.header("allow"), Some(allowed), "{method} {path}");
        }
    }
    for method in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        for path in ["/mcp", "/"] {
            let answer = doors
                .service
                .ask_mcp(Ask::new(method, path).header("Accept", "application/json, text/event-stream"));
            answer.is(405);
            assert_eq!(answer.header("allow"), Some("POST"), "{method} {path}");
        }
    }
}

#[test]
fn no_page_is_invited() {
    let doors = Doors::new();
    for path in ["/oauth2/v1/token", "/healthz"] {
        let preflight = Ask::new("OPTIONS", path)
            .header("Origin", "http://localhost:3000")
            .header("Access-Control-Request-Method", "POST")
            .header("Access-Control-Request-Headers", "authorization");
        // That no header of CORS is in it is checked with every answer.
        doors.service.ask(preflight.clone()).is(405);
    }
    let preflight = Ask::new("OPTIONS", "/mcp")
        .header("Origin", "http://localhost:3000")
        .header("Access-Control-Request-Method", "POST");
    doors.service.mcp().ask(&preflight).is(401);
    doors.service.ask_mcp(preflight).is(405);
}

#[test]
fn other_types_are_refused_in_the_form_of_the_route() {
    let doors = Doors::new();
    for path in ["/oauth2/v1/token", "/oauth2/v1/refreshaccesstoken"] {
        for media_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            let answer = doors.service.ask(Ask::post(path, media_type, "{}"));
            answer.refuses(415, "cfg-request-invalid");
        }
        doors.service.ask(Ask::new("POST", path)).refuses(415, "cfg-request-invalid");
        doors.service.ask(Ask::post(path, "Application/JSON; charset=utf-8", "{}")).is(200);
    }
    for path in ["/use/token", "/v1/token"] {
        for media_type in ["application/json", "text/plain", ""] {
            doors.service.ask(Ask::post(path, media_type, "a=b")).refuses_oauth(415, "invalid_request");
        }
    }
    let listing = mcp::request(1, "tools/list", json!({})).to_string();
    let ask =
        Ask::post("/mcp", "text/plain", listing).header("Accept", "application/json, text/event-stream");
    doors.service.ask_mcp(ask).is(415);
}

#[test]
fn what_is_too_large_is_refused_in_the_form_of_the_route() {
    let doors = Doors::new();
    let body = |size: usize| {
        let open = "{\"x\":\"";
        format!("{open}{}\"}}", "y".repeat(size - open.len() - 2))
    };
    let (most, more) = (body(64 << 10), body((64 << 10) + 1));
    for path in ["/oauth2/v1/token", "/oauth2/v1/refreshaccesstoken"] {
        doors.service.ask(Ask::post(path, "application/json", most.clone())).is(200);
        let answer = doors.service.ask(Ask::post(path, "application/json", more.clone()));
        answer.refuses(413, "cfg-request-invalid");
    }
    let answer =
        doors.service.ask(Ask::post("/use/token", "application/x-www-form-urlencoded", more.clone()));
    answer.refuses_oauth(413, "invalid_request");
    let ask =
        Ask::post("/mcp", "application/json", more).header("Accept", "application/json, text/event-stream");
    let answer = doors.service.ask_mcp(ask);
    answer.is(413);
    assert_eq!(answer.value()["error"]["code"], -32_600);
    // One that only says so is not waited for.
    let ask = Ask::post("/oauth2/v1/token", "application/json", "{").header("Content-Length", "1000000");
    doors.service.ask(ask).refuses(413, "cfg-request-invalid");
}

#[test]
fn a_body_in_chunks_is_taken_up_to_its_limit() {
    let doors = Doors::new();
    let head = |length: usize| {
        format!(
            "POST /oauth2/v1/token HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
             Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n",
            doors.service.rest().host(),
            doors.service.bearer
        )
    };
    let mut connection = doors.service.rest().connect();
    connection.send(format!("{}{{}}\r\n0\r\n\r\n", head(2)).as_bytes());
    connection.answer().is(200);
    let mut connection = doors.service.rest().connect();
    connection.send(format!("{}{}", head(70_000), " ".repeat(70_000)).as_bytes());
    connection.answer().refuses(413, "cfg-request-invalid");
}

#[test]
fn a_body_that_is_no_json_object_is_refused() {
    let doors = Doors::new();
    for path in ["/oauth2/v1/token", "/oauth2/v1/refreshaccesstoken"] {
        for body in [
            &b""[..],
            b"{",
            b"nonsense",
            b"[]",
            b"[{}]",
            b"null",
            b"1",
            b"\"{}\"",
            b"{}{}",
            b"\xef\xbb\xbf{}",
            b"{\"client_id\":\"\xff\"}",
            b"{\"client_id\":1}",
            b"{\"client_id\":\"a\",\"client_id\":\"a\"}",
            b"{\"client_secret\":\"a\",\"client_id\":\"a\",\"client_secret\":\"b\"}",
            b"{\"grant_type\":[\"client_credentials\"]}",
            b"{\"client_id\":\"\\ud800\"}",
        ] {
            let answer = doors.service.ask(Ask::post(path, "application/json", body));
            answer.refuses(400, "cfg-request-invalid");
        }
        // Members that it does not know are left aside, however deep they are.
        let deep = format!("{{\"x\":{}1{}}}", "[".repeat(30_000), "]".repeat(30_000));
        doors.service.ask(Ask::post(path, "application/json", deep)).is(200);
    }
    for body in ["subject_token=%zz", "a=%ff", "subject_token=a&subject_token=a"] {
        let answer = doors.service.ask(Ask::post("/use/token", "application/x-www-form-urlencoded", body));
        assert!([400, 401].contains(&answer.status), "{}", answer.text());
        assert!(answer.value()["error"].is_string());
    }
}

#[test]
fn what_is_no_http_ends_its_own_connection_and_nothing_else() {
    let doors = Doors::new();
    for place in [doors.service.rest(), doors.service.mcp()] {
        for said in [
            "\r\n\r\n\r\n",
            "nonsense\r\n\r\n",
            "GET\r\n\r\n",
            "GET / HTTP/3.0\r\n\r\n",
            "\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}\u{0}",
            "POST /mcp HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            "POST /mcp HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "POST /mcp HTTP/1.1\r\nHost : x\r\n\r\n",
        ] {
            let mut connection = place.connect();
            connection.send(said.as_bytes());
            connection.finish();
            if let Some(answer) = connection.raw_answer() {
                assert!((400..500).contains(&answer.status), "{said:?}: {answer:?}");
            }
        }
    }
    doors.ask(|ask, _| ask, 200);
}
