//! The door of both adapters: which name was called, from which page, and with which bearer.
//!
//! A page in a browser can have its own name lead to this machine (DNS rebinding), so the name counts, and not only the address.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use equinix_wif::service::Secret;
use http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use subtle::ConstantTimeEq;

use crate::answer;
use crate::caller::Caller;
use crate::listen::{Local, Slot};
use crate::metrics;

/// The largest body of a request, in bytes.
pub const MAX_BODY: usize = 64 * 1024;

/// The time in which the body of a request has to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// The keeper of an adapter's door.
pub struct Guard {
    /// The bearer; `None` if everybody on this machine may ask.
    pub bearer: Option<Arc<Secret>>,
    /// The place where the adapter listens.
    pub local: Local,
    /// Tells of a path whether it is open, or has its own way to prove who asks.
    pub is_open: fn(&str) -> bool,
}

/// The request has shown the bearer, or needs none.
#[derive(Debug, Clone, Copy)]
pub struct Admitted;

impl Guard {
    /// Tells whether a text is the bearer.
    pub fn is_bearer(bearer: &Secret, text: &[u8]) -> bool {
        text.ct_eq(bearer.reveal().as_bytes()).into()
    }

    /// Tells whether a request needs nothing more to be answered.
    fn admits(&self, headers: &HeaderMap, caller: Option<&Caller>) -> bool {
        if caller.and_then(Caller::is_own) == Some(true) {
            return true;
        }
        let Some(bearer) = &self.bearer else { return true };
        let mut given = headers.get_all(header::AUTHORIZATION).iter();
        let (Some(value), None) = (given.next(), given.next()) else { return false };
        let Some((scheme, token)) = value.as_bytes().split_at_checked(7) else { return false };
        scheme.eq_ignore_ascii_case(b"bearer ") && Self::is_bearer(bearer, token.trim_ascii())
    }

    fn judge(&self, request: &Request) -> Result<bool, Response> {
        let caller = request.extensions().get::<Caller>();
        if caller.and_then(Caller::is_own) == Some(false) {
            return Err(answer::message(
                StatusCode::FORBIDDEN,
                "this socket is for the user who runs the service",
            ));
        }
        if !self.local.is_called(request.uri(), request.headers()) {
            return Err(answer::message(
                StatusCode::MISDIRECTED_REQUEST,
                "this service has another name than the one in Host",
            ));
        }
        if !request.headers().get_all(header::ORIGIN).iter().all(is_own_origin) {
            return Err(answer::message(StatusCode::FORBIDDEN, "pages of other origins may not ask"));
        }
        let is_admitted = self.admits(request.headers(), caller);
        if is_admitted || (self.is_open)(request.uri().path()) {
            Ok(is_admitted)
        } else {
            Err(answer::unauthorized())
        }
    }
}

/// Judges a request before anything else does, and has no answer stored.
pub async fn guard(State(guard): State<Arc<Guard>>, mut request: Request, next: Next) -> Response {
    let mut response = match guard.judge(&request) {
        Ok(is_admitted) => {
            if is_admitted {
                request.extensions_mut().insert(Admitted);
            }
            next.run(request).await
        }
        Err(refusal) => {
            metrics::request("door", refusal.status().as_u16());
            refusal
        }
    };
    response.headers_mut().insert(header::CACHE_CONTROL, NO_STORE);
    response
}

/// Tells whether an origin is a page of this machine, on whatever port.
fn is_own_origin(origin: &HeaderValue) -> bool {
    let Some(authority) = origin
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("http://").or_else(|| text.strip_prefix("https://")))
    else {
        return false;
    };
    split_port(authority).is_some_and(|(host, _)| matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
}

/// Splits a host from its port, if it has one. `None` if that is no port.
pub fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()) => {
            Some((host, Some(port.parse().ok()?)))
        }
        _ => Some((authority, None)),
    }
}

/// Tells whether a request names the service: in `Host`, and in the target where a whole URL stands there.
pub fn names(uri: &Uri, headers: &HeaderMap, is_name: impl Fn(&str) -> bool) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    host.to_str().is_ok_and(&is_name) && uri.authority().is_none_or(|authority| is_name(authority.as_str()))
}

/// Tells whether a body has a media type.
pub fn has_type(headers: &HeaderMap, wanted: &str) -> bool {
    let given = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    given.and_then(|text| text.split(';').next()).is_some_and(|text| text.trim().eq_ignore_ascii_case(wanted))
}

/// Reads a body whole, within limits. From then on the request counts as one that is being answered.
pub async fn read_body(extensions: &http::Extensions, body: Body) -> Result<Bytes, StatusCode> {
    // One that is announced as too large is not waited for.
    let announced = hyper::body::Body::size_hint(&body).lower();
    if usize::try_from(announced).map_or(true, |length| length > MAX_BODY) {
        return Err(StatusCode::PAYLOAD_TOO_LARGE);
    }
    let read = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_BODY).collect()).await;
    match read {
        Err(_) => Err(StatusCode::REQUEST_TIMEOUT),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(StatusCode::PAYLOAD_TOO_LARGE),
        Ok(Err(_)) => Err(StatusCode::BAD_REQUEST),
        Ok(Ok(body)) => {
            if let Some(slot) = extensions.get::<Arc<Slot>>() {
                slot.received();
            }
            Ok(body.to_bytes())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_machine_may_ask_and_no_others() {
        for origin in ["http://localhost", "http://localhost:3000", "https://127.0.0.1:1", "http://[::1]:80"]
        {
            assert!(is_own_origin(&HeaderValue::from_static(origin)), "{origin}");
        }
        for origin in [
            "null",
            "",
            "http://evil.example",
            "http://localhost.evil.example",
            "http://localhost:80.evil.example",
            "http://localhost:",
            "http://localhost:99999",
            "ftp://localhost",
            "http://user@localhost",
            "http://127.0.0.1.nip.io",
        ] {
            assert!(!is_own_origin(&HeaderValue::from_static(origin)), "{origin}");
        }
    }
}
