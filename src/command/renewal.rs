//! The run of `exec --renew`: stays beside the command and hands out fresh tokens on loopback for as long as it runs.
//!
//! The command gets a handle in place of the job's identity. What it leads to is this process alone.

#[cfg(test)]
#[path = "renewal_tests.rs"]
mod tests;

use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::cli::settings::GrantSettings;
use crate::clock::rfc3339;
use crate::credential::Credential;
use crate::deadline::Deadline;
use crate::env::{Env, names};
use crate::error::{Code, Error, Exit};
use crate::grant::{Grant, Renewable};
use crate::handle;
use crate::identity::SHORTEST_LIFE;
use crate::json::object;
use crate::listener::{self, Limits, Listener};
use crate::output::sink::{self, KeptFile, Policy};
use crate::random;
use crate::renew::cache::is_lasting;
use crate::renew::ledger::Ledger;
use crate::renew::local_sts::{Announced, HOLD, LocalSts};
use crate::renew::source::{Observer, TokenSource};
use crate::report::Report;
use crate::report::audit::request_ids;
use crate::report::console::Console;
use crate::secret::Secret;
use crate::streams::StdoutKind;
use crate::text::quote;

use super::main_job::refresh_token_file;
use super::pipeline::Pipeline;

/// Everything that a renewing run needs and that can fail, opened before a token exists.
pub struct Opened {
    listener: Listener,
    handle: Arc<Secret>,
    file: Option<KeptFile>,
}

impl Opened {
    /// Opens the listener and the file.
    pub fn new(policy: &Policy<'_>, console: &Console) -> Result<Self, Error> {
        let listener = Listener::bind().map_err(|error| failed("no port of 127.0.0.1 can be had", &error))?;
        let handle =
            Secret::new(format!("{}{}", handle::PREFIX, URL_SAFE_NO_PAD.encode(random::bytes::<32>()?)));
        console.guard(&handle);
        // Most commands do without it.
        let file = sink::kept_file(policy)
            .map_err(|error| {
                console.warn(&format!(
                    "there is no place for a token file, so {} is not set: {} [{}]",
                    names::TOKEN_FILE,
                    error.message(),
                    error.code().name()
                ));
            })
            .ok();
        Ok(Self { listener, handle: Arc::new(handle), file })
    }
}

/// The grant of a run, with its settings.
pub struct Renewed<'a> {
    /// The job.
    pub job: &'a Arc<Pipeline>,
    /// The grant that obtained the first token.
    pub grant: Arc<dyn Grant>,
    /// Its settings.
    pub settings: &'a GrantSettings,
    /// The scopes besides its own for which the command may ask.
    pub further_scopes: Vec<String>,
    /// The time that a renewal may take.
    pub timeout: Duration,
}

impl Renewed<'_> {
    /// Has the file for a refresh token opened again for each further one.
    pub fn reopen_refresh_token_file(&self, allow_workspace: bool) {
        reopen_refresh_token_file(self.job, self.settings, allow_workspace);
    }
}

/// Has the file for a refresh token opened again for each further one of a job.
pub fn reopen_refresh_token_file(job: &Pipeline, settings: &GrantSettings, allow_workspace: bool) {
    let (env, settings) = (Arc::clone(&job.session().env), settings.clone());
    job.keeper().reopen_with(Box::new(move || {
        refresh_token_file(&settings, &refresh_token_policy(&env, allow_workspace))
    }));
}

/// The policy for a file that a refresh token is kept in while a run goes on.
pub fn refresh_token_policy(env: &Env, allow_workspace: bool) -> Policy<'_> {
    Policy {
        env,
        output: None,
        allow_workspace,
        accept_artifact_exposure: false,
        force: false,
        stdout: StdoutKind::Ordinary,
    }
}

/// A renewing run.
pub struct Renewal {
    listener: listener::Running,
    ledger: Arc<Ledger>,
    watch: Arc<Watch>,
    sources: Vec<Arc<TokenSource>>,
    /// The time for which a renewal is waited for at the end, since its answer must not be lost.
    patience: Duration,
}

