//! `--verify-signature`: the keys of the expected issuer and no others, and nothing sent to the STS unless they agree.
//!
//! The issuer is the harness's, which publishes what each test wants; the keys are made by ring in each test. RS256,
//! whose keys ring cannot make, is tested against an independent issuer (`interop.rs`) and with RFC 7520's example.

use crate::support;

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};

use support::job::{AUDIENCE, Job, SUBJECT_TOKEN};
use support::outcome::Outcome;
use support::server::{Reply, Request, Server};
use support::table::each;
use support::tls::Leaf;
use support::token::{self, Token};

const DISCOVERY: &str = "/.well-known/openid-configuration";
/// Where GitLab documents its keys; any other place is as good.
const KEYS: &str = "/oauth/discovery/keys";
const KID: &str = "key-of-the-issuer";
const DECODED: &str = "decoded, not verified";

// --- Keys -------------------------------------------------------------------------------------------------------

/// Makes a signature's bytes.
type Sign = Arc<dyn Fn(&[u8]) -> Vec<u8> + Send + Sync>;

/// A key pair, its algorithm, and its public part as it is published.
#[derive(Clone)]
struct Key {
    sign: Sign,
    algorithm: &'static str,
    jwk: Value,
}

impl Key {
    fn es256() -> Self {
        Self::ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, "ES256", "P-256")
    }

    fn es384() -> Self {
        Self::ecdsa(&ECDSA_P384_SHA384_FIXED_SIGNING, "ES384", "P-384")
    }

    fn ecdsa(scheme: &'static EcdsaSigningAlgorithm, algorithm: &'static str, curve: &str) -> Self {
        let random = SystemRandom::new();
        let document = EcdsaKeyPair::generate_pkcs8(scheme, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(scheme, document.as_ref(), &random).unwrap();
        // An uncompressed point: one byte that says so, then both coordinates.
        let point = pair.public_key().as_ref()[1..].to_vec();
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({
            "kty": "EC", "crv": curve, "alg": algorithm, "use": "sig", "kid": KID,
            "x": URL_SAFE_NO_PAD.encode(x), "y": URL_SAFE_NO_PAD.encode(y),
        });
        let sign = move |input: &[u8]| pair.sign(&SystemRandom::new(), input).unwrap().as_ref().to_vec();
        Self { sign: Arc::new(sign), algorithm, jwk }
    }

    /// A P-256 key whose signatures have the encoding of certificates, which JWS does not use.
    fn es256_in_der() -> Self {
        let key = Self::ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, "ES256", "P-256");
        Self { algorithm: "ES256", ..key }
    }

    fn eddsa() -> Self {
        let document = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        let pair = Ed25519KeyPair::from_pkcs8(document.as_ref()).unwrap();
        let x = URL_SAFE_NO_PAD.encode(pair.public_key());
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": KID, "x": x});
        let sign = move |input: &[u8]| pair.sign(input).as_ref().to_vec();
        Self { sign: Arc::new(sign), algorithm: "EdDSA", jwk }
    }

    /// What is published, with these members changed (null: left out).
    fn jwk(&self, changes: Value) -> Value {
        let mut jwk = self.jwk.clone();
        change(&mut jwk, changes);
        jwk
    }

    /// The token with this key's signature, and whatever its header says about keys.
    fn signed(&self, token: &Token) -> String {
        let input = token.signing_input();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode((self.sign)(input.as_bytes())))
    }

    /// The token with this key's signature, as an issuer makes it.
    fn issued(&self, token: Token) -> String {
        self.signed(&token.header("alg", self.algorithm).header("kid", KID).without_header("x5t"))
    }
}

fn change(object: &mut Value, changes: Value) {
    for (name, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(object.as_object_mut().unwrap().remove(name)),
            value => object[name] = value.clone(),
        }
    }
}

// --- Jobs -------------------------------------------------------------------------------------------------------

/// The issuer answers like this; the last answer is repeated.
fn serving(job: Job, discovery: Vec<Reply>, keys: Vec<Reply>) -> Job {
    let path = |base: &str| base.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
    let discovery_path = format!("{}{DISCOVERY}", path(&job.issuer()));
    let (mut discovery, mut keys) = (VecDeque::from(discovery), VecDeque::from(keys));
    job.issuer_with(move |request| {
        let replies = match request.path() {
            path if path == discovery_path => &mut discovery,
            KEYS => &mut keys,
            _ => return None,
        };
        if replies.len() > 1 { replies.pop_front() } else { replies.front().cloned() }
    })
}

