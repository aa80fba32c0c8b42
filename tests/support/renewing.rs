//! A command of `exec --renew` that runs for as long as the test wants, and clients that ask its listener.
//!
//! The test is the client. It takes the way that the command has: the handle and the address from the command's environment.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::job::Job;
use super::outcome::Outcome;
use super::process::Running;

/// The grant that the listener knows.
pub const GRANT: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// The type that the handle has to be called, since that is what clients send.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";

/// Shows the environment and waits for the file with its status. A line in the pipe makes it look at once; one that comes when
/// its time to wait is over can be lost. It does not outlive the job's folder.
const COMMAND: &str = r#"mkfifo "$TMPDIR/go"; exec 3<>"$TMPDIR/go"
tr '\0' '\n' </proc/$$/environ >"$TMPDIR/environment"
echo ready
while [[ -d $TMPDIR && ! -e $TMPDIR/status ]]; do read -r -t 2 -u 3; done
exit "$(<"$TMPDIR/status")""#;

/// More than any answer takes: a request is held for 20 s.
const PATIENCE: Duration = Duration::from_secs(60);

/// A command that runs, with the program beside it.
pub struct Live {
    /// The run.
    pub running: Running,
    /// A client of its listener.
    pub client: Client,
    /// The environment of the command.
    pub env: BTreeMap<String, String>,
    tmp: PathBuf,
}

impl Live {
    /// Starts a command in a job, with `--renew`.
    #[track_caller]
    pub fn start(job: Job) -> Self {
        let tmp = job.tmp();
        let running = job.renew().token_in("tmp/environment").exec(["bash", "-c", COMMAND]).start();
        assert!(running.stdout_gets("ready\n"), "the command does not run:\n{}", running.stderr_now());
        let text = fs::read_to_string(tmp.join("environment")).unwrap();
        let pairs = text.lines().filter_map(|line| line.split_once('='));
        let env: BTreeMap<String, String> = pairs.map(|(name, value)| (name.into(), value.into())).collect();
        let client = Client::of(&env);
        Self { running, client, env, tmp }
    }

    /// Asks for a token of the main scope. It has to be one that the STS gave and that is good for a while.
    #[track_caller]
    pub fn token(&self) -> String {
        let asked = Instant::now();
        let answer = self.client.ask();
        assert_eq!(answer.status, 200, "{answer:?}\n{}", self.running.stderr_now());
        let token = answer.token();
        let issued = self.running.issued();
        let found = issued.iter().find(|issued| issued.text == token).expect("the STS gave this token");
        let left = (found.at + found.life).saturating_duration_since(asked);
        // The program counts whole seconds.
        let most = left.as_secs() + 1;
        assert!(!left.is_zero(), "it had expired {:?} ago", asked.duration_since(found.at + found.life));
        assert!((1..=most).contains(&answer.left()), "{} s are left, not {}", left.as_secs(), answer.left());
        token
    }

    /// The token that the command had when it started. Only that one is sure to be the first, however late somebody asks.
    pub fn first_token(&self) -> String {
        self.env["EQUINIX_API_TOKEN"].clone()
    }

    /// Asks until there is a token of an hour, the last one of those that live for seconds.
    #[track_caller]
    pub fn last_token(&self) -> String {
        until("there is a token of an hour", || {
            let token = self.token();
            self.running
                .issued()
                .iter()
                .any(|issued| issued.text == token && issued.life.as_secs() > 1000)
                .then_some(token)
        })
    }

    /// The file that the command finds its token in.
    pub fn token_file(&self) -> PathBuf {
        self.env["EQUINIX_WIF_TOKEN_FILE"].clone().into()
    }

    /// Ends the command with this status, which has to be that of the run.
    #[track_caller]
    pub fn ends(self, status: u8) -> Outcome {
        go(&self.tmp, status);
        let outcome = self.running.wait();
        outcome.require(outcome.status == Some(i32::from(status)), "the exit status is the command's");
        outcome
    }

    /// Kills the program, and ends the command after it.
    #[track_caller]
    pub fn killed(self) -> Outcome {
        self.running.signal("KILL");
        let Self { running, tmp, .. } = self;
        go(&tmp, 0);
        let outcome = running.wait();
        outcome.require(outcome.signal == Some(9), "the signal ended it");
        outcome
    }

