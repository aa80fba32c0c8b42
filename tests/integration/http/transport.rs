//! What can go wrong between this program and its two servers, and what is sent there at all: TCP, TLS, HTTP framing,
//! sizes, the deadline, certificates and proxies.
//!
//! A fault that may pass is tried again (`tests/integration/exchange/retry.rs` has the policy itself); everything else exactly once. Where it
//! does not pass, `--timeout 2` ends the run.

use crate::support;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use support::end::End;
use support::job::{Job, sts_success};
use support::outcome::Outcome;
use support::server::{Queue, Reply, Request, Server};
use support::table::each;
use support::tls::{self, Leaf};
use support::turns::measured;

#[track_caller]
fn reports(outcome: &Outcome, members: &Value) {
    let report = outcome.report.as_ref().unwrap();
    for (name, value) in members.as_object().unwrap() {
        outcome.require(&report[name] == value, &format!("the report's {name} is {value}"));
    }
}

/// How many attempts a run that has used its two seconds up says it has made: the waits in between are random.
#[track_caller]
fn several_attempts(outcome: &Outcome) -> usize {
    let attempts = outcome.report.as_ref().unwrap()["attempts"].as_u64().unwrap();
    outcome.require((2..20).contains(&attempts), "several attempts");
    outcome.within(Duration::from_secs(3));
    usize::try_from(attempts).unwrap()
}

/// The cases for both servers.
fn at_both<C: Clone>(cases: impl IntoIterator<Item = (&'static str, C)>) -> Vec<(String, (End, C))> {
    let both = |(name, case): (&'static str, C)| {
        End::BOTH.map(|end| (format!("{name}, {end:?}"), (end, case.clone())))
    };
    cases.into_iter().flat_map(both).collect()
}

fn answer() -> Reply {
    Reply::status(400).json_body(&json!({"error": "invalid_request", "message": "0123456789".repeat(20)}))
}

/// What breaks, over plain TCP or TLS, and the code that it then has.
fn faults(tls: bool) -> Vec<(&'static str, (bool, Reply, &'static str))> {
    let unread = if tls { "tls-handshake" } else { "net-reset" };
    let mut faults = vec![
        ("closed before the request", Reply::close_unread(), unread),
        ("reset before the request", Reply::reset_unread(), unread),
        ("closed before the answer", Reply::close(), "net-reset"),
        ("reset before the answer", Reply::reset(), "net-reset"),
        ("closed in the headers", answer().cut_in_head(), "net-reset"),
        ("reset in the headers", answer().cut_in_head().then_reset(), "net-reset"),
        ("closed in the body", answer().cut_in_body(), "net-truncated"),
        ("reset in the body", answer().cut_in_body().then_reset(), "net-truncated"),
        ("closed in a chunk", answer().chunked().cut_in_body(), "net-truncated"),
        ("reset in a chunk", answer().chunked().cut_in_body().then_reset(), "net-truncated"),
        ("text", Reply::raw("HELLO\r\n\r\n"), "net-reset"),
        ("another protocol", Reply::raw("SSH-2.0-OpenSSH_9.9\r\n"), "net-reset"),
        ("a status line without a status", Reply::raw("HTTP/1.1 \r\n\r\n"), "net-reset"),
        ("a broken header", Reply::raw("HTTP/1.1 200 OK\r\nA B: \u{1}\r\n\r\n"), "net-reset"),
        (
            "a broken chunk",
            Reply::raw("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"),
            "net-truncated",
        ),
    ];
    if tls {
        // Without a length, only TLS's good-bye says that the body is complete.
        let body = answer().without("content-length").header("Connection", "close");
        faults.push(("no good-bye", body.then_reset(), "net-truncated"));
        faults.push((
            "plain text instead of TLS",
            Reply::raw_unread("HTTP/1.1 400 Bad Request\r\n\r\n"),
            "tls-handshake",
        ));
        faults.push((
            "something else instead of TLS",
            Reply::raw_unread("SSH-2.0-OpenSSH_9.9\r\n"),
            "tls-handshake",
        ));
    }
    faults.into_iter().map(|(name, reply, code)| (name, (tls, reply, code))).collect()
}

fn job(tls: bool) -> Job {
    if tls { Job::github().tls() } else { Job::github() }
}

