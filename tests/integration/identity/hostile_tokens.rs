//! Malformed and hostile ID tokens: each is refused by its own code and exit, its
//! claims are never echoed raw, and the STS hears of none of them.
//!
//! `claims.rs` tests what the messages say; here it is the breadth that counts. The tokens come by a GitLab job's
//! variable, where nothing but the program stands before the STS. Arbitrary bytes are in `src/identity/arbitrary_tests.rs`.

use crate::support;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use support::job::{AUDIENCE, Job, SUBJECT_TOKEN};
use support::table::each;
use support::token::{self, Token};

const MALFORMED: (i32, &str) = (4, "id-token-malformed");
const ALG: (i32, &str) = (4, "id-token-alg");
const TOO_LARGE: (i32, &str) = (4, "id-token-too-large");
const PADDED: (i32, &str) = (3, "token-env-padded");
const TIME: (i32, &str) = (5, "claim-time-invalid");
const AUD: (i32, &str) = (5, "claim-aud");
const ISS: (i32, &str) = (5, "claim-iss");

/// The issuer of these jobs, which no server of the test is: nobody has to be asked to refuse a token.
const ISSUER: &str = "https://gitlab.example";

type Cases = Vec<(String, (String, (i32, &'static str)))>;

/// A token that is in order.
fn good() -> Token {
    let job = Job::gitlab();
    Token::new(token::gitlab_claims(ISSUER, AUDIENCE, job.facts()))
}

fn run(token: &str) -> support::outcome::Outcome {
    Job::gitlab().env("CI_SERVER_URL", ISSUER).env(SUBJECT_TOKEN, token).arg("-v").run()
}

/// What is wrong with the text around the JSON.
fn texts() -> Cases {
    let good = good().mint();
    let [h, p, s] = *good.split('.').collect::<Vec<_>>() else { panic!("three parts") };
    let (h, p, s) = (h.to_owned(), p.to_owned(), s.to_owned());
    let bytes = URL_SAFE_NO_PAD.decode(&s).unwrap();
    let padded = |text: &str| URL_SAFE.encode(URL_SAFE_NO_PAD.decode(text).unwrap());
    let odd = if h.len() % 4 == 0 { format!("{h}A") } else { h.clone() + &"A".repeat(5 - h.len() % 4) };
    vec![
        case("one part", &h, MALFORMED),
        case("two parts", format!("{h}.{p}"), MALFORMED),
        case("four parts", format!("{good}.{s}"), MALFORMED),
        case("a JWE", format!("{good}.{s}.{s}"), MALFORMED),
        case("a JWE with an empty key", format!("{h}..{s}.{p}.{s}"), MALFORMED),
        case("six parts", format!("{good}.{s}.{s}.{s}"), MALFORMED),
        case("a thousand parts", "a.".repeat(1000), MALFORMED),
        case("dots alone", "..", MALFORMED),
        case("more dots", ".".repeat(40), MALFORMED),
        case("a dot in front", format!(".{good}"), MALFORMED),
        case("a dot behind", format!("{good}."), MALFORMED),
        case("two tokens in one", format!("{good}{good}"), MALFORMED),
        case("no signature", format!("{h}.{p}."), MALFORMED),
        case("no header", format!(".{p}.{s}"), MALFORMED),
        case("no payload", format!("{h}..{s}"), MALFORMED),
        case("header and payload exchanged", format!("{p}.{h}.{s}"), ALG),
        case("a padded signature", format!("{h}.{p}.{s}=="), MALFORMED),
        case("padded parts", format!("{}.{}.{}=", padded(&h), padded(&p), padded(&s)), MALFORMED),
        case("a padded header", format!("{h}=.{p}.{s}"), MALFORMED),
        case("percent-encoded padding", format!("{h}.{p}.{s}%3D%3D"), MALFORMED),
        case("the other alphabet", format!("{h}.{p}.{}", STANDARD.encode([0xfb; 60])), MALFORMED),
        case("a signature of one character", format!("{h}.{p}.A"), MALFORMED),
        case("spare bits in the header", format!("e31.{p}.{s}"), MALFORMED),
        case("spare bits in the payload", format!("{h}.e31.{s}"), MALFORMED),
        case("spare bits in the signature", format!("{h}.{p}.AB"), MALFORMED),
        case("a header of an impossible length", format!("{odd}.{p}.{s}"), MALFORMED),
        case("a signature cut to five characters", format!("{h}.{p}.AAAAA"), MALFORMED),
        case("hexadecimal digits", format!("{h}.{p}.0x{}", "f".repeat(63) + "\\x"), MALFORMED),
        case("the payload cut", format!("{h}.{}.{s}", &p[..p.len() / 8 * 4]), MALFORMED),
        case("the header cut", format!("{}.{p}.{s}", &h[..h.len() / 8 * 4]), MALFORMED),
        case("a quotation mark", format!("\"{good}\""), MALFORMED),
        case("an apostrophe", format!("'{good}'"), MALFORMED),
        case("a Greek capital alpha", good.replacen('A', "\u{391}", 1), MALFORMED),
        case("a full-width dot", good.replacen('.', "\u{ff0e}", 1), MALFORMED),
        case("a hyphen that is none", good.replacen('.', "\u{2010}.", 1), MALFORMED),
        case("a zero-width space", format!("{good}\u{200b}"), MALFORMED),
        case("a byte-order mark", format!("\u{feff}{good}"), MALFORMED),
        case("a right-to-left override", format!("\u{202e}{good}"), MALFORMED),
        case("a terminal's escape", format!("\u{1b}[2K{good}"), MALFORMED),
        case("a bell", format!("{good}\u{7}"), MALFORMED),
        case("a delete", format!("{good}\u{7f}"), MALFORMED),
        case("a bearer's scheme", format!("Bearer:{good}"), MALFORMED),
        case("a bearer's scheme with a blank", format!("Bearer {good}"), MALFORMED),
        case("a line's end", format!("{good}\n"), PADDED),
        case("a carriage return", format!("{good}\r\n"), PADDED),
        case("a command for the runner", format!("{good}\n::add-path::/x"), PADDED),
        case("a form's next field", format!("{good}&scope=admin"), MALFORMED),
        case("a tab in the middle", good.replacen('.', ".\t", 1), PADDED),
        case("JSON", "{\"access_token\":\"x\"}", MALFORMED),
        case(
            "a JWS in JSON",
            format!("{{\"protected\":\"{h}\",\"payload\":\"{p}\",\"signature\":\"{s}\"}}"),
            MALFORMED,
        ),
        case("an opaque token", "glpat-0123456789abcdefghij", MALFORMED),
        case("a token in base64 once more", URL_SAFE_NO_PAD.encode(&good), MALFORMED),
        case(
            "16 KiB and one",
            format!("{h}.{}.{s}", "A".repeat((16 << 10) - h.len() - s.len() - 1)),
            TOO_LARGE,
        ),
        case("64 KiB", "A".repeat(64 << 10), TOO_LARGE),
        case("100 KiB of dots", ".".repeat(100 << 10), TOO_LARGE),
        case(
            "bytes for text",
            format!("{}.{}.{s}", URL_SAFE_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)),
            MALFORMED,
        ),
    ]
}

fn case(
    name: &str,
    token: impl Into<String>,
    outcome: (i32, &'static str),
) -> (String, (String, (i32, &'static str))) {
    (name.to_owned(), (token.into(), outcome))
}

/// What is wrong with the JSON of one part, whichever it is.
fn documents() -> Cases {
    let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
    let objects = format!("{}1{}", "{\"a\":".repeat(40), "}".repeat(40));
    let documents: Vec<(&str, Vec<u8>)> = vec![
        ("an array", b"[]".to_vec()),
        ("an array of objects", b"[{\"alg\":\"RS256\"}]".to_vec()),
        ("a text", b"\"x\"".to_vec()),
        ("a number", b"7".to_vec()),
        ("true", b"true".to_vec()),
        ("null", b"null".to_vec()),
        ("blanks", b"   ".to_vec()),
        ("not JSON", b"{'alg':'RS256'}".to_vec()),
        ("a name without quotation marks", b"{alg:\"RS256\"}".to_vec()),
        ("a comma at the end", b"{\"alg\":\"RS256\",}".to_vec()),
        ("a comment", b"{\"alg\":\"RS256\"/**/}".to_vec()),
        ("cut short", b"{\"alg\":\"RS256\"".to_vec()),
        ("a member twice", b"{\"alg\":\"RS256\",\"alg\":\"none\"}".to_vec()),
        ("a member twice, once escaped", b"{\"alg\":\"RS256\",\"\\u0061lg\":\"none\"}".to_vec()),
        ("a member twice inside", b"{\"alg\":\"RS256\",\"x\":{\"a\":1,\"a\":2}}".to_vec()),
        ("a member twice in a list", b"{\"alg\":\"RS256\",\"x\":[{\"a\":1,\"a\":2}]}".to_vec()),
        ("two documents", b"{\"alg\":\"RS256\"}{}".to_vec()),
        ("a NUL behind it", b"{\"alg\":\"RS256\"}\0".to_vec()),
        ("a NUL in a name", b"{\"alg\":\"RS256\",\"a\0b\":1}".to_vec()),
        ("a raw line's end in a text", b"{\"alg\":\"RS\n256\"}".to_vec()),
        ("a byte-order mark", b"\xef\xbb\xbf{\"alg\":\"RS256\"}".to_vec()),
        ("UTF-16", b"{\0}\0".to_vec()),
        ("not UTF-8", b"{\"alg\":\"\xff\"}".to_vec()),
        ("an overlong encoding", b"{\"alg\":\"\xc0\xae\"}".to_vec()),
        ("half a character", b"{\"alg\":\"\\ud800\"}".to_vec()),
        ("a number without end", b"{\"alg\":\"RS256\",\"x\":1e400}".to_vec()),
        ("not a number", b"{\"alg\":\"RS256\",\"x\":NaN}".to_vec()),
        ("infinity", b"{\"alg\":\"RS256\",\"x\":-Infinity}".to_vec()),
        ("a number with a plus", b"{\"alg\":\"RS256\",\"x\":+1}".to_vec()),
        ("a number in hexadecimal digits", b"{\"alg\":\"RS256\",\"x\":0x10}".to_vec()),
        ("nested deeply", nested(40).into_bytes()),
        ("nested very deeply", nested(4000).into_bytes()),
        ("objects nested deeply", objects.into_bytes()),
    ];
    let header = br#"{"alg":"RS256"}"#;
    let both = documents.into_iter().flat_map(|(name, document)| {
        [
            case(&format!("header: {name}"), token::raw(&document, b"{}"), MALFORMED),
            case(&format!("payload: {name}"), token::raw(header, &document), MALFORMED),
        ]
    });
    both.collect()
}

/// What is wrong with the header.
fn headers() -> Cases {
    let alg = |value: Value| good().header("alg", value).mint();
    let crit = |value: Value| good().header("crit", value).mint();
    let mut cases = vec![
        case("no algorithm", good().without_header("alg").mint(), ALG),
        case("an empty header", token::raw(b"{}", b"{}"), ALG),
        case("alg: null", alg(Value::Null), ALG),
        case("alg: a number", alg(json!(256)), ALG),
        case("alg: a list", alg(json!(["RS256"])), ALG),
        case("alg: an object", alg(json!({"RS256": true})), ALG),
        case("crit", crit(json!(["exp"])), MALFORMED),
        case("crit: an empty list", crit(json!([])), MALFORMED),
        case("crit: a text", crit(json!("b64")), MALFORMED),
        case("crit: null", crit(Value::Null), MALFORMED),
        case(
            "an unencoded payload",
            good().header("b64", false).header("crit", json!(["b64"])).mint(),
            MALFORMED,
        ),
        case("none without a signature", good().header("alg", "none").signature("").mint(), MALFORMED),
        case(
            "an encrypted token's header",
            good().header("alg", "RSA-OAEP-256").header("enc", "A256GCM").mint(),
            ALG,
        ),
    ];
    let names = [
        "none",
        "None",
        "NONE",
        "nOnE",
        "",
        " ",
        "HS256",
        "HS384",
        "HS512",
        "hs256",
        "rs256",
        "RS256 ",
        " RS256",
        "RS256\n",
        "RS1",
        "RS128",
        "ES256K",
        "ES256k",
        "ED25519",
        "dir",
        "A128KW",
        "RSA1_5",
        "RS\u{406}256",
        "\u{ff32}\u{ff33}256",
        "\u{1b}[2K::add-path::/x",
    ];
    cases.extend(names.map(|name| case(&format!("alg: {name:?}"), alg(json!(name)), ALG)));
    cases
}

/// What is wrong with the claims.
fn claims_of() -> Cases {
    let now = token::now();
    let with = |name: &str, value: Value| good().claim(name, value).mint();
    let raw = |payload: String| token::raw(br#"{"alg":"RS256"}"#, payload.as_bytes());
    let exp = |literal: &str| {
        raw(format!("{{\"iss\":\"{ISSUER}\",\"aud\":\"{AUDIENCE}\",\"exp\":{literal},\"iat\":{now}}}"))
    };
    let mut cases = vec![
        case("no claims", raw("{}".to_owned()), TIME),
        case("no exp", good().without("exp").mint(), TIME),
        case("exp as a text", with("exp", json!((now + 300).to_string())), TIME),
        case("exp as a date", with("exp", json!("2030-01-01T00:00:00Z")), TIME),
        case("exp as a list", with("exp", json!([now + 300])), TIME),
        case("exp as an object", with("exp", json!({"$date": now})), TIME),
        case("exp as a boolean", with("exp", json!(true)), TIME),
        case("exp: null", with("exp", Value::Null), TIME),
        case("exp in milliseconds", with("exp", json!((now + 300) * 1000)), TIME),
        case("exp in eleven years", with("exp", json!(now + 11 * 366 * 86_400)), TIME),
        case("exp before iat", with("exp", json!(now - 3600)), TIME),
        case("exp of 64 bits", exp("18446744073709551615"), TIME),
        case("exp of more than 64 bits", exp("18446744073709551616"), TIME),
        case("exp of minus 64 bits", exp("-9223372036854775808"), TIME),
        case("exp of a hundred digits", exp(&"9".repeat(100)), TIME),
        case("exp of four hundred digits", exp(&"9".repeat(400)), MALFORMED),
        case("exp: 1e308", exp("1e308"), TIME),
        case("exp: 1e309", exp("1e309"), MALFORMED),
        case("exp beyond the calendar", exp("253402300800"), TIME),
        case("exp: -1", exp("-1"), TIME),
        case("exp: a fraction below zero", exp("-0.5"), TIME),
        case("exp: 0", exp("0"), TIME),
        case("exp: 1e-400", exp("1e-400"), TIME),
        case("iat as a text", with("iat", json!("0")), TIME),
        case("iat in milliseconds", with("iat", json!(now * 1000)), TIME),
        case("iat: -5", with("iat", json!(-5)), TIME),
        case("nbf as an object", with("nbf", json!({})), TIME),
        case("nbf: null", with("nbf", Value::Null), TIME),
        case("nbf: 1e300", with("nbf", json!(1e300)), TIME),
        case(
            "expired",
            good().claim("iat", now - 9000).claim("exp", now - 5000).mint(),
            (5, "claim-expired"),
        ),
        case(
            "expired in 1970",
            good().claim("iat", 0).claim("nbf", 0).claim("exp", 1).mint(),
            (5, "claim-expired"),
        ),
        case("valid from tomorrow on", with("nbf", json!(now + 86_400)), (5, "claim-not-yet-valid")),
        case("no audience", good().without("aud").mint(), AUD),
    ];
    let audiences = [
        json!(null),
        json!(""),
        json!([]),
        json!([[]]),
        json!([AUDIENCE, 1]),
        json!([AUDIENCE, null]),
        json!([[AUDIENCE]]),
        json!({AUDIENCE: AUDIENCE}),
        json!(7),
        json!(true),
        json!("*"),
        json!(AUDIENCE.to_uppercase()),
        json!(format!("{AUDIENCE}/")),
        json!(format!(" {AUDIENCE}")),
        json!(format!("{AUDIENCE}\0")),
        json!(format!("{AUDIENCE}.")),
        json!(AUDIENCE.replace("metal", "m\u{435}tal")),
        json!(AUDIENCE.replace("https", "http")),
        json!(format!("{AUDIENCE},other")),
    ];
    cases.extend(audiences.map(|aud| case(&format!("aud: {aud}"), with("aud", aud), AUD)));
    let issuers = [
        json!(null),
        json!(""),
        json!(7),
        json!([ISSUER]),
        json!({}),
        json!(format!("{ISSUER}/")),
        json!(format!("{ISSUER}.")),
        json!("https://GitLab.example"),
        json!("http://gitlab.example"),
        json!("gitlab.example"),
        json!("https://gitlab.example:443"),
        json!("https://gitlab.example.evil.example"),
        json!("https://gitlab.example@evil.example"),
        json!("https://gitlab.example\0.evil.example"),
        json!("https://gitl\u{430}b.example"),
        json!("https://gitlab.example/../x"),
        json!(format!("{ISSUER}\u{200b}")),
        json!(format!("{ISSUER}\n")),
        json!("\u{1b}[2K\n::add-path::/x"),
    ];
    cases.extend(issuers.map(|iss| case(&format!("iss: {iss}"), with("iss", iss), ISS)));
    cases
}

#[test]
fn every_one_is_refused_by_its_own_code_and_goes_nowhere() {
    let groups = [texts(), documents(), headers(), claims_of()];
    let sizes: Vec<usize> = groups.iter().map(Vec::len).collect();
    let cases: Cases = groups.into_iter().flatten().collect();
    // The issue asks for 80; a table that somebody thins out should not go unnoticed.
    assert!(cases.len() >= 80, "{}", cases.len());
    assert_eq!(sizes, [56, 66, 38, 71], "add to the table, and say so here");
    let names: std::collections::BTreeSet<&str> = cases.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names.len(), cases.len(), "every case has a name of its own");

    each(&cases, |(token, (exit, code))| {
        let outcome = run(token);
        outcome.fails(*exit, code).sts_requests(0);
        assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0), "{}", outcome.context());
        let shown = outcome.stderr.clone() + &outcome.report.as_ref().unwrap().to_string();
        assert!(
            !shown.contains(['\u{1b}', '\u{7}', '\u{202e}', '\u{200b}', '\r', '\0']),
            "{}",
            outcome.context()
        );
        assert!(support::runner::commands(&outcome.stderr).is_empty(), "{}", outcome.context());
        for part in token.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c))) {
            let pieces =
                part.as_bytes().windows(24).step_by(12).map(|piece| std::str::from_utf8(piece).unwrap());
            for piece in pieces.filter(|_| part.len() > 40) {
                assert!(!shown.contains(piece), "{piece} is shown\n{}", outcome.context());
            }
        }
    });
}

#[test]
fn a_token_of_the_same_kind_that_is_in_order_is_exchanged() {
    // Otherwise the table above could pass because of something that all its tokens have in common.
    let now = token::now();
    let fraction =
        format!("{{\"iss\":\"{ISSUER}\",\"sub\":\"x\",\"aud\":[\"{AUDIENCE}\"],\"exp\":{}.5e0}}", now + 300);
    for (name, token) in [
        ("as it comes", good().mint()),
        ("few claims, and a fraction", token::raw(br#"{"alg":"RS256"}"#, fraction.as_bytes())),
        ("a header with more than is needed", good().header("typ", 7).header("kid", "../x").mint()),
        (
            "a header with keys of its own",
            good().header("jku", "https://evil.example/").header("x5u", "x").mint(),
        ),
        ("nested, but not deeply", good().claim("x", json!([[[[{"a": [1]}]]]])).mint()),
    ] {
        println!("case: {name}");
        run(&token).succeeds().sts_requests(1).stderr_lacks("evil.example");
    }
}
