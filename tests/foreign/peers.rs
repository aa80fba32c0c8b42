//! Equinix's own Go clients beside the program. See `tests/foreign/peers/README.md`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::support::job::{Job, classic_success, sts_success};
use crate::support::outcome::Outcome;
use crate::support::server::{Reply, Request, Server};
use crate::tools::{INSTALL, need};
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        requests::for_client_credentials_are_the_peers_own,
        requests::for_a_password_are_the_peers_own,
        requests::for_a_refresh_token_are_the_peers_own,
        requests::of_a_token_exchange_are_the_peers_own,
        requests::of_a_client_at_the_sts_are_the_peers_own,
        answers::a_life_has_one_reading,
        answers::members_are_read_alike_or_for_a_reason,
        answers::refusals_are_read_in_both_forms,
        answers::a_redirect_takes_no_secret_along,
        answers::of_the_sts_are_read_alike_or_for_a_reason
    ]
}

/// The program with the peers in it.
pub(crate) fn peers() -> PathBuf {
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/foreign/peers/.bin/peers");
    need("program with the Go clients of Equinix", Command::new(&program).arg("version"), INSTALL);
    program
}

/// Lets a client of Equinix ask a server with this address, and returns what it read.
fn peer_asks(client: &str, url: &str, args: &[&str]) -> Value {
    let output = Command::new(peers()).args(["ask", client, url]).args(args).env_clear().output().unwrap();
    assert!(output.status.success(), "{client}: {}", String::from_utf8_lossy(&output.stderr));
    // What a client says in between is its own affair.
    let text = String::from_utf8(output.stdout).unwrap();
    serde_json::from_str(text.lines().last().unwrap()).unwrap()
}

/// Lets a client of Equinix ask a server that always answers so. Returns its one request and what it read.
fn peer(client: &str, args: &[&str], reply: Reply) -> (Request, Value) {
    let server = Server::start(move |_: &Request| reply.clone());
    let read = peer_asks(client, &server.url(), args);
    let mut requests = server.requests();
    assert_eq!(requests.len(), 1, "{client}");
    (requests.remove(0), read)
}

/// A client's id.
pub(crate) const ID: &str = "an-id-of-ours";
/// A client's secret. It has what JSON, HTML and forms write in different ways.
pub(crate) const SECRET: &str = "s3cret <&>\"\\/+%=é~*";

/// A run with a client's id and secret.
fn client(grant: &str) -> Job {
    Job::bare()
        .grant(grant)
        .token_on_stdout()
        .stored_secret(ID)
        .stored_secret(SECRET)
        .env("EQUINIX_API_CLIENTID", ID)
        .env("EQUINIX_API_CLIENTSECRET", SECRET)
}

mod requests {
    use super::*;

    /// Differences in the client's nature and not in Equinix's interface: its name, and whether it takes compressed answers. Ours
    /// takes none, since their size says nothing of what they become.
    const NATURE: [&str; 2] = ["header user-agent", "header accept-encoding"];
    /// Our members and fields come in the order of Equinix's documentation, those of the generated client by name. Neither
    /// JSON nor a form has an order.
    const ORDER: &str = "order";
    /// Go writes <, > and & in JSON as \u003c, \u003e and \u0026, for pages of HTML, and a line break behind the object.
    const WRITING: &str = "bytes";
    /// A longer name or writing is a longer body.
    const LENGTH: &str = "header content-length";

