//! The classic API for access tokens: knows one client and one user, gives out tokens for their secrets, and locks the
//! account after five wrong attempts in a row, as Equinix does.

use std::path::Path;
use std::sync::Mutex;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::job::Prepared;
use super::sts::Callers;
use super::wire::{ScopedReply, Service, lock};
use super::{Fault, Hush, keys};
use crate::env::names;
use crate::error::Error;
use crate::listener::{Reply, Request};
use crate::secret::Secret;

/// The path for a new access token.
pub(super) const TOKEN_PATH: &str = "/oauth2/v1/token";
/// The path for an access token in exchange for a refresh token.
pub(super) const REFRESH_PATH: &str = "/oauth2/v1/refreshaccesstoken";
/// The user whose password is known.
pub(super) const USER: &str = "octo-user";

/// The variable that names the file with a refresh token.
pub(super) const REFRESH_TOKEN_FILE: &str = "EQUINIX_SANDBOX_REFRESH_TOKEN_FILE";
/// The variable that names the file with the user's password.
pub(super) const PASSWORD_FILE: &str = "EQUINIX_SANDBOX_PASSWORD_FILE";

/// The number of wrong attempts in a row that lock the account.
const ATTEMPTS: u32 = 5;

/// The secrets with which an account proves itself.
struct Account {
    client_id: Secret,
    client_secret: Secret,
    password: Secret,
}

/// The account's history, as far as it counts.
struct State {
    /// The wrong attempts since the last right one.
    wrong: u32,
    /// The refresh token that works. Each use replaces it.
    refresh_token: Secret,
}

/// The classic API.
pub(super) struct Api {
    /// The account as its owner has it.
    account: Account,
    /// The client secret that is right.
    right: Secret,
    state: Mutex<State>,
    callers: Callers,
    hush: Hush,
}

/// The reason why there is no token.
enum Refusal {
    /// Something about the request, in the form that the API's document shows.
    Request(&'static str),
    /// A login that failed, in the other form, which has been seen with status 500.
    Login,
}

impl Api {
    pub(super) fn new(fault: Option<Fault>, callers: Callers, hush: Hush) -> Result<Self, Error> {
        let secret = || {
            let secret = keys::random_token()?;
            lock(&hush).add(secret.reveal());
            Ok(secret)
        };
        let account = Account { client_id: secret()?, client_secret: secret()?, password: secret()? };
        let right = if fault == Some(Fault::WrongLogin) {
            secret()?
        } else {
            Secret::new(account.client_secret.reveal())
        };
        let wrong = if fault == Some(Fault::LockedAccount) { ATTEMPTS } else { 0 };
        let state = Mutex::new(State { wrong, refresh_token: secret()? });
        Ok(Self { account, right, state, callers, hush })
    }

    /// Puts into a job what its owner has stored there: variables, and files below the folder.
    pub(super) fn store(&self, base: &str, folder: &Path, job: &mut Prepared) {
        let folder = folder.join("stored");
        let [refresh_token, password] = ["refresh-token", "password"].map(|name| folder.join(name));
        job.set([
            (names::API_ENDPOINT, base),
            (names::CLIENT_ID, self.account.client_id.reveal()),
            (names::CLIENT_SECRET, self.account.client_secret.reveal()),
            (names::USER_NAME, USER),
        ]);
        job.set([(REFRESH_TOKEN_FILE, &refresh_token), (PASSWORD_FILE, &password)]);
        job.files.push((refresh_token, lock(&self.state).refresh_token.reveal().to_owned()));
        job.files.push((password, self.account.password.reveal().to_owned()));
        job.folders.push(folder);
    }

    /// The id and the secret of its client.
    #[cfg(feature = "service")]
    pub(super) fn client(&self) -> (String, String) {
        (self.account.client_id.reveal().to_owned(), self.account.client_secret.reveal().to_owned())
    }

    fn post(&self, call: &Request) -> Reply {
        match self.token(call) {
            Ok(body) => Reply::json(200, &body),
            Err(Refusal::Request(message)) => Reply::json(
                400,
                &json!({
                    "error_domain": "sandbox",
                    "error_title": "Invalid request",
                    "error_code": "S4000",
                    "developer_message": message,
                    "error_message": message,
                }),
            ),
            Err(Refusal::Login) => Reply::json(
                500,
                &json!({
                    "errorDomain": "sandbox",
                    "errorTitle": "Login Failure",
                    "errorCode": "S1006",
                    "developerMessage": "Login Failure, please try again",
                    "errorMessage": "Login Failure, please try again",
                }),
            ),
        }
    }

