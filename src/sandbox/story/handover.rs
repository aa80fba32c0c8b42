//! The handover of the token by the job, and what the one who takes it finds.

use super::page::Page;
use crate::platform::github::names as github_names;
use crate::text::REDACTED;

/// The file in which the job hands the token over.
pub(in crate::sandbox) struct Handover {
    pub(in crate::sandbox) text: String,
    /// The permission bits, where the system has them.
    pub(in crate::sandbox) mode: Option<u32>,
}

/// Adds what GitHub's next step finds in the step's outputs.
pub(super) fn outputs(page: &mut Page, handover: &Handover, show: &dyn Fn(&str) -> String) {
    page.heading(&format!("What the next step sees ({})", github_names::GITHUB_OUTPUT));
    for (name, value) in heredocs(&handover.text) {
        let secret = ["access-token", "id-token"].contains(&name.as_str());
        page.row(&show(&name), &if secret { REDACTED.to_owned() } else { show(&value) });
    }
}

/// Adds what the next command of a GitLab script finds.
pub(super) fn env_file(page: &mut Page, stdout: &str, handover: &Handover, show: &dyn Fn(&str) -> String) {
    page.heading("What the next command sees after . \"$(equinix-wif token)\"");
    page.row("stdout", &show(stdout.trim_end()));
    if let Some(mode) = handover.mode {
        page.row("mode", &format!("{mode:04o}"));
    }
    let assignments = handover.text.lines().filter_map(|line| line.strip_prefix("export "));
    let names: Vec<&str> = assignments.filter_map(|line| line.split('=').next()).collect();
    page.row("exports", &show(&names.join(", ")));
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
