//! `--expect` and `--validation`: what the user demands of the claims, and how strictly the rest is taken.
//!
//! Expectations are a guard that the job's author puts before the STS, so every case here also shows that the STS
//! heard of nothing, or of exactly one exchange.

use crate::support;

use serde_json::{Map, Value, json};

use support::job::{AUDIENCE, Job, SCOPE, SUBJECT_TOKEN, sts_success};
use support::outcome::Outcome;
use support::server::{Reply, Request, Server};
use support::table::each;
use support::token;

const VARIABLE: &str = "EQUINIX_WIF_EXPECT";

/// A run whose ID token stays here.
#[track_caller]
fn refused(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0);
    outcome.require(outcome.sts.heard_nothing(), "the STS heard nothing");
    outcome
}

/// A run that exchanges its one ID token.
#[track_caller]
fn exchanged(job: Job) -> Outcome {
    let outcome = job.run();
    outcome.succeeds().sts_requests(1);
    outcome
}

fn expecting(job: Job, expectations: &[&str]) -> Job {
    expectations.iter().fold(job, |job, expectation| job.args(["--expect", expectation]))
}

fn with_claims(job: Job, changes: Value) -> Job {
    job.claims(move |claims| {
        for (name, value) in changes.as_object().unwrap() {
            match value {
                Value::Null => drop(claims.remove(name)),
                value => drop(claims.insert(name.clone(), value.clone())),
            }
        }
    })
}

/// Jobs of both platforms whose tokens hold claims of every kind.
fn github() -> Job {
    with_claims(Job::github(), kinds())
}

fn gitlab() -> Job {
    with_claims(Job::gitlab(), kinds())
}

fn kinds() -> Value {
    json!({
        "attempt": 3, "ratio": 0.5, "negative": -7, "protected": true, "off": false, "none": [], "empty": "",
        "members": ["a", "B", 7, true], "nested": {"namespace": "prod", "pod": {"name": "web", "ports": [80, 443]}},
        "oidc.circleci.com/project-id": "c0ffee", "kubernetes.io": {"namespace": "edge"},
        "equation": "a=b", "environment": "eu%3Aprod", "padded": " x ",
        "numbered_sub": "repo:octo-org@6520147/metal-app@741852963:ref:refs/heads/main",
    })
}

mod expectations {
    use super::*;

    #[test]
    fn that_hold_let_the_token_go() {
        let cases: Vec<(&str, &[&str])> = vec![
            ("a text", &["sha=4f0c1d6b8a93e27550b1c9d84f6e21a7730de915"]),
            ("several at once", &["protected=true", "attempt=3", "ref_protected=true"]),
            ("the second alternative", &["sha=x", "sha=4f0c1d6b8a93e27550b1c9d84f6e21a7730de915"]),
            (
                "alternatives with another between them",
                &["attempt=1", "protected=true", "attempt=3", "attempt=2"],
            ),
            ("the same twice", &["attempt=3", "attempt=3"]),
            ("a number", &["attempt=3"]),
            ("a fraction", &["ratio=0.5"]),
            ("a negative number", &["negative=-7"]),
            ("true", &["protected=true"]),
            ("false", &["off=false"]),
            ("an empty text", &["empty="]),
            ("a member", &["members=B"]),
            ("several members", &["members=a", "members=zzz"]),
            ("a number among the members", &["members=7"]),
            ("a boolean among the members", &["members=true"]),
            ("a nested claim", &["nested.namespace=prod"]),
            ("a claim nested twice", &["nested.pod.name=web"]),
            ("a nested list", &["nested.pod.ports=443"]),
            ("a name with dots", &["oidc.circleci.com/project-id=c0ffee"]),
            ("a name with dots that leads on", &["kubernetes.io.namespace=edge"]),
            ("a value with =", &["equation=a=b"]),
            ("blanks around the name", &[" attempt =3"]),
            ("blanks in the value", &["padded= x "]),
        ];
        each(&cases, |expectations| {
            for (job, places) in [(github(), 1), (gitlab(), 0)] {
                let outcome = exchanged(expecting(job, expectations));
                outcome.stderr_lacks("expect").id_token_requests(places);
            }
        });
    }