    fn token(&self, call: &Request) -> Result<Value, Refusal> {
        let media_type = call.header("content-type").and_then(|value| value.split(';').next());
        if !media_type.unwrap_or_default().trim().eq_ignore_ascii_case("application/json") {
            return Err(Refusal::Request("the content type must be application/json"));
        }
        let body = call.body.as_ref().ok_or(Refusal::Request("the request is too large"))?;
        let members = serde_json::from_slice::<Map<String, Value>>(body)
            .map_err(|_| Refusal::Request("the body must be a JSON object"))?;
        let get = |name: &str, missing: &'static str| {
            let text = members.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
            text.ok_or(Refusal::Request(missing))
        };
        let is_client = get("client_id", "client_id is missing")? == self.account.client_id.reveal();
        let is_client = get("client_secret", "client_secret is missing")? == self.right.reveal() && is_client;
        let mut state = lock(&self.state);
        if call.path == REFRESH_PATH {
            let offered = get("refresh_token", "refresh_token is missing")?;
            let is_right = is_client && offered == state.refresh_token.reveal();
            state.attempt(is_right, Refusal::Request("Please enter a valid refresh token"))?;
            return self.answer(Some(&mut state));
        }
        // A request that names no grant is one for a password.
        match members.get("grant_type").map_or(Some("password"), Value::as_str) {
            Some("client_credentials") => {
                state.attempt(is_client, Refusal::Login)?;
                self.answer(None)
            }
            Some("password") => {
                let name = get("user_name", "user_name is missing")?;
                let offered = get("user_password", "user_password is missing")?;
                // Any other encoding means the password as it is.
                let encoding = members.get("password_encoding").and_then(Value::as_str);
                let digest = || STANDARD.encode(md5::compute(self.account.password.reveal()).0);
                let is_password = match encoding {
                    Some("md5-b64") => offered == digest(),
                    _ => offered == self.account.password.reveal(),
                };
                state.attempt(is_client && name == USER && is_password, Refusal::Login)?;
                self.answer(Some(&mut state))
            }
            _ => Err(Refusal::Request("grant_type must be client_credentials or password")),
        }
    }

    /// The answer with a new access token, and where one belongs there with a new refresh token.
    fn answer(&self, rotated: Option<&mut State>) -> Result<Value, Refusal> {
        let secret = || {
            let secret = keys::random_token().map_err(|_| Refusal::Request("no token can be made"))?;
            lock(&self.hush).add(secret.reveal());
            Ok(secret)
        };
        let token = secret()?;
        let mut answer = Map::from_iter([
            ("access_token".to_owned(), token.reveal().into()),
            ("token_timeout".to_owned(), "3599".into()),
            ("user_name".to_owned(), USER.into()),
            ("token_type".to_owned(), "Bearer".into()),
        ]);
        if let Some(state) = rotated {
            state.refresh_token = secret()?;
            answer.insert("refresh_token".to_owned(), state.refresh_token.reveal().into());
            answer.insert("refresh_token_timeout".to_owned(), "5182560".into());
        }
        lock(&self.callers).push(token);
        Ok(answer.into())
    }
}

impl State {
    /// Counts an attempt. A locked account stays so, whatever comes.
    fn attempt(&mut self, is_right: bool, refusal: Refusal) -> Result<(), Refusal> {
        if self.wrong >= ATTEMPTS {
            return Err(Refusal::Request("The user account is locked"));
        }
        self.wrong = if is_right { 0 } else { self.wrong + 1 };
        if is_right { Ok(()) } else { Err(refusal) }
    }
}

