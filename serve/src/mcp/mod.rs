//! The MCP adapter: tools for models, over HTTP and over standard streams.
//!
//! A model never sees a token unless that was asked for at the start: it gets the path of a file. The protocol is the official
//! SDK's; what that lets through is put right before it ([`front`]).

pub mod front;
mod given;
pub mod tools;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use bytes::Bytes;
use equinix_wif::service::{
    self, Code, Error, Secret, Served, TOKEN_TYPE, Unavailable, fingerprint, quote, rfc3339,
};
use http::request::Parts;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation, ListToolsResult,
    PaginatedRequestParams, ProgressNotificationParam, ProtocolVersion, ServerCapabilities, ServerConfig,
    Tool,
};
use rmcp::service::RequestContext;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use rmcp::{ErrorData, RoleServer, ServerHandler};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::app::{App, Federated, Granted, Kind, Last, NotPassed, OWN_CLIENT, Origin, PassThrough};
use crate::caller::Caller;
use crate::metrics;
use given::{Given, complete};
use tools::{ExplainArguments, RefreshArguments, TokenArguments};

/// The time after which somebody who waits is told that the work goes on.
const PROGRESS: Duration = Duration::from_secs(2);

/// The revisions that are spoken.
const VERSIONS: [ProtocolVersion; 3] =
    [ProtocolVersion::V_2025_06_18, ProtocolVersion::V_2025_11_25, ProtocolVersion::V_2026_07_28];

const INSTRUCTIONS: &str = "Obtains short-lived Equinix access tokens. Results say where a token is, not what it is: pass the file to a program, e.g. curl -H @FILE. Never print the files.";

/// The MCP server. A clone shares everything.
#[derive(Clone)]
pub struct Mcp {
    app: Arc<App>,
    tools: Arc<Vec<Tool>>,
    info: Arc<ServerConfig>,
}

/// The ways in which a tool does not give what was asked for.
enum Failure {
    /// The arguments are not those of the tool.
    Arguments(String),
    /// The tool failed: our code, and texts that may be shown.
    Tool { code: &'static str, message: String, hint: String },
}

impl Failure {
    fn of(error: &Error) -> Self {
        let mut message = error.message().to_owned();
        for (label, value) in error.details() {
            message.push_str(&format!("\n  {label}: {value}"));
        }
        Self::Tool { code: error.code().name(), message, hint: error.cure().to_owned() }
    }

    fn with(code: Code, message: impl Into<String>) -> Self {
        Self::of(&Error::new(code, message))
    }
}

impl Mcp {
    /// Makes the server.
    pub fn new(app: &Arc<App>) -> Self {
        let capabilities = ServerCapabilities::builder().enable_tools().build();
        let own = Implementation::new("equinix-mcp", env!("CARGO_PKG_VERSION"));
        let info = ServerConfig::new(capabilities).with_server_info(own).with_instructions(INSTRUCTIONS);
        let tools = tools::all(app.reveals_tokens);
        Self { app: Arc::clone(app), tools: Arc::new(tools), info: Arc::new(info) }
    }

    /// Makes the adapter for HTTP, at `/mcp` and `/`.
    pub fn router(self, stop: CancellationToken) -> Router {
        let config = StreamableHttpServerConfig::default()
            .with_legacy_session_mode(false)
            .with_json_response(true)
            .with_cancellation_token(stop)
            .with_max_request_body_bytes(crate::guard::MAX_BODY)
            // Both are judged at the door, for both adapters alike.
            .disable_allowed_hosts()
            .disable_allowed_origins();
        let handler = self;
        let service = StreamableHttpService::new(
            move || Ok(handler.clone()),
            Arc::new(LocalSessionManager::default()),
            config,
        );
        let routes = Router::new().route_service("/mcp", service.clone()).route_service("/", service);
        routes.layer(axum::middleware::from_fn(front::check)).fallback(|| async {
            metrics::request("other", 404);
            crate::answer::message(
                http::StatusCode::NOT_FOUND,
                "there is nothing at this path; MCP is at /mcp",
            )
        })
    }