    /// The expectations, and for each that is unmet: the claim, what was expected, what was found.
    type Unmet = (&'static [&'static str], &'static [(&'static str, &'static str, &'static str)]);

    const ABSENT: &str = "(the token has no such claim)";

    #[test]
    #[allow(clippy::too_many_lines, reason = "it is one table")]
    fn that_do_not_hold_keep_the_token_here_and_show_the_difference() {
        const CASE: &str = "\"octo-org/metal-app\". They differ only in upper and lower case.";
        let cases: Vec<(&str, Unmet)> = vec![
            ("another text", (&["actor=x"], &[("actor", "\"x\"", "\"mona\"")])),
            ("an empty expectation", (&["actor="], &[("actor", "\"\"", "\"mona\"")])),
            ("an empty claim", (&["empty=x"], &[("empty", "\"x\"", "\"\"")])),
            (
                "no alternative",
                (&["actor=x", "actor=y", "actor=z"], &[("actor", "\"x\" or \"y\" or \"z\"", "\"mona\"")]),
            ),
            ("another number", (&["attempt=4"], &[("attempt", "\"4\"", "\"3\"")])),
            (
                "the same number, written otherwise",
                (
                    &["attempt=3e0"],
                    &[("attempt", "\"3e0\"", "\"3\". It is only the beginning of the expected text.")],
                ),
            ),
            ("a number with a zero in front", (&["attempt=03"], &[("attempt", "\"03\"", "\"3\"")])),
            ("the other boolean", (&["off=true"], &[("off", "\"true\"", "\"false\"")])),
            ("a number for a boolean", (&["protected=1"], &[("protected", "\"1\"", "\"true\"")])),
            ("no member", (&["members=c"], &[("members", "\"c\"", "\"a\", \"B\", \"7\", \"true\"")])),
            (
                "the list as it is written",
                (&["members=[\"a\"]"], &[("members", "\"[\"a\"]\"", "\"a\", \"B\", \"7\", \"true\"")]),
            ),
            ("an empty list", (&["none=x"], &[("none", "\"x\"", "(an empty list)")])),
            ("an empty list for nothing", (&["none="], &[("none", "\"\"", "(an empty list)")])),
            ("no such claim", (&["missing=x"], &[("missing", "\"x\"", ABSENT)])),
            ("no such claim for nothing", (&["missing="], &[("missing", "\"\"", ABSENT)])),
            ("the claim's name in capitals", (&["ACTOR=mona"], &[("ACTOR", "\"mona\"", ABSENT)])),
            ("no such nested claim", (&["nested.x=prod"], &[("nested.x", "\"prod\"", ABSENT)])),
            ("a path into a text", (&["actor.x=mona"], &[("actor.x", "\"mona\"", ABSENT)])),
            ("a path into a list", (&["members.0=a"], &[("members.0", "\"a\"", ABSENT)])),
            ("half a name with dots", (&["kubernetes=x"], &[("kubernetes", "\"x\"", ABSENT)])),
            ("a dot at the end", (&["actor.=mona"], &[("actor.", "\"mona\"", ABSENT)])),
            (
                "an object",
                (&["nested=prod"], &[("nested", "\"prod\"", "an object, which cannot be compared")]),
            ),
            (
                "letters",
                (&["repository=Octo-Org/metal-app"], &[("repository", "\"Octo-Org/metal-app\"", CASE)]),
            ),
            (
                "letters of a member",
                (
                    &["members=b"],
                    &[(
                        "members",
                        "\"b\"",
                        "\"a\", \"B\", \"7\", \"true\". They differ only in upper and lower case.",
                    )],
                ),
            ),
            (
                "True",
                (
                    &["protected=True"],
                    &[("protected", "\"True\"", "\"true\". They differ only in upper and lower case.")],
                ),
            ),
            (
                "only a beginning",
                (
                    &["repository=octo-org/metal"],
                    &[(
                        "repository",
                        "\"octo-org/metal\"",
                        "\"octo-org/metal-app\". The expected text is only its beginning.",
                    )],
                ),
            ),
            (
                "more than there is",
                (
                    &["repository=octo-org/metal-app.git"],
                    &[(
                        "repository",
                        "\"octo-org/metal-app.git\"",
                        "\"octo-org/metal-app\". It is only the beginning of the expected text.",
                    )],
                ),
            ),
            (
                "no refs/heads/",
                (
                    &["ref=main"],
                    &[(
                        "ref",
                        "\"main\"",
                        "\"refs/heads/main\". They differ only in refs/heads/ or refs/tags/ in front.",
                    )],
                ),
            ),
            (
                "a tag for a branch",
                (
                    &["ref=refs/tags/main"],
                    &[(
                        "ref",
                        "\"refs/tags/main\"",
                        "\"refs/heads/main\". They differ only in refs/heads/ or refs/tags/ in front.",
                    )],
                ),
            ),
            (
                "a slash",
                (
                    &["repository_owner=octo-org/"],
                    &[(
                        "repository_owner",
                        "\"octo-org/\"",
                        "\"octo-org\". They differ only in a slash at the end.",
                    )],
                ),
            ),
            (
                "a colon",
                (
                    &["environment=eu:prod"],
                    &[(
                        "environment",
                        "\"eu:prod\"",
                        "\"eu%3Aprod\". They differ only in how a colon is written (: or %3A).",
                    )],
                ),
            ),
            (
                "ids in the subject",
                (
                    &["numbered_sub=repo:octo-org/metal-app:ref:refs/heads/main"],
                    &[(
                        "numbered_sub",
                        "\"repo:octo-org/metal-app:ref:refs/heads/main\"",
                        "\"repo:octo-org@6520147/metal-app@741852963:ref:refs/heads/main\". They differ only in the ids of owner and repository (@id, GitHub's newer subject).",
                    )],
                ),
            ),
            (
                "white space",
                (&["padded=x"], &[("padded", "\"x\"", "\" x \". They differ only in white space.")]),
            ),
            ("a pattern", (&["ref=refs/heads/*"], &[("ref", "\"refs/heads/*\"", "\"refs/heads/main\"")])),
            (
                "three at once, beside one that holds",
                (
                    &["ref=refs/heads/release", "attempt=3", "missing=x", "nested=y"],
                    &[
                        ("ref", "\"refs/heads/release\"", "\"refs/heads/main\""),
                        ("missing", "\"x\"", ABSENT),
                        ("nested", "\"y\"", "an object, which cannot be compared"),
                    ],
                ),
            ),
        ];
        each(&cases, |(expectations, unmet)| {
            let outcome = refused(expecting(github(), expectations), 5, "claim-expectation");
            let first = match unmet {
                [(claim, _, _)] => format!("the claim \"{claim}\" is not what is expected"),
                several => format!("{} claims are not what is expected", several.len()),
            };
            let details = unmet.iter().map(|(claim, expected, found)| {
                format!("  claim:    \"{claim}\"\n  expected: {expected}\n  found:    {found}\n")
            });
            let account = format!("error[claim-expectation]: {first}\n{}hint: ", details.collect::<String>());
            outcome.stderr_has(&account).id_token_requests(1);
            let report = outcome.report.as_ref().unwrap();
            assert_eq!(
                (&report["stage"], &report["claims_status"]),
                (&json!("claims"), &json!("decoded, not verified"))
            );
            let message = report["message"].as_str().unwrap();
            assert!(message.starts_with(&first), "{message}");
            for (claim, expected, found) in *unmet {
                let part = format!("; claim: \"{claim}\"; expected: {expected}; found: {found}");
                assert!(message.contains(&part), "{message}");
            }
        });
    }

    #[test]
    fn with_a_star_are_no_patterns() {
        for value in ["ref=refs/heads/*", "ref=*"] {
            let outcome = refused(expecting(github(), &[value]), 5, "claim-expectation");
            outcome.stderr_has("There are no patterns: a value is compared exactly.");
            outcome.stderr_has("several for the same claim are alternatives");
        }
        let outcome = refused(expecting(github(), &["ref=refs/heads/x"]), 5, "claim-expectation");
        outcome.stderr_lacks("There are no patterns");
        // A value may have one all the same.
        let starred = with_claims(github(), json!({"environment": "*"}));
        exchanged(expecting(starred, &["environment=*"]));
    }

    #[test]
    fn a_hostile_claim_is_shown_harmlessly() {
        let evil = "\u{1b}[2K\n::add-path::/x ##[group] \u{202e}txet";
        let job = with_claims(Job::github(), json!({"environment": evil}));
        let outcome = refused(expecting(job, &["environment=prod"]), 5, "claim-expectation");
        outcome.stderr_has("found:    \"[2K : :add-path: :/x # #[group] txet\"");
        assert!(!outcome.stderr.contains(['\u{1b}', '\u{202e}']), "{}", outcome.context());
        let names: Vec<_> = support::runner::commands(&outcome.stderr).into_iter().map(|c| c.name).collect();
        assert_eq!(names, ["add-mask", "error"], "{}", outcome.stderr);
    }

    #[test]
    fn come_from_the_variable_one_a_line() {
        let several = "attempt=3\r\n\n   ref_protected=true   \nmembers=zzz\nmembers=a\n";
        let outcome = exchanged(gitlab().env(VARIABLE, several));
        assert_eq!(
            outcome.report.as_ref().unwrap()["settings"]["expect"],
            json!({"value": ["attempt=3", "ref_protected=true", "members=zzz", "members=a"], "source": VARIABLE})
        );
        let unmet = refused(gitlab().env(VARIABLE, "attempt=4\nref=x"), 5, "claim-expectation");
        unmet.stderr_has("2 claims are not what is expected");
        for empty in ["", "\n \n"] {
            exchanged(gitlab().env(VARIABLE, empty));
        }
    }

    #[test]
    fn of_the_flags_take_the_place_of_the_variable_s() {
        let outcome = exchanged(expecting(gitlab(), &["attempt=3"]).env(VARIABLE, "attempt=4\nmissing=x"));
        assert_eq!(
            outcome.report.as_ref().unwrap()["settings"]["expect"],
            json!({"value": ["attempt=3"], "source": "--expect"})
        );
        let unmet = expecting(gitlab(), &["attempt=4"]).env(VARIABLE, "attempt=3");
        refused(unmet, 5, "claim-expectation");
        // Not even a malformed variable is of interest then.
        exchanged(expecting(gitlab(), &["attempt=3"]).env(VARIABLE, "nonsense"));
    }

    #[test]
    fn that_cannot_be_read_are_refused_before_anything_else() {
        let cases: Vec<(String, (String, &str))> = [
            ("nonsense", "there is no ="),
            ("", "there is no ="),
            ("ref:main", "there is no ="),
            ("=x", "it does not begin with the name of a claim"),
            ("  =x", "it does not begin with the name of a claim"),
            ("a\u{7}b=x", "it does not begin with the name of a claim"),
            ("a\nb=x", "it does not begin with the name of a claim"),
            (&format!("{}=x", "a".repeat(257)), "it does not begin with the name of a claim"),
        ]
        .map(|(text, why)| (format!("{text:?}"), (text.to_owned(), why)))
        .into();
        each(&cases, |(text, why)| {
            for job in [github(), gitlab()] {
                let outcome = refused(expecting(job, &["attempt=3", text]), 2, "cfg-value-invalid");
                outcome.stderr_has(&format!("--expect has an expectation that cannot be read: {why}"));
                outcome.require(outcome.issuer.connections == 0, "no ID token was fetched");
            }
        });
        let outcome = refused(gitlab().env(VARIABLE, "attempt=3\nnonsense"), 2, "cfg-value-invalid");
        outcome.stderr_has(&format!("{VARIABLE} has an expectation that cannot be read: there is no ="));
    }

    #[test]
    fn of_the_issuer_take_the_place_of_the_platform_s() {
        let other = "https://gitlab.other.example";
        let foreign = || with_claims(Job::gitlab(), json!({"iss": other}));
        refused(foreign(), 5, "claim-iss").stderr_has(&format!("found:    \"{other}\""));
        exchanged(expecting(foreign(), &[&format!("iss={other}")])).stderr_lacks("issuer");
        exchanged(expecting(foreign(), &["iss=https://x.example", &format!("iss={other}")]));
        exchanged(foreign().env(VARIABLE, format!("iss={other}")));
        // It is the only one then: the platform's own does not hold any more.
        let slash = expecting(foreign(), &[&format!("iss={other}/")]);
        refused(slash, 5, "claim-expectation").stderr_has("They differ only in a slash at the end.");
        refused(expecting(Job::gitlab(), &[&format!("iss={other}")]), 5, "claim-expectation");
        let platform = expecting(foreign(), &["actor=x"]);
        refused(platform, 5, "claim-iss").stderr_lacks("actor");
    }

    #[test]
    fn come_after_what_makes_a_token_the_wrong_one() {
        let job = with_claims(gitlab(), json!({"aud": "https://other.example"}));
        refused(expecting(job, &["attempt=4"]), 5, "claim-aud").stderr_lacks("claim-expectation");
    }
}

