//! Tests of the sources of settings, and of the values that they may have.

use serde_json::{Map, Value, json};

use super::members;
use super::row::Expose;
use super::settings::{
    GrantSettings, IdentitySettings, NetworkSettings, OutputSettings, Resolver, SummaryWhen, report_place,
    summary_when,
};
use crate::cli::definition::{Purpose, definition, typed};
use crate::credential::Kind;
use crate::env::{Env, names};
use crate::error::{Code, Error};
use crate::grant::sts::Api;
use crate::output::request;

/// All settings at once.
#[derive(Debug)]
struct Config {
    identity: IdentitySettings,
    exchange: GrantSettings,
    output: OutputSettings,
    network: NetworkSettings,
}

fn resolve(args: &[&str], pairs: &[(&str, &str)]) -> Result<(Config, Map<String, Value>), Error> {
    let matches =
        definition(Purpose::Parse).try_get_matches_from(["equinix-wif", "token"].iter().chain(args)).unwrap();
    let typed = typed(&matches);
    let env = Env::fixed(pairs.iter().copied());
    let mut resolver = Resolver::new(&typed, &env);
    let config = Config {
        identity: resolver.identity()?,
        exchange: resolver.grant()?,
        output: resolver.output(Kind::AccessToken)?,
        network: resolver.network()?,
    };
    Ok((config, resolver.into_report()))
}

fn code(args: &[&str], pairs: &[(&str, &str)]) -> &'static str {
    resolve(args, pairs).map_or_else(|error| error.code().name(), |_| "ok")
}

const SCOPE: [&str; 2] = ["--scope", "roleassignments:o"];

/// Editors, YAML's `|` and pasting leave a line break at the end.
#[test]
fn no_setting_ends_with_a_line_break() {
    for end in ["\n", "\r\n", "\n\n"] {
        let with_end = |text: &str| format!("{text}{end}");
        let (output, token) = (with_end("/out"), with_end("/token"));
        let pairs =
            [(names::OUTPUT, output.as_str()), (names::SUBJECT_TOKEN_FILE, &token), (names::AUDIENCE, end)];
        for arguments in [&[][..], &["--output", &output, "--subject-token-file", &token]] {
            let (config, seen) = resolve(&[&SCOPE[..], arguments].concat(), &pairs).unwrap();
            assert_eq!(config.output.output.unwrap().to_str(), Some("/out"));
            assert_eq!(config.identity.source.file.unwrap().to_str(), Some("/token"));
            assert_eq!(seen["output"]["value"], "/out");
            assert_eq!(config.identity.audience, None, "nothing else than a line break is nothing");
        }
        for (arguments, pairs) in
            [(vec!["--report", output.as_str()], vec![]), (vec![], vec![(names::REPORT, output.as_str())])]
        {
            let matches = definition(Purpose::Parse)
                .try_get_matches_from(["equinix-wif", "token"].iter().chain(&arguments));
            let place = report_place(&typed(&matches.unwrap()), &Env::fixed(pairs));
            assert_eq!(place.unwrap().to_str(), Some("/out"));
        }
        let (config, _) = resolve(&SCOPE, &[(names::OUTPUT, end)]).unwrap();
        assert_eq!(config.output.output, None);
    }
}

#[cfg(unix)]
#[test]
fn a_path_that_is_no_text_is_taken_as_it_is() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let bytes = b"/\xff\n";
    let matches = definition(Purpose::Parse).try_get_matches_from(["equinix-wif", "token"]).unwrap();
    let typed = typed(&matches);
    let env = Env::fixed([(names::OUTPUT, OsStr::from_bytes(bytes))]);
    let output = Resolver::new(&typed, &env).output(Kind::AccessToken).unwrap().output.unwrap();
    assert_eq!(output.as_os_str().as_bytes(), bytes);
}

#[test]
fn flags_win_over_variables_and_defaults_come_last() {
    let pairs = [
        (names::SCOPE, "orgpolicies:o"),
        (names::AUDIENCE, "a"),
        (names::MIN_TTL, "5"),
        (names::ENV_NAME, ""),
    ];
    let (config, seen) = resolve(&["--scope", "roleassignments:o", "--min-ttl", "7"], &pairs).unwrap();
    assert_eq!(
        (config.exchange.scope.as_deref(), config.identity.audience.as_deref(), config.exchange.min_ttl),
        (Some("roleassignments:o"), Some("a"), 7)
    );
    assert_eq!(config.output.env_name, "EQUINIX_API_TOKEN", "an empty variable counts as unset");
    assert_eq!(seen["scope"], json!({"value": "roleassignments:o", "source": "--scope"}));
    assert_eq!(seen["audience"], json!({"value": "a", "source": "EQUINIX_WIF_AUDIENCE"}));
    let (config, seen) = resolve(&SCOPE, &[]).unwrap();
    assert_eq!(config.exchange.sts.endpoint.origin(), "https://sts.eqix.equinix.com");
    assert_eq!(
        (config.exchange.sts.api, config.exchange.min_ttl, config.output.export_env),
        (Api::Alpha, 60, false)
    );
    assert_eq!(seen["min-ttl"], json!({"value": 60, "source": "default"}));
}

