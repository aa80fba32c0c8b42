//! M11: proxies that do not connect, and certificates that are not trusted. Nothing goes around the one, and nothing is
//! sent to the other.

use super::support::job::Job;
use super::support::outcome::Outcome;
use super::support::server::{Reply, Request, Server};
use super::support::tls::Leaf;
use super::{End, Ends, Row};

/// The certificate that is wrong for `localhost` is right for this name, which nobody can look up (RFC 2606).
const HOST: &str = "elsewhere.example";

/// A GitLab job whose STS only a proxy can reach.
fn far() -> Job {
    let job = Job::gitlab().sts_tls(Leaf::WrongHost);
    let url = job.sts_url();
    let (_, port) = url.rsplit_once(':').unwrap();
    job.without_flag("--sts-endpoint").args(["--sts-endpoint", &format!("https://{HOST}:{port}")])
}

/// The address of a proxy that lives as long as the tests.
fn address(reply: Reply) -> String {
    let server = Box::leak(Box::new(Server::start(move |_: &Request| reply.clone())));
    server.url().replace("http://", "http://ci:password-of-the-proxy@")
}

fn is_not_gone_around(outcome: &Outcome) {
    outcome.require(outcome.sts.connections == 0, "the STS was not called around the proxy");
    outcome.stderr_lacks("password-of-the-proxy").stderr_lacks("ci:").stderr_lacks("Blocked");
}

/// A proxy that always gives this reply.
fn proxy(reply: Reply, ends: Ends) -> Row {
    proxy_at(&address(reply), ends)
}

fn proxy_at(url: &str, ends: Ends) -> Row {
    Row::new(ends, (0, 0), far().env("HTTPS_PROXY", url)).retried().and(is_not_gone_around)
}

/// An STS with this certificate.
fn certificate(leaf: Leaf) -> Row {
    let job = Job::github().issuer_tls(Leaf::Good).sts_tls(leaf);
    Row::new(Ends::Badly(10, "tls-verify"), (1, 0), job).and(|outcome| {
        outcome.require(outcome.sts.received.iter().all(Vec::is_empty), "not a byte was sent inside");
    })
}

/// An STS that says this where it should shake hands.
fn handshake(said: &[u8]) -> Row {
    let job = End::Sts.replies(Job::github().tls(), vec![Reply::raw_unread(said); 2]);
    Row::new(Ends::Badly(8, "tls-handshake"), (1, 0), job)
}

const HTML: &str = "<html><h1>Blocked</h1></html>";
const LOGIN: &str = "https://login.example/";
const AUTH: Ends = Ends::Badly(2, "proxy-auth");
const REFUSED: Ends = Ends::Badly(2, "proxy-refused");
const CONNECT: Ends = Ends::Badly(8, "proxy-connect");
const PLAIN: &[u8] = b"HTTP/1.1 400 Bad Request\r\n\r\n";
/// What a server answers that knows no newer version: the alert protocol_version in a record of TLS 1.1.
const TLS_1_1: &[u8] = b"\x15\x03\x02\x00\x02\x02\x46";

faults! {
    m11 {
        a_proxy_that_asks_who_is_there: proxy(Reply::status(407).body(HTML)) => AUTH;
        a_proxy_that_refuses: proxy(Reply::status(403).body(HTML)) => REFUSED;
        a_proxy_that_cannot_connect: proxy(Reply::status(502).body(HTML)) => CONNECT;
        a_proxy_that_redirects: proxy(Reply::status(302).header("Location", LOGIN)) => REFUSED;
        a_proxy_that_closes: proxy(Reply::close()) => CONNECT;
        a_proxy_that_resets: proxy(Reply::reset()) => CONNECT;
        a_proxy_that_is_none: proxy(Reply::raw(HTML)) => CONNECT;
        a_proxy_that_is_not_there: proxy_at("http://127.0.0.1:1") => CONNECT;
        an_expired_certificate: certificate(Leaf::Expired);
        a_certificate_of_tomorrow: certificate(Leaf::NotYetValid);
        another_hosts_certificate: certificate(Leaf::WrongHost);
        a_certificate_for_another_use: certificate(Leaf::WrongUse);
        a_certificate_of_its_own: certificate(Leaf::SelfSigned);
        a_certificate_of_a_stranger: certificate(Leaf::UntrustedCa);
        plain_text_instead_of_tls: handshake(PLAIN);
        tls_1_1: handshake(TLS_1_1);
    }
}
