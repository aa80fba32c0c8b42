//! The server, over real connections.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;

/// Longer than anything takes that works: a test that fails does not hang.
const PATIENCE: Duration = Duration::from_secs(30);

/// The limits for clients who are to meet them.
const SHORT: Limits = Limits {
    receive: Duration::from_millis(500),
    send: Duration::from_millis(500),
    linger: Duration::from_millis(500),
    ..Limits::STANDARD
};

/// Tells what it was asked.
struct Echo;

impl Service for Echo {
    fn answer(&self, request: &Request) -> Reply {
        let Some(body) = &request.body else { return Reply::refusal(413, "too large") };
        assert_ne!(request.path, "/panic");
        match request.path.as_str() {
            "/large" => Reply::text(200, "text/plain", "x".repeat(32 * 1024 * 1024)),
            "/deep" => Reply::json(200, &json!(serde_json::from_slice::<Value>(body).is_ok())),
            path => Reply::json(
                200,
                &json!({
                    "method": request.method,
                    "path": path,
                    "query": request.query,
                    "body": String::from_utf8_lossy(body),
                    "is_known": request.peer.is_some_and(|peer| peer.ip().is_loopback()),
                }),
            ),
        }
    }
}

/// Answers when it is told to.
struct Slow {
    asked: Mutex<Sender<()>>,
    answer: Mutex<Receiver<()>>,
}

impl Service for Slow {
    fn answer(&self, _: &Request) -> Reply {
        self.asked.lock().unwrap().send(()).unwrap();
        self.answer.lock().unwrap().recv_timeout(PATIENCE).unwrap();
        Reply::text(200, "text/plain", "at last".to_owned())
    }
}

fn start(limits: Limits) -> (Running, SocketAddr) {
    let listener = Listener::bind().unwrap();
    let address = listener.address();
    assert_eq!(listener.base(), format!("http://127.0.0.1:{}", address.port()));
    (listener.serve(Arc::new(Echo), limits).unwrap(), address)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// Sends bytes on a connection.
fn open(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    stream
}

/// Reads to the end. What came before a reset counts too.
fn rest(mut stream: &TcpStream) -> String {
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8(answer).unwrap()
}

fn exchange(address: SocketAddr, request: &str) -> String {
    rest(&open(address, request.as_bytes()))
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n")
}

fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default()
}

#[track_caller]
fn is_answered(address: SocketAddr) {
    let answer = exchange(address, &get("/"));
    assert_eq!(status(&answer), 200, "{answer}");
}

#[test]
fn a_request_is_answered_and_the_connection_closed() {
    let (_running, address) = start(Limits::STANDARD);
    let answer = exchange(address, "POST /a?b=c HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n1234");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let expected = json!({"method": "POST", "path": "/a", "query": "b=c", "body": "1234", "is_known": true});
    assert_eq!(serde_json::from_str::<Value>(body).unwrap(), expected);
    for line in
        ["HTTP/1.1 200 OK", "content-type: application/json", "cache-control: no-store", "connection: close"]
    {
        assert!(head.lines().any(|told| told == line), "{head}");
    }
    assert!(head.contains(&format!("content-length: {}", body.len())));
}

#[test]
fn a_head_request_is_answered_without_the_body() {
    let (_running, address) = start(Limits::STANDARD);
    let answer = exchange(address, "HEAD / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n"), "{answer}");
    assert!(!answer.contains("content-length: 0\r\n"), "it is the length of what a GET request gets");
}

#[test]
fn a_client_that_half_closes_is_answered() {
    let (_running, address) = start(Limits::STANDARD);
    let stream = open(address, get("/").as_bytes());
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&rest(&stream)), 200);
    let stream = open(address, b"GET / HTT");
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(status(&rest(&stream)), 400);
}

#[test]
fn a_client_that_is_slow_is_cut_off_and_holds_up_nobody() {
    let (_running, address) = start(SHORT);
    let mut slow = open(address, b"GET /");
    slow.set_read_timeout(Some(Duration::from_millis(10))).unwrap();
    let (begin, mut sent, mut buffer) = (Instant::now(), 0, [0; 12]);
    // Each byte comes long before any time limit for a single one.
    let answer = loop {
        assert!(begin.elapsed() < PATIENCE, "it is still heard after {sent} bytes");
        let written = slow.write(b"x");
        is_answered(address);
        match slow.read(&mut buffer) {
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            read => break read.unwrap_or_default(),
        }
        sent += written.unwrap();
    };
    // A byte that comes after the end can cost the answer.
    assert!(b"HTTP/1.1 408".starts_with(&buffer[..answer]), "{buffer:?}");
    assert!(sent > 1 && begin.elapsed() >= SHORT.receive, "{sent}");
}

#[test]
fn a_client_that_says_nothing_is_cut_off_without_a_word() {
    let (_running, address) = start(SHORT);
    assert_eq!(status(&rest(&open(address, b"GET /"))), 408);
    assert_eq!(rest(&connect(address)), "");
}

#[test]
fn a_client_that_reads_nothing_is_cut_off() {
    let limits = Limits { connections: 1, ..SHORT };
    let (_running, address) = start(limits);
    let deaf = open(address, get("/large").as_bytes());
    // Its connection is the only one that there may be.
    is_answered(address);
    drop(deaf);
}

#[test]
fn a_client_that_does_not_close_is_cut_off() {
    let (_running, address) = start(Limits { connections: 1, ..SHORT });
    let stays = open(address, get("/").as_bytes());
    assert_eq!(status(&rest(&stays)), 200);
    is_answered(address);
    drop(stays);
}