mod validation {
    use super::*;

    const RUN: &str = "the ID token says run_id \"8\", but GITHUB_RUN_ID is \"17430925816\"";
    const AUDIENCES: &str = "the ID token is meant for 2 audiences at once";
    const BROAD: &str = "roleassignments:0f1d5c9b-2f6e-4c62-b4a5-2a6c8de7f013 policyassignments:7d1c9d52-3e0e-4c45-9d4b-d1ec0b6a95ad";
    const NARROWER: &str = "the STS granted only";

    /// What `strict` refuses: the job, its code and exit, how often the STS is asked, and what is said.
    fn odd() -> Vec<(&'static str, Job, i32, &'static str, usize, &'static str)> {
        let narrower = || Job::github().scope(BROAD).sts_answer(|answer| set(answer, "scope", json!(SCOPE)));
        vec![
            (
                "another run",
                with_claims(Job::github(), json!({"run_id": "8"})),
                5,
                "claim-run-binding",
                0,
                RUN,
            ),
            (
                "another run's number",
                with_claims(Job::github(), json!({"run_id": 8})),
                5,
                "claim-run-binding",
                0,
                RUN,
            ),
            (
                "another job",
                with_claims(Job::gitlab(), json!({"job_id": "1"})),
                5,
                "claim-run-binding",
                0,
                "the ID token says job_id \"1\", but CI_JOB_ID is \"9276154380\"",
            ),
            (
                "several audiences",
                with_claims(Job::github(), json!({"aud": [AUDIENCE, "sigstore"]})),
                5,
                "claim-aud",
                0,
                AUDIENCES,
            ),
            ("a narrower scope", narrower(), 7, "scope-mismatch", 1, NARROWER),
        ]
    }

