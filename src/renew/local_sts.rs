//! The STS on loopback that the command of a renewing run asks, in place of Equinix's.
//!
//! It takes the request that Equinix's clients send (RFC 8693), with the handle as subject token, and answers as strictly as
//! they read: the Terraform provider takes a token only with all four members, and an empty 200 makes it crash.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use subtle::ConstantTimeEq;

use crate::clock::Clock;
use crate::credential::{Kind, TOKEN_TYPE};
use crate::deadline::Deadline;
use crate::error::Code;
use crate::grant::sts::Api;
use crate::listener::form::Form;
use crate::listener::peer;
use crate::listener::{Reply, Request, Service};
use crate::report::console::Console;
use crate::secret::Secret;
use crate::text::quote;

use super::budget::Budget;
use super::cache::Served;
use super::ledger::{Asker, Ledger};
use super::source::{TokenSource, Unavailable};

/// The time for which a request is held while a token is being obtained. The Terraform provider gives up after 30 s.
const HOLD: Duration = Duration::from_secs(20);

/// The wait that a client is asked for when nothing came of it, in seconds.
const RETRY_AFTER: &str = "5";

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const FORM: &str = "application/x-www-form-urlencoded";

/// The number of refused scopes that are announced, each once.
const ANNOUNCED: usize = 20;

/// The local STS.
pub struct LocalSts {
    /// The address, as `Host` names it.
    pub address: SocketAddr,
    /// The handle.
    pub handle: Arc<Secret>,
    /// A source for each scope that may be asked for, the main one first.
    pub sources: Vec<Arc<TokenSource>>,
    /// The account of the run.
    pub ledger: Arc<Ledger>,
    /// The console, for what should not go unnoticed.
    pub console: Arc<Console>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The state of what was announced.
    pub announced: Announced,
}

/// The memory of what was announced and looked up.
#[derive(Debug, Default)]
pub struct Announced {
    scopes: std::sync::Mutex<BTreeSet<String>>,
    /// A look costs more than the whole rest of an answer: the more processes and connections there are, the longer it takes.
    looks: Budget,
}

