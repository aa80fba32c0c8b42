//! Faults below HTTP's status codes, and the errors that tell of them.

use std::io::ErrorKind;
use std::time::Duration;

use crate::error::{Code, Error};
use crate::retry::{ATTEMPT_TIMEOUT, Attempt, Failure, Retry};
use crate::text;

use super::proxy::Proxy;
use super::url::Url;
use super::{MAX_BODY, MAX_HEADERS, Peer};

/// The reason for which a request has no answer.
#[derive(Debug)]
pub enum Fault {
    /// A name could not be looked up.
    Name {
        /// The name.
        host: String,
        /// The reason.
        problem: NameProblem,
    },
    /// There is no TCP connection.
    Unreachable(ErrorKind),
    /// TLS could not be agreed on, or the certificate is not trusted.
    Tls(rustls::Error),
    /// The connection broke, or nothing came, during the handshake.
    HandshakeBroken(ErrorKind),
    /// A fault on the way to the proxy itself.
    AtProxy(Box<Fault>),
    /// The proxy answered `CONNECT` with nothing that could be understood.
    Tunnel(ErrorKind),
    /// The proxy answered `CONNECT` with another status than success.
    ProxyAnswered {
        /// The status.
        status: u16,
        /// The ways to log in that it offers.
        schemes: Vec<String>,
    },
    /// The answer was not complete when the time was over.
    Timeout,
    /// The connection ended before the answer.
    Reset,
    /// The answer is not HTTP.
    Garbage,
    /// The body ended too early.
    Truncated,
    /// This part of the answer is too large.
    TooLarge(&'static str),
    /// The body is compressed.
    Encoded,
    /// The request could not be built.
    Unsendable,
}

/// The reason for which a name has no address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameProblem {
    /// There is no such name.
    Unknown,
    /// It may be found later.
    Temporary,
    /// It was not found in time.
    TimedOut,
}

impl Fault {
    /// The same fault, with the proxy instead of the server.
    #[must_use]
    pub fn at_proxy(self) -> Self {
        Self::AtProxy(Box::new(self))
    }

    /// Sorts what the HTTP library says about a connection that stood.
    pub(super) fn from_ureq(error: ureq::Error) -> Self {
        use ureq::Error as E;
        match error {
            E::Timeout(_) => Self::Timeout,
            E::Io(_) => Self::Reset,
            E::LargeResponseHeader(..) => Self::TooLarge("header"),
            // The parser gives up at its 128th header, which may come before the size is reached.
            E::Protocol(error) if error.to_string().contains("too many headers") => Self::TooLarge("header"),
            E::BodyExceedsLimit(_) => Self::TooLarge("body"),
            E::Http(_) | E::BadUri(_) | E::RequireHttpsOnly(_) | E::TlsRequired => Self::Unsendable,
            _ => Self::Garbage,
        }
    }

    /// Tells whether a time limit was what ended the attempt.
    fn is_timeout(&self) -> bool {
        match self {
            Self::Timeout | Self::Name { problem: NameProblem::TimedOut, .. } => true,
            Self::Unreachable(kind) | Self::HandshakeBroken(kind) | Self::Tunnel(kind) => {
                *kind == ErrorKind::TimedOut
            }
            Self::AtProxy(inner) => inner.is_timeout(),
            _ => false,
        }
    }

    /// Names the fault in the user's words, with its code and whether to try again.
    pub(super) fn explain(&self, peer: Peer, url: &Url, proxy: Option<&Proxy>, attempt: Attempt) -> Failure {
        if self.is_timeout() && attempt.deadline.left().is_none() {
            return Failure::permanent(deadline_error(peer));
        }
        let origin = url.origin();
        let server = Place { name: peer.name, at: &origin };
        let limit = attempt.connect_timeout();
        let failure = match (self, proxy) {
            (Self::AtProxy(inner), Some(proxy)) => {
                inner.at(&Place { name: "the proxy", at: &proxy.shown }, peer, limit, Code::ProxyConnect)
            }
            (Self::Tunnel(kind), Some(proxy)) => {
                let why = reason(*kind, limit);
                let message = format!("the proxy {} did not connect to {server}: {why}", proxy.shown);
                Failure::transient(Error::new(Code::ProxyConnect, message), None)
            }
            (Self::ProxyAnswered { status, schemes }, Some(proxy)) => {
                answered(*status, schemes, &server, proxy)
            }
            _ => self.at(&server, peer, limit, Code::NetConnect),
        };
        let error = failure.error.with_stage(peer.stage);
        Failure { error, was_cut_short: self.is_timeout(), ..failure }
    }

