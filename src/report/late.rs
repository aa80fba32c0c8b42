//! A line about an answer that is late.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::deadline::Deadline;
use crate::report::console::Console;
use crate::report::countdown::{Countdown, TICK, left};

/// The time after which an answer is late.
pub const PATIENCE: Duration = Duration::from_secs(3);

/// An answer that is waited for.
pub struct Late {
    countdown: Countdown<Arc<Console>>,
    who: &'static str,
    began: Instant,
    deadline: Deadline,
}

impl Late {
    /// Begins to wait for an answer of somebody. `deadline` is the end of the run.
    pub fn new(console: Arc<Console>, who: &'static str, began: Instant, deadline: Deadline) -> Self {
        Self { countdown: Countdown::new(console).with_newest(), who, began, deadline }
    }

    /// Says that there is no answer yet. Returns when to say it again.
    pub fn tell(&mut self, now: Instant) -> Option<Deadline> {
        let waited = now.saturating_duration_since(self.began).as_secs();
        let left = left(self.deadline, now);
        let line = format!("{} has not answered for {waited} s, waiting{left}", self.who);
        self.countdown.show(line).then(|| Deadline::after(now, TICK))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::console::{Verbosity, captured};

    const SECOND: Duration = Duration::from_secs(1);

    fn told(counts_down: bool, verbosity: Verbosity) -> (Vec<bool>, String) {
        let (console, lines) = captured::console(verbosity, false);
        let console = Arc::new(console.with_countdown(counts_down));
        let began = Instant::now();
        let mut late = Late::new(console, "the STS", began, Deadline::after(began, 60 * SECOND));
        let again = [3, 4, 5].map(|waited| late.tell(began + waited * SECOND).is_some());
        drop(late);
        (again.to_vec(), lines.text())
    }

    #[test]
    fn in_a_log_it_is_one_line() {
        let line = "equinix-wif: the STS has not answered for 3 s, waiting (57 s of --timeout left)\n";
        let (again, text) = told(false, Verbosity::Normal);
        assert!(!again[0] && text.starts_with(line), "{text}");
        assert_eq!(told(true, Verbosity::Quiet).1, "");
    }

    #[test]
    fn on_a_terminal_it_counts_down_in_place_and_stays() {
        let (again, text) = told(true, Verbosity::Normal);
        assert_eq!(again, [true; 3]);
        let passing = |waited: u64| {
            let line = format!(
                "equinix-wif: the STS has not answered for {waited} s, waiting ({} s of --timeout left)",
                60 - waited
            );
            format!("\r\u{1b}[K\u{1b}[?7l{line}\u{1b}[?7h")
        };
        let stays =
            "\r\u{1b}[Kequinix-wif: the STS has not answered for 5 s, waiting (55 s of --timeout left)\n";
        assert_eq!(text, [passing(3), passing(4), passing(5), stays.to_owned()].concat());
    }
}
