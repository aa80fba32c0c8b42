//! `exec --renew`: the program stays beside its command, and nobody notices.

#![cfg(all(target_os = "linux", feature = "renew"))]

use crate::support;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use support::job::{Job, SCOPE};
use support::outcome::Outcome;
use support::process::Running;
use support::script;
use support::table::each;

const ALL: [&str; 10] = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM", "TSTP", "WINCH", "CONT"];
/// Those that are sent to groups here.
const FOR_GROUPS: [&str; 7] = ["HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "ALRM"];

/// Tells the ids, and ends with status 7 when the file `end` is there. It does not outlive the job's folder. A signal ends
/// `wait` at once, so that the trap has run when the next one comes. Two different ones at the same time can make bash 5.2
/// lose a trap there, so no test sends those.
const LOOP: &str = r#"echo $$ $PPID >"$TMPDIR/new"; mv "$TMPDIR/new" "$TMPDIR/pids"
while [[ ! -e $TMPDIR/end && -d $TMPDIR ]]; do sleep 0.05 & wait $!; done
exit 7"#;

/// Writes a line for each of these signals.
fn traps(names: &[&str]) -> String {
    let trap = |name: &&str| format!("trap 'echo {name} >>\"$TMPDIR/seen\"' {name}");
    names.iter().map(trap).collect::<Vec<_>>().join("\n")
}

/// A session without a terminal, whose leader is a shell: a CI job. The shell lives through signals for its group.
const MEMBER: &str = "trap : HUP INT QUIT TERM USR1 USR2 ALRM; equinix-wif \"$@\"; exit $?";
/// A session without a terminal, which the program leads.
const LEADER: &str = "exec equinix-wif \"$@\"";

fn in_session(job: Job, script: &str) -> Job {
    job.arg("--renew").wrap_shell(["env", "--default-signal", "setsid", "sh", "-c", script])
}

/// A command that runs, and the program beside it.
struct Pair {
    running: Running,
    tmp: PathBuf,
    command: u32,
    beside: u32,
}

impl Pair {
    /// Starts the command and waits for its ids.
    fn start(job: Job, lines: &[&str]) -> Self {
        let (script, tmp) = (lines.join("\n"), job.tmp());
        let running = job.exec(["bash", "-c", &script]).start();
        let ids = until("the command runs", || fs::read_to_string(tmp.join("pids")).ok());
        let ids: Vec<u32> = ids.split_whitespace().map(|id| id.parse().unwrap()).collect();
        Self { running, tmp, command: ids[0], beside: ids[1] }
    }

    /// The signals that the command has got.
    fn seen(&self) -> Vec<String> {
        let text = fs::read_to_string(self.tmp.join("seen")).unwrap_or_default();
        text.lines().map(str::to_owned).collect()
    }

    fn waits_for(&self, name: &str) {
        until(&format!("{name} comes"), || self.seen().iter().any(|seen| seen == name).then_some(()));
    }

    fn ends(self) -> Outcome {
        fs::write(self.tmp.join("end"), "").unwrap();
        self.running.wait()
    }
}

/// Waits for something that is told by no stream.
#[track_caller]
fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(2));
    }
}

fn send(name: &str, to: impl Into<i64>) {
    let to: i64 = to.into();
    let sent = Command::new("kill").args([&format!("-{name}"), "--", &to.to_string()]).status();
    assert!(sent.is_ok_and(|status| status.success()), "cannot send {name} to {to}");
}

/// A field behind the name in `/proc/PID/stat`, where the state is the first: then come the parent, the group and the
/// session.
fn field(id: impl ToString, number: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", id.to_string())).ok()?;
    stat.rsplit_once(") ")?.1.split_whitespace().nth(number).map(str::to_owned)
}

fn waits_for_state(id: u32, states: &str) {
    until(&format!("{id} is {states}"), || field(id, 0).filter(|state| states.contains(state.as_str())));
}

mod a_signal {
    use super::*;

    #[test]
    fn for_the_program_reaches_the_command_once() {
        // The last one, CONT, is sent on by a leader only to a command that is stopped.
        for (script, names) in [(MEMBER, &ALL[..]), (LEADER, &ALL[..9])] {
            let pair = Pair::start(in_session(Job::gitlab(), script), &[&traps(&ALL), LOOP]);
            for name in names {
                send(name, pair.beside);
                pair.waits_for(name);
            }
            assert_eq!(pair.seen(), names);
            assert_eq!(pair.ends().status, Some(7));
        }
    }

