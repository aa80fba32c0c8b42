//! Google Cloud: <https://cloud.google.com/docs/authentication/get-id-token#metadata-server>.
//!
//! Every machine, pod, build step and service has a metadata server on its link, which gives ID tokens of the service account
//! to whoever can reach it: no secret is sent along. Jobs of many systems run on such machines, so it is only ever chosen, and
//! never looked for.

use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error, Stage};
use crate::http::url::Url;
use crate::http::{Peer, Request, Response};
use crate::identity::claims::{ExpectedIssuer, Finding};
use crate::retry::{Failure, Retry};
use crate::secret::Secret;
use crate::session::Session;
use crate::text::quote;

use super::facts::{Audience, Facts, Supply};
use super::request::Refusals;
use super::{Endpoint, Evidence, Fetched, Platform, Wanted};

/// The variables of Google's own libraries.
pub mod names {
    crate::env::variables! {
        /// Another host and port for Google's metadata server, on this machine or under one of its documented names.
        GCE_METADATA_HOST = "GCE_METADATA_HOST";
    }
}

/// Google Compute Engine, Kubernetes Engine, Cloud Build, Cloud Run.
pub(super) struct Google;

/// The documented names and addresses of the metadata server.
const HOSTS: &[&str] = &["metadata.google.internal", "metadata", "169.254.169.254", "[fd20:ce::254]"];

const HOST: &str = "metadata.google.internal";
const PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/identity";

/// The header that shows that a request was meant, and an answer that it is the server's.
const FLAVOR: (&str, &str) = ("Metadata-Flavor", "Google");

static FACTS: Facts = Facts {
    id: "google",
    name: "Google Cloud",
    variables: names::ALL,
    reserved: &["GCE_METADATA_"],
    format: "env-file",
    supply: Supply::Request,
    audience: Audience::Required,
    renews: true,
    ..Facts::NEUTRAL
};

const PEER: Peer = Peer {
    name: "Google's metadata server",
    stage: Stage::Identity,
    too_large: Code::IdTokenTooLarge,
    not_json: Code::IdTokenMalformed,
};

const REFUSALS: Refusals = Refusals {
    owner: "Google Cloud",
    says: "Google says",
    peer: PEER,
    is_early: |_, _| false,
    advice: |status| match status {
        403 => Some(
            "The metadata server refuses what a proxy has passed on. Look for what stands between this job and its machine's metadata server.",
        ),
        404 => Some(
            "Nothing gives this machine an identity: attach a service account to it. In Kubernetes Engine, switch on Workload Identity and annotate the pod's service account with iam.gke.io/gcp-service-account.",
        ),
        _ => None,
    },
};

impl Platform for Google {
    fn facts(&self) -> &'static Facts {
        &FACTS
    }

    fn here(&self, _: &Env) -> Evidence {
        Evidence { is_here: false, text: "chosen by the setting provider".to_owned() }
    }

    fn ready(&self, env: &Env, _: &Wanted) -> Result<(), Error> {
        url(env).map(drop)
    }

    fn fetch(&self, session: &Session, wanted: &Wanted, by: Deadline) -> Result<Fetched, Error> {
        let audience = wanted.chosen_audience(&FACTS)?;
        let url = url(&session.env)?;
        let asked =
            url.with_query_pair("audience", audience).and_then(|url| url.with_query_pair("format", "full"));
        let asked = asked.map_err(|why| {
            Error::new(Code::CfgValueInvalid, format!("the audience fits into no URL: {why}"))
        })?;
        session.retry("fetching the ID token", by, |attempt| {
            let request = Request::get_text(&asked, FLAVOR);
            let response = session.http.send(PEER, &request, attempt).map_err(nobody)?;
            let now = session.clock.unix_time();
            if response.status != 200 {
                return Err(explain(&response, &asked, now));
            }
            let token = read(&response, &asked)?;
            Ok(Fetched { token, skew: response.date.map(|date| date.saturating_sub(now)) })
        })
    }

    fn endpoint(&self, env: &Env) -> Result<Option<Endpoint>, Error> {
        let url = url(env)?;
        let origin = url.origin();
        let finding = url
            .is_loopback()
            .then(|| Finding::warning(format!("asking for the ID token on this machine: {origin}")));
        Ok(Some(Endpoint { origin, finding }))
    }

    fn expected_issuer(&self, _: &Env) -> Result<Option<ExpectedIssuer>, Error> {
        Ok(Some(ExpectedIssuer::Exactly("https://accounts.google.com".to_owned())))
    }
}

