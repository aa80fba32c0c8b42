//! Tells what happened in the main job, for somebody who sees it for the first time.
//!
//! A pure function from what the servers logged and what the child left behind. Tokens are cut out of all of it:
//! first as the runner would do it, by the masks, and then whatever the sandbox itself handed out.

use serde_json::Value;

use super::wire::Entry;
use super::{Fault, SimulatedPlatform};
use crate::env::names;
use crate::platform::github::names as github_names;
use crate::text::{self, REDACTED};

/// The number of requests to one server that are told before it becomes tedious.
const MAX_REQUESTS: usize = 5;

/// The facts that are known after the job.
pub(super) struct Story<'a> {
    pub(super) platform: SimulatedPlatform,
    pub(super) fault: Option<Fault>,
    /// The claims of the last ID token, if one was made.
    pub(super) claims: Option<&'a Value>,
    pub(super) issuer_log: &'a [Entry],
    pub(super) sts_log: &'a [Entry],
    /// The child's exit status.
    pub(super) status: u8,
    pub(super) stdout: &'a str,
    pub(super) stderr: &'a str,
    pub(super) handover: Option<Handover>,
    /// Cuts the secrets of this run out of a line.
    pub(super) scrub: &'a dyn Fn(&str) -> String,
}

/// The file in which the job hands the token over.
pub(super) struct Handover {
    pub(super) text: String,
    /// The permission bits, where the system has them.
    pub(super) mode: Option<u32>,
}

/// Lines, most of them with a label in front.
#[derive(Default)]
struct Page(String);

impl Page {
    fn line(&mut self, text: &str) {
        self.0.push_str(text.trim_end());
        self.0.push('\n');
    }

    fn heading(&mut self, text: &str) {
        self.0.push('\n');
        self.line(text);
    }

    fn row(&mut self, label: &str, text: &str) {
        self.line(&format!("  {label:<13} {text}"));
    }

    /// One label for several texts.
    fn rows<T: AsRef<str>>(&mut self, label: &str, texts: impl IntoIterator<Item = T>) {
        for (number, text) in texts.into_iter().enumerate() {
            self.row(if number == 0 { label } else { "" }, text.as_ref());
        }
    }
}

/// The whole story.
pub(super) fn tell(story: &Story<'_>) -> String {
    let log = Log::read(story.platform, story.stderr, story.stdout);
    let show = |text: &str| (story.scrub)(&text::clean(text));
    let mut page = Page::default();

    page.line("SANDBOX: nothing here is real. Issuer, STS, job and tokens are made up, live on 127.0.0.1");
    page.line("only, and end with this command.");
    if let Some(fault) = story.fault {
        page.line(&format!("Made to fail ({}): {}.", fault.id(), fault.about()));
    }

    page.heading("Who the job is");
    page.row("platform", story.platform.title());
    match story.claims {
        Some(claims) => {
            for (label, claim) in [("issuer", "iss"), ("subject", "sub"), ("audience", "aud")] {
                let value = claims.get(claim).and_then(Value::as_str).unwrap_or_default();
                page.row(label, &show(value));
            }
        }
        None => page.row("identity", "none, since no ID token was made"),
    }

    page.heading("What happened");
    match story.platform {
        SimulatedPlatform::Github => page.rows("ID token", requests(story.issuer_log, &show)),
        SimulatedPlatform::Gitlab => {
            page.row("ID token", &format!("came with the job, in {}", names::SUBJECT_TOKEN));
            page.rows("issuer", requests(story.issuer_log, &show).into_iter().filter(|line| line != NONE));
        }
    }
    if story.sts_log.is_empty() {
        page.row("checks", "ended here, before the STS was asked; the log tells why");
    } else {
        page.row("checks", "issuer, audience and times fit this job (decoded; the STS verifies)");
        page.rows("STS", requests(story.sts_log, &show));
        if let Some(scope) = story.sts_log.iter().rev().find_map(|entry| entry.scope.as_deref()) {
            page.row("", &format!("for the scope {}", show(scope)));
        }
    }
    match (story.platform, log.masks) {
        (SimulatedPlatform::Github, 0) => page.row("runner", "was told to hide nothing"),
        (SimulatedPlatform::Github, count) => {
            page.row(
                "runner",
                &format!("::add-mask::{REDACTED} ({count}x), not shown; from there on the value is hidden"),
            );
        }
        (SimulatedPlatform::Gitlab, _) => {
            page.row("runner", "cannot be told to hide a value, so none is printed");
        }
    }

    page.heading("The job's log, as its readers see it");
    for line in &log.lines {
        page.line(&format!("  | {}", show(line)));
    }
    if log.lines.is_empty() {
        page.line("  | (empty)");
    }
    if story.status != 0 {
        page.line(&format!("  The job failed with exit status {}.", story.status));
    }

    if let Some(handover) = &story.handover {
        match story.platform {
            SimulatedPlatform::Github => outputs(&mut page, handover, &show),
            SimulatedPlatform::Gitlab => env_file(&mut page, story.stdout, handover, &show),
        }
    }

    let other = match story.platform {
        SimulatedPlatform::Github => SimulatedPlatform::Gitlab,
        SimulatedPlatform::Gitlab => SimulatedPlatform::Github,
    };
    let fault = if story.fault.is_none() { "--fault rate-limit, " } else { "" };
    page.heading(&format!("Try next: equinix-wif sandbox with --platform {}, {fault}or -- CMD", other.id()));
    page.0
}

const NONE: &str = "was not asked";