    fn set(members: &mut Map<String, Value>, name: &str, value: Value) {
        members.insert(name.to_owned(), value);
    }

    #[test]
    fn basic_warns_of_what_strict_refuses() {
        for by_default in [true, false] {
            for (name, job, _, _, _, said) in odd() {
                println!("case: {name}");
                let job = if by_default { job } else { job.args(["--validation", "basic"]) };
                let outcome = exchanged(job);
                outcome.stderr_has(&format!("warning: {said}"));
                let report = outcome.report.as_ref().unwrap();
                let told = report["warnings"].as_array().unwrap();
                assert!(told.iter().any(|told| told.as_str().unwrap().starts_with(said)), "{told:?}");
                let source = if by_default { "default" } else { "--validation" };
                assert_eq!(report["settings"]["validation"], json!({"value": "basic", "source": source}));
            }
        }
    }

    #[test]
    fn strict_refuses_what_is_odd() {
        for by_flag in [true, false] {
            for (name, job, exit, code, exchanges, said) in odd() {
                println!("case: {name}");
                let (job, source) = if by_flag {
                    (job.args(["--validation", "strict"]), "--validation")
                } else {
                    (job.env("EQUINIX_WIF_VALIDATION", "strict"), "EQUINIX_WIF_VALIDATION")
                };
                let outcome = job.run();
                outcome.fails(exit, code).sts_requests(exchanges);
                outcome.stderr_has(&format!("error[{code}]: {said}")).stderr_lacks("warning: the ID token");
                outcome.stderr_has("--validation basic only warns of this.");
                let report = outcome.report.as_ref().unwrap();
                assert_eq!(report["settings"]["validation"], json!({"value": "strict", "source": source}));
            }
        }
    }

