//! `--dry-run`: everything up to the exchange, and then not a word to Equinix and nothing left behind.

use crate::support;

use std::fs;

use serde_json::json;

use support::job::{AUDIENCE, Job, SCOPE};
use support::outcome::Outcome;

/// A dry run that succeeds: nobody connected to the STS, not even ahead, and nothing was written.
#[track_caller]
fn dry(job: Job) -> Outcome {
    let outcome = job.arg("--dry-run").run();
    outcome
        .succeeds()
        .stdout_is("")
        .stderr_has("dry run: no token is asked for, and nothing is sent to Equinix\n");
    outcome.require(outcome.sts.connections == 0, "nobody connects to the STS");
    outcome.require(outcome.new_files().is_empty(), "no file is left");
    outcome.require(outcome.output_file.as_deref().is_none_or(<[u8]>::is_empty), "there is no output");
    outcome.require(outcome.env_file.as_deref().is_none_or(<[u8]>::is_empty), "there is no variable");
    outcome.require(
        outcome.report.as_ref().is_none_or(|report| report["dry_run"] == true),
        "the report says so",
    );
    outcome
}

mod token {
    use super::*;

    #[test]
    fn says_what_would_be_sent_where_and_hides_the_id_token_as_ever() {
        let job = Job::github();
        let (sts, issuer) = (job.sts_url(), job.issuer());
        let outcome = dry(job);
        let report = outcome.report.as_ref().unwrap();
        let subject = report["claims"]["sub"].as_str().unwrap();
        for line in [
            format!("would send: POST {sts}/use/token"),
            "  grant_type:         urn:ietf:params:oauth:grant-type:token-exchange".to_owned(),
            format!("  scope:              {SCOPE}"),
            "  subject_token:      (the ID token, not shown)".to_owned(),
            "  subject_token_type: urn:ietf:params:oauth:token-type:id_token".to_owned(),
            format!("  issuer:             {issuer} (decoded, not verified)"),
            format!("  subject:            {subject}"),
            format!("  audience:           {AUDIENCE}"),
            "then would hand over the access token in the format github, in this step's output access-token"
                .to_owned(),
        ] {
            outcome.stderr_has(&format!("equinix-wif: {line}"));
        }
        outcome.id_token_requests(1).masks_every_token();
        assert_eq!(report["available"], json!(null));
    }

    #[test]
    fn leaves_no_file_where_a_real_run_would() {
        let outcome = dry(Job::gitlab().arg("--sts-api").arg("v1"));
        outcome.stderr_has("/v1/token\n").stderr_has("in the format env-file, in the file \"");
        let job = Job::gitlab().args(["--format", "raw", "--output"]);
        let path = job.tmp().join("token");
        dry(job.arg(&path)).stderr_has("in the format raw, in the file \"");
        let old = Job::gitlab().args(["--format", "raw", "--output"]);
        let path = old.tmp().join("token");
        let outcome = dry(old.arg(&path).file(&path, "the one before"));
        assert_eq!(outcome.files[&path], b"the one before");
        let sourced = Job::gitlab().args(["--format", "bash-env"]);
        let path = sourced.tmp().join("bash-env");
        dry(sourced.env("BASH_ENV", path)).stderr_has("in the format bash-env, ");
    }

    #[test]
    fn ends_like_a_real_run_when_something_is_wrong() {
        for (exit, code, job) in [
            (
                5,
                "claim-aud",
                (|| Job::gitlab().claims(|claims| drop(claims.insert("aud".into(), json!("another")))))
                    as fn() -> Job,
            ),
            (2, "cfg-scope-missing", || {
                Job::gitlab().unset("EQUINIX_TOKEN_EXCHANGE_SCOPE").without_flag("--scope")
            }),
            (3, "gh-id-token-permission", || Job::github().without_id_token_permission()),
            (9, "out-open", || Job::gitlab().args(["--output", "/no/such/folder/token"])),
        ] {
            let outcome = job().arg("--dry-run").run();
            outcome.fails(exit, code);
            assert_eq!(
                (outcome.sts.connections, &outcome.report.as_ref().unwrap()["dry_run"]),
                (0, &json!(true))
            );
        }
    }

    #[test]
    fn a_job_without_an_id_token_may_go_on_and_leaves_nothing() {
        let job = Job::github().without_id_token_permission().args(["--on-unavailable", "skip", "--dry-run"]);
        let outcome = job.run();
        outcome.succeeds().stdout_is("").stderr_has("no token (missing-permission)");
        assert_eq!((outcome.sts.connections, outcome.output_file.as_deref()), (0, Some(&b""[..])));
    }

