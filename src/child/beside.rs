//! Staying beside a command: this process waits for it, and otherwise is as if it were not there. The command has the
//! terminal, the streams, the process group and the ignored signals that it would have had in this one's place.
//!
//! # Signals
//!
//! One that is sent to this process is sent on, once, and one that has reached the command by itself is not. Which of the
//! two it is depends on the process group, where both are members:
//!
//! - Without a controlling terminal, as in nearly every CI job, this process leaves the group once the command is in it. A
//!   signal for the whole group then reaches the command alone, and each one that comes here was meant for this process.
//! - With a terminal it has to stay: the shell's job control goes by the group. What the terminal sends (Ctrl-C, Ctrl-\,
//!   Ctrl-Z, its size, its end) the kernel sends to the whole group, and says that it was the kernel. What comes from a
//!   process is sent on. If that process meant the whole group, the command gets it twice; the system does not tell.
//! - The leader of a session or of a group cannot leave it either: a container's first process, or what `setsid` has
//!   started. Container runtimes send their signals to the first process alone.
//!
//! Two senders are known. What the command itself sends is not sent back to it: either it was meant for its whole group, or
//! for this process. And timeout(1) sends to its child and then to its group, which it leads unless it has `--foreground`.
//!
//! # Ends
//!
//! The command is signalled and reaped by one thread, so no signal goes to another process that has got its number.
//! Processes that the command leaves behind are not waited for. If this process is killed, the command goes on.

#[cfg(not(unix))]
pub(crate) use elsewhere::Beside;
#[cfg(unix)]
pub(crate) use unix::Beside;