/// The issuer's discovery document, with these members changed (null: left out).
fn metadata(job: &Job, changes: Value) -> Value {
    let mut document = json!({
        "issuer": job.issuer(), "jwks_uri": format!("{}{KEYS}", job.issuer_url()),
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "ES384", "EdDSA"],
        "response_types_supported": ["id_token"], "subject_types_supported": ["public", "pairwise"],
    });
    change(&mut document, changes);
    document
}

/// The issuer publishes its metadata with these changes, and these keys.
fn publishing(job: Job, changes: Value, keys: &[Value]) -> Job {
    let document = Reply::json(&metadata(&job, changes));
    serving(job, vec![document], vec![Reply::json(&json!({"keys": keys}))])
}

/// The job asks for the signature to be verified, and its tokens are signed by this key.
fn verifying(job: Job, key: &Key) -> Job {
    let key = key.clone();
    job.mint_with(move |token| key.issued(token)).arg("--verify-signature")
}

/// A job in which everything is in order.
fn good(job: Job) -> Job {
    let key = Key::es256();
    publishing(verifying(job, &key), json!({}), &[key.jwk(json!({}))])
}

/// The paths that the issuer was asked for, below GitHub's issuer.
fn asked(outcome: &Outcome) -> Vec<&str> {
    let paths = outcome.issuer.requests.iter().map(Request::path);
    paths.map(|path| path.strip_prefix("/_services/token").unwrap_or(path)).collect()
}

#[track_caller]
fn accepted(job: Job) -> Outcome {
    let outcome = job.run();
    outcome.succeeds().sts_requests(1);
    assert_eq!(outcome.report.as_ref().unwrap()["claims_status"], "verified");
    outcome
}

/// A run whose ID token stays here.
#[track_caller]
fn refused(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0);
    outcome.require(outcome.sts.heard_nothing(), "the STS heard nothing");
    let report = outcome.report.as_ref().unwrap();
    assert_eq!((&report["claims_status"], &report["stage"]), (&json!(DECODED), &json!("claims")));
    outcome
}

/// A server that nobody may speak to.
fn watched() -> Server {
    Server::start(|_: &Request| Reply::status(200))
}

#[track_caller]
fn unheard(server: &Server) {
    assert_eq!((server.connections(), server.requests().len()), (0, 0), "{:?}", server.requests());
}

// --- What is asked for, and what is not -------------------------------------------------------------------------

#[test]
fn a_signature_by_the_issuer_s_key_is_accepted() {
    for (name, key) in [("ES256", Key::es256()), ("ES384", Key::es384()), ("EdDSA", Key::eddsa())] {
        for github in [true, false] {
            println!("case: {name}, GitHub: {github}");
            let job = if github { Job::github() } else { Job::gitlab() };
            let outcome = accepted(publishing(verifying(job, &key), json!({}), &[key.jwk(json!({}))]));
            let wanted = if github { vec!["/idtoken", DISCOVERY, KEYS] } else { vec![DISCOVERY, KEYS] };
            assert_eq!(asked(&outcome), wanted);
            outcome.stderr_lacks("names keys of its own");
            for request in outcome.issuer.requests.iter().filter(|request| request.path() != "/idtoken") {
                assert_eq!((request.method.as_str(), request.body.len()), ("GET", 0));
                assert!(!request.target.contains('?'), "{}", request.target);
                assert!(request.header("authorization").is_none() && request.header("cookie").is_none());
            }
            let settings = &outcome.report.as_ref().unwrap()["settings"];
            assert_eq!(settings["verify-signature"], json!({"value": true, "source": "--verify-signature"}));
        }
    }
}

#[test]
fn it_works_over_tls_and_by_the_variable() {
    let key = Key::es256();
    let issued = key.clone();
    let job = Job::github().tls().mint_with(move |token| issued.issued(token));
    let outcome = accepted(
        publishing(job, json!({}), &[key.jwk(json!({}))]).env("EQUINIX_WIF_VERIFY_SIGNATURE", "true"),
    );
    assert!(outcome.issuer.requests.iter().all(|request| request.tls));
    let settings = &outcome.report.as_ref().unwrap()["settings"];
    assert_eq!(
        settings["verify-signature"],
        json!({"value": true, "source": "EQUINIX_WIF_VERIFY_SIGNATURE"})
    );
}

#[test]
fn without_the_flag_nobody_asks_for_keys() {
    for (job, wanted) in [(Job::github(), vec!["/idtoken"]), (Job::gitlab(), vec![])] {
        let key = Key::es256();
        let stranger = Key::es256();
        let job = job.mint_with(move |token| stranger.issued(token));
        let outcome = publishing(job, json!({}), &[key.jwk(json!({}))]).run();
        outcome.succeeds().sts_requests(1);
        assert_eq!(asked(&outcome), wanted);
        assert_eq!(outcome.report.as_ref().unwrap()["claims_status"], DECODED);
    }
    let off = Job::gitlab().env("EQUINIX_WIF_VERIFY_SIGNATURE", "false").run();
    off.succeeds().sts_requests(1);
    assert_eq!(off.issuer.connections, 0);
}

