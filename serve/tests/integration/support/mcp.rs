//! Messages of MCP, as clients of both eras send them over HTTP.

use serde_json::{Value, json};

use super::client::{Answer, Ask};
use super::service::Service;

/// The last revision of the first era, which begins with `initialize`.
pub const FIRST_ERA: &str = "2025-11-25";
/// The revision of the second era, in which every request stands for itself.
pub const SECOND_ERA: &str = "2026-07-28";

/// The tool that gets a token.
pub const GET: &str = "getoauth2accesstoken";
/// The tool that gets a new token.
pub const REFRESH: &str = "refreshoauth2accesstoken";

/// A message that wants an answer.
pub fn request(id: u64, method: &str, params: Value) -> Value {
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// The first message of the first era.
pub fn initialize(revision: &str) -> Value {
    let client = json!({"name": "test", "version": "1"});
    request(1, "initialize", json!({"protocolVersion": revision, "capabilities": {}, "clientInfo": client}))
}

/// A call of a tool.
pub fn call(id: u64, tool: &str, arguments: Value) -> Value {
    request(id, "tools/call", json!({"name": tool, "arguments": arguments}))
}

/// A message of the first era as a request.
pub fn post(message: &Value) -> Ask {
    Ask::json("/mcp", message)
        .header("Accept", "application/json, text/event-stream")
        .header("MCP-Protocol-Version", FIRST_ERA)
}

/// A message of the second era as a request.
pub fn post_in_second_era(mut message: Value) -> Ask {
    message["params"]["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": SECOND_ERA,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    let ask = Ask::json("/mcp", &message)
        .header("Accept", "application/json, text/event-stream")
        .header("MCP-Protocol-Version", SECOND_ERA)
        .header("Mcp-Method", message["method"].as_str().unwrap());
    match message["params"]["name"].as_str() {
        Some(name) => ask.header("Mcp-Name", name),
        None => ask,
    }
}

impl Service {
    /// Calls a tool.
    #[track_caller]
    pub fn call(&self, tool: &str, arguments: Value) -> Answer {
        self.ask_mcp(post(&call(7, tool, arguments)))
    }

    /// Calls a tool that has to give what was asked for.
    #[track_caller]
    pub fn gets(&self, tool: &str, arguments: Value) -> Value {
        let answer = self.call(tool, arguments);
        answer.is(200);
        let value = answer.value();
        assert_eq!(value["id"], 7, "{value}");
        let result = &value["result"];
        assert_ne!(result["isError"], true, "{value}");
        let text: Value = serde_json::from_str(result["content"][0]["text"].as_str().unwrap()).unwrap();
        assert_eq!(text, result["structuredContent"], "both say the same");
        text
    }

    /// Calls a tool that has to fail with this code: its text.
    #[track_caller]
    pub fn gets_error(&self, tool: &str, arguments: Value, code: &str) -> String {
        let value = self.call(tool, arguments).is(200).value();
        let result = &value["result"];
        assert_eq!(result["isError"], true, "{value}");
        let text = result["content"][0]["text"].as_str().unwrap();
        assert!(text.starts_with(&format!("error[{code}]: ")) && text.contains("\nhint: "), "{text}");
        text.to_owned()
    }
}
