//! The sandbox's servers: a listener with a log of what was asked.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::failed;
use crate::error::Error;
use crate::listener::{self, Limits, Listener, Reply, Request};

/// An answer, with what the log tells of it.
pub(super) struct ScopedReply {
    reply: Reply,
    /// The scope that was asked for.
    scope: Option<String>,
}

impl ScopedReply {
    /// Answers a request for a scope.
    pub(super) fn for_scope(reply: Reply, scope: &str) -> Self {
        Self { reply, scope: Some(scope.to_owned()) }
    }
}

impl From<Reply> for ScopedReply {
    fn from(reply: Reply) -> Self {
        Self { reply, scope: None }
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
    fn answer(&self, request: &Request) -> ScopedReply;
}

/// A server that runs until the sandbox ends.
pub(super) struct Running<S> {
    /// `http://127.0.0.1:PORT`
    pub(super) base: String,
    pub(super) service: Arc<S>,
    logged: Arc<Logged<S>>,
    /// Stops the server at the end.
    _listener: listener::Running,
}

impl<S> Running<S> {
    /// Returns the requests so far.
    pub(super) fn log(&self) -> Vec<Entry> {
        lock(&self.logged.log).clone()
    }
}

/// A service with its log.
struct Logged<S> {
    service: Arc<S>,
    log: Mutex<Vec<Entry>>,
}

impl<S: Service> listener::Service for Logged<S> {
    fn answer(&self, request: &Request) -> Reply {
        let ScopedReply { reply, scope } = self.service.answer(request);
        let (method, path) = (request.method.clone(), request.path.clone());
        // Before the answer goes out: whoever has the answer finds the entry.
        lock(&self.log).push(Entry { method, path, scope, status: reply.status });
        reply
    }
}

/// Starts a server on a free loopback port. A service knows its own address, so it is made for the port.
pub(super) fn serve<S: Service>(make: impl FnOnce(&str) -> Result<S, Error>) -> Result<Running<S>, Error> {
    let listener =
        Listener::bind().map_err(|error| failed("no port of 127.0.0.1 can be obtained", &error))?;
    let base = listener.base();
    let service = Arc::new(make(&base)?);
    let logged = Arc::new(Logged { service: Arc::clone(&service), log: Mutex::default() });
    let running = listener
        .serve(Arc::clone(&logged), Limits::STANDARD)
        .map_err(|error| failed("the server cannot be started", &error))?;
    Ok(Running { base, service, logged, _listener: running })
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
    use serde_json::{Value, json};

    use super::*;

    struct Echo;

    impl Service for Echo {
        fn answer(&self, request: &Request) -> ScopedReply {
            let size = request.body.as_ref().map(Vec::len);
            ScopedReply::for_scope(Reply::json(200, &json!({ "query": request.query, "size": size })), "s")
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
}
