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
pub const HOLD: Duration = Duration::from_secs(20);

/// The wait that a client is asked for when nothing came of it, in seconds.
const RETRY_AFTER: &str = "5";

const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const FORM: &str = "application/x-www-form-urlencoded";

/// The number of refused scopes that are announced, each once.
const ANNOUNCED: usize = 20;

/// The local STS.
pub struct LocalSts {
    /// The address, as `Host` names it. `None` if another server has received the requests, and has judged their `Host` and
    /// `Origin`.
    pub address: Option<SocketAddr>,
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
    /// The time for which a request is held while a token is being obtained.
    pub hold: Duration,
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
        let grant = field("grant_type")?;
        let unsupported = || (400, "unsupported_grant_type", format!("grant_type must be {GRANT}"));
        // Whoever asks for something else has no handle to show.
        if given.is_empty() && grant.is_some_and(|grant| grant != GRANT) {
            return Err(unsupported());
        }
        if !bool::from(given.as_bytes().ct_eq(self.handle.reveal().as_bytes())) {
            return Err((401, "invalid_client", "subject_token is not the handle of this run".to_owned()));
        }
        if grant != Some(GRANT) {
            return Err(unsupported());
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

    /// Finds the source for a request, or refuses it.
    pub fn find(&self, request: &Request) -> Result<&Arc<TokenSource>, Reply> {
        self.judge(request).map_err(|refusal| self.refuse(request, refusal))
    }

    /// Answers a request with what its source has given.
    pub fn reply(
        &self,
        request: &Request,
        source: &TokenSource,
        outcome: Result<Served, Unavailable>,
    ) -> Reply {
        match outcome {
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
        let Some(address) = self.address else { return Asker::default() };
        let found = self.announced.looks.spend(|| peer::caller(peer, address)).flatten();
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
        if let Some(address) = self.address
            && request.header("host") != Some(address.to_string().as_str())
        {
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
        match self.find(request) {
            Ok(source) => self.reply(request, source, source.token(Deadline::within(self.hold))),
            Err(reply) => reply,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::fixed::FixedClock;
    use crate::credential::Credential;
    use crate::error::Error;
    use crate::renew::source::Observer;
    use crate::report::console::Verbosity;
    use crate::report::console::captured::{self, Lines};

    const HANDLE: &str = "ewh_0123456789abcdefghijklmnopqrstuvwxyzABCDE-_";
    const FORM_TYPE: (&str, &str) = ("content-type", "application/x-www-form-urlencoded; charset=utf-8");
    const HOST: (&str, &str) = ("host", "127.0.0.1:4321");

    struct Nobody;

    impl Observer for Nobody {
        fn renewed(&self, _: &Arc<str>, _: &Arc<Credential>) {}
        fn recovered(&self, _: &Arc<str>, _: &Credential) {}
        fn failed(&self, _: &Arc<str>, _: &Error, _: Option<&Error>) {}
        fn tick(&self) {}
    }

    /// A local STS whose token has this many seconds, or cannot be obtained for this reason.
    fn sts(outcome: Result<u64, Code>) -> (LocalSts, Lines) {
        let (console, lines) = captured::console(Verbosity::Normal, false);
        let clock: Arc<dyn Clock> = Arc::new(FixedClock::at(1_000));
        let obtain = move |_| match outcome {
            Ok(life) => {
                let secret = Secret::new("an-access-token-of-the-test");
                Ok(Credential::new(Kind::AccessToken, secret, life, 1_000 + i64::try_from(life).unwrap()))
            }
            Err(code) => Err(Error::new(code, "it was not to be")),
        };
        let source = TokenSource::new("b a", true, Arc::clone(&clock), Box::new(obtain), Arc::new(Nobody));
        source.renew_if_due();
        let sts = LocalSts {
            address: Some(HOST.1.parse().unwrap()),
            handle: Arc::new(Secret::new(HANDLE)),
            sources: vec![source],
            ledger: Arc::default(),
            console: Arc::new(console),
            clock,
            hold: Duration::from_millis(1),
            announced: Announced::default(),
        };
        (sts, lines)
    }

    fn form(changes: &[(&str, &str)]) -> String {
        let mut fields = vec![
            ("grant_type", GRANT),
            ("scope", "a%20b"),
            ("subject_token", HANDLE),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:id_token"),
        ];
        for (name, value) in changes {
            fields.retain(|(known, _)| known != name);
            fields.push((name, value));
        }
        fields.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
    }

    fn ask(sts: &LocalSts, body: &str) -> Reply {
        sts.answer(&Request::made_up("POST", "/use/token", &[HOST, FORM_TYPE], body))
    }

    #[test]
    fn the_handle_gets_a_token_at_both_paths_with_what_is_left_of_it() {
        let (sts, _) = sts(Ok(3600));
        sts.clock.sleep(Duration::from_secs(600));
        for path in ["/use/token", "/v1/token"] {
            let reply = sts.answer(&Request::made_up("POST", path, &[HOST, FORM_TYPE], &form(&[])));
            assert_eq!(reply.status, 200);
            let expected = json!({
                "access_token": "an-access-token-of-the-test", "token_type": "Bearer", "expires_in": 3000, "scope": "b a",
                "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
            });
            assert_eq!(serde_json::from_str::<serde_json::Value>(reply.body()).unwrap(), expected);
        }
        assert_eq!(ask(&sts, &form(&[("scope", "")])).status, 200, "without a scope it is the run's own");
        assert_eq!(sts.ledger.to_json()["hand_outs"].as_array().unwrap().len(), 3);
    }

    #[test]
    fn whatever_is_wrong_gets_no_token() {
        let (sts, _) = sts(Ok(3600));
        let near = format!("{}x", &HANDLE[..HANDLE.len() - 1]);
        for (changes, status, error) in [
            (vec![("subject_token", near.as_str())], 401, "invalid_client"),
            (vec![("subject_token", "")], 401, "invalid_client"),
            (vec![("grant_type", "client_credentials")], 400, "unsupported_grant_type"),
            (vec![("grant_type", "")], 400, "unsupported_grant_type"),
            (vec![("subject_token_type", "x")], 400, "invalid_request"),
            (vec![("scope", "a")], 400, "invalid_scope"),
            (vec![("scope", "a%20b%20c")], 400, "invalid_scope"),
        ] {
            let reply = ask(&sts, &form(&changes));
            assert_eq!(reply.status, status, "{changes:?}");
            assert!(reply.body().contains(error) && !reply.body().contains("an-access"), "{}", reply.body());
        }
        let twice = format!("{}&subject_token={HANDLE}", form(&[]));
        assert_eq!(ask(&sts, &twice).status, 400);
        let with = |method: &str, path: &str, headers: &[(&str, &str)]| {
            sts.answer(&Request::made_up(method, path, headers, &form(&[]))).status
        };
        assert_eq!(with("POST", "/use/token", &[("host", "localhost:4321"), FORM_TYPE]), 421);
        assert_eq!(with("POST", "/use/token", &[FORM_TYPE]), 421);
        assert_eq!(with("POST", "/use/token", &[HOST, FORM_TYPE, ("origin", "http://127.0.0.1:4321")]), 403);
        assert_eq!(with("POST", "/use/token", &[HOST]), 400);
        assert_eq!(with("POST", "/use/token", &[HOST, ("content-type", "application/json")]), 400);
        assert_eq!(with("GET", "/use/token", &[HOST, FORM_TYPE]), 405);
        assert_eq!(with("POST", "/", &[HOST, FORM_TYPE]), 404);
        assert_eq!(sts.ledger.to_json()["hand_outs"].as_array().unwrap().len(), 0);
    }

    #[test]
    fn what_may_pass_is_a_503_and_what_lasts_a_400_with_the_code() {
        for (code, status, error) in [
            (Code::ServerError, 503, "temporarily_unavailable"),
            (Code::StsDenied, 400, "invalid_grant"),
            (Code::StsScopeDenied, 400, "invalid_scope"),
        ] {
            let (sts, _) = sts(Err(code));
            let reply = ask(&sts, &form(&[]));
            assert_eq!(reply.status, status);
            assert!(reply.body().contains(error) && reply.body().contains(code.name()), "{}", reply.body());
            assert_eq!(reply.header("retry-after"), (status == 503).then_some(RETRY_AFTER));
        }
    }

    #[test]
    fn strangers_and_wrong_scopes_are_told_once() {
        let (sts, lines) = sts(Ok(3600));
        for _ in 0..30 {
            ask(&sts, &form(&[("subject_token", "x")]));
            ask(&sts, &form(&[("scope", "c")]));
        }
        let text = lines.text();
        assert_eq!(text.matches("10 requests with a wrong handle").count(), 1, "{text}");
        assert_eq!(text.matches("--renew-scope").count(), 1, "{text}");
        assert_eq!(text.lines().count(), 2, "{text}");
        let json = sts.ledger.to_json();
        assert_eq!((&json["wrong_handles"], &json["refused_scopes"]), (&json!(30), &json!(30)));
    }
}
