//! Tests of the test harness itself: that its grammars are the platforms', that its servers fail as they are told,
//! and that its checks really fire.

use crate::support;

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use serde_json::{Value, json};

use support::gitlab::{Limits, parse_dotenv};
use support::job::{AUDIENCE, Job, SUBJECT_TOKEN, sts_success};
use support::leak;
use support::process::Running;
use support::runner::{self, Command, commands, read_log};
use support::server::{Queue, Reply, Request, Server};
use support::tls::{self, Leaf};
use support::token::{self, Facts, Token};

const TICK: Duration = Duration::from_millis(1);

mod runner_files {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<(String, String)>, String> {
        runner::parse(text.as_bytes(), false)
    }

    #[track_caller]
    fn holds(text: &str, entries: &[(&str, &str)]) {
        let entries = entries.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(parsed(text), Ok(entries), "{text:?}");
    }

    #[track_caller]
    fn fails(text: &str, error: &str) {
        let found = parsed(text).unwrap_err();
        assert!(found.contains(error), "{text:?}: {found}");
    }

    #[test]
    fn pairs() {
        holds("", &[]);
        holds("\n\n", &[]);
        holds("A=1", &[("A", "1")]);
        holds("\nA=1\n\nB=2\n", &[("A", "1"), ("B", "2")]);
        holds("A=\n", &[("A", "")]);
        holds("=x\n", &[("", "x")]);
        holds(" A =x=y \n", &[(" A ", "x=y ")]);
        fails("A\n", "Invalid format 'A'");
        fails(" \n", "Invalid format ' '");
    }

    #[test]
    fn the_first_of_both_separators_decides() {
        holds("A=b<<c\n", &[("A", "b<<c")]);
        holds("A<<=EOF\nx\n=EOF\n", &[("A", "x")]);
        holds("A<<<EOF\nx\n<EOF\n", &[("A", "x")]);
        holds("A<=b\n", &[("A<", "b")]);
    }

    #[test]
    fn heredocs() {
        holds("A<<E\nx\nE\n", &[("A", "x")]);
        holds("A<<E\nE\n", &[("A", "")]);
        holds("A<<E\n\nE\n", &[("A", "")]);
        holds("A<<E\n\n\nE\n", &[("A", "\n")]);
        holds("A<<E\nx\n\ny=z<<w\nE\nB=1\n", &[("A", "x\n\ny=z<<w"), ("B", "1")]);
        holds("A<<E\nx\nE", &[("A", "x")]);
        holds("A<<E \nE\nE \n", &[("A", "E")]);
        holds("A<<E\n E\nEE\ne\nE\n", &[("A", " E\nEE\ne")]);
        fails("<<E\nE\n", "must not be empty");
        fails("A<<\nE\n", "must not be empty");
        fails("A<<E\n", "Matching delimiter not found 'E'");
        fails("A<<E", "Matching delimiter not found 'E'");
        fails("A<<E\nx\n", "Matching delimiter not found 'E'");
        fails("A<<E\nx", "EOF marker missing new line");
        fails("A<<E\nx\nE ", "EOF marker missing new line");
    }

    #[test]
    fn a_carriage_return_is_text_but_on_windows() {
        holds("A=1\r\n", &[("A", "1\r")]);
        fails("\r\n", "Invalid format");
        holds("A<<E\r\nx\r\nE\r\n", &[("A", "x\r")]);
        fails("A<<E\nx\nE\r\n", "Matching delimiter not found");
        let windows = |text: &str| runner::parse(text.as_bytes(), true);
        let one = |value: &str| Ok(vec![("A".to_owned(), value.to_owned())]);
        assert_eq!(windows("\r\nA=1\r\n"), one("1"));
        assert_eq!(windows("A<<E\r\nx\r\ny\nz\r\nE\n"), one("x\r\ny\nz"));
        assert_eq!(windows("A=1\r"), one("1\r"));
    }

    #[test]
    fn byte_order_marks() {
        let text = "A=é\n";
        let utf16: Vec<u16> = text.encode_utf16().collect();
        let mut files = vec![[b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat()];
        files
            .push([0xff, 0xfe].into_iter().chain(utf16.iter().flat_map(|unit| unit.to_le_bytes())).collect());
        files
            .push([0xfe, 0xff].into_iter().chain(utf16.iter().flat_map(|unit| unit.to_be_bytes())).collect());
        let utf32 = |bytes: fn(u32) -> [u8; 4]| text.chars().flat_map(move |c| bytes(u32::from(c)));
        files.push([0xff, 0xfe, 0, 0].into_iter().chain(utf32(u32::to_le_bytes)).collect());
        files.push([0, 0, 0xfe, 0xff].into_iter().chain(utf32(u32::to_be_bytes)).collect());
        for file in files {
            assert_eq!(runner::parse(&file, false), Ok(vec![("A".to_owned(), "é".to_owned())]), "{file:x?}");
        }
        assert_eq!(runner::parse(b"A=\xff", false), Ok(vec![("A".to_owned(), "\u{fffd}".to_owned())]));
    }

    #[test]
    fn what_comes_before_an_error_takes_effect() {
        let (entries, error) = runner::apply(b"A=1\nB\nC=3\n", false);
        assert_eq!(entries, [("A".to_owned(), "1".to_owned())]);
        assert!(error.unwrap().contains("Invalid format 'B'"));
    }

    proptest! {
        #[test]
        fn a_heredoc_gives_its_value_back(value in "[a-z=<\\n\\r ]{0,40}", windows: bool) {
            // What ends in a CR before our LF loses it on Windows: that is the runner's rule.
            prop_assume!(!(windows && value.ends_with('\r')));
            let file = format!("A<<never-in-the-value\n{value}\nnever-in-the-value\n");
            prop_assert_eq!(runner::parse(file.as_bytes(), windows), Ok(vec![("A".to_owned(), value)]));
        }

        #[test]
        fn no_file_makes_it_panic(bytes: Vec<u8>, windows: bool) {
            runner::apply(&bytes, windows);
        }
    }
}

mod runner_commands {
    use super::*;

    fn command(name: &str, properties: &[(&str, &str)], data: &str) -> Command {
        let properties: BTreeMap<_, _> =
            properties.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Command { name: name.to_owned(), properties, data: data.to_owned() }
    }

    #[track_caller]
    fn is(line: &str, name: &str, properties: &[(&str, &str)], data: &str) {
        assert_eq!(commands(line), [command(name, properties, data)], "{line:?}");
    }