#[test]
fn one_broken_connection_or_answer_does_no_harm() {
    let cases =
        [false, true].into_iter().flat_map(faults).filter(|(name, _)| !name.contains("instead of TLS"));
    // What happens to a mere connection to the STS happens to the one that is opened ahead (tests/integration/http/ahead.rs).
    let cases: Vec<_> = at_both(cases)
        .into_iter()
        .filter(|(name, _)| !name.ends_with("before the request, Sts"))
        .map(|(name, case)| (format!("{name}, TLS {}", case.1.0), case))
        .collect();
    each(&cases, |(end, (tls, reply, code))| {
        let outcome = end.replies(job(*tls), [reply.clone()]).run();
        let told = format!("attempt 1 failed ({code}), trying again");
        outcome.succeeds().stderr_has(&told).stderr_lacks("attempt 2");
        outcome
            .require(outcome.outputs()["access-token"] == outcome.access_token(), "the token is handed over");
    });
}

/// What remains broken. Part of an answer has no status: what it seemed to say is not used.
#[test]
fn a_broken_connection_or_answer_is_tried_until_the_deadline() {
    let some = [
        "closed before the request",
        "reset before the answer",
        "closed in the headers",
        "closed in the body",
        "text",
    ];
    let cases = faults(false).into_iter().filter(|(name, _)| some.contains(name));
    each(&at_both(cases), |(end, (_, reply, code))| {
        let job = Job::github().args(["--timeout", "2"]);
        let outcome = end.replies(job, vec![reply.clone(); 21]).run();
        outcome.fails(8, code);
        let attempts = several_attempts(&outcome);
        let replies = end.log(&outcome).replies.len();
        outcome.require((attempts..=end.connections(attempts)).contains(&replies), "as many as are counted");
        end.other_is_right(&outcome);
        reports(&outcome, &json!({"stage": end.stage(), "http_status": null}));
    });
}

/// What speaks no TLS will not learn it.
#[test]
fn a_server_without_tls_is_asked_once() {
    let cases = faults(true).into_iter().filter(|(name, _)| name.contains("instead of TLS"));
    each(&at_both(cases), |(end, (_, reply, code))| {
        let outcome = end.replies(job(true), vec![reply.clone(); end.connections(1)]).run();
        outcome.fails(8, code).stderr_has("what it said is not TLS");
        outcome.require(end.log(&outcome).connections == end.connections(1), "one attempt");
        end.other_is_right(&outcome);
        reports(&outcome, &json!({"attempts": 1, "stage": end.stage()}));
    });
}

#[test]
fn a_refused_connection_is_tried_until_the_deadline() {
    // Nothing listens there: ports below 1024 are nobody's in a test.
    let closed = "http://127.0.0.1:1";
    let cases = End::BOTH.map(|end| (format!("{end:?}"), end));
    each(&cases, |end| {
        let job = Job::github().args(["--timeout", "2"]);
        let outcome = match end {
            End::IdToken => job.env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("{closed}/idtoken")).run(),
            End::Sts => job.without_flag("--sts-endpoint").args(["--sts-endpoint", closed]).run(),
        };
        outcome
            .fails(8, "net-connect")
            .stderr_has(&format!("{closed} could not be reached: connection refused"));
        outcome.sts_requests(0);
        outcome.id_token_requests(usize::from(*end == End::Sts));
        several_attempts(&outcome);
        reports(&outcome, &json!({"stage": end.stage()}));
    });
}

#[test]
fn silence_and_trickles_end_at_the_deadline() {
    let _turn = measured();
    let tick = Duration::from_millis(20);
    let silences = [
        ("a stall before the request is read", Reply::stall_unread()),
        ("a stall before the answer", Reply::stall()),
        ("a stall in the headers", answer().cut_in_head().then_stall()),
        ("a stall in the body", answer().cut_in_body().then_stall()),
        ("a stall in a chunk", answer().chunked().cut_in_body().then_stall()),
        ("headers that trickle", answer().drip_head(tick)),
        ("a body that trickles", answer().drip_body(tick)),
    ];
    let mut cases = Vec::new();
    for (name, (end, reply)) in at_both(silences) {
        for tls in [false, true] {
            cases.push((format!("{name}, TLS {tls}"), (end, tls, reply.clone())));
        }
    }
    each(&cases, |(end, tls, reply)| {
        let outcome = end.replies(job(*tls).args(["--timeout", "1"]), [reply.clone()]).run();
        outcome
            .fails(8, "deadline")
            .within(Duration::from_secs(2))
            .stderr_has("the time for this run was used up");
        outcome.require(outcome.elapsed >= Duration::from_millis(900), "the time is used");
        end.other_is_right(&outcome);
        reports(&outcome, &json!({"attempts": 1, "stage": end.stage()}));
    });
}

