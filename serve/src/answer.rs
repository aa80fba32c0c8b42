//! Answers of the service's own, in the form that the clients of a route read.

use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use equinix_wif::service::{Code, Console, Error, Exit, Reply, Unavailable};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde_json::{Value, json};

/// The challenge of the service's own 401.
const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"equinix-wif-serve\"");

/// The wait that a client is asked for when a token cannot be had at the moment, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Answers with bytes of JSON.
pub fn json_bytes(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::from(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// Answers with JSON.
pub fn json(status: StatusCode, body: &Value) -> Response {
    json_bytes(status, body.to_string())
}

/// Answers with a few words, where no route has a form of its own.
pub fn message(status: StatusCode, message: &str) -> Response {
    json(status, &json!({ "message": message }))
}

/// Refuses a request without the bearer.
pub fn unauthorized() -> Response {
    challenged(message(
        StatusCode::UNAUTHORIZED,
        "the bearer of this service is missing or wrong; its file is named in the service's log",
    ))
}

/// The same answer with the challenge of this service.
pub fn challenged(mut response: Response) -> Response {
    response.headers_mut().insert(header::WWW_AUTHENTICATE, CHALLENGE);
    response
}

/// Answers with an error in the form of Equinix's classic API.
pub fn equinix_error(status: StatusCode, code: &str, message: &str, hint: &str) -> Response {
    let title = status.canonical_reason().unwrap_or("Error");
    json(
        status,
        &json!({
            "error_domain": "equinix-wif-serve",
            "error_title": title,
            "error_code": code,
            "developer_message": hint,
            "error_message": message,
        }),
    )
}

/// Answers with a failure of this service to reach the API.
pub fn equinix_failure(error: &Error, console: &Console) -> Response {
    let status = match error.code() {
        Code::NetTimeout | Code::Deadline => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    let safe = |text: &str| console.safe(text);
    equinix_error(status, error.code().name(), &safe(error.message()), &safe(error.cure()))
}

/// Answers that there is no token, and whether asking again may help.
pub fn equinix_unavailable(unavailable: &Unavailable, console: &Console) -> Response {
    let safe = |text: &str| console.safe(text);
    let Some(error) = &unavailable.error else {
        let message = "no token has come yet";
        return later(equinix_error(
            StatusCode::SERVICE_UNAVAILABLE,
            Code::Deadline.name(),
            message,
            "Ask again.",
        ));
    };
    let (code, message, hint) = (error.code().name(), safe(error.message()), safe(error.cure()));
    if unavailable.may_pass() {
        return later(equinix_error(StatusCode::SERVICE_UNAVAILABLE, code, &message, &hint));
    }
    let status = match error.code().exit() {
        Exit::Protocol => StatusCode::BAD_GATEWAY,
        Exit::Internal => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::BAD_REQUEST,
    };
    equinix_error(status, code, &message, &hint)
}

/// The same answer with the advice to ask again a little later.
fn later(mut response: Response) -> Response {
    response.headers_mut().insert(header::RETRY_AFTER, RETRY_AFTER);
    response
}

/// Answers that a client is blocked, and for how long.
pub fn equinix_blocked(left: Duration) -> Response {
    let seconds = left.as_secs().saturating_add(1);
    let mut response = equinix_error(
        StatusCode::TOO_MANY_REQUESTS,
        Code::ApiLoginFailed.name(),
        "the API has refused these credentials, so they were not sent again: an account locks after five wrong attempts in a row",
        "Correct the credentials. The same ones are sent again after the time in Retry-After.",
    );
    if let Ok(seconds) = HeaderValue::try_from(seconds.to_string()) {
        response.headers_mut().insert(header::RETRY_AFTER, seconds);
    }
    response
}

/// Answers with what the API answered.
pub fn passed_on(status: StatusCode, headers: HeaderMap, body: Bytes) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Answers with a reply of the local STS.
pub fn of_reply(reply: Reply) -> Response {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (media_type, headers, body) = reply.into_parts();
    let mut response = Response::new(Body::from(body.as_bytes().to_vec()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    if status == StatusCode::UNAUTHORIZED { challenged(response) } else { response }
}
