//! Reads a request (RFC 9112). Where a message can be read in two ways, it is refused.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write};

use httparse::Status;

use super::{Limits, Request};

/// The longest line with the size of a chunk, its extensions included.
const MAX_SIZE_LINE: usize = 256;

/// The reason why there is no request.
#[derive(Debug)]
pub(super) enum Failure {
    /// The client is gone, or has not said anything.
    Gone(io::Error),
    /// The request is answered with this status and message.
    Refused(u16, &'static str),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::TimedOut => Self::Refused(408, "the request took too long"),
            ErrorKind::UnexpectedEof => bad("the request ends early"),
            _ => Self::Gone(error),
        }
    }
}

const fn bad(message: &'static str) -> Failure {
    Failure::Refused(400, message)
}

/// The length of a body.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Framing {
    Length(usize),
    TooLarge,
    Chunked,
}

/// Receives a request.
pub(super) fn receive<S: Read + Write>(
    source: &mut BufReader<S>,
    limits: &Limits,
) -> Result<Request, Failure> {
    let (mut request, is_current) = parse(&read_head(source, limits.head)?, limits)?;
    match request.values("host").count() {
        1 => {}
        0 if !is_current => {}
        _ => return Err(bad("there must be one Host header")),
    }
    let framing = framing(&request, is_current, limits.body)?;
    let is_awaited = !matches!(framing, Framing::Length(0) | Framing::TooLarge);
    // Who has sent a part of the body already waits for nothing.
    if is_waiting(&request, is_current)? && is_awaited && source.buffer().is_empty() {
        source.get_mut().write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    request.body = match framing {
        Framing::Length(length) => {
            let mut body = vec![0; length];
            source.read_exact(&mut body)?;
            Some(body)
        }
        Framing::TooLarge => None,
        Framing::Chunked => read_chunks(source, limits)?,
    };
    Ok(request)
}

/// Reads up to the empty line after the headers. Empty lines before the request count for nothing (section 2.2).
fn read_head(source: &mut impl BufRead, limit: usize) -> Result<Vec<u8>, Failure> {
    match source.fill_buf().map_err(Failure::Gone)?.first() {
        None => return Err(Failure::Gone(ErrorKind::UnexpectedEof.into())),
        Some(b'A'..=b'Z' | b'\r' | b'\n') => {}
        // One that begins a TLS handshake would wait for an answer until the end.
        Some(_) => return Err(bad("this is no HTTP request")),
    }
    let (mut head, mut is_begun) = (Vec::new(), false);
    loop {
        let line = read_line(source, limit - head.len())?
            .ok_or(Failure::Refused(431, "the request line and the headers are too large"))?;
        head.extend_from_slice(&line);
        match line.as_slice() {
            b"\n" | b"\r\n" if is_begun => return Ok(head),
            b"\n" | b"\r\n" => {}
            _ => is_begun = true,
        }
    }
}

/// Reads a line with its end; `None` when it is too long.
fn read_line(source: &mut impl BufRead, limit: usize) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let mut limited = source.take(limit.try_into().unwrap_or(u64::MAX));
    limited.read_until(b'\n', &mut line)?;
    match line.last() {
        Some(b'\n') => Ok(Some(line)),
        _ if limited.limit() == 0 => Ok(None),
        _ => Err(ErrorKind::UnexpectedEof.into()),
    }
}

/// Takes a head apart. Tells also whether it is HTTP/1.1.
fn parse(head: &[u8], limits: &Limits) -> Result<(Request, bool), Failure> {
    let mut headers = vec![httparse::EMPTY_HEADER; limits.headers];
    let mut parsed = httparse::Request::new(&mut headers);
    match parsed.parse(head) {
        Ok(Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => {
            return Err(Failure::Refused(431, "there are too many headers"));
        }
        Err(httparse::Error::Version) => return Err(Failure::Refused(505, "only HTTP/1.1 is spoken here")),
        Ok(Status::Partial) | Err(_) => return Err(bad("the request is malformed")),
    }
    let method = parsed.method.unwrap_or_default().to_owned();
    let (path, query) = split(parsed.path.unwrap_or_default(), &method)
        .ok_or(bad("the request target is neither a path nor a URL"))?;
    let is_current = parsed.version == Some(1);
    let headers = parsed.headers.iter().map(|header| (header.name.to_owned(), header.value.to_vec()));
    let headers = headers.collect();
    Ok((Request { method, path, query, body: None, peer: None, headers }, is_current))
}

/// Splits a request target into path and query. A proxy's client sends the whole URL (section 3.2.2).
fn split(target: &str, method: &str) -> Option<(String, String)> {
    let is_absolute =
        |scheme: &&str| target.get(..scheme.len()).is_some_and(|it| it.eq_ignore_ascii_case(scheme));
    let scheme = ["http://", "https://"].iter().find(|scheme| is_absolute(scheme));
    let rest = match scheme.and_then(|scheme| target.get(scheme.len()..)) {
        Some(rest) => rest.find(['/', '?']).map_or("", |start| rest.get(start..).unwrap_or_default()),
        None if target.starts_with('/') || target == "*" && method == "OPTIONS" => target,
        None => return None,
    };
    // No fragment is ever sent, and what is not ASCII is percent-encoded.
    if !rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#') {
        return None;
    }
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    Some((if path.is_empty() { "/" } else { path }.to_owned(), query.to_owned()))
}

