//! The parts of this library that the local service (`serve/`) is made from: its settings, a source of tokens, the HTTP policy
//! and the words for people. There is no promise about any of it but to the service of the same version.

mod command_line;
mod federation;
mod knowledge;
mod sandbox;
mod upstream;

pub use command_line::{CommandLine, Given, Purpose, parse};
pub use federation::Federation;
pub use knowledge::{codes, explain};
pub use sandbox::Sandbox;
pub use upstream::Upstream;

pub use crate::clock::{Clock, SystemClock, rfc3339};
pub use crate::credential::{Credential, Kind as TokenKind, TOKEN_TYPE};
pub use crate::deadline::Deadline;
pub use crate::env::Env;
pub use crate::error::{Code, Error, Exit};
pub use crate::handle::PREFIX as HANDLE_PREFIX;
pub use crate::http::proxy::{TunnelAnswer, tunnel_request};
pub use crate::http::url::Url;
pub use crate::http::{Fault, Hop, MAX_BODY, MAX_HEADERS, REQUEST_ID_HEADERS, Route, USER_AGENT};
pub use crate::listener::peer::{self, Caller};
pub use crate::listener::{Reply, Request};
pub use crate::random::{bytes as random_bytes, hex as random_hex};
pub use crate::renew::budget::Budget;
pub use crate::renew::cache::{Answer, Due, Served};
pub use crate::renew::local_sts::{Announced, HOLD, LocalSts};
pub use crate::renew::source::{Observer, Obtain, TokenSource, Unavailable};
pub use crate::report::console::{Console, Kind as LineKind, Log, Verbosity};
pub use crate::secret::{Secret, fingerprint};
pub use crate::text::{Redactor, quote};

/// Makes the console of a service: lines for people go to the log, commands of a runner to standard error. Every secret of the
/// environment is known to it.
pub fn console(stderr: Box<dyn std::io::Write + Send>, log: Log, verbosity: Verbosity, env: &Env) -> Console {
    let console = Console::new(stderr, verbosity, false).with_log(log);
    guard_ambient(&console, env);
    console
}

/// Keeps the secrets of the environment out of every line.
pub fn guard_ambient(console: &Console, env: &Env) {
    crate::guard_ambient(env, console);
}
