//! Puts the service together, runs it, and ends it.

use std::io;
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use equinix_wif::service::{
    self, Announced, Budget, Clock, Code, CommandLine, Console, Env, Error, Federation, HOLD, LocalSts,
    Sandbox, SystemClock, Upstream, Verbosity,
};
use rmcp::ServiceExt;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::app::{App, Federated, Journal, Origin, PassThrough};
use crate::files::TokenFiles;
use crate::guard::{self, Guard};
use crate::listen::Listener;
use crate::log;
use crate::mcp::Mcp;
use crate::metrics;
use crate::options::{BackEnd, Options};
use crate::private::{Bearer, PrivateFolder};
use crate::rest;
use crate::tokens::Tokens;
use crate::upstream::Client;

/// The time in which requests that are being answered at the end have to be.
const PATIENCE: Duration = Duration::from_secs(10);

/// The time between two looks at what the figures need.
const UPKEEP: Duration = Duration::from_secs(5);

/// The stack of a thread that works for a single request.
const BLOCKING_STACK: usize = 1024 * 1024;

/// Runs the service until it is told to end.
pub fn run(mut line: CommandLine, options: &Options, around: Arc<Env>) -> Result<(), Error> {
    let sandbox = options.is_sandbox.then(|| Sandbox::start(&around, &mut line)).transpose()?;
    let env = sandbox.as_ref().map_or_else(|| Arc::clone(&around), |sandbox| Arc::clone(&sandbox.env));
    let console = service::console(Box::new(io::stderr()), log::of_library(), line.verbosity(), &env);
    let console = Arc::new(console);
    log::start(&console, options.logs_json, level(line.verbosity()));
    let runtime = runtime()?;
    let _entered = runtime.enter();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let folder = Arc::new(PrivateFolder::create(&around)?);
    let bearer = Bearer::obtain(options.bearer_file.as_deref(), &folder, &around)?;
    console.guard(&bearer.secret);
    let secret = Arc::new(bearer.secret);
    let backend = options.backend.unwrap_or_else(|| {
        if line.has_credentials(&env) { BackEnd::Federated } else { BackEnd::PassThrough }
    });
    check(options, backend)?;
    let start = Start { line: &line, env: &env, console: &console, clock: &clock, secret: &secret };
    let origin = match backend {
        BackEnd::Federated => start.federated(sandbox.is_some())?,
        BackEnd::PassThrough => start.pass_through()?,
    };
    let app = Arc::new(App {
        origin,
        bearer: Arc::clone(&secret),
        console: Arc::clone(&console),
        clock,
        files: TokenFiles::new(Arc::clone(&folder)),
        reveals_tokens: options.reveals_tokens,
        metrics: metrics::start()
            .map_err(|error| Error::new(Code::Internal, format!("no figures can be kept: {error}")))?,
    });
    announce(options, backend, sandbox.as_ref());
    let ready = Ready {
        backend,
        bearer_file: bearer.file.to_string_lossy().into_owned(),
        is_json: options.logs_json,
    };
    let outcome = runtime.block_on(serve(&app, options, &ready));
    if let Origin::Federated(federated) = &app.origin {
        federated.federation.end();
    }
    // A request that hangs holds up nobody: its socket is closed with the process.
    runtime.shutdown_background();
    // Tasks that are not dropped yet know of it too, so it is not left to the last of them.
    folder.end();
    outcome
}

fn level(verbosity: Verbosity) -> tracing::Level {
    match verbosity {
        Verbosity::Quiet => tracing::Level::ERROR,
        Verbosity::Normal => tracing::Level::INFO,
        Verbosity::Verbose => tracing::Level::DEBUG,
    }
}

fn runtime() -> Result<Runtime, Error> {
    let failed =
        |error: io::Error| Error::new(Code::Internal, format!("no threads can be started: {}", error.kind()));
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    Builder::new_multi_thread()
        .worker_threads(threads)
        .thread_stack_size(BLOCKING_STACK)
        .max_blocking_threads(64)
        .enable_all()
        .build()
        .map_err(failed)
}