#[test]
fn an_endpoint_from_a_variable_must_be_equinix_s_or_local() {
    for (url, by_variable, by_flag) in [
        ("https://sts.eqix.equinix.com", "ok", "ok"),
        ("https://sts.uat.equinix.com/", "ok", "ok"),
        ("https://127.0.0.1:8443", "ok", "ok"),
        ("http://localhost:8080", "ok", "ok"),
        ("https://sts.example", "endpoint-untrusted", "ok"),
        ("https://equinix.com.evil.example", "endpoint-untrusted", "ok"),
        ("https://notequinix.com", "endpoint-untrusted", "ok"),
        ("http://sts.eqix.equinix.com", "insecure-url", "insecure-url"),
        ("https://sts.eqix.equinix.com/use/token", "cfg-endpoint-invalid", "cfg-endpoint-invalid"),
        ("https://sts.eqix.equinix.com?x", "cfg-endpoint-invalid", "cfg-endpoint-invalid"),
        ("https://user:hush@sts.eqix.equinix.com", "cfg-endpoint-invalid", "cfg-endpoint-invalid"),
        ("sts.eqix.equinix.com", "cfg-endpoint-invalid", "cfg-endpoint-invalid"),
    ] {
        assert_eq!(code(&SCOPE, &[(names::STS_ENDPOINT, url)]), by_variable, "{url}");
        assert_eq!(code(&[&SCOPE[..], &["--sts-endpoint", url]].concat(), &[]), by_flag, "{url}");
    }
    let error = resolve(&SCOPE, &[(names::STS_ENDPOINT, "https://user:hush@h")]).unwrap_err();
    assert!(!format!("{error} {:?}", error.details()).contains("hush"));
}

#[test]
fn values_are_checked_with_what_is_allowed() {
    for (args, outcome) in [
        (&["--timeout", "0"][..], "cfg-value-invalid"),
        (&["--validation", "lax"], "cfg-value-invalid"),
        (&["--validation", "strict"], "ok"),
        (&["--expect", "ref"], "cfg-value-invalid"),
        (&["--expect", "ref=x"], "ok"),
        (&["--min-ttl", "0"], "ok"),
        (&["--min-ttl", "-1"], "cfg-value-invalid"),
        (&["--min-ttl", "1.5"], "cfg-value-invalid"),
        (&["--min-ttl", "86401"], "cfg-value-invalid"),
        (&["--sts-api", "v2"], "cfg-value-invalid"),
        (&["--sts-api", "v1"], "ok"),
        (&["--subject-token-env", "$TOKEN"], "cfg-value-invalid"),
        (&["--subject-token-env", "MY_TOKEN"], "ok"),
        (&["--audience", "a\nb"], "cfg-value-invalid"),
        (&["--env-name", "MY_TOKEN"], "ok"),
        (&["--ca-file", "/no/such/file"], "cfg-ca-file"),
    ] {
        let args: Vec<&str> = SCOPE.iter().chain(args.iter().filter(|a| !a.is_empty())).copied().collect();
        let args: Vec<String> = args.into_iter().map(ToOwned::to_owned).collect();
        // A value that begins with a dash has to be glued to its flag.
        let glued: Vec<String> = vec![args[0].clone() + "=" + &args[1], args[2].clone() + "=" + &args[3]];
        let glued: Vec<&str> = glued.iter().map(String::as_str).collect();
        assert_eq!(code(&glued, &[]), outcome, "{glued:?}");
    }
    assert_eq!(code(&[], &[]), "ok");
    assert_eq!(code(&["--scope", "x"], &[]), "cfg-scope-invalid");
    for (value, outcome) in [("true", "ok"), ("0", "ok"), ("yes", "cfg-value-invalid")] {
        assert_eq!(code(&SCOPE, &[(names::EXPORT_ENV, value)]), outcome);
    }
}