    fn at(&self, place: &Place<'_>, peer: Peer, limit: Duration, unreachable: Code) -> Failure {
        let again = Retry::Again { after: None };
        let (code, message, retry) = match self {
            // A name that does not exist seldom comes to exist; once more for the rare hiccup.
            Self::Name { host, problem: NameProblem::Unknown } => {
                (Code::NetDns, format!("the name {host} does not exist"), Retry::Once)
            }
            Self::Name { host, problem: NameProblem::Temporary } => {
                (Code::NetDns, format!("the name {host} could not be looked up for the moment"), again)
            }
            Self::Name { host, problem: NameProblem::TimedOut } => {
                let message = format!("the name {host} could not be looked up within {} s", limit.as_secs());
                (Code::NetDns, message, again)
            }
            Self::Unreachable(kind) => {
                let why = reason(*kind, limit);
                (unreachable, format!("{place} could not be reached: {why}"), again)
            }
            Self::Tls(error) => return tls_failure(error, place),
            Self::HandshakeBroken(ErrorKind::TimedOut) => {
                let seconds = limit.as_secs();
                let message = format!("the TLS handshake with {place} was not complete within {seconds} s");
                (Code::TlsHandshake, message, again)
            }
            Self::HandshakeBroken(_) => {
                (Code::TlsHandshake, format!("the TLS handshake with {place} broke off"), again)
            }
            Self::Timeout => {
                let seconds = ATTEMPT_TIMEOUT.as_secs();
                let message = format!("{place} did not answer completely within {seconds} s");
                (Code::NetTimeout, message, again)
            }
            Self::Reset => {
                (Code::NetReset, format!("{place} closed the connection without an answer"), again)
            }
            Self::Garbage => (Code::NetReset, format!("{place} did not answer in HTTP"), again),
            Self::Truncated => (Code::NetTruncated, format!("the answer of {place} ended too early"), again),
            Self::TooLarge(part) => {
                let is_body = *part == "body";
                let (limit, lines) =
                    if is_body { (MAX_BODY, "") } else { (MAX_HEADERS, ", or has too many lines") };
                let size = limit / 1024;
                let message = format!("the {part} of the answer of {place} is larger than {size} KiB{lines}");
                (peer.too_large, message, Retry::Never)
            }
            Self::Encoded => {
                let message = format!("{place} sent a compressed answer that nobody asked for");
                (peer.not_json, message, Retry::Never)
            }
            // The others have been dealt with where a proxy is known, and there are none without one.
            Self::Unsendable | Self::AtProxy(_) | Self::Tunnel(_) | Self::ProxyAnswered { .. } => {
                (Code::Internal, format!("the request to {place} could not be built"), Retry::Never)
            }
        };
        Failure::new(Error::new(code, message), retry)
    }
}

/// The server that a message is about.
struct Place<'a> {
    name: &'a str,
    at: &'a str,
}

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.name {
            "the proxy" => write!(f, "the proxy {}", self.at),
            name => write!(f, "{name} at {}", self.at),
        }
    }
}

/// The error for a run whose time is over.
pub(super) fn deadline_error(peer: Peer) -> Error {
    Error::new(Code::Deadline, format!("the time for this run was used up before {} had answered", peer.name))
        .with_stage(peer.stage)
}

/// Returns what a proxy's status means: it may be busy, or not reach the server at the moment; everything else is its last word.
fn answered(status: u16, schemes: &[String], server: &Place<'_>, proxy: &Proxy) -> Failure {
    let shown = &proxy.shown;
    let (code, message) = match status {
        407 => (Code::ProxyAuth, format!("the proxy {shown} asks for a user name and password (407)")),
        408 | 425 | 429 | 500 | 502..=504 => {
            (Code::ProxyConnect, format!("the proxy {shown} did not connect to {server} ({status})"))
        }
        _ => (Code::ProxyRefused, format!("the proxy {shown} refused to connect to {server} ({status})")),
    };
    let error = Error::new(code, message).with_http_status(status);
    if code == Code::ProxyConnect {
        return Failure::transient(error, None);
    }
    Failure::permanent(if schemes.is_empty() {
        error
    } else {
        error.with_detail("offered", schemes.join(", "))
    })
}

fn reason(kind: ErrorKind, limit: Duration) -> String {
    use ErrorKind as K;
    match kind {
        K::TimedOut | K::WouldBlock => return format!("no answer within {} s", limit.as_secs()),
        K::ConnectionRefused => "connection refused",
        K::HostUnreachable | K::NetworkUnreachable | K::NetworkDown | K::AddrNotAvailable => "no route to it",
        K::PermissionDenied => "not permitted on this machine",
        K::ConnectionReset | K::ConnectionAborted | K::BrokenPipe | K::UnexpectedEof => {
            "it closed the connection at once"
        }
        K::InvalidData => "it did not answer in HTTP",
        _ => "no connection",
    }
    .to_owned()
}

/// A certificate that is not trusted is a refusal for safety and never retried; anything else is a failed handshake.
fn tls_failure(error: &rustls::Error, place: &Place<'_>) -> Failure {
    use rustls::CertificateError as C;
    let why = match error {
        rustls::Error::InvalidCertificate(problem) => match problem {
            C::Expired | C::ExpiredContext { .. } => "it has expired",
            C::NotValidYet | C::NotValidYetContext { .. } => "it is not valid yet",
            C::UnknownIssuer => "it was not issued by a trusted authority",
            C::NotValidForName | C::NotValidForNameContext { .. } => "it belongs to another host",
            C::InvalidPurpose | C::InvalidPurposeContext { .. } => "it is not meant for servers",
            C::Revoked => "it was revoked",
            C::BadSignature => "its signature is wrong",
            _ => "it is not acceptable",
        },
        rustls::Error::NoCertificatesPresented => "there is none",
        other => {
            let why = tls_reason(other);
            let message = format!("no TLS connection could be agreed on with {place}: {why}");
            return Failure::permanent(Error::new(Code::TlsHandshake, message));
        }
    };
    let message = format!("the certificate of {place} is not trusted: {why}");
    Failure::permanent(Error::new(Code::TlsVerify, message))
}

fn tls_reason(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidMessage(_) | rustls::Error::InappropriateMessage { .. } => {
            "what it said is not TLS".to_owned()
        }
        rustls::Error::PeerIncompatible(_) => {
            "it supports neither TLS 1.2 nor TLS 1.3, or no common cipher".to_owned()
        }
        other => text::quote(&other.to_string()),
    }
}
