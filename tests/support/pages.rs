//! The pages of the documentation, and how to run what stands there.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub const BIN: &str = env!("CARGO_BIN_EXE_equinix-wif");

pub const PAGES: [&str; 16] = [
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/install.md",
    "docs/releasing.md",
    "docs/usage.md",
    "docs/trust.md",
    "docs/platforms.md",
    "docs/errors.md",
    "docs/security.md",
    "docs/security-review.md",
    "docs/reliability.md",
    "docs/performance.md",
    "docs/github-action.md",
    "docs/gitlab-component.md",
    "docs/terraform.md",
];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The little of Markdown that the pages use.
pub mod markdown {
    /// A fenced block.
    pub struct Block {
        pub tag: String,
        pub text: String,
        pub line: usize,
    }

    /// The fenced blocks, and the page with those blanked out.
    pub fn split(page: &str) -> (Vec<Block>, String) {
        let (mut blocks, mut prose) = (Vec::new(), String::new());
        let mut open: Option<Block> = None;
        for (number, line) in page.lines().enumerate() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(tag)) => {
                    open = Some(Block { tag: tag.to_owned(), text: String::new(), line: number + 1 });
                }
                (Some(_), Some("")) => blocks.extend(open.take()),
                (Some(block), _) => block.text += &format!("{line}\n"),
                (None, None) => prose += line,
            }
            prose.push('\n');
        }
        assert!(open.is_none(), "a block is not closed");
        (blocks, prose)
    }

    /// The anchors of the headings, as GitHub makes them.
    pub fn anchors(prose: &str) -> Vec<String> {
        let headings = prose.lines().filter(|line| line.starts_with('#'));
        let slug = |heading: &str| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.map(|c| if c == ' ' { '-' } else { c }).collect::<String>()
        };
        headings.map(slug).collect()
    }

    /// The targets of links outside code.
    pub fn links(prose: &str) -> Vec<String> {
        let without_code: String = prose.split('`').step_by(2).collect::<Vec<_>>().join("");
        let after = without_code.split("](").skip(1);
        after.map(|rest| rest.split(')').next().unwrap_or_default().to_owned()).collect()
    }

    /// The code spans of a text.
    pub fn spans(text: &str) -> Vec<&str> {
        text.split('`').skip(1).step_by(2).collect()
    }

    /// The rows of the first table below this heading, cells trimmed, without the head.
    pub fn table(prose: &str, heading: &str) -> Vec<Vec<String>> {
        let mut lines = prose.lines().skip_while(|line| *line != heading).skip(1);
        let first = lines.find(|line| line.starts_with('|') || line.starts_with('#'));
        assert!(first.is_some_and(|line| line.starts_with('|')), "{heading} has no table");
        let rows = lines.take_while(|line| line.starts_with('|')).skip(1);
        let cells = |row: &str| {
            let inner = row.trim_matches('|').replace("\\|", "\u{0}");
            inner.split('|').map(|cell| cell.trim().replace('\u{0}', "|")).collect()
        };
        rows.map(cells).collect()
    }
}

pub fn prose(path: &str) -> String {
    markdown::split(&page(path)).1
}

pub fn rows(path: &str, heading: &str) -> Vec<Vec<String>> {
    markdown::table(&prose(path), heading)
}

/// Every fenced block of every page with this tag, and where it stands.
pub fn blocks(tag: &str) -> Vec<(String, String)> {
    let of = |path: &'static str| {
        markdown::split(&page(path)).0.into_iter().map(move |b| (format!("{path}:{}", b.line), b.tag, b.text))
    };
    PAGES.into_iter().flat_map(of).filter(|(_, t, _)| t == tag).map(|(at, _, text)| (at, text)).collect()
}

/// The program, with nothing of this machine's jobs and settings around it.
pub fn program() -> Command {
    let mut command = Command::new(BIN);
    command.env_clear().stdin(Stdio::null());
    for name in ["PATH", "TMPDIR", "SYSTEMROOT"] {
        command.envs(std::env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// Runs a shell's lines in a job of the sandbox.
pub fn in_sandbox(arguments: &[&str], shell: &[&str], lines: &str) -> Output {
    program().arg("sandbox").args(arguments).arg("--").args(shell).arg(lines).output().unwrap()
}

pub fn told(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))
}

/// Gives a text to a program's standard input.
pub fn feed(command: &mut Command, text: &str) -> Output {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