/// Refuses what would hand tokens to everybody: to any process, in the words of a model.
fn check(options: &Options, backend: BackEnd) -> Result<(), Error> {
    if options.reveals_tokens && options.allows_unauthenticated && backend == BackEnd::Federated {
        let message = "--reveal-tokens and --allow-unauthenticated together would show the service's own tokens to whoever asks";
        return Err(Error::new(Code::CfgUsage, message).with_cure("Leave one of them out."));
    }
    Ok(())
}

/// Says what is out of the ordinary.
fn announce(options: &Options, backend: BackEnd, sandbox: Option<&Sandbox>) {
    if options.allows_unauthenticated {
        tracing::warn!(
            "every process of this machine may ask for tokens, without a bearer (--allow-unauthenticated)"
        );
    }
    if options.reveals_tokens {
        tracing::warn!(
            "MCP results hold the token itself (--reveal-tokens): the model, its provider and every record of the conversation get it"
        );
    }
    if let Some(sandbox) = sandbox {
        tracing::info!("sandbox: issuer, STS, API and tokens are made up; nothing here is real");
        if backend == BackEnd::PassThrough {
            let (id, secret) = &sandbox.client;
            // Made up, and the only way to try it.
            log::write_raw(&format!("sandbox: client_id {id}, client_secret {secret}\n"));
        }
    }
}

struct Start<'a> {
    line: &'a CommandLine,
    env: &'a Arc<Env>,
    console: &'a Arc<Console>,
    clock: &'a Arc<dyn Clock>,
    secret: &'a Arc<service::Secret>,
}

impl Start<'_> {
    fn federated(&self, is_sandbox: bool) -> Result<Origin, Error> {
        let given = self.line.given(self.env)?;
        let observer = Arc::new(Journal { clock: Arc::clone(self.clock) });
        // The sandbox's secrets are worth nothing, and its lines would only be in the way.
        let is_lost = is_sandbox || stderr_is_lost();
        let federation = Federation::new(given, self.env, self.clock, self.console, is_lost, observer)?;
        let tokens = Tokens::new(Arc::clone(federation.source()), HOLD);
        let sts = LocalSts {
            address: None,
            handle: Arc::clone(self.secret),
            sources: vec![Arc::clone(federation.source())],
            ledger: Arc::default(),
            console: Arc::clone(self.console),
            clock: Arc::clone(self.clock),
            hold: HOLD,
            announced: Announced::default(),
        };
        Ok(Origin::Federated(Federated { federation: Arc::new(federation), tokens, sts }))
    }

    fn pass_through(&self) -> Result<Origin, Error> {
        let (url, network) = self.line.pass_through(self.env)?;
        let limit = network.timeout;
        let upstream = Upstream::new(url, network, self.env, self.clock, self.console);
        let own = self.line.client(self.env)?;
        let client = Client::new(upstream, limit);
        Ok(Origin::PassThrough(PassThrough { client, clients: Arc::default(), own, last: Mutex::default() }))
    }
}

/// Tells whether standard error leads to a file or to the null device, where no runner reads it.
fn stderr_is_lost() -> bool {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileTypeExt;
    let found =
        io::stderr().as_fd().try_clone_to_owned().map(std::fs::File::from).and_then(|file| file.metadata());
    found.map_or(true, |found| {
        let kind = found.file_type();
        kind.is_file() || (kind.is_char_device() && !io::IsTerminal::is_terminal(&io::stderr()))
    })
}

/// The line that says that everything is open.
struct Ready {
    backend: BackEnd,
    bearer_file: String,
    is_json: bool,
}

