//! Many connections, slow ones and broken ones, and the end while requests are being answered.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::support::client::{Ask, Connection};
use crate::support::hanging::Hanging;
use crate::support::mcp;
use crate::support::server::{Reply, Request, Server};
use crate::support::service::{Service, Setup};
use crate::support::until;

const TOKEN: &str = "/oauth2/v1/token";

fn token(service: &Service) -> Vec<u8> {
    Ask::json(TOKEN, &json!({})).bearer(&service.bearer).wire(&service.rest().host())
}

#[test]
fn a_thousand_idle_connections_stop_no_request() {
    let service = Setup::sandbox().start();
    service.token().is(200);
    let idle: Vec<_> = (0..1000).map(|_| service.rest().connect()).collect();
    let at_mcp: Vec<_> = (0..1000).map(|_| service.mcp().connect()).collect();
    service.token().is(200);
    service.ask_mcp(mcp::post(&mcp::request(1, "ping", json!({})))).is(200);
    drop((idle, at_mcp));
    service.token().is(200);
}

#[test]
fn few_files_are_enough() {
    for most in [100, 300] {
        let service = Setup::sandbox().files(most).start();
        service.token().is(200);
        let idle: Vec<_> = (0..2 * most).map(|_| service.rest().connect()).collect();
        let at_mcp: Vec<_> = (0..2 * most).map(|_| service.mcp().connect()).collect();
        for _ in 0..5 {
            service.token().is(200);
            service.gets(mcp::GET, json!({}));
        }
        drop((idle, at_mcp));
        service.token().is(200);
    }
}

/// The ways of a connection to waste the time of the service.
fn waste(service: &Service, number: usize) -> TcpStream {
    let mut stream = TcpStream::connect(service.rest().address()).unwrap();
    let good = token(service);
    let says = match number % 8 {
        0 => &b""[..],
        1 => &good[..1],
        2 => &good[..good.len() - 20],
        3 => &good[..good.len() - 1],
        4 => b"nonsense\r\n\r\n",
        5 => b"\x16\x03\x01\x02\x00\x01\x00\x01",
        6 => b"POST /use/token HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\nfffffff",
        _ => &good[..],
    };
    // One that was ended to make room is no failure.
    stream.write_all(says).ok();
    stream
}

#[test]
fn ten_thousand_slow_and_broken_connections_stop_no_request() {
    let service = Setup::sandbox().start();
    service.token().is(200);
    // As many at a time as fit beside what else the tests have open.
    for _ in 0..5 {
        let kept: Vec<_> = (0..2000).map(|number| waste(&service, number)).collect();
        service.token().is(200);
        drop(kept);
        service.token().is(200);
    }
    service.ask_as_it_is(&Ask::get("/readyz")).is(200);
}

#[test]
fn requests_that_wait_stop_no_other() {
    let api = Server::start(|_: &Request| Reply::stall());
    let service = Setup::pass_through(&api).start();
    let waiting: Vec<_> = (0..300)
        .map(|_| {
            let mut connection = service.rest().connect();
            connection.send(&token(&service));
            connection
        })
        .collect();
    // The script takes one at a time, and none of them comes back.
    assert!(api.wait_for_requests(300));
    service.ask_as_it_is(&Ask::get("/healthz")).is(200);
    service.ask(Ask::get("/metrics")).is(200);
    drop(waiting);
}

