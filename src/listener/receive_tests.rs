//! Texts as requests.

use proptest::prelude::{ProptestConfig, prop_assert, proptest};

use super::*;

fn read(text: &str) -> Result<Request, Option<u16>> {
    receive_bytes(text.as_bytes(), &Limits::STANDARD)
}

/// The status with which a text is refused; zero for a request, or when there is no answer.
fn refused(text: &str) -> u16 {
    read(text).err().flatten().unwrap_or_default()
}

/// A request with these headers, line by line, and what follows them.
fn with(headers: &str, rest: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: x\r\n{headers}\r\n{rest}")
}

#[test]
fn targets_are_paths_or_urls() {
    for (target, path, query) in [
        ("/", "/", ""),
        ("/a%20b/../c", "/a%20b/../c", ""),
        ("/a?b?c=%3f", "/a", "b?c=%3f"),
        ("//x/y", "//x/y", ""),
        ("http://127.0.0.1:1/x", "/x", ""),
        ("HTTP://x?y", "/", "y"),
        ("https://x", "/", ""),
        ("http://x/http://y?z", "/http://y", "z"),
    ] {
        let request = read(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")).unwrap();
        assert_eq!((request.path.as_str(), request.query.as_str()), (path, query), "{target}");
    }
    for target in ["*", "x", "x:1", "ftp://x/", "?a", "/#a", "/ü", "http:/x"] {
        assert_eq!(refused(&format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")), 400, "{target}");
    }
    assert_eq!(read("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n").unwrap().path, "*");
}

#[test]
fn headers_are_trimmed_and_kept_in_their_order() {
    let request = read(&with("X-A:  a b \t\r\nx-a:\r\nX-B: \u{fc}\r\n", "")).unwrap();
    assert_eq!(request.values("x-a").collect::<Vec<_>>(), [&b"a b"[..], b""]);
    assert_eq!((request.header("x-b"), request.has_header("x-b")), (None, true));
    assert_eq!(request.body.as_deref(), Some(&b""[..]));
}

#[test]
fn a_message_that_is_no_request_is_refused() {
    for (text, status) in [
        ("\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 0),
        ("GET / HTTP/1.1\nHost: x\n\n", 0),
        ("GET / HTTP/1.0\r\n\r\n", 0),
        ("", 0),
        ("\r\n\r\n", 400),
        ("\x16\x03\x01\x02", 400),
        ("get / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET /\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nhost: x\r\n\r\n", 400),
        ("GET / HTTP/1.0\r\nHost: x\r\nhost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n", 400),
        ("GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\n folded: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\0\r\n\r\n", 400),
        ("GET / HTTP/1.1\rHost: x\r\r", 400),
        ("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    ] {
        assert_eq!(refused(text), status, "{text:?}");
    }
    assert_eq!(read("").err(), Some(None), "nothing was said");
}

#[test]
fn the_length_of_a_body_is_clear() {
    let body = |headers: &str, rest: &str| read(&with(headers, rest)).unwrap().body;
    assert_eq!(body("Content-Length: 2\r\n", "abc").unwrap(), b"ab", "the rest is another request");
    assert_eq!(body("Content-Length: 002\r\n", "ab").unwrap(), b"ab");
    assert_eq!(body("Content-Length: 65537\r\n", ""), None);
    assert_eq!(body("Content-Length: 99999999999999999999999\r\n", ""), None);
    assert_eq!(body("", "abc").unwrap(), b"");
    for (headers, status) in [
        ("Content-Length: 1\r\nContent-Length: 1\r\n", 400),
        ("Content-Length: 1\r\nContent-Length: 2\r\n", 400),
        ("Content-Length: 1, 1\r\n", 400),
        ("Content-Length: +1\r\n", 400),
        ("Content-Length: 0x1\r\n", 400),
        ("Content-Length:\r\n", 400),
        ("Content-Length: 9\r\n", 400),
        ("Content-Length: 1\r\nTransfer-Encoding: chunked\r\n", 400),
        ("Transfer-Encoding: gzip, chunked\r\n", 501),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", 501),
        ("Transfer-Encoding: identity\r\n", 501),
        ("Expect: a-miracle\r\n", 417),
        ("Expect: 100-continue\r\nExpect: 100-continue\r\n", 417),
    ] {
        assert_eq!(refused(&with(headers, "abc")), status, "{headers:?}");
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(old), 400, "no such thing in HTTP/1.0");
}

#[test]
fn chunks_are_put_together() {
    let read = |chunks: &str| {
        receive_bytes(with("Transfer-Encoding: CHUNKED\r\n", chunks).as_bytes(), &Limits::STANDARD)
    };
    let body = |chunks: &str| read(chunks).unwrap().body;
    assert_eq!(body("3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\n\r\n").unwrap(), b"abc0123456789");
    assert_eq!(body("0\r\nTrailer: x\r\nOther: y\r\n\r\nrest").unwrap(), b"");
    assert_eq!(body("10001\r\n"), None, "more than 64 KiB");
    assert_eq!(body("fffffffffffffff\r\n"), None);
    let full = format!("10000\r\n{}\r\n", "x".repeat(0x10000));
    assert_eq!(body(&format!("{full}0\r\n\r\n")).unwrap().len(), 0x10000);
    assert_eq!(body(&format!("{full}1\r\nx\r\n0\r\n\r\n")), None);
    for chunks in [
        "",
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "fffffffffffffffff\r\n",
        "3\r\nabcd\r\n",
        "3\r\nabc\n0\r\n\r\n",
        "3\r\nab",
        "3\r\nabc\r\n",
        "0\r\n",
        "0\r\nTrailer: x",
        &format!("1;{}\r\nx\r\n0\r\n\r\n", "x".repeat(256)),
        &format!("0\r\n{}\r\n", "Trailer: x\r\n".repeat(2000)),
    ] {
        assert_eq!(read(chunks).err(), Some(Some(400)), "{chunks:.40?}");
    }
}

#[test]
fn a_head_is_limited() {
    let limits = Limits { head: 64, headers: 3, ..Limits::STANDARD };
    let status = |text: &str| receive_bytes(text.as_bytes(), &limits).err().flatten();
    // "GET / HTTP/1.1\r\nHost: x\r\n\r\n" are 27 bytes.
    let padded = |count| format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(count));
    assert_eq!(status(&padded(37)), None);
    assert_eq!(status(&padded(38)), Some(431));
    assert_eq!(status(&"\r\n".repeat(33)), Some(431), "empty lines count as well");
    assert_eq!(status(&with("a:b\r\nc:d\r\n", "")), None);
    assert_eq!(status(&with("a:b\r\nc:d\r\ne:f\r\n", "")), Some(431));
}

#[test]
fn permission_is_given_to_those_who_wait_for_it() {
    let go_on = |headers: &str, rest: &str| {
        let text = with(&format!("Expect: 100-Continue\r\n{headers}"), rest);
        // So small a buffer ends with the head, as a connection does whose client waits.
        let unread = text.as_bytes();
        let capacity = text.len() - rest.len();
        let mut source = BufReader::with_capacity(capacity, Fixed { unread, written: Vec::new() });
        assert!(receive(&mut source, &Limits::STANDARD).is_ok());
        source.get_ref().written == b"HTTP/1.1 100 Continue\r\n\r\n"
    };
    assert!(go_on("Content-Length: 1\r\n", "x"));
    assert!(go_on("Transfer-Encoding: chunked\r\n", "0\r\n\r\n"));
    assert!(!go_on("Content-Length: 0\r\n", ""));
    assert!(!go_on("", ""));
    assert!(!go_on("Content-Length: 70000\r\n", ""), "it will not be read");
    let old = b"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
    let mut source = BufReader::with_capacity(62, Fixed { unread: old, written: Vec::new() });
    assert!(receive(&mut source, &Limits::STANDARD).is_ok());
    assert_eq!(source.get_ref().written, b"", "HTTP/1.0 knows nothing of it");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn no_bytes_do_harm(bytes: Vec<u8>, head in 0usize..200, headers in 0usize..4, body in 0usize..20) {
        let limits = Limits { head, headers, body, ..Limits::STANDARD };
        let texts = [bytes.clone(), [b"POST / HTTP/1.1\r\nHost: x\r\n".as_slice(), &bytes].concat()];
        for text in texts {
            if let Ok(request) = receive_bytes(&text, &limits) {
                prop_assert!(request.body.is_none_or(|read| read.len() <= body));
            }
        }
    }
}