#[test]
fn the_timeout_has_a_floor_and_a_ceiling() {
    let timeout =
        |typed: &[&str]| resolve(typed, &[(names::TIMEOUT, "90")]).map(|(c, _)| c.network.timeout.as_secs());
    assert_eq!(timeout(&[]).unwrap(), 90);
    assert_eq!(timeout(&["--timeout", "5"]).unwrap(), 5);
    for bad in ["0", "3601", "soon", "1e3"] {
        let error = timeout(&["--timeout", bad]).unwrap_err();
        assert_eq!(error.details()[0].1, "a whole number of seconds from 1 to 3600", "{bad}");
    }
}

#[test]
fn expectations_come_one_a_flag_or_one_a_line() {
    let lines = [(names::EXPECT, "ref=refs/heads/main\n\n  environment=prod\r\nref=x")];
    let (config, seen) = resolve(&[], &lines).unwrap();
    let claims: Vec<_> =
        config.identity.expectations.iter().map(|e| (e.claim.as_str(), e.values.len())).collect();
    assert_eq!(claims, [("ref", 2), ("environment", 1)]);
    assert_eq!(seen["expect"]["source"], json!("EQUINIX_WIF_EXPECT"));
    let (config, seen) = resolve(&["--expect", "a=b", "--expect", "c=d"], &lines).unwrap();
    assert_eq!(config.identity.expectations.len(), 2, "flags win");
    assert_eq!(seen["expect"], json!({"value": ["a=b", "c=d"], "source": "--expect"}));
}

#[test]
fn names_that_change_other_programs_need_consent() {
    for (name, outcome, forced) in [
        ("MY_TOKEN", "ok", "ok"),
        ("GLIBC_TUNABLES", "cfg-env-name-invalid", "ok"),
        ("EQUINIX_WIF_SCOPE", "cfg-env-name-invalid", "cfg-env-name-invalid"),
        ("A-TOKEN", "cfg-env-name-invalid", "cfg-env-name-invalid"),
    ] {
        let args = [&SCOPE[..], &["--env-name", name]].concat();
        assert_eq!(code(&args, &[]), outcome, "{name}");
        assert_eq!(code(&[&args[..], &["--force"]].concat(), &[]), forced, "{name}");
    }
}

#[test]
fn an_audience_of_another_service_is_warned_of() {
    let (config, _) = resolve(&[&SCOPE[..], &["--audience", "sts.amazonaws.com"]].concat(), &[]).unwrap();
    assert!(config.identity.warnings[0].contains("the audience of AWS"), "{:?}", config.identity.warnings);
}

#[test]
fn the_summary_is_one_of_three_words() {
    let when = |args: &[&str], pairs: &[(&str, &str)]| {
        let line = ["equinix-wif", "token"].iter().chain(args);
        let typed = typed(&definition(Purpose::Parse).try_get_matches_from(line).unwrap());
        summary_when(&typed, &Env::fixed(pairs.iter().copied()))
    };
    let variable = [(names::SUMMARY, "always")];
    assert_eq!(when(&[], &[]).unwrap(), SummaryWhen::Never);
    assert_eq!(when(&[], &variable).unwrap(), SummaryWhen::Always);
    assert_eq!(when(&["--summary", "on-failure"], &variable).unwrap(), SummaryWhen::OnFailure);
    assert_eq!(when(&["--summary", "yes"], &[]).unwrap_err().code(), Code::CfgValueInvalid);
}

/// Returns what a query asks for, after what was typed and what the environment has.
fn asked(args: &[&str], pairs: &[(&str, &str)], query: &str) -> Result<IdentitySettings, Error> {
    let line = ["equinix-wif", "token", "--scope", "roleassignments:o"].iter().chain(args);
    let typed = typed(&definition(Purpose::Parse).try_get_matches_from(line).unwrap());
    let env = Env::fixed(pairs.iter().copied());
    let mut resolver = Resolver::new(&typed, &env);
    resolver.with_request(request::terraform_query(query.as_bytes(), &members(Expose::Query)).unwrap());
    resolver.grant()?;
    resolver.identity()
}

