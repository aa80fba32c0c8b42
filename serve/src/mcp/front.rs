//! The place before the SDK where requests are put right that it would answer with something else than MCP.

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use rmcp::RoleServer;
use rmcp::service::RequestContext;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use std::borrow::Cow;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::answer;
use crate::guard::{has_type, read_body};
use crate::metrics;

const PARSE_ERROR: i64 = -32_700;
const INVALID_REQUEST: i64 = -32_600;

/// Ends the work for a request whose caller has gone.
#[derive(Clone)]
struct Gone(CancellationToken);

/// Returns what ends the work for this request, besides a notification of the protocol.
pub fn gone(context: &RequestContext<RoleServer>) -> CancellationToken {
    let parts = context.extensions.get::<Parts>();
    parts
        .and_then(|parts| parts.extensions.get::<Gone>())
        .map_or_else(CancellationToken::new, |gone| gone.0.clone())
}

/// The members by which a message of JSON-RPC 2.0 is known.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    jsonrpc: Cow<'a, str>,
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(default)]
    result: Option<IgnoredAny>,
    #[serde(default)]
    error: Option<IgnoredAny>,
}

/// Reads the body, refuses what is no message, and passes the rest on.
pub async fn check(request: Request, next: Next) -> Response {
    let (mut head, body) = request.into_parts();
    let is_post = head.method == Method::POST;
    let body = match read_body(&head.extensions, body).await {
        Ok(body) => body,
        Err(status) => {
            return counted(refuse(status, INVALID_REQUEST, "the request could not be read whole"));
        }
    };
    if is_post && let Err(refusal) = judge(&body) {
        return counted(refusal);
    }
    let is_json = has_type(&head.headers, "application/json");
    let token = CancellationToken::new();
    head.extensions.insert(Gone(token.clone()));
    // Held by the answer until all of it is sent: whoever goes away before drops it.
    let guard = token.drop_guard();
    let response = next.run(Request::from_parts(head, Body::from(body.clone()))).await;
    if is_post && is_json && response.status() == StatusCode::UNSUPPORTED_MEDIA_TYPE {
        // The SDK says so of what it cannot read, and quotes from it.
        return counted(no_message(&body));
    }
    counted(response.map(|body| Body::new(Held { body, _guard: guard })))
}

fn counted(response: Response) -> Response {
    metrics::request("/mcp", response.status().as_u16());
    response
}

fn judge(body: &Bytes) -> Result<(), Response> {
    let bad = |code, why: &str| Err(refuse(StatusCode::BAD_REQUEST, code, why));
    match body.trim_ascii_start().first() {
        Some(b'{') => {}
        Some(b'[') if serde_json::from_slice::<IgnoredAny>(body).is_ok() => {
            return bad(INVALID_REQUEST, "batches are not part of this protocol");
        }
        _ if serde_json::from_slice::<IgnoredAny>(body).is_ok() => {
            return bad(INVALID_REQUEST, "a message is an object");
        }
        _ => return bad(PARSE_ERROR, "this is no JSON"),
    }
    match serde_json::from_slice::<Message<'_>>(body) {
        Ok(message)
            if message.jsonrpc == "2.0"
                && (message.method.is_some() || message.result.is_some() || message.error.is_some()) =>
        {
            Ok(())
        }
        _ => Err(no_message(body)),
    }
}

/// Refuses what is no message: it may be no JSON either.
fn no_message(body: &Bytes) -> Response {
    if serde_json::from_slice::<Value>(body).is_ok() {
        refuse(StatusCode::BAD_REQUEST, INVALID_REQUEST, "this is no message of JSON-RPC 2.0")
    } else {
        refuse(StatusCode::BAD_REQUEST, PARSE_ERROR, "this is no JSON")
    }
}

fn refuse(status: StatusCode, code: i64, why: &str) -> Response {
    answer::json(status, &json!({"jsonrpc": "2.0", "id": null, "error": {"code": code, "message": why}}))
}

/// A body that holds something until it is sent.
struct Held {
    body: Body,
    _guard: DropGuard,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<hyper::body::Frame<Bytes>, axum::Error>>> {
        std::pin::Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> hyper::body::SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    fn status_and_code(body: &str) -> Option<(u16, i64)> {
        let response = judge(&Bytes::copy_from_slice(body.as_bytes())).err()?;
        let status = response.status().as_u16();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(response.into_body().collect()).unwrap().to_bytes();
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert!(value["id"].is_null());
        Some((status, value["error"]["code"].as_i64().unwrap()))
    }

    #[test]
    fn what_is_no_message_is_refused_in_the_words_of_json_rpc() {
        for body in ["", "nonsense", "{", "{\"jsonrpc\": \"2.0\", ", "\u{feff}{}"] {
            assert_eq!(status_and_code(body), Some((400, PARSE_ERROR)), "{body}");
        }
        for body in [
            "[]",
            "[{}]",
            "1",
            "null",
            "{}",
            r#"{"jsonrpc":"1.0","method":"ping"}"#,
            r#"{"jsonrpc":"2.0","id":1}"#,
            r#"{"jsonrpc":"2.0","method":1}"#,
        ] {
            assert_eq!(status_and_code(body), Some((400, INVALID_REQUEST)), "{body}");
        }
        for body in [r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#]
        {
            assert_eq!(status_and_code(body), None, "{body}");
        }
    }
}