    /// Names what differs between two requests. The address that was asked differs always.
    fn differences(ours: &Request, theirs: &Request) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        let mut differ = |what: &str, is_different: bool| {
            if is_different {
                found.insert(what.to_owned());
            }
        };
        differ("method", ours.method != theirs.method);
        differ("target", ours.target != theirs.target);
        differ("version", ours.version != theirs.version);
        let names = ours.headers.iter().chain(&theirs.headers).map(|(name, _)| name.to_ascii_lowercase());
        for name in names.filter(|name| name != "host").collect::<BTreeSet<_>>() {
            differ(&format!("header {name}"), ours.headers_named(&name) != theirs.headers_named(&name));
        }
        let (mut our_pairs, mut their_pairs) = (pairs(ours), pairs(theirs));
        assert!(!our_pairs.is_empty() && our_pairs.len() == written(ours).len(), "{ours}");
        differ(ORDER, written(ours) != written(theirs));
        our_pairs.sort();
        their_pairs.sort();
        differ("members", our_pairs != their_pairs);
        differ(WRITING, ours.body != theirs.body);
        found
    }

    /// The members of a JSON object, or the fields of a form, with their values.
    fn pairs(request: &Request) -> Vec<(String, String)> {
        let Some(Value::Object(members)) = request.json() else { return request.form() };
        members.into_iter().map(|(name, value)| (name, value.to_string())).collect()
    }

    /// The names in the order in which they were written.
    fn written(request: &Request) -> Vec<String> {
        let Some(Value::Object(members)) = request.json() else {
            return request.form().into_iter().map(|(name, _)| name).collect();
        };
        let text = String::from_utf8_lossy(&request.body);
        let mut names: Vec<_> = members.into_iter().map(|(name, _)| name).collect();
        names.sort_by_key(|name| text.find(&format!("\"{name}\":")));
        names
    }

    /// Asserts that two requests differ in these things and no others.
    #[track_caller]
    fn differ(ours: &Outcome, number: usize, theirs: &Request, expected: &[&str]) {
        let ours = &ours.sts.requests[number];
        let expected: BTreeSet<_> = expected.iter().map(|what| (*what).to_owned()).collect();
        let found = differences(ours, theirs);
        assert_eq!(found, expected, "ours:\n{ours}\ntheirs:\n{theirs}");
    }

    pub(super) fn for_client_credentials_are_the_peers_own() {
        let ours = client("client-credentials").run();
        ours.succeeds().sts_requests(1);
        let (theirs, read) = peer("sdk", &[ID, SECRET], Reply::json(&classic_success()));
        assert_eq!(read["error"], Value::Null);
        differ(&ours, 0, &theirs, &[&NATURE[..], &[ORDER, WRITING, LENGTH]].concat());
        let (theirs, read) = peer("legacy", &[ID, SECRET], Reply::json(&classic_success()));
        assert_eq!(read["error"], Value::Null);
        differ(&ours, 0, &theirs, &[&NATURE[..], &[WRITING, LENGTH]].concat());
    }

    pub(super) fn for_a_password_are_the_peers_own() {
        // RFC 1321, appendix A.5; the peer encodes nothing by itself.
        let (password, encoded) = ("abcdefghijklmnopqrstuvwxyz", "w/zT12GS5AB9+0lsymfhOw==");
        let job = || {
            let job = client("password").args(["--force", "--password-file", "-"]).stdin(password);
            job.stored_secret(password).stored_secret(encoded).env("EQUINIX_API_USERNAME", "octo-user")
        };
        let good = || Reply::json(&classic_success());
        let plain = job().run();
        let (theirs, _) = peer("password", &[ID, SECRET, "octo-user", password], good());
        differ(plain.succeeds(), 0, &theirs, &[&NATURE[..], &[ORDER, WRITING, LENGTH]].concat());
        let digest = job().args(["--password-encoding", "md5-b64"]).run();
        let (theirs, _) = peer("password", &[ID, SECRET, "octo-user", encoded, "md5-b64"], good());
        differ(digest.succeeds(), 0, &theirs, &[&NATURE[..], &[ORDER, WRITING, LENGTH]].concat());
    }

    pub(super) fn for_a_refresh_token_are_the_peers_own() {
        let old = "aBiLmo8zsMX345MSaHHI-qwErtY8";
        let ours = client("refresh-token").refresh_token_in("refresh", old).run();
        let (theirs, read) = peer("refresh", &[ID, SECRET, old], Reply::json(&classic_success()));
        assert!(read["refresh_token"].is_string(), "{read}");
        differ(ours.succeeds(), 0, &theirs, &[&NATURE[..], &[WRITING, LENGTH]].concat());
    }

    pub(super) fn of_a_token_exchange_are_the_peers_own() {
        let ours = Job::gitlab().scope("orgpolicies:an-org roleassignments:an-org").run();
        let field = |name: &str| ours.succeeds().sts.requests[0].form_value(name).unwrap();
        let args = [field("scope"), field("subject_token")];
        let (theirs, read) = peer("sts-exchange", &[&args[0], &args[1]], Reply::json(&sts_success()));
        assert_eq!(read["error"], Value::Null);
        // Byte for byte.
        differ(&ours, 0, &theirs, &NATURE);
    }

    pub(super) fn of_a_client_at_the_sts_are_the_peers_own() {
        let caller = "a-classic-token-0123456789";
        let scope = "ern:eqix:equinix/access:global:a-project:accessPolicy:a-policy";
        let job = Job::bare().grant("sts-client-credentials").scope(scope).token_on_stdout();
        let ours = job.env("EQUINIX_API_TOKEN", caller).sts_bearer(caller).run();
        let (theirs, _) = peer("sts-client-credentials", &[scope, caller], Reply::json(&sts_success()));
        differ(ours.succeeds(), 0, &theirs, &NATURE);
    }
}

