//! Tables of cases: several run at a time, and a failure says which.

use std::any::Any;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::turns;

/// So many cases run at once: most of their time is the program's start, or its waiting.
const WORKERS: usize = 8;

/// Checks every case and fails with the names of those that do.
#[track_caller]
pub fn each<N: Display + Sync, C: Sync>(cases: &[(N, C)], check: impl Fn(&C) + Sync) {
    assert!(!cases.is_empty(), "the table is empty");
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let has_turn = turns::is_held();
    thread::scope(|scope| {
        for _ in 0..WORKERS.min(cases.len()) {
            scope.spawn(|| {
                if has_turn {
                    turns::helps();
                }
                while let Some((name, case)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(case))) {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push(format!("=== {name}\n{}", text(panic.as_ref())));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{} of {} cases fail\n\n{}", failed.len(), cases.len(), failed.join("\n\n"));
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let owned = panic.downcast_ref::<String>().map(String::as_str);
    owned.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(a panic without a text)")
}