impl Ready {
    fn say(&self, rest: Option<&Listener>, mcp: Option<&Listener>) {
        let url =
            |listener: Option<&Listener>, path: &str| listener.map(|listener| listener.local().url(path));
        let (rest, mcp) = (url(rest, ""), url(mcp, "/mcp"));
        let backend = self.backend.id();
        if self.is_json {
            let line = serde_json::json!({
                "event": "ready", "rest": rest, "mcp": mcp, "backend": backend, "bearer_file": self.bearer_file,
            });
            return log::write_raw(&format!("{line}\n"));
        }
        let or_none = |url: Option<String>| url.unwrap_or_else(|| "none".to_owned());
        let (rest, mcp) = (or_none(rest), or_none(mcp));
        log::write_raw(&format!(
            "ready rest={rest} mcp={mcp} backend={backend} bearer-file={}\n",
            service::quote(&self.bearer_file)
        ));
    }
}

async fn serve(app: &Arc<App>, options: &Options, ready: &Ready) -> Result<(), Error> {
    let stop = CancellationToken::new();
    let mut ends = Ends::new();
    let rest = open(options.rest.as_ref()).await?;
    let mcp = open(options.mcp.as_ref()).await?;
    if let Origin::Federated(federated) = &app.origin {
        let source = Arc::clone(federated.tokens.source());
        tokio::spawn(Arc::clone(&federated.tokens).keep(move || source.tick()));
    }
    let figures = app.metrics.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(UPKEEP).await;
            figures.run_upkeep();
        }
    });
    let looks = Arc::new(Budget::default());
    let bearer = (!options.allows_unauthenticated).then(|| Arc::clone(&app.bearer));
    let guarded = |router: Router, listener: &Listener, is_open: fn(&str) -> bool| {
        let guard = Guard { bearer: bearer.clone(), local: listener.local().clone(), is_open };
        router.layer(from_fn_with_state(Arc::new(guard), guard::guard))
    };
    ready.say(rest.as_ref(), mcp.as_ref());
    let mut running = tokio::task::JoinSet::new();
    if let Some(listener) = rest {
        let is_open = match app.origin {
            Origin::Federated(_) => rest::is_open_federated,
            Origin::PassThrough(_) => rest::is_open,
        };
        let router = guarded(rest::router(app), &listener, is_open);
        running.spawn(listener.serve(router, Arc::clone(&looks), stop.clone(), PATIENCE));
    }
    if let Some(listener) = mcp {
        let router = guarded(Mcp::new(app).router(CancellationToken::new()), &listener, |_| false);
        running.spawn(listener.serve(router, looks, stop.clone(), PATIENCE));
    }
    if options.is_stdio {
        let mcp = Mcp::new(app);
        running.spawn(async move {
            if let Ok(running) = mcp.serve(rmcp::transport::stdio()).await {
                running.waiting().await.ok();
            }
        });
    }
    tokio::select! {
        () = ends.told() => tracing::info!(event = "ending", "told to end; what is being answered has {} s", PATIENCE.as_secs()),
        // Standard input has ended.
        _ = running.join_next() => {}
    }
    stop.cancel();
    if !options.is_stdio {
        while running.join_next().await.is_some() {}
    }
    Ok(())
}

async fn open(address: Option<&crate::options::Address>) -> Result<Option<Listener>, Error> {
    match address {
        Some(address) => Listener::open(address).await.map(Some),
        None => Ok(None),
    }
}

/// The signals that end the service.
struct Ends(Vec<Signal>);

impl Ends {
    /// Waits for them from now on. A terminal that is closed ends the service as well, unless it was started to outlive it.
    fn new() -> Self {
        let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt(), SignalKind::quit()];
        if !ignores_hangup() {
            kinds.push(SignalKind::hangup());
        }
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    /// Returns when one has come.
    async fn told(&mut self) {
        std::future::poll_fn(|cx| {
            let came = self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready());
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

/// Tells whether this process was started to ignore the end of its terminal (`nohup`), where the system says so.
fn ignores_hangup() -> bool {
    const HANGUP: u64 = 1;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & HANGUP != 0)
}