mod answers {
    use super::*;

    /// The reading of an answer: the seconds that the token is taken to live, or that it has no end, or the error.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    enum Read {
        Seconds(i64),
        Endless,
        Refused(&'static str),
    }
    use Read::{Endless, Refused, Seconds};

    /// Asserts what we read in an answer to client credentials, without a finding or with one.
    fn ours(reply: Reply, expected: Read) -> Result<(), String> {
        let outcome = client("client-credentials").sts_always(reply).run();
        let found = match (outcome.status, expected) {
            (Some(0), Seconds(seconds)) => {
                let answer: Value = serde_json::from_str(&outcome.stdout).unwrap();
                answer["expires_in"] == seconds
            }
            (Some(_), Refused(code)) => outcome.stderr.contains(&format!("error[{code}]: ")),
            _ => false,
        };
        if found { Ok(()) } else { Err(format!("ours is not {expected:?}: {}", outcome.stderr)) }
    }

    /// Asserts what a peer read. Its seconds are counted from when it reads.
    fn theirs(client: &str, reply: Reply, expected: Read) -> Result<(), String> {
        let (_, read) = peer(client, &[ID, SECRET], reply);
        let found = match expected {
            Seconds(seconds) => {
                read["expires_in"].as_i64().is_some_and(|found| (seconds - 5..=seconds).contains(&found))
            }
            Endless => read["token"].is_string() && read["expires_in"].is_null(),
            Refused(text) => read["error"].as_str().is_some_and(|error| error.contains(text)),
        };
        if found { Ok(()) } else { Err(format!("{client} is not {expected:?}: {read}")) }
    }

    /// The good answer with a member changed; `null` removes it.
    fn with(name: &str, value: &Value) -> Value {
        let mut answer = classic_success();
        let members = answer.as_object_mut().unwrap();
        members.retain(|name, _| !name.starts_with("refresh_token"));
        members.insert(name.to_owned(), value.clone());
        members.retain(|_, value| !value.is_null());
        answer
    }

    pub(super) fn a_life_has_one_reading() {
        // A peer reads a Go string, and an integer in it. What it cannot read is an hour, and 0 is no end.
        let (no_string, missing) =
            (Refused("cannot unmarshal number"), Refused("no value given for required"));
        let invalid = Refused("api-response-invalid");
        #[rustfmt::skip]
        let cases = [
            (json!("3599"), Seconds(3599), Seconds(3599), Seconds(3599), "alike"),
            (json!("soon"), Seconds(3600), Seconds(3600), Seconds(3600), "alike; ours says so"),
            (json!("1e9"), Seconds(3600), Seconds(3600), Seconds(3600), "alike; ours says so"),
            (json!(""), Seconds(3600), Seconds(3600), Seconds(3600), "alike; ours says so"),
            (json!(3599), Seconds(3599), no_string, no_string, "a number means what it says"),
            (json!(3599.9), Seconds(3599), no_string, no_string, "a number means what it says, and no more"),
            (Value::Null, Seconds(3600), missing, Seconds(3600), "an hour is what the vendor's page promises"),
            (json!("3599 (60 minutes)"), Seconds(3599), Seconds(3600), Seconds(3600), "the default in the vendor's document"),
            (json!(" 1800 "), Seconds(1800), Seconds(3600), Seconds(3600), "a blank changes no number; a token that is thought to live longer fails later"),
            (json!("0"), invalid, Endless, Endless, "no token lives for ever, and one without life is of no use"),
            (json!(0), invalid, no_string, no_string, "the same as a number"),
            (json!("-1"), invalid, Seconds(-1), Seconds(-1), "a token that has expired already is none"),
            (json!("1000000000"), invalid, Seconds(1_000_000_000), Seconds(1_000_000_000), "31 years are a mistake of somebody"),
            (json!(1e9), invalid, no_string, no_string, "the same as a number"),
            (json!("59"), Refused("token-ttl-too-short"), Seconds(59), Seconds(59), "--min-ttl is 60: the next step would meet its end"),
            (json!(true), invalid, Refused("cannot unmarshal bool"), Refused("cannot unmarshal bool"), "alike"),
        ];
        for (value, our_reading, sdk, legacy, why) in cases {
            println!("case: {value} ({why})");
            let reply = || Reply::json(&with("token_timeout", &value));
            let results =
                [ours(reply(), our_reading), theirs("sdk", reply(), sdk), theirs("legacy", reply(), legacy)];
            for result in results {
                assert_eq!(result, Ok(()), "{value} ({why})");
            }
        }
    }

