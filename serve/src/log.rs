//! The log on standard error. Every line goes through the redactor, whoever wrote it.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, LazyLock, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use equinix_wif::service::{Clock, Console, LineKind, Log, SystemClock, rfc3339};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as layers};

use crate::caller::Asker;

/// The place from which lines of the library come.
const LIBRARY: &str = "equinix_wif_serve::library";

/// A token that was handed out. There is a line for every one, and the search for secrets takes longer than all the rest of an answer:
/// so this line is made of routes, scopes, times and numbers alone, and written out here.
pub struct HandOut<'a> {
    /// The route that was asked.
    pub route: &'static str,
    /// The scope of the token.
    pub scope: &'a str,
    /// Its end (Unix time), if it is known.
    pub until: Option<i64>,
    /// The process that asked.
    pub asker: Asker,
}

/// The form of the log.
static FORM: OnceLock<Form> = OnceLock::new();

/// True if there is to be a line for every token.
static HAND_OUTS: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Text,
    Json,
}

/// Writes down that a token was handed out.
pub fn hand_out(what: &HandOut<'_>) {
    let Some(form) = FORM.get().filter(|_| HAND_OUTS.load(Ordering::Relaxed)) else { return };
    let HandOut { route, scope, until, asker } = what;
    let now = moment();
    let until = until.map_or_else(|| "unknown".to_owned(), rfc3339);
    // As JSON texts, which nothing can end early.
    let scope = serde_json::Value::from(*scope);
    let number = |number: Option<u32>| number.map_or_else(|| "null".to_owned(), |number| number.to_string());
    let (pid, uid) = (number(asker.pid), number(asker.uid));
    let line = match form {
        Form::Json => format!(
            r#"{{"timestamp":"{now}","level":"INFO","message":"a token was handed out","event":"hand-out","route":"{route}","scope":{scope},"expires_at":"{until}","pid":{pid},"uid":{uid}}}"#
        ),
        Form::Text => format!(
            r#"{now} INFO  a token was handed out event="hand-out" route="{route}" scope={scope} expires_at="{until}" pid={pid} uid={uid}"#
        ),
    };
    write_bytes((line + "\n").into_bytes());
}

/// Takes the library's lines into the log.
pub fn of_library() -> Log {
    Box::new(|kind, text| match kind {
        LineKind::Detail => tracing::debug!(target: LIBRARY, "{text}"),
        LineKind::Note => tracing::info!(target: LIBRARY, "{text}"),
        LineKind::Warning => tracing::warn!(target: LIBRARY, "{text}"),
        LineKind::Error => tracing::error!(target: LIBRARY, "{text}"),
    })
}

/// Begins to log. Lines of other crates stay out: what they say may hold a request.
pub fn start(console: &Arc<Console>, is_json: bool, level: tracing::Level) {
    let is_wanted = move |metadata: &Metadata<'_>| {
        metadata.target().starts_with("equinix_wif") && *metadata.level() <= level
    };
    let form = if is_json { Form::Json } else { Form::Text };
    FORM.set(form).ok();
    HAND_OUTS.store(level >= tracing::Level::INFO, Ordering::Relaxed);
    let lines = Lines(Arc::clone(console));
    let layer = if is_json {
        layers::layer().json().flatten_event(true).with_target(false).with_writer(lines).boxed()
    } else {
        layers::layer().with_ansi(false).event_format(Plain).with_writer(lines).boxed()
    };
    // Where one was set before, as in tests, that one stays.
    tracing_subscriber::registry().with(layer.with_filter(filter_fn(is_wanted))).try_init().ok();
}

/// A line for people: the moment, the level, the message, and what belongs to it.
struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        write!(writer, "{} ", moment())?;
        write!(writer, "{:<5} ", event.metadata().level())?;
        context.field_format().format_fields(writer.by_ref(), event)?;
        writeln!(writer)
    }
}

fn moment() -> String {
    rfc3339(SystemClock.unix_time())
}

#[derive(Clone)]
struct Lines(Arc<Console>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { console: &self.0, bytes: Vec::with_capacity(256) }
    }
}