#[test]
fn verbose_lines_tell_verified_from_decoded() {
    let verified = accepted(good(Job::gitlab()).arg("-v"));
    verified.stderr_has("(verified)").stderr_lacks(DECODED);
    let dry = good(Job::gitlab()).arg("--dry-run").run();
    dry.succeeds().stderr_has(" (verified)\n");
    assert_eq!(dry.sts.connections, 0);
    let decoded = Job::gitlab().arg("-v").run();
    decoded.succeeds().stderr_has("(decoded, not verified)").stderr_lacks("(verified)");
}

#[test]
fn the_claims_come_first() {
    // Whoever issued it, a token for somebody else is no reason to ask anybody for keys.
    for (name, claim, value, code) in [
        ("audience", "aud", json!("https://other.example"), "claim-aud"),
        ("issuer", "iss", json!("https://evil.example"), "claim-iss"),
        ("expectation", "ref", json!("other"), "claim-expectation"),
    ] {
        println!("case: {name}");
        let job = good(Job::gitlab().args(["--expect", "ref=main"]));
        let job = job.claims(move |claims| drop(claims.insert(claim.to_owned(), value.clone())));
        let outcome = refused(job, 5, code);
        assert_eq!(outcome.issuer.connections, 0);
    }
}

#[test]
fn a_renewed_token_is_verified_like_the_first() {
    let key = Key::es256();
    for (name, second, holds) in [("good", key.clone(), true), ("forged", Key::es256(), false)] {
        println!("case: {name}");
        let job = publishing(verifying(Job::github(), &second), json!({}), &[key.jwk(json!({}))]);
        let claims = token::github_claims(&job.issuer(), AUDIENCE, job.facts());
        let short = Token::new(claims).claim("iat", token::now() - 300).claim("exp", token::now() + 20);
        let job = job.id_token_reply(Reply::json(&json!({"value": key.issued(short)})));
        let outcome = if holds {
            accepted(job)
        } else {
            let outcome = job.run();
            outcome.fails(5, "claim-signature").sts_requests(0);
            // The claims in the report are those of the token that does not hold, whatever held before.
            assert_eq!(outcome.report.as_ref().unwrap()["claims_status"], DECODED);
            outcome
        };
        assert_eq!(asked(&outcome), ["/idtoken", DISCOVERY, KEYS, "/idtoken", DISCOVERY, KEYS]);
    }
}

// --- Tokens -----------------------------------------------------------------------------------------------------

/// Makes a token's text from the issuer's key, a stranger's key and the token.
type Forge = fn(&Key, &Key, Token) -> String;

/// The token with its signature's bytes changed.
fn resigned(token: &str, change: impl FnOnce(&mut Vec<u8>)) -> String {
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
    change(&mut bytes);
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
}