    #[test]
    fn strict_has_nothing_against_an_ordinary_job() {
        for job in [Job::github(), Job::gitlab()] {
            let outcome = exchanged(job.args(["--validation", "strict"]));
            assert_eq!(outcome.report.as_ref().unwrap()["code"], Value::Null);
        }
    }

    #[test]
    fn strict_takes_no_identity_that_a_variable_puts_in_the_job_s_place() {
        let job = || {
            let job = Job::github();
            let token = job.mint();
            job.file("id-token", token).env("EQUINIX_WIF_SUBJECT_TOKEN_FILE", "../../../id-token")
        };
        let said =
            "EQUINIX_WIF_SUBJECT_TOKEN_FILE replaces the identity that GitHub Actions gives to this job";
        let outcome = job().run();
        outcome.succeeds().id_token_requests(0).stderr_has(&format!("warning: {said}"));
        let outcome = refused(job().args(["--validation", "strict"]), 10, "endpoint-untrusted");
        outcome.stderr_has(&format!("error[endpoint-untrusted]: {said}"));
    }

    #[test]
    fn strict_asks_nobody_on_this_machine_that_the_server_does_not_name() {
        let job = || Job::github().env("GITHUB_SERVER_URL", "https://github.com");
        let strict = refused(job().args(["--validation", "strict"]), 10, "endpoint-untrusted");
        strict.id_token_requests(0).stderr_has("http://127.0.0.1:");
    }

