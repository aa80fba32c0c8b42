//! Clients that write to raw sockets, so that they can say what no library would.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::PATIENCE;

/// Where an adapter listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A port.
    Port(SocketAddr),
    /// A Unix socket.
    Socket(PathBuf),
}

impl Place {
    /// The place of a URL, or of `unix:PATH`.
    #[track_caller]
    pub fn of(url: &str) -> Self {
        if let Some(path) = url.strip_prefix("unix:") {
            return Self::Socket(path.into());
        }
        let rest = url.strip_prefix("http://").unwrap_or_else(|| panic!("no URL: {url}"));
        Self::Port(rest.split('/').next().unwrap().parse().unwrap())
    }

    /// The port.
    #[track_caller]
    pub fn address(&self) -> SocketAddr {
        match self {
            Self::Port(address) => *address,
            Self::Socket(path) => panic!("a socket: {}", path.display()),
        }
    }

    /// What a client writes into `Host`.
    pub fn host(&self) -> String {
        match self {
            Self::Port(address) => address.to_string(),
            Self::Socket(_) => "localhost".to_owned(),
        }
    }

    /// Connects and says nothing.
    #[track_caller]
    pub fn connect(&self) -> Connection {
        self.try_connect().unwrap_or_else(|error| panic!("nobody is at {self:?}: {error}"))
    }

    /// [`Place::connect`] where nobody may be.
    pub fn try_connect(&self) -> io::Result<Connection> {
        let stream = match self {
            Self::Port(address) => Stream::Tcp(TcpStream::connect(address)?),
            Self::Socket(path) => Stream::Unix(UnixStream::connect(path)?),
        };
        stream.limit()?;
        Ok(Connection { stream, host: self.host(), buffer: Vec::new() })
    }

    /// Asks on a connection of its own.
    #[track_caller]
    pub fn ask(&self, ask: &Ask) -> Answer {
        let mut connection = self.connect();
        connection.ask(ask)
    }
}

enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn limit(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => {
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))
            }
            Self::Unix(stream) => {
                stream.set_read_timeout(Some(PATIENCE))?;
                stream.set_write_timeout(Some(PATIENCE))
            }
        }
    }
}

/// A connection to the service.
pub struct Connection {
    stream: Stream,
    host: String,
    buffer: Vec<u8>,
}

impl Connection {
    /// Sends these bytes. Whoever refuses a request need not read all of it.
    pub fn send(&mut self, bytes: &[u8]) -> bool {
        match &mut self.stream {
            Stream::Tcp(stream) => stream.write_all(bytes).is_ok(),
            Stream::Unix(stream) => stream.write_all(bytes).is_ok(),
        }
    }