#[test]
#[allow(clippy::too_many_lines, reason = "it is one table")]
fn what_the_issuer_did_not_sign_is_refused() {
    let cases: Vec<(&str, (Forge, &str, &str))> = vec![
        (
            "a stranger's key of the same id",
            (|_, stranger, token| stranger.issued(token), "claim-signature", "wrong"),
        ),
        (
            "a claim changed afterwards",
            (
                |key, _, token| {
                    let signature = key.issued(token.clone()).rsplit_once('.').unwrap().1.to_owned();
                    let token = token.header("alg", "ES256").header("kid", KID).without_header("x5t");
                    token.claim("ref", "production").signature(&signature).mint()
                },
                "claim-signature",
                "wrong",
            ),
        ),
        (
            "another token's signature",
            (
                |key, _, token| {
                    let other = key.issued(token.clone().claim("jti", "other"));
                    let own = key.issued(token);
                    format!("{}.{}", own.rsplit_once('.').unwrap().0, other.rsplit_once('.').unwrap().1)
                },
                "claim-signature",
                "wrong",
            ),
        ),
        (
            "a signature of zeros",
            (|key, _, token| resigned(&key.issued(token), |bytes| bytes.fill(0)), "claim-signature", "wrong"),
        ),
        (
            "a signature cut short",
            (
                |key, _, token| resigned(&key.issued(token), |bytes| bytes.truncate(63)),
                "claim-signature",
                "wrong",
            ),
        ),
        (
            "a signature with more behind it",
            (|key, _, token| resigned(&key.issued(token), |bytes| bytes.push(0)), "claim-signature", "wrong"),
        ),
        (
            "no key id that is published",
            (
                |key, _, token| key.signed(&token.header("alg", "ES256").header("kid", "key-of-yesterday")),
                "claim-key-not-found",
                "does not publish the key that the ID token names (any more)",
            ),
        ),
        (
            "a key id as a path",
            (
                |key, _, token| key.signed(&token.header("alg", "ES256").header("kid", "../../etc/passwd")),
                "claim-key-not-found",
                "\"../../etc/passwd\"",
            ),
        ),
        (
            "a key id as a command",
            (
                |key, _, token| key.signed(&token.header("alg", "ES256").header("kid", "x\n::add-path::/x")),
                "claim-key-not-found",
                "\"x : :add-path: :/x\"",
            ),
        ),
        (
            "a key id that differs in a letter",
            (
                |key, _, token| key.signed(&token.header("alg", "ES256").header("kid", KID.to_uppercase())),
                "claim-key-not-found",
                "published: \"key-of-the-issuer\"",
            ),
        ),
        (
            "an empty key id",
            (
                |key, _, token| key.signed(&token.header("alg", "ES256").header("kid", "")),
                "claim-signature",
                "key id (kid) is not a short text",
            ),
        ),
        (
            "a huge key id",
            (
                |key, _, token| key.signed(&token.header("alg", "ES256").header("kid", "k".repeat(257))),
                "claim-signature",
                "key id (kid) is not a short text",
            ),
        ),
        (
            "a number as key id",
            (
                |key, _, token| key.signed(&token.header("alg", "ES256").header("kid", 7)),
                "claim-signature",
                "key id (kid) is not a short text",
            ),
        ),
        (
            "another algorithm for the key",
            (
                |key, _, token| key.signed(&token.header("alg", "ES384").header("kid", KID)),
                "claim-signature",
                "not one for ES384 signatures",
            ),
        ),
        (
            "RSA for an elliptic key",
            (
                |key, _, token| key.signed(&token.header("alg", "RS256").header("kid", KID)),
                "claim-signature",
                "not one for RS256 signatures",
            ),
        ),
        (
            "an algorithm that the issuer does not list",
            (
                |key, _, token| key.signed(&token.header("alg", "PS256").header("kid", KID)),
                "claim-signature",
                "the issuer does not sign with the algorithm that the ID token names",
            ),
        ),
    ];
    each(&cases, |(forge, code, said)| {
        let (key, stranger) = (Key::es256(), Key::es256());
        let forge = *forge;
        let jwk = key.jwk(json!({}));
        let job = Job::gitlab().mint_with(move |token| forge(&key, &stranger, token));
        let outcome = refused(publishing(job, json!({}), &[jwk]).arg("--verify-signature"), 5, code);
        outcome.stderr_has(said);
        assert_eq!(asked(&outcome), [DISCOVERY, KEYS]);
    });
}

#[test]
fn a_signature_in_the_encoding_of_certificates_is_refused() {
    let key = Key::es256_in_der();
    let job = publishing(verifying(Job::gitlab(), &key), json!({}), &[key.jwk(json!({}))]);
    refused(job, 5, "claim-signature").stderr_has("wrong");
}

#[test]
fn a_token_without_a_key_id_is_verified_by_the_only_key() {
    let (key, other) = (Key::es256(), Key::es256());
    let nameless = |keys: &[Value]| {
        let key = key.clone();
        let job = Job::gitlab()
            .mint_with(move |token| key.signed(&token.header("alg", "ES256").without_header("kid")));
        publishing(job, json!({}), keys).arg("--verify-signature")
    };
    accepted(nameless(&[key.jwk(json!({}))]));
    accepted(nameless(&[key.jwk(json!({"kid": null})), Key::eddsa().jwk(json!({"kid": "x"}))]));
    let two = nameless(&[key.jwk(json!({})), other.jwk(json!({"kid": "other"}))]);
    refused(two, 5, "claim-signature").stderr_has("unclear which one counts");
    refused(nameless(&[other.jwk(json!({}))]), 5, "claim-signature").stderr_has("wrong");
}