    async fn call(
        &self,
        request: CallToolRequestParams,
        context: &RequestContext<RoleServer>,
    ) -> Result<Value, Failure> {
        let arguments = Value::Object(request.arguments.unwrap_or_default());
        let caller = caller(context);
        match &*request.name {
            tools::GET => {
                let given = tools::read::<TokenArguments>(arguments).map_err(Failure::Arguments)?;
                self.token(Kind::Token, Given::from(given), caller.as_ref()).await
            }
            tools::REFRESH => {
                let given = tools::read::<RefreshArguments>(arguments).map_err(Failure::Arguments)?;
                self.token(Kind::Refresh, Given::from(given), caller.as_ref()).await
            }
            tools::INSPECT => {
                tools::read::<tools::NoArguments>(arguments).map_err(Failure::Arguments)?;
                self.inspect().await
            }
            tools::EXPLAIN => {
                let given = tools::read::<ExplainArguments>(arguments).map_err(Failure::Arguments)?;
                service::explain(&given.code).map_err(|error| Failure::of(&error))
            }
            other => Err(Failure::Arguments(format!("there is no tool {}", quote(other)))),
        }
    }

    async fn token(&self, kind: Kind, given: Given, caller: Option<&Caller>) -> Result<Value, Failure> {
        match &self.app.origin {
            Origin::Federated(federated) => self.of_grant(federated, kind, &given, caller).await,
            Origin::PassThrough(pass) => self.of_api(pass, kind, given, caller).await,
        }
    }

    /// Gets a token of the service's grant.
    async fn of_grant(
        &self,
        federated: &Federated,
        kind: Kind,
        given: &Given,
        caller: Option<&Caller>,
    ) -> Result<Value, Failure> {
        if given.client_id.as_ref().is_some_and(|id| id.as_str() != OWN_CLIENT)
            || given.has_other_credentials()
        {
            return Err(Failure::with(
                Code::ServeForeignClient,
                "this service hands out tokens of its own grant, and takes no other client",
            ));
        }
        if given.grant_type.as_deref().is_some_and(|grant| grant != "client_credentials") {
            return Err(Failure::with(
                Code::ServeGrantUnsupported,
                "this service hands out tokens of its own grant; grant_type can only be client_credentials",
            ));
        }
        let Served { credential, left } = federated.token(kind).await.map_err(unavailable)?;
        let scope = credential.scope.clone().unwrap_or_else(|| federated.scope().to_owned());
        self.app.handed_out("mcp", federated.scope(), Some(credential.expires_at), caller).await;
        let end = Some((credential.expires_at, left.as_secs()));
        self.result([0; 32], credential.token.reveal(), Some(&scope), end)
    }

    /// Gets a token of the API, with the credentials in the arguments or those of the service.
    async fn of_api(
        &self,
        pass: &PassThrough,
        kind: Kind,
        given: Given,
        caller: Option<&Caller>,
    ) -> Result<Value, Failure> {
        let given = complete(pass, kind, given)?;
        let body = Zeroizing::new(given.body(kind));
        let sent = given.sent();
        let client = fingerprint([
            given.client_id.as_deref().map_or("", String::as_str),
            given.user_name.as_deref().unwrap_or_default(),
        ]);
        let passed = pass.send(kind, &sent, Bytes::copy_from_slice(body.as_bytes())).await.map_err(|refused| match refused {
            NotPassed::Failed(error) => Failure::of(&error),
            NotPassed::Blocked(left) => Failure::with(Code::ApiLoginFailed, format!("the API has refused these credentials, so they were not sent again; that will be possible in {} s", left.as_secs() + 1)),
        })?;
        if passed.status != http::StatusCode::OK {
            return Err(given.refusal(passed.status.as_u16(), &passed.body));
        }
        let granted = Granted::read(&passed.body).unwrap_or_default();
        let Some(token) = granted.access_token.as_deref().filter(|token| is_token(token)) else {
            return Err(Failure::with(
                Code::ApiResponseInvalid,
                "the Equinix API's answer has no access_token",
            ));
        };
        let life = granted.life();
        let end = self
            .app
            .end_of(life)
            .map(|end| (end, life.and_then(|life| u64::try_from(life).ok()).unwrap_or(0)));
        self.app.handed_out("mcp", "classic", end.map(|(end, _)| end), caller).await;
        if let (Some(id), Some(secret)) = (&given.client_id, &given.client_secret) {
            let refresh_token = granted.refresh_token.as_deref().map(Secret::new);
            pass.remember(Last {
                id: Secret::new(id.as_str()),
                secret: Secret::new(secret.as_str()),
                refresh_token,
            });
        }
        self.result(client, token, None, end)
    }

