//! M14: runs of `exec --renew` while the servers, the clients of the listener or the machine do their worst. The exit status
//! is the command's in every row, and every token that is handed out is one that the STS gave and that is still good.

use std::fs;
use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::ops::RangeInclusive;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::End;
use super::support::job::{Job, sts_error, sts_success};
use super::support::outcome::Outcome;
use super::support::renewing::{Answer, Client, Live, until};
use super::support::server::{Reply, Request};

const OTHER: &str = "roleassignments:6c1b9e7a-54d3-4e0f-9d2a-7b8f3c21e5d6";
/// The longest time for a row, on a machine with more to do.
const LIMIT: Duration = Duration::from_secs(60);
/// Renewed once, and then for good.
const ONCE: [u64; 2] = [4, 3600];

/// A run, what happens to it, and what holds afterwards.
#[must_use = "a row does nothing until `check`"]
struct Row {
    job: Job,
    act: Box<dyn FnOnce(&Live)>,
    exchanges: RangeInclusive<usize>,
    also: Box<dyn FnOnce(&Outcome)>,
}

impl Row {
    fn new(job: Job, exchanges: RangeInclusive<usize>, act: impl FnOnce(&Live) + 'static) -> Self {
        Self { job, act: Box::new(act), exchanges, also: Box::new(|_| {}) }
    }

    fn and(self, also: impl FnOnce(&Outcome) + 'static) -> Self {
        Self { also: Box::new(also), ..self }
    }

    #[track_caller]
    fn check(self) {
        let live = Live::start(self.job);
        (self.act)(&live);
        let outcome = live.end();
        let found = outcome.sts.requests.len();
        outcome.require(
            self.exchanges.contains(&found),
            &format!("the STS got {:?} requests, not {found}", self.exchanges),
        );
        if let Some(report) = &outcome.report {
            let renewals = report["renewal"]["renewals"].as_array().expect("a list");
            outcome.require(!renewals.is_empty(), "the report tells of the renewals");
        }
        outcome.within(LIMIT);
        (self.also)(&outcome);
    }
}

/// Makes a server answer like this from its second request on, so often.
fn failing(end: End, job: Job, times: usize, reply: impl Fn(&Request) -> Reply + Send + 'static) -> Job {
    let mut asked = 0;
    let hook = move |request: &Request| {
        if !["/idtoken", "/use/token"].contains(&request.path()) {
            return None;
        }
        asked += 1;
        (2..=times.saturating_add(1)).contains(&asked).then(|| reply(request))
    };
    match end {
        End::IdToken => job.issuer_with(hook),
        End::Sts => job.sts_with(hook),
    }
}

/// How often something was said of a renewal that failed, and of one that succeeded again.
#[track_caller]
fn says(outcome: &Outcome, failed: usize, recovered: usize) {
    let count = |text: &str| outcome.stderr.matches(text).count();
    let found = (count("no new access token for "), count("renewing works again"));
    outcome.require(
        found == (failed, recovered),
        &format!("failures and recoveries are told of {failed} and {recovered} times, not {found:?}"),
    );
}

/// A failure that has passed before the attempts of one renewal are used up. Nobody hears of it, and whoever asks gets a token.
fn passes(end: End, reply: Reply) -> Row {
    let job = failing(end, Job::github().lives(ONCE), 2, move |_| reply.clone());
    let exchanges = if end == End::Sts { 4 } else { 2 };
    let row = Row::new(job, exchanges..=exchanges, |live| {
        assert_ne!(live.last_token(), live.first_token());
    });
    row.and(|outcome| says(outcome, 0, 0))
}

/// A server that sends everybody away for longer than a renewal may take, so often. It is left alone for that long.
fn comes_back(end: End, status: u16, code: &'static str, times: usize) -> Row {
    const WAIT: Duration = Duration::from_secs(5);
    let reply = Reply::status(status).header("Retry-After", WAIT.as_secs().to_string());
    let job =
        failing(end, Job::github().args(["--timeout", "4"]).lives([6, 3600]), times, move |_| reply.clone());
    let exchanges = if end == End::Sts { 2 + times } else { 2 };
    let row = Row::new(job, exchanges..=exchanges, |live| {
        assert_ne!(live.last_token(), live.first_token());
    });
    row.and(move |outcome| {
        says(outcome, 1, 1);
        let renewals = outcome.report.as_ref().unwrap()["renewal"]["renewals"].clone();
        let codes: Vec<_> = renewals.as_array().unwrap().iter().map(|entry| entry["code"].clone()).collect();
        let failed = vec![json!(code); times];
        assert_eq!(codes, [vec![Value::Null], failed, vec![Value::Null]].concat());
    })
}