#[test]
fn keys_that_a_token_brings_along_are_ignored() {
    let evil = Key::es256();
    // It would vouch for the evil key.
    let own = Reply::json(&json!({"keys": [evil.jwk(json!({}))]}));
    let trap = Server::start(move |_: &Request| own.clone());
    let pointers = [
        ("jku", json!(format!("{}/keys", trap.url()))),
        ("x5u", json!(format!("{}/chain", trap.url()))),
        ("jwk", evil.jwk(json!({}))),
        ("x5c", json!([STANDARD.encode("no certificate")])),
        ("x5t#S256", json!(URL_SAFE_NO_PAD.encode([7; 32]))),
    ];
    for (name, value) in pointers {
        println!("case: {name}");
        let warning = format!("the ID token's header names keys of its own ({name}), which were ignored");
        let key = Key::es256();
        let with = |signer: &Key, kid: &'static str| {
            let (signer, value) = (signer.clone(), value.clone());
            let job = Job::gitlab().mint_with(move |token| {
                let token = token.header("alg", "ES256").header("kid", kid).header(name, value.clone());
                signer.signed(&token)
            });
            publishing(job, json!({}), &[key.jwk(json!({}))]).arg("--verify-signature")
        };
        let outcome = accepted(with(&key, KID));
        outcome.stderr_has(&format!("warning: {warning}")).stderr_lacks(&trap.url());
        assert!(outcome.report.as_ref().unwrap()["warnings"].as_array().unwrap().contains(&json!(warning)));
        refused(with(&evil, KID), 5, "claim-signature").stderr_has(&warning);
        refused(with(&evil, "mine"), 5, "claim-key-not-found").stderr_has(&warning);
    }
    unheard(&trap);
}

// --- Keys -------------------------------------------------------------------------------------------------------

/// What is published, and what is said about it unless it is accepted.
type Published<'t> = (Vec<Value>, Option<&'t str>);

#[test]
fn only_the_one_fitting_key_counts() {
    let key = Key::es256();
    let is = |changes: Value| key.jwk(changes);
    let other = |changes: Value| Key::es256().jwk(changes);
    let (wrong, unfit) = (Some("signature is wrong"), Some("not one for ES256 signatures"));
    let rsa = json!({"kty": "RSA", "kid": KID, "n": URL_SAFE_NO_PAD.encode([0xc3; 256]), "e": "AQAB"});
    let cases: Vec<(&str, Published<'_>)> = vec![
        ("it alone", (vec![is(json!({}))], None)),
        ("among others", (vec![other(json!({"kid": "a"})), is(json!({})), other(json!({"kid": "b"}))], None)),
        ("beside a key of another type with its id", (vec![rsa.clone(), is(json!({}))], None)),
        ("beside what is no key", (vec![json!("x"), json!(null), json!([]), is(json!({}))], None)),
        ("without use and alg", (vec![is(json!({"use": null, "alg": null}))], None)),
        ("for verifying", (vec![is(json!({"use": null, "key_ops": ["verify"]}))], None)),
        ("of another's making", (vec![other(json!({}))], wrong)),
        ("twice", (vec![is(json!({})), is(json!({}))], Some("unclear which one counts"))),
        (
            "beside another of its id",
            (vec![other(json!({})), is(json!({}))], Some("unclear which one counts")),
        ),
        ("for encryption", (vec![is(json!({"use": "enc"}))], unfit)),
        ("for something unknown", (vec![is(json!({"use": 7}))], unfit)),
        ("for signing only", (vec![is(json!({"key_ops": ["sign"]}))], unfit)),
        ("for no operation", (vec![is(json!({"key_ops": "verify"}))], unfit)),
        ("for another algorithm", (vec![is(json!({"alg": "ES384"}))], unfit)),
        ("for a shared secret", (vec![is(json!({"alg": "HS256"}))], unfit)),
        ("on another curve", (vec![is(json!({"crv": "P-384"}))], unfit)),
        ("without a curve", (vec![is(json!({"crv": null}))], unfit)),
        ("of another type", (vec![rsa], unfit)),
        ("of no type", (vec![is(json!({"kty": null}))], unfit)),
        ("a shared secret", (vec![json!({"kty": "oct", "kid": KID, "k": "AAAA"})], unfit)),
        ("without a coordinate", (vec![is(json!({"y": null}))], Some("is malformed"))),
        ("with a coordinate of another alphabet", (vec![is(json!({"x": "+/=="}))], Some("is malformed"))),
        ("off the curve", (vec![is(json!({"y": URL_SAFE_NO_PAD.encode([1; 32])}))], wrong)),
        ("with a short coordinate", (vec![is(json!({"x": "AA"}))], wrong)),
    ];
    each(&cases, |(keys, said)| {
        let job = publishing(verifying(Job::gitlab(), &key), json!({}), keys);
        match said {
            None => drop(accepted(job)),
            Some(said) => drop(refused(job, 5, "claim-signature").stderr_has(said)),
        }
    });
    for (name, keys) in [
        ("none", vec![]),
        ("others only", vec![other(json!({"kid": "a"}))]),
        ("nameless", vec![is(json!({"kid": null}))]),
    ] {
        println!("case: {name}");
        let job = publishing(verifying(Job::gitlab(), &key), json!({}), &keys);
        let outcome = refused(job, 5, "claim-key-not-found");
        outcome.stderr_has("does not publish the key that the ID token names (any more)");
        outcome.stderr_has(&format!("\"{KID}\""));
    }
}