#[test]
fn a_query_cannot_have_other_secrets_sent_or_checks_left_out() {
    const ENV_VAR: &str = names::SUBJECT_TOKEN_ENV_VAR;
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str, &'a str);
    let cases: [Case<'_>; 17] = [
        (&[], &[], r#"{"subject_token_env":"GITHUB_TOKEN"}"#, "cfg-request-invalid"),
        (&[], &[], r#"{"subject_token_env":"EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN"}"#, "ok"),
        (&[], &[(ENV_VAR, "MINE")], r#"{"subject_token_env":"MINE"}"#, "ok"),
        (&[], &[(ENV_VAR, "MINE")], r#"{"subject_token_env":"OTHER"}"#, "cfg-request-invalid"),
        (&["--subject-token-env", "MINE"], &[], r#"{"subject_token_env":"MINE"}"#, "ok"),
        (&["--subject-token-env", "MINE"], &[], r#"{"subject_token_env":"OTHER"}"#, "cfg-request-invalid"),
        (&[], &[], r#"{"validation":"off"}"#, "cfg-request-invalid"),
        (&[], &[], r#"{"validation":"basic"}"#, "ok"),
        (&[], &[], r#"{"validation":"strict"}"#, "ok"),
        (&[], &[(names::VALIDATION, "strict")], r#"{"validation":"basic"}"#, "cfg-request-invalid"),
        (&[], &[(names::VALIDATION, "off")], r#"{"validation":"basic"}"#, "ok"),
        (&["--validation", "off"], &[], r#"{"validation":"off"}"#, "ok"),
        (&[], &[], r#"{"sts_endpoint":"http://127.0.0.1:8080"}"#, "endpoint-untrusted"),
        (&[], &[], r#"{"sts_endpoint":"https://localhost"}"#, "endpoint-untrusted"),
        (&[], &[], r#"{"sts_endpoint":"https://sts.uat.equinix.com"}"#, "ok"),
        (
            &["--sts-endpoint", "http://127.0.0.1:8080"],
            &[],
            r#"{"sts_endpoint":"http://127.0.0.1:8080"}"#,
            "ok",
        ),
        (&[], &[(names::STS_ENDPOINT, "http://127.0.0.1:8080")], "{}", "ok"),
    ];
    for (args, pairs, query, outcome) in cases {
        let found = asked(args, pairs, query).map_or_else(|error| error.code().name(), |_| "ok");
        assert_eq!(found, outcome, "{args:?} {pairs:?} {query}");
    }
}

#[test]
fn a_variable_that_replaces_the_platform_s_identity_is_odd() {
    const GITHUB: (&str, &str) = ("GITHUB_ACTIONS", "true");
    const GITLAB: (&str, &str) = ("GITLAB_CI", "true");
    let found = |args: &[&str], pairs: &[(&str, &str)]| -> Vec<String> {
        let args: Vec<&str> = SCOPE.iter().chain(args).copied().collect();
        let (config, _) = resolve(&args, pairs).unwrap();
        config.identity.findings.into_iter().map(|finding| finding.text).collect()
    };
    let file = (names::SUBJECT_TOKEN_FILE, "t");
    let variable = (names::SUBJECT_TOKEN_ENV_VAR, "MY_TOKEN");
    for (pairs, named) in [
        (&[GITHUB, file][..], names::SUBJECT_TOKEN_FILE),
        (&[GITLAB, file], names::SUBJECT_TOKEN_FILE),
        (&[GITHUB, variable], names::SUBJECT_TOKEN_ENV_VAR),
        (&[GITHUB, (names::PROVIDER, "env")], names::PROVIDER),
        (&[GITLAB, (names::PROVIDER, "github")], names::PROVIDER),
    ] {
        let found = found(&[], pairs);
        assert!(found.len() == 1 && found[0].starts_with(named), "{pairs:?}: {found:?}");
    }
    for (args, pairs) in [
        (&[][..], &[file, variable, (names::PROVIDER, "env")][..]),
        (&[], &[GITLAB, variable]),
        (&[], &[GITHUB, (names::PROVIDER, "github")]),
        (&[], &[GITHUB, (names::PROVIDER, "auto")]),
        (&[], &[GITHUB, (names::OWN_SUBJECT_TOKEN, "x")]),
        (&["--provider", "github"], &[GITHUB, (names::PROVIDER, "env")]),
        (&["--subject-token-file", "u"], &[GITHUB, file]),
    ] {
        assert_eq!(found(args, pairs), Vec::<String>::new(), "{args:?} {pairs:?}");
    }
}

#[test]
fn a_planted_sts_on_this_machine_gets_nothing_without_checks() {
    let planted = |url: &'static str| [(names::STS_ENDPOINT, url), (names::VALIDATION, "off")];
    assert_eq!(code(&SCOPE, &planted("http://127.0.0.1:1")), "endpoint-untrusted");
    assert_eq!(code(&SCOPE, &planted("http://[::1]:1")), "endpoint-untrusted");
    assert_eq!(code(&SCOPE, &planted("https://127.0.0.1:1")), "ok", "its certificate has to be trusted");
    assert_eq!(code(&SCOPE, &planted("http://127.0.0.1:1")[..1]), "ok");
    let flag = [&SCOPE[..], &["--sts-endpoint", "http://127.0.0.1:1"]].concat();
    assert_eq!(code(&flag, &planted("http://127.0.0.1:2")), "ok");
}