#[test]
fn endless_and_oversized_answers_are_refused_at_once() {
    let big = |size: usize| answer().body(format!("{{\"x\":\"{}\"}}", "y".repeat(size)));
    let cases = at_both([
        ("endless headers", (answer().endless_head(), "header")),
        ("an endless body", (answer().endless_body(), "body")),
        ("an endless good body", (Reply::json(&sts_success()).endless_body(), "body")),
        ("a body of 257 KiB", (big(257 << 10), "body")),
        ("a body of 257 KiB in chunks", (big(257 << 10).chunked(), "body")),
        ("one header of 20 KiB", (answer().header("X-Big", "z".repeat(20 << 10)), "header")),
        (
            "many headers",
            (
                (0..600).fold(answer(), |reply, n| reply.header(&format!("X-{n}"), "0123456789012345678901")),
                "header",
            ),
        ),
    ]);
    each(&cases, |(end, (reply, part))| {
        let outcome = end.replies(Job::github(), [reply.clone()]).run();
        match end {
            End::IdToken => outcome.fails(4, "id-token-too-large"),
            End::Sts => outcome.fails(7, "sts-too-large"),
        };
        outcome.stderr_has(&format!("the {part} of the answer")).within(Duration::from_secs(5));
        outcome.require(end.log(&outcome).requests.len() == 1, "one attempt");
        end.other_is_right(&outcome);
        reports(&outcome, &json!({"attempts": 1, "stage": end.stage()}));
    });
}

#[test]
fn large_answers_within_the_limits_are_read() {
    let mut success = sts_success();
    success["x"] = json!("y".repeat(250 << 10));
    let header = Reply::json(&sts_success()).header("X-Big", "z".repeat(15 << 10));
    // The limit itself is within the limit, to the byte; one more is not.
    let mut exact = sts_success();
    exact["x"] = json!("");
    let rest = (256 << 10) - exact.to_string().len();
    exact["x"] = json!("y".repeat(rest));
    assert_eq!(exact.to_string().len(), 262_144);
    let mut beyond = exact.clone();
    beyond["x"] = json!("y".repeat(rest + 1));
    for reply in [Reply::json(&beyond), Reply::json(&beyond).chunked()] {
        Job::github().sts_reply(reply).run().fails(7, "sts-too-large").sts_requests(1);
    }
    let cases = [
        ("body", Reply::json(&success)),
        ("chunks", Reply::json(&success).chunked()),
        ("a body of 262,144 bytes", Reply::json(&exact)),
        ("262,144 bytes in chunks", Reply::json(&exact).chunked()),
        ("header", header),
    ];
    each(&cases, |reply| {
        Job::github().sts_reply(reply.clone()).run().succeeds().sts_requests(1);
    });
}

#[test]
fn compressed_answers_are_refused() {
    let cases = at_both(
        ["gzip", "br", "deflate", "zstd", "x-unknown", "gzip, identity"].map(|coding| (coding, coding)),
    );
    each(&cases, |(end, coding)| {
        let outcome = end
            .replies(Job::github(), [Reply::json(&sts_success()).header("Content-Encoding", *coding)])
            .run();
        match end {
            End::IdToken => outcome.fails(4, "id-token-not-json"),
            End::Sts => outcome.fails(7, "sts-not-json"),
        };
        outcome.stderr_has("compressed answer that nobody asked for");
        outcome.require(end.log(&outcome).requests.len() == 1, "one attempt");
        end.other_is_right(&outcome);
    });
    let identity = Reply::json(&sts_success()).header("Content-Encoding", "Identity");
    Job::github().sts_reply(identity).run().succeeds();
}

#[test]
fn a_bad_certificate_is_refused_before_anything_is_sent() {
    let why = |leaf: Leaf| match leaf {
        Leaf::Expired => "it has expired",
        Leaf::NotYetValid => "it is not valid yet",
        Leaf::WrongHost | Leaf::CommonNameOnly => "it belongs to another host",
        Leaf::WrongUse => "it is not meant for servers",
        Leaf::SelfSigned | Leaf::UntrustedCa | Leaf::UnderAServer | Leaf::Good => "",
    };
    let cases = Leaf::BAD
        .into_iter()
        .flat_map(|leaf| End::BOTH.map(|end| (format!("{leaf:?}, {end:?}"), (leaf, end))));
    let cases: Vec<_> = cases.collect();
    each(&cases, |(leaf, end)| {
        let outcome = match end {
            End::IdToken => Job::github().issuer_tls(*leaf).sts_tls(Leaf::Good).run(),
            End::Sts => Job::github().issuer_tls(Leaf::Good).sts_tls(*leaf).run(),
        };
        outcome
            .fails(10, "tls-verify")
            .stderr_has("is not trusted: ")
            .stderr_has(why(*leaf))
            .stderr_has("--ca-file")
            .within(Duration::from_secs(3));
        let log = end.log(&outcome);
        outcome.require(log.connections == end.connections(1), "one attempt");
        outcome.require(log.heard_nothing(), "not a byte was sent inside");
        outcome.require(log.handshake_failures.len() == log.connections, "the handshake was broken off");
        end.other_is_right(&outcome);
        reports(&outcome, &json!({"attempts": 1, "stage": end.stage(), "retryable": false}));
    });
}