#[test]
fn hundreds_of_idle_connections_delay_others_and_no_more() {
    let (_running, address) = start(Limits { connections: 64, ..SHORT });
    let idle: Vec<_> = (0..300).map(|_| connect(address)).collect();
    is_answered(address);
    drop(idle);
}

#[test]
fn further_connections_wait_for_a_free_place() {
    let (_running, address) = start(Limits { connections: 1, ..Limits::STANDARD });
    let mut first = open(address, b"GET / HTTP/1.1\r\n");
    let mut second = open(address, get("/").as_bytes());
    second.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
    assert!(second.read(&mut [0]).is_err(), "nothing yet");
    second.set_read_timeout(Some(PATIENCE)).unwrap();
    first.write_all(b"Host: x\r\n\r\n").unwrap();
    assert_eq!(status(&rest(&first)), 200);
    drop(first);
    assert_eq!(status(&rest(&second)), 200);
}

#[test]
fn a_place_is_free_again_when_the_service_panics() {
    let (_running, address) = start(Limits { connections: 1, ..Limits::STANDARD });
    assert_eq!(exchange(address, &get("/panic")), "");
    is_answered(address);
}

#[test]
fn what_is_too_large_is_refused_and_the_answer_arrives() {
    let (_running, address) = start(Limits::STANDARD);
    let large = "x".repeat(2 * 1024 * 1024);
    for (request, expected) in [
        (format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{large}", large.len()), 413),
        (
            format!(
                "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n200000\r\n{large}\r\n0\r\n\r\n"
            ),
            413,
        ),
        (format!("GET /{large} HTTP/1.1\r\nHost: x\r\n\r\n"), 431),
        (format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{large}"), 400),
    ] {
        // All of it is sent before anything is read.
        let answer = exchange(address, &request);
        assert_eq!(status(&answer), expected, "{answer}");
        assert!(answer.ends_with('}'), "{answer}");
    }
}

#[test]
fn permission_to_send_a_body_is_given_when_it_will_be_read() {
    let (_running, address) = start(Limits::STANDARD);
    let head =
        |length: &str| format!("PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n{length}\r\n\r\n");
    let mut stream = open(address, head("Content-Length: 2").as_bytes());
    let mut go_on = [0; 25];
    stream.read_exact(&mut go_on).unwrap();
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(b"ok").unwrap();
    let answer = rest(&stream);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains(r#""body":"ok""#), "{answer}");
    assert_eq!(status(&exchange(address, &head("Content-Length: 65537"))), 413);
    assert_eq!(status(&exchange(address, &head("Content-Length: 0"))), 200);
}

#[test]
fn the_stack_is_large_enough_for_the_deepest_json() {
    let (_running, address) = start(Limits::STANDARD);
    for (depth, is_read) in [(127, true), (30_000, false)] {
        let body = "[".repeat(depth) + &"]".repeat(depth);
        let head = format!("POST /deep HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = exchange(address, &(head + &body));
        assert!(answer.ends_with(&format!("\r\n\r\n{is_read}")), "{depth}: {answer}");
    }
}

#[test]
fn a_port_that_is_stopped_is_closed() {
    let (running, address) = start(Limits::STANDARD);
    is_answered(address);
    running.stop();
    assert_eq!(TcpStream::connect(address).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    running.stop();

    // One that waits for a free place is woken up as well.
    let (running, address) = start(Limits { connections: 1, ..Limits::STANDARD });
    let _idle = [connect(address), connect(address)];
    drop(running);
    assert!(TcpStream::connect(address).is_err());
}

#[test]
fn an_answer_on_its_way_arrives_after_the_end() {
    let ((asking, asked), (answering, answer)) = (channel(), channel());
    let service = Slow { asked: Mutex::new(asking), answer: Mutex::new(answer) };
    let listener = Listener::bind().unwrap();
    let address = listener.address();
    let running = listener.serve(Arc::new(service), Limits::STANDARD).unwrap();
    let stream = open(address, get("/").as_bytes());
    asked.recv_timeout(PATIENCE).unwrap();
    running.stop();
    answering.send(()).unwrap();
    assert!(rest(&stream).ends_with("at last"));
}

#[test]
fn a_pause_ends_with_the_server() {
    let gate = Arc::new(Gate::new(0));
    let slot = gate.enter();
    assert!(slot.is_some(), "there is always one place");
    let paused = Arc::clone(&gate);
    let (done, ended) = channel();
    std::thread::spawn(move || {
        paused.pause(PAUSE);
        paused.pause(PATIENCE * 100);
        done.send(paused.enter().is_none()).unwrap();
    });
    gate.shut();
    assert!(ended.recv_timeout(PATIENCE).unwrap());
    assert!(!gate.is_closed_within(Duration::from_millis(1)));
    gate.report_closed();
    assert!(gate.is_closed_within(PATIENCE));
}

#[test]
fn a_client_that_breaks_off_leaves_no_trace() -> io::Result<()> {
    let (_running, address) = start(Limits { connections: 1, ..Limits::STANDARD });
    for part in ["", "GET", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nx"] {
        drop(open(address, part.as_bytes()));
    }
    // Nothing is read of the answer: the connection is reset.
    let deaf = open(address, get("/large").as_bytes());
    deaf.peek(&mut [0])?;
    drop(deaf);
    is_answered(address);
    Ok(())
}
