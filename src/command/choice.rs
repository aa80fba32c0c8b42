//! The beginning of every run, which asks nobody: the platform is chosen, the settings are held against it, and a session is
//! opened.

use std::sync::Arc;

use crate::cli::settings::{IdentitySettings, NetworkSettings, Source};
use crate::clock::Clock;
use crate::env::Env;
use crate::error::{Code, Error};
use crate::grant;
use crate::http::Client;
use crate::platform::{self, Audience, Masks, Platform, Supply, Wanted};
use crate::report::Report;
use crate::report::console::Console;
use crate::session::Session;

/// The platform that was chosen, with what is wanted of it.
pub struct Choice {
    env: Arc<Env>,
    platform: &'static dyn Platform,
    wanted: Wanted,
    settings: IdentitySettings,
    masks: Masks,
    /// True if an ID token of the platform is needed.
    needs_identity: bool,
}

impl Choice {
    /// Chooses the platform that the settings name, or the one that this job runs on.
    pub fn new(settings: IdentitySettings, env: &Arc<Env>) -> Result<Self, Error> {
        let platform = platform::select(settings.provider.as_deref(), &settings.source, env)?;
        Ok(Self::of(platform, settings, env, true))
    }

    /// [`Choice::new`] for a grant. One that takes no ID token runs wherever it is, and masks what the runner around it masks.
    pub fn for_grant(
        settings: IdentitySettings,
        grant: &grant::Facts,
        env: &Arc<Env>,
    ) -> Result<Self, Error> {
        if grant.takes_identity() {
            return Self::new(settings, env);
        }
        Ok(Self::of(platform::around(env)?, settings, env, false))
    }

    fn of(
        platform: &'static dyn Platform,
        settings: IdentitySettings,
        env: &Arc<Env>,
        needs_identity: bool,
    ) -> Self {
        let wanted = Wanted {
            audience: settings.audience.clone(),
            location: settings.source.clone(),
            service_connection_id: settings.service_connection_id.clone(),
        };
        let masks = Masks::of(env, Some(platform));
        Self { env: Arc::clone(env), platform, wanted, settings, masks, needs_identity }
    }

    /// Returns the id of the platform, if there is one.
    pub fn provider(&self) -> Option<&'static str> {
        Some(self.platform.facts().id).filter(|id| !id.is_empty())
    }

    /// Enters the platform and the job's run into the report.
    pub fn account(&self, report: &mut Report) {
        report.provider = self.provider();
        let known = self.platform.facts().run.iter();
        let values = known.filter_map(|&(claim, variable)| Some((claim, self.env.text(variable).ok()??)));
        report.audit.run = values.map(|(claim, value)| (claim.to_owned(), value.into())).collect();
    }

    /// Returns the platform.
    pub fn platform(&self) -> &'static dyn Platform {
        self.platform
    }

    /// Returns the settings of the identity.
    pub fn settings(&self) -> &IdentitySettings {
        &self.settings
    }

    /// Returns the way in which the runner is told to hide a value.
    pub fn masks(&self) -> &Masks {
        &self.masks
    }

    /// Leaves out the masks that go to standard error.
    #[must_use]
    pub fn without_mask_lines(self) -> Self {
        Self { masks: self.masks.without_lines(), ..self }
    }

    /// Makes sure that masks can be delivered.
    pub fn check_masks(&self, stderr_is_lost: bool) -> Result<(), Error> {
        self.masks.check(&self.env, stderr_is_lost)
    }

    /// Makes sure that the settings do not contradict the platform.
    pub fn check(&self) -> Result<(), Error> {
        let facts = self.platform.facts();
        let invalid = |message: String| Error::new(Code::CfgValueInvalid, message);
        if facts.audience == Audience::Required && self.wanted.audience.is_none() {
            let message = format!("no audience is set, and {} needs one to issue an ID token", facts.name);
            return Err(Error::new(Code::CfgAudienceMissing, message));
        }
        let reads_file = matches!(facts.supply, Supply::File);
        match self.wanted.location.file {
            Some(_) if !reads_file => {
                let id = facts.id;
                Err(invalid(format!("--subject-token-file is set, but the provider {id} does not read it"))
                    .with_cure("Leave out --provider or --subject-token-file."))
            }
            None if reads_file => {
                Err(invalid(format!("the provider {} needs --subject-token-file", facts.id)))
            }
            _ => Ok(()),
        }
    }

    /// Makes sure that there is a way to an ID token: everything that can be said without asking anybody.
    pub fn ready(&self) -> Result<(), Error> {
        if !self.needs_identity {
            return Ok(());
        }
        self.check()?;
        self.platform.ready(&self.env, &self.wanted)
    }

    /// Returns what is wanted of the platform.
    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }
}

/// Opens a session with these network settings.
pub fn session(
    network: NetworkSettings,
    env: &Arc<Env>,
    clock: &Arc<dyn Clock>,
    console: &Arc<Console>,
) -> Session {
    if let Some(proxy) = network.proxies.proxy() {
        if let Some(password) = &proxy.password {
            console.guard(password);
        }
        console.detail(&format!("proxy {} ({})", proxy.shown, proxy.variable));
    }
    // Whoever adds an authority can read the traffic, so this is never silent.
    if !network.extra_roots.is_empty() {
        let count = network.extra_roots.len();
        let certificates = if count == 1 { "certificate" } else { "certificates" };
        let source = network.roots_source.name();
        let text = format!("trusting {count} {certificates} besides the built-in roots ({source})");
        // A variable may have been planted by an earlier step.
        match network.roots_source {
            Source::Variable(_) => console.warn(&text),
            _ => console.note(&text),
        }
    }
    let client = Client::new(network.proxies, network.extra_roots);
    Session::new(env, clock, console, client)
}
