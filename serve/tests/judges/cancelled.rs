//! A call that is cancelled ends the request to Equinix's API too.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::clients::{CLIENTS, Client, LEGACY, over_http, over_streams};
use crate::harness::Check;
use crate::service::{Service, wait};

/// What takes longer does not come.
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) fn checks() -> Vec<Check> {
    let over = |client: &'static Client, way: &str, check: fn(&Client)| {
        Check::new(format!("cancelled::{}::over_{way}", client.name), move || check(client))
    };
    CLIENTS.iter().flat_map(|client| [over(client, "http", http), over(client, "streams", streams)]).collect()
}

/// What the API sees of a request that it never answers.
#[derive(Debug, PartialEq)]
enum Seen {
    Request,
    End,
}

/// An API that reads requests and does not answer.
fn silent_api() -> (String, Receiver<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (sender, seen) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let sender = sender.clone();
            thread::spawn(move || {
                // A connection that was opened ahead and asks for nothing says nothing here.
                if read_request(&stream).is_some() {
                    sender.send(Seen::Request).ok();
                    (&stream).read_to_end(&mut Vec::new()).ok();
                    sender.send(Seen::End).ok();
                }
            });
        }
    });
    (url, seen)
}

/// Reads a request with its body.
pub(crate) fn read_request(stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().ok()?;
        }
        if line == "\r\n" {
            break;
        }
    }
    reader.read_exact(&mut vec![0; length]).ok()
}

const BACK_END: [&str; 2] = ["--backend", "pass-through"];

fn http(client: &Client) {
    let (api, seen) = silent_api();
    let service = Service::start(&BACK_END, &[("EQUINIX_API_ENDPOINT", &api)]);
    // In the first era a note that cancels is a request of its own, and this service keeps no sessions: the call ends when
    // the client is gone.
    cancels(client, over_http(&service), &seen, client.revision == LEGACY);
    service.stop();
}

fn streams(client: &Client) {
    let (api, seen) = silent_api();
    let home = tempfile::tempdir().unwrap();
    let env = json!({"EQUINIX_API_ENDPOINT": api});
    cancels(client, over_streams(&BACK_END, &env, home.path()), &seen, false);
}

fn cancels(client: &Client, mut plan: Value, seen: &Receiver<Seen>, is_by_leaving: bool) {
    let home = tempfile::tempdir().unwrap();
    plan["wait"] = json!({"client_id": "a-client", "client_secret": "a-secret-of-it"});
    let mut command = client.command(plan, home.path());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut next = || stdin.write_all(b"\n").is_ok();
    let waits = seen.recv_timeout(LIMIT);
    let told = next();
    let ends = if is_by_leaving { Ok(Seen::End) } else { seen.recv_timeout(LIMIT) };
    let left = next();
    let output = wait(child, client.name);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(waits, Ok(Seen::Request), "nothing was asked for: {stderr}");
    assert!(told && left && output.status.success(), "{stderr}");
    assert_eq!(ends, Ok(Seen::End), "the request goes on after the cancellation: {stderr}");
    if is_by_leaving {
        assert_eq!(seen.recv_timeout(LIMIT), Ok(Seen::End), "the request goes on without its client");
    }
    let account: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
    assert_eq!(account["cancelled"], true, "{account}");
}
