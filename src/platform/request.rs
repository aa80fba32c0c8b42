//! Endpoints that make ID tokens on request. The runner gives their URL and a bearer token to the job, in two variables.

use serde_json::Value;

use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error, Stage};
use crate::http::url::Url;
use crate::http::{Peer, Request, Response};
use crate::identity::claims::Finding;
use crate::json::{self, SecretObject};
use crate::retry::Failure;
use crate::secret::Secret;
use crate::session::Session;
use crate::text::quote;

use super::{Endpoint, Fetched};

/// An endpoint for ID tokens, as far as it can be described without code.
pub struct RequestEndpoint {
    /// The system that answers there, for messages.
    pub owner: &'static str,
    /// The label of what it says in a refusal.
    pub says: &'static str,
    /// The other side of a request.
    pub peer: Peer,
    /// The variable that holds the URL.
    pub url: &'static str,
    /// The variable that holds the bearer token.
    pub bearer: &'static str,
    /// Says why neither variable is there.
    pub missing: fn(&Env) -> Error,
    /// The code when only one of the two variables is usable.
    pub incomplete: Code,
    /// The advice then, if there is more to say than the error table has.
    pub advice_on_incomplete: Option<&'static str>,
    /// The domain of the system's own endpoints, if they have one.
    pub domain: Option<&'static str>,
    /// The variable that holds the address of the instance: the endpoint may be on its host.
    pub server: &'static str,
    /// Makes the request, without the bearer token.
    pub request: for<'r> fn(&'r Url) -> Request<'r>,
    /// The names of the pairs that are added to the URL's query, each also with its article. It may not have them already.
    pub pairs: &'static [(&'static str, &'static str)],
    /// Advice on a variable that holds no URL that may be asked.
    pub advice_on_url: &'static str,
    /// The members of an answer that may hold the token. The first that is there counts.
    pub members: &'static [&'static str],
    /// Tells of a refusal's status and message whether the server does not see the job as running yet.
    pub is_early: fn(u16, &str) -> bool,
    /// Advice on a refusal's status, if there is more to say than the error table has.
    pub advice: fn(u16) -> Option<&'static str>,
}

/// A plain GET.
pub(super) fn get(url: &Url) -> Request<'_> {
    Request::get(url)
}

/// The words for the refusals of an endpoint.
pub(super) struct Refusals {
    /// The system that answers there, for messages.
    pub(super) owner: &'static str,
    /// The label of what it says in a refusal.
    pub(super) says: &'static str,
    /// The other side of a request.
    pub(super) peer: Peer,
    /// Tells of a refusal's status and message whether the server does not see the job as running yet.
    pub(super) is_early: fn(u16, &str) -> bool,
    /// Advice on a refusal's status, if there is more to say than the error table has.
    pub(super) advice: fn(u16) -> Option<&'static str>,
}

impl RequestEndpoint {
    /// Reads the two variables with which to ask, or says why they are not there.
    pub fn variables(&self, env: &Env) -> Result<(String, Secret), Error> {
        let url = env.text(self.url)?;
        let bearer = env.text(self.bearer)?.map(Secret::new);
        let (url, bearer) = match (url, bearer) {
            (Some(url), Some(bearer)) => (url, bearer),
            (None, None) => return Err((self.missing)(env)),
            (url, _) => {
                let (there, missing) =
                    if url.is_some() { (self.url, self.bearer) } else { (self.bearer, self.url) };
                return Err(self.unusable(format!("{there} is set, but {missing} is not")));
            }
        };
        if !bearer.reveal().bytes().all(|b| b.is_ascii_graphic()) {
            return Err(self.unusable(format!("{} holds a character that no bearer token has", self.bearer)));
        }
        Ok((url, bearer))
    }

    fn unusable(&self, message: String) -> Error {
        let error = Error::new(self.incomplete, message);
        match self.advice_on_incomplete {
            Some(advice) => error.with_cure(advice),
            None => error,
        }
    }

    /// Returns the place where the token is asked for.
    pub fn endpoint(&self, env: &Env) -> Result<Option<Endpoint>, Error> {
        let (text, _) = self.variables(env)?;
        let url = self.parse(&text)?;
        Ok(Some(Endpoint { origin: url.origin(), finding: self.finding(&url, env)? }))
    }

    /// Asks for a token, with these pairs in the query, and tries again while that makes sense.
    pub fn fetch(&self, session: &Session, pairs: &[(&str, &str)], by: Deadline) -> Result<Fetched, Error> {
        let (text, bearer) = self.variables(&session.env)?;
        session.console.guard(&bearer);
        let mut url = self.parse(&text)?;
        for (name, value) in pairs {
            url = url.with_query_pair(name, value).map_err(|why| self.unsafe_url(&why.to_string()))?;
        }
        session.retry("fetching the ID token", by, |attempt| {
            let request = (self.request)(&url).with_bearer(&bearer);
            let response = session.http.send(self.peer, &request, attempt)?;
            let now = session.clock.unix_time();
            if response.status != 200 {
                let echoed = response.echoes(&bearer);
                return Err(self.refusals().explain(&response, &url, now).with_echo(echoed));
            }
            let token = self.read(&response)?;
            Ok(Fetched { token, skew: response.date.map(|date| date.saturating_sub(now)) })
        })
    }

