//! `doctor`: every step between this job and a token, one line each, with the cure for what fails.
//!
//! It goes on after a failure wherever a later check still means something, and hands out nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::claims::{self, Now};
use crate::cli::DoctorArgs;
use crate::clock::Clock;
use crate::config::{ExchangeSettings, IdentitySettings, NetworkSettings, Resolver};
use crate::console::Console;
use crate::deadline::Deadline;
use crate::emit::sink::{Policy, Sinks};
use crate::env::{Env, names};
use crate::error::{Code, Error, Exit};
use crate::http::Client;
use crate::job::{Identity, Job, masks};
use crate::provider::{self, Provider};
use crate::report::{Report, claims_status};
use crate::signature;
use crate::sts;
use crate::{Rest, StdoutKind};

use super::{check_masks, check_source, client, main_job, shadowing_variable};

/// Why no signature could be checked.
fn no_issuer_to_believe(job: &Job<'_>) -> &'static str {
    if job.settings.expectations.iter().any(|expectation| expectation.claim == "iss") {
        "the issuer is not the expected one, so its keys are not asked for"
    } else {
        "it is not known whose keys to believe (--expect iss=…)"
    }
}

/// Runs all checks. The result is the exit status: that of the first failing check, or 0.
pub fn run(
    args: &DoctorArgs,
    env: &Env,
    clock: &dyn Clock,
    console: &Console,
    streams: Rest<'_>,
    report: &mut Report,
) -> Result<u8, Error> {
    let as_json = super::wants_json(args.format.as_deref())?;
    let mut resolver = Resolver::new(env);
    let settings = settings(args, &mut resolver);
    report.settings = resolver.into_report();
    let (wanted, exchange, network) = settings?;
    let mut checks = Checks::default();

    let provider = checks.platform(&wanted, env);
    checks.network(&network);
    if let Some(provider) = provider {
        checks.request_host(provider, &wanted, env);
    }
    let deadline = network.deadline;
    let http = client(network, console);
    report.provider = provider.map(Provider::id);
    if let Some(provider) = provider {
        let job = Job::new(env, clock, deadline, console, &http, provider, &wanted);
        for warning in exchange.warnings.iter().chain(&wanted.warnings) {
            job.warn(warning);
        }
        checks.job(&job, &exchange, args.exchange, streams.stderr_is_lost, report);
    } else {
        checks.sts(&http, &exchange, deadline);
        checks.scope(&exchange);
    }
    checks.delivery(provider, env, streams.stderr_is_lost);
    checks.shadowing(env);

    let text =
        if as_json { format!("{}\n", super::json_text(&checks.json(console))) } else { checks.text(console) };
    super::print(streams.stdout, &text)?;
    let exit = checks.exit();
    report.failure = checks.0.into_iter().find_map(|check| check.error);
    Ok(exit)
}

type AllSettings = (IdentitySettings, ExchangeSettings, NetworkSettings);

fn settings(args: &DoctorArgs, resolver: &mut Resolver<'_>) -> Result<AllSettings, Error> {
    Ok((
        resolver.identity(&args.identity)?,
        resolver.exchange_with_any_scope(&args.request)?,
        resolver.network(&args.network)?,
    ))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Status {
    Ok,
    Warn,
    Fail,
    Skip,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }
}

struct Check {
    name: &'static str,
    status: Status,
    text: String,
    cure: Option<String>,
    error: Option<Error>,
}

/// Checks without which there is no ID token.
const NEEDED: [&str; 2] = ["permission", "request URL"];

#[derive(Default)]
struct Checks(Vec<Check>);

impl Checks {
    fn add(&mut self, name: &'static str, status: Status, text: impl Into<String>) {
        self.0.push(Check { name, status, text: text.into(), cure: None, error: None });
    }

    fn warn(&mut self, name: &'static str, text: impl Into<String>, cure: &str) {
        self.add(name, Status::Warn, text);
        if let Some(check) = self.0.last_mut() {
            check.cure = Some(cure.to_owned());
        }
    }

    fn fail(&mut self, name: &'static str, error: Error) {
        self.0.push(Check {
            name,
            status: Status::Fail,
            text: error.message().to_owned(),
            cure: Some(error.cure().to_owned()),
            error: Some(error),
        });
    }

    /// Whether a check of this name has failed.
    fn failed(&self, name: &str) -> bool {
        self.0.iter().any(|check| check.name == name && check.status == Status::Fail)
    }

    /// The platform, and whether it can give an ID token at all.
    fn platform(&mut self, wanted: &IdentitySettings, env: &Env) -> Option<&'static dyn Provider> {
        let provider = match provider::select(wanted.provider.as_deref(), &wanted.source, env) {
            Ok(provider) => provider,
            Err(error) => {
                self.fail("platform", error);
                self.add("permission", Status::Skip, "there is no platform to ask");
                return None;
            }
        };
        self.add("platform", Status::Ok, format!("{}: {}", provider.name(), provider.evidence(env)));
        let ready = check_source(wanted, provider);
        match ready.and_then(|()| provider.ready(env, &wanted.source, wanted.audience.as_deref())) {
            Ok(()) if provider.mints_on_request() => {
                self.add("permission", Status::Ok, "the job may ask for an ID token");
            }
            Ok(()) => self.add("permission", Status::Ok, "the job has been given an ID token"),
            Err(error) => self.fail("permission", error),
        }
        Some(provider)
    }

    /// Where the platform is asked, which an earlier step could have changed.
    fn request_host(&mut self, provider: &dyn Provider, wanted: &IdentitySettings, env: &Env) {
        const NAME: &str = "request URL";
        if self.failed("permission") {
            return self.add(NAME, Status::Skip, "there is nothing to ask with");
        }
        match provider.request_host(env) {
            Err(error) => self.fail(NAME, error),
            Ok(None) => self.add(NAME, Status::Skip, "the platform hands over a ready token"),
            Ok(Some((origin, None))) => self.add(NAME, Status::Ok, origin),
            Ok(Some((_, Some(concern)))) => {
                let strict_only = concern.code.is_some();
                match concern.judge(wanted.validation) {
                    Err(error) => self.fail(NAME, error),
                    Ok(text) if strict_only => {
                        self.warn(NAME, text, "The runner sets it; look for a step that changes it.");
                    }
                    Ok(text) => self.add(NAME, Status::Ok, text),
                }
            }
        }
    }

    fn network(&mut self, network: &NetworkSettings) {
        match network.proxies.proxy() {
            None => self.add("proxy", Status::Ok, "none"),
            Some(proxy) => self.add("proxy", Status::Ok, format!("{} ({})", proxy.shown, proxy.variable)),
        }
        let roots = match network.extra_roots.len() {
            0 => "the built-in roots".to_owned(),
            count => format!("the built-in roots and {count} more"),
        };
        self.add("trusted CAs", Status::Ok, roots);
    }

    /// Everything from the ID token to the exchange.
    fn job(
        &mut self,
        job: &Job<'_>,
        exchange: &ExchangeSettings,
        really: bool,
        masks_are_lost: bool,
        report: &mut Report,
    ) {
        let identity = self.id_token(job, exchange, really, masks_are_lost);
        let skew = identity.as_ref().and_then(|identity| identity.skew);
        let mut sound = false;
        let mut identity = identity.map(|mut identity| {
            report.claims = Some(identity.claims.clone());
            sound = self.claims(job, &identity);
            sound &= self.signature(job, &mut identity);
            report.verified = identity.verified;
            identity
        });
        if identity.is_none() {
            for name in ["issuer", "audience", "times", "run", "signature"] {
                self.add(name, Status::Skip, "there is no ID token");
            }
        }
        let date = self.sts(job.http, exchange, job.deadline);
        self.clock(job.clock, skew, date);
        self.scope(exchange);
        match (&mut identity, exchange.scope.as_deref()) {
            _ if !really => self.add("exchange", Status::Skip, "not asked for (--exchange)"),
            (None, _) => self.add("exchange", Status::Skip, "there is no ID token"),
            (_, None) => self.add("exchange", Status::Skip, "there is no scope"),
            (Some(_), _) if !sound => {
                self.add("exchange", Status::Skip, "the ID token has to hold first; it was not sent");
            }
            _ if self.failed("scope") => {
                self.add("exchange", Status::Skip, "the scope cannot be asked for; nothing was sent");
            }
            (Some(identity), Some(scope)) => match job.exchange(identity, scope, exchange) {
                Ok(credential) => {
                    // Nothing is handed out, but a mask costs nothing should anything ever show it.
                    job.hide_access_token(&credential.token).ok();
                    let granted = credential.scope.as_deref().unwrap_or(scope);
                    let text = format!(
                        "a token for {granted} and {} s was issued, and dropped",
                        credential.expires_in
                    );
                    self.add("exchange", Status::Ok, text);
                }
                Err(error) => self.fail("exchange", error),
            },
        }
        report.warnings = job.warnings();
    }

    /// The ID token, unless an earlier check says that there is no way to it.
    fn id_token(
        &mut self,
        job: &Job<'_>,
        exchange: &ExchangeSettings,
        really: bool,
        masks_are_lost: bool,
    ) -> Option<Identity> {
        if NEEDED.iter().any(|name| self.failed(name)) {
            self.add("ID token", Status::Skip, "it cannot be asked for");
            return None;
        }
        if check_masks(job.env, masks_are_lost).is_err() {
            self.add(
                "ID token",
                Status::Skip,
                "it could not be masked: standard error does not reach the runner",
            );
            return None;
        }
        // Who is asked later on is connected to meanwhile.
        job.connect_to_issuer();
        for _ in 0..=usize::from(really) {
            sts::open_ahead(job.http, exchange, job.deadline);
        }
        match job.fetch() {
            Ok(identity) => {
                let claims = &identity.claims;
                self.add(
                    "ID token",
                    Status::Ok,
                    format!("subject {} ({})", claims.subject(), claims_status(false)),
                );
                Some(identity)
            }
            Err(error) => {
                self.fail("ID token", error);
                None
            }
        }
    }

    /// Each claim check on a line of its own. Whether the token may be sent.
    fn claims(&mut self, job: &Job<'_>, identity: &Identity) -> bool {
        let expected = match job.expected() {
            Ok(expected) => expected,
            Err(error) => {
                self.fail("issuer", error);
                return false;
            }
        };
        let now = Now { local: job.clock.unix_time(), skew: identity.skew };
        let mut sound = true;
        for (name, outcome) in claims::checks(&identity.claims, &expected, now) {
            match outcome {
                Err(error) => {
                    sound = false;
                    self.fail(name, job.explain_expiry(error));
                }
                Ok(concerns) if concerns.is_empty() => {
                    let text = match name {
                        "issuer" => identity.claims.issuer().to_owned(),
                        "audience" => identity.claims.audience().unwrap_or_default().join(", "),
                        "times" => identity.expiry.map_or_else(String::new, |expiry| {
                            format!(
                                "expires {}, in {} s",
                                crate::clock::rfc3339(expiry),
                                expiry.saturating_sub(now.best())
                            )
                        }),
                        "run" => "the token belongs to this run, as far as it tells".to_owned(),
                        _ => "all hold".to_owned(),
                    };
                    self.add(name, Status::Ok, text);
                }
                Ok(concerns) => {
                    for concern in concerns {
                        match concern.judge(job.settings.validation) {
                            Ok(text) => self.warn(name, text, "It is only odd; the STS decides."),
                            Err(error) => {
                                sound = false;
                                self.fail(name, error);
                            }
                        }
                    }
                }
            }
        }
        sound
    }

    /// Discovery and signature, as a diagnosis: Equinix needs both. Whether the token may be sent.
    fn signature(&mut self, job: &Job<'_>, identity: &mut Identity) -> bool {
        match job.verify(identity) {
            Ok(()) => {
                let ignored = signature::key_headers(&identity.claims);
                let text = if ignored.is_empty() {
                    "verified with a key that the issuer publishes".to_owned()
                } else {
                    format!("verified; the keys in the token's header ({}) were ignored", ignored.join(", "))
                };
                self.add("signature", Status::Ok, text);
                true
            }
            // Asked for, it would end `token` as well.
            Err(error) if error.code() == Code::CfgIssuerMissing && !job.settings.verify_signature => {
                self.add("signature", Status::Skip, no_issuer_to_believe(job));
                true
            }
            // An issuer that this machine cannot reach may still be reached by Equinix.
            Err(error) if error.code().exit() == Exit::Transient && !job.settings.verify_signature => {
                self.warn("signature", format!("not verified: {}", error.message()), error.cure());
                true
            }
            Err(error) => {
                self.fail("signature", error);
                false
            }
        }
    }

    /// Whether the STS answers at the token endpoint; nothing is sent to it. The result is its `Date`.
    fn sts(&mut self, http: &Client, exchange: &ExchangeSettings, deadline: Deadline) -> Option<i64> {
        match sts::probe(http, exchange, deadline) {
            Ok(answer) => {
                let place = format!("{}{}", exchange.sts_endpoint.origin(), exchange.sts_api.path());
                let tls = answer
                    .tls_version
                    .map_or("without TLS".to_owned(), |tls| format!("{tls}, certificate trusted"));
                match answer.status {
                    404 | 410 => {
                        let other = exchange.sts_api.other().id();
                        let cure = format!(
                            "If an exchange fails as well, try --sts-api {other} and check --sts-endpoint."
                        );
                        self.warn(
                            "STS",
                            format!(
                                "{place} answers {} ({tls}): there may be no token endpoint",
                                answer.status
                            ),
                            &cure,
                        );
                    }
                    300..=399 => {
                        let cure = "Redirects are never followed; check --sts-endpoint and what answers in its place.";
                        self.warn(
                            "STS",
                            format!("{place} answers with a redirect ({}, {tls})", answer.status),
                            cure,
                        );
                    }
                    500.. => {
                        self.warn(
                            "STS",
                            format!("{place} answers {} ({tls})", answer.status),
                            "Try again in a while.",
                        );
                    }
                    status => self.add("STS", Status::Ok, format!("{place} answers ({status}, {tls})")),
                }
                answer.date
            }
            Err(error) => {
                self.fail("STS", error);
                None
            }
        }
    }

    fn clock(&mut self, clock: &dyn Clock, platform: Option<i64>, sts_date: Option<i64>) {
        let sts = sts_date.map(|date| date.saturating_sub(clock.unix_time()));
        let skews: BTreeMap<&str, i64> = [("the platform", platform), ("the STS", sts)]
            .into_iter()
            .filter_map(|(who, skew)| Some((who, skew?)))
            .collect();
        if skews.is_empty() {
            self.add("clock", Status::Skip, "no server told its time");
        } else if let Some((who, skew)) = skews.iter().find(|(_, skew)| skew.abs() > claims::LEEWAY) {
            let side = if *skew < 0 { "ahead of" } else { "behind" };
            let text = format!("this machine's clock is {} s {side} {who}", skew.abs());
            self.warn(
                "clock",
                text,
                "Set the clock; on a self-hosted runner, check its time synchronisation.",
            );
        } else {
            let names: Vec<_> = skews.keys().copied().collect();
            self.add(
                "clock",
                Status::Ok,
                format!("agrees with {} to {} s", names.join(" and "), claims::LEEWAY),
            );
        }
    }

    fn scope(&mut self, exchange: &ExchangeSettings) {
        match &exchange.scope {
            None => {
                self.warn("scope", "no scope is set; token needs one", Code::CfgScopeMissing.cure());
            }
            Some(scope) => match crate::scope::check(scope) {
                Ok(warnings) => match warnings.first() {
                    None => self.add("scope", Status::Ok, scope.clone()),
                    Some(warning) => self.warn("scope", warning.clone(), Code::CfgScopeInvalid.cure()),
                },
                Err(error) => self.fail("scope", error),
            },
        }
    }

    /// Whether the platform's own format could be delivered, and masked.
    fn delivery(&mut self, provider: Option<&'static dyn Provider>, env: &Env, masks_are_lost: bool) {
        match check_masks(env, masks_are_lost) {
            Err(error) => self.fail("masks", error),
            Ok(()) if masks(env) => self.add("masks", Status::Ok, "the runner reads standard error"),
            Ok(()) => {
                let text = "this platform cannot be told to hide a value; none is printed";
                self.add("masks", Status::Skip, text);
            }
        }
        // What `token` would use: flags of its own aside, the variables decide.
        let format =
            env.text(names::FORMAT).and_then(|asked| main_job::format(asked.as_deref(), provider, env));
        let output = env.os(names::OUTPUT).map(PathBuf::from);
        let policy = Policy {
            env,
            output: output.as_deref(),
            allow_workspace: false,
            // Consent is given when a token is asked for.
            accept_artifact_exposure: true,
            force: false,
            stdout: StdoutKind::Ordinary,
        };
        // Opening is the check; what was opened is closed, and removed where it was made, when it is dropped.
        match format.and_then(|format| Sinks::open(format, false, &policy).map(|_| format.id())) {
            Ok(id) => self.add("output", Status::Ok, format!("the format {id} can be written")),
            Err(error) => self.fail("output", error),
        }
    }

    fn shadowing(&mut self, env: &Env) {
        match shadowing_variable(env) {
            Ok(Some(name)) => {
                let text = format!(
                    "{} and {name} are both set: the Equinix provider exchanges by itself and ignores EQUINIX_API_TOKEN",
                    names::SCOPE
                );
                let cure = "Unset one of them for the Terraform run; the formats that a shell reads unset the second by themselves, and exec does not pass it on.";
                self.warn("Terraform", text, cure);
            }
            Ok(None) => {
                self.add(
                    "Terraform",
                    Status::Ok,
                    "no variable would make the Equinix provider ignore the token",
                );
            }
            Err(error) => self.fail("Terraform", error),
        }
    }

    fn exit(&self) -> u8 {
        self.0.iter().find_map(|check| check.error.as_ref()).map_or(0, |error| error.code().exit().status())
    }

    fn text(&self, console: &Console) -> String {
        let mut text = String::new();
        for check in &self.0 {
            let code =
                check.error.as_ref().map_or_else(String::new, |error| format!(" [{}]", error.code().name()));
            let line = format!("{:4}  {:12}  {}{code}", check.status.name(), check.name, check.text);
            text.push_str(&console.safe(&line));
            text.push('\n');
            for (label, value) in check.error.iter().flat_map(Error::details) {
                text.push_str(&console.safe(&format!("                    {label}: {value}")));
                text.push('\n');
            }
            for line in check.cure.iter().flat_map(|cure| cure.split('\n')) {
                text.push_str(&console.safe(&format!("                    > {line}")));
                text.push('\n');
            }
        }
        text
    }

    /// For programs. Scrubbed like the text: a server may have echoed a secret into an error.
    fn json(&self, console: &Console) -> Value {
        let checks: Vec<Value> = self
            .0
            .iter()
            .map(|check| {
                json!({
                    "name": check.name,
                    "status": check.status.name(),
                    "message": console.safe(&check.text),
                    "details": check.error.iter().flat_map(Error::details).map(|(label, value)| json!({*label: console.safe(value)})).collect::<Vec<_>>(),
                    "code": check.error.as_ref().map(|error| error.code().name()),
                    "cure": check.cure.as_deref().map(|cure| console.safe_lines(cure)),
                })
            })
            .collect();
        json!({"v": 1, "ok": self.exit() == 0, "exit": self.exit(), "checks": checks})
    }
}