#[test]
fn the_issuer_s_list_of_algorithms_counts() {
    let key = Key::es256();
    let with = |list: Value| {
        let changes = json!({"id_token_signing_alg_values_supported": list});
        publishing(verifying(Job::gitlab(), &key), changes, &[key.jwk(json!({}))])
    };
    accepted(with(json!(["ES256"])));
    accepted(with(Value::Null));
    for list in [json!(["RS256"]), json!([]), json!(["es256"])] {
        println!("case: {list}");
        refused(with(list), 5, "claim-signature").stderr_has("found:    \"ES256\"");
    }
}

// --- What the issuer publishes ----------------------------------------------------------------------------------

#[test]
fn metadata_that_is_not_the_issuer_s_own_is_refused() {
    let key = Key::es256();
    let base = || verifying(Job::gitlab(), &key);
    let cases: Vec<(&str, (Value, &str))> = vec![
        ("another issuer", (json!({"issuer": "https://evil.example"}), "belongs to another issuer")),
        ("no issuer", (json!({"issuer": null}), "belongs to another issuer")),
        ("an issuer of another type", (json!({"issuer": [1]}), "belongs to another issuer")),
        ("no place for the keys", (json!({"jwks_uri": null}), "names no usable place for its keys")),
        ("a place of another type", (json!({"jwks_uri": 7}), "names no usable place for its keys")),
        ("a path alone", (json!({"jwks_uri": KEYS}), "names no usable place for its keys")),
        ("a file", (json!({"jwks_uri": "file:///etc/passwd"}), "names no usable place for its keys")),
        ("data", (json!({"jwks_uri": "data:application/json,{}"}), "names no usable place for its keys")),
        ("another scheme", (json!({"jwks_uri": "https://127.0.0.1:9/keys"}), "names no usable place")),
        ("a host without TLS", (json!({"jwks_uri": "http://keys.example/keys"}), "names no usable place")),
        ("a user", (json!({"jwks_uri": "http://u:p@127.0.0.1:9/keys"}), "names no usable place")),
    ];
    each(&cases, |(changes, said)| {
        let outcome =
            refused(publishing(base(), changes.clone(), &[key.jwk(json!({}))]), 7, "issuer-metadata");
        outcome.stderr_has(said);
        assert_eq!(asked(&outcome), [DISCOVERY]);
    });
    // The same but for a slash is another issuer.
    let slash = base();
    let changes = json!({"issuer": format!("{}/", slash.issuer())});
    refused(publishing(slash, changes, &[key.jwk(json!({}))]), 7, "issuer-metadata").stderr_has("expected:");
}

#[test]
fn an_issuer_with_a_slash_at_its_end_is_asked_below_it() {
    let key = Key::es256();
    let job = verifying(Job::gitlab(), &key);
    let issuer = format!("{}/", job.issuer());
    let iss = issuer.clone();
    let job = job
        .env("CI_SERVER_URL", &issuer)
        .claims(move |claims| drop(claims.insert("iss".to_owned(), json!(iss))));
    let outcome = accepted(publishing(job, json!({"issuer": issuer}), &[key.jwk(json!({}))]));
    assert_eq!(asked(&outcome), [DISCOVERY, KEYS]);
}

#[test]
fn keys_without_tls_of_an_issuer_with_tls_are_not_fetched() {
    let key = Key::es256();
    let trap = watched();
    let changes = json!({"jwks_uri": format!("{}/keys", trap.url())});
    let outcome = refused(
        publishing(verifying(Job::gitlab().tls(), &key), changes, &[key.jwk(json!({}))]),
        7,
        "issuer-metadata",
    );
    outcome.stderr_has("names no usable place for its keys");
    assert_eq!(asked(&outcome), [DISCOVERY]);
    unheard(&trap);
}

