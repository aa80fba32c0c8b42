//! The pages of the documentation.

use std::fs;
use std::path::Path;

pub const PAGES: &[&str] = &[
    "README.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/README.md",
    "docs/install.md",
    "docs/releasing.md",
    "docs/reference/commands.md",
    "docs/reference/settings.md",
    "docs/reference/grants.md",
    "docs/reference/formats.md",
    "docs/reference/report.md",
    "docs/reference/github-action.md",
    "docs/reference/gitlab-component.md",
    "docs/reference/assurance.md",
    "docs/reference/local-service.md",
    "docs/client-credentials.md",
    "docs/trust.md",
    "docs/reference/platforms.md",
    "docs/reference/platforms/aws.md",
    "docs/reference/platforms/azure-pipelines.md",
    "docs/reference/platforms/bitbucket.md",
    "docs/reference/platforms/buildkite.md",
    "docs/reference/platforms/circleci.md",
    "docs/reference/platforms/forgejo.md",
    "docs/reference/platforms/google.md",
    "docs/reference/platforms/hcp-terraform.md",
    "docs/reference/platforms/kubernetes.md",
    "docs/reference/platforms/semaphore.md",
    "docs/reference/platforms/spacelift.md",
    "docs/reference/platforms/vela.md",
    "docs/errors.md",
    "docs/security.md",
    "docs/security-review.md",
    "docs/reliability.md",
    "docs/performance.md",
    "docs/github-action.md",
    "docs/gitlab-component.md",
    "docs/terraform.md",
    "docs/long-applies.md",
    "docs/local-service.md",
    "docs/local-service-review.md",
    "docs/mcp.md",
    "docs/questions.md",
    "docs/recipes.md",
    "docs/token-leaked.md",
];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

pub fn page(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// What the tests ask of a page, read as GitHub reads it.
pub mod markdown {
    use std::ops::Range;

    use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

    /// A fenced block.
    pub struct Block {
        pub tag: String,
        pub text: String,
        pub line: usize,
    }

    fn events(text: &str) -> Vec<(Event<'_>, Range<usize>)> {
        Parser::new_ext(text, Options::ENABLE_TABLES).into_offset_iter().collect()
    }

    /// The fenced blocks, and the page with those blanked out.
    pub fn split(page: &str) -> (Vec<Block>, String) {
        let (mut blocks, mut prose) = (Vec::new(), String::new());
        let (mut open, mut done): (Option<Block>, usize) = (None, 0);
        for (event, range) in events(page) {
            match (event, &mut open) {
                (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(tag))), _) => {
                    let last = page[range.clone()].trim_end().rsplit('\n').next();
                    assert_eq!(last.map(str::trim), Some("```"), "a block is not closed");
                    let (before, inside) = (&page[done..range.start], &page[range.clone()]);
                    prose += &format!("{before}{}", "\n".repeat(inside.matches('\n').count()));
                    done = range.end;
                    let line = page[..range.start].matches('\n').count() + 1;
                    open = Some(Block { tag: tag.into_string(), text: String::new(), line });
                }
                (Event::Text(text), Some(block)) => block.text += &text,
                (Event::End(TagEnd::CodeBlock), _) => blocks.extend(open.take()),
                _ => {}
            }
        }
        (blocks, prose + &page[done..])
    }

    /// The anchors of the headings, as GitHub makes them.
    pub fn anchors(prose: &str) -> Vec<String> {
        let (mut anchors, mut open): (_, Option<String>) = (Vec::new(), None);
        for (event, _) in events(prose) {
            match (event, &mut open) {
                (Event::Start(Tag::Heading { .. }), _) => open = Some(String::new()),
                (Event::Text(text) | Event::Code(text), Some(heading)) => {
                    let kept = text.to_lowercase();
                    let kept = kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
                    heading.extend(kept.map(|c| if c == ' ' { '-' } else { c }));
                }
                (Event::End(TagEnd::Heading(_)), _) => anchors.extend(open.take()),
                _ => {}
            }
        }
        anchors
    }

    /// The targets of links and images.
    pub fn links(prose: &str) -> Vec<String> {
        let target = |event| match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                Some(dest_url.into_string())
            }
            _ => None,
        };
        events(prose).into_iter().filter_map(|(event, _)| target(event)).collect()
    }

    /// The code spans of a text.
    pub fn spans(text: &str) -> Vec<&str> {
        let spans = events(text).into_iter().filter(|(event, _)| matches!(event, Event::Code(_)));
        spans.map(|(_, range)| text[range].trim_matches('`').trim()).collect()
    }

    /// The rows of the first table below this heading as they are written, cells trimmed, without the head.
    pub fn table(prose: &str, heading: &str) -> Vec<Vec<String>> {
        let events = events(prose);
        let mut below = events
            .iter()
            .skip_while(|(event, range)| {
                !matches!(event, Event::Start(Tag::Heading { .. }))
                    || prose[range.clone()].trim_end() != heading
            })
            .skip(1);
        let next =
            below.find(|(event, _)| matches!(event, Event::Start(Tag::Table(_) | Tag::Heading { .. })));
        let Some((Event::Start(Tag::Table(columns)), _)) = next else { panic!("{heading} has no table") };
        let mut rows = Vec::new();
        for (event, range) in below.take_while(|(event, _)| !matches!(event, Event::End(TagEnd::Table))) {
            let written = &prose[range.clone()];
            match event {
                Event::Start(Tag::TableRow) => {
                    // A renderer adds and drops cells in silence.
                    let bars = written.replace("\\|", "").matches('|').count();
                    assert_eq!(bars, columns.len() + 1, "{heading}: {written}");
                    rows.push(Vec::new());
                }
                Event::Start(Tag::TableCell) => {
                    if let Some(row) = rows.last_mut() {
                        row.push(written.trim().replace("\\|", "|"));
                    }
                }
                _ => {}
            }
        }
        rows
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
    PAGES.iter().copied().flat_map(of).filter(|(_, t, _)| t == tag).map(|(at, _, text)| (at, text)).collect()
}