    pub(super) fn members_are_read_alike_or_for_a_reason() {
        let invalid = Refused("api-response-invalid");
        let sdk_missing = Refused("no value given for required property");
        #[rustfmt::skip]
        let cases = [
            ("access_token", Value::Null, invalid, sdk_missing, Refused("missing access_token"), "alike"),
            ("access_token", json!(""), invalid, Refused("missing access token"), Refused("missing access_token"), "alike"),
            ("access_token", json!("two words and more"), invalid, Seconds(3599), Seconds(3599), "no header can hold it (RFC 6750)"),
            ("user_name", Value::Null, Seconds(3599), sdk_missing, Seconds(3599), "nothing needs it"),
            ("token_type", Value::Null, Seconds(3599), sdk_missing, Seconds(3599), "the interface has no other type"),
            ("token_type", json!("MAC"), invalid, Seconds(3599), Seconds(3599), "whoever uses it as Bearer is refused"),
            ("error_code", json!("4001"), invalid, Seconds(3599), Seconds(3599), "an answer is a token or an error"),
            ("more", json!({"a": [1]}), Seconds(3599), Seconds(3599), Seconds(3599), "alike"),
        ];
        for (name, value, our_reading, sdk, legacy, why) in cases {
            println!("case: {name} {value} ({why})");
            let reply = || Reply::json(&with(name, &value));
            let results =
                [ours(reply(), our_reading), theirs("sdk", reply(), sdk), theirs("legacy", reply(), legacy)];
            for result in results {
                assert_eq!(result, Ok(()), "{name} {value} ({why})");
            }
        }
        // A page is no answer for any of them. The older one looks at the media type only, so it misses the token.
        let page = || Reply::status(200).header("Content-Type", "text/html").body("<html>");
        assert_eq!(ours(page(), Refused("api-not-json")), Ok(()));
        assert_eq!(theirs("sdk", page(), Refused("undefined response type")), Ok(()));
        assert_eq!(theirs("legacy", page(), Refused("missing access_token")), Ok(()));
    }

