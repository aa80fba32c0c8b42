//! Whole stories, as people read them.

use serde_json::json;

use super::*;
use crate::text::Redactor;

fn entry(method: &str, path: &str, scope: Option<&str>, status: u16) -> Entry {
    Entry { method: method.into(), path: path.into(), scope: scope.map(Into::into), status }
}

/// Cuts out what the sandbox handed out in these stories.
fn scrub(line: &str) -> String {
    let mut redactor = Redactor::default();
    redactor.add("Zm9vYmFyLWJheg.of.this.run");
    redactor.scrub(line).0
}

#[test]
fn the_story_of_a_github_job() {
    let claims = json!({
        "iss": "http://127.0.0.1:4001/_services/token",
        "sub": "repo:octo-org@1234/octo-repo@5678:ref:refs/heads/main",
        "aud": "equinix-sandbox",
    });
    let told = tell(&Story {
        platform: SimulatedPlatform::Github,
        fault: Some(Fault::RateLimit),
        claims: Some(&claims),
        api_log: &[],
        issuer_log: &[entry("GET", "/_services/pipelines/idtoken", None, 200)],
        sts_log: &[
            entry("POST", "/use/token", None, 429),
            entry("POST", "/use/token", Some("roleassignments:org"), 200),
        ],
        status: 0,
        stdout: "",
        stderr: "::add-mask::masked%0Avalue\n::add-mask::Zm9vYmFyLWJheg.of.this.run\n::debug::hidden\n\
                 equinix-wif: the masked value Zm9vYmFyLWJheg.of.this.run\n::warning title=t::100%25\n",
        handover: Some(Handover {
            text: "access-token<<x1\nZm9vYmFyLWJheg.of.this.run\nx1\ntoken-type<<x2\nBearer\nx2\n\
                   plain=a<<b\n"
                .into(),
            mode: None,
        }),
        scrub: &scrub,
    });
    insta::assert_snapshot!(told, @r#"
    SANDBOX: nothing here is real. Issuer, STS, job and tokens are made up, live on 127.0.0.1
    only, and end with this command.
    Made to fail (rate-limit): the STS answers 429 with Retry-After once, then works.

    Who the job is
      platform      GitHub Actions (Enterprise Server)
      issuer        http://127.0.0.1:4001/_services/token
      subject       repo:octo-org@1234/octo-repo@5678:ref:refs/heads/main
      audience      equinix-sandbox

    What happened
      ID token      GET /_services/pipelines/idtoken -> 200
      checks        issuer, audience and times fit this job (decoded; the STS verifies)
      STS           POST /use/token -> 429
                    POST /use/token -> 200
                    for the scope roleassignments:org
      runner        ::add-mask::*** (2x), not shown; from there on the value is hidden

    The job's log, as its readers see it
      | equinix-wif: the *** *** ***
      | Warning: 100%

    What the next step sees (GITHUB_OUTPUT)
      access-token  ***
      token-type    Bearer
      plain         a<<b

    Try next: equinix-wif sandbox with --platform gitlab, or -- CMD
    "#);
    assert!(told.lines().count() <= 35);
}

#[test]
fn the_story_of_a_gitlab_job() {
    let claims = json!({
        "iss": "http://127.0.0.1:4001",
        "sub": "project_path:octo-group/octo-project:ref_type:branch:ref:main",
        "aud": "equinix-sandbox",
    });
    let told = tell(&Story {
        platform: SimulatedPlatform::Gitlab,
        fault: None,
        claims: Some(&claims),
        api_log: &[],
        issuer_log: &[],
        sts_log: &[entry("POST", "/use/token", Some("roleassignments:org"), 200)],
        status: 0,
        stdout: "/tmp/sandbox/octo-project.tmp/equinix.env\n",
        stderr: "equinix-wif: got an access token\n::add-mask::is no command here\n",
        handover: Some(Handover {
            text: "export EQUINIX_API_TOKEN='Zm9vYmFyLWJheg.of.this.run';\n\
                   export EQUINIX_API_TOKEN_EXPIRES_AT='2026-11-22T04:00:00Z';\n"
                .into(),
            mode: Some(0o600),
        }),
        scrub: &scrub,
    });
    insta::assert_snapshot!(told, @r#"
    SANDBOX: nothing here is real. Issuer, STS, job and tokens are made up, live on 127.0.0.1
    only, and end with this command.

    Who the job is
      platform      GitLab CI
      issuer        http://127.0.0.1:4001
      subject       project_path:octo-group/octo-project:ref_type:branch:ref:main
      audience      equinix-sandbox

    What happened
      ID token      came with the job, in EQUINIX_WIF_SUBJECT_TOKEN
      checks        issuer, audience and times fit this job (decoded; the STS verifies)
      STS           POST /use/token -> 200
                    for the scope roleassignments:org
      runner        cannot be told to hide a value, so none is printed

    The job's log, as its readers see it
      | equinix-wif: got an access token
      | : :add-mask: :is no command here

    What the next command sees after . "$(equinix-wif token)"
      stdout        /tmp/sandbox/octo-project.tmp/equinix.env
      mode          0600
      exports       EQUINIX_API_TOKEN, EQUINIX_API_TOKEN_EXPIRES_AT

    Try next: equinix-wif sandbox with --platform github, --fault rate-limit, or -- CMD
    "#);
    assert!(told.lines().count() <= 35);
}

#[cfg(feature = "classic-grants")]
#[test]
fn the_story_of_a_laptop() {
    let told = tell(&Story {
        platform: SimulatedPlatform::Nowhere,
        fault: None,
        claims: None,
        api_log: &[entry("POST", "/oauth2/v1/token", None, 200)],
        issuer_log: &[],
        sts_log: &[],
        status: 0,
        stdout: "{\"access_token\":\"Zm9vYmFyLWJheg.of.this.run\",\"expires_in\":3599}\n",
        stderr: "warning: the Equinix API is on this machine\n",
        handover: None,
        scrub: &scrub,
    });
    insta::assert_snapshot!(told, @r#"
    SANDBOX: nothing here is real. Issuer, STS, job and tokens are made up, live on 127.0.0.1
    only, and end with this command.

    Who the job is
      platform      none, as on a laptop
      identity      none: a client id and secret, which somebody stored, stand for the job

    What happened
      API           POST /oauth2/v1/token -> 200
      runner        there is none that could hide a value

    The job's log, as its readers see it
      | warning: the Equinix API is on this machine

    What the caller reads from standard output
      {"access_token":"***","expires_in":3599}

    Try next: equinix-wif sandbox with --platform github, --fault wrong-login, or -- CMD
    "#);
    assert!(told.lines().count() <= 35);
}

#[test]
fn the_story_of_a_job_that_failed() {
    let told = tell(&Story {
        platform: SimulatedPlatform::Github,
        fault: Some(Fault::WrongAudience),
        claims: None,
        api_log: &[],
        issuer_log: &vec![entry("GET", "/\u{1b}[31m::x::", None, 401); 7],
        sts_log: &[],
        status: 5,
        stdout: "",
        stderr: "error[claim-aud]: not for us\n  expected: equinix-sandbox\nhint: look\n\
                 ::error title=x::not for us%0Aexpected: y\n",
        handover: Some(Handover { text: "error-code<<x\nclaim-aud\nx\n".into(), mode: None }),
        scrub: &scrub,
    });
    insta::assert_snapshot!(told, @r#"
    SANDBOX: nothing here is real. Issuer, STS, job and tokens are made up, live on 127.0.0.1
    only, and end with this command.
    Made to fail (wrong-audience): the issuer ignores the audience and puts its own default.

    Who the job is
      platform      GitHub Actions (Enterprise Server)
      identity      none, since no ID token was made

    What happened
      ID token      GET /[31m: :x: : -> 401
                    GET /[31m: :x: : -> 401
                    GET /[31m: :x: : -> 401
                    GET /[31m: :x: : -> 401
                    GET /[31m: :x: : -> 401
                    and 2 more
      checks        ended here, before the STS was asked; the log tells why
      runner        was told to hide nothing

    The job's log, as its readers see it
      | error[claim-aud]: not for us
      |   expected: equinix-sandbox
      | hint: look
      | Error: not for us
      | expected: y
      The job failed with exit status 5.

    What the next step sees (GITHUB_OUTPUT)
      error-code    claim-aud

    Try next: equinix-wif sandbox with --platform gitlab, or -- CMD
    "#);
}