    /// [`Live::ends`] with a status that nothing but the command has.
    #[track_caller]
    pub fn end(self) -> Outcome {
        self.ends(43)
    }
}

/// Lets the command end with this status.
fn go(tmp: &Path, status: u8) {
    fs::write(tmp.join("new"), status.to_string()).unwrap();
    fs::rename(tmp.join("new"), tmp.join("status")).unwrap();
    OpenOptions::new().write(true).open(tmp.join("go")).unwrap().write_all(b"\n").unwrap();
}

/// Waits for something that no stream tells.
#[track_caller]
pub fn until<T>(what: &str, mut there: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = there() {
            return found;
        }
        assert!(Instant::now() < end, "in vain: {what}");
        thread::park_timeout(Duration::from_millis(50));
    }
}

/// A client of a listener.
#[derive(Debug, Clone)]
pub struct Client {
    /// Where the listener is.
    pub address: SocketAddr,
    /// The handle.
    pub handle: String,
    /// The scope that the run is for.
    pub scope: String,
}

impl Client {
    /// A client that goes by these variables, as Equinix's do.
    pub fn of(env: &BTreeMap<String, String>) -> Self {
        let endpoint = env["EQUINIX_STS_ENDPOINT"].strip_prefix("http://").expect("plain HTTP");
        Self {
            address: endpoint.parse().expect("an address and a port"),
            handle: env["EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN"].clone(),
            scope: env["EQUINIX_TOKEN_EXCHANGE_SCOPE"].clone(),
        }
    }

    /// Asks for a token of the main scope.
    #[track_caller]
    pub fn ask(&self) -> Answer {
        self.ask_for(&self.scope)
    }

    /// Asks for a token of a scope.
    #[track_caller]
    pub fn ask_for(&self, scope: &str) -> Answer {
        self.send(self.request("/use/token", &self.form(scope)).as_bytes())
    }

    /// The fields that Equinix's clients send.
    pub fn form(&self, scope: &str) -> Vec<(&'static str, String)> {
        vec![
            ("grant_type", GRANT.to_owned()),
            ("scope", scope.to_owned()),
            ("subject_token", self.handle.clone()),
            ("subject_token_type", ID_TOKEN.to_owned()),
        ]
    }

    /// A request with this form.
    pub fn request(&self, path: &str, form: &[(&str, String)]) -> String {
        let encode = |(name, value): &(&str, String)| {
            format!("{name}={}", utf8_percent_encode(value, NON_ALPHANUMERIC))
        };
        let body = form.iter().map(encode).collect::<Vec<_>>().join("&");
        let (host, length) = (self.address, body.len());
        format!(
            "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-www-form-urlencoded\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
    }

    /// Sends these bytes and reads the answer.
    #[track_caller]
    pub fn send(&self, bytes: &[u8]) -> Answer {
        let mut stream = self.connect();
        // Whoever refuses a request need not read all of it.
        stream.write_all(bytes).ok();
        Answer::read(&mut stream)
    }

    /// Connects and says nothing.
    #[track_caller]
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("the listener is there");
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream
    }
}

/// The answer of a listener.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status; 0 when there was no answer.
    pub status: u16,
    /// The status line and the headers, in lower case.
    pub head: String,
    /// The body.
    pub body: String,
}

impl Answer {
    /// Reads an answer to its end.
    pub fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        // A connection that was reset has said what it had to say.
        stream.read_to_end(&mut bytes).ok();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Self { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The access token.
    #[track_caller]
    pub fn token(&self) -> String {
        self.json()["access_token"].as_str().unwrap_or_else(|| panic!("no token: {self:?}")).to_owned()
    }

    /// `expires_in`.
    #[track_caller]
    pub fn left(&self) -> u64 {
        self.json()["expires_in"].as_u64().unwrap_or_else(|| panic!("no number: {self:?}"))
    }

    /// Checks that it is a refusal in OAuth's form, with this status and error, and this in its description.
    #[track_caller]
    pub fn refuses(&self, status: u16, error: &str, text: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let json = self.json();
        assert_eq!(json["error"], error, "{self:?}");
        assert!(json["error_description"].as_str().unwrap().contains(text), "{self:?}");
        assert!(json.get("access_token").is_none(), "{self:?}");
    }
}