    #[test]
    fn for_the_whole_group_reaches_the_command_once() {
        let names = [&FOR_GROUPS[..], &["WINCH"]].concat();
        let pair = Pair::start(in_session(Job::gitlab(), MEMBER), &[&traps(&names), LOOP]);
        let group = field(pair.command, 2).unwrap();
        assert_eq!(group, pair.running.pid().to_string(), "the shell leads the group");
        for name in FOR_GROUPS {
            // A second one would be sent on only when the command has already told of the first.
            send("STOP", pair.beside);
            waits_for_state(pair.beside, "T");
            send(name, -group.parse::<i64>().unwrap());
            pair.waits_for(name);
            send("CONT", pair.beside);
        }
        send("WINCH", pair.beside);
        pair.waits_for("WINCH");
        assert_eq!(pair.seen(), names);
        assert_eq!(pair.ends().status, Some(7));
    }

    /// `kill 0`, and a signal for the parent.
    #[test]
    fn of_the_command_does_not_come_back() {
        for to in ["0", "$PPID"] {
            let kill = format!("kill -TERM {to}");
            let pair = Pair::start(in_session(Job::gitlab(), LEADER), &[&traps(&ALL), &kill, LOOP]);
            send("WINCH", pair.beside);
            pair.waits_for("WINCH");
            let expected: &[&str] = if to == "0" { &["TERM", "WINCH"] } else { &["WINCH"] };
            assert_eq!(pair.seen(), expected);
            assert_eq!(pair.ends().status, Some(7));
        }
    }

    /// It sends to its child, then to the group of both, and makes them go on.
    #[test]
    fn of_timeout_reaches_the_command_once() {
        for options in ["", "--foreground"] {
            let script = format!("exec timeout {options} --preserve-status 300 equinix-wif \"$@\"");
            let traps = traps(&["TERM", "INT", "WINCH"]);
            let pair = Pair::start(in_session(Job::gitlab(), &script), &[&traps, LOOP]);
            for name in ["TERM", "INT"] {
                send(name, pair.running.pid());
                pair.waits_for(name);
            }
            send("WINCH", pair.beside);
            pair.waits_for("WINCH");
            assert_eq!(pair.seen(), ["TERM", "INT", "WINCH"], "{options}");
            assert_eq!(pair.ends().status, Some(7));
        }
    }

    #[test]
    fn that_the_caller_ignores_stays_ignored() {
        let ignoring = "trap '' HUP INT; exec equinix-wif \"$@\"";
        let show = "grep -E '^Sig(Blk|Ign|Cgt):' /proc/self/status";
        // The two behind the named ones are the C library's own; its `posix_spawn` leaves them ignored.
        let own = |line: &str| {
            let (name, set) = line.split_once(":\t").unwrap();
            (name.to_owned(), u64::from_str_radix(set, 16).unwrap() & !(0b11 << 31))
        };
        let seen = |job: Job| {
            job.exec(["sh", "-c", show]).run().succeeds().stdout.lines().map(own).collect::<Vec<_>>()
        };
        for script in [ignoring, LEADER] {
            let directly =
                Job::gitlab().wrap_shell(["env", "--default-signal", "setsid", "sh", "-c", script]);
            assert_eq!(seen(in_session(Job::gitlab(), script)), seen(directly));
        }
        let pair = Pair::start(in_session(Job::gitlab(), ignoring), &[&traps(&ALL), LOOP]);
        for name in ["HUP", "INT", "TERM"] {
            send(name, pair.beside);
        }
        pair.waits_for("TERM");
        assert_eq!(pair.seen(), ["TERM"]);
        assert_eq!(pair.ends().status, Some(7));
    }

    #[test]
    fn that_stops_the_command_stops_the_program_and_both_go_on() {
        let pair = Pair::start(in_session(Job::gitlab(), MEMBER), &[LOOP]);
        for _ in 0..3 {
            send("TSTP", pair.beside);
            waits_for_state(pair.command, "T");
            waits_for_state(pair.beside, "T");
            send("CONT", pair.beside);
            waits_for_state(pair.command, "SR");
            waits_for_state(pair.beside, "SR");
        }
        // Whoever stops the command alone makes it go on alone, too.
        send("STOP", pair.command);
        waits_for_state(pair.command, "T");
        send("CONT", pair.command);
        assert_eq!(pair.ends().status, Some(7));
    }

