//! M11: proxies that do not connect, and certificates that are not trusted. Nothing goes around the one, and nothing is
//! sent to the other.

use super::support::job::Job;
use super::support::outcome::Outcome;
use super::support::server::{Reply, Request, Server};
use super::support::tls::Leaf;
use super::{End, Ends, Row, Rows};

/// The certificate that is wrong for `localhost` is right for this name, which nobody can look up (RFC 2606).
const HOST: &str = "elsewhere.example";

/// A GitLab job whose STS only a proxy can reach.
fn far() -> Job {
    let job = Job::gitlab().sts_tls(Leaf::WrongHost);
    let url = job.sts_url();
    let (_, port) = url.rsplit_once(':').unwrap();
    job.without_flag("--sts-endpoint").args(["--sts-endpoint", &format!("https://{HOST}:{port}")])
}

/// A proxy that lives as long as the tests.
fn proxy(reply: Reply) -> String {
    let server = Box::leak(Box::new(Server::start(move |_: &Request| reply.clone())));
    server.url().replace("http://", "http://ci:password-of-the-proxy@")
}

fn is_not_gone_around(outcome: &Outcome) {
    outcome.require(outcome.sts.connections == 0, "the STS was not called around the proxy");
    outcome.stderr_lacks("password-of-the-proxy").stderr_lacks("ci:").stderr_lacks("Blocked");
}

pub(super) fn rows() -> Rows {
    let html = "<html><h1>Blocked</h1></html>";
    let connect = Ends::Badly(8, "proxy-connect");
    let mut rows = Rows::new();
    for (name, reply, ends) in [
        ("a proxy that asks who is there", Reply::status(407).body(html), Ends::Badly(8, "proxy-auth")),
        ("a proxy that refuses", Reply::status(403).body(html), connect),
        ("a proxy that cannot connect", Reply::status(502).body(html), connect),
        ("a proxy that redirects", Reply::status(302).header("Location", "https://login.example/"), connect),
        ("a proxy that closes", Reply::close(), connect),
        ("a proxy that resets", Reply::reset(), connect),
        ("a proxy that is none", Reply::raw(html), connect),
    ] {
        let make = move || far().env("HTTPS_PROXY", proxy(reply.clone()));
        rows.push((name.to_owned(), Row::new(ends, (0, 0), make).and(is_not_gone_around)));
    }
    let dead = Row::new(connect, (0, 0), || far().env("HTTPS_PROXY", "http://127.0.0.1:1"));
    rows.push(("a proxy that is not there".to_owned(), dead.and(is_not_gone_around)));
    for (name, leaf) in [
        ("an expired certificate", Leaf::Expired),
        ("a certificate of tomorrow", Leaf::NotYetValid),
        ("another host's certificate", Leaf::WrongHost),
        ("a certificate for another use", Leaf::WrongUse),
        ("a certificate of its own", Leaf::SelfSigned),
        ("a certificate of a stranger", Leaf::UntrustedCa),
    ] {
        let make = move || Job::github().issuer_tls(Leaf::Good).sts_tls(leaf);
        let row = Row::new(Ends::Badly(10, "tls-verify"), (1, 0), make).and(|outcome| {
            outcome.require(outcome.sts.received.iter().all(Vec::is_empty), "not a byte was sent inside");
        });
        rows.push((name.to_owned(), row));
    }
    for (name, said) in [
        ("plain text instead of TLS", &b"HTTP/1.1 400 Bad Request\r\n\r\n"[..]),
        // What a server answers that knows no newer version: the alert protocol_version in a record of TLS 1.1.
        ("TLS 1.1", b"\x15\x03\x02\x00\x02\x02\x46"),
    ] {
        let make = move || End::Sts.replies(Job::github().tls(), vec![Reply::raw_unread(said); 2]);
        rows.push((name.to_owned(), Row::new(Ends::Badly(8, "tls-handshake"), (1, 0), make)));
    }
    rows
}
