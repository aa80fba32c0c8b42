//! What becomes of a check without the software or the right that it needs.

use std::collections::BTreeMap;
use std::panic;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::harness::Skipped;

/// The answers so far: whether something is there, and its cure.
static KNOWN: Mutex<BTreeMap<String, (bool, &str)>> = Mutex::new(BTreeMap::new());
/// How many checks were skipped.
static SKIPPED: AtomicUsize = AtomicUsize::new(0);

fn known() -> MutexGuard<'static, BTreeMap<String, (bool, &'static str)>> {
    KNOWN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends the check here, as skipped, unless this command succeeds. Where nothing may be skipped, it fails.
#[track_caller]
pub(crate) fn need(what: &str, command: &mut Command, cure: &'static str) {
    let is_there = {
        let mut known = known();
        let found = known.get(what).map(|(is_there, _)| *is_there);
        found.unwrap_or_else(|| {
            let output = command.stdin(Stdio::null()).output();
            let is_there = output.is_ok_and(|output| output.status.success());
            known.insert(what.to_owned(), (is_there, cure));
            is_there
        })
    };
    if !is_there {
        assert!(!is_everything_required(), "there is no {what}: {cure}");
        SKIPPED.fetch_add(1, Ordering::Relaxed);
        panic::resume_unwind(Box::new(Skipped(format!("there is no {what}"))));
    }
}

/// `EQUINIX_WIF_REQUIRE_INTEROP=1`, which the gate sets, permits no skips. `0` and nothing do.
pub(crate) fn is_everything_required() -> bool {
    std::env::var_os("EQUINIX_WIF_REQUIRE_INTEROP").is_some_and(|value| !value.is_empty() && value != "0")
}

/// How many checks were skipped, why, and what to run; `None` if all were made.
pub(crate) fn summary() -> Option<String> {
    let count = SKIPPED.load(Ordering::Relaxed);
    if count == 0 {
        return None;
    }
    let mut by_cure: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (what, (_, cure)) in known().iter().filter(|(_, (is_there, _))| !is_there) {
        by_cure.entry(cure).or_default().push(what.clone());
    }
    let cures: Vec<String> =
        by_cure.into_iter().map(|(cure, what)| format!("no {}: {cure}", what.join(", "))).collect();
    Some(format!("SKIPPED {count} checks that need more than this machine has; {}", cures.join("; ")))
}
