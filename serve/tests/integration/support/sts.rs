//! A scripted STS that hands out tokens until it is told otherwise, and ID tokens for it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::server::{Reply, Request, Server};
use super::{PATIENCE, random_text};

/// The scope of all these tokens.
pub const SCOPE: &str = "roleassignments:0f3a9c1e-7b52-4d68-9e41-c2d85ab76f10";

/// An ID token of an issuer on this machine.
pub fn id_token() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({
        "iss": "http://127.0.0.1:1", "sub": "repo:octo-org/metal-app:ref:refs/heads/main", "aud": "equinix",
        "iat": now, "nbf": now, "exp": now + 3600, "jti": random_text(22),
    });
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let head = json!({"alg": "RS256", "kid": "2026-11", "typ": "JWT"});
    format!("{}.{}.{}", part(&head), part(&claims), URL_SAFE_NO_PAD.encode(random_text(256)))
}

/// A good answer of the STS.
pub fn success(token: &str, life: u64) -> Value {
    json!({
        "access_token": token, "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
        "token_type": "Bearer", "expires_in": life, "scope": SCOPE,
    })
}

/// A refusal of the STS.
pub fn refusal(status: u16, error: &str) -> Reply {
    Reply::status(status).json_body(&json!({"error": error, "error_description": "said by the STS"}))
}

struct State {
    /// The reply in place of a token.
    instead: Option<Reply>,
    life: u64,
    is_held: bool,
    issued: Vec<String>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answer(&self) -> Reply {
        let state = self.lock();
        let waiting = self.changed.wait_timeout_while(state, PATIENCE, |state| state.is_held);
        let mut state = waiting.unwrap_or_else(PoisonError::into_inner).0;
        if let Some(reply) = &state.instead {
            return reply.clone();
        }
        let token = random_text(40);
        state.issued.push(token.clone());
        Reply::json(&success(&token, state.life))
    }
}

/// The STS.
pub struct Sts {
    server: Server,
    shared: Arc<Shared>,
}

impl Sts {
    /// One whose tokens live for an hour.
    pub fn start() -> Self {
        Self::with_life(3600)
    }

    /// One whose tokens live for so many seconds.
    pub fn with_life(life: u64) -> Self {
        let state = State { instead: None, life, is_held: false, issued: Vec::new() };
        let shared = Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new() });
        let answering = Arc::clone(&shared);
        Self { server: Server::start(move |_: &Request| answering.answer()), shared }
    }

    /// Its base URL.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// From now on it gives this reply.
    pub fn always(&self, reply: Reply) {
        self.shared.lock().instead = Some(reply);
    }

    /// From now on it gives tokens.
    pub fn works(&self) {
        self.shared.lock().instead = None;
    }

    /// From now on its tokens live for so many seconds.
    pub fn life(&self, life: u64) {
        self.shared.lock().life = life;
    }

    /// Answers nobody until it is released.
    pub fn hold(self) -> Self {
        self.shared.lock().is_held = true;
        self
    }

    /// Answers those that wait.
    pub fn release(&self) {
        self.shared.lock().is_held = false;
        self.shared.changed.notify_all();
    }

    /// The tokens that it has given.
    pub fn issued(&self) -> Vec<String> {
        self.shared.lock().issued.clone()
    }

    /// The requests that have come.
    pub fn requests(&self) -> Vec<Request> {
        self.server.requests()
    }

    /// Waits for so many requests.
    #[track_caller]
    pub fn is_asked(&self, times: usize) {
        assert!(self.server.wait_for_requests(times), "{} requests have come", self.requests().len());
    }
}

impl Drop for Sts {
    fn drop(&mut self) {
        // The server waits for its threads.
        self.release();
    }
}