#[test]
fn answers_that_are_no_metadata_and_no_keys_are_refused() {
    let trap = watched();
    let redirect = |status: u16| Reply::status(status).header("Location", format!("{}/x", trap.url()));
    let html = || Reply::status(200).header("Content-Type", "text/html").body("<html>Sign in</html>");
    let huge = format!("{{\"issuer\":\"{}\",\"keys\":[]}}", "x".repeat(300 << 10));
    let answers: Vec<(&str, Reply)> = vec![
        ("301", redirect(301)),
        ("302", redirect(302)),
        ("303", redirect(303)),
        ("307", redirect(307)),
        ("308", redirect(308)),
        ("204", Reply::status(204)),
        ("206", Reply::status(206).body("{}")),
        ("401", Reply::status(401)),
        ("403", Reply::status(403)),
        ("404", Reply::status(404)),
        ("410", Reply::status(410)),
        ("HTML", html()),
        ("nothing", Reply::status(200)),
        ("a list", Reply::json(&json!([]))),
        ("a text", Reply::json(&json!("x"))),
        (
            "a member twice",
            Reply::status(200).body("{\"issuer\":\"a\",\"issuer\":\"b\",\"keys\":[],\"keys\":[]}"),
        ),
        ("two documents", Reply::status(200).body("{}{}")),
        ("more than is read", Reply::status(200).body(huge.clone())),
        ("more than is read, in pieces", Reply::status(200).body(huge).chunked()),
        ("without end", Reply::status(200).chunked().endless_body()),
    ];
    let key = Key::es256();
    each(&answers, |answer| {
        let job = verifying(Job::gitlab(), &key);
        let job = serving(job, vec![answer.clone()], vec![Reply::status(500)]);
        let outcome = refused(job, 7, "issuer-metadata");
        assert_eq!(asked(&outcome), [DISCOVERY]);

        let job = verifying(Job::gitlab(), &key);
        let document = Reply::json(&metadata(&job, json!({})));
        let outcome = refused(serving(job, vec![document], vec![answer.clone()]), 7, "issuer-metadata");
        assert_eq!(asked(&outcome), [DISCOVERY, KEYS]);
    });
    for keys in [json!({}), json!({"keys": {}}), json!({"keys": null}), json!({"KEYS": []})] {
        println!("case: {keys}");
        let job = verifying(Job::gitlab(), &key);
        let document = Reply::json(&metadata(&job, json!({})));
        let outcome = refused(serving(job, vec![document], vec![Reply::json(&keys)]), 7, "issuer-metadata");
        outcome.stderr_has("is not a set of keys");
    }
    unheard(&trap);
}

// --- An issuer that is not there --------------------------------------------------------------------------------

fn busy(status: u16) -> Reply {
    Reply::status(status).header("Retry-After", "0").body("<html>busy</html>")
}

#[test]
fn an_issuer_that_fails_for_a_moment_is_asked_again() {
    for status in [429, 500, 502, 503, 504] {
        println!("case: {status}");
        let key = Key::es256();
        let job = verifying(Job::gitlab(), &key);
        let document = Reply::json(&metadata(&job, json!({})));
        let keys = Reply::json(&json!({"keys": [key.jwk(json!({}))]}));
        let outcome = accepted(serving(job, vec![busy(status), document], vec![busy(status), keys]));
        assert_eq!(asked(&outcome), [DISCOVERY, DISCOVERY, KEYS, KEYS]);
    }
}

#[test]
fn an_issuer_that_keeps_failing_ends_the_run() {
    for (status, code) in [(429, "rate-limited"), (500, "server-error"), (503, "server-error")] {
        println!("case: {status}");
        let key = Key::es256();
        let brief = || verifying(Job::gitlab(), &key).args(["--timeout", "2"]);
        let outcome = refused(serving(brief(), vec![busy(status)], vec![busy(status)]), 8, code);
        outcome.stderr_has(&format!("the issuer at {}", "http://127.0.0.1:"));
        let report = outcome.report.as_ref().unwrap();
        assert_eq!(report["http_status"], status);
        let attempts = usize::try_from(report["attempts"].as_u64().unwrap()).unwrap();
        assert!(attempts > 1, "{attempts}");
        assert_eq!(asked(&outcome), vec![DISCOVERY; attempts]);

        let job = brief();
        let document = Reply::json(&metadata(&job, json!({})));
        let outcome = refused(serving(job, vec![document], vec![busy(status)]), 8, code);
        let attempts =
            usize::try_from(outcome.report.as_ref().unwrap()["attempts"].as_u64().unwrap()).unwrap();
        assert!(attempts > 1, "{attempts}");
        assert_eq!(asked(&outcome).iter().filter(|path| **path == KEYS).count(), attempts);
    }
}