    #[test]
    fn the_second_form() {
        is("::debug::x", "debug", &[], "x");
        is(" \t::debug::x ", "debug", &[], "x ");
        is("::DEBUG::x", "debug", &[], "x");
        is("::error title=a b,file=c,line=,=d,e::x::y", "error", &[("title", "a b"), ("file", "c")], "x::y");
        is("::error ,,title=a=b,,::x", "error", &[("title", "a=b")], "x");
        for line in [
            "x ::debug::y",
            "::debug:y",
            "::debug",
            "::unknown::y",
            "::debugger::y",
            ":: debug::y",
            ": :debug: :y",
        ] {
            assert_eq!(commands(line), [], "{line:?}");
        }
    }

    #[test]
    fn the_first_form_is_found_anywhere() {
        is("text ##[debug]x", "debug", &[], "x");
        is("##[error title=a;file=b]x]y", "error", &[("title", "a"), ("file", "b")], "x]y");
        is("##[add-mask]%5D%3B%25", "add-mask", &[], "];%");
        for line in ["##[unknown]y", "# #[debug]y", "##[debug", "##debug]"] {
            assert_eq!(commands(line), [], "{line:?}");
        }
    }

    #[test]
    fn percent_is_decoded_last_and_case_counts() {
        is("::debug::%0D%0A%25", "debug", &[], "\r\n%");
        is("::debug::%250A%0a%3A", "debug", &[], "%0A%0a%3A");
        is("::error title=%3A%2C%25%0A%253A::x", "error", &[("title", ":,%\n%3A")], "x");
    }

    #[test]
    fn every_kind_of_line_end_begins_a_line() {
        let names: Vec<String> = commands("::debug::a\r::notice::b\r\n::warning::c\n::error::d")
            .into_iter()
            .map(|command| command.name + &command.data)
            .collect();
        assert_eq!(names, ["debuga", "noticeb", "warningc", "errord"]);
    }

    #[test]
    fn masks_work_from_their_line_on() {
        assert_eq!(read_log("hush\n::add-mask::hush\nx hush y\n"), "hush\nx *** y\n");
        assert_eq!(read_log("::add-mask::  \na b\n"), "a b\n");
        assert_eq!(read_log("::add-mask::a\nbanana Ant\n"), "b***n***n*** Ant\n");
    }

