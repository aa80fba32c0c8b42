//! A run ends at most a second after its `--timeout`, whoever sends what: every phase of a connection and every read, each
//! with a server, a proxy or a pipe that does its worst.
//!
//! Silence and trickles after the request are in `tests/integration/http/transport.rs`, for both servers.

#![cfg(unix)]

use crate::support;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use ring::aead;
use rustls::{ConnectionTrafficSecrets, ServerConfig, ServerConnection};

use support::job::Job;
use support::table::each;
use support::tls::{self, Leaf};

/// What a server does with each of its connections. An error is the client's end.
type Play = fn(TcpStream) -> std::io::Result<()>;

/// A server that lives as long as the tests.
fn server(play: Play) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            stream.set_nodelay(true).unwrap();
            thread::spawn(move || play(stream).ok());
        }
    });
    address
}

/// Sends this, and then a byte every tenth of a second for ever.
fn drip(mut stream: TcpStream, first: &[u8]) -> std::io::Result<()> {
    stream.write_all(first)?;
    loop {
        thread::park_timeout(Duration::from_millis(100));
        stream.write_all(b"x")?;
    }
}

/// Sends this again and again, as fast as it is taken.
fn flood(mut stream: TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    let many = bytes.repeat(1 + (64 << 10) / bytes.len());
    loop {
        stream.write_all(&many)?;
    }
}

/// Reads until the head of a request is complete.
fn read_head(stream: &mut impl std::io::Read) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(())
}

/// Agrees on TLS 1.3 and then sends nothing but session tickets, at wire speed: records that are valid, and none of which
/// holds anything for the program.
fn tickets(mut stream: TcpStream) -> std::io::Result<()> {
    let mut config = ServerConfig::clone(&tls::server_config(Leaf::Good));
    config.enable_secret_extraction = true;
    config.send_tls13_tickets = 0;
    let mut session = ServerConnection::new(Arc::new(config)).map_err(std::io::Error::other)?;
    while session.is_handshaking() {
        session.complete_io(&mut stream)?;
    }
    let secrets = session.dangerous_extract_secrets().map_err(std::io::Error::other)?;
    let (mut sequence, secrets) = secrets.tx;
    let (algorithm, key, iv) = match &secrets {
        ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
        ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
        ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => (&aead::CHACHA20_POLY1305, key, iv),
        _ => panic!("another cipher"),
    };
    let key = aead::LessSafeKey::new(aead::UnboundKey::new(algorithm, key.as_ref()).unwrap());
    // RFC 8446 section 4.6.1: type, length, lifetime, age_add, nonce, ticket, extensions. As many as a record holds, so that
    // it is always the client that has more to do; then the type of the content.
    let ticket = b"\x04\0\0\x10\0\0\x0e\x10\0\0\0\0\x01\0\0\x02tt\0\0";
    let message = [&ticket.repeat(800)[..], b"\x16"].concat();
    let mut records = Vec::new();
    loop {
        records.clear();
        for _ in 0..16 {
            let length = u16::try_from(message.len() + algorithm.tag_len()).unwrap();
            let header = [&[0x17, 3, 3][..], &length.to_be_bytes()].concat();
            let mut nonce: [u8; 12] = iv.as_ref().try_into().unwrap();
            for (byte, number) in nonce[4..].iter_mut().zip(u64::to_be_bytes(sequence)) {
                *byte ^= number;
            }
            sequence += 1;
            let mut sealed = message.clone();
            let nonce = aead::Nonce::assume_unique_for_key(nonce);
            key.seal_in_place_append_tag(nonce, aead::Aad::from(&header), &mut sealed).unwrap();
            records.extend(header);
            records.extend(sealed);
        }
        stream.write_all(&records)?;
    }
}

/// The seconds that each run has, and the ones after which it has to be over.
const LIMIT: &str = "2";
const END: Duration = Duration::from_secs(3);

