//! The program at a terminal, which `script` of util-linux or Python makes.

#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::support::job::Job;
use crate::support::outcome::Outcome;
use crate::support::server::Reply;
use crate::tools::{need_python, need_script};
use crate::{Check, checks};

/// What is checked here.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        a_wait_counts_down_in_one_line_of_the_terminal,
        a_command_beside_the_program_has_each_signal_of_the_terminal_once,
        a_command_beside_the_program_learns_that_the_terminal_is_gone,
        a_query_of_terraform_is_not_waited_for_at_a_terminal,
        exec_gives_its_command_the_terminal,
        is_coloured_on_a_terminal_unless_that_is_not_wanted,
        no_token_is_shown_on_a_terminal_unless_forced
    ]
}

/// Runs the program with its stdout on a terminal, its stderr apart.
fn on_terminal(job: Job, flags: &str) -> Job {
    need_script();
    let script = format!(
        "script -qec \"equinix-wif $* {flags} 2> $TMPDIR/err\" /dev/null; code=$?; cat \"$TMPDIR/err\" >&2; exit $code"
    );
    job.wrap_shell(["sh", "-c", &script])
}

fn no_token_is_shown_on_a_terminal_unless_forced() {
    for format in ["raw", "json", "shell"] {
        let job = on_terminal(Job::gitlab(), &format!("--format {format}"));
        let outcome = job.run();
        outcome.fails(10, "out-tty").stderr_has("--force");
        assert_eq!((outcome.issuer.connections, outcome.sts.connections), (0, 0), "{}", outcome.context());
        let job = on_terminal(Job::gitlab(), &format!("--format {format} --force"));
        let outcome = job.token_on_stdout().run();
        outcome.require(outcome.status == Some(0), "it succeeds");
        outcome.require(outcome.stdout.contains(outcome.access_token()), "the token is shown");
    }
    // A path is no secret.
    let outcome = on_terminal(Job::gitlab(), "").run();
    outcome
        .require(outcome.status == Some(0) && outcome.stdout.contains("/equinix-wif-"), "the path is shown");
}

/// `script` (util-linux) gives the program a terminal.
fn is_coloured_on_a_terminal_unless_that_is_not_wanted() {
    need_script();
    let on_a_terminal = |job: Job| {
        let job = job.env("TERM", "xterm").env("SHELL", "/bin/sh");
        job.wrap_shell(["sh", "-c", "script -qec 'equinix-wif token' /dev/null"]).without_report().run()
    };
    let colored = on_a_terminal(Job::bare());
    assert!(
        colored.stdout.contains("\u{1b}[1;31merror[cfg-scope-missing]: \u{1b}[0m"),
        "{}",
        colored.context()
    );
    let plain = on_a_terminal(Job::bare().env("NO_COLOR", "1"));
    assert!(plain.stdout.contains("error[cfg-scope-missing]: no scope"), "{}", plain.context());
    let empty = on_a_terminal(Job::bare().env("NO_COLOR", ""));
    assert!(empty.stdout.contains("\u{1b}[1;31merror["), "an empty variable counts as unset");
}

fn exec_gives_its_command_the_terminal() {
    // Python's pty module makes the terminal, types ^C, and reports what the command saw.
    let python = "import os, pty, signal, sys\n\
        pid, terminal = pty.fork()\n\
        if pid == 0:\n\
        \x20   signal.signal(signal.SIGINT, signal.SIG_DFL)\n\
        \x20   os.execvp(sys.argv[1], sys.argv[1:])\n\
        seen = b''\n\
        while b'ready' not in seen: seen += os.read(terminal, 4096)\n\
        os.write(terminal, b'\\x03')\n\
        try:\n\
        \x20   while True:\n\
        \x20       more = os.read(terminal, 4096)\n\
        \x20       if not more: break\n\
        \x20       seen += more\n\
        except OSError: pass\n\
        print('status', os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n";
    let script = "test -t 0 && test -t 1 && test -t 2 || exit 9; trap 'exit 45' INT; echo ready; while :; do sleep 0.02; done";
    need_python();
    let outcome = Job::gitlab().wrap_shell(["python3", "-c", python]).exec(["sh", "-c", script]).run();
    outcome.stdout_is("status 45\n");
}

