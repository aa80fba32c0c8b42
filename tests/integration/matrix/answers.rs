//! M2, M3 and M4: statuses, bodies, and what the members of a good answer may say.

use serde_json::{Value, json};

use super::Ends::{Badly, Well};
use super::support::job::{SCOPE, sts_success};
use super::support::server::Reply;
use super::{End, Ends, RETRIED, Row, github};

/// How a fault ends at the ID-token endpoint, and at the STS.
type Codes = [(i32, &'static str); 2];

/// How often each server is asked when this end fails: once, or again and again.
fn requests(end: End, exit: i32) -> (usize, usize) {
    let tries = if exit == 8 { RETRIED } else { 1 };
    match end {
        End::IdToken => (tries, 0),
        End::Sts => (1, tries),
    }
}

/// An end that always gives this reply.
fn body(end: End, reply: Reply, codes: Codes) -> Row {
    let (exit, code) = codes[usize::from(end == End::Sts)];
    let row = Row::new(Badly(exit, code), requests(end, exit), end.always(github(), reply));
    if exit == 8 { row.retried() } else { row }
}

fn status(end: End, status: u16, codes: Codes) -> Row {
    let reply = Reply::status(status)
        .header("Retry-After", "0")
        .header("Location", "https://elsewhere.example/")
        .body("<html>busy</html>");
    body(end, reply, codes)
}

const REFUSED: Codes = [(4, "id-token-http"), (7, "sts-unexpected-status")];
const REDIRECT: Codes = [(4, "id-token-redirect"), (6, "sts-redirect")];
const DENIED: Codes = [(4, "id-token-http"), (6, "sts-denied")];
const FORBIDDEN: Codes = [(4, "id-token-http"), (6, "sts-forbidden")];
const NOT_FOUND: Codes = [(4, "id-token-http"), (6, "sts-endpoint-not-found")];
const CONFLICT: Codes = [(8, "server-error"), (8, "sts-conflict")];
const LIMITED: Codes = [(8, "rate-limited"), (8, "rate-limited")];
const FAILED: Codes = [(8, "server-error"), (8, "server-error")];

// Everything but 200 is refused; eight statuses are tried again.
faults! {
    m02(both) {
        status_201: status(201) => REFUSED;
        status_202: status(202) => REFUSED;
        status_203: status(203) => REFUSED;
        status_206: status(206) => REFUSED;
        status_226: status(226) => REFUSED;
        status_299: status(299) => REFUSED;
        status_300: status(300) => REDIRECT;
        status_301: status(301) => REDIRECT;
        status_302: status(302) => REDIRECT;
        status_303: status(303) => REDIRECT;
        status_307: status(307) => REDIRECT;
        status_308: status(308) => REDIRECT;
        status_400: status(400) => DENIED;
        status_401: status(401) => FORBIDDEN;
        status_403: status(403) => FORBIDDEN;
        status_404: status(404) => NOT_FOUND;
        status_405: status(405) => NOT_FOUND;
        status_410: status(410) => NOT_FOUND;
        status_418: status(418) => DENIED;
        status_409: status(409) => CONFLICT;
        status_429: status(429) => LIMITED;
        status_500: status(500) => FAILED;
        status_503: status(503) => FAILED;
        status_501: status(501) => REFUSED;
    }
}

/// A body that is announced as JSON.
fn json(bytes: impl Into<Vec<u8>>) -> Reply {
    Reply::status(200).header("content-type", "application/json").body(bytes.into())
}

/// The text of a good answer.
fn good() -> String {
    sts_success().to_string()
}

fn half() -> String {
    let good = good();
    good[..good.len() / 2].to_owned()
}

fn utf16() -> Vec<u8> {
    good().encode_utf16().flat_map(u16::to_le_bytes).collect()
}

fn deep() -> String {
    format!("{{\"x\":{}1{}}}", "[".repeat(100), "]".repeat(100))
}

fn big() -> String {
    format!("{{\"x\":\"{}\"}}", "y".repeat(300 << 10))
}

const TEXT: Codes = [(4, "id-token-not-json"), (7, "sts-not-json")];
const LARGE: Codes = [(4, "id-token-too-large"), (7, "sts-too-large")];

// What stands in a body that should be a JSON object of a certain size.
faults! {
    m03(both) {
        nothing: body(json("")) => TEXT;
        white_space: body(json(" \r\n")) => TEXT;
        html_named_json: body(json("<html></html>")) => TEXT;
        null: body(json("null")) => TEXT;
        an_array: body(json(format!("[{}]", good()))) => TEXT;
        a_string: body(json("\"token\"")) => TEXT;
        a_number: body(json("1")) => TEXT;
        a_byte_order_mark: body(json(format!("\u{feff}{}", good()))) => TEXT;
        utf_16: body(json(utf16())) => TEXT;
        no_utf_8: body(json(b"{\"x\":\"\xff\"}")) => TEXT;
        a_member_twice: body(json("{\"x\":1,\"x\":2}")) => TEXT;
        nested_deeply: body(json(deep())) => TEXT;
        two_objects: body(json(good().repeat(2))) => TEXT;
        half_an_object: body(json(half())) => TEXT;
        a_lone_surrogate: body(json("{\"x\":\"\\ud800\"}")) => TEXT;
        a_number_beyond_all: body(json("{\"x\":1e400}")) => TEXT;
        compressed: body(Reply::json(&sts_success()).header("content-encoding", "gzip")) => TEXT;
        too_large: body(json(big())) => LARGE;
        too_large_in_chunks: body(json(big()).chunked()) => LARGE;
        without_an_end: body(Reply::json(&sts_success()).endless_body()) => LARGE;
    }
}

/// A good answer with this member changed; `null` leaves it out.
fn member(name: &'static str, value: Value, ends: Ends) -> Row {
    let job = github().sts_answer(move |answer| match &value {
        Value::Null => drop(answer.remove(name)),
        value => drop(answer.insert(name.to_owned(), value.clone())),
    });
    Row::new(ends, (1, 1), job)
}

fn expires_in(value: Value, ends: Ends) -> Row {
    member("expires_in", value, ends)
}

fn token_type(value: Value, ends: Ends) -> Row {
    member("token_type", value, ends)
}

fn issued_token_type(value: Value, ends: Ends) -> Row {
    member("issued_token_type", value, ends)
}

fn scope(value: Value, ends: Ends) -> Row {
    member("scope", value, ends)
}

fn access_token(value: Value, ends: Ends) -> Row {
    member("access_token", value, ends)
}

const INVALID: Ends = Badly(7, "sts-response-invalid");
const SHORT: Ends = Badly(7, "token-ttl-too-short");
const TYPE: Ends = Badly(7, "sts-token-type");
const ISSUED_TYPE: Ends = Badly(7, "sts-issued-token-type");
const MISMATCH: Ends = Badly(7, "scope-mismatch");
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

// The four members that count: 12 lives, 8 types, 6 scopes, 10 tokens.
faults! {
    m04 {
        a_life: expires_in(json!(3600)) => Well;
        a_fraction_of_a_second: expires_in(json!(3600.9)) => Well;
        the_longest_life: expires_in(json!(31_536_000)) => Well;
        the_shortest_life: expires_in(json!(60)) => Well;
        too_short_a_life: expires_in(json!(59)) => SHORT;
        no_time_at_all: expires_in(json!(0)) => INVALID;
        a_negative_life: expires_in(json!(-1)) => INVALID;
        too_long_a_life: expires_in(json!(31_536_001)) => INVALID;
        a_life_as_text: expires_in(json!("3600")) => INVALID;
        a_life_as_truth: expires_in(json!(true)) => INVALID;
        a_life_in_a_list: expires_in(json!([3600])) => INVALID;
        no_life: expires_in(Value::Null) => INVALID;
        bearer_in_lower_case: token_type(json!("bearer")) => Well;
        another_type: token_type(json!("MAC")) => TYPE;
        a_type_that_is_not_applicable: token_type(json!("N_A")) => TYPE;
        no_type: token_type(Value::Null) => INVALID;
        a_type_in_a_list: token_type(json!(["Bearer"])) => INVALID;
        another_issued_type: issued_token_type(json!(ID_TOKEN)) => ISSUED_TYPE;
        no_issued_type: issued_token_type(Value::Null) => INVALID;
        a_number_as_issued_type: issued_token_type(json!(1)) => INVALID;
        the_scope_that_was_asked_for: scope(json!(SCOPE)) => Well;
        no_scope: scope(Value::Null) => Well;
        a_narrower_scope: scope(json!("")) => Well;
        a_broader_scope: scope(json!(format!("{SCOPE} orgpolicies:1"))) => MISMATCH;
        another_scope: scope(json!("orgpolicies:1")) => MISMATCH;
        a_scope_in_a_list: scope(json!([SCOPE])) => INVALID;
        the_shortest_token: access_token(json!("Zk3Qw8RtYp5LmNx2")) => Well;
        a_token_with_padding: access_token(json!("Zk3Qw8RtYp5LmNx2VbHs==")) => Well;
        no_token: access_token(Value::Null) => INVALID;
        an_empty_token: access_token(json!("")) => INVALID;
        too_short_a_token: access_token(json!("Zk3Qw8RtYp5LmNx")) => INVALID;
        too_long_a_token: access_token(json!("Zk3Qw8RtYp5LmNx2".repeat(2049))) => INVALID;
        a_token_with_a_line_feed: access_token(json!("Zk3Qw8RtYp5LmNx2\nPATH=/tmp")) => INVALID;
        a_token_with_nul: access_token(json!("Zk3Qw8RtYp5LmNx2\u{0}")) => INVALID;
        a_token_with_a_quote: access_token(json!("Zk3Qw8RtYp5LmNx2'")) => INVALID;
        a_token_with_an_umlaut: access_token(json!("Zk3Qw8RtYp5LmNx2ü")) => INVALID;
    }
}