/// Describes the requests to a server.
fn requests(log: &[Entry], show: &dyn Fn(&str) -> String) -> Vec<String> {
    if log.is_empty() {
        return vec![NONE.to_owned()];
    }
    let mut lines: Vec<String> = log
        .iter()
        .take(MAX_REQUESTS)
        .map(|entry| format!("{} {} -> {}", show(&entry.method), show(&entry.path), entry.status))
        .collect();
    if log.len() > MAX_REQUESTS {
        lines.push(format!("and {} more", log.len() - MAX_REQUESTS));
    }
    lines
}

/// Adds what GitHub's next step finds in the step's outputs.
fn outputs(page: &mut Page, handover: &Handover, show: &dyn Fn(&str) -> String) {
    page.heading(&format!("What the next step sees ({})", github_names::GITHUB_OUTPUT));
    for (name, value) in heredocs(&handover.text) {
        let secret = ["access-token", "id-token"].contains(&name.as_str());
        page.row(&show(&name), &if secret { REDACTED.to_owned() } else { show(&value) });
    }
}

/// Adds what the next command of a GitLab script finds.
fn env_file(page: &mut Page, stdout: &str, handover: &Handover, show: &dyn Fn(&str) -> String) {
    let named = |keyword: &str| -> String {
        let names: Vec<&str> = handover
            .text
            .lines()
            .filter_map(|line| line.strip_prefix(keyword)?.split(['=', ';']).next())
            .map(str::trim)
            .collect();
        show(&names.join(", "))
    };
    page.heading("What the next command sees after . \"$(equinix-wif token)\"");
    page.row("stdout", &show(stdout.trim_end()));
    if let Some(mode) = handover.mode {
        page.row("mode", &format!("{mode:04o}"));
    }
    page.row("exports", &named("export "));
    if handover.text.lines().any(|line| line.starts_with("unset ")) {
        page.row("unsets", &named("unset "));
    }
}

/// The log as the runner makes it of the child's output.
struct Log {
    lines: Vec<String>,
    masks: usize,
}

impl Log {
    fn read(platform: SimulatedPlatform, stderr: &str, stdout: &str) -> Self {
        let mut log = Self { lines: Vec::new(), masks: 0 };
        let mut masks = Vec::new();
        // GitLab's stdout goes to the shell that reads the path.
        let logged = match platform {
            SimulatedPlatform::Github => [stderr, stdout],
            SimulatedPlatform::Gitlab => [stderr, ""],
        };
        for line in logged.iter().flat_map(|stream| stream.lines()) {
            match command(line).filter(|_| platform == SimulatedPlatform::Github) {
                Some(("add-mask", data)) => {
                    log.masks += 1;
                    // The value as a whole, and each of its lines.
                    masks.extend(data.lines().map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned));
                    masks.push(data);
                }
                Some((kind @ ("error" | "warning" | "notice"), data)) => {
                    for (number, part) in data.lines().enumerate() {
                        let prefix = match (number, kind) {
                            (0, "error") => "Error: ",
                            (0, "warning") => "Warning: ",
                            (0, _) => "Notice: ",
                            _ => "",
                        };
                        log.lines.push(masked(&format!("{prefix}{part}"), &masks));
                    }
                }
                Some(_) => (),
                // The line break before a mask.
                None if line.is_empty() => (),
                None => log.lines.push(masked(line, &masks)),
            }
        }
        log
    }
}

fn masked(line: &str, masks: &[String]) -> String {
    masks
        .iter()
        .filter(|mask| !mask.is_empty())
        .fold(line.to_owned(), |line, mask| line.replace(mask.as_str(), REDACTED))
}

/// A workflow command: its name and its data, decoded.
fn command(line: &str) -> Option<(&str, String)> {
    let (head, data) = line.trim_start().strip_prefix("::")?.split_once("::")?;
    let name = head.split(' ').next().filter(|name| !name.is_empty())?;
    Some((name, data.replace("%0D", "\r").replace("%0A", "\n").replace("%25", "%")))
}

/// The `NAME<<DELIMITER` blocks and `NAME=VALUE` lines of a runner file.
fn heredocs(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let equals = line.find('=').unwrap_or(usize::MAX);
        match line.split_once("<<") {
            Some((name, delimiter)) if name.len() < equals => {
                let value: Vec<&str> = lines.by_ref().take_while(|line| *line != delimiter).collect();
                found.push((name.to_owned(), value.join("\n")));
            }
            _ => found.extend(line.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))),
        }
    }
    found
}

#[cfg(test)]
mod tests {
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
            issuer_log: &[],
            sts_log: &[entry("POST", "/use/token", Some("roleassignments:org"), 200)],
            status: 0,
            stdout: "/tmp/sandbox/octo-project.tmp/equinix.env\n",
            stderr: "equinix-wif: got an access token\n::add-mask::is no command here\n",
            handover: Some(Handover {
                text: "unset EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN;\n\
                       export EQUINIX_API_TOKEN='Zm9vYmFyLWJheg.of.this.run';\n\
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
          ID token      came with the job, in EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN
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
          unsets        EQUINIX_TOKEN_EXCHANGE_SUBJECT_TOKEN

        Try next: equinix-wif sandbox with --platform github, --fault rate-limit, or -- CMD
        "#);
        assert!(told.lines().count() <= 35);
    }

    #[test]
    fn the_story_of_a_job_that_failed() {
        let told = tell(&Story {
            platform: SimulatedPlatform::Github,
            fault: Some(Fault::WrongAudience),
            claims: None,
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
}