/// A command that writes a line for each signal, in the order in which they come, and ends by USR2.
const COUNTER: &str = r"
import os, signal
signal.alarm(90)
tmp = os.environ['TMPDIR']
reader, writer = os.pipe()
os.set_blocking(writer, False)
signal.set_wakeup_fd(writer)
for each in ('HUP', 'INT', 'QUIT', 'WINCH', 'CONT', 'USR1', 'USR2'): signal.signal(signal.Signals['SIG' + each], lambda *_: None)
with open(tmp + '/new', 'w') as ids: print(os.getpid(), os.getppid(), file=ids)
os.rename(tmp + '/new', tmp + '/ids')
name = ''
while name != 'USR2':
    name = signal.Signals(os.read(reader, 1)[0]).name[3:]
    with open(tmp + '/seen', 'a') as seen: print(name, file=seen)
os._exit(7)
";

/// Makes a terminal for standard error, and answers the STS's second request when the line about it has changed. What was shown
/// is played back as a terminal would: the lines that stay.
const WATCHER: &str = r#"
import os, pty, re, sys
pid, terminal = pty.fork()
if pid == 0: os.execvp('sh', ['sh', '-c', '"$@" >"$TMPDIR/out"', 'sh', *sys.argv[1:]])
seen = b''
while True:
    try: more = os.read(terminal, 4096)
    except OSError: break
    if not more: break
    seen += more
    if seen.count(b'has not answered') == 2: open(os.environ['TMPDIR'] + '/answer', 'w').close()
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
text = seen.decode()
assert text.count('\x1b[?7l') == text.count('\x1b[?7h'), text
print('status', status, 'changes', text.count('\x1b[?7l'))
for line in text.replace('\x1b[?7l', '').replace('\x1b[?7h', '').split('\r\n'): print(line.rpartition('\r\x1b[K')[2])
"#;

fn a_wait_counts_down_in_one_line_of_the_terminal() {
    need_python();
    let job = Job::gitlab();
    let answer = job.tmp().join("answer");
    let mut requests = 0;
    let job = job.sts_with(move |_| {
        requests += 1;
        if requests == 1 {
            return Some(Reply::status(503));
        }
        // The driver looks on.
        while !answer.exists() {
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    });
    let run = |job: Job| job.env("TERM", "xterm").wrap_shell(["python3", "-c", WATCHER]).exec(["true"]).run();
    let outcome = run(job.unset("CI"));
    let stays = without_numbers(&outcome.stdout);
    for line in [
        "\nequinix-wif: exchanging the token: attempt N failed (server-error), trying again in N.N s (N s of --timeout left)\n",
        "\nequinix-wif: the STS has not answered for N s, waiting (N s of --timeout left)\n",
    ] {
        outcome.require(stays.matches(line).count() == 1, &format!("there is one {line:?} in {stays}"));
    }
    outcome.require(stays.starts_with("status N changes N\n"), "it succeeds");
    outcome.require(outcome.stdout.starts_with("status 0 "), "it succeeds");
    // In the log of a CI job each is a line from the start.
    let log = run(Job::gitlab().sts_reply(Reply::status(503)));
    log.require(log.stdout.starts_with("status 0 changes 0\n"), "nothing counts down");
    log.require(log.stdout.contains("trying again in 0."), "the wait is told");
}

/// The text with `N` in place of each number.
fn without_numbers(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            '0'..='9' if out.ends_with('N') => {}
            '0'..='9' => out.push('N'),
            _ => out.push(c),
        }
    }
    out
}

