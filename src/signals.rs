//! Ends the program at once when a signal says so, also as the first process of a container, and tells which signals are
//! ignored.

#[cfg(target_os = "linux")]
use std::sync::atomic::AtomicBool;
#[cfg(target_os = "linux")]
use std::sync::{Arc, LazyLock};

/// True as long as the signals end the first process of a container.
#[cfg(target_os = "linux")]
static ENDS: LazyLock<Arc<AtomicBool>> = LazyLock::new(|| Arc::new(AtomicBool::new(true)));

/// Lets the signals that end any other program end this one when it is the first process of a container. For that one
/// Linux drops every signal that has no handler, and `docker stop` waits for ten seconds before it kills.
///
/// The handler ends the process with the status that a shell gives to a signal, 128+n. Nothing has to be tidied up: at any
/// moment the files are such that a program may be killed. Elsewhere the system's own way is left as it is, and what a
/// parent had ignored stays ignored. A command that takes this process's place finds no handler: `execve` drops them.
#[cfg(target_os = "linux")]
pub fn end_at_once() {
    use signal_hook::consts::{SIGALRM, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2};

    const FIRST_PROCESS: u32 = 1;
    if std::process::id() != FIRST_PROCESS {
        return;
    }
    for signal in [SIGHUP, SIGINT, SIGQUIT, SIGALRM, SIGTERM, SIGUSR1, SIGUSR2] {
        if !is_ignored(signal) {
            signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&ENDS)).ok();
        }
    }
}

/// Does nothing: on other systems no process is that special.
#[cfg(not(target_os = "linux"))]
pub fn end_at_once() {}

/// Takes [`end_at_once`] back: from now on the signals are a command's.
#[cfg(all(unix, feature = "renew"))]
pub(crate) fn leave_to_command() {
    #[cfg(target_os = "linux")]
    ENDS.store(false, std::sync::atomic::Ordering::SeqCst);
}

/// Tells whether this process ignores a signal. Without `/proc` that cannot be told, and is taken for no.
#[cfg(target_os = "linux")]
pub(crate) fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignored(&status) >> (signal - 1) & 1 == 1
}

/// Returns the signals that are ignored, a bit for each from the first on, of what proc(5) tells of a process.
#[cfg(target_os = "linux")]
fn ignored(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|digits| u64::from_str_radix(digits.trim(), 16).ok()).unwrap_or_default()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::ignored;

    #[test]
    fn what_is_ignored_is_read_from_the_status() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001001\nSigCgt:\t0000000000000002\n"), 0x1001);
        for status in ["", "SigIgn:\t?\n"] {
            assert_eq!(ignored(status), 0);
        }
    }
}
