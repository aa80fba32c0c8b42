//! The ways of a ready ID token that are the same on every platform that hands one over.

use serde_json::{Value, json};

use super::job::{AUDIENCE, Job, World};
use super::outcome::Outcome;

/// A failed run: nothing was sent, and nothing is on stdout.
#[track_caller]
pub fn fails(job: Job, exit: i32, code: &str) -> Outcome {
    let outcome = job.run();
    outcome.fails(exit, code).sts_requests(0).stdout_is("");
    assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0), "{}", outcome.context());
    outcome
}

/// A claim of every token of this job.
pub fn claim(job: Job, name: &'static str, value: impl Into<Value>) -> Job {
    let value = value.into();
    job.claims(move |claims| {
        claims.insert(name.to_owned(), value.clone());
    })
}

/// The main job with a good token: it is recognised, exchanged, and printed nowhere.
#[track_caller]
pub fn works(job: Job, id: &str) -> Outcome {
    let outcome = job.run();
    outcome.succeeds().sts_requests(1);
    assert_eq!(outcome.issuer.connections, 0, "a ready token is not asked for");
    assert_eq!(outcome.report.as_ref().unwrap()["provider"], id);
    outcome.stderr_lacks("::add-mask::");
    outcome
}

/// Every way in which the token can be wrong ends before anything is sent, with its own code.
#[track_caller]
pub fn refuses_what_is_wrong(world: &'static World, cure: &str) {
    let variable = world.token.unwrap();
    fails(Job::of(world).unset(variable), 3, "token-env-empty").stderr_has(variable).stderr_has(cure);
    fails(Job::of(world).env(variable, ""), 3, "token-env-empty").stderr_has(cure);
    fails(Job::of(world).env(variable, "$OTHER"), 3, "token-env-unexpanded").stderr_has(cure);
    fails(Job::of(world).env(variable, "not-a-token"), 4, "id-token-malformed");
    let good = Job::of(world).mint();
    fails(Job::of(world).env(variable, &good[..good.len() / 2]), 4, "id-token-malformed");
    fails(claim(Job::of(world), "aud", "sts.amazonaws.com"), 5, "claim-aud").stderr_has(AUDIENCE);
    let other = claim(Job::of(world), "aud", "sts.amazonaws.com").without_flag("--audience");
    fails(other, 5, "claim-aud").stderr_has("AWS");
    let old = claim(claim(Job::of(world), "iat", 1_699_996_400), "exp", 1_700_000_000);
    fails(old, 5, "claim-expired");
    fails(claim(Job::of(world), "sub", json!(null)), 4, "id-token-malformed");
}

/// A token of another issuer is not sent.
#[track_caller]
pub fn knows_its_issuer(world: &'static World) {
    let other = "https://issuer.example";
    fails(claim(Job::of(world), "iss", other), 5, "claim-iss").stderr_has(other);
    let expected = claim(Job::of(world), "iss", other).args(["--expect", "iss=https://issuer.example"]);
    expected.run().succeeds().sts_requests(1);
}

/// A token of another run is warned of, and with strict validation it is not sent.
#[track_caller]
pub fn knows_its_run(world: &'static World, claims: &[(&'static str, &str)]) {
    for (name, variable) in claims {
        println!("case: {name}");
        let other = || claim(Job::of(world), name, "0b6d3a52-0000-4d2a-9d0c-5f7f1a2b3c4d");
        let outcome = other().run();
        outcome.succeeds().stderr_has(&format!("the ID token says {name} "));
        outcome.stderr_has(variable);
        fails(other().args(["--validation", "strict"]), 5, "claim-run-binding");
    }
}