/// An outage that the token does not survive. Whoever asks then waits for the next one.
fn outlasts_the_token(end: End, reply: Reply) -> Row {
    const TOKEN: Duration = Duration::from_secs(4);
    let mut begun: Option<Instant> = None;
    let hook = move |request: &Request| {
        if !["/idtoken", "/use/token"].contains(&request.path()) {
            return None;
        }
        let begun = *begun.get_or_insert_with(Instant::now);
        let is_down = (Duration::from_secs(1)..TOKEN + Duration::from_secs(1)).contains(&begun.elapsed());
        is_down.then(|| reply.clone())
    };
    let job = Job::github().lives([TOKEN.as_secs(), 3600]);
    let job = if end == End::Sts { job.sts_with(hook) } else { job.issuer_with(hook) };
    let row = Row::new(job, 2..=14, |live| {
        assert_ne!(live.last_token(), live.first_token());
    });
    row.and(|outcome| says(outcome, 0, 0))
}

/// A failure that lasts. The old token is handed out until it ends; then the answer has the code, at once, and nothing secret.
fn lasts(end: End, code: &'static str, reply: impl Fn(&Request) -> Reply + Send + 'static) -> Row {
    let job = failing(end, Job::github().lives([4]), usize::MAX, reply);
    let exchanges = if end == End::Sts { 2 } else { 1 };
    // What makes no sense is asked for again a little later, what was refused after a minute.
    let most = if code.ends_with("denied") || code.ends_with("forbidden") { exchanges } else { 12 };
    let row = Row::new(job, exchanges..=most, move |live| {
        let answer =
            until("the token ends", || Some(live.client.ask()).filter(|answer| answer.status != 200));
        let asked = Instant::now();
        for answer in std::iter::once(answer).chain((0..20).map(|_| live.client.ask())) {
            let error = if code == "sts-scope-denied" { "invalid_scope" } else { "invalid_grant" };
            answer.refuses(400, error, &format!("[{code}]"));
            let mut sent = live.running.sts().requests();
            sent.retain(|request| request.form_value("subject_token").is_some());
            for request in sent {
                let token = request.form_value("subject_token").unwrap();
                let signature = token.rsplit('.').next().unwrap();
                assert!(!answer.body.contains(&signature[..12]), "{answer:?}");
            }
            assert!(!answer.body.contains(&live.client.handle[..16]), "{answer:?}");
        }
        assert!(asked.elapsed() < Duration::from_secs(15), "nobody waits for what does not come");
    });
    row.and(|outcome| says(outcome, 1, 0))
}

/// An answer of the STS that is no token, for ever.
fn rubbish(code: &'static str, reply: Reply) -> Row {
    lasts(End::Sts, code, move |_| reply.clone())
}

/// An answer with one member changed.
fn member(code: &'static str, name: &str, value: Value) -> Row {
    let mut answer = sts_success();
    answer[name] = value;
    rubbish(code, Reply::json(&answer))
}

/// A refusal that gives the ID token back.
fn echo(request: &Request) -> Reply {
    sts_error("invalid_request", &format!("what is {}?", request.form_value("subject_token").unwrap()))
}

/// Something that clients do to the listener. Afterwards, others get their token as before.
fn clients(act: impl Fn(&Client) + 'static) -> Row {
    Row::new(Job::github(), 1..=1, move |live| {
        let before = live.token();
        act(&live.client);
        assert_eq!(live.token(), before);
    })
}