impl Renewal {
    /// Begins to hand out tokens, and puts into the command's environment what leads to them.
    pub fn start(
        opened: Opened,
        renewed: Renewed<'_>,
        first: &Arc<Credential>,
        command: &mut Command,
        report: &mut Report,
    ) -> Result<Self, Error> {
        let Opened { listener, handle, file } = opened;
        let Renewed { job, grant, settings, further_scopes, timeout } = renewed;
        warn_of_end(job, &*grant);
        job.go_on();
        let session = job.session();
        let ledger = Arc::new(Ledger::default());
        let main_scope = settings.scope.as_deref().unwrap_or(handle::WITHOUT_SCOPE).to_owned();
        let watch = Arc::new(Watch {
            job: Arc::clone(job),
            ledger: Arc::clone(&ledger),
            main_scope: main_scope.clone(),
            renews: settings.parent.is_some() || settings.grant.takes_identity(),
            file: Mutex::new(file),
            waiting: Mutex::default(),
        });
        let source = |scope: &str, is_main: bool, grant: Arc<dyn Grant>, settings: GrantSettings| {
            let job = Arc::clone(job);
            let obtain =
                move |failures| job.token(&*grant, &settings, Deadline::within(patience(timeout, failures)));
            let observer = Arc::clone(&watch) as Arc<dyn Observer>;
            TokenSource::new(scope, is_main, Arc::clone(&session.clock), Box::new(obtain), observer)
        };
        let main = source(&main_scope, true, grant, settings.clone());
        main.start_with(Arc::clone(first));
        watch.renewed(main.scope(), first);
        let mut sources = vec![main];
        for scope in further_scopes {
            let settings = GrantSettings { scope: Some(scope.clone()), ..settings.clone() };
            let grant = job.grant(&settings, Deadline::within(timeout))?;
            sources.push(source(&scope, false, grant, settings));
        }
        for source in &sources {
            source.keep_filled().map_err(|error| failed("no thread can be started", &error))?;
        }
        let base = listener.base();
        let sts = LocalSts {
            address: Some(listener.address()),
            handle: Arc::clone(&handle),
            sources: sources.clone(),
            ledger: Arc::clone(&ledger),
            console: Arc::clone(&session.console),
            clock: Arc::clone(&session.clock),
            hold: HOLD,
            announced: Announced::default(),
        };
        let listener = listener
            .serve(Arc::new(sts), Limits::STANDARD)
            .map_err(|error| failed("the listener cannot be started", &error))?;
        session
            .console
            .note(&format!("fresh tokens are handed out at {base} for as long as the command runs"));
        command
            .env(names::STS_ENDPOINT, base)
            .env(names::SCOPE, main_scope)
            .env(names::SUBJECT_TOKEN, handle.reveal())
            .env(names::EXEC, names::EXEC_RENEWS)
            // Whose secret this run uses is none of the command's business, and would contradict the handle.
            .env_remove(names::GRANT);
        match watch.path() {
            Some(path) => {
                let text = path.to_string_lossy().into();
                let place = vec![("to", "file".into()), ("format", "raw".into()), ("path", text)];
                report.audit.delivered_to.push(object(place));
                command.env(names::TOKEN_FILE, path)
            }
            // One of a run around this one would end with that one's token.
            None => command.env_remove(names::TOKEN_FILE),
        };
        let patience = if settings.grant.rotates() { timeout } else { Duration::ZERO };
        let renewal = Self { listener, ledger, watch, sources, patience };
        renewal.account(report, true);
        Ok(renewal)
    }

    /// Ends it: the port is closed, nothing is renewed, the file is gone, and the report has the account.
    pub fn end(self, report: &mut Report) {
        self.listener.stop();
        for source in &self.sources {
            source.end(self.patience);
        }
        self.watch.remove_file();
        self.account(report, false);
    }

    /// Enters what has happened so far into the report.
    fn account(&self, report: &mut Report, is_interim: bool) {
        report.is_interim = is_interim;
        report.renewal = Some(self.ledger.to_json());
    }
}

/// Returns how long a renewal may take. The first ones are short: what goes wrong is to be told before those who wait for a
/// token are sent away. A server that is only slow gets the whole time then.
pub fn patience(timeout: Duration, failures: u32) -> Duration {
    const FIRST: Duration = Duration::from_secs(8);
    timeout.min(FIRST.saturating_mul(2_u32.saturating_pow(failures.min(8))))
}

