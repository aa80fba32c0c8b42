//! The REST adapter: Equinix's two requests for a token, the STS that hands out this service's own, and what operators look at.

pub mod openapi;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use equinix_wif::service::{self, Code, Secret, Served, TOKEN_TYPE};
use http::{StatusCode, header};
use serde_json::json;
use zeroize::Zeroizing;

use crate::answer;
use crate::app::{App, Federated, Granted, Kind, NotPassed, OWN_CLIENT, Origin, PassThrough, Sent};
use crate::caller::Caller;
use crate::guard::{Admitted, Guard, has_type, read_body};
use crate::metrics;

/// The paths of the STS, as Equinix's is asked.
const STS: [&str; 2] = ["/use/token", "/v1/token"];

/// Tells whether a path is open to everybody, or has its own way to prove who asks, on a service that obtains tokens itself.
pub fn is_open_federated(path: &str) -> bool {
    is_open(path)
        || STS.contains(&path)
        || [Kind::Token, Kind::Refresh].iter().any(|kind| kind.path() == path)
}

/// Tells whether a path is open to everybody.
pub fn is_open(path: &str) -> bool {
    matches!(path, "/healthz" | "/readyz")
}

/// Makes the adapter.
pub fn router(app: &Arc<App>) -> Router {
    let router = Router::new()
        .route(Kind::Token.path(), post(|state, request| classic(Kind::Token, state, request)))
        .route(Kind::Refresh.path(), post(|state, request| classic(Kind::Refresh, state, request)))
        .route(
            "/healthz",
            get(|| async { counted("/healthz", answer::json(StatusCode::OK, &json!({"status": "ok"}))) }),
        )
        .route("/readyz", get(ready))
        .route("/metrics", get(figures))
        .route("/openapi.json", get(document));
    let router = match &app.origin {
        Origin::Federated(_) => STS.iter().fold(router, |router, path| router.route(path, post(sts))),
        Origin::PassThrough(_) => router,
    };
    router
        .fallback(|| async {
            counted("other", answer::message(StatusCode::NOT_FOUND, "there is nothing at this path"))
        })
        .with_state(Arc::clone(app))
}

fn counted(route: &'static str, response: Response) -> Response {
    metrics::request(route, response.status().as_u16());
    response
}

/// Tells whether a token could be had.
async fn ready(State(app): State<Arc<App>>) -> Response {
    let unready = |why: &str| {
        answer::json(StatusCode::SERVICE_UNAVAILABLE, &json!({"status": "unavailable", "code": why}))
    };
    let response = match &app.origin {
        // Whether callers' credentials are good, nobody knows before they come.
        Origin::PassThrough(_) => Ok(()),
        Origin::Federated(federated) => match federated.tokens.readiness() {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(error.code().name()),
            None => Err("starting"),
        },
    }
    .map_or_else(unready, |()| answer::json(StatusCode::OK, &json!({"status": "ready"})));
    counted("/readyz", response)
}

async fn figures(State(app): State<Arc<App>>) -> Response {
    if let Origin::Federated(federated) = &app.origin
        && let Some(Served { credential, left }) = federated.tokens.source().held()
    {
        metrics::age(std::time::Duration::from_secs(credential.expires_in).saturating_sub(left));
    }
    let mut response = Response::new(app.metrics.render().into());
    let text = http::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    counted("/metrics", response)
}

async fn document(State(app): State<Arc<App>>) -> Response {
    let federated = matches!(app.origin, Origin::Federated(_));
    counted("/openapi.json", answer::json(StatusCode::OK, &openapi::document(federated)))
}

/// Answers a request of the classic API.
async fn classic(kind: Kind, State(app): State<Arc<App>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let is_admitted = head.extensions.get::<Admitted>().is_some();
    let caller = head.extensions.get::<Caller>();
    let invalid = |status: StatusCode, why: &str| {
        answer::equinix_error(
            status,
            Code::CfgRequestInvalid.name(),
            why,
            "Send a JSON object as Equinix's API takes it.",
        )
    };
    let response = if has_type(&head.headers, "application/json") {
        match read_body(&head.extensions, body).await {
            Err(status) => invalid(status, "the request could not be read whole"),
            Ok(body) => match read(&body) {
                Err(why) => invalid(StatusCode::BAD_REQUEST, why),
                Ok(sent) => match &app.origin {
                    Origin::Federated(federated) => {
                        let admitted = is_admitted || shows_bearer(&sent, &app.bearer);
                        of_grant(&app, federated, kind, &sent, admitted, caller).await
                    }
                    Origin::PassThrough(pass) => pass_on(&app, pass, kind, &sent, body.clone(), caller).await,
                },
            },
        }
    } else {
        invalid(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the content type must be application/json")
    };
    counted(kind.path(), response)
}

/// Reads the members that are looked at.
fn read(body: &[u8]) -> Result<Sent<'_>, &'static str> {
    // A list would pass for the members in their order.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("the body is no JSON object");
    }
    serde_json::from_slice(body).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => "a member that names the client is twice there, or no text",
        _ => "the body is no JSON object",
    })
}