    fn parse(&self, text: &str) -> Result<Url, Error> {
        let url = Url::parse(text).map_err(|why| self.unsafe_url(&why.to_string()))?;
        match self.pairs.iter().find(|(name, _)| url.has_query_pair(name)) {
            Some((_, named)) => Err(self.unsafe_url(&format!("it names {named} already"))),
            None => Ok(url),
        }
    }

    /// Returns what is unusual about the URL to ask.
    fn finding(&self, url: &Url, env: &Env) -> Result<Option<Finding>, Error> {
        let server = env.text(self.server)?.and_then(|text| Url::parse(&text).ok());
        let is_known = self.domain.is_some_and(|domain| url.is_under(domain))
            || server.is_some_and(|server| url.is_under(server.host()));
        let origin = url.origin();
        if is_known {
            return Ok(url
                .is_loopback()
                .then(|| Finding::warning(format!("asking for the ID token on this machine: {origin}"))));
        }
        // A hard list would break enterprise servers, and buys little: the runner sets the variable anew for each step.
        let (name, server) = (self.url, self.server);
        let own = match self.domain {
            Some(_) => format!("neither {}'s host nor the one of {server}", self.owner),
            None => format!("not the host of {server}"),
        };
        let text = format!("{name} leads to {origin}, which is {own}");
        Ok(Some(Finding::strict(Code::EndpointUntrusted, text)))
    }

    fn unsafe_url(&self, why: &str) -> Error {
        let name = self.url;
        let message = format!("{name} is not a URL that the request token may be sent to: {why}");
        Error::new(Code::InsecureUrl, message).with_stage(Stage::Identity).with_cure(self.advice_on_url)
    }

    pub(super) fn read(&self, response: &Response) -> Result<Secret, Error> {
        let name = self.peer.name;
        let mut members = SecretObject::parse(&response.body).map_err(|why| {
            let kind = response.media_type().map_or_else(|| "no media type".to_owned(), quote);
            let message = format!("{name} answered with {} bytes of {kind}: {why}", response.body.len());
            Error::new(Code::IdTokenNotJson, message).with_http_status(200)
        })?;
        if let Some(token) = self.members.iter().find_map(|member| members.take_secret(member)) {
            return Ok(token);
        }
        let found = self
            .members
            .iter()
            .map(|member| format!("its {member} is {}", members.get(*member).map_or("missing", json::kind)));
        let found = found.collect::<Vec<_>>().join(", ");
        let message = format!("{name} answered without a token: {found}");
        Err(Error::new(Code::IdTokenMalformed, message).with_stage(Stage::Identity).with_http_status(200))
    }

    pub(super) fn refusals(&self) -> Refusals {
        let Self { owner, says, peer, is_early, advice, .. } = *self;
        Refusals { owner, says, peer, is_early, advice }
    }
}

impl Refusals {
    /// Explains a status other than 200.
    pub(super) fn explain(&self, response: &Response, url: &Url, now: i64) -> Failure {
        let (status, name) = (response.status, self.peer.name);
        let said = json::parse_object(&response.body)
            .ok()
            .and_then(|members| members.get("message").and_then(Value::as_str).map(ToOwned::to_owned));
        let finish = |error: Error| {
            let error = error.with_stage(Stage::Identity).with_http_status(status);
            match &said {
                Some(message) => error.with_detail(self.says, quote(message)),
                None => error,
            }
        };
        if said.as_deref().is_some_and(|text| (self.is_early)(status, text)) {
            let message = format!("{} does not see this job as running yet ({status})", self.owner);
            return Failure::transient(finish(Error::new(Code::IdTokenNotReady, message)), None);
        }
        if let Some(code) = response.transient_code() {
            let what = if code == Code::RateLimited { "asks to slow down" } else { "failed" };
            let error = finish(Error::new(code, format!("{name} {what} ({status})")));
            return Failure::transient(error, response.retry_after(now));
        }
        if (300..400).contains(&status) {
            let to = response.redirect_target();
            let message =
                format!("{name} answered with a redirect ({status}) to {to}, which was not followed");
            return Failure::permanent(finish(Error::new(Code::IdTokenRedirect, message)));
        }
        let message = format!("{name} at {} refused the request ({status})", url.origin());
        let error = finish(Error::new(Code::IdTokenHttp, message));
        Failure::permanent(match (self.advice)(status) {
            Some(advice) => error.with_cure(advice),
            None => error,
        })
    }
}