/// A line that is being written. It goes out whole, when it is complete.
struct Line<'a> {
    console: &'a Console,
    bytes: Vec<u8>,
}

impl Write for Line<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line<'_> {
    fn drop(&mut self) {
        let text = String::from_utf8_lossy(&self.bytes);
        write_raw(&format!("{}\n", self.console.safe(text.trim_end())));
    }
}

/// The line about lines that had no room.
fn lost_line(lost: u64) -> String {
    let now = moment();
    let message = format!("{lost} lines of the log are lost: nobody read them in time");
    let line = match FORM.get() {
        Some(Form::Json) => {
            format!(r#"{{"timestamp":"{now}","level":"WARN","message":"{message}","event":"log-lost"}}"#)
        }
        _ => format!(r#"{now} WARN  {message} event="log-lost""#),
    };
    line + "\n"
}

/// Writes a line of our own words to the log.
pub fn write_raw(line: &str) {
    write_bytes(line.as_bytes().to_vec());
}

fn write_bytes(line: Vec<u8>) {
    QUEUE.push(&line);
}

/// Waits until everything is written, but not for long: perhaps nobody reads it.
pub fn finish() {
    QUEUE.finish();
}

/// The lines on their way to standard error. A thread writes them, since standard error may be a pipe that nobody reads, and
/// such a pipe must not hold up whoever asks for a token.
static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::start);

/// The bytes that may wait. Further lines are counted, and left out.
const WAITING: usize = 256 * 1024;

/// The time for which the thread lets lines gather. To wake it for each one costs more than the line.
const GATHER: Duration = Duration::from_millis(5);

/// The time that the end waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

#[derive(Default)]
struct Gathered {
    text: Vec<u8>,
    lost: u64,
    /// True while the thread writes, or is about to.
    is_busy: bool,
}

struct Queue {
    lines: Mutex<Gathered>,
    /// Wakes the thread.
    more: Condvar,
    /// Tells that everything is written.
    written: Condvar,
    /// False if no thread could be started: then whoever writes a line writes it itself.
    has_thread: AtomicBool,
}

impl Queue {
    fn start() -> Self {
        let (more, written) = (Condvar::new(), Condvar::new());
        Self { lines: Mutex::default(), more, written, has_thread: AtomicBool::new(false) }
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&'static self, line: &[u8]) {
        if !self.has_thread.load(Ordering::Acquire) && !self.start_thread() {
            io::stderr().lock().write_all(line).ok();
            return;
        }
        let mut lines = self.lock();
        if lines.text.len() + line.len() > WAITING {
            lines.lost += 1;
            return;
        }
        lines.text.extend_from_slice(line);
        if !lines.is_busy {
            lines.is_busy = true;
            self.more.notify_one();
        }
    }

    fn start_thread(&'static self) -> bool {
        // The lock keeps a second one from being started.
        let _lines = self.lock();
        if !self.has_thread.load(Ordering::Acquire) {
            let thread = std::thread::Builder::new().name("log".to_owned()).stack_size(128 * 1024);
            self.has_thread.store(thread.spawn(|| self.write_all()).is_ok(), Ordering::Release);
        }
        self.has_thread.load(Ordering::Acquire)
    }

    /// Writes lines for ever, as many at once as have gathered.
    fn write_all(&self) {
        let mut text = Vec::new();
        loop {
            let mut lines = self.lock();
            while lines.text.is_empty() {
                lines.is_busy = false;
                self.written.notify_all();
                lines = self.more.wait(lines).unwrap_or_else(PoisonError::into_inner);
            }
            std::mem::swap(&mut text, &mut lines.text);
            let lost = std::mem::take(&mut lines.lost);
            drop(lines);
            if lost > 0 {
                text.extend_from_slice(lost_line(lost).as_bytes());
            }
            // Nobody is left to be told when it is gone, and the service goes on.
            io::stderr().lock().write_all(&text).ok();
            text.clear();
            std::thread::sleep(GATHER);
        }
    }

    fn finish(&self) {
        let mut lines = self.lock();
        let end = Instant::now() + LAST_LINES;
        while lines.is_busy {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            lines = self.written.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
