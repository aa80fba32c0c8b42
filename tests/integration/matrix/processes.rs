//! M9: eight signals in three phases. The run is gone within a second, and leaves nothing.

use std::fs;

use self::Phase::{Exchange, IdToken, Writing};
use super::support::job::Job;
use super::support::server::Reply;
use super::{Ends, Row};

/// The program in the background of a shell, which sends the signal as soon as the servers let it. Then the shell ends by
/// the same signal, so that what it sees is what the runner sees.
const SCRIPT: &str = r#"
env --default-signal equinix-wif "$@" &
until test -e "$TMPDIR/go"; do sleep 0.01; done
kill -$SIGNAL $!
wait $!
status=$?
rm -f "$TMPDIR/go"
exec env --default-signal sh -c 'kill -$0 $$' $((status - 128))
"#;

#[derive(Debug, Clone, Copy)]
enum Phase {
    IdToken,
    Exchange,
    Writing,
}

fn job(signal: &str, phase: Phase) -> Job {
    let job = Job::github().env("SIGNAL", signal).without_report();
    let go = job.tmp().join("go");
    let tell = move || fs::write(&go, "").unwrap();
    match phase {
        IdToken => job
            .issuer_with(move |_| {
                tell();
                Some(Reply::stall())
            })
            .wrap_shell(["sh", "-c", SCRIPT]),
        Exchange => job
            .sts_with(move |_| {
                tell();
                Some(Reply::stall())
            })
            .wrap_shell(["sh", "-c", SCRIPT]),
        // Standard output is a pipe that is full and that nobody reads.
        Writing => {
            let full = "mkfifo \"$TMPDIR/pipe\"; exec 3<>\"$TMPDIR/pipe\"; rm \"$TMPDIR/pipe\"; \
                        dd if=/dev/zero of=/proc/self/fd/3 oflag=nonblock bs=1 count=70000 2>/dev/null\n";
            let script = SCRIPT.replace("\"$@\" &", "\"$@\" --format json >&3 &");
            job.sts_with(move |_| {
                tell();
                None
            })
            .wrap_shell(["sh", "-c", &format!("{full}{script}")])
        }
    }
}

/// A signal in one of the phases, by its name and number.
fn signal(phase: Phase, name: &str, number: i32) -> Row {
    let requests = if matches!(phase, IdToken) { (1, 0) } else { (1, 1) };
    let row = Row::new(Ends::BySignal(number), requests, job(name, phase)).and(|outcome| {
        outcome.stdout_is("");
        outcome.require(outcome.new_files().is_empty(), "no file is left");
        assert_eq!(outcome.output_file.as_deref(), Some(&b""[..]));
    });
    Row { seconds: 5, ..row }
}

faults! {
    m09(Phase: during_id_token = IdToken, during_exchange = Exchange, during_writing = Writing) {
        hup: signal("HUP", 1);
        int: signal("INT", 2);
        quit: signal("QUIT", 3);
        kill: signal("KILL", 9);
        usr1: signal("USR1", 10);
        alrm: signal("ALRM", 14);
        term: signal("TERM", 15);
        xcpu: signal("XCPU", 24);
    }
}
