//! Reads what the formats write and gets the same values back, with the ports of
//! their readers' grammars.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::Value;

use super::format::{Destination, Options, by_name};
use crate::credential::{Credential, Kind};
use crate::secret::Secret;
use crate::text::printable;

use gitlab::{Limits, parse_dotenv};

#[path = "../../tests/support/azure.rs"]
#[allow(clippy::unwrap_used, reason = "as in the integration tests")]
mod azure;
#[path = "../../tests/support/gitlab.rs"]
mod gitlab;
#[path = "../../tests/support/runner.rs"]
#[allow(dead_code, reason = "the integration tests read logs with it, too")]
mod runner;

const DELIMITER: &str = "equinix-wif-0123456789abcdef0123456789abcdef";

/// A credential with a token of the alphabet that the STS may use, and texts of any kind from outside.
fn credentials() -> impl Strategy<Value = Credential> {
    let text = prop_oneof![any::<String>(), "[ -~]{0,60}", "(::|##\\[|\n|\r|<<|=|'|\\$|`|%0A){1,8}"];
    let token = "[A-Za-z0-9._~+/-]{16,200}={0,2}";
    (token, 0..40_000_000_u64, 0..4_000_000_000_i64, text.clone(), text.clone(), text, any::<bool>())
        .prop_map(|(token, expires_in, expires_at, scope, issuer, subject, is_access)| {
            let kind = if is_access { Kind::AccessToken } else { Kind::IdToken };
            Credential {
                scope: is_access.then_some(scope),
                issuer: Some(issuer),
                subject: Some(subject),
                ..Credential::new(kind, Secret::new(token), expires_in, expires_at)
            }
        })
}

fn written(format: &str, credential: &Credential, place: Destination, name: &str) -> String {
    let options =
        Options { env_name: name, delimiter: DELIMITER, shadowing: Some("SHADOW"), ..Options::default() };
    let bytes = by_name(format).unwrap().render(credential, &options, place).unwrap();
    String::from_utf8(bytes.reveal().to_vec()).unwrap()
}

/// POSIX's `export NAME='…';` and `unset NAME;`, one a line; anything else is none of ours.
fn posix(line: &str) -> Option<(String, Option<String>)> {
    let line = line.strip_suffix(';')?;
    if let Some(name) = line.strip_prefix("unset ") {
        return Some((name.to_owned(), None));
    }
    let (name, value) = line.strip_prefix("export ")?.split_once("='")?;
    let value = value.strip_suffix('\'').filter(|value| !value.contains('\''))?;
    Some((name.to_owned(), Some(value.to_owned())))
}

fn flat(text: &str) -> BTreeMap<String, Value> {
    assert!(
        text.ends_with('\n') && !text.trim_end_matches('\n').contains('\n') && !text.contains("##"),
        "{text}"
    );
    serde_json::from_str(text).unwrap()
}