/// A certificate authority that signed nothing here.
fn other_ca() -> String {
    rcgen::generate_simple_self_signed(["other.example".to_owned()]).unwrap().cert.pem()
}

#[test]
fn a_private_authority_has_to_be_named() {
    type Set = fn(Job) -> Job;
    let good: [(&str, Set); 10] = [
        ("the flag", |job| job.args(["--ca-file", "../../../our.pem"])),
        ("the variable", |job| job.env("EQUINIX_WIF_CA_FILE", "../../../our.pem")),
        ("OpenSSL's variable", |job| job.env("SSL_CERT_FILE", "../../../our.pem")),
        ("the variable beats OpenSSL's", |job| {
            job.env("EQUINIX_WIF_CA_FILE", "../../../our.pem").env("SSL_CERT_FILE", "/nowhere")
        }),
        ("the flag beats both", |job| {
            job.args(["--ca-file", "../../../our.pem"])
                .env("EQUINIX_WIF_CA_FILE", "/nowhere")
                .env("SSL_CERT_FILE", "../../../other.pem")
        }),
        ("a bundle with ours at the end", |job| job.args(["--ca-file", "../../../bundle.pem"])),
        ("a bundle with ours at the start", |job| job.args(["--ca-file", "../../../turned.pem"])),
        ("a bundle with a broken one", |job| job.args(["--ca-file", "../../../broken-and-ours.pem"])),
        ("a bundle with text", |job| job.args(["--ca-file", "../../../commented.pem"])),
        ("an empty variable", |job| {
            job.env("EQUINIX_WIF_CA_FILE", "").env("SSL_CERT_FILE", "../../../our.pem")
        }),
    ];
    let ca = tls::ca_pem();
    let other = other_ca();
    let job = || {
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        Job::github()
            .tls()
            .without_flag("--ca-file")
            .file("our.pem", &ca)
            .file("other.pem", &other)
            .file("bundle.pem", format!("{other}{ca}"))
            .file("turned.pem", format!("{ca}{other}"))
            .file("broken-and-ours.pem", format!("{broken}{ca}"))
            .file("commented.pem", format!("# Example Ltd. root\r\n{}", ca.replace('\n', "\r\n")))
    };
    // The working directory is three folders below the job's root.
    let fix = |set: Set| set(job());
    each(&good, |set| {
        let outcome = fix(*set).run();
        outcome.succeeds().sts_requests(1).id_token_requests(1);
        outcome.require(outcome.sts.requests[0].tls && outcome.issuer.requests[0].tls, "over TLS");
    });
    let bad: [(&str, Set); 4] = [
        ("none at all", |job| job),
        ("another one", |job| job.args(["--ca-file", "../../../other.pem"])),
        ("another one in the variable", |job| job.env("SSL_CERT_FILE", "../../../other.pem")),
        ("the flag beats a good variable", |job| {
            job.args(["--ca-file", "../../../other.pem"]).env("EQUINIX_WIF_CA_FILE", "../../../our.pem")
        }),
    ];
    each(&bad, |set| {
        let outcome = fix(*set).run();
        outcome
            .fails(10, "tls-verify")
            .stderr_has("it was not issued by a trusted authority")
            .id_token_requests(0);
        outcome.require(outcome.issuer.connections == 1, "one attempt");
        outcome.require(outcome.sts.heard_nothing(), "the STS heard nothing");
    });
}

