//! HTTP for the sandbox's two servers: loopback only, plain, and with a log of what was asked.
//!
//! A server is a function from a [`Call`] to a [`Reply`]; everything about sockets is here.
//!
//! Not here: a `Date` header. oxhttp drops it from answers, as it drops `Connection`.

use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use oxhttp::Server;
use oxhttp::model::{Body, HeaderMap, Method, Request, Response};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::failed;
use crate::error::Error;

/// The largest request body that is read. Real tokens are far smaller.
const MAX_BODY: u64 = 64 * 1024;

/// The number of times that a port is looked for. Another program may take it between the look and the use.
const ATTEMPTS: u32 = 10;

/// A request, as far as the servers look at it.
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) query: String,
    headers: HeaderMap,
    /// `None` when it was too large.
    pub(super) body: Option<Vec<u8>>,
}

impl Call {
    /// A header as text. A header that is not text is none that the servers know.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(super) fn has_header(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    fn read(request: &mut Request<Body>) -> Self {
        let mut body = Vec::new();
        let read = request.body_mut().take(MAX_BODY + 1).read_to_end(&mut body);
        let small = read.is_ok_and(|length| u64::try_from(length).is_ok_and(|length| length <= MAX_BODY));
        Self {
            method: request.method().clone(),
            path: request.uri().path().to_owned(),
            query: request.uri().query().unwrap_or_default().to_owned(),
            headers: request.headers().clone(),
            body: small.then_some(body),
        }
    }
}

/// An answer.
pub(super) struct Reply {
    pub(super) status: u16,
    content_type: &'static str,
    headers: Vec<(&'static str, &'static str)>,
    body: String,
    /// The scope that was asked for, for the log.
    pub(super) scope: Option<String>,
}

impl Reply {
    pub(super) fn json(status: u16, body: &Value) -> Self {
        Self::text(status, "application/json", body.to_string())
    }

    pub(super) fn text(status: u16, content_type: &'static str, body: String) -> Self {
        // Tokens pass through here (RFC 6749 section 5.1).
        let headers = vec![("cache-control", "no-store")];
        Self { status, content_type, headers, body, scope: None }
    }

    pub(super) fn not_found() -> Self {
        Self::json(404, &json!({ "message": "Not Found" }))
    }

    pub(super) fn method_not_allowed(allowed: &'static str) -> Self {
        Self::json(405, &json!({ "message": "Method Not Allowed" })).with("allow", allowed)
    }

    pub(super) fn with(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }

    pub(super) fn scope(mut self, scope: &str) -> Self {
        self.scope = Some(scope.to_owned());
        self
    }

    fn into_response(self, head: bool) -> Response<Body> {
        let mut response = Response::builder().status(self.status).header("content-type", self.content_type);
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        let body = if head { Body::empty() } else { Body::from(self.body) };
        // The parts are our own words, so they always fit together.
        response.body(body).unwrap_or_default()
    }
}

/// A request and its answer, for the log. Holds no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) scope: Option<String>,
    pub(super) status: u16,
}

/// Answers requests.
pub(super) trait Service: Send + Sync + 'static {
    fn answer(&self, call: &Call) -> Reply;
}

/// A server that runs until the process ends.
pub(super) struct Running<S> {
    /// `http://127.0.0.1:PORT`
    pub(super) base: String,
    pub(super) service: Arc<S>,
    log: Arc<Mutex<Vec<Entry>>>,
}

impl<S> Running<S> {
    /// Returns the requests so far.
    pub(super) fn log(&self) -> Vec<Entry> {
        lock(&self.log).clone()
    }
}