    /// Everything goes through a proxy that refuses, so that a host can be named that is not on this machine.
    #[test]
    fn strict_asks_no_unknown_host_for_the_id_token() {
        let elsewhere = |proxy: &Server| {
            let job =
                Job::github().env("HTTPS_PROXY", proxy.url()).env("GITHUB_SERVER_URL", "https://github.com");
            job.env("ACTIONS_ID_TOKEN_REQUEST_URL", "https://elsewhere.example/x")
        };
        let said =
            "ACTIONS_ID_TOKEN_REQUEST_URL leads to https://elsewhere.example, which is neither GitHub's host";
        let refusing = || Server::start(|_: &Request| Reply::status(407));
        let proxy = refusing();
        let warned = elsewhere(&proxy).run();
        warned.fails(2, "proxy-auth").sts_requests(0).stderr_has(&format!("warning: {said}"));
        assert_eq!(proxy.requests()[0].method, "CONNECT");
        let proxy = refusing();
        let outcome = refused(elsewhere(&proxy).args(["--validation", "strict"]), 10, "endpoint-untrusted");
        outcome.stderr_has(&format!("error[endpoint-untrusted]: {said}"));
        assert_eq!(proxy.connections(), 0, "not even a name was looked up");
        let proxy = refusing();
        let off = elsewhere(&proxy).args(["--validation", "off"]).run();
        off.fails(2, "proxy-auth").stderr_has(&format!("warning: {said}"));
    }

    /// A GitLab job with this token in its variable, sent for what it is.
    fn unvalidated(token: &str) -> Job {
        Job::gitlab().env(SUBJECT_TOKEN, token).args(["--validation", "off"])
    }

    #[test]
    fn off_sends_whatever_can_be_sent() {
        let now = token::now();
        let part = "A".repeat(40);
        let claims = |changes: Value| with_claims(Job::gitlab(), changes).mint();
        let cases = vec![
            ("another audience", claims(json!({"aud": "sts.amazonaws.com"}))),
            ("no audience", claims(json!({"aud": null}))),
            ("another issuer", claims(json!({"iss": "https://evil.example"}))),
            ("no issuer", claims(json!({"iss": 7}))),
            ("another run", claims(json!({"job_id": "1"}))),
            ("no expiry", claims(json!({"exp": null}))),
            ("an expiry that is no time", claims(json!({"exp": "tomorrow"}))),
            ("expired", claims(json!({"exp": now - 9000, "iat": now - 9999, "nbf": now - 9999}))),
            ("nearly expired", claims(json!({"exp": now + 10}))),
            ("not valid yet", claims(json!({"nbf": now + 9000, "iat": now + 9000, "exp": now + 9999}))),
            ("a shared secret", Job::gitlab().mint_with(|token| token.header("alg", "HS256").mint()).mint()),
            ("a demand", Job::gitlab().mint_with(|token| token.header("crit", json!(["x"])).mint()).mint()),
            ("three parts of nothing", format!("{part}.{part}.{part}")),
            ("JSON that is not strict", token::raw(b"{\"alg\":\"RS256\"}", b"{\"aud\":1,\"aud\":2}")),
        ];
        each(&cases, |token| {
            let outcome = exchanged(unvalidated(token));
            assert_eq!(outcome.sts.requests[0].form_value("subject_token").as_deref(), Some(token.as_str()));
            outcome.stderr_lacks("another run");
            assert_eq!(outcome.report.as_ref().unwrap()["claims_status"], "decoded, not verified");
        });
    }