/// Returns a text as a code span.
pub fn code(text: &str) -> String {
    format!("`{text}`")
}

/// Compares a page with what it should be, or writes it.
pub fn agrees(path: &str, expected: &str) {
    if std::env::var_os("UPDATE_DOCS").is_some() {
        // Whole or not at all: the other tests are reading.
        let new = root().join(path).with_extension("new");
        fs::write(&new, expected).unwrap();
        fs::rename(new, root().join(path)).unwrap();
    }
    let found = fs::read_to_string(root().join(path)).unwrap_or_default();
    let differs = found.lines().zip(expected.lines()).position(|(a, b)| a != b);
    assert!(
        found == expected,
        "{path} is out of date (first at line {}): UPDATE_DOCS=1 cargo test docs",
        differs.map_or_else(|| found.lines().count().min(expected.lines().count()), |line| line + 1)
    );
}

/// Returns the page with this text between the marks of this name.
pub fn with_part(page: &str, name: &str, part: &str) -> String {
    let begin = page.lines().find(|line| line.starts_with(&format!("<!-- {name}:")));
    let begin = begin.unwrap_or_else(|| panic!("the beginning of {name}"));
    let end = format!("<!-- end of {name} -->");
    let (head, rest) = page.split_once(begin).unwrap();
    let (_, tail) = rest.split_once(&end).unwrap_or_else(|| panic!("the end of {name}"));
    format!("{head}{begin}\n\n{part}\n{end}{tail}")
}

/// Returns the rows of the table of the sandbox's faults, which stands below a paragraph of its own.
pub fn faults() -> Vec<Vec<String>> {
    let text = prose("docs/reference/commands.md");
    let (_, rest) = text.split_once("| Fault |").unwrap();
    markdown::table(&format!("## Faults\n| Fault |{rest}"), "## Faults")
}