fn shows_bearer(sent: &Sent<'_>, bearer: &Secret) -> bool {
    let secret = sent.client_secret.as_deref().unwrap_or_default();
    sent.client_id.as_deref() == Some(OWN_CLIENT) && Guard::is_bearer(bearer, secret.as_bytes())
}

/// Answers with a token of this service's grant.
async fn of_grant(
    app: &App,
    federated: &Federated,
    kind: Kind,
    sent: &Sent<'_>,
    is_admitted: bool,
    caller: Option<&Caller>,
) -> Response {
    if !is_admitted {
        return answer::challenged(answer::equinix_error(
            StatusCode::UNAUTHORIZED,
            Code::ServeUnauthorized.name(),
            "the bearer of this service is missing or wrong",
            "Send it as Authorization: Bearer, or as client_secret of the client equinix-wif. Its file is named in the service's log.",
        ));
    }
    if sent.client_id.as_deref().is_some_and(|id| id != OWN_CLIENT) {
        return answer::equinix_error(
            StatusCode::FORBIDDEN,
            Code::ServeForeignClient.name(),
            "this service hands out tokens of its own grant, and takes no other client",
            "Leave client_id and client_secret out, or start the service with --backend pass-through.",
        );
    }
    if sent.grant_type.as_deref().is_some_and(|grant| grant != "client_credentials") {
        return answer::equinix_error(
            StatusCode::BAD_REQUEST,
            Code::ServeGrantUnsupported.name(),
            "this service hands out tokens of its own grant; grant_type can only be client_credentials",
            "Leave grant_type out, or start the service with --backend pass-through.",
        );
    }
    match federated.token(kind).await {
        Err(unavailable) => answer::equinix_unavailable(&unavailable, &app.console),
        Ok(Served { credential, left }) => {
            app.handed_out(kind.path(), federated.scope(), Some(credential.expires_at), caller).await;
            let token = credential.token.reveal();
            // Written out, so that no copy of the token stays behind in a tree of values. Its alphabet needs no escapes.
            let seconds = left.as_secs();
            let body = Zeroizing::new(format!(
                r#"{{"access_token":"{token}","token_timeout":"{seconds}","user_name":"{OWN_CLIENT}","token_type":"{TOKEN_TYPE}"}}"#
            ));
            answer::json_bytes(StatusCode::OK, Bytes::copy_from_slice(body.as_bytes()))
        }
    }
}

/// Answers with what the API answers.
async fn pass_on(
    app: &App,
    pass: &PassThrough,
    kind: Kind,
    sent: &Sent<'_>,
    body: Bytes,
    caller: Option<&Caller>,
) -> Response {
    match pass.send(kind, sent, body).await {
        Err(NotPassed::Blocked(left)) => answer::equinix_blocked(left),
        Err(NotPassed::Failed(error)) => {
            tracing::warn!(event = "upstream-failed", code = error.code().name(), "{}", error.message());
            answer::equinix_failure(&error, &app.console)
        }
        Ok(passed) => {
            if passed.status == StatusCode::OK {
                let life = Granted::read(&passed.body).and_then(|granted| granted.life());
                app.handed_out(kind.path(), "classic", app.end_of(life), caller).await;
            }
            answer::passed_on(passed.status, passed.headers, passed.body)
        }
    }
}

/// Answers as an STS.
async fn sts(State(app): State<Arc<App>>, request: Request) -> Response {
    let Origin::Federated(federated) = &app.origin else {
        return counted("other", answer::message(StatusCode::NOT_FOUND, "there is nothing at this path"));
    };
    let (head, body) = request.into_parts();
    let route = if head.uri.path() == STS[1] { STS[1] } else { STS[0] };
    let refuse = |status: StatusCode, why: &str| {
        answer::json(
            status,
            &json!({"error": "invalid_request", "error_description": format!("equinix-wif: {why}")}),
        )
    };
    if !has_type(&head.headers, "application/x-www-form-urlencoded") {
        let why = "the content type must be application/x-www-form-urlencoded";
        return counted(route, refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, why));
    }
    let body = match read_body(&head.extensions, body).await {
        Ok(body) => body,
        Err(status) => return counted(route, refuse(status, "the request could not be read whole")),
    };
    let headers = vec![("content-type".to_owned(), b"application/x-www-form-urlencoded".to_vec())];
    let received = service::Request::received("POST", route, headers, body.to_vec());
    let response = match federated.sts.find(&received) {
        Err(reply) => answer::of_reply(reply),
        Ok(source) => {
            let outcome = federated.tokens.token().await;
            if let Ok(served) = &outcome {
                let caller = head.extensions.get::<Caller>();
                app.handed_out(route, federated.scope(), Some(served.credential.expires_at), caller).await;
            }
            answer::of_reply(federated.sts.reply(&received, source, outcome))
        }
    };
    counted(route, response)
}