#[test]
fn an_issuer_that_cannot_be_reached_ends_the_run() {
    let key = Key::es256();
    let cases = vec![
        ("closed", (Reply::close(), "2", "net-reset")),
        ("reset", (Reply::reset(), "2", "net-reset")),
        ("closed at once", (Reply::close_unread(), "2", "net-reset")),
        ("silent", (Reply::stall(), "1", "deadline")),
    ];
    each(&cases, |(reply, timeout, code)| {
        let job = verifying(Job::gitlab(), &key).args(["--timeout", timeout]);
        refused(serving(job, vec![reply.clone()], vec![]), 8, code);
    });
    let keys: Vec<_> = cases.into_iter().filter(|(name, _)| *name != "closed at once").collect();
    each(&keys, |(reply, timeout, code)| {
        let job = verifying(Job::gitlab(), &key).args(["--timeout", timeout]);
        let document = Reply::json(&metadata(&job, json!({})));
        let outcome = refused(serving(job, vec![document], vec![reply.clone()]), 8, code);
        assert_eq!(asked(&outcome)[..2], [DISCOVERY, KEYS]);
    });
    // Nobody listens there: ports below 1024 are nobody's in a test.
    let gone = "http://127.0.0.1:1";
    let job = verifying(Job::gitlab(), &key).env("CI_SERVER_URL", gone).args(["--timeout", "2"]);
    let job = job.claims(move |claims| drop(claims.insert("iss".to_owned(), json!(gone))));
    refused(job, 8, "net-connect").stderr_has(&format!("{gone} could not be reached"));
}

#[test]
fn an_issuer_that_nobody_certifies_is_not_believed() {
    let key = Key::es256();
    for leaf in [Leaf::Expired, Leaf::WrongHost, Leaf::UntrustedCa] {
        println!("case: {leaf:?}");
        let job = verifying(Job::gitlab().tls().issuer_tls(leaf), &key);
        let outcome = refused(publishing(job, json!({}), &[key.jwk(json!({}))]), 10, "tls-verify");
        assert_eq!(asked(&outcome), Vec::<&str>::new());
    }
}

// --- Whose keys -------------------------------------------------------------------------------------------------

/// A token in a variable, of which no platform says who issued it.
fn anywhere(key: &Key) -> Job {
    let job = verifying(Job::bare(), key);
    let token = job.mint();
    let job = job.env("METAL_TOKEN", token).args(["--subject-token-env", "METAL_TOKEN", "--provider", "env"]);
    publishing(job.token_on_stdout(), json!({}), &[key.jwk(json!({}))])
}

#[test]
fn an_issuer_that_nobody_names_is_not_believed() {
    let key = Key::es256();
    let outcome = anywhere(&key).run();
    outcome.fails(2, "cfg-issuer-missing").sts_requests(0);
    outcome.stderr_has("--expect iss=");
    assert_eq!((outcome.issuer.connections, outcome.sts.heard_nothing()), (0, true));

    let job = anywhere(&key);
    let expectation = format!("iss={}", job.issuer());
    let outcome = accepted(job.args(["--expect", &expectation]));
    assert_eq!(asked(&outcome), [DISCOVERY, KEYS]);

    let other = anywhere(&key).args(["--expect", "iss=https://other.example"]).run();
    other.fails(5, "claim-expectation").sts_requests(0);
    assert_eq!(other.issuer.connections, 0);
}

#[test]
fn an_issuer_that_the_token_names_itself_is_not_asked_without_validation() {
    let key = Key::es256();
    let evil = watched();
    let iss = evil.url();
    let job = good(Job::gitlab()).args(["--validation", "off"]);
    let outcome = job.claims(move |claims| drop(claims.insert("iss".to_owned(), json!(iss)))).run();
    outcome.fails(2, "cfg-issuer-missing").sts_requests(0);
    unheard(&evil);
    // What cannot be read cannot be verified either.
    let part = "A".repeat(40);
    let job = good(Job::gitlab()).args(["--validation", "off"]);
    let outcome = job.env(SUBJECT_TOKEN, format!("{part}.{part}.{part}")).run();
    outcome.fails(2, "cfg-issuer-missing").sts_requests(0);
    assert_eq!(outcome.issuer.connections, 0);
    // And what can be, is.
    accepted(good(Job::gitlab()).args(["--validation", "off"]));
    let stranger = publishing(verifying(Job::gitlab(), &Key::es256()), json!({}), &[key.jwk(json!({}))]);
    refused(stranger.args(["--validation", "off"]), 5, "claim-signature");
}

#[test]
fn an_expected_issuer_s_keys_count_in_place_of_the_platform_s() {
    let key = Key::es256();
    let job = verifying(Job::gitlab(), &key).env("CI_SERVER_URL", "https://gitlab.example");
    let expectation = format!("iss={}", job.issuer());
    let job = publishing(job, json!({}), &[key.jwk(json!({}))]).args(["--expect", &expectation]);
    assert_eq!(asked(&accepted(job)), [DISCOVERY, KEYS]);
}
