//! The connection that is opened ahead: when it is opened, what goes over it, and that nothing which happens to it shows.
//!
//! The servers wait for one another, so that each case happens in the order that it describes.

use crate::support;

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;

use support::job::{Job, sts_error, sts_success};
use support::outcome::Outcome;
use support::server::{Queue, Reply, Request, Server, Watch};
use support::signing::signed;
use support::table::each;
use support::tls::Leaf;
use support::turns::measured;

/// A GitHub job whose ID token comes only when this has happened at the STS.
fn when(job: Job, happened: impl Fn(&Watch) + Send + 'static) -> Job {
    let sts = job.watch_sts();
    job.issuer_with(move |request| {
        if request.path() == "/idtoken" {
            happened(&sts);
        }
        None
    })
}

fn job(tls: bool) -> Job {
    if tls { Job::github().tls() } else { Job::github() }
}

/// Both ways to connect, with names.
fn plain_and_tls() -> [(&'static str, bool); 2] {
    [("plain", false), ("TLS", true)]
}

/// One exchange, at the first attempt, with no word about the connection.
#[track_caller]
fn is_silent(outcome: &Outcome) {
    outcome.succeeds().id_token_requests(1).sts_requests(1).stderr_lacks("attempt");
    outcome.require(outcome.outputs()["access-token"] == outcome.access_token(), "the token is handed over");
}

// --- Opened while the ID token is waited for -------------------------------------------------------------------------

#[test]
fn the_exchange_goes_out_on_a_connection_that_stood_before_the_id_token_came() {
    each(&plain_and_tls(), |tls| {
        let outcome = when(job(*tls), |sts| sts.wait_for_ready(1)).run();
        is_silent(&outcome);
        outcome.require((outcome.issuer.connections, outcome.sts.connections) == (1, 1), "two connections");
        outcome.require((outcome.issuer.pieces, outcome.sts.pieces) == (1, 1), "each request in one piece");
    });
}

#[test]
fn exec_opens_it_too() {
    let outcome = when(Job::github().exec(["true"]), |sts| sts.wait_for_ready(1)).run();
    outcome.succeeds();
    assert_eq!((outcome.issuer.connections, outcome.sts.connections), (1, 1));
}

#[test]
fn a_ready_token_needs_none() {
    let outcome = Job::gitlab().run();
    outcome.succeeds().sts_requests(1);
    assert_eq!(outcome.sts.connections, 1);
    // There is none to spare either: what happens to the first one costs an attempt.
    let outcome = Job::gitlab().tls().sts_reply(Reply::close_unread()).run();
    outcome.succeeds().sts_requests(1).stderr_has("attempt 1 failed (tls-handshake)");
    assert_eq!(outcome.sts.connections, 2);
    let outcome =
        Job::github().command("id-token").without_flag("--scope").without_flag("--sts-endpoint").run();
    outcome.succeeds();
    assert_eq!((outcome.issuer.connections, outcome.sts.connections), (1, 0));
}

#[test]
fn nothing_is_said_on_it_before_the_claims_hold() {
    each(&plain_and_tls(), |tls| {
        let job =
            job(*tls).claims(|claims| drop(claims.insert("aud".into(), json!("https://other.example"))));
        let outcome = when(job, |sts| sts.wait_for_ready(1)).run();
        outcome.fails(5, "claim-aud");
        outcome.require(outcome.sts.connections == 1 && outcome.sts.heard_nothing(), "the STS heard nothing");
    });
}

/// A run through a proxy that carries both connections, and what it carried.
fn proxied() -> (Outcome, Vec<Vec<u8>>) {
    const HOST: &str = "elsewhere.example";
    let proxy = Server::start(|request: &Request| {
        let (_, port) = request.target.rsplit_once(':').unwrap();
        Reply::tunnel(SocketAddr::from(([127, 0, 0, 1], port.parse().unwrap())))
    });
    let job = Job::github().issuer_tls(Leaf::WrongHost).sts_tls(Leaf::WrongHost);
    let far = |url: String| url.replace("localhost", HOST);
    let (issuer, sts) = (far(job.issuer_url()), far(job.sts_url()));
    let job = job
        .without_flag("--sts-endpoint")
        .args(["--sts-endpoint", &sts])
        .env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{issuer}/idtoken?api-version=2.0"))
        .env("HTTPS_PROXY", proxy.url());
    (when(job, |sts| sts.wait_for_ready(1)).run(), proxy.received())
}

#[test]
fn it_goes_through_the_proxy() {
    let (outcome, carried) = proxied();
    is_silent(&outcome);
    assert_eq!((carried.len(), outcome.sts.connections), (2, 1));
}

/// How many records of data went through a tunnel behind `CONNECT`: where each write ended, which TCP does not tell.
fn records(carried: &[u8]) -> usize {
    const DATA: u8 = 23;
    let end = carried.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let (mut rest, mut count) = (&carried[end..], 0);
    while let [kind, _, _, high, low, ..] = rest {
        count += usize::from(*kind == DATA);
        rest = &rest[5 + usize::from(u16::from_be_bytes([*high, *low]))..];
    }
    count
}

#[test]
fn head_and_body_go_out_in_one_write() {
    // TLS 1.3 ends its handshake with a record of data, and the request is the other one.
    let (outcome, carried) = proxied();
    is_silent(&outcome);
    let counts: Vec<usize> = carried.iter().map(|bytes| records(bytes)).collect();
    outcome.require(counts == [2, 2], &format!("one record for each request: {counts:?}"));
}

/// A job with this command whose issuer publishes keys, and which gets its ID token elsewhere, as on GitHub: when so many
/// connections stand at the issuer and at the STS.
fn verifying(command: &str, at_issuer: usize, at_sts: usize) -> Outcome {
    let job = signed(Job::github().tls()).command(command);
    let (issuer, sts, token) = (job.watch_issuer(), job.watch_sts(), job.mint());
    let minter = Server::start(move |_: &Request| {
        issuer.wait_for_ready(at_issuer);
        sts.wait_for_ready(at_sts);
        Reply::json(&json!({"value": token}))
    });
    let job = match command {
        "token" => job.arg("--verify-signature"),
        // With a report there is a second exchange, for which nothing is opened ahead.
        "doctor" => job.arg("--exchange").without_report(),
        _ => job.arg("--verify-signature").without_flag("--sts-endpoint"),
    };
    let job = if command == "id-token" { job.without_flag("--scope") } else { job };
    let outcome = job.env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{}/idtoken?x=1", minter.url())).run();
    outcome.succeeds();
    outcome
}

#[test]
fn the_issuer_s_keys_come_over_connections_of_their_own() {
    let cases = [("token", 1), ("id-token", 0), ("inspect", 0), ("doctor", 2)];
    each(&cases.map(|case| (case.0, case)), |(command, at_sts)| {
        let outcome = verifying(command, 2, *at_sts);
        let connections = (outcome.issuer.connections, outcome.sts.connections);
        outcome
            .require(connections == (2, *at_sts), "each request has the connection that was opened for it");
    });
}

// --- What can happen to it -------------------------------------------------------------------------------------------

#[test]
fn one_that_was_closed_meanwhile_is_replaced() {
    let mut forged = sts_success();
    forged["access_token"] = json!("this-answer-was-there-before-the-question");
    let cases = [
        ("closed", Reply::close_idle(true)),
        ("closed without a good-bye", Reply::close_idle(false)),
        ("told to be too slow", Reply::status(408).header("Connection", "close").then_close().unasked()),
        ("answered before it was asked", Reply::json(&forged).then_close().unasked()),
    ];
    let cases: Vec<_> = cases
        .into_iter()
        .flat_map(|(name, reply)| {
            plain_and_tls().map(|(kind, tls)| (format!("{name}, {kind}"), (tls, reply.clone())))
        })
        .collect();
    each(&cases, |(tls, reply)| {
        let outcome = when(job(*tls).sts_reply(reply.clone()), |sts| sts.wait_for_closed(1)).run();
        is_silent(&outcome);
        outcome
            .require(outcome.sts.requests[0].connection == 1, "the exchange went over the second connection");
        outcome.require(outcome.sts.connections == 2, "no third one");
    });
}

#[test]
fn one_that_fails_is_replaced() {
    let cases = [
        ("closed in place of TLS", Reply::close_unread()),
        ("reset in place of TLS", Reply::reset_unread()),
        ("something else in place of TLS", Reply::raw_unread("SSH-2.0-OpenSSH_9.9\r\n")),
    ];
    each(&cases, |reply| {
        let outcome = Job::github().tls().sts_reply(reply.clone()).run();
        is_silent(&outcome);
        outcome.require(outcome.sts.connections == 2, "two connections");
    });
}

#[test]
fn one_that_breaks_when_it_is_used_costs_an_attempt() {
    // Nobody knows what the server has read, so a fresh ID token is made, and people are told.
    let cases = [("at the first byte", (false, Reply::reset_unread())), ("in TLS", (true, Reply::reset()))];
    each(&cases, |(tls, reply)| {
        let outcome = when(job(*tls).sts_reply(reply.clone()), |sts| sts.wait_for_connections(1)).run();
        outcome.succeeds().id_token_requests(2);
        outcome.stderr_has("attempt 1 failed (net-reset)").stderr_lacks("attempt 2");
    });
}

#[test]
fn one_that_is_half_open_ends_with_the_deadline() {
    let _turn = measured();
    each(&plain_and_tls(), |tls| {
        let job = job(*tls).args(["--timeout", "1"]).sts_reply(Reply::stall().unasked());
        let outcome = when(job, |sts| sts.wait_for_ready(1)).run();
        outcome.fails(8, "deadline").within(Duration::from_secs(2));
        outcome.require(outcome.sts.connections == 1, "one connection");
    });
}

#[test]
fn one_that_never_comes_to_stand_ends_with_the_deadline() {
    let _turn = measured();
    let job = Job::github().tls().args(["--timeout", "1"]).sts_reply(Reply::stall_unread());
    let outcome = job.run();
    outcome.fails(8, "deadline").within(Duration::from_secs(2)).id_token_requests(1).sts_requests(0);
    assert_eq!(outcome.report.as_ref().unwrap()["stage"], "exchange");
}

#[test]
fn a_server_that_is_not_trusted_is_found_out_by_the_exchange() {
    let outcome = Job::github().issuer_tls(Leaf::Good).sts_tls(Leaf::UntrustedCa).run();
    outcome.fails(10, "tls-verify").id_token_requests(1);
    assert_eq!(outcome.report.as_ref().unwrap()["stage"], "exchange");
    assert_eq!((outcome.sts.connections, outcome.sts.handshake_failures.len()), (2, 2));
}

// --- What it must not hide or delay ----------------------------------------------------------------------------------

/// No ID token can be had, and the STS is no better.
#[test]
fn what_fails_first_is_what_is_told() {
    type Set = fn(Job) -> Job;
    let _turn = measured();
    let nobody: Set =
        |job| job.without_flag("--sts-endpoint").args(["--sts-endpoint", "https://127.0.0.1:1"]);
    let cases: [(&str, Set); 4] = [
        ("nobody there", nobody),
        ("not trusted", |job| job.sts_tls(Leaf::Expired)),
        ("silent", |job| job.sts_reply(Reply::stall_unread())),
        ("closed", |job| job.sts_reply(Reply::close_unread())),
    ];
    each(&cases, |set| {
        let job = Job::github().tls().id_token_reply(Reply::status(403).json_body(&json!({"message": "no"})));
        let outcome = set(job).run();
        // A connection that does not come to stand has five seconds, and nobody waits for it.
        outcome.fails(4, "id-token-http").stderr_lacks("the STS at").within(Duration::from_secs(3));
        assert_eq!(outcome.report.as_ref().unwrap()["stage"], "identity");
        outcome.require(outcome.sts.heard_nothing(), "the STS heard nothing");
    });
}

#[test]
fn a_refusal_is_told_as_without_it() {
    let outcome =
        when(Job::github().sts_reply(sts_error("invalid_scope", "no")), |sts| sts.wait_for_ready(1)).run();
    outcome.fails(6, "sts-scope-denied").sts_requests(1);
    assert_eq!(outcome.sts.connections, 1);
}

#[test]
fn it_serves_one_request_only() {
    let replies = [Reply::status(503), Reply::status(503)];
    let outcome = when(Job::github().sts_queue(replies), |sts| sts.wait_for_ready(1)).run();
    outcome.succeeds().sts_requests(3).id_token_requests(1);
    let connections: Vec<usize> = outcome.sts.requests.iter().map(|request| request.connection).collect();
    assert_eq!((connections, outcome.sts.connections), (vec![0, 1, 2], 3));
}

#[test]
fn the_harness_closes_idle_connections_as_it_says() {
    let queue = [Reply::close_idle(true), Reply::status(408).then_close().unasked()];
    let server = Server::start(queue.into_iter().fold(Queue::default(), Queue::reply));
    for expected in ["", "HTTP/1.1 408"] {
        let mut said = String::new();
        let mut stream = std::net::TcpStream::connect(server.address()).unwrap();
        std::io::Read::read_to_string(&mut stream, &mut said).unwrap();
        assert!(said.starts_with(expected) && said.is_empty() == expected.is_empty(), "{said}");
    }
    assert!(server.requests().is_empty());
}
