//! The number of connections, and whether there may be more.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Lets in as many connections as there may be at a time, until it is shut.
pub(super) struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    free: usize,
    is_open: bool,
    is_closed: bool,
}

impl Gate {
    /// Opens a gate for this many connections, but at least one.
    pub(super) fn new(connections: usize) -> Self {
        let state = State { free: connections.max(1), is_open: true, is_closed: false };
        Self { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Waits for a free slot; `None` when the gate is shut.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Slot> {
        let mut state = self.wait_while(|state| state.is_open && state.free == 0);
        if !state.is_open {
            return None;
        }
        state.free -= 1;
        Some(Slot(Arc::clone(self)))
    }

    /// Tells whether further connections may come in.
    pub(super) fn is_open(&self) -> bool {
        self.lock().is_open
    }

    /// Waits this long, or until the gate is shut.
    pub(super) fn pause(&self, time: Duration) {
        self.wait_while_within(time, |state| state.is_open);
    }

    /// Lets no further connection in.
    pub(super) fn shut(&self) {
        self.lock().is_open = false;
        self.changed.notify_all();
    }

    /// Says that the port is closed.
    pub(super) fn report_closed(&self) {
        self.lock().is_closed = true;
        self.changed.notify_all();
    }

    /// Waits for the port to be closed, and tells whether it is.
    pub(super) fn is_closed_within(&self, time: Duration) -> bool {
        self.wait_while_within(time, |state| !state.is_closed);
        self.lock().is_closed
    }

    /// Takes the lock. A thread that ended while it held the lock left nothing half done: every use is one statement.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self.changed.wait_while(self.lock(), |state| condition(state));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn wait_while_within(&self, time: Duration, condition: impl Fn(&State) -> bool) {
        let waited = self.changed.wait_timeout_while(self.lock(), time, |state| condition(state));
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// A connection's place. It is free again when this is dropped, however the connection ends.
pub(super) struct Slot(Arc<Gate>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.lock().free += 1;
        self.0.changed.notify_all();
    }
}