/// Warns of a run that can be renewed up to a moment only.
fn warn_of_end(job: &Pipeline, grant: &dyn Grant) {
    let Renewable::Until(end) = grant.renewable_until() else { return };
    let end = end.saturating_sub(SHORTEST_LIFE);
    let left = end.saturating_sub(job.session().clock.unix_time());
    job.warn(&format!(
        "this job has one ID token, with which the access token can be renewed until {} (in {left} s), and not after",
        rfc3339(end)
    ));
}

/// Acts on what happens to the tokens.
struct Watch {
    job: Arc<Pipeline>,
    ledger: Arc<Ledger>,
    main_scope: String,
    /// True if what was refused may be taken another time. A stored secret is never sent again.
    renews: bool,
    /// The file with the token of the main scope.
    file: Mutex<Option<KeptFile>>,
    /// The token that could not be written to it, with the code that was said.
    waiting: Mutex<Option<(Arc<Credential>, Code)>>,
}

impl Watch {
    fn console(&self) -> &Console {
        &self.job.session().console
    }

    fn now(&self) -> i64 {
        self.job.session().clock.unix_time()
    }

    /// Returns what the servers call the newest requests of the renewal that this thread has just made. They are made safe to
    /// show now, while its secrets are known.
    fn request_ids(&self) -> Vec<String> {
        const MOST: usize = 5;
        let made = self.job.session().http.take_own_requests();
        let ids = made.iter().rev().flat_map(|made| request_ids(made, self.console()));
        let mut ids: Vec<String> = ids.take(MOST).collect();
        ids.reverse();
        ids
    }

    fn path(&self) -> Option<std::path::PathBuf> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(KeptFile::path)
    }

    fn remove_file(&self) {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Writes a token to the file. What cannot be written now is tried again.
    fn write(&self, credential: &Arc<Credential>) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(file) = file.as_ref() else { return };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let said = waiting.take().map(|(_, code)| code);
        if let Err(error) = file.replace(credential.token.reveal().as_bytes()) {
            let code = error.code();
            if said != Some(code) {
                self.console().warn(&format!(
                    "the new access token could not be written to {}, which still holds the one before: {} [{}]",
                    quote(&file.path().to_string_lossy()),
                    error.message(),
                    code.name()
                ));
            }
            *waiting = Some((Arc::clone(credential), code));
        }
    }
}

impl Observer for Watch {
    fn renewed(&self, scope: &Arc<str>, credential: &Arc<Credential>) {
        self.ledger.tried(self.now(), scope, Ok(credential.expires_at), self.request_ids());
        if **scope == *self.main_scope {
            self.write(credential);
        }
        self.job.forget_ended();
    }

    fn recovered(&self, scope: &Arc<str>, credential: &Credential) {
        let until = credential.expires_at_text();
        self.console().note(&format!("renewing works again: there is a token for {scope} until {until}"));
    }

    fn failed(&self, scope: &Arc<str>, error: &Error, before: Option<&Error>) {
        self.ledger.tried(self.now(), scope, Err(error.code()), self.request_ids());
        if before.is_some_and(|before| before.code() == error.code()) {
            return;
        }
        let mut text =
            format!("no new access token for {scope}: {} [{}]", error.message(), error.code().name());
        for (label, value) in error.details() {
            text.push_str(&format!("\n  {label}: {value}"));
        }
        text.push_str(&format!("\nhint: {}", error.cure()));
        let is_at_an_end = !self.renews || matches!(error.code(), Code::IdTokenExpiring | Code::ClaimExpired);
        text.push_str(if !is_lasting(error) || !is_at_an_end || error.code().exit() == Exit::Protocol {
            "\nIt is tried again while the command runs; until then the token before it is handed out, as long as it lasts."
        } else {
            "\nThere is nothing else to try; the token before it is handed out, as long as it lasts."
        });
        self.console().warn(&text);
    }

    fn tick(&self) {
        let waiting =
            self.waiting.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(c, _)| Arc::clone(c));
        if let Some(credential) = waiting {
            self.write(&credential);
        }
        self.job.forget_ended();
    }
}

fn failed(what: &str, error: &std::io::Error) -> Error {
    Error::new(Code::RenewalFailed, format!("{what}: {}", error.kind()))
}