#[test]
fn no_server_holds_a_run_up() {
    let cases: [(&str, (bool, Play)); 12] = [
        ("silence instead of TLS", (true, |stream| drop_later(stream))),
        ("a handshake that trickles", (true, |stream| drip(stream, b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc"))),
        ("session tickets at wire speed", (true, tickets)),
        ("silence", (false, |stream| drop_later(stream))),
        ("a status line that trickles", (false, |stream| drip(stream, b"HTTP/1.1 200 "))),
        ("headers that trickle", (false, |stream| drip(stream, b"HTTP/1.1 200 OK\r\nX: "))),
        ("a body that trickles", (false, |stream| drip(stream, b"HTTP/1.1 200 OK\r\n\r\n"))),
        (
            "chunks that trickle",
            (false, |stream| drip(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n")),
        ),
        (
            "an extension of a chunk that trickles",
            (false, |stream| drip(stream, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;")),
        ),
        ("interim answers without end", (false, |stream| flood(stream, b"HTTP/1.1 100 Continue\r\n\r\n"))),
        (
            "early hints without end",
            (false, |stream| flood(stream, b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n")),
        ),
        ("a request that nobody reads, and a trickle", (false, |stream| drip(stream, b"H"))),
    ];
    let mut both = Vec::new();
    for (name, (tls, play)) in cases {
        for ahead in [false, true] {
            both.push((format!("{name}, opened ahead {ahead}"), (tls, play, ahead)));
        }
    }
    each(&both, |(tls, play, ahead)| {
        let address = server(*play);
        let (scheme, host) = if *tls { ("https", "localhost") } else { ("http", "127.0.0.1") };
        let job = if *ahead { Job::github().tls() } else { Job::gitlab().tls() };
        let endpoint = format!("{scheme}://{host}:{}", address.port());
        let job = job.without_flag("--sts-endpoint").args(["--sts-endpoint", &endpoint, "--timeout", LIMIT]);
        let outcome = job.run();
        outcome.within(END);
        let code = outcome.report.as_ref().unwrap()["code"].clone();
        // What has no end is refused before the time is up.
        let failed =
            matches!((outcome.status, code.as_str()), (Some(8), _) | (Some(7), Some("sts-too-large")));
        outcome.require(failed, &format!("it failed as it should: {code}"));
    });
}

/// A listener that answers no connection any more, since those that wait to be accepted fill its queue. They wait there after
/// their other end has been closed, too.
fn silent() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    while TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {}
    (listener, address)
}

#[test]
fn nobody_who_does_not_even_connect_holds_a_run_up() {
    let (_listener, address) = silent();
    let cases = [
        ("the STS", Job::gitlab(), format!("http://{address}"), None),
        ("the STS, opened ahead", Job::github().tls(), format!("https://{address}"), None),
        ("a proxy", Job::gitlab(), "https://elsewhere.example".to_owned(), Some(format!("http://{address}"))),
    ];
    for (name, job, endpoint, proxy) in cases {
        println!("case: {name}");
        let job = job.without_flag("--sts-endpoint").args(["--sts-endpoint", &endpoint, "--timeout", LIMIT]);
        let job = match proxy {
            Some(proxy) => job.env("HTTPS_PROXY", proxy),
            None => job,
        };
        job.run().fails(8, "deadline").within(END);
    }
}

/// Keeps a connection open and silent.
fn drop_later(mut stream: TcpStream) -> std::io::Result<()> {
    while stream.read(&mut [0; 1024])? > 0 {}
    Ok(())
}

#[test]
fn no_proxy_holds_a_run_up() {
    let cases: [(&str, Play); 6] = [
        ("silence", |stream| drop_later(stream)),
        ("an answer that trickles", |mut stream| {
            read_head(&mut stream)?;
            drip(stream, b"HTTP/1.1 200 OK\r\nX: ")
        }),
        ("an answer that trickles at once", |stream| drip(stream, b"HTTP/1.1 200 OK\r\nX: ")),
        ("headers without end", |stream| flood(stream, b"HTTP/1.1 200 OK\r\nX: x\r\n")),
        ("interim answers without end", |stream| flood(stream, b"HTTP/1.1 100 Continue\r\n\r\n")),
        ("a tunnel to nowhere", |mut stream| {
            read_head(&mut stream)?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
            drop_later(stream)
        }),
    ];
    each(&cases, |play| {
        let proxy = server(*play);
        let job = Job::gitlab().tls().without_flag("--sts-endpoint");
        let outcome = job
            .args(["--sts-endpoint", "https://elsewhere.example", "--timeout", LIMIT])
            .env("HTTPS_PROXY", format!("http://{proxy}"))
            .run();
        outcome.within(END);
        outcome.require(matches!(outcome.status, Some(2 | 8)), "it failed");
    });
}

/// Slow is not gone: what was reached is not called unreachable.
#[test]
fn a_proxy_that_is_slow_to_connect_is_not_called_unreachable() {
    let proxy = server(|mut stream| {
        read_head(&mut stream)?;
        drip(stream, b"HTTP/1.1 200 OK\r\nX: ")
    });
    let job = Job::gitlab().tls().without_flag("--sts-endpoint");
    let outcome = job
        .args(["--sts-endpoint", "https://elsewhere.example", "--timeout", "7"])
        .env("HTTPS_PROXY", format!("http://{proxy}"))
        .run();
    outcome.fails(8, "deadline").stderr_lacks("could not be reached").within(Duration::from_secs(8));
    outcome.stderr_has("attempt 1 failed (proxy-connect)");
    outcome.stderr_has("did not connect to the STS at https://elsewhere.example: no answer within 5 s");
}

/// An attempt has 15 seconds; one that was cut off there is made again with all the time that is left.
#[test]
fn a_server_that_needs_longer_than_an_attempt_is_waited_for() {
    let slow = server(|mut stream| {
        read_head(&mut stream)?;
        thread::park_timeout(Duration::from_secs(18));
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: 25\r\n\r\n{\"error\":\"invalid_scope\"}")?;
        drop_later(stream)
    });
    let job = Job::gitlab().without_flag("--sts-endpoint");
    let outcome = job.args(["--sts-endpoint", &format!("http://{slow}")]).run();
    outcome.fails(6, "sts-scope-denied").within(Duration::from_secs(38));
    outcome.stderr_has("attempt 1 failed (net-timeout)").stderr_lacks("attempt 2 failed");
    outcome.require(outcome.report.as_ref().unwrap()["attempts"] == 2, "the second attempt had the time");
}

/// A shell that starts the program with a pipe on this descriptor, which nobody writes to and nobody closes.
fn with_pipe(job: Job, descriptor: u8) -> Job {
    let script = format!(
        "mkfifo \"$TMPDIR/pipe\" && exec {descriptor}<>\"$TMPDIR/pipe\" && rm \"$TMPDIR/pipe\" && exec equinix-wif \"$@\""
    );
    job.wrap_shell(["sh", "-c", &script])
}

#[test]
fn no_pipe_holds_a_run_up() {
    let id_token = |path: &str| Job::bare().env("EQUINIX_WIF_SUBJECT_TOKEN_FILE", path);
    let cases = [
        ("an ID token on standard input", 0, id_token("-"), (3, "token-file-unreadable")),
        (
            "a query on standard input",
            0,
            Job::gitlab().args(["--format", "terraform-external"]),
            (2, "cfg-request-invalid"),
        ),
        ("certificates", 9, Job::gitlab().args(["--ca-file", "/dev/fd/9"]), (2, "cfg-ca-file")),
        (
            "certificates for exec",
            9,
            Job::gitlab().exec(["true"]).env("EQUINIX_WIF_CA_FILE", "/dev/fd/9"),
            (125, "cfg-ca-file"),
        ),
        (
            "certificates for inspect",
            9,
            Job::gitlab()
                .command("inspect")
                .without_flag("--scope")
                .without_flag("--sts-endpoint")
                .env("SSL_CERT_FILE", "/dev/fd/9"),
            (2, "cfg-ca-file"),
        ),
    ];
    for (name, descriptor, job, (exit, code)) in cases {
        let outcome = with_pipe(job.args(["--timeout", LIMIT]), descriptor).run();
        outcome.require(outcome.status == Some(exit), name);
        outcome.stderr_has(&format!("error[{code}]")).within(END);
    }
    // What has to be a regular file is not even waited for.
    let fast = Duration::from_millis(1500);
    let outcome = with_pipe(id_token("/dev/fd/9"), 9).run();
    outcome.fails(3, "token-file-unreadable").stderr_has("it is not a regular file").within(fast);
    for path in ["/dev/fd/9", "/dev/zero"] {
        let job = Job::github().pull_request(false).without_id_token_permission();
        let outcome = with_pipe(job.env("GITHUB_EVENT_PATH", path), 9).run();
        outcome.fails(3, "gh-id-token-permission").within(fast);
    }
}

#[test]
fn no_device_fills_the_memory() {
    for setting in ["EQUINIX_WIF_CA_FILE", "SSL_CERT_FILE"] {
        let job = Job::gitlab().env(setting, "/dev/zero");
        // Twice what a run needs of address space, and a fraction of what would be read.
        let outcome = job.wrap_shell(["sh", "-c", "ulimit -v 400000 && exec equinix-wif \"$@\""]).run();
        outcome.fails(2, "cfg-ca-file").stderr_has("it is too large").within(END);
    }
    let job = Job::bare().env("EQUINIX_WIF_SUBJECT_TOKEN_FILE", "-");
    let outcome = job.wrap_shell(["sh", "-c", "exec equinix-wif \"$@\" </dev/zero"]).run();
    outcome.fails(4, "id-token-too-large").within(END);
}

/// Whoever is asked, and whoever is on the way, has three seconds before a line tells of the wait: one line in all. The run
/// ends a second later.
#[test]
fn a_wait_for_a_connection_is_told_of_once() {
    let (_listener, nobody) = silent();
    let quiet = server(drop_later);
    let slow = server(|mut stream| {
        read_head(&mut stream)?;
        drip(stream, b"HTTP/1.1 200 OK\r\nX: ")
    });
    let nowhere = server(|mut stream| {
        read_head(&mut stream)?;
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        drop_later(stream)
    });
    let at =
        |job: fn() -> Job, address: SocketAddr| (job, format!("https://localhost:{}", address.port()), None);
    let through = |proxy| (Job::gitlab as fn() -> Job, "https://elsewhere.example".to_owned(), Some(proxy));
    let cases = [
        ("nobody who connects", at(Job::gitlab, nobody)),
        ("nobody who connects, opened ahead", at(Job::github, nobody)),
        ("no TLS", at(Job::gitlab, quiet)),
        ("no TLS, opened ahead", at(Job::github, quiet)),
        ("a proxy that does not connect", through(nobody)),
        ("a proxy that says nothing", through(quiet)),
        ("a proxy that trickles", through(slow)),
        ("no TLS behind a proxy", through(nowhere)),
    ];
    each(&cases, |(job, endpoint, proxy)| {
        let job = job().tls().without_flag("--sts-endpoint");
        let job = job.args(["--sts-endpoint", endpoint, "--timeout", "4"]);
        let job = match proxy {
            Some(proxy) => job.env("HTTPS_PROXY", format!("http://{proxy}")),
            None => job,
        };
        let outcome = job.run();
        outcome.fails(8, "deadline").within(Duration::from_secs(5));
        outcome.stderr_has("equinix-wif: the STS has not answered for 3 s, waiting (");
        let told = outcome.stderr.matches("has not answered").count();
        outcome.require(told == 1, "it is told once");
    });
}

/// The server answers when the line about the wait is there, so the wait is as short as it can be.
#[test]
fn an_answer_that_is_late_is_told_of_once_and_then_taken_whole() {
    let started: Vec<_> = [Job::gitlab(), Job::gitlab().tls(), Job::gitlab().arg("-q")]
        .into_iter()
        .map(|job| {
            let (answer, wanted) = mpsc::channel();
            (job.sts_with(move |_| wanted.recv().map(|()| None).unwrap_or_default()).start(), answer)
        })
        .collect();
    for (running, _) in &started[..2] {
        assert!(running.stderr_gets("equinix-wif: the STS has not answered for 3 s, waiting (5"));
    }
    for (number, (running, answer)) in started.into_iter().enumerate() {
        answer.send(()).unwrap();
        let outcome = running.wait();
        outcome.succeeds().sts_requests(1);
        let told = outcome.stderr.matches("has not answered").count();
        assert_eq!(told, usize::from(number < 2), "{}", outcome.context());
        outcome.stderr_lacks("\u{1b}");
    }
}
