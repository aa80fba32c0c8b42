//! What can break between the service and the API: each fault is a test of its own, and six things hold in every one.
//!
//! 1. the status is exactly this, and the form is that of the API;
//! 2. so is the code;
//! 3. no secret is in the answer or in the log (for the log, the harness looks);
//! 4. it takes no longer than its time and a second;
//! 5. the caller's secret was sent so many times and not once more, and around no proxy;
//! 6. the service goes on.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::client::Ask;
use crate::support::random_text;
use crate::support::server::{Queue, Reply, Request, Server};
use crate::support::service::Setup;
use crate::support::tls::{Leaf, write_ca};

/// The time for a request, in seconds.
const LIMIT: u64 = 2;
/// The pause between the bytes of what trickles.
const TICK: Duration = Duration::from_millis(20);
/// The certificate that is wrong for `localhost` is right for this name, which nobody can look up (RFC 2606).
const HOST: &str = "elsewhere.example";
const PASSWORD: &str = "Hq7pZw3tLk9s";

/// How a request ends.
type Ends = (u16, &'static str);

/// One fault.
#[must_use = "a row does nothing until `check`"]
struct Row {
    setup: Setup,
    ends: Ends,
    /// The API.
    api: Option<Server>,
    proxy: Option<Server>,
    /// So many times the API gets the caller's secret.
    sent: usize,
    /// The longest time that it may take, in seconds.
    seconds: u64,
}

/// Makes each row a test that can be run by its name: `name: make(what, …) => ends;`.
macro_rules! faults {
    ($block:ident { $($name:ident: $make:ident($($what:expr),* $(,)?) => $ends:expr;)+ }) => {
        mod $block {
            use super::*;
            $(
                #[test]
                fn $name() {
                    $make($($what,)* $ends).check();
                }
            )+
        }
    };
}

impl Row {
    fn new(setup: Setup, api: Option<Server>, sent: usize, ends: Ends) -> Self {
        Self { setup, ends, api, proxy: None, sent, seconds: LIMIT }
    }

    #[track_caller]
    fn check(self) {
        let secret = random_text(32);
        let limit = LIMIT.to_string();
        let service = self.setup.args(["--timeout", &limit]).secret(&secret).secret(PASSWORD).start();
        let client = json!({"grant_type": "client_credentials", "client_id": "a", "client_secret": secret});
        let asked = Instant::now();
        let answer = service.ask(Ask::json("/oauth2/v1/token", &client));
        let took = asked.elapsed();
        let (status, code) = self.ends;
        if status == 200 {
            answer.is(200);
        } else {
            answer.refuses(status, code);
            assert_eq!(service.logs("upstream-failed", 1)[0]["code"], code);
        }
        for hidden in [&secret, PASSWORD] {
            assert!(!answer.text().contains(hidden), "{}", answer.text());
        }
        assert!(took <= Duration::from_secs(self.seconds + 1), "{took:?}");
        let times = |server: &Server| {
            let received = server.received();
            let texts = received.iter().map(|bytes| String::from_utf8_lossy(bytes).matches(&secret).count());
            texts.sum::<usize>()
        };
        if let Some(api) = &self.api {
            assert_eq!(times(api), self.sent, "{:?}", api.requests());
        }
        if let Some(proxy) = &self.proxy {
            assert_eq!(times(proxy), 0, "a proxy sees nothing of it");
        }
        service.ask_as_it_is(&Ask::get("/healthz")).is(200);
    }
}

/// An answer that has headers and a body to be cut.
fn answer() -> Reply {
    Reply::status(400).json_body(&json!({"error": "invalid_request", "message": "0123456789".repeat(20)}))
}

fn good() -> Value {
    json!({"access_token": random_text(28), "token_timeout": "3599", "token_type": "Bearer"})
}

fn json_text(body: impl Into<Vec<u8>>) -> Reply {
    Reply::status(200).header("Content-Type", "application/json").body(body.into())
}

/// An API that gives this reply to whatever comes.
fn reply(reply: Reply, ends: Ends) -> Row {
    let api = Server::start(move |_: &Request| reply.clone());
    Row::new(Setup::pass_through(&api), Some(api), 1, ends)
}

/// An API that does this to every connection, with the request unread.
fn unread(reply: Reply, ends: Ends) -> Row {
    let queue = (0..30).fold(Queue::default(), |queue, _| queue.reply(reply.clone()));
    let api = Server::start(queue);
    Row::new(Setup::pass_through(&api), Some(api), 0, ends)
}

fn at(url: &str, ends: Ends) -> Row {
    Row::new(Setup::passing(url), None, 0, ends)
}

fn with_ca(setup: Setup) -> Setup {
    let path = write_ca(setup.path("id-token").parent().unwrap());
    let path = path.to_str().unwrap().to_owned();
    setup.args(["--ca-file", &path])
}

/// An API with this certificate.
fn certificate(leaf: Leaf, ends: Ends) -> Row {
    let api = Server::start_tls(leaf, |_: &Request| Reply::json(&good()));
    let sent = usize::from(ends.0 == 200);
    Row::new(with_ca(Setup::pass_through(&api)), Some(api), sent, ends)
}

/// An API that does this where it should agree on TLS.
fn handshake(reply: Reply, ends: Ends) -> Row {
    let api = Server::start_tls(Leaf::Good, Queue::default().reply(reply));
    Row::new(with_ca(Setup::pass_through(&api)), Some(api), 0, ends)
}

/// An API that only a proxy can reach, and this is what the proxy says.
fn proxy(reply: Reply, ends: Ends) -> Row {
    proxy_with(move |_| reply.clone(), ends)
}

fn proxy_with(reply: impl Fn(&Server) -> Reply, ends: Ends) -> Row {
    let api = Server::start_tls(Leaf::WrongHost, |_: &Request| Reply::json(&good()));
    let reply = reply(&api);
    let proxy = Server::start(move |_: &Request| reply.clone());
    let url = proxy.url().replace("http://", &format!("http://ci:{PASSWORD}@"));
    let row = far(api, &url, ends);
    Row { proxy: Some(proxy), ..row }
}

fn proxy_at(url: &str, ends: Ends) -> Row {
    let api = Server::start_tls(Leaf::WrongHost, |_: &Request| Reply::json(&good()));
    far(api, url, ends)
}

fn far(api: Server, proxy: &str, ends: Ends) -> Row {
    let url = format!("https://{HOST}:{}", api.address().port());
    let setup = with_ca(Setup::passing(&url)).env("HTTPS_PROXY", proxy);
    let sent = usize::from(ends.0 == 200);
    Row::new(setup, Some(api), sent, ends)
}

/// A proxy that carries.
fn tunnel(ends: Ends) -> Row {
    proxy_with(|api| Reply::tunnel(api.address()), ends)
}

const RESET: Ends = (502, "net-reset");
const TRUNCATED: Ends = (502, "net-truncated");
const LATE: Ends = (504, "deadline");
const FOREIGN: Ends = (502, "api-not-json");
const LARGE: Ends = (502, "api-too-large");
const UNTRUSTED: Ends = (502, "tls-verify");
const HANDSHAKE: Ends = (502, "tls-handshake");
const WELL: Ends = (200, "");
const HTML: &str = "<html><h1>Blocked</h1></html>";

faults! {
    transport {
        closed_before_the_request: unread(Reply::close_unread()) => RESET;
        reset_before_the_request: unread(Reply::reset_unread()) => RESET;
        closed_before_the_answer: reply(Reply::close()) => RESET;
        reset_before_the_answer: reply(Reply::reset()) => RESET;
        closed_in_the_headers: reply(answer().cut_in_head()) => RESET;
        reset_in_the_headers: reply(answer().cut_in_head().then_reset()) => RESET;
        closed_in_the_body: reply(answer().cut_in_body()) => TRUNCATED;
        reset_in_the_body: reply(answer().cut_in_body().then_reset()) => TRUNCATED;
        closed_in_a_chunk: reply(answer().chunked().cut_in_body()) => TRUNCATED;
        silence_before_the_request: unread(Reply::stall_unread()) => LATE;
        silence_before_the_answer: reply(Reply::stall()) => LATE;
        silence_in_the_headers: reply(answer().cut_in_head().then_stall()) => LATE;
        silence_in_the_body: reply(answer().cut_in_body().then_stall()) => LATE;
        headers_that_trickle: reply(answer().drip_head(TICK)) => LATE;
        a_body_that_trickles: reply(answer().drip_body(TICK)) => LATE;
        refused: at("http://127.0.0.1:1") => (502, "net-connect");
        a_name_that_does_not_exist: at("https://nothing.invalid") => (502, "net-dns");
        nonsense: reply(Reply::raw("nonsense\r\n\r\n")) => RESET;
        html_without_http: reply(Reply::raw(HTML)) => RESET;
        another_protocol: reply(Reply::raw("SSH-2.0-OpenSSH_10.0\r\n")) => RESET;
        http_0_9: reply(Reply::raw("{\"access_token\":\"a\"}")) => RESET;
    }
}

fn status(status: u16, ends: Ends) -> Row {
    let location = Reply::status(status).header("Location", "https://elsewhere.example/");
    reply(location.header("Content-Type", "application/json").body("{}"), ends)
}

faults! {
    answers {
        status_201: status(201) => FOREIGN;
        status_202: status(202) => FOREIGN;
        status_204: status(204) => FOREIGN;
        status_206: status(206) => FOREIGN;
        status_300: status(300) => FOREIGN;
        status_301: status(301) => FOREIGN;
        status_302: status(302) => FOREIGN;
        status_303: status(303) => FOREIGN;
        status_304: status(304) => FOREIGN;
        status_307: status(307) => FOREIGN;
        status_308: status(308) => FOREIGN;
        html: reply(Reply::status(200).header("Content-Type", "text/html").body(HTML)) => FOREIGN;
        no_type: reply(Reply::status(200).body(good().to_string())) => FOREIGN;
        another_type: reply(Reply::status(200).header("Content-Type", "application/jsonp").body("{}")) => FOREIGN;
        compressed: reply(Reply::json(&good()).header("Content-Encoding", "gzip")) => FOREIGN;
        a_compressed_error: reply(answer().header("Content-Encoding", "br")) => FOREIGN;
        too_large: reply(json_text(" ".repeat(300 << 10))) => LARGE;
        too_large_in_chunks: reply(json_text(" ".repeat(300 << 10)).chunked()) => LARGE;
        a_large_error: reply(Reply::status(500).body(" ".repeat(300 << 10))) => LARGE;
        without_an_end: reply(Reply::json(&good()).endless_body()) => LARGE;
        headers_without_an_end: reply(Reply::json(&good()).endless_head()) => LARGE;
        a_large_header: reply(Reply::json(&good()).header("X-Large", "x".repeat(200 << 10))) => LARGE;
        many_headers: reply((0..200).fold(Reply::json(&good()), |reply, n| reply.header(&format!("X-{n}"), "1"))) => LARGE;
        in_chunks: reply(Reply::json(&good()).chunked()) => WELL;
        until_the_end: reply(Reply::json(&good()).without("Content-Length").then_close()) => WELL;
    }
}

const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
/// What a server answers that knows no newer version: the alert protocol_version in a record of TLS 1.1.
const TLS_1_1: &[u8] = b"\x15\x03\x02\x00\x02\x02\x46";

faults! {
    tls {
        a_good_certificate: certificate(Leaf::Good) => WELL;
        an_expired_certificate: certificate(Leaf::Expired) => UNTRUSTED;
        a_certificate_of_tomorrow: certificate(Leaf::NotYetValid) => UNTRUSTED;
        another_hosts_certificate: certificate(Leaf::WrongHost) => UNTRUSTED;
        a_certificate_for_another_use: certificate(Leaf::WrongUse) => UNTRUSTED;
        a_certificate_of_its_own: certificate(Leaf::SelfSigned) => UNTRUSTED;
        a_certificate_of_a_stranger: certificate(Leaf::UntrustedCa) => UNTRUSTED;
        a_certificate_by_its_common_name: certificate(Leaf::CommonNameOnly) => UNTRUSTED;
        a_certificate_under_a_server: certificate(Leaf::UnderAServer) => UNTRUSTED;
        plain_text_instead: handshake(Reply::raw_unread(PLAIN)) => HANDSHAKE;
        tls_1_1: handshake(Reply::raw_unread(TLS_1_1)) => HANDSHAKE;
        closed_in_the_handshake: handshake(Reply::close_unread()) => HANDSHAKE;
        reset_in_the_handshake: handshake(Reply::reset_unread()) => HANDSHAKE;
        silence_in_the_handshake: handshake(Reply::stall_unread()) => LATE;
    }
}

const AUTH: Ends = (502, "proxy-auth");
const REFUSED: Ends = (502, "proxy-refused");
const CONNECT: Ends = (502, "proxy-connect");

faults! {
    proxies {
        one_that_carries: tunnel() => WELL;
        one_that_asks_who_is_there: proxy(Reply::status(407).body(HTML)) => AUTH;
        one_that_refuses: proxy(Reply::status(403).body(HTML)) => REFUSED;
        one_that_cannot_connect: proxy(Reply::status(502).body(HTML)) => CONNECT;
        one_that_redirects: proxy(Reply::status(302).header("Location", "https://login.example/")) => REFUSED;
        one_that_closes: proxy(Reply::close()) => CONNECT;
        one_that_resets: proxy(Reply::reset()) => CONNECT;
        one_that_is_none: proxy(Reply::raw(HTML)) => CONNECT;
        one_that_is_silent: proxy(Reply::stall()) => LATE;
        one_that_trickles: proxy(Reply::status(200).drip_head(TICK)) => LATE;
        one_whose_headers_do_not_end: proxy(Reply::status(200).endless_head()) => CONNECT;
        one_that_is_not_there: proxy_at("http://127.0.0.1:1") => CONNECT;
    }
}

/// A connection may end at the very moment at which it is used again. Then that request is lost, but none is sent twice.
#[test]
fn nothing_is_sent_twice_when_connections_end_unannounced() {
    let api = Server::start(|_: &Request| Reply::json(&good()).then_close());
    let service = Setup::pass_through(&api).start();
    let asked = 40;
    let well = (0..asked).filter(|_| {
        let answer = service.ask(Ask::json("/oauth2/v1/token", &json!({})));
        if answer.status != 200 {
            answer.refuses(502, "net-reset");
        }
        answer.status == 200
    });
    let well = well.count();
    assert!(api.requests().len() <= asked, "{} requests", api.requests().len());
    assert!(well > 0, "{well} of {asked} came through");
}