    #[test]
    fn masks_cover_lines_and_encodings() {
        let secret = "key-\"7\"/ &x\n  second line  ";
        let mask = format!("::add-mask::{}\n", secret.replace('\n', "%0A"));
        let hidden = |text: &str| read_log(&format!("{mask}[{text}]\n")) == "[***]\n";
        assert!(hidden("key-\"7\"/ &x") && hidden("second line"));
        for shift in 0..3 {
            assert!(hidden(&STANDARD.encode(&secret.as_bytes()[shift..])), "shift {shift}");
        }
        assert!(hidden(r#"key-\"7\"/ &x\n  second line  "#));
        assert!(hidden("key-%227%22%2F%20%26x%0A%20%20second%20line%20%20"));
        assert!(hidden("key-&quot;7&quot;/ &amp;x"));
        assert!(!hidden("KEY-\"7\"/ &x") && !hidden("second lin"));
    }

    #[test]
    fn hits_that_touch_become_one() {
        let log = read_log("::add-mask::abcd\n::add-mask::cdef\n::add-mask::gh\nxabcdefghx\n");
        assert_eq!(log, "x***x\n");
    }

    #[test]
    fn stopped_commands_are_text_even_masks() {
        let log = read_log(concat!(
            "::stop-commands::t0ken-long\n::add-mask::hush\nhush\n::t0ken-long::\n",
            "::add-mask::hush\nhush t0ken-long\n",
        ));
        assert_eq!(log, "::add-mask::hush\nhush\n*** ***\n");
    }

    #[test]
    fn annotations_are_shown_and_other_commands_vanish() {
        let log = read_log("::add-mask::hush\n::error title=t::a hush\n::debug::b\n::notice::c\n");
        assert_eq!(log, "##[error]a ***\n##[notice]c\n");
    }
}

mod dotenv {
    use super::*;

    #[track_caller]
    fn refused(text: &str, reason: &str) {
        let error = parse_dotenv(text.as_bytes(), Limits::default()).unwrap_err();
        assert!(error.contains(reason), "{text:?}: {error}");
    }

    #[test]
    fn what_is_accepted() {
        let text = "\u{feff}A=1\n B = 'x' =y \r\n9_=\nA=$X\n";
        let variables = parse_dotenv(text.as_bytes(), Limits::default()).unwrap();
        let wanted = [("9_", ""), ("A", "$X"), ("B", "'x' =y")];
        assert!(variables.iter().map(|(k, v)| (k.as_str(), v.as_str())).eq(wanted), "{variables:?}");
        assert_eq!(parse_dotenv(b"", Limits::default()), Ok(BTreeMap::new()));
    }

    #[test]
    fn one_bad_line_spoils_the_file() {
        refused("A=1\n\nB=2\n", "Invalid Format");
        refused("A=1\n\n", "Invalid Format");
        refused("#x\n", "Invalid Format");
        refused("# a=b\n", "invalid");
        refused("=b\n", "invalid");
        refused("A-B=c\n", "invalid");
        refused("É=c\n", "invalid");
        refused(&format!("{}=c\n", "A".repeat(256)), "invalid");
    }

    #[test]
    fn limits() {
        let line = |length: usize| format!("A={}\n", "x".repeat(length - 3));
        assert!(parse_dotenv(line(5119).as_bytes(), Limits::default()).is_ok());
        refused(&line(5120), "Too Big");
        assert!(parse_dotenv("A=1\n".repeat(20).as_bytes(), Limits::default()).is_ok());
        refused(&"A=1\n".repeat(21), "more than 20");
    }
}

mod tokens {
    use super::*;

    fn part(token: &str, number: usize) -> Value {
        let part = token.split('.').nth(number).unwrap();
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
    }

    #[test]
    fn a_token_is_what_was_put_in() {
        let claims = token::github_claims("https://issuer.example", "us", &Facts::default());
        let text =
            Token::new(claims.clone()).header("kid", 7).without_header("x5t").claim("aud", "you").mint();
        assert_eq!(part(&text, 0), json!({"typ": "JWT", "alg": "RS256", "kid": 7}));
        assert_eq!(part(&text, 1)["aud"], "you");
        assert_eq!(part(&text, 1)["jti"], claims["jti"]);
        assert_eq!(token::signature_of(&text).unwrap().len(), 342, "as long as a real one");
    }

    #[test]
    fn types_are_the_platforms() {
        let times = ["iat", "nbf", "exp"];
        let github = token::github_claims("https://issuer.example", "us", &Facts::default());
        for (name, value) in github.as_object().unwrap() {
            assert!(times.contains(&name.as_str()) == value.is_number(), "{name}");
            assert!(value.is_number() || value.is_string(), "{name}");
        }
        assert_eq!(github["exp"].as_i64().unwrap() - github["iat"].as_i64().unwrap(), 300);
        let gitlab = token::gitlab_claims("https://issuer.example", "us", &Facts::default());
        for (name, value) in gitlab.as_object().unwrap() {
            let number = times.contains(&name.as_str()) || name == "runner_id";
            assert!(number == value.is_number(), "{name}");
        }
    }

    #[test]
    fn signatures_follow_the_claims() {
        let token = |aud: &str| Token::new(json!({"aud": aud})).mint();
        assert_eq!(token("a"), token("a"));
        assert_ne!(token::signature_of(&token("a")), token::signature_of(&token("b")));
        assert_eq!(Token::new(json!({})).signature("").mint().split('.').next_back(), Some(""));
        assert_eq!(part(&token::raw(b"[]", b"null"), 1), Value::Null);
    }

    #[test]
    fn access_tokens_are_new_each_time_and_b64tokens() {
        let token = token::access_token();
        let inside = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        assert!(token.trim_end_matches('=').chars().all(inside) && token.ends_with("=="));
        assert_ne!(token, token::access_token());
    }
}

mod servers {
    use super::*;

    const GET: &[u8] = b"GET /a?b=c%20d&e HTTP/1.1\r\nHost: h\r\nX-Two: 1\r\nx-two:2\r\n\r\n";

    fn connect(server: &Server) -> TcpStream {
        let socket = TcpStream::connect(server.address()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        socket
    }

    fn connect_tls(server: &Server) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(tls::client_config(), name).unwrap();
        StreamOwned::new(session, connect(server))
    }

    /// Everything up to the end of the connection, and the end.
    fn read_all(mut stream: impl Read) -> (String, io::Result<usize>) {
        let mut bytes = Vec::new();
        let end = stream.read_to_end(&mut bytes);
        (String::from_utf8(bytes).unwrap(), end)
    }

    fn talk(server: &Server, request: &[u8]) -> (String, io::Result<usize>) {
        let mut socket = connect(server);
        socket.write_all(request).unwrap();
        read_all(socket)
    }

    fn always(reply: Reply) -> impl FnMut(&Request) -> Reply {
        move |_| reply.clone()
    }

    fn is_reset(end: &io::Result<usize>) -> bool {
        end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset)
    }

    #[test]
    fn an_answer_has_a_date_and_a_length_unless_told_otherwise() {
        let plain = Reply::status(404).header("X-A", "1").header("X-A", "2").body("gone").then_close();
        let server = Server::start(always(plain.clone()));
        let (text, _) = talk(&server, GET);
        assert!(text.starts_with("HTTP/1.1 404 Not Found\r\nDate: "), "{text}");
        assert!(text.ends_with("\r\nX-A: 1\r\nX-A: 2\r\nContent-Length: 4\r\n\r\ngone"), "{text}");

        let bent = plain.without("date").header("content-length", "9");
        let (text, _) = talk(&Server::start(always(bent)), GET);
        assert_eq!(text, "HTTP/1.1 404 Not Found\r\nX-A: 1\r\nX-A: 2\r\ncontent-length: 9\r\n\r\ngone");

        let chunked = Reply::json(&json!({"a": 1})).without("date").chunked().then_close();
        let (text, _) = talk(&Server::start(always(chunked)), GET);
        assert!(
            text.ends_with("Transfer-Encoding: chunked\r\n\r\n4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n"),
            "{text}"
        );
    }

    #[test]
    fn the_log_is_what_came() {
        let server = Server::start(always(Reply::status(200)));
        let mut first = connect(&server);
        first.write_all(GET).unwrap();
        // Two bodies on one kept connection, sent in one go: a length, then chunks.
        first
            .write_all(b"POST /b HTTP/1.1\r\nContent-Length: 7\r\n\r\nx=1+%26POST /c HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\n\r\n")
            .unwrap();
        assert!(server.wait_for_requests(3));
        let (_, end) = talk(&server, b"GET /d HTTP/1.0\r\n\r\n");
        assert!(end.is_ok(), "HTTP/1.0 closes");
        let mut unfinished = connect(&server);
        unfinished.write_all(b"GET /never").unwrap();
        drop(unfinished);
        drop(first);
        let mut server = server;
        server.stop();

        let requests = server.requests();
        let targets: Vec<(&str, usize)> =
            requests.iter().map(|request| (request.target.as_str(), request.connection)).collect();
        assert_eq!(targets, [("/a?b=c%20d&e", 0), ("/b", 0), ("/c", 0), ("/d", 1)]);
        assert_eq!(requests[0].path(), "/a");
        assert_eq!(requests[0].query_value("b").as_deref(), Some("c d"));
        assert_eq!(requests[0].headers_named("X-TWO"), ["1", "2"]);
        assert_eq!(requests[0].headers[1].0, "X-Two");
        assert_eq!(requests[1].form_value("x").as_deref(), Some("1 &"));
        assert_eq!(requests[2].body, b"hello");
        assert!(!requests[0].tls);
        assert!(server.received().iter().any(|bytes| bytes == b"GET /never"), "also what is no request");
    }

    #[test]
    fn closing_and_resetting_after_the_request() {
        let server = Server::start(Queue::default().reply(Reply::close()).reply(Reply::reset()));
        let (text, end) = talk(&server, GET);
        assert!(text.is_empty() && end.is_ok());
        let (text, end) = talk(&server, GET);
        assert!(text.is_empty() && is_reset(&end), "{end:?}");
        assert_eq!(server.requests().len(), 2);
        assert!(talk(&server, b"GET / HTTP/1.0\r\n\r\n").0.contains("the script has no reply left"));
    }

    #[test]
    fn ending_before_the_request() {
        let unread = [Reply::close_unread(), Reply::reset_unread(), Reply::raw_unread("HELLO\n")];
        let server = Server::start(unread.into_iter().fold(Queue::default(), Queue::reply));
        let (text, end) = read_all(connect(&server));
        assert!(text.is_empty() && end.is_ok());
        let (text, end) = talk(&server, GET);
        assert!(text.is_empty() && is_reset(&end), "{end:?}");
        assert_eq!(read_all(connect(&server)).0, "HELLO\n");
        assert_eq!((server.requests().len(), server.connections()), (0, 3));
    }

    #[test]
    fn cuts() {
        let whole = Reply::json(&json!({"a": "0123456789"})).without("date");
        for (reply, lacks_body) in [(whole.clone().cut_in_head(), true), (whole.clone().cut_in_body(), false)]
        {
            let (text, end) = talk(&Server::start(always(reply)), GET);
            assert!(text.starts_with("HTTP/1.1 200 OK\r\nC") && end.is_ok(), "{text}");
            assert!(text.contains("\r\n\r\n") != lacks_body && !text.ends_with('}'), "{text}");
        }
        let (text, _) = talk(&Server::start(always(whole.clone().chunked().cut_in_body())), GET);
        assert!(text.contains("chunked\r\n\r\n9\r\n{") && !text.contains("0\r\n\r\n"), "{text}");
        let (text, end) = talk(&Server::start(always(whole.cut_in_body().then_reset())), GET);
        assert!(text.contains("\r\n\r\n{") && is_reset(&end), "{text} {end:?}");
    }

    #[test]
    fn drips_and_floods_end_with_the_server() {
        let answer = Reply::status(200).body("0123456789");
        let replies = [
            (answer.clone().drip_head(TICK), "X-Drip: aaa"),
            (answer.clone().drip_body(TICK), "0123456789   "),
            (answer.clone().endless_head(), "X-Endless: "),
            (answer.endless_body(), "0123456789   "),
        ];
        for (reply, wanted) in replies {
            let server = Server::start(always(reply));
            let mut socket = connect(&server);
            socket.write_all(GET).unwrap();
            let (mut text, mut chunk) = (String::new(), [0; 512]);
            while !text.contains(wanted) {
                let count = socket.read(&mut chunk).unwrap();
                assert!(count > 0, "{wanted} before the end");
                text.push_str(&String::from_utf8_lossy(&chunk[..count]));
            }
            drop(server);
            read_all(socket).1.ok();
        }
    }

    #[test]
    fn silence_ends_with_the_server() {
        let server = Server::start(Queue::default().reply(Reply::stall_unread()).reply(Reply::stall()));
        let mut mute = connect(&server);
        mute.write_all(GET).unwrap();
        // The script is asked for one connection after the other.
        while server.connections() < 1 || server.replies().is_empty() {
            std::thread::yield_now();
        }
        let mut stalled = connect(&server);
        stalled.write_all(GET).unwrap();
        assert!(server.wait_for_requests(1));
        for socket in [&mute, &stalled] {
            socket.set_nonblocking(true).unwrap();
            assert_eq!(socket.peek(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock);
            socket.set_nonblocking(false).unwrap();
        }
        drop(server);
        read_all(stalled).1.ok();
        read_all(mute).1.ok();
    }

    #[test]
    fn queues_by_path() {
        let fallback = |request: &Request| Reply::status(200).body(request.method.clone());
        let queue = Queue::before(fallback).at("/a", Reply::status(401)).reply(Reply::status(402));
        let server = Server::start(queue);
        let status = |target: &str| {
            let (text, _) = talk(&server, format!("GET {target} HTTP/1.0\r\n\r\n").as_bytes());
            text[9..12].to_owned()
        };
        assert_eq!([status("/a?x"), status("/b"), status("/a"), status("/b")], ["401", "402", "200", "200"]);
    }

    #[test]
    fn tls_with_a_good_certificate() {
        let server = Server::start_tls(Leaf::Good, always(Reply::status(200).body("safe").then_close()));
        assert!(server.url().starts_with("https://localhost:"));
        let mut stream = connect_tls(&server);
        stream.write_all(GET).unwrap();
        let (text, end) = read_all(stream);
        assert!(text.ends_with("safe") && end.is_ok(), "{text} {end:?}");
        assert!(server.requests()[0].tls);
    }

    #[test]
    fn tls_faults_after_the_handshake() {
        for (reply, reset) in [
            (Reply::reset(), true),
            (Reply::close(), false),
            (Reply::status(200).body("0123456789").cut_in_body(), false),
        ] {
            let graceful = reply == Reply::close();
            let server = Server::start_tls(Leaf::Good, always(reply));
            let mut stream = connect_tls(&server);
            stream.write_all(GET).unwrap();
            let (_, end) = read_all(stream);
            assert_eq!(is_reset(&end), reset, "{end:?}");
            assert_eq!(end.is_ok(), graceful, "a cut is no TLS good-bye: {end:?}");
        }
    }

    #[test]
    fn every_bad_certificate_is_refused() {
        for leaf in Leaf::BAD {
            let mut server = Server::start_tls(leaf, always(Reply::status(200)));
            let error = connect_tls(&server).write_all(GET).unwrap_err();
            server.stop();
            assert!(error.to_string().contains("invalid peer certificate"), "{leaf:?}: {error}");
            assert_eq!((server.requests().len(), server.handshake_failures().len()), (0, 1), "{leaf:?}");
        }
    }

    #[test]
    fn plain_text_on_the_tls_port() {
        let queue = Queue::default().reply(Reply::raw_unread("HTTP/1.1 400 Bad Request\r\n\r\n"));
        let server = Server::start_tls(Leaf::Good, queue);
        let error = connect_tls(&server).write_all(GET).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidData, "{error}");
    }

    #[test]
    fn a_tunnel_leads_elsewhere() {
        let inner = Server::start_tls(Leaf::Good, always(Reply::status(200).body("inside").then_close()));
        let address = inner.address();
        let proxy = Server::start(move |_: &Request| Reply::tunnel(address));
        let mut socket = connect(&proxy);
        socket.write_all(b"CONNECT localhost:1 HTTP/1.1\r\n\r\n").unwrap();
        let mut established = [0; 39];
        socket.read_exact(&mut established).unwrap();
        assert_eq!(&established, b"HTTP/1.1 200 Connection established\r\n\r\n");
        let name = ServerName::try_from("localhost").unwrap();
        let mut stream = StreamOwned::new(ClientConnection::new(tls::client_config(), name).unwrap(), socket);
        stream.write_all(GET).unwrap();
        assert!(read_all(stream).0.ends_with("inside"));
        assert_eq!(proxy.requests()[0].target, "localhost:1");
        let passed = &proxy.received()[0];
        assert!(passed.len() > 200 && !passed.windows(5).any(|w| w == b"/a?b="), "TLS as it passed");
    }

    #[test]
    fn a_panic_in_the_script_reaches_the_test() {
        let result = catch_unwind(|| {
            let server = Server::start(|_: &Request| -> Reply { panic!("the script's own assertion") });
            talk(&server, GET).1.ok();
        });
        assert_eq!(message(result), "the script's own assertion");
    }
}

/// The text of a panic.
#[track_caller]
fn message<T>(result: std::thread::Result<T>) -> String {
    let panic = result.err().expect("a panic");
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string)).expect("a text")
}

