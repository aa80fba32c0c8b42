//! M2, M3 and M4: statuses, bodies, and what the members of a good answer may say.

use serde_json::{Value, json};

use super::support::job::{Job, SCOPE, sts_success};
use super::support::server::Reply;
use super::{End, Ends, Row, Rows, github};

/// A fault at one end: how it ends at the ID-token endpoint, and at the STS.
type Codes = [(i32, &'static str); 2];

fn at(end: End, codes: Codes) -> Ends {
    let (exit, code) = codes[usize::from(end == End::Sts)];
    Ends::Badly(exit, code)
}

/// How often each server is asked when this end fails: once, four times, or more when it asks to slow down.
fn requests(end: End, exit: i32, code: &str) -> (usize, usize) {
    let tries = match (exit, code) {
        (8, "rate-limited") => 12,
        (8, _) => 4,
        _ => 1,
    };
    match end {
        End::IdToken => (tries, 0),
        End::Sts => (1, tries),
    }
}

fn both(name: &str, reply: &Reply, codes: Codes, rows: &mut Rows) {
    for end in End::BOTH {
        let reply = reply.clone();
        let (exit, code) = codes[usize::from(end == End::Sts)];
        let row =
            Row::new(at(end, codes), requests(end, exit, code), move || end.always(github(), reply.clone()));
        rows.push((format!("{name}, {end:?}"), row));
    }
}

/// M2. Everything but 200 is refused; eight statuses are tried again.
pub(super) fn statuses() -> Rows {
    let refused: Codes = [(4, "id-token-http"), (7, "sts-unexpected-status")];
    let redirect: Codes = [(4, "id-token-redirect"), (6, "sts-redirect")];
    let denied: Codes = [(4, "id-token-http"), (6, "sts-denied")];
    let failed: Codes = [(8, "server-error"), (8, "server-error")];
    let mut rows = Rows::new();
    for (status, codes) in [
        (201, refused),
        (202, refused),
        (203, refused),
        (206, refused),
        (226, refused),
        (299, refused),
        (300, redirect),
        (301, redirect),
        (302, redirect),
        (303, redirect),
        (307, redirect),
        (308, redirect),
        (400, denied),
        (401, [(4, "id-token-http"), (6, "sts-forbidden")]),
        (403, [(4, "id-token-http"), (6, "sts-forbidden")]),
        (404, [(4, "id-token-http"), (6, "sts-endpoint-not-found")]),
        (405, [(4, "id-token-http"), (6, "sts-endpoint-not-found")]),
        (410, [(4, "id-token-http"), (6, "sts-endpoint-not-found")]),
        (418, denied),
        (409, [(8, "server-error"), (8, "sts-conflict")]),
        (429, [(8, "rate-limited"), (8, "rate-limited")]),
        (500, failed),
        (503, failed),
        (501, refused),
    ] {
        let reply = Reply::status(status)
            .header("Retry-After", "0")
            .header("Location", "https://elsewhere.example/")
            .body("<html>busy</html>");
        both(&status.to_string(), &reply, codes, &mut rows);
    }
    rows
}

/// M3. What stands in a body that should be a JSON object of a certain size.
pub(super) fn bodies() -> Rows {
    let text: Codes = [(4, "id-token-not-json"), (7, "sts-not-json")];
    let large: Codes = [(4, "id-token-too-large"), (7, "sts-too-large")];
    let deep = format!("{{\"x\":{}1{}}}", "[".repeat(100), "]".repeat(100));
    let good = sts_success().to_string();
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let json = |body: Vec<u8>| Reply::status(200).header("content-type", "application/json").body(body);
    let bytes = |text: &str| text.as_bytes().to_vec();
    let big = format!("{{\"x\":\"{}\"}}", "y".repeat(300 << 10));
    let mut rows = Rows::new();
    for (name, reply, codes) in [
        ("nothing", json(Vec::new()), text),
        ("white space", json(bytes(" \r\n")), text),
        ("HTML named JSON", json(bytes("<html></html>")), text),
        ("null", json(bytes("null")), text),
        ("an array", json(bytes(&format!("[{good}]"))), text),
        ("a string", json(bytes("\"token\"")), text),
        ("a number", json(bytes("1")), text),
        ("a byte-order mark", json(bytes(&format!("\u{feff}{good}"))), text),
        ("UTF-16", json(utf16), text),
        ("no UTF-8", json(b"{\"x\":\"\xff\"}".to_vec()), text),
        ("a member twice", json(bytes("{\"x\":1,\"x\":2}")), text),
        ("nested deeply", json(bytes(&deep)), text),
        ("two objects", json(bytes(&format!("{good}{good}"))), text),
        ("half an object", json(bytes(&good[..good.len() / 2])), text),
        ("a lone surrogate", json(bytes("{\"x\":\"\\ud800\"}")), text),
        ("a number beyond all", json(bytes("{\"x\":1e400}")), text),
        ("compressed", Reply::json(&sts_success()).header("content-encoding", "gzip"), text),
        ("too large", json(bytes(&big)), large),
        ("too large, in chunks", json(bytes(&big)).chunked(), large),
        ("without an end", Reply::json(&sts_success()).endless_body(), large),
    ] {
        both(name, &reply, codes, &mut rows);
    }
    rows
}

/// A good answer with these members changed; `null` leaves one out.
fn answer(changes: Value) -> impl Fn() -> Job + Send + Sync {
    move || {
        let changes = changes.clone();
        github().sts_answer(move |answer| {
            for (name, value) in changes.as_object().unwrap() {
                match value {
                    Value::Null => drop(answer.remove(name)),
                    value => drop(answer.insert(name.clone(), value.clone())),
                }
            }
        })
    }
}

/// M4. The four members that count: 12 lives, 8 types, 6 scopes, 10 tokens.
pub(super) fn meanings() -> Rows {
    let invalid = Ends::Badly(7, "sts-response-invalid");
    let short = Ends::Badly(7, "token-ttl-too-short");
    let mismatch = Ends::Badly(7, "scope-mismatch");
    let mut rows = Rows::new();
    for (name, value, ends) in [
        ("a life", json!(3600), Ends::Well),
        ("a fraction", json!(3600.9), Ends::Well),
        ("the longest life", json!(31_536_000), Ends::Well),
        ("the shortest life", json!(60), Ends::Well),
        ("too short a life", json!(59), short),
        ("no time at all", json!(0), invalid),
        ("a negative life", json!(-1), invalid),
        ("too long a life", json!(31_536_001), invalid),
        ("a life as text", json!("3600"), invalid),
        ("a life as truth", json!(true), invalid),
        ("a life in a list", json!([3600]), invalid),
        ("no life", Value::Null, invalid),
    ] {
        rows.push((name.to_owned(), Row::new(ends, (1, 1), answer(json!({"expires_in": value})))));
    }
    for (name, member, value, ends) in [
        ("bearer", "token_type", json!("bearer"), Ends::Well),
        ("another type", "token_type", json!("MAC"), Ends::Badly(7, "sts-token-type")),
        ("not applicable", "token_type", json!("N_A"), Ends::Badly(7, "sts-token-type")),
        ("no type", "token_type", Value::Null, invalid),
        ("a type in a list", "token_type", json!(["Bearer"]), invalid),
        (
            "another issued type",
            "issued_token_type",
            json!("urn:ietf:params:oauth:token-type:id_token"),
            Ends::Badly(7, "sts-issued-token-type"),
        ),
        ("no issued type", "issued_token_type", Value::Null, invalid),
        ("a number as issued type", "issued_token_type", json!(1), invalid),
    ] {
        rows.push((name.to_owned(), Row::new(ends, (1, 1), answer(json!({member: value})))));
    }
    for (name, value, ends) in [
        ("the scope that was asked for", json!(SCOPE), Ends::Well),
        ("no scope", Value::Null, Ends::Well),
        ("a narrower scope", json!(""), Ends::Well),
        ("a broader scope", json!(format!("{SCOPE} orgpolicies:1")), mismatch),
        ("another scope", json!("orgpolicies:1"), mismatch),
        ("a scope in a list", json!([SCOPE]), invalid),
    ] {
        rows.push((name.to_owned(), Row::new(ends, (1, 1), answer(json!({"scope": value})))));
    }
    for (name, value, ends) in [
        ("the shortest token", json!("Zk3Qw8RtYp5LmNx2"), Ends::Well),
        ("a token with padding", json!("Zk3Qw8RtYp5LmNx2VbHs=="), Ends::Well),
        ("no token", Value::Null, invalid),
        ("an empty token", json!(""), invalid),
        ("too short a token", json!("Zk3Qw8RtYp5LmNx"), invalid),
        ("too long a token", json!("Zk3Qw8RtYp5LmNx2".repeat(2049)), invalid),
        ("a token with a line feed", json!("Zk3Qw8RtYp5LmNx2\nPATH=/tmp"), invalid),
        ("a token with NUL", json!("Zk3Qw8RtYp5LmNx2\u{0}"), invalid),
        ("a token with a quote", json!("Zk3Qw8RtYp5LmNx2'"), invalid),
        ("a token with an umlaut", json!("Zk3Qw8RtYp5LmNx2ü"), invalid),
    ] {
        rows.push((name.to_owned(), Row::new(ends, (1, 1), answer(json!({"access_token": value})))));
    }
    rows
}