    #[test]
    fn that_cannot_be_handled_leaves_the_command_running() {
        let job = Job::gitlab().leaves_token_file();
        let pair = Pair::start(in_session(job, MEMBER), &[&traps(&ALL), LOOP]);
        send("KILL", pair.beside);
        until("the program is gone", || field(pair.beside, 0).is_none_or(|state| state == "Z").then_some(()));
        send("USR1", pair.command);
        pair.waits_for("USR1");
        assert_eq!(pair.ends().status, Some(128 + 9));
    }
}

mod the_command {
    use super::*;

    fn renewing() -> Job {
        Job::gitlab().arg("--renew").wrap_shell(["env", "--default-signal"])
    }

    #[test]
    fn has_its_exit_status_to_itself() {
        let scripts = [
            ("exit 0", 0),
            ("exit 7", 7),
            ("exit 255", 255),
            ("kill -KILL $$", 128 + 9),
            ("kill -TERM $$", 128 + 15),
            ("kill -SEGV $$", 128 + 11),
            ("kill -PIPE $$", 128 + 13),
        ];
        each(&scripts.map(|(script, status)| (script, (script, status))), |(script, status)| {
            let outcome = renewing().exec(["sh", "-c", script]).run();
            outcome.require(outcome.status == Some(*status), "the status tells the command's end");
            assert_eq!(outcome.report.as_ref().unwrap()["exit"], 0, "the account ends before the command");
        });
    }

    #[test]
    fn has_the_streams_and_the_group_of_its_caller() {
        let outcome =
            Job::github().arg("--renew").stdin("in\0put\n").exec(["sh", "-c", "cat; echo err >&2"]).run();
        assert_eq!(outcome.succeeds().stdout_bytes, b"in\0put\n");
        assert!(outcome.stderr.ends_with("err\n"));
        for script in [MEMBER, LEADER] {
            let pair = Pair::start(in_session(Job::gitlab(), script), &[&traps(&ALL), LOOP]);
            for number in [2, 3] {
                assert_eq!(field(pair.command, number), field(pair.running.pid(), number));
            }
            assert_eq!(field(pair.beside, 2) == field(pair.command, 2), script == LEADER);
            assert_eq!(pair.ends().status, Some(7));
        }
    }

    /// As it can when it is alone: the reader sees the end of the stream, and not only when the command ends.
    #[test]
    fn can_close_its_output() {
        let script = "exec >&-; for _ in $(seq 3000); do test -e \"$TMPDIR/closed\" && exit 7; sleep 0.02; done; exit 8";
        let reader = "equinix-wif \"$@\" | { cat; >\"$TMPDIR/closed\"; }; exit ${PIPESTATUS[0]}";
        let job = Job::gitlab().arg("--renew").wrap_shell(["bash", "-c", reader]);
        let outcome = job.exec(["sh", "-c", script]).run();
        outcome.require(outcome.status == Some(7), "the end was seen");
    }

    #[test]
    fn may_leave_processes_behind() {
        let script = "sleep 300 </dev/null >/dev/null 2>&1 & echo $! >\"$TMPDIR/left\"; exit 3";
        let outcome = renewing().exec(["sh", "-c", script]).run();
        let left =
            String::from_utf8_lossy(&outcome.files[&outcome.root().join("tmp/left")]).trim().to_owned();
        outcome.require(outcome.status == Some(3), "the status is the command's");
        outcome.within(Duration::from_secs(60));
        assert_eq!(field(&left, 0).as_deref(), Some("S"), "it lives");
        send("KILL", left.parse::<u32>().unwrap());
    }

    #[test]
    fn that_cannot_be_started_is_told_as_without_the_switch() {
        let outcome = Job::gitlab().arg("--renew").exec(["no-such-command-anywhere"]).run();
        outcome.fails(127, "cmd-not-found").sts_requests(0);
        let job = Job::gitlab().arg("--renew");
        script::executable(&job.project_dir().join("script"), "#!/etc/passwd\n");
        let outcome = job.exec(["./script"]).run();
        outcome.fails(126, "cmd-not-executable").sts_requests(1).stderr_has("this user may not run it");
        assert_eq!(outcome.report.as_ref().unwrap()["granted_scope"], SCOPE);
    }
}