#[cfg(unix)]
mod unix {
    use std::fs::{self, File, OpenOptions};
    use std::io;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, ExitStatus};
    use std::thread;
    use std::time::Duration;

    use rustix::io::Errno;
    use rustix::process::{
        Pid, Signal, WaitOptions, WaitStatus, getpid, kill_process, setpgid, test_kill_process_group, wait,
        waitpid,
    };
    use rustix::stdio::{dup2_stdin, dup2_stdout};
    use signal_hook::consts::{
        SIGALRM, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2, SIGWINCH,
    };
    use signal_hook::iterator::SignalsInfo;
    use signal_hook::iterator::exfiltrator::WithOrigin;
    use signal_hook::low_level::siginfo::{Cause, Origin};

    use crate::child::{HELPERS, found_but_not_started, not_started, status_of};
    use crate::error::Error;
    use crate::signals;

    /// The signals that are sent on.
    const FORWARDED: [i32; 10] =
        [SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGALRM, SIGWINCH, SIGTSTP, SIGCONT];

    /// A command that runs, and this process beside it.
    pub(crate) struct Beside {
        command: Pid,
        /// The exit status of the command, once it has been reaped. Its number may be another process's from then on.
        ended: Option<u8>,
        signals: SignalsInfo<WithOrigin>,
        /// The signals that came before it was sure that the command would get them.
        early: Vec<Origin>,
        /// True if this process has left the command's process group: then no signal reaches both.
        is_apart: bool,
        leads: Leads,
        has_terminal: bool,
        /// True if this process was asked to stop, and has sent that on.
        is_asked_to_stop: bool,
        /// True while the command is stopped.
        is_stopped: bool,
        /// True if the command has stopped, and this process has not yet.
        is_to_follow: bool,
    }

    impl Beside {
        /// Starts the command.
        pub(crate) fn start(mut command: Command) -> Result<Self, Error> {
            let program = command.get_program().to_owned();
            let failed = |error: io::Error| not_started(&program, &error);
            // A handler would give the command the default in place of what this process ignores.
            let wanted = FORWARDED.into_iter().filter(|signal| !is_ignored(*signal));
            let (late, first): (Vec<i32>, Vec<i32>) = wanted.partition(|signal| is_handled_late(*signal));
            // Before the command is there: no signal is lost, and none ends this process alone.
            let mut signals = SignalsInfo::new(first.iter().chain(&[SIGCHLD])).map_err(failed)?;
            signals::leave_to_command();
            let has_terminal = has_terminal();
            let leads = Leads::now();
            let leaves = !has_terminal && leads == Leads::Nothing;
            let child = command.spawn().map_err(|error| found_but_not_started(&program, &error))?;
            let is_apart = leaves && setpgid(None, None).is_ok();
            // Whether the command has got one of these by itself is not known. So early it has no handler: the first one
            // has ended it then, and the second changes nothing.
            let early = signals.pending().collect();
            for signal in late {
                signals.add_signal(signal).map_err(failed)?;
            }
            release_streams();
            Ok(Self {
                command: Pid::from_child(&child),
                ended: None,
                signals,
                early,
                is_apart,
                leads,
                has_terminal,
                is_asked_to_stop: false,
                is_stopped: false,
                is_to_follow: false,
            })
        }

        /// Waits for the command's end. The result is its exit status, in a shell's terms.
        pub(crate) fn wait(mut self) -> u8 {
            for origin in std::mem::take(&mut self.early) {
                if sender(&origin) != Some(self.command) {
                    self.send_on(origin.signal);
                }
            }
            loop {
                self.look();
                if let Some(status) = self.ended {
                    return status;
                }
                self.follow();
                for origin in self.signals.wait() {
                    if !self.is_out_of_place(&origin) {
                        self.send_on(origin.signal);
                    }
                }
            }
        }

        /// Tells whether a signal is one that the command has got by itself, or has sent.
        fn is_out_of_place(&self, origin: &Origin) -> bool {
            if sender(origin).is_some_and(|sender| sender == self.command || self.is_timeout(sender)) {
                return true;
            }
            let is_from_kernel = match origin.cause {
                Cause::Kernel => true,
                // macOS says no more than that no process has sent it.
                Cause::Unknown => cfg!(not(target_os = "linux")) && origin.process.is_none(),
                _ => false,
            };
            // When a terminal goes away, the kernel tells the leader of the session alone.
            let is_leader_s = origin.signal == SIGHUP && self.leads == Leads::Session;
            is_from_kernel && !self.is_apart && !is_leader_s
        }

        /// Tells whether a process is a timeout(1) that sends to the command's group too.
        fn is_timeout(&self, sender: Pid) -> bool {
            let program = std::env::args_os().next().unwrap_or_default();
            let about = |id: Pid, what: &str| fs::read(format!("/proc/{}/{what}", id.as_raw_pid()));
            group_of(&about(self.command, "stat").unwrap_or_default()) == Some(sender)
                && about(sender, "cmdline").is_ok_and(|line| is_timeout_of_group(&line, program.as_bytes()))
        }

        fn send_on(&mut self, signal: i32) {
            match signal {
                SIGCHLD => return,
                SIGCONT if !self.is_apart && !self.stays_stopped() => return,
                SIGTSTP => self.is_asked_to_stop = true,
                _ => {}
            }
            if self.ended.is_none()
                && let Some(signal) = Signal::from_named_raw(signal)
            {
                // It may belong to another user by now, as under sudo. Nothing that this process could do about it.
                kill_process(self.command, signal).ok();
            }
        }

        /// Tells whether the command is still stopped while this process goes on. Who makes the whole group go on does so
        /// in one call, so the command has long been told when the moment is over.
        fn stays_stopped(&mut self) -> bool {
            const MOMENT: Duration = Duration::from_millis(20);
            if self.is_stopped {
                thread::sleep(MOMENT);
                self.look();
            }
            self.is_stopped
        }

        /// Looks what has become of the command, and reaps it when it has ended. The first process of a container is also
        /// given those whose parents have ended, to reap them.
        fn look(&mut self) {
            let options = WaitOptions::NOHANG | WaitOptions::UNTRACED | WaitOptions::CONTINUED;
            let alone = HELPERS.try_write().ok().filter(|_| getpid() == Pid::INIT);
            loop {
                let found = match alone {
                    Some(_) => wait(options),
                    None => waitpid(Some(self.command), options),
                };
                match found {
                    Ok(Some((pid, status))) if pid == self.command => self.becomes(status),
                    Ok(Some(_)) | Err(Errno::INTR) => {}
                    Ok(None) => return,
                    // No child is left. Should the command not have been seen to end, it can only be said that it has.
                    Err(_) => {
                        self.ended.get_or_insert(1);
                        return;
                    }
                }
            }
        }

        fn becomes(&mut self, status: WaitStatus) {
            if status.stopped() || status.continued() {
                self.is_stopped = status.stopped();
                self.is_to_follow = status.stopped();
            } else {
                self.is_stopped = false;
                self.ended = Some(status_of(ExitStatus::from_raw(status.as_raw())));
            }
        }

        /// Stops with the command, so that the shell sees its job stopped, or whoever asked for it sees it done. Where
        /// nobody looks at this process nobody would make it go on either, so it does not stop there.
        fn follow(&mut self) {
            let has_job_control = self.has_terminal && self.leads != Leads::Session;
            if std::mem::take(&mut self.is_to_follow) && (has_job_control || self.is_asked_to_stop) {
                self.is_asked_to_stop = false;
                kill_process(getpid(), Signal::STOP).ok();
            }
        }
    }

    /// Returns the process that has sent a signal, unless it is the kernel or out of sight.
    fn sender(origin: &Origin) -> Option<Pid> {
        origin.process.and_then(|process| Pid::from_raw(process.pid))
    }

    #[cfg(target_os = "linux")]
    use signals::is_ignored;

    /// There is no safe way to ask.
    #[cfg(not(target_os = "linux"))]
    fn is_ignored(_: i32) -> bool {
        false
    }

    /// Tells whether a signal gets its handler only after the command has inherited that it is ignored, as nohup and shells
    /// ignore some: where that cannot be asked.
    fn is_handled_late(signal: i32) -> bool {
        cfg!(not(target_os = "linux")) && [SIGHUP, SIGINT, SIGQUIT].contains(&signal)
    }

    /// Returns the process group in a line of proc(5)'s `stat`. It comes second behind the state, and that behind the name.
    fn group_of(stat: &[u8]) -> Option<Pid> {
        let (_, fields) = std::str::from_utf8(stat).ok()?.rsplit_once(") ")?;
        fields.split(' ').nth(2)?.parse().ok().and_then(Pid::from_raw)
    }

    /// Tells of a command line whether it is that of a timeout(1) without `--foreground`. Its own options end where the
    /// program stands at the latest.
    fn is_timeout_of_group(line: &[u8], program: &[u8]) -> bool {
        let mut words = line.split(|byte| *byte == 0);
        let name = words.next().and_then(|word| word.rsplit(|byte| *byte == b'/').next());
        let is_foreground = |word: &[u8]| {
            word.starts_with(b"--f")
                || word.starts_with(b"-") && !word.starts_with(b"--") && word.contains(&b'f')
        };
        name == Some(b"timeout") && !words.take_while(|word| *word != program).any(is_foreground)
    }

    /// The leadership of this process.
    #[derive(Clone, Copy, PartialEq)]
    enum Leads {
        Nothing,
        Group,
        Session,
    }

    impl Leads {
        /// Finds it out without a number of the group or of the session: in a PID namespace that may be 0, for one from
        /// outside, which `rustix` does not expect.
        fn now() -> Self {
            if test_kill_process_group(getpid()) == Err(Errno::SRCH) {
                Self::Nothing
            } else if setpgid(None, None).is_ok() {
                // It has had this group before.
                Self::Group
            } else {
                Self::Session
            }
        }
    }

    fn has_terminal() -> bool {
        let none = [Errno::NXIO, Errno::NOENT].map(|errno| Some(errno.raw_os_error()));
        File::open("/dev/tty").map_or_else(|error| !none.contains(&error.raw_os_error()), |_| true)
    }

    /// Lets go of the streams that are the command's: whoever is at the other end shall see when it has closed them.
    fn release_streams() {
        if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
            dup2_stdin(&null).ok();
            dup2_stdout(&null).ok();
        }
    }

    #[cfg(test)]
    mod tests {
        use rustix::process::Pid;

        use super::{group_of, is_timeout_of_group};

        #[test]
        fn the_group_is_read_from_the_line_of_a_process() {
            assert_eq!(group_of(b"12 (a) b) S 7 34 5 0 -1\n"), Pid::from_raw(34));
            for line in ["", "12 (a)", "12 (a) S 7", "12 (a) S 7 0 0", "12 (a) S 7 x"] {
                assert_eq!(group_of(line.as_bytes()), None);
            }
        }

        #[test]
        fn a_timeout_of_the_group_is_told_from_its_command_line() {
            for (line, expected) in [
                ("timeout 60 p exec -- make -f x", true),
                ("/usr/bin/timeout -k 5 -s HUP 60 p", true),
                ("timeout --foreground 60 p", false),
                ("timeout -k 5 --fore 60 p", false),
                ("timeout -vf 60 p", false),
                ("sh -c p", false),
                ("my-timeout 60 p", false),
                ("", false),
            ] {
                assert_eq!(is_timeout_of_group(line.replace(' ', "\0").as_bytes(), b"p"), expected, "{line}");
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::process::{Child, Command};

    use crate::child::{not_started, status_of};
    use crate::error::Error;

    /// A command that runs, and this process beside it.
    pub(crate) struct Beside(Child);

    impl Beside {
        /// Starts the command. Ctrl-C and its like go to both at once, so it is enough that they do not end this process
        /// first.
        pub(crate) fn start(mut command: Command) -> Result<Self, Error> {
            #[cfg(windows)]
            for signal in [signal_hook::consts::SIGINT, signal_hook::consts::SIGTERM] {
                // Whoever has a handler is not ended; the flag itself is of no interest.
                signal_hook::flag::register(signal, std::sync::Arc::default()).ok();
            }
            let child = command.spawn().map_err(|error| not_started(command.get_program(), &error))?;
            Ok(Self(child))
        }

        /// Waits for the command's end. The result is its exit status.
        pub(crate) fn wait(mut self) -> u8 {
            // It is a child of this process that nobody else waits for.
            self.0.wait().map_or(1, status_of)
        }
    }
}