    /// Whoever writes the token can write claims. None of them begins a line of its own.
    #[test]
    fn a_claim_is_one_line_and_short() {
        let job = Job::gitlab().claims(|claims| {
            claims.insert("sub".into(), json!(format!("s\nerror[fake]: x\n{}", "a".repeat(9000))));
        });
        let outcome = job.args(["--dry-run", "-v"]).run();
        outcome.succeeds().stderr_has("s error[fake]: x aaa");
        assert!(
            !outcome.stderr.contains("\nerror[fake]") && outcome.stderr.len() < 5000,
            "{}",
            outcome.stderr
        );
    }

    #[test]
    fn a_failure_leaves_its_code_and_nothing_else() {
        let job = Job::github().claims(|claims| drop(claims.insert("aud".into(), json!("another"))));
        let outcome = job.arg("--dry-run").run();
        outcome.fails(5, "claim-aud");
        let output = String::from_utf8(outcome.output_file.clone().unwrap()).unwrap();
        assert!(output.contains("error-code") && output.contains("claim-aud"), "{output}");
        assert!(!output.contains("access-token"), "{output}");
    }

    #[test]
    fn says_in_the_summary_what_it_was() {
        let outcome = dry(Job::github().args(["--summary", "always"]));
        let summary = String::from_utf8(outcome.summary_file.clone().unwrap()).unwrap();
        assert!(summary.starts_with("### equinix-wif: dry run, nothing was sent to Equinix\n"), "{summary}");
    }
}

mod exec {
    use super::*;

    fn touch(job: Job) -> Job {
        job.exec(["sh", "-c", "echo it runs; touch \"$TMPDIR/ran\""])
    }

    #[test]
    fn names_the_program_that_would_run() {
        let outcome = dry(touch(Job::github()));
        let sh = fs::canonicalize("/bin").map_or("/bin/sh", |_| "/sh\"");
        outcome
            .stderr_has("then would run \"/")
            .stderr_has(sh)
            .stderr_has(" with the access token in EQUINIX_API_TOKEN\n");
        outcome.masks_every_token();
        let missing = Job::gitlab().arg("--dry-run").exec(["no-such-program"]).run();
        missing.fails(127, "cmd-not-found");
        let skipped =
            Job::github().without_id_token_permission().args(["--on-unavailable", "skip", "--dry-run"]);
        let skipped = touch(skipped).run();
        skipped.succeeds();
        assert_eq!(skipped.output_file.as_deref(), Some(&b""[..]));
    }

    #[cfg(feature = "renew")]
    #[test]
    fn says_what_would_be_renewed() {
        let of = |further: &str| format!(", stay beside it and renew the token for {SCOPE}{further}");
        let more = "ern:metal:access:us:project:accesspolicy:more";
        let job = Job::github().args(["--renew", "--renew-scope", more]);
        dry(touch(job)).stderr_has(&format!("{}\n", of(&format!(" and {more}"))));
        dry(touch(Job::gitlab().arg("--renew")))
            .stderr_has(&format!("{} until the ID token expires\n", of("")));
    }
}

#[cfg(feature = "classic-grants")]
mod grants {
    use super::*;

    #[test]
    fn of_every_kind_send_nothing() {
        let client = |grant: &str| Job::github().grant(grant).client();
        let classic = dry(client("client-credentials"));
        for line in [
            "/oauth2/v1/token\n",
            "  grant_type:    client_credentials\n",
            "  client_id:     ***\n",
            "  client_secret: (the client secret, not shown)\n",
        ] {
            classic.stderr_has(line);
        }
        let masks = classic.stderr.lines().filter(|line| line.starts_with("::add-mask::")).count();
        assert_eq!(masks, 2, "{}", classic.stderr);
        let both = dry(client("sts-client-credentials"));
        both.stderr_has("/oauth2/v1/token\n").stderr_has("/use/token\n");
        both.stderr_has("authorization: Bearer (the caller's token, not shown)\n");
        let password =
            client("password").args(["--force", "--user-name", "octocat", "--password-encoding", "md5-b64"]);
        let file = password.tmp().join("password");
        let password = password.stored_secret("correct horse").file(&file, "correct horse");
        dry(password.arg("--password-file").arg(file))
            .stderr_has("  user_name:         octocat\n")
            .stderr_has("  user_password:     (the password, not shown)\n");
    }

    #[test]
    fn a_refresh_token_is_not_used_up() {
        let job = Job::bare().grant("refresh-token").client();
        let path = job.tmp().join("refresh-token");
        let outcome = dry(job.refresh_token_in(&path, "4f1c9a7e-of-yesterday-83b2"));
        outcome.stderr_has("/oauth2/v1/refreshaccesstoken\n");
        outcome.stderr_has("  refresh_token: (the refresh token, not shown)\n");
        assert_eq!(outcome.files[&path], b"4f1c9a7e-of-yesterday-83b2");
    }
}
