//! The meaning of the grants' settings: which grant, where it asks, and with which secrets.

#[cfg(feature = "classic-grants")]
use std::path::Path;
use std::path::PathBuf;
#[cfg(feature = "classic-grants")]
use std::sync::Arc;

use serde_json::json;

use crate::cli::resolve::{Resolved, Resolver, Source};
#[cfg(feature = "classic-grants")]
use crate::cli::row::PathSetting;
use crate::cli::row::Setting;
#[cfg(feature = "classic-grants")]
use crate::cli::table::{
    API_ENDPOINT, CA_FILE, CLIENT_SECRET_FILE, EXCHANGE, FORCE, NO_PROXY, PASSWORD_ENCODING, PASSWORD_FILE,
    REFRESH_TOKEN_FILE, REFRESH_TOKEN_OUTPUT, USER_NAME,
};
use crate::cli::table::{GRANT, MIN_TTL, PROJECT_ID, ROWS, SCOPE, STS_API, STS_ENDPOINT};
use crate::error::{Code, Error};
use crate::grant::settings::GrantSettings;
use crate::grant::sts::Sts;
use crate::grant::{self, GRANTS, scope, token_exchange};
use crate::http::url::{Refusal, Url};
use crate::identity::claims::Validation;
use crate::text::quote;
#[cfg(feature = "classic-grants")]
use crate::{
    cli::commands::Command,
    deadline::Deadline,
    env::names,
    grant::api::{Account, Client, LONGEST, Origin, SecretText},
    http::proxy::ProxySettings,
    identity::claims::Finding,
    input, platform,
    secret::Secret,
    text::is_reference,
};

/// A server whose base URL is a setting, with words for messages.
struct Server {
    setting: &'static Setting<String>,
    name: &'static str,
    path_comes_from: &'static str,
}

/// The STS.
const STS: Server = Server { setting: &STS_ENDPOINT, name: "the STS", path_comes_from: "--sts-api" };

/// The classic API.
#[cfg(feature = "classic-grants")]
const API: Server = Server { setting: &API_ENDPOINT, name: "the Equinix API", path_comes_from: "the grant" };

