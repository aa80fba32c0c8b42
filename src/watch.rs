//! A wait that somebody is told of.

use std::io::{self, ErrorKind};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use crate::deadline::Deadline;

/// Tells somebody that something is waited for. The wait goes on, with the deadline that it has. One watch goes from each wait
/// of a request to the next, so that they are told of as one.
pub struct Watch {
    /// The moment when it is to be told, if it still is.
    next: Option<Deadline>,
    /// Tells it, and returns when to tell it again.
    tell: Box<dyn FnMut() -> Option<Deadline> + Send + Sync>,
}

impl Watch {
    /// Makes one that tells it for the first time at `next`.
    pub fn new(next: Deadline, tell: impl FnMut() -> Option<Deadline> + Send + Sync + 'static) -> Self {
        Self { next: Some(next), tell: Box::new(tell) }
    }
}

/// Waits until a deadline, and has it told on the way. `step` waits until the moment that it is given, and returns `None`
/// when that came first.
fn wait<T>(
    watch: &mut Option<Watch>,
    deadline: Deadline,
    mut step: impl FnMut(Deadline) -> Option<T>,
) -> Option<T> {
    loop {
        let due = watch.as_mut().filter(|watch| watch.next.is_some_and(|next| next < deadline));
        let until = due.as_ref().and_then(|watch| watch.next).unwrap_or(deadline);
        match (step(until), due) {
            // Without another moment nothing is told any more, and what was told stays as it is till the end.
            (None, Some(watch)) => watch.next = (watch.tell)(),
            (outcome, _) => return outcome,
        }
    }
}

/// Makes a call that has a time limit, and has it told on the way that it waits. `step` is the call with a limit of its own.
pub fn call<T>(
    watch: &mut Option<Watch>,
    deadline: Deadline,
    mut step: impl FnMut(Deadline) -> io::Result<T>,
) -> io::Result<T> {
    let outcome = wait(watch, deadline, |until| match step(until) {
        Err(error) if error.kind() == ErrorKind::TimedOut => None,
        outcome => Some(outcome),
    });
    outcome.unwrap_or_else(|| Err(ErrorKind::TimedOut.into()))
}

/// Waits for what another thread sends. `None` when it does not come in time, or never will.
pub fn receive<T>(watch: &mut Option<Watch>, deadline: Deadline, from: &Receiver<T>) -> Option<T> {
    wait(watch, deadline, |until| match from.recv_timeout(until.left().unwrap_or_default()) {
        Ok(received) => Some(Some(received)),
        Err(RecvTimeoutError::Timeout) => None,
        Err(RecvTimeoutError::Disconnected) => Some(None),
    })
    .flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::{Duration, Instant};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Returns the moments, in seconds, until which the steps of a wait go that never comes to its end.
    fn steps(watch: &mut Option<Watch>, start: Instant, deadline: u32) -> Vec<f64> {
        let mut moments = Vec::new();
        let outcome = wait(watch, Deadline::after(start, deadline * SECOND), |until| {
            moments.push(until.left_at(start).unwrap().as_secs_f64());
            None::<()>
        });
        assert!(outcome.is_none());
        moments
    }

    #[test]
    fn several_waits_are_told_of_as_one() {
        let start = Instant::now();
        let after = move |seconds: u32| Deadline::after(start, seconds * SECOND);
        let mut told = 0;
        let mut counting = Some(Watch::new(after(3), move || {
            told += 1;
            Some(after(3 + told))
        }));
        assert_eq!(steps(&mut counting, start, 2), [2.0]);
        assert_eq!(steps(&mut counting, start, 5), [3.0, 4.0, 5.0]);
        assert_eq!(steps(&mut counting, start, 7), [5.0, 6.0, 7.0]);
        let mut once = Some(Watch::new(after(3), || None));
        assert_eq!(steps(&mut once, start, 5), [3.0, 5.0]);
        assert_eq!(steps(&mut once, start, 60), [60.0], "a later deadline does not have it told anew");
        assert_eq!(steps(&mut None, start, 5), [5.0]);
    }

    #[test]
    fn what_another_thread_sends_is_waited_for_until_it_can_come_no_more() {
        let (tell, told) = mpsc::channel();
        let (sender, receiver) = mpsc::channel();
        let mut watch = Some(Watch::new(Deadline::within(SECOND / 200), move || {
            tell.send(()).ok();
            None
        }));
        let worker = std::thread::spawn(move || {
            told.recv().unwrap();
            sender.send("late").unwrap();
        });
        let by = Deadline::within(30 * SECOND);
        assert_eq!(receive(&mut watch, by, &receiver), Some("late"));
        assert_eq!(receive(&mut watch, by, &receiver), None);
        assert!(by.left().is_some(), "at once");
        worker.join().unwrap();
        let (_sender, receiver) = mpsc::channel::<()>();
        assert_eq!(receive(&mut watch, Deadline::within(SECOND / 200), &receiver), None);
    }
}