/// Starts a server on a free loopback port. A service knows its own address, so it is made for the port.
pub(super) fn serve<S: Service>(make: impl Fn(&str) -> Result<S, Error>) -> Result<Running<S>, Error> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .and_then(|probe| probe.local_addr())
            .map_err(|error| failed("no port of 127.0.0.1 can be had", &error))?
            .port();
        let base = format!("http://127.0.0.1:{port}");
        let service = Arc::new(make(&base)?);
        let log = Arc::new(Mutex::new(Vec::new()));
        let (answering, logging) = (Arc::clone(&service), Arc::clone(&log));
        let server = Server::new(move |request| handle(&*answering, &logging, request));
        match server.bind((Ipv4Addr::LOCALHOST, port)).spawn() {
            Ok(_) => return Ok(Running { base, service, log }),
            Err(error) => last = Some(error),
        }
    }
    Err(failed(
        "no port of 127.0.0.1 can be used",
        &last.unwrap_or_else(|| std::io::ErrorKind::AddrInUse.into()),
    ))
}

fn handle(service: &impl Service, log: &Mutex<Vec<Entry>>, request: &mut Request<Body>) -> Response<Body> {
    let call = Call::read(request);
    let reply = service.answer(&call);
    // Before the answer goes out: whoever has the answer finds the entry.
    lock(log).push(Entry {
        method: call.method.to_string(),
        path: call.path,
        scope: reply.scope.clone(),
        status: reply.status,
    });
    reply.into_response(call.method == Method::HEAD)
}

/// The pairs of a form or query; `None` when a part is not UTF-8.
pub(super) fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let decode = |part: &str| {
        let spaced = part.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8().ok().map(String::from)
    };
    text.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((decode(name)?, decode(value)?))
        })
        .collect()
}

/// Takes a lock. A thread that ended while it held the lock left nothing half done: every use is one statement.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A client for the tests.
#[cfg(test)]
pub(super) mod client {
    use serde_json::Value;

    /// Status, content type and body.
    pub(crate) struct Answer {
        pub(crate) status: u16,
        pub(crate) headers: ureq::http::HeaderMap,
        pub(crate) body: String,
    }

    impl Answer {
        pub(crate) fn json(&self) -> Value {
            serde_json::from_str(&self.body).unwrap()
        }

        pub(crate) fn header(&self, name: &str) -> Option<&str> {
            self.headers.get(name).map(|value| value.to_str().unwrap())
        }
    }

    pub(crate) fn send(method: &str, url: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .allow_non_standard_methods(true)
            .proxy(None)
            .build()
            .into();
        let mut request = ureq::http::Request::builder().method(method).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut response = agent.run(request.body(body.to_owned()).unwrap()).unwrap();
        let body = response.body_mut().read_to_string().unwrap();
        Answer { status: response.status().as_u16(), headers: response.headers().clone(), body }
    }

    pub(crate) fn get(url: &str) -> Answer {
        send("GET", url, &[], "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Service for Echo {
        fn answer(&self, call: &Call) -> Reply {
            let size = call.body.as_ref().map(Vec::len);
            Reply::json(200, &json!({ "query": call.query, "size": size })).scope("s")
        }
    }

    #[test]
    fn a_request_is_answered_and_logged() {
        let server = serve(|_| Ok(Echo)).unwrap();
        assert!(server.base.starts_with("http://127.0.0.1:"));
        let answer = client::send("POST", &format!("{}/a?b=c", server.base), &[], "1234");
        assert_eq!(answer.body, r#"{"query":"b=c","size":4}"#);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let large = client::send("POST", &server.base, &[], &"x".repeat(65537));
        assert_eq!(large.json()["size"], Value::Null, "too large");
        assert_eq!(client::send("HEAD", &server.base, &[], "").body, "");
        let log: Vec<String> =
            server.log().iter().map(|e| format!("{} {} {}", e.method, e.path, e.status)).collect();
        assert_eq!(log, ["POST /a 200", "POST / 200", "HEAD / 200"]);
        assert_eq!(server.log()[0].scope.as_deref(), Some("s"));
    }

    #[test]
    fn forms_are_decoded() {
        let decoded = pairs("a=1%202&b=x+y&c&&d=%C3%BC%3D").unwrap();
        let expected = [("a", "1 2"), ("b", "x y"), ("c", ""), ("d", "ü=")];
        assert_eq!(decoded, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(pairs("a=%ff"), None);
    }
}
