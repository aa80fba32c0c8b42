//! Runs whose time is measured do not share the processor with ordinary ones.
//!
//! Runs of the same kind go on side by side; the two kinds take turns. A test of time holds [`measured`] while it runs
//! jobs, and every other run holds [`ordinary`] without knowing it. One that waits to measure lets nobody else begin, so
//! it does not wait for long. What a thread starts while it holds a turn belongs to that turn and never waits, so a test
//! may start several runs at once.

use std::cell::Cell;
use std::sync::{Condvar, LazyLock, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};

/// How many hold which turn, and how many wait to measure.
#[derive(Default)]
struct Counts {
    ordinary: usize,
    measured: usize,
    waiting: usize,
}

/// Who runs now.
#[derive(Default)]
pub struct Turns {
    counts: Mutex<Counts>,
    changed: Condvar,
}

static ALL: LazyLock<Turns> = LazyLock::new(Turns::default);

thread_local! {
    /// How many turns this thread holds.
    static HELD: Cell<usize> = const { Cell::new(0) };
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Ordinary,
    Measured,
    /// A part of a turn that this thread holds already.
    Nested,
}

/// A turn; it ends when this is dropped.
#[must_use = "a turn ends when it is dropped"]
pub struct Turn<'a> {
    turns: &'a Turns,
    kind: Kind,
    thread: ThreadId,
}

/// Waits until nobody else runs anything, but for others that measure.
pub fn measured() -> Turn<'static> {
    ALL.measured()
}

/// Waits until nobody measures or wants to.
pub fn ordinary() -> Turn<'static> {
    ALL.ordinary()
}

/// Whether this thread holds a turn.
pub fn is_held() -> bool {
    HELD.get() > 0
}

/// Makes this thread, which helps one that holds a turn, hold it as well.
pub fn helps() {
    HELD.set(HELD.get() + 1);
}

impl Turns {
    /// [`measured`], among these.
    pub fn measured(&self) -> Turn<'_> {
        self.begin(Kind::Measured)
    }

    /// [`ordinary`], among these.
    pub fn ordinary(&self) -> Turn<'_> {
        self.begin(Kind::Ordinary)
    }

    /// How many wait to measure.
    pub fn waiting(&self) -> usize {
        self.counts().waiting
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(
        &self,
        counts: MutexGuard<'a, Counts>,
        until: fn(&mut Counts) -> bool,
    ) -> MutexGuard<'a, Counts> {
        self.changed.wait_while(counts, |counts| !until(counts)).unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, kind: Kind) -> Turn<'_> {
        let kind = if is_held() { Kind::Nested } else { kind };
        match kind {
            Kind::Nested => {}
            Kind::Ordinary => {
                self.wait(self.counts(), |counts| counts.measured + counts.waiting == 0).ordinary += 1;
            }
            Kind::Measured => {
                let mut counts = self.counts();
                counts.waiting += 1;
                let mut counts = self.wait(counts, |counts| counts.ordinary == 0);
                counts.waiting -= 1;
                counts.measured += 1;
            }
        }
        HELD.set(HELD.get() + 1);
        Turn { turns: self, kind, thread: thread::current().id() }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if self.thread == thread::current().id() {
            HELD.set(HELD.get().saturating_sub(1));
        }
        let mut counts = self.turns.counts();
        match self.kind {
            Kind::Ordinary => counts.ordinary -= 1,
            Kind::Measured => counts.measured -= 1,
            Kind::Nested => {}
        }
        drop(counts);
        self.turns.changed.notify_all();
    }
}
