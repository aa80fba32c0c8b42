//! The meaning of the settings for the classic API: its address, and the secrets that are sent there.

use std::path::{Path, PathBuf};

use crate::cli::commands::Command;
use crate::cli::grant_settings::Server;
use crate::cli::resolve::{Resolved, Resolver, Source};
use crate::cli::row::PathSetting;
use crate::cli::table::{
    API_ENDPOINT, CA_FILE, CLIENT_SECRET_FILE, EXCHANGE, FORCE, NO_PROXY, PASSWORD_ENCODING, PASSWORD_FILE,
    REFRESH_TOKEN_FILE, REFRESH_TOKEN_OUTPUT, STS_ENDPOINT, USER_NAME,
};
use crate::deadline::Deadline;
use crate::env::names;
use crate::error::{Code, Error};
use crate::grant;
use crate::grant::api::{Account, Client, LONGEST, Origin, SecretText};
use crate::grant::sts::Sts;
use crate::http::proxy::ProxySettings;
use crate::http::url::Url;
use crate::identity::claims::Finding;
use crate::input;
use crate::platform;
use crate::secret::Secret;
use crate::text::{is_reference, quote};

/// The classic API.
const API: Server = Server { setting: &API_ENDPOINT, name: "the Equinix API", path_comes_from: "the grant" };

impl Resolver<'_> {
    /// The classic API, and what is sent there.
    pub(super) fn account(
        &mut self,
        grant: &grant::Facts,
        warnings: &mut Vec<String>,
    ) -> Result<Account, Error> {
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

    /// The base URL of the classic API alone, for whoever passes requests on.
    #[cfg(feature = "service")]
    pub fn api_endpoint(&mut self) -> Result<Url, Error> {
        let endpoint = self.base_url(&API)?;
        if endpoint.value.is_loopback() {
            self.check_loopback(&endpoint, "--api-endpoint")?;
        }
        Ok(endpoint.value)
    }

    /// Tells whether the grant asks the classic API.
    #[cfg(feature = "service")]
    pub fn asks_api(&mut self) -> Result<bool, Error> {
        Ok(self.get(&crate::cli::table::GRANT)?.value.is_some_and(grant::Facts::asks_api))
    }

    /// Refuses a loopback address that no flag names: on a platform, an earlier step may have set a variable and be
    /// listening, and what is sent lives long.
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
    pub(super) fn planted(
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

    /// The flags of the secrets that come from standard input.
    fn flags_on_stdin(&mut self) -> Vec<&'static str> {
        let files = [&CLIENT_SECRET_FILE, &REFRESH_TOKEN_FILE, &PASSWORD_FILE];
        let read =
            files.into_iter().filter(|setting| self.path(setting).is_some_and(|path| is_stdin(&path.value)));
        read.map(|setting| setting.row.flag).collect()
    }

    /// Tells whether a stored secret comes from standard input.
    pub fn reads_secret_from_stdin(&mut self) -> bool {
        !self.flags_on_stdin().is_empty()
    }

    /// Refuses two secrets from one standard input.
    fn check_stdin(&mut self) -> Result<(), Error> {
        let flags = self.flags_on_stdin();
        if flags.len() < 2 {
            return Ok(());
        }
        let message = format!("{} cannot all be read from standard input", flags.join(" and "));
        Err(Error::new(Code::CfgValueInvalid, message).with_cure("Put all but one of them into files."))
    }

    /// The place for a new refresh token.
    pub(super) fn refresh_token_output(&mut self) -> Result<Option<PathBuf>, Error> {
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
fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}