impl Resolver<'_> {
    /// The settings of the grant.
    pub fn grant(&mut self) -> Result<GrantSettings, Error> {
        let mut settings = self.grant_with_any_scope()?;
        if let Some(scope) = &settings.scope {
            let about_scope = scope::check(scope)?;
            settings.warnings.splice(0..0, about_scope);
        }
        Ok(settings)
    }

    /// [`Resolver::grant`] with the scope as it was given, for a command that checks it by itself.
    pub fn grant_with_any_scope(&mut self) -> Result<GrantSettings, Error> {
        let chosen = self.get(&GRANT)?;
        let grant = chosen.value.unwrap_or(&token_exchange::FACTS);
        self.check_flags(grant)?;
        let mut warnings = Vec::new();
        let mut findings = Vec::new();
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
        if grant.asks_api() {
            findings = self.planted(grant, chosen.source, &sts, &account)?;
        }
        // Without the classic grants there is nothing to find.
        findings.shrink_to_fit();
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
            warnings,
            findings,
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

    /// Tells whether a stored secret comes from standard input.
    #[cfg_attr(not(feature = "classic-grants"), expect(clippy::unused_self, reason = "no secret"))]
    pub fn reads_secret_from_stdin(&mut self) -> bool {
        #[cfg(feature = "classic-grants")]
        return [&CLIENT_SECRET_FILE, &REFRESH_TOKEN_FILE, &PASSWORD_FILE]
            .into_iter()
            .any(|setting| self.path(setting).is_some_and(|path| is_stdin(&path.value)));
        #[cfg(not(feature = "classic-grants"))]
        false
    }

    /// The place for a new refresh token.
    #[cfg(feature = "classic-grants")]
    fn refresh_token_output(&mut self) -> Result<Option<PathBuf>, Error> {
        let source = self.path(&REFRESH_TOKEN_FILE).map(|path| path.value);
        if self.command() == Some(Command::Doctor) {
            let exchanges = self.get(&EXCHANGE)?.value;
            if exchanges && source.as_deref().is_some_and(is_stdin) {
                let message = "the refresh token comes from standard input, so an attempt would use it up and leave no new one";
                return Err(Error::new(Code::CfgValueInvalid, message)
                    .with_cure("Leave out --exchange, or name the file with --refresh-token-file PATH, which gets the new one."));
            }
            return Ok(source.filter(|path| !is_stdin(path)));
        }
        let named = self.path(&REFRESH_TOKEN_OUTPUT).map(|path| path.value);
        match (named, source) {
            (Some(named), _) if is_stdin(&named) => {
                let message =
                    "--refresh-token-output cannot be standard output, which is for the access token";
                Err(Error::new(Code::CfgValueInvalid, message).with_cure("Name a file."))
            }
            (None, Some(source)) if is_stdin(&source) => {
                let message =
                    "the refresh token comes from standard input, so there is no place for a new one";
                Err(Error::new(Code::CfgValueInvalid, message)
                    .with_cure("Name a file for it with --refresh-token-output PATH."))
            }
            (named, source) => Ok(named.or(source)),
        }
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
    fn base_url(&mut self, server: &Server) -> Result<Resolved<Url>, Error> {
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

#[cfg(feature = "classic-grants")]
impl Resolver<'_> {
    /// The classic API, and what is sent there.
    fn account(&mut self, grant: &grant::Facts, warnings: &mut Vec<String>) -> Result<Account, Error> {
        if !grant.asks_api() {
            return Account::empty();
        }
        let endpoint = self.base_url(&API)?;
        if endpoint.value.is_loopback() {
            let origin = endpoint.value.origin();
            self.check_loopback(&endpoint, "--api-endpoint")?;
            warnings.push(format!("the Equinix API is on this machine: {origin}"));
        }
        self.check_stdin()?;
        self.check_places()?;
        let by = Deadline::within(self.timeout()?);
        let id = self.in_variables(names::CLIENT_ID, names::CLI_CLIENT_ID)?;
        let secret = match self.secret_file(&CLIENT_SECRET_FILE, by)? {
            Some(secret) => Some(secret),
            None => self.in_variables(names::CLIENT_SECRET, names::CLI_CLIENT_SECRET)?,
        };
        let takes = |flag| grant.flags.contains(&flag);
        let caller = if grant.asks_sts() { self.in_variable(names::API_TOKEN)? } else { None };
        if caller.as_ref().is_some_and(|caller| caller.reveal().contains(' ')) {
            let message = format!("{} holds a blank, which no token has", names::API_TOKEN);
            return Err(Error::new(Code::CfgSecretInvalid, message)
                .with_cure("Set the token alone, without what stands before it in a header."));
        }
        let refresh_token = self.secret_file(&REFRESH_TOKEN_FILE, by)?;
        Ok(Account {
            endpoint: endpoint.value,
            half: match (&id, &secret) {
                (Some(_), Some(_)) => None,
                _ if self.unexpanded().is_some() => self.unexpanded(),
                (Some(_), None) => Some("the client id is set, but the client secret is not".to_owned()),
                (None, Some(_)) => Some("the client secret is set, but the client id is not".to_owned()),
                (None, None) => None,
            },
            client: id.zip(secret).map(|(id, secret)| Client { id, secret }),
            caller,
            refresh_token,
            user_name: if takes("--user-name") { self.get(&USER_NAME)?.value } else { None },
            password: self.secret_file(&PASSWORD_FILE, by)?,
            encoding: if takes("--password-encoding") { self.get(&PASSWORD_ENCODING)?.value } else { None },
            force: self.get(&FORCE)?.value,
        })
    }

    /// Refuses a loopback address that no flag names. What lives long goes there only when a flag says so: on a platform, an earlier step may have set a variable
    /// and be listening.
    fn check_loopback(&self, endpoint: &Resolved<Url>, flag: &str) -> Result<(), Error> {
        let Source::Variable(name) = endpoint.source else { return Ok(()) };
        if platform::detected(self.env()).is_empty() {
            return Ok(());
        }
        let origin = endpoint.value.origin();
        let message =
            format!("{name} names {origin}, and a client secret goes to this machine only by a flag");
        Err(Error::new(Code::EndpointUntrusted, message)
            .with_cure(format!("If this host is right, pass {flag} {origin}.")))
    }

    /// Finds what an earlier step may have set to collect a client secret.
    fn planted(
        &mut self,
        grant: &grant::Facts,
        chosen: Source,
        sts: &Sts,
        account: &Account,
    ) -> Result<Vec<Finding>, Error> {
        if platform::detected(self.env()).is_empty() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        if let Source::Variable(name) = chosen {
            found.push(format!("{name} chooses the grant {}, which sends a client secret", grant.name));
        }
        if let Some(Resolved { source: Source::Variable(name), .. }) = self.path(&CA_FILE) {
            found.push(format!("{name} adds authorities that could read the client secret"));
        }
        if !self.get(&NO_PROXY)?.value {
            let proxies = ProxySettings::from_env(self.env())?;
            let asked = [Some(&account.endpoint), grant.asks_sts().then_some(&sts.endpoint)];
            let proxy = asked.into_iter().flatten().find_map(|url| proxies.for_url(url));
            if let Some(proxy) = proxy {
                found.push(format!(
                    "{} names a proxy for the client secret's way (--no-proxy leaves it aside)",
                    proxy.variable
                ));
            }
        }
        let judged = found.into_iter().map(|text| {
            Finding::strict(Code::EndpointUntrusted, format!("{text}; an earlier step may have set it"))
        });
        if grant.asks_sts() && sts.endpoint.is_loopback() {
            let source = self.get(&STS_ENDPOINT)?.source;
            self.check_loopback(&Resolved { value: sts.endpoint.clone(), source }, "--sts-endpoint")?;
        }
        Ok(judged.collect())
    }

    /// Refuses two secrets from one standard input.
    fn check_stdin(&mut self) -> Result<(), Error> {
        let files: [&PathSetting; 3] = [&CLIENT_SECRET_FILE, &REFRESH_TOKEN_FILE, &PASSWORD_FILE];
        let mut from_stdin = Vec::new();
        for setting in files {
            if self.path(setting).is_some_and(|path| is_stdin(&path.value)) {
                from_stdin.push(setting.row.flag);
            }
        }
        if from_stdin.len() < 2 {
            return Ok(());
        }
        let message = format!("{} cannot all be read from standard input", from_stdin.join(" and "));
        Err(Error::new(Code::CfgValueInvalid, message).with_cure("Put all but one of them into files."))
    }

    /// The secret in the file that a flag names.
    fn secret_file(&mut self, setting: &PathSetting, by: Deadline) -> Result<Option<Secret>, Error> {
        let Some(path) = self.path(setting) else { return Ok(None) };
        let flag = setting.row.flag;
        let limit = LONGEST + 2;
        let read = if is_stdin(&path.value) {
            input::read(limit, by, || Ok(std::io::stdin()))
        } else {
            input::read_file(&path.value, input::Kind::Any, limit, by)
        };
        let bytes = read.map_err(|error| {
            let path = &path.value;
            // Somebody who gives the secret itself instead of a path must not read it in the log.
            let is_bare = path.parent().is_none_or(|parent| parent.as_os_str().is_empty());
            let shown = if is_bare && !path.exists() {
                "(not shown: it may be the secret itself)".to_owned()
            } else {
                quote(&path.to_string_lossy())
            };
            Error::new(Code::CfgSecretFile, format!("{flag} {shown} cannot be read: {}", error.message()))
        })?;
        SecretText::read(&bytes, &Origin::File(flag)).map(Some)
    }

    /// A sentence about a variable that holds the name of another one. Where that one is not set, some platforms leave the name: a
    /// protected variable is missing in the jobs of other branches.
    fn unexpanded(&self) -> Option<String> {
        let value =
            |name: &str| self.env().text(name).ok().flatten().filter(|text| is_reference(text.trim()));
        names::CLIENT_SECRETS.into_iter().find_map(|name| {
            let value = value(name)?;
            Some(format!("{name} holds the unexpanded text {} instead of a value", quote(value.trim())))
        })
    }

    /// The secret in a variable. One that is only named there is none.
    fn in_variable(&self, name: &'static str) -> Result<Option<Secret>, Error> {
        let value =
            self.env().text(name)?.map(Secret::new).filter(|value| !is_reference(value.reveal().trim()));
        value.map(|value| SecretText::read(value.reveal().as_bytes(), &Origin::Variable(name))).transpose()
    }

    /// The secret in one of two variables with the same meaning.
    fn in_variables(&self, name: &'static str, other: &'static str) -> Result<Option<Secret>, Error> {
        match (self.in_variable(name)?, self.in_variable(other)?) {
            (Some(one), Some(two)) if one.reveal() != two.reveal() => {
                let message = format!("{name} and {other} are both set, to different values");
                Err(Error::new(Code::CfgCredentialsConflict, message))
            }
            (one, two) => Ok(one.or(two)),
        }
    }
}

/// Tells whether a path stands for standard input.
#[cfg(feature = "classic-grants")]
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
