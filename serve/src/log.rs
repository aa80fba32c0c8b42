//! The log on standard error. Every line goes through the redactor, whoever wrote it.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use equinix_wif::service::{Console, LineKind, Log};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, fmt as layers};

/// The place from which lines of the library come.
const LIBRARY: &str = "equinix_wif_serve::library";

/// The place of lines about tokens that were handed out. There is one for every token, and the search for secrets takes longer than
/// all the rest of an answer: so these lines are made of routes, scopes, times and numbers alone.
pub const HAND_OUT: &str = "equinix_wif_serve::hand_out";

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
    let lines = Lines(Arc::clone(console));
    let layer = if is_json {
        layers::layer().json().flatten_event(true).with_target(false).with_writer(lines).boxed()
    } else {
        layers::layer().with_ansi(false).event_format(Plain).with_writer(lines).boxed()
    };
    // Where one was set before, as in tests, that one stays.
    tracing_subscriber::registry().with(layer.with_filter(filter_fn(is_wanted))).try_init().ok();
}

/// A line for people: the level, the message, and what belongs to it. The moment is added by whoever keeps the log; the event of
/// being ready stands alone.
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
    use equinix_wif::service::{Clock, SystemClock, rfc3339};
    rfc3339(SystemClock.unix_time())
}

#[derive(Clone)]
struct Lines(Arc<Console>);

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line<'a>;

    fn make_writer(&'a self) -> Line<'a> {
        Line { console: Some(&self.0), bytes: Vec::with_capacity(256) }
    }

    fn make_writer_for(&'a self, metadata: &Metadata<'_>) -> Line<'a> {
        let console = Some(&*self.0).filter(|_| metadata.target() != HAND_OUT);
        Line { console, bytes: Vec::with_capacity(256) }
    }
}

/// A line that is being written. It goes out whole, when it is complete.
struct Line<'a> {
    /// What makes the line safe; `None` for one that is made of nothing but our own words and settings.
    console: Option<&'a Console>,
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
        match self.console {
            None => write_bytes(std::mem::take(&mut self.bytes)),
            Some(console) => {
                let text = String::from_utf8_lossy(&self.bytes);
                write_raw(&format!("{}\n", console.safe(text.trim_end())));
            }
        }
    }
}

/// Writes a line of our own words to the log.
pub fn write_raw(line: &str) {
    write_bytes(line.as_bytes().to_vec());
}

fn write_bytes(line: Vec<u8>) {
    QUEUE.push(line);
}

/// Waits until everything is written, but not for long: perhaps nobody reads it.
pub fn finish() {
    QUEUE.finish();
}

/// The lines on their way to standard error. A thread writes them, since standard error may be a pipe that nobody reads, and
/// such a pipe must not hold up whoever asks for a token.
static QUEUE: LazyLock<Queue> = LazyLock::new(Queue::start);

/// The number of lines that may wait. Further ones are counted, and left out.
const WAITING: usize = 8192;

/// The bytes that are written at once.
const AT_ONCE: usize = 64 * 1024;

/// The time that the end waits for the last lines.
const LAST_LINES: Duration = Duration::from_secs(1);

enum Entry {
    Line(Vec<u8>),
    /// Everything before it is written.
    Mark(SyncSender<()>),
}

struct Queue {
    /// `None` if no thread could be started: then whoever writes a line writes it itself.
    entries: Option<SyncSender<Entry>>,
    lost: Arc<AtomicU64>,
}

impl Queue {
    fn start() -> Self {
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&lost);
        let thread = std::thread::Builder::new().name("log".to_owned());
        let entries = thread.spawn(move || write_all(&receiver, &counted)).ok().map(|_| sender);
        Self { entries, lost }
    }

    fn push(&self, line: Vec<u8>) {
        match &self.entries {
            None => drop(io::stderr().lock().write_all(&line)),
            Some(entries) => {
                if entries.try_send(Entry::Line(line)).is_err() {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }

    fn finish(&self) {
        let Some(entries) = &self.entries else { return };
        let (sender, receiver) = mpsc::sync_channel(1);
        // Where there is no room for the mark, there is nobody who reads.
        if entries.try_send(Entry::Mark(sender)).is_ok() {
            receiver.recv_timeout(LAST_LINES).ok();
        }
    }
}

/// Writes lines until nobody is left to send any, as many at once as are waiting.
fn write_all(entries: &Receiver<Entry>, lost: &AtomicU64) {
    let mut text = Vec::with_capacity(AT_ONCE);
    let mut marks = Vec::new();
    while let Ok(first) = entries.recv() {
        let mut next = Some(first);
        while let Some(entry) = next {
            match entry {
                Entry::Line(line) => text.extend_from_slice(&line),
                Entry::Mark(mark) => marks.push(mark),
            }
            next = if text.len() < AT_ONCE { entries.try_recv().ok() } else { None };
        }
        let lines = lost.swap(0, Ordering::Relaxed);
        if lines > 0 {
            text.extend_from_slice(format!("{{\"event\":\"lines-lost\",\"lines\":{lines}}}\n").as_bytes());
        }
        // Nobody is left to be told when it is gone, and the service goes on.
        io::stderr().lock().write_all(&text).ok();
        text.clear();
        for mark in marks.drain(..) {
            mark.send(()).ok();
        }
    }
}
