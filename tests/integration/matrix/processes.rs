//! M9: eight signals in three phases. The run is gone within a second, and leaves nothing.

use std::fs;

use super::support::job::Job;
use super::support::server::Reply;
use super::{Ends, Row, Rows};

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

fn job(signal: i32, phase: Phase) -> Job {
    let job = Job::github().env("SIGNAL", signal.to_string()).without_report();
    let go = job.tmp().join("go");
    let tell = move || fs::write(&go, "").unwrap();
    match phase {
        Phase::IdToken => job
            .issuer_with(move |_| {
                tell();
                Some(Reply::stall())
            })
            .wrap_shell(["sh", "-c", SCRIPT]),
        Phase::Exchange => job
            .sts_with(move |_| {
                tell();
                Some(Reply::stall())
            })
            .wrap_shell(["sh", "-c", SCRIPT]),
        // Standard output is a pipe that is full and that nobody reads.
        Phase::Writing => {
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

pub(super) fn rows() -> Rows {
    let mut rows = Rows::new();
    for (name, signal) in [
        ("HUP", 1),
        ("INT", 2),
        ("QUIT", 3),
        ("KILL", 9),
        ("USR1", 10),
        ("ALRM", 14),
        ("TERM", 15),
        ("XCPU", 24),
    ] {
        for phase in [Phase::IdToken, Phase::Exchange, Phase::Writing] {
            let requests = if matches!(phase, Phase::IdToken) { (1, 0) } else { (1, 1) };
            let row = Row::new(Ends::BySignal(signal), requests, move || job(signal, phase)).and(|outcome| {
                outcome.stdout_is("");
                outcome.require(outcome.new_files().is_empty(), "no file is left");
                assert_eq!(outcome.output_file.as_deref(), Some(&b""[..]));
            });
            rows.push((format!("{name} during {phase:?}"), Row { seconds: 5, ..row }));
        }
    }
    rows
}
