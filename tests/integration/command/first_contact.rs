//! `doctor --exchange --report`: what it records of an STS that nobody has described, and what it does not.

use crate::support;

use serde_json::{Value, json};

use support::job::{Job, sts_error, sts_success};
use support::outcome::Outcome;
use support::server::Reply;
use support::signing::signed;

/// A job with an exchange, and what the STS answers to each.
fn asked(replies: impl IntoIterator<Item = Reply>) -> Outcome {
    let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
    let job = signed(Job::gitlab()).command("doctor").arg("--exchange");
    job.sts_with(move |request| if request.method == "POST" { replies.next() } else { None }).run()
}

fn contact(outcome: &Outcome) -> &Value {
    &outcome.report.as_ref().expect("a report")["first_contact"]
}

fn posts(outcome: &Outcome) -> usize {
    outcome.sts.requests.iter().filter(|request| request.method == "POST").count()
}

#[test]
fn the_same_id_token_is_sent_twice_and_both_answers_are_described() {
    let mut answer = sts_success();
    answer["scope"] = json!("");
    answer["refresh_id"] = json!({"of": 1});
    let first = Reply::json(&answer).header("Cache-Control", "no-store").header("X-Request-Id", "a");
    let second = sts_error("invalid_grant", "used").header("WWW-Authenticate", "Bearer realm=\"x\"");
    let outcome = asked([first, second]);
    outcome.succeeds();
    assert_eq!(posts(&outcome), 2);
    let tokens: Vec<_> =
        outcome.sts.requests.iter().filter_map(|it| it.form_value("subject_token")).collect();
    assert_eq!(tokens[0], tokens[1]);
    let found = contact(&outcome);
    assert_eq!(
        (&found["sts_api"], &found["sts"]),
        (&json!("alpha"), &outcome.report.as_ref().unwrap()["settings"]["sts-endpoint"]["value"])
    );
    assert_eq!(
        (&found["subject"]["marks"], &found["subject"]["has_upper_case"]),
        (&json!("-/:_"), &json!(false))
    );
    let answers = found["answers"].as_array().unwrap();
    assert_eq!(
        answers[0],
        json!({
            "same_id_token_again": false, "status": 200, "media_type": "application/json", "challenge": null,
            "headers": ["Cache-Control", "Content-Type", "Date", "X-Request-Id"],
            "members": {
                "access_token": "string", "expires_in": "number", "issued_token_type": "string", "refresh_id": "object",
                "refresh_id.of": "number", "scope": "string", "token_type": "string",
            },
            "token_type": "Bearer", "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            "expires_in": 3600, "scope": "narrower", "error": null,
        })
    );
    assert_eq!((answers.len(), &found["requests"]), (2, &json!(2)));
    for (member, value) in [
        ("same_id_token_again", json!(true)),
        ("status", json!(400)),
        ("error", json!("invalid_grant")),
        ("challenge", json!("Bearer")),
        ("members", json!({"error": "string", "error_description": "string"})),
    ] {
        assert_eq!(answers[1][member], value, "{member}");
    }
    // The second answer is a fact, and no failure.
    let exchange = outcome.stdout.lines().find(|line| line.contains("  exchange  ")).unwrap();
    assert!(exchange.starts_with("ok ") && exchange.contains("sent once more"), "{exchange}");
}

/// A second request that is left without an answer is a fact as well, and costs the run nothing else.
#[test]
fn an_answer_that_does_not_come_is_counted() {
    let outcome = asked([Reply::json(&sts_success()), Reply::close()]);
    outcome.succeeds();
    let found = contact(&outcome);
    assert_eq!(found["requests"], 2);
    assert_eq!(found["answers"].as_array().map(Vec::len), Some(1));
    let requests = outcome.report.as_ref().unwrap()["audit"]["requests"].as_array().unwrap();
    let codes: Vec<&Value> =
        requests.iter().filter(|made| made["stage"] == "exchange").map(|made| &made["code"]).collect();
    assert!(codes.contains(&&json!("net-reset")) || codes.contains(&&json!("net-truncated")), "{codes:?}");
}

#[test]
fn a_refusal_is_described_and_nothing_is_sent_again() {
    let reply = Reply::status(400).json_body(&json!({"error": {"errorCode": "EQ-1", "subject": "x"}}));
    let outcome = asked([reply]);
    outcome.require(outcome.status == Some(6), "the STS has refused");
    assert_eq!(posts(&outcome), 1);
    let answers = contact(&outcome)["answers"].as_array().unwrap();
    assert_eq!(answers.len(), 1);
    let members = json!({"error": "object", "error.errorCode": "string", "error.subject": "string"});
    assert_eq!((&answers[0]["members"], &answers[0]["error"]), (&members, &Value::Null));
}

/// The harness looks for every secret in the report, also in pieces.
#[test]
fn an_echo_is_not_recorded() {
    let job = signed(Job::gitlab()).command("doctor").arg("--exchange").sts_with(|request| {
        let token = request.form_value("subject_token")?;
        let mut answer = sts_success();
        for member in ["token_type", "issued_token_type", "scope", "echo", "error"] {
            answer[member] = json!(token);
        }
        answer[&token] = json!({&token: token});
        let reply = Reply::json(&answer)
            .header("X-Request-Id", &token)
            .header("WWW-Authenticate", format!("{token} x"));
        Some(reply.header("Content-Type", format!("application/json; x={token}")))
    });
    let outcome = job.run();
    outcome.require(outcome.status == Some(7), "such an answer is no token");
    let answer = &contact(&outcome)["answers"][0];
    for member in ["token_type", "issued_token_type", "scope", "challenge", "error"] {
        assert_eq!(answer[member], "other", "{member}");
    }
    assert_eq!(answer["members"]["other"], "object");
    assert_eq!(answer["members"]["other.other"], "string");
}

#[test]
fn without_a_report_or_an_exchange_nothing_is_recorded_and_the_token_is_sent_once_at_most() {
    let outcome = signed(Job::gitlab()).command("doctor").arg("--exchange").without_report().run();
    outcome.succeeds();
    assert_eq!(posts(&outcome), 1);
    let outcome = signed(Job::gitlab()).command("doctor").run();
    assert_eq!((posts(outcome.succeeds()), contact(&outcome)), (0, &Value::Null));
    let outcome = Job::gitlab().run();
    assert_eq!((posts(outcome.succeeds()), contact(&outcome)), (1, &Value::Null));
}