/// Returns the place to ask. An identity is taken from there, so a variable may lead to this machine or to another documented name
/// of the same server, and nowhere else.
fn url(env: &Env) -> Result<Url, Error> {
    let named = env.text(names::GCE_METADATA_HOST)?;
    let host = named.as_deref().unwrap_or(HOST);
    let url = Url::parse_on_link(&format!("http://{host}"), HOSTS);
    let url = url.ok().filter(Url::is_origin).and_then(|url| url.at(PATH).ok());
    url.ok_or_else(|| {
        let message = format!(
            "{} holds {}, which is neither this machine nor a name of Google's metadata server",
            names::GCE_METADATA_HOST,
            quote(host)
        );
        Error::new(Code::EndpointUntrusted, message).with_stage(Stage::Identity).with_cure(
            "Unset it: the server's own name is known. It may name a loopback address with a port.",
        )
    })
}

/// Makes a permanent failure of a name that does not exist: it does on every machine of Google Cloud.
fn nobody(failure: Failure) -> Failure {
    if failure.error.code() != Code::NetDns || failure.retry != Retry::Once {
        return failure;
    }
    let message = format!("there is no metadata server of Google Cloud: {}", failure.error.message());
    let error = Error::new(Code::IdTokenNotOffered, message).with_stage(Stage::Identity);
    Failure::permanent(error.with_cure(
        "Run this on Google Cloud. A container has to use the name servers and the network of its machine, and a network policy may not keep the pod from 169.254.169.254.",
    ))
}

/// Explains a status other than 200. The reason is a text for people, unless a page has taken its place.
pub(super) fn explain(response: &Response, url: &Url, now: i64) -> Failure {
    let failure = REFUSALS.explain(response, url, now);
    let is_page = response.media_type().is_none_or(|media| media.eq_ignore_ascii_case("text/html"));
    match std::str::from_utf8(&response.body).map(str::trim) {
        Ok(text) if !is_page && !text.is_empty() && !text.starts_with('{') => {
            Failure { error: failure.error.with_detail(REFUSALS.says, quote(text)), ..failure }
        }
        _ => failure,
    }
}

/// Reads the token, which is the whole answer.
pub(super) fn read(response: &Response, url: &Url) -> Result<Secret, Error> {
    if !response.returns_header {
        let (name, value) = FLAVOR;
        let message = format!(
            "what answers at {} is not Google's metadata server: its answer lacks {name}: {value}",
            url.origin()
        );
        return Err(Error::new(Code::EndpointUntrusted, message).with_stage(Stage::Identity).with_cure(
            "Look for a proxy, a captive portal or a name server that leads the metadata server's name elsewhere.",
        ));
    }
    let text = std::str::from_utf8(&response.body).map_err(|_| {
        let message = format!("{} answered with bytes that are no text", PEER.name);
        Error::new(Code::IdTokenMalformed, message).with_stage(Stage::Identity).with_http_status(200)
    })?;
    Ok(Secret::new(text.trim_ascii_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_this_machine_and_the_documented_names_are_asked() {
        let asked = |host: &str| url(&Env::fixed([("GCE_METADATA_HOST", host)]));
        for host in [
            "",
            "metadata.google.internal",
            "metadata.google.internal:80",
            "169.254.169.254",
            "127.0.0.1:8080",
            "localhost:1",
        ] {
            assert!(asked(host).is_ok(), "{host}");
        }
        for host in [
            "metadata.google.internal.evil.example",
            "evil.example",
            "10.0.0.1",
            "127.0.0.1/x",
            "127.0.0.1?",
            "user@127.0.0.1",
            "http://127.0.0.1",
            "127.0.0.1#",
            "a b",
        ] {
            let error = asked(host).unwrap_err();
            assert_eq!(error.code(), Code::EndpointUntrusted, "{host}");
        }
        assert_eq!(asked("").unwrap().origin(), "http://metadata.google.internal");
    }

    #[test]
    fn a_name_that_does_not_exist_is_no_hiccup() {
        let unknown = || Error::new(Code::NetDns, "the name metadata.google.internal does not exist");
        let failure = nobody(Failure::new(unknown(), Retry::Once));
        assert_eq!((failure.error.code(), failure.retry), (Code::IdTokenNotOffered, Retry::Never));
        let failure = nobody(Failure::transient(unknown(), None));
        assert_eq!(failure.error.code(), Code::NetDns);
    }
}