    #[test]
    fn off_renews_a_token_that_looks_expired_once_and_then_sends_it() {
        // GitHub's endpoint is asked again, as ever; if that does not help, the STS decides.
        let stale =
            with_claims(Job::github(), json!({"exp": token::now() - 9000})).args(["--validation", "off"]);
        exchanged(stale).id_token_requests(2);
    }

    #[test]
    fn off_still_refuses_what_could_not_be_masked() {
        let good = Job::gitlab().mint();
        let cases = vec![
            (
                "too long",
                (
                    format!("{}.{}.{}", "A".repeat(9000), "A".repeat(9000), "A".repeat(43)),
                    "id-token-too-large",
                ),
            ),
            ("a short text", ("abc.def.ghi".to_owned(), "id-token-malformed")),
            ("a quotation mark", (format!("\"{good}"), "id-token-malformed")),
            ("a padded part", (format!("{good}=="), "id-token-malformed")),
            ("another script", (format!("{good}\u{e9}"), "id-token-malformed")),
            ("a percent sign", (format!("{good}%"), "id-token-malformed")),
        ];
        each(&cases, |(token, code)| {
            refused(unvalidated(token), 4, code);
        });
        let github = Job::github().args(["--validation", "off"]);
        let reply = Reply::json(&json!({"value": format!("{good}%0A::debug::x")}));
        refused(github.id_token_reply(reply), 4, "id-token-malformed");
    }

    #[test]
    fn off_leaves_the_expectations() {
        let token = with_claims(gitlab(), json!({"aud": "x", "iss": "https://x.example"})).mint();
        exchanged(expecting(unvalidated(&token), &["attempt=3", "aud=x", "iss=https://x.example"]));
        let outcome = refused(expecting(unvalidated(&token), &["attempt=4"]), 5, "claim-expectation");
        let settings = &outcome.report.as_ref().unwrap()["settings"];
        assert_eq!(settings["validation"], json!({"value": "off", "source": "--validation"}));
        assert_eq!(settings["expect"], json!({"value": ["attempt=4"], "source": "--expect"}));
        // What cannot be read has no claims to expect anything of.
        let part = "A".repeat(40);
        let unreadable = expecting(unvalidated(&format!("{part}.{part}.{part}")), &["attempt=3"]);
        refused(unreadable, 5, "claim-expectation").stderr_has("(the token has no such claim)");
    }

    #[test]
    fn is_one_of_three_words() {
        for (name, job) in [
            ("flag", Job::gitlab().args(["--validation", "Strict"])),
            ("variable", Job::gitlab().env("EQUINIX_WIF_VALIDATION", "none")),
        ] {
            println!("case: {name}");
            refused(job, 2, "cfg-value-invalid").stderr_has("expected: off, basic or strict");
        }
    }

    #[test]
    fn a_scope_that_is_wider_is_refused_whatever_the_validation() {
        for validation in ["off", "basic", "strict"] {
            let job = Job::github().args(["--validation", validation]);
            let outcome = job.sts_answer(|answer| set(answer, "scope", json!(BROAD))).run();
            outcome.fails(7, "scope-mismatch").sts_requests(1);
        }
        let same = Job::github().args(["--validation", "strict"]);
        exchanged(same.sts_answer(|answer| set(answer, "scope", json!(SCOPE))));
        assert!(sts_success().get("scope").is_none(), "the scope is optional where it is the one asked for");
    }
}