/// Many at the same time.
fn at_once<T: Send>(count: usize, act: impl Fn(usize) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let act = &act;
        let spawn = |number| {
            thread::Builder::new().stack_size(128 << 10).spawn_scoped(scope, move || act(number)).unwrap()
        };
        let threads: Vec<_> = (0..count).map(spawn).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// Bytes that are no request, in the middle of which the client may stop.
fn garbage(bytes: impl Into<Vec<u8>>) -> Row {
    let bytes = bytes.into();
    clients(move |client| {
        for end in [true, false] {
            let mut stream = client.connect();
            stream.write_all(&bytes).ok();
            if end {
                stream.shutdown(Shutdown::Write).ok();
                let answer = Answer::read(&mut stream);
                assert!(answer.status == 0 || (400..=505).contains(&answer.status), "{answer:?}");
            }
        }
    })
}

/// So many requests, eight at a time.
fn flood(requests: usize, alter: fn(&mut Client), status: u16) -> Row {
    let row = clients(move |client| {
        let mut client = client.clone();
        alter(&mut client);
        let answers = at_once(8, |_| {
            (0..requests / 8).map(|_| client.ask()).filter(|answer| answer.status == status).count()
        });
        assert_eq!(answers.iter().sum::<usize>(), requests);
    });
    row.and(move |outcome| {
        let renewal = &outcome.report.as_ref().unwrap()["renewal"];
        let listed = renewal["hand_outs"].as_array().unwrap().len();
        let others = usize::try_from(renewal["hand_outs_not_listed"].as_u64().unwrap()).unwrap();
        let good = if status == 200 { requests } else { 0 };
        assert_eq!((listed + others, listed <= 1000), (good + 2, true));
        let wrong = if status == 401 { requests } else { 0 };
        assert_eq!(renewal["wrong_handles"], wrong);
        let told = outcome.stderr.matches("wrong handle").count();
        assert_eq!(told, if wrong > 0 { 1 + wrong / 1000 } else { 0 });
    })
}

/// More connections that say so much of a request and then nothing than there may be. They are cut off in time.
fn silent(count: usize, said: fn(&str) -> &str) -> Row {
    clients(move |client| {
        let request = client.request("/use/token", &client.form(&client.scope));
        let streams: Vec<TcpStream> = (0..count)
            .map(|_| {
                let mut stream = client.connect();
                stream.write_all(said(&request).as_bytes()).ok();
                stream
            })
            .collect();
        // It waits until one of them has used its time up, at most.
        assert_eq!(client.ask().status, 200);
        drop(streams);
    })
}

/// A client that sends a byte now and then. The whole request has its time, however often something comes.
fn trickling() -> Row {
    clients(|client| {
        let request = client.request("/use/token", &client.form(&client.scope));
        let mut stream = client.connect();
        let begun = Instant::now();
        for byte in request.as_bytes().iter().cycle() {
            if stream.write_all(&[*byte]).is_err() || begun.elapsed() > Duration::from_secs(30) {
                break;
            }
            thread::park_timeout(Duration::from_millis(100));
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "it is cut off");
    })
}

/// Connections that are opened and closed, as a scan of ports does.
fn scan() -> Row {
    clients(|client| {
        for number in 0..500 {
            let stream = client.connect();
            if number % 2 == 0 {
                stream.shutdown(Shutdown::Both).ok();
            }
        }
    })
}

/// So many who ask for a further scope at the same moment.
fn crowd(count: usize) -> Row {
    let job = Job::github().args(["--renew-scope", OTHER]);
    let row = Row::new(job, 2..=2, move |live| {
        let client = live.client.clone();
        let tokens = at_once(count, |_| client.ask_for(OTHER).token());
        assert!(tokens.iter().all(|token| *token == tokens[0]), "all get the same one");
        assert!(live.running.issued().iter().any(|issued| issued.text == tokens[0]));
    });
    row.and(move |outcome| {
        let asked = outcome
            .sts
            .requests
            .iter()
            .filter(|request| request.form_value("scope").as_deref() == Some(OTHER));
        assert_eq!(asked.count(), 1);
        outcome.id_token_requests(2);
    })
}

/// So many who ask while the token is being renewed, over and over.
fn crowd_during_renewals(count: usize) -> Row {
    Row::new(Job::github().lives([4, 4, 3600]), 3..=3, move |live| {
        let client = live.client.clone();
        at_once(count, |_| {
            loop {
                let answer = client.ask();
                assert_eq!(answer.status, 200, "{answer:?}");
                if answer.left() > 1000 {
                    break;
                }
                thread::park_timeout(Duration::from_millis(300));
            }
        });
    })
}

/// The program is stopped for longer than its token lives. The next answer has a fresh one.
fn stopped() -> Row {
    Row::new(Job::github().lives([4, 3600]), 2..=2, |live| {
        live.running.signal("STOP");
        let issued = live.running.issued()[0].clone();
        until("the token has expired", || (issued.at.elapsed() > issued.life).then_some(()));
        live.running.signal("CONT");
        assert_ne!(live.token(), live.first_token());
    })
}

/// Something has become of the token file's folder when the token is renewed. Those who ask do not notice.
fn file_folder_is(change: fn(&Path), is_told: bool) -> Row {
    let (changed, is_changed) = mpsc::channel();
    let mut asked = 0;
    let job = Job::github().lives(ONCE).sts_with(move |_| {
        asked += 1;
        if asked == 2 {
            is_changed.recv_timeout(LIMIT).expect("the folder has changed");
        }
        None
    });
    let folder = job.root().join("own");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).unwrap();
    let row = Row::new(job.env("RUNNER_TEMP", &folder), 2..=2, move |live| {
        assert_eq!(live.token_file().parent(), Some(folder.as_path()));
        change(&folder);
        changed.send(()).unwrap();
        let last = live.last_token();
        assert_eq!(fs::read_to_string(live.token_file()).ok(), (!is_told).then_some(last));
    });
    row.and(move |outcome| {
        let told = outcome.stderr.matches("the new access token could not be written to ").count();
        assert_eq!(told, usize::from(is_told), "{}", outcome.stderr);
    })
}