proptest! {
    #[test]
    fn the_runner_reads_what_was_meant(credential in credentials(), name in "[A-Za-z_][A-Za-z0-9_]{0,20}") {
        let output = written("github", &credential, Destination::RunnerFile("GITHUB_OUTPUT"), &name);
        for windows in [false, true] {
            let entries: BTreeMap<_, _> = runner::parse(output.as_bytes(), windows).unwrap().into_iter().collect();
            prop_assert_eq!(&entries[credential.kind.output()], credential.token.reveal());
            prop_assert_eq!(&entries["subject"], &printable(credential.subject.as_deref().unwrap_or_default()));
            prop_assert_eq!(&entries["issuer"], &printable(credential.issuer.as_deref().unwrap_or_default()));
            prop_assert_eq!(&entries["expires-in"], &credential.expires_in.to_string());
            prop_assert_eq!(entries.get("scope").cloned(), credential.scope.as_deref().map(printable));
            prop_assert_eq!(entries.len(), if credential.kind == Kind::AccessToken { 8 } else { 6 });
        }
        let env = written("github", &credential, Destination::RunnerFile("GITHUB_ENV"), &name);
        let entries = runner::parse(env.as_bytes(), false).unwrap();
        prop_assert_eq!(&entries[0], &(name.clone(), credential.token.reveal().to_owned()));
        prop_assert_eq!(&entries[1], &(format!("{name}_EXPIRES_AT"), credential.expires_at_text()));
        prop_assert_eq!(entries.len(), 2);
    }

    #[test]
    fn the_agent_of_azure_reads_what_was_meant(credential in credentials(), name in "[A-Za-z_][A-Za-z0-9_]{0,20}") {
        let text = written("azure-pipelines", &credential, Destination::Stdout, &name);
        let mut step = azure::Step::default();
        step.read(&text).unwrap();
        let token = &step.variables[&name];
        prop_assert_eq!(&token.value, credential.token.reveal());
        prop_assert!(token.is_secret && token.is_output);
        let expiry = &step.variables[&format!("{name}_EXPIRES_AT")];
        prop_assert_eq!((&expiry.value, expiry.is_output), (&credential.expires_at_text(), true));
        prop_assert_eq!((step.variables.len(), step.log.as_str()), (3, ""));
        step.read(credential.token.reveal()).unwrap();
        prop_assert_eq!(step.log, "***\n");
    }

    #[test]
    fn gitlab_reads_what_was_meant(credential in credentials(), name in "[A-Za-z_][A-Za-z0-9_]{0,20}") {
        let text = written("gitlab-dotenv", &credential, Destination::Artifact, &name);
        let variables = parse_dotenv(text.as_bytes(), Limits::default()).unwrap();
        // Where the variable is used, a doubled dollar is one.
        prop_assert_eq!(variables[&name].replace("$$", "$"), credential.token.reveal());
        prop_assert_eq!(&variables[&format!("{name}_EXPIRES_AT")], &credential.expires_at_text());
        prop_assert_eq!(variables.len(), 2);
    }

    #[test]
    fn a_shell_reads_what_was_meant(credential in credentials(), name in "[A-Za-z_][A-Za-z0-9_]{0,20}") {
        let text = written("shell", &credential, Destination::Stdout, &name);
        prop_assert_eq!(&text, &written("env-file", &credential, Destination::NewFile, &name));
        let lines: Vec<_> = text.lines().map(posix).collect();
        prop_assert_eq!(&lines[0], &Some((name.clone(), Some(credential.token.reveal().to_owned()))));
        prop_assert_eq!(&lines[1], &Some((format!("{name}_EXPIRES_AT"), Some(credential.expires_at_text()))));
        prop_assert_eq!(&lines[2], &Some(("SHADOW".to_owned(), None)));
        prop_assert_eq!(lines.len(), 3);
    }

    #[test]
    fn readers_of_json_read_what_was_meant(credential in credentials()) {
        let token = Value::from(credential.token.reveal());
        let expires_at = Value::from(credential.expires_at_text());
        let is_access = credential.kind == Kind::AccessToken;
        let json = flat(&written("json", &credential, Destination::Stdout, "X"));
        prop_assert_eq!(&json[credential.kind.member()], &token);
        prop_assert_eq!(json.get("scope").cloned(), credential.scope.as_deref().map(Value::from));
        prop_assert_eq!(&json["expires_in"], &Value::from(credential.expires_in));
        let process = flat(&written("credential-process", &credential, Destination::Stdout, "X"));
        prop_assert_eq!(&process[if is_access { "AccessToken" } else { "IdToken" }], &token);
        prop_assert_eq!(&process["Version"], &Value::from(1));
        let external = flat(&written("terraform-external", &credential, Destination::Stdout, "X"));
        prop_assert!(external.values().all(Value::is_string));
        prop_assert_eq!(&external[credential.kind.member()], &token);
        prop_assert_eq!(&external["subject"], &Value::from(printable(credential.subject.as_deref().unwrap_or_default())));
        let kubernetes = flat(&written("kubernetes", &credential, Destination::Stdout, "X"));
        prop_assert_eq!(&kubernetes["status"]["token"], &token);
        for (answer, name) in [(&json["expires_at"], "json"), (&process["Expiration"], "process"), (&kubernetes["status"]["expirationTimestamp"], "kubernetes")] {
            prop_assert_eq!(answer, &expires_at, "{}", name);
        }
    }
}
