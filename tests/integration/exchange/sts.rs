//! What the STS answers, and what becomes of it: a token, or a refusal with its exit status, code and cure.
//!
//! Plain answers come from `httpmock`, whose matchers hold the request to the contract at the same time; what
//! `httpmock` cannot do (redirects to a watched server, 1xx, echoes of the token) comes from the scripted server.

use crate::support;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use httpmock::Method::POST;
use httpmock::MockServer;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use support::job::{AUDIENCE, Job, SCOPE, SUBJECT_TOKEN, sts_error, sts_success};
use support::outcome::Outcome;
use support::runner;
use support::server::{Reply, Server};
use support::table::each;
use support::token;

const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const SUBJECT: &str = "project_path:octo-org/metal-app:ref_type:branch:ref:main";

/// An answer of the STS.
#[derive(Clone)]
struct Answer {
    status: u16,
    media: Option<&'static str>,
    body: Vec<u8>,
}

impl Answer {
    fn json(body: impl Into<Vec<u8>>) -> Self {
        Self { status: 200, media: Some("application/json"), body: body.into() }
    }
}

/// The body of a good answer, with a token that is known before the run.
fn good(access_token: &str) -> Map<String, Value> {
    let mut answer = sts_success();
    answer["access_token"] = json!(access_token);
    answer.as_object().unwrap().clone()
}

/// A GitLab job that meets this answer: exactly one POST, as the contract has it and RFC 8693 wants it.
fn meets(job: Job, answer: &Answer) -> Outcome {
    let server = MockServer::start();
    let token = job.mint();
    let mock = server.mock(|when, then| {
        when.method(POST)
            .path("/use/token")
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept-encoding", "identity")
            .header_missing("authorization")
            .header_missing("cookie")
            .form_urlencoded_tuple("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange")
            .form_urlencoded_tuple("scope", SCOPE)
            .form_urlencoded_tuple("subject_token", &token)
            .form_urlencoded_tuple("subject_token_type", "urn:ietf:params:oauth:token-type:id_token")
            .form_urlencoded_tuple_count("^.*$", "^.*$", 4);
        let then = then.status(answer.status).body(&answer.body);
        if let Some(media) = answer.media {
            then.header("content-type", media);
        }
    });
    let outcome = job
        .env(SUBJECT_TOKEN, &token)
        .without_flag("--sts-endpoint")
        .args(["--sts-endpoint", &server.base_url(), "--format", "json"])
        .run();
    outcome.require(mock.calls() == 1, &format!("one request as documented, not {}", mock.calls()));
    outcome.sts_requests(0);
    outcome
}

/// The report has these members.
#[track_caller]
fn reports(outcome: &Outcome, members: &Value) {
    let report = outcome.report.as_ref().unwrap();
    for (name, value) in members.as_object().unwrap() {
        outcome.require(&report[name] == value, &format!("the report's {name} is {value}"));
    }
}

/// Whatever the server said, the runner finds no command but our masks and the one annotation, and nothing on stderr
/// moves a cursor or turns the text around.
#[track_caller]
fn only_our_commands(outcome: &Outcome) {
    let mut masks = 0;
    let mut others = Vec::new();
    for command in runner::commands(&outcome.stderr) {
        if command.name == "add-mask" {
            // A mask of anything else would blacken innocent text.
            outcome.require(command.data == outcome.id_token(), "only the ID token is masked");
            masks += 1;
        } else {
            others.push((command.name, command.properties.get("title").cloned().unwrap_or_default()));
        }
    }
    let code = outcome.report.as_ref().unwrap()["code"].as_str().unwrap().to_owned();
    outcome.require(
        masks == 1 && others == [("error".to_owned(), format!("equinix-wif {code}"))],
        &format!("the runner finds one mask and one annotation, not {masks} and {others:?}"),
    );
    let hostile = |c: char| {
        (c.is_control() && c != '\n')
            || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
    };
    outcome.require(!outcome.stderr.contains(hostile), "stderr holds plain lines only");
    // The mask is as long as the token; the rest is for people.
    outcome.require(
        outcome.stderr.len() < 8_000 + outcome.id_token().len(),
        "what the server said is shortened",
    );
}

