//! The OpenAPI documents that Equinix publishes, as the judge of our requests and of the sandbox's answers. See
//! `tests/foreign/peers/README.md`.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::peers::{ID, SECRET, peers};
use crate::support::job::classic_success;
use crate::support::server::{Reply, Request, Server};
use crate::{Check, checks};

/// The checks of this module.
pub(crate) fn checks() -> Vec<Check> {
    checks![
        fit_the_sandbox_and_our_requests,
        are_left_where_equinix_itself_leaves_them,
        refuse_what_does_not_fit
    ]
}

/// The verdicts on what a command asks. Its arguments after the report's path come last.
fn verdicts(command: &mut Command, rest: impl FnOnce(&mut Command)) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report");
    command.arg("watch").arg(&report).env_clear().env("TMPDIR", folder.path());
    rest(command);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&output.stderr));
    let verdicts = fs::read_to_string(report).unwrap();
    verdicts.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The verdicts on what a script asks in the sandbox.
fn watched(sandbox: &[&str], script: &str) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_equinix-wif"));
    command.arg("sandbox").args(sandbox).arg("--").arg(peers());
    verdicts(&mut command, |command| {
        command.args(["--", "sh", "-ec", script]);
        command.env("PATH", std::env::var_os("PATH").unwrap()).env("PEERS", peers());
    })
}

fn fits(path: &str, status: u16) -> Value {
    json!({"method": "POST", "path": path, "status": status})
}

const TOKEN: &str = "/oauth2/v1/token";

fn fit_the_sandbox_and_our_requests() {
    let script = r#"
        exec >/dev/null
        equinix-wif token --grant client-credentials
        equinix-wif token --grant sts-client-credentials
        equinix-wif token --grant refresh-token --refresh-token-file "$EQUINIX_SANDBOX_REFRESH_TOKEN_FILE"
        password() { equinix-wif token --grant password --force --password-file "$EQUINIX_SANDBOX_PASSWORD_FILE" "$@"; }
        password
        password --password-encoding md5-b64
        echo not-the-right-refresh-token >wrong
        equinix-wif token --grant refresh-token --refresh-token-file wrong || test $? -eq 6
    "#;
    let script = format!("cd \"$(dirname \"$EQUINIX_SANDBOX_PASSWORD_FILE\")\"; {script}");
    let refresh = "/oauth2/v1/refreshaccesstoken";
    let expected = [
        (TOKEN, 200),
        (TOKEN, 200),
        ("/use/token", 200),
        (refresh, 200),
        (TOKEN, 200),
        (TOKEN, 200),
        (refresh, 400),
    ];
    let expected: Vec<_> = expected.iter().map(|(path, status)| fits(path, *status)).collect();
    assert_eq!(watched(&["--platform", "none"], &script), expected);
    let locked = ["--platform", "none", "--fault", "locked-account"];
    let script = "equinix-wif token --grant client-credentials || test $? -eq 6";
    assert_eq!(watched(&locked, script), [fits(TOKEN, 400)]);
}

/// Names each misfit: something that Equinix is known to do besides its documents.
fn are_left_where_equinix_itself_leaves_them() {
    // The document of the STS asks for a bearer token everywhere. Equinix's own clients send none with an ID token,
    // which speaks for itself, and neither do we.
    let no_bearer = "security requirements failed: there is no bearer token";
    for (fault, status) in [(&[][..], 200), (&["--fault", "refused-scope"], 400)] {
        let script = "equinix-wif token >/dev/null || test $? -eq 6";
        let mut expected = fits("/use/token", status);
        expected["security"] = no_bearer.into();
        let found = watched(&[&["--platform", "gitlab"], fault].concat(), script);
        assert!(found.contains(&expected), "{found:?}");
    }
    // The document knows no status but 200 and 400, and this one has been seen.
    let script = "equinix-wif token --grant client-credentials || test $? -eq 6";
    let mut expected = fits(TOKEN, 500);
    expected["response"] = "status is not supported".into();
    assert_eq!(watched(&["--platform", "none", "--fault", "wrong-login"], script), [expected]);
    // The newer version of the STS is in no document that is published.
    let found = watched(&["--platform", "gitlab"], "equinix-wif token --sts-api v1 >/dev/null");
    assert_eq!(found[0]["request"], "no matching operation was found");
}

fn refuse_what_does_not_fit() {
    let script = r#"
        send() { "$PEERS" send POST "$@"; }
        send "$EQUINIX_API_ENDPOINT/oauth2/v1/token" application/json '{"client_id": 1}'
        send "$EQUINIX_API_ENDPOINT/oauth2/v1/token" text/plain x
        send "$EQUINIX_STS_ENDPOINT/use/token" application/x-www-form-urlencoded 'grant_type=password'
    "#;
    let found = watched(&["--platform", "none"], script);
    let refused: Vec<_> = found.iter().map(|verdict| verdict["request"].as_str().unwrap()).collect();
    assert_eq!(refused.len(), 3);
    for (refused, about) in refused.iter().zip(["client_secret", "Content-Type", "grant_type"]) {
        assert!(refused.contains(about), "{about}: {refused}");
    }
    // An answer too: here the life is a number.
    let mut answer = classic_success();
    answer["token_timeout"] = json!(3599);
    let server = Server::start(move |_: &Request| Reply::json(&answer));
    let mut command = Command::new(peers());
    let found = verdicts(&mut command, |command| {
        command.args(["--", env!("CARGO_BIN_EXE_equinix-wif"), "token", "--grant", "client-credentials"]);
        command.env("EQUINIX_API_ENDPOINT", server.url());
        command.env("EQUINIX_API_CLIENTID", ID).env("EQUINIX_API_CLIENTSECRET", SECRET);
    });
    let refused = found[0]["response"].as_str().unwrap();
    assert!(refused.contains("token_timeout") && refused.contains("string"), "{refused}");
}