mod leaks {
    use super::*;

    const BEARER: &str = "JkP4zt0cmGYR8vIuLSDb1nXq72WEoaTf";

    fn shell(job: Job, script: &str) -> Job {
        job.wrap_shell(["sh", "-c", script]).without_report()
    }

    fn github(script: &str) -> Job {
        shell(Job::github().env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", BEARER), script)
    }

    /// Why the harness refuses the run.
    #[track_caller]
    fn violation(job: Job) -> String {
        let message = message(catch_unwind(AssertUnwindSafe(|| job.run())));
        assert!(message.contains("the invariants hold"), "{message}");
        message
    }

    #[track_caller]
    fn violates(job: Job, wanted: &str) {
        let message = violation(job);
        assert!(message.contains(wanted), "{wanted:?} is not in: {message}");
    }

    /// Sends a request while the job runs, as the program would.
    fn send(server: &Server, request: &str) {
        let mut socket = TcpStream::connect(server.address()).unwrap();
        socket.write_all(request.as_bytes()).unwrap();
        socket.shutdown(std::net::Shutdown::Write).unwrap();
        socket.read_to_end(&mut Vec::new()).unwrap();
    }

    fn post(path: &str, body: &str) -> String {
        let media = "Content-Type: application/x-www-form-urlencoded";
        format!("POST {path} HTTP/1.1\r\n{media}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
    }

    #[test]
    fn a_quiet_job_passes() {
        let outcome = github("printf out; printf err >&2; exit 3").run();
        assert_eq!(
            (outcome.status, outcome.stdout.as_str(), outcome.stderr.as_str()),
            (Some(3), "out", "err")
        );
        assert!(outcome.new_files().is_empty());
    }

    #[test]
    fn the_bearer_is_found_whole_in_pieces_and_encoded() {
        violates(github("echo $ACTIONS_ID_TOKEN_REQUEST_TOKEN"), "(Bearer) is on stdout");
        violates(github("echo $ACTIONS_ID_TOKEN_REQUEST_TOKEN >&2"), "(Bearer) is on stderr");
        violates(github(&format!("echo x{}x", &BEARER[7..19])), "(Bearer) is on stdout");
        github(&format!("echo x{}x", &BEARER[7..18])).run();
        for shift in 0..3 {
            let encoded = STANDARD.encode(format!("{}{BEARER}!", "x".repeat(shift)));
            violates(github(&format!("echo {encoded} >&2")), "(Bearer) is on stderr");
        }
    }

    #[test]
    fn files_are_searched_wherever_they_are() {
        for place in
            ["$GITHUB_WORKSPACE/x", "$RUNNER_TEMP/x", "$TMPDIR/x", "$GITHUB_STEP_SUMMARY", "$GITHUB_OUTPUT"]
        {
            violates(github(&format!("echo $ACTIONS_ID_TOKEN_REQUEST_TOKEN >> {place}")), "in the file");
        }
        violates(github("touch $TMPDIR/$ACTIONS_ID_TOKEN_REQUEST_TOKEN"), "in the name of the file");
        // What was there before is an input.
        github("true").file("given.txt", BEARER).run();
    }

    #[test]
    fn the_id_token_of_gitlab_and_of_any_variable_is_known() {
        violates(shell(Job::gitlab(), &format!("echo ${SUBJECT_TOKEN}")), "(IdToken) is on stdout");
        let other = Job::gitlab().unset(SUBJECT_TOKEN);
        let token = other.mint();
        violates(shell(other.env("MY_TOKEN", &token), "echo $MY_TOKEN >&2"), "(IdToken) is on stderr");
        violates(
            shell(Job::bare().stdin(token::raw(b"{\"alg\":\"none\"}", b"{}")), "cat"),
            "(IdToken) is on stdout",
        );
        // Its first two parts hold no secret.
        shell(Job::gitlab(), &format!("echo ${{{SUBJECT_TOKEN}%.*}}")).run();
    }

    #[test]
    fn masks_are_for_github_and_whole_lines() {
        github("echo ::add-mask::$ACTIONS_ID_TOKEN_REQUEST_TOKEN >&2").run();
        violates(github("echo ::add-mask::$ACTIONS_ID_TOKEN_REQUEST_TOKEN"), "on stdout");
        violates(github("echo ' ::add-mask::'$ACTIONS_ID_TOKEN_REQUEST_TOKEN >&2"), "on stderr");
        violates(github("printf '::add-mask::%s' $ACTIONS_ID_TOKEN_REQUEST_TOKEN >&2"), "on stderr");
        let gitlab = shell(Job::gitlab(), &format!("echo ::add-mask::${SUBJECT_TOKEN} >&2"));
        violates(gitlab, "(IdToken) is on stderr");
    }

    #[test]
    fn extra_secrets_and_proxy_passwords_are_known() {
        violates(shell(Job::bare().secret("hush!"), "echo a hush! b"), "(Other) is on stdout");
        for name in ["HTTPS_PROXY", "https_proxy"] {
            let job = Job::bare().env(name, "http://me:p%40ss-word@127.0.0.1:1");
            violates(shell(job, "echo p@ss-word"), "(Other) is on stdout");
        }
    }

    /// A job whose STS gives this token, asked for it in the program's stead.
    fn exchanged(job: Job, access_token: &str) -> Running {
        let mut answer = sts_success();
        answer["access_token"] = json!(access_token);
        let running = job.sts_reply(Reply::json(&answer)).start();
        send(running.sts(), &post("/use/token", "grant_type=x"));
        running
    }

    #[track_caller]
    fn exchanged_violation(job: Job, access_token: &str) -> String {
        message(catch_unwind(AssertUnwindSafe(|| exchanged(job, access_token).wait())))
    }

    #[test]
    fn an_access_token_belongs_in_its_sink_only() {
        let token = "tkn-7Hq2mVx9ZbLw4RsY";
        let mask = format!("echo ::add-mask::{token} >&2");
        let output = format!("echo access-token={token} >> $GITHUB_OUTPUT");

        let outcome = exchanged(github(&format!("{mask}; {output}")), token).wait();
        assert_eq!(outcome.outputs()["access-token"], token);
        assert_eq!(outcome.access_token(), token);
        outcome.sts_requests(1).id_token_requests(0);
        assert!(exchanged_violation(github(&output), token).contains("without a mask"));
        let exported = format!("{mask}; echo T={token} >> $GITHUB_ENV");
        assert!(exchanged_violation(github(&exported), token).contains("in the file"));
        let outcome = exchanged(github(&exported).arg("--export-env"), token).wait();
        assert_eq!(outcome.exports()["T"], token);

        let print = format!("echo {token}");
        assert!(exchanged_violation(github(&print), token).contains("(AccessToken) is on stdout"));
        assert!(exchanged_violation(shell(Job::gitlab(), &print), token).contains("on stdout"));
        exchanged(shell(Job::gitlab().token_on_stdout(), &print), token)
            .wait()
            .stdout_is(&format!("{token}\n"));
    }

    #[test]
    fn a_mask_comes_before_what_it_hides() {
        let token = "tkn-7Hq2mVx9ZbLw4RsY";
        let (mask, print) = (format!("echo ::add-mask::{token} >&2"), format!("echo got {token} >&2"));
        let outcome = exchanged(github(&format!("{mask}; {print}")).token_on_stderr(), token).wait();
        assert_eq!(outcome.visible_log(), "got ***\n");
        let late = github(&format!("{print}; {mask}")).token_on_stderr();
        assert!(exchanged_violation(late, token).contains("on stderr before its mask"));
    }

    #[cfg(unix)]
    #[test]
    fn a_file_whose_path_is_printed_has_to_be_private() {
        let token = "tkn-7Hq2mVx9ZbLw4RsY";
        let write = |mask: &str, path: &str| format!("umask {mask}; echo {token} > {path}; echo {path}");
        let outcome = exchanged(shell(Job::gitlab(), &write("077", "$TMPDIR/t")), token).wait();
        assert_eq!(outcome.printed_path().unwrap(), outcome.root().join("tmp/t"));
        let open = exchanged_violation(shell(Job::gitlab(), &write("022", "$TMPDIR/t")), token);
        assert!(open.contains("has mode 644"), "{open}");
        let inside = exchanged_violation(shell(Job::gitlab(), &write("077", "$CI_PROJECT_DIR/t")), token);
        assert!(inside.contains("is in the checkout"), "{inside}");
        let silent = format!("umask 077; echo {token} > $TMPDIR/t");
        assert!(exchanged_violation(shell(Job::gitlab(), &silent), token).contains("in the file"));
        exchanged(shell(Job::gitlab().token_in("tmp/t"), &silent), token).wait();
    }

    /// What a test does while the job runs.
    type Act<'a> = &'a dyn Fn(&Running);

    #[test]
    fn secrets_go_to_their_own_server_only() {
        let wire = |job: Job, act: Act<'_>| {
            let running = job.start();
            act(&running);
            catch_unwind(AssertUnwindSafe(|| running.wait()))
        };
        let get = |target: &str| format!("GET {target} HTTP/1.1\r\nAuthorization: Bearer {BEARER}\r\n\r\n");
        let good = wire(github("true"), &|running| {
            send(running.issuer(), &get("/idtoken?audience=x"));
        });
        good.unwrap_or_else(|_| panic!("the bearer is for the issuer")).id_token_requests(1);

        let cases: [(&str, Act<'_>); 4] = [
            ("in the header Authorization of GET / to the STS", &|running| {
                send(running.sts(), &get("/"));
            }),
            ("in the URL of GET /idtoken to the issuer", &|running| {
                send(running.issuer(), &get(&format!("/idtoken?t={BEARER}")));
            }),
            ("in the body of POST / to the issuer", &|running| {
                send(running.issuer(), &post("/", BEARER));
            }),
            ("in what was sent to the STS", &|running| {
                send(running.sts(), BEARER);
            }),
        ];
        for (wanted, act) in cases {
            let message = message(wire(github("true"), act));
            assert!(message.contains(wanted), "{wanted:?} is not in: {message}");
        }

        let bearer = wire(shell(Job::bare().sts_bearer("client-credential"), "true"), &|running| {
            send(running.sts(), "GET / HTTP/1.1\r\nAuthorization: Bearer client-credential\r\n\r\n");
        });
        assert!(bearer.is_ok());

        let other = Server::start(|_: &Request| Reply::status(200));
        let outcome = github("true").run();
        outcome.nothing_secret_at(&other);
        send(&other, &get("/"));
        let result = catch_unwind(AssertUnwindSafe(|| {
            outcome.nothing_secret_at(&other);
        }));
        assert!(message(result).contains("another server"));
    }

    #[test]
    fn an_id_token_may_not_reach_the_sts_before_its_mask() {
        let exchange = |script: &str| {
            let job = github(script);
            let token = job.mint();
            let running = job.env("ID_TOKEN", &token).start();
            send(running.sts(), &post("/use/token", &format!("subject_token={token}")));
            catch_unwind(AssertUnwindSafe(|| running.wait()))
        };
        assert!(exchange("echo ::add-mask::$ID_TOKEN >&2").is_ok());
        assert!(message(exchange("true")).contains("before its mask was out"));
    }

    #[test]
    fn jwts_and_members_are_found_in_any_text() {
        let token = Token::new(json!({})).mint();
        assert_eq!(leak::jwts(&format!("a={token};b eyJ.x \"{token}\"")).len(), 2);
        let text = r#"{"access_token": "a\"b", "access_token" :"c", "access_token": 1, "access_token": "cut"#;
        assert_eq!(leak::members(text, "access_token"), ["a\"b", "c"]);
    }

    #[test]
    fn handles_are_words_of_their_own() {
        let handle = format!("ewh_{}", "a1-_".repeat(11).split_at(43).0);
        for text in [
            format!("EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN={handle}\n"),
            format!("subject_token={handle}&x"),
            format!("{{\"a\": \"{handle}\"}}"),
            format!("Bearer {handle}"),
            handle.clone(),
        ] {
            assert_eq!(leak::handles(&text), [handle.as_str()], "{text}");
        }
        for text in [format!("eyJ.e30.c2ln{handle}"), format!("eyJ.e30.{handle}"), "ewh_short".to_owned()] {
            assert!(leak::handles(&text).is_empty(), "{text}");
        }
    }
}

mod jobs {
    use super::*;

    /// A stand-in that fails as the program does.
    fn failing(code: &str, more: &str) -> Job {
        let report = json!({
            "v": 1, "code": code, "exit": 8, "retryable": true, "stage": "exchange", "message": "m", "hint": "h",
        });
        let script = format!(
            "while [ $# -gt 1 ]; do [ \"$1\" = --report ] && echo '{report}' > \"$2\"; shift; done\n\
             echo 'error[net-reset]: m' >&2; echo 'hint: h' >&2; {more}exit 8"
        );
        Job::github().wrap_shell(["sh", "-c", &script])
    }

    #[track_caller]
    fn disagrees(job: Job, wanted: &str) {
        let outcome = job.run();
        let message = message(catch_unwind(AssertUnwindSafe(|| {
            outcome.fails(8, "net-reset");
        })));
        assert!(message.contains(wanted), "{wanted:?} is not in: {message}");
        assert!(message.contains("--- stderr\nerror[net-reset]: m"), "the context is there: {message}");
    }

    #[test]
    fn a_failure_is_checked_in_every_place() {
        failing("net-reset", "").run().fails(8, "net-reset").stderr_has("hint: h").stderr_lacks("warning");
        let output = "printf 'error-code<<E\\nnet-reset\\nE\\n' >> $GITHUB_OUTPUT; ";
        let outcome = failing("net-reset", output).prefill_output("A=1\n").run();
        assert_eq!(outcome.fails(8, "net-reset").reported_error_code().as_deref(), Some("net-reset"));
        assert_eq!(outcome.outputs()["A"], "1");

        disagrees(failing("net-timeout", ""), "the report's code is net-reset");
        disagrees(failing("net-reset", "echo x; "), "stdout is empty");
        disagrees(failing("net-reset", "exit 7; "), "the exit status is 8");
        disagrees(failing("net-reset", "echo A=1 >> $GITHUB_ENV; "), "set_env");
        disagrees(failing("net-reset", "echo A=1 >> $GITHUB_OUTPUT; "), "nothing but error-code");
        disagrees(failing("net-reset", "echo B=1 > $GITHUB_OUTPUT; ").prefill_output("A=1\n"), "still there");
    }

    #[test]
    fn success_needs_a_report_that_says_so() {
        let script = "while [ $# -gt 1 ]; do [ \"$1\" = --report ] && echo '{\"code\":null,\"exit\":0}' > \"$2\"; shift; done";
        Job::github().wrap_shell(["sh", "-c", script]).run().succeeds();
        let result = catch_unwind(AssertUnwindSafe(|| {
            Job::github().wrap_shell(["sh", "-c", "true"]).run().succeeds();
        }));
        assert!(message(result).contains("there is a report"));
    }

    #[test]
    fn the_environment_is_the_jobs_and_nothing_else() {
        let list = |job: Job| {
            let outcome = job.wrap_shell(["sh", "-c", "env"]).without_report().masks_unchecked();
            let outcome = outcome.unset("ACTIONS_ID_TOKEN_REQUEST_TOKEN").unset(SUBJECT_TOKEN).run();
            let names = outcome.stdout.lines().filter_map(|line| line.split_once('='));
            names.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<BTreeMap<_, _>>()
        };
        let ours = ["GITHUB_", "RUNNER_", "ACTIONS_", "CI", "GITLAB_", "EQUINIX_"];
        let theirs = ["PATH", "TMPDIR", "PWD", "OLDPWD", "SHLVL", "_", "LLVM_PROFILE_FILE", "SystemRoot"];
        for job in [Job::github(), Job::gitlab(), Job::bare()] {
            for name in list(job).keys() {
                let known =
                    ours.iter().any(|prefix| name.starts_with(prefix)) || theirs.contains(&name.as_str());
                assert!(known, "{name} comes from outside");
            }
        }
        let env = list(Job::github().env("GITHUB_RUN_ID", "7").unset("RUNNER_TEMP").pull_request(true));
        assert_eq!(env["GITHUB_RUN_ID"], "7");
        assert_eq!(env["GITHUB_EVENT_NAME"], "pull_request");
        assert!(!env.contains_key("RUNNER_TEMP"));
    }

    #[test]
    fn the_arguments_are_as_documented() {
        let line = |job: Job| {
            let outcome = job.wrap_shell(["sh", "-c", "for a; do echo \"$a\"; done"]).run();
            outcome.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        let job = Job::github().tls().exec(["true", "x"]).arg("-v");
        let root = job.root().to_owned();
        let (sts, path) = (job.sts_url(), |name: &str| root.join(name).display().to_string());
        let (ca, report) = (path("ca.pem"), path("report.json"));
        assert!(sts.starts_with("https://localhost:"));
        let scope = support::job::SCOPE;
        assert_eq!(
            line(job),
            [
                "exec",
                "--scope",
                scope,
                "--audience",
                AUDIENCE,
                "--sts-endpoint",
                &sts,
                "--ca-file",
                &ca,
                "--report",
                &report,
                "-v",
                "--",
                "true",
                "x"
            ]
        );
        assert_eq!(line(Job::bare().only_args(["explain"])), ["explain"]);
        let dropped = ["--scope", "--audience", "--sts-endpoint", "--report"];
        let bare = dropped.into_iter().fold(Job::bare(), Job::without_flag);
        assert_eq!(line(bare.command("doctor")), ["doctor"]);
    }

    #[test]
    fn the_event_says_whether_it_is_a_fork() {
        for fork in [true, false] {
            let job = Job::github().pull_request(fork);
            let outcome = job.wrap_shell(["sh", "-c", "cat $GITHUB_EVENT_PATH"]).run();
            let event: Value = serde_json::from_str(&outcome.stdout).unwrap();
            assert_eq!(event["pull_request"]["head"]["repo"]["fork"], fork);
        }
    }

    /// One request over TLS to a server of the job.
    fn ask(server: &Server, request: &str) -> Value {
        let name = ServerName::try_from("localhost").unwrap();
        let session = ClientConnection::new(tls::client_config(), name).unwrap();
        let mut stream = StreamOwned::new(session, TcpStream::connect(server.address()).unwrap());
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    #[test]
    fn issuer_and_sts_behave_well_by_default() {
        let job = Job::github().tls().env("ACTIONS_ID_TOKEN_REQUEST_TOKEN", "the-bearer-of-this-job");
        let issuer = job.issuer();
        let job = job.claims(|claims| {
            claims.insert("environment".to_owned(), json!("production"));
        });
        let running = job.wrap_shell(["sh", "-c", "true"]).masks_unchecked().start();
        let get = |bearer: &str| {
            let target = "/idtoken?api-version=2.0&audience=a%2Fb";
            let close = "Connection: close";
            ask(
                running.issuer(),
                &format!("GET {target} HTTP/1.1\r\nauthorization: {bearer}\r\n{close}\r\n\r\n"),
            )
        };
        assert_eq!(get("Bearer wrong")["message"], "Unauthorized");
        let token = get("bearer the-bearer-of-this-job")["value"].as_str().unwrap().to_owned();
        let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["iss"], json!(issuer));
        assert_eq!(claims["aud"], "a/b");
        assert_eq!(claims["environment"], "production");
        assert!(issuer.starts_with("https://localhost:") && issuer.ends_with("/_services/token"));

        let post = |subject: &str| {
            let body = format!(
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange&scope=s&subject_token={subject}\
                 &subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Aid_token"
            );
            let media = "Content-Type: application/x-www-form-urlencoded\r\nConnection: close";
            let length = body.len();
            let head = format!("POST /use/token HTTP/1.1\r\n{media}\r\nContent-Length: {length}\r\n\r\n");
            ask(running.sts(), &(head + &body))
        };
        assert_eq!(post("no-jwt")["error"], "invalid_request");
        let answer = post(&token);
        assert_eq!(answer["token_type"], "Bearer");
        let outcome = running.wait();
        assert_eq!(answer["access_token"], outcome.access_token());
        assert_eq!(outcome.id_token(), token);
        assert!(outcome.sts.requests.iter().all(|request| request.tls));
    }

    #[cfg(unix)]
    #[test]
    fn a_signal_is_no_status() {
        let running = Job::bare().wrap_shell(["sh", "-c", "echo up >&2; read -r _ < /dev/zero"]).start();
        assert!(running.stderr_gets("up"));
        running.signal("TERM");
        let outcome = running.wait();
        assert_eq!((outcome.status, outcome.signal), (None, Some(15)));
    }

    #[test]
    fn the_program_is_first_in_the_path_of_a_shell() {
        let outcome = Job::bare().wrap_shell(["sh", "-c", "command -v equinix-wif"]).run();
        assert_eq!(outcome.stdout.trim_end(), env!("CARGO_BIN_EXE_equinix-wif"));
    }

    #[test]
    fn stdin_and_both_streams_do_not_block_one_another() {
        let much = "0123456789abcde\n".repeat(20_000);
        let outcome = Job::bare().stdin(much.clone()).wrap_shell(["sh", "-c", "tee /dev/stderr"]).run();
        assert!(outcome.stdout == much && outcome.stderr == much);
    }

    #[test]
    fn servers_are_shared_by_no_two_jobs() {
        let (one, two) = (Job::github(), Job::github());
        assert_ne!(one.sts_url(), two.sts_url());
        assert_ne!(one.sts_url(), one.issuer_url());
    }
}

mod tables {
    use super::*;
    use support::table::each;

    #[test]
    fn every_case_is_checked_and_a_failure_names_its_own() {
        let sum = std::sync::Mutex::new(0);
        let cases: Vec<(String, u32)> = (1..=20).map(|number| (format!("case {number}"), number)).collect();
        each(&cases, |number| *sum.lock().unwrap() += number);
        assert_eq!(sum.into_inner().unwrap(), 210);
        let result = catch_unwind(|| each(&cases, |number| assert!(*number != 7, "seven")));
        let message = message(result);
        assert!(message.contains("1 of 20 cases fail") && message.contains("=== case 7\nseven"), "{message}");
        assert_eq!(super::message(catch_unwind(|| each::<&str, ()>(&[], |()| ()))), "the table is empty");
    }
}

mod pieces {
    use std::collections::BTreeSet;

    use super::*;
    use leak::{Kind, PIECE, Secrets};

    /// Places of pieces as a plain search finds them: every piece of every form of the secret is looked for.
    fn plainly(text: &str, secret: &str) -> BTreeSet<(usize, String)> {
        let mut pieces: BTreeSet<&[u8]> = secret.as_bytes().windows(PIECE).collect();
        let mut forms = Vec::new();
        for shift in 0..3 {
            for engine in [STANDARD.encode(&secret[shift..]), URL_SAFE_NO_PAD.encode(&secret[shift..])] {
                let encoded = engine.trim_end_matches('=').to_owned();
                forms.push(encoded[..encoded.len() - 1].to_owned());
            }
        }
        pieces.extend(forms.iter().flat_map(|form| form.as_bytes().windows(PIECE / 3 * 4)));
        let text = text.as_bytes();
        let at = |piece: &[u8]| {
            let piece = piece.to_vec();
            let places = text.windows(piece.len()).enumerate().filter(|(_, window)| **window == *piece);
            let named: Vec<_> =
                places.map(|(at, _)| (at, String::from_utf8(piece.clone()).unwrap())).collect();
            named
        };
        pieces.into_iter().flat_map(at).collect()
    }

    proptest! {
        #[test]
        fn are_found_as_by_a_plain_search(
            secret in "[ab]{12,30}", others in proptest::collection::vec("[ab ]{0,9}", 3), cut in 0_usize..15, shift in 0_usize..3,
        ) {
            let encoded = URL_SAFE_NO_PAD.encode(format!("{}{secret}", "xy".repeat(shift)));
            let cut = cut.min(secret.len());
            let text = format!("{}{}{}{}{}", others[0], &secret[cut..], others[1], &encoded[cut..], others[2]);
            let mut secrets = Secrets::default();
            secrets.add(Kind::AccessToken, &secret);
            let hits = secrets.finder().hits(text.as_bytes());
            let found: BTreeSet<_> = hits.into_iter().map(|hit| (hit.at, hit.piece)).collect();
            prop_assert_eq!(found, plainly(&text, &secret));
        }
    }
}

mod turns {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::thread;

    use super::*;
    use support::table::each;
    use support::turns::{Turn, Turns};

    #[test]
    fn of_the_same_kind_go_on_side_by_side() {
        let turns = Turns::default();
        for turn in [Turns::measured, Turns::ordinary] {
            let _first = turn(&turns);
            thread::scope(|scope| scope.spawn(|| drop(turn(&turns))).join().unwrap());
        }
    }

    #[test]
    fn of_the_two_kinds_exclude_each_other() {
        let kinds: [fn(&Turns) -> Turn<'_>; 2] = [Turns::measured, Turns::ordinary];
        for (first, second) in [(kinds[0], kinds[1]), (kinds[1], kinds[0])] {
            let (turns, has_ended) = (Turns::default(), AtomicBool::new(false));
            let turn = first(&turns);
            thread::scope(|scope| {
                let waits = scope.spawn(|| {
                    let _turn = second(&turns);
                    assert!(has_ended.load(Ordering::SeqCst), "the first has not ended");
                });
                // Gives the other thread the time to be wrong.
                (0..1000).for_each(|_| thread::yield_now());
                has_ended.store(true, Ordering::SeqCst);
                drop(turn);
                waits.join().unwrap();
            });
        }
    }

    /// A test that has a run going starts another, while somebody waits to measure: neither waits for the other.
    #[test]
    fn that_are_begun_within_one_do_not_wait() {
        let turns = Turns::default();
        let outer = turns.ordinary();
        thread::scope(|scope| {
            let measures = scope.spawn(|| drop(turns.measured()));
            while turns.waiting() == 0 {
                thread::yield_now();
            }
            drop(turns.ordinary());
            each(&[("one", ()), ("two", ())], |()| drop(turns.ordinary()));
            drop(outer);
            measures.join().unwrap();
        });
        drop(turns.ordinary());
    }
}