/// A refusal: status, OAuth error and description.
type Refusal = (u16, &'static str, String);

impl LocalSts {
    /// Holds a request against everything that can be said without a token, and finds the source for its scope.
    fn judge(&self, request: &Request) -> Result<&Arc<TokenSource>, Refusal> {
        let invalid = |status, why: &str| Err((status, "invalid_request", why.to_owned()));
        let Some(body) = &request.body else { return invalid(413, "the request is too large") };
        let media_type = request.header("content-type").and_then(|value| value.split(';').next());
        if !media_type.unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
            return Err((400, "invalid_request", format!("the content type must be {FORM}")));
        }
        let Some(form) = Form::parse(body) else { return invalid(400, "the form cannot be read") };
        let field = |name: &str| form.get(name).map_err(|why| (400, "invalid_request", why));
        let given = field("subject_token")?.unwrap_or_default();
        if !bool::from(given.as_bytes().ct_eq(self.handle.reveal().as_bytes())) {
            return Err((401, "invalid_client", "subject_token is not the handle of this run".to_owned()));
        }
        if field("grant_type")? != Some(GRANT) {
            return Err((400, "unsupported_grant_type", format!("grant_type must be {GRANT}")));
        }
        let id_token = Kind::IdToken.token_type_uri();
        if field("subject_token_type")? != Some(id_token) {
            return Err((400, "invalid_request", format!("subject_token_type must be {id_token}")));
        }
        match field("scope")? {
            None => self.sources.first(),
            Some(scope) => self.sources.iter().find(|source| words(source.scope()) == words(scope)),
        }
        .ok_or_else(|| {
            let scope = quote(field("scope").ok().flatten().unwrap_or_default());
            (
                400,
                "invalid_scope",
                format!("this run hands out no token for {scope}; --renew-scope allows it"),
            )
        })
    }

    fn refuse(&self, request: &Request, refusal: Refusal) -> Reply {
        let (status, error, description) = refusal;
        match error {
            "invalid_client" => {
                let count = self.ledger.wrong_handle();
                if count == 10 || (count > 10 && count.is_multiple_of(1000)) {
                    let asker = self.asker(request);
                    self.console.warn(&format!(
                        "{count} requests with a wrong handle, or none, have come to the listener of this run; the last one came from {}",
                        described(asker)
                    ));
                }
            }
            "invalid_scope" => {
                self.ledger.refused_scope();
                let mut scopes =
                    self.announced.scopes.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if scopes.len() < ANNOUNCED && scopes.insert(description.clone()) {
                    self.console
                        .warn(&format!("the command asked for a token that it may not have: {description}"));
                }
            }
            _ => {}
        }
        let description = format!("equinix-wif: {description}");
        Reply::json(status, &json!({"error": error, "error_description": self.console.safe(&description)}))
    }

    fn hand_out(&self, request: &Request, source: &TokenSource) -> Reply {
        match source.token(Deadline::within(HOLD)) {
            Ok(Served { credential, left }) => {
                let expires_at = credential.expires_at;
                let asker = self.asker(request);
                self.ledger.handed_out(self.clock.unix_time(), source.scope(), expires_at, asker);
                Reply::json(
                    200,
                    &json!({
                        "access_token": credential.token.reveal(),
                        "issued_token_type": Kind::AccessToken.token_type_uri(),
                        "token_type": TOKEN_TYPE,
                        "expires_in": left.as_secs(),
                        "scope": credential.scope.as_deref().unwrap_or(source.scope()),
                    }),
                )
            }
            Err(unavailable) => self.without_token(&unavailable),
        }
    }

    fn without_token(&self, unavailable: &Unavailable) -> Reply {
        let text = unavailable.error.as_ref().map_or_else(
            || "no answer has come yet".to_owned(),
            |error| format!("{} [{}]", error.message(), error.code().name()),
        );
        let description = self.console.safe(&format!("equinix-wif has no token to hand out: {text}"));
        let body = |error: &str| json!({"error": error, "error_description": description});
        if unavailable.may_pass() {
            return Reply::json(503, &body("temporarily_unavailable")).with("retry-after", RETRY_AFTER);
        }
        let is_scope = unavailable.error.as_ref().is_some_and(|error| error.code() == Code::StsScopeDenied);
        Reply::json(400, &body(if is_scope { "invalid_scope" } else { "invalid_grant" }))
    }

    /// Finds out whose process asked, unless a lot of time went into that just now.
    fn asker(&self, request: &Request) -> Asker {
        let Some(peer) = request.peer else { return Asker::default() };
        let found = self.announced.looks.spend(|| peer::caller(peer, self.address)).flatten();
        found.map_or_else(Asker::default, |caller| Asker { pid: caller.pid, uid: caller.uid })
    }
}

/// The words of a scope: their order means nothing (RFC 6749 section 3.3).
fn words(scope: &str) -> BTreeSet<&str> {
    scope.split(' ').filter(|word| !word.is_empty()).collect()
}

fn described(asker: Asker) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| "unknown".to_owned(), |n| n.to_string());
    format!("process {}, user {}", number(asker.pid), number(asker.uid))
}

impl Service for LocalSts {
    fn answer(&self, request: &Request) -> Reply {
        // A page in a browser that has found the port by another name is not the command.
        if request.header("host") != Some(self.address.to_string().as_str()) {
            return Reply::json(421, &json!({"message": "Misdirected Request"}));
        }
        if request.has_header("origin") {
            return Reply::json(403, &json!({"message": "Forbidden"}));
        }
        if !Api::ALL.iter().any(|api| api.path() == request.path) {
            return Reply::not_found();
        }
        if request.method != "POST" {
            return Reply::method_not_allowed("POST");
        }
        match self.judge(request) {
            Ok(source) => self.hand_out(request, source),
            Err(refusal) => self.refuse(request, refusal),
        }
    }
}
