//! The classic API as a service that passes requests on sees it: the same way there, the same limits and the same words as for
//! every other request of this program.

use std::sync::Arc;

use crate::cli::settings::NetworkSettings;
use crate::clock::Clock;
use crate::command::choice::session;
use crate::deadline::Deadline;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::grant::api;
use crate::http::url::Url;
use crate::http::{Client, Fault, Hop, Response, Route};
use crate::report::console::Console;
use crate::retry::Attempt;

/// The server that requests are passed on to.
#[derive(Clone)]
pub struct Upstream {
    client: Arc<Client>,
    url: Url,
}

impl Upstream {
    /// Makes it of its base URL.
    pub fn new(
        url: Url,
        network: NetworkSettings,
        env: &Arc<Env>,
        clock: &Arc<dyn Clock>,
        console: &Arc<Console>,
    ) -> Self {
        if url.is_loopback() {
            console.warn(&format!("the Equinix API is on this machine: {}", url.origin()));
        }
        Self { client: session(network, env, clock, console).http, url }
    }

    /// The base URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// The way there: the server, and the proxy in between with its authorization.
    pub fn route(&self) -> Result<Route, Fault> {
        self.client.route(&self.url)
    }

    /// Looks the name up and connects. Blocks.
    pub fn dial(hop: &Hop, by: Deadline) -> Result<std::net::TcpStream, Fault> {
        hop.dial(by, Attempt::only(by).connect_timeout(), &mut None)
    }

    /// Names a fault in the user's words.
    pub fn explain(&self, fault: &Fault, by: Deadline) -> Error {
        self.client.explain(fault, api::PEER, &self.url, Attempt::only(by)).error
    }

    /// Tells whether an answer says that a login failed: five of them in a row lock the account.
    pub fn refuses_login(status: u16, content_type: Option<&str>, body: &[u8]) -> bool {
        api::refuses_login(&Response::fixed(status, content_type.unwrap_or_default(), body, false))
    }

    /// The error for an answer of this status that cannot be passed on: it is no answer of the API.
    pub fn not_passed_on(status: u16, why: &str) -> Error {
        Error::new(Code::ApiNotJson, format!("the Equinix API answered {status} {why}"))
            .with_http_status(status)
    }
}