/// Everybody may write where the token file would be. It is somewhere else then, and goes from there as well.
fn without_a_private_folder(job: Job) -> Row {
    let folders = [job.runner_temp(), job.tmp(), job.project_tmp()];
    for folder in &folders {
        fs::create_dir_all(folder).unwrap();
        fs::set_permissions(folder, PermissionsExt::from_mode(0o777)).unwrap();
    }
    Row::new(job.env("EQUINIX_WIF_TOKEN_FILE", "/of/another/run"), 1..=1, move |live| {
        let token = live.token();
        // Where there is no such place, the command has no file.
        let Some(file) = live.env.get("EQUINIX_WIF_TOKEN_FILE").map(std::path::PathBuf::from) else {
            assert!(live.running.stderr_now().contains("there is no place for a token file"));
            return;
        };
        assert!(!folders.iter().any(|folder| file.starts_with(folder)), "{}", file.display());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_to_string(&file).unwrap(), token);
    })
}

/// The place of the report is gone at the end. The status is the command's all the same.
fn report_goes() -> Row {
    let job = Job::github().without_report();
    let folder = job.root().join("reports");
    fs::create_dir(&folder).unwrap();
    let path = folder.join("report.json");
    let row = Row::new(job.arg("--report").arg(&path), 1..=1, move |live| {
        live.token();
        fs::remove_dir_all(&folder).unwrap();
    });
    row.and(|outcome| {
        outcome.stderr_has("error[out-open]");
    })
}

/// The command ends while others still ask.
fn ends_amidst_requests() -> Row {
    Row::new(Job::github().args(["--renew-scope", OTHER]).sts_with(stalling_second()), 2..=2, |live| {
        let client = live.client.clone();
        // It is held, since the STS says nothing; nobody waits for it.
        thread::spawn(move || {
            let mut stream = client.connect();
            stream.write_all(client.request("/use/token", &client.form(OTHER)).as_bytes()).ok();
            Answer::read(&mut stream)
        });
        assert!(live.running.sts().wait_for_requests(2));
    })
}

fn stalling_second() -> impl FnMut(&Request) -> Option<Reply> + Send + 'static {
    let mut asked = 0;
    move |_| {
        asked += 1;
        (asked == 2).then(Reply::stall)
    }
}