    pub(super) fn refusals_are_read_in_both_forms() {
        let snake = json!({
            "error_domain": "apps", "error_title": "Error", "error_code": "4001",
            "developer_message": "Wrong client", "error_message": "Wrong client, please",
        });
        let camel = json!({
            "errorDomain": "apps-fqa", "errorTitle": "Login Failure", "errorCode": "S1006",
            "developerMessage": "Login Failure", "errorMessage": "Login Failure, please",
        });
        let sts = json!({"error": "invalid_client", "error_description": "Wrong client, please"});
        #[rustfmt::skip]
        let cases = [
            // The document knows the first form, and the newer client reads it with 400 only, and then shows none of it; the
            // older one reads the second.
            (400, &snake, "api-denied", "failed to fetch token: 400", "code: , message "),
            (500, &snake, "api-denied", "failed to fetch token: 500", "code: , message "),
            (500, &camel, "api-login-failed", "failed to fetch token: 500", "code: S1006, message Login Failure, please"),
            (400, &camel, "api-login-failed", "no value given for required property", "code: S1006, message Login Failure, please"),
            (401, &sts, "api-login-failed", "failed to fetch token: 401", "code: , message "),
        ];
        for (status, body, code, sdk, legacy) in cases {
            println!("case: {status} {body}");
            let reply = || Reply::status(status).json_body(body);
            assert_eq!(ours(reply(), Refused(code)), Ok(()));
            assert_eq!(theirs("sdk", reply(), Refused(sdk)), Ok(()));
            assert_eq!(theirs("legacy", reply(), Refused(legacy)), Ok(()));
            // Whatever the form and the status: what Equinix says is shown.
            let outcome = client("client-credentials").sts_always(reply()).run();
            outcome.stderr_has(", please").sts_requests(1);
        }
    }

    /// The newer peer follows a redirect and takes the secret along; the older one tries to, and has no body left. Ours stays where
    /// its user led it.
    pub(super) fn a_redirect_takes_no_secret_along() {
        let elsewhere = || Server::start(|_: &Request| Reply::json(&classic_success()));
        let redirect =
            |to: &Server| Reply::status(307).header("Location", format!("{}/oauth2/v1/token", to.url()));
        let other = elsewhere();
        assert_eq!(ours(redirect(&other), Refused("api-redirect")), Ok(()));
        assert_eq!(other.connections(), 0);
        let other = elsewhere();
        assert_eq!(theirs("legacy", redirect(&other), Refused("with Body length 0")), Ok(()));
        assert_eq!(theirs("sdk", redirect(&other), Seconds(3599)), Ok(()));
        assert_eq!(other.requests()[0].json().unwrap()["client_secret"], SECRET);
    }

    pub(super) fn of_the_sts_are_read_alike_or_for_a_reason() {
        let with = |name: &str, value: &Value| {
            let mut answer = sts_success();
            answer[name] = value.clone();
            answer.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            Reply::json(&answer)
        };
        let missing = Refused("no value given for required property");
        #[rustfmt::skip]
        let cases = [
            ("expires_in", json!(3600), Seconds(3600), Seconds(3600), "alike"),
            ("expires_in", json!(3600.0), Seconds(3600), Seconds(3600), "alike"),
            ("expires_in", json!("3600"), Refused("sts-response-invalid"), Refused("cannot unmarshal string"), "alike"),
            ("expires_in", Value::Null, Refused("sts-response-invalid"), missing, "alike"),
            ("expires_in", json!(0), Refused("sts-response-invalid"), Seconds(0), "a token without life is of no use"),
            ("issued_token_type", Value::Null, Refused("sts-response-invalid"), missing, "alike"),
            ("issued_token_type", json!("urn:ietf:params:oauth:token-type:jwt"), Refused("sts-issued-token-type"), Refused("is not a valid"), "alike"),
            ("token_type", json!("N_A"), Refused("sts-token-type"), Refused("is not a valid"), "alike"),
            ("token_type", json!("bearer"), Seconds(3600), Refused("is not a valid"), "a type has no case (RFC 6749 section 5.1)"),
            ("access_token", json!(""), Refused("sts-response-invalid"), Seconds(3600), "the caller of the peer has to look itself"),
        ];
        for (name, value, our_reading, theirs, why) in cases {
            println!("case: {name} {value} ({why})");
            let outcome = Job::gitlab().sts_always(with(name, &value)).run();
            match our_reading {
                Seconds(seconds) => {
                    outcome.succeeds().stderr_has(&format!("({seconds} s)"));
                }
                Refused(code) => {
                    outcome.fails(7, code);
                }
                Endless => panic!("ours has an end"),
            }
            let (_, read) = peer("sts-exchange", &["a-scope", "a.b.c"], with(name, &value));
            match theirs {
                Seconds(seconds) => assert_eq!(read["expires_in"].as_i64().unwrap_or(0), seconds, "{read}"),
                Refused(text) => assert!(read["error"].as_str().unwrap().contains(text), "{read}"),
                Endless => panic!("theirs has an end"),
            }
        }
    }
}
