//! The pipeline that all commands share: choose a platform → ready → fetch → decode → mask → check → verify → grant.
//!
//! [`Choice`] is its beginning, which asks nobody. [`Pipeline`] is the rest, which needs a network.
//! `token`, `id-token` and `exec` run all of it; `inspect` and `doctor` take its steps one by one.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
#[cfg(feature = "renew")]
use std::time::Duration;

use crate::cli::settings::{GrantSettings, IdentitySettings};
use crate::credential::{Credential, Kind};
use crate::deadline::Deadline;
use crate::error::{Code, Error, Exit};
use crate::grant::planned::Planned;
use crate::grant::sts::policies::{self, Question};
use crate::grant::token_exchange::{SubjectTokens, TokenExchange};
use crate::grant::{self, Grant, Uses};
use crate::identity::claims::{self, Expected, Finding, Validation};
use crate::identity::jwt::{self, UnverifiedClaims};
use crate::identity::{Identity, issuer, signature, times};
use crate::platform::{Audience, Platform};
use crate::report::{Report, claims_status};
use crate::secret::Secret;
use crate::session::Session;
use crate::text::brief;

use super::choice::Choice;
use super::keeper::Keeper;
#[cfg(feature = "renew")]
use super::passing::Passing;

/// A job on its way from an identity to an access token. It can be shared, and outlive the command that made it.
pub struct Pipeline {
    choice: Choice,
    session: Session,
    notes: Mutex<Notes>,
    /// The place for a refresh token that comes with the access token.
    keeper: Keeper,
    /// The ID tokens that have been exchanged, where the platform gives no others.
    exchanged: Uses,
    /// The secrets that end while a long run goes on. `None` for a run that is over before they are.
    #[cfg(feature = "renew")]
    passing: Mutex<Option<Passing>>,
}

/// Facts that were found out on the way, for the report.
#[derive(Default)]
struct Notes {
    warnings: Vec<String>,
    claims: Option<UnverifiedClaims>,
    verified: bool,
}

impl Pipeline {
    /// Goes on from a choice, with a network.
    pub fn new(choice: Choice, session: Session) -> Arc<Self> {
        Arc::new(Self {
            choice,
            session,
            notes: Mutex::default(),
            keeper: Keeper::default(),
            exchanged: Uses::default(),
            #[cfg(feature = "renew")]
            passing: Mutex::default(),
        })
    }