    /// Says that nothing more will come.
    pub fn finish(&self) {
        match &self.stream {
            Stream::Tcp(stream) => stream.shutdown(Shutdown::Write).ok(),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Write).ok(),
        };
    }

    /// Asks, and reads the answer.
    #[track_caller]
    pub fn ask(&mut self, ask: &Ask) -> Answer {
        let bytes = ask.wire(&self.host);
        self.send(&bytes);
        self.answer()
    }

    /// Asks where the connection may have ended.
    pub fn ask_or_end(&mut self, ask: &Ask) -> Option<Answer> {
        let bytes = ask.wire(&self.host);
        self.send(&bytes);
        self.raw_answer()
    }

    /// Reads an answer, which may be stored by nobody and read by no page.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let answer = self.raw_answer().expect("an answer");
        let stored = answer.all("cache-control");
        assert_eq!(stored, ["no-store"], "{answer:?}");
        let is_shared = answer.headers.iter().any(|(name, _)| name.starts_with("access-control-"));
        assert!(!is_shared, "pages may read it: {answer:?}");
        answer
    }

    /// Reads whatever comes; `None` if the connection ends before.
    pub fn raw_answer(&mut self) -> Option<Answer> {
        let end = loop {
            if let Some(at) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break at;
            }
            if !self.more() {
                return None;
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end + 4).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<_> = lines
            .map(|line| line.split_once(": ").unwrap_or((line, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        assert_eq!(answer.header("transfer-encoding"), None, "answers have a length: {answer:?}");
        let length = answer.header("content-length").map_or(0, |length| length.parse().unwrap());
        while self.buffer.len() < length {
            assert!(self.more(), "the answer ended too early: {answer:?}");
        }
        answer.body = self.buffer.drain(..length).collect();
        Some(answer)
    }

    /// Waits for the end of the connection; `false` if something comes instead.
    pub fn is_ended(&mut self) -> bool {
        self.buffer.is_empty() && !self.more()
    }

    /// Reads more; `false` at the end.
    #[track_caller]
    fn more(&mut self) -> bool {
        let mut chunk = [0; 16 << 10];
        let mut read = || match &mut self.stream {
            Stream::Tcp(stream) => stream.read(&mut chunk),
            Stream::Unix(stream) => stream.read(&mut chunk),
        };
        // After a stop of the whole process, a read with a time limit ends so.
        let interrupted = |error: &io::Error| error.kind() == io::ErrorKind::Interrupted;
        let read = loop {
            let outcome = read();
            if !outcome.as_ref().is_err_and(interrupted) {
                break outcome;
            }
        };
        match read {
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                count > 0
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!("nothing comes")
            }
            Err(_) => false,
        }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Ask {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Ask {
    /// Any method.
    pub fn new(method: &str, target: &str) -> Self {
        Self { method: method.to_owned(), target: target.to_owned(), headers: Vec::new(), body: Vec::new() }
    }

    /// `GET`
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// `POST` with this JSON.
    pub fn json(target: &str, body: &Value) -> Self {
        Self::post(target, "application/json", body.to_string())
    }

    /// `POST` with these bytes.
    pub fn post(target: &str, media_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let ask = Self::new("POST", target).header("Content-Type", media_type);
        Self { body: body.into(), ..ask }
    }

    /// `POST` with these fields.
    pub fn form(target: &str, fields: &[(&str, &str)]) -> Self {
        let encode =
            |(name, value): &(&str, &str)| format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC));
        let body = fields.iter().map(encode).collect::<Vec<_>>().join("&");
        Self::post(target, "application/x-www-form-urlencoded", body)
    }

    /// Adds a header. The same name may come twice.
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Leaves a header out.
    pub fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(found, _)| !found.eq_ignore_ascii_case(name));
        self
    }

    /// Shows a bearer.
    pub fn bearer(self, bearer: &str) -> Self {
        self.header("Authorization", format!("Bearer {bearer}"))
    }

    /// The bytes, with `Host` unless one is given, and the length.
    pub fn wire(&self, host: &str) -> Vec<u8> {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        let has = |name: &str| self.headers.iter().any(|(found, _)| found.eq_ignore_ascii_case(name));
        if !has("host") {
            head.push_str(&format!("Host: {host}\r\n"));
        }
        // An empty name stands for a header that is left out.
        for (name, value) in self.headers.iter().filter(|(_, value)| value != Self::NO_VALUE) {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if (!self.body.is_empty() || self.method == "POST") && !has("content-length") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        [head.into_bytes(), self.body.clone()].concat()
    }

    /// The value of a header that is not sent, nor in its usual form.
    pub const NO_VALUE: &str = "\u{0}";
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Names in lower case, and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).first().copied()
    }

    /// The values of all headers of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(found, _)| found == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The body.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON, as it is called to be.
    #[track_caller]
    pub fn value(&self) -> Value {
        assert_eq!(self.header("content-type"), Some("application/json"), "{self:?}");
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// Checks the status.
    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}\n{self:?}", self.text());
        self
    }

    /// The access token of a good answer.
    #[track_caller]
    pub fn token(&self) -> String {
        self.is(200);
        self.value()["access_token"]
            .as_str()
            .unwrap_or_else(|| panic!("no token: {}", self.text()))
            .to_owned()
    }

    /// Checks that it is a refusal in the form of Equinix's API, with one of our codes.
    #[track_caller]
    pub fn refuses(&self, status: u16, code: &str) -> &Self {
        self.is(status);
        let value = self.value();
        assert_eq!(value["error_code"], code, "{}", self.text());
        assert_eq!(value["error_domain"], "equinix-wif-serve");
        for member in ["error_title", "error_message", "developer_message"] {
            assert!(value[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {}", self.text());
        }
        assert!(value.get("access_token").is_none());
        self
    }

    /// Checks that it is a refusal in OAuth's form.
    #[track_caller]
    pub fn refuses_oauth(&self, status: u16, error: &str) -> &Self {
        self.is(status);
        let value = self.value();
        assert_eq!(value["error"], error, "{}", self.text());
        assert!(value["error_description"].as_str().is_some_and(|text| text.starts_with("equinix-wif")));
        assert!(value.get("access_token").is_none());
        self
    }
}