impl Service for Api {
    fn answer(&self, call: &Request) -> ScopedReply {
        let reply = if ![TOKEN_PATH, REFRESH_PATH].contains(&call.path.as_str()) {
            Reply::not_found()
        } else if call.method == "POST" {
            self.post(call)
        } else {
            Reply::method_not_allowed("POST")
        };
        reply.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::wire::Running;
    use crate::sandbox::wire::client::{Answer, get, send};
    use crate::sandbox::wire::serve;

    const JSON: (&str, &str) = ("content-type", "application/json");

    fn start(fault: Option<Fault>) -> Running<Api> {
        serve(|_| Api::new(fault, Callers::default(), Hush::default())).unwrap()
    }

    fn post(api: &Running<Api>, path: &str, body: &Value) -> Answer {
        send("POST", &format!("{}{path}", api.base), &[JSON], &body.to_string())
    }

    /// The client's request, with these members besides or instead.
    fn request(api: &Running<Api>, members: &[(&str, &str)]) -> Value {
        let account = &api.service.account;
        let mut body =
            json!({"client_id": account.client_id.reveal(), "client_secret": account.client_secret.reveal()});
        for (name, value) in members {
            body[name] = (*value).into();
        }
        body
    }

    fn ask(api: &Running<Api>, members: &[(&str, &str)]) -> Answer {
        post(api, TOKEN_PATH, &request(api, members))
    }

    fn refresh(api: &Running<Api>, token: &str) -> Answer {
        post(api, REFRESH_PATH, &request(api, &[("refresh_token", token)]))
    }

    const CLIENT: (&str, &str) = ("grant_type", "client_credentials");
    const WRONG: (&str, &str) = ("client_secret", "not-the-secret");

    #[test]
    fn a_client_gets_an_access_token_and_nothing_else() {
        let api = start(None);
        let answer = ask(&api, &[CLIENT]);
        assert_eq!((answer.status, answer.header("cache-control")), (200, Some("no-store")));
        let answer = answer.json();
        assert_eq!((&answer["token_timeout"], &answer["token_type"]), (&json!("3599"), &json!("Bearer")));
        assert_eq!(answer.as_object().unwrap().len(), 4, "no refresh token belongs here");
        let token = answer["access_token"].as_str().unwrap();
        assert_eq!(lock(&api.service.hush).scrub(token).0, "***", "it is known as a secret");
        assert_eq!(lock(&api.service.callers)[0].reveal(), token, "the STS knows it");
    }

    #[test]
    fn a_password_is_taken_as_it_is_and_as_a_digest() {
        let api = start(None);
        let password = api.service.account.password.reveal().to_owned();
        let digest = STANDARD.encode(md5::compute(&password).0);
        let user = ("user_name", USER);
        let ask = |members: &[(&str, &str)]| {
            let answer = ask(&api, members);
            (answer.status, answer.json()["refresh_token"].is_string())
        };
        for members in [
            &[user, ("user_password", &password)][..],
            &[user, ("user_password", &password), ("grant_type", "password")],
            &[user, ("user_password", &password), ("password_encoding", "none")],
            &[user, ("user_password", &digest), ("password_encoding", "md5-b64")],
        ] {
            assert_eq!(ask(members), (200, true), "{members:?}");
        }
        for members in [
            &[user, ("user_password", &digest)][..],
            &[user, ("user_password", &password), ("password_encoding", "md5-b64")],
            &[("user_name", "somebody"), ("user_password", &password)],
        ] {
            assert_eq!(ask(members), (500, false), "{members:?}");
        }
    }

    #[test]
    fn a_refresh_token_works_once() {
        let api = start(None);
        let first = lock(&api.service.state).refresh_token.reveal().to_owned();
        let answer = refresh(&api, &first).json();
        let second = answer["refresh_token"].as_str().unwrap();
        assert_ne!(second, first);
        let used_up = refresh(&api, &first);
        assert_eq!(used_up.status, 400);
        assert_eq!(used_up.json()["error_message"], "Please enter a valid refresh token");
        assert_eq!(refresh(&api, second).status, 200);
    }

    #[test]
    fn both_forms_of_errors_occur() {
        let api = start(None);
        let login = ask(&api, &[CLIENT, WRONG]);
        assert_eq!((login.status, &login.json()["errorCode"]), (500, &json!("S1006")));
        for (body, about) in [
            (json!([]), "JSON object"),
            (json!({}), "client_id"),
            (json!({"client_id": "x"}), "client_secret"),
            (request(&api, &[]), "user_name"),
            (request(&api, &[("user_name", USER)]), "user_password"),
            (request(&api, &[("grant_type", "implicit")]), "grant_type"),
        ] {
            let refused = post(&api, TOKEN_PATH, &body);
            assert_eq!(refused.status, 400, "{about}");
            assert!(refused.json()["error_message"].as_str().unwrap().contains(about), "{}", refused.body);
        }
        assert_eq!(post(&api, REFRESH_PATH, &request(&api, &[])).status, 400);
        let url = format!("{}{TOKEN_PATH}", api.base);
        let form = send("POST", &url, &[("content-type", "application/x-www-form-urlencoded")], "a=b");
        assert!(form.json()["error_message"].as_str().unwrap().contains("content type"));
        assert_eq!((get(&url).status, get(&url).header("allow")), (405, Some("POST")));
        assert_eq!(get(&format!("{}/oauth2/v1/userinfo", api.base)).status, 404);
    }

    #[test]
    fn five_wrong_attempts_in_a_row_lock_the_account() {
        let api = start(None);
        let wrong = |times| (0..times).for_each(|_| assert_eq!(ask(&api, &[CLIENT, WRONG]).status, 500));
        wrong(4);
        assert_eq!(ask(&api, &[CLIENT]).status, 200, "a right one counts from the beginning");
        wrong(5);
        for answer in [ask(&api, &[CLIENT]), ask(&api, &[CLIENT, WRONG]), refresh(&api, "x")] {
            assert_eq!(answer.status, 400);
            assert!(answer.json()["error_message"].as_str().unwrap().contains("locked"), "{}", answer.body);
        }
        // A request that is no attempt is no step to the lock.
        let api = start(None);
        (0..9).for_each(|_| assert_eq!(ask(&api, &[]).status, 400));
        assert_eq!(ask(&api, &[CLIENT]).status, 200);
    }

    #[test]
    fn faults_are_those_of_the_account() {
        assert_eq!(ask(&start(Some(Fault::WrongLogin)), &[CLIENT]).status, 500);
        let locked = ask(&start(Some(Fault::LockedAccount)), &[CLIENT]);
        assert_eq!(locked.status, 400);
        assert!(locked.body.contains("locked"), "{}", locked.body);
    }
}
