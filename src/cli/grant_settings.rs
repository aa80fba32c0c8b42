//! The meaning of the grants' settings: which grant, where it asks, and with which secrets.

#[cfg(not(feature = "classic-grants"))]
use std::path::PathBuf;
#[cfg(feature = "classic-grants")]
use std::sync::Arc;

use serde_json::json;

use crate::cli::resolve::{Resolved, Resolver, Source};
use crate::cli::row::{Row, Setting};
use crate::cli::table::{
    GRANT, MIN_TTL, PROJECT_ID, PROVIDER, ROWS, SCOPE, STS_API, STS_ENDPOINT, SUBJECT_TOKEN_ENV,
    SUBJECT_TOKEN_FILE,
};
use crate::error::{Code, Error};
use crate::grant::enclosing_run::{self, Parent};
use crate::grant::settings::GrantSettings;
use crate::grant::sts::{Api, Sts};
use crate::grant::{self, GRANTS, scope, token_exchange};
use crate::http::url::{Refusal, Url};
use crate::identity::claims::Validation;
use crate::text::quote;

/// A server whose base URL is a setting, with words for messages.
pub(super) struct Server {
    pub(super) setting: &'static Setting<String>,
    pub(super) name: &'static str,
    pub(super) path_comes_from: &'static str,
}

/// The STS.
const STS: Server = Server { setting: &STS_ENDPOINT, name: "the STS", path_comes_from: "--sts-api" };