/// What the drivers below have in common: a terminal with the program and the command, and what becomes of them.
const DRIVER: &str = r"
import fcntl, os, pty, signal, struct, sys, termios, time
tmp, end = os.environ['TMPDIR'], time.monotonic() + 60
signal.alarm(80)
def until(there, what):
    while not there():
        if time.monotonic() > end: sys.exit(f'in vain: {what}; {seen()}')
        time.sleep(0.002)
def seen():
    try: return open(tmp + '/seen').read().split()
    except FileNotFoundError: return []
def has(name, count): until(lambda: seen().count(name) >= count, f'{name} {count}')
def state(pid): return open(f'/proc/{pid}/stat').read().rpartition(') ')[2][0]
def start(*command):
    global pid, terminal, command_id, program_id
    pid, terminal = pty.fork()
    if pid == 0:
        for each in ('INT', 'QUIT', 'HUP'): signal.signal(signal.Signals['SIG' + each], signal.SIG_DFL)
        os.execvp(command[0], command)
    until(lambda: os.path.exists(tmp + '/ids'), 'the command runs')
    command_id, program_id = map(int, open(tmp + '/ids').read().split())
";

fn beside_a_command(driver: &str) -> Outcome {
    need_python();
    let driver = format!("{DRIVER}{driver}");
    let job = Job::gitlab().arg("--renew").wrap_shell(["python3", "-c", &driver]);
    job.exec(["python3", "-c", COUNTER]).run()
}

fn a_command_beside_the_program_has_each_signal_of_the_terminal_once() {
    let outcome = beside_a_command(
        r#"
start('bash', '-c', 'set -m; "$@"; echo stopped $?; read -r; fg >/dev/null; echo ended $?', 'bash', *sys.argv[1:])
def type(key, name, count):
    os.write(terminal, key)
    has(name, count)
for count in 1, 2, 3:
    type(b'\x03', 'INT', count)
    type(b'\x1c', 'QUIT', count)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack('HHHH', 20 + count, 80, 0, 0))
    has('WINCH', count)
    # Whatever the program would send on besides comes before this.
    os.kill(program_id, signal.SIGUSR1)
    has('USR1', count)
os.write(terminal, b'\x1a')
shown = b''
def shows(text):
    global shown
    while text not in shown: shown += os.read(terminal, 4096)
# 128 and 19: the program follows its command by STOP.
shows(b'stopped 147')
assert (state(command_id), state(program_id)) == ('T', 'T')
os.write(terminal, b'\n')
until(lambda: 'T' not in (state(command_id), state(program_id)), 'both go on')
type(b'\x03', 'INT', 4)
os.kill(program_id, signal.SIGUSR2)
shows(b'ended 7')
os.waitpid(pid, 0)
print(*seen())
"#,
    );
    let thrice = "INT QUIT WINCH USR1 ".repeat(3);
    outcome.stdout_is(&format!("{thrice}CONT INT USR2\n"));
}

fn a_command_beside_the_program_learns_that_the_terminal_is_gone() {
    let outcome = beside_a_command(
        r"
start(*sys.argv[1:])
os.write(terminal, b'\x03')
has('INT', 1)
os.close(terminal)
has('HUP', 1)
os.kill(program_id, signal.SIGUSR2)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(*[each for each in seen() if each != 'CONT'], status)
",
    );
    outcome.stdout_is("INT HUP USR2 7\n");
}

fn a_query_of_terraform_is_not_waited_for_at_a_terminal() {
    let python = "import pty, sys, os\nsys.exit(os.waitstatus_to_exitcode(pty.spawn(sys.argv[1:])))";
    need_python();
    let job = Job::gitlab().args(["--format", "terraform-external"]);
    let outcome = job.wrap_shell(["python3", "-c", python]).run();
    outcome.require(outcome.status == Some(2), "the exit status is 2");
    outcome.within(Duration::from_secs(30));
    assert!(outcome.stdout.contains("the query has to come on standard input, and that is a terminal"));
}