/// Media type, body, code, what the message says.
type Unreadable = (Option<&'static str>, Vec<u8>, &'static str, &'static str);
/// Name, value, code, what the message says.
type Member = (&'static str, String, &'static str, &'static str);
/// Name, value, the life that the token then has, a warning.
type Spelling = (&'static str, String, u64, &'static str);
/// Status, media type, body, code, what the message says.
type Refusal = (u16, Option<&'static str>, &'static [u8], &'static str, &'static str);

/// What cannot be read at all, by its name: media type, body, code, what the message says.
#[test]
fn an_answer_that_is_not_the_documented_json_is_no_token() {
    let access_token = token::access_token();
    let text = Value::Object(good(&access_token)).to_string();
    let nested = |levels: usize| {
        let deep = format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        text.replacen('{', &format!("{{\"x\":{deep},"), 1)
    };
    let utf16: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let member = |json: &str| text.replacen('{', &format!("{{{json},"), 1).into_bytes();
    let with_bom = |bom: &[u8], body: &[u8]| [bom, body].concat();
    let json = Some("application/json");
    let type_says = "not with JSON";
    let cases: Vec<(&str, Unreadable)> = vec![
        (
            "HTML",
            (Some("text/html"), b"<html><b>Log in</b></html>".to_vec(), "sts-not-json", "\"text/html\""),
        ),
        (
            "JSON named HTML",
            (Some("text/html; charset=utf-8"), text.clone().into(), "sts-not-json", type_says),
        ),
        ("JSON named text", (Some("text/plain"), text.clone().into(), "sts-not-json", type_says)),
        ("JSON without a type", (None, text.clone().into(), "sts-not-json", "media type none")),
        ("JSON with an empty type", (Some(""), text.clone().into(), "sts-not-json", type_says)),
        (
            "a type that is nearly right",
            (Some("application/jsonp"), text.clone().into(), "sts-not-json", type_says),
        ),
        (
            "a type with a suffix",
            (Some("application/x+json"), text.clone().into(), "sts-not-json", type_says),
        ),
        ("HTML named JSON", (json, b"<html></html>".to_vec(), "sts-not-json", "not valid JSON")),
        ("empty", (json, Vec::new(), "sts-not-json", "it is empty")),
        ("blank", (json, b" \r\n\t".to_vec(), "sts-not-json", "it is empty")),
        ("null", (json, b"null".to_vec(), "sts-not-json", "null instead of a JSON object")),
        ("a string", (json, b"\"token\"".to_vec(), "sts-not-json", "a string instead")),
        ("a number", (json, b"7".to_vec(), "sts-not-json", "a number instead")),
        ("an array", (json, format!("[{text}]").into(), "sts-not-json", "an array instead")),
        (
            "UTF-8 with a mark",
            (json, with_bom(b"\xef\xbb\xbf", text.as_bytes()), "sts-not-json", "byte-order mark"),
        ),
        ("UTF-16 with a mark", (json, with_bom(b"\xff\xfe", &utf16), "sts-not-json", "not UTF-8")),
        ("UTF-16 without a mark", (json, utf16.clone(), "sts-not-json", "not valid JSON")),
        (
            "Latin-1",
            (json, with_bom(b"{\"x\":\"\xe9\",", &text.as_bytes()[1..]), "sts-not-json", "not UTF-8"),
        ),
        (
            "half an object",
            (json, text.as_bytes()[..text.len() - 1].to_vec(), "sts-not-json", "not valid JSON"),
        ),
        ("trailing text", (json, format!("{text} x").into(), "sts-not-json", "something follows")),
        ("two objects", (json, format!("{text}{text}").into(), "sts-not-json", "something follows")),
        ("a comment", (json, format!("{text}// x").into(), "sts-not-json", "something follows")),
        ("single quotes", (json, text.replace('"', "'").into(), "sts-not-json", "not valid JSON")),
        ("NaN", (json, member("\"x\":NaN"), "sts-not-json", "not valid JSON")),
        ("a number beyond all numbers", (json, member("\"x\":1e400"), "sts-not-json", "not valid JSON")),
        ("a lone surrogate", (json, member("\"x\":\"\\ud800\""), "sts-not-json", "not valid JSON")),
        ("a raw line break in a string", (json, member("\"x\":\"a\nb\""), "sts-not-json", "not valid JSON")),
        ("a member twice", (json, member("\"token_type\":\"Bearer\""), "sts-not-json", "occurs twice")),
        ("an unknown member twice", (json, member("\"x\":1,\"x\":1"), "sts-not-json", "occurs twice")),
        (
            "a member twice, once escaped",
            (json, member("\"\\u0073cope\":\"a\",\"scope\":\"b\""), "sts-not-json", "occurs twice"),
        ),
        (
            "a member twice, deep down",
            (json, member("\"x\":[{\"y\":{\"z\":1,\"z\":2}}]"), "sts-not-json", "occurs twice"),
        ),
        ("nested too deeply", (json, nested(16).into(), "sts-not-json", "nested too deeply")),
        ("nested without end", (json, nested(100_000).into(), "sts-not-json", "nested too deeply")),
    ];
    each(&cases, |(media, body, code, says)| {
        let answer = Answer { status: 200, media: *media, body: body.clone() };
        let outcome = meets(Job::gitlab().secret(&access_token), &answer);
        outcome.fails(7, code).stderr_has(says).stderr_lacks("<b>");
        reports(
            &outcome,
            &json!({"http_status": 200, "attempts": 1, "oauth_error": null, "server_echoed_secret": false}),
        );
    });
}

/// One member of a good answer replaced, by its name and value (as JSON; `""` leaves it out).
#[test]
fn every_member_has_to_be_right() {
    let access_token = token::access_token();
    let long = format!("\"{}\"", "a".repeat(32_769));
    let mut cases: Vec<(String, Member)> = Vec::new();
    let mut add = |name: &'static str, code: &'static str, says: &'static str, values: &[&str]| {
        for value in values {
            let shown: String = value.chars().take(60).collect();
            let case = format!("{name} {}", if value.is_empty() { "left out" } else { &shown });
            cases.push((case, (name, (*value).to_owned(), code, says)));
        }
    };
    let (invalid, no_life) = ("sts-response-invalid", "no life of a token");
    add("access_token", invalid, "no access_token", &[""]);
    add("access_token", invalid, "null as access_token", &["null"]);
    add("access_token", invalid, "a number as access_token", &["7"]);
    add("access_token", invalid, "an object as access_token", &["{\"a\":1}"]);
    add("access_token", invalid, "an array as access_token", &["[\"aaaaaaaaaaaaaaaaaaaaaaaa\"]"]);
    add("access_token", invalid, "0 bytes", &["\"\""]);
    add("access_token", invalid, "15 bytes", &["\"abcdefghij01234\""]);
    add("access_token", invalid, "32769 bytes", &[&long]);
    add("issued_token_type", invalid, "no issued_token_type", &[""]);
    add("issued_token_type", invalid, "null as issued_token_type", &["null"]);
    add(
        "issued_token_type",
        "sts-issued-token-type",
        "something else than an access token",
        &[
            "\"\"",
            "\"access_token\"",
            "\"urn:ietf:params:oauth:token-type:jwt\"",
            "\"urn:ietf:params:oauth:token-type:id_token\"",
            "\"URN:IETF:PARAMS:OAUTH:TOKEN-TYPE:ACCESS_TOKEN\"",
            "\"urn:ietf:params:oauth:token-type:access_token \"",
        ],
    );
    add("token_type", invalid, "no token_type", &[""]);
    add("token_type", invalid, "an array as token_type", &["[\"Bearer\"]"]);
    add(
        "token_type",
        "sts-token-type",
        "another type than Bearer",
        &["\"N_A\"", "\"DPoP\"", "\"mac\"", "\"\"", "\"Bearer \""],
    );
    add("expires_in", invalid, "no expires_in", &[""]);
    add("expires_in", invalid, "null instead of a number", &["null"]);
    add("expires_in", invalid, "a string instead of a number", &["\"3600\"", "\"PT1H\""]);
    add("expires_in", invalid, "a boolean instead of a number", &["true"]);
    add("expires_in", invalid, "an array instead of a number", &["[3600]"]);
    add(
        "expires_in",
        invalid,
        no_life,
        &["0", "-0", "-1", "0.99", "-3600.5", "31536001", "1e18", "1e300", "18446744073709551616"],
    );
    add("expires_in", "token-ttl-too-short", "found:    59 s", &["59", "59.999"]);
    add(
        "scope",
        "scope-mismatch",
        "granted more",
        &["\"orgpolicies:x\"", "\"ROLEASSIGNMENTS:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013\""],
    );
    add("scope", invalid, "an array as scope", &["[\"a\"]"]);
    add("scope", invalid, "a number as scope", &["1"]);
    add(
        "error",
        "sts-response-ambiguous",
        "success and error",
        &["\"invalid_request\"", "\"\"", "{}", "false"],
    );
    let broader = format!("\"{SCOPE} orgpolicies:1\"");
    add("scope", "scope-mismatch", "granted more", &[&broader]);

    each(&cases, |(name, value, code, says)| {
        let mut body = good(&access_token);
        body.remove(*name);
        let mut text = Value::Object(body).to_string();
        if !value.is_empty() {
            text = text.replacen('{', &format!("{{\"{name}\":{value},"), 1);
        }
        let outcome = meets(Job::gitlab().secret(&access_token), &Answer::json(text));
        outcome.fails(7, code);
        // The annotation-free message of a member names it; where it does not, the code does.
        if !says.is_empty() && *code != "sts-response-ambiguous" {
            outcome.stderr_has(says);
        }
        reports(&outcome, &json!({"http_status": 200, "attempts": 1, "stage": "exchange"}));
    });
}

/// RFC 6750's alphabet keeps out all that a shell, a runner file or a log could misread, wherever it stands.
#[test]
fn a_token_with_a_foreign_character_is_refused() {
    let pieces = [
        " ",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\u{7f}",
        "\u{1b}[2K",
        "\u{9b}",
        "'",
        "\"",
        "`",
        "$(id)",
        "\\",
        ";",
        "&",
        "|",
        "<",
        ">",
        "*",
        "?",
        "!",
        "#",
        "%",
        "%0A",
        "::",
        ",",
        "@",
        "(",
        "{",
        "[",
        "^",
        "é",
        "\u{202e}",
        "\u{feff}",
        "ａ",
    ];
    let base = "Zk3Qw8RtYp5LmNx2VbHs";
    let mut cases = Vec::new();
    for piece in pieces {
        for token in
            [format!("{piece}{base}"), format!("Zk3Qw8RtYp{piece}5LmNx2VbHs"), format!("{base}{piece}")]
        {
            cases.push((format!("{token:?}"), token));
        }
    }
    for token in
        ["Zk3Qw8RtYp=5LmNx2VbHs", "=Zk3Qw8RtYp5LmNx2VbHs", "====================", "Zk3Qw8RtYp5LmNx2VbHs=="]
    {
        cases.push((token.to_owned(), token.to_owned()));
    }
    let (_, padded) = cases.pop().unwrap();
    each(&cases, |token| {
        let outcome = Job::github().secret(base).sts_reply(Reply::json(&Value::Object(good(token)))).run();
        outcome.fails(7, "sts-response-invalid").sts_requests(1).id_token_requests(1);
        only_our_commands(&outcome);
    });
    let outcome = Job::github().sts_reply(Reply::json(&Value::Object(good(&padded)))).run();
    assert_eq!(outcome.succeeds().outputs()["access-token"], padded);
}

/// Spellings that a strict reader still has to take: member, value, what the life is then, a warning.
#[test]
fn every_permitted_spelling_is_taken() {
    let scope = |text: &str| format!("\"{text}\"");
    let cases: Vec<(&str, Spelling)> = vec![
        ("nothing unusual", ("x", "1".into(), 3600, "")),
        ("a float", ("expires_in", "3600.0".into(), 3600, "")),
        ("an exponent", ("expires_in", "3.6e3".into(), 3600, "")),
        ("a fraction", ("expires_in", "3600.9".into(), 3600, "")),
        ("the shortest life", ("expires_in", "60".into(), 60, "")),
        ("the longest life", ("expires_in", "31536000".into(), 31_536_000, "")),
        ("bearer in small letters", ("token_type", "\"bearer\"".into(), 3600, "")),
        ("BEARER in capitals", ("token_type", "\"BEARER\"".into(), 3600, "")),
        ("the scope as asked for", ("scope", scope(SCOPE), 3600, "")),
        ("the scope as null", ("scope", "null".into(), 3600, "")),
        ("the scope with blanks", ("scope", scope(&format!(" {SCOPE}  ")), 3600, "")),
        ("a narrower scope", ("scope", scope(""), 3600, "the STS granted only")),
        ("an error that is null", ("error", "null".into(), 3600, "")),
        ("a refresh token", ("refresh_token", "\"never-asked-for-this-one\"".into(), 3600, "refresh token")),
        ("members to come", ("x", "{\"y\":[[[[[[[[[[[[[1]]]]]]]]]]]]]}".into(), 3600, "")),
    ];
    each(&cases, |(name, value, life, warning)| {
        let access_token = token::access_token();
        let mut body = good(&access_token);
        body.remove(*name);
        let text = Value::Object(body).to_string().replacen('{', &format!("{{\"{name}\":{value},"), 1);
        let job = Job::gitlab().token_on_stdout().secret("never-asked-for-this-one");
        let outcome =
            meets(job, &Answer { media: Some("Application/JSON;charset=UTF-8"), ..Answer::json(text) });
        let answer: Value = serde_json::from_str(&outcome.succeeds().stdout).unwrap();
        outcome.require(
            answer["access_token"] == json!(access_token)
                && answer["expires_in"] == json!(life)
                && answer["token_type"] == "Bearer"
                && answer["issued_token_type"] == ACCESS_TOKEN,
            "the token is handed over",
        );
        let warnings = outcome.report.as_ref().unwrap()["warnings"].as_array().unwrap().clone();
        // That the STS is on this machine is warned of as well.
        let others: Vec<&str> =
            warnings.iter().filter_map(Value::as_str).filter(|text| !text.contains("this machine")).collect();
        outcome.require(
            others.len() == usize::from(!warning.is_empty()),
            "there is a warning when there should be",
        );
        for text in others {
            outcome.require(text.contains(warning), "the report has the warning");
            outcome.stderr_has(&format!("warning: {text}"));
        }
    });
}

#[test]
fn tokens_at_both_ends_of_the_permitted_length_are_taken() {
    each(&[("shortest", 16), ("longest", 32_768)], |length| {
        let access_token = token::random_text(*length)[..*length].to_owned();
        let outcome = Job::github().sts_reply(Reply::json(&Value::Object(good(&access_token)))).run();
        assert_eq!(outcome.succeeds().outputs()["access-token"], access_token);
    });
}

#[test]
fn the_shortest_acceptable_life_can_be_set() {
    let cases = [
        ("longer than the token's", ("3601", Some("token-ttl-too-short"))),
        ("the token's", ("3600", None)),
        ("any", ("0", None)),
    ];
    each(&cases, |(min_ttl, code)| {
        let outcome = Job::github().args(["--min-ttl", min_ttl]).run();
        match code {
            Some(code) => outcome.fails(7, code).stderr_has("expected: at least 3601 s (--min-ttl)"),
            None => outcome.succeeds(),
        };
        outcome.sts_requests(1);
    });
}

/// OAuth's refusals (RFC 6749 section 5.2, RFC 6750 section 3.1, RFC 8693 section 2.2.2): status, code, what the hint says.
#[test]
fn each_oauth_error_has_its_cure_and_shows_what_to_compare() {
    let compare = "Compare exactly, and in this order: issuer with";
    let cases: [(&str, (u16, &str, &str)); 11] = [
        ("invalid_request", (400, "sts-denied", compare)),
        ("invalid_grant", (400, "sts-denied", compare)),
        ("invalid_token", (401, "sts-denied", compare)),
        ("invalid_scope", (400, "sts-scope-denied", "granted to exactly this subject")),
        ("invalid_target", (400, "sts-denied", "does not know the target")),
        ("invalid_client", (401, "sts-denied", "needs no client")),
        ("unauthorized_client", (400, "sts-denied", "needs no client")),
        ("unsupported_grant_type", (400, "sts-denied", "--sts-api")),
        ("access_denied", (403, "sts-denied", compare)),
        ("something_new", (422, "sts-denied", compare)),
        ("invalid_scope", (403, "sts-scope-denied", "granted to exactly this subject")),
    ];
    let mut all = Vec::new();
    for (error, case) in cases {
        for spelling in ["error_description", "errorDescription"] {
            all.push((format!("{error} with {spelling}"), (error, spelling, case)));
        }
    }
    each(&all, |(error, spelling, (status, code, cure))| {
        let body = json!({"error": error, *spelling: "the principal has no grant", "error_uri": "https://evil.example/x"});
        let job = Job::gitlab();
        let issuer = job.issuer();
        let outcome = meets(job, &Answer { status: *status, ..Answer::json(body.to_string()) });
        outcome
            .fails(6, code)
            .stderr_has(&format!("the STS refused the exchange: \"{error}\" ({status})"))
            .stderr_has("STS says: \"the principal has no grant\"")
            .stderr_has(&format!("issuer:   \"{issuer}\""))
            .stderr_has(&format!("audience: \"{AUDIENCE}\""))
            .stderr_has(&format!("subject:  \"{SUBJECT}\""))
            .stderr_has(&format!("scope:    \"{SCOPE}\""))
            .stderr_has(cure)
            .stderr_lacks("evil.example");
        reports(
            &outcome,
            &json!({
                "http_status": status, "oauth_error": error, "attempts": 1, "stage": "exchange", "retryable": false,
                "server_echoed_secret": false,
            }),
        );
    });
}

/// Refusals without an OAuth error: status, media type, body, code, what the message says.
#[test]
fn refusals_of_other_kinds_are_told_apart() {
    let html: &[u8] = b"<html><h1>Blocked by policy</h1></html>";
    let json_type = Some("application/json");
    let cases: [(&str, Refusal); 15] = [
        ("400 without a body", (400, None, b"", "sts-denied", "the STS refused the exchange (400)")),
        (
            "400 with HTML",
            (400, Some("text/html"), html, "sts-denied", "answer:   39 bytes of \"text/html\""),
        ),
        ("400 with an empty object", (400, json_type, b"{}", "sts-denied", "answer:   2 bytes")),
        (
            "400 with an empty error",
            (400, json_type, b"{\"error\":\"\"}", "sts-denied", "refused the exchange (400)"),
        ),
        ("400 with a list", (400, json_type, b"[]", "sts-denied", "refused the exchange (400)")),
        (
            "400 with a number as error",
            (400, json_type, b"{\"error\":1}", "sts-denied", "refused the exchange (400)"),
        ),
        (
            "400 with broken JSON",
            (400, json_type, b"{\"error\":\"invalid_", "sts-denied", "refused the exchange (400)"),
        ),
        (
            "400 with errors twice",
            (400, json_type, b"{\"error\":\"a\",\"error\":\"b\"}", "sts-denied", "exchange (400)"),
        ),
        (
            "400 with a description only",
            (400, json_type, b"{\"error_description\":\"so\"}", "sts-denied", "STS says: \"so\""),
        ),
        ("401 without a body", (401, None, b"", "sts-forbidden", "refused the exchange (401)")),
        ("401 with HTML", (401, Some("text/html"), html, "sts-forbidden", "limited availability")),
        ("403 with HTML", (403, Some("text/html"), html, "sts-forbidden", "limited availability")),
        ("403 with JSON", (403, json_type, b"{\"said\":\"no\"}", "sts-forbidden", "limited availability")),
        ("402", (402, None, b"", "sts-denied", "refused the exchange (402)")),
        ("451", (451, None, b"", "sts-denied", "refused the exchange (451)")),
    ];
    each(&cases, |(status, media, body, code, says)| {
        let answer = Answer { status: *status, media: *media, body: body.to_vec() };
        let outcome = meets(Job::gitlab(), &answer);
        outcome.fails(6, code).stderr_has(says).stderr_has(SUBJECT).stderr_lacks("Blocked by policy");
        reports(&outcome, &json!({"http_status": status, "oauth_error": null, "attempts": 1}));
    });
}

/// What a gateway or another service of Equinix says in its own form is shown all the same, with the names that the
/// server gave the request.
#[test]
fn a_reason_in_another_form_is_shown_with_the_request_s_name() {
    let cases: Vec<(&str, (&str, &str, &str))> = vec![
        (
            "a list",
            (
                "application/json",
                r#"[{"errorCode":"EQ-3","errorMessage":"not enabled"}]"#,
                "STS says:         \"not enabled (EQ-3)\"",
            ),
        ),
        (
            "a problem",
            (
                "application/problem+json",
                r#"{"title":"Forbidden","detail":"not enabled"}"#,
                "\"not enabled\"",
            ),
        ),
        ("a message", ("application/json", r#"{"message":"not enabled"}"#, "\"not enabled\"")),
        (
            "a nested message",
            ("application/json", r#"{"error":{"message":"not enabled"}}"#, "\"not enabled\""),
        ),
        ("a nested code", ("application/json", r#"{"error":{"errorCode":"EQ-3"}}"#, "\"EQ-3\"")),
        (
            "plain text",
            ("text/plain; charset=utf-8", "not enabled\n::error::x\n", "\"not enabled : :error: :x\""),
        ),
    ];
    each(&cases, |(media, body, says)| {
        let reply = Reply::status(403)
            .header("Content-Type", *media)
            .body(*body)
            .header("X-Correlation-Id", "corr-2");
        let outcome = Job::gitlab().sts_reply(reply).run();
        outcome.fails(6, "sts-forbidden").stderr_has(says).stderr_lacks("bytes of");
        outcome.stderr_has("X-Correlation-Id: \"corr-2\"");
    });
    let challenge = "Bearer error=\"invalid_token\", error_description=\"no such tenant\"";
    let reply = Reply::status(401).header("WWW-Authenticate", challenge).header("X-Request-Id", "req-1");
    let outcome = Job::gitlab().sts_reply(reply).run();
    outcome.fails(6, "sts-forbidden").stderr_has("no such tenant").stderr_has("X-Request-Id: \"req-1\"");
}

/// Statuses that no token exchange knows, and those of a wrong address: one request, whatever the method of the error.
#[test]
fn unexpected_statuses_are_permanent() {
    let mut cases: Vec<(u16, (i32, &str))> = [201, 202, 203, 204, 205, 206, 226, 501, 505, 511, 599]
        .map(|status| (status, (7, "sts-unexpected-status")))
        .into();
    cases.extend([418, 406, 411, 413, 414, 415, 421, 426, 431].map(|status| (status, (6, "sts-denied"))));
    cases.extend([304, 300, 305].map(|status| (status, (6, "sts-redirect"))));
    let cases: Vec<_> = cases.into_iter().map(|(status, outcome)| (status, (status, outcome))).collect();
    each(&cases, |(status, (exit, code))| {
        // A good answer in the body changes nothing, and its token is not used.
        let mut reply = Reply::status(*status);
        if ![204, 205, 304].contains(status) {
            reply = reply.json_body(&sts_success());
        }
        let outcome = Job::github().sts_reply(reply).run();
        outcome.fails(*exit, code).sts_requests(1).id_token_requests(1);
        outcome.stderr_has(&status.to_string());
        reports(&outcome, &json!({"http_status": status, "attempts": 1, "oauth_error": null}));
        only_our_commands(&outcome);
    });
}

#[test]
fn a_wrong_path_names_the_other_version_and_never_calls_it() {
    let mut cases = Vec::new();
    for status in [404, 405, 410] {
        cases.push((
            format!("{status} alpha"),
            (status, "alpha", "/use/token", "Try --sts-api v1 (/v1/token)"),
        ));
        cases.push((format!("{status} v1"), (status, "v1", "/v1/token", "Try --sts-api alpha (/use/token)")));
    }
    each(&cases, |(status, api, path, hint)| {
        let job = Job::github().args(["--sts-api", api]).sts_always(Reply::status(*status).body("Not Found"));
        let url = job.sts_url();
        let outcome = job.run();
        outcome
            .fails(6, "sts-endpoint-not-found")
            .stderr_has(&format!("there is no token endpoint at {url}{path} ({status})"))
            .stderr_has(hint)
            .stderr_has("The ID token was not sent to a second path.")
            .sts_requests(1);
        outcome.require(outcome.sts.requests[0].target == *path, "only the chosen path was called");
        reports(&outcome, &json!({"http_status": status, "attempts": 1}));
    });
}

/// An earlier step can set the variable and listen on this machine.
#[test]
fn a_variable_has_no_token_of_an_issuer_elsewhere_sent_in_the_clear() {
    let issuer = "https://gitlab.example";
    let job = || {
        let job = Job::gitlab().claims(move |claims| {
            claims.insert("iss".to_owned(), json!(issuer));
        });
        job.args(["--expect", &format!("iss={issuer}")])
    };
    let by_variable = |job: Job| {
        let url = job.sts_url();
        job.without_flag("--sts-endpoint").env("EQUINIX_STS_ENDPOINT", url)
    };
    let outcome = by_variable(job()).run();
    outcome
        .fails(10, "endpoint-untrusted")
        .sts_requests(0)
        .stderr_has("EQUINIX_STS_ENDPOINT names http://127.0.0.1:");
    // What the flag says was not planted, and a token of this machine is worth nothing elsewhere.
    job().run().succeeds().sts_requests(1);
    by_variable(Job::gitlab()).run().succeeds().sts_requests(1);
}

#[test]
fn the_version_decides_the_path_and_nothing_else() {
    each(&[("alpha", "/use/token"), ("v1", "/v1/token")].map(|case| (case.0, case)), |(api, path)| {
        let outcome = Job::github().args(["--sts-api", api]).run();
        outcome.succeeds().sts_requests(1).id_token_requests(1);
        let request = &outcome.sts.requests[0];
        let mut names: Vec<String> = request.form().into_iter().map(|(name, _)| name).collect();
        names.sort();
        outcome.require(
            request.target == *path
                && names == ["grant_type", "scope", "subject_token", "subject_token_type"],
            "one POST with four fields",
        );
    });
}

/// Where a redirect may point, by the status that says so. `{other}` is a server that is watched.
#[test]
fn no_redirect_of_the_sts_is_followed() {
    let places: [(&str, Option<&str>, &str); 9] = [
        ("another server", Some("http://{other}/use/token?x=1"), "http://{other}\""),
        ("a safe server", Some("https://login.example/path?next=%2F#f"), "to \"https://login.example\""),
        ("the same server", Some("{sts}/v1/token"), "to \"{sts}\""),
        ("a path", Some("/v1/token"), "to elsewhere"),
        ("a host without a scheme", Some("//{other}/use/token"), "to elsewhere"),
        ("a user name", Some("http://user:hush-hush@{other}/"), "to \"http://{other}\""),
        ("a script", Some("javascript:alert(1)"), "to elsewhere"),
        ("nothing", Some(""), "to elsewhere"),
        ("nowhere", None, "to elsewhere"),
    ];
    let mut cases = Vec::new();
    for status in [301, 302, 303, 307, 308] {
        for place in places {
            cases.push((format!("{status} to {}", place.0), (status, place.1, place.2)));
        }
    }
    each(&cases, |(status, location, says)| {
        let other = Server::start(|_: &_| Reply::json(&sts_success()));
        let job = Job::github().secret("hush-hush");
        let address = other.address().to_string();
        let fill = |text: &str| text.replace("{other}", &address).replace("{sts}", &job.sts_url());
        let (location, says) = (location.map(fill), fill(says));
        let reply =
            location.into_iter().fold(Reply::status(*status), |reply, to| reply.header("Location", to));
        let outcome = job.sts_reply(reply).run();
        outcome
            .fails(6, "sts-redirect")
            .stderr_has(&says)
            .stderr_has("which was not followed")
            .sts_requests(1)
            .id_token_requests(1)
            .nothing_secret_at(&other);
        outcome.require(other.connections() == 0, "the other server was not called");
        reports(&outcome, &json!({"http_status": status, "attempts": 1}));
        only_our_commands(&outcome);
    });
}

#[test]
fn no_redirect_of_the_issuer_is_followed() {
    let cases = [301, 302, 303, 307, 308].map(|status| (status, status));
    each(&cases, |status| {
        let other = Server::start(|_: &_| Reply::json(&json!({"value": "x.y.z"})));
        let reply = Reply::status(*status).header("Location", format!("{}/idtoken?x=1", other.url()));
        let outcome = Job::github().id_token_reply(reply).run();
        outcome
            .fails(4, "id-token-redirect")
            .stderr_has(&format!("redirect ({status}) to \"{}\"", other.url()))
            .id_token_requests(1)
            .sts_requests(0)
            .nothing_secret_at(&other);
        outcome.require(other.connections() == 0, "the other server was not called");
        reports(&outcome, &json!({"http_status": status, "attempts": 1, "stage": "identity"}));
    });
}

/// Interim answers (RFC 9110 section 15.2) may come before the real one.
#[test]
fn interim_answers_are_passed_over() {
    let final_answer = |access_token: &str| {
        let body = Value::Object(good(access_token)).to_string();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let cases = [
        ("100", "HTTP/1.1 100 Continue\r\n\r\n"),
        ("102", "HTTP/1.1 102 Processing\r\n\r\n"),
        ("103 with headers", "HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n"),
        ("two", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n"),
    ];
    each(&cases, |interim| {
        let access_token = token::access_token();
        let outcome =
            Job::github().sts_reply(Reply::raw(format!("{interim}{}", final_answer(&access_token)))).run();
        outcome.succeeds().sts_requests(1);
        assert_eq!(outcome.outputs()["access-token"], access_token);
    });
}

#[test]
fn interim_answers_without_an_end_are_no_answer() {
    let flood = Reply::raw("HTTP/1.1 100 Continue\r\n\r\n".repeat(2000));
    let outcome = Job::github().sts_always(flood).args(["--timeout", "5"]).run();
    outcome.require(
        outcome.status.is_some_and(|status| [6, 7, 8].contains(&status)),
        "it fails as an answer does",
    );
    let code = outcome.report.as_ref().unwrap()["code"].as_str().unwrap().to_owned();
    outcome.fails(outcome.status.unwrap(), &code).within(std::time::Duration::from_secs(6));
}

/// How a server may give the token back.
fn echoes(token: &str) -> Vec<(&'static str, String)> {
    let percent = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let signature = token::signature_of(token).unwrap();
    let middle = token.len() / 2;
    vec![
        ("raw", token.to_owned()),
        ("URL-encoded", percent(token)),
        ("base64", STANDARD.encode(token)),
        ("base64url, shifted", URL_SAFE_NO_PAD.encode(format!("x{token}"))),
        ("base64 of more", STANDARD.encode(format!("you sent {token} to us"))),
        ("the signature", signature.to_owned()),
        ("the claims", token.split('.').nth(1).unwrap().to_owned()),
        ("the second half", token[middle..].to_owned()),
        ("twelve characters", signature[40..52].to_owned()),
        ("in quotes", format!("subject_token='{token}'")),
        ("cut in two", format!("{} and {}", &token[..middle], &token[middle..])),
    ]
}

/// Where a server may give it back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Error,
    Description,
    OtherDescription,
    Html,
    MediaType,
    Location,
    Host,
    TokenType,
    IssuedTokenType,
    Scope,
    ErrorBesideToken,
    Unavailable,
    EndpointNotFound,
}

impl Place {
    const ALL: [Self; 13] = [
        Self::Error,
        Self::Description,
        Self::OtherDescription,
        Self::Html,
        Self::MediaType,
        Self::Location,
        Self::Host,
        Self::TokenType,
        Self::IssuedTokenType,
        Self::Scope,
        Self::ErrorBesideToken,
        Self::Unavailable,
        Self::EndpointNotFound,
    ];

    fn reply(self, text: &str) -> Reply {
        let success = |member: &str| {
            let mut answer = sts_success();
            answer[member] = json!(text);
            Reply::json(&answer)
        };
        match self {
            Self::Error => sts_error(text, "no"),
            Self::Description => sts_error("invalid_request", text),
            Self::OtherDescription => {
                Reply::status(400).json_body(&json!({"error": "invalid_request", "errorDescription": text}))
            }
            Self::Html => {
                Reply::status(403).header("Content-Type", "text/html").body(format!("<pre>{text}</pre>"))
            }
            Self::MediaType => Reply::status(400).header("Content-Type", format!("text/{text}")).body("x"),
            Self::Location => {
                Reply::status(302).header("Location", format!("https://other.example/?token={text}"))
            }
            Self::Host => Reply::status(302).header("Location", format!("https://{text}.example/")),
            Self::TokenType => success("token_type"),
            Self::IssuedTokenType => success("issued_token_type"),
            Self::Scope => success("scope"),
            Self::ErrorBesideToken => success("error"),
            Self::Unavailable => Reply::status(503)
                .header("Retry-After", "0")
                .json_body(&json!({"error": "unavailable", "error_description": text})),
            Self::EndpointNotFound => Reply::status(404).json_body(&json!({"error_description": text})),
        }
    }

    fn outcome(self) -> (i32, &'static str) {
        match self {
            Self::Error | Self::Description | Self::OtherDescription | Self::MediaType => (6, "sts-denied"),
            Self::Html => (6, "sts-forbidden"),
            Self::Location | Self::Host => (6, "sts-redirect"),
            Self::TokenType => (7, "sts-token-type"),
            Self::IssuedTokenType => (7, "sts-issued-token-type"),
            Self::Scope => (7, "scope-mismatch"),
            Self::ErrorBesideToken => (7, "sts-response-ambiguous"),
            Self::Unavailable => (8, "server-error"),
            Self::EndpointNotFound => (6, "sts-endpoint-not-found"),
        }
    }
}

/// The harness looks at every output of the run; here it is made sure that the report tells of the echo.
#[test]
fn an_echoed_token_is_never_shown_and_is_told_of() {
    let job = Job::gitlab();
    let token = job.mint();
    drop(job);
    let mut cases = Vec::new();
    for (index, (name, _)) in echoes(&token).into_iter().enumerate() {
        for place in Place::ALL {
            cases.push((format!("{name} in {place:?}"), (index, place)));
        }
    }
    each(&cases, |(index, place)| {
        let (index, place) = (*index, *place);
        let (exit, code) = place.outcome();
        // What may pass is retried until the deadline.
        let job = Job::gitlab().args(["--timeout", if exit == 8 { "8" } else { "60" }]);
        let outcome = job
            .sts_with(move |request| {
                let token = request.form_value("subject_token").unwrap();
                Some(place.reply(&echoes(&token)[index].1))
            })
            .run();
        outcome.fails(exit, code);
        outcome.require((outcome.sts.requests.len() > 1) == (exit == 8), "only what may pass is retried");
        reports(&outcome, &json!({"server_echoed_secret": true}));
        outcome.stderr_lacks("eyJ");
    });
}

#[test]
fn an_echo_of_the_request_token_by_github_is_told_of() {
    let bearer = token::Token::new(json!({"scp": "x"})).mint();
    let opaque = token::random_text(60);
    let cases = [("a JWT", bearer), ("no JWT", opaque)];
    each(&cases, |bearer| {
        let outcome = Job::github()
            .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", bearer)
            .id_token_always(Reply::status(401).json_body(&json!({"message": format!("bad token {bearer}")})))
            .run();
        outcome.fails(4, "id-token-http").id_token_requests(1).sts_requests(0);
        reports(&outcome, &json!({"server_echoed_secret": true, "http_status": 401}));
    });
}

#[test]
fn the_id_token_given_back_as_access_token_is_refused() {
    let outcome = Job::github()
        .sts_with(|request| {
            let token = request.form_value("subject_token")?;
            Some(Reply::json(&Value::Object(good(&token))))
        })
        .run();
    outcome.fails(7, "sts-response-invalid").sts_requests(1);
    reports(&outcome, &json!({"server_echoed_secret": true}));
    only_our_commands(&outcome);
}

#[test]
fn an_innocent_answer_is_no_echo() {
    let outcome =
        Job::github().sts_reply(sts_error("invalid_request", "the subject token is not valid")).run();
    outcome.fails(6, "sts-denied");
    reports(&outcome, &json!({"server_echoed_secret": false}));
    let outcome = Job::github().run();
    outcome.succeeds();
    reports(&outcome, &json!({"server_echoed_secret": false}));
}

/// What a hostile server would like to have in a log.
const HOSTILE: [(&str, &str); 14] = [
    ("a mask at the start", "::add-mask::e"),
    ("a command after white space", "  \t::set-env name=PATH::/tmp"),
    ("a command on a line of its own", "x\n::error::forged\ny"),
    ("after a carriage return", "x\r::warning::forged"),
    ("the old form anywhere", "see ##[add-mask]e here"),
    ("the old form on a line", "x\n##[command]rm"),
    ("Azure's form", "##vso[task.setvariable variable=x]y"),
    ("a group", "\u{85}::group::g\u{2028}::endgroup::"),
    ("stopping commands", "::stop-commands::e"),
    ("escapes", "\u{1b}[2K\u{1b}[1;31mred\u{1b}]0;title\u{7}\u{9b}0m"),
    ("bidi", "\u{202e}txet\u{2066}\u{200b}:\u{200b}:error:\u{feff}:x"),
    ("NUL and backspace", "a\0b\u{8}\u{8}\u{8}::debug::x"),
    ("percent", "%0A::error::forged%0D%25"),
    ("our own words", "\nerror[internal]: forged\nhint: run this"),
];

#[test]
fn nothing_that_the_sts_says_becomes_a_command_or_moves_a_cursor() {
    let mut cases = Vec::new();
    for (name, text) in HOSTILE {
        for place in [
            Place::Error,
            Place::Description,
            Place::OtherDescription,
            Place::TokenType,
            Place::IssuedTokenType,
            Place::Scope,
            Place::ErrorBesideToken,
        ] {
            cases.push((format!("{name} in {place:?}"), (text, place)));
        }
        // Only what a header can hold at all.
        if text.bytes().all(|byte| (b' '..0x7f).contains(&byte)) {
            cases.push((format!("{name} in a media type"), (text, Place::MediaType)));
            cases.push((format!("{name} in a redirect"), (text, Place::Host)));
        }
    }
    each(&cases, |(text, place)| {
        let outcome = Job::github().arg("-v").sts_reply(place.reply(text)).run();
        let (exit, code) = place.outcome();
        outcome.fails(exit, code).sts_requests(1);
        only_our_commands(&outcome);
        // The report ends up in artifacts and summaries, and is shown by other programs.
        let report = outcome.report.as_ref().unwrap().to_string();
        outcome.require(!report.contains("::") && !report.contains("##"), "the report holds no command");
    });
}

#[test]
fn a_report_on_stderr_holds_no_command_either() {
    each(&HOSTILE, |text| {
        let outcome =
            Job::github().without_report().args(["--report", "-"]).sts_reply(sts_error(text, text)).run();
        outcome.require(outcome.status == Some(6), "the exit status is 6");
        let names: Vec<String> =
            runner::commands(&outcome.stderr).into_iter().map(|command| command.name).collect();
        outcome.require(names == ["add-mask", "error"], &format!("only our commands, not {names:?}"));
        let report = outcome.stderr.lines().filter(|line| line.starts_with('{')).collect::<Vec<_>>();
        let report: Value = serde_json::from_str(report[0]).unwrap();
        outcome.require(report["code"] == "sts-denied", "the report is on stderr");
    });
}

#[test]
fn long_texts_of_the_sts_are_shortened() {
    let cases = [
        (
            "a long description",
            (6, "sts-denied", sts_error("invalid_request", &"lorem ipsum ".repeat(16_000))),
        ),
        ("a long error", (6, "sts-denied", sts_error(&"e".repeat(200_000), "no"))),
        (
            "a description of a megabyte",
            (7, "sts-too-large", sts_error("invalid_request", &"x".repeat(1 << 20))),
        ),
        (
            "a long media type",
            (7, "sts-not-json", Reply::status(200).header("Content-Type", "x".repeat(9000)).body("x")),
        ),
        (
            "a long redirect",
            (
                6,
                "sts-redirect",
                Reply::status(302).header("Location", format!("https://{}.example/", "h".repeat(9000))),
            ),
        ),
    ];
    each(&cases, |(exit, code, reply)| {
        let outcome = Job::github().sts_reply(reply.clone()).run();
        outcome.fails(*exit, code).sts_requests(1);
        only_our_commands(&outcome);
        let report = outcome.report.as_ref().unwrap().to_string();
        outcome.require(report.len() < 8_000, "the report is short too");
    });
}