#[test]
fn a_file_without_an_authority_is_refused_before_any_request() {
    let cases = [
        ("missing", "none.pem", "cannot be read"),
        ("empty", "empty.pem", "holds no certificate"),
        ("garbage", "garbage.pem", "holds no certificate"),
        ("a broken certificate", "broken.pem", "holds no certificate"),
        ("a key", "key.pem", "holds no certificate"),
        ("binary", "binary.pem", "holds no certificate"),
        ("a folder", "work", "cannot be read"),
    ];
    let mut all = Vec::new();
    for (name, file, says) in cases {
        for setting in ["--ca-file", "EQUINIX_WIF_CA_FILE", "SSL_CERT_FILE"] {
            all.push((format!("{name} in {setting}"), (file, says, setting)));
        }
    }
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    each(&all, |(file, says, setting)| {
        let job = Job::github()
            .tls()
            .without_flag("--ca-file")
            .file("empty.pem", "")
            .file("garbage.pem", "not a certificate\n")
            .file("broken.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
            .file("key.pem", &key)
            .file("binary.pem", [0xff, 0xfe, 0, 1, 2]);
        let path = job.root().join(file);
        let job = match *setting {
            "--ca-file" => job.arg("--ca-file").arg(path),
            variable => job.env(variable, path),
        };
        let outcome = job.run();
        outcome.fails(2, "cfg-ca-file").stderr_has(says).stderr_has(setting);
        outcome.require(outcome.issuer.connections == 0 && outcome.sts.connections == 0, "nobody was called");
    });
}

#[test]
fn http_is_for_this_machine_only_and_announced() {
    let job = Job::github();
    let (issuer, sts) = (job.issuer_url(), job.sts_url());
    let outcome = job.run();
    outcome
        .succeeds()
        .stderr_has(&format!("warning: the STS is on this machine: {sts}"))
        .stderr_has(&format!("warning: asking for the ID token on this machine: {issuer}"));
    outcome.require(sts.starts_with("http://127.") && !outcome.sts.requests[0].tls, "it was plain http");

    let cases = [
        ("http", ("http://sts.example", 10, "insecure-url")),
        ("http to an address", ("http://192.0.2.7:8080", 10, "insecure-url")),
        ("a name that begins like loopback", ("http://localhost.example", 10, "insecure-url")),
        ("an address that begins like loopback", ("http://127.0.0.1.example", 10, "insecure-url")),
        ("another scheme", ("ftp://sts.example", 2, "cfg-endpoint-invalid")),
    ];
    each(&cases, |(endpoint, exit, code)| {
        let outcome = Job::github().without_flag("--sts-endpoint").args(["--sts-endpoint", endpoint]).run();
        outcome.fails(*exit, code).id_token_requests(0);
    });
}

/// The names and values of a request's headers, sorted.
fn headers(request: &Request) -> Vec<(String, String)> {
    let mut headers: Vec<_> =
        request.headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
    headers.sort();
    headers
}

#[test]
fn requests_say_nothing_but_what_is_needed() {
    let cookie =
        |reply: Reply| reply.header("Set-Cookie", "session=1; Path=/").header("Connection", "keep-alive");
    let busy = || cookie(Reply::status(429).header("Retry-After", "0"));
    let outcome = Job::github()
        .env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-bearer-of-this-very-job")
        .id_token_reply(busy())
        .sts_reply(busy())
        .tls()
        .run();
    outcome.succeeds().id_token_requests(2).sts_requests(2);
    let version = concat!("equinix-wif/", env!("CARGO_PKG_VERSION"));
    let common = |request: &Request, mut more: Vec<(&str, String)>| {
        let host = request.header("host").unwrap();
        assert!(host.starts_with("localhost:"), "{host}");
        more.extend([
            ("accept", "application/json".to_owned()),
            ("accept-encoding", "identity".to_owned()),
            ("host", host.to_owned()),
            ("user-agent", version.to_owned()),
        ]);
        more.sort();
        let more: Vec<_> = more.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        assert_eq!(headers(request), more);
    };
    for request in &outcome.issuer.requests {
        assert_eq!((request.method.as_str(), request.body.len()), ("GET", 0));
        common(request, vec![("authorization", "Bearer the-bearer-of-this-very-job".to_owned())]);
    }
    for request in &outcome.sts.requests {
        assert_eq!(request.method, "POST");
        common(
            request,
            vec![
                ("content-length", request.body.len().to_string()),
                ("content-type", "application/x-www-form-urlencoded".to_owned()),
            ],
        );
    }
    // No connection carries two requests, and none is made for nothing.
    for log in [&outcome.issuer, &outcome.sts] {
        let connections: Vec<usize> = log.requests.iter().map(|request| request.connection).collect();
        assert_eq!((connections, log.connections), (vec![0, 1], 2));
    }
}

mod proxy {
    use super::*;

    /// The certificate that is wrong for `localhost` is right for this name, which nobody can look up (RFC 2606).
    const HOST: &str = "elsewhere.example";

    fn port(url: &str) -> u16 {
        url.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// A job whose servers are known by a name that only the proxy can reach.
    fn far_job() -> Job {
        let job = Job::github().issuer_tls(Leaf::WrongHost).sts_tls(Leaf::WrongHost);
        let (issuer, sts) = (port(&job.issuer_url()), port(&job.sts_url()));
        job.without_flag("--sts-endpoint")
            .args(["--sts-endpoint", &format!("https://{HOST}:{sts}")])
            .env("ACTIONS_ID_TOKEN_REQUEST_URL", format!("https://{HOST}:{issuer}/idtoken?api-version=2.0"))
    }

    /// A GitLab job whose STS only the proxy can reach.
    fn far_sts() -> Job {
        let job = Job::gitlab().sts_tls(Leaf::WrongHost);
        let sts = port(&job.sts_url());
        job.without_flag("--sts-endpoint").args(["--sts-endpoint", &format!("https://{HOST}:{sts}")])
    }

    /// A proxy that leads to the port that it is asked for.
    fn tunnels() -> Server {
        Server::start(|request: &Request| {
            assert_eq!(request.method, "CONNECT", "{request}");
            Reply::tunnel(SocketAddr::from(([127, 0, 0, 1], port(&request.target))))
        })
    }

    #[test]
    fn it_carries_both_requests_and_sees_neither() {
        let proxy = tunnels();
        let job = far_job().env("HTTPS_PROXY", proxy.url()).arg("-v");
        let (issuer, sts) = (port(&job.issuer_url()), port(&job.sts_url()));
        let outcome = job.run();
        outcome
            .succeeds()
            .id_token_requests(1)
            .sts_requests(1)
            .stderr_has(&format!("proxy {} (HTTPS_PROXY)", proxy.url()))
            .nothing_secret_at(&proxy);
        let asked: BTreeSet<String> = proxy.requests().into_iter().map(|request| request.target).collect();
        assert_eq!(asked, [issuer, sts].map(|port| format!("{HOST}:{port}")).into());
        assert_eq!(proxy.connections(), 2);
        for request in proxy.requests() {
            for secret in ["authorization", "proxy-authorization", "cookie"] {
                assert_eq!(request.header(secret), None, "{request}");
            }
        }
        // What passed is TLS, so the bytes that were looked through were the right ones.
        assert!(proxy.received().iter().all(|bytes| bytes.len() > 500), "the tunnel's bytes are kept");
        assert!(outcome.sts.requests[0].tls && outcome.issuer.requests[0].tls);
        assert_eq!(outcome.sts.requests[0].header("host"), Some(format!("{HOST}:{sts}").as_str()));
    }

    #[test]
    fn its_certificate_checks_are_the_servers_own() {
        let proxy = tunnels();
        let job = far_sts().sts_tls(Leaf::Good).env("https_proxy", proxy.url());
        let outcome = job.run();
        outcome.fails(10, "tls-verify").stderr_has("it belongs to another host").sts_requests(0);
        assert_eq!(proxy.connections(), 1);
    }

    #[test]
    fn its_password_goes_to_it_and_nowhere_else() {
        let proxy = tunnels();
        let url = proxy.url().replace("http://", "http://ci:p%40ss-word-of-the-proxy@");
        let outcome = far_job().env("HTTPS_PROXY", url).arg("-v").run();
        outcome.succeeds().stderr_has(&format!("proxy {} (HTTPS_PROXY)", proxy.url()));
        for request in proxy.requests() {
            // ci:p@ss-word-of-the-proxy
            assert_eq!(
                request.header("proxy-authorization"),
                Some("Basic Y2k6cEBzcy13b3JkLW9mLXRoZS1wcm94eQ==")
            );
        }
        for request in outcome.issuer.requests.iter().chain(&outcome.sts.requests) {
            assert_eq!(request.header("proxy-authorization"), None, "{request}");
        }
    }

    /// What a proxy may do instead of connecting: its replies, the exit status and code, the status in the report.
    #[test]
    fn a_proxy_that_does_not_connect_is_named_without_its_password() {
        let html = "<html><h1>Blocked</h1></html>";
        let status = |status: u16| (status.to_string(), Reply::status(status).body(html), status);
        let refusals = [300, 302, 400, 401, 403, 404, 405, 418, 451, 501, 505].map(status);
        let refusals =
            refusals.map(|(name, reply, status)| (name, (reply, 2, "proxy-refused", Some(status))));
        let failures = [408, 425, 429, 500, 502, 503, 504].map(status);
        let failures =
            failures.map(|(name, reply, status)| (name, (reply, 8, "proxy-connect", Some(status))));
        let asks = Reply::status(407)
            .header("Proxy-Authenticate", "Negotiate")
            .header("Proxy-Authenticate", "Basic realm=\"a, Digest\", charset=\"UTF-8\"");
        let others = [
            ("407", asks.body(html), 2, "proxy-auth", Some(407)),
            ("407 without a scheme", Reply::status(407), 2, "proxy-auth", Some(407)),
            ("closed", Reply::close(), 8, "proxy-connect", None),
            ("reset", Reply::reset(), 8, "proxy-connect", None),
            ("no HTTP", Reply::raw(html), 8, "proxy-connect", None),
            ("a head without an end", Reply::status(200).endless_head(), 8, "proxy-connect", None),
        ];
        let others =
            others.map(|(name, reply, exit, code, status)| (name.to_owned(), (reply, exit, code, status)));
        let cases: Vec<_> = refusals.into_iter().chain(failures).chain(others).collect();
        each(&cases, |(reply, exit, code, status)| {
            let reply = reply.clone();
            let proxy = Server::start(move |_: &Request| reply.clone());
            let url = proxy.url().replace("http://", "http://ci:password-of-the-proxy@");
            let outcome = far_sts().env("HTTPS_PROXY", url).args(["-v", "--timeout", "2"]).run();
            outcome.fails(*exit, code).stderr_has(&proxy.url()).stderr_lacks("Blocked").stderr_lacks("ci:");
            outcome.require(outcome.sts.connections == 0, "the STS was not called around the proxy");
            let attempts = if *exit == 2 { 1 } else { several_attempts(&outcome) };
            outcome.require(proxy.connections() == attempts, &format!("{} connections", proxy.connections()));
            reports(&outcome, &json!({"attempts": attempts, "stage": "exchange", "http_status": status}));
            if let Some(status) = status {
                outcome.stderr_has(&format!("({status})"));
            }
        });
    }

    #[test]
    fn the_schemes_that_a_proxy_offers_are_named() {
        let reply = Reply::status(407)
            .header("Proxy-Authenticate", "Negotiate, \u{1b}[31mEvil")
            .header("proxy-authenticate", "Basic realm=\"a, Digest\", charset=\"UTF-8\"");
        let proxy = Server::start(move |_: &Request| reply.clone());
        let outcome = far_sts().env("HTTPS_PROXY", proxy.url()).run();
        outcome.fails(2, "proxy-auth").stderr_has("offered: Negotiate, Basic\n").stderr_lacks("Evil");
    }

    /// Every success opens the tunnel (RFC 9110 section 9.3.6), whatever else the proxy has to say.
    #[test]
    fn an_https_proxy_carries_the_request_inside_its_own_tls() {
        let job = far_sts();
        let sts = SocketAddr::from(([127, 0, 0, 1], port(&job.sts_url())));
        let proxy = tls_proxy(sts);
        let outcome = job.env("HTTPS_PROXY", format!("https://ci:word@localhost:{}", proxy.port())).run();
        outcome.succeeds().sts_requests(1);
        outcome.require(outcome.sts.requests[0].tls, "the server's TLS is inside the proxy's");
    }

    /// A proxy behind TLS that leads to one place.
    fn tls_proxy(to: SocketAddr) -> SocketAddr {
        use std::io::{Read as _, Write as _};
        use std::net::{TcpListener, TcpStream};
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        std::thread::spawn(move || {
            let (socket, _) = listener.accept().unwrap();
            let session = rustls::ServerConnection::new(tls::server_config(Leaf::Good)).unwrap();
            let mut client = rustls::StreamOwned::new(session, socket);
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                client.read_exact(&mut byte).unwrap();
                head.extend(byte);
            }
            let head = String::from_utf8(head).unwrap();
            assert!(head.starts_with("CONNECT elsewhere.example:"), "{head}");
            assert!(head.contains("Proxy-Authorization: Basic Y2k6d29yZA==\r\n"), "{head}");
            client.write_all(b"HTTP/1.0 204 Tunnel\r\nVia: 1.1 x\r\n\r\n").unwrap();
            client.flush().unwrap();
            // One side at a time: TLS and HTTP speak in turns.
            let mut server = TcpStream::connect(to).unwrap();
            let turn = std::time::Duration::from_millis(20);
            server.set_read_timeout(Some(turn)).unwrap();
            client.sock.set_read_timeout(Some(turn)).unwrap();
            let mut chunk = [0; 16 << 10];
            loop {
                match client.read(&mut chunk) {
                    Ok(0) => break,
                    Ok(count) => server.write_all(&chunk[..count]).unwrap(),
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
                if let Ok(count) = server.read(&mut chunk) {
                    client.write_all(&chunk[..count]).unwrap();
                    client.flush().unwrap();
                }
            }
        });
        address
    }

    #[test]
    fn a_dead_or_silent_proxy_is_not_gone_around() {
        let _turn = measured();
        let silent = Server::start(Queue::default().reply(Reply::stall()));
        let outcome = far_sts().env("HTTPS_PROXY", silent.url()).args(["--timeout", "1"]).run();
        outcome.require(
            outcome.report.as_ref().unwrap()["code"]
                .as_str()
                .is_some_and(|c| ["deadline", "proxy-connect"].contains(&c)),
            "the deadline or the proxy is named",
        );
        outcome.require(outcome.status == Some(8), "the exit status is 8");
        outcome.within(Duration::from_secs(2));
        outcome.require(outcome.sts.connections == 0, "the STS was not called around the proxy");

        let outcome = far_sts().env("HTTPS_PROXY", "http://127.0.0.1:1").args(["--timeout", "1"]).run();
        outcome.fails(8, "proxy-connect").stderr_has("the proxy http://127.0.0.1:1 could not be reached");
        outcome.require(outcome.sts.connections == 0, "the STS was not called around the proxy");
    }

    #[test]
    fn which_proxy_is_used_follows_from_the_variables() {
        type Set = fn(Job, &str) -> Job;
        let cases: [(&str, Set); 6] = [
            ("upper case", |job, url| job.env("HTTPS_PROXY", url)),
            ("lower case", |job, url| job.env("https_proxy", url)),
            ("lower case wins", |job, url| {
                job.env("https_proxy", url).env("HTTPS_PROXY", "http://127.0.0.1:1")
            }),
            ("the others are not for https", |job, url| {
                job.env("HTTPS_PROXY", url)
                    .env("HTTP_PROXY", "http://127.0.0.1:1")
                    .env("ALL_PROXY", "http://127.0.0.1:1")
            }),
            ("without a scheme", |job, url| job.env("HTTPS_PROXY", url.trim_start_matches("http://"))),
            ("an exemption for others", |job, url| {
                job.env("HTTPS_PROXY", url)
                    .env("NO_PROXY", "where.example, example.com,lsewhere.example,elsewhere.example:1")
            }),
        ];
        each(&cases, |set| {
            let proxy = tunnels();
            let outcome = set(far_sts(), &proxy.url()).run();
            outcome.succeeds().sts_requests(1);
            outcome.require(proxy.connections() == 1, "it went through the proxy");
        });
    }

    /// The host cannot be looked up, so a run that goes around the proxy fails; what counts is that the proxy is not asked.
    #[test]
    fn a_host_can_be_exempted() {
        type Set = fn(Job) -> Job;
        let cases: [(&str, Set); 8] = [
            ("the host", |job| job.env("NO_PROXY", HOST)),
            ("a domain above it", |job| job.env("NO_PROXY", "a.test, .example")),
            ("a star", |job| job.env("NO_PROXY", "*")),
            ("a star and a domain", |job| job.env("NO_PROXY", "*.example")),
            ("lower case", |job| job.env("no_proxy", HOST).env("NO_PROXY", "nothing.test")),
            ("in capitals", |job| job.env("NO_PROXY", " ELSEWHERE.Example ,")),
            ("the flag", |job| job.arg("--no-proxy")),
            ("an empty proxy", |job| job.env("HTTPS_PROXY", "")),
        ];
        each(&cases, |set| {
            let proxy = tunnels();
            let outcome = set(far_sts().env("HTTPS_PROXY", proxy.url()).args(["--timeout", "1"])).run();
            outcome.require(proxy.connections() == 0, "the proxy was not asked");
            outcome.require(outcome.status == Some(8), "the host is not found");
            let code = outcome.report.as_ref().unwrap()["code"].clone();
            outcome.require(
                ["net-dns", "deadline"].contains(&code.as_str().unwrap()),
                "the name is what is missing",
            );
            outcome.require(outcome.sts.connections == 0, "no connection without the name");
        });
    }

    #[test]
    fn this_machine_is_never_asked_for_through_a_proxy() {
        for job in [Job::github(), Job::github().tls()] {
            let proxy = tunnels();
            let outcome = job.env("HTTPS_PROXY", proxy.url()).env("https_proxy", proxy.url()).run();
            outcome.succeeds().sts_requests(1).id_token_requests(1);
            outcome.require(proxy.connections() == 0, "the proxy was not asked");
        }
    }

    #[test]
    fn an_invalid_proxy_is_an_error_unless_none_is_wanted() {
        let cases = [
            "socks5://proxy.example:1080",
            "socks5h://ci:password-of-the-proxy@proxy.example",
            "ftp://proxy.example",
            "http://",
            "http://ci:password-of-the-proxy@",
            "http://proxy.example:99999",
            "http://proxy.example:port",
            "http://pro xy.example",
            "://proxy.example",
            "http://ci:password-of-the-proxy@pröxy.example",
        ]
        .map(|value| (value, value));
        each(&cases, |value| {
            let outcome = Job::github().env("HTTPS_PROXY", *value).run();
            outcome
                .fails(2, "cfg-proxy-invalid")
                .stderr_has("HTTPS_PROXY does not hold the URL of a proxy")
                .stderr_has("--no-proxy")
                .stderr_lacks("password");
            outcome.require(
                outcome.issuer.connections == 0 && outcome.sts.connections == 0,
                "nobody was called",
            );
            Job::github().env("HTTPS_PROXY", *value).arg("--no-proxy").run().succeeds();
        });
    }
}
