//! The tools: their names and schemas, and what is read of their arguments.

use std::sync::Arc;

use rmcp::model::{JsonObject, Tool, ToolAnnotations};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The tool that gets a token.
pub const GET: &str = "getoauth2accesstoken";
/// The tool that gets a new token.
pub const REFRESH: &str = "refreshoauth2accesstoken";
/// The tool that tells who this service is.
pub const INSPECT: &str = "inspect";
/// The tool that explains an error code.
pub const EXPLAIN: &str = "explain";

/// The arguments of [`GET`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct TokenArguments {
    /// `client_credentials`, or `password`.
    pub grant_type: Option<String>,
    /// The client's id.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: Option<String>,
    /// The user's name, for `password`.
    pub user_name: Option<String>,
    /// The user's password.
    pub user_password: Option<String>,
    /// The encoding of the password.
    pub password_encoding: Option<String>,
}

/// The arguments of [`REFRESH`].
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub struct RefreshArguments {
    /// The client's id.
    pub client_id: Option<String>,
    /// The client's secret.
    pub client_secret: Option<String>,
    /// The refresh token.
    pub refresh_token: Option<String>,
}

/// The arguments of a tool that has none.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoArguments {}

/// The arguments of [`EXPLAIN`].
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainArguments {
    /// The code.
    pub code: String,
}

/// Reads arguments. What is wrong is said without any value of them.
pub fn read<T: DeserializeOwned>(arguments: Value) -> Result<T, String> {
    serde_json::from_value(arguments).map_err(|error| {
        // Its message names members, and quotes a value of the wrong type.
        let text = error.to_string();
        if text.starts_with("unknown field") || text.starts_with("missing field") {
            text
        } else {
            "an argument has the wrong type: all of them are texts".to_owned()
        }
    })
}

/// Makes the tools, those of the seed capability first and in its order. The first one can be called without arguments. With `reveals`, results hold the token itself.
pub fn all(reveals: bool) -> Vec<Tool> {
    let text = |about: &str| json!({"type": ["string", "null"], "description": about});
    let hints = |title: &str, reads: bool| {
        ToolAnnotations::with_title(title)
            .read_only(reads)
            .destructive(false)
            .idempotent(reads)
            .open_world(!reads)
    };
    let with =
        |name: &'static str, title: &str, about: &'static str, input: Value, output: Value, reads: bool| {
            Tool::new(name, about, object(input))
                .with_title(title)
                .with_raw_output_schema(object(output))
                .with_annotations(hints(title, reads))
        };
    vec![
        with(
            REFRESH,
            "Renew Access Tokens",
            "Obtains a new Equinix access token and says in which file it is. All arguments are optional: without a refresh token, what was obtained last is renewed.",
            json!({
                "type": "object",
                "properties": {
                    "client_id": text("Client id of Equinix's classic API. Without one the service's own settings are used."),
                    "client_secret": text("Secret of that client."),
                    "refresh_token": text("Refresh token. Without one the service uses the one that it obtained last."),
                },
                "additionalProperties": false,
            }),
            token(reveals),
            false,
        ),
        with(
            GET,
            "Generate New Access Token",
            "Obtains a short-lived Equinix access token and says in which file it is. All arguments are optional: without a client, the service's own settings are used.",
            json!({
                "type": "object",
                "properties": {
                    "grant_type": text("client_credentials or password; only where the service passes requests on."),
                    "client_id": text("Client id of Equinix's classic API. Without one the service's own settings are used."),
                    "client_secret": text("Secret of that client."),
                    "user_name": text("User name, for the grant password."),
                    "user_password": text("Password of that user."),
                    "password_encoding": text("Encoding of the password, e.g. md5-b64."),
                },
                "additionalProperties": false,
            }),
            token(reveals),
            false,
        ),
        with(
            INSPECT,
            "Show who this service is",
            "Tells which identity the service has, and what an Equinix administrator has to enter to trust it. No token is shown.",
            json!({"type": "object", "properties": {}, "additionalProperties": false}),
            json!({"type": "object", "properties": {"issuer": {"type": "string"}, "subject": {"type": "string"}}}),
            true,
        ),
        with(
            EXPLAIN,
            "Explain an error code",
            "Tells the cause and the cure of an error code, offline.",
            json!({
                "type": "object",
                "properties": {"code": {"type": "string", "description": "The code, e.g. claim-aud."}},
                "required": ["code"],
                "additionalProperties": false,
            }),
            json!({
                "type": "object",
                "properties": {
                    "code": {"type": "string"},
                    "exit": {"type": "integer", "description": "The exit status of equinix-wif."},
                    "cause": {"type": "string"},
                    "cure": {"type": "string"},
                    "retry": {"type": "string", "description": "Whether trying again may help."},
                },
                "required": ["code", "cause", "cure"],
            }),
            true,
        ),
    ]
}

/// The schema of a result about a token.
fn token(reveals: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "properties": {
            "token_type": {"type": "string"},
            "scope": {"type": "string", "description": "What the token is for."},
            "expires_at": {"type": "string", "format": "date-time"},
            "expires_in": {"type": "integer", "description": "Seconds that are left."},
            "token_file": {"type": "string", "description": "File of this machine with the token alone. Do not print it."},
            "header_file": {"type": "string", "description": "File with a header line, for curl -H @FILE. Do not print it."},
        },
        "required": ["token_type", "token_file", "header_file"],
    });
    if reveals && let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties
            .insert("access_token".to_owned(), json!({"type": "string", "description": "The token itself."}));
    }
    schema
}

fn object(value: Value) -> Arc<JsonObject> {
    match value {
        Value::Object(members) => Arc::new(members),
        _ => Arc::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tools_come_in_their_order_and_have_schemas() {
        let tools = all(false);
        let names: Vec<_> = tools.iter().map(|tool| tool.name.as_ref()).collect();
        assert_eq!(names, [REFRESH, GET, INSPECT, EXPLAIN]);
        for tool in &tools {
            assert_eq!(tool.input_schema["type"], "object", "{}", tool.name);
            assert_eq!(tool.output_schema.as_ref().unwrap()["type"], "object", "{}", tool.name);
        }
        let shown = |reveals| serde_json::to_string(&all(reveals)).unwrap().contains("\"access_token\"");
        assert!(!shown(false) && shown(true));
    }

    #[test]
    fn what_is_wrong_with_arguments_is_said_without_their_values() {
        let error = |value: Value| read::<RefreshArguments>(value).err().unwrap();
        assert!(error(json!({"refresh_token": ["hush"]})).contains("wrong type"));
        let wrong = error(json!({"client_id": 4_711}));
        assert!(!wrong.contains("4711"), "{wrong}");
        assert!(error(json!({"token": "hush"})).contains("unknown field `token`"));
        let missing = read::<ExplainArguments>(json!({})).err().unwrap();
        assert!(missing.contains("missing field `code`"), "{missing}");
        assert!(read::<TokenArguments>(json!({"client_id": null})).is_ok());
    }
}