    /// Puts the token where programs find it, and says where that is.
    fn result(
        &self,
        client: [u8; 32],
        token: &str,
        scope: Option<&str>,
        end: Option<(i64, u64)>,
    ) -> Result<Value, Failure> {
        let files = self.app.files.write(client, token).map_err(|error| Failure::of(&error))?;
        let mut result = json!({
            "token_type": TOKEN_TYPE,
            "token_file": files.token.to_string_lossy(),
            "header_file": files.header.to_string_lossy(),
        });
        let mut add = |name: &str, value: Value| {
            if let Some(members) = result.as_object_mut() {
                members.insert(name.to_owned(), value);
            }
        };
        if let Some(scope) = scope {
            add("scope", self.app.console.safe(scope).into());
        }
        if let Some((end, left)) = end {
            add("expires_at", rfc3339(end).into());
            add("expires_in", left.into());
        }
        if self.app.reveals_tokens {
            add("access_token", token.into());
        }
        Ok(result)
    }

    async fn inspect(&self) -> Result<Value, Failure> {
        let Origin::Federated(federated) = &self.app.origin else {
            return Err(Failure::with(
                Code::AmbientNotCi,
                "this service passes requests on, and has no identity of its own",
            ));
        };
        let federation = Arc::clone(&federated.federation);
        let looked = tokio::task::spawn_blocking(move || federation.inspect()).await;
        match looked {
            Ok(Some(Ok(value))) => Ok(value),
            Ok(Some(Err(error))) => Err(Failure::of(&error)),
            Ok(None) => Err(Failure::with(
                Code::AmbientNotCi,
                "the grant of this service uses a stored secret, and no identity",
            )),
            Err(_) => Err(Failure::with(Code::Internal, "the look at the identity was broken off")),
        }
    }

    /// Tells whoever waits that the work goes on, for as long as it does.
    async fn report_progress(context: &RequestContext<RoleServer>) {
        let Some(token) = context.meta.get_progress_token() else { return std::future::pending().await };
        let mut step = 0.0;
        loop {
            tokio::time::sleep(PROGRESS).await;
            step += 1.0;
            let message = "waiting for a token of Equinix";
            let progress = ProgressNotificationParam::new(token.clone(), step).with_message(message);
            if context.peer.notify_progress(progress).await.is_err() {
                return std::future::pending().await;
            }
        }
    }
}

/// Tells whether a text can be a bearer token (RFC 6750 section 2.1): one that could end a header line early is none.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b))
}

fn unavailable(unavailable: Unavailable) -> Failure {
    match &unavailable.error {
        Some(error) => Failure::of(error),
        None => Failure::with(Code::Deadline, "no token has come yet"),
    }
}

/// The other end, where the request came by HTTP; else the program that started this one.
fn caller(context: &RequestContext<RoleServer>) -> Option<Caller> {
    match context.extensions.get::<Parts>() {
        Some(parts) => parts.extensions.get::<Caller>().cloned(),
        None => Some(Caller::parent()),
    }
}

impl ServerHandler for Mcp {
    fn get_info(&self) -> ServerConfig {
        (*self.info).clone()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&VERSIONS)
    }

    async fn list_tools(
        &self,
        _: Option<PaginatedRequestParams>,
        _: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items((*self.tools).clone()))
    }

    fn get_tool(&self, name: &str) -> Option<Tool> {
        self.tools.iter().find(|tool| tool.name == name).cloned()
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let gone = front::gone(&context);
        let outcome = tokio::select! {
            biased;
            () = context.ct.cancelled() => return Err(ErrorData::internal_error("the call was cancelled", None)),
            () = gone.cancelled() => return Err(ErrorData::internal_error("the caller went away", None)),
            outcome = self.call(request, &context) => outcome,
            () = Self::report_progress(&context) => return Err(ErrorData::internal_error("no answer", None)),
        };
        match outcome {
            Ok(value) => Ok(CallToolResult::structured(value).into()),
            Err(Failure::Arguments(why)) => Err(ErrorData::invalid_params(self.app.console.safe(&why), None)),
            Err(Failure::Tool { code, message, hint }) => {
                tracing::warn!(event = "tool-failed", code, "{message}");
                let text = format!("error[{code}]: {message}\nhint: {hint}");
                Ok(CallToolResult::error(vec![ContentBlock::text(self.app.console.safe_lines(&text))]).into())
            }
        }
    }
}