impl Resolver<'_> {
    /// The settings of the grant.
    pub fn grant(&mut self) -> Result<GrantSettings, Error> {
        let mut settings = self.grant_with_any_scope()?;
        // The run around this one knows which scopes it hands out tokens for.
        if let Some(scope) = settings.scope.as_ref().filter(|_| settings.parent.is_none()) {
            let about_scope = scope::check(scope)?;
            settings.warnings.splice(0..0, about_scope);
        }
        Ok(settings)
    }

    /// [`Resolver::grant`] with the scope as it was given, for a command that checks it by itself.
    pub fn grant_with_any_scope(&mut self) -> Result<GrantSettings, Error> {
        if let Some(parent) = self.parent()? {
            return self.inside(parent);
        }
        let chosen = self.get(&GRANT)?;
        let grant = chosen.value.unwrap_or(&token_exchange::FACTS);
        self.check_flags(grant)?;
        let mut warnings = Vec::new();
        let mut local_issuers_only = None;
        // A variable that another run uses is left aside.
        let scope = if grant.takes_scope() { self.get(&SCOPE)?.value } else { None };
        let sts = if grant.asks_sts() {
            let endpoint;
            (endpoint, local_issuers_only) = self.sts_endpoint(&mut warnings)?;
            Sts { endpoint, api: self.get(&STS_API)?.value }
        } else {
            Sts::standard()?
        };
        #[cfg(feature = "classic-grants")]
        let account = self.account(grant, &mut warnings)?;
        #[cfg(feature = "classic-grants")]
        let findings =
            if grant.asks_api() { self.planted(grant, chosen.source, &sts, &account)? } else { Vec::new() };
        #[cfg(not(feature = "classic-grants"))]
        let findings = Vec::new();
        Ok(GrantSettings {
            grant,
            scope,
            sts,
            local_issuers_only,
            min_ttl: self.get(&MIN_TTL)?.value,
            project_id: self.project_id()?,
            refresh_token_output: if grant.rotates() { self.refresh_token_output()? } else { None },
            #[cfg(feature = "classic-grants")]
            account: Arc::new(account),
            parent: None,
            warnings,
            findings,
        })
    }

    /// The run of `exec --renew` around this process, unless flags lead elsewhere. Variables do not: they were set for the run
    /// around.
    fn parent(&self) -> Result<Option<Parent>, Error> {
        const ELSEWHERE: [&Row; 5] =
            [&GRANT.row, &STS_ENDPOINT.row, &PROVIDER.row, &SUBJECT_TOKEN_ENV.row, &SUBJECT_TOKEN_FILE.row];
        let leads = |row: &&Row| self.command().is_some_and(|command| row.on.contains(&command));
        if ELSEWHERE.into_iter().filter(leads).any(|row| self.is_asked_for(row)) {
            return Ok(None);
        }
        enclosing_run::find(self.env())
    }

    /// The settings of a run inside of another one. Where the token comes from, and as whom, is that one's matter.
    fn inside(&mut self, parent: Parent) -> Result<GrantSettings, Error> {
        // What is left of a token's life was long enough for whoever issued it.
        let min_ttl = if self.is_asked_for(&MIN_TTL.row) { self.get(&MIN_TTL)?.value } else { 0 };
        let sts = Sts { endpoint: parent.endpoint.clone(), api: Api::default() };
        Ok(GrantSettings {
            grant: &enclosing_run::FACTS,
            scope: self.get(&SCOPE)?.value,
            sts,
            local_issuers_only: None,
            min_ttl,
            project_id: None,
            refresh_token_output: None,
            #[cfg(feature = "classic-grants")]
            account: Arc::new(crate::grant::api::Account::empty()?),
            parent: Some(parent),
            warnings: Vec::new(),
            findings: Vec::new(),
        })
    }

    /// The STS's base URL, and the variable that named one on this machine without TLS.
    pub fn sts_endpoint(&mut self, warnings: &mut Vec<String>) -> Result<(Url, Option<&'static str>), Error> {
        let endpoint = self.base_url(&STS)?;
        let local_issuers_only = self.check_plain_http(&endpoint)?;
        if endpoint.value.is_loopback() {
            warnings.push(format!("the STS is on this machine: {}", endpoint.value.origin()));
        }
        Ok((endpoint.value, local_issuers_only))
    }

    /// Tells whether a stored secret comes from standard input. Without the grants that take one there is none.
    #[cfg(not(feature = "classic-grants"))]
    #[expect(clippy::unused_self, reason = "its twin looks")]
    pub fn reads_secret_from_stdin(&mut self) -> bool {
        false
    }

    /// The place for a new refresh token. Without the grants that get one there is none.
    #[cfg(not(feature = "classic-grants"))]
    #[expect(clippy::unnecessary_wraps, clippy::unused_self, reason = "its twin can fail")]
    fn refresh_token_output(&mut self) -> Result<Option<PathBuf>, Error> {
        Ok(None)
    }

    /// The project whose access policies are meant.
    pub fn project_id(&mut self) -> Result<Option<String>, Error> {
        Ok(self.get(&PROJECT_ID)?.value)
    }

    /// Refuses a flag that the grant has no use for: whoever gives it expects something of it.
    fn check_flags(&self, grant: &grant::Facts) -> Result<(), Error> {
        let others = GRANTS.iter().flat_map(|other| other.flags).filter(|flag| !grant.flags.contains(flag));
        for flag in others {
            let asked = ROWS.iter().any(|row| row.flag == *flag && self.is_asked_for(row));
            if asked {
                let what = if *flag == "--scope" { "has no scope" } else { "does not use it" };
                let message = format!("{flag} is set, but the grant {} {what}", grant.name);
                let takers: Vec<_> = GRANTS
                    .iter()
                    .filter(|other| other.flags.contains(flag))
                    .map(|other| format!("--grant {}", other.name))
                    .collect();
                return Err(Error::new(Code::CfgGrantMismatch, message)
                    .with_cure(format!("Leave {flag} out, or use {}.", takers.join(" or "))));
            }
        }
        Ok(())
    }

    /// Names the variable that leads to an STS on this machine without TLS, where anybody may listen.
    fn check_plain_http(&mut self, endpoint: &Resolved<Url>) -> Result<Option<&'static str>, Error> {
        let Source::Variable(name) = endpoint.source else { return Ok(None) };
        if endpoint.value.is_https() {
            return Ok(None);
        }
        if self.validation()? == Validation::Off {
            let origin = endpoint.value.origin();
            return Err(Error::new(
                Code::EndpointUntrusted,
                format!(
                    "{name} names {origin}, where anybody may listen, and nothing is checked with --validation off"
                ),
            )
            .with_cure(format!("If this host is right, pass --sts-endpoint {origin}.")));
        }
        Ok(Some(name))
    }

    /// A server's base URL. A variable can be planted by an earlier step, and a query by somebody's module, so these are
    /// trusted for Equinix's own hosts only, and a variable also for this machine.
    pub(super) fn base_url(&mut self, server: &Server) -> Result<Resolved<Url>, Error> {
        let Server { setting, name, path_comes_from } = server;
        let flag = setting.row.flag;
        let given = self.get(setting)?;
        if given.value.contains('@') {
            // The report is no place for a password either.
            self.remember(&setting.row, json!(shown_url(&given.value)), given.source);
        }
        let from = given.source.name();
        let url = Url::parse(&given.value).map_err(|why| {
            let code = if why == Refusal::NotHttps { Code::InsecureUrl } else { Code::CfgEndpointInvalid };
            Error::new(code, format!("{from} is not a URL for {name}: {why}"))
                .with_detail("found", shown_url(&given.value))
        })?;
        if !url.is_origin() {
            return Err(Error::new(Code::CfgEndpointInvalid, format!("{from} has something after the host"))
                .with_detail("expected", url.origin())
                .with_detail("found", shown_url(&given.value))
                .with_cure(format!("Give the base URL only; the path follows from {path_comes_from}.")));
        }
        let is_planted = matches!(given.source, Source::Variable(_) | Source::Request(_));
        let untrusted = |why: String| {
            Error::new(Code::EndpointUntrusted, format!("{from} names {}, {why}", url.origin()))
                .with_cure(format!("If this host is right, pass {flag} {}.", url.origin()))
        };
        if matches!(given.source, Source::Request(_)) && url.is_loopback() {
            return Err(untrusted("which is on this machine".to_owned()));
        }
        if is_planted && !url.is_loopback() && !url.is_under("equinix.com") {
            return Err(untrusted("which is not a host under equinix.com".to_owned()));
        }
        Ok(Resolved { value: url, source: given.source })
    }
}

/// A URL in a message, unless it holds a user name and password.
fn shown_url(text: &str) -> String {
    if text.contains('@') { "(not shown, since it holds a user name)".to_owned() } else { quote(text) }
}