/// Determines the length of the body (section 6.3).
fn framing(request: &Request, is_current: bool, limit: usize) -> Result<Framing, Failure> {
    let lengths: Vec<_> = request.values("content-length").collect();
    let codings: Vec<_> = request.values("transfer-encoding").collect();
    match (lengths.as_slice(), codings.as_slice()) {
        ([], []) => Ok(Framing::Length(0)),
        ([length], []) => {
            let digits = std::str::from_utf8(length).unwrap_or_default();
            if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(bad("Content-Length must be a number"));
            }
            // A number without an end is a large one.
            let length = digits.parse().ok().filter(|length| *length <= limit);
            Ok(length.map_or(Framing::TooLarge, Framing::Length))
        }
        ([], [coding]) if is_current && coding.eq_ignore_ascii_case(b"chunked") => Ok(Framing::Chunked),
        ([], [_, ..]) if is_current => {
            Err(Failure::Refused(501, "of the transfer codings only chunked is known here"))
        }
        _ => Err(bad("the length of the body is not clear")),
    }
}

/// Tells whether the client waits for permission to send the body (RFC 9110 section 10.1.1).
fn is_waiting(request: &Request, is_current: bool) -> Result<bool, Failure> {
    let expected: Vec<_> = request.values("expect").collect();
    match expected.as_slice() {
        [] => Ok(false),
        [one] if one.eq_ignore_ascii_case(b"100-continue") => Ok(is_current),
        _ => Err(Failure::Refused(417, "of the expectations only 100-continue is known here")),
    }
}

/// Reads a body that comes in chunks (section 7.1); `None` when it is too large.
fn read_chunks(source: &mut impl BufRead, limits: &Limits) -> Result<Option<Vec<u8>>, Failure> {
    const MALFORMED: Failure = bad("a chunk of the body is malformed");
    let mut body = Vec::new();
    loop {
        let line = read_line(source, MAX_SIZE_LINE)?.ok_or(MALFORMED)?;
        let Ok(Status::Complete((_, size))) = httparse::parse_chunk_size(&line) else {
            return Err(MALFORMED);
        };
        let free = limits.body.saturating_sub(body.len());
        let Some(size) = usize::try_from(size).ok().filter(|size| *size <= free) else { return Ok(None) };
        if size == 0 {
            break;
        }
        let start = body.len();
        body.resize(start + size, 0);
        source.read_exact(body.get_mut(start..).unwrap_or_default())?;
        if read_line(source, 2)?.is_none_or(|end| end != b"\r\n") {
            return Err(MALFORMED);
        }
    }
    // The trailers are of no use here.
    let mut left = limits.head;
    loop {
        let line = read_line(source, left)?.ok_or(MALFORMED)?;
        if matches!(line.as_slice(), b"\n" | b"\r\n") {
            return Ok(Some(body));
        }
        left -= line.len();
    }
}

/// A client that sends these bytes and no more, for tests and fuzzing.
#[cfg(any(test, fuzzing))]
struct Fixed<'a> {
    unread: &'a [u8],
    written: Vec<u8>,
}

#[cfg(any(test, fuzzing))]
impl Read for Fixed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.unread.read(buffer)
    }
}

#[cfg(any(test, fuzzing))]
impl Write for Fixed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads any bytes as a request, without a connection. A request that is refused has a status; a client that does not
/// say anything gets none.
#[cfg(any(test, fuzzing))]
pub fn receive_bytes(bytes: &[u8], limits: &Limits) -> Result<Request, Option<u16>> {
    let mut source = BufReader::new(Fixed { unread: bytes, written: Vec::new() });
    receive(&mut source, limits).map_err(|failure| match failure {
        Failure::Gone(_) => None,
        Failure::Refused(status, _) => Some(status),
    })
}

#[cfg(test)]
#[path = "receive_tests.rs"]
mod tests;