faults! {
    m14 {
        a_renewal_fails_and_then_works(End: id_token = End::IdToken, sts = End::Sts) {
            unavailable: passes(Reply::status(503));
            failed: passes(Reply::status(500));
            busy: passes(Reply::status(429).header("Retry-After", "0"));
            closed: passes(Reply::close());
            reset: passes(Reply::reset());
            truncated: passes(Reply::json(&json!({"value": "x".repeat(64)})).cut_in_body());
        }
        a_server_sends_everybody_away(End: id_token = End::IdToken, sts = End::Sts) {
            unavailable: comes_back(503, "server-error", 1);
            too_many: comes_back(429, "rate-limited", 1);
        }
        a_server_is_away_for_longer_than_the_token(End: id_token = End::IdToken, sts = End::Sts) {
            unavailable: outlasts_the_token(Reply::status(503));
            closed: outlasts_the_token(Reply::close());
        }
        the_sts_refuses {
            invalid_grant: lasts(End::Sts, "sts-denied", |_| sts_error("invalid_grant", "no"));
            invalid_scope: lasts(End::Sts, "sts-scope-denied", |_| sts_error("invalid_scope", "no"));
            and_echoes: lasts(End::Sts, "sts-denied", echo);
            unauthorized: lasts(End::Sts, "sts-forbidden", |_| Reply::status(401));
            not_found: lasts(End::Sts, "sts-endpoint-not-found", |_| Reply::status(404));
            redirected: lasts(End::Sts, "sts-redirect", |_| Reply::status(307).header("Location", "/x"));
        }
        the_sts_answers_with {
            a_page: rubbish("sts-not-json", Reply::status(200).header("Content-Type", "text/html").body("<html>"));
            nothing: rubbish("sts-not-json", Reply::status(200).header("Content-Type", "application/json"));
            a_half: rubbish("sts-not-json", Reply::status(200).header("Content-Type", "application/json").body("{\"access_"));
            another_type: member("sts-token-type", "token_type", json!("N_A"));
            a_command: member("sts-response-invalid", "access_token", json!("::set-output name=x::y"));
            no_life: member("sts-response-invalid", "expires_in", json!(0));
        }
        the_issuer {
            has_no_such_job: lasts(End::IdToken, "id-token-http", |_| Reply::status(403));
            gives_no_token: lasts(End::IdToken, "id-token-malformed", |_| Reply::json(&json!({"value": "x"})));
        }
        clients {
            a_flood: flood(1200, |_| {}, 200);
            a_flood_without_the_handle: flood(1600, |client| client.handle.clear(), 401);
            a_flood_for_other_scopes: flood(800, |client| OTHER.clone_into(&mut client.scope), 400);
            more_than_there_may_be_that_say_nothing: silent(300, |_| "");
            more_than_there_may_be_that_stop_in_the_head: silent(300, |request| &request[..40]);
            more_than_there_may_be_that_stop_in_the_body: silent(300, |request| &request[..request.len() - 9]);
            one_that_trickles: trickling();
            a_scan: scan();
            a_tls_handshake: garbage(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03");
            an_ssh_client: garbage(b"SSH-2.0-OpenSSH_9.2\r\n");
            http_2: garbage(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
            http_0_9: garbage(b"GET /\r\n\r\n");
            nothing_but_zeros: garbage(vec![0; 4096]);
            an_endless_line: garbage(vec![b'A'; 70_000]);
            a_negative_length: garbage(b"POST /use/token HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n");
            two_lengths: garbage(b"POST /use/token HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx");
            an_endless_chunk: garbage(b"POST /use/token HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n");
            two_hundred_at_once: crowd(200);
            twenty_during_renewals: crowd_during_renewals(20);
            one_that_waits_when_the_command_ends: ends_amidst_requests();
        }
        the_machine {
            stops_and_continues: stopped();
            removes_the_folder: file_folder_is(|folder| fs::remove_dir_all(folder).unwrap(), true);
            removes_the_file: file_folder_is(|folder| {
                for entry in fs::read_dir(folder).unwrap() { fs::remove_file(entry.unwrap().path()).unwrap(); }
            }, false);
            has_no_private_folder: without_a_private_folder(Job::github());
            has_no_private_folder_at_all: without_a_private_folder(Job::gitlab());
            removes_the_folder_of_the_report: report_goes();
        }
    }
}
