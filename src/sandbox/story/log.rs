//! The job's log, as a runner makes it of what the program writes.

use crate::sandbox::SimulatedPlatform;
use crate::text::REDACTED;

/// The log as the runner makes it of the child's output.
pub(super) struct Log {
    pub(super) lines: Vec<String>,
    pub(super) masks: usize,
}

impl Log {
    /// Reads what the child wrote.
    pub(super) fn read(platform: SimulatedPlatform, stderr: &str, stdout: &str) -> Self {
        let mut log = Self { lines: Vec::new(), masks: 0 };
        let mut masks = Vec::new();
        // Elsewhere stdout goes to whoever reads the path or the token.
        let logged = if platform == SimulatedPlatform::Github { [stderr, stdout] } else { [stderr, ""] };
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