#[test]
fn a_body_that_does_not_come_is_waited_for_ten_seconds() {
    let service = Setup::sandbox().start();
    let half = |ask: Ask, service: &Service| {
        let wire = ask.bearer(&service.bearer).header("Content-Length", "40").wire(&service.rest().host());
        let mut connection = service.rest().connect();
        connection.send(&wire);
        connection
    };
    let begun = Instant::now();
    let mut rest = half(Ask::post(TOKEN, "application/json", "{"), &service);
    let mut sts = half(Ask::post("/use/token", "application/x-www-form-urlencoded", "a"), &service);
    rest.answer().refuses(408, "cfg-request-invalid");
    sts.answer().refuses_oauth(408, "invalid_request");
    let took = begun.elapsed();
    assert!((10..25).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn a_head_that_does_not_come_is_waited_for_thirty_seconds() {
    let service = Setup::sandbox().start();
    let begun = Instant::now();
    let good = token(&service);
    let mut ends: Vec<_> = [&b""[..], &good[..30]]
        .into_iter()
        .map(|said| {
            let mut connection = service.rest().connect();
            connection.send(said);
            connection
        })
        .collect();
    let mut kept = service.rest().connect();
    kept.send(&good);
    kept.answer().is(200);
    ends.push(kept);
    for connection in &mut ends {
        // There may be a word about it before.
        if let Some(answer) = connection.raw_answer() {
            assert_eq!(answer.status, 408);
        }
    }
    let took = begun.elapsed();
    assert!((30..55).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn heads_have_limits() {
    let service = Setup::sandbox().start();
    let large = Ask::get("/healthz").header("X-Large", "x".repeat(20 << 10));
    let many = (0..200).fold(Ask::get("/healthz"), |ask, number| ask.header(&format!("X-{number}"), "1"));
    let long = Ask::get(&format!("/healthz?{}", "x".repeat(70 << 10)));
    for (ask, statuses) in [(large, [431, 431]), (many, [431, 431]), (long, [414, 431])] {
        for place in [service.rest(), service.mcp()] {
            let mut connection = place.connect();
            connection.send(&ask.wire(&place.host()));
            // Whoever still sends may find the connection reset before the answer is read.
            if let Some(answer) = connection.raw_answer() {
                assert!(statuses.contains(&answer.status), "{answer:?}");
            }
        }
    }
    service.token().is(200);
}

#[test]
fn requests_in_a_row_are_answered_in_order() {
    let service = Setup::sandbox().start();
    let mut connection = service.rest().connect();
    let expected = [200, 404, 200, 405, 401, 415];
    let asks = [
        Ask::get("/healthz"),
        Ask::get("/nothing").bearer(&service.bearer),
        Ask::json(TOKEN, &json!({})).bearer(&service.bearer),
        Ask::get(TOKEN).bearer(&service.bearer),
        Ask::get("/metrics"),
        Ask::post(TOKEN, "text/plain", "{}").bearer(&service.bearer),
    ];
    let wire: Vec<u8> = asks.iter().flat_map(|ask| ask.wire(&service.rest().host())).collect();
    connection.send(&wire.repeat(20));
    for _ in 0..20 {
        for status in expected {
            connection.answer().is(status);
        }
    }
    let answer = connection.ask(&Ask::get("/healthz"));
    answer.is(200);
}

#[test]
fn what_a_refused_body_leaves_is_no_request() {
    let service = Setup::sandbox().start();
    let hidden = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    let body = format!("{hidden}{}", " ".repeat(64 << 10));
    let mut connection = service.rest().connect();
    connection.send(&Ask::post("/nothing", "text/plain", body).wire(&service.rest().host()));
    connection.answer().is(401);
    // The rest of the body is read to its end, or the connection ends with it.
    assert!(connection.ask_or_end(&Ask::get("/healthz")).is_none_or(|answer| answer.status == 200));
}

/// A request that the API has got and not answered yet.
fn waiting(setup: impl FnOnce(&str) -> Setup) -> (Service, Hanging, Connection) {
    let api = Hanging::start();
    let service = setup(api.url()).start();
    let mut connection = service.rest().connect();
    connection.send(&token(&service));
    api.is_asked();
    (service, api, connection)
}

#[test]
fn the_end_waits_for_what_is_being_answered() {
    let (service, api, mut connection) = waiting(Setup::passing);
    let mut idle = service.rest().connect();
    service.terminate();
    service.logs("ending", 1);
    assert!(idle.is_ended(), "whoever only waits is let go at once");
    until("nobody else gets in", || service.rest().try_connect().is_err().then_some(()));
    api.answers(&json!({"access_token": "x", "token_timeout": "3599"}).to_string());
    let answer = connection.answer();
    answer.is(200);
    assert_eq!(answer.value()["access_token"], "x");
    assert!(connection.is_ended());
    let mut service = service;
    service.conclude();
}

#[test]
fn an_api_that_hangs_holds_up_the_end_for_ten_seconds_at_most() {
    let (service, api, mut connection) = waiting(Setup::passing);
    let told = Instant::now();
    service.end();
    let took = told.elapsed();
    assert!((9..15).contains(&took.as_secs()), "{took:?}");
    assert!(connection.is_ended());
    api.is_left();
}

#[test]
fn connections_that_only_wait_do_not_hold_up_the_end() {
    let service = Setup::sandbox().start();
    service.token().is(200);
    let mut kept = service.rest().connect();
    kept.send(&token(&service));
    kept.answer().is(200);
    let mut slow = service.rest().connect();
    slow.send(&token(&service)[..40]);
    let mut half = service.mcp().connect();
    half.send(b"POST /mcp HTTP/1.1\r\n");
    let told = Instant::now();
    service.end();
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
    assert!(kept.is_ended() && slow.raw_answer().is_none() && half.raw_answer().is_none());
}

#[test]
fn a_terminal_can_end_it_as_well() {
    let mut service = Setup::sandbox().start();
    service.interrupt();
    service.conclude();
}

#[test]
fn an_sts_that_hangs_does_not_hold_up_the_end() {
    let sts = crate::support::sts::Sts::start().hold();
    let service = Setup::federated(&sts).start();
    sts.is_asked(1);
    let told = Instant::now();
    service.end();
    assert!(told.elapsed() < Duration::from_secs(5), "{:?}", told.elapsed());
}

#[test]
fn whoever_goes_away_ends_the_request_to_the_api() {
    let (service, api, connection) = waiting(Setup::passing);
    drop(connection);
    api.is_left();
    service.ask_as_it_is(&Ask::get("/healthz")).is(200);
}

#[test]
fn callers_at_once_are_all_answered() {
    let service = Setup::sandbox().start();
    service.token().is(200);
    let wire = token(&service);
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..25 {
                    let mut stream = TcpStream::connect(service.rest().address()).unwrap();
                    stream.write_all(&wire).unwrap();
                    let mut status = [0; 15];
                    stream.read_exact(&mut status).unwrap();
                    assert_eq!(&status, b"HTTP/1.1 200 OK");
                }
            });
        }
    });
    assert_eq!(service.logs("hand-out", 401).len(), 401);
}

#[test]
fn a_terminal_that_goes_away_ends_it_as_a_signal_does() {
    let mut service = Setup::sandbox().start();
    service.gets(mcp::GET, json!({}));
    service.signal(Signal::HUP);
    if outlives_its_terminal() {
        // So does the service, then.
        service.token().is(200);
        service.end();
    } else {
        service.conclude();
    }
}

/// Tells whether these tests were started to outlive their terminal (`nohup`), which their children inherit.
fn outlives_its_terminal() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).unwrap_or_default();
    u64::from_str_radix(ignored.trim(), 16).is_ok_and(|mask| mask & 1 != 0)
}