    /// Returns the platform.
    pub fn platform(&self) -> &'static dyn Platform {
        self.choice.platform()
    }

    /// Returns the settings of the identity.
    pub fn settings(&self) -> &IdentitySettings {
        self.choice.settings()
    }

    /// Returns the session, through which the job acts on the world.
    pub fn session(&self) -> &Session {
        &self.session
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters what has been found out into the report, however the run ended.
    pub fn account(&self, report: &mut Report) {
        let notes = self.notes();
        let new: Vec<_> =
            notes.warnings.iter().filter(|warning| !report.warnings.contains(warning)).cloned().collect();
        report.warnings.extend(new);
        report.verified = notes.verified;
        report.audit.asked(self.session.http.requests(), &self.session.console);
        report.claims = notes.claims.as_ref().map(|token| {
            let known = issuer::reported();
            let known = token.claims.iter().filter(|(name, _)| known.contains(&name.as_str()));
            known.map(|(name, value)| (name.clone(), value.clone())).collect()
        });
    }

    /// Says a warning and keeps it for the report.
    pub fn warn(&self, warning: &str) {
        // A second ID token brings the same ones along.
        if self.notes().warnings.iter().any(|said| said == warning) {
            return;
        }
        self.session.console.warn(warning);
        self.notes().warnings.push(warning.to_owned());
    }

    /// Warns of something odd, or with strict validation takes it as an error.
    pub fn finding(&self, finding: Finding) -> Result<(), Error> {
        let text = finding.judge(self.settings().validation).map_err(|error| {
            let hint = format!("{} --validation basic only warns of this.", error.cure());
            error.with_cure(hint)
        })?;
        self.warn(&text);
        Ok(())
    }

    /// Hides a secret from now on: in every line of ours, and in the runner's log.
    pub fn hide(&self, secret: &Secret, by: Deadline) -> Result<(), Error> {
        self.session.console.guard(secret);
        self.choice.masks().hide(secret, &self.session, by)
    }

    /// [`Pipeline::hide`] for an access token. One that is a JWT has its signature hidden as well: other tools break tokens
    /// at their dots, and a mask of the whole does not hide a part. Short pieces are never masked: they would hide innocent
    /// text.
    pub fn hide_access_token(&self, token: &Secret, by: Deadline) -> Result<(), Error> {
        self.hide(token, by)?;
        let parts: Vec<&str> = token.reveal().split('.').collect();
        match parts.as_slice() {
            [_, _, signature] if signature.len() >= 20 => self.hide(&Secret::new(*signature), by),
            _ => Ok(()),
        }
    }

    /// Prepares for a run that outlives its tokens: what has ended will be forgotten, and what is tried again is not worth a
    /// line.
    #[cfg(feature = "renew")]
    pub fn go_on(&self) {
        *self.passing() = Some(Passing::default());
        self.session.go_into_background();
    }

    /// Forgets the secrets that have ended.
    #[cfg(feature = "renew")]
    pub fn forget_ended(&self) {
        if let Some(passing) = self.passing().as_mut() {
            passing.forget(self.session.clock.now(), &self.session.console);
        }
    }

    /// Notes that a secret ends while the run goes on. Of one that is a JWT the signature is hidden by itself as well.
    #[cfg(feature = "renew")]
    fn passes(&self, secret: &Secret, ends: Option<i64>) {
        let mut passing = self.passing();
        let (Some(passing), Some(ends)) = (passing.as_mut(), ends) else { return };
        let clock = &self.session.clock;
        let left = u64::try_from(ends.saturating_sub(clock.unix_time())).unwrap_or(0);
        let mut add = |secret: &Secret| passing.add(secret, clock.now(), Duration::from_secs(left));
        add(secret);
        if let [_, _, signature] = secret.reveal().split('.').collect::<Vec<_>>().as_slice() {
            add(&Secret::new(*signature));
        }
    }

    #[cfg(feature = "renew")]
    fn passing(&self) -> MutexGuard<'_, Option<Passing>> {
        self.passing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to connect to the issuer whose keys will be asked for, if it is known already and the ID token is still to
    /// be waited for. A ready token says at once whom to ask.
    pub fn connect_to_issuer(&self, by: Deadline) {
        if !self.platform().facts().is_asked() {
            return;
        }
        let expected = self.platform().expected_issuer(&self.session.env).ok().flatten();
        if let Some(issuer) = claims::likely_issuer(expected.as_ref(), &self.settings().expectations) {
            signature::open_ahead(&self.session.http, issuer, by);
        }
    }

    /// Fetches the ID token and reads it, without holding it against anything. From then on it is hidden.
    pub fn fetch(&self, by: Deadline) -> Result<Identity, Error> {
        for finding in self.settings().findings.clone() {
            self.finding(finding)?;
        }
        // Where the platform is asked is judged first: a secret is sent along.
        let endpoint = self.platform().endpoint(&self.session.env)?;
        if let Some(finding) = endpoint.and_then(|endpoint| endpoint.finding) {
            self.finding(finding)?;
        }
        let fetched = self.platform().fetch(&self.session, self.choice.wanted(), by)?;
        // Only what has a token's alphabet can be masked; anything else is refused here and goes nowhere.
        self.session.console.guard(&fetched.token);
        let validation = self.settings().validation;
        let claims = match (jwt::decode(fetched.token.reveal()), validation) {
            (Err(_), Validation::Off) if jwt::is_harmless(fetched.token.reveal()) => {
                UnverifiedClaims::default()
            }
            (claims, _) => claims?,
        };
        self.hide(&fetched.token, by)?;
        {
            let mut notes = self.notes();
            notes.claims = Some(claims.clone());
            notes.verified = false;
        }
        let expiry = match (times::expiry(&claims), validation) {
            (Err(_), Validation::Off) => None,
            (expiry, _) => Some(expiry?),
        };
        #[cfg(feature = "renew")]
        if self.platform().renews(self.choice.wanted()) {
            self.passes(&fetched.token, expiry);
        }
        Ok(Identity { token: fetched.token, claims, verified: false, expiry, skew: fetched.skew })
    }

    /// Returns what an ID token of this job is held against.
    pub fn expected(&self) -> Result<Expected, Error> {
        let fixed = match self.platform().facts().audience {
            Audience::Fixed(audience) => Some(audience.to_owned()),
            Audience::Required | Audience::Checked => None,
        };
        Ok(Expected {
            audience: self.settings().audience.clone().or(fixed),
            issuer: self.platform().expected_issuer(&self.session.env)?,
            run: self.platform().run_bindings(&self.session.env)?,
            expectations: self.settings().expectations.clone(),
            validation: self.settings().validation,
        })
    }

    /// Holds an ID token against what is expected, check by check.
    pub fn checks(
        &self,
        identity: &Identity,
        expected: &Expected,
    ) -> Vec<(&'static str, Result<Vec<Finding>, Error>)> {
        let outcomes = claims::checks(&identity.claims, expected, identity.now(&*self.session.clock));
        let explain = |outcome: Result<_, Error>| outcome.map_err(|error| self.explain_expiry(error));
        outcomes.into_iter().map(|(name, outcome)| (name, explain(outcome))).collect()
    }

    /// Fetches the ID token, checks it and, if that was asked for, verifies its signature.
    pub fn identity(&self, by: Deadline) -> Result<Identity, Error> {
        let console = &self.session.console;
        let facts = self.platform().facts();
        console.detail(&format!("identity from {} ({})", facts.name, facts.id));
        // What the environment says is read first, so that no token is fetched for nothing.
        let expected = self.expected()?;
        if self.settings().verify_signature {
            self.connect_to_issuer(by);
        }
        let mut identity = self.fetch(by)?;
        let mut findings = Vec::new();
        for (_, outcome) in self.checks(&identity, &expected) {
            findings.extend(outcome?);
        }
        for finding in findings {
            self.finding(finding)?;
        }
        if self.settings().validation != Validation::Off {
            claims::check_subject(&identity.claims)?;
        }
        if self.settings().verify_signature {
            self.verify(&mut identity, by)?;
        }
        console.detail(&format!(
            "issuer {}, subject {} ({})",
            brief(identity.claims.issuer()),
            brief(identity.claims.subject()),
            claims_status(identity.verified)
        ));
        Ok(identity)
    }

    /// Verifies the signature with the keys of the issuer that the token has to come from.
    pub fn verify(&self, identity: &mut Identity, by: Deadline) -> Result<(), Error> {
        let expected = self.platform().expected_issuer(&self.session.env)?;
        if !claims::is_issuer_known(&identity.claims, expected.as_ref(), &self.settings().expectations) {
            return Err(Error::new(
                Code::CfgIssuerMissing,
                "it is not known whose keys the signature should be verified with",
            ));
        }
        let ignored = signature::key_headers(&identity.claims);
        if !ignored.is_empty() {
            self.warn(&format!(
                "the ID token's header names keys of its own ({}), which were ignored",
                ignored.join(", ")
            ));
        }
        if !self.platform().facts().is_asked() {
            signature::open_ahead(&self.session.http, identity.claims.issuer(), by);
        }
        let keys = signature::fetch_keys(&self.session, identity.claims.issuer(), by)?;
        signature::verify(identity.token.reveal(), &identity.claims, &keys)?;
        identity.verified = true;
        self.notes().verified = true;
        Ok(())
    }

    /// Adds what the platform knows about the life of its tokens.
    fn explain_expiry(&self, error: Error) -> Error {
        match self.platform().facts().advice_on_expiry {
            Some(advice) if matches!(error.code(), Code::ClaimExpired | Code::IdTokenExpiring) => {
                error.with_cure(advice)
            }
            _ => error,
        }
    }

    /// Returns the ID token itself as what is handed over. Every form carries its expiry, so that has to be known even
    /// without validation.
    pub fn id_token(&self, by: Deadline) -> Result<Credential, Error> {
        for warning in &self.settings().warnings {
            self.warn(warning);
        }
        let identity = self.identity(by)?;
        self.check_life(&identity)?;
        let expires_at = times::expiry(&identity.claims)?;
        let life = expires_at.saturating_sub(identity.now(&*self.session.clock).best());
        Ok(Credential {
            issuer: Some(identity.claims.issuer().to_owned()),
            subject: Some(identity.claims.subject().to_owned()),
            ..Credential::new(Kind::IdToken, identity.token, u64::try_from(life).unwrap_or(0), expires_at)
        })
    }

    /// Returns the grant that exchanges this job's ID tokens.
    pub fn token_exchange(self: &Arc<Self>, settings: &GrantSettings) -> Result<TokenExchange, Error> {
        TokenExchange::of(settings, Arc::<Self>::clone(self))
    }

    /// Goes from the settings to the masked access token.
    pub fn access_token(
        self: &Arc<Self>,
        settings: &GrantSettings,
        by: Deadline,
    ) -> Result<Credential, Error> {
        self.first_access_token(settings, by).map(|(_, credential)| credential)
    }

    /// [`Pipeline::access_token`], with the grant that obtained it and can obtain further ones.
    pub fn first_access_token(
        self: &Arc<Self>,
        settings: &GrantSettings,
        by: Deadline,
    ) -> Result<(Arc<dyn Grant>, Credential), Error> {
        let grant = self.begin(settings, by)?;
        // With a ready token and nobody else to ask, there is nothing to wait for meanwhile.
        let waits = self.platform().facts().is_asked() || self.settings().verify_signature;
        if settings.grant.takes_identity() && waits {
            grant.prepare(&self.session, by);
        }
        let credential =
            self.token(&*grant, settings, by).map_err(|error| self.explain_refusal(error, settings, by))?;
        Ok((grant, credential))
    }

    /// Goes as far as [`Pipeline::first_access_token`] without a word to Equinix: returns the requests that would follow.
    pub fn rehearse(self: &Arc<Self>, settings: &GrantSettings, by: Deadline) -> Result<Vec<Planned>, Error> {
        self.begin(settings, by)?.rehearse(&self.session, by)
    }

    /// Makes the grant, and says what is odd about the settings.
    fn begin(self: &Arc<Self>, settings: &GrantSettings, by: Deadline) -> Result<Arc<dyn Grant>, Error> {
        let of_identity = Some(&self.settings().warnings).filter(|_| settings.grant.takes_identity());
        for warning in settings.warnings.iter().chain(of_identity.into_iter().flatten()) {
            self.warn(warning);
        }
        for finding in settings.findings.clone() {
            self.finding(finding)?;
        }
        self.grant(settings, by)
    }

    /// Obtains a credential that lives long enough.
    pub fn token(
        &self,
        grant: &dyn Grant,
        settings: &GrantSettings,
        by: Deadline,
    ) -> Result<Credential, Error> {
        let credential = self.obtain(grant, by)?;
        // Not sooner: a refresh token that came along has been kept by now.
        if settings.grant.rotates() {
            grant::check_life(credential.expires_in, settings.min_ttl)?;
        }
        Ok(credential)
    }

    /// Adds to a refused exchange what this job may ask for, where it is known in which project. Nobody waits for it in a run
    /// that succeeds.
    pub fn explain_refusal(&self, error: Error, settings: &GrantSettings, by: Deadline) -> Error {
        let (Some(project_id), Some(scope)) = (&settings.project_id, &settings.scope) else { return error };
        if !settings.grant.takes_identity() || error.code().exit() != Exit::Refused {
            return error;
        }
        let policies = self.fetch(by).and_then(|identity| {
            let local_issuers_only = settings.local_issuers_only;
            let question =
                Question { sts: &settings.sts, local_issuers_only, project_id, identity: &identity };
            question.ask(&self.session, by)
        });
        match policies {
            Ok(policies) => policies::describe(&policies, scope)
                .into_iter()
                .fold(error, |error, (label, text)| error.with_detail(label, text)),
            Err(why) => {
                let text =
                    format!("the list could not be obtained: {} [{}]", why.message(), why.code().name());
                error.with_detail("may ask for", text)
            }
        }
    }

    /// Makes the grant, with everything that it will need. Its secrets are hidden from then on.
    pub fn grant(self: &Arc<Self>, settings: &GrantSettings, by: Deadline) -> Result<Arc<dyn Grant>, Error> {
        let grant = (settings.grant.make)(settings, Arc::<Self>::clone(self))?;
        if settings.grant.asks_api() {
            grant.ready(&self.session)?;
        }
        for secret in settings.secrets() {
            self.hide(secret, by)?;
        }
        Ok(grant)
    }

    /// Returns the place for a refresh token that comes with the access token.
    pub fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Obtains a credential, judges what is odd about it, and hides it.
    pub fn obtain(&self, grant: &dyn Grant, by: Deadline) -> Result<Credential, Error> {
        let mut credential = grant.obtain(&self.session, by)?;
        if let Some(rotated) = credential.rotated.take() {
            self.keeper.keep(&rotated, &self.session.console)?;
            self.hide(&rotated, by)?;
        }
        if let Some(defect) = credential.defect.take() {
            return Err(defect);
        }
        for finding in std::mem::take(&mut credential.findings) {
            self.finding(finding)?;
        }
        self.hide_access_token(&credential.token, by)?;
        #[cfg(feature = "renew")]
        self.passes(&credential.token, Some(credential.expires_at));
        Ok(credential)
    }
}

impl SubjectTokens for Pipeline {
    fn ready(&self) -> Result<(), Error> {
        self.choice.ready()
    }

    fn fetch(&self, by: Deadline) -> Result<Identity, Error> {
        self.identity(by)
    }

    fn renews(&self) -> bool {
        self.platform().renews(self.choice.wanted())
    }

    fn exchanged(&self) -> &Uses {
        &self.exchanged
    }

    /// Refuses an ID token that expires too soon. Without validation the STS decides: this machine's clock may be what
    /// is wrong.
    fn check_life(&self, identity: &Identity) -> Result<(), Error> {
        let clock = &*self.session.clock;
        if self.settings().validation == Validation::Off || !identity.is_short(clock) {
            return Ok(());
        }
        let life = identity.life(clock).unwrap_or_default();
        let message = format!("the ID token expires in {life} s, too soon to exchange it");
        Err(self.explain_expiry(Error::new(Code::IdTokenExpiring, message)))
    }
}
